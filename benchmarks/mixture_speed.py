"""A mixture of eight families, against each of them alone."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import Any

import gymnasium as gym
import numpy as np
from timing import Case, Effort, Table, side_by_side

_ROWS, _HORIZON = 4_096, 20
_PARTS: dict[str, dict[str, Any]] = {
    "BernoulliBandit": {"arms": 5},
    "GaussianBandit": {"arms": 5},
    "TwoStep": {"change": 0.1},
    "TabularMDP": {"states": 5, "actions": 5},
    "DarkRoom": {"size": 5},
    "GridNavi": {},
    "TMaze": {"length": 19},
    "DarkKeyToDoor": {"size": 5},
}
_DISGUISES = "none", "actions", "both", "projection"
_NOTE = (
    f"`step` of `gym.make_vec`, {_ROWS:,} rows, episodes of {_HORIZON} steps, random actions. Trials of a hundred episodes, so "
    "that few tasks are drawn. A mixture of all eight, behind each kind of disguise; its columns are of the slowest part alone."
)


def tables(effort: Effort) -> list[Table]:
    """One table, the slowest part first."""
    alone = [_case(name, f"MetaRL/{name}-v0", given) for name, given in _PARTS.items()]
    slowest = next(case for case in alone if case.name == "TabularMDP")
    told = ", ".join(f"{name}({', '.join(f'{key}={value}' for key, value in given.items())})" for name, given in _PARTS.items())
    mixed = [
        _case(f"Mixture, disguise={disguise!r}", "MetaRL/Mixture-v0", {"parts": told, "held_out": "none", "disguise": disguise})
        for disguise in _DISGUISES
    ]
    others = [case for case in alone if case is not slowest]
    return [side_by_side("Mixture of eight, M steps/s", "what", [slowest, *mixed, *others], effort, _NOTE)]


def _case(name: str, id: str, given: Mapping[str, Any]) -> Case:
    envs: Any = gym.make_vec(f"metarl_envs:{id}", _ROWS, episodes_per_trial=100, reuse_arrays=True, horizon=_HORIZON, **given)
    envs.reset(seed=0)
    actions = itertools.cycle(np.random.default_rng(0).integers(0, int(envs.single_action_space.n), (8, _ROWS)))
    return Case(name, lambda: envs.step(next(actions)), _ROWS)
