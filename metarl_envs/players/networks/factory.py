"""Networks as factories of players: what all of them share, wherever their weights come from."""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping

from gymnasium import spaces

from metarl_envs.engine.family import Variant
from metarl_envs.players.networks.looking_on import steps_of
from metarl_envs.players.networks.minds import Activations, Mind, NetworkPlayer
from metarl_envs.players.networks.watching import Intervention, checked
from metarl_envs.players.run import Run


class Network(ABC):
    """A network as a factory of players; see `pretrained`, which makes those that come with the package.

    Args:
        name: of the network.
        layers: how many there are behind that of what is fed in.
        activations: see `pretrained`.
        interventions: see `pretrained`.
    """

    def __init__(self, name: str, layers: int, activations: bool, interventions: Mapping[int, Intervention] | None):
        self._name, self._keeps, self._interventions = name, activations, checked(interventions, 1 + layers)
        changed = f", changed at {', '.join(map(str, sorted(self._interventions)))}" if self._interventions else ""
        self.__qualname__ = f"{name}{changed}"  # what results call it

    @abstractmethod
    def mind(self, rows: int, observation_space: spaces.Space, action_space: spaces.Space) -> Mind:
        """Return the network with an empty memory for so many rows."""

    @abstractmethod
    def fits(self, observation_space: spaces.Space, action_space: spaces.Space) -> bool:
        """Return whether it can play where there are these spaces."""

    @property
    @abstractmethod
    def what(self) -> str:
        """What it is, in a sentence."""

    @property
    @abstractmethod
    def home(self) -> str:
        """Where it was trained, or is meant to play."""

    @abstractmethod
    def where(self) -> str:
        """Return where it can play, in words."""

    def __call__(
        self, *, num_envs: int, observation_space: spaces.Space, action_space: spaces.Space, seed: int
    ) -> NetworkPlayer:
        """Make players that remember nothing.

        Raises:
            ValueError: it was made for other observations or actions.
        """
        return self._player(num_envs, observation_space, action_space, seed, self._keeps)

    def why_unsuitable(self, variant: Variant) -> str | None:
        """Return why it cannot play in a family; None where it can."""
        return self._why_not(variant.observation_space, variant.action_space, f"in {variant.name}")

    def watch(self, run: Run) -> Iterator[Activations]:
        """Let the network look on at a run, whoever lived it; yield what is found within it at each step.

        It is told what whoever acted was told, and does not act: so its memory is that of somebody who lived these lives. What
        is yielded is described under `pretrained`; rows are those of the run.

        Raises:
            ValueError: it was made for other observations or actions than those of the run.
        """
        observed, actions = copy.deepcopy((run.variant.observation_space, run.variant.action_space))
        player = self._player(len(run), observed, actions, 0, True)
        for step in steps_of(run):
            player.read(step)
            yield player.activations

    def _player(
        self, rows: int, observation_space: spaces.Space, action_space: spaces.Space, seed: int, keeps: bool
    ) -> NetworkPlayer:
        if problem := self._why_not(observation_space, action_space, "here"):
            raise ValueError(problem)
        return NetworkPlayer(self.mind(rows, observation_space, action_space), seed, self._interventions, keeps)

    def _why_not(self, observation_space: spaces.Space, action_space: spaces.Space, place: str) -> str | None:
        if self.fits(observation_space, action_space):
            return None
        return f"{self._name} {self.where()}; {place} they are {observation_space} and {action_space}"

    def __repr__(self) -> str:
        return f"pretrained({self.__qualname__!r})"
