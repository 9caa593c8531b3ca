"""The loops behind the single and the vector environment."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace

import numpy as np

from metarl_envs.engine.compiling.cache import cached, compiled
from metarl_envs.engine.compiling.kernels import PLAIN, glue, unsigned
from metarl_envs.engine.family import Variant
from metarl_envs.engine.loops.trial import (
    EPISODE_START,
    FLAGS,
    GIVEN_TASK,
    IGNORED,
    INNER_TERMINATED,
    INNER_TRUNCATED,
    OLD_TERMINATED,
    OLD_TRUNCATED,
    RULES,
    SAME_STEP,
    SAME_TRIAL,
    TERMINATED,
    TRIAL_START,
    TRUNCATED,
    trial_parts,
)


def env_drivers(variant: Variant, observed: bool = True) -> SimpleNamespace:
    """The drivers of the single and the vector environment: `begin`, `advance`, `check`.

    Where worlds are not `observed`, nothing is written into observations.
    """
    parts = trial_parts(variant, observed)
    new_trial, begin_episode, move, observe = parts.new_trial, parts.begin_episode, parts.move, parts.observe

    def advance_row(p, rules, tasks, words, worlds, actions, obs, inner_final, final, reward, flags, i):
        """One row, one step; 1 if its trial ended. Only rows where something happens touch `flags`."""
        w = worlds[i]
        ended = 0
        fresh = w.over != 0  # NEXT_STEP: this call only begins the next trial
        if fresh:
            reward[i] = 0.0
            flags[IGNORED, i] = True
        else:
            task = tasks[w.task]
            paid, terminated, truncated = move(p, task, w, actions[i])
            reward[i] = paid
            observe(p, task, w.state, obs[i])
            if not (terminated | truncated):
                return 0
            if w.episode + 1 < rules.episodes:  # the next episode of the trial begins in the same step
                flags[INNER_TERMINATED, i] = terminated
                flags[INNER_TRUNCATED, i] = truncated
                observe(p, task, w.state, inner_final[i])
                w.episode += 1
            else:
                ended = 1
                flags[TERMINATED, i] = terminated | (rules.end_terminates != 0)
                flags[TRUNCATED, i] = truncated & (rules.end_terminates == 0)
                if rules.mode != SAME_STEP:
                    flags[INNER_TERMINATED, i] = terminated
                    flags[INNER_TRUNCATED, i] = truncated
                    observe(p, task, w.state, inner_final[i])
                    w.over = 1
                    return 1
                flags[OLD_TERMINATED, i] = terminated
                flags[OLD_TRUNCATED, i] = truncated
                observe(p, task, w.state, final[i])
                fresh = True
        # one place for all that may begin in a step: what is called in two is compiled twice
        if fresh:
            flags[TRIAL_START, i] = True
            new_trial(p, rules, tasks, words, w, False)
        flags[EPISODE_START, i] = True
        begin_episode(p, tasks[w.task], w, obs[i])
        return ended

    advance_row = glue(advance_row)
    first_outside = _first_outside(variant)

    def advance(params, rules, tasks, words, worlds, actions, bounds, obs, inner_final, final, reward, flags, lo, hi):
        """Step rows lo to hi. How many trials ended; or -1 - i where action i is outside the space, and nothing moved."""
        bad = first_outside(actions, bounds, lo, hi)
        if bad >= 0:
            return -1 - bad
        ended = 0
        for i in range(unsigned(lo), unsigned(hi)):
            ended += advance_row(params[0], rules[0], tasks, words, worlds, actions, obs, inner_final, final, reward, flags, i)
        return ended

    def begin(params, rules, tasks, words, worlds, mask, how, obs, flags, lo, hi):
        """Begin a trial or an episode in the masked rows of lo to hi; the others show where they are."""
        for i in range(unsigned(lo), unsigned(hi)):
            w = worlds[i]
            if not mask[i]:
                observe(params[0], tasks[w.task], w.state, obs[i])
                continue
            if how == SAME_TRIAL:
                w.episode += 1
            else:
                new_trial(params[0], rules[0], tasks, words, w, how == GIVEN_TASK)
                flags[TRIAL_START, i] = True
            begin_episode(params[0], tasks[w.task], w, obs[i])
            flags[EPISODE_START, i] = True

    def check(actions, bounds, lo, hi):
        """The first action outside the space, or -1."""
        return first_outside(actions, bounds, lo, hi)

    made = compiled(variant.name, advance, begin, check)
    made.advance_at = None if PLAIN else _by_address(variant, glue(advance), observed)
    return made


def _by_address(variant: Variant, advance: Callable, observed: bool) -> Callable:
    """`advance` over one row whose arrays stay where they are: one argument instead of 14, a seventh of a call's cost."""
    from metarl_envs.engine.compiling.numba_parts import compiled_driver
    from metarl_envs.engine.compiling.pointers import carray, pointer

    form = variant.action
    params_row, task_row, world_row = variant.params.dtype, variant.task, variant.world
    words_a_task = task_row.itemsize // 8
    seen = variant.observations(1, observed)
    seen_shape, seen_dtype = seen.shape, seen.dtype
    action_shape, action_dtype = (1, *form.shape), form.dtype
    bounds_shape = (2, form.low.size)
    bounds_dtype = form.low.dtype
    flags_shape = (len(FLAGS), 1)
    rules_row = RULES

    def advance_at(at):
        """Step the world whose arrays stand at the addresses `at`, in the order of `advance`'s arguments."""
        pool = carray(pointer(at[1]), 1, rules_row)[0].pool
        return advance(
            carray(pointer(at[0]), 1, params_row),
            carray(pointer(at[1]), 1, rules_row),
            carray(pointer(at[2]), pool + 1, task_row),
            carray(pointer(at[3]), (pool + 1, words_a_task), np.uint64),
            carray(pointer(at[4]), 1, world_row),
            carray(pointer(at[5]), action_shape, action_dtype),
            carray(pointer(at[6]), bounds_shape, bounds_dtype),
            carray(pointer(at[7]), seen_shape, seen_dtype),
            carray(pointer(at[8]), seen_shape, seen_dtype),
            carray(pointer(at[9]), seen_shape, seen_dtype),
            carray(pointer(at[10]), 1, np.float64),
            carray(pointer(at[11]), flags_shape, np.bool_),
            np.int64(0),  # a plain 0 is a type of its own, for which all would be compiled once more
            np.int64(1),
        )

    made = compiled_driver(advance_at, allocates=True)  # carray returns an array, which code without a run-time may not
    return cached(made, f"{variant.name}.advance_at")


def _first_outside(variant: Variant) -> Callable:
    """The index of the first action outside its bounds (a NaN is), or -1. `bounds` has shape (2, size of an action)."""

    def scalar(actions, bounds, lo, hi):
        beyond = False
        for i in range(unsigned(lo), unsigned(hi)):  # without an early exit, so that it is vectorised
            beyond |= (actions[i] < bounds[0, 0]) | (actions[i] > bounds[1, 0])
        if beyond:
            for i in range(lo, hi):
                if actions[i] < bounds[0, 0] or actions[i] > bounds[1, 0]:
                    return i
        return -1

    def array(actions, bounds, lo, hi):
        flat = actions.reshape(len(actions), -1)
        for i in range(lo, hi):
            for j in range(flat.shape[1]):
                if not (flat[i, j] >= bounds[0, j] and flat[i, j] <= bounds[1, j]):
                    return i
        return -1

    return glue(array if variant.action.shape else scalar)
