"""Arrays by address, for compiled code only: what lets a call hand over many arrays as one."""

from __future__ import annotations

import math
from typing import Any

import numba
import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic


def rows_at(like: np.ndarray) -> Any:
    """What is called in compiled code as `rows(address, count)`: the array of `count` rows there, of the form of `like`.

    Whoever made the address keeps the array alive: nothing counts references to it. (`numba.carray` does the same by a function
    of Numba's for each form, each of which is made ready to be called by itself.)
    """
    dtype, within = like.dtype, like.shape[1:]  # all that the code follows from: it is in the digest of the driver

    def rows(typing_context: Any, address: Any, count: Any) -> Any:
        if not all(isinstance(value, types.Integer) for value in (address, count)):
            return None
        dimensions = 1 + len(within)
        form = types.Array(numba.from_dtype(dtype), dimensions, "C")  # pyright: ignore[reportPrivateImportUsage]

        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            word = context.get_value_type(types.intp)
            place, length = (context.cast(builder, *one, types.intp) for one in zip(arguments, signature.args, strict=True))
            array = context.make_array(form)(context, builder)
            array.data = builder.inttoptr(place, context.get_data_type(form.dtype).as_pointer())
            array.shape = cgutils.pack_array(builder, [length, *map(word, within)], ty=word)
            strides = [word(dtype.itemsize * math.prod(within[axis:])) for axis in range(dimensions)]
            array.strides = cgutils.pack_array(builder, strides, ty=word)
            array.itemsize, array.nitems = word(dtype.itemsize), builder.mul(length, word(math.prod(within)))
            array.meminfo, array.parent = (ir.Constant(getattr(array, name).type, None) for name in ("meminfo", "parent"))
            return array._getvalue()

        return form(address, count), generate

    return intrinsic(rows)


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
