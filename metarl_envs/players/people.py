"""People as players, and whoever else answers from outside: they are asked, and waited for, one sentence a step.

How they are asked is the business of whoever hosts them (`metarl_envs.host` shows them a page). What they said is written down
as that of language models is, so that a run which was killed goes on with what was answered.
"""

from __future__ import annotations

import copy
import os
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from metarl_envs.arguments import at_least_one
from metarl_envs.engine.sentences import Sentences, read
from metarl_envs.players.factories import Seat
from metarl_envs.players.models.client import Reply
from metarl_envs.players.models.transcript import Transcript, digest_of
from metarl_envs.players.told import Moment


class Question(NamedTuple):
    """What a person is asked in one step: what to do now.

    Attributes:
        seed: of the life, or the box.
        seat: where the person sits.
        step: how many steps were made before.
        rules: what there is to do, and what can be said.
        text: what happened, and what is observed.
        sentences: what can be said now.
        choices: the sentences of all actions that would do something, in an order that tells nothing; empty where the
            observation has no mask of actions.
        forgets: whether the person is to know nothing of what was before.
    """

    seed: int
    seat: int
    step: int
    rules: str
    text: str
    sentences: Sentences
    choices: tuple[str, ...]
    forgets: bool

    @classmethod
    def of(cls, moment: Moment) -> Question:
        """Return what is asked at a moment."""
        rules, text, sentences = moment.wording
        mask = moment.observation.get("action_mask", ()) if isinstance(moment.observation, dict) else ()
        choices = sorted(sentences.say(action) for action in np.flatnonzero(mask).tolist())
        return cls(*moment._place, rules, text, sentences, tuple(choices), moment.memory_reset)


class Answer(NamedTuple):
    """What a person said.

    Attributes:
        sentence: in a strict or lenient reading; "" where the time was up, and the default action is taken.
        seconds: from the question to the answer.
        tries: how many sentences were said, those included that were none.
    """

    sentence: str
    seconds: float
    tries: int


def forget(question: Question, sentence: str) -> None:
    """Do nothing with an answer of before."""


def wait_on() -> None:
    """Do nothing, where `ask` always returns soon."""


class People(Seat):
    """People in seats, each asked for a sentence in each step of its own.

    Args:
        ask: asks one person, waits, and returns the answer; it is called in many threads at once.
        places: how many people there are at most, in all lives or boxes together.
        about: what is recorded of how they are asked, and must be the same when a run is resumed.
        recall: told of each question that is not asked again when a run is resumed, and of the sentence that answered it.
        stop: called when a run ends before its time: `ask` is then to return, or to raise `GivenUpError`.
    """

    def __init__(
        self,
        ask: Callable[[Question], Answer],
        places: int,
        about: dict[str, Any] | None = None,
        recall: Callable[[Question, str], None] = forget,
        stop: Callable[[], None] = wait_on,
    ):
        super().__init__(self._sit, max(2, at_least_one("places", places)))  # with 1 they would not be waited for in threads
        self._ask, self._recall, self.give_up, self._about = ask, recall, stop, {"player": "person", **(about or {})}
        self._path: str | os.PathLike | None = None
        self._resume = False
        self.transcript = Transcript(None, self._about, False)

    def written_to(self, transcript: str | os.PathLike, *, resume: bool = False, concurrency: int | None = None) -> People:
        """Return the same people, whose answers are written to a file; all of them are waited for at once."""
        other = copy.copy(self)
        other.factory = other._sit
        other._path, other._resume = transcript, resume
        return other

    def open(self) -> None:
        """Open the transcript, before anything is played."""
        self.transcript = Transcript(self._path, self._about, self._resume, synced=True)

    def close(self, whole: bool) -> None:
        """End the record of a run."""
        self.transcript.close(whole)

    def answer(self, question: Question) -> str:
        """Return the sentence of an answer: the one that is written, or a new one, which then is; "" where there is none.

        Raises:
            ValueError: the transcript holds an answer to another question.
        """
        key = question.seed, question.seat, question.step, 0
        asked = [{"role": "system", "content": question.rules}, {"role": "user", "content": question.text}]
        digest = digest_of(asked)
        if (written := self.transcript.answered(key, digest)) is not None:
            self._recall(question, written.text)
            return written.text
        answer = self._ask(question)
        self.transcript.add(key, asked, digest, Reply(answer.sentence, None, None, answer.seconds, answer.tries))
        return answer.sentence

    def _sit(self, *, seat: int, observation_space: Any, action_space: Any, seed: int) -> _Person:
        return _Person(self)

    def __repr__(self) -> str:
        about = {name: value for name, value in self._about.items() if name != "player"}
        return f"person({', '.join(f'{name}={value!r}' for name, value in about.items())})"


class _Person:
    """One player."""

    def __init__(self, people: People):
        self._people, self._then = people, None

    @property
    def knows_what_to_do(self) -> bool:
        """Whether its last sentence takes a second step, which is now."""
        return self._then is not None

    def act(self, moment: Moment) -> Any:
        """Ask, but for the second half of a sentence that takes two steps."""
        if self._then is not None:
            action, self._then = self._then, None
            return action
        question = Question.of(moment)
        said, _ = read(question.sentences, self._people.answer(question), lenient=True)
        self._then = said.then
        return said.action
