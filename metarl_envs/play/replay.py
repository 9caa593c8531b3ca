"""A recorded run to look through in the window: on and back, step by step or in motion."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from metarl_envs.engine import Picture, canvas
from metarl_envs.play.controls import MOUSE
from metarl_envs.play.recording import Recording
from metarl_envs.play.strip import LEFT, SPEEDS, STRIP, draw_keys, fitted_lines

#: Seconds before a held arrow repeats, and between two steps then; how long a notice stays.
_BEFORE_REPEAT, _REPEAT, _NOTICE = 0.4, 0.05, 3.0
#: Where the timeline is in the strip, and how thick.
_LINE_TOP, _LINE_HEIGHT = 12, 12
_LINE_WIDTH = canvas.WIDTH - 2 * LEFT
_KEYS = [
    (("left", "right"), "a step"),
    (("down", "up"), "the last, the next reward"),
    (("Space",), "go on, stop"),
    (("-", "+"), "slower, faster"),
]
_MORE_KEYS = [(("Home", "End"), "ends"), (("S",), "screenshot"), (("Esc",), "quit"), (("mouse",), "any step, on the line")]


class Replay:
    """A recording in the window (see `metarl_envs.play.window.Playable`): keys and seconds come in, pictures go out.

    Args:
        recording: the recording.
        told: what happened in step t, from 1, line by line. [default: what was done]
    """

    def __init__(self, recording: Recording, told: Callable[[int], Sequence[str]] | None = None):
        self.recording = recording
        self.title = f"metarl_envs: {recording.run.variant.name}, a replay"
        self.step, self.moving = 0, False
        self._told = told or (lambda t: (recording.done(t),))
        self._paid = np.flatnonzero(recording.rewards) + 1
        self._earned = np.concatenate([[0.0], recording.rewards.cumsum()])
        self._speed, self._since_step = SPEEDS.index(10), 0.0
        self._held, self._held_for = "", 0.0
        self._x, self._dragging = 0.0, False
        self._y = 0.0
        self._notice, self._notice_left = "", 0.0

    # ----------------------------------------------------------------------------------------- what a person does
    def press(self, key: str) -> bool:
        """Take a key, or the mouse button, that goes down, and return whether it stands for anything."""
        if key in ("left", "right"):
            self._held, self._held_for = key, -_BEFORE_REPEAT
            self._go_to(self.step + (1 if key == "right" else -1))
        elif key in ("up", "down"):
            self._go_to(self._next_reward() if key == "up" else self._last_reward())
        elif key in ("home", "end"):
            self._go_to(0 if key == "home" else len(self.recording))
        elif key == "space":
            if not self.moving and self.step == len(self.recording):
                self.step = 0
            self.moving, self._since_step = not self.moving, 0.0
        elif key in ("-", "+"):
            self._speed = min(max(self._speed + (1 if key == "+" else -1), 0), len(SPEEDS) - 1)
        elif key == MOUSE and self._y >= canvas.HEIGHT:
            self._dragging = True
            self._go_to_mouse()
        else:
            return False
        return True

    def release(self, key: str) -> None:
        """Let a key go up."""
        if key == self._held:
            self._held = ""
        if key == MOUSE:
            self._dragging = False

    def point(self, x: float, y: float) -> None:
        """Move the mouse; while its button is down, the step follows it along the line."""
        self._x, self._y = x, y
        if self._dragging:
            self._go_to_mouse()

    def look_away(self) -> None:
        """No key is down any more."""
        self._held, self._dragging = "", False

    def tick(self, seconds: float) -> bool:
        """Time goes by; whether there is something new to see."""
        changed = self._dragging
        if self._notice:
            self._notice_left -= seconds
            if self._notice_left <= 0:
                self._notice, changed = "", True
        if self._held:
            self._held_for += seconds
            if self._held_for >= _REPEAT:
                self._held_for = 0.0
                self._go_to(self.step + (1 if self._held == "right" else -1))
                changed = True
        if self.moving:
            self._since_step += seconds
            steps = int(self._since_step * SPEEDS[self._speed])
            if steps:
                self._since_step -= steps / SPEEDS[self._speed]
                self.step = min(self.step + steps, len(self.recording))
                self.moving = self.step < len(self.recording)
                changed = True
        return changed

    def tell(self, notice: str) -> None:
        """Say something for a short while."""
        self._notice, self._notice_left = notice, _NOTICE

    # ----------------------------------------------------------------------------------------- the screen
    def frame(self) -> np.ndarray:
        """Return the screen: uint8 of shape (480 + STRIP, 720, 3)."""
        return np.vstack([self.recording.picture(self.step), self._strip()])

    def _strip(self) -> np.ndarray:
        strip = Picture(canvas.WIDTH, STRIP)
        strip.line(0, 0, canvas.WIDTH, 0, canvas.LINES, 2)
        self._draw_line(strip)
        steps = f"step {self.step} of {len(self.recording)}"
        x = LEFT + strip.text(LEFT, 32, steps, size=15, color=canvas.TEXT) + 16
        strip.text(x, 32, f"earned {self._earned[self.step]:.4g}", size=15, color=canvas.MUTED)
        if self.step and (reward := self.recording.rewards[self.step - 1]):
            color = canvas.GOOD if reward > 0 else canvas.BAD
            strip.text(canvas.WIDTH - LEFT, 31, f"reward {reward:+.3g}", size=16, color=color, align="right")
        happened = self._notice or ("; ".join(self._told(self.step)) if self.step else "before the first step")
        for i, line in enumerate(fitted_lines(happened, 14, 2)):
            strip.text(LEFT, 52 + 17 * i, line, size=14, color=canvas.GOAL if self._notice else canvas.TEXT)
        going = "moves on" if self.moving else "stands"
        draw_keys(strip, 90, _KEYS)
        draw_keys(strip, 114, [*_MORE_KEYS, ((), f"{going}, {SPEEDS[self._speed]} steps/s")])
        return strip.array()

    def _draw_line(self, strip: Picture) -> None:
        """The timeline: where reward was paid, and where we are."""
        strip.rectangle(LEFT, _LINE_TOP, _LINE_WIDTH, _LINE_HEIGHT, canvas.LINES, 4)
        for t in self._paid:
            color = canvas.GOOD if self.recording.rewards[t - 1] > 0 else canvas.BAD
            x = self._place(int(t))
            strip.line(x, _LINE_TOP + 1, x, _LINE_TOP + _LINE_HEIGHT - 1, color, 1)
        strip.circle(self._place(self.step), _LINE_TOP + _LINE_HEIGHT / 2, 8, canvas.AGENT)

    # ----------------------------------------------------------------------------------------- inside
    def _place(self, t: int) -> float:
        """The x of a step on the line."""
        return LEFT + _LINE_WIDTH * t / len(self.recording)

    def _go_to(self, t: int) -> None:
        """Look at a step, and stand there."""
        self.step, self.moving = min(max(t, 0), len(self.recording)), False

    def _go_to_mouse(self) -> None:
        self._go_to(round((self._x - LEFT) / _LINE_WIDTH * len(self.recording)))

    def _next_reward(self) -> int:
        later = self._paid[self._paid > self.step]
        return int(later[0]) if len(later) else len(self.recording)

    def _last_reward(self) -> int:
        earlier = self._paid[self._paid < self.step]
        return int(earlier[-1]) if len(earlier) else 0
