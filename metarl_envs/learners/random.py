"""The random policy: the zero of every scale."""

from __future__ import annotations

import math

import numpy as np

from metarl_envs.engine import Internal, Player, Variant, kernel, randint, record, uniform
from metarl_envs.learners.choosing import one_each_action


@kernel
def act_uniformly(hyper, memory, seen, rng):
    """Any action, all alike."""
    return randint(rng, memory.actions.shape[0])


@kernel
def tell_even_chances(hyper, memory, seen, action, out):
    """The chance of each action."""
    for a in range(len(out)):
        out[a] = 1.0 / len(out)


@kernel
def tell_log_even_chance(hyper, memory, seen, action, out):
    """The logarithm of the chance that the action had."""
    out[0] = -math.log(memory.actions.shape[0])


class Random(Player):
    """Takes every action with the same chance, and learns nothing."""

    observes = "observation"
    act = act_uniformly
    internals = {
        "probabilities": Internal(tell_even_chances, one_each_action),
        "log_prob": Internal(tell_log_even_chance),
    }

    @staticmethod
    def memory(p, variant):
        """One unused byte an action: the shape says how many there are."""
        return record(actions=(np.uint8, variant.actions))


@kernel
def act_anywhere(hyper, memory, seen, rng, action):
    """Each number of the action anywhere in its range."""
    for j in range(len(action)):
        action[j] = memory.low[j] + (memory.high[j] - memory.low[j]) * uniform(rng)


class RandomArray(Player):
    """Takes actions uniformly from the box of allowed ones, and learns nothing."""

    observes = "observation"
    array_actions = True
    act = act_anywhere

    @staticmethod
    def memory(p, variant):
        """Return the range of each number."""
        return record(low=(np.float64, variant.action.shape), high=(np.float64, variant.action.shape))

    def initial_memory(self, variant):
        """It knows the ranges."""
        row = super().initial_memory(variant)
        row["low"], row["high"] = variant.action.low, variant.action.high
        return row


def random_policy(variant: Variant) -> Player:
    """Return the random policy of a family, whatever its actions are; or what a family of predictions has in its place."""
    if "random" in variant.family.references:
        return variant.family.references["random"]
    return RandomArray() if variant.action.shape else Random()
