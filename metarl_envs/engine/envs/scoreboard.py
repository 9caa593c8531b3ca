"""What a picture needs and a world row does not hold: the rewards so far. Kept only by environments that render."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np

from metarl_envs.engine.envs import panel
from metarl_envs.engine.loops.trial import EPISODE_START, INNER_TERMINATED, INNER_TRUNCATED, TRIAL_START
from metarl_envs.engine.worlds.worlds import Outcome, Worlds

#: How worlds can be shown: as a picture, or as text.
RENDER_MODES = ("rgb_array", "ansi")


def checked_render_mode(mode: str | None) -> str | None:
    """Return the mode; ValueError for one that there is not.

    `gymnasium.make` makes "human" and "rgb_array_list" of "rgb_array", so that neither comes here. `make_vec` does not.
    """
    if mode is None or mode in RENDER_MODES:
        return mode
    raise ValueError(
        f"render_mode={mode!r} must be None, {' or '.join(map(repr, RENDER_MODES))}; 'human' (a window) and 'rgb_array_list' "
        "are for single environments, made by gymnasium.make"
    )


class Scoreboard:
    """Rewards of the running episode, and returns of the trial's finished ones, for each row."""

    def __init__(self, count: int):
        self.episode = np.zeros(count)
        self.reward = np.zeros(count)
        self.past: list[list[float]] = [[] for _ in range(count)]

    def update(self, out: Outcome, stepped: bool) -> None:
        """Take in what a call of a driver did; a reset pays nothing."""
        flags = out.flags
        self.reward = out.rewards.copy() if stepped else np.zeros_like(self.reward)
        self.episode += self.reward
        for i in np.flatnonzero(flags[TRIAL_START:].any(axis=0)):
            trial_start, episode_start, *ended = flags[[TRIAL_START, EPISODE_START, INNER_TERMINATED, INNER_TRUNCATED], i]
            if any(ended):
                self.past[i].append(float(self.episode[i]))
            if trial_start:
                self.past[i] = []
            if episode_start:
                self.episode[i] = 0.0
            if trial_start or episode_start:
                self.reward[i] = 0.0 if not any(ended) else self.reward[i]

    def render(self, mode: Any, worlds: Worlds, i: int, episodes: int, reveal: bool) -> Any:
        """Row i as a picture or as text; `mode` is one of `RENDER_MODES`."""
        world = worlds.worlds.view(np.ndarray)[i]
        over = bool(world["over"])
        clock = panel.Clock(
            trial=int(world["trial"]),
            episode=int(world["episode"]),
            episodes=episodes,
            step=int(world["t"]),
            horizon=worlds.variant.horizon,
            reward=float(self.reward[i]),
            episode_return=self.past[i][-1] if over and self.past[i] else float(self.episode[i]),
            past_returns=tuple(self.past[i][:-1] if over else self.past[i]),
            over=over,
        )
        show = {"rgb_array": panel.picture, "ansi": panel.text}[mode]
        return show(worlds.variant, world["state"], worlds.task_row(i) if reveal else None, clock)

    def get_state(self) -> dict[str, Any]:
        """Return a copy of everything."""
        return copy.deepcopy(self.__dict__)

    def set_state(self, state: dict[str, Any]) -> None:
        """Put back what `get_state` gave."""
        self.__dict__.update(copy.deepcopy(state))
