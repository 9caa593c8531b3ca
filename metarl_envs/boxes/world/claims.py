"""Claims: experiments that are claimed on the noticeboard, by somebody, and what others make of them.

A claim is an entry of the board that is signed: a pair, and what it seemed to make when its author tried it. (What is posted is
an entry without a signature, and no claim.) Instruments are noisy: with chance `illusions` an experiment that fails seems to
work. Then its maker holds a thing of the level above that looks like any other, makes nothing in any pair, pays nothing for
having been made, and gives way to the true thing when that is made (`world.core`). Whoever claims it claims something false. It
can know that by its pay, where to make a thing pays (consequentialist, mix): a false one pays nothing. Elsewhere it cannot (and
scripted scientists never look at their pay). With chance `corruption` an entry of the board that has stood for a generation,
that is for each `lifespan` steps, names a wrong item of the same level in one of its three places; what was attached to it
stays.

What pays is `selection`. The worth of a thing is its level, and pays

* consequentialist: whoever truly makes it, as in every box; claims pay nothing;
* seems_right: whoever claims that it made it, true or not, at once, one time a thing until its memory is reset;
* approval: the author, in equal shares for each other agent that cites the claim;
* mix: as approval with weight `mix`, and as consequentialist with the rest.

What a full board gives up is `retention`. Places that are empty can always be written to; what is written can be written over

* free: at any time, by anybody: whoever claims or posts chooses the place, also while others are empty;
* oldest_out: only where the board is full, and then only what has stood there longest;
* least_cited_out: the same with what is cited least, of several the oldest;
* least_confirmed_out: the same with that of which replications confirmed least more than they refuted, of several the oldest.

Retracting, and sabotage (`world.hazard`), do not ask for it. What is posted is cited and replicated by nobody.

What agents do to claims is settled once all have acted and what is posted is written, before anybody is paid, in this order:
replications, citations, retractions, claims. The first three are done to what stood there before the step, and come to
nothing where it was written over by a post; of several who claim at one place the lot decides, and who loses claims
nothing. So it does not matter in which order agents are gone through. The claims of the dead stay, and are nobody's.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np

from metarl_envs.boxes.world.core import ABSENT, CORRUPTING, experiment, has_luck, is_drawn_before, pay_in_words, worth
from metarl_envs.boxes.world.lives import corrupt, has_lives
from metarl_envs.boxes.world.mechanism import Mechanism, Numbers
from metarl_envs.boxes.world.notes import MADE, WHEN, A, B, is_page_open, page_at, wipe, write
from metarl_envs.boxes.world.tree import NOTHING, items_in, items_of
from metarl_envs.boxes.world.verbs import Key, Verb
from metarl_envs.engine import Choice, Real, kernel, uniform
from metarl_envs.engine.compiling.kernels import plain
from metarl_envs.engine.streams import keyed

#: `selection`, in the order of its numbers.
SELECTIONS = ("none", "consequentialist", "seems_right", "approval", "mix")
NO_CLAIMS, CONSEQUENTIALIST, SEEMS_RIGHT, APPROVAL, MIX = range(5)
#: `retention`, in the order of its numbers.
RETENTIONS = ("free", "oldest_out", "least_cited_out", "least_confirmed_out")
FREE, OLDEST_OUT, LEAST_CITED_OUT, LEAST_CONFIRMED_OUT = range(4)
#: `state.claiming`: what an agent does to claims in this step.
NO_CLAIMING, CLAIMED, REPLICATED, RETRACTED, CITED = range(5)


def has_claims(p: SimpleNamespace) -> bool:
    """Whether there are claims in a box with parameters `p`."""
    return getattr(p, "selection", "none") != "none"


def claim_fields(p: SimpleNamespace) -> dict[str, Any]:
    """What is attached to each place of the board, what everybody did to claims in this step, and what that pays."""
    n, places, items = p.agents, max(p.board, 1) if has_claims(p) else 1, items_of(p) if has_claims(p) else 1
    return {
        "claimed": (np.uint8, places),  # what stands there is a claim (or was, where it was erased)
        "author": (np.int16, places),  # NOTHING: nobody who lives
        "confirmed": (np.int32, places),  # how many replications made what it says
        "refuted": (np.int32, places),  # how many did not
        "cited": (np.int32, places),
        "withdrawn": (np.uint8, places),  # the last claim there was retracted
        "has_cited": (np.uint8, (n, places)),
        "credited": (np.uint8, (n, items)),  # what claims paid it for
        "claiming": (np.uint8, n),
        "entry": (np.int16, n),  # the place that it did so to
        "credit": (np.float64, n),  # what claims pay it in this step
    }


# ------------------------------------------------------------------------------------------------- entries
@kernel
def is_claim(state, k):
    """Whether a claim stands at place k of the board."""
    return (state.claimed[k] != 0) & (state.board[k, WHEN] >= 0)


@kernel
def can_read(params, state, i, k):
    """Whether agent i sees what stands at place k of the board."""
    return is_page_open(params, state.looking, i, page_at(params, k))


@kernel
def clear_entry(params, state, k):
    """Nothing is attached to place k."""
    state.claimed[k] = 0
    state.author[k] = NOTHING
    state.confirmed[k] = 0
    state.refuted[k] = 0
    state.cited[k] = 0
    state.withdrawn[k] = 0
    for i in range(params.agents):
        state.has_cited[i, k] = 0


# ------------------------------------------------------------------------------------------------- hooks
@kernel
def open_claims(params, task, state, rng):
    """Nothing is claimed."""
    for k in range(params.board):
        clear_entry(params, state, k)
    for i in range(params.agents):
        state.credit[i] = 0.0
        state.claiming[i] = NO_CLAIMING
        state.entry[i] = NOTHING


@kernel
def begin_claiming(params, task, state, rng):
    """A new step: nobody did anything to claims yet."""
    for i in range(params.agents):
        state.credit[i] = 0.0
        state.claiming[i] = NO_CLAIMING
        state.entry[i] = NOTHING


@kernel
def forget_claims(params, state, i):
    """Agent i does not know any more what it cited, nor what it was paid for; its name stays on what it claimed."""
    for k in range(params.board):
        state.has_cited[i, k] = 0
    for item in range(items_in(params)):
        state.credited[i, item] = 0


@kernel
def leave_claims(params, state, i, rng):
    """What the dead agent i claimed is nobody's now."""
    for k in range(params.board):
        if state.author[k] == i:
            state.author[k] = NOTHING


@kernel
def settle_claims(params, task, state, rng):
    """What all do to claims, once all have acted; see the module for the order."""
    busy = 0
    for i in range(params.agents):
        busy += state.claiming[i] != NO_CLAIMING
    for k in range(params.board):
        if state.board[k, WHEN] == state.t:
            clear_entry(params, state, k)  # it was written over by a post
    if busy == 0:
        return
    for i in range(params.agents):
        if state.claiming[i] == REPLICATED and is_claim(state, state.entry[i]):
            attach(state, i, state.entry[i])
    for i in range(params.agents):
        if state.claiming[i] == CITED and is_claim(state, state.entry[i]):
            credit_author(params, state, i, state.entry[i])
    for i in range(params.agents):
        if state.claiming[i] == RETRACTED and is_claim(state, state.entry[i]):
            withdraw(params, state, state.entry[i])
    for i in range(params.agents):
        if state.claiming[i] == CLAIMED and not is_forestalled(params, state, i):
            enter(params, state, i, state.entry[i])


@kernel
def attach(state, i, k):
    """Attach to a claim whether agent i's replication made what it says."""
    if state.seemed[i] == state.board[k, MADE]:
        state.confirmed[k] += 1
    else:
        state.refuted[k] += 1


@kernel
def credit_author(params, state, i, k):
    """Agent i cites a claim: its author has an equal share, for each other agent, of the worth of what it says."""
    state.has_cited[i, k] = 1
    state.cited[k] += 1
    author = state.author[k]
    if author != NOTHING:
        state.credit[author] += weight_of_citations(params) * worth(params, state.board[k, MADE]) / (params.agents - 1)


@kernel
def weight_of_citations(params):
    """With what weight citations pay."""
    return 1.0 if params.selection == APPROVAL else (params.mix if params.selection == MIX else 0.0)


@kernel
def withdraw(params, state, k):
    """Empty the place of a claim that its author retracts."""
    wipe(state.board, k)
    clear_entry(params, state, k)
    state.withdrawn[k] = 1


@kernel
def is_forestalled(params, state, i):
    """Whether somebody with a better lot claims at the same place."""
    for j in range(params.agents):
        if j != i and state.claiming[j] == CLAIMED and state.entry[j] == state.entry[i] and is_drawn_before(state, j, i):
            return True
    return False


@kernel
def enter(params, state, i, k):
    """Let agent i's last experiment stand at place k, as its claim."""
    clear_entry(params, state, k)
    write(state, i, state.board, k)
    state.claimed[k] = 1
    state.author[k] = i
    made = state.seemed[i]
    if params.selection == SEEMS_RIGHT and state.credited[i, made] == 0:
        state.credited[i, made] = 1
        state.credit[i] += worth(params, made)


@kernel
def end_step_of_claims(params, task, state, rng):
    """What stands may be corrupted, and what a full board gives up next follows from what stands."""
    corrupt_entries(params, state, rng)
    if params.retention != FREE:
        guard_entries(params, state)


@kernel
def guard_entries(params, state):
    """Guard all entries but the one that `retention` gives up; that one too, as long as there is an empty place."""
    given_up = 0
    for k in range(params.board):
        state.guarded[k] = 1 if state.board[k, WHEN] >= 0 else 0
        if is_given_up_before(params, state, k, given_up):
            given_up = k
    for k in range(params.board):
        if state.guarded[k] == 0:
            return
    state.guarded[given_up] = 0


@kernel
def is_given_up_before(params, state, k, other):
    """Whether `retention` gives up entry k rather than another; of two alike the older one, and the first place."""
    merit, merit_of_other = merit_of_entry(params, state, k), merit_of_entry(params, state, other)
    if merit != merit_of_other:
        return merit < merit_of_other
    return state.board[k, WHEN] < state.board[other, WHEN]


@kernel
def merit_of_entry(params, state, k):
    """What `retention` keeps an entry for, beside its being young."""
    if params.retention == LEAST_CITED_OUT:
        return state.cited[k]
    return standing(state, k) if params.retention == LEAST_CONFIRMED_OUT else 0


@kernel
def standing(state, k):
    """How much speaks for an entry: replications that made what it says, less those that did not."""
    return state.confirmed[k] - state.refuted[k]


@kernel
def corrupt_entries(params, state, rng):
    """Whatever has stood on the board for a generation may name something wrong, from now on."""
    if params.corruption == 0.0:
        return
    for k in range(params.board):
        when = state.board[k, WHEN]
        if when >= 0 and state.t > when and (state.t - when) % params.lifespan == 0:
            rng.s = keyed(state.noise, CORRUPTING, state.t, k)
            if uniform(rng) < params.corruption:
                corrupt(params, state.board, k, rng)


# ------------------------------------------------------------------------------------------------- pay
@kernel
def share_of_makers(params, state, i, item):
    """What share of a thing's worth is paid to whoever truly makes it."""
    if params.selection == CONSEQUENTIALIST:
        return 1.0
    return 1.0 - params.mix if params.selection == MIX else 0.0


@kernel
def credit_of(params, state, i):
    """What claims pay agent i in this step."""
    return state.credit[i]


# ------------------------------------------------------------------------------------------------- verbs
@kernel
def count_places(params):
    """One action for each place of the board, where there are claims."""
    return params.board if params.selection != NO_CLAIMS else 0


@kernel
def count_for_others(params):
    """The same, where there is anybody else."""
    return count_places(params) if params.agents > 1 else 0


@kernel
def can_claim(params, state, i, k):
    """Whether the last experiment seemed to make something, and place k may be written over."""
    return (state.seemed[i] != NOTHING) & (state.guarded[k] == 0)


@kernel
def claim(params, task, state, i, k, rng):
    """Mean to claim the last experiment at place k."""
    state.claiming[i] = CLAIMED
    state.entry[i] = k


@kernel
def can_replicate(params, state, i, k):
    """Whether agent i sees a claim there, and has one of its two things in the hand and the other beside."""
    if state.hand[i] == NOTHING:
        return False
    other = other_of_pair(state, i, k)
    return is_claim(state, k) & (other != NOTHING) & (state.held[i, max(other, 0)] != ABSENT) & can_read(params, state, i, k)


@kernel
def other_of_pair(state, i, k):
    """What place k of the board says to combine with what agent i has in its hand; NOTHING where it speaks of other things."""
    a, b, hand = state.board[k, A], state.board[k, B], state.hand[i]
    return b if hand == a else (a if hand == b else NOTHING)


@kernel
def replicate(params, task, state, i, k, rng):
    """Complete the experiment of a claim with what is in the hand. What came of it is attached later."""
    run_again(params, task, state, i, k, True, rng)


@functools.cache
def replicating(chance: Callable) -> Callable:
    """The same where a right pair makes its product by `chance(params, state, i)`."""

    @kernel
    def replicate_with_luck(params, task, state, i, k, rng):
        """Complete the experiment of a claim, which may fail though the pair is right."""
        run_again(params, task, state, i, k, has_luck(state, i, chance(params, state, i), rng), rng)

    return replicate_with_luck


@kernel
def run_again(params, task, state, i, k, works, rng):
    """The experiment of a claim by agent i; `works` says whether a right pair makes its product now."""
    state.claiming[i] = REPLICATED
    state.entry[i] = k
    experiment(params, task, state, i, other_of_pair(state, i, k), works, rng)


@kernel
def is_own_claim(params, state, i, k):
    """Whether agent i sees a claim of its own there."""
    return is_claim(state, k) & (state.author[k] == i) & can_read(params, state, i, k)


@kernel
def retract(params, task, state, i, k, rng):
    """Mean to retract a claim."""
    state.claiming[i] = RETRACTED
    state.entry[i] = k


@kernel
def can_cite(params, state, i, k):
    """Whether agent i sees somebody else's claim there that it has not cited yet."""
    return is_claim(state, k) & (state.author[k] != i) & (state.has_cited[i, k] == 0) & can_read(params, state, i, k)


@kernel
def cite(params, task, state, i, k, rng):
    """Mean to cite a claim."""
    state.claiming[i] = CITED
    state.entry[i] = k


def places_for(p: SimpleNamespace, state: Any, i: int, legal: Callable) -> list[int]:
    """The places of the board where a verb with this kernel `legal` would do something for agent i."""
    return [k for k in range(p.board) if plain(legal)(p, state, i, k)]


def claims_it_at(p: SimpleNamespace, state: Any, i: int, k: int) -> bool:
    """Whether agent i reads at place k, as a claim of its own, what it tried last."""
    same = np.asarray(state.board)[k, :WHEN].tolist() == [*map(int, state.tried[i]), int(state.seemed[i])]
    return same and bool(plain(is_own_claim)(p, state, i, k))


def next_claim(p: SimpleNamespace, state: Any, i: int) -> int:
    """The first empty place, for what agent i tried last, or the only one to be written over; -1: it claims it already."""
    free = places_for(p, state, i, can_claim)
    if not free or any(claims_it_at(p, state, i, k) for k in range(p.board)):
        return -1
    return next((k for k in free if state.board[k, WHEN] < 0), free[0] if len(free) == 1 else -1)


def first_allowed(legal: Callable) -> Callable[[SimpleNamespace, Any, int], int]:
    """What gives the first place where a verb with this kernel `legal` would do something; -1 where there is none."""
    return lambda p, state, i: next(iter(places_for(p, state, i, legal)), -1)


def most_refuted(p: SimpleNamespace, state: Any, i: int) -> int:
    """The claim of its own for which the least speaks; -1 where agent i reads none."""
    return min(places_for(p, state, i, is_own_claim), key=lambda k: int(plain(standing)(state, k)), default=-1)


CLAIM = Verb(
    "claim",
    "claim {place}",
    "claims on the noticeboard, place {place}: {experiment}",
    count_places,
    can_claim,
    claim,
    key=Key("c", "claim", next_claim),
)
REPLICATE = Verb(
    "replicate",
    "replicate {place}",
    "replicates what place {place} claims",
    count_places,
    can_replicate,
    replicate,
    key=Key("t", "replicate", first_allowed(can_replicate)),
    by_chance=replicating,
)
RETRACT = Verb(
    "retract",
    "retract {place}",
    "retracts its claim at place {place}",
    count_places,
    is_own_claim,
    retract,
    key=Key("x", "retract", most_refuted),
)
CITE = Verb(
    "cite",
    "cite {place}",
    "cites the claim at place {place}",
    count_for_others,
    can_cite,
    cite,
    key=Key("i", "cite", first_allowed(can_cite)),
)


# ------------------------------------------------------------------------------------------------- what is seen
@kernel
def count_numbers(params):
    """Five numbers for each place of the board; without claims none."""
    return 5 * count_places(params)


@kernel
def show_claims(params, state, i, view, plane, at):
    """Of each claim that agent i can read: that it is one, its author, and how often it was confirmed, refuted and cited.

    The author's number, from 1, over the count of agents, 0 where the author is dead; of n times, n / (n + 1).
    """
    for k in range(params.board):
        show_claim(params, state, k, 1.0 if is_told(params, state, i, k) else 0.0, view, at + 5 * k)


@kernel
def show_claims_again(params, state, i, view, plane, at):
    """The same one step later, where few claims have changed: those to which somebody did something, and those of the dead."""
    for k in range(params.board):
        told = 1.0 if is_told(params, state, i, k) else 0.0
        is_orphan = (state.author[k] == NOTHING) & (view[at + 5 * k + 1] > 0.0)
        if (told != view[at + 5 * k]) | is_orphan:
            show_claim(params, state, k, told, view, at + 5 * k)
    for j in range(params.agents):
        if state.claiming[j] != NO_CLAIMING:
            k = state.entry[j]
            show_claim(params, state, k, 1.0 if is_told(params, state, i, k) else 0.0, view, at + 5 * k)


@kernel
def is_told(params, state, i, k):
    """Whether a claim stands at place k of the board that agent i can read."""
    return is_claim(state, k) & can_read(params, state, i, k)


@kernel
def show_claim(params, state, k, told, view, at):
    """Write one claim's numbers, times 1 where they are told, and 0 where not (to branch takes longer)."""
    view[at] = told
    view[at + 1] = told * (state.author[k] + 1) / params.agents
    view[at + 2] = told * often(state.confirmed[k])
    view[at + 3] = told * often(state.refuted[k])
    view[at + 4] = told * often(state.cited[k])


@kernel
def often(n):
    """A count as a number in [0, 1)."""
    return n / (n + 1.0)


def _claims_error(p: SimpleNamespace) -> str | None:
    """Why claims do not go together with the rest."""
    if not has_claims(p):
        if p.corruption > 0:
            return f"corruption={p.corruption:g} is of boxes with claims: give corruption=0, or selection='consequentialist'"
        if p.retention != "free":
            return f"retention={p.retention!r} is of boxes with claims: give 'free', or selection='consequentialist'"
        return None
    given = f"selection={p.selection!r}"
    if p.board == 0:
        return f"{given} needs a noticeboard to claim on: give board=8 or so, or selection='none'"
    if p.selection in ("approval", "mix") and p.agents < 2:
        return f"{given} needs somebody who cites: give agents=2 or more, or selection='consequentialist'"
    if p.pays == "first" and p.selection != "consequentialist":
        return f"{given} and pays='first' contradict each other: the one pays for claims, the other only for what is made first"
    if p.corruption > 0 and not has_lives(p):
        return f"corruption={p.corruption:g} is by generations, and nobody dies: give lifespan=60 or so, or corruption=0"
    return None


_RULES_OF_RETENTION = {
    "free": "",
    "oldest_out": " What is written on the board can only be written over once it is full, the oldest entry first.",
    "least_cited_out": " What is written on the board can only be written over once it is full, the least cited entry first.",
    "least_confirmed_out": (
        " What is written on the board can only be written over once it is full, "
        "that which was confirmed least beyond its refutations first."
    ),
}


def rules_of_claims(p: SimpleNamespace) -> str:
    """What can be claimed, what that pays, and what makes claims false."""
    text = "You can claim your last experiment, at a place of the board."
    if p.selection == "seems_right":
        text += f" To claim that you made a thing pays {pay_in_words(p)}, true or not, once a thing until you forget."
    if p.selection in ("approval", "mix"):
        who = "Each of the others who cites" if p.agents > 2 else "The other who cites"
        text += f" {who} your claim of a thing brings{' you' if p.pays == 'own' else ''} {_pay_of_a_citation(p)}."
    text += " With one of its two things in your hand you can replicate a claim; what comes of it is attached for all to read."
    text += " You can cite claims of others" if p.agents > 1 else " You can"
    text += ", and retract your own." if p.agents > 1 else " retract your own."
    text += _RULES_OF_RETENTION[p.retention]
    if p.illusions:
        text += f" An experiment that fails seems to work with chance {p.illusions:g}; what it seems to make is worthless."
    if p.corruption:
        text += f" What has stood on the board for {p.lifespan} steps is corrupted with chance {p.corruption:g}."
    return text


def _pay_of_a_citation(p: SimpleNamespace) -> str:
    """What it pays an author to be cited by one of the others."""
    part = "" if p.selection == "approval" else f"{p.mix:g} times "
    share = f"1/{p.agents - 1} of " if p.agents > 2 else ""
    return f"{part}{share}{pay_in_words(p)}"


CLAIMS = Mechanism(
    parameters={
        "selection": Choice("none", SELECTIONS),
        "mix": Real(0.5, 0.0, 1.0),
        "retention": Choice("free", RETENTIONS),
        "corruption": Real(0.0, 0.0, 1.0),
    },
    fields=claim_fields,
    used=has_claims,
    error=_claims_error,
    verbs=(CLAIM, REPLICATE, RETRACT, CITE),
    open=open_claims,
    before_step=begin_claiming,
    settle=settle_claims,
    after_step=end_step_of_claims,
    forget=forget_claims,
    birth=leave_claims,
    due=share_of_makers,
    credit=credit_of,
    seen=Numbers(count_numbers, show_claims, show_claims_again),
    rules=rules_of_claims,
)
