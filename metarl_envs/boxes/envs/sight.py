"""What all agents of many boxes see, kept up to date: in one step little changes, however many items there are."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from metarl_envs.boxes.scenarios.box import Box
from metarl_envs.boxes.view.numbers import view_length
from metarl_envs.boxes.world.mechanisms import verbs_of
from metarl_envs.boxes.world.tree import NOTHING
from metarl_envs.engine.compiling.cache import compiled
from metarl_envs.engine.compiling.kernels import unsigned
from metarl_envs.engine.family import Variant
from metarl_envs.engine.records import check_memory, for_drivers
from metarl_envs.engine.worlds.worlds import Worlds


def tells_what_was_made(variant: Variant) -> bool:
    """Return whether infos say what was newly made: not where experiments deceive, since it would tell what is an illusion."""
    return variant.p.illusions == 0


@functools.lru_cache(maxsize=256)
def _driver(variant: Variant) -> Callable:
    """What writes down what all see and were paid, and what infos hold: anew, or what has changed since one step ago."""
    look, look_again = _kernels_of(variant)

    def show(params, tasks, worlds, anew, view, mask, rewards, resets, made, lo, hi):
        p = params[0]
        for b in range(unsigned(lo), unsigned(hi)):
            w = worlds[b]
            state = w.state
            for i in range(p.agents):
                if anew:
                    look(p, tasks[w.task], state, i, view[b, i], mask[b, i])
                else:
                    look_again(p, tasks[w.task], state, i, view[b, i], mask[b, i])
                rewards[b, i] = state.reward[i]
                resets[b, i] = state.forgot[i] != 0
                made[b, i] = NOTHING if state.forgot[i] != 0 else state.made[i]

    return compiled(f"{variant.name}.sight", show).show


def _kernels_of(variant: Variant) -> tuple[Callable, Callable]:
    """How an agent of this box looks, and looks again; TypeError where what it sees was changed in one place only."""
    family: type[Box] = variant.family  # type: ignore[assignment]
    if family.observe is not Box.observe and family.look is Box.look:
        raise TypeError(f"{family.__name__} has an `observe` of its own, and lacks a `look` that writes the same")
    as_in_box = all(getattr(family, name) is getattr(Box, name) for name in ("reset", "step", "look"))
    has_again = family.look_again and (as_in_box or family.look_again is not Box.look_again)
    look = variant.kernel("look")
    return look, variant.kernel("look_again") if has_again else look


class Told(NamedTuple):
    """What is told of all agents beside what they see, fresh arrays [boxes, agents]; see `BoxVectorEnv`."""

    rewards: np.ndarray
    memory_reset: np.ndarray
    made: np.ndarray


class Sight:
    """What all agents of many boxes see.

    Args:
        worlds: the boxes.
        reuse_arrays: give out the arrays themselves, which always show the present and cannot be written to, not copies.
    """

    def __init__(self, worlds: Worlds, reuse_arrays: bool):
        p = worlds.variant.p
        view, actions = view_length(p), verbs_of(p).end
        check_memory(worlds.count * p.agents, 4 * view + actions, "observations with their action masks")
        self._worlds, self._reuse = worlds, reuse_arrays
        self._shape = worlds.count, p.agents
        self._view = for_drivers(np.zeros((*self._shape, view), np.float32))
        self._mask = for_drivers(np.zeros((*self._shape, actions), np.int8))
        #: The boxes have moved by more than a step since they were last looked at: look at everything.
        self.lost = True

    def look(self) -> tuple[dict[str, np.ndarray], Told]:
        """What all see now, float32 [boxes, agents, view] and int8 [boxes, agents, actions]; and what else is told of them."""
        worlds, shape = self._worlds, self._shape
        told = Told(np.empty(shape), np.empty(shape, np.bool_), np.empty(shape, np.int16))
        rows = worlds.variant.params, worlds.task_rows, worlds.worlds
        worlds.each(_driver(worlds.variant), (*rows, self.lost, self._view, self._mask, *told))
        self.lost = False
        return {"observation": self._shown(self._view), "action_mask": self._shown(self._mask)}, told

    def _shown(self, array: np.ndarray) -> np.ndarray:
        plain = array.view(np.ndarray)
        if not self._reuse:
            return plain.copy()
        plain.flags.writeable = False  # what is written there would stay, since only what changes is written again
        return plain
