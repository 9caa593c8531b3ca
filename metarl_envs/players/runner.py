"""The loop that everybody is played in who is not fused: groups of players sit at tables, and at a table all act at once.

Tables do not wait for one another: each goes on as soon as its own players have acted. What is recorded does not depend on who
was faster, since nothing at one table is known at another.
"""

from __future__ import annotations

import contextlib
from collections import Counter, deque
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from queue import SimpleQueue
from typing import Any, NamedTuple, Protocol

import numpy as np

from metarl_envs.arguments import Progress, tell_nobody
from metarl_envs.players.factories import GivenUpError, PlayerError, Seat, Turn
from metarl_envs.players.run import Run, joined, shortened


class Table(Protocol):
    """Rows of a family, or boxes, in motion."""

    #: The steps so far, how many there can be, and which rows are not over yet, bool [row].
    t: int
    most_steps: int
    active: np.ndarray

    def advance(self) -> None:
        """Move all rows by the actions that lie on the table."""

    def run(self) -> Run:
        """Return what was played so far."""
        ...


class Group(Protocol):
    """Players of one kind in some seats of a table."""

    @property
    def seat(self) -> Seat | None:
        """Return who makes its players, one by one; None where they act in all rows at once."""
        ...

    def turns(self) -> list[Turn]:
        """Return what is left to do in this step, after which the actions of these seats lie on the table."""
        ...


class Seated(NamedTuple):
    """A table, and who sits there."""

    table: Table
    groups: Sequence[Group]


def play(seated: Sequence[Seated], progress: Progress = tell_nobody) -> Run:
    """Play until all rows of all tables are over, and return them as one run, in the order of the tables.

    Whatever ends it before, Ctrl-C too, holds what was played until then as its attribute `run`: all tables, up to the step
    that each of them had made. Where the number of requests to a language model ends it, that is the step at which tables that
    wait for one another would have ended.

    Args:
        seated: tables whose rows are of one family, and of one length if there are several tables.
        progress: called with "steps", how many steps have been made by now at all tables, and how many there are at most.

    Raises:
        PlayerError: a player or its factory failed. Of several, the one at the earliest step, in the first row and seat.
    """
    try:
        _Playing(seated, progress).to_the_end()
    except BaseException as error:
        _keep([each.table for each in seated], error)
        raise
    runs = [each.table.run() for each in seated]
    return runs[0] if len(runs) == 1 else joined(runs)


class _Playing:
    """Tables in motion: this thread moves them all, and makes their players; players that may be waited for act in others."""

    def __init__(self, seated: Sequence[Seated], progress: Progress):
        self._seated, self._progress = seated, progress
        self._held = set(range(len(seated)))  # tables that may begin a step, if the budget of no player forbids it
        self._ready: deque[int] = deque()  # tables where all have acted
        self._left = [0] * len(seated)  # turns of the running step that are not over
        self._over: SimpleQueue[tuple[int, Future]] = SimpleQueue()
        self._running: set[Future] = set()
        self._threads: dict[int, ThreadPoolExecutor] = {}
        self._in_a_step: Counter[int] = Counter()  # turns of each factory's players at all tables together
        self._slowest, self._made = 0, [0] * (1 + max(each.table.most_steps for each in seated))

    def to_the_end(self) -> None:
        """Play."""
        try:
            self._begin_those_who_may()
            while self._ready or self._running:
                if self._ready:
                    self._advance(self._ready.popleft())
                    self._begin_those_who_may()
                else:
                    self._take_a_turn_that_is_over()
        except BaseException as error:
            self._give_up()
            self._end_threads()
            if isinstance(error, PlayerError):
                first = min([error, *self._other_errors()], key=lambda each: (each.step, each.row or 0, each.seat))
                raise first  # noqa: B904 (it has its own cause)
            raise
        self._end_threads()

    def _begin_those_who_may(self) -> None:
        for i in sorted(self._held):
            if self._may_begin(i):
                self._held.remove(i)
                self._begin(i)

    def _may_begin(self, i: int) -> bool:
        """Whether a table may be ahead: not where a budget could be spent before all others have made the same step."""
        table, groups = self._seated[i]
        ahead = table.t - self._slowest
        return not ahead or all(
            group.seat.turns_left() >= (ahead + 1) * self._in_a_step[id(group.seat)] for group in groups if group.seat
        )

    def _begin(self, i: int) -> None:
        """Begin a step: those who may be waited for act in threads, and meanwhile the others act here."""
        table, groups = self._seated[i]
        at_once: list[Turn] = []
        for group in groups:
            turns, seat = group.turns(), group.seat
            if table.t == 0:
                self._in_a_step[id(seat)] += len(turns)
            if seat is None or seat.concurrency == 1:
                at_once += turns
            else:
                for turn in turns:
                    self._start(i, seat, turn)
        for turn in at_once:
            turn()
        if not self._left[i]:
            self._ready.append(i)

    def _start(self, i: int, seat: Seat, turn: Turn) -> None:
        """Let a turn be taken in a thread."""
        if id(seat) not in self._threads:
            self._threads[id(seat)] = ThreadPoolExecutor(seat.concurrency)
        started = self._threads[id(seat)].submit(turn)
        self._left[i] += 1
        self._running.add(started)
        started.add_done_callback(lambda over: self._over.put((i, over)))

    def _take_a_turn_that_is_over(self) -> None:
        i, turn = self._over.get()
        turn.result()  # or the error that it ended with
        self._running.remove(turn)
        self._left[i] -= 1
        if not self._left[i]:
            self._ready.append(i)

    def _advance(self, i: int) -> None:
        table = self._seated[i].table
        table.advance()
        self._made[table.t] += 1
        if self._made[table.t] == len(self._seated):
            self._slowest = table.t
            self._progress("steps", table.t, table.most_steps)
        if table.active.any():
            self._held.add(i)

    def _give_up(self) -> None:
        """Wait for nobody who need not answer."""
        for seat in {id(group.seat): group.seat for each in self._seated for group in each.groups if group.seat}.values():
            seat.give_up()

    def _end_threads(self) -> None:
        """Begin no more turns; those that are begun end first, so that nothing that was answered is lost."""
        for threads in self._threads.values():
            threads.shutdown(cancel_futures=True)

    def _other_errors(self) -> list[PlayerError]:
        ended = [turn.exception() for turn in self._running if not turn.cancelled()]
        return [e for e in ended if isinstance(e, PlayerError) and not isinstance(e.__cause__, GivenUpError)]


def _keep(tables: Sequence[Table], error: Any) -> None:
    """Give an error what was played until then."""
    with contextlib.suppress(Exception):  # a family that cannot be lived cannot be lived again
        runs = [table.run() for table in tables]
        steps = min(run.actions.shape[1] for run in runs)
        error.run = runs[0] if len(runs) == 1 else joined([shortened(run, steps) for run in runs])
        error.add_note("Nothing is lost: this error's attribute `run` holds what was played until then (run.save keeps it)")


@contextlib.contextmanager
def keeping(lived: Mapping[str, Run]) -> Iterator[None]:
    """Give whatever ends this before its time, as its attribute `runs`, the runs that were finished by then, by player."""
    try:
        yield
    except BaseException as error:
        ending: Any = error
        ending.runs = dict(lived)
        raise


@contextlib.contextmanager
def keeping_rows(before: Sequence[Run]) -> Iterator[None]:
    """Put the rows that a player has lived before into the `run` of whatever ends this before its time, as the first ones."""
    try:
        yield
    except BaseException as error:
        ending: Any = error
        last = getattr(error, "run", None)
        if found := [*before, *([] if last is None else [last])]:
            ending.run = joined(found)
        if isinstance(error, PlayerError) and error.row is not None:
            error.row += sum(map(len, before))
        raise
