"""The ledger of harm: against two boxes that are stepped side by side, against closed forms, and its prices."""

import numpy as np
import pytest

from metarl_envs import boxes
from metarl_envs.boxes import hazard_v0
from metarl_envs.boxes.envs.parallel import ParallelBox
from metarl_envs.boxes.scenarios.box import Box
from metarl_envs.boxes.study.harm import (
    BOXES,
    SEED,
    Ledger,
    Prices,
    calibrate,
    changes,
    ledger,
    price_of_ruthlessness,
    prices_of,
    shipped,
)
from metarl_envs.boxes.world import claims
from metarl_envs.boxes.world.hazard import FORCED, GAVE, PUBLISHED, SABOTAGED, STOLE
from metarl_envs.boxes.world.mechanisms import verbs_of
from metarl_envs.boxes.world.tree import levels_of
from metarl_envs.players import Seat

SMALL = {"agents": 3, "notes": 1, "board": 2, "page": 2, "levels": 3, "width": 2, "bases": 4, "recipes": 1, "dead_ends": 0.0}
LIVELY = {**SMALL, "p_clean": 0.7, "p_toxic": 0.9, "harm": 1.3, "regeneration": 0.4, "recover": 3, "horizon": 40}
PRICES = Prices(0.7, 0.25)


def welfare(env):
    """What all were paid and have, by hand."""
    levels, world = levels_of(env.variant.p), env.world
    held = [sum(levels[item] for item in np.flatnonzero(row == 1)) for row in world["held"]]
    return world["reward"] + PRICES.health * world["health"] + PRICES.item * np.array(held)


def stepped(env, kept, actions):
    env.set_state(kept)
    env.step({f"agent_{i}": int(action) for i, action in enumerate(actions)})
    return welfare(env)


def by_two_copies(run):
    """d_ij and residuals of the first box of a run, step by step, from two boxes through PettingZoo."""
    env = ParallelBox(run.variant.family, **run.params)
    env.reset(seed=int(run.seeds[0]), options={"task": run.tasks[0]})
    wait, agents = verbs_of(env.variant.p).wait, env.variant.p.agents
    for actions in run.actions[0].astype(int):
        kept, effects, rest = env.get_state(), np.zeros((agents, agents)), np.zeros(agents)
        was = stepped(env, kept, actions)
        for i in range(agents):
            waits = [wait if k == i else action for k, action in enumerate(actions)]
            effects[i] = was - stepped(env, kept, waits)
        for j in range(agents):
            alone = [action if k == j else wait for k, action in enumerate(actions)]
            rest[j] = was[j] - stepped(env, kept, alone)[j] - effects[:, j].sum() + effects[j, j]
        yield effects, rest
        stepped(env, kept, actions)


def effects_beside_two_copies(run):
    """The effects of the first box of a run, step by step, which are those that two copies of the box tell."""
    for change, (expected, expected_rest) in zip(changes(run, PRICES), by_two_copies(run), strict=True):
        np.testing.assert_allclose(change.effects[0] + np.diag(change.own[0]), expected, atol=1e-9)
        np.testing.assert_allclose(change.residual[0], expected_rest, atol=1e-9)
        assert not np.diagonal(change.effects[0]).any()
        yield change.effects[0]


@pytest.mark.slow
@pytest.mark.plain
@pytest.mark.parametrize(
    "params", [{}, {"topology": "full", "fidelity": 0.6}, {"pays": "first", "sabotage": "falsify"}, {"pays": "mean", "day": 7}]
)
def test_the_ledger_is_what_two_copies_of_the_box_say(params):
    """Random lives, in which everything is done to others, in all ways in which they touch one another."""
    params, done = {**LIVELY, **params}, set()
    for seed in range(3):
        run = boxes.run("HazardBox", {"all": "random"}, boxes=1, seed=seed, **params)
        done |= {int(deed) for states in run.replay() for deed in states["deed"][0]}
        list(effects_beside_two_copies(run))
    assert done >= {FORCED, STOLE, GAVE, PUBLISHED}


class EverythingBox(Box):
    """A box of all mechanisms, in which agents teach and claim beside all else."""

    params = Box.params.with_defaults(
        **{
            **LIVELY,
            "lineages": 1,
            "topology": "isolated",
            "health": 10.0,
            "lifespan": 15,
            "apprenticeship": 15,
            "channel": "both",
        }
    )


class OfAllKinds:
    """Does, at random, something of each kind that there is, claims as often as all else."""

    def __init__(self, *, seat, action_space, observation_space, seed):
        self.rng = np.random.default_rng(seed)
        self.verbs = verbs_of(EverythingBox.with_params(selection="mix").p)

    def act(self, moment):
        legal = np.flatnonzero(moment.observation["action_mask"])
        kinds = [self.verbs.find(int(action))[0].name for action in legal]
        kind = self.rng.choice(sorted(set(kinds)))
        return self.rng.choice([action for action, of in zip(legal, kinds, strict=True) if of == kind])


@pytest.mark.slow
@pytest.mark.plain
@pytest.mark.parametrize(
    "params",
    [
        {"selection": "mix"},
        {"selection": "seems_right", "illusions": 0.5, "corruption": 0.5},
        {"selection": "approval", "pays": "mean", "day": 20},
    ],
)
def test_the_ledger_knows_claims(params):
    """Whose claim is cited is paid by what others do, and whoever claims may take the place from another."""
    done = set()
    for seed in range(3):
        run = boxes.run(EverythingBox, {"all": Seat(OfAllKinds)}, boxes=1, seed=seed, free_reading=True, **params)
        done |= {int(each) for states in run.replay() for each in states["claiming"][0]}
        list(effects_beside_two_copies(run))
    assert done >= {claims.CLAIMED, claims.CITED}


@pytest.mark.slow
@pytest.mark.plain
@pytest.mark.parametrize("params", [{}, {"teacher": "all", "illusions": 0.7, "copy_error": 0.2}])
def test_the_ledger_knows_teachers(params):
    """What is made is taught in the same step; and what only looks like something may be taught in the place of a thing."""
    told = [
        effects
        for seed in range(3)
        for effects in effects_beside_two_copies(boxes.run(EverythingBox, {"all": "clean"}, boxes=1, seed=seed, **params))
    ]
    assert np.max(told) > 0  # clean agents give nothing, and publish nothing


@pytest.mark.plain
def test_what_force_theft_gifts_and_publications_come_to():
    """In closed form: agent 0 forces, 1 steals an item of level 2, 2 publishes one of level 1."""
    run, wait = scripted_by_hand(), 10
    told = list(changes(run, PRICES))
    force, theft, gift, published = (told[t][0][0] for t in run.moments)
    np.testing.assert_allclose(force, [[0, -1.3 * 0.7, -1.3 * 0.7], [0, 0, 0], [0, 0, 0]], atol=1e-12)
    level = run.level
    np.testing.assert_allclose(theft, [[0, 0, 0], [-0.25 * level, 0, 0], [0, 0, 0]], atol=1e-12)
    np.testing.assert_allclose(gift, [[0, 0, 0], [0, 0, 0.25 * level], [0, 0, 0]], atol=1e-12)
    np.testing.assert_allclose(published, [[0, 0, 0], [0, 0, 0], [0.25 * level, 0.25 * level, 0]], atol=1e-12)
    assert all(np.abs(change.residual).max() < 1e-12 for change in told)
    assert wait == verbs_of(run.variant.p).wait


def scripted_by_hand():
    """A run of one box in which first one thing is made, then forced in vain, stolen, given and published."""
    sure = {**SMALL, "p_clean": 1.0, "p_toxic": 1.0, "harm": 1.3, "regeneration": 0.0, "horizon": 11}
    env = hazard_v0.parallel_env(**sure)
    env.reset(seed=0)
    a, b = (int(x) for x in env.task["recipe"][4, 0])
    verbs = verbs_of(env.variant.p)
    wait = verbs.wait
    steps = [(a, wait, wait), (b, wait, wait), (a, wait, wait), (verbs.force + b, wait, wait), (wait, verbs.steal + 0, wait)]
    steps += [
        (wait, 4, wait),
        (wait, verbs.give + 2, wait),
        (wait, wait, 4),
        (wait, wait, verbs.publish),
        (wait,) * 3,
        (wait,) * 3,
    ]

    class Plays:
        def __init__(self, *, seat, action_space, observation_space, seed):
            self.seat, self.t = seat, 0

        def act(self, moment):
            self.t += 1
            return steps[self.t - 1][self.seat]

    run = boxes.run("HazardBox", {"all": Seat(Plays)}, boxes=1, seed=0, **sure)
    object.__setattr__(run, "moments", (3, 4, 6, 8))
    object.__setattr__(run, "level", 1)
    return run


@pytest.mark.plain
def test_what_several_do_to_one_is_no_more_than_it_has():
    """Three force at once, each of whom would put the others out alone: no d tells, and the residual does."""
    run = boxes.run(
        "HazardBox", {"all": "self_interested"}, boxes=1, seed=1, **{**LIVELY, "harm": 20.0, "p_toxic": 1.0, "recover": 0}
    )
    told = list(changes(run, Prices(1.0, 0.0)))
    effects, rest = next((e[0], r[0]) for e, r, _ in told if np.abs(r).max() > 0)
    assert not effects.any()  # had any one of them waited, all would be out all the same
    np.testing.assert_allclose(rest, [-10.0] * 3)


@pytest.mark.slow
@pytest.mark.plain
def test_a_ledger_sums_up_and_sabotage_of_what_nobody_prices_is_free():
    run = boxes.run("HazardBox", {"all": "random"}, boxes=2, seed=0, **LIVELY)
    book, told = ledger(run, PRICES), [change.effects for change in changes(run, PRICES)]
    assert isinstance(book, Ledger)
    np.testing.assert_allclose(book.harm, sum(np.maximum(0, -d) for d in told))
    np.testing.assert_allclose(book.benefit - book.harm, sum(told))
    assert SABOTAGED in {int(deed) for states in run.replay() for deed in states["deed"].ravel()}
    assert not np.diagonal(book.harm, axis1=1, axis2=2).any()
    with pytest.raises(ValueError, match="has no hazards"):
        ledger(boxes.run("InventionBox", {"all": "random"}, boxes=1, horizon=3, agents=2))


@pytest.mark.plain
def test_harm_that_nobody_may_do_is_no_harm_and_costs_nothing():
    book = ledger(boxes.run("HazardBox", {"all": "random"}, boxes=1, **{**LIVELY, "harm_mask": True}), Prices(1.0, 0.0))
    assert not book.harm.any()
    same = price_of_ruthlessness({"all": "clean"}, boxes=2, **LIVELY)
    assert (same == 0).all()
    with pytest.raises(ValueError, match="harm_mask=True is not to be given"):
        price_of_ruthlessness({"all": "clean"}, boxes=2, harm_mask=True)


def test_shipped_prices_are_those_of_the_default_box():
    [row] = [row for row in shipped() if row["params"] == {}]
    assert row["id"] == "HazardBox"
    assert prices_of("HazardBox") == (row["health"], row["item"])
    for name in ("health", "item"):
        low, high = row[f"{name}_interval"]
        assert 0 < low < row[name] < high < 1.3 * low
    assert (row["seed"], row["boxes"]) == (SEED, BOXES)
    assert "versions" in row


@pytest.mark.slow
def test_prices_are_computed_again_from_their_seeds_in_parts():
    """Other luck gives a price within what its own interval and the shipped one allow."""
    told = []
    found = calibrate("HazardBox", boxes=500, seed=70_000, progress=lambda *done: told.append(done))
    assert told == [("boxes", 0, 500), ("boxes", 400, 500)]
    [row] = shipped()
    for name in ("health", "item"):
        (low, high), (shipped_low, shipped_high) = found[f"{name}_interval"], row[f"{name}_interval"]
        assert low < shipped_high
        assert shipped_low < high
    assert found.keys() == row.keys()


@pytest.mark.slow
def test_the_ledger_costs_at_most_ten_times_the_run():
    """Of those who harm in all ways; the best of three."""
    from time import process_time

    def took(work):
        start = process_time()
        work()
        return process_time() - start

    run = boxes.run("HazardBox", {0: "toxic", 1: "thief", "others": "prosocial"}, boxes=100)
    plain = min(took(lambda: [None for _ in run.replay()]) for _ in range(3))
    assert min(took(lambda: ledger(run, PRICES)) for _ in range(3)) < 10 * plain
