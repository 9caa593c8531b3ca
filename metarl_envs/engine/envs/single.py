"""The single driver: one row as a `gymnasium.Env`."""

from __future__ import annotations

import copy
import operator
from collections.abc import Callable
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.error import ResetNeeded

from metarl_envs.arguments import as_seed
from metarl_envs.engine.envs.family_env import FamilyEnv
from metarl_envs.engine.envs.info import memory_reset, single_info
from metarl_envs.engine.envs.scoreboard import RENDER_MODES, Scoreboard, checked_render_mode
from metarl_envs.engine.loops.trial import DISABLED, GIVEN_TASK, TERMINATED, TRUNCATED
from metarl_envs.engine.truth.ground_truth import GroundTruth
from metarl_envs.engine.worlds.worlds import TrialForm, Worlds, bad_action, how_to_begin

_ONLY_ROW = np.ones(1, np.bool_)
#: Attributes that stand for places in memory: a copy of an environment makes its own.
_PLACES = frozenset({"_action", "_out", "_flags", "_observation", "_final", "_advance"})


class SingleEnv(FamilyEnv, gym.Env):
    """One world of a family, as an ordinary Gymnasium environment with a hidden task.

    `reset(options=...)` understands `{"task": row or index into env.unwrapped.tasks}` (a given task) and
    `{"new_trial": False}` (the next episode of the same trial). Other keys are left to wrappers.

    Args:
        tasks: where tasks come from; it also holds the family and its parameters.
        episodes_per_trial, trial_end, num_tasks: see `TrialForm`.
        ground_truth: add `info["metarl"]` (see `GroundTruth`).
        render_mode: None, `"rgb_array"` or `"ansi"`.
        reveal: show the hidden task in pictures and text.
    """

    metadata = {"render_modes": [*RENDER_MODES], "render_fps": 10}

    def __init__(
        self,
        tasks: Any,
        *,
        episodes_per_trial: int = 1,
        trial_end: str = "true",
        num_tasks: int | None = None,
        ground_truth: bool = False,
        render_mode: str | None = None,
        reveal: bool = False,
    ):
        form = TrialForm(episodes_per_trial, trial_end, num_tasks)
        self.tasks = tasks
        self.variant = tasks.variant
        self.episodes_per_trial = episodes_per_trial
        self.observation_space = copy.deepcopy(self.variant.observation_space)  # spaces hold a generator of their own
        self.action_space = copy.deepcopy(self.variant.action_space)
        self.render_mode, self.reveal = checked_render_mode(render_mode), reveal
        self._worlds = Worlds(tasks, 1, form, DISABLED)
        self._truth = GroundTruth(self._worlds) if ground_truth else None
        self._scoreboard = Scoreboard(1) if render_mode else None
        self._discrete = not self.variant.action.shape
        self._take_places()
        self._seeded = self._live = False

    def _take_places(self) -> None:
        """Make the arrays that the driver reads and writes. Between calls they hold nothing that is needed again."""
        self._action = np.zeros((1, *self.variant.action.shape), self.variant.action.dtype)
        self._out = self._worlds.empty()
        self._flags = self._out.flags[:, 0]
        self._observation = self._copier(self._out.observations)
        self._final = self._copier(self._out.inner_final)
        self._advance = self._worlds.advance_in_place(self._action, self._out)

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name not in _PLACES}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._take_places()

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """Begin a new trial, or with `options={"new_trial": False}` the next episode of this one."""
        options = options or {}
        seed = None if seed is None else as_seed(seed)
        super().reset(seed=seed)
        how = how_to_begin(seed, options, self._seeded)
        if how == GIVEN_TASK:
            given = self._worlds.given(_ONLY_ROW, options["task"])  # first, so that a task that is refused changes nothing
            if self._truth:
                self._truth.check_given(given)
            self._worlds.give(_ONLY_ROW, given)
        if seed is not None or not self._seeded:
            start = seed if seed is not None else int(self.np_random.integers(2**63))
            self._worlds.seed(_ONLY_ROW, np.array([start], np.uint64))
            self._seeded = True
        self._worlds.begin(_ONLY_ROW, how, self._out)
        self._live = True
        return self._observation(), self._info(self._flags.tolist(), stepped=False)

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        """Take one step; ResetNeeded before the first reset and after the trial's end, ValueError for a bad action."""
        if not self._live:
            raise ResetNeeded("step() needs a running trial: call reset() first")
        self._take(action)
        ended = self._advance()
        if ended < 0:
            raise bad_action(self.variant, action)
        self._live = not ended
        flags = self._flags.tolist()
        info = self._info(flags, stepped=True)
        return self._observation(), self._out.rewards.item(), flags[TERMINATED], flags[TRUNCATED], info

    def render(self) -> Any:
        """Return the picture (uint8, constant shape) or the text of the world, as `render_mode` says; None without one."""
        if self._scoreboard is None:
            gym.logger.warn(f'render() needs a mode: gym.make(..., render_mode="rgb_array") or "ansi" for {self.variant.name}')
            return None
        if not self._seeded:
            raise ResetNeeded("render() needs a world to show: call reset() first")
        return self._scoreboard.render(self.render_mode, self._worlds, 0, self.episodes_per_trial, self.reveal)

    def get_state(self) -> dict[str, Any]:
        """Return an exact, picklable snapshot: put back by `set_state`, every later step repeats bit by bit."""
        return {**super().get_state(), "live": self._live}

    def set_state(self, state: dict[str, Any]) -> None:
        """Go back to a snapshot of this environment or of one with the same family and parameters."""
        super().set_state(state)
        self._live = state["live"]

    def _take(self, action: Any) -> None:
        """Put the action where the driver reads it. What the driver cannot see is checked here: kind and shape."""
        try:
            if self._discrete:
                self._action[0] = operator.index(action)
                return
            taken = self.variant.action.cast(np.asarray(action), self._action.shape[1:])
            if taken is not None:
                self._action[0] = taken
                return
        except (TypeError, OverflowError):
            pass
        raise bad_action(self.variant, action)

    def _copier(self, array: np.ndarray) -> Callable[[], Any]:
        """What gives the array's only row as an observation of its own memory."""
        visible = self.variant.visible(array)
        if not isinstance(visible, dict):
            return _first(visible)
        parts = {name: _first(part) for name, part in visible.items()}
        return lambda: {name: part() for name, part in parts.items()}

    def _info(self, flags: list[bool], stepped: bool) -> dict[str, Any]:
        if self._scoreboard:
            self._scoreboard.update(self._out, stepped)
        info = single_info(flags, self._final())
        if self.variant.memory_reset_at is not None:
            info["memory_reset"] = bool(memory_reset(self.variant, self._out)[0])
        if self._truth:
            if stepped:
                self._truth.stepped(self._action, self._out)
            self._truth.begun(self._out)
            info["metarl"] = self._truth.single()
        if True in flags:  # drivers expect flags and final observations to be zero
            self._flags.fill(False)
            self._out.inner_final.fill(0)
        return info


def _first(array: np.ndarray) -> Callable[[], Any]:
    """What gives an array's first row as one of its own memory, or the number that it is."""
    return array[0].copy if array.ndim > 1 else lambda: array[0]
