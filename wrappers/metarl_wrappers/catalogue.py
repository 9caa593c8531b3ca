"""The catalogue of wrappers: `python -m metarl_wrappers.catalogue` writes `wrappers/README.md` from the docstrings."""

from __future__ import annotations

import inspect
from pathlib import Path

import metarl_wrappers

README = Path(__file__).parent.parent / "README.md"

_HEADINGS = ("Observation:", "Action:", "Info:", "Vector form:", "Args:", "Raises:", "Example:")


def catalogue() -> str:
    """The text of the catalogue, in Markdown."""
    names = [name for name in metarl_wrappers.__all__ if not name.startswith("Vector")]
    intro = _markdown(inspect.getdoc(metarl_wrappers) or "")
    table = "\n".join(f"| [{name}](#{name.lower()}) | {_summary(name)} |" for name in names)
    pages = "\n\n".join(_page(name) for name in names)
    note = "<!-- Written by `python -m metarl_wrappers.catalogue` from the docstrings: change those. -->"
    return f"# metarl_wrappers\n\n{note}\n\n{intro}\n\n| wrapper | |\n|---|---|\n{table}\n\n{pages}\n"


def _summary(name: str) -> str:
    return (inspect.getdoc(getattr(metarl_wrappers, name)) or "").split("\n")[0]


def _page(name: str) -> str:
    form = getattr(metarl_wrappers, name)
    vector = getattr(metarl_wrappers, f"Vector{name}")
    signatures = "\n".join(f"{f.__name__}{_signature(f)}" for f in (form, vector))
    return f"## {name}\n\n```python\n{signatures}\n```\n\n{_markdown(inspect.getdoc(form) or '')}"


def _signature(form: type) -> str:
    parameters = list(inspect.signature(form.__init__).parameters.values())[1:]
    bare = [parameter.replace(annotation=inspect.Parameter.empty) for parameter in parameters]
    return str(inspect.Signature(bare)).replace("'", '"')


def _markdown(page: str) -> str:
    """A docstring with its headings bold, its arguments as a list and its examples as code."""
    lines: list[str] = []
    heading = code = ""
    for line in page.split("\n"):
        if line in _HEADINGS:
            heading = line
            lines += [f"**{line[:-1]}**", ""]
            continue
        if heading and line and not line.startswith(" "):
            heading = ""
        is_code = line.startswith("    ") and (heading == "Example:" or not heading)
        if is_code and not code:
            lines.append("```python")
        if code and not is_code:
            lines.append("```")
            code = ""
        if is_code:
            code = "yes"
        text = line[4:] if heading or is_code else line
        lines.append(f"* {text}" if heading in ("Args:", "Raises:") and text and not text.startswith(" ") else text)
    return "\n".join([*lines, *(["```"] if code else [])])


if __name__ == "__main__":
    README.write_text(catalogue())
