"""A table of one seat: lifetimes side by side in one vector environment, whoever lives them."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
from gymnasium.vector import VectorEnv

from metarl_envs.engine.envs.vector import FamilyVectorEnv
from metarl_envs.engine.family import Variant
from metarl_envs.engine.player import Player
from metarl_envs.histories.columns import action_dtype
from metarl_envs.players.actions import beside, resting
from metarl_envs.players.factories import Batches, Made, OneByOne, Place, PlayerError, Seat, Turn, Wrapped, problem, seed_of
from metarl_envs.players.resolve import Anyone
from metarl_envs.players.run import Run, cut_off, ended
from metarl_envs.players.stepwise import Turns, why_not_stepwise
from metarl_envs.players.told import Step, Wording, family_in_words, null_actions
from metarl_envs.task_sets import TaskSet


class Rows:
    """A table of one seat: lifetimes side by side, seen through the wrappers of a player."""

    def __init__(self, player: Anyone, variant: Variant, about: dict[str, Any], progress: Callable[[int], None]):
        self.variant, self._about, self._progress = variant, about, progress
        rows = len(about["tasks"])
        self.active, self.anew, self.t = np.ones(rows, np.bool_), np.ones(rows, np.bool_), 0
        self.most_steps = about["episodes"] * variant.horizon
        self._taken: list[np.ndarray] = []
        self._steps, self._returns = np.zeros(rows, np.int64), np.zeros(rows)
        # The tasks themselves are given at the reset.
        tasks = TaskSet.of_family(variant.family, **variant.values)
        form: dict[str, Any] = {"num_envs": rows, "episodes_per_trial": about["episodes"], "autoreset_mode": "SameStep"}
        self._watched = self.innermost(tasks, **form)
        self.env: VectorEnv = player.wrap(self._watched) if isinstance(player, Wrapped) else self._watched
        self._in_words = self.env is self._watched or self._shows_what_words_tell()
        self._null = null_actions(self.env.single_action_space, rows)
        # Gymnasium's vector wrappers pass lists of seeds on, though they are typed for one number.
        row_seeds: Any = about["seeds"].tolist()
        observation, info = self.env.reset(seed=row_seeds, options={"task": list(about["tasks"])})
        self.step = self.told(observation, self._null.copy(), np.zeros(rows), info)
        self.actions = self._null

    def innermost(self, tasks: TaskSet, **form: Any) -> Watched:
        """Return the environment beneath all wrappers."""
        return Watched(self, tasks, **form)

    def told(self, observation: Any, actions: np.ndarray, reward: np.ndarray, info: dict[str, Any], *null: np.ndarray) -> Step:
        """Return the step that players are told, with words where there are any for what they see."""
        step, watched = _step(observation, actions, reward, info, *null), self._watched
        self.finals = info["trial"]["final_obs"]
        if not self._in_words:
            return step

        def words(row: int) -> Callable[[], Wording]:
            state, task = watched.state_and_task(row)
            moment = step.moment(row)
            return lambda: family_in_words(self.variant, self._about["episodes"], state, task, moment)

        return replace(step, words_of=words)

    def _shows_what_words_tell(self) -> bool:
        """Whether words of what wrappers show can be made of the observation, the action and the reward that they show.

        Not in boxes, whose words are of the world itself, so that they would tell what a control takes away.
        """
        own = self.variant.observation_space, self.variant.action_space
        return self.spaces() == own and not self.variant.family.words_tell_outcome

    def spaces(self) -> tuple[Any, Any]:
        """Fresh spaces, as the player sees them."""
        return copy.deepcopy((self.env.single_observation_space, self.env.single_action_space))

    def group(self, player: Anyone, seed: int, made: Made) -> _Player | _Compiled:
        """Whoever lives.

        Raises:
            ValueError: a compiled player does not see through these wrappers.
        """
        factory: Any = player.factory if isinstance(player, Wrapped) else player
        if isinstance(factory, Player):
            if problem := why_not_stepwise(factory, self.variant, self.spaces()):
                raise ValueError(problem)
            return _Compiled(self, Turns(factory, self.variant, self._about["seeds"]))
        if isinstance(factory, Seat):
            places = [Place(row, int(seed), 0) for row, seed in enumerate(self._about["seeds"])]
            return _Player(self, OneByOne(factory, self.spaces, places, made), factory)
        return _Player(
            self, Batches(factory, self.spaces, len(self.active), lambda t: seed_of(seed, t) if t else seed, 0, made)
        )

    def advance(self) -> None:
        """Step the environment, and look.

        Raises:
            PlayerError: a wrapper failed.
        """
        try:
            observation, reward, _, _, info = self.env.step(self.actions)
        except Exception as error:
            if self.env is self._watched:
                raise
            raise PlayerError(problem(f"{self._about['seats'][0]}", self.t, error), None, 0, self.t) from error
        self.step = self.told(observation, self.actions, reward, info, self._null)
        self.t += 1

    def record(self, actions: np.ndarray, reward: np.ndarray, over: np.ndarray, anew: np.ndarray, lived: np.ndarray) -> None:
        """Keep what the environment itself was told and paid, and where it resets memory, beneath all wrappers.

        Args:
            actions: one a row.
            reward: what they paid.
            over: the rows whose life is over, bool [row].
            anew: those in which memory is reset.
            lived: those in which this was a step of the life that is recorded.
        """
        self.anew, lived = anew, lived & self.active
        self._taken.append(np.where(beside(lived, actions), actions, 0).astype(action_dtype(self.variant)))
        self._steps += lived
        self._returns += np.where(lived, reward, 0.0)
        self._progress(int((self.active & over).sum()))
        self.active = self.active & ~over

    def in_order(self, actions: np.ndarray) -> np.ndarray:
        """Return the actions of lives that began with the first of these, [row, step, ...]."""
        return actions

    def run(self) -> Run:
        """Return the run so far. How it ended is found by living it again."""
        empty = np.zeros((len(self.active), 0, *self.variant.action.shape), action_dtype(self.variant))
        actions = self.in_order(np.stack(self._taken, axis=1)) if self._taken else empty
        told = {"actions": np.ascontiguousarray(actions), "steps": self._steps, "returns": self._returns}
        run = Run(**self._about, **told, endings=np.zeros(len(self.active), np.uint64))
        return cut_off(run) if self.active.any() else ended(run)


class _Player:
    """The players of all rows."""

    def __init__(self, table: Rows, players: Batches | OneByOne, seat: Seat | None = None):
        self._table, self._players = table, players
        self.seat = seat

    def turns(self) -> list[Turn]:
        """Return what is left to do in this step."""
        table = self._table
        actions = table.actions = resting(table.env.single_action_space, len(table.active))
        return self._players.turns(table.step, table.anew, table.t, table.active, actions.__setitem__)


class _Compiled:
    """A compiled player in all rows."""

    seat = None

    def __init__(self, table: Rows, turns: Turns):
        self._table, self._turns = table, turns

    def turns(self) -> list[Turn]:
        """Return the one turn of all rows."""
        return [self._act]

    def _act(self) -> None:
        """Put its actions on the table."""
        table = self._table
        try:
            table.actions = self._turns.act(table.step, table.finals, table.active)
        except ValueError as error:
            raise PlayerError(problem("the compiled player", table.t, error), None, 0, table.t) from error


class Watched(FamilyVectorEnv):
    """A vector environment that tells a table what is done in it, whatever wrappers make of a player's actions."""

    def __init__(self, table: Rows, *args: Any, **kwargs: Any):
        super().__init__(*args, **kwargs)
        self.table = table

    def state_and_task(self, row: int) -> tuple[np.void, np.ndarray]:
        """Return a copy of the state of a row as it is now, and its task."""
        return self._worlds.worlds.view(np.ndarray)["state"][row].copy(), self._worlds.task_row(row)

    def step(self, actions: Any) -> tuple:
        """Step, and tell."""
        result = super().step(actions)
        _, reward, terminated, truncated, info = result
        anew = info["trial"]["trial_start"] | info.get("memory_reset", False)
        self.table.record(np.asarray(actions), reward, terminated | truncated, anew, self._everyone)
        return result


def _step(
    observation: np.ndarray, actions: np.ndarray, reward: np.ndarray, info: dict[str, Any], null: np.ndarray | None = None
) -> Step:
    """What players are told; nothing of an old trial reaches a new one, nor anything of a day the next."""
    trial = info["trial"]
    forgets = trial["trial_start"] | info.get("memory_reset", False)
    if null is not None:
        actions, reward = np.where(beside(forgets, actions), null, actions), np.where(forgets, 0.0, reward)
    return Step(
        observation=observation,
        previous_action=actions,
        previous_reward=reward,
        terminated=trial["inner_terminated"].copy(),
        truncated=trial["inner_truncated"].copy(),
        episode_start=trial["episode_start"].copy(),
        trial_start=trial["trial_start"].copy(),
        memory_reset=forgets,
    )
