"""What bandits share: arms to pull, a count of pulls in sight, and no state that matters."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
from gymnasium.spaces import Box, Discrete

from metarl_envs.engine import Family, Returns, Row, kernel, uniform


@kernel
def see_time(params, task, state, obs):
    """See how much of the episode is over, and nothing else."""
    obs[0] = state.pulls / params.horizon


@kernel
def one_state(params, obs):
    """A bandit has one state."""
    return 0


@kernel
def fill_uniformly(values, low, high, rng):
    """Draw each value between `low` and `high`."""
    for i in range(len(values)):
        values[i] = low + (high - low) * uniform(rng)


@kernel
def place_of_highest(values):
    """Where the highest value stands; the first of equal ones."""
    best = 0
    for i in range(1, len(values)):
        if values[i] > values[best]:
            best = i
    return best


def range_error(p: SimpleNamespace) -> str | None:
    """Why arms cannot be drawn between `low` and `high`: the range must not be upside down."""
    return None if p.low <= p.high else f"low={p.low} must not exceed high={p.high}"


def best_arm_ever_after(p: SimpleNamespace, means: np.ndarray):
    """Q* of a bandit: this pull's mean, and the best arm's in every pull that is left."""

    def q(state: Row, t: int) -> np.ndarray:
        return means + (p.horizon - t - 1) * means.max() if t < p.horizon else np.zeros(p.arms)

    return q


def one_arm_all_the_time(p: SimpleNamespace, means: np.ndarray) -> Returns:
    """Returns of a bandit: the mean arm, and the best arm."""
    return Returns(p.horizon * float(means.mean()), p.horizon * float(means.max()))


class Bandit(Family):
    """A family whose state counts `pulls`, with parameters `arms` and `horizon`."""

    observe, locate = see_time, one_state
    unit = "pulls"

    @staticmethod
    def spaces(p: SimpleNamespace):
        """The share of pulls made; the arms."""
        return Box(0.0, 1.0, (1,), np.float32), Discrete(p.arms)

    @staticmethod
    def states(p: SimpleNamespace) -> int:
        """One state."""
        return 1

    @staticmethod
    def unit_length(p: SimpleNamespace) -> int:
        """At most 20 blocks of pulls, all of one length."""
        return next(length for length in range(-(-p.horizon // 20), p.horizon + 1) if p.horizon % length == 0)
