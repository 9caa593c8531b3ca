"""Which part is it? Every part, and all that a disguise may hide, weighed by how likely it makes what was seen.

An *assumption* is a row: one part, what each action does there as far as actions were tried, where the part's numbers are
shown, and what is then known of the part's task. Each step multiplies its chance by that of what the step showed, summed over
all tasks that the part may have. An action that was not tried yet may do several things, and so splits an assumption into
several; what could not have been seen rules one out.
"""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from metarl_envs.engine import Player, Variant, kernel, record
from metarl_envs.engine.compiling.kernels import plain
from metarl_envs.engine.records import Row, rows
from metarl_envs.families.mixture.disguise import (
    IDLE,
    hides_actions,
    hides_observations,
    images,
    orders,
    scaled_sight,
    undisguised,
    undoing,
)
from metarl_envs.families.mixture.parts import Parts

#: The logarithm of no chance at all.
NEVER = -math.inf
#: What an action does that was not tried.
UNTRIED = -2
#: Beside any chance, a density is none: whoever pays one of a few amounts is likelier than who pays just that by accident.
_DENSITY = -1e6
#: A part has room for at most so many assumptions at once; for fewer where they are large, but not for less than the least.
MOST, LEAST, _BYTES = 128, 8, 2**19
#: Tasks that are listed one by one, at most.
_MOST_TASKS = 10_000
#: Steps that are tried to see whether a part is without chance.
_TRIED = 60
#: How far a number and a whole one, or two squared lengths, may be apart through rounding.
_NEAR, _SAME_LENGTH = 1e-3, 1e-5


# ------------------------------------------------------------------------------------------------- what a part makes likely
class Expectation(NamedTuple):
    """How likely a part makes what is seen, whatever its task: fields of an assumption's row, and kernels.

    Attributes:
        fields: of the row of an assumption, beside those that all have.
        known: what those hold before anything was seen.
        tables: what is the same in all lives: a structured array of one row.
        starts: in how many ways an episode may start.
        start: `start(tables, one, way, shown)`: an episode begins. The logarithm of how likely it begins so and shows this.
        step: `step(tables, one, own, reward, terminated, shown, rng)`: what came of an action of the part; the same of that.

    Both kernels write what is seen in the part, as the part shows it, into `one.then`.
    """

    fields: dict[str, Any]
    known: dict[str, np.ndarray]
    tables: np.ndarray
    starts: int
    start: Callable
    step: Callable


class _Untouched:
    """In the place of random numbers: whoever draws one is found out."""

    def __getattr__(self, name: str) -> Any:
        raise _DrawnError

    def __setattr__(self, name: str, value: Any) -> None:
        raise _DrawnError


class _DrawnError(Exception):
    """A random number was drawn."""


class _Listed(NamedTuple):
    """All tasks of a part without chance, the states in which an episode may start on each, and the chance of each start."""

    tasks: np.ndarray
    states: np.ndarray
    chances: np.ndarray


@functools.lru_cache(maxsize=256)
def _listed(part: Variant) -> _Listed | None:
    """The tasks of a part, where it is sure that they can be followed one by one; None where it is not."""
    tasks = part.family.all_tasks(part.p, part.task)
    if tasks is None or len(tasks) > _MOST_TASKS:
        return None
    listed = rows(len(tasks), part.task)
    listed[...] = tasks
    starts = _starts(part, listed)
    if starts is None or not _steps_without_chance(part, listed, starts[0]):
        return None
    return _Listed(np.array(tasks), *starts)


def _starts(part: Variant, tasks: np.ndarray) -> tuple[np.ndarray, np.ndarray] | None:
    """States [task, start] and the chance of each [start]; None where a family does not tell what its `reset` draws."""
    reset, params = plain(part.kernel("reset")), Row(part.params.view(np.ndarray)[0])
    first = np.zeros((len(tasks), 1), part.state)
    try:
        for j in range(len(tasks)):
            reset(params, Row(tasks.view(np.ndarray)[j]), Row(first[j, 0]), _Untouched())
        return first, np.ones(1)
    except _DrawnError:
        pass
    told = [part.family.starts(part.p, Row(task), part.state) for task in tasks.view(np.ndarray)]
    if told[0] is None or any(len(one[1]) != len(told[0][1]) or (one[1] != told[0][1]).any() for one in told if one):
        return None
    return np.stack([one[0] for one in told if one]), np.asarray(told[0][1])


def _steps_without_chance(part: Variant, tasks: np.ndarray, states: np.ndarray) -> bool:
    """Whether steps draw no random numbers, as far as some on one task tell."""
    step, params, state = plain(part.kernel("step")), Row(part.params.view(np.ndarray)[0]), states[0, 0].copy()
    try:
        for t in range(_TRIED):
            _, done = step(params, Row(tasks.view(np.ndarray)[0]), Row(state), t % part.actions, _Untouched())
            if done or (t + 1) % part.horizon == 0:
                state = states[0, 0].copy()
    except _DrawnError:
        return False
    return True


@kernel
def length_of(numbers):
    """The length of a row of numbers, which no turning changes, squared."""
    total = 0.0
    for j in range(len(numbers)):
        total += numbers[j] * numbers[j]
    return total


def _alike(disguise: str, by_length: bool) -> Callable:
    """The kernel `alike(one, expected, shown)`: whether numbers of a part are shown so by an assumption's disguise."""

    @kernel
    def of_one_length(one, expected, shown):
        return abs(length_of(expected) - length_of(shown)) < _SAME_LENGTH

    @kernel
    def shown_where_assumed(one, expected, shown):
        for j in range(len(shown)):
            place = one.image[j]
            number = 0.0
            if place > 0:
                number = expected[place - 1]
            elif place < 0:
                number = -expected[-place - 1]
            if number != shown[j]:
                return False
        return True

    @kernel
    def equal(one, expected, shown):
        same = True
        for j in range(len(shown)):
            same = same and expected[j] == shown[j]
        return same

    return of_one_length if by_length else shown_where_assumed if hides_observations(disguise) else equal


def _followed(part: Variant, listed: _Listed, look: Callable, alike: Callable, length: int) -> Expectation:
    """Every task of a part is lived through: those that would have shown something else are ruled out."""
    observe, move, params = part.kernel("observe"), part.kernel("step"), part.params
    count, starts = listed.states.shape
    tables = np.zeros(
        1, record(tasks=(part.task, count), states=(part.state, count * starts), log_chances=(np.float64, starts))
    )
    tables["tasks"], tables["states"] = listed.tasks, listed.states.reshape(-1)
    with np.errstate(divide="ignore"):
        tables["log_chances"] = np.log(listed.chances)

    @kernel
    def looks_so(tables, one, j, shown, first):
        """Whether a task would show this; of the first that does, what is seen is written down."""
        look(params[0], tables.tasks[j], one.states[j], one.plain)
        if not alike(one, one.plain, shown):
            return False
        if first:
            observe(params[0], tables.tasks[j], one.states[j], one.then)
        return True

    @kernel
    def share(left, before):
        return math.log(left / before) if left > 0 else NEVER

    @kernel
    def start(tables, one, way, shown):
        before, left = 0, 0
        for j in range(count):
            if one.possible[j]:
                before += 1
                one.states[j] = tables.states[j * starts + way]
                one.possible[j] = looks_so(tables, one, j, shown, left == 0)
                left += one.possible[j]
        return tables.log_chances[way] + share(left, before)

    @kernel
    def step(tables, one, own, reward, terminated, shown, rng):
        before, left = 0, 0
        for j in range(count):
            if one.possible[j]:
                before += 1
                paid, done = move(params[0], tables.tasks[j], one.states[j], own, rng)
                same = float(paid) == reward and bool(done) == terminated
                one.possible[j] = same and looks_so(tables, one, j, shown, left == 0)
                left += one.possible[j]
        return share(left, before)

    fields = {"possible": (np.uint8, count), "states": (part.state, count), "plain": (np.float32, length)}
    return Expectation(fields, {"possible": np.ones(count, np.uint8)}, tables, starts, start, step)


def _in_closed_form(part: Variant, read: Callable, alike: Callable, look: Callable, length: int) -> Expectation | None:
    """What is known of a part's task has a closed form (`Family.condition`); None where a part has none."""
    known, condition = part.family.statistics(part.p), part.kernel("condition")
    first = _first_sight(part, look, length)
    if known is None or condition is None or first is None:
        return None
    seen_first, shown_first = first
    params, anew = part.params, part.kernel("condition_anew") or _nothing_anew
    penalty = 0.0 if part.family.binary_reward else _DENSITY

    @kernel
    def start(tables, one, way, shown):
        for i in range(len(one.then)):
            one.then[i] = seen_first[i]
        anew(params[0], one.belief)
        return 0.0 if alike(one, shown_first, shown) else NEVER

    @kernel
    def step(tables, one, own, reward, terminated, shown, rng):
        if terminated or not read(one, shown, one.then):
            return NEVER
        return condition(params[0], one.belief, one.seen, own, reward, one.then) + penalty

    belief = np.zeros(1, record(**{name: (value.dtype, value.shape) for name, value in known.items()}))
    for name, value in known.items():
        belief[name] = value
    return Expectation({"belief": belief.dtype}, {"belief": belief[0]}, np.zeros(1, record()), 1, start, step)


@kernel
def _nothing_anew(params, belief):
    """Nothing is put back when an episode begins."""


def _first_sight(part: Variant, look: Callable, length: int) -> tuple[np.ndarray, np.ndarray] | None:
    """What is seen first in a part and how it is scaled, where neither task nor chance changes it; else None."""
    params, task = Row(part.params.view(np.ndarray)[0]), Row(np.zeros(1, part.task)[0])
    state, seen = Row(np.zeros(1, part.state)[0]), np.zeros(part.observation.shape, part.observation.dtype)
    shown = np.zeros(length, np.float32)
    try:
        plain(part.kernel("reset"))(params, task, state, _Untouched())
    except _DrawnError:
        return None
    plain(part.kernel("observe"))(params, task, state, seen)
    plain(look)(params, task, state, shown)
    return seen, shown


def _unknown(part: Variant, read: Callable) -> Expectation:
    """Nobody knows how likely anything is: all that can be seen in the part is alike, and a binary reward is a coin's."""
    any_sight = -math.log(part.num_states or 1)
    binary, coin = part.family.binary_reward, -math.log(2.0)

    @kernel
    def start(tables, one, way, shown):
        return any_sight if read(one, shown, one.then) else NEVER

    @kernel
    def step(tables, one, own, reward, terminated, shown, rng):
        if not read(one, shown, one.then):
            return NEVER
        if binary:
            return any_sight + coin if reward == 0.0 or reward == 1.0 else NEVER
        return any_sight + _DENSITY

    return Expectation({}, {}, np.zeros(1, record()), 1, start, step)


def _reading(part: Variant, disguise: str, by_length: bool, lowest: np.ndarray, scale: np.ndarray) -> Callable:
    """The kernel `read(one, shown, out)`: write what is seen in the part; whether anything in the part shows this.

    Of what is turned by nobody knows what, a part with one number is read by its length, and one with more is not read: only
    its length is looked at, and what is written is the middle of what can be seen.
    """
    count, whole = len(lowest), part.observation.dtype.kind != "f"
    number_at = undoing(disguise)

    @kernel
    def fits(number, out, i):
        """Write a number of the part, given between 0 and 1; whether it is one."""
        value = number / scale[i] + lowest[i]
        nearest = math.floor(value + 0.5)
        out[i] = nearest if whole else value
        return abs(number - 0.5) < 0.5 + _NEAR and not (whole and abs(value - nearest) > _NEAR)

    @kernel
    def read_length(one, shown, out):
        return fits(math.sqrt(length_of(shown)), out, 0)

    @kernel
    def look_at_length(one, shown, out):
        for i in range(count):
            fits(0.5, out, i)
        return length_of(shown) < count + _NEAR

    @kernel
    def read_numbers(one, shown, out):
        fit = True
        for i in range(count):
            fit = fits(number_at(one, shown, i), out, i) and fit
        return fit

    @kernel
    def read_image(one, shown, out):
        for j in range(len(shown)):
            if one.image[j] == 0 and shown[j] != 0.0:
                return False
        return read_numbers(one, shown, out)

    @kernel
    def read_row(one, shown, out):
        for j in range(count, len(shown)):
            if shown[j] != 0.0:
                return False
        return read_numbers(one, shown, out)

    if by_length:
        return read_length if count == 1 else look_at_length
    return read_image if hides_observations(disguise) else read_row


def _images(part_length: int, length: int) -> np.ndarray:
    """All places of a part's numbers, with all signs: [image, place], as a task's `image` is."""
    found = []
    for places in itertools.permutations(range(length), part_length):
        for signs in itertools.product((1, -1), repeat=part_length):
            image = np.zeros(length, np.int16)
            image[list(places)] = np.array(signs) * np.arange(1, part_length + 1)
            found.append(image)
    return np.array(found)


# ------------------------------------------------------------------------------------------------- assumptions about one part
class PartInference(NamedTuple):
    """What is assumed of one part: its rows, and kernels over them. `memory` is the part's own: a bank of assumptions.

    Attributes:
        memory: the dtype of that row.
        hyper: what the kernels read beside it, a structured array of one row.
        initial: the row before a lifetime.
        begin: `begin(hyper, memory, params, rng)`: a lifetime begins, with the part's parameters.
        start, step: kernels of what was seen, see `_splitting`.
        choose: `choose(hyper, memory, evidence, actions, rng)`: ask who plays in the part what to do. Sets, in the place of the
            part, the logarithm of how likely it is beside others, and the action.
    """

    memory: np.dtype
    hyper: np.ndarray
    initial: np.ndarray
    begin: Callable
    start: Callable
    step: Callable
    choose: Callable


def inference(parts: Parts, number: int, disguise: str, surplus: str, player: Player) -> PartInference:
    """Return how a part is followed.

    Args:
        parts: all parts.
        number: which of them it is.
        disguise: of the mixture.
        surplus: of the mixture.
        player: who plays in the part; it looks at observations alone.
    """
    _, part = parts.at(number)
    expected, one = _rows_of(parts, number, disguise, player)
    shown = _images_of(part, parts, disguise)
    times = np.array([(undisguised(part, parts.actions, surplus) == own).sum() for own in range(IDLE, part.actions)])
    splits = len(shown) * expected.starts * (orders(part, parts, surplus) if hides_actions(disguise) else 1)
    room = max(len(shown), min(splits, MOST, max(LEAST, _BYTES // one.itemsize)))
    bank = record(bank=(one, room + 2), turn=np.int64, forgotten=np.int64)
    initial = np.zeros(1, bank)
    first = initial["bank"][0]
    first["log"] = NEVER
    first["log"][: len(shown)] = -math.log(len(parts.variants) * len(shown))
    first["does"] = UNTRIED if hides_actions(disguise) else undisguised(part, parts.actions, surplus)
    if "image" in (one.names or ()):
        first["image"][: len(shown)] = shown
    for name, value in expected.known.items():
        first[name] = value
    hyper = np.zeros(1, record(own=player.hyper.dtype, tables=expected.tables.dtype))
    hyper["own"], hyper["tables"] = player.hyper.view(np.ndarray), expected.tables
    kernels = _kernels_of(part, number, player, expected, times, room)
    return PartInference(bank, hyper, initial, *kernels)


def _by_length(part: Variant, parts: Parts, disguise: str) -> bool:
    """Whether there are too many ways in which the numbers of a part may be shown, so that only their length is looked at."""
    return disguise == "projection" or (hides_observations(disguise) and images(part, parts) > MOST)


def _images_of(part: Variant, parts: Parts, disguise: str) -> np.ndarray:
    """All ways in which the numbers of a part may be shown; one that means nothing where they are not hidden, or too many."""
    if not hides_observations(disguise) or _by_length(part, parts, disguise):
        return np.zeros((1, parts.length), np.int16)
    return _images(math.prod(part.observation.shape), parts.length)


def _rows_of(parts: Parts, number: int, disguise: str, player: Player) -> tuple[Expectation, np.dtype]:
    """What a part makes likely, and the row of one assumption about it."""
    _, part = parts.at(number)
    lowest, scale = parts.sights[number]
    by_length = _by_length(part, parts, disguise)
    look, alike = scaled_sight(part, lowest, scale), _alike(disguise, by_length)
    read = _reading(part, disguise, by_length, lowest, scale)
    listed = _listed(part)
    unread = by_length and len(lowest) > 1
    if listed is not None:
        expected = _followed(part, listed, look, alike, parts.length)
    else:
        closed = None if unread else _in_closed_form(part, read, alike, look, parts.length)
        expected = closed or _unknown(part, read)
    sight = part.observation.dtype, part.observation.shape
    fields: dict[str, Any] = {"log": np.float64, "turn": np.int64, "wish": np.int64, "does": (np.int16, parts.actions)}
    if hides_observations(disguise):
        fields["image"] = np.int16, parts.length
    fields |= {"seen": sight, "then": sight, "own": player.memory(player.p, part), **expected.fields}
    return expected, record(**fields)


@kernel
def action_for(does, own):
    """The first action that is assumed to do this; where none is, the first that was not tried."""
    untried = 0
    for a in range(len(does) - 1, -1, -1):
        if does[a] == UNTRIED:
            untried = a
    for a in range(len(does)):
        if does[a] == own:
            return a
    return untried


def _kernels_of(
    part: Variant, number: int, player: Player, expected: Expectation, times: np.ndarray, room: int
) -> tuple[Callable, Callable, Callable, Callable]:
    """`begin`, `start`, `step` and `choose` of a part."""
    kind = type(player)
    own_begin, own_act, own_learn, index = kind.begin, kind.act, kind.learn, index_in(part, kind)
    params, start_part, step_part = part.params, expected.start, expected.step

    @kernel
    def begin(hyper, memory, params, rng):
        for j in range(room):
            if memory.bank[j].log > NEVER:
                own_begin(hyper.own, memory.bank[j].own, params, rng)

    @kernel
    def as_likely(one, option, action):
        return 0.0

    @kernel
    def start(hyper, one, way, action, reward, terminated, truncated, before, shown, rng):
        log = start_part(hyper.tables, one, way, shown)
        for i in range(len(one.then)):
            one.seen[i] = one.then[i]
        return log

    @kernel
    def step(hyper, one, option, action, reward, terminated, truncated, before, shown, rng):
        own = option + IDLE
        one.does[action] = own
        if own == IDLE:
            stands_still = reward == 0.0 and not terminated
            for j in range(len(shown)):
                stands_still = stands_still and shown[j] == before[j]
            return 0.0 if stands_still else NEVER
        log = step_part(hyper.tables, one, own, reward, terminated, shown, rng)
        if log > NEVER:
            seen, then = index(params[0], one.seen), index(params[0], one.then)
            own_learn(hyper.own, one.own, seen, own, reward, terminated, truncated, then, rng)
            for i in range(len(one.then)):
                one.seen[i] = one.then[i]
        return log

    @kernel
    def choose(hyper, memory, evidence, actions, rng):
        best, total = -1, 0.0
        for j in range(room):
            if memory.bank[j].log > NEVER:
                memory.bank[j].wish = own_act(hyper.own, memory.bank[j].own, index(params[0], memory.bank[j].seen), rng)
                if best < 0 or memory.bank[j].log > memory.bank[best].log:
                    best = j
        evidence[number] = NEVER
        if best >= 0:
            for j in range(room):
                total += math.exp(memory.bank[j].log - memory.bank[best].log)
            evidence[number] = memory.bank[best].log + math.log(total)
            actions[number] = action_for(memory.bank[best].does, memory.bank[best].wish)

    many = len(times)
    share = _share(times, part.family.exchangeable_actions)
    return begin, _splitting(start, as_likely, expected.starts, room), _splitting(step, share, many, room), choose


def _share(times: np.ndarray, exchangeable: bool) -> Callable:
    """The kernel `share(one, option, action)`: the logarithm of the chance that an action does the part's action `option` - 1.

    As in a draw without replacement, of what the actions that were tried have left. Actions of the part that no action was
    seen to do, and that stand equally often, are as good as each other where a part's actions are exchangeable: the first of
    them stands for all.
    """
    many = len(times)

    @kernel
    def share(one, option, action):
        own = option + IDLE
        if one.does[action] != UNTRIED:
            return 0.0 if one.does[action] == own else NEVER
        left, untried = times[option], 0
        for a in range(len(one.does)):
            untried += one.does[a] == UNTRIED
            left -= one.does[a] == own
        if left <= 0:
            return NEVER
        if exchangeable and own != IDLE and left == times[option]:
            for other in range(1, many):
                used = 0
                for a in range(len(one.does)):
                    used += one.does[a] == other + IDLE
                if used == 0 and times[other] == times[option]:
                    if other < option:
                        return NEVER
                    if other > option:
                        left += times[other]
        return math.log(left / untried)

    return share


def _splitting(attempt: Callable, share: Callable, options: int, room: int) -> Callable:
    """The kernel that splits each assumption by the options that there are, and keeps what can have been.

    It is `split(hyper, memory, action, reward, terminated, truncated, before, shown, rng)`. `share(one, option, action)` is the
    logarithm of an option's chance, and `attempt(hyper, one, option, ...)` that of what was seen by it. Two rows behind the
    room are for trying. Where there is no room, the least likely assumption is forgotten (`memory.forgotten` counts them).
    """

    @kernel
    def place_for(memory, log):
        """Where an assumption can be kept; -1 where all that are kept are likelier."""
        worst = -1
        for j in range(room):
            if memory.bank[j].log == NEVER:
                return j
            if memory.bank[j].turn == memory.turn and (worst < 0 or memory.bank[j].log < memory.bank[worst].log):
                worst = j
        memory.forgotten += 1
        return worst if worst >= 0 and memory.bank[worst].log < log else -1

    @kernel
    def split(hyper, memory, action, reward, terminated, truncated, before, shown, rng):
        memory.turn += 1
        for i in range(room):
            if memory.bank[i].log > NEVER and memory.bank[i].turn != memory.turn:
                memory.bank[room] = memory.bank[i]
                memory.bank[i].log = NEVER
                for option in range(options):
                    log = memory.bank[room].log + share(memory.bank[room], option, action)
                    if log > NEVER:
                        memory.bank[room + 1] = memory.bank[room]
                        log += attempt(
                            hyper, memory.bank[room + 1], option, action, reward, terminated, truncated, before, shown, rng
                        )
                    place = place_for(memory, log) if log > NEVER else -1
                    if place >= 0:
                        memory.bank[place] = memory.bank[room + 1]
                        memory.bank[place].log = log
                        memory.bank[place].turn = memory.turn

    return split


def index_in(part: Variant, player: type[Player]) -> Callable:
    """Return the kernel that tells what a player looks at, of an observation of the part: its index, or itself."""
    if player.observes == "state":
        assert part.state_index is not None, "else the player could not play there"
        return part.state_index
    return itself


@kernel
def itself(params, seen):
    """An observation."""
    return seen
