"""What passes from generation to generation: how deep each came, what was lost, and when it was found again.

Generation g is the g-th life in every slot of a box, from 1. Counted are those that are over when the box is: with staggered
ages all lives of generation g are over after g * lifespan steps. A generation *knows* an item if one of its lives held the true
thing after some step, or made it: G_g is the set of those inventions (no bases).
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import NamedTuple

import numpy as np

from metarl_envs.boxes.world.core import REAL
from metarl_envs.boxes.world.tree import levels_of


class Generations(NamedTuple):
    """What is kept of the generations of one box.

    Attributes:
        knew: whether a generation knew an item, bool [generations, items].
        missing: for each time that nobody alive held an invention any more: how many steps until somebody did again; -1: never.
    """

    knew: np.ndarray
    missing: list[int]


class Chronicle:
    """What becomes of generations, told step by step.

    Args:
        p: the parameters of boxes with lives.
        boxes: how many.
        items: how many items there are.
    """

    def __init__(self, p: SimpleNamespace, boxes: int, items: int):
        self._p, self._steps = p, 0
        self._knew = np.zeros((boxes, p.horizon // p.lifespan + 2, items), np.bool_)
        self._life = np.zeros((boxes, p.agents), np.int64)
        self._there = np.zeros((boxes, items), np.bool_)
        self._lost_at = np.full((boxes, items), -1)
        self._missing: list[list[int]] = [[] for _ in range(boxes)]

    def tell(self, t: int, states: np.ndarray, known: np.ndarray) -> None:
        """One step more.

        Args:
            t: how many steps there were.
            states: of all boxes after the last of them.
            known: which inventions agents held then or made in it, bool [boxes, agents, items]: where a life ended in this
                step, the last that it knew.
        """
        boxes = np.arange(len(states))
        for i in range(self._p.agents):
            self._knew[boxes, self._life[:, i]] |= known[:, i]
        self._life = states["life"].astype(np.int64)
        there = (states["held"] == REAL).any(axis=1)
        there[:, : self._p.lineages * self._p.bases] = False
        self._lost_at[self._there & ~there] = t
        for b, item in zip(*np.nonzero(there & (self._lost_at >= 0)), strict=True):
            self._missing[b].append(int(t - self._lost_at[b, item]))
            self._lost_at[b, item] = -1
        self._there, self._steps = there, t

    def of(self, box: int) -> Generations:
        """What is kept of one box."""
        never = [-1] * int((self._lost_at[box] >= 0).sum())
        return Generations(self._knew[box, : self._steps // self._p.lifespan], self._missing[box] + never)


def depths(p: SimpleNamespace, generations: Generations) -> np.ndarray:
    """The highest level that a generation knew, M_g = max({0} + {level(x) : x in G_g}), int [generations]."""
    return np.where(generations.knew, levels_of(p), 0).max(axis=1)


def theil_sen(values: np.ndarray) -> float:
    """The median of the slopes between any two values, (v_h - v_g) / (h - g) for g < h; NaN for fewer than two."""
    g, h = np.triu_indices(len(values), 1)
    return float(np.median((values[h] - values[g]) / (h - g))) if len(g) else np.nan


def loss_rate(generations: Generations) -> float:
    """The share of what a generation knew that the next did not: |G_g - G_(g+1)| / |G_g|, the mean over g.

    Generations that knew nothing are left out; NaN where none is left.
    """
    knew, next_knew = generations.knew[:-1], generations.knew[1:]
    some = knew.any(axis=1)
    rates = (knew & ~next_knew)[some].sum(axis=1) / knew[some].sum(axis=1)
    return float(rates.mean()) if len(rates) else np.nan


def rediscovery_time(generations: Generations) -> float:
    """Mean steps from when nobody alive held an invention any more until somebody did, over those found again; NaN if none was.

    To be read beside `rediscovery_share`: where little is found again, only what is found soon is in the mean.
    """
    found = [time for time in generations.missing if time >= 0]
    return float(np.mean(found)) if found else np.nan


def rediscovery_share(generations: Generations) -> float:
    """The share of losses after which the invention was held again; NaN where nothing was ever lost."""
    return float(np.mean([time >= 0 for time in generations.missing])) if generations.missing else np.nan


def columns(p: SimpleNamespace, generations: Generations) -> dict[str, float]:
    """All of these by name: M_g is `depth_generation_<g>`, its Theil-Sen slope (levels a generation) `generation_slope`."""
    by_generation = depths(p, generations)
    return {f"depth_generation_{g}": float(depth) for g, depth in enumerate(by_generation, 1)} | {
        "generation_slope": theil_sen(by_generation),
        "loss_rate": loss_rate(generations),
        "rediscovery_time": rediscovery_time(generations),
        "rediscovery_share": rediscovery_share(generations),
    }
