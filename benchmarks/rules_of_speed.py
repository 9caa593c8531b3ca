"""What each habit of the engine's drivers is worth: its own loop for Dark Room, each time with one habit given up.

Where a ratio is no longer below 1, the habit has lost its reason (a newer Numba, another processor), and the engine may
become simpler.
"""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any
from unittest import mock

import gymnasium as gym
import numpy as np
from numba import njit
from timing import Case, Effort, Table, side_by_side

from metarl_envs.engine.compiling import cache
from metarl_envs.engine.loops import env as env_loops
from metarl_envs.engine.loops import trial
from metarl_envs.engine.loops.trial import WorldArrays
from metarl_envs.families.grids.dark_room import DarkRoom, see_position

_ID, _ROWS = "MetaRL/DarkRoom-v0", 4_096


# ------------------------------------------------------------------------------------------------- habits given up
def walk_by_cases(params, task, state, action, rng):
    """`dark_room.walk` with branches on the action."""
    x = state.agent[0]
    y = state.agent[1]
    if action == 1:
        y = max(y - 1, 0)
    elif action == 2:
        x = min(x + 1, params.size - 1)
    elif action == 3:
        y = min(y + 1, params.size - 1)
    elif action == 4:
        x = max(x - 1, 0)
    state.agent[0] = x
    state.agent[1] = y
    found = (x == task.goal[0]) & (y == task.goal[1])
    return 1.0 * found, found & (params.once != 0)


def first_outside_with_early_exit(variant):
    """`drivers._first_outside`, leaving at the first bad action."""

    def first_outside(actions, bounds, lo, hi):
        for i in range(np.uint64(lo), np.uint64(hi)):
            if actions[i] < bounds[0, 0] or actions[i] > bounds[1, 0]:
                return np.int64(i)
        return -1

    return env_loops.glue(first_outside)


def compiler(**options: Any) -> Callable[[Callable], Callable]:
    """`njit` with these options."""
    return njit(nogil=True, **options)  # type: ignore[call-overload, return-value]


def with_run_time() -> type[DarkRoom]:
    """Dark Room with kernels whose references Numba may count."""
    names = "sample_task", "reset", "step", "observe"
    return room(**{name: compiler()(getattr(DarkRoom, name).py_func) for name in names})


def room(**kernels: Callable) -> type[DarkRoom]:
    """Dark Room with other kernels."""
    return type("DarkRoomAlike", (DarkRoom,), kernels)


_AS_KERNELS = compiler(_nrt=False)
_OBSERVE_INLINED = compiler(inline="always")(see_position.py_func)  # type: ignore[attr-defined]
#: What is given up; the family that shows it; what stands in the place of names in `engine.loops`.
_HABITS: dict[str, tuple[type[DarkRoom], dict[str, Any]]] = {
    "nothing": (DarkRoom, {}),
    "no run-time in kernels (`_nrt=False`)": (with_run_time(), {"kernel": compiler()}),
    "glue inlined": (DarkRoom, {"glue": _AS_KERNELS}),
    "kernels left to LLVM, not inlined before typing": (room(observe=_OBSERVE_INLINED), {}),
    "index unsigned": (DarkRoom, {"unsigned": np.int64}),
    "arithmetic on the action, not if/elif": (room(step=_AS_KERNELS(walk_by_cases)), {}),
    "actions checked without early exit": (DarkRoom, {"_first_outside": first_outside_with_early_exit}),
}


# ------------------------------------------------------------------------------------------------- tables
def tables(effort: Effort) -> list[Table]:
    """One table of loops, one of calls."""
    loops = [_loop(name, *habit) for name, habit in _HABITS.items()]
    loops.append(_loop("rows as plain arrays, not `np.recarray`", DarkRoom, {}, np.recarray))
    return [
        side_by_side(
            f"Rules of speed: the bare driver over {_ROWS:,} rows, M steps/s", "given up", loops, effort, first="the engine"
        ),
        side_by_side(
            "Rules of speed: a call of the driver for one row, M calls/s", "given up", _calls(), effort, first="the engine"
        ),
    ]


def _loop(name: str, family: type[DarkRoom], instead: dict[str, Any], kind: type[np.ndarray] = np.ndarray) -> Case:
    """The vector environment's driver with something else in the place of some names; never from the compile cache."""
    env: Any = gym.make_vec(_ID, num_envs=_ROWS)
    env.reset(seed=0)
    worlds = env.unwrapped._worlds
    worlds._arrays = WorldArrays(*(array.view(kind) if array.dtype.names else array for array in worlds._arrays))
    actions, out = itertools.cycle(np.random.default_rng(0).integers(0, 5, (8, _ROWS))), worlds.empty()
    with contextlib.ExitStack() as patches:
        for module, replaced, value in _replaced(instead):
            patches.enter_context(mock.patch.object(module, replaced, value))
        worlds._go = env_loops.env_drivers(family.with_params())
        worlds.advance(next(actions), out)  # compiles, while the names are what they are
    return Case(name, lambda: worlds.advance(next(actions), out), _ROWS)


def _replaced(instead: dict[str, Any]) -> Iterator[tuple[ModuleType, str, Any]]:
    """What stands in the place of names, in each module of the loops that has them; nothing goes to the compile cache."""
    for module in (env_loops, trial, cache):
        for name, value in {**instead, "cached": lambda driver, name: driver}.items():
            if hasattr(module, name):
                yield module, name, value


def _calls() -> list[Case]:
    """A single environment hands over one address; a vector environment hands over its arrays."""
    env: Any = gym.make(_ID, horizon=10**9).unwrapped
    env.reset(seed=0)
    call = env._worlds._call(env._action, env._out)
    advance = env._worlds._go.advance
    return [Case("nothing", env._advance, 1), Case("arrays by one address", lambda: advance(*call, 0, 1), 1)]
