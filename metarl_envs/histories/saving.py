"""Saving histories that are not collected here: picked and joined ones, recorded ones, and those from other formats."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from metarl_envs.histories.shards import ShardWriter, write_manifest
from metarl_envs.histories.store import FORMAT, Histories, History
from metarl_envs.histories.store import open as open_store

#: Bytes of a shard.
_SHARD = 64 * 2**20


def save(histories: Iterable[History], out: str | os.PathLike, about: Mapping[str, Any] | None = None) -> Histories:
    """Write histories to a folder of their own: `save(histories.where(...), "good")`.

    They may be of different lengths; their columns must be alike. The folder gets its name when all is on disk.

    Args:
        histories: a `Histories`, or any histories; they are taken one after the other, so they need not fit into memory.
        out: the folder, which must not be there yet.
        about: what the manifest is to say beside what is needed (default: what theirs says).

    Raises:
        FileExistsError: the folder is there.
        ValueError: there are no histories, or their columns differ.
    """
    folder = Path(out)
    if folder.exists():
        raise FileExistsError(f"out={str(folder)!r} is there already: give another folder")
    if about is None:
        about = {"saved_from": histories.about} if isinstance(histories, Histories) else {}
    folder.parent.mkdir(parents=True, exist_ok=True)
    aside = Path(tempfile.mkdtemp(prefix=f".{folder.name}.part-", dir=folder.parent))
    try:
        manifest: dict[str, Any] = {}
        for number, group in enumerate(_groups(histories)):
            columns = {name: {"dtype": a.dtype.str, "shape": list(a.shape[1:])} for name, a in group[0].columns.items()}
            manifest = manifest or {"format": FORMAT, **about, "columns": columns}
            _write(aside, number, manifest, group)
            manifest["shards"] = number + 1
        if not manifest:
            raise ValueError("histories is empty: there is nothing to save")
        write_manifest(aside, manifest)
        os.chmod(aside, 0o755)
        os.rename(aside, folder)
    finally:
        shutil.rmtree(aside, ignore_errors=True)
    return open_store(folder)


def _groups(histories: Iterable[History]) -> Iterator[list[History]]:
    """Histories in groups of about a shard's size."""
    group, size = [], 0
    for history in histories:
        group.append(history)
        size += sum(column.nbytes for column in history.columns.values())
        if size >= _SHARD:
            yield group
            group, size = [], 0
    if group:
        yield group


def _write(folder: Path, number: int, manifest: Mapping[str, Any], group: Sequence[History]) -> None:
    """Write a group of histories as a shard."""
    wanted = {name: (np.dtype(c["dtype"]), tuple(c["shape"])) for name, c in manifest["columns"].items()}
    lengths = np.array([history.steps for history in group], np.int64)
    offsets = np.concatenate([[0], lengths.cumsum()])
    with ShardWriter(folder, number, manifest, int(offsets[-1])) as writer:
        for history in group:
            told = {name: (column.dtype, column.shape[1:]) for name, column in history.columns.items()}
            if told != wanted:
                raise ValueError(f"columns differ: {wanted} and {told}")
            for name, column in history.columns.items():
                writer.append(name, column)
        tables = {
            "offsets": offsets,
            "episode_end": np.concatenate([h.episode_end + lo for h, lo in zip(group, offsets, strict=False)]),
            "seed": np.array([history.seed for history in group], np.uint64),
            "task_id": np.array([history.task_id for history in group], np.uint64),
        }
        finals = [history.final_observation for history in group if history.final_observation is not None]
        if len(finals) == len(group):
            tables["final_observation"] = np.concatenate(finals)
        tasks = [history.task for history in group if history.task is not None]
        if len(tasks) == len(group) and all(task.dtype == tasks[0].dtype for task in tasks):
            tables["task"] = np.frombuffer(b"".join(task.tobytes() for task in tasks), tasks[0].dtype)
        writer.finish(tables)
