"""What every loop is made of: tasks are drawn, episodes begin and worlds move on, and how it is told that they do.

All loops work on plain arrays of rows from `lo` to `hi`, so that threads can share the work, and release the GIL.

Speed comes from a few habits, each worth a factor (see benchmarks/): the loop index is unsigned, so that no index is
checked for being negative; inner functions are inlined; flags are written only where one is up, into an array that arrives
zeroed. Little to compile comes from one more: a family's kernel is called in one place of a driver wherever that can be.
"""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import NamedTuple

import numpy as np

from metarl_envs.engine.compiling.kernels import PLAIN, glue, kernel
from metarl_envs.engine.family import Variant
from metarl_envs.engine.records import for_drivers, record
from metarl_envs.engine.splits import ALL, part_of
from metarl_envs.engine.streams import EPISODE, POOL, TASK, bits, keyed, mix, randint

#: Autoreset modes, in the order of `gymnasium.vector.AutoresetMode`.
NEXT_STEP, SAME_STEP, DISABLED = range(3)
#: Ways to begin: draw a new task, take the task that the world already names, or stay on the task of the trial.
NEW_TASK, GIVEN_TASK, SAME_TRIAL = range(3)

#: What the rows of the array `flags` mean. With SAME_STEP, the old ones say how the last episode of the trial before ended.
FLAGS = (
    "terminated",
    "truncated",
    "trial_start",
    "episode_start",
    "inner_terminated",
    "inner_truncated",
    "action_ignored",
    "old_inner_terminated",
    "old_inner_truncated",
)
TERMINATED, TRUNCATED, TRIAL_START, EPISODE_START, INNER_TERMINATED, INNER_TRUNCATED, IGNORED = range(7)
OLD_TERMINATED, OLD_TRUNCATED = 7, 8

#: What holds for all rows of a driver's call: episodes a trial, autoreset mode, the parts that tasks are drawn from (see
#: `splits`), the size of a shared pool of tasks (0: each row draws its own), whether the end of the last episode is always
#: reported as a termination, and how many observation indices there are for learners that look at those.
RULES = record(episodes=np.int64, mode=np.int64, parts=np.int64, pool=np.int64, end_terminates=np.int64, states=np.int64)


class WorldArrays(NamedTuple):
    """What every loop over worlds is given: one row of parameters and of `RULES`, tasks, the same as words, and worlds."""

    params: np.ndarray
    rules: np.ndarray
    tasks: np.ndarray
    words: np.ndarray
    worlds: np.ndarray


class Outcome(NamedTuple):
    """What one call of a loop fills, one element a row (see `FLAGS` for the rows of `flags`, which are [flag, row])."""

    observations: np.ndarray
    rewards: np.ndarray
    flags: np.ndarray
    inner_final: np.ndarray
    final: np.ndarray


def empty_outcome(variant: Variant, count: int, observed: bool, apart: bool = False, spare: Outcome | None = None) -> Outcome:
    """Return arrays for a call to fill: flags and final observations are zero where nothing is written.

    Args:
        variant: the family with its parameters set.
        count: the number of worlds.
        observed: whether they are looked at.
        apart: whether `final` is an array of its own: with SAME_STEP, where both ends can fall into one step.
        spare: whose final observations are still zero, and may be used again.
    """
    observations = variant.observations(count, observed)
    if spare is not None:
        inner_final, final = spare.inner_final, spare.final
    else:
        inner_final = zeros_like(observations)
        final = zeros_like(observations) if apart else inner_final
    return Outcome(observations, np.empty(count), np.zeros((len(FLAGS), count), np.bool_), inner_final, final)


def zeros_like(array: np.ndarray) -> np.ndarray:
    """Return zeros of an array's form, as drivers take them (`np.zeros_like` is slower, since it keeps memory orders)."""
    return for_drivers(np.zeros(array.shape, array.dtype))


#: A number as 64 bits without a sign: one below 0 is a very large one, so that one comparison tells of both ends of a range.
as_word = (lambda number: int(number) % 2**64) if PLAIN else np.uint64


# ------------------------------------------------------------------------------------------------- what a task means
def _content_meaning(params, task, words, i):
    """A hash of the content of task i, given as 64-bit words."""
    h = as_word(0x9E3779B97F4A7C15)
    for j in range(words.shape[1]):
        h = mix(h ^ words[i, j])
    return h


def _meaning(variant: Variant) -> Callable:
    """How a family's tasks are hashed: by their content, or by a `task_hash` kernel of the family's own."""
    own = variant.kernel("task_hash")
    if own is None:
        return glue(_content_meaning)

    def meaning(params, task, words, i):
        return as_word(own(params, task))  # a hash may be a signed number, and with one without a sign that makes a float

    return glue(meaning)


@kernel
def _in_one_part(params, task):
    """For families without tasks that hold much of the distribution."""
    return False


# ------------------------------------------------------------------------------------------------- trials and episodes
@kernel
def observe_nothing(params, task, state, obs):
    """For worlds whose rows somebody else looks at."""


def trial_parts(variant: Variant, observed: bool = True) -> SimpleNamespace:
    """The inner functions that every driver is made of, bound to a family's kernels."""
    sample_task, reset, step = map(variant.kernel, ("sample_task", "reset", "step"))
    observe = variant.kernel("observe") if observed else observe_nothing
    meaning, in_every_part = _meaning(variant), variant.kernel("in_every_part") or _in_one_part

    def draw_task(p, parts, tasks, words, i, rng):
        """Sample into a zeroed row, so that what a task means depends on nothing that stood there; again, until it fits.

        A task that is in every part is drawn in each as often as in all tasks: by a number as random as a meaning is.
        """
        while True:
            for j in range(words.shape[1]):
                words[i, j] = 0
            sample_task(p, tasks[i], rng)
            if parts == ALL:
                break
            h = bits(rng) if in_every_part(p, tasks[i]) else meaning(p, tasks[i], words, i)
            if part_of(h) & parts:
                break

    draw_task = glue(draw_task)

    def begin_episode(p, task, w, obs):
        w.t = 0
        w.over = 0
        w.rng.s = keyed(w.seed, EPISODE, w.trial, w.episode)
        reset(p, task, w.state, w.rng)
        observe(p, task, w.state, obs)

    begin_episode = glue(begin_episode)

    def new_trial(arrays: WorldArrays, w, given):
        """The next trial's task, unless it was given. Its first episode is still to begin."""
        rules = arrays.rules[0]
        w.episode = 0
        w.trial += 1
        if not given:
            if rules.pool > 0:
                w.rng.s = keyed(w.seed, POOL, w.trial, 0)
                w.task = randint(w.rng, rules.pool)
            else:
                w.rng.s = keyed(w.seed, TASK, w.trial, 0)
                draw_task(arrays.params[0], rules.parts, arrays.tasks, arrays.words, w.task, w.rng)

    new_trial = glue(new_trial)

    def move(p, task, w, action):
        """One step of the world and its clock: reward, terminated, truncated."""
        reward, done = step(p, task, w.state, action, w.rng)
        terminated = bool(done)
        w.t += 1
        return reward, terminated, (not terminated) & (w.t >= p.horizon)

    return SimpleNamespace(
        draw_task=draw_task,
        in_every_part=in_every_part,
        begin_episode=begin_episode,
        new_trial=new_trial,
        move=glue(move),
        meaning=meaning,
        observe=observe,
    )
