"""The benchmarks run to their end and print what they promise. Nothing here looks at a clock."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from metarl_envs.engine.compiling.kernels import PLAIN

RUN = Path(__file__).parents[1] / "benchmarks" / "run.py"


EVERY = {
    *("vector", "single", "wrappers", "boxes", "runs", "q_learning"),
    *("histories", "learners", "task_sets", "startup", "rules", "mixture"),
}


@pytest.mark.parametrize(
    "kinds",
    [
        pytest.param({"startup", "task_sets"}, id="two", marks=pytest.mark.slow),
        pytest.param(EVERY, id="every", marks=pytest.mark.nightly),
    ],
)
@pytest.mark.skipif(PLAIN, reason="plain Python has no speed to measure")
def test_a_quick_run_prints_every_table(kinds, tmp_path):
    file = tmp_path / "tables.json"
    only = [] if kinds == EVERY else [word for kind in kinds for word in ("--only", kind)]
    done = subprocess.run([sys.executable, RUN, "--quick", "--json", file, *only], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    groups = json.loads(file.read_text())["groups"]
    assert set(groups) == kinds
    for table in (table for tables in groups.values() for table in tables):
        assert f"### {table['title']}\n" in done.stdout
        assert table["rows"]
        for row in table["rows"]:
            assert len(row) == len(table["columns"])
            assert f"| {row[0]} " in done.stdout
