"""HazardBox from outside: pictures and replays. (What it has in common with other boxes is in `test_boxes_doors`.)"""

import numpy as np
import pytest

from metarl_envs import boxes
from metarl_envs.boxes.study.replay import lines
from metarl_envs.boxes.view.picture import draw_box
from metarl_envs.boxes.world.hazard import FORCED
from metarl_envs.engine import Picture, Row
from metarl_envs.engine.canvas import BAD
from tests.worlds import LIVELY_BOXES

LIVELY = LIVELY_BOXES["HazardBox"]


@pytest.mark.plain
def test_a_replay_tells_what_was_done_to_others():
    run = boxes.run("HazardBox", {0: "toxic", 1: "thief", 2: "prosocial"}, boxes=1, seed=3, **{**LIVELY, "harm": 0.1})
    told = "\n".join(lines(run, failures=True))
    for part in (
        "agent 0 uses force: makes nothing of",
        "agent 1 steals from agent",
        "agent 2 publishes what is in its hand",
        " gets ",
        " loses ",
    ):
        assert part in told


@pytest.mark.plain
def test_the_picture_shows_who_is_harmed():
    """Red is there where force was used, and only then."""
    run = boxes.run("HazardBox", {"all": "toxic"}, boxes=1, seed=3, **{**LIVELY, "harm": 0.5, "board": 0, "horizon": 12})
    for states in run.replay():
        picture = Picture()
        draw_box(picture, run.variant.p, Row(states[0].copy()), None)
        red = (picture.array() == np.array(BAD)).all(axis=2).sum()
        assert (red > 100) == bool((states[0]["deed"] == FORCED).any())
