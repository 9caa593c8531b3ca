"""The loops that try out what can happen: every action in every state, and one action in every possible world."""

from __future__ import annotations

from types import SimpleNamespace
from typing import NamedTuple

import numpy as np

from metarl_envs.engine.compiling.cache import compiled
from metarl_envs.engine.compiling.kernels import glue, unsigned
from metarl_envs.engine.family import Variant
from metarl_envs.engine.loops.calls import flattened
from metarl_envs.engine.streams import EPISODE, keyed


class PossibleWorlds(NamedTuple):
    """One world for each task that there may be: its weight, and room for what is seen in it (`flat`: [world, number])."""

    params: np.ndarray
    tasks: np.ndarray
    states: np.ndarray
    weights: np.ndarray
    room: np.ndarray
    flat: np.ndarray


def solving_drivers(variant: Variant) -> SimpleNamespace:
    """Drivers that try things out on one task: `starts`, `expand` (every action), `sift` (one action on many tasks)."""
    reset, step, observe = map(variant.kernel, ("reset", "step", "observe"))

    def compare(possible, seen, j):
        """Take its weight from possible world j, where it does not look like what was seen."""
        observe(possible.params[0], possible.tasks[j], possible.states[j], possible.room[j])
        for k in range(len(seen)):
            if possible.flat[j, k] != seen[k]:
                possible.weights[j] = 0.0

    compare = glue(compare)

    def starts(params, task, states, rngs):
        """The first state of an episode under each stream; whether any reset drew a random number."""
        drew = False
        for i in range(len(states)):
            before = rngs[i].s
            reset(params[0], task[0], states[i], rngs[i])
            drew |= rngs[i].s != before
        return drew

    def expand(params, task, states, actions, reached, paid, ended, rng):
        """Every action in every state, in order; whether any step drew a random number."""
        drew = False
        rng[0].s = unsigned(1)
        for i in range(len(states)):
            for a in range(actions):
                j = i * actions + a
                reached[j] = states[i]
                reward, done = step(params[0], task[0], reached[j], a, rng[0])
                paid[j] = reward
                ended[j] = done
                drew |= rng[0].s != unsigned(1)
        return drew

    def restart(possible: PossibleWorlds, seen, seed, trial, episode, rng):
        """Begin an episode in every possible world; those that would look different lose their weight."""
        for j in range(len(possible.tasks)):
            rng[0].s = keyed(seed, EPISODE, trial, episode)
            reset(possible.params[0], possible.tasks[j], possible.states[j], rng[0])
            compare(possible, seen, j)

    def sift(possible: PossibleWorlds, action, reward, terminated, seen, rng):
        """Take one action in every possible world; those that would have paid, ended or looked different lose weight.

        Whether a step drew a random number, so that this is not exact.
        """
        rng[0].s = unsigned(1)
        for j in range(len(possible.tasks)):
            paid, done = step(possible.params[0], possible.tasks[j], possible.states[j], action, rng[0])
            if paid != reward or bool(done) != terminated:
                possible.weights[j] = 0.0
            compare(possible, seen, j)
        return rng[0].s != unsigned(1)

    return compiled(variant.name, starts, expand, flattened(restart), flattened(sift))
