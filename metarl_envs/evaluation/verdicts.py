"""The verdict: does an agent adapt, by what, how far does it reach, and is it more than a heuristic?

All of it comes from runs: the agent lives the same lives, on the same tasks with the same noise, intact and under each control
(`controls`), beside the family's heuristics; then longer ones, and ones on shifted tasks. What is compared with what, and what
follows, is in `classes`.
"""

from __future__ import annotations

import functools
import json
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from metarl_envs.arguments import Progress, as_integer, at_least_one, tell_nobody
from metarl_envs.engine.composing import family_at
from metarl_envs.engine.family import Variant
from metarl_envs.engine.player import Player, heuristics_of
from metarl_envs.engine.splits import Split
from metarl_envs.evaluation import classes, controls
from metarl_envs.evaluation.beyond import Beyond, Reached, training_of
from metarl_envs.evaluation.classes import Comparison, compared
from metarl_envs.evaluation.controls import Control, under
from metarl_envs.evaluation.feeding import Feeding
from metarl_envs.evaluation.likeness import Likeness, likenesses
from metarl_envs.evaluation.protocol import different_seeds, evaluate
from metarl_envs.evaluation.references import LEAST_SPREAD, memoryless_returns, memoryless_score, scaled_tasks
from metarl_envs.evaluation.result import Result, joined
from metarl_envs.evaluation.statistics import Interval, over_seeds_and_tasks
from metarl_envs.files import versions, written_aside
from metarl_envs.ids import family_of, id_of
from metarl_envs.players.resolve import Anyone, described, players_by_name
from metarl_envs.players.run import Run
from metarl_envs.players.stepwise import why_not_stepwise
from metarl_envs.task_sets import DEFAULT_SPLIT, TaskSet, tasks_of

FORMAT = "metarl_envs verdict 1"
#: Shifts after which tasks are built otherwise: who recognises tasks loses, who learns does not.
STRUCTURAL = ("unseen_disguise", "unseen_parts")
#: What an agent adapts by at least, and loses at least without its own feedback.
LEAST_ADAPTATION, LEAST_DROP = 0.05, 0.2
#: What is left of a score, between the best policy without memory and the oracle, below which there is nothing to adapt for.
_LEAST_ROOM = 0.05
_AGENT = "agent"
#: How many seeds one agent lives by, where nobody says otherwise.
_SEEDS = 5
#: What must be above 0 for an agent to keep half of what it gains.
_KEPT = "A under the {} minus half of the intact A"


@dataclass(frozen=True)
class Row:
    """What a verdict tells of one control, shift, heuristic, or of the agent itself.

    Attributes:
        name, says: what it is.
        adaptation: A of the agent under it (or of the heuristic); None where it cannot act.
        drop: of A, against the intact agent: task by task where they are the same tasks; on shifted ones, which are others, in
            the order in which they were drawn. None for the agent itself.
        why_not: why it cannot act; empty where it can.
    """

    name: str
    says: str
    adaptation: Interval | None = None
    drop: Interval | None = None
    why_not: str = ""


@dataclass(frozen=True, repr=False)
class Verdict:
    """What an agent was found to be, and all that it rests on.

    Attributes:
        id, params, split: the family and its tasks.
        agents: who was tried, as text.
        seeds, tasks, episodes: how many.
        name: the class: "none", "undecided", "heuristic", "task inference", "reward learning" or "mixed".
        evidence: the comparison that decides it, in words.
        comparisons: all of them, decided together (Holm).
        rows: what the agent adapts by intact, under each control, on shifted tasks; and heuristics.
        curves: learning curves by name, float64 [3, unit]: mean and 95 % interval of the score.
        memoryless: the score of the best policy without memory on these tasks, the zero of A there; None where it is not known
            on them, or on shifted tasks that they are compared with: then A is the score itself, on all of them.
        recovery: what it costs the agent when actions change their meaning in mid-trial, in units of the curve times the
            oracle's lead over random play in one: the sum, over units from the change on, of what the score lacks to its mean
            in the last fifth of those before. None where they do not change, or the curve is cumulative.
        gain: the last unit of the curve minus the first, for the distribution of tasks; None where the curve is cumulative.
        trained_on: how many episodes it was trained on, or lives where nobody says otherwise.
        reached: how it does in longer lives, at multiples of that; empty where a lifetime is one episode.
        plateau: the score that its source learner comes to, at the end of ten times as many episodes; None where there is none.
        likenesses: how likely its actions are under each known player, the best first (see `likenesses`); empty where none
            can play here.
        unit: "episode", or what a block of steps is called.
        adaptations: A for each seed on each task, float64 [seed, task], by the name of the row that tells its mean. Files of a
            verdict do not hold them.
    """

    id: str
    params: dict[str, Any]
    split: str | None
    agents: list[str]
    seeds: int
    tasks: int
    episodes: int
    name: str
    evidence: str
    comparisons: list[Comparison]
    rows: list[Row]
    curves: dict[str, np.ndarray]
    memoryless: float | None
    recovery: float | None
    gain: Interval | None
    trained_on: int
    reached: list[Reached]
    plateau: Interval | None
    likenesses: list[Likeness]
    unit: str
    adaptations: dict[str, np.ndarray]

    def __repr__(self) -> str:
        agents = " or ".join(dict.fromkeys(self.agents))
        about = f"{self.tasks} tasks, split={self.split!r}, {self.seeds} seeds"
        return f"Verdict({agents} in {self.id}: {self.name!r}, of {about})"

    def as_json(self) -> dict[str, Any]:
        """Return everything as JSON types."""
        about = {
            name: getattr(self, name) for name in ("id", "params", "split", "agents", "seeds", "tasks", "episodes", "unit")
        }
        return {
            "format": FORMAT,
            **about,
            "class": self.name,
            "evidence": self.evidence,
            "comparisons": [classes.as_json(one) for one in self.comparisons],
            "rows": [{**vars(row), "adaptation": _ends(row.adaptation), "drop": _ends(row.drop)} for row in self.rows],
            "curves": {name: [[_number(v) for v in line] for line in curve.tolist()] for name, curve in self.curves.items()},
            "memoryless_score": self.memoryless,
            "recovery_cost": self.recovery,
            "gain": _ends(self.gain),
            "trained_on": self.trained_on,
            "reached": [{**vars(one), "score": _ends(one.score), "slope": _ends(one.slope)} for one in self.reached],
            "plateau_of_source": _ends(self.plateau),
            "likenesses": [one.as_json() for one in self.likenesses],
            "versions": versions("metarl-envs", "gymnasium", "numpy", "numba"),
        }

    def save(self, folder: str | os.PathLike) -> Path:
        """Write `verdict.json` into a folder (made if need be); return its path. `verdict_page.save_page` writes the page."""
        path = Path(folder) / "verdict.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        with written_aside(path) as [aside]:
            aside.write_text(json.dumps(self.as_json(), indent=2, allow_nan=False) + "\n")
        return path


def verdict(
    agents: Anyone | str | Sequence[Anyone],
    id: str,
    *,
    split: str | None = DEFAULT_SPLIT,
    tasks: int = 100,
    episodes: int | None = None,
    seeds: int | Iterable[int] | None = None,
    lifetimes: int = 1,
    trained_on: int | None = None,
    source: Anyone | str | None = None,
    reach: int | None = None,
    progress: Progress = tell_nobody,
    **params: Any,
) -> Verdict:
    """Return what an agent is: it does not adapt, or by a heuristic, by recognising tasks, or by learning from reward.

    Args:
        agents: a learner, the name of one or of a reference, or a factory of players; or a list of factories, one for each
            trained model, which are taken for seeds of one method.
        id: as in `evaluate`.
        split: as in `evaluate`: tasks that the agent was not trained on. Shifted tasks are drawn of the same part.
        tasks: how many; at least 2.
        episodes: in a lifetime.
        seeds: how many, or which [default: 5, or of a list of agents one each].
        lifetimes: on each task.
        trained_on: how many episodes of a life the agent was trained on [default: what the card of a trained network that
            comes with the package says, or as many as a lifetime has].
        source: the learner that it was taught by, whose plateau is where going on need not be going up: a name or a player
            [default: what such a card says, or none].
        reach: up to how many times as many episodes as it was trained on are lived, to see whether the agent goes on beyond;
            it is looked at after 1, 2, 5 and 10 times as many [default: 10 for compiled players; for others what of 2, 5 and
            10 does not make a life more than twice as long as a lifetime, and 2 at least].
        progress: as in `evaluate`.
        params: the family's parameters.

    Raises:
        ValueError: what `evaluate` raises; fewer than two tasks; the agent looks at the hidden task, or cannot see through
            wrappers; a list of agents and `seeds` of another number; the best policy without memory does as well as the
            oracle, so that there is nothing to adapt for. The agent has lived nothing then.
        TypeError: what `evaluate` raises.
    """
    tasks, lifetimes = as_integer("tasks", tasks, 2), at_least_one("lifetimes", lifetimes)
    numbers = {"episodes": episodes, "trained_on": trained_on, "reach": reach}
    episodes, trained_on, reach = (value if value is None else at_least_one(name, value) for name, value in numbers.items())
    task_set = tasks_of(family_at(family_of(id)), "test", split, None, params)
    variant = task_set.variant
    models, chosen = _models(agents, variant, seeds)
    trained_on, source = training_of(models, variant, trained_on, source)
    if problem := _why_no_verdict(task_set, tasks):
        raise ValueError(f"no verdict on split={task_set.split!r} of {variant.name}: {problem}")
    shifts = {name: _shift_of(task_set, name, params, tasks) for name in STRUCTURAL}
    how: dict[str, Any] = {"split": task_set.split, "tasks": tasks, "lifetimes": lifetimes, "progress": progress, **params}
    score = functools.partial(_scored, id, models, chosen, how)
    first = score({_AGENT: lambda model: model}, episodes)
    lived, block = first.runs[_AGENT].episodes, 0 if first.unit == "episode" else first.unit_steps
    known = controls.controls_of(variant, _one_life_each(first), tasks=len(first.scale.random), episodes=lived, block=block)
    acting = [one for one in known if one.wrapper is not None]
    beside = {one.name: functools.partial(_under, one) for one in acting}
    beside |= {f"heuristic {name}": functools.partial(_always, player) for name, player in heuristics_of(variant).items()}
    others = score(beside, lived)
    shifted = {
        name: score({_AGENT: lambda model: model}, lived, split=shift.split)
        for name, shift in shifts.items()
        if not shift.why_not
    }
    beyond = None if block else Beyond.of(first, trained_on or lived, reach, models, source, score)
    fed = Feeding.of(first, models, 1 if block else lived, score)
    return _Findings(variant, first, others, shifted, beyond, fed, known, shifts).verdict(
        id_of(id), [described(model) for model in models], lived
    )


@dataclass(frozen=True)
class _Shift:
    """A split of tasks that are built otherwise, or why it has none."""

    split: str | None = None
    why_not: str = ""


def _shift_of(tasks: TaskSet, name: str, params: dict[str, Any], count: int) -> _Shift:
    """The same part of the tasks, and its shifts, under one shift more."""
    family = tasks.variant.family
    own = Split.read(tasks.split, family.__name__, family.shifts)
    if name not in family.shifts:
        return _Shift(why_not="the family has no such shift")
    if name in own.shifts:
        return _Shift(why_not=f"all tasks of split={tasks.split!r} are so")
    split = "+".join(filter(None, [own.part, *own.shifts, name]))
    try:
        problem = _why_no_verdict(TaskSet.of_family(family, split=split, **params), count)
    except ValueError as error:  # a shift that these parameters leave without tasks
        problem = str(error)
    return _Shift(why_not=problem) if problem else _Shift(split)


def _why_no_verdict(tasks: TaskSet, count: int) -> str:
    """Why the first tasks of a set tell nothing of who adapts; empty where they do.

    Raises:
        ValueError: none of them can be scored.
    """
    rows, scale, _ = scaled_tasks(tasks, count, LEAST_SPREAD)
    if len(rows) < 2:
        return f"a verdict needs at least two tasks that can be scored, and there is one in {tasks!r}"
    zero = memoryless_score(memoryless_returns(tasks.variant, rows), scale)
    if zero is not None and 1 - zero < _LEAST_ROOM:
        return f"the best policy without memory scores {zero:.3f}, where the oracle scores 1: there is nothing to adapt for"
    return ""


def _one_life_each(result: Result) -> Run:
    """The first life of the agent on each task for each seed, ordered as [seed, task]."""
    return result.runs[_AGENT][:: result.raw[_AGENT].shape[2]]


class _Findings:
    """Scores of all lives, and what is read off them."""

    def __init__(
        self,
        variant: Variant,
        first: Result,
        others: Result,
        shifted: dict[str, Result],
        beyond: Beyond | None,
        fed: Feeding,
        known: list[Control],
        shifts: dict[str, _Shift],
    ):
        self.variant, self.first, self.others, self.shifted, self.beyond, self.fed, self.known, self.shifts = (
            variant, first, others, shifted, beyond, fed, known, shifts,
        )  # fmt: skip
        # All that is compared has the same zero: one that is known on some tasks alone would move them against the others.
        self.zero_known = all(one.memoryless is not None for one in (first, *shifted.values()))
        self.intact = self._adaptation(first, _AGENT)

    def verdict(self, id: str, agents: list[str], episodes: int) -> Verdict:
        """Decide."""
        comparisons = classes.decided(self._comparisons())
        name, evidence = classes.classified(comparisons)
        beyond, own = self.beyond, self.first.curve(_AGENT)
        curves = {"agent": own if beyond is None or beyond.curve.shape[1] < own.shape[1] else beyond.curve}
        curves |= {name: self.others.curve(name) for name in self.others.raw}
        return Verdict(
            id=id,
            params=self.first.params,
            split=self.first.split,
            agents=list(dict.fromkeys(agents)),
            seeds=len(self.first.seeds),
            tasks=len(self.first.scale.random),
            episodes=episodes,
            name=name,
            evidence=evidence,
            comparisons=comparisons,
            rows=self._rows(),
            curves=curves,
            memoryless=self.first.memoryless_score if self.zero_known else None,
            recovery=self._recovery(),
            gain=self._gain(),
            trained_on=beyond.trained_on if beyond else episodes,
            reached=beyond.reached() if beyond else [],
            plateau=None if beyond is None or beyond.plateau is None else _interval(beyond.plateau),
            likenesses=self._likenesses(),
            unit=self.first.unit,
            adaptations=self._adaptations(),
        )

    def _adaptations(self) -> dict[str, np.ndarray]:
        """See `Verdict.adaptations`."""
        found = {"intact": self.intact}
        found |= {name: self._adaptation(self.others, name) for name in self.others.raw}
        fed = {row.name for row in self._fed_rows() if row.adaptation is not None}
        found |= {name: self._above_zero(values) for name, values in self.fed.scores.items() if name in fed}
        return found | {name: self._adaptation(result, _AGENT) for name, result in self.shifted.items()}

    def _comparisons(self) -> list[Comparison]:
        intact, found = self.intact, []
        found.append(compared(classes.ADAPTS, "A", intact, LEAST_ADAPTATION))
        drop = intact - self._under(controls.SWAPPED)
        found.append(compared(classes.NEEDS_FEEDBACK, "drop in A minus 20 % of A", drop - LEAST_DROP * intact, 0.0))
        if self._acts(controls.PERMUTED):
            left = self._under(controls.PERMUTED) - intact / 2
            found.append(compared(f"{classes.KEEPS}with actions permuted", _KEPT.format("control"), left, 0.0))
        for name, result in self.shifted.items():
            own, there = self._beside(result)
            found.append(compared(f"{classes.KEEPS}on {name}", _KEPT.format("shift"), there - own / 2, 0.0))
        if (guess := "heuristic which_part_inferring") in self.others.raw:
            more = intact - self._adaptation(self.others, guess)
            found.append(compared(classes.BEATS_GUESS, "A minus that of which_part_inferring", more, 0.0))
        if self._acts(controls.REFLECTED) and self._reflection_decides():
            below = -self.others.normalised(controls.REFLECTED).mean(axis=(2, 3))
            found.append(compared(classes.FOLLOWS_REFLECTED, "how far it scores below random play", below, 0.0))
        if self.beyond is not None and (goes_on := self.beyond.comparison()):
            found.append(goes_on)
        return found

    def _rows(self) -> list[Row]:
        rows = [Row("intact", "nothing is taken away", _interval(self.intact))]
        for one in self.known:
            if one.wrapper is None:
                rows.append(Row(one.name, one.takes, why_not=one.why_not))
                continue
            values = self._under(one.name)
            rows.append(Row(one.name, one.takes, _interval(values), _interval(self.intact - values)))
        rows += self._fed_rows()
        for name in STRUCTURAL:
            if name in self.shifted:
                own, there = self._beside(self.shifted[name])
                found = self._adaptation(self.shifted[name], _AGENT)
                rows.append(Row(name, "tasks are built otherwise", _interval(found), _interval(own - there)))
            else:
                rows.append(Row(name, "tasks are built otherwise", why_not=self.shifts[name].why_not))
        for name in heuristics_of(self.variant):
            values = self._adaptation(self.others, f"heuristic {name}")
            rows.append(Row(f"heuristic {name}", "another player", _interval(values), _interval(self.intact - values)))
        return rows

    def _fed_rows(self) -> list[Row]:
        """What it does after it was fed. Who does not go on from its own life as it did cannot be fed."""
        if self.fed.why_not:
            return [Row(name, says, why_not=self.fed.why_not) for name, says in controls.FED.items()]
        found = {name: self._above_zero(values) for name, values in self.fed.scores.items()}
        own, intact = found[controls.FED_OWN], self._above_zero(self.fed.intact)
        rows = [Row(controls.FED_OWN, controls.FED[controls.FED_OWN], _interval(own), _interval(intact - own))]
        lost = _interval(intact - own - LEAST_DROP * intact)
        for name in (controls.FED_OTHER, controls.FED_IN_DISORDER):
            if name not in found:
                rows.append(Row(name, controls.FED[name], why_not="one episode has no order"))
            elif lost.low > 0:
                why_not = "it cannot be fed: having looked on at its own life, it does not go on as it did"
                rows.append(Row(name, controls.FED[name], why_not=why_not))
            else:
                rows.append(Row(name, controls.FED[name], _interval(found[name]), _interval(own - found[name])))
        return rows

    def _recovery(self) -> float | None:
        """See `Verdict.recovery`."""
        if not self._acts(controls.PERMUTED_LATER) or self.others.is_cumulative:
            return None
        curve = self.others.normalised(controls.PERMUTED_LATER).mean(axis=(0, 1, 2))
        middle = len(curve) // 2
        before = curve[middle - max(1, middle // 5) : middle].mean()
        return float(np.maximum(0.0, before - curve[middle:]).sum())

    def _gain(self) -> Interval | None:
        values = self.first.normalised(_AGENT)
        return None if self.first.is_cumulative else over_seeds_and_tasks(values[..., -1:] - values[..., :1])

    def _likenesses(self) -> list[Likeness]:
        """How likely its actions are under known players, from one life on each task for each seed."""
        seeds, tasks = self.intact.shape
        return likenesses(_one_life_each(self.first), seeds) if tasks > 1 else []

    def _reflection_decides(self) -> bool:
        scale, tasks = self.first.scale, _one_life_each(self.first).tasks[: self.intact.shape[1]]
        return controls.reflection_decides(self.variant, tasks, scale.random, scale.oracle)

    def _acts(self, control: str) -> bool:
        return control in self.others.raw

    def _beside(self, shifted: Result) -> tuple[np.ndarray, np.ndarray]:
        """A of the intact agent, and A on shifted tasks, of as many of both, float64 [seed, task].

        They are other tasks, drawn independently of each other. So which stands beside which says nothing, and what tasks
        differ in, on either side, counts in the interval.
        """
        there = self._adaptation(shifted, _AGENT)
        count = min(there.shape[1], self.intact.shape[1])
        return self.intact[:, :count], there[:, :count]

    def _under(self, control: str) -> np.ndarray:
        return self._adaptation(self.others, control)

    def _adaptation(self, result: Result, name: str) -> np.ndarray:
        """A: the score above that of the best policy without memory, of what there is above it, float64 [seed, task]."""
        return self._above_zero(result.normalised(name), result)

    def _above_zero(self, values: np.ndarray, result: Result | None = None) -> np.ndarray:
        """The same of scores [seed, task, lifetime, unit] on the tasks of a result."""
        result = result or self.first
        whole = values[..., -1:] if result.is_cumulative else values
        zero = (result.memoryless_score or 0.0) if self.zero_known else 0.0
        return (whole.mean(axis=(2, 3)) - zero) / (1 - zero)


def _models(agents: Any, variant: Variant, seeds: Any) -> tuple[list[Anyone], list[int]]:
    """The agents, and the seed of each: one agent for all seeds, or each with a seed of its own.

    Raises:
        ValueError: one is told the hidden task, or cannot live under controls; there are more or fewer of them than seeds.
    """
    several = isinstance(agents, list | tuple)
    given = {str(i): agent for i, agent in enumerate(agents)} if several else {_AGENT: agents}
    models = list(players_by_name(given, variant, "agents").values())
    for model in models:
        if getattr(model, "transcript", None) is not None:
            raise ValueError(f"agents: {described(model)} writes a transcript, and a verdict is many runs: give one without")
        if getattr(model, "observes", "") == "world":
            raise ValueError(f"agents: {described(model)} looks at the hidden task, and has nothing to learn")
        shown = variant.observation_space, variant.action_space
        if isinstance(model, Player) and (problem := why_not_stepwise(model, variant, shown)):
            raise ValueError(f"agents: {problem}")
    numbers = different_seeds(seeds if seeds is not None else len(models) if several else _SEEDS)
    if several and len(numbers) != len(models):
        raise ValueError(f"agents holds {len(models)} models and seeds={seeds!r}: there must be one seed for each")
    return models, numbers


def _scored(
    id: str, models: list[Anyone], seeds: list[int], how: dict[str, Any], forms: dict, episodes: int | None, **other: Any
) -> Result:
    """Scores of each form of the agent: one model for all seeds, or each for its own."""
    how = {**how, "episodes": episodes, **other}
    if len(models) == 1:
        return evaluate(id, {name: form(models[0]) for name, form in forms.items()}, seeds=seeds, **how)
    return joined(
        [
            evaluate(id, {name: form(model) for name, form in forms.items()}, seeds=[seed], **how)
            for model, seed in zip(models, seeds, strict=True)
        ]
    )


def _under(control: Control, model: Anyone) -> Anyone:
    assert control.wrapper is not None
    return under(model, control.wrapper)


def _always(player: Anyone, model: Anyone) -> Anyone:
    return player


def _interval(values: np.ndarray) -> Interval:
    return over_seeds_and_tasks(values[:, :, None, None])


def _ends(found: Interval | None) -> dict[str, float | None] | None:
    return None if found is None else found.as_json()


def _number(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
