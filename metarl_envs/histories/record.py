"""Recording: the histories of learners that act through a vector environment, such as neural ones."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from gymnasium.spaces import Discrete
from gymnasium.vector import AutoresetMode, VectorEnv, VectorWrapper

from metarl_envs.engine.arguments import at_least_one
from metarl_envs.engine.records import check_memory
from metarl_envs.histories.saving import save
from metarl_envs.histories.store import Histories, History

#: Called with the observations and the actions of a step: what to record of the learner's mind, [rows] or [rows, ...].
Mind = Callable[[np.ndarray, np.ndarray], Mapping[str, np.ndarray]]


class RecordHistory(VectorWrapper):
    """Records every step of a vector environment as learning histories, one a row (and trial).

    A learner that meets one task for its whole life is given an environment whose trial outlasts it: `num_tasks=1` or tasks
    by `reset(options={"task": ...})`, and many `episodes_per_trial`. Where a trial ends all the same, a new history begins.
    Rows of one learner share what they learn, so they are no independent histories; the manifest says how many learners
    there were. `close()`, or the last of the steps, writes the store; what was not closed is lost.

    Args:
        env: in SAME_STEP, with `info["trial"]`: one of this package, or any in `metarl_wrappers.VectorTrial`. Observations
            must be arrays.
        out: the folder that is written.
        steps: how many of each row are kept, at most: their memory is taken at once.
        learner: what the manifest says of who learned: JSON.
        mind: what else to record at each step.

    Raises:
        ValueError: the environment resets in another mode, does not tell of trials, or `steps` is below 1.
        FileExistsError: the folder is there already.
        MemoryError: so many steps do not fit.
    """

    def __init__(self, env: VectorEnv, out: str | os.PathLike, *, steps: int, learner: Any = None, mind: Mind | None = None):
        super().__init__(env)
        mode = env.metadata.get("autoreset_mode")
        if mode is not AutoresetMode.SAME_STEP:
            raise ValueError(f"the environment resets in {mode}: make it with autoreset_mode=AutoresetMode.SAME_STEP")
        if os.path.exists(out):
            raise FileExistsError(f"out={os.fspath(out)!r} is there already: give another folder")
        self._out, self._steps, self._learner, self._mind = out, at_least_one("steps", steps), learner, mind
        self._columns: dict[str, np.ndarray] = {}
        self._done = 0
        self._written = False
        self._seen: np.ndarray | None = None
        self._ends: list[list[tuple[int, np.ndarray]]] = [[] for _ in range(env.num_envs)]
        self._begins: list[list[tuple[int, int]]] = [[] for _ in range(env.num_envs)]  # of histories: step, task id

    @property
    def recorded(self) -> int:
        """Steps of each row that have been kept."""
        return self._done

    def reset(self, *, seed: Any = None, options: dict[str, Any] | None = None) -> tuple[np.ndarray, dict[str, Any]]:
        """Reset the environment. In rows where a trial begins, so does a history."""
        seen, info = self.env.reset(seed=seed, options=options)
        if "trial" not in info:
            raise ValueError("the environment does not tell of trials: put it in metarl_wrappers.VectorTrial first")
        if self._done and not self._written:
            for row in np.flatnonzero(info["trial"]["episode_start"]).tolist():  # what was cut off by the reset
                if not self._ends[row] or self._ends[row][-1][0] < self._done:
                    self._ends[row].append((self._done, np.array(self._last(row))))
        self._begin(info["trial"]["trial_start"], info)
        self._seen = np.array(seen)
        return seen, info

    def step(self, actions: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, dict[str, Any]]:
        """Step the environment, and keep what happened."""
        if self._seen is None or self._written:
            return self.env.step(actions)
        noted = {} if self._mind is None else self._mind(self._seen, np.asarray(actions))
        seen, rewards, terminated, truncated, info = self.env.step(actions)
        trial = info["trial"]
        ended = terminated | truncated
        self._keep(
            observation=self._seen,
            action=np.asarray(actions),
            reward=rewards,
            terminated=np.where(ended, terminated, trial["inner_terminated"]),
            truncated=np.where(ended, truncated, trial["inner_truncated"]),
            **noted,
        )
        self._done += 1
        for row in np.flatnonzero(ended | trial["inner_terminated"] | trial["inner_truncated"]).tolist():
            final = info["final_obs"][row] if ended[row] else trial["final_obs"][row]
            self._ends[row].append((self._done, np.array(final)))
        self._seen = np.array(seen)
        if self._done == self._steps:
            self._write()
        else:
            self._begin(ended, info)
        return seen, rewards, terminated, truncated, info

    def close(self, **kwargs: Any) -> None:
        """Write what has been recorded, and close the environment."""
        if self._done and not self._written:
            self._write()
        super().close(**kwargs)

    def histories(self) -> Histories:
        """The store that was written; RuntimeError while it is not."""
        if not self._written:
            raise RuntimeError(f"nothing is written yet: {self._done} of {self._steps} steps are recorded; close() writes them")
        from metarl_envs.histories.store import open as open_store

        return open_store(self._out)

    def _begin(self, rows: np.ndarray, info: dict[str, Any]) -> None:
        """Histories begin in these rows."""
        ids = info.get("metarl", {}).get("task_id")
        for row in np.flatnonzero(rows).tolist():
            if self._begins[row] and self._begins[row][-1][0] == self._done:
                self._begins[row].pop()  # reset again before anything happened
            self._begins[row].append((self._done, 0 if ids is None else int(ids[row])))

    def _keep(self, **columns: np.ndarray) -> None:
        """Write a step into the columns, which are made when the first one comes."""
        if not self._columns:
            self._columns = {name: self._room(name, np.asarray(array)) for name, array in columns.items()}
        for name, array in columns.items():
            self._columns[name][:, self._done] = array

    def _room(self, name: str, first: np.ndarray) -> np.ndarray:
        if first.shape[:1] != (self.num_envs,):
            raise ValueError(f"{name!r} has shape {first.shape}: its first axis must be the {self.num_envs} rows")
        dtype = first.dtype
        if name == "action" and isinstance(self.single_action_space, Discrete):
            dtype = np.result_type(np.min_scalar_type(int(self.single_action_space.n) - 1))
        check_memory(self.num_envs * self._steps, int(np.prod(first.shape[1:])) * dtype.itemsize, f"steps of {name!r}")
        return np.empty((self.num_envs, self._steps, *first.shape[1:]), dtype)

    def _last(self, row: int) -> np.ndarray:
        assert self._seen is not None
        return self._seen[row]

    def _write(self) -> None:
        for row, ends in enumerate(self._ends):
            if not ends or ends[-1][0] < self._done:
                ends.append((self._done, np.array(self._last(row))))  # cut off
        spec = self.env.spec
        about = {
            "id": None if spec is None else spec.id,
            "recorded": {"learner": self._learner, "rows": self.num_envs},
        }
        save((history for row in range(self.num_envs) for history in self._of_row(row)), self._out, about)
        self._written = True
        self._columns.clear()

    def _of_row(self, row: int) -> list[History]:
        """The histories of a row."""
        begins = [begin for begin in self._begins[row] if begin[0] < self._done]
        found = []
        for k, (lo, task_id) in enumerate(begins):
            hi = begins[k + 1][0] if k + 1 < len(begins) else self._done
            ends = [(end - lo, final) for end, final in self._ends[row] if lo < end <= hi]
            columns = {name: column[row, lo:hi] for name, column in self._columns.items()}
            when, finals = np.array([end for end, _ in ends], np.int64), np.stack([final for _, final in ends])
            found.append(History(columns, when, finals, task_id=task_id))
        return found
