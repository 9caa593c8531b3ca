"""What each wrapper costs: its vector form around Dark Room, beside the bare environment."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable
from typing import Any

import gymnasium as gym
import numpy as np
from timing import Case, Effort, Table, side_by_side

import metarl_wrappers as w

_ROWS = 4_096
_WRAPPERS: dict[str, Callable[[Any], Any]] = {
    "ForgetEachEpisode": w.VectorForgetEachEpisode,
    "HideBoundaries": w.VectorHideBoundaries,
    "HideReward": w.VectorHideReward,
    "NegateReward": w.VectorNegateReward,
    "SwapReward": w.VectorSwapReward,
    "PermuteActions": w.VectorPermuteActions,
    "PermuteObservation": w.VectorPermuteObservation,
    "PreviousStep": w.VectorPreviousStep,
    "PreviousStep(flat=True)": functools.partial(w.VectorPreviousStep, flat=True),
    "ContextStream": w.VectorContextStream,
    "Context(20)": functools.partial(w.VectorContext, length=20),
    "Notebook(2 pages, 9 symbols)": functools.partial(w.VectorNotebook, capacity=2, symbols=9),
}
_NOTE = (
    "NEXT_STEP, ten episodes a trial. What is below one half must move more memory a step than the environment does: "
    "PreviousStep hands out a one-hot action and three more numbers beside two of Dark Room, a Notebook its pages, "
    "ContextStream a whole transition, Context(L) L of them."
)


def tables(effort: Effort) -> list[Table]:
    """One table."""
    cases = [_case("bare", lambda env: env), *(_case(name, wrap) for name, wrap in _WRAPPERS.items())]
    return [side_by_side(f"Wrappers around {_ROWS:,} rows, M steps/s", "wrapper", cases, effort, _NOTE, first="bare")]


def _case(name: str, wrap: Callable[[Any], Any]) -> Case:
    env = wrap(gym.make_vec("metarl_envs:MetaRL/DarkRoom-v0", num_envs=_ROWS, episodes_per_trial=10))
    env.reset(seed=0)
    env.action_space.seed(0)
    actions = itertools.cycle([np.array(env.action_space.sample()) for _ in range(8)])
    return Case(name, lambda: env.step(next(actions)), _ROWS)
