"""What holds for every id: a new row of the table is tested here without a new test."""

import copy
import pickle
from functools import partial

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.envs.registration import EnvSpec
from gymnasium.vector import AsyncVectorEnv, AutoresetMode, SyncVectorEnv

import metarl_envs
from metarl_envs.ids import TABLE
from metarl_envs.testing import (
    FAMILY_CHECKS,
    VECTOR_CHECKS,
    VectorSubject,
    check_plain_mode,
    check_processes,
    check_vector_env,
    check_vector_equals_single,
    check_vector_ignored_action,
    check_vector_info,
    trajectory_hash,
)
from metarl_envs.testing.fairness import check_fair_parts
from tests.worlds import smaller

IDS = [f"metarl_envs:{row.id}" for row in TABLE]
SHORT = {"horizon": 5, "episodes_per_trial": 2}
every_id = pytest.mark.parametrize("id", IDS)
every_mode = pytest.mark.parametrize("mode", list(AutoresetMode), ids=lambda mode: mode.name)


def short(id, split=None):
    """Short episodes, in a small world."""
    return {**smaller(id, split), **SHORT}


def train_of(id):
    """The split of train tasks, where the family has any in such short episodes."""
    return "train" if metarl_envs.tasks(id, **{**smaller(id), "horizon": SHORT["horizon"]}).parts else None


def vector_run(id, num_envs=5, steps=40, seed=0, copies=True, **kwargs):
    """Everything that a vector run with fixed actions returns, infos as they are."""
    envs = gym.make_vec(id, num_envs=num_envs, **{**short(id), **kwargs})
    envs.action_space.seed(1)
    events = [copy.deepcopy(envs.reset(seed=seed))]
    for _ in range(steps):
        result = envs.step(envs.action_space.sample())
        events.append(copy.deepcopy(result) if copies else result)
        over = result[2] | result[3]
        if envs.autoreset_mode is AutoresetMode.DISABLED and over.any():
            events.append(copy.deepcopy(envs.reset(options={"reset_mask": over.copy()})))
    envs.close()
    return events


def assert_equal(a, b):
    """Equal in what they say, down to dtypes."""
    assert type(a) is type(b)
    if isinstance(a, dict):
        assert a.keys() == b.keys()
        for key in a:
            assert_equal(a[key], b[key])
    elif isinstance(a, tuple | list):
        assert len(a) == len(b)
        for one, other in zip(a, b, strict=True):
            assert_equal(one, other)
    elif isinstance(a, np.ndarray) and a.dtype == object:
        assert_equal(a.tolist(), b.tolist())
    else:
        np.testing.assert_array_equal(a, b, strict=isinstance(a, np.ndarray))


# ------------------------------------------------------------------------------------------- the checks of metarl_envs.testing
TAKE_SECONDS = (check_plain_mode, check_processes, check_fair_parts)
BOXES = [f"metarl_envs:{row.id}" for row in TABLE if row.kind == "box"]  # a day of which takes ordinary Python seconds
CHECKS = [pytest.param(check, marks=pytest.mark.slow if check in TAKE_SECONDS else ()) for check in FAMILY_CHECKS]


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
@every_id
def test_family(id, check):
    check(id, smaller(id) | ({"horizon": 60} if id in BOXES and check in TAKE_SECONDS else {}))


@every_mode
@pytest.mark.parametrize("check", VECTOR_CHECKS, ids=lambda check: check.__name__)
@every_id
def test_vector_env(id, check, mode):
    arguments = {**short(id), "ground_truth": check in (check_vector_info, check_vector_equals_single)}
    check(VectorSubject(partial(gym.make_vec, id, **arguments), partial(gym.make, id, **arguments), 3, 60, mode))


@every_mode
@every_id
def test_gymnasium_own_vector_env(id, mode):
    def sync(num_envs, autoreset_mode):
        return SyncVectorEnv([partial(gym.make, id, **short(id))] * num_envs, autoreset_mode=autoreset_mode)

    subject = VectorSubject(sync, partial(gym.make, id, **short(id)), 3, 30, mode)
    for check in VECTOR_CHECKS:
        if check is not check_vector_ignored_action:  # which Gymnasium's own cannot know
            check(subject)


@pytest.mark.parametrize("shift_of", [pytest.param(id, marks=pytest.mark.slow) if id in BOXES else id for id in IDS])
def test_named_shifts_keep_the_contract(shift_of):
    for split in gym.make(shift_of).unwrapped.variant.family.shifts:
        check_vector_env(shift_of, split=split, steps=40, **short(shift_of, split))


def test_check_vector_env_takes_environments_of_others():
    def carts(num_envs, autoreset_mode):
        vector_kwargs = {"autoreset_mode": autoreset_mode}
        return gym.make_vec("CartPole-v1", num_envs, vectorization_mode="sync", vector_kwargs=vector_kwargs)

    check_vector_env(carts, single=partial(gym.make, "CartPole-v1"))


# ------------------------------------------------------------------------------------------- specs and workers
def single_run(env, seed=0):
    env.action_space.seed(1)
    events = [env.reset(seed=seed)]
    for _ in range(12):
        events.append(env.step(env.action_space.sample()))
        if events[-1][2] or events[-1][3]:
            events.append(env.reset())
    return events


@every_id
def test_a_spec_survives_json_and_pickle_and_makes_the_same_environment(id):
    env = gym.make(id, split=train_of(id), **short(id))
    expected = single_run(env)
    for spec in (env.spec, EnvSpec.from_json(env.spec.to_json()), pickle.loads(pickle.dumps(env.spec))):
        assert spec.kwargs["split"] == train_of(id)
        assert_equal(single_run(gym.make(spec)), expected)


@every_id
def test_a_vector_spec_makes_the_same_environment(id):
    envs = gym.make_vec(id, num_envs=2, split=train_of(id), **short(id))
    again = gym.make_vec(envs.spec, num_envs=2)
    assert_equal(again.reset(seed=3), envs.reset(seed=3))
    assert again.unwrapped.tasks.split == train_of(id)


@pytest.mark.parametrize("context", ["spawn", "forkserver"])
@pytest.mark.parametrize("id", [IDS[-1], *(pytest.param(id, marks=pytest.mark.slow) for id in IDS[:-1])])
def test_workers_of_every_start_method(id, context):
    envs = AsyncVectorEnv([partial(gym.make, id, **short(id))] * 2, context=context)
    try:
        obs, _ = envs.reset(seed=5)
        singles = [gym.make(id, **short(id)) for _ in range(2)]
        for i, env in enumerate(singles):
            np.testing.assert_array_equal(obs[i], env.reset(seed=5 + i)[0])
        envs.action_space.seed(0)
        for _ in range(6):
            actions = envs.action_space.sample()
            obs, reward, *_ = envs.step(actions)
            for i, env in enumerate(singles):
                expected = env.step(actions[i])
                np.testing.assert_array_equal(obs[i], expected[0])
                assert reward[i] == expected[1]
    finally:
        envs.close()


# ------------------------------------------------------------------------------------------- ways to run
@every_mode
@every_id
def test_two_threads_do_what_one_does(id, mode):
    run = partial(vector_run, id, autoreset_mode=mode)
    assert_equal(run(num_threads=2), run())
    assert_equal(run(num_threads=7), run())  # more than there are rows


@every_mode
@every_id
def test_reused_arrays_hold_what_fresh_ones_do(id, mode):
    assert_equal(vector_run(id, autoreset_mode=mode, reuse_arrays=True), vector_run(id, autoreset_mode=mode))


@every_id
def test_reused_arrays_are_reused_and_fresh_ones_are_not(id):
    for reuse in (True, False):
        events = vector_run(id, steps=2, copies=False, reuse_arrays=reuse)
        assert np.shares_memory(events[1][0], events[2][0]) is reuse


@every_id
def test_dense_final_observations_are_the_objects(id):
    run = partial(vector_run, id, autoreset_mode=AutoresetMode.SAME_STEP)
    ends = 0
    for sparse, dense in zip(run(), run(dense_final_obs=True), strict=True):
        ours, theirs = sparse[-1], dense[-1]
        if "final_obs" not in ours:
            assert "final_obs" not in theirs
            continue
        for i, ended in enumerate(ours["_final_obs"]):
            ends += ended
            expected = ours["final_obs"][i] if ended else np.zeros_like(theirs["final_obs"][i])
            np.testing.assert_array_equal(theirs["final_obs"][i], expected)
        assert_equal(ours.pop("final_obs").dtype, np.dtype(object))
        assert_equal(ours, {key: value for key, value in theirs.items() if key != "final_obs"})
    assert ends


@every_mode
@every_id
def test_vector_snapshots_and_copies_replay(id, mode):
    envs = gym.make_vec(id, num_envs=3, split=train_of(id), autoreset_mode=mode, ground_truth=True, **short(id))
    envs.reset(seed=0)
    actions = [envs.action_space.sample() for _ in range(30)]  # three trials
    run = partial(steps_of, mode=mode)
    run(envs, actions[:7])
    state, double, pickled = pickle.dumps(envs.get_state()), copy.deepcopy(envs), pickle.dumps(envs)
    expected = run(envs, actions)
    envs.set_state(pickle.loads(state))
    assert_equal(run(envs, actions), expected)
    assert_equal(run(double, actions), expected)
    assert_equal(run(pickle.loads(pickled), actions), expected)
    other = gym.make_vec(id, num_envs=3, split=train_of(id), autoreset_mode=mode, ground_truth=True, **short(id))
    other.set_state(pickle.loads(state))
    assert_equal(run(other, actions), expected)


def steps_of(envs, actions, mode):
    """What steps return; with DISABLED, ended rows are reset at once."""
    events = []
    for action in actions:
        events.append(envs.step(action))
        over = events[-1][2] | events[-1][3]
        if mode is AutoresetMode.DISABLED and over.any():
            events.append(envs.reset(options={"reset_mask": over.copy()}))
    return events


@every_id
def test_a_snapshot_of_other_rows_is_refused(id):
    three, two = (gym.make_vec(id, num_envs=n) for n in (3, 2))
    three.reset(seed=0)
    with pytest.raises(ValueError, match=r"worlds.*\(3,\).*\(2,\)"):
        two.set_state(three.get_state())


@every_id
def test_a_pool_of_tasks_is_shared_by_rows_and_seeds(id):
    pool = set(gym.make(id, **smaller(id)).unwrapped.tasks[:2].ids().tolist())
    met = set()
    for seed in (0, 1):
        envs = gym.make_vec(id, num_envs=20, num_tasks=2, ground_truth=True, **smaller(id))
        for _ in range(5):
            met |= set(envs.reset(seed=seed)[1]["metarl"]["task_id"].tolist())
            seed = None
    single = gym.make(id, num_tasks=2, ground_truth=True, **smaller(id))
    met |= {single.reset(seed=seed)[1]["metarl"]["task_id"].item() for seed in range(9)}
    assert met == pool


@every_id
def test_the_hash_depends_on_the_parameters(id):
    four, again, six = (trajectory_hash(id, **{**smaller(id), "horizon": horizon}) for horizon in (4, 4, 6))
    assert four == again != six


# ------------------------------------------------------------------------------------------- pictures
@every_id
def test_pictures_survive_that_another_environment_quits_pygame(id):
    import pygame

    env = gym.make(id, render_mode="rgb_array", **smaller(id))
    env.reset(seed=0)
    before = env.render()
    pygame.quit()
    np.testing.assert_array_equal(env.render(), before)
    pygame.quit()
    pygame.font.init()
    np.testing.assert_array_equal(env.render(), before)


@every_id
def test_a_vector_environment_shows_what_its_rows_show_alone(id):
    envs = gym.make_vec(id, num_envs=2, render_mode="rgb_array", **short(id))
    single = gym.make(id, render_mode="rgb_array", **short(id))
    envs.reset(seed=4)
    single.reset(seed=5)
    envs.action_space.seed(0)
    for _ in range(7):
        actions = envs.action_space.sample()
        envs.step(actions)
        single.step(actions[1])
    frames = envs.render()
    assert len(frames) == 2
    np.testing.assert_array_equal(frames[1], single.render())


@every_id
def test_pictures_have_one_shape_whatever_the_parameters(id):
    shapes = set()
    for horizon in (3, 40):
        env = gym.make(id, render_mode="rgb_array", **{**smaller(id), "horizon": horizon})
        env.reset(seed=0)
        shapes.add((env.render().shape, str(env.render().dtype)))
    assert shapes == {((480, 720, 3), "uint8")}
