"""Checks of vector environments, in each autoreset mode."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.error import ResetNeeded
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space

from metarl_envs.testing.runs import assert_nothing_shared, assert_refused, fixed_actions, same


@dataclass(frozen=True)
class VectorSubject:
    """What a vector check is about: how to make the environments, and how long to run them."""

    factory: Callable[..., VectorEnv]
    single: Callable[[], gym.Env] | None
    num_envs: int
    steps: int
    mode: AutoresetMode

    def make(self) -> VectorEnv:
        """Return a fresh vector environment."""
        return self.factory(num_envs=self.num_envs, autoreset_mode=self.mode)

    def run(self, envs: VectorEnv, seed: int = 0) -> Iterator[tuple]:
        """Everything that a run with random actions returns; with DISABLED, ended rows are reset at once."""
        obs, info = envs.reset(seed=seed)
        yield obs, None, None, None, info
        for action in fixed_actions(envs.action_space, self.steps):
            result = envs.step(action)
            yield result
            over = result[2] | result[3]
            if self.mode is AutoresetMode.DISABLED and over.any():
                obs, info = envs.reset(options={"reset_mask": over.copy()})
                yield obs, None, None, None, info


def check_vector_attributes(subject: VectorSubject) -> None:
    """Spaces are batches of the single spaces, and the autoreset mode is where libraries look for it."""
    envs = subject.make()
    assert isinstance(envs, VectorEnv), f"{type(envs).__name__} must be a gymnasium.vector.VectorEnv"
    assert envs.num_envs == subject.num_envs, f"num_envs is {envs.num_envs}; {subject.num_envs} were asked for"
    for name in ("observation_space", "action_space"):
        whole, one = getattr(envs, name), getattr(envs, f"single_{name}")
        batched = batch_space(one, subject.num_envs)
        assert whole == batched, f"{name} is {whole}; {subject.num_envs} of single_{name} make {batched}"
    mode = envs.metadata.get("autoreset_mode")
    assert mode is subject.mode, f"metadata['autoreset_mode'] is {mode!r}; it must be {subject.mode}"
    envs.close()


def check_vector_outputs(subject: VectorSubject) -> None:
    """Observations lie in the batched space with its dtype; rewards are float64 and ends bool, one a row."""
    envs = subject.make()
    ended = 0
    for obs, reward, terminated, truncated, _ in subject.run(envs):
        assert envs.observation_space.contains(obs), f"observations {obs!r} lie outside {envs.observation_space}"
        if reward is None:
            continue
        forms = {
            "rewards": (reward, np.float64),
            "terminations": (terminated, np.bool_),
            "truncations": (truncated, np.bool_),
        }
        for name, (array, dtype) in forms.items():
            assert isinstance(array, np.ndarray), f"{name} are a {type(array).__name__}; they must be an array"
            assert (array.dtype, array.shape) == (dtype, (subject.num_envs,)), (
                f"{name} are {array.dtype} of shape {array.shape}; they must be {dtype} of shape ({subject.num_envs},)"
            )
        assert not (terminated & truncated).any(), "a row is both terminated and truncated"
        ended += (terminated | truncated).sum()
    assert ended, f"no trial ended in {subject.steps} steps: give more steps, or shorter episodes"
    envs.close()


def check_vector_no_shared_memory(subject: VectorSubject) -> None:
    """No two calls return the same memory or dict; what cannot be written to may be shared."""
    envs = subject.make()
    assert_nothing_shared([event for event, _ in zip(subject.run(envs), range(40), strict=False)], f"{subject.mode}")
    envs.close()


def check_vector_info(subject: VectorSubject) -> None:
    """`info` has the same keys, dtypes and shapes at every reset and step, apart from `final_obs` and `final_info`."""
    envs = subject.make()
    schema = None
    for *_, info in subject.run(envs):
        rare = {"final_obs", "_final_obs", "final_info", "_final_info"}
        got = _schema({key: value for key, value in info.items() if key not in rare})
        schema = schema or got
        assert got == schema, f"info was {schema} at the first reset, and {got} later: keys and dtypes must not change"
        if "final_info" in info:
            final = _schema(info["final_info"])
            assert final == schema, f"final_info is {final}; it must have the keys and dtypes of info, {schema}"
    envs.close()


def _schema(info: dict[str, Any]) -> dict[str, Any]:
    return {
        key: _schema(value) if isinstance(value, dict) else (str(np.asarray(value).dtype), np.shape(value))
        for key, value in sorted(info.items())
    }


def check_vector_reset_mask(subject: VectorSubject) -> None:
    """`reset_mask` resets the rows it names and no other, and anything but a mask is refused."""
    if subject.mode is not AutoresetMode.DISABLED:
        return
    envs = subject.make()
    envs.reset(seed=0)
    _check_bad_masks(envs, subject.num_envs)
    obs, over = _until_a_trial_ends(envs, subject)
    again, _ = envs.reset(options={"reset_mask": over})
    assert same(again[~over], obs[~over]), "rows outside reset_mask must keep their observation"
    _until_a_trial_ends(envs, subject)
    errors = AssertionError, ResetNeeded
    assert_refused(lambda: envs.step(envs.action_space.sample()), errors, "step() while a row's trial is over")
    envs.close()


def _check_bad_masks(envs: VectorEnv, n: int) -> None:
    """What is no mask of `n` rows is refused."""
    bad = {
        "a list": [True] * n,
        "another dtype": np.ones(n, np.int64),
        "another shape": np.ones(n + 1, bool),
        "no row": np.zeros(n, bool),
    }
    errors = (AssertionError, TypeError, ValueError)
    for what, mask in bad.items():
        assert_refused(lambda mask=mask: envs.reset(options={"reset_mask": mask}), errors, f"a reset_mask with {what}")


def _until_a_trial_ends(envs: VectorEnv, subject: VectorSubject) -> tuple[np.ndarray, np.ndarray]:
    """Step until a trial ends: the observations then, and the rows whose trial is over."""
    for action in fixed_actions(envs.action_space, subject.steps):
        obs, _, terminated, truncated, _ = envs.step(action)
        if (terminated | truncated).any():
            return obs, terminated | truncated
    raise AssertionError(f"no trial ended in {subject.steps} steps: give more steps, or shorter episodes")


def check_vector_ignored_action(subject: VectorSubject) -> None:
    """`info["trial"]["action_ignored"]` marks the steps of NEXT_STEP that only reset a row, and no other."""
    envs = subject.make()
    over = np.zeros(subject.num_envs, bool)
    for _, reward, terminated, truncated, info in subject.run(envs):
        expected = over if subject.mode is AutoresetMode.NEXT_STEP else np.zeros(subject.num_envs, bool)
        if "trial" not in info:
            break
        ignored = info["trial"]["action_ignored"]
        assert same(ignored, expected), f"action_ignored is {ignored}; the rows whose action was ignored are {expected}"
        assert reward is None or not reward[expected].any(), "a step that only resets a row must pay 0"
        over = np.zeros(subject.num_envs, bool) if reward is None else terminated | truncated
    envs.close()


def check_vector_equals_single(subject: VectorSubject) -> None:
    """Row i, seeded s, is the single environment seeded s + i: observations, rewards, ends, infos, over many trials."""
    if subject.single is None:
        return
    envs, singles = subject.make(), [subject.single() for _ in range(subject.num_envs)]
    obs, info = envs.reset(seed=20)
    for i, env in enumerate(singles):
        _assert_row(i, "reset", (obs[i], _row(info, i)), env.reset(seed=20 + i))
    over = np.zeros(subject.num_envs, bool)
    for step, action in enumerate(fixed_actions(envs.action_space, subject.steps)):
        result = envs.step(action)
        for i, env in enumerate(singles):
            got, expected = _row_of(result, i), _next(env, action[i], bool(over[i]), subject.mode)
            for row in (got, expected):  # what only a vector environment can say; a check of its own
                row["info"].get("trial", {}).pop("action_ignored", None)
            _assert_row(i, f"step {step}", got, expected)
        over = result[2] | result[3]
        if subject.mode is AutoresetMode.DISABLED and over.any():
            obs, info = envs.reset(options={"reset_mask": over.copy()})
            for i in np.flatnonzero(over).tolist():
                _assert_row(i, f"reset after step {step}", (obs[i], _row(info, i)), singles[i].reset())
    envs.close()


def _next(env: gym.Env, action: Any, over: bool, mode: AutoresetMode) -> dict[str, Any]:
    """What a row must return next, from its single environment."""
    if over and mode is AutoresetMode.NEXT_STEP:
        obs, info = env.reset()
        return {"obs": obs, "reward": 0.0, "terminated": False, "truncated": False, "info": info}
    obs, reward, terminated, truncated, info = env.step(action)
    ends = {"reward": reward, "terminated": terminated, "truncated": truncated}
    if (terminated or truncated) and mode is AutoresetMode.SAME_STEP:
        first, first_info = env.reset()
        return {**ends, "obs": first, "info": first_info, "final_obs": obs, "final_info": info}
    return {**ends, "obs": obs, "info": info}


def _row_of(result: tuple, i: int) -> dict[str, Any]:
    """Row i of what a step returned."""
    obs, reward, terminated, truncated, info = result
    own = _row(info, i)
    final = {key: own.pop(key) for key in ("final_obs", "final_info") if key in own}
    ends = {"reward": reward[i], "terminated": terminated[i], "truncated": truncated[i]}
    return {**ends, "obs": obs[i], "info": own, **final}


def _row(info: dict[str, Any], i: int) -> dict[str, Any]:
    """What a vector info says of row i."""
    present = {
        key: value for key, value in info.items() if not key.startswith("_") and f"_{key}" in info and info[f"_{key}"][i]
    }
    return {key: _row(value, i) if isinstance(value, dict) else value[i] for key, value in present.items()}


def _assert_row(i: int, where: str, got: Any, expected: Any) -> None:
    assert same(got, expected), f"{where}: row {i} is {got}; its single environment gives {expected}"
