"""Solving a task by its own kernels: the engine explores what can happen, and plans over it.

Where steps draw no random numbers and states are few, exploring finds every state that an episode can reach and what each
action does there; backward induction then gives the exact value of every action at every step. There is no second model
that could differ from the environment. Where `reset` draws random numbers, the family says which states it draws from
(`Family.starts`).
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import SimpleNamespace
from typing import NamedTuple

import numpy as np

from metarl_envs.engine.family import Returns, Variant
from metarl_envs.engine.loops.explore import solving_drivers
from metarl_envs.engine.records import Row, for_drivers, rows
from metarl_envs.engine.streams import STREAM

#: More states than this are not explored, and not where they would have more values (one a step) than this.
MOST_STATES, MOST_VALUES = 20_000, 20_000_000
#: States that are tried to see whether steps draw random numbers.
_TRIED = 2_000

#: Q*(state, step of the episode): the best expected return from there, for each first action; float64 [actions].
QFunction = Callable[[Row, int], np.ndarray]


def solve(variant: Variant, task: np.ndarray | np.void) -> QFunction | None:
    """The exact value of every action on a task: by the family's own formula, or else by exploring; None if neither can."""
    own = variant.family.solve(variant.p, Row(np.asarray(task).reshape(())))
    if own is not None:
        return own
    explored = explore(variant, task)
    return explored and explored.q


def exact_returns(variant: Variant, task: np.ndarray | np.void) -> Returns | None:
    """Expected returns of an episode for random and oracle: by the family's formula, or else by exploring; None if neither."""
    own = variant.family.returns(variant.p, Row(np.asarray(task).reshape(())))
    if own is not None:
        return own
    explored = explore(variant, task)
    return explored and explored.returns()


@dataclass(frozen=True)
class Explored:
    """Every state that an episode can reach on one task, the first ones first, and what each action does there.

    Attributes:
        states: the index of each state, by its bytes.
        starts: the chance of each of the first states to be the start of an episode.
        after: [state, action], the index of the next state; where the episode ends, and in states of its last instant, 0.
        reward: [state, action].
        ends: [state, action], whether the episode terminates.
        horizon: steps after which it is truncated.
    """

    states: dict[bytes, int]
    starts: np.ndarray
    after: np.ndarray
    reward: np.ndarray
    ends: np.ndarray
    horizon: int

    @functools.cached_property
    def _values(self) -> np.ndarray:
        """The value of each state at every step at which an episode can be there, [step, state], by backward induction."""
        values = np.zeros((self.horizon + 1, len(self.after)))
        for t in reversed(range(self.horizon)):
            values[t] = self._q(slice(None), values[t + 1]).max(axis=1)
        return values

    def q(self, state: Row, t: int) -> np.ndarray:
        """Q* of each action at step t in a state that no episode has ended in; zeros after the last step."""
        if t >= self.horizon:
            return np.zeros(self.after.shape[1])
        place = self.states.get(state.content())
        if place is None:
            raise ValueError(f"no episode reaches {state}, as far as `starts` of the family tells where one can start")
        return self._q(place, self._values[t + 1])

    def returns(self) -> Returns:
        """Expected returns of an episode for the random policy and the oracle, over all starts."""
        random = np.zeros(len(self.after))
        for _ in range(self.horizon):
            random = self._q(slice(None), random).mean(axis=1)
        first = len(self.starts)
        return Returns(float(self.starts @ random[:first]), float(self.starts @ self._values[0, :first]))

    def _q(self, where: int | slice, following: np.ndarray) -> np.ndarray:
        """The value of each action in some states, where that of each state one step later is known."""
        return self.reward[where] + np.where(self.ends[where], 0.0, following[self.after[where]])


class _Level(NamedTuple):
    """What actions do in the states that are first reached after so many steps: [state, action]."""

    after: np.ndarray
    reward: np.ndarray
    ends: np.ndarray
    drew: bool


def explore(variant: Variant, task: np.ndarray | np.void, any_start: bool = False) -> Explored | None:
    """Explore a task as deep as an episode goes; None where that is not exact or not possible.

    That is where steps draw random numbers, or `reset` does and the family does not say what it draws from (unless `any_start`:
    then what follows one start is explored), where actions are arrays, and where states are too many.
    """
    if variant.action.shape:
        return None
    one = rows(1, variant.task)
    one[:1] = task
    starts = _starts(variant, one, any_start)
    if starts is None:
        return None
    first, chances = starts
    states: dict[bytes, int] = {}
    levels = []
    for level in _levels(variant, one, first, states):
        if level.drew or len(states) > MOST_STATES or len(states) * variant.horizon > MOST_VALUES:
            return None
        levels.append(level)
    last = len(states) - sum(len(level.after) for level in levels)  # states of the last instant, in which nobody acts
    shape = last, variant.actions
    levels.append(_Level(np.zeros(shape, np.int32), np.zeros(shape), np.ones(shape, np.bool_), False))
    after, reward, ends = (np.concatenate([getattr(level, name) for level in levels]) for name in ("after", "reward", "ends"))
    return Explored(states, chances, after, reward, ends, variant.horizon)


def is_without_chance(variant: Variant, task: np.ndarray | np.void) -> bool:
    """Whether steps draw no random numbers, as far as some thousand of them on one task tell."""
    one = rows(1, variant.task)
    one[:1] = task
    states: dict[bytes, int] = {}
    for level in _levels(variant, one, _one_start(variant, one)[0], states):
        if level.drew or len(states) > _TRIED:
            return not level.drew
    return True


def _levels(variant: Variant, task: np.ndarray, first: np.ndarray, states: dict[bytes, int]) -> Iterator[_Level]:
    """Go on from the first states, step by step, to those that were not reached before; `states` numbers them."""
    frontier = first
    states.update({content: i for i, content in enumerate(contents(first))})
    for _ in range(variant.horizon):
        if not len(frontier):
            return
        shape = len(frontier), variant.actions
        reached, paid, ended, drew = _expand(variant, task, frontier)
        fresh, places = [], []
        for i, (content, over) in enumerate(zip(contents(reached), ended.tolist(), strict=True)):
            if not over and content not in states:
                states[content] = len(states)
                fresh.append(i)
            places.append(0 if over else states[content])
        yield _Level(np.array(places, np.int32).reshape(shape), paid.reshape(shape), ended.reshape(shape), drew)
        frontier = for_drivers(np.ascontiguousarray(reached.view(np.ndarray)[fresh]))


@functools.lru_cache(maxsize=64)
def drivers_of(variant: Variant) -> SimpleNamespace:
    """The drivers that try things out on tasks of a variant (see `loops.explore.solving_drivers`)."""
    return solving_drivers(variant)


def _expand(variant: Variant, task: np.ndarray, states: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, bool]:
    """Every action in every state, in order of state, then action: next states, rewards, ends, and whether chance was used."""
    count = len(states) * variant.actions
    reached, paid, ended = rows(count, variant.state), np.zeros(count), np.zeros(count, np.bool_)
    drew = drivers_of(variant).expand(variant.params, task, states, variant.actions, reached, paid, ended, rows(1, STREAM))
    return reached, paid, ended, drew


def _starts(variant: Variant, task: np.ndarray, any_start: bool) -> tuple[np.ndarray, np.ndarray] | None:
    """The states that an episode can start in, as rows, and the chance of each; None where that is not known."""
    start, by_chance = _one_start(variant, task)
    if not by_chance:
        return start, np.ones(1)
    told = variant.family.starts(variant.p, Row(task.view(np.ndarray)[0]), variant.state)
    if told is not None:
        return for_drivers(np.ascontiguousarray(told[0])), np.asarray(told[1])
    return (start, np.ones(1)) if any_start else None


def _one_start(variant: Variant, task: np.ndarray) -> tuple[np.ndarray, bool]:
    """A first state of an episode as one row, and whether it depends on chance: whether `reset` drew a random number."""
    start = rows(1, variant.state)
    drew = drivers_of(variant).starts(variant.params, task, start, rows(1, STREAM))
    return start, bool(drew)


def contents(states: np.ndarray) -> list[bytes]:
    """The fields of each state as bytes, as `Row.content` has them (what lies between fields is not looked at)."""
    states = states.view(np.ndarray)
    fields = [np.ascontiguousarray(states[name]).reshape(len(states), -1).view(np.uint8) for name in states.dtype.names or ()]
    together = np.concatenate(fields, axis=1)
    return together.view(np.dtype((np.void, together.shape[1])))[:, 0].tolist()
