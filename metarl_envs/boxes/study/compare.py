"""Populations in the same boxes: what each achieves there, by how much they differ, and how alike they behave.

found = boxes.compare({"people": runs, "ppo": run, "greedy": run})
print(found.table())
found.save("comparison.html")
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from metarl_envs.arguments import as_integer, as_seed, at_least_one
from metarl_envs.boxes.scenarios.box import Box
from metarl_envs.boxes.study.harm import Prices, ledger
from metarl_envs.boxes.study.imitation import Features, Gap, features, gap, known_at
from metarl_envs.boxes.study.measures import Life, discoveries, lives, measures_of
from metarl_envs.boxes.world.hazard import HAZARD
from metarl_envs.boxes.world.mechanisms import used_in
from metarl_envs.boxes.world.tree import levels_of
from metarl_envs.evaluation.page import Curves, Table, html, markdown
from metarl_envs.evaluation.statistics import Interval, over_runs_and_boxes
from metarl_envs.files import written_aside
from metarl_envs.players.run import Run, endings_of, joined

#: Measures of a whole box (see `measures`); a column that has no meaning in any of them is left out.
OF_BOX = (
    *("inventions", "depth", "depth_slope", "notes", "note_precision", "note_recall", "note_depth"),
    *("claims", "claim_precision", "false_half_life", "replication_share", "retraction_share"),
    *("illegal", "return", "harm"),
)
#: What one agent did: what it earned, how many things it was the first to make, knew at some time, and their highest level.
OF_SEAT = ("earned", "first discoveries", "known", "depth of seat")
#: Into how many parts of the horizon a curve of inventions is cut.
_PARTS = 25

#: What is said of intervals, and of the gap.
_HOW = (
    "Means with 95 % intervals. Where a population is several runs, intervals are for the distribution of players and of "
    "boxes; where it is one, for these players and the distribution of boxes. Differences are paired by box, over the boxes "
    "that both populations share. Intervals are not corrected for their number."
)
_GAP = (
    "The imitation gap is the energy distance between what populations did (kinds of actions, times of discoveries, use of "
    "notes), standardised on both together; 0 in the mean where they behave alike, whatever they earn. In a population of "
    "several runs nobody is compared with itself; a single run is its player alone. Beside it stands the same distance "
    "between two halves of each population. p is that of a permutation test; bold below 0.05."
)

#: A box: its seed, and a hash of its recipes.
Place = tuple[int, int]


@dataclass(frozen=True, eq=False)
class Population:
    """What one population did: one run or several, all in the same boxes.

    Attributes:
        places: which boxes.
        seats: who sat in each seat, as the runs tell it.
        measures: by name, [run, box]; NaN where a measure has no meaning.
        by_seat: the names of `OF_SEAT`, [run, box, seat], for the seats that are compared.
        curves: `inventions`, how many things were known by then, and `depth by day`, [run, box, unit].
        points: of its behaviour, by run and box (see `imitation.features`).
    """

    places: list[Place]
    seats: tuple[str, ...]
    measures: dict[str, np.ndarray]
    by_seat: dict[str, np.ndarray]
    curves: dict[str, np.ndarray]
    points: list[list[Features]]

    def told(self) -> str:
        """Return how much of it there is, in words."""
        runs, boxes = len(self.points), len(self.places)
        return f"{runs} run{'s' if runs > 1 else ''} of {boxes} box{'es' if boxes > 1 else ''}"


@dataclass(frozen=True, eq=False)
class Comparison:
    """Populations side by side.

    Attributes:
        box: what was played, with its parameters.
        seats: which seats are compared, where a measure is one of seats.
        horizon: of a box, in steps.
        populations: by name.
        gaps: how alike two of them behave, by their names; only of those that share two boxes or more.
    """

    box: str
    seats: tuple[int, ...]
    horizon: int
    populations: dict[str, Population]
    gaps: dict[tuple[str, str], Gap]

    def measured(self) -> list[str]:
        """Return the names of all measures that have a meaning in some population."""
        return [
            name
            for name in (*OF_SEAT, *OF_BOX)
            if any(name in each.measures and np.isfinite(each.measures[name]).any() for each in self.populations.values())
        ]

    def interval(self, measure: str, name: str) -> Interval:
        """Return the mean of a measure in a population, with its 95 % interval.

        Several runs: for the distribution of boxes and players (`evaluation.statistics.over_seeds_and_tasks`); one run: for the
        distribution of boxes, and these players. Boxes in which the measure has no meaning are left out.
        """
        return over_runs_and_boxes(_of(self._population(name).measures, measure))

    def difference(self, measure: str, one: str, other: str) -> Interval:
        """Return how much more of a measure one population has than another, paired by box, with its 95 % interval.

        Only the boxes that both share count, and in which the measure has a meaning for both. NaN where there are none.
        Of several runs, run i is taken with run i; where one population has more of them, they are averaged in groups.
        """
        a, b = self._population(one), self._population(other)
        here, there = _shared(a, b)
        return over_runs_and_boxes(_apart(_of(a.measures, measure)[:, here], _of(b.measures, measure)[:, there]))

    def seat_interval(self, measure: str, name: str, seat: int) -> Interval:
        """Return the mean of a measure of `OF_SEAT` in one seat, with its interval."""
        values = _of(self._population(name).by_seat, measure)
        if seat not in self.seats:
            raise ValueError(f"seat={seat!r} is not compared here; these are: {', '.join(map(str, self.seats))}")
        return over_runs_and_boxes(values[:, :, self.seats.index(seat)])

    def curve(self, which: str, name: str) -> np.ndarray:
        """Return the mean of a curve and its interval, [3, unit]: `"inventions"` or `"depth by day"`."""
        values = _of(self._population(name).curves, which)
        return np.array([over_runs_and_boxes(values[:, :, unit]) for unit in range(values.shape[2])]).T

    def _population(self, name: str) -> Population:
        if name not in self.populations:
            raise ValueError(f"there is no population {name!r}; there are: {', '.join(self.populations)}")
        return self.populations[name]

    # ------------------------------------------------------------------------------------------- shown
    def table(self) -> str:
        """Return all of it as tables in Markdown."""
        return markdown(self._tables())

    def page(self) -> str:
        """Return all of it as one page of HTML, which loads nothing from elsewhere."""
        legend = {name: f"{each.told()}; {_who(each.seats)}" for name, each in self.populations.items()}
        title = f"{len(legend)} population{'s' if len(legend) > 1 else ''} in the same boxes"
        return html(title, [self.box, _HOW], legend, self._pictures(), self._tables())

    def save(self, path: str | os.PathLike) -> Path:
        """Write the page; its path."""
        path = Path(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        with written_aside(path) as [aside]:
            aside.write_text(self.page(), encoding="utf-8")
        return path

    def _pictures(self) -> list[Curves]:
        names = list(self.populations)
        pictures = [
            Curves(
                "Things that somebody had known by then",
                "step",
                (0, self.horizon),
                [self.curve("inventions", name) for name in names],
            )
        ]
        if "depth by day" in self.populations[names[0]].curves:
            curves = [self.curve("depth by day", name) for name in names]
            pictures.append(Curves("Highest level known on a day", "day", (1, curves[0].shape[1]), curves))
        return pictures

    def _tables(self) -> list[Table]:
        names = list(self.populations)
        tables = [self._means()]
        if len(names) > 1:
            tables.append(self._differences(names[0], names[1:]))
        if len(self.seats) > 1:
            tables.append(self._means_by_seat())
        return [*tables, self._table_of_gaps()] if self.gaps else tables

    def _means(self) -> Table:
        names, seats = list(self.populations), ", ".join(map(str, self.seats))
        rows = [[measure, *(self.interval(measure, name).with_half_width() for name in names)] for measure in self.measured()]
        about = f"{', '.join(OF_SEAT)}: means over seats {seats}. All other measures are of whole boxes."
        return Table("What was achieved", about, ["", *names], rows, set())

    def _differences(self, first: str, others: list[str]) -> Table:
        rows, strong = [], set()
        for k, measure in enumerate(self.measured()):
            found = [self.difference(measure, name, first) for name in others]
            rows.append([measure, *(each.with_half_width("+") for each in found)])
            strong |= {(k, n) for n, each in enumerate(found, 1) if each.low > 0 or each.high < 0}
        about = "Paired by box, over the boxes that both share; bold where the interval does not cover 0."
        return Table(f"How much more than {first}", about, ["", *others], rows, strong)

    def _means_by_seat(self) -> Table:
        names = list(self.populations)
        rows = [
            [f"{measure}, seat {seat}", *(self.seat_interval(measure, name, seat).with_half_width() for name in names)]
            for measure in OF_SEAT
            for seat in self.seats
        ]
        return Table("By seat", "", ["", *names], rows, set())

    def _table_of_gaps(self) -> Table:
        rows = [
            [
                f"{one} / {other}",
                *(_number(each) for each in (found.distance, *found.halves)),
                f"{found.p:.3f}",
                str(found.boxes),
            ]
            for (one, other), found in self.gaps.items()
        ]
        strong = {(k, 1) for k, found in enumerate(self.gaps.values()) if found.p < 0.05}
        heads = ["", "gap", "halves of the first", "halves of the second", "p", "boxes"]
        return Table("How alike they behave", _GAP, heads, rows, strong)


def compare(
    populations: Mapping[str, Run | Iterable[Run]],
    *,
    seats: Iterable[int] | None = None,
    prices: Prices | None = None,
    permutations: int = 999,
    seed: int = 0,
) -> Comparison:
    """Compare populations that lived in boxes of one kind.

    >>> greedy = run("InventionBox", {"all": "greedy"}, boxes=3, agents=2, horizon=20)
    >>> random = run("InventionBox", {"all": "random"}, boxes=3, agents=2, horizon=20)
    >>> compare({"greedy": greedy, "random": random}, permutations=9).difference("inventions", "greedy", "random").mean > 0
    True

    Args:
        populations: by name, one run, or several: those of several people, or of several trained seeds. The runs of a
            population are of the same boxes (equal seeds and recipes), or of boxes that are all different, which are then taken
            as one run.
        seats: whose deeds count where a measure is one of seats [default: all].
        prices: of harm, where there are hazards (see `harm.ledger`).
        permutations: of the test of the imitation gap, how many.
        seed: of these.

    Raises:
        TypeError, ValueError: there is no population, or a name is none; something is no whole run of a box; the boxes differ
            in more than their seeds and recipes, or the runs of a population share some boxes and not all; there is no such
            seat.
    """
    permutations, seed = at_least_one("permutations", permutations), as_seed(seed)
    given = {_checked_name(name): _runs_of(name, each) for name, each in _named(populations)}
    variant = next(iter(given.values()))[0].variant
    for name, runs in given.items():
        for each in runs:
            if each.variant.family is not variant.family or each.variant.values != variant.values:
                raise ValueError(
                    f"populations[{name!r}] was played in {each.variant}; others in {variant}: only equal boxes compare"
                )
    chosen = _seats(seats, variant.p.agents)
    found = {name: _population(name, runs, chosen, prices) for name, runs in given.items()}
    gaps = {}
    for one, other in itertools.combinations(found, 2):
        here, there = _shared(found[one], found[other])
        if len(here) > 1:
            a, b = ([[run[k] for k in which] for run in found[name].points] for name, which in ((one, here), (other, there)))
            gaps[one, other] = gap(a, b, permutations, seed)
    return Comparison(str(variant), chosen, variant.horizon, found, gaps)


# ------------------------------------------------------------------------------------------------- what is given
def _named(populations: Any) -> list[tuple[str, Any]]:
    if not isinstance(populations, Mapping):
        raise TypeError(f"populations={populations!r:.80} must map names to runs, such as {{'people': runs, 'greedy': run}}")
    if not populations:
        raise ValueError("populations is empty: give at least one, such as {'greedy': run}")
    return list(populations.items())


def _checked_name(name: Any) -> str:
    if not isinstance(name, str):
        raise TypeError(f"populations has the name {name!r}, which must be a string")
    if not name.isprintable() or name != name.strip() or not name:
        raise ValueError(f"populations has the name {name!r}, which must be one line, with no space at its ends")
    return name


def _runs_of(name: str, given: Any) -> list[Run]:
    """The runs of a population, all in the same boxes."""
    runs = [given] if isinstance(given, Run) else list(given) if isinstance(given, Iterable) else [given]
    if not runs:
        raise ValueError(f"populations[{name!r}] is empty: give at least one run")
    for each in runs:
        if not isinstance(each, Run):
            raise TypeError(f"populations[{name!r}] holds {each!r:.80}, which is no run")
        if not issubclass(each.variant.family, Box):
            raise ValueError(f"populations[{name!r}] was played in {each.variant.name}, which is no box")
        if (each.steps != each.variant.horizon).any():
            raise ValueError(
                f"populations[{name!r}] was cut off at step {each.steps.min()} of {each.variant.horizon}: resume it"
            )
    places = [_places(each) for each in runs]
    if sum(map(len, places)) == len(set().union(*places)):  # all different
        return [joined(runs)] if len(runs) > 1 else runs
    if any(set(each) != set(places[0]) or len(set(each)) < len(each) for each in places):
        raise ValueError(
            f"populations[{name!r}] has runs that share some boxes and not all: give runs of the same seeds and recipes, or of "
            "seeds that are all different"
        )
    return [each[np.array([at.index(place) for place in places[0]])] for each, at in zip(runs, places, strict=True)]


def _places(run: Run) -> list[Place]:
    return list(zip(run.seeds.tolist(), endings_of(run.tasks).tolist(), strict=True))


def _seats(given: Iterable[int] | None, agents: int) -> tuple[int, ...]:
    if given is None:
        return tuple(range(agents))
    if isinstance(given, str) or not isinstance(given, Iterable):
        raise TypeError(f"seats={given!r} must be a list of seats, such as [0]")
    seats = tuple(dict.fromkeys(as_integer("seats", seat) for seat in given))
    if not seats:
        raise ValueError("seats is empty: give at least one, such as [0], or None for all")
    if max(seats) >= agents:
        raise ValueError(f"seats={list(seats)} must name seats from 0 to {agents - 1}")
    return seats


# ------------------------------------------------------------------------------------------------- what they did
def _population(name: str, runs: Sequence[Run], seats: tuple[int, ...], prices: Prices | None) -> Population:
    lived = [lives(run) for run in runs]
    tables = [[measures_of(life) for life in boxes] for boxes in lived]
    measures = {
        column: np.array([[row[column] for row in table] for table in tables], float)
        for column in OF_BOX
        if column in tables[0][0]
    }
    if HAZARD in used_in(runs[0].variant.p):
        measures["harm"] = np.array([ledger(run, prices).harm.sum(axis=(1, 2)) for run in runs])
    deeds = np.array([[_by_seat(life, seats) for life in boxes] for boxes in lived], float)  # [run, box, measure, seat]
    by_seat = {column: deeds[:, :, k] for k, column in enumerate(OF_SEAT)}
    curves = {"inventions": np.array([[_known_over_time(life) for life in boxes] for boxes in lived], float)}
    if lived[0][0].by_day.size:
        curves["depth by day"] = np.array([[life.by_day.mean(axis=1) for life in boxes] for boxes in lived], float)
    return Population(
        places=_places(runs[0]),
        seats=tuple(" or ".join(dict.fromkeys(at)) for at in zip(*(run.seats for run in runs), strict=True)),
        measures={column: values.mean(axis=2) for column, values in by_seat.items()} | measures,
        by_seat=by_seat,
        curves=curves,
        points=[features(run, boxes, seats) for run, boxes in zip(runs, lived, strict=True)],
    )


def _by_seat(life: Life, seats: tuple[int, ...]) -> np.ndarray:
    """The measures of `OF_SEAT`, [measure, seat]."""
    deepest = np.where(life.knows, levels_of(life.p), 0).max(axis=1)
    return np.stack([life.earned, discoveries(life), life.knows.sum(axis=1), deepest])[:, list(seats)]


def _known_over_time(life: Life) -> np.ndarray:
    """How many things were known after each part of the horizon, by anybody."""
    known = known_at(life, range(life.p.agents))
    return (known[:, None] <= np.linspace(0, life.p.horizon, _PARTS + 1)).sum(axis=0)


# ------------------------------------------------------------------------------------------------- in words
def _number(value: float) -> str:
    return "-" if np.isnan(value) else f"{value:.2f}"


def _who(seats: Sequence[str]) -> str:
    """Who sits where, neighbours together."""
    parts, first = [], 0
    for name, group in itertools.groupby(seats):
        last = first + len(list(group)) - 1
        parts.append(f"{f'seat {first}' if first == last else f'seats {first} to {last}'}: {name}")
        first = last + 1
    return "; ".join(parts)


def _apart(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Differences of [run, box] and [run, box], by pairs of runs: as many as the population of fewer has, if it has several."""
    runs = min(len(one), len(other)) if min(len(one), len(other)) > 1 else max(len(one), len(other))
    a, b = (each if len(each) == 1 else _grouped(each, runs) for each in (one, other))
    return a - b


def _grouped(values: np.ndarray, groups: int) -> np.ndarray:
    """The means of so many groups of runs, [group, box]."""
    return np.stack([group.mean(axis=0) for group in np.array_split(values, groups)])


def _shared(one: Population, other: Population) -> tuple[list[int], list[int]]:
    """The boxes that two populations share, by their numbers in both."""
    at = {place: k for k, place in enumerate(other.places)}
    here = [k for k, place in enumerate(one.places) if place in at]
    return here, [at[one.places[k]] for k in here]


def _of(values: Mapping[str, np.ndarray], name: str) -> np.ndarray:
    if name not in values:
        raise ValueError(f"{name!r} is not measured here; these are: {', '.join(values)}")
    return values[name]
