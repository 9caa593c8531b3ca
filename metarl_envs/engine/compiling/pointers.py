"""Arrays by address, for compiled code only: what lets a call hand over many arrays as one."""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

#: An array over memory at an address: `carray(pointer, shape, dtype)`.
carray: Any = numba.carray  # pyright: ignore[reportPrivateImportUsage]


def _pointer(typing_context: Any, address: Any) -> Any:
    """An integer as a pointer. Whoever made the integer keeps the array alive."""
    if not isinstance(address, types.Integer):
        return None

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.inttoptr(arguments[0], ir.IntType(8).as_pointer())

    return types.voidptr(types.intp), generate


#: Called in compiled code as `pointer(address)`.
pointer: Any = intrinsic(_pointer)


def _copy(typing_context: Any, to: Any, source: Any, count: Any) -> Any:
    """Copy bytes from one address to another. Whoever made the addresses keeps both arrays alive."""
    if not all(isinstance(value, types.Integer) for value in (to, source, count)):
        return None

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        at, read, size = arguments
        byte = ir.IntType(8).as_pointer()
        cgutils.raw_memcpy(builder, builder.inttoptr(at, byte), builder.inttoptr(read, byte), size, 1)
        return context.get_dummy_value()

    return types.none(to, source, count), generate


#: Called in compiled code as `copy(to, source, bytes)`.
copy: Any = intrinsic(_copy)


def addresses(*arrays: np.ndarray) -> np.ndarray:
    """Where the arrays stand, then how many rows each has. They must outlive the result."""
    places = [array.__array_interface__["data"][0] for array in arrays]
    return np.array([*places, *map(len, arrays)], np.int64)
