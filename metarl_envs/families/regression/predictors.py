"""Who predicts in linear regression: Bayes, least squares, gradient descent, neighbours; each from what it has been shown.

All of them begin a trial knowing nothing of it, see an input and predict, and are then shown the target (see
`linear.LinearRegression`). Weights are in `memory.mean`, so that the prediction is their product with the input.
"""

from __future__ import annotations

import numpy as np

from metarl_envs.engine import Integer, Internal, Parameters, Player, Real, clip, kernel, record

#: The largest prediction that there is: twenty standard deviations of a target and more.
LIMIT = 100.0
#: What of an input's length must be new, at least, for it to count as a new direction. Below, it is rounding.
_NEW = 1e-4


@kernel
def predict_zero(hyper, memory, seen, rng, action):
    """Predict what every target is in the mean."""
    action[0] = 0.0


@kernel
def predict_linearly(hyper, memory, seen, rng, action):
    """Predict by the weights, within the bounds of actions."""
    total = 0.0
    for j in range(len(memory.mean)):
        total += memory.mean[j] * seen[j]
    action[0] = clip(total, -LIMIT, LIMIT)


@kernel
def tell_weights(hyper, memory, seen, action, out):
    """The weights that it predicts by."""
    for j in range(len(out)):
        out[j] = memory.mean[j]


@kernel
def error_of(memory, seen, then):
    """What the target turned out to be more than the weights predict."""
    total = float(then[len(memory.mean)])
    for j in range(len(memory.mean)):
        total -= memory.mean[j] * seen[j]
    return total


@kernel
def multiply(matrix, vector, out):
    """Write a matrix times a vector into `out`; return the vector times that."""
    product = 0.0
    for i in range(len(out)):
        out[i] = 0.0
        for j in range(len(out)):
            out[i] += matrix[i, j] * vector[j]
        product += vector[i] * out[i]
    return product


@kernel
def set_to_unit(matrix, scale):
    """Set a matrix to a multiple of the unit matrix."""
    for i in range(matrix.shape[0]):
        for j in range(matrix.shape[0]):
            matrix[i, j] = scale if i == j else 0.0


@kernel
def length_of(seen, n):
    """The squared length of an input."""
    total = 0.0
    for j in range(n):
        total += seen[j] * seen[j]
    return total


class Predictor(Player):
    """A player that predicts a number, and is shown the target with the next input."""

    observes = "observation"
    array_actions = True


class PredictsZero(Predictor):
    """Predicts 0, the mean of all targets, whatever it is shown."""

    act = predict_zero


class ByWeights(Predictor):
    """Predicts by weights, which are 0 in every direction of which nothing is known."""

    act = predict_linearly
    internals = {"weights": Internal(tell_weights, lambda p, variant: variant.p.dimensions)}


# --------------------------------------------------------------------------------------------- Bayes
@kernel
def know_prior(hyper, memory, params, rng):
    """The weights have their prior, N(0, 1)."""
    memory.noise = params.noise
    for j in range(len(memory.mean)):
        memory.mean[j] = 0.0
    set_to_unit(memory.covariance, 1.0)


@kernel
def update_posterior(hyper, memory, seen, action, reward, terminated, truncated, then, rng):
    """Add an example to the posterior (a Kalman step). Without noise, one that tells nothing new changes nothing."""
    n = len(memory.mean)
    known = multiply(memory.covariance, seen, memory.direction)
    total = known + memory.noise * memory.noise
    if total <= _NEW * _NEW * length_of(seen, n):
        return
    surprise = error_of(memory, seen, then) / total
    for i in range(n):
        memory.mean[i] += memory.direction[i] * surprise
        for j in range(n):
            memory.covariance[i, j] -= memory.direction[i] * memory.direction[j] / total


class Bayes(ByWeights):
    """The posterior mean: ridge regression with lambda = noise², and without noise least squares of the shortest weights.

    It knows how large the noise is. Where all weights are drawn from N(0, 1), nobody who is not told them does better.
    """

    begin, learn = know_prior, update_posterior

    @staticmethod
    def memory(p, variant):
        """Mean and covariance of the weights."""
        d = variant.p.dimensions
        return record(mean=(np.float64, d), covariance=(np.float64, (d, d)), direction=(np.float64, d), noise=np.float64)


# --------------------------------------------------------------------------------------------- least squares
@kernel
def know_no_direction(hyper, memory, params, rng):
    """No direction is known."""
    for j in range(len(memory.mean)):
        memory.mean[j] = 0.0
    set_to_unit(memory.unknown, 1.0)
    set_to_unit(memory.inverse, 0.0)


@kernel
def add_equation(hyper, memory, seen, action, reward, terminated, truncated, then, rng):
    """Solve with one equation more (Albert & Sittler 1965): in a new direction it is met, else the squares get least again."""
    n = len(memory.mean)
    error = error_of(memory, seen, then)
    new = multiply(memory.unknown, seen, memory.direction)
    shared = multiply(memory.inverse, seen, memory.other)
    if new > _NEW * _NEW * length_of(seen, n):
        for i in range(n):
            memory.mean[i] += memory.direction[i] * error / new
            for j in range(n):
                a, b = memory.direction[i] / new, memory.direction[j] / new
                memory.inverse[i, j] += (1.0 + shared) * a * b - memory.other[i] * b - a * memory.other[j]
                memory.unknown[i, j] -= memory.direction[i] * b
        return
    for i in range(n):
        memory.mean[i] += memory.other[i] * error / (1.0 + shared)
        for j in range(n):
            memory.inverse[i, j] -= memory.other[i] * memory.other[j] / (1.0 + shared)


class LeastSquares(ByWeights):
    """Least squares: of all weights with the least sum of squared errors, the shortest.

    With noise its error is largest where there are as many examples as dimensions, since it trusts them all.
    """

    begin, learn = know_no_direction, add_equation

    @staticmethod
    def memory(p, variant):
        """The weights, which directions are unknown, and the pseudo-inverse of the inputs' sum of squares."""
        d = variant.p.dimensions
        vectors = {name: (np.float64, d) for name in ("mean", "direction", "other")}
        return record(**vectors, unknown=(np.float64, (d, d)), inverse=(np.float64, (d, d)))


# --------------------------------------------------------------------------------------------- gradient descent
@kernel
def know_no_example(hyper, memory, params, rng):
    """There is no example yet."""
    memory.count = 0
    for i in range(len(memory.mean)):
        memory.mean[i] = 0.0
        memory.sum[i] = 0.0
        for j in range(len(memory.mean)):
            memory.squares[i, j] = 0.0


@kernel
def descend(hyper, memory, seen, action, reward, terminated, truncated, then, rng):
    """Add an example, and go down from zero again: each step against the gradient of the mean squared error so far."""
    n = len(memory.mean)
    memory.count += 1
    memory.target = then[n]
    for i in range(n):
        memory.direction[i] = seen[i]  # products of what is shown would be in single precision
    for i in range(n):
        memory.mean[i] = 0.0
        memory.sum[i] += memory.direction[i] * memory.target
        for j in range(n):
            memory.squares[i, j] += memory.direction[i] * memory.direction[j]
    set_to_unit(memory.warp, 1.0)
    for step in range(hyper.steps):
        step_down(hyper, memory, n)
        if hyper.curvature > 0.0 and step + 1 < hyper.steps:
            warp_inputs(hyper, memory, n)


@kernel
def step_down(hyper, memory, n):
    """One step against the gradient, which is taken, and goes back, through the warp of the inputs."""
    multiply(memory.squares, memory.mean, memory.direction)
    for i in range(n):
        memory.direction[i] = (memory.sum[i] - memory.direction[i]) / memory.count
    multiply(memory.warp, memory.direction, memory.other)
    for i in range(n):
        total = 0.0
        for j in range(n):
            total += memory.warp[j, i] * memory.other[j]
        memory.mean[i] += hyper.rate * total


@kernel
def warp_inputs(hyper, memory, n):
    """Make inputs shorter along the directions in which they are long: x becomes (1 - curvature x mean of x x^T) x."""
    for i in range(n):  # product = warp squares
        for j in range(n):
            memory.product[i, j] = 0.0
            for k in range(n):
                memory.product[i, j] += memory.warp[i, k] * memory.squares[k, j] / memory.count
    for i in range(n):  # squares of the warped inputs = warp squares warp^T
        for j in range(n):
            memory.warped[i, j] = 0.0
            for k in range(n):
                memory.warped[i, j] += memory.product[i, k] * memory.warp[j, k]
    for i in range(n):
        for j in range(n):
            memory.product[i, j] = memory.warp[i, j]
            for k in range(n):
                memory.product[i, j] -= hyper.curvature * memory.warped[i, k] * memory.warp[k, j]
    for i in range(n):
        for j in range(n):
            memory.warp[i, j] = memory.product[i, j]


class GradientDescent(ByWeights):
    """A few steps of gradient descent from zero on the mean squared error of all examples so far.

    With `curvature` above 0 it is GD++ (von Oswald et al. 2023): between steps inputs are made shorter along the directions in
    which they are long, as layers of a trained linear transformer were found to do. With one step of rate 1 it is averaging,
    the mean of target times input.
    """

    params = Parameters(steps=Integer(1, 1, 1000), rate=Real(0.36, 0.0, 100.0), curvature=Real(0.0, 0.0, 100.0))
    begin, learn = know_no_example, descend

    @staticmethod
    def memory(p, variant):
        """The weights, sums over examples, and how inputs are warped."""
        d = variant.p.dimensions
        vectors = {name: (np.float64, d) for name in ("mean", "sum", "direction", "other")}
        matrices = {name: (np.float64, (d, d)) for name in ("squares", "warp", "product", "warped")}
        return record(**vectors, **matrices, target=np.float64, count=np.int64)


# --------------------------------------------------------------------------------------------- nearest neighbours
@kernel
def remember_nothing(hyper, memory, params, rng):
    """There is no example yet."""
    memory.count = 0


@kernel
def remember_example(hyper, memory, seen, action, reward, terminated, truncated, then, rng):
    """Keep an example, in the place of the oldest one where there is no room."""
    place, n = memory.count % len(memory.targets), memory.inputs.shape[1]
    for j in range(n):
        memory.inputs[place, j] = seen[j]
    memory.targets[place] = then[n]
    memory.count += 1


@kernel
def predict_as_near(hyper, memory, seen, rng, action):
    """Predict the mean target of the nearest examples; 0 where there is none."""
    known = min(memory.count, len(memory.targets))
    wanted = min(hyper.neighbours, known)
    for e in range(known):
        memory.distance[e] = 0.0
        for j in range(memory.inputs.shape[1]):
            apart = memory.inputs[e, j] - seen[j]
            memory.distance[e] += apart * apart
    total = 0.0
    for _ in range(wanted):
        nearest = 0
        for e in range(1, known):
            if memory.distance[e] < memory.distance[nearest]:
                nearest = e
        total += memory.targets[nearest]
        memory.distance[nearest] = np.inf
    action[0] = total / wanted if wanted > 0 else 0.0


class NearestNeighbours(Predictor):
    """Predicts the mean target of the nearest examples of the last `horizon`."""

    params = Parameters(neighbours=Integer(3, 1, 1000))
    begin, learn, act = remember_nothing, remember_example, predict_as_near

    @staticmethod
    def memory(p, variant):
        """The examples."""
        most, d = variant.p.horizon, variant.p.dimensions
        return record(inputs=(np.float64, (most, d)), targets=(np.float64, most), distance=(np.float64, most), count=np.int64)
