"""The README says what is true: its table is computed, its code runs, its pictures and links are there."""

import re
from pathlib import Path

import pytest

from metarl_envs.catalogue import readme_table

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"
if not README.exists():  # tests of an installed wheel, run from elsewhere
    pytest.skip("no README here", allow_module_level=True)
TEXT = README.read_text()


#: The layout of rows of `test_boxes_api`, and that of `test_boxes_run`: boxes of other sizes are compiled for seconds.
SMALL = {"agents": 3, "notes": 2, "board": 1, "page": 1, "lineages": 1, "levels": 3, "width": 2, "bases": 4, "recipes": 1}
SMALL |= {"dead_ends": 0.0, "crossover": 0}
TWO_LINEAGES = {"agents": 3, "notes": 3, "lineages": 2, "levels": 4, "width": 2, "bases": 4, "recipes": 2, "crossover": 2}


BLOCKS = re.findall(r"```python\n(.*?)```", TEXT, flags=re.DOTALL)
SHORTER = {
    "histories=2000, steps=10_000": "histories=20, steps=300",
    "tasks=100, seeds=5": "tasks=10, seeds=2",
    "agents=6, ": "**SMALL, ",
    "horizon=120": "horizon=120, **TWO_LINEAGES",
}


def shortened(code):
    """The code with fewer lives, and in smaller boxes."""
    for written, instead in SHORTER.items():
        code = code.replace(written, instead)
    return code


def test_the_table_of_environments_is_the_computed_one():
    assert readme_table() in TEXT, "python -m metarl_envs.catalogue prints the table"


def test_what_is_made_shorter_stands_there():
    assert len(BLOCKS) >= 6
    assert all(TEXT.count(written) == 1 for written in SHORTER)


@pytest.mark.parametrize("number", range(len(BLOCKS)))
def test_each_block_of_code_runs_by_itself(number, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    exec(compile(shortened(BLOCKS[number]), "README.md", "exec"), {"SMALL": SMALL, "TWO_LINEAGES": TWO_LINEAGES})
    assert (tmp_path / "test_goals.npy").exists() == ("test_goals" in BLOCKS[number])


def test_links_lead_somewhere():
    for link in re.findall(r"\]\(([^)#]+)\)", TEXT):
        assert link.startswith("http") or (ROOT / link).exists(), link


def test_every_run_that_is_compared_is_written_by_a_command_above():
    for page in ("README.md", "docs/players.md", "docs/boxes.md"):
        text = (ROOT / page).read_text()
        for compared in re.finditer(r"^ *metarl-envs boxes compare (.*)$", text, flags=re.MULTILINE):
            for folder in re.findall(r"\w+=(\S+)", compared[1].partition("--out")[0]):
                assert f"--out {folder}" in text[: compared.start()], f"no command of {page} writes {folder}"
