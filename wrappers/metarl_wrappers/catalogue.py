"""The catalogue of wrappers: `python -m metarl_wrappers.catalogue` writes `wrappers/README.md` from the docstrings."""

from __future__ import annotations

import ast
import inspect
from pathlib import Path
from typing import NamedTuple

import metarl_wrappers

README = Path(__file__).parent.parent / "README.md"

_HEADINGS = ("Observation:", "Action:", "Info:", "Vector form:", "Args:", "Raises:", "Example:")


class _Entry(NamedTuple):
    """A class as the catalogue shows it."""

    name: str
    page: str
    signatures: list[str]


def names() -> list[str]:
    """Return the names of the pages: wrappers by their single form, then what is there for one library."""
    return [name for name in metarl_wrappers.WRAPPERS if not name.startswith("Vector")] + list(metarl_wrappers.BRIDGES)


def catalogue() -> str:
    """Return the text of the catalogue, in Markdown."""
    entries = [_bridge(name) if name in metarl_wrappers.BRIDGES else _wrapper(name) for name in names()]
    intro = _markdown(inspect.getdoc(metarl_wrappers) or "")
    table = "\n".join(f"| [{entry.name}](#{entry.name.lower()}) | {entry.page.split(chr(10))[0]} |" for entry in entries)
    pages = "\n\n".join(_page(entry) for entry in entries)
    note = "<!-- Written by `python -m metarl_wrappers.catalogue` from the docstrings: change those. -->"
    return f"# metarl_wrappers\n\n{note}\n\n{intro}\n\n| wrapper | |\n|---|---|\n{table}\n\n{pages}\n"


def _wrapper(name: str) -> _Entry:
    forms = getattr(metarl_wrappers, name), getattr(metarl_wrappers, f"Vector{name}")
    return _Entry(name, inspect.getdoc(forms[0]) or "", [f"{form.__name__}{_signature(form)}" for form in forms])


def _bridge(name: str) -> _Entry:
    """A class whose library may be missing: it is read, not imported."""
    tree = ast.parse((Path(__file__).parent / f"{metarl_wrappers.BRIDGES[name]}.py").read_text())
    written = next(node for node in tree.body if isinstance(node, ast.ClassDef) and node.name == name)
    init = next(node for node in written.body if isinstance(node, ast.FunctionDef) and node.name == "__init__")
    for argument in init.args.args:
        argument.annotation = None
    signature = ast.unparse(init.args).removeprefix("self, ")
    return _Entry(name, ast.get_docstring(written) or "", [f"{name}({signature})"])


def _page(entry: _Entry) -> str:
    signatures = "\n".join(entry.signatures)
    return f"## {entry.name}\n\n```python\n{signatures}\n```\n\n{_markdown(entry.page)}"


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
