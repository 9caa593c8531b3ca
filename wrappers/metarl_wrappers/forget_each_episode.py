"""ForgetEachEpisode: the control that takes memory across episodes away."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
from gymnasium.utils import RecordConstructorArgs
from gymnasium.vector import VectorEnv

from metarl_wrappers.rows import Retell, RetellWrapper, VectorRetellWrapper


class _EachEpisodeATrial(Retell):
    def _retell(self, trial: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
        told = trial["episode_start"]
        return {**trial, "trial_start": told | False}, {"trial_start": trial["trial_start"]}


class ForgetEachEpisode(_EachEpisodeATrial, RetellWrapper):
    """Control: every episode is told as a trial of its own, so that an agent forgets at each.

    The task stays, and so do observations, rewards, terminated and truncated. Only `trial_start` changes, on which
    agents drop their memory, and on which `PreviousStep`, `Context`, `ContextStream` and `Notebook` **above** this
    wrapper empty theirs. An agent that learns in context gains nothing from episode to episode any more; one that gains
    all the same does not learn from them.

    Info:
        `info["trial"]["trial_start"]` equals `episode_start`; the true one is `info["metarl_control"]["trial_start"]`
        (bool).

    Args:
        env: an environment whose info has "trial": one of metarl_envs, or a `Trial`. ValueError at reset without.

    Example:
        >>> env = gym.make("metarl_envs:MetaRL/DarkRoom-v0", episodes_per_trial=10)
        >>> control = PreviousStep(ForgetEachEpisode(env))
    """

    def __init__(self, env: gym.Env):
        RecordConstructorArgs.__init__(self)
        super().__init__(env)


class VectorForgetEachEpisode(_EachEpisodeATrial, VectorRetellWrapper):
    """The vector form of `ForgetEachEpisode`, in every autoreset mode."""

    def __init__(self, env: VectorEnv):
        RecordConstructorArgs.__init__(self)
        super().__init__(env)
