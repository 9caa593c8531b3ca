"""Learning histories: collecting them, and what is done with a folder of them."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Annotated

import typer

from metarl_envs.cli.options import DEFAULT_SPLIT, SETTINGS, SPLITS, Param, params_of
from metarl_envs.cli.terminal import Bars, new_console

app = typer.Typer(help="Learning histories on disk.", **SETTINGS)


def collect(
    id: Annotated[str, typer.Argument(help="such as MetaRL/DarkRoom-v0")],
    learner: Annotated[str, typer.Argument(help="name of a learner or reference, such as q_learning")],
    out: Annotated[Path, typer.Option(help="folder to write to")],
    histories: Annotated[int, typer.Option(help="number of learning histories")] = 1000,
    steps: Annotated[int, typer.Option(help="number of steps in each history")] = 1000,
    split: Annotated[str, typer.Option(help=f"{SPLITS} [default: train, or all where tasks are not split]")] = DEFAULT_SPLIT,
    tasks: Annotated[int | None, typer.Option(help="number of tasks, the first ones of the split [default: no limit]")] = None,
    seed: Annotated[int, typer.Option(help="root seed: all histories follow from it")] = 0,
    hyper: Annotated[list[str] | None, typer.Option(help="a hyper-parameter, as name=value, repeatable")] = None,
    param: Param = None,
    internal: Annotated[list[str] | None, typer.Option(help="an internal quantity to record, such as q, repeatable")] = None,
    label: Annotated[list[str] | None, typer.Option(help="optimal_action, q_star or regret, repeatable")] = None,
    workers: Annotated[int | None, typer.Option(help="number of threads [default: one a core]")] = None,
    shard: Annotated[str, typer.Option(help="i/n: do the i-th of n shares, from 0, for n jobs and one folder")] = "0/1",
    resume: Annotated[bool, typer.Option("--resume", help="go on with what is there")] = False,
) -> None:
    """Write learning histories to a folder. Killed, it leaves whole shards, and --resume goes on."""
    from metarl_envs.arguments import at_least_one
    from metarl_envs.histories.collect import share_of
    from metarl_envs.histories.plan import Plan
    from metarl_envs.learners.named import learner_named

    console, workers = new_console(), (os.cpu_count() or 1) if workers is None else at_least_one("workers", workers)
    plan = Plan.of(
        id,
        learner_named(learner, params_of(hyper, "--hyper")) if hyper else learner,
        histories=histories,
        steps=steps,
        seed=seed,
        split=split,
        tasks=tasks,
        internals=internal or (),
        labels=label or (),
        **params_of(param or []),
    )
    share = share_of(shard.split("/"))
    told = plan.forecast(workers)
    console.print(
        f"{histories:,} histories of {steps:,} steps: {told.bytes / 1e9:.3g} GB, and about {told.seconds / share[1]:.3g} s of "
        f"computing here ({told.rate / 1e6:.3g} M steps/s a core), if the disk keeps up",
        soft_wrap=True,
    )
    start = time.monotonic()
    with Bars() as progress:
        written = plan.to_disk(out, workers=workers, share=share, resume=resume, progress=progress.show)
    console.print(f"{written!r} in {out}, after {time.monotonic() - start:.1f} s", soft_wrap=True)


@app.command()
def info(path: Annotated[Path, typer.Argument(help="a folder of histories")]) -> None:
    """Print the content of a folder: who learned what, how much of it, and how well."""
    from metarl_envs.histories import load

    store, console = load(path, partial=True), new_console()
    console.print(repr(store), soft_wrap=True)
    for name, value in store.about.items():
        if name not in ("columns", "versions"):
            console.print(f"{name:>18}  {json.dumps(value)}", soft_wrap=True)
    for name, (dtype, shape) in store.columns.items():
        console.print(f"{name:>18}  {dtype} {list(shape)}", soft_wrap=True)
    first, last = store.first_and_last_returns()
    console.print(f"{'mean return':>18}  {first:.4g} in the first episode, {last:.4g} in the last whole one")


@app.command()
def verify(path: Annotated[Path, typer.Argument(help="a folder of histories")]) -> None:
    """Read every file and compare it with the digest that was written with it."""
    from metarl_envs.histories import load

    store = load(path)
    with Bars() as progress:
        store.verify(progress.show)
    new_console().print(f"{store!r}: as it was written", soft_wrap=True)


@app.command()
def export(
    path: Annotated[Path, typer.Argument(help="a folder of histories")],
    target: Annotated[str, typer.Argument(help="a file that is not there yet, or the id of a Minari dataset")],
    format: Annotated[str, typer.Option(help="arrow, minari or xland")] = "arrow",
) -> None:
    """Write histories in another format: Arrow IPC (everything, compressed), Minari, or XLand-100B's layout."""
    from metarl_envs.histories import export as export_to
    from metarl_envs.histories import load

    export_to(load(path), target, format)
    new_console().print(f"written: {target}", soft_wrap=True)


@app.command("import")
def import_(
    source: Annotated[str, typer.Argument(help="a file, or the id of a Minari dataset")],
    out: Annotated[Path, typer.Argument(help="a folder that is not there yet")],
    format: Annotated[str, typer.Option(help="arrow, minari or xland")] = "arrow",
) -> None:
    """Read histories in another format, and write them as a folder of histories."""
    from metarl_envs.histories import import_from

    new_console().print(repr(import_from(source, format, out)), soft_wrap=True)
