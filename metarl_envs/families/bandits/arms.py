"""What bandits share: arms to pull, a count of pulls in sight, and no state that matters."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
from gymnasium.spaces import Box, Discrete

from metarl_envs.engine import Family, Picture, Returns, Row, canvas, kernel, record, uniform


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
def unpulled(params, task, state, rng):
    """Start with no arm pulled."""
    state.pulls = 0
    for arm in range(params.arms):
        state.pulled[arm] = 0
        state.won[arm] = 0


@kernel
def win_or_lose(state, arm, chance, rng):
    """Pull an arm that pays 1 with a chance, and count the pull and the win; return what it paid."""
    won = uniform(rng) < chance
    state.pulls += 1
    state.pulled[arm] += 1
    state.won[arm] += won
    return 1.0 * won


@kernel
def one_pull_later(params, seen, then):
    """Whether what was seen after a pull is what bandits show after one."""
    return abs((then[0] - seen[0]) * params.horizon - 1.0) < 1e-3


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

    observe, state_index = see_time, one_state
    curve_unit = "pulls"
    action_noun = "arm"

    @staticmethod
    def spaces(p: SimpleNamespace):
        """The share of pulls made; the arms."""
        return Box(0.0, 1.0, (1,), np.float32), Discrete(p.arms)

    @staticmethod
    def words(p: SimpleNamespace, seen: np.ndarray) -> str:
        """How many pulls are made."""
        return f"{round(float(seen[0]) * p.horizon)} of {p.horizon} pulls are made."

    @staticmethod
    def num_states(p: SimpleNamespace) -> int:
        """One state."""
        return 1

    @staticmethod
    def curve_unit_length(p: SimpleNamespace) -> int:
        """At most 20 blocks of pulls, all of one length."""
        return next(length for length in range(-(-p.horizon // 20), p.horizon + 1) if p.horizon % length == 0)


# --------------------------------------------------------------------------------------------- arms that pay 1 or 0
def wins_and_pulls(p: SimpleNamespace) -> np.dtype:
    """The state of a bandit that pays 1 or 0: pulls made, and for each arm pulls and wins."""
    return record(pulls=np.int32, pulled=(np.int32, p.arms), won=(np.int32, p.arms))


def draw_wins(picture: Picture, p: SimpleNamespace, state: Row, chances: np.ndarray | None) -> None:
    """One column an arm: pulls as height, the paying ones bright; and chances, where they are shown."""
    shown = min(p.arms, 40)
    step = (canvas.WORLD - 48) / shown
    most = max(4, *(state.pulled[arm] for arm in range(shown)))
    for arm in range(shown):
        x, width = 24 + arm * step, step - min(10, 0.2 * step)
        picture.rectangle(x, 60, width, 330, canvas.FLOOR, 6)
        pulled, won = state.pulled[arm] * 320 / most, state.won[arm] * 320 / most
        picture.rectangle(x, 390 - pulled, width, pulled, canvas.BAD, 4)
        picture.rectangle(x, 390 - pulled, width, won, canvas.GOOD, 4)
        if chances is not None:
            height = 390 - 320 * chances[arm]
            picture.line(x, height, x + width, height, canvas.GOAL, 3)
            if shown <= 12:
                picture.text(x + width / 2, 44, f"{chances[arm]:.2f}", size=13, color=canvas.GOAL, align="center")
        if shown <= 12:
            label = f"{state.won[arm]} of {state.pulled[arm]}"
            picture.text(x + width / 2, 400, label, size=14, color=canvas.MUTED, align="center")
            picture.text(x + width / 2, 420, f"arm {arm}", size=15, align="center")
    legend = "wins (green) and losses (red) so far" + ("" if chances is None else "; line and number: chance")
    picture.text(24, 26, legend, size=15, color=canvas.MUTED)


def tell_wins(p: SimpleNamespace, state: Row, chances: np.ndarray | None) -> str:
    """The same in text, one line an arm."""
    lines = []
    for arm in range(p.arms):
        chance = "" if chances is None else f"  chance {chances[arm]:.3f}"
        lines.append(f"arm {arm}: {state.won[arm]} of {state.pulled[arm]} pulls paid{chance}")
    return "\n".join(lines)
