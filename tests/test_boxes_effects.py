"""The effects that boxes must show: what counts as holding, and that the page says what is found."""

import re
from pathlib import Path

import numpy as np
import pytest

from metarl_envs import boxes
from metarl_envs.boxes.study.effects import EFFECTS, Condition, Effect, Finding, findings, report
from metarl_envs.evaluation.statistics import Interval
from metarl_envs.ids import BOXES

VERDICTS = {"holds", "no difference found", "does not hold"}
PAGE = Path(__file__).parents[1] / "docs" / "boxes.md"
SOME = Interval(1.0, 0.5, 1.5)


def finding(low, high, claimed=True):
    return Finding(
        EFFECTS[0], "crossover", "dynamic", "full", (SOME, SOME), Interval((low + high) / 2, low, high), claimed, (8, 8)
    )


@pytest.mark.parametrize(
    ("low", "high", "claimed", "verdict"),
    [
        (0.1, 0.2, True, "holds"),
        (-0.1, 0.2, True, "does not hold: undecided"),
        (-0.2, -0.1, True, "does not hold: reversed"),
        (-0.1, 0.2, False, "no difference found"),
        (0.1, 0.2, False, "does not hold: they differ"),
        (-0.2, -0.1, False, "does not hold: they differ"),
    ],
)
def test_a_claim_holds_by_its_interval(low, high, claimed, verdict):
    found = finding(low, high, claimed)
    assert found.verdict == verdict
    assert found.holds == (verdict in ("holds", "no difference found"))
    assert f"| {low:+.2f}".replace("| ", "[") in report([found])
    assert "| crossover |" in report([found])


def test_means_and_difference_rest_on_the_same_boxes(monkeypatch):
    """A precision has no meaning in a box without notes: that box is in neither mean."""
    tables = {"one": [1.0, np.nan, 4.0, 2.0], "other": [0.0, 9.0, np.nan, 1.0]}
    monkeypatch.setattr(Effect, "tables", lambda self, boxes, seed: {k: [{"p": v} for v in vs] for k, vs in tables.items()})
    effect = Effect("e", "", "AmnesiaBox", {}, {}, (("p", "one", "other"),), ())
    (found,) = findings(4, 0, (effect,))
    assert [mean.mean for mean in found.means] == [1.5, 0.5]
    assert found.difference == (1.0, 1.0, 1.0)
    assert "| e | p (2 of 4 boxes) | one > other |" in report([found])
    tables["one"][0] = tables["other"][3] = np.nan
    with pytest.raises(ValueError, match="0 of 4 boxes have the measure under both conditions"):
        list(findings(4, 0, (effect,)))


@pytest.mark.slow
def test_conditions_are_compared_box_by_box():
    small = {"agents": 3, "notes": 3, "lineages": 2, "levels": 4, "width": 2, "bases": 4, "recipes": 2, "crossover": 2}
    small |= {"horizon": 40, "day": 0}  # above: the layout of rows of `test_boxes_measure`
    conditions = {name: Condition(name, {}) for name in ("random", "oracle")}
    effect = Effect(
        "knowing", "", "AmnesiaBox", small, conditions, (("return", "oracle", "random"),), (("box", "oracle", "random"),)
    )
    tables = effect.tables(boxes=6, seed=11)
    assert [row["seed"] for row in tables["random"]] == [row["seed"] for row in tables["oracle"]] == list(range(11, 17))
    more, same = findings(6, 11, (effect,))
    paired = [a["return"] - b["return"] for a, b in zip(tables["oracle"], tables["random"], strict=True)]
    assert more.difference.mean == pytest.approx(np.mean(paired))
    assert more.holds
    assert same.difference.mean == 0


def test_the_effects_are_those_of_the_scenarios():
    assert {effect.box for effect in EFFECTS} == set(BOXES)
    for effect in EFFECTS:
        assert effect.claims or effect.no_difference
        for _, more, less in effect.claims + effect.no_difference:
            assert {more, less} <= set(effect.conditions)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("preset", "least"), [pytest.param("full", 300, marks=pytest.mark.nightly), ("short", 20), ("small", 30)]
)
def test_notes_pay_for_amnesics(preset, least):
    """By so much more than `never_repeat` earns, which remembers what it tried on a day."""
    written, tried = (
        boxes.column(boxes.measure(boxes.run("AmnesiaBox", {0: agent}, boxes=100, preset=preset)), "return")
        for agent in ("notes_best_path", "never_repeat")
    )
    gain = written - tried
    assert gain.mean() - 2 * gain.std(ddof=1) / np.sqrt(len(gain)) > least


@pytest.mark.nightly
def test_the_page_says_what_is_found():
    """200 boxes a condition: what is claimed holds, but for eight effects of which the page says that they do not."""
    found = list(findings())
    assert [f.effect.name for f in found if not f.holds] == [
        "deceptive merge",
        "note strategy, narrow tree (W=2)",
        "long notes, few posts",
        "whom newborns learn from",
        "harm and invention",
        "the board is true where only what works pays",
        "what a full board keeps",
        "true where only what works pays, whatever the board keeps",
    ]
    written = re.search(r"^\| effect \|.*?(?=\n\n)", PAGE.read_text(), flags=re.MULTILINE | re.DOTALL)
    assert written
    assert written.group() == report(found)


def test_the_page_has_a_row_for_each_claim():
    """In the order of the table, with the names that the command prints."""
    rows = [row.split(" | ") for row in PAGE.read_text().splitlines() if row.count(" | ") == 5 and row.startswith("| ")]
    told = [(row[0][2:], row[1].partition(" (")[0], row[2]) for row in rows if row[5].partition(":")[0].strip(" |") in VERDICTS]
    claims = [
        (effect.name, claim[0], f"{claim[1]} {'>' if claim in effect.claims else '='} {claim[2]}")
        for effect in EFFECTS
        for claim in effect.claims + effect.no_difference
    ]
    assert told == claims
