"""Saving histories that are not collected here: picked and joined ones, recorded ones, and those from other formats."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from metarl_envs.files import new_folder
from metarl_envs.histories.history import History, check_history
from metarl_envs.histories.layout import Form, as_json
from metarl_envs.histories.reading import told_forms
from metarl_envs.histories.shard_files import FORMAT
from metarl_envs.histories.shards import ShardWriter, write_manifest
from metarl_envs.histories.store import Histories, load

#: Bytes of a shard.
_SHARD = 64 * 2**20


def save(histories: Iterable[History], out: str | os.PathLike, about: Mapping[str, Any] | None = None) -> Histories:
    """Write histories to a folder of their own: `save(histories.where(...), "good")`.

    They may be of different lengths; their columns must be alike. Each is checked before any of it is written, and the folder
    gets its name when all is on disk: where something is wrong, nothing is left.

    Args:
        histories: a `Histories`, or any histories; they are taken one after the other, so they need not fit into memory.
        out: the folder, which must not be there yet.
        about: what the manifest is to say beside what is needed (default: what theirs says).

    Raises:
        FileExistsError: the folder is there.
        TypeError: a column is no array, or `about` holds what JSON has not.
        ValueError: there are no histories, their columns differ, or one is not whole: a column is missing, longer or shorter
            than `reward`, of a dtype or with a name that a store cannot have; or episodes do not fill it and end where a flag
            says so.
    """
    folder = Path(out).absolute()
    if folder.exists():
        raise FileExistsError(f"out={str(folder)!r} is there already: give another folder")
    if about is None:
        about = {"saved_from": histories.about} if isinstance(histories, Histories) else {}
    told: dict[str, Any] = as_json("about", dict(about))
    checked = _checked(histories)
    first = next(checked, None)
    if first is None:
        raise ValueError("histories is empty: there is nothing to save")
    columns = told_forms({name: (array.dtype, array.shape[1:]) for name, array in first.columns.items()})
    with new_folder(folder) as aside:
        manifest = {**told, "format": FORMAT, "columns": columns, "shards": 0}
        for number, group in enumerate(_groups(itertools.chain([first], checked))):
            write_histories(aside, number, manifest, group)
            manifest["shards"] = number + 1
        write_manifest(aside, manifest)
    return load(folder)


def _checked(histories: Iterable[History]) -> Iterator[History]:
    """The same histories, each of which is whole and has the columns of the first."""
    wanted: dict[str, Form] = {}
    for number, history in enumerate(histories):
        if not isinstance(history, History):
            raise TypeError(f"histories: number {number} is a {type(history).__name__}, and must be a History")
        try:
            told = check_history(history)
        except (TypeError, ValueError) as error:
            raise type(error)(f"history {number}: {error}") from None
        if told != (wanted := wanted or told):
            raise ValueError(f"columns differ: {wanted} in history 0, and {told} in history {number}")
        yield history


def _groups(histories: Iterable[History]) -> Iterator[list[History]]:
    """Histories in groups of about a shard's size, which have the same tables."""
    for _, alike in itertools.groupby(histories, _tables_of):
        group, size = [], 0
        for history in alike:
            group.append(history)
            size += sum(column.nbytes for column in history.columns.values())
            if size >= _SHARD:
                yield group
                group, size = [], 0
        if group:
            yield group


def _tables_of(history: History) -> tuple[bool, np.dtype | None]:
    """What histories of one shard must have in common beside their columns, so that nothing of any of them is left out."""
    return history.final_observation is not None, None if history.task is None else history.task.dtype


def write_histories(folder: Path, number: int, manifest: Mapping[str, Any], group: Sequence[History]) -> None:
    """Write a group of histories as a shard."""
    lengths = np.array([history.steps for history in group], np.int64)
    offsets = np.concatenate([[0], lengths.cumsum()])
    with ShardWriter(folder, number, manifest, int(offsets[-1])) as writer:
        for history in group:
            for name, column in history.columns.items():
                writer.append(name, column)
        tables = {
            "offsets": offsets,
            "episode_end": np.concatenate(
                [h.episode_end.astype(np.int64) + lo for h, lo in zip(group, offsets[:-1], strict=True)]
            ),
            "seed": np.array([history.seed for history in group], np.uint64),
            "task_id": np.array([history.task_id for history in group], np.uint64),
        }
        finals = [history.final_observation for history in group if history.final_observation is not None]
        if finals:
            tables["final_observation"] = np.concatenate(finals)
        tasks = [history.task for history in group if history.task is not None]
        if tasks:
            tables["task"] = np.frombuffer(b"".join(task.tobytes() for task in tasks), tasks[0].dtype)
        writer.finish(tables)
