"""Whether knowledge accumulates over generations: a box beside its controls, at equal seeds.

`metarl-envs boxes generations` prints it. The controls: a *twin* in which nothing passes from life to life; one *immortal*,
alone for as many steps as all agents have together, who forgets nothing (so it is no bar that those who die are expected to
pass); and the *oracle*, in the seats of those whom it is compared with. They share recipes and, as far as they have the same
agents, noise.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from metarl_envs.boxes.scenarios import box_named
from metarl_envs.boxes.scenarios.box import Box
from metarl_envs.boxes.study.measures import column, measure
from metarl_envs.boxes.study.runs import run
from metarl_envs.boxes.world.core import PARAMETERS
from metarl_envs.boxes.world.lives import has_lives
from metarl_envs.engine import Player
from metarl_envs.evaluation.statistics import over_boxes

#: The most steps that a box may have.
LONGEST = PARAMETERS["horizon"].high
#: What a twin is, in which nothing passes from life to life.
NO_TRANSMISSION = {"channel": "none", "board": 0, "inherit": "nothing", "topology": "isolated"}

Table = list[dict[str, float]]


@dataclass(frozen=True)
class Accumulation:
    """Tables of measures, as `measure` gives them, of the same boxes under four conditions."""

    box: Table
    twin: Table
    oracle: Table
    immortal: Table

    @property
    def generations(self) -> int:
        """How many generations were over at the end."""
        return sum(name.startswith("depth_generation_") for name in self.box[0])

    def depths(self, condition: str) -> np.ndarray:
        """The depth of each generation, float64 [boxes, generations], of "box", "twin" or "oracle"."""
        table = getattr(self, condition)
        return np.stack([column(table, f"depth_generation_{g + 1}") for g in range(self.generations)], axis=1)

    def ratchet(self) -> np.ndarray:
        """The ratchet score of each box, float64 [boxes]: the mean over g of (M_g - twin_g) / (oracle_g - twin_g).

        0 where nothing accumulates, 1 where as much does as with the oracle. Generations in which the oracle is not ahead of
        the twin mean nothing and are left out; NaN where all are.
        """
        twin, oracle = self.depths("twin"), self.depths("oracle")
        told = oracle > twin
        shares = np.where(told, (self.depths("box") - twin) / np.where(told, oracle - twin, 1), 0).sum(axis=1)
        return np.where(told.any(axis=1), shares / np.maximum(told.sum(axis=1), 1), np.nan)

    def of_immortal(self) -> np.ndarray:
        """How deep the last generation came, as a share of how deep the immortal did, [boxes]; NaN where that made nothing."""
        reached = column(self.immortal, "depth")
        return np.where(reached > 0, self.depths("box")[:, -1] / np.maximum(reached, 1), np.nan)

    def report(self) -> str:
        """All of it as two tables in Markdown, with 95 % t-intervals over boxes."""
        lines = ["| generation | depth | without transmission | paired difference | oracle |", "|---|---|---|---|---|"]
        box, twin, oracle = (self.depths(name) for name in ("box", "twin", "oracle"))
        for g in range(self.generations):
            values = box[:, g], twin[:, g], box[:, g] - twin[:, g], oracle[:, g]
            lines.append(f"| {g + 1} | " + " | ".join(_told(each) for each in values) + " |")
        lines += ["", "| measure | here | without transmission |", "|---|---|---|"]
        lines.append(f"| ratchet score | {_told(self.ratchet())} | 0 |")
        for name in ("generation_slope", "loss_rate", "rediscovery_share", "rediscovery_time"):
            lines.append(f"| {name} | {_told(column(self.box, name))} | {_told(column(self.twin, name))} |")
        return "\n".join([*lines, f"| last generation / immortal | {_told(self.of_immortal())} | |"])


def beside_controls(
    box: str | type[Box] = "GenerationsBox", agent: str | Player = "greedy", boxes: int = 200, seed: int = 10_000, **params: Any
) -> Accumulation:
    """Return what is measured in boxes and in their controls.

    Args:
        box: which box; one with lives.
        agent: who sits in all seats.
        boxes: how many, of each condition.
        seed: of the first box.
        params: parameters of the box.

    Raises:
        ValueError: nobody dies in this box, or it is too long for an immortal to live as many steps.
    """
    family = box_named(box)
    p = family.with_params(**params).p
    if not has_lives(p):
        raise ValueError(f"box={box!r} has no generations: give a box with lives, and lifespan=60 or so")
    steps = p.agents * p.horizon
    if steps > LONGEST:
        raise ValueError(f"horizon={p.horizon} with {p.agents} agents is {steps} steps for one immortal; the most is {LONGEST}")

    def table(who: str | Player, **changes: Any) -> Table:
        return measure(run(family, {"all": who}, boxes, seed, **{**params, **changes}))

    return Accumulation(
        box=table(agent),
        twin=table(agent, **NO_TRANSMISSION),
        oracle=table("oracle"),
        immortal=table(agent, **NO_TRANSMISSION, lifespan=0, agents=1, horizon=steps),
    )


def _told(values: np.ndarray) -> str:
    """The mean over boxes and half of its interval."""
    return over_boxes(values).with_half_width()
