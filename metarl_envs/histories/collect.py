"""Collecting: learners live in worlds, in one compiled loop."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import numpy as np

from metarl_envs.engine import drivers
from metarl_envs.engine.family import Variant, load_family
from metarl_envs.engine.learner import Learner
from metarl_envs.engine.records import check_memory, for_drivers, rows, words
from metarl_envs.engine.streams import STREAM
from metarl_envs.registration import family_of
from metarl_envs.task_sets import TaskSet

#: Lives are handed to a worker this many at a time: enough to keep a loop long, few enough to show progress.
_CHUNK = 64


@dataclass(frozen=True)
class Histories:
    """Learning histories of equal length, one a row.

    Attributes:
        observations: what was seen before each action, [history, step, ...].
        actions, rewards, terminated, truncated: what was done, paid (float64), and whether an episode ended, [history, step].
        final_observations: what is seen after the last step, [history, ...].
        tasks: the task rows, [history].
    """

    observations: np.ndarray
    actions: np.ndarray
    rewards: np.ndarray
    terminated: np.ndarray
    truncated: np.ndarray
    final_observations: np.ndarray
    tasks: np.ndarray


def collect(
    id: str,
    learner: Learner,
    *,
    histories: int,
    steps: int,
    split: str | None = None,
    seed: int = 0,
    workers: int | None = None,
    **params: Any,
) -> Histories:
    """Whole learning histories in memory: each of `histories` lives is one learner on one task for `steps` steps.

    Life i depends on (seed + i) alone, so the result is the same for any number of workers.

    Args:
        id: a registered id.
        learner: such as `metarl_envs.learners.QLearning(step_size=0.5)`.
        histories: how many lives.
        steps: in each life.
        split: of the tasks.
        seed: of the first life.
        workers: threads (default: one a core).
        params: the family's parameters.

    Raises:
        ValueError: the learner cannot live in this family; an argument is out of range.
        MemoryError: the histories would not fit into memory.
    """
    tasks = TaskSet.of_family(load_family(family_of(id)), split=split, **params)
    lives = Lives(tasks.variant, learner, histories, tasks.split_number)
    return lives.write(np.arange(seed, seed + histories), steps, workers)


def scores(
    tasks: np.ndarray,
    variant: Variant,
    learner: Learner,
    seeds: np.ndarray,
    *,
    episodes: int,
    block: int = 0,
    workers: int | None = None,
    progress: Callable[[int], None] = lambda done: None,
) -> np.ndarray:
    """What each episode (or block of `block` steps, where an episode is a long one) paid, as float64 [life, unit].

    Args:
        tasks: one task row a life.
        variant: the family with its parameters set.
        learner: it starts anew in every life.
        seeds: one a life; equal seeds give equal noise, whatever the learner.
        episodes: in each life.
        block: steps in a unit; 0 for one episode a unit.
        workers: threads (default: one a core).
        progress: called with the number of lives done, each time some are.
    """
    lives = Lives(variant, learner, len(tasks), 0, tasks)
    return lives.score(np.asarray(seeds), episodes, block, workers, progress)


class Lives:
    """Worlds and learners side by side: row i of each is life i."""

    def __init__(self, variant: Variant, learner: Learner, count: int, split_number: int, tasks: np.ndarray | None = None):
        if problem := learner.objection(variant):
            raise ValueError(problem)
        self.variant, self.learner, self.count, self.given = variant, learner, count, tasks is not None
        self.worlds = rows(count, variant.world, "worlds")
        self.tasks = rows(count, variant.task, "tasks")
        if tasks is not None:
            self.tasks[...] = tasks
        self.worlds["task"] = np.arange(count)
        self.memories = rows(count, learner.memory(learner.p, variant), "learners")
        self.streams = rows(count, STREAM)
        self.rules = np.zeros(1, drivers.RULES)
        self.rules["split"] = split_number
        self.rules = for_drivers(self.rules)
        self.slots = np.zeros((count, *variant.action.shape), variant.action.dtype)
        self._go = _drivers(variant, type(learner))

    def score(
        self, seeds: np.ndarray, episodes: int, block: int, workers: int | None, progress: Callable[[int], None]
    ) -> np.ndarray:
        """Returns by unit, [life, unit]."""
        units = episodes if block == 0 else -(-self.variant.horizon // block)
        out = np.zeros((self.count, units))
        self._live(seeds, self._go.score, (episodes, block, out), workers, progress)
        return out

    def write(self, seeds: np.ndarray, steps: int, workers: int | None) -> Histories:
        """Every transition."""
        one = self.variant.observations(1)
        check_memory(self.count * steps, one.nbytes + self.slots[0].nbytes + 10, "transitions")
        observations = np.empty((self.count, steps, *one.shape[1:]), one.dtype)
        form = self.variant.action
        actions = np.empty((self.count, steps, *form.shape), form.dtype)
        rewards = np.empty((self.count, steps))
        ends = np.zeros((2, self.count, steps), np.bool_)
        final = self.variant.observations(self.count)
        self._live(seeds, self._go.write, (for_drivers(observations), actions, rewards, ends[0], ends[1], final), workers)
        seen = observations if self.variant.observation_space.shape else observations[..., 0]
        last = self.variant.visible(final)
        return Histories(seen, actions, rewards, ends[0], ends[1], last, self.tasks.view(np.ndarray))

    def _live(
        self,
        seeds: np.ndarray,
        driver: Callable,
        extra: tuple,
        workers: int | None,
        progress: Callable[[int], None] = lambda done: None,
    ) -> None:
        """Begin every life anew and run a driver over all of them, in chunks shared by threads."""
        self.worlds["seed"] = np.asarray(seeds, dtype=np.uint64)
        self.worlds["trial"] = -1
        self.memories.view(np.ndarray)[...] = self.learner.newborn(self.variant)
        seen = self.variant.observations(2 * self.count)
        seen = seen.reshape(self.count, 2, *seen.shape[1:])
        fixed = (
            *(self.variant.params, self.rules, self.tasks, words(self.tasks), self.worlds, self.given),
            *(self.learner.hyper, self.memories, self.streams, seen, for_drivers(self.slots)),
        )

        def run(lo: int) -> int:
            hi = min(lo + _CHUNK, self.count)
            driver(*fixed, *extra, lo, hi)
            return hi - lo

        run_all(run, range(0, self.count, _CHUNK), workers, progress)


def run_all(run: Callable[[int], int], starts: range, workers: int | None, progress: Callable[[int], None]) -> None:
    """Call `run` for every start, by threads; the drivers release the GIL."""
    workers = min(workers or os.cpu_count() or 1, len(starts)) or 1
    if workers == 1 or drivers.PLAIN:
        for start in starts:
            progress(run(start))
        return
    with ThreadPoolExecutor(workers) as threads:
        for done in threads.map(run, starts):
            progress(done)


@functools.lru_cache(maxsize=256)
def _drivers(variant: Variant, learner: type[Learner]) -> SimpleNamespace:
    return drivers.collect_drivers(variant, learner)
