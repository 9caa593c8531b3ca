"""A run as text, step by step: who made what, when, and what was written."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import numpy as np

from metarl_envs.boxes.study.runs import one_box
from metarl_envs.boxes.view.words import experiment, names_of
from metarl_envs.boxes.world.claims import REPLICATE, has_claims, other_of_pair
from metarl_envs.boxes.world.core import ABSENT, ILLUSORY, REAL, TAKE
from metarl_envs.boxes.world.hazard import FORCE
from metarl_envs.boxes.world.lives import has_lives
from metarl_envs.boxes.world.mechanisms import verbs_of
from metarl_envs.boxes.world.notes import MADE, WHEN, A, B
from metarl_envs.boxes.world.texts import number_and_text
from metarl_envs.boxes.world.tree import NOTHING
from metarl_envs.engine.compiling.kernels import plain
from metarl_envs.engine.family import Family
from metarl_envs.engine.records import Row
from metarl_envs.players.run import Run


def lines(run: Run, box: int = 0, *, failures: bool = False, pictures: bool = False) -> Iterator[str]:
    """What happened in one box of a run, line by line. Items have the words of this box, with lineage and level.

    Args:
        run: the run.
        box: which of its boxes, from 0.
        failures: tell also of experiments that made nothing, and of actions that were not allowed.
        pictures: after each step in which something happened, show the box as its family describes it in text.

    Raises:
        ValueError: there is no such box, its family has no text, or the run does not repeat (see `Run.replay`).
    """
    one_box(run, box)
    family, p = run.variant.family, run.variant.p
    if pictures and family.describe is Family.describe:
        raise ValueError(f"{family.__name__} cannot be described in text yet: leave pictures out")
    usual = family.params.resolve({}, family.__name__)
    given = {name: value for name, value in run.params.items() if value != usual[name]}
    said = ", ".join(f"{name}={value!r}" for name, value in given.items())
    yield f"{run.variant.name}({said}), box {box}, seed {run.seeds[box]}"
    yield "seats: " + ", ".join(f"{i} {name}" for i, name in enumerate(run.seats))
    earned = np.zeros(p.agents)
    for t, (state, told) in enumerate(steps(run, box, failures)):
        earned += state["reward"] if t else 0
        yield from (f"step {t:5}  {event}" for event in told)
        if told and pictures:
            yield family.describe(p, Row(state), None)
    yield "returns: " + ", ".join(f"{value:g}" for value in earned)


def steps(run: Run, box: int, failures: bool = False) -> Iterator[tuple[np.void, list[str]]]:
    """The state of a box before the first step and after each, and what happened in that step (see `lines`)."""
    p, one, before = run.variant.p, run[box : box + 1], None
    for t, states in enumerate(one.replay()):
        after = states[0].copy()
        happened = events(p, before, after, one.actions[0, t - 1], names_of(p, before), failures) if before is not None else ()
        yield after, list(happened)
        before = after


def events(
    p: SimpleNamespace, before: Any, after: Any, actions: np.ndarray, names: list[str], failures: bool = False
) -> Iterator[str]:
    """What one step did, agent by agent, told from the states before and after it.

    Args:
        p: the parameters of the box.
        before: the state before it, a row.
        after: the state after it, a row.
        actions: as the box has them, [agents, ...].
        names: of the items.
        failures: see `lines`.
    """
    dawn = bool(p.day and after["t"] % p.day == 0)
    for i, (action, text) in enumerate(map(number_and_text, actions)):
        who = f"agent {i}"
        if after["illegal"][i] > before["illegal"][i]:
            if failures:
                yield f"{who} does what is not allowed (action {action})"
        elif told := _deed(p, before, after, i, action, names, failures, text):
            yield f"{who} {told}"
        if has_lives(p) and after["born"][i] == after["t"]:
            yield f"{who} dies; another is born in its place, the {_ordinal(after['life'][i] + 1)} there"
            continue
        if dawn:
            continue
        copied = (after["held"][i] == REAL) & (before["held"][i] != REAL)
        moved = set(after["moved"].tolist()) if "moved" in after.dtype.names else set()
        for item in np.flatnonzero(copied).tolist():
            if item != after["made"][i]:
                yield f"{who} {'gets' if item in moved else 'copies'} {names[item]}"
        if "moved" in after.dtype.names:
            for item in np.flatnonzero((before["held"][i] != ABSENT) & (after["held"][i] == ABSENT)).tolist():
                yield f"{who} loses {names[item]}"
            if after["out_until"][i] > before["out_until"][i]:
                yield f"{who} has no health left and is out"
        item = int(after["copied"][i]) if has_lives(p) else NOTHING
        if item != NOTHING and after["held"][i, item] == ILLUSORY and before["held"][i, item] == ABSENT:
            yield f"{who} believes to have copied {names[item]}: an illusion"
    if has_claims(p):
        yield from _corrupted(p, before, after, names)
    if dawn:
        yield f"day {after['t'] // p.day} is over: all is forgotten but what is written"


def _corrupted(p: SimpleNamespace, before: Any, after: Any, names: list[str]) -> Iterator[str]:
    """The entries of the board that name something else now, though nobody wrote there."""
    for k, (old, new) in enumerate(zip(before["board"][: p.board].tolist(), after["board"][: p.board].tolist(), strict=True)):
        if new != old and new[WHEN] == old[WHEN] >= 0:
            said = experiment(new[A], new[B], new[MADE], names)
            yield f"place {k + 1} of the noticeboard is corrupted: it says now that {said}"


def _ordinal(n: int) -> str:
    """A number as a place in a row: `21st`."""
    return f"{n}{'th' if 11 <= n % 100 <= 13 else {1: 'st', 2: 'nd', 3: 'rd'}.get(n % 10, 'th')}"


def _deed(
    p: SimpleNamespace, before: Any, after: Any, i: int, action: int, names: list[str], failures: bool, text: str
) -> str | None:
    """What an agent did, None where it is not worth telling."""
    verb, k = verbs_of(p).find(action)
    if verb is FORCE:
        return "uses force: " + str(_experiment(before, after, i, k, names, failures=True))
    if verb is REPLICATE:
        other = plain(other_of_pair)(Row(before), i, k)
        return f"replicates what place {k + 1} claims: {_experiment(before, after, i, other, names, failures=True)}"
    if verb is TAKE:
        return _experiment(before, after, i, action, names, failures) if before["hand"][i] != NOTHING else None
    return verb.told.format(place=k + 1, agent=k, experiment=_note(before, i, names), text=text) or None


def _experiment(before: Any, after: Any, i: int, item: int, names: list[str], failures: bool) -> str | None:
    """What came of combining what was in the hand with an item."""
    pair = f"{names[before['hand'][i]]} and {names[item]}"
    made, seemed = int(after["made"][i]), int(after["seemed"][i])
    if made != NOTHING:
        first = before["first_at"][made] < 0 and after["first_by"][made] == i
        return f"makes {names[made]} of {pair}" + (", the first in the box" if first else "")
    if seemed != NOTHING and after["held"][i, seemed] == ILLUSORY:
        fresh = before["held"][i, seemed] == ABSENT
        return f"believes to have made {names[seemed]} of {pair}" + ("" if fresh else " again") + ": an illusion"
    if seemed != NOTHING:
        return f"makes {names[seemed]} of {pair} again" if failures else None
    return f"makes nothing of {pair}" if failures else None


def _note(before: Any, i: int, names: list[str]) -> str:
    """The experiment that an agent writes down."""
    a, b, made = int(before["tried"][i, 0]), int(before["tried"][i, 1]), int(before["seemed"][i])
    if a == NOTHING:
        return "nothing"
    return f"{names[a]} and {names[b]} make {names[made] if made != NOTHING else 'nothing'}"
