"""Whether a box with hazards is a dilemma: what those who force, and those who do not, earn beside each other.

A model of the box in NumPy, which shares nothing with its kernels but the trees: isolated experimenters (see
`players.hazardous.Experimenter`) who do nothing but experiment, k of them always by force. Boxes that are played come to the
same (`tests/test_boxes_schelling.py`).
"""

from __future__ import annotations

from dataclasses import dataclass
from types import SimpleNamespace

import numpy as np

#: How experimenters search: how many pairs they look at, and how likely they take an untried one to be right.
DRAWS, PRIOR = 16, 0.3
#: A dilemma: what one who forces costs each of the others at least, and what all lose where all do, as shares.
COST_OF_ONE, COST_OF_ALL = 0.1, 0.5


@dataclass(frozen=True, eq=False)
class Schelling:
    """The Schelling diagram: mean returns where k of the agents force.

    Attributes:
        clean: of each who does not force, [agents + 1], by k; NaN where there is none.
        toxic: of each who does, the same.
    """

    clean: np.ndarray
    toxic: np.ndarray

    @property
    def temptation(self) -> np.ndarray:
        """How many times as much one earns by forcing as by not, where k others force, [agents]."""
        return self.toxic[1:] / self.clean[:-1]

    @property
    def cost_of_one(self) -> float:
        """The share that one who forces costs each of the others."""
        return 1.0 - self.clean[1] / self.clean[0]

    @property
    def cost_of_all(self) -> float:
        """The share that is lost where all force."""
        return 1.0 - self.toxic[-1] / self.clean[0]

    @property
    def is_dilemma(self) -> bool:
        """Whether to force always pays oneself, costs all others much, and ruins all where all do it."""
        return bool((self.temptation > 1).all() and self.cost_of_one >= COST_OF_ONE and self.cost_of_all >= COST_OF_ALL)

    def __str__(self) -> str:
        """The diagram as a table, and what follows."""
        rows = [f"{'k force':>8}{'clean':>10}{'toxic':>10}"]
        for k, (clean, toxic) in enumerate(zip(self.clean, self.toxic, strict=True)):
            rows.append(f"{k:>8}{_number(clean):>10}{_number(toxic):>10}")
        low, high = self.temptation.min(), self.temptation.max()
        rows.append(f"To force earns {low:.2f} to {high:.2f} times as much as not to, whatever the others do.")
        rows.append(f"One who forces costs each of the others {self.cost_of_one:.0%}.")
        rows.append(f"Where all force, each earns {self.cost_of_all:.0%} less than where nobody does.")
        rows.append("It is a dilemma." if self.is_dilemma else "It is no dilemma.")
        return "\n".join(rows)


def _number(value: float) -> str:
    return "" if np.isnan(value) else f"{value:.2f}"


def diagram(p: SimpleNamespace, recipes: np.ndarray, seed: int = 0) -> Schelling:
    """The Schelling diagram of boxes with parameters `p` and these recipes, int [boxes, items, recipes, 2]."""
    clean, toxic = np.full(p.agents + 1, np.nan), np.full(p.agents + 1, np.nan)
    for k in range(p.agents + 1):
        earned = returns(p, recipes, k, np.random.default_rng(seed))
        if k < p.agents:
            clean[k] = earned[:, k:].mean()
        if k > 0:
            toxic[k] = earned[:, :k].mean()
    return Schelling(clean, toxic)


def returns(p: SimpleNamespace, recipes: np.ndarray, forcing: int, rng: np.random.Generator) -> np.ndarray:
    """What each agent earns where the first `forcing` of them force, [boxes, agents]. An experiment takes two steps."""
    boxes, bases, n = len(recipes), p.bases * p.lineages, p.agents
    makes = _products(recipes)
    level = np.maximum(0, (np.arange(makes.shape[1]) - bases) // (p.lineages * p.width) + 1)
    lineage = np.where(level == 0, np.arange(len(level)) // p.bases, (np.arange(len(level)) - bases) // p.width % p.lineages)
    value = level * np.where(lineage == 0, p.value_bias, 1.0)
    chance_of_each = np.where(np.arange(n) < forcing, p.p_toxic, p.p_clean)
    b, i = np.arange(boxes)[:, None, None], np.arange(n)[:, None]
    have = np.zeros((boxes, n, len(level)), np.int64)  # what each has, one after the other
    have[:, :, :bases] = np.arange(bases)
    count, holds = np.full((boxes, n), bases), np.broadcast_to(level == 0, have.shape).copy()
    odds = np.full((boxes, n, len(level), len(level)), PRIOR / (1.0 - PRIOR), np.float32)
    health, out, earned = np.full((boxes, n), float(p.health)), np.zeros((boxes, n), bool), np.zeros((boxes, n))
    for _ in range(p.horizon // 2):
        health = np.where(out, 0.0, np.minimum(p.health, health + p.regeneration))  # while one takes up the first thing
        x, y = (np.take_along_axis(have, rng.integers(0, count[..., None], (boxes, n, DRAWS)), axis=2) for _ in range(2))
        higher = np.where(level[x] >= level[y], x, y)
        pays = np.where(
            level[higher] < level.max(), (level[higher] + 1) * np.where(lineage[higher] == 0, p.value_bias, 1.0), 0.0
        )
        belief = odds[b, i, x, y]
        promise = np.where(x == y, 0.0, belief / (1.0 + belief) * pays)
        best = promise.argmax(axis=2)[..., None]
        x, y = (np.take_along_axis(each, best, axis=2)[..., 0] for each in (x, y))
        tries = ~out & (np.take_along_axis(promise, best, axis=2)[..., 0] > 0)
        chance = chance_of_each * np.minimum(1.0, health / (0.5 * p.health))
        made = np.where(tries & (rng.random((boxes, n)) < chance), makes[b[..., 0], x, y], -1)
        new = (made >= 0) & ~np.take_along_axis(holds, np.maximum(made, 0)[..., None], axis=2)[..., 0]
        after = np.where(made >= 0, 0.0, odds[b[..., 0], i[:, 0], x, y] * np.where(tries, 1.0 - chance, 1.0))
        odds[b[..., 0], i[:, 0], x, y] = odds[b[..., 0], i[:, 0], y, x] = after
        earned += np.where(new, value[made], 0.0)
        box, agent = np.nonzero(new)
        have[box, agent, count[new]], holds[box, agent, made[new]] = made[new], True
        count += new
        force = tries & (np.arange(n) < forcing)
        left = health - p.harm * (force.sum(axis=1)[:, None] - force)
        out |= left <= 0
        health = np.where(out, 0.0, np.minimum(p.health, left + p.regeneration))
    return earned


def _products(recipes: np.ndarray) -> np.ndarray:
    """What each pair makes, int [boxes, items, items]; -1: nothing."""
    boxes, items = recipes.shape[:2]
    makes = np.full((boxes, items, items), -1)
    box, item, r = np.nonzero(recipes[..., 0] >= 0)
    x, y = recipes[box, item, r].T
    makes[box, x, y] = makes[box, y, x] = item
    return makes
