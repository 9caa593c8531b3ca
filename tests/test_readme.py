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


def test_the_table_of_environments_is_the_computed_one():
    assert readme_table() in TEXT, "python -m metarl_envs.catalogue prints the table"


def test_the_code_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"```python\n(.*?)```", TEXT, flags=re.DOTALL)
    assert len(blocks) >= 4
    code = "\n".join(blocks).replace("histories=2000, steps=10_000", "histories=20, steps=300")
    code = code.replace("return ...  # from", "return [0] * len(step.observation)  # from")
    exec(compile(code, "README.md", "exec"), {})
    assert (tmp_path / "test_goals.npy").exists()


def test_links_lead_somewhere():
    for link in re.findall(r"\]\(([^)#]+)\)", TEXT):
        assert link.startswith("http") or (ROOT / link).exists(), link
