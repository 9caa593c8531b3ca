"""What the table of ids and the docstrings say, for people: the list, the README's table, the documentation."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from typing import NamedTuple

from metarl_envs.engine.composing import family_at
from metarl_envs.engine.family import Family
from metarl_envs.ids import TABLE, family_of

#: The headings of a family's reference page, in order.
HEADINGS = (
    "Hidden",
    "Observation",
    "Actions",
    "Reward",
    "Episode",
    "Parameters",
    "Splits",
    "References",
    "Source and variants",
)


class Entry(NamedTuple):
    """One family as the catalogue shows it."""

    id: str
    kind: str
    family: type[Family]
    summary: str
    page: dict[str, str]


def entries() -> Iterator[Entry]:
    """Every family of the table."""
    for row in TABLE:
        family = family_at(family_of(row.id))
        summary, page = read_page(family)
        yield Entry(row.id, row.kind, family, summary, page)


def read_page(family: type[Family]) -> tuple[str, dict[str, str]]:
    """A family's docstring: what stands above the first heading, and the text under each."""
    text = inspect.cleandoc(family.__doc__ or "")
    parts = re.split(rf"^({'|'.join(map(re.escape, HEADINGS))}):\n", text, flags=re.MULTILINE)
    page = {heading: inspect.cleandoc(body) for heading, body in zip(parts[1::2], parts[2::2], strict=True)}
    return parts[0].strip(), page


def readme_table() -> str:
    """The table of environments as Markdown."""
    lines = ["| id | what is hidden | observation | actions | steps |", "|---|---|---|---|---|"]
    for entry in entries():
        variant = entry.family.at()
        hidden = _first_sentence(entry.page["Hidden"])
        spaces = f"`{_short(variant.observation_space)}` | `{_short(variant.action_space)}`"
        lines.append(f"| `{entry.id}` | {hidden} | {spaces} | {variant.horizon} |")
    return "\n".join(lines)


def _first_sentence(text: str) -> str:
    return re.split(r"(?<=[.])\s", " ".join(text.split()))[0]


def _short(space: object) -> str:
    return re.sub(r"\s+", " ", str(space))


if __name__ == "__main__":
    print(readme_table())
