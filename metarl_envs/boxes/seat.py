"""One seat of a box as a family of its own: the agent is agent 0, and scripted companions sit in the other seats."""

from __future__ import annotations

from types import SimpleNamespace
from typing import ClassVar

import numpy as np
from gymnasium import spaces

from metarl_envs.boxes.amnesia import AmnesiaBox
from metarl_envs.boxes.box import (
    CHOOSING,
    Box,
    box_record,
    live_one_step,
    open_box,
    see,
    verbs_of,
    view_length,
)
from metarl_envs.boxes.invention import InventionBox
from metarl_envs.boxes.scripted import (
    NoteKeeper,
    act_at_random,
    keep_notes,
    make_the_best,
    try_something_new,
    wake_keeper,
)
from metarl_envs.boxes.tree import items_in
from metarl_envs.engine import Choice, Oracle, Parameters, kernel, record
from metarl_envs.engine.streams import keyed

#: Who sits in the other seats.
COMPANIONS = ("waiting", "random", "never_repeat", "greedy", "oracle", "notes_fifo", "notes_best_path", "notes_unlimited")
_WAITING, _RANDOM, _NEVER_REPEAT, _GREEDY, _ORACLE, _FIFO, _BEST_PATH, _UNLIMITED = range(8)


def seat_record(p: SimpleNamespace) -> np.dtype:
    """The box, and the minds of the companions."""
    return record(
        box=box_record(p),
        style=NoteKeeper.hyper.dtype,
        mind=(NoteKeeper.mind(p), max(1, p.agents - 1)),
        actions=(np.int64, p.agents),
    )


@kernel
def sit_down(params, task, state, rng):
    """Open the box, and let the companions be who they are."""
    open_box(params, task, state.box, rng)
    state.style.draws = 1 if params.companions == _NEVER_REPEAT else 8
    state.style.verify = 0
    state.style.keep = 1
    if params.companions == _BEST_PATH:
        state.style.keep = 2
    if params.companions == _UNLIMITED:
        state.style.keep = 3


@kernel
def companion(params, task, state, i, rng):
    """What companion i does. Its mind is empty where its memory was reset."""
    mind, style = state.mind[i - 1], state.style
    if state.box.forgot[i] != 0:
        wake_keeper(style, params, mind)
    rng.s = keyed(state.box.noise, CHOOSING, state.box.t, i)
    if params.companions == _RANDOM:
        return act_at_random(style, params, task, state.box, i, mind, rng)
    if params.companions == _ORACLE:
        return make_the_best(style, params, task, state.box, i, mind, rng)
    if params.companions == _NEVER_REPEAT or params.companions == _GREEDY:
        return try_something_new(style, params, task, state.box, i, mind, rng)
    if params.companions == _WAITING:
        return items_in(params)
    return keep_notes(style, params, task, state.box, i, mind, rng)


@kernel
def step_with_companions(params, task, state, action, rng):
    """All act at once; the reward is that of agent 0."""
    for i in range(1, params.agents):
        state.actions[i] = companion(params, task, state, i, rng)
    state.actions[0] = action
    live_one_step(params, task, state.box, state.actions, rng)
    return state.box.reward[0], False


@kernel
def see_from_seat(params, task, state, obs):
    """What agent 0 sees, and its action mask."""
    see(params, state.box, 0, obs)


@kernel
def make_the_best_from_seat(hyper, memory, params, task, state, rng):
    """Make what pays most of all that can be made now."""
    return make_the_best(hyper, params, task, state.box, 0, memory, rng)


class KnowsTheRecipes(Oracle):
    """Knows the recipes: always makes what pays most of all that it can make. Strong, not proved to be the best."""

    act = make_the_best_from_seat


class Seat(Box):
    """A seat in a box. The subclass names the box."""

    box: ClassVar[type[Box]]
    state = seat_record
    reset, step, observe = sit_down, step_with_companions, see_from_seat
    references = {"oracle": KnowsTheRecipes()}  # noqa: RUF012

    @staticmethod
    def spaces(p: SimpleNamespace) -> tuple[spaces.Space, spaces.Space]:
        """What agent 0 sees and its action mask, in one row."""
        actions = verbs_of(p).end
        return spaces.Box(0.0, 1.0, (view_length(p) + actions,), np.float32), spaces.Discrete(actions)


def seated(box: type[Box], **defaults: object) -> Parameters:
    """The parameters of a box and who the companions are."""
    return Parameters(**box.params.parameters, companions=Choice("greedy", COMPANIONS)).but(**defaults)


class InventionSeat(Seat):
    """A seat in `InventionBox`."""

    box = InventionBox
    params = seated(InventionBox)


class AmnesiaSeat(Seat):
    """A seat in `AmnesiaBox`."""

    box = AmnesiaBox
    params = seated(AmnesiaBox)
