"""SealedBox from outside: pictures and replays. (What it has in common with other boxes is in `test_boxes_doors`.)"""

import numpy as np
import pytest

from metarl_envs import boxes
from metarl_envs.boxes.study.replay import lines
from metarl_envs.boxes.view.picture import claims_in_words, describe_box, draw_box, fate_of
from metarl_envs.boxes.view.words import text_for, words_in
from metarl_envs.engine import Picture, Row
from metarl_envs.engine.canvas import BAD, GOOD
from tests.worlds import LIVELY_BOXES

LIVELY = LIVELY_BOXES["SealedBox"]


@pytest.mark.plain
def test_a_replay_tells_what_was_claimed_and_what_became_of_it():
    run = boxes.run("SealedBox", {0: "publisher", 1: "replicator", 2: "citer"}, boxes=1, seed=3, **{**LIVELY, "day": 0})
    told = "\n".join(lines(run, failures=True))
    for part in (
        "agent 0 claims on the noticeboard, place ",
        "agent 1 replicates what place 1 claims: makes ",
        "agent 2 cites the claim at place ",
        " of the noticeboard is corrupted: it says now that ",
    ):
        assert part in told


@pytest.mark.plain
def test_who_watches_sees_which_claims_are_true_and_who_plays_does_not():
    run = boxes.run("SealedBox", {"all": "publisher"}, boxes=1, seed=3, **{**LIVELY, "corruption": 0.0})
    *_, states = run.replay()
    p, state, task = run.variant.p, Row(states[0].copy()), Row(run.tasks[0])
    for k, (made, claimed) in enumerate([(4, 1), (5, 1), (4, 0), (-1, 0)]):
        state.board[k] = [*np.sort(task.recipe[4, 0]), made, 7 if made >= 0 else -1]
        state.claimed[k], state.confirmed[k], state.refuted[k], state.withdrawn[k] = claimed, 2 * claimed, 0, made < 0
    fates = [fate_of(p, state, task, k) for k in range(4)]
    assert fates == ["true", "false", "", "retracted"]
    assert claims_in_words(p, state, task) == "2 claims, 1 true"
    words = describe_box(p, state, task)
    assert "cited 0; true)" in words
    assert "cited 0; false)" in words
    assert "board 4: retracted" in words
    assert ("true" in describe_box(p, state, None)) is False
    colors = {}
    for shown in (task, None):
        picture = Picture()
        draw_box(picture, p, state, shown)
        colors[shown is task] = {name: (picture.array() == np.array(color)).all(axis=2).sum() for name, color in BARS.items()}
    assert colors[True]["true"] > 40 < colors[True]["false"]
    assert colors[False]["false"] == 0
    assert colors[True]["true"] > colors[False]["true"]  # lives are green too
    told = text_for(p, states[0], 0, np.zeros(3, bool), words_in(p, states[0]))
    assert "true" not in told
    assert "false" not in told


BARS = {"true": GOOD, "false": BAD}
