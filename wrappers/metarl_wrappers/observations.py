"""Observations of many rows: arrays, or dicts and tuples of arrays, handled leaf by leaf."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces

ALL = slice(None)


def tree(function: Callable, *observations: Any) -> Any:
    """Apply a function to the leaves of observations of one form."""
    first = observations[0]
    if isinstance(first, dict):
        return {key: tree(function, *(o[key] for o in observations)) for key in first}
    if isinstance(first, tuple):
        return tuple(tree(function, *parts) for parts in zip(*observations, strict=True))
    return function(*observations)


def stack(observations: list[Any]) -> Any:
    """Single observations as one batch."""
    return tree(lambda *leaves: np.stack(leaves), *observations)


def take(observations: Any, rows: np.ndarray) -> Any:
    """The given rows of a batch; of an array of objects (as Gymnasium gives `final_obs`), those objects stacked."""
    if isinstance(observations, np.ndarray) and observations.dtype == object:
        return stack([observations[row] for row in rows])
    return tree(lambda leaf: leaf[rows], observations)


def put(into: Any, rows: np.ndarray, observations: Any) -> None:
    """Write a smaller batch into the given rows of a batch."""

    def write(leaf: np.ndarray, part: np.ndarray) -> None:
        leaf[rows] = part

    tree(write, into, observations)


def split(observations: Any, count: int) -> list[Any]:
    """A batch as a list of single observations."""
    return [tree(lambda leaf, row=row: leaf[row], observations) for row in range(count)]


def blank(space: gym.Space) -> Any:
    """What stands where there is no observation: zeros of the space's form (None where a space has no zero)."""
    if isinstance(space, spaces.Dict):
        return {key: blank(part) for key, part in space.spaces.items()}
    if isinstance(space, spaces.Tuple):
        return tuple(blank(part) for part in space.spaces)
    if isinstance(space, spaces.Discrete):
        return space.dtype.type(0)
    return np.zeros(space.shape, space.dtype) if space.shape is not None and space.dtype is not None else None


def blanks(space: gym.Space, count: int) -> Any:
    """The same for a batch."""
    return tree(lambda leaf: np.full(count, None) if leaf is None else np.zeros((count, *leaf.shape), leaf.dtype), blank(space))


class Blanks:
    """Batches of blanks: shared and read-only, or of one's own to write into."""

    def __init__(self, space: gym.Space, count: int):
        self._space, self._count = space, count
        self._shared: Any = None

    def shared(self) -> Any:
        """The same read-only arrays every time (in a dict of its own, where it is one)."""
        if self._shared is None:
            self._shared = self.fresh()
            tree(lambda leaf: leaf.setflags(write=False), self._shared)
        return dict(self._shared) if isinstance(self._shared, dict) else self._shared

    def fresh(self) -> Any:
        """Arrays of one's own."""
        return blanks(self._space, self._count)


def named(observation: Any) -> dict[str, Any]:
    """An observation, batch or space as a dict: under "observation" unless it is one already."""
    if isinstance(observation, spaces.Dict):
        return dict(observation.spaces)
    return observation if isinstance(observation, dict) else {"observation": observation}


def in_order(parts: dict[Any, Any]) -> list[tuple[Any, Any]]:
    """Return the entries of a dict by their keys, which may be words or numbers."""
    return sorted(parts.items(), key=lambda entry: str(entry[0]))


def with_zero(space: gym.Space) -> gym.Space:
    """Return a Box, Discrete, MultiDiscrete or MultiBinary space just large enough for zeros as well: for padding."""
    if isinstance(space, spaces.Box):
        return spaces.Box(np.minimum(space.low, 0), np.maximum(space.high, 0), dtype=space.dtype.type)
    if isinstance(space, spaces.Discrete):
        low, high = min(int(space.start), 0), max(int(space.start + space.n) - 1, 0)
        return _discrete(low, high, space.dtype)
    if isinstance(space, spaces.MultiDiscrete):
        low, high = np.minimum(space.start, 0), np.maximum(space.start + space.nvec - 1, 0)
        return spaces.MultiDiscrete(high - low + 1, dtype=space.dtype.type, start=low)
    return space


def _discrete(low: int, high: int, dtype: np.dtype) -> spaces.Discrete:
    if dtype == np.int64:
        return spaces.Discrete(high - low + 1, start=low)
    return spaces.Discrete(high - low + 1, start=low, dtype=dtype)  # older versions of Gymnasium know int64 only


def extended(space: gym.Space, wrapper: str, extra: dict[str, gym.Space]) -> spaces.Dict:
    """A flat Dict space with the parts of `space` (see `named`) and new ones.

    Raises:
        ValueError: a part of `space` is no Box, Discrete, MultiDiscrete or MultiBinary, or a key is taken already.
    """
    parts = named(space)
    for key, part in parts.items():
        if not isinstance(part, (spaces.Box, spaces.Discrete, spaces.MultiDiscrete, spaces.MultiBinary)):
            raise ValueError(
                f"{wrapper} needs observations that are a Box, Discrete, MultiDiscrete or MultiBinary, or a flat Dict of them; "
                f"{key!r} is {part}. For MiniGrid, wrap in MiniGridObservation first"
            )
    taken = sorted(parts.keys() & extra.keys())
    if taken:
        raise ValueError(f"{wrapper} adds the keys {sorted(extra)}, but the observation has {taken} already")
    return spaces.Dict({**parts, **extra})
