"""Which key does what: from a family's action names to an action."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from gymnasium.spaces import Box, Discrete

from metarl_envs.engine.family import Variant

#: Keys for actions that the family does not name itself: the action's own number.
_DIGITS = tuple("0123456789")


@dataclass(frozen=True)
class Controls:
    """The keys of one family.

    Attributes:
        keys: for Discrete actions, by key (as pygame names it) the action and what it is called.
        axes: for Box actions, by key the number of the action that it moves, and which way (-1 or 1).
        live: the world moves on while nobody presses anything.
    """

    keys: dict[str, tuple[int, str]]
    axes: dict[str, tuple[int, float]]
    live: bool

    @classmethod
    def of(cls, variant: Variant) -> Controls:
        """The keys a family names, or else digits for Discrete actions and arrows for Box ones.

        Raises:
            TypeError: nobody can play these actions by keys.
        """
        space = variant.action_space
        live = variant.family.live
        if isinstance(space, Discrete):
            return cls(_named(variant) or _numbered(int(space.n), variant.name), {}, live)
        if isinstance(space, Box) and space.shape in ((1,), (2,)):
            axes = {"left": (0, -1.0), "right": (0, 1.0)}
            if space.shape == (2,):
                axes |= {"down": (1, -1.0), "up": (1, 1.0)}
            return cls({}, axes, live)
        raise TypeError(f"{variant.name} cannot be played by keys: its actions are {space}")

    def legend(self) -> dict[str, str]:
        """Every key that acts, and what it does."""
        if self.axes:
            return {**dict.fromkeys(self.axes, ""), "mouse": "hold one"}
        if len(self.keys) > 7:  # no room to name each: the numbers say enough
            *most, last = self.keys
            return {**dict.fromkeys(most, ""), last: "actions"}
        return {key: name for key, (_, name) in self.keys.items()}

    def held(self, space: Box, pressed: set[str], mouse: tuple[float, float] | None) -> np.ndarray:
        """The Box action for the keys held down, or for the mouse's place in the picture (-1 to 1 on both axes)."""
        push = np.zeros(space.shape)
        for key, (axis, way) in self.axes.items():
            if key in pressed:
                push[axis] += way
        if mouse is not None:
            push = np.array([mouse[0], -mouse[1]])[: len(push)]
        middle, reach = (space.high + space.low) / 2, (space.high - space.low) / 2
        return (middle + np.clip(push, -1, 1) * reach).astype(space.dtype)


def _named(variant: Variant) -> dict[str, tuple[int, str]]:
    return {key: (action, name) for key, (action, name) in variant.family.keys.items() if action < variant.actions}


def _numbered(actions: int, name: str) -> dict[str, tuple[int, str]]:
    if actions > len(_DIGITS):
        raise TypeError(f"{name} has {actions} actions, and there are {len(_DIGITS)} digits: play it with fewer")
    return {_DIGITS[action]: (action, f"action {action}") for action in range(actions)}
