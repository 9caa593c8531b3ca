"""Entry points of `gymnasium.make` and `gymnasium.make_vec`, which find them by the strings in `metarl_envs.ids`."""

from __future__ import annotations

from typing import Any

import gymnasium as gym

from metarl_envs.engine.composing import Spec, family_at
from metarl_envs.engine.envs.single import SingleEnv
from metarl_envs.engine.envs.vector import FamilyVectorEnv
from metarl_envs.task_sets import TaskSet

#: Arguments that every environment takes; all others are the family's own parameters.
_COMMON = {
    "episodes_per_trial",
    "trial_end",
    "num_tasks",
    "ground_truth",
    "render_mode",
    "reveal",
    "num_envs",
    "autoreset_mode",
    "num_threads",
    "reuse_arrays",
    "dense_final_obs",
    "max_episode_steps",
}


def make_single(*, family: Spec, split: str | None = None, **arguments: Any) -> gym.Env:
    """Make a single environment: see `metarl_envs.engine.envs.single.SingleEnv` for the common arguments."""
    common, tasks = _prepare(family, split, arguments)
    return SingleEnv(tasks, **common)


#: What Gymnasium asks of whatever makes an environment before it makes "human" and "rgb_array_list" of "rgb_array".
make_single.metadata = {"render_modes": ["rgb_array", "ansi"], "render_fps": 10}  # type: ignore[attr-defined]


def make_vector(*, family: Spec, split: str | None = None, **arguments: Any) -> gym.vector.VectorEnv:
    """Make a vector environment: see `metarl_envs.engine.envs.vector.FamilyVectorEnv` for the common arguments."""
    common, tasks = _prepare(family, split, arguments)
    return FamilyVectorEnv(tasks, **common)


def _prepare(family: Spec, split: str | None, arguments: dict[str, Any]) -> tuple[dict[str, Any], Any]:
    """Tell common arguments from parameters, and make the task set."""
    common = {name: value for name, value in arguments.items() if name in _COMMON}
    params = {name: value for name, value in arguments.items() if name not in _COMMON}
    return common, TaskSet.of_family(family_at(family), split=split, **params)
