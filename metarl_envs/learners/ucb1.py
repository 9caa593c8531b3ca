"""UCB1 (Auer, Cesa-Bianchi & Fischer 2002) for bandits."""

from __future__ import annotations

import math

import numpy as np

from metarl_envs.engine import Flag, Learner, Parameters, Real, kernel, randint, record


@kernel
def start_counts(hyper, memory, params, rng):
    """No pulls yet; with `published`, every arm starts with one success and one failure, as RL²'s baseline does."""
    for a in range(memory.pulls.shape[0]):
        memory.pulls[a] = 2.0 if hyper.published else 0.0
        memory.wins[a] = 1.0 if hyper.published else 0.0


@kernel
def act_optimistically(hyper, memory, seen, rng):
    """An arm of the highest upper bound, ties broken at random; first of all every arm once."""
    best = -math.inf
    choice = 0
    ties = 0
    log_t = math.log(1.0 + memory.t)
    for a in range(memory.pulls.shape[0]):
        n = memory.pulls[a]
        bound = math.inf if n == 0.0 else memory.wins[a] / n + hyper.width * math.sqrt(2.0 * log_t / n)
        if bound > best:
            best = bound
            choice = a
            ties = 1
        elif bound == best:
            ties += 1
            if randint(rng, ties) == 0:
                choice = a
    return choice


@kernel
def count_pull(hyper, memory, seen, action, reward, terminated, truncated, then, rng):
    """Count the pull and what it paid."""
    memory.t += 1
    memory.pulls[action] += 1.0
    memory.wins[action] += reward


class UCB1(Learner):
    """Pulls the arm of the highest upper confidence bound, mean + width sqrt(2 ln t / n).

    Hyper-parameters:
        width: of the bound (1 is the textbook's). published: start every arm with one success and one failure, as the
        baseline of RL² does (with width 0.2 it earns what RL² prints); by default every arm is pulled once first.

    Source: Auer, Cesa-Bianchi & Fischer 2002; the published variant: Duan et al. 2016, arXiv 1611.02779.
    """

    only_bandits = True
    params = Parameters(width=Real(1.0, 0.0), published=Flag(False))
    begin, act, learn = start_counts, act_optimistically, count_pull

    @staticmethod
    def memory(p, variant):
        """Pulls and wins of each arm, and pulls in all."""
        arms = variant.actions
        return record(pulls=(np.float64, arms), wins=(np.float64, arms), t=np.int64)
