"""All mechanisms, in the order in which their verbs are numbered and what is seen of them stands in a view."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from types import SimpleNamespace
from typing import Any

from metarl_envs.boxes.world.claims import CLAIMS
from metarl_envs.boxes.world.core import EXPERIMENTS, PARAMETERS, VERBS
from metarl_envs.boxes.world.days import DAYS
from metarl_envs.boxes.world.hazard import HAZARD
from metarl_envs.boxes.world.lives import LIVES
from metarl_envs.boxes.world.mechanism import Mechanism
from metarl_envs.boxes.world.notes import NOTES
from metarl_envs.boxes.world.symbols import SYMBOLS
from metarl_envs.boxes.world.texts import TEXTS
from metarl_envs.boxes.world.topology import TOPOLOGY
from metarl_envs.boxes.world.tree import tree_error
from metarl_envs.boxes.world.verbs import Table, Verb, Verbs, counting, legality
from metarl_envs.engine import Choice, Parameters, Preset
from metarl_envs.engine.compiling.kernels import together

#: To add a mechanism, write its file and add it here: verbs of later ones have higher numbers.
MECHANISMS = (DAYS, NOTES, SYMBOLS, TEXTS, TOPOLOGY, LIVES, HAZARD, CLAIMS)
#: Those that every box has, though they may be turned off (`day=0`, `notes=0`, `agents=1`): pictures, words and measures of all
#: boxes ask for what they do.
ALWAYS = {"DAYS": DAYS, "NOTES": NOTES, "TOPOLOGY": TOPOLOGY}
#: What there is to choose from, by the name of the parameter.
_CHOICES = {
    name: parameter.names
    for parameters in (PARAMETERS, *(mechanism.parameters for mechanism in MECHANISMS))
    for name, parameter in parameters.items()
    if isinstance(parameter, Choice)
}


def box_parameters(*mechanisms: Mechanism, **presets: Mapping[str, Any]) -> Parameters:
    """The parameters of a box of the core and these mechanisms, which a scenario names in the order of its page.

    `presets` are names for several values at once: `preset="short"` stands for what `short` sets.

    Raises:
        ValueError: a mechanism is missing that every box has.
    """
    if missing := [name for name, mechanism in ALWAYS.items() if mechanism not in mechanisms]:
        needed = ", ".join(ALWAYS)
        raise ValueError(f"a box needs {missing[0]} too: box_parameters({needed}, ...); its parameters can turn it off")
    of_each = {name: parameter for mechanism in mechanisms for name, parameter in mechanism.parameters.items()}
    return Parameters(preset=Preset.of(**presets), **PARAMETERS, **of_each, **EXPERIMENTS)


def as_kernels_see(p: SimpleNamespace) -> SimpleNamespace:
    """Parameters `p` as kernels have them, for their plain forms: a choice is its place in the list."""
    numbers = {name: names.index(getattr(p, name)) for name, names in _CHOICES.items() if hasattr(p, name)}
    return SimpleNamespace(**{**vars(p), **numbers})


def mechanisms_of(p: SimpleNamespace) -> tuple[Mechanism, ...]:
    """The mechanisms of a box with parameters `p`: those whose parameters it has."""
    return tuple(mechanism for mechanism in MECHANISMS if mechanism.parameters.keys() <= vars(p).keys())


def used_in(p: SimpleNamespace) -> tuple[Mechanism, ...]:
    """The mechanisms that do anything under parameters `p`."""
    return tuple(mechanism for mechanism in mechanisms_of(p) if mechanism.used(p))


def table_of(mechanisms: tuple[Mechanism, ...]) -> Table:
    """The verbs of the core and of mechanisms."""
    return (*VERBS, *(verb for mechanism in mechanisms for verb in mechanism.verbs))


def table_in(p: SimpleNamespace) -> Table:
    """The verbs that are used under parameters `p`: the others have no actions."""
    return tuple(verb for verb in table_of(used_in(p)) if verb.used(p))


def verbs_of(p: SimpleNamespace) -> Verbs:
    """The verbs under parameters `p`, with the numbers of their actions."""
    return Verbs(table_of(mechanisms_of(p)), as_kernels_see(p))


def box_error(p: SimpleNamespace) -> str | None:
    """Why parameters do not go together, or None."""
    problems = (mechanism.error(p) for mechanism in mechanisms_of(p))
    return next((problem for problem in problems if problem), None) or tree_error(p)


def begins_at(verb: Verb) -> Callable:
    """The kernel `(params)` that gives the number of a verb's first action, in boxes of any kind that have it.

    Of a verb of which others that a box may lack come before, see `begins_in`.
    """
    return begins_in(MECHANISMS, verb)


@functools.cache
def begins_in(mechanisms: tuple[Mechanism, ...], verb: Verb) -> Callable:
    """The same in boxes of these mechanisms."""
    table = table_of(mechanisms)
    return counting(table[: table.index(verb)])


@functools.cache
def legality_in(mechanisms: tuple[Mechanism, ...]) -> Callable:
    """The kernel `is_legal(params, state, i, action)` in boxes of these mechanisms, for agents who are able to act."""
    return legality(table_of(mechanisms))


@functools.cache
def action_count_in(mechanisms: tuple[Mechanism, ...]) -> Callable:
    """The kernel `action_count(params)` in boxes of these mechanisms."""
    return counting(table_of(mechanisms))


# ------------------------------------------------------------------------------------------------- what mechanisms decide
@functools.cache
def able_in(mechanisms: tuple[Mechanism, ...]) -> Callable:
    """The kernel `able(params, state, i)`: whether agent i can do anything but wait."""

    def always(params, state, i):
        return True

    def both(one, other):
        return lambda params, state, i: one(params, state, i) and other(params, state, i)

    return together((mechanism.able for mechanism in mechanisms), both, always)


@functools.cache
def anew_in(mechanisms: tuple[Mechanism, ...]) -> Callable:
    """The kernel `anew(params, state, i)`: whether agent i must look at everything anew."""

    def never(params, state, i):
        return False

    def either(one, other):
        return lambda params, state, i: one(params, state, i) or other(params, state, i)

    return together((mechanism.anew for mechanism in mechanisms), either, never)


@functools.cache
def due_in(mechanisms: tuple[Mechanism, ...]) -> Callable:
    """The kernel `due(params, state, i, item)`: what share of its worth agent i is paid for having newly made an item."""

    def all_of_it(params, state, i, item):
        return 1.0

    def product(one, other):
        return lambda params, state, i, item: one(params, state, i, item) * other(params, state, i, item)

    return together((mechanism.due for mechanism in mechanisms), product, all_of_it)


@functools.cache
def credit_in(mechanisms: tuple[Mechanism, ...]) -> Callable:
    """The kernel `credit(params, state, i)`: what agent i is paid in this step beside what it made."""

    def nothing(params, state, i):
        return 0.0

    def both(one, other):
        return lambda params, state, i: one(params, state, i) + other(params, state, i)

    return together((mechanism.credit for mechanism in mechanisms), both, nothing)


@functools.cache
def chance_in(mechanisms: tuple[Mechanism, ...]) -> Callable:
    """The kernel `chance(params, state, i)`: with what chance a right pair makes its product for agent i."""

    def certain(params, state, i):
        return 1.0

    def product(one, other):
        return lambda params, state, i: one(params, state, i) * other(params, state, i)

    return together((mechanism.chance for mechanism in mechanisms), product, certain)
