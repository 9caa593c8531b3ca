"""SealedBox: does what is known stay true, where nobody remembers, nobody lasts, and experiments deceive?"""

from __future__ import annotations

from metarl_envs.boxes.scenarios.box import Box
from metarl_envs.boxes.world.claims import CLAIMS
from metarl_envs.boxes.world.days import DAYS
from metarl_envs.boxes.world.lives import LIVES
from metarl_envs.boxes.world.mechanisms import box_parameters
from metarl_envs.boxes.world.notes import NOTES
from metarl_envs.boxes.world.topology import TOPOLOGY


class SealedBox(Box):
    """Agents who forget every day, die after three days, and have nothing but a noticeboard, in a box.

    One experiment in ten that fails seems to work. What seemed to work can be claimed on the board, under one's name; others
    can replicate it, cite it, and build on it; its author can retract it. Each entry that has stood for a life names something
    wrong with chance `corruption`, from then on. What is paid is `selection`: what truly works, what is claimed, or what is
    cited. Where what truly works pays, whoever looks at its pay knows at once whether it was deceived (of what it has not made
    before); where it does not, nobody can tell. Scripted scientists never look at their pay.

    What all six earn together by the default selection, "consequentialist", in the mean of 200 boxes (seeds 20,000 to 20,199):
    random 508, never-repeat 1,177, publishers 1,899, sceptics 2,974, the oracle 9,360.
    """

    params = box_parameters(
        TOPOLOGY,
        DAYS,
        NOTES,
        LIVES,
        CLAIMS,
        short={"horizon": 360},
        small={"agents": 3, "levels": 4, "width": 4, "bases": 8, "recipes": 2, "board": 8, "horizon": 360},
    ).with_defaults(
        agents=6,
        horizon=720,
        day=40,
        lifespan=120,
        board=12,
        page=12,
        channel="board",
        selection="consequentialist",
        corruption=0.1,
        illusions=0.1,
        lineages=1,
        levels=20,
        width=8,
        bases=12,
        recipes=6,
        recency=0.9,
        topology="isolated",
    )
