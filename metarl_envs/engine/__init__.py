"""The engine: rows, kernels, streams, cache, and the drivers over them. It knows no family by name."""

from metarl_envs.engine import canvas
from metarl_envs.engine.canvas import Picture
from metarl_envs.engine.compiling.kernels import PLAIN, kernel
from metarl_envs.engine.family import ByParameters, Family, Returns, TaskErrors, Variant
from metarl_envs.engine.observation_form import bounds_of
from metarl_envs.engine.parameters import Choice, Flag, Integer, Parameters, Preset, Real, Text
from metarl_envs.engine.player import Internal, Oracle, Player, oracle
from metarl_envs.engine.records import Row, extended, record
from metarl_envs.engine.streams import beta, clip, exponential, gamma, normal, randint, uniform
from metarl_envs.engine.uniform_tasks import UniformTasks

__all__ = [
    "PLAIN",
    "ByParameters",
    "Choice",
    "Family",
    "Flag",
    "Integer",
    "Internal",
    "Oracle",
    "Parameters",
    "Picture",
    "Player",
    "Preset",
    "Real",
    "Returns",
    "Row",
    "TaskErrors",
    "Text",
    "UniformTasks",
    "Variant",
    "beta",
    "bounds_of",
    "canvas",
    "clip",
    "exponential",
    "extended",
    "gamma",
    "kernel",
    "normal",
    "oracle",
    "randint",
    "record",
    "uniform",
]
