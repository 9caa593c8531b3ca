"""Files of task sets: the rows as `.npy`, what they are as JSON. Files come from anywhere, and can run no code."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np

from metarl_envs.arguments import as_seed
from metarl_envs.engine.composing import Spec, family_at, paths_in, spec_of
from metarl_envs.engine.family import Family, Variant
from metarl_envs.engine.splits import Split
from metarl_envs.engine.worlds import task_rows
from metarl_envs.files import beside, read_said, see_that_it_is_no_folder, written_aside
from metarl_envs.ids import registered_families
from metarl_envs.task_sets.listed import Listed, Mapped, check
from metarl_envs.task_sets.parts import drawn_from

_FORMAT = "metarl_envs task set 1"
#: What the JSON file says.
_SAID: Mapping[str, Any] = {"family": str | dict, "params": dict, "split": str | None, "seed": int, "fingerprint": str}


class Stored(NamedTuple):
    """What two files hold: rows that are tasks of the variant and the split, and the fingerprint that was written."""

    variant: Variant
    split: Split
    seed: int
    listed: Listed
    fingerprint: str


def write(path: str | os.PathLike, listed: Listed, said: Mapping[str, Any]) -> list[Path]:
    """Write the rows as `path.npy` and what is said of them as `path.json`, aside and then renamed; return both paths."""
    see_that_it_is_no_folder(path)
    npy, about = files_of(path)
    with written_aside(npy, about) as [rows, header]:
        with open(rows, "wb") as file:
            _write_rows(file, listed)
        header.write_text(json.dumps({"format": _FORMAT, **said}, indent=2), encoding="utf-8")
    return [npy, about]


def read(path: str | os.PathLike, mmap: bool) -> Stored:
    """Return what the files hold, checked but for the fingerprint; the rows stay in the file with `mmap`.

    Raises:
        FileNotFoundError: one of the two files is not there.
        ValueError: the files are not a task set; the message names the file.
    """
    npy, about = files_of(path)
    header = read_said(about, "task set", _FORMAT, _SAID)
    try:
        variant = known_family(header["family"]).with_params(**header["params"])
        split, seed = variant.split(header["split"]), as_seed(header["seed"])
        drawn_from(variant, split)  # which refuses a part that the family has not
    except (ValueError, TypeError) as error:
        raise ValueError(f"{about} is no task set that can be read here: {error}") from None
    rows = _rows(npy, variant, mmap)
    check(Listed(variant, rows), split, str(npy))
    return Stored(variant, split, seed, Mapped(variant, rows, npy) if mmap else Listed(variant, rows), header["fingerprint"])


def files_of(path: str | os.PathLike) -> tuple[Path, Path]:
    """Return the array's file and the JSON file of a set; `path` is one of them, or their common stem."""
    npy, about = beside(path, ".npy", ".json")
    return npy, about


# ------------------------------------------------------------------------------------------------- what is said
def known_family(spec: Spec) -> type[Family]:
    """Return the family that a file names; nothing is imported that is neither in the table of ids nor imported already."""
    known = {path for registered in registered_families() for path in paths_in(registered)}
    for path in paths_in(spec):
        module, _, name = path.partition(":")
        if not (module and name):
            raise ValueError(f'family={path!r} must be "module:Class"')
        if module not in sys.modules and path not in known:
            raise ValueError(f"family={path!r} has no id: import {module} first, if you trust it")
    try:
        return family_at(spec)
    except (ImportError, TypeError, ValueError) as error:
        raise ValueError(f"family={spec!r} is not a family: {error}") from None


def named_in_files(variant: Variant) -> Spec:
    """Return what a file names the family by; ValueError where it could not be found again by that."""
    spec = spec_of(variant.family)
    try:
        found = known_family(spec).with_params(**variant.values)
        if found.task != variant.task:
            raise ValueError("another family has this name by now, whose tasks have other fields")
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"{variant.name} cannot be written to a file, since it could not be found again as {spec!r}: {error}. Define it at "
            "the top of a module, and not within a function"
        ) from None
    return spec


# ------------------------------------------------------------------------------------------------- rows
def _write_rows(file: BinaryIO, listed: Listed) -> None:
    """Write what `np.save` would, a block at a time."""
    dtype = listed.variant.task
    said = {"descr": np.lib.format.dtype_to_descr(dtype), "fortran_order": False, "shape": (len(listed),)}
    np.lib.format.write_array_header_1_0(file, said)
    for rows in listed.blocks():
        file.write(rows.tobytes())


def _rows(npy: Path, variant: Variant, mmap: bool) -> np.ndarray:
    """The rows in a file. What its header says is compared with its size before there is memory for it."""
    with open(npy, "rb") as file:
        try:
            version = np.lib.format.read_magic(file)
            read = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}[version]
            shape, _, dtype = read(file)
        except Exception as error:  # NumPy's parser raises whatever Python's own raises on the text in the file
            raise ValueError(f"{npy} is no array of tasks: {type(error).__name__}: {error}") from None
        if not task_rows.same_fields(dtype, variant.task):
            raise ValueError(f"{npy} holds rows of {dtype}; {variant} has tasks of {variant.task}")
        size = os.fstat(file.fileno()).st_size - file.tell()
        if len(shape) != 1 or shape[0] * dtype.itemsize != size:
            raise ValueError(
                f"{npy} is cut off or damaged: it says that it holds an array of shape {shape}, and has {size} bytes"
            )
        if mmap:
            return np.memmap(file, dtype, "r", file.tell(), shape).view(np.ndarray)
        return np.fromfile(file, dtype)
