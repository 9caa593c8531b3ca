"""Players: whoever acts, in whatever form, in families and in boxes; and the runs that come of it.

A compiled player is a `metarl_envs.Player`. Others are made by factories: a plain one makes players for many rows at once
(`act(step)`), `Seat(factory)` makes them one by one (`act(moment)`), and `Wrapped(factory, *wrappers)` lets them see an
environment through wrappers. `pretrained(name)` is a factory of players that were trained already.
"""

from metarl_envs.engine.player import Player
from metarl_envs.players.factories import PlayerError, Seat, Wrapped
from metarl_envs.players.feeding import Fed, past_of
from metarl_envs.players.models.language_model import BudgetSpent, Forecast, LanguageModel
from metarl_envs.players.networks.shipped import Pretrained, card, pretrained
from metarl_envs.players.people import Answer, People, Question
from metarl_envs.players.run import Run, load
from metarl_envs.players.told import Moment, Step

__all__ = [
    "Answer",
    "BudgetSpent",
    "Fed",
    "Forecast",
    "LanguageModel",
    "Moment",
    "People",
    "Player",
    "PlayerError",
    "Pretrained",
    "Question",
    "Run",
    "Seat",
    "Step",
    "Wrapped",
    "card",
    "load",
    "past_of",
    "pretrained",
]
