"""The task set: every task of a family in one split, in a fixed order."""

from __future__ import annotations

import hashlib
import json
import numbers
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from metarl_envs.arguments import as_integer, as_seed, at_least_one
from metarl_envs.engine.composing import family_at, spec_of
from metarl_envs.engine.family import Family, Variant
from metarl_envs.engine.splits import Split
from metarl_envs.engine.worlds import task_rows
from metarl_envs.ids import family_of
from metarl_envs.task_sets import files, parts
from metarl_envs.task_sets.listed import Listed, Sorted, check

#: How many tasks stand for an endless set in its fingerprint.
_STANDING_IN = 64
#: Trials, and with them the tasks of an endless set, are counted in 63 bits.
_INDICES = 2**63
#: What `split` is where nobody says another: what a tool works on by itself (see `tasks_of`).
DEFAULT_SPLIT = "default"


def tasks(id: str, *, split: str | None = None, seed: int = 0, **params: Any) -> TaskSet:
    """Return the tasks of an id: `metarl_envs.tasks("MetaRL/DarkRoom-v0", split="test")`.

    Args:
        id: a registered id, with or without `metarl_envs:`, `MetaRL/` and `-v0`.
        split: None or `"all"` for all tasks; a part of them, `"train"`, `"validation"` or `"test"`; one of the family's named
            shifts; or a part of a shift, such as `"test+close_arms"`.
        seed: which endless list, for families with no finite one.
        params: the family's parameters.

    Raises:
        ValueError: no such id or split, a parameter out of range, or a split without tasks.
        TypeError: no such parameter, or one of the wrong type.
    """
    return TaskSet.of_family(family_at(family_of(id)), split=split, seed=seed, **params)


def tasks_of(
    family: type[Family], part: str | None, split: str | None, given: int | TaskSet | None, params: Mapping[str, Any]
) -> TaskSet:
    """Return the tasks that a tool is to work on.

    Args:
        family: whose tasks they are.
        part: the part that is taken where nobody says which split; of a family whose tasks are not split, all. None: all.
        split: as in `tasks`, or `DEFAULT_SPLIT`.
        given: a finite set of tasks, which brings its own split and parameters; how many of the split, the first ones; or None
            for all of it.
        params: the family's parameters.

    Raises:
        TypeError: `given` is none of these; no such parameter, or one of the wrong type.
        ValueError: no such split, or one without tasks, or with fewer; a parameter out of range; `given` is endless, of another
            family, or comes with a split or parameters.
    """
    if isinstance(given, TaskSet):
        if split not in (None, DEFAULT_SPLIT) or params:
            raise ValueError(f"tasks has its own split and parameters: leave out {next(iter(params), 'split')}")
        if given.variant.family is not family or not given.is_finite:
            raise ValueError(f"tasks={given!r} must be a finite set of tasks of {family.__name__}, such as tasks[:100]")
        return given
    tasks = TaskSet.of_family(family, split=None if split == DEFAULT_SPLIT else split, **params)
    if split == DEFAULT_SPLIT and part in tasks.parts:
        tasks = TaskSet.of_family(family, split=part, **params)
    if given is None:
        return tasks
    if tasks.is_finite and at_least_one("tasks", given) > len(tasks):
        raise ValueError(f"tasks={given}: there are no more than {len(tasks)} in {tasks!r}")
    return tasks[: at_least_one("tasks", given)]


def load(path: str | os.PathLike, *, mmap: bool = False) -> TaskSet:
    """Return the task set in the files that `TaskSet.save` wrote.

    The files can run no code. The family that they name must have an id, or its module must be imported already; each row must
    be a task of it, and belong to the split.

    Args:
        path: one of the two files, or their common stem.
        mmap: True leaves the rows in the file, and takes memory for those alone that are asked for. Others must not write to
            the file then (saving to the same path again is no harm: it makes a new file). Rows that are taken are copied and
            checked again, so that what was changed meanwhile is either a task of the family or a ValueError; but it need not be
            of the split, nor what the fingerprint was computed of. A file that is cut short ends the process.

    Raises:
        FileNotFoundError: one of the two files is not there.
        ValueError: the files are not a task set, or not what they were when they were written; the message names the file.
    """
    if not isinstance(mmap, bool):
        raise TypeError(f"mmap={mmap!r} must be True or False")
    stored = files.read(path, mmap)
    loaded = TaskSet(stored.variant, stored.split, stored.seed, stored.listed)
    if loaded.fingerprint != stored.fingerprint:
        raise ValueError(
            f"{files.files_of(path)[0]} has been changed since it was written: its fingerprint is {loaded.fingerprint}, "
            f"not {stored.fingerprint}"
        )
    return loaded


class TaskSet:
    """The tasks of a family in one split, in a fixed order: finite, or endless for families with no finite list.

    Task number i of an endless set is the one that an environment of the same split, seeded `seed`, draws in its trial i.
    Whether a task is a train, a validation or a test task follows from what it means alone, so no seed can leak one into the
    other, and a shift moves none. (But for tasks in every part: see `metarl_envs.engine.splits`.)

    Attributes:
        variant: the family with its parameters set (by the split's shifts too).
        split: None, `"train"`, `"validation"`, `"test"`, the name of a shift, or a part and a shift (`"test+noisy"`).
        dtype: of a task row.
    """

    def __init__(self, variant: Variant, split: Split, seed: int, listed: Listed | None):
        self._split, self._listed = split, listed
        self.variant, self.split, self.seed = variant, split.name, as_seed(seed)

    @classmethod
    def of_family(cls, family: type[Family], *, split: str | None = None, seed: int = 0, **params: Any) -> TaskSet:
        """Return all tasks of a family's split. See `metarl_envs.tasks`, which takes an id."""
        variant, found = family.shifted(split, params)
        wanted = parts.drawn_from(variant, found)
        listed = family.all_tasks(variant.p, variant.task)
        if listed is not None:
            listed = listed[parts.are_in(variant, listed, wanted)]
        if found.part and not (parts.parts_drawn(variant, wanted) if listed is None else len(listed)):
            raise ValueError(f"split={found.name!r} of {variant} has no tasks: none of the shift's is a {found.part} task")
        whole = cls(variant, found, seed, None if listed is None else Sorted(variant, listed))
        pool = family.pool(variant.p) if found.part == "train" else None
        return whole if pool is None else whole._pool(*pool)

    @classmethod
    def of_rows(cls, family: type[Family] | Variant, rows: np.ndarray, *, split: str | None = None) -> TaskSet:
        """Return a finite set of given tasks, in the order given.

        >>> room = metarl_envs.tasks("DarkRoom")
        >>> corners = TaskSet.of_rows(room.variant, np.array([((0, 0),), ((8, 8),)], room.dtype))

        Args:
            family: whose tasks they are: a variant, such as another set's, or a family at its default parameters.
            rows: the tasks, of shape (count,), with the fields of a task row; they are copied.
            split: what the set is said to be, and each row must belong to.

        Raises:
            TypeError: `family` is neither, or `rows` are no task rows by their dtype.
            ValueError: they have another shape; one of them is no task of the family, or not of the split's part; there is no
                such split, or the variant has other parameters than its shifts.
        """
        if isinstance(family, type) and issubclass(family, Family):
            variant, found = family.shifted(split, {})
        elif isinstance(family, Variant):
            variant, found = family, family.split(split)
        else:
            raise TypeError(f"family={family!r} must be a family or a variant of one, such as tasks(id).variant")
        if not isinstance(rows, np.ndarray) or not task_rows.same_fields(rows.dtype, variant.task):
            kind = f"of dtype {rows.dtype}" if isinstance(rows, np.ndarray) else f"{type(rows).__name__}"
            raise TypeError(f"rows={kind} must be an array of task rows of {variant}, of dtype {variant.task}")
        if rows.ndim != 1:
            raise ValueError(f"rows has shape {rows.shape}; it must have one axis, of tasks")
        listed = Listed(variant, task_rows.padded(rows, variant.task))
        check(listed, found, "rows")
        return cls(variant, found, 0, listed)

    @property
    def drawn_from(self) -> int:
        """The parts that tasks are drawn from, as the drivers are told them (see `metarl_envs.engine.splits`)."""
        return parts.drawn_from(self.variant, self._split)

    @property
    def dtype(self) -> np.dtype:
        """The dtype of a task row."""
        return self.variant.task

    @property
    def is_finite(self) -> bool:
        """Whether the set has a length."""
        return self._listed is not None

    @property
    def is_given(self) -> bool:
        """Whether it is a list of rows (given, cut out, loaded), not all tasks of the split. Environments live on it alone."""
        return self._listed is not None and not isinstance(self._listed, Sorted)

    @property
    def parts(self) -> tuple[str, ...]:
        """The parts that the family's tasks are dealt into: `("train", "validation", "test")`.

        A family of fewer than 25 tasks has no validation tasks; one of fewer than 5, or whose tasks are all in every part, has
        no parts at all: `()`. Shifts do not change them.
        """
        return parts.parts_of(self.variant, self._split)

    def __len__(self) -> int:
        if self._listed is None:
            raise TypeError(f"{self!r} is endless: it has no length (is_finite tells)")
        return len(self._listed)

    def __getitem__(self, index: int | slice) -> Any:
        """Task number `index` as a row (`numpy.void`), or the tasks of a slice as a finite TaskSet."""
        if isinstance(index, slice):
            return TaskSet(self.variant, self._split, self.seed, self._slice(index))
        if isinstance(index, bool) or not isinstance(index, numbers.Integral):
            raise TypeError(f"task index {index!r} must be an integer or a slice")
        if self._listed is not None:
            if not -len(self) <= index < len(self):
                raise IndexError(f"task index {index} is outside of {self!r}")
            return self._listed.take([int(index)])[0]
        if index < 0:
            raise IndexError(f"task index {index} counts from the end, and {self!r} is endless")
        if index >= _INDICES:
            raise IndexError(f"task index {index} must be below 2**63")
        return task_rows.draw(self.variant, self.drawn_from, self.seed, int(index), 1)[0]

    def __iter__(self) -> Iterator[np.void]:
        i = 0
        while not self.is_finite or i < len(self):
            yield self[i]
            i += 1

    def rows(self, count: int) -> np.ndarray:
        """Return the first `count` tasks as rows, of shape (count,) and `dtype`.

        Raises:
            TypeError: `count` is no integer.
            ValueError: it is negative, or there are fewer.
        """
        count = as_integer("count", count)
        if self._listed is None:
            return task_rows.draw(self.variant, self.drawn_from, self.seed, 0, count)
        if count > len(self._listed):
            raise ValueError(f"{count} tasks were asked for; {self!r} has {len(self._listed)}")
        return self._listed.take(slice(count))

    def sample(self, count: int, seed: int = 0) -> np.ndarray:
        """Return `count` tasks drawn independently (from a finite set with replacement), as rows. Equal seeds draw equal tasks.

        Raises:
            TypeError: `count` or `seed` is no integer.
            ValueError: one of them is negative, or there is no task to draw.
        """
        count, seed = as_integer("count", count), as_seed(seed)
        if self._listed is None:
            return task_rows.draw(self.variant, self.drawn_from, seed, 0, count)
        if count and not len(self._listed):
            raise ValueError(f"count={count!r}: {self!r} has no task to draw")
        drawn = np.random.default_rng(seed).integers(0, len(self._listed) or 1, count)
        return self._listed.take(drawn)

    def row(self, task: Any) -> np.ndarray:
        """One task as an array of one row, from an index, a row, or a mapping of the row's fields.

        Raises:
            TypeError, ValueError: it is none of these, has other fields, or is no task of the family.
        """
        if isinstance(task, numbers.Integral) and not isinstance(task, bool):
            return np.array(self[int(task)]).reshape(1)
        if isinstance(task, Mapping):
            row = self._from_fields(task)
        elif isinstance(task, np.void | np.ndarray) and task.size == 1 and task_rows.same_fields(task.dtype, self.dtype):
            row = task_rows.padded(np.array(task).reshape(1), self.dtype)
        else:
            kind = f"{type(task).__name__} of dtype {task.dtype}" if hasattr(task, "dtype") else repr(task)
            raise TypeError(f"task={kind} is no task of {self.variant}: give an index or one row of {self.dtype}")
        if wrong := task_rows.first_wrong(self.variant, row):
            raise ValueError(f"task is no task of {self.variant}: {wrong[1]}")
        return row

    def ids(self) -> np.ndarray:
        """Return the hash of each task of a finite set, uint64: equal tasks have equal hashes, whatever drew them."""
        len(self)  # an endless set has none
        return np.concatenate([np.empty(0, np.uint64), *self._ids()])

    @property
    def fingerprint(self) -> str:
        """32 hex digits that go into result files: family, parameters, split, and what the tasks mean."""
        about = [spec_of(self.variant.family), self.variant.values, self.split, self.seed if not self.is_finite else None]
        digest = hashlib.sha256(json.dumps(about).encode())
        for ids in self._ids():
            digest.update(ids.tobytes())
        return digest.hexdigest()[:32]

    def save(self, path: str | os.PathLike) -> list[Path]:
        """Write a finite set as `path.npy` and `path.json`, aside and then renamed; return these paths. `load` reads them."""
        if self._listed is None:
            raise TypeError(f"{self!r} is endless: save a slice of it, such as tasks[:1000]")
        said = {
            "family": files.named_in_files(self.variant),
            "params": self.variant.values,
            "split": self.split,
            "seed": self.seed,
            "fingerprint": self.fingerprint,
        }
        return files.write(path, self._listed, said)

    def _ids(self) -> Iterator[np.ndarray]:
        """What the tasks mean, as uint64, in blocks; of an endless set, those that stand for it in its fingerprint."""
        blocks = [self.rows(_STANDING_IN)] if self._listed is None else self._listed.blocks()
        return (task_rows.task_hashes(self.variant, rows)[0] for rows in blocks)

    def _pool(self, count: int, seed: int) -> TaskSet:
        """So many different tasks of the set, as a list; ValueError where it has fewer, as far as many draws tell."""
        found, ids = np.zeros(0, self.dtype), np.zeros(0, np.uint64)
        for drawn in (count, 2 * count + 200, 16 * count + 1000):
            rows = task_rows.draw(self.variant, self.drawn_from, seed, 0, drawn)
            ids, first = np.unique(task_rows.task_hashes(self.variant, rows)[0], return_index=True)
            found = rows[np.sort(first)[:count]]
            if len(found) == count:
                return TaskSet(self.variant, self._split, seed, Listed(self.variant, task_rows.padded(found, self.dtype)))
        raise ValueError(f"{self!r} has no {count} different tasks for a pool: {drawn} draws gave {len(ids)}")

    def _slice(self, index: slice) -> Listed:
        if self._listed is not None:
            return self._listed.cut(index)
        start, stop, step = index.start or 0, index.stop, index.step or 1
        if stop is None or start < 0 or stop < 0 or step < 1:
            raise IndexError(f"{self!r} is endless: a slice of it needs an end, and counts from the front")
        if stop > _INDICES:
            raise IndexError(f"task index {stop} must be below 2**63")
        drawn = task_rows.draw(self.variant, self.drawn_from, self.seed, start, max(0, stop - start))
        return Listed(self.variant, task_rows.padded(drawn[::step], self.dtype))

    def _from_fields(self, fields: Mapping[str, Any]) -> np.ndarray:
        row = np.zeros(1, self.dtype)
        self._fill(row, fields, "task")
        return row

    def _fill(self, row: np.ndarray, fields: Mapping[str, Any], what: str) -> None:
        """Write fields into a row; those that are rows themselves may be mappings too, as `info` tells them."""
        names = row.dtype.names or ()
        if set(fields) != set(names):
            raise ValueError(f"{what} has fields {sorted(fields)}; in a task of {self.variant} it has {sorted(names)}")
        for name, value in fields.items():
            if isinstance(value, Mapping) and row.dtype[name].names:
                self._fill(row[name], value, f"{what}[{name!r}]")
            else:
                row[name] = _exactly(value, row.dtype[name], f"{what}[{name!r}]")

    def __deepcopy__(self, memo: dict) -> TaskSet:
        """A set does not change: copies of an environment share it."""
        return self

    def __repr__(self) -> str:
        length = f"{len(self)} tasks" if self.is_finite else f"endless, seed {self.seed}"
        return f"TaskSet({self.variant}, split={self.split!r}, {length})"


def _exactly(value: Any, dtype: np.dtype, what: str) -> np.ndarray:
    """Return a value as a field holds it.

    Raises:
        TypeError: it is no number (or no such record).
        ValueError: it has another shape, or the field cannot hold it: 300 in an int8, 1.7 in an int16, 1e300 in a float32.
    """
    try:
        given = np.asarray(value)
    except ValueError as error:  # lists of different lengths
        raise ValueError(f"{what}={value!r} is no array: {error}") from None
    if given.shape != dtype.shape:
        raise ValueError(f"{what} has shape {given.shape}; it must have {dtype.shape}")
    if dtype.base.names is not None:
        if not task_rows.same_fields(given.dtype, dtype.base):
            raise TypeError(f"{what} has dtype {given.dtype}; it must have {dtype.base}")
        return given
    if given.dtype == object and all(isinstance(number, int) for number in given.ravel()):
        raise ValueError(f"{what}={value!r} does not fit into {dtype.base}")
    if given.dtype.kind not in "biuf":
        raise TypeError(f"{what}={value!r} must hold numbers of {dtype.base}")
    with np.errstate(all="ignore"):
        held = given.astype(dtype.base)
    rounds = held.dtype.kind == given.dtype.kind == "f"
    fits = np.isfinite(held) | ~np.isfinite(given) if rounds else held == given
    if not fits.all():
        raise ValueError(f"{what}={value!r} does not fit into {dtype.base}")
    return held
