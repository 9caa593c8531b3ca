"""Tabular actor-critic with a softmax policy."""

from __future__ import annotations

import numpy as np

from metarl_envs.engine import Internal, Parameters, Player, Real, kernel, record
from metarl_envs.learners.choosing import (
    draw_by,
    one_each_action,
    soften,
    tell_chances,
    tell_log_chance,
    tell_td_error,
    tell_value,
)


@kernel
def start_even(hyper, memory, params, rng):
    """All actions alike; every state has the initial value."""
    for s in range(len(memory.value)):
        memory.value[s] = hyper.initial_value


@kernel
def act_by_softmax(hyper, memory, seen, rng):
    """An action by the softmax of its preferences."""
    soften(memory.preference[seen], memory.chance)
    return draw_by(memory.chance, rng)


@kernel
def remember(memory, seen, action):
    """Put the step at the end of the path."""
    memory.states[memory.t] = seen
    memory.actions[memory.t] = action
    for a in range(len(memory.chance)):
        memory.chances[memory.t, a] = memory.chance[a]
    memory.t += 1


@kernel
def update_both(hyper, memory, seen, action, reward, terminated, truncated, then, rng):
    """The critic's TD error moves the values and preferences of the path, each earlier step by discount x trace less."""
    remember(memory, seen, action)
    target = reward
    if not terminated:
        target += hyper.discount * memory.value[then]
    memory.td_error = target - memory.value[seen]
    weight = 1.0
    i = memory.t - 1
    while i >= 0 and weight > 0.0:
        s = memory.states[i]
        memory.value[s] += hyper.critic_step_size * weight * memory.td_error
        for a in range(len(memory.chance)):
            gradient = (1.0 if a == memory.actions[i] else 0.0) - memory.chances[i, a]
            memory.preference[s, a] += hyper.step_size * weight * memory.td_error * gradient
        weight *= hyper.discount * hyper.trace_decay
        i -= 1
    if terminated or truncated:
        memory.t = 0


class ActorCritic(Player):
    """Tabular actor-critic with eligibility traces: softmax preferences, moved by the TD error of a table of state values.

    Hyper-parameters:
        step_size: step size of the preferences. critic_step_size: step size of the state values. discount: gamma, in [0, 1].
        trace_decay: lambda of both eligibility traces, in [0, 1] (0: one-step). initial_value: each state's value at first.

    With delta = r + discount v(s') - v(s), and all steps i of the episode up to now, k steps ago: v(s_i) += critic_step_size
    (discount trace_decay)^k delta, and h(s_i, .) += step_size (discount trace_decay)^k delta grad ln pi(a_i | s_i), the
    gradient as it was at that step. The textbook's further factor discount^t is left out, as is usual.

    Source: Barto, Sutton & Anderson 1983; Sutton & Barto 2018, section 13.5.
    """

    params = Parameters(
        step_size=Real(1.0, 0.0, 100.0),
        critic_step_size=Real(0.2, 0.0, 1.0),
        discount=Real(0.9, 0.0, 1.0),
        trace_decay=Real(0.5, 0.0, 1.0),
        initial_value=Real(0.0),
    )
    begin, act, learn = start_even, act_by_softmax, update_both
    internals = {
        "probabilities": Internal(tell_chances, one_each_action),
        "log_prob": Internal(tell_log_chance),
        "value": Internal(tell_value),
        "td_error": Internal(tell_td_error, after=True),
    }

    @staticmethod
    def memory(p, variant):
        """Preferences [state, action], values [state], the chances of actions now, and the path of the episode."""
        states, actions, horizon = variant.num_states, variant.actions, variant.horizon
        return record(
            preference=(np.float64, (states, actions)),
            value=(np.float64, states),
            chance=(np.float64, actions),
            td_error=np.float64,
            states=(np.int64, horizon),
            actions=(np.int64, horizon),
            chances=(np.float64, (horizon, actions)),
            t=np.int64,
        )

    def runs_by_default(self, variant):
        """In a bandit it is another gradient bandit."""
        return super().runs_by_default(variant) and variant.num_states != 1
