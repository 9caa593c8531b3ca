"""Hosting people: a page in the browser for each of them, and the boxes behind it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from metarl_envs.cli.models import (
    BaseUrl,
    Concurrency,
    Context,
    MaxTokens,
    Requests,
    Resume,
    Retries,
    Tokens,
    seats_of,
    told_in_a_line,
)
from metarl_envs.cli.options import SPLITS, Param, params_of, see_that_it_can_be_written, written_in

#: Most bytes of a file of consent.
_MOST_BYTES = 200_000


def host(
    box: Annotated[str, typer.Argument(help="such as AmnesiaBox")],
    seat: Annotated[list[str], typer.Option(help="who sits where, as 0=person, 1=model:NAME or others=greedy; repeatable")],
    out: Annotated[Path, typer.Option(help="folder for the run, and for transcripts of people and models")],
    boxes: Annotated[int, typer.Option(help="number of boxes, each with its own people")] = 1,
    seed: Annotated[int, typer.Option(help="seed of the first box")] = 0,
    split: Annotated[str, typer.Option(help=SPLITS)] = "all",
    param: Param = None,
    seconds_per_step: Annotated[float, typer.Option(help="whoever has not acted by then waits, which is counted")] = 30.0,
    consent: Annotated[Path | None, typer.Option(help="a text file, to be agreed to before anything else")] = None,
    practice: Annotated[int, typer.Option(help="steps of practice before it begins; 0: none")] = 8,
    relay: Annotated[str | None, typer.Option(help="days: each day another person takes the seat")] = None,
    lobby: Annotated[float | None, typer.Option(help="seconds to wait for the missing [default: until all are there]")] = None,
    host: Annotated[str, typer.Option(help="address to listen at; this machine alone by default")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="0: any that is free")] = 0,
    name: Annotated[list[str] | None, typer.Option(help="what else a browser calls it, as https://HOST; repeatable")] = None,
    linger: Annotated[float, typer.Option(help="seconds for which the page stays when all is over")] = 30.0,
    base_url: BaseUrl = None,
    context: Context = "whole",
    max_tokens: MaxTokens = 256,
    retries: Retries = 2,
    requests: Requests = None,
    tokens: Tokens = None,
    concurrency: Concurrency = 8,
    resume: Resume = False,
) -> None:
    """Let people play in boxes, in their browser, among language models and scripted agents; write down the run.

    Prints a link for each person, and one to a live view for the experimenter. Killed and started again with --resume, a run
    goes on by the same links.
    """
    try:
        import starlette  # pyright: ignore[reportMissingImports] # noqa: F401
        import uvicorn  # pyright: ignore[reportMissingImports] # noqa: F401
        import websockets  # pyright: ignore[reportMissingImports] # noqa: F401
    except ImportError as error:
        raise ModuleNotFoundError(f'a page for people needs {error.name}: pip install "metarl-envs[host]"') from None
    from metarl_envs.host.session import host as play
    from metarl_envs.host.session import is_loopback

    settings = {"context": context, "max_tokens": max_tokens, "retries": retries, "requests": requests, "tokens": tokens}
    seats = seats_of(seat, base_url, settings)
    see_that_it_can_be_written(out)
    see_that_it_can_be_written(out.absolute().parent)  # where links are kept, beside it
    if not is_loopback(host):
        typer.echo(
            f"warning: --host {host} lets other machines reach this page, over http that is not encrypted: whoever reads the "
            "network can take a seat. On a network that is not yours, put a proxy with TLS before it, and say its --name.",
            err=True,
        )
    with told_in_a_line(out):
        done = play(
            box,
            seats,
            out,
            boxes=boxes,
            seed=seed,
            split=split,
            address=host,
            port=port,
            names=name or [],
            seconds=seconds_per_step,
            relay=relay,  # type: ignore[arg-type] (it is checked there)
            consent=None if consent is None else _text_in(consent),
            practice=practice,
            lobby=lobby,
            linger=linger,
            resume=resume,
            concurrency=concurrency,
            say=lambda line: print(line, flush=True),
            **params_of(param or []),
        )
    typer.echo(f"{done!r}\n{written_in(out)}")


def _text_in(path: Path) -> str:
    """The text of a file."""
    with open(path, "rb") as file:
        content = file.read(_MOST_BYTES + 1)
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError:
        raise ValueError(f"--consent {path} is no text in UTF-8") from None
    if len(content) > _MOST_BYTES or not text.strip():
        raise ValueError(f"--consent {path} must hold a text of at most {_MOST_BYTES} bytes")
    return text
