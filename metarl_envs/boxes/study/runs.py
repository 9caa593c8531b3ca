"""Runs: many boxes lived to the end by any mixture of agents, and written down so that they can be lived again exactly."""

from __future__ import annotations

import functools
import hashlib
import itertools
import json
import numbers
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from metarl_envs.arguments import as_seed, at_least_one, row_seeds
from metarl_envs.boxes.players.policy_seats import Built, PolicyError, PolicySeats
from metarl_envs.boxes.players.scripted import SCRIPTED, Scripted
from metarl_envs.boxes.players.simulate import ScriptedSeats
from metarl_envs.boxes.scenarios import BOXES, box_named
from metarl_envs.boxes.scenarios.box import Box
from metarl_envs.boxes.study.run_files import ARRAYS, FORMAT, files_of, read_arrays, read_header, write
from metarl_envs.engine.family import Variant, load_family
from metarl_envs.engine.loops.trial import DISABLED, GIVEN_TASK, NEW_TASK
from metarl_envs.engine.records import check_memory
from metarl_envs.engine.worlds.task_rows import first_wrong, padded, same_fields
from metarl_envs.engine.worlds.worlds import TrialForm, Worlds
from metarl_envs.files import versions
from metarl_envs.task_sets import TaskSet


# ------------------------------------------------------------------------------------------------- the run
@dataclass(frozen=True, eq=False)
class Run:
    """Boxes that were lived, as a rule to the end: all that is needed to live them again.

    Attributes:
        id: the box, such as `"InventionBox"`, or `"module:Class"` for one of your own.
        params: its parameters, all of them.
        split: of the tasks.
        seats: who sat in each seat, as text, one for each agent.
        tasks: the recipes, one task row for each box.
        seeds: of the boxes' noise, uint64 [boxes].
        actions: what was done, int16 [boxes, steps, agents]; fewer steps than the horizon where a policy failed (see
            `PolicyError`).
        endings: a hash of the last state of each box, uint64 [boxes], by which a replay is known to be exact.
    """

    id: str
    params: dict[str, Any]
    split: str | None
    seats: tuple[str, ...]
    tasks: np.ndarray
    seeds: np.ndarray
    actions: np.ndarray
    endings: np.ndarray

    def __len__(self) -> int:
        return len(self.seeds)

    def __repr__(self) -> str:
        boxes, steps, agents = self.actions.shape
        neighbours = [(name, len(list(seats))) for name, seats in itertools.groupby(self.seats)]
        seats = ", ".join(name if count == 1 else f"{count} x {name}" for name, count in neighbours)
        return f"Run({self.id}: {boxes} boxes, {steps} steps, {agents} agents ({seats}), split={self.split!r})"

    @property
    def box(self) -> type[Box]:
        """The class of the box."""
        return _named(self.id)

    @functools.cached_property
    def variant(self) -> Variant:
        """The box with its parameters set."""
        return self.box.at(**self.params)

    def __getitem__(self, boxes: slice) -> Run:
        """The run of some of the boxes: `run[3:4]` is box 3 alone; TypeError for what is no slice."""
        if not isinstance(boxes, slice):
            raise TypeError(f"run[{boxes!r}]: give a slice, such as run[3:4], which is a run of box 3 alone")
        return replace(self, **{name: getattr(self, name)[boxes] for name in ARRAYS})

    def replay(self) -> Iterator[np.ndarray]:
        """Live the boxes again: the states of all of them before the first step and after each, rows [boxes].

        It is one array that moves on: copy what is to be kept.

        Raises:
            ValueError: the boxes end otherwise than they did, because the rules have changed since.
        """
        worlds = _open(TaskSet.of_family(self.box, **self.variant.values), self.seeds)
        worlds.task_rows[...] = self.tasks
        out = worlds.empty()
        worlds.begin(np.ones(len(self), np.bool_), GIVEN_TASK, out)
        states = worlds.worlds["state"]
        yield states
        for t in range(self.actions.shape[1]):
            worlds.advance(np.ascontiguousarray(self.actions[:, t], np.int64), out)
            yield states
        if not np.array_equal(_endings(states), self.endings):
            raise ValueError(
                f"this run of {self.id} ends otherwise than when it was recorded: the rules have changed since. Run it again, "
                "or replay it with the version of metarl_envs that recorded it"
            )

    def save(self, path: str | os.PathLike) -> list[Path]:
        """Write `path.npz` and `path.json`, aside and then renamed, and the folder, where it is missing; the paths written."""
        header = {
            "format": FORMAT,
            "versions": versions("metarl-envs", "numpy"),
            "id": self.id,
            "params": self.params,
            "split": self.split,
            "seats": list(self.seats),
        }
        header["fingerprint"] = _fingerprint(header, self)
        return write(path, header, {name: getattr(self, name) for name in ARRAYS})


def load(path: str | os.PathLike) -> Run:
    """A run from the files that `Run.save` wrote; either file's name will do, or their common stem.

    The files can run no code: a box from outside this package is found only where its module is imported already.

    Raises:
        FileNotFoundError: one of the two files is missing.
        ValueError: they are no run, are cut short or changed, or were written by a version with other rules.
    """
    arrays_path, about = files_of(path)
    for file in (about, arrays_path):
        if not file.exists():
            raise FileNotFoundError(f"{file} is missing: a run is two files, {about.name} and {arrays_path.name}")
    header = read_header(about)
    try:
        family = _named(header["id"])
        variant = family.at(**header["params"])
        variant.split(header["split"])
        if len(header["seats"]) != variant.p.agents:
            raise ValueError(f"{len(header['seats'])} seats of {variant.p.agents}")
    except (TypeError, ValueError, OverflowError) as error:
        raise ValueError(f"{about} names a box that this version does not have: {error}") from None
    arrays = read_arrays(arrays_path)
    _check_arrays(arrays, variant, arrays_path)
    arrays["tasks"] = padded(arrays["tasks"], variant.task)
    _check_tasks(arrays["tasks"], variant, arrays_path)
    run = Run(header["id"], variant.values, header["split"], tuple(header["seats"]), **arrays)
    if _fingerprint(header, run) != header["fingerprint"]:
        raise ValueError(
            f"{arrays_path} and {about.name} do not belong together, or have been changed since they were written: fetch both "
            "again, or make the run again"
        )
    return run


# ------------------------------------------------------------------------------------------------- running
def run(
    box: str | type[Box],
    seats: Mapping[Any, Any],
    boxes: int = 80,
    seed: int = 0,
    split: str | None = None,
    **params: Any,
) -> Run:
    """Live many boxes to the end, with any mixture of agents in their seats.

    A seat is filled by the name of a scripted agent (such as `"greedy"`), by a `Scripted` object (such as
    `NeverRepeat(draws=4)`), or by a factory of Python policies: `factory(seat=, action_space=, observation_space=, seed=)`
    returns an object with `act(observation, info)`, which returns the action. `observation` is a dict: `"observation"`,
    float32 in [0, 1], and `"action_mask"`, int8, 1 for each action that would do something. `info["memory_reset"]` says
    whether memory was reset. Every seat of every box has a policy of its own, and whenever the box resets an agent's memory
    (at the beginning, and at each dawn) its policy is thrown away and the factory builds another one, which is given nothing
    that was used before. What a policy knows the next day it has read in its notes; only a factory that remembers, or a
    policy that writes outside of itself (class attributes, globals, files), can cheat.

    >>> done = run("InventionBox", {0: "oracle", "others": "greedy"}, boxes=2, agents=3, horizon=20)
    >>> done.actions.shape
    (2, 20, 3)

    Args:
        box: the name of a box, or a class.
        seats: who sits where, by index (also from the end), `range`, tuple of indices, slice (a key from Python 3.12 on),
            `"all"` or `"others"`. Every seat is filled once.
        boxes: how many.
        seed: box i draws its recipes and its noise from seed + i, like row i of a vector environment.
        split: of the tasks (see `metarl_envs.tasks`); None has all.
        params: parameters of the box.

    Raises:
        ValueError, TypeError: there is no such box, parameter or agent; a seat is empty or filled twice.
        PolicyError: a policy or its factory raised an error; an action is out of range; a factory returned an object that was
            returned before. The error says in which box and seat, and at which step, and holds what was played until then.
    """
    family = box_named(box)
    boxes, seed = at_least_one("boxes", boxes), as_seed(seed)
    tasks = TaskSet.of_family(family, split=split, **params)
    variant, seeds = tasks.variant, row_seeds(seed, boxes)
    chosen = _who_sits_where(seats, variant.p.agents)
    players = _players(chosen, variant, seeds)
    check_memory(boxes * variant.horizon, 2 * variant.p.agents, "steps")
    actions = np.zeros((boxes, variant.horizon, variant.p.agents), np.int16)
    worlds = _open(tasks, seeds)
    out = worlds.empty()
    worlds.begin(np.ones(boxes, np.bool_), NEW_TASK, out)
    now = np.zeros((boxes, variant.p.agents), np.int64)

    def played(steps: int) -> Run:
        names = tuple(_name_of(policy) for policy in chosen)
        rows, endings = np.array(worlds.task_rows.view(np.ndarray)), _endings(worlds.worlds["state"])
        return Run(id_of(family), variant.values, tasks.split, names, rows, seeds, actions[:, :steps], endings)

    for t in range(variant.horizon):
        try:
            for player in players:
                player(worlds, out.observations, now)
        except PolicyError as error:
            error.run = played(t)
            error.add_note("Nothing is lost: this error's attribute `run` holds what was played until then (run.save keeps it)")
            raise
        actions[:, t] = now
        worlds.advance(now, out)
    return played(variant.horizon)


def _named(id: str) -> type[Box]:
    """The box that a file names; nothing is imported that is neither of this package nor imported already."""
    module, _, name = id.partition(":")
    if not name:
        return box_named(id)
    if module not in sys.modules:
        raise ValueError(f"box {id!r} is not known: import {module} first, if you trust it")
    return box_named(load_family(id))  # type: ignore[arg-type]


def id_of(family: type[Box]) -> str:
    """What a box is called in files: the name of one of this package, "module:Class" for others."""
    name, path = family.__name__, f"{family.__module__}:{family.__qualname__}"
    return name if BOXES.get(name) == path else path


def _open(tasks: TaskSet, seeds: np.ndarray) -> Worlds:
    """Boxes that are about to begin."""
    worlds = Worlds(tasks, len(seeds), TrialForm(), DISABLED)
    worlds.seed(np.ones(len(seeds), np.bool_), seeds)
    return worlds


# ------------------------------------------------------------------------------------------------- seats
def _who_sits_where(seats: Mapping[Any, Any], agents: int) -> list[Any]:
    """The policy of each seat."""
    if not isinstance(seats, Mapping):
        raise TypeError(f"seats={seats!r} must map seats to policies, such as {{0: 'oracle', 'others': 'greedy'}}")
    chosen: list[Any] = [None] * agents
    for key, policy in seats.items():
        if key == "others":
            continue
        for i in _seats_of(key, agents):
            if chosen[i] is not None:
                raise ValueError(f"seats names seat {i} twice")
            chosen[i] = _policy(policy)
    empty = [i for i in range(agents) if chosen[i] is None]
    if empty and "others" not in seats:
        raise ValueError(f"seats leaves {empty} empty: there are {agents} agents (the key 'others' fills the rest)")
    for i in empty:
        chosen[i] = _policy(seats["others"])
    return chosen


def _seats_of(key: Any, agents: int) -> list[int]:
    """The seats that a key names."""
    if isinstance(key, str) and key == "all":
        return list(range(agents))
    if isinstance(key, slice):
        return list(range(agents))[key]
    if isinstance(key, range | tuple):
        return [i for each in key for i in _seats_of(each, agents)]
    if isinstance(key, numbers.Integral) and not isinstance(key, bool):
        if not -agents <= int(key) < agents:
            raise ValueError(f"seats names seat {key}; there are {agents}, from 0 to {agents - 1}")
        return [int(key) % agents]
    raise ValueError(f"seats names {key!r}: give an index, a range, a tuple of them, a slice, 'all' or 'others'")


def _policy(policy: Any) -> Any:
    """A scripted agent or a factory; an error says what else was given."""
    if isinstance(policy, str):
        if policy not in SCRIPTED:
            raise ValueError(f"{policy!r} is no scripted agent; there are: {', '.join(SCRIPTED)}")
        return SCRIPTED[policy]
    if isinstance(policy, type) and issubclass(policy, Scripted):
        raise TypeError(f"{policy.__name__} is a class: write {policy.__name__}()")
    if isinstance(policy, Scripted):
        return policy
    if not callable(policy):
        raise TypeError(
            f"{policy!r} cannot sit in a box: give a scripted agent, or a factory that builds a policy (not the policy "
            "itself, since it must be built again whenever its memory is reset)"
        )
    return policy


def _name_of(policy: Any) -> str:
    for name, scripted in SCRIPTED.items():
        if scripted is policy:
            return name
    return repr(policy) if isinstance(policy, Scripted) else getattr(policy, "__name__", type(policy).__name__)


#: Writes the actions of some seats: given worlds, observations [boxes, agents, length] and actions int64 [boxes, agents].
Player = Callable[[Worlds, np.ndarray, np.ndarray], None]


def _players(chosen: list[Any], variant: Variant, seeds: np.ndarray) -> list[Player]:
    """One player for each different policy."""
    players: list[Player] = []
    built = Built()
    for policy in dict.fromkeys(chosen):
        seats = [i for i in range(len(chosen)) if chosen[i] is policy]
        if isinstance(policy, Scripted):
            mask = np.zeros((len(seeds), len(chosen)), np.bool_)
            mask[:, seats] = True
            players.append(_scripted(ScriptedSeats(policy, variant, mask)))
        else:
            players.append(PolicySeats(policy, variant, seats, seeds, built))
    return players


def _scripted(seats: ScriptedSeats) -> Player:
    return lambda worlds, observations, actions: seats.act(worlds.task_rows, worlds.worlds, actions)


# ------------------------------------------------------------------------------------------------- files
def _endings(states: np.ndarray) -> np.ndarray:
    """A hash of each state, uint64."""
    fields = [np.ascontiguousarray(states[name]) for name in states.dtype.names or ()]
    digests = (hashlib.sha256(b"".join(field[b].tobytes() for field in fields)).digest() for b in range(len(states)))
    return np.array([int.from_bytes(digest[:8], "little") for digest in digests], np.uint64)


def _check_arrays(arrays: dict[str, np.ndarray], variant: Variant, path: Path) -> None:
    """Refuse arrays of other shapes and kinds than a run of this box has."""
    boxes = len(arrays["seeds"]) if arrays["seeds"].ndim else 0
    steps = arrays["actions"].shape[1] if arrays["actions"].ndim == 3 else 0
    wanted = {
        "seeds": (np.dtype(np.uint64), (boxes,)),
        "actions": (np.dtype(np.int16), (boxes, min(steps, variant.horizon), variant.p.agents)),
        "endings": (np.dtype(np.uint64), (boxes,)),
    }
    for name, (dtype, shape) in wanted.items():
        given = arrays[name]
        if given.dtype != dtype or given.shape != shape or not boxes:
            raise ValueError(f"{path} is no run of {variant.name}: {name} is {given.dtype} {given.shape}, not {dtype} {shape}")
    tasks = arrays["tasks"]
    if tasks.shape != (boxes,) or not same_fields(tasks.dtype, variant.task):
        raise ValueError(f"{path} is no run of {variant}: it holds tasks of {tasks.dtype}")
    if ((arrays["actions"] < 0) | (arrays["actions"] > variant.action.high.max())).any():
        raise ValueError(f"{path} is no run of {variant}: it holds actions outside of 0 to {variant.action.high.max()}")


def _check_tasks(tasks: np.ndarray, variant: Variant, path: Path) -> None:
    """Refuse rows that are no tasks of this box: rules look recipes up in arrays of its size."""
    if wrong := first_wrong(variant, tasks):
        raise ValueError(f"{path} is no run of {variant}: the task of box {wrong[0]} is none: {wrong[1]}")


def _fingerprint(header: dict[str, Any], run: Run) -> str:
    """32 hex digits of all that a run consists of."""
    about = json.dumps([header[name] for name in ("format", "id", "params", "split", "seats")], sort_keys=True)
    digest = hashlib.sha256(about.encode())
    for name in ("seeds", "actions", "endings"):
        digest.update(np.ascontiguousarray(getattr(run, name)).tobytes())
    for name in run.tasks.dtype.names or ():
        digest.update(np.ascontiguousarray(run.tasks[name]).tobytes())
    return digest.hexdigest()[:32]
