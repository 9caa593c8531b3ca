"""Lets docstrings say `low, high: the range` once for several arguments: each gets an entry of its own on the API pages."""

from __future__ import annotations

import re
from typing import Any

import griffe

#: Names with one text: the line, and the deeper ones that go on with it.
_SEVERAL = re.compile(r"^( +)(\w+(?:, \w+)+):(.*(?:\n\1 +.*)*)", re.MULTILINE)


class OneEntryEach(griffe.Extension):
    """Griffe reads one name a line."""

    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        """Repeat the text for every name."""
        if obj.docstring:
            obj.docstring.value = _SEVERAL.sub(_repeated, obj.docstring.value)


def _repeated(found: re.Match[str]) -> str:
    indent, names, text = found.groups()
    return "\n".join(f"{indent}{name}:{text}" for name in names.split(", "))
