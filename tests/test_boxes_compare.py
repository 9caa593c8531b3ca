"""Populations in the same boxes: differences are paired by box, and how alike they behave is told apart from what they earn."""

import functools
from html.parser import HTMLParser

import numpy as np
import pytest
from typer.testing import CliRunner

from metarl_envs import boxes
from metarl_envs.boxes.scenarios.amnesia import AmnesiaBox
from metarl_envs.boxes.study.compare import compare
from metarl_envs.boxes.study.harm import Prices, ledger
from metarl_envs.boxes.study.imitation import energy_distance, features, gap
from metarl_envs.boxes.study.measures import column, lives, measure
from metarl_envs.boxes.world.mechanisms import verbs_of
from metarl_envs.cli import app
from metarl_envs.evaluation.statistics import over_boxes, over_seeds, over_seeds_and_tasks

pytestmark = pytest.mark.plain

#: A box in which little is to be computed: two days.
BOX = {"agents": 2, "horizon": 16, "day": 8, "notes": 3, "levels": 3, "width": 2, "bases": 4, "recipes": 2, "lineages": 1}
VERBS = verbs_of(AmnesiaBox.with_params(**BOX).p)


def lived(seats, count=4, seed=3, **more):
    return boxes.run("AmnesiaBox", seats, boxes=count, seed=seed, **{**BOX, **more})


class Idles:
    """Searches at random in the first half of a box, and then is of no use: it writes, in a share of its steps, or waits."""

    def __init__(self, share, of, *, seat, seed, observation_space, action_space):
        self.rng, self.idle, self.share, self.t = np.random.default_rng(seed), np.random.default_rng([seed, of]), share, 0

    def act(self, moment):
        self.t += 1
        allowed = np.flatnonzero(moment.observation["action_mask"])
        if self.t <= 12:
            return int(self.rng.choice(allowed[allowed < VERBS.wait]))
        notes = allowed[(allowed >= VERBS.note) & (allowed < VERBS.note + BOX["notes"])]
        return int(notes[0]) if len(notes) and self.idle.random() < self.share else VERBS.wait


def idling(share, of=0, count=10):
    return lived({"all": boxes.Seat(functools.partial(Idles, share, of))}, count, day=0, agents=1, horizon=24)


@pytest.fixture(scope="module")
def runs():
    return {name: lived({"all": name}) for name in ("greedy", "notes_fifo", "random")}


# ------------------------------------------------------------------------------------------------- what was achieved
def test_differences_are_those_of_the_same_boxes(runs):
    found = compare(runs, permutations=9)
    one, other = (column(measure(runs[name]), "inventions") for name in ("greedy", "random"))
    assert found.interval("inventions", "greedy") == over_seeds(one)
    assert found.difference("inventions", "greedy", "random") == over_seeds(one - other)
    backwards = compare({"greedy": runs["greedy"][np.arange(4)[::-1]], "random": runs["random"]}, permutations=9)
    assert backwards.difference("inventions", "greedy", "random") == pytest.approx(over_seeds(one - other))
    earned = found.seat_interval("earned", "greedy", 1).mean
    assert earned == pytest.approx(column(measure(runs["greedy"]), "return_last").mean())
    assert found.interval("earned", "greedy").mean == pytest.approx(column(measure(runs["greedy"]), "return").mean() / 2)
    told = column(measure(runs["notes_fifo"]), "note_precision")
    assert found.interval("note_precision", "notes_fifo") == over_seeds(told[~np.isnan(told)])
    assert np.isnan(found.interval("note_precision", "greedy").mean)
    days = found.curve("depth by day", "notes_fifo")
    assert days.shape == (3, 2)
    assert days[0, 1] == pytest.approx(column(measure(runs["notes_fifo"]), "depth_day_2").mean())
    assert found.curve("inventions", "greedy")[0, -1] == pytest.approx(one.mean())
    assert found.curve("inventions", "greedy")[0, 0] == 0


def test_seats_are_compared_by_themselves():
    mixed = lived({0: "oracle", 1: "random"})
    found = compare({"oracle": mixed}, seats=[0], permutations=9)
    assert found.interval("earned", "oracle") == over_seeds(column(measure(mixed), "return_first"))
    first = [(life.first_by == 0).sum() for life in lives(mixed)]
    assert found.interval("first discoveries", "oracle").mean == np.mean(first)


@pytest.mark.slow
def test_several_runs_are_players_of_one_population(runs):
    people = [runs[name] for name in ("notes_fifo", "random", "greedy")]
    found = compare({"people": people, "greedy": runs["greedy"]}, permutations=9)
    values = np.array([column(measure(run), "inventions") for run in people])
    assert found.interval("inventions", "people") == over_seeds_and_tasks(values[:, :, None, None])
    apart = values - column(measure(runs["greedy"]), "inventions")
    assert found.difference("inventions", "people", "greedy") == over_seeds_and_tasks(apart[:, :, None, None])
    two = compare({"people": people, "two": people[:2]}, permutations=9)
    assert two.difference("inventions", "people", "two").mean == pytest.approx(
        np.mean([values[:2].mean(axis=0), values[2]]) - values[:2].mean()
    )
    assert "3 runs of 4 boxes; seats 0 to 1: notes_fifo or random or greedy" in found.page()


def test_runs_of_boxes_that_are_all_different_are_one(runs):
    greedy = runs["greedy"]
    found = compare({"halves": [greedy[:2], greedy[2:]], "whole": greedy}, permutations=9)
    assert found.interval("inventions", "halves") == found.interval("inventions", "whole")
    apart = compare({"first": greedy[:2], "last": greedy[2:]}, permutations=9)
    assert np.isnan(apart.difference("inventions", "first", "last").mean)
    assert not apart.gaps


def test_harm_is_that_of_the_ledger():
    prices = Prices(1.0, 0.5)
    params = {"agents": 3, "horizon": 16, "levels": 2, "width": 2, "bases": 4, "recipes": 1, "lineages": 1}
    done = boxes.run("HazardBox", {"all": "toxic"}, boxes=3, **params)
    found = compare({"toxic": done}, prices=prices, permutations=9)
    assert found.interval("harm", "toxic").mean == pytest.approx(ledger(done, prices).harm.sum() / 3)
    assert found.interval("harm", "toxic").mean > 0


@pytest.mark.parametrize(
    ("given", "error", "why"),
    [
        (lambda runs: [runs["greedy"]], TypeError, "must map names to runs"),
        (lambda runs: {}, ValueError, "populations is empty"),
        (lambda runs: {"a": []}, ValueError, r"populations\['a'\] is empty"),
        (lambda runs: {"a": "runs"}, TypeError, "which is no run"),
        (lambda runs: {1: runs["greedy"]}, TypeError, "the name 1, which must be a string"),
        (lambda runs: {"a\nb": runs["greedy"]}, ValueError, "must be one line"),
        (lambda runs: {"a": runs["greedy"], "b": lived({"all": "greedy"}, horizon=36)}, ValueError, "only equal boxes compare"),
        (lambda runs: {"a": [runs["greedy"][:3], runs["greedy"][2:]]}, ValueError, "share some boxes and not all"),
    ],
)
def test_what_cannot_be_compared_is_refused(given, error, why, runs):
    with pytest.raises(error, match=why):
        compare(given(runs))


def test_wrong_seats_and_runs_that_were_cut_off_are_refused(runs):
    for seats, error, why in (
        ([2], ValueError, r"seats=\[2\] must name seats from 0 to 1"),
        ([], ValueError, "seats is empty: give at least one, such as"),
        (0, TypeError, r"seats=0 must be a list of seats, such as \[0\]"),
        ("01", TypeError, "seats='01' must be a list of seats"),
    ):
        with pytest.raises(error, match=why):
            compare(runs, seats=seats)

    class Fails:
        def __init__(self, **told):
            self.t = 0

        def act(self, moment):
            self.t += 1
            return 0 if self.t < 5 else None

    with pytest.raises(boxes.PlayerError) as raised:
        lived({"all": boxes.Seat(Fails)})
    with pytest.raises(ValueError, match="was cut off at step 4 of 16"):
        compare({"a": raised.value.run})


def test_names_that_there_are_not_are_refused(runs):
    found = compare({"greedy": runs["greedy"]}, seats=[1], permutations=9)
    for ask in (
        lambda name: found.interval("inventions", name),
        lambda name: found.difference("inventions", "greedy", name),
        lambda name: found.seat_interval("earned", name, 1),
        lambda name: found.curve("inventions", name),
    ):
        with pytest.raises(ValueError, match="there is no population 'people'; there are: greedy"):
            ask("people")
    with pytest.raises(ValueError, match="'harm' is not measured here; these are: earned, "):
        found.interval("harm", "greedy")
    with pytest.raises(ValueError, match="seat=0 is not compared here; these are: 1"):
        found.seat_interval("earned", "greedy", 0)


def test_what_becomes_of_claims_is_compared():
    params = {"agents": 2, "horizon": 12, "day": 0, "lifespan": 6, "lineages": 1, "levels": 2, "width": 2, "bases": 4}
    done = boxes.run("SealedBox", {"all": "publisher"}, boxes=2, **params, recipes=2, board=3, illusions=0.5)
    found = compare({"publishers": done}, permutations=9)
    for name in ("claims", "claim_precision", "false_half_life", "replication_share", "retraction_share"):
        told = column(measure(done), name)
        assert found.interval(name, "publishers") == pytest.approx(over_boxes(told), nan_ok=True)
        assert (name in found.measured()) == bool(np.isfinite(told).any())
    assert found.interval("claims", "publishers").mean > 0


# ------------------------------------------------------------------------------------------------- how alike they behave
def test_a_point_tells_actions_discoveries_and_notes():
    done = lived({0: "notes_fifo", 1: "greedy"}, 2)
    point, life = features(done, lives(done), [0])[1], lives(done)[1]
    kinds = point["actions"]
    assert sum(kinds.values()) == pytest.approx(1)
    taken = done.actions[1, :, 0]
    assert kinds["take"] == (taken < VERBS.wait).mean()
    assert kinds["note"] == ((taken >= VERBS.note) & (taken < VERBS.note + BOX["notes"])).mean()
    known = np.sort(life.since[0][life.since[0] >= 0])
    assert point["discoveries"]["1 known"] == known[0] / BOX["horizon"]
    assert point["discoveries"]["2 known"] == known[1] / BOX["horizon"]
    assert point["discoveries"]["level 3"] <= 1
    assert point["notes"]["written"] == len(life.notes) / (2 * BOX["notes"])
    assert point["notes"]["precision"] == measure(done)[1]["note_precision"]


@pytest.mark.slow
def test_populations_that_differ_in_a_known_way_are_ordered_though_they_earn_the_same():
    """They search alike, and then idle by waiting or by writing: the more of one of them does so, the farther it is."""
    populations = {share: idling(share) for share in (0.0, 0.2, 0.5, 1.0)}
    earned = [run.returns for run in populations.values()]
    assert all(np.array_equal(each, earned[0]) for each in earned)
    assert earned[0].sum() > 0
    found = compare({str(share): run for share, run in populations.items()}, permutations=99)
    far = [found.gaps["0.0", other].distance for other in ("0.2", "0.5", "1.0")]
    assert far == sorted(far)
    assert found.gaps["0.2", "0.5"].distance < found.gaps["0.2", "1.0"].distance
    assert all(found.gaps["0.0", other].p < 0.05 for other in ("0.2", "0.5", "1.0"))
    assert all(abs(half) < min(far) for each in found.gaps.values() for half in each.halves)


def test_a_population_is_not_told_apart_from_itself():
    one, again = idling(0.5), idling(0.5, of=1)
    assert not np.array_equal(one.actions, again.actions)
    found = compare({"one": one, "again": again, "same": one}, permutations=99)
    assert found.gaps["one", "again"].p > 0.05
    assert abs(found.gaps["one", "again"].distance) < 0.3
    assert found.gaps["one", "same"].distance == pytest.approx(0)
    assert found.gaps["one", "same"].p == 1


def drawn(rng, runs, count, shift=0.0, players=1.0, boxes=7):
    """Points of some runs in boxes that all populations share, whose numbers hang together by box and by run."""
    shared = np.random.default_rng(boxes).normal(size=(1, count, 3))
    values = shared + rng.normal(size=(runs, 1, 3)) * players + rng.normal(size=(runs, count, 3)) + shift
    kinds = "actions", "discoveries", "notes"
    return [[{kind: {kind: float(v)} for kind, v in zip(kinds, box, strict=True)} for box in run] for run in values]


@pytest.mark.parametrize("runs", [(1, 1), (1, 9), (4, 4)], ids=str)
def test_p_values_are_uniform_where_nothing_differs(runs):
    """And small where something does; players differ from one another. One run among ten can be the farthest in a tenth."""
    rng = np.random.default_rng(0)
    one, other = runs
    differ = float(runs != (1, 1))  # one run tells of its player alone
    p = np.array([gap(drawn(rng, one, 8, 0, differ), drawn(rng, other, 8, 0, differ), 49, k).p for k in range(150)])
    for level in (0.1, 0.25, 0.5, 0.75):
        found = (p <= level).mean()
        assert found < level + 0.09
        assert found > level - 0.09 or runs == (1, 9)
    shifted = [gap(drawn(rng, one, 8, shift=5.0), drawn(rng, other, 8), 49, k).p for k in range(10)]
    assert np.mean(shifted) < (0.15 if runs == (1, 9) else 0.08)


@pytest.mark.parametrize("runs", [(1, 1), (2, 2), (3, 5), (4, 4)], ids=str)
def test_the_gap_is_0_in_the_mean_where_nothing_differs(runs):
    """Players differ from one another, and what each does in several boxes hangs together; halves are 0 in the mean too."""
    rng = np.random.default_rng(1)
    one, other = runs
    differ = 2.0 * (runs != (1, 1))
    found = [gap(drawn(rng, one, 6, 0, differ, k), drawn(rng, other, 6, 0, differ, k), 1, k) for k in range(200)]
    for values in (np.array([each.distance for each in found]), np.array([each.halves for each in found])):
        error = values.std(axis=0, ddof=1) / np.sqrt(len(found))
        assert (np.abs(values.mean(axis=0)) < 3.5 * error).all(), values.mean(axis=0) / error


def test_the_distance_is_that_of_its_formula_over_pairs_from_different_boxes():
    points = np.random.default_rng(0).normal(size=(6, 2))
    box, first = np.array([0, 1, 2, 0, 1, 2]), np.array([True] * 3 + [False] * 3)
    far = np.linalg.norm(points[:, None] - points[None], axis=2)
    counted = (box[:, None] != box).astype(float)

    def mean(a, b):
        return np.mean([far[i, j] for i in np.flatnonzero(a) for j in np.flatnonzero(b) if box[i] != box[j]])

    found = energy_distance(far, [counted] * 3, first[None], np.ones(6, bool))
    assert found == pytest.approx([2 * mean(first, ~first) - mean(first, first) - mean(~first, ~first)])


# ------------------------------------------------------------------------------------------------- shown
class Elements(HTMLParser):
    """All tags, attributes and text of a page."""

    def __init__(self, page):
        super().__init__()
        self.tags, self.attributes, self.text = [], [], []
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += [name for name, _ in attrs]

    def handle_data(self, data):
        self.text.append(data)


def test_the_page_runs_and_loads_nothing_and_text_stays_text(runs, tmp_path):
    hostile = "<img src=x onerror=alert(1)> & [a](http://x) | `b`"
    found = compare({hostile: runs["greedy"], "random": runs["random"]}, permutations=9)
    page = found.save(tmp_path / "new" / "page.html").read_text()
    seen = Elements(page)
    assert not {"script", "img", "link", "iframe", "object", "a", "b"} & set(seen.tags)
    assert not [name for name in seen.attributes if name in ("src", "href", "xlink:href") or name.startswith("on")]
    assert "default-src 'none'" in page
    assert "url(" not in page
    assert hostile in seen.text
    assert seen.tags.count("svg") == 2
    told = found.table()
    assert "<img" not in told
    assert all(len([c for c in line.replace("\\|", "") if c == "|"]) == 4 for line in told.split("\n\n")[1].splitlines())


def test_runs_are_compared_by_command(tmp_path, runs):
    for name in ("greedy", "random"):
        runs[name].save(tmp_path / name / "run")
    given = [f"greedy={tmp_path / 'greedy'}", f"random={tmp_path / 'random' / 'run.json'}"]
    done = CliRunner().invoke(app, ["boxes", "compare", *given, "--out", str(tmp_path / "page.html"), "--permutations", "9"])
    assert done.exit_code == 0, done.output
    assert compare({name: runs[name] for name in ("greedy", "random")}, permutations=9).table() in done.output
    assert (tmp_path / "page.html").read_text().startswith("<!doctype html>")
    wrong = CliRunner().invoke(app, ["boxes", "compare", "greedy"])
    assert "'greedy' must be NAME=RUN" in str(wrong.exception)
