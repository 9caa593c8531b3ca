"""The contract of trials, episodes and autoreset: one test for each row of the table in docs/contract.md."""

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.error import ResetNeeded
from gymnasium.vector import AutoresetMode

TRUNCATES = "metarl_envs:MetaRL/DarkRoom-v0"
TERMINATES = "metarl_envs:MetaRL/DarkRoomHard-v0"
FLAGS = ("trial_start", "episode_start", "inner_terminated", "inner_truncated", "action_ignored")
NOOP, UP, RIGHT, DOWN, LEFT = range(5)


def room(**kwargs):
    """A 3x3 Dark Room of 4 steps an episode: small enough to know every observation by heart."""
    return gym.make(TRUNCATES, **{"size": 3, "horizon": 4, **kwargs})


def hard_room(**kwargs):
    """A 3x3 room whose episode terminates on the goal; the task below puts it right of the centre."""
    return gym.make(TERMINATES, **{"size": 3, "horizon": 4, **kwargs})


def rooms(mode, num_envs=3, id=TRUNCATES, **kwargs):
    kwargs = {"size": 3, "horizon": 4, **kwargs}
    return gym.make_vec(id, num_envs=num_envs, autoreset_mode=mode, **kwargs)


def goal_at(env, x, y):
    task = np.zeros((), env.unwrapped.tasks.dtype)
    task["goal"] = x, y
    return task


def raised(info):
    """The names of the flags that are up."""
    return {name for name in FLAGS if info["trial"][name]}


def raised_in_row(info, row):
    return {name for name in FLAGS if info["trial"][name][row]}


# ------------------------------------------------------------------------------------------- single env
def test_reset_starts_a_trial_and_its_first_episode():
    obs, info = room().reset(seed=0)
    assert obs.tolist() == [1, 1]
    assert raised(info) == {"trial_start", "episode_start"}


def test_a_step_inside_an_episode_raises_no_flag():
    env = room()
    env.reset(seed=0)
    _, _, terminated, truncated, info = env.step(NOOP)
    assert (terminated, truncated) == (False, False)
    assert raised(info) == set()


def test_inner_truncation_returns_the_first_observation_of_the_next_episode_in_the_same_step():
    env = room(episodes_per_trial=2)
    env.reset(seed=0)
    for _ in range(3):
        env.step(RIGHT)
    obs, _, terminated, truncated, info = env.step(UP)
    assert obs.tolist() == [1, 1], "first observation of the next episode"
    assert (terminated, truncated) == (False, False)
    assert raised(info) == {"episode_start", "inner_truncated"}
    assert info["trial"]["final_obs"].tolist() == [2, 0], "the true last observation"


def test_inner_termination_is_told_apart_from_truncation():
    env = hard_room(episodes_per_trial=2)
    env.reset(seed=0, options={"task": goal_at(env, 2, 1)})
    obs, reward, terminated, truncated, info = env.step(RIGHT)
    assert (reward, terminated, truncated) == (1.0, False, False)
    assert obs.tolist() == [1, 1]
    assert raised(info) == {"episode_start", "inner_terminated"}
    assert info["trial"]["final_obs"].tolist() == [2, 1]


def test_the_last_episode_ends_with_the_true_last_observation_and_filled_inner_flags():
    env = room(episodes_per_trial=2)
    env.reset(seed=0)
    for _ in range(7):
        env.step(RIGHT)
    obs, _, terminated, truncated, info = env.step(UP)
    assert obs.tolist() == [2, 0]
    assert (terminated, truncated) == (False, True)
    assert raised(info) == {"inner_truncated"}
    assert info["trial"]["final_obs"].tolist() == [2, 0]


def test_the_last_episode_may_end_by_termination():
    env = hard_room()
    env.reset(seed=0, options={"task": goal_at(env, 2, 1)})
    obs, reward, terminated, truncated, info = env.step(RIGHT)
    assert obs.tolist() == [2, 1]
    assert (reward, terminated, truncated) == (1.0, True, False)
    assert raised(info) == {"inner_terminated"}


def test_trial_end_terminated_reports_the_end_of_the_budget_as_termination():
    env = room(trial_end="terminated")
    env.reset(seed=0)
    for _ in range(3):
        assert env.step(NOOP)[2:4] == (False, False)
    _, _, terminated, truncated, info = env.step(NOOP)
    assert (terminated, truncated) == (True, False)
    assert raised(info) == {"inner_truncated"}, "the inner flags keep what really happened"


def test_step_before_reset_needs_a_reset():
    with pytest.raises(ResetNeeded, match="reset"):
        room().unwrapped.step(NOOP)


def test_step_after_the_end_needs_a_reset():
    env = room()
    env.reset(seed=0)
    for _ in range(4):
        env.step(NOOP)
    with pytest.raises(ResetNeeded, match="reset"):
        env.step(NOOP)


def test_new_trial_false_starts_the_next_episode_of_the_same_task():
    env = room()
    env.reset(seed=0, options={"task": goal_at(env, 0, 2)})
    env.step(LEFT)
    obs, info = env.reset(options={"new_trial": False})
    assert obs.tolist() == [1, 1]
    assert raised(info) == {"episode_start"}
    env.step(LEFT)
    assert env.step(DOWN)[1] == 1.0, "the goal did not move"


def test_new_trial_false_is_allowed_after_the_last_episode():
    env = room(episodes_per_trial=2)
    env.reset(seed=0, options={"task": goal_at(env, 1, 2)})
    for episode in range(5):
        rewards = [env.step(DOWN)[1] for _ in range(4)]
        if episode >= 1:
            assert sum(rewards) == 4.0, "the same goal in every episode"
            env.reset(options={"new_trial": False})


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        ({"options": {"new_trial": False}}, "before any trial"),
        ({"options": {"new_trial": False, "task": 0}}, "task"),
        ({"options": {"new_trial": False}, "seed": 3}, "seed"),
    ],
)
def test_new_trial_false_refuses_what_contradicts_it(arguments, why):
    env = room()
    if "before" not in why:
        env.reset(seed=0)
    with pytest.raises((ValueError, ResetNeeded), match=why):
        env.reset(**arguments)


def test_each_reset_draws_a_new_task():
    env = gym.make(TRUNCATES, ground_truth=True)
    goals = [tuple(env.reset(seed=5)[1]["metarl"]["task"]["goal"])]
    goals += [tuple(env.reset()[1]["metarl"]["task"]["goal"]) for _ in range(20)]
    assert len(set(goals)) > 10


# ------------------------------------------------------------------------------------------- vector env
@pytest.mark.parametrize("mode", list(AutoresetMode))
def test_vector_reset_and_inner_steps(mode):
    envs = rooms(mode)
    obs, info = envs.reset(seed=0)
    assert obs.tolist() == [[1, 1]] * 3
    assert all(raised_in_row(info, i) == {"trial_start", "episode_start"} for i in range(3))
    _, _, terminated, truncated, info = envs.step(np.full(3, NOOP))
    assert not terminated.any()
    assert not truncated.any()
    assert all(raised_in_row(info, i) == set() for i in range(3))


@pytest.mark.parametrize("mode", list(AutoresetMode))
def test_vector_inner_episode_end_is_the_same_in_every_mode(mode):
    envs = rooms(mode, episodes_per_trial=2)
    envs.reset(seed=0)
    for _ in range(3):
        envs.step(np.full(3, RIGHT))
    obs, _, terminated, truncated, info = envs.step(np.full(3, UP))
    assert obs.tolist() == [[1, 1]] * 3
    assert not terminated.any()
    assert not truncated.any()
    assert all(raised_in_row(info, i) == {"episode_start", "inner_truncated"} for i in range(3))
    assert info["trial"]["final_obs"].tolist() == [[2, 0]] * 3


def test_same_step_returns_the_next_trial_and_keeps_the_old_one_in_final_info():
    envs = rooms(AutoresetMode.SAME_STEP)
    envs.reset(seed=0)
    for _ in range(3):
        envs.step(np.full(3, RIGHT))
    obs, _, terminated, truncated, info = envs.step(np.full(3, UP))
    assert obs.tolist() == [[1, 1]] * 3
    assert not terminated.any()
    assert truncated.all()
    assert all(raised_in_row(info, i) == {"trial_start", "episode_start"} for i in range(3))
    assert info["_final_obs"].all()
    assert [o.tolist() for o in info["final_obs"]] == [[2, 0]] * 3
    old = info["final_info"]
    assert old["_trial"].all()
    assert all(raised_in_row(old, i) == {"inner_truncated"} for i in range(3))
    assert old["trial"]["final_obs"].tolist() == [[2, 0]] * 3


def test_next_step_returns_the_last_observation_and_marks_the_ignored_action():
    envs = rooms(AutoresetMode.NEXT_STEP)
    envs.reset(seed=0)
    for _ in range(3):
        envs.step(np.full(3, RIGHT))
    obs, _, _, truncated, info = envs.step(np.full(3, UP))
    assert obs.tolist() == [[2, 0]] * 3
    assert truncated.all()
    assert all(raised_in_row(info, i) == {"inner_truncated"} for i in range(3))
    obs, reward, terminated, truncated, info = envs.step(np.full(3, LEFT))
    assert obs.tolist() == [[1, 1]] * 3
    assert reward.tolist() == [0.0] * 3
    assert not (terminated | truncated).any()
    assert all(raised_in_row(info, i) == {"trial_start", "episode_start", "action_ignored"} for i in range(3))


def test_disabled_waits_for_reset_mask():
    envs = rooms(AutoresetMode.DISABLED)
    envs.reset(seed=0)
    for _ in range(2):
        envs.step(np.full(3, RIGHT))
    envs.reset(options={"reset_mask": np.array([False, True, False])})
    envs.step(np.full(3, RIGHT))
    obs, _, terminated, truncated, info = envs.step(np.full(3, UP))
    assert truncated.tolist() == [True, False, True]
    assert not terminated.any()
    assert obs.tolist() == [[2, 0], [2, 0], [2, 0]]
    assert raised_in_row(info, 0) == {"inner_truncated"}
    with pytest.raises(ResetNeeded, match=r"0.*2"):
        envs.step(np.full(3, NOOP))
    obs, info = envs.reset(options={"reset_mask": truncated})
    assert obs.tolist() == [[1, 1], [2, 0], [1, 1]], "rows outside the mask keep their observation"
    assert raised_in_row(info, 0) == {"trial_start", "episode_start"}
    assert raised_in_row(info, 1) == set()
    envs.step(np.full(3, NOOP))


def test_vector_step_before_reset_needs_a_reset():
    with pytest.raises(ResetNeeded, match="reset"):
        rooms(AutoresetMode.NEXT_STEP).step(np.zeros(3, int))


def test_vector_new_trial_false_for_the_masked_rows():
    envs = rooms(AutoresetMode.DISABLED)
    envs.reset(seed=0, options={"task": np.stack([goal_at(envs, 1, 2)] * 3)})
    for _ in range(4):
        _, _, _, truncated, _ = envs.step(np.full(3, RIGHT))
    assert truncated.all()
    _, info = envs.reset(options={"new_trial": False})
    assert all(raised_in_row(info, i) == {"episode_start"} for i in range(3))
    assert envs.step(np.full(3, DOWN))[1].tolist() == [1.0] * 3, "the same task"


def test_info_has_the_same_keys_and_dtypes_at_reset_and_every_step():
    envs = rooms(AutoresetMode.SAME_STEP, episodes_per_trial=2)
    _, info = envs.reset(seed=0)
    schema = {key: (value.dtype, value.shape) for key, value in info["trial"].items()}
    for _ in range(20):
        info = envs.step(envs.action_space.sample())[4]
        assert {key: (value.dtype, value.shape) for key, value in info["trial"].items()} == schema


# ------------------------------------------------------------------------------------------- trial bookkeeping
@pytest.mark.parametrize("id", [TRUNCATES, TERMINATES])
def test_one_episode_start_an_episode_and_one_trial_start_a_trial(id):
    env = gym.make(id, size=3, horizon=4, episodes_per_trial=3)
    env.action_space.seed(0)
    episodes = trials = ends = finished = 0
    _, info = env.reset(seed=0)
    for _ in range(400):
        episodes += info["trial"]["episode_start"]
        trials += info["trial"]["trial_start"]
        _, _, terminated, truncated, info = env.step(env.action_space.sample())
        ends += info["trial"]["inner_terminated"] or info["trial"]["inner_truncated"]
        if terminated or truncated:
            finished += 1
            _, info = env.reset()
    episodes += info["trial"]["episode_start"]
    trials += info["trial"]["trial_start"]
    assert finished > 20
    assert trials == finished + 1
    assert episodes == ends + 1, "one episode is running"
    assert ends // 3 == finished


def test_rewards_seen_in_the_step_stream_add_up_whatever_the_autoreset_mode():
    """The reward of a trial's last step is paid in every mode: paired runs differ in nothing but the reset."""
    totals = {}
    for mode in AutoresetMode:
        envs = rooms(mode, num_envs=8, episodes_per_trial=2)
        envs.reset(seed=3)
        rng = np.random.default_rng(0)
        paid = np.zeros(8)
        for _ in range(3):  # three trials of 8 steps
            for _ in range(8):
                _, reward, terminated, truncated, _ = envs.step(rng.integers(0, 5, 8))
                paid += reward
            assert (terminated | truncated).all()
            if mode is AutoresetMode.NEXT_STEP:
                _, reward, *_ = envs.step(np.zeros(8, int))
                assert not reward.any()
            elif mode is AutoresetMode.DISABLED:
                envs.reset(options={"reset_mask": np.ones(8, bool)})
        totals[mode] = paid
    assert totals[AutoresetMode.NEXT_STEP].sum() > 0
    assert (totals[AutoresetMode.NEXT_STEP] == totals[AutoresetMode.SAME_STEP]).all()
    assert (totals[AutoresetMode.NEXT_STEP] == totals[AutoresetMode.DISABLED]).all()


@pytest.mark.parametrize("mode", [AutoresetMode.NEXT_STEP, AutoresetMode.SAME_STEP])
def test_row_i_of_a_vector_env_equals_the_single_env_seeded_s_plus_i(mode):
    envs = rooms(mode, num_envs=3, episodes_per_trial=2, id=TERMINATES)
    singles = [hard_room(episodes_per_trial=2) for _ in range(3)]
    vector_obs, _ = envs.reset(seed=7)
    assert all((env.reset(seed=7 + i)[0] == vector_obs[i]).all() for i, env in enumerate(singles))
    over = [False] * 3
    rng = np.random.default_rng(1)
    for _ in range(200):
        actions = rng.integers(0, 5, 3)
        obs, reward, terminated, truncated, _ = envs.step(actions)
        for i, env in enumerate(singles):
            if over[i]:
                expected = env.reset()[0], 0.0, False, False
            else:
                expected = env.step(actions[i])[:4]
            ended = expected[2] or expected[3]
            if mode is AutoresetMode.SAME_STEP and ended:
                expected = env.reset()[0], *expected[1:]
            over[i] = ended and mode is AutoresetMode.NEXT_STEP
            assert (expected[0] == obs[i]).all()
            assert expected[1:] == (reward[i], terminated[i], truncated[i])
