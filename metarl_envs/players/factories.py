"""Players that are not compiled: the forms of their factories, and the rule by which these are called.

A factory is called anew whenever memory is reset: when a lifetime begins, and in a box at each dawn. It is given the spaces, a
seed, and for how many rows (`num_envs`) or for which seat it makes players, by these names; and nothing from before.
"""

from __future__ import annotations

import contextlib
import functools
import os
import weakref
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from typing import Any, NamedTuple, Protocol

import numpy as np
from gymnasium import spaces
from gymnasium.vector import VectorEnv

from metarl_envs.arguments import at_least_one
from metarl_envs.engine.player import Player
from metarl_envs.players.actions import action_in, actions_in, resting
from metarl_envs.players.told import Moment, Step

#: Gives fresh spaces of one row: what is observed, and actions.
Spaces = Callable[[], tuple[spaces.Space, spaces.Space]]
#: What is left to do in a step by one player, or by a batch: it chooses, and puts what it chose where it is wanted.
Turn = Callable[[], None]
#: Takes rows, one or several, and the actions that were chosen for them.
Put = Callable[[Any, np.ndarray], None]


class BatchPlayer(Protocol):
    """Players in several rows at once. Rows must not share what they learn."""

    def act(self, step: Step) -> Any:
        """One action a row."""
        ...


class SeatPlayer(Protocol):
    """One player.

    Where it has an attribute `knows_what_to_do` that is true before it acts, it is taken to answer at once, and acts in the
    thread of the boxes.
    """

    def act(self, moment: Moment) -> Any:
        """Its action."""
        ...


#: Makes players without any memory: called with `num_envs`, `observation_space`, `action_space` (of one row) and `seed`.
Factory = Callable[..., BatchPlayer]


class GivenUpError(RuntimeError):
    """A turn that is not waited for any more, since the run ends before its time."""


class Seat:
    """A factory of players that act one at a time, such as people and language models: `Seat(MyPlayer)`.

    Args:
        factory: makes one player without any memory, for each row or seat one of its own: called with `seat` (0 in families),
            `observation_space`, `action_space` and `seed`.
        concurrency: how many of its players may be waited for at once, each in a thread of its own. With 1 they act one after
            the other, in the order of rows and seats.
    """

    def __init__(self, factory: Callable[..., SeatPlayer], concurrency: int = 1):
        if not callable(factory):
            raise TypeError(f"Seat({factory!r}): give a factory that makes a player, such as its class")
        self.factory, self.concurrency = factory, at_least_one("concurrency", concurrency)

    def __call__(self, **told: Any) -> SeatPlayer:
        """Make a player."""
        return self.factory(**told)

    def turns_left(self) -> float:
        """Return how many turns its players can take for certain before a budget is spent; infinity where there is none."""
        return float("inf")

    def written_to(self, transcript: str | os.PathLike, *, resume: bool = False, concurrency: int | None = None) -> Seat:
        """Return the same, which writes what its players are told and say to a file; itself, where they say nothing.

        Args:
            transcript: the file.
            resume: go on with what is there.
            concurrency: how many of its players wait for a reply at once, where that can be chosen.
        """
        return self

    def open(self) -> None:
        """Prepare for a run that begins."""

    def give_up(self) -> None:
        """Wait no longer for those who may never answer: the run ends before its time, and turns may raise `GivenUpError`."""

    def close(self, whole: bool) -> None:
        """Finish with a run that has ended; `whole`: not before its time."""

    def __repr__(self) -> str:
        return name_of(self.factory)


class Wrapped:
    """A factory whose players meet a family through wrappers: those they were trained with, and controls.

    They are scored by what is paid, whatever a control shows them, on the same tasks with the same noise as others beside them:

        >>> see = functools.partial(VectorPreviousStep, flat=True)
        >>> policies = {"mine": Wrapped(MyAgent, see), "swapped reward": Wrapped(MyAgent, VectorSwapReward, see)}

    Args:
        factory: makes players; it is told the spaces of the outermost wrapper. Or a compiled player, which then has its turns
            one by one, and does through no wrapper at all what it does in a compiled loop.
        wrappers: vector forms of wrappers, the innermost first, each called with a vector environment alone.
    """

    def __init__(self, factory: Factory | Seat | Player, *wrappers: Callable[[VectorEnv], VectorEnv]):
        self.factory, self.wrappers = factory, wrappers

    def __call__(self, **told: Any) -> Any:
        """Make players."""
        if isinstance(self.factory, Player):
            raise TypeError(f"{self!r} is a compiled player, and makes none")
        return self.factory(**told)

    def wrap(self, env: VectorEnv) -> VectorEnv:
        """Return the environment as the players see it."""
        for wrapper in self.wrappers:
            env = wrapper(env)
        return env

    def __repr__(self) -> str:
        who = repr(self.factory) if isinstance(self.factory, Player) else name_of(self.factory)
        return f"{who} through {', '.join(name_of(wrapper) for wrapper in self.wrappers) or 'no wrapper'}"


def name_of(factory: Any) -> str:
    """Return the name of a factory or a wrapper in results."""
    while isinstance(factory, functools.partial):
        factory = factory.func
    return getattr(factory, "__qualname__", type(factory).__qualname__)  # not its repr, which tells where in memory it is


@contextlib.contextmanager
def in_a_run(players: Iterable[Any]) -> Iterator[None]:
    """Tell those that act one at a time when a run begins and ends, and whether it is whole."""
    inside = [player.factory if isinstance(player, Wrapped) else player for player in players]
    seats, whole = list({id(player): player for player in inside if isinstance(player, Seat)}.values()), False
    try:
        for seat in seats:
            seat.open()
        yield
        whole = True
    finally:
        for seat in seats:
            seat.close(whole)


class PlayerError(RuntimeError):
    """A player failed in the middle of a run, or a wrapper that it sees through; `__cause__` is what was raised.

    Nothing that was played is lost: `run` holds all rows up to the step before, and can be measured, replayed and saved like
    any other. Whatever else ends a run, such as KeyboardInterrupt, has the attributes `run` and `runs` too.

    Attributes:
        row: which life or box, from 0; None where a batch failed, which acts in several.
        seat: which seat, from 0.
        step: how many steps were made before.
        run: what the player did in all, as a `metarl_envs.players.Run`; None where there was no run.
        runs: in an evaluation of several, the whole runs of those that had finished, by name.
    """

    run: Any = None
    runs: Any = None

    def __init__(self, message: str, row: int | None, seat: int, step: int):
        super().__init__(message, row, seat, step)
        self.row, self.seat, self.step = row, seat, step

    def __str__(self) -> str:
        return self.args[0]


class Made:
    """All players that were made in a run, so that none is given out twice. They are held weakly, where they can be."""

    def __init__(self):
        self._by_id: dict[int, Callable[[], Any]] = {}

    def first(self, player: Any) -> Any:
        """Return the player, if this very object is given out for the first time; else ValueError."""
        if (known := self._by_id.get(id(player))) and known() is player:
            raise ValueError(
                "its factory returned an object again that was returned before: whoever must forget has to be made anew each "
                "time, and nobody plays in two places"
            )
        try:
            self._by_id[id(player)] = weakref.ref(player)
        except TypeError:  # it cannot be watched from outside, so it is kept
            self._by_id[id(player)] = lambda: player
        return player


class Batches:
    """Players of a batch factory in some rows. Whenever rows forget, the factory makes players for them anew.

    Args:
        factory: see `Factory`.
        spaces: of one row.
        rows: how many.
        seed_at: gives the seed of the players that are made at a step.
        seat: where they sit.
        made: all players of the run.
    """

    def __init__(self, factory: Factory, spaces: Spaces, rows: int, seed_at: Callable[[int], int], seat: int, made: Made):
        self._factory, self._spaces, self._seed_at, self._seat, self._made = factory, spaces, seed_at, seat, made
        self._space = spaces()[1]
        self._batches: list[tuple[np.ndarray, BatchPlayer]] = []
        self._batch_of = np.full(rows, -1)

    def turns(self, step: Step, anew: np.ndarray, t: int, active: np.ndarray, put: Put) -> list[Turn]:
        """Return the one turn of all rows; see `act`."""
        return [lambda: put(slice(None), self.act(step, anew, t, active))]

    def act(self, step: Step, anew: np.ndarray, t: int, active: np.ndarray) -> np.ndarray:
        """One action a row, of shape (rows, ...); those of rows that are not active mean nothing.

        Args:
            step: what they are told.
            anew: in which rows players are made anew, bool [row].
            t: the step.
            active: the rows that are not over.

        Raises:
            PlayerError: the factory or a batch raised an error, the factory returned an object again, or an action is none.
        """
        try:
            if (begin := anew & active).any():
                self._make(np.flatnonzero(begin), t)
            return self._acted(step, active)
        except Exception as error:
            raise PlayerError(problem(f"the players of seat {self._seat}", t, error), None, self._seat, t) from error

    def _make(self, rows: np.ndarray, t: int) -> None:
        """New players for these rows; old ones are dropped when none of their rows is left."""
        observed, actions = self._spaces()
        told = {"observation_space": observed, "action_space": actions, "seed": self._seed_at(t)}
        self._batch_of[rows] = len(self._batches)
        self._batches.append((rows, self._made.first(self._factory(num_envs=len(rows), **told))))
        left = [i for i in range(len(self._batches)) if (self._batch_of == i).any()]
        self._batches = [self._batches[i] for i in left]
        self._batch_of = np.searchsorted(left, self._batch_of)

    def _acted(self, step: Step, active: np.ndarray) -> np.ndarray:
        if len(self._batches) == 1 and len(self._batches[0][0]) == len(self._batch_of):
            return actions_in(self._space, self._batches[0][1].act(step), active)
        actions = resting(self._space, len(self._batch_of))
        for i, (rows, players) in enumerate(self._batches):
            own = self._batch_of[rows] == i
            acted = actions_in(self._space, players.act(step.of(rows)), own & active[rows])
            actions[rows[own]] = acted[own]
        return actions


class Place(NamedTuple):
    """Where one player sits: the row of the run, its seed, and the seat."""

    row: int
    seed: int
    seat: int


class OneByOne:
    """Players of a `Seat`, one for each place, each made anew whenever it is to forget.

    Args:
        factory: the `Seat`.
        spaces: of one row.
        places: where each sits.
        made: all players of the run.
    """

    def __init__(self, factory: Seat, spaces: Spaces, places: list[Place], made: Made):
        self._factory, self._spaces, self._places, self._made = factory, spaces, places, made
        self._space = spaces()[1]
        self._players: dict[int, SeatPlayer] = {}

    def turns(self, step: Step, anew: np.ndarray, t: int, active: np.ndarray, put: Put) -> list[Turn]:
        """Return the turns of those that are active, in order; whoever is to be made anew is made now.

        Args:
            step: what they are told.
            anew: whose player is made anew, bool [place].
            t: the step.
            active: whose row is not over.
            put: takes the number of a place, and its action.

        Raises:
            PlayerError: a factory raised an error, or returned an object again. A turn raises it where a player raised an
                error, or its action is none; and so does this where a player has not to be waited for.
        """
        acting = np.flatnonzero(active).tolist()
        for k in acting:
            with self._named(k, t):
                if anew[k]:
                    self._players.pop(k, None)
                    self._players[k] = self._make(self._places[k], t)

        def act(k: int) -> None:
            place = self._places[k]
            with self._named(k, t):
                moment = replace(step.moment(k), _place=(place.seed, place.seat, t))
                put(k, action_in(self._space, self._players[k].act(moment)))

        waited_for = [k for k in acting if not getattr(self._players[k], "knows_what_to_do", False)]
        for k in sorted(set(acting).difference(waited_for)):
            act(k)
        return [functools.partial(act, k) for k in waited_for]

    @contextlib.contextmanager
    def _named(self, k: int, t: int) -> Iterator[None]:
        """Say whose error it is."""
        try:
            yield
        except Exception as error:
            row, _, seat = self._places[k]
            raise PlayerError(problem(f"seat {seat} of row {row}", t, error), row, seat, t) from error

    def _make(self, place: Place, t: int) -> SeatPlayer:
        """A new player. Its spaces are fresh, or the last one could have left something in them."""
        observed, actions = self._spaces()
        told = {"observation_space": observed, "action_space": actions, "seed": seed_of(place.seed, place.seat, t)}
        return self._made.first(self._factory(seat=place.seat, **told))


def seed_of(*key: int) -> int:
    """Return the seed, of 32 bits, of a player that is made in a row (or for several), in a seat, at a step."""
    return int(np.random.SeedSequence(list(key)).generate_state(1)[0])


def problem(who: str, t: int, error: Exception) -> str:
    """Return the message of a `PlayerError`."""
    return f"{who} failed at step {t} ({f'{type(error).__name__}: {error}'.removesuffix(': ')})"
