"""The loop that everybody is played in who is not fused: at a table sit groups of players, and all act at once."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Protocol

import numpy as np

from metarl_envs.arguments import Progress, tell_nobody
from metarl_envs.players.factories import PlayerError
from metarl_envs.players.run import Run, joined


class Table(Protocol):
    """Rows of a family, or boxes, in motion."""

    #: The steps so far, how many there can be, and which rows are not over yet, bool [row].
    t: int
    most_steps: int
    active: np.ndarray

    def advance(self) -> None:
        """Move all rows by the actions that lie on the table."""

    def run(self) -> Run:
        """Return what was played so far."""
        ...


class Group(Protocol):
    """Players of one kind in some seats of a table."""

    def act(self) -> None:
        """Put the actions of these seats on the table."""


def play(table: Table, groups: list[Group], progress: Progress = tell_nobody) -> Run:
    """Play until all rows are over.

    Whatever ends it before, Ctrl-C too, holds what was played until then as its attribute `run`.

    Args:
        table: the rows.
        groups: who plays in them.
        progress: called with "steps", how many steps have been made by now, and how many there are at most.

    Raises:
        PlayerError: a player or its factory failed.
    """
    try:
        while table.active.any():
            for group in groups:
                group.act()
            table.advance()
            progress("steps", table.t, table.most_steps)
    except BaseException as error:
        _keep(table, error)
        raise
    return table.run()


def _keep(table: Table, error: Any) -> None:
    """Give an error what was played until then."""
    with contextlib.suppress(Exception):  # a family that cannot be lived cannot be lived again
        error.run = table.run()
        error.add_note("Nothing is lost: this error's attribute `run` holds what was played until then (run.save keeps it)")


@contextlib.contextmanager
def keeping(lived: Mapping[str, Run]) -> Iterator[None]:
    """Give whatever ends this before its time, as its attribute `runs`, the runs that were finished by then, by player."""
    try:
        yield
    except BaseException as error:
        ending: Any = error
        ending.runs = dict(lived)
        raise


@contextlib.contextmanager
def keeping_rows(before: Sequence[Run]) -> Iterator[None]:
    """Put the rows that a player has lived before into the `run` of whatever ends this before its time, as the first ones."""
    try:
        yield
    except BaseException as error:
        ending: Any = error
        last = getattr(error, "run", None)
        if found := [*before, *([] if last is None else [last])]:
            ending.run = joined(found)
        if isinstance(error, PlayerError) and error.row is not None:
            error.row += sum(map(len, before))
        raise
