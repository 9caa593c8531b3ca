"""The figures that families and learners state, against published ones, closed forms and brute force."""

import functools

import gymnasium as gym
import numpy as np
import pytest

import metarl_envs
from metarl_envs.engine import Row
from metarl_envs.engine.truth.solving import exact_returns
from metarl_envs.evaluation.references import memoryless_returns, scale_of
from metarl_envs.histories import lifetime_returns
from metarl_envs.learners import PSRL, UCB1, Random, Thompson

BANDIT, MDP = "MetaRL/BernoulliBandit-v0", "MetaRL/TabularMDP-v0"
ROOM, HARD = "MetaRL/DarkRoom-v0", "MetaRL/DarkRoomHard-v0"


def totals(id, learner, lives, episodes=1, **params):
    """What each of many lives earns in all."""
    tasks = metarl_envs.tasks(id, **params)
    return lifetime_returns(tasks.sample(lives, seed=1), tasks.variant, learner, np.arange(lives), episodes=episodes).sum(
        axis=1
    )


def assert_near(values, expected, tolerance=0.0):
    """The mean is within four standard errors and the tolerance of what is expected."""
    error = values.std() / np.sqrt(len(values))
    assert abs(values.mean() - expected) < 4 * error + tolerance, f"{values.mean():.3f} +- {error:.3f}, not {expected}"


# ------------------------------------------------------------------------------------------------- Bernoulli bandit
@pytest.mark.slow
@pytest.mark.parametrize(
    ("learner", "expected"),
    [(Random(), 5.0), (Thompson(), 5.841), (UCB1(), 5.68), (UCB1(exploration=0.2), 5.92)],
    ids=repr,
)
def test_bandit_with_5_arms_and_10_pulls(learner, expected):
    assert_near(totals(BANDIT, learner, 100_000), expected, tolerance=0.01)


def test_bandit_oracle_is_the_expected_maximum_of_five_uniforms():
    oracle = metarl_envs.tasks(BANDIT).variant.family.references["oracle"]
    assert_near(totals(BANDIT, oracle, 100_000), 10 * 5 / 6)


@pytest.mark.parametrize(("arms", "pulls", "printed"), [(5, 10, 6.7), (10, 100, 82.4)])
def test_published_ucb1_is_within_two_percent_of_the_printed_figure(arms, pulls, printed):
    values = totals(BANDIT, UCB1(exploration=0.2, rl2_baseline=True), 20_000, arms=arms, horizon=pulls)
    assert abs(values.mean() / printed - 1) < 0.02


@pytest.mark.slow
def test_thompson_with_10_arms_and_100_pulls():
    assert_near(totals(BANDIT, Thompson(), 20_000, arms=10, horizon=100), 77.0, tolerance=0.1)


def test_the_bayes_optimum_that_the_bandit_states():
    """Backward induction over all posteriors of 5 arms and 10 pulls; arms are alike, so their order does not matter."""

    @functools.cache
    def value(posterior, left):
        if left == 0:
            return 0.0
        best = 0.0
        for i, (wins, losses) in enumerate(posterior):
            chance = (wins + 1) / (wins + losses + 2)
            after = [
                tuple(sorted((*posterior[:i], seen, *posterior[i + 1 :]))) for seen in ((wins + 1, losses), (wins, losses + 1))
            ]
            paid = chance * (1 + value(after[0], left - 1)) + (1 - chance) * value(after[1], left - 1)
            best = max(best, paid)
        return best

    assert value(((0, 0),) * 5, 10) == pytest.approx(6.660, abs=0.001)


# ------------------------------------------------------------------------------------------------- tabular MDP
@pytest.mark.slow
def test_tabular_mdp_random_and_psrl_over_10_episodes():
    assert_near(totals(MDP, Random(), 20_000, episodes=10), 100.0)
    assert_near(totals(MDP, PSRL(), 10_000, episodes=10), 133.9, tolerance=0.5)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("episodes", "true_prior", "printed"), [(10, 133.9, 138.1), pytest.param(25, 404.0, 408.8, marks=pytest.mark.nightly)]
)
def test_psrl_with_both_priors(episodes, true_prior, printed):
    assert_near(totals(MDP, PSRL(), 10_000, episodes=episodes), true_prior, tolerance=1.0)
    with_published_prior = totals(MDP, PSRL(prior_mean=0.0), 10_000, episodes=episodes)
    assert abs(with_published_prior.mean() / printed - 1) < 0.02


def test_tabular_mdp_optimum_and_oracle():
    tasks = metarl_envs.tasks(MDP)
    rows = tasks.sample(5_000, seed=2)
    exact = np.array([exact_returns(tasks.variant, row).oracle for row in rows])
    assert_near(exact, 21.837)
    lived = lifetime_returns(rows, tasks.variant, tasks.variant.family.references["oracle"], np.arange(5_000), episodes=4).mean(
        axis=1
    )
    assert_near(lived - exact, 0.0)


def test_returns_of_a_tiny_mdp_by_brute_force():
    """Every plan of a 2-state, 2-action, 3-step MDP, against backward induction."""
    tasks = metarl_envs.tasks(MDP, states=2, actions=2, horizon=3)
    for row in tasks.sample(20, seed=3):
        task = Row(row)
        best = -np.inf
        for plan in range(2**6):  # an action for each of 3 steps and 2 states
            chance, total = np.array([1.0, 0.0]), 0.0
            for t in range(3):
                actions = [plan >> (2 * t + s) & 1 for s in range(2)]
                total += sum(chance[s] * task.reward[s, actions[s]] for s in range(2))
                chance = sum(chance[s] * np.asarray(task.transition[s, actions[s]]) for s in range(2))
            best = max(best, total)
        assert exact_returns(tasks.variant, row).oracle == pytest.approx(best)


def test_rewards_and_transitions_of_the_mdp_are_what_the_task_says():
    env = gym.make(MDP, noise=0.5, ground_truth=True, horizon=20_000)
    state, info = env.reset(seed=0)
    task, seen = info["metarl"]["task"], {}
    for _ in range(20_000):
        next_state, reward, *_ = env.step(1)
        seen.setdefault(state, []).append((reward, next_state))
        state = next_state
    rewards, following = (np.array(v) for v in zip(*max(seen.values(), key=len), strict=True))
    state = max(seen, key=lambda s: len(seen[s]))
    assert_near(rewards, task["reward"][state, 1])
    assert rewards.std() == pytest.approx(0.5, rel=0.1)
    share = np.bincount(following.astype(int), minlength=10) / len(following)
    assert np.abs(share - task["transition"][state, 1]).max() < 0.05


# ------------------------------------------------------------------------------------------------- dark rooms
def test_dark_room_oracle_and_random_over_all_goals():
    tasks = metarl_envs.tasks(ROOM)
    scale = scale_of(tasks.variant, tasks.rows(81))
    assert scale.oracle.mean() == pytest.approx(16.543, abs=0.0005)
    centre = np.array([tuple(row["goal"]) == (4, 4) for row in tasks])
    assert scale.oracle[~centre].mean() == pytest.approx(16.5)
    assert scale.random.mean() == pytest.approx(20 / 81)
    assert_near(totals(ROOM, Random(), 50_000), 0.248)


@pytest.mark.parametrize("id", [ROOM, HARD])
def test_dark_room_returns_for_each_goal_are_what_random_and_oracle_earn(id):
    tasks = metarl_envs.tasks(id, size=4, horizon=7)
    rows = tasks.rows(16)
    scale = scale_of(tasks.variant, rows)
    for expected, policy in ((scale.random, Random()), (scale.oracle, tasks.variant.family.references["oracle"])):
        lives = lifetime_returns(np.repeat(rows, 4000), tasks.variant, policy, np.arange(64_000), episodes=1).reshape(16, 4000)
        error = lives.std(axis=1) / np.sqrt(4000)
        assert (np.abs(lives.mean(axis=1) - expected) <= 5 * error + 1e-12).all()


def test_dark_room_hard_oracle_random_and_memoryless_best():
    tasks = metarl_envs.tasks(HARD)
    scale = scale_of(tasks.variant, tasks.rows(289))
    assert (scale.oracle == 1).all()
    assert scale.random.mean() == pytest.approx(0.0373, abs=0.0001)
    assert memoryless_returns(tasks.variant, tasks.rows(289)).mean() == pytest.approx(20 / 289)


def test_memoryless_best_of_a_hard_room_by_brute_force():
    """All deterministic policies of a 3x3 room, where a policy is where it goes next from each cell."""
    size, horizon = 3, 5
    best = 0.0
    moves = [(0, 0), (0, -1), (1, 0), (0, 1), (-1, 0)]

    def extend(cell, chosen, visited, steps):
        """Walk on, choosing an action only when a cell without one is met."""
        nonlocal best
        best = max(best, len(visited) / size**2)
        if steps == horizon:
            return
        options = [chosen[cell]] if cell in chosen else moves
        for dx, dy in options:
            x, y = min(max(cell[0] + dx, 0), size - 1), min(max(cell[1] + dy, 0), size - 1)
            extend((x, y), {**chosen, cell: (dx, dy)}, visited | {(x, y)}, steps + 1)

    extend((1, 1), {}, frozenset(), 0)
    tasks = metarl_envs.tasks(HARD, size=size, horizon=horizon)
    assert memoryless_returns(tasks.variant, tasks.rows(9)).mean() == pytest.approx(best)


@pytest.mark.parametrize("size", [2, 3, 6, 9])
def test_the_sweep_finds_every_goal_and_goes_back_to_it(size):
    tasks = metarl_envs.tasks(ROOM, size=size, horizon=20)
    lives = lifetime_returns(
        tasks.rows(size**2), tasks.variant, tasks.variant.family.references["sweep"], np.arange(size**2), episodes=20
    )
    scale = scale_of(tasks.variant, tasks.rows(size**2))
    assert (lives[:, -1] == scale.oracle).all()
