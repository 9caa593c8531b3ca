"""Task sets of a million rows: checked, written, read, mapped, and taken from."""

from __future__ import annotations

import tempfile
from pathlib import Path

from timing import Case, Effort, Table, measure

from metarl_envs.task_sets import TaskSet, load, tasks

#: One of few bytes a row, and one whose rows follow from one another.
_IDS = ("DarkKeyToDoor", "LinearBandit")
_TAKEN = 10_000


def tables(effort: Effort) -> list[Table]:
    """One table."""
    count = 100_000 if effort.quick else 1_000_000
    with tempfile.TemporaryDirectory() as folder:
        cases = [case for id in _IDS for case in _cases(id, count, Path(folder, id))]
        rates = measure(cases, effort)
    rows = [[case.name, rate.best, rate.median] for case, rate in zip(cases, rates, strict=True)]
    note = (
        f"Sets of {count:,} train tasks. Each row that comes from outside is checked: that it is a task, that it is of the "
        "split, and in files that the set means what was saved. Rows that are taken are copied; mapped ones are checked again."
    )
    return [Table("Task sets, M tasks/s", ("what", "best", "median"), rows, note)]


def _cases(id: str, count: int, path: Path) -> list[Case]:
    whole = tasks(id, split="train")
    rows = whole.sample(count)
    made = TaskSet.of_rows(whole.variant, rows, split="train")
    made.save(path)
    mapped = load(path, mmap=True)
    return [
        Case(f"{id}: of_rows", lambda: TaskSet.of_rows(whole.variant, rows, split="train"), count),
        Case(f"{id}: save", lambda: made.save(path.with_name(f"{id} again")), count),
        Case(f"{id}: load", lambda: load(path), count),
        Case(f"{id}: load, mmap=True", lambda: load(path, mmap=True), count),
        Case(f"{id}: {_TAKEN:,} taken at random", lambda: made.sample(_TAKEN), _TAKEN),
        Case(f"{id}: the same, mapped", lambda: mapped.sample(_TAKEN), _TAKEN),
    ]
