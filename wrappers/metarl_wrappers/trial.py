"""Trial: several episodes on one task, for any environment."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from gymnasium.error import ResetNeeded
from gymnasium.utils import RecordConstructorArgs
from gymnasium.vector import AutoresetMode, VectorEnv, VectorWrapper

from metarl_wrappers.arguments import as_seed, at_least, one_of
from metarl_wrappers.autoreset import as_mode, only, overlay, require_disabled, reset_mask, seeded_rows
from metarl_wrappers.callbacks import load, path_of
from metarl_wrappers.observations import Blanks, blank, put, take, tree
from metarl_wrappers.streams import TrialClock, keys_of

_ONE = np.ones(1, np.bool_)
_MEANS = ("seed", "options", "new_trial")
_TRIAL_ENDS = ("true", "terminated")


def _checked_means(keep_task: str | Callable[..., Any]) -> str:
    if keep_task in _MEANS:
        return str(keep_task)
    try:
        return path_of(keep_task, "keep_task")
    except (TypeError, ValueError) as error:
        raise type(error)(f"{error}; or else one of {', '.join(map(repr, _MEANS))}") from None


def split_options(seed: Any, options: dict[str, Any] | None, begun: bool) -> tuple[bool, dict[str, Any]]:
    """Whether a reset begins a new trial, and the options that are left.

    Raises:
        ValueError: options["new_trial"] is False beside a seed or a task.
        ResetNeeded: it is False before any trial.
    """
    rest = dict(options or {})
    if rest.pop("new_trial", True):
        return True, rest
    if seed is not None:
        raise ValueError(f"options['new_trial']=False stays in the running trial, so it cannot be given with seed={seed}")
    if rest.get("task") is not None:
        raise ValueError("options['new_trial']=False stays on the task of the trial, so it cannot be given with a task")
    if not begun:
        raise ResetNeeded("options['new_trial']=False was given before any trial: call reset() first")
    return False, rest


class Trial(gym.Wrapper, RecordConstructorArgs):
    """Several episodes on one task, in any environment: the semantics of trials that metarl_envs has by itself.

    A reset begins a trial with a new task. When an episode ends and is not the last, the next begins in the same step:
    the observation is its first, `terminated` and `truncated` are False, and `info["trial"]` says what happened. The
    last episode ends as it really does; then `reset` must follow. `reset(options={"new_trial": False})` begins the next
    episode on the same task, even after the last (the caller then owns the length).

    The task is kept by the environment's own means, `keep_task`:

    * "seed": the task follows from the seed. Every reset of a trial gets the seed of the trial, so all that it decides
      is repeated in each episode: layout, start, and noise. (`SeedTasks` below, with "new_trial", gives fresh noise.)
    * "options": the task follows from the options, or is always the same. Every reset of a trial gets the options that
      began it, and a fresh seed.
    * "new_trial": the environment keeps it itself, when reset with `options={"new_trial": False}` (`SeedTasks`,
      metarl_envs).
    * a function, or its path "module:function": called as `function(env, task)` at the start of a trial, with the seed
      of the trial as the task. Every reset of a trial then gets a fresh seed.

    The first trial after `reset(seed=s)` has seed s; later ones are mixed from s and the number of the trial, so they
    are the same whatever the agent does.

    Info:
        Those of the environment (where an episode begins in a step, those of that step with those of the reset over
        them), and `info["trial"]`, with the same keys at every reset and step:

        * `trial_start`, `episode_start` (bool): the observation is the first of a trial, of an episode.
        * `inner_terminated`, `inner_truncated` (bool): how an episode ended in this step.
        * `action_ignored` (bool): the call was NEXT_STEP's resetting one (never in the single form).
        * `final_obs`: the true last observation where an episode ended; else zeros.

    Vector form:
        `VectorTrial(env, episodes_per_trial, keep_task, trial_end, autoreset_mode="NextStep")` needs an environment
        that leaves resets to it (autoreset_mode DISABLED: it takes `reset_mask`) and offers all three modes itself. In
        SAME_STEP, `final_obs` and `final_info` hold the old trial. In NEXT_STEP a row that waits for its reset must be
        stepped below with the others; that step is thrown away. A function as `keep_task` needs sub-environments in
        this process (SyncVectorEnv). `SyncVectorEnv([lambda: Trial(...)])` also works, in every mode.

    Args:
        env: any environment.
        episodes_per_trial: at least 1.
        keep_task: see above.
        trial_end: "true" leaves terminated and truncated of the last episode as they are; "terminated" reports the end
            of the trial as termination, for objectives that must not bootstrap past it.

    Raises:
        TypeError: an argument, or the seed of a reset, has another type.
        ValueError: an argument is none of these; at reset, a seed that is negative or 2**64 or more, or
            options["new_trial"]=False beside a seed or a task.
        ResetNeeded: a step before the first reset or after the end of a trial; options["new_trial"]=False before any
            trial.

    Example:
        >>> env = Trial(gym.make("CartPole-v1"), episodes_per_trial=5, keep_task="options")
        >>> env.reset(seed=0)[1]["trial"]["trial_start"]
        True
    """

    def __init__(
        self,
        env: gym.Env,
        episodes_per_trial: int,
        keep_task: str | Callable[..., Any] = "seed",
        trial_end: str = "true",
    ):
        episodes_per_trial, keep_task = at_least("episodes_per_trial", episodes_per_trial, 1), _checked_means(keep_task)
        trial_end = one_of("trial_end", trial_end, _TRIAL_ENDS)
        RecordConstructorArgs.__init__(self, episodes_per_trial=episodes_per_trial, keep_task=keep_task, trial_end=trial_end)
        super().__init__(env)
        self._episodes, self._as_termination = episodes_per_trial, trial_end == "terminated"
        self._means = keep_task
        self._set_task = None if keep_task in _MEANS else load(keep_task, "keep_task")
        self._clock = TrialClock(1)
        self._options: dict[str, Any] = {}
        self._begun = self._live = False

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """Begin a new trial, or with `options={"new_trial": False}` the next episode of this one."""
        seed = None if seed is None else as_seed(seed)
        new_trial, rest = split_options(seed, options, self._begun)
        if new_trial:
            if seed is not None or not self._begun:
                self._clock.restart(_ONE, keys_of(seed, 1))
            else:
                self._clock.new_trial(_ONE)
            self._options = copy.deepcopy(rest)  # the caller may go on to write into its arrays
            observation, info = self._begin_trial(seed)
        else:
            observation, info = self._begin_episode()
        self._begun = self._live = True
        return observation, {**info, "trial": self._told(trial_start=new_trial, episode_start=True)}

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        """Take one step; where an episode ends that is not the last, begin the next."""
        if not self._live:
            raise ResetNeeded("step() needs a running trial: call reset() first")
        observation, reward, terminated, truncated, info = self.env.step(action)
        if not (terminated or truncated):
            return observation, reward, False, False, {**info, "trial": self._told()}
        final = copy.deepcopy(observation)  # the environment may write into its arrays when it is reset
        trial = self._told(inner_terminated=bool(terminated), inner_truncated=bool(truncated), final_obs=final)
        if self._clock.episode[0] + 1 < self._episodes:
            trial["episode_start"] = True
            observation, reset_info = self._begin_episode()
            return observation, reward, False, False, {**info, **reset_info, "trial": trial}
        self._live = False
        if self._as_termination:
            terminated, truncated = True, False
        return observation, reward, terminated, truncated, {**info, "trial": trial}

    def _begin_trial(self, seed: int | None) -> tuple[Any, dict[str, Any]]:
        if self._set_task is not None:
            self._set_task(self.env, int(self._clock.trial_seeds()[0]))
        if self._means == "new_trial":
            return self.env.reset(seed=seed, options=dict(self._options))
        return self.env.reset(seed=self._seed(), options=dict(self._options))

    def _begin_episode(self) -> tuple[Any, dict[str, Any]]:
        self._clock.episode += 1
        if self._means == "new_trial":
            observation, info = self.env.reset(options={"new_trial": False})
        else:
            observation, info = self.env.reset(seed=self._seed(), options=dict(self._options))
        return observation, _within_trial(info)

    def _seed(self) -> int:
        return int((self._clock.trial_seeds() if self._means == "seed" else self._clock.episode_seeds())[0])

    def _told(self, **told: Any) -> dict[str, Any]:
        flags = ("trial_start", "episode_start", "inner_terminated", "inner_truncated", "action_ignored")
        trial = {flag: told.get(flag, False) for flag in flags}
        return {**trial, "final_obs": told["final_obs"] if "final_obs" in told else blank(self.env.observation_space)}


class VectorTrial(VectorWrapper, RecordConstructorArgs):
    """The vector form of `Trial`; `autoreset_mode` is what it offers: "NextStep", "SameStep" or "Disabled"."""

    def __init__(
        self,
        env: VectorEnv,
        episodes_per_trial: int,
        keep_task: str | Callable[..., Any] = "seed",
        trial_end: str = "true",
        autoreset_mode: AutoresetMode | str = "NextStep",
    ):
        episodes_per_trial, keep_task = at_least("episodes_per_trial", episodes_per_trial, 1), _checked_means(keep_task)
        trial_end, mode = one_of("trial_end", trial_end, _TRIAL_ENDS), as_mode(autoreset_mode)
        RecordConstructorArgs.__init__(
            self,
            episodes_per_trial=episodes_per_trial,
            keep_task=keep_task,
            trial_end=trial_end,
            autoreset_mode=mode.value,
        )
        super().__init__(env)
        require_disabled(env, "VectorTrial")
        self._require_arrays(env.single_observation_space)
        self._episodes, self._as_termination = episodes_per_trial, trial_end == "terminated"
        self._means = keep_task
        self._set_task = None if keep_task in _MEANS else load(keep_task, "keep_task")
        if self._set_task is not None:
            self._sub_envs = sub_environments(env, "VectorTrial with a function as keep_task")
        self.autoreset_mode = mode
        self.metadata = {**env.metadata, "autoreset_mode": mode}
        count = env.num_envs
        self._clock = TrialClock(count)
        self._given: dict[int, dict[str, Any]] = {0: {}}  # options that began trials; 0: none, as when a row resets itself
        self._whose = np.zeros(count, np.int64)  # which of them began each row's trial
        self._over = np.zeros(count, np.bool_)  # rows whose trial is over
        self._blanks = Blanks(env.single_observation_space, count)
        self._begun = False

    def reset(self, *, seed: Any = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """Begin new trials, or with `new_trial=False` next episodes, in all rows or in those of `reset_mask`."""
        new_trial, rest = split_options(seed, options, self._begun)
        mask = reset_mask(rest, self.num_envs)
        rest.pop("reset_mask", None)
        if not self._begun and not mask.all():
            raise ResetNeeded("the first reset must reset every row: leave reset_mask out")
        if new_trial:
            seeded = self._start_streams(seed, mask)
            self._remember(rest, mask)
            observations, info = self._begin(mask, mask, seeded)
        else:
            observations, info = self._begin(mask, np.zeros_like(mask))
        self._begun = True
        self._over = self._over & ~mask
        trial = self._told(trial_start=mask if new_trial else None, episode_start=mask)
        return observations, self._with_trial(info, trial)

    def step(self, actions: Any) -> tuple[Any, Any, Any, Any, dict[str, Any]]:
        """Step all rows; where an episode ends that is not the last, begin the next."""
        waiting = self._waiting()
        observations, rewards, terminated, truncated, info = self.env.step(actions)
        if waiting is not None:
            rewards = np.where(waiting, 0.0, rewards)
            terminated, truncated = terminated & ~waiting, truncated & ~waiting
            info = only(info, ~waiting)
        ended = terminated | truncated
        over = ended & (self._clock.episode + 1 >= self._episodes)
        trial = self._told(inner_terminated=terminated, inner_truncated=truncated, action_ignored=waiting)
        if ended.any():
            trial["final_obs"] = self._blanks.fresh()
            put(trial["final_obs"], np.flatnonzero(ended), take(observations, np.flatnonzero(ended)))
        same_step = self.autoreset_mode is AutoresetMode.SAME_STEP and bool(over.any())
        if same_step:
            info = self._keep_old(info, trial, over)
        observations, info = self._continue(observations, info, trial, ended & ~over, over if same_step else waiting)
        self._over = np.zeros_like(over) if same_step else over
        terminated, truncated = terminated & over, truncated & over
        if self._as_termination:
            terminated, truncated = over.copy(), np.zeros_like(over)
        return observations, rewards, terminated, truncated, self._with_trial(info, trial)

    def _waiting(self) -> np.ndarray | None:
        """NEXT_STEP: the rows that this call resets. They must be stepped with the others, so they get an episode to waste."""
        if not self._begun:
            raise ResetNeeded("step() needs running trials: call reset() first")
        if not self._over.any():
            return None
        if self.autoreset_mode is AutoresetMode.DISABLED:
            raise ResetNeeded(
                f"the trials of rows {np.flatnonzero(self._over).tolist()} are over, and autoreset is disabled: call "
                "reset(options={'reset_mask': terminated | truncated}) first"
            )
        self._begin(self._over, np.zeros_like(self._over))
        return self._over

    def _continue(
        self, observations: Any, info: dict[str, Any], trial: dict[str, Any], inner: np.ndarray, new: np.ndarray | None
    ) -> tuple[Any, dict[str, Any]]:
        """Begin the next episode in the rows of `inner`, and new trials in those of `new`."""
        if new is None:
            new = np.zeros_like(inner)
        starts = inner | new
        if not starts.any():
            return observations, info
        trial["trial_start"], trial["episode_start"] = new.copy(), starts
        self._clock.new_trial(new)
        self._whose[new] = 0
        observations, reset_info = self._begin(starts, new)
        return observations, overlay(info, reset_info)

    def _keep_old(self, info: dict[str, Any], trial: dict[str, Any], over: np.ndarray) -> dict[str, Any]:
        """SAME_STEP: move what is told of the rows that are over to `final_obs` and `final_info`."""
        old = {key: tree(np.copy, value) for key, value in trial.items()}
        where = np.flatnonzero(over)
        final = np.full(self.num_envs, None, dtype=object)
        for row in where:
            final[row] = tree(lambda leaf, row=row: leaf[row].copy(), trial["final_obs"])
        put(trial["final_obs"], where, take(self._blanks.shared(), where))
        for flag in ("inner_terminated", "inner_truncated"):
            trial[flag] = trial[flag] & ~over
        moved = only(info, over)
        return {
            **only(info, ~over),
            "final_info": only(self._with_trial(moved, old), over),
            "_final_info": over,
            "final_obs": final,
            "_final_obs": over,
        }

    def _start_streams(self, seed: Any, mask: np.ndarray) -> np.ndarray:
        seeded = seeded_rows(seed, mask)
        restarted = seeded if self._begun else mask
        self._clock.restart(restarted, keys_of(seed, self.num_envs))
        self._clock.new_trial(mask & ~restarted)
        return seeded

    def _begin(self, rows: np.ndarray, new: np.ndarray, seeded: np.ndarray | None = None) -> tuple[Any, dict[str, Any]]:
        """Reset rows below: those of `new` into a new trial (counted already), the others into the next episode."""
        self._clock.episode[rows & ~new] += 1
        if self._set_task is not None:
            tasks = self._clock.trial_seeds()
            for row in np.flatnonzero(new):
                self._set_task(self._sub_envs[row], int(tasks[row]))
        seeds: Any  # Gymnasium's annotation leaves out that vector environments take lists
        if self._means == "new_trial":
            seeds = None if seeded is None else self._seeds(self._clock.trial_seeds(), seeded)
            groups = [(rows & ~new, {"new_trial": False}, None)]
            groups += [(part, options, seeds) for part, options in self._groups(rows & new)]
        else:
            clock = self._clock
            seeds = self._seeds(clock.trial_seeds() if self._means == "seed" else clock.episode_seeds(), rows)
            groups = [(part, options, seeds) for part, options in self._groups(rows)]
        observations, info = None, {}
        for part, options, seeds in groups:
            if part.any():
                observations, told = self.env.reset(seed=seeds, options={**options, "reset_mask": part})
                told = _without_trial(told)
                info = overlay(info, only(told if (part & new).any() else _within_trial(told), part))
        return observations, info

    def _groups(self, rows: np.ndarray) -> list[tuple[np.ndarray, dict[str, Any]]]:
        """The rows of a mask in groups that share options."""
        return [(rows & (self._whose == number), self._given[number]) for number in np.unique(self._whose[rows]).tolist()]

    def _remember(self, options: dict[str, Any], rows: np.ndarray) -> None:
        number = max(self._given) + 1 if options else 0
        self._whose[rows] = number
        in_use = {0, *np.unique(self._whose).tolist()} - {number}
        self._given = {**{old: self._given[old] for old in in_use}, number: copy.deepcopy(options)}

    def _seeds(self, seeds: np.ndarray, rows: np.ndarray) -> list[int | None]:
        """Python integers for the rows of a mask, None for the others, as Gymnasium wants them."""
        listed: list[int | None] = [None] * self.num_envs
        for row, seed in zip(np.flatnonzero(rows).tolist(), seeds[rows].tolist(), strict=True):
            listed[row] = seed
        return listed

    def _told(self, **told: np.ndarray | None) -> dict[str, Any]:
        """`info["trial"]` without masks, in fresh arrays."""
        flags = ("trial_start", "episode_start", "inner_terminated", "inner_truncated", "action_ignored")
        never = np.zeros(self.num_envs, np.bool_)
        given = {flag: told.get(flag) for flag in flags}
        trial: dict[str, Any] = {flag: (never if value is None else value).copy() for flag, value in given.items()}
        return {**trial, "final_obs": self._blanks.shared()}

    def _with_trial(self, info: dict[str, Any], trial: dict[str, Any]) -> dict[str, Any]:
        everyone = np.ones(self.num_envs, np.bool_)
        masks = {f"_{key}": everyone for key in trial}
        return {**_without_trial(info), "trial": {**trial, **masks}, "_trial": everyone}

    @staticmethod
    def _require_arrays(space: gym.Space) -> None:
        parts = space.spaces.values() if isinstance(space, spaces.Dict) else (space,)
        if not all(isinstance(part, (spaces.Box, spaces.Discrete, spaces.MultiDiscrete, spaces.MultiBinary)) for part in parts):
            raise ValueError(
                f"VectorTrial needs observations that are arrays, or a flat Dict of arrays; they are {space}. Use "
                "SyncVectorEnv([lambda: Trial(...), ...]), or for MiniGrid wrap in VectorMiniGridObservation first"
            )


def sub_environments(env: VectorEnv, who: str) -> list[gym.Env]:
    """The sub-environments of a vector environment in this process.

    Raises:
        ValueError: it has none.
    """
    envs = getattr(env.unwrapped, "envs", None)
    if envs is None:
        raise ValueError(f"{who} needs sub-environments in this process, as SyncVectorEnv has them; {env} has none")
    return envs


def _without_trial(info: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in info.items() if key not in ("trial", "_trial")}


def _within_trial(info: dict[str, Any]) -> dict[str, Any]:
    """What a reset tells within a trial. That it takes an agent's memory is not meant there: only a step can."""
    return {key: value for key, value in info.items() if key not in ("memory_reset", "_memory_reset")}
