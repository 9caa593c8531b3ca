"""The controls: what is shown is changed, what is paid is told beside it, and nothing else differs."""

import copy

import gymnasium as gym
import numpy as np
import pytest
from gymnasium import spaces
from gymnasium.utils.env_checker import data_equivalence
from gymnasium.vector import AutoresetMode, SyncVectorEnv
from gymnasium.vector.utils import iterate
from hypothesis import given, settings
from hypothesis import strategies as st

import metarl_wrappers
from metarl_wrappers import (
    ForgetEachEpisode,
    HideBoundaries,
    HideReward,
    NegateReward,
    PermuteActions,
    PermuteObservation,
    SwapReward,
    VectorForgetEachEpisode,
    VectorHideReward,
    VectorNegateReward,
    VectorPermuteActions,
    VectorPermuteObservation,
    VectorSwapReward,
)
from metarl_wrappers.streams import below, cycles, mix

ROOM = "metarl_envs:MetaRL/DarkRoom-v0"
mode = pytest.mark.parametrize("mode", list(AutoresetMode), ids=lambda mode: mode.name)
VECTOR_REWARD = [VectorSwapReward, VectorNegateReward, VectorHideReward]


def room(**kwargs):
    return gym.make(ROOM, **{"size": 3, "horizon": 6, "episodes_per_trial": 3, **kwargs})


def rooms(mode, num_envs=4):
    return gym.make_vec(ROOM, num_envs=num_envs, size=3, horizon=6, episodes_per_trial=3, autoreset_mode=mode)


@pytest.mark.parametrize("control", VECTOR_REWARD)
@mode
def test_the_reward_paid_is_told_in_every_mode(control, mode):
    plain, envs = rooms(mode), control(rooms(mode))
    plain.action_space.seed(0)
    plain.reset(seed=0)
    _, info = envs.reset(seed=0)
    assert info["metarl_control"]["reward"].tolist() == [0.0] * 4
    total = 0.0
    for _ in range(60):
        actions = plain.action_space.sample()
        one, other = plain.step(actions), envs.step(actions)
        assert (one[0] == other[0]).all()
        assert (one[2:4][0] == other[2:4][0]).all()
        paid = other[4]["metarl_control"]["reward"]
        assert paid.dtype == np.float64
        assert (paid == one[1]).all()
        total += paid.sum()
        over = one[2] | one[3]
        if "final_info" in one[4]:
            assert (other[4]["final_info"]["metarl_control"]["reward"][over] == one[1][over]).all()
        if mode is AutoresetMode.DISABLED and over.any():
            plain.reset(options={"reset_mask": over})
            envs.reset(options={"reset_mask": over})
    assert total > 10


def test_negated_and_hidden():
    negated, hidden, plain = NegateReward(room()), HideReward(room()), room()
    for env in (negated, hidden, plain):
        env.reset(seed=1)
    rewards = np.array([[env.step(action)[1] for env in (plain, negated, hidden)] for action in [1, 2, 3, 4, 0] * 3])
    assert (rewards[:, 1] == -rewards[:, 0]).all()
    assert not rewards[:, 2].any()
    assert rewards[:, 0].any()


def test_of_stacked_controls_the_truth_is_what_was_paid():
    env, plain = HideReward(NegateReward(SwapReward(room(), [[1.0, 2.0]]))), room()
    env.reset(seed=1)
    plain.reset(seed=1)
    for action in [1, 2, 3, 4, 0] * 3:
        assert env.step(action)[4]["metarl_control"]["reward"] == plain.step(action)[1]


class Plain(gym.Env):
    """Has no trials, two actions, and nothing to see."""

    observation_space = spaces.Discrete(1)
    action_space = spaces.Discrete(2)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return 0, {}

    def step(self, action):
        return 0, 1.0, False, False, {}


# -------------------------------------------------------------------------------------------------------- permutations
@settings(deadline=None)
@given(st.integers(0, 2**64 - 1), st.integers(2, 40))
def test_a_cycle_moves_everything_and_comes_home_after_all(key, size):
    permutation = cycles(np.array([key], np.uint64), size)[0]
    place, seen = 0, []
    for _ in range(size):
        place = int(permutation[place])
        seen.append(place)
    assert sorted(seen) == list(range(size))
    assert place == 0


@given(st.lists(st.integers(0, 2**64 - 1), min_size=1, max_size=5), st.integers(0, 100), st.integers(1, 2**31 - 1))
def test_mixed_bits_are_a_function_of_their_key_and_stay_below_bounds(keys, number, bound):
    keys = np.array(keys, np.uint64)
    bits = mix(keys, number)
    assert (bits == [mix(keys[i : i + 1], number)[0] for i in range(len(keys))]).all()
    drawn = below(bits, bound)
    assert ((drawn >= 0) & (drawn < bound)).all()


def test_permuted_actions_do_what_the_hidden_cycle_says():
    env, plain = PermuteActions(room(horizon=1, episodes_per_trial=5), seed=3), room(horizon=1, episodes_per_trial=5)
    meanings = []
    for trial in range(4):
        for one in (env, plain):
            one.reset(seed=0 if trial == 0 else None)
        moves = [tuple(env.step(action)[4]["trial"]["final_obs"]) for action in range(5)]
        true = [tuple(plain.step(action)[4]["trial"]["final_obs"]) for action in range(5)]
        assert sorted(moves) == sorted(true)
        assert all(moved != kept for moved, kept in zip(moves, true, strict=True)), "no action keeps its meaning"
        meanings.append(tuple(true.index(move) for move in moves))
    assert len(set(meanings)) > 1


@mode
def test_permuted_observations_hold_the_same_numbers_in_one_order_for_a_trial(mode):
    class Wide(gym.Env):
        observation_space = spaces.Dict({"box": spaces.Box(0, 10, (2, 3), np.int64), "number": spaces.Discrete(6, start=2)})
        action_space = spaces.Discrete(1)

        def reset(self, *, seed=None, options=None):
            super().reset(seed=seed)
            self.steps = 0
            return self.look(), {}

        def step(self, action):
            self.steps += 1
            return self.look(), 0.0, self.steps == 4, False, {}

        def look(self):
            return {"box": np.arange(6).reshape(2, 3), "number": 2 + self.steps % 6}

    envs = VectorPermuteObservation(SyncVectorEnv([Wide] * 3, autoreset_mode=mode), seed=1)
    observations, info = envs.reset(seed=0)
    orders = set()
    for _ in range(20):
        assert envs.observation_space.contains(observations)
        for row in range(3):
            order = observations["box"][row].ravel()
            assert sorted(order) == list(range(6))
            assert (order != np.arange(6)).all()
            orders.add(tuple(order.tolist()))
        before = observations
        observations, _, terminated, _, info = envs.step(np.zeros(3, int))
        if mode is AutoresetMode.SAME_STEP and terminated.any():
            assert all((info["final_obs"][row]["box"] == before["box"][row]).all() for row in range(3))
            assert (observations["box"] != before["box"]).any()
        elif not terminated.any() and mode is AutoresetMode.SAME_STEP:
            assert (observations["box"] == before["box"]).all()
        if mode is AutoresetMode.DISABLED and terminated.any():
            observations, _ = envs.reset(options={"reset_mask": terminated})
    assert len(orders) > 3


def test_what_cannot_be_permuted_is_refused():
    with pytest.raises(ValueError, match=r"PermuteActions needs a Discrete action space of at least two"):
        PermuteActions(gym.make("Pendulum-v1"))
    with pytest.raises(ValueError, match=r"nothing to permute"):
        PermuteObservation(Plain())
    env = PermuteActions(Plain())
    env.reset()
    with pytest.raises(ValueError, match=r"action 2 is outside Discrete\(2\)"):
        env.step(2)
    envs = VectorPermuteActions(SyncVectorEnv([Plain] * 3))
    envs.reset()
    with pytest.raises(ValueError, match=r"must be 3 integers"):
        envs.step(np.zeros(2, int))


# --------------------------------------------------------------------------------------------------- what is passed on
class Passing(gym.Env):
    """Keeps the actions that it is given, and refuses those outside of its space, as CartPole does."""

    observation_space = spaces.Box(0, 1, (2,))

    def __init__(self, action_space):
        self.action_space = copy.deepcopy(action_space)
        self.given = []

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return np.zeros(2, np.float32), {}

    def step(self, action):
        assert self.action_space.contains(action), f"{action!r} invalid"
        self.given.append(action)
        return np.zeros(2, np.float32), 1.0, False, False, {}


@pytest.mark.parametrize("dtype", [np.int32, np.uint8, np.int8, np.int64])
@pytest.mark.parametrize("start", [0, 2])
@pytest.mark.parametrize("name", ["PermuteActions", "Notebook"])
def test_actions_are_passed_on_in_the_dtype_of_their_space(name, start, dtype):
    space = spaces.Discrete(3, start=start, dtype=dtype)
    arguments = {"capacity": 2, "symbols": 2} if name == "Notebook" else {}
    env = getattr(metarl_wrappers, name)(Passing(space), **arguments)
    below = SyncVectorEnv([lambda: Passing(space)] * 3)
    envs = getattr(metarl_wrappers, f"Vector{name}")(below, **arguments)
    for form in (env, envs):
        form.action_space.seed(0)
        form.reset(seed=0)
        for _ in range(9):
            form.step(form.action_space.sample())
    for one in (env.unwrapped, *below.envs):
        assert {int(action) for action in one.given} == {start, start + 1, start + 2}
        assert {action.dtype for action in one.given} == {np.dtype(dtype)}


ANYTHING = [
    spaces.Dict(a=spaces.Discrete(2), b=spaces.Box(-1, 1, (2,))),
    spaces.Tuple([spaces.Discrete(2), spaces.Box(-1, 1, (2,)), spaces.MultiBinary(3)]),
    spaces.Text(5),
    spaces.Sequence(spaces.Discrete(2)),
]


@pytest.mark.parametrize("space", ANYTHING, ids=lambda space: type(space).__name__)
@pytest.mark.parametrize("name", ["HideReward", "NegateReward", "SwapReward", "PermuteObservation"])
def test_controls_that_do_not_look_at_actions_pass_on_any(name, space):
    env = getattr(metarl_wrappers, name)(Passing(space), **({"lives": [[1.0]]} if name == "SwapReward" else {}))
    below = SyncVectorEnv([lambda: Passing(space)] * 2)
    envs = getattr(metarl_wrappers, f"Vector{name}")(below)
    env.reset(seed=0)
    envs.reset(seed=0)
    envs.action_space.seed(0)
    for _ in range(3):
        actions = envs.action_space.sample()
        envs.step(actions)
        for row, action in enumerate(iterate(envs.action_space, actions)):
            env.step(action)
            assert data_equivalence(below.envs[row].given[-1], env.unwrapped.given[-1])
            assert env.unwrapped.given[-1] is action


def test_a_permuted_observation_outside_of_its_space_is_refused():
    class Wrong(Passing):
        observation_space = spaces.Discrete(3, start=1)

        def reset(self, *, seed=None, options=None):
            return np.int64(0), {}

    with pytest.raises(ValueError, match=r"the observation 0 is outside of Discrete\(3, start=1\)"):
        PermuteObservation(Wrong(spaces.Discrete(2))).reset()


# ------------------------------------------------------------------------------------------------------------ boundaries
@pytest.mark.parametrize("control", [ForgetEachEpisode, HideBoundaries])
def test_controls_of_boundaries_need_trials(control):
    with pytest.raises(ValueError, match=rf"{control.__name__} found no info\['trial'\]"):
        control(Plain()).reset()


def test_forgetting_changes_nothing_but_the_flag():
    plain, envs = rooms(AutoresetMode.SAME_STEP), VectorForgetEachEpisode(rooms(AutoresetMode.SAME_STEP))
    plain.reset(seed=0)
    envs.reset(seed=0)
    plain.action_space.seed(0)
    for _ in range(40):
        actions = plain.action_space.sample()
        one, other = plain.step(actions), envs.step(actions)
        assert all((left == right).all() for left, right in zip(one[:4], other[:4], strict=True))
        for flag in ("episode_start", "inner_terminated", "inner_truncated", "action_ignored"):
            assert (one[4]["trial"][flag] == other[4]["trial"][flag]).all()
        assert (other[4]["trial"]["trial_start"] == one[4]["trial"]["episode_start"]).all()
