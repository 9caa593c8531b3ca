"""What players choose, checked before anything moves: actions of many rows, and of one."""

from __future__ import annotations

import contextlib
import operator
from typing import Any

import numpy as np
from gymnasium import spaces


def actions_in(space: spaces.Space, given: Any, counts: np.ndarray) -> np.ndarray:
    """Return the actions of many rows as their space has them.

    Args:
        space: of one row: Discrete, MultiDiscrete, MultiBinary or Box.
        given: what players returned.
        counts: the rows whose actions are done, bool [row]. In the others an action outside of the space is replaced.

    Returns:
        Fresh actions of the dtype of the space, [row, ...].

    Raises:
        ValueError: there is not one action a row, they are of another kind, or one that counts is outside of the space.
        TypeError: the space is of another kind.
    """
    array, shape = np.asarray(given), (len(counts), *(space.shape or ()))
    if array.shape != shape or not _is_of_its_kind(space, array):
        raise ValueError(
            f"the players returned {type(given).__name__} of shape {array.shape} and dtype {array.dtype}: there must be "
            f"actions of shape {shape}, and {allowed(space)}"
        )
    actions, within = _cast(space, array)
    if (wrong := counts & ~within).any():
        row = int(wrong.argmax())
        raise ValueError(f"the player of row {row} chose {array[row].tolist()!r:.200}: {allowed(space)}")
    actions[~within] = resting(space, 1)
    return actions


def action_in(space: spaces.Space, given: Any) -> np.ndarray:
    """Return one action as the space has it; a Discrete one may be an array of one element. Errors as in `actions_in`."""
    array = np.asarray(given)
    if isinstance(space, spaces.Discrete):
        with contextlib.suppress(TypeError):  # another kind, which is found below
            array = np.asarray(operator.index(array.item() if array.size == 1 else given))
    if array.shape == (space.shape or ()) and _is_of_its_kind(space, array):
        actions, within = _cast(space, array[None])
        if within.all():
            return actions[0]
    raise ValueError(f"the player chose {given!r:.200}: {allowed(space)}")


def beside(rows: np.ndarray, arrays: np.ndarray) -> np.ndarray:
    """Return what is said of rows, [row], in a shape that goes beside arrays of theirs, [row, ...]."""
    return rows.reshape(-1, *[1] * (arrays.ndim - 1))


def resting(space: spaces.Space, rows: int) -> np.ndarray:
    """Return the lowest action of the space for each row, [row, ...]: what stands where no action counts."""
    return np.full((rows, *(space.shape or ())), _bounds(space)[0], np.dtype(space.dtype))


def allowed(space: spaces.Space) -> str:
    """Return what actions are, in words."""
    if isinstance(space, spaces.Discrete):
        return f"actions are integers from {space.start} to {space.start + space.n - 1}"
    return f"actions are in {space}"


def _is_of_its_kind(space: spaces.Space, array: np.ndarray) -> bool:
    return np.can_cast(array.dtype, np.dtype(space.dtype), "same_kind")


def _cast(space: spaces.Space, array: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Actions in the dtype of their space, and whether each is in it, bool [row]."""
    low, high = _bounds(space)
    with np.errstate(over="ignore"):  # a number that is too large for a float is out of bounds
        actions = array.astype(space.dtype)
    compared = array if actions.dtype.kind in "iu" else actions  # an integer that is too large wraps around
    return actions, ((compared >= low) & (compared <= high)).reshape(len(array), -1).all(axis=1)


def _bounds(space: spaces.Space) -> tuple[Any, Any]:
    """The lowest and the highest numbers of an action."""
    if isinstance(space, spaces.Box):
        return space.low, space.high
    if isinstance(space, spaces.MultiBinary):
        return 0, 1
    if isinstance(space, spaces.Discrete):
        return int(space.start), int(space.start + space.n - 1)
    if isinstance(space, spaces.MultiDiscrete):
        return space.start, space.start + space.nvec - 1
    raise TypeError(f"action space {space} must be Discrete, MultiDiscrete, MultiBinary or Box")
