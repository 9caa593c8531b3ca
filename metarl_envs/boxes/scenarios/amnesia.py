"""AmnesiaBox: can those who forget every day still invent, by taking notes?"""

from __future__ import annotations

from metarl_envs.boxes.scenarios.box import Box
from metarl_envs.boxes.world.days import DAYS
from metarl_envs.boxes.world.mechanisms import box_parameters
from metarl_envs.boxes.world.notes import NOTES
from metarl_envs.boxes.world.topology import TOPOLOGY


class AmnesiaBox(Box):
    """Agents who forget everything at dawn, and can write, in a box.

    Days have 60 steps. At dawn all is lost but what is written: items are back to the bases, and `forgot` says that memory must
    be rebuilt from nothing. The recipes stay. A note holds one experiment: a pair, and what it seemed to make. To write one
    costs a step, and so does opening a page of eight notes. (With `notation` notes are symbols or text in its place.) With
    `illusions` an experiment that fails seems now and then to work, and yields something that looks real and makes nothing.
    """

    params = box_parameters(
        TOPOLOGY,
        DAYS,
        NOTES,
        short={"horizon": 300},
        small={"levels": 4, "width": 4, "bases": 8, "recipes": 2, "notes": 8, "day": 30, "horizon": 600},
    ).with_defaults(
        agents=1,
        horizon=1500,
        day=60,
        notes=16,
        lineages=1,
        levels=30,
        width=8,
        bases=12,
        recipes=6,
        recency=0.9,
        topology="isolated",
    )
