"""Dark Room's vector environment and its bare driver, against the same loop in C."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from typing import Any

import c_dark_room
import gymnasium as gym
import numpy as np
from timing import Case, Effort, Table, measure

_ROWS = 1, 256, 4_096, 65_536
_MANY = _ROWS[-1]
_MODES = {
    "NEXT_STEP": {},
    "SAME_STEP, one-episode trials": {"autoreset_mode": "SameStep"},
    "SAME_STEP, ten-episode trials": {"autoreset_mode": "SameStep", "episodes_per_trial": 10},
    "SAME_STEP, dense_final_obs": {"autoreset_mode": "SameStep", "dense_final_obs": True},
    "DISABLED, reset_mask": {"autoreset_mode": "Disabled"},
}
_FOR_MANY = {
    "NEXT_STEP, reuse_arrays": {"reuse_arrays": True},
    "NEXT_STEP, two threads": {"num_threads": 2},
    "NEXT_STEP, reuse_arrays, two threads": {"reuse_arrays": True, "num_threads": 2},
}
_NOTE = (
    "C: dark_room.c, called through ctypes (at one row that call is all there is to time). Bare driver: the compiled loop of "
    "NEXT_STEP into reused arrays. The others: `step` of `gym.make_vec`."
)


def tables(effort: Effort) -> list[Table]:
    """One table."""
    note, has_c = _NOTE, True
    try:
        c_dark_room.check_it_is_the_same()
    except c_dark_room.CompilerError as problem:
        note, has_c = f"{_NOTE} No figures for C: {problem}.", False
    rows = [line for count in _ROWS for line in _lines(count, has_c, effort)]
    columns = "Dark Room", "rows", "best", "median", "best, of C", "median, of C"
    return [Table("Vector environment, M steps/s", columns, rows, note)]


def random_actions(count: int) -> Iterator[np.ndarray]:
    """Random actions for `count` rows, from a few arrays in turn."""
    return itertools.cycle(np.random.default_rng(0).integers(0, 5, (8, count)))


def _lines(count: int, has_c: bool, effort: Effort) -> list[list[str | float | None]]:
    """Everything at one number of rows."""
    modes = _MODES | (_FOR_MANY if count == _MANY else {})
    cases = [_c(count)] if has_c else []
    cases += [_bare_driver(count), *(_public(name, count, arguments) for name, arguments in modes.items())]
    rates = measure(cases, effort)
    c = rates[0]
    return [
        [case.name, f"{count:,}", rate.best, rate.median, *((rate.best / c.best, rate.over(c)) if has_c else (None, None))]
        for case, rate in zip(cases, rates, strict=True)
    ]


def _c(count: int) -> Case:
    c = c_dark_room.CDarkRoom(count)
    c.reset(0)
    arrays = list(itertools.islice(random_actions(count), 8))
    places = itertools.cycle([(c_dark_room.at(array), array) for array in arrays])
    return Case("C, branchless, -O3 -march=native", lambda: c.step(next(places)[0]), count)


def _bare_driver(count: int) -> Case:
    env: Any = gym.make_vec("MetaRL/DarkRoom-v0", num_envs=count)
    env.reset(seed=0)
    worlds, actions = env.unwrapped._worlds, random_actions(count)
    out = worlds.empty()
    return Case("bare driver", lambda: worlds.advance(next(actions), out), count)


def _public(name: str, count: int, arguments: dict[str, Any]) -> Case:
    env = gym.make_vec("MetaRL/DarkRoom-v0", num_envs=count, **arguments)
    env.reset(seed=0)
    step = _step_and_reset(env) if "Disabled" in arguments.values() else env.step
    actions = random_actions(count)
    return Case(name, lambda: step(next(actions)), count)


def _step_and_reset(env: gym.vector.VectorEnv) -> Callable[[np.ndarray], Any]:
    """With autoreset disabled, the caller begins the trials that follow."""

    def step(actions: np.ndarray) -> Any:
        result = env.step(actions)
        over = result[2] | result[3]
        return env.reset(options={"reset_mask": over}) if over.any() else result

    return step
