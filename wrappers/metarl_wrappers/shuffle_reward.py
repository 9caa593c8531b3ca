"""ShuffleReward: the control in which rewards no longer belong to what earned them."""

from __future__ import annotations

import gymnasium as gym
import numpy as np
from gymnasium.utils import RecordConstructorArgs
from gymnasium.vector import VectorEnv

from metarl_wrappers.arguments import as_seed
from metarl_wrappers.rows import Rows, RowsWrapper, Told, VectorRowsWrapper
from metarl_wrappers.streams import TrialStreams, below, mix


class _Shuffled(Rows):
    """The rewards paid in the running trial, row by row, and how many they are."""

    def __init__(self, observation_space: gym.Space, action_space: gym.Space, count: int, seed: int):
        super().__init__(observation_space, action_space, count)
        self._streams = TrialStreams(seed, count)
        self._keys = np.zeros(count, np.uint64)
        self._known = np.zeros(count, np.int64)
        self._row = np.arange(count)
        self._paid = np.zeros((64, count))  # by step, then row: rows in step are written side by side
        self._most = 0  # no row knows more

    def begin(self, rows: np.ndarray, seeded: np.ndarray) -> None:
        self._streams.reseed(seeded)

    def start(self, rows: np.ndarray) -> None:
        self._keys[rows] = self._streams.start(rows)
        self._known[rows] = 0
        self._most = int(self._known.max())

    def pay(self, rewards: np.ndarray) -> np.ndarray:
        if self._most == len(self._paid):
            self._paid = np.concatenate([self._paid, np.zeros_like(self._paid)])
        paid = self._paid.reshape(-1)
        paid[self._known * self.count + self._row] = rewards
        drawn = below(mix(self._keys, self._known), self._known)
        shown = paid.take(drawn * self.count + self._row)
        shown[self._known == 0] = 0
        return shown

    def step(self, actions: np.ndarray, rewards: np.ndarray, told: Told) -> None:
        self._known += 1
        self._most += 1


class ShuffleReward(RowsWrapper):
    """Control: the reward that is shown was paid earlier in the trial, drawn at random.

    Each step shows the reward of one of the steps before it in the same trial, all with the same chance (with
    replacement), and 0 at the first step. So rewards come about as often as they are paid, but tell nothing about the
    step they stand beside: an agent that learns in context must do worse, and one that does not is a heuristic. The
    score of the control is what was paid, so read it from `info`. For evaluating trained agents: what `step` returns is
    what is shown.

    The draws depend on `seed`, the row, the number of the trial since `reset(seed=...)` and the step only: agents are
    paired. Row i of the vector form draws as the single form with seed + i.

    Info:
        `info["metarl_control"]["reward"]`: float64, the reward paid by this step (0 at reset). In SAME_STEP,
        `info["final_info"]` has it too.

    Args:
        env: any environment. Put `PreviousStep` or `Context` **above** this wrapper: they show the reward that they are
            given.
        seed: of the draws, an integer of at least 0 and below 2**64.

    Raises:
        TypeError: `seed` is no integer.
        ValueError: it is out of range.

    Example:
        >>> control = PreviousStep(ShuffleReward(gym.make("metarl_envs:MetaRL/DarkRoom-v0", episodes_per_trial=10), seed=1))
    """

    def __init__(self, env: gym.Env, seed: int = 0):
        seed = as_seed(seed)
        RecordConstructorArgs.__init__(self, seed=seed)
        super().__init__(env, _Shuffled, seed)


class VectorShuffleReward(VectorRowsWrapper):
    """The vector form of `ShuffleReward`, in every autoreset mode."""

    def __init__(self, env: VectorEnv, seed: int = 0):
        seed = as_seed(seed)
        RecordConstructorArgs.__init__(self, seed=seed)
        super().__init__(env, _Shuffled, seed)
