"""Rows in motion: the worlds of one variant, their tasks, and the compiled drivers over them."""

from __future__ import annotations

import functools
import itertools
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any, Protocol

import numpy as np
from gymnasium.error import ResetNeeded

from metarl_envs.arguments import at_least_one
from metarl_envs.engine.family import Variant
from metarl_envs.engine.loops import trial
from metarl_envs.engine.loops.env import env_drivers
from metarl_envs.engine.loops.trial import Outcome, WorldArrays
from metarl_envs.engine.records import for_drivers, rows, words


class Tasks(Protocol):
    """What the engine asks of a task set (see `metarl_envs.task_sets.TaskSet`)."""

    variant: Variant

    @property
    def drawn_from(self) -> int:
        """The parts that tasks are drawn from, as the drivers are told them."""
        ...

    @property
    def is_finite(self) -> bool:
        """Whether the set has a length."""
        ...

    @property
    def is_given(self) -> bool:
        """Whether it is a list of rows, and no other task may be lived on."""
        ...

    def __len__(self) -> int: ...

    def rows(self, count: int) -> np.ndarray:
        """Return the first `count` tasks, as task rows."""
        ...

    def row(self, task: Any) -> np.ndarray:
        """One task row, from an index or a row."""
        ...


@dataclass(frozen=True)
class TrialForm:
    """How tasks and episodes make up trials: the arguments that single and vector environments share.

    Args:
        episodes_per_trial: how many episodes are lived on one task.
        trial_end: `"true"` reports the end of the last episode as it was; `"terminated"` reports it as a termination, for
            objectives that must not bootstrap past the trial (RL²).
        num_tasks: None draws a new task for every trial; a number keeps to that many tasks, the same for every row and
            seed (the first ones of `tasks`), and their memory is shared by all rows. Of a set of given rows, None keeps to all.

    Raises:
        TypeError, ValueError: an argument is not one of these.
    """

    episodes_per_trial: int = 1
    trial_end: str = "true"
    num_tasks: int | None = None

    def __post_init__(self):
        object.__setattr__(self, "episodes_per_trial", at_least_one("episodes_per_trial", self.episodes_per_trial))
        if self.trial_end not in ("true", "terminated"):
            raise ValueError(f"trial_end={self.trial_end!r} must be 'true' or 'terminated'")
        if self.num_tasks is not None:
            object.__setattr__(self, "num_tasks", at_least_one("num_tasks", self.num_tasks))


def how_to_begin(seed: Any, options: dict[str, Any], seeded: bool) -> int:
    """Return what a reset asks for: a new task, a given one, or the next episode of the trial (see `loops.trial.NEW_TASK`).

    Raises:
        ValueError: `new_trial=False` is given with a seed or a task, which would begin a trial.
        ResetNeeded: it is given before any trial.
    """
    if options.get("new_trial", True):
        return trial.GIVEN_TASK if options.get("task") is not None else trial.NEW_TASK
    if seed is not None:
        raise ValueError(f"options['new_trial']=False stays in the running trial, so it cannot be given with seed={seed}")
    if options.get("task") is not None:
        raise ValueError("options['new_trial']=False stays on the task of the trial, so it cannot be given with a task")
    if not seeded:
        raise ResetNeeded("options['new_trial']=False was given before any trial: call reset() first")
    return trial.SAME_TRIAL


@functools.lru_cache(maxsize=256)
def _drivers(variant: Variant, observed: bool) -> SimpleNamespace:
    return env_drivers(variant, observed)


class Worlds:
    """`count` worlds of one variant, each a row, and the calls that move them.

    Row i draws its tasks into a slot of its own, task number `pool + i`; with a shared pool of tasks, which come first,
    it names one of those instead.

    Args:
        tasks: where tasks come from.
        count: the number of worlds.
        form: how tasks and episodes make up trials.
        mode: an autoreset mode, as `loops.trial` numbers them.
        num_threads: threads that share the rows.
        observed: False writes no observations: nobody needs them, or whoever does looks at the rows (see `each`).
    """

    def __init__(self, tasks: Tasks, count: int, form: TrialForm, mode: int, num_threads: int = 1, observed: bool = True):
        variant = tasks.variant
        self.variant, self.tasks, self.count, self.observed = variant, tasks, count, observed
        self._made_from = tasks, count, form, mode, num_threads, observed
        self.pool = form.num_tasks or (len(tasks) if tasks.is_given else 0)
        if tasks.is_given and not self.pool:
            raise ValueError(f"tasks={tasks!r} has no task to live on")
        self.rules = np.zeros(1, trial.RULES)
        self.rules["episodes"] = form.episodes_per_trial
        self.rules["mode"] = mode
        self.rules["parts"] = tasks.drawn_from
        self.rules["pool"] = self.pool
        self.rules["end_terminates"] = form.trial_end == "terminated"
        self.rules = for_drivers(self.rules)
        self.worlds = rows(count, variant.world, "worlds")
        self.task_rows = rows(self.pool + count, variant.task, "tasks")
        self.words = words(self.task_rows)
        if self.pool:
            self.task_rows[: self.pool] = tasks.rows(self.pool)
        self.worlds["task"] = self.pool + np.arange(count)
        self.bounds = variant.action.bounds()
        self._go = _drivers(variant, observed)
        cuts = np.linspace(0, count, num_threads + 1).astype(int).tolist()
        self._parts = list(itertools.pairwise(cuts))
        self._keeps_both = mode == trial.SAME_STEP  # only there do a trial's end and an inner end fall into one step
        self._num_threads = num_threads
        self._pool: ThreadPoolExecutor | None = None
        self._pool_of = 0  # the process that has the threads
        self._arrays = WorldArrays(variant.params, self.rules, self.task_rows, self.words, self.worlds)
        moving = {name: getattr(self, name).view(np.ndarray) for name in ("worlds", "task_rows")}
        self._moving = [(name, rows, _bytes(rows)) for name, rows in moving.items()]

    def empty(self, spare: Outcome | None = None) -> Outcome:
        """Fresh arrays for a call to fill; see `loops.trial.empty_outcome`."""
        return trial.empty_outcome(self.variant, self.count, self.observed, self._keeps_both, spare)

    def seed(self, mask: np.ndarray, seeds: np.ndarray) -> None:
        """Start the streams of the masked rows from trial 0 on; `seeds` has dtype uint64, one element a row."""
        self.worlds["seed"][mask] = seeds[mask]
        self.worlds["trial"][mask] = -1

    def given(self, mask: np.ndarray, tasks: Any) -> list[np.ndarray]:
        """Return one task row for each masked row: `tasks` is one row or index for all, or one for each.

        Raises:
            TypeError, ValueError: something in it is no task, or there are not as many as masked rows.
        """
        count = int(mask.sum())
        several = isinstance(tasks, list | tuple) or (isinstance(tasks, np.ndarray) and tasks.ndim == 1)
        if several and len(tasks) != count:
            raise ValueError(f"options['task'] holds {len(tasks)} tasks; {count} rows are being reset")
        return [self.tasks.row(task) for task in tasks] if several else [self.tasks.row(tasks)] * count

    def give(self, mask: np.ndarray, given: list[np.ndarray]) -> None:
        """Put task rows into the masked rows' own slots."""
        for i, row in zip(np.flatnonzero(mask), given, strict=True):
            self.task_rows[self.pool + i : self.pool + i + 1] = row
            self.worlds["task"][i] = self.pool + i

    def begin(self, mask: np.ndarray, how: int, out: Outcome) -> None:
        """Begin a trial or an episode in the masked rows (see `loops.trial.NEW_TASK`)."""
        mask = mask if mask.flags.writeable else mask.copy()  # to the compiler they are two types
        self.each(self._go.begin, (*self._arrays, mask, how, out.observations, out.flags))

    def advance(self, actions: np.ndarray, out: Outcome) -> int:
        """Step all rows: how many trials ended, or -1 - i where action i is outside the space and nothing moved."""
        call = self._call(actions, out)
        if self._num_threads == 1:
            return self._go.advance(*call, 0, self.count)
        bad = self._go.check(actions, self.bounds, 0, self.count)  # before any part moves
        return -1 - bad if bad >= 0 else sum(self.each(self._go.advance, call))

    def advance_in_place(self, actions: np.ndarray, out: Outcome) -> Callable[[], int]:
        """Return what steps a single world, always from the same actions into the same arrays."""
        call = self._call(actions, out)
        if self._go.advance_at is None:
            return functools.partial(self._go.advance, *call, 0, 1)
        from metarl_envs.engine.compiling.pointers import addresses

        self._kept = call
        return functools.partial(self._go.advance_at, addresses(*call))

    def _call(self, actions: np.ndarray, out: Outcome) -> tuple:
        actions = for_drivers(actions)
        return (*self._arrays, actions, self.bounds, *out)

    def each(self, driver: Any, call: tuple) -> list:
        """Call a driver with these arguments for all rows, in as many parts as there are threads; what each part returns."""
        if self._num_threads == 1:
            return [driver(*call, 0, self.count)]
        return list(self._threads().map(lambda part: driver(*call, *part), self._parts))

    def _threads(self) -> ThreadPoolExecutor:
        """The threads of this process: a forked child has a copy of the pool, and none of its threads."""
        if self._pool is None or self._pool_of != os.getpid():
            self._pool, self._pool_of = ThreadPoolExecutor(self._num_threads), os.getpid()
        return self._pool

    def task_row(self, i: int) -> np.ndarray:
        """Return the task of row i, as a copy (an array of no dimensions)."""
        return np.array(self.task_rows.view(np.ndarray)[int(self.worlds["task"][i])])

    def get_state(self) -> dict[str, np.ndarray]:
        """Everything that moves, copied."""
        return {name: np.ndarray(rows.shape, rows.dtype, whole.copy()) for name, rows, whole in self._moving}

    def set_state(self, state: dict[str, np.ndarray]) -> None:
        """Put back what `get_state` gave; ValueError where it came from another variant or number of rows."""
        for name, mine, _ in self._moving:
            given = state[name]
            if given.dtype != mine.dtype or given.shape != mine.shape:
                raise ValueError(
                    f"state[{name!r}] has {given.shape} rows of {given.dtype}; {self.variant} here has "
                    f"{mine.shape} of {mine.dtype}"
                )
        for name, _, whole in self._moving:
            whole[...] = _bytes(state[name])

    def __reduce__(self) -> tuple:
        """Copies are made anew: arrays that look at one another, and addresses, would go on looking at the original."""
        return _remade, (self._made_from, self.get_state())

    def close(self) -> None:
        """Shut down the thread pool."""
        if self._pool is not None and self._pool_of == os.getpid():
            self._pool.shutdown()
        self._pool = None


def _bytes(rows: np.ndarray) -> np.ndarray:
    """The same rows without their fields: NumPy would copy field by field, several times as slowly.

    Nor does `view` lead back from here to a row of many fields at once: it compares them, which takes longer than the copy.
    """
    return rows.view((np.void, rows.itemsize))


def _remade(made_from: tuple, state: dict[str, np.ndarray]) -> Worlds:
    worlds = Worlds(*made_from)
    worlds.set_state(state)
    return worlds


def bad_action(variant: Variant, action: Any, row: int | None = None) -> ValueError:
    """Return the error for an action outside the space."""
    where = "" if row is None else f" of row {row}"
    return ValueError(f"action{where} is {action!r}: {variant.name} takes {variant.action.allowed}")
