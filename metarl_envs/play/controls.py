"""Which key does what: from keys held down, and the mouse, to an action."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import numpy as np
from gymnasium.spaces import Box, Discrete, Space

from metarl_envs.engine import Row, canvas
from metarl_envs.engine.family import Keys, Variant

#: Keys for actions that the family does not name itself: the action's own number.
_DIGITS = tuple("0123456789")
#: Arrows come first and always in this order, whatever order a family names them in.
_ARROWS = ("left", "right", "up", "down")
#: Keys that the game keeps for itself.
RESERVED = ("n", "r", "p", "s", "-", "+", "escape")
#: The mouse button, as if it were a key.
MOUSE = "mouse"

#: A group of keys, and what they do.
Legend = list[tuple[tuple[str, ...], str]]


@dataclass(frozen=True)
class Controls:
    """The keys of one family.

    Attributes:
        space: of the actions.
        keys: for Discrete actions, by key (as pygame names it) the action, or what gives it in a state (None: no step), and
            what it is called; keys without a name stand in the picture.
        axes: for Box actions, by key the number of the action that it moves, and which way (-1, 0 or 1).
        realtime: the world moves on while nobody presses anything.
        click_action: what the mouse asks for in a state, by its place in the picture: for Box actions a push (-1 to 1 on each
            axis), for Discrete ones an action, or None between them. It is the family's own; else the mouse is a joystick in
            the middle of the picture for Box actions, and nothing for Discrete ones.
    """

    space: Space
    keys: Keys
    axes: dict[str, tuple[int, float]]
    realtime: bool
    click_action: Callable[[Row, float, float], Any] | None

    @classmethod
    def of(cls, variant: Variant) -> Controls:
        """Return the keys a family names, or else digits for Discrete actions and arrows for Box ones.

        Raises:
            TypeError: nobody can play these actions by keys.
            ValueError: the family names a key that the game needs.
        """
        space, live, aim = variant.action_space, variant.family.realtime, _aim(variant)
        if isinstance(space, Discrete):
            return cls(space, _named(variant) or _numbered(variant), {}, live, aim)
        if isinstance(space, Box) and space.shape in ((1,), (2,)):
            return cls(space, {}, _arrows(space, live), live, aim or _joystick)
        raise TypeError(f"{variant.name} cannot be played by keys, but by sentences (--text): its actions are {space!s:.80}")

    @property
    def flows(self) -> bool:
        """Steps follow one another while keys are held, at some speed; else each press is one step."""
        return self.realtime or bool(self.axes)

    def legend(self) -> Legend:
        """Return every key that acts, and what it does."""
        if self.axes:
            return _legend_of_axes(self.space, self.realtime, "from the middle" if self.click_action is _joystick else "there")
        idle: Legend = [((), "no key: they take turns")] if self.realtime else []
        click: Legend = [((MOUSE,), "click on one")] if self.click_action else []
        named = [((key,), name) for key, (_, name) in self.keys.items() if name]
        if len(named) > 7:  # no room to name each: the numbers say enough
            return [(tuple(key for (key,), _ in named), "actions"), *click, *idle]
        return named + click + idle

    def acts(self, key: str) -> bool:
        """Return whether a key (or the mouse) is one of the family's."""
        return key in self.keys or key in self.axes or (key == MOUSE and self.click_action is not None)

    def action(self, held: Sequence[str], place: tuple[float, float], state: Row, turn: int) -> Any:
        """Return the action for what is held down, or for nothing at all in a live world; None for a click between actions.

        Args:
            held: keys, in the order in which they were pressed.
            place: where the mouse is in the picture.
            state: of the world.
            turn: a number that grows: with nothing held, a live world takes its Discrete actions in turn, so that pushes to
                either side cancel out.
        """
        if isinstance(self.space, Box):
            return self._push(self.space, held, place, state)
        if held and held[-1] == MOUSE:
            return self.click_action and self.click_action(state, *place)
        asked = self.keys[held[-1]][0] if held else list(self.keys.values())[turn % len(self.keys)][0]
        return asked(state) if callable(asked) else asked

    def _push(self, space: Box, held: Sequence[str], place: tuple[float, float], state: Row) -> np.ndarray:
        middle, reach = (space.high + space.low) / 2, (space.high - space.low) / 2
        push = np.zeros(space.shape)
        if MOUSE in held and self.click_action:
            push += np.asarray(self.click_action(state, *place))[: len(push)]
        for axis, way in (self.axes[key] for key in held if key in self.axes):
            push[axis] += way
        return (middle + np.clip(push, -1, 1) * reach).astype(space.dtype)


def _joystick(state: Row, x: float, y: float) -> tuple[float, float]:
    """How far a place is from the middle of the picture, from -1 to 1, to the right and up."""
    return 2 * x / canvas.WORLD - 1, 1 - 2 * y / canvas.WORLD


def _aim(variant: Variant) -> Callable[[Row, float, float], Any] | None:
    aim: Callable[[SimpleNamespace, Row, float, float], Any] | None = getattr(variant.family, "click_action", None)
    return aim and functools.partial(aim, variant.p)


def _arrows(space: Box, live: bool) -> dict[str, tuple[int, float]]:
    """Arrows for one or two actions; where nothing moves by itself, also a key that lets time go by."""
    axes = {"left": (0, -1.0), "right": (0, 1.0)}
    if space.shape == (2,):
        axes |= {"up": (1, 1.0), "down": (1, -1.0)}
    return axes if live else {**axes, "space": (0, 0.0)}


def _legend_of_axes(space: Space, live: bool, where: str) -> Legend:
    assert isinstance(space, Box)
    if space.shape == (1,):
        low, high = float(space.low[0]), float(space.high[0])
        legend: Legend = [(("left",), f"hold for {low:+g}"), (("right",), f"hold for {high:+g}")]
        mouse = f"hold the button: {low:+g} at the left to {high:+g} at the right"
    else:
        legend = [(_ARROWS, "hold to move")]
        mouse = f"hold the button to go {where}"
    still: Legend = [] if live else [(("space",), "stay")]
    return [*legend, *still, ((MOUSE,), mouse)]


def _named(variant: Variant) -> Keys:
    declared = variant.family.keys
    declared = declared(variant.p) if callable(declared) else declared
    keys = {key: (action, name) for key, (action, name) in declared.items() if callable(action) or action < variant.actions}
    if taken := [key for key in keys if key in RESERVED]:
        raise ValueError(f"{variant.name}.keys has {taken[0]!r}, a key of the game itself")
    return dict(sorted(keys.items(), key=lambda item: _ARROWS.index(item[0]) if item[0] in _ARROWS else len(_ARROWS)))


def _numbered(variant: Variant) -> Keys:
    if variant.actions > len(_DIGITS):
        raise TypeError(
            f"{variant.name} has {variant.actions} actions, and there are {len(_DIGITS)} digits: play it with fewer, or by "
            f"sentences (--text), or name keys in {variant.family.__name__}.keys (see metarl_envs.engine.Family)"
        )
    return {_DIGITS[action]: (action, name) for action, name in enumerate(variant.action_names)}
