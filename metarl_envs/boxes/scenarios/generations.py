"""GenerationsBox: does what is invented outlive its inventors, and grow?"""

from __future__ import annotations

from metarl_envs.boxes.scenarios.box import Box
from metarl_envs.boxes.world.days import DAYS
from metarl_envs.boxes.world.lives import LIVES
from metarl_envs.boxes.world.mechanisms import box_parameters
from metarl_envs.boxes.world.notes import NOTES
from metarl_envs.boxes.world.topology import TOPOLOGY


class GenerationsBox(Box):
    """Agents who live 60 steps each, one after another in six slots, in a box.

    Every ten steps somebody dies, and another is born in its place, who holds the bases and remembers nothing. In its first 20
    steps a newborn copies, one thing a step, what its teacher has, the oldest of those alive. Nothing else passes from life to
    life, and nobody sees the others: with `channel="none"` each begins where the first began. Other channels are a noticeboard,
    which stays, and inherited notebooks. With `copy_error` a copy is of something wrong, now and then, that only looks real.
    """

    params = box_parameters(
        TOPOLOGY,
        DAYS,
        NOTES,
        LIVES,
        short={"horizon": 300},
        small={"levels": 6, "width": 4, "bases": 8, "recipes": 2, "lifespan": 30, "apprenticeship": 10, "horizon": 300},
    ).with_defaults(
        agents=6,
        horizon=600,
        lifespan=60,
        channel="demonstration",
        lineages=1,
        levels=30,
        width=8,
        bases=12,
        recipes=6,
        recency=0.9,
        topology="isolated",
    )
