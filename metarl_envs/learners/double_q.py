"""Double Q-learning (van Hasselt 2010): two tables, so that no value is the maximum of its own noise."""

from __future__ import annotations

import math

import numpy as np

from metarl_envs.engine import Internal, kernel, randint, record, uniform
from metarl_envs.learners.choosing import best_action, chance_of, first_of_highest, one_each_action
from metarl_envs.learners.q_learning import QLearning, explore_less


@kernel
def start_both_optimistic(hyper, memory, params, rng):
    """Fill both tables with the initial value; explore as much as is ever explored."""
    for s in range(memory.mean.shape[0]):
        for a in range(memory.mean.shape[1]):
            memory.q[0, s, a] = hyper.initial_value
            memory.q[1, s, a] = hyper.initial_value
            memory.mean[s, a] = hyper.initial_value
    memory.epsilon = hyper.epsilon


@kernel
def act_on_both(hyper, memory, seen, rng):
    """A random action with chance epsilon, else one that is best in the mean of both tables."""
    if uniform(rng) < memory.epsilon:
        return randint(rng, memory.mean.shape[1])
    return best_action(memory.mean[seen], rng)


@kernel
def update_one(hyper, memory, seen, action, reward, terminated, truncated, then, rng):
    """A coin says which table learns. It chooses the best action that follows, and the other table says what that is worth."""
    coin = randint(rng, 2)
    target = reward
    if not terminated:
        target += hyper.discount * memory.q[1 - coin, then, first_of_highest(memory.q[coin, then])]
    memory.td_error = target - memory.q[coin, seen, action]
    memory.q[coin, seen, action] += hyper.step_size * memory.td_error
    memory.mean[seen, action] = (memory.q[0, seen, action] + memory.q[1, seen, action]) / 2.0
    if terminated or truncated:
        explore_less(hyper, memory)


# --------------------------------------------------------------------------------------------- what can be told
@kernel
def tell_mean_q(hyper, memory, seen, action, out):
    """The values of all actions here, in the mean of both tables."""
    for a in range(len(out)):
        out[a] = memory.mean[seen, a]


@kernel
def tell_chances_by_mean(hyper, memory, seen, action, out):
    """The chance of each action."""
    for a in range(len(out)):
        out[a] = chance_of(a, memory.mean[seen], memory.epsilon)


@kernel
def tell_log_chance_by_mean(hyper, memory, seen, action, out):
    """The logarithm of the chance that the action had."""
    out[0] = math.log(chance_of(action, memory.mean[seen], memory.epsilon))


class DoubleQ(QLearning):
    """Double Q-learning: each step teaches one of two tables, chosen by a coin; actions follow their mean.

    Hyper-parameters:
        Q-learning's: step_size, discount, initial_value, epsilon, final_epsilon, epsilon_decay_episodes.

    Source: van Hasselt 2010; Sutton & Barto 2018, section 6.7.
    """

    named_only = True
    params = QLearning.params.with_defaults(step_size=0.9, discount=0.8, epsilon=0.2)
    begin, act, learn = start_both_optimistic, act_on_both, update_one
    internals = {
        **QLearning.internals,
        "q": Internal(tell_mean_q, one_each_action),
        "probabilities": Internal(tell_chances_by_mean, one_each_action),
        "log_prob": Internal(tell_log_chance_by_mean),
    }

    @staticmethod
    def memory(p, variant):
        """Return the tables [table, state, action], their mean, epsilon, the last TD error, and the episodes so far."""
        shape = variant.num_states, variant.actions
        return record(
            q=(np.float64, (2, *shape)), mean=(np.float64, shape), epsilon=np.float64, td_error=np.float64, episodes=np.int64
        )
