"""The vector driver: N rows as a `gymnasium.vector.VectorEnv`."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import numpy as np
from gymnasium.error import ClosedEnvironmentError, ResetNeeded
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space

from metarl_envs.arguments import as_seed, as_seeds, at_least_one, row_seeds
from metarl_envs.engine.envs.family_env import FamilyEnv
from metarl_envs.engine.envs.info import add_final, memory_reset, vector_info
from metarl_envs.engine.envs.scoreboard import RENDER_MODES, Scoreboard, checked_render_mode
from metarl_envs.engine.loops.trial import EPISODE_START, GIVEN_TASK, TERMINATED, TRUNCATED, zeros_like
from metarl_envs.engine.truth.ground_truth import GroundTruth
from metarl_envs.engine.worlds.worlds import Outcome, TrialForm, Worlds, bad_action, how_to_begin

#: Bytes of observations from which on zeroing as many a step costs more than looking whether it is needed.
_BIG = 2**16


class FamilyVectorEnv(FamilyEnv, VectorEnv):
    """N worlds of a family. Row i, seeded s, equals the single environment seeded s + i, step by step.

    `reset(options=...)` understands `reset_mask` (bool array: the rows to reset), `task` (one row or index for all, or a
    sequence with one for each row that is reset) and `{"new_trial": False}`.

    Args:
        tasks: where tasks come from; it also holds the family and its parameters.
        num_envs: the number of rows.
        autoreset_mode: `AutoresetMode` or its value; all three are supported.
        episodes_per_trial, trial_end, num_tasks: see `TrialForm`.
        num_threads: threads that share the rows; worth it from about 65,536 rows on.
        reuse_arrays: give out the same arrays at every step instead of fresh ones. Faster for few rows; what was returned
            before is overwritten.
        dense_final_obs: give SAME_STEP's `info["final_obs"]` as one array (rows outside `_final_obs` are zero) instead of
            Gymnasium's array of objects. Faster where many trials end.
        max_episode_steps: what `gymnasium.make_vec` passes on; it must equal `horizon`, which is what limits an episode.
        ground_truth: add `info["metarl"]` (see `GroundTruth`).
        render_mode: None, `"rgb_array"` or `"ansi"`; `render()` gives a tuple with one frame a row.
        reveal: show the hidden task in pictures and text.
        observed: False writes no observations, and what is given out in their place means nothing (see `Worlds`).
    """

    def __init__(
        self,
        tasks: Any,
        *,
        num_envs: int,
        autoreset_mode: AutoresetMode | str = AutoresetMode.NEXT_STEP,
        episodes_per_trial: int = 1,
        trial_end: str = "true",
        num_tasks: int | None = None,
        num_threads: int = 1,
        reuse_arrays: bool = False,
        dense_final_obs: bool = False,
        max_episode_steps: int | None = None,
        ground_truth: bool = False,
        render_mode: str | None = None,
        reveal: bool = False,
        observed: bool = True,
    ):
        form = TrialForm(episodes_per_trial, trial_end, num_tasks)
        self.num_envs = at_least_one("num_envs", num_envs)
        self.autoreset_mode = _autoreset_mode(autoreset_mode)
        self.tasks = tasks
        self.variant = tasks.variant
        if max_episode_steps is not None and max_episode_steps != self.variant.horizon:
            raise ValueError(
                f"max_episode_steps={max_episode_steps} contradicts horizon={self.variant.horizon}, which limits an episode: "
                f"give horizon={max_episode_steps} instead"
            )
        self.episodes_per_trial = episodes_per_trial
        self.single_observation_space = copy.deepcopy(self.variant.observation_space)  # spaces hold a generator
        self.single_action_space = copy.deepcopy(self.variant.action_space)
        if observed:  # it holds the bounds of every number: of thousands of boxes, hundreds of megabytes
            self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)
        self.metadata = {
            "autoreset_mode": self.autoreset_mode,
            "render_modes": [*RENDER_MODES],
            "render_fps": 10,
        }
        self.render_mode, self.reveal = checked_render_mode(render_mode), reveal
        mode = list(AutoresetMode).index(self.autoreset_mode)
        self._worlds = Worlds(tasks, num_envs, form, mode, at_least_one("num_threads", num_threads), observed)
        self._truth = GroundTruth(self._worlds) if ground_truth else None
        self._scoreboard = Scoreboard(num_envs) if render_mode else None
        self._dense = dense_final_obs
        self._reused = self._worlds.empty() if reuse_arrays else None
        self._spare: Outcome | None = None  # big final observations that are zero, which infos share
        self._big = self._worlds.empty().observations.nbytes > _BIG
        self._everyone = np.ones(num_envs, np.bool_)
        self._everyone.flags.writeable = False  # infos share it
        self._waiting: np.ndarray | None = None  # DISABLED: rows whose trial is over
        self._seeded = False

    def reset(
        self, *, seed: int | Sequence[int | None] | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """Begin new trials, or with `new_trial=False` next episodes, in all rows or in those of `reset_mask`."""
        if self.closed:
            raise self._why_not()
        options = options or {}
        seed = self._checked_seed(seed)
        super().reset(seed=seed if isinstance(seed, int) else None)
        mask = self._mask(options)
        how = how_to_begin(seed, options, self._seeded)
        if how == GIVEN_TASK:
            given = self._worlds.given(mask, options["task"])  # first, so that a task that is refused changes nothing
            if self._truth:
                self._truth.check_given(given)
            self._worlds.give(mask, given)
        self._seed(seed, mask)
        out = self._outcome()
        self._worlds.begin(mask, how, out)
        if self._big and self._reused is None:
            out = self._spared(out, 0)
        if self._waiting is not None:
            waiting = self._waiting & ~mask
            self._waiting = waiting if waiting.any() else None
        return self.variant.visible(out.observations), self._info(out, 0, None)

    def step(self, actions: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, dict[str, Any]]:
        """Step every row.

        Raises:
            ResetNeeded: before the first reset; with DISABLED, while a row's trial is over.
            ClosedEnvironmentError: after `close`.
            ValueError: an action is outside the space; no row has moved then.
        """
        if not self._seeded or self._waiting is not None or self.closed:
            raise self._why_not()
        out = self._outcome()
        checked = self._checked(actions)
        ended = self._worlds.advance(checked, out)
        if ended < 0:
            row = -1 - ended
            raise bad_action(self.variant, checked[row], row)
        terminated, truncated = out.flags[TERMINATED], out.flags[TRUNCATED]
        if self._big and self._reused is None:
            out = self._spared(out, ended)
        if ended and self.autoreset_mode is AutoresetMode.DISABLED:
            self._waiting = terminated | truncated
        return self.variant.visible(out.observations), out.rewards, terminated, truncated, self._info(out, ended, checked)

    def render(self) -> tuple[Any, ...] | None:
        """One picture or text a row, as `render_mode` says; None without one."""
        if self._scoreboard is None:
            return None
        if not self._seeded:
            raise ResetNeeded("render() needs worlds to show: call reset() first")
        show = self._scoreboard.render
        return tuple(
            show(self.render_mode, self._worlds, i, self.episodes_per_trial, self.reveal) for i in range(self.num_envs)
        )

    def close_extras(self, **kwargs: Any) -> None:
        """Shut down the thread pool."""
        self._worlds.close()

    def get_state(self) -> dict[str, Any]:
        """Return an exact, picklable snapshot: put back by `set_state`, every later step repeats bit by bit."""
        return {**super().get_state(), "waiting": None if self._waiting is None else self._waiting.copy()}

    def set_state(self, state: dict[str, Any]) -> None:
        """Go back to a snapshot of this environment or of one with the same family, parameters and rows."""
        super().set_state(state)
        self._waiting = None if state["waiting"] is None else state["waiting"].copy()

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._everyone.flags.writeable = False  # which copying forgets

    def _outcome(self) -> Outcome:
        if self._reused is None:
            return self._worlds.empty(self._spare)
        if self._reused.flags.any():  # drivers expect flags and final observations to be zero
            for array in self._reused[2:]:
                array.fill(False)
        return self._reused

    def _spared(self, out: Outcome, ended: int) -> Outcome:
        """Where no episode ended, big zeros are kept for the next step, and `info` shows them read-only.

        What a step wrote into zeros that were shown before is moved to fresh arrays.
        """
        shared, self._spare = self._spare is not None, None
        if not ended and not out.flags[EPISODE_START].any():
            self._spare = out
            shown = out.inner_final.view()
            shown.flags.writeable = False
            return out._replace(inner_final=shown)
        if not shared:
            return out
        rows = np.flatnonzero(out.flags[EPISODE_START] | out.flags[TERMINATED] | out.flags[TRUNCATED])
        inner = _taken_out(rows, out.inner_final)
        return out._replace(inner_final=inner, final=inner if out.final is out.inner_final else _taken_out(rows, out.final))

    def _mask(self, options: dict[str, Any]) -> np.ndarray:
        mask = options.get("reset_mask")
        if mask is None:
            return self._everyone
        if not isinstance(mask, np.ndarray) or mask.dtype != np.bool_ or mask.shape != (self.num_envs,) or not mask.any():
            raise ValueError(
                f"options['reset_mask'] must be a bool array of shape ({self.num_envs},) with at least one True; got {mask!r}"
            )
        if not self._seeded and not mask.all():
            raise ResetNeeded("the first reset must reset every row: leave reset_mask out")
        return mask

    def _checked_seed(self, seed: Any) -> int | list[int | None] | None:
        if seed is None:
            return None
        return as_seeds(seed, self.num_envs, "num_envs") if np.ndim(seed) else as_seed(seed)

    def _seed(self, seed: int | Sequence[int | None] | None, mask: np.ndarray) -> None:
        """Start the masked rows' streams: seed, seed + 1, ... from an integer; None keeps one, or starts a random one."""
        n = self.num_envs
        if seed is None:
            if self._seeded:
                return
            seeds, given = self.np_random.integers(2**63, size=n, dtype=np.uint64), self._everyone
        elif isinstance(seed, int):
            seeds, given = row_seeds(seed, n), self._everyone
        else:
            given = np.array([s is not None for s in seed])
            fresh = self.np_random.integers(2**63, size=n, dtype=np.uint64)
            seeds = np.array([f if s is None else s for s, f in zip(seed, fresh, strict=True)], np.uint64)
            given |= not self._seeded
        self._worlds.seed(given & mask, seeds)
        self._seeded = True

    def _checked(self, actions: Any) -> np.ndarray:
        """The actions as the driver reads them; ValueError for another kind or shape."""
        form = self.variant.action
        given = np.asarray(actions)
        shape = (self.num_envs, *form.shape)
        if given.dtype == form.dtype and given.shape == shape and given.flags.c_contiguous:
            return given
        if (taken := form.cast(given, shape)) is None:
            raise ValueError(
                f"actions have shape {given.shape} and dtype {given.dtype}; {self.variant.name} takes shape {shape} and "
                f"{form.dtype}, each {form.allowed}"
            )
        return taken

    def _why_not(self) -> ClosedEnvironmentError | ResetNeeded:
        if self.closed:
            return ClosedEnvironmentError(f"this vector environment of {self.variant.name} is closed: make another one")
        if self._waiting is None:
            return ResetNeeded("step() needs running trials: call reset() first")
        rows = np.flatnonzero(self._waiting)
        return ResetNeeded(
            f"the trials of rows {', '.join(map(str, rows[:10]))}{', ...' if len(rows) > 10 else ''} are over, and autoreset "
            "is disabled: call reset(options={'reset_mask': terminated | truncated}) first"
        )

    def _info(self, out: Outcome, ended: int, actions: np.ndarray | None) -> dict[str, Any]:
        """`info` after a step by these actions, or after a reset."""
        if self._scoreboard:
            self._scoreboard.update(out, actions is not None)
        if self._truth and actions is not None:
            self._truth.stepped(actions, out)
        info = vector_info(self.variant, out, self._everyone)
        if self.variant.memory_reset_at is not None:
            info["memory_reset"] = memory_reset(self.variant, out)
            info["_memory_reset"] = self._everyone
        if ended and self.autoreset_mode is AutoresetMode.SAME_STEP:
            add_final(info, self.variant, out, self._dense, self._truth)
        if self._truth:
            self._truth.begun(out)
            info["metarl"], info["_metarl"] = self._truth.info(self._everyone), self._everyone
        return info


def _taken_out(rows: np.ndarray, array: np.ndarray) -> np.ndarray:
    """These rows in a fresh array, the others of which are zero, as all are left in the old one."""
    taken = zeros_like(array)
    written = array.view(np.ndarray)
    taken.view(np.ndarray)[rows] = written[rows]
    written[rows] = np.zeros((), array.dtype)
    return taken


def _autoreset_mode(mode: AutoresetMode | str) -> AutoresetMode:
    try:
        return AutoresetMode(mode)
    except ValueError:
        allowed = ", ".join(f"AutoresetMode.{m.name} ({m.value!r})" for m in AutoresetMode)
        raise ValueError(f"autoreset_mode={mode!r} must be one of {allowed}") from None
