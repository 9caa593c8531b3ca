"""A recorded run in pictures: any step of one of its rows, and all of them as an animation."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from metarl_envs.arguments import Progress, as_integer, at_least_one, tell_nobody
from metarl_envs.engine.envs.single import SingleEnv
from metarl_envs.files import written_aside
from metarl_envs.players.run import Run
from metarl_envs.task_sets import TaskSet

#: Snapshots that are kept of a recording, so that going back is quick.
_SNAPSHOTS = 64
#: Colours of an animation: the palette has 11, and edges are smooth.
_COLORS = 64


class Recording:
    """One row of a run (a life, or a box), lived again step by step, in the pictures of `render()`.

    Args:
        run: the run.
        row: which of its rows, from 0.
        reveal: show what is hidden: the task, the recipes.

    Attributes:
        rewards: what each step paid (in a box to all agents together), float64 [step].

    Raises:
        ValueError: there is no such row, or it has no steps, or it ends otherwise than it did.
    """

    def __init__(self, run: Run, row: int = 0, *, reveal: bool = True):
        row = as_integer("row", row)
        if row >= len(run):
            raise ValueError(f"row={row} is not in this run: it has rows 0 to {len(run) - 1}")
        self.run = run[row : row + 1]
        if not len(self):
            raise ValueError(f"row {row} of {run!r} has no steps: there is nothing to show")
        for _ in self.run.replay():  # so that a run that does not repeat is found before any of it is shown
            pass
        tasks = TaskSet.of_rows(run.variant, self.run.tasks)
        self._env = SingleEnv(tasks, episodes_per_trial=run.episodes, render_mode="rgb_array", reveal=reveal)
        self._env.reset(seed=int(self.run.seeds[0]), options={"task": self.run.tasks[0]})
        self._every = max(1, len(self) // _SNAPSHOTS)
        self._kept, self._now = [self._env.get_state()], 0
        self.rewards = np.zeros(len(self))
        for t in range(len(self)):
            self.rewards[t] = self._step()
            if self._now % self._every == 0:
                self._kept.append(self._env.get_state())

    def __len__(self) -> int:
        """How many steps there are."""
        return self.run.actions.shape[1]

    def picture(self, t: int) -> np.ndarray:
        """Return what it looks like after step `t` (0: before the first), uint8 [480, 720, 3]."""
        nearest = t // self._every
        if not nearest * self._every <= self._now <= t:
            self._env.set_state(self._kept[nearest])
            self._now = nearest * self._every
        while self._now < t:
            self._step()
        picture = self._env.render()
        assert isinstance(picture, np.ndarray)
        return picture

    def _step(self) -> float:
        """Live the next step; what it pays."""
        _, reward, *_ = self._env.step(np.array(self.run.actions[0, self._now], self.run.variant.action.dtype)[()])
        self._now += 1
        return float(reward)

    def done(self, t: int) -> str:
        """Return what was done in step `t`, from 1, in words."""
        action, variant = self.run.actions[0, t - 1], self.run.variant
        if variant.action_names:
            return variant.action_names[int(action)]
        return ", ".join(f"{value:.4g}" for value in np.ravel(action).tolist())


def write_animation(
    recording: Recording,
    path: str | os.PathLike,
    *,
    every: int = 1,
    per_second: int = 10,
    progress: Progress = tell_nobody,
) -> Path:
    """Write a recording as an animated GIF, aside and then renamed; return the path.

    Args:
        recording: the recording.
        path: of the file.
        every: steps from picture to picture; the last step is always shown.
        per_second: pictures a second, from 1 to 50 (viewers slow down what is faster).
        progress: called with "pictures", how many are drawn by now, and all there are.

    Raises:
        ImportError: Pillow is not there.
        ValueError: `every` or `per_second` is out of range.
    """
    try:
        from PIL import Image
    except ImportError:
        raise ImportError('animations need Pillow: pip install "metarl-envs[plot]"') from None
    every, per_second = at_least_one("every", every), at_least_one("per_second", per_second)
    if per_second > 50:
        raise ValueError(f"per_second={per_second} must be at most 50: viewers slow down what is faster")
    shown = [*range(0, len(recording), every), len(recording)]

    def pictures() -> Iterator[Image.Image]:
        for number, t in enumerate(shown, 1):
            picture = Image.fromarray(recording.picture(t))
            yield picture.quantize(_COLORS, method=Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE)
            progress("pictures", number, len(shown))

    drawn = pictures()
    with written_aside(Path(path)) as (aside,):
        first = next(drawn)
        first.save(aside, format="GIF", save_all=True, append_images=drawn, duration=round(1000 / per_second), loop=0)
    return Path(path)
