"""The command line, as people call it."""

import json
import subprocess
import sys

import pytest


def command(*arguments, cwd):
    return subprocess.run(
        [sys.executable, "-m", "metarl_envs.cli", *arguments], cwd=cwd, capture_output=True, text=True, timeout=300
    )


@pytest.mark.slow
def test_evaluate_prints_a_table_and_writes_files(tmp_path):
    done = command("evaluate", "MetaRL/DarkRoom-v0", "--episodes", "5", "--param", "size=5", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    for word in ("q_learning", "oracle", "sweep", "random", "AULC", "curves.png"):
        assert word in done.stdout
    folder = tmp_path / "results" / "DarkRoom-test"
    assert json.loads((folder / "result.json").read_text())["params"]["size"] == 5
    assert (folder / "curves.png").stat().st_size > 10_000


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (["evaluate", "MetaRL/Nowhere-v0"], "Nowhere"),
        (["evaluate", "MetaRL/DarkRoom-v0", "--param", "size=0"], "size=0"),
        (["evaluate", "MetaRL/DarkRoom-v0", "--param", "size"], "name=value"),
        (["evaluate", "MetaRL/DarkRoom-v0", "--split", "tset"], "tset"),
        (["evaluate", "MetaRL/TMaze-v0"], "MetaRL/TMaze-v0 has too few tasks to be split into train and test: add --split all"),
        (["evaluate", "MetaRL/DarkRoom-v0", "--policy", "nobody"], "nobody"),
    ],
)
def test_mistakes_are_one_clear_line(arguments, why, tmp_path):
    done = command(*arguments, cwd=tmp_path)
    assert done.returncode == 2
    assert why in done.stderr
    assert "Traceback" not in done.stderr
    assert not list(tmp_path.iterdir())


def test_list_shows_every_id_and_one_page(tmp_path):
    from metarl_envs.catalogue import HEADINGS
    from metarl_envs.registration import TABLE

    listed = command("list", cwd=tmp_path).stdout
    assert all(row.id in listed for row in TABLE)
    page = command("list", "MetaRL/DarkRoom-v0", cwd=tmp_path).stdout
    assert all(heading in page for heading in HEADINGS)
