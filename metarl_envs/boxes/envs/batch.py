"""Many boxes side by side: as arrays [boxes, agents, ...], and as a Gymnasium vector environment with one row an agent."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any, Literal, Unpack, overload

import numpy as np
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space, create_empty_array

from metarl_envs.arguments import as_seed, as_seeds, at_least_one
from metarl_envs.boxes.envs.sight import Sight, Told, tells_what_was_made
from metarl_envs.boxes.envs.social import SocialPay, SocialRewards
from metarl_envs.boxes.parameters import BoxParameters
from metarl_envs.boxes.scenarios import box_named
from metarl_envs.boxes.scenarios.box import Box, agent_spaces
from metarl_envs.boxes.world.tree import NOTHING
from metarl_envs.engine.envs.scoreboard import RENDER_MODES
from metarl_envs.engine.envs.vector import FamilyVectorEnv
from metarl_envs.task_sets import TaskSet

View = dict[str, np.ndarray]


class VectorArguments(BoxParameters, total=False):
    """What `make_vec` takes beside the box, their number and `flat` (see `BoxVectorEnv`)."""

    autoreset_mode: AutoresetMode | str
    split: str | None
    max_cycles: int | None
    num_tasks: int | None
    num_threads: int
    reuse_arrays: bool
    ground_truth: bool
    render_mode: Literal["rgb_array", "ansi"] | None
    reveal: bool
    social: SocialPay | None


@overload
def make_vec(
    box: str | type[Box], num_boxes: int, *, flat: Literal[False] = False, **arguments: Unpack[VectorArguments]
) -> BoxVectorEnv: ...


@overload
def make_vec(
    box: str | type[Box], num_boxes: int, *, flat: Literal[True], **arguments: Unpack[VectorArguments]
) -> FlatBoxVectorEnv: ...


def make_vec(
    box: str | type[Box], num_boxes: int, *, flat: bool = False, **arguments: Unpack[VectorArguments]
) -> BoxVectorEnv | FlatBoxVectorEnv:
    """Many boxes at once.

    Args:
        box: `"InventionBox"`, `"AmnesiaBox"`, `"HazardBox"`, their ids (`"MetaRL/InventionBox-v0"`), or a subclass of `Box`.
        num_boxes: how many.
        flat: one row an agent, as a `gymnasium.vector.VectorEnv`, instead of arrays [boxes, agents, ...].
        arguments: see `BoxVectorEnv`.

    Raises:
        TypeError, ValueError: there is no such box, or an argument is not as it must be.
    """
    made = BoxVectorEnv(box, num_boxes, **arguments)
    return FlatBoxVectorEnv(made) if flat else made


def tasks_of(box: type[Box], split: str | None, max_cycles: int | None, params: dict[str, Any]) -> TaskSet:
    """The recipe books of a box's split. `max_cycles` is another name of `horizon`."""
    if max_cycles is not None:
        if params.get("horizon", max_cycles) != max_cycles:
            raise ValueError(
                f"max_cycles={max_cycles} contradicts horizon={params['horizon']}: they are two names of one thing"
            )
        params = {**params, "horizon": max_cycles}
    return TaskSet.of_family(box, split=split, **params)


def check_render_mode(mode: Any, modes: tuple[str, ...] = RENDER_MODES) -> None:
    """ValueError for a way to show boxes that there is not; None shows nothing."""
    if mode is not None and mode not in modes:
        raise ValueError(f"render_mode={mode!r} must be None or one of {', '.join(map(repr, modes))}")


class BoxVectorEnv:
    """Boxes side by side: everything has the axes [boxes, agents].

    Box i, seeded s, equals the box `ParallelBox` seeded s + i, step by step and trial by trial. A trial is one episode; all
    agents of a box begin and end together. Observations are `{"observation": float32 [boxes, agents, view], "action_mask":
    int8 [boxes, agents, actions]}`, both within [0, 1]. Infos hold:

    * `memory_reset`: bool [boxes, agents], whoever acts for this agent must begin anew, with what it observes now;
    * `made`: int16 [boxes, agents], the item newly made in this step, or -1; where memory is reset always -1. It is left out
      with `illusions` above 0, where it would tell what is one;
    * `trial`: the flags of trials, bool [boxes] (`trial_start`, `action_ignored`, ...);
    * `metarl`, with `ground_truth=True`, one element a box;
    * `pay`, with `social`, float64 [boxes, agents]: what the world paid, of which rewards were made.

    Nothing in an info outlasts a memory reset, so that no agent can leave itself a message there. What those who watch want
    to know beside that is in `worlds`, such as `worlds["made"]`, and in `illegal`.

    With SAME_STEP, where a trial ended, `final_obs` (like an observation) and `final_info` tell of the old one; boxes that
    `_final_obs` leaves out mean nothing there. `final_info` also has `illegal`, int32 [boxes, agents]: how many actions of the
    whole trial the mask did not allow; and its `made` tells also what was made in a last step that ended a day. Rewards are
    always those of the step just taken; in a call that NEXT_STEP uses to begin a new trial they are 0.

    Args:
        box: a name, an id, or a subclass of `Box`.
        num_boxes: how many.
        autoreset_mode: as in Gymnasium; all three.
        split, max_cycles, num_tasks, ground_truth, render_mode, reveal, params: see `ParallelBox`.
        num_threads: see `FamilyVectorEnv`.
        reuse_arrays: give out the same two arrays of observations at every step instead of copies. In one step little changes
            in them, so this is the faster the more items there are. They always show the present, and cannot be written to.
        social: what learners are given in place of their own pay [default: their own pay].
    """

    def __init__(
        self,
        box: str | type[Box],
        num_boxes: int,
        *,
        autoreset_mode: AutoresetMode | str = AutoresetMode.NEXT_STEP,
        split: str | None = None,
        max_cycles: int | None = None,
        num_tasks: int | None = None,
        num_threads: int = 1,
        reuse_arrays: bool = False,
        ground_truth: bool = False,
        render_mode: str | None = None,
        reveal: bool = False,
        social: SocialPay | None = None,
        **params: Unpack[BoxParameters],
    ):
        check_render_mode(render_mode)
        self.tasks = tasks_of(box_named(box), split, max_cycles, dict(params))
        self.variant = self.tasks.variant
        # The engine's SAME_STEP begins the next trial before the last rewards could be read: here it is two calls.
        same_step = autoreset_mode in (AutoresetMode.SAME_STEP, AutoresetMode.SAME_STEP.value)
        self._envs = FamilyVectorEnv(
            self.tasks,
            num_envs=at_least_one("num_boxes", num_boxes),
            autoreset_mode=AutoresetMode.DISABLED if same_step else autoreset_mode,
            num_tasks=num_tasks,
            num_threads=num_threads,
            reuse_arrays=reuse_arrays,
            ground_truth=ground_truth,
            render_mode=render_mode,
            reveal=reveal,
            observed=False,
        )
        self.autoreset_mode = AutoresetMode.SAME_STEP if same_step else self._envs.autoreset_mode
        self.metadata = {**self._envs.metadata, "autoreset_mode": self.autoreset_mode}
        self.num_boxes, self.num_agents = self._envs.num_envs, self.variant.p.agents
        self.single_observation_space, self.single_action_space = agent_spaces(self.variant)
        self.render_mode = render_mode
        self._sight = Sight(self._envs._worlds, reuse_arrays)
        self._social = None if social is None else SocialRewards(self._envs._worlds, social)

    @property
    def worlds(self) -> np.ndarray:
        """The states of the boxes (see `boxes.world.state.box_record`): not copies, so look and leave them as they are."""
        return self._envs._worlds.worlds.view(np.ndarray)["state"]

    @property
    def illegal(self) -> np.ndarray:
        """How many actions of the running trial the mask did not allow, int32 [boxes, agents]."""
        return np.array(self.worlds["illegal"])

    def reset(
        self, *, seed: int | Sequence[int | None] | None = None, options: dict[str, Any] | None = None
    ) -> tuple[View, dict[str, Any]]:
        """Begin new trials in all boxes.

        Args:
            seed: s gives box i the seed s + i; or one for each box; None goes on with the streams there are.
            options: `reset_mask` (bool [boxes]: only these) and `task` (one for all, or one for each that is reset).
        """
        if not (options or {}).get("new_trial", True):
            raise ValueError("options['new_trial']=False: a box is one trial of one episode; days divide it, with day=...")
        _, info = self._envs.reset(seed=seed, options=options)
        seen, told = self._sight.look()
        return seen, self._info(info, told)

    def step(self, actions: np.ndarray) -> tuple[View, np.ndarray, np.ndarray, np.ndarray, dict[str, Any]]:
        """All agents of all boxes act.

        Args:
            actions: integers [boxes, agents]; where text is written, [boxes, agents, 1 + bytes] (see `boxes.world.texts`).

        Returns:
            Observations, rewards (float64 [boxes, agents]), terminated and truncated (bool [boxes]), info.

        Raises:
            ResetNeeded: before the first reset; with DISABLED, while a box is over.
            ValueError: an action is outside the space; no box has moved then.
        """
        _, _, terminated, truncated, info = self._envs.step(actions)
        observations, told = self._sight.look()
        pay, info = told.rewards, self._info(info, told)
        rewards = self._social.of(pay) if self._social else pay
        if self.autoreset_mode is AutoresetMode.SAME_STEP and (ended := terminated | truncated).any():
            ends, final = copy.deepcopy(((terminated, truncated), (observations, info)))  # the reset may use their arrays
            of_ended = ended[:, None]
            if tells_what_was_made(self.variant):
                final[1]["made"] = np.where(of_ended, self.worlds["made"], np.int16(NOTHING))
            final[1]["illegal"] = np.where(of_ended, self.worlds["illegal"], np.int32(0))
            observations, info = self.reset(options={"reset_mask": ended})
            terminated, truncated = ends
            info["final_obs"], info["final_info"] = final
            info["_final_obs"] = info["_final_info"] = ended
            if self._social:
                info["pay"] = pay  # beside the rewards, which are of the old trial too
        return observations, rewards, terminated, truncated, info

    def render(self) -> tuple[Any, ...] | None:
        """One picture or text a box, as `render_mode` says; None without one."""
        return self._envs.render()

    def close(self) -> None:
        """Shut down the thread pool."""
        self._envs.close()

    def get_state(self) -> dict[str, Any]:
        """An exact, picklable snapshot: put back by `set_state`, every later step repeats bit by bit."""
        return self._envs.get_state()

    def set_state(self, state: dict[str, Any]) -> None:
        """Go back to a snapshot of these boxes or of as many with the same parameters."""
        self._envs.set_state(state)
        self._sight.lost = True

    def _info(self, info: dict[str, Any], told: Told) -> dict[str, Any]:
        for name in ("final_obs", "_final_obs"):  # of episodes within a trial, and there are none
            del info["trial"][name]
        info["memory_reset"] = told.memory_reset
        if tells_what_was_made(self.variant):
            info["made"] = told.made
        if self._social:
            info["pay"] = told.rewards
        return info


class FlatBoxVectorEnv(VectorEnv):
    """The same boxes with one row an agent, for parameter sharing: row `box * agents + agent`.

    Rows of a box end together, and it is the box that is seeded: `seed=s` gives box i the seed s + i. A sequence of seeds
    has one element a row, as everywhere in Gymnasium, and a box takes that of its first row; a sequence of tasks has one
    element a box. A `reset_mask` has one element a row, the same for all rows of a box.
    Infos are those of `BoxVectorEnv`, one element a row; what holds for a box is repeated. Beside them `trial["final_obs"]`
    holds the last observations of the rows whose trial ended, and zeros elsewhere, as in all environments of this package:
    `{"observation": float32 [rows, view], "action_mask": int8 [rows, actions]}`.
    """

    def __init__(self, boxes: BoxVectorEnv):
        self.boxes = boxes
        self.num_envs = boxes.num_boxes * boxes.num_agents
        self.single_observation_space, self.single_action_space = boxes.single_observation_space, boxes.single_action_space
        self.observation_space = batch_space(self.single_observation_space, self.num_envs)
        self.action_space = batch_space(self.single_action_space, self.num_envs)
        self.metadata, self.render_mode = boxes.metadata, boxes.render_mode
        self.autoreset_mode = boxes.autoreset_mode
        self._everyone = np.ones(self.num_envs, np.bool_)
        self._everyone.flags.writeable = False  # infos share it
        self._blank: View = create_empty_array(self.single_observation_space, self.num_envs)  # type: ignore[assignment]

    @property
    def illegal(self) -> np.ndarray:
        """How many actions of the running trial the mask did not allow, int32 [rows]."""
        return self.boxes.illegal.reshape(-1)

    def reset(
        self, *, seed: int | Sequence[int | None] | None = None, options: dict[str, Any] | None = None
    ) -> tuple[View, dict[str, Any]]:
        """Begin new trials in all boxes, or in those of `reset_mask`."""
        if seed is not None:
            several = isinstance(seed, Sequence | np.ndarray)
            seed = as_seeds(seed, self.num_envs, "the number of rows") if several else as_seed(seed)
        super().reset(seed=seed if isinstance(seed, int) else None)
        options = dict(options or {})
        if options.get("reset_mask") is not None:
            options["reset_mask"] = self._whole_boxes(options["reset_mask"])
        if isinstance(seed, list):
            seed = seed[:: self.boxes.num_agents]
        seen, info = self.boxes.reset(seed=seed, options=options)
        rows = self._rows(seen)
        return rows, self._info(info, rows, ~self._everyone)

    def step(self, actions: np.ndarray) -> tuple[View, np.ndarray, np.ndarray, np.ndarray, dict[str, Any]]:
        """Step every row; see `BoxVectorEnv.step`. `actions` are integers [rows], rewards float64 [rows]."""
        given, of_one = np.asarray(actions), self.single_action_space.shape or ()
        if given.shape != (wanted := (self.num_envs, *of_one)):
            raise ValueError(f"actions have shape {given.shape}; {self.num_envs} rows take {wanted}")
        by_box = given.reshape(self.boxes.num_boxes, self.boxes.num_agents, *of_one)
        seen, rewards, terminated, truncated, info = self.boxes.step(by_box)
        rows, ends = self._rows(seen), (self._repeated(terminated), self._repeated(truncated))
        shown_last = ~self._everyone if self.autoreset_mode is AutoresetMode.SAME_STEP else ends[0] | ends[1]
        return rows, rewards.reshape(-1), *ends, self._info(info, rows, shown_last)

    def render(self) -> tuple[Any, ...] | None:
        """One picture or text a box, as `render_mode` says; None without one."""
        return self.boxes.render()

    def close_extras(self, **kwargs: Any) -> None:
        """Shut down the thread pool."""
        self.boxes.close()

    def get_state(self) -> dict[str, Any]:
        """An exact, picklable snapshot: put back by `set_state`, every later step repeats bit by bit."""
        return self.boxes.get_state()

    def set_state(self, state: dict[str, Any]) -> None:
        """Go back to a snapshot of these boxes or of as many with the same parameters."""
        self.boxes.set_state(state)

    def _whole_boxes(self, mask: Any) -> np.ndarray:
        """The mask of boxes that a mask of rows stands for."""
        whole = isinstance(mask, np.ndarray) and mask.dtype == np.bool_ and mask.shape == (self.num_envs,)
        rows = mask.reshape(self.boxes.num_boxes, -1) if whole else np.zeros((1, 1), np.bool_)
        if not whole or (rows != rows[:, :1]).any():
            raise ValueError(
                f"options['reset_mask'] must be a bool array of shape ({self.num_envs},), the same for the "
                f"{self.boxes.num_agents} rows of a box; got {mask!r}"
            )
        return rows[:, 0].copy()

    def _repeated(self, array: np.ndarray) -> np.ndarray:
        return np.repeat(array, self.boxes.num_agents, axis=0)

    def _rows(self, seen: View) -> View:
        return {name: array.reshape(self.num_envs, -1) for name, array in seen.items()}

    def _info(self, info: dict[str, Any], seen: View, ended: np.ndarray) -> dict[str, Any]:
        """The info of the boxes by rows. `seen` [rows] are the last observations of the trials that `ended`."""
        flat: dict[str, Any] = {name: self._repeat_all(info[name]) for name in ("trial", "metarl") if name in info}
        flat["trial"] |= {"final_obs": self._finals(seen, ended), "_final_obs": self._everyone}
        flat |= {name: info[name].reshape(-1) for name in ("memory_reset", "made", "illegal", "pay") if name in info}
        flat |= {f"_{name}": self._everyone for name in tuple(flat)}
        if "final_obs" in info:
            seen, ended = self._rows(info["final_obs"]), self._repeated(info["_final_obs"])
            flat["final_obs"], flat["final_info"] = _objects(seen, ended), self._info(info["final_info"], seen, ended)
            flat["_final_obs"] = flat["_final_info"] = ended
        return flat

    def _repeat_all(self, values: dict[str, Any]) -> dict[str, Any]:
        return {
            name: self._repeat_all(value) if isinstance(value, dict) else self._repeated(value)
            for name, value in values.items()
        }

    def _finals(self, seen: View, ended: np.ndarray) -> View:
        """What the rows of a mask see, and zeros in the others; where no trial ended the zeros are shared, and read-only."""
        if not ended.any():
            for array in self._blank.values():
                array.flags.writeable = False  # which copying an environment forgets
            return dict(self._blank)
        return {name: np.where(ended[:, None], array, array.dtype.type(0)) for name, array in seen.items()}


def _objects(seen: View, ended: np.ndarray) -> np.ndarray:
    """Final observations as Gymnasium has them: an array of objects, None where no trial ended."""
    objects = np.full(len(ended), None, dtype=object)
    for i in np.flatnonzero(ended):
        objects[i] = {name: array[i] for name, array in seen.items()}
    return objects
