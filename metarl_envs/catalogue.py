"""Lists and tables for people and documentation, computed from the table of ids and the docstrings."""

from __future__ import annotations

import inspect
import json
import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import metarl_wrappers
from metarl_envs.boxes.players.agents import AGENTS
from metarl_envs.boxes.scenarios import box_named
from metarl_envs.engine.composing import family_at
from metarl_envs.engine.family import Family
from metarl_envs.engine.parameters import Choice, Flag, Integer, Parameter, Real
from metarl_envs.files import written_aside
from metarl_envs.ids import BOXES, TABLE, family_of
from metarl_envs.learners import LEARNERS
from metarl_envs.players.networks.shipped import NAMES, pretrained
from metarl_envs.suites import load as load_suite
from metarl_envs.suites import names as suite_names

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


#: What a family binds, and the headings under which its page says what that does: who binds another says it anew.
SAID_UNDER = {
    "sample_task": ("Hidden", "References"),
    "step": ("Reward", "References"),
    "observe": ("Observation",),
    "spaces": ("Observation", "Actions"),
    "shifts": ("Splits",),
}


class Entry(NamedTuple):
    """One family as the catalogue shows it."""

    id: str
    kind: str
    family: type[Family]
    summary: str
    page: dict[str, str]


def entries() -> Iterator[Entry]:
    """Yield every family of the table."""
    for row in TABLE:
        family = family_at(family_of(row.id))
        summary, page = read_page(family)
        yield Entry(row.id, row.kind, family, summary, page)


def read_page(family: type[Family]) -> tuple[str, dict[str, str]]:
    """Return a family's reference page: what its docstring says above the first heading, and the text under each.

    A heading that it lacks is that of the class it is derived from: a variant says only what differs.
    """
    summary, page = own_page(family)
    for base in family.__mro__[1:]:
        page = {**own_page(base)[1], **page}
    return summary, {heading: page[heading] for heading in HEADINGS if heading in page}


def own_page(family: type) -> tuple[str, dict[str, str]]:
    """Return what a class's own docstring says, as in `read_page`; headings in the order in which they stand there."""
    text = inspect.cleandoc(vars(family).get("__doc__") or "")
    parts = re.split(rf"^({'|'.join(map(re.escape, HEADINGS))}):\n", text, flags=re.MULTILINE)
    page = {heading: inspect.cleandoc(body) for heading, body in zip(parts[1::2], parts[2::2], strict=True)}
    return parts[0].strip(), page


class Listing(NamedTuple):
    """One list of what there is: its columns, and a row of text for each thing."""

    title: str
    columns: tuple[str, ...]
    rows: list[tuple[str, ...]]


def environments() -> Listing:
    """Return the families of the table."""
    rows = [(entry.id, entry.kind, " ".join(entry.summary.split())) for entry in entries()]
    return Listing("environments", ("id", "kind", "what it is"), rows)


def learners() -> Listing:
    """Return the source learners, with their hyper-parameters."""
    rows = [(name, _told(learner().values), _first_sentence(learner.__doc__ or "")) for name, learner in LEARNERS.items()]
    return Listing("learners", ("learner", "hyper-parameters", "what it does"), rows)


def players() -> Listing:
    """Return the scripted agents of boxes, with their hyper-parameters."""
    rows = [(name, _told(one.values), _first_sentence(type(one).__doc__ or "")) for name, one in AGENTS.items()]
    return Listing("players of boxes", ("player", "hyper-parameters", "what it does"), rows)


def networks() -> Listing:
    """Return the networks that come with the package, with where they are at home."""
    rows = [(name, one.home, one.what) for name in NAMES for one in [pretrained(name)]]
    return Listing("networks", ("network", "at home in", "what it is"), rows)


def wrappers() -> Listing:
    """Return the wrappers, by their single form."""
    names = [name for name in metarl_wrappers.WRAPPERS if not name.startswith("Vector")]
    rows = [(name, _first_sentence(inspect.getdoc(getattr(metarl_wrappers, name)) or "")) for name in names]
    return Listing("wrappers", ("wrapper", "what it does"), rows)


def suites() -> Listing:
    """Return the suites, each with what it asks for."""
    rows = [
        (name, str(len(suite.rows)), suite.about, ", ".join(suite.capabilities))
        for name in suite_names()
        for suite in [load_suite(name)]
    ]
    return Listing("suites", ("suite", "rows", "what it is for", "capabilities"), rows)


def suite_page(name: str) -> tuple[str, dict[str, str]]:
    """Return what a suite is, and under the name of each row what is lived there and why."""
    suite = load_suite(name)
    about = f"{suite.about} {suite.seeds} seeds. Digest {suite.digest}."
    rows = {}
    for row in suite.rows:
        params = ", ".join(f"{one}={value!r}" for one, value in row.params.items()) or "as by default"
        how = f"{row.tasks} tasks of split {row.split or 'all'}, {row.how_long}"
        rows[f"{row.name} ({row.capability})"] = f"{row.where}: {params}; {how}.\n\n{row.why}"
    return about, rows


def parameters(id: str) -> Listing:
    """Return the parameters of a family: what each may be, and what it is if nothing is said."""
    family = family_at(family_of(id))
    values = family.with_params().values
    rows = [(name, str(values[name]), one.allowed()) for name, one in family.params.parameters.items()]
    return Listing(f"parameters of {family.__name__}", ("parameter", "default", "may be"), rows)


#: What can be listed by name.
LISTS = {
    "environments": environments,
    "learners": learners,
    "players": players,
    "networks": networks,
    "suites": suites,
    "wrappers": wrappers,
}


def _told(values: Mapping[str, Any]) -> str:
    return ", ".join(f"{name}={value}" for name, value in values.items())


def readme_table() -> str:
    """Return the table of environments as Markdown."""
    lines = ["| id | what is hidden | observation | actions | steps |", "|---|---|---|---|---|"]
    for entry in entries():
        variant = entry.family.with_params()
        hidden = _first_sentence(entry.page["Hidden"])
        spaces = f"`{_short(variant.observation_space)}` | `{_short(variant.action_space)}`"
        lines.append(f"| `{entry.id}` | {hidden} | {spaces} | {variant.horizon} |")
    return "\n".join(lines)


def _first_sentence(text: str) -> str:
    return re.split(r"(?<=[.])\s", " ".join(text.split()))[0]


def _short(space: object) -> str:
    return re.sub(r"\s+", " ", str(space))


# ------------------------------------------------------------------------------------------- for type checkers
#: The file that `box_parameters` is written into.
_BOX_PARAMETERS = Path(__file__).parent / "boxes" / "parameters.py"


def box_parameters() -> str:
    """Return the source of `metarl_envs/boxes/parameters.py`: the parameters of all boxes, as a type that checkers know."""
    found: dict[str, Parameter] = {}
    for box in BOXES:
        found |= box_named(box).params.parameters
    lines = [f"    {name}: {_python_type(one)}" for name, one in found.items()]
    return "\n".join([_HEAD, *lines, ""])


_HEAD = '''"""The parameters of boxes, for type checkers and editors: written by `python -m metarl_envs.catalogue --boxes`."""

from typing import Literal, TypedDict


class BoxParameters(TypedDict, total=False):
    """Parameters of a box, by name; whoever leaves one out takes the scenario's default."""
'''


def _python_type(parameter: Parameter) -> str:
    if isinstance(parameter, Choice):
        return f"Literal[{', '.join(json.dumps(name) for name in parameter.names)}]"
    python = {Integer: "int", Real: "float", Flag: "bool"}[type(parameter)]
    return python if isinstance(parameter, Flag) else f"{python}  # {parameter.allowed()}"


if __name__ == "__main__":
    if sys.argv[1:] == ["--boxes"]:
        with written_aside(_BOX_PARAMETERS) as [aside]:
            aside.write_text(box_parameters())
    else:
        print(readme_table())
