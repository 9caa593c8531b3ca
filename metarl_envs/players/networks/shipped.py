"""The trained networks that come with the package, by name: their files, and the factories of players that they are."""

from __future__ import annotations

import functools
import hashlib
import io
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from gymnasium import spaces

from metarl_envs.arguments import did_you_mean
from metarl_envs.engine.family import Variant
from metarl_envs.players.networks.cards import Card, read_card
from metarl_envs.players.networks.layers import Weights
from metarl_envs.players.networks.looking_on import steps_of
from metarl_envs.players.networks.minds import FORMS, Activations, NetworkPlayer
from metarl_envs.players.networks.watching import Intervention, checked
from metarl_envs.players.run import Run

#: Every network, and the SHA-256 of its weights. `examples/export_networks.py` writes the files anew.
DIGESTS = {
    "ad-darkroom": "eae7b45f10bd92f39f4a55130f95991d1c5dc72edf1340d0a44e1e45b0e4e1f4",
    "dpt-darkroom": "b8a745bac4330bc9543c3f74b6cacf312a48d7d868a9fae068aa58694f374f34",
    "rl2-keytodoor": "622c11144356e60c4fd5a0d9a0057377d617d849ce7c77c42ce75af8a0314cf4",
}
#: Where `NAME.npz` and `NAME.json` lie.
FOLDER = Path(__file__).parent / "weights"


def pretrained(name: str, *, activations: bool = False, interventions: Mapping[int, Intervention] | None = None) -> Pretrained:
    """Return a trained network as a factory of players, which goes wherever a policy is asked for. It needs NumPy alone.

    Its players learn in their context: weights stay, and what they remember of a life is gone where memory is reset. They draw
    their actions from what the network says, as the example does that trained it.

        >>> agent = players.pretrained("ad-darkroom")
        >>> evaluate("DarkRoom", {"AD": agent, "its source": "q_lambda"}, episodes=50)
        >>> print(agent.card)

    Args:
        name: one of `metarl-envs list pretrained`.
        activations: keep what is found within the network at the last step as the attribute `activations` of its players, a
            dict: "stream", float32 [layer, row, number], behind each layer (0: what is fed in; i: block i); "logits" [row,
            action]; of a transformer "attention" [block, row, head, token], the oldest token first; of a GRU "hidden" [row,
            unit] and "value" [row]. See `Pretrained.watch`.
        interventions: by layer, a function of the stream behind it, float32 [row, number], and of the `Step` that the players
            were told, which returns what is to go on from there. In a GRU layer 1 is the hidden state.

    Raises:
        ValueError: there is no such network, or no such layer; the file is not the one that was written.
        TypeError: an intervention cannot be called.
    """
    return Pretrained(card(name), None, activations, interventions)


def card(name: str) -> Card:
    """Return the model card of a network: what made it, and what it is worth. ValueError where there is no such network."""
    return _card(_known(name))


class Pretrained:
    """A trained network as a factory of players; see `pretrained`, which makes those that come with the package.

    Args:
        card: what it is, what made it, and what it is worth. It says how the network is asked, and where it can play.
        weights: float32, by their names in PyTorch; None: those that come with the package by the card's name.
        activations, interventions: as in `pretrained`.

    Attributes:
        card: see above.
    """

    def __init__(
        self,
        card: Card,
        weights: Weights | None = None,
        activations: bool = False,
        interventions: Mapping[int, Intervention] | None = None,
    ):
        self.card, self._weights, self._keeps = card, weights, activations
        self._interventions = checked(interventions, 1 + card.network["layers"])
        changed = f", changed at {', '.join(map(str, sorted(self._interventions)))}" if self._interventions else ""
        self.__qualname__ = f"{card.name}{changed}"  # what results call it

    def __call__(self, *, num_envs: int, observation_space: spaces.Space, action_space: spaces.Space, seed: int) -> Any:
        """Make players that remember nothing.

        Raises:
            ValueError: it was trained on other observations or actions.
        """
        if problem := self._why_not(observation_space, action_space, "here"):
            raise ValueError(problem)
        observed, actions = self.card.spaces
        weights = weights_of(self.card.name) if self._weights is None else self._weights
        mind = FORMS[self.card.form](weights, self.card.network, num_envs, observed, int(actions.n))
        return NetworkPlayer(mind, seed, self._interventions, self._keeps)

    def why_unsuitable(self, variant: Variant) -> str | None:
        """Return why it cannot play in a family; None where it can."""
        return self._why_not(variant.observation_space, variant.action_space, f"in {variant.name}")

    def watch(self, run: Run) -> Iterator[Activations]:
        """Let the network look on at a run, whoever lived it; yield what is found within it at each step.

        It is told what whoever acted was told, and does not act: so its cache and hidden state are those of somebody who lived
        these lives. What is yielded is described under `pretrained`; rows are those of the run.

        Raises:
            ValueError: it was trained on other observations or actions than those of the run.
        """
        if problem := self.why_unsuitable(run.variant):
            raise ValueError(problem)
        observed, actions = self.card.spaces
        watching = Pretrained(self.card, self._weights, True, self._interventions)
        player = watching(num_envs=len(run), observation_space=observed, action_space=actions, seed=0)
        for step in steps_of(run):
            player.read(step)
            yield player.activations

    def _why_not(self, observation_space: spaces.Space, action_space: spaces.Space, where: str) -> str | None:
        observed, actions = self.card.spaces
        if observation_space == observed and action_space == actions:
            return None
        trained = self.card.trained_on
        params = ", ".join(f"{name}={value!r}" for name, value in trained["params"].items())
        return (
            f"{self.card.name} was trained in {trained['id']} with {params}, and plays wherever observations are {observed} "
            f"and actions {actions}; {where} they are {observation_space} and {action_space}"
        )

    def __repr__(self) -> str:
        return f"pretrained({self.__qualname__!r})"


def suitable(variant: Variant) -> dict[str, Pretrained]:
    """Return by name all networks that can play in a family."""
    return {name: one for name in DIGESTS if (one := pretrained(name)).why_unsuitable(variant) is None}


def _known(name: Any) -> str:
    if not isinstance(name, str):
        raise TypeError(f"name={name!r} must be the name of a network, one of: {', '.join(DIGESTS)}")
    if name not in DIGESTS:
        raise ValueError(f"name={name!r} is no trained network; there are: {', '.join(DIGESTS)}{did_you_mean(name, DIGESTS)}")
    return name


@functools.cache
def _card(name: str) -> Card:
    return read_card(FOLDER / f"{name}.json")


@functools.cache
def weights_of(name: str) -> Weights:
    """Return the weights of a network, held in single precision: what is in float16 in its file.

    Raises:
        ValueError: the file is not the one whose digest is written here.
    """
    path = FOLDER / f"{name}.npz"
    content = path.read_bytes()
    if (found := hashlib.sha256(content).hexdigest()) != DIGESTS[name]:
        raise ValueError(f"{path} is not what it was: its SHA-256 is {found}, and was {DIGESTS[name]}. Install it again")
    with np.load(io.BytesIO(content), allow_pickle=False) as held:
        return {key: held[key].astype(np.float32) for key in held.files}
