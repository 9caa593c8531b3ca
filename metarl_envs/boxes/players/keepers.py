"""Scripted agents that keep notes, in a notebook of their own; and one that posts what it finds for all to read."""

from __future__ import annotations

import numpy as np

from metarl_envs.boxes.players.scripted import (
    SEVERAL,
    Scripted,
    begin_searching,
    has_tried,
    searching,
    try_something_new,
)
from metarl_envs.boxes.world.core import ABSENT
from metarl_envs.boxes.world.mechanisms import begins_at
from metarl_envs.boxes.world.notes import (
    LOOK,
    MADE,
    NOTE,
    POST,
    READ,
    WHEN,
    A,
    B,
    count_board_pages,
    count_pages,
    place_to_write,
)
from metarl_envs.boxes.world.tree import NOTHING, items_in, items_of, level_of
from metarl_envs.engine import Choice, Flag, Parameters, kernel, record

#: Where the actions begin that write notes, and open their pages; and the same of the board.
first_note, first_read, first_post, first_look = (begins_at(verb) for verb in (NOTE, READ, POST, LOOK))
#: `keep`: what a keeper writes, and over what; and these names as kernels see them.
KEEPS = "none", "fifo", "best_path", "all"
NOTES_NONE, NOTES_FIFO, NOTES_BEST_PATH, NOTES_ALL = range(len(KEEPS))
#: Why a keeper makes an experiment: to find something, to rebuild what a note says, to see whether a finding is true.
NO_PURPOSE, SEARCH, FOLLOW, VERIFY = range(4)


@kernel
def begin_keeper(hyper, memory, params, rng):
    """A new day: nothing was tried, read or planned."""
    begin_searching(hyper, memory, params, rng)
    memory.planned = 0
    memory.purpose = NO_PURPOSE
    memory.following = 0
    memory.believed = NOTHING


@kernel
def keep_notes(hyper, memory, params, task, state, i, rng):
    """Read; rebuild what leads to the highest thing that is written down; then search, and write what worked."""
    action = tend_notes(hyper, memory, params, state, i)
    if action >= 0:
        return action
    if state.hand[i] == NOTHING:
        memory.purpose = SEARCH
    return try_something_new(hyper, memory, params, task, state, i, rng)


@kernel
def tend_notes(hyper, memory, params, state, i):
    """What the notebook asks for: to read it, write in it, strike out, or rebuild what it says; -1: nothing more."""
    first_verb = first_note(params)
    pages = count_pages(params)
    if params.free_reading == 0:
        for page in range(pages):
            if state.open[i, page] == 0:
                return first_read(params) + page
    if state.hand[i] != NOTHING:
        return -1
    verb = draw_conclusion(hyper, params, state, i, memory)
    if verb >= 0:
        return first_verb + verb
    if memory.purpose == VERIFY:
        memory.partner = state.tried[i, 1]
        return state.tried[i, 0]
    if memory.planned == 0:
        mark_needed(params, state.notes[i], memory, NOTHING, NOTHING, NOTHING)
        memory.planned = 1
    k = next_step_of_plan(params, state, i, memory)
    if k >= 0:
        memory.purpose = FOLLOW
        memory.following = k
        memory.partner = state.notes[i, k, B]
        return state.notes[i, k, A]
    return -1


@kernel
def draw_conclusion(hyper, params, state, i, memory):
    """What the experiment that was made calls for: the number of a verb after WAIT (write or strike out), or -1."""
    purpose, made, notes = memory.purpose, state.seemed[i], state.notes[i]
    memory.purpose = NO_PURPOSE
    if purpose == FOLLOW:
        failed = made != notes[memory.following, MADE]
        return params.notes + memory.following if failed and hyper.keep == NOTES_BEST_PATH else -1
    if purpose == NO_PURPOSE or made == NOTHING or params.notes == 0 or hyper.keep == NOTES_NONE:
        return -1
    if is_written(params, notes, state.tried[i, 0], state.tried[i, 1], made):
        return -1
    if purpose == SEARCH and hyper.verify != 0:
        memory.purpose = VERIFY
        memory.believed = made
        return -1
    if purpose == VERIFY and made != memory.believed:
        return -1
    return place_for(hyper, params, state, i, memory, made)


@kernel
def is_written(params, notes, x, y, made):
    """Whether a note says so already."""
    for k in range(params.notes):
        same = (notes[k, A] == x and notes[k, B] == y) or (notes[k, A] == y and notes[k, B] == x)
        if notes[k, WHEN] >= 0 and same and notes[k, MADE] == made:
            return True
    return False


@kernel
def place_for(hyper, params, state, i, memory, made):
    """The entry to write into; -1 where none should be given up."""
    notes, oldest, lowest = state.notes[i], 0, -1
    for k in range(params.notes):
        if notes[k, WHEN] < 0:
            return k
        if notes[k, WHEN] < notes[oldest, WHEN]:
            oldest = k
    if hyper.keep == NOTES_ALL:
        return -1
    if hyper.keep == NOTES_FIFO:
        return oldest
    mark_needed(params, notes, memory, state.tried[i, 0], state.tried[i, 1], made)
    if memory.needed[made] == 0:
        return -1
    for k in range(params.notes):
        if memory.needed[notes[k, MADE]] == 0 and (lowest < 0 or notes[k, WHEN] < notes[lowest, WHEN]):
            lowest = k
    return lowest


@kernel
def mark_needed(params, notes, memory, x, y, made):
    """Mark the highest thing that can be made from the bases by what is written (or was just made, of x and y), and its path.

    What is only spoken of does not count: the note that it rests on may have been struck out, or written over.
    """
    mark_makeable(params, notes, memory, x, y, made)
    top = items_in(params) - 1  # of two items, the later one is of no lower level
    while memory.makeable[top] == 0:
        top -= 1
    if made != NOTHING and memory.makeable[made] == 1 and level_of(params, made) == level_of(params, top):
        top = made
    for item in range(items_in(params)):
        memory.needed[item] = 0
    memory.needed[top] = 1
    changed = True
    while changed:  # each round marks something new, so it ends
        changed = False
        if made != NOTHING and memory.needed[made] == 1:
            changed = mark(memory.needed, x) | mark(memory.needed, y)
        for k in range(params.notes):
            if notes[k, WHEN] >= 0 and notes[k, MADE] != NOTHING and memory.needed[notes[k, MADE]] == 1:
                changed = mark(memory.needed, notes[k, A]) | mark(memory.needed, notes[k, B]) | changed


@kernel
def mark_makeable(params, notes, memory, x, y, made):
    """Mark what can be made from the bases by what is written, or was just made."""
    bases = params.lineages * params.bases
    for item in range(items_in(params)):
        memory.makeable[item] = 1 if item < bases else 0
    changed = True
    while changed:
        changed = False
        if made != NOTHING and memory.makeable[x] == 1 and memory.makeable[y] == 1:
            changed = mark(memory.makeable, made)
        for k in range(params.notes):
            a, b, told = notes[k, A], notes[k, B], notes[k, MADE]
            if notes[k, WHEN] >= 0 and told != NOTHING and memory.makeable[a] == 1 and memory.makeable[b] == 1:
                changed = mark(memory.makeable, told) | changed


@kernel
def mark(marks, item):
    """Mark an item; whether it was not marked yet."""
    fresh = marks[item] == 0
    marks[item] = 1
    return fresh


@kernel
def next_step_of_plan(params, state, i, memory):
    """The note to follow now: something needed that can be made and is not held, and was not tried today; -1 if none."""
    for k in range(params.notes):
        a, b, made = state.notes[i, k, A], state.notes[i, k, B], state.notes[i, k, MADE]
        if state.notes[i, k, WHEN] < 0 or made == NOTHING or memory.needed[made] == 0 or has_tried(memory, a, b):
            continue
        if state.held[i, made] == ABSENT and state.held[i, a] != ABSENT and state.held[i, b] != ABSENT:
            return k
    return -1


class NoteKeeper(Scripted):
    """Searches like `Greedy`, and writes down what worked.

    `keep` says what stays when the notebook is full: "none" writes nothing; "fifo" overwrites the oldest; "best_path" keeps
    only what leads to the highest thing, and strikes out what fails when it is followed; "all" keeps everything until it is
    full. With `verify` it repeats an experiment before it writes.
    """

    params = Parameters(keep=Choice("fifo", KEEPS), verify=Flag(False), draws=SEVERAL)
    begin, act = begin_keeper, keep_notes

    @staticmethod
    def memory(p, variant):
        """What was tried today, what leads to the highest thing, and where it is in its plan."""
        items = items_of(variant.p)
        return searching(
            variant,
            needed=(np.uint8, items),
            makeable=(np.uint8, items),
            following=np.int16,
            believed=np.int16,
            purpose=np.uint8,
            planned=np.uint8,
        )

    def why_unsuitable(self, variant):
        """It writes experiments."""
        if problem := super().why_unsuitable(variant):
            return problem
        if variant.p.notation != "event":
            return f"{type(self).__name__} writes experiments, and here notes are {variant.p.notation}: give notation='event'"
        return None


# ------------------------------------------------------------------------------------------------- notes for all
@kernel
def begin_sharer(hyper, memory, params, rng):
    """A new day, as for any keeper of notes; nothing was posted."""
    begin_keeper(hyper, memory, params, rng)
    memory.posted = NOTHING


@kernel
def share_notes(hyper, memory, params, task, state, i, rng):
    """Read the board; post what was found; then tend the notebook, make what others posted, and search."""
    if params.free_reading == 0:
        for page in range(count_board_pages(params)):
            if state.looking[i, page] == 0:
                return first_look(params) + page
    made = state.seemed[i]
    found = state.hand[i] == NOTHING and memory.purpose == SEARCH and made != NOTHING and made != memory.posted
    if params.board > 0 and found and not is_posted(params, state, made):
        memory.posted = made
        return first_post(params) + place_to_write(params, state)
    action = tend_notes(hyper, memory, params, state, i)
    if action >= 0:
        return action
    if state.hand[i] == NOTHING:
        k = post_to_follow(memory, params, state, i)
        if k >= 0:
            memory.partner = state.board[k, B]
            return state.board[k, A]
        memory.purpose = SEARCH
    return try_something_new(hyper, memory, params, task, state, i, rng)


@kernel
def is_posted(params, state, made):
    """Whether an entry of the board says how to make an item."""
    for k in range(params.board):  # noqa: SIM110 (a kernel has no generators)
        if state.board[k, WHEN] >= 0 and state.board[k, MADE] == made:
            return True
    return False


@kernel
def post_to_follow(memory, params, state, i):
    """An entry of the board whose pair agent i holds and did not try today, and whose product it lacks; -1: none."""
    for k in range(params.board):
        a, b, made = state.board[k, A], state.board[k, B], state.board[k, MADE]
        if state.board[k, WHEN] < 0 or made == NOTHING or state.held[i, made] != ABSENT or has_tried(memory, a, b):
            continue
        if state.held[i, a] != ABSENT and state.held[i, b] != ABSENT:
            return k
    return -1


class Sharer(NoteKeeper):
    """Keeps notes like `NoteKeeper`, posts each thing that it finds and no post tells of, and makes what others posted.

    It posts before it writes a note. Where the board is full it posts over the oldest entry.
    """

    begin, act = begin_sharer, share_notes

    @staticmethod
    def memory(p, variant):
        """What a keeper of notes remembers, and of what it posted last."""
        kept = NoteKeeper.memory(p, variant)
        return record(**{name: kept[name] for name in kept.names or ()}, posted=np.int16)
