"""Checks of constructor arguments that several wrappers take."""

from __future__ import annotations

import operator
from typing import Any


def at_least(name: str, value: Any, least: int) -> int:
    """An integer argument.

    Raises:
        ValueError: it is no integer or too small.
    """
    try:
        number = operator.index(value)
    except TypeError:
        number = least - 1
    if isinstance(value, bool) or number < least:
        raise ValueError(f"{name}={value!r} must be an integer of at least {least}")
    return number


def one_of(name: str, value: Any, allowed: tuple[Any, ...]) -> Any:
    """An argument with few allowed values.

    Raises:
        ValueError: it is none of them.
    """
    if value not in allowed:
        raise ValueError(f"{name}={value!r} must be one of {', '.join(map(repr, allowed))}")
    return value
