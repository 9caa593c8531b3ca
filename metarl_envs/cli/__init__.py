"""The command line: `metarl-envs list|play|host|evaluate|verdict|collect|histories|replay|boxes|mcp|openenv`.

A file a group of commands.
"""

from __future__ import annotations

import codecs
import contextlib
import io
import platform
import sys
from typing import Annotated

import typer

from metarl_envs.cli import boxes, environments, evaluation, histories, hosting, protocols
from metarl_envs.cli.options import SETTINGS
from metarl_envs.cli.terminal import drop_what_cannot_be_printed, in_plain_signs, new_console
from metarl_envs.files import versions

app = typer.Typer(help="Meta-RL environments: what there is, and how well something learns in them.", **SETTINGS)


def _print_version(wanted: bool) -> None:
    if wanted:
        told = {**versions("metarl-envs", "gymnasium", "numpy", "numba"), "Python": platform.python_version()}
        typer.echo(", ".join(f"{package} {number}" for package, number in told.items()))
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[bool, typer.Option("--version", callback=_print_version, is_eager=True, help="print versions")] = False,
) -> None:
    """Meta-RL environments: what there is, and how well something learns in them."""


app.command("list")(environments.list_what_there_is)
app.command()(evaluation.evaluate)
app.command()(evaluation.verdict)
app.command()(environments.play)
app.command()(hosting.host)
app.command()(histories.collect)
app.add_typer(histories.app, name="histories")
app.command()(boxes.replay)
app.add_typer(boxes.app, name="boxes")
app.command()(protocols.mcp)
app.command()(protocols.openenv)


def main() -> None:
    """Run the console script: a mistake in the arguments is one clear line, not a traceback."""
    codecs.register_error("metarl_envs.plain", in_plain_signs)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # None where it is closed
            stream.reconfigure(errors="metarl_envs.plain")
    try:
        app()
    except (ValueError, TypeError, IndexError, MemoryError, OSError, ModuleNotFoundError) as error:
        if isinstance(error, OSError):
            drop_what_cannot_be_printed(sys.stdout)
        with contextlib.suppress(OSError):
            new_console(stderr=True).print(f"metarl-envs: {error}", soft_wrap=True)
        sys.exit(2)
