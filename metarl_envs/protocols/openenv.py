"""An app for OpenEnv, one trial after another in each session: `metarl-envs openenv DarkRoom`."""

# pyright: reportMissingImports=false
from __future__ import annotations

import functools
from typing import Any

from openenv.core.env_server import create_app
from openenv.core.env_server.interfaces import Environment
from openenv.core.env_server.types import Action, Observation, State

from metarl_envs.arguments import as_seed
from metarl_envs.engine.splits import ALL_TASKS
from metarl_envs.protocols.trials import list_trials, open_trial, outcome
from metarl_envs.task_sets import TaskSet, tasks
from metarl_envs.text import TextEnv

#: How many tasks an endless split is said to have, and how many are listed at once.
ENDLESS, LISTED = 1_000_000, 100


def app(id: str, *, split: str | None = None, episodes_per_trial: int = 1, sessions: int = 64, **params: Any) -> Any:
    """Return a FastAPI app, on which each session has an environment of text of its own.

    Args:
        id: a registered id, or its name alone ("DarkRoom").
        split: of the tasks, where `reset` names none; None has all.
        episodes_per_trial: episodes on the same hidden task.
        sessions: the most at once.
        params: the family's parameters.

    Raises:
        TypeError, ValueError: there is no such id, split or parameter.
    """
    [trial] = list_trials(id, split=split, tasks=1, episodes_per_trial=episodes_per_trial, **params)
    made = functools.partial(TextTrials, trial, params)
    return create_app(made, Sentence, Told, env_name="metarl_envs", max_concurrent_envs=sessions)


class Sentence(Action):
    """What a player says."""

    sentence: str


class Told(Observation):
    """What a player is told; the reward is what was paid since the last time. At a memory reset a new conversation begins."""

    text: str
    memory_reset: bool = False


class TextTrials(Environment):
    """One trial after another, each chosen by `reset`; the server alone says which id and parameters."""

    SUPPORTS_CONCURRENT_SESSIONS = True

    def __init__(self, trial: dict[str, Any], params: dict[str, Any]):
        super().__init__()
        self._server, self._params = trial, params
        self._trial: dict[str, Any] = {**trial, "seed": -1}
        self._env: TextEnv | None = None
        self._episode_id: str | None = None

    def reset(self, seed: int | None = None, episode_id: str | None = None, **where: Any) -> Told:
        """Begin the trial of a split, an index and a seed.

        Without a seed it is one more than the session's last, from 0; without an index the task follows from the seed.
        """
        if unknown := sorted(set(where) - {"split", "index"}):
            raise ValueError(f"reset takes split, index and seed, and no {unknown[0]!r}")
        trial = {**self._server, **where, "seed": self._trial["seed"] + 1 if seed is None else as_seed(seed)}
        if "index" not in where:
            trial["index"] = trial["seed"] % self.num_tasks(trial["split"])
        env = open_trial(trial, player="openenv")
        told = Told(text=env.reset(), memory_reset=True)
        self._env, self._trial, self._episode_id = env, trial, episode_id
        return told

    def step(self, action: Sentence, timeout_s: float | None = None, **_: Any) -> Told:
        """Do what is said."""
        if self._env is None:
            raise RuntimeError("there is no trial yet: reset first")
        before, text = self._env.total, self._env.step(action.sentence)
        paid = self._env.total - before
        return Told(text=text, reward=paid, done=self._env.done, memory_reset=self._env.memory_reset)

    @property
    def state(self) -> State:
        """Which trial it is, and what came of it when it is over: for whoever trains, and not for players."""
        env = self._env
        return State(
            episode_id=self._episode_id,
            step_count=len(env.actions) if env else 0,
            trial=self._trial if env else None,
            outcome=outcome(env) if env and env.done else None,
        )

    def list_splits(self) -> list[str]:
        """Return the names of splits; a part of a shift is one too ("test+noisy")."""
        every = self._tasks(None)
        return [ALL_TASKS, *every.parts, *every.variant.family.shifts]

    def num_tasks(self, split: str) -> int:
        """Return how many tasks a split has."""
        found = self._tasks(split)
        return len(found) if found.is_finite else ENDLESS

    def get_task(self, split: str, index: int) -> dict[str, Any]:
        """Return what `reset` takes for a task; IndexError where there is none."""
        return {"split": split, "index": range(self.num_tasks(split))[index]}

    def list_tasks(self, split: str) -> list[dict[str, Any]]:
        """Return the first tasks of a split."""
        return self.get_task_range(split)

    def get_task_range(self, split: str, start: int | None = None, stop: int | None = None) -> list[dict[str, Any]]:
        """Return tasks of a split, the first ones where it is many."""
        indices = range(self.num_tasks(split))[start:stop][:LISTED]
        return [{"split": split, "index": index} for index in indices]

    def _tasks(self, split: str | None) -> TaskSet:
        try:
            return tasks(self._server["id"], split=split, **self._params)
        except ValueError as error:  # which the server would tell as its own fault
            raise IndexError(str(error)) from None
