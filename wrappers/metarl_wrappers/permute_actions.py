"""PermuteActions: the control in which every action means another one."""

from __future__ import annotations

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from gymnasium.utils import RecordConstructorArgs
from gymnasium.vector import VectorEnv

from metarl_wrappers.arguments import as_seed
from metarl_wrappers.rows import Rows, RowsWrapper, VectorRowsWrapper
from metarl_wrappers.streams import TrialStreams, cycles


class _Permuted(Rows):
    """A table of what each action of each row means."""

    def __init__(self, observation_space: gym.Space, action_space: gym.Space, count: int, seed: int):
        if not isinstance(action_space, spaces.Discrete) or action_space.n < 2:
            raise ValueError(f"PermuteActions needs a Discrete action space of at least two actions; it is {action_space}")
        super().__init__(observation_space, action_space, count)
        self._size, self._low = int(action_space.n), int(action_space.start)
        self._streams = TrialStreams(seed, count)
        self._meaning = np.tile(np.arange(self._size), (count, 1))
        self._first = np.arange(count) * self._size

    def begin(self, rows: np.ndarray, seeded: np.ndarray) -> None:
        self._streams.reseed(seeded)

    def start(self, rows: np.ndarray) -> None:
        self._meaning[rows] = cycles(self._streams.start(rows), self._size)

    def act(self, actions: np.ndarray) -> np.ndarray:
        if actions.shape != (self.count,) or actions.dtype.kind not in "iu":
            raise ValueError(f"actions must be {self.count} integers; got shape {actions.shape} and dtype {actions.dtype}")
        numbers = actions.astype(np.int64, copy=False) - self._low
        if numbers.min() < 0 or numbers.max() >= self._size:
            wrong = actions[(numbers < 0) | (numbers >= self._size)][0]
            raise ValueError(f"action {wrong} is outside {self.action_space}")
        meant = self._meaning.reshape(-1).take(self._first + numbers) + self._low
        return meant.astype(self.action_space.dtype, copy=False)


class PermuteActions(RowsWrapper):
    """Control: in each trial the actions mean other ones, by a permutation that is hidden.

    At the start of a trial a random cycle through all actions is drawn: none keeps its meaning. It holds for the trial.
    A policy that knows by heart what its actions do must fail; one that finds out in context recovers. Above this
    wrapper, `PreviousStep` and `Context` show the actions that the agent chose.

    The draws depend on `seed`, the row and the number of the trial since `reset(seed=...)` only. Row i of the vector
    form draws as the single form with seed + i.

    Args:
        env: any environment with a Discrete action space of at least two actions.
        seed: of the draws, an integer of at least 0 and below 2**64.

    Raises:
        TypeError: `seed` is no integer.
        ValueError: the action space is another, or `seed` is out of range; in `step`, an action outside the space.

    Example:
        >>> control = PreviousStep(PermuteActions(gym.make("metarl_envs:MetaRL/DarkRoom-v0", episodes_per_trial=10), seed=1))
    """

    def __init__(self, env: gym.Env, seed: int = 0):
        seed = as_seed(seed)
        RecordConstructorArgs.__init__(self, seed=seed)
        super().__init__(env, _Permuted, seed)


class VectorPermuteActions(VectorRowsWrapper):
    """The vector form of `PermuteActions`, in every autoreset mode."""

    def __init__(self, env: VectorEnv, seed: int = 0):
        seed = as_seed(seed)
        RecordConstructorArgs.__init__(self, seed=seed)
        super().__init__(env, _Permuted, seed)
