"""Boxes in motion: many boxes side by side, and compiled players in their seats."""

from __future__ import annotations

import functools
from collections.abc import Callable
from types import SimpleNamespace

import numpy as np

from metarl_envs.boxes.players.scripted import Scripted
from metarl_envs.boxes.world.core import CHOOSING
from metarl_envs.boxes.world.mechanisms import able_in, used_in
from metarl_envs.boxes.world.tree import items_in
from metarl_envs.engine.compiling.cache import compiled
from metarl_envs.engine.compiling.kernels import unsigned
from metarl_envs.engine.family import Variant
from metarl_envs.engine.player import Player
from metarl_envs.engine.records import check_memory, for_drivers, rows
from metarl_envs.engine.streams import STREAM, keyed


@functools.lru_cache(maxsize=256)
def _drivers(variant: Variant, begin: Callable, act: Callable) -> SimpleNamespace:
    """`choose`: what compiled players do now in their seats, each beginning anew where memory was reset; who is out waits."""
    able = able_in(used_in(variant.p))

    def choose(params, hyper, tasks, worlds, seats, memories, rng, actions, lo, hi):
        p, h = params[0], hyper[0]
        for b in range(unsigned(lo), unsigned(hi)):
            state = worlds[b].state
            for i in range(p.agents):
                if seats[b, i]:
                    rng[0].s = keyed(state.noise, CHOOSING, state.t, i)
                    if state.forgot[i] != 0:
                        begin(h, memories[b, i], p, rng[0])
                    if able(p, state, i):
                        actions[b, i] = act(h, memories[b, i], p, tasks[worlds[b].task], state, i, rng[0])
                    else:
                        actions[b, i] = items_in(p)

    return compiled(f"{variant.name}.{act.__name__}", choose)


class CompiledSeats:
    """One compiled player in some seats of many boxes.

    Args:
        player: which; it observes a `"seat"`.
        variant: the box.
        seats: bool [boxes, agents].
    """

    def __init__(self, player: Player, variant: Variant, seats: np.ndarray):
        self.player, self.variant, self.seats = player, variant, for_drivers(np.ascontiguousarray(seats, np.bool_))
        self._newborn = player.initial_memory(variant)
        check_memory(seats.size, self._newborn.itemsize, "memories")
        self.memories = for_drivers(np.zeros(seats.shape, self._newborn.dtype))
        self._rng = rows(1, STREAM)
        act = player.acting(variant.p) if isinstance(player, Scripted) else type(player).act
        self._choose = _drivers(variant, type(player).begin, act).choose

    def act(self, tasks: np.ndarray, worlds: np.ndarray, actions: np.ndarray) -> None:
        """Write the actions of these seats into `actions`, int64 [boxes, agents, ...]; where these hold text, without any."""
        forgot = worlds.view(np.ndarray)["state"]["forgot"] != 0
        if forgot.any():
            self.memories.view(np.ndarray)[forgot] = self._newborn
        call = self.variant.params, self.player.hyper, tasks, worlds, self.seats, self.memories, self._rng
        if actions.ndim == 2:
            self._choose(*call, for_drivers(actions), 0, len(worlds))
            return
        numbers = np.ascontiguousarray(actions[..., 0])
        self._choose(*call, for_drivers(numbers), 0, len(worlds))
        actions[self.seats.view(np.ndarray)] = 0
        actions[..., 0] = numbers
