"""HideBoundaries: the control in which nobody says where an episode ends."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
from gymnasium.utils import RecordConstructorArgs
from gymnasium.vector import VectorEnv

from metarl_wrappers.rows import Retell, RetellWrapper, VectorRetellWrapper


class _NoInnerFlags(Retell):
    shows_finals = True  # blank ones, in the form of observations

    def _retell(self, trial: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
        hidden = ("episode_start", "inner_terminated", "inner_truncated")
        never = trial["episode_start"] & False
        told = {
            **trial,
            "episode_start": trial["trial_start"] | False,
            "inner_terminated": never,
            "inner_truncated": never | False,
            "final_obs": self._blank(),
        }
        return told, {key: trial[key] for key in hidden}


class HideBoundaries(_NoInnerFlags, RetellWrapper):
    """Control: within a trial nothing says any more where one episode ends and the next begins.

    Observations, rewards, terminated and truncated stay, so the end of a trial is still told (Gymnasium could not do
    without). Put `PreviousStep` or `Context` **above** this wrapper: their flags of ends and starts are then 0 within a
    trial too; in its last observation they say that it ended.

    Info:
        In `info["trial"]`, `inner_terminated` and `inner_truncated` are False, `episode_start` is True at the start of
        a trial only, and `final_obs` is zero. The true flags are in `info["metarl_control"]`: `episode_start`,
        `inner_terminated`, `inner_truncated` (bool).

    Args:
        env: an environment whose info has "trial": one of metarl_envs, or a `Trial`. ValueError at reset without, or
            where a wrapper below changes observations above the trials.

    Example:
        >>> env = gym.make("metarl_envs:MetaRL/DarkRoom-v0", episodes_per_trial=10)
        >>> control = PreviousStep(HideBoundaries(env))
    """

    def __init__(self, env: gym.Env):
        RecordConstructorArgs.__init__(self)
        super().__init__(env)


class VectorHideBoundaries(_NoInnerFlags, VectorRetellWrapper):
    """The vector form of `HideBoundaries`, in every autoreset mode."""

    def __init__(self, env: VectorEnv):
        RecordConstructorArgs.__init__(self)
        super().__init__(env)
