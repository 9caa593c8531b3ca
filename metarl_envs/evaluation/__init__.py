"""Evaluation: references, protocol, statistics, report."""

from metarl_envs.evaluation.agents import Agent, Step
from metarl_envs.evaluation.protocol import evaluate
from metarl_envs.evaluation.result import Result

__all__ = ["Agent", "Result", "Step", "evaluate"]
