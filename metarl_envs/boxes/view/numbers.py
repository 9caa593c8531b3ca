"""What an agent sees as numbers, float32 in [0, 1], and what it may do, as 0 or 1.

First, of each item, whether it is held; then planes of one number an item: those of mechanisms, and in a grammar the hole and
the shape of what is held. Then the senses, and the other numbers of mechanisms, in the order of `MECHANISMS`.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from types import SimpleNamespace
from typing import NamedTuple

from metarl_envs.boxes.world.core import ABSENT, VERBS
from metarl_envs.boxes.world.mechanism import Mechanism, Numbers
from metarl_envs.boxes.world.mechanisms import (
    able_in,
    anew_in,
    as_kernels_see,
    mechanisms_of,
    table_in,
    used_in,
)
from metarl_envs.boxes.world.tree import GRAMMAR, NOTHING, items_in, level_of
from metarl_envs.boxes.world.verbs import Table, added, masking
from metarl_envs.engine import kernel
from metarl_envs.engine.compiling.kernels import glue, plain, together, unsigned

#: What an agent senses of itself and of time, in order; the last of them is of `world.days`.
SENSES = ("hand is full", "has tried", "it worked", "level made", "copied", "forgot", "time left", "day left")
_OWN_SENSES = 7


def senses_of(p: SimpleNamespace) -> int:
    """Where the numbers about items end in a view, and senses begin."""
    return plain(layout(mechanisms_of(p)).senses_at)(as_kernels_see(p))


def view_length(p: SimpleNamespace) -> int:
    """How many numbers an agent sees, without the action mask behind them."""
    return plain(layout(mechanisms_of(p)).size)(as_kernels_see(p))


@functools.cache
def layout(mechanisms: tuple[Mechanism, ...]) -> SimpleNamespace:
    """Kernels that say where what stands in a view: `planes`, `senses_at` and `size`, each `(params)`."""
    seen = [mechanism.seen for mechanism in mechanisms if mechanism.seen]
    other_planes, numbers = added(each.planes for each in seen if each.planes), added(each.count for each in seen)

    @kernel
    def planes(params):
        """How many numbers an agent sees of each item."""
        return 1 + other_planes(params) + (2 if params.structure == GRAMMAR else 0)

    @kernel
    def senses_at(params):
        """Where the numbers about items end."""
        return planes(params) * items_in(params)

    @kernel
    def size(params):
        """How many numbers an agent sees."""
        return senses_at(params) + _OWN_SENSES + numbers(params)

    return SimpleNamespace(planes=planes, senses_at=senses_at, size=size)


@functools.cache
def numbers_at(mechanisms: tuple[Mechanism, ...], mechanism: Mechanism) -> Callable:
    """The kernel `(params)` that says where the numbers of one mechanism begin in a view (its planes aside)."""
    senses_at = layout(mechanisms).senses_at
    before = added(each.seen.count for each in mechanisms[: mechanisms.index(mechanism)] if each.seen)

    @kernel
    def begins(params):
        """Where they begin."""
        return senses_at(params) + _OWN_SENSES + before(params)

    return begins


def numbers_of(p: SimpleNamespace, mechanism: Mechanism) -> slice:
    """Where the numbers of one mechanism stand in what an agent sees under parameters `p`."""
    params, seen = as_kernels_see(p), mechanism.seen
    first = plain(numbers_at(mechanisms_of(p), mechanism))(params)
    return slice(first, first + plain(seen.count)(params) if seen else first)


# ------------------------------------------------------------------------------------------------- looking
class Sights(NamedTuple):
    """The kernels that write what is seen in a box.

    Attributes:
        look: `look(params, task, state, i, view, mask)`: what agent i sees and may do, written anew.
        look_again: the same, where `view` and `mask` hold what it saw and might do one step before, or now.
        see: `see(params, task, state, i, out)`: view and mask in one row.
        look_around: `look_around(params, task, state, obs)`: the views and masks of all agents.
    """

    look: Callable
    look_again: Callable
    see: Callable
    look_around: Callable


def sights_of(p: SimpleNamespace) -> Sights:
    """The kernels that write what is seen in a box with parameters `p`."""
    return sights(mechanisms_of(p), used_in(p), table_in(p)[len(VERBS) :])


@functools.cache
def sights(mechanisms: tuple[Mechanism, ...], used: tuple[Mechanism, ...], verbs: Table) -> Sights:
    """The kernels that write what is seen in a box of mechanisms, of which some may not be used, and verbs beside the core."""
    where = layout(mechanisms)
    size, senses_at = where.size, where.senses_at
    show, show_again, strike = (_part(mechanisms, used, name) for name in ("show", "show_again", "strike"))
    changed = [mechanism.seen.changed for mechanism in used if mechanism.seen and mechanism.seen.changed]
    look_at_changed = together(map(_looking_at, changed), _look_at_both, _look_no_further)
    mask_verbs = masking(verbs)
    able, anew = able_in(used), anew_in(used)

    @kernel
    def look(params, task, state, i, view, mask):
        """What agent i sees, written anew into `view`, float32 in [0, 1]; and what it may do, as 0 or 1, into `mask`."""
        items, hand, held = items_in(params), state.hand[i], state.held[i]
        for item in range(unsigned(items)):
            view[item] = 0.5 * min(held[item], 1)
        for item in range(unsigned(items)):
            mask[item] = min(held[item], 1)
        for at in range(unsigned(items), unsigned(size(params))):
            view[at] = 0.0
        if params.structure == GRAMMAR:
            for item in range(items):
                if held[item] != ABSENT:
                    show_kind(params, task, item, view, senses_at(params))
        if hand != NOTHING:
            view[hand] = 1.0
            mask[hand] = 0
        at = senses_at(params)
        sense(params, state, i, view, at)
        show(params, state, i, view, items, at + _OWN_SENSES)
        mask[items] = 1  # waiting
        mask_verbs(params, state, i, mask, items + 1)
        if not able(params, state, i):
            for action in range(len(mask)):
                mask[action] = action == items

    @kernel
    def look_again(params, task, state, i, view, mask):
        """Bring up to date what agent i saw and might do one step before, or now: `view` and `mask`, as `look` writes them.

        In one step few items change for an agent: what it took up; what it put back, and what came of it; what anybody newly
        made, which it may have copied. To look at one more does no harm.
        """
        if state.forgot[i] != 0 or anew(params, state, i):
            look(params, task, state, i, view, mask)
            return
        items, hand, at = items_in(params), state.hand[i], senses_at(params)
        strike(params, state, i, view, items, at + _OWN_SENSES)
        if hand != NOTHING:  # there was no experiment
            look_at(params, task, state, i, hand, view, mask, at)
        elif state.tried[i, 0] != NOTHING:
            look_at(params, task, state, i, state.tried[i, 0], view, mask, at)
            if state.seemed[i] != NOTHING:
                look_at(params, task, state, i, state.seemed[i], view, mask, at)
        for j in range(params.agents):
            if state.made[j] != NOTHING:
                look_at(params, task, state, i, state.made[j], view, mask, at)
        look_at_changed(params, task, state, i, view, mask, at)
        sense(params, state, i, view, at)
        show_again(params, state, i, view, items, at + _OWN_SENSES)
        mask_verbs(params, state, i, mask, items + 1)

    @kernel
    def see(params, task, state, i, out):
        """What agent i sees, then its action mask, as float32 in [0, 1]."""
        look(params, task, state, i, out, out[size(params) :])

    @kernel
    def look_around(params, task, state, obs):
        """What every agent sees and may do, one row an agent."""
        for i in range(params.agents):
            look(params, task, state, i, obs.observation[i], obs.action_mask[i])

    return Sights(look, look_again, see, look_around)


@kernel
def look_at(params, task, state, i, item, view, mask, senses_at):
    """What agent i sees of one item."""
    held, in_hand = state.held[i, item] != ABSENT, state.hand[i] == item
    view[item] = 1.0 if in_hand else (0.5 if held else 0.0)
    mask[item] = 1 if held and not in_hand else 0
    if params.structure == GRAMMAR and held:
        show_kind(params, task, item, view, senses_at)


@kernel
def show_kind(params, task, item, view, senses_at):
    """The hole and the shape of an item that is held, each in a plane of its own: its number, from 1, over `features`."""
    at = senses_at - 2 * items_in(params) + item
    view[at] = (task.hole[item] + 1) / params.features
    view[at + items_in(params)] = (task.shape[item] + 1) / params.features


@kernel
def sense(params, state, i, view, at):
    """The numbers that `SENSES` names, but for those of mechanisms."""
    seemed = state.seemed[i]
    view[at] = 1.0 if state.hand[i] != NOTHING else 0.0
    view[at + 1] = 1.0 if state.tried[i, 0] != NOTHING else 0.0
    view[at + 2] = 1.0 if seemed != NOTHING else 0.0
    view[at + 3] = level_of(params, seemed) / params.levels if seemed != NOTHING else 0.0
    view[at + 4] = min(1.0, state.gained[i] / 4.0)
    view[at + 5] = state.forgot[i]
    view[at + 6] = 1.0 - state.t / params.horizon


# ------------------------------------------------------------------------------------------------- parts of mechanisms
def _part(mechanisms: tuple[Mechanism, ...], used: tuple[Mechanism, ...], name: str) -> Callable:
    """One kernel out of the `show`, `show_again` or `strike` of all mechanisms, each in its place of the view."""

    def nothing(params, state, i, view, plane, at):
        pass

    rest = None
    for mechanism in reversed(mechanisms):
        if seen := mechanism.seen:
            own = getattr(seen, name) or (seen.show if name == "show_again" else None)
            rest = _first(seen, own if mechanism in used else None, rest)
    return rest or glue(nothing)


def _first(seen: Numbers, own: Callable | None, rest: Callable | None) -> Callable | None:
    """What comes first, and then the rest, in its place; None where there is neither."""
    if rest is None:
        return own
    planes, count = seen.planes or _no_planes, seen.count

    def go_on(params, state, i, view, plane, at):
        rest(params, state, i, view, plane + planes(params) * items_in(params), at + count(params))

    if own is None:
        return glue(go_on)

    def show_and_go_on(params, state, i, view, plane, at):
        own(params, state, i, view, plane, at)
        rest(params, state, i, view, plane + planes(params) * items_in(params), at + count(params))

    return glue(show_and_go_on)


@glue
def _no_planes(params):
    """Nothing is seen of single items."""
    return 0


def _look_no_further(params, task, state, i, view, mask, senses_at):
    pass


def _looking_at(changed: Callable) -> Callable:
    """What looks at an item that changed."""

    def look_at_one(params, task, state, i, view, mask, senses_at):
        item = changed(params, state, i)
        if item != NOTHING:
            look_at(params, task, state, i, item, view, mask, senses_at)

    return glue(look_at_one)


def _look_at_both(first: Callable, second: Callable) -> Callable:
    def look_at_both(params, task, state, i, view, mask, senses_at):
        first(params, task, state, i, view, mask, senses_at)
        second(params, task, state, i, view, mask, senses_at)

    return look_at_both
