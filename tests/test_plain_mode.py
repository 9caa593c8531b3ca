"""Compiled and plain, a run of whole trials is the same, bit by bit; and no Numba is needed to run at all."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from metarl_envs.engine.compiling.kernels import PLAIN
from metarl_envs.ids import TABLE
from metarl_envs.testing import trajectory_hash
from tests.worlds import SELDOM_COMPILED, SMALLER, smaller

IDS = [row.id for row in TABLE if row.id not in SELDOM_COMPILED]
#: What is given along with an id: boxes take milliseconds a step as ordinary Python.
SHORTER = {row.id: {**smaller(row.id), "horizon": 60} for row in TABLE if row.kind == "box"}

HASHES = f"""
from metarl_envs.engine.compiling.kernels import PLAIN
from metarl_envs.testing import trajectory_hash
import sys
print(PLAIN, *(trajectory_hash(id, **{SHORTER}.get(id, {{}})) for id in sys.argv[1:]))
"""
#: Makes `import numba` fail, and `find_spec` find nothing.
WITHOUT_NUMBA = "import sys; sys.modules['numba'] = sys.modules['llvmlite'] = None\n"

EVERYTHING = f"""
SMALLER = {SMALLER}
"""
EVERYTHING += """
import importlib, pkgutil, sys
import gymnasium as gym, numpy as np
import metarl_envs, metarl_envs.engine, metarl_envs.families, metarl_envs.task_sets
for package in (metarl_envs.engine, metarl_envs.families, metarl_envs.task_sets):
    for module in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
        if module.name != "metarl_envs.engine.compiling.pointers":  # which is for compiled code only
            importlib.import_module(module.name)
for id in sys.argv[1:]:
    short = {**SMALLER.get(id, {}), "horizon": 4}
    for kwargs in ({}, {"split": "test" if metarl_envs.tasks(id, **short).parts else None, "num_tasks": 2}):
        envs = gym.make_vec(id, num_envs=2, render_mode="rgb_array", episodes_per_trial=2, **short, **kwargs)
        envs.reset(seed=0)
        for _ in range(10):
            envs.step(envs.action_space.sample())
        assert envs.render()[0].dtype == np.uint8
        metarl_envs.tasks(id, **short)[:3].fingerprint
print("numba" in {name for name, module in sys.modules.items() if module is not None})
"""


HERE = Path(__file__)
MARKED = [path for path in sorted(HERE.parent.rglob("test_*.py")) if path != HERE and "mark.plain" in path.read_text()]


@pytest.mark.skipif(PLAIN, reason="they run by themselves")
def test_what_is_marked_plain_passes_as_ordinary_python():
    """In a process of its own, which begins before all other tests (see conftest.py)."""
    run_plain("plain and not slow", *MARKED)


@pytest.mark.slow
@pytest.mark.skipif(PLAIN, reason="they run by themselves")
def test_what_is_marked_plain_and_slow_passes_as_ordinary_python():
    run_plain("plain and slow and not nightly", *MARKED)


def run_plain(which, *paths):
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-m", which, *map(str, paths)]
    setting = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    setting["NUMBA_DISABLE_JIT"] = "1"
    result = subprocess.run(command, env=setting, capture_output=True, text=True, cwd=HERE.parents[1])
    assert result.returncode == 0, result.stdout[-6000:] + result.stderr[-2000:]
    assert " passed" in result.stdout


def run(script, ids=IDS, **setting):
    result = subprocess.run(
        [sys.executable, "-W", "error", "-c", script, *ids], env={**os.environ, **setting}, capture_output=True, text=True
    )
    assert result.returncode == 0, result.stderr
    return result.stdout.split()


def hashes_here(ids):
    return [trajectory_hash(id, **SHORTER.get(id, {})) for id in ids]


@pytest.fixture(scope="module")
def expected():
    return hashes_here(IDS)


def test_plain_by_wish_equals_compiled(expected):
    plain, *hashes = run(HASHES, NUMBA_DISABLE_JIT="1")
    assert plain == "True"
    assert dict(zip(IDS, hashes, strict=True)) == dict(zip(IDS, expected, strict=True))


def test_compiled_in_another_process_equals_compiled_here(expected):
    plain, *hashes = run(HASHES, NUMBA_DISABLE_JIT="0")
    assert plain == "False"
    assert hashes == expected


def test_without_numba_runs_are_the_same(expected):
    plain, *hashes = run(WITHOUT_NUMBA + HASHES)
    assert plain == "True"
    assert hashes == expected


@pytest.mark.slow
def test_what_is_seldom_compiled_is_the_same_too():
    ids = sorted(SELDOM_COMPILED)
    assert run(HASHES, ids, NUMBA_DISABLE_JIT="1")[1:] == hashes_here(ids)


def test_without_numba_everything_imports_and_steps():
    assert run(WITHOUT_NUMBA + EVERYTHING, [row.id for row in TABLE]) == ["False"]
