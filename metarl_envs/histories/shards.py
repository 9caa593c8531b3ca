"""Writing shards: aside, with a digest of every file, and renamed when all is on disk. What is there is whole."""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from metarl_envs.engine.worlds.task_rows import padded
from metarl_envs.files import sync_folder, write_synced, written_aside
from metarl_envs.histories.layout import check_names
from metarl_envs.histories.reading import form_in
from metarl_envs.histories.shard_files import digest_of, plan_of, shard_path


class ShardWriter:
    """One shard on its way to disk. Columns grow by `append`; `finish` writes the tables and gives it its name.

    It is a context manager, which leaves nothing behind where something goes wrong.

    Args:
        folder: of the store.
        number: of the shard.
        about: the store's manifest.
        steps: how many there will be in all.

    Raises:
        ValueError: a column has a name that no column can have.
    """

    def __init__(self, folder: Path, number: int, about: Mapping[str, Any], steps: int):
        check_names(about["columns"])
        self._forms = {name: form_in(name, told) for name, told in about["columns"].items()}
        self._path, self._about, self._steps, self._number = shard_path(folder, number), about, steps, number
        self._files: dict[str, dict[str, Any]] = {}
        self._open: dict[str, HashedFile] = {}

    def __enter__(self) -> ShardWriter:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._aside = Path(tempfile.mkdtemp(prefix=aside_prefix(self._number), dir=self._path.parent))
        try:
            for name, form in self._forms.items():
                self._open[name] = self._begin(name, *form)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *exception: object) -> None:
        for file in self._open.values():
            file.close()
        shutil.rmtree(self._aside, ignore_errors=True)

    def append(self, name: str, array: np.ndarray) -> None:
        """Add steps to a column."""
        self._open[name].write(np.ascontiguousarray(array, self._forms[name][0]).reshape(-1).view(np.uint8))

    def finish(self, tables: Mapping[str, np.ndarray]) -> Path:
        """Write the tables (see `layout.TABLES`), let everything reach the disk, and rename. The shard's path.

        A shard of that name that is there already stays: it has the same bytes.
        """
        for name, file in self._open.items():
            self._files[f"{name}.npy"] = file.finish()
        self._open.clear()
        for name, array in tables.items():
            seen = self._forms["observation"][0]
            if name == "final_observation" and seen.names:  # NumPy packs rows when it puts arrays of them together
                array = padded(array, seen)
            with contextlib.closing(HashedFile(self._aside / f"{name}.npy")) as file:
                np.lib.format.write_array(file, np.ascontiguousarray(array), allow_pickle=False)  # type: ignore[arg-type]
                self._files[f"{name}.npy"] = file.finish()
        told = {"plan": plan_of(self._about), "columns": self._about["columns"], "files": self._files}
        told["digest"] = digest_of(told)
        write_synced(self._aside / "shard.json", json.dumps(told, indent=1).encode())
        sync_folder(self._aside)
        try:
            os.rename(self._aside, self._path)
        except OSError:
            if not self._path.is_dir():  # no other job was first
                raise
        sync_folder(self._path.parent)
        return self._path

    def _begin(self, name: str, dtype: np.dtype, shape: tuple[int, ...]) -> HashedFile:
        file = HashedFile(self._aside / f"{name}.npy")
        file.write(npy_header(dtype, (self._steps, *shape)))
        return file


class HashedFile:
    """A file that is written once from beginning to end, and digested on the way."""

    def __init__(self, path: Path):
        self._file = path.open("wb", buffering=0)
        self._hash, self._bytes = hashlib.sha256(), 0

    def write(self, data: Any) -> int:
        """Write bytes, all of them."""
        left = memoryview(data)
        self._hash.update(left)
        self._bytes += left.nbytes
        while left.nbytes:
            left = left[self._file.write(left) :]
        return len(data)

    def finish(self) -> dict[str, Any]:
        """Let it reach the disk; its size and digest."""
        os.fsync(self._file.fileno())
        self._file.close()
        return {"bytes": self._bytes, "sha256": self._hash.hexdigest()}

    def close(self) -> None:
        """Leave off."""
        self._file.close()


def aside_prefix(number: int) -> str:
    """Return how the folders begin in which a shard is written until it is whole."""
    return f".{number:05d}.part-"


def npy_header(dtype: np.dtype, shape: tuple[int, ...]) -> bytes:
    """Return what stands before the numbers in a `.npy` file."""
    header = io.BytesIO()
    told = {"descr": np.lib.format.dtype_to_descr(dtype), "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(header, told)
    return header.getvalue()


def write_manifest(folder: Path, about: Mapping[str, Any]) -> None:
    """Write `manifest.json` aside and rename it."""
    folder.mkdir(parents=True, exist_ok=True)
    with written_aside(folder / "manifest.json") as [aside]:
        write_synced(aside, json.dumps(about, indent=2).encode())
    sync_folder(folder)
