"""What players that are not compiled observe before they act: a step in all rows at once, or a moment in one."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
from gymnasium import spaces

from metarl_envs.engine.family import Variant
from metarl_envs.engine.sentences import Sentences

#: Observations side by side: an array of shape (rows, ...), or a dict of them where one observation is a dict.
Observations = Any


class Wording(NamedTuple):
    """What a player is told in words, and how it answers in words.

    Attributes:
        rules: what there is to do, and what can be said: the same in a whole trial, for people and language models alike.
        text: what happened, and what is observed.
        sentences: what can be said now.
    """

    rules: str
    text: str
    sentences: Sentences


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
    words_of: Callable[[int], Callable[[], Wording]] | None = None

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
    _words: Callable[[], Wording] | None = None
    #: The seed of the life, the seat and the step: for the record, not for the player, to whom it would tell the time.
    _place: tuple[int, int, int] = (0, 0, 0)

    @property
    def words(self) -> str:
        """What happened and what is observed, as text: in boxes as `TextBox` tells it; the numbers where there are no words."""
        return str(self.observation) if self._words is None else self.wording.text

    @functools.cached_property
    def wording(self) -> Wording:
        """What it is told in words, and how it can answer; ValueError where there are none."""
        if self._words is None:
            raise ValueError(
                "there are no words for what these wrappers show: there are where wrappers leave both spaces as they are, and "
                "never in boxes"
            )
        return self._words()


def rules_in_words(instructions: str, forms: str, *, steps: int, episodes: int, features: np.ndarray | None = None) -> str:
    """Return the rules of a game for people and language models.

    Args:
        instructions: what there is to do.
        forms: what can be said.
        steps: at most in an episode.
        episodes: in a trial.
        features: what is known of each action, [action, dimension].
    """
    lines = [instructions]
    if features is not None:
        lines += [
            f"Features of action {k}: {np.array2string(row, precision=4, separator=', ')}" for k, row in enumerate(features)
        ]
    same = "" if episodes == 1 else f" There are {episodes} episodes in all, with the same things hidden in each."
    lines.append(f"An episode has at most {steps} steps.{same} Earn as much as you can in all.")
    lines.append(f"Each step, say one sentence and nothing else. You can say: {forms}.")
    return "\n".join(lines)


def family_in_words(variant: Variant, episodes: int, state: np.void, task: np.ndarray, moment: Moment) -> Wording:
    """Return what a player in a family is told in words, and how it can answer. Only names of things in boxes need more.

    Args:
        variant: the family with its parameters set.
        episodes: in a trial.
        state: of its world, as it is now.
        task: of its world.
        moment: what it is told in numbers.
    """
    family, p = variant.family, variant.p
    sentences = family.sentences_in(p, state)
    told = {"steps": variant.horizon, "episodes": episodes, "features": family.features(p)}
    rules = rules_in_words(family.instructions(p), sentences.forms(), **told)
    return Wording(
        rules, "\n".join([*_outcome(variant, moment), family.words_in(p, state, task, moment.observation)]), sentences
    )


def _outcome(variant: Variant, moment: Moment) -> list[str]:
    """What came of the last step, which is not told where memory is reset."""
    if moment.memory_reset or variant.family.words_tell_outcome:
        return []
    did = variant.action_names[moment.previous_action] if variant.action_names else _numbers(moment.previous_action)
    lines = [f"You did: {did}. It paid {moment.previous_reward:.6g}."]
    if moment.terminated or moment.truncated:
        how = "The episode is over." if moment.terminated else "The episode is over: its steps are used up."
        lines.append(how + (" The next one begins." if moment.episode_start else ""))
    return lines


def _numbers(action: Any) -> str:
    return " ".join(f"{number:g}" for number in np.ravel(action))


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
