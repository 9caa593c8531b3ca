"""Thompson sampling (Thompson 1933) for arms that pay 1 or 0."""

from __future__ import annotations

import math

import numpy as np

from metarl_envs.engine import Internal, Parameters, Player, Real, kernel, record
from metarl_envs.engine.streams import log_odds_of_beta
from metarl_envs.learners.choosing import one_each_action


@kernel
def start_from_prior(hyper, memory, params, rng):
    """Every arm's chance has the prior Beta(a, b)."""
    for arm in range(memory.a.shape[0]):
        memory.a[arm] = hyper.a
        memory.b[arm] = hyper.b


@kernel
def act_on_a_sample(hyper, memory, seen, rng):
    """Draw each arm's chance from its posterior; pull the arm whose draw is highest.

    Draws are compared by their log-odds: under a prior near 0 most chances round to 0 or to 1, where the first arm would win.
    """
    best = -math.inf
    choice = 0
    for arm in range(memory.a.shape[0]):
        odds = log_odds_of_beta(rng, memory.a[arm], memory.b[arm])
        if odds > best:
            best = odds
            choice = arm
    return choice


@kernel
def update_posterior(hyper, memory, seen, action, reward, terminated, truncated, then, rng):
    """Add the pull to the arm's posterior."""
    memory.a[action] += reward
    memory.b[action] += 1.0 - reward


# --------------------------------------------------------------------------------------------- what can be told
@kernel
def tell_a(hyper, memory, seen, action, out):
    """The first parameter of each arm's Beta."""
    for arm in range(len(out)):
        out[arm] = memory.a[arm]


@kernel
def tell_b(hyper, memory, seen, action, out):
    """The second parameter of each arm's Beta."""
    for arm in range(len(out)):
        out[arm] = memory.b[arm]


@kernel
def tell_posterior_means(hyper, memory, seen, action, out):
    """The mean of each arm's Beta."""
    for arm in range(len(out)):
        out[arm] = memory.a[arm] / (memory.a[arm] + memory.b[arm])


@kernel
def tell_posterior_sds(hyper, memory, seen, action, out):
    """The standard deviation of each arm's Beta."""
    for arm in range(len(out)):
        total = memory.a[arm] + memory.b[arm]
        out[arm] = math.sqrt(memory.a[arm] * memory.b[arm] / (total + 1.0)) / total


class Thompson(Player):
    """Pulls each arm with the chance that it is the best, given what it has seen.

    Hyper-parameters:
        a, b: the Beta prior of an arm's chance; (1, 1) is uniform, the true prior of `BernoulliBandit`.

    Nobody tells it of other parameters or of a shift: where chances lie in a narrower range (`close_arms`), its prior is wrong
    unless one gives it another.

    Source: Thompson 1933; Chapelle & Li 2011.
    """

    bandits_only = True
    params = Parameters(a=Real(1.0, 1e-6), b=Real(1.0, 1e-6))
    begin, act, learn = start_from_prior, act_on_a_sample, update_posterior
    internals = {
        "a": Internal(tell_a, one_each_action),
        "b": Internal(tell_b, one_each_action),
        "posterior_mean": Internal(tell_posterior_means, one_each_action),
        "posterior_sd": Internal(tell_posterior_sds, one_each_action),
    }

    @staticmethod
    def memory(p, variant):
        """Return the posterior Beta(a, b) of each arm."""
        arms = variant.actions
        return record(a=(np.float64, arms), b=(np.float64, arms))

    def why_unsuitable(self, variant):
        """Its posterior counts wins and losses."""
        if problem := super().why_unsuitable(variant):
            return problem
        return None if variant.family.binary_reward else f"Thompson needs rewards of 0 or 1; {variant.name} pays others"
