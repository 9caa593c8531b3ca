"""Every learner on every id that it fits, in the fused loop that writes every transition."""

from __future__ import annotations

from timing import Case, Effort, Table, measure

from metarl_envs import tasks
from metarl_envs.engine import Player
from metarl_envs.histories import collect
from metarl_envs.learners import LEARNERS

_LIVES, _STEPS = 64, 500


def tables(effort: Effort) -> list[Table]:
    """One table."""
    pairs = [
        (id, learner()) for id in effort.ids for learner in LEARNERS.values() if learner().runs_by_default(tasks(id).variant)
    ]
    rates = measure([_case(id, learner) for id, learner in pairs], effort)
    rows = [[id, type(learner).__name__, rate.best, rate.median] for (id, learner), rate in zip(pairs, rates, strict=True)]
    note = f"`histories.collect`: {_LIVES} lives of {_STEPS} steps, every transition written."
    return [Table("Learners, one worker, M steps/s", ("id", "learner", "best", "median"), rows, note)]


def _case(id: str, learner: Player) -> Case:
    return Case(id, lambda: collect(id, learner, histories=_LIVES, steps=_STEPS, workers=1), _LIVES * _STEPS)
