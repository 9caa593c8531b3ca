"""Rules that every history keeps: checked before a byte of it is written, and when it is read from elsewhere."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

#: Columns that every history has.
TRANSITION = ("observation", "action", "reward", "terminated", "truncated")
#: Files of a shard that hold no column: by name, what has one element in each.
TABLES = ("offsets", "episode_end", "final_observation", "seed", "task", "task_id")
#: Those of them that histories from elsewhere may lack.
OPTIONAL_TABLES = ("final_observation", "task")
#: Names that no column can have: those of the tables, and of what `Histories.sample` puts beside the columns.
RESERVED = (*TABLES, "history", "step")

#: What the elements of a column may be: what every reader of `.npy`, Arrow and HDF5 has, and PyTorch too.
_NUMBERS = ("bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "float16", "float32", "float64")
DTYPES = {np.dtype(name) for name in _NUMBERS}
#: Columns become files, on any system: no separators, nothing hidden, nothing longer than a file's name may be.
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}")

#: The dtype of a column, and the shape of one step's element.
Form = tuple[np.dtype, tuple[int, ...]]


def check_names(names: Iterable[Any]) -> None:
    """See that columns can have these names; ValueError with the first that cannot be one."""
    seen: dict[str, str] = {}
    for name in names:
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            raise ValueError(
                f"{name!r} cannot be the name of a column: up to 100 letters, digits, _ . - (the first no . or -) can"
            )
        if name in RESERVED:
            raise ValueError(f"{name!r} cannot be the name of a column: a store has that name for something else")
        if name.lower() in seen:
            raise ValueError(f"{name!r} and {seen[name.lower()]!r} cannot both be columns: on some systems they are one file")
        seen[name.lower()] = name


def names_in(argument: str, names: Sequence[str]) -> tuple[str, ...]:
    """Return a sequence of names as a tuple; TypeError where it is none (one name alone is a sequence of letters)."""
    if isinstance(names, str):
        raise TypeError(f"{argument}={names!r} must be a list of names, such as [{names!r}]")
    found = tuple(names)
    if odd := [name for name in found if not isinstance(name, str)]:
        raise TypeError(f"{argument}={names!r} must be a list of names, and {odd[0]!r} is none")
    return found


def check_columns(columns: Mapping[str, Form]) -> None:
    """See that a history can have these columns: names, the five that every one has, dtypes and shapes.

    Raises:
        ValueError: with the first thing that is wrong.
    """
    check_names(columns)
    if lacking := [name for name in TRANSITION if name not in columns]:
        raise ValueError(f"there is no column {lacking[0]!r}: every history has {', '.join(TRANSITION)}")
    for name, (dtype, shape) in columns.items():
        if not _is_known(dtype) or (dtype.names and name != "observation"):
            raise ValueError(
                f"column {name!r} has dtype {dtype}: it must be one of {', '.join(_NUMBERS)}, in native byte order (and an "
                "observation may be a row of these)"
            )
        if math.prod(shape) < 1:
            raise ValueError(f"column {name!r} has elements of shape {list(shape)}, which hold nothing")
    for name in ("terminated", "truncated"):
        if columns[name] != (np.dtype(np.bool_), ()):
            raise ValueError(f"column {name!r} must be bool [steps], not {_told(columns[name])}")
    if columns["reward"][0].kind == "b" or columns["reward"][1]:
        raise ValueError(f"column 'reward' must be numbers [steps], not {_told(columns['reward'])}")


def _is_known(dtype: np.dtype) -> bool:
    """Whether elements are numbers that every reader has, or rows of arrays of such."""
    if dtype.names is None:
        return dtype in DTYPES
    return all(dtype[name].base in DTYPES for name in dtype.names)


def check_episodes(offsets: np.ndarray, ends: np.ndarray, columns: Mapping[str, np.ndarray], final: np.ndarray | None) -> None:
    """See that episodes fill histories without gaps, and end where a flag says so.

    Args:
        offsets: where each history begins, and the end of the last.
        ends: the step after the last of each episode.
        columns: of all these histories, one after the other.
        final: what was seen after the last step of each episode, or None.

    Raises:
        ValueError: they do not.
    """
    check_offsets(offsets, len(columns["reward"]))
    check_ends(offsets, ends)
    flagged = np.flatnonzero(columns["terminated"] | columns["truncated"]) + 1
    if len(odd := np.setdiff1d(flagged, ends)):
        raise ValueError(f"step {odd[0] - 1} is terminated or truncated, and episode_end lacks {odd[0]}")
    if final is None:
        return
    if final.shape[:1] != ends.shape:
        raise ValueError(f"final_observation has {len(final)} elements, and there are {len(ends)} episodes")
    seen = columns["observation"]
    if (final.dtype, final.shape[1:]) != (seen.dtype, seen.shape[1:]):
        wanted, told = _told((seen.dtype, seen.shape[1:])), _told((final.dtype, final.shape[1:]))
        raise ValueError(f"final_observation has {told} for each episode, and observation has {wanted} for each step")


def check_offsets(offsets: np.ndarray, steps: int) -> None:
    """See that histories follow one another without gaps and fill so many steps; ValueError where they do not."""
    if offsets.dtype.kind not in "iu" or offsets.ndim != 1 or len(offsets) < 2:
        raise ValueError("offsets must be integers, from 0 on, one more than there are histories")
    if offsets[0] != 0 or offsets[-1] != steps or not (offsets[1:] > offsets[:-1]).all():
        raise ValueError(f"histories must have at least one step each, and together {steps}: offsets say otherwise")


def check_ends(offsets: np.ndarray, ends: np.ndarray) -> None:
    """See that episodes follow one another without gaps, and that every history ends with one; ValueError where not."""
    if ends.dtype.kind not in "iu" or ends.ndim != 1:
        raise ValueError(f"episode_end must be integers [episodes], not {_told((ends.dtype, ends.shape))}")
    if not len(ends) or ends[0] < 1 or ends[-1] != offsets[-1] or not (ends[1:] > ends[:-1]).all():
        raise ValueError(f"episode_end must increase from at least 1 up to the number of steps, {offsets[-1]}: {_short(ends)}")
    if not np.isin(offsets[1:], ends).all():
        raise ValueError("each history must end with an episode: episode_end lacks where one ends")


def as_json(name: str, value: Any) -> Any:
    """Return `value` as it will be read out of a JSON file; TypeError or ValueError where JSON cannot hold it."""
    try:
        return json.loads(json.dumps(value, allow_nan=False))
    except TypeError as error:
        raise TypeError(f"{name}={value!r} must be what JSON holds (float(...) of NumPy's numbers, say): {error}") from None
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{name}={value!r} must be what JSON holds: {error}") from None


def _told(form: Form) -> str:
    return f"{form[0]} {list(form[1])}"


def _short(array: np.ndarray) -> str:
    return np.array2string(array, threshold=6, edgeitems=3)
