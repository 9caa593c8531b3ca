"""Players who are fed: they look on while lives that are over are told again as if they were theirs, and live on from there.

A player that is fed takes in each step as ever, and chooses an action, in whose place stands what was done in the stored life.
So what it knows when its own life begins is what that life has taught it: its own task's, another task's, or its own in
another order. What it sees through, above and beneath, is told the same.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from metarl_envs.engine.envs.vector import FamilyVectorEnv
from metarl_envs.engine.family import Variant
from metarl_envs.engine.player import Player
from metarl_envs.players.actions import beside
from metarl_envs.players.factories import Made, Seat, Wrapped, seed_of
from metarl_envs.players.resolve import Anyone, described
from metarl_envs.players.rows import Rows, Watched
from metarl_envs.players.run import Run
from metarl_envs.players.stepwise import why_not_stepwise
from metarl_envs.players.told import Step
from metarl_envs.task_sets import TaskSet

#: What changes the seed of players that are fed.
_OTHERWISE = 1


class Past(NamedTuple):
    """What is told of stored lives, one row each, [row, step, ...], of which the first `steps[i]` count in row i.

    `finals` is the last observation of an episode, where the step ended one; elsewhere zeros.
    """

    observations: np.ndarray
    actions: np.ndarray
    rewards: np.ndarray
    terminated: np.ndarray
    truncated: np.ndarray
    finals: np.ndarray
    steps: np.ndarray

    def of(self, rows: np.ndarray) -> Past:
        """Return that of some rows."""
        return Past._make(array[rows] for array in self)


def past_of(run: Run, episodes: int, *, shown: np.ndarray | None = None, order: np.ndarray | None = None) -> Past:
    """Return the first episodes of lives as they are to be told again.

    Args:
        run: the lives.
        episodes: how many of each.
        shown: which life is told in each row, int64 [row]; default: each in its own.
        order: in which order its episodes are told, int64 [row, episode]; default: as they were lived.

    Raises:
        ValueError: a life has fewer episodes.
    """
    written = run.columns()
    if (fewest := int(written.episodes.min())) < episodes:
        raise ValueError(f"episodes={episodes}: a life of {run!r} has {fewest} only")
    shown = np.arange(len(run)) if shown is None else shown
    until = written.until[:, :episodes]
    starts = np.concatenate([np.zeros((len(run), 1), np.int64), until[:, :-1]], axis=1)
    places = [
        np.concatenate([np.arange(starts[life, k], until[life, k]) for k in (range(episodes) if order is None else order[i])])
        for i, life in enumerate(shown.tolist())
    ]
    columns, steps = written.columns, np.array([len(each) for each in places])
    at = np.stack([np.pad(each, (0, steps.max() - len(each))) for each in places])
    finals = np.zeros_like(columns["observation"])
    lives = np.arange(len(run))[:, None]
    finals[lives, until - 1] = written.final_observations[:, :episodes]
    told = *(columns[name] for name in ("observation", "action", "reward", "terminated", "truncated")), finals
    return Past._make([*(column[shown[:, None], at] for column in told), steps])


class Fed(Wrapped):
    """A player who looks on at stored lives first, without acting, and lives on from there on its own task.

    It is asked for an action at each step, and told that it did what was done in the stored life. Then its own life begins, in
    which nothing says that the task is another one; only this life is recorded and scored. Whoever remembers what it chose
    rather than what it is told that it did cannot be fed (see `why_not_fed`).

        >>> before = evaluate("DarkRoom", {"mine": MyAgent}, episodes=20).runs["mine"]
        >>> others = np.roll(np.arange(len(before)), 1)  # the life before, on another task
        >>> evaluate("DarkRoom", {"fed": Fed(MyAgent, before, past_of(before, 20, shown=others))}, episodes=5)

    Args:
        player: see `Wrapped`; it may be one.
        run: lives by whose seeds rows of `past` are found: who lives by the seed of life i is told row i.
        past: what is told.
    """

    def __init__(self, player: Anyone, run: Run, past: Past):
        inner, wrappers = (player.factory, player.wrappers) if isinstance(player, Wrapped) else (player, ())
        super().__init__(inner, *wrappers)
        self._past, self._row_of = past, {int(seed): row for row, seed in enumerate(run.seeds)}

    def past_of(self, seeds: np.ndarray) -> Past:
        """Return what is told to those who live by these seeds; ValueError where there is nothing."""
        if unknown := [seed for seed in seeds.tolist() if seed not in self._row_of]:
            raise ValueError(f"{self!r} has no stored life for who lives by the seed {unknown[0]}: evaluate by the same seeds")
        return self._past.of(np.array([self._row_of[seed] for seed in seeds.tolist()]))

    def __repr__(self) -> str:
        return f"{described(Wrapped(self.factory, *self.wrappers))}, fed"


def why_not_fed(player: Anyone, variant: Variant) -> str:
    """Return why a player cannot be fed in a family; empty where it can, as far as can be known before."""
    factory = player.factory if isinstance(player, Wrapped) else player
    if isinstance(factory, Seat):
        return "it acts in what it is told moment by moment, and cannot look on"
    if variant.observation.is_row or variant.memory_reset_at is not None:
        return "observations of this family are no single arrays, or memory is reset within a life"
    if isinstance(factory, Player) and (problem := why_not_stepwise(factory, variant, _own_spaces(variant))):
        return problem
    if isinstance(player, Wrapped) and player.wrappers and not _keeps_actions(player, variant):
        return "it sees through wrappers that make other actions of its own"
    return ""


def _own_spaces(variant: Variant) -> tuple[Any, Any]:
    return variant.observation_space, variant.action_space


def _keeps_actions(player: Wrapped, variant: Variant) -> bool:
    """Whether what a player does reaches the environment as it is, in every trial that is tried."""
    received: list[np.ndarray] = []

    class Listening(FamilyVectorEnv):
        def step(self, actions: Any) -> tuple:
            received.append(np.array(actions))
            return super().step(actions)

    rows = 8
    tasks = TaskSet.of_family(variant.family, **variant.values)
    env = player.wrap(Listening(tasks, num_envs=rows, autoreset_mode="SameStep"))
    if env.single_action_space != variant.action_space:
        return False
    env.reset(seed=0)
    env.action_space.seed(0)
    for _ in range(4):
        done = env.action_space.sample()
        env.step(done)
        if not np.array_equal(received[-1], done):
            return False
    return True


class FedRows(Rows):
    """A table whose players look on first."""

    def __init__(self, player: Fed, variant: Variant, about: dict[str, Any], progress: Callable[[int], None]):
        self._past = player.past_of(about["seeds"])
        super().__init__(player, variant, about, progress)
        self.most_steps += int(self._past.steps.max())

    def group(self, player: Anyone, seed: int, made: Made) -> Any:
        """Return whoever lives, who draws otherwise than in the stored life: whoever goes by its draws is not to go on."""
        return super().group(player, seed_of(seed, _OTHERWISE), made)

    def innermost(self, tasks: TaskSet, **form: Any) -> Watched:
        """Return an environment in which stored lives are told before the own ones begin."""
        return _Behind(self._past, self, tasks, **form)

    def told(self, *what: Any) -> Step:
        """Return what players are told, without words, which would be of the worlds behind."""
        return replace(super().told(*what), words_of=None)

    def advance(self) -> None:
        """Step, where rows that look on do what was done."""
        if (looking := self.t < self._past.steps).any():
            stored = self._past.actions[:, min(self.t, self._past.actions.shape[1] - 1)]
            self.actions = np.where(beside(looking, stored), stored, self.actions).astype(self._null.dtype)
        super().advance()

    def in_order(self, actions: np.ndarray) -> np.ndarray:
        """Return the actions of the own lives, which began at different times."""
        most = int(self._steps.max())
        at = np.minimum(self._past.steps[:, None] + np.arange(most), actions.shape[1] - 1)
        taken = actions[np.arange(len(actions))[:, None], at]
        taken[np.arange(most) >= self._steps[:, None]] = 0
        return taken


class _Behind(Watched):
    """A vector environment that tells a stored life in each row, and then begins the own one, as the next episode."""

    def __init__(self, past: Past, *args: Any, **kwargs: Any):
        super().__init__(*args, **kwargs)
        self._past, self._made = past, 0

    def reset(self, *, seed: Any = None, options: dict[str, Any] | None = None) -> tuple[np.ndarray, dict[str, Any]]:
        """Begin with the stored lives, and keep the seeds and tasks of the own ones."""
        assert options is not None, "the table gives each row its task and its seed"
        observation, info = super().reset(seed=seed, options=options)
        self._seeds, self._tasks_given, self._made = list(seed), list(options["task"]), 0
        return self._past.observations[:, 0].reshape(observation.shape).astype(observation.dtype), info

    def step(self, actions: Any) -> tuple:
        """Tell one more step of the stored lives, and make one in those that have begun.

        Raises:
            ValueError: wrappers made another action of the one that was done in a stored life.
        """
        past, n = self._past, min(self._made, self._past.actions.shape[1] - 1)
        looking, begin = np.less(self._made, past.steps), np.equal(self._made + 1, past.steps)
        if not np.array_equal(np.asarray(actions)[looking], past.actions[looking, n]):
            raise ValueError("a stored life is told through wrappers that make other actions of those that were done")
        # Rows that have not begun make steps too, of which nothing is told.
        observation, reward, terminated, truncated, info = FamilyVectorEnv.step(self, actions)
        if looking.any():
            first = self._begun(begin) if begin.any() else observation
            told = past.observations[:, min(n + 1, past.observations.shape[1] - 1)].reshape(observation.shape)
            shown = np.where(beside(looking & ~begin, told), told, np.where(beside(begin, first), first, observation))
            observation = shown.astype(observation.dtype)
            reward = np.where(looking, past.rewards[:, n], reward)
            terminated, truncated = terminated & ~looking, truncated & ~looking
            info = self._told(info, looking, n, terminated | truncated)
        self._made += 1
        over = terminated | truncated
        self.table.record(np.asarray(actions), reward, over, info["trial"]["trial_start"], ~looking)
        return observation, reward, terminated, truncated, info

    def _begun(self, rows: np.ndarray) -> np.ndarray:
        """Begin the own lives in these rows; return what is seen first."""
        seeds: Any = [seed if row else None for seed, row in zip(self._seeds, rows, strict=True)]
        tasks = [task for task, row in zip(self._tasks_given, rows, strict=True) if row]
        return FamilyVectorEnv.reset(self, seed=seeds, options={"reset_mask": rows, "task": tasks})[0]

    def _told(self, info: dict[str, Any], looking: np.ndarray, n: int, over: np.ndarray) -> dict[str, Any]:
        """`info` as it is told: in rows that look on, flags are those of the stored life."""
        past, trial = self._past, info["trial"]
        flags = {"inner_terminated": past.terminated[:, n], "inner_truncated": past.truncated[:, n]}
        flags |= {"episode_start": past.terminated[:, n] | past.truncated[:, n]}
        flags |= {"trial_start": np.zeros_like(looking), "action_ignored": np.zeros_like(looking)}
        shown = {name: np.where(looking, flag, trial[name]) for name, flag in flags.items()}
        finals = past.finals[:, n].reshape(trial["final_obs"].shape)
        shown["final_obs"] = np.where(beside(looking, finals), finals, trial["final_obs"]).astype(finals.dtype)
        info = {**info, "trial": {**trial, **shown}}
        for name in ("final_info", "final_obs"):
            if name in info:
                info[f"_{name}"] = info[f"_{name}"] & over
        return info
