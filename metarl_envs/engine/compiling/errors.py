"""What went wrong in compiling, for the author of a kernel: Numba tells it in a hundred lines, which name the engine."""

from __future__ import annotations

import linecache
import re
import traceback
from pathlib import Path
from typing import Any

_ENGINE = str(Path(__file__).parents[1])
#: What Numba says where nobody would guess what it means, and what it means.
_MEANT = {
    "NRT required": "it makes a list, an array, a dict or a string, which a kernel may not",
    "failed to unpack": "it must return two values: the reward, and whether the episode terminates",
    "Numba type of <class 'function'>": "it calls a function that is no kernel: put @kernel above that one too",
}


class KernelError(TypeError):
    """A kernel does not compile."""


def explained(error: Exception, driver: str) -> KernelError:
    """A short error for a driver (named "Family.driver") that did not compile."""
    told = re.sub(r"\x1b\[\d+m", "", str(error))
    kernel, place = _kernel(told), _place(told, error)
    lines = [f"{driver.split('.')[0]} does not compile" + (f": kernel `{kernel}`" if kernel else "")]
    if place is not None:
        file, line = place
        lines += [f'  File "{file}", line {line}', f"    {linecache.getline(file, line).strip()}"]
    lines.append(_reason(told, error))
    lines.append("NUMBA_DISABLE_JIT=1 runs kernels as ordinary Python, with ordinary tracebacks: try that first.")
    return KernelError("\n".join(lines))


def _kernel(told: str) -> str | None:
    """The innermost function that is none of the drivers' own (those are closures)."""
    return next(iter(re.findall(r"\w+\(<function (\w+) at", told)), None)


def _place(told: str, error: Exception) -> tuple[str, int] | None:
    """Where it happened: the innermost line that is the author's, or else the engine's own call of the kernel."""
    named = re.findall(r'(?: at |File ")([^"\n]+?\.py)(?: \(|", line )(\d+)', told)
    told_of = [(str(Path(file).resolve()), int(line)) for file, line in named]
    places = [place for place in [*told_of, *_places_in_frames(error)] if "numba" not in Path(place[0]).parts]
    own = [place for place in places if not place[0].startswith(_ENGINE)]
    return next(iter(own or places), None)


def _places_in_frames(error: Exception) -> list[tuple[str, int]]:
    """What Numba was looking at when it stumbled without telling where, innermost first."""
    looked_at: list[Any] = [frame.f_locals.get("self") for frame, _ in traceback.walk_tb(error.__traceback__)]
    places = [thing.loc for thing in reversed(looked_at) if hasattr(thing, "loc")]
    return [(place.filename, place.line) for place in places if hasattr(place, "filename") and place.line]


def _reason(told: str, error: Exception) -> str:
    """The first thing that Numba says apart from where it was."""
    if isinstance(error, KeyError):
        return f"the row has no field {error}"
    for words, meaning in _MEANT.items():
        if words in told:
            return meaning
    if wrong := re.search(r"to signature '(.*?)' due to \"TypeError: (.*?)\"", told):
        return f"its arguments are {wrong[1]}, and it is not called so: {wrong[2]}"
    paragraph = re.split(r"\n\s*(?:During|File|There are)\b", re.sub(r"Failed in nopython mode pipeline.*\n", "", told))[0]
    return " ".join(paragraph.split())[:400]
