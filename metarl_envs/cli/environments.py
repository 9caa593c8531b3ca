"""What there is, and playing it."""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path
from typing import Annotated

import typer

from metarl_envs.cli.options import SPLITS, params_of
from metarl_envs.cli.terminal import NARROW, fitted, new_console


def list_environments(
    id: Annotated[str | None, typer.Argument(help="show this id's reference page instead")] = None,
) -> None:
    """The environments, or the reference page of one."""
    from rich.table import Table

    from metarl_envs.catalogue import entries, read_page
    from metarl_envs.engine.composing import family_at
    from metarl_envs.ids import family_of

    console = new_console()
    if id is not None:
        summary, page = read_page(family_at(family_of(id)))
        for heading, text in {"": summary, **page}.items():
            if heading:
                console.print(heading, style="bold")
            console.print(fitted(text, console.width) + "\n")
        return
    listed = [(entry.id, entry.kind, " ".join(entry.summary.split())) for entry in entries()]
    if console.width < NARROW:
        for id, kind, summary in listed:
            console.print(f"{id} ({kind})\n{fitted(summary, console.width)}\n")
        return
    table = Table(title="environments")
    for column in ("id", "kind", "what it is"):
        table.add_column(column, no_wrap=column == "id")
    for row in listed:
        table.add_row(*row)
    console.print(table)


def play(
    id: Annotated[str, typer.Argument(help="such as MetaRL/DarkRoom-v0")],
    episodes: Annotated[int | None, typer.Option(help="in a trial [default: 5, or 1 where one is long]")] = None,
    split: Annotated[str, typer.Option(help=SPLITS)] = "all",
    seed: Annotated[int | None, typer.Option(help="of the first trial [default: random]")] = None,
    param: Annotated[list[str] | None, typer.Option(help="a parameter of the family, as name=value, repeatable")] = None,
    screenshots: Annotated[Path, typer.Option(help="folder for screenshots")] = Path("screenshots"),
) -> None:
    """Play a family yourself, in a window: the keys are on the screen, the hidden task is shown when the trial is over."""
    os.environ.setdefault("PYGAME_HIDE_SUPPORT_PROMPT", "1")
    if sys.platform == "linux":  # else SDL complains on standard error that nobody has set it
        os.environ.setdefault("XDG_RUNTIME_DIR", tempfile.gettempdir())
    from metarl_envs.arguments import at_least_one
    from metarl_envs.engine.composing import family_at
    from metarl_envs.ids import family_of
    from metarl_envs.play import Game
    from metarl_envs.play.window import play as open_window

    family = family_at(family_of(id))
    if episodes is None:
        episodes = 5 if family.unit == "episode" else 1
    game = Game(
        id.removeprefix("metarl_envs:"),
        seed=seed,
        split=None if split == "all" else split,
        episodes_per_trial=at_least_one("episodes", episodes),
        **params_of(param or []),
    )
    open_window(game, screenshots)
