"""Demonstrations: runs of boxes as learning histories, one for each life in each seat, for whoever learns by imitation.

Columns beside those of every history: `box` (its number in the run or the store), `seat`, `life` (how many were lived in this
seat before), `day` (0 where there are no days), `memory_reset` (whoever acts must begin anew, with what is observed now) and
`demonstrator` (who acted, by number). An observation is a row with the fields `observation` and `action_mask`.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Unpack

import numpy as np

from metarl_envs.arguments import Progress, as_seed, at_least_one, row_seeds, tell_nobody
from metarl_envs.boxes.envs.batch import BoxVectorEnv
from metarl_envs.boxes.parameters import BoxParameters
from metarl_envs.boxes.scenarios import box_named
from metarl_envs.boxes.scenarios.box import Box
from metarl_envs.boxes.study.runs import id_of, name_of, of_boxes, played, who_sits_where
from metarl_envs.boxes.view.numbers import view_length
from metarl_envs.boxes.world.lives import has_lives
from metarl_envs.boxes.world.mechanisms import verbs_of
from metarl_envs.engine import record
from metarl_envs.engine.composing import spec_of
from metarl_envs.engine.family import Variant
from metarl_envs.engine.player import Player
from metarl_envs.engine.worlds.task_rows import padded, task_hashes
from metarl_envs.files import versions
from metarl_envs.histories.columns import action_dtype
from metarl_envs.histories.history import History
from metarl_envs.histories.reading import told_forms
from metarl_envs.histories.saving import write_histories
from metarl_envs.histories.shard_files import FORMAT
from metarl_envs.histories.shard_plan import ShardPlan, units_a_shard
from metarl_envs.histories.store import Histories
from metarl_envs.players.run import Run, endings_of
from metarl_envs.task_sets import DEFAULT_SPLIT, TaskSet, tasks_of

#: Columns that say of what a step is, the same in all steps of a life but for `day`.
_WHERE = {
    "box": np.dtype(np.uint32),
    "seat": np.dtype(np.uint16),
    "life": np.dtype(np.uint16),
    "day": np.dtype(np.uint16),
    "demonstrator": np.dtype(np.uint16),
}
#: Who demonstrates: a scripted agent, or who sits in which seat.
Demonstrator = str | Player | Mapping[Any, Any]


def demonstrations(
    box: str | type[Box],
    demonstrators: Demonstrator | Sequence[Demonstrator],
    out: str | os.PathLike,
    *,
    boxes: int = 100,
    seed: int = 0,
    split: str | None = DEFAULT_SPLIT,
    workers: int = 1,
    resume: bool = False,
    progress: Progress = tell_nobody,
    **params: Unpack[BoxParameters],
) -> Histories:
    """Let scripted agents live in boxes, and write their lives into a folder as learning histories.

    Each history is one life in one seat, from the opening of the box or from birth, to death or to the end of the box: seat by
    seat, box by box. (A dawn ends no life.) Box i depends on (seed, i) and who sits in it alone, so its bytes are the same
    whether or not the work was interrupted. `histories.about` has the names of all `demonstrators`, which the column of that
    name tells by number. (For the other columns see `metarl_envs.boxes.study.demonstrations`.) An agent's `reward` is its own
    pay. A life ends `terminated` by death and `truncated` by the end of the box; where agents die there is no final
    observation, since the dead observe nothing.

    >>> from metarl_envs import boxes
    >>> lives = boxes.demonstrations("HazardBox", ["clean", "toxic"], "results/lives", boxes=10, preset="small", resume=True)
    >>> print(*lives.about["demonstrators"])
    clean toxic

    Args:
        box: the name of a box, or a class.
        demonstrators: the name of a scripted agent, which then sits in all seats, or a compiled player that observes a seat; or
            seats as `boxes.run` takes them, such as `{0: "toxic", "others": "clean"}`; or a list of these, of which box i has
            number i, and from the first again.
        out: the folder.
        boxes: how many.
        seed: box i draws its recipes and its noise from seed + i, as in `boxes.run`.
        split: of the recipe books; by default those to train on.
        workers: threads that write shards.
        resume: go on with what is in `out` of the same demonstrations.
        progress: called with "boxes", how many have been lived and written by now, and how many there are.
        params: parameters of the box; `levels` says how deep anybody can come.

    Raises:
        TypeError: somebody is no compiled player, so that the store could not say who demonstrated.
        ValueError: there is no such box, parameter or agent; a seat is empty or filled twice; `out` holds something else.
        FileExistsError: `out` holds these demonstrations already, and `resume` is not given.
        OSError: they do not fit onto the disk.
    """
    family = box_named(box)
    recipes = tasks_of(family, "train", split, None, params)
    lineups = _lineups(demonstrators, recipes.variant)
    players = list({id(player): player for lineup in lineups for player in lineup}.values())
    number_of = {id(player): k for k, player in enumerate(players)}
    boxes, variant = at_least_one("boxes", boxes), recipes.variant
    bytes_a_step = sum(dtype.itemsize for dtype in _columns(variant).values())
    per_shard = units_a_shard(boxes, variant.p.agents * variant.horizon * bytes_a_step)
    about = {
        "format": FORMAT,
        "id": id_of(family),
        "family": spec_of(family),
        "params": variant.values,
        "split": recipes.split,
        "fingerprint": recipes.fingerprint,
        "demonstrators": [name_of(player) for player in players],
        "lineups": [[number_of[id(player)] for player in lineup] for lineup in lineups],
        "seed": as_seed(seed),
        "boxes": boxes,
        "columns": told_forms({name: (dtype, ()) for name, dtype in _columns(variant).items()}),
        "boxes_a_shard": per_shard,
        "shards": -(-boxes // per_shard),
        "versions": versions("metarl-envs", "numpy", "gymnasium"),
    }
    plan = _Plan(about, recipes, players, bytes_a_step)
    return plan.to_disk(Path(out), workers=at_least_one("workers", workers), resume=resume, progress=progress)


def histories_of(run: Run) -> Iterator[History]:
    """Tell a run as learning histories, one for each life in each seat, box by box: `histories.save(histories_of(run), out)`.

    Demonstrators are numbered as they first appear among `run.seats`; `box` is the row of the run.

    Args:
        run: of boxes, whoever played them.

    Raises:
        ValueError: it was not played in boxes, it was cut off, or it does not repeat (see `Run.replay`).
    """
    names = list(dict.fromkeys(run.seats))
    for lives in _told(run, range(len(run)), names):
        yield from lives


@dataclass(frozen=True, eq=False)
class _Plan(ShardPlan):
    """Demonstrations that are to be written."""

    about: dict[str, Any]
    recipes: TaskSet
    players: list[Player]
    bytes_a_step: int

    @property
    def name(self) -> str:
        """Boxes are counted."""
        return "boxes"

    @property
    def units(self) -> tuple[int, int]:
        """How many boxes there are, and how many a shard holds."""
        return self.about["boxes"], self.about["boxes_a_shard"]

    @property
    def bytes(self) -> int:
        """Bytes of all columns together."""
        variant = self.recipes.variant
        return self.about["boxes"] * variant.p.agents * variant.horizon * self.bytes_a_step

    def write_shard(self, folder: Path, number: int) -> int:
        """Live the boxes of a shard and write them; its number."""
        numbers, lineups = range(*self._bounds(number)), self.about["lineups"]
        lived: dict[int, list[History]] = {}
        for k, lineup in enumerate(lineups):
            mine = [b for b in numbers if b % len(lineups) == k]
            if mine:
                lived |= dict(zip(mine, self._lives(mine, lineup), strict=True))
        write_histories(folder, number, self.about, [history for b in numbers for history in lived[b]])
        return number

    def _lives(self, numbers: Sequence[int], lineup: Sequence[int]) -> Iterator[list[History]]:
        """The lives in boxes of these numbers, with these players in their seats."""
        seeds = row_seeds(self.about["seed"], self.about["boxes"])[list(numbers)]
        run = played(self.recipes, [self.players[k] for k in lineup], seeds, None, tell_nobody)
        return _told(run, numbers, self.about["demonstrators"])


def _lineups(demonstrators: Demonstrator | Sequence[Demonstrator], variant: Variant) -> list[list[Player]]:
    """Who sits in each seat, of each of the lineups that take turns."""
    several = list(demonstrators) if isinstance(demonstrators, list | tuple) else [demonstrators]
    if not several:
        raise ValueError("demonstrators is empty: give at least one")
    lineups = [who_sits_where(each if isinstance(each, Mapping) else {"all": each}, variant) for each in several]
    if odd := [player for lineup in lineups for player in lineup if not isinstance(player, Player)]:
        raise TypeError(
            f"demonstrators: {odd[0]!r} is no compiled player: give scripted agents, such as 'greedy'; what others did in a "
            "run is saved by histories.save(boxes.histories_of(run), out)"
        )
    return lineups


# ------------------------------------------------------------------------------------------------- telling
def _columns(variant: Variant) -> dict[str, np.dtype]:
    """The dtype of each column; none has more than one element a step."""
    seen = record(
        observation=(np.float32, view_length(variant.p)),
        action_mask=(np.int8, verbs_of(variant.p).end),
    )
    flag = np.dtype(np.bool_)
    own = {"observation": seen, "action": action_dtype(variant), "reward": np.dtype(np.float64)}
    return own | {"terminated": flag, "truncated": flag, "memory_reset": flag} | _WHERE


def _told(run: Run, numbers: Sequence[int], names: Sequence[str]) -> Iterator[list[History]]:
    """The lives in each box of a run, whose numbers are given; `names` gives demonstrators their numbers."""
    variant = of_boxes(run).variant
    if (run.steps < variant.horizon).any():
        raise ValueError(f"{run!r} was cut off at step {run.steps.min()} of {variant.horizon}: resume it")
    lived = _Lived.of(run)
    tasks = padded(run.tasks, variant.task)
    ids, _ = task_hashes(variant, tasks)
    who = [names.index(name) for name in run.seats]
    for b, box in enumerate(numbers):
        whose = {"seed": int(run.seeds[b]), "task": tasks[b], "task_id": int(ids[b])}
        told: list[History] = []
        for i in range(variant.p.agents):
            where = {"box": box, "seat": i, "demonstrator": who[i]}
            told += [History(*part, **whose) for part in lived.lives(b, i, where)]
        yield told


@dataclass(frozen=True, eq=False)
class _Lived:
    """What all seats of a run observed, did and were paid, [box, seat, step] (`observation`: and after the last step).

    Attributes:
        variant: the box with its parameters set.
        columns: by name.
        died: whether a life ended with this step.
    """

    variant: Variant
    columns: dict[str, np.ndarray]
    died: np.ndarray

    @classmethod
    def of(cls, run: Run) -> _Lived:
        """Live a run again, and write down what was observed."""
        variant, forms = run.variant, _columns(run.variant)
        family: type[Box] = variant.family  # type: ignore[assignment]
        shape = len(run), variant.p.agents, variant.horizon
        seen, forgot = np.zeros((*shape[:2], shape[2] + 1), forms["observation"]), np.zeros(shape, np.bool_)
        paid, died = np.zeros(shape), np.zeros(shape, np.bool_)
        envs = BoxVectorEnv(family, len(run), autoreset_mode="Disabled", reuse_arrays=True, **run.params)
        view, info = envs.reset(seed=run.seeds.tolist(), options={"task": list(run.tasks)})
        for t in range(variant.horizon):
            for name, array in view.items():
                seen[name][:, :, t] = array
            forgot[:, :, t] = info["memory_reset"]
            view, paid[:, :, t], *_, info = envs.step(run.actions[:, t].astype(np.int64))
            if has_lives(variant.p):
                died[:, :, t] = envs.worlds["born"] == t + 1
        for name, array in view.items():
            seen[name][:, :, -1] = array
        if not np.array_equal(endings_of(envs.worlds), run.endings):
            raise ValueError(f"{run!r} ends otherwise than when it was recorded: the rules have changed since. Play it again")
        actions = np.moveaxis(run.actions, 1, 2)
        return cls(variant, {"observation": seen, "action": actions, "reward": paid, "memory_reset": forgot}, died)

    def lives(self, b: int, i: int, where: dict[str, int]) -> Iterator[tuple[dict[str, np.ndarray], np.ndarray, Any]]:
        """The lives in one seat of one box: columns, the end of the one episode that each is, and what was observed last."""
        horizon, day = self.variant.horizon, self.variant.p.day
        ends = sorted({*(np.flatnonzero(self.died[b, i]) + 1).tolist(), horizon})
        for life, (lo, hi) in enumerate(zip([0, *ends[:-1]], ends, strict=True)):
            columns = {name: array[b, i, lo:hi] for name, array in self.columns.items()}
            columns["terminated"] = self.died[b, i, lo:hi]
            columns["truncated"] = (np.arange(lo, hi) == horizon - 1) & ~columns["terminated"]
            steps = {**where, "life": life, "day": np.arange(lo, hi) // day if day else 0}
            columns |= {name: np.full(hi - lo, steps[name], dtype) for name, dtype in _WHERE.items()}
            final = None if has_lives(self.variant.p) else self.columns["observation"][b, i, hi:]
            yield {name: columns[name] for name in _columns(self.variant)}, np.array([hi - lo]), final
