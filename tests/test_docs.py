"""The pages say what is true: their code runs, what it is said to print it prints, and every control is explained.

`mkdocs build --strict` checks their links.
"""

import contextlib
import importlib.util
import inspect
import io
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import metarl_wrappers

DOCS = Path(__file__).parents[1] / "docs"
if not DOCS.exists():  # tests of an installed wheel, run from elsewhere
    pytest.skip("no pages here", allow_module_level=True)
IS_IT_RL = (DOCS / "is-it-rl.md").read_text()


def blocks(text, language="python"):
    return re.findall(rf"```{language}\n(.*?)```", text, flags=re.DOTALL)


def sections_of(page):
    """Each piece of code with the section that it stands in and its number there."""
    for section in re.split(r"^## ", (DOCS / page).read_text(), flags=re.MULTILINE):
        name = section.split("\n")[0]
        for i, code in enumerate(blocks(section)):
            yield pytest.param(code, id=f"{name} {i}")


def test_the_first_page_runs():
    (code,) = blocks((DOCS / "index.md").read_text())
    found = {}
    exec(compile(code, "index.md", "exec"), found)
    assert found["done"]


def test_every_control_is_explained():
    controls = {
        name for name in metarl_wrappers.WRAPPERS if inspect.getdoc(getattr(metarl_wrappers, name)).startswith("Control:")
    }
    assert len(controls) >= 7
    explained = set(re.findall(r"^\| \[(\w+)\]\(wrappers/\1\.md\)", IS_IT_RL, flags=re.MULTILINE))
    assert controls == explained, "each control has a row in the table of docs/is-it-rl.md, and nothing else has"


def test_the_contracts_stack_runs():
    (code,) = blocks((DOCS / "contract.md").read_text())
    exec(compile(code, "contract.md", "exec"), found := {})
    assert found["envs"].observation_space.contains(found["observations"])


@pytest.mark.slow
def test_who_is_fed_does_what_the_page_says():
    fed, _ = blocks(IS_IT_RL)
    exec(compile(fed, "is-it-rl.md", "exec"), found := {})
    own, other = (found["result"].summaries[name].aulc.mean for name in ("its own", "another's"))
    assert f"# {{'its own': {own:.2f}, \"another's\": {other:.2f}}}" in fed


@pytest.mark.nightly
@pytest.mark.slow
def test_the_controls_give_what_the_page_says():
    (_, code), (said,) = blocks(IS_IT_RL), blocks(IS_IT_RL, "text")
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(compile(code, "is-it-rl.md", "exec"), {"__name__": "page"})
    assert printed.getvalue() == said


def test_the_guide_to_histories_runs(tmp_path, monkeypatch):
    from metarl_envs import histories
    from metarl_envs.learners import QLearning

    monkeypatch.chdir(tmp_path)
    in_memory, _, on_disk = blocks((DOCS / "histories.md").read_text())
    found = {"histories": histories, "rng": np.random.default_rng(0)}
    exec(compile(in_memory, "histories.md", "exec"), found)
    assert found["history"].steps == 2000
    histories.collect("MetaRL/DarkRoom-v0", QLearning(), histories=4, steps=400, out="corpus")
    found["other"] = histories.collect("MetaRL/DarkRoom-v0", QLearning(), histories=2, steps=300)
    exec(compile(on_disk.replace("> 10", "> -1"), "histories.md", "exec"), found)
    assert found["windows"]["observation"].shape == (512, 256, 2)
    assert len(found["both"]) == 6
    assert len(histories.load("good")) == 4


@pytest.mark.nightly
@pytest.mark.slow
def test_populations_are_compared_as_the_page_on_players_says(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    comparing, helping = (code for code in blocks((DOCS / "players.md").read_text()) if "compare(" in code or "gain(" in code)
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(compile(comparing, "players.md", "exec"), found := {})
        exec(compile(helping, "players.md", "exec"), found)
    assert "greedy / random" in printed.getvalue()
    assert "in 20 trials; ±0.05 would take" in printed.getvalue()
    assert (tmp_path / "runs" / "comparison.html").exists()


@pytest.mark.slow
def test_the_guide_to_histories_records_ppo(tmp_path, monkeypatch):
    pytest.importorskip("stable_baselines3")
    monkeypatch.chdir(tmp_path)
    _, recording, _ = blocks((DOCS / "histories.md").read_text())
    code = recording.replace("steps=10_000", "steps=2048").replace("learn(80_000)", "learn(8 * 2048)")
    exec(compile(code, "histories.md", "exec"), found := {})
    assert found["recorded"].histories().steps == 8 * 2048


@pytest.mark.slow
@pytest.mark.parametrize("code", list(sections_of("which-wrapper.md")))
def test_the_snippet_of_a_library_runs_where_there_is_the_library(code, tmp_path):
    modules = set(re.findall(r"^(?:from|import) (\w+)", code, flags=re.MULTILINE))
    python = sys.executable
    if "ray" in modules:  # RLlib asks for a Gymnasium of its own, so it is tested in an environment of its own
        python = os.environ.get("METARL_RLLIB_PYTHON") or pytest.skip("METARL_RLLIB_PYTHON names no Python with ray[rllib]")
    elif missing := [module for module in modules if importlib.util.find_spec(module) is None]:
        pytest.skip(f"needs {', '.join(missing)}")
    settings = {**os.environ, "OMP_NUM_THREADS": "1", "RAY_USAGE_STATS_ENABLED": "0"}
    run = [python, "-W", "ignore", "-c", code]
    result = subprocess.run(run, env=settings, cwd=tmp_path, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
