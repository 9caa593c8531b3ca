"""Boxes: recorded runs, and the studies that the package ships."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from metarl_envs.cli.models import (
    BaseUrl,
    Concurrency,
    Context,
    DryRun,
    MaxTokens,
    Requests,
    Resume,
    Retries,
    Tokens,
    replies_in_a_line,
    seats_of,
    told_in_a_line,
)
from metarl_envs.cli.options import (
    SETTINGS,
    SPLITS,
    Param,
    params_of,
    prepare_for_a_window,
    see_that_it_can_be_written,
    written_in,
)
from metarl_envs.cli.terminal import Bars

if TYPE_CHECKING:
    from metarl_envs.play.recording import Recording
    from metarl_envs.players import Run

app = typer.Typer(help="Boxes: groups of agents that invent, take notes, and forget.", **SETTINGS)


def replay(
    file: Annotated[Path, typer.Argument(help="a recorded run: FILE.npz and FILE.json")],
    box: Annotated[int, typer.Option(help="which of its boxes (or lives), from 0")] = 0,
    failures: Annotated[bool, typer.Option("--failures", help="tell also of what made nothing")] = False,
    pictures: Annotated[bool, typer.Option("--pictures", help="show the box in text after each step that changed it")] = False,
    window: Annotated[bool, typer.Option("--window", help="look through it in a window, on and back")] = False,
    gif: Annotated[Path | None, typer.Option(help="write it as an animation to this file")] = None,
    every: Annotated[int, typer.Option(help="with --gif: steps from picture to picture")] = 1,
    hide: Annotated[bool, typer.Option("--hide", help="in pictures: leave hidden what players do not see")] = False,
    screenshots: Annotated[Path, typer.Option(help="with --window: folder for screenshots")] = Path("screenshots"),
) -> None:
    """Print a box of a recorded run step by step: who made what, when, and what was written. Or show it in pictures.

    In pictures (--window, --gif) it shows any run: a box, a life of an agent, what somebody played with `play --out`.
    """
    from metarl_envs.boxes.study.replay import lines
    from metarl_envs.players import load

    in_pictures = window or gif is not None
    for given, wanted, where in (
        ("--failures", failures and in_pictures, "to the printed form, without --window and --gif"),
        ("--pictures", pictures and in_pictures, "to the printed form, without --window and --gif"),
        ("--hide", hide and not in_pictures, "with --window or --gif"),
        ("--every", every != 1 and gif is None, "with --gif"),
    ):
        if wanted:
            raise ValueError(f"{given} goes {where}")
    run = load(file)
    if not in_pictures:
        for line in lines(run, box, failures=failures, pictures=pictures):
            typer.echo(line)
        return
    prepare_for_a_window()
    from metarl_envs.play.recording import Recording, write_animation
    from metarl_envs.play.window import see_that_there_is_a_screen

    if window:
        see_that_there_is_a_screen()  # before the run is lived again
    recording = Recording(run, box, reveal=not hide)
    if gif is not None:
        see_that_it_can_be_written(gif.parent)
        with Bars() as bars:
            write_animation(recording, gif, every=every, progress=bars.show)
        typer.echo(f"written: {gif}")
    if window:
        _look_through(recording, run, box, screenshots)


def _look_through(recording: Recording, run: Run, box: int, screenshots: Path) -> None:
    """Open the window on a recording; of a box it is told what happened."""
    from metarl_envs.boxes.scenarios.box import Box
    from metarl_envs.boxes.study.replay import steps
    from metarl_envs.play.replay import Replay
    from metarl_envs.play.window import play as open_window

    told = None
    if issubclass(run.variant.family, Box):
        happened = [events for _, events in steps(run, box, failures=True)]
        told = happened.__getitem__
    open_window(Replay(recording, told), screenshots)


@app.command()
def run(
    box: Annotated[str, typer.Argument(help="such as AmnesiaBox")],
    seat: Annotated[list[str], typer.Option(help="who sits where, as 0=greedy, others=model:NAME or all=random; repeatable")],
    out: Annotated[Path, typer.Option(help="folder for the run, and for transcripts of models")],
    boxes: Annotated[int, typer.Option(help="number of boxes")] = 1,
    seed: Annotated[int, typer.Option(help="seed of the first box")] = 0,
    split: Annotated[str, typer.Option(help=SPLITS)] = "all",
    param: Param = None,
    base_url: BaseUrl = None,
    context: Context = "whole",
    max_tokens: MaxTokens = 256,
    retries: Retries = 2,
    requests: Requests = None,
    tokens: Tokens = None,
    concurrency: Concurrency = 8,
    resume: Resume = False,
    dry_run: DryRun = False,
) -> None:
    """Play boxes to the end with scripted agents and language models in their seats, and write down the run."""
    from metarl_envs.boxes.study.runs import forecast
    from metarl_envs.boxes.study.runs import run as play

    settings = {"context": context, "max_tokens": max_tokens, "retries": retries, "requests": requests, "tokens": tokens}
    seats = seats_of(seat, base_url, settings)
    if "person" in seats.values():
        raise ValueError("--seat has a person, who needs a page: metarl-envs host, with the same options")
    asked = {"boxes": boxes, "seed": seed, "split": split, **params_of(param or [])}
    if dry_run:
        typer.echo(str(forecast(box, seats, **asked)))
        return
    see_that_it_can_be_written(out)
    with told_in_a_line(out):
        done = play(box, seats, out=out, resume=resume, concurrency=concurrency, **asked)
    models = {id(player): player for player in seats.values() if not isinstance(player, str)}
    for model in models.values():
        typer.echo(replies_in_a_line(model.model, model))
    typer.echo(f"{done!r}\n{written_in(out)}")


@app.command()
def effects(
    boxes: Annotated[int, typer.Option(help="number of boxes in each condition")] = 200,
    seed: Annotated[int, typer.Option(help="seed of the first box")] = 10_000,
) -> None:
    """Put the published effects to the test with scripted agents: which hold, with 95 % intervals."""
    from metarl_envs.boxes.study.effects import findings, report

    typer.echo(report(list(findings(boxes, seed))))


@app.command()
def generations(
    agent: Annotated[str, typer.Option(help="a scripted agent, in all seats")] = "greedy",
    boxes: Annotated[int, typer.Option(help="number of boxes in each condition")] = 200,
    seed: Annotated[int, typer.Option(help="seed of the first box")] = 10_000,
    param: Param = None,
) -> None:
    """Compare generations with a twin without transmission, the oracle, and one immortal with as many steps: equal seeds."""
    from metarl_envs.boxes.study.controls import beside_controls

    typer.echo(beside_controls("GenerationsBox", agent, boxes, seed, **params_of(param or [])).report())


@app.command()
def ruthlessness(
    boxes: Annotated[int, typer.Option(help="number of boxes for each scripted agent")] = 200,
    seed: Annotated[int, typer.Option(help="seed of the first box")] = 10_000,
    param: Param = None,
) -> None:
    """Tell how ruthless scripted agents are in HazardBox: who harms because it pays, who knows it, who holds back."""
    from metarl_envs.boxes.study.ruthlessness import report, table

    typer.echo(report(table(boxes, seed, **params_of(param or []))))


@app.command()
def compare(
    population: Annotated[
        list[str], typer.Argument(help="NAME=RUN: a run's folder or file; a name may come again, once a run")
    ],
    out: Annotated[Path | None, typer.Option(help="write one page of HTML here, which loads nothing from elsewhere")] = None,
    seat: Annotated[list[int] | None, typer.Option(help="whose deeds count, repeatable [default: all seats]")] = None,
    permutations: Annotated[int, typer.Option(help="of the test of how alike they behave")] = 999,
    seed: Annotated[int, typer.Option(help="of the permutations")] = 0,
) -> None:
    """Compare populations in the same boxes: what each achieves, paired differences, and how alike they behave."""
    from metarl_envs.boxes.study.compare import compare as compared
    from metarl_envs.players import load

    if out is not None:
        see_that_it_can_be_written(out.parent)
    runs: dict[str, list[Any]] = {}
    for given in population:
        name, equals, where = given.partition("=")
        if not equals or not name or not where:
            raise ValueError(f"{given!r} must be NAME=RUN, such as greedy=runs/greedy")
        runs.setdefault(name, []).append(load(Path(where) / "run" if Path(where).is_dir() else where))
    found = compared(runs, seats=seat, permutations=permutations, seed=seed)
    typer.echo(found.table())
    if out is not None:
        typer.echo(f"\nwritten: {found.save(out)}")


@app.command()
def tree(
    file: Annotated[Path, typer.Argument(help="a recorded run: FILE.npz and FILE.json")],
    out: Annotated[Path, typer.Option(help="the picture that is written")] = Path("family_tree.png"),
    box: Annotated[int, typer.Option(help="which of its boxes, from 0")] = 0,
) -> None:
    """Draw all lives of a box as a family tree: who lived when, what each knew, and who learned it from whom."""
    from metarl_envs.boxes.study.family_tree import save_family_tree
    from metarl_envs.players import load

    typer.echo(f"written: {save_family_tree(load(file), out, box)}")


@app.command()
def summary(
    file: Annotated[Path, typer.Argument(help="a recorded run: FILE.npz and FILE.json")],
    out: Annotated[Path, typer.Option(help="the picture that is written")] = Path("summary.png"),
    box: Annotated[int | None, typer.Option(help="which of its boxes, from 0 [default: the mean over all]")] = None,
) -> None:
    """Draw a run over time: inventions, pay, what is written and what of it is true, health and what others cost it."""
    from metarl_envs.boxes.study.over_time import save_summary
    from metarl_envs.players import load

    see_that_it_can_be_written(out.parent)
    typer.echo(f"written: {save_summary(load(file), out, box)}")


@app.command()
def normaliser(
    out: Annotated[Path | None, typer.Option(help="write it here [default: print it]")] = None,
) -> None:
    """Compute the table of nulls and oracle again that is shipped with the package."""
    from metarl_envs.boxes.study.normaliser import compute_table
    from metarl_envs.files import written_aside

    if out is not None:
        see_that_it_can_be_written(out.parent)
    text = compute_table()
    if out is None:
        typer.echo(text, nl=False)
    else:
        out.parent.mkdir(parents=True, exist_ok=True)
        with written_aside(out) as [aside]:
            aside.write_text(text)
