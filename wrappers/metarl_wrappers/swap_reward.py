"""SwapReward: the control in which the reward that is shown was paid on another task."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.utils import RecordConstructorArgs
from gymnasium.vector import VectorEnv

from metarl_wrappers.arguments import as_seed
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


class _OfLives(Rows):
    """Stored lives one behind the other, which of them each row is shown, and how far it is."""

    def __init__(self, observation_space: gym.Space, action_space: gym.Space, count: int, lives: list[list[float]], seed: int):
        super().__init__(observation_space, action_space, count)
        self._streams = TrialStreams(seed, count)
        self._rewards = np.concatenate([np.array(life, np.float64) for life in lives])
        self._ends = np.cumsum([len(life) for life in lives])
        self._starts = np.concatenate([[0], self._ends[:-1]])
        self._keys = np.zeros(count, np.uint64)
        self._number = np.zeros(count, np.int64)  # of lives shown in this trial before this one
        self._at, self._end = np.zeros((2, count), np.int64)  # where the next reward stands, and where its life ends

    def begin(self, rows: np.ndarray, seeded: np.ndarray) -> None:
        self._streams.reseed(seeded)

    def start(self, rows: np.ndarray) -> None:
        self._keys[rows] = self._streams.start(rows)
        self._number[rows] = 0
        self._draw(rows)

    def pay(self, rewards: np.ndarray, told: Told) -> np.ndarray:
        return self._rewards.take(self._at)

    def step(self, actions: np.ndarray, rewards: np.ndarray, told: Told) -> None:
        self._at += ~told.idle
        over = self._at == self._end
        if over.any():
            self._number += over
            self._draw(over)

    def _draw(self, rows: np.ndarray) -> None:
        life = below(mix(self._keys[rows], self._number[rows]), len(self._ends))
        self._at[rows], self._end[rows] = self._starts[life], self._ends[life]


def _as_lives(lives: Any) -> list[list[float]]:
    """Return rewards by life and step as Python floats.

    Raises:
        TypeError: they are no sequence of sequences of real numbers.
        ValueError: there is no life, or one has no step, more than one axis or a reward that is not finite.
    """
    no_sequence = lives.ndim == 0 if isinstance(lives, np.ndarray) else not isinstance(lives, Sequence)
    if no_sequence or isinstance(lives, str):
        raise TypeError(f"lives={lives!r} must be a sequence of lives, each the rewards of its steps")
    if len(lives) == 0:
        raise ValueError("lives is empty; give the rewards of at least one life, better of a hundred")
    return [_as_life(f"lives[{i}]", life) for i, life in enumerate(lives)]


def _as_life(name: str, life: Any) -> list[float]:
    try:
        rewards = np.asarray(life)
    except ValueError as error:  # sequences of several lengths
        raise ValueError(f"{name} must be the rewards of its steps, one number each: {error}") from error
    if rewards.dtype.kind not in _NUMBERS and rewards.size:
        raise TypeError(f"{name} must be the rewards of its steps, real numbers; got dtype {rewards.dtype}")
    if rewards.ndim != 1 or not rewards.size:
        raise ValueError(f"{name} has the shape {rewards.shape}; it must be (steps,), with at least one step")
    if not np.isfinite(rewards).all():
        raise ValueError(f"{name} has rewards that are not finite, the first in step {int(np.argmin(np.isfinite(rewards)))}")
    return rewards.astype(np.float64).tolist()


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
        form has no other row, so nothing there equals this.

    Info:
        `info["metarl_control"]["reward"]`: float64, the reward paid by this step (0 at reset). In SAME_STEP,
        `info["final_info"]` has it too.

    Args:
        env: any environment. Put `PreviousStep` or `Context` **above** this wrapper: they show the reward that they are
            given.
        lives: rewards [life, step]: an array, or a sequence of lives that may differ in length. In the vector form it may be
            left out.
        seed: of the draws, an integer of at least 0 and below 2**64.

    Raises:
        TypeError: `lives` holds anything but real numbers, or `seed` is no integer.
        ValueError: there is no life, or one has no step or a reward that is not finite; `seed` is out of range; in the
            vector form, there is one row and no `lives`.

    Example:
        >>> lives = [[0, 0, 1, 0, 0, 1], [0, 0, 0, 0, 1, 1]]  # such as the rewards of a history
        >>> control = SwapReward(gym.make("metarl_envs:MetaRL/DarkRoom-v0", episodes_per_trial=10), lives)
        >>> envs = gym.make_vec("metarl_envs:MetaRL/DarkRoom-v0", num_envs=100, episodes_per_trial=10)
        >>> controls = VectorPreviousStep(VectorSwapReward(envs))
    """

    def __init__(self, env: gym.Env, lives: Sequence[Sequence[float]] | np.ndarray, seed: int = 0):
        given, seed = _as_lives(lives), as_seed(seed)
        RecordConstructorArgs.__init__(self, lives=given, seed=seed)
        super().__init__(env, _OfLives, given, seed)


class VectorSwapReward(VectorRowsWrapper):
    """The vector form of `SwapReward`, in every autoreset mode; without `lives`, each row is shown another row's rewards."""

    def __init__(self, env: VectorEnv, lives: Sequence[Sequence[float]] | np.ndarray | None = None, seed: int = 0):
        given, seed = None if lives is None else _as_lives(lives), as_seed(seed)
        RecordConstructorArgs.__init__(self, lives=given, seed=seed)
        if given is None:
            super().__init__(env, _OfRows, seed)
        else:
            super().__init__(env, _OfLives, given, seed)
