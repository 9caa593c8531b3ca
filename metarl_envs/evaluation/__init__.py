"""Evaluation: references, protocol, statistics, report; and how players explore bandits (`diagnostics`)."""

from metarl_envs.evaluation import diagnostics
from metarl_envs.evaluation.protocol import evaluate
from metarl_envs.evaluation.result import Result, joined, load

__all__ = ["Result", "diagnostics", "evaluate", "joined", "load"]
