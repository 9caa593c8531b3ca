"""The checks of `metarl_envs.testing` find what they are for: each broken family fails the check it was broken for."""

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.spaces import Box, Discrete

import metarl_envs
from metarl_envs import testing
from metarl_envs.catalogue import read_page
from metarl_envs.engine import Family, Returns, kernel
from metarl_envs.families.grids.dark_room import DarkRoom


@kernel
def see_goal(params, task, state, obs):
    obs[0] = state.agent[0]
    obs[1] = task.goal[1]


@kernel
def see_half(params, task, state, obs):
    obs[0] = state.agent[0]
    obs[1] = 1


@kernel
def see_beyond(params, task, state, obs):
    obs[0] = state.agent[0] + 7
    obs[1] = state.agent[1]


@kernel
def pay_always(params, task, state, action, rng):
    state.agent[0] = min(8, state.agent[0] + action)
    return 1.0, False


@kernel
def pay_nothing_finite(params, task, state, action, rng):
    return np.nan, False


@kernel
def pay_a_tenth(params, task, state, action, rng):
    state.agent[0] = min(8, state.agent[0] + (action == 2))
    return 0.1 * (state.agent[0] == task.goal[0]), False


@kernel
def number_too_far(params, obs):
    return obs[0] * 12 + obs[1]


class Leaks(DarkRoom):
    observe = see_goal


class HalfBlind(DarkRoom):
    observe = see_half


class Beyond(DarkRoom):
    observe = see_beyond


class Indifferent(DarkRoom):
    step = pay_always


class NotFinite(DarkRoom):
    step = pay_nothing_finite


class Boasts(DarkRoom):
    @staticmethod
    def returns(p, task):
        return Returns(1.2 * DarkRoom.returns(p, task).random, 20.0)


class Humble(DarkRoom):
    @staticmethod
    def returns(p, task):
        return Returns(1.0, 0.5)


class TellsTheTask(DarkRoom):
    @staticmethod
    def describe(p, state, task):
        return "the goal is somewhere"


class Silent(DarkRoom):
    pass


class NotZeroOrOne(DarkRoom):
    step = pay_a_tenth
    binary_reward = True


class Forgetful(DarkRoom):
    @staticmethod
    def memoryless_best(p, task):
        return 17.0


class Careless(DarkRoom):
    @staticmethod
    def memoryless_best(p, task):
        return 0.24


class Misnumbered(DarkRoom):
    state_index = number_too_far


class Misnamed(DarkRoom):
    heuristics = ("sweeep",)


class PaysOtherwise(DarkRoom):
    """Dark Room that pays always, and does not say so."""

    step = pay_always


class Unpainted(DarkRoom):
    draw = Family.draw


class HidesItsParts(DarkRoom):
    """Dark Room that does not say which parts its tasks are in.

    Splits:
        train and test.
    """


class Smaller(DarkRoom):
    """Dark Room, smaller. What it does not say is as in Dark Room.

    Hidden:
        The goal cell, uniform over 25.
    """

    params = DarkRoom.params.with_defaults(size=5)


BROKEN = [
    (Leaks, testing.check_first_observation, "gives the task away"),
    (HalfBlind, testing.check_no_constant_observation, r"elements \[1\].*never change"),
    (Beyond, testing.check_spaces, "outside"),
    (Indifferent, testing.check_task_matters, "changes nothing"),
    (NotFinite, testing.check_spaces, "finite"),
    (Boasts, testing.check_returns, "random play earns"),
    (Humble, testing.check_returns, "more than the oracle"),
    (TellsTheTask, testing.check_pictures, "must depend on the task"),
    (Silent, testing.check_reference_page, "docstring of its own"),
    (PaysOtherwise, testing.check_reference_page, "binds another `step`, so its docstring must have .* Reward, References"),
    (NotZeroOrOne, testing.check_rewards, "paid 0.1, and binary_reward says"),
    (Forgetful, testing.check_memoryless, "memoryless_best is 17.0 on .*, and the oracle earns 1"),
    (Careless, testing.check_memoryless, "memoryless_best is 0.24000 in the mean over tasks, and random play earns 0.24691"),
]


@pytest.mark.slow
@pytest.mark.parametrize(("family", "check", "message"), BROKEN, ids=[family.__name__ for family, *_ in BROKEN])
def test_a_broken_family_is_found(family, check, message):
    id = f"Broken/{family.__name__}-v0"
    metarl_envs.register(id, f"{__name__}:{family.__name__}")
    with pytest.raises(AssertionError, match=message):
        check(id, {})


def test_a_heuristic_that_is_no_reference_is_found():
    metarl_envs.register("Broken/Misnamed-v0", f"{__name__}:Misnamed")
    with pytest.raises(AssertionError, match=r"heuristics of Misnamed names 'sweeep', which is none of its .*: sweep"):
        testing.check_heuristics("Broken/Misnamed-v0", {})


@pytest.mark.parametrize(
    ("family", "check", "message"),
    [
        (Unpainted, testing.check_gymnasium, r"Unpainted draws no picture, .* write its static method draw\("),
        (HidesItsParts, testing.check_reference_page, r"under Splits, .* of HidesItsParts does not name \['validation'\]"),
    ],
)
def test_what_the_guide_says_must_be_there_is_asked_for(family, check, message):
    id = f"Broken/{family.__name__}-v0"
    metarl_envs.register(id, f"{__name__}:{family.__name__}")
    with pytest.raises(AssertionError, match=message):
        check(id, {})


def test_a_variant_says_only_what_differs():
    metarl_envs.register("Whole/Smaller-v0", f"{__name__}:Smaller")
    testing.check_reference_page("Whole/Smaller-v0", {})
    page = read_page(Smaller)[1]
    assert page["Hidden"] == "The goal cell, uniform over 25."
    assert page["Reward"] == read_page(DarkRoom)[1]["Reward"]


def test_check_family_runs_every_check(monkeypatch):
    ran = []
    checks = tuple(lambda id, params, name=name: ran.append((name, id, params)) for name in ("one", "other"))
    monkeypatch.setattr(testing, "FAMILY_CHECKS", checks)
    testing.check_family("DarkRoom", size=3)
    assert ran == [("one", "MetaRL/DarkRoom-v0", {"size": 3}), ("other", "MetaRL/DarkRoom-v0", {"size": 3})]


# ------------------------------------------------------------------------------------------- vector environments
class Counter(gym.Env):
    """Counts its steps, and ends after three."""

    observation_space, action_space = Box(0, 3, (1,), np.int64), Discrete(2)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.t = 0
        return np.array([0]), {"t": 0}

    def step(self, action):
        self.t += 1
        return np.array([self.t]), 1.0, self.t == 3, False, {"t": self.t}


class Broken(gym.vector.SyncVectorEnv):
    """Counters in a row, with one thing done wrongly."""

    def __init__(self, wrong, num_envs, autoreset_mode):
        super().__init__([Counter] * num_envs, autoreset_mode=autoreset_mode, copy=wrong != "memory")
        self.wrong = wrong
        if wrong == "space":
            self.observation_space = Box(0, 3, (num_envs,), np.int64)
        if wrong == "mode":
            self.metadata = {**self.metadata, "autoreset_mode": autoreset_mode.value}

    def step(self, actions):
        obs, rewards, terminated, truncated, info = super().step(actions)
        if self.wrong == "rewards":
            rewards = rewards.astype(np.float32)
        if self.wrong == "value":
            rewards = rewards + 1e-9
        if self.wrong == "info":
            info = {**info, "t": info["t"].astype(float)} if "t" in info else info
        if self.wrong == "both":
            truncated = terminated.copy()
        return obs, rewards, terminated, truncated, info


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ("space", "observation_space"),
        ("mode", "autoreset_mode"),
        ("rewards", "rewards are float32"),
        ("both", "both terminated and truncated"),
        ("memory", "same memory"),
        ("info", "keys and dtypes must not change"),
        ("value", "its single environment gives"),
    ],
)
def test_a_broken_vector_environment_is_found(wrong, message):
    with pytest.raises(AssertionError, match=message):
        testing.check_vector_env(lambda **arguments: Broken(wrong, **arguments), single=Counter, steps=20)


def test_a_sound_vector_environment_passes():
    testing.check_vector_env(lambda **arguments: Broken("nothing", **arguments), single=Counter, steps=20)


def test_steps_too_few_for_a_trial_to_end_are_refused():
    with pytest.raises(AssertionError, match="no trial ended in 2 steps"):
        testing.check_vector_env(lambda **arguments: Broken("nothing", **arguments), single=Counter, steps=2)
