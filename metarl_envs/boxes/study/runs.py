"""Playing boxes: many of them to the end, with any mixture of players in their seats."""

from __future__ import annotations

import numbers
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Unpack

import numpy as np

from metarl_envs.arguments import Progress, as_integer, as_seed, at_least_one, row_seeds, tell_nobody
from metarl_envs.boxes.parameters import BoxParameters
from metarl_envs.boxes.players.agents import AGENTS
from metarl_envs.boxes.players.scripted import Scripted
from metarl_envs.boxes.players.table import Boxes, Watch, nobody_watches
from metarl_envs.boxes.scenarios import box_named
from metarl_envs.boxes.scenarios.box import Box
from metarl_envs.engine.family import Variant
from metarl_envs.engine.player import Player
from metarl_envs.ids import BOXES
from metarl_envs.learners.named import read_player
from metarl_envs.players.factories import Made, Seat, Wrapped, in_a_run
from metarl_envs.players.models.language_model import Forecast, LanguageModel
from metarl_envs.players.resolve import described
from metarl_envs.players.run import Run
from metarl_envs.players.runner import Seated, play
from metarl_envs.task_sets import DEFAULT_SPLIT, TaskSet, tasks_of


def run(
    box: str | type[Box],
    seats: Mapping[Any, Any],
    boxes: int = 80,
    seed: int = 0,
    split: str | None = DEFAULT_SPLIT,
    tasks: int | TaskSet | None = None,
    progress: Progress = tell_nobody,
    out: str | os.PathLike | None = None,
    resume: bool = False,
    concurrency: int | None = None,
    watch: Watch = nobody_watches,
    **params: Unpack[BoxParameters],
) -> Run:
    """Live many boxes to the end, with any mixture of players in their seats.

    A seat is filled by the name of a scripted agent (such as `"greedy"`), by a compiled player that observes a seat (such as
    `NeverRepeat(draws=4)`), or by a factory of players in Python. `Seat(factory)` makes them one by one: `factory(seat=,
    observation_space=, action_space=, seed=)` returns an object whose `act(moment)` returns the action. A plain factory makes
    one for its seats in all boxes at once: `factory(num_envs=, observation_space=, action_space=, seed=)` returns an object
    whose `act(step)` returns an action a row, those of box 0 first (see `metarl_envs.players` for both). An observation is a
    dict: `"observation"`, float32 in [0, 1], and `"action_mask"`, int8, 1 for each action that would do something. A
    `metarl_envs.players.LanguageModel` is told words and says sentences; scripted agents beside it stay compiled, and each box
    goes on as soon as its own models have answered, unless a plain factory sits beside it, whose player acts in all at once.

    Whenever the box resets an agent's memory (at the beginning, and at each dawn) its player is thrown away and the factory
    makes another one, which is given nothing that was used before. What a player knows the next day it has read in its notes;
    only a factory that remembers, or a player that writes outside of itself (class attributes, globals, files), can cheat.

    >>> done = run("InventionBox", {0: "oracle", "others": "greedy"}, boxes=2, agents=3, horizon=20)
    >>> done.actions.shape
    (2, 20, 3)

    Args:
        box: the name of a box, or a class.
        seats: who sits where, by index (also from the end), `range`, tuple of indices, slice (a key from Python 3.12 on),
            `"all"` or `"others"`. Every seat is filled once.
        boxes: how many.
        seed: box i draws its recipes and its noise from seed + i, like row i of a vector environment.
        split: of the tasks (see `metarl_envs.tasks`); all by default.
        tasks: how many recipe books, the first ones of the split; or a finite set, with its own split and parameters. Box i has
            book i, and from the first again. None: each box draws its own.
        progress: called with "steps", how many steps have been made by now, and how many there are.
        out: a folder for the run (`run.npz` and `run.json`, also where a player fails, or Ctrl-C ends it) and the transcripts
            of language models and people (`transcript-SEAT.jsonl`, by the first seat of each). None: nothing is written.
        resume: go on with what is in `out`: nobody is asked again what is answered.
        concurrency: of language models, how many conversations wait for a reply at once; None: as each says itself.
        watch: called with a table of boxes before its first step and after each, in the thread that moves it: to look, and to
            leave it as it is.
        params: parameters of the box.

    Raises:
        ValueError, TypeError: there is no such box, parameter or agent; a seat is empty or filled twice.
        FileExistsError: there is a run in `out`, and it is not to be resumed.
        PlayerError: a player or its factory raised an error; an action is out of range; a factory returned an object that was
            returned before. The error says in which box and seat, and at which step, and holds what was played until then: of
            all boxes, up to the step that each of them had made.
    """
    family = box_named(box)
    boxes, seed = at_least_one("boxes", boxes), as_seed(seed)
    recipes = tasks_of(family, None, split, tasks, params)
    chosen = who_sits_where(seats, recipes.variant)
    if out is None and (resume or concurrency is not None):
        raise ValueError("resume and concurrency go with out: give the folder of the run")
    if out is not None:
        chosen = _written_to(Path(out), chosen, resume, concurrency)
    file = None if out is None else Path(out) / "run"
    return played(recipes, chosen, row_seeds(seed, boxes), file, progress, watch)


def forecast(
    box: str | type[Box],
    seats: Mapping[Any, Any],
    boxes: int = 80,
    seed: int = 0,
    split: str | None = DEFAULT_SPLIT,
    tasks: int | TaskSet | None = None,
    **params: Unpack[BoxParameters],
) -> Forecast:
    """Return what `run` would ask of the language models in these seats, if every reply is a sentence that takes one step.

    One box is played in a dry run, in which nobody is asked, and models wait. Arguments and errors are those of `run`.
    """
    family = box_named(box)
    boxes, seed = at_least_one("boxes", boxes), as_seed(seed)
    recipes = tasks_of(family, None, split, tasks, params)
    chosen = who_sits_where(seats, recipes.variant)
    pretending = {id(player): player.pretending() for player in chosen if isinstance(player, LanguageModel)}
    if not pretending:
        raise ValueError(f"seats={seats!r} has no language model, and nothing is asked of anybody")
    played(recipes, [pretending.get(id(player), player) for player in chosen], row_seeds(seed, 1), None)
    parts = [model.forecast for model in pretending.values()]
    return Forecast(*(sum(each) for each in zip(*parts, strict=True))).times(boxes)


def _written_to(out: Path, chosen: list[Any], resume: bool, concurrency: int | None) -> list[Any]:
    """The players, of whom people and language models write their transcripts into a folder."""
    if not resume and (out / "run.json").exists():
        raise FileExistsError(
            f"out={str(out)!r} holds a run already: give another folder, or resume=True (--resume) to go on with it"
        )
    written = {
        id(player): player.written_to(out / f"transcript-{chosen.index(player)}.jsonl", resume=resume, concurrency=concurrency)
        for player in _different(chosen)
        if isinstance(player, Seat)
    }
    return [written.get(id(player), player) for player in chosen]


def played(
    recipes: TaskSet,
    chosen: list[Any],
    seeds: np.ndarray,
    file: Path | None,
    progress: Progress = tell_nobody,
    watch: Watch = nobody_watches,
) -> Run:
    """Play all boxes, and write the run, whole or cut off."""
    names, made = tuple(name_of(player) for player in chosen), Made()
    who = [(player, [i for i, each in enumerate(chosen) if each is player]) for player in _different(chosen)]
    together = [slice(b, b + 1) for b in range(len(seeds))] if _wait_apart(chosen) else [slice(None)]
    try:
        with in_a_run(chosen):
            tables = [Boxes(recipes, seeds[rows], names, rows.start or 0, watch) for rows in together]
            done = play([Seated(table, [table.group(*each, made) for each in who]) for table in tables], progress)
    except BaseException as error:  # Ctrl-C too
        so_far = getattr(error, "run", None)
        if file is not None and so_far is not None and so_far.actions.shape[1]:
            error.add_note(f"It is also written: {', '.join(map(str, so_far.save(file)))}")
        raise
    if file is not None:
        done.save(file)
    return done


def _wait_apart(chosen: list[Any]) -> bool:
    """Whether each box is a table of its own, since its players are waited for; not where a batch acts in all boxes at once."""
    one_by_one = [player for player in chosen if isinstance(player, Seat)]
    return any(player.concurrency > 1 for player in one_by_one) and all(isinstance(each, Player | Seat) for each in chosen)


def of_boxes(run: Run) -> Run:
    """Return a run as it is; ValueError where it was not played in boxes."""
    if not issubclass(run.variant.family, Box):
        raise ValueError(f"{run!r} was not played in a box: give a run of boxes.run")
    return run


def one_box(run: Run, box: int) -> Run:
    """Return one box of a run, from 0, as a run of its own; ValueError where there is none, see also `of_boxes`."""
    if as_integer("box", box) >= len(of_boxes(run)):
        raise ValueError(f"box={box} is not in this run: it has boxes 0 to {len(run) - 1}")
    return run[box : box + 1]


def id_of(family: type[Box]) -> str:
    """What a box is called in files: the name of one of this package, "module:Class" for others."""
    name, path = family.__name__, f"{family.__module__}:{family.__qualname__}"
    return name if BOXES.get(name) == path else path


def scripted_in(variant: Variant) -> dict[str, Scripted]:
    """By name, the scripted agents that can live in a box."""
    return {name: player for name, player in AGENTS.items() if player.why_unsuitable(variant) is None}


# ------------------------------------------------------------------------------------------------- seats
def who_sits_where(seats: Mapping[Any, Any], variant: Variant) -> list[Any]:
    """The player of each seat; errors as in `run`."""
    agents = variant.p.agents
    if not isinstance(seats, Mapping):
        raise TypeError(f"seats={seats!r} must map seats to players, such as {{0: 'oracle', 'others': 'greedy'}}")
    chosen: list[Any] = [None] * agents
    for key, player in seats.items():
        if key == "others":
            continue
        for i in _seats_of(key, agents):
            if chosen[i] is not None:
                raise ValueError(f"seats names seat {i} twice")
            chosen[i] = _player(player, variant)
    empty = [i for i in range(agents) if chosen[i] is None]
    if empty and "others" not in seats:
        raise ValueError(f"seats leaves {empty} empty: there are {agents} agents (the key 'others' fills the rest)")
    for i in empty:
        chosen[i] = _player(seats["others"], variant)
    return chosen


def _seats_of(key: Any, agents: int) -> list[int]:
    """The seats that a key names."""
    if isinstance(key, str) and key == "all":
        return list(range(agents))
    if isinstance(key, slice):
        return list(range(agents))[key]
    if isinstance(key, range | tuple):
        return [i for each in key for i in _seats_of(each, agents)]
    if isinstance(key, numbers.Integral) and not isinstance(key, bool):
        if not -agents <= int(key) < agents:
            raise ValueError(f"seats names seat {key}; there are {agents}, from 0 to {agents - 1}")
        return [int(key) % agents]
    raise ValueError(f"seats names {key!r}: give an index, a range, a tuple of them, a slice, 'all' or 'others'")


def _player(given: Any, variant: Variant) -> Any:
    """Whoever is meant to sit in a seat."""
    player = read_player(given, variant, scripted_in(variant), "player")
    if isinstance(player, Wrapped):
        raise TypeError(f"player {player!r} sees a family through wrappers; a box has none: give what is inside of it")
    return player


def _different(chosen: list[Any]) -> list[Any]:
    """Each player once, in the order of the seats."""
    return list({id(player): player for player in chosen}.values())


def name_of(player: Any) -> str:
    """What a player is called in a run: a scripted agent by its name, others by what they are."""
    return next((name for name, scripted in AGENTS.items() if scripted is player), described(player))
