"""UCB1 (Auer, Cesa-Bianchi & Fischer 2002) for bandits, and upper bounds that do not grow with time."""

from __future__ import annotations

import math

import numpy as np

from metarl_envs.engine import Choice, Flag, Internal, Parameters, Player, Real, kernel, record
from metarl_envs.learners.choosing import best_action, chance_of, one_each_action
from metarl_envs.learners.epsilon_greedy import tell_means, tell_pulls

#: Kinds of bonus.
LOG, CONSTANT = range(2)


@kernel
def start_counts(hyper, memory, params, rng):
    """No pulls yet; with `rl2_baseline`, every arm starts with one success and one failure, as RL²'s baseline does."""
    for a in range(memory.pulls.shape[0]):
        memory.pulls[a] = 2.0 if hyper.rl2_baseline else 0.0
        memory.total[a] = 1.0 if hyper.rl2_baseline else 0.0


@kernel
def bonus_of(hyper, pulls, log_t):
    """What the upper bound of an arm lies above its mean; infinite for one that was never pulled."""
    if pulls == 0.0:
        return math.inf
    return hyper.exploration * math.sqrt((2.0 * log_t if hyper.bonus == LOG else 1.0) / pulls)


@kernel
def act_optimistically(hyper, memory, seen, rng):
    """An arm of the highest upper bound, ties broken at random; first of all every arm once."""
    log_t = math.log(1.0 + memory.t)
    for a in range(memory.pulls.shape[0]):
        n = memory.pulls[a]
        mean = memory.total[a] / n if n > 0.0 else 0.0
        memory.bound[a] = mean + bonus_of(hyper, n, log_t)
    return best_action(memory.bound, rng)


@kernel
def count_pull(hyper, memory, seen, action, reward, terminated, truncated, then, rng):
    """Count the pull and what it paid."""
    memory.t += 1
    memory.pulls[action] += 1.0
    memory.total[action] += reward


# --------------------------------------------------------------------------------------------- what can be told
@kernel
def tell_bonus(hyper, memory, seen, action, out):
    """What the upper bound of each arm lies above its mean."""
    for a in range(len(out)):
        out[a] = bonus_of(hyper, memory.pulls[a], math.log(1.0 + memory.t))


@kernel
def tell_chances_by_bound(hyper, memory, seen, action, out):
    """The chance of each arm: 1, or an equal share among equal bounds."""
    for a in range(len(out)):
        out[a] = chance_of(a, memory.bound, 0.0)


@kernel
def tell_log_chance_by_bound(hyper, memory, seen, action, out):
    """The logarithm of the chance that the arm had."""
    out[0] = math.log(chance_of(action, memory.bound, 0.0))


class UCB1(Player):
    """Pulls an arm of the highest upper confidence bound: mean + exploration sqrt(2 ln t / n) in pull t, after n pulls of it.

    Every arm is pulled once first, in random order; ties are broken at random.

    Hyper-parameters:
        exploration: the factor of the bonus (1 is the textbook's; 0.5 is sqrt(ln t / (2 n)), BanditBench's). bonus: "log", as
        above, or "constant": exploration sqrt(1 / n), which does not grow with t, so that exploring may end for good.
        rl2_baseline: start every arm with one success and one failure, as the baseline of RL² does (with exploration 0.2 it
        earns what RL² prints), instead of pulling every arm once.

    Source: Auer, Cesa-Bianchi & Fischer 2002; the constant bonus: Krishnamurthy et al. 2024, arXiv 2403.15371; the
    baseline of RL²: Duan et al. 2016, arXiv 1611.02779.
    """

    bandits_only = True
    params = Parameters(exploration=Real(1.0, 0.0), bonus=Choice("log", ("log", "constant")), rl2_baseline=Flag(False))
    begin, act, learn = start_counts, act_optimistically, count_pull
    internals = {
        "q": Internal(tell_means, one_each_action),
        "bonus": Internal(tell_bonus, one_each_action),
        "probabilities": Internal(tell_chances_by_bound, one_each_action),
        "log_prob": Internal(tell_log_chance_by_bound),
        "visits": Internal(tell_pulls),
    }

    @staticmethod
    def memory(p, variant):
        """Pulls of each arm, what they paid in all, upper bounds, and pulls in all."""
        arms = variant.actions
        return record(pulls=(np.float64, arms), total=(np.float64, arms), bound=(np.float64, arms), t=np.int64)
