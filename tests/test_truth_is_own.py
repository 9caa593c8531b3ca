"""What is said of a family beside its kernels is true of it: not inherited, not guessed from a few seeds, not out of range."""

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.spaces import Box, Discrete

import metarl_envs
from metarl_envs.engine import Family, Integer, Parameters, Player, kernel, record, uniform
from metarl_envs.engine.truth.solving import exact_returns, explore
from metarl_envs.families.grids.dark_room import DarkRoom
from metarl_envs.histories import collect, lifetime_returns
from metarl_envs.ids import TABLE
from metarl_envs.learners import QLearning
from metarl_envs.task_sets import TaskSet
from metarl_envs.testing.declaration import check_heuristics

ROOM = "MetaRL/DarkRoom-v0"


# ------------------------------------------------------------------------------------------- inherited
@kernel
def pay_a_tenth(params, task, state, action, rng):
    return 0.1, False


@kernel
def always_the_corner(params, task, rng):
    task.goal[0] = 0


class PaysATenth(DarkRoom):
    step = pay_a_tenth


class PaysATenthStill(PaysATenth):
    """Binds nothing."""


class Corner(DarkRoom):
    sample_task = always_the_corner


class Declared(DarkRoom):
    step = pay_a_tenth

    @staticmethod
    def memoryless_best(p, task):
        return 2.0


@pytest.mark.parametrize("family", [PaysATenth, PaysATenthStill])
def test_what_followed_from_another_step_is_not_inherited(family):
    p, task = family.with_params().p, DarkRoom.all_tasks(family.with_params().p, family.with_params().task)[0]
    assert DarkRoom.binary_reward
    assert DarkRoom.with_params().memoryless_best(task) is not None
    assert not family.binary_reward
    assert family.with_params().memoryless_best(task) is None
    assert family.returns(p, None) is None
    assert family.all_tasks(p, family.with_params().task) is not None, "which has nothing to do with the step"


def test_what_is_declared_beside_another_step_stays():
    assert Declared.memoryless_best(Declared.with_params().p, None) == 2.0


def test_the_list_of_tasks_is_not_inherited_by_another_distribution():
    assert Corner.all_tasks(Corner.with_params().p, Corner.with_params().task) is None
    assert Corner.binary_reward


class OtherReferences(DarkRoom):
    references = {"oracle": DarkRoom.references["oracle"]}


def test_which_references_are_heuristics_is_not_inherited_with_other_references():
    assert Corner.heuristics == DarkRoom.heuristics == ("sweep",)
    assert OtherReferences.heuristics == ()


@pytest.mark.parametrize("row", TABLE, ids=lambda row: row.id)
def test_every_heuristic_is_a_reference(row):
    check_heuristics(row.id, {})


@pytest.mark.plain
def test_rewards_of_another_step_are_recorded_as_they_are():
    metarl_envs.register("Own/PaysATenth-v0", f"{__name__}:PaysATenth")
    lived = collect("Own/PaysATenth-v0", QLearning(), histories=1, steps=5, split=None)
    assert lived[0]["reward"].tolist() == [0.1] * 5


# ------------------------------------------------------------------------------------------- rare chance
@kernel
def any_side(params, task, rng):
    task.side = 1


@kernel
def rarely_on_the_right(params, task, state, rng):
    state.x = 1 if uniform(rng) < 0.05 else 0


@kernel
def pay_on_the_right(params, task, state, action, rng):
    if state.x == 3 and uniform(rng) < 0.5:  # chance far from where exploring begins
        state.x = 4
    state.x = min(3, state.x + action)
    return 1.0 * (state.x > 0), False


@kernel
def see_x(params, task, state, obs):
    obs[0] = state.x


class RareStart(Family):
    params = Parameters(horizon=Integer(3, 1))
    task, state = record(side=np.int64), record(x=np.int64)
    sample_task, reset, step, observe = any_side, rarely_on_the_right, pay_on_the_right, see_x

    @staticmethod
    def spaces(p):
        return Box(0, 4, (1,), np.int64), Discrete(2)


def test_starts_that_are_rarely_different_are_not_taken_for_equal():
    variant = RareStart.with_params()
    task = TaskSet.of_family(RareStart).rows(1)
    assert explore(variant, task) is None
    assert exact_returns(variant, task) is None


# ------------------------------------------------------------------------------------------- tasks from outside
@pytest.mark.parametrize("more", [{"split": "train"}, {"num_tasks": 3}], ids=str)
def test_a_task_that_the_posterior_is_not_over_is_refused_and_changes_nothing(more):
    env = gym.make(f"metarl_envs:{ROOM}", size=5, ground_truth=True, **more).unwrapped
    outside = metarl_envs.tasks(ROOM, size=5, split="test")[-1]  # and none of the first three of all
    _, info = env.reset(seed=0)
    with pytest.raises(ValueError, match=r"none of those that the posterior .* split=None"):
        env.reset(options={"task": outside})
    _, _, _, _, after = env.step(0)
    assert after["metarl"]["task_id"] == info["metarl"]["task_id"]
    _, info = env.reset(options={"task": 0})
    assert np.isfinite(info["metarl"]["posterior"]).all()


def test_vector_rows_refuse_such_tasks_too():
    envs = gym.make_vec(f"metarl_envs:{ROOM}", num_envs=2, size=5, ground_truth=True, split="train")
    outside = metarl_envs.tasks(ROOM, size=5, split="test")[0]
    envs.reset(seed=0)
    with pytest.raises(ValueError, match="posterior"):
        envs.reset(options={"task": [envs.tasks[0], outside]})


def test_without_ground_truth_any_task_of_the_family_may_be_given():
    env = gym.make(f"metarl_envs:{ROOM}", size=5, split="train")
    env.reset(seed=0, options={"task": metarl_envs.tasks(ROOM, size=5, split="test")[0]})


# ------------------------------------------------------------------------------------------- indices out of range
@kernel
def elsewhere(params, obs):
    return obs[0] * params.stride + obs[1] + params.first


class Elsewhere(DarkRoom):
    """Tells a learner that it is where there is nothing: how far off is a parameter, so that all are compiled at once."""

    params = Parameters(**DarkRoom.params.parameters, stride=Integer(12, -(10**6), 10**6), first=Integer(0, -(10**6), 10**6))
    state_index = elsewhere


@pytest.mark.parametrize(
    "params", [{"stride": 100_000}, {"stride": 12}, {"stride": -1, "first": -1}], ids=["far too large", "too large", "negative"]
)
def test_an_observation_index_out_of_range_is_an_error_not_an_address(params):
    metarl_envs.register("Own/Elsewhere-v0", f"{__name__}:Elsewhere")
    with pytest.raises(ValueError, match=r"Elsewhere\.state_index gave an index that is not from 0 to 80"):
        collect("Own/Elsewhere-v0", QLearning(epsilon=1.0), histories=2, steps=300, split=None, **params)
    tasks = metarl_envs.tasks("Own/Elsewhere-v0", **params)
    with pytest.raises(ValueError, match=r"\.state_index gave an index"):
        lifetime_returns(tasks.rows(2), tasks.variant, QLearning(epsilon=1.0), [0, 1], episodes=15)


@kernel
def beyond_the_last(hyper, memory, seen, rng):
    return 5


class Beyond(Player):
    act = beyond_the_last


def test_an_action_of_a_learner_out_of_range_is_an_error():
    with pytest.raises(ValueError, match=r"Beyond chose an action .* an integer from 0 to 4"):
        collect(ROOM, Beyond(), histories=1, steps=5, split=None)


# ------------------------------------------------------------------------------------------- spaces
@pytest.mark.parametrize("space", [Discrete(4, start=1), gym.spaces.MultiDiscrete([3, 3], start=[0, 1])], ids=str)
def test_actions_that_do_not_start_at_0_are_refused(space):
    class Shifted(RareStart):
        @staticmethod
        def spaces(p):
            return Box(0, 4, (1,), np.int64), space

    with pytest.raises(TypeError, match="must start at 0"):
        Shifted.with_params()


def test_a_field_of_length_one_is_an_array():
    layout = record(hand=(np.int16, 1), other=(np.int16, (1, 2)))
    assert layout["hand"].shape == (1,)
    assert layout["other"].shape == (1, 2)
