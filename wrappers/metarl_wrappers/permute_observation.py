"""PermuteObservation: the control in which every number of the observation stands elsewhere."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from gymnasium.utils import RecordConstructorArgs
from gymnasium.vector import VectorEnv

from metarl_wrappers.arguments import as_seed
from metarl_wrappers.observations import ALL, named
from metarl_wrappers.rows import Rows, RowsWrapper, VectorRowsWrapper
from metarl_wrappers.streams import TrialStreams, cycles, mix


class _Part:
    """How one part of the observation is permuted: components of a Box or MultiBinary, values of a Discrete."""

    def __init__(self, key: str, space: gym.Space, count: int):
        self.space = space
        if isinstance(space, spaces.Discrete):
            self.size, self._low = int(space.n), int(space.start)
        elif isinstance(space, (spaces.Box, spaces.MultiBinary)):
            self.size, self._low = int(np.prod(space.shape or ())), None
        else:
            raise ValueError(
                "PermuteObservation needs observations that are a Box, Discrete or MultiBinary, or a flat Dict of them; "
                f"{key!r} is {space}. For MiniGrid, wrap in MiniGridObservation first"
            )
        if isinstance(space, spaces.Box):
            shape, dtype = space.shape, space.dtype
            self.space = spaces.Box(np.full(shape, space.low.min()), np.full(shape, space.high.max()), dtype=dtype.type)
        self._table = np.tile(np.arange(self.size), (count, 1))
        self._first = np.arange(count)[:, None] * self.size
        self._where = self._table + self._first

    def draw(self, rows: np.ndarray, keys: np.ndarray) -> None:
        self._table[rows] = cycles(keys, self.size)
        self._where[rows] = self._table[rows] + self._first[rows]

    def apply(self, values: np.ndarray, rows: Any) -> np.ndarray:
        if self._low is not None:
            first = self._first[: len(values), 0] if rows is ALL else self._first[rows, 0]
            numbers = values.astype(np.int64, copy=False) - self._low
            outside = numbers.view(np.uint64) >= self.size  # negative ones are very large so
            if outside.any():
                raise ValueError(f"the observation {values[outside][0]} is outside of {self.space}")
            return (self._table.reshape(-1).take(first + numbers) + self._low).astype(values.dtype, copy=False)
        where = self._where if rows is ALL else self._table[rows] + self._first[: len(values)]
        return np.ascontiguousarray(values).reshape(-1).take(where).reshape(values.shape)


class _Permuted(Rows):
    def __init__(self, observation_space: gym.Space, action_space: gym.Space, count: int, seed: int):
        self._dict = isinstance(observation_space, spaces.Dict)
        seen = dict(named(observation_space))
        kept = {"action_mask"} if self._dict else set()
        parts = {key: _Part(key, part, count) for key, part in seen.items() if key not in kept}
        self._parts = {key: part for key, part in parts.items() if part.size > 1}
        if not self._parts:
            raise ValueError(f"PermuteObservation finds nothing to permute in {observation_space}: one number at most")
        self._streams = TrialStreams(seed, count)
        seen |= {key: part.space for key, part in parts.items()}
        super().__init__(spaces.Dict(seen) if self._dict else seen["observation"], action_space, count)

    def begin(self, rows: np.ndarray, seeded: np.ndarray) -> None:
        self._streams.reseed(seeded)

    def start(self, rows: np.ndarray) -> None:
        keys = self._streams.start(rows)
        for number, part in enumerate(self._parts.values()):
            part.draw(rows, mix(keys, number))

    def observe(self, observations: Any, rows: Any, episode_start: np.ndarray) -> Any:
        seen = {key: value.copy() if key not in self._parts else value for key, value in named(observations).items()}
        seen |= {key: part.apply(seen[key], rows) for key, part in self._parts.items()}
        return seen if self._dict else seen["observation"]


class PermuteObservation(RowsWrapper):
    """Control: in each trial the numbers of the observation stand in other places, by a permutation that is hidden.

    At the start of a trial a random cycle is drawn for each part of the observation: through the components of a Box or
    MultiBinary, through the values of a Discrete, so that nothing stays in its place. It holds for the trial. A policy
    that knows by heart what it sees must fail; one that finds out in context recovers. (With two components the only
    cycle is to swap them.) The `action_mask` of a flat Dict stays as it is, since it stands for the actions in their
    order; see `PermuteActions`.

    The draws depend on `seed`, the row and the number of the trial since `reset(seed=...)` only. Row i of the vector
    form draws as the single form with seed + i.

    Observation:
        As before, but a Box has its lowest low and its highest high as the bounds of every component.

    Info:
        `info["trial"]["final_obs"]`, `info["final_obs"]` are permuted too, as in the trial they belong to.

    Args:
        env: any environment whose observations are a Box, Discrete or MultiBinary, or a flat Dict of them.
        seed: of the draws, an integer of at least 0 and below 2**64.

    Raises:
        TypeError: `seed` is no integer.
        ValueError: the observation space is another, or holds nothing to permute, or `seed` is out of range; at the
            first reset at the latest, a wrapper below changes observations above the trials.

    Example:
        >>> env = PermuteObservation(gym.make("CartPole-v1"), seed=1)
    """

    def __init__(self, env: gym.Env, seed: int = 0):
        seed = as_seed(seed)
        RecordConstructorArgs.__init__(self, seed=seed)
        super().__init__(env, _Permuted, seed)


class VectorPermuteObservation(VectorRowsWrapper):
    """The vector form of `PermuteObservation`, in every autoreset mode."""

    def __init__(self, env: VectorEnv, seed: int = 0):
        seed = as_seed(seed)
        RecordConstructorArgs.__init__(self, seed=seed)
        super().__init__(env, _Permuted, seed)
