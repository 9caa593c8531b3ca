"""The linear bandit: what an arm pays follows from its known features and hidden weights."""

from __future__ import annotations

import functools
import math
from types import SimpleNamespace
from typing import Any

import numpy as np

from metarl_envs.engine import Integer, Parameters, Picture, Real, Row, TaskErrors, canvas, clip, kernel, normal, oracle, record
from metarl_envs.engine.compiling.kernels import unsigned
from metarl_envs.engine.records import for_drivers, rows
from metarl_envs.engine.streams import FAMILY, STREAM, keyed, mix
from metarl_envs.families.bandits.arms import Bandit
from metarl_envs.families.bandits.gaussian import GaussianBandit, draw_means_so_far, pull_best, pull_with_noise, unpulled


@kernel
def next_feature(params, rng):
    """Draw one number of an arm's features."""
    return normal(rng) / math.sqrt(params.dimensions)


@kernel
def place_arms(params, features, rng):
    """Write the features of all arms, which follow from `arms_seed` alone; the stream is given back as it was."""
    own = rng.s
    rng.s = keyed(params.arms_seed, FAMILY, 0, 0)
    for arm in range(params.arms):
        for j in range(params.dimensions):
            features[arm, j] = next_feature(params, rng)
    rng.s = own


@kernel
def draw_weights(params, task, rng):
    """Draw the weights from N(0, 1/d), and work out what each arm pays in the mean (features come in order)."""
    for j in range(params.dimensions):
        task.weights[j] = normal(rng) / math.sqrt(params.dimensions)
    own = rng.s
    rng.s = keyed(params.arms_seed, FAMILY, 0, 0)
    for arm in range(params.arms):
        task.mean[arm] = 0.0
        for j in range(params.dimensions):
            task.mean[arm] += next_feature(params, rng) * task.weights[j]
    rng.s = own


@kernel
def hash_of_weights(params, task):
    """A hash of the weights alone, to 33 binary places: under other arms, too, they are the same task."""
    h = unsigned(params.dimensions)
    for j in range(params.dimensions):
        h = mix(h ^ unsigned(int((clip(task.weights[j], -1e6, 1e6) + 1e6) * 2.0**33)))
    return h


# --------------------------------------------------------------------------------------------- the family
class LinearBandit(Bandit):
    """A row of arms with known features. What an arm pays is linear in them, with weights that stay for the whole trial.

    Hidden:
        The weights, drawn from N(0, 1/d) in each of d dimensions: an arm pays its features times the weights in the mean.

    Observation:
        `Box(0, 1, (1,), float32)`: the share of the episode's pulls that are made. The features are the same in every task, so
        they are no part of it: an agent can learn them as it learns what its actions mean, or be given
        `LinearBandit.features(env.unwrapped.variant.p)`, float64 of shape (arms, d).

    Actions:
        `Discrete(arms)`: the arm to pull.

    Reward:
        The arm's features times the weights, plus normal noise of standard deviation `noise`.

    Episode:
        `horizon` pulls, then truncated. One episode is the whole learning problem, so a trial has one episode by default;
        with more, the weights stay and the count starts again.

    Parameters:
        arms: how many arms. dimensions: d. horizon: pulls an episode. noise: the standard deviation of a pull. arms_seed: which
        features, drawn once for the family from N(0, 1/d).

    Splits:
        train, validation and test, by a hash of the weights. Shifts `noisy`: noise 0.5, of which no learner is told (`lin_ucb`
        takes the default's as known there too); `other_arms`: arms with other features (`test+other_arms`: with weights that
        were not trained on).

    References:
        Return of 200 pulls of the 10 default arms: random 0 in the mean over tasks, memoryless-best 0 (exact); the oracle knows
        the weights: 217.2 in the mean (horizon x perimeter of the features' convex hull x sqrt(1 / (8 pi d)), in two
        dimensions). Simulated over 40,000 tasks (standard error 0.7): `lin_ucb`, which knows features, prior and noise, 213.4;
        UCB1, which knows none of them, 165.1, of exploration 0.3 199.5.

    Source and variants:
        DPT (Lee et al. 2023, arXiv 2306.14892): 10 arms, d = 2, 200 pulls, noise 0.3 (its flag `--var` is a standard
        deviation), features drawn once. Its features come from another generator, so figures differ with the arms.
    """

    params = Parameters(
        arms=Integer(10, 2, 1000),
        dimensions=Integer(2, 1, 50),
        horizon=Integer(200, 1),
        noise=Real(0.3, 0.0, 1e6),
        arms_seed=Integer(0, 0),
    )
    sample_task, reset, step = draw_weights, unpulled, pull_with_noise
    task_hash = hash_of_weights
    shifts = {"noisy": {"noise": 0.5}, "other_arms": {"arms_seed": 1}}
    references = {"oracle": oracle(pull_best)}
    state, solve, returns, describe = (
        GaussianBandit.state,
        GaussianBandit.solve,
        GaussianBandit.returns,
        GaussianBandit.describe,
    )

    @staticmethod
    def features(p: SimpleNamespace) -> np.ndarray:
        """The features of each arm, float64 [arm, dimension]."""
        return _features(tuple(vars(p).items())).copy()

    @staticmethod
    def task(p: SimpleNamespace) -> np.dtype:
        """The weights, and what follows from them and the features: the mean of each arm."""
        return record(weights=(np.float64, p.dimensions), mean=(np.float64, p.arms))

    @staticmethod
    def task_errors(p: SimpleNamespace, tasks: np.ndarray) -> TaskErrors:
        """Weights are finite, and means follow from them."""
        yield "weights", ~np.isfinite(tasks["weights"]), "is not finite"
        follows = tasks["weights"] @ LinearBandit.features(p).T
        yield "mean", ~np.isclose(tasks["mean"], follows), "is not what LinearBandit.features(p) @ weights is there"

    @staticmethod
    def prior(p: SimpleNamespace) -> dict[str, np.ndarray] | None:
        """Mean and covariance of the weights."""
        return {"mean": np.zeros(p.dimensions), "covariance": np.eye(p.dimensions) / p.dimensions} if p.noise else None

    @staticmethod
    def update_posterior(p: SimpleNamespace, belief, seen, action: int, reward: float, then) -> None:
        """A Kalman step for one pull."""
        feature = LinearBandit.features(p)[action]
        direction = belief["covariance"] @ feature
        total = feature @ direction + p.noise**2
        belief["mean"] += direction * (reward - feature @ belief["mean"]) / total
        belief["covariance"] -= np.outer(direction, direction) / total

    @staticmethod
    def expected_rewards(p: SimpleNamespace, belief) -> np.ndarray:
        """The features of each arm, weighed by the mean of the weights."""
        return LinearBandit.features(p) @ belief["mean"]

    @staticmethod
    def memoryless_best(p: SimpleNamespace, task: Row) -> float:
        """Any arm, as at random: weights are as likely the one way as the other, so that each arm pays 0 in the mean."""
        return GaussianBandit.returns(p, task).random

    @staticmethod
    def instructions(p: SimpleNamespace) -> str:
        """What there is to do, for people and language models alike."""
        return (
            f"Each of the {p.arms} arms pays about the same every time, give or take some luck; arms whose features (below) "
            f"are alike pay alike. Find the one that pays most: you have {p.horizon} pulls."
        )

    @staticmethod
    def draw(picture: Picture, p: SimpleNamespace, state: Row, task: Row | None) -> None:
        """One column an arm, from -2 to 2: more than nearly every mean. Below, its features; revealed, the weights of these."""
        draw_means_so_far(picture, p, state, task, -2.0, 2.0)
        if p.arms > 12 or p.dimensions > 6:
            return
        step, features = (canvas.WORLD - 48) / p.arms, LinearBandit.features(p)
        wide = min(11.0, 0.8 * step / p.dimensions)
        for arm, feature in enumerate(features):
            x = 24 + (arm + 0.4) * step - p.dimensions * wide / 2
            for j, value in enumerate(feature):
                length = 16 * min(abs(value) / abs(features).max(), 1.0)
                picture.rectangle(x + j * wide, 456 - length * (value > 0), wide - 1, length, canvas.ACCENT)
            picture.line(x, 456, x + p.dimensions * wide, 456, canvas.MUTED, 1)
        if task is not None:
            weights = ", ".join(f"{weight:+.2f}" for weight in task.weights)
            picture.text(canvas.WORLD - 24, 6, f"weights of the features: {weights}", 14, canvas.GOAL, "right")


@functools.lru_cache(maxsize=64)
def _features(values: tuple[tuple[str, Any], ...]) -> np.ndarray:
    p = SimpleNamespace(**dict(values))
    features = for_drivers(np.zeros((p.arms, p.dimensions)))
    place_arms(LinearBandit.params.row(vars(p))[0], features, rows(1, STREAM)[0])
    return features.view(np.ndarray)
