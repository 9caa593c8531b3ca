"""The figures that bandits and the two-step task state, against published ones, closed forms and known behaviour."""

import functools
import math

import gymnasium as gym
import numpy as np
import pytest
from scipy.spatial import ConvexHull

import metarl_envs
from metarl_envs.engine.truth.solving import exact_returns
from metarl_envs.families.bandits.linear import LinearBandit
from metarl_envs.histories import collect, lifetime_returns
from metarl_envs.learners import UCB1, EpsilonGreedy, GaussianThompson, LinUCB, QLearning, Random, Thompson

GAUSSIAN, LINEAR, TWO_STEP = "MetaRL/GaussianBandit-v0", "MetaRL/LinearBandit-v0", "MetaRL/TwoStep-v0"
GAP = "MetaRL/GapBandit-v0"
DAW = {"variant": "daw", "common": 0.7, "horizon": 402}


def lives_of(id, policy, count, split=None, **params):
    """What a learner, or a reference by name, earns in one episode on each of many tasks."""
    tasks = metarl_envs.tasks(id, split=split, **params)
    learner = tasks.variant.family.references[policy] if isinstance(policy, str) else policy
    return lifetime_returns(tasks.sample(count, seed=1), tasks.variant, learner, np.arange(count), episodes=1).sum(axis=1)


def assert_near(values, expected, tolerance=0.0):
    """The mean is within four standard errors and the tolerance of what is expected."""
    error = values.std() / np.sqrt(len(values))
    assert abs(values.mean() - expected) <= 4 * error + tolerance, f"{values.mean():.3f} +- {error:.3f}, not {expected}"


# ------------------------------------------------------------------------------------------------- both bandits
@pytest.mark.slow
@pytest.mark.parametrize(
    ("id", "policy", "expected"),
    [
        (GAUSSIAN, Random(), 250.0),
        (GAUSSIAN, "oracle", 500 * 5 / 6),
        (GAUSSIAN, GaussianThompson(), 407.2),
        (GAUSSIAN, UCB1(), 368.6),
        (GAUSSIAN, UCB1(exploration=0.3), 405.5),
        (LINEAR, Random(), 0.0),
        (LINEAR, "oracle", 217.19),
        (LINEAR, LinUCB(), 213.4),
        (LINEAR, UCB1(), 165.1),
        (LINEAR, UCB1(exploration=0.3), 199.5),
        (GAP, Random(), 44.0),
        (GAP, "oracle", 60.0),
        (GAP, "ideal_observer", 52.58),
        (GAP, UCB1(bonus="constant"), 50.49),
        (GAP, EpsilonGreedy(epsilon=0.0), 49.15),
        (GAP, Thompson(), 48.82),
        (GAP, UCB1(), 46.28),
    ],
    ids=str,
)
def test_bandit_figures(id, policy, expected):
    assert_near(lives_of(id, policy, 10_000), expected)


@pytest.mark.parametrize("id", [GAUSSIAN, LINEAR])
def test_what_a_pull_pays_has_the_mean_and_the_deviation_that_are_stated(id):
    env = gym.make(id, horizon=20_000, ground_truth=True)
    _, info = env.reset(seed=0)
    paid = np.array([env.step(3)[1] for _ in range(20_000)])
    assert_near(paid, info["metarl"]["task"]["mean"][3])
    assert paid.std() == pytest.approx(0.3, rel=0.03)
    assert np.mean(np.abs(paid - paid.mean()) < paid.std()) == pytest.approx(0.683, abs=0.01), "a normal's share within one"


@pytest.mark.parametrize("id", [GAUSSIAN, LINEAR, GAP, "MetaRL/BernoulliBandit-v0"])
def test_thompson_for_wins_lives_only_where_rewards_are_wins(id):
    variant = metarl_envs.tasks(id).variant
    problem = Thompson().why_unsuitable(variant)
    assert (problem is None) == (id in (GAP, "MetaRL/BernoulliBandit-v0"))
    if problem:
        with pytest.raises(ValueError, match="0 or 1"):
            collect(id, Thompson(), histories=1, steps=1)


def test_ucb1_tries_other_arms_where_all_pay_less_than_nothing():
    lived = collect(GAUSSIAN, UCB1(), histories=20, steps=500, low=-30.0, high=-20.0)
    best = lived.tasks["mean"].argmax(axis=1)
    assert (lived.actions[:, 250:] == best[:, None]).mean() > 0.9


# ------------------------------------------------------------------------------------------------- Gaussian bandit
def test_the_posterior_of_a_gaussian_bandit_by_brute_force():
    """Weights of a fine grid of means against the cut-off normal that `info` tells."""
    env = gym.make(GAUSSIAN, arms=2, horizon=12, ground_truth=True)
    env.reset(seed=5)
    grid = (np.arange(20_000) + 0.5) / 20_000
    weights = np.ones((2, len(grid)))
    for t in range(12):
        _, reward, _, _, info = env.step(t % 3 % 2)
        weights[t % 3 % 2] *= np.exp(-0.5 * ((reward - grid) / 0.3) ** 2)
    told = info["metarl"]["posterior"]
    for arm in range(2):
        stated = np.exp(-0.5 * (grid - told["mean"][arm]) ** 2 * told["precision"][arm])
        np.testing.assert_allclose(stated / stated.sum(), weights[arm] / weights[arm].sum(), rtol=1e-6, atol=1e-15)


# ------------------------------------------------------------------------------------------------- gap bandit
@pytest.mark.parametrize("gap", [0.2, 1.0])
def test_the_posterior_of_a_gap_bandit_by_brute_force(gap):
    env = gym.make(GAP, horizon=12, ground_truth=True, gap=gap)
    env.reset(seed=5)
    weights = np.ones(5)
    for t in range(12):
        arm = t * t % 5
        _, reward, _, _, info = env.step(arm)
        for place in range(5):
            chance = 0.5 + gap / 2 if place == arm else 0.5 - gap / 2
            weights[place] *= chance if reward else 1 - chance
        np.testing.assert_allclose(info["metarl"]["posterior"]["good"], weights / weights.sum(), atol=1e-12)
    if gap == 1:  # one pull of the good arm tells all
        assert info["metarl"]["posterior"]["good"].max() == 1
        assert info["metarl"]["task"]["good"] == info["metarl"]["posterior"]["good"].argmax()


def test_the_ideal_observer_of_gap_bandits_by_brute_force():
    """The best of all policies of six pulls, by dynamic programming over what can be known, against what it earns."""
    gap, pulls = 0.6, 6
    good, other = (1 + gap) / 2, (1 - gap) / 2

    @functools.cache
    def value(ahead, left, any_arm):
        """What is earned from here, with wins less losses of each arm: by the best arm, or by the likeliest."""
        if left == 0:
            return 0.0
        weights = [(good / other) ** balance for balance in ahead]
        values = []
        for arm in range(5) if any_arm else [ahead.index(max(ahead))]:
            likely = weights[arm] / sum(weights)
            wins = likely * good + (1 - likely) * other
            after = [tuple(b + up * (i == arm) for i, b in enumerate(ahead)) for up in (1, -1)]
            won, lost = (value(known, left - 1, any_arm) for known in after)
            values.append(wins * (1 + won) + (1 - wins) * lost)
        return max(values)

    best = value((0,) * 5, pulls, True)
    assert value((0,) * 5, pulls, False) == pytest.approx(best, abs=1e-12), "nothing is gained by exploring"
    assert_near(lives_of(GAP, "ideal_observer", 200_000, horizon=pulls, gap=gap), best)


def test_the_ideal_observer_of_gap_bandits_says_why_it_cannot_live_elsewhere():
    ideal = metarl_envs.tasks(GAP).variant.family.references["ideal_observer"]
    assert "needs GapBandit" in ideal.why_unsuitable(metarl_envs.tasks("BernoulliBandit").variant)


# ------------------------------------------------------------------------------------------------- linear bandit
@pytest.mark.parametrize("arms_seed", [0, 1, 2])
def test_the_linear_oracle_by_cauchys_formula(arms_seed):
    """The mean of the highest of many projections on a random direction is the hull's perimeter over 2 pi."""
    features = LinearBandit.features(metarl_envs.tasks(LINEAR, arms_seed=arms_seed).variant.p)
    expected = 200 * ConvexHull(features).area * math.sqrt(1 / (8 * math.pi * 2))  # `area` of a plane hull: its perimeter
    rows = metarl_envs.tasks(LINEAR, arms_seed=arms_seed).sample(40_000, seed=3)
    assert_near(200 * rows["mean"].max(axis=1), expected)
    if arms_seed == 0:
        assert expected == pytest.approx(217.2, abs=0.05)


def test_features_are_those_of_the_family_whatever_the_task():
    variant = metarl_envs.tasks(LINEAR).variant
    features = LinearBandit.features(variant.p)
    rows = metarl_envs.tasks(LINEAR, split="train").sample(100)
    np.testing.assert_allclose(rows["mean"], rows["weights"] @ features.T)
    assert len(np.unique(rows["weights"])) == 200
    other = LinearBandit.features(metarl_envs.tasks(LINEAR, split="other_arms").variant.p)
    assert not np.isclose(features, other).any()
    many = LinearBandit.features(metarl_envs.tasks(LINEAR, arms=1000, dimensions=4).variant.p)
    assert many.std() == pytest.approx(0.5, rel=0.05)
    assert metarl_envs.tasks(LINEAR, dimensions=4).sample(3000)["weights"].std() == pytest.approx(0.5, rel=0.05)


def test_lin_ucb_and_the_told_posterior_are_ridge_regression():
    env = gym.make(LINEAR, ground_truth=True, horizon=30)
    env.reset(seed=2)
    env.action_space.seed(0)
    features = LinearBandit.features(env.unwrapped.variant.p)
    pulled, paid = [], []
    for _ in range(30):
        pulled.append(env.action_space.sample())
        _, reward, _, _, info = env.step(pulled[-1])
        paid.append(reward)
    x, y = features[pulled], np.array(paid)
    precision = 2 * np.eye(2) + x.T @ x / 0.09
    told = info["metarl"]["posterior"]
    np.testing.assert_allclose(told["covariance"], np.linalg.inv(precision), rtol=1e-9)
    np.testing.assert_allclose(told["mean"], np.linalg.solve(precision, x.T @ y / 0.09), rtol=1e-9)


def test_lin_ucb_pulls_what_its_formula_says():
    """Its actions, step by step, from the batch formulas."""
    variant = metarl_envs.tasks(LINEAR).variant
    features = LinearBandit.features(variant.p)
    lived = collect(LINEAR, LinUCB(exploration=1.5), histories=3, steps=60)
    for actions, rewards in zip(lived.actions, lived.rewards, strict=True):
        for t in range(60):
            x, y = features[actions[:t]], rewards[:t]
            covariance = np.linalg.inv(2 * np.eye(2) + x.T @ x / 0.09)
            mean = covariance @ x.T @ y / 0.09
            bound = features @ mean + 1.5 * np.sqrt(np.einsum("ai,ij,aj->a", features, covariance, features))
            assert bound[actions[t]] == pytest.approx(bound.max(), abs=1e-9)


def test_a_task_with_other_means_is_refused():
    row = metarl_envs.tasks(LINEAR)[0]
    env = gym.make(LINEAR)
    env.reset(options={"task": row})
    row["mean"][2] += 0.1
    with pytest.raises(ValueError, match="features"):
        env.reset(options={"task": row})


# ------------------------------------------------------------------------------------------------- two-step task
@pytest.mark.slow
@pytest.mark.parametrize(
    ("policy", "params", "expected"),
    [
        (Random(), {}, 50.0),
        ("oracle", {}, 74.0),
        ("ideal_observer", {}, 70.55),
        ("model_based", {}, 65.54),
        ("model_free", {}, 63.41),
        (Random(), DAW, 100.46),
        ("oracle", DAW, 122.55),
        ("model_based", DAW, 107.39),
        ("model_free", DAW, 107.26),
    ],
    ids=str,
)
def test_two_step_figures(policy, params, expected):
    assert_near(lives_of(TWO_STEP, policy, 10_000, **params), expected)


@pytest.mark.slow
def test_no_learner_of_the_two_step_task_is_better_than_the_ideal_observer():
    best = lives_of(TWO_STEP, "ideal_observer", 10_000)
    for other in ("model_based", "model_free", QLearning()):
        assert lives_of(TWO_STEP, other, 10_000).mean() < best.mean() - 1


def test_the_ideal_observer_by_brute_force():
    """Every policy of three rounds, a choice for each history: what the best one earns, against the observer's exact return."""
    common, change, good, bad = 0.8, 0.3, 0.9, 0.1

    def best(doubt, left):
        """The return of the best play from here, given the chance that the second place is good."""
        if left == 0:
            return 0.0
        values = []
        for action in (0, 1):
            value = 0.0
            for place, way in ((action, common), (1 - action, 1 - common)):
                for paid in (0, 1):
                    given_second = good if (place == 1) == (paid == 1) else bad
                    chance = doubt * given_second + (1 - doubt) * (1 - given_second)
                    after = doubt * given_second / chance
                    value += way * chance * (paid + best(after * (1 - change) + (1 - after) * change, left - 1))
            values.append(value)
        return max(values)

    values = lives_of(TWO_STEP, "ideal_observer", 200_000, horizon=6, change=change)
    assert_near(values, best(0.5, 3))


def stay_probabilities(id, learner, histories, steps, **params):
    """How often the first choice is repeated: [reward, common], indexed by 1 for yes."""
    lived = collect(id, learner, histories=histories, steps=steps, **params)
    first, place, paid = lived.actions[:, 0::2], lived.observations[:, 1::2], lived.rewards[:, 1::2]
    stay = first[:, 1:] == first[:, :-1]
    common, paid = (place - 1 == first)[:, :-1], paid[:, :-1] == 1
    return np.array([[stay[(paid == r) & (common == c)].mean() for c in (0, 1)] for r in (0, 1)])


@pytest.mark.slow
def test_stay_probabilities_tell_planning_from_habit():
    """Daw et al. 2011, figure 2: a main effect of reward without a model, an interaction with the transition with one."""
    references = metarl_envs.tasks(TWO_STEP).variant.family.references
    effects = {}
    for name in ("model_based", "model_free"):
        stay = stay_probabilities(TWO_STEP, references[name], 1000, 402, **DAW)
        main = (stay[1].sum() - stay[0].sum()) / 2
        interaction = (stay[1, 1] - stay[1, 0] - stay[0, 1] + stay[0, 0]) / 2
        effects[name] = main, interaction
        figures = {"model_based": [[0.65, 0.44], [0.45, 0.65]], "model_free": [[0.56, 0.55], [0.90, 0.90]]}[name]
        assert np.abs(stay - figures).max() < 0.01
    assert abs(effects["model_based"][0]) < 0.02 < 0.15 < effects["model_based"][1]
    assert abs(effects["model_free"][1]) < 0.02 < 0.3 < effects["model_free"][0]


def test_transitions_and_lotteries_are_as_stated():
    lived = collect(TWO_STEP, Random(), histories=2000, steps=200)
    first, place = lived.actions[:, 0::2], lived.observations[:, 1::2]
    assert (lived.observations[:, 0::2] == 0).all()
    assert (lived.rewards[:, 0::2] == 0).all()
    assert_near((place - 1 == first).ravel(), 0.8)
    chance = lived.tasks["chance"][np.arange(2000)[:, None], np.arange(100), place - 1, lived.actions[:, 1::2]]
    for one in (0.1, 0.9):
        assert_near(lived.rewards[:, 1::2][chance == one], one)


def test_the_course_of_wangs_lotteries():
    chance = metarl_envs.tasks(TWO_STEP).sample(3000)["chance"]
    assert set(np.unique(chance)) == {0.1, 0.9}
    assert (chance.sum(axis=2) == 1).all()
    assert (chance[..., 0] == chance[..., 1]).all(), "both choices are the same lottery"
    assert_near((chance[:, 1:, 0, 0] != chance[:, :-1, 0, 0]).ravel(), 0.025)
    assert_near(chance[:, 0, 0, 0] == 0.9, 0.5)


def test_the_course_of_daws_lotteries():
    chance = metarl_envs.tasks(TWO_STEP, **DAW).sample(1000)["chance"]
    assert chance.shape == (1000, 201, 2, 2)
    assert chance.min() >= 0.25
    assert chance.max() <= 0.75
    steps = np.diff(chance, axis=1)
    inner = np.abs(chance[:, :-1] - 0.5) < 0.15  # too far from the bounds to be reflected
    assert steps[inner].std() == pytest.approx(0.025, rel=0.02)
    assert_near(steps[inner], 0.0)
    walks = chance.transpose(0, 2, 3, 1).reshape(1000, 4, -1)
    correlation = np.corrcoef(walks[:, :, 100].T) - np.eye(4)
    assert np.abs(correlation).max() < 0.15, "the four walk on their own"


@pytest.mark.slow
def test_an_odd_horizon_cuts_the_last_round_short():
    tasks = metarl_envs.tasks(TWO_STEP, horizon=7)
    rows = tasks.sample(20_000)
    exact = np.array([exact_returns(tasks.variant, row) for row in rows[:500]])
    oracle = tasks.variant.family.references["oracle"]
    lived = lifetime_returns(rows, tasks.variant, oracle, np.arange(20_000), episodes=1)[:, 0]
    assert exact[:, 1] == pytest.approx(3 * 0.74)
    assert_near(lived, 3 * 0.74)
    assert exact[:, 0] == pytest.approx(1.5)
    assert tasks.variant.memoryless_best(rows[0]) == pytest.approx(1.5)


@pytest.mark.parametrize("params", [{}, DAW], ids=["wang", "daw"])
def test_greedy_on_q_star_of_the_two_step_task_earns_what_it_promises(params):
    env = gym.make(TWO_STEP, ground_truth=True, **params)
    difference = []
    for seed in range(20):
        _, info = env.reset(seed=seed)
        promised, total, over = info["metarl"]["oracle_return"], 0.0, False
        assert info["metarl"]["q_star"].max() == pytest.approx(promised)
        while not over:
            _, reward, _, over, info = env.step(int(info["metarl"]["optimal_actions"].argmax()))
            total += reward
        assert info["metarl"]["regret"] == pytest.approx(0)
        difference.append(total - promised)
    assert_near(np.array(difference), 0.0)


def test_references_of_one_variant_say_why_they_cannot_live_in_another():
    references = metarl_envs.tasks(TWO_STEP).variant.family.references
    assert "wang" in references["ideal_observer"].why_unsuitable(metarl_envs.tasks(TWO_STEP, **DAW).variant)
    elsewhere = metarl_envs.tasks(GAUSSIAN).variant
    assert "TwoStep" in references["model_based"].why_unsuitable(elsewhere)
    assert "features" in LinUCB().why_unsuitable(elsewhere)
