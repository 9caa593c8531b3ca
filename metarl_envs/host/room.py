"""Who sits where, who is there, and what is asked of whom: everything that is decided between players and their pages.

Players ask in threads of their own and wait (`Room.ask`); pages come and go, and say things (`enter`, `leave`, `ready`,
`say`). A page is told by its line, which must not wait. Nothing here knows of a network.
"""

from __future__ import annotations

import hmac
import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

from metarl_envs.engine.sentences import read
from metarl_envs.players import Answer, Question
from metarl_envs.players.factories import GivenUpError

#: How long a box that goes on after a restart waits at most for those who have not found back, in seconds.
PATIENCE = 60.0

Message = Mapping[str, Any]


class Line(Protocol):
    """How a page is told things."""

    def send(self, message: Message) -> None:
        """Send a message, soon."""
        ...

    def close(self, reason: str) -> None:
        """End the connection."""
        ...


class Place(NamedTuple):
    """What one link leads to.

    Attributes:
        box: from 0.
        seat: from 0.
        day: from 0, where each day another person takes the seat; else None.
    """

    box: int
    seat: int
    day: int | None


#: A box, and the day where each has other people: they begin together.
Party = tuple[int, int | None]


class RoomClosedError(GivenUpError):
    """The host was closed while people were asked."""


class _Asked:
    """A question that waits for its answer."""

    def __init__(self, question: Question, seconds: float):
        self.question, self.begun = question, time.monotonic()
        self.until = self.begun + seconds
        self.sentence, self.tries, self.answered = "", 0, threading.Event()


class _Sitter:
    """A place, and whoever sits there."""

    def __init__(self, place: Place, token: str):
        self.place, self.token = place, token.encode()
        self.line: Line | None = None
        self.ready = self.over = self.has_missed = False
        self.asked: _Asked | None = None
        self.steps = self.missed = self.malformed = 0

    def tell(self, kind: str, **said: Any) -> None:
        """Tell the page, if there is one."""
        if self.line is not None:
            self.line.send({"kind": kind, **said})


class Room:
    """The people of a run.

    Args:
        tokens: by place, what its link holds. All places of a box (and day) are one party: they begin together.
        seeds: of the boxes.
        seconds: for one step.
        day: steps of a day, where places have days.
        lobby: how long a party waits for those who are missing, in seconds; None: until all are there.
    """

    def __init__(
        self,
        tokens: Mapping[Place, str],
        seeds: Sequence[int],
        *,
        seconds: float,
        day: int | None = None,
        lobby: float | None = None,
    ):
        self._sitters = {place: _Sitter(place, token) for place, token in tokens.items()}
        self._box_of = {int(seed): box for box, seed in enumerate(seeds)}
        self._seconds, self._day, self._lobby = seconds, day, lobby
        self._begun: set[Party] = set()
        self._awaited: set[Party] = set()  # those that a box waits for now
        self._closed = ""
        self._change = threading.Condition()

    # ------------------------------------------------------------------------------------------- for players
    def ask(self, question: Question) -> Answer:
        """Ask whoever sits there, wait for the answer, and return it: the empty one when the time is up.

        Raises:
            RoomClosedError: the room was closed.
        """
        sitter = self._sitters[self._place_of(question)]
        self._wait_until_begun(sitter, question)
        with self._change:
            self._see_that_it_is_open()
            asked = sitter.asked = _Asked(question, self._seconds)
            self._show(sitter)
        asked.answered.wait(max(0.0, asked.until - time.monotonic()))
        with self._change:
            if not asked.sentence:
                self._see_that_it_is_open()
            sitter.asked, sitter.steps = None, sitter.steps + 1
            sitter.has_missed = not asked.sentence
            sitter.missed += sitter.has_missed
            if sitter.has_missed:
                sitter.tell("missed", step=question.step)
        return Answer(asked.sentence, round(time.monotonic() - asked.begun, 3), asked.tries)

    def recall(self, question: Question, sentence: str) -> None:
        """Take note of an answer that was given before the host was started again; whoever gave one need not practise again."""
        with self._change:
            sitter = self._sitters[self._place_of(question)]
            sitter.steps, sitter.missed = sitter.steps + 1, sitter.missed + (not sentence)
            if sentence and not sitter.ready:
                sitter.ready = True
                self._changed(sitter)

    def _place_of(self, question: Question) -> Place:
        day = None if self._day is None else question.step // self._day
        return Place(self._box_of[question.seed], question.seat, day)

    def _wait_until_begun(self, sitter: _Sitter, question: Question) -> None:
        """Wait in the lobby: until all of the party are there, the patience is over, or the experimenter begins."""
        party = sitter.place.box, sitter.place.day
        with self._change:
            self._end_day_before(sitter.place)
            resumed = question.step > (sitter.place.day or 0) * (self._day or 0)
            patience = min(self._lobby if self._lobby is not None else PATIENCE, PATIENCE) if resumed else self._lobby
            until = None if patience is None else time.monotonic() + patience
            if party not in self._begun:
                self._awaited.add(party)
            self._tell_party(party)
            while party not in self._begun:
                self._see_that_it_is_open()
                left = None if until is None else until - time.monotonic()
                if all(map(_is_here, self._members(party))) or (left is not None and left <= 0):
                    self._begin(party)
                else:
                    self._change.wait(left)

    def _end_day_before(self, place: Place) -> None:
        """See off whoever had the seat yesterday."""
        for day in range(place.day or 0):
            self._end(self._sitters[place._replace(day=day)], "over")

    def _see_that_it_is_open(self) -> None:
        if self._closed:
            raise RoomClosedError(self._closed)

    # ------------------------------------------------------------------------------------------- for pages
    def enter(self, token: str, line: Line) -> Place | None:
        """Let a page in by its token, and return its place; None where no link holds that token.

        Whoever was there by the same link is shown out: the newest page has the seat.
        """
        given, found = token.encode(errors="replace"), None
        for sitter in self._sitters.values():  # all of them, so that the time it takes tells nothing
            if hmac.compare_digest(sitter.token, given):
                found = sitter
        if found is None:
            return None
        with self._change:
            old, found.line = found.line, line
            if old is not None:
                old.close("opened elsewhere")
            self._changed(found)
            return found.place

    def leave(self, place: Place, line: Line) -> None:
        """Take note that a page is gone. Its seat is kept."""
        sitter = self._sitters[place]
        with self._change:
            if sitter.line is line:
                sitter.line = None
                self._changed(sitter)

    def is_ready(self, place: Place) -> bool:
        """Return whether somebody has read the instructions and practised there, or has played already."""
        return self._sitters[place].ready

    def ready(self, place: Place) -> None:
        """Take note that whoever sits there has read the instructions and practised."""
        sitter = self._sitters[place]
        with self._change:
            sitter.ready = True
            self._changed(sitter)
            if (sitter.place.box, sitter.place.day) in self._begun:
                self._show(sitter)  # what is asked already

    def show(self, place: Place) -> None:
        """Tell a page where things stand."""
        with self._change:
            self._show(self._sitters[place])

    def say(self, place: Place, step: int, sentence: str) -> None:
        """Take a sentence as the answer of a step; what is none is said back, and may be said better."""
        sitter = self._sitters[place]
        with self._change:
            asked = sitter.asked
            if asked is None or asked.question.step != step or asked.sentence or time.monotonic() >= asked.until:
                sitter.tell("late", step=step)
                return
            asked.tries += 1
            problem = problem_of(asked.question, sentence)
            if problem:
                sitter.malformed += 1
                sitter.tell("problem", step=step, problem=problem)
                return
            asked.sentence = sentence
            sitter.tell("acted", step=step)
            asked.answered.set()

    # ------------------------------------------------------------------------------------------- for the experimenter
    def begin(self, box: int) -> None:
        """Let a box begin without those who are missing."""
        with self._change:
            for party in [party for party in self._awaited if party[0] == box]:
                self._begin(party)

    def overview(self) -> list[dict[str, Any]]:
        """Return where every place stands: who is connected and ready, whether an answer is waited for, and what was missed."""
        with self._change:
            return [
                {
                    **sitter.place._asdict(),
                    "here": sitter.line is not None,
                    "ready": sitter.ready,
                    "over": sitter.over,
                    "awaited": (sitter.place.box, sitter.place.day) in self._awaited,
                    "asked": sitter.asked is not None and not sitter.asked.sentence,
                    "steps": sitter.steps,
                    "missed": sitter.missed,
                    "malformed": sitter.malformed,
                }
                for sitter in self._sitters.values()
            ]

    def finish(self, box: int) -> None:
        """Tell everybody in a box that it is over."""
        with self._change:
            for place, sitter in self._sitters.items():
                if place.box == box:
                    self._end(sitter, "over")

    def close(self, why: str) -> None:
        """End it before its time: whoever waits for an answer is told why."""
        with self._change:
            if self._closed:
                return
            self._closed = why
            for sitter in self._sitters.values():
                if sitter.asked is not None:
                    sitter.asked.answered.set()
                self._end(sitter, "failed")
            self._change.notify_all()

    # ------------------------------------------------------------------------------------------- inside
    def _members(self, party: Party) -> Iterable[_Sitter]:
        return [each for each in self._sitters.values() if (each.place.box, each.place.day) == party]

    def _begin(self, party: Party) -> None:
        self._begun.add(party)
        self._awaited.discard(party)
        self._change.notify_all()

    def _changed(self, sitter: _Sitter) -> None:
        """Look again whether all are there."""
        self._tell_party((sitter.place.box, sitter.place.day))
        self._change.notify_all()

    def _tell_party(self, party: Party) -> None:
        """Tell those in the lobby how many are there."""
        if party not in self._begun:
            for sitter in self._members(party):
                self._show(sitter)

    def _show(self, sitter: _Sitter) -> None:
        """Tell a page where things stand, once its reader is ready."""
        party = sitter.place.box, sitter.place.day
        if sitter.over:
            sitter.tell("failed" if self._closed else "over")
        elif not sitter.ready:
            return
        elif (asked := sitter.asked) is not None:
            question = asked.question
            sitter.tell(
                "acted" if asked.sentence else "moment",
                step=question.step,
                text=question.text,
                choices=question.choices,
                left=round(max(0.0, asked.until - time.monotonic()), 2),
                seconds=self._seconds,
                forgets=question.forgets,
                missed=sitter.has_missed and not question.forgets,
            )
        elif party in self._begun:
            sitter.tell("wait")
        else:
            members = list(self._members(party))
            sitter.tell("lobby", here=sum(map(_is_here, members)), of=len(members))

    def _end(self, sitter: _Sitter, how: str) -> None:
        if not sitter.over:
            sitter.over = True
            sitter.tell(how)


def _is_here(sitter: _Sitter) -> bool:
    return sitter.ready and sitter.line is not None


def problem_of(question: Question, sentence: str) -> str:
    """Return what is wrong with a sentence and what would be right; "" where it is one."""
    said, reading = read(question.sentences, sentence, lenient=True)
    return f"{said.problem}. You can say: {question.sentences.forms()}." if reading == "malformed" else ""
