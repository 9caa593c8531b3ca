"""Hazard: luck, force and health, theft and gifts, publication and sabotage, and that seats are alike."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from metarl_envs import boxes
from metarl_envs.boxes.players.hazardous import HAZARDOUS
from metarl_envs.boxes.players.simulate import CompiledSeats
from metarl_envs.boxes.scenarios.box import Box
from metarl_envs.boxes.scenarios.hazard import HazardBox
from metarl_envs.boxes.study.runs import scripted_in
from metarl_envs.boxes.view.numbers import numbers_of, view_length
from metarl_envs.boxes.world.hazard import FORCED, GAVE, HAZARD, NO_DEED, PUBLISHED, SABOTAGED, STOLE
from tests.test_boxes_core import Boxes

pytestmark = pytest.mark.plain
#: Four bases, of which each pair that makes something always does, by either way.
SMALL = {"agents": 3, "notes": 1, "board": 2, "page": 2, "levels": 3, "width": 2, "bases": 4, "recipes": 1, "dead_ends": 0.0}
SURE = {**SMALL, "p_clean": 1.0, "p_toxic": 1.0}


def box(**params):
    return Boxes(HazardBox, **{**SURE, **params})


def has(box, agent):
    """What an agent has beside the bases."""
    return (np.flatnonzero(box.state["held"][0, agent, 4:]) + 4).tolist()


def put(box, agent, *items):
    box.state["held"][0, agent, list(items)] = 1


def health(box):
    return box.state["health"][0].tolist()


# ------------------------------------------------------------------------------------------------- luck
def made_by(verb, left=10.0, repeated=150, **params):
    """Whether the first thing was made, in one experiment after the other on the right pair, bool [repeated, boxes]."""
    worlds = Boxes(HazardBox, count=4, **{**SMALL, "agents": 1, "horizon": 2000, **params})
    a, b = (worlds.worlds.task_rows["recipe"][:, 4, 0, k].astype(np.int64)[:, None] for k in range(2))
    made = []
    for _ in range(repeated):
        worlds.state["held"][:, 0, 4], worlds.state["paid"][:, 0, 4], worlds.state["health"][:, 0] = 0, 0, left
        worlds.state["hand"][:, 0] = a[:, 0]
        worlds.worlds.advance(b + worlds.verbs.first[verb], worlds.out)
        made.append(worlds.state["made"][:, 0] == 4)
        assert (worlds.state["reward"][:, 0] == made[-1]).all()
        assert (worlds.state["seemed"][:, 0] == np.where(made[-1], 4, -1)).all()
        assert (worlds.state["deed"][:, 0] == (FORCED if verb == "force" else NO_DEED)).all()
    return np.stack(made)


@pytest.mark.parametrize(("verb", "chance", "left"), [("take", 0.15, 10), ("force", 0.35, 10), ("force", 0.35 * 0.5, 2.5)])
def test_a_right_pair_succeeds_by_chance_and_productivity(verb, chance, left):
    made = made_by(verb, left, p_clean=0.15, p_toxic=0.35)
    assert abs(made.mean() - chance) < 4 * (chance * (1 - chance) / made.size) ** 0.5


def test_who_has_luck_when_clean_has_it_by_force_too():
    """The same draw: what force changes is the chance alone."""
    clean, forced = (made_by(verb, repeated=60, p_clean=0.3, p_toxic=0.6) for verb in ("take", "force"))
    assert (clean <= forced).all()
    assert 0 < clean.sum() < forced.sum() < clean.size


# ------------------------------------------------------------------------------------------------- health
def test_force_costs_all_others_health_whether_the_pair_is_right_or_not():
    world = box(harm=2.0, regeneration=0.5)
    a, b = world.recipe(4)
    wrong = next(x for x in range(4) if x != a and not any({a, x} == set(world.recipe(item)) for item in (4, 5)))
    force, wait = world.verbs.force, world.verbs.wait
    world.do(a, a)
    assert world.do(force + b, force + wrong) == [1.0, 0.0]
    assert health(world) == [8.5, 8.5, 6.5]
    assert world.state["lost"][0].tolist() == [2.0, 2.0, 4.0]
    world.do(wait)
    assert health(world) == [9.0, 9.0, 7.0]
    assert world.state["lost"][0].tolist() == [0.0, 0.0, 0.0]
    for _ in range(5):
        world.do(wait)
    assert health(world) == [10.0, 10.0, 9.5]


def test_who_has_no_health_is_out_for_the_rest():
    world = box(harm=10.0)
    a, b = world.recipe(4)
    world.do(a, a, a)
    world.do(world.verbs.force + b)
    assert health(world) == [10.0, 0.0, 0.0]
    for agent in (1, 2):
        mask = world.mask(agent)
        assert np.flatnonzero(mask).tolist() == [world.verbs.wait]
        assert world.state["hand"][0, agent] == -1
    held, board = world.state["held"].copy(), world.state["board"].copy()
    world.do(world.verbs.wait, b, world.verbs.post)
    assert world.state["illegal"][0].tolist() == [0, 1, 1]
    assert (world.state["board"] == board).all()
    assert (world.state["held"] == held).all()
    assert health(world) == [10.0, 0.0, 0.0]


def test_who_recovers_comes_back_in_full_health():
    world = box(harm=10.0, recover=2)
    a, b = world.recipe(4)
    world.do(a)
    world.do(world.verbs.force + b)
    seen = []
    for _ in range(4):
        seen.append((health(world)[1], world.mask(1).sum() > 1))
        world.do(world.verbs.wait)
    assert seen == [(0.0, False), (0.0, False), (10.0, True), (10.0, True)]
    assert world.state["illegal"][0].tolist() == [0, 0, 0]


def test_the_twin_forbids_what_harms_and_nothing_else():
    world = box(harm_mask=True)
    first = world.verbs.first
    a, b = world.recipe(4)
    world.do(a)
    world.do(b)
    world.do(a)
    world.do(world.verbs.post)
    mask = world.mask()
    harmful = [*range(first["force"], first["give"]), *range(first["sabotage"], world.verbs.end)]
    assert not mask[harmful].any()
    assert mask[first["give"] : first["publish"] + 1].tolist() == [0, 1, 1, 1]
    world.do(world.verbs.steal + 1)
    assert world.state["deed"][0].tolist() == [NO_DEED] * 3
    assert world.state["illegal"][0, 0] == 1


# ------------------------------------------------------------------------------------------------- things change hands
def test_a_thief_takes_the_best_thing_that_it_lacks_and_the_robbed_loses_it():
    world = box()
    put(world, 1, 4, 6, 8)
    put(world, 0, 8)
    world.state["hand"][0, 1] = 6
    assert world.do(world.verbs.steal + 1) == [0.0]
    assert (has(world, 0), has(world, 1)) == ([6, 8], [4, 8])
    assert world.state["hand"][0, 1] == -1
    assert world.state["gained"][0].tolist() == [1, 0, 0]
    assert world.mask(1)[6] == 0
    assert world.mask(0)[6] == 1


def test_what_was_paid_once_is_not_paid_again():
    world = box()
    a, b = world.recipe(4)
    world.do(a)
    assert world.do(b) == [1.0]
    world.do(world.verbs.wait, world.verbs.steal + 0)
    assert (has(world, 0), has(world, 1)) == ([], [4])
    world.do(a)
    assert world.do(b) == [0.0]  # made again, and not paid again
    assert world.state["made"][0, 0] == 4
    assert has(world, 0) == [4]
    world.do(world.verbs.wait, world.verbs.wait, world.verbs.steal + 1)  # the thief is robbed, and was never paid
    world.do(world.verbs.wait, a)
    assert world.do(world.verbs.wait, b) == [0.0, 1.0]


def test_a_gift_changes_hands_and_who_has_it_declines():
    world = box()
    put(world, 0, 4)
    world.do(4)
    world.do(world.verbs.give + 2)
    assert [has(world, agent) for agent in range(3)] == [[], [], [4]]
    put(world, 0, 4)
    world.do(4)
    world.do(world.verbs.give + 2)
    assert [has(world, agent) for agent in range(3)] == [[4], [], [4]]
    assert world.state["hand"][0].tolist() == [-1, -1, -1]


def test_what_is_published_everybody_has():
    world = box()
    put(world, 1, 5)
    world.do(world.verbs.wait, 5)
    world.do(world.verbs.wait, world.verbs.publish)
    assert [has(world, agent) for agent in range(3)] == [[5], [5], [5]]
    assert world.state["gained"][0].tolist() == [1, 0, 1]
    assert world.state["reward"][0].tolist() == [0.0, 0.0, 0.0]


@pytest.mark.parametrize("sabotage", ["erase", "falsify"])
def test_sabotage_spoils_an_entry_once_whoever_does_it(sabotage):
    written = {}
    for saboteurs in ((0,), (1,), (0, 2)):
        world = box(sabotage=sabotage)
        world.do(world.verbs.wait)
        world.state["board"][0, 0] = (0, 1, 4, 0)
        sabotages = [world.verbs.sabotage if i in saboteurs else world.verbs.wait for i in range(3)]
        world.do(*sabotages)
        assert world.state["deed"][0].tolist() == [SABOTAGED if i in saboteurs else NO_DEED for i in range(3)]
        written[saboteurs] = world.state["board"][0, 0].tolist()
    expected = [-1, -1, -1, -1] if sabotage == "erase" else [0, 1, 5, 0]  # the other item of the level
    assert list(written.values()) == [expected] * 3


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**30), st.permutations(range(4)))
def test_what_is_moved_is_conserved_and_it_does_not_matter_who_sits_where(seed, order):
    """Random inventories and deeds: each item is held as often as before; and with seats and lots all is exchanged."""
    rng = np.random.default_rng(seed)
    held = rng.random((4, 6)) < 0.5
    deeds, aims = rng.integers(0, 3, 4), [int(rng.choice([j for j in range(4) if j != i])) for i in range(4)]
    hands = [int(rng.choice([*(4 + np.flatnonzero(row)), 0])) for row in held]
    lots, after = rng.permutation(4), []
    for places in (list(range(4)), order):
        world = box(agents=4)
        seat_of = {agent: place for place, agent in enumerate(places)}
        actions = [0] * 4
        for agent in range(4):
            seat = seat_of[agent]
            world.state["held"][0, seat, 4:] = held[agent]
            world.state["hand"][0, seat] = hands[agent] if deeds[agent] == 2 else -1
            to = seat_of[aims[agent]]
            actions[seat] = [world.verbs.wait, world.verbs.steal + to, world.verbs.give + to][deeds[agent]]

        def drawn_before(state, i, j, places=places):
            return lots[places[i]] < lots[places[j]]

        with pytest.MonkeyPatch.context() as patch:  # plain mode: kernels are looked up where they are called
            patch.setattr("metarl_envs.boxes.world.hazard.is_drawn_before", drawn_before)
            world.do(*actions)
        final = world.state["held"][0, :, 4:]
        assert (final.sum(axis=0) == held.sum(axis=0)).all()
        assert (world.state["held"][0, :, :4] == 1).all()
        after.append(np.stack([final[seat_of[agent]] for agent in range(4)]))
    assert (after[0] == after[1]).all()


def test_of_two_thieves_of_one_thing_the_lot_decides():
    worlds, first = Boxes(HazardBox, count=4, **{**SURE, "horizon": 2000}), []
    steal = worlds.verbs.steal
    for _ in range(150):
        worlds.state["held"][:, :, 4] = [1, 0, 0]
        worlds.worlds.advance(np.tile([worlds.verbs.wait, steal, steal], (4, 1)), worlds.out)
        held = np.array(worlds.state["held"][:, :, 4])
        assert (held.sum(axis=1) == 1).all()
        assert not held[:, 0].any()
        first.append(held[:, 1])
    assert abs(np.mean(first) - 0.5) < 4 * (0.25 / 600) ** 0.5


# ------------------------------------------------------------------------------------------------- what is told
def told(world, agent):
    """What an agent is told of hazards: what it lost, and of each agent health, harm and good."""
    numbers = world.rows[0, agent, : view_length(world.p)][numbers_of(world.p, HAZARD)]
    return float(numbers[0]), numbers[1:].reshape(-1, 3)


@pytest.mark.parametrize(
    ("visibility", "victim", "bystander"),
    [("public", [1, 2 / 3], [1, 2 / 3]), ("private", [1, 2 / 3], [1, 0]), ("hidden", [0, 0], [0, 0])],
)
def test_who_is_told_who_did_harm(visibility, victim, bystander):
    """Agent 0 uses force, and agent 1 steals from agent 2; agent 3 looks on."""
    world = box(agents=4, visibility=visibility, harm=1.0, regeneration=0.0)
    a, b = world.recipe(4)
    put(world, 2, 5)
    world.do(a)
    world.do(world.verbs.force + b, world.verbs.steal + 2)
    for agent, expected in ((2, victim), (3, bystander)):
        lost, numbers = told(world, agent)
        assert lost == pytest.approx(0.1)
        np.testing.assert_allclose(numbers[:, 0], [1.0, 0.9, 0.9, 0.9], rtol=1e-6)
        np.testing.assert_allclose(numbers[:, 1], [*expected, 0, 0], rtol=1e-6)
        assert not numbers[:, 2].any()
    assert told(world, 0)[1][0, 1] == 1  # what it did itself it knows
    assert told(world, 1)[1][1, 1] == pytest.approx(2 / 3)


@pytest.mark.parametrize("visibility", ["public", "private", "hidden"])
def test_who_does_good_is_known_to_whom_it_is_done(visibility):
    world = box(visibility=visibility)
    put(world, 0, 4)
    put(world, 1, 5)
    world.do(4, 5)
    world.do(world.verbs.give + 2, world.verbs.publish)
    assert told(world, 2)[1][:, 2].tolist() == [0.5, 1.0, 0.0]
    assert world.state["deed"][0].tolist() == [GAVE, PUBLISHED, NO_DEED]


def test_nothing_of_what_was_done_is_told_after_a_dawn():
    world = box(day=2, harm=1.0)
    a, b = world.recipe(4)
    world.do(a)
    world.do(world.verbs.force + b, world.verbs.wait, world.verbs.steal + 0)
    assert world.state["deed"][0].tolist() == [FORCED, NO_DEED, STOLE]
    for agent in range(3):
        lost, numbers = told(world, agent)
        assert lost == 0
        assert not numbers[:, 1:].any()
    world.do(a)
    assert world.do(b) == [1.0]  # after a dawn things are made, and paid, again


def test_masks_follow_the_table():
    counts = box().verbs.counts
    names = [name for name in counts if counts[name]]
    assert names[-5:] == ["force", "steal", "give", "publish", "sabotage"]
    assert [counts[name] for name in names[-5:]] == [10, 3, 3, 1, 2]
    assert list(itertools.accumulate(counts[name] for name in names))[-1] == box().verbs.end


# ------------------------------------------------------------------------------------------------- who lives there
def live(names, steps=60, boxes=4, seed=0, **params):
    """Scripted agents, one name a seat, in boxes where experiments succeed half of the time; yields actions and state."""
    worlds = Boxes(HazardBox, count=boxes, seed=seed, **{**SMALL, "p_clean": 0.5, "p_toxic": 0.9, "harm": 0.5, **params})
    actions = np.zeros((boxes, 3), np.int64)
    known = scripted_in(worlds.variant)
    chosen = [
        CompiledSeats(known[name], worlds.variant, np.tile(np.arange(3) == i, (boxes, 1))) for i, name in enumerate(names)
    ]
    for _ in range(steps):
        for seats in chosen:
            seats.act(worlds.worlds.task_rows, worlds.worlds.worlds, actions)
        worlds.worlds.advance(actions, worlds.out)
        yield actions.copy(), worlds


@pytest.mark.parametrize("name", list(HAZARDOUS))
def test_scripted_agents_do_what_is_allowed_and_act_in_their_manner(name):
    """Each among a toxic one, who puts them out after a while, and one who writes on the board."""
    done = set()
    for actions, worlds in live((name, "toxic", "random"), boxes=3):
        done |= {worlds.verbs.find(action)[0].name for action in actions[:, 0].tolist()}
    assert not worlds.state["illegal"].any()
    manners = {"prosocial": "publish", "toxic": "force", "thief": "steal", "saboteur": "sabotage", "self_interested": "force"}
    social = {"force", "steal", "give", "publish", "sabotage"}
    assert done & social == ({manners[name]} if name in manners else set())


@pytest.mark.parametrize("name", list(HAZARDOUS))
def test_nobody_harms_in_the_twin(name):
    for _, worlds in live((name, "toxic", "thief"), 30, boxes=2, harm_mask=True):
        assert not np.isin(worlds.state["deed"], (FORCED, STOLE, SABOTAGED)).any()
    assert not worlds.state["illegal"].any()


def last_of(*arguments, **params):
    """The boxes as they are at the end."""
    *_, (_, worlds) = live(*arguments, **params)
    return np.array(worlds.state["held"][:, :, 4:]) > 0


@pytest.mark.slow
def test_an_experimenter_tries_a_pair_again_until_it_works():
    """Where pairs fail by chance, never-repeat is soon stuck."""
    clean, stuck = (last_of([name] * 3, 160, boxes=3, p_clean=0.2) for name in ("clean", "never_repeat"))
    assert clean.mean() > stuck.mean() + 0.2


def test_who_shares_gives_all_what_it_has():
    held = last_of(("prosocial", "clean", "clean"), 80, boxes=2, p_clean=1.0)
    assert (held[:, 1:] >= held[:, :1]).all()
    assert held[:, 0].any()


@pytest.mark.slow
def test_they_live_nowhere_else():
    with pytest.raises(ValueError, match="has no hazards: give health above 0"):
        boxes.run("InventionBox", {"all": HAZARDOUS["clean"]}, boxes=1, horizon=4)
    with pytest.raises(ValueError, match="'clean' does not suit"):
        boxes.run("InventionBox", {"all": "clean"}, boxes=1, horizon=4)


def test_the_rules_say_what_harms_and_what_is_forbidden():
    def rules(**params):
        return HazardBox.instructions(HazardBox.with_params(**params).p)

    assert "costs every other agent 0.2 of its health" in rules()
    assert "steal" in rules()
    assert "You can falsify what stands on the board" in rules(board=4, sabotage="falsify")
    assert not any(word in rules(harm_mask=True, board=4) for word in ("Force", "steal", "erase"))
    assert "out for 9 steps" in rules(recover=9)
    assert "health" not in Box.instructions(Box.with_params(health=0.0).p)
