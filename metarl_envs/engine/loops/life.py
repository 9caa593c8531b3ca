"""A life in parts: how a player begins, looks, acts and learns in a world, in one signature for all of them."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import NamedTuple

import numpy as np

from metarl_envs.engine.compiling.kernels import glue, kernel
from metarl_envs.engine.family import Variant
from metarl_envs.engine.loops.trial import as_word, trial_parts
from metarl_envs.engine.player import Player
from metarl_envs.engine.streams import LEARNER, keyed


class PlayerArrays(NamedTuple):
    """Who lives in the worlds: one row of hyper-parameters, then an element a life, and the bounds of actions.

    `seen` holds two observations a life, the one that is acted on and room for the next; `slots` is room for actions that are
    arrays; `bounds` has shape (2, size of an action). `done` holds the actions of a replay, [life, step, ...], else no steps.
    """

    hyper: np.ndarray
    memories: np.ndarray
    streams: np.ndarray
    seen: np.ndarray
    slots: np.ndarray
    bounds: np.ndarray
    done: np.ndarray


#: What the drivers of learners return: this, or a fault and the life in which it happened (see `fault_of`).
NO_FAULT = 0
LOST, OUTSIDE = 1, 2


def fault_of(code: int) -> tuple[int, int]:
    """Return the fault that a code tells of (`LOST`: an observation index out of range; `OUTSIDE`: an action), and the life."""
    return 1 + (code - 1) % 2, (code - 1) // 2


@kernel
def fault(what, i):
    """The code of a fault in life i (see `fault_of`)."""
    return np.int64(what) + 2 * np.int64(i)


def life_parts(variant: Variant, learner: type[Player]) -> SimpleNamespace:
    """A life, in parts."""
    parts = trial_parts(variant)
    new_trial, begin_episode, move, observe = parts.new_trial, parts.begin_episode, parts.move, parts.observe
    look, lost, begin, learn = learner_parts(variant, learner)
    choose, outside, keep = action_parts(variant, learner)

    def enter(arrays, player, given, i):
        """The first instant of life i: a trial begins, and the learner knows nothing."""
        p, w, rng = arrays.params[0], arrays.worlds[i], player.streams[i]
        new_trial(arrays, w, given)
        begin_episode(p, arrays.tasks[w.task], w, player.seen[i, 0])
        rng.s = keyed(w.seed, LEARNER, w.trial, 0)
        begin(player.hyper[0], player.memories[i], p, arrays.tasks[w.task], rng)

    def turn(p, task, w, obs):
        """The next episode begins."""
        w.episode += 1
        begin_episode(p, task, w, obs)

    return SimpleNamespace(
        enter=glue(enter),
        look=look,
        lost=lost,
        choose=choose,
        outside=outside,
        keep=keep,
        move=move,
        observe=observe,
        learn=learn,
        turn=glue(turn),
    )


def index_out_of_range(states, seen):
    """Whether an observation's index is none that there is: it would be an address outside of the learner's memory."""
    return as_word(seen) >= as_word(states)


def never_lost(states, seen):
    """For learners that look at observations themselves."""
    return False


def learner_parts(variant: Variant, learner: type[Player]) -> tuple[Callable, Callable, Callable, Callable]:
    """How a player looks (and whether what it sees is no index that there is), begins and learns: one signature for all."""
    own_begin, own_learn = learner.begin, learner.learn

    def look_at_observation(p, task, obs):
        return obs

    if learner.observes == "state":
        look, lost = _number_of_observation(variant), index_out_of_range
    else:
        look, lost = look_at_observation, never_lost

    if learner.observes == "world":  # a reference that is allowed to know

        def begin(hyper, memory, p, task, rng):
            own_begin(hyper, memory, p, task, rng)
    else:

        def begin(hyper, memory, p, task, rng):
            own_begin(hyper, memory, p, rng)

    def learn(hyper, memory, seen, action, reward, terminated, truncated, then, rng):
        own_learn(hyper, memory, seen, action, reward, terminated, truncated, then, rng)

    return glue(look), glue(lost), glue(begin), glue(learn)


def _number_of_observation(variant: Variant) -> Callable:
    """What gives an observation its index: the observation alone, or with it the task."""
    in_task, state_index = variant.kernel("state_index_in_task"), variant.state_index
    if in_task is not None:

        def look_by_task(p, task, obs):
            return in_task(p, task, obs)

        return look_by_task
    assert state_index is not None, "else the learner has said why it cannot live here"

    def look(p, task, obs):
        return state_index(p, obs)

    return look


def number_outside(bounds, action):
    """Whether a Discrete action is none of the space, which begins at 0."""
    return as_word(action) > as_word(bounds[1, 0])


def outside_array(bounds, action):
    """Whether an array is no action of the space."""
    beyond = False
    for j in range(len(action)):
        beyond |= not ((action[j] >= bounds[0, j]) & (action[j] <= bounds[1, j]))  # a NaN is
    return beyond


def outside_table(bounds, action):
    """The same of an array of two dimensions: of a box whose agents act by arrays."""
    beyond = False
    k = 0
    for i in range(action.shape[0]):
        for j in range(action.shape[1]):
            beyond |= not ((action[i, j] >= bounds[0, k]) & (action[i, j] <= bounds[1, k]))
            k += 1
    return beyond


def copy_array(source, target):
    """Write an array into another, number by number: whole arrays would be copied with room of their own between."""
    for j in range(len(source)):
        target[j] = source[j]


def copy_table(source, target):
    """The same of an array of two dimensions."""
    for i in range(source.shape[0]):
        for j in range(source.shape[1]):
            target[i, j] = source[i, j]


def action_parts(variant: Variant, learner: type[Player]) -> tuple[Callable, Callable, Callable]:
    """How a learner chooses, what is no action of the space, and how an action is kept.

    Discrete actions are returned, others written into `slot`. `bounds` has shape (2, size of an action).
    """
    act = learner.act
    knows, scalar = learner.observes == "world", not variant.action.shape
    array_outside, copy = (outside_table, copy_table) if len(variant.action.shape) == 2 else (outside_array, copy_array)
    copy = glue(copy)

    if learner.observes == "record" and scalar:

        def choose(hyper, memory, p, task, state, seen, rng, slot, done):
            return done[act(hyper, memory, len(done))]
    elif learner.observes == "record":

        def choose(hyper, memory, p, task, state, seen, rng, slot, done):
            copy(done[act(hyper, memory, len(done))], slot)
            return slot
    elif knows and scalar:

        def choose(hyper, memory, p, task, state, seen, rng, slot, done):
            return act(hyper, memory, p, task, state, rng)
    elif scalar:

        def choose(hyper, memory, p, task, state, seen, rng, slot, done):
            return act(hyper, memory, seen, rng)
    elif knows:

        def choose(hyper, memory, p, task, state, seen, rng, slot, done):
            act(hyper, memory, p, task, state, rng, slot)
            return slot
    else:

        def choose(hyper, memory, p, task, state, seen, rng, slot, done):
            act(hyper, memory, seen, rng, slot)
            return slot

    if scalar:
        outside = number_outside

        def keep(actions, i, n, action):
            actions[i, n] = action
    else:
        outside = array_outside

        def keep(actions, i, n, action):
            copy(action, actions[i, n])

    return glue(choose), glue(outside), glue(keep)
