"""The networks that come with the package, by name: the files of those that were trained, and the factories that they are."""

from __future__ import annotations

import functools
import hashlib
import io
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from gymnasium import spaces

from metarl_envs.arguments import did_you_mean
from metarl_envs.engine.family import Variant
from metarl_envs.players.networks.cards import Card, read_card
from metarl_envs.players.networks.constructed import DESCENTS, Constructed
from metarl_envs.players.networks.factory import Network
from metarl_envs.players.networks.layers import Weights
from metarl_envs.players.networks.minds import FORMS, Mind
from metarl_envs.players.networks.watching import Intervention

#: Every trained network, and the SHA-256 of its weights. `examples/export_networks.py` writes the files anew.
DIGESTS = {
    "ad-darkroom": "eae7b45f10bd92f39f4a55130f95991d1c5dc72edf1340d0a44e1e45b0e4e1f4",
    "ad-mixture-4": "f0434455738133286769b78134f79957bb6c475525e8dc71105ee7a22ea949a3",
    "ad-mixture-4096": "b48edcdb37f2089edbb5a633fbb3608e22fe8ceeddaa1002d355fc5abe98eeae",
    "dpt-darkroom": "b8a745bac4330bc9543c3f74b6cacf312a48d7d868a9fae068aa58694f374f34",
    "rl2-keytodoor": "622c11144356e60c4fd5a0d9a0057377d617d849ce7c77c42ce75af8a0314cf4",
    "rl2-mixture-4": "5cb33a1e4bd1c670efea66046b44dd77ec130d3fa5770faeab7fd999bef6115b",
    "rl2-mixture-4096": "369ba98f6a5c5fa912d9e2ad5dbd8bc8d3c5d1ee8a4d28a1d9c08fffa97e6458",
}
#: All networks that have names.
NAMES = (*DIGESTS, *DESCENTS)
#: Where `NAME.npz` and `NAME.json` lie.
FOLDER = Path(__file__).parent / "weights"


def pretrained(name: str, *, activations: bool = False, interventions: Mapping[int, Intervention] | None = None) -> Network:
    """Return a network as a factory of players, which goes wherever a policy is asked for. It needs NumPy alone.

    Its players learn in their context: weights stay, and what they remember of a life is gone where memory is reset. They draw
    their actions from what the network says, as the example does that trained it. (The weights of those whose names have "by
    construction" in them were not trained: each layer is a step of gradient descent, in LinearRegression.)

        >>> agent = players.pretrained("ad-darkroom")
        >>> evaluate("DarkRoom", {"AD": agent, "its source": "q_lambda"}, episodes=50)
        >>> print(agent.card)  # of those that were trained

    Args:
        name: one of `metarl-envs list networks`.
        activations: keep what is found within the network at the last step as the attribute `activations` of its players, a
            dict: "stream", float32 [layer, row, number], behind each layer (0: what is fed in; i: block i); "logits" [row,
            action]; of a transformer "attention" [block, row, head, token], the oldest token first; of a GRU "hidden" [row,
            unit] and "value" [row]. In dpt-darkroom the question is the last token that is looked at. Networks by construction
            have "prediction" [row, 1] in place of "logits", and "examples" [row, token]: which tokens are examples. See
            `Network.watch`.
        interventions: by layer, a function of the stream behind it, float32 [row, number], and of the `Step` that the players
            were told, which returns what is to go on from there. In a GRU layer 1 is the hidden state; where layers are steps
            of gradient descent, the stream has an axis for tokens, float64 [row, token, number].

    Raises:
        ValueError: there is no such network, or no such layer; the file is not the one that was written.
        TypeError: an intervention cannot be called.
    """
    if _known(name, NAMES, "network") in DESCENTS:
        return Constructed(name, activations, interventions)
    return Pretrained(card(name), None, activations, interventions)


def card(name: str) -> Card:
    """Return the model card of a trained network: what made it, and what it is worth; ValueError where there is none."""
    return _card(_known(name, DIGESTS, "trained network"))


class Pretrained(Network):
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
        super().__init__(card.name, card.network["layers"], activations, interventions)
        self.card, self._weights = card, weights

    def mind(self, rows: int, observation_space: spaces.Space, action_space: spaces.Space) -> Mind:
        """Return the network with an empty memory for so many rows."""
        weights = weights_of(self.card.name) if self._weights is None else self._weights
        return FORMS[self.card.form](weights, self.card.network, rows, self.card.spaces[0], self.card.actions)

    def fits(self, observation_space: spaces.Space, action_space: spaces.Space) -> bool:
        """Return whether these are the spaces that it was trained on."""
        return (observation_space, action_space) == self.card.spaces

    @property
    def what(self) -> str:
        """What it is, in a sentence."""
        return self.card.what

    @property
    def home(self) -> str:
        """Where it was trained."""
        params = self.card.trained_on["params"]
        name = self.card.trained_on["id"].rpartition("/")[2].rpartition("-v")[0]
        return ", ".join([name, *(f"{told}={params[told]}" for told in ("size", "pool") if told in params)])

    def where(self) -> str:
        """Return where it was trained, and can play, in words."""
        trained, (observed, actions) = self.card.trained_on, self.card.spaces
        home = f"{trained['id']} with {', '.join(f'{name}={value!r}' for name, value in trained['params'].items())}"
        return f"was trained in {home}, and plays wherever observations are {observed} and actions {actions}"


def suitable(variant: Variant) -> dict[str, Network]:
    """Return by name all networks that can play in a family."""
    return {name: one for name in NAMES if (one := pretrained(name)).why_unsuitable(variant) is None}


def _known(name: Any, names: Collection[str], what: str) -> str:
    if not isinstance(name, str):
        raise TypeError(f"name={name!r} must be the name of a network, one of: {', '.join(names)}")
    if name not in names:
        raise ValueError(f"name={name!r} is no {what}; there are: {', '.join(names)}{did_you_mean(name, names)}")
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
