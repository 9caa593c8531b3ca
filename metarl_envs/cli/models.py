"""Options of language models, which commands share."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer

BaseUrl = Annotated[str | None, typer.Option("--base-url", help="of a chat endpoint, such as http://localhost:8000/v1")]
Context = Annotated[str, typer.Option(help="what a model keeps: whole, window(n), notes, or reflect")]
MaxTokens = Annotated[int, typer.Option(help="most tokens in one reply of a model")]
Retries = Annotated[int, typer.Option(help="how often in a step a reply that is no sentence is said back to a model")]
Requests = Annotated[int | None, typer.Option(help="most requests to each model [default: no limit]")]
Tokens = Annotated[int | None, typer.Option(help="most tokens of each model, in prompts and replies [default: no limit]")]
Concurrency = Annotated[int, typer.Option(help="conversations of a model that wait for a reply at once")]
Resume = Annotated[bool, typer.Option("--resume", help="go on with what is there: nobody is asked again what is answered")]
StatesBest = Annotated[
    bool, typer.Option("--states-best", help="ask models to state the action that they believe to be best, in each step")
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="ask nobody: tell how many requests and tokens it would take")]


def model_of(name: str, base_url: str | None, **settings: Any) -> Any:
    """Return a language model; its key is in the environment variable OPENAI_API_KEY, if it needs one."""
    from metarl_envs.players import LanguageModel

    if base_url is None:
        raise ValueError(f"the model {name!r} needs --base-url, such as --base-url http://localhost:8000/v1")
    return LanguageModel(name, base_url=base_url, **settings)


def seats_of(given: list[str], base_url: str | None, settings: dict[str, Any]) -> dict[Any, Any]:
    """Return who sits where out of `SEAT=PLAYER` pairs; a model that sits in several seats is one."""
    models: dict[str, Any] = {}
    seats = dict(_seat_of(pair, models, base_url, settings) for pair in given)
    if len(seats) < len(given):
        raise ValueError(f"--seat names a seat twice: {', '.join(given)}")
    return seats


def _seat_of(given: str, models: dict[str, Any], base_url: str | None, settings: dict[str, Any]) -> tuple[Any, Any]:
    where, equals, who = given.partition("=")
    if not equals or not (where in ("all", "others") or where.removeprefix("-").isdecimal()):
        raise ValueError(f"--seat {given!r} must be SEAT=PLAYER, such as 0=greedy, others=random or 1=model:NAME")
    if who.startswith("model:"):
        name = who.removeprefix("model:")
        who = models[name] = models.get(name) or model_of(name, base_url, **settings)
    return int(where) if where not in ("all", "others") else where, who


def replies_in_a_line(name: str, model: Any) -> str:
    """Return what was asked of a language model in its last run, and how its replies were read."""
    counts = model.counts
    read = ", ".join(f"{counts[how]:,} {how}" for how in ("strict", "lenient", "malformed"))
    return (
        f"{name}: {counts['requests']:,} requests; replies that were read: {read}; {counts['defaults']:,} default actions; "
        f"{counts['prompt_tokens']:,} tokens of prompts, {counts['reply_tokens']:,} of replies"
    )


@contextlib.contextmanager
def told_in_a_line(out: Path | None) -> Iterator[None]:
    """Turn a player that failed, or a budget that is spent, into clear lines without a traceback.

    Args:
        out: the folder that --resume goes on with; None where it does not.
    """
    from metarl_envs.players import PlayerError

    try:
        yield
    except PlayerError as error:
        kept = "" if out is None else f"\nWhat was said until then is in {out}: the same command with --resume goes on with it"
        raise ValueError(f"{error}{kept}") from error
