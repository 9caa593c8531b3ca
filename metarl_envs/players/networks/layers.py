"""Layers of networks in NumPy, in single precision, with PyTorch's names and shapes of weights."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
from scipy.special import erf

#: Weights by name, float32.
Weights = Mapping[str, np.ndarray]
#: From numbers of all rows, [row, width], to others.
Layer = Callable[[np.ndarray], np.ndarray]

_ROOT_OF_HALF = np.float32(0.5**0.5)


def linear(weights: Weights, name: str) -> Layer:
    """Return the layer x W^T + b of the weights `name.weight` and `name.bias`."""
    matrix, bias = np.ascontiguousarray(weights[f"{name}.weight"].T), weights[f"{name}.bias"]

    def product(x: np.ndarray) -> np.ndarray:
        # One token a row is one product, and not one for each row.
        return (x[:, 0] @ matrix + bias)[:, None] if x.ndim == 3 and x.shape[1] == 1 else x @ matrix + bias

    return product


def layer_norm(weights: Weights, name: str) -> Layer:
    """Return the layer that gives each row mean 0 and variance 1, and then scale and shift of its own."""
    scale, shift = weights[f"{name}.weight"], weights[f"{name}.bias"]

    share = np.float32(1 / len(scale))

    def normalised(x: np.ndarray) -> np.ndarray:
        centred = x - np.add.reduce(x, axis=-1, keepdims=True) * share  # a mean without its detours
        spread = np.add.reduce(centred * centred, axis=-1, keepdims=True) * share
        return centred / np.sqrt(spread + np.float32(1e-5)) * scale + shift

    return normalised


def gelu(x: np.ndarray) -> np.ndarray:
    """Return x times the chance that a normal number is below x."""
    return x * (np.float32(0.5) * (1 + erf(x * _ROOT_OF_HALF)))


def sigmoid(x: np.ndarray) -> np.ndarray:
    """Return 1 / (1 + exp(-x))."""
    return np.float32(0.5) * (1 + np.tanh(np.float32(0.5) * x))


def softmax(logits: np.ndarray) -> np.ndarray:
    """Return chances along the last axis. Minus infinity is never chosen; one logit at least must be larger."""
    chances = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return chances / chances.sum(axis=-1, keepdims=True)
