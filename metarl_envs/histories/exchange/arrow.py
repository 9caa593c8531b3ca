"""Arrow IPC with zstd: a record batch a history, with everything that the store knows of it. For transport."""

from __future__ import annotations

import base64
import io
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from metarl_envs.histories.store import Histories, History

_FORMAT = b"metarl_envs histories in arrow 1"
#: What a history has beside its columns, as bytes of `.npy` in the metadata of its batch.
_BESIDE = ("episode_end", "final_observation", "task")


def export(histories: Histories, target: str | os.PathLike) -> None:
    """Write a file (see `metarl_envs.histories.exchange.export`)."""
    path = Path(target)
    if path.exists():
        raise FileExistsError(f"{path} is there already: give another name")
    schema = pa.schema(
        [pa.field(name, _arrow_type(dtype, shape), nullable=False) for name, (dtype, shape) in histories.columns.items()],
        metadata={
            b"format": _FORMAT,
            b"about": json.dumps(histories.about).encode(),
            b"columns": json.dumps({name: [d.str, list(s)] for name, (d, s) in histories.columns.items()}).encode(),
        },
    )
    aside = path.with_name(f".{path.name}.part")
    options = pa.ipc.IpcWriteOptions(compression="zstd")
    with pa.OSFile(str(aside), "wb") as file, pa.ipc.new_stream(file, schema, options=options) as writer:
        for history in histories:
            arrays = [_to_arrow(history[field.name], field.type) for field in schema]
            writer.write_batch(pa.record_batch(arrays, schema=schema), custom_metadata=_beside(history))
    os.replace(aside, path)


def read(source: str | os.PathLike) -> tuple[dict[str, Any], Iterator[History]]:
    """What the manifest said, and the histories, one after the other."""
    try:
        reader = pa.ipc.open_stream(pa.memory_map(str(source)))
    except pa.ArrowInvalid as error:
        raise ValueError(f"{source} is no Arrow IPC stream: {error}") from None
    told = reader.schema.metadata or {}
    if told.get(b"format") != _FORMAT:
        raise ValueError(f"{source} holds no histories that this version reads: it does not say {_FORMAT.decode()!r}")
    columns = json.loads(told[b"columns"])
    return {"imported": "arrow", "saved_from": json.loads(told[b"about"])}, _histories(reader, columns)


def _histories(reader: Any, columns: dict[str, Any]) -> Iterator[History]:
    for batch, beside in reader.iter_batches_with_custom_metadata():
        arrays = {
            name: _to_numpy(batch.column(name), np.dtype(dtype)).reshape(-1, *shape) for name, (dtype, shape) in columns.items()
        }
        tables = {name: _loads(beside[name.encode()]) for name in _BESIDE if name.encode() in beside}
        task = tables.get("task")
        yield History(
            arrays,
            tables["episode_end"],
            tables.get("final_observation"),
            int(beside[b"seed"]),
            None if task is None else task[0],
            int(beside[b"task_id"]),
        )


def _beside(history: History) -> dict[str, bytes]:
    """The metadata of a history's batch."""
    tables = {
        "episode_end": history.episode_end,
        "final_observation": history.final_observation,
        "task": None if history.task is None else np.frombuffer(history.task.tobytes(), history.task.dtype),
    }
    numbers = {"seed": str(history.seed).encode(), "task_id": str(history.task_id).encode()}
    return {**numbers, **{name: _dumps(array) for name, array in tables.items() if array is not None}}


def _arrow_type(dtype: np.dtype, shape: tuple[int, ...]) -> pa.DataType:
    size, one = int(np.prod(shape)), pa.from_numpy_dtype(dtype)
    return pa.list_(pa.field("item", one, nullable=False), size) if shape else one


def _to_arrow(column: np.ndarray, kind: pa.DataType) -> pa.Array:
    flat = pa.array(np.ascontiguousarray(column).reshape(-1))
    return pa.FixedSizeListArray.from_arrays(flat, type=kind) if pa.types.is_fixed_size_list(kind) else flat


def _to_numpy(array: pa.Array, dtype: np.dtype) -> np.ndarray:
    flat = array.flatten() if pa.types.is_fixed_size_list(array.type) else array
    return flat.to_numpy(zero_copy_only=False).astype(dtype, copy=False)


def _dumps(array: np.ndarray) -> bytes:
    content = io.BytesIO()
    np.save(content, array, allow_pickle=False)
    return base64.b64encode(content.getvalue())


def _loads(content: bytes) -> np.ndarray:
    return np.load(io.BytesIO(base64.b64decode(content)), allow_pickle=False)
