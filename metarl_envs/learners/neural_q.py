"""Q-learning with a small network in the place of the table, and replay of what was lived."""

from __future__ import annotations

import math

import numpy as np

from metarl_envs.engine import Integer, Internal, Parameters, Player, Real, bounds_of, kernel, normal, randint, record, uniform
from metarl_envs.learners.choosing import best_action, chance_of, highest, one_each_action, tell_td_error
from metarl_envs.learners.q_learning import explore_less, tell_epsilon


@kernel
def start_as_a_stranger(hyper, memory, params, rng):
    """Draw how hidden units see places; nothing is made of them yet, so that every value is the initial one."""
    for k in range(memory.into.shape[0]):
        for i in range(memory.into.shape[1]):
            memory.into[k, i] = normal(rng)
    for a in range(len(memory.base)):
        memory.base[a] = hyper.initial_value
    memory.epsilon = hyper.epsilon


@kernel
def find_places(memory, seen):
    """Between which two places each number lies, and how far it is from the first to the second."""
    for j in range(len(memory.low)):
        at = min(max((seen[j] - memory.low[j]) * memory.scale[j], 0.0), memory.last[j] - memory.first[j])
        memory.place[j] = memory.first[j] + int(at)
        memory.beyond[j] = at - int(at)


@kernel
def think(memory, seen, values):
    """Write the values of all actions where `seen` is seen; hidden units are left as they were for it."""
    find_places(memory, seen)
    into, out, offset, units, place, beyond = memory.into, memory.out, memory.offset, memory.unit, memory.place, memory.beyond
    share = 1.0 / math.sqrt(len(units))
    for a in range(len(values)):
        values[a] = memory.base[a]
    for k in range(len(units)):
        total = offset[k]
        for j in range(len(place)):
            total += (1.0 - beyond[j]) * into[k, place[j]]
            if beyond[j] > 0.0:
                total += beyond[j] * into[k, place[j] + 1]
        unit = math.tanh(total)
        units[k] = unit
        for a in range(len(values)):
            values[a] += share * out[a, k] * unit


@kernel
def correct(hyper, memory, action, error):
    """Move the value of an action by one step of gradient descent on half the squared error, where it was last thought of."""
    into, out, offset, units, place, beyond = memory.into, memory.out, memory.offset, memory.unit, memory.place, memory.beyond
    share = 1.0 / math.sqrt(len(units))
    step = hyper.step_size * error
    memory.base[action] += step
    for k in range(len(units)):
        unit = units[k]
        inward = step * share * out[action, k] * (1.0 - unit * unit)
        out[action, k] += step * share * unit
        offset[k] += inward
        for j in range(len(place)):
            into[k, place[j]] += inward * (1.0 - beyond[j])
            if beyond[j] > 0.0:
                into[k, place[j] + 1] += inward * beyond[j]


@kernel
def act_epsilon_greedily(hyper, memory, seen, rng):
    """A random action with chance epsilon, else one that the network values most."""
    think(memory, seen, memory.q)
    if uniform(rng) < memory.epsilon:
        return randint(rng, len(memory.q))
    return best_action(memory.q, rng)


@kernel
def keep(memory, seen, action, reward, terminated, then):
    """Keep the step in a ring, where the newest overwrites the oldest."""
    slot = memory.lived % len(memory.actions)
    for j in range(len(memory.low)):
        memory.before[slot, j] = seen[j]
        memory.after[slot, j] = then[j]
    memory.actions[slot] = action
    memory.rewards[slot] = reward
    memory.ends[slot] = terminated
    memory.lived += 1
    return slot


@kernel
def learn_from(hyper, memory, slot):
    """One step of Q-learning from a kept step; the error before it."""
    target = memory.rewards[slot]
    if not memory.ends[slot]:
        think(memory, memory.after[slot], memory.values)
        target += hyper.discount * highest(memory.values)
    think(memory, memory.before[slot], memory.values)
    action = memory.actions[slot]
    error = target - memory.values[action]
    correct(hyper, memory, action, error)
    return error


@kernel
def learn_and_replay(hyper, memory, seen, action, reward, terminated, truncated, then, rng):
    """Learn from the step, then from some that were lived before, drawn all alike."""
    memory.td_error = learn_from(hyper, memory, keep(memory, seen, action, reward, terminated, then))
    kept = min(memory.lived, len(memory.actions))
    for _ in range(hyper.replayed):
        learn_from(hyper, memory, randint(rng, kept))
    if terminated or truncated:
        explore_less(hyper, memory)


# --------------------------------------------------------------------------------------------- what can be told
@kernel
def tell_values(hyper, memory, seen, action, out):
    """The values of all actions here."""
    for a in range(len(out)):
        out[a] = memory.q[a]


@kernel
def tell_chances_of_greedy(hyper, memory, seen, action, out):
    """The chance that each action had."""
    for a in range(len(out)):
        out[a] = chance_of(a, memory.q, memory.epsilon)


@kernel
def tell_log_chance_of_greedy(hyper, memory, seen, action, out):
    """The logarithm of the chance that the action had."""
    out[0] = math.log(chance_of(action, memory.q, memory.epsilon))


class NeuralQ(Player):
    """Q-learning with a network of one hidden layer, and replay; epsilon-greedy, epsilon falling from episode to episode.

    It sees the observation itself, not its index. Each number of it lies at one of its values where it is whole and has few, or
    between two of `places` places within its bounds; hidden units see at which. Two numbers in two rows of cells are so as easy
    to tell apart as two states in a table, and what is learnt in one cell is half known in others of its row.

    Hyper-parameters:
        hidden: units of the hidden layer. step_size: of gradient descent, in [0, 1]; it means the same for any `hidden`.
        discount: gamma, in [0, 1]. initial_value: Q everywhere at the start of a trial. replayed: steps lived before that are
        learnt from again after each step. kept: how many steps are kept for that. places: of a number that is not whole, or has
        more than 32 values. epsilon, final_epsilon: chance of a random action in the first episode, and from episode
        `epsilon_decay_episodes` on.

    Q(s, a) = base(a) + sum over k of out(a, k) tanh(x(k)) / sqrt(hidden), with x(k) = offset(k) + sum over places of
    into(k, place) near(s, place). Near is 1 at a place, and falls linearly to 0 at the next. At the start of a trial, into is
    drawn from N(0, 1), base is `initial_value`, and all else is 0. A step moves all four by step_size (r + discount
    max Q(s', .) - Q(s, a)) grad Q(s, a), the target taken as given. The division by sqrt(hidden) keeps the gradient as long in
    any network.

    Source: Mnih et al. 2015, without a second network; Sutton & Barto 2018, sections 9.7 and 16.5.
    """

    observes = "observation"
    named_only = True
    params = Parameters(
        hidden=Integer(32, 1, 128),
        step_size=Real(0.5, 0.0, 1.0),
        discount=Real(0.9, 0.0, 1.0),
        initial_value=Real(0.0),
        replayed=Integer(4, 0, 16),
        kept=Integer(500, 1, 10_000),
        places=Integer(9, 2, 100),
        epsilon=Real(0.1, 0.0, 1.0),
        final_epsilon=Real(0.0, 0.0, 1.0),
        epsilon_decay_episodes=Integer(50, 1),
    )
    begin, act, learn = start_as_a_stranger, act_epsilon_greedily, learn_and_replay
    internals = {
        "q": Internal(tell_values, one_each_action),
        "epsilon": Internal(tell_epsilon),
        "probabilities": Internal(tell_chances_of_greedy, one_each_action),
        "log_prob": Internal(tell_log_chance_of_greedy),
        "td_error": Internal(tell_td_error, after=True),
    }

    @staticmethod
    def memory(p, variant):
        """Return where places lie, the weights, what was last thought, epsilon, and the steps that are kept."""
        numbers, actions = len(_places(p, variant)), variant.actions
        return record(
            low=(np.float64, numbers),
            scale=(np.float64, numbers),
            first=(np.int64, numbers),
            last=(np.int64, numbers),
            into=(np.float64, (p.hidden, int(_places(p, variant).sum()))),
            offset=(np.float64, p.hidden),
            out=(np.float64, (actions, p.hidden)),
            base=(np.float64, actions),
            place=(np.int64, numbers),
            beyond=(np.float64, numbers),
            unit=(np.float64, p.hidden),
            values=(np.float64, actions),
            q=(np.float64, actions),
            before=(np.float64, (p.kept, numbers)),
            after=(np.float64, (p.kept, numbers)),
            actions=(np.int64, p.kept),
            rewards=(np.float64, p.kept),
            ends=(np.uint8, p.kept),
            lived=np.int64,
            epsilon=np.float64,
            td_error=np.float64,
            episodes=np.int64,
        )

    def initial_memory(self, variant):
        """It knows the bounds of what it sees."""
        row, places = super().initial_memory(variant), _places(self.p, variant)
        low, high = bounds_of(variant.observation_space)
        row["low"], row["scale"] = low, (places - 1) / np.maximum(high - low, 1e-300)
        row["first"], row["last"] = places.cumsum() - places, places.cumsum() - 1
        return row

    def why_unsuitable(self, variant):
        """It needs numbers within bounds."""
        try:
            bounds_of(variant.observation_space)
        except ValueError as problem:
            return f"NeuralQ needs numbers between bounds, and {variant.name} {problem}"
        return super().why_unsuitable(variant)


def _places(p, variant) -> np.ndarray:
    """How many places each number of an observation has, int64 [number]."""
    low, high = bounds_of(variant.observation_space)
    few = np.issubdtype(variant.observation.dtype, np.integer) & (high - low < _FEW_VALUES)
    return np.where(few, high - low + 1, p.places).astype(np.int64)


#: Whole numbers with more values than these are seen as real ones.
_FEW_VALUES = 32
