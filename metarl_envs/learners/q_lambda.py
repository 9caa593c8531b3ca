"""Watkins's Q(lambda): Q-learning that hands a surprise back along the path that led to it."""

from __future__ import annotations

import numpy as np

from metarl_envs.engine import Parameters, Real, extended, kernel
from metarl_envs.learners.choosing import highest
from metarl_envs.learners.q_learning import QLearning, explore_less


@kernel
def fade(memory, rate):
    """Let the traces of the path fade."""
    for i in range(memory.length):
        memory.trace[i] *= rate


@kernel
def mark(memory, s, a):
    """Give a state and action the trace 1: where it is on the path, in its place, else at the end."""
    i = 0
    while i < memory.length and (memory.states[i] != s or memory.actions[i] != a):
        i += 1
    if i == memory.length:
        memory.length += 1
        memory.states[i] = s
        memory.actions[i] = a
    memory.trace[i] = 1.0


@kernel
def update_path(hyper, memory, seen, action, reward, terminated, truncated, then, rng):
    """Q-learning's TD error, for all that is on the path; an action that was not the best breaks the path off before it."""
    q = memory.q
    if q[seen, action] < highest(q[seen]):
        memory.length = 0
    fade(memory, hyper.discount * hyper.trace_decay)
    mark(memory, seen, action)
    target = reward
    if not terminated:
        target += hyper.discount * highest(q[then])
    memory.td_error = target - q[seen, action]
    for i in range(memory.length):
        q[memory.states[i], memory.actions[i]] += hyper.step_size * memory.td_error * memory.trace[i]
    if terminated or truncated:
        memory.length = 0
        explore_less(hyper, memory)


class QLambda(QLearning):
    """Watkins's Q(lambda) with replacing traces: a TD error changes all values since the last action that was not the best.

    Hyper-parameters:
        trace_decay: lambda, in [0, 1]: the share of a TD error that is passed back from step to step, beside the discount (0 is
        Q-learning). The others are Q-learning's: step_size, discount, initial_value, epsilon, final_epsilon,
        epsilon_decay_episodes.

    Source: Watkins 1989; Sutton & Barto 1998, section 7.6; replacing traces: Singh & Sutton 1996.
    """

    named_only = True
    params = Parameters(**QLearning.params.with_defaults(discount=0.8, epsilon=0.2).parameters, trace_decay=Real(0.5, 0.0, 1.0))
    learn = update_path

    @staticmethod
    def memory(p, variant):
        """Q-learning's memory, and the path: states, actions and their traces, as many as an episode has steps at most."""
        longest = min(variant.horizon, variant.num_states * variant.actions)
        return extended(
            QLearning.memory(p, variant),
            states=(np.int64, longest),
            actions=(np.int64, longest),
            trace=(np.float64, longest),
            length=np.int64,
        )
