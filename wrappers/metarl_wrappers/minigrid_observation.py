"""MiniGridObservation: MiniGrid's own encoding in spaces that every library knows, and specs that still work."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from gymnasium.utils import RecordConstructorArgs
from gymnasium.vector import VectorEnv

from metarl_wrappers.rows import Rows, RowsWrapper, VectorRowsWrapper


class _ImageAndDirection(Rows):
    def __init__(self, observation_space: gym.Space, action_space: gym.Space, count: int):
        parts = observation_space.spaces if isinstance(observation_space, spaces.Dict) else {}
        image, direction = parts.get("image"), parts.get("direction")
        if not isinstance(image, spaces.Box) or not isinstance(direction, spaces.Discrete):
            raise ValueError(
                "MiniGridObservation needs MiniGrid's Dict with a Box 'image' and a Discrete 'direction'; it is "
                f"{observation_space}"
            )
        super().__init__(spaces.Dict({"direction": direction, "image": image}), action_space, count)

    def observe(self, observations: Any, rows: Any, episode_start: np.ndarray) -> dict[str, np.ndarray]:
        return {
            "direction": np.array(observations["direction"], np.int64),
            "image": np.array(observations["image"], np.uint8),
        }


class MiniGridObservation(RowsWrapper):
    """What a MiniGrid or BabyAI agent sees, in plain spaces: the image and the direction, without the mission.

    MiniGrid's mission is text in a space of its own, which most libraries do not know, and MiniGrid's own wrappers do
    not record their arguments, so `gymnasium.make(env.spec)` fails after any of them. This wrapper keeps the encoding
    and the spec. (In BabyAI the mission says what is to be done; without it, that is part of the hidden task.)

    Observation:
        A flat Dict of `image`, Box uint8 (7, 7, 3): object, color and state of each cell in view, as MiniGrid numbers
        them; and `direction`, Discrete(4): right, down, left, up.

    Args:
        env: an environment with MiniGrid's observations, not wrapped in MiniGrid's own wrappers.

    Raises:
        ValueError: the observation space is another.

    Example:
        >>> env = MiniGridObservation(gym.make("minigrid:MiniGrid-Empty-5x5-v0"))
        >>> sorted(env.observation_space.spaces)
        ['direction', 'image']
    """

    def __init__(self, env: gym.Env):
        RecordConstructorArgs.__init__(self)
        super().__init__(env, _ImageAndDirection)


class VectorMiniGridObservation(VectorRowsWrapper):
    """The vector form of `MiniGridObservation`, in every autoreset mode."""

    def __init__(self, env: VectorEnv):
        RecordConstructorArgs.__init__(self)
        super().__init__(env, _ImageAndDirection)
