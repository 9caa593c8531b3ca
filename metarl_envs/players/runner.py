"""The loop that everybody is played in who is not fused: at a table sit groups of players, and all act at once."""

from __future__ import annotations

from typing import Protocol

import numpy as np

from metarl_envs.players.factories import PlayerError
from metarl_envs.players.run import Run


class Table(Protocol):
    """Rows of a family, or boxes, in motion."""

    #: The steps so far, and which rows are not over yet, bool [row].
    t: int
    active: np.ndarray

    def advance(self) -> None:
        """Move all rows by the actions that lie on the table."""

    def run(self) -> Run:
        """What was played so far."""
        ...


class Group(Protocol):
    """Players of one kind in some seats of a table."""

    def act(self) -> None:
        """Put the actions of these seats on the table."""


def play(table: Table, groups: list[Group]) -> Run:
    """Play until all rows are over.

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
    return table.run()
