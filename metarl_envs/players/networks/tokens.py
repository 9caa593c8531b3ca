"""What trained networks are shown of a step: numbers, float32 [row, number], made of what every player is told."""

from __future__ import annotations

from typing import Any

import numpy as np
from gymnasium import spaces

from metarl_envs.players.told import Step


class Codes:
    """How observations of whole numbers, and actions, become numbers between -1 and 1.

    Args:
        observed: the space of observations: a Box of whole numbers, of shape (n,).
        actions: how many there are.

    Attributes:
        width: how many numbers an observation has as names and numbers.
    """

    def __init__(self, observed: spaces.Box, actions: int):
        self._low = observed.low.astype(np.int64)
        self._most = observed.high.astype(np.int64) - self._low
        self._names = [np.eye(most + 1, dtype=np.float32) for most in self._most.tolist()]
        self._actions = np.eye(actions, dtype=np.float32)
        self.width = sum(map(len, self._names)) + len(self._names)

    def names(self, observation: np.ndarray) -> np.ndarray:
        """Return each number as one of so many names: zeros and a one.

        Raises:
            ValueError: an observation is outside of its space.
        """
        numbers = self._counted(observation)
        return np.concatenate([names[numbers[:, i]] for i, names in enumerate(self._names)], axis=1)

    def names_and_numbers(self, observation: np.ndarray) -> np.ndarray:
        """Return each number as a name, and as it is, between -1 and 1; errors as in `names`."""
        most = np.maximum(self._most, 1).astype(np.float32)
        numbers = 2 * self._counted(observation).astype(np.float32) / most - 1
        return np.concatenate([self.names(observation), numbers], axis=1)

    def action(self, step: Step) -> np.ndarray:
        """Return the action before, zeros and a one; zeros alone where memory is reset."""
        some = ~step.memory_reset
        return self._actions[np.where(some, step.previous_action, 0)] * some[:, None]

    def _counted(self, observation: np.ndarray) -> np.ndarray:
        numbers = observation.astype(np.int64) - self._low
        if ((numbers < 0) | (numbers > self._most)).any():
            raise ValueError(f"an observation is outside of its space: numbers go from {self._low} to {self._low + self._most}")
        return numbers


class Transitions:
    """One token a step, as `examples/algorithm_distillation.py` has it: the transition before, and where one stands now.

    A token holds what is seen now and what was seen before, the action in between, what it paid, whether it ended an episode,
    and whether there was any.

    Attributes:
        width: how many numbers a token has.
    """

    def __init__(self, observed: spaces.Box, actions: int):
        self._codes, self._before = Codes(observed, actions), np.zeros(0, np.float32)
        self.width = 2 * self._codes.width + actions + 3

    def of(self, step: Step) -> np.ndarray:
        """Return the tokens of the next step."""
        now: Any = self._codes.names_and_numbers(step.observation)
        some = (~step.memory_reset).astype(np.float32)[:, None]
        before = self._before if len(self._before) else np.zeros_like(now)
        flags = np.stack([step.previous_reward, step.terminated | step.truncated], axis=1).astype(np.float32)
        token = np.concatenate([now, np.concatenate([before, self._codes.action(step), flags, some], axis=1) * some], axis=1)
        self._before = now
        return token

    def alone(self, observation: np.ndarray) -> np.ndarray:
        """Return tokens that say where one stands, and nothing of before."""
        now = self._codes.names_and_numbers(observation)
        alone = np.zeros((len(now), self.width), np.float32)
        alone[:, : now.shape[1]] = now
        return alone


class PreviousSteps:
    """One vector a step, as `examples/recurrent_ppo_rl2.py` has it (`metarl_wrappers.PreviousStep`, its cells as names).

    It holds what is seen, the action before, what it paid, whether it terminated an episode, and whether one starts.
    """

    def __init__(self, observed: spaces.Box, actions: int):
        self._codes = Codes(observed, actions)

    def of(self, step: Step) -> np.ndarray:
        """Return the vectors of the next step."""
        told = np.stack([step.previous_reward, step.terminated], axis=1) * ~step.memory_reset[:, None]
        parts = [self._codes.names(step.observation), self._codes.action(step), told, step.episode_start[:, None]]
        return np.concatenate(parts, axis=1, dtype=np.float32)
