"""REINFORCE with a baseline (Williams 1992), tabular."""

from __future__ import annotations

import numpy as np

from metarl_envs.engine import Internal, Parameters, Player, Real, kernel, record
from metarl_envs.learners.actor_critic import act_by_softmax, start_even
from metarl_envs.learners.choosing import one_each_action, soften, tell_chances, tell_log_chance, tell_value


@kernel
def remember_until_the_end(hyper, memory, seen, action, reward, terminated, truncated, then, rng):
    """Keep the step; when the episode is over, learn from all of it."""
    memory.states[memory.t] = seen
    memory.actions[memory.t] = action
    memory.rewards[memory.t] = reward
    memory.t += 1
    if terminated or truncated:
        learn_from_episode(hyper, memory)
        memory.t = 0


@kernel
def learn_from_episode(hyper, memory):
    """From the last step to the first: what followed, above the baseline, makes the action likelier."""
    earned = 0.0
    for back in range(memory.t):
        i = memory.t - 1 - back
        s = memory.states[i]
        earned = memory.rewards[i] + hyper.discount * earned
        above = earned - memory.value[s]
        memory.value[s] += hyper.baseline_step_size * above
        soften(memory.preference[s], memory.chance)
        for a in range(len(memory.chance)):
            gradient = (1.0 if a == memory.actions[i] else 0.0) - memory.chance[a]
            memory.preference[s, a] += hyper.step_size * above * gradient


class Reinforce(Player):
    """REINFORCE with a baseline: a softmax policy over a table, and a table of state values as the baseline.

    Hyper-parameters:
        step_size: step size of the preferences. baseline_step_size: step size of the baseline's values (with 0 they stay
        `initial_value`). discount: gamma, in [0, 1]. initial_value: each state's value in the baseline at first.

    At the end of an episode, from its last step to its first, with G the discounted return from there to the end: v(s) +=
    baseline_step_size (G - v(s)) and h(s, .) += step_size (G - v(s)) grad ln pi(a | s), both with v as it was, and pi as it is
    by then. The textbook's further factor discount^t is left out, as is usual. An episode that is cut off counts as it is.

    Source: Williams 1992; Sutton & Barto 2018, section 13.4.
    """

    params = Parameters(
        step_size=Real(0.7, 0.0, 100.0),
        baseline_step_size=Real(0.5, 0.0, 1.0),
        discount=Real(0.8, 0.0, 1.0),
        initial_value=Real(0.0),
    )
    begin, act, learn = start_even, act_by_softmax, remember_until_the_end
    internals = {
        "probabilities": Internal(tell_chances, one_each_action),
        "log_prob": Internal(tell_log_chance),
        "value": Internal(tell_value),
    }

    @staticmethod
    def memory(p, variant):
        """Preferences [state, action], values [state], the chances of actions now, and the episode so far."""
        states, actions, horizon = variant.num_states, variant.actions, variant.horizon
        return record(
            preference=(np.float64, (states, actions)),
            value=(np.float64, states),
            chance=(np.float64, actions),
            states=(np.int64, horizon),
            actions=(np.int64, horizon),
            rewards=(np.float64, horizon),
            t=np.int64,
        )

    def runs_by_default(self, variant):
        """It learns between episodes only."""
        return super().runs_by_default(variant) and variant.family.curve_unit == "episode"
