"""ReflectReward: the control in which the best looks worst, within the range of rewards."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.utils import RecordConstructorArgs
from gymnasium.vector import VectorEnv

from metarl_wrappers.arguments import as_number
from metarl_wrappers.feedback import FeedbackInSight, as_feedback
from metarl_wrappers.rows import Rows, RowsWrapper, Told, VectorRowsWrapper


def _reflected(values: np.ndarray, low: float, high: float, what: str) -> np.ndarray:
    """Return low + high - value; ValueError where one is out of the range."""
    outside = ~((values >= low) & (values <= high))
    if outside.any():
        raise ValueError(f"ReflectReward was told of {what} from low={low:g} to high={high:g}, and met {values[outside][0]:g}")
    return low + high - values


class _Reflected(Rows):
    def __init__(self, observation_space: gym.Space, action_space: gym.Space, count: int, low: float, high: float):
        super().__init__(observation_space, action_space, count)
        self._low, self._high = low, high

    def pay(self, rewards: np.ndarray, told: Told) -> np.ndarray:
        shown = np.zeros(len(rewards))
        shown[~told.idle] = _reflected(rewards[~told.idle], self._low, self._high, "rewards")
        return shown


class _ReflectedInSight(FeedbackInSight):
    def __init__(
        self,
        observation_space: gym.Space,
        action_space: gym.Space,
        count: int,
        feedback: list[int],
        low: float,
        high: float,
    ):
        super().__init__(observation_space, action_space, count, feedback)
        self._low, self._high = low, high

    def change(self, told: np.ndarray, rows: Any) -> np.ndarray:
        return _reflected(told, self._low, self._high, "feedback")


def _rows(
    observation_space: gym.Space, action_space: gym.Space, count: int, low: float, high: float, feedback: list[int] | None
) -> Rows:
    """Return the rows of either kind."""
    if feedback is None:
        return _Reflected(observation_space, action_space, count, low, high)
    return _ReflectedInSight(observation_space, action_space, count, feedback, low, high)


def _as_range(low: Any, high: Any) -> tuple[float, float]:
    """Return both ends as floats; TypeError where one is no number, ValueError where they are no range."""
    ends = as_number("low", low), as_number("high", high)
    if ends[0] >= ends[1]:
        raise ValueError(f"low={low!r} must be below high={high!r}")
    return ends


class ReflectReward(RowsWrapper):
    """Control: the reward that is shown is `low + high` minus the reward that is paid.

    The worst action looks best, and rewards stay in the range that the agent was trained with (which they do not under
    `NegateReward`, where rewards are never below 0). An agent that learns from reward ends below random play, as far as
    random play leaves room below it; one that takes reward as a mere sign that something happened does not. The score of the
    control is what was paid, so read it from `info`. For evaluating trained agents: what `step` returns is what is shown.

    Info:
        `info["metarl_control"]["reward"]`: float64, the reward paid by this step (0 at reset). In SAME_STEP,
        `info["final_info"]` has it too.

    Args:
        env: any environment. Put `PreviousStep` or `Context` **above** this wrapper: they show the reward that they are
            given.
        low, high: the range of rewards, or of feedback in observations.
        feedback: where agents learn from numbers of the observation and not from reward (such as LinearRegression's last
            target): their places in it. They are reflected, but in the first observation of an episode, and the reward is
            shown as 0.

    Raises:
        TypeError: `low` or `high` is no real number; `feedback` is no sequence of integers.
        ValueError: `low` is not below `high`, or one is not finite; a place is none in a Box of floats of one axis; in `step`,
            what is to be reflected is out of the range.

    Example:
        >>> env = gym.make("metarl_envs:MetaRL/BernoulliBandit-v0")
        >>> control = PreviousStep(ReflectReward(env, low=0, high=1))
    """

    def __init__(self, env: gym.Env, low: float, high: float, feedback: Sequence[int] | None = None):
        (low, high), given = _as_range(low, high), as_feedback(feedback)
        RecordConstructorArgs.__init__(self, low=low, high=high, feedback=given)
        super().__init__(env, _rows, low, high, given)


class VectorReflectReward(VectorRowsWrapper):
    """The vector form of `ReflectReward`, in every autoreset mode."""

    def __init__(self, env: VectorEnv, low: float, high: float, feedback: Sequence[int] | None = None):
        (low, high), given = _as_range(low, high), as_feedback(feedback)
        RecordConstructorArgs.__init__(self, low=low, high=high, feedback=given)
        super().__init__(env, _rows, low, high, given)
