"""Checks that the hidden task matters, and is seen nowhere but where it is asked for."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import gymnasium as gym
import numpy as np

from metarl_envs.testing.runs import (
    EPISODES,
    FLAGS,
    assert_same_run,
    fixed_actions,
    go_on,
    make,
    on_tasks,
    run,
    same,
    some_tasks,
    trial_length,
)


def check_ground_truth(id: str, params: dict[str, Any]) -> None:
    """Only `ground_truth=True` puts the task into `info`, it is the task that runs, and nothing else changes."""
    plain = make(id, params, episodes_per_trial=EPISODES)
    telling = make(id, params, episodes_per_trial=EPISODES, ground_truth=True)
    actions = fixed_actions(plain.action_space, trial_length(plain))
    told = run(telling, actions, seed=0)
    untold = run(plain, actions, seed=0)
    assert not any("metarl" in info for *_, info in untold), f"{id}: info holds 'metarl' without ground_truth=True"
    without = [(*event, {name: value for name, value in info.items() if name != "metarl"}) for *event, info in told]
    assert_same_run(untold, without, f"ground_truth=True changes what {id} does")
    for task in some_tasks(id, params, 8):
        _, info = telling.reset(options={"task": task})
        assert same(info["metarl"]["task"], _fields(task)), (
            f"{id}: info['metarl']['task'] is not the task {task} that was given"
        )


def _fields(task: np.void) -> dict[str, Any]:
    """The fields of a task by name; of one that is a row itself its fields."""
    return {name: _fields(task[name]) if task.dtype[name].names else task[name] for name in task.dtype.names or ()}


def check_first_observation(id: str, params: dict[str, Any]) -> None:
    """The first observation of a trial is the same on every task, unless the family says that it tells the task."""
    if make(id, params).variant.family.reveals_task_at_start:
        return
    tasks = some_tasks(id, params, 256)
    _, obs = on_tasks(id, params, tasks)
    other = next((i for i in range(len(tasks)) if not same(obs[i], obs[0])), None)
    assert other is None, (
        f"the first observation of {id} gives the task away: {obs[0]} on {tasks[0]}, {obs[other]} on {tasks[other]}"
    )


def check_task_matters(id: str, params: dict[str, Any]) -> None:
    """On the same random numbers and actions, different tasks pay differently or lead elsewhere."""
    tasks = some_tasks(id, params, 256)
    if len(tasks) == 1:
        return
    envs, _ = on_tasks(id, params, tasks, episodes_per_trial=20)
    for action in fixed_actions(envs.single_action_space, 20 * envs.variant.horizon):
        obs, reward, *_ = envs.step(np.stack([action] * len(tasks)))
        if len(np.unique(np.column_stack([obs.reshape(len(tasks), -1), reward]), axis=0)) > 1:
            return
    raise AssertionError(f"{len(tasks)} tasks of {id} cannot be told apart by what they do: the task changes nothing")


def check_pictures(id: str, params: dict[str, Any]) -> None:
    """Pictures are uint8 of one shape, text is a str; showing a world neither changes it nor gives its task away."""
    arguments = {"episodes_per_trial": EPISODES, **params}
    unseen = make(id, arguments)
    actions = fixed_actions(unseen.action_space, trial_length(unseen))
    expected = run(unseen, actions, seed=0)
    for mode, check_form in {"rgb_array": _check_pictures_form, "ansi": _check_text_form}.items():
        shown: list[Any] = []
        got = list(_seen(make(id, arguments, render_mode=mode), actions, shown))
        assert_same_run(expected, got, f"render() of {id} in mode {mode!r} changes what happens")
        check_form(id, shown)
        _check_hidden_task(id, arguments, mode)


def _check_pictures_form(id: str, shown: list[Any]) -> None:
    forms = {(picture.shape, str(picture.dtype)) for picture in shown}
    assert len(forms) == 1, f"pictures of {id} have different forms: {forms}"
    assert shown[0].ndim == 3, f"pictures of {id} have shape {shown[0].shape}; it must be (height, width, 3)"
    assert (shown[0].shape[2], shown[0].dtype) == (3, np.uint8), f"pictures of {id} are {forms}; uint8 RGB is needed"


def _check_text_form(id: str, shown: list[Any]) -> None:
    assert all(isinstance(text, str) and text for text in shown), f"{id}: mode 'ansi' must give text; it gave {shown[0]!r}"


def _seen(env: gym.Env, actions: Sequence[Any], shown: list[Any]) -> Iterator[tuple]:
    """A run in which the world is shown at the ends of episodes and a dozen times in between."""
    obs, info = env.reset(seed=0)
    shown.append(env.render())
    yield obs, 0.0, False, False, info
    for i, event in enumerate(go_on(env, actions)):
        if i % (1 + len(actions) // 12) == 0 or any(event[-1]["trial"][flag] for flag in FLAGS):
            shown.append(env.render())
        yield event


def _check_hidden_task(id: str, arguments: dict[str, Any], mode: str) -> None:
    """What is shown at the start of a trial depends on the task with `reveal=True`, and only then."""
    params = {name: value for name, value in arguments.items() if name != "episodes_per_trial"}
    tasks = some_tasks(id, params, 8)
    seen = make(id, params).variant.family.reveals_task_at_start
    for reveal in (True,) if seen else (False, True):
        env = make(id, arguments, render_mode=mode, reveal=reveal)
        shown = []
        for task in tasks:
            env.reset(seed=0, options={"task": task})
            shown.append(env.render())
        differ = any(not same(one, shown[0]) for one in shown)
        assert differ == (reveal and len(tasks) > 1), (
            f"{id}, mode {mode!r}, reveal={reveal}: what is shown must {'not ' if differ else ''}depend on the task"
        )
