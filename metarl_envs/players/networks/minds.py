"""Players who act by what a network says of their life so far: one class a way of asking a trained one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np
from gymnasium import spaces

from metarl_envs.players.networks.gru import GRU
from metarl_envs.players.networks.layers import Weights, softmax
from metarl_envs.players.networks.tokens import PreviousSteps, Transitions
from metarl_envs.players.networks.transformer import Transformer
from metarl_envs.players.networks.watching import Intervention, Stream
from metarl_envs.players.told import Step

#: So many tokens are taken in together at most: products of these sizes are not yet handed to several threads, who would wait
#: for each other longer than they work.
_TOGETHER = 8
#: What was found within a network at one step, by name.
Activations = dict[str, np.ndarray]


class Mind(Protocol):
    """A network, and what it remembers of the lives in its rows.

    Attributes:
        says: what its answers are called.
    """

    says: str

    def read(self, step: Step, stream: Stream) -> np.ndarray:
        """Take in a step; return its answer, [row, number]."""
        ...

    def choose(self, said: np.ndarray, generator: np.random.Generator) -> Any:
        """Return an action a row, by its answers."""
        ...

    def activations(self) -> Activations:
        """Return what was found at the last step beside the stream."""
        ...


class NetworkPlayer:
    """Players in several rows, who share a network and nothing else.

    Args:
        mind: the network, and its memory.
        seed: of what is drawn.
        interventions: by layer; see `pretrained`.
        keeps: whether `activations` are kept.

    Attributes:
        activations: what was found within the network at the last step; see `pretrained`.
    """

    def __init__(self, mind: Mind, seed: int, interventions: Mapping[int, Intervention], keeps: bool):
        self._mind, self._interventions, self._keeps = mind, interventions, keeps
        self._generator = np.random.default_rng(seed)
        self.activations: Activations = {}

    def act(self, step: Step) -> np.ndarray:
        """Choose an action in each row."""
        return self._mind.choose(self.read(step), self._generator)

    def read(self, step: Step) -> np.ndarray:
        """Take in a step without acting; return what the network answers, [row, number]: as a rule the logits of actions."""
        stream = Stream(self._interventions, step)
        said = self._mind.read(step, stream)
        if self._keeps:
            self.activations = {"stream": np.stack(stream.layers), self._mind.says: said, **self._mind.activations()}
        return said


class Drawing:
    """Whoever draws actions as often as its logits say."""

    says = "logits"

    def choose(self, said: np.ndarray, generator: np.random.Generator) -> np.ndarray:
        """Return one action a row, int64, by its logits [row, action]."""
        chances = softmax(said.astype(np.float64)).cumsum(axis=1)
        return (chances < generator.random((len(chances), 1)) * chances[:, -1:]).sum(axis=1)


class Distilled(Drawing):
    """A transformer that says what the learner whose lives it has imitated would do next (Laskin et al. 2022)."""

    def __init__(self, weights: Weights, settings: Mapping[str, Any], rows: int, observed: spaces.Box, actions: int):
        self._network = Transformer(weights, settings["heads"], rotary=True)
        self._cache = self._network.cache(rows, settings["window"])
        self._tokens = Transitions(observed, actions)

    def read(self, step: Step, stream: Stream) -> np.ndarray:
        """Take in a step."""
        cache = self._cache
        cache.born[step.memory_reset] = cache.now
        self._looked = self._network.join(self._tokens.of(step), cache, stream)
        return self._network.logits(stream)

    def activations(self) -> Activations:
        """Return who was looked at, float32 [block, row, head, token], the oldest token first."""
        return {"attention": np.stack(self._looked)[..., self._cache.order()]}


class Asked(Drawing):
    """A transformer that is asked about where one stands, given all transitions of the episodes before (Lee et al. 2023).

    It is the stream of the question that is kept, and that interventions change.
    """

    def __init__(self, weights: Weights, settings: Mapping[str, Any], rows: int, observed: spaces.Box, actions: int):
        self._network = Transformer(weights, settings["heads"], rotary=False)
        self._cache = self._network.cache(rows, settings["window"])
        self._tokens = Transitions(observed, actions)
        self._until = np.zeros(rows, np.int64)  # what is newer than that is of the running episode
        self._left: list[np.ndarray] = []  # tokens that nobody looks at yet: together they are taken in at less cost

    def read(self, step: Step, stream: Stream) -> np.ndarray:
        """Take in a step."""
        cache = self._cache
        self._left.append(self._tokens.of(step))
        if (step.memory_reset | step.episode_start).any() or len(self._left) == min(_TOGETHER, len(cache.times)):
            self._network.take_in(np.stack(self._left, axis=1), cache)
            self._left.clear()
        cache.born[step.memory_reset] = cache.now
        self._until[step.episode_start] = cache.now
        times = cache.times[: cache.used]
        lasting = times >= cache.now + len(self._left) - len(cache.times)  # those that are left overwrite the others
        sees = cache.visible() & lasting & (times < self._until[:, None])
        self._looked = self._network.ask(self._tokens.alone(step.observation), cache, stream, sees)
        return self._network.logits(stream)

    def activations(self) -> Activations:
        """Return who was looked at, float32 [block, row, head, token], the oldest token first and the question last."""
        order, left = self._cache.order(), len(self._left)
        order = order[max(0, len(order) + left - len(self._cache.times)) :]  # without those that the others overwrite
        looked = np.stack(self._looked)
        unseen = np.zeros((*looked.shape[:-1], left), looked.dtype)
        return {"attention": np.concatenate([looked[..., order], unseen, looked[..., -1:]], axis=-1)}


class Recurrent(Drawing):
    """A GRU whose hidden state lasts from episode to episode of a trial (RL², Duan et al. 2016)."""

    def __init__(self, weights: Weights, settings: Mapping[str, Any], rows: int, observed: spaces.Box, actions: int):
        self._network = GRU(weights)
        self._hidden = np.zeros((rows, self._network.units), np.float32)
        self._vectors = PreviousSteps(observed, actions)

    def read(self, step: Step, stream: Stream) -> np.ndarray:
        """Take in a step."""
        hidden = np.where(step.memory_reset[:, None], np.float32(0), self._hidden)
        self._hidden = hidden = self._network.step(self._vectors.of(step), hidden, stream)
        return self._network.logits(hidden)

    def activations(self) -> Activations:
        """Return the hidden state, float32 [row, unit], and the value that the network reads in it, float32 [row]."""
        return {"hidden": self._hidden, "value": self._network.value(self._hidden)}


#: How a network is asked, by the name that cards have for it.
FORMS = {"distilled": Distilled, "asked": Asked, "recurrent": Recurrent}
