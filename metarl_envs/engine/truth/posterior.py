"""Exact posteriors: what an ideal observer would know of the hidden task, given what has been seen in the trial."""

from __future__ import annotations

import copy
import functools
from types import SimpleNamespace
from typing import Any, Protocol

import numpy as np

from metarl_envs.engine.family import TaskOfPart, Variant
from metarl_envs.engine.loops.explore import PossibleWorlds
from metarl_envs.engine.records import Row, rows
from metarl_envs.engine.streams import STREAM
from metarl_envs.engine.truth.solving import drivers_of, is_without_chance
from metarl_envs.engine.worlds.task_rows import task_hashes
from metarl_envs.engine.worlds.worlds import Worlds

#: More tasks than this are not followed one by one.
MOST_TASKS = 10_000


class Belief(Protocol):
    """A posterior over the tasks of one row."""

    def why_not(self, task: np.ndarray) -> str | None:
        """Why no posterior can be told for a trial on this task row, which was given by hand; None where one can."""

    def trial(self, task: np.ndarray | np.void) -> None:
        """Begin a trial on this task: go back to the prior."""

    def episode(self, world: np.void, observation: np.ndarray) -> None:
        """Begin an episode with this observation."""

    def stepped(self, action: Any, reward: float, terminated: bool, observation: np.ndarray) -> None:
        """Take account of a step; `observation` is what it led to (an episode's true last one)."""

    def tell(self) -> Any:
        """Return the posterior: an array, or a dict of arrays."""

    def get_state(self) -> Any:
        """Return a copy of what is known."""

    def set_state(self, state: Any) -> None:
        """Put back what `get_state` gave."""


def belief_for(worlds: Worlds) -> list[Belief] | None:
    """One belief a row, of the kind that is exact for the family; None where none is."""
    variant, tasks = worlds.variant, worlds.tasks
    if variant.family.parts_told(variant.p):
        told = [OfParts(variant) for _ in range(worlds.count)]
        return list(told) if told[0].tell() else None
    if variant.family.prior(variant.p) is not None:
        return [Conjugate(variant) for _ in range(worlds.count)]
    if not tasks.is_finite or len(tasks) > MOST_TASKS or variant.action.shape:
        return None
    listed = tasks.rows(worlds.pool or len(tasks))
    if not _without_chance(variant, listed[:1].tobytes()):
        return None
    return [Sieve(variant, listed) for _ in range(worlds.count)]


def _belief_alone(variant: Variant) -> Belief | None:
    """A belief over all tasks of a family; None where none is exact."""
    if variant.family.prior(variant.p) is not None:
        return Conjugate(variant)
    listed = variant.family.all_tasks(variant.p, variant.task)
    if listed is None or len(listed) > MOST_TASKS or not _without_chance(variant, listed[:1].tobytes()):
        return None
    return Sieve(variant, listed[np.argsort(task_hashes(variant, listed)[0], kind="stable")])


@functools.lru_cache(maxsize=64)
def _without_chance(variant: Variant, task: bytes) -> bool:
    return is_without_chance(variant, np.frombuffer(task, variant.task))


class Conjugate:
    """The parameters of a posterior that the family updates in closed form (`Family.prior` and `Family.update_posterior`)."""

    def __init__(self, variant: Variant):
        self._variant = variant
        self._seen: Any = None
        self.trial()

    def why_not(self, task: np.ndarray) -> str | None:
        """Nothing: the prior covers every task of the family."""
        return None

    def trial(self, task: np.ndarray | np.void | None = None) -> None:
        """Back to the prior."""
        self._parameters = self._variant.family.prior(self._variant.p) or {}

    def episode(self, world: np.void, observation: np.ndarray) -> None:
        """Remember what was seen."""
        self._seen = np.array(observation)

    def stepped(self, action: Any, reward: float, terminated: bool, observation: np.ndarray) -> None:
        """Condition on one transition."""
        before, then = map(self._variant.observation.seen, (self._seen, observation))
        self._variant.family.update_posterior(self._variant.p, self._parameters, before, action, reward, then)
        self._seen = np.array(observation)

    def tell(self) -> dict[str, np.ndarray]:
        """Return the parameters."""
        return {name: np.array(value) for name, value in self._parameters.items()}

    def get_state(self) -> Any:
        """Return a copy of what is known."""
        return copy.deepcopy((self._parameters, self._seen))

    def set_state(self, state: Any) -> None:
        """Put back what `get_state` gave."""
        self._parameters, self._seen = copy.deepcopy(state)


class Sieve:
    """Every possible task, lived through side by side: those that would have shown something else are ruled out.

    Exact where steps draw no random numbers, for a uniform prior over the listed tasks. From a step on that draws one, nothing
    is known: the posterior is NaN until the next trial.
    """

    def __init__(self, variant: Variant, tasks: np.ndarray):
        self._variant = variant
        self._tasks = rows(len(tasks), variant.task)
        self._tasks[...] = tasks
        self._states = rows(len(tasks), variant.state)
        self._room = variant.observation.copied(np.zeros((len(tasks), *variant.observation.shape), variant.observation.dtype))
        self._rng = rows(1, STREAM)
        self._weights = np.ones(len(tasks))

    def why_not(self, task: np.ndarray) -> str | None:
        """Return whether the task is not among those that are followed: then each of them would be ruled out."""
        if task_hashes(self._variant, task)[0][0] in self._ids:
            return None
        return (
            "the given task is none of those that the posterior of ground_truth=True is over (env.unwrapped.tasks, or its "
            "first num_tasks): make the environment with split=None and without num_tasks, or give one of its own tasks"
        )

    @functools.cached_property
    def _ids(self) -> set[int]:
        return set(task_hashes(self._variant, self._tasks.view(np.ndarray))[0].tolist())

    def trial(self, task: np.ndarray | np.void | None = None) -> None:
        """Make every task possible again."""
        self._weights[...] = 1.0

    def episode(self, world: np.void, observation: np.ndarray) -> None:
        """Begin an episode in every possible world."""
        seen = self._looked(observation)
        clock = world["seed"], int(world["trial"]), int(world["episode"])
        self._go.restart(*self._possible, seen, *clock, self._rng)

    def stepped(self, action: Any, reward: float, terminated: bool, observation: np.ndarray) -> None:
        """Take the same step in every possible world."""
        seen = self._looked(observation)
        drew = self._go.sift(*self._possible, int(action), float(reward), terminated, seen, self._rng)
        if drew:
            self._weights[...] = np.nan

    def tell(self) -> np.ndarray:
        """Return the probability of each listed task."""
        return self._weights / self._weights.sum()

    def get_state(self) -> Any:
        """Return a copy of what is known."""
        return self._weights.copy(), np.array(self._states.view(np.ndarray))

    def set_state(self, state: Any) -> None:
        """Put back what `get_state` gave."""
        self._weights[...], self._states[...] = state

    def _looked(self, observation: np.ndarray) -> np.ndarray:
        """What was seen, as the numbers that the worlds' are compared with."""
        form = self._variant.observation
        return form.flat(form.copied(np.asarray(observation).reshape(1, *form.shape)))[0]

    @property
    def _possible(self) -> PossibleWorlds:
        """The arrays of all worlds. No attribute: `flat` of a copy of the sieve would go on looking at the original's room."""
        flat = self._variant.observation.flat(self._room)
        return PossibleWorlds(self._variant.params, self._tasks, self._states, self._weights, self._room, flat)

    @property
    def _go(self) -> SimpleNamespace:
        return drivers_of(self._variant)


class OfParts:
    """The posterior in a family whose tasks are those of others: the part's, of one who is told the part and the disguise."""

    def __init__(self, variant: Variant):
        self._variant = variant
        each = {name: _belief_alone(part) for name, part in variant.family.parts_told(variant.p).items()}
        self._beliefs = {name: belief for name, belief in each.items() if belief is not None}
        self._of: TaskOfPart | None = None

    @property
    def _current(self) -> Belief | None:
        return None if self._of is None else self._beliefs.get(self._of.name)

    def why_not(self, task: np.ndarray) -> str | None:
        """Nothing: all tasks of the part are followed."""
        return None

    def trial(self, task: np.ndarray | np.void) -> None:
        """Back to the prior of the part."""
        self._of = self._variant.family.task_of_part(self._variant.p, Row(np.array(task).reshape(())))
        if self._current is not None:
            self._current.trial(self._of.task)

    def episode(self, world: np.void, observation: np.ndarray) -> None:
        """Begin an episode in the part."""
        if self._of is not None and self._current is not None:
            self._current.episode(world, self._of.observation(observation))

    def stepped(self, action: Any, reward: float, terminated: bool, observation: np.ndarray) -> None:
        """Take account of what was done and seen in the part."""
        if self._of is None or self._current is None:
            return
        if (own := self._of.action(action)) is not None:
            self._current.stepped(own, reward, terminated, self._of.observation(observation))

    def tell(self) -> dict[str, Any]:
        """Return the posterior of each part for which it is known, NaN but for the one that the trial is in."""
        return {
            name: belief.tell() if belief is self._current else _unknown(belief.tell())
            for name, belief in self._beliefs.items()
        }

    def get_state(self) -> Any:
        """Return a copy of what is known."""
        return {name: belief.get_state() for name, belief in self._beliefs.items()}

    def set_state(self, state: Any) -> None:
        """Put back what `get_state` gave."""
        for name, belief in self._beliefs.items():
            belief.set_state(state[name])


def _unknown(told: Any) -> Any:
    """NaN in the form of a posterior."""
    return (
        {name: _unknown(value) for name, value in told.items()} if isinstance(told, dict) else np.full(np.shape(told), np.nan)
    )
