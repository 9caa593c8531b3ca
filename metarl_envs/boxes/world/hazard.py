"""Hazard: experiments that may be forced at the cost of everybody else's health; theft, gifts, publication, sabotage.

A right pair succeeds with chance `p_clean` when it is combined, and with `p_toxic` when it is forced, times a productivity that
falls with health: min(1, H / (`health` / 2)). To force, whether the pair is right or not, costs every other agent `harm` of its
health. Health grows back by `regeneration` a step, up to `health`. Whoever has none left is out: it waits until it comes back
after `recover` steps in full health, or for the rest (`recover=0`).

What agents do to one another is settled once all have acted and were paid, in this order: publications, thefts and gifts,
sabotage, harm. Thefts and gifts are all decided by what everybody held then; where two of them want the same thing of one
agent, or would bring the same thing to one agent, the lot decides. So it does not matter in which order agents are gone
through. A theft takes a thing from one and gives it to another: there are as many as before. What an agent was paid for once it
is not paid for again, whoever took it away (until its memory is reset, when things are lost by other laws).
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np

from metarl_envs.boxes.world.core import (
    ABSENT,
    FALSIFYING,
    REAL,
    can_take,
    experiment,
    has_luck,
    is_drawn_before,
    worth,
)
from metarl_envs.boxes.world.mechanism import Mechanism, Numbers
from metarl_envs.boxes.world.notes import MADE, WHEN, has_board, wipe
from metarl_envs.boxes.world.tree import (
    NOTHING,
    first_of,
    items_in,
    items_of,
    level_of,
    lineage_of,
    size_of,
)
from metarl_envs.boxes.world.verbs import Key, Verb
from metarl_envs.engine import Choice, Flag, Integer, Real, kernel, randint
from metarl_envs.engine.compiling.kernels import plain
from metarl_envs.engine.streams import keyed

#: `state.deed`: what an agent did to others in the last step.
NO_DEED, FORCED, STOLE, SABOTAGED, GAVE, PUBLISHED = range(6)  # first what harms
#: `visibility`: who is told who did harm: all, those who were harmed, nobody.
PUBLIC, PRIVATE, HIDDEN = range(3)
#: `sabotage`: what becomes of an entry of the board.
ERASED, FALSIFIED = range(2)
#: When an agent comes back that does not.
NEVER = 2**31 - 1


def hazard_fields(p: SimpleNamespace) -> dict[str, Any]:
    """Health, who is out until when, what everybody did to others in the last step, and what each was paid for once."""
    n = p.agents
    return {
        "health": (np.float64, n),
        "out_until": (np.int32, n),  # it can act at this time again; 0: it was never out
        "lost": (np.float64, n),  # the health that others cost it in the last step
        "deed": (np.uint8, n),
        "aim": (np.int16, n),  # of a deed: the agent, or the place of the board, that it was meant for; -1: all
        "moved": (np.int16, n),  # of a deed: the item that it moved; -1: none
        "served": (np.uint8, (n, n) if p.health > 0 else (1, 1)),  # of who published: who got something by that
        "handled": (np.uint8, n),  # what it holds was changed by deeds in the last step
        "paid": (np.uint8, (n, items_of(p) if p.health > 0 else 1)),
    }


# ------------------------------------------------------------------------------------------------- health
@kernel
def productivity(params, state, i):
    """What is left of agent i's chances at its health."""
    return min(1.0, state.health[i] / (0.5 * params.health))


@kernel
def chance_of_combining(params, state, i):
    """With what chance a right pair makes its product where it is not forced."""
    return params.p_clean * productivity(params, state, i)


@kernel
def is_in(params, state, i):
    """Whether agent i is not out."""
    return state.t >= state.out_until[i]


@kernel
def health_after(params, health, hits):
    """The health of an agent that is in, after a step in which so many others used force; 0: it is out."""
    left = health - params.harm * hits
    return min(params.health, left + params.regeneration) if left > 0.0 else 0.0


@kernel
def hurt_all(params, state):
    """Who used force costs all others health; who has none left is out, and who was out long enough comes back."""
    forced = 0
    for i in range(params.agents):
        forced += state.deed[i] == FORCED
    for i in range(params.agents):
        if state.t + 1 == state.out_until[i]:
            state.health[i] = params.health
        elif is_in(params, state, i):
            hits = forced - (state.deed[i] == FORCED)
            state.lost[i] = min(state.health[i], params.harm * hits)
            state.health[i] = health_after(params, state.health[i], hits)
            if state.health[i] <= 0.0:
                leave(params, state, i)


@kernel
def leave(params, state, i):
    """Agent i is out: it lays down what it had in hand and in mind."""
    state.out_until[i] = state.t + 1 + params.recover if params.recover > 0 else NEVER
    state.hand[i] = NOTHING
    state.tried[i, 0] = NOTHING
    state.tried[i, 1] = NOTHING
    state.seemed[i] = NOTHING


# ------------------------------------------------------------------------------------------------- hooks
@kernel
def begin_healthy(params, task, state, rng):
    """All are in full health, and nobody did anything."""
    for i in range(params.agents):
        state.health[i] = params.health
        state.out_until[i] = 0
        for j in range(params.agents):
            state.served[i, j] = 0
    forget_deeds(params, task, state, rng)


@kernel
def be_born_healthy(params, state, i, rng):
    """Whoever is born begins in full health."""
    state.health[i] = params.health
    state.out_until[i] = 0


@kernel
def forget_deeds(params, task, state, rng):
    """A new step: nobody did anything to anybody yet."""
    for i in range(params.agents):
        state.deed[i] = NO_DEED
        state.aim[i] = NOTHING
        state.moved[i] = NOTHING
        state.lost[i] = 0.0
        state.handled[i] = 0


@kernel
def forget_pay(params, state, i):
    """What agent i was paid for was in things that are lost now."""
    for item in range(items_in(params)):
        state.paid[i, item] = 0


@kernel
def was_not_paid(params, state, i, item):
    """1 where agent i was not paid for this item yet, else 0."""
    return 1.0 if state.paid[i, item] == 0 else 0.0


@kernel
def must_look_anew(params, state, i):
    """Whether agent i is out, has just come back, or holds other things than by its own experiments."""
    return state.handled[i] != 0 or state.t <= state.out_until[i]


@kernel
def settle_deeds(params, task, state, rng):
    """What all did to one another, once all have acted and were paid."""
    deeds = 0
    for i in range(params.agents):
        if state.made[i] != NOTHING:
            state.paid[i, state.made[i]] = 1
        deeds += state.deed[i] != NO_DEED
    if deeds > 0:
        hand_out(params, state)
        move_all(params, state)
        for i in range(params.agents):
            if state.deed[i] == SABOTAGED and not is_spoilt(state, i):
                spoil(params, state, state.aim[i], rng)
    hurt_all(params, state)


# ------------------------------------------------------------------------------------------------- things that change hands
@kernel
def hand_out(params, state):
    """What is published everybody has. Where several publish the same, whoever lacked it got it from each of them."""
    for i in range(params.agents):
        for j in range(params.agents):
            state.served[i, j] = 1 if state.deed[i] == PUBLISHED and state.held[j, state.moved[i]] == ABSENT else 0
    for i in range(params.agents):
        if state.deed[i] != PUBLISHED:
            continue
        state.handled[i] = 1
        item = state.moved[i]
        for j in range(params.agents):
            if state.held[j, item] == ABSENT:
                state.gained[j] += 1
                state.handled[j] = 1
            if state.held[j, item] != REAL:
                state.held[j, item] = state.held[i, item]


@kernel
def move_all(params, state):
    """Thefts and gifts: all decided by what is held now, then all done; where two get in each other's way, by lot."""
    for i in range(params.agents):
        if state.deed[i] == STOLE:
            state.moved[i] = best_of(params, state, state.aim[i], i)
        if state.deed[i] == GAVE:
            state.handled[i] = 1
            if state.held[state.aim[i], state.moved[i]] != ABSENT:
                state.moved[i] = NOTHING
    for i in range(params.agents):
        if moves(state, i) and not gives_way(params, state, i):
            state.handled[i] = 2  # it is done
    for i in range(params.agents):
        if moves(state, i) and state.handled[i] != 2:
            state.moved[i] = NOTHING
    for i in range(params.agents):
        if moves(state, i):
            move(state, source_of(state, i), goal_of(state, i), state.moved[i])


@kernel
def moves(state, i):
    """Whether agent i's deed is to move a thing from one to another."""
    return (state.deed[i] == STOLE or state.deed[i] == GAVE) and state.moved[i] != NOTHING


@kernel
def source_of(state, i):
    """Whom the thing is taken from that agent i moves."""
    return state.aim[i] if state.deed[i] == STOLE else i


@kernel
def goal_of(state, i):
    """Who gets the thing that agent i moves."""
    return i if state.deed[i] == STOLE else state.aim[i]


@kernel
def gives_way(params, state, i):
    """Whether somebody with a better lot moves the same thing from the same agent, or to the same agent."""
    for j in range(params.agents):
        if j != i and moves(state, j) and state.moved[j] == state.moved[i]:
            same = source_of(state, j) == source_of(state, i) or goal_of(state, j) == goal_of(state, i)
            if same and is_drawn_before(state, j, i):
                return True
    return False


@kernel
def move(state, giver, receiver, item):
    """A thing changes hands."""
    state.held[receiver, item] = state.held[giver, item]
    state.held[giver, item] = ABSENT
    state.gained[receiver] += 1
    state.handled[giver] = 1
    state.handled[receiver] = 1
    if state.hand[giver] == item:
        state.hand[giver] = NOTHING


@kernel
def best_of(params, state, j, i):
    """The thing worth most that agent j has and agent i has not; NOTHING where there is none. Bases nobody lacks."""
    best, most = NOTHING, 0.0
    for item in range(params.lineages * params.bases, items_in(params)):
        if state.held[j, item] != ABSENT and state.held[i, item] == ABSENT and worth(params, item) > most:
            best, most = item, worth(params, item)
    return best


@kernel
def is_spoilt(state, i):
    """Whether one who was gone through before agent i spoiled the same place, which is done once."""
    for j in range(i):  # noqa: SIM110 (a kernel has no generators)
        if state.deed[j] == SABOTAGED and state.aim[j] == state.aim[i]:
            return True
    return False


@kernel
def spoil(params, state, k, rng):
    """Empty an entry of the board, or let it tell of another item of the same level, the same one whoever does it."""
    if params.sabotage == ERASED:
        wipe(state.board, k)
        return
    made = state.board[k, MADE]
    if state.board[k, WHEN] < 0 or made == NOTHING:
        return
    first = first_of(params, level_of(params, made), lineage_of(params, made))
    size = size_of(params, level_of(params, made))
    if size > 1:
        rng.s = keyed(state.noise, FALSIFYING, state.t, k)
        state.board[k, MADE] = first + (made - first + 1 + randint(rng, size - 1)) % size


# ------------------------------------------------------------------------------------------------- verbs
@kernel
def count_force(params):
    """One action for each item."""
    return items_in(params) if params.health > 0.0 else 0


@kernel
def can_force(params, state, i, item):
    """Whether there is a pair to force: one thing in the hand, and this one, which is held."""
    return params.harm_mask == 0 and state.hand[i] != NOTHING and can_take(params, state, i, item)


@kernel
def force(params, task, state, i, item, rng):
    """The experiment by force. What it costs others is settled later."""
    state.deed[i] = FORCED
    works = has_luck(state, i, params.p_toxic * productivity(params, state, i), rng)
    experiment(params, task, state, i, item, works, rng)


@kernel
def count_others(params):
    """One action for each agent, where there are others."""
    return params.agents if params.health > 0.0 and params.agents > 1 else 0


@kernel
def can_steal(params, state, i, j):
    """From anybody else."""
    return params.harm_mask == 0 and i != j


@kernel
def steal(params, task, state, i, j, rng):
    """Mean to take the best thing that agent j has and agent i has not."""
    state.deed[i] = STOLE
    state.aim[i] = j


@kernel
def can_give(params, state, i, j):
    """What is in the hand, to anybody else."""
    return state.hand[i] != NOTHING and i != j


@kernel
def give(params, task, state, i, j, rng):
    """Hand over what is in the hand, which whoever has it already declines; either way the hand is empty."""
    state.deed[i] = GAVE
    state.aim[i] = j
    state.moved[i] = state.hand[i]
    state.hand[i] = NOTHING


@kernel
def count_publish(params):
    """One action, where there are others."""
    return 1 if params.health > 0.0 and params.agents > 1 else 0


@kernel
def has_in_hand(params, state, i, k):
    """Whether there is something in the hand."""
    return state.hand[i] != NOTHING


@kernel
def publish(params, task, state, i, k, rng):
    """Let everybody have what is in the hand; it is laid down."""
    state.deed[i] = PUBLISHED
    state.moved[i] = state.hand[i]
    state.hand[i] = NOTHING


@kernel
def count_sabotage(params):
    """One action for each place of the board."""
    return params.board if params.health > 0.0 else 0


@kernel
def can_sabotage(params, state, i, k):
    """Whether something is written there."""
    return params.harm_mask == 0 and state.board[k, WHEN] >= 0


@kernel
def sabotage(params, task, state, i, k, rng):
    """Mean to spoil a place of the board."""
    state.deed[i] = SABOTAGED
    state.aim[i] = k


def whose_turn(p: SimpleNamespace, state: Any, i: int) -> int:
    """Whom the keys of agent i mean, to steal from and to give to: each of the others in turn, one a step."""
    return (i + 1 + int(state.t) % (p.agents - 1)) % p.agents


FORCE = Verb("force", "force {item}", "", count_force, can_force, force)
STEAL = Verb(
    "steal",
    "steal {agent}",
    "steals from agent {agent}",
    count_others,
    can_steal,
    steal,
    key=Key("v", "steal", whose_turn, lambda p: not p.harm_mask),
)
GIVE = Verb(
    "give",
    "give {agent}",
    "gives agent {agent} what is in its hand",
    count_others,
    can_give,
    give,
    key=Key("g", "give", lambda p, state, i: whose_turn(p, state, i) if state.hand[i] != NOTHING else -1),
)
PUBLISH = Verb(
    "publish",
    "publish",
    "publishes what is in its hand",
    count_publish,
    has_in_hand,
    publish,
    key=Key("u", "publish", lambda p, state, i: 0 if state.hand[i] != NOTHING else -1),
)
SABOTAGE = Verb(
    "sabotage",
    "sabotage {place}",
    "spoils place {place} of the noticeboard",
    count_sabotage,
    can_sabotage,
    sabotage,
    used=has_board,
)


# ------------------------------------------------------------------------------------------------- what is seen
@kernel
def is_told(params, state, i, j):
    """Whether agent i is told what agent j did to others in the last step.

    It knows what it did itself. Of what others did, with `visibility` public everything; else what did it good (private and
    hidden), and what did it harm (private). Where its memory was reset, nothing.
    """
    deed = state.deed[j]
    if deed == NO_DEED or state.forgot[i] != 0:
        return False
    if i == j or params.visibility == PUBLIC:
        return True
    if not is_harmful(deed):
        return deed == PUBLISHED or state.aim[j] == i
    if params.visibility == HIDDEN:
        return False
    return deed == FORCED or (deed == STOLE and state.aim[j] == i and state.moved[j] != NOTHING)


@kernel
def is_harmful(deed):
    """Whether a deed is one that harms."""
    return NO_DEED < deed < GAVE


@kernel
def count_numbers(params):
    """What it lost, and three numbers an agent; without hazards none."""
    return 1 + 3 * params.agents if params.health > 0.0 else 0


@kernel
def show_hazard(params, state, i, view, plane, at):
    """What others cost agent i in the last step; of each agent its health, and what harm, or good, it did, as far as told.

    Harm: 1 force, 2/3 theft, 1/3 sabotage. Good: 1 publication, 1/2 gift.
    """
    view[at] = 0.0 if state.forgot[i] != 0 else state.lost[i] / params.health
    for j in range(params.agents):
        deed = state.deed[j] if is_told(params, state, i, j) else NO_DEED
        view[at + 1 + 3 * j] = state.health[j] / params.health
        view[at + 2 + 3 * j] = (SABOTAGED + 1 - deed) / 3.0 if is_harmful(deed) else 0.0
        view[at + 3 + 3 * j] = (deed - SABOTAGED) / 2.0 if deed > SABOTAGED else 0.0


def deeds_told(p: SimpleNamespace, state: Any, i: int) -> list[tuple[int, int]]:
    """What others and itself did in the last step, as far as agent i is told: (who, what), see `NO_DEED`."""
    params = SimpleNamespace(visibility=HAZARD.parameters["visibility"].names.index(p.visibility))  # type: ignore[union-attr]
    return [(j, int(state.deed[j])) for j in range(p.agents) if plain(is_told)(params, state, i, j)]


def is_out(state: Any, i: int) -> bool:
    """Whether agent i is out."""
    return not plain(is_in)(None, state, i)


#: What an agent did to others, as a word.
DEEDS = {FORCED: "used force", STOLE: "stole", SABOTAGED: "sabotaged", GAVE: "gave", PUBLISHED: "published"}


def rules_of_hazards(p: SimpleNamespace) -> str:
    """What luck, health and the others have to do with each other."""
    text = f"A right pair works with chance {p.p_clean:g}, less where your health is below half of {p.health:g}."
    if not p.harm_mask:
        text += f" Force it instead, and the chance is {p.p_toxic:g}; but whether it works or not, that costs every other agent"
        text += f" {p.harm:g} of its health."
    text += f" Health grows back by {p.regeneration:g} a step; who has none left is out"
    text += f" for {p.recover} steps." if p.recover else " for good."
    if p.agents > 1:
        text += " What is in your hand you can give to one, or publish for all."
    if p.agents > 1 and not p.harm_mask:
        text += " You can steal the best thing that another has and you lack."
    if p.board and not p.harm_mask:
        text += f" You can {p.sabotage} what stands on the board."
    return text


def told_of_hazards(p: SimpleNamespace, state: Any, agent: int) -> list[str]:
    """Everybody's health, and what was done to others just now, as far as it is told."""
    of_each = [f"{state.health[j]:.2f}" if not is_out(state, j) else "out" for j in range(p.agents)]
    others = ", ".join(f"agent_{j} {of_each[j]}" for j in range(p.agents) if j != agent)
    lines = [f"Your health: {of_each[agent]} of {p.health:g}." + (f" Others: {others}." if others else "")]
    if is_out(state, agent):
        lines.append("You are out: you can only wait.")
    if state.lost[agent] > 0 and not state.forgot[agent]:
        lines.append(f"By force others just cost you {state.lost[agent]:.2f} health.")
    if told := deeds_told(p, state, agent):
        who = [f"{'you' if j == agent else f'agent_{j}'} {DEEDS[deed]}" for j, deed in told]
        lines.append(f"Just now: {', '.join(who)}.")
    return lines


HAZARD = Mechanism(
    parameters={
        "health": Real(0.0, 0.0, 1000.0),
        "p_clean": Real(1.0, 0.0, 1.0),
        "p_toxic": Real(1.0, 0.0, 1.0),
        "harm": Real(1.0, 0.0, 1000.0),
        "regeneration": Real(0.0, 0.0, 1000.0),
        "recover": Integer(0, 0, 32767),
        "visibility": Choice("public", ("public", "private", "hidden")),
        "sabotage": Choice("erase", ("erase", "falsify")),
        "harm_mask": Flag(False),
    },
    fields=hazard_fields,
    used=lambda p: p.health > 0,
    verbs=(FORCE, STEAL, GIVE, PUBLISH, SABOTAGE),
    open=begin_healthy,
    before_step=forget_deeds,
    share=settle_deeds,
    forget=forget_pay,
    birth=be_born_healthy,
    able=is_in,
    chance=chance_of_combining,
    due=was_not_paid,
    anew=must_look_anew,
    seen=Numbers(count_numbers, show_hazard),
    rules=rules_of_hazards,
    told=told_of_hazards,
)
