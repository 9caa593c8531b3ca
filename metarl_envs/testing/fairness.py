"""Whether the parts of a family hold the same distribution of tasks, so that a test score says what training could reach."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy import stats

from metarl_envs.engine.compiling.kernels import PLAIN
from metarl_envs.engine.family import Variant
from metarl_envs.engine.player import references_of
from metarl_envs.engine.truth.solving import exact_returns
from metarl_envs.engine.worlds.task_rows import task_hashes
from metarl_envs.histories import lifetime_returns
from metarl_envs.learners import random_policy
from metarl_envs.task_sets import TaskSet
from metarl_envs.testing.runs import make

#: Below this, two parts differ by more than chance: it is so small because every family is asked, of many things.
_NOT_BY_CHANCE = 1e-6
#: A task that comes more often than this share of the smaller sample is a kind of its own.
_LIKELY = 0.01


def check_fair_parts(id: str, params: dict[str, Any]) -> None:
    """Test and validation tasks are of the same kinds as train tasks, as often, and as much can be earned on them."""
    for (part, what), p in part_p_values(id, params, 300 if PLAIN else 1000).items():
        assert p >= _NOT_BY_CHANCE, (
            f"{id}: {part} tasks differ from train tasks in {what} (p = {p:.1g}): is one task much of the distribution? Then "
            "leave it in all parts by a kernel `in_every_part(params, task)`"
        )


def part_p_values(id: str, params: dict[str, Any], count: int = 1000) -> dict[tuple[str, str], float]:
    """Return how likely it is that chance makes validation and test tasks as different from train tasks as they are.

    Compared are, on so many tasks of each part (all, of a finite family): which tasks come again and again (chi-squared); the
    distribution of each number in a task, unless the family has a `task_hash` of its own, which may split by them; and of what
    random and oracle earn on it, which is played where there is no formula, but not in plain mode (Kolmogorov-Smirnov, the
    least p-value times their number).

    Args:
        id: a registered id.
        params: the family's parameters.
        count: of tasks in each part.

    Returns:
        p-values by part and what is compared: `"likely tasks"`, `"numbers in a task"`, `"returns"`.
    """
    family, values = make(id, params).variant.family, dict[tuple[str, str], float]()
    sets = {part: TaskSet.of_family(family, split=part, **params) for part in TaskSet.of_family(family, **params).parts}
    drawn = {part: tasks.rows(min(count, len(tasks)) if tasks.is_finite else count) for part, tasks in sets.items()}
    for part in list(sets)[1:]:
        variant, train, other = sets[part].variant, drawn["train"], drawn[part]
        values[part, "likely tasks"] = _p_of_likely(task_hashes(variant, train)[0], task_hashes(variant, other)[0])
        if variant.family.task_hash is None:
            values[part, "numbers in a task"] = _p_of_columns(_numbers(train), _numbers(other))
        values[part, "returns"] = _p_of_columns(_returns(variant, train), _returns(variant, other))
    return values


def _returns(variant: Variant, tasks: np.ndarray) -> np.ndarray:
    """What random and oracle earn on each task, float64 [task, policy]: exactly, else in one episode, else NaN."""
    earned = np.array([exact_returns(variant, task) or (np.nan, np.nan) for task in tasks]).reshape(-1, 2)
    for i, policy in enumerate((random_policy(variant), references_of(variant).get("oracle"))):
        if np.isnan(earned[:, i]).any() and policy is not None and not PLAIN:
            earned[:, i] = lifetime_returns(tasks, variant, policy, np.arange(len(tasks)), episodes=1).sum(axis=1)
    return np.round(earned, 9)  # sums of equal numbers in another order are equal


def _p_of_likely(one: np.ndarray, other: np.ndarray) -> float:
    """The p-value of how often the likely tasks come in two samples; 1 where there are none, or nothing else."""
    ids, counts = np.unique(np.concatenate([one, other]), return_counts=True)
    likely = ids[counts > max(1, _LIKELY * min(len(one), len(other)))]
    table = np.array([[*(np.sum(ids == task) for task in likely), np.sum(~np.isin(ids, likely))] for ids in (one, other)])
    table = table[:, table.sum(axis=0) > 0]
    if table.shape[1] < 2:
        return 1.0
    result: Any = stats.chi2_contingency(table)
    return float(result.pvalue)


def _p_of_columns(one: np.ndarray, other: np.ndarray) -> float:
    """The p-value of two samples [task, number] of one distribution: the least of all columns that vary, times their number."""
    found: list[float] = []
    for a, b in zip(one.T, other.T, strict=True):
        if np.ptp(np.concatenate([a, b])) > 0:
            result: Any = stats.ks_2samp(a, b, method="asymp")
            found.append(result.pvalue)
    return float(min(1.0, len(found) * min(found))) if found else 1.0


def _numbers(tasks: np.ndarray) -> np.ndarray:
    """Every number in task rows, float64 [task, number]."""
    if tasks.dtype.names is None:
        return tasks.reshape(len(tasks), -1).astype(np.float64)
    return np.concatenate([_numbers(tasks[name]) for name in tasks.dtype.names], axis=1)
