"""What a learner declares: hyper-parameters, a row of memory, and three kernels."""

from __future__ import annotations

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
    """Begin a trial without anything to prepare."""


@kernel
def prepare_nothing_for_task(hyper, memory, params, task, rng):
    """Begin a trial of a known task without anything to prepare."""


@kernel
def learn_nothing(hyper, memory, seen, action, reward, terminated, truncated, then, rng):
    """Take no notice of what happened."""


class Internal(NamedTuple):
    """Something in a learner's mind that a learning history can record at each step, as float32.

    Attributes:
        tell: `kernel(hyper, memory, seen, action, out)` writes the numbers into `out`, a float32 array of one dimension.
        size: how many numbers there are for a learner with hyper-parameters `p` on a family (None: one, and no axis).
        after: asked when the step has been learned from (a TD error), not when the action has been chosen (a value).
    """

    tell: Callable
    size: Callable[[SimpleNamespace, Variant], int] | None = None
    after: bool = False


class Learner:
    """A source algorithm that learns inside one trial, or a reference policy that does not.

    Its memory lives as long as the trial and is zeroed before it. Kernels, all over rows passed by reference:

    * `begin(hyper, memory, params, rng)`: a trial begins. `params` are the family's parameters.
    * `act(hyper, memory, seen, rng)` returns the action.
    * `learn(hyper, memory, seen, action, reward, terminated, truncated, then, rng)`: what came of it. `then` is the true
      last observation where an episode ended.

    Where actions are arrays (Box, MultiDiscrete), a learner with `arrays = True` writes the action into one more argument of
    `act`, the last, instead of returning it.

    What `seen` and `then` are depends on `sees`: `"state"` is an observation's index (`Family.locate`), `"observation"`
    the array itself. A reference that is allowed to know has `sees = "task"`, and its kernels are
    `begin(hyper, memory, params, task, rng)` and `act(hyper, memory, params, task, state, rng)`.
    """

    params: ClassVar[Parameters] = Parameters()
    #: It lives in bandits alone.
    only_bandits: ClassVar[bool] = False
    #: It acts by arrays, not by numbers.
    arrays: ClassVar[bool] = False
    sees: ClassVar[Literal["state", "observation", "task"]] = "state"
    #: What of its mind can be recorded, by name.
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
        """The dtype of a memory row for a learner with hyper-parameters `p` on a family."""
        return record()

    def made_for(self, variant: Variant) -> Learner:
        """The learner as it lives in this family: itself, unless its kernels call some of the family's own."""
        return self

    def newborn(self, variant: Variant) -> np.ndarray:
        """The memory of a life that has not begun, as one row: zeros, unless something about the spaces must be known."""
        return np.zeros(1, self.memory(self.p, variant))

    def objection(self, variant: Variant) -> str | None:
        """Why the learner cannot live in this family, or None where it can."""
        if bool(variant.action.shape) != self.arrays:
            wanted = "array" if self.arrays else "Discrete"
            return f"{type(self).__name__} needs {wanted} actions, and {variant.name} has {variant.action_space}"
        if self.sees == "state" and variant.family.states(variant.p) is None:
            return f"{type(self).__name__} needs numbered states, and {variant.name} has none"
        if self.only_bandits and variant.family.states(variant.p) != 1:
            return f"{type(self).__name__} is for bandits, and {variant.name} has {variant.family.states(variant.p)} states"
        return None

    def fits(self, variant: Variant) -> bool:
        """Whether it is worth running here when nobody asked for it by name."""
        return self.objection(variant) is None

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{name}={value!r}' for name, value in self.values.items())})"


class Oracle(Learner):
    """A reference that knows the task. `begin` and `act` are given it; it learns nothing."""

    sees = "task"
    begin = prepare_nothing_for_task


def references_of(variant: Variant) -> dict[str, Learner]:
    """Return the references that a family binds, by name; TypeError where one is no `Learner`."""
    for name, reference in variant.family.references.items():
        if not isinstance(reference, Learner):
            raise TypeError(f"reference {name!r} of {variant.name} is {reference!r}, and must be a Learner")
    return dict(variant.family.references)
