"""What a family is written in: plain scalar functions over rows, compiled on first use.

A kernel may use numbers, rows, elements of sub-arrays, `math`, and other kernels. It may not allocate, and it may not use
strings, exceptions or Python objects: the same source must also compile as a CUDA device function.
"""

from __future__ import annotations

import functools
import importlib
import importlib.util
import os
import types
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

import numpy as np

Function = TypeVar("Function", bound=Callable)

#: True where kernels run as ordinary Python: by wish (`NUMBA_DISABLE_JIT=1`), or because there is no Numba.
PLAIN = os.environ.get("NUMBA_DISABLE_JIT", "0") not in ("", "0") or importlib.util.find_spec("numba") is None

#: An index that cannot be negative: loops over `range(unsigned(n))` need no look at its sign, and LLVM vectorises them.
unsigned = int if PLAIN else np.uint64


def kernel(function: Function) -> Function:
    """Compile a scalar function over rows on its first call; in plain mode, leave it as it is.

    What it is given of signed whole numbers is int64, whatever the width of a field, as plain Python has one kind of them.

    Without Numba's run-time (`_nrt=False`) nothing is reference-counted, which made drivers 15 times faster, and a kernel
    that allocates does not compile. LLVM inlines small kernels by itself. (`forceinline=False` has to be said: left open, it is
    taken over from whoever calls a kernel first, and then a family is in its drivers as often as it is called.)
    """
    if PLAIN:
        return function
    return numba_parts().compiled_kernel(function, forceinline=False)


def glue(function: Function) -> Function:
    """A driver's inner function: always inlined, because arrays handed over in a call cost a factor of three."""
    if PLAIN:
        return function
    return numba_parts().compiled_kernel(function, forceinline=True)


def together(parts: Iterable[Callable | None], join: Callable[[Callable, Callable], Callable], none: Callable) -> Callable:
    """Return one kernel out of several, which call each other in a chain that becomes one piece of machine code.

    Args:
        parts: kernels with the same arguments; what is None is left out.
        join: `join(one, other)`: a function that calls both.
        none: the function to take where there is no part.
    """
    there = [part for part in parts if part]
    return functools.reduce(lambda one, other: glue(join(one, other)), there) if there else glue(none)


@functools.cache
def plain(kernel: Function) -> Function:
    """Return a kernel as ordinary Python, and with it all kernels that it calls: what plain mode would run.

    So a rule that Python needs too, such as how many actions there are, is written once. It takes rows (see `records.Row`) or
    anything else with the fields that it reads, and draws no random numbers.
    """
    function = getattr(kernel, "py_func", kernel)
    if PLAIN or not isinstance(function, types.FunctionType):
        return kernel
    cells = tuple(types.CellType(_plain_value(cell.cell_contents)) for cell in function.__closure__ or ())
    scope = {**function.__globals__, **{name: _plain_value(function.__globals__[name]) for name in _globals_of(function)}}
    return types.FunctionType(function.__code__, scope, function.__name__, function.__defaults__, cells)  # type: ignore[return-value]


def _globals_of(function: types.FunctionType) -> set[str]:
    """The module-level names that a function reads."""
    return set(function.__code__.co_names) & function.__globals__.keys()


def _plain_value(value: Any) -> Any:
    """What a compiled kernel reads, as its plain form reads it."""
    return int if value is unsigned else plain(value) if hasattr(value, "py_func") else value


@functools.cache
def numba_parts() -> types.ModuleType:
    """Import Numba when the first kernel is met."""
    return importlib.import_module("metarl_envs.engine.compiling.numba_parts")
