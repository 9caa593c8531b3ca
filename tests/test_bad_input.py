"""Bad input is refused with a message that names the argument, its value and what is allowed; nothing has moved."""

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.error import ResetNeeded
from gymnasium.spaces import Box, Discrete
from gymnasium.vector import AutoresetMode

import metarl_envs
from metarl_envs.engine import records
from metarl_envs.engine.parameters import Choice, Flag, Integer, Real, Text
from metarl_envs.ids import TABLE
from tests.worlds import smaller

IDS = [f"metarl_envs:{row.id}" for row in TABLE]
ROOM = "metarl_envs:MetaRL/DarkRoom-v0"
every_id = pytest.mark.parametrize("id", IDS)


def both(id, **kwargs):
    """The single and the vector environment, made as users do."""
    return [lambda: gym.make(id, **kwargs), lambda: gym.make_vec(id, num_envs=3, **kwargs)]


def refused(call, error, *words):
    """The message of the error that a call raises, after checking that it holds the words."""
    with pytest.raises(error) as caught:
        call()
    message = str(caught.value)
    for word in words:
        assert str(word) in message, f"{message!r} does not mention {word!r}"
    return message


# ------------------------------------------------------------------------------------------- parameters
@every_id
def test_an_unknown_parameter(id):
    known = gym.make(id).unwrapped.variant.family.params.parameters
    for make in both(id, sizze=3):
        refused(make, TypeError, "sizze", *known)


def wrong_values(parameter):
    """Values that a parameter must refuse: the error, the value, and what the message says is allowed."""
    if isinstance(parameter, Integer):
        return [
            (ValueError, parameter.low - 1, parameter.low),
            (ValueError, parameter.high + 1, parameter.low),
            (TypeError, 2.5, "integer"),
            (TypeError, True, "integer"),
            (TypeError, "9", "integer"),
            (TypeError, None, "integer"),
        ]
    if isinstance(parameter, Real):
        numbers = [float("nan"), float("inf"), parameter.low - 1, parameter.high + 1]
        return [
            *((ValueError, value, "number") for value in numbers if not parameter.low <= value <= parameter.high),
            *((TypeError, value, "number") for value in ("1", None, True)),
        ]
    if isinstance(parameter, Flag):
        return [(TypeError, value, "True or False") for value in ("yes", 2, None)]
    if isinstance(parameter, Text):
        return [(TypeError, 0, "text"), (TypeError, None, "text")]
    assert isinstance(parameter, Choice)
    return [(ValueError, value, parameter.names[0]) for value in ("no such", 0, None)]


@every_id
def test_a_parameter_out_of_range_or_of_the_wrong_type(id):
    for name, parameter in gym.make(id).unwrapped.variant.family.params.parameters.items():
        for error, value, allowed in wrong_values(parameter):
            for make in both(id, **{name: value}):
                refused(make, error, f"{name}={value!r}", allowed)


@pytest.mark.parametrize("parameter", [Integer(3, 1, 5), Real(0.5, 0.0, 1.0), Flag(False), Choice("a", ("a", "b"))])
def test_every_kind_of_parameter_refuses(parameter):
    assert parameter.check("it", parameter.default) == parameter.default
    for error, value, allowed in wrong_values(parameter):
        refused(lambda value=value: parameter.check("it", value), error, f"it={value!r}", allowed)


@every_id
@pytest.mark.parametrize("split", ["valid", 1, "Train"])
def test_an_unknown_split(id, split):
    for make in both(id, split=split):
        refused(make, ValueError, f"split={split!r}", "'train'", "'test'")


def test_a_parameter_that_a_shift_sets():
    for id in IDS:
        for split, change in gym.make(id).unwrapped.variant.family.shifts.items():
            name, value = next(iter(change.items()))
            for make in both(id, split=split, **{name: value}):
                refused(make, ValueError, name, split)


def test_an_unknown_id():
    refused(lambda: metarl_envs.tasks("MetaRL/Nowhere-v0"), ValueError, "Nowhere", IDS[0].removeprefix("metarl_envs:"))
    refused(lambda: metarl_envs.tasks("CartPole-v1"), ValueError, "CartPole-v1")


# ------------------------------------------------------------------------------------------- trials
@pytest.mark.parametrize("name", ["episodes_per_trial", "num_tasks"])
@pytest.mark.parametrize(
    ("value", "error"), [(0, ValueError), (-1, ValueError), (1.5, TypeError), (True, TypeError), ("2", TypeError)]
)
def test_counts_are_integers_of_at_least_one(name, value, error):
    for make in both(ROOM, **{name: value}):
        refused(make, error, f"{name}={value!r}", "at least 1")


@pytest.mark.parametrize("name", ["num_envs", "num_threads"])
@pytest.mark.parametrize(("value", "error"), [(0, ValueError), (-2, ValueError), (2.0, TypeError)])
def test_counts_of_rows_and_threads(name, value, error):
    refused(lambda: gym.make_vec(ROOM, **{"num_envs": 2, name: value}), error, f"{name}={value!r}", "at least 1")


def test_trial_end():
    for make in both(ROOM, trial_end="truncated"):
        refused(make, ValueError, "trial_end='truncated'", "'true'", "'terminated'")


@pytest.mark.parametrize("mode", ["sometimes", None, 1])
def test_autoreset_mode(mode):
    refused(lambda: gym.make_vec(ROOM, num_envs=2, autoreset_mode=mode), ValueError, f"autoreset_mode={mode!r}", "SAME_STEP")


def test_autoreset_mode_by_value():
    assert gym.make_vec(ROOM, num_envs=2, autoreset_mode="SameStep").autoreset_mode is AutoresetMode.SAME_STEP


def test_max_episode_steps_that_contradict_the_horizon():
    refused(
        lambda: gym.make_vec(ROOM, num_envs=2, horizon=7, max_episode_steps=9),
        ValueError,
        "max_episode_steps=9",
        "horizon=7",
    )
    gym.make_vec(ROOM, num_envs=2, horizon=7, max_episode_steps=7)


def test_more_tasks_in_a_pool_than_there_are():
    for make in both(ROOM, num_tasks=82):
        refused(make, ValueError, "82", "81")


@every_id
def test_rows_too_big_for_memory(id, monkeypatch):
    monkeypatch.setattr(records, "_available_memory", lambda: 1000)
    refused(lambda: gym.make_vec(id, num_envs=1000), MemoryError, "1,000", "GiB", "num_tasks")


def test_a_task_set_too_big_for_memory(monkeypatch):
    tasks = metarl_envs.tasks("TabularMDP")
    monkeypatch.setattr(records, "_available_memory", lambda: 10 * tasks.dtype.itemsize)
    tasks.rows(10)
    refused(lambda: tasks.rows(11), MemoryError, "11 tasks", f"{tasks.dtype.itemsize:,} bytes")


# ------------------------------------------------------------------------------------------- actions
def bad_actions(space):
    """Actions that are outside a space, or of another kind or shape."""
    inside = space.sample()
    if isinstance(space, Discrete):
        wrong = [-1, int(space.n), 2**40, 1.0, 0.5, float("nan"), np.float32(1), "1", None, [1], np.array([1])]
        return [*wrong, np.array(1.0), np.uint64(2**63)]
    if isinstance(space, Box):
        beyond = [np.where(np.isfinite(space.high), space.high + 1, np.nan), np.full(space.shape, np.nan)]
        return [*(np.asarray(action, space.dtype) for action in beyond), np.append(inside, inside), None, "1"]
    return [space.nvec, np.full(space.shape, -1), inside.astype(float), inside[:-1], None]


def same_state(a, b):
    return all(np.array_equal(a[name], b[name]) for name in ("worlds", "task_rows"))


@every_id
def test_a_bad_action_of_a_single_environment_moves_nothing(id):
    env = gym.make(id, **smaller(id)).unwrapped
    env.reset(seed=0)
    env.step(env.action_space.sample())
    before = env.get_state()
    for action in bad_actions(env.action_space):
        refused(lambda action=action: env.step(action), ValueError, repr(action), env.variant.action.allowed)
        assert same_state(env.get_state(), before)
    env.step(env.action_space.sample())


@every_id
@pytest.mark.parametrize("num_threads", [1, 2])
def test_one_bad_action_among_good_ones_moves_no_row(id, num_threads):
    envs = gym.make_vec(id, num_envs=5, num_threads=num_threads, **smaller(id))
    envs.reset(seed=0)
    envs.step(envs.action_space.sample())
    before = envs.get_state()
    for bad in bad_actions(envs.single_action_space):
        if not isinstance(bad, np.ndarray | int) or np.shape(bad) != envs.single_action_space.shape:
            continue
        actions = list(envs.action_space.sample())
        actions[3] = bad
        message = refused(lambda actions=actions: envs.step(np.stack(actions)), ValueError, envs.variant.action.allowed)
        assert "row 3" in message or "dtype" in message
        assert same_state(envs.get_state(), before)
    envs.step(envs.action_space.sample())


@every_id
@pytest.mark.parametrize("num_threads", [1, 2])
def test_actions_of_the_wrong_kind_or_shape_move_no_row(id, num_threads):
    envs = gym.make_vec(id, num_envs=4, num_threads=num_threads, **smaller(id))
    envs.reset(seed=0)
    before = envs.get_state()
    good = envs.action_space.sample()
    wrong = [good[:3], good[None], good[0], None, "move", good.astype(complex), [], np.array([None] * 4)]
    if isinstance(envs.single_action_space, Discrete):
        wrong += [good.astype(float), np.full(4, np.nan), np.full(4, 2**63, np.uint64)]
    for actions in wrong:
        refused(lambda actions=actions: envs.step(actions), (ValueError, TypeError), "action", envs.variant.action.allowed)
        assert same_state(envs.get_state(), before)


@every_id
def test_actions_of_other_fitting_kinds_are_taken(id):
    env = gym.make(id, **smaller(id)).unwrapped
    if not isinstance(env.action_space, Discrete):
        pytest.skip("integers of several kinds are for Discrete")
    envs = gym.make_vec(id, num_envs=2, **smaller(id))
    for kind in (int, np.int8, np.uint8, np.int64, np.array):
        env.reset(seed=0)
        env.step(kind(1))
    for dtype in (np.int8, np.uint16, np.int64):
        envs.reset(seed=0)
        envs.step(np.ones(4, dtype)[::2])  # not contiguous
    envs.step([1, 0])


# ------------------------------------------------------------------------------------------- resets
@every_id
def test_step_needs_a_running_trial(id):
    env, envs = gym.make(id, **smaller(id)).unwrapped, gym.make_vec(id, num_envs=2, **smaller(id))
    refused(lambda: env.step(0), ResetNeeded, "reset()")
    refused(lambda: envs.step(envs.action_space.sample()), ResetNeeded, "reset()")
    env.reset(seed=0)
    over = False
    while not over:
        _, _, terminated, truncated, _ = env.step(env.action_space.sample())
        over = terminated or truncated
    before = env.get_state()
    refused(lambda: env.step(env.action_space.sample()), ResetNeeded, "reset()")
    assert same_state(env.get_state(), before)


@pytest.mark.parametrize(
    "mask",
    [[True, False, False], np.ones(3, int), np.ones(2, bool), np.zeros(3, bool), np.ones((3, 1), bool), "all", True],
    ids=repr,
)
def test_reset_mask(mask):
    envs = gym.make_vec(ROOM, num_envs=3, autoreset_mode=AutoresetMode.DISABLED)
    envs.reset(seed=0)
    before = envs.get_state()
    refused(lambda: envs.reset(options={"reset_mask": mask}), ValueError, "reset_mask", "(3,)", repr(mask))
    assert same_state(envs.get_state(), before)


def test_the_first_reset_resets_every_row():
    envs = gym.make_vec(ROOM, num_envs=3)
    refused(lambda: envs.reset(options={"reset_mask": np.array([True, False, True])}), ResetNeeded, "every row")


def test_wrong_number_of_seeds_or_tasks():
    envs = gym.make_vec(ROOM, num_envs=3)
    refused(lambda: envs.reset(seed=[1, 2]), ValueError, "2 seeds", "num_envs is 3")
    envs.reset(seed=0)
    before = envs.get_state()
    refused(lambda: envs.reset(options={"task": [0, 1]}), ValueError, "2 tasks", "3 rows")
    mask = np.array([True, False, False])
    refused(lambda: envs.reset(options={"task": [0, 1, 2], "reset_mask": mask}), ValueError, "3 tasks", "1 rows")
    assert same_state(envs.get_state(), before)


@pytest.mark.parametrize("seed", [-1, "one", 1.5, np.array(1)])
def test_seeds_are_natural_numbers(seed):
    for make in both(ROOM):
        with pytest.raises((gym.error.Error, ValueError, TypeError), match=r"(?i)seed"):
            make().reset(seed=seed)
    envs = gym.make_vec(ROOM, num_envs=3)
    refused(lambda: envs.reset(seed=[1, seed, 2]), (TypeError, ValueError), "seed[1]", repr(seed), "at least 0")


def test_seeds_are_below_two_to_the_64_and_numpy_integers_are_integers():
    for make in both(ROOM):
        refused(lambda: make().reset(seed=2**64), ValueError, str(2**64), "below 2**64")  # noqa: B023
        same = [make().reset(seed=seed)[0] for seed in (5, np.int64(5), np.uint8(5), np.uint64(5))]
        assert all(np.array_equal(same[0], one) for one in same)
        assert make().reset(seed=np.uint64(2**64 - 1)) is not None


def test_a_list_of_seeds_may_leave_rows_out():
    envs, single = gym.make_vec(ROOM, num_envs=3, ground_truth=True), gym.make(ROOM, ground_truth=True)
    task = single.reset(seed=8)[1]["metarl"]["task_id"]
    for seeds in ([None, 8, np.int64(8)], np.array([7, 8, 8])):
        assert (envs.reset(seed=seeds)[1]["metarl"]["task_id"][1:] == task).all()


# ------------------------------------------------------------------------------------------- tasks given by hand
def other_family(id):
    return next(other for other in IDS if other != id and other.split("/")[1][:4] != id.split("/")[1][:4])


@every_id
def test_a_task_of_another_family_or_kind(id):
    foreign = gym.make(other_family(id)).unwrapped.tasks[0]
    fields = {name: foreign[name] for name in foreign.dtype.names}
    for task in (foreign, fields, "goal", 1.0, [[1, 2]], np.zeros(3)):
        for make in both(id, **smaller(id)):
            env = make()
            env.reset(seed=0)
            before = env.unwrapped.get_state()
            refused(lambda env=env, task=task: env.reset(options={"task": task}), (TypeError, ValueError), "task")
            assert same_state(env.unwrapped.get_state(), before)


@every_id
def test_a_task_index_beyond_the_set(id):
    env = gym.make(id, **smaller(id))
    tasks = env.unwrapped.tasks
    beyond = len(tasks) if tasks.is_finite else -1
    refused(lambda: env.reset(options={"task": beyond}), IndexError, beyond)


@pytest.mark.parametrize(("goal", "wrong"), [((9, 0), "goal[0]=9"), ((0, -1), "goal[1]=-1"), ((4, 100), "goal[1]=100")])
def test_a_goal_outside_the_room(goal, wrong):
    for make in both(ROOM):
        refused(lambda make=make: make().reset(options={"task": {"goal": goal}}), ValueError, wrong, "is not one of 0 to 8")


def test_a_task_with_fields_of_another_shape():
    for task, words in [({"goal": 3}, ["goal", "()", "(2,)"]), ({"gaol": (1, 1)}, ["gaol", "goal"]), ({}, ["goal"])]:
        refused(lambda task=task: gym.make(ROOM).reset(options={"task": task}), ValueError, "task", *words)


def test_unknown_options_are_left_to_wrappers():
    for make in both(ROOM):
        make().reset(seed=0, options={"somebody": "else's"})
