"""SwapReward: what is shown is paid in another life, so whoever learns from reward gains nothing, and nobody else loses."""

import functools

import gymnasium as gym
import numpy as np
import pytest
from gymnasium import spaces
from gymnasium.vector import AutoresetMode, SyncVectorEnv, VectorWrapper

import metarl_envs
from metarl_envs.players import Wrapped
from metarl_wrappers import SwapReward, VectorHideReward, VectorSwapReward

BANDIT = "MetaRL/BernoulliBandit-v0"
mode = pytest.mark.parametrize("mode", list(AutoresetMode), ids=lambda mode: mode.name)


class Paying(gym.Env):
    """Pays 100 * number + step, so that a test can tell whose reward is shown; an episode has so many steps."""

    observation_space, action_space = spaces.Discrete(1), spaces.Discrete(2)

    def __init__(self, number=0, steps=100):
        self.number, self.steps = number, steps

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.step_number = 0
        return 0, {}

    def step(self, action):
        self.step_number += 1
        return 0, 100 * self.number + self.step_number, self.step_number == self.steps, False, {}


# ------------------------------------------------------------------------------------------------ who gains
class Bandit:
    """Counts what each arm was seen to pay."""

    def __init__(self, *, num_envs, observation_space, action_space, seed):
        self.arms, self.random = int(action_space.n), np.random.default_rng(seed)
        self.rows, self.t, self.arm = np.arange(num_envs), 0, None
        self.pulls, self.paid = np.zeros((2, num_envs, self.arms))

    def act(self, step):
        if self.t:
            self.pulls[self.rows, self.arm] += 1
            self.paid[self.rows, self.arm] += step.previous_reward
        self.arm = self.choose(step)
        self.t += 1
        return self.arm


class Blocks(Bandit):
    """Pulls every arm ten times, and then the one that was seen to pay most."""

    def choose(self, step):
        if self.t < 10 * self.arms:
            return np.full(len(self.rows), self.t // 10)
        return (self.paid / self.pulls).argmax(axis=1)


class WinStay(Bandit):
    """Stays where it was paid, else takes another arm."""

    def choose(self, step):
        other = self.random.integers(1, self.arms, len(self.rows)) if self.t else 0
        arm = self.random.integers(0, self.arms, len(self.rows)) if self.arm is None else self.arm
        return np.where(step.previous_reward > 0, arm, (arm + other) % self.arms)


class Thompson(Bandit):
    """Draws from the posterior of each arm."""

    def choose(self, step):
        return self.random.beta(1 + self.paid, 1 + self.pulls - self.paid).argmax(axis=1)


class Sweeping(Bandit):
    """Pulls the arms in turn, and never looks at reward."""

    def choose(self, step):
        return np.full(len(self.rows), self.t % self.arms)


LEARNERS = (Blocks, WinStay, Thompson)


class Kept(VectorWrapper):
    """Keeps what is shown and what was paid, step by step."""

    kept: list[tuple[np.ndarray, np.ndarray]] = []

    def step(self, actions):
        result = self.env.step(actions)
        self.kept.append((result[1].copy(), result[4].get("metarl_control", {}).get("reward", result[1]).copy()))
        return result


def scored(agents, tasks, **arguments):
    """The normalised score of each agent on each task, and the 95 % interval of the mean over tasks."""
    agents = {name: Wrapped(*how) for name, how in agents.items()}
    result = metarl_envs.evaluate(BANDIT, agents, tasks=tasks, seeds=1, horizon=100, least_spread=0.1, **arguments)
    for name in agents:
        tasks = result.normalised(name).mean(axis=(0, 2, 3))
        yield name, tasks.mean(), 1.96 * tasks.std(ddof=1) / np.sqrt(len(tasks))


@functools.cache
def lives_of(agent):
    """The rewards of an intact agent's lives on tasks of the train split, [life, step]."""
    Kept.kept = []
    list(scored({"intact": (agent, Kept)}, 400, split="train"))
    return np.array([paid for _, paid in Kept.kept]).T


@pytest.mark.parametrize("source", ["rows", "lives"])
@pytest.mark.parametrize("agent", LEARNERS)
def test_whoever_learns_from_reward_gains_nothing(agent, source):
    """On 2,000 bandits the interval of its score holds 0, and is as narrow as that of an agent that is shown no reward."""
    given = {} if source == "rows" else {"lives": lives_of(agent)}
    agents = {
        "intact": (agent,),
        "swapped": (agent, functools.partial(VectorSwapReward, seed=1, **given), Kept),
        "hidden": (agent, VectorHideReward),
    }
    Kept.kept = []
    scores = {name: (mean, width) for name, mean, width in scored(agents, 2000)}
    assert scores["intact"][0] > 0.4
    for name in ("swapped", "hidden"):
        mean, width = scores[name]
        assert abs(mean) < width < 0.02, (name, mean, width)
    shown, paid = np.array(Kept.kept).swapaxes(0, 1)
    assert shown.shape == (100, 2000)
    if source == "rows":
        assert np.array_equal(np.sort(shown, axis=1), np.sort(paid, axis=1)), "each reward is shown once, in its step"
    else:
        assert np.allclose(shown.mean(axis=1), given["lives"].mean(axis=0), atol=0.06), "rewards come as in the lives, in time"
    for earlier in (0, 1):  # the own reward of this step, and of the one before
        own, seen = paid[: 100 - earlier].ravel(), shown[earlier:].ravel()
        assert abs(np.corrcoef(own, seen)[0, 1]) < 0.015


def test_whoever_never_looks_at_reward_is_spared():
    agents = {"intact": Sweeping, "swapped": Wrapped(Sweeping, VectorSwapReward)}
    result = metarl_envs.evaluate(BANDIT, agents, tasks=50, seeds=1, horizon=100)
    assert np.array_equal(result.raw["intact"], result.raw["swapped"])
    assert result.raw["intact"].any()


# ------------------------------------------------------------------------------------------------ other rows
@mode
def test_each_reward_is_shown_once_in_its_step_to_another_row(mode):
    """Rows of different lengths: those that make no step in a call show nothing, and are shown nothing."""
    steps = (3, 5, 7, 8, 50)
    below = SyncVectorEnv([functools.partial(Paying, i, n) for i, n in enumerate(steps)], autoreset_mode=mode)
    envs = VectorSwapReward(below, seed=2)
    envs.reset(seed=0)
    idle, seen = np.zeros(5, np.bool_), set()
    for _ in range(40):
        _, shown, terminated, _, info = envs.step(np.zeros(5, int))
        paid = info["metarl_control"]["reward"]
        assert np.array_equal(np.sort(shown[~idle]), np.sort(paid[~idle]))
        assert not shown[idle].any()
        assert (shown[~idle] != paid[~idle]).all()
        assert (paid // 100 == np.arange(5))[~idle].all()
        if not idle.any():
            seen.add(tuple((shown // 100).astype(int).tolist()))
        idle = terminated if mode is AutoresetMode.NEXT_STEP else np.zeros(5, np.bool_)
        if mode is AutoresetMode.DISABLED and terminated.any():
            envs.reset(options={"reset_mask": terminated})
    (whose,) = seen
    place, rows = 0, []
    for _ in range(5):
        place = whose[place]
        rows.append(place)
    assert sorted(rows) == list(range(5)), "all rows stand in one cycle"


def test_a_row_alone_in_its_step_is_shown_nothing():
    envs = VectorSwapReward(SyncVectorEnv([functools.partial(Paying, 1, 2), functools.partial(Paying, 2, 9)]))
    envs.reset(seed=0)
    shown = [envs.step(np.zeros(2, int))[1].tolist() for _ in range(4)]
    assert shown == [[201, 101], [202, 102], [0, 0], [204, 101]]


def test_the_cycle_follows_from_the_seed_alone():
    def whose(seed, reset_seed):
        envs = VectorSwapReward(SyncVectorEnv([functools.partial(Paying, i) for i in range(12)]), seed=seed)
        envs.reset(seed=reset_seed)
        return tuple(envs.step(np.zeros(12, int))[1] // 100)

    assert whose(0, 0) == whose(0, 5)
    assert len({whose(seed, 0) for seed in range(5)}) == 5


def test_one_row_has_no_other():
    with pytest.raises(ValueError, match=r"there is one row only: .*VectorSwapReward\(envs, lives\)"):
        VectorSwapReward(SyncVectorEnv([Paying]))
    envs = VectorSwapReward(SyncVectorEnv([Paying]), [[7.0]])
    envs.reset(seed=0)
    assert envs.step(np.zeros(1, int))[1] == 7


# ------------------------------------------------------------------------------------------------ stored lives
def test_all_lives_are_shown_alike_from_their_first_step_on_and_drawn_anew_in_each_trial():
    lives = np.arange(4)[:, None] * 100 + np.arange(1, 7)
    envs = VectorSwapReward(SyncVectorEnv([functools.partial(Paying, 0, 3)] * 2000, autoreset_mode="SameStep"), lives, seed=3)
    envs.reset(seed=0)
    shown = np.array([envs.step(np.zeros(2000, int))[1] for _ in range(6)])
    assert (shown % 100 == np.array([1, 2, 3, 1, 2, 3])[:, None]).all()
    assert (shown // 100 == np.repeat(shown[[0, 3]] // 100, 3, axis=0)).all()
    first, second = (shown[[0, 3]] // 100).astype(int)
    counts = np.bincount(4 * first + second, minlength=16)
    assert (np.abs(counts - 125) < 5 * np.sqrt(125)).all()


def test_no_row_is_shown_a_life_of_its_own():
    """Row 1 lived lives 0 and 3, row 0 life 1, row 2 the others."""
    lives = np.arange(5)[:, None] * 100 + np.arange(1, 4)
    rows = SyncVectorEnv([functools.partial(Paying, 0, 3)] * 3, autoreset_mode="SameStep")
    envs = VectorSwapReward(rows, lives, lived_by=[1, 0, 2, 1, 2])
    envs.reset(seed=0)
    shown = np.array([envs.step(np.zeros(3, int))[1] for _ in range(3 * 60)])
    assert [set((of_row // 100).astype(int)) for of_row in shown.T] == [{0, 2, 3, 4}, {1, 2, 4}, {0, 1, 3}]
    assert (shown % 100 == np.tile([1, 2, 3], 60)[:, None]).all()


@pytest.mark.parametrize(
    ("lived_by", "error", "says"),
    [
        ([0], ValueError, "lived_by tells of 1 lives, and lives holds 2"),
        ([0, -1], ValueError, r"lived_by\[1\]=-1 must be an integer of at least 0"),
        ([0, 0.5], TypeError, r"lived_by\[1\]=0.5 must be an integer"),
        (3, TypeError, "lived_by=3 must be a sequence of integers"),
        (np.array(3), TypeError, r"lived_by=array\(3\) must be a sequence of integers"),
        ([0, 2], ValueError, "lived_by has row 2, and there are 2 rows"),
        ([1, 1], ValueError, "lived_by leaves no life for row 1 to be shown"),
    ],
)
def test_rows_that_lived_no_life_are_refused(lived_by, error, says):
    with pytest.raises(error, match=says):
        VectorSwapReward(SyncVectorEnv([Paying] * 2), [[1.0], [2.0]], lived_by=lived_by)


def test_draws_differ_between_seeds_and_trials_but_not_with_actions():
    def run(seed, action):
        env = SwapReward(Paying(steps=5), np.random.default_rng(0).random((50, 5)), seed=seed)
        trials = []
        for trial in range(2):
            env.reset(seed=0 if trial == 0 else None)
            trials.append([env.step(action)[1] for _ in range(5)])
        return trials

    one = run(1, action=0)
    assert one == run(1, action=1)
    assert one[0] != one[1]
    assert one[0] != run(2, action=0)[0]


@pytest.mark.parametrize("form", [SwapReward, VectorSwapReward])
@pytest.mark.parametrize(
    ("lives", "error", "says"),
    [
        ("lives", TypeError, "lives='lives' must be a sequence of lives"),
        (3.0, TypeError, r"lives=3\.0 must be a sequence"),
        (np.array(3.0), TypeError, "must be a sequence"),
        ([["a", "b"]], TypeError, r"lives\[0\] must be the rewards of its steps, real numbers; got dtype <U1"),
        ([[1.0], [1j]], TypeError, r"lives\[1\].*complex"),
        ([], ValueError, "lives is empty"),
        ([[1.0], []], ValueError, r"lives\[1\] has the shape \(0,\)"),
        ([1.0, 2.0], ValueError, r"lives\[0\] has the shape \(\)"),
        (np.zeros((2, 3, 1)), ValueError, r"lives\[0\] has the shape \(3, 1\)"),
        ([[[1], [2, 3]]], ValueError, r"lives\[0\] must be the rewards of its steps, one number each"),
        ([[1.0, 2.0], [1.0, np.nan]], ValueError, r"lives\[1\] has rewards that are not finite, the first in step 1"),
    ],
)
def test_lives_that_are_none_are_refused(form, lives, error, says):
    env = Paying() if form is SwapReward else SyncVectorEnv([Paying] * 2)
    with pytest.raises(error, match=says):
        form(env, lives)
