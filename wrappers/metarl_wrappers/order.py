"""The order of a stack: what must not stand between the source of `info["trial"]` and a wrapper that reads it.

`info["trial"]["final_obs"]` is told by whoever knows of trials, `Trial` or an environment of metarl_envs. A wrapper that
is not ours and changes observations above that leaves `final_obs` as it was; one that makes several steps in one swallows
the ends of episodes. Nobody above could mend that, so our wrappers refuse to stand there and say where the other belongs.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.vector import SyncVectorEnv, VectorEnv, VectorObservationWrapper, VectorWrapper

from metarl_wrappers.trial import Trial, VectorTrial

_STEPS_AT_ONCE = tuple(
    getattr(gym.wrappers, name)
    for name in ("AtariPreprocessing", "MaxAndSkipObservation", "RepeatAction")
    if hasattr(gym.wrappers, name)  # RepeatAction is there since Gymnasium 1.3
)
_FLAGS = ("trial_start", "episode_start", "inner_terminated", "inner_truncated")


class InOrder:
    """A wrapper that reads `info["trial"]`, and refuses a stack in which what it reads would be wrong.

    Attributes:
        shows_finals: whether it gives `final_obs` a form of its own.
    """

    env: Any  # of the form that this class stands beside
    shows_finals = False
    _wrong_order: str | None = None

    def _look_below(self, env: gym.Env | VectorEnv) -> None:
        """Look for what must not be below.

        Raises:
            ValueError: it stands above a `Trial`. (Above anything else, `_check_trial` raises once there are trials.)
        """
        for wrapper, trials_below in _above_trials(env):
            self._wrong_order = self._why_not(wrapper)
            if self._wrong_order is not None:
                if trials_below:
                    raise ValueError(self._wrong_order)
                return

    def _why_not(self, wrapper: gym.Wrapper | VectorWrapper) -> str | None:
        below, ours, trial = type(wrapper).__name__, type(self).__name__, "VectorTrial" if self._is_vector() else "Trial"
        under = f"below the trials, {ours}({trial}({below}(env), episodes_per_trial)){_with_our_ids(trial)}"
        if isinstance(wrapper, _STEPS_AT_ONCE):
            return f"{below} makes several steps in one, so {ours} above it would miss where episodes end. Put it {under}"
        if self.shows_finals and not isinstance(wrapper, InOrder) and _changes_observations(wrapper):
            return (
                f"{below} changes observations but not info['trial']['final_obs'], which {ours} above it reads. Put it "
                f"{under}, or on top, {below}({ours}(env)), where it takes what {ours} shows"
            )
        return None

    def _is_vector(self) -> bool:
        return isinstance(self, VectorEnv)

    def _check_trial(self, trial: dict[str, Any], observation: Any) -> None:
        """Check what a reset tells of trials.

        Raises:
            ValueError: the order of the stack is wrong, a key is missing, or `final_obs` has another form than observations.
        """
        if self._wrong_order is not None:
            raise ValueError(self._wrong_order)
        needed = (*_FLAGS, "final_obs") if self.shows_finals else _FLAGS
        missing = [key for key in needed if key not in trial]
        if missing:
            raise ValueError(
                f"info['trial'] of {self.env} lacks {', '.join(map(repr, missing))}; {type(self).__name__} needs "
                f"{', '.join(map(repr, needed))} (see VectorTrial or Trial, which tell them all)"
            )
        if self.shows_finals and not _same_form(trial["final_obs"], observation):
            raise ValueError(self._finals_differ("has another form than observations"))

    def _check_finals(self, final: Any, last: Any) -> None:
        """Check at the end of a trial that `final_obs` is the last observation, both as the agent sees them.

        Raises:
            ValueError: they differ: something that `_look_below` could not see changes observations.
        """
        if not _equal(final, last):
            raise ValueError(self._finals_differ("is not the last observation of the trial"))

    def _finals_differ(self, how: str) -> str:
        ours, trial = type(self).__name__, "VectorTrial" if self._is_vector() else "Trial"
        return (
            f"info['trial']['final_obs'] {how}: a wrapper in {self.env} changes observations but not final_obs. Put "
            f"it below the trials, {ours}({trial}(wrapper(env), episodes_per_trial)){_with_our_ids(trial)}, or on top of {ours}"
        )


def _with_our_ids(trial: str) -> str:
    return f" (environments of metarl_envs: made with episodes_per_trial=1, under {trial}(..., keep_task='new_trial'))"


def _above_trials(env: gym.Env | VectorEnv) -> Iterator[tuple[gym.Wrapper | VectorWrapper, bool]]:
    """Yield the wrappers above the source of trials, from the top down, and whether that is known to be one.

    Those of sub-environments follow, where they are in this process. Whether an environment that is no `Trial` tells of
    trials is known only when it is reset.
    """
    wrappers: list[gym.Wrapper | VectorWrapper] = []
    while isinstance(env, (gym.Wrapper, VectorWrapper)) and not isinstance(env, (Trial, VectorTrial)):
        wrappers.append(env)
        env = env.env
    within = [pair for sub in env.envs for pair in _above_trials(sub)] if isinstance(env, SyncVectorEnv) else []
    trials_below = isinstance(env, (Trial, VectorTrial))
    yield from ((wrapper, trials_below) for wrapper in wrappers)
    yield from within


def _changes_observations(wrapper: gym.Wrapper | VectorWrapper) -> bool:
    if isinstance(wrapper, (gym.ObservationWrapper, VectorObservationWrapper)):
        return True
    if isinstance(wrapper, VectorWrapper):
        return wrapper.single_observation_space != wrapper.env.single_observation_space
    return wrapper.observation_space != wrapper.env.observation_space


def _same_form(final: Any, observation: Any) -> bool:
    """Whether both are dicts with the same keys, tuples of one length, or arrays of one shape, and so are their parts."""
    if isinstance(final, np.ndarray) and final.dtype == object:
        return True  # one object a row, as SyncVectorEnv gives dicts: their parts are compared when an episode ends
    if isinstance(observation, dict):
        return isinstance(final, dict) and all(key in final and _same_form(final[key], observation[key]) for key in observation)
    if isinstance(observation, tuple):
        return isinstance(final, tuple) and len(final) == len(observation) and all(map(_same_form, final, observation))
    return not isinstance(final, (dict, tuple)) and np.shape(final) == np.shape(observation)


def _equal(final: Any, last: Any) -> bool:
    if isinstance(last, dict):
        return all(_equal(final[key], last[key]) for key in last)
    return np.array_equal(final, last, equal_nan=True)
