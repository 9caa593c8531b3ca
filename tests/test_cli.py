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
    assert why in " ".join(done.stderr.split())
    assert "Traceback" not in done.stderr
    assert not list(tmp_path.iterdir())


def test_list_shows_every_id_and_one_page(tmp_path):
    from metarl_envs.catalogue import HEADINGS
    from metarl_envs.registration import TABLE

    listed = command("list", cwd=tmp_path).stdout
    assert all(row.id in listed for row in TABLE)
    page = command("list", "MetaRL/DarkRoom-v0", cwd=tmp_path).stdout
    assert all(heading in page for heading in HEADINGS)


def test_histories_are_collected_told_of_verified_and_exchanged(tmp_path):
    pytest.importorskip("pyarrow")
    small = ("--histories", "5", "--steps", "60", "--param", "size=5", "--internals", "q", "--labels", "optimal_action")
    done = command("collect", "DarkRoom", "q_learning", "--out", "h", "--hyper", "step_size=0.5", *small, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "5 histories of 60 steps" in done.stdout
    assert "M steps/s a core" in done.stdout
    told = command("histories", "info", "h", cwd=tmp_path).stdout
    for word in ("MetaRL/DarkRoom-v0", '"step_size": 0.5', "float32 [5]", "optimal_action", "mean return", '"train"'):
        assert word in told
    assert "as it was written" in command("histories", "verify", "h", cwd=tmp_path).stdout
    assert command("histories", "export", "h", "h.arrow", cwd=tmp_path).returncode == 0
    assert "5 histories" in command("histories", "import", "h.arrow", "back", cwd=tmp_path).stdout
    reward = next((tmp_path / "h").rglob("reward.npy"))
    reward.write_bytes(reward.read_bytes()[:-1] + b"\1")
    changed = command("histories", "verify", "h", cwd=tmp_path)
    assert changed.returncode == 2
    assert "has been changed since it was written" in changed.stderr
    again = command("collect", "DarkRoom", "q_learning", "--out", "h", "--hyper", "step_size=0.5", *small, cwd=tmp_path)
    assert again.returncode == 2
    assert "--resume" in again.stderr


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (["collect", "DarkRoom", "nobody", "--out", "h"], "'nobody' is not known; there are: random"),
        (["collect", "DarkRoom", "q_learning", "--out", "h", "--hyper", "stepsize=1"], "stepsize"),
        (["collect", "DarkRoom", "q_learning", "--out", "h", "--shard", "2/2"], "i-th of n shares"),
        (["histories", "info", "nowhere"], "nowhere is no folder"),
    ],
)
def test_mistakes_with_histories_are_one_clear_line(arguments, why, tmp_path):
    test_mistakes_are_one_clear_line(arguments, why, tmp_path)
