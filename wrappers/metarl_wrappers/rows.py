"""What wrappers share: a wrapper is written once, for N rows; its single form is N = 1.

A file of this package holds a subclass of `Rows` (what the wrapper does) and two short classes around it, the single
form (`RowsWrapper`) and the vector form (`VectorRowsWrapper`). Those read Gymnasium's three autoreset modes and
`info["trial"]`, so a subclass of `Rows` need not know of them. `Retell` is the same for wrappers that change only what
`info["trial"]` says.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import gymnasium as gym
import numpy as np
from gymnasium.utils import RecordConstructorArgs
from gymnasium.vector import AutoresetMode, VectorEnv, VectorWrapper
from gymnasium.vector.utils import batch_space

from metarl_wrappers.autoreset import mode_of, reset_mask, seeded_rows
from metarl_wrappers.observations import ALL, Blanks, blank, put, split, take, tree
from metarl_wrappers.order import InOrder

_ONE = np.ones(1, np.bool_)
_NONE = np.zeros(1, np.bool_)


class Told(NamedTuple):
    """What one call told of each row: bool arrays of shape (rows,).

    Attributes:
        trial_start, episode_start: the returned observation is the first of a trial, of an episode.
        terminated, truncated: how the episode ended that was running, whether or not the trial goes on.
        idle: the row made no step in this call: it was reset, or its action was ignored (NEXT_STEP).
        memory_reset: the step took the memory of the row, though its trial may go on (`info["memory_reset"]`): it was the
            last of a day in a box.
    """

    trial_start: np.ndarray
    episode_start: np.ndarray
    terminated: np.ndarray
    truncated: np.ndarray
    idle: np.ndarray
    memory_reset: np.ndarray


class Rows:
    """What a wrapper does to N rows. Hooks in the order of a call; each leaves things as they are unless overridden.

    Args:
        observation_space, action_space: of one row, as the environment below has them.
        count: N.

    Attributes:
        observation_space, action_space: of one row, as the wrapper has them.
    """

    def __init__(self, observation_space: gym.Space, action_space: gym.Space, count: int):
        self.observation_space, self.action_space, self.count = observation_space, action_space, count

    def begin(self, rows: np.ndarray, seeded: np.ndarray) -> None:
        """The rows of a bool mask were reset, those of `seeded` with a seed."""

    def act(self, actions: Any) -> Any:
        """Turn the agent's actions into the environment's."""
        return actions

    def pay(self, rewards: np.ndarray, told: Told) -> np.ndarray:
        """Turn the rewards paid (float64) into those shown. Rows without a step are shown 0, whatever is given."""
        return rewards

    def step(self, actions: Any, rewards: np.ndarray, told: Told) -> None:
        """The rows made a step; where it was ignored (`told.idle`), `start` follows at once."""

    def start(self, rows: np.ndarray) -> None:
        """A trial starts in the rows of a bool mask: draw what belongs to the trial."""

    def forget(self, rows: np.ndarray) -> None:
        """Empty the memory of the rows of a bool mask: a trial starts, or the step took it (`told.memory_reset`)."""

    def observe(self, observations: Any, rows: Any, episode_start: np.ndarray) -> Any:
        """Turn observations of some rows (an index array, or ALL) into those that the agent sees, in fresh arrays."""
        return observations

    def allow(self, masks: np.ndarray, rows: np.ndarray) -> np.ndarray:
        """Turn the action masks in the infos of some rows (an index array), shape (rows, actions), into the agent's."""
        return masks


class _Forms(InOrder):
    """What the single and the vector form share: which hooks are in use, and final observations."""

    _rows: Rows
    _same_step = False

    def _take_in(self, rows: Rows, env: gym.Env | VectorEnv) -> None:
        self._rows = rows
        self._acts = type(rows).act is not Rows.act
        self._pays = type(rows).pay is not Rows.pay
        self._allows = type(rows).allow is not Rows.allow
        self._observes = self.shows_finals = type(rows).observe is not Rows.observe
        self._takes_arrays = rows.action_space.shape is not None  # others are passed on as they are: nobody here reads them
        self._blanks = Blanks(rows.observation_space, rows.count)
        self._look_below(env)

    def _seen_at_end(self, final: Any, ended: np.ndarray) -> Any:
        """The last observations of the rows in which an episode ended, as the agent would see them; blank elsewhere."""
        if not ended.any():
            return self._blanks.shared()
        rows = np.flatnonzero(ended)
        seen = self._blanks.fresh()
        put(seen, rows, self._rows.observe(take(final, rows), rows, np.zeros(len(rows), np.bool_)))
        return seen

    def _start_and_observe(self, observations: Any, told: Told) -> Any:
        if told.trial_start.any():
            self._rows.start(told.trial_start)
            self._rows.forget(told.trial_start)
        return self._rows.observe(observations, ALL, told.episode_start) if self._observes else observations


# ------------------------------------------------------------------------------------------------ single form
class RowsWrapper(gym.Wrapper, RecordConstructorArgs, _Forms):
    """The single form of a wrapper: one row."""

    def __init__(self, env: gym.Env, make_rows: Callable[..., Rows], *arguments: Any):
        super().__init__(env)
        rows = make_rows(env.observation_space, env.action_space, 1, *arguments)
        self._take_in(rows, env)
        if rows.observation_space is not env.observation_space:
            self.observation_space = rows.observation_space
        if rows.action_space is not env.action_space:
            self.action_space = rows.action_space

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """Reset the environment."""
        observation, info = self.env.reset(seed=seed, options=options)
        if "trial" in info:
            self._check_trial(info["trial"], observation)
        self._rows.begin(_ONE, _NONE if seed is None else _ONE)
        told = _told(info, False, False, reset=True)
        if self._pays:
            info = with_truth(info, {"reward": 0.0})
        return self._finish(observation, info, told, over=False)

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        """Step the environment."""
        actions = np.asarray(action)[None] if self._takes_arrays else action
        given = _alone(self._rows.act(actions)) if self._acts else action
        observation, reward, terminated, truncated, info = self.env.step(given)
        told = _told(info, terminated, truncated, reset=False)
        if self._pays:
            info = with_truth(info, {"reward": float(reward)})
            reward = self._rows.pay(np.array([reward], np.float64), told).item()
        self._rows.step(actions, np.array([reward], np.float64), told)
        if told.memory_reset.any():
            self._rows.forget(told.memory_reset)
        observation, info = self._finish(observation, info, told, over=bool(terminated or truncated))
        return observation, reward, terminated, truncated, info

    def _finish(self, observation: Any, info: dict[str, Any], told: Told, over: bool) -> tuple[Any, dict[str, Any]]:
        if not self._observes:
            return self._start_and_observe(observation, told), self._allowed(info)
        trial, final, ended = info.get("trial"), None, False
        if trial is not None:
            ended = bool(trial["inner_terminated"] or trial["inner_truncated"])
            over = over and not trial["episode_start"]  # else a wrapper above the trials ended them between two episodes
            final = self._seen_at_end(_as_row(trial["final_obs"]), _ONE if ended else _NONE)
            info = {**info, "trial": {**trial, "final_obs": tree(np.copy, _alone(final))}}
        seen = self._start_and_observe(_as_row(observation), told)
        if ended and over:
            self._check_finals(final, seen)
        return _alone(seen), self._allowed(info)

    def _allowed(self, info: dict[str, Any]) -> dict[str, Any]:
        if not self._allows or "action_mask" not in info:
            return info
        return {**info, "action_mask": self._rows.allow(np.asarray(info["action_mask"])[None], np.zeros(1, np.int64))[0]}


def _as_row(observation: Any) -> Any:
    return tree(lambda leaf: np.asarray(leaf)[None], observation)


def _alone(batch: Any) -> Any:
    return tree(lambda leaf: leaf[0], batch)


def _told(info: dict[str, Any], terminated: bool, truncated: bool, reset: bool) -> Told:
    """What a call told of an environment; without `info["trial"]`, each episode is a trial of its own."""
    trial = info.get("trial")
    if trial is None:
        flags = reset, reset, terminated, truncated
    else:
        ends = trial["inner_terminated"], trial["inner_truncated"]
        if not any(ends):  # a wrapper above the trials may end what goes on below, as TimeLimit does
            ends = terminated, truncated
        flags = trial["trial_start"], trial["episode_start"], *ends
    memory_reset = not reset and info.get("memory_reset", False)  # a reset says nothing of a step
    return Told(*np.array([*flags, reset, memory_reset], np.bool_)[:, None])


# ------------------------------------------------------------------------------------------------ vector form
class VectorRowsWrapper(VectorWrapper, RecordConstructorArgs, _Forms):
    """The vector form of a wrapper, in all three autoreset modes."""

    def __init__(self, env: VectorEnv, make_rows: Callable[..., Rows], *arguments: Any):
        super().__init__(env)
        rows = make_rows(env.single_observation_space, env.single_action_space, env.num_envs, *arguments)
        self._take_in(rows, env)
        if rows.observation_space is not env.single_observation_space:
            self.single_observation_space = rows.observation_space
            self.observation_space = batch_space(rows.observation_space, env.num_envs)
        if rows.action_space is not env.single_action_space:
            self.single_action_space = rows.action_space
            self.action_space = batch_space(rows.action_space, env.num_envs)
        self.autoreset_mode = mode = mode_of(env)  # TorchRL does not look into `metadata`
        self._same_step, self._next_step = mode is AutoresetMode.SAME_STEP, mode is AutoresetMode.NEXT_STEP
        self._over = np.zeros(env.num_envs, np.bool_)  # NEXT_STEP: rows whose next call resets
        self._first = np.zeros(env.num_envs, np.bool_)  # rows that were shown the first observation of an episode
        self._never = _read_only(np.zeros(env.num_envs, np.bool_))

    def reset(self, *, seed: Any = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """Reset all rows, or those of `options["reset_mask"]`."""
        mask = reset_mask(options, self.num_envs)
        observations, info = self.env.reset(seed=seed, options=None if options is None else dict(options))
        self._over = self._over & ~mask
        self._rows.begin(mask, seeded_rows(seed, mask))
        trial = info.get("trial")
        if trial is not None:
            self._check_trial(trial, observations)
        starts, first = (mask, mask) if trial is None else (trial["trial_start"], trial["episode_start"])
        told = Told(starts, np.where(mask, first, self._first), self._never, self._never, mask, self._never)
        self._first = told.episode_start
        if self._pays:
            info = with_truths(info, {"reward": np.zeros(self.num_envs)})
        if self._observes:
            info = self._show_finals(info, self._never)
        seen = self._start_and_observe(observations, told)
        return seen, self._allowed(info)

    def step(self, actions: Any) -> tuple[Any, Any, Any, Any, dict[str, Any]]:
        """Step all rows."""
        rows = self._rows
        actions = np.asarray(actions) if self._takes_arrays else actions
        given = rows.act(actions) if self._acts else actions
        observations, rewards, terminated, truncated, info = self.env.step(given)
        over = terminated | truncated
        told = self._told(info, terminated, truncated, over)
        self._first = told.episode_start.copy()
        if self._pays:
            info = self._with_reward(info, rewards.astype(np.float64), over)
            rewards = rows.pay(rewards, told)
            rewards[told.idle] = 0
        rows.step(actions, rewards, told)
        if told.memory_reset.any():
            rows.forget(told.memory_reset)
        if self._allows and "final_info" in info:
            info = {**info, "final_info": self._allowed(info["final_info"])}
        if not self._observes:
            seen = self._start_and_observe(observations, told)
            return seen, rewards, terminated, truncated, self._allowed(info)
        info = self._show_finals(info, over)
        seen = self._start_and_observe(observations, told)
        info = self._allowed(info)
        if "trial" in info and not self._same_step and over.any():
            self._check_finals_of(info["trial"], seen, over)
        return seen, rewards, terminated, truncated, info

    def _told(self, info: dict[str, Any], terminated: np.ndarray, truncated: np.ndarray, over: np.ndarray) -> Told:
        idle = self._over if self._next_step else self._never
        if self._next_step:
            self._over = over
        reset = self._memory_reset(info, over) & ~idle
        trial = info.get("trial")
        if trial is None:  # each episode is a trial of its own
            starts = over if self._same_step else idle
            return Told(starts, starts, terminated, truncated, idle, reset)
        inner_terminated, inner_truncated = trial["inner_terminated"], trial["inner_truncated"]
        if self._same_step and over.any():
            old = info["final_info"]["trial"]
            inner_terminated = inner_terminated | (old["inner_terminated"] & over)
            inner_truncated = inner_truncated | (old["inner_truncated"] & over)
        silent = over & ~(inner_terminated | inner_truncated)
        if silent.any():  # something above the trials may end what goes on below, as a TimeLimit in sub-environments does
            inner_terminated, inner_truncated = inner_terminated | (terminated & silent), inner_truncated | (truncated & silent)
        return Told(trial["trial_start"], trial["episode_start"], inner_terminated, inner_truncated, idle, reset)

    def _memory_reset(self, info: dict[str, Any], over: np.ndarray) -> np.ndarray:
        """The rows whose memory the step took; in SAME_STEP `final_info` tells it of those that are over."""
        reset = self._flag(info, "memory_reset")
        if self._same_step and over.any():
            reset = np.where(over, self._flag(info.get("final_info", {}), "memory_reset"), reset)
        return reset

    def _flag(self, info: dict[str, Any], key: str) -> np.ndarray:
        return info[key].astype(np.bool_) & info.get(f"_{key}", True) if key in info else self._never

    def _allowed(self, info: dict[str, Any]) -> dict[str, Any]:
        if not self._allows or "action_mask" not in info:
            return info
        masks = info["action_mask"]
        rows = np.flatnonzero(info.get("_action_mask", np.ones(self.num_envs, np.bool_)))
        if not len(rows):
            return info
        allowed = self._rows.allow(take(masks, rows), rows)
        masks = np.zeros((self.num_envs, *allowed.shape[1:]), allowed.dtype)
        masks[rows] = allowed
        return {**info, "action_mask": masks}

    def _with_reward(self, info: dict[str, Any], paid: np.ndarray, over: np.ndarray) -> dict[str, Any]:
        info = with_truths(info, {"reward": paid})
        if self._same_step and "final_info" in info:
            info["final_info"] = with_truths(info["final_info"], {"reward": paid}, over)
        return info

    def _show_finals(self, info: dict[str, Any], over: np.ndarray) -> dict[str, Any]:
        """Give all final observations in `info` the form that the agent sees. `over`: rows whose trial ended in this step."""
        info = dict(info)
        if "trial" in info:
            info["trial"] = self._with_finals(info["trial"])
        if self._same_step and over.any():
            final = self._seen_at_end(info["final_obs"], over)
            objects = isinstance(info["final_obs"], np.ndarray) and info["final_obs"].dtype == object
            info["final_obs"] = _objects(final, over) if objects else final
            if "trial" in info.get("final_info", ()):
                trial = self._with_finals(info["final_info"]["trial"], over)
                info["final_info"] = {**info["final_info"], "trial": trial}
                self._check_finals_of(trial, final, over)
        return info

    def _with_finals(self, trial: dict[str, Any], rows: np.ndarray | bool = True) -> dict[str, Any]:
        """What is told of the trials of some rows (bool mask), with final observations as the agent sees them."""
        ended = (trial["inner_terminated"] | trial["inner_truncated"]) & rows
        return {**trial, "final_obs": self._seen_at_end(trial["final_obs"], ended)}

    def _check_finals_of(self, trial: dict[str, Any], last: Any, over: np.ndarray) -> None:
        ended = trial["inner_terminated"] | trial["inner_truncated"]
        rows = np.flatnonzero(over & ended & ~trial["episode_start"])  # no next episode has begun
        if len(rows):
            self._check_finals(take(trial["final_obs"], rows), take(last, rows))


def _objects(batch: Any, rows: np.ndarray) -> np.ndarray:
    """Some rows of a batch as Gymnasium gives `final_obs`: an array of objects, None elsewhere."""
    objects = np.full(len(rows), None, dtype=object)
    where = np.flatnonzero(rows)
    parts = take(batch, where)
    if isinstance(parts, np.ndarray):
        objects[where] = np.fromiter(parts, dtype=object, count=len(where))
    else:
        objects[where] = split(parts, len(where))
    return objects


# ------------------------------------------------------------------------------------------------ the truth beside it
def with_truth(info: dict[str, Any], truth: dict[str, Any]) -> dict[str, Any]:
    """`info` with `info["metarl_control"]`: what a control below has said already is truer, and stays."""
    return {**info, "metarl_control": {**truth, **info.get("metarl_control", {})}}


def with_truths(info: dict[str, Any], truths: dict[str, np.ndarray], rows: np.ndarray | None = None) -> dict[str, Any]:
    """The same for a vector environment; `rows` (default: all) are those that report."""
    rows = np.ones(len(next(iter(truths.values()))), np.bool_) if rows is None else rows
    info = with_truth(info, truths)
    info["metarl_control"] |= {f"_{key}": rows for key in truths}
    info["_metarl_control"] = rows
    return info


# ------------------------------------------------------------------------------------------------ wrappers of flags
class Retell(InOrder):
    """What a wrapper tells of trials: a change of `info["trial"]` that is the same for one row and for many."""

    def _retell(self, trial: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
        """The trial as it is told, and the true values of what was changed."""
        raise NotImplementedError

    def _count(self, stepped: bool, trial: dict[str, Any]) -> None:
        """Hear of a reset or a step before what it told is retold."""

    def _blank(self) -> Any:
        """What `final_obs` is where no episode ended."""
        raise NotImplementedError

    def _trial_of(self, info: dict[str, Any]) -> dict[str, Any]:
        if "trial" not in info:
            name = type(self).__name__
            raise ValueError(f"{name} found no info['trial']: wrap a Trial(env, episodes_per_trial), or a metarl_envs one")
        return info["trial"]


class RetellWrapper(gym.Wrapper, RecordConstructorArgs, Retell):
    """The single form of a wrapper of flags."""

    def __init__(self, env: gym.Env):
        super().__init__(env)
        self._look_below(env)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """Reset the environment."""
        observation, info = self.env.reset(seed=seed, options=options)
        self._check_trial(self._trial_of(info), observation)
        return observation, self._retold(info, stepped=False)

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        """Step the environment."""
        observation, reward, terminated, truncated, info = self.env.step(action)
        return observation, reward, terminated, truncated, self._retold(info, stepped=True)

    def _retold(self, info: dict[str, Any], stepped: bool) -> dict[str, Any]:
        self._count(stepped, self._trial_of(info))
        trial, truth = self._retell(self._trial_of(info))
        return with_truth({**info, "trial": trial}, truth)

    def _blank(self) -> Any:
        return blank(self.env.observation_space)


class VectorRetellWrapper(VectorWrapper, RecordConstructorArgs, Retell):
    """The vector form of a wrapper of flags."""

    def __init__(self, env: VectorEnv):
        super().__init__(env)
        self.autoreset_mode = mode_of(env)
        self._blanks = Blanks(env.single_observation_space, env.num_envs)
        self._look_below(env)

    def reset(self, *, seed: Any = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """Reset all rows, or those of `options["reset_mask"]`."""
        observations, info = self.env.reset(seed=seed, options=None if options is None else dict(options))
        self._check_trial(self._trial_of(info), observations)
        return observations, self._retold(info, stepped=False)

    def step(self, actions: Any) -> tuple[Any, Any, Any, Any, dict[str, Any]]:
        """Step all rows."""
        observations, rewards, terminated, truncated, info = self.env.step(actions)
        return observations, rewards, terminated, truncated, self._retold(info, stepped=True)

    def _retold(self, info: dict[str, Any], stepped: bool) -> dict[str, Any]:
        self._count(stepped, self._trial_of(info))
        trial, truth = self._retell(self._trial_of(info))
        info = with_truths({**info, "trial": trial}, truth)
        old = info.get("final_info")
        if old is not None and "trial" in old:
            trial, truth = self._retell(old["trial"])
            info["final_info"] = with_truths({**old, "trial": trial}, truth, info["_final_info"])
        return info

    def _blank(self) -> Any:
        return self._blanks.shared()


def _read_only(array: np.ndarray) -> np.ndarray:
    array.flags.writeable = False
    return array
