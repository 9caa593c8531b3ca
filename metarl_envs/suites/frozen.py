"""Suites as data: what is in them, and the digest by which a change is noticed."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from metarl_envs.arguments import did_you_mean
from metarl_envs.files import see_that_it_says
from metarl_envs.suites.rows import Row, read_row

#: What rows ask of an agent, in the order of pictures and tables.
CAPABILITIES = {
    "explore": "look for what pays where there is no sign of it",
    "exploit": "settle in time on what is known to pay",
    "remember": "come back to what was found in episodes before",
    "infer structure": "find out by which rule a world works, and use it where nothing was tried",
    "plan": "choose a step for what can be reached from there",
    "adapt again": "learn anew when what was learned has ceased to hold",
    "regress": "predict numbers from examples",
    "many agents": "do well among others, who can be learned from",
}
#: What a file of a suite begins with.
FORMAT = "metarl_envs suite 1"
#: Where the suites lie that come with the package.
FOLDER = Path(__file__).parent / "data"


@dataclass(frozen=True)
class Frozen:
    """A suite as data.

    Attributes:
        name: such as "core-1".
        about: what it is for, in a sentence or two.
        seeds: how many, 0, 1, ...: in every row, so that a seed is one player in all of them.
        rows: what is lived.
    """

    name: str
    about: str
    seeds: int
    rows: tuple[Row, ...]

    @property
    def digest(self) -> str:
        """32 hex digits of everything that decides a score; what is merely said of a row is no part of it."""
        parts = [self.name, self.seeds, *({**row.as_json(), "why": None} for row in self.rows)]
        return hashlib.sha256(json.dumps([FORMAT, parts], sort_keys=True).encode()).hexdigest()[:32]

    @property
    def capabilities(self) -> dict[str, list[Row]]:
        """By capability, the rows that ask for it; in the order of `CAPABILITIES`."""
        found = {name: [row for row in self.rows if row.capability == name] for name in CAPABILITIES}
        return {name: rows for name, rows in found.items() if rows}

    def row(self, name: str) -> Row:
        """Return the row of that name; ValueError where there is none."""
        for row in self.rows:
            if row.name == name:
                return row
        names = [row.name for row in self.rows]
        raise ValueError(f"row={name!r} is not in {self.name}; there are: {', '.join(names)}{did_you_mean(name, names)}")

    def as_json(self) -> dict[str, Any]:
        """Return everything as JSON types."""
        rows = [row.as_json() for row in self.rows]
        return {"format": FORMAT, "name": self.name, "about": self.about, "seeds": self.seeds, "rows": rows}


def parts_of(said: Mapping[str, Any], where: Path) -> dict[str, Any]:
    """Return the fields of a `Frozen` from the content of a file.

    Raises:
        ValueError: something is missing there, of another kind, or repeated.
    """
    see_that_it_says(said, "suite", {"name": str, "about": str, "seeds": int, "rows": list}, where)
    rows = tuple(read_row(one, where) for one in said["rows"])
    if not rows or said["seeds"] < 1:
        raise ValueError(f"{where} is no suite: it has {len(rows)} rows and seeds={said['seeds']}, and needs one of each")
    see_that_they_differ((row.name for row in rows), where)
    if odd := [row for row in rows if row.capability not in CAPABILITIES]:
        raise ValueError(
            f"{where} is no suite: row {odd[0].name!r} has capability={odd[0].capability!r}, which must be one of: "
            f"{', '.join(CAPABILITIES)}"
        )
    return {"name": said["name"], "about": said["about"], "seeds": said["seeds"], "rows": rows}


def see_that_they_differ(names: Iterable[str], where: Path) -> None:
    """Raise ValueError where two rows have one name: their results would be written to one place."""
    seen = set[str]()
    for name in names:
        if name in seen:
            raise ValueError(f"{where} is no suite: two of its rows are called {name!r}")
        seen.add(name)
