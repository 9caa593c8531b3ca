"""SeedTasks: an environment that is laid out by its seed, as a distribution of tasks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.utils import RecordConstructorArgs
from gymnasium.utils.seeding import np_random
from gymnasium.vector import VectorEnv, VectorWrapper

from metarl_wrappers.arguments import as_flag, as_seed, at_least, one_of
from metarl_wrappers.autoreset import mode_of, require_disabled, reset_mask, seeded_rows
from metarl_wrappers.callbacks import load, path_of
from metarl_wrappers.streams import TrialClock, below, keys_of, mix
from metarl_wrappers.trial import split_options, sub_environments

_ONE = np.ones(1, np.bool_)
_SPLITS = (None, "train", "validation", "test")
_IS_TEST, _NOISE, _IS_VALIDATION = 0, 1, 2  # what mixed bits are for


def in_split(seeds: np.ndarray, split: str | None) -> np.ndarray:
    """Whether task seeds (any integers) belong to a split: one in five is "test", one in five of the others "validation".

    The rest are "train". A pure function of the seed, so that no seed is in two, whoever asks. None holds all.
    """
    if split is None:
        return np.ones(np.shape(seeds), np.bool_)
    test, held_back = (below(mix(np.asarray(seeds).astype(np.uint64), what), 5) == 0 for what in (_IS_TEST, _IS_VALIDATION))
    return {"test": test, "validation": held_back & ~test, "train": ~held_back & ~test}[split]


def frozen_lake_map(env: gym.Env, task: int) -> None:
    """Give a FrozenLake environment the random map of a task: a `make_task` for `SeedTasks`.

    FrozenLake's seed decides how the ice slips, never the map, which is fixed when the environment is made. The new
    map has the same size; `is_slippery` and the other arguments stay.
    """
    from gymnasium.envs.toy_text.frozen_lake import FrozenLakeEnv, generate_random_map

    lake = env.unwrapped
    if not isinstance(lake, FrozenLakeEnv) or lake.spec is None or lake.nrow != lake.ncol:
        raise ValueError(f"frozen_lake_map needs a square FrozenLake made by gymnasium.make; it is {lake}")
    space = lake.observation_space, lake.action_space
    desc = generate_random_map(size=lake.nrow, seed=task)
    FrozenLakeEnv.__init__(lake, **{**lake.spec.kwargs, "desc": desc, "render_mode": lake.render_mode})
    lake.observation_space, lake.action_space = space


def _plain(split: Any, num_tasks: Any, make_task: Any, fresh_noise: Any, ground_truth: Any) -> tuple[Any, ...]:
    """Return the arguments of the constructors checked, and as plain Python."""
    return (
        one_of("split", split, _SPLITS),
        None if num_tasks is None else at_least("num_tasks", num_tasks, 1),
        None if make_task is None else path_of(make_task, "make_task"),
        as_flag("fresh_noise", fresh_noise),
        as_flag("ground_truth", ground_truth),
    )


class _Tasks:
    """Which task each row is on, and the noise of each of its episodes."""

    def __init__(
        self,
        count: int,
        split: str | None,
        num_tasks: int | None,
        make_task: str | None,
        fresh_noise: bool,
        ground_truth: bool,
    ):
        self.split = split
        self.few = None if num_tasks is None else _first_seeds(split, num_tasks)
        self.make = None if make_task is None else load(make_task, "make_task")
        self.fresh_noise, self.truth = fresh_noise, ground_truth
        self.clock = TrialClock(count)
        self.task = np.zeros(count, np.int64)

    def begin(self, rows: np.ndarray, keys: np.ndarray, seeded: np.ndarray, task: Any) -> None:
        """New tasks in the rows of a mask; streams start anew in those of `seeded`. `task`: given ones, or None."""
        given = None if task is None else _checked(task, int(rows.sum()))
        self.clock.restart(seeded, keys)
        self.clock.new_trial(rows & ~seeded)
        self.task[rows] = self._drawn(rows) if given is None else given

    def make_tasks(self, envs: list[gym.Env], rows: np.ndarray) -> None:
        """Where tasks are made by a function: call it for the environments of the rows of a mask."""
        if self.make is not None:
            for row in np.flatnonzero(rows).tolist():
                self.make(envs[row], int(self.task[row]))

    def seeds(self) -> list[int]:
        """What to reset each row with: its task; or, where the task is made otherwise, the noise."""
        return (self.task if self.make is None or not self.fresh_noise else self._noise()).tolist()

    def renew_noise(self, envs: list[gym.Env], rows: np.ndarray) -> None:
        """After resets by the tasks' seeds: give the environments noise that depends on the episode."""
        if self.fresh_noise and self.make is None:
            seeds = self._noise()
            for row in np.flatnonzero(rows).tolist():
                envs[row].np_random = np_random(int(seeds[row]))[0]

    def _noise(self) -> np.ndarray:
        return (mix(self.clock.key, self.clock.trial, self.clock.episode, _NOISE) >> np.uint64(33)).astype(np.int64)

    def _drawn(self, rows: np.ndarray) -> np.ndarray:
        key, trial = self.clock.key[rows], self.clock.trial[rows]
        if self.few is not None:
            return self.few[below(mix(key, trial), len(self.few))]
        tasks = np.full(len(key), -1)
        attempt = 0
        while (tasks < 0).any():
            tried = (mix(key, trial, attempt) >> np.uint64(33)).astype(np.int64)
            tasks = np.where((tasks < 0) & in_split(tried, self.split), tried, tasks)
            attempt += 1
        return tasks


def _first_seeds(split: str | None, count: int) -> np.ndarray:
    """The first seeds of a split, counting from 0."""
    seeds = np.flatnonzero(in_split(np.arange(12 * count + 200), split))
    return seeds[:count]


def _checked(task: Any, count: int) -> np.ndarray:
    tasks = np.asarray(task)
    message = f"options['task']={task!r} must be an integer of at least 0 and below 2**63 (or one for each of {count} rows)"
    whole = tasks.dtype.kind in "iu" or (tasks.dtype.kind == "O" and all(type(one) is int for one in tasks.flat))
    if not whole:
        raise TypeError(message)
    if tasks.shape not in ((), (count,)) or (tasks < 0).any() or (tasks >= 2**63).any():
        raise ValueError(message)
    return np.broadcast_to(tasks.astype(np.int64), count)


class SeedTasks(gym.Wrapper, RecordConstructorArgs):
    """Any environment that is laid out by its seed becomes a distribution of tasks, split into train, validation and test.

    A task is a seed. Every reset draws one from the split and resets the environment with it; with `options={"task":
    seed}` it is that one, with `options={"new_trial": False}` the same as before. So `Trial(SeedTasks(env), k,
    keep_task="new_trial")` keeps the task for k episodes.

    A seed belongs to "train" (64 %), "validation" (16 %) or "test" by a hash of itself alone, so they are disjoint whatever
    seeds anyone resets with. Draws depend on the seed given to `reset` and the number of the trial only.

    Noise: reset with the same seed, most environments repeat their noise as well (FrozenLake slips at the same steps in
    each episode). So after each reset the environment gets a new `np_random`, which depends on the episode.
    `fresh_noise=False` leaves it.

    What truly follows from the seed must be looked up for each environment. In MiniGrid and BabyAI it is all of the
    layout, the start and the mission. FrozenLake's map does not: it is fixed when the environment is made. For such,
    `make_task` is a function, or its path "module:function", called as `function(env, task)` before the reset;
    `metarl_wrappers.seed_tasks:frozen_lake_map` is one. The reset itself then gets a fresh seed each episode.

    Info:
        `info["metarl"]["task"]` (int64), only with `ground_truth=True`.

    Vector form:
        `VectorSeedTasks` needs an environment with autoreset_mode DISABLED and stays so; put `VectorTrial` above it for
        the other modes. `fresh_noise` and `make_task` need sub-environments in this process (SyncVectorEnv).
        options["task"] may hold one task for each row that is reset.

    Args:
        env: any environment.
        split: None (all seeds), "train", "validation" (to choose settings by) or "test".
        num_tasks: None (31-bit seeds), or a number: the first so many seeds of the split, from 0 on, all with the same
            chance.
        make_task: see above.
        fresh_noise: see above.
        ground_truth: tell the task in `info["metarl"]`.

    Raises:
        TypeError: an argument, or the seed or task of a reset, has another type.
        ValueError: an argument is none of these; at reset, a task that is negative or 2**63 or more, a seed that is
            negative or 2**64 or more, or new_trial=False beside a seed or a task.
        ResetNeeded: new_trial=False before any task.

    Example:
        >>> env = MiniGridObservation(gym.make("minigrid:MiniGrid-FourRooms-v0"))
        >>> env = Trial(SeedTasks(env, split="train"), episodes_per_trial=5, keep_task="new_trial")
    """

    def __init__(
        self,
        env: gym.Env,
        split: str | None = None,
        num_tasks: int | None = None,
        make_task: str | Callable[..., Any] | None = None,
        fresh_noise: bool = True,
        ground_truth: bool = False,
    ):
        split, num_tasks, make_task, fresh_noise, ground_truth = _plain(split, num_tasks, make_task, fresh_noise, ground_truth)
        RecordConstructorArgs.__init__(
            self,
            split=split,
            num_tasks=num_tasks,
            make_task=make_task,
            fresh_noise=fresh_noise,
            ground_truth=ground_truth,
        )
        super().__init__(env)
        self._tasks = _Tasks(1, **self._saved_kwargs)
        self._begun = False

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """Begin on a new task, on the one in `options["task"]`, or with `new_trial=False` on the same again."""
        seed = None if seed is None else as_seed(seed)
        new, rest = split_options(seed, options, self._begun)
        tasks = self._tasks
        if new:
            tasks.begin(_ONE, keys_of(seed, 1), _ONE if seed is not None or not self._begun else ~_ONE, rest.pop("task", None))
            tasks.make_tasks([self.env], _ONE)
        else:
            tasks.clock.episode += 1
        self._begun = True
        observation, info = self.env.reset(seed=tasks.seeds()[0], options=rest)
        tasks.renew_noise([self.env], _ONE)
        return observation, self._with_truth(info)

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        """Step the environment."""
        observation, reward, terminated, truncated, info = self.env.step(action)
        return observation, reward, terminated, truncated, self._with_truth(info)

    def _with_truth(self, info: dict[str, Any]) -> dict[str, Any]:
        return {**info, "metarl": {"task": self._tasks.task[0]}} if self._tasks.truth else info


class VectorSeedTasks(VectorWrapper, RecordConstructorArgs):
    """The vector form of `SeedTasks`, for environments with autoreset_mode DISABLED."""

    def __init__(
        self,
        env: VectorEnv,
        split: str | None = None,
        num_tasks: int | None = None,
        make_task: str | Callable[..., Any] | None = None,
        fresh_noise: bool = True,
        ground_truth: bool = False,
    ):
        split, num_tasks, make_task, fresh_noise, ground_truth = _plain(split, num_tasks, make_task, fresh_noise, ground_truth)
        RecordConstructorArgs.__init__(
            self,
            split=split,
            num_tasks=num_tasks,
            make_task=make_task,
            fresh_noise=fresh_noise,
            ground_truth=ground_truth,
        )
        super().__init__(env)
        require_disabled(env, "VectorSeedTasks")
        self.autoreset_mode = mode_of(env)
        self._sub_envs: list[gym.Env] = []  # none where resets need none
        if fresh_noise or make_task is not None:
            self._sub_envs = sub_environments(env, "VectorSeedTasks with fresh_noise or make_task")
        self._tasks = _Tasks(env.num_envs, **self._saved_kwargs)
        self._begun = False

    def reset(self, *, seed: Any = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """Begin on new tasks, in all rows or in those of `reset_mask`; options as in the single form."""
        new, rest = split_options(seed, options, self._begun)
        mask = reset_mask(rest, self.num_envs)
        tasks = self._tasks
        if new:
            seeded = seeded_rows(seed, mask)
            tasks.begin(mask, keys_of(seed, self.num_envs), seeded if self._begun else mask, rest.pop("task", None))
            tasks.make_tasks(self._sub_envs, mask)
        else:
            tasks.clock.episode[mask] += 1
        self._begun = True
        seeds: Any = tasks.seeds()  # Gymnasium's annotation leaves out that vector environments take lists
        observations, info = self.env.reset(seed=seeds, options={**rest, "reset_mask": mask})
        tasks.renew_noise(self._sub_envs, mask)
        return observations, self._with_truth(info)

    def step(self, actions: Any) -> tuple[Any, Any, Any, Any, dict[str, Any]]:
        """Step all rows."""
        observations, rewards, terminated, truncated, info = self.env.step(actions)
        return observations, rewards, terminated, truncated, self._with_truth(info)

    def _with_truth(self, info: dict[str, Any]) -> dict[str, Any]:
        if not self._tasks.truth:
            return info
        everyone = np.ones(self.num_envs, np.bool_)
        return {**info, "metarl": {"task": self._tasks.task.copy(), "_task": everyone}, "_metarl": everyone}
