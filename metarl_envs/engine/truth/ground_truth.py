"""The ground truth: what `ground_truth=True` adds as `info["metarl"]`. It draws nothing and changes nothing."""

from __future__ import annotations

from typing import Any

import numpy as np

from metarl_envs.engine.family import Variant
from metarl_envs.engine.loops.trial import (
    EPISODE_START,
    IGNORED,
    INNER_TERMINATED,
    INNER_TRUNCATED,
    OLD_TERMINATED,
    OLD_TRUNCATED,
    TRIAL_START,
)
from metarl_envs.engine.records import Row
from metarl_envs.engine.truth.posterior import Belief, belief_for
from metarl_envs.engine.truth.solving import QFunction, exact_returns, solve
from metarl_envs.engine.worlds.masks import with_masks
from metarl_envs.engine.worlds.task_rows import task_hashes
from metarl_envs.engine.worlds.worlds import Outcome, Worlds

#: Solutions that are kept, by variant and task; how many.
_KNOWN: dict[tuple[Variant, int], tuple[QFunction | None, tuple[float, float]]] = {}
_REMEMBERED = 256


class GroundTruth:
    """Facts that follow from the hidden task, and from what has been seen of it. One element a row.

    Always:

    * `task`: the fields of the task row.
    * `task_id`: what the task means, uint64 (equal tasks have equal ids, whatever drew them).
    * `random_return`, `oracle_return`: exact expected returns of one episode, float64; NaN where they are not known.

    Where the value of every action is known exactly (`Family.solve`, or few states without chance; random starts too, with
    `Family.starts`):

    * `q_star`: float64 [actions], the best expected return of the rest of the episode for each action here and now.
    * `optimal_actions`: bool [actions], those of the highest value.
    * `regret`: float64, what the actions of this trial have given away so far: the sum of max Q* - Q*(action).

    Where it is known on the tasks of some rows only, the others have NaN, and no optimal action.

    Where the posterior is known exactly (a finite list of tasks and steps without chance, or `Family.prior`):

    * `posterior`: float64 [tasks], the probability of each task of `env.unwrapped.tasks` (with `num_tasks=k`, of its first k);
      or a dict of parameters. A task given by hand must be one of them. In a family whose tasks are those of others (a
      mixture), a dict with that of each part, NaN but for the part that the trial is in, over all tasks of that part.
    """

    def __init__(self, worlds: Worlds):
        self._worlds = worlds
        self._variant = worlds.variant
        count = worlds.count
        self._tasks = np.zeros(count, worlds.variant.task)  # copies: SAME_STEP asks for them when new ones are drawn
        self._ids = np.zeros(count, np.uint64)
        self._returns = np.full((count, 2), np.nan)
        self._solutions: list[QFunction | None] = [None] * count
        self._q: np.ndarray | None = None
        self._regret = np.zeros(count)
        self._beliefs: list[Belief] | None = belief_for(worlds) if worlds.observed else None
        self._begun = False

    def check_given(self, tasks: list[np.ndarray]) -> None:
        """ValueError where a task row that is given by hand is none that the posterior is over."""
        for task in tasks:
            if self._beliefs is not None and (problem := self._beliefs[0].why_not(task)):
                raise ValueError(problem)

    def stepped(self, actions: np.ndarray, out: Outcome) -> None:
        """Take in a step, before new trials are looked at."""
        flags = out.flags
        acted = ~flags[IGNORED]
        if self._q is not None:
            given = self._q[np.arange(len(actions)), actions]
            self._regret[acted] += (self._q.max(axis=1) - given)[acted]
            self._q[flags[OLD_TERMINATED] | flags[OLD_TRUNCATED]] = 0.0  # SAME_STEP: what `final_info` tells of an end
        if self._beliefs is not None:
            for i in np.flatnonzero(acted).tolist():
                of_trial = flags[OLD_TERMINATED, i] | flags[OLD_TRUNCATED, i]
                terminated = flags[INNER_TERMINATED, i] | flags[OLD_TERMINATED, i]
                truncated = flags[INNER_TRUNCATED, i] | flags[OLD_TRUNCATED, i]
                final = out.final if of_trial else out.inner_final
                then = (final if terminated | truncated else out.observations).view(np.ndarray)[i]
                self._beliefs[i].stepped(actions[i], out.rewards[i], bool(terminated), then)

    def begun(self, out: Outcome) -> None:
        """Look at the trials and episodes that have just begun, and at where every row stands now."""
        for i in np.flatnonzero(out.flags[TRIAL_START]).tolist():
            self._new_trial(i)
        if self._beliefs is not None:
            for i in np.flatnonzero(out.flags[EPISODE_START]).tolist():
                self._beliefs[i].episode(self._worlds.worlds.view(np.ndarray)[i], out.observations.view(np.ndarray)[i])
        self._q = None
        if any(solution is not None for solution in self._solutions):
            self._q = np.full((self._worlds.count, self._variant.actions), np.nan)
            for i, (solution, world) in enumerate(zip(self._solutions, self._worlds.worlds.view(np.ndarray), strict=True)):
                if world["over"]:
                    self._q[i] = 0.0  # an end is worth nothing more
                elif solution is not None:
                    self._q[i] = solution(Row(world["state"]), int(world["t"]))

    def info(self, present: np.ndarray) -> dict[str, Any]:
        """Fresh arrays, one element a row, and `present` as the mask of each."""
        tasks = self._tasks
        random_return, oracle_return = self._returns.T
        values: dict[str, Any] = {
            "task": _fields(tasks, present),
            "task_id": self._ids.copy(),
            "random_return": random_return.copy(),
            "oracle_return": oracle_return.copy(),
        }
        if self._q is not None:
            best = self._q.max(axis=1, keepdims=True)
            values |= {"q_star": self._q.copy(), "optimal_actions": self._q >= best - 1e-12, "regret": self._regret.copy()}
        if self._beliefs is not None:
            values["posterior"] = _stacked([belief.tell() for belief in self._beliefs], present)
        return with_masks(values, present)

    def single(self) -> dict[str, Any]:
        """Return the same for a single environment: the first row, without masks."""

        def first(values: dict[str, Any]) -> dict[str, Any]:
            return {
                name: first(value) if isinstance(value, dict) else value[0].copy()
                for name, value in values.items()
                if not name.startswith("_")
            }

        return first(self.info(np.ones(1, np.bool_)))

    def get_state(self) -> dict[str, Any]:
        """Return what does not follow from the worlds alone."""
        beliefs = None if self._beliefs is None else [belief.get_state() for belief in self._beliefs]
        return {"regret": self._regret.copy(), "beliefs": beliefs}

    def set_state(self, state: dict[str, Any]) -> None:
        """Put back what `get_state` gave; the worlds stand as they stood then."""
        out = self._worlds.empty()
        for i in range(self._worlds.count):
            self._new_trial(i)
        self._regret[...] = state["regret"]
        if self._beliefs is not None:
            for belief, kept in zip(self._beliefs, state["beliefs"], strict=True):
                belief.set_state(kept)
        self.begun(out)

    def __reduce__(self) -> tuple:
        """Copies solve their tasks anew: solutions are closures, which cannot be pickled."""
        return _remade, (self._worlds, self.get_state() if self._begun else None)

    def _new_trial(self, i: int) -> None:
        self._begun = True
        task = self._worlds.task_row(i)
        self._tasks[i] = task
        self._ids[i : i + 1] = task_hashes(self._variant, task.reshape(1))[0]
        self._solutions[i], self._returns[i] = _solved(self._variant, int(self._ids[i]), task.reshape(1))
        self._regret[i] = np.nan if self._solutions[i] is None else 0.0
        if self._beliefs is not None:
            self._beliefs[i].trial(task)


def _fields(rows: np.ndarray, present: np.ndarray) -> dict[str, Any]:
    """The fields of rows by name, as copies with masks; of a field that is a row itself (a part of a mixture) its fields."""
    fields = {name: rows[name] for name in rows.dtype.names or ()}
    return with_masks(
        {name: _fields(value, present) if value.dtype.names else np.array(value) for name, value in fields.items()}, present
    )


def _stacked(told: list[Any], present: np.ndarray) -> Any:
    """What is told of each row as one array, or where it has names one for each, with masks."""
    if not isinstance(told[0], dict):
        return np.stack(told)
    return with_masks({name: _stacked([one[name] for one in told], present) for name in told[0]}, present)


def _solved(variant: Variant, task_id: int, task: np.ndarray) -> tuple[QFunction | None, tuple[float, float]]:
    """A task's values and returns; the latest are remembered, since tasks come back and environments share them."""
    key = variant, task_id
    if key not in _KNOWN:
        if len(_KNOWN) >= _REMEMBERED:
            _KNOWN.pop(next(iter(_KNOWN)))
        _KNOWN[key] = solve(variant, task), exact_returns(variant, task) or (np.nan, np.nan)
    return _KNOWN[key]


def _remade(worlds: Worlds, state: dict[str, Any] | None) -> GroundTruth:
    truth = GroundTruth(worlds)
    if state is not None:  # a trial has begun
        truth.set_state(state)
    return truth
