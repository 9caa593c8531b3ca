"""A causal transformer that runs token by token, with a cache of keys and values, in many rows at once.

It is the network of `examples/algorithm_distillation.py`: its weights are those of that PyTorch module, by the same names.
"""

from __future__ import annotations

import numpy as np

from metarl_envs.players.networks.layers import Weights, gelu, layer_norm, linear, softmax
from metarl_envs.players.networks.watching import Stream


class Cache:
    """Keys and values of the last `window` tokens of each row, in a ring: the newest overwrites the oldest.

    Attributes:
        keys, values: float32 [layer, row, head, place, number].
        times: when each place was written, int64 [place].
        born: what is older than that, a row has forgotten, int64 [row].
        now: how many tokens there were.
    """

    def __init__(self, rows: int, window: int, layers: int, heads: int, width: int):
        self.keys, self.values = np.zeros((2, layers, rows, heads, window, width // heads), np.float32)
        self.times = np.full(window, -1)
        self.born = np.zeros(rows, np.int64)
        self.now = 0

    @property
    def used(self) -> int:
        """How many places hold a token."""
        return min(self.now, len(self.times))

    def visible(self) -> np.ndarray:
        """Return which places each row may look at, bool [row, place in use]."""
        return self.times[: self.used] >= self.born[:, None]

    def order(self) -> np.ndarray:
        """Return the places in use, the oldest first."""
        return np.argsort(self.times[: self.used])

    def next_place(self) -> int:
        """Make room for one more token; return where."""
        place = self.now % len(self.times)
        self.times[place] = self.now
        self.now += 1
        return place


class Block:
    """Attention and a layer of neurons, each added to the stream."""

    def __init__(self, weights: Weights, name: str, heads: int, rotary: bool):
        self._heads, self._rotary = heads, rotary
        self._before_attention = layer_norm(weights, f"{name}.before_attention")
        self._before_neurons = layer_norm(weights, f"{name}.before_neurons")
        self._read, self._write = linear(weights, f"{name}.read"), linear(weights, f"{name}.write")
        self._excite, self._project = linear(weights, f"{name}.neurons.0"), linear(weights, f"{name}.neurons.2")

    def __call__(
        self, x: np.ndarray, keys: np.ndarray, values: np.ndarray, time: int, place: int | None, sees: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return the stream behind this block, and who was looked at, float32 [row, head, token]."""
        rows, width = x.shape
        read = self._read(self._before_attention(x)).reshape(rows, 3, self._heads, width // self._heads)
        query, key, value = read[:, 0], read[:, 1], read[:, 2]
        if self._rotary:
            query, key = turned(query, time), turned(key, time)
        if place is not None:
            keys[:, :, place], values[:, :, place] = key, value
        scores = (keys @ query[..., None])[..., 0]
        scores[~np.broadcast_to(sees[:, None], scores.shape)] = -np.inf
        if place is None:  # it looks at itself too
            scores = np.concatenate([scores, (query * key).sum(axis=-1, keepdims=True)], axis=-1)
        attention = softmax(scores / np.float32((width // self._heads) ** 0.5))
        found = (attention[:, :, None, : values.shape[2]] @ values)[:, :, 0]
        if place is None:
            found = found + attention[..., -1:] * value
        x = x + self._write(found.reshape(rows, width))
        return x + self._project(gelu(self._excite(self._before_neurons(x)))), attention


class Transformer:
    """A causal transformer from tokens to logits of actions.

    Args:
        weights: float32, by the names that they have in PyTorch.
        heads: of attention in each block.
        rotary: whether tokens know when they are: half of each head turns with time (Su et al. 2021).

    Attributes:
        layers: how many blocks there are.
        width: of the stream.
    """

    def __init__(self, weights: Weights, heads: int, rotary: bool):
        self.layers = 1 + max(int(name.split(".")[1]) for name in weights if name.startswith("blocks."))
        self.width, self._heads = len(weights["embed.bias"]), heads
        self._embed = linear(weights, "embed")
        self._blocks = [Block(weights, f"blocks.{i}", heads, rotary) for i in range(self.layers)]
        self._normalise, self._decide = layer_norm(weights, "decide.0"), linear(weights, "decide.1")

    def cache(self, rows: int, window: int) -> Cache:
        """Return an empty cache for so many rows, which look back on so many tokens."""
        return Cache(rows, window, self.layers, self._heads, self.width)

    def join(self, tokens: np.ndarray, cache: Cache, stream: Stream) -> list[np.ndarray]:
        """Let the next token of each row, float32 [row, number], run through all blocks, and join the cache.

        Returns:
            Who was looked at in each block, float32 [row, head, token], in the order of the cache's places.
        """
        time, place = cache.now, cache.next_place()
        return self._run(tokens, cache, stream, time, place, cache.visible())

    def ask(self, tokens: np.ndarray, cache: Cache, stream: Stream, sees: np.ndarray) -> list[np.ndarray]:
        """Let a token of each row run through all blocks and leave no trace in the cache; otherwise as `join`.

        Args:
            tokens: as in `join`.
            cache: what is looked at beside the token itself, which comes last.
            stream: takes the stream behind each layer.
            sees: which places each row looks at, bool [row, place in use].
        """
        return self._run(tokens, cache, stream, 0, None, sees)

    def logits(self, stream: Stream) -> np.ndarray:
        """Return what the stream behind the last block says of each action, float32 [row, action]."""
        return self._decide(self._normalise(stream.layers[-1]))

    def _run(
        self, tokens: np.ndarray, cache: Cache, stream: Stream, time: int, place: int | None, sees: np.ndarray
    ) -> list[np.ndarray]:
        x, used, looked = stream.behind(self._embed(tokens)), cache.used, []
        for block, keys, values in zip(self._blocks, cache.keys, cache.values, strict=True):
            x, attention = block(x, keys[:, :, :used], values[:, :, :used], time, place, sees)
            x = stream.behind(x)
            looked.append(attention)
        return looked


def turned(x: np.ndarray, time: int) -> np.ndarray:
    """Return [..., number] with half of the numbers turned by angles that grow with time."""
    quarter = x.shape[-1] // 4
    still, a, b = x[..., : -2 * quarter], x[..., -2 * quarter : -quarter], x[..., -quarter:]
    angles = np.float32(time) * np.float32(1000.0) ** (-np.arange(quarter, dtype=np.float32) / np.float32(quarter))
    sine, cosine = np.sin(angles), np.cos(angles)
    return np.concatenate([still, a * cosine - b * sine, a * sine + b * cosine], axis=-1)
