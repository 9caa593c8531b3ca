"""Disguises: which action does what, and how the numbers of an observation are mixed, drawn with each task.

A disguise is written down by what it does, so that what does the same is the same: `does[a]` is what action a does in the
part, and `image[j]` says which number of the part's observation stands at place j.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable

import numpy as np

from metarl_envs.engine import Variant, kernel, normal, randint
from metarl_envs.engine.loops.trial import as_word
from metarl_envs.engine.splits import TEST, part_of
from metarl_envs.engine.streams import mix
from metarl_envs.families.mixture.parts import Parts

DISGUISES = ("none", "actions", "observations", "both", "projection")
#: What actions do that a part has no use for: what one of its own does, or nothing.
SURPLUS = ("mod", "noop")
IDLE = -1
#: A part with fewer different disguises than this has none that are unseen.
FEWEST_TO_DEAL = 50
#: Where the hash of a disguise begins.
_KEY = 0x5D9C0F4B


def hides_actions(disguise: str) -> bool:
    """Return whether actions are permuted."""
    return disguise in ("actions", "both")


def hides_observations(disguise: str) -> bool:
    """Return whether the numbers of an observation are permuted."""
    return disguise in ("observations", "both")


def undisguised(part: Variant, actions: int, surplus: str) -> np.ndarray:
    """Return what each of `actions` actions does in a part, int64 [action]: one of its own actions, or `IDLE`."""
    does = np.arange(actions)
    return does % part.actions if surplus == "mod" else np.where(does < part.actions, does, IDLE)


def in_order_of_appearance(does: np.ndarray) -> np.ndarray:
    """Return what actions do, int64 [task, action], with own actions renumbered by the first action that does each."""
    numbered = does.copy()
    for a in range(does.shape[1]):
        new = (numbered[:, :a].max(axis=1, initial=IDLE) + 1)[:, None]
        old = numbered[:, a : a + 1]
        later = numbered[:, a:]
        fresh = old >= new
        numbered[:, a:] = np.where(fresh & (later == old), new, np.where(fresh & (later == new), old, later))
    return numbered


def how_many(part: Variant, parts: Parts, disguise: str, surplus: str) -> float:
    """Return how many different disguises a task of a part can have; infinite where they are too many to be told."""
    if disguise == "projection":
        return math.inf
    count = orders(part, parts, surplus) if hides_actions(disguise) else 1
    if hides_observations(disguise):
        count *= images(part, parts)
    return float(count) if count < 2**63 else math.inf


def orders(part: Variant, parts: Parts, surplus: str) -> int:
    """Return in how many different orders the actions of a part may stand."""
    doing = Counter(undisguised(part, parts.actions, surplus).tolist())
    count = math.factorial(parts.actions) // math.prod(map(math.factorial, doing.values()))
    if part.family.exchangeable_actions:
        alike = Counter(times for own, times in doing.items() if own != IDLE)
        count //= math.prod(map(math.factorial, alike.values()))
    return count


def images(part: Variant, parts: Parts) -> int:
    """Return at how many different places, and with how many signs, the numbers of a part may be shown."""
    shown = math.prod(part.observation.shape)
    return math.perm(parts.length, shown) * 2**shown


# ------------------------------------------------------------------------------------------------- kernels
@kernel
def shuffle(values, rng):
    """Put values into another order, all orders alike (Fisher and Yates)."""
    for i in range(len(values) - 1):
        j = i + randint(rng, len(values) - i)
        kept = values[i]
        values[i] = values[j]
        values[j] = kept


@kernel
def renumber(does):
    """Number own actions by the first action that does each: see `in_order_of_appearance`."""
    new = 0
    for a in range(len(does)):
        old = does[a]
        if old >= new:
            for b in range(a, len(does)):
                if does[b] == old:
                    does[b] = new
                elif does[b] == new:
                    does[b] = old
            new += 1


@kernel
def turn_some_around(image, rng):
    """Give every number a sign, both alike."""
    for j in range(len(image)):
        if image[j] != 0 and randint(rng, 2) == 1:
            image[j] = -image[j]


@kernel
def draw_projection(projection, length, rng):
    """Draw `length` columns of unit length that stand at right angles, all directions alike (Gram and Schmidt)."""
    size = len(projection)
    for i in range(length):
        for j in range(size):
            projection[j, i] = normal(rng)
        for before in range(i):
            along = 0.0
            for j in range(size):
                along += projection[j, i] * projection[j, before]
            for j in range(size):
                projection[j, i] -= along * projection[j, before]
        total = 0.0
        for j in range(size):
            total += projection[j, i] * projection[j, i]
        for j in range(size):
            projection[j, i] /= math.sqrt(total)


@kernel
def hash_of_numbers(numbers, h):
    """Mix small whole numbers into a hash."""
    for i in range(len(numbers)):
        h = mix(h ^ as_word(numbers[i]))
    return h


@kernel
def hash_of_projection(projection, h):
    """Mix the numbers of a projection into a hash, to twelve binary digits: a projection nearby is another one anyway."""
    for i in range(len(projection)):
        for j in range(len(projection)):
            h = mix(h ^ as_word(math.floor(4096.0 * projection[i, j])))
    return h


def drawing(parts: Parts, disguise: str, surplus: str) -> Callable:
    """Return the kernel `draw(task, rng)`, which draws the disguise of a task of the part `task.which`."""
    does = np.stack([undisguised(part, parts.actions, surplus) for part in parts.by_name.values()])
    lengths = np.array([math.prod(part.observation.shape) for part in parts.by_name.values()])
    alike = np.array([part.family.exchangeable_actions for part in parts.by_name.values()])

    @kernel
    def plain_actions(task, rng):
        for a in range(len(task.does)):
            task.does[a] = does[task.which, a]

    @kernel
    def shuffled_actions(task, rng):
        plain_actions(task, rng)
        shuffle(task.does, rng)
        if alike[task.which]:
            renumber(task.does)

    @kernel
    def shuffled_numbers(task, rng):
        for j in range(len(task.image)):
            task.image[j] = (j + 1) * (j < lengths[task.which])
        shuffle(task.image, rng)
        turn_some_around(task.image, rng)

    @kernel
    def projected_numbers(task, rng):
        draw_projection(task.projection, lengths[task.which], rng)

    actions = shuffled_actions if hides_actions(disguise) else plain_actions
    if not hides_observations(disguise) and disguise != "projection":
        return actions
    numbers = projected_numbers if disguise == "projection" else shuffled_numbers

    @kernel
    def both(task, rng):
        actions(task, rng)
        numbers(task, rng)

    return both


def is_unseen(disguise: str) -> Callable:
    """Return the kernel that says of a task whether its disguise, whatever it disguises, is one of those that are held out."""
    if disguise == "projection":

        @kernel
        def unseen(task):
            return part_of(hash_of_projection(task.projection, as_word(_KEY))) == TEST

    elif hides_observations(disguise):

        @kernel
        def unseen(task):
            return part_of(hash_of_numbers(task.image, hash_of_numbers(task.does, as_word(_KEY)))) == TEST

    else:

        @kernel
        def unseen(task):
            return part_of(hash_of_numbers(task.does, as_word(_KEY))) == TEST

    return unseen


def scaled_sight(part: Variant, lowest: np.ndarray, scale: np.ndarray) -> Callable:
    """Return the kernel `look(params, task, state, seen)`: what is seen in a part, between 0 and 1, with zeros behind it."""
    observe, shown = part.kernel("observe"), len(lowest)

    @kernel
    def look(params, task, state, seen):
        observe(params, task, state, seen)
        for i in range(shown):
            seen[i] = (seen[i] - lowest[i]) * scale[i]
        for i in range(shown, len(seen)):
            seen[i] = 0.0

    return look


@kernel
def number_before_projection(disguised, obs, i):
    """Number i of what is shown, turned back."""
    total = 0.0
    for j in range(len(obs)):
        total += disguised.projection[j, i] * obs[j]
    return total


@kernel
def number_before_permutation(disguised, obs, i):
    """Number i of what is shown, in its own order and with its own sign."""
    total = 0.0
    for j in range(len(obs)):
        total += obs[j] * ((disguised.image[j] == i + 1) - (disguised.image[j] == -i - 1))
    return total


@kernel
def number_as_shown(disguised, obs, i):
    """Number i of what is shown as it is."""
    return obs[i] * 1.0


def undoing(disguise: str) -> Callable:
    """Return the kernel `number_at(disguised, obs, i)`: number i of what was seen in the part, between 0 and 1.

    `disguised` is a row with the fields of the disguise, of a task or of a memory.
    """
    if disguise == "projection":
        return number_before_projection
    return number_before_permutation if hides_observations(disguise) else number_as_shown


def showing(disguise: str) -> Callable | None:
    """Return the kernel `show(task, state)`, which disguises `state.plain` as `state.shown`; None if nothing is disguised."""
    if disguise == "projection":

        @kernel
        def show(task, state):
            for j in range(len(state.shown)):
                total = 0.0
                for i in range(len(state.plain)):
                    total += task.projection[j, i] * state.plain[i]
                state.shown[j] = total

        return show
    if hides_observations(disguise):

        @kernel
        def show(task, state):
            for j in range(len(state.shown)):
                place = task.image[j]
                state.shown[j] = 0.0
                if place > 0:
                    state.shown[j] = state.plain[place - 1]
                elif place < 0:
                    state.shown[j] = -state.plain[-place - 1]

        return show
    return None
