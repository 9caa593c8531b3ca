"""A world as a picture, at the left, with the trial's clock and returns on a panel at the right; and as text."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from metarl_envs.engine.canvas import ACCENT, BAD, GOAL, GOOD, HEIGHT, LINES, MUTED, PANEL, WIDTH, WORLD, Picture
from metarl_envs.engine.family import Variant
from metarl_envs.engine.records import Row


@dataclass(frozen=True)
class Clock:
    """Where in the trial a world is, and what it has paid. Trials and episodes count from 0."""

    trial: int
    episode: int
    episodes: int
    step: int
    horizon: int
    reward: float
    episode_return: float
    past_returns: tuple[float, ...]
    over: bool


def picture(variant: Variant, state: np.void, task: np.ndarray | None, clock: Clock) -> np.ndarray:
    """Return a world as uint8 of shape (480, 720, 3). `task` is None unless the hidden task is to be shown."""
    canvas = Picture()
    variant.family.draw(canvas, variant.p, Row(state), None if task is None else Row(task))
    _panel(canvas, variant, clock, revealed=task is not None)
    return canvas.array()


def text(variant: Variant, state: np.void, task: np.ndarray | None, clock: Clock) -> str:
    """Return a world as text: one line for the clock, then what the family says."""
    ended = ", trial over" if clock.over else ""
    head = (
        f"{variant.name}: trial {clock.trial + 1}, episode {clock.episode + 1}/{clock.episodes}, "
        f"step {clock.step}/{clock.horizon}, reward {clock.reward:g}, return {clock.episode_return:g}{ended}"
    )
    return head + "\n" + variant.family.describe(variant.p, Row(state), None if task is None else Row(task))


def _panel(canvas: Picture, variant: Variant, clock: Clock, revealed: bool) -> None:
    """The right side: where we are in the trial, what was paid, and the returns of the episodes so far."""
    left, right = WORLD + 24, WIDTH - 24
    canvas.rectangle(WORLD, 0, WIDTH - WORLD, HEIGHT, PANEL)
    canvas.text(left, 24, variant.name, size=22)
    canvas.text(left, 52, "hidden task shown" if revealed else "task hidden", size=13, color=GOAL if revealed else MUTED)
    rows = [
        ("trial", f"{clock.trial + 1}"),
        ("episode", f"{clock.episode + 1} of {max(clock.episodes, clock.episode + 1)}"),
        ("step", f"{clock.step} of {clock.horizon}"),
        ("reward", f"{clock.reward:.3g}"),
        ("return, episode", f"{clock.episode_return:.4g}"),
        ("return, trial", f"{clock.episode_return + sum(clock.past_returns):.4g}"),
    ]
    for i, (name, value) in enumerate(rows):
        canvas.text(left, 88 + 27 * i, name, size=14, color=MUTED)
        canvas.text(right, 86 + 27 * i, value, size=16, align="right")
    done = clock.step / clock.horizon
    canvas.rectangle(left, 258, right - left, 6, LINES, radius=3)
    canvas.rectangle(left, 258, max(6, (right - left) * min(done, 1)), 6, ACCENT, radius=3)
    _bars(canvas, left, 300, right - left, 128, [*clock.past_returns, clock.episode_return])
    canvas.text(left, 444, "trial over" if clock.over else "returns of this trial's episodes", size=12, color=MUTED)


def _bars(canvas: Picture, x: float, y: float, width: float, height: float, values: list[float]) -> None:
    """The latest values as bars around a zero line."""
    values = values[-24:]
    top, bottom = max(0.0, *values, 1e-9), min(0.0, *values)
    scale = height / (top - bottom)
    zero = y + top * scale
    step = width / max(len(values), 8)
    for i, value in enumerate(values):
        length = abs(value) * scale
        color = ACCENT if i == len(values) - 1 else (GOOD if value >= 0 else BAD)
        start = zero - length if value >= 0 else zero
        canvas.rectangle(x + i * step + 1, start, max(step - 3, 2), max(length, 1), color, radius=2)
    canvas.line(x, zero, x + width, zero, LINES, 1)
