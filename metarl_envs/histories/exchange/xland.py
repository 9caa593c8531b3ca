"""The layout of XLand-100B (Nikulin et al. 2025, arXiv 2406.08973): HDF5, a group a task, a row a history.

Groups "0", "1", ... hold `states` [history, step, ...], `actions`, `rewards`, `dones` and `expert_actions` [history, step],
compressed with gzip 6 in chunks of 4,096 steps; attributes `benchmark-id`, `env-id` and `ruleset-id` say which task it is.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from metarl_envs.histories.store import Histories, History

_CHUNK = 4096


def export(histories: Histories, target: str | os.PathLike) -> None:
    """Write a file (see `metarl_envs.histories.exchange.export`): histories of one task go into one group.

    `ruleset-id` is the hash of the task's meaning as a number; whatever else was recorded is left out, but for the label
    `optimal_action`, which is `expert_actions`. The manifest is kept in the file's attribute `metarl_envs`.
    """
    path = Path(target)
    if path.exists():
        raise FileExistsError(f"{path} is there already: give another name")
    ids = histories.task_ids
    groups = {int(task): np.flatnonzero(ids == task) for task in dict.fromkeys(ids.tolist())}
    for task, members in groups.items():
        if len(set(histories.lengths[members].tolist())) > 1:
            raise ValueError(f"histories of task {task} have different lengths, and XLand-100B's layout has one for each task")
    aside = path.with_name(f".{path.name}.part")
    with h5py.File(aside, "w") as file:
        file.attrs["metarl_envs"] = json.dumps(histories.about)
        for number, (task, members) in enumerate(groups.items()):
            group = file.create_group(str(number))
            group.attrs.update({"benchmark-id": "metarl_envs", "env-id": str(histories.about.get("id")), "ruleset-id": task})
            mine = histories[members]
            _write(group, "states", mine.stack("observation"))
            _write(group, "actions", mine.stack("action"))
            _write(group, "rewards", mine.stack("reward"))
            _write(group, "dones", mine.stack("terminated") | mine.stack("truncated"))
            if "optimal_action" in histories.columns:
                _write(group, "expert_actions", mine.stack("optimal_action"))
    os.replace(aside, path)


def read(source: str | os.PathLike) -> tuple[dict[str, Any], Iterator[History]]:
    """What the manifest is to say, and the histories.

    `dones` does not tell how an episode ended: all are given as terminated. `expert_actions` is `optimal_action`.
    """
    try:
        file: Any = h5py.File(source, "r")
    except OSError as error:
        raise ValueError(f"{source} is no HDF5 file: {error}") from None
    names = sorted(file, key=lambda name: (not name.isdigit(), int(name) if name.isdigit() else 0))
    needed = {"states", "actions", "rewards", "dones"}
    if not names or any(not isinstance(file[name], h5py.Group) or needed - set(file[name]) for name in names):
        raise ValueError(f"{source} has not the layout of XLand-100B: groups of {', '.join(sorted(needed))}")
    tasks = [{k: _plain(v) for k, v in file[name].attrs.items()} for name in names]
    about = {"imported": "xland", "ends": "dones do not tell how: all are given as terminated", "groups": tasks}
    return about, _histories(file, names)


def _histories(file: h5py.File, names: list[str]) -> Iterator[History]:
    with file:
        for number, name in enumerate(names):
            group: Any = file[name]
            for row in range(group["rewards"].shape[0]):
                dones = group["dones"][row].astype(np.bool_)
                columns = {
                    "observation": group["states"][row],
                    "action": group["actions"][row],
                    "reward": group["rewards"][row],
                    "terminated": dones,
                    "truncated": np.zeros(len(dones), np.bool_),
                }
                if "expert_actions" in group:
                    columns["optimal_action"] = group["expert_actions"][row]
                ends = np.flatnonzero(dones) + 1
                if not len(ends) or ends[-1] < len(dones):
                    ends = np.append(ends, len(dones))
                ruleset = group.attrs.get("ruleset-id", number)
                yield History(columns, ends.astype(np.int64), None, task_id=int(ruleset) % 2**64)


def _write(group: h5py.Group, name: str, array: np.ndarray) -> None:
    chunks = (1, min(_CHUNK, array.shape[1]), *array.shape[2:])
    group.create_dataset(name, data=array, chunks=chunks, compression="gzip", compression_opts=6)


def _plain(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic) else value if isinstance(value, int | float | str) else str(value)
