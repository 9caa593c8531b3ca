"""Solving a task by its own kernels: the engine explores what can happen, and plans over it.

Where steps draw no random numbers and states are few, exploring finds every state that an episode can reach and what each
action does there; backward induction then gives the exact value of every action at every step. There is no second model
that could differ from the environment.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from types import SimpleNamespace

import numpy as np

from metarl_envs.engine.drivers import solving_drivers
from metarl_envs.engine.family import Returns, Variant
from metarl_envs.engine.records import Row, for_drivers, rows
from metarl_envs.engine.streams import STREAM

#: More states than this are not explored.
MOST_STATES = 20_000

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
    """Every state that an episode can reach on one task, the first one first, and what each action does there.

    Attributes:
        states: the index of each state, by its bytes.
        after: [state, action], the index of the next state.
        reward: [state, action].
        ends: [state, action], whether the episode terminates.
        horizon: steps after which it is truncated.
    """

    states: dict[bytes, int]
    after: np.ndarray
    reward: np.ndarray
    ends: np.ndarray
    horizon: int

    @functools.cached_property
    def _values(self) -> np.ndarray:
        """Q* at every step, [step, state, action], by backward induction."""
        q = np.zeros((self.horizon, *self.after.shape))
        following = np.zeros(len(self.after))
        for t in reversed(range(self.horizon)):
            q[t] = self.reward + np.where(self.ends, 0.0, following[self.after])
            following = q[t].max(axis=1)
        return q

    def q(self, state: Row, t: int) -> np.ndarray:
        """Q* of each action in a state at step t; zeros after the last step."""
        if t >= self.horizon:
            return np.zeros(self.after.shape[1])
        return self._values[t, self.states[_content(state)]].copy()

    def returns(self) -> Returns:
        """Expected returns of an episode for the random policy and the oracle."""
        random = np.zeros(len(self.after))
        for _ in range(self.horizon):
            random = (self.reward + np.where(self.ends, 0.0, random[self.after])).mean(axis=1)
        return Returns(float(random[0]), float(self._values[0, 0].max()))


def explore(variant: Variant, task: np.ndarray | np.void, any_start: bool = False) -> Explored | None:
    """Explore a task; None where that is not exact: random starts or steps, array actions, or too many states.

    With `any_start`, episodes may start at random, and what is explored is what follows one of the starts.
    """
    if variant.action.shape:
        return None
    one = rows(1, variant.task)
    one[:1] = task
    frontier, by_chance = _first_state(variant, one)
    if by_chance and not any_start:
        return None
    states = {_content(Row(frontier.view(np.ndarray)[0])): 0}
    after, reward, ends = [], [], []
    while len(frontier):
        shape = len(frontier), variant.actions
        reached, paid, ended, drew = _expand(variant, one, frontier)
        if drew:
            return None
        known = len(states)
        content = [_content(Row(row)) for row in reached.view(np.ndarray)]
        places = [states.setdefault(c, len(states)) for c in content]
        fresh = {place: i for i, place in reversed(list(enumerate(places))) if place >= known}
        after.append(np.array(places).reshape(shape))
        reward.append(paid.reshape(shape))
        ends.append(ended.reshape(shape))
        if len(states) > MOST_STATES:
            return None
        frontier = for_drivers(np.ascontiguousarray(reached.view(np.ndarray)[[fresh[p] for p in sorted(fresh)]]))
    return Explored(states, np.concatenate(after), np.concatenate(reward), np.concatenate(ends), variant.horizon)


@functools.lru_cache(maxsize=64)
def drivers_of(variant: Variant) -> SimpleNamespace:
    """The drivers that try things out on tasks of a variant (see `drivers.solving_drivers`)."""
    return solving_drivers(variant)


def _expand(variant: Variant, task: np.ndarray, states: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, bool]:
    """Every action in every state, in order of state, then action: next states, rewards, ends, and whether chance was used."""
    count = len(states) * variant.actions
    reached, paid, ended = rows(count, variant.state), np.zeros(count), np.zeros(count, np.bool_)
    drew = drivers_of(variant).expand(variant.params, task, states, variant.actions, reached, paid, ended, rows(1, STREAM))
    return reached, paid, ended, drew


def _first_state(variant: Variant, task: np.ndarray) -> tuple[np.ndarray, bool]:
    """The first state of an episode as one row, and whether it depends on chance: whether `reset` drew a random number."""
    start = rows(1, variant.state)
    drew = drivers_of(variant).starts(variant.params, task, start, rows(1, STREAM))
    return start, bool(drew)


def _content(state: Row) -> bytes:
    """A state's fields as bytes (what lies between fields is not looked at)."""
    return state.content()
