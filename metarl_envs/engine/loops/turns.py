"""A compiled player, one turn at a time: it learns from what it is told came of its last action, and chooses the next."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from metarl_envs.engine.compiling.cache import compiled
from metarl_envs.engine.compiling.kernels import unsigned
from metarl_envs.engine.family import Variant
from metarl_envs.engine.loops.calls import flattened
from metarl_envs.engine.loops.life import LOST, NO_FAULT, OUTSIDE, PlayerArrays, action_parts, fault, learner_parts
from metarl_envs.engine.player import Player


class TurnArrays(NamedTuple):
    """What players are told in one turn, one element a row; `PlayerArrays.seen` holds what they saw before.

    `seen` is what they see now, `then` what came of the last action: the last observation of an episode that ended. Players
    of rows where `begins` know nothing yet. Rows that are not `active` have no turn. Actions are written into `actions`
    [row, 1, ...], where those of the last turn stand.
    """

    seen: np.ndarray
    then: np.ndarray
    rewards: np.ndarray
    terminated: np.ndarray
    truncated: np.ndarray
    begins: np.ndarray
    active: np.ndarray
    actions: np.ndarray


def turn_driver(variant: Variant, learner: type[Player]) -> Callable:
    """One turn of a player that does not look at the world itself, in many rows."""
    look, lost, begin, learn = learner_parts(variant, learner)
    choose, outside, keep = action_parts(variant, learner)

    def turns(params: np.ndarray, states: int, player: PlayerArrays, turn: TurnArrays, lo, hi):
        """Let rows lo to hi have their turn; a fault, or NO_FAULT."""
        p, h = params[0], player.hyper[0]
        for i in range(unsigned(lo), unsigned(hi)):
            if turn.active[i]:
                memory, rng = player.memories[i], player.streams[i]
                seen = look(p, p, turn.seen[i])
                if lost(states, seen):
                    return fault(LOST, i)
                if turn.begins[i]:
                    begin(h, memory, p, p, rng)
                else:
                    before, then = look(p, p, player.seen[i, 0]), look(p, p, turn.then[i])
                    if lost(states, then):
                        return fault(LOST, i)
                    reward, action = turn.rewards[i], turn.actions[i, 0]
                    learn(h, memory, before, action, reward, turn.terminated[i], turn.truncated[i], then, rng)
                action = choose(h, memory, p, p, p, seen, rng, player.slots[i], player.done[i])
                if outside(player.bounds, action):
                    return fault(OUTSIDE, i)
                keep(turn.actions, i, 0, action)
        return np.int64(NO_FAULT)

    return compiled(f"{variant.name}.{learner.__name__}", flattened(turns)).turns
