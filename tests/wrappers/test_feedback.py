"""Feedback: controls act on the reward, or on the numbers of the observation that a family says agents learn from."""

import itertools
import re

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.vector import AutoresetMode

import metarl_envs
from metarl_envs.players import Wrapped
from metarl_envs.players.lifetimes import live
from metarl_wrappers import (
    ForgetEachEpisode,
    HideReward,
    PermuteActions,
    ReflectReward,
    SwapReward,
    VectorForgetEachEpisode,
    VectorHideReward,
    VectorPermuteActions,
    VectorReflectReward,
    VectorSwapReward,
)

pytestmark = pytest.mark.plain

BANDIT, REGRESSION = "metarl_envs:MetaRL/BernoulliBandit-v0", "metarl_envs:MetaRL/LinearRegression-v0"
SIZES = {"dimensions": 2, "horizon": 5}
mode = pytest.mark.parametrize("mode", list(AutoresetMode), ids=lambda mode: mode.name)


def regression(**kwargs):
    return gym.make(REGRESSION, **SIZES, episodes_per_trial=2, **kwargs)


def seen_by(env, steps=12):
    """Observations after each step (final ones where an episode ends), first ones of episodes, rewards."""
    first, after, rewards = [env.reset(seed=3)[0]], [], []
    for _ in range(steps):
        observation, reward, terminated, truncated, info = env.step(np.array([0.5], np.float32))
        ended = info["trial"]["inner_truncated"]
        after.append(info["trial"]["final_obs"] if ended else observation)
        rewards.append(reward)
        if terminated or truncated:
            observation, _ = env.reset()
        if ended:
            first.append(observation)
    return np.array(first), np.array(after), rewards


# ------------------------------------------------------------------------------------------------- what families declare
def test_families_declare_their_feedback():
    def declared(id, **params):
        variant = metarl_envs.tasks(id, **params).variant
        return variant.family.feedback(variant.p), variant.family.feedback_range(variant.p)

    assert declared("LinearRegression", dimensions=7) == ((7,), (-100.0, 100.0))
    assert declared("BernoulliBandit") == (None, (0.0, 1.0))
    assert declared("DarkRoom") == (None, (0.0, 1.0))
    assert declared("TabularMDP") == (None, None)


# ------------------------------------------------------------------------------------------------- what is shown
def test_feedback_in_sight_is_hidden_reflected_and_swapped_and_inputs_are_not():
    lives = [[[10.0], [20.0], [30.0]], [[-1.0], [-2.0]]]
    first, after, rewards = seen_by(regression())
    controls = {
        "hidden": HideReward(regression(), feedback=[2]),
        "reflected": ReflectReward(regression(), -100, 100, feedback=[2]),
        "swapped": SwapReward(regression(), lives, seed=1, feedback=[2]),
    }
    targets = after[:, 2]
    assert np.abs(targets).min() > 0
    assert all(rewards)
    for name, env in controls.items():
        first_shown, shown, paid = seen_by(env)
        assert np.array_equal(first_shown, first), "the first observation comes before any feedback"
        assert np.array_equal(shown[:, :2], after[:, :2]), "inputs stay"
        assert paid == [0.0] * 12, "the reward would tell as much"
        if name == "swapped":
            told = shown[:, 2].tolist()
            assert set(told) <= {10.0, 20.0, 30.0, -1.0, -2.0}
            assert all(now == before + 10 for before, now in itertools.pairwise(told) if before in (10.0, 20.0))
        else:
            assert np.array_equal(shown[:, 2], {"hidden": 0 * targets, "reflected": -targets}[name])


@mode
def test_both_forms_show_the_same_feedback(mode):
    def made(single, vector, *arguments, **how):
        envs = gym.make_vec(REGRESSION, num_envs=3, autoreset_mode=mode, episodes_per_trial=2, **SIZES)
        moved = [{**how, "seed": row} if "seed" in how else how for row in range(3)]
        return [single(regression(), *arguments, **each) for each in moved], vector(envs, *arguments, **how)

    lives = [[[10.0], [20.0], [30.0]], [[-1.0], [-2.0]]]
    for singles, envs in (
        made(HideReward, VectorHideReward, feedback=[2]),
        made(ReflectReward, VectorReflectReward, -100, 100, feedback=[2]),
        made(SwapReward, VectorSwapReward, lives, seed=0, feedback=[2]),
    ):
        seen, _ = envs.reset(seed=5)
        assert np.array_equal(seen, [env.reset(seed=5 + row)[0] for row, env in enumerate(singles)])
        for _ in range(10):
            seen, rewards, _, truncated, info = envs.step(np.full((3, 1), 0.25, np.float32))
            told = [env.step(np.array([0.25], np.float32)) for env in singles]
            alone = np.array([one[0] for one in told])
            last = info["final_obs"] if mode is AutoresetMode.SAME_STEP and truncated.all() else seen
            assert np.array_equal(np.stack(list(last)), alone)
            assert rewards.tolist() == [one[1] for one in told]
            assert np.array_equal(truncated, [one[3] for one in told])


def test_what_is_no_feedback_is_refused():
    with pytest.raises(ValueError, match=r"feedback=\[3\] holds 3; observations have 3 numbers"):
        HideReward(regression(), feedback=[3])
    with pytest.raises(ValueError, match=r"needs observations that are a Box of one axis, of floats"):
        HideReward(gym.make("metarl_envs:MetaRL/DarkRoom-v0"), feedback=[0])
    with pytest.raises(TypeError, match=r"feedback\[0\]=0.5 must be an integer"):
        HideReward(regression(), feedback=[0.5])
    with pytest.raises(ValueError, match=r"each once"):
        HideReward(regression(), feedback=[1, 1])
    with pytest.raises(ValueError, match=r"needs lives, \[life, step, place\]"):
        VectorSwapReward(gym.make_vec(REGRESSION, num_envs=3, **SIZES), feedback=[2])
    with pytest.raises(ValueError, match=r"lives\[0\] has the shape \(2,\); it must be \(steps, 1\)"):
        SwapReward(regression(), [[1.0, 2.0]], feedback=[2])
    with pytest.raises(ValueError, match="low=1 must be below high=0"):
        ReflectReward(gym.make(BANDIT), 1, 0)
    with pytest.raises(ValueError, match="high=inf must be finite"):
        ReflectReward(gym.make(BANDIT), 0, np.inf)
    for wrong in (None, "0", True, [0.0]):
        with pytest.raises(TypeError, match=re.escape(f"low={wrong!r} must be a real number")):
            ReflectReward(gym.make(BANDIT), wrong, 1)
    assert ReflectReward(gym.make(BANDIT), np.float32(0), np.int64(1)).spec.additional_wrappers[-1].kwargs["high"] == 1.0
    env = ReflectReward(gym.make(BANDIT), 0.1, 0.9)
    env.reset(seed=0)
    with pytest.raises(ValueError, match=r"told of rewards from low=0.1 to high=0.9, and met [01]"):
        env.step(0)
    env = ReflectReward(regression(), 0, 1e-9, feedback=[2])
    env.reset(seed=0)
    with pytest.raises(ValueError, match="told of feedback from low=0 to high=1e-09, and met"):
        env.step(np.zeros(1, np.float32))


@mode
def test_memory_is_told_to_be_lost_each_so_many_steps_of_an_episode(mode):
    room = {"size": 3, "horizon": 5, "episodes_per_trial": 2}
    env = ForgetEachEpisode(gym.make("metarl_envs:MetaRL/DarkRoom-v0", **room), every=2)
    envs = gym.make_vec("metarl_envs:MetaRL/DarkRoom-v0", num_envs=2, autoreset_mode=mode, **room)
    envs = VectorForgetEachEpisode(envs, every=2)
    env.reset(seed=0)
    envs.reset(seed=0)
    told = {"alone": [], "side by side": []}
    for t in range(10):
        told["alone"].append(env.step(1)[4]["trial"]["trial_start"])
        told["side by side"].append(envs.step(np.ones(2, int))[4]["trial"]["trial_start"])
        assert type(told["alone"][-1]) in (bool, np.bool_), t
    steps = [2, 4, 5, 7, 9]  # of the second episode, the first observation comes after step 5
    assert [t + 1 for t, flag in enumerate(told["alone"]) if flag] == steps
    ends = [10] if mode is AutoresetMode.SAME_STEP else []
    assert [t + 1 for t, flags in enumerate(told["side by side"]) if flags.all()] == steps + ends
    assert all(flags.any() == flags.all() for flags in told["side by side"])


# ------------------------------------------------------------------------------------------------- who is caught, who spared
class Counting:
    """Pulls the arm that was seen to pay best so far; untried ones first."""

    def __init__(self, *, num_envs, observation_space, action_space, seed):
        self.pulls, self.paid = np.zeros((2, num_envs, int(action_space.n)))
        self.random, self.rows = np.random.default_rng(seed), np.arange(num_envs)

    def act(self, step):
        told = ~step.trial_start
        self.pulls[step.trial_start] = self.paid[step.trial_start] = 0
        self.pulls[self.rows[told], step.previous_action[told]] += 1
        self.paid[self.rows[told], step.previous_action[told]] += step.previous_reward[told]
        tried = self.pulls > 0
        value = np.where(tried, self.paid / np.maximum(self.pulls, 1), 2) + 1e-6 * self.random.random(tried.shape)
        return value.argmax(axis=1)


class First:
    """Pulls the first arm, whatever it pays."""

    def __init__(self, *, num_envs, **told):
        self.actions = np.zeros(num_envs, int)

    def act(self, step):
        return self.actions


def lived(agent, *wrappers):
    """What each step paid, more than arms pay in the mean, [life, step]."""
    tasks = metarl_envs.tasks("BernoulliBandit", arms=3, horizon=40)
    rows = tasks.rows(120)
    run, _ = live(Wrapped(agent, *wrappers), tasks.variant, rows, np.arange(120), episodes=1)
    return run.columns().columns["reward"] - rows["chance"].mean(axis=1)[:, None]


@pytest.mark.slow
def test_reflected_reward_catches_who_learns_from_it_and_spares_who_does_not():
    def reflect(envs):
        return VectorReflectReward(envs, 0, 1)

    assert lived(Counting).mean() > 0.1
    assert lived(Counting, reflect).mean() < -0.1
    assert np.array_equal(lived(First), lived(First, reflect))


@pytest.mark.slow
def test_memory_lost_at_each_tenth_catches_who_needs_it_and_spares_who_does_not():
    def forget(envs):
        return VectorForgetEachEpisode(envs, every=4)

    assert lived(Counting, forget).mean() < 0.5 * lived(Counting).mean()
    assert np.array_equal(lived(First), lived(First, forget))


@pytest.mark.slow
def test_actions_permuted_in_mid_trial_change_nothing_before():
    def permute(envs):
        return VectorPermuteActions(envs, seed=1, after_steps=20)

    intact, permuted = lived(Counting), lived(Counting, permute)
    assert np.array_equal(intact[:, :20], permuted[:, :20])
    assert intact[:, 20:24].mean() > permuted[:, 20:24].mean() + 0.1
    spared = lived(First)[:, 20:].mean() - lived(First, permute)[:, 20:].mean()
    assert abs(spared) < 0.1, "whoever pulls one arm for good earns as much by another, in the mean over tasks"


def test_a_permutation_comes_after_so_many_episodes_and_so_many_steps():
    room = {"size": 3, "horizon": 4, "episodes_per_trial": 4}
    env = PermuteActions(gym.make("metarl_envs:MetaRL/DarkRoom-v0", **room), seed=3, after_episodes=1, after_steps=2)
    plain = gym.make("metarl_envs:MetaRL/DarkRoom-v0", **room)
    for trial in range(2):
        for one in (env, plain):
            one.reset(seed=0 if trial == 0 else None)
        same = []
        for _ in range(16):
            one, other = env.step(2), plain.step(2)
            same.append(np.array_equal(one[0], other[0]))
        assert all(same[:6])
        assert not same[6]
