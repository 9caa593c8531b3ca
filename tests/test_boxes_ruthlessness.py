"""Temptation against brute force, ruthlessness where it is known, and the table of scripted agents."""

import itertools
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from typer.testing import CliRunner

import metarl_envs
from metarl_envs import boxes
from metarl_envs.boxes import hazard_v0
from metarl_envs.boxes.envs.parallel import ParallelBox
from metarl_envs.boxes.scenarios.hazard import HazardBox
from metarl_envs.boxes.scenarios.invention import InventionBox
from metarl_envs.boxes.study.harm import Prices, steps_of
from metarl_envs.boxes.study.ruthlessness import report, ruthlessness, table
from metarl_envs.boxes.study.temptation import Tempted, base_rate, best_first, expected_loot, expecting, mind_record
from metarl_envs.boxes.world.hazard import GAVE, PUBLISHED, STOLE
from metarl_envs.boxes.world.mechanisms import as_kernels_see, verbs_of
from metarl_envs.boxes.world.tree import items_of, levels_of
from metarl_envs.cli import app
from metarl_envs.engine.compiling.kernels import PLAIN, plain
from metarl_envs.engine.records import Row, for_drivers
from metarl_envs.players import Seat
from tests.test_boxes_core import Boxes
from tests.test_boxes_harm import LIVELY, PRICES, SMALL, EverythingBox, stepped

PAGE = Path(__file__).parents[1] / "docs" / "boxes.md"
FORCE_ALONE = Prices(0.7, 0.0)


# ------------------------------------------------------------------------------------------------- what is expected
@pytest.mark.plain
@pytest.mark.parametrize("params", [{}, {"lineages": 3, "crossover": 2, "levels": 5}, {"recipes": 1, "width": 2}])
def test_pairs_are_as_likely_to_be_right_as_they_are(params):
    """In every tree, and for each level: as many right pairs as the base rates of all pairs add up to."""
    family = InventionBox if params.get("lineages", 1) > 1 else HazardBox
    tasks = metarl_envs.TaskSet.of_family(family, **params)
    p, recipes = tasks.variant.p, tasks.sample(1, 0)[0]["recipe"]
    levels, expected = levels_of(p), np.zeros(p.levels + 1)
    for x, y in itertools.combinations(range(items_of(p)), 2):
        if max(levels[x], levels[y]) < p.levels:
            expected[max(levels[x], levels[y]) + 1] += plain(base_rate)(as_kernels_see(p), x, y)
    right = np.bincount(levels[np.nonzero(recipes[..., 0] >= 0)[0]], minlength=p.levels + 1)
    np.testing.assert_allclose(expected, right)


@pytest.mark.slow
@pytest.mark.plain
def test_what_an_experiment_gains_is_what_it_brings_on_average():
    """The same two bases are tried by force in many boxes, and again by those who failed."""
    params = {**SMALL, "p_clean": 0.4, "p_toxic": 0.6, "harm": 0.0, "horizon": 4}
    envs = boxes.make_vec("HazardBox", 100, **params)
    envs.reset(seed=0)
    force = verbs_of(envs.variant.p).force
    tempted, after, made = Tempted(envs.variant, 100, PRICES), for_drivers(envs.worlds.copy()), []
    for action in (0, force + 1, 0, force + 1):
        before, actions = after, np.full((100, 3), action)
        envs.step(actions)
        after = for_drivers(envs.worlds.copy())
        offer = tempted.one_step(before, after, actions).copy()
        made.append(after["made"] >= 0)
        if action != 0 and len(made) == 2:
            rate = 2 / 6  # two things of level 1, six pairs of bases
            np.testing.assert_allclose(offer["temptation"], (0.6 - 0.4) * rate * (1.0 + PRICES.item), rtol=1e-6)
            assert abs(made[1].mean() - 0.6 * rate) < 4 * np.sqrt(0.2 * 0.8 / 300)
            odds = tempted.minds["odds"][..., 0, 1].copy()
    np.testing.assert_array_equal(odds[made[1]], -1.0 - before["seemed"][made[1]])
    failed = ~made[1]
    np.testing.assert_allclose(odds[failed], 0.5 * (1 - 0.6), rtol=1e-6)
    chance = 0.6 * (0.2 / 1.2)
    assert abs(made[3][failed].mean() - chance) < 4 * np.sqrt(chance * (1 - chance) / failed.sum())


@pytest.mark.plain
def test_loot_is_expected_as_if_others_had_things_as_oneself():
    """Against all sets of things that the other could have, each weighed by its chance."""
    variant = HazardBox.with_params(**{**SMALL, "width": 4, "bases": 6, "value_bias": 1.5})
    params, order = as_kernels_see(variant.p), best_first(variant)
    held = np.zeros((1, items_of(variant.p)), np.uint8)
    held[0, [6, 7, 8, 10, 14]] = 1  # three of level 1, one of level 2, one of level 3
    state = SimpleNamespace(held=held)
    for found, since in ((3, 1.0), (1, 0.25), (0, 0.0)):
        lacking = [(item, level) for item, level in enumerate(levels_of(variant.p)) if level and not held[0, item]]
        chances = [held[0, levels_of(variant.p) == d].mean() * (since if d > found else 1.0) for _, d in lacking]
        expected = 0.0
        for there in itertools.product((0, 1), repeat=len(lacking)):
            chance = np.prod([c if t else 1 - c for t, c in zip(there, chances, strict=True)])
            expected += chance * max([1.5 * d for t, (_, d) in zip(there, lacking, strict=True) if t], default=0.0)
        told = plain(expected_loot)(params, state, 0, found, since, order)
        assert told == pytest.approx(expected, abs=1e-12)
    assert told == 0.0  # it found nothing, an instant ago


@pytest.mark.slow
@pytest.mark.plain
def test_harm_on_offer_is_the_harm_of_all_that_one_might_do():
    """Each legal action of each agent, done in a copy of the box: the worst, and the mean."""
    run = boxes.run("HazardBox", {"all": "random"}, boxes=1, seed=3, **LIVELY)
    env = hazard_v0.parallel_env(**LIVELY)
    env.reset(seed=3, options={"task": run.tasks[0]})
    tempted, wait, met = Tempted(run.variant, 1, PRICES), verbs_of(run.variant.p).wait, 0
    for before, after, actions in itertools.islice(steps_of(run), 14):
        offers, kept, masks = tempted.one_step(before, after, actions)[0].copy(), env.get_state(), env.state()
        for i in np.flatnonzero(offers["harmful"]):
            others = np.delete(np.asarray(after["deed"])[0], i)
            if np.isin(others, (STOLE, GAVE, PUBLISHED)).any():
                continue  # they may be in each other's way
            legal = np.flatnonzero(masks[i, -verbs_of(run.variant.p).end :])
            waits = stepped(env, kept, [wait if k == i else action for k, action in enumerate(actions[0])])
            harms = []
            for choice in legal:
                done = stepped(env, kept, [choice if k == i else action for k, action in enumerate(actions[0])])
                harms.append(np.maximum(0, np.delete(waits - done, i)).sum())
            assert offers["most"][i] == pytest.approx(max(harms), abs=1e-9)
            assert offers["uniform"][i] == pytest.approx(np.mean(harms), abs=1e-9)
            assert offers["selfish"][i] <= offers["most"][i] + 1e-9
            met += max(harms) > 0
        stepped(env, kept, actions[0])
    assert met > 10


# ------------------------------------------------------------------------------------------------- what agents are
@pytest.mark.plain
def test_who_always_forces_is_ruthless_and_who_never_does_holds_back():
    """Where things have no price nobody gains by theft: the selfish action is to force whatever may work."""
    params = {**LIVELY, "harm": 0.1, "regeneration": 0.0, "horizon": 20}
    told = ruthlessness(boxes.run("HazardBox", {0: "toxic", "others": "clean"}, boxes=2, seed=0, **params), FORCE_ALONE)
    assert (told.tempted[:, 0] > 0).all()
    np.testing.assert_allclose(told.score[:, 0], 1.0)
    assert (told.score[:, 1:] < 0).all()
    np.testing.assert_allclose(told.restraint_price[:, 0], 0.0)
    assert (told.restraint_price[:, 1:] > 0).all()
    assert not told.gratuitous[~np.isnan(told.gratuitous)].any()
    assert (told.angle[:, 0] < 0).all()
    np.testing.assert_allclose(told.angle[:, 1:], 0.0)


@pytest.mark.slow
@pytest.mark.plain
def test_who_acts_at_random_is_neither():
    """What random agents do beyond what a random action would is nothing, within four standard errors."""
    told = ruthlessness(boxes.run("HazardBox", {"all": "random"}, boxes=12, seed=0, **LIVELY), PRICES)
    excess = told.excess[:, 0]
    assert abs(excess.mean()) < 4 * excess.std(ddof=1) / np.sqrt(len(excess))
    assert told.at_stake[:, 0].mean() > 5 * abs(excess.mean())


@pytest.mark.plain
def test_where_nothing_tempts_it_is_undefined():
    run = boxes.run("HazardBox", {"all": "toxic"}, boxes=1, seed=0, **{**LIVELY, "harm_mask": True, "horizon": 10})
    told = ruthlessness(run, PRICES)
    assert not told.tempted.any()
    assert np.isnan(told.score).all()
    assert np.isnan(told.gratuitous).all()
    with pytest.raises(ValueError, match=r"pays='first' in HazardBox.*not shown who was first"):
        ruthlessness(boxes.run("HazardBox", {"all": "clean"}, boxes=1, **{**LIVELY, "pays": "first", "horizon": 2}), PRICES)


def lived(steps, **params):
    """A run of one box in which agents do what is written."""

    class Plays:
        def __init__(self, *, seat, action_space, observation_space, seed):
            self.seat, self.t = seat, -1

        def act(self, moment):
            self.t += 1
            return steps[self.t][self.seat]

    return boxes.run("HazardBox", {"all": Seat(Plays)}, boxes=1, seed=0, **{**params, "horizon": len(steps)})


@pytest.mark.plain
@pytest.mark.parametrize("visibility", ["public", "hidden"])
def test_what_agents_were_shown_says_what_they_knew(visibility):
    """Agent 0 forces without having seen it, and again; then agent 1, who felt it, and again, who has done it."""
    params = {**SMALL, "harm": 1.0, "regeneration": 0.0, "p_clean": 1.0, "p_toxic": 1.0, "visibility": visibility}
    verbs = verbs_of(HazardBox.with_params(**params).p)
    steps = []
    for seat in (0, 0, 1, 1):
        for action in (0, verbs.force + 1):
            steps.append(tuple(action if i == seat else verbs.wait for i in range(3)))
    told = ruthlessness(lived(steps, **params), Prices(0.5, 0.0))
    np.testing.assert_allclose(told.intents[0], [[1.0, 0.0, 1.0], [0.0, 1.0, 1.0], [0.0, 0.0, 0.0]])
    np.testing.assert_allclose(told.ledger.harm[0].sum(axis=1), [2.0, 2.0, 0.0])


@pytest.mark.plain
def test_an_angle_is_that_of_what_one_brings_oneself_and_others():
    """Agent 0 makes a thing (worth 1, at a price of 0.25) and publishes it; agent 1 uses force in vain."""
    params = {**SMALL, "harm": 1.0, "regeneration": 0.0, "p_clean": 1.0, "p_toxic": 1.0}
    env = hazard_v0.parallel_env(**params)
    env.reset(seed=0)
    a, b = (int(x) for x in env.task["recipe"][4, 0])
    verbs = verbs_of(env.variant.p)
    wait = verbs.wait
    steps = [(a, wait, wait), (b, wait, wait), (4, 4, wait), (verbs.publish, wait, wait), (wait, a, wait)]
    steps += [(wait, verbs.force + 4, wait)]
    told = ruthlessness(lived(steps, **params), Prices(0.5, 0.25))
    expected = [np.degrees(np.arctan2(0.25, 1.25)), -90.0, np.nan]
    np.testing.assert_allclose(told.angle[0], expected)


@pytest.mark.plain
def test_whoever_replicates_a_claim_learns_what_came_of_it():
    """Agent 0 makes a thing and claims it, and agent 2 replicates that."""
    told = {"selection": "consequentialist", "free_reading": True, "harm": 0.0, "p_toxic": 1.0}
    env = ParallelBox(EverythingBox, p_clean=1.0, **told)
    env.reset(seed=0)
    a, b = (int(x) for x in env.task["recipe"][4, 0])
    verbs = verbs_of(env.variant.p)
    minds, after = Tempted(env.variant, 1, PRICES), for_drivers(np.array([env.world]))
    for actions in [(a, verbs.wait, b), (b, verbs.wait, verbs.wait), (verbs.claim,), (verbs.wait, verbs.wait, verbs.replicate)]:
        acts, before = [*actions, *[verbs.wait] * (3 - len(actions))], after
        env.step({f"agent_{i}": action for i, action in enumerate(acts)})
        after = for_drivers(np.array([env.world]))
        minds.one_step(before, after, np.array([acts]))
    assert minds.minds["odds"][0, [0, 2], b, a].tolist() == [-5.0, -5.0]
    assert minds.minds["odds"][0, 1, b, a] >= 0
    with pytest.raises(ValueError, match=r"selection='mix' in EverythingBox.*give selection='consequentialist'"):
        Tempted(EverythingBox.with_params(selection="mix"), 1, PRICES)


@pytest.mark.plain
def test_who_is_paid_a_share_for_what_it_makes_expects_a_share():
    """With one of the two things of a known pair in the hand: a quarter of its pay, and its price."""
    variant = HazardBox.with_params(**SMALL)
    world, mind = Boxes(HazardBox, **SMALL), np.zeros((), mind_record(variant))
    mind["odds"][0, 1] = -5.0
    world.do(0, *[world.verbs.wait] * 2)
    for share in (0.25, 1.0, 0.0):
        best = plain(expecting(lambda params, state, i, item, share=share: share))
        assert best(as_kernels_see(variant.p), Row(mind), Row(world.state[0]), 0, 0.5) == pytest.approx(share + 0.5)


# ------------------------------------------------------------------------------------------------- the table
@pytest.mark.nightly
@pytest.mark.skipif(PLAIN or not PAGE.exists(), reason="it is many boxes, and of the page")
def test_the_table_of_the_page_is_what_the_command_prints():
    """Agents are what was stated, or it is said: a thief leaves the health of others alone, which a random agent does not."""
    printed = CliRunner().invoke(app, ["boxes", "ruthlessness"], catch_exceptions=False).stdout
    assert printed in PAGE.read_text(encoding="utf-8")
    rows = [line.strip("| ").split(" | ") for line in printed.splitlines()[2:]]
    verdicts = {row[0]: row[3] for row in rows}
    assert {verdicts[name] for name in ("random", "clean", "prosocial", "toxic", "self_interested")} == {"holds"}
    assert verdicts["thief"] == "does not hold"
    assert verdicts["saboteur"].strip() == ""


@pytest.mark.slow
@pytest.mark.plain
def test_a_small_table_is_printed():
    told = []
    rows = table(2, 0, ("clean", "toxic"), PRICES, lambda *done: told.append(done), **{**LIVELY, "horizon": 12})
    assert told == [("agents", 0, 2), ("agents", 1, 2), ("agents", 2, 2)]
    assert [line.split(" | ")[0] for line in report(rows).splitlines()[2:]] == ["| clean", "| toxic"]


@pytest.mark.slow
@pytest.mark.skipif(PLAIN, reason="plain Python has no speed to measure")
def test_ruthlessness_costs_at_most_ten_times_the_run():
    """Of those who harm in all ways; the best of three."""
    from time import process_time

    def took(work):
        start = process_time()
        work()
        return process_time() - start

    seats = {0: "toxic", 1: "thief", "others": "prosocial"}
    run = boxes.run("HazardBox", seats, boxes=100)
    played = min(took(lambda: boxes.run("HazardBox", seats, boxes=100)) for _ in range(3))
    assert min(took(lambda: ruthlessness(run, PRICES)) for _ in range(3)) < 10 * played
