"""The parts of a family's tasks: which there are, which a split draws from, and which a task is in."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Iterator

import numpy as np

from metarl_envs.engine.family import Variant
from metarl_envs.engine.splits import (
    ALL,
    EVERY_PART,
    FEWEST_TO_SPLIT,
    FEWEST_TO_VALIDATE,
    PARTS,
    TEST,
    TRAIN,
    VALIDATION,
    Split,
)
from metarl_envs.engine.worlds import task_rows

#: How many tasks of an endless family are tried before a part is taken to be empty.
_TRIED = 1000


def parts_of(variant: Variant, split: Split) -> tuple[str, ...]:
    """Return the names of the parts that the family's tasks are dealt into. The shifts of the split change none."""
    family = variant.family
    return _parts_of(family.with_params(**family.unshifted(split.name, variant.values)))


def drawn_from(variant: Variant, split: Split) -> int:
    """Return the parts that the split's tasks are in, as the drivers are told them (see `metarl_envs.engine.splits`).

    Raises:
        ValueError: the family has no such part.
    """
    if split.part is None:
        return ALL
    parts = parts_of(variant, split)
    if split.part not in parts:
        why = "the family has no parts, since its tasks are too few, or too likely each, to be split (split='all' has them)"
        if parts:
            why = f"below {FEWEST_TO_VALIDATE} tasks none are kept for validation (they are train tasks)"
        raise ValueError(f"split={split.name!r} of {variant} has no tasks: {why}")
    return PARTS[split.part] | (VALIDATION if split.part == "train" and "validation" not in parts else 0)


def are_in(variant: Variant, tasks: np.ndarray, wanted: int) -> np.ndarray:
    """Return whether each task row is in one of the wanted parts, as bool [task]."""
    return np.ones(len(tasks), np.bool_) if wanted == ALL else task_rows.task_hashes(variant, tasks)[1] & wanted != 0


@functools.lru_cache(maxsize=256)
def parts_drawn(variant: Variant, wanted: int) -> int:
    """Return those of the wanted parts that turn up in draws of an endless family."""
    found = 0
    for tasks in _looked_at(variant, None):
        found |= _parts_in(variant, tasks) & wanted
        if found == wanted:
            break
    return found


@functools.lru_cache(maxsize=256)
def _parts_of(variant: Variant) -> tuple[str, ...]:
    """The names of the parts that have tasks; none where there are not both train and test tasks."""
    listed = variant.family.all_tasks(variant.p, variant.task)
    if listed is not None and len(listed) < FEWEST_TO_SPLIT:
        return ()
    if not any((task_rows.task_hashes(variant, tasks)[1] != EVERY_PART).any() for tasks in _looked_at(variant, listed)):
        return ()  # all tasks are in every part
    found = parts_drawn(variant, EVERY_PART) if listed is None else _parts_in(variant, listed)
    if listed is not None and len(listed) < FEWEST_TO_VALIDATE and found & VALIDATION:
        found = found & ~VALIDATION | TRAIN
    both = found & TRAIN and found & TEST
    return tuple(name for name, bit in PARTS.items() if found & bit) if both else ()


def _looked_at(variant: Variant, listed: np.ndarray | None) -> Iterator[np.ndarray]:
    """All tasks of a finite family; of an endless one the first, a few and then more, for tasks can be large."""
    if listed is not None:
        yield listed
        return
    for first, end in itertools.pairwise((0, 8, 16, 32, 64, _TRIED)):
        yield task_rows.draw(variant, ALL, 0, first, end - first)


def _parts_in(variant: Variant, tasks: np.ndarray) -> int:
    """The parts in which any of the tasks is."""
    return int(np.bitwise_or.reduce(task_rows.task_hashes(variant, tasks)[1], initial=0))
