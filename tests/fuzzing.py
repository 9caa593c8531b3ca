"""Mutants of files, and what must become of each: it reads as the original did, or is refused by an error of ours.

Nothing here knows a format. `bytes_mutant`, `json_mutant` and `array_mutant` damage what they are given (they copy first);
`survive` reads one mutant after the other and holds what is promised of every reader:

    counts = survive(mutants, read, accept, refused=StoreError, name="h.arrow", sandbox=tmp_path, deep=counter)

All draws come from one `random.Random`, so that a mutant that was found bad is found again.
"""

import copy
import os
import random
import resource
import sys
from collections import Counter
from pathlib import Path

import numpy as np

#: Names that must not become files, and some that may.
NAMES = ["", ".", "..", "../../out", "/tmp/metarl-fuzz-out", "a/b", "a\\b", "C:out", "x" * 300, "a\x00b", "ä", "-rf", "seed",
         "task", "history", "offsets", "Reward", "reward", "observation", "q", "terminated", "__proto__", "a\n"]  # fmt: skip
#: Numbers at the edges of what sizes, counts and seeds can be.
NUMBERS = [-1, 0, 1, 2, 255, 2**31, 2**32 - 1, 2**62, 2**63, 2**64, 10**30, 10**400, -(2**63), 0.5, -0.0, 1e308,
           float("inf"), float("nan")]  # fmt: skip
#: What a reader of JSON may meet in place of anything.
VALUES = [None, True, False, "", "0", "<f8", "|O", "V9", "f4,f4", [], [[]], {}, {"a": 1}, [10**12], [10**9] * 3, [-1], "[" * 50,
          "a" * 5000, "\x00", "\ud800", "/etc/passwd", "os:system", "builtins:open", "..:x", [None] * 300]  # fmt: skip


def bytes_mutant(content: bytes, rng: random.Random) -> bytes:
    """Bytes with flipped bits, a cut, a piece that is gone, twice there, exchanged or zeroed, or something added."""
    kind = rng.choice(["flip", "flip", "flip", "set", "cut", "cut", "gone", "twice", "exchange", "zero", "add", "noise"])
    at, size = rng.randrange(max(1, len(content))), rng.choice([1, 2, 4, 8, 64, 512])
    to, some = rng.randrange(max(1, len(content))), rng.randbytes(size)
    changed = bytearray(content)
    if kind == "flip" and content:
        for _ in range(rng.choice([1, 1, 2, 5])):
            changed[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
    elif kind == "set" and content:
        changed[at] = rng.choice([0, 1, 0x7F, 0x80, 0xFF])
    elif kind == "cut":
        del changed[at:]
    elif kind == "gone":
        del changed[at : at + size]
    elif kind == "twice":
        changed[to:to] = content[at : at + size]
    elif kind == "exchange":
        changed[at : at + size] = content[to : to + size]
    elif kind == "zero":
        changed[at : at + size] = bytes(len(content[at : at + size]))
    elif kind == "add":
        changed += some
    elif kind == "noise":
        changed[at : at + size] = some[: len(content[at : at + size])]
    return bytes(changed)


def json_mutant(value, rng: random.Random):
    """A value of JSON with something in it renamed, gone, twice there, exchanged, of another type, or out of range."""
    value = copy.deepcopy(value)
    places = list(_places(value))
    if not places:
        return rng.choice([*VALUES, *NUMBERS])
    holder, key = rng.choice(places)
    kind = rng.choice(["value", "value", "number", "name", "rename", "gone", "exchange", "twice"])
    if kind == "value":
        holder[key] = copy.deepcopy(rng.choice(VALUES))
    elif kind == "number":
        holder[key] = rng.choice(NUMBERS)
    elif kind == "name":
        holder[key] = rng.choice(NAMES)
    elif kind == "gone":
        del holder[key]
    elif kind == "rename" and isinstance(holder, dict):
        new = rng.choice(NAMES)
        renamed = {new if name == key else name: held for name, held in holder.items()}
        holder.clear()
        holder.update(renamed)
    elif kind == "exchange":
        other, place = rng.choice(places)
        holder[key], other[place] = copy.deepcopy(other[place]), copy.deepcopy(holder[key])
    elif isinstance(holder, dict):
        holder[rng.choice(NAMES)] = copy.deepcopy(holder[key])
    else:
        holder.insert(rng.randrange(len(holder) + 1), copy.deepcopy(holder[key]))
    return value


def _places(value):
    """Every place in a value of JSON: what holds it, and the key or index."""
    keys = list(value) if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else []
    for key in keys:
        yield value, key
        yield from _places(value[key])


def array_mutant(array: np.ndarray, rng: random.Random) -> np.ndarray:
    """An array with other values, another length, dtype, order of bytes or shape, or of the opposite order."""
    kind = rng.choice(["value", "value", "value", "shorter", "longer", "dtype", "swapped", "shape", "order", "nothing"])
    array = np.array(array)
    if kind == "value" and array.size:
        raw = array.reshape(-1).view(np.uint8)
        raw[rng.randrange(len(raw))] = rng.choice([0, 1, 2, 3, 0x7F, 0x80, 0xFF])
    elif kind == "shorter":
        array = array[: rng.randrange(len(array) + 1)]
    elif kind == "longer":
        array = np.concatenate([array, array[: rng.randrange(len(array) + 1)]])
    elif kind == "dtype" and array.dtype.names is None:
        with np.errstate(all="ignore"):  # what the numbers become does not matter
            array = array.astype(rng.choice(["i1", "i4", "i8", "u1", "u8", "f2", "f4", "f8", "?", "c8", "S3", "U2"]))
    elif kind == "swapped":
        array = array.astype(array.dtype.newbyteorder())
    elif kind == "shape":
        array = rng.choice([array[:, None], array.reshape(-1), array[None], array[..., None, None], array.T])
    elif kind == "order":
        array = array[::-1].copy()
    elif kind == "nothing":
        array = array[:0]
    return array


class Deep:
    """Counts calls of a function that is reached behind the first look at a header only."""

    def __init__(self, monkeypatch, module, name):
        self.calls = 0
        inner = getattr(module, name)

        def counted(*arguments, **named):
            self.calls += 1
            return inner(*arguments, **named)

        monkeypatch.setattr(module, name, counted)


def survive(mutants, read, accept, *, refused, name, sandbox: Path, deep: Deep) -> Counter:
    """Read every mutant, and see that it is refused by name or acceptable, writes nothing, and takes no memory.

    Args:
        mutants: an iterable; it makes one mutant (where `read` finds it) and gives what it was made by, for `accept`.
        read: reads the mutant.
        accept: called with what was read and what the mutant was made by; whether that is as it should be.
        refused: the class (or classes) of errors by which mutants may be refused.
        name: what their text must hold: the name of the file, or several of which one is in it.
        sandbox: a folder around all; nothing may be made in it but by `mutants`.
        deep: tells which mutants came behind the first check.

    Returns:
        How many were `accepted`, `refused` and `deep` (accepted or refused behind the first check).
    """
    counts, before = Counter(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    names = [name] if isinstance(name, str) else name
    for number, made_by in enumerate(mutants):
        there, calls = _there(sandbox), deep.calls
        try:
            result = read()
        except refused as error:
            why = str(error)
            counts["refused"] += 1
        except BaseException as error:
            error.add_note(f"mutant {number}, made by {made_by}")
            raise
        else:
            assert accept(result, made_by), f"mutant {number} ({made_by}) reads as something else"
            why = None
            counts["accepted"] += 1
        assert why is None or any(one in why for one in names), f"mutant {number} ({made_by}) is refused without a name: {why}"
        counts["deep"] += deep.calls > calls
        assert _there(sandbox) == there, f"mutant {number} ({made_by}) made or removed files"
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / (2**20 if sys.platform == "darwin" else 2**10)
    assert grown < 300, f"{grown:,.0f} MiB were taken for mutants of a few kB"
    return counts


def _there(folder: Path) -> set[str]:
    return {entry.name for entry in os.scandir(folder)}
