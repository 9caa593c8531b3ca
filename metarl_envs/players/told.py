"""What players that are not compiled observe before they act: a step in all rows at once, or a moment in one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from gymnasium import spaces

#: Observations side by side: an array of shape (rows, ...), or a dict of them where one observation is a dict.
Observations = Any


@dataclass(frozen=True)
class Step:
    """Everything that a batch of players is told before it acts: arrays with one element a row.

    Attributes:
        observation: the batched observation, of shape (rows, ...); in boxes a dict of such arrays.
        previous_action: the action of the step before. Where memory is reset there is none, and in its place stands what is
            no action: NaN for Box (of integers: the one below the lowest, or above the highest), and -1 for Discrete and
            MultiDiscrete (the one below the lowest, where actions do not start at 0). `memory_reset` tells where.
        previous_reward: what it paid, float64; 0 where memory is reset. The reward of an episode's last step is here, with the
            first observation of the next episode.
        terminated, truncated: whether that step ended an episode, and how.
        episode_start, trial_start: whether `observation` is the first of an episode, of a trial.
        memory_reset: whether the player must know nothing of what was before `observation`, as at each dawn of a box with
            days, and where a trial starts. No action and no reward of before is told, and the factory has made it anew. (Where
            a control alone says so, it is only told.)
        words_of: gives, for a row, what writes as text what its player is told, and keeps what it needs for that (see
            `Moment.words`); None where there is nothing but numbers.
    """

    observation: Observations
    previous_action: np.ndarray
    previous_reward: np.ndarray
    terminated: np.ndarray
    truncated: np.ndarray
    episode_start: np.ndarray
    trial_start: np.ndarray
    memory_reset: np.ndarray
    words_of: Callable[[int], Callable[[], str]] | None = None

    def of(self, rows: np.ndarray) -> Step:
        """Return the step of some rows, as fresh arrays."""
        words = self.words_of
        told = {name: _taken(value, rows) for name, value in vars(self).items() if name != "words_of"}
        return replace(self, **told, words_of=words and (lambda row: words(int(rows[row]))))

    def moment(self, row: int) -> Moment:
        """Return the moment of one player, in copies of its own."""
        words = self.words_of
        told = {name: _element(value, row) for name, value in vars(self).items() if name != "words_of"}
        return Moment(**told, _words=words and words(row))


@dataclass(frozen=True)
class Moment:
    """All that one player is told before it acts: the elements of a `Step` in its row (flags as bool, the reward as float)."""

    observation: Any
    previous_action: Any
    previous_reward: float
    terminated: bool
    truncated: bool
    episode_start: bool
    trial_start: bool
    memory_reset: bool
    _words: Callable[[], str] | None = None

    @property
    def words(self) -> str:
        """What is observed, as text: in boxes as `TextBox` tells it, elsewhere the numbers."""
        return str(self.observation) if self._words is None else self._words()


def _taken(value: Any, rows: np.ndarray) -> Any:
    if isinstance(value, dict):
        return {name: _taken(part, rows) for name, part in value.items()}
    return np.asarray(value)[rows]


def _element(value: Any, row: int) -> Any:
    if isinstance(value, dict):
        return {name: _element(part, row) for name, part in value.items()}
    element = np.asarray(value)[row]
    return element.copy() if isinstance(element, np.ndarray) else element.item()


def null_actions(space: spaces.Space, rows: int) -> np.ndarray:
    """Return what stands for no action in each row: something outside of the action space.

    Raises:
        ValueError: the space uses every number of its dtype.
    """
    actions = np.stack([np.asarray(space.sample())] * rows)
    if not isinstance(space, spaces.Box):
        return np.full_like(actions, np.asarray(getattr(space, "start", 0)) - 1)
    if np.issubdtype(actions.dtype, np.floating):
        return np.full_like(actions, np.nan)
    holds = np.iinfo(actions.dtype)
    below, above = space.low > holds.min, space.high < holds.max
    if not (below | above).all():
        raise ValueError(f"action space {space} uses every number of its dtype: none is left to say that there was no action")
    return np.full_like(actions, np.where(below, space.low - 1, space.high + 1).astype(actions.dtype))
