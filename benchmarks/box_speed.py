"""Boxes: one at a time through PettingZoo, many as arrays with all observations, and snapshots."""

from __future__ import annotations

import importlib
import itertools

import numpy as np
from timing import Case, Effort, Table, side_by_side

from metarl_envs.boxes import invention_v0, make_vec
from metarl_envs.boxes.envs.parallel import ParallelBox
from metarl_envs.ids import BOXES

#: Trees from small to large.
_TREES = {
    "14 items": {"lineages": 1, "levels": 4, "width": 2, "crossover": 0},
    "172 items": {},
    "652 items": {"levels": 80},
    "2,012 items": {"levels": 250},
}
_BOXES = 16, 256, 2_048


def tables(effort: Effort) -> list[Table]:
    """One table of single boxes, one of batches, one of batches whose arrays are copied; two of all scenarios."""
    trees = list(_TREES)[: 2 if effort.quick else None]  # each is compiled
    single = [make(tree) for make in (_step, _snapshot) for tree in (trees[1], trees[-1])]
    batches = [_batch(tree, count, True) for tree in trees for count in _BOXES]
    copied = [_batch(tree, 256, False) for tree in trees]
    note = "A step is one agent's: six a box. Observations and action masks included; random items are taken."
    title = "Batched boxes of six agents, M agent steps/s"
    scenarios = list(BOXES)[: 1 if effort.quick else None]
    whole = [_scenario(name, reuse) for name in scenarios for reuse in (True, False)]
    one_by_one = [_scenario_step(name) for name in scenarios]
    return [
        side_by_side("One box of six agents, M box steps/s or snapshots/s", "call", single, effort, "Resets are included."),
        side_by_side(f"{title}, arrays reused", "tree, boxes", batches, effort, note),
        side_by_side(f"{title}, fresh arrays", "tree, boxes", copied, effort, note),
        side_by_side("256 boxes of each scenario with its defaults, M agent steps/s", "scenario", whole, effort, note),
        side_by_side("One of each through PettingZoo, M box steps/s", "scenario", one_by_one, effort, "Resets are included."),
    ]


def _scenario(name: str, reuse: bool) -> Case:
    envs = make_vec(name, 256, reuse_arrays=reuse)
    envs.reset(seed=0)
    agents = envs.num_agents
    actions = itertools.cycle(np.random.default_rng(0).integers(0, 6, (8, 256, agents)))
    called = f"{name}, arrays {'reused' if reuse else 'fresh'}"
    return Case(called, lambda: envs.step(next(actions)), 256 * agents)


def _scenario_step(name: str) -> Case:
    module = importlib.import_module(f"metarl_envs.boxes.{name.removesuffix('Box').lower()}_v0")
    return _lived(name, module.parallel_env())


def _step(tree: str) -> Case:
    return _lived(f"step through PettingZoo, {tree}", invention_v0.parallel_env(**_TREES[tree]))


def _lived(called: str, env: ParallelBox) -> Case:
    env.reset(seed=0)
    rng = np.random.default_rng(0)
    actions = [dict(zip(env.agents, rng.integers(0, 12, len(env.agents)).tolist(), strict=True)) for _ in range(100)]

    def live() -> None:
        for action in actions:
            if not env.agents:
                env.reset()
            env.step(action)

    return Case(called, live, len(actions))


def _snapshot(tree: str) -> Case:
    env = invention_v0.parallel_env(**_TREES[tree])
    env.reset(seed=0)
    return Case(f"get_state, {tree}", env.get_state, 1)


def _batch(tree: str, count: int, reuse: bool) -> Case:
    envs = make_vec("InventionBox", count, reuse_arrays=reuse, **_TREES[tree])
    envs.reset(seed=0)
    actions = itertools.cycle(np.random.default_rng(0).integers(0, 6, (8, count, 6)))
    return Case(f"{tree}, {count:,}", lambda: envs.step(next(actions)), count * 6)
