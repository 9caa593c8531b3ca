"""Q-learning with a bonus for what was seldom done (Strehl & Littman 2008)."""

from __future__ import annotations

import math

import numpy as np

from metarl_envs.engine import Internal, Parameters, Real, extended, kernel, randint, uniform
from metarl_envs.learners.choosing import best_action, chance_of, one_each_action
from metarl_envs.learners.q_learning import QLearning, explore_less


@kernel
def bonus_of(hyper, memory, s, a):
    """What not having done something more often is worth."""
    return hyper.bonus / math.sqrt(memory.visits[s, a] + 1.0)


@kernel
def act_with_bonus(hyper, memory, seen, rng):
    """A random action with chance epsilon, else one of the highest value and bonus."""
    for a in range(len(memory.bound)):
        memory.bound[a] = memory.q[seen, a] + bonus_of(hyper, memory, seen, a)
    if uniform(rng) < memory.epsilon:
        return randint(rng, len(memory.bound))
    return best_action(memory.bound, rng)


@kernel
def update_with_bonus(hyper, memory, seen, action, reward, terminated, truncated, then, rng):
    """Count the visit; then Q-learning, where what follows is worth its value and its bonus."""
    memory.visits[seen, action] += 1
    target = reward
    if not terminated:
        best = -math.inf
        for a in range(len(memory.bound)):
            best = max(best, memory.q[then, a] + bonus_of(hyper, memory, then, a))
        target += hyper.discount * best
    memory.td_error = target - memory.q[seen, action]
    memory.q[seen, action] += hyper.step_size * memory.td_error
    if terminated or truncated:
        explore_less(hyper, memory)


# --------------------------------------------------------------------------------------------- what can be told
@kernel
def tell_visits(hyper, memory, seen, action, out):
    """How often the action was taken here before."""
    out[0] = memory.visits[seen, action]


@kernel
def tell_bonus(hyper, memory, seen, action, out):
    """The bonus of each action here."""
    for a in range(len(out)):
        out[a] = bonus_of(hyper, memory, seen, a)


@kernel
def tell_chances_by_bound(hyper, memory, seen, action, out):
    """The chance of each action."""
    for a in range(len(out)):
        out[a] = chance_of(a, memory.bound, memory.epsilon)


@kernel
def tell_log_chance_by_bound(hyper, memory, seen, action, out):
    """The logarithm of the chance that the action had."""
    out[0] = math.log(chance_of(action, memory.bound, memory.epsilon))


class CountBonusQ(QLearning):
    """Q-learning where a state and action that were visited n times are worth their value plus bonus / sqrt(n + 1).

    It acts by that sum, and looks ahead to it.

    Hyper-parameters:
        bonus: the exploration bonus of a state and action that were never visited. The others are Q-learning's: step_size,
        discount, initial_value, epsilon, final_epsilon, epsilon_decay_episodes; by default nothing is done at random.

    Source: the bonus of MBIE-EB (Strehl & Littman 2008), without a model.
    """

    named_only = True
    params = Parameters(
        **QLearning.params.with_defaults(step_size=0.3, discount=0.8, epsilon=0.0).parameters, bonus=Real(1.0, 0.0, 1e6)
    )
    act, learn = act_with_bonus, update_with_bonus
    internals = {
        **QLearning.internals,
        "probabilities": Internal(tell_chances_by_bound, one_each_action),
        "log_prob": Internal(tell_log_chance_by_bound),
        "visits": Internal(tell_visits),
        "bonus": Internal(tell_bonus, one_each_action),
    }

    @staticmethod
    def memory(p, variant):
        """Q-learning's memory, visits [state, action], and the values of actions with their bonus."""
        shape = variant.num_states, variant.actions
        return extended(QLearning.memory(p, variant), visits=(np.int64, shape), bound=(np.float64, shape[1]))
