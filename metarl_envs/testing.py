"""Checks that families and vector environments keep the contract, for the tests of this package and of yours.

    from metarl_envs.testing import check_family, check_vector_env

    def test_maze():
        check_family("my_package:Mine/Maze-v0", size=5)
        check_vector_env("my_package:Mine/Maze-v0", size=5, horizon=10)

`FAMILY_CHECKS` and `VECTOR_CHECKS` hold the single checks, so that a test can be parametrised over them. Each raises
an AssertionError that says what is wrong and what would be right. `python -m metarl_envs.testing ID [PARAMS AS JSON]`
prints the hash of a run of whole trials; it is the same in every process, compiled and plain.
"""

from __future__ import annotations

import copy
import hashlib
import inspect
import json
import os
import pickle
import re
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.error import ResetNeeded
from gymnasium.utils.env_checker import check_env
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space

from metarl_envs.catalogue import HEADINGS
from metarl_envs.engine.kernels import PLAIN

_FLAGS = ("trial_start", "episode_start", "inner_terminated", "inner_truncated", "action_ignored")
_EPISODES = 3


def check_family(id: str, **params: Any) -> None:
    """Run every check of `FAMILY_CHECKS` on a registered family.

    Args:
        id: as `gymnasium.make` takes it. Processes are started, so an id outside this package needs its module in
            front: `"my_package:Mine/Maze-v0"`.
        params: the family's parameters. A shorter `horizon` makes the checks faster.

    Raises:
        AssertionError: what is wrong, and what would be right.
    """
    for check in FAMILY_CHECKS:
        check(id, params)


def check_vector_env(
    id_or_factory: str | Callable[..., VectorEnv],
    *,
    single: Callable[[], gym.Env] | None = None,
    num_envs: int = 3,
    steps: int = 200,
    modes: Sequence[AutoresetMode] = tuple(AutoresetMode),
    **params: Any,
) -> None:
    """Run every check of `VECTOR_CHECKS` on a vector environment, in each autoreset mode.

    It may be any `gymnasium.vector.VectorEnv`. Where `info` holds no `trial`, what concerns trials is left out.

    Args:
        id_or_factory: an id for `gymnasium.make_vec`, or `factory(num_envs=..., autoreset_mode=...)`.
        single: makes the single environment that row i, seeded s, must equal when that is seeded s + i. Left out, it is
            `gymnasium.make` of the id; a factory without it is not compared.
        num_envs: the number of rows.
        steps: how long each check runs. At least one trial must end in that time.
        modes: the autoreset modes to check.
        params: given to `gymnasium.make_vec` and `gymnasium.make` along with an id, or to the factory.

    Raises:
        AssertionError: what is wrong, and what would be right.
    """
    if isinstance(id_or_factory, str):
        single = single or partial(gym.make, id_or_factory, **params)
        factory = partial(gym.make_vec, id_or_factory, **params)
    else:
        factory = partial(id_or_factory, **params)
    for mode in modes:
        for check in VECTOR_CHECKS:
            check(VectorSubject(factory, single, num_envs, steps, mode))


# ------------------------------------------------------------------------------------------------- runs
def trajectory_hash(id: str, **params: Any) -> str:
    """The hash of everything that two trials of three episodes return, and of their tasks; seeds and actions are fixed."""
    env = _env(id, params, episodes_per_trial=_EPISODES)
    digest = hashlib.sha256()
    obs, info = env.reset(seed=11)
    _feed(digest, [obs, info, _running_task(env)])
    for event in _go_on(env, _actions(env.action_space, 2 * _length(env))):
        _feed(digest, event)
        if event[-1]["trial"]["trial_start"]:
            _feed(digest, _running_task(env))
    return digest.hexdigest()


def _running_task(env: Any) -> dict[str, Any]:
    """The fields of the hidden task of a single environment without a pool of tasks."""
    task = env.get_state()["task_rows"][0]
    return {name: task[name] for name in task.dtype.names}


def _env(id: str, params: dict[str, Any], **arguments: Any) -> Any:
    """The environment itself, without Gymnasium's wrappers."""
    return gym.make(id, **arguments, **params).unwrapped


def _feed(digest: Any, value: Any) -> None:
    """Hash a return value by what it says, whatever container says it."""
    if isinstance(value, dict):
        for key in sorted(value):
            digest.update(key.encode())
            _feed(digest, value[key])
    elif isinstance(value, tuple | list):
        for part in value:
            _feed(digest, part)
    else:
        array = np.asarray(value)
        digest.update(f"{array.dtype.str}{array.shape}".encode() + array.tobytes())


def _actions(space: gym.Space, count: int, seed: int = 5) -> list[Any]:
    """`count` random actions; the space's own generator stays as it is."""
    space = copy.deepcopy(space)
    space.seed(seed)
    return [space.sample() for _ in range(count)]


def _run(env: gym.Env, actions: Sequence[Any], **reset: Any) -> list[tuple]:
    """Everything that a run returns: (obs, reward, terminated, truncated, info), resets included."""
    obs, info = env.reset(**reset)
    return [(obs, 0.0, False, False, info), *_go_on(env, actions)]


def _go_on(env: gym.Env, actions: Sequence[Any]) -> Iterator[tuple]:
    """Step through the actions, with a plain reset where a trial ends."""
    for action in actions:
        result = env.step(action)
        yield result
        if result[2] or result[3]:
            obs, info = env.reset()
            yield obs, 0.0, False, False, info


def _same(a: Any, b: Any) -> bool:
    """Whether two return values say the same, bit by bit."""
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(_same(a[key], b[key]) for key in a)
    if isinstance(a, tuple | list) and isinstance(b, tuple | list):
        return len(a) == len(b) and all(map(_same, a, b))
    a, b = np.asarray(a), np.asarray(b)
    if a.dtype == object or b.dtype == object:
        return a.shape == b.shape and all(map(_same, a.tolist(), b.tolist()))
    return np.array_equal(a, b, equal_nan=a.dtype.kind == b.dtype.kind == "f")


def _first_difference(one: Sequence[Any], other: Sequence[Any]) -> int | None:
    """Where two runs differ first, or None."""
    if len(one) != len(other):
        return min(len(one), len(other))
    return next((i for i, (a, b) in enumerate(zip(one, other, strict=True)) if not _same(a, b)), None)


def _assert_same_run(one: Sequence[Any], other: Sequence[Any], why: str) -> None:
    at = _first_difference(one, other)
    assert at is None, f"{why}: event {at} was {one[at]} in one run and {other[at]} in the other"


def _refuses(call: Callable[[], Any], errors: type[Exception] | tuple[type[Exception], ...], what: str) -> None:
    """Assert that a call raises one of the errors."""
    try:
        call()
    except errors:
        return
    names = errors.__name__ if isinstance(errors, type) else " or ".join(error.__name__ for error in errors)
    raise AssertionError(f"{what} must raise {names}; it raised nothing")


def _length(env: Any) -> int:
    """Steps within which a trial of `_EPISODES` episodes ends."""
    return _EPISODES * env.variant.horizon


def _some_tasks(id: str, params: dict[str, Any], count: int) -> np.ndarray:
    """Up to `count` different tasks of a family."""
    tasks = _env(id, params).tasks
    return tasks.rows(min(count, len(tasks)) if tasks.is_finite else count)


def _on_tasks(id: str, params: dict[str, Any], tasks: np.ndarray, **arguments: Any) -> tuple[Any, np.ndarray]:
    """A vector environment with one row a task, all rows on the same random numbers, and its first observations."""
    envs: Any = gym.make_vec(id, num_envs=len(tasks), **arguments, **params)
    return envs, envs.reset(seed=[3] * len(tasks), options={"task": tasks})[0]


# ------------------------------------------------------------------------------------------------- families
def check_reference_page(id: str, params: dict[str, Any]) -> None:
    """The family's own docstring has every heading of `HEADINGS`, in order, and explains every parameter."""
    family = _env(id, params).variant.family
    page = inspect.cleandoc(vars(family).get("__doc__") or "")
    assert page, f"{family.__name__} has no docstring of its own: write its reference page"
    found = [heading for heading in re.findall(r"^(\S.*):$", page, re.MULTILINE) if heading in HEADINGS]
    assert found == list(HEADINGS), (
        f"the reference page of {family.__name__} has the headings {found}; it must have {list(HEADINGS)}"
    )
    section = page.split("\nParameters:\n")[1].split("\nSplits:\n")[0]
    missing = [name for name in family.params.parameters if not re.search(rf"\b{name}\b[^.:]*:", section)]
    assert not missing, f"under Parameters, the reference page of {family.__name__} lacks a `name: meaning` for {missing}"


def check_gymnasium(id: str, params: dict[str, Any]) -> None:
    """`gymnasium.utils.env_checker.check_env` has nothing to say, not even a warning.

    But for two recommendations about spaces that Gymnasium's own CartPole and Pendulum do not follow either.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.filterwarnings("ignore", ".*Box observation space (minimum|maximum) value is -?infinity")
        warnings.filterwarnings("ignore", ".*we recommend using a symmetric and normalized space")
        check_env(_env(id, params))


def check_processes(id: str, params: dict[str, Any]) -> None:
    """Whole trials are the same in this process, in one with another `PYTHONHASHSEED`, and in plain mode."""
    command = [sys.executable, "-m", "metarl_envs.testing", id, json.dumps(params)]
    settings = {
        "another process": {"PYTHONHASHSEED": "1"},
        "plain mode": {"PYTHONHASHSEED": "2", "NUMBA_DISABLE_JIT": "1"},
    }
    started = {
        name: subprocess.Popen(
            command, env={**os.environ, **changed}, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        for name, changed in settings.items()
    }
    here = trajectory_hash(id, **params)
    for name, process in started.items():
        out, error = process.communicate()
        assert process.returncode == 0, f"{id} failed in {name}:\n{error}"
        assert out.split()[-1] == here, f"the same seed gives another trajectory of {id} in {name} than in this process"


def check_interleaving(id: str, params: dict[str, Any]) -> None:
    """Environments share nothing: stepped in turn, each goes as it goes alone, and samples actions as it does alone."""
    alone, one, other = (_env(id, params, episodes_per_trial=_EPISODES) for _ in range(3))
    actions = _actions(alone.action_space, _length(alone))
    expected = _run(alone, actions, seed=1)
    one.reset(seed=99)
    got = _run(one, actions[:1], seed=1)
    _run(other, actions, seed=2)
    got += _go_on(one, actions[1:])
    _assert_same_run(expected, got, f"two environments of {id} disturb one another")
    one.action_space.seed(0)
    first = [one.action_space.sample() for _ in range(8)]
    one.action_space.seed(0)
    other.action_space.seed(1)
    assert _same(first, [(one.action_space.sample(), other.action_space.sample())[0] for _ in range(8)]), (
        f"two environments of {id} share one action space, and so its generator: give each a copy"
    )


def check_no_shared_memory(id: str, params: dict[str, Any]) -> None:
    """Nothing that `reset` and `step` return is returned again: neither an array's memory nor a dict."""
    env = _env(id, params, episodes_per_trial=_EPISODES, ground_truth=True)
    _assert_nothing_shared(_run(env, _actions(env.action_space, 2 * _length(env))[:50], seed=0), id)


def check_spaces(id: str, params: dict[str, Any]) -> None:
    """Every observation lies in the space, with its dtype, and rewards are finite floats."""
    env = _env(id, params, episodes_per_trial=_EPISODES)
    for obs, reward, *_, info in _run(env, _actions(env.action_space, 2 * _length(env)), seed=0):
        for name, seen in {"observation": obs, "final_obs": info["trial"]["final_obs"]}.items():
            assert np.asarray(seen).dtype == env.observation_space.dtype, (
                f"{name} of {id} has dtype {np.asarray(seen).dtype}; the space has {env.observation_space.dtype}"
            )
        assert env.observation_space.contains(obs), f"{id} returned {obs!r}, outside {env.observation_space}"
        assert isinstance(reward, float), f"{id} paid {reward!r}; a reward is a Python float"
        assert np.isfinite(reward), f"{id} paid {reward!r}; a reward is finite"


def check_trial_contract(id: str, params: dict[str, Any]) -> None:
    """Flags, `terminated` and `truncated` of a single environment are as the table of trials wants them."""
    for trial_end in ("true", "terminated"):
        env = _env(id, params, episodes_per_trial=_EPISODES, trial_end=trial_end)
        actions = iter(_actions(env.action_space, 2 * _length(env)))
        for trial in range(2):
            _, info = env.reset(seed=4 if trial == 0 else None)
            _assert_flags(info, {"trial_start", "episode_start"}, f"{id}: reset to a new trial")
            for episode in range(_EPISODES):
                _check_episode(env, actions, last=episode == _EPISODES - 1, trial_end=trial_end)


def _check_episode(env: Any, actions: Iterator[Any], last: bool, trial_end: str) -> None:
    """One episode, from its first step to its last."""
    horizon = env.variant.horizon
    inner: set[str] = set()
    for t in range(1, horizon + 1):
        obs, _, terminated, truncated, info = env.step(next(actions))
        inner = {name for name in ("inner_terminated", "inner_truncated") if info["trial"][name]}
        if inner:
            break
        _assert_flags(info, set(), f"step {t} inside an episode")
        ends = (terminated, truncated)
        assert ends == (False, False), f"step {t}, inside an episode, gave (terminated, truncated) = {ends}"
    assert len(inner) == 1, f"after {t} of {horizon} steps the inner flags are {inner}: an episode ends in one way"
    assert ("inner_truncated" in inner) <= (t == horizon), f"an episode was truncated after {t} steps; horizon={horizon}"
    _assert_flags(
        info, inner if last else inner | {"episode_start"}, f"the end of {'the last' if last else 'an inner'} episode"
    )
    as_terminated = "inner_terminated" in inner or trial_end == "terminated"
    expected = (as_terminated, not as_terminated) if last else (False, False)
    assert (terminated, truncated) == expected, (
        f"trial_end={trial_end!r}: an episode that ended with {inner} gave (terminated, truncated) = "
        f"{(terminated, truncated)}; it must be {expected}"
    )
    if last:
        assert _same(obs, info["trial"]["final_obs"]), (
            f"the last step returned {obs}, final_obs {info['trial']['final_obs']}: both are the true last observation"
        )


def _assert_flags(info: dict[str, Any], expected: set[str], where: str) -> None:
    raised = {name for name in _FLAGS if info["trial"][name]}
    assert raised == expected, f"{where}: info['trial'] raises {raised or 'no flag'}; it must raise {expected or 'none'}"


def check_last_step(id: str, params: dict[str, Any]) -> None:
    """An episode that terminates on the last step of its horizon is not truncated too."""
    shortest = _env(id, params).variant.family.params.parameters["horizon"].low
    envs = gym.make_vec(id, num_envs=256, autoreset_mode=AutoresetMode.SAME_STEP, **{**params, "horizon": shortest})
    envs.reset(seed=0)
    envs.action_space.seed(0)
    for _ in range(50):
        _, _, terminated, truncated, _ = envs.step(envs.action_space.sample())
        assert not (terminated & truncated).any(), f"{id}: with horizon={shortest}, an episode terminated and was truncated"


def check_next_episodes(id: str, params: dict[str, Any]) -> None:
    """A trial of three episodes is three episodes joined by `new_trial=False`; its `final_obs` are their last ones."""
    joined = _env(id, params, episodes_per_trial=_EPISODES)
    parts = _env(id, params)
    first, _ = joined.reset(seed=8)
    assert _same(first, parts.reset(seed=8)[0]), f"the first observation of {id} depends on episodes_per_trial"
    for action in _actions(joined.action_space, _length(joined)):
        obs, reward, terminated, truncated, info = joined.step(action)
        last_obs, *rest, _ = parts.step(action)
        inner = info["trial"]["inner_terminated"], info["trial"]["inner_truncated"]
        assert _same([reward, *inner], rest), f"{id}: (reward, ends) are {[reward, *inner]} in a long trial, else {rest}"
        if terminated or truncated:
            return
        expected = last_obs
        if any(inner):
            assert _same(info["trial"]["final_obs"], last_obs), f"{id}: final_obs is not the true last observation {last_obs}"
            expected, _ = parts.reset(options={"new_trial": False})
        assert _same(obs, expected), f"{id}: a long trial returned {obs} where new_trial=False leads to {expected}"


def check_refusals(id: str, params: dict[str, Any]) -> None:
    """`step` without a running trial, and a `new_trial=False` that contradicts its company, raise."""
    env = _env(id, params)
    actions = _actions(env.action_space, _length(env))
    _refuses(lambda: env.step(actions[0]), ResetNeeded, f"{id}: step() before reset()")
    stay = {"new_trial": False}
    _refuses(lambda: env.reset(options=stay), (ResetNeeded, ValueError), f"{id}: new_trial=False before any trial")
    env.reset(seed=0)
    _refuses(lambda: env.reset(options={**stay, "task": 0}), ValueError, f"{id}: new_trial=False with a task")
    _refuses(lambda: env.reset(seed=1, options=stay), ValueError, f"{id}: new_trial=False with a seed")
    for action in actions:
        _, _, terminated, truncated, _ = env.step(action)
        if terminated or truncated:
            break
    _refuses(lambda: env.step(actions[0]), ResetNeeded, f"{id}: step() after the end of the trial")


def check_ground_truth(id: str, params: dict[str, Any]) -> None:
    """Only `ground_truth=True` puts the task into `info`, it is the task that runs, and nothing else changes."""
    plain = _env(id, params, episodes_per_trial=_EPISODES)
    telling = _env(id, params, episodes_per_trial=_EPISODES, ground_truth=True)
    actions = _actions(plain.action_space, _length(plain))
    told = _run(telling, actions, seed=0)
    untold = _run(plain, actions, seed=0)
    assert all(info.keys() == {"trial"} for *_, info in untold), f"{id}: info holds {untold[0][-1].keys()}, not only 'trial'"
    without = [(*event, {"trial": info["trial"]}) for *event, info in told]
    _assert_same_run(untold, without, f"ground_truth=True changes what {id} does")
    for task in _some_tasks(id, params, 8):
        _, info = telling.reset(options={"task": task})
        fields = {name: task[name] for name in task.dtype.names or ()}
        assert _same(info["metarl"]["task"], fields), f"{id}: info['metarl']['task'] is not the task {task} that was given"


def check_first_observation(id: str, params: dict[str, Any]) -> None:
    """The first observation of a trial is the same on every task, unless the family says that it tells the task."""
    if _env(id, params).variant.family.reveals_task_at_start:
        return
    tasks = _some_tasks(id, params, 256)
    _, obs = _on_tasks(id, params, tasks)
    other = next((i for i in range(len(tasks)) if not _same(obs[i], obs[0])), None)
    assert other is None, (
        f"the first observation of {id} gives the task away: {obs[0]} on {tasks[0]}, {obs[other]} on {tasks[other]}"
    )


def check_task_matters(id: str, params: dict[str, Any]) -> None:
    """On the same random numbers and actions, different tasks pay differently or lead elsewhere."""
    tasks = _some_tasks(id, params, 256)
    if len(tasks) == 1:
        return
    envs, _ = _on_tasks(id, params, tasks, episodes_per_trial=20)
    for action in _actions(envs.single_action_space, 20 * envs.variant.horizon):
        obs, reward, *_ = envs.step(np.stack([action] * len(tasks)))
        if len(np.unique(np.column_stack([obs.reshape(len(tasks), -1), reward]), axis=0)) > 1:
            return
    raise AssertionError(f"{len(tasks)} tasks of {id} cannot be told apart by what they do: the task changes nothing")


def check_returns(id: str, params: dict[str, Any]) -> None:
    """Exact returns, where the family has them: random play earns what it is said to, and at most the oracle's."""
    tasks = _some_tasks(id, params, 256)
    variant = _env(id, params).variant
    exact = [variant.returns(task) for task in tasks]
    if exact[0] is None:
        return
    for task, returns in zip(tasks, exact, strict=True):
        assert not np.isinf(returns).any(), f"{id}: the returns on {task} are {returns}; they must be finite, or NaN if unknown"
        assert not returns.random > returns.oracle + 1e-9, f"{id}: on {task} random earns more than the oracle: {returns}"
    if np.isnan(exact[0].random):
        return
    rows = -(-4096 // len(tasks)) * len(tasks)
    claimed = np.tile([returns.random for returns in exact], rows // len(tasks))
    surplus = _random_returns(id, params, np.tile(tasks, rows // len(tasks)), variant.horizon) - claimed
    good = np.sign(claimed - np.median(claimed))  # tasks on which random play should do well, against the others
    for weights, what in ((np.ones(rows), "in the mean"), (good, "on good against bad tasks")):
        off, error = (weights * surplus).mean(), (weights * surplus).std() / np.sqrt(rows)
        assert abs(off) <= 5 * error + 1e-9, (
            f"{id}: random play earns {off:+.5f} (standard error {error:.5f}) {what} over what `returns` says, "
            f"which is {claimed.mean():.5f} in the mean"
        )


def _random_returns(id: str, params: dict[str, Any], tasks: np.ndarray, horizon: int) -> np.ndarray:
    """What random play earns in an episode on each task, in the mean over as many episodes as are cheap."""
    episodes = max(1, (100_000 if PLAIN else 4_000_000) // (len(tasks) * horizon))
    envs = gym.make_vec(id, num_envs=len(tasks), episodes_per_trial=episodes, **params)
    envs.reset(seed=0, options={"task": tasks})
    envs.action_space.seed(0)
    earned, to_come = np.zeros(len(tasks)), np.full(len(tasks), episodes)
    while (to_come > 0).any():
        _, reward, *_, info = envs.step(envs.action_space.sample())
        earned += reward * (to_come > 0)
        to_come -= info["trial"]["inner_terminated"] | info["trial"]["inner_truncated"]
    return earned / episodes


def check_snapshots(id: str, params: dict[str, Any]) -> None:
    """A snapshot, also a pickled one in another environment, replays bit by bit; so do copies of the environment."""
    env = _env(id, params, episodes_per_trial=_EPISODES)
    actions = _actions(env.action_space, 2 * _length(env))
    _run(env, actions[: len(actions) // 3], seed=6)
    state = env.get_state()
    stored, copied, pickled = pickle.dumps(state), copy.deepcopy(env), pickle.dumps(env)
    expected = list(_go_on(env, actions))
    env.set_state(state)
    _assert_same_run(expected, list(_go_on(env, actions)), f"{id}: set_state(get_state()) does not replay")
    other = _env(id, params, episodes_per_trial=_EPISODES)
    other.reset(seed=77)
    other.set_state(pickle.loads(stored))
    _assert_same_run(expected, list(_go_on(other, actions)), f"{id}: a pickled snapshot does not replay in another environment")
    for name, double in {"copy.deepcopy": copied, "pickle": pickle.loads(pickled)}.items():
        _assert_same_run(expected, list(_go_on(double, actions)), f"{id}: an environment copied by {name} does not replay")


def check_no_constant_observation(id: str, params: dict[str, Any]) -> None:
    """Every element of the observation takes more than one value, unless its space has only one."""
    envs: Any = gym.make_vec(id, num_envs=64, **params)
    obs, _ = envs.reset(seed=0)
    low = high = obs.reshape(64, -1)
    constant = np.ones(low.shape[1], bool)
    envs.action_space.seed(0)
    for _ in range(max(500, 4 * envs.variant.horizon)):
        obs, *_ = envs.step(envs.action_space.sample())
        low, high = np.minimum(low, obs.reshape(64, -1)), np.maximum(high, obs.reshape(64, -1))
        constant = (low.min(axis=0) == high.max(axis=0)) & _can_vary(envs.single_observation_space)
        if not constant.any():
            return
    raise AssertionError(f"elements {np.flatnonzero(constant)[:10]} of the observations of {id} never change: leave them out")


def _can_vary(space: gym.Space) -> np.ndarray:
    """Which elements of a space have more than one value."""
    if isinstance(space, gym.spaces.Box):
        return (space.low < space.high).ravel()
    if isinstance(space, gym.spaces.Discrete):
        return np.array([space.n > 1])
    if isinstance(space, gym.spaces.MultiDiscrete):
        return space.nvec.ravel() > 1
    return np.array(True)


def check_splits(id: str, params: dict[str, Any]) -> None:
    """Every split can be made with the same spaces; no task is both a train and a test task, in whatever seed."""
    whole = _env(id, params)
    halves = ("train", "test") if whole.tasks.has_splits else ()
    for split in (*halves, *whole.variant.family.shifts):
        env = _env(id, params, split=split)
        env.reset(seed=0)
        spaces = env.observation_space, env.action_space
        assert spaces == (whole.observation_space, whole.action_space), (
            f"split={split!r} of {id} has spaces {spaces}; a split leaves them as they are"
        )
    if halves:
        both = _task_ids(id, params, "train") & _task_ids(id, params, "test")
        assert not both, f"{len(both)} tasks of {id} are both train and test tasks"


def _task_ids(id: str, params: dict[str, Any], split: str) -> set[int]:
    """What the tasks of the first trials of several environments mean."""
    envs = gym.make_vec(id, num_envs=200, split=split, ground_truth=True, **params)
    return {int(i) for seed in (0, 1) for i in envs.reset(seed=seed)[1]["metarl"]["task_id"]}


def check_pictures(id: str, params: dict[str, Any]) -> None:
    """Pictures are uint8 of one shape, text is a str; showing a world neither changes it nor gives its task away."""
    arguments = {"episodes_per_trial": _EPISODES, **params}
    unseen = _env(id, arguments)
    actions = _actions(unseen.action_space, _length(unseen))
    expected = _run(unseen, actions, seed=0)
    for mode in ("rgb_array", "ansi"):
        env = _env(id, arguments, render_mode=mode)
        shown: list[Any] = []
        got = list(_seen(env, actions, shown))
        _assert_same_run(expected, got, f"render() of {id} in mode {mode!r} changes what happens")
        if mode == "ansi":
            assert all(isinstance(text, str) and text for text in shown), (
                f"{id}: mode 'ansi' must give text; it gave {shown[0]!r}"
            )
        else:
            forms = {(picture.shape, str(picture.dtype)) for picture in shown}
            assert len(forms) == 1, f"pictures of {id} have different forms: {forms}"
            assert shown[0].ndim == 3, f"pictures of {id} have shape {shown[0].shape}; it must be (height, width, 3)"
            assert (shown[0].shape[2], shown[0].dtype) == (3, np.uint8), f"pictures of {id} are {forms}; uint8 RGB is needed"
        _check_hidden_task(id, arguments, mode)


def _seen(env: gym.Env, actions: Sequence[Any], shown: list[Any]) -> Iterator[tuple]:
    """A run in which the world is shown at the ends of episodes and a dozen times in between."""
    obs, info = env.reset(seed=0)
    shown.append(env.render())
    yield obs, 0.0, False, False, info
    for i, event in enumerate(_go_on(env, actions)):
        if i % (1 + len(actions) // 12) == 0 or any(event[-1]["trial"][flag] for flag in _FLAGS):
            shown.append(env.render())
        yield event


def _check_hidden_task(id: str, arguments: dict[str, Any], mode: str) -> None:
    """What is shown at the start of a trial depends on the task with `reveal=True`, and only then."""
    params = {name: value for name, value in arguments.items() if name != "episodes_per_trial"}
    tasks = _some_tasks(id, params, 8)
    seen = _env(id, params).variant.family.reveals_task_at_start
    for reveal in (True,) if seen else (False, True):
        env = _env(id, arguments, render_mode=mode, reveal=reveal)
        shown = []
        for task in tasks:
            env.reset(seed=0, options={"task": task})
            shown.append(env.render())
        differ = any(not _same(one, shown[0]) for one in shown)
        assert differ == (reveal and len(tasks) > 1), (
            f"{id}, mode {mode!r}, reveal={reveal}: what is shown must {'not ' if differ else ''}depend on the task"
        )


FAMILY_CHECKS: tuple[Callable[[str, dict[str, Any]], None], ...] = (
    check_reference_page,
    check_gymnasium,
    check_processes,
    check_interleaving,
    check_no_shared_memory,
    check_spaces,
    check_trial_contract,
    check_last_step,
    check_next_episodes,
    check_refusals,
    check_ground_truth,
    check_first_observation,
    check_task_matters,
    check_returns,
    check_snapshots,
    check_no_constant_observation,
    check_splits,
    check_pictures,
)


# ------------------------------------------------------------------------------------------------- vector environments
@dataclass(frozen=True)
class VectorSubject:
    """What a vector check is about: how to make the environments, and how long to run them."""

    factory: Callable[..., VectorEnv]
    single: Callable[[], gym.Env] | None
    num_envs: int
    steps: int
    mode: AutoresetMode

    def make(self) -> VectorEnv:
        """A fresh vector environment."""
        return self.factory(num_envs=self.num_envs, autoreset_mode=self.mode)

    def run(self, envs: VectorEnv, seed: int = 0) -> Iterator[tuple]:
        """Everything that a run with random actions returns; with DISABLED, ended rows are reset at once."""
        obs, info = envs.reset(seed=seed)
        yield obs, None, None, None, info
        for action in _actions(envs.action_space, self.steps):
            result = envs.step(action)
            yield result
            over = result[2] | result[3]
            if self.mode is AutoresetMode.DISABLED and over.any():
                obs, info = envs.reset(options={"reset_mask": over.copy()})
                yield obs, None, None, None, info


def check_vector_attributes(subject: VectorSubject) -> None:
    """Spaces are batches of the single spaces, and the autoreset mode is where libraries look for it."""
    envs = subject.make()
    assert isinstance(envs, VectorEnv), f"{type(envs).__name__} must be a gymnasium.vector.VectorEnv"
    assert envs.num_envs == subject.num_envs, f"num_envs is {envs.num_envs}; {subject.num_envs} were asked for"
    for name in ("observation_space", "action_space"):
        whole, one = getattr(envs, name), getattr(envs, f"single_{name}")
        batched = batch_space(one, subject.num_envs)
        assert whole == batched, f"{name} is {whole}; {subject.num_envs} of single_{name} make {batched}"
    mode = envs.metadata.get("autoreset_mode")
    assert mode is subject.mode, f"metadata['autoreset_mode'] is {mode!r}; it must be {subject.mode}"
    envs.close()


def check_vector_outputs(subject: VectorSubject) -> None:
    """Observations lie in the batched space with its dtype; rewards are float64 and ends bool, one a row."""
    envs = subject.make()
    ended = 0
    for obs, reward, terminated, truncated, _ in subject.run(envs):
        assert envs.observation_space.contains(obs), f"observations {obs!r} lie outside {envs.observation_space}"
        if reward is None:
            continue
        forms = {
            "rewards": (reward, np.float64),
            "terminations": (terminated, np.bool_),
            "truncations": (truncated, np.bool_),
        }
        for name, (array, dtype) in forms.items():
            assert isinstance(array, np.ndarray), f"{name} are a {type(array).__name__}; they must be an array"
            assert (array.dtype, array.shape) == (dtype, (subject.num_envs,)), (
                f"{name} are {array.dtype} of shape {array.shape}; they must be {dtype} of shape ({subject.num_envs},)"
            )
        assert not (terminated & truncated).any(), "a row is both terminated and truncated"
        ended += (terminated | truncated).sum()
    assert ended, f"no trial ended in {subject.steps} steps: give more steps, or shorter episodes"
    envs.close()


def check_vector_no_shared_memory(subject: VectorSubject) -> None:
    """No two calls return the same memory or dict; what cannot be written to may be shared."""
    envs = subject.make()
    _assert_nothing_shared([event for event, _ in zip(subject.run(envs), range(40), strict=False)], f"{subject.mode}")
    envs.close()


def _assert_nothing_shared(events: Sequence[tuple], who: str) -> None:
    """Assert that no two events hold the same dict or writable array memory."""
    owners: dict[int, int] = {}
    arrays: list[tuple[int, np.ndarray]] = []
    for number, event in enumerate(events):
        for part in _parts(event):
            if isinstance(part, dict):
                before = owners.setdefault(id(part), number)
                assert before == number, f"{who}: events {before} and {number} returned the same dict"
            elif part.flags.writeable:
                arrays.append((number, part))
    for i, (number, array) in enumerate(arrays):
        for before, other in arrays[:i]:
            assert before == number or not np.may_share_memory(array, other), (
                f"{who}: events {before} and {number} returned the same memory; return fresh arrays"
            )


def _parts(value: Any) -> Iterator[Any]:
    """Every dict and array in a return value."""
    if isinstance(value, dict):
        yield value
        for inner in value.values():
            yield from _parts(inner)
    elif isinstance(value, tuple | list):
        for inner in value:
            yield from _parts(inner)
    elif isinstance(value, np.ndarray):
        yield value
        if value.dtype == object:
            yield from _parts(value.tolist())


def check_vector_info(subject: VectorSubject) -> None:
    """`info` has the same keys, dtypes and shapes at every reset and step, apart from `final_obs` and `final_info`."""
    envs = subject.make()
    schema = None
    for *_, info in subject.run(envs):
        rare = {"final_obs", "_final_obs", "final_info", "_final_info"}
        got = _schema({key: value for key, value in info.items() if key not in rare})
        schema = schema or got
        assert got == schema, f"info was {schema} at the first reset, and {got} later: keys and dtypes must not change"
        if "final_info" in info:
            final = _schema(info["final_info"])
            assert final == schema, f"final_info is {final}; it must have the keys and dtypes of info, {schema}"
    envs.close()


def _schema(info: dict[str, Any]) -> dict[str, Any]:
    return {
        key: _schema(value) if isinstance(value, dict) else (str(np.asarray(value).dtype), np.shape(value))
        for key, value in sorted(info.items())
    }


def check_vector_reset_mask(subject: VectorSubject) -> None:
    """`reset_mask` resets the rows it names and no other, and anything but a mask is refused."""
    if subject.mode is not AutoresetMode.DISABLED:
        return
    envs = subject.make()
    n = subject.num_envs
    obs, _ = envs.reset(seed=0)
    bad = {
        "a list": [True] * n,
        "another dtype": np.ones(n, np.int64),
        "another shape": np.ones(n + 1, bool),
        "no row": np.zeros(n, bool),
    }
    errors = (AssertionError, TypeError, ValueError)
    for what, mask in bad.items():
        _refuses(lambda mask=mask: envs.reset(options={"reset_mask": mask}), errors, f"a reset_mask with {what}")
    obs, over = _until_a_trial_ends(envs, subject)
    again, _ = envs.reset(options={"reset_mask": over})
    assert _same(again[~over], obs[~over]), "rows outside reset_mask must keep their observation"
    _until_a_trial_ends(envs, subject)
    _refuses(
        lambda: envs.step(envs.action_space.sample()),
        (AssertionError, ResetNeeded),
        "step() while a row's trial is over",
    )
    envs.close()


def _until_a_trial_ends(envs: VectorEnv, subject: VectorSubject) -> tuple[np.ndarray, np.ndarray]:
    """Step until a trial ends: the observations then, and the rows whose trial is over."""
    for action in _actions(envs.action_space, subject.steps):
        obs, _, terminated, truncated, _ = envs.step(action)
        if (terminated | truncated).any():
            return obs, terminated | truncated
    raise AssertionError(f"no trial ended in {subject.steps} steps: give more steps, or shorter episodes")


def check_vector_ignored_action(subject: VectorSubject) -> None:
    """`info["trial"]["action_ignored"]` marks the steps of NEXT_STEP that only reset a row, and no other."""
    envs = subject.make()
    over = np.zeros(subject.num_envs, bool)
    for _, reward, terminated, truncated, info in subject.run(envs):
        expected = over if subject.mode is AutoresetMode.NEXT_STEP else np.zeros(subject.num_envs, bool)
        if "trial" not in info:
            break
        ignored = info["trial"]["action_ignored"]
        assert _same(ignored, expected), f"action_ignored is {ignored}; the rows whose action was ignored are {expected}"
        assert reward is None or not reward[expected].any(), "a step that only resets a row must pay 0"
        over = np.zeros(subject.num_envs, bool) if reward is None else terminated | truncated
    envs.close()


def check_vector_equals_single(subject: VectorSubject) -> None:
    """Row i, seeded s, is the single environment seeded s + i: observations, rewards, ends, infos, over many trials."""
    if subject.single is None:
        return
    envs, singles = subject.make(), [subject.single() for _ in range(subject.num_envs)]
    obs, info = envs.reset(seed=20)
    for i, env in enumerate(singles):
        _assert_row(i, "reset", (obs[i], _row(info, i)), env.reset(seed=20 + i))
    over = np.zeros(subject.num_envs, bool)
    for step, action in enumerate(_actions(envs.action_space, subject.steps)):
        result = envs.step(action)
        for i, env in enumerate(singles):
            got, expected = _row_of(result, i), _next(env, action[i], bool(over[i]), subject.mode)
            for row in (got, expected):  # what only a vector environment can say; a check of its own
                row["info"].get("trial", {}).pop("action_ignored", None)
            _assert_row(i, f"step {step}", got, expected)
        over = result[2] | result[3]
        if subject.mode is AutoresetMode.DISABLED and over.any():
            obs, info = envs.reset(options={"reset_mask": over.copy()})
            for i in np.flatnonzero(over).tolist():
                _assert_row(i, f"reset after step {step}", (obs[i], _row(info, i)), singles[i].reset())
    envs.close()


def _next(env: gym.Env, action: Any, over: bool, mode: AutoresetMode) -> dict[str, Any]:
    """What a row must return next, from its single environment."""
    if over and mode is AutoresetMode.NEXT_STEP:
        obs, info = env.reset()
        return {"obs": obs, "reward": 0.0, "terminated": False, "truncated": False, "info": info}
    obs, reward, terminated, truncated, info = env.step(action)
    ends = {"reward": reward, "terminated": terminated, "truncated": truncated}
    if (terminated or truncated) and mode is AutoresetMode.SAME_STEP:
        first, first_info = env.reset()
        return {**ends, "obs": first, "info": first_info, "final_obs": obs, "final_info": info}
    return {**ends, "obs": obs, "info": info}


def _row_of(result: tuple, i: int) -> dict[str, Any]:
    """Row i of what a step returned."""
    obs, reward, terminated, truncated, info = result
    own = _row(info, i)
    final = {key: own.pop(key) for key in ("final_obs", "final_info") if key in own}
    ends = {"reward": reward[i], "terminated": terminated[i], "truncated": truncated[i]}
    return {**ends, "obs": obs[i], "info": own, **final}


def _row(info: dict[str, Any], i: int) -> dict[str, Any]:
    """What a vector info says of row i."""
    present = {
        key: value for key, value in info.items() if not key.startswith("_") and f"_{key}" in info and info[f"_{key}"][i]
    }
    return {key: _row(value, i) if isinstance(value, dict) else value[i] for key, value in present.items()}


def _assert_row(i: int, where: str, got: Any, expected: Any) -> None:
    assert _same(got, expected), f"{where}: row {i} is {got}; its single environment gives {expected}"


VECTOR_CHECKS: tuple[Callable[[VectorSubject], None], ...] = (
    check_vector_attributes,
    check_vector_outputs,
    check_vector_no_shared_memory,
    check_vector_info,
    check_vector_reset_mask,
    check_vector_equals_single,
    check_vector_ignored_action,
)


if __name__ == "__main__":
    print(trajectory_hash(sys.argv[1], **json.loads(sys.argv[2] if len(sys.argv) > 2 else "{}")))
