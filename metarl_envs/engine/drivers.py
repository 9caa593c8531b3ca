"""The compiled loops. Trials, horizons and autoreset are written here, once, for every family and every way to run it.

`env_drivers` makes the loops behind the single and the vector environment; `score_driver` and `write_driver` fuse an
environment with a learner. All work on plain arrays of rows from `lo` to `hi`, so that threads can share the work, and release
the GIL.

Speed comes from a few habits, each worth a factor (see benchmarks/): the loop index is unsigned, so that no index is
checked for being negative; inner functions are inlined; flags are written only where one is up, into an array that arrives
zeroed. Little to compile comes from one more: a family's kernel is called in one place of a driver wherever that can be.
"""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import TYPE_CHECKING

import numpy as np

from metarl_envs.engine.cache import cached
from metarl_envs.engine.kernels import PLAIN, driver, glue, kernel, unsigned
from metarl_envs.engine.records import record
from metarl_envs.engine.splits import ALL, EVERY_PART, part_of
from metarl_envs.engine.streams import ADVICE, EPISODE, LEARNER, POOL, TASK, bits, keyed, mix, randint

if TYPE_CHECKING:
    from metarl_envs.engine.family import Variant
    from metarl_envs.engine.learner import Learner

#: Autoreset modes, in the order of `gymnasium.vector.AutoresetMode`.
NEXT_STEP, SAME_STEP, DISABLED = range(3)
#: Ways to begin: draw a new task, take the task that the world already names, or stay on the task of the trial.
NEW_TASK, GIVEN_TASK, SAME_TRIAL = range(3)

#: What the rows of the array `flags` mean.
FLAGS = (
    "terminated",
    "truncated",
    "trial_start",
    "episode_start",
    "inner_terminated",
    "inner_truncated",
    "action_ignored",
    "old_inner_terminated",  # SAME_STEP: how the last episode of the trial before ended
    "old_inner_truncated",
)
_TERMINATED, _TRUNCATED, _TRIAL_START, _EPISODE_START, _INNER_TERMINATED, _INNER_TRUNCATED, _IGNORED = range(7)
_OLD_TERMINATED, _OLD_TRUNCATED = 7, 8

#: What holds for all rows of a driver's call: episodes a trial, autoreset mode, the parts that tasks are drawn from (see
#: `splits`), the size of a shared pool of tasks (0: each row draws its own), whether the end of the last episode is always
#: reported as a termination, and how many observation indices there are for learners that look at those.
RULES = record(episodes=np.int64, mode=np.int64, parts=np.int64, pool=np.int64, end_terminates=np.int64, states=np.int64)

#: What the drivers of learners return: this, or a fault and the life in which it happened (see `fault_of`).
NO_FAULT = 0
LOST, OUTSIDE = 1, 2


def fault_of(code: int) -> tuple[int, int]:
    """Return the fault that a code tells of (`LOST`: an observation index out of range; `OUTSIDE`: an action), and the life."""
    return 1 + (code - 1) % 2, (code - 1) // 2


#: A number as 64 bits without a sign: one below 0 is a very large one, so that one comparison tells of both ends of a range.
_word = (lambda number: int(number) % 2**64) if PLAIN else np.uint64


# ------------------------------------------------------------------------------------------------- what a task means
def _content_meaning(params, task, words, i):
    """A hash of the content of task i, given as 64-bit words."""
    h = _word(0x9E3779B97F4A7C15)
    for j in range(words.shape[1]):
        h = mix(h ^ words[i, j])
    return h


def _meaning(variant: Variant) -> Callable:
    """How a family's tasks are hashed: by their content, or by a `meaning` kernel of the family's own."""
    own = variant.family.meaning
    if own is None:
        return glue(_content_meaning)

    def meaning(params, task, words, i):
        return _word(own(params, task))  # a hash may be a signed number, and with one without a sign that makes a float

    return glue(meaning)


@kernel
def _in_one_part(params, task):
    """For families without tasks that hold much of the distribution."""
    return False


# ------------------------------------------------------------------------------------------------- trials and episodes
@kernel
def observe_nothing(params, task, state, obs):
    """For worlds whose rows somebody else looks at."""


def _trial_parts(variant: Variant, observed: bool = True) -> SimpleNamespace:
    """The inner functions that every driver is made of, bound to a family's kernels."""
    sample_task, reset, step = map(variant.kernel, ("sample_task", "reset", "step"))
    observe = variant.kernel("observe") if observed else observe_nothing
    meaning, in_every_part = _meaning(variant), variant.family.in_every_part or _in_one_part

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

    def new_trial(p, rules, tasks, words, w, given):
        """The next trial's task, unless it was given. Its first episode is still to begin."""
        w.episode = 0
        w.trial += 1
        if not given:
            if rules.pool > 0:
                w.rng.s = keyed(w.seed, POOL, w.trial, 0)
                w.task = randint(w.rng, rules.pool)
            else:
                w.rng.s = keyed(w.seed, TASK, w.trial, 0)
                draw_task(p, rules.parts, tasks, words, w.task, w.rng)

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


# ------------------------------------------------------------------------------------------------- environments
def env_drivers(variant: Variant, observed: bool = True) -> SimpleNamespace:
    """The drivers of the single and the vector environment: `begin`, `advance`, `check`.

    Where worlds are not `observed`, nothing is written into observations.
    """
    parts = _trial_parts(variant, observed)
    new_trial, begin_episode, move, observe = parts.new_trial, parts.begin_episode, parts.move, parts.observe

    def advance_row(p, rules, tasks, words, worlds, actions, obs, inner_final, final, reward, flags, i):
        """One row, one step; 1 if its trial ended. Only rows where something happens touch `flags`."""
        w = worlds[i]
        ended = 0
        fresh = w.over != 0  # NEXT_STEP: this call only begins the next trial
        if fresh:
            reward[i] = 0.0
            flags[_IGNORED, i] = True
        else:
            task = tasks[w.task]
            paid, terminated, truncated = move(p, task, w, actions[i])
            reward[i] = paid
            observe(p, task, w.state, obs[i])
            if not (terminated | truncated):
                return 0
            if w.episode + 1 < rules.episodes:  # the next episode of the trial begins in the same step
                flags[_INNER_TERMINATED, i] = terminated
                flags[_INNER_TRUNCATED, i] = truncated
                observe(p, task, w.state, inner_final[i])
                w.episode += 1
            else:
                ended = 1
                flags[_TERMINATED, i] = terminated | (rules.end_terminates != 0)
                flags[_TRUNCATED, i] = truncated & (rules.end_terminates == 0)
                if rules.mode != SAME_STEP:
                    flags[_INNER_TERMINATED, i] = terminated
                    flags[_INNER_TRUNCATED, i] = truncated
                    observe(p, task, w.state, inner_final[i])
                    w.over = 1
                    return 1
                flags[_OLD_TERMINATED, i] = terminated
                flags[_OLD_TRUNCATED, i] = truncated
                observe(p, task, w.state, final[i])
                fresh = True
        # one place for all that may begin in a step: what is called in two is compiled twice
        if fresh:
            flags[_TRIAL_START, i] = True
            new_trial(p, rules, tasks, words, w, False)
        flags[_EPISODE_START, i] = True
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
                flags[_TRIAL_START, i] = True
            begin_episode(params[0], tasks[w.task], w, obs[i])
            flags[_EPISODE_START, i] = True

    def check(actions, bounds, lo, hi):
        """The first action outside the space, or -1."""
        return first_outside(actions, bounds, lo, hi)

    made = compiled(variant.name, advance, begin, check)
    made.advance_at = None if PLAIN else _by_address(variant, glue(advance), observed)
    return made


def _by_address(variant: Variant, advance: Callable, observed: bool) -> Callable:
    """`advance` over one row whose arrays stay where they are: one argument instead of 14, a seventh of a call's cost."""
    from metarl_envs.engine.numba_parts import compiled_driver
    from metarl_envs.engine.pointers import carray, pointer

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


# ------------------------------------------------------------------------------------------------- tasks
def task_drivers(variant: Variant) -> SimpleNamespace:
    """Drivers over tasks alone: `draw` fills rows; `hashes` says what each means, and which part it is in."""
    made = _trial_parts(variant)
    draw_task, meaning, in_every_part = made.draw_task, made.meaning, made.in_every_part

    def draw(params, parts, seed, first, tasks, words, rng):
        """The tasks that an environment of this seed draws in its trials first, first + 1, ..."""
        for i in range(len(tasks)):
            rng[0].s = keyed(seed, TASK, first + i, 0)
            draw_task(params[0], parts, tasks, words, i, rng[0])

    def hashes(params, tasks, words, out, parts):
        """What each task means, as 64 bits, and the part it is in, as a bit; all bits for one that is in every part."""
        for i in range(len(tasks)):
            h = meaning(params[0], tasks[i], words, i)
            out[i] = h
            parts[i] = EVERY_PART if in_every_part(params[0], tasks[i]) else part_of(h)

    return compiled(variant.name, draw, hashes)


def solving_drivers(variant: Variant) -> SimpleNamespace:
    """Drivers that try things out on one task: `starts`, `expand` (every action), `sift` (one action on many tasks)."""
    reset, step, observe = map(variant.kernel, ("reset", "step", "observe"))

    def starts(params, task, states, rngs):
        """The first state of an episode under each stream; whether any reset drew a random number."""
        drew = False
        for i in range(len(states)):
            before = rngs[i].s
            reset(params[0], task[0], states[i], rngs[i])
            drew |= rngs[i].s != before
        return drew

    def expand(params, task, states, actions, reached, paid, ended, rng):
        """Every action in every state, in order; whether any step drew a random number."""
        drew = False
        rng[0].s = unsigned(1)
        for i in range(len(states)):
            for a in range(actions):
                j = i * actions + a
                reached[j] = states[i]
                reward, done = step(params[0], task[0], reached[j], a, rng[0])
                paid[j] = reward
                ended[j] = done
                drew |= rng[0].s != unsigned(1)
        return drew

    def restart(params, tasks, states, weights, seen, room, flat, seed, trial, episode, rng):
        """Begin an episode in every possible world; those that would look different lose their weight."""
        for j in range(len(tasks)):
            rng[0].s = keyed(seed, EPISODE, trial, episode)
            reset(params[0], tasks[j], states[j], rng[0])
            observe(params[0], tasks[j], states[j], room[j])
            for k in range(len(seen)):
                if flat[j, k] != seen[k]:
                    weights[j] = 0.0

    def sift(params, tasks, states, weights, action, reward, terminated, seen, room, flat, rng):
        """Take one action in every possible world; those that would have paid, ended or looked different lose weight.

        Whether a step drew a random number, so that this is not exact.
        """
        rng[0].s = unsigned(1)
        for j in range(len(tasks)):
            paid, done = step(params[0], tasks[j], states[j], action, rng[0])
            observe(params[0], tasks[j], states[j], room[j])
            if paid != reward or bool(done) != terminated:
                weights[j] = 0.0
            for k in range(len(seen)):
                if flat[j, k] != seen[k]:
                    weights[j] = 0.0
        return rng[0].s != unsigned(1)

    return compiled(variant.name, starts, expand, restart, sift)


# ------------------------------------------------------------------------------------------------- learners
def score_driver(variant: Variant, learner: type[Learner]) -> Callable:
    """Environment and learner in one loop: `score` keeps what each unit of a life paid."""
    life = _life_parts(variant, learner)
    enter, look, lost, choose, outside = life.enter, life.look, life.lost, life.choose, life.outside
    move, observe, learn, turn = life.move, life.observe, life.learn, life.turn

    def score(
        params, rules, tasks, words, worlds, given, bounds, hyper, memories, rngs, obs, slots,
        episodes, block, scores, lo, hi,
    ):  # fmt: skip
        """Live `episodes` episodes in each world; scores[i, unit] adds up what each episode (or block of steps) paid."""
        p, h, states = params[0], hyper[0], rules[0].states
        for i in range(unsigned(lo), unsigned(hi)):
            w, memory, rng = worlds[i], memories[i], rngs[i]
            enter(p, rules[0], tasks, words, w, obs[i, 0], given, h, memory, rng)
            seen = look(p, obs[i, 0])
            if lost(states, seen):
                return fault(LOST, i)
            task = tasks[w.task]
            now = 0
            while w.episode < episodes:
                unit = w.episode if block == 0 else w.t // block
                action = choose(h, memory, p, task, w.state, seen, rng, slots[i])
                if outside(bounds, action):
                    return fault(OUTSIDE, i)
                reward, terminated, truncated = move(p, task, w, action)
                observe(p, task, w.state, obs[i, 1 - now])
                then = look(p, obs[i, 1 - now])
                if lost(states, then):
                    return fault(LOST, i)
                learn(h, memory, seen, action, reward, terminated, truncated, then, rng)
                seen = then
                now = 1 - now
                if terminated | truncated:
                    turn(p, task, w, obs[i, now])
                    seen = look(p, obs[i, now])
                    if lost(states, seen):
                        return fault(LOST, i)
                scores[i, unit] += reward
        return np.int64(NO_FAULT)

    return compiled(f"{variant.name}.{learner.__name__}", score).score


def write_driver(
    variant: Variant,
    learner: type[Learner],
    told: tuple[Callable, ...] = (),
    learned: tuple[Callable, ...] = (),
    oracle: type[Learner] | None = None,
    states: bool = False,
) -> Callable:
    """Environment and learner in one loop: `write` keeps every step.

    Args:
        variant: the family with its parameters set.
        learner: who lives.
        told: kernels (see `learner.Internal`) that tell of its mind when the action is chosen.
        learned: those that do when the step has been learned from.
        oracle: whose action is written beside that of the learner, which it does not touch.
        states: whether states and their times are kept, for what is to be computed from them afterwards.
    """
    life = _life_parts(variant, learner)
    enter, look, lost, choose, outside, keep = life.enter, life.look, life.lost, life.choose, life.outside, life.keep
    move, observe, learn, turn = life.move, life.observe, life.learn, life.turn
    tell_chosen, tell_learned = _tellers(told), _tellers(learned)
    ask, advise, watch = _adviser(variant, oracle)
    keep_state = _state_keeper(states)

    def write(
        params, rules, tasks, words, worlds, given, bounds, hyper, memories, rngs, obs, slots,
        observations, actions, rewards, terminations, truncations, finals, until, lived,
        chosen, learnt, advice, kept, lo, hi,
    ):  # fmt: skip
        """Live `rewards.shape[1]` steps in each world and keep each: what was seen, done, paid, and what ended.

        Life i has lived[i] episodes, the last of which may be cut off. Episode e ends before step until[i, e], and finals[i, e]
        is what was seen after its last step.
        """
        p, h, states = params[0], hyper[0], rules[0].states
        steps = rewards.shape[1]
        for i in range(unsigned(lo), unsigned(hi)):
            w, memory, rng = worlds[i], memories[i], rngs[i]
            enter(p, rules[0], tasks, words, w, obs[i, 0], given, h, memory, rng)
            seen = look(p, obs[i, 0])
            if lost(states, seen):
                return fault(LOST, i)
            task = tasks[w.task]
            ask(p, task, w, advice, i)
            now = 0
            lived[i] = 0
            for n in range(steps):
                observe(p, task, w.state, observations[i, n])
                keep_state(kept, w, i, n)
                advise(p, task, w, advice, i, n)
                action = choose(h, memory, p, task, w.state, seen, rng, slots[i])
                if outside(bounds, action):
                    return fault(OUTSIDE, i)
                keep(actions, i, n, action)
                tell_chosen(h, memory, seen, action, chosen, i, n)
                reward, terminated, truncated = move(p, task, w, action)
                observe(p, task, w.state, obs[i, 1 - now])
                then = look(p, obs[i, 1 - now])
                if lost(states, then):
                    return fault(LOST, i)
                learn(h, memory, seen, action, reward, terminated, truncated, then, rng)
                tell_learned(h, memory, seen, action, learnt, i, n)
                watch(action, reward, terminated, truncated, advice, obs, i, now)
                rewards[i, n] = reward
                terminations[i, n] = terminated
                truncations[i, n] = truncated
                ended = terminated | truncated
                if ended | (n + 1 == steps):
                    observe(p, task, w.state, finals[i, lived[i]])
                    until[i, lived[i]] = n + 1
                    lived[i] += 1
                now = 1 - now
                seen = then
                if ended:
                    turn(p, task, w, obs[i, now])
                    seen = look(p, obs[i, now])
                    if lost(states, seen):
                        return fault(LOST, i)
        return np.int64(NO_FAULT)

    return compiled(f"{variant.name}.{learner.__name__}", write).write


@kernel
def fault(what, i):
    """The code of a fault in life i (see `fault_of`)."""
    return np.int64(what) + 2 * np.int64(i)


def _life_parts(variant: Variant, learner: type[Learner]) -> SimpleNamespace:
    """A life, in parts. `obs[i]` holds two observations: the one acted on (`now`), and room for the next."""
    parts = _trial_parts(variant)
    new_trial, begin_episode, move, observe = parts.new_trial, parts.begin_episode, parts.move, parts.observe
    look, lost, wake, learn = _learner_parts(variant, learner)
    choose, outside, keep = _action_parts(variant, learner)

    def enter(p, rules, tasks, words, w, obs, given, hyper, memory, rng):
        """The first instant of a life: a trial begins, and the learner knows nothing."""
        new_trial(p, rules, tasks, words, w, given)
        begin_episode(p, tasks[w.task], w, obs)
        rng.s = keyed(w.seed, LEARNER, w.trial, 0)
        wake(hyper, memory, p, tasks[w.task], rng)

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


def _adviser(variant: Variant, oracle: type[Learner] | None) -> tuple[Callable, Callable, Callable]:
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
    _, _, wake, learn = _learner_parts(variant, oracle)
    choose, _, keep = _action_parts(variant, oracle)

    def ask(p, task, w, advice, i):
        advice[2][i].s = keyed(w.seed, ADVICE, w.trial, 0)
        wake(advice[0][0], advice[1][i], p, task, advice[2][i])

    def advise(p, task, w, advice, i, n):
        keep(advice[4], i, n, choose(advice[0][0], advice[1][i], p, task, w.state, 0, advice[2][i], advice[3][i]))

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


def index_out_of_range(states, seen):
    """Whether an observation's index is none that there is: it would be an address outside of the learner's memory."""
    return _word(seen) >= _word(states)


def never_lost(states, seen):
    """For learners that look at observations themselves."""
    return False


def _learner_parts(variant: Variant, learner: type[Learner]) -> tuple[Callable, Callable, Callable, Callable]:
    """How a learner looks (and whether what it sees is no index that there is), wakes and learns: one signature for all."""
    own_begin, own_learn = learner.begin, learner.learn

    def look_at_observation(p, obs):
        return obs

    if learner.sees == "state":
        locate = variant.family.locate
        if locate is None:
            raise TypeError(f"{variant.name} has states, and must number them with a kernel `locate`")

        def look(p, obs):
            return locate(p, obs)

        lost = index_out_of_range
    else:
        look, lost = look_at_observation, never_lost

    if learner.sees == "task":  # a reference that is allowed to know

        def wake(hyper, memory, p, task, rng):
            own_begin(hyper, memory, p, task, rng)
    else:

        def wake(hyper, memory, p, task, rng):
            own_begin(hyper, memory, p, rng)

    def learn(hyper, memory, seen, action, reward, terminated, truncated, then, rng):
        own_learn(hyper, memory, seen, action, reward, terminated, truncated, then, rng)

    return glue(look), glue(lost), glue(wake), glue(learn)


def number_outside(bounds, action):
    """Whether a Discrete action is none of the space, which begins at 0."""
    return _word(action) > _word(bounds[1, 0])


def array_outside(bounds, action):
    """Whether an array is no action of the space."""
    beyond = False
    for j in range(len(action)):
        beyond |= not ((action[j] >= bounds[0, j]) & (action[j] <= bounds[1, j]))  # a NaN is
    return beyond


def _action_parts(variant: Variant, learner: type[Learner]) -> tuple[Callable, Callable, Callable]:
    """How a learner chooses, what is no action of the space, and how an action is kept.

    Discrete actions are returned, others written into `slot`. `bounds` has shape (2, size of an action).
    """
    act = learner.act
    knows, scalar = learner.sees == "task", not variant.action.shape

    if knows and scalar:

        def choose(hyper, memory, p, task, state, seen, rng, slot):
            return act(hyper, memory, p, task, state, rng)
    elif scalar:

        def choose(hyper, memory, p, task, state, seen, rng, slot):
            return act(hyper, memory, seen, rng)
    elif knows:

        def choose(hyper, memory, p, task, state, seen, rng, slot):
            act(hyper, memory, p, task, state, rng, slot)
            return slot
    else:

        def choose(hyper, memory, p, task, state, seen, rng, slot):
            act(hyper, memory, seen, rng, slot)
            return slot

    if scalar:
        outside = number_outside

        def keep(actions, i, n, action):
            actions[i, n] = action
    else:
        outside = array_outside

        def keep(actions, i, n, action):
            for j in range(len(action)):
                actions[i, n, j] = action[j]

    return glue(choose), glue(outside), glue(keep)


# ------------------------------------------------------------------------------------------------- compiling
def compiled(name: str, *functions: Callable) -> SimpleNamespace:
    """Return the functions by name, as drivers: compiled on first use, and kept on disk."""
    if PLAIN:
        return SimpleNamespace(**{f.__name__: f for f in functions})
    return SimpleNamespace(**{f.__name__: cached(driver(f), f"{name}.{f.__name__}") for f in functions})
