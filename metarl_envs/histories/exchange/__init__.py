"""Histories in the formats of others: Arrow IPC, Minari and XLand-100B, both ways."""

from __future__ import annotations

import importlib
import os
from pathlib import Path
from typing import Any

from metarl_envs.histories.saving import save
from metarl_envs.histories.store import Histories

#: By name, the module that writes (`export`) and reads (`read`) a format, and what has to be installed for it.
FORMATS = {
    "arrow": ("metarl_envs.histories.exchange.arrow", "pyarrow"),
    "minari": ("metarl_envs.histories.exchange.minari", "minari h5py"),
    "xland": ("metarl_envs.histories.exchange.xland", "h5py"),
}


def export(histories: Histories, target: str | os.PathLike, format: str) -> None:
    """Write histories in another format.

    Args:
        histories: which.
        target: a file that is not there yet; for `"minari"` the id of a dataset, such as `"metarl/dark-room-v0"`.
        format: `"arrow"`: Arrow IPC compressed with zstd, for transport: everything, exactly. `"minari"`: a Minari dataset
            in HDF5, one episode each, every one with the number of its history. `"xland"`: the layout of XLand-100B (HDF5,
            a group a task), which has no final observations and does not tell termination from truncation.

    Raises:
        ValueError: there is no such format, or it cannot hold these histories.
        FileExistsError: the target is there already.
        ModuleNotFoundError: what the format needs is not installed.
    """
    module = _module(format)
    if format == "xland" and (fields := histories.columns["observation"][0].names):
        raise ValueError(
            f"format 'xland' holds arrays, and the observations here are rows of {', '.join(sorted(fields))}: 'arrow' and "
            "'minari' hold rows"
        )
    module.export(histories, target)


def import_from(source: str | os.PathLike, format: str, out: str | os.PathLike) -> Histories:
    """Read histories in another format, and write them to a folder as a store.

    Args:
        source: a file; for `"minari"` the id of a local dataset.
        format: see `export`.
        out: the folder, which must not be there yet.

    Raises:
        ValueError: there is no such format.
        StoreError: the source is not of it, or has been cut, damaged or changed; the message names it. Nothing is written then.
        FileNotFoundError, FileExistsError: the source is not there; the folder is.
        ModuleNotFoundError: what the format needs is not installed.
    """
    module = _module(format)
    if format != "minari" and not Path(source).is_file():
        raise FileNotFoundError(f"{source} is no file")
    folder = Path(out).absolute()
    if folder.exists():
        raise FileExistsError(f"out={str(folder)!r} is there already: give another folder")
    about, histories = module.read(source)
    return save(histories, folder, about)


def _module(format: str) -> Any:
    if format not in FORMATS:
        raise ValueError(f"format={format!r} is not known; there are: {', '.join(FORMATS)}")
    module, needs = FORMATS[format]
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            f"format {format!r} needs more than is installed ({error.name}): pip install {needs}"
        ) from None
