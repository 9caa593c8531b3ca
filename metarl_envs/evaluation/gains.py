"""What something is worth: the gain over a control that lives on the same tasks with the same noise, and how sure that is."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from scipy import stats

from metarl_envs.evaluation.statistics import Interval, over_seeds
from metarl_envs.players.run import Run, endings_of

#: More trials than this nobody plays.
_MOST = 10**9


class Gain(NamedTuple):
    """How much more is scored than in the control.

    Attributes:
        difference: the mean of the paired differences, with its 95 % t-interval: for this player, and trials in general.
        trials: how many pairs there are.
        needed: how many pairs would give an interval of `within` to both sides; None where nobody could play as many.
        needed_unpaired: how many of each, if they were not paired.
        within: as was asked.
    """

    difference: Interval
    trials: int
    needed: int | None
    needed_unpaired: int | None
    within: float

    def __str__(self) -> str:
        mean, half = self.difference.mean, self.difference.high - self.difference.mean
        interval = "" if np.isnan(half) else f" ±{half:.3f}"
        counts = " and ".join(
            f"{'more than 10^9' if count is None else f'{count:,}'} {how}"
            for count, how in ((self.needed, "paired"), (self.needed_unpaired, "of each unpaired"))
        )
        return f"{mean:+.3f}{interval} in {self.trials} trials; ±{self.within:g} would take {counts}"


def gain(run: Run, control: Run, *, score: Callable[[Run], np.ndarray] | None = None, within: float = 0.05) -> Gain:
    """Return how much more is scored in a run than in a control: with notes and without, with memory and without.

        >>> from metarl_envs import boxes
        >>> seats, small = {"all": "notes_best_path"}, {"preset": "small", "horizon": 60}
        >>> run = boxes.run("AmnesiaBox", seats, boxes=8, **small)
        >>> print(gain(run, boxes.run("AmnesiaBox", seats, boxes=8, notes=0, **small), score=boxes.score))

    Args:
        run: trials of one player, one row each.
        control: the same tasks with the same noise (equal seeds), in any order; parameters may differ, such as `notes=0`.
        score: of each row, float64 [row], such as `boxes.score` [default: what was paid in all].
        within: the half-width of an interval that would be wanted.

    Raises:
        ValueError: the rows have other tasks or seeds, or one of them twice; a score is NaN; `within` is not above 0; there are
            fewer than two rows.
    """
    if not within > 0:
        raise ValueError(f"within={within!r} must be above 0")
    places, others = _places(run), _places(control)
    if set(places) != set(others) or len(set(places)) < len(places) or len(set(others)) < len(others):
        raise ValueError(f"control={control!r} must have the same tasks and seeds as {run!r}, each once")
    if len(places) < 2:
        raise ValueError(f"run={run!r} has 1 row, and an interval needs 2")
    at = {place: k for k, place in enumerate(others)}
    paid = score or (lambda lived: lived.returns)
    mine, theirs = np.asarray(paid(run), float), np.asarray(paid(control), float)[[at[place] for place in places]]
    if not (np.isfinite(mine).all() and np.isfinite(theirs).all()):
        raise ValueError(f"score={score!r} is not finite in each row: leave out rows in which it has no meaning")
    apart = mine - theirs
    unpaired = float(np.sqrt(mine.var(ddof=1) + theirs.var(ddof=1)))
    return Gain(
        over_seeds(apart), len(apart), _needed(float(apart.std(ddof=1)), within, 1), _needed(unpaired, within, 2), float(within)
    )


def _places(run: Run) -> list[tuple[int, int]]:
    return list(zip(run.seeds.tolist(), endings_of(run.tasks).tolist(), strict=True))


def _needed(spread: float, within: float, samples: int) -> int | None:
    """The least n for which the t-interval of so many samples of n reaches no farther than `within`; None above `_MOST`."""

    def reaches(n: int) -> bool:
        return float(stats.t.ppf(0.975, samples * (n - 1))) * spread / n**0.5 <= within

    low, high = 1, 2
    while not reaches(high):
        low, high = high, 2 * high
        if high > _MOST:
            return None
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if reaches(middle) else (middle, high)
    return high
