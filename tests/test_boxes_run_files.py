"""Files of runs that somebody else wrote, or that were damaged: what is loaded is the run that was saved, or it is refused."""

import io
import json
import random
import struct
import tracemalloc
import warnings
import zipfile
from dataclasses import replace

import numpy as np
import pytest

from metarl_envs import boxes
from metarl_envs.players.run_files import ARRAYS
from tests.fuzzing import bytes_mutant, json_mutant

#: The layout of rows of `test_boxes_run`.
SMALL = {
    "agents": 3,
    "horizon": 12,
    "day": 6,
    "notes": 2,
    "board": 1,
    "page": 1,
    "lineages": 1,
    "levels": 3,
    "width": 2,
    "bases": 4,
    "recipes": 1,
    "crossover": 0,
    "dead_ends": 0.0,
    "topology": "full",
}
#: Most bytes that loading a file of a few kB may take on the way.
MOST_MEMORY = 30_000_000


@pytest.fixture(scope="module")
def run():
    return boxes.run("InventionBox", {"all": "greedy"}, boxes=3, seed=1, **SMALL)


class Files:
    """The two files of a run, whole, and how to spoil them."""

    def __init__(self, run, folder):
        self.run, self.folder = run, folder
        npz, about = run.save(folder / "run")
        self.npz, self.about = npz.read_bytes(), about.read_bytes()
        self.header = json.loads(self.about)
        self.members = {name: member_of(getattr(run, name)) for name in ARRAYS}

    def write(self, npz=None, about=None):
        (self.folder / "run.npz").write_bytes(self.npz if npz is None else npz)
        (self.folder / "run.json").write_bytes(self.about if about is None else about)


def member_of(array):
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()


def archive(members):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of a name that is there twice
        for name, content in members:
            file.writestr(zipfile.ZipInfo(name), content, zipfile.ZIP_DEFLATED)
    return buffer.getvalue()


# ------------------------------------------------------------------------------------------------- mutants
def drawn(rng):
    """A generator for the mutators that all formats share."""
    return random.Random(int(rng.integers(2**32)))


def damaged(rng, content):
    return bytes_mutant(content, drawn(rng))


def strange(rng, header):
    return json_mutant(header, drawn(rng))


def strange_header(rng, content):
    """An array file whose own header says something else."""
    said = str(
        rng.choice(
            [
                "{'descr': '<i2', 'fortran_order': False, 'shape': (1099511627776,), }",
                "{'descr': '<i2', 'fortran_order': False, 'shape': (100000, 100000, 100), }",
                "{'descr': '|O', 'fortran_order': False, 'shape': (3,), }",
                "{'descr': '<u8', 'fortran_order': True, 'shape': (-3,), }",
                "{'descr': '<u8', 'fortran_order': False, 'shape': (), }",
                "{'descr': '<i2', 'fortran_order': False, 'shape': (3, 12, 3, 0), }",
                "{'descr': ('<i2', (65536, 65536)), 'fortran_order': False, 'shape': (3,), }",
                "{'descr': [('recipe', '|O')], 'fortran_order': False, 'shape': (3,), }",
                "{'descr': '|V2147483647', 'fortran_order': False, 'shape': (3,), }",
                "__import__('os').getcwd()",
                "[" * 3000,
                "",
            ]
        )
    )
    written = said.encode() + b"\n"
    if rng.random() < 0.5:
        content = content[10 + struct.unpack("<H", content[8:10])[0] :]
        version = bytes([int(rng.choice([1, 1, 1, 2, 3, 9])), 0])
        length = struct.pack("<H" if version[0] == 1 else "<I", len(written))
        return b"\x93NUMPY" + version + length + written + content
    return damaged(rng, content[:128]) + content[128:]


def strange_archive(rng, files):
    """An archive with whole arrays under other names, other arrays, or arrays that say something else of themselves."""
    members = [(f"{name}.npy", content) for name, content in files.members.items()]
    k = int(rng.integers(len(members)))
    name, content = members[k]
    match rng.integers(6):
        case 0:
            members[k] = (
                str(rng.choice(["../run.npy", "/tmp/actions.npy", "actions", "tasks.npy", "..\\seeds.npy", ""])),
                content,
            )
        case 1:
            members[k] = name, members[int(rng.integers(len(members)))][1]
        case 2:
            members[k] = name, strange_header(rng, content)
        case 3:
            members[k] = name, member_of(np.resize(rng.integers(0, 99, 3), rng.integers(0, 9, int(rng.integers(0, 4)))))
        case 4:
            del members[k]
        case 5:
            members[k] = name, damaged(rng, content)
    return archive(members)


def lying(rng, content):
    """An archive whose tables say that an array is much larger than it is."""
    content = bytearray(content)
    at = content.find(b"PK\x01\x02", int(rng.integers(len(content))))
    if at >= 0:
        content[at + 20 : at + 28] = struct.pack("<II", *rng.choice([5, 2000, 0x7FFFFFF0, 0xFFFFFFF0], 2))
    return bytes(content)


def signed(rng, run):
    """A run with a part that is none, and a fingerprint that says it is."""
    tasks = run.tasks.copy()
    if rng.random() < 0.5:
        name = str(rng.choice(["recipe", "hole", "shape", "fits", "parity"]))
        flat = tasks[name].reshape(-1)
        flat[rng.integers(flat.size)] = rng.choice([0, 5, 9, 100, 255])
        tasks[name] = flat.reshape(tasks[name].shape)
        return replace(run, tasks=tasks)
    other = {
        "actions": run.actions
        + rng.choice([-1, 1, 9, 1000], run.actions.shape).astype(run.actions.dtype) * (rng.random() < 0.5),
        "endings": run.endings[:: int(rng.choice([-1, 2]))],
        "seeds": run.seeds + np.uint64(1),
        "steps": run.steps + rng.choice([-1, 1, 1000]),
        "returns": run.returns + 1.0,
        "split": str(rng.choice(["train", "tset"])),
        "seats": ("greedy",) * int(rng.integers(5)),
    }
    name = str(rng.choice(list(other)))
    return replace(run, **{name: other[name]})


MUTANTS = {
    "damaged archive": lambda rng, files: files.write(npz=damaged(rng, files.npz)),
    "damaged text": lambda rng, files: files.write(about=damaged(rng, files.about)),
    "strange text": lambda rng, files: files.write(about=json.dumps(strange(rng, files.header)).encode()),
    "strange archive": lambda rng, files: files.write(npz=strange_archive(rng, files)),
    "lying archive": lambda rng, files: files.write(npz=lying(rng, files.npz)),
    "signed": lambda rng, files: signed(rng, files.run).save(files.folder / "run"),
}


def is_same(a, b):
    return (a.family, a.params, a.split, a.seats) == (b.family, b.params, b.split, b.seats) and all(
        np.array_equal(getattr(a, name), getattr(b, name)) for name in ARRAYS
    )


def fuzz(run, folder, kind, mutants, seed):
    """Load mutants of a kind; how many were refused by what stands in the arrays, and not in the text."""
    files, rng, deep = Files(run, folder), np.random.default_rng(seed), 0
    for _ in range(mutants):
        MUTANTS[kind](rng, files)
        if tracemalloc.is_tracing():
            tracemalloc.reset_peak()
        try:
            loaded = boxes.load(folder / "run")
        except ValueError as error:
            said = str(error)
            deep += "run.npz" in said
            assert str(folder / "run.") in said
        else:
            deep += 1
            if kind != "signed":
                assert is_same(loaded, run)
            elif not is_same(loaded, run):
                try:
                    assert len(list(loaded.replay())) == 13
                except ValueError as error:
                    assert "ends otherwise" in str(error) or "different lengths" in str(error)  # noqa: PT017
        assert tracemalloc.get_traced_memory()[1] < MOST_MEMORY
        assert {path.name for path in folder.iterdir()} == {"run.npz", "run.json"}
    assert {path.name for path in folder.parent.iterdir()} == {folder.name}
    return deep


@pytest.fixture
def traced():
    tracemalloc.start()
    yield
    tracemalloc.stop()


@pytest.mark.parametrize("kind", MUTANTS)
def test_a_damaged_run_is_refused_or_is_the_run_that_was_saved(run, tmp_path, traced, kind):
    (tmp_path / "files").mkdir()
    deep = fuzz(run, tmp_path / "files", kind, 100, 0)
    assert deep > 50 or "text" in kind


@pytest.mark.nightly
def test_ten_thousand_damaged_runs(run, tmp_path):
    resource = pytest.importorskip("resource")
    deep, before = 0, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for kind in MUTANTS:
        (tmp_path / kind / "files").mkdir(parents=True)
        deep += fuzz(run, tmp_path / kind / "files", kind, 1700, 1)
    assert deep > 5000
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss < before + 100_000, "kB, on Linux"


def test_an_archive_that_would_fill_the_memory_is_refused_before_it_does(run, tmp_path, traced):
    """A few kB of deflated zeros that say truly that they are 200 MB; and a few that say so untruly."""
    files = Files(run, tmp_path)
    zeros = (
        b"\x93NUMPY\x01\x00"
        + struct.pack("<H", 118)
        + b"{'descr': '<i2', 'fortran_order': False, 'shape': (100000000,), }".ljust(118)
    )
    members = {**files.members, "seeds": zeros + bytes(2 * 10**6)}
    files.write(npz=archive([(f"{name}.npy", content) for name, content in members.items()]))
    tracemalloc.reset_peak()
    with pytest.raises(ValueError, match="which it cannot be"):
        boxes.load(tmp_path / "run")
    assert tracemalloc.get_traced_memory()[1] < MOST_MEMORY
