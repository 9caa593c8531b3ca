"""How a box begins, and one step of it: what the core does, and in its places the hooks of mechanisms."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable
from dataclasses import replace
from types import SimpleNamespace

from metarl_envs.boxes.world.core import forget_core, open_core, paying
from metarl_envs.boxes.world.lives import LIVES
from metarl_envs.boxes.world.mechanism import Mechanism
from metarl_envs.boxes.world.mechanisms import able_in, chance_in, credit_in, due_in, table_in, used_in
from metarl_envs.boxes.world.texts import are_texts, hearing
from metarl_envs.boxes.world.tree import NOTHING, items_in
from metarl_envs.boxes.world.verbs import Table, acting, contending
from metarl_envs.engine import kernel
from metarl_envs.engine.compiling.kernels import together


def open_of(p: SimpleNamespace) -> Callable:
    """How a box begins under parameters `p`."""
    return opening(used_in(p))


def step_of(p: SimpleNamespace) -> Callable:
    """One step under parameters `p`; `actions` are int [agents], or, where they hold text, int [agents, 1 + bytes]."""
    step = stepping(used_in(p), table_in(p))
    return hearing(step) if are_texts(p) else step


@functools.cache
def opening(mechanisms: tuple[Mechanism, ...]) -> Callable:
    """The kernel `open_box(params, task, state, rng)` of a box of the core and mechanisms."""
    open_mechanisms, forget = in_turn(each.open for each in mechanisms), forgetting(mechanisms)

    @kernel
    def open_box(params, task, state, rng):
        """Begin: everybody holds the bases of all lineages, and nothing is known."""
        open_core(params, task, state, rng)
        open_mechanisms(params, task, state, rng)
        for i in range(params.agents):
            forget(params, state, i)
            state.forgot[i] = 1

    return open_box


@functools.cache
def stepping(mechanisms: tuple[Mechanism, ...], verbs: Table) -> Callable:
    """The kernel `live_one_step(params, task, state, actions, rng)` of a box of the core and mechanisms, and of these verbs."""
    table = with_luck(verbs, mechanisms)
    act, contend, forget = acting(table), contending(table), forgetting(mechanisms)
    able, pay = able_in(mechanisms), paying(due_in(mechanisms), credit_in(mechanisms))
    prepare, settle = in_turn(each.before_step for each in mechanisms), in_turn(each.settle for each in mechanisms)
    share, move_on = in_turn(each.share for each in mechanisms), in_turn(each.after_step for each in mechanisms)
    begin_lives = bearing(mechanisms)

    @kernel
    def live_one_step(params, task, state, actions, rng):
        """All act; what was newly made is paid, seen and copied; then the day may end. Returns the sum of rewards."""
        prepare(params, task, state, rng)
        for i in range(params.agents):
            state.made[i] = NOTHING
            state.forgot[i] = 0
            if able(params, state, i):
                act(params, task, state, i, actions[i], rng)
            elif actions[i] != items_in(params):
                state.illegal[i] += 1
        contend(params, state, actions)
        settle(params, task, state, rng)
        paid = pay(params, state)
        for i in range(params.agents):
            state.gained[i] = 0
        share(params, task, state, rng)
        state.t += 1
        move_on(params, task, state, rng)
        for i in range(params.agents):
            if state.forgot[i] != 0:
                forget(params, state, i)
        begin_lives(params, task, state, rng)
        return paid, False

    return live_one_step


@functools.cache
def forgetting(mechanisms: tuple[Mechanism, ...]) -> Callable:
    """The kernel `forget(params, state, i)`: agent i loses what it has. What is written stays."""
    forget = forget_core
    for mechanism in mechanisms:
        if mechanism.forget:
            forget = _both_forget(forget, mechanism.forget)
    return forget


def _both_forget(first: Callable, second: Callable) -> Callable:
    @kernel
    def forget(params, state, i):
        """Lose what one has."""
        first(params, state, i)
        second(params, state, i)

    return forget


@functools.cache
def bearing(mechanisms: tuple[Mechanism, ...]) -> Callable:
    """The kernel `begin_lives(params, task, state, rng)`: those who are born now begin; nobody is where there are no lives."""
    hooks = [each.birth for each in mechanisms if each.birth]
    if LIVES not in mechanisms:
        return in_turn(())
    begin = functools.reduce(_both_begin, hooks)

    @kernel
    def begin_lives(params, task, state, rng):
        """Whoever is born in this step begins."""
        for i in range(params.agents):
            if state.born[i] == state.t:
                begin(params, state, i, rng)

    return begin_lives


def _both_begin(first: Callable, second: Callable) -> Callable:
    @kernel
    def begin(params, state, i, rng):
        """Begin to live."""
        first(params, state, i, rng)
        second(params, state, i, rng)

    return begin


def with_luck(table: Table, mechanisms: tuple[Mechanism, ...]) -> Table:
    """The verbs, of which those that experiment succeed by the chance that mechanisms give it, if any does."""
    if not any(mechanism.chance for mechanism in mechanisms):
        return table
    chance = chance_in(mechanisms)
    return tuple(replace(verb, effect=verb.by_chance(chance)) if verb.by_chance else verb for verb in table)


def in_turn(hooks: Iterable[Callable | None]) -> Callable:
    """One hook out of several, each called with `(params, task, state, rng)`."""

    def nothing(params, task, state, rng):
        pass

    def both(first, second):
        def one_after_the_other(params, task, state, rng):
            first(params, task, state, rng)
            second(params, task, state, rng)

        return one_after_the_other

    return together(hooks, both, nothing)
