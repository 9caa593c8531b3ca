"""SwapReward: the control in which the reward that is shown was paid on another task."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.utils import RecordConstructorArgs
from gymnasium.vector import VectorEnv

from metarl_wrappers.arguments import as_seed, at_least
from metarl_wrappers.feedback import FeedbackInSight, as_feedback
from metarl_wrappers.rows import Rows, RowsWrapper, Told, VectorRowsWrapper
from metarl_wrappers.streams import TrialStreams, below, keys_from, mix

#: What a life may be made of: NumPy's kinds of bool, integer and floating dtypes.
_NUMBERS = "biuf"


class _OfRows(Rows):
    """All rows stand in one random cycle; each is shown the reward of the next one."""

    def __init__(self, observation_space: gym.Space, action_space: gym.Space, count: int, seed: int):
        if count < 2:
            raise ValueError(
                "VectorSwapReward shows each row the reward of another one, and there is one row only: make the "
                "environment with more, or give the rewards of stored lives, VectorSwapReward(envs, lives)"
            )
        super().__init__(observation_space, action_space, count)
        # At random, since neighbours in a list of tasks may be alike; in one cycle, so that what a row does comes back to it
        # through what the others do with its rewards as late as can be.
        self._cycle = np.argsort(mix(keys_from(seed, 1), np.arange(count)))
        self._next = np.empty(count, np.int64)
        self._next[self._cycle] = np.roll(self._cycle, -1)

    def pay(self, rewards: np.ndarray, told: Told) -> np.ndarray:
        if not told.idle.any():
            return rewards.take(self._next).astype(np.float64, copy=False)
        acting = self._cycle[~told.idle[self._cycle]]
        shown = np.zeros(self.count)
        if len(acting) > 1:
            shown[acting] = rewards[np.roll(acting, -1)]
        return shown


class _Lives:
    """Stored lives one behind the other, which of them each row is shown, and how far it is."""

    def __init__(self, count: int, lives: list[list[Any]], seed: int, lived_by: list[int] | None):
        self._streams = TrialStreams(seed, count)
        lives, self._first_own, self._own = _in_order_of_rows(count, lives, lived_by)
        self.told = np.concatenate([np.array(life, np.float64) for life in lives])
        self._ends = np.cumsum([len(life) for life in lives])
        self._starts = np.concatenate([[0], self._ends[:-1]])
        self._keys = np.zeros(count, np.uint64)
        self._number = np.zeros(count, np.int64)  # of lives shown in this trial before this one
        self.at, self._end = np.zeros((2, count), np.int64)  # where what is next stands, and where its life ends

    def reseed(self, seeded: np.ndarray) -> None:
        """The rows of a bool mask begin again with their first draws."""
        self._streams.reseed(seeded)

    def start(self, rows: np.ndarray) -> None:
        """A trial starts in the rows of a bool mask, with a life of its own."""
        self._keys[rows] = self._streams.start(rows)
        self._number[rows] = 0
        self._draw(rows)

    def advance(self, rows: np.ndarray) -> None:
        """The rows of a bool mask made a step; where a life is over, another one follows."""
        self.at += rows
        over = self.at == self._end
        if over.any():
            self._number += over
            self._draw(over)

    def _draw(self, rows: np.ndarray) -> None:
        life = below(mix(self._keys[rows], self._number[rows]), len(self._ends) - self._own[rows])
        life += (life >= self._first_own[rows]) * self._own[rows]
        self.at[rows], self._end[rows] = self._starts[life], self._ends[life]


def _in_order_of_rows(
    count: int, lives: list[list[Any]], lived_by: list[int] | None
) -> tuple[list[list[Any]], np.ndarray, np.ndarray]:
    """Return lives so that those of a row stand together, and of each row where they begin and how many they are.

    Raises:
        ValueError: a row that there is not is said to have lived one, or all lives are those of one row.
    """
    if lived_by is None:
        return lives, np.zeros(count, np.int64), np.zeros(count, np.int64)
    if max(lived_by) >= count:
        raise ValueError(f"lived_by has row {max(lived_by)}, and there are {count} rows, from 0")
    order = np.argsort(lived_by, kind="stable")
    own = np.bincount(lived_by, minlength=count)
    if len(lives) in own:
        raise ValueError(f"lived_by leaves no life for row {int(own.argmax())} to be shown: all are its own")
    return [lives[i] for i in order], np.cumsum(own) - own, own


class _OfLives(Rows):
    """Each row is shown the rewards of a stored life."""

    def __init__(
        self,
        observation_space: gym.Space,
        action_space: gym.Space,
        count: int,
        lives: _Lives,
    ):
        super().__init__(observation_space, action_space, count)
        self._lives = lives

    def begin(self, rows: np.ndarray, seeded: np.ndarray) -> None:
        self._lives.reseed(seeded)

    def start(self, rows: np.ndarray) -> None:
        self._lives.start(rows)

    def pay(self, rewards: np.ndarray, told: Told) -> np.ndarray:
        return self._lives.told.take(self._lives.at)

    def step(self, actions: np.ndarray, rewards: np.ndarray, told: Told) -> None:
        self._lives.advance(~told.idle)


class _OfLivesInSight(FeedbackInSight):
    """Each row is shown, in its observations, the feedback of a stored life."""

    def __init__(
        self,
        observation_space: gym.Space,
        action_space: gym.Space,
        count: int,
        lives: _Lives,
        feedback: list[int],
    ):
        super().__init__(observation_space, action_space, count, feedback)
        self._lives = lives
        self._shown = np.zeros((count, len(feedback)))

    def begin(self, rows: np.ndarray, seeded: np.ndarray) -> None:
        self._lives.reseed(seeded)

    def start(self, rows: np.ndarray) -> None:
        self._lives.start(rows)

    def step(self, actions: np.ndarray, rewards: np.ndarray, told: Told) -> None:
        self._shown = self._lives.told[self._lives.at]
        self._lives.advance(~told.idle)

    def change(self, told: np.ndarray, rows: Any) -> np.ndarray:
        return self._shown[rows]


def _of_lives(
    observation_space: gym.Space,
    action_space: gym.Space,
    count: int,
    lives: list[list[Any]],
    seed: int,
    feedback: list[int] | None,
    lived_by: list[int] | None = None,
) -> Rows:
    """Return the rows of either kind."""
    stored = _Lives(count, lives, seed, lived_by)
    if feedback is None:
        return _OfLives(observation_space, action_space, count, stored)
    return _OfLivesInSight(observation_space, action_space, count, stored, feedback)


def _as_lives(lives: Any, feedback: list[int] | None) -> list[list[Any]]:
    """Return rewards (or, where it stands in observations, feedback) by life and step as Python floats.

    Raises:
        TypeError: they are no sequence of sequences of real numbers.
        ValueError: there is no life, or one has no step, the wrong shape or a number that is not finite.
    """
    if isinstance(lives, str) or not _is_sequence(lives):
        raise TypeError(f"lives={lives!r} must be a sequence of lives, each the rewards of its steps")
    if len(lives) == 0:
        raise ValueError("lives is empty; give the rewards of at least one life, better of a hundred")
    return [_as_life(f"lives[{i}]", life, feedback) for i, life in enumerate(lives)]


def _is_sequence(value: Any) -> bool:
    return value.ndim > 0 if isinstance(value, np.ndarray) else isinstance(value, Sequence)


def _as_rows(lived_by: Any, lives: list[list[Any]] | None) -> list[int] | None:
    """Return which row lived each life, as a list.

    Raises:
        TypeError: it is no sequence of integers.
        ValueError: there are no lives, or more or fewer than rows are told of; one is negative.
    """
    if lived_by is None:
        return None
    if isinstance(lived_by, str) or not _is_sequence(lived_by):
        raise TypeError(f"lived_by={lived_by!r} must be a sequence of integers: the row that lived each life")
    if lives is None or len(lived_by) != len(lives):
        raise ValueError(f"lived_by tells of {len(lived_by)} lives, and lives holds {len(lives or [])}")
    return [at_least(f"lived_by[{i}]", row, 0) for i, row in enumerate(lived_by)]


def _as_life(name: str, life: Any, feedback: list[int] | None) -> list[Any]:
    what, one = ("rewards", "one number each") if feedback is None else ("feedback", f"{len(feedback)} numbers each")
    try:
        told = np.asarray(life)
    except ValueError as error:  # sequences of several lengths
        raise ValueError(f"{name} must be the {what} of its steps, {one}: {error}") from error
    if told.dtype.kind not in _NUMBERS and told.size:
        raise TypeError(f"{name} must be the {what} of its steps, real numbers; got dtype {told.dtype}")
    each = () if feedback is None else (len(feedback),)
    if told.ndim != 1 + len(each) or told.shape[1:] != each or not told.size:
        wanted = "(steps,)" if feedback is None else f"(steps, {len(feedback)})"
        raise ValueError(f"{name} has the shape {told.shape}; it must be {wanted}, with at least one step")
    if not (finite := np.isfinite(told).reshape(len(told), -1).all(axis=1)).all():
        raise ValueError(f"{name} has {what} that are not finite, the first in step {int(np.argmin(finite))}")
    return told.astype(np.float64).tolist()


class SwapReward(RowsWrapper):
    """Control: the reward that is shown was paid in another life, on another task.

    Rewards come as they come in a life, but neither what the agent does nor the task that it is on has a part in them. An
    agent that learns its task from reward gains nothing; one that gains all the same finds out otherwise, or follows what
    is the same in all tasks. The score of the control is what was paid, so read it from `info`. For evaluating trained
    agents: what `step` returns is what is shown.

    `lives` are rewards that were paid on other tasks than those tested, best to the same agent: each step of a trial shows
    the reward of the same step of one of them, drawn anew for each trial. Where the trial is the longer, another life
    follows. Were the tested task among the tasks of L lives, one trial in L would show rewards that belong to it.

    The draws depend on `seed`, the row, and the number of the trial since `reset(seed=...)` only. Row i of the vector form
    draws as the single form with seed + i.

    Vector form:
        `VectorSwapReward(env)`, without `lives`, shows each row what is paid to another row in the same step, the next in
        a random cycle through all rows that `seed` draws once. Rows must live on tasks of their own, as they do unless
        all are given one. (Where tasks are drawn anew for each row, two may be alike by chance; then the reward shown is
        just as independent of the row's task.) Each reward is shown once, so shown and paid ones add up to the same. A row
        whose action is ignored (NEXT_STEP) is passed over: it shows and is shown none. What a row does can come back to it
        after `num_envs` steps, by what the others do with its rewards, so have many: a hundred, rather than five. The single
        form has no other row, so nothing there equals this. `VectorSwapReward(env, lives, lived_by=...)` shows no row a life
        of its own: `lived_by[i]` is the row that lives on the task of life i.

    Info:
        `info["metarl_control"]["reward"]`: float64, the reward paid by this step (0 at reset). In SAME_STEP,
        `info["final_info"]` has it too.

    Args:
        env: any environment. Put `PreviousStep` or `Context` **above** this wrapper: they show the reward that they are
            given.
        lives: rewards [life, step]: an array, or a sequence of lives that may differ in length. In the vector form it may be
            left out.
        seed: of the draws, an integer of at least 0 and below 2**64.
        feedback: where agents learn from numbers of the observation and not from reward (such as LinearRegression's last
            target): their places in it. Then `lives`, which must be given, hold those numbers, [life, step, place], as they
            were observed after each step; they are shown but in the first observation of an episode, and the reward is
            shown as 0.
        lived_by: of the vector form, with `lives`: for each life the row that lives on its task, which is not shown it.

    Raises:
        TypeError: `lives` holds anything but real numbers, `seed` is no integer, `feedback` or `lived_by` no sequence of
            integers.
        ValueError: there is no life, or one has no step or a number that is not finite; `seed` is out of range; a place is none
            in a Box of floats of one axis; in the vector form, there is one row, or feedback in observations, and no `lives`;
            `lived_by` is not one row for each life, or has a row that there is not, or leaves one no life to be shown.

    Example:
        >>> lives = [[0, 0, 1, 0, 0, 1], [0, 0, 0, 0, 1, 1]]  # such as the rewards of a history
        >>> control = SwapReward(gym.make("metarl_envs:MetaRL/DarkRoom-v0", episodes_per_trial=10), lives)
        >>> envs = gym.make_vec("metarl_envs:MetaRL/DarkRoom-v0", num_envs=100, episodes_per_trial=10)
        >>> controls = VectorPreviousStep(VectorSwapReward(envs))
    """

    def __init__(
        self,
        env: gym.Env,
        lives: Sequence[Sequence[Any]] | np.ndarray,
        seed: int = 0,
        feedback: Sequence[int] | None = None,
    ):
        places, seed = as_feedback(feedback), as_seed(seed)
        given = _as_lives(lives, places)
        RecordConstructorArgs.__init__(self, lives=given, seed=seed, feedback=places)
        super().__init__(env, _of_lives, given, seed, places)


class VectorSwapReward(VectorRowsWrapper):
    """The vector form of `SwapReward`, in every autoreset mode; without `lives`, each row is shown another row's rewards.

    With `lived_by`, which says which row lives on the task of each life, no row is shown its own.
    """

    def __init__(
        self,
        env: VectorEnv,
        lives: Sequence[Sequence[Any]] | np.ndarray | None = None,
        seed: int = 0,
        feedback: Sequence[int] | None = None,
        lived_by: Sequence[int] | None = None,
    ):
        places, seed = as_feedback(feedback), as_seed(seed)
        given = None if lives is None else _as_lives(lives, places)
        if given is None and places is not None:
            raise ValueError(f"feedback={places} in observations needs lives, [life, step, place]: give those of another run")
        rows = _as_rows(lived_by, given)
        RecordConstructorArgs.__init__(self, lives=given, seed=seed, feedback=places, lived_by=rows)
        if given is None:
            super().__init__(env, _OfRows, seed)
        else:
            super().__init__(env, _of_lives, given, seed, places, rows)
