"""The tech tree: what can be made from what, in one box. It is the hidden task of every box.

Items stand in places: first the bases of each lineage, then level by level, in each level lineage by lineage, `width` items
each. An item of level d is made from a pair {a, b}: `a` is of level d-1 and of the same lineage, `b` is any older item of
it, mostly a recent one; in every `crossover`-th level `b` comes from another lineage. A pair makes one thing only. Dead ends
are ingredients of nothing; each level of each lineage keeps at least one item that is none, so every level can be reached.

Train and test share no recipe. What a pair makes is even or odd: the places, within their levels, of ingredients and product
add up to an even number in trees of the one split, to an odd one in those of the other. (Validation trees are train trees
that are kept apart.)

With `structure="grammar"` each item has a hole and a shape, numbers below `features`, which whoever holds it sees; and only
pairs work in which the shape of `b` is what a hidden permutation makes of the hole of `a`: who infers it has fewer pairs to
try.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from types import SimpleNamespace

import numpy as np

from metarl_envs.engine import Choice, Integer, Real, TaskErrors, kernel, randint, record, uniform
from metarl_envs.engine.compiling.kernels import plain, unsigned
from metarl_envs.engine.streams import mix

#: `structure`.
LOOKUP, GRAMMAR = range(2)
#: No item.
NOTHING = -1
#: The share of trees that are test trees.
TEST_SHARE = 0.2

#: The parameters of a tree, for the boxes to declare.
TREE = {
    "lineages": Integer(2, 1, 16),
    "levels": Integer(20, 1, 512),
    "width": Integer(4, 1, 64),
    "bases": Integer(6, 2, 64),
    "recipes": Integer(1, 1, 8),
    "crossover": Integer(0, 0, 512),
    "dead_ends": Real(0.25, 0.0, 0.99),
    "recency": Real(0.7, 0.0, 1.0),
    "structure": Choice("lookup", ("lookup", "grammar")),
    "features": Integer(2, 2, 16),
}


# ------------------------------------------------------------------------------------------------- places
@kernel
def first_of(params, level, lineage):
    """The first item of a level in a lineage."""
    if level == 0:
        return lineage * params.bases
    return params.lineages * params.bases + ((level - 1) * params.lineages + lineage) * params.width


@kernel
def size_of(params, level):
    """How many items a level has in one lineage."""
    return params.bases if level == 0 else params.width


@kernel
def level_of(params, item):
    """The level of an item; 0 for bases."""
    beyond = item - params.lineages * params.bases
    return 0 if beyond < 0 else 1 + beyond // (params.lineages * params.width)


@kernel
def lineage_of(params, item):
    """The lineage of an item."""
    beyond = item - params.lineages * params.bases
    return item // params.bases if beyond < 0 else beyond // params.width % params.lineages


@kernel
def place_of(params, item):
    """The place of an item within its level and lineage, from 0."""
    return item - first_of(params, level_of(params, item), lineage_of(params, item))


@kernel
def items_in(params):
    """How many items there are."""
    return params.lineages * (params.bases + params.levels * params.width)


@kernel
def live_in(params):
    """How many items of a level above the bases are not dead ends, in one lineage."""
    return max(1, params.width - int(params.width * params.dead_ends))


def items_of(p: SimpleNamespace) -> int:
    """How many items there are under parameters `p`."""
    return plain(items_in)(p)


def levels_of(p: SimpleNamespace) -> np.ndarray:
    """The level of each item, int [items]; 0 for bases."""
    return _each(level_of, p.lineages, p.bases, p.levels, p.width)


def lineages_of(p: SimpleNamespace) -> np.ndarray:
    """The lineage of each item, int [items]."""
    return _each(lineage_of, p.lineages, p.bases, p.levels, p.width)


def places_of(p: SimpleNamespace) -> np.ndarray:
    """The place of each item within its level and lineage, int [items], from 0."""
    return _each(place_of, p.lineages, p.bases, p.levels, p.width)


@functools.lru_cache(maxsize=64)
def _each(rule: Callable, lineages: int, bases: int, levels: int, width: int) -> np.ndarray:
    """What a rule says of each item: an array that cannot be written to."""
    p = SimpleNamespace(lineages=lineages, bases=bases, levels=levels, width=width)
    told = np.array([plain(rule)(p, item) for item in range(items_of(p))])
    told.flags.writeable = False
    return told


# ------------------------------------------------------------------------------------------------- rows
def tree_record(p: SimpleNamespace) -> np.dtype:
    """The row of a tree: recipes (item, recipe, ingredient), and what each item is like."""
    items = items_of(p)
    return record(
        recipe=(np.int16, (items, p.recipes, 2)),
        live=(np.uint8, items),
        hole=(np.uint8, items),
        shape=(np.uint8, items),
        fits=(np.uint8, p.features),
        parity=np.uint8,
    )


def tree_error(p: SimpleNamespace) -> str | None:
    """Why no tree can be grown from these parameters, or None. A pair makes one thing, so there must be pairs enough."""
    if items_of(p) > 4096:
        return f"{items_of(p)} items (lineages * (bases + levels * width)) are more than 4096"
    if p.crossover and p.lineages < 2:
        return f"crossover={p.crossover} needs a second lineage: give lineages=2 or more, or crossover=0"
    for level in range(1, min(p.levels, max(3, 2 * p.crossover)) + 1):
        need, have = _needed(p), _pairs(p, level)
        if have < need:
            return (
                f"a pair makes one thing only, and level {level} needs {need} pairs of a kind for each lineage (recipes * half "
                f"the width) where there may be only {max(have, 0)}: give more bases, fewer dead_ends, a smaller width or "
                "fewer recipes" + (", or fewer features" if p.structure == "grammar" else "")
            )
    return None


def _pairs(p: SimpleNamespace, level: int) -> int:
    """Pairs of either parity that are left for a lineage of a level in the worst case."""
    crosses = p.crossover and level % p.crossover == 0
    live, share = plain(live_in)(p), 2 * (p.features if p.structure == "grammar" else 1)
    counts = [p.bases, *[live] * (level - 1)]  # ingredients of one lineage, by level
    here = counts[-1]
    if crosses:  # other lineages may have taken as many as they need
        return (p.lineages - 1) * (here * sum(count // share for count in counts) - _needed(p))
    older = here * sum(count // share for count in counts[:-1])
    if p.structure == "grammar":  # an item may fit itself, and two of a level each other
        return older + max(0, here * (here // share - 1)) // 2
    odd, even = here // 2, -(-here // 2)
    return older + min(odd * even, odd * (odd - 1) // 2 + even * (even - 1) // 2)


def _needed(p: SimpleNamespace) -> int:
    """Pairs of one parity that a level of a lineage needs."""
    return -(-p.width // 2) * p.recipes


# ------------------------------------------------------------------------------------------------- recipes
@kernel
def product_above(params, task, a, b):
    """What `a`, as the item of the level just below, makes with `b`."""
    level = level_of(params, a) + 1
    if level <= params.levels:
        first, recipe = first_of(params, level, lineage_of(params, a)), task.recipe
        for item in range(first, first + params.width):
            for r in range(recipe.shape[1]):
                if recipe[item, r, 0] == a and recipe[item, r, 1] == b:
                    return item
    return NOTHING


@kernel
def product_of(params, task, x, y):
    """What two items make, in either order; NOTHING if they make nothing."""
    made = product_above(params, task, x, y)
    return made if made != NOTHING else product_above(params, task, y, x)


@kernel
def may_make(params, task, a, b):
    """Whether the grammar allows the pair; without a grammar every pair may work."""
    return params.structure == LOOKUP or task.fits[task.hole[a]] == task.shape[b]


def task_errors(p: SimpleNamespace, tasks: np.ndarray) -> TaskErrors:
    """Yield where rows are no trees of these parameters. Whatever the rules look up in a tree must be there."""
    recipe, items = tasks["recipe"].astype(int), items_of(p)
    wrong = (recipe < NOTHING) | (recipe >= items)
    yield "recipe", wrong, f"names an item that is not one of 0 to {items - 1} (-1: none)"
    level, lineage = levels_of(p), lineages_of(p)
    a, b = recipe[..., 0], recipe[..., 1]  # [task, item, recipe]
    made = (a != NOTHING) | (b != NOTHING)
    grows = (a != NOTHING) & (b != NOTHING) & (a != b) & (level[b] < level[:, None])
    grows &= (level[a] == level[:, None] - 1) & (lineage[a] == lineage[:, None])
    why = "must be first an item of the level just below in the same lineage, and second another item of any level below"
    yield "recipe", made & ~grows, why
    yield "recipe", made & _again(np.minimum(a, b) * items + np.maximum(a, b)), "is a pair that makes two things"
    wrong = (np.sort(tasks["fits"], axis=1) != np.arange(p.features)).any(axis=1)
    yield "fits", wrong, f"is no order of the numbers 0 to {p.features - 1}"
    for name in ("hole", "shape"):
        yield name, tasks[name] >= p.features, f"must be below features={p.features}"
    yield "parity", tasks["parity"] > 1, "must be 0 or 1"


def _again(pairs: np.ndarray) -> np.ndarray:
    """Whether each number has stood in its tree before, as bool of the shape [task, ...] of `pairs`."""
    flat = pairs.reshape(len(pairs), -1)
    order = np.argsort(flat, axis=1, kind="stable")
    again = np.zeros(flat.shape, np.bool_)
    np.put_along_axis(again, order[:, 1:], np.diff(np.take_along_axis(flat, order, axis=1)) == 0, axis=1)
    return again.reshape(pairs.shape)


# ------------------------------------------------------------------------------------------------- growing
@kernel
def grow(params, task, rng):
    """Draw a tree. It halts: what cannot be drawn by trying is looked for in order, and `tree_error` saw to it that it is."""
    task.parity = 1 if uniform(rng) < TEST_SHARE else 0
    draw_fits(params, task, rng)
    for lineage in range(params.lineages):
        draw_level(params, task, 0, lineage, rng)
    for level in range(1, params.levels + 1):
        for lineage in range(params.lineages):
            draw_level(params, task, level, lineage, rng)
        for k in range(params.width):  # by turns, so that no lineage takes all pairs of a crossover
            for lineage in range(params.lineages):
                for r in range(params.recipes):
                    draw_recipe(params, task, level, lineage, k, r, rng)


@kernel
def draw_fits(params, task, rng):
    """Draw which shape goes into which hole: a random permutation."""
    for i in range(params.features):
        task.fits[i] = i
    for i in range(params.features - 1, 0, -1):
        j = randint(rng, i + 1)
        kept = task.fits[i]
        task.fits[i] = task.fits[j]
        task.fits[j] = kept


@kernel
def draw_level(params, task, level, lineage, rng):
    """Draw which items of a level are dead ends, and their holes and shapes. Even and odd places get as many of each kind."""
    first, size = first_of(params, level, lineage), size_of(params, level)
    live = size if level == 0 else live_in(params)
    for k in range(size):
        task.live[first + k] = 1 if k < live else 0
        task.shape[first + k] = k // 2 % params.features
        task.hole[first + k] = randint(rng, params.features)
        for r in range(params.recipes):
            task.recipe[first + k, r, 0] = NOTHING
            task.recipe[first + k, r, 1] = NOTHING
    for k in range(size - 1, 1, -1):  # shuffle even places among themselves, and odd ones
        other = first + 2 * randint(rng, k // 2 + 1) + k % 2
        live_here, shape_here = task.live[first + k], task.shape[first + k]
        task.live[first + k] = task.live[other]
        task.shape[first + k] = task.shape[other]
        task.live[other] = live_here
        task.shape[other] = shape_here


@kernel
def draw_recipe(params, task, level, lineage, k, r, rng):
    """Draw a free pair for item k of a level: a few times at random, recent items preferred; then in order, from somewhere on.

    Where recipes are many, 25 pairs are drawn for each that is free. So what most of them fail by is asked first and all at
    once, since the processor would guess wrong about each single question; and places are those drawn, not found by dividing.
    """
    item, below, size = first_of(params, level, lineage) + k, first_of(params, level - 1, lineage), size_of(params, level - 1)
    crosses = params.crossover > 0 and level % max(params.crossover, 1) == 0
    odd = 1 + k + task.parity  # an odd number, if the places of both ingredients are added and are right
    for _attempt in range(64):
        x = randint(rng, size)
        older = level - 1
        while older > 0 and uniform(rng) >= params.recency:
            older -= 1
        other = lineage
        if crosses:
            other = (lineage + 1 + randint(rng, params.lineages - 1)) % params.lineages
        y = randint(rng, size_of(params, older))
        a, b = below + x, first_of(params, older, other) + y
        if task.live[a] & task.live[b] & (x + y + odd) and is_free(params, task, level, lineage, crosses, a, b):
            task.recipe[item, r, 0] = a
            task.recipe[item, r, 1] = b
            return
    older_items = first_of(params, level, 0)  # all items of lower levels
    offset = randint(rng, older_items)
    for n in range(older_items):
        b = (offset + n) % older_items
        if task.live[b] == 0 or (lineage_of(params, b) == lineage) == crosses:
            continue
        y = place_of(params, b)
        for x in range(size):
            a = below + x
            if task.live[a] & (x + y + odd) and is_free(params, task, level, lineage, crosses, a, b):
                task.recipe[item, r, 0] = a
                task.recipe[item, r, 1] = b
                return


@kernel
def is_free(params, task, level, lineage, crosses, a, b):
    """Whether `a`, from just below this level, and `b` may make something of it, and make nothing yet.

    Nothing of any other level can be made of them: `a` stands just below this one, and `b` no higher.
    """
    if a == b or not may_make(params, task, a, b):
        return False
    first = first_of(params, level, 0 if crosses else lineage)
    for item in range(first, first + params.width * (params.lineages if crosses else 1)):
        for r in range(params.recipes):
            x, y = task.recipe[item, r, 0], task.recipe[item, r, 1]
            if x + y == a + b and (x == a or x == b):  # noqa: SIM109 (a kernel has no tuples)
                return False
    return True


@kernel
def tree_meaning(params, task):
    """A hash of the recipes, by which the engine splits trees: those of parity 1 are test trees."""
    h = unsigned(0x9E3779B97F4A7C15)
    for item in range(params.lineages * params.bases, items_in(params)):
        for r in range(params.recipes):
            pair = unsigned(task.recipe[item, r, 0]) << unsigned(16) | unsigned(task.recipe[item, r, 1])
            h = mix(h ^ pair)
    return h // unsigned(5) * unsigned(5) + unsigned(1 - task.parity)
