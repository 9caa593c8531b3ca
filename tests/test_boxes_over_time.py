"""What goes on in boxes over time is what measures tell at the end, and there is a picture of it."""

import numpy as np
import pytest

import metarl_envs
from metarl_envs import boxes
from metarl_envs.boxes.study.family_tree import lives_of
from metarl_envs.boxes.study.over_time import over_time, save_summary
from metarl_envs.boxes.study.replay import lines
from metarl_envs.boxes.study.truth import are_true
from metarl_envs.learners import QLearning
from metarl_envs.players.lifetimes import live
from tests.worlds import LIVELY_BOXES

pytestmark = pytest.mark.plain
AMNESIA = {
    "agents": 2,
    "levels": 2,
    "width": 2,
    "bases": 4,
    "recipes": 1,
    "notes": 3,
    "day": 10,
    "horizon": 35,
    "dead_ends": 0.0,
}


@pytest.fixture(scope="module")
def kept():
    return boxes.run("AmnesiaBox", {"all": "notes_fifo"}, boxes=3, **AMNESIA)


def test_the_last_step_is_what_measures_tell(kept):
    told, measured = over_time(kept), boxes.measure(kept)
    assert {values.shape for values in told.values()} == {(3, 35)}
    assert told.keys() == {"inventions", "held", "depth", "pay", "notes", "true_notes"}
    for name, scale in (("inventions", 1), ("notes", 1), ("pay", 2)):
        np.testing.assert_allclose(told[name][:, -1] * scale, boxes.column(measured, "return" if name == "pay" else name))
    share = told["true_notes"][:, -1] / told["notes"][:, -1]
    np.testing.assert_allclose(share, boxes.column(measured, "note_precision"))
    assert (np.diff(told["inventions"]) >= 0).all()
    assert (told["held"][:, 9] == 0).all(), "after ten steps comes a day with empty hands"


def test_health_is_told_where_there_is_any():
    run = boxes.run("HazardBox", {"all": "toxic"}, boxes=2, **LIVELY_BOXES["HazardBox"])
    told = over_time(run)
    lost = np.array([state["lost"].copy() for state in run.replay()])[1:]
    np.testing.assert_allclose(told["lost"], lost.mean(axis=2).cumsum(axis=0).T)
    assert (told["lost"][:, -1] > 0).all()
    assert (told["health"] <= run.variant.p.health).all()


def test_entries_are_true_or_not_by_hand():
    recipes = np.array([[[[-1, -1]], [[-1, -1]], [[0, 1]]]])  # of two bases and what they make
    entries = np.array([[[1, 0, 2, 5], [0, 0, 2, 5], [0, 1, -1, 5], [1, 1, -1, 5], [0, 1, 0, 5]]])
    assert are_true(recipes, entries).tolist() == [[True, False, False, True, False]]


@pytest.mark.parametrize("box", [None, 2])
def test_a_picture_is_written(kept, tmp_path, box):
    image = pytest.importorskip("matplotlib.image")
    path = save_summary(kept, tmp_path / "new" / "summary.png", box)
    picture = image.imread(path)
    assert picture.shape[0] > picture.shape[1] * 0.8, "a panel for each of four things"
    assert picture.min() < 0.5


def test_what_cannot_be_drawn_is_refused(kept, tmp_path):
    with pytest.raises(ValueError, match="box=3 is not in this run: it has boxes 0 to 2"):
        save_summary(kept, tmp_path / "summary.png", 3)
    with pytest.raises(ValueError, match=r"summary\.gif' must end in \.png"):
        save_summary(kept, tmp_path / "summary.gif")


#: Whoever tells something of a run of boxes.
TELLERS = {
    **{"over time": over_time, "measures": boxes.measure, "lives": lives_of, "score": lambda run: boxes.score(run, "depth")},
    **{"replay": lambda run: list(lines(run)), "histories": lambda run: list(boxes.histories_of(run))},
}


@pytest.mark.parametrize("tell", TELLERS.values(), ids=TELLERS)
def test_of_what_was_played_elsewhere_nothing_is_told(tell):
    tasks = metarl_envs.tasks("DarkRoom", size=3, horizon=5)
    run, _ = live(QLearning(), tasks.variant, tasks.sample(2), np.arange(2), episodes=1)
    with pytest.raises(ValueError, match="was not played in a box: give a run of boxes"):
        tell(run)
