"""Reading HDF5 files of strangers: data that lies in the file itself, and no more of it than the file can hold."""

from __future__ import annotations

import math
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


def members(group: h5py.Group) -> dict[str, h5py.Group | h5py.Dataset]:
    """What lies in a group, by name; ValueError where a link leads out of the file, or to another place in it."""
    found = {}
    for name in group:
        if not isinstance(group.get(name, getlink=True), h5py.HardLink):
            raise ValueError(f"{group.name}/{name} is a link to somewhere else, which is not followed")
        found[name] = group[name]
    return found


def walk(group: h5py.Group) -> Iterator[h5py.Dataset]:
    """Every dataset in and below a group; ValueError where groups hold one another."""
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
    """The same numbers in this machine's order of bytes."""
    return array.astype(array.dtype.newbyteorder("="), copy=False)
