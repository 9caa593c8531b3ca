"""Trial: the contract of trials on foreign environments, in every autoreset mode."""

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.error import ResetNeeded
from gymnasium.vector import AutoresetMode, SyncVectorEnv, VectorEnv
from gymnasium.vector.utils import batch_space

import metarl_wrappers
from metarl_wrappers import Trial, VectorTrial

FLAGS = ("trial_start", "episode_start", "inner_terminated", "inner_truncated", "action_ignored")
mode = pytest.mark.parametrize("mode", list(AutoresetMode), ids=lambda mode: mode.name)


class Corridor(gym.Env):
    """Walk up from 0; the episode terminates at a goal drawn from the seed, or truncates after 4 steps; steps are noisy.

    An observation holds (position, goal): a real task would be hidden, a test wants to see it. With options={"goal": g} the
    goal is g; a `goal` that was set holds for ever.
    """

    observation_space = gym.spaces.Box(-1, 100, (2,), np.int64)
    action_space = gym.spaces.Discrete(2)

    def __init__(self):
        self.goal = None
        self.log = []

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.log.append((seed, dict(options or {})))
        options = options or {}
        if options.get("new_trial", True) and self.goal is None:
            self.now = options.get("goal", int(self.np_random.integers(2, 50)))
        elif self.goal is not None:
            self.now = self.goal
        self.position = self.steps = 0
        self.start = int(self.np_random.integers(2))
        return np.array([self.position, self.now]), {"start": self.start}

    def step(self, action):
        self.position += int(action)
        self.steps += 1
        terminated = self.position >= min(self.now, 3)
        truncated = self.steps >= 4
        info = {"position": self.position, **({"is_success": terminated} if terminated or truncated else {})}
        return np.array([self.position, self.now]), float(terminated), terminated, truncated, info


def set_goal(env, task):
    env.unwrapped.goal = 2 + task % 17


def corridor(episodes=2, **kwargs):
    return Trial(Corridor(), episodes, **kwargs)


def corridors(mode, episodes=2, rows=3, **kwargs):
    below = SyncVectorEnv([Corridor] * rows, autoreset_mode=AutoresetMode.DISABLED)
    return VectorTrial(below, episodes, autoreset_mode=mode, **kwargs)


def raised(info, row=None):
    return {flag for flag in FLAGS if (info["trial"][flag] if row is None else info["trial"][flag][row])}


def test_the_table_of_the_contract():
    env = corridor()
    first, info = env.reset(seed=0)
    assert raised(info) == {"trial_start", "episode_start"}
    assert info["trial"]["final_obs"].tolist() == [0, 0]
    observation, _, *ended, info = env.step(0)
    assert ended == [False, False]
    assert raised(info) == set()
    for _ in range(2):
        env.step(0)
    observation, reward, *ended, info = env.step(0)
    assert observation.tolist() == first.tolist()
    assert (reward, *ended) == (0.0, False, False)
    assert raised(info) == {"episode_start", "inner_truncated"}
    assert info["trial"]["final_obs"].tolist() == [0, first[1]]
    assert info["is_success"] is False, "the step's own info is kept"
    assert "start" in info, "and that of the reset"
    for _ in range(2):
        env.step(1)
    observation, reward, *ended, info = env.step(1)
    assert observation.tolist() == [3, first[1]]
    assert (reward, *ended) == (1.0, True, False)
    assert raised(info) == {"inner_terminated"}
    assert info["trial"]["final_obs"].tolist() == [3, first[1]]
    with pytest.raises(ResetNeeded, match="reset"):
        env.step(0)


def test_trial_end_terminated():
    env = corridor(episodes=1, trial_end="terminated")
    env.reset(seed=0)
    for _ in range(3):
        env.step(0)
    *_, terminated, truncated, info = env.step(0)
    assert (terminated, truncated) == (True, False)
    assert raised(info) == {"inner_truncated"}


def test_step_before_reset_needs_a_reset():
    for env in (corridor(), corridors(AutoresetMode.DISABLED)):
        with pytest.raises(ResetNeeded, match="reset"):
            env.step(np.zeros(3, int))


@pytest.mark.parametrize("keep_task", ["seed", "options", "new_trial", f"{__name__}:set_goal"])
def test_the_task_is_kept_for_the_trial_and_changes_between_trials(keep_task):
    env = corridor(episodes=3, keep_task=keep_task)
    goals = []
    for trial in range(6):
        options = {"goal": 5 + trial} if keep_task == "options" else None
        observation, _ = env.reset(seed=3 if trial == 0 else None, options=options)
        seen = {int(observation[1])}
        for _ in range(12):
            observation, *_ = env.step(0)
            seen.add(int(observation[1]))
        assert len(seen) == 1
        goals.append(seen.pop())
    assert len(set(goals)) > 2


def test_the_first_trial_has_the_seed_given_and_later_ones_do_not_depend_on_actions():
    seeds = []
    for action in (0, 1):
        env = corridor()
        env.reset(seed=5)
        for _ in range(3):
            while not any(env.step(action)[2:4]):
                pass
            env.reset()
        seeds.append([seed for seed, _ in env.unwrapped.log])
    assert seeds[0] == seeds[1]
    assert seeds[0][:2] == [5, 5]
    assert len(set(seeds[0])) == 4


def test_options_give_each_episode_a_fresh_seed():
    env = corridor(episodes=3, keep_task="options")
    env.reset(seed=5, options={"goal": 9})
    for _ in range(12):
        env.step(0)
    assert [options for _, options in env.unwrapped.log] == [{"goal": 9}] * 3
    assert len({seed for seed, _ in env.unwrapped.log}) == 3


def test_new_trial_false_begins_the_next_episode_even_after_the_last():
    env = corridor(episodes=1)
    first, _ = env.reset(seed=0)
    for _ in range(4):
        env.step(0)
    observation, info = env.reset(options={"new_trial": False})
    assert observation.tolist() == first.tolist()
    assert raised(info) == {"episode_start"}
    assert raised(env.step(0)[4]) == set()


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        ({"options": {"new_trial": False}}, "before any trial"),
        ({"options": {"new_trial": False, "task": 0}}, "task"),
        ({"options": {"new_trial": False}, "seed": 3}, "seed"),
    ],
)
@pytest.mark.parametrize("make", [corridor, lambda: corridors(AutoresetMode.DISABLED)])
def test_new_trial_false_refuses_what_contradicts_it(make, arguments, why):
    env = make()
    if "before" not in why:
        env.reset(seed=0)
    with pytest.raises((ValueError, ResetNeeded), match=why):
        env.reset(**arguments)


@mode
def test_inner_ends_are_the_same_in_every_mode(mode):
    envs = corridors(mode)
    first, _ = envs.reset(seed=0)
    for _ in range(3):
        envs.step(np.zeros(3, int))
    observations, _, terminated, truncated, info = envs.step(np.zeros(3, int))
    assert (observations == first).all()
    assert not (terminated | truncated).any()
    assert all(raised(info, row) == {"episode_start", "inner_truncated"} for row in range(3))
    assert info["_start"].all()
    assert info["_is_success"].all()


def test_next_step_marks_the_ignored_action_and_wastes_nothing_that_is_seen():
    envs = corridors(AutoresetMode.NEXT_STEP, episodes=1)
    envs.reset(seed=0)
    actions = np.array([1, 0, 0])
    for _ in range(2):
        envs.step(actions)
    observations, _, terminated, _, info = envs.step(actions)
    assert terminated.tolist() == [True, False, False]
    assert observations[0, 0] == 3
    observations, rewards, terminated, truncated, info = envs.step(actions)
    assert observations[0, 0] == 0
    assert rewards[0] == 0
    assert (terminated | truncated).tolist() == [False, True, True]
    assert raised(info, 0) == {"trial_start", "episode_start", "action_ignored"}
    assert info["_start"].tolist() == [True, False, False]
    assert info["_is_success"].tolist() == [False, True, True]
    assert info["_position"].tolist() == [False, True, True], "nothing is told of the step thrown away"
    assert envs.step(actions)[0][:, 0].tolist() == [1, 0, 0], "the first action of row 0 that counts; the others are reset"


def test_same_step_holds_the_old_trial_in_final_info():
    envs = corridors(AutoresetMode.SAME_STEP, episodes=1)
    envs.reset(seed=0)
    actions = np.array([1, 0, 0])
    for _ in range(2):
        envs.step(actions)
    observations, rewards, terminated, _, info = envs.step(actions)
    assert (rewards[0], terminated[0], observations[0, 0]) == (1.0, True, 0)
    assert info["final_obs"][0][0] == 3
    assert info["final_obs"][1] is None
    assert info["_final_info"].tolist() == [True, False, False]
    assert raised(info, 0) == {"trial_start", "episode_start"}
    assert raised(info["final_info"], 0) == {"inner_terminated"}
    assert info["final_info"]["is_success"][0]
    assert not info["_is_success"].any()


def test_disabled_waits_for_reset_mask():
    envs = corridors(AutoresetMode.DISABLED, episodes=1)
    envs.reset(seed=0)
    for _ in range(3):
        observations, _, terminated, truncated, _ = envs.step(np.array([1, 0, 0]))
    with pytest.raises(ResetNeeded, match=r"\[0\]"):
        envs.step(np.zeros(3, int))
    mask = terminated | truncated
    again, info = envs.reset(options={"reset_mask": mask})
    assert mask.tolist() == [True, False, False], "the caller's mask stays"
    assert again[:, 0].tolist() == [0, *observations[1:, 0]]
    assert raised(info, 0) == {"trial_start", "episode_start"}
    assert raised(info, 1) == set()


@pytest.mark.parametrize("keep_task", ["seed", "options", "new_trial", f"{__name__}:set_goal"])
@mode
def test_row_i_equals_the_single_form(mode, keep_task):
    envs = corridors(mode, keep_task=keep_task)
    singles = [corridor(keep_task=keep_task) for _ in range(3)]
    rng = np.random.default_rng(0)
    observations, _ = envs.reset(seed=4)
    assert observations.tolist() == [env.reset(seed=4 + i)[0].tolist() for i, env in enumerate(singles)]
    over = np.zeros(3, bool)
    for _ in range(80):
        actions = rng.integers(0, 2, 3)
        observations, rewards, terminated, truncated, info = envs.step(actions)
        for row, env in enumerate(singles):
            if over[row]:
                if keep_task == "new_trial":
                    continue  # this environment's own stream is shifted by the step thrown away
                expected, one = env.reset()[0], {"trial_start", "episode_start", "action_ignored"}
                assert raised(info, row) == one
            else:
                expected, reward, *ended, one = env.step(actions[row])
                assert (reward, *ended) == (rewards[row], terminated[row], truncated[row])
                if mode is AutoresetMode.SAME_STEP and any(ended):
                    expected = env.reset()[0]
            assert expected.tolist() == observations[row].tolist()
        ended = terminated | truncated
        over = ended & (mode is AutoresetMode.NEXT_STEP)
        if keep_task == "new_trial" and ended.any():
            break
        if mode is AutoresetMode.DISABLED and ended.any():
            observations, _ = envs.reset(options={"reset_mask": ended})
            for row in np.flatnonzero(ended):
                assert singles[row].reset()[0].tolist() == observations[row].tolist()


def test_each_row_keeps_the_options_that_began_its_trial():
    envs = corridors(AutoresetMode.DISABLED, keep_task="options")
    envs.reset(seed=0, options={"goal": 30})
    for _ in range(2):
        envs.step(np.zeros(3, int))
    mask = np.array([False, True, False])
    envs.reset(options={"reset_mask": mask, "goal": 40})
    for _ in range(4):
        observations = envs.step(np.zeros(3, int))[0]
        assert observations[:, 1].tolist() == [30, 40, 30]


class OneArray(gym.Env):
    """Gives out the very array (in a dict, or not) that it goes on to write into; three steps an episode."""

    def __init__(self, in_dict=False):
        box = gym.spaces.Box(0, 9, (1,), np.float32)
        self.array, self.in_dict = np.zeros(1, np.float32), in_dict
        self.observation_space = gym.spaces.Dict(steps=box) if in_dict else box
        self.action_space = gym.spaces.Discrete(2)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.array[0] = 0
        return {"steps": self.array} if self.in_dict else self.array, {}

    def step(self, action):
        self.array += 1
        return {"steps": self.array} if self.in_dict else self.array, 1.0, False, bool(self.array[0] == 3), {}


@pytest.mark.parametrize("in_dict", [False, True])
@mode
def test_final_observations_are_copies(mode, in_dict):
    """An environment that writes on into what it gave out changes nothing that was told, in either form."""

    def steps(observation):
        return np.ravel(observation["steps"] if in_dict else observation)[0]

    below = SyncVectorEnv([lambda: OneArray(in_dict)] * 2, autoreset_mode=AutoresetMode.DISABLED, copy=False)
    env, envs = Trial(OneArray(in_dict), 2), VectorTrial(below, 2, autoreset_mode=mode)
    env.reset(seed=0)
    envs.reset(seed=0)
    told = []
    for _ in range(3):
        *_, one = env.step(0)
        *_, info = envs.step(np.zeros(2, int))
        told.append((one["trial"]["final_obs"], info["trial"]["final_obs"]))
    assert [tuple(map(steps, pair)) for pair in told] == [(0, 0), (0, 0), (3, 3)]
    for _ in range(3):
        *_, one = env.step(0)
        *_, info = envs.step(np.zeros(2, int))
    final = info["final_info"]["trial"]["final_obs"] if mode is AutoresetMode.SAME_STEP else info["trial"]["final_obs"]
    env.reset()
    envs.reset()
    assert steps(one["trial"]["final_obs"]) == steps(final) == 3
    assert tuple(map(steps, told[2])) == (3, 3), "what was told before stays as it was"


@pytest.mark.parametrize("view", ["PreviousStep", "Context", "ContextStream", "Notebook"])
def test_views_keep_no_array_of_the_environment(view):
    arguments = {"Context": {"length": 3}, "Notebook": {"capacity": 2, "symbols": 2}}.get(view, {})
    env = getattr(metarl_wrappers, view)(Trial(OneArray(), 2), **arguments)
    env.reset(seed=0)
    action = [0, 1, 1] if view == "Notebook" else 0
    for _ in range(2):
        env.step(action)
    seen, *_, info = env.step(action)
    assert info["trial"]["final_obs"]["observation"].tolist() == [3]
    assert seen["observation"].tolist() == [0]
    if view == "Context":
        assert seen["context_observation"].tolist() == [[0], [1], [2]]
    if view == "ContextStream":
        assert seen["context_observation"].tolist() == [2]


@pytest.mark.parametrize("form", ["single", "vector"])
def test_options_that_began_a_trial_are_kept_as_they_were(form):
    env = corridor(keep_task="options") if form == "single" else corridors(AutoresetMode.DISABLED, keep_task="options")
    goal = np.array([9])
    env.reset(seed=0, options={"more": goal})
    goal[0] = 40
    for _ in range(4):
        env.step(np.zeros(3, int) if form == "vector" else 0)
    envs = [env.unwrapped] if form == "single" else env.unwrapped.envs
    for one in envs:
        assert one.log[-1][1]["more"].tolist() == [9], "the second episode began with them too"


class NoSubEnvironments(VectorEnv):
    def __init__(self, mode, space=Corridor.observation_space):
        self.num_envs, self.metadata = 2, {"autoreset_mode": mode}
        self.single_observation_space, self.single_action_space = space, gym.spaces.Discrete(2)
        self.observation_space = batch_space(space, 2)


def test_bad_arguments_are_named():
    with pytest.raises(ValueError, match=r"episodes_per_trial=0 .*at least 1"):
        corridor(0)
    with pytest.raises(ValueError, match=r"trial_end='never' must be one of 'true', 'terminated'"):
        corridor(trial_end="never")
    with pytest.raises(ValueError, match=r"keep_task='luck' must be a function.*one of 'seed', 'options', 'new_trial'"):
        corridor(keep_task="luck")
    with pytest.raises(ValueError, match=r"cannot be imported"):
        corridor(keep_task=lambda env, task: None)
    with pytest.raises(ValueError, match=r"cannot be imported"):
        corridor(keep_task="no.such:function")
    with pytest.raises(ValueError, match=r"autoreset_mode='Never' must be one of AutoresetMode.NEXT_STEP"):
        corridors("Never")
    with pytest.raises(ValueError, match=r"VectorTrial resets rows itself.*DISABLED"):
        VectorTrial(NoSubEnvironments(AutoresetMode.NEXT_STEP), 2)
    with pytest.raises(ValueError, match=r"SyncVectorEnv"):
        VectorTrial(NoSubEnvironments(AutoresetMode.DISABLED), 2, keep_task="builtins:print")
    with pytest.raises(ValueError, match=r"observations that are arrays"):
        VectorTrial(NoSubEnvironments(AutoresetMode.DISABLED, gym.spaces.Text(3)), 2)
    envs = corridors(AutoresetMode.DISABLED)
    with pytest.raises(ResetNeeded, match=r"first reset must reset every row"):
        envs.reset(options={"reset_mask": np.array([True, False, False])})
    with pytest.raises(ValueError, match=r"reset_mask.*bool array of shape \(3,\)"):
        envs.reset(options={"reset_mask": [True, False, False]})
    with pytest.raises(ValueError, match=r"seed holds 2 seeds"):
        envs.reset(seed=[1, 2])
