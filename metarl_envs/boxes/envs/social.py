"""Social pay: what a learner is given in place of its own pay, where it is to care for others, or for what they think of it.

The world pays as ever (`state.reward`): welfare, ledgers and scores are computed from that. With a `SocialPay`, environments
give learners, of the pay r_j that all n agents got in a step,

    cos(svo) r_i + sin(svo) mean of r_j over others j                                        (svo)
    - alpha / (n - 1) sum_j max(0, r_j - r_i) - beta / (n - 1) sum_j max(0, r_i - r_j)       (aversion)
    + approval * mean of what the others think of what i did                                 (approval)

and put r_i into infos, as `pay`.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from metarl_envs.boxes.world.hazard import GAVE, HAZARD, is_harmful, is_told
from metarl_envs.boxes.world.mechanisms import used_in
from metarl_envs.boxes.world.tree import NOTHING
from metarl_envs.engine import kernel
from metarl_envs.engine.compiling.cache import compiled
from metarl_envs.engine.family import Variant
from metarl_envs.engine.worlds.worlds import Worlds


@dataclass(frozen=True)
class SocialPay:
    """How learners are rewarded in place of their own pay; the defaults change nothing.

    Attributes:
        svo: social value orientation, an angle in degrees: 0 cares for its own pay, 45 for both alike, 90 for that of others
            alone; below 0 for what others do not get.
        aversion: alpha and beta, at least 0: what it costs to have less than others, and more (Fehr & Schmidt 1999), by what
            is paid in one and the same step.
        approval: what it is worth to be approved of by all others. Each other agent approves (1) or disapproves (-1) of what
            it is told that an agent did to others in this step (see `visibility`): it disapproves of all that harms (force,
            theft, sabotage, though in vain), and approves of gifts that are accepted and of publications by which it got
            something. Of anything else, and of what it is not told, it thinks nothing (0). It needs a box with hazards.

    Raises:
        TypeError: one of them is no number, or `aversion` is no pair of numbers.
        ValueError: one is not finite, `svo` is not from -180 to 180, or an aversion is below 0.
    """

    svo: float = 0.0
    aversion: tuple[float, float] = (0.0, 0.0)
    approval: float = 0.0

    def __post_init__(self):
        if not isinstance(self.aversion, tuple | list) or len(self.aversion) != 2:
            raise TypeError(f"aversion={self.aversion!r} must be two numbers, (alpha, beta), such as (5.0, 0.05)")
        for name, value in (("svo", self.svo), ("aversion", self.aversion), ("approval", self.approval)):
            for number in value if isinstance(value, tuple | list) else (value,):
                if isinstance(number, bool) or not isinstance(number, int | float | np.integer | np.floating):
                    raise TypeError(f"{name}={value!r} must be {'numbers' if name == 'aversion' else 'a number'}")
                if not math.isfinite(number):
                    raise ValueError(f"{name}={value!r} must be finite")
        if not -180 <= self.svo <= 180:
            raise ValueError(f"svo={self.svo!r} must be an angle in degrees, from -180 to 180, such as 45")
        if min(self.aversion) < 0:
            raise ValueError(f"aversion={self.aversion!r} must be at least 0, such as (5.0, 0.05)")


def oriented(pay: np.ndarray, svo: float) -> np.ndarray:
    """Return cos(svo) own + sin(svo) mean of others, of pay [..., agents] and an angle in degrees."""
    others = (pay.sum(axis=-1, keepdims=True) - pay) / max(1, pay.shape[-1] - 1)
    return math.cos(math.radians(svo)) * pay + math.sin(math.radians(svo)) * others


def inequity(pay: np.ndarray, alpha: float, beta: float) -> np.ndarray:
    """Return what it costs each agent to have less (alpha) and more (beta) than each other one, on average; [..., agents]."""
    ahead = pay[..., :, None] - pay[..., None, :]  # of i, of j
    costs = alpha * np.maximum(0.0, -ahead) + beta * np.maximum(0.0, ahead)
    return costs.sum(axis=-1) / max(1, pay.shape[-1] - 1)


@kernel
def opinion(params, state, j, i):
    """What agent j thinks of what agent i did to others in the last step: 1, 0 or -1."""
    if not is_told(params, state, j, i):
        return 0
    if is_harmful(state.deed[i]):
        return -1
    if state.deed[i] == GAVE:
        return 1 if state.moved[i] != NOTHING else 0
    return int(state.served[i, j])


@functools.lru_cache(maxsize=64)
def _driver(variant: Variant) -> Callable:
    """What writes down the mean opinion that the others have of each agent."""

    def judge(params, worlds, approval, lo, hi):
        p = params[0]
        for b in range(lo, hi):
            for i in range(p.agents):
                approval[b, i] = 0.0
                for j in range(p.agents):
                    if j != i:
                        approval[b, i] += opinion(p, worlds[b].state, j, i) / (p.agents - 1)

    return compiled(f"{variant.name}.approval", judge).judge


class SocialRewards:
    """What the agents of some boxes are given, by what they were paid and did in the step just taken.

    Raises:
        TypeError: `social` is no SocialPay.
        ValueError: others are to approve where nobody can do anything to others.
    """

    def __init__(self, worlds: Worlds, social: SocialPay):
        if not isinstance(social, SocialPay):
            raise TypeError(f"social={social!r} must be a SocialPay, such as SocialPay(svo=45)")
        if social.approval and HAZARD not in used_in(worlds.variant.p):
            raise ValueError(
                f"social={social!r}: nobody in {worlds.variant.name} harms others or does them good; approval needs a box with "
                "hazards (give health above 0)"
            )
        self._worlds, self._social = worlds, social

    def of(self, pay: np.ndarray) -> np.ndarray:
        """The rewards, float64 [boxes, agents], of what was paid, the same."""
        social = self._social
        rewards = oriented(pay, social.svo) - inequity(pay, *social.aversion)
        return rewards + social.approval * self.approval() if social.approval else rewards

    def approval(self) -> np.ndarray:
        """The mean opinion that the others have of what each agent just did, from -1 to 1, float64 [boxes, agents]."""
        worlds = self._worlds
        approval = np.zeros((worlds.count, worlds.variant.p.agents))
        worlds.each(_driver(worlds.variant), (worlds.variant.params, worlds.worlds, approval))
        return approval
