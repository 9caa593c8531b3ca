"""Checks of what a family declares: its reference page, its spaces, its splits."""

from __future__ import annotations

import itertools
import re
import warnings
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.utils.env_checker import check_env

from metarl_envs.catalogue import HEADINGS, SAID_UNDER, own_page, read_page
from metarl_envs.engine.family import Family
from metarl_envs.engine.player import references_of
from metarl_envs.engine.records import Cells
from metarl_envs.engine.splits import EVERY_PART
from metarl_envs.engine.worlds.task_rows import task_hashes
from metarl_envs.histories import collect
from metarl_envs.testing.runs import EPISODES, fixed_actions, make, run, trial_length

#: Worlds in which it is looked at what changes.
_ROWS = 64


def check_reference_page(id: str, params: dict[str, Any]) -> None:
    """The family's docstring has every heading of `HEADINGS`, in order, and explains every parameter.

    What it lacks is taken from the class that it is derived from, but for what it binds anew.
    """
    family = make(id, params).variant.family
    summary, own = own_page(family)
    assert summary, f"{family.__name__} has no docstring of its own: write its reference page"
    assert list(own) == [heading for heading in HEADINGS if heading in own], (
        f"the reference page of {family.__name__} has the headings {list(own)}; their order must be that of {list(HEADINGS)}"
    )
    page = read_page(family)[1]
    assert list(page) == list(HEADINGS), (
        f"the reference page of {family.__name__} has the headings {list(page)}; it must have {list(HEADINGS)}"
    )
    for bound, headings in SAID_UNDER.items():
        unsaid = [heading for heading in headings if heading not in own]
        assert bound not in vars(family) or not unsaid, (
            f"{family.__name__} binds another `{bound}`, so its docstring must have headings of its own: {', '.join(unsaid)}"
        )
    missing = [name for name in family.params.parameters if not re.search(rf"\b{name}\b[^.:]*:", page["Parameters"])]
    told_by = next(base for base in family.__mro__ if "Parameters" in own_page(base)[1])
    assert not missing, (
        f"under Parameters, the docstring of {told_by.__module__}:{told_by.__name__} lacks a `name: meaning` for {missing}"
    )
    parts = make(id, params).tasks.parts
    unsaid = [part for part in parts if not re.search(rf"\b{part}\b", page["Splits"])]
    assert not unsaid, (
        f"{id} has the parts {parts}; under Splits, the reference page of {family.__name__} does not name {unsaid}"
    )


def check_heuristics(id: str, params: dict[str, Any]) -> None:
    """Each name in `heuristics` is that of a reference, and neither of the two that are the ends of the scale."""
    variant = make(id, params).variant
    known = [name for name in references_of(variant) if name not in ("oracle", "random")]
    for name in variant.family.heuristics:
        assert name in known, (
            f"heuristics of {variant.name} names {name!r}, which is none of its references that can be one: "
            f"{', '.join(known) or 'there are none'}"
        )


def check_gymnasium(id: str, params: dict[str, Any]) -> None:
    """`gymnasium.utils.env_checker.check_env` has nothing to say, not even a warning.

    But for two recommendations about spaces that Gymnasium's own CartPole and Pendulum do not follow either.
    """
    family = make(id, params).variant.family
    assert family.draw is not Family.draw, (
        f"{family.__name__} draws no picture, which Gymnasium asks for: write its static method draw(picture, p, state, task)"
    )
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.filterwarnings("ignore", ".*Box observation space (minimum|maximum) value is -?infinity")
        warnings.filterwarnings("ignore", ".*we recommend using a symmetric and normalized space")
        check_env(make(id, params))


def check_spaces(id: str, params: dict[str, Any]) -> None:
    """Every observation lies in the space, with its dtype, and rewards are finite floats."""
    env = make(id, params, episodes_per_trial=EPISODES)
    for obs, reward, *_, info in run(env, fixed_actions(env.action_space, 2 * trial_length(env)), seed=0):
        for name, seen in {"observation": obs, "final_obs": info["trial"]["final_obs"]}.items():
            assert np.asarray(seen).dtype == env.observation_space.dtype, (
                f"{name} of {id} has dtype {np.asarray(seen).dtype}; the space has {env.observation_space.dtype}"
            )
        assert env.observation_space.contains(obs), f"{id} returned {obs!r}, outside {env.observation_space}"
        assert isinstance(reward, float), f"{id} paid {reward!r}; a reward is a Python float"
        assert np.isfinite(reward), f"{id} paid {reward!r}; a reward is finite"


def check_state_index(id: str, params: dict[str, Any]) -> None:
    """In plain mode: `state_index` numbers every observation from 0 to `num_states - 1`; learners use it as an address."""
    env = make(id, params, episodes_per_trial=EPISODES)
    state_index, count = env.variant.state_index, env.variant.num_states
    if state_index is None or count is None:
        return
    row = env.variant.params[0]
    for obs, *_ in run(env, fixed_actions(env.action_space, 2 * trial_length(env)), seed=0):
        index = state_index(row, np.atleast_1d(obs).view(Cells))
        assert index == int(index), f"state_index gave {index!r} for {obs!r} of {id}; an index is an integer"
        assert 0 <= index < count, (
            f"state_index gave {index} for {obs!r} of {id}; num_states says that they go from 0 to {count - 1}"
        )


def check_no_constant_observation(id: str, params: dict[str, Any]) -> None:
    """Every element of the observation takes more than one value in random play, or as one of the family's references plays.

    Elements of which the space has only one value are left out. A reference is asked only where random play is not enough,
    since it is compiled for that: to much that there is to see one comes only by playing well.
    """
    envs: Any = gym.make_vec(id, num_envs=_ROWS, **params)
    obs, _ = envs.reset(seed=0)
    low = high = obs.reshape(_ROWS, -1)
    can_vary = constant = _can_vary(envs.single_observation_space)
    envs.action_space.seed(0)
    for _ in range(max(500, 4 * envs.variant.horizon)):
        obs, *_ = envs.step(envs.action_space.sample())
        low, high = np.minimum(low, obs.reshape(_ROWS, -1)), np.maximum(high, obs.reshape(_ROWS, -1))
        constant = (low.min(axis=0) == high.max(axis=0)) & can_vary
        if not constant.any():
            return
    for reference in envs.variant.family.references:
        played = collect(id, reference, histories=_ROWS, steps=envs.variant.horizon, split=None, **params)
        seen = np.concatenate([low, high, *(history["observation"].reshape(-1, low.shape[1]) for history in played)])
        low, high = seen.min(axis=0, keepdims=True), seen.max(axis=0, keepdims=True)
        constant = (low[0] == high[0]) & can_vary
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
    """Every split can be made with the same spaces; no task is in two parts, in whatever seed, but those meant to be."""
    whole = make(id, params)
    parts = whole.tasks.parts
    shifts = [name for name, change in whole.variant.family.shifts.items() if not set(change) & set(params)]
    for split in (*parts, *shifts):
        env = make(id, params, split=split)
        env.reset(seed=0)
        spaces = env.observation_space, env.action_space
        assert spaces == (whole.observation_space, whole.action_space), (
            f"split={split!r} of {id} has spaces {spaces}; a split leaves them as they are"
        )
    drawn = {part: _task_ids(id, params, part) for part in parts}
    for one, other in itertools.combinations(parts, 2):
        both = drawn[one] & drawn[other]
        assert not both, f"{len(both)} tasks of {id} are both {one} and {other} tasks"


def _task_ids(id: str, params: dict[str, Any], split: str) -> set[int]:
    """What the tasks of the first trials of several environments mean, but for tasks in every part."""
    envs: Any = gym.make_vec(id, num_envs=200, split=split, **params)
    found = set[int]()
    for seed in (0, 1):
        envs.reset(seed=seed)
        ids, parts = task_hashes(envs.variant, envs.get_state()["task_rows"])
        found |= set(ids[parts != EVERY_PART].tolist())
    return found
