"""Runs: what the checks make environments do, and how they compare what came of it."""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import gymnasium as gym
import numpy as np

FLAGS = ("trial_start", "episode_start", "inner_terminated", "inner_truncated", "action_ignored")
#: In a trial of the checks.
EPISODES = 3


def trajectory_hash(id: str, **params: Any) -> str:
    """The hash of everything that two trials of three episodes return, and of their tasks; seeds and actions are fixed."""
    env = make(id, params, episodes_per_trial=EPISODES)
    digest = hashlib.sha256()
    obs, info = env.reset(seed=11)
    _feed(digest, [obs, info, _running_task(env)])
    for event in go_on(env, fixed_actions(env.action_space, 2 * trial_length(env))):
        _feed(digest, event)
        if event[-1]["trial"]["trial_start"]:
            _feed(digest, _running_task(env))
    return digest.hexdigest()


def _running_task(env: Any) -> dict[str, Any]:
    """The fields of the hidden task of a single environment without a pool of tasks."""
    task = env.get_state()["task_rows"][0]
    return {name: task[name] for name in task.dtype.names}


def make(id: str, params: dict[str, Any], **arguments: Any) -> Any:
    """Return the environment itself, without Gymnasium's wrappers."""
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


def fixed_actions(space: gym.Space, count: int, seed: int = 5) -> list[Any]:
    """`count` random actions; the space's own generator stays as it is."""
    space = copy.deepcopy(space)
    space.seed(seed)
    return [space.sample() for _ in range(count)]


def run(env: gym.Env, actions: Sequence[Any], **reset: Any) -> list[tuple]:
    """Everything that a run returns: (obs, reward, terminated, truncated, info), resets included."""
    obs, info = env.reset(**reset)
    return [(obs, 0.0, False, False, info), *go_on(env, actions)]


def go_on(env: gym.Env, actions: Sequence[Any]) -> Iterator[tuple]:
    """Step through the actions, with a plain reset where a trial ends."""
    for action in actions:
        result = env.step(action)
        yield result
        if result[2] or result[3]:
            obs, info = env.reset()
            yield obs, 0.0, False, False, info


def same(a: Any, b: Any) -> bool:
    """Return whether two return values say the same, bit by bit."""
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(same(a[key], b[key]) for key in a)
    if isinstance(a, tuple | list) and isinstance(b, tuple | list):
        return len(a) == len(b) and all(map(same, a, b))
    a, b = np.asarray(a), np.asarray(b)
    if a.dtype == object or b.dtype == object:
        return a.shape == b.shape and all(map(same, a.tolist(), b.tolist()))
    return np.array_equal(a, b, equal_nan=a.dtype.kind == b.dtype.kind == "f")


def _first_difference(one: Sequence[Any], other: Sequence[Any]) -> int | None:
    """Where two runs differ first, or None."""
    if len(one) != len(other):
        return min(len(one), len(other))
    return next((i for i, (a, b) in enumerate(zip(one, other, strict=True)) if not same(a, b)), None)


def assert_same_run(one: Sequence[Any], other: Sequence[Any], why: str) -> None:
    """Assert that two runs are the same, event by event."""
    at = _first_difference(one, other)
    assert at is None, f"{why}: event {at} was {one[at]} in one run and {other[at]} in the other"


def assert_refused(call: Callable[[], Any], errors: type[Exception] | tuple[type[Exception], ...], what: str) -> None:
    """Assert that a call raises one of the errors."""
    try:
        call()
    except errors:
        return
    names = errors.__name__ if isinstance(errors, type) else " or ".join(error.__name__ for error in errors)
    raise AssertionError(f"{what} must raise {names}; it raised nothing")


def trial_length(env: Any) -> int:
    """Steps within which a trial of `EPISODES` episodes ends."""
    return EPISODES * env.variant.horizon


def some_tasks(id: str, params: dict[str, Any], count: int) -> np.ndarray:
    """Up to `count` different tasks of a family."""
    tasks = make(id, params).tasks
    return tasks.rows(min(count, len(tasks)) if tasks.is_finite else count)


def on_tasks(id: str, params: dict[str, Any], tasks: np.ndarray, **arguments: Any) -> tuple[Any, np.ndarray]:
    """Return a vector environment with one row a task, all rows on the same random numbers, and its first observations."""
    envs: Any = gym.make_vec(id, num_envs=len(tasks), **arguments, **params)
    return envs, envs.reset(seed=[3] * len(tasks), options={"task": tasks})[0]


def assert_nothing_shared(events: Sequence[tuple], who: str) -> None:
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
