"""One trial in words: what an agent of `evaluate` is told, told as sentences, and nothing else."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

from metarl_envs.arguments import as_integer, as_seed
from metarl_envs.engine.composing import family_at
from metarl_envs.engine.envs.single import SingleEnv
from metarl_envs.engine.sentences import Sentences, read
from metarl_envs.evaluation.references import TrialScale, trial_scale
from metarl_envs.ids import family_of
from metarl_envs.players.run import Run, played_by_hand
from metarl_envs.players.told import Moment, Wording, family_in_words, null_actions
from metarl_envs.task_sets import TaskSet


def make(
    id: str,
    *,
    split: str | None = None,
    index: int = 0,
    seed: int = 0,
    episodes_per_trial: int = 1,
    retries: int = 2,
    lenient: bool = False,
    player: str = "text",
    **params: Any,
) -> TextEnv:
    """Make one trial in words.

    The same split, index and seed have the same hidden task and the same noise, whatever else runs in the process, so that a
    group of rollouts can share them. Instances share nothing that changes: each may live in a thread or coroutine of its own.

    Args:
        id: a registered id, or its name alone ("DarkRoom"). That of a box is one seat of it, among scripted companions.
        split: of the tasks (see `metarl_envs.tasks`); None has all.
        index: which task of the split, from 0.
        seed: of the noise.
        episodes_per_trial: episodes on the same hidden task.
        retries: how often in a step what is no sentence is said back before the default action is taken.
        lenient: forgive case, a final period, quotes, code fences and `answer:`, and take the last line that is a sentence.
        player: who plays, for the record.
        params: the family's parameters.

    Raises:
        TypeError, ValueError: there is no such id, split or parameter, or a number is out of range.
        IndexError: the split has no such task.
    """
    tasks = TaskSet.of_family(family_at(family_of(id)), split=split, **params)
    return TextEnv(
        tasks,
        index=index,
        seed=seed,
        episodes_per_trial=episodes_per_trial,
        retries=retries,
        lenient=lenient,
        player=player,
    )


class TextEnv:
    """One trial in words. See `make` for the arguments.

    Attributes:
        done: whether the trial is over.
        reward: what the last step paid.
        total: what the trial has paid so far.
        actions: the actions so far, as the environment took them.
        malformed: replies that were no sentence.
        forgiven: replies that were a sentence in a lenient reading alone.
        defaults: steps on which the default action was taken.
        memory_reset: whether what was told last begins with nothing in mind: at the reset, and after a step that ended in a
            dawn or a birth. Whoever keeps a conversation begins a new one, of `rules()` and what was told.
    """

    def __init__(
        self,
        tasks: TaskSet,
        *,
        index: int = 0,
        seed: int = 0,
        episodes_per_trial: int = 1,
        retries: int = 2,
        lenient: bool = False,
        player: str = "text",
    ):
        if not isinstance(lenient, bool):
            raise TypeError(f"lenient={lenient!r} must be True or False")
        self._index, self._seed, self._retries = as_integer("index", index), as_seed(seed), as_integer("retries", retries)
        self._lenient, self._player, self._tasks = lenient, player, tasks
        self._task = np.array(tasks[self._index])
        # The task itself is given at the reset: the set need not be drawn from.
        self._env = SingleEnv(
            TaskSet.of_family(tasks.variant.family, **tasks.variant.values), episodes_per_trial=episodes_per_trial
        )
        self._null = null_actions(self._env.action_space, 1)[0]
        self._begin()

    def _begin(self) -> None:
        self.done, self.reward, self.total = False, 0.0, 0.0
        self.actions: list[Any] = []
        self.malformed = self.forgiven = self.defaults = self._refused = 0
        self.memory_reset = True
        self._wording: Wording | None = None

    @property
    def variant(self) -> Any:
        """The family with its parameters set."""
        return self._tasks.variant

    @property
    def action_space(self) -> Any:
        """What sentences stand for."""
        return self._env.action_space

    @property
    def sentences(self) -> Sentences:
        """What can be said now."""
        return self._told().sentences

    @property
    def text(self) -> str:
        """What was told last, without rules: what happened, and what is observed."""
        return self._told().text

    def rules(self) -> str:
        """What there is to do, and what can be said: the same for people and language models."""
        return self._told().rules

    def reset(self) -> str:
        """Begin the trial (anew, with the same task and the same noise): the rules, and the first observation."""
        self._begin()
        observation, info = self._env.reset(seed=self._seed, options={"task": self._task})
        self._look(observation, info, None, 0.0)
        return f"{self.rules()}\n\n{self.text}"

    def step(self, sentence: Any) -> str:
        """Say what to do: what came of it, or what was wrong with the sentence (and no step is taken, at most `retries` times).

        Anything may be said, and no sentence is an error. A sentence that takes two steps (`combine X with Y`) takes both.

        Raises:
            RuntimeError: before the first reset, and when the trial is over.
        """
        told = self._told()
        if self.done:
            raise RuntimeError("the trial is over: reset() begins it anew")
        self.memory_reset = False
        said, reading = read(told.sentences, sentence, lenient=self._lenient)
        self.forgiven += reading == "lenient"
        if reading != "malformed":
            self._take(said.action)
            paid = self.reward
            if said.then is not None and not (self.done or self.memory_reset):
                self._take(said.then)
                self.reward += paid
            return self._after("")
        self.malformed += 1
        problem = f"{said.problem}. You can say: {told.sentences.forms()}."
        if self._refused < self._retries:
            self._refused += 1
            return f"({problem} Nothing was done.)\n{told.text}"
        self.defaults += 1
        default = told.sentences.say(said.action)
        self._take(said.action)
        return self._after(f"({problem} In its place you did: {default}.)\n")

    def finish(self) -> None:
        """Take the default action until the trial is over, so that falling silent is no way out of what a trial costs.

        Raises:
            RuntimeError: before the first reset.
        """
        self._told()
        while not self.done:
            self.defaults += 1
            self._take(self.sentences.default)

    def _after(self, message: str) -> str:
        """What is told after a step. Where memory is reset, nothing of before."""
        if self.memory_reset:
            message = ""
        return message + self.text + ("\nThe trial is over." if self.done else "")

    @functools.cached_property
    def _scale(self) -> TrialScale:
        """What random play and the oracle are expected to earn in the trial."""
        return trial_scale(self.variant, self._task, self._env.episodes_per_trial)

    @property
    def score(self) -> float:
        """What was earned so far: 0 is what random play earns in the whole trial, 1 the oracle; NaN where they are equal."""
        return self._scale.score(self.total)

    @property
    def regret(self) -> float:
        """What the oracle is expected to earn in the whole trial, less what was earned."""
        return self._scale.oracle - self.total

    @property
    def task(self) -> np.ndarray:
        """The hidden task, as a row; RuntimeError until the trial is over, lest a player sees it."""
        if not self.done:
            raise RuntimeError("the task is hidden until the trial is over")
        return self._task.copy()

    def run(self) -> Run:
        """The trial so far as a run, which can be scored, replayed and saved like that of any agent.

        Raises:
            ValueError: no step was made.
        """
        if not self.actions:
            raise ValueError("no step was made, so there is no run yet")
        how = {"split": self._tasks.split, "episodes": self._env.episodes_per_trial, "player": self._player}
        return played_by_hand(self.variant, self._task, self._seed, self.actions, **how)

    def _take(self, action: Any) -> None:
        """Take one step."""
        self._refused = 0
        observation, reward, terminated, truncated, info = self._env.step(action)
        self.actions.append(np.asarray(action))
        self.reward, self.done = float(reward), terminated or truncated
        self.total += self.reward
        self._look(observation, info, action, self.reward)

    def _look(self, observation: Any, info: dict[str, Any], action: Any, reward: float) -> None:
        """Take note of what is told now."""
        trial = info["trial"]
        self.memory_reset = forgets = bool(trial["trial_start"] or info.get("memory_reset", False))
        self._moment = Moment(
            observation=observation,
            previous_action=self._null if forgets else action,
            previous_reward=0.0 if forgets else reward,
            terminated=bool(trial["inner_terminated"]),
            truncated=bool(trial["inner_truncated"]),
            episode_start=bool(trial["episode_start"]),
            trial_start=bool(trial["trial_start"]),
            memory_reset=forgets,
        )
        state = self._env._worlds.worlds.view(np.ndarray)["state"][0]
        self._wording = family_in_words(self.variant, self._env.episodes_per_trial, state, self._task, self._moment)

    def _told(self) -> Wording:
        if self._wording is None:
            raise RuntimeError("there is no trial yet: call reset() first")
        return self._wording
