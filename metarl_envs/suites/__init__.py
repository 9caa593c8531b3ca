"""Suites: frozen lists of rows, each of which gives an agent one score, and a profile of scores by capability.

>>> from metarl_envs import suites
>>> result = suites.load("quick").run(["q_learning", "thompson"])
>>> result.profile("q_learning")["remember"]
>>> result.save("quick.json")

A suite never changes: it is data with a digest, and gets a successor. See the board in the documentation.
"""

from metarl_envs.suites.frozen import CAPABILITIES
from metarl_envs.suites.result import SuiteResult, joined, load_result
from metarl_envs.suites.rows import BoxRow, CannotPlayError, ChangedError, FamilyRow, Row
from metarl_envs.suites.suite import Suite, load, names

__all__ = [
    "CAPABILITIES",
    "BoxRow",
    "CannotPlayError",
    "ChangedError",
    "FamilyRow",
    "Row",
    "Suite",
    "SuiteResult",
    "joined",
    "load",
    "load_result",
    "names",
]
