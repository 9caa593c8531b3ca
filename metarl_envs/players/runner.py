"""The loop that everybody is played in who is not fused: at a table sit groups of players, and all act at once."""

from __future__ import annotations

from typing import Protocol

import numpy as np

from metarl_envs.arguments import Progress, tell_nobody
from metarl_envs.players.factories import PlayerError
from metarl_envs.players.run import Run


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

    Args:
        table: the rows.
        groups: who plays in them.
        progress: called with "steps", how many steps have been made by now, and how many there are at most.

    Raises:
        PlayerError: a player or its factory failed; the error holds what was played until then.
    """
    while table.active.any():
        try:
            for group in groups:
                group.act()
        except PlayerError as error:
            error.run = table.run()
            error.add_note("Nothing is lost: this error's attribute `run` holds what was played until then (run.save keeps it)")
            raise
        table.advance()
        progress("steps", table.t, table.most_steps)
    return table.run()
