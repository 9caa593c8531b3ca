"""Checks of arguments that several wrappers take. Each returns the value as plain Python, so that specs can be JSON."""

from __future__ import annotations

import math
import numbers
import operator
from typing import Any

import numpy as np

#: Streams are keyed by 64-bit numbers.
SEEDS = 2**64


def at_least(name: str, value: Any, least: int) -> int:
    """Return an integer argument as a Python int.

    Raises:
        TypeError: it is not an integer (Python's or NumPy's; a bool, a float or an array is none).
        ValueError: it is too small.
    """
    message = f"{name}={value!r} must be an integer of at least {least}"
    if isinstance(value, bool | np.bool_ | np.ndarray):
        raise TypeError(message)
    try:
        number = operator.index(value)
    except TypeError:
        raise TypeError(message) from None
    if number < least:
        raise ValueError(message)
    return number


def as_seed(seed: Any, name: str = "seed") -> int:
    """Return a seed as a Python int.

    Raises:
        TypeError: it is not an integer (see `at_least`).
        ValueError: it is negative, or 2**64 or more: streams are keyed by 64 bits, so it would equal a smaller one.
    """
    number = at_least(name, seed, 0)
    if number >= SEEDS:
        raise ValueError(f"{name}={seed!r} must be below 2**64")
    return number


def as_number(name: str, value: Any) -> float:
    """Return a real number as a Python float.

    Raises:
        TypeError: it is none (Python's or NumPy's; a bool, a text or an array is none).
        ValueError: it is not finite.
    """
    if isinstance(value, bool | np.bool_) or not isinstance(value, numbers.Real):
        raise TypeError(f"{name}={value!r} must be a real number")
    if not math.isfinite(value):
        raise ValueError(f"{name}={value!r} must be finite")
    return float(value)


def as_flag(name: str, value: Any) -> bool:
    """Return a yes-or-no argument as a Python bool.

    Raises:
        TypeError: it is neither True nor False (Python's or NumPy's).
    """
    if not isinstance(value, bool | np.bool_):
        raise TypeError(f"{name}={value!r} must be True or False")
    return bool(value)


def one_of(name: str, value: Any, allowed: tuple[Any, ...]) -> Any:
    """Return an argument with few allowed values, as it stands among them.

    Raises:
        ValueError: it is none of them.
    """
    if value not in allowed:
        raise ValueError(f"{name}={value!r} must be one of {', '.join(map(repr, allowed))}")
    return allowed[allowed.index(value)]
