"""What happened in boxes, in numbers: one row a box.

Throughout, agent i *knows* an item, an invention (no base), if it held the true thing after some step, or made it; what only
seems to be made is never known. K_i is the set of items that agent i ever knew; agents are 0 .. N-1.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from types import SimpleNamespace

import numpy as np

from metarl_envs.boxes.study.claims import ClaimRecord, Claims
from metarl_envs.boxes.study.claims import columns as columns_of_claims
from metarl_envs.boxes.study.generations import Chronicle, Generations, columns
from metarl_envs.boxes.study.runs import of_boxes
from metarl_envs.boxes.study.truth import are_true
from metarl_envs.boxes.study.writing import Writing, WritingRecord
from metarl_envs.boxes.study.writing import columns as columns_of_writing
from metarl_envs.boxes.world.claims import has_claims
from metarl_envs.boxes.world.core import REAL
from metarl_envs.boxes.world.lives import has_lives
from metarl_envs.boxes.world.notes import BOOKS, MADE, WHEN, A, B
from metarl_envs.boxes.world.tree import NOTHING, items_of, levels_of
from metarl_envs.players.run import Run


@dataclass(frozen=True, eq=False)
class Life:
    """What is kept of one box that was lived to the end.

    Attributes:
        p: the parameters.
        recipes: int [items, recipes, 2], -1 for bases.
        since: the step after which an agent first knew an item, int [agents, items]; -1: never.
        first_by: who made an item first, int [items]; -1: nobody.
        earned: the return of each agent, [agents].
        by_day: the highest level that an agent knew on a day, int [days, agents]; no days where memory is never reset.
        notes: what is written at the end, in notebooks and on the noticeboard, int [entries, 4] (see `world.notes.A`).
        illegal: actions that did nothing because they were not allowed.
        posts: how many entries were posted on the noticeboard (claims are none).
        generations: what became of generations; None where nobody dies.
        claims: what became of claims; None where there are none.
        writing: how notes were used; None where there are none.
    """

    p: SimpleNamespace
    recipes: np.ndarray
    since: np.ndarray
    first_by: np.ndarray
    earned: np.ndarray
    by_day: np.ndarray
    notes: np.ndarray
    illegal: int
    posts: int = 0
    generations: Generations | None = None
    claims: Claims | None = None
    writing: Writing | None = None

    @property
    def knows(self) -> np.ndarray:
        """Whether an agent ever knew an item, bool [agents, items]."""
        return self.since >= 0


def measure(run: Run) -> list[dict[str, float]]:
    """One flat table: a dict for each box, the same columns in each. NaN stands where a measure has no meaning.

    Columns: `box`, `seed`, and what the functions of this module define: `inventions`, `depth`, `mean_depth`, `crossover`,
    `spread_time`, `spread_share`, `diversity`, `inventories`, `conformity`, `gini_wealth`, `gini_discoveries`, `notes`,
    `note_precision`, `note_recall`, `note_depth`, `illegal`, `return`, `return_first` and `return_last` (what the agent in the
    first seat earned, and the one in the last); where there is a noticeboard, `posts`, how many entries were posted there that
    are no claims; where there are days, `depth_day_1`, `depth_day_2`, ... (`depth_by_day`)
    and `depth_slope`; and, where agents die, what `study.generations` defines: `depth_generation_1`, ..., `generation_slope`,
    `loss_rate`, `rediscovery_time` and `rediscovery_share`; and, where there are claims, what `study.claims` defines: `claims`,
    `claim_precision`, `claim_precision_generation_1`, ..., `false_half_life`, `replication_share` and `retraction_share`; and,
    where there are notebooks or a board, what `study.writing` defines: `note_bytes`, `note_writes`, `rewriting`, `read_first`.
    Where notes are no experiments (`notation`), `note_precision`, `note_recall` and `note_depth` are NaN.

    Raises:
        ValueError: the run was not played in boxes, or does not repeat (see `Run.replay`).
    """
    return [{"box": b, "seed": int(run.seeds[b]), **measures_of(life)} for b, life in enumerate(lives(run))]


def column(table: list[dict[str, float]], name: str) -> np.ndarray:
    """One column of a table, float64 [boxes]; ValueError where there is none of that name."""
    if table and name not in table[0]:
        raise ValueError(f"there is no column {name!r}; there are: {', '.join(table[0])}")
    return np.array([row[name] for row in table], float)


def measures_of(life: Life) -> dict[str, float]:
    """All measures of one box."""
    row = {
        "inventions": inventions(life),
        "depth": depth(life),
        "mean_depth": mean_depth(life),
        "crossover": crossover(life),
        "spread_time": spread_time(life),
        "spread_share": spread_share(life),
        "diversity": diversity(life),
        "inventories": inventories(life),
        "conformity": conformity(life),
        "gini_wealth": gini(life.earned),
        "gini_discoveries": gini(discoveries(life)),
        "notes": len(life.notes),
        "note_precision": note_precision(life),
        "note_recall": note_recall(life),
        "note_depth": note_depth(life),
        "illegal": life.illegal,
        "return": float(life.earned.sum()),
        "return_first": float(life.earned[0]),
        "return_last": float(life.earned[-1]),
    }
    days = depth_by_day(life)
    row |= {"posts": life.posts} if life.p.board else {}
    row |= {f"depth_day_{d}": float(value) for d, value in enumerate(days, 1)}
    row |= {"depth_slope": slope(days)} if len(days) else {}
    row |= columns(life.p, life.generations) if life.generations else {}
    row |= columns_of_writing(life.writing) if life.writing else {}
    return row | (columns_of_claims(life.claims) if life.claims else {})


# ------------------------------------------------------------------------------------------------- living again
def lives(run: Run) -> list[Life]:
    """Live the boxes of a run again, and keep of each what measures need."""
    p, boxes = of_boxes(run).variant.p, len(run)
    shape = boxes, p.agents, items_of(p)
    levels, bases = levels_of(p), p.lineages * p.bases
    since = np.full(shape, -1, np.int32)
    earned, posts = np.zeros(shape[:2]), np.zeros(boxes, int)
    today, days = np.zeros(shape[:2], int), []
    states = np.zeros(0)
    chronicle = Chronicle(p, boxes, shape[2]) if has_lives(p) else None
    record = ClaimRecord(p, np.asarray(run.tasks["recipe"])) if has_claims(p) else None
    written = WritingRecord(p, boxes) if p.notes + p.board else None
    for t, states in enumerate(run.replay()):
        if t == 0:
            continue
        known = states["held"] == REAL
        made = states["made"]
        known[(*np.nonzero(made != NOTHING), made[made != NOTHING])] = True  # also what is forgotten in the same instant
        known[..., :bases] = False
        since[known & (since < 0)] = t
        earned += states["reward"]
        if chronicle:
            chronicle.tell(t, states, known)
        if record:
            record.tell(t, states)
        if p.board:
            posts += _posted_in(p, t, states)
        if written:
            written.tell(t, states)
        today = np.maximum(today, np.where(known, levels, 0).max(axis=2))
        if p.day and t % p.day == 0:
            days.append(today)
            today = np.zeros(shape[:2], int)
    by_day = np.array(days, int).reshape(len(days), *shape[:2])
    return [
        Life(
            p,
            np.asarray(run.tasks[b]["recipe"]),
            since[b],
            np.array(states[b]["first_by"]),
            earned[b],
            by_day[:, b],
            _written(p, states[b]),
            int(states[b]["illegal"].sum()),
            int(posts[b]),
            chronicle.of(b) if chronicle else None,
            record.of(b) if record else None,
            written.of(b) if written else None,
        )
        for b in range(boxes)
    ]


def _posted_in(p: SimpleNamespace, t: int, states: np.ndarray) -> np.ndarray:
    """How many entries were posted in step t, int [boxes]."""
    new = states["board"][..., WHEN] == t - 1
    return (new & (states["claimed"] == 0) if has_claims(p) else new).sum(axis=1)


def _written(p: SimpleNamespace, state: np.void) -> np.ndarray:
    """All entries that are not empty, int [entries, 4]."""
    books = [np.asarray(state[book.field]).reshape(-1, 4) for book in BOOKS if getattr(p, book.size)]
    entries = np.concatenate([*books, np.zeros((0, 4), np.int16)]).astype(int)
    return entries[entries[:, WHEN] >= 0]


# ------------------------------------------------------------------------------------------------- inventing
def inventions(life: Life) -> int:
    """How many different items were made: |{x : somebody made x}|."""
    return int((life.first_by >= 0).sum())


def depth(life: Life) -> int:
    """The highest level of an item that was made; 0 if none was."""
    return int(np.where(life.first_by >= 0, levels_of(life.p), 0).max())


def mean_depth(life: Life) -> float:
    """The highest level that an agent ever knew, averaged over agents: 1/N sum_i max({0} + {level(x) : x in K_i})."""
    return float(np.where(life.knows, levels_of(life.p), 0).max(axis=1).mean())


def crossover(life: Life) -> float:
    """The share of agents that ever knew an item of a crossover level: |{i : some x in K_i, level(x) mod X = 0}| / N.

    NaN where the tree has no crossover levels (X = 0).
    """
    if not life.p.crossover:
        return np.nan
    crossing = levels_of(life.p) % life.p.crossover == 0  # bases are never in K_i
    return float(life.knows[:, crossing].any(axis=1).mean())


def depth_by_day(life: Life) -> np.ndarray:
    """The highest level that an agent knew on a day, averaged over agents, [days]. A day that is not over is left out."""
    return life.by_day.mean(axis=1)


def slope(days: np.ndarray) -> float:
    """The slope of a least-squares line through values by day, levels a day; NaN for fewer than two days.

    sum_d (d - mean d)(v_d - mean v) / sum_d (d - mean d)^2.
    """
    if len(days) < 2:
        return np.nan
    d = np.arange(len(days)) - (len(days) - 1) / 2
    return float((d * (days - days.mean())).sum() / (d * d).sum())


# ------------------------------------------------------------------------------------------------- spreading
def _spreads(life: Life) -> Iterator[int | None]:
    """For each invention the steps from when it was first known until half of the agents, or more, knew it; None: never."""
    half = -(-life.p.agents // 2)
    for x in np.flatnonzero(life.knows.any(axis=0)):
        times = np.sort(life.since[life.knows[:, x], x])
        yield int(times[half - 1] - times[0]) if len(times) >= half else None


def spread_time(life: Life) -> float:
    """Mean steps from when an invention was first known until ceil(N/2) agents knew it, over those that came so far.

    NaN where none did, and in a box of fewer than three agents, where one agent is half of them. To be read beside
    `spread_share`: where little spreads, only what spreads fast is in the mean.
    """
    times = [time for time in _spreads(life) if time is not None]
    return float(np.mean(times)) if times and life.p.agents > 2 else np.nan


def spread_share(life: Life) -> float:
    """The share of inventions that ceil(N/2) agents came to know; NaN where there are none, or fewer than three agents."""
    times = list(_spreads(life))
    return float(np.mean([time is not None for time in times])) if times and life.p.agents > 2 else np.nan


# ------------------------------------------------------------------------------------------------- who is like whom
def diversity(life: Life) -> float:
    """How little agents' knowledge overlaps: |K_0 + ... + K_(N-1)| / (|K_0| + ... + |K_(N-1)|), + being the union.

    1 where no two agents know the same thing, 1/N where all know all; NaN where nobody knows anything.
    """
    total = life.knows.sum()
    return float(life.knows.any(axis=0).sum() / total) if total else np.nan


def inventories(life: Life) -> int:
    """How many different sets there are among K_0, ..., K_(N-1): 1 .. N."""
    return len({row.tobytes() for row in life.knows})


def conformity(life: Life) -> float:
    """How alike two agents are: the mean over pairs of |K_i and K_j| / |K_i or K_j|, 1 where both are empty; NaN for N = 1."""
    if life.p.agents < 2:
        return np.nan
    knows = life.knows.astype(int)
    both, each = knows @ knows.T, knows.sum(axis=1)
    either = each[:, None] + each - both
    alike = np.where(either > 0, both / np.maximum(either, 1), 1.0)
    return float(alike[np.triu_indices(life.p.agents, 1)].mean())


def discoveries(life: Life) -> np.ndarray:
    """How many items each agent was the first to make, int [agents]."""
    return np.bincount(life.first_by[life.first_by >= 0], minlength=life.p.agents)


def gini(values: np.ndarray) -> float:
    """How unequal: sum_ij |v_i - v_j| / (2 N sum_i v_i), from 0 (all alike) to 1 - 1/N (one has all); 0 where all are 0."""
    total = values.sum()
    return float(np.abs(values[:, None] - values).sum() / (2 * len(values) * total)) if total else 0.0


# ------------------------------------------------------------------------------------------------- what is written
def _has_experiments(p: SimpleNamespace) -> bool:
    """Whether there are notes, and these are experiments."""
    return p.notation == "event" and p.notes + p.board > 0


def _true_notes(life: Life) -> list[bool]:
    """Whether each note is true."""
    return are_true(life.recipes[None], life.notes[None])[0].tolist()


def note_precision(life: Life) -> float:
    """The share of what is written at the end that is true; NaN where nothing is written, or no experiments.

    A note is true if its pair makes what it says, or makes nothing where it says so.
    """
    return float(np.mean(_true_notes(life))) if len(life.notes) and life.p.notation == "event" else np.nan


def note_recall(life: Life) -> float:
    """The share of the way to the deepest invention that is truly written: |written and C| / |C|.

    NaN where nothing was made, and in a box without any notes of experiments.

    The deepest invention is the first one made of the highest level, C its closure: itself and all items (but bases) that
    it is made from. With `recipes=1` there is one way to make an item, so C is unique. With more, C is the cheapest:
    C(x) is the smallest, over recipes {a, b}, of {x} + C(a) + C(b), each built from below in the same manner; other ways
    may be as good, so that a notebook with a low recall may be complete (`note_depth` says how far it leads).
    """
    levels, made = levels_of(life.p), np.flatnonzero(life.first_by >= 0)
    if not len(made) or not _has_experiments(life.p):
        return np.nan
    highest = made[levels[made] == levels[made].max()]
    target = int(min(highest, key=lambda x: (life.since[life.first_by[x], x], x)))
    needed = closure(life.recipes, target)
    told = {n[MADE] for n, true in zip(life.notes.tolist(), _true_notes(life), strict=True) if true}
    return len(needed & told) / len(needed)


def closure(recipes: np.ndarray, item: int) -> frozenset[int]:
    """The cheapest closure of an item, see `note_recall`; empty for a base. Of equally cheap ones, by the first recipe."""
    found: dict[int, frozenset[int]] = {}
    for x in range(item + 1):  # ingredients have smaller numbers
        ways = [found[a] | found[b] | {x} for a, b in recipes[x].tolist() if a != NOTHING]
        found[x] = min(ways, key=len) if ways else frozenset()
    return found[item]


def note_depth(life: Life) -> float:
    """The highest level that can be made from the bases by following true notes alone; NaN where none are experiments."""
    if not _has_experiments(life.p):
        return np.nan
    have = set(range(life.p.lineages * life.p.bases))
    notes = [n for n, true in zip(life.notes.tolist(), _true_notes(life), strict=True) if true and n[MADE] != NOTHING]
    while fresh := {n[MADE] for n in notes if n[A] in have and n[B] in have} - have:
        have |= fresh
    return float(levels_of(life.p)[list(have)].max())
