"""Elements of a space as vectors: numbers for numbers, one-hot for choices."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces


class Code:
    """How elements of a Box, Discrete, MultiDiscrete or MultiBinary become vectors.

    Discrete and MultiDiscrete become one-hot vectors (several in a row for MultiDiscrete); Box and MultiBinary are
    flattened.

    Args:
        space: of one element.
        name: what the elements are called in an error, such as "the action".

    Attributes:
        size: the length of a vector.
        dtype: float32 for a Box, else int8.
        low, high: float32 arrays, the bounds of its components.

    Raises:
        ValueError: the space is another.
    """

    def __init__(self, space: gym.Space, name: str):
        self._space, self._name = space, name
        self._choices: np.ndarray | None = None
        if isinstance(space, spaces.Discrete):
            self._choices, self._starts = np.array([space.n], np.uint64), np.array([space.start], np.int64)
        elif isinstance(space, spaces.MultiDiscrete):
            self._choices, self._starts = space.nvec.ravel().astype(np.uint64), space.start.ravel().astype(np.int64)
        elif not isinstance(space, (spaces.Box, spaces.MultiBinary)):
            raise ValueError(f"{name} space is {space}; it must be a Box, Discrete, MultiDiscrete or MultiBinary")
        self.size = int(np.prod(space.shape or ()) if self._choices is None else self._choices.sum())
        self.dtype = np.float32 if isinstance(space, spaces.Box) else np.int8
        self.low, self.high = np.zeros(self.size, np.float32), np.ones(self.size, np.float32)
        if isinstance(space, spaces.Box):
            with np.errstate(over="ignore"):  # bounds beyond those of float32 are none
                self.low, self.high = space.low.ravel().astype(np.float32), space.high.ravel().astype(np.float32)
        if self._choices is not None:  # the column of each component's first choice
            self._first = (np.cumsum(self._choices) - self._choices).astype(np.int64)

    @property
    def one_hot(self) -> bool:
        """Whether every vector holds a one, so that all zeros stand for none of them."""
        return self._choices is not None

    def encode(self, values: Any) -> np.ndarray:
        """Return a batch as an array (rows, size) of `dtype`."""
        return self._written(values, np.zeros((len(values), self.size), self.dtype), 0)

    def padded(self, values: Any, before: int, after: int) -> np.ndarray:
        """Return a batch as a float32 array (rows, before + size + after), zero outside the vectors."""
        return self._written(values, np.zeros((len(values), before + self.size + after), np.float32), before)

    def write(self, values: Any, into: np.ndarray, start: int) -> None:
        """Write a batch over the columns of a contiguous array, from column `start` on."""
        if self.one_hot:
            into[:, start : start + self.size] = 0
        self._written(values, into, start)

    def _written(self, values: Any, into: np.ndarray, start: int) -> np.ndarray:
        """Return `into` with a batch in its columns from `start` on, which hold zeros."""
        values = np.asarray(values)
        if self._choices is None:
            write_columns(into, start, values.reshape(len(values), -1))
            return into
        rows = np.arange(start, into.size, into.shape[1])
        into.reshape(-1)[rows[:, None] + self._columns(values, self._choices)] = 1
        return into

    def _columns(self, values: np.ndarray, choices: np.ndarray) -> np.ndarray:
        """Return which columns hold a one, (rows, components)."""
        if values.dtype.kind not in "biu":
            raise TypeError(f"{self._name} must be integers of {self._space}; got dtype {values.dtype}")
        numbers = values.reshape(len(values), -1).astype(np.int64, copy=False) - self._starts
        outside = numbers.view(np.uint64) >= choices  # negative ones are very large so
        if outside.any():
            raise ValueError(f"{self._name} {values[outside.any(axis=1)][0].tolist()} is outside of {self._space}")
        return numbers + self._first


class ActionCode(Code):
    """Actions as vectors, with a null that no action has: all zeros.

    Where all zeros could be an action (Box, MultiBinary), a last component says that there was one.
    """

    def __init__(self, space: gym.Space):
        super().__init__(space, "the action")
        self._said = not self.one_hot
        if self._said:
            self.size += 1
            self.low = np.append(np.minimum(self.low, 0), np.float32(0))
            self.high = np.append(np.maximum(self.high, 0), np.float32(1))

    def _written(self, values: Any, into: np.ndarray, start: int) -> np.ndarray:
        if self._said:
            into[:, start + self.size - 1] = 1
        return super()._written(values, into, start)

    def box(self, *leading: int) -> spaces.Box:
        """Return the space of the vectors, or of arrays of them, the null included."""
        shape = (*leading, self.size)
        return spaces.Box(
            np.broadcast_to(self.low, shape).astype(self.dtype),
            np.broadcast_to(self.high, shape).astype(self.dtype),
            dtype=self.dtype,
        )


def write_columns(into: np.ndarray, start: int, columns: np.ndarray) -> None:
    """Write columns side by side from column `start` on; a few are faster one at a time (3 us each for 4,096 rows)."""
    width = columns.shape[1]
    if width > 8:
        into[:, start : start + width] = columns
        return
    for j in range(width):
        into[:, start + j] = columns[:, j]
