"""Arrays as they lie on disk, which hold no file open: as many can be mapped as there are addresses."""

from __future__ import annotations

import ctypes
import functools
import io
import math
import mmap
import os
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np

from metarl_envs.histories.reading import StoreError, refusing


def map_array(file: Path, size: int) -> np.ndarray:
    """Map a `.npy` file that has `size` bytes. Its header must say the same: nothing is taken from memory for what it declares.

    Raises:
        StoreError: the file is missing, has another size, or is no array of numbers in the order of C.
    """
    with refusing(file, "array"):
        try:
            opened = file.open("rb")
        except FileNotFoundError:
            raise StoreError(f"{file} is missing: copy or collect this shard again") from None
        with opened as stream:
            there = os.fstat(stream.fileno()).st_size
            if there != size:
                raise StoreError(f"{file} has {there:,} bytes, and {size:,} were written: copy or collect this shard again")
            header = _header(stream, there)
            if _libc() is None:
                return np.memmap(stream, header.dtype, "r", header.offset, header.shape)
            return np.asarray(_Pages(stream.fileno(), there))[header.offset :].view(header.dtype).reshape(header.shape)


def array_of(content: bytes) -> np.ndarray:
    """Return the array that the bytes of a `.npy` file hold, read-only; ValueError where they hold none of that length."""
    header = _header(io.BytesIO(content), len(content))
    return np.frombuffer(content, header.dtype, offset=header.offset).reshape(header.shape)


def advise_random(array: np.ndarray) -> None:
    """Tell the system that a mapped array is read at random places, where it can be told."""
    libc = _libc()
    if libc is not None and hasattr(mmap, "MADV_RANDOM"):
        address = array.__array_interface__["data"][0]
        before = address % mmap.PAGESIZE
        libc.madvise(address - before, array.nbytes + before, mmap.MADV_RANDOM)


class _Header(NamedTuple):
    shape: tuple[int, ...]
    dtype: np.dtype
    offset: int


def _header(stream: BinaryIO, size: int) -> _Header:
    """What stands before the numbers, if as many follow as it says in the `size` bytes that there are."""
    version = np.lib.format.read_magic(stream)
    if version not in ((1, 0), (2, 0)):
        raise ValueError(f"it is of version {version} of .npy")
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, fortran, dtype = read(stream)
    header = _Header(shape, dtype, stream.tell())
    plain = not fortran and not dtype.hasobject and all(type(axis) is int and axis > 0 for axis in shape)
    if not plain or header.offset + math.prod(shape) * dtype.itemsize != size:
        raise ValueError(f"cannot be read as an array: its header says {shape} of {dtype}, and it has {size:,} bytes")
    return header


class _Pages:
    """The pages of a file, for NumPy. Python's own `mmap` holds a descriptor open as long as it lives (before 3.13, always)."""

    def __init__(self, descriptor: int, size: int):
        libc = _libc()
        address = libc.mmap(None, size, mmap.PROT_READ, mmap.MAP_SHARED, descriptor, 0)
        if address == ctypes.c_void_p(-1).value:
            raise OSError(ctypes.get_errno(), f"mapping failed: {os.strerror(ctypes.get_errno())}")
        self._unmap = functools.partial(libc.munmap, address, size)
        self.__array_interface__ = {"data": (address, True), "shape": (size,), "typestr": "|u1", "version": 3}

    def __del__(self) -> None:
        if "_unmap" in self.__dict__:
            self._unmap()


@functools.cache
def _libc() -> Any:
    """The C library's calls for mapping; None where there are none (Windows, where nothing is held open anyway)."""
    try:
        libc = ctypes.CDLL(None, use_errno=True)
        libc.mmap.restype = ctypes.c_void_p
        libc.mmap.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_long)
        libc.munmap.argtypes = (ctypes.c_void_p, ctypes.c_size_t)
        libc.madvise.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)
    except (AttributeError, OSError, TypeError):
        return None
    return libc
