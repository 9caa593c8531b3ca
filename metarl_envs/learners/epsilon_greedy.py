"""The epsilon-greedy bandit: the best mean so far, and now and then any arm."""

from __future__ import annotations

import math

import numpy as np

from metarl_envs.engine import Flag, Internal, Parameters, Player, Real, kernel, randint, record, uniform
from metarl_envs.learners.choosing import best_action, chance_of, first_of_highest, one_each_action


@kernel
def start_counts(hyper, memory, params, rng):
    """No pulls yet; with `rl2_baseline`, every arm starts with one success and one failure, as RL²'s baselines do."""
    for a in range(len(memory.pulls)):
        memory.pulls[a] = 2.0 if hyper.rl2_baseline else 0.0
        memory.total[a] = 1.0 if hyper.rl2_baseline else 0.0
        memory.mean[a] = 0.5 if hyper.rl2_baseline else math.inf  # an arm that was never pulled comes first


@kernel
def act_on_means(hyper, memory, seen, rng):
    """Any arm with chance epsilon, else one of the highest mean."""
    if uniform(rng) < hyper.epsilon:
        return randint(rng, len(memory.mean))
    return first_of_highest(memory.mean) if hyper.rl2_baseline else best_action(memory.mean, rng)


@kernel
def average(hyper, memory, seen, action, reward, terminated, truncated, then, rng):
    """Add the pull to the arm's mean."""
    memory.pulls[action] += 1.0
    memory.total[action] += reward
    memory.mean[action] = memory.total[action] / memory.pulls[action]


# --------------------------------------------------------------------------------------------- what can be told
@kernel
def chance_to_pull(hyper, memory, arm):
    """The chance of an arm."""
    if not hyper.rl2_baseline:
        return chance_of(arm, memory.mean, hyper.epsilon)
    chance = hyper.epsilon / len(memory.mean)
    return chance + 1.0 - hyper.epsilon if arm == first_of_highest(memory.mean) else chance


@kernel
def tell_arm_chances(hyper, memory, seen, action, out):
    """The chance of each arm."""
    for a in range(len(out)):
        out[a] = chance_to_pull(hyper, memory, a)


@kernel
def tell_log_arm_chance(hyper, memory, seen, action, out):
    """The logarithm of the chance that the arm had."""
    out[0] = math.log(chance_to_pull(hyper, memory, action))


@kernel
def tell_means(hyper, memory, seen, action, out):
    """The mean of each arm so far; not a number for one that was never pulled."""
    for a in range(len(out)):
        out[a] = memory.total[a] / memory.pulls[a] if memory.pulls[a] > 0.0 else math.nan


@kernel
def tell_pulls(hyper, memory, seen, action, out):
    """How often the arm was pulled before."""
    out[0] = memory.pulls[action]


class EpsilonGreedy(Player):
    """Pulls an arm of the highest mean so far, and with chance epsilon any arm.

    Every arm is pulled once first, in random order; ties are broken at random.

    Hyper-parameters:
        epsilon: the chance of a random pull; with 0 it is the greedy player. rl2_baseline: start every arm with one success and
        one failure instead of pulling it once, and prefer the first of equal arms, as the baseline of RL² does (with epsilon
        0.1 and 10 arms it earns what RL² prints).

    Source: Sutton & Barto 2018, section 2.4; the baseline of RL²: Duan et al. 2016, arXiv 1611.02779.
    """

    bandits_only = True
    params = Parameters(epsilon=Real(0.02, 0.0, 1.0), rl2_baseline=Flag(False))
    begin, act, learn = start_counts, act_on_means, average
    internals = {
        "q": Internal(tell_means, one_each_action),
        "probabilities": Internal(tell_arm_chances, one_each_action),
        "log_prob": Internal(tell_log_arm_chance),
        "visits": Internal(tell_pulls),
    }

    @staticmethod
    def memory(p, variant):
        """Pulls of each arm, what they paid in all, and in the mean."""
        arms = variant.actions
        return record(pulls=(np.float64, arms), total=(np.float64, arms), mean=(np.float64, arms))
