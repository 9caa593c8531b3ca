"""Tabular Q-learning (Watkins 1989) with a falling epsilon."""

from __future__ import annotations

import math

import numpy as np

from metarl_envs.engine import Integer, Internal, Parameters, Player, Real, kernel, randint, record, uniform
from metarl_envs.learners.choosing import best_action, chance_of, highest, one_each_action, tell_td_error


@kernel
def start_optimistic(hyper, memory, params, rng):
    """Fill the table with the initial value; explore as much as is ever explored."""
    for s in range(memory.q.shape[0]):
        for a in range(memory.q.shape[1]):
            memory.q[s, a] = hyper.initial_value
    memory.epsilon = hyper.epsilon


@kernel
def act_epsilon_greedily(hyper, memory, seen, rng):
    """A random action with chance epsilon, else a best one."""
    if uniform(rng) < memory.epsilon:
        return randint(rng, memory.q.shape[1])
    return best_action(memory.q[seen], rng)


@kernel
def explore_less(hyper, memory):
    """After an episode, epsilon falls."""
    memory.episodes += 1
    left = max(0.0, 1.0 - memory.episodes / hyper.epsilon_decay_episodes)
    memory.epsilon = hyper.final_epsilon + (hyper.epsilon - hyper.final_epsilon) * left


@kernel
def update_q(hyper, memory, seen, action, reward, terminated, truncated, then, rng):
    """Move the value towards reward plus the discounted best of what follows; a termination is followed by nothing."""
    q = memory.q
    target = reward
    if not terminated:
        target += hyper.discount * highest(q[then])
    memory.td_error = target - q[seen, action]
    q[seen, action] += hyper.step_size * memory.td_error
    if terminated or truncated:
        explore_less(hyper, memory)


# --------------------------------------------------------------------------------------------- what can be told
@kernel
def tell_q(hyper, memory, seen, action, out):
    """The values of all actions here."""
    for a in range(len(out)):
        out[a] = memory.q[seen, a]


@kernel
def tell_epsilon(hyper, memory, seen, action, out):
    """The chance of a random action."""
    out[0] = memory.epsilon


@kernel
def tell_chances_of_greedy(hyper, memory, seen, action, out):
    """The chance of each action."""
    for a in range(len(out)):
        out[a] = chance_of(a, memory.q[seen], memory.epsilon)


@kernel
def tell_log_chance_of_greedy(hyper, memory, seen, action, out):
    """The logarithm of the chance that the action had."""
    out[0] = math.log(chance_of(action, memory.q[seen], memory.epsilon))


class QLearning(Player):
    """Tabular Q-learning, epsilon-greedy, epsilon falling linearly from episode to episode.

    Hyper-parameters:
        step_size: alpha, in [0, 1]. discount: gamma, in [0, 1]. initial_value: Q of every state and action at the start of a
        trial (above what can be earned, it makes the learner try everything). epsilon, final_epsilon: chance of a random action
        in the first episode, and from episode `epsilon_decay_episodes` on.

    Source: Watkins & Dayan 1992; Sutton & Barto 2018, section 6.5.
    """

    params = Parameters(
        step_size=Real(0.7, 0.0, 1.0),
        discount=Real(0.9, 0.0, 1.0),
        initial_value=Real(1.0),
        epsilon=Real(0.1, 0.0, 1.0),
        final_epsilon=Real(0.0, 0.0, 1.0),
        epsilon_decay_episodes=Integer(50, 1),
    )
    begin, act, learn = start_optimistic, act_epsilon_greedily, update_q
    internals = {
        "q": Internal(tell_q, one_each_action),
        "epsilon": Internal(tell_epsilon),
        "probabilities": Internal(tell_chances_of_greedy, one_each_action),
        "log_prob": Internal(tell_log_chance_of_greedy),
        "td_error": Internal(tell_td_error, after=True),
    }

    @staticmethod
    def memory(p, variant):
        """Return the table [state, action], epsilon, the last TD error, and the episodes so far."""
        shape = variant.num_states, variant.actions
        return record(q=(np.float64, shape), epsilon=np.float64, td_error=np.float64, episodes=np.int64)
