"""How shards lie in a folder: their names, digests and forms, and their arrays mapped."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from metarl_envs.arguments import as_integer, at_least_one
from metarl_envs.histories.history import Shard
from metarl_envs.histories.layout import OPTIONAL_TABLES, TABLES, Form, check_offsets
from metarl_envs.histories.mapping import map_array
from metarl_envs.histories.reading import StoreError, forms_in, read_json, refusing

#: What a manifest says that this version reads.
FORMAT = "metarl_envs histories 2"


def read_manifest(folder: Path) -> dict[str, Any]:
    """Return the content of `manifest.json`; StoreError where this version cannot read it."""
    if not folder.is_dir():
        raise FileNotFoundError(f"{folder} is no folder: collect(..., out={str(folder)!r}) would make it")
    path = folder / "manifest.json"
    about = read_json(path)
    if not str(about.get("format", "")).startswith("metarl_envs histories"):
        raise StoreError(f"{folder} is no store of histories: its manifest.json does not say so")
    if about["format"] != FORMAT:
        raise StoreError(
            f"{folder} says format {about['format']!r}, and this version reads {FORMAT!r}: collect it again (in the first "
            "format, histories with two or more internals, or with labels, may hold wrong values)"
        )
    with refusing(path, "manifest"):
        forms_in(about["columns"])
        at_least_one("shards", about["shards"])
    return about


def digest_of(about: Mapping[str, Any]) -> str:
    """Return a digest of JSON values. Leave out of a manifest what does not decide the bytes of a shard (see `plan_of`)."""
    return hashlib.sha256(json.dumps(about, sort_keys=True).encode()).hexdigest()


def plan_of(about: Mapping[str, Any]) -> str:
    """Return the digest that binds shards to their manifest, of all that decides their bytes."""
    return digest_of({name: value for name, value in about.items() if name not in ("shards", "versions")})


def shard_path(folder: Path, number: int) -> Path:
    """Return where a shard lies."""
    return folder / "shards" / f"{number:05d}"


def finished(folder: Path) -> list[int]:
    """Return the numbers of the shards that are whole, in order."""
    inside = folder / "shards"
    names = [entry.name for entry in inside.iterdir() if entry.is_dir()] if inside.is_dir() else []
    return sorted(int(name) for name in names if re.fullmatch("[0-9]{5}|[1-9][0-9]{5,8}", name))


def map_shard(path: Path, about: Mapping[str, Any] | None = None) -> Shard:
    """Map a shard's files. With a manifest, see that it is a shard of it.

    Raises:
        StoreError: it is not, a file is missing or has another size or form than was written, or histories do not lie one after
            the other.
    """
    with refusing(path, "shard"):
        told = _told(path)
        if about is not None and told["plan"] != plan_of(about):
            raise StoreError(f"{path} is no shard of this manifest (another collection, or one of the two has been changed)")
        forms = forms_in(told["columns"])
        if about is not None and list(forms.items()) != list(forms_in(about["columns"]).items()):
            raise StoreError(f"{path} has columns {list(forms)}, not {list(about['columns'])} as the manifest says")
        files = {file.stem: (file, size) for file, size, _ in _listed(path, told)}
        if lacking := [name for name in (*forms, *TABLES) if name not in files and name not in OPTIONAL_TABLES]:
            raise StoreError(f"{path} lacks {lacking[0]}.npy: copy or collect this shard again")
        if more := [name for name in files if name not in forms and name not in TABLES]:
            raise StoreError(f"{path} has {more[0]}.npy, which is no column of it")
        arrays = {name: map_array(*file) for name, file in files.items()}
        _check_forms(path, arrays, forms)
        tables = {name: arrays.get(name) for name in TABLES}
        shard = Shard({name: arrays[name] for name in forms}, **tables, path=path)  # type: ignore[arg-type]
        check_offsets(shard.offsets, len(shard.columns["reward"]))
        return shard


def _check_forms(path: Path, arrays: Mapping[str, np.ndarray], columns: Mapping[str, Form]) -> None:
    """See that arrays have the dtypes, shapes and lengths that they must have; StoreError with the first that has not."""
    count, index = (np.dtype(np.uint64), ()), (np.dtype(np.int64), ())
    forms = {**columns, "offsets": index, "episode_end": index, "seed": count, "task_id": count}
    forms["final_observation"] = columns["observation"]
    alike = [list(columns), ["episode_end", "final_observation"], ["seed", "task_id", "task"]]
    for name, array in arrays.items():
        form = (array.dtype, array.shape[1:])
        fits = form == forms[name] if name != "task" else array.dtype.names is not None and array.ndim == 1
        if not array.ndim or not fits:
            raise StoreError(f"{path}/{name}.npy has {array.dtype} {list(array.shape)}: copy or collect this shard again")
    for names in alike:
        lengths = {name: len(arrays[name]) for name in names if name in arrays}
        if len(set(lengths.values())) > 1:
            raise StoreError(f"{path} has files of different lengths ({lengths}): copy or collect this shard again")
    if len(arrays["seed"]) != len(arrays["offsets"]) - 1:
        raise StoreError(f"{path} has {len(arrays['seed'])} histories, and {len(arrays['offsets'])} offsets: collect it again")


def _told(path: Path) -> dict[str, Any]:
    """What `shard.json` says, if nobody has changed it."""
    told = read_json(path / "shard.json")
    if told.pop("digest", None) != digest_of(told):
        raise StoreError(f"{path}/shard.json has been changed since it was written: copy or collect this shard again")
    return told


def _listed(path: Path, told: Mapping[str, Any]) -> Iterator[tuple[Path, int, str]]:
    """The files of a shard: path, bytes, digest."""
    for name, file in told["files"].items():
        if Path(name).name != name or not name.endswith(".npy"):
            raise StoreError(f"{path}/shard.json lists {name!r}, which is no file of a shard")
        yield path / name, as_integer("bytes", file["bytes"]), str(file["sha256"])


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
