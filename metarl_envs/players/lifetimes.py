"""Lifetimes in families: one player, whatever its form, lives each of many tasks from ignorance on, into a run."""

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
from metarl_envs.histories.lives import Lives
from metarl_envs.players.actions import resting
from metarl_envs.players.factories import Batches, Made, OneByOne, Place, PlayerError, Seat, Turn, Wrapped, problem, seed_of
from metarl_envs.players.resolve import Anyone, described
from metarl_envs.players.run import Run, cut_off, ended, endings_of
from metarl_envs.players.runner import Seated, play
from metarl_envs.players.stepwise import Turns, why_not_stepwise
from metarl_envs.players.told import Step, Wording, family_in_words, null_actions
from metarl_envs.task_sets import TaskSet


def live(
    player: Anyone,
    variant: Variant,
    tasks: np.ndarray,
    seeds: np.ndarray,
    *,
    episodes: int,
    seed: int = 0,
    split: str | None = None,
    block: int = 0,
    made: Made | None = None,
    progress: Callable[[int], None] = lambda done: None,
) -> tuple[Run, np.ndarray]:
    """Live one lifetime on each task.

    Args:
        player: a compiled player, which is run fused; or a factory of others, which are driven through a vector environment.
        variant: the family with its parameters set.
        tasks: the task rows.
        seeds: of the noise of each lifetime, uint64; equal seeds give equal noise, whoever lives.
        episodes: in each lifetime.
        seed: of players that a batch factory makes.
        split: of the tasks, for the record.
        block: steps in a unit of the scores; 0 for one episode a unit.
        made: the players that were made before, none of which may be given out again.
        progress: called with the number of lives that ended, each time some do.

    Returns:
        The run, and what each episode (or block of steps) paid, float64 [row, unit].

    Raises:
        PlayerError: a player that is not compiled, its factory, or a wrapper that it sees through failed.
    """
    seeds = np.asarray(seeds, np.uint64)
    about: dict[str, Any] = {"variant": variant, "split": split, "episodes": episodes}
    about |= {"seats": (described(player),), "tasks": tasks, "seeds": seeds}
    if isinstance(player, Player):
        return _fused(player, variant, about, block, progress)
    table = Rows(player, variant, about, progress)
    run = play([Seated(table, [table.group(player, seed, Made() if made is None else made)])])
    return run, run.scores(block)


def _fused(
    player: Player, variant: Variant, about: dict[str, Any], block: int, progress: Callable[[int], None]
) -> tuple[Run, np.ndarray]:
    """A compiled player in a compiled loop."""
    lives = Lives(variant, player, len(about["tasks"]))
    actions = lives.room_for_actions(about["episodes"] * variant.horizon)
    scores = lives.score(about["seeds"], about["tasks"], about["episodes"], block, None, progress, actions)
    endings = endings_of(lives.worlds.view(np.ndarray)["state"])
    steps = lives.steps.copy()
    most = int(steps.max(initial=0))
    actions = actions if most == actions.shape[1] else np.ascontiguousarray(actions[:, :most])
    return Run(**about, actions=actions, steps=steps, returns=scores.sum(axis=1), endings=endings), scores


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
        env: VectorEnv = _Watched(self, tasks, num_envs=rows, episodes_per_trial=about["episodes"], autoreset_mode="SameStep")
        self.env = player.wrap(env) if isinstance(player, Wrapped) else env
        self._null = null_actions(self.env.single_action_space, rows)
        # Gymnasium's vector wrappers pass lists of seeds on, though they are typed for one number.
        row_seeds: Any = about["seeds"].tolist()
        observation, info = self.env.reset(seed=row_seeds, options={"task": list(about["tasks"])})
        self.step = self.told(observation, self._null.copy(), np.zeros(rows), info)
        self.actions = self._null

    def told(self, observation: Any, actions: np.ndarray, reward: np.ndarray, info: dict[str, Any], *null: np.ndarray) -> Step:
        """Return the step that players are told, with words where they see through no wrappers."""
        step, env = _step(observation, actions, reward, info, *null), self.env
        self.finals = info["trial"]["final_obs"]
        if not isinstance(env, _Watched):
            return step

        def words(row: int) -> Callable[[], Wording]:
            state, task = env.state_and_task(row)
            moment = step.moment(row)
            return lambda: family_in_words(self.variant, self._about["episodes"], state, task, moment)

        return replace(step, words_of=words)

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
            if isinstance(self.env, _Watched):
                raise
            raise PlayerError(problem(f"{self._about['seats'][0]}", self.t, error), None, 0, self.t) from error
        self.step = self.told(observation, self.actions, reward, info, self._null)
        self.t += 1

    def record(self, actions: np.ndarray, reward: np.ndarray, over: np.ndarray, anew: np.ndarray) -> None:
        """Keep what the environment itself was told and paid, and where it resets memory, beneath all wrappers."""
        self.anew = anew
        self._taken.append(np.where(_beside(self.active, actions), actions, 0).astype(action_dtype(self.variant)))
        self._steps += self.active
        self._returns += np.where(self.active, reward, 0.0)
        self._progress(int((self.active & over).sum()))
        self.active = self.active & ~over

    def run(self) -> Run:
        """Return the run so far. How it ended is found by living it again."""
        form = self.variant.action
        empty = np.zeros((len(self.active), 0, *form.shape), action_dtype(self.variant))
        actions = np.ascontiguousarray(np.stack(self._taken, axis=1)) if self._taken else empty
        told = {"actions": actions, "steps": self._steps, "returns": self._returns}
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


class _Watched(FamilyVectorEnv):
    """The vector environment, which tells a table what is done in it, whatever wrappers make of a player's actions."""

    def __init__(self, table: Rows, *args: Any, **kwargs: Any):
        super().__init__(*args, **kwargs)
        self._table = table

    def state_and_task(self, row: int) -> tuple[np.void, np.ndarray]:
        """Return a copy of the state of a row as it is now, and its task."""
        return self._worlds.worlds.view(np.ndarray)["state"][row].copy(), self._worlds.task_row(row)

    def step(self, actions: Any) -> tuple:
        """Step, and tell."""
        result = super().step(actions)
        _, reward, terminated, truncated, info = result
        anew = info["trial"]["trial_start"] | info.get("memory_reset", False)
        self._table.record(np.asarray(actions), reward, terminated | truncated, anew)
        return result


def _step(
    observation: np.ndarray, actions: np.ndarray, reward: np.ndarray, info: dict[str, Any], null: np.ndarray | None = None
) -> Step:
    """What players are told; nothing of an old trial reaches a new one, nor anything of a day the next."""
    trial = info["trial"]
    forgets = trial["trial_start"] | info.get("memory_reset", False)
    if null is not None:
        actions, reward = np.where(_beside(forgets, actions), null, actions), np.where(forgets, 0.0, reward)
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


def _beside(mask: np.ndarray, actions: np.ndarray) -> np.ndarray:
    """A mask of rows in a shape that goes beside their actions."""
    return mask.reshape(-1, *[1] * (actions.ndim - 1))
