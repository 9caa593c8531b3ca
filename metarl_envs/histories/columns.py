"""Columns of a learning history, one element a step."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import gymnasium as gym
import numpy as np

from metarl_envs.engine.family import Variant
from metarl_envs.engine.player import Player, references_of
from metarl_envs.engine.truth.solving import solve
from metarl_envs.histories.layout import check_names, names_in

#: What of the ground truth can be recorded beside them. `q_star` and `regret` follow from the value of every action.
LABELS = ("optimal_action", "q_star", "regret")


@dataclasses.dataclass(frozen=True)
class Column:
    """One column: the dtype and shape of an element.

    Attributes:
        dtype: of the numbers.
        shape: of one step's element.
        axis: kernels write it into an array, so that a single number has one axis on the way.
    """

    dtype: np.dtype
    shape: tuple[int, ...] = ()
    axis: bool = False

    @property
    def room(self) -> tuple[int, ...]:
        """The shape in which it is written."""
        return self.shape or ((1,) if self.axis else ())

    @property
    def itemsize(self) -> int:
        """Bytes a step."""
        return int(np.prod(self.shape)) * self.dtype.itemsize


class Columns:
    """The columns that a learner writes in a family.

    Args:
        variant: the family with its parameters set.
        learner: who lives.
        internals: names out of `learner.internals`.
        labels: names out of `LABELS`.

    Raises:
        TypeError: `internals` or `labels` is no sequence of names.
        ValueError: the learner has no such internal, there is no such label, the family does not know it, or two columns
            would have one name.
    """

    def __init__(self, variant: Variant, learner: Player, internals: Sequence[str] = (), labels: Sequence[str] = ()):
        self.learner = learner
        self.all = _transition(variant)
        self._internals, labels = names_in("internals", internals), names_in("labels", labels)
        check_names([*self.all, *self._internals, *labels])
        for name in self._internals:
            self.all[name] = _internal(name, variant, learner)
        for name in labels:
            self.all[name] = _label(name, variant)
        self.oracle = references_of(variant)["oracle"].bind(variant) if "optimal_action" in labels else None
        self.needs_states = "q_star" in labels or "regret" in labels

    def internals(self, *, after: bool) -> list[str]:
        """Return the names of internals that are read after the step was learned from (or when the action is chosen)."""
        return [name for name in self._internals if self.learner.internals[name].after == after]

    @property
    def bytes_a_step(self) -> int:
        """The size of a step in all columns."""
        return sum(column.itemsize for column in self.all.values())


def _transition(variant: Variant) -> dict[str, Column]:
    """Numbers that count something are kept as small integers, and rewards of 0 and 1 as float32: nothing is rounded."""
    seen, done = variant.observation_space, variant.action_space
    if isinstance(seen, gym.spaces.Discrete):
        observation = Column(smallest_integers(int(seen.start), int(seen.start + seen.n - 1)), axis=True)
    else:
        form = variant.observation
        observation = Column(form.dtype, () if form.is_row or form.scalar else form.shape, axis=not form.is_row)
    assert done.shape is not None
    reward = np.float32 if variant.family.binary_reward else np.float64
    flag = Column(np.dtype(np.bool_))
    return {
        "observation": observation,
        "action": Column(action_dtype(variant), variant.action.shape),
        "reward": Column(np.dtype(reward)),
        "terminated": flag,
        "truncated": flag,
    }


def action_dtype(variant: Variant) -> np.dtype:
    """Return the dtype in which actions are kept: the smallest integers that hold them, or that of a space of floats."""
    form = variant.action
    return smallest_integers(int(np.min(form.low)), int(np.max(form.high))) if form.dtype.kind == "i" else np.dtype(form.dtype)


def smallest_integers(low: int, high: int) -> np.dtype:
    """Return the dtype of the smallest integers that hold all from `low` to `high`; ValueError where there is none."""
    for bits in (8, 16, 32, 64):
        dtype = np.dtype(f"int{bits}" if low < 0 else f"uint{bits}")
        if np.iinfo(dtype).min <= low and high <= np.iinfo(dtype).max:
            return dtype
    raise ValueError(f"no integers of 64 bits hold all from {low} to {high}")


def _internal(name: str, variant: Variant, learner: Player) -> Column:
    internal = learner.internals.get(name)
    if internal is None:
        known = ", ".join(learner.internals) or "nothing"
        raise ValueError(f"internals: {type(learner).__name__} has no internal {name!r}; it has: {known}")
    size = 1 if internal.size is None else internal.size(learner.p, variant)
    return Column(np.dtype(np.float32), () if internal.size is None else (size,), axis=True)


def _label(name: str, variant: Variant) -> Column:
    if name not in LABELS:
        raise ValueError(f"labels: {name!r} is no label; there are: {', '.join(LABELS)}")
    if name == "optimal_action":
        if "oracle" not in variant.family.references:
            raise ValueError(f"labels: {variant.name} has no reference 'oracle' that could say what it would do")
        return _transition(variant)["action"]
    from metarl_envs.engine.worlds import task_rows

    if variant.action.shape or solve(variant, task_rows.draw(variant, 0, 0, 0, 1)) is None:
        raise ValueError(f"labels: the value of every action, and so {name!r}, is not known exactly in {variant}")
    return Column(np.dtype(np.float64), (variant.actions,) if name == "q_star" else ())
