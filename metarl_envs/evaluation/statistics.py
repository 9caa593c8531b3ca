"""Intervals that hold what they promise, for scores [seed, task, lifetime, unit].

One trained model is scored on all tasks, so tasks share what its seed did: an interval over tasks alone is far too narrow
(it covers 20-41 % where it promises 95 %). Two kinds are honest: for *this list of tasks*, a t-interval over the means of
the seeds; for the *distribution of tasks*, a bootstrap that draws seeds and tasks, and keeps each lifetime whole.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy import stats


class Interval(NamedTuple):
    """An estimate and its 95 % interval; the ends are NaN where there is too little to tell."""

    mean: float
    low: float
    high: float


def over_seeds(values: np.ndarray, level: float = 0.95) -> Interval:
    """The t-interval of the mean over axis 0 (seeds), after averaging everything else: for this list of tasks."""
    per_seed = values.reshape(len(values), -1).mean(axis=1)
    mean = float(per_seed.mean())
    if len(per_seed) < 2:
        return Interval(mean, np.nan, np.nan)
    half = float(stats.t.ppf(0.5 + level / 2, len(per_seed) - 1) * stats.sem(per_seed))
    return Interval(mean, mean - half, mean + half)


def bootstrap_curve(values: np.ndarray, resamples: int = 1000, level: float = 0.95, seed: int = 0) -> np.ndarray:
    """Mean and interval of each unit, [3, unit], drawing seeds and tasks with replacement: for the distribution of tasks.

    Args:
        values: [seed, task, lifetime, unit].
        resamples: how many times.
        level: of the interval.
        seed: of the draws.
    """
    rng = np.random.default_rng(seed)
    lives = values.mean(axis=2)  # lifetimes and episodes stay whole
    seeds, tasks, units = lives.shape
    means = np.empty((resamples, units))
    for i in range(resamples):
        drawn_seeds = np.bincount(rng.integers(0, seeds, seeds), minlength=seeds)
        drawn_tasks = np.bincount(rng.integers(0, tasks, tasks), minlength=tasks)
        means[i] = np.einsum("s,t,stu->u", drawn_seeds, drawn_tasks, lives) / (seeds * tasks)
    tail = (1 - level) / 2
    low, high = np.quantile(means, [tail, 1 - tail], axis=0)
    return np.stack([lives.mean(axis=(0, 1)), low, high])


def bootstrap_mean(values: np.ndarray, resamples: int = 1000, seed: int = 0) -> Interval:
    """The same for the mean over everything."""
    curve = bootstrap_curve(values.mean(axis=3, keepdims=True), resamples, seed=seed)
    return Interval(*(float(v) for v in curve[:, 0]))
