"""What a terminal shows: text in the signs that it has, in its width, and progress."""

from __future__ import annotations

import contextlib
import os
import textwrap
from typing import Any, TextIO

from rich.console import Console

#: What signs become where the terminal's encoding does not have them.
_PLAIN_SIGNS = {"±": "+-", "²": "^2", "→": "->", "…": "...", "—": "-", "“": '"', "”": '"'}
#: Below so many columns tables are told line by line.
NARROW = 80


def in_plain_signs(error: UnicodeError) -> tuple[str | bytes, int]:
    """Say in other signs what an encoding does not have: nothing that is printed may fail for its signs."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    plain = "".join(
        _PLAIN_SIGNS.get(sign) or sign.encode("ascii", "backslashreplace").decode()
        for sign in error.object[error.start : error.end]
    )
    return plain, error.end


def drop_what_cannot_be_printed(stream: TextIO | None) -> None:
    """Lead a stream that takes nothing any more (a full disk) nowhere, so that Python does not fail on it when it ends."""
    if stream is None:
        return
    try:
        stream.flush()
    except OSError:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)


def new_console(stderr: bool = False) -> Console:
    """Return a console that prints what it is given: no markup, no emoji, no colours by guess."""
    return Console(stderr=stderr, markup=False, emoji=False, highlight=False)


def fitted(text: str, width: int) -> str:
    """Return text of a docstring with its paragraphs and list items filled anew, so that it fits."""
    items: list[str] = []
    new = True
    for line in text.splitlines():
        if new or not line.strip() or line.lstrip().startswith("* "):
            items.append(line)
        else:
            items[-1] += " " + line.strip()
        new = not line.strip()
    return "\n".join(
        textwrap.fill(item, max(width, 20), subsequent_indent="  " if item.lstrip().startswith("* ") else "") for item in items
    )


class Bars:
    """One progress bar a policy, on standard error where that is a terminal. What happens to a bar must not end the work."""

    def __init__(self):
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        console = new_console(stderr=True)
        self._progress = Progress(
            TextColumn("{task.description:>12}", markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            console=console,
            disable=not console.is_terminal,
        )
        self._tasks: dict[str, Any] = {}

    def __enter__(self) -> Bars:
        if not self._progress.disable:
            with contextlib.suppress(OSError):
                self._progress.start()
        return self

    def __exit__(self, *exception: object) -> None:
        if not self._progress.disable:  # before Rich 15, to stop prints an empty line even so
            with contextlib.suppress(OSError):
                self._progress.stop()

    def show(self, name: str, done: int, total: int) -> None:
        """Show how much of a thing is done by now, and how much there is (see `metarl_envs.arguments.Progress`)."""
        if name not in self._tasks:
            self._tasks[name] = self._progress.add_task(name, total=total)
        self._progress.update(self._tasks[name], completed=done)
