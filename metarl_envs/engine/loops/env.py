"""The loops behind the single and the vector environment."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace

import numpy as np

from metarl_envs.engine.compiling import numba_parts
from metarl_envs.engine.compiling.cache import cached, compiled
from metarl_envs.engine.compiling.kernels import PLAIN, glue, unsigned
from metarl_envs.engine.family import Variant
from metarl_envs.engine.loops.calls import by_address, flattened
from metarl_envs.engine.loops.trial import (
    EPISODE_START,
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
    Outcome,
    WorldArrays,
    empty_outcome,
    trial_parts,
)
from metarl_envs.engine.records import rows, words


def env_drivers(variant: Variant, observed: bool = True) -> SimpleNamespace:
    """The drivers of the single and the vector environment: `begin`, `advance`, `check`.

    Where worlds are not `observed`, nothing is written into observations.
    """
    parts = trial_parts(variant, observed)
    new_trial, begin_episode, move, observe = parts.new_trial, parts.begin_episode, parts.move, parts.observe

    def advance_row(arrays, actions, out, i):
        """One row, one step; 1 if its trial ended. Only rows where something happens touch `flags`."""
        p, rules, w, flags = arrays.params[0], arrays.rules[0], arrays.worlds[i], out.flags
        ended = 0
        fresh = w.over != 0  # NEXT_STEP: this call only begins the next trial
        if fresh:
            out.rewards[i] = 0.0
            flags[IGNORED, i] = True
        else:
            task = arrays.tasks[w.task]
            paid, terminated, truncated = move(p, task, w, actions[i])
            out.rewards[i] = paid
            observe(p, task, w.state, out.observations[i])
            if not (terminated | truncated):
                return 0
            if w.episode + 1 < rules.episodes:  # the next episode of the trial begins in the same step
                flags[INNER_TERMINATED, i] = terminated
                flags[INNER_TRUNCATED, i] = truncated
                observe(p, task, w.state, out.inner_final[i])
                w.episode += 1
            else:
                ended = 1
                flags[TERMINATED, i] = terminated | (rules.end_terminates != 0)
                flags[TRUNCATED, i] = truncated & (rules.end_terminates == 0)
                if rules.mode != SAME_STEP:
                    flags[INNER_TERMINATED, i] = terminated
                    flags[INNER_TRUNCATED, i] = truncated
                    observe(p, task, w.state, out.inner_final[i])
                    w.over = 1
                    return 1
                flags[OLD_TERMINATED, i] = terminated
                flags[OLD_TRUNCATED, i] = truncated
                observe(p, task, w.state, out.final[i])
                fresh = True
        # one place for all that may begin in a step: what is called in two is compiled twice
        if fresh:
            flags[TRIAL_START, i] = True
            new_trial(arrays, w, False)
        flags[EPISODE_START, i] = True
        begin_episode(p, arrays.tasks[w.task], w, out.observations[i])
        return ended

    advance_row = glue(advance_row)
    first_outside = _first_outside(variant)

    def advance(arrays: WorldArrays, actions, bounds, out: Outcome, lo, hi):
        """Step rows lo to hi. How many trials ended; or -1 - i where action i is outside the space, and nothing moved."""
        bad = first_outside(actions, bounds, lo, hi)
        if bad >= 0:
            return -1 - bad
        ended = 0
        for i in range(unsigned(lo), unsigned(hi)):
            ended += advance_row(arrays, actions, out, i)
        return ended

    def begin(arrays: WorldArrays, mask, how, observations, flags, lo, hi):
        """Begin a trial or an episode in the masked rows of lo to hi; the others show where they are."""
        p = arrays.params[0]
        for i in range(unsigned(lo), unsigned(hi)):
            w = arrays.worlds[i]
            if not mask[i]:
                observe(p, arrays.tasks[w.task], w.state, observations[i])
                continue
            if how == SAME_TRIAL:
                w.episode += 1
            else:
                new_trial(arrays, w, how == GIVEN_TASK)
                flags[TRIAL_START, i] = True
            begin_episode(p, arrays.tasks[w.task], w, observations[i])
            flags[EPISODE_START, i] = True

    def check(actions, bounds, lo, hi):
        """The first action outside the space, or -1."""
        return first_outside(actions, bounds, lo, hi)

    made = compiled(variant.name, flattened(advance), flattened(begin), check)
    made.advance_at = None if PLAIN else _by_address(variant, advance, observed)
    return made


def _by_address(variant: Variant, advance: Callable, observed: bool) -> Callable:
    """`advance` over one row whose arrays stay where they are: one argument instead of 14, a seventh of a call's cost."""
    one = one_world(variant, observed)
    made = by_address(advance, one, "0", "1")
    return cached(numba_parts.compiled_driver(made), f"{variant.name}.advance_at")


def one_world(variant: Variant, observed: bool) -> tuple[np.ndarray, ...]:
    """Arrays of the forms that `advance` is called with for one world, in its order."""
    task, out = rows(1, variant.task), empty_outcome(variant, 1, observed)
    arrays = WorldArrays(variant.params, rows(1, RULES), task, words(task), rows(1, variant.world))
    action = np.zeros((1, *variant.action.shape), variant.action.dtype)
    return *arrays, action, variant.action.bounds(), *out


def _first_outside(variant: Variant) -> Callable:
    """The first row whose action is outside its bounds (a NaN is), or -1. `bounds` has shape (2, size of an action)."""

    def scalar(actions, bounds, lo, hi):
        beyond = False
        for i in range(unsigned(lo), unsigned(hi)):  # without an early exit, so that it is vectorised
            beyond |= (actions[i] < bounds[0, 0]) | (actions[i] > bounds[1, 0])
        if beyond:
            for i in range(lo, hi):
                if actions[i] < bounds[0, 0] or actions[i] > bounds[1, 0]:
                    return i
        return -1

    def vector(actions, bounds, lo, hi):
        for i in range(lo, hi):
            for j in range(actions.shape[1]):
                if not (actions[i, j] >= bounds[0, j] and actions[i, j] <= bounds[1, j]):
                    return i
        return -1

    def array(actions, bounds, lo, hi):
        return flat(actions.reshape(len(actions), -1), bounds, lo, hi)

    flat = glue(vector)
    axes = len(variant.action.shape)
    return glue(scalar) if axes == 0 else flat if axes == 1 else glue(array)
