"""The example of apprentices: what its students are shown is what happened, and what they do follows from that alone."""

import functools

import numpy as np
import pytest

from tests.an_example import load

pytestmark = pytest.mark.slow
torch = pytest.importorskip("torch")
pytest.importorskip("tyro", reason='needs tyro (pip install "metarl-envs[examples]")')

from metarl_envs import boxes  # noqa: E402
from metarl_envs.boxes.study.replay import steps  # noqa: E402
from metarl_envs.boxes.world.core import REAL  # noqa: E402

SMALL = {"bases": 8, "levels": 2, "width": 2, "recipes": 2, "structure": "grammar", "notes": 3, "free_reading": True}


@pytest.fixture(scope="module")
def example():
    return load("apprentice.py")


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    out = tmp_path_factory.mktemp("lives") / "d"
    return boxes.demonstrations("AmnesiaBox", "notes_fifo", out, boxes=8, day=20, horizon=60, **SMALL)


def walked(example, store, kind):
    """Whole lives gone through as `decisions` does: what is seen and what is remembered after each step."""
    p = boxes.make_vec("AmnesiaBox", 1, **store.about["params"]).variant.p
    lived, eyes = example.arrays_of(store), example.Eyes(p, kind.reads_notes)
    past, before = example.Past(p, len(store)), None
    for t in range(60):
        seen = eyes.read(lived["observation"][:, t], lived["action_mask"][:, t])
        if before is not None:
            dawn = lived["memory_reset"][:, t]
            past.add(before, lived["action"][:, t - 1].astype(int), seen, ~dawn)
            past.sleep(dawn)
        yield t, p, eyes, seen, past
        before = seen


def test_what_is_remembered_is_what_happened(example, store):
    run = boxes.run("AmnesiaBox", {"all": "notes_fifo"}, 8, split="train", day=20, horizon=60, **SMALL)
    states = [each.copy() for each in run.replay()]
    tried = [{} for _ in range(8)]
    for t, _, _, seen, past in walked(example, store, example.kinds(20)["whole lives"]):
        state = states[t]
        assert (seen.held == (state["held"][:, 0] == REAL)).all()
        assert (seen.hand == state["hand"][:, 0]).all()
        assert (
            seen.notes[..., :2][state["notes"][:, 0, :, 3] >= 0] == state["notes"][:, 0][..., :2][seen.notes[..., 0] >= 0]
        ).all()
        for b in range(8):
            if t % 20 and states[t - 1]["hand"][b, 0] >= 0 > state["hand"][b, 0]:  # an experiment, whose outcome is seen
                pair, made = frozenset(state["tried"][b, 0].tolist()), int(state["seemed"][b, 0])
                failed, product = tried[b].get(pair, (0, -1))
                tried[b][pair] = (failed + (made < 0), max(product, int(state["made"][b, 0])))
            for (x, y), (failed, product) in ((tuple(pair), what) for pair, what in tried[b].items()):
                assert past.failed[b, x, y] == past.failed[b, y, x] == failed
                assert past.product[b, x, y] == product
    assert sum(map(len, tried)) > 80
    assert len(list(steps(run, 0))) == 61


def test_no_item_is_known_by_its_number(example, store):
    """Where bases change places, so do the chances of taking them; and nothing forbidden has any."""
    torch.manual_seed(0)
    rng = np.random.default_rng(0)
    *_, (_, p, eyes, seen, past) = walked(example, store, example.kinds(20)["days"])
    student = example.Student(p, 16)
    rows = np.arange(8)
    place = np.arange(eyes.items)
    place[:8] = rng.permutation(8)

    def moved(array):
        return np.where(array >= 0, place[np.maximum(array, 0)], array)

    other = example.Past(p, 8)
    for name in ("failed", "works", "product"):
        getattr(other, name)[:, place[:, None], place] = getattr(past, name)
    other.product, other.rule, other.last, other.fresh = moved(other.product), past.rule, moved(past.last), moved(past.fresh)
    swapped = {name: np.empty_like(getattr(seen, name)) for name in ("held", "hole", "shape")}
    for name, array in swapped.items():
        array[:, place] = getattr(seen, name)
    mask = seen.mask.copy()
    mask[:, place] = seen.mask[:, : eyes.items]
    elsewhere = seen._replace(**swapped, hand=moved(seen.hand), notes=moved(seen.notes), mask=mask)
    with torch.no_grad():
        here = student(p, example.asked(eyes, seen, past, rows)).softmax(1).numpy()
        there = student(p, example.asked(eyes, elsewhere, other, rows)).softmax(1).numpy()
    assert (here[seen.mask == 0] == 0).all()
    assert here[:, :8].std() > 0.001
    np.testing.assert_allclose(there[:, place], here[:, : eyes.items], atol=1e-5)
    np.testing.assert_allclose(there[:, eyes.items :], here[:, eyes.items :], atol=1e-5)


def test_students_differ_by_the_past_that_they_are_shown(example, store):
    """Of one day of demonstrations: days begin with an empty memory and the notes; snippets never see a note."""
    p = boxes.make_vec("AmnesiaBox", 1, **store.about["params"]).variant.p
    lived = example.arrays_of(store)
    written = {}
    for name, kind in example.kinds(20).items():
        question, did = next(example.decisions(lived, p, kind, 512, np.random.default_rng(0)))
        assert (question.mask[torch.arange(len(did)), did] == 1).all()
        written[name] = bool(question.pairs[..., 15:18].any())
        assert question.pairs[..., 10].any()  # failures are remembered by all
    assert written == {"whole lives": True, "snippets": False, "days": True}


def test_a_control_takes_away_what_it_says(example):
    made = np.array([[[5], [-2], [7], [-1], [9]]])
    assert example.shifted(made)[0, :, 0].tolist() == [9, -2, 5, 7, -1]
    notes = np.array([[[0, 1, 4], [4, 2, 6], [0, 2, 5], [-2, -2, -2]]])
    level = np.array([0, 0, 0, 0, 1, 1, 2])
    assert example.leading_on(notes, level).tolist() == [[True, True, False, False]]


def test_a_student_of_a_few_updates_lives_in_other_boxes(example, store, tmp_path):
    args, kind = example.Args(updates=30, batch=128, hidden=16, out=tmp_path), example.kinds(20)["days"]
    student = example.taught(args, store, kind, "days", 0)
    deeper = {**SMALL, "day": 20, "horizon": 40, "levels": 2}
    p = boxes.make_vec("AmnesiaBox", 1, **deeper).variant.p
    for control in ("", "another box", "shuffled"):
        player = functools.partial(example.Apprentice, student, p, kind, control, {})
        run = boxes.run("AmnesiaBox", {"all": player}, 3, 5, "test", **deeper)
        assert boxes.column(boxes.measure(run), "illegal").sum() == 0
    often = example.bigram(store)
    run = boxes.run("AmnesiaBox", {"all": functools.partial(example.Bigram, often, p)}, 3, 5, "test", **deeper)
    assert boxes.column(boxes.measure(run), "illegal").sum() == 0
    assert boxes.column(boxes.measure(run), "notes").mean() > 0  # it writes as often as it was shown


# ------------------------------------------------------------------------------------------------- and then reinforced
@pytest.fixture(scope="module")
def reinforcing(example):
    return load("imitate_then_reinforce.py")


def test_advantages_are_what_is_paid_beyond_what_was_expected(reinforcing):
    args = reinforcing.Args(rows=1, hazard={"agents": 2, "horizon": 6, "levels": 2}, gamma=0.9, trace=0.8)
    learner = reinforcing.Reinforcement(args, reinforcing.Condition("", social={}), reinforcing.imitated(args, (), 0), 0)
    paid, values = torch.rand(6, 2), torch.rand(6, 2)
    surprise = paid - values + 0.9 * torch.cat([values[1:], torch.zeros(1, 2)])
    wanted = torch.stack([sum(0.72 ** (k - t) * surprise[k] for k in range(t, 6)) for t in range(6)])
    torch.testing.assert_close(learner.gains(paid, values), wanted)


@pytest.mark.parametrize("anchored", [False, True])
def test_what_paid_more_than_expected_is_done_more_often_and_an_anchor_holds_it_back(reinforcing, anchored):
    args = reinforcing.Args(rows=2, hazard={"agents": 2, "horizon": 6, "levels": 2}, entropy=0.0, anchor=1e3, epochs=40)
    student = reinforcing.imitated(args, (), 0)
    learner = reinforcing.Reinforcement(args, reinforcing.Condition("", social={}, anchored=anchored), student, 0)
    lived, _ = learner.live()
    good = torch.stack([did for _, did in lived.questions]) < 8  # whoever takes a base
    lived = lived._replace(advantage=torch.where(good, 1.0, -1.0))

    def chance():
        return torch.stack([student(learner.p, q).softmax(1)[:, :8].sum(1) for q, _ in lived.questions]).mean().item()

    before = chance()
    learner.improve(lived)
    assert chance() - before > 0.02 if not anchored else abs(chance() - before) < 0.02


def test_what_was_stated_is_judged_by_intervals_over_seeds(reinforcing):
    def came(*scores):
        excess = np.array([[score] * 3 for score in scores])
        return reinforcing.Came(*[np.zeros((3, 3))] * 5, excess, np.ones((3, 3)))

    found = {"a": came(-0.3, -0.2, -0.25), "b": came(0.1, -0.1, 0.05), "c": came(0.5, 0.6, 0.55)}
    told = {each["stated"]: each["verdict"] for each in reinforcing.stated(found)}
    assert told == {"R(a) <= 0": "holds", "R(b) > 0": "DOES NOT HOLD", "R(c) > R(a)": "holds"}
    nothing = reinforcing.Came(*[np.zeros((3, 3))] * 7)  # at stake
    assert reinforcing.stated({"a": nothing})[0]["verdict"] == "undefined"
