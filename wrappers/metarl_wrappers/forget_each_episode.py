"""ForgetEachEpisode: the control that takes memory across episodes away."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.utils import RecordConstructorArgs
from gymnasium.vector import VectorEnv

from metarl_wrappers.arguments import at_least
from metarl_wrappers.rows import Retell, RetellWrapper, VectorRetellWrapper


class _EachEpisodeATrial(Retell):
    """Tells each episode as a trial, and with `every` also each run of so many steps within one.

    `_clock` counts the steps of the episodes that run: an int64, or one a row.
    """

    _every: int | None
    _clock: np.ndarray | int = 0

    def _count(self, stepped: bool, trial: dict[str, Any]) -> None:
        self._clock = np.where(trial["episode_start"], 0, self._clock + stepped)

    def _retell(self, trial: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
        told = trial["episode_start"] | False
        if self._every is not None:
            ends = np.asarray(trial["inner_terminated"] | trial["inner_truncated"], np.bool_)
            again = (self._clock > np.int64(0)) & (self._clock % self._every == 0) & ~ends
            told = told | (again if again.ndim else bool(again))
        return {**trial, "trial_start": told}, {"trial_start": trial["trial_start"]}


def _as_every(every: Any) -> int | None:
    """Return the number of steps as a Python int, or None."""
    return None if every is None else at_least("every", every, 1)


class ForgetEachEpisode(_EachEpisodeATrial, RetellWrapper):
    """Control: every episode is told as a trial of its own, so that an agent forgets at each.

    The task stays, and so do observations, rewards, terminated and truncated. Only `trial_start` changes, on which
    agents drop their memory, and on which `PreviousStep`, `Context`, `ContextStream` and `Notebook` **above** this
    wrapper empty theirs. An agent that learns in context gains nothing from episode to episode any more; one that gains
    all the same does not learn from them.

    Info:
        `info["trial"]["trial_start"]` equals `episode_start` (without `every`); the true one is
        `info["metarl_control"]["trial_start"]` (bool).

    Args:
        env: an environment whose info has "trial": one of metarl_envs, or a `Trial`. ValueError at reset without.
        every: also tell a trial start after each run of so many steps of an episode, for families of one long episode.

    Raises:
        TypeError: `every` is no integer.
        ValueError: it is below 1.

    Example:
        >>> env = gym.make("metarl_envs:MetaRL/DarkRoom-v0", episodes_per_trial=10)
        >>> control = PreviousStep(ForgetEachEpisode(env))
    """

    def __init__(self, env: gym.Env, every: int | None = None):
        self._every = _as_every(every)
        RecordConstructorArgs.__init__(self, every=self._every)
        super().__init__(env)


class VectorForgetEachEpisode(_EachEpisodeATrial, VectorRetellWrapper):
    """The vector form of `ForgetEachEpisode`, in every autoreset mode."""

    def __init__(self, env: VectorEnv, every: int | None = None):
        self._every = _as_every(every)
        RecordConstructorArgs.__init__(self, every=self._every)
        super().__init__(env)
