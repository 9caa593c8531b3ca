"""One learning history, and many of them one after the other in flat arrays."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from metarl_envs.arguments import as_seed
from metarl_envs.histories.layout import Form, check_columns, check_ends, check_episodes
from metarl_envs.histories.reading import refusing


@dataclass(frozen=True)
class Shard:
    """Histories one after the other, in flat arrays.

    Attributes:
        columns: by name, [steps, ...].
        offsets: where each history begins, and the end of the last, int64 [histories + 1].
        episode_end: the step after the last of each episode, int64 [episodes]. A history's last episode may be cut off.
        final_observation: what was seen after the last step of each episode, [episodes, ...]; None where nobody knows.
        seed: of each history, uint64 [histories] (see `collect`).
        task: the task row of each history; None where there is none.
        task_id: what the task means, uint64 [histories].
        path: its folder; None in memory.
    """

    columns: dict[str, np.ndarray]
    offsets: np.ndarray
    episode_end: np.ndarray
    final_observation: np.ndarray | None
    seed: np.ndarray
    task: np.ndarray | None
    task_id: np.ndarray
    path: Path | None = None

    @functools.cached_property
    def episode_offsets(self) -> np.ndarray:
        """The first episode of each history, and the end of the last, int64 [histories + 1]; StoreError where none is."""
        with refusing(self.path or "a shard in memory"):
            check_ends(self.offsets, self.episode_end)
        return np.searchsorted(self.episode_end, self.offsets, side="right")


@dataclass(frozen=True, eq=False)
class History(Mapping[str, np.ndarray]):
    """One history: its columns by name, [steps, ...], none of them copied.

    Attributes:
        columns: the columns by name; `history["reward"]` is one of them.
        episode_end: the step after the last of each episode, int64 [episodes]; the last one may be cut off.
        final_observation: what was seen after the last step of each episode, [episodes, ...]; None where that is not known.
        seed: a single environment reset with it, on the same task, meets the same luck; 0 where that is not known.
        task: the task row; None where that is not known.
        task_id: what the task means.
    """

    columns: Mapping[str, np.ndarray]
    episode_end: np.ndarray
    final_observation: np.ndarray | None
    seed: int = 0
    task: np.void | None = None
    task_id: int = 0

    @classmethod
    def of(cls, shard: Shard, number: int) -> History:
        """Return a history of a shard."""
        lo, hi = (int(at) for at in shard.offsets[number : number + 2])
        first, end = (int(at) for at in shard.episode_offsets[number : number + 2])
        return cls(
            {name: column[lo:hi] for name, column in shard.columns.items()},
            shard.episode_end[first:end] - lo,
            None if shard.final_observation is None else shard.final_observation[first:end],
            int(shard.seed[number]),
            None if shard.task is None else shard.task[number],
            int(shard.task_id[number]),
        )

    def __getitem__(self, name: str) -> np.ndarray:
        return self.columns[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.columns)

    def __len__(self) -> int:
        return len(self.columns)

    @property
    def steps(self) -> int:
        """How long it is."""
        return len(self.columns["reward"])

    @property
    def episodes(self) -> int:
        """How many episodes it has, the last one perhaps cut off."""
        return len(self.episode_end)

    @property
    def episode_start(self) -> np.ndarray:
        """Whether each step is the first of an episode, bool [steps]."""
        start = np.zeros(self.steps, np.bool_)
        start[0] = True
        start[self.episode_end[:-1]] = True
        return start

    def episode(self, number: int) -> dict[str, np.ndarray]:
        """One episode: its columns by name, and `final_observation` where it is known."""
        if not -self.episodes <= number < self.episodes:
            raise IndexError(f"episode {number}: this history has {self.episodes}")
        number %= self.episodes
        lo = int(self.episode_end[number - 1]) if number else 0
        part = {name: self[name][lo : self.episode_end[number]] for name in self}
        return part if self.final_observation is None else {**part, "final_observation": self.final_observation[number]}

    def returns(self) -> np.ndarray:
        """Return the return of each episode, float64 [episodes]; of one that was cut off, what was paid so far."""
        starts = np.concatenate([[0], self.episode_end[:-1]])
        return np.add.reduceat(self["reward"].astype(np.float64), starts)


def check_history(history: History) -> dict[str, Form]:
    """See that a history is whole, and return the dtypes and shapes of its columns.

    Raises:
        TypeError: a column or a table is no array; the seed or the task's id is no integer.
        ValueError: a name, a dtype, a length, or the ends of the episodes are wrong (the message says which, and how).
    """
    arrays = {f"column {name!r}": column for name, column in history.columns.items()}
    arrays["episode_end"] = history.episode_end
    if history.final_observation is not None:
        arrays["final_observation"] = history.final_observation
    for name, array in arrays.items():
        if not isinstance(array, np.ndarray):
            raise TypeError(f"{name} is a {type(array).__name__}, and must be a NumPy array")
        if array.ndim == 0:
            raise ValueError(f"{name} has no axis: the first one must be that of steps (or episodes)")
    columns = {name: (column.dtype, column.shape[1:]) for name, column in history.columns.items()}
    check_columns(columns)
    steps = len(history.columns["reward"])
    for name, column in history.columns.items():
        if len(column) != steps:
            raise ValueError(f"column {name!r} has {len(column)} steps, and 'reward' has {steps}")
    check_episodes(np.array([0, steps]), history.episode_end, history.columns, history.final_observation)
    as_seed(history.seed, "seed of a history")
    as_seed(history.task_id, "task_id of a history")
    if history.task is not None and not isinstance(history.task, np.void):
        raise TypeError(f"task is a {type(history.task).__name__}, and must be a row of a structured array, or None")
    if history.task is not None and (history.task.dtype.hasobject or history.task.dtype.names is None):
        raise ValueError(f"task has dtype {history.task.dtype}: it must have fields, and none that holds Python objects")
    return columns
