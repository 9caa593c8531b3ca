"""The layout of XLand-100B (Nikulin et al. 2025, arXiv 2406.08973): HDF5, a group a task, a row a history.

Groups "0", "1", ... hold `states` [history, step, ...], `actions`, `rewards`, `dones` and `expert_actions` [history, step],
compressed with gzip 6 in chunks of 4,096 steps; attributes `benchmark-id`, `env-id` and `ruleset-id` say which task it is.
Files that are written here also have a digest of all that (the attribute `sha256`), which is compared when they are read.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections import defaultdict
from collections.abc import Iterator
from typing import Any

import h5py
import numpy as np

from metarl_envs.files import new_file
from metarl_envs.histories.exchange.hdf5 import members, native, numbers_in, opened
from metarl_envs.histories.history import History, check_history
from metarl_envs.histories.layout import as_json
from metarl_envs.histories.reading import refusing
from metarl_envs.histories.store import Histories

_CHUNK = 4096
#: The datasets of a group that are read: by name, the column that each becomes.
_COLUMNS = {"states": "observation", "actions": "action", "rewards": "reward", "dones": "terminated"}
_EXPERT = {"expert_actions": "optimal_action"}


def export(histories: Histories, target: str | os.PathLike) -> None:
    """Write a file (see `metarl_envs.histories.exchange.export`): histories of one task go into one group.

    `ruleset-id` is the hash of the task's meaning as a number; whatever else was recorded is left out, but for the label
    `optimal_action`, which is `expert_actions`. The manifest is kept in the file's attribute `metarl_envs`.
    """
    ids = histories.task_ids
    groups = {int(task): np.flatnonzero(ids == task) for task in dict.fromkeys(ids.tolist())}
    for task, rows in groups.items():
        if len(set(histories.lengths[rows].tolist())) > 1:
            raise ValueError(f"histories of task {task} have different lengths, and XLand-100B's layout has one for each task")
    with new_file(target) as aside, h5py.File(aside, "w") as file:
        file.attrs["metarl_envs"] = json.dumps(histories.about)
        digest = _Digest(file)
        for number, (task, rows) in enumerate(groups.items()):
            group = file.create_group(str(number))
            group.attrs.update({"benchmark-id": "metarl_envs", "env-id": str(histories.about.get("id")), "ruleset-id": task})
            mine = histories[rows]
            arrays = {"states": mine.stack("observation"), "actions": mine.stack("action"), "rewards": mine.stack("reward")}
            arrays["dones"] = mine.stack("terminated") | mine.stack("truncated")
            if "optimal_action" in histories.columns:
                arrays["expert_actions"] = mine.stack("optimal_action")
            for name, array in arrays.items():
                _write(group, name, array)
            digest.begin(group)
            for row in range(len(rows)):
                digest.add({name: array[row] for name, array in arrays.items()})
        file.attrs["sha256"] = digest.hexadecimal()


def read(source: str | os.PathLike) -> tuple[dict[str, Any], Iterator[History]]:
    """Return what the manifest is to say, and the histories.

    `dones` does not tell how an episode ended: all are given as terminated. `expert_actions` is `optimal_action`.

    Raises:
        StoreError: the file has not this layout, or has been cut, damaged or changed; while histories are taken, too.
    """
    with refusing(source, "HDF5 file in the layout of XLand-100B"), opened(source) as file:
        groups = _groups(file)
        tasks = [{name: _plain(value) for name, value in group.attrs.items()} for group in groups.values()]
        forms = []
        for name, group in groups.items():
            _task_id(name, group)
            forms.append({key: (data.dtype, data.shape[2:]) for key, data in _datasets(name, group).items() if key != "dones"})
            if forms[-1] != forms[0]:
                raise ValueError(f"the datasets of group {name} are {forms[-1]}, and those of the first group are {forms[0]}")
        about = {"imported": "xland", "ends": "dones do not tell how: all are given as terminated", "groups": tasks}
        if "metarl_envs" in file.attrs:
            about["saved_from"] = json.loads(str(file.attrs["metarl_envs"]))
        about = as_json("attributes", about)
    return about, _histories(source)


def _histories(source: str | os.PathLike) -> Iterator[History]:
    with contextlib.ExitStack() as stack:
        with refusing(source):
            file = stack.enter_context(opened(source))
        with refusing(source):
            digest, groups = _Digest(file), _groups(file)
        for name, group in groups.items():
            with refusing(source):
                datasets, task_id = _datasets(name, group), _task_id(name, group)
                digest.begin(group)
            for row in range(datasets["rewards"].shape[0]):
                with refusing(source):
                    arrays = {name: native(dataset[row]) for name, dataset in datasets.items()}
                    digest.add(arrays)
                    history = _history(arrays, task_id)
                yield history
        with refusing(source):
            if "metarl_envs" in file.attrs and file.attrs.get("sha256") != digest.hexadecimal():
                raise ValueError("it has been changed since it was written")


def _history(arrays: dict[str, np.ndarray], task_id: int) -> History:
    """A history out of its rows of datasets."""
    columns = {column: arrays[name] for name, column in (_COLUMNS | _EXPERT).items() if name in arrays}
    dones = columns["terminated"].astype(np.bool_)
    if (dones != columns["terminated"]).any():
        raise ValueError(f"dones holds {columns['terminated'].max()}, and must be 0 or 1")
    columns |= {"terminated": dones, "truncated": np.zeros(len(dones), np.bool_)}
    ends = np.flatnonzero(dones) + 1
    if not len(ends) or ends[-1] < len(dones):
        ends = np.append(ends, len(dones))
    history = History(columns, ends.astype(np.int64), None, task_id=task_id)
    check_history(history)
    return history


def _groups(file: h5py.File) -> dict[str, h5py.Group]:
    """The groups of a file, those with numbers for names first and in order; ValueError where there are none, or more."""
    found = members(file)
    if not found or not all(isinstance(group, h5py.Group) for group in found.values()):
        raise ValueError(f"it has not the layout of XLand-100B: groups of {', '.join(_COLUMNS)}")
    number = {name: int(name) if name.isascii() and name.isdigit() else None for name in found}
    names = sorted(found, key=lambda name: (number[name] is None, number[name] or 0, name))
    return {name: found[name] for name in names}  # pyright: ignore[reportReturnType]


def _datasets(name: str, group: h5py.Group) -> dict[str, h5py.Dataset]:
    """The datasets of a group that are read; ValueError where one is missing, or they are not alike."""
    found = members(group)
    if lacking := [dataset for dataset in _COLUMNS if dataset not in found]:
        raise ValueError(f"it has not the layout of XLand-100B: group {name} has no {lacking[0]!r}")
    datasets = {
        dataset: numbers_in(found[dataset], f"{name}/{dataset}") for dataset in (*_COLUMNS, *_EXPERT) if dataset in found
    }
    shape = datasets["rewards"].shape
    if len(shape) != 2 or any(dataset.shape[:2] != shape for dataset in datasets.values()) or not all(shape):
        told = {dataset: list(data.shape) for dataset, data in datasets.items()}
        raise ValueError(f"datasets of group {name} must begin with [history, step], one for all: {told}")
    return datasets


def _task_id(name: str, group: h5py.Group) -> int:
    """What a group says of its task, as 64 bits: a number as it is, a word by its hash, and else the group's own name."""
    told = _plain(group.attrs.get("ruleset-id", name))
    if isinstance(told, str) and not (told.isascii() and told.isdigit()):
        return int.from_bytes(hashlib.sha256(told.encode()).digest()[:8], "little")
    number = int(told)
    if (isinstance(told, float) and not told.is_integer()) or not 0 <= number < 2**64:
        raise ValueError(f"ruleset-id of group {name} is {told!r}: it must be a whole number below 2**64, or a word")
    return number


class _Digest:
    """A digest of a file in this layout, made of one for each dataset, so that rows can be taken one after the other."""

    def __init__(self, file: h5py.File):
        self._parts: dict[str, Any] = defaultdict(hashlib.sha256)
        self._told = [str(file.attrs.get("metarl_envs"))]
        self._group = ""

    def begin(self, group: h5py.Group) -> None:
        """What follows is of this group."""
        self._group = str(group.name)
        self._told.append(f"{self._group} {sorted((name, _plain(value)) for name, value in group.attrs.items())}")

    def add(self, arrays: dict[str, np.ndarray]) -> None:
        """A row of each dataset."""
        for name, array in arrays.items():
            part = self._parts[f"{self._group}/{name}"]
            part.update(f"{array.dtype.str} {array.shape}".encode())
            part.update(np.ascontiguousarray(array).data)

    def hexadecimal(self) -> str:
        """Of all that came."""
        parts = sorted((name, part.hexdigest()) for name, part in self._parts.items())
        return hashlib.sha256(repr((self._told, parts)).encode()).hexdigest()


def _write(group: h5py.Group, name: str, array: np.ndarray) -> None:
    chunks = (1, min(_CHUNK, array.shape[1]), *array.shape[2:])
    group.create_dataset(name, data=array, chunks=chunks, compression="gzip", compression_opts=6)


def _plain(value: Any) -> Any:
    value = value.item() if isinstance(value, np.generic) else value
    return value if isinstance(value, int | float | str) else str(value)
