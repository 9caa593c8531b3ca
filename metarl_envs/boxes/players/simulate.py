"""Boxes in motion: many boxes side by side, and scripted agents in their seats."""

from __future__ import annotations

import functools
from collections.abc import Callable
from types import SimpleNamespace

import numpy as np

from metarl_envs.boxes.players.scripted import Scripted
from metarl_envs.boxes.world.core import CHOOSING
from metarl_envs.engine.compiling.cache import compiled
from metarl_envs.engine.compiling.kernels import unsigned
from metarl_envs.engine.family import Variant
from metarl_envs.engine.records import check_memory, for_drivers
from metarl_envs.engine.streams import STREAM, keyed


@functools.lru_cache(maxsize=256)
def _drivers(variant: Variant, wake: Callable, act: Callable) -> SimpleNamespace:
    """`choose`: what scripted agents do now in their seats, each waking up where memory was reset."""

    def choose(params, hyper, tasks, worlds, seats, minds, rng, actions, lo, hi):
        p, h = params[0], hyper[0]
        for b in range(unsigned(lo), unsigned(hi)):
            state = worlds[b].state
            for i in range(p.agents):
                if seats[b, i]:
                    if state.forgot[i] != 0:
                        wake(h, p, minds[b, i])
                    rng[0].s = keyed(state.noise, CHOOSING, state.t, i)
                    actions[b, i] = act(h, p, tasks[worlds[b].task], state, i, minds[b, i], rng[0])

    return compiled(f"{variant.name}.{act.__name__}", choose)


class ScriptedSeats:
    """One scripted agent in some seats of many boxes.

    Args:
        policy: which agent.
        variant: the box.
        seats: bool [boxes, agents].
    """

    def __init__(self, policy: Scripted, variant: Variant, seats: np.ndarray):
        self.policy, self.variant, self.seats = policy, variant, for_drivers(np.ascontiguousarray(seats, np.bool_))
        mind = policy.mind(variant.p)
        check_memory(seats.size, mind.itemsize, "minds")
        self.minds = for_drivers(np.zeros(seats.shape, mind))
        self._rng = for_drivers(np.zeros(1, STREAM))
        self._choose = _drivers(variant, type(policy).wake, type(policy).act).choose

    def act(self, tasks: np.ndarray, worlds: np.ndarray, actions: np.ndarray) -> None:
        """Write the actions of these seats into `actions`, int64 [boxes, agents]."""
        row = self.policy.row
        self._choose(
            self.variant.params, row, tasks, worlds, self.seats, self.minds, self._rng, for_drivers(actions), 0, len(worlds)
        )
