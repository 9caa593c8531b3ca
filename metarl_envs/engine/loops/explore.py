"""The loops that try out what can happen: every action in every state, and one action in every possible world."""

from __future__ import annotations

from types import SimpleNamespace

from metarl_envs.engine.compiling.cache import compiled
from metarl_envs.engine.compiling.kernels import unsigned
from metarl_envs.engine.family import Variant
from metarl_envs.engine.streams import EPISODE, keyed


def solving_drivers(variant: Variant) -> SimpleNamespace:
    """Drivers that try things out on one task: `starts`, `expand` (every action), `sift` (one action on many tasks)."""
    reset, step, observe = map(variant.kernel, ("reset", "step", "observe"))

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

    def restart(params, tasks, states, weights, seen, room, flat, seed, trial, episode, rng):
        """Begin an episode in every possible world; those that would look different lose their weight."""
        for j in range(len(tasks)):
            rng[0].s = keyed(seed, EPISODE, trial, episode)
            reset(params[0], tasks[j], states[j], rng[0])
            observe(params[0], tasks[j], states[j], room[j])
            for k in range(len(seen)):
                if flat[j, k] != seen[k]:
                    weights[j] = 0.0

    def sift(params, tasks, states, weights, action, reward, terminated, seen, room, flat, rng):
        """Take one action in every possible world; those that would have paid, ended or looked different lose weight.

        Whether a step drew a random number, so that this is not exact.
        """
        rng[0].s = unsigned(1)
        for j in range(len(tasks)):
            paid, done = step(params[0], tasks[j], states[j], action, rng[0])
            observe(params[0], tasks[j], states[j], room[j])
            if paid != reward or bool(done) != terminated:
                weights[j] = 0.0
            for k in range(len(seen)):
                if flat[j, k] != seen[k]:
                    weights[j] = 0.0
        return rng[0].s != unsigned(1)

    return compiled(variant.name, starts, expand, restart, sift)
