"""Files of task sets come from anywhere: damaged, cut, exchanged or forged ones are refused, by an error that names them."""

import copy
import hashlib
import io
import json
import os
import pickle
import random
import subprocess
import sys
import tracemalloc

import gymnasium as gym
import numpy as np
import pytest

from metarl_envs.engine.compiling.kernels import PLAIN
from metarl_envs.engine.envs.vector import FamilyVectorEnv
from metarl_envs.engine.worlds import task_rows
from metarl_envs.task_sets import TaskSet, load, tasks
from tests.fuzzing import bytes_mutant, json_mutant

ROOM, BANDIT, BOX = "MetaRL/DarkRoom-v0", "MetaRL/BernoulliBandit-v0", "MetaRL/InventionBox-v0"


@pytest.fixture
def room(tmp_path):
    """A saved task set: its folder."""
    tasks(ROOM, split="train").save(tmp_path / "room")
    return tmp_path


def with_header(folder, **changed):
    about = folder / "room.json"
    about.write_text(json.dumps({**json.loads(about.read_text()), **changed}))


def fingerprint_of(header, variant, rows):
    """What `TaskSet.fingerprint` computes: whoever forges a file can do so too."""
    ids = task_rows.task_hashes(variant, rows)[0]
    about = [header["family"], header["params"], header["split"], None]
    return hashlib.sha256(json.dumps(about).encode() + ids.tobytes()).hexdigest()[:32]


def forge(folder, rows, **header):
    """Write other rows, with a fingerprint that fits them."""
    about = json.loads((folder / "room.json").read_text()) | header
    np.save(folder / "room.npy", rows)
    (folder / "room.json").write_text(json.dumps({**about, "fingerprint": fingerprint_of(about, tasks(ROOM).variant, rows)}))


# ------------------------------------------------------------------------------------------- headers
@pytest.mark.parametrize(
    "changed",
    [
        {"params": [1]},
        {"params": {"size": "9"}},
        {"params": {"sizze": 9}},
        {"params": {"size": 1e999}},
        {"params": {"size": 10**30}},
        {"params": {"size": 9, "horizon": 20, "once": None}},
        {"params": {"self": 1}},
        {"split": 3},
        {"split": ["train"]},
        {"split": "tset"},
        {"split": True},
        {"split": "validation", "params": {"size": 4, "horizon": 20, "once": False}},
        {"seed": -1},
        {"seed": 1.5},
        {"seed": 2**64},
        {"seed": True},
        {"seed": "0"},
        {"fingerprint": 3},
        {"fingerprint": None},
        {"family": 3},
        {"family": "metarl_envs.families.grids.dark_room:../DarkRoom"},
        {"family": "../grids.dark_room:DarkRoom"},
        {"family": "metarl_envs.families.grids.dark_room"},
        {"family": "metarl_envs.boxes.study.effects:EFFECTS"},
        {"family": ""},
    ],
    ids=str,
)
def test_a_header_with_wrong_values_is_refused(changed, room):
    with_header(room, **changed)
    with pytest.raises(ValueError, match=str(room / "room.json")):
        load(room / "room")


@pytest.mark.parametrize("content", [b"\xff\xfe\x00", b"[" * 100_000, b'{"seed": ' + b"1" * 5000 + b"}", b"\x00" * 50], ids=len)
def test_a_header_that_is_no_json_is_refused(content, room):
    (room / "room.json").write_bytes(content)
    with pytest.raises(ValueError, match=str(room / "room.json")):
        load(room / "room")


# ------------------------------------------------------------------------------------------- arrays
def npy_saying(shape, dtype=None, order=False):
    """The header of an array file, without an array."""
    file = io.BytesIO()
    descr = np.lib.format.dtype_to_descr(dtype or tasks(ROOM).dtype)
    np.lib.format.write_array_header_1_0(file, {"descr": descr, "fortran_order": order, "shape": shape})
    return file.getvalue()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\x93NUMPY",
        b"PK\x03\x04" + b"\0" * 60,
        b"\x93NUMPY\x01\x00\xff\xff{",
        b"\x93NUMPY\x09\x00v\x00" + b" " * 200,
        npy_saying((10**18,)),
        npy_saying((2**62,)),
        npy_saying(()),
        npy_saying((3, 3)),
        npy_saying((1,)),
        npy_saying((1,), np.dtype(object)),
        npy_saying((0,), np.dtype(np.float64)),
    ],
    ids=repr,
)
def test_an_array_that_is_none_of_tasks_is_refused_before_there_is_memory_for_it(content, room):
    (room / "room.npy").write_bytes(content)
    with pytest.raises(ValueError, match=str(room / "room.npy")):
        load(room / "room")


@pytest.mark.parametrize(
    "change", [lambda b: b[:-1], lambda b: b + b"\0", lambda b: b[:100], lambda b: b[:200], lambda b: b * 2]
)
def test_a_file_that_is_cut_or_longer_is_refused(change, room):
    whole = (room / "room.npy").read_bytes()
    (room / "room.npy").write_bytes(change(whole))
    with pytest.raises(ValueError, match=str(room / "room.npy")):
        load(room / "room")


def test_files_of_two_sets_that_changed_places_are_refused(room):
    tasks(ROOM, split="test").save(room / "other")
    tasks(BANDIT)[:9].save(room / "bandit")
    for other in ("other", "bandit"):
        os.replace(room / f"{other}.npy", room / "room.npy")
        with pytest.raises(ValueError, match=str(room / "room.npy")):
            load(room / "room")


def test_a_file_that_is_not_there_is_named(room):
    os.unlink(room / "room.npy")
    with pytest.raises(FileNotFoundError, match=r"room\.npy"):
        load(room / "room")


def test_a_row_that_is_no_task_is_refused_though_its_fingerprint_fits(room):
    """It would have the compiled world read and write outside of its arrays."""
    rows = tasks(ROOM, split="train").rows(5)
    rows["goal"][3] = 9, 300
    forge(room, rows)
    with pytest.raises(ValueError, match=r"row 3 of .*room.npy is no task"):
        load(room / "room")


def test_a_test_task_among_train_tasks_is_refused_though_its_fingerprint_fits(room):
    rows = tasks(ROOM, split="train").rows(5)
    rows[2] = tasks(ROOM, split="test")[0]
    forge(room, rows)
    with pytest.raises(ValueError, match=r"row 2 of .*room.npy is no train task"):
        load(room / "room")
    forge(room, rows, split=None)
    assert len(load(room / "room")) == 5


def test_a_set_that_is_not_of_the_shift_that_it_names_is_refused_though_its_fingerprint_fits(tmp_path):
    plain = tasks(BANDIT)[:3]
    plain.save(tmp_path / "room")
    header = json.loads((tmp_path / "room.json").read_text()) | {"split": "close_arms"}
    with_header(tmp_path, split="close_arms", fingerprint=fingerprint_of(header, plain.variant, plain.rows(3)))
    with pytest.raises(ValueError, match=r"room.json is no task set .*split='close_arms' of BernoulliBandit has {'low': 0.4"):
        load(tmp_path / "room")


@pytest.mark.parametrize("mmap", [False, True])
def test_an_empty_set_comes_back(mmap, tmp_path):
    tasks(ROOM)[:0].save(tmp_path / "room")
    empty = load(tmp_path / "room", mmap=mmap)
    assert (len(empty), len(empty.rows(0)), len(empty[:3]), empty.ids().tolist()) == (0, 0, 0, [])


# ------------------------------------------------------------------------------------------- sets that stay in their file
def test_a_mapped_set_is_the_loaded_one(room):
    kept, mapped = load(room / "room"), load(room / "room.npy", mmap=True)
    assert (mapped.fingerprint, mapped.split, len(mapped)) == (kept.fingerprint, "train", len(kept))
    for part in (slice(None), slice(3, 40), slice(None, None, -7), slice(5, 5)):
        assert mapped[part].fingerprint == kept[part].fingerprint
        assert mapped[part].rows(len(mapped[part])).tobytes() == kept[part].rows(len(kept[part])).tobytes()
    assert mapped.sample(50, seed=3).tobytes() == kept.sample(50, seed=3).tobytes()
    assert mapped[np.int8(-2)] == kept[len(kept) - 2]
    assert [task.tobytes() for task in mapped] == [task.tobytes() for task in kept]
    assert (mapped.ids() == kept.ids()).all()
    assert mapped.row(4).tobytes() == kept.row(4).tobytes()
    mapped.save(room / "again")
    mapped.save(room / "room")  # over itself
    for same in (load(room / "again"), load(room / "room"), mapped, pickle.loads(pickle.dumps(mapped))):
        assert same.fingerprint == kept.fingerprint
    assert copy.deepcopy(mapped) is mapped, "copies of environments share their set"
    for index in (len(kept), -len(kept) - 1, 2**70):
        with pytest.raises(IndexError, match=f"task index {index} is outside of TaskSet"):
            mapped[index]


def test_mapping_is_asked_for_by_true_or_false(room):
    for mmap in ("r", 1, None):
        with pytest.raises(TypeError, match=f"mmap={mmap!r}"):
            load(room / "room", mmap=mmap)


def test_what_others_write_into_a_mapped_file_is_seen_before_it_is_taken(room):
    """It would have the compiled world read and write outside of its arrays."""
    mapped = load(room / "room", mmap=True)
    part, before = mapped[2:9], mapped.rows(9)
    with open(room / "room.npy", "r+b") as file:
        file.seek(-mapped.dtype.itemsize * (len(mapped) - 4), os.SEEK_END)
        file.write(np.array(((300, -2),), mapped.dtype).tobytes())
    envs = FamilyVectorEnv(mapped, num_envs=2, num_tasks=3)
    doors = [
        lambda: mapped[4],
        lambda: mapped.row(4),
        lambda: mapped.rows(9),
        lambda: part[2],
        lambda: part.rows(7),
        lambda: mapped[::2].rows(5),
        lambda: mapped.sample(900),
        lambda: mapped.ids(),
        lambda: mapped.fingerprint,
        lambda: mapped.save(room / "again"),
        lambda: list(mapped),
        lambda: envs.reset(options={"task": 4}),
        lambda: FamilyVectorEnv(mapped, num_envs=2, num_tasks=5),
        lambda: load(room / "room", mmap=True),
    ]
    for door in doors:
        with pytest.raises(ValueError, match=r"room\.npy .*no task of DarkRoom.*goal\[0\]=300 is not one of 0 to 8"):
            door()
    assert mapped.rows(4).tobytes() == before[:4].tobytes()
    assert sorted(path.name for path in room.iterdir()) == ["room.json", "room.npy"]


def peak_of(call):
    """What a call returns, and the most bytes that it took on the way."""
    tracemalloc.start()
    try:
        return call(), tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.skipif(PLAIN, reason="millions of hashes")
def test_millions_of_rows_stay_in_their_file(tmp_path):
    few, count = tasks(ROOM).rows(81), 4_000_000
    TaskSet.of_rows(tasks(ROOM).variant, few[np.arange(count) % 81]).save(tmp_path / "room")
    size = (tmp_path / "room.npy").stat().st_size
    assert size > 32e6
    mapped, peak = peak_of(lambda: load(tmp_path / "room", mmap=True))
    assert peak < size / 2, "a few blocks of rows"
    envs, peak = peak_of(lambda: FamilyVectorEnv(mapped, num_envs=4, num_tasks=10_000))
    assert peak < 2e6
    assert envs.get_state()["task_rows"]["goal"][:10_000].tolist() == few["goal"][np.arange(10_000) % 81].tolist()
    assert envs.reset(seed=0)[0].shape == (4, 2)
    (first, last, some, part), peak = peak_of(lambda: (mapped[0], mapped[-1], mapped.sample(1000), mapped[81 * 9 :: 81]))
    assert peak < 2e6
    assert (first, last) == (few[0], few[(count - 1) % 81])
    assert set(map(tuple, some["goal"].tolist())) == set(map(tuple, few["goal"].tolist()))
    assert part.rows(1000)["goal"].tolist() == [few["goal"][0].tolist()] * 1000
    _, peak = peak_of(lambda: mapped.save(tmp_path / "again"))
    assert peak < size / 2
    assert (tmp_path / "again.npy").read_bytes() == (tmp_path / "room.npy").read_bytes()


# ------------------------------------------------------------------------------------------- whose files are taken
LOAD = "import sys; from metarl_envs.task_sets import load; print(load(sys.argv[1]).fingerprint)"


@pytest.mark.parametrize("id", [ROOM, BOX, "whole box"])
def test_a_saved_set_comes_back_in_a_fresh_process(id, tmp_path):
    if id == "whole box":
        from metarl_envs.boxes.scenarios.invention import InventionBox

        saved = TaskSet.of_family(InventionBox)[:3]
    else:
        saved = tasks(id)[:3]
    saved.save(tmp_path / "set")
    done = subprocess.run([sys.executable, "-c", LOAD, str(tmp_path / "set")], capture_output=True, text=True)
    assert (done.returncode, done.stdout.strip()) == (0, saved.fingerprint), done.stderr


def test_the_split_of_a_loaded_set_is_that_of_the_saved_one(room):
    whole, back = tasks(ROOM, split="train"), load(room / "room")
    assert (back.split, back.drawn_from) == (whole.split, whole.drawn_from)
    tasks(BANDIT, split="close_arms")[:3].save(room / "close")
    assert load(room / "close").split == "close_arms"


def test_a_failed_save_leaves_nothing_behind(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "replace", lambda *_: (_ for _ in ()).throw(OSError("no space")))
    with pytest.raises(OSError, match="no space"):
        tasks(ROOM).save(tmp_path / "room")
    assert not list(tmp_path.iterdir())


# ------------------------------------------------------------------------------------------- bytes between the fields
@pytest.mark.parametrize("id", ["MetaRL/DarkKeyToDoor-v0", "MetaRL/TwoStep-v0", BOX])
def test_no_byte_of_a_task_comes_from_elsewhere(id, tmp_path):
    """NumPy copies fields, and leaves what is between them as memory had it: strings of the process were seen in files."""
    whole = tasks(id)
    part = whole[:5]
    given = [
        whole.rows(5),
        part.rows(5),
        part[1:4].rows(3),
        part.sample(4, seed=1),
        whole.sample(4),
        part.row(part[1]),
        part[::2].rows(3),
    ]
    for rows in given:
        assert rows.tobytes() == task_rows.padded(rows, whole.dtype).tobytes()
    assert [part[i].tobytes() for i in range(5)] == [part.rows(5)[i].tobytes() for i in range(5)]
    dirty = np.full(whole.dtype.itemsize * 5, 0xFF, np.uint8).view(whole.dtype)
    for name in whole.dtype.names:
        dirty[name] = part.rows(5)[name]
    dirty = TaskSet.of_rows(whole.variant, dirty)
    for rows in (dirty.rows(5), dirty[1:].rows(4), dirty.sample(9), np.array(dirty[2]).reshape(1), dirty.row(3)):
        assert rows.tobytes() == task_rows.padded(rows, whole.dtype).tobytes()
    part.save(tmp_path / "a")
    part.save(tmp_path / "b")
    assert (tmp_path / "a.npy").read_bytes() == (tmp_path / "b.npy").read_bytes()


# ------------------------------------------------------------------------------------------- numbers, counts
@pytest.mark.parametrize(
    ("goal", "error"),
    [
        ((300, 1), ValueError),
        ((2**16 + 1, 1), ValueError),
        ((1.7, 1), ValueError),
        ((-(2**63), 1), ValueError),
        ((2**70, 1), ValueError),
        ((float("nan"), 1), ValueError),
        ((float("inf"), 1), ValueError),
        (("1", "1"), TypeError),
        ((None, 1), TypeError),
        ((1 + 0j, 1), TypeError),
        ([[1], [2, 3]], ValueError),
        ((np.datetime64("2020"), np.datetime64("2021")), TypeError),
    ],
    ids=str,
)
def test_a_number_that_its_field_cannot_hold_is_refused(goal, error):
    env = gym.make(ROOM)
    for call in (lambda: tasks(ROOM).row({"goal": goal}), lambda: env.reset(options={"task": {"goal": goal}})):
        with pytest.raises(error, match="task"):
            call()


def test_a_number_that_its_field_holds_is_taken_whatever_its_type():
    for goal in ((3, 4), [3.0, 4.0], np.array([3, 4], np.uint8), np.array([3, 4], np.float32), (np.int64(3), 4), (3, True + 3)):
        assert tasks(ROOM).row({"goal": goal})["goal"].tolist() == [[3, 4]]
    chance = tasks(BANDIT).row({"chance": np.array([0.1, 0, 1, 0.5, 0.3], np.float32)})["chance"][0]
    assert chance == pytest.approx([0.1, 0, 1, 0.5, 0.3])
    with pytest.raises(ValueError, match="chance"):
        tasks(BANDIT).row({"chance": [1e300, 0, 0, 0, float("nan")]})


@pytest.mark.parametrize("id", [ROOM, BANDIT])
@pytest.mark.parametrize(
    ("count", "error"), [(-1, ValueError), (1.0, TypeError), (True, TypeError), ("3", TypeError), (None, TypeError)]
)
def test_counts_of_tasks_are_natural_numbers(id, count, error):
    for call in (tasks(id).rows, tasks(id).sample):
        with pytest.raises(error, match=f"count={count!r}"):
            call(count)
    assert len(tasks(id).rows(np.int64(2))) == len(tasks(id).sample(np.uint8(2))) == 2
    assert len(tasks(id).rows(0)) == len(tasks(id).sample(0)) == 0


@pytest.mark.parametrize(
    ("seed", "error"), [(-1, ValueError), (2**64, ValueError), (3.0, TypeError), ("x", TypeError), (True, TypeError)]
)
def test_seeds_of_tasks_are_natural_numbers_below_two_to_the_64(seed, error):
    for call in (
        lambda: tasks(ROOM, seed=seed),
        lambda: tasks(BANDIT).sample(2, seed=seed),
        lambda: tasks(ROOM).sample(2, seed),
    ):
        with pytest.raises(error, match=f"seed={seed!r}"):
            call()
    assert tasks(BANDIT, seed=np.int64(3)).fingerprint == tasks(BANDIT, seed=3).fingerprint


def test_indices_of_an_endless_set_end_where_trials_do():
    endless = tasks(BANDIT)
    assert endless[2**63 - 1]["chance"].shape == (5,)
    for index in (2**63, slice(2**63, 2**63 + 1)):
        with pytest.raises(IndexError, match="below 2"):
            endless[index]


def test_nothing_is_drawn_from_nothing():
    with pytest.raises(ValueError, match="no task to draw"):
        tasks(ROOM)[:0].sample(1)


# ------------------------------------------------------------------------------------------- fuzz
def put(path, content):
    """Write over what is there: some file systems wait for the disk where a file is emptied first."""
    with open(path, "r+b") as file:
        file.write(content if isinstance(content, bytes) else content.encode())
        file.truncate()


def fuzz(folder, rounds):
    """Return how many mutants were tried, got beyond the header with a valid structure, and were loaded."""
    rng, tried, beyond, taken = random.Random(0), 0, 0, 0
    saved = tasks(ROOM, split="train", size=4)
    saved.save(folder / "room")
    npy, about, variant = folder / "room.npy", folder / "room.json", saved.variant
    rows, text = npy.read_bytes(), about.read_bytes()
    header, start = json.loads(text), len(rows) - saved.rows(len(saved)).nbytes
    for _ in range(rounds):
        kind = rng.randrange(5)
        put(npy, rows)
        put(about, text)
        if kind == 0:
            put(npy, bytes_mutant(rows, rng))
        elif kind == 1:
            put(about, bytes_mutant(text, rng))
        elif kind == 2:  # JSON of other values
            put(about, json.dumps(json_mutant(header, rng)))
        else:  # a valid structure with other content, and a fingerprint that fits it or not
            content = bytearray(rows)
            for _ in range(rng.randrange(1, 4)):
                content[rng.randrange(start, len(content))] = rng.choice((rng.randrange(256), rng.randrange(9)))
            put(npy, bytes(content))
            beyond += 1
            if kind == 3:
                forged = np.frombuffer(bytes(content[start:]), variant.task)
                put(about, json.dumps({**header, "fingerprint": fingerprint_of(header, variant, forged)}))
        tried += 1
        read = []
        for mmap in (False, True):
            try:
                read.append(load(folder / "room", mmap=mmap))
            except ValueError as error:
                if "room.npy" not in str(error) and "room.json" not in str(error):
                    raise
        assert len(read) in (0, 2), "both doors refuse alike"
        if not read:
            continue
        taken += 1
        loaded, mapped = read
        assert mapped.rows(len(mapped)).tobytes() == loaded.rows(len(loaded)).tobytes()
        goals = loaded.rows(len(loaded))["goal"]
        assert ((goals >= 0) & (goals < loaded.variant.p.size)).all()
        assert loaded.split in (None, "train", "test", *loaded.variant.family.shifts)
        assert loaded.fingerprint == json.loads(about.read_text())["fingerprint"]
    return tried, beyond, taken


def test_mutants_of_a_saved_set_are_refused_or_are_task_sets(tmp_path):
    tried, beyond, taken = fuzz(tmp_path, 300)
    assert tried == 300
    assert beyond > 60
    assert taken < tried / 2


@pytest.mark.slow
def test_many_mutants_of_a_saved_set_are_refused_or_are_task_sets(tmp_path):
    tried, beyond, taken = fuzz(tmp_path, 10_000)
    assert tried == 10_000
    assert beyond > 1000
    assert 0 < taken < tried / 2
