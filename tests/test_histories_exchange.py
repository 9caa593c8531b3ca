"""Histories in the formats of others: what is cut, changed or hostile is refused with the file's name, and nothing is left."""

import json
import warnings

import gymnasium as gym
import numpy as np
import pytest

from metarl_envs import histories
from metarl_envs.histories import History, StoreError, collect, save
from metarl_envs.learners import Random

pa = pytest.importorskip("pyarrow")
h5py = pytest.importorskip("h5py")
minari = pytest.importorskip("minari")
from minari.data_collector import EpisodeBuffer  # noqa: E402


def lives(count=4, steps=6):
    """Histories by hand, of two episodes each, in two tasks."""
    goal = np.zeros(count, [("goal", "i2")])
    goal["goal"] = np.arange(count) % 2
    return [
        History(
            {
                "observation": (10 * k + np.arange(2 * steps).reshape(steps, 2)).astype(np.int16),
                "action": (np.arange(steps) % 3).astype(np.uint8),
                "reward": np.arange(steps) / 4 + k,
                "terminated": np.arange(steps) == 1,
                "truncated": np.zeros(steps, bool),
                "q": np.arange(3 * steps, dtype=np.float32).reshape(steps, 3) / 7,
            },
            np.array([2, steps]),
            np.array([[1, 2], [3, 4]], np.int16),
            seed=2**63 + k,
            task=goal[k],
            task_id=2**64 - 1 - k % 2,
        )
        for k in range(count)
    ]


@pytest.fixture
def store(tmp_path):
    return save(lives(), tmp_path / "store")


@pytest.fixture
def here(tmp_path, monkeypatch):
    """Where Minari keeps its datasets."""
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path / "minari"))
    return tmp_path / "minari"


def assert_refused(source, format, why, folder):
    """Refused with the source's name, and nothing new in the folder."""
    before = sorted(folder.rglob("*"))
    with pytest.raises(StoreError, match=why) as refused:
        histories.import_from(source, format, folder / "new" / "imported")
    assert str(source).rpartition("/")[2] in str(refused.value)
    assert sorted(folder.rglob("*")) == before


# ------------------------------------------------------------------------------------------------- Arrow
def rewritten(source, target, name=lambda name: name, told=lambda told: None, beside=lambda beside: None, batches=None):
    """An Arrow file with other names, metadata or batches, and with digests that are right again."""
    from metarl_envs.histories.exchange.arrow import _digest

    reader = pa.ipc.open_stream(source)
    about = dict(reader.schema.metadata)
    about[b"columns"] = json.dumps({name(k): v for k, v in json.loads(about[b"columns"]).items()}).encode()
    told(about)
    del about[b"digest"]
    about[b"digest"] = _digest(about)
    schema = pa.schema([pa.field(name(f.name), f.type, nullable=False) for f in reader.schema], metadata=about)
    with pa.OSFile(str(target), "wb") as file, pa.ipc.new_stream(file, schema) as writer:
        for batch, extra in list(reader.iter_batches_with_custom_metadata())[slice(batches)]:
            extra = dict(extra)
            beside(extra)
            writer.write_batch(pa.record_batch(batch.columns, schema=schema), custom_metadata=extra)


def test_a_strangers_arrow_file_writes_nowhere_else(tmp_path, store):
    mine = tmp_path / "mine.npy"
    np.save(mine, np.arange(3))
    histories.export(store, tmp_path / "a.arrow", "arrow")
    for bad in (str(tmp_path / "mine"), "../../../mine", "seed", "history"):
        rewritten(tmp_path / "a.arrow", tmp_path / "b.arrow", lambda name, bad=bad: bad if name == "q" else name)
        assert_refused(tmp_path / "b.arrow", "arrow", "cannot be the name of a column", tmp_path)
    assert np.array_equal(np.load(mine), np.arange(3))


def test_an_arrow_file_cut_between_two_histories_is_refused(tmp_path, store):
    histories.export(store, tmp_path / "a.arrow", "arrow")
    content = (tmp_path / "a.arrow").read_bytes()
    source, ends = pa.BufferReader(content), []
    for _ in range(5):
        pa.ipc.read_message(source)
        ends.append(source.tell())
    for number, end in enumerate(ends[:-1]):
        (tmp_path / "cut.arrow").write_bytes(content[:end])
        assert_refused(tmp_path / "cut.arrow", "arrow", f"it ends after {number} of 4 histories", tmp_path)


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"batches": 3}, "it ends after 3 of 4"),
        ({"told": lambda told: told.update({b"histories": b"3"})}, "it has more than the 3"),
        ({"told": lambda told: told.update({b"histories": b"0"})}, "histories=0"),
        ({"told": lambda told: told.update({b"columns": b"[]"})}, r"columns are \[\]"),
        ({"told": lambda told: told.update({b"columns": b"{"})}, "JSONDecodeError"),
        ({"told": lambda told: told.update({b"about": b"[" * 10**5})}, "RecursionError"),
        ({"told": lambda told: told.update({b"columns": told[b"columns"].replace(b"[3]", b"[4]")})}, "its columns are"),
        ({"told": lambda told: told.update({b"format": b"metarl_envs histories in arrow 1"})}, "does not say"),
        ({"beside": lambda beside: beside.pop(b"seed")}, "changed since it was written"),
        ({"beside": lambda beside: beside.update({b"seed": b"1"})}, "changed since it was written"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_changed_arrow_file_is_refused(tmp_path, store, change, why):
    histories.export(store, tmp_path / "a.arrow", "arrow")
    rewritten(tmp_path / "a.arrow", tmp_path / "b.arrow", **change)
    assert_refused(tmp_path / "b.arrow", "arrow", why, tmp_path)


def test_an_export_that_fails_leaves_nothing(tmp_path, store, monkeypatch):
    def fail(*arguments):
        raise OSError("no space left")

    from metarl_envs.histories.exchange import arrow, xland

    monkeypatch.setattr(arrow, "_beside", fail)
    monkeypatch.setattr(xland, "_write", fail)
    before = sorted(tmp_path.rglob("*"))
    for format in ("arrow", "xland"):
        with pytest.raises(OSError, match="no space left"):
            histories.export(store, tmp_path / "a.file", format)
        assert sorted(tmp_path.rglob("*")) == before


# ------------------------------------------------------------------------------------------------- XLand
@pytest.fixture
def xland(tmp_path, store):
    histories.export(store, tmp_path / "a.hdf5", "xland")
    return tmp_path / "a.hdf5"


def foreign(path):
    """The same file as somebody else would have written it: without our attributes."""
    with h5py.File(path, "a") as file:
        del file.attrs["metarl_envs"], file.attrs["sha256"]
    return path


def changed(path, change):
    with h5py.File(path, "a") as file:
        change(file)
    return path


def replaced(file, name, array=None, **how):
    array = file[name][()] if array is None else array
    del file[name]
    file.create_dataset(name, data=array, **how)


def huge(file):
    del file["0/states"]
    file.create_dataset("0/states", (2, 6, 10**12), "f8", chunks=(1, 6, 1000))


def outside(file):
    del file["0/states"]
    file["0/states"] = h5py.ExternalLink("other.hdf5", "/0/states")


def virtual(file):
    layout = h5py.VirtualLayout((2, 6, 2), "i2")
    layout[:] = h5py.VirtualSource("other.hdf5", "0/states", (2, 6, 2))
    del file["0/states"]
    file.create_virtual_dataset("0/states", layout)


def raw(file):
    del file["0/states"]
    file.create_dataset("0/states", (2, 6, 2), "i2", external=[("other.hdf5", 0, 48)])


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda file: file["0/dones"].__setitem__((0, 0), 1), "changed since it was written"),
        (lambda file: file["0/states"].__setitem__((0, 0), 9), "changed since it was written"),
        (lambda file: file["1"].attrs.__setitem__("ruleset-id", 7), "changed since it was written"),
        (lambda file: file.__delitem__("1"), "changed since it was written"),
        (lambda file: file.attrs.__delitem__("sha256"), "changed since it was written"),
        (lambda file: file.attrs.__setitem__("metarl_envs", "{"), "JSONDecodeError"),
        (lambda file: replaced(file, "0/dones", np.zeros((2, 5), bool)), r"must begin with \[history, step\]"),
        (lambda file: replaced(file, "0/rewards", np.zeros((2, 6, 1))), r"must begin with \[history, step\]"),
        (lambda file: replaced(file, "0/rewards", np.zeros(12)), r"must begin with \[history, step\]"),
        (lambda file: replaced(file, "0/rewards", np.zeros((0, 6))), r"must begin with \[history, step\]"),
        (lambda file: replaced(file, "0/actions", np.array([["a"] * 6] * 2, "S1")), "0/actions is no dataset of numbers"),
        (lambda file: file.__delitem__("0/dones"), "group 0 has no 'dones'"),
        (lambda file: file.create_dataset("more", data=1), "has not the layout"),
        (lambda file: replaced(file, "1/states", np.zeros((2, 6, 2), "i4")), "the datasets of group 1 are"),
        (huge, "declares 96,000,000,000,000 bytes, and 0 are stored"),
        (outside, "is a link to somewhere else"),
        (virtual, "lies in another file"),
        (raw, "lies in another file"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_changed_or_hostile_xland_file_is_refused(tmp_path, xland, change, why):
    (tmp_path / "other.hdf5").write_bytes(xland.read_bytes())
    changed(xland, change)
    assert_refused(xland, "xland", why, tmp_path)


def test_words_that_would_hold_hdf5_for_ever_are_refused(tmp_path, xland):
    """HDF5 walks through its words by the sizes that they say, and one of 0 has no next (found by a mutant)."""
    content = bytearray(xland.read_bytes())
    at = content.index(b"GCOL") + 16
    while int.from_bytes(content[at : at + 2], "little"):  # to the free rest
        at += 16 + -(-int.from_bytes(content[at + 8 : at + 16], "little") // 8) * 8
    content[at + 8 : at + 16] = bytes(8)
    xland.write_bytes(content)
    assert_refused(xland, "xland", "words in it are damaged", tmp_path)


def test_dones_that_are_no_flags_are_refused(tmp_path, xland):
    changed(foreign(xland), lambda file: replaced(file, "0/dones", np.full((2, 6), 3)))
    assert_refused(xland, "xland", "dones holds 3", tmp_path)


def test_a_strangers_xland_file_is_read(tmp_path, xland):
    """Without our attributes, with another order of bytes, with a task that has a word for an id, or none."""

    def as_theirs(file):
        for group in ("0", "1"):
            replaced(file, f"{group}/states", file[f"{group}/states"][()].astype(">f4"), compression="lzf", shuffle=True)
            replaced(file, f"{group}/dones", file[f"{group}/dones"][()].astype(np.int64))
        file["0"].attrs["ruleset-id"] = "a-word"
        del file["1"].attrs["ruleset-id"]

    changed(foreign(xland), as_theirs)
    back = histories.import_from(xland, "xland", tmp_path / "back")
    given = lives()
    for one, other in zip([given[0], given[2], given[1], given[3]], back, strict=True):
        assert np.array_equal(one["observation"], other["observation"])
        assert np.array_equal(one["terminated"], other["terminated"])
    assert [group.get("ruleset-id") for group in back.about["groups"]] == ["a-word", None]
    ids = back.task_ids.tolist()
    assert ids[0] == ids[1] > 2**32
    assert ids[2:] == [1, 1]


# ------------------------------------------------------------------------------------------------- Minari
def dataset(id, episodes, observation=None, action=None, **how):
    with pytest.warns(UserWarning, match="None"):  # no author, no code, no environment
        return minari.create_dataset_from_buffers(
            id,
            episodes,
            observation_space=observation or gym.spaces.Box(-1, 1, (2,), np.float32),
            action_space=action or gym.spaces.Discrete(2),
            **{"data_format": "hdf5", **how},
        )


def episode(steps=5, **changes):
    whole = {
        "observations": np.arange(2 * steps + 2, dtype=np.float32).reshape(-1, 2) / 100,
        "actions": np.arange(steps) % 2,
        "rewards": np.ones(steps),
        "terminations": np.arange(steps) == steps - 1,
        "truncations": np.zeros(steps, bool),
    }
    return EpisodeBuffer(**{**whole, **changes})


def test_minari_keeps_all_and_recovers_the_environment(tmp_path, here):
    lived = collect("DarkRoom", Random(), histories=2, steps=25, internals=["log_prob"], size=5, horizon=6)
    histories.export(lived, "metarl/room-v0", "minari")
    env = minari.load_dataset("metarl/room-v0").recover_environment()
    assert env.spec.kwargs["size"] == 5
    assert env.unwrapped.tasks.split == "train"
    back = histories.import_from("metarl/room-v0", "minari", tmp_path / "back")
    for one, other in zip(lived, back, strict=True):
        assert np.array_equal(one.episode_end, other.episode_end)
        for name in ("observation", "action", "reward", "log_prob"):
            assert np.array_equal(one[name], other[name]), name


@pytest.mark.parametrize("id", ["darkroom", "has space-v0", "../up-v0", "/abs-v0", "a//b-v0", "a/b-v", "ä-v0"])
def test_ids_that_minari_does_not_take_are_refused_before_anything_is_made(tmp_path, here, store, id):
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(ValueError, match="is no id of a Minari dataset"):
        histories.export(store, id, "minari")
    with pytest.raises(ValueError, match="is no id of a Minari dataset"):
        histories.import_from(id, "minari", tmp_path / "x")
    assert sorted(tmp_path.rglob("*")) == before


def test_an_export_to_minari_that_fails_leaves_minari_as_it_was(here, store, monkeypatch):
    histories.export(store, "kept/one-v0", "minari")
    from minari.dataset._storages.hdf5_storage import HDF5Storage

    def fail(*arguments):
        raise OSError("no space left")

    monkeypatch.setattr(HDF5Storage, "update_episodes", fail)
    for id in ("new/space/one-v0", "kept/two-v0"):
        with pytest.raises(OSError, match="no space left"):
            histories.export(store, id, "minari")
    assert list(minari.list_local_datasets()) == ["kept/one-v0"]
    assert sorted(path.name for path in here.iterdir()) == ["kept"]


def test_minari_episodes_need_not_be_alike_to_the_bit(tmp_path, here):
    dataset("some/thing-v0", [
        episode(rewards=np.zeros(5, int), infos={"a": np.arange(6), "deep": {"b": np.arange(6.0), "c": np.ones((6, 2))}}),
        episode(7, rewards=np.full(7, 0.5), infos={"a": np.arange(8) / 2, "deep": {"b": np.arange(8)}, "d": np.ones(8)}),
    ])  # fmt: skip
    with pytest.warns(UserWarning, match=r"infos \['d', 'deep.c'\] are left out"):
        back = histories.import_from("some/thing-v0", "minari", tmp_path / "back")
    assert [history["reward"].tolist() for history in back] == [[0] * 5, [0.5] * 7]
    assert back[0]["a"].tolist() == [0, 1, 2, 3, 4]
    assert back[1]["a"].tolist() == [0, 0.5, 1, 1.5, 2, 2.5, 3]
    assert back[1]["deep.b"].tolist() == [0, 1, 2, 3, 4, 5, 6]
    assert back.about["left_out"]["d"] == "only 1 of 2 episodes have it"


def test_infos_do_not_replace_columns(tmp_path, here):
    infos = {
        "reward": np.arange(6.0) * 100,
        "seed": np.arange(6),
        "history": np.ones(6),
        "a/b": np.arange(6),
        "word": ["x"] * 6,
    }
    dataset("some/thing-v0", [episode(infos=infos)])
    with pytest.warns(UserWarning, match="are left out"):
        back = histories.import_from("some/thing-v0", "minari", tmp_path / "back")
    assert back[0]["reward"].tolist() == [1] * 5
    assert set(back.about["left_out"]) == {"reward", "seed", "history", "word"}
    assert "a.b" in back.columns, "HDF5 takes a slash for a group, so that it is one name within another"


def test_numbers_that_no_dtype_holds_are_refused(tmp_path, here):
    box = gym.spaces.Box(-1, 1, (2,), np.float64)
    one = np.full((6, 2), 2**53 + 1, np.int64)
    dataset("some/thing-v0", [episode(observations=one), episode(observations=np.zeros((6, 2)))], box)
    assert_refused("some/thing-v0", "minari", "observation has dtypes that no one dtype holds", tmp_path)


@pytest.mark.parametrize("form", ["hdf5", "arrow", "parquet"])
def test_nested_infos_are_read_from_every_form_of_minari(tmp_path, here, form):
    """As our environments tell of trials. (Minari itself cannot read arrays [steps] out of Arrow, but lists.)"""
    infos = {"trial": {"number": list(range(6)), "final": np.ones((6, 2))}, "x": [n / 2 for n in range(6)]}
    dataset("some/thing-v0", [episode(infos=infos), episode(rewards=np.full(5, 2.5), infos=infos)], data_format=form)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        back = histories.import_from("some/thing-v0", "minari", tmp_path / "back")
    assert back.rewards.tolist() == [[1] * 5, [2.5] * 5]
    assert np.allclose(back.observations[0], episode().observations[:-1])
    assert np.allclose(back.final_observations[0], episode().observations[-1])
    assert back.stack("x").tolist() == [[0, 0.5, 1, 1.5, 2]] * 2
    if form == "hdf5":
        assert back.stack("trial.number").tolist() == [[0, 1, 2, 3, 4]] * 2
    else:
        assert "trial" in back.about["left_out"], "Minari gives them as Python objects"


def test_actions_that_are_no_arrays_are_refused_by_their_space(tmp_path, here):
    space = gym.spaces.Dict(a=gym.spaces.Discrete(2))
    dataset("some/thing-v0", [episode(actions={"a": np.zeros(5, int)})], action=space)
    assert_refused("some/thing-v0", "minari", "has actions of Dict, and histories hold arrays", tmp_path)


def metadata(here, change):
    path = here / "some" / "thing-v0" / "data" / "metadata.json"
    told = json.loads(path.read_text())
    change(told)
    path.write_text(json.dumps(told))


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda told: told.pop("action_space"), "does not say what space its actions are of"),
        (lambda told: told.update(total_episodes=10**12), "it has 2 episodes"),
        (lambda told: told.update(total_episodes="2"), "says total_episodes='2'"),
        (lambda told: told.update(total_steps=9), "10 steps in 2 episodes can be read"),
        (lambda told: told.update(observation_space='{"type": "Box", "shape": [1000000, 1000000]}'), "have shape"),
        (lambda told: told.update(observation_space="[1]"), r"observations of \[1\]"),
        (lambda told: told.update(data_format="pickle"), "some/thing-v0"),
        (lambda told: told.update(dataset_id=3), "some/thing-v0"),
        (lambda told: told.update(metarl_envs="0"), "its episodes are not those that were exported"),
    ],
)
def test_changed_metadata_is_refused(tmp_path, here, change, why):
    dataset("some/thing-v0", [episode(), episode()])
    metadata(here, change)
    assert_refused("some/thing-v0", "minari", why, tmp_path)


def test_no_environment_is_made_because_a_dataset_names_it(tmp_path, here):
    """Minari makes the environment of a dataset without spaces, and its entry point can be anything."""
    dataset("some/thing-v0", [episode()])
    spec = gym.envs.registration.EnvSpec("Mine-v0", entry_point="os:mkdir", kwargs={"path": str(tmp_path / "made")})
    metadata(here, lambda told: told.update(env_spec=spec.to_json(), observation_space=None))
    metadata(here, lambda told: told.pop("action_space"))
    assert_refused("some/thing-v0", "minari", "does not say what space", tmp_path)


@pytest.mark.parametrize("change", [huge, outside, virtual, raw], ids=["huge", "outside", "virtual", "raw"])
def test_hostile_data_of_minari_is_refused(tmp_path, here, change):
    dataset("some/thing-v0", [episode()])
    path = here / "some" / "thing-v0" / "data" / "main_data.hdf5"
    with h5py.File(path, "a") as file:
        file.create_dataset("episode_0/infos/0/states", data=1)
        change(file["episode_0/infos"])
    assert_refused("some/thing-v0", "minari", "declares|somewhere else|another file", tmp_path)
