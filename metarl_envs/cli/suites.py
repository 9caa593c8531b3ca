"""Scoring agents in suites."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import typer

from metarl_envs.cli.models import told_in_a_line
from metarl_envs.cli.options import see_that_it_can_be_written
from metarl_envs.cli.terminal import Bars, new_console
from metarl_envs.files import written_aside

#: Options of `evaluate` that a suite says by itself.
_SAID = ("policy", "split", "tasks", "episodes", "seeds", "lifetimes", "param", "control")
#: For more agents than this, reasons for which they cannot play some rows are in the files alone.
_FEW = 4


def see_that_a_suite_says_the_rest(called: typer.Context) -> None:
    """Raise ValueError where an option was given that a suite says by itself."""
    for name in _SAID:
        source = called.get_parameter_source(name)
        if source is not None and source.name != "DEFAULT":
            instead = {"policy": "name agents behind it", "control": "agents are scored as they are"}
            raise ValueError(f"--{name} does not go with --suite: {instead.get(name, 'a suite says that by itself')}")


def score_in_suite(
    name: str,
    agents: Mapping[str, Any],
    out: Path | None,
    *,
    resume: bool = False,
    overwrite: bool = False,
    forecast_of: Mapping[str, Any] | None = None,
) -> None:
    """Let agents live the rows of a suite; print tables, and write them beside a picture and a file of JSON.

    Args:
        name: of the suite, or its file.
        agents: by name.
        out: the folder.
        resume: go on with what is there.
        overwrite: begin anew where something is there.
        forecast_of: language models, of which it is only told what would be asked of them; None: nothing is foretold.
    """
    from metarl_envs.suites import load
    from metarl_envs.suites.report import draw_profiles, markdown, reasons, tables

    suite = load(name)
    if forecast_of is not None:
        if not forecast_of:
            raise ValueError("--dry-run goes with --model: give one")
        for who, model in forecast_of.items():
            typer.echo(f"{who}: {suite.forecast(model)}")
        return
    if not agents:
        raise ValueError(f"--suite {name} needs an agent behind it, such as: evaluate --suite {name} q_learning")
    folder = out or Path("results") / f"suite-{suite.name}"
    see_that_it_can_be_written(folder)
    if (folder / "rows").exists() and not resume and not overwrite:
        raise ValueError(f"--out {folder} holds what agents lived: give another --out, or --resume, or --overwrite")
    with Bars() as progress, told_in_a_line(folder):
        result = suite.run(agents, out=folder, resume=resume, overwrite=overwrite, progress=progress.show)
    written = [result.save(folder / "suite.json")]  # before anything is printed, which can fail
    with written_aside(folder / "suite.md") as [aside]:
        aside.write_text(markdown(result), encoding="utf-8")
    written.append(folder / "suite.md")
    picture = ""
    try:
        written.append(draw_profiles(result, folder / "profiles.png"))
    except ModuleNotFoundError:
        picture = 'no picture: it needs matplotlib (pip install "metarl-envs[plot]")\n'
    console = new_console()
    for table in tables(result, console.width):
        console.print(table)
    if refused := list(reasons(result)):
        told = (
            refused if len(result.agents) <= _FEW else [f"n/a: agents that cannot play a row; {folder / 'suite.md'} says why"]
        )
        for line in told:
            console.print(line, soft_wrap=True)
    console.print(f"{picture}written: {', '.join(map(str, written))}, and what was lived in {folder / 'rows'}", soft_wrap=True)
