"""The gradient bandit: preferences for arms that follow the reward's gradient (Sutton & Barto 2018, section 2.8)."""

from __future__ import annotations

import numpy as np

from metarl_envs.engine import Flag, Internal, Parameters, Player, Real, kernel, record
from metarl_envs.learners.choosing import draw_by, one_each_action, soften, tell_chances, tell_log_chance


@kernel
def act_by_softmax(hyper, memory, seen, rng):
    """An arm by the softmax of preferences."""
    soften(memory.preference, memory.chance)
    return draw_by(memory.chance, rng)


@kernel
def follow_gradient(hyper, memory, seen, action, reward, terminated, truncated, then, rng):
    """A reward above the mean so far makes the arm likelier, one below it less likely. The first reward is its own mean."""
    if hyper.baseline and memory.pulls == 0:
        memory.mean = reward
    above = reward - memory.mean
    for a in range(len(memory.preference)):
        gradient = (1.0 if a == action else 0.0) - memory.chance[a]
        memory.preference[a] += hyper.step_size * above * gradient
    memory.pulls += 1
    if hyper.baseline:
        memory.mean += above / memory.pulls


@kernel
def tell_baseline(hyper, memory, seen, action, out):
    """The mean reward so far."""
    out[0] = memory.mean


class GradientBandit(Player):
    """Draws arms by the softmax of preferences, which go up by step_size (reward - mean so far) grad ln pi(arm).

    Hyper-parameters:
        step_size: step size of the preferences. baseline: compare with the mean of the rewards before (False: with 0).

    Source: Williams 1992; Sutton & Barto 2018, section 2.8.
    """

    bandits_only = True
    params = Parameters(step_size=Real(1.0, 0.0, 100.0), baseline=Flag(True))
    act, learn = act_by_softmax, follow_gradient
    internals = {
        "probabilities": Internal(tell_chances, one_each_action),
        "log_prob": Internal(tell_log_chance),
        "value": Internal(tell_baseline),
    }

    @staticmethod
    def memory(p, variant):
        """Preferences, the chances of arms now, the mean reward, and pulls."""
        arms = variant.actions
        return record(preference=(np.float64, arms), chance=(np.float64, arms), mean=np.float64, pulls=np.int64)
