"""Evaluation: references, protocol, statistics, report; verdicts; how players explore bandits, and do what they know."""

from metarl_envs.evaluation import diagnostics
from metarl_envs.evaluation.gains import Gain, gain
from metarl_envs.evaluation.knowing import knowing_doing
from metarl_envs.evaluation.protocol import evaluate
from metarl_envs.evaluation.result import Result, joined, load
from metarl_envs.evaluation.scalars import scalars
from metarl_envs.evaluation.verdicts import Verdict, verdict

__all__ = [
    "Gain",
    "Result",
    "Verdict",
    "diagnostics",
    "evaluate",
    "gain",
    "joined",
    "knowing_doing",
    "load",
    "scalars",
    "verdict",
]
