"""Scoring policies."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from metarl_envs.cli.options import SPLITS, params_of, see_that_it_can_be_written
from metarl_envs.cli.terminal import Bars, new_console


def evaluate(
    id: Annotated[str, typer.Argument(help="such as MetaRL/DarkRoom-v0")],
    policy: Annotated[list[str] | None, typer.Option(help="a learner or reference, repeatable [default: all that fit]")] = None,
    split: Annotated[str, typer.Option(help=SPLITS)] = "test",
    tasks: Annotated[int, typer.Option(help="how many tasks")] = 100,
    episodes: Annotated[
        int | None, typer.Option(help="in a lifetime [default: 100, or 1 where it is scored in blocks]")
    ] = None,
    seeds: Annotated[int, typer.Option(help="how many seeds")] = 5,
    lifetimes: Annotated[int, typer.Option(help="on each task")] = 10,
    param: Annotated[list[str] | None, typer.Option(help="a parameter of the family, as name=value, repeatable")] = None,
    out: Annotated[Path | None, typer.Option(help="folder [default: results/NAME-SPLIT]")] = None,
) -> None:
    """Score references and learners on held-out tasks: a table, a picture of their learning curves, and the numbers."""
    from metarl_envs.engine.splits import PARTS
    from metarl_envs.evaluation import evaluate as score
    from metarl_envs.evaluation.report import draw_curves, table
    from metarl_envs.ids import id_of
    from metarl_envs.task_sets import tasks as tasks_of

    params = params_of(param or [])
    if split.partition("+")[0] in PARTS and not tasks_of(id, **params).parts:
        raise ValueError(f"the tasks of {id} are not split into train and test: add --split all")
    folder = out or Path("results") / f"{id_of(id).rpartition('/')[2].removesuffix('-v0')}-{split}"
    see_that_it_can_be_written(folder)
    with Bars() as progress:
        result = score(
            policy or None,
            id,
            split=None if split == "all" else split,
            tasks=tasks,
            episodes=episodes,
            seeds=seeds,
            lifetimes=lifetimes,
            progress=progress.advance,
            **params,
        )
    written = result.save(folder)  # before anything is printed, which can fail
    try:
        written.append(draw_curves(result, folder / "curves.png"))
        picture = ""
    except ModuleNotFoundError:
        picture = 'no picture: it needs matplotlib (pip install "metarl-envs[plot]")\n'
    console = new_console()
    console.print(table(result, console.width))
    console.print(f"{picture}written: {', '.join(map(str, written))}", soft_wrap=True)
