"""Linear transformers as players of LinearRegression: shown examples, they predict by a forward pass over all of them."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from gymnasium import spaces

from metarl_envs.players.networks.factory import Network
from metarl_envs.players.networks.linear import LinearTransformer, gradient_descent
from metarl_envs.players.networks.minds import Activations
from metarl_envs.players.networks.watching import Intervention, Stream
from metarl_envs.players.told import Step

#: By name: rate, steps and curvature, which are those of the family's references.
DESCENTS = {
    "gd-by-construction-k1": (0.36, 1, 0.0),
    "gd-by-construction-k2": (0.22, 2, 0.0),
    "gd-by-construction-k5": (0.125, 5, 0.0),
    "gd-plus-plus-by-construction-k5": (0.75, 5, 0.045),
}


class Constructed(Network):
    """A transformer of linear attention, each of whose layers is a step of gradient descent. Its weights are written down.

    It plays in LinearRegression, in any number of dimensions. Of each episode it is not told the last target, which comes
    with no observation that it sees.
    """

    def __init__(self, name: str, activations: bool = False, interventions: Mapping[int, Intervention] | None = None):
        self._rate, self._steps, self._curvature = DESCENTS[name]
        super().__init__(name, self._steps, activations, interventions)

    def mind(self, rows: int, observation_space: spaces.Space, action_space: spaces.Space) -> Predicting:
        """Return the network with no examples for so many rows."""
        assert isinstance(observation_space, spaces.Box)
        assert isinstance(action_space, spaces.Box)
        dimensions = observation_space.shape[0] - 1
        return Predicting(gradient_descent(dimensions, self._rate, self._steps, self._curvature), rows, action_space)

    def fits(self, observation_space: spaces.Space, action_space: spaces.Space) -> bool:
        """Return whether inputs and a target are seen, and a number is predicted."""
        return (
            isinstance(observation_space, spaces.Box)
            and isinstance(action_space, spaces.Box)
            and len(observation_space.shape) == 1
            and observation_space.shape[0] > 1
            and not np.isfinite([observation_space.low, observation_space.high]).any()
            and action_space.shape == (1,)
        )

    @property
    def what(self) -> str:
        """What it is, in a sentence."""
        form = "gradient descent" if not self._curvature else "GD++"
        return (
            f"A linear transformer whose weights are written down: each of its layers is a step of {form}, {self._steps} in all"
        )

    @property
    def home(self) -> str:
        """Where it is meant to play."""
        return "LinearRegression"

    def where(self) -> str:
        """Return where it can play, in words."""
        return "plays in LinearRegression, where observations are inputs and the last target, and the action is a prediction"


class Predicting:
    """A linear transformer, and the examples that it was shown in each row."""

    says = "prediction"

    def __init__(self, network: LinearTransformer, rows: int, action_space: spaces.Box):
        self._network, self._low, self._high = network, action_space.low, action_space.high
        self._examples = np.zeros((rows, 16, network.width))
        self._count = np.zeros(rows, np.int64)
        self._before = np.zeros((rows, network.width - 1))

    def read(self, step: Step, stream: Stream) -> np.ndarray:
        """Take in a step; return predictions, float64 [row, 1]."""
        seen = np.asarray(step.observation, np.float64)
        self._count[step.memory_reset] = 0
        self._keep(np.flatnonzero(~(step.memory_reset | step.episode_start)), seen[:, -1:])
        self._before = seen[:, :-1]
        most = int(self._count.max(initial=0))
        question = np.concatenate([self._before, np.zeros((len(seen), 1))], axis=1)
        tokens = np.concatenate([self._examples[:, :most], question[:, None]], axis=1)
        return self._network.run(tokens, np.arange(most + 1) < self._count[:, None], stream)[:, None]

    def choose(self, said: np.ndarray, generator: np.random.Generator) -> np.ndarray:
        """Return the predictions, within the bounds of actions."""
        return np.clip(said, self._low, self._high).astype(self._low.dtype)

    def activations(self) -> Activations:
        """Return which tokens are examples, bool [row, token]; the last one is the question."""
        return {"examples": np.arange(self._count.max(initial=0) + 1) < self._count[:, None]}

    def _keep(self, rows: np.ndarray, targets: np.ndarray) -> None:
        """Keep the inputs of before with their targets."""
        if len(rows) and self._count[rows].max() == self._examples.shape[1]:
            self._examples = np.concatenate([self._examples, np.zeros_like(self._examples)], axis=1)
        self._examples[rows, self._count[rows]] = np.concatenate([self._before, targets], axis=1)[rows]
        self._count[rows] += 1
