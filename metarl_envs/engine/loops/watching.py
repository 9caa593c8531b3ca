"""A compiled player that watches another: told what that one saw, did and was paid, it says how likely each action was."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from metarl_envs.engine.compiling.cache import compiled
from metarl_envs.engine.compiling.kernels import glue, unsigned
from metarl_envs.engine.family import Variant
from metarl_envs.engine.loops.calls import flattened
from metarl_envs.engine.loops.life import LOST, NO_FAULT, PlayerArrays, action_parts, fault, learner_parts
from metarl_envs.engine.player import Player


class WatchedArrays(NamedTuple):
    """Lives of another player, [life, step, ...], of which steps[i] count in life i.

    `then` is what was observed after each step: the last observation of an episode, where one ended. `probabilities`, float32
    [life, step, action], is filled with those of the player that watches.
    """

    seen: np.ndarray
    then: np.ndarray
    actions: np.ndarray
    rewards: np.ndarray
    terminated: np.ndarray
    truncated: np.ndarray
    steps: np.ndarray
    probabilities: np.ndarray


def watch_driver(variant: Variant, learner: type[Player]) -> Callable:
    """Watch many lives of Discrete actions. Players without `probabilities` do what they choose with certainty."""
    look, lost, begin, learn = learner_parts(variant, learner)
    choose, _, _ = action_parts(variant, learner)
    tell = _teller(learner)

    def watch(params: np.ndarray, states: int, player: PlayerArrays, lives: WatchedArrays, lo, hi):
        """Watch lives lo to hi; a fault, or NO_FAULT."""
        p, h = params[0], player.hyper[0]
        for i in range(unsigned(lo), unsigned(hi)):
            memory, rng = player.memories[i], player.streams[i]
            begin(h, memory, p, p, rng)
            for n in range(lives.steps[i]):
                seen, then = look(p, p, lives.seen[i, n]), look(p, p, lives.then[i, n])
                if lost(states, seen) or lost(states, then):
                    return fault(LOST, i)
                chosen = choose(h, memory, p, p, p, seen, rng, player.slots[i], player.done[i])
                tell(h, memory, seen, chosen, lives.probabilities[i, n])
                action, reward = lives.actions[i, n], lives.rewards[i, n]
                learn(h, memory, seen, action, reward, lives.terminated[i, n], lives.truncated[i, n], then, rng)
        return np.int64(NO_FAULT)

    return compiled(f"{variant.name}.{learner.__name__}", flattened(watch)).watch


def _teller(learner: type[Player]) -> Callable:
    """Write the probability of each action."""
    if "probabilities" in learner.internals:
        return learner.internals["probabilities"].read

    def tell_choice(hyper, memory, seen, action, out):
        for a in range(len(out)):
            out[a] = 0.0
        out[action] = 1.0

    return glue(tell_choice)
