"""The pages say what is true: their code runs, what it is said to print it prints, and every control is explained.

`mkdocs build --strict` checks their links.
"""

import contextlib
import importlib.util
import inspect
import io
import re
import subprocess
import sys
from pathlib import Path

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
        name for name in metarl_wrappers.__all__ if inspect.getdoc(getattr(metarl_wrappers, name)).startswith("Control:")
    }
    assert len(controls) >= 7
    assert controls == set(re.findall(r"^\| \[(\w+)\]\(wrappers/\1\.md\)", IS_IT_RL, flags=re.MULTILINE))


@pytest.mark.slow
def test_the_controls_give_what_the_page_says():
    (code,), (said,) = blocks(IS_IT_RL), blocks(IS_IT_RL, "text")
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(compile(code, "is-it-rl.md", "exec"), {"__name__": "page"})
    assert printed.getvalue() == said


@pytest.mark.slow
@pytest.mark.parametrize("code", list(sections_of("which-wrapper.md")))
def test_the_snippet_of_a_library_runs_where_there_is_the_library(code):
    for module in re.findall(r"^(?:from|import) (\w+)", code, flags=re.MULTILINE):
        if importlib.util.find_spec(module) is None:
            pytest.skip(f"needs {module}")
    result = subprocess.run([sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
