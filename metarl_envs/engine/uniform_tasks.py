"""Tasks of whole numbers, each drawn uniformly: what most finite families have, said in one line."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import numpy as np

from metarl_envs.engine.compiling.kernels import kernel
from metarl_envs.engine.records import record
from metarl_envs.engine.streams import randint

#: A set with more tasks is not listed: it is endless, as far as anybody can tell.
MOST_LISTED = 2**15


class UniformTasks:
    """Tasks of whole numbers from 0, each drawn uniformly and for itself.

    In a family `task = UniformTasks(goal=(np.int16, "size", 2))` stands for the record of a task, the kernel `sample_task`, and
    the methods `all_tasks` and `task_errors`. What a class writes itself holds instead.

    Args:
        fields: by name `(dtype, count)`, a number from 0 to count - 1; or `(dtype, count, length)`, an array of so many. Count
            and length are integers, or names of parameters.
    """

    def __init__(self, **fields: tuple):
        self._fields: dict[str, tuple[Any, int | str, int | str | None]] = {}
        for name, spec in fields.items():
            if not isinstance(spec, tuple) or len(spec) not in (2, 3) or not all(isinstance(n, int | str) for n in spec[1:]):
                raise TypeError(f"{name}={spec!r} must be (dtype, count) or (dtype, count, length)")
            self._fields[name] = (spec[0], spec[1], spec[2] if len(spec) == 3 else None)
        draw: Callable = draw_no_more
        for name, (_, count, length) in reversed(self._fields.items()):
            draw = _drawing(name, count, length is not None, draw)
        self.sample_task = _sampler(draw)

    def record(self, p: SimpleNamespace) -> np.dtype:
        """Return the dtype of a task row under parameters `p`."""
        return record(**{name: _field(p, dtype, length) for name, (dtype, _, length) in self._fields.items()})

    def all_tasks(self, p: SimpleNamespace, dtype: np.dtype) -> np.ndarray | None:
        """Return every task, in the order of its numbers; None where there are more than `MOST_LISTED`."""
        counts = [_of(p, count) for name, (_, count, _) in self._fields.items() for _ in range(_size(dtype[name]))]
        if math.prod(counts) > MOST_LISTED:
            return None
        numbers = iter(np.indices(counts).reshape(len(counts), -1))
        tasks = np.zeros(math.prod(counts), dtype)
        for name in self._fields:
            for k in range(_size(dtype[name])):
                tasks[name].reshape(len(tasks), -1)[:, k] = next(numbers)
        return tasks

    def task_errors(self, p: SimpleNamespace, tasks: np.ndarray) -> Iterator[tuple[str, np.ndarray, str]]:
        """Yield where rows are no tasks (see `Family.task_errors`)."""
        for name, (_, count, _) in self._fields.items():
            last = _of(p, count) - 1
            yield name, (tasks[name] < 0) | (tasks[name] > last), f"is not one of 0 to {last}"


def _field(p: SimpleNamespace, dtype: Any, length: Any) -> Any:
    """A field as `record` takes it."""
    return dtype if length is None else (dtype, _of(p, length))


def _of(p: SimpleNamespace, number: Any) -> int:
    """A number that is given, or that a parameter has."""
    return getattr(p, number) if isinstance(number, str) else number


def _size(field: np.dtype) -> int:
    return math.prod(field.shape)


# ------------------------------------------------------------------------------------------------- kernels
@kernel
def draw_no_more(params, task, rng):
    """Draw nothing: all fields are drawn."""


def _drawing(name: str, count: int | str, several: bool, others: Callable) -> Callable:
    """What draws a field, then the others. How many numbers there are is read from the parameters, whatever they are."""
    below = _read(count) if isinstance(count, str) else _constant(count)
    if several:

        def draw(params, task, rng):
            for i in range(len(task[name])):
                task[name][i] = randint(rng, below(params))
            others(params, task, rng)
    else:

        def draw(params, task, rng):
            task[name] = randint(rng, below(params))
            others(params, task, rng)

    return kernel(draw)


def _read(parameter: str) -> Callable:
    def read(params):
        return params[parameter]

    return kernel(read)


def _constant(number: int) -> Callable:
    def constant(params):
        return number

    return kernel(constant)


def _sampler(draw: Callable) -> Callable:
    @kernel
    def draw_uniformly(params, task, rng):
        """Draw every number of a task, each of its values alike."""
        draw(params, task, rng)

    return draw_uniformly
