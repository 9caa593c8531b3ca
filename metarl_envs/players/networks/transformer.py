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

    def visible_to(self, count: int) -> np.ndarray:
        """Return which places the next tokens may look at, bool [row, token, place in use]: those that will not be over yet."""
        lasts = self.times[: self.used] > self.now + np.arange(count)[:, None] - len(self.times)
        return self.visible()[:, None] & lasts

    def order(self) -> np.ndarray:
        """Return the places in use, the oldest first."""
        return np.argsort(self.times[: self.used])

    def next_places(self, count: int) -> np.ndarray:
        """Make room for so many tokens, no more than the window; return where."""
        times = self.now + np.arange(count)
        places = times % len(self.times)
        self.times[places] = times
        self.now += count
        return places


class Block:
    """Attention and a layer of neurons, each added to the stream."""

    def __init__(self, weights: Weights, name: str, heads: int, rotary: bool):
        self._heads, self._rotary = heads, rotary
        self._before_attention = layer_norm(weights, f"{name}.before_attention")
        self._before_neurons = layer_norm(weights, f"{name}.before_neurons")
        self._read, self._write = linear(weights, f"{name}.read"), linear(weights, f"{name}.write")
        self._excite, self._project = linear(weights, f"{name}.neurons.0"), linear(weights, f"{name}.neurons.2")

    def read(self, x: np.ndarray, time: int) -> np.ndarray:
        """Return queries, keys and values of tokens [row, token, width], the first of which is at a time.

        Returns:
            float32 [3, row, head, token, number].
        """
        rows, count, width = x.shape
        read = self._read(self._before_attention(x)).reshape(rows, count, 3, self._heads, width // self._heads)
        read = read.transpose(2, 0, 3, 1, 4)
        if self._rotary:
            read = np.concatenate([turned(read[:2], time + np.arange(count)), read[2:]])
        return read

    def look(
        self, x: np.ndarray, read: np.ndarray, keys: np.ndarray, values: np.ndarray, sees: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return the stream behind this block, [row, token, width], and who was looked at, [row, head, token, token].

        Args:
            x: the stream before it.
            read: what `read` found in it.
            keys: of older tokens, [row, head, token, number], which tokens look at before each other.
            values: of the same.
            sees: which of the older ones each token looks at, bool [row, token, older token]. Of `x`, it looks at itself and
                at those before it.
        """
        (rows, count, width), (query, key, value) = x.shape, read
        older = keys.shape[2]
        scores = np.empty((rows, self._heads, count, older + count), np.float32)
        np.matmul(query, keys.swapaxes(2, 3), out=scores[..., :older])
        np.matmul(query, key.swapaxes(2, 3), out=scores[..., older:])
        np.copyto(scores[..., :older], -np.inf, where=~sees[:, None])
        if count > 1:
            scores[..., older:][..., np.triu(np.ones((count, count), np.bool_), 1)] = -np.inf
        attention = softmax(scores * np.float32((width // self._heads) ** -0.5))
        found = attention[..., :older] @ values + attention[..., older:] @ value
        x = x + self._write(found.swapaxes(1, 2).reshape(rows, count, width))
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
        looked = self._run(tokens, cache, stream, cache.now, cache.visible_to(1)[:, 0], joins=True)
        place = (cache.now - 1) % len(cache.times)
        for attention in looked:
            attention[..., place] = attention[..., -1]  # where the ring is full, in place of the one that it overwrites
        return [attention[..., : cache.used] for attention in looked]

    def take_in(self, tokens: np.ndarray, cache: Cache) -> None:
        """Let the next tokens of each row, float32 [row, token, number], join the cache together, no more than the window.

        It is what `join` does for one after the other, but for what the last block says, which nobody asks for.
        """
        x, used, sees, time = self._embed(tokens), cache.used, cache.visible_to(tokens.shape[1]), cache.now
        read = []
        for block, keys, values in zip(self._blocks, cache.keys, cache.values, strict=True):
            read.append(block.read(x, time))
            if block is not self._blocks[-1]:
                x, _ = block.look(x, read[-1], keys[:, :, :used], values[:, :, :used], sees)
        places = cache.next_places(tokens.shape[1])
        for (_, key, value), keys, values in zip(read, cache.keys, cache.values, strict=True):
            keys[:, :, places], values[:, :, places] = key, value

    def ask(self, tokens: np.ndarray, cache: Cache, stream: Stream, sees: np.ndarray) -> list[np.ndarray]:
        """Let a token of each row run through all blocks and leave no trace in the cache; otherwise as `join`.

        Args:
            tokens: as in `join`.
            cache: what is looked at beside the token itself, which comes last.
            stream: takes the stream behind each layer.
            sees: which places each row looks at, bool [row, place in use].
        """
        return self._run(tokens, cache, stream, 0, sees, joins=False)

    def logits(self, stream: Stream) -> np.ndarray:
        """Return what the stream behind the last block says of each action, float32 [row, action]."""
        return self._decide(self._normalise(stream.layers[-1]))

    def _run(
        self, tokens: np.ndarray, cache: Cache, stream: Stream, time: int, sees: np.ndarray, joins: bool
    ) -> list[np.ndarray]:
        x, used, looked = stream.behind(self._embed(tokens)), cache.used, []
        place = cache.next_places(1) if joins else None
        for block, keys, values in zip(self._blocks, cache.keys, cache.values, strict=True):
            read = block.read(x[:, None], time)
            x, attention = block.look(x[:, None], read, keys[:, :, :used], values[:, :, :used], sees[:, None])
            if joins:
                keys[:, :, place], values[:, :, place] = read[1:]
            x = stream.behind(x[:, 0])
            looked.append(attention[:, :, 0])
        return looked


def turned(x: np.ndarray, times: np.ndarray) -> np.ndarray:
    """Return [..., token, number] with half of the numbers turned by angles that grow with the token's time."""
    quarter = x.shape[-1] // 4
    still, a, b = x[..., : -2 * quarter], x[..., -2 * quarter : -quarter], x[..., -quarter:]
    angles = times.astype(np.float32)[:, None] * np.float32(1000.0) ** (
        -np.arange(quarter, dtype=np.float32) / np.float32(quarter)
    )
    sine, cosine = np.sin(angles), np.cos(angles)
    return np.concatenate([still, a * cosine - b * sine, a * sine + b * cosine], axis=-1)
