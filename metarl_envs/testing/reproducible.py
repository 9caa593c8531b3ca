"""Checks that a run is the same wherever and however it is repeated: processes, plain mode, snapshots, copies."""

from __future__ import annotations

import copy
import json
import os
import pickle
import subprocess
import sys
from typing import Any

from metarl_envs.testing.runs import (
    EPISODES,
    assert_nothing_shared,
    assert_same_run,
    fixed_actions,
    go_on,
    make,
    run,
    same,
    trajectory_hash,
    trial_length,
)


def check_plain_mode(id: str, params: dict[str, Any]) -> None:
    """Whole trials are the same as ordinary Python and compiled. The first check: where it fails, it names the line."""
    make(id, params)  # what is declared wrongly is said here, in one line
    there = _hash_in_another_process(id, params, "as ordinary Python", NUMBA_DISABLE_JIT="1")
    assert there == trajectory_hash(id, **params), (
        f"the same seed gives another trajectory of {id} compiled than as ordinary Python (NUMBA_DISABLE_JIT=1)"
    )


def check_processes(id: str, params: dict[str, Any]) -> None:
    """Whole trials are the same in this process and in one with another `PYTHONHASHSEED`."""
    there = _hash_in_another_process(id, params, "in another process", PYTHONHASHSEED="1")
    assert there == trajectory_hash(id, **params), f"the same seed gives another trajectory of {id} in another process"


def _hash_in_another_process(id: str, params: dict[str, Any], how: str, **settings: str) -> str:
    """The hash of a run in a process that finds every module that this one finds."""
    path = os.pathsep.join(folder or os.getcwd() for folder in sys.path)
    command = [sys.executable, "-m", "metarl_envs.testing", id, json.dumps(params)]
    environment = {**os.environ, "PYTHONPATH": path, **settings}
    result = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert result.returncode == 0, f"{id} fails {how} ({settings}):\n\n{result.stderr}"
    return result.stdout.split()[-1]


def check_interleaving(id: str, params: dict[str, Any]) -> None:
    """Environments share nothing: stepped in turn, each goes as it goes alone, and samples actions as it does alone."""
    alone, one, other = (make(id, params, episodes_per_trial=EPISODES) for _ in range(3))
    actions = fixed_actions(alone.action_space, trial_length(alone))
    expected = run(alone, actions, seed=1)
    one.reset(seed=99)
    got = run(one, actions[:1], seed=1)
    run(other, actions, seed=2)
    got += go_on(one, actions[1:])
    assert_same_run(expected, got, f"two environments of {id} disturb one another")
    one.action_space.seed(0)
    first = [one.action_space.sample() for _ in range(8)]
    one.action_space.seed(0)
    other.action_space.seed(1)
    assert same(first, [(one.action_space.sample(), other.action_space.sample())[0] for _ in range(8)]), (
        f"two environments of {id} share one action space, and so its generator: give each a copy"
    )


def check_no_shared_memory(id: str, params: dict[str, Any]) -> None:
    """Nothing that `reset` and `step` return is returned again: neither an array's memory nor a dict."""
    env = make(id, params, episodes_per_trial=EPISODES, ground_truth=True)
    assert_nothing_shared(run(env, fixed_actions(env.action_space, 2 * trial_length(env))[:50], seed=0), id)


def check_snapshots(id: str, params: dict[str, Any]) -> None:
    """A snapshot, also a pickled one in another environment, replays bit by bit; so do copies of the environment."""
    env = make(id, params, episodes_per_trial=EPISODES)
    actions = fixed_actions(env.action_space, 2 * trial_length(env))
    run(env, actions[: len(actions) // 3], seed=6)
    state = env.get_state()
    stored, copied, pickled = pickle.dumps(state), copy.deepcopy(env), pickle.dumps(env)
    expected = list(go_on(env, actions))
    env.set_state(state)
    assert_same_run(expected, list(go_on(env, actions)), f"{id}: set_state(get_state()) does not replay")
    other = make(id, params, episodes_per_trial=EPISODES)
    other.reset(seed=77)
    other.set_state(pickle.loads(stored))
    assert_same_run(expected, list(go_on(other, actions)), f"{id}: a pickled snapshot does not replay in another environment")
    for name, double in {"copy.deepcopy": copied, "pickle": pickle.loads(pickled)}.items():
        assert_same_run(expected, list(go_on(double, actions)), f"{id}: an environment copied by {name} does not replay")
