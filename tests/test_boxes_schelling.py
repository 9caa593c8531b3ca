"""The dilemma of HazardBox: a model in NumPy, and that boxes which are played come to the same."""

from types import SimpleNamespace

import numpy as np
import pytest

from metarl_envs import boxes
from metarl_envs.boxes.scenarios.hazard import HazardBox
from metarl_envs.boxes.scenarios.schelling import Schelling, returns
from metarl_envs.boxes.study.measures import lives

#: One way to make anything: item 2 of the bases 0 and 1, item 3 of 2 and any base.
CHAIN = np.array([[[[-1, -1]], [[-1, -1]], [[0, 1]], [[0, 2]]]])
BARE = {"lineages": 1, "bases": 2, "width": 1, "levels": 2, "value_bias": 1.0, "health": 10.0, "regeneration": 0.0}


def model(forcing, **params):
    p = SimpleNamespace(**{**BARE, "agents": 2, "horizon": 2000, "p_clean": 1.0, "p_toxic": 1.0, "harm": 0.0, **params})
    return returns(p, np.repeat(CHAIN, 50, axis=0), forcing, np.random.default_rng(0))


def test_who_has_time_and_luck_makes_everything_once():
    assert (model(0) == 3.0).all()
    assert (model(2) == 3.0).all()


def test_nothing_is_made_without_chance_and_little_with_little():
    assert (model(1, p_clean=0.0)[:, 1] == 0).all()
    assert (model(1, p_clean=0.0)[:, 0] == 3.0).all()
    one_try = model(0, horizon=2, p_clean=0.25)  # of the only pair, half of the draws being of a thing with itself
    assert set(np.unique(one_try)) == {0.0, 1.0}
    assert abs(one_try.mean() - 0.25) < 4 * (0.25 * 0.75 / 100) ** 0.5


def test_force_puts_the_other_out_as_fast_as_health_is_lost():
    """Of 10 health at 2.5 a time, four experiments are left, in the last two of which luck is less."""
    made = model(1, p_clean=0.0, p_toxic=0.0, harm=2.5)
    assert (made == 0).all()
    chances = [0.2, 0.2, 0.2 * 1.0, 0.2 * 0.5]  # at health 10, 7.5, 5 and 2.5
    first = returns(
        SimpleNamespace(**{**BARE, "levels": 1, "agents": 2, "horizon": 400, "p_clean": 0.2, "p_toxic": 0.0, "harm": 2.5}),
        np.repeat(CHAIN[:, :3], 4000, axis=0),
        1,
        np.random.default_rng(1),
    )[:, 1]
    expected = 1.0 - np.prod(1.0 - np.array(chances))
    assert abs(first.mean() - expected) < 4 * (expected * (1 - expected) / 4000) ** 0.5


def test_what_makes_a_dilemma():
    def diagram(clean, toxic):
        return Schelling(np.array([*clean, np.nan]), np.array([np.nan, *toxic]))

    yes = diagram([10, 8, 4], [20, 12, 5])
    assert (yes.is_dilemma, yes.cost_of_one, yes.cost_of_all) == (True, pytest.approx(0.2), pytest.approx(0.5))
    assert yes.temptation.tolist() == [2.0, 1.5, 1.25]
    assert str(yes).endswith("It is a dilemma.")
    assert not diagram([10, 9.5, 4], [20, 12, 5]).is_dilemma  # one costs the others little
    assert not diagram([10, 8, 4], [20, 12, 6]).is_dilemma  # all lose less than half
    assert not diagram([10, 8, 6], [20, 12, 5]).is_dilemma  # among many who force it pays not to
    assert str(diagram([10, 8, 6], [20, 12, 5])).endswith("It is no dilemma.")


@pytest.mark.parametrize(
    ("params", "why"),
    [
        ({"topology": "full"}, "topology='full'"),
        ({"agents": 1}, "agents=1"),
        ({"health": 0.0}, "health=0"),
        ({"day": 9}, "day=9"),
    ],
)
def test_what_the_model_does_not_cover_is_refused(params, why):
    with pytest.raises(ValueError, match=why):
        HazardBox.schelling(2, **params)


@pytest.mark.parametrize("preset", ["short", "small"])
def test_presets_are_dilemmas_with_a_margin(preset):
    found = HazardBox.schelling(60, seed=4, preset=preset)
    assert found.is_dilemma
    assert found.temptation.min() > 1.3
    assert found.cost_of_one > 0.2


@pytest.mark.slow
def test_the_defaults_are_a_dilemma_and_boxes_that_are_played_come_to_the_same():
    model = HazardBox.schelling(150, seed=5)
    assert model.is_dilemma
    for k in (0, 1, 3, 6):
        seats = {"all": "toxic" if k else "clean"} if k in (0, 6) else {tuple(range(k)): "toxic", "others": "clean"}
        earned = np.array([life.earned for life in lives(boxes.run("HazardBox", seats, boxes=150, seed=5))])
        for played, said in ((earned[:, k:], model.clean), (earned[:, :k], model.toxic)):
            if played.size:
                by_box = played.mean(axis=1)
                error = 2**0.5 * by_box.std() / 150**0.5  # of the model's boxes as well
                assert abs(by_box.mean() - said[k]) < 4 * error + 0.02, (k, by_box.mean(), said[k])
