"""Elements of a space as vectors: numbers for numbers, one-hot for choices."""

from __future__ import annotations

import functools
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces


class Code:
    """How elements of a Box, Discrete, MultiDiscrete or MultiBinary become vectors.

    Discrete and MultiDiscrete become one-hot vectors (several in a row for MultiDiscrete); Box and MultiBinary are
    flattened.

    Attributes:
        size: the length of a vector.
        dtype: float32 for a Box, else int8.
        low, high: float32 arrays, the bounds of its components.
    """

    def __init__(self, space: gym.Space, name: str):
        self._choices = None
        if isinstance(space, spaces.Discrete):
            self._choices, starts = np.array([space.n]), np.array([space.start])
        elif isinstance(space, spaces.MultiDiscrete):
            self._choices, starts = space.nvec.ravel(), space.start.ravel()
        elif not isinstance(space, (spaces.Box, spaces.MultiBinary)):
            raise ValueError(f"{name} is {space}; it must be a Box, Discrete, MultiDiscrete or MultiBinary")
        self.size = int(np.prod(space.shape or ()) if self._choices is None else self._choices.sum())
        self.dtype = np.float32 if isinstance(space, spaces.Box) else np.int8
        self.low, self.high = np.zeros(self.size, np.float32), np.ones(self.size, np.float32)
        if isinstance(space, spaces.Box):
            self.low, self.high = space.low.ravel().astype(np.float32), space.high.ravel().astype(np.float32)
        if self._choices is not None:
            self._offsets = np.cumsum(self._choices) - self._choices - starts
            self._table = np.eye(self.size, dtype=self.dtype)

    @property
    def one_hot(self) -> bool:
        """Whether every vector holds a one, so that all zeros stand for none of them."""
        return self._choices is not None

    def encode(self, values: Any) -> np.ndarray:
        """A batch as an array (rows, size) of `dtype`."""
        values = np.asarray(values)
        if self._choices is None:
            return values.reshape(len(values), -1).astype(self.dtype)
        return self._one_hot(values, self._table)

    def padded(self, values: Any, before: int, after: int) -> np.ndarray:
        """A batch as a float32 array (rows, before + size + after), zero outside the vectors."""
        values = np.asarray(values)
        if self._choices is None:
            vectors = np.zeros((len(values), before + self.size + after), np.float32)
            self.write(values, vectors, before)
            return vectors
        return self._one_hot(values, self._padded_table(before, after))

    def write(self, values: Any, into: np.ndarray, start: int) -> None:
        """Write a batch into the columns of an array, from column `start` on."""
        write_columns(into, start, self.encode(values))

    def _one_hot(self, values: np.ndarray, table: np.ndarray) -> np.ndarray:
        if len(self._offsets) > 1:
            return table[values.reshape(len(values), -1) + self._offsets].sum(axis=1, dtype=table.dtype)
        places = values.reshape(-1)
        return table.take(places + self._offsets[0] if self._offsets[0] else places, axis=0)

    @functools.lru_cache(maxsize=1)  # noqa: B019 (a code lives as long as its wrapper)
    def _padded_table(self, before: int, after: int) -> np.ndarray:
        return np.pad(self._table.astype(np.float32), ((0, 0), (before, after)))


class ActionCode(Code):
    """Actions as vectors, with a null that no action has: all zeros.

    Where all zeros could be an action (Box, MultiBinary), a last component says that there was one.
    """

    def __init__(self, space: gym.Space):
        super().__init__(space, "the action space")
        self._said = not self.one_hot
        if self._said:
            self.size += 1
            self.low = np.append(np.minimum(self.low, 0), np.float32(0))
            self.high = np.append(np.maximum(self.high, 0), np.float32(1))

    def encode(self, values: Any) -> np.ndarray:
        """A batch of actions as an array (rows, size) of `dtype`."""
        vectors = super().encode(values)
        return np.pad(vectors, ((0, 0), (0, 1)), constant_values=1) if self._said else vectors

    def box(self, *leading: int) -> spaces.Box:
        """The space of the vectors, or of arrays of them, the null included."""
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
