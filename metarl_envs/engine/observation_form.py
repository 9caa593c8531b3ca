"""How observations lie in memory: what kernels write into, and what an observation space shows of it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import gymnasium as gym
import numpy as np

from metarl_envs.engine.compiling.kernels import PLAIN
from metarl_envs.engine.records import Row, for_drivers, record

_ARRAYS = gym.spaces.Box, gym.spaces.Discrete, gym.spaces.MultiDiscrete, gym.spaces.MultiBinary


@dataclass(frozen=True)
class ObservationForm:
    """The form of one observation: an array of numbers, or for a Dict space a row with one field for each of its spaces.

    Attributes:
        dtype: of the numbers, or of the row.
        shape: of the array that a kernel is given; () where it is given a row.
        scalar: the space shows the only number of that array, which is Discrete.
    """

    dtype: np.dtype
    shape: tuple[int, ...]
    scalar: bool

    @classmethod
    def of(cls, space: gym.Space) -> ObservationForm:
        """Return the form of an observation space; TypeError for a kind that drivers do not write."""
        if isinstance(space, gym.spaces.Dict):
            fields = {}
            for name, part in space.items():
                dtype = _numbers(part, f"{name} of {space}")
                fields[name] = (dtype, part.shape) if part.shape else dtype
            return cls(record(**fields), (), False)
        return cls(_numbers(space, str(space)), space.shape or (1,), not space.shape)

    @property
    def is_row(self) -> bool:
        """Whether it is a row with named fields."""
        return self.dtype.names is not None

    def empty(self, count: int) -> np.ndarray:
        """Uninitialised observations of `count` worlds, as kernels write them."""
        return for_drivers(np.empty((count, *self.shape), self.dtype))

    def visible(self, observations: np.ndarray) -> Any:
        """Return the same memory, as the batched observation space has it: an array, or one for each field."""
        if PLAIN:
            observations = observations.view(np.ndarray)
        if self.is_row and observations.dtype.names:  # what nobody looks at has none
            return {name: observations[name] for name in self.dtype.names or ()}
        return observations[:, 0] if self.scalar else observations

    def copied(self, observations: np.ndarray) -> np.ndarray:
        """Return a copy of observations as kernels write them, with zeros between fields: equal ones have equal bytes."""
        clean = np.zeros(observations.shape, self.dtype)
        if self.is_row:
            for name in self.dtype.names or ():
                clean[name] = observations[name]
        else:
            clean[...] = observations
        return for_drivers(clean)

    def flat(self, observations: np.ndarray) -> np.ndarray:
        """Return the same memory with one axis a world, [world, number]; of rows their bytes."""
        plain = observations.view(np.ndarray)
        return for_drivers((plain.view(np.uint8) if self.is_row else plain).reshape(len(plain), -1))

    def seen(self, observation: np.ndarray) -> Any:
        """One world's observation as a kernel sees it: an array, or a `Row`."""
        return Row(observation) if self.is_row else observation


def size_of(space: gym.Space) -> int | None:
    """Return how many elements a space of whole numbers has; None for one of other numbers, or without bounds."""
    if isinstance(space, gym.spaces.Discrete):
        return int(space.n)
    if isinstance(space, gym.spaces.MultiDiscrete):
        return math.prod(space.nvec.ravel().tolist())
    if isinstance(space, gym.spaces.MultiBinary):
        return 2 ** math.prod(space.shape)
    if isinstance(space, gym.spaces.Box) and np.issubdtype(space.low.dtype, np.integer):
        lowest, highest = (bound.ravel().tolist() for bound in (space.low, space.high))
        return math.prod(high - low + 1 for low, high in zip(lowest, highest, strict=True))
    return None


def _numbers(space: gym.Space, what: str) -> np.dtype:
    if not isinstance(space, _ARRAYS) or space.dtype is None:
        raise TypeError(f"observation space {what} must be Box, Discrete, MultiDiscrete, MultiBinary, or a Dict of these")
    return np.dtype(space.dtype)


def bounds_of(space: gym.Space) -> tuple[np.ndarray, np.ndarray]:
    """Return the lowest and highest number at each place of an observation, float64; ValueError where they have no bounds."""
    if isinstance(space, gym.spaces.Discrete):
        return np.array([float(space.start)]), np.array([float(space.start + space.n - 1)])
    if isinstance(space, gym.spaces.MultiDiscrete) and len(space.shape) == 1:
        return np.zeros(space.shape), space.nvec - 1.0
    if isinstance(space, gym.spaces.MultiBinary) and len(space.shape) == 1:
        return np.zeros(space.shape), np.ones(space.shape)
    if isinstance(space, gym.spaces.Box) and len(space.shape) == 1:
        low, high = space.low.astype(np.float64), space.high.astype(np.float64)
        if np.isfinite(low).all() and np.isfinite(high).all() and (high - low < 1e6).all():
            return low, high
    raise ValueError(f"has observations of {space}: they must be a row of numbers between bounds")
