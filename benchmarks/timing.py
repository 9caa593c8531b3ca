"""Timing side by side: in every round each case runs once, in a new order, so that a machine's drift hits all alike."""

from __future__ import annotations

import itertools
import random
import statistics
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from metarl_envs.ids import TABLE


@dataclass(frozen=True)
class Effort:
    """How long to measure: rounds, seconds that a case runs in a round, and fresh processes a case for start-up times."""

    rounds: int
    seconds: float
    processes: int
    quick: bool

    @property
    def ids(self) -> list[str]:
        """All of the package, or the first of each kind: each takes seconds to compile."""
        first_of_kind = {row.kind: row.id for row in reversed(TABLE)}
        return [row.id for row in TABLE if not self.quick or row.id == first_of_kind[row.kind]]


FULL = Effort(rounds=41, seconds=0.025, processes=7, quick=False)
QUICK = Effort(rounds=3, seconds=0.01, processes=1, quick=True)


@dataclass(frozen=True)
class Case:
    """Something to time: its name, a function, and how many environment steps one call of it makes."""

    name: str
    call: Callable[[], Any]
    steps: int


@dataclass(frozen=True)
class Rates:
    """M steps/s of one case, one figure a round."""

    rates: Sequence[float]

    @property
    def best(self) -> float:
        """What the machine can do: others only ever slow it."""
        return max(self.rates)

    @property
    def median(self) -> float:
        """What it did."""
        return statistics.median(self.rates)

    def over(self, other: Rates) -> float:
        """How many times as fast as another case: the median of the rounds' ratios."""
        return statistics.median(mine / theirs for mine, theirs in zip(self.rates, other.rates, strict=True))


@dataclass(frozen=True)
class Table:
    """A title, the names of the columns, rows of texts and numbers, and what a reader must know."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str | float | None]]
    note: str = ""

    def __str__(self) -> str:
        cells = [[*self.columns], *([_text(value) for value in row] for row in self.rows)]
        widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
        right = [any(isinstance(row[i], int | float) for row in self.rows) for i in range(len(widths))]
        lines = [_line(row, widths, right) for row in cells]
        rule = "|".join("-" * (w + 1) + (":" if r else "-") for w, r in zip(widths, right, strict=True))
        table = "\n".join([f"### {self.title}", "", lines[0], f"|{rule}|", *lines[1:]])
        return f"{table}\n\n{self.note}\n" if self.note else f"{table}\n"


def measure(cases: Iterable[Case], effort: Effort) -> list[Rates]:
    """Time the cases side by side."""
    cases = list(cases)
    calls = [_calls_in(effort.seconds, case.call) for case in cases]
    rates: list[list[float]] = [[] for _ in cases]
    order, shuffle = list(range(len(cases))), random.Random(0).shuffle
    for _ in range(effort.rounds):
        shuffle(order)
        for i in order:
            rates[i].append(calls[i] * cases[i].steps / _seconds(cases[i].call, calls[i]) / 1e6)
    return [Rates(figures) for figures in rates]


def side_by_side(title: str, what: str, cases: Sequence[Case], effort: Effort, note: str = "", first: str = "") -> Table:
    """Time the cases, and give each beside the first one, whose name (or what stands for it) is in the heads of the columns."""
    rates = measure(cases, effort)
    rows = [
        [case.name, rate.best, rate.median, rate.best / rates[0].best, rate.over(rates[0])]
        for case, rate in zip(cases, rates, strict=True)
    ]
    first = first or cases[0].name
    return Table(title, (what, "best", "median", f"best, of {first}", f"median, of {first}"), rows, note)


def _calls_in(seconds: float, call: Callable[[], Any]) -> int:
    """How many calls take about so long. The first ones warm up: they compile, and fill caches."""
    call()
    count = 1
    while (took := _seconds(call, count)) < seconds / 2:
        count *= 2
    return max(1, round(count * seconds / took))


def _seconds(call: Callable[[], Any], count: int) -> float:
    """What a call returns is held until the next has returned, as whoever acts on it holds it."""
    start = time.perf_counter()
    for _ in itertools.repeat(None, count):
        _held = call()
    return time.perf_counter() - start


def _text(value: str | float | None) -> str:
    """Three significant digits."""
    if value is None:
        return "-"
    if isinstance(value, str):
        return value
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def _line(row: Sequence[str], widths: Sequence[int], right: Sequence[bool]) -> str:
    cells = (text.rjust(w) if r else text.ljust(w) for text, w, r in zip(row, widths, right, strict=True))
    return f"| {' | '.join(cells)} |"
