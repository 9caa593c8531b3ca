"""Single environments, and other vector environments, as `gym.make` and `gym.make_vec` give them."""

from __future__ import annotations

import itertools

import gymnasium as gym
import minigrid  # noqa: F401  (registers its environments)
from timing import Case, Effort, Table, side_by_side

import metarl_envs  # noqa: F401  (registers its environments)

_YARDSTICK = "CartPole-v1"
_OTHERS = "FrozenLake-v1", "MiniGrid-Empty-8x8-v0"
_VECTOR_ROWS = 4_096


def tables(effort: Effort) -> list[Table]:
    """One table of single environments, one of vector environments."""
    single = [_single(id) for id in (_YARDSTICK, *_OTHERS, *effort.ids)]
    vector = [_vector(id) for id in (_YARDSTICK, *effort.ids)]
    return [
        side_by_side("Single environment through `gym.make`, M steps/s", "id", single, effort, "Resets are included."),
        side_by_side(f"Vector environment of {_VECTOR_ROWS:,} rows, NEXT_STEP, M steps/s", "id", vector, effort),
    ]


def _single(id: str) -> Case:
    env = gym.make(id)
    env.reset(seed=0)
    env.action_space.seed(0)
    actions = [env.action_space.sample() for _ in range(100)]

    def live() -> None:
        for action in actions:
            _, _, terminated, truncated, _ = env.step(action)
            if terminated or truncated:
                env.reset()

    return Case(id, live, len(actions))


def _vector(id: str) -> Case:
    env = gym.make_vec(id, num_envs=_VECTOR_ROWS, vectorization_mode="vector_entry_point")
    env.reset(seed=0)
    env.action_space.seed(0)
    actions = itertools.cycle([env.action_space.sample() for _ in range(8)])
    return Case(id, lambda: env.step(next(actions)), _VECTOR_ROWS)
