"""How actions reach kernels."""

from __future__ import annotations

from dataclasses import dataclass

import gymnasium as gym
import numpy as np

from metarl_envs.engine.records import for_drivers


@dataclass(frozen=True)
class ActionForm:
    """How actions reach kernels: an int64 for Discrete, an array row for Box and MultiDiscrete."""

    dtype: np.dtype
    shape: tuple[int, ...]
    low: np.ndarray
    high: np.ndarray
    allowed: str

    def bounds(self) -> np.ndarray:
        """Return the lowest and the highest numbers of an action, of shape (2, size of an action)."""
        return for_drivers(np.stack([np.ravel(self.low), np.ravel(self.high)]))

    def cast(self, given: np.ndarray, shape: tuple[int, ...]) -> np.ndarray | None:
        """Return actions in this dtype; None where they have another shape or kind, or are integers that it does not hold."""
        if given.shape != shape or not np.can_cast(given.dtype, self.dtype, "same_kind"):
            return None
        taken = np.ascontiguousarray(given, self.dtype)
        narrowed = self.dtype.kind in "iu" and not np.can_cast(given.dtype, self.dtype, "safe")
        return None if narrowed and (taken != given).any() else taken

    @classmethod
    def of(cls, space: gym.Space) -> ActionForm:
        """Return the form of an action space; TypeError for a kind that drivers do not take."""
        spaces = gym.spaces
        if np.any(getattr(space, "start", 0)):
            raise TypeError(f"action space {space} must start at 0: kernels number actions from 0")
        if isinstance(space, spaces.Discrete):
            bounds = np.array([0]), np.array([space.n - 1])
            return cls(np.dtype(np.int64), (), *bounds, f"an integer from 0 to {space.n - 1}")
        if isinstance(space, spaces.MultiDiscrete):
            bounds = np.zeros(space.shape, np.int64), np.asarray(space.nvec, np.int64) - 1
            return cls(np.dtype(np.int64), space.shape, *bounds, f"integers from 0 to {bounds[1].tolist()}")
        if isinstance(space, spaces.Box):
            kind = f"{space.shape} finite numbers within [{space.low.min():g}, {space.high.max():g}]"
            return cls(space.dtype, space.shape, space.low, space.high, kind)
        raise TypeError(f"action space {space} must be Discrete, MultiDiscrete or Box")
