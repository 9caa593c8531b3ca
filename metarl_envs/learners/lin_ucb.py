"""LinUCB (Li et al. 2010): what an arm pays is linear in its features, and the weights are to be learned."""

from __future__ import annotations

import math

import numpy as np

from metarl_envs.engine import Internal, Parameters, Player, Real, kernel, record
from metarl_envs.learners.choosing import first_of_highest, one_each_action, tell_chances, tell_log_chance


@kernel
def know_arms_but_not_weights(hyper, memory, params, rng):
    """The weights have their prior; the features are in memory already."""
    for j in range(len(memory.mean)):
        memory.mean[j] = 0.0
        for k in range(len(memory.mean)):
            memory.covariance[j, k] = 0.0
        memory.covariance[j, j] = hyper.prior_sd * hyper.prior_sd


@kernel
def spread(memory, arm):
    """The posterior variance of an arm's mean; `direction` becomes its covariance with the weights."""
    variance = 0.0
    for j in range(len(memory.mean)):
        memory.direction[j] = 0.0
        for k in range(len(memory.mean)):
            memory.direction[j] += memory.covariance[j, k] * memory.features[arm, k]
        variance += memory.features[arm, j] * memory.direction[j]
    return max(variance, 0.0)


@kernel
def expected(memory, arm):
    """The posterior mean of what an arm pays."""
    total = 0.0
    for j in range(len(memory.mean)):
        total += memory.features[arm, j] * memory.mean[j]
    return total


@kernel
def act_optimistically(hyper, memory, seen, rng):
    """Pull the arm whose mean may be the highest."""
    for arm in range(len(memory.bound)):
        memory.bound[arm] = expected(memory, arm) + hyper.exploration * math.sqrt(spread(memory, arm))
    choice = first_of_highest(memory.bound)
    for arm in range(len(memory.bound)):
        memory.chance[arm] = 1.0 if arm == choice else 0.0
    return choice


@kernel
def update_weights(hyper, memory, seen, action, reward, terminated, truncated, then, rng):
    """Add the pull to the posterior of the weights (a Kalman step)."""
    total = spread(memory, action) + hyper.noise * hyper.noise
    surprise = (reward - expected(memory, action)) / total
    for j in range(len(memory.mean)):
        memory.mean[j] += memory.direction[j] * surprise
        for k in range(len(memory.mean)):
            memory.covariance[j, k] -= memory.direction[j] * memory.direction[k] / total


# --------------------------------------------------------------------------------------------- what can be told
@kernel
def tell_expected(hyper, memory, seen, action, out):
    """The posterior mean of what each arm pays."""
    for arm in range(len(out)):
        out[arm] = expected(memory, arm)


@kernel
def tell_spread(hyper, memory, seen, action, out):
    """The posterior standard deviation of what each arm pays in the mean."""
    for arm in range(len(out)):
        out[arm] = math.sqrt(spread(memory, arm))


@kernel
def tell_bonus(hyper, memory, seen, action, out):
    """What the upper bound of each arm lies above its mean."""
    for arm in range(len(out)):
        out[arm] = hyper.exploration * math.sqrt(spread(memory, arm))


class LinUCB(Player):
    """Pulls the arm of the highest posterior mean plus `exploration` posterior standard deviations. It knows the features.

    Hyper-parameters:
        exploration: how many posterior standard deviations are added to the mean. prior_sd: standard deviation of the normal
        prior of each weight, whose mean is 0; the default is the truth in
        `LinearBandit` with two dimensions, sqrt(1/2). noise: the standard deviation of rewards, taken as known; the
        default is the truth there.

    Nobody tells it of other parameters or of a shift: with `noisy` its noise is wrong, unless one gives it another
    (`noise=0.5`). The features it knows, with `other_arms` too.

    In the paper's terms: ridge regression with penalty (noise / prior_sd)², and alpha = exploration x noise.

    Source: Li et al. 2010 (arXiv 1003.0146), with one vector of weights for all arms.
    """

    bandits_only = True
    params = Parameters(exploration=Real(1.0, 0.0, 1e6), prior_sd=Real(2**-0.5, 1e-6), noise=Real(0.3, 1e-6))
    begin, act, learn = know_arms_but_not_weights, act_optimistically, update_weights
    internals = {
        "posterior_mean": Internal(tell_expected, one_each_action),
        "posterior_sd": Internal(tell_spread, one_each_action),
        "bonus": Internal(tell_bonus, one_each_action),
        "probabilities": Internal(tell_chances, one_each_action),
        "log_prob": Internal(tell_log_chance),
    }

    @staticmethod
    def memory(p, variant):
        """Return the features of the arms, the posterior of the weights, upper bounds, and which arm they choose."""
        arms, d = np.asarray(variant.family.features(variant.p)).shape
        return record(
            features=(np.float64, (arms, d)),
            mean=(np.float64, d),
            covariance=(np.float64, (d, d)),
            direction=(np.float64, d),
            bound=(np.float64, arms),
            chance=(np.float64, arms),
        )

    def initial_memory(self, variant):
        """It knows the features."""
        row = super().initial_memory(variant)
        row["features"] = variant.family.features(variant.p)
        return row

    def why_unsuitable(self, variant):
        """It needs features."""
        if variant.family.features(variant.p) is None:
            return f"LinUCB needs arms with features, and {variant.name} has none"
        return super().why_unsuitable(variant)
