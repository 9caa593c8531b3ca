"""Scripted agents for boxes with hazards: experimenters who know that a right pair may fail, and how they treat others.

An experimenter believes of each pair with some odds that it is right. A failure speaks against it as far as a right pair would
have worked; so it tries a promising pair again, where `NeverRepeat` never does.
"""

from __future__ import annotations

import numpy as np

from metarl_envs.boxes.players.scripted import Scripted, make_the_best, nth_held
from metarl_envs.boxes.world.core import ABSENT, worth
from metarl_envs.boxes.world.hazard import FORCE, GIVE, HAZARD, PUBLISH, SABOTAGE, STEAL, STOLE, can_sabotage, productivity
from metarl_envs.boxes.world.mechanisms import begins_at, used_in
from metarl_envs.boxes.world.tree import NOTHING, first_of, items_in, items_of, level_of, lineage_of
from metarl_envs.engine import Choice, Integer, Parameters, Real, kernel, randint, record

#: Where the actions begin that force, steal, give, publish and sabotage.
first_force, first_theft, first_gift, publication, first_sabotage = map(begins_at, (FORCE, STEAL, GIVE, PUBLISH, SABOTAGE))
#: `manner`: how an experimenter treats others.
MANNERS = ("clean", "prosocial", "toxic", "thief", "saboteur")
CLEAN, PROSOCIAL, TOXIC, THIEF, SABOTEUR = range(len(MANNERS))
#: A thief that finds nothing waits twice as long before the next try, at most this many steps.
_LONGEST_WAIT = 64


# ------------------------------------------------------------------------------------------------- beliefs
@kernel
def begin_experimenter(hyper, memory, params, rng):
    """Every pair is as likely to be right as any other."""
    odds = hyper.prior / (1.0 - hyper.prior)
    for x in range(items_in(params)):
        for y in range(items_in(params)):
            memory.belief[x, y] = odds
    memory.partner = NOTHING
    memory.chance = 0.0
    memory.shares = NOTHING
    memory.patience = 1
    memory.next_theft = 0


@kernel
def believe(memory, x, y, belief):
    """What it believes of a pair: odds that it is right; or, below 0, that it makes item -1 - belief."""
    memory.belief[x, y] = belief
    memory.belief[y, x] = belief


@kernel
def learn_from_last(memory, state, i):
    """What the last experiment says, in which a right pair would have worked with chance `memory.chance`."""
    x, y, made = state.tried[i, 0], state.tried[i, 1], state.seemed[i]
    if made != NOTHING:
        believe(memory, x, y, -1.0 - made)
    elif memory.belief[x, y] >= 0.0:
        believe(memory, x, y, memory.belief[x, y] * (1.0 - memory.chance))
    memory.chance = 0.0


@kernel
def promise(params, memory, state, i, x, y):
    """What it expects a pair to pay, were luck certain: the chance that it is right times what its product would be worth."""
    belief = memory.belief[x, y]
    if belief < 0.0:
        made = int(-1.0 - belief)
        return worth(params, made) if state.held[i, made] == ABSENT else 0.0
    higher = x if level_of(params, x) >= level_of(params, y) else y
    level = level_of(params, higher) + 1
    if level > params.levels:
        return 0.0
    return belief / (1.0 + belief) * worth(params, first_of(params, level, lineage_of(params, higher)))


@kernel
def choose_pair(hyper, memory, params, state, i, rng):
    """Of `draws` pairs of what it holds, with what is in the hand if there is something, the most promising; or NOTHING."""
    items, hand = items_in(params), state.hand[i]
    count = 0
    for item in range(items):
        count += state.held[i, item] != ABSENT
    best, best_x, best_y = 0.0, NOTHING, NOTHING
    for _draw in range(hyper.draws):
        x = hand if hand != NOTHING else nth_held(state, i, items, randint(rng, count))
        y = nth_held(state, i, items, randint(rng, count))
        if x != y:
            value = promise(params, memory, state, i, x, y)
            if value > best:
                best, best_x, best_y = value, x, y
    return best_x, best_y


# ------------------------------------------------------------------------------------------------- what it does
@kernel
def live_among_others(hyper, memory, params, task, state, i, rng):
    """Learn from the last experiment; do to others what its manner asks for; else experiment."""
    if memory.chance > 0.0 and state.hand[i] == NOTHING:
        if hyper.manner == PROSOCIAL and state.made[i] != NOTHING:
            memory.shares = state.made[i]
        learn_from_last(memory, state, i)
    if hyper.manner == PROSOCIAL and memory.shares != NOTHING:
        action = share(memory, params, state, i)
        if action != NOTHING:
            return action
    if hyper.manner == THIEF and params.harm_mask == 0 and state.hand[i] == NOTHING:
        action = rob(memory, params, state, i, rng)
        if action != NOTHING:
            return action
    if hyper.manner == SABOTEUR:
        for k in range(params.board):
            if can_sabotage(params, state, i, k):
                return first_sabotage(params) + k
    return try_a_pair(hyper, memory, params, state, i, rng)


@kernel
def try_a_pair(hyper, memory, params, state, i, rng):
    """Take the first of a promising pair, then the second: by force or not."""
    items, hand = items_in(params), state.hand[i]
    if hand == NOTHING or memory.partner == NOTHING or state.held[i, memory.partner] == ABSENT or memory.partner == hand:
        x, y = choose_pair(hyper, memory, params, state, i, rng)
        if x == NOTHING:
            return items
        memory.partner = y
        if hand == NOTHING:
            return x
    partner = memory.partner
    memory.partner = NOTHING
    return combine_or_force(hyper.manner == TOXIC, memory, params, state, i, partner)


@kernel
def combine_or_force(forces, memory, params, state, i, item):
    """The action that puts what is in the hand together with an item, by force if one wants that and may."""
    if forces and params.harm_mask == 0:
        memory.chance = params.p_toxic * productivity(params, state, i)
        return first_force(params) + item
    memory.chance = params.p_clean * productivity(params, state, i)
    return item


@kernel
def share(memory, params, state, i):
    """Take up what it made last, and publish it; NOTHING where that cannot be done any more."""
    item = memory.shares
    if params.agents == 1 or state.held[i, item] == ABSENT:
        memory.shares = NOTHING
        return NOTHING
    if state.hand[i] == item:
        memory.shares = NOTHING
        return publication(params)
    return item if state.hand[i] == NOTHING else NOTHING


@kernel
def rob(memory, params, state, i, rng):
    """Steal from anybody; after a theft that brought nothing wait longer; NOTHING where it is not the time."""
    if state.deed[i] == STOLE:
        memory.patience = 1 if state.moved[i] != NOTHING else min(2 * memory.patience, _LONGEST_WAIT)
        memory.next_theft = state.t + memory.patience
    if params.agents == 1 or state.t < memory.next_theft:
        return NOTHING
    return first_theft(params) + (i + 1 + randint(rng, params.agents - 1)) % params.agents


class Experimenter(Scripted):
    """Tries, of `draws` pairs, the most promising one, again and again while it may be right.

    `manner` says how it treats others: "clean" leaves them alone; "prosocial" publishes all that it makes; "toxic" uses
    force in every experiment; "thief" steals, too, where it brings something; "saboteur" spoils what stands on the board.
    `prior` is how likely it takes an untried pair to be right.
    """

    params = Parameters(
        manner=Choice("clean", MANNERS),
        draws=Integer(16, 1, 256),
        prior=Real(0.3, 0.001, 0.999),
    )
    begin, act = begin_experimenter, live_among_others

    def why_unsuitable(self, variant):
        """It lives where there are hazards."""
        return super().why_unsuitable(variant) or _no_hazard(variant)

    @staticmethod
    def memory(p, variant):
        """What it believes of each pair; its plan; what it is about to share; when it steals again."""
        items = items_of(variant.p)
        return record(
            belief=(np.float32, (items, items)),
            chance=np.float64,
            partner=np.int16,
            shares=np.int16,
            patience=np.int32,
            next_theft=np.int32,
        )


# ------------------------------------------------------------------------------------------------- self-interest
@kernel
def make_the_best_by_force(hyper, memory, params, task, state, i, rng):
    """Make what pays most of all that can be made now, by whichever way is the surer."""
    action = make_the_best(hyper, memory, params, task, state, i, rng)
    if state.hand[i] == NOTHING or action >= items_in(params) or params.harm_mask != 0 or params.p_toxic <= params.p_clean:
        return action
    return first_force(params) + action


class SelfInterested(Scripted):
    """Knows the recipes, makes what pays most, and forces it where that is the surer way: what others lose is nothing to it."""

    act = make_the_best_by_force

    def why_unsuitable(self, variant):
        """It lives where there are hazards."""
        return super().why_unsuitable(variant) or _no_hazard(variant)


def _no_hazard(variant) -> str | None:
    return None if HAZARD in used_in(variant.p) else f"{variant.name} has no hazards: give health above 0"


#: By name, the scripted agents of boxes with hazards.
HAZARDOUS: dict[str, Scripted] = {
    **{manner: Experimenter(manner=manner) for manner in MANNERS},
    "self_interested": SelfInterested(),
}
