"""How a result is shown: a table, and a picture of the learning curves."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from rich import box
from rich.table import Table

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from metarl_envs.evaluation.result import Result
    from metarl_envs.evaluation.statistics import Interval

_COLORS = ("#2f6fde", "#e07b39", "#2f9e6e", "#b5459b", "#8a6d3b", "#5a5fd0", "#c23b4b", "#3b9fb5")


def table(result: Result) -> Table:
    """The summaries, best first."""
    lifetimes = next(iter(result.raw.values())).shape[2]
    title = (
        f"{result.id}, split {result.split}: {len(result.scale.random)} tasks, {len(result.seeds)} seeds, {lifetimes} "
        f"lifetime{'s' if lifetimes > 1 else ''}"
    )
    caption = (
        f"0 is the random policy, 1 the oracle; AULC: mean over {_unit(result)}s; first, last: {_unit(result)}; 20 %: "
        "percentile over tasks; return: of a lifetime; 95 % intervals over seeds, for these tasks"
    )
    if result.memoryless_score is not None:
        caption += f"; best without memory {result.memoryless_score:.3f}"
    if result.passed_over:
        caption += f"; {result.passed_over} tasks passed over, on which the oracle earns hardly more than random"
    shown = Table(title=title, caption=caption, box=box.SIMPLE_HEAD, padding=(0, 1), pad_edge=False, collapse_padding=True)
    shown.add_column("policy", no_wrap=True)
    for name in ("AULC", "first", "last", "gain", "20 %", "return"):
        shown.add_column(name, justify="right", no_wrap=True)
    for name, s in result.summaries.items():
        shown.add_row(
            name,
            _with_half_width(s.aulc),
            f"{s.first:.3f}",
            f"{s.last:.3f}",
            _with_half_width(s.gain),
            f"{s.worst_fifth:.3f}",
            f"{s.total:.1f}",
        )
    return shown


def draw_curves(result: Result, path: Path) -> Path:
    """The normalised score at each unit, with intervals for the distribution of tasks."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8.2, 4.8), dpi=150, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    draw_on(axes, result)
    axes.set_title(f"In-context learning curves: {result.id}, split {result.split}", fontsize=11)
    axes.legend(frameon=False, loc="center left", bbox_to_anchor=(1.0, 0.5))
    path.parent.mkdir(parents=True, exist_ok=True)
    write_aside(path, lambda aside: figure.savefig(aside, format="png"))
    return path


def draw_on(axes: Axes, result: Result) -> None:
    """The curves of a result on axes of matplotlib, without a title or a legend."""
    from matplotlib.ticker import MaxNLocator

    for color, name in zip(_COLORS * len(result.raw), result.summaries, strict=False):
        mean, low, high = result.curve(name)
        units = range(1, len(mean) + 1)
        axes.plot(units, mean, color=color, label=name, linewidth=1.8)
        axes.fill_between(units, low, high, color=color, alpha=0.18, linewidth=0)
    axes.axhline(1, color="#444444", linestyle="--", linewidth=0.9)
    axes.axhline(0, color="#444444", linestyle=":", linewidth=0.9)
    axes.set_xlabel(_unit(result) if result.unit == "episode" else f"block of {result.unit_steps} {result.unit}")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_ylabel("score (0 random, 1 oracle)")
    axes.spines[["top", "right"]].set_visible(False)
    axes.margins(x=0.01)


def write_aside(path: Path, write: Callable[[Path], object]) -> None:
    """Write a file beside its place and rename it: whoever looks sees the old one or the new one, whole."""
    aside = path.with_name(f".{path.stem}.part{path.suffix}")
    write(aside)
    os.replace(aside, path)


def _with_half_width(interval: Interval) -> str:
    return f"{interval.mean:.3f} ±{interval.high - interval.mean:.3f}".replace("±0.", "±.")


def _unit(result: Result) -> str:
    return "episode" if result.unit == "episode" else "block"
