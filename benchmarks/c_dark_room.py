"""The loops of dark_room.c, compiled on the spot where there is a compiler."""

from __future__ import annotations

import ctypes
import functools
import os
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np

_SOURCE = Path(__file__).with_name("dark_room.c")
#: Without fused multiply-adds, which round otherwise than Numba does.
_FLAGS = ("-O3", "-march=native", "-ffp-contract=off", "-shared", "-fPIC")
_SIZE, _HORIZON = 9, 20


class CompilerError(Exception):
    """There is no C compiler, or it did not compile the loop."""


def at(array: np.ndarray) -> ctypes.c_void_p:
    """Where an array stands. Whoever asks keeps it alive."""
    return ctypes.c_void_p(array.ctypes.data)


class CDarkRoom:
    """`rows` Dark Rooms; after `step`, `seen`, `rewards`, `terminated` and `truncated` hold what came of it."""

    def __init__(self, rows: int):
        self._library = library()
        self._worlds = np.zeros(rows * self._library.world_bytes(), np.uint8)
        self._goals = np.zeros(rows * self._library.goal_bytes(), np.uint8)
        self.seen = np.zeros((rows, 2), np.int16)
        self.rewards = np.zeros(rows)
        self.terminated, self.truncated = np.zeros((2, rows), np.bool_)
        self._rows = ctypes.c_ssize_t(rows)
        self._before = at(self._worlds), at(self._goals)
        self._after = *map(at, (self.seen, self.rewards, self.terminated, self.truncated)), _SIZE, _HORIZON, self._rows

    def reset(self, seed: int) -> None:
        """Row i starts from seed + i."""
        self._library.reset(*self._before, at(self.seen), ctypes.c_uint64(seed), _SIZE, self._rows)

    def step(self, actions: ctypes.c_void_p) -> None:
        """Step every row; `actions` are `at` an array of int64."""
        self._library.step(*self._before, actions, *self._after)


class _Hyper(ctypes.Structure):
    """Hyper-parameters as the C code has them."""

    _fields_ = (
        *((name, ctypes.c_double) for name in ("step_size", "discount", "initial_value", "epsilon", "final_epsilon")),
        ("epsilon_decay_episodes", ctypes.c_int64),
    )


class CQLearning:
    """Q-learning lives in Dark Rooms, one after the other; `live` gives their returns, [life, episode].

    Args:
        goals: the goal of each life, int16 [life, 2].
        seeds: of each life.
        hyper: the learner's hyper-parameters.
        episodes: in each life.
    """

    def __init__(self, goals: np.ndarray, seeds: np.ndarray, hyper: Any, episodes: int):
        self._goals, self._seeds = np.ascontiguousarray(goals, np.int16), np.ascontiguousarray(seeds, np.uint64)
        self._table, self.returns = np.zeros(_SIZE * _SIZE * 5), np.zeros((len(goals), episodes))
        self._hyper = _Hyper(*(getattr(hyper, field[0]) for field in _Hyper._fields_))
        self._library = library()

    def live(self) -> np.ndarray:
        """Live every life anew."""
        arrays = at(self._goals), at(self._seeds), ctypes.byref(self._hyper), at(self._table), at(self.returns)
        lives, episodes = self.returns.shape
        self._library.q_learning(*arrays, _SIZE, _HORIZON, ctypes.c_ssize_t(episodes), ctypes.c_ssize_t(lives))
        return self.returns


def check_it_is_the_same(steps: int = 100) -> None:
    """RuntimeError unless C and the vector environment give the same, row by row and step by step."""
    env: Any = gym.make_vec("MetaRL/DarkRoom-v0", num_envs=64)
    c = CDarkRoom(64)
    c.reset(7)
    same = np.array_equal(env.reset(seed=7)[0], c.seen)
    for actions in np.random.default_rng(0).integers(0, 5, (steps, 64)):
        c.step(at(actions))
        pairs = zip(env.step(actions), (c.seen, c.rewards, c.terminated, c.truncated), strict=False)
        same &= all(np.array_equal(ours, theirs) for ours, theirs in pairs)
    if not same:
        raise RuntimeError("dark_room.c and MetaRL/DarkRoom-v0 part ways: they no longer say the same")


@functools.cache
def library() -> ctypes.CDLL:
    """The compiled loop; CompilerError where that cannot be had."""
    compiler = next(filter(shutil.which, (os.environ.get("CC", "cc"), "gcc", "clang")), None)
    if compiler is None:
        raise CompilerError("there is no C compiler here")
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        path = Path(folder, "dark_room.so")
        done = subprocess.run([compiler, *_FLAGS, "-o", path, _SOURCE], capture_output=True, text=True)
        if done.returncode != 0:
            raise CompilerError(f"the C compiler failed: {done.stderr.strip()}")
        loaded = ctypes.CDLL(str(path))
    loaded.world_bytes.restype = loaded.goal_bytes.restype = ctypes.c_size_t
    return loaded
