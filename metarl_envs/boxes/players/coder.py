"""A coder: keeps notes in symbols, by a code of its own.

What an experiment makes need not be written, since whoever repeats it sees it. So a recipe is two symbols, the numbers of the
two things, where an event entry has six bytes; and a notebook of as many bytes holds three times the recipes. What it costs is
steps: to write a recipe takes three (begin the note, and put two symbols), and what is written is known to be of use only when
it was repeated.
"""

from __future__ import annotations

import numpy as np

from metarl_envs.boxes.players.keepers import FOLLOW, NO_PURPOSE, SEARCH, first_read, is_written, mark_needed
from metarl_envs.boxes.players.scripted import SEVERAL, Scripted, begin_searching, has_tried, searching, try_something_new
from metarl_envs.boxes.world.core import ABSENT
from metarl_envs.boxes.world.mechanisms import begins_at
from metarl_envs.boxes.world.notes import ERASE, LENGTH, MADE, WHEN, A, B, count_pages, wipe
from metarl_envs.boxes.world.symbols import BEGIN, PUT, are_symbols
from metarl_envs.boxes.world.tree import NOTHING, items_of
from metarl_envs.engine import Parameters, kernel

#: How many symbols a recipe is.
_CODE = 2
first_begin, first_put, first_erase = begins_at(BEGIN), begins_at(PUT), begins_at(ERASE)


@kernel
def begin_coder(hyper, memory, params, rng):
    """A new day: nothing was tried, and what is written was not read."""
    begin_searching(hyper, memory, params, rng)
    memory.purpose = NO_PURPOSE
    memory.following = 0
    memory.has_read = 0
    memory.to_put = 0


@kernel
def keep_code(hyper, memory, params, task, state, i, rng):
    """Read; repeat what is written, as far as its parts are there; then search, and write what leads to the highest thing."""
    if params.free_reading == 0:
        for page in range(count_pages(params)):
            if state.open[i, page] == 0:
                return first_read(params) + page
    if memory.has_read == 0:
        decode(params, state, i, memory)
    if state.hand[i] != NOTHING:
        return try_something_new(hyper, memory, params, task, state, i, rng)
    if memory.to_put > 0:
        memory.to_put -= 1
        return first_put(params) + state.tried[i, 1 - memory.to_put]
    action = write_or_erase(params, state, i, memory)
    if action != NOTHING:
        return action
    k = next_to_repeat(params, state, i, memory)
    memory.purpose = SEARCH if k == NOTHING else FOLLOW
    if k == NOTHING:
        return try_something_new(hyper, memory, params, task, state, i, rng)
    memory.following = k
    memory.partner = memory.notes[k, B]
    return memory.notes[k, A]


@kernel
def decode(params, state, i, memory):
    """Take down what the notes say; what their pairs make will be seen."""
    memory.has_read = 1
    for k in range(params.notes):
        wipe(memory.notes, k)
        if state.notes[i, k, LENGTH] == _CODE:
            memory.notes[k, A] = state.written[i, k, 0]
            memory.notes[k, B] = state.written[i, k, 1]
            memory.notes[k, WHEN] = state.notes[i, k, WHEN]


@kernel
def write_or_erase(params, state, i, memory):
    """What the experiment that was made calls for: to begin a note, or to strike one out that failed; NOTHING if neither."""
    purpose, x, y, made = memory.purpose, state.tried[i, 0], state.tried[i, 1], state.seemed[i]
    memory.purpose = NO_PURPOSE
    if purpose == FOLLOW:
        if made != NOTHING:
            memory.notes[memory.following, MADE] = made
            return NOTHING
        wipe(memory.notes, memory.following)
        return first_erase(params) + memory.following
    if purpose == NO_PURPOSE or made == NOTHING or is_written(params, memory.notes, x, y, made):
        return NOTHING
    k = place_for_recipe(params, memory, x, y, made)
    if k == NOTHING:
        return NOTHING
    memory.notes[k, A], memory.notes[k, B], memory.notes[k, MADE], memory.notes[k, WHEN] = x, y, made, state.t
    memory.to_put = _CODE
    return first_begin(params) + k


@kernel
def place_for_recipe(params, memory, x, y, made):
    """The note to write a recipe into: an empty one, or the oldest that leads nowhere; NOTHING where it is not worth it."""
    notes, oldest = memory.notes, NOTHING
    for k in range(params.notes):
        if notes[k, WHEN] < 0:
            return k
    mark_needed(params, notes, memory, x, y, made)
    if memory.needed[made] == 0:
        return NOTHING
    for k in range(params.notes):
        leads_nowhere = notes[k, MADE] == NOTHING or memory.needed[notes[k, MADE]] == 0
        if leads_nowhere and (oldest == NOTHING or notes[k, WHEN] < notes[oldest, WHEN]):
            oldest = k
    return oldest


@kernel
def next_to_repeat(params, state, i, memory):
    """The note to repeat now: its two things are there, and were not tried together today; NOTHING if none."""
    for k in range(params.notes):
        a, b = memory.notes[k, A], memory.notes[k, B]
        is_new = memory.notes[k, WHEN] >= 0 and not has_tried(memory, a, b)
        if is_new and state.held[i, a] != ABSENT and state.held[i, b] != ABSENT:
            return k
    return NOTHING


class Coder(Scripted):
    """Searches like `Greedy`, and writes in symbols what leads to the highest thing: the numbers of the two things alone.

    It needs a symbol for each item, and notes of two symbols or more; one note holds one recipe.
    """

    params = Parameters(draws=SEVERAL)
    begin, act = begin_coder, keep_code

    @staticmethod
    def memory(p, variant):
        """What was tried today, what the notes say and lead to, and where it is in what it does."""
        items = items_of(variant.p)
        return searching(
            variant,
            needed=(np.uint8, items),
            makeable=(np.uint8, items),
            notes=(np.int16, (max(variant.p.notes, 1), 4)),
            following=np.int16,
            purpose=np.uint8,
            has_read=np.uint8,
            to_put=np.uint8,
        )

    def why_unsuitable(self, variant):
        """It writes symbols, one for each item."""
        if problem := super().why_unsuitable(variant):
            return problem
        p = variant.p
        if not are_symbols(p) or not p.notes:
            return "Coder writes symbols: give notes=8 or so, notation='symbols', entry_bytes=2 and an alphabet"
        if p.entry_bytes < _CODE or p.alphabet < items_of(p):
            return f"Coder needs notes of {_CODE} symbols, one for each item: give entry_bytes=2, alphabet={items_of(p)}"
        return None
