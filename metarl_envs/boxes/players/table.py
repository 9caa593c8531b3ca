"""Many boxes as a table: compiled players, batches and single players sit in their seats side by side."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from metarl_envs.boxes.players.simulate import CompiledSeats
from metarl_envs.boxes.scenarios.box import agent_spaces
from metarl_envs.boxes.view.words import Teller, words_in
from metarl_envs.engine.loops.trial import DISABLED, GIVEN_TASK, NEW_TASK
from metarl_envs.engine.player import Player
from metarl_envs.engine.records import check_memory
from metarl_envs.engine.worlds.worlds import TrialForm, Worlds
from metarl_envs.histories.columns import action_dtype
from metarl_envs.players.actions import beside
from metarl_envs.players.factories import Batches, Made, OneByOne, Place, Seat, Turn, seed_of
from metarl_envs.players.run import Run, endings_of, relived
from metarl_envs.players.runner import Group
from metarl_envs.players.told import Step, Wording
from metarl_envs.task_sets import TaskSet

#: Told of a table before its first step and after each, by the thread that moves it.
Watch = Callable[["Boxes"], None]


def nobody_watches(table: Boxes) -> None:
    """Look at nothing."""


class Boxes:
    """A table of boxes, one row each.

    Args:
        tasks: where their recipes come from; of a given list, box i has task i, and from the first again.
        seeds: of the boxes, uint64.
        names: who sits in each seat, for the record.
        first: the number in the run of the first box here.
        watch: called with this table now, and after each step.
    """

    def __init__(
        self, tasks: TaskSet, seeds: np.ndarray, names: tuple[str, ...], first: int = 0, watch: Watch = nobody_watches
    ):
        self.variant, self._tasks, self.seeds, self.names = tasks.variant, tasks, seeds, names
        self.first, self._watch = first, watch
        boxes, horizon = len(seeds), self.variant.horizon
        dtype = action_dtype(self.variant)
        check_memory(boxes * horizon, dtype.itemsize * self.variant.action.high.size, "steps")
        act = self.variant.action.shape  # one row an agent
        self._taken = np.zeros((boxes, horizon, *act), dtype)
        everyone = np.ones(boxes, np.bool_)
        drawn = TaskSet.of_family(self.variant.family, **self.variant.values) if tasks.is_given else tasks
        self.worlds = Worlds(drawn, boxes, TrialForm(), DISABLED)
        self.worlds.seed(everyone, seeds)
        if tasks.is_given:
            self.worlds.give(everyone, [tasks.row((first + i) % len(tasks)) for i in range(boxes)])
        self._out = self.worlds.empty()
        self.worlds.begin(everyone, GIVEN_TASK if tasks.is_given else NEW_TASK, self._out)
        self.t, self.most_steps, self.active = 0, horizon, everyone.copy()
        self.actions = np.zeros((boxes, *act), np.int64)
        self._returns, self._moving = np.zeros(boxes), False
        self._tellers: dict[tuple[str, ...], Teller] = {}
        self._watch(self)

    @property
    def states(self) -> np.ndarray:
        """The states of the boxes."""
        return self.worlds.worlds.view(np.ndarray)["state"]

    def group(self, player: Any, seats: list[int], made: Made) -> Group:
        """The same player in some seats of all boxes."""
        if isinstance(player, Player):
            return _Compiled(self, player, seats)
        return _Told(self, player, seats, made)

    def advance(self) -> None:
        """All act."""
        self._taken[:, self.t] = self.actions
        self._moving = True
        if (bad := self.worlds.advance(self.actions, self._out)) < 0:
            raise AssertionError(f"actions of box {-1 - bad} were not checked")
        self._returns += self._out.rewards
        self.t += 1
        if self.t == self.variant.horizon:
            self.active = np.zeros(len(self.seeds), np.bool_)
        self._moving = False
        self._watch(self)

    def run(self) -> Run:
        """What was played so far; where it was interrupted in the middle of a step, up to that step."""
        boxes = len(self.seeds)
        run = Run(
            variant=self.variant,
            split=self._tasks.split,
            episodes=1,
            seats=self.names,
            tasks=np.array(self.worlds.task_rows.view(np.ndarray)),
            seeds=self.seeds,
            actions=self._taken[:, : self.t],
            steps=np.full(boxes, self.t, np.int64),
            returns=self._returns.copy(),
            endings=endings_of(self.states),
        )
        return relived(run) if self._moving else run

    def step(self, seats: list[int]) -> Step:
        """What some seats of all boxes are told, one row a seat: those of box 0 first."""
        states, rows = self.states.copy(), len(self.seeds) * len(seats)
        seen = self.variant.visible(self._out.observations)
        forgot = (states["forgot"][:, seats] != 0).reshape(-1)
        never, first = np.zeros(len(forgot), np.bool_), np.full(len(forgot), self.t == 0)
        acted = self.actions[:, seats].reshape(rows, *self.actions.shape[2:])
        observation = {name: part[:, seats].reshape(rows, -1) for name, part in seen.items()}

        def words_of(row: int) -> Callable[[], Wording]:
            return self.wording(states, row // len(seats), seats[row % len(seats)], observation["observation"][row])

        return Step(
            observation=observation,
            previous_action=np.where(beside(forgot, acted), -1, acted),
            previous_reward=np.where(forgot, 0.0, states["reward"][:, seats].reshape(-1)),
            terminated=never,
            truncated=never.copy(),
            episode_start=first,
            trial_start=first.copy(),
            memory_reset=forgot,
            words_of=words_of,
        )

    def wording(self, states: np.ndarray, box: int, seat: int, seen: np.ndarray) -> Callable[[], Wording]:
        """What tells one agent in the words of `TextBox`, then or later, of the states as they are now."""
        state, seen = states[box].copy(), seen.copy()
        if (words := words_in(self.variant.p, state)) not in self._tellers:
            self._tellers[words] = Teller(self.variant.p, words)
        teller = self._tellers[words]
        return lambda: teller.tell(state, self.worlds.task_row(box), seat, seen)


class _Compiled:
    """A compiled player in some seats."""

    def __init__(self, table: Boxes, player: Player, seats: list[int]):
        where = np.zeros(table.actions.shape[:2], np.bool_)
        where[:, seats] = True
        self._table, self._seats, self.seat = table, CompiledSeats(player, table.variant, where), None

    def turns(self) -> list[Turn]:
        """Return the one turn of all."""
        table, worlds = self._table, self._table.worlds
        return [lambda: self._seats.act(worlds.task_rows, worlds.worlds, table.actions)]


class _Told:
    """Players of a factory in some seats."""

    def __init__(self, table: Boxes, factory: Any, seats: list[int], made: Made):
        self._table, self._seats = table, seats
        boxes = len(table.seeds)
        self.seat = factory if isinstance(factory, Seat) else None
        self._places = np.repeat(np.arange(boxes), len(seats)), np.tile(seats, boxes)

        def spaces() -> tuple[Any, Any]:
            return agent_spaces(table.variant)

        if isinstance(factory, Seat):
            rows = enumerate(table.seeds.tolist(), table.first)
            places = [Place(row, seed, seat) for row, seed in rows for seat in seats]
            self._players: Batches | OneByOne = OneByOne(factory, spaces, places, made)
        else:
            first = int(table.seeds[0]), seats[0]
            self._players = Batches(factory, spaces, boxes * len(seats), lambda t: seed_of(*first, t), seats[0], made)

    def turns(self) -> list[Turn]:
        """Return what is left to do in this step."""
        step = self._table.step(self._seats)
        everyone = np.ones(len(step.memory_reset), np.bool_)
        return self._players.turns(step, step.memory_reset, self._table.t, everyone, self._put)

    def _put(self, which: Any, actions: np.ndarray) -> None:
        box, seat = self._places
        self._table.actions[box[which], seat[which]] = actions
