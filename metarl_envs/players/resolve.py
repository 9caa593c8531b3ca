"""Who plays: players by name, whatever form they were given in."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from metarl_envs.engine.family import Variant
from metarl_envs.engine.player import Player
from metarl_envs.learners import LEARNERS
from metarl_envs.learners.named import read_player, suitable_players
from metarl_envs.players.factories import Factory, Seat, Wrapped, name_of
from metarl_envs.players.networks.factory import Network
from metarl_envs.players.networks.shipped import NAMES, pretrained, suitable

#: Whoever can play: a compiled player, or a factory of others.
Anyone = Player | Factory | Seat | Wrapped


def players_by_name(given: Any, variant: Variant, what: str = "policies") -> dict[str, Anyone]:
    """Return players by name.

    Args:
        given: a mapping of names to players, a list of players, or one alone; a player is a name (of a learner, a reference, or
            a network), a compiled player, or a factory. None: all compiled players that fit the family.
        variant: where they are to play.
        what: how an error calls the argument.

    Raises:
        TypeError: something is no player, or a name is no string.
        ValueError: there is none, two have one name, or one cannot play here.
    """
    known = suitable_players(variant)
    if given is None:
        return {name: player for name, player in known.items() if player.runs_by_default(variant)}
    one = what.removesuffix("ies") + "y" if what.endswith("ies") else what.removesuffix("s")
    return {
        name: _read(each, variant, known, one if each is name else f"{one} {name!r}")
        for name, each in by_name(given, what).items()
    }


def _read(given: Any, variant: Variant, known: Mapping[str, Player], what: str) -> Anyone:
    """Who is meant, if it can play here."""
    network = pretrained(given) if isinstance(given, str) and given in NAMES else given
    if not isinstance(network, Network):
        return read_player(given, variant, {**known, **suitable(variant)}, what)
    if problem := network.why_unsuitable(variant):
        raise ValueError(f"{what}: {problem}")
    return network


def called(player: Any) -> str:
    """Return the name of a player that was given without one."""
    if isinstance(player, Player):
        return next((name for name, known in LEARNERS.items() if known is type(player)), type(player).__name__)
    return player if isinstance(player, str) else name_of(player)


def described(player: Anyone) -> str:
    """Return who it is, as text, with its hyper-parameters or the wrappers that it sees through."""
    return repr(player) if isinstance(player, Player | Wrapped | Seat) else name_of(player)


def by_name(given: Any, what: str) -> dict[str, Any]:
    """Return whoever was given, by name.

    Args:
        given: a mapping of names to players, a list of players, or one alone, whatever they are.
        what: how an error calls the argument.

    Raises:
        TypeError, ValueError: as in `players_by_name`, where names are missing, no strings, or twice.
    """
    if isinstance(given, str | Player | Wrapped) or callable(given):
        given = [given]
    if not isinstance(given, Iterable):
        raise TypeError(f"{what}={given!r} must be names, learners, factories of players, or a mapping of names to them")
    pairs = list(given.items()) if isinstance(given, Mapping) else [(called(player), player) for player in given]
    if not pairs:
        raise ValueError(f"{what} is empty: give at least one")
    for i, (name, _) in enumerate(pairs):
        if not isinstance(name, str):
            raise TypeError(f"{what} has the name {name!r}, which must be a string")
        if not name.isprintable() or name != name.strip() or not name:
            raise ValueError(f"{what} has the name {name!r}, which must be one line, with no space at its ends")
        if name in dict(pairs[:i]):
            raise ValueError(f"{what} has two that are called {name!r}: give a mapping, with a name of its own for each")
    return dict(pairs)
