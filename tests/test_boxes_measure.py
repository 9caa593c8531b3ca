"""Measures of boxes, against a second telling of the same runs that shares no code with them, and on lives made by hand."""

import itertools
import math
from types import SimpleNamespace

import numpy as np
import pytest

from metarl_envs import boxes
from metarl_envs.boxes.study import measures, normaliser
from metarl_envs.boxes.world.mechanisms import verbs_of

SMALL = {
    "agents": 3,
    "horizon": 60,
    "day": 20,
    "notes": 3,
    "free_reading": True,
    "lineages": 2,
    "levels": 4,
    "width": 2,
    "bases": 4,
    "recipes": 2,
    "crossover": 2,
    "topology": "full",
    "dead_ends": 0.0,
}


def level(p, item):
    return 0 if item < p.lineages * p.bases else 1 + (item - p.lineages * p.bases) // (p.lineages * p.width)


def lot(noise, t, agent):
    """The lot of an agent in a step, of which the lowest is for who was the first: SplitMix64 keyed by box, step and agent."""
    z = noise
    for factor, number in ((0x9E3779B97F4A7C15, 15), (0xD1B54A32D192ED03, t), (0x8CB92BA72F3D8DD7, agent)):
        z = (z + factor * number) % 2**64
        z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9 % 2**64
        z = (z ^ (z >> 27)) * 0x94D049BB133111EB % 2**64
        z ^= z >> 31
    return z


class Told:
    """One box of a run, lived in plain Python: everybody sees everybody, copies are sure, nothing is an illusion."""

    def __init__(self, run, b):
        p = self.p = run.variant.p
        self.noise = int(next(run[b : b + 1].replay())["noise"][0])
        self.verbs = verbs_of(p)
        self.recipes = {}
        for item, ways in enumerate(run.tasks[b]["recipe"].tolist()):
            for pair in ways:
                if pair[0] >= 0:
                    self.recipes[frozenset(pair)] = item
        self.bases = set(range(p.lineages * p.bases))
        self.held = [set(self.bases) for _ in range(p.agents)]
        self.hand, self.tried = [None] * p.agents, [None] * p.agents
        self.notes, self.opened = [{} for _ in range(p.agents)], [False] * p.agents
        self.ever = [{} for _ in range(p.agents)]  # item: step
        self.first, self.returns, self.illegal = {}, [0.0] * p.agents, 0
        self.today, self.days = [0] * p.agents, []
        for t, actions in enumerate(run.actions[b].tolist(), 1):
            self.step(t, actions)

    def step(self, t, actions):
        made = [self.act(i, action) for i, action in enumerate(actions)]
        dawn = self.p.day and t % self.p.day == 0
        for i, item in enumerate(made):
            if item is None:
                continue
            beside = [j for j, other in enumerate(made) if other == item]
            self.first.setdefault(item, (t, min(beside, key=lambda j: lot(self.noise, t - 1, j))))
            self.returns[i] += level(self.p, item)
        for i in range(self.p.agents):
            for item in made:
                if item is not None and self.p.topology == "full":
                    self.held[i].add(item)
            kept = set() if dawn else self.held[i] - self.bases  # what is copied as the day ends is forgotten at once
            known = kept | ({made[i]} - {None})
            for item in known:
                self.ever[i].setdefault(item, t)
            self.today[i] = max([self.today[i], *(level(self.p, item) for item in known)])
        if dawn:
            self.opened = [False] * self.p.agents
            self.days.append(sum(self.today) / self.p.agents)
            self.held = [set(self.bases) for _ in range(self.p.agents)]
            self.hand, self.tried, self.today = [None] * self.p.agents, [None] * self.p.agents, [0] * self.p.agents

    def act(self, i, action):
        verbs, item = self.verbs, None
        if action < verbs.wait:
            if action not in self.held[i] or action == self.hand[i]:
                self.illegal += 1
            elif self.hand[i] is None:
                self.hand[i] = action
            else:
                pair, self.hand[i] = frozenset((self.hand[i], action)), None
                seemed = self.recipes.get(pair)
                self.tried[i] = pair, seemed
                if seemed is not None and seemed not in self.held[i]:
                    item = seemed
                    self.held[i].add(item)
        elif verbs.note <= action < verbs.erase:
            if self.tried[i]:
                self.notes[i][action - verbs.note] = self.tried[i]
            else:
                self.illegal += 1
        elif verbs.erase <= action < verbs.read and self.notes[i].pop(action - verbs.erase, None) is None:
            self.illegal += 1
        elif action == verbs.read:  # the only page
            self.illegal += self.opened[i]
            self.opened[i] = True
        return item

    def closures(self, item):
        """Every closure there is of an item."""
        if item in self.bases:
            return {frozenset()}
        ways = [pair for pair, made in self.recipes.items() if made == item]
        return {
            frozenset({item}) | one | other
            for a, b in map(tuple, ways)
            for one in self.closures(a)
            for other in self.closures(b)
        }

    def measures(self):
        p, known = self.p, [set(ever) for ever in self.ever]
        deepest = max((level(p, item) for item in self.first), default=0)
        everything = set().union(*known)
        total = sum(map(len, known))
        spread = []
        for item in everything:
            times = sorted(ever[item] for ever in self.ever if item in ever)
            spread.append(times[math.ceil(p.agents / 2) - 1] - times[0] if len(times) >= p.agents / 2 else None)
        entries = [entry for notes in self.notes for entry in notes.values()]
        true = [entry for entry in entries if self.recipes.get(entry[0]) == entry[1]]
        pairs = list(itertools.combinations(known, 2))
        row = {
            "inventions": len(self.first),
            "depth": deepest,
            "mean_depth": np.mean([max((level(p, x) for x in k), default=0) for k in known]),
            "crossover": np.mean([any(level(p, x) % p.crossover == 0 for x in k) for k in known]),
            "spread_time": np.mean([s for s in spread if s is not None] or [np.nan]),
            "spread_share": np.mean([s is not None for s in spread]) if spread else np.nan,
            "diversity": len(everything) / total if total else np.nan,
            "inventories": len(set(map(frozenset, known))),
            "conformity": np.mean([len(a & b) / len(a | b) if a | b else 1.0 for a, b in pairs] or [np.nan]),
            "gini_wealth": gini(self.returns),
            "gini_discoveries": gini([sum(i == j for _, i in self.first.values()) for j in range(p.agents)]),
            "notes": len(entries),
            "note_precision": len(true) / len(entries) if entries else np.nan,
            "note_depth": self.reach(true),
            "illegal": self.illegal,
            "return": sum(self.returns),
        }
        return row | {f"depth_day_{d}": depth for d, depth in enumerate(self.days, 1)}

    def reach(self, notes):
        have = set(self.bases)
        for _ in range(len(notes)):
            have |= {made for pair, made in notes if made is not None and pair <= have}
        return max(level(self.p, item) for item in have)


def gini(values):
    """By the Lorenz curve: 1 - 2 * the area below it."""
    values = sorted(values)
    if not sum(values):
        return 0.0
    lorenz = np.concatenate([[0], np.cumsum(values) / sum(values)])
    return 1 - 2 * ((lorenz[1:] + lorenz[:-1]) / 2).sum() / len(values)


class Clumsy:
    """Any action, allowed or not; what is worth more, more often."""

    def __init__(self, *, action_space, seed, **_):
        self.actions, self.rng = action_space.n, np.random.default_rng(seed)

    def act(self, moment):
        return self.rng.integers(self.actions)


@pytest.mark.slow
@pytest.mark.parametrize(
    "params",
    [
        {},
        {"topology": "isolated"},
        {"day": 0},
        {"day": 7},
        {"agents": 1, "topology": "isolated", "recipes": 1},
    ],
    ids=str,
)
def test_measures_are_those_of_a_second_telling(params):
    params = {**SMALL, **params}
    others = {"others": "notes_fifo"} if params["agents"] > 1 else {}
    run = boxes.run("AmnesiaBox", {0: boxes.Seat(Clumsy) if others else "notes_fifo", **others}, boxes=12, seed=7, **params)
    table = boxes.measure(run)
    assert sum(row["inventions"] > 0 for row in table) > 6
    for b, row in enumerate(table):
        told = Told(run, b)
        for name, value in told.measures().items():
            if (params["agents"] < 3 and name.startswith("spread")) or (params["agents"] < 2 and name == "conformity"):
                value = np.nan
            assert row[name] == pytest.approx(value, nan_ok=True), name
        check_recall(told, row)


def check_recall(told, row):
    """With one recipe an item the closure is unique; with several it is one of the smallest that there are."""
    if not told.first:
        assert np.isnan(row["note_recall"])
        return
    deepest = max(level(told.p, item) for item in told.first)
    target = min((t, i, item) for item, (t, i) in told.first.items() if level(told.p, item) == deepest)
    ties = [x for x, (t, _) in told.first.items() if level(told.p, x) == deepest and t == target[0]]
    written = {
        made for notes in told.notes for pair, made in notes.values() if made is not None and told.recipes.get(pair) == made
    }
    closures = [c for x in ties for c in told.closures(x)]
    if told.p.recipes == 1:
        assert len(closures) == len(ties)
    assert any(row["note_recall"] == pytest.approx(len(c & written) / len(c)) for c in closures)


def life(**changes):
    """Two agents; bases 0 and 1; items 2 and 3 of level 1, 4 and 5 of level 2, each made of one pair."""
    p = SimpleNamespace(agents=2, lineages=1, bases=2, levels=2, width=2, recipes=1, crossover=2, notes=4, board=0)
    p.notation = "event"
    recipes = np.array([[[-1, -1]], [[-1, -1]], [[0, 1]], [[0, 0]], [[2, 1]], [[2, 3]]])
    never = np.full((2, 6), -1)
    given = {
        "p": p,
        "recipes": recipes,
        "since": never,
        "first_by": np.full(6, -1),
        "earned": np.zeros(2),
        "by_day": np.zeros((0, 2), int),
        "notes": np.zeros((0, 4), int),
        "illegal": 0,
    }
    return measures.Life(**{**given, **changes})


@pytest.mark.plain
def test_posts_are_counted_and_claims_are_none_of_them():
    params = {**SMALL, "notes": 0, "board": 3, "page": 3, "levels": 2, "lineages": 1, "crossover": 0, "topology": "isolated"}
    claiming = {"lifespan": 30, "channel": "board", "selection": "approval"}
    for box, more in (("AmnesiaBox", {}), ("SealedBox", claiming)):
        run = boxes.run(box, {"all": "random"}, boxes=2, seed=4, **params, **more)
        table, verbs = measures.measure(run), verbs_of(run.variant.p)
        posts, claims = np.zeros(2, int), np.zeros(2, int)
        states = [np.array(state) for state in run.replay()]
        for t, (before, after) in enumerate(itertools.pairwise(states)):
            for b in range(2):
                for k in range(3):
                    posted, claimed = (
                        any(action == first + k and before[b]["tried"][i, 0] >= 0 for i, action in enumerate(run.actions[b, t]))
                        for first in (verbs.post, verbs.first.get("claim", verbs.end))
                    )
                    new = after[b]["board"][k, 3] == t
                    is_claim = new and box == "SealedBox" and after[b]["claimed"][k] == 1
                    assert new == posted or claimed
                    posts[b] += new and not is_claim
                    claims[b] += is_claim
        assert [row["posts"] for row in table] == posts.tolist()
        assert posts.min() > 0
        assert [row["claims"] for row in table] == claims.tolist() if more else "claims" not in table[0]


def test_where_nothing_happened_measures_are_zero_or_have_no_meaning():
    row = measures.measures_of(life())
    zero = {"inventions", "depth", "mean_depth", "crossover", "gini_wealth", "gini_discoveries", "notes", "note_depth"}
    assert {name for name, value in row.items() if value == 0} == zero | {"illegal", "return", "return_first", "return_last"}
    assert row["conformity"] == row["inventories"] == 1
    undefined = {"spread_time", "spread_share", "diversity", "note_precision", "note_recall"}
    assert {name for name, value in row.items() if np.isnan(value)} == undefined


def test_measures_of_a_life_made_by_hand():
    since = np.array([[-1, -1, 3, 5, 9, -1], [-1, -1, 4, -1, -1, -1]])
    notes = np.array([[0, 1, 2, 3], [1, 2, 4, 9], [2, 2, 5, 9], [0, 3, -1, 9]])
    row = measures.measures_of(
        life(
            since=since,
            first_by=np.array([-1, -1, 0, 0, 0, -1]),
            earned=np.array([4.0, 0.0]),
            by_day=np.array([[1, 0], [2, 1]]),
            notes=notes,
        )
    )
    assert (row["inventions"], row["depth"], row["mean_depth"], row["crossover"]) == (3, 2, 1.5, 0.5)
    assert (row["diversity"], row["inventories"], row["conformity"]) == (3 / 4, 2, 1 / 3)
    assert (row["gini_wealth"], row["gini_discoveries"]) == (0.5, 0.5)
    assert (row["return"], row["return_first"], row["return_last"]) == (4.0, 4.0, 0.0)
    assert row["note_precision"] == 3 / 4  # 2 and 2 make nothing, 0 and 3 neither, and one note says so
    assert (row["note_recall"], row["note_depth"]) == (1.0, 2)  # item 4 is made of 2 and 1, 2 of 0 and 1
    assert (row["depth_day_1"], row["depth_day_2"], row["depth_slope"]) == (0.5, 1.5, 1.0)


def test_the_cheapest_closure_is_taken():
    none = [-1, -1]
    recipes = np.array([[none] * 2, [none] * 2, [[0, 1], none], [[2, 1], none], [[3, 2], [2, 0]], [[4, 3], [4, 2]]])
    assert measures.closure(recipes, 4) == {2, 4}
    assert measures.closure(recipes, 5) == {2, 4, 5}
    assert measures.closure(recipes, 0) == set()


def test_gini_is_that_of_the_lorenz_curve():
    rng = np.random.default_rng(0)
    for n in (1, 2, 5, 12):
        values = rng.integers(0, 9, n)
        assert measures.gini(values) == pytest.approx(gini(values.tolist()))
    assert measures.gini(np.array([0, 0, 0, 5])) == 0.75


def test_a_column_that_is_not_there_is_named():
    with pytest.raises(ValueError, match="no column 'wealth'; there are: box, seed"):
        boxes.column([{"box": 0, "seed": 0}], "wealth")


# ------------------------------------------------------------------------------------------------- the scale
@pytest.mark.slow
def test_a_score_is_zero_at_the_null_and_one_at_the_oracle():
    params = {**SMALL, "day": 0}
    row = normaliser.compute("AmnesiaBox", split=None, seed=3, boxes=6, **params)
    scores = {}
    for agent in ("random", "never_repeat", "oracle"):
        run = boxes.run("AmnesiaBox", {"all": agent}, boxes=6, seed=3, **params)
        scores[agent] = boxes.score(run, row=row)
        if agent != "never_repeat":
            assert boxes.score(run, "depth", "random", row).mean() == pytest.approx(float(agent == "oracle"), abs=1e-4)
    assert scores["never_repeat"].mean() == pytest.approx(0, abs=1e-4)
    assert scores["oracle"].mean() == pytest.approx(1, abs=1e-4)
    assert scores["random"].mean() < 0
    for given in ({"measured": "wealth"}, {"null": "oracle"}):
        with pytest.raises(ValueError, match="must be one of"):
            boxes.score(run, row=row, **given)


@pytest.mark.plain
def test_without_a_scale_there_is_no_score():
    row = {"reached": {agent: dict.fromkeys(normaliser.MEASURES, 1.0) for agent in ("random", "never_repeat", "oracle")}}
    run = boxes.run("AmnesiaBox", {"all": "random"}, boxes=2, **{**SMALL, "horizon": 30})
    assert np.isnan(boxes.score(run, row=row)).all()


def test_the_shipped_table_lists_the_boxes_that_it_should():
    rows = normaliser.shipped()
    assert [(row["id"], row["params"]) for row in rows] == list(normaliser.SHIPPED)
    for row in rows:
        assert (row["seed"], row["boxes"], row["split"]) == (normaliser.SEED, normaliser.BOXES, normaliser.SPLIT)
    assert normaliser.normaliser("MetaRL/AmnesiaBox-v0", notes=0) is rows[[r["params"] for r in rows].index({"notes": 0})]


@pytest.mark.slow
@pytest.mark.parametrize("i", [2, 6, pytest.param(7, marks=pytest.mark.nightly)])
def test_the_shipped_table_is_fresh(i):
    row = normaliser.shipped()[i]
    assert normaliser.compute(row["id"], **row["params"]) == row
