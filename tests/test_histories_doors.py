"""What comes into histories from outside is looked at before a byte is written, and nothing half-made stays."""

import gc
import json
import os
import pickle
from pathlib import Path

import gymnasium as gym
import numpy as np
import pytest

from metarl_envs import histories
from metarl_envs.histories import History, RecordHistory, collect, save
from metarl_envs.histories.columns import smallest_integers
from metarl_envs.learners import Random
from metarl_wrappers import VectorTrial


def life(steps=5, *, first=0, without=(), final=False, ends=None, task=None, seed=0, task_id=0, **columns):
    """A history by hand: one episode, which terminates with its last step."""
    whole = {
        "observation": first + np.arange(steps),
        "action": np.zeros(steps, int),
        "reward": np.ones(steps),
        "terminated": np.arange(steps) == steps - 1,
        "truncated": np.zeros(steps, bool),
    }
    whole = {name: array for name, array in {**whole, **columns}.items() if name not in without}
    return History(whole, np.array([steps]) if ends is None else ends, np.array([7]) if final else None, seed, task, task_id)


def named(name):
    return life(**{name: np.arange(5)})


# ------------------------------------------------------------------------------------------------- save
@pytest.mark.parametrize(
    ("history", "why"),
    [
        (life(observation=np.arange(6)), "'observation' has 6 steps, and 'reward' has 5"),
        (life(action=np.arange(4)), "'action' has 4 steps, and 'reward' has 5"),
        (life(reward=np.ones(4)), "'observation' has 5 steps, and 'reward' has 4"),
        (life(without=["terminated"]), "no column 'terminated'"),
        (life(truncated=np.zeros(5, int)), "'truncated' must be bool"),
        (life(reward=np.ones((5, 2))), "'reward' must be numbers"),
        (life(reward=np.ones(5, bool)), "'reward' must be numbers"),
        (life(q=np.array(["a"] * 5)), "'q' has dtype <U1: it must be one of bool"),
        (life(q=np.ones(5, ">f4")), "'q' has dtype >f4"),
        (life(q=np.array([{}] * 5)), "'q' has dtype object"),
        (life(q=np.ones((5, 0))), r"'q' has elements of shape \[0\]"),
        (life(q=np.array(1.0)), "'q' has no axis"),
        (life(q=[1.0] * 5), "'q' is a list"),
        (life(ends=[5]), "episode_end is a list"),
        (life(ends=np.array([5, 3, 9])), r"episode_end must increase .* up to the number of steps, 5: \[5 3 9\]"),
        (life(ends=np.array([3])), r"up to the number of steps, 5: \[3\]"),
        (life(ends=np.array([0, 5])), r"\[0 5\]"),
        (life(ends=np.array([5.0])), "episode_end must be integers"),
        (life(terminated=np.arange(5) == 2), "step 2 is terminated or truncated, and episode_end lacks 3"),
        (life(steps=0, ends=np.array([], int)), "at least one step"),
        (life(final=True, ends=np.array([2, 5])), "final_observation has 1 elements, and there are 2 episodes"),
        (life(final=True, observation=np.zeros(5)), r"final_observation has int64 \[\] .* float64 \[\]"),
        (life(seed=-1), "seed of a history=-1"),
        (life(task_id=2**64), "task_id of a history"),
        (life(task=(1, 2)), "task is a tuple"),
        ("life", "must be a History"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
@pytest.mark.parametrize("place", [0, 1])
def test_a_history_that_is_not_whole_is_refused_and_nothing_stays(tmp_path, history, why, place):
    with pytest.raises((TypeError, ValueError), match=why):
        save([life()] * place + [history], tmp_path / "new" / "folder")
    assert not list(tmp_path.iterdir())


BAD_NAMES = ["", "seed", "task", "task_id", "offsets", "episode_end", "final_observation", "history", "step", ".hidden", "..",
             "../x", "a/b", "a\\b", "C:x", "a b", "a\n", "ä", "x" * 101, "Reward", 3]  # fmt: skip


@pytest.mark.parametrize("name", BAD_NAMES)
def test_names_that_no_column_can_have_are_refused_by_every_writer(tmp_path, name):
    with pytest.raises(ValueError, match=r"cannot (both )?be (the name|columns)"):
        save([History({**life().columns, name: np.arange(5)}, np.array([5]), None)], tmp_path / "h")
    assert not list(tmp_path.iterdir())
    recorded = RecordHistory(envs(), tmp_path / "h", steps=5, internals=lambda seen, actions: {name: np.zeros(2)})
    recorded.reset(seed=0)
    with pytest.raises(ValueError, match=r"cannot (both )?be (the name|columns)"):
        recorded.step(np.zeros(2, int))
    recorded.close()
    assert not list(tmp_path.iterdir())


def test_a_name_with_a_path_writes_nowhere_else(tmp_path):
    mine = tmp_path / "mine.npy"
    np.save(mine, np.arange(3))
    for name in (str(tmp_path / "mine"), "../../../mine", "../../mine"):
        with pytest.raises(ValueError, match="cannot be the name of a column"):
            save([named(name)], tmp_path / "out")
    assert np.array_equal(np.load(mine), np.arange(3))
    assert [path.name for path in tmp_path.iterdir()] == ["mine.npy"]


def test_names_that_a_column_can_have_come_back(tmp_path):
    for name in ("q", "log_prob", "q.1", "q-max", "7", "_", "x" * 100):
        kept = save([named(name)], tmp_path / name)
        assert np.array_equal(kept[0][name], np.arange(5))
        assert np.array_equal(kept.sample(3, 5, np.random.default_rng(0))[name], np.tile(np.arange(5), (3, 1)))


def test_tables_that_only_some_histories_have_are_all_kept(tmp_path):
    """Those with a final observation, or a task row, are not stripped for the sake of those without."""
    goal, arm = np.array([(3,)], [("goal", "i2")])[0], np.array([(0.5, 2)], [("pays", "f8"), ("best", "i4")])[0]
    lives = [life(), life(final=True), life(final=True, task=goal, seed=5), life(task=arm), life(task=goal)]
    kept = save(lives, tmp_path / "h")
    kept.verify()
    for given, found in zip(lives, kept, strict=True):
        assert (given.final_observation is None) == (found.final_observation is None)
        assert given.task == found.task
        assert given.seed == found.seed
    with pytest.raises(ValueError, match=r"do not say what was seen"):
        _ = kept.final_observations
    with pytest.raises(ValueError, match=r"do not say what task"):
        _ = kept.tasks
    with pytest.raises(ValueError, match=r"task rows of several kinds"):
        _ = kept[3:].tasks
    assert kept[[2, 4]].tasks["goal"].tolist() == [3, 3]


@pytest.mark.parametrize("about", [{"lr": np.float32(1)}, {"f": print}, {"x": float("nan")}, {"s": {1}}], ids=repr)
def test_what_json_has_not_is_refused_before_anything_is_written(tmp_path, about):
    with pytest.raises((TypeError, ValueError), match=r"about=.* must be what JSON holds"):
        save([life()], tmp_path / "h", about)
    with pytest.raises((TypeError, ValueError), match=r"learner=.* must be what JSON holds"):
        RecordHistory(envs(), tmp_path / "h", steps=5, learner=about)
    assert not list(tmp_path.iterdir())


def test_what_the_manifest_needs_is_not_overwritten_by_what_it_is_to_say(tmp_path):
    one = save([life()], tmp_path / "one")
    two = save([life(), life()], tmp_path / "two", {**one.about, "format": "mine", "columns": {}, "shards": 9, "learner": "I"})
    two.verify()
    assert len(two) == 2
    assert "2 histories" in repr(two)


def test_a_write_that_fails_leaves_nothing(tmp_path, monkeypatch):
    def fail(*arguments, **how):
        raise OSError("no space left")

    monkeypatch.setattr(np.lib.format, "write_array", fail)
    with pytest.raises(OSError, match="no space left"):
        save([life()], tmp_path / "new" / "folder")
    assert not list(tmp_path.iterdir())


# ------------------------------------------------------------------------------------------------- opened, and drawn from
def test_a_store_of_any_number_of_files_holds_none_open(tmp_path):
    lives = [life(task=np.array([(k,)], [("goal", "i2" if k % 2 else "i4")])[0]) for k in range(50)]  # a shard each
    save(lives, tmp_path / "h")
    resource = pytest.importorskip("resource")
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    used = len(os.listdir("/dev/fd"))
    resource.setrlimit(resource.RLIMIT_NOFILE, (used + 30, hard))
    try:
        kept = [histories.load(tmp_path / "h") for _ in range(3)]
        drawn = [store.sample(100, 5, np.random.default_rng(0)) for store in kept]
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert len(kept[0]._shards) == 50
    assert (drawn[0]["observation"] == np.arange(5)).all()
    with pytest.raises(ValueError, match="read-only"):
        kept[0][0]["reward"][0] = 2


def test_mapped_memory_is_given_back(tmp_path):
    save([life()], tmp_path / "h")

    def maps():
        return sum(str(tmp_path) in line for line in Path("/proc/self/maps").read_text().splitlines())

    if not Path("/proc/self/maps").exists():
        pytest.skip("only Linux tells")
    column = histories.load(tmp_path / "h")[0]["observation"]
    gc.collect()
    assert maps() == 1, "what is in use stays"
    assert column.tolist() == [0, 1, 2, 3, 4]
    del column
    gc.collect()
    assert maps() == 0


def test_a_pickled_store_is_found_from_elsewhere(tmp_path, monkeypatch):
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path)
    save([life()], "h")
    sent = pickle.dumps(histories.load("h"))
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert pickle.loads(sent)[0]["observation"].tolist() == [0, 1, 2, 3, 4]


@pytest.mark.parametrize(
    ("columns", "why"),
    [
        ("reward", r"columns='reward' must be a list of names, such as \['reward'\]"),
        ([], "must name at least one"),
        (["reward", "reward"], "each once"),
        ([0], "0 is none"),
    ],
)
def test_columns_to_draw_are_a_list_of_names(tmp_path, columns, why):
    with pytest.raises((TypeError, ValueError), match=why):
        save([life()], tmp_path / "h").sample(2, 3, np.random.default_rng(0), columns)


@pytest.mark.parametrize("index", [(0, 1), None, 1.0, "0", [0.5], np.zeros((1, 1), int), [[0]], True, ["a"]], ids=repr)
def test_what_picks_no_histories_is_refused(tmp_path, index):
    with pytest.raises(TypeError, match="must be a number, a slice, a mask"):
        save([life()], tmp_path / "h")[index]


def test_histories_are_picked_by_number_mask_list_and_slice(tmp_path):
    kept = save([life(seed=k) for k in range(4)], tmp_path / "h")
    picks = {"list": [3, 0], "array": np.array([3, 0], np.uint8), "range": range(3, -1, -3)}
    assert all(kept[pick].seeds.tolist() == [3, 0] for pick in picks.values())
    assert kept[np.array([True, False, True, False])].seeds.tolist() == [0, 2]
    assert kept[[True, False, True, False]].seeds.tolist() == [0, 2]
    assert len(kept[[]]) == len(kept[np.zeros(0, int)]) == len(kept[4:]) == 0
    assert kept[[]].seeds.tolist() == []
    with pytest.raises(IndexError):
        kept[[4]]


# ------------------------------------------------------------------------------------------------- collect
@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"internals": "q"}, r"internals='q' must be a list of names, such as \['q'\]"),
        ({"labels": "regret"}, r"labels='regret' must be a list of names"),
        ({"internals": [3]}, "3 is none"),
        ({"internals": ["log_prob", "log_prob"]}, "cannot both be columns"),
        ({"seed": 1.7}, "seed=1.7 must be an integer"),
        ({"seed": "5"}, "seed='5' must be an integer"),
        ({"seed": -1}, "seed=-1 must be an integer of at least 0"),
        ({"seed": 2**64}, r"must be below 2\*\*64"),
    ],
)
def test_collect_refuses_by_name(tmp_path, changes, why):
    with pytest.raises((TypeError, ValueError), match=why):
        collect("DarkRoom", Random(), out=tmp_path / "h", **{"histories": 1, "steps": 1, **changes})
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("low", "high", "dtype"),
    [(0, 255, "u1"), (0, 256, "u2"), (-1, 1, "i1"), (-1, 200, "i2"), (-(2**63), 2**63 - 1, "i8"), (0, 2**64 - 1, "u8")],
)
def test_small_integers_hold_all(low, high, dtype):
    assert smallest_integers(low, high) == np.dtype(dtype)
    with pytest.raises(ValueError, match="no integers"):
        smallest_integers(-1, 2**63)


# ------------------------------------------------------------------------------------------------- recorded
class Sums(gym.Env):
    """Pays the action; its episodes have four steps."""

    observation_space = gym.spaces.Box(0, 1, (1,))

    def __init__(self, action_space=None):
        self.action_space = action_space or gym.spaces.Discrete(3)

    def reset(self, *, seed=None, options=None):
        self.t = 0
        return np.zeros(1, np.float32), {}

    def step(self, action):
        self.t += 1
        return np.full(1, self.t / 4, np.float32), float(np.sum(action)), False, self.t == 4, {}


def envs(space=None, make=Sums):
    inner = gym.vector.SyncVectorEnv([lambda: make(space)] * 2, autoreset_mode="Disabled")
    return VectorTrial(inner, 10, autoreset_mode="SameStep")


@pytest.mark.parametrize(
    ("space", "actions", "dtype"),
    [
        (gym.spaces.Discrete(3, start=-1), [-1, 0, 1, -1], "i1"),
        (gym.spaces.Discrete(200, start=100), [100, 299, 256, 255], "u2"),
        (gym.spaces.MultiDiscrete([3, 300], start=[-1, 0]), [[-1, 0], [1, 299], [0, 256], [1, 1]], "i2"),
        (gym.spaces.Box(-2, 2, (2,)), [[0.1, -0.1], [1, 2], [1.9, 0], [0, 0]], "f8"),
    ],
    ids=str,
)
def test_recorded_actions_are_those_that_were_taken(tmp_path, space, actions, dtype):
    recorded = RecordHistory(envs(space), tmp_path / "h", steps=4)
    recorded.reset(seed=0)
    for action in actions:
        recorded.step(np.array([action, action]))
    for history in recorded.histories():
        assert history["action"].tolist() == actions
        assert history["action"].dtype == np.dtype(dtype)
        assert np.allclose(history["reward"], np.array(actions).reshape(4, -1).sum(1))


@pytest.mark.parametrize(
    ("space", "action", "why"),
    [
        (gym.spaces.Discrete(3, start=-1), [2, 0], r"\[2, 0\] are not all in Discrete"),
        (gym.spaces.Discrete(3), [-1, 0], r"not all in Discrete"),
        (gym.spaces.Discrete(3), [0.5, 0], "have dtype float64"),
        (gym.spaces.MultiDiscrete([2, 2]), [0, 1], r"actions have shape \(2,\)"),
    ],
    ids=str,
)
def test_actions_outside_of_the_space_are_refused_before_the_step_is_taken(tmp_path, space, action, why):
    recorded = RecordHistory(envs(space), tmp_path / "h", steps=4)
    recorded.reset(seed=0)
    with pytest.raises(ValueError, match=why):
        recorded.step(np.array(action))
    assert [env.t for env in recorded.unwrapped.envs] == [0, 0]
    recorded.close()
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("later", "why"),
    [
        ({"v": np.full(2, 300)}, "'v' has dtype int64, and had int8 in the first step"),
        ({"v": np.full(2, 0.5)}, "'v' has dtype float64"),
        ({"v": np.zeros((2, 1), np.int8)}, r"'v' has shape \(2, 1\)"),
        ({}, "'v' is not in every step"),
        ({"v": np.zeros(2, np.int8), "w": np.zeros(2)}, "'w' is not in every step"),
        (None, "internals returned None"),
    ],
)
def test_what_the_mind_tells_otherwise_later_is_refused_and_what_was_recorded_is_kept(tmp_path, later, why):
    told = iter([{"v": np.array([100, -100], np.int8)}] * 3 + [later])
    recorded = RecordHistory(envs(), tmp_path / "h", steps=9, internals=lambda seen, actions: next(told))
    recorded.reset(seed=0)
    for _ in range(3):
        recorded.step(np.ones(2, int))
    with pytest.raises((TypeError, ValueError), match=why):
        recorded.step(np.ones(2, int))
    assert [env.t for env in recorded.unwrapped.envs] == [3, 3], "the environment has not been stepped"
    recorded.close()
    kept = histories.load(tmp_path / "h")
    assert kept.stack("v").tolist() == [[100] * 3, [-100] * 3]


def test_a_narrower_dtype_later_is_kept_exactly(tmp_path):
    told = iter([np.array([1e300, 0.1]), np.float32([0.5, 2]), np.array([7, 8])])
    recorded = RecordHistory(envs(), tmp_path / "h", steps=3, internals=lambda seen, actions: {"v": next(told)})
    recorded.reset(seed=0)
    for _ in range(3):
        recorded.step(np.ones(2, int))
    assert recorded.histories().stack("v").tolist() == [[1e300, 0.5, 7], [0.1, 2, 8]]


def test_the_own_columns_are_not_replaced_by_the_mind(tmp_path):
    recorded = RecordHistory(envs(), tmp_path / "h", steps=3, internals=lambda seen, actions: {"reward": np.zeros(2)})
    recorded.reset(seed=0)
    with pytest.raises(ValueError, match="'reward' is recorded already"):
        recorded.step(np.ones(2, int))


def test_what_was_recorded_is_kept_where_the_end_fails(tmp_path, monkeypatch):
    recorded = RecordHistory(envs(), tmp_path / "h", steps=5)
    recorded.reset(seed=0)
    for _ in range(4):
        recorded.step(np.ones(2, int))
    (tmp_path / "h").mkdir()  # somebody else was first
    with pytest.raises(FileExistsError):
        recorded.step(np.full(2, 2))
    recorded.step(np.zeros(2, int))  # beyond the last: not recorded
    with pytest.raises(FileExistsError):
        recorded.close()
    kept = recorded.write(tmp_path / "elsewhere")
    assert kept.rewards.tolist() == [[1, 1, 1, 1, 2]] * 2
    assert len(recorded.histories()) == 2
    with pytest.raises(RuntimeError, match="written already"):
        recorded.write(tmp_path / "again")


def test_a_recorder_that_is_thrown_away_unwritten_warns(tmp_path):
    def thrown_away(steps):
        recorded = RecordHistory(envs(), tmp_path / "h", steps=5)
        recorded.reset(seed=0)
        for _ in range(steps):
            recorded.step(np.ones(2, int))
        del recorded
        gc.collect()

    with pytest.warns(ResourceWarning, match=r"1 recorded steps were never written to .*h: close\(\) writes them"):
        thrown_away(1)
    thrown_away(0)  # nothing was recorded
    thrown_away(5)  # all was, and is written


class Words(Sums):
    observation_space = gym.spaces.Dict(a=gym.spaces.Box(0, 1), b=gym.spaces.Discrete(2))


def test_observations_that_are_no_arrays_are_refused_at_once(tmp_path):
    with pytest.raises(ValueError, match=r"observations are Dict.*flatten them first"):
        RecordHistory(gym.vector.SyncVectorEnv([Words], autoreset_mode="SameStep"), tmp_path / "h", steps=3)


def test_paths_are_where_they_were_when_they_were_given(tmp_path, monkeypatch):
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path)
    recorded = RecordHistory(envs(), "recorded", steps=1)
    recorded.reset(seed=0)
    monkeypatch.chdir(tmp_path / "elsewhere")
    recorded.step(np.ones(2, int))
    assert sorted(os.listdir(tmp_path)) == ["elsewhere", "recorded"]
    assert json.loads((tmp_path / "recorded" / "manifest.json").read_text())["recorded"]["rows"] == 2
