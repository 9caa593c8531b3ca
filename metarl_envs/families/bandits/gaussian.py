"""The Gaussian bandit: arms that pay a mean of their own, with normal noise."""

from __future__ import annotations

import math
from types import SimpleNamespace

import numpy as np

from metarl_envs.engine import (
    Integer,
    Parameters,
    Picture,
    Real,
    Returns,
    Row,
    TaskErrors,
    canvas,
    kernel,
    normal,
    oracle,
    record,
)
from metarl_envs.families.bandits.arms import (
    Bandit,
    best_arm_ever_after,
    fill_uniformly,
    one_arm_all_the_time,
    one_pull_later,
    place_of_highest,
    range_error,
)


@kernel
def draw_means(params, task, rng):
    """Draw each arm's mean between `low` and `high`."""
    fill_uniformly(task.mean, params.low, params.high, rng)


@kernel
def unpulled(params, task, state, rng):
    """Start with no arm pulled."""
    state.pulls = 0
    for arm in range(params.arms):
        state.pulled[arm] = 0
        state.earned[arm] = 0.0


@kernel
def pull_with_noise(params, task, state, action, rng):
    """Pull one arm; it pays its mean and noise."""
    reward = task.mean[action] + params.noise * normal(rng)
    state.pulls += 1
    state.pulled[action] += 1
    state.earned[action] += reward
    return reward, False


# --------------------------------------------------------------------------------------------- references
@kernel
def share_below(x):
    """The share of a standard normal that lies below x."""
    return 0.5 * math.erfc(-x / math.sqrt(2.0))


@kernel
def share_within(params, mean, spread):
    """The share of a normal that lies between `low` and `high`, and is not less than the least number there is."""
    return max(share_below((params.high - mean) / spread) - share_below((params.low - mean) / spread), 1e-300)


@kernel
def log_density(x, mean, variance):
    """The logarithm of a normal density."""
    return -0.5 * ((x - mean) * (x - mean) / variance + math.log(2.0 * math.pi * variance))


@kernel
def add_to_normal(params, belief, seen, action, reward, then):
    """Add a pull to the arm's normal. Where that is cut off stays: the density counts how much is left between."""
    mean, precision = belief.mean[action], belief.precision[action]
    belief.precision[action] += params.noise**-2
    belief.mean[action] += (reward - mean) * params.noise**-2 / belief.precision[action]
    if not one_pull_later(params, seen, then):
        return -math.inf
    if params.high == params.low:
        return log_density(reward, params.low, params.noise**2)
    left = share_within(params, belief.mean[action], belief.precision[action] ** -0.5)
    if precision == 0.0:
        return math.log(left / (params.high - params.low))
    before = share_within(params, mean, precision**-0.5)
    return log_density(reward, mean, params.noise**2 + 1.0 / precision) + math.log(left / before)


@kernel
def pull_best(hyper, memory, params, task, state, rng):
    """Pull the arm with the highest mean."""
    return place_of_highest(task.mean)


# --------------------------------------------------------------------------------------------- the family
class GaussianBandit(Bandit):
    """A row of arms. Each pays a mean of its own, the same for the whole trial, with normal noise.

    Hidden:
        The mean of each arm, drawn uniformly between `low` and `high`.

    Observation:
        `Box(0, 1, (1,), float32)`: the share of the episode's pulls that are made. What a pull paid is told by its reward
        alone: a policy that sees its previous action and reward (`PreviousStep`) sees all there is to see.

    Actions:
        `Discrete(arms)`: the arm to pull.

    Reward:
        The arm's mean plus normal noise of standard deviation `noise`.

    Episode:
        `horizon` pulls, then truncated. One episode is the whole learning problem, so a trial has one episode by default;
        with more, the arms stay and the count starts again.

    Parameters:
        arms: how many arms. horizon: pulls an episode. low, high: the range of means. noise: the standard deviation of a pull.

    Splits:
        train, validation and test, by a hash of the means. Shifts `close_arms`: means between 0.4 and 0.6; `noisy`: noise 0.5.
        No learner is told of either: `gaussian_thompson` takes the default's prior and noise as known there too.

    References:
        Return of 500 pulls of 5 arms: random and memoryless-best 250 (exactly horizon (low + high) / 2); the oracle knows the
        means: 500 x 5/6 = 416.7 in the mean. Simulated over 40,000 tasks (standard error 0.4): `gaussian_thompson` 407.2
        (normal posteriors from a prior with the true mean and variance), UCB1 368.6, UCB1 of exploration 0.3 405.5.

    Source and variants:
        DPT (Lee et al. 2023, arXiv 2306.14892): 5 arms, means U(0, 1), 500 pulls, noise 0.3. Its flag `--var` is a standard
        deviation. Its Thompson baseline has the same prior as `gaussian_thompson`, N(1/2, 1/12).
    """

    params = Parameters(
        arms=Integer(5, 2, 1000),
        horizon=Integer(500, 1),
        low=Real(0.0, -1e6, 1e6),
        high=Real(1.0, -1e6, 1e6),
        noise=Real(0.3, 0.0, 1e6),
    )
    sample_task, reset, step, condition = draw_means, unpulled, pull_with_noise, add_to_normal
    shifts = {"close_arms": {"low": 0.4, "high": 0.6}, "noisy": {"noise": 0.5}}
    references = {"oracle": oracle(pull_best)}
    parameter_error = staticmethod(range_error)
    exchangeable_actions = True

    @staticmethod
    def task(p: SimpleNamespace) -> np.dtype:
        """The mean of each arm."""
        return record(mean=(np.float64, p.arms))

    @staticmethod
    def state(p: SimpleNamespace) -> np.dtype:
        """Pulls made, and for each arm pulls and what they paid."""
        return record(pulls=np.int32, pulled=(np.int32, p.arms), earned=(np.float64, p.arms))

    @staticmethod
    def task_errors(p: SimpleNamespace, tasks: np.ndarray) -> TaskErrors:
        """Means are finite."""
        yield "mean", ~np.isfinite(tasks["mean"]), "is not finite"

    @staticmethod
    def solve(p: SimpleNamespace, task: Row):
        """This pull's mean, and the best arm ever after."""
        return best_arm_ever_after(p, np.array(task.mean))

    @staticmethod
    def prior(p: SimpleNamespace) -> dict[str, np.ndarray] | None:
        """Mean and precision of a normal for each arm, cut off at `low` and `high`: at first of no precision, so flat."""
        return {"mean": np.zeros(p.arms), "precision": np.zeros(p.arms)} if p.noise else None

    @staticmethod
    def expected_rewards(p: SimpleNamespace, belief) -> np.ndarray:
        """The mean of each normal where it is cut off; the middle where nothing was pulled."""
        from scipy.stats import truncnorm

        means, pulled = np.full(p.arms, (p.low + p.high) / 2), belief["precision"] > 0
        if p.high > p.low and pulled.any():
            mean, spread = belief["mean"][pulled], belief["precision"][pulled] ** -0.5
            means[pulled] = truncnorm.mean((p.low - mean) / spread, (p.high - mean) / spread, mean, spread)
        return means

    @staticmethod
    def returns(p: SimpleNamespace, task: Row) -> Returns:
        """The mean arm and the best arm, pulled all the time."""
        return one_arm_all_the_time(p, task.mean)

    @staticmethod
    def memoryless_best(p: SimpleNamespace, task: Row) -> float:
        """Any arm, as at random: before one is pulled, all are alike."""
        return one_arm_all_the_time(p, task.mean).random

    @staticmethod
    def instructions(p: SimpleNamespace) -> str:
        """What there is to do, for people and language models alike."""
        return (
            f"Each of the {p.arms} arms pays about the same every time, give or take some luck. "
            f"Find the one that pays most and keep to it: you have {p.horizon} pulls."
        )

    @staticmethod
    def draw(picture: Picture, p: SimpleNamespace, state: Row, task: Row | None) -> None:
        """One column an arm, on a scale that holds every mean."""
        draw_means_so_far(picture, p, state, task, min(p.low, 0.0), max(p.high, p.low + 1e-6))

    @staticmethod
    def describe(p: SimpleNamespace, state: Row, task: Row | None) -> str:
        """One line an arm."""
        lines = []
        for arm in range(p.arms):
            paid = f", mean reward {state.earned[arm] / state.pulled[arm]:.3f}" if state.pulled[arm] else ""
            mean = "" if task is None else f"  true mean {task.mean[arm]:.3f}"
            lines.append(f"arm {arm}: pulls {state.pulled[arm]}{paid}{mean}")
        return "\n".join(lines)


def draw_means_so_far(picture: Picture, p: SimpleNamespace, state: Row, task: Row | None, low: float, high: float) -> None:
    """One column an arm: what it has paid in the mean, from zero up or down. There is some room beyond `low` and `high`."""

    def height(value: float) -> float:
        return 390 - 330 * min(max((value - low) / (high - low) * 0.8 + 0.1, 0.0), 1.0)

    shown = min(p.arms, 40)
    step = (canvas.WORLD - 48) / shown
    for arm in range(shown):
        x, width = 24 + arm * step, step - min(10, 0.2 * step)
        picture.rectangle(x, 60, width, 330, canvas.FLOOR, 6)
        paid = state.earned[arm] / max(state.pulled[arm], 1)
        top, bottom = sorted((height(paid), height(0.0)))
        picture.rectangle(x, top, width, bottom - top, canvas.GOOD if paid >= 0 else canvas.BAD, 4)
        if task is not None:
            true = height(task.mean[arm])
            picture.line(x, true, x + width, true, canvas.GOAL, 3)
            if shown <= 12:
                picture.text(x + width / 2, 44, f"{task.mean[arm]:.2f}", size=13, color=canvas.GOAL, align="center")
        if shown <= 12:
            picture.text(x + width / 2, 400, f"{state.pulled[arm]}x", size=14, color=canvas.MUTED, align="center")
            picture.text(x + width / 2, 420, f"arm {arm}" if shown <= 8 else f"{arm}", size=15, align="center")
    picture.line(24, height(0.0), canvas.WORLD - 24, height(0.0), canvas.MUTED, 1)
    legend = "bar: mean reward so far; 3x: pulled 3 times" + ("" if task is None else "; line: true mean")
    picture.text(24, 26, legend, size=15, color=canvas.MUTED)
