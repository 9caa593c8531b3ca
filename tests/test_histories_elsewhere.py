"""Histories that come from elsewhere or go there: saved, recorded, exchanged, read by PyTorch, collected by Ray, killed."""

import os
import shutil
import signal
import subprocess
import sys
import time

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.vector import AutoresetMode

import metarl_envs
from metarl_envs import histories
from metarl_envs.histories import StoreError, collect
from metarl_envs.learners import QLearning
from metarl_wrappers import VectorTrial

HARD_ID = "MetaRL/DarkRoomHard-v0"
HARD = {"size": 5, "horizon": 8}


def lived(**changes):
    what = {"histories": 6, "steps": 90, "split": "train", "internals": ["q"], "labels": ["optimal_action"], **HARD}
    return collect(HARD_ID, QLearning(), **{**what, **changes})


def assert_equal(one, other, names=None, finals=True):
    assert len(one) == len(other)
    for mine, theirs in zip(one, other, strict=True):
        for name in names or one.columns:
            assert mine[name].dtype == theirs[name].dtype, name
            assert np.array_equal(mine[name], theirs[name]), name
        assert np.array_equal(mine.episode_end, theirs.episode_end)
        if finals:
            assert np.array_equal(mine.final_observation, theirs.final_observation)


# ------------------------------------------------------------------------------------------------- saved
def test_picked_and_joined_histories_are_saved_as_a_store(tmp_path, monkeypatch):
    from metarl_envs.histories import saving

    monkeypatch.setattr(saving, "_SHARD", 4000)
    joined = histories.concatenate([lived(), lived(steps=33, seed=9)])[[7, 1, 1, 10, 3]]
    kept = histories.save(joined, tmp_path / "picked")
    kept.verify()
    assert len(kept._shards) > 1
    assert_equal(joined, kept)
    assert np.array_equal(kept.tasks, joined.tasks)
    assert np.array_equal(kept.seeds, joined.seeds)
    with pytest.raises(FileExistsError, match="another folder"):
        histories.save(joined, tmp_path / "picked")
    with pytest.raises(ValueError, match="is empty"):
        histories.save([], tmp_path / "none")
    with pytest.raises(ValueError, match="columns differ"):
        histories.save([lived()[0], lived(internals=[])[0]], tmp_path / "mixed")
    assert [path.name for path in tmp_path.iterdir()] == ["picked"]


# ------------------------------------------------------------------------------------------------- exchanged
def test_arrow_keeps_everything(tmp_path):
    pytest.importorskip("pyarrow")
    here = lived()
    histories.export(here, tmp_path / "h.arrow", "arrow")
    back = histories.import_from(tmp_path / "h.arrow", "arrow", tmp_path / "back")
    assert_equal(here, back)
    assert np.array_equal(here.tasks, back.tasks)
    assert np.array_equal(here.seeds, back.seeds)
    assert back.about["saved_from"]["learner"]["name"] == "QLearning"
    with pytest.raises(FileExistsError):
        histories.export(here, tmp_path / "h.arrow", "arrow")
    (tmp_path / "broken").write_bytes(b"no arrow")
    with pytest.raises(ValueError, match=r"broken is damaged, or holds no Arrow IPC stream"):
        histories.import_from(tmp_path / "broken", "arrow", tmp_path / "x")
    content = (tmp_path / "h.arrow").read_bytes()
    (tmp_path / "cut").write_bytes(content[: len(content) // 2])
    with pytest.raises(StoreError, match="cut is damaged"):
        histories.import_from(tmp_path / "cut", "arrow", tmp_path / "x")
    assert not (tmp_path / "x").exists(), "nothing is half read"


def test_xland_layout_and_back(tmp_path):
    h5py = pytest.importorskip("h5py")
    tasks = metarl_envs.tasks(HARD_ID, split="train", **HARD)[:3]
    here = collect(HARD_ID, QLearning(), histories=6, steps=90, tasks=tasks, labels=["optimal_action"])
    histories.export(here, tmp_path / "h.hdf5", "xland")
    with h5py.File(tmp_path / "h.hdf5") as file:  # as readers of XLand-100B go about it
        assert sorted(file) == ["0", "1", "2"]
        assert file["1"]["states"].shape == (2, 90, 2)
        assert file["1"]["dones"].compression == "gzip"
        assert {"benchmark-id", "env-id", "ruleset-id"} <= set(file["1"].attrs)
        assert np.array_equal(file["1"]["expert_actions"][1], here[4]["optimal_action"])
    back = histories.import_from(tmp_path / "h.hdf5", "xland", tmp_path / "back")
    by_task = here[[0, 3, 1, 4, 2, 5]]
    assert_equal(by_task, back, ["observation", "action", "reward", "optimal_action"], finals=False)
    for one, other in zip(by_task, back, strict=True):
        assert np.array_equal(one["terminated"] | one["truncated"], other["terminated"])
        assert one.task_id == other.task_id
        assert other.final_observation is None
    with pytest.raises(ValueError, match="do not say what was seen"):
        _ = back.final_observations
    with h5py.File(tmp_path / "other.hdf5", "w") as file:
        file["x"] = 1
    with pytest.raises(ValueError, match="not the layout of XLand-100B"):
        histories.import_from(tmp_path / "other.hdf5", "xland", tmp_path / "x")
    short = collect(HARD_ID, QLearning(), histories=3, steps=9, tasks=tasks, labels=["optimal_action"])
    with pytest.raises(ValueError, match="different lengths"):
        histories.export(histories.concatenate([here, short]), tmp_path / "y.hdf5", "xland")


def test_a_minari_dataset_and_back(tmp_path, monkeypatch):
    pytest.importorskip("h5py")
    minari = pytest.importorskip("minari")
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path))
    here = lived(histories=3)
    histories.export(here, "metarl/hard-v0", "minari")
    dataset = minari.load_dataset("metarl/hard-v0")
    assert dataset.total_steps == here.steps
    assert dataset.total_episodes == sum(history.episodes for history in here)
    first = next(iter(dataset.iterate_episodes()))
    assert np.array_equal(first.observations[-1], here[0].final_observation[0])
    back = histories.import_from("metarl/hard-v0", "minari", tmp_path / "back")
    for one, other in zip(here, back, strict=True):
        for name in ("observation", "action", "q", "optimal_action", "terminated"):
            assert np.array_equal(one[name], other[name]), name
        assert np.array_equal(one["reward"].astype(float), other["reward"])
        assert np.array_equal(one.episode_end, other.episode_end)
        assert np.array_equal(one.final_observation, other.final_observation)
    with pytest.raises(FileExistsError, match="another id"):
        histories.export(here, "metarl/hard-v0", "minari")
    with pytest.raises(FileNotFoundError, match="no Minari dataset"):
        histories.import_from("metarl/nothing-v0", "minari", tmp_path / "x")


def test_unknown_formats_and_missing_files_are_refused(tmp_path):
    with pytest.raises(ValueError, match=r"format='csv' is not known; there are: arrow, minari, xland"):
        histories.export(lived(), tmp_path / "h.csv", "csv")
    pytest.importorskip("pyarrow")
    with pytest.raises(FileNotFoundError, match="is no file"):
        histories.import_from(tmp_path / "nothing", "arrow", tmp_path / "x")


# ------------------------------------------------------------------------------------------------- recorded
def test_a_recorded_vector_environment_is_what_collecting_gives(tmp_path):
    """The same learner's actions through the vector API, recorded, equal the fused loop's histories."""
    fused = collect(HARD_ID, QLearning(), histories=4, steps=70, split=None, **HARD)
    envs = gym.make_vec(
        f"metarl_envs:{HARD_ID}", num_envs=4, autoreset_mode="SameStep", episodes_per_trial=10**6, ground_truth=True, **HARD
    )
    told = []

    def internals(observations, actions):
        told.append((observations.copy(), actions.copy()))
        return {"doubled": 2.0 * actions}

    envs = histories.RecordHistory(envs, tmp_path / "h", steps=70, learner={"name": "replayed"}, internals=internals)
    envs.reset(seed=[int(seed) for seed in fused.seeds])
    for n in range(70):
        envs.step(fused.actions[:, n].astype(np.int64))
    kept = envs.histories()
    assert kept.about["recorded"] == {"learner": {"name": "replayed"}, "rows": 4}
    for one, other in zip(fused, kept, strict=True):
        for name in one:
            assert np.array_equal(one[name], other[name]), name
        assert np.array_equal(one.episode_end, other.episode_end)
        assert np.array_equal(one.final_observation, other.final_observation)
        assert one.task_id == other.task_id
        assert np.array_equal(other["doubled"], 2.0 * one["action"])
    kept.verify()
    envs.step(np.zeros(4, np.int64))  # what comes after is no longer recorded
    envs.close()


def test_trials_that_end_and_resets_begin_new_histories(tmp_path):
    envs = gym.make_vec(f"metarl_envs:{HARD_ID}", num_envs=3, autoreset_mode="SameStep", episodes_per_trial=2, **HARD)
    envs = histories.RecordHistory(envs, tmp_path / "h", steps=100)
    envs.reset(seed=0)
    rng, paid, ended = np.random.default_rng(0), 0.0, 0
    for n in range(60):
        if n == 25:
            envs.reset(seed=5)
        _, rewards, terminated, truncated, _ = envs.step(rng.integers(0, 5, 3))
        paid += rewards.sum()
        ended += (terminated | truncated).sum()
    with pytest.raises(RuntimeError, match="60 of 100 steps"):
        envs.histories()
    envs.close()
    kept = histories.load(tmp_path / "h")
    kept.verify()
    assert kept.steps == 180
    assert sum(history["reward"].sum() for history in kept) == paid
    whole = sum(bool(history["terminated"][-1] | history["truncated"][-1]) for history in kept)
    assert ended <= whole <= ended + 6, "each trial that ended, and at most those that a reset or the close cut at an end"
    assert max(history.episodes for history in kept) == 2


def test_recording_any_vector_environment_and_what_is_refused(tmp_path):
    def cartpoles(mode):
        return gym.make_vec("CartPole-v1", num_envs=2, vectorization_mode="sync", vector_kwargs={"autoreset_mode": mode})

    disabled = cartpoles(AutoresetMode.DISABLED)
    envs = VectorTrial(disabled, episodes_per_trial=3, keep_task="options", autoreset_mode="SameStep")
    envs = histories.RecordHistory(envs, tmp_path / "h", steps=80)
    envs.reset(seed=0)
    for _ in range(80):
        envs.step(envs.action_space.sample())
    assert envs.histories().steps == 160
    with pytest.raises(ValueError, match="SAME_STEP"):
        histories.RecordHistory(cartpoles(AutoresetMode.NEXT_STEP), tmp_path / "x", steps=1)
    with pytest.raises(FileExistsError, match="another folder"):
        histories.RecordHistory(cartpoles(AutoresetMode.SAME_STEP), tmp_path / "h", steps=1)
    bare = histories.RecordHistory(cartpoles(AutoresetMode.SAME_STEP), tmp_path / "x", steps=1)
    with pytest.raises(ValueError, match="VectorTrial"):
        bare.reset(seed=0)


@pytest.mark.slow
def test_ppo_is_recorded(tmp_path):
    """A neural learner of Stable-Baselines3, with what it thinks of each step."""
    pytest.importorskip("stable_baselines3")
    import torch
    from stable_baselines3 import PPO

    from metarl_wrappers.sb3 import SB3VecEnv

    torch.set_num_threads(1)
    envs = gym.make_vec(
        "metarl_envs:MetaRL/DarkRoom-v0", num_envs=8, autoreset_mode="SameStep", episodes_per_trial=10**6, num_tasks=1, size=5
    )
    model = None

    def internals(observations, actions):
        with torch.no_grad():
            value, log_prob, _ = model.policy.evaluate_actions(torch.as_tensor(observations).float(), torch.as_tensor(actions))
        return {"value": value[:, 0].numpy(), "log_prob": log_prob.numpy()}

    recorded = histories.RecordHistory(envs, tmp_path / "ppo", steps=4096, learner={"name": "PPO"}, internals=internals)
    model = PPO("MlpPolicy", SB3VecEnv(recorded), n_steps=128, batch_size=256, learning_rate=1e-3, seed=0, device="cpu")
    model.learn(8 * 4096)
    kept = recorded.histories()
    kept.verify()
    assert kept.lengths.tolist() == [4096] * 8
    assert len(set(kept.task_ids.tolist())) == 1
    returns = np.stack([history.returns() for history in kept])
    assert returns[:, -20:].mean() > returns[:, :20].mean() + 2, "it learned"
    assert (kept.stack("log_prob") <= 0).all()


# ------------------------------------------------------------------------------------------------- read by PyTorch
@pytest.mark.slow
def test_torch_workers_draw_from_the_same_files_and_not_the_same_windows(tmp_path):
    torch = pytest.importorskip("torch")
    kept = lived(out=tmp_path / "h")
    windows = histories.TorchWindows(kept, batch=16, length=20, seed=1, batches=5)
    for workers in (0, 2):
        loader = torch.utils.data.DataLoader(
            windows, batch_size=None, num_workers=workers, multiprocessing_context="spawn" if workers else None
        )
        batches = list(loader)
        assert len(batches) == 5 * max(workers, 1)
        for drawn in batches:
            for b in range(16):
                history, lo = kept[int(drawn["history"][b])], int(drawn["step"][b])
                assert np.array_equal(drawn["q"][b].numpy(), history["q"][lo : lo + 20])
        places = {tuple(drawn["step"].tolist()) for drawn in batches}
        assert len(places) == len(batches)


# ------------------------------------------------------------------------------------------------- Ray
ON_RAY = """
import pathlib, sys
from metarl_envs.histories import RayExecutor, collect, shard_plan
from metarl_envs.learners import QLearning
shard_plan._LEAST_SHARD = shard_plan._LARGEST_SHARD = 8000
where = pathlib.Path(sys.argv[1])
what = dict(histories=12, steps=100, internals=["q"])
collect("MetaRL/DarkRoom-v0", QLearning(), out=where / "here", **what)
with RayExecutor(init={"num_cpus": 2, "include_dashboard": False, "log_to_driver": False}) as cluster:
    collect("MetaRL/DarkRoom-v0", QLearning(), out=where / "ray", executor=cluster, **what)
shards = sorted((where / "here" / "shards").glob("*/*"))
assert len({path.parent for path in shards}) > 3
for path in shards:
    assert path.read_bytes() == (where / "ray" / path.relative_to(where / "here")).read_bytes(), path
print("alike", len(shards))
"""


@pytest.mark.slow
def test_a_ray_cluster_of_two_workers_writes_the_same_bytes(tmp_path):
    python = os.environ.get("METARL_RLLIB_PYTHON")
    if not python:
        pytest.importorskip("ray")
        python = sys.executable
    done = subprocess.run([python, "-c", ON_RAY, str(tmp_path)], capture_output=True, text=True, timeout=400)
    assert done.returncode == 0, done.stderr[-3000:]
    assert "alike" in done.stdout


# ------------------------------------------------------------------------------------------------- compiled and plain
ALIKE = """
import pathlib, sys
import numpy as np
from metarl_envs.histories import collect, load
from metarl_envs.learners import PSRL, QLearning, Random
where = pathlib.Path(sys.argv[1])
small = dict(histories=4, steps=60)
labels = ["optimal_action", "q_star", "regret"]
collect("MetaRL/DarkRoomHard-v0", QLearning(), out=where / "hard", size=5, horizon=8, internals=["q"], labels=labels, **small)
collect("MetaRL/TabularMDP-v0", PSRL(), out=where / "mdp", labels=labels, **small)
collect("MetaRL/CartPole-v0", Random(), out=where / "poles", **small)
drawn = load(where / "hard").sample(5, 20, np.random.default_rng(0))
np.savez(where / "drawn.npz", **drawn)
"""


@pytest.mark.slow
def test_compiled_and_plain_write_and_draw_the_same_bytes(tmp_path):
    for name, off in (("compiled", "0"), ("plain", "1")):
        (tmp_path / name).mkdir()
        env = {**os.environ, "NUMBA_DISABLE_JIT": off}
        done = subprocess.run([sys.executable, "-c", ALIKE, str(tmp_path / name)], env=env, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr[-3000:]
    files = sorted(path.relative_to(tmp_path / "plain") for path in (tmp_path / "plain").rglob("*.npy"))
    assert len(files) > 30
    for file in files:
        assert (tmp_path / "plain" / file).read_bytes() == (tmp_path / "compiled" / file).read_bytes(), file
    one, other = (np.load(tmp_path / name / "drawn.npz") for name in ("compiled", "plain"))
    for name in one.files:
        assert np.array_equal(one[name], other[name]), name


# ------------------------------------------------------------------------------------------------- killed
COLLECT = """
import sys
from metarl_envs.histories import collect, shard_plan
from metarl_envs.learners import QLearning
shard_plan._LEAST_SHARD = shard_plan._LARGEST_SHARD = 400_000
collect("MetaRL/DarkRoom-v0", QLearning(), histories=400, steps=2000, split="train", internals=["q"], out=sys.argv[1],
        resume=True, progress=lambda _, done, total: print(done, total, flush=True))
"""


@pytest.mark.slow
def test_killed_twenty_times_at_random_moments_and_resumed_it_ends_byte_for_byte_the_same(tmp_path):
    def start(name):
        return subprocess.Popen([sys.executable, "-c", COLLECT, str(tmp_path / name)], stdout=subprocess.PIPE, text=True)

    with start("whole") as whole:
        assert len(whole.stdout.readlines()) > 10
    assert whole.returncode == 0
    rng, kills = np.random.default_rng(0), 0
    while kills < 20:
        with start("killed") as process:
            process.stdout.readline()  # it has begun
            time.sleep(rng.uniform(0, 0.12))
            ended = process.poll() is not None
            process.send_signal(signal.SIGKILL)
        if ended:  # before it could be killed: from the beginning
            shutil.rmtree(tmp_path / "killed")
            continue
        kills += 1
        for shard in (tmp_path / "killed" / "shards").glob("[0-9]*"):
            twin = tmp_path / "whole" / "shards" / shard.name
            assert {f.name: f.read_bytes() for f in shard.iterdir()} == {f.name: f.read_bytes() for f in twin.iterdir()}
    with start("killed") as last:
        last.stdout.read()
    assert last.returncode == 0
    one, other = (
        {str(f.relative_to(tmp_path / name)): f.read_bytes() for f in (tmp_path / name).rglob("*") if f.is_file()}
        for name in ("whole", "killed")
    )
    assert one == other
    histories.load(tmp_path / "killed").verify()


def test_a_shard_of_another_collection_is_refused(tmp_path):
    lived(out=tmp_path / "one")
    lived(out=tmp_path / "other", seed=1)
    (tmp_path / "one" / "shards" / "00000").rename(tmp_path / "moved")
    (tmp_path / "other" / "shards" / "00000").rename(tmp_path / "one" / "shards" / "00000")
    with pytest.raises(StoreError, match="no shard of this manifest"):
        histories.load(tmp_path / "one")
    with pytest.raises(StoreError, match="no shard of this manifest"):
        lived(out=tmp_path / "one", resume=True)
