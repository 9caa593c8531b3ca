"""Reading what a stranger may have written: whatever is wrong with it becomes one error, which names the file."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from metarl_envs.engine.records import record
from metarl_envs.histories.layout import DTYPES, Form, check_columns


class StoreError(ValueError):
    """A folder or a file holds no histories, or not whole or unchanged ones. The message names it, and says what to do."""


@contextlib.contextmanager
def refusing(source: str | os.PathLike, what: str = "histories") -> Iterator[None]:
    """Turn every error of the block into a `StoreError` that names the source.

    A damaged file makes the libraries that read it raise anything at all (`KeyError`, `OverflowError`, `RecursionError`,
    their own classes, `MemoryError` for a size that it only declares), so nothing is left out. The first error is kept as the
    cause.
    """
    try:
        yield
    except StoreError:
        raise
    except Exception as error:
        why = str(error) if type(error) in (TypeError, ValueError) else f"{type(error).__name__}: {error}"
        raise StoreError(f"{source} is damaged, or holds no {what} ({why}): copy or collect it again") from error


def read_json(path: Path) -> dict[str, Any]:
    """Return the object that a JSON file holds; StoreError where it holds none."""
    with refusing(path, "JSON"):
        try:
            told = json.loads(path.read_bytes())
        except FileNotFoundError:
            raise StoreError(f"{path} is missing, so {path.parent} is no (whole) store of histories") from None
        if not isinstance(told, dict):
            raise ValueError(f"it holds a {type(told).__name__} where an object should be")
    return told


def forms_in(told: Any) -> dict[str, Form]:
    """Return the columns that a file says it has, as `{name: {"dtype": "<f4", "shape": [2]}}`.

    Of observations that are rows it says `{"row": {field: {"dtype": "<f4", "shape": [2]}, ...}, "shape": []}`.

    Raises:
        ValueError: it says something else, or has columns that no history can have.
    """
    if not isinstance(told, dict):
        raise ValueError(f"columns are {told!r}")
    forms = {name: form_in(name, form) for name, form in told.items()}
    check_columns(forms)
    return forms


def form_in(name: str, told: Any) -> Form:
    """Return the form of one column, as `forms_in` does for all of them."""
    if isinstance(told, dict) and set(told) == {"dtype", "shape"} and isinstance(told["shape"], list):
        known = {dtype.str: dtype for dtype in DTYPES}
        shape = tuple(told["shape"])
        if told["dtype"] in known and len(shape) < 32 and all(type(size) is int and size > 0 for size in shape):
            return known[told["dtype"]], shape
    if isinstance(told, dict) and set(told) == {"row", "shape"} and isinstance(told["row"], dict) and told["shape"] == []:
        return record(**{field: form_in(f"{name}.{field}", form) for field, form in told["row"].items()}), ()
    raise ValueError(f"column {name!r} is said to be {told!r}")


def told_forms(columns: Mapping[str, Form]) -> dict[str, Any]:
    """Return the dtypes and shapes of columns as `forms_in` reads them."""
    return {name: _told(np.dtype(dtype), shape) for name, (dtype, shape) in columns.items()}


def _told(dtype: np.dtype, shape: tuple[int, ...]) -> dict[str, Any]:
    if dtype.names is None:
        return {"dtype": dtype.str, "shape": list(shape)}
    return {"row": {field: _told(dtype[field].base, dtype[field].shape) for field in dtype.names}, "shape": list(shape)}
