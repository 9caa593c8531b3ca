"""Tabular Q-learning (Watkins 1989) with a falling epsilon."""

from __future__ import annotations

import numpy as np

from metarl_envs.engine import Integer, Learner, Parameters, Real, kernel, randint, record, uniform


@kernel
def start_optimistic(hyper, memory, params, rng):
    """Fill the table with the first guess; explore as much as is ever explored."""
    for s in range(memory.q.shape[0]):
        for a in range(memory.q.shape[1]):
            memory.q[s, a] = hyper.first_guess
    memory.epsilon = hyper.epsilon


@kernel
def best_action(q, s, rng):
    """An action of the highest value, ties broken at random."""
    best = q[s, 0]
    ties = 1
    choice = 0
    for a in range(1, q.shape[1]):
        value = q[s, a]
        if value > best:
            best = value
            choice = a
            ties = 1
        elif value == best:
            ties += 1
            if randint(rng, ties) == 0:
                choice = a
    return choice


@kernel
def act_epsilon_greedily(hyper, memory, seen, rng):
    """A random action with chance epsilon, else a best one."""
    if uniform(rng) < memory.epsilon:
        return randint(rng, memory.q.shape[1])
    return best_action(memory.q, seen, rng)


@kernel
def update_q(hyper, memory, seen, action, reward, terminated, truncated, then, rng):
    """Move the value towards reward plus the discounted best of what follows; a termination is followed by nothing."""
    q = memory.q
    target = reward
    if not terminated:
        best = q[then, 0]
        for a in range(1, q.shape[1]):
            best = max(best, q[then, a])
        target += hyper.discount * best
    q[seen, action] += hyper.step_size * (target - q[seen, action])
    if terminated or truncated:
        memory.episodes += 1
        left = max(0.0, 1.0 - memory.episodes / hyper.exploring_episodes)
        memory.epsilon = hyper.last_epsilon + (hyper.epsilon - hyper.last_epsilon) * left


class QLearning(Learner):
    """Tabular Q-learning, epsilon-greedy, epsilon falling linearly from episode to episode.

    Hyper-parameters:
        step_size: of an update. discount: of what follows. first_guess: of every value (above what can be earned, it makes
        the learner try everything). epsilon, last_epsilon: chance of a random action in the first episode, and from episode
        `exploring_episodes` on.

    Source: Watkins & Dayan 1992; Sutton & Barto 2018, section 6.5.
    """

    params = Parameters(
        step_size=Real(0.7, 0.0, 1.0),
        discount=Real(0.9, 0.0, 1.0),
        first_guess=Real(1.0),
        epsilon=Real(0.1, 0.0, 1.0),
        last_epsilon=Real(0.0, 0.0, 1.0),
        exploring_episodes=Integer(50, 1),
    )
    begin, act, learn = start_optimistic, act_epsilon_greedily, update_q

    @staticmethod
    def memory(p, variant):
        """The table [state, action], epsilon, and the episodes so far."""
        shape = variant.family.states(variant.p), variant.actions
        return record(q=(np.float64, shape), epsilon=np.float64, episodes=np.int64)
