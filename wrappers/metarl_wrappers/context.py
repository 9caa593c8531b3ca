"""Context and ContextStream: the transitions of the trial so far, as a sequence model eats them."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from gymnasium.utils import RecordConstructorArgs
from gymnasium.vector import VectorEnv
from gymnasium.vector.utils import batch_space

from metarl_wrappers.arguments import at_least
from metarl_wrappers.codes import ActionCode
from metarl_wrappers.observations import ALL, blanks, extended, named, take, with_zero
from metarl_wrappers.rows import Rows, RowsWrapper, Told, VectorRowsWrapper


def _context_spaces(observation_space: gym.Space, code: ActionCode, *length: int) -> dict[str, gym.Space]:
    """The spaces of `length` transitions, or of one without an axis for it."""
    flags = spaces.Box(0, 1, length or (1,), np.int8)
    seen = {f"context_{key}": with_zero(part) for key, part in named(observation_space).items()}  # zero where there is none
    if length:
        seen = {key: batch_space(part, *length) for key, part in seen.items()}
    return {
        **seen,
        "context_action": code.box(*length),
        "context_reward": spaces.Box(-np.inf, np.inf, length or (1,), np.float32),
        "context_terminated": flags,
        "context_truncated": flags,
        "context_mask": flags,
    }


class _Window(Rows):
    """Two windows of memory, one behind the other in time; when both are full, the newer becomes the older.

    Time is the first axis, so that each step writes side by side; what is given out has its axes swapped.
    """

    def __init__(self, observation_space: gym.Space, action_space: gym.Space, count: int, length: int):
        self._length = length
        self._code = ActionCode(action_space)
        extended(observation_space, "Context", {})
        context = _context_spaces(observation_space, self._code, length)
        twice = {key: (2 * length + 1, count, *(part.shape or ())[1:]) for key, part in context.items()}
        self._memory = {key: np.zeros(twice[key], part.dtype) for key, part in context.items()}
        self._now = length  # where the running step will be written
        super().__init__(extended(observation_space, "Context", context), action_space, count)

    def step(self, actions: np.ndarray, rewards: np.ndarray, told: Told) -> None:
        now, memory = self._now, self._memory
        memory["context_action"][now] = self._code.encode(actions)
        memory["context_reward"][now] = rewards
        memory["context_terminated"][now] = told.terminated
        memory["context_truncated"][now] = told.truncated
        memory["context_mask"][now] = 1
        self._now = now + 1
        if self._now > 2 * self._length:
            for values in memory.values():
                values[: self._length] = values[-self._length :]
            self._now = self._length

    def forget(self, rows: np.ndarray) -> None:
        for values in self._memory.values():
            values[: self._now, rows] = 0

    def observe(self, observations: Any, rows: Any, episode_start: np.ndarray) -> dict[str, Any]:
        window = slice(self._now - self._length, self._now)
        context = {key: values[window, rows].copy().swapaxes(0, 1) for key, values in self._memory.items()}
        if rows is ALL:
            for key, values in named(observations).items():
                self._memory[f"context_{key}"][self._now] = values
        return {**named(observations), **context}


class _Newest(Rows):
    """Only the newest transition, and when to forget the ones before."""

    def __init__(self, observation_space: gym.Space, action_space: gym.Space, count: int):
        self._code = ActionCode(action_space)
        context = _context_spaces(observation_space, self._code)
        context["context_clear"] = spaces.Box(0, 1, (1,), np.int8)
        space = extended(observation_space, "ContextStream", context)
        self._newest = {key: blanks(part, count) for key, part in context.items()}
        self._seen: dict[str, Any] = {}
        super().__init__(space, action_space, count)

    def begin(self, rows: np.ndarray, seeded: np.ndarray) -> None:
        self._newest = {key: values.copy() for key, values in self._newest.items()}
        self.forget(rows)
        self._newest["context_clear"][rows] = 0

    def step(self, actions: np.ndarray, rewards: np.ndarray, told: Told) -> None:
        ones = np.ones((self.count, 1), np.int8)
        self._newest = {
            **self._seen,
            "context_action": self._code.encode(actions),
            "context_reward": rewards.astype(np.float32)[:, None],
            "context_terminated": told.terminated.astype(np.int8)[:, None],
            "context_truncated": told.truncated.astype(np.int8)[:, None],
            "context_mask": ones,
            "context_clear": np.zeros_like(ones),
        }

    def forget(self, rows: np.ndarray) -> None:
        for values in self._newest.values():
            values[rows] = 0
        self._newest["context_clear"][rows] = 1

    def observe(self, observations: Any, rows: Any, episode_start: np.ndarray) -> dict[str, Any]:
        seen = named(observations)
        if rows is ALL:
            self._seen = {f"context_{key}": np.array(values) for key, values in seen.items()}
        return {**seen, **take(self._newest, rows)}


class Context(RowsWrapper):
    """The last transitions of the trial as arrays with a mask: what a sequence model eats.

    The window runs across episode boundaries and is emptied at a new trial; then the last transition of the old trial
    is in its last observation (in SAME_STEP that is `info["final_obs"]`). The newest transition is last; unfilled
    places, at the front, are zero. Each step copies the whole window; where that is too slow, see `ContextStream`.
    Without `info["trial"]`, each episode is a trial of its own. An end that comes from above the trials (`TimeLimit`) is
    told too. Where a step took the agent's memory (`info["memory_reset"]`: a day in a box ended), the window is emptied.

    Observation:
        A flat Dict of the observation (under "observation", or its own keys if it is a flat Dict already) and, L =
        `length`,

        * `context_<key>`: (L, ...) in the space's dtype: the observation that each action was taken in. Its space is
            that of the observation, widened to hold zero.
        * `context_action`: (L, A), as `PreviousStep` has it.
        * `context_reward`: float32 (L,).
        * `context_terminated`, `context_truncated`: int8 (L,), 1 where the transition ended an episode so.
        * `context_mask`: int8 (L,), 1 where there is a transition.

    Info:
        `info["trial"]["final_obs"]`, `info["final_obs"]` become observations of this form.

    Args:
        env: any environment whose observations are a Box, Discrete, MultiDiscrete or MultiBinary, or a flat Dict of
            them.
        length: L, at least 1.

    Raises:
        TypeError: `length` is no integer.
        ValueError: the observation or action space is another, a key is taken, or `length` is below 1; at the first
            reset at the latest, a wrapper below changes observations above the trials.

    Example:
        >>> env = Context(gym.make("metarl_envs:MetaRL/DarkRoom-v0", episodes_per_trial=10), length=200)
        >>> env.observation_space["context_action"].shape
        (200, 5)
    """

    def __init__(self, env: gym.Env, length: int):
        length = at_least("length", length, 1)
        RecordConstructorArgs.__init__(self, length=length)
        super().__init__(env, _Window, length)


class VectorContext(VectorRowsWrapper):
    """The vector form of `Context`, in every autoreset mode."""

    def __init__(self, env: VectorEnv, length: int):
        length = at_least("length", length, 1)
        RecordConstructorArgs.__init__(self, length=length)
        super().__init__(env, _Window, length)


class ContextStream(RowsWrapper):
    """The newest transition only, for models that cache the ones before, and when to drop the cache.

    What a model does with an observation: if `context_clear`, drop the cache; if `context_mask`, append the transition;
    then act on the observation. Fed so, it has seen what `Context` shows with an unlimited length. (A reset of some
    rows by `reset_mask` shows the other rows again what they were shown: feed only the rows that were reset.)

    Observation:
        A flat Dict of the observation (under "observation", or its own keys if it is a flat Dict already) and

        * `context_<key>`: the observation before, in its space widened to hold zero.
        * `context_action`: (A,), as `PreviousStep` has it. `context_reward`: float32 (1,).
        * `context_terminated`, `context_truncated`: int8 (1,), whether the transition ended an episode so.
        * `context_mask`: int8 (1,), 1 if there is a new transition (else all of the above are zero).
        * `context_clear`: int8 (1,), 1 at the first observation of a trial, and where a step took the agent's memory
            (`info["memory_reset"]`: a day in a box ended).

    Info:
        `info["trial"]["final_obs"]`, `info["final_obs"]` become observations of this form.

    Args:
        env: any environment whose observations are a Box, Discrete, MultiDiscrete or MultiBinary, or a flat Dict of
            them.

    Raises:
        ValueError: the observation or action space is another, or a key is taken; at the first reset at the latest, a
            wrapper below changes observations above the trials.

    Example:
        >>> env = ContextStream(gym.make("metarl_envs:MetaRL/DarkRoom-v0", episodes_per_trial=10))
        >>> env.reset(seed=0)[0]["context_clear"]
        array([1], dtype=int8)
    """

    def __init__(self, env: gym.Env):
        RecordConstructorArgs.__init__(self)
        super().__init__(env, _Newest)


class VectorContextStream(VectorRowsWrapper):
    """The vector form of `ContextStream`, in every autoreset mode."""

    def __init__(self, env: VectorEnv):
        RecordConstructorArgs.__init__(self)
        super().__init__(env, _Newest)
