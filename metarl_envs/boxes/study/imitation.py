"""How alike two populations behave in boxes: the imitation gap.

Each box that was lived is a point: shares of kinds of actions, times of discoveries, and use of notes (`features`). Each number
is standardised on the points of both populations together, and divided by the root of how many numbers there are of its kind,
so that the three kinds weigh alike; a number that is equal in all points is left out. The gap is the energy distance of
Székely & Rizzo (2013) between the two clouds of points,

    2 E|X - Y| - E|X - X'| - E|Y - Y'|,

each mean taken over pairs of points from different boxes: what two populations have in common because they live in the same
box is in none of them. Within a population of several runs, pairs are of different runs too: what a player has in common with
itself is in none of them either. So where both populations are several runs, and players are drawn alike, it is 0 in the mean,
however few boxes and runs there are, and may then be slightly negative. A population of one run is that player alone: there it
is 0 in the mean where nobody in the other population does anything else. Beside it stands, for each population, the gap between
two halves of itself, by the same yardstick.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy.spatial.distance import cdist

from metarl_envs.boxes.study.measures import Life, note_precision, note_recall
from metarl_envs.boxes.world.mechanisms import verbs_of
from metarl_envs.boxes.world.notes import WHEN
from metarl_envs.boxes.world.texts import numbers_of_actions
from metarl_envs.boxes.world.tree import levels_of
from metarl_envs.players.run import Run

#: Numbers of one point, by kind and name.
Features = dict[str, dict[str, float]]


class Gap(NamedTuple):
    """How far two populations are from one another.

    Attributes:
        distance: between them; 0 in the mean where nothing differs (see the module).
        halves: between two halves of each: every other run, or of fewer than four runs every other box. NaN where there are
            too few points for that.
        p: of the permutation test of no difference: how often a deal at random is as far apart (see `gap`).
        boxes: how many boxes both share.
    """

    distance: float
    halves: tuple[float, float]
    p: float
    boxes: int


def features(run: Run, lives: Sequence[Life], seats: Sequence[int]) -> list[Features]:
    """Return the point of each box of a run.

    * `actions`: for each kind of action that the box has, its share of what these seats did.
    * `discoveries`: when somebody in these seats first knew something of each level, and when they knew 1, 2, 4, ... things, as
      shares of the horizon; 1 stands for never.
    * `notes`: what share of all entries is written at the end, when these were written (in the mean, as a share of the
      horizon), how many of them are true (`note_precision`), and how much of the way to the deepest invention they tell
      (`note_recall`); 0 where nothing is written. Of the whole box: who wrote what is not kept.

    Args:
        run: the run.
        lives: its boxes, as `measures.lives` tells them.
        seats: whose behaviour it is.
    """
    verbs, chosen = verbs_of(run.variant.p), list(seats)
    actions = numbers_of_actions(run.variant.p, run.actions)[:, :, chosen]
    shares = {verb.name: _share(actions, verbs.first[verb.name], verbs.counts[verb.name]) for verb in verbs}
    return [
        {
            "actions": {name: float(share[b]) for name, share in shares.items()},
            "discoveries": _discoveries(life, chosen),
            "notes": _notes(life),
        }
        for b, life in enumerate(lives)
    ]


def _share(actions: np.ndarray, first: int, count: int) -> np.ndarray:
    """The share of all actions that are from `first` on, of `count`, [box]."""
    return ((actions >= first) & (actions < first + count)).mean(axis=(1, 2))


def known_at(life: Life, seats: Sequence[int]) -> np.ndarray:
    """Return the step after which somebody in these seats first knew each item, [items]; the horizon and 1 where nobody did."""
    since = life.since[list(seats)]
    return np.where(since < 0, life.p.horizon + 1, since).min(axis=0)


def _discoveries(life: Life, seats: Sequence[int]) -> dict[str, float]:
    known, levels, horizon = known_at(life, seats), levels_of(life.p), life.p.horizon
    found = {f"level {level}": known[levels == level].min() for level in range(1, int(levels.max()) + 1)}
    times = np.sort(known[levels > 0])
    found |= {f"{2**k} known": times[2**k - 1] for k in range(len(times).bit_length())}
    return {name: float(min(time, horizon) / horizon) for name, time in found.items()}


def _notes(life: Life) -> dict[str, float]:
    room = life.p.agents * life.p.notes + life.p.board
    return {
        "written": len(life.notes) / room if room else 0.0,
        "when": float(life.notes[:, WHEN].mean() / life.p.horizon) if len(life.notes) else 0.0,
        "precision": float(np.nan_to_num(note_precision(life))),
        "recall": float(np.nan_to_num(note_recall(life))),
    }


# ------------------------------------------------------------------------------------------------- distances
def standardised(points: Sequence[Features]) -> np.ndarray:
    """Return points as rows of numbers that can be compared, [point, number]: see the module."""
    columns = []
    for kind in points[0]:
        values = np.array([list(point[kind].values()) for point in points])
        spread = values.std(axis=0)
        kept = spread > 1e-12
        columns.append((values[:, kept] - values[:, kept].mean(axis=0)) / (spread[kept] * np.sqrt(max(1, kept.sum()))))
    return np.concatenate(columns, axis=1)


def gap(one: Sequence[Sequence[Features]], other: Sequence[Sequence[Features]], permutations: int, seed: int) -> Gap:
    """Return how far two populations are apart.

    Where there are several runs of a population, the test deals whole runs anew, since what one player does in several boxes
    hangs together: it tells of players in general. (With one run against k others no p is below 1 / (k + 1).) Where there is
    one run of each, it swaps in each box by itself, with chance 1/2, what the two did there: it tells of these two players.

    Args:
        one: points of a population, by run and box; all have the same boxes in the same order.
        other: of another one, in the same boxes.
        permutations: how many deals at random.
        seed: of these.

    Raises:
        ValueError: there are fewer than two boxes.
    """
    runs, boxes = (len(one), len(other)), len(one[0])
    if boxes < 2:
        raise ValueError(f"there are {boxes} boxes that both have, and a distance between populations needs 2")
    points = standardised([point for run in (*one, *other) for point in run])
    far = cdist(points, points)
    first = np.repeat(np.arange(sum(runs)) < runs[0], boxes)
    elsewhere, others = _differ(np.tile(np.arange(boxes), sum(runs))), _differ(np.repeat(np.arange(sum(runs)), boxes))
    within = [elsewhere * others if count > 1 else elsewhere for count in runs]
    deals = _deals(*runs, boxes, permutations, np.random.default_rng(seed))
    found = energy_distance(far, (elsewhere, *within), np.concatenate([first[None], deals]), np.ones(len(first), bool))
    halves = [
        float(energy_distance(far, (pairs,) * 3, _half(count, boxes, start, len(first))[None], among)[0])
        for count, start, among, pairs in zip(runs, (0, runs[0] * boxes), (first, ~first), within, strict=True)
    ]
    p = (1 + (found[1:] >= found[0] - 1e-12).sum()) / (1 + permutations)
    return Gap(float(found[0]), (halves[0], halves[1]), float(p), boxes)


def energy_distance(far: np.ndarray, counted: Sequence[np.ndarray], first: np.ndarray, among: np.ndarray) -> np.ndarray:
    """Return the energy distance between two sets of points, for each of several ways to part them, [way].

    Args:
        far: distances between points, [point, point].
        counted: 1 where a pair counts, else 0, [point, point]: of one from each set; within the first; within the second.
        first: which points are in the first set, bool [way, point].
        among: the points that are in either, bool [point].
    """
    one, two = (first & among).astype(float), (~first & among).astype(float)

    def mean(a: np.ndarray, b: np.ndarray, pairs: np.ndarray) -> np.ndarray:
        count, total = ((a @ pairs) * b).sum(axis=1), ((a @ (far * pairs)) * b).sum(axis=1)
        return np.divide(total, count, out=np.full(len(a), np.nan), where=count > 0)

    return 2 * mean(one, two, counted[0]) - mean(one, one, counted[1]) - mean(two, two, counted[2])


def _differ(of_points: np.ndarray) -> np.ndarray:
    """1 for each pair of points that differ in this, else 0, [point, point]."""
    return (of_points[:, None] != of_points).astype(float)


def _deals(one: int, other: int, boxes: int, count: int, rng: np.random.Generator) -> np.ndarray:
    """At random, which points are in the first population, bool [deal, point]; points by population, run and box."""
    labels = np.arange(one + other) < one
    if one + other > 2:
        return np.repeat(rng.permuted(np.tile(labels, (count, 1)), axis=1), boxes, axis=1)
    dealt = rng.permuted(np.tile(labels, (count, boxes, 1)), axis=2)
    return dealt.transpose(0, 2, 1).reshape(count, -1)


def _half(runs: int, boxes: int, start: int, points: int) -> np.ndarray:
    """One half of a population, bool [point]: every other run, or every other box where a half would be a single run."""
    mine = np.zeros(points, bool)
    halves = np.arange(runs)[:, None] % 2 == np.zeros(boxes) if runs > 3 else np.arange(boxes)[None] % 2 == 0
    mine[start : start + runs * boxes] = np.broadcast_to(halves, (runs, boxes)).reshape(-1)
    return mine
