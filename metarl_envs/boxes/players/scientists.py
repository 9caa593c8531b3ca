"""Scripted agents for boxes with claims: scientists, who differ in what they claim, test, cite and believe.

All of them read the board, make again what it says can be made, and search for more, like `Greedy`. What they write goes where
nothing stands, or over the entry that they think least of.
"""

from __future__ import annotations

import functools
from collections.abc import Callable

import numpy as np

from metarl_envs.boxes.players.keepers import FOLLOW, NO_PURPOSE, SEARCH, VERIFY, first_look
from metarl_envs.boxes.players.scripted import (
    SEVERAL,
    Scripted,
    begin_searching,
    has_tried,
    mark_tried,
    searching,
    try_something_new,
)
from metarl_envs.boxes.world.claims import (
    CITE,
    CLAIM,
    CLAIMS,
    REPLICATE,
    RETRACT,
    can_cite,
    can_read,
    can_replicate,
    is_own_claim,
    standing,
)
from metarl_envs.boxes.world.core import ABSENT
from metarl_envs.boxes.world.mechanism import Mechanism
from metarl_envs.boxes.world.mechanisms import begins_in, mechanisms_of, used_in
from metarl_envs.boxes.world.notes import MADE, WHEN, A, B, count_board_pages
from metarl_envs.boxes.world.tree import NOTHING
from metarl_envs.engine import Choice, Parameters, kernel

#: `manner`: what a scientist does with claims.
MANNERS = ("publisher", "replicator", "citer", "sceptic", "conformist")
PUBLISHER, REPLICATOR, CITER, SCEPTIC, CONFORMIST = range(len(MANNERS))
#: How often a claim must have been replicated until a replicator leaves it alone.
_ENOUGH = 2


# ------------------------------------------------------------------------------------------------- what it thinks of entries
@kernel
def failed_here(memory, state, k):
    """Whether the scientist itself replicated entry k today, in vain."""
    return memory.failed[k] == state.board[k, WHEN] + 1


@kernel
def is_doubted(hyper, memory, state, k):
    """Whether it does not believe an entry: a sceptic, what failed in its own hands or was refuted more than confirmed."""
    return hyper.manner == SCEPTIC and (failed_here(memory, state, k) or standing(state, k) < 0)


@kernel
def merit(hyper, memory, state, k):
    """What a scientist thinks of an entry, the more the better. Of two alike the younger counts more (see `place_to_claim`)."""
    if is_doubted(hyper, memory, state, k):
        return -(2**31)
    if hyper.manner == REPLICATOR or hyper.manner == SCEPTIC:
        return standing(state, k)
    return state.cited[k] if hyper.manner == CONFORMIST else 0


@kernel
def place_to_claim(hyper, memory, params, state):
    """An empty place; where there is none, of those that may be written over the one with the least merit, or the oldest."""
    least = NOTHING
    for k in range(params.board):
        if state.board[k, WHEN] < 0:
            return k
        if state.guarded[k] != 0:
            continue
        if least == NOTHING:
            least = k
        lower = merit(hyper, memory, state, k) < merit(hyper, memory, state, least)
        older = (
            merit(hyper, memory, state, k) == merit(hyper, memory, state, least)
            and state.board[k, WHEN] < state.board[least, WHEN]
        )
        if lower or older:
            least = k
    return least


@kernel
def is_on_board(hyper, memory, params, state, i, made):
    """Whether an entry that agent i reads, and does not doubt, says how to make an item."""
    for k in range(params.board):
        says_so = state.board[k, WHEN] >= 0 and state.board[k, MADE] == made and can_read(params, state, i, k)
        if says_so and not is_doubted(hyper, memory, state, k):
            return True
    return False


@kernel
def is_usable(hyper, memory, params, state, i, k):
    """Whether entry k names a pair that agent i holds and has not tried today, and a thing that it lacks."""
    a, b, made = state.board[k, A], state.board[k, B], state.board[k, MADE]
    if state.board[k, WHEN] < 0 or made == NOTHING or not can_read(params, state, i, k):
        return False
    if is_doubted(hyper, memory, state, k):
        return False
    lacks = state.held[i, made] == ABSENT and state.held[i, a] != ABSENT and state.held[i, b] != ABSENT
    return lacks and not has_tried(memory, a, b)


@kernel
def entry_to_follow(hyper, memory, params, state, i):
    """The usable entry that is the highest in merit, of several the first; -1: none."""
    best = -1
    for k in range(params.board):
        if is_usable(hyper, memory, params, state, i, k) and (
            best < 0 or merit(hyper, memory, state, k) > merit(hyper, memory, state, best)
        ):
            best = k
    return best


@kernel
def entry_to_test(memory, params, state, i):
    """A claim that agent i can replicate, and has not tried today, of which too few replications are known; -1: none."""
    for k in range(params.board):
        a, b = state.board[k, A], state.board[k, B]
        if state.claimed[k] == 0 or state.board[k, WHEN] < 0 or not can_read(params, state, i, k):
            continue
        untested = state.confirmed[k] + state.refuted[k] < _ENOUGH and not has_tried(memory, a, b)
        if untested and state.held[i, a] != ABSENT and state.held[i, b] != ABSENT:
            return k
    return -1


@kernel
def entry_to_cite(hyper, params, state, i):
    """A claim to cite: a citer takes the first that it can, a conformist one that is cited most of all; -1: none."""
    most = 0
    for k in range(params.board):
        if state.board[k, WHEN] >= 0:
            most = max(most, state.cited[k])
    for k in range(params.board):
        if can_cite(params, state, i, k) and (hyper.manner == CITER or state.cited[k] == most):
            return k
    return -1


@kernel
def entry_to_retract(params, state, i):
    """A claim of its own that was refuted more often than confirmed; -1: none."""
    for k in range(params.board):
        if is_own_claim(params, state, i, k) and standing(state, k) < 0:
            return k
    return -1


# ------------------------------------------------------------------------------------------------- what it does
@kernel
def begin_scientist(hyper, memory, params, rng):
    """A new day: nothing was tried or planned."""
    begin_searching(hyper, memory, params, rng)
    memory.purpose = NO_PURPOSE
    memory.following = -1
    memory.believed = NOTHING
    for k in range(params.board):
        memory.failed[k] = 0


@kernel
def begin_entry(memory, state, k):
    """Take up the first thing that an entry names."""
    memory.purpose = FOLLOW
    memory.following = k
    memory.partner = state.board[k, B]
    return state.board[k, A]


@kernel
def has_tested(state, i, k):
    """Whether agent i's last experiment was the one that entry k speaks of, which may have been written over meanwhile."""
    a, b, x, y = state.board[k, A], state.board[k, B], state.tried[i, 0], state.tried[i, 1]
    return (a == x and b == y) or (a == y and b == x)


@kernel
def note_failure(memory, state, i):
    """Remember, where the last experiment was one that an entry speaks of, whether it made something else."""
    k = memory.following
    if memory.purpose == FOLLOW and has_tested(state, i, k):
        memory.failed[k] = state.board[k, WHEN] + 1 if state.seemed[i] != state.board[k, MADE] else 0


@kernel
def wants_to_claim(hyper, memory, params, state, i):
    """Whether agent i has found something that it wants to claim; a sceptic only what it has seen twice."""
    made, purpose = state.seemed[i], memory.purpose
    memory.purpose = NO_PURPOSE
    if made == NOTHING or (purpose != SEARCH and purpose != VERIFY) or is_on_board(hyper, memory, params, state, i, made):
        return False
    if hyper.manner != SCEPTIC:
        return True
    if purpose == SEARCH:
        memory.purpose = VERIFY
        memory.believed = made
        return False
    return made == memory.believed


@functools.cache
def acting_among_claims(mechanisms: tuple[Mechanism, ...]) -> Callable:
    """The kernel by which scientists act in boxes of these mechanisms."""
    first_claim, first_replication, first_retraction, first_citation = (
        begins_in(mechanisms, verb) for verb in (CLAIM, REPLICATE, RETRACT, CITE)
    )

    @kernel
    def act_as_scientist(hyper, memory, params, task, state, i, rng):
        """Read; finish what was begun; claim; cite, retract; make what the board says; test; search."""
        if params.free_reading == 0:
            for page in range(count_board_pages(params)):
                if state.looking[i, page] == 0:
                    return first_look(params) + page
        tests = hyper.manner == REPLICATOR or hyper.manner == SCEPTIC
        if state.hand[i] != NOTHING:
            k = memory.following
            if tests and memory.purpose == FOLLOW and can_replicate(params, state, i, k):
                mark_tried(memory, state.board[k, A], state.board[k, B])
                memory.partner = NOTHING
                return first_replication(params) + k
            return try_something_new(hyper, memory, params, task, state, i, rng)
        note_failure(memory, state, i)
        if wants_to_claim(hyper, memory, params, state, i):
            return first_claim(params) + place_to_claim(hyper, memory, params, state)
        if memory.purpose == VERIFY:
            memory.partner = state.tried[i, 1]
            return state.tried[i, 0]
        if hyper.manner == SCEPTIC:
            k = entry_to_retract(params, state, i)
            if k >= 0:
                return first_retraction(params) + k
        if hyper.manner == CITER or hyper.manner == CONFORMIST:
            k = entry_to_cite(hyper, params, state, i)
            if k >= 0:
                return first_citation(params) + k
        k = entry_to_follow(hyper, memory, params, state, i)
        if k < 0 and hyper.manner == REPLICATOR:
            k = entry_to_test(memory, params, state, i)
        if k >= 0:
            return begin_entry(memory, state, k)
        memory.purpose = SEARCH
        return try_something_new(hyper, memory, params, task, state, i, rng)

    return act_as_scientist


class Scientist(Scripted):
    """Makes again what the board says, searches for more like `Greedy`, and claims what seemed to work, once.

    `manner` says what it does with claims: "publisher" nothing else; "replicator" replicates whatever it makes by them, and
    what nobody tested twice; "citer" cites all of them; "sceptic" replicates what it makes by them, claims only what it has
    seen twice, does not believe, and writes over first, what failed in its own hands today or was refuted more often than
    confirmed, and retracts that where it is its own; "conformist" cites, believes first, and keeps what is cited most.
    """

    params = Parameters(manner=Choice("publisher", MANNERS), draws=SEVERAL)
    begin = begin_scientist

    def acting(self, p):
        """By the verbs of this box."""
        return acting_among_claims(mechanisms_of(p))

    def why_unsuitable(self, variant):
        """It lives where there are claims."""
        why = super().why_unsuitable(variant)
        return why or (
            None if CLAIMS in used_in(variant.p) else f"{variant.name} has no claims: give selection='consequentialist'"
        )

    @staticmethod
    def memory(p, variant):
        """What was tried today, and what it is about to do."""
        return searching(
            variant,
            following=np.int16,
            believed=np.int16,
            failed=(np.int32, variant.p.board),  # when entries were written that failed today, plus 1
            purpose=np.uint8,
        )


#: By name, the scripted agents of boxes with claims.
SCIENTISTS: dict[str, Scripted] = {manner: Scientist(manner=manner) for manner in MANNERS}
