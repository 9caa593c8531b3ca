"""What an agent is said to be: comparisons with thresholds, decided together, and one table of rules."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from metarl_envs.evaluation.statistics import Interval, over_seeds_and_tasks

#: How a comparison comes out.
ABOVE, BELOW, OPEN = "above", "below", "open"
#: The chance of any wrong decision in a verdict, at most.
_ALPHA = 0.05

ADAPTS, NEEDS_FEEDBACK, BEATS_GUESS = "adapts", "needs its own feedback", "beats which_part_inferring"
FOLLOWS_REFLECTED, GOES_ON = "follows reflected feedback", "goes on beyond the horizon"
#: What begins the name of a comparison on other tasks, or with actions permuted.
KEEPS = "keeps half "
CLASSES = ("none", "undecided", "heuristic", "task inference", "reward learning", "mixed")
NONE, UNDECIDED, HEURISTIC, INFERENCE, LEARNING, MIXED = CLASSES
#: In order: what an agent is whose comparison of that name (or beginning) is below its threshold.
RULES = (
    (ADAPTS, NONE),
    (NEEDS_FEEDBACK, HEURISTIC),
    (KEEPS, INFERENCE),
    (BEATS_GUESS, INFERENCE),
    (FOLLOWS_REFLECTED, MIXED),
    (GOES_ON, MIXED),
)


@dataclass(frozen=True)
class Comparison:
    """A quantity and the threshold that it is compared with.

    Attributes:
        name: one of those in `RULES`.
        says: what the quantity is.
        found: its mean and 95 % interval, for the distribution of tasks.
        threshold: see above.
        p: the chance, if it were at the threshold, of being at least so far from it; after Holm's correction, 1 where the
            interval is unknown, and 0 where it has no length: who does the same as another on all tasks is not above it.
        outcome: "above" its threshold, or "below" (or on it for sure), or "open" where p is not below .05.
    """

    name: str
    says: str
    found: Interval
    threshold: float
    p: float
    outcome: str = OPEN


def compared(name: str, says: str, values: np.ndarray, threshold: float) -> Comparison:
    """Return a comparison that is not decided yet.

    Args:
        name: see `Comparison`.
        says: see `Comparison`.
        values: the quantity, float64 [seed, task].
        threshold: see `Comparison`.
    """
    whole = values[:, :, None, None]
    return Comparison(name, says, over_seeds_and_tasks(whole), threshold, _p(whole, threshold))


def decided(comparisons: Sequence[Comparison]) -> list[Comparison]:
    """Return the comparisons of one verdict, decided together by Holm's rule: all wrong ones have a chance below .05."""
    order = sorted(range(len(comparisons)), key=lambda i: comparisons[i].p)
    found, least = list(comparisons), 0.0
    for rank, i in enumerate(order):
        one = comparisons[i]
        least = max(least, min(1.0, one.p * (len(comparisons) - rank)))
        side = ABOVE if one.found.mean > one.threshold else BELOW
        found[i] = replace(one, p=least, outcome=side if least < _ALPHA else OPEN)
    return found


def classified(comparisons: Sequence[Comparison]) -> tuple[str, str]:
    """Return the class, and the evidence that decides it: the first comparison in the order of `RULES` that is not above.

    An agent that passes all of them learns from reward, if it was seen to keep what it gains where actions or tasks are
    unlike those that it knows: without such a comparison nothing tells learning from recognising tasks.
    """
    for beginning, name in RULES:
        for one in (one for one in comparisons if one.name.startswith(beginning)):
            if one.outcome == BELOW:
                return name, f"{told(one)}: below {one.threshold:g}"
            if one.outcome == OPEN:
                return UNDECIDED, f"{told(one)}: on neither side of {one.threshold:g} for sure (p {one.p:.2g})"
    if not any(one.name.startswith(KEEPS) for one in comparisons):
        return UNDECIDED, "nothing here tells learning from recognising tasks: no control or shift changes what tasks are like"
    return LEARNING, "; ".join(f"{told(one)}: above {one.threshold:g}" for one in comparisons)


def told(one: Comparison) -> str:
    """Return a comparison in words."""
    return f"{one.name}: {one.says} is {one.found.with_ends('', 3)}"


def as_json(one: Comparison) -> Mapping[str, object]:
    """Return a comparison as JSON types."""
    return {**vars(one), "found": one.found.as_json()}


def _p(values: np.ndarray, threshold: float) -> float:
    """The level at which an interval's end meets the threshold, from 1; 1 where there is no interval, 0 if it has no length."""
    distance = abs(float(values.mean()) - threshold)

    def half(level: float) -> float:
        found = over_seeds_and_tasks(values, level)
        return found.high - found.mean

    if math.isnan(half(0.95)):
        return 1.0
    if half(0.95) == 0:
        return 0.0
    inside, outside = 1.0, 0.0  # of 1 - level: the threshold lies outside of narrow intervals
    for _ in range(60):
        middle = math.sqrt(outside * inside) if outside else inside / 4
        if half(1 - middle) < distance:
            inside = middle
        else:
            outside = middle
        if inside < 1e-12:
            break
    return inside
