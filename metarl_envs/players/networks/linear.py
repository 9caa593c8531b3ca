"""Linear transformers whose weights are written down, not trained: gradient descent, and TD learning, as a forward pass.

Attention without softmax is a sum over examples of what they hold times how alike they are to whoever looks, which is the
form of a step of gradient descent on a linear model (von Oswald et al. 2023, arXiv 2212.07677), and of a step of TD learning
with linear values (Wang et al. 2024, arXiv 2405.13861). So one layer is one step, exactly.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from metarl_envs.players.networks.watching import Stream


@dataclass(frozen=True)
class LinearAttention:
    """One layer: every token j adds write (1/n) sum_i value e_i (key e_i . query e_j), over the n examples i, to itself.

    Attributes:
        query, key: float64 [number, width]. value: [number, width]. write: [width, number].
    """

    query: np.ndarray
    key: np.ndarray
    value: np.ndarray
    write: np.ndarray

    def __call__(self, tokens: np.ndarray, examples: np.ndarray) -> np.ndarray:
        """Return the tokens behind this layer, float64 [row, token, width].

        Args:
            tokens: before it.
            examples: which of them are looked at, bool [row, token].
        """
        keys, values = (tokens @ self.key.T) * examples[..., None], tokens @ self.value.T
        count = np.maximum(examples.sum(axis=1), 1)[:, None, None]
        return tokens + tokens @ self.query.T @ (keys.swapaxes(1, 2) @ values / count) @ self.write.T


@dataclass(frozen=True)
class LinearTransformer:
    """Layers of linear attention, one after the other; what is asked for stands in the last number of the last token."""

    layers: tuple[LinearAttention, ...]

    @property
    def width(self) -> int:
        """How many numbers a token has."""
        return self.layers[0].write.shape[0]

    def run(self, tokens: np.ndarray, examples: np.ndarray, stream: Stream | None = None) -> np.ndarray:
        """Return the answer in each row, float64 [row]; `tokens` and `examples` as in `LinearAttention`.

        Args:
            tokens: the examples, and last the question, whose last number is 0.
            examples: which tokens are examples.
            stream: takes the tokens behind each layer.
        """
        tokens = tokens if stream is None else stream.behind(tokens)
        for layer in self.layers:
            tokens = layer(tokens, examples)
            tokens = tokens if stream is None else stream.behind(tokens)
        return 0.0 - tokens[:, -1, -1]  # and not minus zero, where nothing is known

    def ask(self, examples: np.ndarray, question: np.ndarray) -> float:
        """Return the answer to one question.

        Args:
            examples: float64 [example, width].
            question: as many numbers of a token as there are; the others are 0.
        """
        last = np.pad(question, (0, self.width - len(question)))
        return float(self.run(np.vstack([examples, last])[None], np.arange(len(examples) + 1)[None] < len(examples))[0])


def gradient_descent(dimensions: int, rate: float, steps: int, curvature: float = 0.0) -> LinearTransformer:
    """Return the transformer that goes down the mean squared error of its examples from zero weights, and predicts by them.

    A token is an input and its target, [x, y]; the question is [x, 0]. Behind each layer y is what the prediction lacks, so
    that the question holds minus the prediction.

    Args:
        dimensions: of x.
        rate: of a step.
        steps: how many, which is the number of layers.
        curvature: above 0, layers also make inputs shorter along the directions in which they are long (GD++).
    """
    seen = np.eye(dimensions, dimensions + 1)
    write = -np.diag([curvature] * dimensions + [rate])
    return LinearTransformer((LinearAttention(seen, seen, np.eye(dimensions + 1), write),) * steps)


def temporal_difference(features: int, rate: float, discount: float, steps: int) -> LinearTransformer:
    """Return the transformer that makes steps of TD(0) over all its transitions from zero weights, and values by them.

    A token is a transition, [features before, features after, reward]; the question is [features, zeros, 0]. Behind each layer
    the last number is the error of the transition, reward + discount x value after - value before.

    Args:
        features: how many a state has.
        rate: of a step.
        discount: of what comes after.
        steps: how many, which is the number of layers.
    """
    before = np.eye(features, 2 * features + 1)
    after = np.eye(features, 2 * features + 1, features)
    error = np.eye(1, 2 * features + 1, 2 * features)
    return LinearTransformer((LinearAttention(before - discount * after, before, error, -rate * error.T),) * steps)
