"""Checks of arguments that every public function shares: integers and seeds, Python's or NumPy's, and names nearly right."""

from __future__ import annotations

import difflib
import operator
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

#: Streams are keyed by 64-bit numbers.
SEEDS = 2**64

#: Told how far long work has come: the name of what is being worked on (a policy, a learner, "bytes"), how much of it is done
#: by now, and how much there is.
Progress = Callable[[str, int, int], None]


def tell_nobody(name: str, done: int, total: int) -> None:
    """Tell nobody how far work has come."""


def did_you_mean(name: Any, known: Iterable[str]) -> str:
    """Return `"; did you mean 'x'?"`, to be put behind an error, where a name is close to a known one; else nothing.

    Case does not count.
    """
    by_case = {one.casefold(): one for one in known}
    close = difflib.get_close_matches(str(name).casefold(), by_case, n=1)
    return f"; did you mean {by_case[close[0]]!r}?" if close else ""


def as_integer(name: str, value: Any, lowest: int = 0) -> int:
    """Return `value` as a Python int.

    Raises:
        TypeError: it is not an integer (Python's or NumPy's; a bool, a float or an array is none).
        ValueError: it is below `lowest`.
    """
    message = f"{name}={value!r} must be an integer of at least {lowest}"
    if isinstance(value, bool | np.bool_ | np.ndarray):
        raise TypeError(message)
    try:
        number = operator.index(value)
    except TypeError:
        raise TypeError(message) from None
    if number < lowest:
        raise ValueError(message)
    return number


def at_least_one(name: str, value: Any) -> int:
    """Return `value` as a Python int of at least 1; TypeError or ValueError as in `as_integer`."""
    return as_integer(name, value, 1)


def as_seed(seed: Any, name: str = "seed") -> int:
    """Return `seed` as a Python int.

    Raises:
        TypeError: it is not an integer (Python's or NumPy's; a bool, a float or an array is none).
        ValueError: it is negative, or 2**64 or more: streams are keyed by 64 bits, and a larger seed would equal a smaller one.
    """
    number = as_integer(name, seed)
    if number >= SEEDS:
        raise ValueError(f"{name}={seed!r} must be below 2**64")
    return number


def as_seeds(seed: Any, count: int, what: str) -> list[int | None]:
    """Return one seed (or None) for each of `count` rows, from a sequence with one for each.

    Args:
        seed: the sequence.
        count: how many rows there are.
        what: what the number of rows is called in an error, such as "num_envs".

    Raises:
        TypeError: `seed` is no sequence, or one of its elements is neither an integer nor None.
        ValueError: it has another length than `count`, or an element is out of range (see `as_seed`).
    """
    if isinstance(seed, str | bytes) or not (isinstance(seed, Sequence) or (isinstance(seed, np.ndarray) and seed.ndim == 1)):
        raise TypeError(f"seed={seed!r} must be an integer of at least 0, or a sequence with one for each row")
    if len(seed) != count:
        raise ValueError(f"seed holds {len(seed)} seeds; {what} is {count}")
    return [None if one is None else as_seed(one, f"seed[{i}]") for i, one in enumerate(seed)]


def row_seeds(seed: int, count: int) -> np.ndarray:
    """Return the seeds of `count` rows, uint64: seed, seed + 1, ..., around 2**64."""
    return np.arange(count, dtype=np.uint64) + np.uint64(seed)
