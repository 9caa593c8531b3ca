"""What goes on in boxes from step to step: how much is invented, written, paid and hurt, in numbers and in one picture."""

from __future__ import annotations

import os
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING

import numpy as np

from metarl_envs.boxes.study.runs import of_boxes, one_box
from metarl_envs.boxes.study.truth import are_true
from metarl_envs.boxes.world.core import REAL
from metarl_envs.boxes.world.hazard import HAZARD
from metarl_envs.boxes.world.mechanisms import used_in
from metarl_envs.boxes.world.notes import BOOKS, WHEN
from metarl_envs.boxes.world.tree import levels_of
from metarl_envs.evaluation.report import new_figure, save_figure
from metarl_envs.evaluation.statistics import over_boxes
from metarl_envs.files import as_png
from metarl_envs.players.run import Run

if TYPE_CHECKING:
    from matplotlib.axes import Axes

#: What is drawn in one panel: its title, and the names in `over_time` with what the legend says of them.
_PANELS = (
    ("Inventions", {"inventions": "made by anybody so far", "held": "held by an agent"}),
    ("Highest level", {"depth": "held by an agent"}),
    ("Pay", {"pay": "of an agent so far"}),
    ("Written in notebooks and on the board", {"notes": "entries", "true_notes": "true ones"}),
    ("Health", {"health": "of an agent", "lost": "that an agent lost to others so far"}),
)
#: The second is dashed, so that the first is seen where both are the same.
_STYLES = (("#2f6fde", "-"), ("#e07b39", "--"))


def over_time(run: Run) -> dict[str, np.ndarray]:
    """Return what is there after each step of a run of boxes, by name, float64 [boxes, steps].

    * `inventions`: how many different things were made by then, by whomever; `held`: how many inventions an agent holds;
    * `depth`: the highest level that an agent holds, 0 where it holds nothing but bases;
    * `pay`: what an agent earned by then;
    * `notes`, `true_notes`, where there are notebooks or a board: how many entries there are in all of them, and true ones
      (where they are experiments);
    * `health`, `lost`, where there are hazards: the health of an agent, and what others cost it by then.

    What is said of "an agent" is the mean over the agents of a box.

    Raises:
        ValueError: the run was not played in boxes, or does not repeat (see `Run.replay`).
    """
    p, recipes = of_boxes(run).variant.p, np.asarray(run.tasks["recipe"])
    columns: dict[str, list[np.ndarray]] = {}
    states = iter(run.replay())
    next(states)
    for state in states:
        for name, value in {**_invented(p, state), **_written(p, state, recipes), **_hurt(p, state)}.items():
            columns.setdefault(name, []).append(np.asarray(value, float))
    told = {name: np.stack(values, axis=1) for name, values in columns.items()}
    return told | {name: told[name].cumsum(axis=1) for name in ("pay", "lost") if name in told}


def _invented(p: SimpleNamespace, state: np.ndarray) -> dict[str, np.ndarray]:
    levels = levels_of(p)
    held = (state["held"] == REAL) & (levels > 0)
    return {
        "inventions": (state["first_by"] >= 0).sum(axis=1),
        "held": held.sum(axis=2).mean(axis=1),
        "depth": np.where(held, levels, 0).max(axis=2).mean(axis=1),
        "pay": state["reward"].mean(axis=1),
    }


def _written(p: SimpleNamespace, state: np.ndarray, recipes: np.ndarray) -> dict[str, np.ndarray]:
    books = [state[book.field].reshape(len(state), -1, 4) for book in BOOKS if getattr(p, book.size)]
    if not books:
        return {}
    entries = np.concatenate(books, axis=1).astype(int)
    there = entries[..., WHEN] >= 0
    written = {"notes": there.sum(axis=1)}
    return written | ({"true_notes": (there & are_true(recipes, entries)).sum(axis=1)} if p.notation == "event" else {})


def _hurt(p: SimpleNamespace, state: np.ndarray) -> dict[str, np.ndarray]:
    if HAZARD not in used_in(p):
        return {}
    return {"health": state["health"].mean(axis=1), "lost": state["lost"].mean(axis=1)}


def save_summary(run: Run, path: str | os.PathLike, box: int | None = None) -> Path:
    """Draw what `over_time` tells into a PNG file; needs matplotlib. Returns the path.

    Args:
        run: of boxes.
        path: the file.
        box: which box, from 0; None: means over all boxes, with 95 % t-intervals for the distribution of boxes.

    Raises:
        ValueError: the name does not end in .png; there is no such box, or the run does not repeat.
    """
    path = as_png(path)
    told = over_time(run if box is None else one_box(run, box))
    panels = [(title, {name: says for name, says in lines.items() if name in told}) for title, lines in _PANELS]
    panels = [(title, lines) for title, lines in panels if lines]
    figure = new_figure(8.2, 1.0 + 1.7 * len(panels))
    all_axes = np.atleast_1d(figure.subplots(len(panels), sharex=True))
    for axes, (title, lines) in zip(all_axes, panels, strict=True):
        _draw(axes, title, {says: told[name] for name, says in lines.items()}, run.variant.p.day)
    all_axes[-1].set_xlabel("step" if not run.variant.p.day else f"step; dotted: memory is reset, every {run.variant.p.day}")
    which = f"mean of {len(run)} boxes" if box is None and len(run) > 1 else f"box {box or 0}"
    figure.suptitle(f"{run.variant.name}, {which}: {_seats(run)}", fontsize=11)
    return save_figure(figure, path)


def _seats(run: Run) -> str:
    """Who sat there, each once, in the order of the seats."""
    names = {seat: run.seats.count(seat) for seat in run.seats}
    return ", ".join(f"{count} x {name}" if count > 1 else name for name, count in names.items())


def _draw(axes: Axes, title: str, lines: dict[str, np.ndarray], day: int) -> None:
    steps = next(iter(lines.values())).shape[1]
    for (color, style), (says, values) in zip(_STYLES, lines.items(), strict=False):
        at = np.arange(1, steps + 1)
        mean, low, high = np.array([over_boxes(column) for column in values.T]).T
        axes.plot(at, mean, style, color=color, linewidth=1.6, label=says)
        axes.fill_between(at, low, high, color=color, alpha=0.18, linewidth=0)
    for dawn in range(day, steps, day) if day else ():
        axes.axvline(dawn, color="#999999", linestyle=":", linewidth=0.8)
    axes.set_title(title, fontsize=10, loc="left")
    axes.legend(frameon=False, loc="lower right", bbox_to_anchor=(1.0, 0.97), ncols=2, fontsize=8, borderpad=0)
    axes.spines[["top", "right"]].set_visible(False)
    axes.set_ylim(bottom=min(0.0, axes.get_ylim()[0]))
    axes.margins(x=0.01)
