"""Mixture: several families in one space, and a task is one of any of them."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import numpy as np
from gymnasium.spaces import Box, Discrete

from metarl_envs.engine import (
    ByParameters,
    Choice,
    Family,
    Integer,
    Parameters,
    Picture,
    Returns,
    Row,
    TaskErrors,
    Text,
    Variant,
    canvas,
    kernel,
    randint,
    record,
)
from metarl_envs.engine.compiling.kernels import plain
from metarl_envs.engine.composing import PartParameters, by_part, led_to
from metarl_envs.engine.family import TaskOfPart
from metarl_envs.engine.records import array_of
from metarl_envs.engine.truth.solving import QFunction, exact_returns, solve
from metarl_envs.families.mixture.disguise import (
    DISGUISES,
    FEWEST_TO_DEAL,
    IDLE,
    SURPLUS,
    drawing,
    hides_actions,
    hides_observations,
    how_many,
    in_order_of_appearance,
    is_unseen,
    scaled_sight,
    showing,
    undisguised,
    undoing,
)
from metarl_envs.families.mixture.parts import Parts, default_held_out, parts_at, read_names, read_parts
from metarl_envs.families.mixture.players import (
    PartOracle,
    PartRandom,
    PartReference,
    WhichPartInferring,
    WhichPartTold,
    references_between,
)


# ------------------------------------------------------------------------------------------------- kernels
def _beginning(part: Variant, look: Callable) -> Callable:
    reset = part.kernel("reset")

    @kernel
    def begin_and_look(params, task, state, rng, seen):
        reset(params, task, state, rng)
        look(params, task, state, seen)

    return begin_and_look


def _living(part: Variant, look: Callable) -> Callable:
    step = part.kernel("step")

    @kernel
    def step_and_look(params, task, state, action, rng, seen):
        reward, done = step(params, task, state, action, rng)
        look(params, task, state, seen)
        return float(reward), bool(done)

    return step_and_look


@kernel
def _in_one_part(params, task):
    """For parts without tasks that hold much of the distribution."""
    return False


@kernel
def show_what_is_shown(params, task, state, obs):
    """See what the last step has shown."""
    for j in range(len(obs)):
        obs[j] = state.shown[j]


def _undisguised(begin: Callable, live: Callable) -> tuple[Callable, Callable]:
    @kernel
    def reset(params, task, state, rng):
        begin(params, task, state, rng, state.shown)

    @kernel
    def act(params, task, state, action, rng):
        return live(params, task, state, int(task.does[action]), rng, state.shown)

    return reset, act


def _disguised(begin: Callable, live: Callable, show: Callable) -> tuple[Callable, Callable]:
    @kernel
    def reset_and_show(params, task, state, rng):
        begin(params, task, state, rng, state.plain)
        show(task, state)

    @kernel
    def act_and_show(params, task, state, action, rng):
        reward, done = live(params, task, state, int(task.does[action]), rng, state.plain)
        show(task, state)
        return reward, done

    return reset_and_show, act_and_show


@functools.lru_cache(maxsize=64)
def _world_of(parts: Parts, disguise: str, surplus: str) -> SimpleNamespace:
    """The kernels `reset` and `step`, which do not depend on which tasks are drawn."""
    by_name, show = parts.by_name, showing(disguise)
    looks = {name: scaled_sight(part, *sight) for (name, part), sight in zip(by_name.items(), parts.sights, strict=True)}
    begin = led_to(
        {name: _beginning(part, looks[name]) for name, part in by_name.items()},
        "begin_and_look",
        ("params", "task", "state", "rng", "seen"),
    )
    live = led_to(
        {name: _living(part, looks[name]) for name, part in by_name.items()},
        "step_and_look",
        ("params", "task", "state", "action", "rng", "seen"),
    )
    reset, act = _undisguised(begin, live) if show is None else _disguised(begin, live, show)

    @kernel
    def act_or_idle(params, task, state, action, rng):
        if task.does[action] < 0:
            return 0.0, False
        return act(params, task, state, action, rng)

    some_idle = surplus == "noop" and any(part.actions < parts.actions for part in by_name.values())
    return SimpleNamespace(reset=reset, step=act_or_idle if some_idle else act)


@functools.lru_cache(maxsize=64)
def _draws_of(parts: Parts, disguise: str, surplus: str, held_out: bool, unseen: bool) -> Callable:
    """The kernel `sample_task`."""
    sample, disguise_task = by_part("sample_task", parts.by_name), drawing(parts, disguise, surplus)
    has_unseen = is_unseen(disguise)
    choices = np.array(_drawn(parts, disguise, surplus, held_out, unseen))
    deals = np.array([_is_dealt(part, parts, disguise, surplus) for part in parts.by_name.values()])

    @kernel
    def draw_part_and_task(params, task, rng):
        task.which = choices[randint(rng, len(choices))]
        sample(params, task, rng)
        disguise_task(task, rng)
        while deals[task.which] and has_unseen(task) != unseen:
            disguise_task(task, rng)

    return draw_part_and_task


@functools.lru_cache(maxsize=64)
def _numbering_of(parts: Parts, disguise: str) -> Callable:
    """The kernel `state_index_in_task`: the number that an observation has in its part."""
    number_at = undoing(disguise)
    kernels = {
        name: _numbered(part, number_at, *sight) for (name, part), sight in zip(parts.variants, parts.sights, strict=True)
    }
    return led_to(kernels, "state_index", ("params", "whole", "obs"), "return int({call})", "whole.which")


def _numbered(part: Variant, number_at: Callable, lowest: np.ndarray, scale: np.ndarray) -> Callable:
    """The index of an observation in a part, of what is shown of it: its numbers as a tuple, since kernels make no arrays."""
    index = part.state_index
    rounded = "int(floor(number_at(whole, obs, {i}) / scale[{i}] + lowest[{i}] + 0.5))"
    exact = "number_at(whole, obs, {i}) / scale[{i}] + lowest[{i}]"
    form = exact if part.observation.dtype.kind == "f" else rounded
    numbers = "".join(f"{form.format(i=i)}, " for i in range(len(lowest)))
    scope: dict[str, Any] = {"index": index, "number_at": number_at, "lowest": lowest, "scale": scale, "floor": math.floor}
    scope["__name__"] = __name__
    exec(f"def state_index_of(params, whole, obs):\n    return index(params, ({numbers}))", scope)
    return kernel(scope["state_index_of"])


@functools.lru_cache(maxsize=64)
def _likely_tasks_of(parts: Parts) -> Callable:
    kernels = {name: part.kernel("in_every_part") or _in_one_part for name, part in parts.by_name.items()}
    return led_to(kernels, "in_every_part", ("params", "task"), given_back="return bool({call})")


def _is_dealt(part: Variant, parts: Parts, disguise: str, surplus: str) -> bool:
    """Whether some disguises of a part's tasks are held out."""
    return how_many(part, parts, disguise, surplus) >= FEWEST_TO_DEAL


def _drawn(parts: Parts, disguise: str, surplus: str, held_out: bool, unseen: bool) -> list[int]:
    """The numbers of the parts that tasks are drawn of."""
    return [
        number
        for number, part in enumerate(parts.by_name.values())
        if (number in parts.held_out) == held_out and (not unseen or _is_dealt(part, parts, disguise, surplus))
    ]


# ------------------------------------------------------------------------------------------------- rows
class MixtureParameters(Parameters):
    """The parameters of a mixture, whose row has a field for each part's."""

    def row(self, values: dict[str, Any]) -> np.ndarray:
        """One row holding resolved values, and the rows of the parts."""
        return PartParameters(parts_at(SimpleNamespace(**values)).by_name, **self.parameters).row(values)


class Mixture(Family):
    """One of several families, in one space of observations and actions, and nobody says which: a task is one of any of them.

    Hidden:
        Which part the task is of, the part's own task, and the disguise: what each action does in the part, and where each
        number of the part's observation is shown. Parts are drawn alike, their tasks as in their own families. The first
        observation may tell parts apart.

    Observation:
        `Box(0, 1, (D,), float32)`: the part's observation, each number scaled from its bounds to [0, 1], with zeros behind it
        up to the length of the longest. With disguise="observations" or "both" the numbers stand in another order, and some
        have their sign turned (`Box(-1, 1)`); with "projection" they are turned by an orthogonal map (`Box` of the square root
        of D).

    Actions:
        `Discrete(N)`, as many as the part has that has the most. In a part with n actions, action a does what action a mod n
        does, so that none is dead; with surplus="noop", an action beyond its own does nothing: the part stands still in that
        step, and nothing is paid. With disguise="actions" or "both" they are in another order.

    Reward:
        The part's own.

    Episode:
        The part's own, of `horizon` steps in each. Terminates where the part does.

    Parameters:
        parts: "small" (seven: a bandit, rooms, a random MDP, two-step rounds and a T-maze), "grids", "bandits", "all"; or ids
        with parameters, "DarkRoom(size=7), MetaRL/GridNavi-v0" (an id of your own needs its module imported before). They have
        Discrete actions, and a row of numbers within bounds to see. horizon: steps an episode, in all of them. held_out: names
        of parts that are drawn with the shift `unseen_parts` alone; by default the last of a set, and "none" of others.
        disguise: "none", "actions" (a permutation), "observations" (a permutation, and a sign for each number), "both",
        "projection"; one is drawn for each task, and belongs to it. surplus: "mod" or "noop", see above. pool: with
        split="train" there are only so many tasks, all different, drawn once by pool_seed; 0: without end. Other splits have
        all theirs. parts_drawn: "seen", or "held_out": what the shift `unseen_parts` sets. disguises_drawn: "seen" or
        "unseen", what `unseen_disguise` sets.

    Splits:
        train, validation and test, by a hash of part, task and disguise together. Where a part's actions are exchangeable
        (arms), another order of them is no other task; where several actions do the same, exchanging them is none either.
        Tasks that are in every split in their own family are so here. Shifts `unseen_parts`: the parts in `held_out`;
        `unseen_disguise`: disguises that are held out, one in five by a hash of the disguise alone, of parts with at least 50
        of them. Otherwise only the other parts and disguises are drawn.

    References:
        Tabular learners are told the number of an observation in its part, as they are in its own family: they know as much of
        the part as that tells.

        Return of an episode: that of the part. `random` plays the part's own actions, all alike; `oracle` is the part's,
        behind the disguise; memoryless-best is told the part and the disguise, so that it is an upper bound. The other
        references of each part, which are told the disguise, and whether it is their part, and play at random elsewhere:
        `DarkRoom_sweep`, `GridNavi_posterior`, `TwoStep_ideal_observer`. Two heuristics play the first
        heuristic of the part, at random where it has none (bandits, two-step rounds and random MDPs): `which_part_told` is told
        part and disguise, and `which_part_inferring` finds them out by how likely each makes what it has seen (its docstring
        says where that is exact). They are the strongest players here that do not learn what pays.

    Source and variants:
        Permuted actions: Headless-AD (Sinii et al. 2023, arXiv 2312.13327). Random projections make tasks at will in GPICL
        (Kirsch et al. 2022, arXiv 2212.04458).
    """

    reveals_task_at_start = True
    params = MixtureParameters(
        parts=Text(
            "small", read_parts, "a set (small, grids, bandits, all), or ids with parameters: 'DarkRoom(size=5), TMaze'"
        ),
        horizon=Integer(20, 1),
        held_out=Text(lambda p: default_held_out(p.parts), read_names, "names of parts, or 'none'"),
        disguise=Choice("actions", DISGUISES),
        surplus=Choice("mod", SURPLUS),
        pool=Integer(0, 0, 10**7),
        pool_seed=Integer(0, 0),
        parts_drawn=Choice("seen", ("seen", "held_out")),
        disguises_drawn=Choice("seen", ("seen", "unseen")),
    )
    sample_task = ByParameters(
        lambda p: _draws_of(parts_at(p), p.disguise, p.surplus, p.parts_drawn == "held_out", p.disguises_drawn == "unseen")
    )
    reset = ByParameters(lambda p: _world_of(parts_at(p), p.disguise, p.surplus).reset)
    step = ByParameters(lambda p: _world_of(parts_at(p), p.disguise, p.surplus).step)
    observe = show_what_is_shown
    state_index_in_task = ByParameters(
        lambda p: None if Mixture.num_states(p) is None else _numbering_of(parts_at(p), p.disguise)
    )
    in_every_part = ByParameters(lambda p: _likely_tasks_of(parts_at(p)))
    shifts = {"unseen_parts": {"parts_drawn": "held_out"}, "unseen_disguise": {"disguises_drawn": "unseen"}}
    references = {
        "oracle": PartOracle(),
        "random": PartRandom(),
        "which_part_told": WhichPartTold(),
        "which_part_inferring": WhichPartInferring(),
    }
    heuristics = ("which_part_told", "which_part_inferring")

    @staticmethod
    def task(p: SimpleNamespace) -> np.dtype:
        """The number of the part, the disguise, and a row for each part, which is zero but for the one."""
        parts = parts_at(p)
        fields: dict[str, Any] = {"which": np.int64, "does": (np.int16, parts.actions)}
        if hides_observations(p.disguise):
            fields["image"] = np.int16, parts.length
        if p.disguise == "projection":
            fields["projection"] = np.float64, (parts.length, parts.length)
        return record(**fields, **{name: part.task for name, part in parts.by_name.items()})

    @staticmethod
    def state(p: SimpleNamespace) -> np.dtype:
        """What is shown, what was seen in the part where that is another, and a row for each part."""
        parts = parts_at(p)
        seen = {"shown": (np.float32, parts.length)}
        if showing(p.disguise) is not None:
            seen["plain"] = np.float32, parts.length
        return record(**seen, **{name: part.state for name, part in parts.by_name.items()})

    @staticmethod
    def spaces(p: SimpleNamespace):
        """As long as the longest observation, and as many actions as the part that has the most."""
        parts = parts_at(p)
        most = math.sqrt(parts.length) if p.disguise == "projection" else 1.0
        low = 0.0 if showing(p.disguise) is None else -most
        return Box(np.float32(low), np.float32(most), (parts.length,), np.float32), Discrete(parts.actions)

    @staticmethod
    def pool(p: SimpleNamespace) -> tuple[int, int] | None:
        """As many as `pool` says, by `pool_seed`."""
        return (p.pool, p.pool_seed) if p.pool else None

    @staticmethod
    def num_states(p: SimpleNamespace) -> int | None:
        """As many as the part has that has the most; None where one numbers none."""
        counts = [part.num_states for part in parts_at(p).by_name.values()]
        return None if None in counts else max(count for count in counts if count is not None)

    @staticmethod
    def more_references(p: SimpleNamespace) -> dict[str, PartReference]:
        """Each reference of each part but its oracle and random play, as `DarkRoom_sweep`."""
        return {
            f"{name}_{reference}": PartReference(part=name, reference=reference)
            for name, part in parts_at(p).variants
            for reference in references_between(part)
        }

    @staticmethod
    def parameter_error(p: SimpleNamespace) -> str | None:
        """There must be a part to be drawn."""
        parts, held_out, unseen = parts_at(p), p.parts_drawn == "held_out", p.disguises_drawn == "unseen"
        if held_out and not parts.held_out:
            return f"held_out={p.held_out!r} leaves no part to be drawn with parts_drawn='held_out'"
        if not _drawn(parts, p.disguise, p.surplus, held_out, unseen):
            return f"disguise={p.disguise!r} holds none out of these parts, so that disguises_drawn cannot be 'unseen'"
        return None

    @staticmethod
    def task_errors(p: SimpleNamespace, tasks: np.ndarray) -> TaskErrors:
        """The part is one of those there are, the disguise is one, and the part's task is one."""
        parts = parts_at(p)
        which = tasks["which"]
        yield "which", (which < 0) | (which >= len(parts.variants)), f"is no part, which go from 0 to {len(parts.variants) - 1}"
        yield from _disguise_errors(p, parts, tasks)
        for number, (name, part) in enumerate(parts.variants):
            if not len(mine := np.flatnonzero(which == number)):
                continue
            for field, wrong, why in part.family.task_errors(part.p, tasks[name][mine]):
                whole = np.zeros(len(tasks), np.bool_)
                whole[mine] = wrong.reshape(len(mine), -1).any(axis=1)
                yield name, whole, f"is no task of {part}: its {field} {why}"

    @staticmethod
    def solve(p: SimpleNamespace, task: Row) -> QFunction | None:
        """The part's own, of what each action does; None where one does nothing, since no part has time that passes so."""
        does = np.array(task.does)
        if (does == IDLE).any():
            return None
        name, part = parts_at(p).at(task.which)
        own = solve(part, array_of(task[name]))
        return own and (lambda state, t: own(state[name], t)[does])

    @staticmethod
    def parts_told(p: SimpleNamespace) -> dict[str, Variant]:
        """The parts."""
        return dict(parts_at(p).variants)

    @staticmethod
    def task_of_part(p: SimpleNamespace, task: Row) -> TaskOfPart:
        """The part's own task, and what the disguise hides of it."""
        parts = parts_at(p)
        name, part = parts.at(task.which)
        lowest, scale = parts.sights[task.which]
        number_at, does = plain(undoing(p.disguise)), np.array(task.does)

        def action(shown: int) -> int | None:
            return None if does[shown] == IDLE else int(does[shown])

        def observation(shown: np.ndarray) -> np.ndarray:
            numbers = np.array([number_at(task, shown.astype(np.float64), i) for i in range(len(lowest))]) / scale + lowest
            exact = part.observation.dtype.kind == "f"
            return (numbers if exact else np.round(numbers)).astype(part.observation.dtype)

        return TaskOfPart(name, array_of(task[name]), action, observation)

    @staticmethod
    def returns(p: SimpleNamespace, task: Row) -> Returns | None:
        """The part's own, of its own actions."""
        name, part = parts_at(p).at(task.which)
        return exact_returns(part, array_of(task[name]))

    @staticmethod
    def memoryless_best(p: SimpleNamespace, task: Row) -> float | None:
        """The part's own, which is told the part and the disguise: an upper bound."""
        name, part = parts_at(p).at(task.which)
        return part.memoryless_best(array_of(task[name]))

    @staticmethod
    def instructions(p: SimpleNamespace) -> str:
        """What there is to do, for people and language models alike."""
        return (
            "This is one of several games, and you are not told which. What numbers mean and what actions do may be hidden "
            "too, and stays the same. Find out what pays, and get as much of it as you can."
        )

    @staticmethod
    def draw(picture: Picture, p: SimpleNamespace, state: Row, task: Row | None) -> None:
        """The numbers that are shown, as bars; revealed, the part as it is drawn in its own family."""
        if task is not None:
            name, part = parts_at(p).at(task.which)
            part.family.draw(picture, part.p, state[name], task[name])
            return
        count, middle, tall = len(state.shown), 240, 180
        reach = max(1.0, math.sqrt(count)) if p.disguise == "projection" else 1.0
        width = (canvas.WORLD - 48) / count
        picture.line(24, middle, canvas.WORLD - 24, middle, canvas.LINES, 2)
        for j in range(count):
            height = tall * state.shown[j] / reach
            left, side = 24 + (j + 0.15) * width, 0.7 * width
            picture.rectangle(left, middle - max(height, 0.0), side, max(abs(height), 1.0), canvas.ACCENT)
            picture.text(left + side / 2, 440, f"{state.shown[j]:.2f}", size=14, color=canvas.MUTED, align="center")

    @staticmethod
    def describe(p: SimpleNamespace, state: Row, task: Row | None) -> str:
        """The numbers that are shown; revealed, the part as it is described in its own family, and what actions do."""
        shown = "shown: " + " ".join(f"{number:.3f}" for number in state.shown)
        if task is None:
            return shown
        name, part = parts_at(p).at(task.which)
        does = " ".join("-" if own == IDLE else str(own) for own in task.does)
        return f"{shown}\n{name}; actions do: {does}\n{part.family.describe(part.p, state[name], task[name])}"


def _disguise_errors(p: SimpleNamespace, parts: Parts, tasks: np.ndarray) -> Iterator[tuple[str, np.ndarray, str]]:
    """Where a disguise is none that is drawn; all parts exist."""
    which, does = tasks["which"], tasks["does"].astype(np.int64)
    usual = np.stack([undisguised(part, parts.actions, p.surplus) for part in parts.by_name.values()])[which]
    if hides_actions(p.disguise):
        alike = np.array([part.family.exchangeable_actions for part in parts.by_name.values()])[which]
        same = np.where(alike, (_times(does) == _times(usual)).all(axis=1), (np.sort(does) == np.sort(usual)).all(axis=1))
        yield "does", ~same, "must be the part's actions in some order"
        renumbered = (in_order_of_appearance(does) != does).any(axis=1)
        yield "does", alike & renumbered, "must have the actions of this part, which are exchangeable, in order of appearance"
    else:
        yield "does", (does != usual).any(axis=1), "must be the part's actions in their own order"
    lengths = np.array([math.prod(part.observation.shape) for part in parts.by_name.values()])[which]
    places = np.arange(1, parts.length + 1)
    if hides_observations(p.disguise):
        wanted = np.sort(places * (places <= lengths[:, None]))
        yield "image", (np.sort(np.abs(tasks["image"])) != wanted).any(axis=1), "must have each number of the part once"
    if p.disguise == "projection":
        columns = tasks["projection"]
        wanted = np.eye(parts.length) * (places <= lengths[:, None])[:, None]
        off = ~np.isclose(np.einsum("tji,tjk->tik", columns, columns), wanted, atol=1e-6)
        yield "projection", np.asarray(off.any(axis=(1, 2))), "must have a column of length 1 for each number, at right angles"


def _times(does: np.ndarray) -> np.ndarray:
    """How many actions do each of the part's own, the rarest first, behind how many do nothing, int64 [task, number]."""
    times = (does[:, :, None] == np.arange(IDLE, does.shape[1])).sum(axis=1)
    return np.concatenate([times[:, :1], np.sort(times[:, 1:])], axis=1)
