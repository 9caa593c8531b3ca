"""What a family is written in: plain scalar functions over rows, compiled on first use.

A kernel may use numbers, rows, elements of sub-arrays, `math`, and other kernels. It may not allocate, and it may not use
strings, exceptions or Python objects: the same source must also compile as a CUDA device function.
"""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Callable
from typing import Any, TypeVar

Function = TypeVar("Function", bound=Callable)

#: True where kernels run as ordinary Python: by wish (`NUMBA_DISABLE_JIT=1`), or because there is no Numba.
PLAIN = os.environ.get("NUMBA_DISABLE_JIT", "0") not in ("", "0") or importlib.util.find_spec("numba") is None


def kernel(function: Function) -> Function:
    """Compile a scalar function over rows on its first call; in plain mode, leave it as it is.

    Without Numba's run-time (`_nrt=False`) nothing is reference-counted, which made drivers 15 times faster, and a kernel
    that allocates does not compile. LLVM inlines small kernels by itself; inlining them before types are known is slower.
    """
    if PLAIN:
        return function
    return _njit(nogil=True, _nrt=False)(function)


def glue(function: Function) -> Function:
    """A driver's inner function: inlined before typing, because arrays handed over in a call cost a factor of three."""
    if PLAIN:
        return function
    return _njit(nogil=True, inline="always")(function)


def _njit(**options: Any) -> Callable[[Function], Function]:
    from numba import njit

    return njit(**options)  # type: ignore[call-overload, return-value]
