"""The suites that come with the package are lived as they were frozen, and the board says what is found. Compiled."""

import re
from pathlib import Path

import pytest

from metarl_envs import suites
from metarl_envs.suites.rows import FamilyRow

pytestmark = pytest.mark.slow

PAGE = Path(__file__).parents[1] / "docs" / "board.md"


@pytest.mark.parametrize("name", suites.names())
def test_what_is_lived_is_what_was_frozen(name):
    """But for boxes of other sizes than most have, which would be compiled for this alone."""
    for row in suites.load(name).rows:
        if isinstance(row, FamilyRow) or (row.where == "InventionBox" and row.variant.p.agents == 4):
            row.check()


def test_what_boxes_are_scored_by_is_what_was_frozen():
    row = suites.load("quick").row("company")
    now = row.measured()
    assert (now.zero, now.one) == pytest.approx((row.zero, row.one))


@pytest.mark.parametrize("cell", [("thompson", "ten-pulls"), ("lin_ucb", "linear-bandit")])
def test_the_board_says_what_is_found(cell):
    agent, name = cell
    core = suites.load("core-1")
    found = suites.Suite(core.name, core.about, core.seeds, (core.row(name),)).run(agent)
    text = found.score(agent, name).with_half_width(digits=2).replace("±0.", "±.")
    heads, rows = None, {}
    for line in PAGE.read_text().splitlines():
        cells = [one.strip() for one in line.strip("|").split("|")]
        if name in cells:
            heads = cells
        elif heads and re.match(r"^\| [a-z]", line):
            rows.setdefault(cells[0], dict(zip(heads, cells, strict=False)))
        elif not line.startswith("|"):
            heads = None
    assert rows[agent][name] == text
