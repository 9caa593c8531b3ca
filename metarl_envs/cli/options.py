"""What commands share: options, and what is read out of them."""

from __future__ import annotations

import json
import os
import sys
import tempfile
from pathlib import Path
from typing import Annotated, Any

import typer

#: What every `--split` takes.
SPLITS = "of the tasks: all, train, validation, test, a named shift, or a part of a shift (test+SHIFT)"
#: What `--split` is where nobody says another, as `metarl_envs.task_sets.DEFAULT_SPLIT`.
DEFAULT_SPLIT = "default"
#: Of every group of commands.
SETTINGS: Any = {
    "no_args_is_help": True,
    "add_completion": False,
    "pretty_exceptions_enable": False,
    "rich_markup_mode": None,  # which would take "[default: ...]" in a help text for a style, and leave it out
}


#: Parameters of a family or a box; see `params_of`.
Param = Annotated[list[str] | None, typer.Option(help="a parameter of the family or the box, as name=value; repeatable")]


def see_that_it_can_be_written(folder: Path) -> None:
    """Raise, before any work is done, where a folder could not be written to after it."""
    there = next(place for place in (folder, *folder.absolute().parents) if place.exists())
    if not there.is_dir():
        raise NotADirectoryError(f"--out {folder} cannot be made: {there} is a file")
    if not os.access(there, os.W_OK | os.X_OK):
        raise PermissionError(f"--out {folder} cannot be written to: {there} is not writable")


def prepare_for_a_window() -> None:
    """Set what SDL and pygame would print about otherwise, before pygame is imported."""
    os.environ.setdefault("PYGAME_HIDE_SUPPORT_PROMPT", "1")
    if sys.platform == "linux":  # else SDL complains on standard error that nobody has set it
        os.environ.setdefault("XDG_RUNTIME_DIR", tempfile.gettempdir())


def params_of(given: list[str], option: str = "--param") -> dict[str, Any]:
    """`name=value` pairs; values are read as JSON where they are JSON, and as text where not."""
    from metarl_envs.engine.family import RESERVED

    params: dict[str, Any] = {}
    for pair in given:
        name, equals, value = pair.partition("=")
        if not equals or not name:
            raise ValueError(f"{option} {pair!r} must be name=value, such as size=5")
        if name in params:
            raise ValueError(f"{option} {name} is given twice: {params[name]!r} and {value!r}")
        if option == "--param" and name in RESERVED:
            raise ValueError(
                f"--param {pair!r} is no parameter of a family: see --help for an option --{name.replace('_', '-')}"
            )
        try:
            params[name] = json.loads(value.lower() if value in ("True", "False") else value)
        except (json.JSONDecodeError, RecursionError):  # no JSON, or brackets without end
            params[name] = value
    return params


def written_in(folder: Path) -> str:
    """Return a line that names all files of a folder."""
    return f"written: {', '.join(str(folder / name) for name in sorted(os.listdir(folder)))}"
