"""Tabular Q-learning on Dark Room: fused with the environment in one loop, the same loop in C, and in NumPy over rows."""

from __future__ import annotations

import functools
from collections.abc import Callable

import gymnasium as gym
import numpy as np
from c_dark_room import CompilerError, CQLearning
from timing import Case, Effort, Table, side_by_side

from metarl_envs import tasks
from metarl_envs.histories import collect, lifetime_returns
from metarl_envs.learners import QLearning

_ID = "MetaRL/DarkRoom-v0"
_CELLS, _MOVES, _HORIZON = 81, 5, 20
_LIVES, _EPISODES = 256, 50
_NUMPY_ROWS = 256, 1_024, 4_096


def tables(effort: Effort) -> list[Table]:
    """One table."""
    set_of_tasks = tasks(_ID)
    rows = set_of_tasks.sample(_LIVES, 0)
    seeds, steps = np.arange(_LIVES), _EPISODES * _HORIZON

    def score() -> np.ndarray:
        return lifetime_returns(rows, set_of_tasks.variant, QLearning(), seeds, episodes=_EPISODES, workers=1)

    def write() -> float:
        histories = collect(_ID, QLearning(), histories=_LIVES, steps=steps, workers=1)
        return histories.rewards[:, -_HORIZON:].sum(1).mean()

    learners = [NumpyQLearning(count) for count in _NUMPY_ROWS]
    cases = [
        Case("`collect`: every transition written", write, _LIVES * steps),
        Case("`scores`: returns only", score, _LIVES * steps),
        *_in_c(rows["goal"], seeds, score, _LIVES * steps),
        *(Case(f"NumPy, {x.count:,} rows: returns only", x.live_an_episode, x.count * _HORIZON) for x in learners),
    ]
    learnt = write(), score()[:, -1].mean(), *(x.live(_EPISODES)[-1].mean() for x in learners)
    note = (
        "One worker. That all learn the same shows in the mean return of episode "
        f"{_EPISODES}: {', '.join(f'{last:.1f}' for last in learnt)}."
    )
    title = "Q-learning and Dark Room together, M steps/s"
    return [side_by_side(title, "`metarl_envs.histories`", cases, effort, note, "`collect`")]


def _in_c(goals: np.ndarray, seeds: np.ndarray, score: Callable[[], np.ndarray], steps: int) -> list[Case]:
    """The same lives in C, where there is a compiler; RuntimeError where they are not the same lives."""
    try:
        lives = CQLearning(goals, seeds, QLearning().p, _EPISODES)
    except CompilerError as error:
        print(f"left out: C ({error})")
        return []
    if not np.array_equal(lives.live(), score()):
        raise RuntimeError("dark_room.c and metarl_envs.learners.QLearning part ways: they no longer say the same")
    return [Case("C (-O3 -march=native): returns only", lives.live, steps)]


class NumpyQLearning:
    """The same learner with the same hyper-parameters, over all rows of a vector environment at once: row i is life i.

    Args:
        count: of rows.
        keeps: `"returns"`, `"transitions"` of the last episode too, or with `"internals"` the row of Q, epsilon, and TD error.
    """

    def __init__(self, count: int, keeps: str = "returns"):
        shape = _HORIZON, count
        self._kept: dict[str, np.ndarray] = {}
        if keeps != "returns":
            self._kept = {"observation": np.zeros((*shape, 2), np.int16), "action": np.zeros(shape, np.uint8)}
            self._kept |= {"reward": np.zeros(shape, np.float32), "truncated": np.zeros(shape, np.bool_)}
        if keeps == "internals":
            self._kept |= {"q": np.zeros((*shape, _MOVES), np.float32), "epsilon": np.zeros(shape, np.float32)}
            self._kept |= {"td_error": np.zeros(shape, np.float32)}
        self.count, self.hyper = count, QLearning().p
        self._env = gym.make_vec(_ID, num_envs=count, autoreset_mode="SameStep", episodes_per_trial=2**40, reuse_arrays=True)
        self._lives = np.arange(count)
        self._rng = np.random.default_rng(0)
        self.begin()

    def begin(self) -> None:
        """Every life anew."""
        obs, _ = self._env.reset(seed=0)
        self._seen = obs.copy()
        self._q = np.full((self.count * _CELLS, _MOVES), self.hyper.initial_value)
        self._cell = self._cells(obs)
        self._episodes, self._epsilon = 0, self.hyper.epsilon

    def live(self, episodes: int) -> np.ndarray:
        """Returns, [episode, life]."""
        self.begin()
        return np.array([self.live_an_episode() for _ in range(episodes)])

    def live_an_episode(self) -> np.ndarray:
        """Returns, [life]. Dark Room's episodes are equally long and only truncated, so all lives end theirs together."""
        h, q, total = self.hyper, self._q, np.zeros(self.count)
        for time in range(_HORIZON):
            actions = self._act()
            obs, rewards, _, _, info = self._env.step(actions)
            seen = self._cells(info["trial"]["final_obs"]) if time == _HORIZON - 1 else self._cells(obs)
            best = functools.reduce(np.maximum, q.take(seen, 0).T)  # a tenth of what `max(1)` takes
            target = rewards + h.discount * best
            value = q[self._cell, actions]
            if self._kept:
                self._keep(time, actions, rewards, target - value)
                self._seen[:] = obs
            q[self._cell, actions] = value + h.step_size * (target - value)
            self._cell = self._cells(obs)
            total += rewards
        self._episodes += 1
        left = max(0.0, 1.0 - self._episodes / h.epsilon_decay_episodes)
        self._epsilon = h.final_epsilon + (h.epsilon - h.final_epsilon) * left
        return total

    def _keep(self, time: int, actions: np.ndarray, rewards: np.ndarray, td_error: np.ndarray) -> None:
        """Write a step down, as `collect` does."""
        kept = self._kept
        kept["observation"][time], kept["action"][time], kept["reward"][time] = self._seen, actions, rewards
        kept["truncated"][time] = time == _HORIZON - 1
        if "q" in kept:
            kept["q"][time], kept["epsilon"][time], kept["td_error"][time] = self._q[self._cell], self._epsilon, td_error

    def _act(self) -> np.ndarray:
        """Epsilon-greedy; noise far below any difference of values breaks ties at random."""
        noise = self._rng.random((self.count, _MOVES), np.float32)
        actions = np.argmax(self._q.take(self._cell, 0) + 1e-9 * noise, axis=1)
        exploring = np.flatnonzero(self._rng.random(self.count, np.float32) < self._epsilon)
        actions[exploring] = self._rng.integers(0, _MOVES, len(exploring))
        return actions

    def _cells(self, obs: np.ndarray) -> np.ndarray:
        """Each life's row of the table."""
        return self._lives * _CELLS + obs[:, 0] * 9 + obs[:, 1]
