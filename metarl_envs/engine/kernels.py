"""What a family is written in: plain scalar functions over rows, compiled on first use.

A kernel may use numbers, rows, elements of sub-arrays, `math`, and other kernels. It may not allocate, and it may not use
strings, exceptions or Python objects: the same source must also compile as a CUDA device function.
"""

from __future__ import annotations

import functools
import hashlib
import importlib.util
import os
from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np

Function = TypeVar("Function", bound=Callable)

#: True where kernels run as ordinary Python: by wish (`NUMBA_DISABLE_JIT=1`), or because there is no Numba.
PLAIN = os.environ.get("NUMBA_DISABLE_JIT", "0") not in ("", "0") or importlib.util.find_spec("numba") is None

#: An index that cannot be negative: loops over `range(unsigned(n))` need no look at its sign, and LLVM vectorises them.
unsigned = int if PLAIN else np.uint64


def kernel(function: Function) -> Function:
    """Compile a scalar function over rows on its first call; in plain mode, leave it as it is.

    Without Numba's run-time (`_nrt=False`) nothing is reference-counted, which made drivers 15 times faster, and a kernel
    that allocates does not compile. LLVM inlines small kernels by itself.
    """
    if PLAIN:
        return function
    return _njit(nogil=True, _nrt=False)(function)


def glue(function: Function) -> Function:
    """A driver's inner function: always inlined, because arrays handed over in a call cost a factor of three."""
    if PLAIN:
        return function
    return _njit(nogil=True, _nrt=False, forceinline=True)(function)


def _njit(**options: Any) -> Callable[[Function], Function]:
    from numba import njit

    _name_rows_by_content()
    return njit(**options)  # type: ignore[call-overload, return-value]


@functools.cache
def _name_rows_by_content() -> None:
    """Let machine code name a row type by what it is.

    Numba names it by a number that counts up in each process. Two processes would then give one name to code for two kinds
    of rows, and a third, which loads both from disk, would run one of them for both.
    """
    from numba.core import types

    @functools.cache
    def number(name: str) -> int:
        return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8])

    types.Record.mangling_args = property(lambda self: ("Record", (number(self.name),)))  # type: ignore[assignment]
