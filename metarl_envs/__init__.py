"""Meta-RL environments for Gymnasium. Importing the package registers every id; nothing heavy is imported yet.

>>> import gymnasium as gym
>>> env = gym.make("metarl_envs:MetaRL/DarkRoom-v0", episodes_per_trial=10)
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from metarl_envs.ids import register, register_all

if TYPE_CHECKING:
    from metarl_envs import (  # noqa: F401
        boxes,
        catalogue,
        engine,
        evaluation,
        families,
        histories,
        learners,
        play,
        players,
        protocols,
        suites,
        task_sets,
        testing,
        text,
    )
    from metarl_envs.engine import Family, Player
    from metarl_envs.evaluation import evaluate
    from metarl_envs.task_sets import TaskSet, tasks

__version__ = "0.1.0"

#: Public names that are imported when they are first used.
_LAZY = {
    "TaskSet": "metarl_envs.task_sets",
    "tasks": "metarl_envs.task_sets",
    "evaluate": "metarl_envs.evaluation",
    "Family": "metarl_envs.engine",
    "Player": "metarl_envs.engine",
}

#: The rooms of the package, each imported when it is first used as an attribute.
_ROOMS = (
    "boxes",
    "catalogue",
    "engine",
    "evaluation",
    "families",
    "histories",
    "learners",
    "play",
    "players",
    "protocols",
    "suites",
    "task_sets",
    "testing",
    "text",
)

__all__ = ["Family", "Player", "TaskSet", "__version__", "evaluate", "register", "tasks"]


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        return getattr(importlib.import_module(_LAZY[name]), name)
    if name in _ROOMS:
        return importlib.import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*__all__, *_ROOMS])


register_all()
