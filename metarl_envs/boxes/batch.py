"""Many boxes side by side: as arrays [boxes, agents, ...], and as a Gymnasium vector environment with one row an agent."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import numpy as np
from gymnasium import spaces
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space

from metarl_envs.boxes.box import Box, view_length
from metarl_envs.boxes.sight import Sight, Told
from metarl_envs.engine.family import Variant, load_family
from metarl_envs.engine.vector import FamilyVectorEnv
from metarl_envs.task_sets import TaskSet

#: By name, where each box stands.
BOXES = {
    "InventionBox": "metarl_envs.boxes.invention:InventionBox",
    "AmnesiaBox": "metarl_envs.boxes.amnesia:AmnesiaBox",
}

View = dict[str, np.ndarray]


def make_vec(box: str | type[Box], num_boxes: int, *, flat: bool = False, **arguments: Any) -> BoxVectorEnv | FlatBoxVectorEnv:
    """Many boxes at once.

    Args:
        box: `"InventionBox"`, `"AmnesiaBox"`, their ids (`"MetaRL/InventionBox-v0"`), or a subclass of `Box`.
        num_boxes: how many.
        flat: one row an agent, as a `gymnasium.vector.VectorEnv`, instead of arrays [boxes, agents, ...].
        arguments: see `BoxVectorEnv`.

    Raises:
        TypeError, ValueError: there is no such box, or an argument is not as it must be.
    """
    made = BoxVectorEnv(box, num_boxes, **arguments)
    return FlatBoxVectorEnv(made) if flat else made


def box_named(box: str | type[Box]) -> type[Box]:
    """The box that a name, an id or a class stands for; ValueError where there is none."""
    if isinstance(box, type) and issubclass(box, Box):
        return box
    name = str(box).rpartition("/")[2].removesuffix("-v0")
    if name not in BOXES:
        raise ValueError(f"box={box!r} is no box; there are: {', '.join(BOXES)}")
    return load_family(BOXES[name])  # type: ignore[return-value]


def tasks_of(box: type[Box], split: str | None, max_cycles: int | None, params: dict[str, Any]) -> TaskSet:
    """The recipe books of a box's split. `max_cycles` is another name of `horizon`."""
    if max_cycles is not None:
        if params.get("horizon", max_cycles) != max_cycles:
            raise ValueError(
                f"max_cycles={max_cycles} contradicts horizon={params['horizon']}: they are two names of one thing"
            )
        params = {**params, "horizon": max_cycles}
    return TaskSet.of_family(box, split=split, **params)


def agent_spaces(variant: Variant) -> tuple[spaces.Dict, spaces.Discrete]:
    """Fresh spaces of one agent: what it sees (float32) with its action mask (int8), and its actions."""
    view, actions = view_length(variant.p), int(variant.action.high[0]) + 1
    seen = {"observation": spaces.Box(0.0, 1.0, (view,), np.float32), "action_mask": spaces.Box(0, 1, (actions,), np.int8)}
    return spaces.Dict(seen), spaces.Discrete(actions)


class BoxVectorEnv:
    """Boxes side by side: everything has the axes [boxes, agents].

    Box i, seeded s, equals the box `ParallelBox` seeded s + i, step by step and trial by trial. A trial is one episode; all
    agents of a box begin and end together. Observations are `{"observation": float32 [boxes, agents, view], "action_mask":
    int8 [boxes, agents, actions]}`, both within [0, 1]. Infos hold:

    * `memory_reset`: bool [boxes, agents], whoever acts for this agent must begin anew, with what it observes now;
    * `made`: int16 [boxes, agents], the item newly made in this step, or -1;
    * `illegal`: int32 [boxes, agents], how many actions of this trial the mask did not allow;
    * `trial`: the flags of trials, bool [boxes] (`trial_start`, `action_ignored`, ...);
    * `metarl`, with `ground_truth=True`, one element a box.

    With SAME_STEP, where a trial ended, `final_obs` (like an observation) and `final_info` tell of the old one; rows that
    `_final_obs` leaves out mean nothing there. Rewards are always those of the step just taken; in a call that NEXT_STEP uses
    to begin a new trial they are 0.

    Args:
        box: a name, an id, or a subclass of `Box`.
        num_boxes: how many.
        autoreset_mode: as in Gymnasium; all three.
        split, max_cycles, num_tasks, ground_truth, render_mode, reveal, params: see `ParallelBox`.
        num_threads: see `FamilyVectorEnv`.
        reuse_arrays: give out the same two arrays of observations at every step instead of copies. In one step little changes
            in them, so this is the faster the more items there are. They always show the present, and cannot be written to.
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
        **params: Any,
    ):
        self.tasks = tasks_of(box_named(box), split, max_cycles, params)
        self.variant = self.tasks.variant
        # The engine's SAME_STEP begins the next trial before the last rewards could be read: here it is two calls.
        same_step = autoreset_mode in (AutoresetMode.SAME_STEP, AutoresetMode.SAME_STEP.value)
        self._envs = FamilyVectorEnv(
            self.tasks,
            num_envs=num_boxes,
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
        self.num_boxes, self.num_agents = num_boxes, self.variant.p.agents
        self.single_observation_space, self.single_action_space = agent_spaces(self.variant)
        self.render_mode = render_mode
        self._sight = Sight(self._envs._worlds, reuse_arrays)

    @property
    def worlds(self) -> np.ndarray:
        """The states of the boxes (see `metarl_envs.boxes.box.box_record`): not copies, so look and leave them as they are."""
        return self._envs._worlds.worlds.view(np.ndarray)["state"]

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
            actions: integers [boxes, agents].

        Returns:
            Observations, rewards (float64 [boxes, agents]), terminated and truncated (bool [boxes]), info.

        Raises:
            ResetNeeded: before the first reset; with DISABLED, while a box is over.
            ValueError: an action is outside the space; no box has moved then.
        """
        _, _, terminated, truncated, info = self._envs.step(actions)
        observations, told = self._sight.look()
        rewards, info = told.rewards, self._info(info, told)
        if self.autoreset_mode is AutoresetMode.SAME_STEP and (ended := terminated | truncated).any():
            ends, final = copy.deepcopy(((terminated, truncated), (observations, info)))  # the reset may use their arrays
            observations, info = self.reset(options={"reset_mask": ended})
            terminated, truncated = ends
            info["final_obs"], info["final_info"] = final
            info["_final_obs"] = info["_final_info"] = ended
        return observations, rewards, terminated, truncated, info

    def render(self) -> tuple[Any, ...] | None:
        """One picture or text a box, as `render_mode` says; None without one."""
        return self._envs.render()

    def close(self) -> None:
        """Let the threads go."""
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
        info["memory_reset"], info["made"], info["illegal"] = told.memory_reset, told.made, told.illegal
        return info


class FlatBoxVectorEnv(VectorEnv):
    """The same boxes with one row an agent, for parameter sharing: row `box * agents + agent`.

    Rows of a box end together, and it is the box that is seeded: `seed=s` gives box i the seed s + i. A sequence of seeds
    has one element a row, as everywhere in Gymnasium, and a box takes that of its first row; a sequence of tasks has one
    element a box. A `reset_mask` has one element a row, the same for all rows of a box.
    Infos are those of `BoxVectorEnv`, one element a row; what holds for a box is repeated.
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

    def reset(
        self, *, seed: int | Sequence[int | None] | None = None, options: dict[str, Any] | None = None
    ) -> tuple[View, dict[str, Any]]:
        """Begin new trials in all boxes, or in those of `reset_mask`."""
        super().reset(seed=seed if isinstance(seed, int) else None)
        options = dict(options or {})
        if options.get("reset_mask") is not None:
            options["reset_mask"] = self._whole_boxes(options["reset_mask"])
        if seed is not None and not isinstance(seed, int):
            if len(seed) != self.num_envs:
                raise ValueError(f"seed holds {len(seed)} seeds; there are {self.num_envs} rows")
            seed = seed[:: self.boxes.num_agents]
        seen, info = self.boxes.reset(seed=seed, options=options)
        return self._rows(seen), self._info(info)

    def step(self, actions: np.ndarray) -> tuple[View, np.ndarray, np.ndarray, np.ndarray, dict[str, Any]]:
        """Step every row; see `BoxVectorEnv.step`. `actions` are integers [rows], rewards float64 [rows]."""
        given = np.asarray(actions)
        if given.shape != (self.num_envs,):
            raise ValueError(f"actions have shape {given.shape}; {self.num_envs} rows take ({self.num_envs},)")
        seen, rewards, terminated, truncated, info = self.boxes.step(given.reshape(self.boxes.num_boxes, -1))
        ends = self._repeated(terminated), self._repeated(truncated)
        return self._rows(seen), rewards.reshape(-1), *ends, self._info(info)

    def render(self) -> tuple[Any, ...] | None:
        """One picture or text a box, as `render_mode` says; None without one."""
        return self.boxes.render()

    def close_extras(self, **kwargs: Any) -> None:
        """Let the threads go."""
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

    def _info(self, info: dict[str, Any]) -> dict[str, Any]:
        flat: dict[str, Any] = {name: self._repeat_all(info[name]) for name in ("trial", "metarl") if name in info}
        flat |= {name: info[name].reshape(-1) for name in ("memory_reset", "made", "illegal")}
        flat |= {f"_{name}": self._everyone for name in tuple(flat)}
        if "final_obs" in info:
            ended = self._repeated(info["_final_obs"])
            flat["final_obs"], flat["final_info"] = self._finals(info["final_obs"], ended), self._info(info["final_info"])
            flat["_final_obs"] = flat["_final_info"] = ended
        return flat

    def _repeat_all(self, values: dict[str, Any]) -> dict[str, Any]:
        return {
            name: self._repeat_all(value) if isinstance(value, dict) else self._repeated(value)
            for name, value in values.items()
        }

    def _finals(self, seen: View, ended: np.ndarray) -> np.ndarray:
        """Final observations as Gymnasium has them: an array of objects, None where no trial ended."""
        rows, objects = self._rows(seen), np.full(self.num_envs, None, dtype=object)
        for i in np.flatnonzero(ended):
            objects[i] = {name: array[i] for name, array in rows.items()}
        return objects
