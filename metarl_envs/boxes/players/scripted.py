"""Scripted agents: the ladder that every box is measured against.

Keepers of notes stand in `keepers`. All of them are compiled players (see `metarl_envs.engine.player`) that sit in a seat: they
keep a row of memory, and act on what an agent may know of its own: what it holds, what its last experiment seemed to make, what
it sees written. (Beside that, who writes over the oldest of several entries is told when each was written, which nobody else is
shown; and the oracle may know the recipes.) The same kernels act in many boxes at once, as companions inside a
compiled environment, and one at a time through PettingZoo.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np

from metarl_envs.boxes.scenarios.box import Box
from metarl_envs.boxes.world.core import ABSENT, REAL, worth
from metarl_envs.boxes.world.mechanism import Mechanism
from metarl_envs.boxes.world.mechanisms import action_count_in, legality_in, used_in
from metarl_envs.boxes.world.tree import GRAMMAR, NOTHING, items_in, items_of, level_of
from metarl_envs.engine import Flag, Integer, Parameters, Player, Variant, kernel, randint, record

#: How many pairs are drawn in search of one that was not tried yet, before pairs are gone through in order.
_DRAWS = 32
#: `draws`: of how many new pairs an agent tries the one worth most (`NeverRepeat` takes the first).
SEVERAL = Integer(8, 1, 64)


class Scripted(Player):
    """A compiled player in a seat of a box.

    Its `begin` must set all that its `act` relies on: it is called at each dawn, and as a companion inside a compiled
    environment it finds there what the memory held the day before.
    """

    observes = "seat"

    def acting(self, p: SimpleNamespace) -> Callable:
        """The kernel by which it acts in a box with parameters `p`: `act`, unless that depends on what can be done there."""
        return type(self).act

    def why_unsuitable(self, variant):
        """Boxes have seats; nothing else has."""
        return None if issubclass(variant.family, Box) else super().why_unsuitable(variant)


# ------------------------------------------------------------------------------------------------- no memory at all
@functools.cache
def acting_at_random(mechanisms: tuple[Mechanism, ...]) -> Callable:
    """The kernel that acts at random in boxes that use these mechanisms."""
    action_count, is_legal = action_count_in(mechanisms), legality_in(mechanisms)

    @kernel
    def act_at_random(hyper, memory, params, task, state, i, rng):
        """Any action that would do something, all alike."""
        actions = action_count(params)
        legal = 0
        for action in range(actions):
            legal += is_legal(params, state, i, action)
        n = randint(rng, legal)  # WAIT is always legal
        for action in range(actions):
            n -= is_legal(params, state, i, action)
            if n < 0:
                return action
        return items_in(params)

    return act_at_random


class Random(Scripted):
    """Uniform over the actions that would do something: the first null."""

    def acting(self, p):
        """By the verbs of this box."""
        return acting_at_random(used_in(p))


@kernel
def make_the_best(hyper, memory, params, task, state, i, rng):
    """Make what pays most of all that can be made now; agents beside each other take different things."""
    items, hand = items_in(params), state.hand[i]
    if hand != NOTHING:
        for item in range(items - 1, -1, -1):
            for r in range(params.recipes):
                a, b = task.recipe[item, r, 0], task.recipe[item, r, 1]
                if can_make(state, i, item, a, b) and (hand == a or hand == b):  # noqa: SIM109
                    return b if hand == a else a
    best, chosen, skipped = -1.0, NOTHING, 0
    for _round in range(params.agents):  # the i-th best, if there are as many
        ceiling, best, found = best, -1.0, NOTHING
        for item in range(items):
            value = worth(params, item) + item / (items + 1.0)
            if best < value and (ceiling < 0.0 or value < ceiling) and makeable(params, task, state, i, item):
                best, found = value, item
        if found == NOTHING:
            break
        chosen = found
        if skipped == i:
            break
        skipped += 1  # noqa: SIM113
    if chosen == NOTHING:
        return items
    for r in range(params.recipes):
        a, b = task.recipe[chosen, r, 0], task.recipe[chosen, r, 1]
        if can_make(state, i, chosen, a, b):
            return a if hand != a else b
    return items


@kernel
def can_make(state, i, item, a, b):
    """Whether agent i lacks an item and holds both ingredients."""
    return a != NOTHING and state.held[i, item] != REAL and state.held[i, a] == REAL and state.held[i, b] == REAL


@kernel
def makeable(params, task, state, i, item):
    """Whether agent i could make an item now."""
    for r in range(params.recipes):  # noqa: SIM110 (a kernel has no generators)
        if can_make(state, i, item, task.recipe[item, r, 0], task.recipe[item, r, 1]):
            return True
    return False


class Oracle(Scripted):
    """Knows the recipes: always makes what pays most of all that it can make, and never tries in vain."""

    act = make_the_best


# ------------------------------------------------------------------------------------------------- never twice
@kernel
def begin_searching(hyper, memory, params, rng):
    """Nothing was tried yet."""
    items = items_in(params)
    for x in range(items):
        for word in range(memory.tried.shape[1]):
            memory.tried[x, word] = 0
    memory.partner = NOTHING


@kernel
def has_tried(memory, x, y):
    """Whether it tried this pair."""
    return (memory.tried[x, y >> 3] >> (y & 7)) & 1 == 1


@kernel
def mark_tried(memory, x, y):
    """Remember that it tried this pair."""
    memory.tried[x, y >> 3] |= 1 << (y & 7)
    memory.tried[y, x >> 3] |= 1 << (x & 7)


def _searching_by(appeal: Callable) -> Callable:
    """The kernel that searches, by what makes a pair worth trying: appeal(params, task, memory, x, y)."""

    @kernel
    def new_pair(hyper, memory, params, task, state, i, rng):
        """A pair that was never tried, with what is in the hand if there is something; NOTHING where all were."""
        items, hand = items_in(params), state.hand[i]
        count = 0
        for item in range(items):
            count += state.held[i, item] != ABSENT
        best, best_x, best_y, found = -1.0, NOTHING, NOTHING, 0
        for _draw in range(_DRAWS * hyper.draws):
            x = hand if hand != NOTHING else nth_held(state, i, items, randint(rng, count))
            y = nth_held(state, i, items, randint(rng, count))
            if x == y or has_tried(memory, x, y):
                continue
            value = appeal(params, task, memory, x, y)
            if value > best:
                best, best_x, best_y = value, x, y
            found += 1
            if found >= hyper.draws:
                break
        if best_x != NOTHING:
            return best_x, best_y
        for x in range(items):
            if state.held[i, x] == ABSENT or (hand != NOTHING and x != hand):
                continue
            for y in range(items):
                if y != x and state.held[i, y] != ABSENT and not has_tried(memory, x, y):
                    return x, y
        return NOTHING, NOTHING

    @kernel
    def try_something_new(hyper, memory, params, task, state, i, rng):
        """Of `draws` pairs that it holds and never tried, the most appealing one."""
        items, hand = items_in(params), state.hand[i]
        if hand != NOTHING and memory.partner != NOTHING and state.held[i, memory.partner] != ABSENT:
            partner = memory.partner
            memory.partner = NOTHING
            mark_tried(memory, hand, partner)
            return partner
        x, y = new_pair(hyper, memory, params, task, state, i, rng)
        if x == NOTHING:
            return items
        if hand == NOTHING or x == hand:
            memory.partner = y
            if hand == NOTHING:
                return x
        mark_tried(memory, hand, y)
        memory.partner = NOTHING
        return y

    return try_something_new


@kernel
def nth_held(state, i, items, n):
    """The n-th thing that agent i holds."""
    for item in range(items):
        n -= state.held[i, item] != ABSENT
        if n < 0:
            return item
    return 0


@kernel
def worth_of_both(params, task, memory, x, y):
    """What the two are worth."""
    return worth(params, x) + worth(params, y)


try_something_new = _searching_by(worth_of_both)


def searching(variant: Variant, **more: Any) -> np.dtype:
    """The memory of whoever searches: a bit for each pair, the second half of a plan, and what else is asked for."""
    items = items_of(variant.p)
    return record(tried=(np.uint8, (items, -(-items // 8))), partner=np.int16, **more)


class NeverRepeat(Scripted):
    """Tries pairs at random and none twice: the honest null.

    `draws` (default 1) is how many new pairs it looks at before it tries the one worth most.
    """

    params = Parameters(draws=Integer(1, 1, 64))
    begin, act = begin_searching, try_something_new

    @staticmethod
    def memory(p, variant):
        """What was tried."""
        return searching(variant)


class Greedy(NeverRepeat):
    """Tries, of eight new pairs, the one whose parts are worth most."""

    params = Parameters(draws=SEVERAL)


# ------------------------------------------------------------------------------------------------- finding the rule
@kernel
def begin_finder(hyper, memory, params, rng):
    """Any hole may take any shape, for all it knows."""
    begin_searching(hyper, memory, params, rng)
    memory.waits = 0
    memory.tries = 0
    memory.found = 0
    for hole in range(params.features):
        for shape in range(params.features):
            memory.weight[hole, shape] = 1.0


@kernel
def search_by_rule(hyper, memory, params, task, state, i, rng):
    """Weigh what came of the last experiment; then try, of `draws` new pairs, the one that promises most."""
    if hyper.infers != 0 and state.hand[i] == NOTHING and memory.waits != 0:
        weigh(params, task, state, i, memory)
    action = try_what_promises_most(hyper, memory, params, task, state, i, rng)
    memory.waits = 1 if state.hand[i] != NOTHING and action < items_in(params) else 0
    return action


@kernel
def weigh(params, task, state, i, memory):
    """What the last experiment says of the rule.

    A pair that works shows that a hole takes a shape: that of the higher item the shape of the lower; of two of one level
    either may be the one that counts, as far as it was likely before. A hole takes one shape, and a shape goes into one hole. A
    pair that fails says little, since of those that fit few work: how few is reckoned from how many experiments did.
    """
    x, y, works = state.tried[i, 0], state.tried[i, 1], state.seemed[i] != NOTHING
    if level_of(params, x) < level_of(params, y):
        x, y = y, x
    memory.tries += 1
    memory.found += works
    luck = min(0.5, params.features * (memory.found + 1.0) / (memory.tries + 10.0 * params.features))
    this, other = chance_of(params, memory, task.hole[x], task.shape[y]), chance_of(params, memory, task.hole[y], task.shape[x])
    same = task.hole[x] == task.hole[y] and task.shape[x] == task.shape[y]
    if same or level_of(params, x) > level_of(params, y):
        other = 0.0
    weigh_one(params, memory, task.hole[x], task.shape[y], works, luck, other)
    if not same and level_of(params, x) == level_of(params, y):
        weigh_one(params, memory, task.hole[y], task.shape[x], works, luck, this)


@kernel
def weigh_one(params, memory, hole, shape, works, luck, other):
    """What an experiment says of one hole and one shape, where with chance `other` it may have worked without them."""
    if not works:
        lose_weight(memory, hole, shape, (1.0 - luck) / (1.0 - luck * other))
        return
    doubt = params.illusions / (params.illusions + luck)  # that it only seemed to work
    without = other + (1.0 - other) * doubt
    for k in range(params.features):
        if k != shape:
            lose_weight(memory, hole, k, without)
        if k != hole:
            lose_weight(memory, k, shape, without)


@kernel
def lose_weight(memory, hole, shape, share):
    """Believe less, by this share, that the hole takes the shape."""
    memory.weight[hole, shape] = max(memory.weight[hole, shape] * share, 1e-9)


@kernel
def chance_to_fit(params, task, memory, x, y):
    """How likely the rule lets the pair work; all alike where there is no rule to be seen."""
    if params.structure != GRAMMAR:
        return 1.0
    level_x, level_y = level_of(params, x), level_of(params, y)
    no_fit = 1.0
    if level_x >= level_y:
        no_fit *= 1.0 - chance_of(params, memory, task.hole[x], task.shape[y])
    if level_y >= level_x and (task.hole[x] != task.hole[y] or task.shape[x] != task.shape[y]):
        no_fit *= 1.0 - chance_of(params, memory, task.hole[y], task.shape[x])
    return 1.0 - no_fit


@kernel
def chance_of(params, memory, hole, shape):
    """How likely a hole takes a shape: its weight among those of all shapes."""
    total = 0.0
    for k in range(params.features):
        total += memory.weight[hole, k]
    return memory.weight[hole, shape] / total


@kernel
def promise(params, task, memory, x, y):
    """How likely the pair fits, times what the two are worth and 1 more, so that pairs of bases differ in something too."""
    return chance_to_fit(params, task, memory, x, y) * (1.0 + worth_of_both(params, task, memory, x, y))


try_what_promises_most = _searching_by(promise)


class RuleFinder(NeverRepeat):
    """Searches like `Greedy`, and infers from what works which hole takes which shape.

    It knows nothing but its own experiments and the holes and shapes of what it holds. Of `draws` new pairs it tries the one
    with the largest product of how likely it fits and what its parts are worth (by the former alone it would try pairs of one
    level first, which fit either way, and come no deeper than `NeverRepeat`). Where there is no grammar it is `Greedy`. With
    `infers=False` it draws no conclusions: what its inference is worth shows beside that.
    """

    params = Parameters(draws=SEVERAL, infers=Flag(True))
    begin, act = begin_finder, search_by_rule

    @staticmethod
    def memory(p, variant):
        """What was tried, what worked, and how much speaks for each hole to take each shape."""
        weight = np.float64, (variant.p.features, variant.p.features)
        return searching(variant, weight=weight, tries=np.int32, found=np.int32, waits=np.uint8)
