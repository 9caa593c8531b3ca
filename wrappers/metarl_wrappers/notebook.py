"""Notebook: memory outside the agent, on any environment."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from gymnasium.utils import RecordConstructorArgs
from gymnasium.vector import VectorEnv

from metarl_wrappers.arguments import at_least
from metarl_wrappers.observations import extended, named
from metarl_wrappers.rows import Rows, RowsWrapper, Told, VectorRowsWrapper


class _Pages(Rows):
    def __init__(self, observation_space: gym.Space, action_space: gym.Space, count: int, capacity: int, symbols: int):
        if not isinstance(action_space, spaces.Discrete):
            raise ValueError(f"Notebook needs a Discrete action space; it is {action_space}")
        start = np.array([action_space.start, 0, 0])
        actions = spaces.MultiDiscrete(np.array([action_space.n, capacity + 1, symbols]), start=start)
        seen = extended(observation_space, "Notebook", {"notebook": spaces.MultiDiscrete([symbols] * capacity)})
        self._pages = np.zeros((count, capacity + 1), np.int64)  # page 0 is scrap: what is "not written" goes there
        self._first = np.arange(count) * (capacity + 1)
        self._writing = np.zeros((2, count), np.int64)
        self._capacity, self._symbols, self._dtype = capacity, symbols, action_space.dtype
        super().__init__(seen, actions, count)

    def act(self, actions: np.ndarray) -> np.ndarray:
        if actions.shape != (self.count, 3) or actions.dtype.kind not in "iu":
            raise ValueError(
                "each action must be three integers (action, page, symbol); got shape "
                f"{actions.shape} and dtype {actions.dtype}"
            )
        moves, pages, symbols = np.ascontiguousarray(actions.T)
        for name, numbers, high in (("page", pages, self._capacity), ("symbol", symbols, self._symbols - 1)):
            if numbers.min() < 0 or numbers.max() > high:
                raise ValueError(f"the {name} of an action must be in 0..{high}; got {numbers.min()}..{numbers.max()}")
        self._writing = pages, symbols
        return moves.astype(self._dtype, copy=False)

    def step(self, actions: np.ndarray, rewards: np.ndarray, told: Told) -> None:
        pages, symbols = self._writing  # where the action was ignored, a trial starts and empties the pages
        self._pages.reshape(-1)[self._first + pages] = symbols

    def forget(self, rows: np.ndarray) -> None:
        self._pages[rows] = 0

    def observe(self, observations: Any, rows: Any, episode_start: np.ndarray) -> dict[str, Any]:
        return {**named(observations), "notebook": self._pages[rows, 1:].copy()}


class Notebook(RowsWrapper):
    """External memory: with each action the agent may write one symbol, and it always sees what is written.

    Notes stay for the whole trial, across episodes, and are gone at the next: an agent without memory of its own can
    learn in context if it writes down what it must know. Without `info["trial"]`, each episode is a trial of its own.
    They are gone too where a step took the agent's memory (`info["memory_reset"]`: a day in a box ended), since a box has
    notes of its own for that. An action mask in observations or infos stands for the environment's actions alone.

    Action:
        MultiDiscrete([n, capacity + 1, symbols]): the environment's action, the page to write on (0: none), the symbol.

    Observation:
        A flat Dict of the observation (under "observation", or its own keys if it is a flat Dict already) and
        `notebook`: MultiDiscrete([symbols] * capacity), the symbol on each page; an empty page shows symbol 0.

    Info:
        `info["trial"]["final_obs"]`, `info["final_obs"]` become observations of this form.

    Args:
        env: any environment with a Discrete action space and observations that are a Box, Discrete, MultiDiscrete or
            MultiBinary, or a flat Dict of them.
        capacity: the number of pages, at least 1.
        symbols: the number of symbols, at least 2.

    Raises:
        TypeError: `capacity` or `symbols` is no integer.
        ValueError: the spaces or the numbers are others; in `step`, a page or symbol that there is not; at the first
            reset at the latest, a wrapper below changes observations above the trials.

    Example:
        >>> env = Notebook(gym.make("metarl_envs:MetaRL/DarkRoom-v0", episodes_per_trial=10), capacity=2, symbols=9)
        >>> env.action_space
        MultiDiscrete([5 3 9])
    """

    def __init__(self, env: gym.Env, capacity: int, symbols: int):
        capacity, symbols = at_least("capacity", capacity, 1), at_least("symbols", symbols, 2)
        RecordConstructorArgs.__init__(self, capacity=capacity, symbols=symbols)
        super().__init__(env, _Pages, capacity, symbols)


class VectorNotebook(VectorRowsWrapper):
    """The vector form of `Notebook`, in every autoreset mode."""

    def __init__(self, env: VectorEnv, capacity: int, symbols: int):
        capacity, symbols = at_least("capacity", capacity, 1), at_least("symbols", symbols, 2)
        RecordConstructorArgs.__init__(self, capacity=capacity, symbols=symbols)
        super().__init__(env, _Pages, capacity, symbols)
