"""Tasks as rows: drawing them, saying what they mean, and finding those that are none."""

from __future__ import annotations

import functools
import reprlib
from collections.abc import Iterator
from types import SimpleNamespace

import numpy as np

from metarl_envs.engine.family import Variant
from metarl_envs.engine.loops.tasks import task_drivers
from metarl_envs.engine.records import for_drivers, rows, words
from metarl_envs.engine.streams import STREAM

#: Bytes of task rows that are gone through at a time.
_BLOCK = 2**21


@functools.lru_cache(maxsize=256)
def _drivers(variant: Variant) -> SimpleNamespace:
    return task_drivers(variant)


def draw(variant: Variant, parts: int, seed: int, first: int, count: int) -> np.ndarray:
    """Return the tasks that an environment of this seed draws from some parts in trials `first`, `first` + 1, ..., as rows."""
    drawn = rows(count, variant.task, "tasks")
    stream = rows(1, STREAM)
    _drivers(variant).draw(variant.params, parts, np.uint64(seed), first, drawn, words(drawn), stream)
    return drawn.view(np.ndarray)


def padded(rows: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """Return a copy of rows in the layout that drivers take, with zeros between fields: equal rows have equal bytes.

    NumPy copies fields, and leaves what is between them as it finds it.
    """
    clean = np.zeros(len(rows), dtype)
    for name in dtype.names or ():
        clean[name] = rows[name]
    return clean


def task_hashes(variant: Variant, tasks: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the hash of each task, uint64 (equal tasks have equal hashes), and the parts that it is in, as uint8 of bits."""
    tasks = for_drivers(padded(tasks, variant.task))
    ids, parts = np.empty(len(tasks), np.uint64), np.empty(len(tasks), np.uint8)
    _drivers(variant).hashes(variant.params, tasks, words(tasks), ids, parts)
    return ids, parts


def same_fields(a: np.dtype, b: np.dtype) -> bool:
    """Return whether two row layouts have the same fields; NumPy drops padding when it stacks rows or stores them."""
    return a.names == b.names and all(a[name] == b[name] for name in a.names or ())


def blocks(count: int, dtype: np.dtype) -> Iterator[slice]:
    """Slices that lead through `count` rows in order, each of few enough to be copied."""
    size = max(1, _BLOCK // dtype.itemsize)
    return (slice(first, first + size) for first in range(0, count, size))


def first_wrong(variant: Variant, tasks: np.ndarray) -> tuple[int, str] | None:
    """Return the number of the first row that is no task of the family, and why; None where all are tasks."""
    found = None
    while len(tasks) and (problem := _one_wrong(variant, tasks)):
        found, tasks = problem, tasks[: problem[0]]  # one before it may be wrong in what was not looked at
    return found


def _one_wrong(variant: Variant, tasks: np.ndarray) -> tuple[int, str] | None:
    """The first row that is wrong in what any row is wrong in first."""
    with np.errstate(all="ignore"):  # whatever numbers there are
        for field, wrong, why in variant.family.task_errors(variant.p, tasks):
            if np.shape(wrong)[:1] != tasks.shape:
                raise TypeError(f"task_errors of {variant.name} must say of each of {len(tasks)} rows whether {field} is wrong")
            if np.any(wrong):
                row, *place = (int(i) for i in np.unravel_index(np.argmax(wrong), wrong.shape))
                value = tasks[field][(row, *place)].tolist()
                return row, f"{field}{place or ''}={reprlib.repr(value)} {why}"
    return None
