"""The core of every box: agents that combine items, see each other, take notes, and forget.

A box is a family whose state has an axis of agents: `state.hand[i]` is what agent i holds. One action an agent and step, all
at once; what an agent does touches only what is its own. Where two want the same, to be the first to make a thing or to post on
one place of the board, a lot decides (`is_drawn_before`). So the order in which they are gone through does not matter.

Noise is keyed by (box, purpose, time, agent): what one agent does shifts no draw of another, so "what if agent 3 had waited?"
meets the same luck.
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import NamedTuple

import numpy as np

from metarl_envs.boxes.world.topology import CHOSEN, DYNAMIC, sees, settle, wander
from metarl_envs.boxes.world.tree import (
    GRAMMAR,
    NOTHING,
    first_of,
    items_in,
    items_of,
    level_of,
    lineage_of,
    product_of,
)
from metarl_envs.engine import (
    kernel,
    randint,
    record,
    uniform,
)
from metarl_envs.engine.compiling.kernels import unsigned
from metarl_envs.engine.streams import bits, keyed

#: Purposes of the keyed noise of a box.
COPYING, WANDERING, ILLUSION, CHOOSING, LOTS = 11, 12, 13, 14, 15
#: `state.held`: not held; the thing itself; what only looks like it (from an experiment that seemed to work).
ABSENT, REAL, ILLUSORY = range(3)
#: `pays`: whoever makes what it did not hold; who is the first in the box; all alike, the mean.
OWN, FIRST, MEAN = range(3)
#: Fields of a note: the pair, what it seemed to make (NOTHING: that it makes nothing), when it was written (-1: empty).
A, B, MADE, WHEN = range(4)


#: What an agent senses beside items, notes and companions, in order; each within [0, 1].
SENSES = ("hand is full", "has tried", "it worked", "level made", "copied", "forgot", "time left", "day left")


class Verbs(NamedTuple):
    """Where each kind of action begins. Actions below `wait` are items to take into the hand."""

    wait: int
    note: int
    erase: int
    read: int
    post: int
    look: int
    visit: int
    end: int


def verbs_of(p: SimpleNamespace) -> Verbs:
    """The numbers of actions under parameters `p`."""
    wait = items_of(p)
    note = wait + 1
    erase = note + p.notes
    read = erase + p.notes
    post = read + pages_of(p, p.notes)
    look = post + p.board
    visit = look + pages_of(p, p.board)
    return Verbs(wait, note, erase, read, post, look, visit, visit + (p.agents if p.topology == "chosen" else 0))


def pages_of(p: SimpleNamespace, entries: int) -> int:
    """How many pages hold so many entries."""
    return -(-entries // p.page)


def box_record(p: SimpleNamespace) -> np.dtype:
    """The state of a box. Fields with an axis of agents come first."""
    n, items = p.agents, items_of(p)
    return record(
        held=(np.uint8, (n, items)),
        hand=(np.int16, n),
        tried=(np.int16, (n, 2)),  # the last experiment: the pair
        seemed=(np.int16, n),  # what it seemed to make
        made=(np.int16, n),  # what was newly made in this step
        gained=(np.int16, n),  # how many items were copied in this step
        notes=(np.int16, (n, max(p.notes, 1), 4)),
        open=(np.uint8, (n, max(pages_of(p, p.notes), 1))),
        looking=(np.uint8, (n, max(pages_of(p, p.board), 1))),
        where=(np.int16, n),
        back_at=(np.int32, n),
        forgot=(np.uint8, n),
        illegal=(np.int32, n),
        reward=(np.float64, n),
        board=(np.int16, (max(p.board, 1), 4)),
        first_at=(np.int32, items),  # when an item was first made in the box; -1: not yet
        first_by=(np.int16, items),
        noise=np.uint64,
        words=np.uint64,  # what items are called follows from it (see `text.words_for`)
        t=np.int32,
    )


# ------------------------------------------------------------------------------------------------- begin
@kernel
def open_box(params, task, state, rng):
    """Begin: everybody holds the bases of all lineages, and nothing is known."""
    state.noise = bits(rng)
    state.words = state.noise
    state.t = 0
    for i in range(params.agents):
        forget(params, state, i)
        state.forgot[i] = 1
        state.illegal[i] = 0
        state.reward[i] = 0.0
        state.made[i] = NOTHING
        for k in range(params.notes):
            wipe(state.notes[i], k)
    for k in range(params.board):
        wipe(state.board, k)
    for item in range(items_in(params)):
        state.first_at[item] = -1
        state.first_by[item] = -1
    settle(params, state)


@kernel
def wipe(notes, k):
    """Empty an entry."""
    notes[k, A] = NOTHING
    notes[k, B] = NOTHING
    notes[k, MADE] = NOTHING
    notes[k, WHEN] = -1


@kernel
def forget(params, state, i):
    """Back to the bases, with empty hands and closed notes. What is written stays."""
    bases = params.lineages * params.bases
    for item in range(items_in(params)):
        state.held[i, item] = REAL if item < bases else ABSENT
    state.hand[i] = NOTHING
    state.tried[i, 0] = NOTHING
    state.tried[i, 1] = NOTHING
    state.seemed[i] = NOTHING
    state.gained[i] = 0
    for page in range(state.open.shape[1]):
        state.open[i, page] = 0
    for page in range(state.looking.shape[1]):
        state.looking[i, page] = 0


# ------------------------------------------------------------------------------------------------- step
@kernel
def live_one_step(params, task, state, actions, rng):
    """All act; what was newly made is paid, seen and copied; then the day may end. Returns the sum of rewards."""
    for i in range(params.agents):
        act(params, task, state, i, actions[i], rng)
    if params.board > 0:
        post_all(params, state, actions)
    paid = pay(params, state)
    for i in range(params.agents):
        copy_from_others(params, state, i, rng)
    state.t += 1
    for i in range(params.agents):
        if params.topology == DYNAMIC:
            rng.s = keyed(state.noise, WANDERING, state.t, i)
            wander(params, state, i, rng)
        dawn = params.day > 0 and state.t % max(params.day, 1) == 0
        state.forgot[i] = 1 if dawn else 0
        if dawn:
            forget(params, state, i)
    return paid, False


@kernel
def act(params, task, state, i, action, rng):
    """One agent's action, but for posting (see `post_all`); what is not allowed does nothing, and is counted."""
    state.made[i] = NOTHING
    if not is_legal(params, state, i, action):
        state.illegal[i] += 1
        return
    items = items_in(params)
    if action < items:
        take_up(params, task, state, i, action, rng)
        return
    k = action - items - 1  # the verbs after WAIT, in the order of `Verbs`
    if k < 0:
        return
    if k < params.notes:
        write(state, i, state.notes[i], k)
        return
    k -= params.notes
    if k < params.notes:
        wipe(state.notes[i], k)
        return
    k -= params.notes
    pages = (params.notes + params.page - 1) // params.page
    if k < pages:
        state.open[i, k] = 1
        return
    k -= pages
    if k < params.board:
        return
    k -= params.board
    pages = (params.board + params.page - 1) // params.page
    if k < pages:
        state.looking[i, k] = 1
        return
    state.where[i] = k - pages


@kernel
def post_all(params, state, actions):
    """Write what is posted on the board, once all have acted. Of several who post on one place one is drawn."""
    first = items_in(params) + 1 + 2 * params.notes + (params.notes + params.page - 1) // params.page
    for i in range(params.agents):
        k = actions[i] - first
        if 0 <= k < params.board and state.tried[i, 0] != NOTHING and not is_outdone(state, i, actions):
            write(state, i, state.board, k)


@kernel
def is_outdone(state, i, actions):
    """Whether agent i posts where one who was gone through before it posted in this step, for whom the lot is."""
    for j in range(i):  # noqa: SIM110 (a kernel has no generators)
        if actions[j] == actions[i] and state.tried[j, 0] != NOTHING and is_drawn_before(state, j, i):
            return True
    return False


@kernel
def is_drawn_before(state, i, j):
    """Whether the lot of this step puts agent i before agent j. It is drawn anew at each step, and favours nobody."""
    return keyed(state.noise, LOTS, state.t, i) < keyed(state.noise, LOTS, state.t, j)


@kernel
def is_legal(params, state, i, action):
    """Whether an action would do something: items that are held, entries that can be written, others to visit."""
    items = items_in(params)
    if action < items:
        return state.held[i, action] != ABSENT and action != state.hand[i]
    k = action - items - 1
    if k < 0:
        return True
    if k < params.notes:
        return state.tried[i, 0] != NOTHING
    k -= params.notes
    if k < params.notes:
        return state.notes[i, k, WHEN] >= 0
    k -= params.notes
    pages = (params.notes + params.page - 1) // params.page
    if k < pages:
        return state.open[i, k] == 0
    k -= pages
    if k < params.board:
        return state.tried[i, 0] != NOTHING
    k -= params.board
    pages = (params.board + params.page - 1) // params.page
    if k < pages:
        return state.looking[i, k] == 0
    k -= pages
    return k != i and k != state.where[i]


@kernel
def take_up(params, task, state, i, item, rng):
    """Into the empty hand; or the experiment: what does the item in the hand make with this one?"""
    other = state.hand[i]
    if other == NOTHING:
        state.hand[i] = item
        return
    state.hand[i] = NOTHING
    made = NOTHING
    if state.held[i, other] == REAL and state.held[i, item] == REAL:
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
def write(state, i, notes, k):
    """Write agent i's last experiment into entry k."""
    notes[k, A] = state.tried[i, 0]
    notes[k, B] = state.tried[i, 1]
    notes[k, MADE] = state.seemed[i]
    notes[k, WHEN] = min(state.t, 32767)


@kernel
def worth(params, item):
    """What an item pays: its level, and `value_bias` times as much in the first lineage."""
    return level_of(params, item) * (params.value_bias if lineage_of(params, item) == 0 else 1.0)


@kernel
def pay(params, state):
    """Note who was first, and pay; the sum. Of several who make the same at once, one is drawn to be the first."""
    total = 0.0
    for i in range(params.agents):
        made = state.made[i]
        state.reward[i] = 0.0
        if made == NOTHING:
            continue
        note_first(state, i, made)
        state.reward[i] = worth(params, made)
        total += state.reward[i]
    if params.pays == FIRST:
        total = pay_first(params, state)
    if params.pays == MEAN:
        for i in range(params.agents):
            state.reward[i] = total / params.agents
    return total


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


@kernel
def copy_from_others(params, state, i, rng):
    """Each new thing that agent i sees being made it copies with chance `fidelity`."""
    state.gained[i] = 0
    for j in range(params.agents):
        made = state.made[j]
        if made != NOTHING and sees(params, state, i, j):
            rng.s = keyed(state.noise, COPYING, state.t, i * params.agents + j)
            if uniform(rng) < params.fidelity:
                state.gained[i] += state.held[i, made] != REAL
                state.held[i, made] = REAL


# ------------------------------------------------------------------------------------------------- what is seen
def planes_of(p: SimpleNamespace) -> int:
    """How many numbers an agent sees of each item."""
    return 1 + (2 if p.notes + p.board else 0) + (2 if p.structure == "grammar" else 0)


def view_length(p: SimpleNamespace) -> int:
    """How many numbers an agent sees, without the action mask behind them."""
    return planes_of(p) * items_of(p) + len(SENSES) + 4 * (p.notes + p.board) + p.agents


@kernel
def look_around(params, task, state, obs):
    """What every agent sees: one row an agent; the action mask stands behind."""
    for i in range(params.agents):
        see(params, task, state, i, obs[i])


@kernel
def see(params, task, state, i, out):
    """What agent i sees, then its action mask, as float32 in [0, 1]."""
    size = senses_at(params) + len(SENSES) + 4 * (params.notes + params.board) + params.agents
    look(params, task, state, i, out, out[size:])


@kernel
def look(params, task, state, i, view, mask):
    """What agent i sees, written anew into `view`, float32 in [0, 1]; and what it may do, as 0 or 1, into `mask`."""
    items, hand, held = items_in(params), state.hand[i], state.held[i]
    for item in range(unsigned(items)):
        view[item] = 0.5 * min(held[item], 1)
    for item in range(unsigned(items)):
        mask[item] = min(held[item], 1)
    for at in range(unsigned(items), unsigned(senses_at(params))):
        view[at] = 0.0
    if params.structure == GRAMMAR:
        for item in range(items):
            if held[item] != ABSENT:
                show_kind(params, task, item, view)
    if hand != NOTHING:
        view[hand] = 1.0
        mask[hand] = 0
    sense(params, state, i, view)
    read_all(params, state, i, view)
    look_for_others(params, state, i, view)
    mask[items] = 1  # waiting
    mask_verbs(params, state, i, mask)


@kernel
def look_again(params, task, state, i, view, mask):
    """Bring up to date what agent i saw and might do one step before, or now: `view` and `mask`, as `look` writes them.

    In one step few items change for an agent: what it took up; what it put back, and what came of it; what anybody newly
    made, which it may have copied. To look at one more does no harm.
    """
    if state.forgot[i] != 0:
        look(params, task, state, i, view, mask)
        return
    hand = state.hand[i]
    strike_marks(params, view)
    if hand != NOTHING:  # there was no experiment
        look_at(params, task, state, i, hand, view, mask)
    elif state.tried[i, 0] != NOTHING:
        look_at(params, task, state, i, state.tried[i, 0], view, mask)
        if state.seemed[i] != NOTHING:
            look_at(params, task, state, i, state.seemed[i], view, mask)
    for j in range(params.agents):
        if state.made[j] != NOTHING:
            look_at(params, task, state, i, state.made[j], view, mask)
    sense(params, state, i, view)
    read_all(params, state, i, view)
    if params.topology == DYNAMIC or params.topology == CHOSEN:
        look_for_others(params, state, i, view)
    mask_verbs(params, state, i, mask)


@kernel
def look_at(params, task, state, i, item, view, mask):
    """What agent i sees of one item."""
    held, in_hand = state.held[i, item] != ABSENT, state.hand[i] == item
    view[item] = 1.0 if in_hand else (0.5 if held else 0.0)
    mask[item] = 1 if held and not in_hand else 0
    if params.structure == GRAMMAR and held:
        show_kind(params, task, item, view)


@kernel
def show_kind(params, task, item, view):
    """The hole and the shape of an item that is held, each in a plane of its own: its number, from 1, over `features`."""
    at = senses_at(params) - 2 * items_in(params) + item
    view[at] = (task.hole[item] + 1) / params.features
    view[at + items_in(params)] = (task.shape[item] + 1) / params.features


@kernel
def senses_at(params):
    """Where the numbers about items end: for each item, whether it is held, what notes say of it, and its hole and shape."""
    planes = 1 + (2 if params.notes + params.board > 0 else 0) + (2 if params.structure == GRAMMAR else 0)
    return planes * items_in(params)


@kernel
def sense(params, state, i, view):
    """The numbers that `SENSES` names."""
    at, seemed = senses_at(params), state.seemed[i]
    view[at] = 1.0 if state.hand[i] != NOTHING else 0.0
    view[at + 1] = 1.0 if state.tried[i, 0] != NOTHING else 0.0
    view[at + 2] = 1.0 if seemed != NOTHING else 0.0
    view[at + 3] = level_of(params, seemed) / params.levels if seemed != NOTHING else 0.0
    view[at + 4] = min(1.0, state.gained[i] / 4.0)
    view[at + 5] = state.forgot[i]
    view[at + 6] = 1.0 - state.t / params.horizon
    view[at + 7] = 1.0 - state.t % params.day / params.day if params.day > 0 else 0.0


@kernel
def look_for_others(params, state, i, view):
    """Whom agent i sees."""
    at = senses_at(params) + len(SENSES) + 4 * (params.notes + params.board)
    for j in range(params.agents):
        view[at + j] = 1.0 if sees(params, state, i, j) else 0.0


@kernel
def read_all(params, state, i, view):
    """All entries, of the notes and of the board; planes of marks must be empty."""
    at = senses_at(params) + len(SENSES)
    for k in range(params.notes):
        read_entry(params, state, i, state.notes[i], k, state.open[i, k // params.page], view, at)
        at += 4
    for k in range(params.board):
        read_entry(params, state, i, state.board, k, state.looking[i, k // params.page], view, at)
        at += 4


@kernel
def read_entry(params, state, i, notes, k, is_open, out, at):
    """An entry that is open to agent i: four numbers of its own, and a mark on the items that it speaks of.

    Second plane: what to take next, by an entry whose two items are held and whose product is not. With one of them in the
    hand that is the other; with an empty hand the first. Third plane: what makes nothing with what is in the hand.
    """
    used = notes[k, WHEN] >= 0
    out[at] = 1.0 if used else 0.0
    out[at + 1] = 0.0
    out[at + 2] = 0.0
    out[at + 3] = 0.0
    if not (used and (is_open != 0 or params.free_reading != 0)):
        return
    items = items_in(params)
    a, b, made, hand = notes[k, A], notes[k, B], notes[k, MADE], state.hand[i]
    out[at + 1] = (a + 1) / (items + 1)
    out[at + 2] = (b + 1) / (items + 1)
    out[at + 3] = (made + 1) / (items + 1)
    if made == NOTHING:
        if hand == a:
            out[2 * items + b] = 1.0
        if hand == b:
            out[2 * items + a] = 1.0
    elif state.held[i, made] == ABSENT and state.held[i, a] != ABSENT and state.held[i, b] != ABSENT:
        if hand == NOTHING or hand == b:  # noqa: SIM109
            out[items + a] = 1.0
        if hand == a:
            out[items + b] = 1.0


@kernel
def strike_marks(params, view):
    """Empty the planes of marks: which items are marked is told by the entries that are shown, a and b in each."""
    items, at = items_in(params), senses_at(params) + len(SENSES)
    for _entry in range(params.notes + params.board):
        for named in range(at + 1, at + 3):
            if view[named] > 0.0:
                item = int(view[named] * (items + 1) + 0.5) - 1
                view[items + item] = 0.0
                view[2 * items + item] = 0.0
        at += 4


@kernel
def mask_verbs(params, state, i, mask):
    """1 for each verb but waiting that would do something."""
    for action in range(items_in(params) + 1, len(mask)):
        mask[action] = 1 if is_legal(params, state, i, action) else 0
