"""Tasks as rows: drawing them, and saying what they mean."""

from __future__ import annotations

import functools
from types import SimpleNamespace

import numpy as np

from metarl_envs.engine.drivers import task_drivers
from metarl_envs.engine.family import Variant
from metarl_envs.engine.records import for_drivers, rows, words
from metarl_envs.engine.streams import STREAM


@functools.lru_cache(maxsize=256)
def _drivers(variant: Variant) -> SimpleNamespace:
    return task_drivers(variant)


def draw(variant: Variant, parts: int, seed: int, first: int, count: int) -> np.ndarray:
    """The tasks that an environment of this seed draws from some parts in its trials from `first` on, as `count` rows."""
    drawn = rows(count, variant.task, "tasks")
    stream = rows(1, STREAM)
    _drivers(variant).draw(variant.params, parts, np.uint64(seed), first, drawn, words(drawn), stream)
    return drawn.view(np.ndarray)


def padded(tasks: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """A copy of task rows in the layout that drivers take, with zeros between the fields, so that equal tasks have equal bytes.

    NumPy copies fields, and leaves what is between them as it finds it.
    """
    clean = np.zeros(len(tasks), dtype)
    for name in dtype.names or ():
        clean[name] = tasks[name]
    return clean


def meanings(variant: Variant, tasks: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """What each task row means, as uint64 (equal tasks have equal numbers), and the parts that it is in, as uint8 of bits."""
    tasks = for_drivers(padded(tasks, variant.task))
    ids, parts = np.empty(len(tasks), np.uint64), np.empty(len(tasks), np.uint8)
    _drivers(variant).hashes(variant.params, tasks, words(tasks), ids, parts)
    return ids, parts
