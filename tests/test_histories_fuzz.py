"""Ten thousand mutants of every format that histories are read from (a few hundred in the everyday run).

Those whose digests are left as they were must read as the original did, or be refused. Those that were sealed again are what
a stranger could have written: whole histories, or refused. See `tests/fuzzing.py` for what else is held.
"""

import base64
import contextlib
import hashlib
import json
import random
import shutil
import tempfile
import warnings
from pathlib import Path

import numpy as np
import pytest

from metarl_envs import histories
from metarl_envs.histories import History, StoreError, save, shard_files
from metarl_envs.histories.history import check_history
from metarl_envs.histories.layout import TABLES
from metarl_envs.histories.shard_files import digest_of, plan_of
from tests.fuzzing import NAMES, NUMBERS, Deep, array_mutant, bytes_mutant, json_mutant, survive

COUNTS = [pytest.param(300, id="few"), pytest.param(10_000, id="many", marks=pytest.mark.nightly)]


@pytest.fixture
def sandbox(tmp_path):
    """A folder in memory where there is one: a mutant is a few files, and disks take their time for each."""
    if not Path("/dev/shm").is_dir():
        yield tmp_path
        return
    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
        yield Path(folder)


def lives():
    """Three histories by hand, of two or three episodes, with all that a history can have."""
    found = []
    for k in range(3):
        steps = 5 + k
        columns = {
            "observation": (7 * k + np.arange(2 * steps).reshape(steps, 2)).astype(np.int16),
            "action": (np.arange(steps) % 3).astype(np.uint8),
            "reward": np.arange(steps) / 4 + k,
            "terminated": np.isin(np.arange(steps), [1]),
            "truncated": np.isin(np.arange(steps), [3]),
            "q": np.arange(3 * steps, dtype=np.float32).reshape(steps, 3) / 7,
        }
        finals = (100 * k + np.arange(6).reshape(3, 2)).astype(np.int16)
        task = np.array([(k % 2, 0.5)], [("goal", "i2"), ("p", "f8")])[0]
        found.append(History(columns, np.array([2, 4, steps]), finals, seed=2**63 + k, task=task, task_id=k))
    return found


def told(histories):
    """All that histories say, as bytes and numbers that can be compared. It reads every element."""
    return [
        (
            {name: (column.dtype.str, column.shape, column.tobytes()) for name, column in history.columns.items()},
            history.episode_end.tolist(),
            None if history.final_observation is None else history.final_observation.tobytes(),
            history.seed,
            None if history.task is None else history.task.tobytes(),
            history.task_id,
        )
        for history in histories
    ]


def acceptable(original):
    """What `survive` asks: is it the original, or, where the mutant was sealed again, are these whole histories?"""

    def accept(result, made_by):
        if told(result) == original:
            return True
        for history in result:
            check_history(history)
        return "sealed" in made_by

    return accept


# ------------------------------------------------------------------------------------------------- our store
def store_mutants(folder, count):
    """Mutants of a folder of histories: one file of it is changed, and put back afterwards."""
    rng = random.Random(1)
    shard = folder / "shards" / "00000"
    original = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    listed, about = json.loads(original[shard / "shard.json"]), json.loads(original[folder / "manifest.json"])
    del listed["digest"]

    def seal(told, plan=None):
        told = {**told, "plan": plan} if plan else told
        digest = {"digest": digest_of(told)} if isinstance(told, dict) else {}
        (shard / "shard.json").write_text(json.dumps({**told, **digest} if digest else told))

    def relisted(path, content):
        path.write_bytes(content)
        file = {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
        seal({**listed, "files": {**listed["files"], path.name: file}})

    def sealed_manifest():
        changed = json_mutant(about, rng)
        (folder / "manifest.json").write_text(json.dumps(changed))
        seal(listed, plan_of(changed) if isinstance(changed, dict) else None)

    def sealed_columns():
        columns = json_mutant(about["columns"], rng)
        changed = {**about, "columns": columns}
        (folder / "manifest.json").write_text(json.dumps(changed))
        seal({**listed, "columns": columns}, plan_of(changed))

    def sealed_array():
        path = rng.choice([path for path in original if path.suffix == ".npy"])
        np.save(path, array_mutant(np.load(path), rng))
        relisted(path, path.read_bytes())

    def sealed_table():
        path = shard / f"{rng.choice(TABLES)}.npy"
        np.save(path, array_mutant(np.load(path), rng))
        relisted(path, path.read_bytes())

    def sealed_bytes():
        path = rng.choice([path for path in original if path.suffix == ".npy"])
        content = original[path]
        head = bytes_mutant(content[:128], rng)
        relisted(path, head + content[128:])

    def sealed_name():
        path, name = rng.choice([path for path in original if path.suffix == ".npy"]), rng.choice(NAMES)
        new = {f"{name}.npy" if key == path.name else key: value for key, value in listed["files"].items()}
        columns = {name if key == path.stem else key: value for key, value in listed["columns"].items()}
        changed = {**about, "columns": columns}
        (folder / "manifest.json").write_text(json.dumps(changed))
        seal({**listed, "files": new, "columns": columns}, plan_of(changed))
        with contextlib.suppress(ValueError, OSError):  # a name that no file can have
            if "/" not in name:
                shutil.copy(path, shard / f"{name}.npy")

    def raw():
        path = rng.choice(list(original))
        path.write_bytes(bytes_mutant(original[path], rng))

    def raw_header():
        path = rng.choice([path for path in original if path.suffix == ".npy"])
        path.write_bytes(bytes_mutant(original[path][:128], rng) + original[path][128:])

    def gone():
        rng.choice(list(original)).unlink()

    makers = [
        raw,
        raw,
        raw_header,
        gone,
        sealed_manifest,
        sealed_columns,
        sealed_array,
        sealed_table,
        sealed_bytes,
        sealed_name,
    ]
    makers += [lambda: seal(json_mutant(listed, rng))]
    names = [maker.__name__ if maker.__name__ != "<lambda>" else "sealed_listing" for maker in makers]
    for number in range(count):
        makers[number % len(makers)]()
        yield names[number % len(makers)]
        for path in shard.iterdir():
            if path not in original:
                path.unlink()
        for path, content in original.items():
            if not path.exists() or path.read_bytes() != content:
                path.write_bytes(content)


def test_a_manifest_that_declares_any_number_of_shards_takes_no_memory(sandbox):
    """Found by mutant 9,882."""
    kept = save(lives(), sandbox / "h")
    (sandbox / "h" / "manifest.json").write_text(json.dumps({**kept.about, "shards": 2**62}))
    with pytest.raises(StoreError, match=r"is not whole: 1 of 4611686018427387904"):
        histories.load(sandbox / "h")
    assert len(histories.load(sandbox / "h", partial=True)) == 3


@pytest.mark.parametrize("count", COUNTS)
def test_mutants_of_a_store(sandbox, monkeypatch, count):
    folder = sandbox / "h"
    original = told(save(lives(), folder))

    def read():
        found = histories.load(folder)
        found.verify()
        found.sample(8, 2, np.random.default_rng(0))
        repr(found)
        return found

    counts = survive(
        store_mutants(folder, count),
        read,
        acceptable(original),
        refused=StoreError,
        name=str(folder),
        sandbox=sandbox,
        deep=Deep(monkeypatch, shard_files, "map_array"),
    )
    print(counts)
    assert counts["deep"] >= count / 10
    assert told(read()) == original


# ------------------------------------------------------------------------------------------------- the formats of others
def read_all(module, source):
    """What an import takes from a file before it writes: the histories, and what the manifest is to say, as JSON."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of infos that are left out; of what damaged text looks like
        about, found = module.read(source)
        json.dumps(about)
        return list(found)


def arrow_mutants(path, count):
    """Mutants of an Arrow file."""
    import pyarrow as pa

    from metarl_envs.histories.exchange import arrow

    rng, content = random.Random(2), path.read_bytes()
    reader = pa.ipc.open_stream(content)
    schema, batches = reader.schema, list(reader.iter_batches_with_custom_metadata())

    def written(told, columns, besides):
        """A stream of these columns and metadata, sealed."""
        told = {key: value for key, value in told.items() if key != b"digest"}
        told[b"digest"] = arrow._digest(told)
        first = [pa.field(name, array.type, nullable=rng.random() < 0.1) for name, array in columns[0]]
        form = pa.schema(first, metadata=told)
        with pa.OSFile(str(path), "wb") as file, pa.ipc.new_stream(file, form) as writer:
            for arrays, beside in zip(columns, besides, strict=True):
                beside = {key: value for key, value in beside.items() if key != b"digest"}
                with contextlib.suppress(Exception):  # columns that the reader would not know either
                    numbers = {name: array.to_numpy(zero_copy_only=False) for name, array in flat(arrays).items()}
                    beside[b"digest"] = arrow._digest(beside, numbers)
                writer.write_batch(pa.record_batch([array for _, array in arrays], schema=form), custom_metadata=beside)

    def flat(arrays):
        forms = json.loads(schema.metadata[b"columns"])
        return {
            name: arrow._to_numpy(array, np.dtype(forms[name]["dtype"]), tuple(forms[name]["shape"])) for name, array in arrays
        }

    def as_written():
        columns = [list(zip(schema.names, batch.columns, strict=True)) for batch, _ in batches]
        return dict(schema.metadata), columns, [dict(beside) for _, beside in batches]

    def sealed_told():
        told, columns, besides = as_written()
        key = rng.choice([b"columns", b"columns", b"columns", b"about", b"histories", b"format"])
        if key in (b"columns", b"about"):
            told[key] = json.dumps(json_mutant(json.loads(told[key]), rng)).encode()
        else:
            told[key] = str(rng.choice(NUMBERS)).encode()
        written(told, columns, besides)

    def sealed_beside():
        told, columns, besides = as_written()
        beside = rng.choice(besides)
        key = rng.choice(sorted(beside))
        if key in (b"seed", b"task_id", b"digest"):
            beside[key] = str(rng.choice(NUMBERS)).encode()
        elif rng.random() < 0.7:
            beside[key] = arrow._dumps(array_mutant(arrow._loads(beside[key]), rng))
        else:
            raw = base64.b64decode(beside[key])
            beside[key] = base64.b64encode(bytes_mutant(raw, rng)) if rng.random() < 0.8 else bytes_mutant(beside[key], rng)
        if rng.random() < 0.1:
            del beside[key]
        written(told, columns, besides)

    def sealed_column():
        told, columns, besides = as_written()
        arrays = rng.choice(columns)
        where = rng.randrange(len(arrays))
        name, array = arrays[where]
        kind = rng.choice(["values", "values", "nulls", "words", "name", "twice", "gone", "shorter"])
        if kind == "values" and not pa.types.is_fixed_size_list(array.type):
            changed = array_mutant(array.to_numpy(zero_copy_only=False), rng)
            if changed.ndim == 1 and changed.dtype.isnative and changed.dtype.kind in "biuf" and len(changed) == len(array):
                arrays[where] = (name, pa.array(changed))
        elif kind == "nulls":
            arrays[where] = (name, pa.array([None] * len(array), array.type))
        elif kind == "words":
            arrays[where] = (name, pa.array(["x"] * len(array)))
        elif kind == "name":
            arrays[where] = (rng.choice(NAMES), array)
        elif kind == "twice":
            arrays.append(arrays[where])
        elif kind == "gone":
            del arrays[where]
        elif kind == "shorter":
            arrays[:] = [(name, array.slice(0, rng.randrange(len(array) + 1))) for name, array in arrays]
        with contextlib.suppress(pa.ArrowException, ValueError, TypeError):  # what Arrow itself does not write
            written(told, columns, besides)

    def sealed_order():
        told, columns, besides = as_written()
        order = [rng.randrange(3) for _ in range(rng.choice([0, 1, 2, 3, 4]))]
        if order:
            written(told, [columns[k] for k in order], [besides[k] for k in order])

    def raw():
        path.write_bytes(bytes_mutant(content, rng))

    makers = [raw, raw, raw, sealed_told, sealed_beside, sealed_column, sealed_order]
    for number in range(count):
        path.write_bytes(content)
        maker = makers[number % len(makers)]
        maker()
        yield maker.__name__


@pytest.mark.parametrize("count", COUNTS)
def test_mutants_of_an_arrow_file(sandbox, monkeypatch, count):
    pytest.importorskip("pyarrow")
    from metarl_envs.histories.exchange import arrow

    path, kept = sandbox / "h.arrow", save(lives(), sandbox / "h")
    histories.export(kept, path, "arrow")
    counts = survive(
        arrow_mutants(path, count),
        lambda: read_all(arrow, path),
        acceptable(told(kept)),
        refused=StoreError,
        name="h.arrow",
        sandbox=sandbox,
        deep=Deep(monkeypatch, arrow, "_history"),
    )
    print(counts)
    assert counts["deep"] >= count / 10


def changed_hdf5(file, rng):
    """Change something in an HDF5 file as a stranger could have written it: data, shapes, dtypes, names, links, attributes."""
    import h5py

    found = []
    file.visititems(lambda name, item: found.append((name, item)))
    datasets = [(name, item) for name, item in found if isinstance(item, h5py.Dataset)]
    name, dataset = rng.choice(datasets)
    other = rng.choice(found)[0]
    array = dataset[()]

    def anew(array, **how):
        del file[name]
        file.create_dataset(name, data=array, **how)

    def declared():
        shape = tuple(rng.choice([*dataset.shape, 10**6, 10**12, 0, 1]) for _ in range(rng.choice([0, 1, 2, 3, 4])))
        del file[name]
        chunks = tuple(min(max(size, 1), rng.choice([1, 8, 100_000])) for size in shape)
        with contextlib.suppress(ValueError, TypeError):  # what HDF5 itself does not write
            file.create_dataset(
                name, shape, dataset.dtype, chunks=chunks or None, maxshape=tuple(max(size, 1) for size in shape)
            )

    def of_nothing():
        del file[name]
        file[name] = rng.choice(
            [h5py.Empty("f4"), 3, "word", b"bytes", np.array(["a", "b"], "S1"), np.array([b"x" * 9] * 3, "O")]
        )

    def link():
        del file[name]
        kinds = [h5py.SoftLink(f"/{other}"), h5py.SoftLink("/nowhere"), h5py.ExternalLink("h.hdf5", "/"), h5py.SoftLink("/")]
        file[name] = rng.choice(kinds)

    def hard_link():
        with contextlib.suppress(ValueError, OSError, RuntimeError, KeyError):
            file[f"{rng.choice(found)[0]}/again"] = file[rng.choice(["/", other])]

    def attribute():
        holder = rng.choice([file, *(item for _, item in found)])
        known = [*holder.attrs, "seed", "id"]
        value = rng.choice([*NUMBERS[:6], *NUMBERS[12:], "word", "", b"x", np.arange(3), "{", "[]", h5py.Empty("f4")])
        with contextlib.suppress(TypeError, OverflowError, OSError):
            holder.attrs[rng.choice(known)] = value
        if holder.attrs and rng.random() < 0.3:
            del holder.attrs[rng.choice(list(holder.attrs))]

    def packed():
        filters = [{"compression": "lzf"}, {"compression": "gzip", "shuffle": True}, {"fletcher32": True}, {"scaleoffset": 3}]
        with contextlib.suppress(TypeError, ValueError):
            anew(array, **rng.choice([*filters, {"chunks": True}]))

    def elsewhere():
        del file[name]
        with contextlib.suppress(TypeError, ValueError):
            file.create_dataset(name, array.shape, array.dtype, external=[("/etc/passwd", 0, array.nbytes)])

    def moved():
        with contextlib.suppress(ValueError, RuntimeError, OSError):
            file.move(name, rng.choice([*(n for n in NAMES if n and "\x00" not in n), f"{name}x"]))

    def pair():
        for one in (name, rng.choice(datasets)[0]):
            if one in file and isinstance(file[one], h5py.Dataset):
                changed = array_mutant(file[one][()], rng)
                del file[one]
                with contextlib.suppress(TypeError):
                    file.create_dataset(one, data=changed)

    def renamed_dtype():
        with contextlib.suppress(TypeError, ValueError):
            anew(array.astype(rng.choice([">f8", ">i2", "<u8", "f2", "g", "c16", "S4", "?"])))

    def values():
        with contextlib.suppress(TypeError):
            anew(array_mutant(array, rng))

    def gone():
        del file[rng.choice([name, other])]

    makers = [
        values,
        values,
        values,
        pair,
        declared,
        of_nothing,
        link,
        hard_link,
        attribute,
        packed,
        moved,
        renamed_dtype,
        gone,
    ]
    maker = rng.choice(makers)
    maker()
    return maker.__name__


def hdf5_mutants(path, count, seed, seal):
    """Mutants of an HDF5 file: bytes of it, or things in it with `seal(file)` to write its digests anew (or none)."""
    import h5py

    rng, content = random.Random(seed), path.read_bytes()
    for number in range(count):
        if number % 2:
            path.write_bytes(bytes_mutant(content, rng))
            yield "raw"
            continue
        path.write_bytes(content)
        with h5py.File(path, "a") as file:
            maker = changed_hdf5(file, rng)
            seal(file, rng)
        yield f"sealed {maker}"


@pytest.mark.parametrize("count", COUNTS)
def test_mutants_of_an_xland_file(sandbox, monkeypatch, count):
    pytest.importorskip("h5py")
    from metarl_envs.histories.exchange import xland

    path, some = sandbox / "h.hdf5", lives()
    histories.export(save([some[0], some[0], some[1]], sandbox / "h"), path, "xland")
    original = told(read_all(xland, path))

    def seal(file, rng):
        if rng.random() < 0.2:
            return  # what the digest is for
        with contextlib.suppress(KeyError):
            del file.attrs["sha256"]
            del file.attrs["metarl_envs"]

    counts = survive(
        hdf5_mutants(path, count, 3, seal),
        lambda: read_all(xland, path),
        acceptable(original),
        refused=StoreError,
        name="h.hdf5",
        sandbox=sandbox,
        deep=Deep(monkeypatch, xland, "_datasets"),
    )
    print(counts)
    assert counts["deep"] >= count / 10


@pytest.mark.parametrize("count", COUNTS)
def test_mutants_of_a_minari_dataset(sandbox, monkeypatch, count):
    pytest.importorskip("h5py")
    pytest.importorskip("minari")
    from metarl_envs.histories.exchange import minari

    monkeypatch.setenv("MINARI_DATASETS_PATH", str(sandbox / "minari"))
    life = lives()[0]
    columns = {name: column[:4] for name, column in life.columns.items() if name != "q"}
    small = History(columns, life.episode_end[:2], life.final_observation[:2], seed=life.seed)
    histories.export(save([small], sandbox / "h"), "some/lives-v0", "minari")
    data = sandbox / "minari" / "some" / "lives-v0" / "data"
    metadata, rng = data / "metadata.json", random.Random(4)
    content, original = metadata.read_text(), told(read_all(minari, "some/lives-v0"))
    about = json.loads(content)

    def seal(file, rng):
        metadata.write_text(json.dumps({key: value for key, value in about.items() if key != "metarl_envs"}))

    def mutants():
        of_data = hdf5_mutants(data / "main_data.hdf5", count, 5, seal)
        whole = (data / "main_data.hdf5").read_bytes()
        for number in range(count):
            metadata.write_text(content)
            if number % 4:
                yield next(of_data)
                continue
            (data / "main_data.hdf5").write_bytes(whole)
            if number % 8:
                metadata.write_bytes(bytes_mutant(content.encode(), rng))
                yield "raw metadata"
            else:
                changed = json_mutant({**about, "observation_space": json.loads(about["observation_space"])}, rng)
                if "observation_space" in changed and not isinstance(changed["observation_space"], str):
                    changed["observation_space"] = json.dumps(changed["observation_space"])
                changed.pop("metarl_envs", None)
                metadata.write_text(json.dumps(changed))
                yield "sealed metadata"

    counts = survive(
        mutants(),
        lambda: read_all(minari, "some/lives-v0"),
        acceptable(original),
        refused=StoreError,
        name="lives-v0",
        sandbox=sandbox,
        deep=Deep(monkeypatch, minari, "_columns"),
    )
    print(counts)
    assert counts["deep"] >= count / 10
