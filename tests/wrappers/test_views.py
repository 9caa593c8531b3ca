"""PreviousStep, Context, ContextStream and Notebook: what the agent sees, step by step."""

import itertools

import gymnasium as gym
import numpy as np
import pytest
from gymnasium import spaces
from gymnasium.vector import AutoresetMode
from hypothesis import given, settings
from hypothesis import strategies as st

from metarl_wrappers import (
    Context,
    ContextStream,
    ForgetEachEpisode,
    HideBoundaries,
    Notebook,
    PreviousStep,
    VectorContext,
    VectorContextStream,
    VectorNotebook,
    VectorPreviousStep,
)
from metarl_wrappers.codes import ActionCode

HARD = "metarl_envs:MetaRL/DarkRoomHard-v0"
NOOP, UP, RIGHT, DOWN, LEFT = range(5)


def room(goal=(2, 1), **kwargs):
    """A 3x3 room of 3 steps an episode, with its goal to the right of the start, and two episodes a trial."""
    env = gym.make(HARD, **{"size": 3, "horizon": 3, "episodes_per_trial": 2, **kwargs})
    return env, {"task": task(env, goal)}


def task(env, goal):
    row = np.zeros((), env.unwrapped.tasks.dtype)
    row["goal"] = goal
    return row


def previous(observation):
    action = observation["previous_action"]
    return (
        int(action.argmax()) if action.any() else None,
        float(observation["previous_reward"][0]),
        int(observation["previous_terminated"][0]),
        int(observation["episode_start"][0]),
    )


# --------------------------------------------------------------------------------------------------------- PreviousStep
def test_previous_step_carries_the_last_reward_across_the_boundary():
    env, options = room()
    env = PreviousStep(env)
    assert previous(env.reset(seed=0, options=options)[0]) == (None, 0.0, 0, 1)
    assert previous(env.step(LEFT)[0]) == (LEFT, 0.0, 0, 0)
    assert previous(env.step(RIGHT)[0]) == (RIGHT, 0.0, 0, 0)
    observation, reward, *_, info = env.step(NOOP)
    assert previous(observation) == (NOOP, 0.0, 0, 1), "truncated: the next episode starts, nothing terminated"
    observation, reward, *_, info = env.step(RIGHT)
    assert (reward, previous(observation)) == (1.0, (RIGHT, 1.0, 1, 0)), "the last observation of the trial"
    assert previous(info["trial"]["final_obs"]) == (RIGHT, 1.0, 1, 0)
    assert previous(env.reset()[0]) == (None, 0.0, 0, 1)


def test_previous_step_at_an_inner_termination():
    env, options = room()
    env = PreviousStep(env)
    env.reset(seed=0, options=options)
    observation, *_, info = env.step(RIGHT)
    assert previous(observation) == (RIGHT, 1.0, 1, 1)
    assert observation["observation"].tolist() == [1, 1]
    assert previous(info["trial"]["final_obs"]) == (RIGHT, 1.0, 1, 0)
    assert info["trial"]["final_obs"]["observation"].tolist() == [2, 1]


def test_the_flat_form_holds_the_same_numbers():
    env, options = room()
    named, flat = PreviousStep(env), PreviousStep(room()[0], flat=True)
    one, other = named.reset(seed=0, options=options)[0], flat.reset(seed=0, options=options)[0]
    for action in [LEFT, RIGHT, NOOP, RIGHT]:
        keys = ("observation", "previous_action", "previous_reward", "previous_terminated", "episode_start")
        assert np.concatenate([one[key].astype(np.float32) for key in keys]).tolist() == other.tolist()
        one, other = named.step(action)[0], flat.step(action)[0]


def test_next_step_shows_nothing_of_an_ignored_action():
    envs = VectorPreviousStep(gym.make_vec(HARD, num_envs=2, size=3, horizon=2))
    envs.reset(seed=0, options={"task": task(envs, (2, 1))})
    envs.step(np.array([LEFT, RIGHT]))
    observations, *_ = envs.step(np.array([UP, UP]))
    assert observations["previous_action"].argmax(1).tolist() == [UP, 0]
    assert not observations["previous_action"][1].any()
    assert observations["episode_start"][:, 0].tolist() == [0, 1]
    observations, *_ = envs.step(np.array([UP, UP]))
    assert observations["episode_start"][:, 0].tolist() == [1, 0]
    assert observations["previous_action"].any(1).tolist() == [False, True]


@pytest.mark.parametrize("id", ["MetaRL/DarkRoomHard-v0", "CartPole-v1"])
def test_next_step_ignores_no_action_after_a_reset_by_the_caller(id):
    kwargs = {"size": 3, "horizon": 9} if id.startswith("MetaRL") else {"vectorization_mode": "sync"}
    envs = VectorPreviousStep(gym.make_vec(id, num_envs=2, **kwargs))
    envs.action_space.seed(0)
    envs.reset(seed=0)
    for _ in range(2):
        over = np.zeros(2, bool)
        while not over.any():
            _, _, terminated, truncated, _ = envs.step(envs.action_space.sample())
            over = terminated | truncated
        envs.reset()
        assert envs.step(envs.action_space.sample())[0]["previous_action"].any(1).all()


def test_a_caller_who_owns_the_length_sees_each_reward_once():
    env, options = room(episodes_per_trial=1)
    env = PreviousStep(env)
    env.reset(seed=0, options=options)
    assert previous(env.step(RIGHT)[0]) == (RIGHT, 1.0, 1, 0)
    assert previous(env.reset(options={"new_trial": False})[0]) == (None, 0.0, 0, 1)


def test_a_masked_reset_leaves_what_the_other_rows_see():
    envs = VectorPreviousStep(
        gym.make_vec(HARD, num_envs=2, size=3, horizon=3, episodes_per_trial=2, autoreset_mode=AutoresetMode.DISABLED)
    )
    envs.reset(seed=0, options={"task": task(envs, (2, 1))})
    before = envs.step(np.array([RIGHT, LEFT]))[0]
    after, _ = envs.reset(options={"reset_mask": np.array([False, True])})
    assert all((before[key][0] == after[key][0]).all() for key in before)
    assert previous({key: value[1] for key, value in after.items()}) == (None, 0.0, 0, 1)
    assert before["previous_action"][1].any(), "what was returned before stays as it was"


class Everything(gym.Env):
    """Every kind of space at once."""

    observation_space = spaces.Dict(
        {
            "box": spaces.Box(-2, 3, (2, 2), np.float64),
            "number": spaces.Discrete(3, start=-1),
            "numbers": spaces.MultiDiscrete([2, 4]),
            "bits": spaces.MultiBinary(3),
        }
    )

    def __init__(self, action_space):
        self.action_space = action_space

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.observation_space.seed(seed)
        return self.observation_space.sample(), {}

    def step(self, action):
        return self.observation_space.sample(), 1.5, False, bool(self.np_random.random() < 0.2), {}


ACTIONS = [spaces.Discrete(4, start=3), spaces.MultiDiscrete([2, 3]), spaces.MultiBinary(2), spaces.Box(-1, 2, (2, 2))]


@pytest.mark.parametrize("actions", ACTIONS, ids=str)
@pytest.mark.parametrize("flat", [False, True])
def test_every_kind_of_space(actions, flat):
    env = PreviousStep(Everything(actions), flat)
    actions.seed(0)
    seen = [env.reset(seed=0)[0]]
    taken = [actions.sample() for _ in range(10)]
    for action in taken:
        seen.append(env.step(action)[0])
        assert env.observation_space.contains(seen[-1])
    if flat:
        named = PreviousStep(Everything(actions)).observation_space["previous_action"]
        assert seen[0].shape == (4 + 3 + 3 + 6 + named.shape[0] + 3,)
    else:
        expected = spaces.flatten(actions, taken[-1]).astype(np.float32)
        assert seen[-1]["previous_action"][: len(expected)].tolist() == expected.tolist()


@settings(deadline=None)
@given(st.sampled_from(ACTIONS), st.integers(0, 2**31 - 1))
def test_no_action_looks_like_the_null_or_like_another(space, seed):
    space.seed(seed)
    batch = np.stack([np.asarray(space.sample()) for _ in range(8)])
    codes = ActionCode(space).encode(batch)
    assert codes.any(axis=1).all()
    for i, j in itertools.combinations(range(8), 2):
        assert np.allclose(batch[i], batch[j], atol=1e-6) == np.allclose(codes[i], codes[j], atol=1e-6)


def test_taken_keys_and_unknown_spaces_are_refused():
    env = Everything(spaces.Discrete(2))
    env.observation_space = spaces.Dict({"episode_start": spaces.Discrete(2)})
    with pytest.raises(ValueError, match=r"PreviousStep adds the keys .*'episode_start'.* already"):
        PreviousStep(env)
    env.observation_space = spaces.Dict({"text": spaces.Text(4)})
    with pytest.raises(ValueError, match=r"Context needs observations .*'text'.*Text"):
        Context(env, 3)
    env.action_space = spaces.Tuple([spaces.Discrete(2)])
    with pytest.raises(ValueError, match=r"action space is Tuple"):
        ContextStream(env)


# ------------------------------------------------------------------------------------------------------------- Context
def test_the_window_crosses_episodes_and_is_emptied_at_a_new_trial():
    env, options = room()
    env = Context(env, length=3)
    observation, _ = env.reset(seed=0, options=options)
    assert not any(observation[key].any() for key in observation if key != "observation")
    env.step(LEFT)
    observation, *_ = env.step(RIGHT)
    assert observation["context_mask"].tolist() == [0, 1, 1]
    assert observation["context_observation"].tolist() == [[0, 0], [1, 1], [0, 1]]
    assert observation["context_action"][1:].argmax(1).tolist() == [LEFT, RIGHT]
    env.step(NOOP)
    observation, *_ = env.step(RIGHT)
    assert observation["context_observation"].tolist() == [[0, 1], [1, 1], [1, 1]]
    assert observation["context_reward"].tolist() == [0, 0, 1]
    assert observation["context_truncated"].tolist() == [0, 1, 0]
    assert observation["context_terminated"].tolist() == [0, 0, 1]
    observation, _ = env.reset()
    assert not observation["context_mask"].any()


@settings(deadline=None, max_examples=30)
@given(seed=st.integers(0, 1000), length=st.integers(1, 12), mode=st.sampled_from(list(AutoresetMode)))
def test_the_window_is_the_end_of_the_stream_and_the_stream_is_what_happened(seed, length, mode):
    """A model that follows the stream holds what the window shows, in every mode."""

    def rooms():
        return gym.make_vec(HARD, num_envs=3, size=3, horizon=3, episodes_per_trial=3, autoreset_mode=mode)

    windows, streams = VectorContext(rooms(), length), VectorContextStream(rooms())
    keys = [key for key in streams.observation_space.spaces if key not in ("observation", "context_clear", "context_mask")]
    caches = [[] for _ in range(3)]
    windows.action_space.seed(seed)

    def follow(window, stream):
        for row, cache in enumerate(caches):
            if stream["context_clear"][row]:
                cache.clear()
            if stream["context_mask"][row]:
                cache.append({key: stream[key][row] for key in keys})
            assert window["context_mask"][row].sum() == min(len(cache), length)
            for place, transition in enumerate(cache[-length:][::-1]):
                for key in keys:
                    assert np.array_equal(np.ravel(window[key][row][length - 1 - place]), np.ravel(transition[key]))

    follow(windows.reset(seed=seed)[0], streams.reset(seed=seed)[0])
    for _ in range(30):
        actions = windows.action_space.sample()
        window, _, terminated, truncated, _ = windows.step(actions)
        follow(window, streams.step(actions)[0])
        if mode is AutoresetMode.DISABLED and (terminated | truncated).any():
            for row in np.flatnonzero(terminated | truncated):
                caches[row].clear()  # the stream says so too; other rows repeat what they were shown
            mask = {"reset_mask": terminated | truncated}
            window, stream = windows.reset(options=mask)[0], streams.reset(options=mask)[0]
            assert (stream["context_clear"][:, 0] >= (terminated | truncated)).all()
            assert not window["context_mask"][terminated | truncated].any()


def test_context_needs_a_length():
    with pytest.raises(ValueError, match=r"length=0 must be an integer of at least 1"):
        Context(room()[0], 0)


# ------------------------------------------------------------------------------- views above the controls of boundaries
def test_above_forget_each_episode_all_is_null_at_each_start():
    env, options = room()
    env = PreviousStep(ForgetEachEpisode(env))
    env.reset(seed=0, options=options)
    observation, *_, info = env.step(RIGHT)
    assert previous(observation) == (None, 0.0, 0, 1)
    assert previous(info["trial"]["final_obs"]) == (RIGHT, 1.0, 1, 0)
    assert info["trial"]["trial_start"]
    assert not info["metarl_control"]["trial_start"]


def test_above_hide_boundaries_nothing_tells_a_boundary():
    env, options = room()
    env = PreviousStep(HideBoundaries(env))
    env.reset(seed=0, options=options)
    observation, reward, *_, info = env.step(RIGHT)
    assert (reward, previous(observation)) == (1.0, (RIGHT, 1.0, 0, 0))
    assert info["metarl_control"] == {"episode_start": True, "inner_terminated": True, "inner_truncated": False}


# ------------------------------------------------------------------------------------------------------------ Notebook
def test_notes_stay_for_the_trial_across_episodes_and_are_gone_at_the_next():
    env, options = room()
    env = Notebook(env, capacity=2, symbols=4)
    assert env.reset(seed=0, options=options)[0]["notebook"].tolist() == [0, 0]
    assert env.step([LEFT, 1, 3])[0]["notebook"].tolist() == [3, 0]
    assert env.step([RIGHT, 0, 2])[0]["notebook"].tolist() == [3, 0], "page 0 is none"
    observation, *_, info = env.step([NOOP, 2, 1])
    assert observation["notebook"].tolist() == [3, 1]
    assert info["trial"]["episode_start"]
    assert info["trial"]["final_obs"]["notebook"].tolist() == [3, 1]
    assert env.step([NOOP, 1, 0])[0]["notebook"].tolist() == [0, 1]
    assert env.reset()[0]["notebook"].tolist() == [0, 0]


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 1000), st.integers(1, 5), st.integers(2, 6), st.sampled_from(list(AutoresetMode)))
def test_the_notebook_holds_the_last_symbol_written_on_each_page(seed, capacity, symbols, mode):
    below = gym.make_vec(HARD, num_envs=3, size=3, horizon=3, episodes_per_trial=2, autoreset_mode=mode)
    envs = VectorNotebook(below, capacity, symbols)
    envs.action_space.seed(seed)
    envs.reset(seed=seed)
    pages = np.zeros((3, capacity), int)
    for _ in range(25):
        actions = envs.action_space.sample()
        observations, _, terminated, truncated, info = envs.step(actions)
        for row, (_, page, symbol) in enumerate(actions):
            if page:
                pages[row, page - 1] = symbol
        pages[info["trial"]["trial_start"]] = 0
        assert observations["notebook"].tolist() == pages.tolist()
        over = terminated | truncated
        if mode is AutoresetMode.DISABLED and over.any():
            pages[over] = 0
            assert envs.reset(options={"reset_mask": over})[0]["notebook"].tolist() == pages.tolist()


def test_bad_notes_are_refused_and_nothing_moves():
    env = Notebook(room()[0], capacity=2, symbols=4)
    env.reset(seed=0)
    with pytest.raises(ValueError, match=r"page of an action must be in 0\.\.2; got 3"):
        env.step([0, 3, 0])
    with pytest.raises(ValueError, match=r"symbol of an action must be in 0\.\.3; got -1"):
        env.step([0, 1, -1])
    with pytest.raises(ValueError, match=r"three integers"):
        env.step(2)
    with pytest.raises(ValueError, match=r"symbols=1 must be an integer of at least 2"):
        Notebook(room()[0], 2, 1)
    with pytest.raises(ValueError, match=r"Notebook needs a Discrete action space"):
        Notebook(Everything(spaces.Box(0, 1)), 2, 2)
