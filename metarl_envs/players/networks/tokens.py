"""What trained networks are shown of a step: numbers, float32 [row, number], made of what every player is told."""

from __future__ import annotations

from typing import Any

import numpy as np
from gymnasium import spaces

from metarl_envs.players.told import Step

#: How many places there are between the bounds of a real number.
PLACES = 9


class Whole:
    """How whole numbers are shown: each is a name, one of so many.

    Args:
        space: a Box of whole numbers, of shape (n,).

    Attributes:
        width: how many numbers an observation has as names and numbers.
    """

    def __init__(self, space: spaces.Box):
        self._low = space.low.astype(np.int64)
        self._most = space.high.astype(np.int64) - self._low
        self._names = [np.eye(most + 1, dtype=np.float32) for most in self._most.tolist()]
        self.width = sum(map(len, self._names)) + len(self._names)

    def codes(self, observation: np.ndarray) -> np.ndarray:
        """Return each number as one of so many names: zeros and a one.

        Raises:
            ValueError: an observation is outside of its space.
        """
        numbers = self._counted(observation)
        return np.concatenate([names[numbers[:, i]] for i, names in enumerate(self._names)], axis=1)

    def codes_and_numbers(self, observation: np.ndarray) -> np.ndarray:
        """Return each number as a name, and as it is, between -1 and 1; errors as in `codes`."""
        most = np.maximum(self._most, 1).astype(np.float32)
        numbers = 2 * self._counted(observation).astype(np.float32) / most - 1
        return np.concatenate([self.codes(observation), numbers], axis=1)

    def _counted(self, observation: np.ndarray) -> np.ndarray:
        numbers = observation.astype(np.int64) - self._low
        if ((numbers < 0) | (numbers > self._most)).any():
            raise ValueError(f"an observation is outside of its space: numbers go from {self._low} to {self._low + self._most}")
        return numbers


class Real:
    """How real numbers are shown: by how near each is to each of `PLACES` places between its bounds.

    Args:
        space: a bounded Box of real numbers, of shape (n,).

    Attributes:
        width: how many numbers an observation has as places and numbers.
    """

    def __init__(self, space: spaces.Box):
        self._low, self._high = (end.astype(np.float32) for end in (space.low, space.high))
        self._between = np.maximum((self._high - self._low) / np.float32(PLACES - 1), np.float32(1e-6))
        self._places = np.arange(PLACES, dtype=np.float32)
        self.width = len(self._low) * (PLACES + 1)

    def codes(self, observation: np.ndarray) -> np.ndarray:
        """Return how near each number is to each of its places.

        Raises:
            ValueError: an observation is outside of its space.
        """
        return np.exp(-2 * np.square(self._at(observation)[..., None] - self._places)).reshape(len(observation), -1)

    def codes_and_numbers(self, observation: np.ndarray) -> np.ndarray:
        """Return that, and where each number is, between -1 and 1; errors as in `codes`."""
        return np.concatenate([self.codes(observation), 2 * self._at(observation) / (PLACES - 1) - 1], axis=1)

    def _at(self, observation: np.ndarray) -> np.ndarray:
        if not ((observation >= self._low) & (observation <= self._high)).all():
            raise ValueError(f"an observation is outside of its space: numbers go from {self._low} to {self._high}")
        return (observation.astype(np.float32) - self._low) / self._between


def shown(space: spaces.Box) -> Whole | Real:
    """Return how the numbers of a space are shown to networks."""
    return Whole(space) if np.issubdtype(space.dtype, np.integer) else Real(space)


def previous_action(step: Step, actions: int) -> np.ndarray:
    """Return the action before, zeros and a one of so many; zeros alone where memory is reset."""
    some = ~step.memory_reset
    return np.eye(actions, dtype=np.float32)[np.where(some, step.previous_action, 0)] * some[:, None]


class Transitions:
    """One token a step, as `examples/algorithm_distillation.py` has it: the transition before, and where one stands now.

    A token holds what is seen now and what was seen before, the action in between, what it paid, whether it ended an episode,
    and whether there was any.

    Attributes:
        width: how many numbers a token has.
    """

    def __init__(self, observed: spaces.Box, actions: int):
        self._seen, self._actions, self._before = shown(observed), actions, np.zeros(0, np.float32)
        self.width = 2 * self._seen.width + actions + 3

    def of(self, step: Step) -> np.ndarray:
        """Return the tokens of the next step."""
        now: Any = self._seen.codes_and_numbers(step.observation)
        some = (~step.memory_reset).astype(np.float32)[:, None]
        before = self._before if len(self._before) else np.zeros_like(now)
        flags = np.stack([step.previous_reward, step.terminated | step.truncated], axis=1).astype(np.float32)
        token = np.concatenate(
            [now, np.concatenate([before, previous_action(step, self._actions), flags, some], axis=1) * some], axis=1
        )
        self._before = now
        return token

    def alone(self, observation: np.ndarray) -> np.ndarray:
        """Return tokens that say where one stands, and nothing of before."""
        now = self._seen.codes_and_numbers(observation)
        alone = np.zeros((len(now), self.width), np.float32)
        alone[:, : now.shape[1]] = now
        return alone


class PreviousSteps:
    """One vector a step, as `examples/recurrent_ppo_rl2.py` has it (`metarl_wrappers.PreviousStep`, what is seen as codes).

    It holds what is seen, the action before, what it paid, whether it terminated an episode, and whether one starts.
    """

    def __init__(self, observed: spaces.Box, actions: int):
        self._seen, self._actions = shown(observed), actions

    def of(self, step: Step) -> np.ndarray:
        """Return the vectors of the next step."""
        told = np.stack([step.previous_reward, step.terminated], axis=1) * ~step.memory_reset[:, None]
        parts = [self._seen.codes(step.observation), previous_action(step, self._actions), told, step.episode_start[:, None]]
        return np.concatenate(parts, axis=1, dtype=np.float32)
