"""Functions as constructor arguments: recorded as "module:function", so that specs stay JSON."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any


def path_of(function: str | Callable[..., Any], argument: str) -> str:
    """The import path of a function, or a path as it is.

    Raises:
        TypeError: it is neither a function nor a str.
        ValueError: the function cannot be imported by a name (a lambda, a local function), or the path has another
            form.
    """
    if callable(function):
        path = f"{function.__module__}:{function.__qualname__}"
        if "<" in path:
            raise ValueError(f"{argument}={path} cannot be imported by that name: give a function at the top of a module")
        return path
    message = f"{argument}={function!r} must be a function or its path 'module:function'"
    if not isinstance(function, str):
        raise TypeError(message)
    if function.count(":") != 1:
        raise ValueError(message)
    return str(function)


def load(path: str, argument: str) -> Callable[..., Any]:
    """The function at an import path.

    Raises:
        ValueError: there is none.
    """
    module, _, name = path.partition(":")
    try:
        return getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise ValueError(f"{argument}={path!r} cannot be imported: {error}") from error
