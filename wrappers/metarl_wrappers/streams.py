"""Keyed randomness: a draw is a pure function of its key, so no call ever shifts another's draws.

Everything works on arrays with one element a row. Row i of a wrapper seeded s draws what the single form seeded s + i
draws.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from metarl_wrappers.arguments import as_seed

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_FIRST = np.uint64(0xBF58476D1CE4E5B9)
_SECOND = np.uint64(0x94D049BB133111EB)


def mix(key: np.ndarray, *numbers: Any) -> np.ndarray:
    """64 well-mixed bits (SplitMix64) from a uint64 array and integers or integer arrays that broadcast against it."""
    bits = key
    for number in numbers:
        bits = bits + (np.asarray(number).astype(np.uint64, copy=False) + np.ones(1, np.uint64)) * _GOLDEN
        bits ^= bits >> np.uint64(30)
        bits *= _FIRST
        bits ^= bits >> np.uint64(27)
        bits *= _SECOND
        bits ^= bits >> np.uint64(31)
    return bits


def below(bits: np.ndarray, bound: Any) -> np.ndarray:
    """Integers in [0, bound) from 64 random bits; `bound` (a number or an array) is less than 2**31."""
    return ((bits >> np.uint64(32)).astype(np.int64) * bound) >> 32


def cycles(keys: np.ndarray, size: int) -> np.ndarray:
    """One random cycle through 0..size-1 for each key: a permutation (int64) that moves every element."""
    order = np.argsort(mix(keys[:, None], np.arange(size)), axis=1)
    permutation = np.empty_like(order)
    np.put_along_axis(permutation, order, np.roll(order, -1, axis=1), axis=1)
    return permutation


def random_keys(count: int) -> np.ndarray:
    """Keys that nobody can repeat, for when no seed was given."""
    return np.random.SeedSequence().generate_state(count, np.uint64)


def keys_from(seed: int, count: int) -> np.ndarray:
    """Return the keys of rows by Gymnasium's rule: seed, seed + 1, ..., around 2**64."""
    return np.arange(count, dtype=np.uint64) + np.uint64(seed)


def keys_of(seed: int | Sequence[int | None] | None, count: int) -> np.ndarray:
    """Return the key of each row: from an integer, from one for each row, or random where there is none.

    Raises:
        TypeError: a seed is neither an integer nor None.
        ValueError: it is negative, or 2**64 or more.
    """
    keys = random_keys(count)
    if seed is None:
        return keys
    if not isinstance(seed, Sequence | np.ndarray):
        return keys_from(as_seed(seed), count)
    for row, one in enumerate(seed):
        if one is not None:
            keys[row] = as_seed(one, f"seed[{row}]")
    return keys


class TrialStreams:
    """A key for each row and trial: row i starts from seed + i, whatever seed `reset` is given.

    `reset(seed=...)` begins again with the first trial, so that equal seeds give equal trials.
    """

    def __init__(self, seed: int, count: int):
        self._rows = keys_from(seed, count)
        self._trial = np.zeros(count, np.int64)

    def reseed(self, rows: np.ndarray) -> None:
        """Go back to before the first trial in the rows of a bool mask."""
        self._trial[rows] = 0

    def start(self, rows: np.ndarray) -> np.ndarray:
        """Begin the next trial in the rows (indices or bool mask), and give the keys of those rows."""
        self._trial[rows] += 1
        return mix(self._rows[rows], self._trial[rows])


class TrialClock:
    """Counts trials and episodes in each row, and gives every one of them seeds of its own.

    The very first seed after `restart` is the seed that was given; later ones are 31-bit integers mixed from it.
    """

    def __init__(self, count: int):
        self.key = random_keys(count)
        self.trial = np.zeros(count, np.int64)
        self.episode = np.zeros(count, np.int64)

    def restart(self, rows: np.ndarray, keys: np.ndarray) -> None:
        """Begin with trial 0 of a new stream in the rows of a bool mask."""
        self.key[rows] = keys[rows]
        self.trial[rows] = self.episode[rows] = 0

    def new_trial(self, rows: np.ndarray) -> None:
        """Count a trial in the rows of a bool mask."""
        self.trial[rows] += 1
        self.episode[rows] = 0

    def trial_seeds(self) -> np.ndarray:
        """One seed a row (uint64), the same in all episodes of a trial."""
        return np.where(self.trial == 0, self.key, mix(self.key, self.trial) >> np.uint64(33))

    def episode_seeds(self) -> np.ndarray:
        """One seed a row (uint64), another one in each episode."""
        first = (self.trial == 0) & (self.episode == 0)
        return np.where(first, self.key, mix(self.key, self.trial, self.episode) >> np.uint64(33))
