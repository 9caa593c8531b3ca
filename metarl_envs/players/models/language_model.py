"""A language model as a player: in a life of `evaluate`, and in any seat of a box."""

from __future__ import annotations

import copy
import os
import threading
from typing import Any, NamedTuple

from metarl_envs.arguments import as_integer, at_least_one
from metarl_envs.engine.sentences import read
from metarl_envs.players.factories import Seat
from metarl_envs.players.models.client import Client, Reply
from metarl_envs.players.models.contexts import Context, Memory, Message, ask_for_best, said_back, stated_best
from metarl_envs.players.models.transcript import Key, Transcript, digest_of
from metarl_envs.players.told import Moment

#: Characters to a token, where nobody has counted.
_CHARACTERS = 4
#: The attempt under which a note between two episodes is written.
_REFLECTION = -1


class BudgetSpent(RuntimeError):  # noqa: N818 (an ending, not an error)
    """A language model would have asked for more than its budget."""


class Forecast(NamedTuple):
    """What a run would ask of a language model, if nothing goes wrong: see `LanguageModel.pretending`.

    Attributes:
        requests: how many questions; each malformed reply adds one more, up to `retries` in a step.
        prompt_tokens: about so many (four characters to a token).
        reply_tokens: at most so many (`max_tokens` to a reply).
    """

    requests: int
    prompt_tokens: int
    reply_tokens: int

    def times(self, runs: int) -> Forecast:
        """Return the forecast of as many runs like it."""
        return Forecast(*(part * runs for part in self))

    def __str__(self) -> str:
        return (
            f"{self.requests:,} requests, about {self.prompt_tokens:,} tokens of prompts (four characters to a token), at most "
            f"{self.reply_tokens:,} of replies"
        )


class LanguageModel(Seat):
    """A language model behind a chat endpoint, as a player: it is told words and says sentences (see `metarl_envs.text`).

    >>> model = LanguageModel("my-model", base_url="http://localhost:8000/v1", transcript="runs/chat.jsonl")
    >>> evaluate("DarkRoom", {"my-model": model, "random": "random"}, tasks=3, seeds=1, episodes=5)

    Each life, and each seat of each box, is a conversation of its own, which begins from nothing whenever memory is reset.

    Under a control (see `metarl_wrappers`) the same lives are another conversation, so that it has a record of its own:

    >>> evaluate("GapBandit", {"intact": model, "blind": Wrapped(model.written_to("runs/blind.jsonl"), VectorHideReward)})

    Args:
        model: its name, as the endpoint calls it.
        base_url: of any endpoint with OpenAI's chat protocol, such as `http://localhost:8000/v1`.
        context: what a conversation keeps: `"whole"`, `"window(n)"` (n turns), `"notes"` (its own notes alone) or `"reflect"`
            (in an episode all, and then a note to itself).
        lenient: forgive what is around a sentence, and take the last line that is one, so that it may think first.
        retries: how often in a step what is no sentence is said back, before the default action is taken.
        temperature, max_tokens: of a reply.
        states_best: ask it to state, in each step, which action it believes to be the best (see
            `metarl_envs.evaluation.knowing`).
        seed: whether requests carry a seed of their own, so that an endpoint that honours it repeats itself.
        concurrency: how many conversations wait for a reply at once.
        requests, tokens: the budget: no question is asked that could exceed it (of tokens: by what is in flight, as far as they
            can be foreseen). What a transcript holds already counts. None: no limit.
        transcript: a file to which every question and reply is written at once, as lines of JSON.
        resume: go on with the transcript that is there: what was answered is not asked again.
        key_from: the environment variable that holds the key. The key itself is kept nowhere.
        timeout, tries, pause, stream: see `metarl_envs.players.models.client.Client`.

    Raises:
        TypeError, ValueError: an argument is not one of these.
    """

    def __init__(
        self,
        model: str,
        *,
        base_url: str,
        context: str = "whole",
        lenient: bool = True,
        retries: int = 2,
        temperature: float = 0.0,
        max_tokens: int = 256,
        states_best: bool = False,
        seed: bool = True,
        concurrency: int = 8,
        requests: int | None = None,
        tokens: int | None = None,
        transcript: str | os.PathLike | None = None,
        resume: bool = False,
        key_from: str = "OPENAI_API_KEY",
        timeout: float = 120.0,
        tries: int = 6,
        pause: float = 0.5,
        stream: bool = False,
    ):
        super().__init__(self._converse, concurrency)
        if not isinstance(model, str) or not model.strip() or not model.isprintable():
            raise ValueError(f"model={model!r} must be the name of a model, in one line")
        self.model, self.context = model, Context.named(context)
        self.lenient, self.retries = bool(lenient), as_integer("retries", retries)
        self.states_best = bool(states_best)
        self._asked_with = {"temperature": float(temperature), "max_tokens": at_least_one("max_tokens", max_tokens)}
        self._seeded = bool(seed)
        self._budget = tuple(
            None if limit is None else at_least_one(name, limit) for name, limit in (("requests", requests), ("tokens", tokens))
        )
        self._client: Client | None = Client(
            base_url, key_from=key_from, timeout=timeout, tries=at_least_one("tries", tries), pause=pause, stream=stream
        )
        self._transcript, self._resume = transcript, resume
        self._desk: Desk | None = None
        self._last: list[Desk] = []  # of the last run, whichever of its copies played it
        self._over = False

    def written_to(
        self, transcript: str | os.PathLike | None, *, resume: bool = False, concurrency: int | None = None
    ) -> LanguageModel:
        """Return the same model with a record of its own: its questions and replies are written to this file, or to none."""
        other = copy.copy(self)
        other.factory = other._converse
        other._transcript, other._resume, other._desk = transcript, resume, None
        other.concurrency = self.concurrency if concurrency is None else at_least_one("concurrency", concurrency)
        return other

    def pretending(self) -> LanguageModel:
        """Return the same model in a dry run: nobody is asked, it takes default actions, and `forecast` tells the rest."""
        other = copy.copy(self)
        other.factory = other._converse
        other._client = other._transcript = other._desk = None
        other._last = []
        return other

    @property
    def transcript(self) -> str | os.PathLike | None:
        """The file that questions and replies are written to, if there is one."""
        return self._transcript

    @property
    def desk(self) -> Desk:
        """Where its questions go, with the counts of a run."""
        if self._desk is None or self._over:
            transcript, self._over = Transcript(self._transcript, self._about(), self._resume), False
            self._desk = Desk(self._client, transcript, {"model": self.model, **self._asked_with}, self._seeded, *self._budget)
            self._last[:] = [self._desk]
        return self._desk

    @property
    def counts(self) -> dict[str, int]:
        """What happened so far: requests, tokens of prompts and replies, and replies by how they were read.

        Of its last run; of the last one of a copy (see `written_to`; `boxes.run(out=...)` makes one), where it had none itself.
        """
        return (self._desk or (self._last[0] if self._last else self.desk)).told()

    @property
    def forecast(self) -> Forecast:
        """What a dry run was to ask."""
        counts = self.counts
        return Forecast(counts["requests"], counts["prompt_tokens"], counts["requests"] * int(self._asked_with["max_tokens"]))

    def turns_left(self) -> float:
        """Return how many turns the budget of requests lasts for certain: one needs a reply, retries, and perhaps a note."""
        requests = self._budget[0]
        return float("inf") if requests is None else (requests - self.desk.told()["requests"]) // (self.retries + 2)

    def open(self) -> None:
        """Open the transcript, before anything is played."""
        _ = self.desk

    def close(self, whole: bool) -> None:
        """End the record of a run; the next one needs another file, or goes on with this one."""
        if self._desk is not None:
            self._desk.transcript.close(whole)
            self._over = True

    def _about(self) -> dict[str, Any]:
        """What is recorded of it, and must be the same when a run is resumed."""
        about = {"model": self.model, "context": self.context.name, "lenient": self.lenient, "retries": self.retries}
        return {**about, **self._asked_with, "seeded": self._seeded, "states_best": self.states_best}

    def _converse(self, *, seat: int, observation_space: Any, action_space: Any, seed: int) -> Conversation:
        return Conversation(self, self.desk)

    def __repr__(self) -> str:
        return f"LanguageModel({', '.join(f'{name}={value!r}' for name, value in self._about().items())})"


class Conversation:
    """One player: it knows what it was told since it was made."""

    def __init__(self, model: LanguageModel, desk: Desk):
        self._model, self._desk, self._memory, self._then = model, desk, Memory(model.context), None

    @property
    def knows_what_to_do(self) -> bool:
        """Whether its last sentence takes a second step, which is now."""
        return self._then is not None

    def act(self, moment: Moment) -> Any:
        """Ask until the reply is a sentence, at most as often as is allowed."""
        if self._then is not None:  # the second half of a sentence that takes two steps
            action, self._then = self._then, None
            return action
        if moment.memory_reset:  # where a control says so, nobody has made it anew
            self._memory = Memory(self._model.context)
        rules, text, sentences = moment.wording
        rules = ask_for_best(rules) if self._model.states_best else rules
        if moment.episode_start and (questions := self._memory.questions_to_reflect(rules)):
            self._memory.reflect(self._desk.ask((*moment._place, _REFLECTION), questions))
        messages, default = self._memory.messages(rules, text), sentences.say(sentences.default)
        for attempt in range(self._model.retries + 1):
            reply = self._desk.ask((*moment._place, attempt), messages, default)
            left = self._memory.without_notes(reply)
            left = stated_best(left)[1] if self._model.states_best else left
            said, reading = read(sentences, left, lenient=self._model.lenient)
            self._desk.count(reading)
            if reading != "malformed":
                break
            messages = [*messages, *said_back(reply, f"({said.problem}. You can say: {sentences.forms()}.)")]
        else:
            self._desk.count("defaults")
        self._memory.add(text, reply)
        self._then = said.then
        return said.action


class Desk:
    """Where the questions of all conversations of a run go: it keeps the budget and the transcript, and counts.

    Args:
        client: who asks; None in a dry run.
        transcript: what is asked and answered.
        question: what each request holds beside its messages.
        seeded: requests carry a seed.
        requests, tokens: at most so many; None for no limit.
    """

    def __init__(
        self,
        client: Client | None,
        transcript: Transcript,
        question: dict[str, Any],
        seeded: bool,
        requests: int | None,
        tokens: int | None,
    ):
        self.transcript = transcript
        self._client, self._question, self._seeded = client, question, seeded
        self._requests, self._tokens = requests, tokens
        self._lock, self._in_flight = threading.Lock(), 0
        counted = "requests", "tries", "prompt_tokens", "reply_tokens", "strict", "lenient", "malformed", "defaults"
        self._counts: dict[str, int] = {name: 0 for name in counted}
        for reply in transcript.replies():
            self._counts["requests"] += 1
            self._add(reply)

    def ask(self, key: Key, messages: list[Message], default: str = "") -> str:
        """Return the reply to a question: the one that is written, or a new one, which then is.

        Raises:
            BudgetSpent: it could exceed the budget.
            EndpointError: the endpoint refused it, or failed at every try.
            ValueError: the transcript holds a reply to another question.
        """
        digest = digest_of(messages)
        if (answered := self.transcript.answered(key, digest)) is not None:
            return answered.text
        characters = sum(len(message["content"]) for message in messages)
        if self._client is None:
            with self._lock:
                self._counts["requests"] += 1
                self._counts["prompt_tokens"] += -(-characters // _CHARACTERS)
            return default
        most = characters // _CHARACTERS + int(self._question["max_tokens"])
        self._reserve(most)
        reply = None
        try:
            reply = self._asked(self._client, key, messages, characters)
            self.transcript.add(key, messages, digest, reply)
            return reply.text
        finally:
            with self._lock:
                self._in_flight -= most
                if reply is not None:
                    self._add(reply)

    def _asked(self, client: Client, key: Key, messages: list[Message], characters: int) -> Reply:
        """A new reply; its tokens are estimated where the endpoint does not count them."""
        seed = {"seed": int(digest_of([{"key": str(key)}])[:7], 16)} if self._seeded else {}
        reply = client.ask({**self._question, "messages": messages, **seed})
        if reply.prompt_tokens is None:
            reply = reply._replace(prompt_tokens=-(-characters // _CHARACTERS))
        if reply.reply_tokens is None:
            reply = reply._replace(reply_tokens=-(-len(reply.text) // _CHARACTERS))
        return reply

    def count(self, what: str) -> None:
        """Count a reply by how it was read, or a default action."""
        with self._lock:
            self._counts[what] += 1

    def told(self) -> dict[str, int]:
        """Return the counts."""
        with self._lock:
            return dict(self._counts)

    def _reserve(self, most: int) -> None:
        """Take a request, and tokens that it may need, out of the budget."""
        with self._lock:
            counts = self._counts
            spent = counts["prompt_tokens"] + counts["reply_tokens"]
            if self._requests is not None and counts["requests"] >= self._requests:
                raise BudgetSpent(f"the budget of {self._requests} requests is spent: resume with a larger one")
            if self._tokens is not None and spent + self._in_flight + most > self._tokens:
                raise BudgetSpent(
                    f"the budget of {self._tokens} tokens is spent: {spent} were used, and the next question may need {most}; "
                    "resume with a larger one"
                )
            self._in_flight += most
            counts["requests"] += 1

    def _add(self, reply: Reply) -> None:
        self._counts["tries"] += reply.tries
        self._counts["prompt_tokens"] += reply.prompt_tokens or 0
        self._counts["reply_tokens"] += reply.reply_tokens or 0
