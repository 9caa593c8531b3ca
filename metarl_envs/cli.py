"""The command line: `metarl-envs list | play | evaluate | collect | histories | replay | boxes`."""

from __future__ import annotations

import codecs
import contextlib
import io
import json
import os
import sys
import tempfile
import textwrap
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, TextIO

import typer
from rich.console import Console

#: What every `--split` takes.
_SPLITS = "of the tasks: all, train, validation, test, a named shift, or a part of a shift (test+SHIFT)"
_SETTINGS: Any = {
    "no_args_is_help": True,
    "add_completion": False,
    "pretty_exceptions_enable": False,
    "rich_markup_mode": None,  # which would take "[default: ...]" in a help text for a style, and leave it out
}
app = typer.Typer(help="Meta-RL environments: what there is, and how well something learns in them.", **_SETTINGS)

#: What signs become where the terminal's encoding does not have them.
_PLAIN_SIGNS = {"±": "+-", "²": "^2", "→": "->", "…": "...", "—": "-", "“": '"', "”": '"'}
#: Below so many columns tables are told line by line.
_NARROW = 80


def main() -> None:
    """The console script: a mistake in the arguments is one clear line, not a traceback."""
    codecs.register_error("metarl_envs.plain", _in_plain_signs)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # None where it is closed
            stream.reconfigure(errors="metarl_envs.plain")
    try:
        app()
    except (ValueError, TypeError, MemoryError, OSError, ModuleNotFoundError) as error:
        if isinstance(error, OSError):
            _drop_what_cannot_be_printed(sys.stdout)
        with contextlib.suppress(OSError):
            _console(stderr=True).print(f"metarl-envs: {error}", soft_wrap=True)
        sys.exit(2)


def _in_plain_signs(error: UnicodeError) -> tuple[str | bytes, int]:
    """Say in other signs what an encoding does not have: nothing that is printed may fail for its signs."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    plain = "".join(
        _PLAIN_SIGNS.get(sign) or sign.encode("ascii", "backslashreplace").decode()
        for sign in error.object[error.start : error.end]
    )
    return plain, error.end


def _drop_what_cannot_be_printed(stream: TextIO | None) -> None:
    """Lead a stream that takes nothing any more (a full disk) nowhere, so that Python does not fail on it when it ends."""
    if stream is None:
        return
    try:
        stream.flush()
    except OSError:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)


def _console(stderr: bool = False) -> Console:
    """Return a console that prints what it is given: no markup, no emoji, no colours by guess."""
    return Console(stderr=stderr, markup=False, emoji=False, highlight=False)


@app.command("list")
def list_environments(
    id: Annotated[str | None, typer.Argument(help="show this id's reference page instead")] = None,
) -> None:
    """The environments, or the reference page of one."""
    from rich.table import Table

    from metarl_envs.catalogue import entries, read_page
    from metarl_envs.engine.composing import family_at
    from metarl_envs.ids import family_of

    console = _console()
    if id is not None:
        summary, page = read_page(family_at(family_of(id)))
        for heading, text in {"": summary, **page}.items():
            if heading:
                console.print(heading, style="bold")
            console.print(_fitted(text, console.width) + "\n")
        return
    listed = [(entry.id, entry.kind, " ".join(entry.summary.split())) for entry in entries()]
    if console.width < _NARROW:
        for id, kind, summary in listed:
            console.print(f"{id} ({kind})\n{_fitted(summary, console.width)}\n")
        return
    table = Table(title="environments")
    for column in ("id", "kind", "what it is"):
        table.add_column(column, no_wrap=column == "id")
    for row in listed:
        table.add_row(*row)
    console.print(table)


@app.command()
def evaluate(
    id: Annotated[str, typer.Argument(help="such as MetaRL/DarkRoom-v0")],
    policy: Annotated[list[str] | None, typer.Option(help="a learner or reference, repeatable [default: all that fit]")] = None,
    split: Annotated[str, typer.Option(help=_SPLITS)] = "test",
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
    import metarl_envs
    from metarl_envs.engine.splits import PARTS
    from metarl_envs.evaluation.report import draw_curves, table
    from metarl_envs.ids import id_of

    params = _params(param or [])
    if split.partition("+")[0] in PARTS and not metarl_envs.tasks(id, **params).parts:
        raise ValueError(f"the tasks of {id} are not split into train and test: add --split all")
    folder = out or Path("results") / f"{id_of(id).rpartition('/')[2].removesuffix('-v0')}-{split}"
    _see_that_it_can_be_written(folder)
    with _Bars() as progress:
        result = metarl_envs.evaluate(
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
    console = _console()
    console.print(table(result, console.width))
    console.print(f"{picture}written: {', '.join(map(str, written))}", soft_wrap=True)


@app.command()
def play(
    id: Annotated[str, typer.Argument(help="such as MetaRL/DarkRoom-v0")],
    episodes: Annotated[int | None, typer.Option(help="in a trial [default: 5, or 1 where one is long]")] = None,
    split: Annotated[str, typer.Option(help=_SPLITS)] = "all",
    seed: Annotated[int | None, typer.Option(help="of the first trial [default: random]")] = None,
    param: Annotated[list[str] | None, typer.Option(help="a parameter of the family, as name=value, repeatable")] = None,
    screenshots: Annotated[Path, typer.Option(help="folder for screenshots")] = Path("screenshots"),
) -> None:
    """Play a family yourself, in a window: the keys are on the screen, the hidden task is shown when the trial is over."""
    os.environ.setdefault("PYGAME_HIDE_SUPPORT_PROMPT", "1")
    if sys.platform == "linux":  # else SDL complains on standard error that nobody has set it
        os.environ.setdefault("XDG_RUNTIME_DIR", tempfile.gettempdir())
    from metarl_envs.arguments import at_least_one
    from metarl_envs.engine.composing import family_at
    from metarl_envs.ids import family_of
    from metarl_envs.play import Game
    from metarl_envs.play.window import play as open_window

    family = family_at(family_of(id))
    if episodes is None:
        episodes = 5 if family.unit == "episode" else 1
    game = Game(
        id.removeprefix("metarl_envs:"),
        seed=seed,
        split=None if split == "all" else split,
        episodes_per_trial=at_least_one("episodes", episodes),
        **_params(param or []),
    )
    open_window(game, screenshots)


@app.command()
def collect(
    id: Annotated[str, typer.Argument(help="such as MetaRL/DarkRoom-v0")],
    learner: Annotated[str, typer.Argument(help="such as q_learning")],
    out: Annotated[Path, typer.Option(help="folder to write to")],
    histories: Annotated[int, typer.Option(help="how many lives")] = 1000,
    steps: Annotated[int, typer.Option(help="in each")] = 1000,
    split: Annotated[str | None, typer.Option(help=f"{_SPLITS} [default: as histories.collect]")] = None,
    seed: Annotated[int, typer.Option(help="of all")] = 0,
    hyper: Annotated[list[str] | None, typer.Option(help="of the learner, as name=value, repeatable")] = None,
    param: Annotated[list[str] | None, typer.Option(help="a parameter of the family, as name=value, repeatable")] = None,
    internals: Annotated[str, typer.Option(help="what of its mind to record, such as q,epsilon")] = "",
    labels: Annotated[str, typer.Option(help="ground truth beside it: optimal_action,q_star,regret")] = "",
    workers: Annotated[int | None, typer.Option(help="threads [default: one a core]")] = None,
    shard: Annotated[str, typer.Option(help="i/n: do the i-th of n shares, from 0, for n jobs and one folder")] = "0/1",
    resume: Annotated[bool, typer.Option("--resume", help="go on with what is there")] = False,
) -> None:
    """Write learning histories to a folder. Killed, it leaves whole shards, and --resume goes on."""
    from metarl_envs.arguments import at_least_one
    from metarl_envs.histories.collect import share_of
    from metarl_envs.histories.plan import Plan

    console, workers = _console(), (os.cpu_count() or 1) if workers is None else at_least_one("workers", workers)
    given = _params(param or [])
    if split is not None:
        given["split"] = None if split == "all" else split
    plan = Plan.of(
        id,
        _learner(learner, _params(hyper or [], "--hyper")),
        histories=histories,
        steps=steps,
        seed=seed,
        internals=_names(internals),
        labels=_names(labels),
        **given,
    )
    share = share_of(shard.split("/"))
    told = plan.forecast(workers)
    console.print(
        f"{histories:,} histories of {steps:,} steps: {told.bytes / 1e9:.3g} GB, and about {told.seconds / share[1]:.3g} s of "
        f"computing here ({told.rate / 1e6:.3g} M steps/s a core), if the disk keeps up",
        soft_wrap=True,
    )
    start = time.monotonic()
    with _Bars() as progress:
        written = plan.to_disk(out, workers=workers, share=share, resume=resume, progress=progress.at(learner))
    console.print(f"{written!r} in {out}, after {time.monotonic() - start:.1f} s", soft_wrap=True)


histories_app = typer.Typer(help="Learning histories on disk.", **_SETTINGS)
app.add_typer(histories_app, name="histories")


@histories_app.command()
def info(path: Annotated[Path, typer.Argument(help="a folder of histories")]) -> None:
    """What a folder holds: who learned what, how much of it, and how well."""
    from metarl_envs.histories import open as open_store

    store, console = open_store(path, partial=True), _console()
    console.print(repr(store), soft_wrap=True)
    for name, value in store.about.items():
        if name not in ("columns", "versions"):
            console.print(f"{name:>18}  {json.dumps(value)}", soft_wrap=True)
    for name, (dtype, shape) in store.columns.items():
        console.print(f"{name:>18}  {dtype} {list(shape)}", soft_wrap=True)
    first, last = store.first_and_last_returns()
    console.print(f"{'mean return':>18}  {first:.4g} in the first episode, {last:.4g} in the last whole one")


@histories_app.command()
def verify(path: Annotated[Path, typer.Argument(help="a folder of histories")]) -> None:
    """Read every file and compare it with the digest that was written with it."""
    from metarl_envs.histories import open as open_store

    store = open_store(path)
    with _Bars() as progress:
        store.verify(progress.at("bytes"))
    _console().print(f"{store!r}: as it was written", soft_wrap=True)


@histories_app.command()
def export(
    path: Annotated[Path, typer.Argument(help="a folder of histories")],
    target: Annotated[str, typer.Argument(help="a file that is not there yet, or the id of a Minari dataset")],
    format: Annotated[str, typer.Option(help="arrow, minari or xland")] = "arrow",
) -> None:
    """Write histories in another format: Arrow IPC (everything, compressed), Minari, or XLand-100B's layout."""
    from metarl_envs.histories import export as export_to
    from metarl_envs.histories import open as open_store

    export_to(open_store(path), target, format)
    _console().print(f"written: {target}", soft_wrap=True)


@histories_app.command("import")
def import_(
    source: Annotated[str, typer.Argument(help="a file, or the id of a Minari dataset")],
    out: Annotated[Path, typer.Argument(help="a folder that is not there yet")],
    format: Annotated[str, typer.Option(help="arrow, minari or xland")] = "arrow",
) -> None:
    """Read histories in another format, and write them as a folder of histories."""
    from metarl_envs.histories import import_from

    _console().print(repr(import_from(source, format, out)), soft_wrap=True)


@app.command()
def replay(
    file: Annotated[Path, typer.Argument(help="what boxes.run(...).save(FILE) wrote: FILE.npz and FILE.json")],
    box: Annotated[int, typer.Option(help="which of its boxes, from 0")] = 0,
    failures: Annotated[bool, typer.Option("--failures", help="tell also of what made nothing")] = False,
    pictures: Annotated[bool, typer.Option("--pictures", help="show the box in text after each step that changed it")] = False,
) -> None:
    """Print a box of a recorded run step by step: who made what, when, and what was written."""
    from metarl_envs.boxes.study.replay import lines
    from metarl_envs.boxes.study.runs import load

    for line in lines(load(file), box, failures=failures, pictures=pictures):
        typer.echo(line)


boxes_app = typer.Typer(help="Boxes: groups of agents that invent, take notes, and forget.", **_SETTINGS)
app.add_typer(boxes_app, name="boxes")


@boxes_app.command()
def effects(
    boxes: Annotated[int, typer.Option(help="for each condition")] = 200,
    seed: Annotated[int, typer.Option(help="of the first box")] = 10_000,
) -> None:
    """Put the published effects to the test with scripted agents: which hold, with 95 % intervals."""
    from metarl_envs.boxes.study.effects import findings, report

    typer.echo(report(list(findings(boxes, seed))))


@boxes_app.command()
def normaliser(
    out: Annotated[Path | None, typer.Option(help="write it here [default: print it]")] = None,
) -> None:
    """Compute the table of nulls and oracle again that is shipped with the package."""
    from metarl_envs.boxes.study.normaliser import compute_table
    from metarl_envs.files import written_aside

    text = compute_table()
    if out is None:
        typer.echo(text, nl=False)
    else:
        with written_aside(out) as [aside]:
            aside.write_text(text)


def _learner(name: str, hyper: dict[str, Any]) -> Any:
    """The learner of a name; ValueError where there is none."""
    from metarl_envs.learners import LEARNERS

    if name not in LEARNERS:
        raise ValueError(f"learner {name!r} is not known; there are: {', '.join(LEARNERS)}")
    return LEARNERS[name](**hyper)


def _fitted(text: str, width: int) -> str:
    """Return text of a docstring with its paragraphs and list items filled anew, so that it fits."""
    items: list[str] = []
    new = True
    for line in text.splitlines():
        if new or not line.strip() or line.lstrip().startswith("* "):
            items.append(line)
        else:
            items[-1] += " " + line.strip()
        new = not line.strip()
    return "\n".join(
        textwrap.fill(item, max(width, 20), subsequent_indent="  " if item.lstrip().startswith("* ") else "") for item in items
    )


def _see_that_it_can_be_written(folder: Path) -> None:
    """Raise, before any work is done, where a folder could not be written to after it."""
    there = next(place for place in (folder, *folder.absolute().parents) if place.exists())
    if not there.is_dir():
        raise NotADirectoryError(f"--out {folder} cannot be made: {there} is a file")
    if not os.access(there, os.W_OK | os.X_OK):
        raise PermissionError(f"--out {folder} cannot be written to: {there} is not writable")


def _names(given: str) -> list[str]:
    return [name.strip() for name in given.split(",") if name.strip()]


def _params(given: list[str], option: str = "--param") -> dict[str, Any]:
    """`name=value` pairs; values are read as JSON where they are JSON, and as text where not."""
    from metarl_envs.engine.family import RESERVED

    params: dict[str, Any] = {}
    for pair in given:
        name, equals, value = pair.partition("=")
        if not equals or not name:
            raise ValueError(f"{option} {pair!r} must be name=value, such as size=5")
        if name in params:
            raise ValueError(f"{option} {name} is given twice: {params[name]!r} and {value!r}")
        if option == "--param" and name in RESERVED:
            raise ValueError(
                f"--param {pair!r} is no parameter of a family: see --help for an option --{name.replace('_', '-')}"
            )
        try:
            params[name] = json.loads(value.lower() if value in ("True", "False") else value)
        except json.JSONDecodeError:
            params[name] = value
    return params


class _Bars:
    """One progress bar a policy, on standard error where that is a terminal. What happens to a bar must not end the work."""

    def __init__(self):
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        console = _console(stderr=True)
        self._progress = Progress(
            TextColumn("{task.description:>12}", markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            console=console,
            disable=not console.is_terminal,
        )
        self._tasks: dict[str, Any] = {}

    def __enter__(self) -> _Bars:
        if not self._progress.disable:
            with contextlib.suppress(OSError):
                self._progress.start()
        return self

    def __exit__(self, *exception: object) -> None:
        if not self._progress.disable:  # before Rich 15, to stop prints an empty line even so
            with contextlib.suppress(OSError):
                self._progress.stop()

    def advance(self, name: str, done: int, total: int) -> None:
        """So much more of it is done."""
        self._progress.advance(self._bar(name, total), done)

    def at(self, name: str) -> Callable[[int, int], None]:
        """What is called with how much is done by now, and how much there is."""
        return lambda done, total: self._progress.update(self._bar(name, total), completed=done)

    def _bar(self, name: str, total: int) -> Any:
        if name not in self._tasks:
            self._tasks[name] = self._progress.add_task(name, total=total)
        return self._tasks[name]


if __name__ == "__main__":
    main()
