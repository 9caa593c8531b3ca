"""The rows of a finite set: in memory as they were given, in the order of what they mean, or mapped from a file."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from metarl_envs.engine.family import Variant
from metarl_envs.engine.splits import Split
from metarl_envs.engine.worlds import task_rows
from metarl_envs.task_sets.parts import are_in, drawn_from


class Listed:
    """Task rows in memory, in the order in which they were given. Nobody else holds them, so that they stay as they are.

    Args:
        variant: the family that they are tasks of.
        rows: the rows; the fields are those of the variant's tasks, what lies between them may be anything.
    """

    def __init__(self, variant: Variant, rows: np.ndarray):
        self.variant, self.rows = variant, rows

    def __len__(self) -> int:
        return len(self.rows)

    def take(self, index: Any) -> np.ndarray:
        """Return the rows of a slice or an array of indices as drivers take them: a copy, zero between the fields."""
        return task_rows.padded(self.rows[index], self.variant.task)

    def cut(self, index: slice) -> Listed:
        """Return the rows of a slice, as a list of their own."""
        return Listed(self.variant, self.take(index))

    def blocks(self) -> Iterator[np.ndarray]:
        """Yield copies of all rows in order, few at a time: there may not be memory for all."""
        return map(self.take, task_rows.blocks(len(self), self.variant.task))


class Sorted(Listed):
    """Tasks of a family's own list, in order of what they mean: ids are hashes, so the order is as good as shuffled.

    They are sorted when the first is taken: an environment that draws its own tasks never takes one.
    """

    def __init__(self, variant: Variant, unsorted: np.ndarray):
        self.variant, self._unsorted = variant, unsorted

    @functools.cached_property
    def rows(self) -> np.ndarray:  # type: ignore[override]
        """The rows in order."""
        return self._unsorted[np.argsort(task_rows.task_hashes(self.variant, self._unsorted)[0], kind="stable")]

    def __len__(self) -> int:
        return len(self._unsorted)


class Mapped(Listed):
    """Rows that stay in a file, which others may write to: those that are taken are checked each time, once they are copied."""

    def __init__(self, variant: Variant, rows: np.ndarray, file: Path):
        super().__init__(variant, rows)
        self.file = file

    def take(self, index: Any) -> np.ndarray:
        """Return a copy of rows as they are now; ValueError where one is no task any more."""
        taken = super().take(index)
        if wrong := task_rows.first_wrong(self.variant, taken):
            raise ValueError(f"{self.file} was changed after it was loaded: a row is no task of {self.variant}: {wrong[1]}")
        return taken

    def cut(self, index: slice) -> Mapped:
        """Return the rows of a slice, which stay in the file."""
        return Mapped(self.variant, self.rows[index], self.file)


def check(listed: Listed, split: Split, what: str) -> None:
    """ValueError where a row is no task of the family, or not of the split's part; `what` says where the rows are from."""
    variant, wanted, first = listed.variant, drawn_from(listed.variant, split), 0
    for rows in listed.blocks():
        if wrong := task_rows.first_wrong(variant, rows):
            raise ValueError(f"row {first + wrong[0]} of {what} is no task of {variant}: {wrong[1]}")
        inside = are_in(variant, rows, wanted)
        if not inside.all():
            raise ValueError(f"row {first + int(np.argmin(inside))} of {what} is no {split.part} task of {variant}")
        first += len(rows)
