"""Smaller worlds for tests of every id: where trees are large, tests would draw and print them for minutes."""

from __future__ import annotations

from typing import Any

import gymnasium as gym

from metarl_envs.engine import Row

#: By id. The shift `deeper` sets the levels itself, so that it goes with none of these.
SMALLER: dict[str, dict[str, Any]] = {
    "MetaRL/InventionBox-v0": {"levels": 5, "crossover": 3},
    "MetaRL/AmnesiaBox-v0": {"levels": 2, "width": 6, "bases": 6, "recipes": 2, "notes": 8, "horizon": 1080},
    "MetaRL/GenerationsBox-v0": {"levels": 2, "width": 6, "bases": 6, "recipes": 2, "lifespan": 30, "horizon": 300},
    "MetaRL/HazardBox-v0": {
        "agents": 3,
        "levels": 2,
        "width": 2,
        "bases": 4,
        "recipes": 2,
        "dead_ends": 0.0,
        "harm": 1.0,
        "horizon": 40,
    },
    "MetaRL/SealedBox-v0": {
        "agents": 3,
        "board": 3,
        "page": 3,
        "levels": 2,
        "width": 2,
        "bases": 4,
        "recipes": 2,
        "dead_ends": 0.0,
        "day": 40,
        "lifespan": 80,
        "horizon": 160,
    },
    "MetaRL/Mixture-v0": {
        "parts": "DarkRoom(size=3), BernoulliBandit(arms=3), TMaze(length=5)",
        "horizon": 6,
        "held_out": "TMaze",
    },
}


def smaller(id: str, split: str | None = None) -> dict[str, Any]:
    """Parameters of a smaller world behind an id, and of a split of it; none where it is small as it is."""
    return {} if split and "deeper" in split else SMALLER.get(id.removeprefix("metarl_envs:"), {})


def seat_in(id: str, **params: Any) -> Any:
    """A seat of a box, begun."""
    env = gym.make(id, **params).unwrapped
    env.reset(seed=0)
    return env


def row_of(env: Any) -> Row:
    """What is so in the one world of an environment."""
    return Row(env.get_state()["worlds"]["state"][0])


#: Ids that everyday tests try in plain mode alone, being made of parts that others have compiled; slow tests compile them.
SELDOM_COMPILED = {
    *("MetaRL/GapBandit-v0", "MetaRL/GaussianBandit-v0", "MetaRL/DarkRoomPermuted-v0", "MetaRL/PointRobotSparse-v0"),
    *("MetaRL/Mixture-v0", "MetaRL/AmnesiaBox-v0", "MetaRL/GenerationsBox-v0", "MetaRL/HazardBox-v0", "MetaRL/SealedBox-v0"),
}


_THREE = {"agents": 3, "notes": 1, "page": 2, "levels": 3, "width": 2, "bases": 4, "recipes": 1, "dead_ends": 0.0}
#: Small boxes in which everything happens: who is out comes back, notes are falsified, days end; experiments deceive, agents
#: die, entries are corrupted.
LIVELY_BOXES: dict[str, dict[str, Any]] = {
    "HazardBox": {
        **_THREE,
        "board": 2,
        "p_clean": 0.6,
        "p_toxic": 0.9,
        "harm": 3.0,
        "recover": 3,
        "sabotage": "falsify",
        "day": 20,
        "horizon": 50,
    },
    "SealedBox": {
        **_THREE,
        "board": 4,
        "illusions": 0.3,
        "corruption": 0.5,
        "day": 15,
        "lifespan": 30,
        "selection": "mix",
        "horizon": 60,
    },
}
