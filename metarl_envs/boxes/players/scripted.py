"""Scripted agents: the ladder that every box is measured against, and keepers of notes.

A scripted agent is three things: what it keeps in mind, how that begins, and how it acts on what it may know of its own: what
it holds, what its last experiment seemed to make, what it sees written. (The oracle may know the recipes too.) The same kernel
acts in a batch of boxes, as a companion inside a compiled environment, and one at a time through PettingZoo.
"""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import ClassVar

import numpy as np

from metarl_envs.boxes.world.core import ABSENT, REAL, worth
from metarl_envs.boxes.world.mechanisms import action_count, begins_at, is_legal
from metarl_envs.boxes.world.notes import MADE, NOTE, READ, WHEN, A, B, count_pages
from metarl_envs.boxes.world.tree import GRAMMAR, NOTHING, items_in, items_of, level_of
from metarl_envs.engine import Integer, Parameters, kernel, randint, record

#: How many pairs are drawn in search of one that was not tried yet, before pairs are gone through in order.
_DRAWS = 32
#: Where the actions begin that write notes, and those that open pages.
first_note, first_read = begins_at(NOTE), begins_at(READ)


class Scripted:
    """A scripted agent.

    * `wake(hyper, params, mind)`: it lives from now on, and has lived nothing.
    * `act(hyper, params, task, state, i, mind, rng)`: the action of agent i.

    `mind` is a row; it is what a memory reset takes away.
    """

    hyper: ClassVar[Parameters] = Parameters()
    wake: ClassVar[Callable]
    act: ClassVar[Callable]

    def __init__(self, **values: int):
        self.values = self.hyper.resolve(values, type(self).__name__)
        self.row = self.hyper.row(self.values)

    @staticmethod
    def mind(p: SimpleNamespace) -> np.dtype:
        """What it keeps in mind, in a box with parameters `p`."""
        return record()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{name}={value}' for name, value in self.values.items())})"


# ------------------------------------------------------------------------------------------------- no mind at all
@kernel
def wake_empty(hyper, params, mind):
    """Nothing to forget."""


@kernel
def act_at_random(hyper, params, task, state, i, mind, rng):
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


class Random(Scripted):
    """Uniform over the actions that would do something: the first null."""

    wake, act = wake_empty, act_at_random


@kernel
def make_the_best(hyper, params, task, state, i, mind, rng):
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

    wake, act = wake_empty, make_the_best


# ------------------------------------------------------------------------------------------------- never twice
@kernel
def wake_searching(hyper, params, mind):
    """Nothing was tried yet."""
    items = items_in(params)
    for x in range(items):
        for word in range(mind.tried.shape[1]):
            mind.tried[x, word] = 0
    mind.partner = NOTHING


@kernel
def has_tried(mind, x, y):
    """Whether it tried this pair."""
    return (mind.tried[x, y >> 3] >> (y & 7)) & 1 == 1


@kernel
def mark_tried(mind, x, y):
    """Remember that it tried this pair."""
    mind.tried[x, y >> 3] |= 1 << (y & 7)
    mind.tried[y, x >> 3] |= 1 << (x & 7)


def _searching_by(appeal: Callable) -> Callable:
    """The kernel that searches, by what makes a pair worth trying: appeal(params, task, mind, x, y)."""

    @kernel
    def new_pair(hyper, params, task, state, i, mind, rng):
        """A pair that was never tried, with what is in the hand if there is something; NOTHING where all were."""
        items, hand = items_in(params), state.hand[i]
        count = 0
        for item in range(items):
            count += state.held[i, item] != ABSENT
        best, best_x, best_y, found = -1.0, NOTHING, NOTHING, 0
        for _draw in range(_DRAWS * hyper.draws):
            x = hand if hand != NOTHING else nth_held(state, i, items, randint(rng, count))
            y = nth_held(state, i, items, randint(rng, count))
            if x == y or has_tried(mind, x, y):
                continue
            value = appeal(params, task, mind, x, y)
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
                if y != x and state.held[i, y] != ABSENT and not has_tried(mind, x, y):
                    return x, y
        return NOTHING, NOTHING

    @kernel
    def try_something_new(hyper, params, task, state, i, mind, rng):
        """Of `draws` pairs that it holds and never tried, the most appealing one."""
        items, hand = items_in(params), state.hand[i]
        if hand != NOTHING and mind.partner != NOTHING and state.held[i, mind.partner] != ABSENT:
            partner = mind.partner
            mind.partner = NOTHING
            mark_tried(mind, hand, partner)
            return partner
        x, y = new_pair(hyper, params, task, state, i, mind, rng)
        if x == NOTHING:
            return items
        if hand == NOTHING or x == hand:
            mind.partner = y
            if hand == NOTHING:
                return x
        mark_tried(mind, hand, y)
        mind.partner = NOTHING
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
def worth_of_both(params, task, mind, x, y):
    """What the two are worth."""
    return worth(params, x) + worth(params, y)


try_something_new = _searching_by(worth_of_both)


class NeverRepeat(Scripted):
    """Tries pairs at random and none twice: the honest null.

    `draws` (default 1) is how many new pairs it looks at before it tries the one worth most.
    """

    hyper = Parameters(draws=Integer(1, 1, 64))
    wake, act = wake_searching, try_something_new

    @staticmethod
    def mind(p: SimpleNamespace) -> np.dtype:
        """A bit for each pair, and the second half of a plan."""
        items = items_of(p)
        return record(tried=(np.uint8, (items, -(-items // 8))), partner=np.int16)


class Greedy(NeverRepeat):
    """Tries, of eight new pairs, the one whose parts are worth most."""

    hyper = NeverRepeat.hyper.but(draws=8)


# ------------------------------------------------------------------------------------------------- finding the rule
@kernel
def wake_finder(hyper, params, mind):
    """Any hole may take any shape, for all it knows."""
    wake_searching(hyper, params, mind)
    mind.waits = 0
    mind.tries = 0
    mind.found = 0
    for hole in range(params.features):
        for shape in range(params.features):
            mind.weight[hole, shape] = 1.0


@kernel
def search_by_rule(hyper, params, task, state, i, mind, rng):
    """Weigh what came of the last experiment; then try, of `draws` new pairs, the one that most likely fits."""
    if hyper.infers != 0 and state.hand[i] == NOTHING and mind.waits != 0:
        weigh(params, task, state, i, mind)
    action = try_what_fits(hyper, params, task, state, i, mind, rng)
    mind.waits = 1 if state.hand[i] != NOTHING and action < items_in(params) else 0
    return action


@kernel
def weigh(params, task, state, i, mind):
    """What the last experiment says of the rule.

    A pair that works shows that a hole takes a shape: that of the higher item the shape of the lower; of two of one level
    either may be the one that counts, as far as it was likely before. A hole takes one shape, and a shape goes into one hole. A
    pair that fails says little, since of those that fit few work: how few is reckoned from how many experiments did.
    """
    x, y, works = state.tried[i, 0], state.tried[i, 1], state.seemed[i] != NOTHING
    if level_of(params, x) < level_of(params, y):
        x, y = y, x
    mind.tries += 1
    mind.found += works
    luck = min(0.5, params.features * (mind.found + 1.0) / (mind.tries + 10.0 * params.features))
    this, other = chance_of(params, mind, task.hole[x], task.shape[y]), chance_of(params, mind, task.hole[y], task.shape[x])
    same = task.hole[x] == task.hole[y] and task.shape[x] == task.shape[y]
    if same or level_of(params, x) > level_of(params, y):
        other = 0.0
    weigh_one(params, mind, task.hole[x], task.shape[y], works, luck, other)
    if not same and level_of(params, x) == level_of(params, y):
        weigh_one(params, mind, task.hole[y], task.shape[x], works, luck, this)


@kernel
def weigh_one(params, mind, hole, shape, works, luck, other):
    """What an experiment says of one hole and one shape, where with chance `other` it may have worked without them."""
    if not works:
        lose_weight(mind, hole, shape, (1.0 - luck) / (1.0 - luck * other))
        return
    doubt = params.illusions / (params.illusions + luck)  # that it only seemed to work
    without = other + (1.0 - other) * doubt
    for k in range(params.features):
        if k != shape:
            lose_weight(mind, hole, k, without)
        if k != hole:
            lose_weight(mind, k, shape, without)


@kernel
def lose_weight(mind, hole, shape, share):
    """Believe less, by this share, that the hole takes the shape."""
    mind.weight[hole, shape] = max(mind.weight[hole, shape] * share, 1e-9)


@kernel
def chance_to_fit(params, task, mind, x, y):
    """How likely the rule lets the pair work; all alike where there is no rule to be seen."""
    if params.structure != GRAMMAR:
        return 1.0
    level_x, level_y = level_of(params, x), level_of(params, y)
    no_fit = 1.0
    if level_x >= level_y:
        no_fit *= 1.0 - chance_of(params, mind, task.hole[x], task.shape[y])
    if level_y >= level_x and (task.hole[x] != task.hole[y] or task.shape[x] != task.shape[y]):
        no_fit *= 1.0 - chance_of(params, mind, task.hole[y], task.shape[x])
    return 1.0 - no_fit


@kernel
def chance_of(params, mind, hole, shape):
    """How likely a hole takes a shape: its weight among those of all shapes."""
    total = 0.0
    for k in range(params.features):
        total += mind.weight[hole, k]
    return mind.weight[hole, shape] / total


try_what_fits = _searching_by(chance_to_fit)


class RuleFinder(NeverRepeat):
    """Searches like `NeverRepeat`, and infers from what works which hole takes which shape.

    It knows nothing but its own experiments and the holes and shapes of what it holds. Of `draws` new pairs it tries the one
    that most likely fits. Where there is no grammar it is `NeverRepeat`. With `infers=0` it draws no conclusions, and prefers
    only pairs that may fit either way: what its inference is worth shows beside that.
    """

    hyper = Parameters(draws=Integer(8, 1, 64), infers=Integer(1, 0, 1))
    wake, act = wake_finder, search_by_rule

    @staticmethod
    def mind(p: SimpleNamespace) -> np.dtype:
        """What was tried, what worked, and how much speaks for each hole to take each shape."""
        items = items_of(p)
        return record(
            tried=(np.uint8, (items, -(-items // 8))),
            weight=(np.float64, (p.features, p.features)),
            tries=np.int32,
            found=np.int32,
            partner=np.int16,
            waits=np.uint8,
        )


# ------------------------------------------------------------------------------------------------- keepers of notes
#: `keep`: what a keeper writes, and over what.
NOTES_NONE, NOTES_FIFO, NOTES_BEST_PATH, NOTES_ALL = range(4)
#: Why a keeper makes an experiment: to find something, to rebuild what a note says, to see whether a finding is true.
NO_PURPOSE, SEARCH, FOLLOW, VERIFY = range(4)


@kernel
def wake_keeper(hyper, params, mind):
    """A new day: nothing was tried, read or planned."""
    wake_searching(hyper, params, mind)
    mind.planned = 0
    mind.purpose = NO_PURPOSE
    mind.following = 0
    mind.believed = NOTHING


@kernel
def keep_notes(hyper, params, task, state, i, mind, rng):
    """Read; rebuild what leads to the highest thing that is written down; then search, and write what worked."""
    first_verb = first_note(params)
    pages = count_pages(params)
    if params.free_reading == 0:
        for page in range(pages):
            if state.open[i, page] == 0:
                return first_read(params) + page
    if state.hand[i] != NOTHING:
        return try_something_new(hyper, params, task, state, i, mind, rng)
    verb = draw_conclusion(hyper, params, state, i, mind)
    if verb >= 0:
        return first_verb + verb
    if mind.purpose == VERIFY:
        mind.partner = state.tried[i, 1]
        return state.tried[i, 0]
    if mind.planned == 0:
        mark_needed(params, state.notes[i], mind, NOTHING, NOTHING, NOTHING)
        mind.planned = 1
    k = next_step_of_plan(params, state, i, mind)
    if k >= 0:
        mind.purpose = FOLLOW
        mind.following = k
        mind.partner = state.notes[i, k, B]
        return state.notes[i, k, A]
    mind.purpose = SEARCH
    return try_something_new(hyper, params, task, state, i, mind, rng)


@kernel
def draw_conclusion(hyper, params, state, i, mind):
    """What the experiment that was made calls for: the number of a verb after WAIT (write or strike out), or -1."""
    purpose, made, notes = mind.purpose, state.seemed[i], state.notes[i]
    mind.purpose = NO_PURPOSE
    if purpose == FOLLOW:
        failed = made != notes[mind.following, MADE]
        return params.notes + mind.following if failed and hyper.keep == NOTES_BEST_PATH else -1
    if purpose == NO_PURPOSE or made == NOTHING or params.notes == 0 or hyper.keep == NOTES_NONE:
        return -1
    if is_written(params, notes, state.tried[i, 0], state.tried[i, 1], made):
        return -1
    if purpose == SEARCH and hyper.verify != 0:
        mind.purpose = VERIFY
        mind.believed = made
        return -1
    if purpose == VERIFY and made != mind.believed:
        return -1
    return place_for(hyper, params, state, i, mind, made)


@kernel
def is_written(params, notes, x, y, made):
    """Whether a note says so already."""
    for k in range(params.notes):
        same = (notes[k, A] == x and notes[k, B] == y) or (notes[k, A] == y and notes[k, B] == x)
        if notes[k, WHEN] >= 0 and same and notes[k, MADE] == made:
            return True
    return False


@kernel
def place_for(hyper, params, state, i, mind, made):
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
    mark_needed(params, notes, mind, state.tried[i, 0], state.tried[i, 1], made)
    if mind.needed[made] == 0:
        return -1
    for k in range(params.notes):
        if mind.needed[notes[k, MADE]] == 0 and (lowest < 0 or notes[k, WHEN] < notes[lowest, WHEN]):
            lowest = k
    return lowest


@kernel
def mark_needed(params, notes, mind, x, y, made):
    """Mark the highest thing that can be made from the bases by what is written (or was just made, of x and y), and its path.

    What is only spoken of does not count: the note that it rests on may have been struck out, or written over.
    """
    mark_makeable(params, notes, mind, x, y, made)
    top = items_in(params) - 1  # of two items, the later one is of no lower level
    while mind.makeable[top] == 0:
        top -= 1
    if made != NOTHING and mind.makeable[made] == 1 and level_of(params, made) == level_of(params, top):
        top = made
    for item in range(items_in(params)):
        mind.needed[item] = 0
    mind.needed[top] = 1
    changed = True
    while changed:  # each round marks something new, so it ends
        changed = False
        if made != NOTHING and mind.needed[made] == 1:
            changed = mark(mind.needed, x) | mark(mind.needed, y)
        for k in range(params.notes):
            if notes[k, WHEN] >= 0 and notes[k, MADE] != NOTHING and mind.needed[notes[k, MADE]] == 1:
                changed = mark(mind.needed, notes[k, A]) | mark(mind.needed, notes[k, B]) | changed


@kernel
def mark_makeable(params, notes, mind, x, y, made):
    """Mark what can be made from the bases by what is written, or was just made."""
    bases = params.lineages * params.bases
    for item in range(items_in(params)):
        mind.makeable[item] = 1 if item < bases else 0
    changed = True
    while changed:
        changed = False
        if made != NOTHING and mind.makeable[x] == 1 and mind.makeable[y] == 1:
            changed = mark(mind.makeable, made)
        for k in range(params.notes):
            a, b, told = notes[k, A], notes[k, B], notes[k, MADE]
            if notes[k, WHEN] >= 0 and told != NOTHING and mind.makeable[a] == 1 and mind.makeable[b] == 1:
                changed = mark(mind.makeable, told) | changed


@kernel
def mark(marks, item):
    """Mark an item; whether it was not marked yet."""
    fresh = marks[item] == 0
    marks[item] = 1
    return fresh


@kernel
def next_step_of_plan(params, state, i, mind):
    """The note to follow now: something needed that can be made and is not held, and was not tried today; -1 if none."""
    for k in range(params.notes):
        a, b, made = state.notes[i, k, A], state.notes[i, k, B], state.notes[i, k, MADE]
        if state.notes[i, k, WHEN] < 0 or made == NOTHING or mind.needed[made] == 0 or has_tried(mind, a, b):
            continue
        if state.held[i, made] == ABSENT and state.held[i, a] != ABSENT and state.held[i, b] != ABSENT:
            return k
    return -1


class NoteKeeper(Scripted):
    """Searches like `Greedy`, and writes down what worked.

    `keep` says what stays when the notebook is full: 0 writes nothing; 1 overwrites the oldest; 2 keeps only what leads to the
    highest thing, and strikes out what fails when it is followed; 3 keeps everything until it is full. With `verify=1` it
    repeats an experiment before it writes.
    """

    hyper = Parameters(keep=Integer(NOTES_FIFO, 0, 3), verify=Integer(0, 0, 1), draws=Integer(8, 1, 64))
    wake, act = wake_keeper, keep_notes

    @staticmethod
    def mind(p: SimpleNamespace) -> np.dtype:
        """What was tried today, what leads to the highest thing, and where it is in its plan."""
        items = items_of(p)
        return record(
            tried=(np.uint8, (items, -(-items // 8))),
            needed=(np.uint8, items),
            makeable=(np.uint8, items),
            partner=np.int16,
            following=np.int16,
            believed=np.int16,
            purpose=np.uint8,
            planned=np.uint8,
        )


#: By name, the scripted agents that every box has.
SCRIPTED: dict[str, Scripted] = {
    "random": Random(),
    "never_repeat": NeverRepeat(),
    "greedy": Greedy(),
    "rule_finder": RuleFinder(),
    "oracle": Oracle(),
    "notes_none": NoteKeeper(keep=NOTES_NONE),
    "notes_fifo": NoteKeeper(keep=NOTES_FIFO),
    "notes_best_path": NoteKeeper(keep=NOTES_BEST_PATH),
    "notes_verify_first": NoteKeeper(keep=NOTES_ALL, verify=1),
    "notes_unlimited": NoteKeeper(keep=NOTES_ALL),
}
