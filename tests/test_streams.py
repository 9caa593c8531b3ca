"""Keyed streams: what a draw is depends on where it stands; and the draws have the distributions they claim."""

import math
import os
import subprocess
import sys

import gymnasium as gym
import numpy as np
import pytest
from scipy import stats

from metarl_envs.engine import beta, exponential, gamma, kernel, normal, randint, streams, uniform
from metarl_envs.engine.compiling.kernels import PLAIN
from metarl_envs.engine.records import for_drivers
from metarl_envs.ids import TABLE

IDS = [f"metarl_envs:{row.id}" for row in TABLE]
ROOM = "metarl_envs:MetaRL/DarkRoom-v0"
BANDIT = "metarl_envs:MetaRL/BernoulliBandit-v0"
COUNT = 2_000 if PLAIN else 50_000


# ------------------------------------------------------------------------------------------- distributions
@kernel
def one_uniform(rng, a, b):
    return uniform(rng)


@kernel
def one_normal(rng, a, b):
    return normal(rng)


@kernel
def one_exponential(rng, a, b):
    return exponential(rng)


@kernel
def one_gamma(rng, a, b):
    return gamma(rng, a)


@kernel
def one_beta(rng, a, b):
    return beta(rng, a, b)


@kernel
def one_integer(rng, a, b):
    return 1.0 * randint(rng, int(a))


def draws(one, a=0.0, b=0.0, count=COUNT):
    """Draws of one stream."""

    def fill(out, rng, a, b):
        for i in range(len(out)):
            out[i] = one(rng[0], a, b)

    rng, out = for_drivers(np.zeros(1, streams.STREAM)), np.empty(count)
    rng["s"] = 12345
    kernel(fill)(out, rng, a, b)
    return out


CONTINUOUS = [
    (one_uniform, (), stats.uniform()),
    (one_normal, (), stats.norm()),
    (one_exponential, (), stats.expon()),
    *((one_gamma, (shape,), stats.gamma(shape)) for shape in (1.0, 1.5, 4.0, 60.0)),
    *((one_beta, shapes, stats.beta(*shapes)) for shapes in ((1.0, 1.0), (2.0, 5.0), (40.0, 3.0))),
]


@pytest.mark.parametrize(("one", "parameters", "expected"), CONTINUOUS)
def test_distribution(one, parameters, expected):
    drawn = draws(one, *parameters)
    assert stats.kstest(drawn, expected.cdf).pvalue > 1e-3
    error = expected.std() / math.sqrt(COUNT)
    assert abs(drawn.mean() - expected.mean()) < 4 * error
    assert abs(drawn.var() / expected.var() - 1) < (0.3 if PLAIN else 0.05)
    assert abs(np.corrcoef(drawn[:-1], drawn[1:])[0, 1]) < 4 / math.sqrt(COUNT)


@pytest.mark.parametrize("n", [1, 2, 3, 10, 81])
def test_integers_are_uniform(n):
    drawn = draws(one_integer, float(n)).astype(int)
    counts = np.bincount(drawn, minlength=n)
    assert len(counts) == n, "none lies beyond n - 1"
    assert n == 1 or stats.chisquare(counts).pvalue > 1e-3


def test_integers_reach_both_ends_of_a_large_range():
    drawn = draws(one_integer, float(2**31 - 1))
    assert drawn.min() >= 0
    assert drawn.max() < 2**31 - 1
    assert stats.kstest(drawn / 2**31, "uniform").pvalue > 1e-3


# ------------------------------------------------------------------------------------------- keys
PURPOSES = (streams.TASK, streams.EPISODE, streams.LEARNER, streams.POOL)


def test_no_two_purposes_times_or_parts_share_a_stream():
    starts = [
        int(streams.keyed(streams._word(seed), purpose, time, part))
        for seed in (0, 1, 2, 2**63, 2**64 - 1)
        for purpose in PURPOSES
        for time in range(20)
        for part in range(10)
    ]
    assert len(set(starts)) == len(starts)


def test_streams_of_neighbouring_keys_are_uncorrelated():
    keys = [(seed, streams.EPISODE, time, 0) for seed in range(30) for time in range(100)]
    first = np.array([int(streams.keyed(*key)) for key in keys], np.float64) / 2**64
    assert stats.kstest(first, "uniform").pvalue > 1e-3
    assert abs(np.corrcoef(first[:-1], first[1:])[0, 1]) < 4 / math.sqrt(len(first))


#: Reference values of Stafford's variant 13, from Java's SplittableRandom: SplitMix64 seeded 0.
KNOWN = (0xE220A8397B1DCDAF, 0x6E789E6AA1B965F4, 0x06C45D188009454F)


def test_the_generator_is_splitmix64():
    @kernel
    def three(rng, out):
        for i in range(3):
            out[i] = streams.bits(rng[0])

    rng, out = for_drivers(np.zeros(1, streams.STREAM)), np.zeros(3, np.uint64)
    three(rng, out)
    assert tuple(out.tolist()) == KNOWN


MIXED = (
    "from metarl_envs.engine import streams as s; from metarl_envs.engine.compiling.kernels import PLAIN;"
    "import numpy as np; word = int if PLAIN else np.uint64;"
    "print(PLAIN, [int(s.mix(word(z))) for z in (0, 1, 2**63, 2**64 - 1)],"
    "[int(s.keyed(word(a), b, c, d)) for a, b, c, d in ((0, 1, 0, 0), (2**64 - 1, 4, 10**9, 7), (5, 2, -1, 3))])"
)


def test_mixing_is_the_same_compiled_and_plain():
    out = {}
    for flag in ("0", "1"):
        result = subprocess.run(
            [sys.executable, "-c", MIXED],
            env={**os.environ, "NUMBA_DISABLE_JIT": flag},
            capture_output=True,
            text=True,
        )
        assert result.returncode == 0, result.stderr
        plain, _, out[flag] = result.stdout.partition(" ")
        assert plain == str(flag == "1")
    assert out["0"] == out["1"]


# ------------------------------------------------------------------------------------------- what shifts no later draw
def trial(env, actions, **reset):
    """Observations and rewards of a trial, and its task."""
    obs, info = env.reset(**reset)
    events = [(np.array(obs).tolist(), 0.0)]
    for action in actions:
        obs, reward, terminated, truncated, _ = env.step(action)
        events.append((np.array(obs).tolist(), reward))
        if terminated or truncated:
            break
    return events, info["metarl"]["task_id"]


@pytest.mark.parametrize("id", IDS)
def test_giving_a_task_shifts_no_later_task(id):
    free, given = (gym.make(id, ground_truth=True).unwrapped for _ in range(2))
    free.reset(seed=3)
    given.reset(seed=3, options={"task": 0})
    for _ in range(4):
        assert free.reset()[1]["metarl"]["task_id"] == given.reset()[1]["metarl"]["task_id"]


@pytest.mark.parametrize("id", IDS)
def test_acting_otherwise_or_stopping_early_shifts_no_later_task_or_episode(id):
    one, other = (gym.make(id, ground_truth=True).unwrapped for _ in range(2))
    space = one.action_space
    space.seed(0)
    actions = [space.sample() for _ in range(one.variant.horizon)]
    trial(one, actions, seed=6)
    trial(other, actions[::-1][: len(actions) // 2], seed=6)
    assert trial(one, actions) == trial(other, actions)


def test_noise_is_common_to_runs_that_act_alike_on_different_tasks():
    """A pull compares one uniform number with the arm's chance: a better arm wins wherever a worse one does."""
    env = gym.make(BANDIT, horizon=200, ground_truth=True)
    won = {}
    for chance in (0.2, 0.7):
        events, _ = trial(env, [0] * 200, seed=1, options={"task": {"chance": [chance] * 5}})
        won[chance] = np.array([reward for _, reward in events])
    assert (won[0.2] <= won[0.7]).all()
    assert won[0.2].sum() < won[0.7].sum()


def test_noise_is_new_in_every_trial_and_episode():
    env = gym.make(BANDIT, horizon=50, ground_truth=True)
    chances = {"chance": [0.5] * 5}
    parts = [trial(env, [0] * 50, seed=1, options={"task": chances})]
    parts += [trial(env, [0] * 50, options={"new_trial": False}) for _ in range(2)]
    parts += [trial(env, [0] * 50, options={"task": chances}) for _ in range(2)]
    won = {tuple(reward for _, reward in events) for events, _ in parts}
    assert len(won) == 5


def test_another_number_of_episodes_leaves_tasks_as_they_are():
    tasks = []
    for episodes in (1, 3):
        envs = gym.make_vec(ROOM, num_envs=2, horizon=4, episodes_per_trial=episodes, ground_truth=True)
        met = [envs.reset(seed=0)[1]["metarl"]["task_id"]]
        while len(met) < 4:
            info = envs.step(np.zeros(2, int))[4]
            if info["trial"]["trial_start"].all():
                met.append(info["metarl"]["task_id"])
        tasks.append(np.array(met).tolist())
    assert tasks[0] == tasks[1]
