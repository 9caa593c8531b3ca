"""The two files of a run: JSON beside an archive of arrays. What is read may come from anybody, and is not trusted.

Nothing that a file says is believed before it is checked, and no more memory is asked for than the file can fill: a size is
looked at before room is made for it. What does not hold is a ValueError that names the file.
"""

from __future__ import annotations

import json
import math
import os
import zipfile
from collections.abc import Iterable
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.lib import format as npy

from metarl_envs.files import beside, read_said, see_that_it_is_no_folder, written_aside

#: What the text file begins with.
FORMAT = "metarl_envs run 2"
#: What it says.
_SAID: dict[str, Any] = {"family": str | dict, "params": dict, "split": str | None}
_SAID |= {"episodes": int, "seats": list, "fingerprint": str}
#: The arrays of a run.
ARRAYS = ("tasks", "seeds", "actions", "steps", "returns", "endings")
#: Deflate makes no more of one byte than this many.
_MOST_INFLATED = 1032


def files_of(path: str | os.PathLike) -> tuple[Path, Path]:
    """Return the archive and the text file of a run; either file's name will do, or their common stem."""
    archive, about = beside(path, ".npz", ".json")
    return archive, about


def write(path: str | os.PathLike, header: dict[str, Any], arrays: dict[str, np.ndarray]) -> list[Path]:
    """Write both files, aside and then renamed, and the folder, where it is missing; their paths."""
    see_that_it_is_no_folder(path)
    archive, about = files_of(path)
    archive.parent.mkdir(parents=True, exist_ok=True)
    with written_aside(archive, about) as [packed, text]:
        np.savez_compressed(packed, **arrays)  # type: ignore[arg-type]
        text.write_text(json.dumps(header, indent=2) + "\n")
    return [archive, about]


def read_header(about: Path) -> dict[str, Any]:
    """Return the content of the text file of a run; ValueError where it is none."""
    header = read_said(about, "run", FORMAT, _SAID)
    if odd := [seat for seat in header["seats"] if not isinstance(seat, str)]:
        raise ValueError(f"{about} is no run: its seats hold {odd[0]!r:.80}, which is no text. Fetch the file again")
    if not 0 < header["episodes"] < 2**31:
        raise ValueError(f"{about} is no run: it has {header['episodes']} episodes. Fetch the file again")
    return header


def read_arrays(archive: Path) -> dict[str, np.ndarray]:
    """Return the arrays of a run; ValueError where the file is none."""
    arrays = read_archive(archive, ARRAYS, "run")
    if missing := [name for name in ARRAYS if name not in arrays]:
        raise ValueError(
            f"{archive} is no run, or is cut short (it lacks {missing[0]!r}): fetch the file again, or play it again"
        )
    return {name: arrays[name] for name in ARRAYS}


def read_archive(archive: Path, names: Iterable[str], what: str) -> dict[str, np.ndarray]:
    """Return those of the named arrays that an archive has; ValueError where the file is none. Nothing in it is run."""
    with open(archive, "rb") as file:
        try:
            with zipfile.ZipFile(file) as members:
                held = set(members.namelist())
                return {name: _array(members, f"{name}.npy") for name in names if f"{name}.npy" in held}
        except Exception as error:  # zipfile, zlib and NumPy have many words for a damaged file
            problem = str(error) or type(error).__name__
            raise ValueError(
                f"{archive} is no {what}, or is cut short ({problem:.200}): fetch it again, or make it again"
            ) from None


def _array(members: zipfile.ZipFile, name: str) -> np.ndarray:
    """One array of an archive, if the archive can hold one of the size that it says."""
    about = members.getinfo(name)
    if about.file_size > _MOST_INFLATED * about.compress_size + 1:
        raise ValueError(f"{name} says that {about.compress_size} bytes hold {about.file_size}")
    with members.open(about) as member:
        shape, _, dtype = _array_header(member)
        if dtype.hasobject or math.prod(shape) * dtype.itemsize != about.file_size - member.tell():
            raise ValueError(f"{name} says that it is {dtype} {shape}, which it cannot be")
    with members.open(about) as member:
        return npy.read_array(member, allow_pickle=False)


def _array_header(member: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype]:
    """Shape, order and dtype of an array in NumPy's own format."""
    version = npy.read_magic(member)
    if version not in ((1, 0), (2, 0)):
        raise ValueError(f"it is written in version {version} of NumPy's format")
    read = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
    return read(member)
