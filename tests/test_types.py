"""Arguments that editors complete and type checkers check are those that there are."""

import inspect
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from metarl_envs import boxes, catalogue
from metarl_envs.boxes.envs import batch, parallel
from metarl_envs.boxes.parameters import BoxParameters

ROOT = Path(__file__).parents[1]


@pytest.mark.plain
def test_the_parameters_of_boxes_are_those_of_the_scenarios():
    written = Path(sys.modules[BoxParameters.__module__].__file__).read_text()
    assert written == catalogue.box_parameters(), "python -m metarl_envs.catalogue --boxes writes the file anew"


@pytest.mark.plain
@pytest.mark.parametrize(
    ("typed", "made", "beside"),
    [
        (parallel.ParallelArguments, parallel.ParallelBox, {"box"}),
        (batch.VectorArguments, batch.BoxVectorEnv, {"box", "num_boxes"}),
    ],
    ids=["parallel", "vector"],
)
def test_the_arguments_of_boxes_are_those_of_their_classes(typed, made, beside):
    own = typed.__annotations__.keys() - BoxParameters.__annotations__.keys()
    assert own == inspect.signature(made).parameters.keys() - {"params"} - beside


SNIPPET = """
from metarl_envs import boxes

boxes.run("InventionBox", {"all": "random"}, boxes=2, agents=3, topology="ring")
boxes.invention_v0.parallel_env(agents=3, render_mode="ansi").step({})
boxes.make_vec("AmnesiaBox", 4, day=20).num_boxes
boxes.make_vec("AmnesiaBox", 4, flat=True, day=20).num_envs
boxes.run("InventionBox", {"all": "random"}, boxs=2)
boxes.run("InventionBox", {"all": "random"}, agents="three")
boxes.run("InventionBox", {"all": "random"}, topology="rings")
boxes.invention_v0.parallel_env(agent=2)
boxes.amnesia_v0.env(max_cycle=2)
boxes.make_vec("AmnesiaBox", 4, num_thread=2)
"""


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("pyright") is None, reason="needs pyright")
def test_a_type_checker_finds_what_is_misspelt_and_nothing_else(tmp_path):
    (tmp_path / "snippet.py").write_text(SNIPPET)
    (tmp_path / "pyrightconfig.json").write_text(json.dumps({"extraPaths": [str(ROOT), str(ROOT / "wrappers")]}))
    told = subprocess.run(
        ["pyright", "--outputjson", "--pythonpath", sys.executable, "-p", str(tmp_path)], capture_output=True, text=True
    )
    found = json.loads(told.stdout)["generalDiagnostics"]
    lines = SNIPPET.splitlines()
    first_wrong = next(i for i, line in enumerate(lines) if "boxs" in line)
    assert sorted({one["range"]["start"]["line"] for one in found}) == list(range(first_wrong, len(lines)))
    assert boxes.run
