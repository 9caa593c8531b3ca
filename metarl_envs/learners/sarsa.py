"""Tabular SARSA (Rummery & Niranjan 1994): values of what is really done, exploring included."""

from __future__ import annotations

import numpy as np

from metarl_envs.engine import Internal, extended, kernel
from metarl_envs.learners.choosing import chance_of, one_each_action, tell_chances, tell_log_chance
from metarl_envs.learners.q_learning import QLearning, act_epsilon_greedily, explore_less, start_optimistic


@kernel
def start_without_plan(hyper, memory, params, rng):
    """Fill the table with the initial value; no action is chosen yet."""
    start_optimistic(hyper, memory, params, rng)
    memory.planned = -1


@kernel
def choose(hyper, memory, seen, rng):
    """An action for a state, epsilon-greedily. Its chances are kept, since values change before it is taken."""
    for a in range(len(memory.chance)):
        memory.chance[a] = chance_of(a, memory.q[seen], memory.epsilon)
    return act_epsilon_greedily(hyper, memory, seen, rng)


@kernel
def act_as_planned(hyper, memory, seen, rng):
    """The action that the last update looked ahead to; at the start of an episode, choose one."""
    if memory.planned < 0:
        return choose(hyper, memory, seen, rng)
    return memory.planned


@kernel
def update_along_policy(hyper, memory, seen, action, reward, terminated, truncated, then, rng):
    """Choose what to do next, then move the value towards reward plus the discounted value of that."""
    target = reward
    memory.planned = -1
    if not terminated:
        following = choose(hyper, memory, then, rng)
        target += hyper.discount * memory.q[then, following]
        if not truncated:  # an episode that was cut off goes on in its value, but not in what is done
            memory.planned = following
    memory.td_error = target - memory.q[seen, action]
    memory.q[seen, action] += hyper.step_size * memory.td_error
    if terminated or truncated:
        explore_less(hyper, memory)


class SARSA(QLearning):
    """Tabular SARSA, epsilon-greedy, epsilon falling linearly from episode to episode.

    Hyper-parameters:
        Q-learning's: step_size, discount, initial_value, epsilon, final_epsilon, epsilon_decay_episodes.

    Source: Rummery & Niranjan 1994; Sutton & Barto 2018, section 6.4.
    """

    named_only = True
    params = QLearning.params.with_defaults(step_size=0.5, discount=0.8, epsilon=0.2)
    begin, act, learn = start_without_plan, act_as_planned, update_along_policy
    internals = {
        **QLearning.internals,
        "probabilities": Internal(tell_chances, one_each_action),
        "log_prob": Internal(tell_log_chance),
    }

    @staticmethod
    def memory(p, variant):
        """Q-learning's memory, the action to come (-1: none is chosen), and the chances it was chosen by."""
        return extended(QLearning.memory(p, variant), planned=np.int64, chance=(np.float64, variant.actions))
