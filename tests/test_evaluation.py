"""The protocol: same tasks and noise for all, memory rebuilt between lifetimes, honest intervals, whole result files."""

import functools
import json

import gymnasium as gym
import numpy as np
import pytest
from scipy import stats

import metarl_envs
from metarl_envs.evaluation import Through, joined
from metarl_envs.evaluation.statistics import bootstrap_curve, bootstrap_mean, over_seeds
from metarl_envs.learners import QLearning, Random
from metarl_wrappers import (
    VectorForgetEachEpisode,
    VectorHideBoundaries,
    VectorHideReward,
    VectorNegateReward,
    VectorPreviousStep,
)

ROOM, BANDIT = "MetaRL/DarkRoom-v0", "MetaRL/BernoulliBandit-v0"


class Walker:
    """Goes right for ever; counts what it is told."""

    made: list["Walker"] = []  # noqa: RUF012

    def __init__(self, *, num_envs, observation_space, action_space, seed):
        self.num_envs, self.seed, self.acted = num_envs, seed, 0
        self.told, self.starts = np.zeros(num_envs), np.zeros(num_envs)
        self.made.append(self)

    def act(self, step):
        if self.acted == 0:
            assert step.trial_start.all()
            assert (step.previous_action == -1).all()
            assert not step.previous_reward.any()
        self.acted += 1
        self.told += step.previous_reward
        self.starts += step.episode_start
        return np.full(self.num_envs, 2)


@pytest.fixture(autouse=True)
def _no_walkers():
    Walker.made.clear()


def test_python_agents_and_compiled_learners_live_on_the_same_tasks_with_the_same_noise():
    """A random walk drawn in Python from the learner's own stream would differ; a policy without chance must not."""
    sweep = metarl_envs.tasks(ROOM).variant.family.references["oracle"]

    class PythonOracle:
        def __init__(self, *, num_envs, observation_space, action_space, seed):
            self.goals = metarl_envs.tasks(ROOM, split="test").rows(num_envs)["goal"]

        def act(self, step):
            dx, dy = (self.goals - step.observation).T
            return np.where(dx > 0, 2, np.where(dx < 0, 4, np.where(dy > 0, 3, np.where(dy < 0, 1, 0))))

    result = metarl_envs.evaluate({"compiled": sweep, "python": PythonOracle}, ROOM, episodes=3, seeds=2, lifetimes=2)
    assert (result.raw["compiled"] == result.raw["python"]).all()
    assert np.allclose(result.normalised("python"), 1)


def test_blocks_of_pulls_are_the_same_for_python_agents_and_learners():
    class FirstArm:
        def __init__(self, **_):
            pass

        def act(self, step):
            return np.zeros(len(step.observation), int)

    result = metarl_envs.evaluate({"first": FirstArm}, BANDIT, tasks=20, seeds=2, lifetimes=200, horizon=40)
    assert result.raw["first"].shape == (2, 20, 200, 20)
    expected = metarl_envs.tasks(BANDIT, split="test", horizon=40).rows(20)["chance"][:, 0] * 40
    assert np.allclose(result.raw["first"].sum(axis=3).mean(axis=(0, 2)), expected, atol=4 * 40**0.5 * 0.5 / 400**0.5)


def test_memory_is_rebuilt_between_lifetimes():
    result = metarl_envs.evaluate({"walker": Walker}, ROOM, episodes=4, seeds=3, lifetimes=2, size=5)
    assert len(Walker.made) == 6
    assert len({agent.seed for agent in Walker.made}) == 6
    assert all(agent.acted == 80 and (agent.starts == 4).all() for agent in Walker.made)
    assert result.raw["walker"].shape == (3, len(result.scale.random), 2, 4)


def test_the_reward_of_an_episodes_last_step_reaches_the_agent():
    result = metarl_envs.evaluate({"walker": Walker}, "MetaRL/DarkRoomHard-v0", episodes=5, seeds=1, split=None, size=5)
    told = Walker.made[0].told
    earned = result.raw["walker"][0, :, 0].sum(axis=1)
    last_is_never_told = 1.0  # nobody acts after the trial's end
    assert (told[earned > 0] == earned[earned > 0] - last_is_never_told).all()
    assert (earned > 0).sum() == 2


def test_references_are_zero_and_one():
    result = metarl_envs.evaluate(["random", "oracle"], ROOM, episodes=10, seeds=5, lifetimes=30)
    assert result.summaries["oracle"].aulc.mean == pytest.approx(1)
    assert result.summaries["random"].aulc.mean == pytest.approx(0, abs=0.01)
    assert result.summaries["oracle"].regret == pytest.approx(0)
    assert list(result.summaries) == ["oracle", "random"]


def test_a_family_without_formulas_is_scaled_by_simulation(monkeypatch):
    family = metarl_envs.tasks(ROOM).variant.family
    exact = metarl_envs.evaluate(["random"], ROOM, episodes=1, seeds=1)
    monkeypatch.setattr(family, "returns", staticmethod(lambda p, task: None))
    simulated = metarl_envs.evaluate(["random"], ROOM, episodes=1, seeds=1)
    assert np.allclose(simulated.scale.oracle, exact.scale.oracle)
    assert np.allclose(simulated.scale.random, exact.scale.random, atol=0.2)


def test_tasks_without_spread_are_passed_over_and_counted():
    result = metarl_envs.evaluate(["oracle"], ROOM, split=None, episodes=1, seeds=1, horizon=3)
    assert len(result.scale.random) + result.passed_over == 81
    assert result.passed_over == 81 - 25, "cells that cannot be reached in 3 steps"
    with pytest.raises(ValueError, match="earns"):
        metarl_envs.evaluate(["oracle"], BANDIT, tasks=3, low=0.5, high=0.5)


def test_common_random_numbers_pair_policies_and_seeds_differ():
    result = metarl_envs.evaluate({"a": QLearning(), "b": QLearning(), "c": Random()}, BANDIT, tasks=30, seeds=2, horizon=50)
    assert (result.raw["a"] == result.raw["b"]).all()
    assert (result.raw["a"][0] != result.raw["a"][1]).any()


def test_result_files(tmp_path):
    result = metarl_envs.evaluate(["random", "q_learning"], ROOM, episodes=5, seeds=2)
    result.save(tmp_path)
    result.plot(tmp_path / "curves.png")
    about = json.loads((tmp_path / "result.json").read_text())
    assert about["fingerprint"] == metarl_envs.tasks(ROOM, split="test").fingerprint
    assert about["versions"]["gymnasium"] == gym.__version__
    assert about["policies"]["q_learning"]["policy"].startswith("QLearning(step_size=")
    scores = np.load(tmp_path / "scores.npz", allow_pickle=False)
    assert (scores["q_learning"] == result.raw["q_learning"]).all()
    assert (tmp_path / "curves.png").read_bytes().startswith(b"\x89PNG")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["curves.png", "result.json", "scores.npz"], "nothing left aside"


def test_one_seed_gives_no_interval_and_valid_json(tmp_path):
    result = metarl_envs.evaluate(["random"], ROOM, episodes=2, seeds=1)
    result.save(tmp_path)
    aulc = json.loads((tmp_path / "result.json").read_text())["policies"]["random"]["aulc"]
    assert aulc[1:] == [None, None]


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        ({"policies": ["no_such"]}, r"'no_such'.*these do: random"),
        ({"policies": {"x": 3}}, r"'x' is 3"),
        ({"policies": {}}, "empty"),
        ({"split": "tset"}, r"split='tset'"),
        ({"tasks": 0}, "tasks=0"),
        ({"seeds": 0}, "seeds=0"),
        ({"lifetimes": -1}, "lifetimes=-1"),
        ({"episodes": 0}, "episodes=0"),
        ({"id": "MetaRL/Nowhere-v0"}, "Nowhere"),
        ({"size": 1000}, "size=1000"),
        ({"id": BANDIT, "episodes": 2}, "episodes=2"),
    ],
)
def test_bad_arguments_are_refused(arguments, why):
    arguments = {"policies": ["random"], "id": ROOM, **arguments}
    with pytest.raises((ValueError, TypeError), match=why):
        metarl_envs.evaluate(**arguments)


# ------------------------------------------------------------------------------------------------- statistics
def simulated_scores(rng, seeds=5, tasks=40):
    """Scores whose mean is 0.5, with effects of seed and task, as one trained model has."""
    seed, task = rng.normal(0, 0.1, (seeds, 1, 1, 1)), rng.normal(0, 0.2, (1, tasks, 1, 1))
    return 0.5 + seed + task + rng.normal(0, 0.1, (seeds, tasks, 1, 3)), 0.5 + task.mean()


def test_intervals_cover_what_they_promise():
    rng = np.random.default_rng(0)
    of_tasks, of_distribution, runs = 0, 0, 300
    for run in range(runs):
        values, truth_for_these_tasks = simulated_scores(rng)
        interval = over_seeds(values)
        of_tasks += interval.low <= truth_for_these_tasks <= interval.high
        interval = bootstrap_mean(values, resamples=200, seed=run)
        of_distribution += interval.low <= 0.5 <= interval.high
    assert 0.92 <= of_tasks / runs <= 0.98
    assert 0.82 <= of_distribution / runs <= 0.98, "with five seeds a bootstrap is a little narrow"


def test_over_seeds_is_the_t_interval_of_the_seed_means():
    values = np.random.default_rng(1).normal(size=(4, 3, 2, 5))
    means = values.mean(axis=(1, 2, 3))
    low, high = stats.t.interval(0.95, 3, means.mean(), stats.sem(means))
    assert over_seeds(values) == pytest.approx((means.mean(), low, high))


def test_bootstrap_is_seeded_and_keeps_units_apart():
    values = np.random.default_rng(2).normal(size=(5, 6, 2, 4)) + np.arange(4)
    curve = bootstrap_curve(values)
    assert (curve == bootstrap_curve(values)).all()
    assert np.allclose(curve[0], values.mean(axis=(0, 1, 2)))
    assert (curve[1] <= curve[0]).all()
    assert (curve[0] <= curve[2]).all()


class Shown:
    """Acts at random, the same whatever it sees; keeps what it was shown."""

    made: list["Shown"] = []  # noqa: RUF012

    def __init__(self, *, num_envs, observation_space, action_space, seed):
        self.shape, self.shown, self.starts = observation_space.shape, np.zeros(num_envs), 0
        self.rng = np.random.default_rng(seed)
        self.made.append(self)

    def act(self, step):
        assert step.observation.shape[1:] == self.shape
        self.shown += step.previous_reward
        self.starts += step.trial_start.astype(int)
        return self.rng.integers(0, 5, len(step.observation))


def test_an_agent_meets_the_environment_through_wrappers_and_is_scored_by_what_is_paid():
    see = functools.partial(VectorPreviousStep, flat=True)
    Shown.made.clear()
    policies = {
        "intact": Through(Shown, see),
        "no reward": Through(Shown, VectorHideReward, see),
        "minus": Through(Shown, VectorNegateReward, see),
        "forgets": Through(Shown, VectorForgetEachEpisode, see),
        "no ends": Through(Shown, VectorHideBoundaries, see),
    }
    result = metarl_envs.evaluate(policies, ROOM, tasks=30, episodes=4, seeds=1)
    intact, hidden, minus, forgets, unbounded = Shown.made
    assert result.raw["intact"].sum() > 0
    for name in policies:
        assert (result.raw[name] == result.raw["intact"]).all()
    # The last reward of a trial is not told any more, so what was shown is at most what was paid.
    assert 0 < intact.shown.sum() <= result.raw["intact"].sum()
    assert not hidden.shown.any()
    assert (minus.shown == -intact.shown).all()
    assert (intact.starts == 1).all()
    assert (forgets.starts == 4).all()
    assert (unbounded.starts == 1).all()
    assert result.policies["minus"] == "Shown through VectorNegateReward, VectorPreviousStep"


def test_results_of_several_seeds_are_joined_and_others_refused():
    def one(seeds, **other):
        return metarl_envs.evaluate(["random", "oracle"], ROOM, **{"tasks": 8, "episodes": 2, "seeds": seeds, **other})

    together, apart = one([3, 1]), joined([one([3]), one([1])])
    assert apart.seeds == [3, 1]
    assert all((apart.raw[name] == together.raw[name]).all() for name in together.raw)
    assert apart.summaries["random"].aulc == together.summaries["random"].aulc
    with pytest.raises(ValueError, match="share seeds"):
        joined([one([1]), one([1])])
    with pytest.raises(ValueError, match="differ in split"):
        joined([one([1]), one([2], split="train")])
    with pytest.raises(ValueError, match="how many tasks"):
        joined([one([1]), one([2], tasks=9)])
    with pytest.raises(ValueError, match="empty"):
        joined([])
