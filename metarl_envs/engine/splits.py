"""Splits: which part of a family's tasks, and which shift of their distribution; written `"test"`, `"noisy"`, `"test+noisy"`.

Each task is dealt into one part by a hash of what it means, so that no seed can carry it into another. One task in five is a
test task, and of the others one in five is kept for validation. A task that holds much of the distribution by itself would take
its share along into one part: such tasks are left in all (see `in_every_part` of `Family`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from metarl_envs.engine.compiling.kernels import kernel, unsigned
from metarl_envs.engine.streams import mix

#: The parts as bits: drivers are told the sum of those that may be drawn from, and 0 for all tasks.
TRAIN, VALIDATION, TEST = 1, 2, 4
PARTS = {"train": TRAIN, "validation": VALIDATION, "test": TEST}
ALL, EVERY_PART = 0, sum(PARTS.values())
#: What all tasks are called where a name is given; None means the same.
ALL_TASKS = "all"
#: Families with fewer tasks have no parts; with fewer than the second number no validation: those tasks are train tasks.
FEWEST_TO_SPLIT, FEWEST_TO_VALIDATE = 5, 25
_ONE_IN = 5


@kernel
def part_of(meaning):
    """The part, as its bit, of a task whose meaning has this hash."""
    if meaning % unsigned(_ONE_IN) == unsigned(0):
        return TEST
    if mix(meaning ^ unsigned(0x5851F42D4C957F2D)) % unsigned(_ONE_IN) == unsigned(0):
        return VALIDATION
    return TRAIN


class Split(NamedTuple):
    """A split by its two halves: a part (None: all tasks), and shifts in the order in which the family has them."""

    part: str | None
    shifts: tuple[str, ...] = ()

    @property
    def name(self) -> str | None:
        """The one name that the split has in files and fingerprints; None for all tasks."""
        return "+".join(filter(None, [self.part, *self.shifts])) or None

    @classmethod
    def read(cls, split: Any, family: str, shifts: Mapping[str, Mapping[str, Any]]) -> Split:
        """Return the split of a name, such as `"test"` or `"test+noisy"`, for a family with these shifts; None is "all" too.

        Raises:
            ValueError: it is neither a part, nor a shift, nor both, the part first and each shift once; or two shifts set the
                same parameter.
        """
        if split is None or split == ALL_TASKS:
            return cls(None)
        pieces = split.split("+") if isinstance(split, str) else [""]
        part = pieces[0] if pieces[0] in PARTS else None
        names = pieces[part is not None :]
        if any(name not in shifts for name in names) or len(set(names)) < len(names):
            known = ", ".join(map(repr, [ALL_TASKS, *PARTS, *shifts]))
            both = f", and with a part before a shift, such as {'test+' + next(iter(shifts))!r}" if shifts else ""
            raise ValueError(f"split={split!r} is not a split of {family}; it has: {known}{both}")
        changed = [parameter for name in names for parameter in shifts[name]]
        if twice := sorted({parameter for parameter in changed if changed.count(parameter) > 1}):
            raise ValueError(f"split={split!r}: both shifts set {twice[0]}, so they cannot be combined")
        return cls(part, tuple(name for name in shifts if name in names))
