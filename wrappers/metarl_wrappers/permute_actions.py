"""PermuteActions: the control in which every action means another one."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from gymnasium.utils import RecordConstructorArgs
from gymnasium.vector import VectorEnv

from metarl_wrappers.arguments import as_seed, at_least
from metarl_wrappers.rows import Rows, RowsWrapper, Told, VectorRowsWrapper
from metarl_wrappers.streams import TrialStreams, cycles


class _Permuted(Rows):
    """A table of what each action of each row means."""

    def __init__(self, observation_space: gym.Space, action_space: gym.Space, count: int, seed: int, after: tuple[int, int]):
        if not isinstance(action_space, spaces.Discrete) or action_space.n < 2:
            raise ValueError(f"PermuteActions needs a Discrete action space of at least two actions; it is {action_space}")
        super().__init__(observation_space, action_space, count)
        self.size, self._low = int(action_space.n), int(action_space.start)
        self._streams = TrialStreams(seed, count)
        self._meaning = np.tile(np.arange(self.size), (count, 1))
        self._first = np.arange(count) * self.size
        self._after_episodes, self._after_steps = after
        self._drawn = self._meaning.copy()
        self._episodes, self._steps = np.zeros((2, count), np.int64)  # of the trial; steps since so many episodes

    def begin(self, rows: np.ndarray, seeded: np.ndarray) -> None:
        self._streams.reseed(seeded)

    def start(self, rows: np.ndarray) -> None:
        self._drawn[rows] = cycles(self._streams.start(rows), self.size)
        self._episodes[rows] = self._steps[rows] = 0
        at_once = self._after_episodes == self._after_steps == 0
        self._meaning[rows] = self._drawn[rows] if at_once else np.arange(self.size)

    def step(self, actions: np.ndarray, rewards: np.ndarray, told: Told) -> None:
        self._steps += ~told.idle & (self._episodes >= self._after_episodes)
        self._episodes += told.terminated | told.truncated
        due = (self._episodes >= self._after_episodes) & (self._steps >= self._after_steps)
        self._meaning[due] = self._drawn[due]

    def act(self, actions: np.ndarray) -> np.ndarray:
        if actions.shape != (self.count,) or actions.dtype.kind not in "iu":
            raise ValueError(f"actions must be {self.count} integers; got shape {actions.shape} and dtype {actions.dtype}")
        numbers = actions.astype(np.int64, copy=False) - self._low
        if numbers.min() < 0 or numbers.max() >= self.size:
            wrong = actions[(numbers < 0) | (numbers >= self.size)][0]
            raise ValueError(f"action {wrong} is outside {self.action_space}")
        meant = self._meaning.reshape(-1).take(self._first + numbers) + self._low
        return meant.astype(self.action_space.dtype, copy=False)

    def allow(self, masks: np.ndarray, rows: np.ndarray) -> np.ndarray:
        if masks.shape != (len(rows), self.size):
            raise ValueError(
                f"info['action_mask'] has the shape {masks.shape[1:]}; PermuteActions needs one number for each of the "
                f"{self.size} actions"
            )
        return np.take_along_axis(masks, self._meaning[rows], axis=1)


class _PermutedWithMask(_Permuted):
    """The same where observations hold the action mask: an action is allowed if what it means is."""

    def observe(self, observations: Any, rows: Any, episode_start: np.ndarray) -> dict[str, Any]:
        mask = np.take_along_axis(observations["action_mask"], self._meaning[rows], axis=1)
        seen = {key: values.copy() for key, values in observations.items() if key != "action_mask"}
        return {**seen, "action_mask": mask}


def _permuted(
    observation_space: gym.Space, action_space: gym.Space, count: int, seed: int, after: tuple[int, int]
) -> _Permuted:
    """Return the rows of either kind.

    Raises:
        ValueError: the observation holds an `action_mask` of another form than one number for each action.
    """
    mask = observation_space.spaces.get("action_mask") if isinstance(observation_space, spaces.Dict) else None
    if mask is None:
        return _Permuted(observation_space, action_space, count, seed, after)
    rows = _PermutedWithMask(observation_space, action_space, count, seed, after)
    if mask.shape != (rows.size,):
        raise ValueError(
            f"the observation's 'action_mask' is {mask}; PermuteActions needs one number for each of the {rows.size} "
            "actions, to permute the mask with them"
        )
    return rows


class PermuteActions(RowsWrapper):
    """Control: in each trial the actions mean other ones, by a permutation that is hidden.

    At the start of a trial a random cycle through all actions is drawn: none keeps its meaning. It holds for the trial, or
    from `after_episodes` and `after_steps` on, where actions change their meaning in the middle of it.
    A policy that knows by heart what its actions do must fail; one that finds out in context recovers. Above this
    wrapper, `PreviousStep` and `Context` show the actions that the agent chose. An action mask is permuted with the
    actions, so that an action is allowed if what it means is.

    The draws depend on `seed`, the row and the number of the trial since `reset(seed=...)` only. Row i of the vector
    form draws as the single form with seed + i.

    Observation:
        As before, but `action_mask` in a flat Dict is that of the agent's actions.

    Info:
        So is `info["action_mask"]`, and in SAME_STEP that in `info["final_info"]`. Beside a mask in observations,
        `info["trial"]["final_obs"]` and `info["final_obs"]` are changed in the same way.

    Args:
        env: any environment with a Discrete action space of at least two actions.
        seed: of the draws, an integer of at least 0 and below 2**64.
        after_episodes, after_steps: actions keep their meaning for the first so many episodes of a trial, and so many steps
            after those.

    Raises:
        TypeError: `seed`, `after_episodes` or `after_steps` is no integer.
        ValueError: the action space is another, the mask does not have one number for each action, or a number is out
            of range; in `step`, an action outside the space; beside a mask in observations, at the first reset at the latest,
            a wrapper below changes observations above the trials.

    Example:
        >>> control = PreviousStep(PermuteActions(gym.make("metarl_envs:MetaRL/DarkRoom-v0", episodes_per_trial=10), seed=1))
    """

    def __init__(self, env: gym.Env, seed: int = 0, after_episodes: int = 0, after_steps: int = 0):
        seed = as_seed(seed)
        episodes, steps = at_least("after_episodes", after_episodes, 0), at_least("after_steps", after_steps, 0)
        RecordConstructorArgs.__init__(self, seed=seed, after_episodes=episodes, after_steps=steps)
        super().__init__(env, _permuted, seed, (episodes, steps))


class VectorPermuteActions(VectorRowsWrapper):
    """The vector form of `PermuteActions`, in every autoreset mode."""

    def __init__(self, env: VectorEnv, seed: int = 0, after_episodes: int = 0, after_steps: int = 0):
        seed = as_seed(seed)
        episodes, steps = at_least("after_episodes", after_episodes, 0), at_least("after_steps", after_steps, 0)
        RecordConstructorArgs.__init__(self, seed=seed, after_episodes=episodes, after_steps=steps)
        super().__init__(env, _permuted, seed, (episodes, steps))
