"""The core of every box: items, hands, experiments, pay, and the lots that decide where two want the same.

A box is a family whose state has an axis of agents: `state.hand[i]` is what agent i holds. One action an agent and step, all
at once; what an agent does touches only what is its own. Where two want the same, to be the first to make a thing or to post on
one place of the board, a lot decides (`is_drawn_before`). So the order in which they are gone through does not matter.

Noise is keyed by (box, purpose, time, agent): what one agent does shifts no draw of another, so "what if agent 3 had waited?"
meets the same luck.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np

from metarl_envs.boxes.world.tree import NOTHING, TREE, first_of, items_in, items_of, level_of, lineage_of, product_of
from metarl_envs.boxes.world.verbs import Key, Verb, no_effect
from metarl_envs.engine import Choice, Integer, Real, kernel, randint, uniform
from metarl_envs.engine.streams import bits, keyed

#: Purposes of the keyed noise of a box.
COPYING, WANDERING, ILLUSION, CHOOSING, LOTS = 11, 12, 13, 14, 15
APPRENTICE, TEACHER, MISCOPY, INHERITING = 21, 22, 23, 24
LUCK, FALSIFYING = 25, 26
CORRUPTING = 27
#: `state.held`: not held; the thing itself; what only looks like it (from an experiment that seemed to work).
ABSENT, REAL, ILLUSORY = range(3)
#: `pays`: whoever makes what it did not hold; who is the first in the box; all alike, the mean.
OWN, FIRST, MEAN = range(3)

#: The parameters of the core, in two parts: those that come before, and after, those of mechanisms.
PARAMETERS = {
    "agents": Integer(6, 1, 256),
    "horizon": Integer(500, 1, 32767),
    **TREE,
    "value_bias": Real(1.0, 0.0, 100.0),
    "pays": Choice("own", ("own", "first", "mean")),
}
EXPERIMENTS = {"illusions": Real(0.0, 0.0, 1.0)}


def core_fields(p: SimpleNamespace) -> dict[str, Any]:
    """The fields of the state that every box has."""
    n, items = p.agents, items_of(p)
    return {
        "held": (np.uint8, (n, items)),
        "hand": (np.int16, n),
        "tried": (np.int16, (n, 2)),  # the last experiment: the pair
        "seemed": (np.int16, n),  # what it seemed to make
        "made": (np.int16, n),  # what was newly made in this step
        "gained": (np.int16, n),  # how many items were copied in this step
        "forgot": (np.uint8, n),  # memory was reset
        "illegal": (np.int32, n),
        "reward": (np.float64, n),
        "first_at": (np.int32, items),  # when an item was first made in the box; -1: not yet
        "first_by": (np.int16, items),
        "noise": np.uint64,
        "words": np.uint64,  # what items are called follows from it (see `words.words_for`)
        "t": np.int32,
    }


@kernel
def open_core(params, task, state, rng):
    """Begin: nothing was made yet, and the noise of the box is drawn."""
    state.noise = bits(rng)
    state.words = state.noise
    state.t = 0
    for i in range(params.agents):
        state.illegal[i] = 0
        state.reward[i] = 0.0
        state.made[i] = NOTHING
    for item in range(items_in(params)):
        state.first_at[item] = -1
        state.first_by[item] = -1


@kernel
def forget_core(params, state, i):
    """Back to the bases, with empty hands."""
    bases = params.lineages * params.bases
    for item in range(items_in(params)):
        state.held[i, item] = REAL if item < bases else ABSENT
    state.hand[i] = NOTHING
    state.tried[i, 0] = NOTHING
    state.tried[i, 1] = NOTHING
    state.seemed[i] = NOTHING
    state.gained[i] = 0


@kernel
def is_drawn_before(state, i, j):
    """Whether the lot of this step puts agent i before agent j. It is drawn anew at each step, and favours nobody."""
    return keyed(state.noise, LOTS, state.t, i) < keyed(state.noise, LOTS, state.t, j)


# ------------------------------------------------------------------------------------------------- experiments
@kernel
def can_take(params, state, i, item):
    """Whether agent i has an item, and not in its hand already."""
    return state.held[i, item] != ABSENT and item != state.hand[i]


@kernel
def take_up(params, task, state, i, item, rng):
    """Into the empty hand; or the experiment: what does the item in the hand make with this one?"""
    if state.hand[i] == NOTHING:
        state.hand[i] = item
    else:
        experiment(params, task, state, i, item, True, rng)


@functools.cache
def taking_up(chance: Callable) -> Callable:
    """The same where a right pair makes its product by `chance(params, state, i)`."""

    @kernel
    def take_up_with_luck(params, task, state, i, item, rng):
        """Into the empty hand; or the experiment, which may fail though the pair is right."""
        if state.hand[i] == NOTHING:
            state.hand[i] = item
        else:
            experiment(params, task, state, i, item, has_luck(state, i, chance(params, state, i), rng), rng)

    return take_up_with_luck


@kernel
def has_luck(state, i, chance, rng):
    """Whether agent i has luck in this step, with such a chance: whoever has it at some chance has it at a higher one."""
    rng.s = keyed(state.noise, LUCK, state.t, i)
    return uniform(rng) < chance


@kernel
def experiment(params, task, state, i, item, works, rng):
    """What is in the hand put together with an item; `works` says whether a right pair makes its product now."""
    other = state.hand[i]
    state.hand[i] = NOTHING
    made = NOTHING
    if works and state.held[i, other] == REAL and state.held[i, item] == REAL:
        made = product_of(params, task, other, item)
    real = made != NOTHING
    if not real and params.illusions > 0.0:
        rng.s = keyed(state.noise, ILLUSION, state.t, i)
        if uniform(rng) < params.illusions:
            made = seeming_product(params, other, item, rng)
    state.tried[i, 0] = other
    state.tried[i, 1] = item
    state.seemed[i] = made
    if made == NOTHING:
        return
    if state.held[i, made] == ABSENT:
        state.made[i] = made if real else NOTHING
        state.held[i, made] = REAL if real else ILLUSORY
    elif real and state.held[i, made] == ILLUSORY:
        state.made[i] = made
        state.held[i, made] = REAL


@kernel
def seeming_product(params, x, y, rng):
    """What a failed experiment may seem to make: something of the level above the higher of the two; at the top nothing."""
    higher = x if level_of(params, x) >= level_of(params, y) else y
    level = level_of(params, higher) + 1
    if level > params.levels:
        return NOTHING
    return first_of(params, level, lineage_of(params, higher)) + randint(rng, params.width)


@kernel
def once(params):
    """A single action."""
    return 1


@kernel
def always(params, state, i, k):
    """It is always allowed."""
    return True


TAKE = Verb("take", "take {item}", "", items_in, can_take, take_up, by_chance=taking_up)
WAIT = Verb("wait", "wait", "", once, always, no_effect, key=Key("space", "wait", lambda p, state, i: 0))
#: What agents can do in every box.
VERBS = (TAKE, WAIT)


# ------------------------------------------------------------------------------------------------- pay
@kernel
def worth(params, item):
    """What an item pays: its level, and `value_bias` times as much in the first lineage."""
    return level_of(params, item) * (params.value_bias if lineage_of(params, item) == 0 else 1.0)


@functools.cache
def paying(due: Callable, credit: Callable) -> Callable:
    """The kernel `pay(params, state)`.

    `due(params, state, i, item)` is the share of an item's worth that whoever newly made it is paid, and `credit(params, state,
    i)` what agent i is paid beside.
    """

    @kernel
    def pay(params, state):
        """Note who was first, and pay; the sum. Of several who make the same at once, one is drawn to be the first."""
        total = 0.0
        for i in range(params.agents):
            made = state.made[i]
            state.reward[i] = credit(params, state, i)
            if made != NOTHING:
                note_first(state, i, made)
                state.reward[i] += due(params, state, i, made) * worth(params, made)
            total += state.reward[i]
        if params.pays == FIRST:
            total = pay_first(params, state)
        if params.pays == MEAN:
            for i in range(params.agents):
                state.reward[i] = total / params.agents
        return total

    return pay


@kernel
def note_first(state, i, made):
    """Note agent i as the first who made a thing, unless somebody was before it, in time or by lot."""
    if state.first_at[made] < 0 or (state.first_at[made] == state.t and is_drawn_before(state, i, state.first_by[made])):
        state.first_at[made] = state.t
        state.first_by[made] = i


@kernel
def pay_first(params, state):
    """Take back the pay of all who were not the first; the sum that is left."""
    total = 0.0
    for i in range(params.agents):
        made = state.made[i]
        if made != NOTHING and not (state.first_at[made] == state.t and state.first_by[made] == i):
            state.reward[i] = 0.0
        total += state.reward[i]
    return total


def pay_in_words(p: SimpleNamespace) -> str:
    """What something new pays."""
    level = "its level" if p.value_bias == 1 else f"its level (of the first colour {p.value_bias:g} times that)"
    if p.agents == 1:
        return level if p.pays != "first" else f"{level}, the first time"
    return {"own": level, "first": f"{level} to who is the first in the box", "mean": f"{level}, shared by all"}[p.pays]
