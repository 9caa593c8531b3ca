"""HideReward: the control in which nobody says what paid."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.utils import RecordConstructorArgs
from gymnasium.vector import VectorEnv

from metarl_wrappers.feedback import FeedbackInSight, as_feedback
from metarl_wrappers.rows import Rows, RowsWrapper, Told, VectorRowsWrapper


class _Hidden(Rows):
    def pay(self, rewards: np.ndarray, told: Told) -> np.ndarray:
        return np.zeros(len(rewards))


class _HiddenInSight(FeedbackInSight):
    def change(self, told: np.ndarray, rows: Any) -> np.ndarray:
        return np.zeros_like(told)


def _hidden(observation_space: gym.Space, action_space: gym.Space, count: int, feedback: list[int] | None) -> Rows:
    """Return the rows of either kind."""
    if feedback is None:
        return _Hidden(observation_space, action_space, count)
    return _HiddenInSight(observation_space, action_space, count, feedback)


class HideReward(RowsWrapper):
    """Control: the reward that is shown is always 0.

    What an agent gains all the same comes from observations alone. The score of the control is what was paid, so read
    it from `info`. For evaluating trained agents: what `step` returns is what is shown.

    Info:
        `info["metarl_control"]["reward"]`: float64, the reward paid by this step (0 at reset). In SAME_STEP,
        `info["final_info"]` has it too.

    Args:
        env: any environment. Put `PreviousStep` or `Context` **above** this wrapper: they show the reward that they are
            given.
        feedback: where agents learn from numbers of the observation and not from reward (such as LinearRegression's last
            target): their places in it. They are shown as 0 too, but in the first observation of an episode.

    Raises:
        TypeError: `feedback` is no sequence of integers.
        ValueError: one of them is no place in a Box of floats of one axis.

    Example:
        >>> control = PreviousStep(HideReward(gym.make("metarl_envs:MetaRL/DarkRoom-v0", episodes_per_trial=10)))
    """

    def __init__(self, env: gym.Env, feedback: Sequence[int] | None = None):
        given = as_feedback(feedback)
        RecordConstructorArgs.__init__(self, feedback=given)
        super().__init__(env, _hidden, given)


class VectorHideReward(VectorRowsWrapper):
    """The vector form of `HideReward`, in every autoreset mode."""

    def __init__(self, env: VectorEnv, feedback: Sequence[int] | None = None):
        given = as_feedback(feedback)
        RecordConstructorArgs.__init__(self, feedback=given)
        super().__init__(env, _hidden, given)
