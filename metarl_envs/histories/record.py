"""Recording: the histories of learners that act through a vector environment, such as neural ones."""

from __future__ import annotations

import math
import os
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from gymnasium.spaces import Box, Discrete, MultiBinary, MultiDiscrete, Space
from gymnasium.vector import AutoresetMode, VectorEnv, VectorWrapper

from metarl_envs.arguments import at_least_one
from metarl_envs.engine.records import check_memory
from metarl_envs.histories.columns import smallest_integers
from metarl_envs.histories.history import History
from metarl_envs.histories.layout import TRANSITION, as_json, check_columns
from metarl_envs.histories.saving import save
from metarl_envs.histories.store import Histories, load

#: Called with the observations and the actions of a step: which internals of the learner to record, [rows] or [rows, ...].
Internals = Callable[[np.ndarray, np.ndarray], Mapping[str, np.ndarray]]


class RecordHistory(VectorWrapper):
    """Records every step of a vector environment as learning histories, one a row (and trial).

    A learner that meets one task for its whole life is given an environment whose trial outlasts it: `num_tasks=1` or tasks
    by `reset(options={"task": ...})`, and many `episodes_per_trial`. Where a trial ends all the same, a new history begins.
    Rows of one learner share what they learn, so they are no independent histories; the manifest says how many learners
    there were.

    `close()`, or the last of the steps, writes the store. Where that fails (the disk is full, say), what was recorded is kept:
    `write("another folder")` tries again. A recorder that is thrown away unwritten warns (`ResourceWarning`).

    Args:
        env: in SAME_STEP, with `info["trial"]`: one of this package, or any in `metarl_wrappers.VectorTrial`. Observations
            and actions must be arrays (no Dict, no Tuple).
        out: the folder that is written.
        steps: how many of each row are kept, at most: their memory is taken at once.
        learner: what the manifest says of who learned: anything that JSON holds.
        internals: what else to record at each step: the same names, shapes and dtypes each time.

    Raises:
        TypeError: `learner` holds what JSON has not; `steps` is no integer.
        ValueError: the environment resets in another mode, does not tell of trials, or has observations or actions that are no
            arrays; `steps` is below 1. In `step`: `internals` gives other names, shapes or dtypes than in the first step, or
            names that no column can have; an action lies outside of the space. The environment has not been stepped then.
        FileExistsError: the folder is there already.
        MemoryError: so many steps do not fit.
    """

    def __init__(
        self, env: VectorEnv, out: str | os.PathLike, *, steps: int, learner: Any = None, internals: Internals | None = None
    ):
        super().__init__(env)
        mode = env.metadata.get("autoreset_mode")
        if mode is not AutoresetMode.SAME_STEP:
            raise ValueError(f"the environment resets in {mode}: make it with autoreset_mode=AutoresetMode.SAME_STEP")
        for what, space in (("observations", env.single_observation_space), ("actions", env.single_action_space)):
            if not isinstance(space, Box | Discrete | MultiDiscrete | MultiBinary):
                raise ValueError(f"{what} are {space}, and histories hold arrays: flatten them first")
        self._out = Path(out).absolute()
        if self._out.exists():
            raise FileExistsError(f"out={os.fspath(out)!r} is there already: give another folder")
        self._steps, self._learner, self._internals = at_least_one("steps", steps), as_json("learner", learner), internals
        self._columns: dict[str, np.ndarray] = {}
        self._noted: tuple[str, ...] | None = None  # names that `internals` gave in the first step
        self._done = 0
        self._written = False
        self._seen: np.ndarray | None = None
        self._ends: list[list[tuple[int, np.ndarray]]] = [[] for _ in range(env.num_envs)]
        self._begins: list[list[tuple[int, int]]] = [[] for _ in range(env.num_envs)]  # of histories: step, task id

    @property
    def recorded(self) -> int:
        """Steps of each row that have been kept."""
        return self._done

    @property
    def _full(self) -> bool:
        return self._written or self._done == self._steps

    def reset(self, *, seed: Any = None, options: dict[str, Any] | None = None) -> tuple[np.ndarray, dict[str, Any]]:
        """Reset the environment. In rows where a trial begins, so does a history."""
        seen, info = self.env.reset(seed=seed, options=options)
        if "trial" not in info:
            raise ValueError("the environment does not tell of trials: put it in metarl_wrappers.VectorTrial first")
        if self._full:
            return seen, info
        if self._done:
            for row in np.flatnonzero(info["trial"]["episode_start"]).tolist():  # what was cut off by the reset
                self._end_by_cut(row)
        self._begin(info["trial"]["trial_start"], info)
        self._seen = np.array(self._fitting("observation", seen))
        return seen, info

    def step(self, actions: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, dict[str, Any]]:
        """Step the environment, and keep what happened."""
        if self._seen is None or self._full:
            return self.env.step(actions)
        before = {"observation": self._seen, **self._told_by_the_learner(self._seen, np.asarray(actions))}
        seen, rewards, terminated, truncated, info = self.env.step(actions)
        trial = info["trial"]
        ended = terminated | truncated
        after = {
            "reward": np.asarray(rewards, np.float64),
            "terminated": np.where(ended, terminated, trial["inner_terminated"]),
            "truncated": np.where(ended, truncated, trial["inner_truncated"]),
        }
        for name, array in (before | after).items():
            self._columns[name][:, self._done] = self._fitting(name, array)
        self._done += 1
        for row in np.flatnonzero(ended | trial["inner_terminated"] | trial["inner_truncated"]).tolist():
            final = info["final_obs"][row] if ended[row] else trial["final_obs"][row]
            self._ends[row].append((self._done, np.array(final)))
        self._seen = np.array(self._fitting("observation", seen))
        if self._done == self._steps:
            self.write()
        else:
            self._begin(ended, info)
        return seen, rewards, terminated, truncated, info

    def write(self, out: str | os.PathLike | None = None) -> Histories:
        """Write what has been recorded, and return the store. Nothing is recorded after that.

        Args:
            out: another folder than the one that was given first, where that one cannot be written.

        Raises:
            RuntimeError: nothing has been recorded, or it has been written already.
            OSError: the folder is there already, or cannot be written. What was recorded is kept.
        """
        if self._written or not self._done:
            raise RuntimeError(f"it is written already, in {self._out}" if self._written else "nothing has been recorded yet")
        if out is not None:
            self._out = Path(out).absolute()
        for row in range(self.num_envs):
            self._end_by_cut(row)
        spec = self.env.spec
        about = {
            "id": None if spec is None else spec.id,
            "recorded": {"learner": self._learner, "rows": self.num_envs},
        }
        kept = save((history for row in range(self.num_envs) for history in self._of_row(row)), self._out, about)
        self._written = True
        self._columns.clear()
        return kept

    def close(self, **kwargs: Any) -> None:
        """Write what has been recorded, and close the environment."""
        try:
            if self._done and not self._written:
                self.write()
        finally:
            super().close(**kwargs)

    def __del__(self) -> None:
        if self.__dict__.get("_done") and not self._written:
            lost = f"{self._done} recorded steps were never written to {self._out}: close() writes them"
            warnings.warn(lost, ResourceWarning, stacklevel=2, source=self)

    def histories(self) -> Histories:
        """Return the store that was written; RuntimeError while it is not."""
        if not self._written:
            raise RuntimeError(f"nothing is written yet: {self._done} of {self._steps} steps are recorded; close() writes them")
        return load(self._out)

    def _begin(self, rows: np.ndarray, info: dict[str, Any]) -> None:
        """Histories begin in these rows."""
        ids = info.get("metarl", {}).get("task_id")
        for row in np.flatnonzero(rows).tolist():
            if self._begins[row] and self._begins[row][-1][0] == self._done:
                self._begins[row].pop()  # reset again before anything happened
            self._begins[row].append((self._done, 0 if ids is None else int(ids[row])))

    def _end_by_cut(self, row: int) -> None:
        """The episode of a row ends here, where it has not ended already."""
        assert self._seen is not None
        if not self._ends[row] or self._ends[row][-1][0] < self._done:
            self._ends[row].append((self._done, self._seen[row].copy()))

    def _told_by_the_learner(self, seen: np.ndarray, actions: np.ndarray) -> dict[str, np.ndarray]:
        """What is known of a step before it is taken: the actions, and what `internals` says. The first makes room."""
        actions = _within(self.single_action_space, actions)
        noted = {} if self._internals is None else self._internals(seen, actions)
        if not isinstance(noted, Mapping):
            raise TypeError(f"internals returned {noted!r}: it must return names and arrays")
        noted = {name: np.asarray(array) for name, array in noted.items()}
        if self._noted is None:
            self._make_room(seen, actions, noted)
            self._noted = tuple(noted)
        if odd := set(noted) ^ set(self._noted):
            raise ValueError(
                f"internals: {sorted(odd, key=str)[0]!r} is not in every step; the first one had {list(self._noted)}"
            )
        return {name: self._fitting(name, array) for name, array in {"action": actions, **noted}.items()}

    def _make_room(self, seen: np.ndarray, actions: np.ndarray, noted: Mapping[str, np.ndarray]) -> None:
        """Make columns for arrays like these."""
        if own := [name for name in noted if name in TRANSITION]:
            raise ValueError(f"internals: {own[0]!r} is recorded already: give it another name")
        rows = {"observation": seen, "action": actions, "reward": np.zeros(self.num_envs)}
        rows |= {name: np.zeros(self.num_envs, np.bool_) for name in ("terminated", "truncated")} | dict(noted)
        for name, array in rows.items():
            if array.shape[:1] != (self.num_envs,):
                raise ValueError(f"{name!r} has shape {array.shape}: its first axis must be the {self.num_envs} rows")
        forms = {name: (array.dtype, array.shape[1:]) for name, array in rows.items()}
        forms["action"] = (_dtype_of(self.single_action_space, actions.dtype), actions.shape[1:])
        check_columns(forms)
        steps = self.num_envs * self._steps
        check_memory(steps, sum(math.prod(shape) * dtype.itemsize for dtype, shape in forms.values()), "steps")
        self._columns = {n: np.empty((self.num_envs, self._steps, *shape), dtype) for n, (dtype, shape) in forms.items()}

    def _fitting(self, name: str, array: np.ndarray) -> np.ndarray:
        """The array of a step, if its column can hold it exactly; ValueError where it cannot."""
        array = np.asarray(array)
        column = self._columns.get(name)
        if column is None:
            return array
        shape = (self.num_envs, *column.shape[2:])
        if array.shape != shape:
            raise ValueError(f"{name!r} has shape {array.shape}, and had {shape} in the first step")
        narrowed = name == "action" and array.dtype.kind in "iu"  # `_within` has looked at every value
        if not narrowed and not np.can_cast(array.dtype, column.dtype, "safe"):
            raise ValueError(f"{name!r} has dtype {array.dtype}, and had {column.dtype} in the first step: give one for all")
        return array

    def _of_row(self, row: int) -> list[History]:
        """The histories of a row."""
        begins = [begin for begin in self._begins[row] if begin[0] < self._done]
        found = []
        for k, (lo, task_id) in enumerate(begins):
            hi = begins[k + 1][0] if k + 1 < len(begins) else self._done
            ends = [(end - lo, final) for end, final in self._ends[row] if lo < end <= hi]
            columns = {name: column[row, lo:hi] for name, column in self._columns.items()}
            when = np.array([end for end, _ in ends], np.int64)
            finals = np.stack([final for _, final in ends]).astype(columns["observation"].dtype, casting="safe")
            found.append(History(columns, when, finals, task_id=task_id))
        return found


def _bounds(space: Space) -> tuple[np.ndarray, np.ndarray] | None:
    """The lowest and the highest of actions that are counted; None of others."""
    if isinstance(space, Discrete):
        return np.asarray(space.start), np.asarray(space.start + space.n - 1)
    if isinstance(space, MultiDiscrete):
        return space.start, space.start + space.nvec - 1
    return None


def _dtype_of(space: Space, given: np.dtype) -> np.dtype:
    """The dtype in which actions are kept: counted ones as the smallest integers that hold all, others as they are given."""
    bounds = _bounds(space)
    return given if bounds is None else smallest_integers(int(bounds[0].min()), int(bounds[1].max()))


def _within(space: Space, actions: np.ndarray) -> np.ndarray:
    """The same actions, one a row; ValueError where they have another shape, or are to be counted and cannot be."""
    if actions.shape[1:] != space.shape:
        raise ValueError(f"actions have shape {actions.shape}, and each of {space} has {space.shape}")
    bounds = _bounds(space)
    if bounds is not None:
        if actions.dtype.kind not in "iu":
            raise ValueError(f"actions have dtype {actions.dtype}: those of {space} are integers")
        if ((actions < bounds[0]) | (actions > bounds[1])).any():
            raise ValueError(f"actions {actions.tolist()} are not all in {space}")
    return actions
