"""The task set: every task of a family in one split, in a fixed order."""

from __future__ import annotations

import functools
import hashlib
import itertools
import json
import numbers
import os
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from metarl_envs.engine import taskrows
from metarl_envs.engine.arguments import as_integer, as_seed
from metarl_envs.engine.family import Family, Variant, load_family
from metarl_envs.engine.records import Row
from metarl_envs.engine.splits import ALL, EVERY_PART, FEWEST_TO_SPLIT, FEWEST_TO_VALIDATE, PARTS, Split
from metarl_envs.registration import family_of, registered_families

#: How many tasks are tried before a split is taken to be empty, and how many stand for an endless set in its fingerprint.
_TRIED, _STANDING_IN = 1000, 64
_FORMAT = "metarl_envs task set 1"
#: Trials, and with them the tasks of an endless set, are counted in 63 bits.
_INDICES = 2**63


def tasks(id: str, *, split: str | None = None, seed: int = 0, **params: Any) -> TaskSet:
    """The tasks of an id: `metarl_envs.tasks("MetaRL/DarkRoom-v0", split="test")`.

    Args:
        id: a registered id, with or without `metarl_envs:`, `MetaRL/` and `-v0`.
        split: None for all tasks; a part of them, `"train"`, `"validation"` or `"test"`; one of the family's named shifts; or a
            part of a shift, such as `"test+close_arms"`.
        seed: which endless list, for families with no finite one.
        params: the family's parameters.

    Raises:
        ValueError: no such id or split, a parameter out of range, or a split without tasks.
        TypeError: no such parameter, or one of the wrong type.
    """
    return TaskSet.of_family(load_family(family_of(id)), split=split, seed=seed, **params)


def load(path: str | os.PathLike) -> TaskSet:
    """A task set from the files that `TaskSet.save` wrote.

    The files can run no code. The family that they name must have an id, or its module must be imported already; each row must
    be a task of it, and belong to the split.

    Raises:
        FileNotFoundError: one of the two files is not there.
        ValueError: the files are not a task set, or not what they were when they were written; the message names the file.
    """
    npy, about = _files(path)
    header = _header(about)
    try:
        family = _known_family(header["family"])
        variant = family.at(**header["params"])
        split, seed = header["split"], as_seed(header["seed"])
        Split.read(split, variant.name, family.shifts)
    except (ValueError, TypeError) as error:
        raise ValueError(f"{about} is no task set that can be read here: {error}") from None
    rows = _stored_rows(npy, variant)
    loaded = TaskSet(variant, split, seed, rows)
    loaded._see_that_all_are_tasks(npy)
    if loaded.fingerprint != header["fingerprint"]:
        raise ValueError(
            f"{npy} has been changed since it was written: its fingerprint is {loaded.fingerprint}, not {header['fingerprint']}"
        )
    return loaded


def _header(about: Path) -> dict[str, Any]:
    """Return what the JSON file says; ValueError where it lacks something, or has it in another type."""
    try:
        header = json.loads(about.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{about} is no task set: {error}") from None
    if not isinstance(header, dict) or header.get("format") != _FORMAT:
        raise ValueError(f"{about} is no task set that this version reads: it must say format {_FORMAT!r}")
    types: dict[str, Any] = {"family": str, "params": dict, "split": str | None, "seed": int, "fingerprint": str}
    if missing := sorted(set(types) - set(header)):
        raise ValueError(f"{about} is no task set: it lacks {missing}")
    for name, type in types.items():
        if not isinstance(header[name], type) or isinstance(header[name], bool):
            raise ValueError(f"{about} is no task set: its {name}={header[name]!r} is of the wrong type")
    return header


def _stored_rows(npy: Path, variant: Variant) -> np.ndarray:
    """Return the task rows in a file. What its header says is compared with its size before there is memory for it."""
    with open(npy, "rb") as file:
        try:
            version = np.lib.format.read_magic(file)
            read = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}[version]
            shape, _, dtype = read(file)
        except Exception as error:  # NumPy's parser raises whatever Python's own raises on the text in the file
            raise ValueError(f"{npy} is no array of tasks: {type(error).__name__}: {error}") from None
        if not _same_fields(dtype, variant.task):
            raise ValueError(f"{npy} holds rows of {dtype}; {variant} has tasks of {variant.task}")
        size = os.fstat(file.fileno()).st_size - file.tell()
        if len(shape) != 1 or shape[0] * dtype.itemsize != size:
            raise ValueError(
                f"{npy} is cut off or damaged: it says that it holds an array of shape {shape}, and has {size} bytes"
            )
        return taskrows.padded(np.fromfile(file, dtype), variant.task)


class TaskSet:
    """The tasks of a family in one split, in a fixed order: finite, or endless for families with no finite list.

    Task number i of an endless set is the one that an environment of the same split, seeded `seed`, draws in its trial i.
    Whether a task is a train, a validation or a test task follows from what it means alone, so no seed can leak one into the
    other, and a shift moves none.

    Attributes:
        variant: the family with its parameters set (by the split's shifts too).
        split: None, `"train"`, `"validation"`, `"test"`, the name of a shift, or a part and a shift (`"test+noisy"`).
        dtype: of a task row.
    """

    def __init__(self, variant: Variant, split: str | None, seed: int, listed: np.ndarray | None):
        self._split = Split.read(split, variant.name, variant.family.shifts)
        self.variant, self.split, self.seed = variant, self._split.name, as_seed(seed)
        self._rows, self._shuffled = listed, True

    @classmethod
    def of_family(cls, family: type[Family], *, split: str | None = None, seed: int = 0, **params: Any) -> TaskSet:
        """All tasks of a family's split."""
        variant, _ = family.shifted(split, params)
        tasks = cls(variant, split, seed, family.all_tasks(variant.p, variant.task))
        tasks._shuffled = False
        tasks._keep_to_part()
        return tasks

    def _keep_to_part(self) -> None:
        """Leave the tasks of the split's part, if it names one; ValueError where there are none."""
        part = self._split.part
        if part is None:
            return
        if part not in self.parts:
            why = "the family has no parts, since its tasks are too few, or too likely each, to be split (split=None has all)"
            if self.parts:
                why = f"below {FEWEST_TO_VALIDATE} tasks none are kept for validation (they are train tasks)"
            raise ValueError(f"split={self.split!r} of {self.variant} has no tasks: {why}")
        if self._rows is None:
            found = _parts_drawn(self.variant, self.drawn_from)
        else:
            kept = (taskrows.meanings(self.variant, self._rows)[1] & self.drawn_from) != 0
            self._rows, found = self._rows[kept], kept.any()
        if not found:
            raise ValueError(f"split={self.split!r} of {self.variant} has no tasks: none of the shift's is a {part} task")

    @property
    def drawn_from(self) -> int:
        """The parts that tasks are drawn from, as the drivers are told them (see `metarl_envs.engine.splits`)."""
        part = self._split.part
        if part is None:
            return ALL
        return PARTS[part] | (PARTS["validation"] if part == "train" and "validation" not in self.parts else 0)

    @property
    def dtype(self) -> np.dtype:
        """The dtype of a task row."""
        return self.variant.task

    @property
    def is_finite(self) -> bool:
        """Whether the set has a length."""
        return self._rows is not None

    @property
    def _listed(self) -> np.ndarray | None:
        """The tasks of a finite set, in order of what they mean: ids are hashes, so the order is as good as shuffled.

        Ordered when it is first asked for: an environment that draws its own tasks never asks.
        """
        if self._rows is not None and not self._shuffled:
            ids = taskrows.meanings(self.variant, self._rows)[0]
            self._rows, self._shuffled = self._rows[np.argsort(ids, kind="stable")], True
        return self._rows

    @property
    def parts(self) -> tuple[str, ...]:
        """The parts that the family's tasks are dealt into: `("train", "validation", "test")`.

        A family of fewer than 25 tasks has no validation tasks; one of fewer than 5, or whose tasks are all in every part, has
        no parts at all: `()`. Shifts do not change them.
        """
        family = self.variant.family
        return _parts_of(family.at(**family.unshifted(self.split, self.variant.values)))

    def __len__(self) -> int:
        if self._rows is None:
            raise TypeError(f"{self!r} is endless: it has no length (is_finite tells)")
        return len(self._rows)

    def __getitem__(self, index: int | slice) -> Any:
        """Task number `index` as a row (`numpy.void`), or the tasks of a slice as a finite TaskSet."""
        if isinstance(index, slice):
            return TaskSet(self.variant, self.split, self.seed, self._slice(index))
        if isinstance(index, bool) or not isinstance(index, numbers.Integral):
            raise TypeError(f"task index {index!r} must be an integer or a slice")
        if self._listed is not None:
            return taskrows.padded(self._listed[index].reshape(1), self.dtype)[0]
        if index < 0:
            raise IndexError(f"task index {index} counts from the end, and {self!r} is endless")
        if index >= _INDICES:
            raise IndexError(f"task index {index} must be below 2**63")
        return taskrows.draw(self.variant, self.drawn_from, self.seed, int(index), 1)[0]

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
            return taskrows.draw(self.variant, self.drawn_from, self.seed, 0, count)
        if count > len(self._listed):
            raise ValueError(f"{count} tasks were asked for; {self!r} has {len(self._listed)}")
        return taskrows.padded(self._listed[:count], self.dtype)

    def sample(self, count: int, seed: int = 0) -> np.ndarray:
        """Return `count` tasks drawn independently (from a finite set with replacement), as rows. Equal seeds draw equal tasks.

        Raises:
            TypeError: `count` or `seed` is no integer.
            ValueError: one of them is negative, or there is no task to draw.
        """
        count, seed = as_integer("count", count), as_seed(seed)
        if self._listed is None:
            return taskrows.draw(self.variant, self.drawn_from, seed, 0, count)
        if count and not len(self._listed):
            raise ValueError(f"count={count!r}: {self!r} has no task to draw")
        drawn = np.random.default_rng(seed).integers(0, len(self._listed) or 1, count)
        return taskrows.padded(self._listed[drawn], self.dtype)

    def row(self, task: Any) -> np.ndarray:
        """One task as an array of one row, from an index, a row, or a mapping of the row's fields.

        Raises:
            TypeError, ValueError: it is none of these, has other fields, or is no task of the family.
        """
        if isinstance(task, numbers.Integral) and not isinstance(task, bool):
            return np.array(self[int(task)]).reshape(1)
        if isinstance(task, Mapping):
            row = self._from_fields(task)
        elif isinstance(task, np.void | np.ndarray) and task.size == 1 and _same_fields(task.dtype, self.dtype):
            row = taskrows.padded(np.array(task).reshape(1), self.dtype)
        else:
            kind = f"{type(task).__name__} of dtype {task.dtype}" if hasattr(task, "dtype") else repr(task)
            raise TypeError(f"task={kind} is no task of {self.variant}: give an index or one row of {self.dtype}")
        if problem := self.variant.family.task_error(self.variant.p, Row(row[0])):
            raise ValueError(f"task is no task of {self.variant}: {problem}")
        return row

    def ids(self) -> np.ndarray:
        """What each task of a finite set means, as uint64: equal tasks have equal ids, whatever drew them."""
        return taskrows.meanings(self.variant, self.rows(len(self)))[0]

    @property
    def fingerprint(self) -> str:
        """32 hex digits that go into result files: family, parameters, split, and what the tasks mean."""
        stands = self.rows(len(self) if self.is_finite else _STANDING_IN)
        ids = taskrows.meanings(self.variant, stands)[0]
        about = [self._family(), self.variant.values, self.split, self.seed if not self.is_finite else None]
        return hashlib.sha256(json.dumps(about).encode() + ids.tobytes()).hexdigest()[:32]

    def save(self, path: str | os.PathLike) -> None:
        """Write a finite set as `path.npy` and `path.json`, aside and then renamed."""
        if not self.is_finite:
            raise TypeError(f"{self!r} is endless: save a slice of it, such as tasks[:1000]")
        npy, about = _files(path)
        header = {
            "format": _FORMAT,
            "family": self._family(),
            "params": self.variant.values,
            "split": self.split,
            "seed": self.seed,
            "fingerprint": self.fingerprint,
        }
        aside = npy.with_suffix(".npy.part"), about.with_suffix(".json.part")
        try:
            with open(aside[0], "wb") as file:
                np.save(file, self.rows(len(self)), allow_pickle=False)
            aside[1].write_text(json.dumps(header, indent=2), encoding="utf-8")
            os.replace(aside[0], npy)
            os.replace(aside[1], about)
        finally:
            for left in aside:
                left.unlink(missing_ok=True)

    def _family(self) -> str:
        return f"{self.variant.family.__module__}:{self.variant.family.__qualname__}"

    def _slice(self, index: slice) -> np.ndarray:
        if self._listed is not None:
            return taskrows.padded(self._listed[index], self.dtype)
        start, stop, step = index.start or 0, index.stop, index.step or 1
        if stop is None or start < 0 or stop < 0 or step < 1:
            raise IndexError(f"{self!r} is endless: a slice of it needs an end, and counts from the front")
        if stop > _INDICES:
            raise IndexError(f"task index {stop} must be below 2**63")
        drawn = taskrows.draw(self.variant, self.drawn_from, self.seed, start, max(0, stop - start))
        return taskrows.padded(drawn[::step], self.dtype)

    def _from_fields(self, fields: Mapping[str, Any]) -> np.ndarray:
        if set(fields) != set(self.dtype.names or ()):
            raise ValueError(f"task has fields {sorted(fields)}; a task of {self.variant} has {sorted(self.dtype.names or ())}")
        row = np.zeros(1, self.dtype)
        for name, value in fields.items():
            row[name] = _exactly(value, self.dtype[name], f"task[{name!r}]")
        return row

    def _see_that_all_are_tasks(self, npy: Path) -> None:
        """Raise where a row out of a file is no task of the family, or belongs to another split."""
        rows = self.rows(len(self))
        for i, row in enumerate(rows):
            if problem := self.variant.family.task_error(self.variant.p, Row(row)):
                raise ValueError(f"row {i} of {npy} is no task of {self.variant}: {problem}")
        if self._split.part is not None and len(rows):
            wrong = np.flatnonzero(taskrows.meanings(self.variant, rows)[1] & self.drawn_from == 0)
            if len(wrong):
                raise ValueError(f"row {wrong[0]} of {npy} is no {self._split.part} task of {self.variant}")

    def __repr__(self) -> str:
        length = f"{len(self)} tasks" if self.is_finite else f"endless, seed {self.seed}"
        return f"TaskSet({self.variant}, split={self.split!r}, {length})"


@functools.lru_cache(maxsize=256)
def _parts_of(variant: Variant) -> tuple[str, ...]:
    """The names of the parts that have tasks; none where there are not both train and test tasks."""
    listed = variant.family.all_tasks(variant.p, variant.task)
    if listed is None:
        found = _parts_drawn(variant, EVERY_PART)
    elif len(listed) < FEWEST_TO_SPLIT:
        return ()
    else:
        found = _parts_in(variant, listed)
        if len(listed) < FEWEST_TO_VALIDATE and found & PARTS["validation"]:
            found = found & ~PARTS["validation"] | PARTS["train"]
    both = PARTS["train"] | PARTS["test"]
    return tuple(name for name, bit in PARTS.items() if found & bit) if found & both == both else ()


def _parts_in(variant: Variant, tasks: np.ndarray) -> int:
    """The parts in which any of the tasks is, but for those in every part."""
    parts = taskrows.meanings(variant, tasks)[1]
    return int(np.bitwise_or.reduce(parts[parts != EVERY_PART], initial=0))


@functools.lru_cache(maxsize=256)
def _parts_drawn(variant: Variant, wanted: int) -> int:
    """Those of the wanted parts that turn up in draws of an endless family; as a rule soon, and tasks can be large."""
    found = 0
    for first, end in itertools.pairwise((0, 8, 64, _TRIED)):
        found |= _parts_in(variant, taskrows.draw(variant, ALL, 0, first, end - first)) & wanted
        if found == wanted:
            break
    return found


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
        if not _same_fields(given.dtype, dtype.base):
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


def _known_family(path: str) -> type[Family]:
    """Return the family that a file names; nothing is imported that is neither in the table of ids nor imported already."""
    module, _, name = path.partition(":")
    if module not in sys.modules and path not in registered_families():
        raise ValueError(f"family={path!r} has no id: import {module} first, if you trust it")
    try:
        return load_family(f"{module}:{name}")
    except (ImportError, ValueError) as error:
        raise ValueError(f"family={path!r} is not a family: {error}") from None


def _files(path: str | os.PathLike) -> tuple[Path, Path]:
    stem = Path(path)
    stem = stem.with_suffix("") if stem.suffix in (".npy", ".json") else stem
    return stem.with_name(stem.name + ".npy"), stem.with_name(stem.name + ".json")


def _same_fields(a: np.dtype, b: np.dtype) -> bool:
    """Whether two row layouts have the same fields; NumPy drops padding when it stacks rows or stores them."""
    return a.names == b.names and all(a[name] == b[name] for name in a.names or ())
