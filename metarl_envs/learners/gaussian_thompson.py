"""Thompson sampling (Thompson 1933) for arms whose rewards have normal noise."""

from __future__ import annotations

import math

import numpy as np

from metarl_envs.engine import Internal, Parameters, Player, Real, kernel, normal, record
from metarl_envs.learners.choosing import one_each_action


@kernel
def start_from_prior(hyper, memory, params, rng):
    """Every arm's mean has the normal prior."""
    for arm in range(len(memory.mean)):
        memory.mean[arm] = hyper.prior_mean
        memory.variance[arm] = hyper.prior_sd * hyper.prior_sd


@kernel
def act_on_a_sample(hyper, memory, seen, rng):
    """Draw each arm's mean from its posterior; pull the arm whose draw is highest."""
    best = -math.inf
    choice = 0
    for arm in range(len(memory.mean)):
        mean = memory.mean[arm] + math.sqrt(memory.variance[arm]) * normal(rng)
        if mean > best:
            best = mean
            choice = arm
    return choice


@kernel
def update_posterior(hyper, memory, seen, action, reward, terminated, truncated, then, rng):
    """Add the pull to the arm's posterior."""
    gain = memory.variance[action] / (memory.variance[action] + hyper.noise * hyper.noise)
    memory.mean[action] += gain * (reward - memory.mean[action])
    memory.variance[action] *= 1.0 - gain


# --------------------------------------------------------------------------------------------- what can be told
@kernel
def tell_posterior_means(hyper, memory, seen, action, out):
    """The posterior mean of what each arm pays."""
    for arm in range(len(out)):
        out[arm] = memory.mean[arm]


@kernel
def tell_posterior_sds(hyper, memory, seen, action, out):
    """The posterior standard deviation of what each arm pays in the mean."""
    for arm in range(len(out)):
        out[arm] = math.sqrt(memory.variance[arm])


class GaussianThompson(Player):
    """Pulls each arm with the chance that it is the best, given what it has seen; means and noise are normal.

    Hyper-parameters:
        prior_mean, prior_sd: the normal prior of an arm's mean; the defaults have the mean and the variance of
        `GaussianBandit`'s uniform prior, 1/2 and 1/12, as DPT's baseline has. noise: the standard deviation of rewards, taken
        as known; the default is the truth there too.

    Nobody tells it of other parameters or of a shift: with `noisy` its noise is wrong and with `close_arms` its prior, unless
    one gives it others. To be wrong need not cost: `noisy`, it earns 400.9 in 500 pulls, and with `noise=0.5`, the truth, 396.3
    (standard error of both 0.8), since it is bolder.

    Source: Thompson 1933; the prior: Lee et al. 2023 (arXiv 2306.14892).
    """

    bandits_only = True
    params = Parameters(prior_mean=Real(0.5), prior_sd=Real(12**-0.5, 1e-6), noise=Real(0.3, 1e-6))
    begin, act, learn = start_from_prior, act_on_a_sample, update_posterior
    internals = {
        "posterior_mean": Internal(tell_posterior_means, one_each_action),
        "posterior_sd": Internal(tell_posterior_sds, one_each_action),
    }

    @staticmethod
    def memory(p, variant):
        """Return the posterior of each arm's mean."""
        return record(mean=(np.float64, variant.actions), variance=(np.float64, variant.actions))

    def runs_by_default(self, variant):
        """Wins and losses have a better posterior, and so have arms with features."""
        known = variant.family.binary_reward or variant.family.features(variant.p) is not None
        return super().runs_by_default(variant) and not known
