"""Feedback that stands in observations: controls change it there, and not in the reward."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces

from metarl_wrappers.arguments import at_least
from metarl_wrappers.observations import ALL
from metarl_wrappers.rows import Rows, Told


def as_feedback(feedback: Any) -> list[int] | None:
    """Return which numbers of an observation are feedback, as a list; None where the reward is.

    Raises:
        TypeError: it is no sequence of integers.
        ValueError: there is none, one comes twice, or one is negative.
    """
    if feedback is None:
        return None
    if isinstance(feedback, str) or not isinstance(feedback, Sequence | np.ndarray):
        raise TypeError(f"feedback={feedback!r} must be a sequence of integers: the places of feedback in an observation")
    numbers = [at_least(f"feedback[{i}]", number, 0) for i, number in enumerate(feedback)]
    if not numbers or len(set(numbers)) < len(numbers):
        raise ValueError(f"feedback={feedback!r} must hold at least one place in the observation, and each once")
    return numbers


class FeedbackInSight(Rows):
    """Rows whose feedback stands in the observation; the reward, which would tell as much, is shown as 0.

    The first observation of an episode comes before any feedback, and stays as it is.
    """

    def __init__(self, observation_space: gym.Space, action_space: gym.Space, count: int, feedback: list[int]):
        box = observation_space
        if not isinstance(box, spaces.Box) or len(box.shape) != 1 or box.dtype is None or box.dtype.kind != "f":
            raise ValueError(f"feedback={feedback} needs observations that are a Box of one axis, of floats; they are {box}")
        if max(feedback) >= box.shape[0]:
            raise ValueError(f"feedback={feedback} holds {max(feedback)}; observations have {box.shape[0]} numbers, from 0")
        super().__init__(observation_space, action_space, count)
        self.feedback = feedback

    def change(self, told: np.ndarray, rows: Any) -> np.ndarray:
        """Turn the feedback of some rows, float64 [row, number], into what is shown."""
        raise NotImplementedError

    def pay(self, rewards: np.ndarray, told: Told) -> np.ndarray:
        """Show no reward."""
        return np.zeros(len(rewards))

    def observe(self, observations: Any, rows: Any, episode_start: np.ndarray) -> Any:
        """Show other feedback, but in the first observation of an episode."""
        seen = observations.copy()
        after = np.flatnonzero(~episode_start)
        where = np.ix_(after, np.array(self.feedback))
        seen[where] = self.change(seen[where].astype(np.float64), after if rows is ALL else rows[after])
        return seen
