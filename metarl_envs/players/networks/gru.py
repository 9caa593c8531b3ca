"""A recurrent policy: a GRU (Cho et al. 2014) that runs step by step, in many rows at once.

It is the network of `examples/recurrent_ppo_rl2.py`: its weights are those of that PyTorch module, by the same names.
"""

from __future__ import annotations

import numpy as np

from metarl_envs.players.networks.layers import Weights, linear, sigmoid
from metarl_envs.players.networks.watching import Stream


class GRU:
    """An encoder, a GRU, and what reads its hidden state: logits of actions, and a value.

    Args:
        weights: float32, by the names that they have in PyTorch.

    Attributes:
        units: of the hidden state.
    """

    def __init__(self, weights: Weights):
        self.units = weights["memory.weight_hh_l0"].shape[1]
        gates = {f"{name}.{kind}": weights[f"memory.{kind}_{name}_l0"] for name in ("ih", "hh") for kind in ("weight", "bias")}
        self._told, self._remembered = linear(gates, "ih"), linear(gates, "hh")
        self._encode, self._actor, self._critic = (linear(weights, name) for name in ("encoder.1", "actor", "critic"))

    def step(self, seen: np.ndarray, hidden: np.ndarray, stream: Stream) -> np.ndarray:
        """Return the next hidden state.

        Args:
            seen: the input, float32 [row, number].
            hidden: the state, float32 [row, unit].
            stream: takes the encoded input (layer 0) and the next state (layer 1).
        """
        told = self._told(stream.behind(np.tanh(self._encode(seen))))
        reset, keep, new = np.split(told, 3, axis=1)
        old_reset, old_keep, old = np.split(self._remembered(hidden), 3, axis=1)
        keep = sigmoid(keep + old_keep)
        new = np.tanh(new + sigmoid(reset + old_reset) * old)
        return stream.behind((1 - keep) * new + keep * hidden)

    def logits(self, hidden: np.ndarray) -> np.ndarray:
        """Return what a hidden state says of each action, float32 [row, action]."""
        return self._actor(hidden)

    def value(self, hidden: np.ndarray) -> np.ndarray:
        """Return what a hidden state says will be paid, float32 [row]."""
        return self._critic(hidden)[:, 0]
