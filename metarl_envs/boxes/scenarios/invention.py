"""InventionBox: does a group invent more together than apart?"""

from __future__ import annotations

from metarl_envs.boxes.scenarios.box import Box
from metarl_envs.boxes.world.days import DAYS
from metarl_envs.boxes.world.mechanisms import box_parameters
from metarl_envs.boxes.world.notes import NOTES
from metarl_envs.boxes.world.topology import TOPOLOGY


class InventionBox(Box):
    """Agents in a box find out what can be made from what; whether they see each other's inventions is the question.

    Two lineages of items; every sixth level of each needs an ingredient of the other. One lineage may pay more
    (`value_bias`), which draws everybody into it and away from what both together would make possible. Published effects, in
    other settings: groups whose members are only now and then together invent most where paths must be merged (Derex & Boyd
    2016; SAPIENS, Nisioti et al. 2022), and full connection is best where there is a single path.
    """

    params = box_parameters(TOPOLOGY, DAYS, NOTES, short={"horizon": 300}, small={"levels": 5, "crossover": 3}).with_defaults(
        agents=6, horizon=500, lineages=2, crossover=6, levels=20, width=4
    )
