"""Measures over generations, against a second telling in sets, by hand, and against SciPy; and the controls."""

import itertools

import numpy as np
import pytest
from scipy import stats

from metarl_envs import boxes
from metarl_envs.boxes.study import generations as told
from metarl_envs.boxes.study.controls import NO_TRANSMISSION, Comparison, compare
from metarl_envs.boxes.study.measures import measure
from metarl_envs.boxes.world.tree import levels_of

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
    found = Comparison(
        box=table([2, 4, 6], [1, 1, 1], [1, 1, 1]),
        twin=table([1, 2, 2], [2, 2, 2], [1, 1, 1]),
        oracle=table([3, 6, 10], [2, 3, 4], [1, 1, 0]),
        immortal=table([12], [0], [4]),
    )
    assert found.generations == 3
    np.testing.assert_allclose(found.ratchet(), [0.5, (-1 - 0.5) / 2, np.nan])
    np.testing.assert_allclose(found.of_immortal(), [0.5, np.nan, 0.25])


def test_controls_are_run_at_equal_seeds():
    found = compare("GenerationsBox", "greedy", boxes=2, seed=7, **SMALL)
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
        compare("AmnesiaBox")
    with pytest.raises(ValueError, match="has no generations: give a box with lives, and lifespan=60"):
        compare(lifespan=0)
    with pytest.raises(ValueError, match="horizon=6000 with 6 agents is 36000 steps for one immortal; the most is 32767"):
        compare(horizon=6000)
