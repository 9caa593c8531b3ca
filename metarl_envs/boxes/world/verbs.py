"""Verbs: what an agent can do, one entry each; and what follows from a table of them.

A table is a tuple of verbs. Its order is that of the actions: the first verb's actions come first, as many as it `count`s.
From it follow action numbers, masks and the kernel that acts (here), sentences and their grammar (`view.words`), keys
(`envs.seat`), and how a run is told (`study.replay`). Where a verb is there, and in no other place, is it spelled out.

Kernels close over the entries of a table one after the other, so that what is not in it is not compiled, and the chain becomes
one piece of machine code.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

from metarl_envs.engine import kernel
from metarl_envs.engine.compiling.kernels import glue, plain, together


@dataclass(frozen=True)
class Key:
    """A key for people who play.

    Attributes:
        letter: as pygame names it.
        label: what it does, in a word or two.
        choose: which of the verb's actions it asks for now, `choose(p, state, i)`, in ordinary Python; -1: none.
        exists: whether there is such a key under parameters `p`, `exists(p)`.
    """

    letter: str
    label: str
    choose: Callable[[SimpleNamespace, Any, int], int]
    exists: Callable[[SimpleNamespace], bool] = lambda p: True


@dataclass(frozen=True, eq=False)
class Verb:
    """One thing that an agent can do, with all that is said of it.

    Attributes:
        name: its name, a word.
        sentence: how an agent says it. `{place}` stands for the action's number, from 1; `{agent}` for an agent, from 0 on;
            `{item}` for an item's word.
        told: how a run is told: who does so, `{place}`, `{agent}`, and `{experiment}` for the last one; empty: see `replay`.
        count: a kernel, `count(params)`: how many actions it is.
        legal: a kernel, `legal(params, state, i, k)`: whether its action k would do something for agent i.
        effect: a kernel, `effect(params, task, state, i, k, rng)`: what it does, to what is agent i's own.
        contend: a kernel, `contend(params, state, actions, i, k)`: what it does to what all share, once all have acted.
        key: for people who play.
        by_chance: of an experiment: its effect where a right pair makes its product by `chance(params, state, i)`, a kernel out
            of that one.
        used: whether there may be any such action under parameters `p`; where not, none of it is compiled.
    """

    name: str
    sentence: str
    told: str
    count: Callable
    legal: Callable
    effect: Callable
    contend: Callable | None = None
    key: Key | None = None
    by_chance: Callable | None = None
    used: Callable[[SimpleNamespace], bool] = lambda p: True

    @property
    def word(self) -> str:
        """The word that its sentence begins with."""
        return self.sentence.split()[0]


Table = tuple[Verb, ...]


# ------------------------------------------------------------------------------------------------- kernels of a table
@kernel
def no_effect(params, task, state, i, k, rng):
    """Do nothing."""


@functools.cache
def acting(table: Table) -> Callable:
    """The kernel `act(params, task, state, i, action, rng)`: what is not allowed does nothing, and is counted."""

    def is_none(params, task, state, i, k, rng):
        return True

    rest = glue(is_none)
    for verb in reversed(table):
        rest = _acting_first(verb.count, verb.legal, verb.effect, rest)
    do_if_allowed = rest

    @kernel
    def act(params, task, state, i, action, rng):
        """One agent's action, but for what all share."""
        if not do_if_allowed(params, task, state, i, action, rng):
            state.illegal[i] += 1

    return act


def _acting_first(count: Callable, legal: Callable, effect: Callable, rest: Callable) -> Callable:
    def act_or_pass_on(params, task, state, i, k, rng):
        n = count(params)
        if k >= n:
            return rest(params, task, state, i, k - n, rng)
        if legal(params, state, i, k):
            effect(params, task, state, i, k, rng)
            return True
        return False

    return glue(act_or_pass_on)


@functools.cache
def contending(table: Table) -> Callable:
    """The kernel `contend(params, state, actions)`: what agents do to what all share, once all have acted."""

    def nobody(params, state, actions, i):
        pass

    do_it = glue(nobody)
    for n, verb in enumerate(table):
        if verb.contend:
            do_it = _contending_next(do_it, counting(table[:n]), verb.count, verb.contend)
    whole = do_it

    @kernel
    def contend(params, state, actions):
        """Do what agents do to what all share."""
        for i in range(params.agents):
            whole(params, state, actions, i)

    return contend


def _contending_next(before: Callable, begins_at: Callable, count: Callable, effect: Callable) -> Callable:
    def contend_and_go_on(params, state, actions, i):
        before(params, state, actions, i)
        k = actions[i] - begins_at(params)
        if 0 <= k < count(params):
            effect(params, state, actions, i, k)

    return glue(contend_and_go_on)


@functools.cache
def legality(table: Table) -> Callable:
    """The kernel `is_legal(params, state, i, action)`: whether an action would do something."""

    def never(params, state, i, k):
        return False

    rest = glue(never)
    for verb in reversed(table):
        rest = _legal_first(verb.count, verb.legal, rest)
    ask = rest

    @kernel
    def is_legal(params, state, i, action):
        """Whether an action would do something: items that are held, entries that can be written, others to visit."""
        return ask(params, state, i, action)

    return is_legal


def _legal_first(count: Callable, legal: Callable, rest: Callable) -> Callable:
    def legal_or_ask_on(params, state, i, k):
        n = count(params)
        if k < n:
            return legal(params, state, i, k)
        return rest(params, state, i, k - n)

    return glue(legal_or_ask_on)


@functools.cache
def masking(table: Table) -> Callable:
    """The kernel `write_mask(params, state, i, mask, at)`: 1 or 0 for each action of the table, from `mask[at]` on."""

    def nothing(params, state, i, mask, at):
        pass

    rest = glue(nothing)
    for verb in reversed(table):
        rest = _masking_first(verb.count, verb.legal, rest)
    write = rest

    @kernel
    def write_mask(params, state, i, mask, at):
        """Write what agent i may do."""
        write(params, state, i, mask, at)

    return write_mask


def _masking_first(count: Callable, legal: Callable, rest: Callable) -> Callable:
    def mask_and_go_on(params, state, i, mask, at):
        n = count(params)
        for k in range(n):  # signed, as everywhere: for an index without a sign, `legal` would be compiled again
            mask[at + k] = legal(params, state, i, k)
        rest(params, state, i, mask, at + n)

    return glue(mask_and_go_on)


@functools.cache
def counting(table: Table) -> Callable:
    """The kernel `action_count(params)`: how many actions a table has."""
    return added(verb.count for verb in table)


def added(counts: Iterable[Callable]) -> Callable:
    """The kernel `(params)` that adds up some counts."""

    def none(params):
        return 0

    def both(one, other):
        return lambda params: one(params) + other(params)

    return together(counts, both, none)


# ------------------------------------------------------------------------------------------------- numbers of actions
class Verbs:
    """The verbs of a box with the numbers of their actions: `verbs.note` is that of its first, `verbs.end` how many there are.

    Args:
        table: the verbs.
        params: the parameters of the box, as kernels see them.
    """

    def __init__(self, table: Table, params: Any):
        self.table, self.params = table, params
        self.counts = {verb.name: int(plain(verb.count)(params)) for verb in table}
        self.first: dict[str, int] = {}
        self.end = 0
        for name, count in self.counts.items():
            self.first[name] = self.end
            self.end += count

    def __getattr__(self, name: str) -> int:
        try:
            return self.__dict__["first"][name]
        except KeyError:
            raise AttributeError(f"no verb is called {name!r}") from None

    def __iter__(self) -> Iterator[Verb]:
        """The verbs that there are, in the order of their actions."""
        return (verb for verb in self.table if self.counts[verb.name])

    def find(self, action: int) -> tuple[Verb, int]:
        """Which verb an action is, and which of its actions, from 0; ValueError for none."""
        for verb in self:
            k = action - self.first[verb.name]
            if 0 <= k < self.counts[verb.name]:
                return verb, k
        raise ValueError(f"action={action!r} is none of 0 to {self.end - 1}")
