"""What holds for every wrapper: records, specs, Gymnasium's checks, one form equal to the other, the invariants of trials."""

import ast
import inspect
import json
import subprocess
import sys
from pathlib import Path

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.envs.registration import EnvSpec
from gymnasium.utils.env_checker import check_env
from gymnasium.vector import AutoresetMode, SyncVectorEnv

import metarl_wrappers
from metarl_wrappers.catalogue import README, catalogue

DARK_ROOM = "metarl_envs:MetaRL/DarkRoom-v0"
DARK_ROOM_HARD = "metarl_envs:MetaRL/DarkRoomHard-v0"
SINGLE = [name for name in metarl_wrappers.__all__ if not name.startswith("Vector")]
ROWS = 5
EPISODES = 3
FLAGS = ("trial_start", "episode_start", "inner_terminated", "inner_truncated", "action_ignored")

#: Arguments to try each wrapper with; wrappers that stand below trials are tried as Trial is.
CASES = [
    ("Context", {"length": 3}),
    ("Context", {"length": 30}),
    ("ContextStream", {}),
    ("ForgetEachEpisode", {}),
    ("HideBoundaries", {}),
    ("HideReward", {}),
    ("NegateReward", {}),
    ("Notebook", {"capacity": 2, "symbols": 3}),
    ("PermuteActions", {"seed": 4}),
    ("PermuteObservation", {"seed": 4}),
    ("PreviousStep", {}),
    ("PreviousStep", {"flat": True}),
    ("ShuffleReward", {"seed": 4}),
]
TRIALS = [("Trial", {"episodes_per_trial": EPISODES, "keep_task": means}) for means in ("seed", "options", "new_trial")]
case = pytest.mark.parametrize(("name", "arguments"), CASES, ids=lambda value: str(value))
case_or_trial = pytest.mark.parametrize(("name", "arguments"), CASES + TRIALS, ids=lambda value: str(value))
mode = pytest.mark.parametrize("mode", list(AutoresetMode), ids=lambda mode: mode.name)


def wrapper(name):
    return getattr(metarl_wrappers, name)


def room(id=DARK_ROOM_HARD, **kwargs):
    return gym.make(id, **{"size": 3, "horizon": 6, "episodes_per_trial": EPISODES, **kwargs})


def rooms(mode, id=DARK_ROOM_HARD, **kwargs):
    kwargs = {"size": 3, "horizon": 6, "episodes_per_trial": EPISODES, **kwargs}
    return gym.make_vec(id, num_envs=ROWS, autoreset_mode=mode, **kwargs)


def single_form(name, arguments, id=DARK_ROOM_HARD, row=0):
    arguments = {**arguments, "seed": arguments["seed"] + row} if "seed" in arguments else arguments
    kwargs = {"episodes_per_trial": 1} if name == "Trial" else {}
    return wrapper(name)(room(id, **kwargs), **arguments)


def vector_form(name, arguments, mode, id=DARK_ROOM_HARD):
    if name == "Trial":
        below = rooms(AutoresetMode.DISABLED, id, episodes_per_trial=1)
        return metarl_wrappers.VectorTrial(below, **arguments, autoreset_mode=mode)
    return wrapper(f"Vector{name}")(rooms(mode, id), **arguments)


def leaves(value, path=()):
    if isinstance(value, dict):
        return [leaf for key in sorted(value) for leaf in leaves(value[key], (*path, key))]
    return [(path, np.asarray(value))]


def assert_same(one, other, where=""):
    one, other = leaves(one), leaves(other)
    assert [path for path, _ in one] == [path for path, _ in other], where
    for (path, left), (_, right) in zip(one, other, strict=True):
        assert left.dtype.kind == right.dtype.kind, (where, path)
        assert np.array_equal(left, right), (where, path, left, right)


def row_of(batch, row):
    """One row of a batch or info; masks must say that the row reports."""
    if isinstance(batch, dict):
        parts = {}
        for key, value in batch.items():
            if key.startswith("_") and key[1:] in batch:
                continue
            if f"_{key}" not in batch or batch[f"_{key}"][row]:
                parts[key] = row_of(value, row)
        return parts
    return batch[row]


def told(info, ignored=False):
    """The parts of an info that wrappers answer for."""
    kept = {key: info[key] for key in ("trial", "metarl_control") if key in info}
    if "trial" in kept and ignored:
        kept["trial"] = {**kept["trial"], "action_ignored": True}
    return kept


# ------------------------------------------------------------------------------------------------- what is written down
@pytest.mark.parametrize("name", metarl_wrappers.__all__)
def test_the_record_has_the_names_of_the_signature(name):
    parameters = [
        parameter for parameter in inspect.signature(wrapper(name).__init__).parameters if parameter not in ("self", "env")
    ]
    tree = ast.parse(inspect.getsource(wrapper(name)))
    calls = [
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "RecordConstructorArgs.__init__"
    ]
    assert len(calls) == 1
    assert [(keyword.arg) for keyword in calls[0].keywords] == parameters
    single, vector = (inspect.signature(wrapper(form).__init__) for form in (name.removeprefix("Vector"), name))
    assert list(vector.parameters)[: len(single.parameters)] == list(single.parameters), "both forms take the same arguments"


@pytest.mark.parametrize("name", metarl_wrappers.__all__)
def test_a_wrapper_stands_beside_its_other_form_and_is_documented(name):
    other = name.removeprefix("Vector") if name.startswith("Vector") else f"Vector{name}"
    assert wrapper(other).__module__ == wrapper(name).__module__
    page = inspect.getdoc(wrapper(name))
    assert page
    if not name.startswith("Vector"):
        assert "\nExample:" in page
        assert "\nArgs:" in page


@mode
@case_or_trial
def test_the_vector_form_says_how_it_resets(name, arguments, mode):
    """In `metadata`, and as an attribute, which Gymnasium's own wrappers leave out and TorchRL asks for."""
    envs = vector_form(name, arguments, mode)
    assert envs.autoreset_mode is envs.metadata["autoreset_mode"] is mode


def test_seed_tasks_say_how_they_reset():
    envs = metarl_wrappers.VectorSeedTasks(
        SyncVectorEnv([lambda: gym.make("CartPole-v1")] * 2, autoreset_mode=AutoresetMode.DISABLED)
    )
    assert envs.autoreset_mode is AutoresetMode.DISABLED


@pytest.mark.parametrize("name", SINGLE)
def test_the_examples_run(name):
    code = [line.strip()[4:] for line in inspect.getdoc(wrapper(name)).splitlines() if line.strip().startswith(">>> ")]
    names = {"gym": gym, **{form: wrapper(form) for form in metarl_wrappers.__all__}}
    exec("\n".join(code), names)


def test_the_catalogue_is_up_to_date():
    assert README.read_text() == catalogue(), "run: python -m metarl_wrappers.catalogue"


@case_or_trial
def test_the_spec_survives_json_and_builds_the_same_stack(name, arguments):
    env = single_form(name, arguments)
    again = gym.make(EnvSpec.from_json(env.spec.to_json()))
    json.dumps(env._saved_kwargs)
    assert again.spec == env.spec
    assert type(again) is wrapper(name)
    env.action_space.seed(0)
    assert_same(env.reset(seed=3)[0], again.reset(seed=3)[0])
    for _ in range(4 * EPISODES):
        action = env.action_space.sample()
        one, other = env.step(action), again.step(action)
        assert_same(one[0], other[0])
        assert one[1:4] == other[1:4]
        if one[2] or one[3]:
            break


@pytest.mark.parametrize("id", [DARK_ROOM, DARK_ROOM_HARD])
@case_or_trial
@pytest.mark.filterwarnings("ignore:.*is different from the unwrapped version:UserWarning")
@pytest.mark.filterwarnings("ignore:.*A Box observation space (minimum|maximum) value is (-infinity|infinity):UserWarning")
@pytest.mark.filterwarnings("ignore:.*Not able to test alternative render modes:UserWarning")
def test_gymnasium_checks_it(name, arguments, id):
    check_env(single_form(name, arguments, id))


@case_or_trial
@mode
def test_everything_returned_is_in_the_spaces(name, arguments, mode):
    envs = vector_form(name, arguments, mode)
    envs.action_space.seed(1)
    observations, info = envs.reset(seed=2)
    dtypes = {path: (leaf.dtype, leaf.shape) for path, leaf in leaves(told(info))}
    for _ in range(40):
        assert envs.observation_space.contains(observations)
        assert all(envs.single_observation_space.contains(row_of(observations, row)) for row in range(ROWS))
        observations, rewards, terminated, truncated, info = envs.step(envs.action_space.sample())
        assert (rewards.dtype, terminated.dtype, truncated.dtype) == (np.float64, np.bool_, np.bool_)
        assert {path: (leaf.dtype, leaf.shape) for path, leaf in leaves(told(info))} == dtypes
        for final in info.get("final_obs", ()):
            assert final is None or envs.single_observation_space.contains(final)
        if mode is AutoresetMode.DISABLED and (terminated | truncated).any():
            observations, info = envs.reset(options={"reset_mask": terminated | truncated})
            assert {path: (leaf.dtype, leaf.shape) for path, leaf in leaves(told(info))} == dtypes


# ------------------------------------------------------------------------------------------------- single equals vector
def assert_row_equals(env, row, action, result, over, mode):
    """Step (or autoreset) a single env, and compare it with one row of what the vector env returned."""
    observations, rewards, terminated, truncated, info = result
    where = f"row {row}"
    if over and mode is AutoresetMode.NEXT_STEP:
        observation, told_single = env.reset()
        expected = observation, 0.0, False, False
        told_single = told(told_single, ignored=True)
    else:
        *expected, told_single = env.step(action)
        told_single = told(told_single)
        if mode is AutoresetMode.SAME_STEP and (expected[2] or expected[3]):
            assert_same(expected[0], row_of(info["final_obs"], row), f"{where} final_obs")
            assert_same(told_single, told(row_of(info["final_info"], row)), f"{where} final_info")
            paid = told_single.get("metarl_control", {}).get("reward")
            expected[0], told_single = env.reset()
            told_single = told(told_single)
            if paid is not None:  # the top of the info tells what this step paid in every mode
                told_single["metarl_control"]["reward"] = paid
    assert_same(expected[0], row_of(observations, row), f"{where} observation")
    assert tuple(expected[1:]) == (rewards[row], terminated[row], truncated[row]), where
    assert_same(told_single, told(row_of(info, row)), f"{where} info")


def assert_forms_equal(envs, singles, mode, steps, seed=7):
    envs.action_space.seed(seed)
    observations, info = envs.reset(seed=seed)
    for row, env in enumerate(singles):
        observation, one = env.reset(seed=seed + row)
        assert_same(observation, row_of(observations, row), f"row {row} at reset")
        assert_same(told(one), told(row_of(info, row)), f"row {row} at reset")
    over = np.zeros(len(singles), bool)
    ends = 0
    for _ in range(steps):
        actions = envs.action_space.sample()
        result = envs.step(actions)
        for row, env in enumerate(singles):
            action = actions[row].item() if actions[row].ndim == 0 else actions[row]
            assert_row_equals(env, row, action, result, over[row], mode)
        over = result[2] | result[3]
        ends += over.sum()
        if mode is AutoresetMode.DISABLED and over.any():
            observations, info = envs.reset(options={"reset_mask": over.copy()})
            for row, env in enumerate(singles):
                if over[row]:
                    observation, one = env.reset()
                    assert_same(told(one), told(row_of(info, row)), f"row {row} at its reset")
                else:
                    observation = row_of(result[0], row)
                assert_same(observation, row_of(observations, row), f"row {row} at a masked reset")
    assert ends > 5


@pytest.mark.parametrize("id", [DARK_ROOM, DARK_ROOM_HARD])
@case_or_trial
@mode
def test_row_i_of_the_vector_form_is_the_single_form_seeded_s_plus_i(name, arguments, mode, id):
    singles = [single_form(name, arguments, id, row) for row in range(ROWS)]
    assert_forms_equal(vector_form(name, arguments, mode, id), singles, mode, steps=60)


@pytest.mark.parametrize(("name", "arguments"), [c for c in CASES if c[0] not in ("ForgetEachEpisode", "HideBoundaries")])
@mode
def test_forms_are_equal_on_an_environment_without_trials(name, arguments, mode):
    def seeded(row):
        return {**arguments, "seed": arguments["seed"] + row} if "seed" in arguments else arguments

    below = SyncVectorEnv([lambda: gym.make("CartPole-v1")] * ROWS, autoreset_mode=mode)
    singles = [wrapper(name)(gym.make("CartPole-v1"), **seeded(row)) for row in range(ROWS)]
    assert_forms_equal(wrapper(f"Vector{name}")(below, **arguments), singles, mode, steps=60)


@case
@pytest.mark.parametrize("mode", [AutoresetMode.SAME_STEP, AutoresetMode.DISABLED], ids=lambda mode: mode.name)
def test_a_wrapper_over_trials_in_sub_environments_gives_the_same(name, arguments, mode):
    """SyncVectorEnv of single trials, with its arrays of objects, is read as metarl_envs' own vector environments are."""
    below = SyncVectorEnv([room] * ROWS, autoreset_mode=mode)
    singles = [single_form(name, arguments, row=row) for row in range(ROWS)]
    assert_forms_equal(wrapper(f"Vector{name}")(below, **arguments), singles, mode, steps=60)


@case
def test_next_step_over_sub_environments_shows_the_same(name, arguments):
    """There the sub-environments cannot say that their action was ignored, but it shows all the same."""
    over_sub = wrapper(f"Vector{name}")(SyncVectorEnv([room] * ROWS), **arguments)
    native = vector_form(name, arguments, AutoresetMode.NEXT_STEP)
    over_sub.action_space.seed(0)
    assert_same(over_sub.reset(seed=0)[0], native.reset(seed=0)[0])
    for _ in range(60):
        actions = over_sub.action_space.sample()
        one, other = over_sub.step(actions), native.step(actions)
        for left, right in zip(one[:4], other[:4], strict=True):
            assert_same(left, right)


# ------------------------------------------------------------------------------------------------- invariants
VIEWS = {
    "PreviousStep": ({}, lambda seen: seen["previous_reward"][..., 0]),
    "PreviousStep flat": ({"flat": True}, lambda seen: seen[..., -3]),
    "Context": ({"length": 4}, lambda seen: seen["context_reward"][..., -1]),
    "ContextStream": ({}, lambda seen: seen["context_reward"][..., 0]),
}
view = pytest.mark.parametrize("view", VIEWS)
BELOW = [("none", {}), *[c for c in CASES if not c[0].startswith(("Context", "Previous"))], *TRIALS]


def seen_through(view, name, arguments, mode, id=DARK_ROOM_HARD):
    below = rooms(mode, id) if name == "none" else vector_form(name, arguments, mode, id)
    return wrapper(f"Vector{view.split()[0]}")(below, **VIEWS[view][0])


@view
@pytest.mark.parametrize(("name", "arguments"), BELOW, ids=lambda value: str(value))
@mode
def test_1_rewards_seen_add_up_to_rewards_given(view, name, arguments, mode):
    """Through every stack and mode: what the policy can see of each row is all of what step returned, boundary by boundary."""
    envs = seen_through(view, name, arguments, mode)
    reward_in = VIEWS[view][1]
    envs.action_space.seed(5)
    observations, info = envs.reset(seed=5)
    assert not reward_in(observations).any()
    seen, given, at_ends = np.zeros(ROWS), np.zeros(ROWS), 0
    for _ in range(120):
        observations, rewards, terminated, truncated, info = envs.step(envs.action_space.sample())
        over = terminated | truncated
        in_step = reward_in(observations).astype(float)
        started = info["trial"]["trial_start"] & ~info["trial"]["action_ignored"]
        for row in np.flatnonzero(started):  # a new trial began in this step: the reward is in the last observation of the old
            final = info["final_obs"][row] if over[row] else row_of(info["trial"]["final_obs"], row)
            assert in_step[row] == 0
            in_step[row] = reward_in(final)
        assert np.allclose(in_step, rewards), "each reward is seen in the very step"
        ended = info["trial"]["inner_terminated"] | info["trial"]["inner_truncated"] | over
        at_ends += np.abs(rewards[ended]).sum()
        seen, given = seen + in_step, given + rewards
        if mode is AutoresetMode.DISABLED and over.any():
            observations, _ = envs.reset(options={"reset_mask": over})
            assert not reward_in(observations)[over].any()
    assert np.allclose(seen, given)
    if name not in ("HideReward", "HideBoundaries"):
        assert at_ends > 5, "rewards of last steps were among them"


@case_or_trial
@mode
def test_2_one_start_flag_an_episode_and_a_trial(name, arguments, mode):
    envs = vector_form(name, arguments, mode)
    envs.action_space.seed(5)
    _, info = envs.reset(seed=5)
    hides, forgets = name == "HideBoundaries", name == "ForgetEachEpisode"
    starts = {flag: info["trial"][flag].astype(int) for flag in ("trial_start", "episode_start")}
    ends, overs = np.zeros(ROWS, int), np.zeros(ROWS, int)
    for _ in range(120):
        _, _, terminated, truncated, info = envs.step(envs.action_space.sample())
        over = terminated | truncated
        ended = info["trial"]["inner_terminated"] | info["trial"]["inner_truncated"]
        if mode is AutoresetMode.SAME_STEP:
            ended = ended | over
        ends, overs = ends + ended, overs + over
        starts = {flag: count + info["trial"][flag] for flag, count in starts.items()}
        if mode is AutoresetMode.DISABLED and over.any():
            _, info = envs.reset(options={"reset_mask": over})
            starts = {flag: count + info["trial"][flag] for flag, count in starts.items()}
    waiting = over if mode is AutoresetMode.NEXT_STEP else 0  # these start in the next step
    assert (overs > 3).all()
    assert (starts["trial_start"] == 1 + (ends if forgets else overs) - waiting).all()
    assert (starts["episode_start"] == 1 + (overs if hides else ends) - waiting).all()


@pytest.mark.parametrize("view", ["PreviousStep", "ContextStream", "Context"])
def test_3_the_null_action_is_no_action(view):
    key = "previous_action" if view == "PreviousStep" else "context_action"
    spaces = gym.spaces
    for space in (
        spaces.Discrete(3, start=-1),
        spaces.MultiDiscrete([2, 3]),
        spaces.MultiBinary(2),
        spaces.Box(-1, 1, (2,)),
    ):
        env = wrapper(view)(Anything(space), **VIEWS[view][0])
        observation, _ = env.reset(seed=0)
        assert not observation[key].any()
        zero = {spaces.Discrete: -1, spaces.MultiDiscrete: np.zeros(2, int), spaces.MultiBinary: np.zeros(2, np.int8)}
        observation = env.step(zero.get(type(space), np.zeros(2, np.float32)))[0]
        assert observation[key].reshape(-1, observation[key].shape[-1])[-1].any()
        assert env.observation_space.contains(observation)


class Anything(gym.Env):
    """Takes any action, and goes on for ever."""

    observation_space = gym.spaces.Box(0, 1, (1,), np.float32)

    def __init__(self, action_space):
        self.action_space = action_space

    def reset(self, *, seed=None, options=None):
        return np.zeros(1, np.float32), {}

    def step(self, action):
        return np.zeros(1, np.float32), 0.0, False, False, {}


@pytest.mark.parametrize(("name", "arguments"), [c for c in CASES if c[0] != "PermuteActions"], ids=lambda value: str(value))
@pytest.mark.parametrize("id", [DARK_ROOM, DARK_ROOM_HARD])
@mode
def test_4_terminated_and_truncated_stay_apart(name, arguments, id, mode):
    """A wrapper changes nothing of how trials end, and inner ends are told (or kept as the truth beside) as they were."""
    plain, envs = rooms(mode, id), vector_form(name, arguments, mode, id)
    plain.action_space.seed(5)
    plain.reset(seed=5)
    envs.reset(seed=5)
    for _ in range(80):
        actions = plain.action_space.sample()
        one = plain.step(actions)
        other = envs.step(np.stack([actions, actions % 3, actions % 2], 1) if name == "Notebook" else actions)
        assert_same(one[2:4], other[2:4])
        true = {**other[4]["trial"], **other[4].get("metarl_control", {})}
        assert all((one[4]["trial"][flag] == true[flag]).all() for flag in FLAGS)
        over = one[2] | one[3]
        if mode is AutoresetMode.SAME_STEP and over.any():
            old, kept = one[4]["final_info"]["trial"], other[4]["final_info"]
            true = {**kept["trial"], **kept.get("metarl_control", {})}
            assert all((old[flag][over] == true[flag][over]).all() for flag in FLAGS)
        if mode is AutoresetMode.DISABLED and over.any():
            for env in (plain, envs):
                env.reset(options={"reset_mask": over})


@case_or_trial
def test_5_no_action_is_silently_ignored(name, arguments):
    envs = vector_form(name, arguments, AutoresetMode.NEXT_STEP)
    envs.action_space.seed(5)
    envs.reset(seed=5)
    over = np.zeros(ROWS, bool)
    for _ in range(80):
        _, rewards, terminated, truncated, info = envs.step(envs.action_space.sample())
        assert (info["trial"]["action_ignored"] == over).all()
        assert not rewards[over].any()
        over = terminated | truncated


PROGRAM = """
import gymnasium as gym, numpy as np, hashlib, sys
sys.path.insert(0, {folder!r})
from test_every_wrapper import *
digest = hashlib.sha256()
for name, arguments in CASES + TRIALS:
    env = single_form(name, arguments)
    other = single_form(name, arguments)
    env.action_space.seed(1)
    other.reset(seed=99)
    env.reset(seed=4)
    for step in range(50):
        result = env.step(env.action_space.sample())
        if step < 2:
            other.step(other.action_space.sample())
        for _, leaf in leaves(result[0]) + leaves(np.array(result[1:4], float)):
            digest.update(np.ascontiguousarray(leaf).tobytes())
        if result[2] or result[3]:
            env.reset()
print(digest.hexdigest())
"""


@case_or_trial
def test_7_the_same_seed_gives_the_same_beside_another_environment(name, arguments):
    one, other, disturber = (single_form(name, arguments) for _ in range(3))
    one.action_space.seed(3)
    for env in (one, other, disturber):
        env.reset(seed=6)
    for _ in range(60):
        action = one.action_space.sample()
        left, right = one.step(action), other.step(action)
        assert_same(left[0], right[0])
        assert left[1:4] == right[1:4]
        disturber.reset()
        if left[2] or left[3]:
            assert_same(one.reset()[0], other.reset()[0])


@pytest.mark.slow
def test_7_the_same_seed_gives_the_same_in_other_processes():
    program = PROGRAM.format(folder=str(Path(__file__).parent))
    run = [
        subprocess.run(
            [sys.executable, "-c", program],
            env={"PYTHONHASHSEED": seed, "PATH": ""},
            capture_output=True,
            text=True,
            check=True,
        )
        for seed in ("0", "1")
    ]
    assert run[0].stdout == run[1].stdout
    assert len(run[0].stdout.strip()) == 64


@case_or_trial
@mode
def test_8_the_first_observation_of_a_trial_tells_nothing_of_the_task(name, arguments, mode):
    """Dark Room's first observation is the same for every goal: so it must be through every wrapper."""
    envs = vector_form(name, arguments, mode)
    envs.action_space.seed(5)
    observations, info = envs.reset(seed=5)
    first = row_of(observations, 0)
    for _ in range(80):
        for row in np.flatnonzero(info["trial"]["trial_start"]):
            assert_same(row_of(observations, row), first)
        observations, _, terminated, truncated, info = envs.step(envs.action_space.sample())
        over = terminated | truncated
        if mode is AutoresetMode.DISABLED and over.any():
            observations, info = envs.reset(options={"reset_mask": over})
