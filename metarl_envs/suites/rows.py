"""The rows of suites: which tasks are lived, by whom they can be, and what one score of an agent there is.

There are two kinds. In a `FamilyRow` an agent lives tasks of a registered id, as in `evaluate`. In a `BoxRow` it sits in all
seats of boxes, as in `boxes.run`.
"""

from __future__ import annotations

import functools
import hashlib
import math
import re
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, Self

import numpy as np

from metarl_envs.arguments import Progress, tell_nobody
from metarl_envs.boxes.players.agents import AGENTS
from metarl_envs.boxes.scenarios import box_named
from metarl_envs.boxes.study import normaliser
from metarl_envs.boxes.study.runs import forecast, name_of
from metarl_envs.boxes.study.runs import run as run_boxes
from metarl_envs.engine.composing import family_at
from metarl_envs.engine.family import Family, Variant
from metarl_envs.engine.player import Player, references_of
from metarl_envs.evaluation.protocol import evaluate
from metarl_envs.evaluation.references import LEAST_SPREAD, Scale, memoryless_returns, memoryless_score, scaled_tasks
from metarl_envs.evaluation.result import load as load_result
from metarl_envs.files import see_that_it_says
from metarl_envs.ids import family_of
from metarl_envs.learners import LEARNERS
from metarl_envs.learners.random import random_policy
from metarl_envs.players.factories import Seat, Wrapped
from metarl_envs.players.models.language_model import Forecast, LanguageModel
from metarl_envs.players.networks.shipped import NAMES, pretrained
from metarl_envs.players.resolve import described
from metarl_envs.players.run import Run
from metarl_envs.players.run import load as load_run
from metarl_envs.task_sets import TaskSet

#: How far a frozen return may be from what is found, as a share of the lead of one over zero: other machines round otherwise.
_ROUNDING = 1e-6
#: Boxes of each recipes in which it is looked at what random players and the oracle reach.
_LIVES = 10
#: What a row can be called: a folder is.
_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,60}")
#: What every row says.
_SAID: dict[str, Any] = {"name": str, "capability": str, "params": dict, "split": str | None, "tasks": int, "why": str}
_SAID |= {"fingerprint": str, "zero": int | float, "one": int | float, "memoryless": int | float | None}


class CannotPlayError(ValueError):
    """An agent cannot play a row; the message is the reason."""


class ChangedError(ValueError):
    """The tasks of a row, or what they pay, are no longer those that were frozen."""


@dataclass(frozen=True)
class Row(ABC):
    """One row of a suite.

    Attributes:
        name: such as "dark-room".
        capability: what it asks of an agent.
        params: parameters of the family or the box, where they are not the default.
        split: of the tasks.
        tasks: how many, the first ones of the split (a finite split may have no more).
        why: in which way the row measures the capability, and who uses it so.
        fingerprint: of the tasks: 32 hex digits of what they mean, in their order.
        zero, one: what is scored 0 and 1: the means over tasks of what random play and the oracle reach.
        memoryless: the score of the best policy without memory on these tasks; None where it is not known.
    """

    name: str
    capability: str
    params: dict[str, Any]
    split: str | None
    tasks: int
    why: str
    fingerprint: str
    zero: float
    one: float
    memoryless: float | None

    @property
    @abstractmethod
    def where(self) -> str:
        """The name of the id or the box."""

    @property
    @abstractmethod
    def family(self) -> type[Family]:
        """The class of the family or the box."""

    @property
    @abstractmethod
    def how_long(self) -> str:
        """How long a life is, in words."""

    @functools.cached_property
    def variant(self) -> Variant:
        """The family with the row's parameters."""
        return self.family.shifted(self.split, self.params)[0]

    @property
    @abstractmethod
    def task_set(self) -> TaskSet:
        """The tasks."""

    @abstractmethod
    def found(self) -> dict[str, Any]:
        """Return what is looked at before the row is lived: as they are now, `tasks`, `fingerprint`, and perhaps more."""

    def measured(self) -> Self:
        """Return the row with `tasks`, `fingerprint`, `zero`, `one` and `memoryless` as they are now."""
        return replace(self, **self.found())

    @abstractmethod
    def named(self) -> Mapping[str, Any]:
        """Return by name all who can play here, but source learners and networks."""

    @abstractmethod
    def play(
        self, name: str, player: Any, seeds: int, folder: Path | None, resume: bool = False, progress: Progress = tell_nobody
    ) -> np.ndarray:
        """Let an agent live all tasks of the row.

        Args:
            name: of the agent.
            player: whoever `player` returned.
            seeds: how many.
            folder: where what is lived is written to; None: nowhere.
            resume: take what lies in the folder, where it is whole; language models are not asked again what was answered.
            progress: called with the agent's name, the lives lived by now, and their number.

        Returns:
            The scores of lives, float64 [seed, task].

        Raises:
            PlayerError: the player failed.
            ValueError: what lies in the folder was not lived here, or by somebody else.
        """

    @abstractmethod
    def forecast(self, model: LanguageModel, seeds: int) -> Forecast:
        """Return what would be asked of a language model here."""

    def check(self) -> None:
        """Compare the tasks, and what zero and one are, with what was frozen.

        Raises:
            ChangedError: they differ.
        """
        now = self.found()
        if (now["tasks"], now["fingerprint"]) != (self.tasks, self.fingerprint):
            raise ChangedError(
                f"row {self.name!r} has other tasks than were frozen ({now['tasks']} of fingerprint {now['fingerprint']}, "
                f"not {self.tasks} of {self.fingerprint}): this version of the package has changed them, and scores would not "
                "compare"
            )
        for what in now.keys() & {"zero", "one"}:
            was = getattr(self, what)
            if not math.isclose(now[what], was, rel_tol=0, abs_tol=_ROUNDING * (self.one - self.zero)):
                raise ChangedError(
                    f"row {self.name!r} has the tasks that were frozen, but what is scored {what} there is {now[what]!r}, not "
                    f"{was!r}: this version of the package has changed what they pay, and scores would not compare"
                )

    def player(self, given: Any) -> Any:
        """Return who is meant by a name, a compiled player or a factory.

        Raises:
            CannotPlayError: nobody of that name can play here, or whoever is given cannot.
            TypeError: it is nobody who plays anywhere.
        """
        player = self._called(given) if isinstance(given, str) else given
        if isinstance(player, type) and issubclass(player, Player):
            raise TypeError(f"agent is the class {player.__name__}: write {player.__name__}()")
        if not isinstance(player, Player) and not callable(player):
            raise TypeError(f"agent={player!r} must be a name, a compiled player, or a factory that makes players")
        if reason := self.why_not(player):
            raise CannotPlayError(reason)
        return player

    def why_not(self, player: Any) -> str | None:
        """Return why a player cannot play here, if it can tell; a factory of your own does by a method `why_unsuitable`."""
        asked = getattr(player, "why_unsuitable", None)
        return None if asked is None else asked(self.variant)

    def _called(self, name: str) -> Any:
        if (own := self.named()) and name in own:
            return own[name]
        if name in LEARNERS:
            return LEARNERS[name]()
        if name in NAMES:
            return pretrained(name)
        raise CannotPlayError(f"nobody is called {name!r} there")

    def as_json(self) -> dict[str, Any]:
        """Return the row as JSON types."""
        return {one.name: getattr(self, one.name) for one in fields(self)}


@dataclass(frozen=True)
class FamilyRow(Row):
    """Tasks of a registered id.

    Attributes:
        id: of the family.
        episodes: in a lifetime.
        least_spread: tasks on which the oracle earns less than this above random play are passed over, and others taken.
    """

    id: str
    episodes: int
    least_spread: float = LEAST_SPREAD

    @property
    def where(self) -> str:
        """The id."""
        return self.id

    @property
    def family(self) -> type[Family]:
        """The class of the family."""
        return family_at(family_of(self.id))

    @property
    def how_long(self) -> str:
        """Episodes and steps of a life."""
        steps = f"{self.variant.horizon} steps"
        return steps if self.episodes == 1 else f"{self.episodes} episodes of {steps}"

    @functools.cached_property
    def _tasks_and_scale(self) -> tuple[TaskSet, Scale]:
        drawn = TaskSet.of_family(self.family, split=self.split, **self.params)
        block = self.family.curve_unit_length(self.variant.p)
        rows, scale, _ = scaled_tasks(drawn, self.tasks, self.least_spread, block)
        return TaskSet.of_rows(self.variant, rows, split=self.split), scale

    @property
    def task_set(self) -> TaskSet:
        """The tasks."""
        return self._tasks_and_scale[0]

    def found(self) -> dict[str, Any]:
        """Return everything that is frozen, as it is now."""
        tasks, scale = self._tasks_and_scale
        return {
            "tasks": len(tasks),
            "fingerprint": fingerprint_of(tasks),
            "zero": float(scale.random.mean()),
            "one": float(scale.oracle.mean()),
            "memoryless": memoryless_score(memoryless_returns(self.variant, tasks.rows(len(tasks))), scale),
        }

    def named(self) -> dict[str, Player]:
        """Return random play and the references of the family, by name."""
        return {"random": random_policy(self.variant), **references_of(self.variant)}

    def forecast(self, model: LanguageModel, seeds: int) -> Forecast:
        """Return what would be asked of a language model: one life is lived in a dry run."""
        pretending = model.pretending()
        evaluate(
            self.id,
            {"model": pretending},
            tasks=self.task_set[:1],
            episodes=self.episodes,
            seeds=1,
            least_spread=self.least_spread,
        )
        return pretending.forecast.times(seeds * self.tasks)

    def play(
        self, name: str, player: Any, seeds: int, folder: Path | None, resume: bool = False, progress: Progress = tell_nobody
    ) -> np.ndarray:
        """Let an agent live all tasks; see `Row.play`. What is lived is an `evaluation.Result` in the folder."""
        if folder is not None and resume and (folder / "result.json").exists():
            result = load_result(folder)
            alike = result.fingerprint == self.task_set.fingerprint and result.seeds == list(range(seeds))
            alike &= result.policies == {name: described(player)} and next(iter(result.raw.values())).shape[2] == 1
            if not alike or result.run(name).episodes != self.episodes:
                raise ValueError(f"{folder} holds {result!r}, which is not what {name!r} does in row {self.name!r}")
            return result.of_lifetimes(name)[:, :, 0]
        if folder is not None and isinstance(player, Seat):
            folder.mkdir(parents=True, exist_ok=True)
            player = player.written_to(folder / "transcript.jsonl", resume=resume)
        result = evaluate(
            self.id,
            {name: player},
            tasks=self.task_set,
            episodes=self.episodes,
            seeds=seeds,
            least_spread=self.least_spread,
            progress=progress,
        )
        if folder is not None:
            result.save(folder)
        return result.of_lifetimes(name)[:, :, 0]


@dataclass(frozen=True)
class BoxRow(Row):
    """Boxes in which an agent sits in all seats.

    Attributes:
        box: which.
        measure: what is scored: a column of `boxes.study.normaliser.MEASURES`.
    """

    box: str
    measure: str

    @property
    def where(self) -> str:
        """The name of the box."""
        return self.box

    @property
    def family(self) -> type[Family]:
        """The class of the box."""
        return box_named(self.box)

    @property
    def how_long(self) -> str:
        """Steps of a box, and how many sit in it."""
        agents = self.variant.p.agents
        return f"{self.variant.horizon} steps of {agents} agent{'s' if agents > 1 else ''}"

    @functools.cached_property
    def task_set(self) -> TaskSet:
        """The recipes."""
        drawn = TaskSet.of_family(self.family, split=self.split, **self.params)
        return TaskSet.of_rows(self.variant, drawn.rows(self.tasks), split=self.split)

    def found(self) -> dict[str, Any]:
        """Return what there is now of recipes; what zero and one are takes many boxes, and is looked at by a test."""
        return {"tasks": len(self.task_set), "fingerprint": fingerprint_of(self.task_set)}

    def measured(self) -> Self:
        """Return the row as it is now: random players and the oracle live in several boxes of each recipes."""
        zero, one = (
            float(normaliser.column(normaliser.measure(self._live(AGENTS[who], _LIVES, None)), self.measure).mean())
            for who in ("random", "oracle")
        )
        return replace(self, **self.found(), zero=round(zero, 6), one=round(one, 6))

    def named(self) -> dict[str, Any]:
        """Return the scripted agents of boxes, by name."""
        return dict(AGENTS)

    def why_not(self, player: Any) -> str | None:
        """Return why a player cannot sit in this box, if it can tell."""
        if isinstance(player, Wrapped):
            return f"{player!r} sees a family through wrappers, and a box has none"
        if isinstance(player, Player) and player.observes != "seat":
            return f"{type(player).__name__} does not sit in the seats of boxes"
        return super().why_not(player)

    def forecast(self, model: LanguageModel, seeds: int) -> Forecast:
        """Return what would be asked of a language model: one box is played in a dry run."""
        return forecast(self.box, {"all": model}, boxes=seeds * self.tasks, tasks=self.task_set)

    def play(
        self, name: str, player: Any, seeds: int, folder: Path | None, resume: bool = False, progress: Progress = tell_nobody
    ) -> np.ndarray:
        """Let an agent sit in all seats; see `Row.play`. What is lived is a run in the folder, `run.npz` and `run.json`."""
        lives = seeds * self.tasks
        done = load_run(folder / "run") if folder is not None and resume and (folder / "run.json").exists() else None
        if done is None or (done.steps < self.variant.horizon).any():

            def told(_: str, steps: int, of: int) -> None:
                progress(name, lives * steps // of, lives)

            done = self._live(player, seeds, folder, resume, told)
        self._see_that_it_is(done, name, player, lives, folder)
        values = normaliser.column(normaliser.measure(done), self.measure).astype(float)
        return (values.reshape(seeds, self.tasks) - self.zero) / (self.one - self.zero)

    def _live(
        self, player: Any, seeds: int, folder: Path | None, resume: bool = False, progress: Progress = tell_nobody
    ) -> Run:
        """Box i has recipes i, and from the first again; its noise is keyed by i."""
        return run_boxes(
            self.box,
            {"all": player},
            boxes=seeds * self.tasks,
            tasks=self.task_set,
            out=folder,
            resume=resume and folder is not None,
            progress=progress,
        )

    def _see_that_it_is(self, done: Run, name: str, player: Any, lives: int, folder: Path | None) -> None:
        """Raise ValueError where a run that was found is not of this row and this player."""
        recipes = np.resize(self.task_set.rows(self.tasks), lives)
        alike = done.variant.family is self.family and done.variant.values == self.variant.values and len(done) == lives
        alike = alike and set(done.seats) == {name_of(player)} and np.array_equal(done.seeds, np.arange(lives, dtype=np.uint64))
        if not alike or not np.array_equal(done.tasks, recipes):
            raise ValueError(f"{folder} holds {done!r}, which is not what {name!r} does in row {self.name!r}")


def fingerprint_of(tasks: TaskSet) -> str:
    """Return 32 hex digits of what the tasks of a finite set mean, in their order.

    Other than `TaskSet.fingerprint` it says nothing of parameters, so that it stays where a family gets a new one.
    """
    return hashlib.sha256(tasks.ids().astype("<u8").tobytes()).hexdigest()[:32]


def read_row(said: Any, where: Path) -> Row:
    """Return the row that a file says.

    Raises:
        ValueError: it is none.
    """
    kind = BoxRow if isinstance(said, dict) and "box" in said else FamilyRow
    if not isinstance(said, dict):
        raise ValueError(f"{where} is no suite: one of its rows is {said!r:.80}")
    own = {"box": str, "measure": str} if kind is BoxRow else {"id": str, "episodes": int, "least_spread": int | float}
    see_that_it_says(said, "suite", _SAID | own, where)
    if odd := set(said) - set(_SAID) - set(own):
        raise ValueError(f"{where} is no suite: row {said['name']!r} says {sorted(odd)[0]!r}, which no row of its kind does")
    if not _NAME.fullmatch(said["name"]):
        raise ValueError(f"{where} is no suite: {said['name']!r} must be a name of lower-case letters, digits and dashes")
    if said["tasks"] < 2 or not said["zero"] < said["one"]:
        raise ValueError(
            f"{where} is no suite: row {said['name']!r} has tasks={said['tasks']}, zero={said['zero']} and one={said['one']}; "
            "it needs two tasks, and less at zero than at one"
        )
    if kind is BoxRow and said["measure"] not in normaliser.MEASURES:
        raise ValueError(
            f"{where} is no suite: row {said['name']!r} has measure={said['measure']!r}, which must be one of: "
            f"{', '.join(normaliser.MEASURES)}"
        )
    return kind(**said)
