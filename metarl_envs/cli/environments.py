"""Listing environments, learners, players and wrappers; and playing."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from metarl_envs.cli.options import SPLITS, Param, params_of, prepare_for_a_window, see_that_it_can_be_written
from metarl_envs.cli.terminal import NARROW, fitted, new_console
from metarl_envs.files import beside

if TYPE_CHECKING:
    from metarl_envs.catalogue import Listing
    from metarl_envs.players.networks.cards import Card


_LISTED = "environments, learners, players (of boxes), networks, suites, wrappers, parameters, an id, a network, or a suite"


def list_what_there_is(
    what: Annotated[str, typer.Argument(help=_LISTED)] = "environments",
    id: Annotated[str | None, typer.Argument(help="whose parameters")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="as JSON: a list of objects")] = False,
) -> None:
    """List what there is: environments, learners, players, networks, suites, wrappers, parameters of an id; or show a page."""
    from metarl_envs.catalogue import LISTS, parameters, read_page, suite_page
    from metarl_envs.engine.composing import family_at
    from metarl_envs.ids import family_of
    from metarl_envs.players.networks.shipped import DESCENTS, DIGESTS, card, pretrained
    from metarl_envs.suites import names as suites

    if what == "parameters" and id is None:
        raise ValueError("list parameters needs an id, such as: list parameters DarkRoom")
    if what != "parameters" and id is not None:
        raise ValueError(f"list {what} takes no id: list parameters {id}, or list {id}")
    if what == "parameters":
        listing = parameters(str(id))
    elif what in LISTS:
        listing = LISTS[what]()
    elif what in suites():
        _show_page(*suite_page(what), as_json)
        return
    elif what in DIGESTS:
        _show_card(card(what), as_json)
        return
    elif what in DESCENTS:  # its weights were written down and not trained: it has no card
        network = pretrained(what)
        _show_page(network.what, {"Plays in": network.home}, as_json)
        return
    else:
        _show_page(*read_page(family_at(family_of(what))), as_json)
        return
    if as_json:
        typer.echo(json.dumps([dict(zip(listing.columns, row, strict=True)) for row in listing.rows], indent=2))
    else:
        _show(listing)


def _show_card(shown: Card, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps(vars(shown), indent=2))
        return
    console = new_console()
    console.print(fitted(str(shown), console.width))


def _show_page(summary: str, page: dict[str, str], as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps({"summary": summary, **page}, indent=2))
        return
    console = new_console()
    for heading, text in {"": summary, **page}.items():
        if heading:
            console.print(heading, style="bold")
        console.print(fitted(text, console.width) + "\n")


def _show(listing: Listing) -> None:
    """Print a table, or in a narrow terminal an entry a paragraph."""
    from rich.table import Table

    console = new_console()
    if console.width < NARROW:
        for name, *told in listing.rows:
            middle, last = told[:-1], told[-1]
            console.print(f"{name} ({', '.join(middle)})" if any(middle) else name)
            console.print(f"{fitted(last, console.width)}\n")
        return
    table = Table(title=listing.title)
    for column in listing.columns:
        table.add_column(column, no_wrap=column == listing.columns[0])
    for row in listing.rows:
        table.add_row(*row)
    console.print(table)


def play(
    id: Annotated[str, typer.Argument(help="such as MetaRL/DarkRoom-v0")],
    episodes: Annotated[int | None, typer.Option(help="episodes in a trial [default: 5, or 1 where one is long]")] = None,
    split: Annotated[str, typer.Option(help=SPLITS)] = "all",
    seed: Annotated[int | None, typer.Option(help="seed of the first trial [default: random]")] = None,
    param: Param = None,
    screenshots: Annotated[Path, typer.Option(help="folder for screenshots")] = Path("screenshots"),
    text: Annotated[bool, typer.Option("--text", help="in this terminal, by sentences")] = False,
    index: Annotated[int, typer.Option(help="which task of the split, with --text")] = 0,
    out: Annotated[Path | None, typer.Option(help="write what was played as a run, to OUT.npz and OUT.json")] = None,
) -> None:
    """Play a family yourself, in a window: the keys are on the screen, the hidden task is shown when the trial is over.

    With --text it is played in the terminal by sentences, the same that language models are told and say. With --out the trials
    are written down as a run, which is scored, replayed and compared like that of any agent on the same tasks and seeds.
    """
    if out is not None:
        see_that_it_can_be_written(out.parent)
        if there := [file for file in beside(out, ".npz", ".json") if file.exists()]:
            raise ValueError(f"--out {out}: {there[0]} is there already: give another name")
    if text:
        _play_in_words(id, episodes, split, index, seed, params_of(param or []), out)
        return
    if index:
        raise ValueError("--index goes with --text: add it")
    prepare_for_a_window()
    from metarl_envs.arguments import at_least_one
    from metarl_envs.engine.composing import family_at
    from metarl_envs.ids import family_of
    from metarl_envs.play import Game
    from metarl_envs.play.window import play as open_window
    from metarl_envs.play.window import see_that_there_is_a_screen

    family = family_at(family_of(id))
    if episodes is None:
        episodes = 5 if family.curve_unit == "episode" else 1
    at_least_one("episodes", episodes)
    see_that_there_is_a_screen()  # before seconds of compiling
    game = Game(
        id,
        seed=seed,
        split=split,
        episodes_per_trial=episodes,
        **params_of(param or []),
    )
    try:
        open_window(game, screenshots)
    finally:  # however it ends
        if out is not None and game.was_played:
            typer.echo(f"written: {', '.join(map(str, game.run().save(out)))}")


def _play_in_words(
    id: str, episodes: int | None, split: str, index: int, seed: int | None, params: dict[str, Any], out: Path | None
) -> None:
    """Play one trial in the terminal, and write it down as a run."""
    import secrets

    from metarl_envs.engine.composing import family_at
    from metarl_envs.ids import family_of
    from metarl_envs.text import make

    if episodes is None:
        episodes = 5 if family_at(family_of(id)).curve_unit == "episode" else 1
    seed = secrets.randbits(32) if seed is None else seed
    env = make(id, split=split, index=index, seed=seed, episodes_per_trial=episodes, lenient=True, player="person", **params)
    typer.echo(env.reset())
    try:
        while not env.done:
            typer.echo(env.step(input("> ")))
    except (EOFError, KeyboardInterrupt):
        typer.echo("")
    if env.done:
        typer.echo(f"You earned {env.total:g}: {100 * env.score:.0f} % of the way from random play to the oracle.")
    else:
        typer.echo(f"You earned {env.total:g} in {len(env.actions)} steps; the trial is not over.")
    if out is not None and env.actions:
        typer.echo(f"written: {', '.join(map(str, env.run().save(out)))}")
