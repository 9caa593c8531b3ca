"""What holds for every wrapper: records, specs, Gymnasium's checks, one form equal to the other, the invariants of trials."""

import ast
import copy
import inspect
import itertools
import json
import re
import subprocess
import sys
from pathlib import Path

import gymnasium as gym
import gymnasium.wrappers as g
import gymnasium.wrappers.vector as gv
import numpy as np
import pytest
from gymnasium.envs.registration import EnvSpec
from gymnasium.utils.env_checker import check_env, data_equivalence
from gymnasium.vector import AutoresetMode, SyncVectorEnv

import metarl_wrappers
from metarl_wrappers import PreviousStep, Trial, VectorPreviousStep, VectorTrial
from metarl_wrappers.catalogue import README, catalogue
from metarl_wrappers.streams import below, cycles, mix

DARK_ROOM = "metarl_envs:MetaRL/DarkRoom-v0"
DARK_ROOM_HARD = "metarl_envs:MetaRL/DarkRoomHard-v0"
#: A Dark Room whose observations have names.
NAMED_ROOM = "tests.named_room:Test/NamedRoom-v0"
SINGLE = [name for name in metarl_wrappers.WRAPPERS if not name.startswith("Vector")]
ROWS = 5
EPISODES = 3
FLAGS = ("trial_start", "episode_start", "inner_terminated", "inner_truncated", "action_ignored")

#: Lives of different lengths, that end sooner than trials do; and of one length, as an array holds them.
SWAP = ("SwapReward", {"lives": [[0.25, 0.5, 1.5], [-2.0, 3.5], [0.0, 4.0, 0.0, 5.0, 6.0]], "seed": 4})
EQUAL = ("SwapReward", {"lives": [[0.25, 0.5], [-2.0, 3.5]], "seed": 4})
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
    ("PermuteActions", {"seed": 4, "after_episodes": 1, "after_steps": 3}),
    ("PermuteObservation", {"seed": 4}),
    ("PreviousStep", {}),
    ("PreviousStep", {"flat": True}),
    ("ReflectReward", {"low": -1e6, "high": 1e6}),
    SWAP,
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
    kept = {key: info[key] for key in ("trial", "metarl_control", "memory_reset", "action_mask") if key in info}
    if "trial" in kept and ignored:
        kept["trial"] = {**kept["trial"], "action_ignored": True}
    return kept


# ------------------------------------------------------------------------------------------------- what is written down
@pytest.mark.parametrize("name", metarl_wrappers.WRAPPERS)
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


@pytest.mark.parametrize("name", metarl_wrappers.WRAPPERS)
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
    names = {"gym": gym, **{form: wrapper(form) for form in metarl_wrappers.WRAPPERS}}
    exec("\n".join(code), names)


def test_the_catalogue_is_up_to_date():
    assert README.read_text() == catalogue(), "run: python -m metarl_wrappers.catalogue"


def test_what_needs_a_library_is_imported_when_it_is_asked_for():
    """In a process of its own: with Stable-Baselines3 it is the class, without an error that says what to install."""
    program = """
import sys, metarl_wrappers
assert "stable_baselines3" not in sys.modules and "metarl_wrappers.sb3" not in sys.modules
try:
    from metarl_wrappers import SB3VecEnv
    assert SB3VecEnv.__module__ == "metarl_wrappers.sb3" and "SB3VecEnv" in dir(metarl_wrappers)
except ModuleNotFoundError as error:
    assert "pip install stable-baselines3" in str(error) and error.name == "stable_baselines3"
    assert "SB3VecEnv" not in dir(metarl_wrappers)
"""
    run = subprocess.run([sys.executable, "-W", "ignore", "-c", program], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    assert {"Trial", "VectorTrial", "PreviousStep"} <= set(dir(metarl_wrappers))
    with pytest.raises(AttributeError, match="has no attribute 'Nothing'"):
        metarl_wrappers.Nothing  # noqa: B018
    assert "| [SB3VecEnv](#sb3vecenv) |" in catalogue()


def test_the_stacks_of_the_first_page_run():
    names = {"gym": gym, "np": np, "DtypeObservation": g.DtypeObservation, "RescaleObservation": g.RescaleObservation}
    names |= {form: wrapper(form) for form in metarl_wrappers.WRAPPERS}
    lines = [line[4:] for line in metarl_wrappers.__doc__.splitlines() if line.startswith("    env = ")]
    assert len(lines) == 6
    for stack in (lines[:3], lines[3:]):
        exec("\n".join(stack), names)
        assert_in_space(names["env"])


def assert_in_space(env, steps=40):
    env.action_space.seed(0)
    observation, _ = env.reset(seed=0)
    for _ in range(steps):
        assert env.observation_space.contains(observation)
        observation, _, terminated, truncated, _ = env.step(env.action_space.sample())
        if terminated or truncated:
            observation, _ = env.reset()


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


@pytest.mark.parametrize("id", [DARK_ROOM, DARK_ROOM_HARD, NAMED_ROOM])
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


def assert_forms_equal(envs, singles, mode, steps, seed=7, ends=6):
    envs.action_space.seed(seed)
    observations, info = envs.reset(seed=seed)
    for row, env in enumerate(singles):
        observation, one = env.reset(seed=seed + row)
        assert_same(observation, row_of(observations, row), f"row {row} at reset")
        assert_same(told(one), told(row_of(info, row)), f"row {row} at reset")
    over = np.zeros(len(singles), bool)
    seen = 0
    for _ in range(steps):
        actions = envs.action_space.sample()
        result = envs.step(actions)
        for row, env in enumerate(singles):
            action = actions[row].item() if actions[row].ndim == 0 else actions[row]
            assert_row_equals(env, row, action, result, over[row], mode)
        over = result[2] | result[3]
        seen += over.sum()
        if mode is AutoresetMode.DISABLED and over.any():
            observations, info = envs.reset(options={"reset_mask": over.copy()})
            for row, env in enumerate(singles):
                if over[row]:
                    observation, one = env.reset()
                    assert_same(told(one), told(row_of(info, row)), f"row {row} at its reset")
                else:
                    observation = row_of(result[0], row)
                assert_same(observation, row_of(observations, row), f"row {row} at a masked reset")
    assert seen >= ends


@pytest.mark.parametrize("id", [DARK_ROOM, DARK_ROOM_HARD, NAMED_ROOM])
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


# ------------------------------------------------------------------------------------------------- days and action masks
class Days(gym.Env):
    """Takes the memory of its agent every three steps, and says which actions are allowed: in `where` it is told to."""

    def __init__(self, where=("observation", "info"), start=0):
        parts = {"seen": gym.spaces.Box(0, 10, (3,), np.int64), "action_mask": gym.spaces.Box(0, 1, (4,), np.int8)}
        self.where = where
        self.observation_space = gym.spaces.Dict(parts if "observation" in where else {"seen": parts["seen"]})
        self.action_space = gym.spaces.Discrete(4, start=start)

    def look(self, memory_reset):
        self.mask = self.np_random.integers(0, 2, 4, np.int8)
        seen = {"seen": np.arange(3) + self.steps % 3, "action_mask": self.mask.copy()}
        info = {"memory_reset": memory_reset, "action_mask": self.mask.copy()}
        return (
            {key: seen[key] for key in self.observation_space},
            info if "info" in self.where else {"memory_reset": memory_reset},
        )

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.steps = 0
        return self.look(memory_reset=True)

    def step(self, action):
        self.steps += 1
        self.allowed = self.mask[action - self.action_space.start]
        observation, info = self.look(memory_reset=self.steps % 3 == 0)
        return observation, 0.5 + action, self.steps == 9, False, info


def trials_of_days(where=("observation", "info"), start=0):
    return Trial(Days(where, start), episodes_per_trial=2)


@case
@pytest.mark.parametrize("mode", [AutoresetMode.SAME_STEP, AutoresetMode.DISABLED], ids=lambda mode: mode.name)
def test_forms_are_equal_where_days_end_and_actions_are_masked(name, arguments, mode):
    below = SyncVectorEnv([trials_of_days] * 3, autoreset_mode=mode)
    seeds = [{"seed": arguments["seed"] + row} if "seed" in arguments else {} for row in range(3)]
    singles = [wrapper(name)(trials_of_days(), **{**arguments, **seed}) for seed in seeds]
    assert_forms_equal(wrapper(f"Vector{name}")(below, **arguments), singles, mode, steps=40)


@mode
@pytest.mark.parametrize("name", ["PreviousStep", "ContextStream", "PermuteActions"])
def test_a_vector_trial_passes_on_the_end_of_a_day(name, mode):
    arguments = {"seed": 4} if name == "PermuteActions" else {}
    days = SyncVectorEnv([Days] * 3, autoreset_mode=AutoresetMode.DISABLED)
    envs = wrapper(f"Vector{name}")(VectorTrial(days, 2, autoreset_mode=mode), **arguments)
    seeds = [{"seed": 4 + row} if arguments else {} for row in range(3)]
    singles = [wrapper(name)(trials_of_days(), **seed) for seed in seeds]
    assert_forms_equal(envs, singles, mode, steps=40)


MEMORIES = [c for c in CASES if c[0] in ("Context", "ContextStream", "Notebook", "PreviousStep")]


@pytest.mark.parametrize("trials", [True, False], ids=["in trials", "alone"])
@pytest.mark.parametrize(("name", "arguments"), MEMORIES, ids=lambda value: str(value))
def test_nothing_of_a_day_is_shown_on_the_next(name, arguments, trials):
    """Whatever was done before dawn, the day after it is shown alike; an episode that ends within a trial takes nothing."""

    def days(offset):
        env = wrapper(name)(trials_of_days() if trials else Days(), **arguments)
        shown = [env.reset(seed=0)[0]]
        for step in range(18 if trials else 9):
            other = offset * (step % 9 < 3)
            action = (step + other) % 4
            observation, *_, info = env.step([action, 1 + other, 1] if name == "Notebook" else action)
            shown.append(observation)
        if trials:
            assert_same(observation, info["trial"]["final_obs"])
        return shown

    lives = zip(days(0), days(1), strict=True)
    differ = [step for step, (one, other) in enumerate(lives) if not data_equivalence(one, other)]
    assert differ == ([1, 2, 10, 11] if trials else [1, 2])


def test_an_episode_that_ends_within_a_trial_is_remembered():
    """The reset of the next one tells of memory as every reset does; the day that ends with an episode is forgotten."""
    for steps, previous in ((9, 0.0), (8, 1.5)):
        env = PreviousStep(Trial(Ends(steps), episodes_per_trial=2))
        envs = VectorPreviousStep(VectorTrial(SyncVectorEnv([lambda n=steps: Ends(n)], autoreset_mode="Disabled"), 2))
        env.reset(seed=0)
        envs.reset(seed=0)
        for _ in range(steps):
            seen, *_, info = env.step(1)
            seen_by_row, *_ = envs.step(np.ones(1, int))
        assert info["trial"]["episode_start"]
        assert seen["previous_reward"] == seen_by_row["previous_reward"][0] == previous


class Ends(Days):
    """Days in episodes of another length."""

    def __init__(self, length):
        super().__init__()
        self.length = length

    def step(self, action):
        observation, reward, _, _, info = super().step(action)
        return observation, reward, self.steps == self.length, False, info


@pytest.mark.parametrize("start", [0, 5])
@pytest.mark.parametrize("where", [("observation",), ("info",), ("observation", "info")], ids=str)
def test_what_a_permuted_mask_allows_is_allowed_below(where, start):
    """Both ways, in every step of single and vector forms: what it does not allow is not allowed."""
    env = wrapper("PermuteActions")(trials_of_days(where, start), seed=1)
    rng, allowed = np.random.default_rng(0), []
    observation, info = env.reset(seed=0)
    for _ in range(150):
        masks = [told["action_mask"] for told in (observation, info) if "action_mask" in told]
        assert len(masks) == len(where)
        assert (masks[0] == masks[-1]).all()
        assert masks[0].dtype == np.int8
        number = rng.integers(4)
        observation, _, terminated, _, info = env.step(start + number)
        assert env.unwrapped.allowed == masks[0][number]
        allowed.append(masks[0][number])
        if terminated:
            observation, info = env.reset()
    assert 0.3 < np.mean(allowed) < 0.7


@mode
@pytest.mark.parametrize("where", [("observation",), ("info",)], ids=str)
def test_what_permuted_masks_allow_is_allowed_below_in_all_rows(where, mode):
    below = SyncVectorEnv([lambda: Days(where)] * 3, autoreset_mode=mode)
    envs = wrapper("VectorPermuteActions")(below, seed=1)
    rng, over = np.random.default_rng(0), np.zeros(3, bool)
    observations, info = envs.reset(seed=0)
    for _ in range(60):
        masks = (observations if where == ("observation",) else info)["action_mask"]
        assert masks.shape == (3, 4)
        actions = rng.integers(0, 4, 3)
        waiting = over & (mode is AutoresetMode.NEXT_STEP)
        observations, _, over, _, info = envs.step(actions)
        for row in np.flatnonzero(~waiting):
            assert below.envs[row].allowed == masks[row, actions[row]]
        if mode is AutoresetMode.DISABLED and over.any():
            fresh, told_now = envs.reset(options={"reset_mask": over.copy()})
            assert told_now.get("action_mask", np.zeros((3, 4)))[~over].sum() == 0, "the other rows tell nothing"
            observations = fresh
            if where == ("info",):
                info["action_mask"] = np.where(over[:, None], told_now["action_mask"], info["action_mask"])


def test_a_mask_of_another_form_is_refused():
    class Wrong(Days):
        def __init__(self, where):
            super().__init__(where)
            parts = {**self.observation_space.spaces, "action_mask": gym.spaces.Box(0, 1, (5,), np.int8)}
            self.observation_space = gym.spaces.Dict(parts) if where == ("observation",) else self.observation_space

        def look(self, memory_reset):
            observation, info = super().look(memory_reset)
            return observation, {**info, "action_mask": np.ones(5, np.int8)}

    with pytest.raises(ValueError, match=r"the observation's 'action_mask' is Box.*one number for each of the 4 actions"):
        wrapper("PermuteActions")(Wrong(("observation",)))
    for form, env in (("", Wrong(("info",))), ("Vector", SyncVectorEnv([lambda: Wrong(("info",))] * 2))):
        permuted = wrapper(f"{form}PermuteActions")(env)
        with pytest.raises(ValueError, match=r"info\['action_mask'\] has the shape \(5,\).*each of the 4 actions"):
            permuted.reset()


def test_a_permuted_observation_keeps_the_mask():
    env, plain = wrapper("PermuteObservation")(Days(), seed=1), Days()
    one, other = env.reset(seed=0)[0], plain.reset(seed=0)[0]
    for _ in range(9):
        assert (one["action_mask"] == other["action_mask"]).all()
        assert (one["seen"] != other["seen"]).all()
        one, other = env.step(0)[0], plain.step(0)[0]
    assert env.observation_space["action_mask"] == plain.observation_space["action_mask"]
    with pytest.raises(ValueError, match="nothing to permute"):
        wrapper("PermuteObservation")(gym.wrappers.FilterObservation(Days(), ["action_mask"]))


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


# ------------------------------------------------------------------------------- Gymnasium's wrappers above and below ours
class Walk(gym.Env):
    """Walk up and down on 0..4, which terminates at 4 and is truncated after 3 steps."""

    def __init__(self, kind="box", actions=None):
        box = gym.spaces.Box(0, 4, (1, 2), np.float32)
        self.kind = kind
        self.observation_space = gym.spaces.Dict(left=gym.spaces.Discrete(4), place=box) if kind == "dict" else box
        self.action_space = actions or gym.spaces.Discrete(3)

    def look(self):
        place = np.array([[self.place, self.time]], np.float32)
        return {"left": 3 - self.time, "place": place} if self.kind == "dict" else place

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.place, self.time = int(self.np_random.integers(3)), 0
        return self.look(), {}

    def step(self, action):
        move = int(np.sign(action[0])) if isinstance(self.action_space, gym.spaces.Box) else int(action) - 1
        self.place, self.time = min(max(self.place + move, 0), 4), self.time + 1
        return self.look(), self.place + 0.25 * self.time, self.place == 4, self.time == 3, {}


def reverse(observation):
    if isinstance(observation, dict):
        return {key: reverse(part) for key, part in observation.items()}
    return 4 - observation


def normalize_all(envs):
    if envs.single_observation_space.shape is None:
        raise ValueError("as the single form says; the vector form of Gymnasium 1.4 fails in reset")
    return gv.NormalizeObservation(envs)


PUSH = gym.spaces.Box(-1, 1, (1,), np.float32)
#: Gymnasium's wrappers: what they change, their single and their vector form, and the Walk they need.
FOREIGN = {
    "FlattenObservation": ("observation", g.FlattenObservation, gv.FlattenObservation, {}),
    "RescaleObservation": (
        "observation",
        lambda env: g.RescaleObservation(env, np.float32(0), np.float32(1)),
        lambda envs: gv.RescaleObservation(envs, np.float32(0), np.float32(1)),
        {},
    ),
    "DtypeObservation": (
        "observation",
        lambda env: g.DtypeObservation(env, np.float16),
        lambda envs: gv.DtypeObservation(envs, np.float16),
        {},
    ),
    "ReshapeObservation": (
        "observation",
        lambda env: g.ReshapeObservation(env, (2, 1)),
        lambda envs: gv.ReshapeObservation(envs, (2, 1)),
        {},
    ),
    "TransformObservation": (
        "observation",
        lambda env: g.TransformObservation(env, reverse, None),
        lambda envs: gv.TransformObservation(envs, reverse),
        {},
    ),
    "FilterObservation": (
        "observation",
        lambda env: g.FilterObservation(env, ["place"]),
        lambda envs: gv.FilterObservation(envs, ["place"]),
        {"kind": "dict"},
    ),
    "NormalizeObservation": ("observation", g.NormalizeObservation, normalize_all, {}),
    "DiscretizeObservation": ("observation", lambda env: g.DiscretizeObservation(env, 5), None, {}),
    "TimeAwareObservation": ("observation", lambda env: g.TimeAwareObservation(g.TimeLimit(env, 50)), None, {}),
    "FrameStackObservation": ("observation", lambda env: g.FrameStackObservation(env, 2), None, {}),
    "DelayObservation": ("observation", lambda env: g.DelayObservation(env, 1), None, {}),
    "MaxAndSkipObservation": ("steps", lambda env: g.MaxAndSkipObservation(env, 2), None, {}),
    **({"RepeatAction": ("steps", lambda env: g.RepeatAction(env, 2), None, {})} if hasattr(g, "RepeatAction") else {}),
    "TransformReward": (
        "reward",
        lambda env: g.TransformReward(env, lambda reward: -2 * reward),
        lambda envs: gv.TransformReward(envs, lambda rewards: -2 * rewards),
        {},
    ),
    "ClipReward": ("reward", lambda env: g.ClipReward(env, 0, 2), lambda envs: gv.ClipReward(envs, 0, 2), {}),
    "NormalizeReward": ("reward", g.NormalizeReward, gv.NormalizeReward, {}),
    "ClipAction": ("action", g.ClipAction, gv.ClipAction, {"actions": PUSH}),
    "RescaleAction": (
        "action",
        lambda env: g.RescaleAction(env, np.float32(0), np.float32(1)),
        lambda envs: gv.RescaleAction(envs, np.float32(0), np.float32(1)),
        {"actions": PUSH},
    ),
    "TransformAction": (
        "action",
        lambda env: g.TransformAction(env, lambda action: 2 - action, None),
        lambda envs: gv.TransformAction(envs, lambda actions: 2 - actions),
        {},
    ),
    "StickyAction": ("action", lambda env: g.StickyAction(env, 0.5), None, {}),
    "TimeLimit": ("end", lambda env: g.TimeLimit(env, 2), None, {}),
    "Autoreset": ("end", g.Autoreset, None, {}),
    "RecordEpisodeStatistics": ("nothing", g.RecordEpisodeStatistics, gv.RecordEpisodeStatistics, {}),
    "OrderEnforcing": ("nothing", g.OrderEnforcing, None, {}),
    "PassiveEnvChecker": ("nothing", g.PassiveEnvChecker, None, {}),
}
foreign = pytest.mark.parametrize("foreign", FOREIGN)
lowered_precision = pytest.mark.filterwarnings("ignore:.*precision lowered by casting to float16:UserWarning")
READERS = ("Context", "ContextStream", "HideBoundaries", "Notebook", "PermuteObservation", "PreviousStep")
few_or_all = pytest.mark.parametrize("few_or_all", ["few", pytest.param("all", marks=pytest.mark.slow)])
#: Joint statistics of all rows: the vector form is another thing than many single ones.
JOINT = ("NormalizeObservation", "NormalizeReward")


def suitable(few_or_all, actions):
    """Our wrappers that take these actions: one for each hook of `Rows` and each kind of view, or all."""
    few = [
        ("Context", {"length": 3}),
        ("HideBoundaries", {}),
        ("PermuteActions", {"seed": 4}),
        ("PermuteActions", {"seed": 4, "after_episodes": 1, "after_steps": 3}),
        ("PreviousStep", {"flat": True}),
        ("ReflectReward", {"low": -1e6, "high": 1e6}),
    ]
    ours = [*few, SWAP] if few_or_all == "few" else [case for case in CASES if case[1] != {"length": 30}]
    return [case for case in ours if actions is None or case[0] not in ("Notebook", "PermuteActions")]


class Tap(gym.Wrapper):
    """Writes down what passes, and changes nothing: a wrapper that is not ours, and that nobody knows."""

    def __init__(self, env):
        super().__init__(env)
        self.log = []

    def reset(self, *, seed=None, options=None):
        observation, info = self.env.reset(seed=seed, options=options)
        self.log.append(copy.deepcopy((None, observation, 0.0, False, False, info["trial"])))
        return observation, info

    def step(self, action):
        observation, reward, terminated, truncated, info = self.env.step(action)
        self.log.append(copy.deepcopy((action, observation, reward, terminated, truncated, info["trial"])))
        return observation, reward, terminated, truncated, info


def typed(space, observation):
    """The same numbers in the dtypes of a space."""
    if isinstance(space, gym.spaces.Dict):
        return {key: typed(part, observation[key]) for key, part in space.spaces.items()}
    return np.asarray(observation, space.dtype)


class Scripted(gym.Env):
    """Gives out what is written in a list, whatever it is told to do."""

    def __init__(self, calls, observation_space, action_space):
        self.observation_space, self.action_space = observation_space, action_space
        self.calls = iter([(typed(observation_space, observation), *rest) for observation, *rest in calls])

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return next(self.calls)[0], {}

    def step(self, action):
        return *next(self.calls), {}


def lived(env, calls=24, seed=3):
    """What an agent is given that acts at random: (observation, reward, terminated, truncated, info) of each call."""
    env.action_space.seed(seed)
    observation, info = env.reset(seed=seed)
    given = [(observation, 0.0, False, False, info)]
    for _ in range(calls):
        given.append(env.step(env.action_space.sample()))
        if given[-1][2] or given[-1][3]:
            observation, info = env.reset()
            given.append((observation, 0.0, False, False, info))
    return copy.deepcopy(given)


class Model:
    """What each wrapper of ours must show, worked out by hand from what passed below it."""

    def __init__(self, name, arguments, observation_space, action_space):
        self.name, self.arguments, self.actions = name, arguments, action_space
        self.space, self.dict = observation_space, isinstance(observation_space, gym.spaces.Dict)
        self.trial = 0

    def code(self, action):
        code = np.ravel(gym.spaces.flatten(self.actions, action))
        return np.append(code, 1) if isinstance(self.actions, gym.spaces.Box) else code

    def named(self, observation):
        return dict(observation) if self.dict else {"observation": observation}

    def shown(self, log, chosen):
        """(observation, reward, terminated, truncated, final_obs) of each call; `chosen`: the agent's own actions."""
        for (_, observation, reward, terminated, truncated, trial), action in zip(log, chosen, strict=True):
            flags = trial["inner_terminated"], trial["inner_truncated"]
            ended = flags if any(flags) else (terminated, truncated)
            if self.name == "HideBoundaries":
                flags = False, False
            if action is not None:
                reward = self.step(action, reward, ended)
            final = self.observe(trial["final_obs"], 0) if any(flags) else None
            if action is None or trial["trial_start"] or (self.name == "ForgetEachEpisode" and trial["episode_start"]):
                self.start()
            start = trial["trial_start" if self.name == "HideBoundaries" else "episode_start"]
            yield self.observe(observation, int(start)), reward, terminated, truncated, final
            self.before = observation

    def start(self):
        self.trial += 1
        self.transitions, self.pages = [], [0] * self.arguments.get("capacity", 0)
        self.newest, self.clear, self.stored = None, 1, self.of_lives(self.trial)

    def of_lives(self, trial):
        """One life after the other, drawn anew in each trial."""
        key, lives = mix(np.array([self.arguments["seed"]], np.uint64), trial), self.arguments["lives"]
        for number in itertools.count():
            yield from lives[int(below(mix(key, number), len(lives))[0])]

    def step(self, action, reward, ended):
        shown = {"NegateReward": -reward, "ReflectReward": -reward, "HideReward": 0.0}.get(self.name, reward)
        if self.name == "SwapReward":
            shown = next(self.stored)
        if self.name == "Notebook":
            action, page, symbol = action
            self.pages = [symbol if page == place + 1 else old for place, old in enumerate(self.pages)]
        self.newest = self.before, self.code(action), reward, *map(int, ended)
        self.transitions.append(self.newest)
        self.clear = 0
        return shown

    def observe(self, observation, start):
        seen = self.named(observation)
        null = self.named(gym.vector.utils.create_empty_array(self.space, 1, np.zeros))
        null = {key: part[0] for key, part in null.items()}, 0 * self.code(self.actions.sample()), 0.0, 0, 0
        before, code, reward, terminated, truncated = self.newest or null
        if self.name == "PreviousStep" and self.arguments.get("flat"):
            parts = [np.ravel(gym.spaces.flatten(self.space, observation)), code, [reward, terminated, start]]
            return np.concatenate(parts).astype(np.float32)
        if self.name == "PreviousStep":
            return seen | {
                "previous_action": code,
                "previous_reward": [np.float32(reward)],
                "previous_terminated": [terminated],
                "episode_start": [start],
            }
        if self.name == "ContextStream":
            newest = {f"context_{key}": part for key, part in (self.named(before) if self.newest else before).items()}
            flags = {
                "terminated": terminated,
                "truncated": truncated,
                "mask": int(self.newest is not None),
                "clear": self.clear,
            }
            told = {"context_action": code, "context_reward": [np.float32(reward)]}
            return seen | newest | told | {f"context_{flag}": [value] for flag, value in flags.items()}
        if self.name == "Context":
            last = self.transitions[-self.arguments["length"] :]
            rows = [null] * (self.arguments["length"] - len(last)) + [(self.named(o), *rest) for o, *rest in last]
            window = {f"context_{key}": np.array([row[0][key] for row in rows]) for key in seen}
            mask = [0] * (self.arguments["length"] - len(last)) + [1] * len(last)
            names = ("action", "reward", "terminated", "truncated")
            told = {f"context_{name}": np.array([row[i + 1] for row in rows]) for i, name in enumerate(names)}
            return seen | window | told | {"context_reward": told["context_reward"].astype(np.float32), "context_mask": mask}
        if self.name == "Notebook":
            return seen | {"notebook": self.pages}
        if self.name == "PermuteObservation":
            key = mix(np.array([self.arguments["seed"]], np.uint64), self.trial)
            parts = self.space.spaces if self.dict else {"observation": self.space}
            sizes = {
                key: int(part.n) if isinstance(part, gym.spaces.Discrete) else int(np.prod(part.shape))
                for key, part in parts.items()
            }
            for number, name in enumerate(name for name in parts if sizes[name] > 1):
                order = cycles(mix(key, number), sizes[name])[0]
                part = seen[name]
                seen[name] = (
                    order[part] if isinstance(parts[name], gym.spaces.Discrete) else np.ravel(part)[order].reshape(part.shape)
                )
            return seen if self.dict else seen["observation"]
        return observation


def assert_alike(one, other, where):
    """Equal values, whatever their dtypes."""
    one, other = leaves(one), leaves(other)
    assert [path for path, _ in one] == [path for path, _ in other], where
    for (path, left), (_, right) in zip(one, other, strict=True):
        assert np.array_equal(left, right, equal_nan=True), (where, path, left, right)


def by_hand(env, actions, seed, episodes):
    """The first trial by plain Gymnasium: an observation for each call of a Trial, and each episode's true last one."""
    shown, finals = [copy.deepcopy(env.reset(seed=seed)[0])], [None]
    for action in actions:
        observation, _, terminated, truncated, _ = env.step(action)
        over = terminated or truncated
        finals.append(copy.deepcopy(observation) if over else None)
        episodes -= over
        shown.append(copy.deepcopy(env.reset(seed=seed)[0] if over and episodes else observation))
        if not episodes:
            return shown, finals
    raise AssertionError("the trial should be over")


@pytest.mark.parametrize("place", ["below the trials", "between", "on top"])
@foreign
@few_or_all
@lowered_precision
def test_a_wrapper_of_gymnasium_works_or_is_refused(foreign, place, few_or_all):
    """At any place in the stack, by values: what is seen is what the model says of what passed below."""
    changes, wrap, _, walk = FOREIGN[foreign]
    worked = []
    for name, arguments in suitable(few_or_all, walk.get("actions")):
        ours = wrapper(name)
        if place == "between" and (changes == "steps" or (changes == "observation" and name in READERS)):
            with pytest.raises(
                ValueError, match=rf"{foreign} .*{name} above it .*below the trials, {name}\(Trial\({foreign}\(env\)"
            ):
                ours(wrap(Trial(Walk(**walk), 2)), **arguments)
            continue
        source = Trial(wrap(Walk(**walk)), 2) if place == "below the trials" else Trial(Walk(**walk), 2)
        tap = Tap(wrap(source) if place == "between" else source)
        env = middle = ours(tap, **arguments)
        if place == "on top":
            try:
                env = wrap(middle)
            except (AttributeError, TypeError, ValueError):
                continue  # Gymnasium's wrapper refuses the spaces that ours has
        chosen = Chosen(middle)
        given = lived(env)
        model = Model(name, arguments, tap.observation_space, tap.action_space)
        shown = list(model.shown(tap.log, chosen.actions))
        where = f"{foreign} {place}, {name}"
        if place == "on top":
            check = lived(wrap(Scripted([call[:4] for call in shown], middle.observation_space, middle.action_space)))
            for one, other in zip(given, check, strict=True):
                assert_alike(one[0], other[0], where)
                assert tuple(one[1:4]) == tuple(other[1:4]), where
            worked.append(name)
            continue
        assert len(given) == len(shown)
        for (observation, *rest, info), (*expected, final) in zip(given, shown, strict=True):
            assert env.observation_space.contains(observation), (where, observation)
            assert_alike(observation, expected[0], where)
            assert rest == expected[1:], where
            if name in READERS and final is not None:
                assert env.observation_space.contains(info["trial"]["final_obs"])
                assert_alike(info["trial"]["final_obs"], final, f"{where} final_obs")
            elif name in READERS:
                assert not any(leaf.any() for _, leaf in leaves(info["trial"]["final_obs"])), where
        if place == "below the trials":
            taken = [action for action, *_ in tap.log if action is not None]
            for (_, observation, *_, trial), one, last in zip(tap.log, *by_hand(wrap(Walk(**walk)), taken, 3, 2), strict=False):
                assert_alike(observation, one, where)
                if last is not None:
                    assert_alike(trial["final_obs"], last, where)
        worked.append(name)
    assert worked or place == "between"


class Chosen:
    """Writes down the actions that an environment is given, a None for each reset."""

    def __init__(self, env):
        self.actions, step, reset = [], env.step, env.reset
        env.step = lambda action: (self.actions.append(action), step(action))[1]
        env.reset = lambda **kwargs: (self.actions.append(None), reset(**kwargs))[1]


@pytest.mark.parametrize("place", ["below the trials", "between", "on top", "in sub-environments"])
@pytest.mark.parametrize("foreign", [name for name, (_, _, vector, _) in FOREIGN.items() if vector is not None])
@mode
@few_or_all
@lowered_precision
def test_a_vector_wrapper_of_gymnasium_works_or_is_refused(foreign, place, mode, few_or_all):
    """Row i is what the single form, which was compared with a model, gives when it is seeded s + i."""
    changes, wrap, wrap_all, walk = FOREIGN[foreign]

    def trials(env):
        return VectorTrial(env, 2, autoreset_mode=mode)

    for name, arguments in suitable(few_or_all, walk.get("actions")):
        ours, ours_alone = wrapper(f"Vector{name}"), wrapper(name)
        walks = SyncVectorEnv([lambda: Walk(**walk)] * 2, autoreset_mode=AutoresetMode.DISABLED)
        if place == "below the trials":
            below = unless_refused(wrap_all, walks, then=trials)
        elif place == "in sub-environments":
            below = SyncVectorEnv([lambda: wrap(Trial(Walk(**walk), 2))] * 2, autoreset_mode=mode)
        else:
            below = unless_refused(wrap_all, trials(walks)) if place == "between" else trials(walks)
        if below is None:
            continue
        if place in ("between", "in sub-environments") and changes == "observation" and name in READERS:
            with pytest.raises(ValueError, match=rf"{foreign} changes observations.*below the trials, Vector{name}\(Vec"):
                ours(below, **arguments)
            continue
        envs = ours(below, **arguments)
        if place == "on top":
            envs = unless_refused(wrap_all, envs)
        if envs is None:
            continue
        if foreign in JOINT:
            assert_in_spaces(envs, mode)
        elif (place, mode) != ("in sub-environments", AutoresetMode.NEXT_STEP):  # there nobody says that actions are ignored
            singles = []
            for row in range(2):
                mine = {**arguments, "seed": arguments["seed"] + row} if "seed" in arguments else arguments
                under = Trial(wrap(Walk(**walk)) if place == "below the trials" else Walk(**walk), 2)
                single = ours_alone(wrap(under) if place in ("between", "in sub-environments") else under, **mine)
                singles.append(wrap(single) if place == "on top" else single)
            assert_forms_equal(envs, singles, mode, steps=16, ends=3)


def unless_refused(wrap, env, then=lambda env: env):
    """The environment in a wrapper of Gymnasium; None where that refuses its mode or its spaces."""
    try:
        wrapped = wrap(env)
    except (AttributeError, TypeError, ValueError):
        return None
    return then(wrapped)


def assert_in_spaces(envs, mode):
    envs.action_space.seed(0)
    observations, _ = envs.reset(seed=0)
    for _ in range(16):
        assert envs.observation_space.contains(observations)
        observations, _, terminated, truncated, info = envs.step(envs.action_space.sample())
        for final in info.get("final_obs", ()):
            assert final is None or envs.single_observation_space.contains(final)
        if mode is AutoresetMode.DISABLED and (terminated | truncated).any():
            observations, _ = envs.reset(options={"reset_mask": terminated | truncated})


@mode
def test_environments_of_ours_are_rescaled_below_trials(mode):
    """The way out that the error names: trials made by a wrapper, not by the environment, are the same trials, rescaled."""

    def rescale(env):
        return g.RescaleObservation(g.DtypeObservation(env, np.float32), np.float32(0), np.float32(1))

    raw = PreviousStep(room(), flat=True)
    env = PreviousStep(Trial(rescale(room(episodes_per_trial=1)), EPISODES, keep_task="new_trial"), flat=True)
    with pytest.raises(
        ValueError, match=r"RescaleObservation changes observations.*under Trial\(\.\.\., keep_task='new_trial'\)"
    ):
        PreviousStep(rescale(room())).reset()
    scale = np.where(np.arange(raw.observation_space.shape[0]) < 2, 0.5, 1)  # two cells at most from the corner of a 3x3 room
    for one, other in zip(lived(env), lived(raw), strict=True):
        assert_alike(one[0], (other[0] * scale).astype(np.float32), "observation")
        assert one[1:4] == other[1:4]
        assert_alike(one[4]["trial"]["final_obs"], (other[4]["trial"]["final_obs"] * scale).astype(np.float32), "final_obs")
    below = gv.DtypeObservation(rooms(AutoresetMode.DISABLED, episodes_per_trial=1), np.float32)
    below = gv.RescaleObservation(below, np.float32(0), np.float32(1))
    trials = VectorTrial(below, EPISODES, keep_task="new_trial", autoreset_mode=mode)
    singles = [
        PreviousStep(Trial(rescale(room(episodes_per_trial=1)), EPISODES, keep_task="new_trial"), flat=True)
        for _ in range(ROWS)
    ]
    assert_forms_equal(VectorPreviousStep(trials, flat=True), singles, mode, steps=30, ends=3)


class Secret(gym.Wrapper):
    """Changes observations, and nothing about it says so."""

    def reset(self, **kwargs):
        observation, info = self.env.reset(**kwargs)
        return reverse(observation), info

    def step(self, action):
        observation, *rest = self.env.step(action)
        return reverse(observation), *rest


class Grown(Secret):
    """The same, and says in an attribute of its own that there is more."""

    def reset(self, **kwargs):
        observation, info = super().reset(**kwargs)
        return np.append(observation, 0), info


@pytest.mark.parametrize("name", READERS[:2] + READERS[3:])
@pytest.mark.parametrize("hides", ["single", *AutoresetMode], ids=str)
def test_an_unknown_wrapper_that_changes_observations_is_found_at_the_end_of_a_trial(name, hides):
    """At the latest: where the last observation is not final_obs. One of another shape is found at once."""
    arguments = next(arguments for case, arguments in CASES if case == name)

    def make(secret):
        if hides == "single":
            return wrapper(name)(secret(Trial(Walk(), 2)), **arguments)
        walks = SyncVectorEnv([lambda: Opaque(secret(Trial(Walk(), 2)))] * 2, autoreset_mode=hides)
        return wrapper(f"Vector{name}")(walks, **arguments)

    env = make(Secret)
    env.action_space.seed(0)
    env.reset(seed=0)
    why = rf"final_obs'\] is not the last observation of the trial.*below the trials, (Vector)?{name}"
    with pytest.raises(ValueError, match=why):
        walk_on(env)
    if hides == "single":
        with pytest.raises(ValueError, match=r"final_obs'\] has another form than observations"):
            make(Grown).reset(seed=0)


def walk_on(env, steps=7):
    for _ in range(steps):
        env.step(env.action_space.sample())


class Opaque(gym.Env):
    """What it holds cannot be seen from outside, as in another process."""

    def __init__(self, env):
        self.held = env
        self.observation_space, self.action_space = env.observation_space, env.action_space

    def reset(self, *, seed=None, options=None):
        return self.held.reset(seed=seed, options=options)

    def step(self, action):
        return self.held.step(action)


@pytest.mark.slow
def test_wrappers_in_other_processes_are_found_at_the_end_of_a_trial():
    envs = gym.vector.AsyncVectorEnv([lambda: g.TransformObservation(Trial(Walk(), 2), reverse, None)] * 2)
    try:
        envs = VectorPreviousStep(envs)
        envs.reset(seed=0)
        with pytest.raises(ValueError, match=r"is not the last observation of the trial"):
            walk_on(envs)
    finally:
        envs.close()


def test_infos_as_lists_are_refused():
    listed = gv.DictInfoToList(rooms(AutoresetMode.DISABLED))
    for name, arguments in [*CASES, ("Trial", {"episodes_per_trial": 2}), ("SeedTasks", {})]:
        with pytest.raises(ValueError, match=r"put DictInfoToList on top"):
            wrapper(f"Vector{name}")(listed, **arguments)
    on_top = gv.DictInfoToList(VectorPreviousStep(rooms(AutoresetMode.NEXT_STEP)))
    assert [row["trial"]["trial_start"] for row in on_top.reset(seed=0)[1]] == [True] * ROWS


class Leaves(gym.Wrapper):
    """Tells of trials, but not all of it."""

    def __init__(self, env, key):
        super().__init__(env)
        self.key = key

    def reset(self, **kwargs):
        observation, info = self.env.reset(**kwargs)
        return observation, {**info, "trial": {key: value for key, value in info["trial"].items() if key != self.key}}


@pytest.mark.parametrize("key", ["trial_start", "episode_start", "inner_terminated", "inner_truncated", "final_obs"])
@case
def test_what_is_missing_in_the_tale_of_trials_is_named(name, arguments, key):
    env = wrapper(name)(Leaves(room(), key), **arguments)
    envs = wrapper(f"Vector{name}")(SyncVectorEnv([lambda: Leaves(room(), key)]), **arguments)
    for form in (env, envs):
        if key == "final_obs" and name not in READERS:
            form.reset(seed=0)
            continue
        with pytest.raises(ValueError, match=rf"lacks '{key}'; (Vector)?{name} needs 'trial_start'"):
            form.reset(seed=0)


# ------------------------------------------------------------------------------------------------- arguments
NUMPY = {int: np.int64, float: np.float64, bool: np.bool_, str: np.str_, list: np.array}


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        *(c for c in CASES if c is not SWAP),
        EQUAL,
        *TRIALS,
        ("SeedTasks", {"split": "train", "num_tasks": 5, "fresh_noise": False, "ground_truth": True}),
    ],
    ids=lambda value: str(value),
)
def test_numbers_of_numpy_are_taken_and_recorded_as_pythons(name, arguments):
    given = {key: NUMPY[type(value)](value) for key, value in arguments.items()}
    env = wrapper(name)(room(episodes_per_trial=1), **given)
    assert env._saved_kwargs == {**env._saved_kwargs, **arguments}
    assert all(type(env._saved_kwargs[key]) is type(value) for key, value in arguments.items())
    assert gym.make(EnvSpec.from_json(env.spec.to_json())).spec == env.spec
    envs = wrapper(f"Vector{name}")(rooms(AutoresetMode.DISABLED, episodes_per_trial=1), **given)
    assert json.loads(json.dumps(envs._saved_kwargs)) == {**envs._saved_kwargs, **arguments}


@pytest.mark.parametrize(
    ("name", "argument", "wrong", "small"),
    [
        ("Context", "length", [2.0, "3", True, None, np.float32(1), np.array(2)], [0, -1]),
        ("Notebook", "capacity", [2.0, True], [0]),
        ("Notebook", "symbols", [2.0, True], [1]),
        ("PermuteActions", "seed", [2.0, True, "1", None], [-1, 2**64]),
        ("PermuteObservation", "seed", [2.0, True], [-1, 2**64]),
        ("SwapReward", "seed", [2.0, True], [-1, 2**64]),
        ("Trial", "episodes_per_trial", [2.0, True], [0]),
        ("Trial", "keep_task", [3], ["luck"]),
        ("SeedTasks", "num_tasks", [2.0, True], [0]),
        ("SeedTasks", "make_task", [3], ["nowhere"]),
        ("SeedTasks", "fresh_noise", [1, "yes"], []),
        ("SeedTasks", "ground_truth", [1, None], []),
        ("PreviousStep", "flat", [1, "yes"], []),
    ],
)
def test_a_wrong_type_is_a_type_error_and_a_wrong_value_a_value_error(name, argument, wrong, small):
    fine = {"Notebook": {"capacity": 2, "symbols": 2}, "Trial": {"episodes_per_trial": 2}, "SwapReward": EQUAL[1]}.get(name, {})
    for form, env in ((name, room()), (f"Vector{name}", rooms(AutoresetMode.DISABLED))):
        for values, error in ((wrong, TypeError), (small, ValueError)):
            for value in values:
                with pytest.raises(error, match=rf"^{argument}={re.escape(repr(value))} must be"):
                    wrapper(form)(env, **{**fine, argument: value})


@case_or_trial
def test_a_form_refuses_what_the_other_takes(name, arguments):
    with pytest.raises(TypeError, match=r"Expected env to be a `gymnasium.Env` but got .*VectorEnv"):
        wrapper(name)(rooms(AutoresetMode.DISABLED), **arguments)
    with pytest.raises(TypeError, match=r"Expected env to be a `gymnasium.vector.VectorEnv` but got"):
        wrapper(f"Vector{name}")(room(), **arguments)


@pytest.mark.parametrize("name", ["Trial", "SeedTasks"])
def test_seeds_of_resets_are_checked_where_they_are_split_into_streams(name):
    arguments = {"episodes_per_trial": 2} if name == "Trial" else {"fresh_noise": False}
    env = wrapper(name)(room(episodes_per_trial=1), **arguments)
    envs = wrapper(f"Vector{name}")(rooms(AutoresetMode.DISABLED, episodes_per_trial=1), **arguments)
    for seed in (3, np.int64(3), np.uint8(3)):
        assert_same(env.reset(seed=seed)[0], env.reset(seed=3)[0])
        assert_same(envs.reset(seed=seed)[0], envs.reset(seed=3)[0])
        assert_same(envs.reset(seed=[seed] * ROWS)[0], envs.reset(seed=[3] * ROWS)[0])
    for seed, error in ((-1, ValueError), (2**64, ValueError), (1.5, TypeError), (True, TypeError), ("3", TypeError)):
        with pytest.raises(error, match=r"^seed="):
            env.reset(seed=seed)
        with pytest.raises(error, match=r"^seed(\[0\])?="):
            envs.reset(seed=[seed] * ROWS)
        if seed != "3":
            with pytest.raises(error, match=r"^seed="):
                envs.reset(seed=seed)
    with pytest.raises(TypeError, match=r"^seed=\[3\] must be an integer"):
        env.reset(seed=[3])
