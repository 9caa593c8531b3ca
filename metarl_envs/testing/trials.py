"""Checks of the contract of trials (`docs/contract.md`) in a single environment."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import gymnasium as gym
from gymnasium.error import ResetNeeded
from gymnasium.vector import AutoresetMode

from metarl_envs.testing.runs import EPISODES, FLAGS, assert_refused, fixed_actions, make, same, trial_length


def check_trial_contract(id: str, params: dict[str, Any]) -> None:
    """Flags, `terminated` and `truncated` of a single environment are as the table of trials wants them."""
    for trial_end in ("true", "terminated"):
        env = make(id, params, episodes_per_trial=EPISODES, trial_end=trial_end)
        actions = iter(fixed_actions(env.action_space, 2 * trial_length(env)))
        for trial in range(2):
            _, info = env.reset(seed=4 if trial == 0 else None)
            _assert_flags(info, {"trial_start", "episode_start"}, f"{id}: reset to a new trial")
            for episode in range(EPISODES):
                _check_episode(env, actions, last=episode == EPISODES - 1, trial_end=trial_end)


def _check_episode(env: Any, actions: Iterator[Any], last: bool, trial_end: str) -> None:
    """One episode, from its first step to its last."""
    horizon = env.variant.horizon
    inner: set[str] = set()
    for t in range(1, horizon + 1):
        obs, _, terminated, truncated, info = env.step(next(actions))
        inner = {name for name in ("inner_terminated", "inner_truncated") if info["trial"][name]}
        if inner:
            break
        _assert_flags(info, set(), f"step {t} inside an episode")
        ends = (terminated, truncated)
        assert ends == (False, False), f"step {t}, inside an episode, gave (terminated, truncated) = {ends}"
    assert len(inner) == 1, f"after {t} of {horizon} steps the inner flags are {inner}: an episode ends in one way"
    assert ("inner_truncated" in inner) <= (t == horizon), f"an episode was truncated after {t} steps; horizon={horizon}"
    _assert_flags(
        info, inner if last else inner | {"episode_start"}, f"the end of {'the last' if last else 'an inner'} episode"
    )
    as_terminated = "inner_terminated" in inner or trial_end == "terminated"
    expected = (as_terminated, not as_terminated) if last else (False, False)
    assert (terminated, truncated) == expected, (
        f"trial_end={trial_end!r}: an episode that ended with {inner} gave (terminated, truncated) = "
        f"{(terminated, truncated)}; it must be {expected}"
    )
    if last:
        assert same(obs, info["trial"]["final_obs"]), (
            f"the last step returned {obs}, final_obs {info['trial']['final_obs']}: both are the true last observation"
        )


def _assert_flags(info: dict[str, Any], expected: set[str], where: str) -> None:
    raised = {name for name in FLAGS if info["trial"][name]}
    assert raised == expected, f"{where}: info['trial'] raises {raised or 'no flag'}; it must raise {expected or 'none'}"


def check_last_step(id: str, params: dict[str, Any]) -> None:
    """An episode that terminates on the last step of its horizon is not truncated too."""
    shortest = make(id, params).variant.family.params.parameters["horizon"].low
    envs = gym.make_vec(id, num_envs=256, autoreset_mode=AutoresetMode.SAME_STEP, **{**params, "horizon": shortest})
    envs.reset(seed=0)
    envs.action_space.seed(0)
    for _ in range(50):
        _, _, terminated, truncated, _ = envs.step(envs.action_space.sample())
        assert not (terminated & truncated).any(), f"{id}: with horizon={shortest}, an episode terminated and was truncated"


def check_next_episodes(id: str, params: dict[str, Any]) -> None:
    """A trial of three episodes is three episodes joined by `new_trial=False`; its `final_obs` are their last ones."""
    joined = make(id, params, episodes_per_trial=EPISODES)
    parts = make(id, params)
    first, _ = joined.reset(seed=8)
    assert same(first, parts.reset(seed=8)[0]), f"the first observation of {id} depends on episodes_per_trial"
    for action in fixed_actions(joined.action_space, trial_length(joined)):
        obs, reward, terminated, truncated, info = joined.step(action)
        last_obs, *rest, _ = parts.step(action)
        inner = info["trial"]["inner_terminated"], info["trial"]["inner_truncated"]
        assert same([reward, *inner], rest), f"{id}: (reward, ends) are {[reward, *inner]} in a long trial, else {rest}"
        if terminated or truncated:
            return
        expected = last_obs
        if any(inner):
            assert same(info["trial"]["final_obs"], last_obs), f"{id}: final_obs is not the true last observation {last_obs}"
            expected, _ = parts.reset(options={"new_trial": False})
        assert same(obs, expected), f"{id}: a long trial returned {obs} where new_trial=False leads to {expected}"


def check_refusals(id: str, params: dict[str, Any]) -> None:
    """`step` without a running trial, and a `new_trial=False` that contradicts its company, raise."""
    env = make(id, params)
    actions = fixed_actions(env.action_space, trial_length(env))
    assert_refused(lambda: env.step(actions[0]), ResetNeeded, f"{id}: step() before reset()")
    stay = {"new_trial": False}
    assert_refused(lambda: env.reset(options=stay), (ResetNeeded, ValueError), f"{id}: new_trial=False before any trial")
    env.reset(seed=0)
    assert_refused(lambda: env.reset(options={**stay, "task": 0}), ValueError, f"{id}: new_trial=False with a task")
    assert_refused(lambda: env.reset(seed=1, options=stay), ValueError, f"{id}: new_trial=False with a seed")
    for action in actions:
        _, _, terminated, truncated, _ = env.step(action)
        if terminated or truncated:
            break
    assert_refused(lambda: env.step(actions[0]), ResetNeeded, f"{id}: step() after the end of the trial")
