"""How Python calls a loop: a loop takes a few named tuples, and a call hands over their fields one by one.

Numba looks at each argument of each call, and takes a microsecond longer for a tuple than for what is in it. So the functions
here write, from a loop's own list of arguments, a driver that takes them apart: `flattened` takes one argument a field, and
`by_address` takes where they stand in memory, as one array.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from metarl_envs.engine.compiling.kernels import glue


def flattened(loop: Callable) -> Callable:
    """Return the loop with the fields of each named tuple in the place of that tuple, in order."""
    names, call = _taken_apart(loop)
    return _written(loop, loop.__name__, ", ".join(names), f"return loop({call})")


def by_address(loop: Callable, like: Sequence[np.ndarray], *last: str) -> Callable:
    """Return the loop over arrays that stay where they are: it takes one array, what `pointers.addresses` gives for them.

    Args:
        loop: its arguments are arrays, or named tuples of arrays, and whatever `last` is.
        like: arrays of the forms that it is called with, in order, as `flattened` takes them; their number of rows is free.
        last: the expressions for the arguments after the arrays.
    """
    from metarl_envs.engine.compiling.pointers import rows_at

    names, call = _taken_apart(loop)
    names = names[: len(names) - len(last)]
    lines = [f"{name} = rows_{i}(at[{i}], at[{len(names) + i}])" for i, name in enumerate(names)]
    lines += [f"{name} = {value}" for name, value in zip(_taken_apart(loop)[0][len(names) :], last, strict=True)]
    forms = {f"rows_{i}": rows_at(array) for i, array in enumerate(like)}
    return _written(loop, f"{loop.__name__}_at", "at", "\n    ".join([*lines, f"return loop({call})"]), **forms)


def _taken_apart(loop: Callable) -> tuple[list[str], str]:
    """The names of all arguments, with those of fields in the place of a named tuple, and how the loop is called with them."""
    names, call = [], []
    for name, parameter in inspect.signature(loop, eval_str=True).parameters.items():
        kind = parameter.annotation
        if not hasattr(kind, "_fields"):
            names.append(name)
            call.append(name)
            continue
        fields = [f"{name}_{field}" for field in kind._fields]
        names += fields
        call.append(f"{kind.__name__}({', '.join(fields)})")
    return names, ", ".join(call)


def _written(loop: Callable, name: str, arguments: str, body: str, **known: Any) -> Callable:
    """A function of this body, in which the loop, its named tuples and what else is `known` stand under their names."""
    kinds = [parameter.annotation for parameter in inspect.signature(loop, eval_str=True).parameters.values()]
    scope = {kind.__name__: kind for kind in kinds if hasattr(kind, "_fields")}
    scope |= {"loop": glue(loop), "__name__": loop.__module__, **known}
    exec(compile(f"def {name}({arguments}):\n    {body}\n", f"<the arguments of {loop.__qualname__}>", "exec"), scope)
    return scope[name]
