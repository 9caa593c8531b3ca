"""Boxes: closed groups of agents that invent, see each other, take notes, forget, and die.

A box is a family whose state has an axis of agents; its hidden task is the recipe book (`world.tree`). Every box is a core
(`world.core`: items, hands, experiments, pay) and mechanisms, one file each (`world.topology`, `world.days`, `world.notes`,
`world.symbols`, `world.texts`, `world.lives`, `world.hazard`, `world.claims`). A scenario names its mechanisms, and gives
defaults. What agents can do is one table of verbs (`world.verbs`).
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from metarl_envs.ids import BOXES

if TYPE_CHECKING:
    from metarl_envs.boxes import amnesia_v0, generations_v0, hazard_v0, invention_v0, sealed_v0  # noqa: F401
    from metarl_envs.boxes.envs.batch import make_vec
    from metarl_envs.boxes.envs.social import SocialPay
    from metarl_envs.boxes.envs.text_box import TextBox
    from metarl_envs.boxes.study.compare import compare
    from metarl_envs.boxes.study.demonstrations import demonstrations, histories_of
    from metarl_envs.boxes.study.measures import column, measure
    from metarl_envs.boxes.study.normaliser import score
    from metarl_envs.boxes.study.runs import forecast, run
    from metarl_envs.boxes.study.writing import note_information
    from metarl_envs.players import PlayerError, Run, Seat, load

#: Public names that are imported when they are first used.
_LAZY = {
    "PlayerError": "metarl_envs.players",
    "Run": "metarl_envs.players",
    "Seat": "metarl_envs.players",
    "SocialPay": "metarl_envs.boxes.envs.social",
    "TextBox": "metarl_envs.boxes.envs.text_box",
    "column": "metarl_envs.boxes.study.measures",
    "compare": "metarl_envs.boxes.study.compare",
    "demonstrations": "metarl_envs.boxes.study.demonstrations",
    "forecast": "metarl_envs.boxes.study.runs",
    "histories_of": "metarl_envs.boxes.study.demonstrations",
    "load": "metarl_envs.players",
    "make_vec": "metarl_envs.boxes.envs.batch",
    "measure": "metarl_envs.boxes.study.measures",
    "note_information": "metarl_envs.boxes.study.writing",
    "run": "metarl_envs.boxes.study.runs",
    "score": "metarl_envs.boxes.study.normaliser",
}

#: The modules that PettingZoo's users look for, imported when they are first used as attributes.
_MODULES = tuple(f"{name.removesuffix('Box').lower()}_v0" for name in BOXES)

__all__ = [
    "PlayerError",
    "Run",
    "Seat",
    "SocialPay",
    "TextBox",
    "column",
    "compare",
    "demonstrations",
    "forecast",
    "histories_of",
    "load",
    "make_vec",
    "measure",
    "note_information",
    "run",
    "score",
]


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        return getattr(importlib.import_module(_LAZY[name]), name)
    if name in _MODULES:
        return importlib.import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*__all__, *_MODULES])
