"""How the result of a suite is shown: tables for a terminal, tables in Markdown, and pictures of profiles."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from rich import box
from rich.table import Table
from rich.text import Text

from metarl_envs.evaluation import page
from metarl_envs.evaluation.report import new_figure, save_figure
from metarl_envs.evaluation.statistics import Interval
from metarl_envs.suites.frozen import CAPABILITIES
from metarl_envs.suites.result import SuiteResult

if TYPE_CHECKING:
    from matplotlib.projections.polar import PolarAxes

#: What a cell says where an agent cannot play.
NOT_APPLICABLE = "n/a"
#: What all numbers mean.
SCALE = (
    "0 is random play, 1 the oracle, who knows the task; nothing is clipped. Means with 95 % intervals for the distribution of "
    "tasks and of seeds. A capability is the mean over those of its rows that an agent can play: (1/2) is over one of two."
)
#: Columns of a terminal that the names of rows take, and those of an agent.
_NAMES, _CELL = 28, 17
#: Lower than this a picture does not reach: what is below is put there, with its number.
_LOWEST = -1.0
_COLOR, _GREY = "#2f6fde", "#8a93a3"


def tables(result: SuiteResult, width: int = 80) -> list[Table]:
    """Return everything in tables for a terminal: capabilities with their rows below them, and so many agents as fit beside."""
    agents, fit = list(result.agents), max(1, (width - _NAMES) // _CELL)
    found = [_terminal(result, agents[first : first + fit]) for first in range(0, len(agents), fit)]
    found[-1].caption = Text(SCALE)
    return found


def reasons(result: SuiteResult) -> Iterator[str]:
    """Yield a line for each agent and each reason for which it cannot play some rows."""
    for agent, refused in result.refusals.items():
        for reason in dict.fromkeys(refused.values()):
            rows = ", ".join(row for row, told in refused.items() if told == reason)
            yield f"{agent} cannot play {rows}: {reason}"


def _terminal(result: SuiteResult, agents: list[str]) -> Table:
    shown = Table(
        title=Text(f"{result.suite.name}: {len(result.suite.rows)} rows, {result.suite.seeds} seeds"),
        box=box.SIMPLE_HEAD,
        padding=(0, 1),
        pad_edge=False,
        collapse_padding=True,
    )
    shown.add_column("", no_wrap=True)
    for agent in agents:
        shown.add_column(Text(agent), justify="right", overflow="fold")
    for capability, rows in result.suite.capabilities.items():
        shown.add_row(Text(capability), *(_of_profile(result, agent, capability) for agent in agents), style="bold")
        for row in rows:
            shown.add_row(Text(f"  {row.name}"), *(_of_row(result, agent, row.name) for agent in agents))
    shown.add_row(Text("all rows"), *(_told(result.overall(agent)) for agent in agents), style="bold")
    return shown


def markdown(result: SuiteResult) -> str:
    """Return everything in Markdown: profiles, a table for each capability, and who cannot play what, and why.

    Above in a table of a capability are those who can play all of its rows, the best first.
    """
    parts = [page.markdown([_profiles(result)]), SCALE]
    for capability in result.suite.capabilities:
        parts.append(page.markdown([_of_capability(result, capability)]))
    if refused := list(reasons(result)):
        parts.append("**Not applicable**\n\n" + "\n".join(f"* {page.plain(line)}" for line in refused))
    return "\n\n".join(parts) + "\n"


def _profiles(result: SuiteResult) -> page.Table:
    capabilities = list(result.suite.capabilities)
    rows = [
        [agent, *(_of_profile(result, agent, name) for name in capabilities), _told(result.overall(agent))]
        for agent in result.agents
    ]
    return page.Table("Profiles", "", ["agent", *capabilities, "all rows"], rows)


def _of_capability(result: SuiteResult, capability: str) -> page.Table:
    """Those who can play all of its rows, the best first, then those who can play fewer; and what needs no memory."""
    rows = result.suite.capabilities[capability]
    rank = {agent: (-result.played(agent, capability)[0], -result.profile(agent)[capability].mean) for agent in result.agents}
    best = sorted((agent for agent, (played, _) in rank.items() if played), key=lambda agent: rank[agent])
    cells = [[agent, *(_of_row(result, agent, row.name) for row in rows)] for agent in best]
    if any(row.memoryless is not None for row in rows):
        known = ("-" if row.memoryless is None else f"{row.memoryless:.2f}" for row in rows)
        cells.append(["best without memory", *known])
    title = f"{capability.capitalize()}: {CAPABILITIES[capability]}"
    return page.Table(title, "", ["agent", *(row.name for row in rows)], cells)


def _of_row(result: SuiteResult, agent: str, row: str) -> str:
    return NOT_APPLICABLE if row in result.refusals[agent] else _told(result.score(agent, row))


def _of_profile(result: SuiteResult, agent: str, capability: str) -> str:
    played, rows = result.played(agent, capability)
    if not played:
        return NOT_APPLICABLE
    return _told(result.profile(agent)[capability]) + (f" ({played}/{rows})" if played < rows else "")


def _told(interval: Interval) -> str:
    told = interval.with_half_width(digits=2).replace("±0.", "±.")
    return told.removeprefix("-") if told.startswith("-0.00") else told


# ------------------------------------------------------------------------------------------------- pictures
def draw_profiles(result: SuiteResult, path: str | os.PathLike) -> Path:
    """Draw the profile of each agent, in a picture of its own, into one PNG; needs matplotlib. Returns the path.

    `pip install "metarl-envs[plot]"` installs it. Spokes are capabilities; the dashed ring is 0, random play, and the solid
    one 1, the oracle. A point is the mean over rows, with its interval, and hollow where not all rows of the capability were
    played; small dots are the rows. Where no row was played there is none, and no line goes across.
    """
    from matplotlib.lines import Line2D

    agents = list(result.agents)
    across = min(len(agents), 3)
    down = math.ceil(len(agents) / across)
    figure = new_figure(max(5.2 * across, 6.4), 4.8 * down + 1.1)
    places: Any = figure.subplots(down, across, subplot_kw={"projection": "polar"}, squeeze=False)
    ends = _ends(result)
    for place, agent in zip(places.flat, agents, strict=False):
        _draw_profile(place, result, agent, ends)
    for place in places.flat[len(agents) :]:
        place.set_visible(False)
    point: dict[str, Any] = {"linestyle": "", "marker": "o"}
    keys = [
        Line2D([], [], color="#444444", linestyle="--", linewidth=0.9, label="0: random play"),
        Line2D([], [], color="#444444", linewidth=0.9, label="1: the oracle"),
        Line2D([], [], color=_COLOR, label="mean over rows, 95 % interval", **point),
        Line2D([], [], color=_COLOR, markerfacecolor="white", label="not all rows played", **point),
        Line2D([], [], color=_GREY, markersize=3, label="a row", **point),
    ]
    figure.legend(handles=keys, loc="outside lower center", ncols=3, frameon=False, fontsize=9)
    figure.suptitle(f"{result.suite.name}: scores by capability (the centre is {ends[0]:g})", fontsize=12)
    return save_figure(figure, path)


def _ends(result: SuiteResult) -> tuple[float, float]:
    """The lowest and the highest score that the pictures reach, the same in all."""
    found = [value for agent in result.agents for interval in _all_of(result, agent) for value in interval]
    known = [value for value in found if not math.isnan(value)]
    low, high = min([-0.25, *known]), max([1.0, *known])
    return max(_LOWEST, math.floor(low * 4) / 4), math.ceil(high * 4) / 4


def _all_of(result: SuiteResult, agent: str) -> Iterable[Interval]:
    return (
        *result.profile(agent).values(),
        *(result.score(agent, row.name)._replace(low=np.nan, high=np.nan) for row in result.suite.rows),
    )


def _draw_profile(axes: PolarAxes, result: SuiteResult, agent: str, ends: tuple[float, float]) -> None:
    low, high = ends
    capabilities = result.suite.capabilities
    angles = np.linspace(0, 2 * np.pi, len(capabilities), endpoint=False)
    axes.set_theta_zero_location("N")
    axes.set_theta_direction(-1)
    axes.set_ylim(low, high)
    axes.set_yticks([])
    axes.grid(color="#e3e7ee", linewidth=0.8)
    axes.spines["polar"].set_visible(False)
    ring = np.linspace(0, 2 * np.pi, 200)
    for value, style in ((0.0, "--"), (1.0, "-")):
        axes.plot(ring, np.full_like(ring, value), color="#444444", linestyle=style, linewidth=0.9, zorder=1.8)
    profile = result.profile(agent)
    means = np.array([each.mean for each in profile.values()])
    _join(axes, angles, np.maximum(means, low))
    for angle, (capability, found) in zip(angles, profile.items(), strict=True):
        if math.isnan(found.mean):
            continue
        scores = [result.score(agent, row.name).mean for row in capabilities[capability]]
        axes.plot([angle] * len(scores), np.maximum(scores, low), ".", color=_GREY, markersize=4, zorder=3)
        if not math.isnan(found.low):
            axes.plot([angle, angle], np.clip([found.low, found.high], low, high), color=_COLOR, linewidth=2.4, alpha=0.55)
        played, rows = result.played(agent, capability)
        face = _COLOR if played == rows else "white"
        axes.plot([angle], [max(found.mean, low)], "o", color=_COLOR, markerfacecolor=face, markersize=6.5, zorder=4)
        if found.mean < low:
            axes.annotate(f"{found.mean:.1f}", (angle, low), fontsize=8, textcoords="offset points", xytext=(6, 4))
    axes.set_xticks(angles, [""] * len(angles))
    for angle, name in zip(angles, capabilities, strict=True):
        _label(axes, angle, name, *result.played(agent, name))
    for value in (0.0, 1.0):
        told: dict[str, Any] = {"fontsize": 8, "color": "#444444", "ha": "center", "va": "center"}
        axes.text(angles[1] / 2, value, f"{value:g}", backgroundcolor="white", zorder=1.9, **told)
    axes.set_title(agent.replace("$", r"\$"), fontsize=11, pad=32)


def _label(axes: PolarAxes, angle: float, name: str, played: int, rows: int) -> None:
    """Say at the end of a spoke which capability it is, and where not all of its rows were played, how many."""
    low, high = axes.get_ylim()
    across, told = math.sin(angle), "" if played == rows else f"\n({played} of {rows} rows)" if played else "\n(n/a)"
    side = "center" if abs(across) < 0.1 else "left" if across > 0 else "right"
    place = high + (0.05 if side != "center" else 0.09) * (high - low)
    axes.text(angle, place, name + told, fontsize=8.5, color="black" if played else _GREY, ha=side, va="center")


def _join(axes: PolarAxes, angles: np.ndarray, values: np.ndarray) -> None:
    """Lines between neighbours that both have a value, around the circle."""
    for k in range(len(values)):
        pair = [k, (k + 1) % len(values)]
        if len(values) > 2 and not np.isnan(values[pair]).any():
            there = angles[pair[1]] + (2 * np.pi if pair[1] == 0 else 0.0)
            axes.plot([angles[k], there], values[pair], color=_COLOR, linewidth=1.4, alpha=0.8)
