"""What a family need not write: how tasks are drawn, listed and checked, how observations are numbered, and its text."""

import itertools
import pickle
import re
import subprocess
import sys
from pathlib import Path

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.spaces import Box, Dict, Discrete, MultiBinary, MultiDiscrete

import metarl_envs
import metarl_wrappers
from metarl_envs import learners
from metarl_envs.engine import Family, Integer, Oracle, Parameters, UniformTasks, kernel, oracle, record
from metarl_envs.engine.observation_form import size_of
from metarl_envs.engine.uniform_tasks import MOST_LISTED
from metarl_envs.families.grids.dark_room import DarkRoom, go_to_goal
from metarl_envs.learners import LEARNERS, QLearning
from metarl_envs.task_sets import TaskSet

pytestmark = pytest.mark.plain


@kernel
def begin(params, task, state, rng):
    state.at = 0


@kernel
def choose(params, task, state, action, rng):
    state.at = action
    return float(action == task.first), False


@kernel
def see(params, task, state, obs):
    obs[0] = state.at


@kernel
def do_the_first(hyper, memory, params, task, state, rng):
    """Do what is asked for."""
    return task.first


class Asks(Family):
    """One of `many` actions is asked for, and there are marks."""

    params = Parameters(horizon=Integer(4, 1), many=Integer(3, 2, 9), marks=Integer(2, 1, 9))
    task = UniformTasks(first=(np.int8, "many"), mark=(np.int16, 4, "marks"), pair=(np.int32, 2, 2))
    state = record(at=np.int16)
    reset, step, observe = begin, choose, see
    references = {"oracle": oracle(do_the_first)}

    @staticmethod
    def spaces(p):
        return Discrete(p.many), Discrete(p.many)


metarl_envs.register("Test/Asks-v0", "tests.test_less_for_authors:Asks")


def test_uniform_tasks_are_listed_each_once():
    tasks = TaskSet.of_family(Asks, many=2)
    assert len(tasks) == len(set(tasks.ids().tolist())) == 2 * 4**2 * 2**2
    told = {(int(t["first"]), *t["mark"].tolist(), *t["pair"].tolist()) for t in tasks}
    assert told == set(itertools.product(range(2), range(4), range(4), range(2), range(2)))
    assert TaskSet.of_family(Asks, marks=1).dtype["mark"].shape == (1,)


def test_uniform_tasks_are_drawn_alike_whatever_the_parameters():
    """One kernel for all parameters: how many values there are is read from the row."""
    for many in (2, 5):
        env = gym.make("Test/Asks-v0", many=many, marks=3).unwrapped
        drawn = []
        for seed in range(400):
            env.reset(seed=seed)
            drawn.append(env.get_state()["task_rows"][0].copy())
        drawn = np.array(drawn)
        for field, values in (("first", many), ("mark", 4), ("pair", 2)):
            counts = np.bincount(drawn[field].ravel(), minlength=values)
            expected = counts.sum() / values
            assert len(counts) == values
            assert ((counts - expected) ** 2 / expected).sum() < 25, "a chi-squared of 4 degrees or less: one in 10,000"
        assert not np.array_equal(drawn["mark"][:, 0], drawn["mark"][:, 1])


def test_more_tasks_than_can_be_listed_are_endless():
    assert 9**2 * 9**2 < MOST_LISTED < 9 * 4**9
    assert not TaskSet.of_family(Asks, many=9, marks=9).is_finite


def test_what_is_no_uniform_task_is_refused():
    tasks = TaskSet.of_family(Asks)
    good = {"first": 2, "mark": [0, 3], "pair": [1, 0]}
    assert tasks.row(good)["first"] == 2
    for field, value, why in [
        ("first", 3, "first=3 is not one of 0 to 2"),
        ("first", -1, "first=-1 is not one of 0 to 2"),
        ("mark", [0, 4], r"mark\[1\]=4 is not one of 0 to 3"),
        ("pair", [2, 0], r"pair\[0\]=2 is not one of 0 to 1"),
    ]:
        with pytest.raises(ValueError, match=why):
            tasks.row({**good, field: value})


def test_what_a_class_writes_itself_holds():
    class Fewer(Asks):
        task = UniformTasks(first=(np.int8, 2))

        @staticmethod
        def all_tasks(p, dtype):
            return np.zeros(1, dtype)

    assert len(TaskSet.of_family(Fewer)) == 1
    assert Fewer.sample_task is not Asks.sample_task
    assert Fewer.with_params().task.names == ("first",)
    assert Asks.with_params().task.names == ("first", "mark", "pair")


@pytest.mark.parametrize("field", [3, (np.int8,), (np.int8, 2.5), (np.int8, 2, 2, 2), [np.int8, 2]])
def test_a_field_is_a_dtype_and_counts(field):
    with pytest.raises(TypeError, match=r"goal=.* must be \(dtype, count\)"):
        UniformTasks(goal=field)


def test_observations_of_whole_numbers_are_counted():
    assert size_of(Discrete(7, start=2)) == 7
    assert size_of(MultiDiscrete([2, 3])) == 6
    assert size_of(MultiBinary(3)) == 8
    assert size_of(Box(np.array([0, -1]), np.array([3, 1]), dtype=np.int8)) == 12
    assert size_of(Box(0, 1, (2,), np.float32)) is None
    assert size_of(Dict(a=Discrete(2))) is None


def test_a_discrete_observation_has_its_number():
    variant = Asks.with_params(many=5)
    assert variant.num_states == 5
    assert variant.state_index(variant.params[0], [3]) == 3
    assert QLearning().why_unsuitable(variant) is None
    assert metarl_envs.evaluate("Test/Asks-v0", "q_learning", split="all", tasks=2, episodes=2, seeds=1).raw["q_learning"].size

    class FromOne(Asks):
        @staticmethod
        def spaces(p):
            return Discrete(p.many, start=1), Discrete(p.many)

    assert FromOne.with_params().num_states is None
    assert DarkRoom.with_params(size=5).num_states == 25


def test_a_family_without_words_tells_its_fields():
    env = gym.make("Test/Asks-v0", render_mode="ansi")
    env.reset(options={"task": {"first": 2, "mark": [0, 3], "pair": [1, 0]}})
    env.step(1)
    assert env.render().splitlines()[1:] == ["at 1"]
    env.unwrapped.reveal = True
    assert env.render().splitlines()[1:] == ["at 1", "first 2", "mark [0, 3]", "pair [1, 0]"]


def test_an_oracle_of_one_kernel_is_a_player_with_its_name():
    player = oracle(go_to_goal)
    assert isinstance(player, Oracle)
    assert repr(player) == "GoToGoal()"
    assert type(player).__doc__ == go_to_goal.__doc__
    assert type(player) is type(oracle(go_to_goal))
    assert type(pickle.loads(pickle.dumps(player))) is type(player)
    arrays = oracle(go_to_goal, array_actions=True)
    assert (arrays.array_actions, player.array_actions) == (True, False)
    assert type(pickle.loads(pickle.dumps(arrays))) is type(arrays)


def test_an_oracle_of_one_kernel_travels_to_another_process():
    script = "import pickle, sys; print(repr(pickle.loads(bytes.fromhex(sys.argv[1]))))"
    sent = pickle.dumps(oracle(go_to_goal)).hex()
    done = subprocess.run([sys.executable, "-c", script, sent], capture_output=True, text=True, check=True)
    assert done.stdout == "GoToGoal()\n"


def test_a_learner_is_one_file_and_one_line():
    """Every class of the files is in the table, under the name that commands use."""
    folder = Path(learners.__file__).parent
    shared = {"__init__", "named", "choosing"}
    assert {one.__module__.rpartition(".")[2] for one in LEARNERS.values()} == {p.stem for p in folder.glob("*.py")} - shared
    assert {"ucb1": "UCB1", "dpt_behaviour": "DPTBehaviour", "count_bonus_q": "CountBonusQ", "lin_ucb": "LinUCB"}.items() <= {
        name: one.__name__ for name, one in LEARNERS.items()
    }.items()


def test_a_wrapper_is_one_file_and_a_line_for_each_form():
    folder = Path(metarl_wrappers.__file__).parent
    files = {path.stem for path in folder.glob("*.py") if re.search(r"^class Vector", path.read_text(), re.MULTILINE)}
    listed = [getattr(metarl_wrappers, name) for name in metarl_wrappers.WRAPPERS]
    assert {one.__module__.rpartition(".")[2] for one in listed} == files - {"rows", *metarl_wrappers.BRIDGES.values()}
    assert {f"Vector{name}" for name in metarl_wrappers.WRAPPERS if not name.startswith("Vector")} <= set(
        metarl_wrappers.WRAPPERS
    )
