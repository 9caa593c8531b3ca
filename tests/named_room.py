"""A Dark Room whose agent is told where it is by name: observations are rows, and their space is a Dict."""

import numpy as np
from gymnasium import spaces

import metarl_envs
from metarl_envs.engine import kernel
from metarl_envs.families.grids.dark_room import DarkRoom

ID = "tests.named_room:Test/NamedRoom-v0"


@kernel
def see_by_name(params, task, state, obs):
    """Where the agent is, the same as a number and as a picture, and whether that is a corner."""
    x, y = state.agent[0], state.agent[1]
    obs.position[0] = x
    obs.position[1] = y
    obs.cell = x * params.size + y
    for i in range(params.size):
        for j in range(params.size):
            obs.image[i, j] = 255 if i == x and j == y else 0


@kernel
def number_by_name(params, obs):
    return obs.cell


class NamedRoom(DarkRoom):
    """Dark Room by name."""

    observe, state_index = see_by_name, number_by_name

    @staticmethod
    def spaces(p):
        """What is seen, by name."""
        seen = {
            "position": spaces.Box(0, p.size - 1, (2,), np.int16),
            "cell": spaces.Discrete(p.size**2),
            "image": spaces.Box(0, 255, (p.size, p.size), np.uint8),
        }
        return spaces.Dict(seen), DarkRoom.spaces(p)[1]

    @staticmethod
    def num_states(p):
        """One state a cell."""
        return p.size**2


metarl_envs.register("Test/NamedRoom-v0", "tests.named_room:NamedRoom")
