"""Scoring policies."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from metarl_envs.cli.options import DEFAULT_SPLIT, SPLITS, params_of, see_that_it_can_be_written
from metarl_envs.cli.terminal import Bars, new_console


def evaluate(
    id: Annotated[str, typer.Argument(help="such as MetaRL/DarkRoom-v0")],
    policy: Annotated[list[str] | None, typer.Option(help="a learner or reference, repeatable [default: all that fit]")] = None,
    split: Annotated[str, typer.Option(help=f"{SPLITS} [default: test, or all where tasks are not split]")] = DEFAULT_SPLIT,
    tasks: Annotated[int, typer.Option(help="number of tasks, the first ones of the split")] = 100,
    episodes: Annotated[
        int | None, typer.Option(help="number of episodes in a lifetime [default: 100, or 1 where it is scored in blocks]")
    ] = None,
    seeds: Annotated[int, typer.Option(help="number of seeds: 0, 1, ...")] = 5,
    lifetimes: Annotated[int, typer.Option(help="number of lifetimes on each task, for each seed")] = 1,
    param: Annotated[list[str] | None, typer.Option(help="a parameter of the family, as name=value, repeatable")] = None,
    out: Annotated[Path | None, typer.Option(help="folder [default: results/NAME-SPLIT]")] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="replace a result of other settings in that folder")] = False,
) -> None:
    """Score references and learners on held-out tasks: a table, a picture of their learning curves, and the numbers."""
    from metarl_envs.engine.composing import family_at
    from metarl_envs.evaluation import evaluate as score
    from metarl_envs.evaluation.protocol import unlike
    from metarl_envs.evaluation.report import draw_curves, table
    from metarl_envs.evaluation.result_files import read_result
    from metarl_envs.ids import family_of, id_of, short
    from metarl_envs.task_sets import tasks_of

    params = params_of(param or [])
    task_set = tasks_of(family_at(family_of(id)), "test", split, None, params)
    meant = task_set.split or "all"
    folder = out or Path("results") / f"{short(id_of(id)).rpartition('/')[2]}-{meant}"
    see_that_it_can_be_written(folder)
    if (held := folder / "result.json").exists() and not overwrite:
        how: dict[str, Any] = {"count": tasks, "episodes": episodes, "seeds": seeds, "lifetimes": lifetimes}
        if other := unlike(read_result(held), id, policy or None, task_set, **how):
            raise ValueError(f"--out {folder} holds a result with other {', '.join(other)}: give another --out, or --overwrite")
    with Bars() as progress:
        result = score(
            id,
            policy or None,
            split=split,
            tasks=tasks,
            episodes=episodes,
            seeds=seeds,
            lifetimes=lifetimes,
            progress=progress.show,
            **params,
        )
    written = result.save(folder)  # before anything is printed, which can fail
    try:
        written.append(draw_curves(result, folder / "curves.png"))
        picture = ""
    except ModuleNotFoundError:
        picture = 'no picture: it needs matplotlib (pip install "metarl-envs[plot]")\n'
    console = new_console()
    if split == DEFAULT_SPLIT and meant == "all":
        console.print(f"the tasks of {id} are not split into train and test: all of them were used", soft_wrap=True)
    console.print(table(result, console.width))
    console.print(f"{picture}written: {', '.join(map(str, written))}", soft_wrap=True)
