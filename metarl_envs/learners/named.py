"""Compiled players by name: one reading of "who plays" for every function and every command."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from metarl_envs.arguments import did_you_mean
from metarl_envs.engine.family import Variant
from metarl_envs.engine.player import Player, references_of
from metarl_envs.learners import LEARNERS
from metarl_envs.learners.random import random_policy


def suitable_players(variant: Variant) -> dict[str, Player]:
    """Return by name all that can live in a family: the learners with default hyper-parameters, and its own references."""
    learners = {name: learner() for name, learner in LEARNERS.items()}
    players = {**learners, "random": random_policy(variant), **references_of(variant)}
    return {name: player for name, player in players.items() if player.why_unsuitable(variant) is None}


def learner_named(name: str, hyper: Mapping[str, Any]) -> Player:
    """Return a learner with these hyper-parameters; ValueError where none has that name, or a value is out of range."""
    if name not in LEARNERS:
        raise ValueError(f"learner {name!r} is not known; there are: {', '.join(LEARNERS)}{did_you_mean(name, LEARNERS)}")
    return LEARNERS[name](**hyper)


def read_player(given: Any, variant: Variant, known: Mapping[str, Any], what: str = "player", *, factories: bool = True) -> Any:
    """Return who is meant: a compiled player, or the factory that was given.

    Args:
        given: a name, a compiled player, or a factory of players.
        variant: where it is to play.
        known: the players that have names there, compiled or not.
        what: how an error calls the argument.
        factories: whether a factory will do; else only compiled players are taken.

    Raises:
        ValueError: no player has that name, or it cannot play there.
        TypeError: it is the class of a compiled player, or nothing that plays.
    """
    if isinstance(given, str):
        if given not in known:
            closest = did_you_mean(given, known)
            raise ValueError(f"{what} {given!r} does not suit {variant.name}; these do: {', '.join(known)}{closest}")
        return known[given]
    if isinstance(given, type) and issubclass(given, Player):
        raise TypeError(f"{what} is the class {given.__name__}: write {given.__name__}()")
    if isinstance(given, Player):
        if problem := given.why_unsuitable(variant):
            raise ValueError(f"{what}: {problem}")
        return given
    if not factories:
        raise TypeError(f"{what}={given!r} must be a Player, such as metarl_envs.learners.QLearning(), or the name of one")
    if not callable(given):
        raise TypeError(
            f"{what} is {given!r}: give a name, a compiled player, or a factory that makes players (not a player of your own "
            "itself, since it must be made anew whenever its memory is reset)"
        )
    return given
