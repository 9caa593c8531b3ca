"""Arrow IPC with zstd: a record batch a history, with everything that the store knows of it. For transport.

The stream says beforehand how many histories it has, and each batch has a digest of all it holds: what is cut, damaged or
changed is refused.
"""

from __future__ import annotations

import base64
import hashlib
import io
import json
import os
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pyarrow as pa

from metarl_envs.arguments import at_least_one
from metarl_envs.files import new_file
from metarl_envs.histories.history import History, check_history
from metarl_envs.histories.layout import Form, as_json
from metarl_envs.histories.mapping import array_of
from metarl_envs.histories.reading import forms_in, refusing, told_forms
from metarl_envs.histories.store import Histories

_FORMAT = b"metarl_envs histories in arrow 2"
#: What a history has beside its columns, as bytes of `.npy` in the metadata of its batch.
_BESIDE = ("episode_end", "final_observation", "task")


def export(histories: Histories, target: str | os.PathLike) -> None:
    """Write a file (see `metarl_envs.histories.exchange.export`)."""
    forms = histories.columns
    about = {
        b"format": _FORMAT,
        b"about": json.dumps(histories.about).encode(),
        b"columns": json.dumps(told_forms(forms)).encode(),
        b"histories": str(len(histories)).encode(),
    }
    schema = _schema(forms).with_metadata({**about, b"digest": _digest(about)})
    options = pa.ipc.IpcWriteOptions(compression="zstd")
    with (
        new_file(target) as aside,
        pa.OSFile(str(aside), "wb") as file,
        pa.ipc.new_stream(file, schema, options=options) as writer,
    ):
        for history in histories:
            arrays = [_to_arrow(history[field.name], field.type) for field in schema]
            beside = _beside(history)
            beside[b"digest"] = _digest(beside, history.columns)
            writer.write_batch(pa.record_batch(arrays, schema=schema), custom_metadata=beside)


def read(source: str | os.PathLike) -> tuple[dict[str, Any], Iterator[History]]:
    """Return what the manifest said, and the histories, one after the other.

    Raises:
        StoreError: the file is no such stream, or has been cut, damaged or changed; while histories are taken, too.
    """
    with refusing(source, "Arrow IPC stream of histories"):
        with pa.memory_map(str(source)) as file:
            told = dict(pa.ipc.open_stream(file).schema.metadata or {})
        if told.get(b"format") != _FORMAT:
            raise ValueError(f"it does not say {_FORMAT.decode()!r}, which is what this version reads")
        if told.pop(b"digest", None) != _digest(told):
            raise ValueError("what it says of its columns has been changed")
        forms = forms_in(json.loads(told[b"columns"]))
        count = at_least_one("histories", int(told[b"histories"]))
        about = as_json("about", {"imported": "arrow", "saved_from": json.loads(told[b"about"])})
    return about, _histories(source, forms, count)


def _histories(source: str | os.PathLike, forms: dict[str, Form], count: int) -> Iterator[History]:
    """The histories of a stream. Each is checked before it is given; what is done with it is no business of the stream's."""
    with pa.memory_map(str(source)) as file:
        with refusing(source):
            stream = pa.ipc.open_stream(file)
            if not stream.schema.equals(_schema(forms)):
                raise ValueError(f"its columns are {stream.schema}, and it says that they are {told_forms(forms)}")
            batches = stream.iter_batches_with_custom_metadata()
        for number in range(count):
            with refusing(source):
                batch, beside = next(batches, (None, None))
                if batch is None:
                    raise ValueError(f"it ends after {number} of {count} histories")
                history = _history(batch, dict(beside or {}), forms)
            yield history
        with refusing(source):
            if next(batches, None) is not None:
                raise ValueError(f"it has more than the {count} histories that it says it has")


def _history(batch: pa.RecordBatch, beside: dict[bytes, bytes], forms: Mapping[str, Form]) -> History:
    """The history in a batch; ValueError where it is not the one that was written."""
    batch.validate(full=True)  # before any of it is touched: nothing else keeps readers within the buffers
    if any(column.null_count for column in batch.columns):
        raise ValueError("a column has nulls")
    arrays = {name: _to_numpy(batch.column(name), *form) for name, form in forms.items()}
    if beside.pop(b"digest", None) != _digest(beside, arrays):
        raise ValueError("a history has been changed since it was written")
    tables = {name: _loads(beside[name.encode()]) for name in _BESIDE if name.encode() in beside}
    task = tables.get("task")
    history = History(
        arrays,
        tables["episode_end"],
        tables.get("final_observation"),
        int(beside[b"seed"]),
        None if task is None else task[0],
        int(beside[b"task_id"]),
    )
    check_history(history)
    return history


def _beside(history: History) -> dict[bytes, bytes]:
    """The metadata of a history's batch."""
    tables = {
        "episode_end": history.episode_end,
        "final_observation": history.final_observation,
        "task": None if history.task is None else np.frombuffer(history.task.tobytes(), history.task.dtype),
    }
    numbers = {b"seed": str(history.seed).encode(), b"task_id": str(history.task_id).encode()}
    return {**numbers, **{name.encode(): _dumps(array) for name, array in tables.items() if array is not None}}


def _digest(told: Mapping[bytes, bytes], columns: Mapping[str, np.ndarray] | None = None) -> bytes:
    """A digest of metadata and columns, in hexadecimal."""
    digest = hashlib.sha256(repr(sorted(told.items())).encode())
    for name, column in (columns or {}).items():
        for field, numbers in _fields(column):
            digest.update(f"{name}{field} {numbers.dtype.str} {numbers.shape}".encode())
            digest.update(np.ascontiguousarray(numbers).data)
    return digest.hexdigest().encode()


def _schema(forms: Mapping[str, Form]) -> pa.Schema:
    return pa.schema([pa.field(name, _arrow_type(*form), nullable=False) for name, form in forms.items()])


def _fields(column: np.ndarray) -> Iterator[tuple[str, np.ndarray]]:
    """The fields of a column of rows, each with a point before its name; of any other column, itself."""
    if column.dtype.names is None:
        yield "", column
    for name in column.dtype.names or ():
        yield f".{name}", column[name]


def _arrow_type(dtype: np.dtype, shape: tuple[int, ...]) -> pa.DataType:
    """A number, a list of fixed size, or for rows a struct of these."""
    if dtype.fields is not None:
        parts = {name: part.subdtype or (part, ()) for name, (part, *_) in dtype.fields.items()}
        return pa.struct([pa.field(name, _arrow_type(*part), nullable=False) for name, part in parts.items()])
    size, one = int(np.prod(shape)), pa.from_numpy_dtype(dtype)
    return pa.list_(pa.field("item", one, nullable=False), size) if shape else one


def _to_arrow(column: np.ndarray, kind: pa.DataType) -> pa.Array:
    if pa.types.is_struct(kind):
        parts = [_to_arrow(column[field.name], field.type) for field in kind.fields]
        return pa.StructArray.from_arrays(parts, fields=kind.fields)
    flat = pa.array(np.ascontiguousarray(column).reshape(-1))
    return pa.FixedSizeListArray.from_arrays(flat, type=kind) if pa.types.is_fixed_size_list(kind) else flat


def _to_numpy(array: pa.Array, dtype: np.dtype, shape: tuple[int, ...]) -> np.ndarray:
    if dtype.fields is not None:
        rows = np.zeros(len(array), dtype)
        for name, (part, *_) in dtype.fields.items():
            rows[name] = _to_numpy(array.field(name), *(part.subdtype or (part, ())))
        return rows
    flat = array.flatten() if pa.types.is_fixed_size_list(array.type) else array
    return flat.to_numpy(zero_copy_only=False).astype(dtype, copy=False).reshape(len(array), *shape)


def _dumps(array: np.ndarray) -> bytes:
    content = io.BytesIO()
    np.save(content, array, allow_pickle=False)
    return base64.b64encode(content.getvalue())


def _loads(content: bytes) -> np.ndarray:
    return array_of(base64.b64decode(content, validate=True))
