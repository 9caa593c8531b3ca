"""The lowest versions that pyproject.toml declares are enough: an environment of them runs a small set of the tests."""

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
#: What is run there: every id, the cache, histories in other formats, and the command line.
SMALL_SET = [
    "tests/test_golden.py",
    "tests/test_cache_truth.py",
    "tests/test_compiling.py",
    "tests/test_histories_elsewhere.py",
    "tests/test_cli.py",
]
#: What old versions of others warn of beside newer ones is not ours.
QUIET = ["-W", "ignore::DeprecationWarning"]
EXTRAS = ("plot", "exchange", "test")
NOT_RUN = ("ruff", "pyright")


def lowest_versions():
    """`name==lowest` for every requirement of the package and of the extras that the small set needs."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    declared = [*project["dependencies"], *(one for extra in EXTRAS for one in project["optional-dependencies"][extra])]
    found = [re.match(r"([\w.-]+)>=([\w.]+)", requirement) for requirement in declared]
    return [f"{match[1]}=={match[2]}" for match in found if match and match[1] not in NOT_RUN]


def test_every_requirement_declares_a_lowest_version():
    names = {requirement.split("==")[0] for requirement in lowest_versions()}
    assert {"numpy", "gymnasium", "numba", "typer", "minari", "pytest"} <= names


@pytest.mark.nightly
@pytest.mark.skipif(sys.version_info >= (3, 13), reason="the lowest versions have no wheels for newer Pythons")
def test_the_lowest_versions_are_enough(tmp_path):
    python = str(tmp_path / "venv" / "bin" / "python")
    for command in (
        [sys.executable, "-m", "venv", str(tmp_path / "venv")],
        [python, "-m", "pip", "install", "--quiet", *lowest_versions()],
        [python, "-m", "pip", "install", "--quiet", "--no-deps", "-e", str(ROOT)],
        [python, "-m", "pytest", "-q", "-n", "2", "-p", "no:cacheprovider", *QUIET, *SMALL_SET],
    ):
        setting = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
        setting |= {"NUMBA_CACHE_DIR": str(tmp_path / "cache")}
        result = subprocess.run(command, env=setting, cwd=ROOT, capture_output=True, text=True)
        assert result.returncode == 0, f"{command[1:5]}\n{result.stdout[-4000:]}\n{result.stderr[-4000:]}"
