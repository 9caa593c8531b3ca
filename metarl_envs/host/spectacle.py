"""What the experimenter sees: every box as a whole, as it stands now. No player is ever shown any of this."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np

from metarl_envs.boxes.players.table import Boxes
from metarl_envs.engine import Picture, Row
from metarl_envs.engine.canvas import WORLD
from metarl_envs.engine.family import Variant


class Spectacle:
    """The boxes of a run, watched from outside.

    Args:
        variant: of the boxes.
    """

    def __init__(self, variant: Variant):
        self._variant = variant
        self._latest: dict[int, tuple[int, np.ndarray]] = {}
        self._lock, self._drawing = threading.Lock(), threading.Lock()
        self.begun = threading.Event()
        self.names: tuple[str, ...] = ()

    def watch(self, table: Boxes) -> None:
        """Keep how a table stands (see `metarl_envs.boxes.run`)."""
        states = table.states.copy()
        with self._lock:
            self.names = table.names
            self._latest |= {table.first + i: (table.t, states[i : i + 1]) for i in range(len(states))}
        self.begun.set()

    def steps(self) -> dict[int, int]:
        """Return by box how many steps it has made."""
        with self._lock:
            return {box: t for box, (t, _) in self._latest.items()}

    def show(self, box: int) -> dict[str, Any]:
        """Return a box in words, and its picture as the bytes of a PNG file; KeyError where there is none of that number."""
        with self._lock:
            t, states = self._latest[box]
        family, p, state = self._variant.family, self._variant.p, Row(states[0])
        with self._drawing:  # pygame draws for one at a time
            picture = Picture(WORLD, WORLD)
            family.draw(picture, p, state, None)
            return {"step": t, "text": family.describe(p, state, None), "png": picture.png()}
