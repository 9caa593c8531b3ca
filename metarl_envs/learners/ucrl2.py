"""UCRL2 (Jaksch, Ortner & Auer 2010) for MDPs of episodes: plan for the best MDP that may still be true."""

from __future__ import annotations

import math

import numpy as np

from metarl_envs.engine import Internal, Parameters, Real, kernel, record
from metarl_envs.learners.choosing import first_of_highest, highest, one_each_action
from metarl_envs.learners.psrl import PSRL, reward_posterior, tell_posterior_means, tell_visits, visits_of


@kernel
def start_knowing_nothing(hyper, memory, params, rng):
    """Nothing is counted yet, and nearly everything may be true."""
    plan_optimistically(hyper, memory)


@kernel
def log_term(hyper, memory):
    """What the widths grow with: the logarithm of 2 states actions (episode) / delta."""
    return math.log(2.0 * memory.q.shape[1] * memory.q.shape[2] * (memory.episodes + 1) / hyper.delta)


@kernel
def bonus_of(hyper, memory, s, a):
    """What a mean reward may lie above its estimate."""
    return hyper.width * math.sqrt(4.0 * log_term(hyper, memory) / max(visits_of(memory, s, a), 1.0))


@kernel
def radius_of(hyper, memory, s, a):
    """What transition chances may be off in all (the sum of absolute differences)."""
    states = memory.q.shape[1]
    return hyper.width * math.sqrt(4.0 * states * log_term(hyper, memory) / max(visits_of(memory, s, a), 1.0))


@kernel
def plan_optimistically(hyper, memory):
    """Extended value iteration over the steps of an episode, from the last to the first."""
    horizon, states, actions = memory.q.shape
    estimate(hyper, memory)
    for s in range(states):
        memory.value[s] = 0.0
    for back in range(horizon):
        t = horizon - 1 - back
        sort_states(memory)
        for s in range(states):
            for a in range(actions):
                memory.q[t, s, a] = memory.reward[s, a] + best_expectation(memory, s, a)
        for s in range(states):
            memory.value[s] = highest(memory.q[t, s])


@kernel
def estimate(hyper, memory):
    """Optimistic rewards, mean transitions, and the radius of what these may be."""
    states = memory.q.shape[1]
    for s in range(states):
        for a in range(memory.q.shape[2]):
            mean, _ = reward_posterior(hyper, memory, s, a)
            memory.reward[s, a] = mean + bonus_of(hyper, memory, s, a)
            memory.radius[s, a] = radius_of(hyper, memory, s, a)
            total = visits_of(memory, s, a) + states * hyper.concentration
            for s2 in range(states):
                memory.transition[s, a, s2] = (memory.count[s, a, s2] + hyper.concentration) / total


@kernel
def sort_states(memory):
    """Order the states by value, the highest first."""
    for s in range(len(memory.order)):
        i = s
        while i > 0 and memory.value[memory.order[i - 1]] < memory.value[s]:
            memory.order[i] = memory.order[i - 1]
            i -= 1
        memory.order[i] = s


@kernel
def best_expectation(memory, s, a):
    """The highest expected value of the next state that chances within the radius allow.

    The best state gets half of the radius more, and the worst states lose what is too much.
    """
    states = len(memory.order)
    best = memory.order[0]
    gained = min(memory.radius[s, a] / 2.0, 1.0 - memory.transition[s, a, best])
    total = (memory.transition[s, a, best] + gained) * memory.value[best]
    for i in range(1, states):
        s2 = memory.order[states - i]
        lost = min(gained, memory.transition[s, a, s2])
        total += (memory.transition[s, a, s2] - lost) * memory.value[s2]
        gained -= lost
    return total


@kernel
def follow_plan(hyper, memory, seen, rng):
    """The first action of the highest optimistic value here and now."""
    return first_of_highest(memory.q[memory.t, seen])


@kernel
def count_step(hyper, memory, seen, action, reward, terminated, truncated, then, rng):
    """Count the transition; after an episode, plan anew."""
    memory.count[seen, action, then] += 1.0
    memory.total[seen, action] += reward
    memory.t += 1
    if terminated or truncated:
        memory.t = 0
        memory.episodes += 1
        plan_optimistically(hyper, memory)


# --------------------------------------------------------------------------------------------- what can be told
@kernel
def tell_optimistic_q(hyper, memory, seen, action, out):
    """The optimistic values of all actions here and now."""
    for a in range(len(out)):
        out[a] = memory.q[memory.t, seen, a]


@kernel
def tell_bonus(hyper, memory, seen, action, out):
    """What each mean reward here may lie above its estimate."""
    for a in range(len(out)):
        out[a] = bonus_of(hyper, memory, seen, a)


@kernel
def tell_plan(hyper, memory, seen, action, out):
    """The chance of each action: 1 for the planned one."""
    for a in range(len(out)):
        out[a] = 1.0 if a == action else 0.0


@kernel
def tell_certainty(hyper, memory, seen, action, out):
    """The logarithm of the chance that the action had, which was 1."""
    out[0] = 0.0


class UCRL2(PSRL):
    """Before each episode, finds the best MDP that its confidence allows and the policy that is optimal for it.

    Hyper-parameters:
        width: factor of the width of all confidence sets (1 is the theory's, and explores far too much). delta: the chance that
        they fail.
        prior_mean, prior_sd, noise, concentration: the estimates are the posterior means of `PSRL` under this prior; with a
        prior_sd of 1000 and a concentration of 0.001 they are plain averages.

    In episode k, with n visits and L = ln(2 S A k / delta), a mean reward may lie width sqrt(4 L / max(n, 1)) above its
    estimate, and the chances of the next state may be off by width sqrt(4 S L / max(n, 1)) in all.

    Of actions that seem as good the first is taken, and at first all do. Were one of them drawn at random, it would earn 153.4
    instead of 148.8 in ten episodes of `TabularMDP` (simulated over 3,000 tasks, standard error 0.5), and in 25 episodes 440.4
    instead of 434.4 (1.1).

    As with `PSRL`, nobody tells it of other parameters or of a shift (`noisy`).

    Source: Jaksch, Ortner & Auer 2010, for episodes of a fixed length: one plan an episode, made by extended value iteration
    over its steps, with the constants of Osband's TabulaRL. `UCRL2(width=0.3, prior_mean=0)` earns what RL² prints (Duan et
    al. 2016, arXiv 1611.02779).
    """

    params = Parameters(
        width=Real(0.1, 0.0, 1e6),
        delta=Real(0.05, 1e-9, 1.0),
        **PSRL.params.parameters,
    )
    begin, act, learn = start_knowing_nothing, follow_plan, count_step
    internals = {
        "q": Internal(tell_optimistic_q, one_each_action),
        "bonus": Internal(tell_bonus, one_each_action),
        "posterior_mean": Internal(tell_posterior_means, one_each_action),
        "probabilities": Internal(tell_plan, one_each_action),
        "log_prob": Internal(tell_certainty),
        "visits": Internal(tell_visits),
    }

    @staticmethod
    def memory(p, variant):
        """Counts and reward totals, the optimistic MDP, values and their order, the plan, and the time."""
        states, actions = variant.num_states, variant.actions
        pair, triple = (np.float64, (states, actions)), (np.float64, (states, actions, states))
        return record(
            count=triple,
            total=pair,
            reward=pair,
            transition=triple,
            radius=pair,
            value=(np.float64, states),
            order=(np.int64, states),
            q=(np.float64, (variant.horizon, states, actions)),
            t=np.int64,
            episodes=np.int64,
        )
