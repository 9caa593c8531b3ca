"""Scoring policies."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

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
    StatesBest,
    Tokens,
    model_of,
    replies_in_a_line,
    told_in_a_line,
)
from metarl_envs.cli.options import DEFAULT_SPLIT, SPLITS, Param, params_of, see_that_it_can_be_written
from metarl_envs.cli.suites import score_in_suite, see_that_a_suite_says_the_rest
from metarl_envs.cli.terminal import Bars, new_console
from metarl_envs.files import file_name


def evaluate(
    called: typer.Context,
    names: Annotated[
        list[str] | None, typer.Argument(metavar="ID", help="such as MetaRL/DarkRoom-v0; with --suite, agents in its place")
    ] = None,
    suite: Annotated[str | None, typer.Option(help="score agents in a suite: see metarl-envs list suites, or a file")] = None,
    policy: Annotated[
        list[str] | None, typer.Option(help="a learner, reference or network, repeatable [default: all that fit, but networks]")
    ] = None,
    split: Annotated[str, typer.Option(help=f"{SPLITS} [default: test, or all where tasks are not split]")] = DEFAULT_SPLIT,
    tasks: Annotated[int, typer.Option(help="number of tasks, the first ones of the split")] = 100,
    episodes: Annotated[
        int | None, typer.Option(help="number of episodes in a lifetime [default: 100, or 1 where it is scored in blocks]")
    ] = None,
    seeds: Annotated[int, typer.Option(help="number of seeds: 0, 1, ...")] = 5,
    lifetimes: Annotated[int, typer.Option(help="number of lifetimes on each task, for each seed")] = 1,
    param: Param = None,
    out: Annotated[Path | None, typer.Option(help="folder [default: results/NAME-SPLIT, or results/suite-NAME]")] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="replace a result of other settings, or of a suite, in that folder")
    ] = False,
    model: Annotated[list[str] | None, typer.Option(help="a language model, beside the policies; repeatable")] = None,
    base_url: BaseUrl = None,
    control: Annotated[
        list[str] | None, typer.Option(help="a control, such as SwapReward, that each model also lives under; repeatable")
    ] = None,
    context: Context = "whole",
    states_best: StatesBest = False,
    max_tokens: MaxTokens = 256,
    retries: Retries = 2,
    requests: Requests = None,
    tokens: Tokens = None,
    concurrency: Concurrency = 8,
    resume: Resume = False,
    dry_run: DryRun = False,
) -> None:
    """Score references and learners on held-out tasks: a table, a picture of their learning curves, and the numbers.

    Language models live the same tasks with the same noise, beside random and oracle where no --policy is given. Every
    question and reply is written to transcript-MODEL.jsonl in the folder, and --resume asks none of them again. Under each
    --control (SwapReward, ForgetEachEpisode, HideReward, ReflectReward, PermuteActions) a model lives the same lives once more,
    with a budget and a transcript of its own.

    With --suite, agents are scored in all rows of a suite that they can play: a table, a picture of their profiles, and a file
    of JSON to send in. An agent is a learner, a reference, a scripted agent of boxes, a network, or a factory of your own as
    module:Name; a --model plays beside them. Each row is kept as soon as it is lived, and --resume goes on with what is there.
    (There, --requests and --tokens limit what a model uses in one row.)
    """
    settings: dict[str, Any] = {"context": context, "max_tokens": max_tokens, "requests": requests, "tokens": tokens}
    settings |= {"concurrency": concurrency, "states_best": states_best, "retries": retries}
    if suite is not None:
        see_that_a_suite_says_the_rest(called)
        models = {name: model_of(name, base_url, **settings) for name in model or []}
        agents = {**{name: _agent(name) for name in names or []}, **models}
        score_in_suite(suite, agents, out, resume=resume, overwrite=overwrite, forecast_of=models if dry_run else None)
        return
    if names is None or len(names) > 1:
        given = "none" if names is None else ", ".join(names)
        raise ValueError(f"evaluate takes one id, such as DarkRoom (or --suite and the names of agents); it was given {given}")
    (id,) = names
    from metarl_envs.engine.composing import family_at
    from metarl_envs.evaluation import evaluate as score
    from metarl_envs.evaluation.controls import control_by
    from metarl_envs.evaluation.protocol import unlike
    from metarl_envs.evaluation.report import draw_curves, table
    from metarl_envs.evaluation.result_files import read_result
    from metarl_envs.ids import family_of, id_of, short
    from metarl_envs.players import Wrapped
    from metarl_envs.task_sets import tasks_of

    params = params_of(param or [])
    task_set = tasks_of(family_at(family_of(id)), "test", split, None, params)
    meant = task_set.split or "all"
    folder = out or Path("results") / f"{short(id_of(id)).rpartition('/')[2]}-{meant}"
    see_that_it_can_be_written(folder)
    wrappers = {name: control_by(name, task_set.variant, episodes) for name in control or []}
    rows = {f"{name}, {how}" if how else name: (name, how) for name in model or [] for how in ("", *wrappers)}
    models = {
        row: model_of(name, base_url, **settings, resume=resume, transcript=folder / f"transcript-{file_name(row)}.jsonl")
        for row, (name, _) in rows.items()
    }
    if not models and (dry_run or resume or states_best or control or base_url is not None):
        raise ValueError("--base-url, --control, --states-best, --resume and --dry-run go with --model: give one")
    asked = {"split": split, "episodes": episodes, **params}
    if dry_run:
        for name in model or []:
            pretending = models[name].pretending()
            score(id, {name: pretending}, tasks=1, seeds=1, lifetimes=1, **asked)
            again = "; under each control at most as much again" if control else ""
            typer.echo(f"{name}: {pretending.forecast.times(tasks * seeds * lifetimes)}{again}")
        return
    players = {row: Wrapped(models[row], wrappers[how]) if how else models[row] for row, (_, how) in rows.items()}
    policies: Any = {**{name: name for name in policy or ["random", "oracle"]}, **players} if models else policy or None
    if (held := folder / "result.json").exists() and not overwrite:
        how: dict[str, Any] = {"count": tasks, "episodes": episodes, "seeds": seeds, "lifetimes": lifetimes}
        if other := unlike(read_result(held), id, policies, task_set, **how):
            raise ValueError(f"--out {folder} holds a result with other {', '.join(other)}: give another --out, or --overwrite")
    with Bars() as progress, told_in_a_line(folder if models else None):
        result = score(id, policies, tasks=tasks, seeds=seeds, lifetimes=lifetimes, progress=progress.show, **asked)
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
    for row, each in models.items():
        console.print(replies_in_a_line(row, each), soft_wrap=True)
    console.print(f"{picture}written: {', '.join(map(str, written))}", soft_wrap=True)


def verdict(
    agent: Annotated[str, typer.Argument(help="a learner, reference or network, or a factory of your own as module:Name")],
    id: Annotated[str, typer.Argument(help="such as MetaRL/DarkRoom-v0")],
    split: Annotated[str, typer.Option(help=f"{SPLITS} [default: test, or all where tasks are not split]")] = DEFAULT_SPLIT,
    tasks: Annotated[int, typer.Option(help="number of tasks, the first ones of the split")] = 100,
    episodes: Annotated[
        int | None, typer.Option(help="number of episodes in a lifetime [default: 100, or 1 where it is scored in blocks]")
    ] = None,
    seeds: Annotated[int, typer.Option(help="number of seeds: 0, 1, ...")] = 5,
    trained_on: Annotated[
        int | None, typer.Option(help="number of episodes of a life that it was trained on [default: as its card says]")
    ] = None,
    source: Annotated[str | None, typer.Option(help="the learner that it was taught by [default: as its card says]")] = None,
    reach: Annotated[
        int | None, typer.Option(help="live up to so many times as many episodes as it was trained on: 2, 5 or 10")
    ] = None,
    param: Param = None,
    out: Annotated[Path | None, typer.Option(help="folder [default: results/verdict-AGENT-NAME]")] = None,
) -> None:
    """Say whether an agent adapts, by what, and whether it learns from reward or follows a heuristic; with a page of HTML."""
    from metarl_envs.evaluation.verdict_page import save_page, table
    from metarl_envs.evaluation.verdicts import verdict as judge
    from metarl_envs.ids import id_of, short

    folder = out or Path("results") / f"verdict-{file_name(agent)}-{short(id_of(id)).rpartition('/')[2]}"
    see_that_it_can_be_written(folder)
    params = params_of(param or [])
    with Bars() as progress:
        told: dict[str, Any] = {"trained_on": trained_on, "source": source, "reach": reach}
        lives: dict[str, Any] = {"split": split, "tasks": tasks, "episodes": episodes, "seeds": seeds}
        found = judge(_agent(agent), id, **lives, **told, progress=progress.show, **params)
    written = [found.save(folder), save_page(found, folder)]
    console = new_console()
    console.print(table(found))
    console.print(f"written: {', '.join(map(str, written))}", soft_wrap=True)


def _agent(given: str) -> Any:
    """The agent of this name: as it is, or out of a module that the caller names."""
    from metarl_envs.ids import imported

    module, colon, name = given.partition(":")
    if not colon:
        return given
    if not module or not name:
        raise ValueError(f"agent={given!r} must be the name of a player, or module:Name, such as my_module:MyAgent")
    found = imported(module, f"agent={given!r}")
    if not hasattr(found, name):
        raise ValueError(f"agent={given!r}: {found.__name__} has no {name!r}")
    return getattr(found, name)
