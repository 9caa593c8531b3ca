"""How learners choose among actions, and what a history can be told about the choice."""

from __future__ import annotations

import math
from types import SimpleNamespace

from metarl_envs.engine import Variant, kernel, randint, uniform


@kernel
def best_action(values, rng):
    """An action of the highest value, ties broken at random."""
    best = values[0]
    ties = 1
    choice = 0
    for a in range(1, len(values)):
        value = values[a]
        if value > best:
            best = value
            choice = a
            ties = 1
        elif value == best:
            ties += 1
            if randint(rng, ties) == 0:
                choice = a
    return choice


@kernel
def highest(values):
    """The highest of some values."""
    best = values[0]
    for a in range(1, len(values)):
        best = max(best, values[a])
    return best


@kernel
def first_of_highest(values):
    """The first action of the highest value."""
    choice = 0
    for a in range(1, len(values)):
        if values[a] > values[choice]:
            choice = a
    return choice


@kernel
def chance_of(action, values, epsilon):
    """The chance of an action where one of the highest value is taken, or with chance epsilon any."""
    best = highest(values)
    ties = 0
    for a in range(len(values)):
        if values[a] == best:
            ties += 1
    chance = epsilon / len(values)
    return chance + (1.0 - epsilon) / ties if values[action] == best else chance


@kernel
def soften(preferences, out):
    """Write the softmax of preferences."""
    most = highest(preferences)
    total = 0.0
    for a in range(len(preferences)):
        out[a] = math.exp(preferences[a] - most)
        total += out[a]
    for a in range(len(preferences)):
        out[a] /= total


@kernel
def draw_by(chances, rng):
    """An action drawn by its chance; one of chance 0 is never drawn."""
    left = uniform(rng)
    choice = 0
    for a in range(len(chances)):
        if chances[a] > 0.0:
            choice = a
            if left < chances[a]:
                break
            left -= chances[a]
    return choice


# --------------------------------------------------------------------------------------------- what can be told
def one_each_action(p: SimpleNamespace, variant: Variant) -> int:
    """As many numbers as there are actions."""
    return variant.actions


@kernel
def tell_chances(hyper, memory, seen, action, out):
    """The chance that each action had."""
    for a in range(len(out)):
        out[a] = memory.chance[a]


@kernel
def tell_log_chance(hyper, memory, seen, action, out):
    """The logarithm of the chance that the action had."""
    out[0] = math.log(memory.chance[action])


@kernel
def tell_value(hyper, memory, seen, action, out):
    """The value of the state."""
    out[0] = memory.value[seen]


@kernel
def tell_td_error(hyper, memory, seen, action, out):
    """What the step brought above what was expected."""
    out[0] = memory.td_error
