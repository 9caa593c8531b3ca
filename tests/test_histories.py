"""Learning histories: collected, kept, found again, and never half read."""

import concurrent.futures
import json
import pickle
import shutil

import gymnasium as gym
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import metarl_envs
from metarl_envs import histories
from metarl_envs.histories import StoreError, collect
from metarl_envs.histories.layout import TABLES
from metarl_envs.histories.shard_files import digest_of
from metarl_envs.learners import QLearning, Random
from metarl_envs.learners.random import RandomArray

ID = "MetaRL/DarkRoom-v0"
#: Episodes that end early, so that none of the lengths is a round number.
HARD = {"size": 5, "horizon": 8}
HARD_ID = "MetaRL/DarkRoomHard-v0"
LABELS = ["optimal_action", "q_star", "regret"]


def store(folder, **changes):
    arguments = {"histories": 7, "steps": 100, "split": "train", "internals": ["q"], "labels": ["optimal_action"]}
    return collect(HARD_ID, QLearning(), out=folder, **{**arguments, **HARD, **changes})


def files(folder):
    """Every file of a folder, and what it holds."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


@pytest.fixture
def small_shards(monkeypatch):
    """Two or three histories a shard, one a batch: what large collections have, in small."""
    from metarl_envs.histories import plan, shard_plan

    monkeypatch.setattr(shard_plan, "_LEAST_SHARD", 8_000)
    monkeypatch.setattr(shard_plan, "_LARGEST_SHARD", 8_000)
    monkeypatch.setattr(plan, "_BATCH", 3_000)


# ------------------------------------------------------------------------------------------------- what is collected
@pytest.mark.parametrize(
    ("id", "learner", "params"),
    [
        (ID, QLearning(), {"split": "train"}),
        (HARD_ID, QLearning(), HARD),
        ("MetaRL/TabularMDP-v0", Random(), {}),
        ("MetaRL/GaussianBandit-v0", Random(), {}),
        ("MetaRL/PointRobotSparse-v0", RandomArray(), {}),
        ("MetaRL/CartPole-v0", Random(), {}),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_history_is_what_a_single_environment_of_its_seed_goes_through(id, learner, params):
    """The independent check: the same actions through `gymnasium.make` give the same observations, rewards and ends."""
    params = {"split": None, **params}
    lived = collect(id, learner, histories=2, steps=60, seed=3, **params)
    env = gym.make(f"metarl_envs:{id}", episodes_per_trial=1000, **params)
    for history in lived:
        seen, _ = env.reset(seed=history.seed)
        ends = []
        for n, action in enumerate(history["action"]):
            assert np.array_equal(seen, history["observation"][n])
            given = action if env.action_space.shape else int(action)
            seen, reward, _, _, info = env.step(given)
            trial = info["trial"]
            assert reward == history["reward"][n]
            assert trial["inner_terminated"] == history["terminated"][n]
            assert trial["inner_truncated"] == history["truncated"][n]
            if trial["episode_start"]:
                ends.append((n + 1, trial["final_obs"]))
        if not ends or ends[-1][0] < history.steps:
            ends.append((history.steps, seen))  # cut off
        assert history.episode_end.tolist() == [end for end, _ in ends]
        assert np.array_equal(history.final_observation, np.stack([final for _, final in ends]))


def test_the_episodes_of_a_history_are_its_steps_and_their_true_last_observations(tmp_path):
    for history in store(tmp_path / "h"):
        parts = [history.episode(k) for k in range(history.episodes)]
        for name in history:
            assert np.array_equal(np.concatenate([part[name] for part in parts]), history[name])
        assert history.returns().tolist() == [part["reward"].sum() for part in parts]
        assert history.episode_start.sum() == history.episodes
        assert (history["observation"][history.episode_start] == 2).all(), "each episode starts at the centre"
        for part in parts[:-1]:
            on_goal = (part["final_observation"] == history.task["goal"]).all()
            assert on_goal == part["terminated"][-1] != part["truncated"][-1]
    with pytest.raises(IndexError, match=r"episode 1000"):
        history.episode(1000)


def test_labels_are_what_the_ground_truth_says():
    lived = collect(ID, QLearning(), histories=2, steps=50, labels=LABELS, split="test")
    env = gym.make(f"metarl_envs:{ID}", episodes_per_trial=1000, ground_truth=True, split="test")
    for history in lived:
        _, info = env.reset(seed=history.seed)
        for n, action in enumerate(history["action"].tolist()):
            truth = info["metarl"]
            assert np.allclose(history["q_star"][n], truth["q_star"], atol=1e-12)
            assert truth["optimal_actions"][history["optimal_action"][n]]
            before = truth["regret"]
            info = env.step(action)[-1]
            assert np.isclose(history["regret"][n], info["metarl"]["regret"] - before)


def test_the_oracle_that_looks_on_keeps_time_with_the_environment():
    """The plan of TabularMDP's oracle goes by the clock, which it reads off what it sees."""
    lived = collect("MetaRL/TabularMDP-v0", Random(), histories=3, steps=35, labels=["optimal_action", "q_star"])
    for history in lived:
        best = np.take_along_axis(history["q_star"], history["optimal_action"].astype(int)[:, None], 1)[:, 0]
        assert np.allclose(best, history["q_star"].max(axis=1))


def test_labels_and_internals_change_nothing_of_what_is_lived():
    plain = collect(ID, QLearning(), histories=4, steps=200)
    for more in ({"internals": ["q"], "labels": ["optimal_action"]}, {"labels": LABELS}):
        labelled = collect(ID, QLearning(), histories=4, steps=200, **more)
        for name in plain.columns:
            assert np.array_equal(plain.stack(name), labelled.stack(name)), name


def test_the_recorded_table_is_that_of_q_learning_replayed_in_numpy():
    """Q-learning's update from the textbook, over the recorded transitions."""
    learner = QLearning()
    for history in collect(HARD_ID, learner, histories=3, steps=150, internals=["q"], **HARD):
        q, h = np.full((25, 5), learner.p.initial_value), learner.p
        cells = history["observation"].astype(int) @ [5, 1]
        finals = dict(zip(history.episode_end.tolist(), history.final_observation.astype(int) @ [5, 1], strict=True))
        for n in range(history.steps):
            assert np.allclose(history["q"][n], q[cells[n]], atol=1e-6)
            then = finals.get(n + 1, cells[n + 1] if n + 1 < history.steps else None)
            follows = 0.0 if history["terminated"][n] else h.discount * q[then].max()
            a = history["action"][n]
            q[cells[n], a] += h.step_size * (history["reward"][n] + follows - q[cells[n], a])


def test_given_tasks_are_lived_on_by_turns_with_the_same_luck():
    tasks = metarl_envs.tasks(ID, split="test")
    lived = collect(ID, Random(), histories=40, steps=5, tasks=tasks, seed=1)
    assert np.array_equal(lived.tasks["goal"], tasks.rows(len(tasks))["goal"][np.arange(40) % len(tasks)])
    other = collect(ID, Random(), histories=40, steps=5, tasks=tasks[3:9], seed=1)
    assert np.array_equal(lived.actions, other.actions), "equal seeds, whatever the task"


def test_by_default_lives_are_on_train_tasks_where_there_are_some():
    def tasks(split, id=ID):
        return set(metarl_envs.tasks(id, split=split).ids().tolist())

    lived = collect(ID, Random(), histories=100, steps=1)
    assert set(lived.task_ids.tolist()) <= tasks("train")
    assert lived.about["split"] == "train"
    assert set(collect(ID, Random(), histories=100, steps=1, split=None).task_ids.tolist()) & tasks("test")
    few = collect("MetaRL/TMaze-v0", Random(), histories=20, steps=1)
    assert few.about["split"] is None
    assert set(few.task_ids.tolist()) == tasks(None, "MetaRL/TMaze-v0")


def test_columns_are_small_and_exact():
    types = {name: dtype for name, (dtype, _) in collect(ID, QLearning(), histories=1, steps=5).columns.items()}
    assert types["action"] == np.uint8
    assert types["reward"] == np.float32
    two_step = collect("MetaRL/TwoStep-v0", Random(), histories=1, steps=5).columns
    assert two_step["observation"] == (np.uint8, ())
    assert collect("MetaRL/GaussianBandit-v0", Random(), histories=1, steps=5).columns["reward"][0] == np.float64


# ------------------------------------------------------------------------------------------------- on disk
def test_what_is_on_disk_is_what_is_in_memory(tmp_path, small_shards):
    kept = store(tmp_path / "h")
    lived = store(None)
    assert len(kept._shards) > 2
    assert kept.columns == lived.columns
    for one, other in zip(kept, lived, strict=True):
        assert all(np.array_equal(one[name], other[name]) for name in one)
        assert np.array_equal(one.episode_end, other.episode_end)
        assert np.array_equal(one.final_observation, other.final_observation)
        assert (one.seed, one.task_id, one.task) == (other.seed, other.task_id, other.task)
    plain = np.load(tmp_path / "h" / "shards" / "00000" / "reward.npy")
    assert np.array_equal(plain[:100], lived[0]["reward"])


def test_bytes_do_not_depend_on_workers_executors_or_shares(tmp_path, small_shards):
    store(tmp_path / "one", workers=1)
    store(tmp_path / "two", workers=2)
    with concurrent.futures.ThreadPoolExecutor(3) as team:
        store(tmp_path / "team", executor=team)
    for i in (2, 0, 1):
        store(tmp_path / "shares", shard=(i, 3))
    whole = files(tmp_path / "one")
    assert len(whole) > 30
    for other in ("two", "team", "shares"):
        assert files(tmp_path / other) == whole


@pytest.mark.slow
def test_processes_write_the_same_bytes(tmp_path):
    import multiprocessing

    store(tmp_path / "threads")
    with concurrent.futures.ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("spawn")) as team:
        store(tmp_path / "processes", executor=team)
    assert files(tmp_path / "threads") == files(tmp_path / "processes")


def test_an_interrupted_collection_goes_on_and_ends_as_if_nothing_had_been(tmp_path, small_shards):
    store(tmp_path / "whole")

    class EnoughError(Exception):
        pass

    def stop(_, done, total):
        if done:
            raise EnoughError

    with pytest.raises(EnoughError):
        store(tmp_path / "h", progress=stop, workers=1)
    there = sorted(path.name for path in (tmp_path / "h" / "shards").iterdir())
    assert 1 <= len(there) < 4
    with pytest.raises(StoreError, match=r"is not whole.*resume=True"):
        histories.load(tmp_path / "h")
    assert len(histories.load(tmp_path / "h", partial=True)) < 7
    (tmp_path / "h" / "shards" / ".00003.part-left").mkdir()
    store(tmp_path / "h", resume=True)
    assert files(tmp_path / "h") == files(tmp_path / "whole")
    assert not list((tmp_path / "h" / "shards").glob(".*"))


def test_a_folder_is_not_written_over(tmp_path):
    store(tmp_path / "h")
    before = files(tmp_path / "h")
    with pytest.raises(FileExistsError, match=r"resume=True"):
        store(tmp_path / "h")
    with pytest.raises(ValueError, match=r"another collection \(seed is 0, not 1\)"):
        store(tmp_path / "h", seed=1, resume=True)
    assert files(tmp_path / "h") == before
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "letter.txt").write_text("dear")
    with pytest.raises(FileExistsError, match=r"is not empty, and holds no histories"):
        store(tmp_path / "mine", resume=True)
    assert len(store(tmp_path / "h", resume=True)) == 7, "a whole one is simply opened"


def test_what_the_disk_cannot_hold_is_refused_before_anything_is_written(tmp_path, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(10**6, 10**6, 1000))
    with pytest.raises(OSError, match=r"need 0\.0 GB.*has 0\.0 GB free: collect fewer"):
        store(tmp_path / "h")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("changes", "error", "why"),
    [
        ({"histories": 0}, ValueError, "histories=0"),
        ({"steps": 0}, ValueError, "steps=0"),
        ({"internals": ["qq"]}, ValueError, "'qq'.*it has: q"),
        ({"labels": ["best"]}, ValueError, "'best' is no label; there are: optimal_action"),
        ({"shard": (3, 3)}, ValueError, r"shard=\(3, 3\)"),
        ({"shard": (2, 3)}, ValueError, r"shard=\(2, 3\) has nothing to do: there are 1 shards"),
        ({"split": "tset"}, ValueError, "tset"),
        ({"tasks": metarl_envs.tasks(ID)}, ValueError, "leave out size"),
    ],
)
def test_bad_arguments_are_refused_by_name(tmp_path, changes, error, why):
    with pytest.raises(error, match=why):
        store(tmp_path / "h", **changes)
    assert not (tmp_path / "h").exists()


def test_labels_that_nobody_knows_are_refused():
    with pytest.raises(ValueError, match=r"'q_star', is not known exactly in CartPole"):
        collect("MetaRL/CartPole-v0", Random(), histories=1, steps=1, labels=["q_star"])
    with pytest.raises(ValueError, match=r"executor, shard and resume"):
        collect(ID, Random(), histories=1, steps=1, resume=True)
    with pytest.raises(TypeError, match=r"write QLearning"):
        collect(ID, QLearning, histories=1, steps=1)


# ------------------------------------------------------------------------------------------------- refused stores
def test_a_damaged_store_is_refused_with_what_to_do(tmp_path, small_shards):
    store(tmp_path / "whole")

    def damaged(change):
        shutil.rmtree(tmp_path / "h", ignore_errors=True)
        shutil.copytree(tmp_path / "whole", tmp_path / "h")
        change(tmp_path / "h", tmp_path / "h" / "shards" / "00001")
        return tmp_path / "h"

    def truncate(folder, shard):
        content = (shard / "observation.npy").read_bytes()
        (shard / "observation.npy").write_bytes(content[:-10])

    def other_format(folder, shard):
        about = json.loads((folder / "manifest.json").read_text())
        (folder / "manifest.json").write_text(json.dumps({**about, "format": "metarl_envs histories 0"}))

    def other_learner(folder, shard):
        text = (folder / "manifest.json").read_text()
        (folder / "manifest.json").write_text(text.replace("QLearning", "PSRL"))

    refused = {
        "bytes, and": truncate,
        r"observation\.npy is missing": lambda folder, shard: (shard / "observation.npy").unlink(),
        r"shard\.json is missing": lambda folder, shard: (shard / "shard.json").unlink(),
        r"is not whole: 3 of 4": lambda folder, shard: shutil.rmtree(shard),
        "this version reads": other_format,
        "no shard of this manifest": other_learner,
        "is no store of histories": lambda folder, shard: (folder / "manifest.json").write_text("{}"),
        "is damaged": lambda folder, shard: (folder / "manifest.json").write_text("{"),
        r"manifest\.json is missing": lambda folder, shard: (folder / "manifest.json").unlink(),
    }
    for why, change in refused.items():
        with pytest.raises(StoreError, match=why):
            histories.load(damaged(change))
    with pytest.raises(FileNotFoundError, match=r"no folder"):
        histories.load(tmp_path / "nowhere")


def test_verify_finds_a_single_changed_byte_of_any_file(tmp_path, small_shards):
    kept = store(tmp_path / "h")
    read = []
    kept.verify(lambda _, done, total: read.append((done, total)))
    assert read[-1][0] == read[-1][1] > 0
    for file in sorted((tmp_path / "h" / "shards" / "00002").glob("*.npy")):
        content = bytearray(file.read_bytes())
        content[-1] ^= 1
        file.write_bytes(content)
        with pytest.raises(StoreError, match=rf"{file.name} has been changed|offsets say otherwise"):
            histories.load(tmp_path / "h").verify()
        content[-1] ^= 1
        file.write_bytes(content)
    histories.load(tmp_path / "h").verify()
    with pytest.raises(TypeError, match=r"in memory"):
        store(None).verify()


def test_a_store_can_run_no_code(tmp_path):
    """An array of pickled objects in place of a column is refused unread."""
    store(tmp_path / "h")
    shard = tmp_path / "h" / "shards" / "00000"
    np.save(shard / "reward.npy", np.array([{"run": "me"}], dtype=object), allow_pickle=True)
    told = json.loads((shard / "shard.json").read_text())
    told["files"]["reward.npy"]["bytes"] = (shard / "reward.npy").stat().st_size
    del told["digest"]
    told["digest"] = digest_of(told)
    (shard / "shard.json").write_text(json.dumps(told))
    with pytest.raises(StoreError, match=r"reward\.npy is damaged, or holds no array \(cannot be read as an array"):
        histories.load(tmp_path / "h")


# ------------------------------------------------------------------------------------------------- drawing
@settings(max_examples=25, deadline=None)
@given(length=st.integers(1, 100), batch=st.integers(1, 50), seed=st.integers(0, 2**32 - 1))
def test_windows_are_pieces_of_one_history(tmp_path_factory, length, batch, seed):
    kept = _kept(tmp_path_factory)
    drawn = kept.sample(batch, length, np.random.default_rng(seed))
    assert (drawn["step"] + length <= kept.lengths[drawn["history"]]).all()
    for b in range(batch):
        history, lo = kept[int(drawn["history"][b])], int(drawn["step"][b])
        for name in kept.columns:
            assert np.array_equal(drawn[name][b], history[name][lo : lo + length]), name


_KEPT = []


def _kept(factory):
    """One store of unequal histories in several shards, for all examples."""
    if not _KEPT:
        folder = factory.mktemp("kept")
        parts = [store(folder / str(steps), histories=3, steps=steps, seed=steps) for steps in (100, 30, 101)]
        _KEPT.append(histories.concatenate([parts[0], parts[1][[2, 0]], parts[2]]))
    return _KEPT[0]


def test_windows_are_drawn_uniformly(tmp_path_factory):
    """Chi-squared over all windows that there are, at the 1e-6 level."""
    kept, rng, length = _kept(tmp_path_factory), np.random.default_rng(0), 25
    ways = np.maximum(kept.lengths - length + 1, 0)
    drawn = kept.sample(200_000, length, rng, columns=["action"])
    counts = np.bincount(np.concatenate([[0], ways.cumsum()])[drawn["history"]] + drawn["step"], minlength=ways.sum())
    expected = 200_000 / ways.sum()
    statistic, freedom = ((counts - expected) ** 2 / expected).sum(), len(counts) - 1
    assert abs(statistic - freedom) < 5 * np.sqrt(2 * freedom)


def test_too_long_windows_and_unknown_columns_are_refused(tmp_path_factory):
    kept, rng = _kept(tmp_path_factory), np.random.default_rng(0)
    with pytest.raises(ValueError, match=r"length=102: the longest of 8 histories has 101 steps"):
        kept.sample(1, 102, rng)
    with pytest.raises(ValueError, match=r"'rewards' is not there; there are: observation"):
        kept.sample(1, 10, rng, columns=["rewards"])
    with pytest.raises(ValueError, match=r"batch=0"):
        kept.sample(0, 10, rng)


def test_histories_can_be_picked_and_joined(tmp_path_factory):
    kept = _kept(tmp_path_factory)
    assert kept.lengths.tolist() == [100] * 3 + [30] * 2 + [101] * 3
    good = kept.where(lambda history: history.steps > 50)
    assert len(good) == 6
    assert good.sample(500, 100, np.random.default_rng(0))["history"].max() == 5
    assert [h.seed for h in kept[::-1]] == [h.seed for h in kept][::-1]
    assert kept[-1].seed == kept.seeds[-1]
    with pytest.raises(IndexError):
        kept[8]
    with pytest.raises(ValueError, match=r"cannot be stacked"):
        kept.stack("reward")
    with pytest.raises(ValueError, match=r"columns differ"):
        histories.concatenate([kept, collect(ID, Random(), histories=1, steps=3)])


def test_a_pickled_store_maps_the_same_files(tmp_path):
    kept = store(tmp_path / "h")[2:5]
    sent = pickle.dumps(kept)
    assert len(sent) < 6000, "paths, not columns"
    again = pickle.loads(sent)
    assert np.array_equal(again.stack("q"), kept.stack("q"))
    lived = pickle.loads(pickle.dumps(store(None)))
    assert np.array_equal(lived[2:5].stack("q"), kept.stack("q"))


def test_every_table_is_there(tmp_path):
    store(tmp_path / "h")
    names = {path.stem for path in (tmp_path / "h" / "shards" / "00000").glob("*.npy")}
    assert set(TABLES) <= names
