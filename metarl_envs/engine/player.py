"""What a compiled player declares: hyper-parameters, a row of memory, and three kernels."""

from __future__ import annotations

import functools
import importlib
from collections.abc import Callable, Mapping
from types import SimpleNamespace
from typing import Any, ClassVar, Literal, NamedTuple

import numpy as np

from metarl_envs.engine.compiling.kernels import kernel
from metarl_envs.engine.family import Variant
from metarl_envs.engine.parameters import Parameters
from metarl_envs.engine.records import record


@kernel
def prepare_nothing(hyper, memory, params, rng):
    """Prepare nothing at the start of a trial."""


@kernel
def prepare_nothing_for_task(hyper, memory, params, task, rng):
    """Prepare nothing at the start of a trial whose task is known."""


@kernel
def learn_nothing(hyper, memory, seen, action, reward, terminated, truncated, then, rng):
    """Learn nothing from a step."""


class Internal(NamedTuple):
    """An internal quantity of a player that a learning history can record at each step, as float32.

    Attributes:
        read: `kernel(hyper, memory, seen, action, out)` writes the numbers into `out`, a float32 array of one dimension.
        size: how many numbers there are for a player with hyper-parameters `p` on a family (None: one, and no axis).
        after: asked when the step has been learned from (a TD error), not when the action has been chosen (a value).
    """

    read: Callable
    size: Callable[[SimpleNamespace, Variant], int] | None = None
    after: bool = False


#: What a compiled player is shown; "record" is for a replay alone (see `histories.lives.Recorded`).
Observes = Literal["state", "observation", "world", "seat", "record"]


class Player:
    """A compiled player: whoever acts by kernels. Learners, references and the scripted agents of boxes are such players.

    Its memory is one row, which is empty when a lifetime begins and lasts until it ends. Kernels, over rows passed by reference:

    * `begin(hyper, memory, params, rng)`: a lifetime begins. `params` are the family's parameters.
    * `act(hyper, memory, seen, rng)` returns the action.
    * `learn(hyper, memory, seen, action, reward, terminated, truncated, then, rng)`: what came of it. `then` is the true
      last observation where an episode ended.

    Where actions are arrays (Box, MultiDiscrete), a player with `array_actions = True` writes the action into one more argument of
    `act`, the last, instead of returning it.

    What it is shown says `observes`:

    | `observes` | `seen` and `then` are | kernels that have other arguments |
    |---|---|---|
    | `"state"` | an observation's index (`Variant.state_index`) | |
    | `"observation"` | the array itself | |
    | `"world"` | the array itself; it is allowed to know the task | `begin(hyper, memory, params, task, rng)`, `act(hyper, memory, params, task, state, rng)` |
    | `"seat"` | nothing; it sits in seat i of a box, and reads of `state` what is told to agent i | `act(hyper, memory, params, task, state, i, rng)`; no `learn` |

    In a box `begin` is called again whenever the agent's memory is reset.
    """  # noqa: E501 (a table)

    params: ClassVar[Parameters] = Parameters()
    #: Only for bandits (families with one state).
    bandits_only: ClassVar[bool] = False
    #: It is run where it is named, and not beside others by default: a variant of another learner, or one that does not learn.
    named_only: ClassVar[bool] = False
    #: Its actions are arrays (Box, MultiDiscrete), not numbers.
    array_actions: ClassVar[bool] = False
    observes: ClassVar[Observes] = "state"
    #: The internal quantities that a history can record, by name.
    internals: ClassVar[Mapping[str, Internal]] = {}
    begin: ClassVar[Callable] = prepare_nothing
    act: ClassVar[Callable]
    learn: ClassVar[Callable] = learn_nothing

    def __init__(self, **hyper: Any):
        self.values = self.params.resolve(hyper, type(self).__name__)
        self.p = SimpleNamespace(**self.values)
        self.hyper = self.params.row(self.values)

    @staticmethod
    def memory(p: SimpleNamespace, variant: Variant) -> np.dtype:
        """Return the dtype of a memory row for a player with hyper-parameters `p` on a family."""
        return record()

    def bind(self, variant: Variant) -> Player:
        """Return the player for this family: itself, unless its kernels call some of the family's own."""
        return self

    def initial_memory(self, variant: Variant) -> np.ndarray:
        """Return the memory before a lifetime begins, as one row: zeros, unless something about the spaces must be known."""
        return np.zeros(1, self.memory(self.p, variant))

    def why_unsuitable(self, variant: Variant) -> str | None:
        """Return why the player cannot be used in this family, or None where it can."""
        if self.observes == "seat":
            return f"{type(self).__name__} sits in the seats of boxes (see metarl_envs.boxes.run), and {variant.name} is none"
        if bool(variant.action.shape) != self.array_actions:
            wanted = "array" if self.array_actions else "Discrete"
            return f"{type(self).__name__} needs {wanted} actions, and {variant.name} has {variant.action_space}"
        if self.observes == "state" and variant.num_states is None:
            return f"{type(self).__name__} needs numbered states, and {variant.name} has none"
        if self.bandits_only and variant.num_states != 1:
            return f"{type(self).__name__} is for bandits, and {variant.name} has {variant.num_states} states"
        return None

    def runs_by_default(self, variant: Variant) -> bool:
        """Return whether it is run here when no players are named: where it can be used and is worth a comparison."""
        return not self.named_only and self.why_unsuitable(variant) is None

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{name}={value!r}' for name, value in self.values.items())})"


class Oracle(Player):
    """A reference that knows the task. `begin` and `act` are given it; it learns nothing."""

    observes = "world"
    begin = prepare_nothing_for_task


def oracle(act: Callable, *, array_actions: bool = False) -> Oracle:
    """Return a reference that knows the task and acts by a kernel alone.

    >>> references = {"oracle": oracle(press_the_code)}

    It prepares, remembers and learns nothing; a reference that does is a subclass of `Oracle`.

    Args:
        act: the kernel, `act(hyper, memory, params, task, state, rng)`, at the head of a module. Its name is that of the
            reference: `PressTheCode()`.
        array_actions: actions are arrays, so that the kernel has one more argument (see `Player`).
    """
    return _oracle_by(act, array_actions)()


@functools.cache
def _oracle_by(act: Callable, array_actions: bool) -> type[Oracle]:
    name = "".join(word.capitalize() for word in act.__name__.split("_"))
    told = {"__doc__": act.__doc__, "__module__": act.__module__, "act": act, "array_actions": array_actions}
    return type(
        name, (Oracle,), {**told, "__reduce__": lambda self: (_oracle_at, (act.__module__, act.__name__, array_actions))}
    )


def _oracle_at(module: str, name: str, array_actions: bool) -> Oracle:
    """What `oracle` has returned in another process."""
    return oracle(getattr(importlib.import_module(module), name), array_actions=array_actions)


def references_of(variant: Variant) -> dict[str, Player]:
    """Return the references that a family binds, by name; TypeError where one is no `Player`."""
    references = {**variant.family.references, **variant.family.more_references(variant.p)}
    for name, reference in references.items():
        if not isinstance(reference, Player):
            raise TypeError(f"reference {name!r} of {variant.name} is {reference!r}, and must be a Player")
    return references


def heuristics_of(variant: Variant) -> dict[str, Player]:
    """Return those of a family's references that are heuristics and can play at these parameters, by name."""
    references = references_of(variant)
    known = {name: references[name] for name in variant.family.heuristics}
    return {name: player for name, player in known.items() if player.why_unsuitable(variant) is None}
