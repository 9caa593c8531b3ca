"""HideReward: the control in which nobody says what paid."""

from __future__ import annotations

import gymnasium as gym
import numpy as np
from gymnasium.utils import RecordConstructorArgs
from gymnasium.vector import VectorEnv

from metarl_wrappers.rows import Rows, RowsWrapper, Told, VectorRowsWrapper


class _Hidden(Rows):
    def pay(self, rewards: np.ndarray, told: Told) -> np.ndarray:
        return np.zeros(len(rewards))


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

    Example:
        >>> control = PreviousStep(HideReward(gym.make("metarl_envs:MetaRL/DarkRoom-v0", episodes_per_trial=10)))
    """

    def __init__(self, env: gym.Env):
        RecordConstructorArgs.__init__(self)
        super().__init__(env, _Hidden)


class VectorHideReward(VectorRowsWrapper):
    """The vector form of `HideReward`, in every autoreset mode."""

    def __init__(self, env: VectorEnv):
        RecordConstructorArgs.__init__(self)
        super().__init__(env, _Hidden)
