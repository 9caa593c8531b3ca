"""`GenerationsBox` in PettingZoo's interfaces. Arguments: see `metarl_envs.boxes.envs.parallel.ParallelBox`."""

from __future__ import annotations

from typing import Unpack

from pettingzoo import AECEnv

from metarl_envs.boxes.envs.parallel import ParallelArguments, ParallelBox, aec, raw_aec
from metarl_envs.boxes.scenarios.generations import GenerationsBox


def parallel_env(**arguments: Unpack[ParallelArguments]) -> ParallelBox:
    """All agents act at once."""
    return ParallelBox(GenerationsBox, **arguments)


def env(**arguments: Unpack[ParallelArguments]) -> AECEnv:
    """Agent by agent, with checks of bounds and of the order of calls."""
    return aec(GenerationsBox, **arguments)


def raw_env(**arguments: Unpack[ParallelArguments]) -> AECEnv:
    """Agent by agent."""
    return raw_aec(GenerationsBox, **arguments)
