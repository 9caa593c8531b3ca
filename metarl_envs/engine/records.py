"""Rows: what a world, a task or a learner is at one instant, as one record of a NumPy structured array."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from metarl_envs.engine.compiling.kernels import PLAIN


def record(**fields: Any) -> np.dtype:
    """Return the dtype of a row: `name=dtype` or `name=(dtype, shape)`, aligned, its size a whole number of 8-byte words.

    Whole words let a row's content be hashed fast. An empty record holds one unused byte, since NumPy and Numba both
    stumble over rows of size zero.

    >>> record(goal=(np.int16, 2), door=np.uint8).itemsize
    8
    """
    fields = fields or {"unused": np.uint8}
    aligned = np.dtype([_field(name, spec) for name, spec in fields.items()], align=True)
    names: list[str] = list(fields)
    placed: Any = aligned.fields
    return np.dtype(
        {
            "names": names,
            "formats": [placed[name][0] for name in names],
            "offsets": [placed[name][1] for name in names],
            "itemsize": -(-aligned.itemsize // 8) * 8,
        },
        align=True,
    )


def extended(row: np.dtype, **fields: Any) -> np.dtype:
    """Return the dtype of a row with more fields behind those that it has (see `record`).

    >>> extended(record(x=np.int64), y=np.int64).names
    ('x', 'y')
    """
    return record(**{name: row[name] for name in row.names or ()}, **fields)


def _field(name: str, spec: Any) -> tuple:
    """A field as NumPy declares it. A length of 1 is given as (1,): before NumPy 2, a plain 1 means no axis."""
    if not isinstance(spec, tuple):
        return name, spec
    dtype, shape = spec
    return name, dtype, shape if isinstance(shape, tuple) else (int(shape),)


def rows(count: int, dtype: np.dtype, what: str = "rows") -> np.ndarray:
    """`count` zeroed rows, in the form that drivers take; MemoryError, with the size, where they would not fit."""
    check_memory(count, dtype.itemsize, what)
    return for_drivers(np.zeros(count, dtype))


def check_memory(count: int, size: int, what: str) -> None:
    """MemoryError, with the size, where `count` things of `size` bytes would not fit into memory."""
    need, have = count * size, _available_memory()
    if need > have:
        raise MemoryError(
            f"{count:,} {what} of {size:,} bytes need {need / 2**30:,.1f} GiB of memory, and {have / 2**30:,.1f} GiB are "
            "available: ask for fewer (rows of an environment can share tasks, with num_tasks=...)"
        )


def words(array: np.ndarray) -> np.ndarray:
    """Return the same memory as 64-bit words, of shape (rows, words a row)."""
    plain = array.view(np.ndarray)
    return for_drivers(plain.view(np.uint64).reshape(len(plain), plain.dtype.itemsize // 8))


def _available_memory() -> float:
    """Bytes that can still be had, as far as the system tells."""
    try:
        with open("/proc/meminfo") as file:
            return 1024 * next(int(line.split()[1]) for line in file if line.startswith("MemAvailable"))
    except (OSError, StopIteration):
        return math.inf


def for_drivers(array: np.ndarray) -> np.ndarray:
    """Return the array as drivers take it: itself where they are compiled; in plain mode a view that gives Python numbers."""
    if not PLAIN:
        return array
    return array.view(Rows if array.dtype.names else Cells)


class Row:
    """Attribute access to one row, as compiled kernels have it: `state.agent[0]`, `params.size`.

    It gives Python numbers, because NumPy's own would wrap where compiled code widens (uint8 `0 - 1` is 255), and it is
    no `np.recarray`, because there `params.size` is NumPy's attribute of that name.
    """

    __slots__ = ("_row",)

    def __init__(self, row: np.void | np.ndarray):
        object.__setattr__(self, "_row", row)

    def __getattr__(self, name: str) -> Any:
        try:
            return _as_python(self._row[name])
        except ValueError:
            raise AttributeError(f"no field {name!r}; the row has {self._row.dtype.names}") from None

    def __setattr__(self, name: str, value: Any) -> None:
        self._row[name] = value

    __getitem__, __setitem__ = __getattr__, __setattr__  # `state["room"]`, as kernels write it where the name is a constant

    def content(self) -> bytes:
        """Return the fields as bytes, without what lies between them: equal rows have equal content."""
        return b"".join(np.asarray(self._row[name]).tobytes() for name in self._row.dtype.names or ())

    def __repr__(self) -> str:
        return f"Row({', '.join(f'{name}={self._row[name]}' for name in self._row.dtype.names or ())})"


def fields_of(row: Row) -> dict[str, Any]:
    """Return the fields of a row by name, as Python's numbers and lists; a method would hide a field of its name."""
    return {name: np.asarray(row._row[name]).tolist() for name in row._row.dtype.names or ()}


def array_of(row: Row) -> np.ndarray:
    """Return a row as an array without dimensions."""
    return np.asarray(row._row).reshape(())


class Cells(np.ndarray):
    """An array whose single elements come out as Python numbers."""

    def __getitem__(self, index: Any) -> Any:
        value = super().__getitem__(index)
        return value.item() if isinstance(value, np.generic) else value


class Rows(np.ndarray):
    """A structured array whose single elements come out as `Row`."""

    def __getitem__(self, index: Any) -> Any:
        value = super().__getitem__(index)
        return Row(value) if isinstance(value, np.void) else value

    def __setitem__(self, index: Any, value: Any) -> None:
        super().__setitem__(index, value._row if isinstance(value, Row) else value)


def _as_python(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        if value.ndim:
            return value.view(Rows if value.dtype.names else Cells)
        value = value[()]  # a field of a row that came as an array without dimensions
    return Row(value) if isinstance(value, np.void) else value.item()
