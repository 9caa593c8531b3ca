"""The ground truth, against brute force and closed forms; and the agent's side is untouched by it."""

import itertools
import pickle

import gymnasium as gym
import numpy as np
import pytest

import metarl_envs
from metarl_envs.engine.truth.solving import exact_returns, explore
from metarl_envs.ids import TABLE
from tests.worlds import smaller

ROOM, HARD = "MetaRL/DarkRoom-v0", "MetaRL/DarkRoomHard-v0"
BANDIT, MDP = "MetaRL/BernoulliBandit-v0", "MetaRL/TabularMDP-v0"

IDS = [row.id for row in TABLE]


def truth(info):
    return info["metarl"]


@pytest.mark.parametrize("id", IDS)
def test_asking_for_the_truth_changes_nothing_else(id):
    plain, told = (gym.make(id, episodes_per_trial=2, ground_truth=asked, **smaller(id)) for asked in (False, True))
    first, second = plain.reset(seed=4), told.reset(seed=4)
    assert (np.asarray(first[0]) == np.asarray(second[0])).all()
    plain.action_space.seed(0)
    for _ in range(60):
        action = plain.action_space.sample()
        first, second = plain.step(action), told.step(action)
        assert (np.asarray(first[0]) == np.asarray(second[0])).all()
        assert first[1:4] == second[1:4]
        assert "metarl" not in first[4]
        if first[2] or first[3]:
            plain.reset(), told.reset()


@pytest.mark.parametrize("id", [ROOM, HARD, BANDIT, MDP])
def test_greedy_on_q_star_has_no_regret_and_earns_what_the_first_value_says(id):
    env = gym.make(id, ground_truth=True)
    lives, promised, earned = 200 if id in (BANDIT, MDP) else 20, [], []
    for seed in range(lives):
        _, info = env.reset(seed=seed)
        promised.append(truth(info)["q_star"].max())
        assert promised[-1] == pytest.approx(truth(info)["oracle_return"])
        total, over = 0.0, False
        while not over:
            action = int(np.flatnonzero(truth(info)["optimal_actions"])[-1])
            _, reward, terminated, truncated, info = env.step(action)
            total, over = total + reward, terminated or truncated
        assert truth(info)["regret"] == pytest.approx(0)
        assert not truth(info)["q_star"].any(), "after the end"
        earned.append(total)
    difference = np.array(earned) - promised
    assert abs(difference.mean()) <= 4 * difference.std() / np.sqrt(lives) + 1e-9


def test_explored_values_by_brute_force():
    """The best of all action sequences in a 3x3 room of 4 steps, from each first action."""
    for id in (ROOM, HARD):
        tasks = metarl_envs.tasks(id, size=3, horizon=4)
        for row in tasks:
            goal = tuple(row["goal"])
            best = np.full(5, -np.inf)
            for plan in itertools.product(range(5), repeat=4):
                x = y = 1
                total = 0
                for action in plan:
                    x = min(max(x + (action == 2) - (action == 4), 0), 2)
                    y = min(max(y + (action == 3) - (action == 1), 0), 2)
                    if (x, y) == goal:
                        total += 1
                        if id == HARD:
                            break
                best[plan[0]] = max(best[plan[0]], total)
            env = gym.make(id, size=3, horizon=4, ground_truth=True)
            _, info = env.reset(seed=0, options={"task": row})
            assert (truth(info)["q_star"] == best).all()


def test_exploring_agrees_with_the_formulas_of_the_family():
    for id in (ROOM, HARD):
        tasks = metarl_envs.tasks(id, size=6)
        for row in tasks:
            explored = explore(tasks.variant, row.reshape(1))
            assert explored is not None
            assert explored.returns() == pytest.approx(exact_returns(tasks.variant, row))


def test_exploring_refuses_chance():
    for id in (BANDIT, MDP):
        tasks = metarl_envs.tasks(id)
        assert explore(tasks.variant, tasks.rows(1)) is None


def test_posterior_of_a_dark_room_is_uniform_over_goals_not_ruled_out():
    env = gym.make(ROOM, size=4, horizon=6, episodes_per_trial=3, ground_truth=True)
    goals = [tuple(row["goal"]) for row in env.unwrapped.tasks]
    rng = np.random.default_rng(0)
    for seed in range(10):
        _, info = env.reset(seed=seed)
        possible = set(goals)
        over = False
        while not over:
            obs, reward, terminated, truncated, info = env.step(int(rng.integers(5)))
            ended = info["trial"]["inner_truncated"]
            stood = tuple((info["trial"]["final_obs"] if ended else obs).tolist())
            possible = {stood} if reward else possible - {stood} if len(possible) > 1 else possible
            expected = np.array([(goal in possible) / len(possible) for goal in goals])
            assert truth(info)["posterior"] == pytest.approx(expected)
            over = terminated or truncated


def test_posterior_of_a_bandit_counts_over_all_episodes_of_the_trial():
    env = gym.make(BANDIT, episodes_per_trial=3, ground_truth=True)
    env.reset(seed=0)
    wins, losses = np.zeros(5), np.zeros(5)
    for _ in range(30):
        action = int(env.action_space.sample())
        _, reward, _, _, info = env.step(action)
        wins[action] += reward
        losses[action] += 1 - reward
    assert (truth(info)["posterior"]["a"] == 1 + wins).all()
    assert (truth(info)["posterior"]["b"] == 1 + losses).all()
    _, info = env.reset()
    assert (truth(info)["posterior"]["a"] == 1).all(), "a new trial forgets"


def test_posterior_of_an_mdp_finds_the_truth():
    env = gym.make(MDP, states=3, actions=2, episodes_per_trial=400, ground_truth=True)
    _, info = env.reset(seed=1)
    for _ in range(3999):
        _, _, _, _, info = env.step(int(env.action_space.sample()))
    told, task = truth(info)["posterior"], truth(info)["task"]
    assert told["mean"] == pytest.approx(task["reward"], abs=0.25)
    chances = told["counts"] / told["counts"].sum(axis=-1, keepdims=True)
    assert np.abs(chances - task["transition"]).max() < 0.1


@pytest.mark.parametrize("id", IDS)
@pytest.mark.parametrize("mode", ["NextStep", "SameStep"])
def test_the_truth_of_a_vector_env_is_that_of_its_singles(id, mode):
    arguments = {**smaller(id), "episodes_per_trial": 2, "ground_truth": True, "horizon": 4}
    envs = gym.make_vec(id, num_envs=3, autoreset_mode=mode, **arguments)
    singles = [gym.make(id, **arguments) for _ in range(3)]
    _, info = envs.reset(seed=11)
    expected = [truth(env.reset(seed=11 + i)[1]) for i, env in enumerate(singles)]
    over = [False] * 3
    envs.action_space.seed(0)
    for _ in range(30):
        for i in range(3):
            _assert_same(expected[i], truth(info), i)
        actions = envs.action_space.sample()
        _, _, _, _, info = envs.step(actions)
        for i, env in enumerate(singles):
            if over[i]:
                over[i], told = False, env.reset()[1]
            else:
                _, _, terminated, truncated, told = env.step(actions[i])
                over[i] = terminated or truncated
                if over[i] and mode == "SameStep":
                    _assert_same(truth(told), info["final_info"]["metarl"], i)
                    over[i], told = False, env.reset()[1]
            expected[i] = truth(told)


def _assert_same(single, batched, i):
    for name, value in single.items():
        if isinstance(value, dict):
            _assert_same(value, batched[name], i)
        else:
            assert np.array_equal(value, batched[name][i], equal_nan=True), name


@pytest.mark.parametrize("id", IDS)
def test_a_snapshot_keeps_the_truth(id):
    env = gym.make(id, episodes_per_trial=2, ground_truth=True, **smaller(id)).unwrapped
    env.reset(seed=3)
    env.action_space.seed(0)
    for _ in range(3):
        env.step(env.action_space.sample())
    kept = pickle.loads(pickle.dumps(env.get_state()))
    actions = [env.action_space.sample() for _ in range(4)]
    first = [env.step(action)[4] for action in actions]
    env.set_state(kept)
    for action, before in zip(actions, first, strict=True):
        after = env.step(action)[4]
        assert repr(_plain(after)) == repr(_plain(before)), "as text, because NaN is not equal to itself"


def _plain(info):
    return {k: _plain(v) if isinstance(v, dict) else np.asarray(v).tolist() for k, v in info.items()}
