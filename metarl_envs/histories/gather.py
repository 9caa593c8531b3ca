"""Windows out of many arrays at once: what makes drawing from a store as fast as from memory."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from metarl_envs.engine.compiling.cache import compiled
from metarl_envs.engine.compiling.kernels import PLAIN


class Gatherer:
    """Draws the same windows out of several columns, each of which lies in one array a shard.

    Args:
        columns: by name, the arrays [steps, ...] of the shards, C-contiguous.
    """

    def __init__(self, columns: Mapping[str, Sequence[np.ndarray]]):
        self._columns = columns
        self._like = {name: arrays[0] for name, arrays in columns.items()}
        self._addresses = np.array([[_address(array) for array in arrays] for arrays in columns.values()], np.int64)
        self._sizes = np.array([_bytes_a_step(array) for array in self._like.values()], np.int64)

    def windows(self, shard: np.ndarray, start: np.ndarray, length: int) -> dict[str, np.ndarray]:
        """Window b is `length` steps from step start[b] of shard[b]: each column as [windows, length, ...]."""
        out = {name: np.empty((len(shard), length, *a.shape[1:]), a.dtype) for name, a in self._like.items()}
        if PLAIN:
            for b, (s, lo) in enumerate(zip(shard.tolist(), start.tolist(), strict=True)):
                for name, array in out.items():
                    array[b] = self._columns[name][s][lo : lo + length]
            return out
        places = np.array([_address(array) for array in out.values()], np.int64)
        _copier()(self._addresses, self._sizes, shard, start, length, places)
        return out


def _address(array: np.ndarray) -> int:
    assert array.flags.c_contiguous
    return array.__array_interface__["data"][0]


def _bytes_a_step(array: np.ndarray) -> int:
    return array.dtype.itemsize * int(np.prod(array.shape[1:]))


@functools.cache
def _copier() -> Callable:
    from metarl_envs.engine.compiling.pointers import copy

    def gather(addresses, sizes, shard, start, length, places):
        """Copy each window of each column to its place. Whoever calls holds all arrays."""
        for column in range(len(sizes)):
            size = sizes[column]
            for b in range(len(shard)):
                copy(places[column] + b * length * size, addresses[column, shard[b]] + start[b] * size, length * size)

    return compiled("histories", gather).gather
