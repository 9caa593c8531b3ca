"""Social pay: closed forms, what others think of what one did, and the same in every kind of environment."""

import numpy as np
import pytest

from metarl_envs import boxes
from metarl_envs.boxes import SocialPay, hazard_v0
from metarl_envs.boxes.envs.social import inequity, oriented
from metarl_envs.boxes.world.mechanisms import verbs_of

pytestmark = pytest.mark.plain

SMALL = {"agents": 3, "notes": 1, "board": 2, "page": 2, "levels": 3, "width": 2, "bases": 4, "recipes": 1, "dead_ends": 0.0}
SURE = {**SMALL, "p_clean": 1.0, "p_toxic": 1.0, "harm": 1.3, "regeneration": 0.0, "horizon": 11}


def test_an_angle_weighs_own_pay_and_that_of_others():
    pay = np.array([[3.0, 0.0, 1.0]])
    np.testing.assert_allclose(oriented(pay, 0.0), pay)
    np.testing.assert_allclose(oriented(pay, 90.0), [[0.5, 2.0, 1.5]], atol=1e-12)
    np.testing.assert_allclose(oriented(pay, 45.0), np.sqrt(0.5) * np.array([[3.5, 2.0, 2.5]]))
    np.testing.assert_allclose(oriented(pay, -90.0), [[-0.5, -2.0, -1.5]], atol=1e-12)
    np.testing.assert_allclose(oriented(np.array([[2.0]]), 60.0), [[1.0]])  # nobody else


def test_it_costs_to_have_less_and_to_have_more():
    pay = np.array([[3.0, 0.0, 1.0]])
    np.testing.assert_allclose(inequity(pay, 1.0, 0.0), [[0.0, 2.0, 1.0]])
    np.testing.assert_allclose(inequity(pay, 0.0, 1.0), [[2.5, 0.0, 0.5]])
    np.testing.assert_allclose(inequity(pay, 5.0, 0.05), [[0.125, 10.0, 5.025]])
    assert not inequity(np.full((2, 4), 7.0), 3.0, 2.0).any()


def lived(social, **params):
    """What all are given and paid, step by step, where 0 makes a thing, 1 forces in vain and steals it, gives it to 2; ..."""
    env = hazard_v0.parallel_env(social=social, **{**SURE, **params})
    _, infos = env.reset(seed=0)
    assert all(info["pay"] == 0.0 for info in infos.values())
    a, b = (int(x) for x in env.task["recipe"][4, 0])
    verbs = verbs_of(env.variant.p)
    wait, made = verbs.wait, 4
    steps = [(a, wait, wait), (b, a, wait), (wait, verbs.force + b, wait), (wait, verbs.steal + 0, wait)]
    steps += [(wait, made, wait), (wait, verbs.give + 2, wait), (wait, wait, made), (wait, wait, verbs.publish)]
    steps += [(a, wait, made), (verbs.give + 1, wait, verbs.publish), (wait,) * 3]
    given, paid = [], []
    for actions in steps:
        _, rewards, _, _, infos = env.step({f"agent_{i}": action for i, action in enumerate(actions)})
        given.append(list(rewards.values()))
        paid.append([info["pay"] for info in infos.values()])
    return np.array(given), np.array(paid)


def test_pay_is_told_beside_what_is_given():
    given, paid = lived(SocialPay(svo=90.0))
    expected = np.zeros((11, 3))
    expected[1, 0], expected[2, 1] = 1.0, 1.0  # who makes it, and who forces the same
    np.testing.assert_array_equal(paid, expected)
    np.testing.assert_allclose(given, oriented(expected, 90.0), atol=1e-12)
    both, _ = lived(SocialPay(svo=30.0, aversion=(2.0, 0.5), approval=0.25))
    approved, _ = lived(SocialPay(approval=1.0))
    np.testing.assert_allclose(both, oriented(paid, 30.0) - inequity(paid, 2.0, 0.5) + 0.25 * (approved - paid), atol=1e-12)


@pytest.mark.parametrize(
    ("visibility", "stolen"),
    [("public", -1.0), ("private", 0.0), ("hidden", 0.0)],
)
def test_others_think_of_what_they_are_told(visibility, stolen):
    """Agent 1 forces (step 2), steals nothing, for it has the thing (3), and gives what 2 lacks (5); 2 publishes (7, 9)."""
    given, paid = lived(SocialPay(approval=1.0), visibility=visibility)
    expected = np.zeros((11, 3))
    expected[2, 1] = 0.0 if visibility == "hidden" else -1.0
    expected[3, 1] = stolen  # in vain: only the public is told
    expected[5, 1] = 1.0 if visibility == "public" else 0.5  # else only who was given it
    expected[7, 2] = 0.5  # 1 lacks what it gave away, and 0 has it
    np.testing.assert_allclose(given - paid, expected)  # at 9 nobody got anything: neither by gift, nor by publication


def test_what_one_took_oneself_earns_nobody_approval():
    """Agent 2 publishes what all have, while 1 steals another thing of 0; then 0 and 1 publish the same, which 2 lacks."""
    env = hazard_v0.parallel_env(social=SocialPay(approval=1.0), **{**SURE, "visibility": "hidden"})
    env.reset(seed=0)
    verbs, box = verbs_of(env.variant.p), env.world
    wait = verbs.wait
    box["held"][:, 4], box["held"][0, 5] = 1, 1
    env.step({"agent_0": wait, "agent_1": wait, "agent_2": 4})
    _, rewards, *_ = env.step({"agent_0": wait, "agent_1": verbs.steal, "agent_2": verbs.publish})
    assert box["gained"].tolist() == [0, 1, 0]
    assert rewards == {"agent_0": 0.0, "agent_1": 0.0, "agent_2": 0.0}
    box["held"][:2, 5] = 1
    env.step({"agent_0": 5, "agent_1": 5, "agent_2": wait})
    _, rewards, *_ = env.step({"agent_0": verbs.publish, "agent_1": verbs.publish, "agent_2": wait})
    assert rewards == {"agent_0": 0.5, "agent_1": 0.5, "agent_2": 0.0}


def test_batches_rows_and_single_boxes_give_the_same():
    social = SocialPay(svo=20.0, aversion=(1.0, 0.2), approval=0.5)
    params = {**SURE, "horizon": 40, "p_clean": 0.7}
    batch = boxes.make_vec("HazardBox", 3, social=social, autoreset_mode="SameStep", **params)
    flat = boxes.make_vec("HazardBox", 3, flat=True, social=social, autoreset_mode="SameStep", **params)
    single, plain = hazard_v0.parallel_env(social=social, **params), boxes.make_vec("HazardBox", 3, **params)
    _, info = batch.reset(seed=4)
    assert not info["pay"].any()
    flat.reset(seed=4), single.reset(seed=5), plain.reset(seed=4)
    rng, seen = np.random.default_rng(0), 0
    for t in range(40):
        actions = rng.integers(0, batch.single_action_space.n, (3, 3))
        _, rewards, _, _, info = batch.step(actions)
        _, by_rows, _, _, row_info = flat.step(actions.reshape(-1))
        _, alone, _, _, infos = single.step({f"agent_{i}": int(action) for i, action in enumerate(actions[1])})
        _, pay, *_ = plain.step(actions)
        np.testing.assert_array_equal(info["pay"], pay)
        np.testing.assert_array_equal(by_rows, rewards.reshape(-1))
        np.testing.assert_array_equal(row_info["pay"], pay.reshape(-1))
        np.testing.assert_array_equal(list(alone.values()), rewards[1])
        assert [one["pay"] for one in infos.values()] == pay[1].tolist()
        seen += (rewards != pay).any()
        if t == 39:
            np.testing.assert_array_equal(info["final_info"]["pay"], pay)
    assert seen > 10
    assert "pay" not in plain.reset()[1]


def test_social_pay_is_for_all_boxes_and_approval_for_those_with_hazards():
    tiny = {"agents": 2, "horizon": 3}
    assert boxes.make_vec("InventionBox", 1, social=SocialPay(svo=45), **tiny)
    with pytest.raises(ValueError, match=r"approval=1.*nobody in InventionBox.* harms others.*give health above 0"):
        boxes.make_vec("InventionBox", 1, social=SocialPay(approval=1), **tiny)
    with pytest.raises(TypeError, match=r"social=\{'svo': 45\} must be a SocialPay"):
        boxes.make_vec("InventionBox", 1, social={"svo": 45}, **tiny)


@pytest.mark.parametrize(
    ("given", "error", "said"),
    [
        ({"svo": 200}, ValueError, "svo=200 must be an angle in degrees, from -180 to 180"),
        ({"svo": float("nan")}, ValueError, "svo=nan must be finite"),
        ({"svo": "45"}, TypeError, "svo='45' must be a number"),
        ({"aversion": 5.0}, TypeError, r"aversion=5.0 must be two numbers"),
        ({"aversion": (5.0, -1.0)}, ValueError, r"aversion=\(5.0, -1.0\) must be at least 0"),
        ({"aversion": (5.0, "a")}, TypeError, "must be numbers"),
        ({"approval": True}, TypeError, "approval=True must be a number"),
    ],
)
def test_what_is_no_social_pay_is_refused(given, error, said):
    with pytest.raises(error, match=said):
        SocialPay(**given)
