"""References: what zero and one mean on each task."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from metarl_envs.engine.family import Returns, Variant, oracle_error
from metarl_envs.engine.learner import Learner
from metarl_envs.histories import scores
from metarl_envs.learners import LEARNERS, random_policy
from metarl_envs.task_sets import TaskSet

#: Tasks that are looked at, for each one wanted, before a set is said to hold too few that can be told from chance.
_LOOKED_AT = 50


@dataclass(frozen=True)
class Scale:
    """Expected returns of one episode on each task, float64 [task]."""

    random: np.ndarray
    oracle: np.ndarray


def scaled_tasks(tasks: TaskSet, count: int, least_spread: float) -> tuple[np.ndarray, Scale, int]:
    """The first `count` tasks on which the oracle earns at least `least_spread` more than random, and their scale.

    A finite set with fewer gives all it has. The third value says how many tasks were passed over.

    Raises:
        ValueError: no task has that spread.
    """
    available = len(tasks) if tasks.is_finite else count * _LOOKED_AT
    kept, random, oracle, looked_at = np.zeros(0, tasks.dtype), np.zeros(0), np.zeros(0), 0
    while looked_at < available and len(kept) < count:
        batch = tasks[looked_at : min(looked_at + count - len(kept), available)]
        batch = batch.rows(len(batch))
        looked_at += len(batch)
        scale = scale_of(tasks.variant, batch)
        wide = scale.oracle - scale.random >= least_spread
        kept = np.append(kept, batch[wide])
        random, oracle = np.append(random, scale.random[wide]), np.append(oracle, scale.oracle[wide])
    if not len(kept):
        raise ValueError(f"none of {looked_at} tasks of {tasks!r} has an oracle that earns {least_spread:g} more than random")
    return kept.astype(tasks.dtype), Scale(random, oracle), looked_at - len(kept)


def scale_of(variant: Variant, tasks: np.ndarray) -> Scale:
    """Exact returns where the family has a formula, else the means of many simulated episodes.

    Raises:
        ValueError: the oracle has neither a formula nor a reference to be simulated.
    """
    exact = np.array([variant.returns(task) or (np.nan, np.nan) for task in tasks]).reshape(-1, 2)
    random, oracle = exact.T
    if problem := oracle_error(variant, Returns(random.sum(), oracle.sum())):
        raise ValueError(problem)
    if np.isnan(random).any():
        random = _simulated(variant, tasks, random_policy(variant))
    if np.isnan(oracle).any():
        oracle = _simulated(variant, tasks, variant.family.references["oracle"])
    return Scale(random, oracle)


def suitable_policies(variant: Variant) -> dict[str, Learner]:
    """By name, all that can live in a family: the learners with default hyper-parameters, and its own references."""
    learners = {name: learner() for name, learner in LEARNERS.items()}
    policies = {**learners, "random": random_policy(variant), **variant.family.references}
    return {name: policy for name, policy in policies.items() if policy.objection(variant) is None}


def _simulated(variant: Variant, tasks: np.ndarray, policy: Learner) -> np.ndarray:
    return scores(tasks, variant, policy, np.arange(len(tasks)), episodes=variant.family.simulated).mean(axis=1)
