"""The game behind the window: a trial that a person plays, and what is on the screen."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np

from metarl_envs.engine import rendering
from metarl_envs.engine.single import SingleEnv
from metarl_envs.histories import scores
from metarl_envs.play.controls import Controls

#: The strip below the picture that says which keys there are.
STRIP = 96
#: The keys of every game.
GAME_KEYS = {"N": "next trial", "R": "same trial again", "P": "pause", "S": "screenshot", "Esc": "quit"}


class Game:
    """One person, trial after trial. It knows nothing of windows: keys come in by name, pictures go out.

    Args:
        id: a registered id.
        seed: of the first trial; None for a random one.
        arguments: as for `gymnasium.make`: `episodes_per_trial`, `split`, the family's parameters.
    """

    def __init__(self, id: str, *, seed: int | None = None, **arguments: Any):
        made = gym.make(id, render_mode="rgb_array", ground_truth=True, disable_env_checker=True, **arguments)
        env = made.unwrapped
        if not isinstance(env, SingleEnv):
            raise TypeError(f"{id} is no family of metarl_envs")
        self.env, self.controls = env, Controls.of(env.variant)
        self.paused = False
        self._begin(seed)

    def next_trial(self) -> None:
        """A new hidden task."""
        self._begin(None)

    def restart(self) -> None:
        """The same task and the same noise again, from the trial's first step."""
        self.env.set_state(self._first)
        self.env.reveal = self.over = False
        self.total = self.reward = 0.0

    def press(self, key: str) -> bool:
        """Do what a key stands for; whether it stands for anything."""
        if key == "n":
            self.next_trial()
        elif key == "r":
            self.restart()
        elif key == "p":
            self.paused = not self.paused
        elif key in self.controls.keys and not self.paused:
            self.act(self.controls.keys[key][0])
        else:
            return False
        return True

    def act(self, action: Any) -> None:
        """Take one step, unless the trial is over."""
        if self.over:
            return
        _, self.reward, terminated, truncated, _ = self.env.step(action)
        self.total += self.reward
        self.over = terminated or truncated
        if self.over:
            self.env.reveal = True
            self.oracle = self._oracle_return()

    def frame(self) -> np.ndarray:
        """The screen: uint8 of shape (480 + STRIP, 720, 3)."""
        strip = rendering.Picture(rendering.WIDTH, STRIP)
        strip.line(0, 0, rendering.WIDTH, 0, rendering.LINES, 2)
        color = rendering.GOAL if self.over else rendering.TEXT
        strip.text(24, 12, self.headline(), size=16, color=color)
        for y, keys in ((38, self.controls.legend()), (66, GAME_KEYS)):
            x = 24.0
            for key, meaning in keys.items():
                x += strip.key_cap(x, y, key, meaning) + 14
        picture = self.env.render()
        assert isinstance(picture, np.ndarray)
        return np.vstack([picture, strip.array()])

    def headline(self) -> str:
        """What the player should know right now."""
        if self.over:
            return f"Trial over: you earned {self.total:.4g}, the oracle {self.oracle:.4g}. The hidden task is shown."
        if self.paused:
            return "Paused."
        episodes = self.env.episodes_per_trial
        lives = "one episode" if episodes == 1 else f"{episodes} episodes"
        return f"A hidden task, the same for {lives}: find out what pays."

    def _begin(self, seed: int | None) -> None:
        self.env.reveal = self.over = False
        self.total = self.reward = self.oracle = 0.0
        _, info = self.env.reset(seed=seed)
        self.truth = info["metarl"]
        self._first = self.env.get_state()

    def _oracle_return(self) -> float:
        """What the oracle earns in a trial on this task: exact where there is a formula, else the mean of 200 trials."""
        episodes = self.env.episodes_per_trial
        exact = float(self.truth["oracle_return"])
        if np.isfinite(exact):
            return exact * episodes
        variant = self.env.variant
        row = self.env.tasks.row(self.truth["task"])
        oracle = variant.family.references["oracle"]
        return float(scores(np.repeat(row, 200), variant, oracle, np.arange(200), episodes=episodes).sum(axis=1).mean())
