"""Linear regression in context: predict targets, and be shown them one step later."""

from __future__ import annotations

import functools
import math
from types import SimpleNamespace

import numpy as np
from gymnasium.spaces import Box

from metarl_envs.engine import (
    Choice,
    Family,
    Integer,
    Parameters,
    Picture,
    Real,
    Returns,
    Row,
    TaskErrors,
    canvas,
    clip,
    kernel,
    normal,
    oracle,
    randint,
    record,
)
from metarl_envs.families.regression.predictors import (
    LIMIT,
    Bayes,
    GradientDescent,
    LeastSquares,
    NearestNeighbours,
    PredictsZero,
)

#: How inputs spread: alike in all directions, or the less the later the direction.
ISOTROPIC, SKEWED = range(2)
#: Half of the height that targets have in the picture, and where its middle is.
_SCALE, _MIDDLE, _TALL = 8.0, 250, 180


@kernel
def draw_weights(params, task, rng):
    """Draw each weight from N(0, 1); where only some are to be nonzero, set the others to 0."""
    d = params.dimensions
    for j in range(d):
        task.weights[j] = normal(rng)
    if params.nonzero > 0:
        left = d
        for _ in range(d - params.nonzero):  # put one of those left to 0: the k-th that is not yet
            k = randint(rng, left)
            for j in range(d):
                if task.weights[j] != 0.0:
                    if k == 0:
                        task.weights[j] = 0.0
                        break
                    k -= 1
            left -= 1


@kernel
def deviation_of(params, j):
    """The standard deviation of an input's number j. The variances of all add up to d x_scale^2."""
    if params.inputs == ISOTROPIC:
        return params.x_scale
    total = 0.0
    for i in range(params.dimensions):
        total += 1.0 / ((i + 1.0) * (i + 1.0))
    return params.x_scale * math.sqrt(params.dimensions / total) / (j + 1.0)


@kernel
def draw_input(params, state, rng):
    """Draw the next input."""
    for j in range(params.dimensions):
        state.input[j] = normal(rng) * deviation_of(params, j)


@kernel
def first_input(params, task, state, rng):
    """Start with an input, and no target known."""
    state.target = 0.0
    state.predicted = 0.0
    for j in range(params.dimensions):
        state.before[j] = 0.0
    draw_input(params, state, rng)


@kernel
def compare_with_target(params, task, state, action, rng):
    """Pay by how far the prediction is from the target, and show another input."""
    target = params.noise * normal(rng)
    for j in range(params.dimensions):
        target += task.weights[j] * state.input[j]
        state.before[j] = state.input[j]
    state.target = target
    state.predicted = action[0]
    error = action[0] - target
    draw_input(params, state, rng)
    return -error * error / params.dimensions, False


@kernel
def see_input_and_last_target(params, task, state, obs):
    """See the input, and the target of the one before."""
    for j in range(params.dimensions):
        obs[j] = state.input[j]
    obs[params.dimensions] = state.target


@kernel
def predict_by_true_weights(hyper, memory, params, task, state, rng, action):
    """Predict what the target is but for its noise."""
    total = 0.0
    for j in range(params.dimensions):
        total += task.weights[j] * state.input[j]
    action[0] = clip(total, -LIMIT, LIMIT)


class LinearRegression(Family):
    """Predict a target that is linear in an input; after each prediction the true target is shown. Weights stay for the trial.

    Hidden:
        The weights w, drawn from N(0, 1) in each of d dimensions.

    Observation:
        `Box(-inf, inf, (d + 1,), float32)`: the input x, drawn from N(0, 1) in each dimension, and behind it the target of the
        input before, w.x + noise; 0 in the first step of an episode. What an agent learns from is in the observation, not in
        the reward.

    Actions:
        `Box(-100, 100, (1,), float32)`: the prediction of the target of the input that is shown.

    Reward:
        -(prediction - target)² / d: -1 in the mean for who always predicts 0, where there is no noise.

    Episode:
        `horizon` predictions, then truncated: 2 d + 1 of them by default, for d = 5. A trial has one episode by default; with
        more, the weights stay.

    Parameters:
        dimensions: d. horizon: predictions an episode. noise: the standard deviation of a target about w.x. x_scale: the
        standard deviation of each number of an input. inputs: "isotropic", or "skewed": variances go down as 1/i² along the
        axes, and add up to the same. nonzero: how many weights are not 0, in random places; 0: all.

    Splits:
        train, validation and test, by a hash of the weights. Shifts `noisy`: noise 0.5; `larger_inputs`: x_scale 2; `sparse`:
        one weight is not 0; `skewed`: skewed inputs.

    References:
        Return of an episode of 11 predictions in 5 dimensions: `random` predicts 0, the mean of all targets: -11 in the mean
        (exact: |w|² / d a step, plus noise² / d); this is also memoryless-best, since the last target without its input tells
        nothing. `oracle` knows the weights: 0 (exact; -noise² / d a step). Nobody who must learn them does better than `bayes`:
        after n < d examples without noise it errs by 1 - n/d of what 0 does (exact), -3.0 in all, and score 1 - n/d below the
        oracle. With noise it is ridge regression. Simulated over 40,000 tasks (standard errors below 0.05):
        `least_squares` -3.0 (the same without noise), `gradient_descent` of one step -7.4, two -6.9, five -6.2, `gd_plus_plus`
        of five -4.0 (rates tuned on train tasks), `nearest_neighbours` -11.3; `averaging` -18.6 (standard error 0.2).

    Source and variants:
        Garg et al. 2022 (arXiv 2208.01066): d = 20, 41 points, no noise; skewed covariance in a random basis (here: along the
        axes), and 3 nonzero weights. Gradient descent in the forward pass and GD++: von Oswald et al. 2023 (arXiv 2212.07677).
        Ridge: Akyürek et al. 2023 (arXiv 2211.15661).
    """

    params = Parameters(
        dimensions=Integer(5, 1, 64),
        horizon=Integer(11, 1, 10**6),
        noise=Real(0.0, 0.0, 10.0),
        x_scale=Real(1.0, 0.0, 10.0),
        inputs=Choice("isotropic", ("isotropic", "skewed")),
        nonzero=Integer(0, 0, 64),
    )
    sample_task, reset, step, observe = draw_weights, first_input, compare_with_target, see_input_and_last_target
    shifts = {
        "noisy": {"noise": 0.5},
        "larger_inputs": {"x_scale": 2.0},
        "sparse": {"nonzero": 1},
        "skewed": {"inputs": "skewed"},
    }
    references = {
        "random": PredictsZero(),
        "oracle": oracle(predict_by_true_weights, array_actions=True),
        "bayes": Bayes(),
        "least_squares": LeastSquares(),
        "gradient_descent": GradientDescent(steps=1, rate=0.36),
        "gradient_descent_2": GradientDescent(steps=2, rate=0.22),
        "gradient_descent_5": GradientDescent(steps=5, rate=0.125),
        "gd_plus_plus": GradientDescent(steps=5, rate=0.75, curvature=0.045),
        "averaging": GradientDescent(steps=1, rate=1.0),
        "nearest_neighbours": NearestNeighbours(),
    }
    curve_unit = "predictions"

    @staticmethod
    def task(p: SimpleNamespace) -> np.dtype:
        """The weights."""
        return record(weights=(np.float64, p.dimensions))

    @staticmethod
    def state(p: SimpleNamespace) -> np.dtype:
        """The input that is shown; the one before, what was predicted for it, and its target."""
        d = p.dimensions
        return record(input=(np.float32, d), before=(np.float32, d), target=np.float64, predicted=np.float64)

    @staticmethod
    def spaces(p: SimpleNamespace):
        """Any input and target; a prediction."""
        return Box(-np.inf, np.inf, (p.dimensions + 1,), np.float32), Box(-LIMIT, LIMIT, (1,), np.float32)

    @staticmethod
    def feedback(p: SimpleNamespace) -> tuple[int, ...]:
        """The last target, behind the input."""
        return (p.dimensions,)

    @classmethod
    def feedback_range(cls, p: SimpleNamespace) -> tuple[float, float]:
        """Reflected within the range of predictions, targets are those of the opposite weights."""
        return -LIMIT, LIMIT

    @staticmethod
    def curve_unit_length(p: SimpleNamespace) -> int:
        """Each prediction; of long episodes at most 50 blocks of one length."""
        return next(length for length in range(-(-p.horizon // 50), p.horizon + 1) if p.horizon % length == 0)

    @staticmethod
    def parameter_error(p: SimpleNamespace) -> str | None:
        """There are no more nonzero weights than weights, and targets lie well within the predictions."""
        if (deviation := math.hypot(math.sqrt(p.dimensions) * p.x_scale, p.noise)) > LIMIT / 4:
            return (
                f"targets have a standard deviation of {deviation:.3g} with dimensions={p.dimensions}, x_scale={p.x_scale:g}, "
                f"noise={p.noise:g}; it must not exceed {LIMIT / 4:g}, because predictions are within {LIMIT:g}"
            )
        if p.nonzero > p.dimensions:
            return f"nonzero={p.nonzero} must not exceed dimensions={p.dimensions}"
        return None

    @staticmethod
    def task_errors(p: SimpleNamespace, tasks: np.ndarray) -> TaskErrors:
        """Weights are finite."""
        yield "weights", ~np.isfinite(tasks["weights"]), "is not finite"

    @staticmethod
    def returns(p: SimpleNamespace, task: Row) -> Returns:
        """Who predicts 0 errs by the variance of targets, who knows the weights by that of the noise."""
        told = float((np.square(task.weights) * _variances(p.dimensions, p.x_scale, p.inputs)).sum())
        noise = p.noise**2
        return Returns(-p.horizon * (told + noise) / p.dimensions, -p.horizon * noise / p.dimensions)

    @staticmethod
    def memoryless_best(p: SimpleNamespace, task: Row) -> float:
        """Always predict 0: with all signs turned around, the last target is as likely, and the next one is the opposite."""
        return LinearRegression.returns(p, task).random

    @staticmethod
    def prior(p: SimpleNamespace) -> dict[str, np.ndarray] | None:
        """Mean and covariance of the weights, where they are normal and noise keeps the covariance above 0."""
        if p.nonzero or not p.noise:
            return None
        return {"mean": np.zeros(p.dimensions), "covariance": np.eye(p.dimensions)}

    @staticmethod
    def update_posterior(p: SimpleNamespace, belief, seen, action, reward: float, then) -> None:
        """A Kalman step for one example."""
        example, target = np.asarray(seen[:-1], float), float(then[-1])
        direction = belief["covariance"] @ example
        total = example @ direction + p.noise**2
        belief["mean"] += direction * (target - example @ belief["mean"]) / total
        belief["covariance"] -= np.outer(direction, direction) / total

    @staticmethod
    def instructions(p: SimpleNamespace) -> str:
        """For people who play: what to do."""
        return (
            f"A target is a weighted sum of the {p.dimensions} numbers shown, by weights that are hidden and stay the same. "
            "Predict it; then you are told what it was. The nearer, the less it costs."
        )

    @staticmethod
    def words(p: SimpleNamespace, seen: np.ndarray) -> str:
        """The last target, and the input."""
        numbers = ", ".join(f"{number:.4g}" for number in seen[:-1])
        return f"The last target was {seen[-1]:.4g} (0 where there was none yet). The input now: {numbers}."

    @staticmethod
    def click_action(p: SimpleNamespace, state: Row, x: float, y: float) -> tuple[float]:
        """For people who play: the height of a click is the prediction."""
        return (float(np.clip((_MIDDLE - y) / _TALL * _SCALE, -_SCALE, _SCALE)),)

    @staticmethod
    def draw(picture: Picture, p: SimpleNamespace, state: Row, task: Row | None) -> None:
        """The input as bars, beside the one before with what was predicted and what it was."""
        shown = min(p.dimensions, 10)
        for title, left, numbers in (("before", 24, state.before), ("now", 280, state.input)):
            picture.text(left, 24, title, size=15, color=canvas.MUTED)
            picture.line(left, _MIDDLE, left + 18 * shown, _MIDDLE, canvas.LINES, 2)
            for j in range(shown):
                _bar(picture, left + 18 * j, float(numbers[j]), canvas.ACCENT)
        beside = 24 + 18 * shown + 8
        told = (("predicted", state.predicted, canvas.AGENT, 24), ("it was", state.target, canvas.GOAL, 170))
        for k, (name, number, color, left) in enumerate(told):
            _bar(picture, beside + 18 * k, float(number), color)
            picture.text(left, 440, f"{name} {number:+.2f}", size=15, color=color)
        if task is not None:
            weights = ", ".join(f"{weight:+.2f}" for weight in task.weights[:shown])
            picture.text(24, 470, f"weights: {weights}", size=14, color=canvas.GOAL)

    @staticmethod
    def describe(p: SimpleNamespace, state: Row, task: Row | None) -> str:
        """The last target and the input; revealed, the weights."""
        numbers = ", ".join(f"{number:+.3f}" for number in state.input)
        line = f"predicted {state.predicted:+.3f}, and it was {state.target:+.3f}; now: {numbers}"
        return line if task is None else f"{line}; weights: {', '.join(f'{weight:+.3f}' for weight in task.weights)}"


def _bar(picture: Picture, left: float, number: float, color: canvas.Color) -> None:
    """A bar up or down from the middle, no longer than the picture has room for."""
    length = _TALL * min(abs(number), _SCALE) / _SCALE
    picture.rectangle(left, _MIDDLE - length * (number > 0), 14, max(length, 1.0), color)


@functools.lru_cache(maxsize=64)
def _variances(dimensions: int, x_scale: float, inputs: str) -> np.ndarray:
    """The variance of each number of an input."""
    steps = 1.0 / np.arange(1, dimensions + 1) ** 2 if inputs == "skewed" else np.ones(dimensions)
    return x_scale**2 * dimensions * steps / steps.sum()
