"""Runs: what was played, written down so that it can be lived again exactly, and all else computed from it."""

from __future__ import annotations

import hashlib
import itertools
import json
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from metarl_envs.engine.composing import Spec, spec_of
from metarl_envs.engine.envs.vector import FamilyVectorEnv
from metarl_envs.engine.family import Variant
from metarl_envs.engine.loops.trial import DISABLED, GIVEN_TASK
from metarl_envs.engine.player import Player
from metarl_envs.engine.worlds.task_rows import first_wrong, padded, same_fields
from metarl_envs.engine.worlds.worlds import TrialForm, Worlds
from metarl_envs.files import versions
from metarl_envs.histories.columns import Columns, action_dtype
from metarl_envs.histories.lives import Lives, Written
from metarl_envs.players.run_files import ARRAYS, FORMAT, files_of, read_arrays, read_header, write
from metarl_envs.task_sets import TaskSet
from metarl_envs.task_sets.files import known_family, named_in_files


@dataclass(frozen=True, eq=False)
class Run:
    """Lives that were lived, or boxes, as a rule to the end: all that is needed to live them again. One row each.

    Attributes:
        variant: the family or box with its parameters set.
        split: of the tasks.
        episodes: in a whole life.
        seats: who sat in each seat, as text; of a family, who lived.
        tasks: the task rows, [row].
        seeds: of the noise, uint64 [row].
        actions: what was done, [row, step, ...] with one axis for seats in a box, as the smallest integers that hold them (or
            as floats, where actions are). After the end of a life that was shorter than the longest there are zeros.
        steps: how many steps each row has, int64 [row]; fewer than a whole life where a player failed (see `PlayerError`).
        returns: what was paid in all, float64 [row] (in a box to all agents), and
        endings: a hash of the last state of each row, uint64 [row]: by these a replay is known to be exact.
    """

    variant: Variant
    split: str | None
    episodes: int
    seats: tuple[str, ...]
    tasks: np.ndarray
    seeds: np.ndarray
    actions: np.ndarray
    steps: np.ndarray
    returns: np.ndarray
    endings: np.ndarray

    def __len__(self) -> int:
        return len(self.seeds)

    def __repr__(self) -> str:
        neighbours = [(name, len(list(seats))) for name, seats in itertools.groupby(self.seats)]
        seats = ", ".join(name if count == 1 else f"{count} x {name}" for name, count in neighbours)
        most = self.actions.shape[1]
        return f"Run({self.variant.name}: {len(self)} rows of up to {most} steps, of {seats}, split={self.split!r})"

    @property
    def family(self) -> Spec:
        """What names the family or box, "module:Class" or the spec of a composed one."""
        return spec_of(self.variant.family)

    @property
    def params(self) -> dict[str, Any]:
        """Its parameters, all of them."""
        return self.variant.values

    def __getitem__(self, rows: slice | np.ndarray) -> Run:
        """The run of some of the rows: `run[3:4]` is row 3 alone, `run[indices]` these.

        Raises:
            TypeError: `rows` is neither a slice nor an array of indices or of truth values.
            ValueError: there is no such row.
        """
        if not isinstance(rows, slice | np.ndarray) or (isinstance(rows, np.ndarray) and rows.ndim != 1):
            raise TypeError(f"run[{rows!r}]: give a slice, such as run[3:4], which is a run of row 3 alone, or an index array")
        taken = {name: getattr(self, name)[rows] for name in ARRAYS}
        if not len(taken["seeds"]):
            raise ValueError(f"run[{rows!r}] has no rows: there are {len(self)}, from 0")
        return replace(self, **taken | {"actions": taken["actions"][:, : taken["steps"].max(initial=0)]})

    # ------------------------------------------------------------------------------------------- living again
    def scores(self, block: int = 0) -> np.ndarray:
        """Return what each episode (or block of `block` steps) paid, float64 [row, unit], by living all rows again, compiled.

        Raises:
            ValueError: rows were cut off before their end, or they end otherwise than they did.
        """
        if not self.actions.shape[1]:
            raise ValueError(f"{self!r} has no steps, and no scores")
        lives = Lives.of_actions(self.variant, self.actions)
        out = lives.score(self.seeds, self.tasks, self.episodes, block, None)
        self._check(lives.worlds.view(np.ndarray)["state"], lives.steps, out.sum(axis=1))
        return out

    def columns(self, *, labels: Sequence[str] = (), internals: Sequence[str] = (), player: Player | None = None) -> Written:
        """Live all rows again, compiled, and write down what follows: observations, rewards, flags, labels, internals.

        Args:
            labels: what of the ground truth is written beside them (`"optimal_action"`, `"q_star"`, `"regret"`).
            internals: what of the player that acted; it is given as `player`, lives again, and must do the same.
            player: the compiled player that acted.

        Returns:
            Columns by name, [row, step, ...], of which `steps[i]` count in row i (the others are zero).

        Raises:
            ValueError: a label or an internal is not known here; internals are asked for without the player, or the player
                acts otherwise than was recorded; the rows end otherwise than they did.
        """
        if player is not None and player.observes == "seat":
            raise ValueError(f"player={player!r} sits in a seat of a box, whose players' internals are not written down")
        if internals and player is None:
            raise ValueError(f"internals={list(internals)!r}: give the player that acted, such as player=QLearning()")
        variant, steps = self.variant, self.actions.shape[1]
        if player is None:
            lives = Lives.of_actions(variant, self.actions)
        else:
            lives = Lives(variant, player, len(self))
        columns = Columns(variant, lives.learner, internals, labels)
        written = lives.write(self.seeds, self.tasks, columns, lives.room(steps, columns), workers=None, steps=self.steps)
        for column in written.columns.values():
            for i in np.flatnonzero(self.steps < steps).tolist():
                column[i, self.steps[i] :] = 0
        if player is not None and not np.array_equal(written.columns["action"], self.actions):
            raise ValueError(f"player={player!r} acts otherwise than {self.seats[0]!r}, which was recorded")
        paid = written.columns["reward"].sum(axis=1, dtype=np.float64)
        self._check(lives.worlds.view(np.ndarray)["state"], self.steps, paid)
        return written

    def ground_truth(self) -> Iterator[dict[str, Any]]:
        """Live all rows again, step by step: what is known of each before the first step and after each, one element a row.

        It is what an environment with `ground_truth=True` tells in `info["metarl"]`: the task, Q* and regret, and the posterior
        over the tasks of the split, where they are known. (`columns` has Q* and regret of all steps at once, and faster.)
        Of a row that is over, all stays as it was told last.

        Raises:
            ValueError: the rows end otherwise than they did.
        """
        family, params = self.variant.family, self.variant.family.unshifted(self.split, self.params)
        tasks = TaskSet.of_family(family, split=self.split, **params)
        how = {"episodes_per_trial": self.episodes, "autoreset_mode": "Disabled", "ground_truth": True}
        envs = FamilyVectorEnv(tasks, num_envs=len(self), **how)
        _, info = envs.reset(seed=self.seeds.tolist(), options={"task": list(self.tasks)})
        truth, paid = info["metarl"], np.zeros(len(self))
        states = envs._worlds.worlds.view(np.ndarray)["state"]
        last = states.copy()
        yield truth
        for t in range(self.steps.max()):
            going, over = self.steps > t, self.steps == t
            if over.any():  # by its end or because it was cut off: it begins a trial that nobody looks at
                envs.reset(options={"reset_mask": over})
            _, rewards, ended, cut, info = envs.step(self._actions_at(t))
            if (unseen := (ended | cut) & ~going).any():
                envs.reset(options={"reset_mask": unseen})
            paid[going] += rewards[going]
            last[going] = states[going]
            truth = _told_of(going, info["metarl"], truth)
            yield truth
        self._check(last, self.steps, paid)

    def replay(self) -> Iterator[np.ndarray]:
        """Live all rows again, step by step: their states before the first step and after each, as rows.

        It is one array that moves on: copy what is to be kept. A row that is over keeps its last state.

        Raises:
            ValueError: the rows end otherwise than they did, because the rules have changed since.
        """
        paid, states = np.zeros(len(self)), np.empty(0)
        for states, rewards in self._lived_again():
            paid += rewards
            yield states
        self._check(states, self.steps, paid)

    def _lived_again(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Live all rows again, step by step: their states (in one array that moves on), and what was paid."""
        worlds = Worlds(TaskSet.of_family(self.variant.family, **self.params), len(self), TrialForm(self.episodes), DISABLED)
        everyone = np.ones(len(self), np.bool_)
        worlds.seed(everyone, self.seeds)
        worlds.task_rows[...] = self.tasks
        out = worlds.empty()
        worlds.begin(everyone, GIVEN_TASK, out)
        rows = worlds.worlds.view(np.ndarray)
        yield rows["state"], np.zeros(len(self))
        for t in range(self.steps.max()):
            over = np.flatnonzero(self.steps <= t)
            kept = rows[over]
            worlds.advance(self._actions_at(t), out)
            rows[over], out.rewards[over] = kept, 0
            yield rows["state"], out.rewards

    def _actions_at(self, t: int) -> np.ndarray:
        """What was done in step t; in rows that are over, where nobody looks, what was done in another."""
        actions = np.array(self.actions[:, t], self.variant.action.dtype)
        actions[self.steps <= t] = actions[self.steps > t][0]
        return actions

    def _check(self, states: np.ndarray, steps: np.ndarray, paid: np.ndarray) -> None:
        """ValueError where a replay came to other last states, lengths or returns than were recorded."""
        same = np.array_equal(endings_of(states), self.endings) and np.array_equal(steps, self.steps)
        if not same or not np.allclose(paid, self.returns, rtol=1e-9, atol=1e-9):
            raise ValueError(
                f"the run of {self.variant.name} ends otherwise than when it was recorded: {self._why_otherwise(steps)}"
            )

    def _why_otherwise(self, steps: np.ndarray) -> str:
        """Why living all rows again for so many steps came to something else."""
        if (self.steps < steps).any():
            return "it was cut off before its end, and has no scores (`columns` has what was paid in each step)"
        return "the rules have changed since. Play it again, or replay it with the version of metarl_envs that recorded it"

    # ------------------------------------------------------------------------------------------- files
    def save(self, path: str | os.PathLike) -> list[Path]:
        """Write `path.npz` and `path.json`, aside and then renamed, and the folder, where it is missing; the paths written.

        Raises:
            ValueError: the family could not be found again by its name, such as a class within a function.
            IsADirectoryError: `path` is a folder.
        """
        named_in_files(self.variant)
        header = {"format": FORMAT, "versions": versions("metarl-envs", "numpy"), **self._about()}
        header["fingerprint"] = self.fingerprint
        return write(path, header, {name: getattr(self, name) for name in ARRAYS})

    def _about(self) -> dict[str, Any]:
        about = {name: getattr(self, name) for name in ("family", "params", "split", "episodes")}
        return {**about, "seats": list(self.seats)}

    @property
    def fingerprint(self) -> str:
        """32 hex digits of all that a run consists of."""
        digest = hashlib.sha256(json.dumps([FORMAT, self._about()], sort_keys=True).encode())
        for name in ARRAYS[1:]:
            digest.update(np.ascontiguousarray(getattr(self, name)).tobytes())
        for field in _leaves(self.tasks):
            digest.update(field.tobytes())
        return digest.hexdigest()[:32]


def _told_of(rows: np.ndarray, now: Any, before: Any) -> Any:
    """What is told now of the rows [row] that are marked, and of the others what was told before."""
    if isinstance(now, dict):
        return {name: _told_of(rows, value, before[name]) for name, value in now.items()}
    told = before.copy()
    told[rows] = now[rows]
    return told


def played_by_hand(
    variant: Variant, task: np.ndarray, seed: int, actions: Sequence[Any], *, split: str | None, episodes: int, player: str
) -> Run:
    """Return the run of one trial that somebody played step by step, of one row.

    Args:
        variant: the family with its parameters set.
        task: the task row, of shape ().
        seed: what the environment was reset with.
        actions: what was done, at least one action.
        split: of the task.
        episodes: in the trial.
        player: who played, in words.
    """
    run = Run(
        variant=variant,
        split=split,
        episodes=episodes,
        seats=(player,),
        tasks=task.reshape(1),
        seeds=np.array([seed], np.uint64),
        actions=np.stack(actions)[None].astype(action_dtype(variant)),
        steps=np.array([len(actions)]),
        returns=np.zeros(1),
        endings=np.zeros(1, np.uint64),
    )
    return relived(run)


def ended(run: Run) -> Run:
    """Return the run, whose lives are whole, with the endings that living it again comes to."""
    lives = Lives.of_actions(run.variant, run.actions)
    lives.score(run.seeds, run.tasks, run.episodes, 0, None)
    return replace(run, endings=endings_of(lives.worlds.view(np.ndarray)["state"]))


def cut_off(run: Run) -> Run:
    """Return the run, whose lives were cut off, with the returns and endings that living it again comes to."""
    run = run[:]  # without actions that were not counted, where it was interrupted between the two
    lives = Lives.of_actions(run.variant, run.actions)
    columns = Columns(run.variant, lives.learner)
    written = lives.write(run.seeds, run.tasks, columns, lives.room(run.actions.shape[1], columns), steps=run.steps)
    paid = [reward[:steps].sum(dtype=np.float64) for reward, steps in zip(written.columns["reward"], run.steps, strict=True)]
    return replace(run, returns=np.array(paid), endings=endings_of(lives.worlds.view(np.ndarray)["state"]))


def relived(run: Run) -> Run:
    """Return the run with the returns and endings that living it again comes to."""
    paid, states = np.zeros(len(run)), np.empty(0)
    for states, rewards in run._lived_again():  # noqa: B007 (the last is what is needed)
        paid += rewards
    return replace(run, returns=paid, endings=endings_of(states))


def shortened(run: Run, steps: int) -> Run:
    """Return the run, whose rows are equally long, up to a step, with the returns and endings that it had there."""
    if run.actions.shape[1] == steps:
        return run
    return relived(replace(run, actions=run.actions[:, :steps], steps=np.full(len(run), steps, np.int64)))


def joined(runs: Sequence[Run]) -> Run:
    """Return one run of the rows of several, in order; ValueError where they differ in anything but rows and players.

    A seat whose player is described otherwise in some of them is described by all of these, "... or ...".
    """
    first = runs[0]
    for other in runs[1:]:
        alike = len(other.seats) == len(first.seats) and {**other._about(), "seats": None} == {**first._about(), "seats": None}
        if not alike:
            raise ValueError(f"runs differ: {first!r} and {other!r}")
    most = max(run.actions.shape[1] for run in runs)
    arrays = {name: np.concatenate([getattr(run, name) for run in runs]) for name in ARRAYS if name != "actions"}
    arrays["tasks"] = padded(arrays["tasks"], first.variant.task)
    actions = np.zeros((len(arrays["seeds"]), most, *first.actions.shape[2:]), first.actions.dtype)
    row = 0
    for run in runs:
        actions[row : row + len(run), : run.actions.shape[1]] = run.actions
        row += len(run)
    seats = tuple(alternatives(seat) for seat in zip(*(run.seats for run in runs), strict=True))
    return replace(first, **arrays, actions=actions, seats=seats)


def alternatives(described: Iterable[str]) -> str:
    """Return descriptions of who was here in turn as one, each once."""
    return " or ".join(dict.fromkeys(described))


def endings_of(states: np.ndarray) -> np.ndarray:
    """Return a hash of each state, uint64."""
    fields = list(_leaves(states))
    digests = (hashlib.sha256(b"".join(field[b].tobytes() for field in fields)).digest() for b in range(len(states)))
    return np.array([int.from_bytes(digest[:8], "little") for digest in digests], np.uint64)


def _leaves(rows: np.ndarray) -> Iterator[np.ndarray]:
    """Each field of rows that holds numbers, copied: what lies between fields is not told by what they mean."""
    for name in rows.dtype.names or ():
        field = rows[name]
        if field.dtype.names:
            yield from _leaves(field)
        else:
            yield np.ascontiguousarray(field)


def load(path: str | os.PathLike) -> Run:
    """Return a run from the files that `Run.save` wrote; either file's name will do, or their common stem.

    The files can run no code: a family from outside this package is found only where its module is imported already.

    Raises:
        FileNotFoundError: one of the two files is missing.
        ValueError: they are no run, are cut short or changed, or were written by a version with other rules.
    """
    arrays_path, about = files_of(path)
    if not about.exists() and not arrays_path.exists():
        raise FileNotFoundError(f"there is no run at {os.fspath(path)}: neither {about.name} nor {arrays_path.name} is there")
    for file in (about, arrays_path):
        if not file.exists():
            raise FileNotFoundError(f"{file} is missing: a run is two files, {about.name} and {arrays_path.name}")
    header = read_header(about)
    try:
        variant = known_family(header["family"]).with_params(**header["params"])
        variant.split(header["split"])
        if len(header["seats"]) != (seats := variant.family.seats(variant.p)):
            raise ValueError(f"{len(header['seats'])} seats of {seats}")
    except (TypeError, ValueError, OverflowError) as error:
        raise ValueError(f"{about} names a family that this version does not have: {error}") from None
    arrays = read_arrays(arrays_path)
    _check_arrays(arrays, variant, header["episodes"], arrays_path)
    arrays["tasks"] = padded(arrays["tasks"], variant.task)
    if wrong := first_wrong(variant, arrays["tasks"]):
        raise ValueError(f"{arrays_path} is no run of {variant}: the task of row {wrong[0]} is none: {wrong[1]}")
    run = Run(variant, header["split"], header["episodes"], tuple(header["seats"]), **arrays)
    if run.fingerprint != header["fingerprint"]:
        raise ValueError(
            f"{arrays_path} and {about.name} do not belong together, or have been changed since they were written: fetch both "
            "again, or make the run again"
        )
    return run


def _check_arrays(arrays: dict[str, np.ndarray], variant: Variant, episodes: int, path: Path) -> None:
    """Refuse arrays of other shapes and kinds than a run of this family has."""
    rows = len(arrays["seeds"]) if arrays["seeds"].ndim else 0
    form, actions = variant.action, arrays["actions"]
    most = actions.shape[1] if actions.ndim > 1 else 0
    wanted = {
        "seeds": (np.dtype(np.uint64), (rows,)),
        "actions": (action_dtype(variant), (rows, min(most, episodes * variant.horizon), *form.shape)),
        "steps": (np.dtype(np.int64), (rows,)),
        "returns": (np.dtype(np.float64), (rows,)),
        "endings": (np.dtype(np.uint64), (rows,)),
    }
    for name, (dtype, shape) in wanted.items():
        given = arrays[name]
        if given.dtype != dtype or given.shape != shape or not rows:
            raise ValueError(f"{path} is no run of {variant.name}: {name} is {given.dtype} {given.shape}, not {dtype} {shape}")
    tasks = arrays["tasks"]
    if tasks.shape != (rows,) or not same_fields(tasks.dtype, variant.task):
        raise ValueError(f"{path} is no run of {variant}: it holds tasks of {tasks.dtype}")
    if ((arrays["steps"] < 0) | (arrays["steps"] > most)).any():
        raise ValueError(f"{path} is no run of {variant}: it says that rows have {arrays['steps'].max()} steps, of {most}")
    lived = np.arange(most) < arrays["steps"][:, None]
    if not ((actions[lived] >= form.low) & (actions[lived] <= form.high)).all():
        raise ValueError(f"{path} is no run of {variant}: it holds actions outside of {form.low.min()} to {form.high.max()}")
