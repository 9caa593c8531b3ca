"""How a verdict is shown: a table for the terminal, and one page of HTML."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from rich import box
from rich.table import Table as Printed
from rich.text import Text

from metarl_envs.engine.splits import ALL_TASKS
from metarl_envs.evaluation import classes
from metarl_envs.evaluation.page import Curves, Table, html
from metarl_envs.evaluation.verdicts import Row, Verdict
from metarl_envs.files import written_aside

#: What each class means, in a sentence.
MEANING = {
    classes.NONE: "It does not adapt: it does no better than the best policy without memory.",
    classes.UNDECIDED: "The evidence does not decide.",
    classes.HEURISTIC: "It adapts, but hardly by the feedback of its own task: it follows a heuristic.",
    classes.INFERENCE: "It needs feedback, but loses most of what it gains where tasks are unlike those that it knows: it "
    "finds out which task it is on, and does what it knows to do there.",
    classes.LEARNING: "It learns from reward: it keeps what it gains where actions or tasks are unlike those that it knows.",
    classes.MIXED: "It needs feedback and keeps what it gains, but breaks another rule.",
}


def table(verdict: Verdict) -> Printed:
    """Return what the agent adapts by, as a table for the terminal; its caption is the verdict."""
    caption = f"{verdict.name}. {MEANING[verdict.name]} {verdict.evidence}"
    shown = Printed(
        title=Text(_headline(verdict)),
        caption=Text(caption, justify="left"),
        box=box.SIMPLE_HEAD,
        padding=(0, 1),
        pad_edge=False,
        collapse_padding=True,
    )
    if verdict.likenesses:
        best = verdict.likenesses[0]
        alike = ", ".join(one.name for one in verdict.likenesses if one.alike)
        caption += f"\nmost like: {alike} ({classes.shown(best.bits)} bits a step above uniform)"
        shown.caption = Text(caption, justify="left")
    shown.add_column("", overflow="fold")
    for column in ("A", "lost"):
        shown.add_column(column, justify="right")
    for row in verdict.rows:
        shown.add_row(Text(row.name), *map(Text, _cells(row)))
    return shown


def page(verdict: Verdict) -> str:
    """Return the verdict as a page of HTML, which loads nothing from elsewhere."""
    evidence = f"{verdict.evidence[0].upper()}{verdict.evidence[1:]}."
    curves = {name: curve for name, curve in verdict.curves.items() if np.isfinite(curve[0]).any()}
    return html(
        verdict.name.capitalize(),
        [_headline(verdict), evidence, *_about_curves(verdict)],
        dict.fromkeys(curves, ""),
        [_picture(verdict, curves)],
        [_adaptation(verdict), _comparisons(verdict), _likenesses(verdict)],
        heading="What it does, intact and under each control",
        lead=MEANING[verdict.name],
    )


def save_page(verdict: Verdict, folder: str | os.PathLike) -> Path:
    """Write the page as `verdict.html` into a folder (made if need be); return its path."""
    path = Path(folder) / "verdict.html"
    path.parent.mkdir(parents=True, exist_ok=True)
    with written_aside(path) as [aside]:
        aside.write_text(page(verdict), encoding="utf-8")
    return path


def _headline(verdict: Verdict) -> str:
    return (
        f"{' or '.join(verdict.agents)} in {verdict.id}, split {verdict.split or ALL_TASKS}: {verdict.tasks} tasks, "
        f"{verdict.seeds} seed{'s' * (verdict.seeds > 1)}, {verdict.episodes} episode{'s' * (verdict.episodes > 1)}"
    )


def _about_curves(verdict: Verdict) -> list[str]:
    """What the curves come to, in a sentence each."""
    about = [f"From the first to the last {verdict.unit} of its curve it gains {classes.shown(verdict.gain)}."]
    if verdict.slope is not None:
        about.append(
            f"Beyond its lifetime the score moves by {classes.shown(verdict.slope)} from {verdict.unit} to {verdict.unit}."
        )
    if verdict.recovery is not None:
        about.append(
            "When actions change their meaning in mid-trial, it costs as much as the oracle leads by in "
            f"{verdict.recovery:.2f} units of the curve."
        )
    return about


def _adaptation(verdict: Verdict) -> Table:
    zero = "is not known here, so that A is the score" if not verdict.memoryless_known else f"scores {verdict.memoryless:.3f}"
    about = (
        f"A is what it gains above the best policy without memory (which {zero}), of all that there is to gain: 1 is the "
        "oracle. Lost: what of it goes, on the same tasks with the same noise. 95 % intervals for the distribution of tasks."
    )
    return Table("What it adapts by", about, ["", "A", "lost"], [[(row.name, row.says), *_cells(row)] for row in verdict.rows])


def _comparisons(verdict: Verdict) -> Table:
    about = "In the order of the rules; the first that is not above its threshold decides. p is after Holm's correction."
    rows = [
        [(one.name, one.says.rstrip(",")), classes.shown(one.found), f"{one.threshold:g}", _chance(one.p), one.outcome]
        for one in verdict.comparisons
    ]
    return Table("What decides", about, ["", "found", "threshold", "p", ""], rows)


def _likenesses(verdict: Verdict) -> Table:
    """Who acts alike."""
    about = (
        "Each known player looks on at the agent's own lives, and says which action has which chance for it. How many bits a "
        "step does that tell of what the agent does, more than to expect all actions alike? With chance epsilon, fitted on "
        "other tasks, it is taken to do anything. What is marked * cannot be told apart from the best. Near 0 bits, none fits."
    )
    rows = [
        [f"{one.name}{' *' if one.alike else ''}", classes.shown(one.bits), f"{one.epsilon:.2g}"] for one in verdict.likenesses
    ]
    about = about if rows else "Not applicable: no known player can look on here."
    return Table("Which algorithm it is most like", about, ["", "bits a step", "epsilon"] if rows else [], rows)


def _chance(p: float) -> str:
    return f"{p:.3f}" if p >= 0.001 else "< 0.001"


def _cells(row: Row) -> tuple[str, str]:
    if row.adaptation is None:
        return "not applicable", row.why_not
    return classes.shown(row.adaptation), "" if row.drop is None else classes.shown(row.drop)


def _picture(verdict: Verdict, curves: Mapping[str, np.ndarray]) -> Curves:
    """The curves, of which the agent's alone has its interval."""
    unit = verdict.unit if verdict.unit == "episode" else f"block of {verdict.unit}"
    longer = len(verdict.curves["agent"][0]) > verdict.episodes > 1
    return Curves(
        "Score",
        unit,
        (1, max(curve.shape[1] for curve in curves.values())),
        [curve if name == "agent" else _bare(curve) for name, curve in curves.items()],
        {"oracle": 1.0, "random": 0.0},
        (verdict.episodes, "longer than a lifetime") if longer else None,
    )


def _bare(curve: np.ndarray) -> np.ndarray:
    """A curve without its interval."""
    return np.array([curve[0], *np.full((2, curve.shape[1]), np.nan)])
