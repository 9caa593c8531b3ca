"""The compile cache never hands out the wrong code: not to another family, not after an edit, not from a damaged file."""

import importlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from metarl_envs.engine.compiling import cache
from metarl_envs.engine.compiling.kernels import PLAIN
from metarl_envs.testing import trajectory_hash

pytestmark = pytest.mark.skipif(PLAIN, reason="plain mode compiles nothing")
#: Four of different layouts, of those that compile in a second or two.
KINDS = ["MetaRL/BernoulliBandit-v0", "MetaRL/DarkRoom-v0", "MetaRL/TMaze-v0", "MetaRL/Pendulum-v0"]
ROOM = "MetaRL/DarkRoom-v0"


def environment(folder, **more):
    return {**os.environ, "NUMBA_CACHE_DIR": str(folder), "PYTHONDONTWRITEBYTECODE": "1", **more}


def start(id, folder, **more):
    """A process that prints the hash of an id's trajectory."""
    command = [sys.executable, "-W", "error", "-m", "metarl_envs.testing", id]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen(command, env=environment(folder, **more), **pipes)


def finish(process):
    out, error = process.communicate()
    assert process.returncode == 0, error
    return out.strip()


def files(folder):
    return {path.name: path.stat().st_mtime_ns for path in Path(folder, "metarl_envs").glob("*.bin")}


# ------------------------------------------------------------------------------------------- many processes
def compile_at_once(ids, folder, times):
    processes = [(id, start(id, folder)) for _ in range(times) for id in ids]
    return [(id, finish(process)) for id, process in processes]


@pytest.mark.slow
def test_two_families_compiled_at_once_are_not_swapped(tmp_path):
    pair = KINDS[:2]
    expected = [(id, trajectory_hash(id)) for id in pair]
    assert compile_at_once(pair, tmp_path, times=1) == expected
    written = files(tmp_path)
    assert written
    assert compile_at_once(pair, tmp_path, times=1) == expected
    assert files(tmp_path) == written, "the second time, everything came from the cache"


@pytest.mark.slow
def test_families_compiled_at_once_by_many_processes_are_not_swapped(tmp_path):
    expected = [(id, trajectory_hash(id)) for id in KINDS]
    assert compile_at_once(KINDS, tmp_path, times=2) == expected * 2


NAME_OF_CODE = """
import sys
import metarl_envs
from metarl_envs.histories import lifetime_returns
from metarl_envs.learners import QLearning

tasks = metarl_envs.tasks(sys.argv[1], size=int(sys.argv[2]))
lifetime_returns(tasks.rows(1), tasks.variant, QLearning(), [0], episodes=1)
[compiled] = sys.modules[lifetime_returns.__module__]._score_driver(tasks.variant, QLearning).overloads.values()
print(compiled.fndesc.mangled_name)
"""


@pytest.mark.slow
def test_different_code_has_different_names_though_processes_count_alike(tmp_path):
    """Code of one name in two files would be mistaken for one another by a process that loads both."""

    def name(id, size):
        command = [sys.executable, "-c", NAME_OF_CODE, id, size]
        setting = environment(tmp_path / f"{id}{size}")
        return subprocess.run(command, env=setting, capture_output=True, text=True, check=True).stdout

    kinds = [(ROOM, "9"), (ROOM, "14"), ("MetaRL/GridNavi-v0", "9")]
    assert len({name(*kind) for kind in kinds}) == len(kinds)


# ------------------------------------------------------------------------------------------- edits
FAMILY = """
from types import SimpleNamespace
import numpy as np
from gymnasium.spaces import Discrete, Box
from metarl_envs.engine import Family, Integer, Parameters, kernel, record, uniform
from far.near import scaled

@kernel
def draw(params, task, rng):
    task.x = uniform(rng)

@kernel
def begin(params, task, state, rng):
    state.t = 0

@kernel
def move(params, task, state, action, rng):
    state.t += 1
    return scaled(1.0), False

@kernel
def see(params, task, state, obs):
    obs[0] = state.t

class Mine(Family):
    params = Parameters(horizon=Integer(5, 1))
    task, state = record(x=np.float64), record(t=np.int64)
    sample_task, reset, step, observe = draw, begin, move, see

    @staticmethod
    def spaces(p):
        return Box(0, 1000, (1,), np.int64), Discrete(2)
"""
NEAR = "from metarl_envs.engine import kernel\n"
#: Ways in which a kernel two modules away reaches a number: its module, the module far from it, and the edit to that.
WAYS = {
    "the body of a kernel": (
        "from far.away import scaled",
        "from metarl_envs.engine import kernel\n@kernel\ndef scaled(x):\n    return NUMBER * x",
    ),
    "a kernel that a kernel calls": (
        "from far.away import deep\n@kernel\ndef scaled(x):\n    return deep(x)",
        "from metarl_envs.engine import kernel\n@kernel\ndef deep(x):\n    return x * NUMBER",
    ),
    "a constant": ("from far.away import N\n@kernel\ndef scaled(x):\n    return N * x", "N = NUMBER"),
    "a constant of a module": ("from far import away\n@kernel\ndef scaled(x):\n    return away.N * x", "N = NUMBER"),
    "a constant by its full name": ("import far.away\n@kernel\ndef scaled(x):\n    return far.away.N * x", "N = NUMBER"),
    "a constant in a tuple": ("from far.away import N\n@kernel\ndef scaled(x):\n    return N[1] * x", "N = (0.0, NUMBER)"),
    "a constant in an array": (
        "from far.away import N\n@kernel\ndef scaled(x):\n    return N[1] * x",
        "import numpy as np\nN = np.array([0.0, NUMBER])",
    ),
    "an enumeration": (
        "from far.away import N\n@kernel\ndef scaled(x):\n    return N.SOME.value * x",
        "import enum\nclass N(enum.IntEnum):\n    SOME = int(NUMBER)",
    ),
    "a closure": (
        "from far.away import make\nscaled = make()",
        "from metarl_envs.engine import kernel\ndef make():\n    n = NUMBER\n    @kernel\n    def scaled(x):\n"
        "        return n * x\n    return scaled",
    ),
    "a function of Python's own": (
        "from far.away import rounded\n@kernel\ndef scaled(x):\n    return rounded(2.5 * x)",
        "import math\nrounded = math.floor if NUMBER == 2.0 else math.ceil",
    ),
    "a type of numbers": (
        "import numpy as np\nfrom far.away import whole\n@kernel\ndef scaled(x):\n    return whole(int(257.0 * x)) % 255 + 1.0",
        "import numpy as np\nwhole = np.uint8 if NUMBER == 2.0 else np.int64",
    ),
    "a default argument": (
        "from far.away import scaled",
        "from metarl_envs.engine import kernel\n@kernel\ndef scaled(x, n=NUMBER):\n    return n * x",
    ),
}


def write_package(folder, near, away, number):
    package = folder / "far"
    package.mkdir(exist_ok=True)
    (package / "__init__.py").write_text("")
    (package / "family.py").write_text(FAMILY)
    (package / "near.py").write_text(NEAR + near)
    (package / "away.py").write_text(away.replace("NUMBER", str(number)))


def digest(folder, monkeypatch):
    """The digest of the family's step in a package on disk, imported afresh."""
    for name in [name for name in sys.modules if name.split(".")[0] == "far"]:
        del sys.modules[name]
    monkeypatch.syspath_prepend(str(folder))
    importlib.invalidate_caches()
    return cache.digest_of(importlib.import_module("far.family").move)


@pytest.mark.parametrize("way", WAYS)
def test_an_edit_two_modules_away_changes_the_digest(way, tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    digests = []
    for number in (2.0, 3.0, 2.0):
        write_package(tmp_path, *WAYS[way], number)
        digests.append(digest(tmp_path, monkeypatch))
    assert digests[0] == digests[2] != digests[1]


def test_an_edit_that_moves_lines_changes_no_digest(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    near, away = WAYS["the body of a kernel"]
    write_package(tmp_path, near, away, 2.0)
    before = digest(tmp_path, monkeypatch)
    write_package(tmp_path, "# a comment\n\n" + near, "'''What this is.'''\n\n" + away, 2.0)
    assert digest(tmp_path, monkeypatch) == before


def reward(folder, cache_folder):
    """What the family pays, in a fresh process with that cache."""
    script = (
        "import gymnasium as gym, metarl_envs; metarl_envs.register('Far/Mine-v0', 'far.family:Mine');"
        "env = gym.make('Far/Mine-v0').unwrapped; env.reset(seed=0); print(env.step(0)[1])"
    )
    setting = environment(cache_folder, PYTHONPATH=str(folder))
    result = subprocess.run([sys.executable, "-c", script], env=setting, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    return float(result.stdout)


@pytest.mark.slow
@pytest.mark.parametrize("way", WAYS)
def test_an_edit_two_modules_away_takes_effect(way, tmp_path):
    write_package(tmp_path, *WAYS[way], 2.0)
    assert reward(tmp_path, tmp_path / "cache") == 2.0
    written = files(tmp_path / "cache")
    assert reward(tmp_path, tmp_path / "cache") == 2.0
    assert files(tmp_path / "cache") == written, "unchanged code comes from the cache"
    write_package(tmp_path, *WAYS[way], 3.0)
    assert reward(tmp_path, tmp_path / "cache") == 3.0


# ------------------------------------------------------------------------------------------- files and folders
@pytest.fixture(scope="module")
def filled(tmp_path_factory):
    """A cache that holds the dark room."""
    folder = tmp_path_factory.mktemp("filled")
    return folder, finish(start(ROOM, folder))


def flip_a_byte_in_the_middle(content):
    middle = len(content) // 2
    return content[:middle] + bytes([content[middle] ^ 0xFF]) + content[middle + 1 :]


DAMAGES = {
    "empty": lambda content: b"",
    "cut": lambda content: content[: len(content) // 2],
    "garbage": lambda content: os.urandom(len(content)),
    "text": lambda content: b"not a cache file",
    "one byte": flip_a_byte_in_the_middle,
    "longer": lambda content: content + b"more",
}


@pytest.mark.slow
@pytest.mark.parametrize("damage", DAMAGES)
def test_damaged_files_are_compiled_anew_and_replaced(damage, filled, tmp_path):
    folder, expected = filled
    shutil.copytree(folder, tmp_path, dirs_exist_ok=True)
    damaged = {}
    for path in Path(tmp_path, "metarl_envs").glob("*.bin"):
        damaged[path] = DAMAGES[damage](path.read_bytes())
        path.write_bytes(damaged[path])
    assert finish(start(ROOM, tmp_path)) == expected
    assert damaged
    assert all(path.read_bytes() != content for path, content in damaged.items())


@pytest.mark.parametrize("damage", DAMAGES)
def test_what_is_damaged_is_not_read(damage, tmp_path):
    path = tmp_path / "file.bin"
    cache._write(path, b"content" * 10)
    assert cache._read(path) == b"content" * 10
    path.write_bytes(DAMAGES[damage](path.read_bytes()))
    with pytest.raises(ValueError, match="damaged"):
        cache._read(path)


@pytest.mark.slow
def test_nowhere_to_write_means_compiling_again(tmp_path, filled):
    (tmp_path / "file").write_text("in the way")
    _, expected = filled
    assert finish(start(ROOM, tmp_path / "file")) == expected
    assert (tmp_path / "file").read_text() == "in the way"


@pytest.mark.slow
def test_a_home_that_is_none_means_compiling_again(tmp_path, filled):
    _, expected = filled
    process = start(ROOM, "", HOME=os.devnull, XDG_CACHE_HOME=os.devnull)
    assert finish(process) == expected


def test_a_read_only_install_works(tmp_path):
    """Nothing is written where the package lies (which nobody but root could)."""
    package = Path(cache.__file__).parents[2]
    site = tmp_path / "site"
    shutil.copytree(package, site / "metarl_envs", ignore=shutil.ignore_patterns("__pycache__"))
    for path in [*site.rglob("*"), site]:
        path.chmod(0o555 if path.is_dir() else 0o444)
    before = sorted(site.rglob("*"))
    script = (
        "import metarl_envs, sys; from metarl_envs.testing import trajectory_hash;"
        "print(metarl_envs.__file__, trajectory_hash(sys.argv[1]))"
    )
    setting = {**os.environ, "PYTHONPATH": str(site), "PYTHONDONTWRITEBYTECODE": "1"}  # root can write everywhere
    result = subprocess.run([sys.executable, "-c", script, ROOM], env=setting, capture_output=True, text=True, cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    where, got = result.stdout.split()
    assert Path(where).parents[1] == site
    assert got == trajectory_hash(ROOM)
    assert sorted(site.rglob("*")) == before
    for path in [site, *site.rglob("*")]:
        path.chmod(0o755)


@pytest.mark.slow
def test_no_half_written_file_is_left_behind(filled):
    folder, _ = filled
    names = [path.name for path in Path(folder, "metarl_envs").iterdir()]
    assert names
    assert all(name.endswith((".bin", ".works")) for name in names)


def test_a_failed_write_leaves_nothing(tmp_path, monkeypatch):
    def full(source, target):
        raise OSError("no space left on device")

    monkeypatch.setattr(cache.os, "replace", full)
    with pytest.raises(OSError, match="no space"):
        cache._write(tmp_path / "x.bin", b"content")
    assert not list(tmp_path.iterdir())


def test_the_oldest_files_go_first(tmp_path, monkeypatch):
    monkeypatch.setattr(cache, "_MOST_FILES", 3)
    for i in range(6):
        (tmp_path / f"{i}.bin").write_bytes(b"")
        os.utime(tmp_path / f"{i}.bin", (i, i))
    (tmp_path / "another.txt").write_text("not ours")
    cache._prune(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["3.bin", "4.bin", "5.bin", "another.txt"]


def test_the_folder_is_the_users(monkeypatch, tmp_path):
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path))
    assert cache.folder() == tmp_path / "metarl_envs"
    monkeypatch.delenv("NUMBA_CACHE_DIR")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert "metarl_envs" in str(cache.folder())
