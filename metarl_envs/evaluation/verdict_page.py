"""How a verdict is shown: a table for the terminal, and one page of HTML."""

from __future__ import annotations

import itertools
import os
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from rich import box
from rich.table import Table as Printed
from rich.text import Text

from metarl_envs.engine.splits import ALL_TASKS
from metarl_envs.evaluation import classes
from metarl_envs.evaluation.likeness import ALIKE, most_like_by_length
from metarl_envs.evaluation.page import Cell, Curves, Table, html
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
    caption = f"{verdict.name.capitalize()}. {MEANING[verdict.name]} {_evidence(verdict)}{_most_like(verdict)}"
    shown = Printed(
        title=Text(_headline(verdict)),
        caption=Text(caption, justify="left"),
        box=box.SIMPLE_HEAD,
        padding=(0, 1),
        pad_edge=False,
        collapse_padding=True,
    )
    shown.add_column("", overflow="fold")
    for column in ("A", "drop"):
        shown.add_column(column, justify="right")
    for row in verdict.rows:
        shown.add_row(Text(row.name), *map(Text, _cells(row)))
    return shown


def page(verdict: Verdict) -> str:
    """Return the verdict as a page of HTML, which loads nothing from elsewhere."""
    curves = {name: curve for name, curve in verdict.curves.items() if np.isfinite(curve[0]).any()}
    return html(
        verdict.name.capitalize(),
        [_headline(verdict), _evidence(verdict), *_about_curves(verdict)],
        dict.fromkeys(curves, ""),
        [_picture(verdict, curves)],
        [_adaptation(verdict), _comparisons(verdict), *_reached(verdict), _likenesses(verdict), *_by_length(verdict)],
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


def _evidence(verdict: Verdict) -> str:
    """What decides, as a sentence."""
    return f"{verdict.evidence[0].upper()}{verdict.evidence[1:]}."


def _most_like(verdict: Verdict) -> str:
    """Whom it is most like, as a line of its own; empty where nobody can be compared with it."""
    if not verdict.likenesses:
        return ""
    best, by_length = verdict.likenesses[0].bits, _most_like_by_length(verdict)
    if best.mean < ALIKE:
        return f"\nMost like no known player: its actions are no likelier under any than without it.{by_length}"
    alike = ", ".join(one.name for one in verdict.likenesses if one.alike)
    above = " above uniform" if verdict.likenesses[0].deviation is None else " above a normal distribution"
    return f"\nMost like: {alike} ({best.with_ends('', 3)} bits a step{above}).{by_length}"


def _most_like_by_length(verdict: Verdict) -> str:
    """Whom it is most like after how many examples, as a line of its own; empty where that is not told."""
    told = []
    for names, group in itertools.groupby(enumerate(most_like_by_length(verdict.likenesses)), lambda one: sorted(one[1])):
        lengths = [length for length, _ in group]
        after = f"{lengths[0]} to {lengths[-1]}" if len(lengths) > 1 else f"{lengths[0]}"
        told.append(f"after {after}, {', '.join(names) or 'nobody more than others'}")
    return f"\nBy how many steps were over: {'; '.join(told)}." if told else ""


def _about_curves(verdict: Verdict) -> list[str]:
    """What the curves come to, in a sentence each."""
    about = []
    if verdict.gain is not None:
        about.append(f"From the first to the last {_unit(verdict)} of its curve it gains {verdict.gain.with_ends('', 3)}.")
    if verdict.recovery is not None:
        about.append(
            "When actions change their meaning in mid-trial, it costs as much as the oracle leads random play by in "
            f"{verdict.recovery:.2f} {_unit(verdict, 's')}."
        )
    return about


def _adaptation(verdict: Verdict) -> Table:
    unknown = "is not known on all tasks compared, so that A is the score"
    zero = unknown if verdict.memoryless is None else f"scores {verdict.memoryless:.3f}"
    about = (
        f"A is what it gains above the best policy without memory (which {zero}), of all that there is to gain: 1 is the "
        "oracle. Drop: A of the intact agent minus this one, under controls on the same tasks with the same noise. 95 % "
        "intervals for the distribution of tasks."
    )
    rows: list[list[Cell]] = []
    for row in verdict.rows:
        found, drop = _cells(row)
        rows.append([(row.name, row.says), *([(found, row.why_not), ""] if row.why_not else [found, drop])])
    return Table("What it adapts by", about, ["", "A", "drop"], rows)


def _comparisons(verdict: Verdict) -> Table:
    about = "In the order of the rules; the first that is not above its threshold decides. p is after Holm's correction."
    rows = [
        [(one.name, one.says), one.found.with_ends("", 3), f"{one.threshold:g}", _chance(one.p), one.outcome]
        for one in verdict.comparisons
    ]
    return Table("What decides", about, ["", "found", "threshold", "p", ""], rows)


def _reached(verdict: Verdict) -> list[Table]:
    """How it does in lives that are longer than those that it was trained on."""
    if not verdict.reached:
        return []
    told = "No source learner is known, so that it must not fall beyond"
    if verdict.plateau is not None:
        told = (
            f"Its source learner comes to {verdict.plateau.with_ends('', 3)}. Below 90 % of that it must rise beyond, and else "
            "not fall"
        )
    about = (
        f"It was trained on {verdict.trained_on} episode{'s' * (verdict.trained_on > 1)} of a life. {told}. Score: the mean of "
        "the stretch; slope: from episode to episode. 95 % intervals for the distribution of tasks."
    )
    rows: list[list[Cell]] = [
        [
            f"{one.times} times as long" if one.times > 1 else "as long",
            f"{one.first} to {one.last}",
            one.score.with_ends("", 3),
            one.slope.with_ends("", 4),
        ]
        for one in verdict.reached
    ]
    return [Table("How far it reaches", about, ["", "episodes", "score", "slope"], rows)]


def _likenesses(verdict: Verdict) -> Table:
    """Which known players its actions are likely under."""
    numbers = any(one.deviation is not None for one in verdict.likenesses)
    told = (
        "above a normal distribution with the mean and the variance of its actions. About the player's action they are "
        "normally distributed, with a deviation that is fitted on other tasks"
        if numbers
        else "above a uniform policy. With probability epsilon, fitted on other tasks, a uniform action takes the place of the "
        "player's; for who acts by a sample of its posterior, 32 samples stand, and +- is the error that comes of it"
    )
    about = (
        "The log-likelihood of the agent's actions under each known player, which is told of the agent's lives and learns from "
        f"them, in bits a step {told}. What is marked * cannot be told apart from the best. Near 0 bits, none fits."
    )
    rows: list[list[Cell]] = [
        [
            f"{one.name}{' *' if one.alike else ''}",
            one.bits.with_ends("", 3) + (f" +- {one.error:.3f}" if one.error else ""),
            f"{one.deviation if one.epsilon is None else one.epsilon:.2g}",
        ]
        for one in verdict.likenesses
    ]
    about = about if rows else "Not applicable: no known player can play here."
    return Table(
        "Which algorithm it is most like",
        about,
        ["", "bits a step", "deviation" if numbers else "epsilon"] if rows else [],
        rows,
    )


def _by_length(verdict: Verdict) -> list[Table]:
    """Which known players its actions are likely under at each prompt length, where that is told."""
    named = most_like_by_length(verdict.likenesses)
    if not named:
        return []
    about = (
        "The same bits at each prompt length: how many steps were over, and in regression how many examples were seen. At each "
        "length the normal distributions have a mean and a deviation of their own. What is marked * cannot be told apart from "
        "the best; where nothing is marked, nobody is likelier than no player at all. Of those who are never the best, the "
        "best four."
    )
    ever = [one for one in verdict.likenesses if any(one.name in names for names in named)]
    shown = [*ever, *[one for one in verdict.likenesses if one not in ever][:4]]
    rows: list[list[Cell]] = [
        [f"{length}", *(f"{one.by_length[length].with_ends('', 2)}{' *' * (one.name in names)}" for one in shown)]
        for length, names in enumerate(named)
    ]
    return [Table("Which algorithm, at each prompt length", about, ["steps over", *(one.name for one in shown)], rows)]


def _chance(p: float) -> str:
    return f"{p:.3f}" if p >= 0.001 else "< 0.001"


def _cells(row: Row) -> tuple[str, str]:
    if row.adaptation is None:
        return "not applicable", row.why_not
    return row.adaptation.with_ends("", 3), "" if row.drop is None else row.drop.with_ends("", 3)


def _picture(verdict: Verdict, curves: Mapping[str, np.ndarray]) -> Curves:
    """The curves, of which the agent's alone has its interval; of lives that are longer still there is a table."""
    shown = 2 * max(verdict.trained_on, verdict.episodes)
    curves = {name: curve[:, :shown] if verdict.reached else curve for name, curve in curves.items()}
    longer = len(verdict.curves["agent"][0]) > verdict.trained_on > 1
    return Curves(
        "Score",
        _unit(verdict),
        (1, max(curve.shape[1] for curve in curves.values())),
        [curve if name == "agent" else _bare(curve) for name, curve in curves.items()],
        {"oracle": 1.0, "random": 0.0},
        (verdict.trained_on, "longer than it was trained on") if longer else None,
    )


def _unit(verdict: Verdict, plural: str = "") -> str:
    """What one point of the curves is, or several are."""
    return f"episode{plural}" if verdict.unit == "episode" else f"block{plural} of {verdict.unit}"


def _bare(curve: np.ndarray) -> np.ndarray:
    """A curve without its interval."""
    return np.array([curve[0], *np.full((2, curve.shape[1]), np.nan)])
