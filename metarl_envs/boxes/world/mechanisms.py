"""All mechanisms, in the order in which their verbs are numbered and what is seen of them stands in a view."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import SimpleNamespace
from typing import Any

from metarl_envs.boxes.world.core import EXPERIMENTS, PARAMETERS, VERBS
from metarl_envs.boxes.world.days import DAYS
from metarl_envs.boxes.world.lives import LIVES
from metarl_envs.boxes.world.mechanism import Mechanism
from metarl_envs.boxes.world.notes import NOTES
from metarl_envs.boxes.world.topology import TOPOLOGY
from metarl_envs.boxes.world.tree import tree_error
from metarl_envs.boxes.world.verbs import Table, Verb, Verbs, counting, legality
from metarl_envs.engine import Choice, Parameters, Preset

#: To add a mechanism, write its file and add it here: verbs of later ones have higher numbers.
MECHANISMS = (DAYS, NOTES, TOPOLOGY, LIVES)
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
    """
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


def verbs_of(p: SimpleNamespace) -> Verbs:
    """The verbs under parameters `p`, with the numbers of their actions."""
    return Verbs(table_of(mechanisms_of(p)), as_kernels_see(p))


def box_error(p: SimpleNamespace) -> str | None:
    """Why parameters do not go together, or None."""
    problems = (mechanism.error(p) for mechanism in mechanisms_of(p))
    return next((problem for problem in problems if problem), None) or tree_error(p)


def begins_at(verb: Verb) -> Callable:
    """The kernel `(params)` that gives the number of a verb's first action, in boxes of any kind."""
    table = table_of(MECHANISMS)
    return counting(table[: table.index(verb)])


#: Kernels for whoever plays in boxes of any kind: whether an action would do something, and how many there are.
is_legal, action_count = legality(table_of(MECHANISMS)), counting(table_of(MECHANISMS))
