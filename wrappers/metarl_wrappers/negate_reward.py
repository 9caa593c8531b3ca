"""NegateReward: the control in which good looks bad."""

from __future__ import annotations

import gymnasium as gym
import numpy as np
from gymnasium.utils import RecordConstructorArgs
from gymnasium.vector import VectorEnv

from metarl_wrappers.rows import Rows, RowsWrapper, Told, VectorRowsWrapper


class _Negated(Rows):
    def pay(self, rewards: np.ndarray, told: Told) -> np.ndarray:
        return 0.0 - rewards


class NegateReward(RowsWrapper):
    """Control: the reward that is shown is minus the reward that is paid.

    An agent that learns from reward seeks what it should avoid; a heuristic that never looks at reward scores as
    before. The score of the control is what was paid, so read it from `info`. For evaluating trained agents: what
    `step` returns is what is shown.

    Info:
        `info["metarl_control"]["reward"]`: float64, the reward paid by this step (0 at reset). In SAME_STEP,
        `info["final_info"]` has it too.

    Args:
        env: any environment. Put `PreviousStep` or `Context` **above** this wrapper: they show the reward that they are
            given.

    Example:
        >>> control = PreviousStep(NegateReward(gym.make("metarl_envs:MetaRL/DarkRoom-v0", episodes_per_trial=10)))
    """

    def __init__(self, env: gym.Env):
        RecordConstructorArgs.__init__(self)
        super().__init__(env, _Negated)


class VectorNegateReward(VectorRowsWrapper):
    """The vector form of `NegateReward`, in every autoreset mode."""

    def __init__(self, env: VectorEnv):
        RecordConstructorArgs.__init__(self)
        super().__init__(env, _Negated)
