"""`SealedBox` in PettingZoo's interfaces. Arguments: see `metarl_envs.boxes.envs.parallel.ParallelBox`."""

from __future__ import annotations

from typing import Any

from pettingzoo import AECEnv

from metarl_envs.boxes.envs.parallel import ParallelBox, aec, raw_aec
from metarl_envs.boxes.scenarios.sealed import SealedBox


def parallel_env(**arguments: Any) -> ParallelBox:
    """All agents act at once."""
    return ParallelBox(SealedBox, **arguments)


def env(**arguments: Any) -> AECEnv:
    """Agent by agent, with checks of bounds and of the order of calls."""
    return aec(SealedBox, **arguments)


def raw_env(**arguments: Any) -> AECEnv:
    """Agent by agent."""
    return raw_aec(SealedBox, **arguments)
