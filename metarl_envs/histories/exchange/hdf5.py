"""Reading HDF5 files of strangers: data that lies in the file itself, and no more of it than the file can hold."""

from __future__ import annotations

import contextlib
import math
import mmap
import os
import re
import struct
from collections.abc import Iterator

import h5py
import h5py.h5i
import h5py.h5o
import numpy as np

from metarl_envs.histories.layout import DTYPES

#: Bytes that a stored byte can stand for: deflate's limit. A shape that declares more has not been written.
_MOST = 1032
#: Filters that expand to no more than that: deflate, shuffle, fletcher32, lzf.
_FILTERS = {1, 2, 3, 32000}


@contextlib.contextmanager
def opened(path: str | os.PathLike) -> Iterator[h5py.File]:
    """Open a file to be read, if HDF5 can read what words it holds.

    Words lie in collections, which HDF5 (up to 2.0 at least) walks through by the sizes that they say: one of 0 holds it for
    ever. So their sizes are looked at first.

    Raises:
        OSError: it is no HDF5 file.
        ValueError: a collection is damaged.
    """
    with open(path, "rb") as stream, mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as content:
        for found in re.finditer(rb"GCOL\x01\0\0\0", content):
            _see_that_a_collection_ends(content, found.start())
    with h5py.File(path, "r") as file:
        yield file


def _see_that_a_collection_ends(content: mmap.mmap, start: int) -> None:
    """See that the objects of a global heap collection follow one another up to its end; ValueError where they do not."""
    size = int.from_bytes(content[start + 8 : start + 16], "little")
    at, end = start + 16, start + size
    while at + 16 <= end <= len(content):
        index, _, _, length = struct.unpack("<HHIQ", content[at : at + 16])
        if index == 0:  # the rest is free, this header included
            at += length
            break
        at += 16 + -(-length // 8) * 8
    if not end - 16 < at <= end <= len(content):
        raise ValueError(f"words in it are damaged (at byte {start:,})")


def members(group: h5py.Group) -> dict[str, h5py.Group | h5py.Dataset]:
    """Return what lies in a group, by name; ValueError where a link leads out of the file, or to another place in it."""
    found = {}
    for name in group:
        if not isinstance(group.get(name, getlink=True), h5py.HardLink):
            raise ValueError(f"{group.name}/{name} is a link to somewhere else, which is not followed")
        found[name] = group[name]
    return found


def walk(group: h5py.Group) -> Iterator[h5py.Dataset]:
    """Yield every dataset in and below a group; ValueError where groups hold one another."""
    seen = {h5py.h5o.get_info(group.id).addr}
    below = [group]
    while below:
        for member in members(below.pop()).values():
            if isinstance(member, h5py.Dataset):
                yield member
            elif isinstance(member, h5py.Group):
                address = h5py.h5o.get_info(member.id).addr
                if address in seen:
                    raise ValueError(f"{member.name} is in several places of the file")
                seen.add(address)
                below.append(member)
            else:
                raise ValueError(f"{group.name} holds a {type(member).__name__}")


def see_that_it_is_there(dataset: h5py.Dataset) -> None:
    """See that what a dataset declares lies in this file, before memory is taken for it; ValueError where it does not."""
    name = dataset.name
    properties = dataset.id.get_create_plist()
    if dataset.is_virtual or dataset.external:
        raise ValueError(f"{name} lies in another file, which is not read")
    filters = {properties.get_filter(i)[0] for i in range(properties.get_nfilters())}
    if odd := filters - _FILTERS:
        raise ValueError(f"{name} is written with filter {min(odd)}, which is not read here")
    if dataset.shape is None:
        raise ValueError(f"{name} has no elements")
    itemsize = dataset.dtype.itemsize
    declared, stored = math.prod(dataset.shape) * itemsize, dataset.id.get_storage_size()
    chunk = math.prod(dataset.chunks or ()) * itemsize
    size = h5py.h5i.get_file_id(dataset.id).get_filesize()
    if stored > size or declared > stored * (_MOST if filters else 1) or chunk > max(size * _MOST, 2**16):
        raise ValueError(f"{name} declares {declared:,} bytes, and {stored:,} are stored in a file of {size:,}")


def numbers_in(dataset: object, name: str) -> h5py.Dataset:
    """Return a dataset of numbers that lies in the file; ValueError (with the name) where it is none."""
    if not isinstance(dataset, h5py.Dataset) or dataset.dtype.newbyteorder("=") not in DTYPES:
        raise ValueError(f"{name} is no dataset of numbers")
    see_that_it_is_there(dataset)
    return dataset


def native(array: np.ndarray) -> np.ndarray:
    """Return the same numbers in this machine's order of bytes."""
    return array.astype(array.dtype.newbyteorder("="), copy=False)
