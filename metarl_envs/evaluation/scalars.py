"""What was found as numbers by name, as TensorBoard and others of its kind take them: `metarl/{family}/{split}/{metric}`."""

from __future__ import annotations

import math
import re

from metarl_envs.engine.splits import ALL_TASKS
from metarl_envs.evaluation.classes import CLASSES
from metarl_envs.evaluation.result import Result
from metarl_envs.evaluation.verdicts import Verdict
from metarl_envs.ids import short


def scalars(found: Result | Verdict) -> dict[str, float]:
    """Return the numbers of a result or a verdict by name.

    Of a result, for each policy: `POLICY/score`, `POLICY/first`, `POLICY/last`, `POLICY/gain`, `POLICY/worst_fifth`,
    `POLICY/regret`. Of a verdict: `adaptation`; for each control, shift and heuristic that could act `adaptation/NAME` and
    `drop/NAME`; for each stretch of longer lives `score/10_times_as_long`; for each class 1 or 0, as in `is/reward_learning`.
    What is not known, as the gain of a cumulative curve, is left out.

        >>> for name, value in scalars(result).items():
        ...     writer.add_scalar(name, value, step)  # a torch.utils.tensorboard.SummaryWriter

    Args:
        found: what `evaluate` or `verdict` returned.
    """
    numbers = _of_result(found) if isinstance(found, Result) else _of_verdict(found)
    family = short(found.id).rpartition("/")[2]
    where = f"metarl/{family}/{found.split or ALL_TASKS}"
    return {f"{where}/{name}": float(value) for name, value in numbers.items() if not math.isnan(value)}


def _of_result(result: Result) -> dict[str, float]:
    numbers: dict[str, float] = {}
    for policy, summary in result.summaries.items():
        own = {"score": summary.aulc.mean, "gain": summary.gain.mean}
        own |= {name: getattr(summary, name) for name in ("first", "last", "worst_fifth", "regret")}
        numbers |= {f"{_plain(policy)}/{name}": value for name, value in own.items()}
    return numbers


def _of_verdict(verdict: Verdict) -> dict[str, float]:
    numbers: dict[str, float] = {}
    for row in verdict.rows:
        if row.adaptation is not None:
            numbers["adaptation" if row.drop is None else f"adaptation/{_plain(row.name)}"] = row.adaptation.mean
        if row.drop is not None:
            numbers[f"drop/{_plain(row.name)}"] = row.drop.mean
    numbers |= {f"score/{one.times}_times_as_long": one.score.mean for one in verdict.reached}
    return numbers | {f"is/{_plain(name)}": float(name == verdict.name) for name in CLASSES}


def _plain(name: str) -> str:
    """A name of letters, digits, dots, dashes and underscores."""
    return re.sub(r"[^A-Za-z0-9.-]+", "_", name).strip("_")
