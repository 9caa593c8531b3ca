"""Demonstrations: what a store of them says is what a run of the same seeds says, seat by seat."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from metarl_envs import boxes, histories
from metarl_envs.boxes.envs.batch import BoxVectorEnv
from metarl_envs.boxes.study import demonstrations
from metarl_envs.boxes.world.core import REAL
from metarl_envs.histories import shard_plan
from metarl_envs.task_sets import TaskSet

#: Two days of six steps, a notebook; and lives of four steps in days of six.
NOTES = {
    "agents": 2,
    "horizon": 12,
    "day": 6,
    "notes": 2,
    "lineages": 1,
    "levels": 2,
    "width": 2,
    "bases": 4,
    "recipes": 1,
    "free_reading": True,
}
LIVES = {**NOTES, "horizon": 11, "day": 0, "notes": 0, "lifespan": 4, "apprenticeship": 1}


@pytest.fixture(autouse=True)
def no_fingerprint(monkeypatch):
    """Trees are drawn for it, which takes a second as ordinary Python."""
    monkeypatch.setattr(TaskSet, "fingerprint", "0" * 16)


@pytest.fixture
def small_shards(monkeypatch):
    """One box a shard."""
    monkeypatch.setattr(shard_plan, "_LEAST_SHARD", 1)
    monkeypatch.setattr(shard_plan, "_LARGEST_SHARD", 1)


@pytest.mark.plain
def test_a_store_says_what_a_run_says(tmp_path, small_shards):
    told = []
    agents = ["notes_fifo", {0: "greedy", 1: "random"}]
    progress = lambda what, done, total: told.append((what, done, total))  # noqa: E731
    store = boxes.demonstrations("AmnesiaBox", agents, tmp_path / "d", boxes=3, seed=7, progress=progress, **NOTES)
    assert told == [("boxes", 0, 3), ("boxes", 1, 3), ("boxes", 2, 3), ("boxes", 3, 3)]
    assert store.about["demonstrators"] == ["notes_fifo", "greedy", "random"]
    assert (len(store), store.about["split"]) == (6, "train")
    store.verify()
    runs = {b: boxes.run("AmnesiaBox", {"all": "notes_fifo"}, 1, 7 + b, "train", **NOTES) for b in (0, 2)}
    runs[1] = boxes.run("AmnesiaBox", agents[1], 1, 8, "train", **NOTES)
    for n, life in enumerate(store):
        b, i = divmod(n, 2)
        run = runs[b]
        assert [set(life[name]) for name in ("box", "seat", "life")] == [{b}, {i}, {0}]
        assert {store.about["demonstrators"][k] for k in life["demonstrator"]} == {run.seats[i]}
        assert life["action"].tolist() == run.actions[0, :, i].tolist()
        states = [each[0].copy() for each in run.replay()]
        assert life["reward"].tolist() == [state["reward"][i] for state in states[1:]]
        assert life["memory_reset"].tolist() == [state["forgot"][i] != 0 for state in states[:-1]] == [*[1, 0, 0, 0, 0, 0] * 2]
        assert life["day"].tolist() == [0] * 6 + [1] * 6
        assert life["truncated"].tolist() == [False] * 11 + [True]
        assert not life["terminated"].any()
        assert (life.seed, life.episodes) == (7 + b, 1)
        assert life.task["recipe"].tolist() == run.tasks[0]["recipe"].tolist()
        seen = np.concatenate([life["observation"], life.final_observation])
        for state, row in zip(states, seen, strict=True):
            assert ((row["observation"][:8] > 0) == (state["held"][i] == REAL)).all()
            assert row["observation"][8 * 3] == (state["hand"][i] >= 0)  # behind two marks of notes an item
            used = state["notes"][i, :, 3] >= 0
            assert (row["observation"][8 * 3 + 8 :: 4][:2] == used).all()
        assert (np.take_along_axis(life["observation"]["action_mask"], life["action"][:, None].astype(int), 1) == 1).all()


@pytest.mark.plain
def test_observations_are_those_of_the_boxes(tmp_path):
    """By another way: the boxes stepped by hand, by a driver that looks at everything anew."""
    store = boxes.demonstrations("AmnesiaBox", "notes_fifo", tmp_path / "d", boxes=2, **NOTES)
    envs = BoxVectorEnv("AmnesiaBox", 2, split="train", autoreset_mode="Disabled", **NOTES)
    seen, _ = envs.reset(seed=0)
    for t in range(12):
        for n, life in enumerate(store):
            for name, array in seen.items():
                assert (life["observation"][name][t] == array[divmod(n, 2)]).all()
        seen, *_ = envs.step(np.array([life["action"][t] for life in store], np.int64).reshape(2, 2))


@pytest.mark.plain
def test_lives_end_by_death_or_with_the_box(tmp_path):
    store = boxes.demonstrations("GenerationsBox", "never_repeat", tmp_path / "d", boxes=1, **LIVES)
    assert [(set(life["seat"]), set(life["life"]), life.steps) for life in store] == [
        *(({0}, {n}, steps) for n, steps in enumerate((4, 4, 3))),
        *(({1}, {n}, steps) for n, steps in enumerate((2, 4, 4, 1))),
    ]
    for life in store:
        dies = life.steps == 4 or (set(life["seat"]), set(life["life"])) == ({1}, {0})
        assert (life["terminated"][-1], life["truncated"][-1]) == (dies, not dies)
        assert life["memory_reset"].tolist() == [True] + [False] * (life.steps - 1)
        assert (life["observation"]["observation"][0][4:8] == 0).all()  # of a newborn: bases only
        assert life.final_observation is None
    run = boxes.run("GenerationsBox", {"all": "never_repeat"}, 1, split="train", **LIVES)
    assert np.concatenate([life["action"] for life in store][:3]).tolist() == run.actions[0, :, 0].tolist()


@pytest.mark.plain
def test_what_is_there_is_gone_on_with(tmp_path, small_shards):
    out, what = tmp_path / "d", {"boxes": 3, **NOTES}
    whole = boxes.demonstrations("AmnesiaBox", "greedy", out, **what)
    rows = whole.stack("observation").copy()
    shutil.rmtree(out / "shards" / "00001")
    (out / "shards" / ".00001.part-x").mkdir()
    with pytest.raises(histories.StoreError, match="not whole"):
        histories.load(out)
    with pytest.raises(FileExistsError, match="resume=True"):
        boxes.demonstrations("AmnesiaBox", "greedy", out, **what)
    with pytest.raises(ValueError, match=r"another collection \(demonstrators"):
        boxes.demonstrations("AmnesiaBox", "random", out, resume=True, **what)
    told = []
    again = boxes.demonstrations("AmnesiaBox", "greedy", out, resume=True, progress=lambda *now: told.append(now), **what)
    assert told == [("boxes", 2, 3), ("boxes", 3, 3)]
    assert (again.stack("observation") == rows).all()
    assert sorted(path.name for path in (out / "shards").iterdir()) == ["00000", "00001", "00002"]
    assert json.loads((out / "manifest.json").read_text())["lineups"] == [[0, 0]]


@pytest.mark.plain
def test_a_run_becomes_histories(tmp_path):
    class Waits:
        def __init__(self, **_):
            pass

        def act(self, step):
            return np.full(len(step.memory_reset), 8)

    run = boxes.run("AmnesiaBox", {0: "greedy", 1: Waits}, 2, **NOTES)
    store = histories.save(boxes.histories_of(run), tmp_path / "h", {"demonstrators": list(run.seats)})
    assert [(*set(life["box"]), *set(life["demonstrator"])) for life in store] == [(0, 0), (0, 1), (1, 0), (1, 1)]
    assert (store[1]["action"] == 8).all()
    assert store.rewards.sum() == run.returns.sum()


@pytest.mark.plain
def test_what_cannot_demonstrate_is_refused(tmp_path):
    for agents, error, words in (
        ([], ValueError, "demonstrators is empty"),
        (object, TypeError, "no compiled player"),
        ("nobody", ValueError, "nobody"),
        ({0: "greedy"}, ValueError, "leaves .1. empty"),
    ):
        with pytest.raises(error, match=words):
            boxes.demonstrations("AmnesiaBox", agents, tmp_path / "d", boxes=1, **NOTES)
    assert not (tmp_path / "d").exists()
    run = boxes.run("AmnesiaBox", {"all": "greedy"}, 1, **NOTES)
    cut = demonstrations.Run(**{**vars(run), "steps": run.steps - 1})
    with pytest.raises(ValueError, match="cut off at step 11 of 12"):
        next(boxes.histories_of(cut))


@pytest.mark.slow
def test_the_page_on_boxes_says_how(tmp_path, monkeypatch):
    page = Path(__file__).parents[1] / "docs" / "boxes.md"
    if not page.exists():  # tests of an installed wheel, run from elsewhere
        pytest.skip("no pages here")
    (code,) = (code for code in re.findall(r"```python\n(.*?)```", page.read_text(), re.DOTALL) if "demonstrations(" in code)
    monkeypatch.chdir(tmp_path)
    exec(code, found := {})
    assert found["batch"]["observation"]["action_mask"].shape[:2] == (16, 30)
    store = found["store"]  # drawn by a compiled loop, looked at one by one
    for n, (history, step) in enumerate(zip(found["batch"]["history"], found["batch"]["step"], strict=True)):
        assert (store[int(history)]["observation"][step : step + 30] == found["batch"]["observation"][n]).all()


@pytest.mark.slow
def test_compiled_it_is_the_same(tmp_path):
    """What is written compiled is what ordinary Python writes, byte by byte."""
    store = boxes.demonstrations("AmnesiaBox", ["notes_fifo", "greedy"], tmp_path / "d", boxes=4, seed=7, **NOTES)
    script = (
        "import sys; from metarl_envs import boxes; from metarl_envs.task_sets import TaskSet; TaskSet.fingerprint = '0' * 16; "
        f"boxes.demonstrations('AmnesiaBox', ['notes_fifo', 'greedy'], sys.argv[1], boxes=4, seed=7, **{NOTES!r})"
    )
    plain = {**os.environ, "NUMBA_DISABLE_JIT": "1"}
    subprocess.run([sys.executable, "-c", script, tmp_path / "p"], check=True, env=plain)
    digests = [json.loads((tmp_path / where / "shards/00000/shard.json").read_text())["files"] for where in "dp"]
    assert digests[0] == digests[1]
    assert len(store) == 8
