"""HazardBox: does invention pay those most who harm the others?"""

from __future__ import annotations

from typing import Any

from metarl_envs.arguments import as_seed, at_least_one
from metarl_envs.boxes.scenarios.box import Box
from metarl_envs.boxes.scenarios.schelling import Schelling, diagram
from metarl_envs.boxes.world.days import DAYS
from metarl_envs.boxes.world.hazard import HAZARD
from metarl_envs.boxes.world.mechanisms import box_parameters
from metarl_envs.boxes.world.notes import NOTES
from metarl_envs.boxes.world.topology import TOPOLOGY
from metarl_envs.task_sets import TaskSet


class HazardBox(Box):
    """Agents who may force their luck at the others' cost, in a box.

    A right pair seldom works when it is combined, and more often when it is forced; but to force costs everybody else health,
    and with health everybody's luck goes. What one has can be stolen, given and published. Nobody sees what others make:
    it must be published, or taken. The defaults are a dilemma (`HazardBox.schelling()`): to force always pays oneself, one who
    does costs each of the others a third, and where all do, all lose more than three quarters. So are the presets, in which
    there is half the time: force costs more in them, and health grows back faster.
    """

    params = box_parameters(
        TOPOLOGY,
        DAYS,
        NOTES,
        HAZARD,
        short={"horizon": 120, "harm": 0.4, "regeneration": 0.1},
        small={
            **{"agents": 3, "levels": 3, "bases": 6, "recipes": 2},
            **{"horizon": 120, "harm": 0.6, "regeneration": 0.1},
        },
    ).with_defaults(
        agents=6,
        horizon=240,
        lineages=1,
        levels=10,
        width=4,
        bases=8,
        recipes=3,
        topology="isolated",
        health=10.0,
        p_clean=0.15,
        p_toxic=0.35,
        harm=0.2,
        regeneration=0.05,
    )

    @classmethod
    def schelling(cls, boxes: int = 60, seed: int = 0, **params: Any) -> Schelling:
        """Return the Schelling diagram under these parameters, by a model in NumPy; to print it says what it is.

        Args:
            boxes: how many trees it is averaged over.
            seed: of trees and luck.
            params: parameters of the box.

        Raises:
            ValueError: the model does not cover these parameters: it has at least two isolated experimenters who never
                forget, whose pay is their own, and who are out for good.
        """
        tasks = TaskSet.of_family(cls, **params)
        p, plain = tasks.variant.p, {"topology": "isolated", "day": 0, "illusions": 0.0, "pays": "own", "recover": 0}
        plain |= {"harm_mask": False}
        if odd := next((name for name, value in plain.items() if getattr(p, name) != value), None):
            raise ValueError(f"{odd}={getattr(p, odd)!r} is not covered by the model, which has {odd}={plain[odd]!r}")
        if p.agents < 2 or p.health <= 0:
            raise ValueError(
                f"agents={p.agents} and health={p.health:g}: to harm others takes agents=2 or more, and health above 0"
            )
        return diagram(p, tasks.sample(at_least_one("boxes", boxes), as_seed(seed))["recipe"].astype(int), as_seed(seed))
