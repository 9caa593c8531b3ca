"""The figures that continuous families state, closed forms, and Gymnasium's own environments step by step."""

import math
import types

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.envs.classic_control import cartpole, pendulum

import metarl_envs
from metarl_envs.engine import Row
from metarl_envs.engine.truth.solving import exact_returns
from metarl_envs.evaluation.references import scale_of
from metarl_envs.histories import lifetime_returns
from metarl_envs.learners import random_policy

POINT, SPARSE = "MetaRL/PointRobot-v0", "MetaRL/PointRobotSparse-v0"
CART, PENDULUM = "MetaRL/CartPole-v0", "MetaRL/Pendulum-v0"


def lives_of(id, policy, count, split=None, **params):
    """What a policy earns in one episode on each of many tasks."""
    tasks = metarl_envs.tasks(id, split=split, **params)
    learner = random_policy(tasks.variant) if policy == "random" else tasks.variant.family.references[policy]
    return lifetime_returns(tasks.sample(count, seed=1), tasks.variant, learner, np.arange(count), episodes=1).sum(axis=1)


def assert_near(values, expected, tolerance=0.0):
    """The mean is within four standard errors and the tolerance of what is expected."""
    error = values.std() / np.sqrt(len(values))
    assert abs(values.mean() - expected) <= 4 * error + tolerance, f"{values.mean():.3f} +- {error:.3f}, not {expected}"


# ------------------------------------------------------------------------------------------------- against Gymnasium
#: What goes by Gymnasium's name, its own id, and how its module is called.
TWINS = {CART: ("CartPole-v1", cartpole), PENDULUM: ("Pendulum-v1", pendulum)}
twins = pytest.mark.parametrize("id", TWINS)


@pytest.fixture
def exact_sines(monkeypatch):
    """Sines as C has them, which NumPy works out by itself on some processors, with another last bit."""
    numbers = types.ModuleType("numpy")
    numbers.__dict__.update(np.__dict__)
    numbers.__dict__.update(sin=lambda x: np.float64(math.sin(x)), cos=lambda x: np.float64(math.cos(x)))
    for _, module in TWINS.values():
        monkeypatch.setattr(module, "np", numbers)


def pair(id):
    """This package's environment on Gymnasium's own dynamics, and Gymnasium's."""
    return gym.make(id, vary="nothing", flip=False).unwrapped, gym.make(TWINS[id][0]).unwrapped


def put(env, x):
    """Put the world into a state of motion."""
    state = env.get_state()
    state["worlds"]["state"]["x"][0] = x
    env.set_state(state)


def motion(env):
    return env.get_state()["worlds"]["state"]["x"][0]


def steps_side_by_side(id, steps):
    """Step both with the same actions; yields results of both, and both states, where each step started from one state."""
    ours, theirs = pair(id)
    rng = np.random.default_rng(0)
    while steps:
        ours.reset(seed=0)
        theirs.reset(seed=steps)
        if id == CART and steps % 3 == 0:  # pushes from places that balancing never leads to
            theirs.state = rng.uniform(-1, 1, 4) * [2.3, 4, 0.2, 4]
        put(ours, theirs.state)
        careful, over = rng.random() < 0.8, False
        for _ in range(200):
            x = theirs.state.copy()
            if id == CART:
                action = int(x[2] + 0.2 * x[3] > 0) if careful and rng.random() < 0.9 else int(rng.integers(2))
            else:
                action = rng.uniform(-2, 2, 1).astype(np.float32) if rng.random() < 0.5 else np.float32([rng.choice([-2, 2])])
            mine, gymnasium = ours.step(action), theirs.step(action)
            steps -= 1
            yield mine[:4], gymnasium[:4], motion(ours), theirs.state
            over = mine[2] or mine[3]
            if over or gymnasium[2] or steps == 0:
                break


@twins
@pytest.mark.parametrize("steps", [3000, pytest.param(50_000, marks=pytest.mark.slow)])
def test_the_same_as_gymnasium_step_by_step_to_the_last_bit(id, steps, exact_sines):
    terminations = unequal = 0
    for mine, theirs, x, y in steps_side_by_side(id, steps):
        assert (x == y).all()
        assert mine[0].dtype == theirs[0].dtype
        assert (mine[0] == theirs[0]).all()
        assert abs(mine[1] - theirs[1]) < 5e-10  # torque**2 is a power in single precision there, not always the square
        unequal += mine[1] != theirs[1]
        assert mine[2] == theirs[2]
        terminations += mine[2]
    assert terminations > steps / 500 or id == PENDULUM
    assert unequal <= (steps / 500 if id == PENDULUM else 0)


@twins
def test_the_same_as_gymnasium_with_the_sines_of_this_processor(id):
    for mine, theirs, x, y in steps_side_by_side(id, 2000):
        assert np.abs(x - y).max() < 1e-6
        assert np.abs(mine[0] - theirs[0]).max() < 1e-5
        assert abs(mine[1] - theirs[1]) < 1e-5
        assert mine[2] == theirs[2]


@twins
def test_spaces_horizons_and_rewards_are_gymnasiums(id):
    ours, theirs = pair(id)
    assert ours.observation_space == theirs.observation_space
    assert ours.action_space == theirs.action_space
    assert ours.variant.horizon == gym.make(TWINS[id][0]).spec.max_episode_steps


@twins
def test_another_task_is_another_world_and_a_flipped_one_a_mirror(id):
    """Gymnasium's own class with other attributes is what a task of other dynamics is."""
    ours, theirs = gym.make(id).unwrapped, gym.make(TWINS[id][0]).unwrapped
    action = 1 if id == CART else np.float32([1.5])
    mirrored = 0 if id == CART else -action
    for row in ours.tasks.sample(50, seed=3):
        task = Row(row)
        if id == CART:
            theirs.gravity, theirs.masscart, theirs.masspole, theirs.length = (
                *(task.gravity, task.masscart, task.masspole),
                task.length,
            )
            theirs.total_mass = theirs.masspole + theirs.masscart
            theirs.polemass_length = theirs.masspole * theirs.length
            theirs.force_mag = task.force
        else:
            theirs.g, theirs.m, theirs.l = task.gravity, task.mass, task.length
        ours.reset(seed=0, options={"task": row})
        theirs.reset(seed=1)
        put(ours, theirs.state)
        ours.step(action)
        theirs.step(action if task.sign > 0 else mirrored)
        np.testing.assert_allclose(motion(ours), theirs.state, rtol=1e-6, atol=1e-7)


@twins
def test_starts_are_spread_as_gymnasiums(id):
    envs = gym.make_vec(id, num_envs=4000)
    envs.reset(seed=0)
    starts = envs.get_state()["worlds"]["state"]["x"]
    bound = 0.05 if id == CART else np.array([math.pi, 1.0])
    assert (abs(starts) <= bound).all()
    assert np.abs(starts.mean(axis=0) / bound).max() < 0.05
    assert starts.std(axis=0) / bound == pytest.approx(3**-0.5, rel=0.05)


# ------------------------------------------------------------------------------------------------- hidden dynamics
RANGES = {
    (CART, "packer"): {"force": (5, 15), "length": (0.25, 0.75), "masspole": (0.05, 0.5)},
    (CART, "xenoverse"): {"gravity": (1, 11), "masscart": (0.5, 2), "masspole": (0.05, 0.2), "length": (0.25, 1)},
    (PENDULUM, "packer"): {"mass": (0.75, 1.25), "length": (0.75, 1.25)},
}
OUTER = {
    CART: {"force": (1, 20), "length": (0.05, 1), "masspole": (0.01, 1)},
    PENDULUM: {"mass": (0.5, 1.5), "length": (0.5, 1.5)},
}


@pytest.mark.parametrize(("id", "vary"), RANGES)
def test_what_varies_is_uniform_in_its_range_and_the_rest_gymnasiums(id, vary):
    rows = metarl_envs.tasks(id, vary=vary).sample(4000, seed=0)
    own = metarl_envs.tasks(id, vary="nothing", flip=False)[0]
    for name in rows.dtype.names:
        values = rows[name]
        if name in RANGES[id, vary]:
            low, high = RANGES[id, vary][name]
            quantiles = (np.quantile(values, [0, 0.25, 0.5, 0.75, 1]) - low) / (high - low)
            assert np.abs(quantiles - [0, 0.25, 0.5, 0.75, 1]).max() < 0.03, name
        elif name != "sign":
            assert (values == own[name]).all(), name
    assert abs(rows["sign"].mean()) < 0.1
    assert set(rows["sign"]) == {-1, 1}


@twins
def test_extrapolation_lies_outside_of_the_training_range(id):
    rows = metarl_envs.tasks(id, split="extrapolation").sample(4000, seed=0)
    for name, (low, high) in OUTER[id].items():
        inner_low, inner_high = RANGES[id, "packer"][name]
        values = rows[name]
        assert (values >= low).all()
        assert (values <= high).all()
        assert not ((values > inner_low) & (values < inner_high)).any()
        below = (inner_low - low) / (inner_low - low + high - inner_high)
        assert (values <= inner_low).mean() == pytest.approx(below, abs=0.03)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("policy", "expected"), [("random", 22.6), ("oracle", 500.0), ("nominal", 253.3), ("finds_sign", 500.0)]
)
def test_cart_pole_figures(policy, expected):
    assert_near(lives_of(CART, policy, 5000), expected, tolerance=0.1 if policy == "random" else 0.0)


def test_cart_pole_needs_no_memory_where_actions_are_not_flipped():
    assert (lives_of(CART, "nominal", 1000, flip=False) == 500).all()
    assert (lives_of(CART, "oracle", 1000, vary="nothing") == 500).all()


@pytest.mark.slow
@pytest.mark.parametrize(("policy", "expected"), [("random", 23.7), ("oracle", 499.9), ("finds_sign", 471.7)])
def test_cart_pole_figures_where_it_extrapolates(policy, expected):
    assert_near(lives_of(CART, policy, 5000, split="extrapolation"), expected, tolerance=0.1)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("policy", "expected"), [("random", -1242.6), ("oracle", -148.2), ("nominal", -992.5), ("finds_sign", -151.8)]
)
def test_pendulum_figures(policy, expected):
    assert_near(lives_of(PENDULUM, policy, 5000), expected, tolerance=0.1)


def test_pendulum_figures_on_gymnasiums_own_dynamics_and_where_it_extrapolates():
    assert_near(lives_of(PENDULUM, "oracle", 5000, vary="nothing", flip=False), -150.2, tolerance=0.1)
    assert_near(lives_of(PENDULUM, "oracle", 5000, split="extrapolation"), -142.5, tolerance=0.1)
    assert_near(lives_of(PENDULUM, "finds_sign", 5000, split="extrapolation"), -270.9, tolerance=0.1)


# ------------------------------------------------------------------------------------------------- point robots
@pytest.mark.slow
@pytest.mark.parametrize("id", [POINT, SPARSE])
def test_point_robot_oracle_earns_what_the_formula_says(id):
    tasks = metarl_envs.tasks(id)
    rows = tasks.sample(200, seed=2)
    exact = np.array([exact_returns(tasks.variant, row).oracle for row in rows])
    lived = lifetime_returns(rows, tasks.variant, tasks.variant.family.references["oracle"], np.arange(200), episodes=1)[:, 0]
    assert lived == pytest.approx(exact, abs=1e-4)  # actions are in single precision
    scale = scale_of(tasks.variant, rows[:3])
    assert (scale.oracle == exact[:3]).all()
    assert np.isfinite(scale.random).all()


def test_no_walk_is_better_than_the_oracle_of_the_point_robot():
    """The straight line that is drawn in papers, and random changes of the oracle's own walk."""
    rng = np.random.default_rng(0)
    tasks = metarl_envs.tasks(POINT)
    for row in tasks.sample(20, seed=4):
        best, goal = exact_returns(tasks.variant, row).oracle, row["goal"]
        straight = np.clip(np.outer(np.arange(1, 101) / 10 / np.abs(goal).max(), goal), -abs(goal), abs(goal))
        assert -np.hypot(*(straight - goal).T).sum() <= best + 1e-9
        for _ in range(20):
            moves = np.clip(rng.normal(np.sign(goal) * 0.08, 0.03, (100, 2)), -0.1, 0.1)
            assert -np.hypot(*(np.cumsum(moves, axis=0) - goal).T).sum() < best


@pytest.mark.parametrize(
    ("id", "policy", "expected"),
    [(POINT, "random", -109.18), (POINT, "oracle", -3.839), (SPARSE, "random", 0.559), (SPARSE, "oracle", 93.386)],
)
def test_point_robot_figures(id, policy, expected):
    assert_near(lives_of(id, policy, 20_000), expected)


def walk_and_stay(id, stop):
    """The mean over goals of what is earned by a straight walk to a place, and staying there: a policy without memory."""
    angles = (np.arange(4000) + 0.5) / 4000 * math.pi
    goals = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    path = np.minimum(np.arange(1, 11) * 0.1 / max(*abs(stop), 1e-9), 1)[:, None] * stop
    distance = np.linalg.norm(path[:, None] - goals[None], axis=2)
    paid = (-distance if id == POINT else np.where(distance <= 0.2, 1 - distance, 0)).mean(axis=1)
    return paid.sum() + 90 * paid[-1]


def mean_memoryless(id, **params):
    """What the best policy without memory earns in the mean over goals at even angles."""
    variant = metarl_envs.tasks(id, **params).variant
    angles = np.radians(variant.p.low + 180 * (np.arange(1000) + 0.5) / 1000)
    goals = np.zeros(len(angles), variant.task)
    goals["goal"] = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    return np.mean([variant.memoryless_best(goal) for goal in goals])


@pytest.mark.parametrize("id", [POINT, SPARSE])
def test_memoryless_best_of_a_point_robot_against_many_walks(id):
    """Straight walks to every place of a grid: the best of them is nearly as good as what is stated, and none is better."""
    stated = mean_memoryless(id)
    best = max(walk_and_stay(id, np.array([x, y])) for x in np.linspace(0, 1, 21) for y in np.linspace(0, 1, 21))
    assert stated == pytest.approx(best, rel=0.01)
    assert stated >= best - 0.001 * abs(best)
    assert mean_memoryless(id, split="lower_half") == pytest.approx(stated)


def test_memoryless_best_is_not_claimed_where_it_is_not_worked_out():
    for id, params in ((POINT, {"low": 0.0, "high": 90.0}), (SPARSE, {"low": 0.0, "high": 40.0}), (SPARSE, {"radius": 0.9})):
        tasks = metarl_envs.tasks(id, **params)
        assert tasks.variant.memoryless_best(tasks[0]) is None


def test_goals_lie_on_their_semicircle():
    upper, lower = (metarl_envs.tasks(POINT, split=split).sample(3000)["goal"] for split in (None, "lower_half"))
    for goals, side in ((upper, 1), (lower, -1)):
        assert np.allclose(np.hypot(*goals.T), 1)
        assert (side * goals[:, 1] >= -1e-12).all()
        assert abs(goals[:, 0].mean()) < 0.05
        assert goals[:, 0].std() == pytest.approx(0.5**0.5, rel=0.03)


def test_a_sparse_reward_is_paid_within_the_radius_alone():
    env = gym.make(SPARSE)
    env.reset(seed=0, options={"task": {"goal": (1.0, 0.0)}})
    paid = [env.step(np.float32([1, 0]))[1] for _ in range(13)]
    assert paid[:7] == [0] * 7
    assert paid[8:11] == pytest.approx([0.9, 1, 0.9], abs=1e-6)
    assert paid[12] == 0


@pytest.mark.parametrize(
    ("id", "task", "words"),
    [
        (POINT, {"goal": (0.5, 0.5)}, "unit circle"),
        (CART, {"gravity": 9.8, "masscart": 1, "masspole": -0.1, "length": 0.5, "force": 10, "sign": 1}, "masspole=-0.1"),
        (PENDULUM, {"gravity": 10, "mass": 1, "length": 1, "sign": 0}, "sign=0"),
    ],
)
def test_a_task_that_is_none_is_refused(id, task, words):
    with pytest.raises(ValueError, match=words):
        gym.make(id).reset(options={"task": task})
