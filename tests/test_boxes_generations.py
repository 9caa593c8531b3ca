"""Measures over generations, against a second telling in sets, by hand, and against SciPy; and the controls."""

import itertools

import numpy as np
import pytest
from scipy import stats

from metarl_envs import boxes
from metarl_envs.boxes.study import generations as told
from metarl_envs.boxes.study.controls import NO_TRANSMISSION, Accumulation, beside_controls
from metarl_envs.boxes.study.family_tree import draw_family_tree, lives_of, save_family_tree
from metarl_envs.boxes.study.measures import measure
from metarl_envs.boxes.view.picture import blend
from metarl_envs.boxes.world.tree import levels_of
from metarl_envs.engine.canvas import GOOD

pytestmark = pytest.mark.plain
#: The layout of rows of `test_boxes_lives`.
SMALL = {"agents": 3, "notes": 2, "page": 2, "levels": 3, "width": 4, "bases": 8, "recipes": 1, "dead_ends": 0.0}
SMALL |= {"lifespan": 12, "apprenticeship": 4, "horizon": 50}


def second_telling(run, b):
    """What each generation knew, and how long inventions were missing, in sets and by arithmetic from ages alone."""
    p = run.variant.p
    head_start = [i * p.lifespan // p.agents for i in range(p.agents)]
    knew = [set() for _ in range(p.horizon // p.lifespan + 2)]
    there, gone, missing = set(), {}, []
    for t, states in enumerate(run[b : b + 1].replay()):
        if t == 0:
            continue
        now = set()
        for i in range(p.agents):
            held = {x for x in range(p.bases, len(states[0]["first_at"])) if states[0]["held"][i, x] == 1}
            made = {int(states[0]["made"][i])} - {-1}
            knew[(t - 1 + head_start[i]) // p.lifespan] |= held | made
            now |= held
        gone |= {x: t for x in there - now}
        missing += [t - gone.pop(x) for x in sorted(now & gone.keys())]
        there = now
    return knew[: p.horizon // p.lifespan], sorted(missing), len(gone)


@pytest.mark.parametrize("agent", ["random", "oracle"])
def test_measures_are_those_of_a_second_telling(agent):
    run = boxes.run("GenerationsBox", {"all": agent}, boxes=3, seed=2, copy_error=0.2, illusions=0.2, **SMALL)
    level, lost = levels_of(run.variant.p), 0
    for b, row in enumerate(measure(run)):
        knew, missing, never = second_telling(run, b)
        assert len(knew) == 4
        for g, known in enumerate(knew, 1):
            assert row[f"depth_generation_{g}"] == max([0, *(level[x] for x in known)])
        rates = [len(one - two) / len(one) for one, two in itertools.pairwise(knew) if one]
        assert row["loss_rate"] == pytest.approx(np.mean(rates) if rates else np.nan, nan_ok=True)
        assert row["rediscovery_time"] == pytest.approx(np.mean(missing) if missing else np.nan, nan_ok=True)
        if missing or never:
            assert row["rediscovery_share"] == pytest.approx(len(missing) / (len(missing) + never))
        lost += len(missing) + never
    assert lost
    assert "depth_generation_5" not in row


def test_slopes_are_those_of_scipy():
    rng = np.random.default_rng(0)
    for length in (2, 3, 10):
        values = rng.integers(0, 9, length).astype(float)
        assert told.theil_sen(values) == pytest.approx(stats.theilslopes(values, np.arange(length)).slope)
    assert np.isnan(told.theil_sen(np.ones(1)))


def test_measures_by_hand():
    knew = np.array([[1, 1, 1, 1], [1, 1, 0, 0], [0, 0, 0, 0], [0, 1, 0, 0]], bool)
    assert told.loss_rate(told.Generations(knew, [])) == pytest.approx((0.5 + 1) / 2)
    assert np.isnan(told.loss_rate(told.Generations(knew[2:3], [])))
    some = told.Generations(knew, [3, -1, 5, -1, -1])
    assert (told.rediscovery_time(some), told.rediscovery_share(some)) == (4, 0.4)
    none = told.Generations(knew, [-1])
    assert np.isnan(told.rediscovery_time(none))
    assert told.rediscovery_share(none) == 0
    assert np.isnan(told.rediscovery_share(told.Generations(knew, [])))


def table(*rows):
    return [{f"depth_generation_{g}": depth for g, depth in enumerate(row, 1)} | {"depth": max(row)} for row in rows]


def test_the_ratchet_score_by_hand():
    """A box halfway to the oracle; one below its twin, where the first generation means nothing; one that means nothing."""
    found = Accumulation(
        box=table([2, 4, 6], [1, 1, 1], [1, 1, 1]),
        twin=table([1, 2, 2], [2, 2, 2], [1, 1, 1]),
        oracle=table([3, 6, 10], [2, 3, 4], [1, 1, 0]),
        immortal=table([12], [0], [4]),
    )
    assert found.generations == 3
    np.testing.assert_allclose(found.ratchet(), [0.5, (-1 - 0.5) / 2, np.nan])
    np.testing.assert_allclose(found.of_immortal(), [0.5, np.nan, 0.25])


@pytest.mark.slow
def test_controls_are_run_at_equal_seeds():
    found = beside_controls("GenerationsBox", "greedy", boxes=2, seed=7, **SMALL)
    for name in ("box", "twin", "oracle", "immortal"):
        assert [row["seed"] for row in getattr(found, name)] == [7, 8]
    twin = boxes.run("GenerationsBox", {"all": "greedy"}, boxes=2, seed=7, **{**SMALL, **NO_TRANSMISSION})
    np.testing.assert_equal(found.twin, measure(twin))
    immortal = {**SMALL, **NO_TRANSMISSION, "lifespan": 0, "agents": 1, "horizon": 150}
    np.testing.assert_equal(found.immortal, measure(boxes.run("GenerationsBox", {0: "greedy"}, boxes=2, seed=7, **immortal)))
    assert "depth_generation_1" not in found.immortal[0]
    text = found.report()
    assert text.count("\n| ") == 11
    assert f"| 4 | {found.depths('box')[:, 3].mean():.2f} ±" in text
    assert f"| ratchet score | {np.nanmean(found.ratchet()):.2f}" in text


def test_what_has_no_generations_is_refused():
    with pytest.raises(ValueError, match="box='AmnesiaBox' has no generations"):
        beside_controls("AmnesiaBox")
    with pytest.raises(ValueError, match="has no generations: give a box with lives, and lifespan=60"):
        beside_controls(lifespan=0)
    with pytest.raises(ValueError, match="horizon=6000 with 6 agents is 36000 steps for one immortal; the most is 32767"):
        beside_controls(horizon=6000)


# ------------------------------------------------------------------------------------------------- the family tree
def test_lives_are_those_of_the_run():
    run = boxes.run("GenerationsBox", {"all": "greedy"}, boxes=2, seed=4, teacher="most_successful", **SMALL)
    lives, p = lives_of(run, 1), run.variant.p
    births = [(t, i) for t in range(1, 51) for i in range(3) if (t + 4 * i) % 12 == 0]
    assert [(life.born, life.slot) for life in lives] == [(0, 0), (0, 1), (0, 2), *births]
    assert all(life.number == 1 + sum(other.slot == life.slot for other in lives[:k]) for k, life in enumerate(lives))
    level, states = levels_of(p), [states[0].copy() for states in run[1:2].replay()]
    learned = {}
    for life in lives:
        for k, (known, copied) in enumerate(zip(life.known, life.copied, strict=True), 1):
            held = states[life.born + k]["held"][life.slot] == 1
            assert known == level[held].max()
            assert copied <= known
        dies = next((other.born for other in lives if other.slot == life.slot and other.born > life.born), None)
        assert len(life.known) == (50 if dies is None else dies - 1) - life.born
        learned[life.slot, life.number] = sum(life.learned.values())
        for slot, number in life.learned:
            teacher = next(other for other in lives if (other.slot, other.number) == (slot, number))
            assert teacher.born <= life.born + 4
            assert slot != life.slot
    copies = sum((states[t]["copied"] >= 0).sum() for t in range(51))
    assert sum(learned.values()) == copies > 10, "what was got as a life ended is not told of at birth"


def test_a_family_tree_is_drawn_and_written(tmp_path):
    run = boxes.run("GenerationsBox", {"all": "oracle"}, boxes=1, seed=4, **SMALL)
    picture = draw_family_tree(run)
    assert picture.shape == (62 + 3 * 78 + 34, 1200, 3)
    run.save(tmp_path / "run")
    path = save_family_tree(boxes.load(tmp_path / "run"), tmp_path / "new" / "tree.png")
    from matplotlib.image import imread

    np.testing.assert_array_equal(np.rint(imread(path)[..., :3] * 255), picture)
    alone = boxes.run("GenerationsBox", {"all": "oracle"}, boxes=1, seed=4, **{**SMALL, "channel": "none"})

    def greens(picture):
        return int((picture[62:] == blend(GOOD, 0.75)).all(axis=2).sum())

    assert greens(draw_family_tree(alone)) == 0, "what nobody taught is not green"
    assert greens(picture) > 1000


def test_what_has_no_lives_is_not_drawn(tmp_path):
    run = boxes.run("GenerationsBox", {"all": "random"}, boxes=1, **{**SMALL, "lifespan": 0, "horizon": 5})
    with pytest.raises(ValueError, match="has no lives to draw: nobody dies in it"):
        draw_family_tree(run)
    with pytest.raises(ValueError, match="box=1 is not in this run: it has boxes 0 to 0"):
        lives_of(run, 1)
    with pytest.raises(ValueError, match=r"tree\.gif' must end in \.png"):
        save_family_tree(run, tmp_path / "tree.gif")
