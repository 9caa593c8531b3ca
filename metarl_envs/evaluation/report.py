"""How a result is shown: a table, and a picture of the learning curves."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from rich import box
from rich.table import Table
from rich.text import Text

from metarl_envs.engine.splits import ALL_TASKS
from metarl_envs.evaluation.result import Result, Summary
from metarl_envs.evaluation.statistics import Interval
from metarl_envs.files import written_aside

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


#: Columns of a terminal below which a table shows one number a row.
_NARROW = 80
_COLORS = ("#2f6fde", "#e07b39", "#2f9e6e", "#b5459b", "#8a6d3b", "#5a5fd0", "#c23b4b", "#3b9fb5")


def table(result: Result, width: int = 80) -> Table:
    """Return the summaries, best first: a row a policy, or below 80 columns a row a number."""
    lifetimes = next(iter(result.raw.values())).shape[2]
    title = (
        f"{result.id}, split {result.split or ALL_TASKS}: {len(result.scale.random)} tasks, {len(result.seeds)} seeds, "
        f"{lifetimes} lifetime{'s' if lifetimes > 1 else ''}"
    )
    if result.is_cumulative:
        scored = (
            "score: of the whole episode, in which reward runs out, so that first, last and gain of its blocks mean nothing"
        )
    else:
        scored = f"AULC: mean over {_unit(result)}s; first, last: {_unit(result)}"
    caption = (
        f"0 is the random policy, 1 the oracle; {scored}; 20 %: percentile over tasks; return: of a lifetime; "
        "95 % intervals over seeds, for these tasks"
    )
    if len(result.seeds) < 2:
        caption += " (none: one seed has no interval)"
    if result.memoryless_score is not None:
        caption += f"; best without memory {result.memoryless_score:.3f}"
    if result.passed_over:
        caption += f"; {result.passed_over} tasks passed over, on which the oracle earns hardly more than random"
    shown = Table(
        title=Text(title), caption=Text(caption), box=box.SIMPLE_HEAD, padding=(0, 1), pad_edge=False, collapse_padding=True
    )
    columns = ("score", "20 %", "return") if result.is_cumulative else ("AULC", "first", "last", "gain", "20 %", "return")
    shown.add_column("policy", overflow="fold")
    for column in columns if width >= _NARROW else ("",):
        shown.add_column(column, justify="right", no_wrap=True)
    for name, summary in result.summaries.items():
        cells = _cells(summary)
        if width >= _NARROW:
            shown.add_row(Text(name), *(cells[column] for column in columns))
            continue
        shown.add_row(Text(name), "")
        for column in columns:
            shown.add_row(f"  {column}", cells[column])
    return shown


def _cells(summary: Summary) -> dict[str, str]:
    return {
        "AULC": _with_half_width(summary.aulc),
        "score": _with_half_width(summary.aulc),
        "first": f"{summary.first:.3f}",
        "last": f"{summary.last:.3f}",
        "gain": _with_half_width(summary.gain),
        "20 %": f"{summary.worst_fifth:.3f}",
        "return": f"{summary.total:.1f}",
    }


def draw_curves(result: Result, path: str | os.PathLike) -> Path:
    """Draw the in-context learning curves, with intervals for the distribution of tasks, as a PNG; needs matplotlib.

    `pip install "metarl-envs[plot]"` installs it. Returns the path.
    """
    figure = new_figure(8.2, 4.8)
    axes = figure.subplots()
    draw_on(axes, result)
    axes.set_title(f"In-context learning curves: {result.id}, split {result.split or ALL_TASKS}", fontsize=11)
    axes.legend(frameon=False, loc="center left", bbox_to_anchor=(1.0, 0.5))
    return save_figure(figure, path)


def new_figure(width: float, height: float) -> Figure:
    """Return an empty figure of matplotlib, in inches, that opens no window."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), dpi=150, layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def save_figure(figure: Figure, path: str | os.PathLike) -> Path:
    """Write a figure into a PNG file, whole or not at all; its path."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with written_aside(path) as [aside]:
        figure.savefig(aside, format="png")
    return path


def draw_on(axes: Axes, result: Result) -> None:
    """Draw the curves of a result on axes of matplotlib, without a title or a legend."""
    from matplotlib.ticker import MaxNLocator

    for color, name in zip(_COLORS * len(result.raw), result.summaries, strict=False):
        mean, low, high = result.curve(name)
        units = range(1, len(mean) + 1)
        axes.plot(units, mean, color=color, label=_label(name), linewidth=1.8)
        axes.fill_between(units, low, high, color=color, alpha=0.18, linewidth=0)
    axes.axhline(1, color="#444444", linestyle="--", linewidth=0.9)
    axes.axhline(0, color="#444444", linestyle=":", linewidth=0.9)
    axes.set_xlabel(_unit(result) if result.unit == "episode" else f"block of {result.unit_steps} {result.unit}")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_ylabel(f"score{' up to here' if result.is_cumulative else ''} (0 random, 1 oracle)")
    axes.spines[["top", "right"]].set_visible(False)
    axes.margins(x=0.01)


def _with_half_width(interval: Interval) -> str:
    """The mean and half of the interval, as narrow as a column of a terminal is."""
    return interval.with_half_width(digits=3).replace("±0.", "±.")


def _label(name: str) -> str:
    """A policy's name for a legend of matplotlib, which reads $ as mathematics and leaves out what begins with _."""
    shown = name.replace("$", r"\$")
    return f" {shown}" if shown.startswith("_") else shown


def _unit(result: Result) -> str:
    return "episode" if result.unit == "episode" else "block"
