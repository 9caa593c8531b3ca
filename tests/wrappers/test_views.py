"""PreviousStep, Context, ContextStream and Notebook: what the agent sees, step by step."""

import copy
import itertools
import tracemalloc

import gymnasium as gym
import numpy as np
import pytest
from gymnasium import spaces
from gymnasium.utils.env_checker import check_env
from gymnasium.vector import AutoresetMode
from gymnasium.vector.utils import batch_space
from hypothesis import given, settings
from hypothesis import strategies as st

import metarl_wrappers
from metarl_wrappers import (
    Context,
    ContextStream,
    ForgetEachEpisode,
    HideBoundaries,
    Notebook,
    PreviousStep,
    Trial,
    VectorContext,
    VectorContextStream,
    VectorNotebook,
    VectorPermuteObservation,
    VectorPreviousStep,
    VectorTrial,
)
from metarl_wrappers.codes import ActionCode, Code
from metarl_wrappers.observations import named

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


# ---------------------------------------------------------------------------------- ends that come from above the trials
ENDS = {
    "Context": ({"length": 3}, lambda seen: (seen["context_terminated"][..., -1], seen["context_truncated"][..., -1])),
    "ContextStream": ({}, lambda seen: (seen["context_terminated"][..., 0], seen["context_truncated"][..., 0])),
}


class EndsAt(gym.Wrapper):
    """Ends what goes on below, after some steps."""

    def __init__(self, env, steps, terminates):
        super().__init__(env)
        self.steps, self.terminates = steps, terminates

    def reset(self, **kwargs):
        self.left = self.steps
        return self.env.reset(**kwargs)

    def step(self, action):
        observation, reward, terminated, truncated, info = self.env.step(action)
        self.left -= 1
        over = self.left == 0
        return observation, reward, terminated or (over and self.terminates), truncated or (over and not self.terminates), info


@pytest.mark.parametrize("view", ENDS)
@pytest.mark.parametrize("terminates", [False, True])
@pytest.mark.parametrize("mode", [None, *AutoresetMode], ids=str)
def test_an_end_from_above_the_trials_is_told(view, terminates, mode):
    """gym.make(..., max_episode_steps=2) ends a trial in the middle of its first episode."""

    def make():
        return EndsAt(room(goal=(2, 2))[0], 2, terminates)

    arguments, ends = ENDS[view]
    expected = (int(terminates), int(not terminates))
    options = {"task": task(room()[0], (2, 2))}
    if mode is None:
        env = getattr(metarl_wrappers, view)(make(), **arguments)
        env.reset(seed=0, options=options)
        assert ends(env.step(LEFT)[0]) == (0, 0)
        seen, *_, info = env.step(LEFT)
    else:
        below = gym.vector.SyncVectorEnv([make] * 2, autoreset_mode=mode)
        envs = getattr(metarl_wrappers, f"Vector{view}")(below, **arguments)
        envs.reset(seed=0, options=options)
        envs.step(np.full(2, LEFT))
        seen, *_, info = envs.step(np.full(2, LEFT))
        seen = info["final_obs"][0] if mode is AutoresetMode.SAME_STEP else {key: value[0] for key, value in seen.items()}
        info = info["final_info"] if mode is AutoresetMode.SAME_STEP else info
    assert ends(seen) == expected
    trial = info["trial"]
    told = [trial["inner_terminated"], trial["inner_truncated"], *trial["final_obs"].values()]
    assert not any(np.any(part) for part in told), "what is told of trials stays: none of their episodes ended"


def test_gymnasiums_time_limit_is_told():
    for view in ("Context", "ContextStream"):
        arguments, ends = ENDS[view]
        env = getattr(metarl_wrappers, view)(gym.make(HARD, size=3, max_episode_steps=3), **arguments)
        env.reset(seed=0, options={"task": task(env, (2, 2))})
        seen = [ends(env.step(NOOP)[0]) for _ in range(3)]
        assert seen == [(0, 0), (0, 0), (0, 1)]


def test_the_end_of_a_trial_keeps_its_inner_flag():
    """With trial_end="terminated" a truncation is reported as termination; what is seen stays true."""
    env = Context(room(trial_end="terminated")[0], length=3)
    env.reset(seed=0, options={"task": task(env, (2, 2))})
    for _ in range(6):
        seen, _, terminated, truncated, _ = env.step(LEFT)
    assert (terminated, truncated) == (True, False)
    assert ENDS["Context"][1](seen) == (0, 1)


# ----------------------------------------------------------------------------------------------------- padding and nulls
class Sampling(gym.Env):
    """Whose observations are samples; episodes last three steps."""

    action_space = spaces.Discrete(2)

    def __init__(self, observation_space):
        self.observation_space = copy.deepcopy(observation_space)  # which keeps the stream of its samples

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.observation_space.seed(seed)
        self.steps = 0
        return self.observation_space.sample(), {}

    def step(self, action):
        self.steps += 1
        return self.observation_space.sample(), 1.0, False, self.steps == 3, {}


WITHOUT_ZERO = [
    (spaces.Box(5, 10, (2,), np.float32), spaces.Box(0, 10, (2,), np.float32)),
    (spaces.Box(np.array([-9, 1, -1], np.int16), np.array([-2, 3, 1], np.int16), dtype=np.int16), None),
    (spaces.Box(1, 255, (2, 2), np.uint8), spaces.Box(0, 255, (2, 2), np.uint8)),
    (spaces.Discrete(3, start=1), spaces.Discrete(4)),
    (spaces.Discrete(2, start=-5), spaces.Discrete(6, start=-5)),
    (spaces.Discrete(3, start=-1), spaces.Discrete(3, start=-1)),
    (spaces.MultiDiscrete([3, 3], start=[1, -4]), spaces.MultiDiscrete([4, 5], start=[0, -4])),
    (spaces.MultiBinary(2), spaces.MultiBinary(2)),
    (spaces.Dict({"a": spaces.Discrete(3, start=1), "b": spaces.Box(1, 2, (2,), np.float64)}), None),
]


@pytest.mark.parametrize(("space", "padded"), WITHOUT_ZERO, ids=lambda value: str(value))
@pytest.mark.parametrize("view", ENDS)
@pytest.mark.parametrize("mode", [None, *AutoresetMode], ids=str)
@pytest.mark.filterwarnings("ignore:.*is different from the unwrapped version:UserWarning")
@pytest.mark.filterwarnings("ignore:.*A Box observation space (minimum|maximum) value is (-infinity|infinity):UserWarning")
def test_padding_and_nulls_are_in_the_space(view, space, padded, mode):
    """Zeros stand where there is no transition, whether or not the environment can show them."""
    arguments, _ = ENDS[view]
    if mode is None:
        env = getattr(metarl_wrappers, view)(Sampling(space), **arguments)
        check_env(env, skip_render_check=True)
        if padded is not None:
            assert env.observation_space["context_observation"] == (batch_space(padded, 3) if arguments else padded)
    else:
        below = gym.vector.SyncVectorEnv([lambda: Sampling(space)] * 2, autoreset_mode=mode)
        env = getattr(metarl_wrappers, f"Vector{view}")(below, **arguments)
    seen, _ = env.reset(seed=0)
    assert not any(np.any(part) for key, part in seen.items() if str(key).startswith("context_") and key != "context_clear")
    for _ in range(9):
        assert env.observation_space.contains(seen), seen
        seen, _, terminated, truncated, info = env.step(env.action_space.sample())
        for final in info.get("final_obs", ()):
            assert final is None or env.single_observation_space.contains(final)
        if mode is None and (terminated or truncated):
            seen, _ = env.reset()
        elif mode is AutoresetMode.DISABLED and truncated.any():
            seen, _ = env.reset(options={"reset_mask": truncated})


def test_vectors_take_memory_in_proportion_to_their_length():
    many = spaces.MultiDiscrete([256] * 128)
    tracemalloc.start()
    try:
        for wrap in (lambda env: PreviousStep(env, flat=True), PreviousStep, ContextStream, lambda env: Context(env, 2)):
            for actions in (many, spaces.Discrete(10**5)):
                env = wrap(Everything(actions))
                env.reset(seed=0)
                env.step(actions.sample())
        flat = PreviousStep(Sampling(many), flat=True)
        seen = flat.reset(seed=0)[0]
        most = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert most < 40e6, "an identity matrix of 32,768 choices would take a gigabyte"
    numbers = seen[: 256 * 128].reshape(128, 256)
    assert (numbers.sum(axis=1) == 1).all()
    flat.observation_space.contains(seen)


@pytest.mark.parametrize("space", [spaces.Discrete(3, start=2), spaces.MultiDiscrete([3, 3], start=[2, 0])], ids=str)
def test_one_hot_is_gymnasiums_and_nothing_beyond_the_space(space):
    code = Code(space, "the action")
    space.seed(0)
    values = [space.sample() for _ in range(20)]
    expected = np.array([spaces.flatten(space, value) for value in values])
    assert (code.encode(values) == expected).all()
    into = np.ones((20, code.size + 4), np.float32)
    code.write(values, into, 3)
    assert (into[:, 3:-1] == expected).all()
    assert (into[:, [0, 1, 2, -1]] == 1).all()
    assert (code.padded(values, 3, 1) == np.pad(expected, ((0, 0), (3, 1)))).all()
    outside = np.array(values)
    for wrong in (-1, 1 if space.shape == () else 3, 5):
        outside.reshape(20, -1)[7, -1] = wrong
        with pytest.raises(ValueError, match=r"the action .* is outside of "):
            code.encode(outside)
    with pytest.raises(TypeError, match=r"the action must be integers of .*; got dtype float64"):
        code.encode(np.array(values, float))


# ------------------------------------------------------------------------------------------- keys that are no plain words
ODD_KEYS = spaces.Dict(
    {0: spaces.Box(0, 1, (2,), np.float32), 1: spaces.Discrete(3), "x": spaces.Discrete(2), "_x": spaces.Discrete(2)}
)


@pytest.mark.parametrize("trials", [False, True])
@pytest.mark.parametrize("mode", list(AutoresetMode), ids=str)
@pytest.mark.parametrize(
    "view", [VectorPreviousStep, "flat", "context", VectorContextStream, "notebook", VectorPermuteObservation]
)
def test_keys_may_be_numbers_and_begin_with_underscores(view, mode, trials):
    """In all modes each row is what the single form gives, final observations included."""
    make = {
        "flat": (lambda env: PreviousStep(env, flat=True), lambda envs: VectorPreviousStep(envs, flat=True)),
        "context": (lambda env: Context(env, 3), lambda envs: VectorContext(envs, 3)),
        "notebook": (lambda env: Notebook(env, 2, 2), lambda envs: VectorNotebook(envs, 2, 2)),
    }
    alone, together = make.get(view) or (getattr(metarl_wrappers, view.__name__.removeprefix("Vector")), view)
    below = gym.vector.SyncVectorEnv(
        [lambda: Sampling(ODD_KEYS)] * 2, autoreset_mode=AutoresetMode.DISABLED if trials else mode
    )
    envs = together(VectorTrial(below, 2, autoreset_mode=mode) if trials else below)
    env = alone(Trial(Sampling(ODD_KEYS), 2) if trials else Sampling(ODD_KEYS))
    seen, _ = envs.reset(seed=0)
    one, _ = env.reset(seed=0)
    steps = 6 if trials else 3
    for step in range(steps):
        assert_row(seen, one)
        seen, *_, info = envs.step(np.zeros((2, 3) if view == "notebook" else 2, int))
        one, *_, told = env.step(np.zeros(3, int) if view == "notebook" else 0)
        if mode is AutoresetMode.SAME_STEP and step == steps - 1:
            seen = info["final_obs"][0]
            if trials:
                assert_row(info["final_info"]["trial"]["final_obs"], told["trial"]["final_obs"])
            assert_row({key: np.array(value)[None] for key, value in named(seen).items()}, named(one))
        elif trials:
            assert_row(info["trial"]["final_obs"], told["trial"]["final_obs"])


def assert_row(batch, one):
    batch, one = named(batch), named(one)
    assert batch.keys() == one.keys()
    for key, value in one.items():
        assert np.array_equal(np.asarray(batch[key])[0], value), key


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


@pytest.mark.parametrize("view", ["PreviousStep", "Context", "ContextStream", "PermuteObservation"])
def test_above_hide_boundaries_both_forms_blank_all_final_observations(view):
    """In SAME_STEP too: what final_info tells of the old trial is what the single form tells at its end."""
    arguments = {"Context": {"length": 3}}.get(view, {})
    env = getattr(metarl_wrappers, view)(HideBoundaries(room()[0]), **arguments)
    below = gym.make_vec(HARD, num_envs=1, size=3, horizon=3, episodes_per_trial=2, autoreset_mode=AutoresetMode.SAME_STEP)
    envs = getattr(metarl_wrappers, f"Vector{view}")(metarl_wrappers.VectorHideBoundaries(below), **arguments)
    options = {"task": task(env, (2, 2))}
    env.reset(seed=0, options=options)
    envs.reset(seed=0, options=options)
    for _ in range(6):
        one, _, _, truncated, told = env.step(LEFT)
        *_, info = envs.step(np.array([LEFT]))
    assert truncated
    final = {key: np.array(value)[None] for key, value in named(info["final_obs"][0]).items()}
    assert_row(final, one)
    assert_row(info["final_info"]["trial"]["final_obs"], told["trial"]["final_obs"])
    assert not any(np.any(part) for part in named(told["trial"]["final_obs"]).values())


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
