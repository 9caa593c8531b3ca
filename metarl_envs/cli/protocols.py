"""Serving environments of text to programs of other projects."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from metarl_envs.cli.options import SPLITS, Param, params_of, see_that_it_can_be_written
from metarl_envs.files import beside

if TYPE_CHECKING:
    from metarl_envs.text import TextEnv

_Id = Annotated[str, typer.Argument(help="such as MetaRL/DarkRoom-v0; of a box it is one seat")]
_Episodes = Annotated[int, typer.Option(help="episodes in a trial")]
_Split = Annotated[str, typer.Option(help=SPLITS)]


def mcp(
    id: _Id,
    episodes: _Episodes = 1,
    split: _Split = "all",
    index: Annotated[int, typer.Option(help="which task of the split")] = 0,
    seed: Annotated[int, typer.Option(help="of the noise")] = 0,
    param: Param = None,
    out: Annotated[Path | None, typer.Option(help="write what was played as a run, to OUT.npz and OUT.json")] = None,
) -> None:
    """Let a program that speaks MCP live one trial, by the tools look and act, over standard input and output.

    What was played is scored and written down when the program ends the session, to standard error and to --out.
    """
    from metarl_envs.protocols import list_trials

    with _extra("mcp"):
        from metarl_envs.protocols.mcp import server

    if out is not None:
        see_that_it_can_be_written(out.parent)
        if there := [file for file in beside(out, ".npz", ".json") if file.exists()]:
            raise ValueError(f"--out {out}: {there[0]} is there already: give another name")

    def write_down(env: TextEnv) -> None:
        over = "over" if env.done else "not over"
        typer.echo(f"{env.total:g} was earned in {len(env.actions)} steps; the trial is {over}", err=True)
        if out is not None and env.actions:
            env.run().save(out)

    [trial] = list_trials(id, split=split, tasks=1, seed=seed, episodes_per_trial=episodes, **params_of(param or []))
    server({**trial, "index": index}, write_down).run("stdio")


def openenv(
    id: _Id,
    episodes: _Episodes = 1,
    split: Annotated[str, typer.Option(help=f"where a client names none: {SPLITS}")] = "all",
    param: Param = None,
    host: Annotated[str, typer.Option(help="who is listened to: 127.0.0.1 is this machine alone")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="where to listen")] = 8000,
    sessions: Annotated[int, typer.Option(help="the most at once")] = 64,
) -> None:
    """Serve trials to clients of OpenEnv: which task and noise says reset(split=, index=, seed=)."""
    with _extra("openenv"):
        from metarl_envs.protocols.openenv import app
    import uvicorn  # pyright: ignore[reportMissingImports]  # comes with openenv

    made = app(id, split=split, episodes_per_trial=episodes, sessions=sessions, **params_of(param or []))
    uvicorn.run(made, host=host, port=port)


@contextlib.contextmanager
def _extra(name: str) -> Iterator[None]:
    """Say what to install where an extra's library, which has its name, is missing."""
    try:
        yield
    except ModuleNotFoundError as error:
        if error.name != name:
            raise
        raise ModuleNotFoundError(f'{name} is not installed: pip install "metarl-envs[{name}]"') from None
