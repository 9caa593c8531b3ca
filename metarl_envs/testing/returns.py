"""Checks of the scale: what random play and the oracle earn."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np

from metarl_envs.engine.compiling.kernels import PLAIN
from metarl_envs.engine.family import oracle_error
from metarl_envs.engine.records import Row, rows
from metarl_envs.engine.streams import STREAM
from metarl_envs.engine.truth.solving import contents, drivers_of, exact_returns, explore
from metarl_envs.histories import lifetime_returns
from metarl_envs.learners import random_policy
from metarl_envs.testing.runs import EPISODES, fixed_actions, make, run, some_tasks, trial_length


def check_oracle(id: str, params: dict[str, Any]) -> None:
    """The upper end of every score is known: by a formula, by exploring, or else by a reference `oracle` that is simulated."""
    variant = make(id, params).variant
    if problem := oracle_error(variant, exact_returns(variant, some_tasks(id, params, 1)[0])):
        raise AssertionError(problem)


def check_starts(id: str, params: dict[str, Any]) -> None:
    """Where the family tells the states that episodes start in, they start in those, and as often as it says."""
    variant = make(id, params).variant
    rng = np.random.default_rng(0)
    for task in some_tasks(id, params, 2):
        told = variant.family.starts(variant.p, Row(task), variant.state)
        if told is None:
            return
        chances, places = np.asarray(told[1]), {content: i for i, content in enumerate(contents(told[0]))}
        assert len(places) == len(chances), f"{id}: `starts` tells {len(places)} different states, and {len(chances)} chances"
        assert abs(chances.sum() - 1) < 1e-9, f"{id}: the chances that `starts` tells add up to {chances.sum()}, not to 1"
        one, drawn = rows(1, variant.task), rows(1_000 if PLAIN else 50_000, variant.state)
        streams, one[:1] = rows(len(drawn), STREAM), task
        streams["s"] = rng.integers(2**64, size=len(drawn), dtype=np.uint64)
        drivers_of(variant).starts(variant.params, one, drawn, streams)
        seen = [places.get(content, -1) for content in contents(drawn)]
        missing = seen.index(-1) if -1 in seen else None
        assert missing is None, f"{id}: an episode started in {drawn[missing]}, which `starts` leaves out on {task}"
        often, expected = np.bincount(seen, minlength=len(chances)), len(drawn) * chances
        off = int(np.argmax(abs(often - expected) / np.sqrt(expected + 1)))
        assert abs(often[off] - expected[off]) <= 6 * np.sqrt(expected[off] + 1), (
            f"{id}: {often[off]} of {len(drawn)} episodes started in {told[0][off]}, whose chance is {chances[off]} by `starts`"
        )


def check_returns(id: str, params: dict[str, Any]) -> None:
    """Exact returns, where the family has them: random play earns what it is said to, and at most the oracle's."""
    tasks = some_tasks(id, params, 256)
    variant = make(id, params).variant
    exact = [returns for task in tasks if (returns := exact_returns(variant, task))]
    if not exact:
        return
    for task, returns in zip(tasks, exact, strict=True):
        assert not np.isinf(returns).any(), f"{id}: the returns on {task} are {returns}; they must be finite, or NaN if unknown"
        assert not returns.random > returns.oracle + 1e-9, f"{id}: on {task} random earns more than the oracle: {returns}"
    if not np.isnan(exact[0].random):
        _check_random(id, params, tasks, np.array([returns.random for returns in exact]), variant.horizon)


def check_rewards(id: str, params: dict[str, Any]) -> None:
    """Where the family says that every reward is 0 or 1, every reward is: histories and learners rely on it."""
    env = make(id, params, episodes_per_trial=EPISODES)
    if not env.variant.family.binary_reward:
        return
    paid = [reward for _, reward, *_ in run(env, fixed_actions(env.action_space, 2 * trial_length(env)), seed=0)]
    for task in some_tasks(id, params, 4):
        explored = explore(env.variant, task, any_start=True)
        paid += [] if explored is None else explored.reward.ravel().tolist()
    wrong = sorted(set(paid) - {0.0, 1.0})
    assert not wrong, f"{id} paid {wrong[0]}, and binary_reward says that every reward is 0 or 1"


def check_memoryless(id: str, params: dict[str, Any]) -> None:
    """The best policy without memory earns at most what the oracle does on each task, and in the mean what random play does."""
    env = make(id, params)
    variant, tasks = env.variant, some_tasks(id, params, 2048)
    values, exact = [variant.memoryless_best(task) for task in tasks], [exact_returns(variant, task) for task in tasks]
    if None in values or None in exact:
        return
    best, (random, oracle) = np.array(values), np.array(exact).T
    for task, value, most in zip(tasks, best, oracle, strict=True):
        assert not value > most + 1e-9, f"{id}: memoryless_best is {value} on {task}, and the oracle earns {most}"
    surplus = best - random
    whole = env.tasks.is_finite and len(env.tasks) == len(tasks)  # all the tasks there are
    error = 0.0 if whole else surplus.std() / np.sqrt(len(tasks))
    assert not surplus.mean() < -5 * error - 1e-9, (
        f"{id}: memoryless_best is {best.mean():.5f} in the mean over tasks, and random play earns {random.mean():.5f}"
    )


def _check_random(id: str, params: dict[str, Any], tasks: np.ndarray, claimed: np.ndarray, horizon: int) -> None:
    """Random play earns what is claimed of each task, within what chance allows."""
    times = -(-4096 // len(tasks))
    claimed = np.tile(claimed, times)
    surplus = _random_returns(id, params, np.tile(tasks, times), horizon) - claimed
    good = np.sign(claimed - np.median(claimed))  # tasks on which random play should do well, against the others
    for weights, what in ((np.ones(len(claimed)), "in the mean"), (good, "on good against bad tasks")):
        off, error = (weights * surplus).mean(), (weights * surplus).std() / np.sqrt(len(claimed))
        assert abs(off) <= 5 * error + 1e-9, (
            f"{id}: random play earns {off:+.5f} (standard error {error:.5f}) {what} over what `returns` says, "
            f"which is {claimed.mean():.5f} in the mean"
        )


def _random_returns(id: str, params: dict[str, Any], tasks: np.ndarray, horizon: int) -> np.ndarray:
    """What random play earns in an episode on each task, in the mean over as many episodes as are cheap."""
    episodes = max(1, (100_000 if PLAIN else 4_000_000) // (len(tasks) * horizon))
    variant = make(id, params).variant
    if "random" in variant.family.references:
        return lifetime_returns(tasks, variant, random_policy(variant), np.arange(len(tasks)), episodes=episodes).mean(axis=1)
    envs = gym.make_vec(id, num_envs=len(tasks), episodes_per_trial=episodes, **params)
    envs.reset(seed=0, options={"task": tasks})
    envs.action_space.seed(0)
    earned, to_come = np.zeros(len(tasks)), np.full(len(tasks), episodes)
    while (to_come > 0).any():
        _, reward, *_, info = envs.step(envs.action_space.sample())
        earned += reward * (to_come > 0)
        to_come -= info["trial"]["inner_terminated"] | info["trial"]["inner_truncated"]
    return earned / episodes
