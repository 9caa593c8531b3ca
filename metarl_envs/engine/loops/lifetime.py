"""The loops of learning histories: environment and learner in one, which score what it earned or write down every step."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from metarl_envs.engine.compiling.cache import compiled
from metarl_envs.engine.compiling.kernels import glue, unsigned
from metarl_envs.engine.family import Variant
from metarl_envs.engine.loops.calls import flattened
from metarl_envs.engine.loops.life import LOST, NO_FAULT, OUTSIDE, PlayerArrays, action_parts, fault, learner_parts, life_parts
from metarl_envs.engine.loops.trial import WorldArrays
from metarl_envs.engine.player import Player
from metarl_envs.engine.streams import ADVICE, keyed


class HistoryArrays(NamedTuple):
    """What `write` fills: [life, step, ...], but for the ends of episodes.

    Life i has lived[i] episodes, the last of which may be cut off. Episode e ends before step until[i, e], and finals[i, e]
    is what was seen after its last step. It is lived for steps[i] steps, which `write` reads.
    """

    observations: np.ndarray
    actions: np.ndarray
    rewards: np.ndarray
    terminations: np.ndarray
    truncations: np.ndarray
    finals: np.ndarray
    until: np.ndarray
    lived: np.ndarray
    steps: np.ndarray


class ArraysBeside(NamedTuple):
    """What else `write` fills, where it is asked for: tuples of arrays, which are empty where it is not.

    `chosen` and `learnt` are for internals, told when an action is chosen and when a step has been learned from; `advice` is
    for an oracle that looks on (see `_adviser`); `kept` for states and their times.
    """

    chosen: tuple[np.ndarray, ...]
    learnt: tuple[np.ndarray, ...]
    advice: tuple[np.ndarray, ...]
    kept: tuple[np.ndarray, ...]


def score_driver(variant: Variant, learner: type[Player]) -> Callable:
    """Environment and learner in one loop: `score` keeps what each unit of a life paid."""
    life = life_parts(variant, learner)
    enter, look, lost, choose, outside, keep = life.enter, life.look, life.lost, life.choose, life.outside, life.keep
    move, observe, learn, turn = life.move, life.observe, life.learn, life.turn

    def score(arrays: WorldArrays, player: PlayerArrays, given, episodes, block, scores, actions, steps, lo, hi):
        """Live `episodes` episodes in each world; scores[i, unit] adds up what each episode (or block of steps) paid.

        Actions are kept as far as there is room for them, and steps[i] says how many there were.
        """
        room = actions.shape[1]
        p, h, states = arrays.params[0], player.hyper[0], arrays.rules[0].states
        for i in range(unsigned(lo), unsigned(hi)):
            w, memory, rng, obs = arrays.worlds[i], player.memories[i], player.streams[i], player.seen
            enter(arrays, player, given, i)
            task = arrays.tasks[w.task]
            seen = look(p, task, obs[i, 0])
            if lost(states, seen):
                return fault(LOST, i)
            now = 0
            n = 0
            while w.episode < episodes:
                unit = w.episode if block == 0 else w.t // block
                action = choose(h, memory, p, task, w.state, seen, rng, player.slots[i], player.done[i])
                if outside(player.bounds, action):
                    return fault(OUTSIDE, i)
                if n < room:
                    keep(actions, i, n, action)
                n += 1
                reward, terminated, truncated = move(p, task, w, action)
                observe(p, task, w.state, obs[i, 1 - now])
                then = look(p, task, obs[i, 1 - now])
                if lost(states, then):
                    return fault(LOST, i)
                learn(h, memory, seen, action, reward, terminated, truncated, then, rng)
                seen = then
                now = 1 - now
                scores[i, unit] += reward
                if terminated | truncated:
                    if w.episode + 1 == episodes:
                        break  # the last state stays
                    turn(p, task, w, obs[i, now])
                    seen = look(p, task, obs[i, now])
                    if lost(states, seen):
                        return fault(LOST, i)
            steps[i] = n
        return np.int64(NO_FAULT)

    return compiled(f"{variant.name}.{learner.__name__}", flattened(score)).score


def write_driver(
    variant: Variant,
    learner: type[Player],
    told: tuple[Callable, ...] = (),
    learned: tuple[Callable, ...] = (),
    oracle: type[Player] | None = None,
    states: bool = False,
) -> Callable:
    """Environment and learner in one loop: `write` keeps every step.

    Args:
        variant: the family with its parameters set.
        learner: who lives.
        told: kernels (see `player.Internal`) that tell of it when the action is chosen.
        learned: those that do when the step has been learned from.
        oracle: whose action is written beside that of the learner, which it does not touch.
        states: whether states and their times are kept, for what is to be computed from them afterwards.
    """
    life = life_parts(variant, learner)
    enter, look, lost, choose, outside, keep = life.enter, life.look, life.lost, life.choose, life.outside, life.keep
    move, observe, learn, turn = life.move, life.observe, life.learn, life.turn
    tell_chosen, tell_learned = _tellers(told), _tellers(learned)
    ask, advise, watch = _adviser(variant, oracle)
    keep_state = _state_keeper(states)

    def write(arrays: WorldArrays, player: PlayerArrays, given, out: HistoryArrays, beside: ArraysBeside, lo, hi):
        """Live in each world, and keep each step: what was seen, done, paid, and what ended."""
        p, h, states = arrays.params[0], player.hyper[0], arrays.rules[0].states
        for i in range(unsigned(lo), unsigned(hi)):
            w, memory, rng, obs = arrays.worlds[i], player.memories[i], player.streams[i], player.seen
            enter(arrays, player, given, i)
            task = arrays.tasks[w.task]
            seen = look(p, task, obs[i, 0])
            if lost(states, seen):
                return fault(LOST, i)
            ask(p, task, w, beside.advice, i)
            now = 0
            out.lived[i] = 0
            steps = out.steps[i]
            for n in range(steps):
                observe(p, task, w.state, out.observations[i, n])
                keep_state(beside.kept, w, i, n)
                advise(p, task, w, beside.advice, i, n)
                action = choose(h, memory, p, task, w.state, seen, rng, player.slots[i], player.done[i])
                if outside(player.bounds, action):
                    return fault(OUTSIDE, i)
                keep(out.actions, i, n, action)
                tell_chosen(h, memory, seen, action, beside.chosen, i, n)
                reward, terminated, truncated = move(p, task, w, action)
                observe(p, task, w.state, obs[i, 1 - now])
                then = look(p, task, obs[i, 1 - now])
                if lost(states, then):
                    return fault(LOST, i)
                learn(h, memory, seen, action, reward, terminated, truncated, then, rng)
                tell_learned(h, memory, seen, action, beside.learnt, i, n)
                watch(action, reward, terminated, truncated, beside.advice, obs, i, now)
                out.rewards[i, n] = reward
                out.terminations[i, n] = terminated
                out.truncations[i, n] = truncated
                ended = terminated | truncated
                if ended | (n + 1 == steps):
                    observe(p, task, w.state, out.finals[i, out.lived[i]])
                    out.until[i, out.lived[i]] = n + 1
                    out.lived[i] += 1
                now = 1 - now
                seen = then
                if ended & (n + 1 < steps):
                    turn(p, task, w, obs[i, now])
                    seen = look(p, task, obs[i, now])
                    if lost(states, seen):
                        return fault(LOST, i)
        return np.int64(NO_FAULT)

    return compiled(f"{variant.name}.{learner.__name__}", flattened(write)).write


def _tellers(kernels: tuple[Callable, ...]) -> Callable:
    """One function that lets each kernel write into an array of its own, [life, step, number]."""
    if not kernels:

        def tell_nothing(hyper, memory, seen, action, columns, i, n):
            pass

        return glue(tell_nothing)
    first, others = kernels[0], _tellers(kernels[1:])

    def tell(hyper, memory, seen, action, columns, i, n):
        first(hyper, memory, seen, action, columns[0][i, n])
        others(hyper, memory, seen, action, columns[1:], i, n)

    return glue(tell)


def _adviser(variant: Variant, oracle: type[Player] | None) -> tuple[Callable, Callable, Callable]:
    """An oracle that looks on: it begins a life, says what it would do, and sees what was done instead.

    Its things are `advice`: hyper-parameters, memories, streams, room for array actions, and where its actions go.
    """
    if oracle is None:

        def ask_nobody(p, task, w, advice, i):
            pass

        def advise_nothing(p, task, w, advice, i, n):
            pass

        def watch_nothing(action, reward, terminated, truncated, advice, obs, i, now):
            pass

        return glue(ask_nobody), glue(advise_nothing), glue(watch_nothing)
    _, _, begin, learn = learner_parts(variant, oracle)
    choose, _, keep = action_parts(variant, oracle)

    def ask(p, task, w, advice, i):
        advice[2][i].s = keyed(w.seed, ADVICE, w.trial, 0)
        begin(advice[0][0], advice[1][i], p, task, advice[2][i])

    def advise(p, task, w, advice, i, n):
        slot = advice[3][i]
        keep(advice[4], i, n, choose(advice[0][0], advice[1][i], p, task, w.state, 0, advice[2][i], slot, slot))

    def watch(action, reward, terminated, truncated, advice, obs, i, now):
        seen, then = obs[i, now], obs[i, 1 - now]
        learn(advice[0][0], advice[1][i], seen, action, reward, terminated, truncated, then, advice[2][i])

    return glue(ask), glue(advise), glue(watch)


def _state_keeper(states: bool) -> Callable:
    """Keep the state and its time in `kept`, where that is asked for."""

    def keep(kept, w, i, n):
        kept[0][i, n] = w.state
        kept[1][i, n] = w.t

    def keep_nothing(kept, w, i, n):
        pass

    return glue(keep if states else keep_nothing)
