"""PreviousStep: observations that carry the step before them, the input of RL²."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from gymnasium.utils import RecordConstructorArgs
from gymnasium.vector import VectorEnv

from metarl_wrappers.arguments import as_flag
from metarl_wrappers.codes import ActionCode, Code
from metarl_wrappers.observations import ALL, extended, in_order, named
from metarl_wrappers.rows import Rows, RowsWrapper, Told, VectorRowsWrapper


class _Named(Rows):
    """The previous step as entries of a flat Dict."""

    def __init__(self, observation_space: gym.Space, action_space: gym.Space, count: int):
        self._code = ActionCode(action_space)
        self._previous = {
            "previous_action": np.zeros((count, self._code.size), self._code.dtype),
            "previous_reward": np.zeros((count, 1), np.float32),
            "previous_terminated": np.zeros((count, 1), np.int8),
        }
        flag = spaces.Box(0, 1, (1,), np.int8)
        extra = {
            "previous_action": self._code.box(),
            "previous_reward": spaces.Box(-np.inf, np.inf, (1,), np.float32),
            "previous_terminated": flag,
            "episode_start": flag,
        }
        super().__init__(extended(observation_space, "PreviousStep", extra), action_space, count)

    def begin(self, rows: np.ndarray, seeded: np.ndarray) -> None:
        self._previous = {key: values.copy() for key, values in self._previous.items()}
        self.forget(rows)

    def step(self, actions: np.ndarray, rewards: np.ndarray, told: Told) -> None:
        self._previous = {
            "previous_action": self._code.encode(actions),
            "previous_reward": rewards.astype(np.float32)[:, None],
            "previous_terminated": told.terminated.astype(np.int8)[:, None],
        }

    def forget(self, rows: np.ndarray) -> None:
        for values in self._previous.values():
            values[rows] = 0

    def observe(self, observations: Any, rows: Any, episode_start: np.ndarray) -> dict[str, Any]:
        previous = {key: values[rows] for key, values in self._previous.items()}
        return {**named(observations), **previous, "episode_start": episode_start.astype(np.int8)[:, None]}


class _Flat(Rows):
    """The previous step, and the observation before it, as one float vector."""

    def __init__(self, observation_space: gym.Space, action_space: gym.Space, count: int):
        extended(observation_space, "PreviousStep", {})
        self._parts = {key: Code(part, f"the observation's {key!r}") for key, part in in_order(named(observation_space))}
        self._code = ActionCode(action_space)
        parts = [*self._parts.values(), self._code]
        self._before = sum(part.size for part in parts[:-1])
        self._reward = self._before + self._code.size
        low = np.concatenate([*(part.low for part in parts), [-np.inf, 0, 0]]).astype(np.float32)
        high = np.concatenate([*(part.high for part in parts), [np.inf, 1, 1]]).astype(np.float32)
        self._vectors = np.zeros((count, len(low)), np.float32)
        super().__init__(spaces.Box(low, high, dtype=np.float32), action_space, count)

    def begin(self, rows: np.ndarray, seeded: np.ndarray) -> None:
        self._vectors = self._vectors.copy()
        self.forget(rows)

    def step(self, actions: np.ndarray, rewards: np.ndarray, told: Told) -> None:
        self._vectors = self._code.padded(actions, self._before, after=3)
        self._vectors[:, self._reward] = rewards
        self._vectors[:, self._reward + 1] = told.terminated

    def forget(self, rows: np.ndarray) -> None:
        self._vectors[rows] = 0

    def observe(self, observations: Any, rows: Any, episode_start: np.ndarray) -> np.ndarray:
        vectors = self._vectors if rows is ALL else self._vectors[rows]
        column = 0
        parts = named(observations)
        for key, code in self._parts.items():
            code.write(parts[key], vectors, column)
            column += code.size
        vectors[:, -1] = episode_start
        return vectors


class PreviousStep(RowsWrapper):
    """The input of RL²: each observation carries the action, reward and end of the step before it.

    Within a trial, episode boundaries lose nothing: the first observation of the next episode carries the action and
    reward of the step that ended the last one, and whether it terminated. At a new trial all of it is null; then the
    last reward of the trial is in the last observation of the trial (in SAME_STEP that is `info["final_obs"]`). An
    action that was ignored (NEXT_STEP's resetting call) is no previous action. Without `info["trial"]`, each episode is
    a trial of its own. Where a step took the agent's memory (`info["memory_reset"]`: a day in a box ended), all of it is
    null too, except `episode_start`, which is 1 only where an episode starts.

    Observation:
        A flat Dict of the observation (under "observation", or its own keys if it is a flat Dict already) and

        * `previous_action`: (A,). Discrete and MultiDiscrete actions are one-hot, int8; Box (float32) and MultiBinary
          (int8) actions are flattened, followed by a 1. The null action is all zeros, which no action is.
        * `previous_reward`: float32 (1,).
        * `previous_terminated`: int8 (1,), 1 if the step before terminated an episode. (If it was truncated, this is
          0.)
        * `episode_start`: int8 (1,), 1 at the first observation of an episode.

        With `flat=True`, one float32 Box with the same numbers: observation (Dict entries in order of their keys,
        choices one-hot), previous_action, previous_reward, previous_terminated, episode_start.

    Info:
        `info["trial"]["final_obs"]`, `info["final_obs"]` become observations of this form.

    Args:
        env: any environment whose observations are a Box, Discrete, MultiDiscrete or MultiBinary, or a flat Dict of
            them.
        flat: give one vector instead of a Dict.

    Raises:
        TypeError: `flat` is neither True nor False.
        ValueError: the observation or action space is another, or a key is taken; at the first reset at the latest, a
            wrapper below changes observations above the trials.

    Example:
        >>> env = PreviousStep(gym.make("metarl_envs:MetaRL/DarkRoom-v0", episodes_per_trial=10), flat=True)
        >>> env.observation_space.shape
        (10,)
    """

    def __init__(self, env: gym.Env, flat: bool = False):
        flat = as_flag("flat", flat)
        RecordConstructorArgs.__init__(self, flat=flat)
        super().__init__(env, _Flat if flat else _Named)


class VectorPreviousStep(VectorRowsWrapper):
    """The vector form of `PreviousStep`, in every autoreset mode."""

    def __init__(self, env: VectorEnv, flat: bool = False):
        flat = as_flag("flat", flat)
        RecordConstructorArgs.__init__(self, flat=flat)
        super().__init__(env, _Flat if flat else _Named)
