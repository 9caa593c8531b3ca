"""Posterior sampling for reinforcement learning (Strens 2000; Osband, Russo & Van Roy 2013)."""

from __future__ import annotations

import math

import numpy as np

from metarl_envs.engine import Internal, Parameters, Player, Real, gamma, kernel, normal, record
from metarl_envs.engine.streams import log_gamma_draw
from metarl_envs.learners.choosing import one_each_action

#: Below this concentration all shares of a Dirichlet may be too small for a number; they are drawn as logarithms there.
_ALL_TOO_SMALL = 0.1


@kernel
def start_from_prior(hyper, memory, params, rng):
    """Nothing is counted yet: sample an MDP from the prior and plan for it."""
    memory.t = 0
    plan_for_a_sample(hyper, memory, rng)


@kernel
def plan_for_a_sample(hyper, memory, rng):
    """Draw one MDP from the posterior and find its optimal plan by backward induction."""
    horizon, states = memory.best.shape
    actions = memory.count.shape[1]
    for s in range(states):
        memory.value[0, s] = 0.0
        for a in range(actions):
            sample_reward(hyper, memory, s, a, rng)
            sample_transition(hyper, memory, s, a, rng)
    for back in range(horizon):
        for s in range(states):
            best = -1e300
            for a in range(actions):
                q = memory.reward[s, a]
                for s2 in range(states):
                    q += memory.transition[s, a, s2] * memory.value[back % 2, s2]
                if q > best:
                    best = q
                    memory.best[horizon - 1 - back, s] = a
            memory.value[(back + 1) % 2, s] = best


@kernel
def visits_of(memory, s, a):
    """How often an action was taken in a state."""
    n = 0.0
    for s2 in range(memory.count.shape[2]):
        n += memory.count[s, a, s2]
    return n


@kernel
def reward_posterior(hyper, memory, s, a):
    """Mean and precision of a mean reward (normal prior, known noise)."""
    precision = 1.0 / hyper.prior_sd**2 + visits_of(memory, s, a) / hyper.noise**2
    return (hyper.prior_mean / hyper.prior_sd**2 + memory.total[s, a] / hyper.noise**2) / precision, precision


@kernel
def sample_reward(hyper, memory, s, a, rng):
    """A mean reward from its posterior."""
    mean, precision = reward_posterior(hyper, memory, s, a)
    memory.reward[s, a] = mean + normal(rng) / math.sqrt(precision)


@kernel
def sample_transition(hyper, memory, s, a, rng):
    """A row of transition chances from its Dirichlet posterior."""
    if hyper.concentration < _ALL_TOO_SMALL:
        largest = -math.inf
        for s2 in range(memory.value.shape[1]):
            memory.transition[s, a, s2] = log_gamma_draw(rng, hyper.concentration + memory.count[s, a, s2])
            largest = max(largest, memory.transition[s, a, s2])
        for s2 in range(memory.value.shape[1]):
            memory.transition[s, a, s2] = math.exp(memory.transition[s, a, s2] - largest)
    else:
        for s2 in range(memory.value.shape[1]):
            memory.transition[s, a, s2] = gamma(rng, hyper.concentration + memory.count[s, a, s2])
    total = 0.0
    for s2 in range(memory.value.shape[1]):
        total += memory.transition[s, a, s2]
    for s2 in range(memory.value.shape[1]):
        memory.transition[s, a, s2] /= total


@kernel
def follow_plan(hyper, memory, seen, rng):
    """Do what the plan says here and now."""
    return memory.best[memory.t, seen]


@kernel
def count_step(hyper, memory, seen, action, reward, terminated, truncated, then, rng):
    """Count the transition; after an episode, plan anew for another sample."""
    memory.count[seen, action, then] += 1.0
    memory.total[seen, action] += reward
    memory.t += 1
    if terminated or truncated:
        memory.t = 0
        plan_for_a_sample(hyper, memory, rng)


# --------------------------------------------------------------------------------------------- what can be told
@kernel
def tell_posterior_means(hyper, memory, seen, action, out):
    """The posterior mean of what each action pays here."""
    for a in range(len(out)):
        out[a], _ = reward_posterior(hyper, memory, seen, a)


@kernel
def tell_posterior_sds(hyper, memory, seen, action, out):
    """The posterior standard deviation of what each action pays here in the mean."""
    for a in range(len(out)):
        _, precision = reward_posterior(hyper, memory, seen, a)
        out[a] = 1.0 / math.sqrt(precision)


@kernel
def tell_visits(hyper, memory, seen, action, out):
    """How often the action was taken here before."""
    out[0] = visits_of(memory, seen, action)


class PSRL(Player):
    """Before each episode, draws an MDP from its posterior and acts optimally for it.

    Hyper-parameters:
        prior_mean, prior_sd: the normal prior of a mean reward; (1, 1) is the truth in `TabularMDP`, (0, 1) is what the
        figure printed in RL² follows from. noise: the standard deviation of rewards, taken as known. concentration: of the
        symmetric Dirichlet prior of transitions. The defaults are the truth in `TabularMDP`.

    Nobody tells it of other parameters or of a shift: with `noisy` its noise is wrong, unless one gives it another. To be wrong
    need not cost: in ten `noisy` episodes it earns 123.2, and with `noise=3.0`, the truth, 109.8 (standard error of both 0.6),
    since it is bolder.

    Source: Strens 2000; Osband, Russo & Van Roy 2013 (arXiv 1306.0940).
    """

    params = Parameters(prior_mean=Real(1.0), prior_sd=Real(1.0, 1e-6), noise=Real(1.0, 1e-6), concentration=Real(1.0, 1e-3))
    begin, act, learn = start_from_prior, follow_plan, count_step
    internals = {
        "posterior_mean": Internal(tell_posterior_means, one_each_action),
        "posterior_sd": Internal(tell_posterior_sds, one_each_action),
        "visits": Internal(tell_visits),
    }

    @staticmethod
    def memory(p, variant):
        """Counts and reward totals, the sampled MDP, two rows of values, the plan, and the step of the episode."""
        states, actions = variant.num_states, variant.actions
        triple = (np.float64, (states, actions, states))
        return record(
            count=triple,
            total=(np.float64, (states, actions)),
            reward=(np.float64, (states, actions)),
            transition=triple,
            value=(np.float64, (2, states)),
            best=(np.int16, (variant.horizon, states)),
            t=np.int64,
        )

    def runs_by_default(self, variant):
        """It learns between episodes only; its prior says little about mazes, and planning over many states takes long."""
        few = variant.num_states in range(2, 51)
        return super().runs_by_default(variant) and variant.family.curve_unit == "episode" and few
