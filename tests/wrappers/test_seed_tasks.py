"""SeedTasks on MiniGrid, BabyAI, FrozenLake: what truly follows from the seed, splits, noise, specs."""

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.error import ResetNeeded
from gymnasium.utils.env_checker import check_env
from gymnasium.vector import AutoresetMode, SyncVectorEnv
from hypothesis import given
from hypothesis import strategies as st

import metarl_wrappers
from metarl_wrappers import MiniGridObservation, SeedTasks, Trial, VectorMiniGridObservation, VectorSeedTasks, VectorTrial
from metarl_wrappers.seed_tasks import frozen_lake_map, in_split

GRIDS = [
    "minigrid:MiniGrid-FourRooms-v0",
    "minigrid:MiniGrid-DoorKey-6x6-v0",
    "minigrid:MiniGrid-SimpleCrossingS9N2-v0",
    "minigrid:BabyAI-GoToRedBallGrey-v0",
]
LAKE_MAP = "metarl_wrappers.seed_tasks:frozen_lake_map"


def grid(id, **kwargs):
    return SeedTasks(MiniGridObservation(gym.make(id)), **kwargs)


def lake(**kwargs):
    kwargs = {"make_task": LAKE_MAP, **kwargs}
    return SeedTasks(gym.make("FrozenLake-v1", is_slippery=True), **kwargs)


def layout(env):
    """Everything that is fixed at the start of an episode."""
    if hasattr(env.unwrapped, "desc"):
        return env.unwrapped.desc.tobytes()
    inner = env.unwrapped
    return inner.grid.encode().tobytes(), tuple(inner.agent_pos), int(inner.agent_dir), inner.mission


@pytest.mark.parametrize("id", GRIDS)
def test_a_task_is_a_layout(id):
    env = grid(id, ground_truth=True)
    layouts = {}
    for trial in range(12):
        _, info = env.reset(seed=3 if trial == 0 else None)
        task = int(info["metarl"]["task"])
        layouts[task] = layout(env)
        assert env.observation_space.contains(env.step(0)[0])
        env.reset(options={"new_trial": False})
        assert layout(env) == layouts[task]
    assert len(set(layouts.values())) > 8
    for task, seen in layouts.items():
        env.reset(options={"task": task})
        assert layout(env) == seen


def test_frozen_lakes_map_does_not_follow_from_its_seed_but_from_the_task():
    plain = gym.make("FrozenLake-v1")
    plain.reset(seed=1)
    one = layout(plain)
    plain.reset(seed=2)
    assert layout(plain) == one
    env = lake()
    maps = []
    for trial in range(8):
        env.reset(seed=0 if trial == 0 else None)
        maps.append(layout(env))
        env.reset(options={"new_trial": False})
        assert layout(env) == maps[-1]
    assert len(set(maps)) > 5
    assert len(env.unwrapped.P[0][0]) == 3, "still slippery"


@pytest.mark.parametrize("fresh_noise", [True, False])
def test_noise_is_fresh_in_each_episode_unless_asked_otherwise(fresh_noise):
    env = SeedTasks(gym.make("FrozenLake-v1"), fresh_noise=fresh_noise)
    walks = set()
    for episode in range(6):
        env.reset(**({"seed": 1} if episode == 0 else {"options": {"new_trial": False}}))
        walk = []
        for _ in range(6):
            observation, *ended, _ = env.step(2)
            walk.append(observation)
            if ended[1] or ended[2]:
                break
        walks.add(tuple(walk))
    assert (len(walks) > 1) == fresh_noise


@given(st.integers(0, 2**31 - 1))
def test_the_splits_are_disjoint_and_cover_all(seed):
    assert sum(in_split(np.array([seed]), split) for split in ("train", "validation", "test")) == 1
    assert in_split(np.array([seed]), None)


def test_a_fifth_is_test_and_a_fifth_of_the_others_validation():
    share = {split: in_split(np.arange(100_000), split).mean() for split in ("train", "validation", "test")}
    assert share == {
        "train": pytest.approx(0.64, abs=0.01),
        "validation": pytest.approx(0.16, abs=0.01),
        "test": pytest.approx(0.2, abs=0.01),
    }


@pytest.mark.parametrize("num_tasks", [None, 3])
@pytest.mark.parametrize("split", ["train", "validation", "test"])
@given(seed=st.integers(0, 2**64 - 1))
def test_no_seed_of_reset_leaks_a_task_into_the_other_split(split, num_tasks, seed):
    env = SeedTasks(Nothing(), split=split, num_tasks=num_tasks, ground_truth=True)
    tasks = [int(env.reset(seed=seed if trial == 0 else None)[1]["metarl"]["task"]) for trial in range(5)]
    assert in_split(np.array(tasks), split).all()
    if num_tasks:
        assert set(tasks) <= set(np.flatnonzero(in_split(np.arange(100), split))[:num_tasks].tolist())


class Nothing(gym.Env):
    """Whose observation is the first number it draws."""

    observation_space = gym.spaces.Box(0, 1, (1,), np.float64)
    action_space = gym.spaces.Discrete(1)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return self.np_random.random(1), {}

    def step(self, action):
        return self.np_random.random(1), 0.0, False, False, {}


def test_few_tasks_are_all_drawn():
    env = SeedTasks(Nothing(), split="test", num_tasks=4, ground_truth=True)
    tasks = {int(env.reset(seed=0 if trial == 0 else None)[1]["metarl"]["task"]) for trial in range(60)}
    assert len(tasks) == 4


def test_draws_do_not_depend_on_what_was_done_between():
    one, other = (SeedTasks(Nothing(), ground_truth=True) for _ in range(2))
    one.reset(seed=1)
    other.reset(seed=1)
    for _ in range(3):
        for _ in range(5):
            other.step(0)
        other.reset(options={"new_trial": False})
        assert one.reset()[1]["metarl"]["task"] == other.reset()[1]["metarl"]["task"]


@pytest.mark.parametrize("id", [*GRIDS, "lake"])
def test_the_spec_builds_the_same_stack(id):
    env = lake(split="test") if id == "lake" else grid(id, split="test")
    env = metarl_wrappers.PreviousStep(Trial(env, 2, keep_task="new_trial"))
    spec = gym.envs.registration.EnvSpec.from_json(env.spec.to_json())
    again = gym.make(spec)
    assert again.spec == env.spec
    env.reset(seed=9)
    again.reset(seed=9)
    assert layout(env) == layout(again)


@pytest.mark.parametrize("id", [*GRIDS, "lake"])
@pytest.mark.filterwarnings("ignore:.*is different from the unwrapped version:UserWarning")
@pytest.mark.filterwarnings("ignore:.*A Box observation space (minimum|maximum) value is (-infinity|infinity):UserWarning")
def test_gymnasium_checks_it(id):
    env = lake() if id == "lake" else grid(id)
    check_env(Trial(env, 2, keep_task="new_trial"), skip_render_check=True)


def test_trials_over_tasks_keep_the_layout_and_last_rewards_are_seen():
    env = metarl_wrappers.PreviousStep(Trial(lake(), 3, keep_task="new_trial"))
    env.action_space.seed(0)
    env.reset(seed=0)
    seen = given = 0.0
    kept, trials = {layout(env)}, 0
    while trials < 40:
        observation, reward, terminated, truncated, _ = env.step(env.action_space.sample())
        given, seen = given + reward, seen + float(observation["previous_reward"][0])
        kept.add(layout(env))
        if terminated or truncated:
            assert len(kept) == 1
            env.reset()
            kept, trials = {layout(env)}, trials + 1
    assert seen == given > 0


@pytest.mark.parametrize("id", ["minigrid:MiniGrid-FourRooms-v0", "lake"])
@pytest.mark.parametrize("mode", list(AutoresetMode), ids=lambda mode: mode.name)
def test_both_forms_are_equal(id, mode):
    def make():
        return gym.make("FrozenLake-v1") if id == "lake" else MiniGridObservation(gym.make(id))

    kwargs = {"make_task": LAKE_MAP} if id == "lake" else {}
    below = SyncVectorEnv([make] * 2, autoreset_mode=AutoresetMode.DISABLED)
    envs = VectorTrial(VectorSeedTasks(below, **kwargs), 2, keep_task="new_trial", autoreset_mode=mode)
    singles = [Trial(SeedTasks(make(), **kwargs), 2, keep_task="new_trial") for _ in range(2)]
    observations, _ = envs.reset(seed=2)

    def row(observations, i):
        return {key: value[i] for key, value in observations.items()} if isinstance(observations, dict) else observations[i]

    def same(one, other):
        if isinstance(one, dict):
            return all(np.array_equal(one[key], other[key]) for key in one)
        return np.array_equal(one, other)

    assert all(same(env.reset(seed=2 + i)[0], row(observations, i)) for i, env in enumerate(singles))
    rng = np.random.default_rng(0)
    over = np.zeros(2, bool)
    for _ in range(120):
        actions = rng.integers(0, 3, 2)
        observations, rewards, terminated, truncated, _ = envs.step(actions)
        for i, env in enumerate(singles):
            if over[i]:
                expected = env.reset()[0]
            else:
                expected, reward, *ended, _ = env.step(int(actions[i]))
                assert (reward, *ended) == (rewards[i], terminated[i], truncated[i])
                if mode is AutoresetMode.SAME_STEP and any(ended):
                    expected = env.reset()[0]
            assert same(expected, row(observations, i))
        ended = terminated | truncated
        over = ended & (mode is AutoresetMode.NEXT_STEP)
        if mode is AutoresetMode.DISABLED and ended.any():
            observations, _ = envs.reset(options={"reset_mask": ended})
            for i in np.flatnonzero(ended):
                assert same(singles[i].reset()[0], row(observations, i))


@pytest.mark.parametrize("mode", list(AutoresetMode), ids=lambda mode: mode.name)
def test_minigrid_observation_in_vector_form_gives_what_the_single_form_gives(mode):
    envs = VectorMiniGridObservation(
        SyncVectorEnv([lambda: gym.make("minigrid:MiniGrid-Empty-5x5-v0")] * 2, autoreset_mode=mode)
    )
    env = MiniGridObservation(gym.make("minigrid:MiniGrid-Empty-5x5-v0"))
    observations, _ = envs.reset(seed=0)
    observation, _ = env.reset(seed=0)
    ended = False
    for action in [2, 2, 1, 2, 2, 0]:
        assert envs.observation_space.contains(observations)
        assert all((observations[key][0] == observation[key]).all() for key in ("image", "direction"))
        if ended:
            break
        observation, _, *ends, _ = env.step(action)
        ended = any(ends)
        observations, *_, info = envs.step(np.array([action] * 2))
        if ended and mode is AutoresetMode.SAME_STEP:
            assert (info["final_obs"][0]["image"] == observation["image"]).all()
            observation, _ = env.reset()
    assert ended


@pytest.mark.slow
@pytest.mark.parametrize("mode", list(AutoresetMode), ids=lambda mode: mode.name)
def test_a_stack_in_other_processes_is_read_as_one_in_this(mode):
    env = Trial(grid("minigrid:MiniGrid-Empty-5x5-v0"), 2, keep_task="new_trial")
    spec = env.spec.to_json()

    def stacks(kind):
        make = [lambda: gym.make(gym.envs.registration.EnvSpec.from_json(spec))] * 2
        return metarl_wrappers.VectorPreviousStep(kind(make, autoreset_mode=mode))

    there, here = stacks(gym.vector.AsyncVectorEnv), stacks(SyncVectorEnv)
    try:
        here.action_space.seed(0)
        there.reset(seed=0)
        here.reset(seed=0)
        for _ in range(60):
            actions = here.action_space.sample() % 3
            one, other = there.step(actions), here.step(actions)
            assert all((one[0][key] == other[0][key]).all() for key in other[0])
            assert all((left == right).all() for left, right in zip(one[1:4], other[1:4], strict=True))
            over = other[2] | other[3]
            if mode is AutoresetMode.DISABLED and over.any():
                for envs in (there, here):
                    envs.reset(options={"reset_mask": over})
    finally:
        there.close()


def test_given_tasks_in_vector_form():
    below = SyncVectorEnv([Nothing] * 3, autoreset_mode=AutoresetMode.DISABLED)
    envs = VectorSeedTasks(below, ground_truth=True)
    _, info = envs.reset(seed=0, options={"task": [4, 5, 6]})
    assert info["metarl"]["task"].tolist() == [4, 5, 6]
    _, info = envs.reset(options={"task": 9, "reset_mask": np.array([True, False, True])})
    assert info["metarl"]["task"].tolist() == [9, 5, 9]


def test_bad_input_is_named():
    with pytest.raises(ValueError, match=r"split='dev' must be one of None, 'train', 'validation', 'test'"):
        SeedTasks(Nothing(), split="dev")
    with pytest.raises(ValueError, match=r"num_tasks=0 .*at least 1"):
        SeedTasks(Nothing(), num_tasks=0)
    with pytest.raises(ValueError, match=r"make_task='nowhere' must be a function or its path"):
        SeedTasks(Nothing(), make_task="nowhere")
    for task in ("a", 1.0, True, [None]):
        with pytest.raises(TypeError, match=r"options\['task'\]=.* must be an integer"):
            SeedTasks(Nothing()).reset(options={"task": task})
    for task in (-1, 2**63, 2**64, [3, 4]):
        with pytest.raises(ValueError, match=r"options\['task'\]=.* at least 0 and below 2\*\*63"):
            SeedTasks(Nothing()).reset(options={"task": task})
    with pytest.raises(ResetNeeded, match=r"before any trial"):
        SeedTasks(Nothing()).reset(options={"new_trial": False})
    with pytest.raises(ValueError, match=r"square FrozenLake"):
        frozen_lake_map(Nothing(), 0)
    with pytest.raises(ValueError, match=r"DISABLED"):
        VectorSeedTasks(SyncVectorEnv([Nothing]))
    with pytest.raises(ValueError, match=r"MiniGridObservation needs MiniGrid's Dict"):
        MiniGridObservation(Nothing())
