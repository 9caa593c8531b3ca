"""How far an agent reaches: longer lives than those that it was trained on, and the learner that it was taught by."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from metarl_envs.engine.family import Variant
from metarl_envs.engine.player import Player
from metarl_envs.evaluation import classes
from metarl_envs.evaluation.classes import Comparison, compared
from metarl_envs.evaluation.result import Result
from metarl_envs.evaluation.statistics import Interval, over_seeds_and_tasks
from metarl_envs.players.networks.shipped import Pretrained
from metarl_envs.players.resolve import Anyone, players_by_name

#: What an agent may lose in longer lives.
MOST_FALL = 0.1
#: Lives are looked at after so many times as many episodes as an agent was trained on.
TIMES = (1, 2, 5, 10)
#: Who has this share of what its source learner comes to need not rise any more.
NEAR_PLATEAU = 0.9
_AGENT, _SOURCE = "agent", "source"


@dataclass(frozen=True)
class Reached:
    """How an agent does in a stretch of a life that is longer than those that it was trained on.

    Attributes:
        times: how many times as many episodes as that are over at the end of the stretch.
        first, last: its episodes, from 1; the first stretch is the last fifth of what it was trained on.
        score: the mean in it, for the distribution of tasks.
        slope: of the score from episode to episode; NaN in one episode.
    """

    times: int
    first: int
    last: int
    score: Interval
    slope: Interval


@dataclass(frozen=True)
class Beyond:
    """Lives that are longer than those that the agent was trained on.

    Attributes:
        scores: of the agent, normalised, [seed, task, lifetime, episode].
        curve: the same as a curve with its interval.
        trained_on: how many episodes those had.
        reach: how many times as many there are here.
        plateau: the score that its source learner comes to, [seed, task]; None where there is none.
    """

    scores: np.ndarray
    curve: np.ndarray
    trained_on: int
    reach: int
    plateau: np.ndarray | None

    @classmethod
    def of(
        cls, first: Result, trained_on: int, reach: int | None, models: list[Anyone], source: Anyone | None, score: Callable
    ) -> Beyond:
        """Let the agent live as long as that takes: where the lives that there are suffice, no others are lived."""
        lived = first.raw[_AGENT].shape[-1]
        if reach is None:
            compiled = all(isinstance(model, Player) for model in models)
            reach = max(times for times in TIMES if times <= 2 or compiled or times * trained_on <= 2 * lived)
        length = reach * trained_on
        found = first if length <= lived else score({_AGENT: lambda model: model}, length)
        plateau = None
        if source is not None:
            whole = TIMES[-1] * trained_on
            told = score({_SOURCE: lambda model: source}, whole).normalised(_SOURCE)
            plateau = told[..., -fifth_of(whole) :].mean(axis=(2, 3))
        return cls(found.normalised(_AGENT), found.curve(_AGENT), trained_on, reach, plateau)

    @functools.cached_property
    def level(self) -> np.ndarray:
        """Return the score in the last fifth of what it was trained on, [seed, task]."""
        return self.scores[..., self.trained_on - fifth_of(self.trained_on) : self.trained_on].mean(axis=(2, 3))

    def comparison(self) -> Comparison | None:
        """Return what it must do beyond: rise, short of the plateau of its source; else, or where none is known, not fall."""
        beyond = self.scores[..., self.trained_on : self.reach * self.trained_on]
        if not beyond.shape[-1]:
            return None
        if self.plateau is not None and beyond.shape[-1] > 1:
            lacks = over_seeds_and_tasks((self.level - NEAR_PLATEAU * self.plateau)[:, :, None, None])
            if lacks.high < 0:
                rise = slopes_of(beyond).mean(axis=(2, 3)) * self.trained_on
                says = "short of its source's plateau, what it rises by beyond in as many episodes as it was trained on"
                return compared(classes.GOES_ON, says, rise, 0.0)
        more = beyond.mean(axis=(2, 3)) - self.level
        says = "score beyond the episodes that it was trained on minus that in their last fifth"
        return compared(classes.GOES_ON, says, more, -MOST_FALL)

    def reached(self) -> list[Reached]:
        """Return the stretches up to each multiple of what it was trained on."""
        ends = [(times, times * self.trained_on) for times in (*(t for t in TIMES if t < self.reach), self.reach)]
        starts = [self.trained_on - fifth_of(self.trained_on), *(end for _, end in ends)]
        return [
            Reached(
                times,
                start + 1,
                end,
                over_seeds_and_tasks(self.scores[..., start:end]),
                over_seeds_and_tasks(slopes_of(self.scores[..., start:end])),
            )
            for start, (times, end) in zip(starts, ends, strict=False)
        ]


def training_of(
    models: list[Anyone], variant: Variant, trained_on: int | None, source: Anyone | str | None
) -> tuple[int | None, Anyone | None]:
    """Return how many episodes agents were trained on, and by whose histories: as was said, or as their cards say.

    Raises:
        ValueError: the source cannot play in the family.
    """
    cards = [model.card for model in models if isinstance(model, Pretrained)]
    if cards and len(cards) == len(models):
        trained_on = trained_on or cards[0].trained_on["episodes"]
        source = source or cards[0].learner
    if source is None:
        return trained_on, None
    [player] = players_by_name({_SOURCE: source}, variant, "sources").values()
    return trained_on, player


def slopes_of(values: np.ndarray) -> np.ndarray:
    """Return the slope of scores [seed, task, lifetime, unit] from unit to unit, one for all units; NaN where there is one."""
    units = np.arange(values.shape[-1]) - (values.shape[-1] - 1) / 2
    if len(units) < 2:
        return np.full_like(values[..., :1], np.nan)
    return (values * units).sum(axis=-1, keepdims=True) / (units**2).sum()


def fifth_of(count: int) -> int:
    """Return a fifth of so many units, and one at least."""
    return max(1, count // 5)
