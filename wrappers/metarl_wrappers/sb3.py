"""SB3VecEnv: a Gymnasium vector environment as Stable-Baselines3's own `VecEnv`. Imported only when it is asked for."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import numpy as np
from gymnasium.vector import AutoresetMode, VectorEnv, VectorWrapper

from metarl_wrappers.autoreset import mode_of
from metarl_wrappers.observations import split, take, tree

try:
    from stable_baselines3.common.vec_env import VecEnv
except ModuleNotFoundError as error:
    if error.name != "stable_baselines3":
        raise
    message = "metarl_wrappers.SB3VecEnv needs Stable-Baselines3: pip install stable-baselines3"
    raise ModuleNotFoundError(message, name="stable_baselines3") from error


class SB3VecEnv(VecEnv):
    """A Gymnasium vector environment as Stable-Baselines3 takes it: all rows in one call, instead of one by one.

    An episode of SB3 is a whole trial. Put `VecMonitor` around it to see its return and length in SB3's log.

    Where observations or infos of the vector environment hold an `action_mask`, `action_masks()` tells it: the method that
    sb3-contrib's `MaskablePPO` asks for.

    Info:
        `infos` hold what SB3 reads, `terminal_observation` and `TimeLimit.truncated`, in the rows that are done.
        Everything else that the vector environment told with the last step or reset is in the attribute `info`.

    Args:
        env: a vector environment in SAME_STEP, with its vector wrappers.

    Raises:
        ValueError: it resets in another mode.
        ModuleNotFoundError: (at import) Stable-Baselines3 is not installed.

    Example:
        >>> envs = gym.make_vec("metarl_envs:MetaRL/DarkRoom-v0", num_envs=64, autoreset_mode="SameStep", episodes_per_trial=10)
        >>> model = PPO("MlpPolicy", VecMonitor(SB3VecEnv(VectorPreviousStep(envs, flat=True))))
    """

    def __init__(self, env: VectorEnv):
        if mode_of(env) is not AutoresetMode.SAME_STEP:
            raise ValueError(
                "Stable-Baselines3 resets in the step that ends: make the vector environment with "
                f"autoreset_mode=AutoresetMode.SAME_STEP, not {mode_of(env)}"
            )
        self.env = env
        self.info: dict[str, Any] = {}
        self._masks: np.ndarray | None = None
        super().__init__(env.num_envs, env.single_observation_space, env.single_action_space)

    def reset(self) -> Any:
        """Begin new trials in all rows, with the seeds and options given before by `seed` and `set_options`."""
        if any(options != self._options[0] for options in self._options):
            raise ValueError("set_options: a vector environment takes the same options for all rows; give one dict")
        seeds: Any = self._seeds if any(seed is not None for seed in self._seeds) else None
        observations, self.info = self.env.reset(seed=seeds, options=self._options[0] or None)
        self._reset_seeds()
        self._reset_options()
        self._keep_masks(observations)
        return tree(np.copy, observations)

    def step_async(self, actions: np.ndarray) -> None:
        """Take the actions; `step_wait` does the step."""
        self._actions = actions

    def step_wait(self) -> tuple[Any, np.ndarray, np.ndarray, list[dict[str, Any]]]:
        """Step all rows."""
        observations, rewards, terminated, truncated, self.info = self.env.step(self._actions)
        done = terminated | truncated
        infos: list[dict[str, Any]] = [{} for _ in range(self.num_envs)]
        if done.any():
            rows = np.flatnonzero(done)
            for row, final in zip(rows.tolist(), split(take(self.info["final_obs"], rows), len(rows)), strict=True):
                infos[row]["terminal_observation"] = final
                infos[row]["TimeLimit.truncated"] = bool(truncated[row] and not terminated[row])
        self._keep_masks(observations)
        # SB3 reads an observation again after the next step, so it must not lie in arrays that are given out again.
        return tree(np.copy, observations), rewards.astype(np.float32), done, infos

    def action_masks(self) -> np.ndarray:
        """Return which actions are allowed now, bool [rows, actions].

        Raises:
            AttributeError: neither observations nor infos hold an `action_mask`, or nothing was observed yet.
        """
        if self._masks is None:
            raise AttributeError(f"neither the last observations nor the last infos of {self.env} hold an 'action_mask'")
        return self._masks.copy()

    def _keep_masks(self, observations: Any) -> None:
        seen = observations if isinstance(observations, dict) else {}
        masks = seen.get("action_mask", self.info.get("action_mask"))
        self._masks = None if masks is None else masks.astype(np.bool_)

    def close(self) -> None:
        """Close the vector environment."""
        self.env.close()

    def get_images(self) -> Sequence[Any]:
        """One picture a row."""
        return self.env.render() or [None] * self.num_envs

    def get_attr(self, attr_name: str, indices: Any = None) -> list[Any]:
        """An attribute of the vector environment, or of one that it wraps, once for each row.

        Raises:
            AttributeError: there is none.
        """
        rows = self._get_indices(indices)
        if attr_name == "action_masks":
            self.action_masks()
            return [functools.partial(self._masks_of, row) for row in rows]
        env = self.env
        while isinstance(env, VectorWrapper) and not hasattr(env, attr_name):
            env = env.env
        return [getattr(env, attr_name) for _ in rows]

    def _masks_of(self, row: int) -> np.ndarray:
        return self.action_masks()[row]

    def set_attr(self, attr_name: str, value: Any, indices: Any = None) -> None:
        """Rows have no attributes of their own, so there is nothing to set."""
        raise NotImplementedError(f"the rows of {self.env} are no environments of their own: set {attr_name!r} on the whole")

    def env_method(self, method_name: str, *method_args: Any, indices: Any = None, **method_kwargs: Any) -> list[Any]:
        """Call `action_masks` of rows; they have no other methods of their own."""
        if method_name == "action_masks":
            return [self._masks_of(row) for row in self._get_indices(indices)]
        raise NotImplementedError(f"the rows of {self.env} are no environments of their own: call {method_name!r} on the whole")

    def env_is_wrapped(self, wrapper_class: Any, indices: Any = None) -> list[bool]:
        """No row is in a wrapper of its own."""
        return [False for _ in self._get_indices(indices)]
