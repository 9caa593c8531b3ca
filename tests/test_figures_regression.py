"""Linear regression against closed forms and an independent computation with NumPy."""

import numpy as np
import pytest

from metarl_envs.families.regression.linear import LinearRegression
from metarl_envs.families.regression.predictors import GradientDescent
from metarl_envs.histories import collect
from metarl_envs.learners import LEARNERS

pytestmark = pytest.mark.slow

D, HORIZON, LIVES = 5, 11, 4000


@pytest.fixture(scope="module")
def examples():
    """Inputs [life, step, dimension] and targets [life, step] of many lives, as a player is shown them; noise 0 and 0.5."""
    return {noise: shown(noise) for noise in (0.0, 0.5)}


def shown(noise, **params):
    lived = lives("bayes", noise, **params)
    seen = np.stack([history["observation"] for history in lived]).astype(float)
    last = np.stack([history.final_observation for history in lived])[:, 0].astype(float)
    return seen[:, :, :-1], np.concatenate([seen[:, 1:, -1], last[:, None, -1]], axis=1)


def lives(player, noise, histories=LIVES, **params):
    player = LinearRegression.references[player] if isinstance(player, str) else player
    return collect("LinearRegression", player, histories=histories, steps=HORIZON, seed=1, split=None, noise=noise, **params)


def predictions(player, noise):
    return np.stack([history["action"][:, 0] for history in lives(player, noise)]).astype(float)


def solved(inputs, targets, how):
    """The weights after each number of examples by `how`, and what they predict next [life, step]."""
    told = np.zeros(targets.shape)
    for n in range(1, HORIZON):
        told[:, n] = [x[n] @ how(x[:n], z[:n]) for x, z in zip(inputs, targets, strict=True)]
    return np.clip(told, -100, 100)


def ridge(noise):
    return lambda inputs, targets: np.linalg.solve(inputs.T @ inputs + noise**2 * np.eye(D), inputs.T @ targets)


def shortest(inputs, targets):
    return np.linalg.lstsq(inputs, targets, rcond=1e-5)[0]


def descended(steps, rate, curvature=0.0):
    """Gradient descent written as a transformer's layers have it: residuals, and inputs warped as the query is."""

    def predict(inputs, targets, query):
        residual, predicted = targets.copy(), 0.0
        for _ in range(steps):
            pull = inputs.T @ residual / len(targets)
            predicted += rate * query @ pull
            residual -= rate * inputs @ pull
            squares = inputs.T @ inputs / len(targets)
            inputs, query = inputs - curvature * inputs @ squares, query - curvature * squares @ query
        return predicted

    return predict


@pytest.mark.parametrize("noise", [0.0, 0.5])
def test_targets_are_linear_in_inputs_but_for_their_noise(examples, noise):
    inputs, targets = examples[noise]
    left = [z - x @ np.linalg.lstsq(x, z, rcond=None)[0] for x, z in zip(inputs, targets, strict=True)]
    deviation = np.sqrt(np.square(left).sum(axis=1).mean() / (HORIZON - D))
    assert deviation == pytest.approx(noise, abs=0.01 if noise else 1e-5)
    assert inputs.mean() == pytest.approx(0, abs=0.02)
    assert np.cov(inputs.reshape(-1, D).T) == pytest.approx(np.eye(D), abs=0.03)
    assert np.var(targets) == pytest.approx(D + noise**2, rel=0.05)


@pytest.mark.parametrize(("player", "noise", "how"), [("bayes", 0.0, shortest), ("bayes", 0.5, ridge(0.5))])
def test_bayes_is_ridge_regression(examples, player, noise, how):
    inputs, targets = examples[noise]
    far = abs(predictions(player, noise) - solved(inputs, targets, how))
    assert np.quantile(far, 0.999) < (1e-2 if noise == 0 else 1e-4)


@pytest.mark.parametrize("noise", [0.0, 0.5])
def test_least_squares_is_what_numpy_solves(examples, noise):
    inputs, targets = examples[noise]
    assert np.quantile(abs(predictions("least_squares", noise) - solved(inputs, targets, shortest)), 0.999) < 1e-2


@pytest.mark.parametrize(
    "settings",
    [{"steps": 1, "rate": 0.36}, {"steps": 5, "rate": 0.125}, {"steps": 5, "rate": 0.75, "curvature": 0.045}],
    ids=str,
)
def test_gradient_descent_is_that_of_the_layers_of_a_linear_transformer(examples, settings):
    inputs, targets = (part[:300] for part in examples[0.0])
    predict = descended(**settings)
    told = np.zeros(targets.shape)
    for n in range(1, HORIZON):
        told[:, n] = [predict(x[:n], z[:n], x[n]) for x, z in zip(inputs, targets, strict=True)]
    np.testing.assert_allclose(
        predictions(GradientDescent(**settings), 0.0)[:300], np.clip(told, -100, 100), rtol=1e-4, atol=1e-4
    )


def test_averaging_and_neighbours(examples):
    inputs, targets = (part[:300] for part in examples[0.0])
    mean = solved(inputs, targets, lambda inputs, targets: inputs.T @ targets / len(targets))
    np.testing.assert_allclose(predictions("averaging", 0.0)[:300], mean, rtol=1e-4, atol=1e-4)
    near = np.zeros(targets.shape)
    for n in range(1, HORIZON):
        order = np.argsort(np.square(inputs[:, :n] - inputs[:, n : n + 1]).sum(axis=2), axis=1)[:, :3]
        near[:, n] = np.take_along_axis(targets, order, axis=1).mean(axis=1)
    np.testing.assert_allclose(predictions("nearest_neighbours", 0.0)[:300], near, rtol=1e-4, atol=1e-4)


def test_without_noise_bayes_errs_by_one_less_the_share_of_dimensions_seen(examples):
    _, targets = examples[0.0]
    error = np.square(predictions("bayes", 0.0) - targets) / D
    expected = np.maximum(1 - np.arange(HORIZON) / D, 0)
    off = abs(error.mean(axis=0) - expected)
    assert (off <= 4 * error.std(axis=0) / np.sqrt(LIVES) + 1e-6).all()
    assert np.quantile(error[:, D:], 0.999) < 1e-3, "weights are known, but for rounding"


def test_with_noise_bayes_errs_as_computed_apart_and_least_squares_peaks_where_examples_are_as_many_as_dimensions(examples):
    inputs, targets = examples[0.5]
    bayes, squares = (np.square(predictions(who, 0.5) - targets) / D for who in ("bayes", "least_squares"))
    covariances = [[np.linalg.inv(np.eye(D) + x[:n].T @ x[:n] / 0.25) for n in range(HORIZON)] for x in inputs]
    expected = np.einsum("lni,lnij,lnj->ln", inputs, covariances, inputs).mean(axis=0) / D + 0.25 / D
    assert (abs(bayes.mean(axis=0) - expected) <= 4 * bayes.std(axis=0) / np.sqrt(LIVES)).all()
    middle = np.median(squares, axis=0)
    assert middle[D] > 1.2 * max(middle[D - 1], middle[D + 1])
    assert (np.diff(expected) < 0).all(), "who knows the noise gets better with each example"
    assert np.median(squares[:, D]) > 1.5 * np.median(bayes[:, D])


@pytest.mark.parametrize("name", [name for name in LinearRegression.references if name.startswith(("gradient", "gd"))])
def test_rates_are_tuned_on_train_tasks(name):
    """On train tasks no rate a tenth larger or smaller errs less by more than chance allows."""
    settings = LinearRegression.references[name].values

    def earned(rate):
        player = GradientDescent(**{**settings, "rate": rate})
        lived = collect("LinearRegression", player, histories=20_000, steps=HORIZON, seed=3, split="train")
        return np.stack([history["reward"] for history in lived]).sum(axis=1)

    own = earned(settings["rate"])
    for factor in (0.9, 1.1):
        gain = earned(factor * settings["rate"]) - own
        assert gain.mean() < 4 * gain.std() / np.sqrt(len(gain)) + 0.01


@pytest.mark.parametrize(
    ("params", "variances"),
    [
        ({"x_scale": 2.0}, 4 * np.ones(D)),
        ({"inputs": "skewed"}, D / np.arange(1, D + 1) ** 2 / (1 / np.arange(1, D + 1) ** 2).sum()),
    ],
    ids=["larger", "skewed"],
)
def test_inputs_of_shifts_spread_as_they_should(params, variances):
    inputs, _ = shown(0.0, **params)
    assert inputs.reshape(-1, D).var(axis=0) == pytest.approx(variances, rel=0.05)


def test_sparse_weights_stand_in_any_place():
    from metarl_envs.task_sets import TaskSet

    rows = TaskSet.of_family(LinearRegression, nonzero=2)[:5000].rows(5000)["weights"]
    assert ((rows != 0).sum(axis=1) == 2).all()
    assert (rows != 0).mean(axis=0) == pytest.approx(0.4, abs=0.03)
    assert rows[rows != 0].std() == pytest.approx(1, abs=0.03)


def test_every_learner_refuses_what_it_cannot_do():
    variant = LinearRegression.with_params()
    assert [name for name, learner in LEARNERS.items() if learner().runs_by_default(variant)] == []
