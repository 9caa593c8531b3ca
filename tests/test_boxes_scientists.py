"""Scientists: what they claim, test, cite and retract; and what becomes of claims, as it is measured."""

from types import SimpleNamespace

import numpy as np
import pytest

from metarl_envs import boxes
from metarl_envs.boxes.players.keepers import FOLLOW
from metarl_envs.boxes.players.scientists import SCIENTISTS, note_failure
from metarl_envs.boxes.players.simulate import CompiledSeats
from metarl_envs.boxes.scenarios.box import Box
from metarl_envs.boxes.scenarios.sealed import SealedBox
from metarl_envs.boxes.study.claims import ClaimRecord, Claims, by_generation, columns, half_life
from metarl_envs.boxes.study.measures import column, measure
from metarl_envs.boxes.world.claims import CITED, CLAIMED, REPLICATED, RETENTIONS, RETRACTED
from metarl_envs.boxes.world.notes import WHEN
from metarl_envs.engine.compiling.kernels import plain
from tests.test_boxes_core import Boxes

pytestmark = pytest.mark.plain
SMALL = {"agents": 3, "board": 4, "page": 2, "levels": 3, "width": 4, "bases": 8, "recipes": 2, "dead_ends": 0.0, "day": 30}


def live(names, steps=60, count=2, family=SealedBox, **params):
    """Scripted agents, one name a seat; yields the boxes after each step."""
    given = {**SMALL, "lifespan": 60, "illusions": 0.2, "corruption": 0.3, **params}
    worlds = Boxes(family, count=count, **given)
    actions = np.zeros((count, 3), np.int64)
    chosen = [
        CompiledSeats(SCIENTISTS[name], worlds.variant, np.tile(np.arange(3) == i, (count, 1))) for i, name in enumerate(names)
    ]
    for _ in range(steps):
        for seats in chosen:
            seats.act(worlds.worlds.task_rows, worlds.worlds.worlds, actions)
        worlds.worlds.advance(actions, worlds.out)
        yield worlds


#: What each does to claims among others, in lives as long as these (a replicator is no sceptic: it retracts nothing).
DEEDS = {
    "publisher": {CLAIMED},
    "replicator": {CLAIMED, REPLICATED},
    "citer": {CLAIMED, CITED},
    "sceptic": {CLAIMED, REPLICATED},
    "conformist": {CLAIMED, CITED},
}


@pytest.mark.parametrize("name", list(SCIENTISTS))
def test_scientists_do_what_is_allowed_and_act_in_their_manner(name):
    done = set()
    for worlds in live((name, "publisher", "replicator")):
        done |= set(worlds.state["claiming"][:, 0].tolist())
    assert not worlds.state["illegal"].any()
    assert done - {0, RETRACTED} == DEEDS[name]
    assert RETRACTED not in done or name == "sceptic"


@pytest.mark.parametrize("retention", RETENTIONS[1:])
def test_scientists_write_where_the_board_lets_them(retention):
    """Each would keep another entry of a full board than its rule does; none tries in vain."""
    written_over = 0
    for worlds in live(("sceptic", "conformist", "publisher"), count=1, board=2, retention=retention):
        full = (worlds.state["board"][0, :, WHEN] >= 0).all()
        written_over += bool(full and (worlds.state["board"][0, :, WHEN] == worlds.state["t"][0] - 1).any())
    assert written_over > 2
    assert not worlds.state["illegal"].any()


@pytest.mark.parametrize("reverse", [False, True])
def test_only_an_entry_that_was_tried_has_failed(reverse):
    """It set out to try entry 1, which says that 0 and 3 make 9; meanwhile that was written over."""
    memory = SimpleNamespace(purpose=FOLLOW, following=1, failed=np.zeros(2, np.int32))
    state = SimpleNamespace(
        board=np.array([[0, 3, 9, 5], [0, 3, 9, 7]]), tried=np.array([[3, 0] if reverse else [0, 3]]), seemed=np.array([-1])
    )
    plain(note_failure)(memory, state, 0)
    assert memory.failed.tolist() == [0, 8]
    state.board[1] = [2, 3, 9, 8]
    memory.failed[1] = 0
    plain(note_failure)(memory, state, 0)
    assert memory.failed.tolist() == [0, 0]


@pytest.mark.slow
def test_a_sceptic_claims_only_what_it_has_seen_twice_and_retracts_what_others_refute():
    """It may be deceived twice in the same way, which is rare."""
    claimed = {name: [] for name in ("sceptic", "publisher")}
    for name, true in claimed.items():
        for worlds in live((name,) * 3, corruption=0.0, illusions=0.3, steps=90, count=3):
            recipes = worlds.worlds.task_rows["recipe"]
            for b, i in zip(*np.nonzero(worlds.state["claiming"] == CLAIMED), strict=True):
                x, y, made, _ = worlds.state["board"][b, worlds.state["entry"][b, i]].tolist()
                true.append(sorted((x, y)) in [sorted(pair) for pair in recipes[b, made].tolist()])
    assert len(claimed["sceptic"]) >= 5
    assert np.mean(claimed["sceptic"]) > 0.8 > 0.6 > np.mean(claimed["publisher"])
    *_, worlds = live(("sceptic",) * 3, 2, count=1, illusions=0.0)
    state = worlds.state
    state["board"][0, 1], state["claimed"][0, 1], state["author"][0, 1], state["refuted"][0, 1] = [0, 1, 9, 0], 1, 0, 2
    actions = np.full((1, 3), worlds.verbs.wait)
    seats = CompiledSeats(SCIENTISTS["sceptic"], worlds.variant, np.array([[True, False, False]]))
    state["hand"][0], state["looking"][0] = -1, 1
    seats.act(worlds.worlds.task_rows, worlds.worlds.worlds, actions)
    assert actions[0, 0] == worlds.verbs.retract + 1


@pytest.mark.slow
def test_they_live_where_there_are_claims_whatever_else_there_is():
    with pytest.raises(ValueError, match="has no claims: give selection='consequentialist'"):
        boxes.run("InventionBox", {"all": SCIENTISTS["sceptic"]}, boxes=1, horizon=4)
    together = {"lineages": 1, "health": 5.0, "p_clean": 0.7, "selection": "mix", "channel": "board"}
    *_, worlds = live(("sceptic", "citer", "replicator"), 50, family=Box, count=2, **together)
    assert not worlds.state["illegal"].any()
    assert (worlds.state["cited"] + worlds.state["confirmed"]).any()


# ------------------------------------------------------------------------------------------------- what is measured
def told(*steps, board=2, lifespan=3):
    """What is kept of a box, told after each step what its board is, (made, when) a place or None, and what was done to places.

    What is posted is no claim: (made, when, "post").
    """
    recipes = np.full((1, 6, 1, 2), -1)
    recipes[0, 4, 0], recipes[0, 5, 0] = (0, 1), (2, 3)
    record = ClaimRecord(SimpleNamespace(board=board, lifespan=lifespan), recipes)
    layout = [("board", np.int16, (board, 4)), ("claimed", np.uint8, board), ("claiming", np.uint8, 2), ("entry", np.int16, 2)]
    for t, (entries, *deeds) in enumerate(steps, 1):
        states = np.zeros(1, layout)
        states["board"][..., 3], states["entry"] = -1, -1
        for k, entry in enumerate(entries):
            if entry:
                made, when, *post = entry
                states["board"][0, k], states["claimed"][0, k] = (1, 0, made, when), not post
        for agent, (deed, place) in enumerate(deeds):
            states["claiming"][0, agent], states["entry"][0, agent] = deed, place
        record.tell(t, states)
    return record.of(0)


def test_what_becomes_of_claims_is_told_step_by_step():
    """Of 1 and 0 comes 4, and not 5. Place 0 is true, corrupted, and written over; place 1 is false until it is retracted."""
    kept = told(
        ([(4, 0), None], (CLAIMED, 0)),
        ([(4, 0), (5, 1)], (REPLICATED, 0), (CLAIMED, 1)),
        ([(5, 0), (5, 1)], (REPLICATED, 0)),
        ([(5, 0), None], (RETRACTED, 1)),
        ([(4, 4), None], (CLAIMED, 0)),
        ([(4, 4), (5, 5)], (CLAIMED, 1)),
        ([(4, 4), (5, 5)], (REPLICATED, 0)),
    )
    assert kept[:3] == (4, 2, 1)
    assert kept.true.tolist() == [1, 1, 0, 0, 1, 1, 1]
    assert kept.standing.tolist() == [1, 2, 2, 1, 1, 2, 2]
    assert sorted(kept.false_spans) == [(1, False), (2, True), (2, True)]
    assert by_generation(kept).tolist() == [2 / 5, 2 / 4]
    row = columns(kept)
    assert (row["claims"], row["replication_share"], row["retraction_share"]) == (4, 0.5, 0.25)
    assert row["claim_precision"] == 5 / 11
    assert row["claim_precision_generation_2"] == 0.5


@pytest.mark.parametrize(("deed", "replicated", "retracted"), [(REPLICATED, 1, 0), (RETRACTED, 0, 1)])
def test_what_is_done_to_a_claim_counts_though_another_stands_there_after_the_same_step(deed, replicated, retracted):
    """That of agent 0 comes before that of agent 1 claims the place; a post comes before both, and leaves no claim there."""
    claimed_over = told(([(4, 0)], (CLAIMED, 0)), ([(5, 1)], (deed, 0), (CLAIMED, 0)), board=1)
    assert claimed_over[:3] == (2, replicated, retracted)
    assert told(([(4, 0)], (CLAIMED, 0)), ([(5, 1, "post")], (deed, 0)), board=1)[:3] == (1, 0, 0)


@pytest.mark.parametrize(
    ("spans", "time"),
    [
        ([(4, True), (6, True)], 4),
        ([(4, True), (5, False), (6, True)], 6),  # after 4: 2/3; after 6: 0
        ([(4, True), (9, False), (9, False)], np.nan),
        ([(2, False), (3, True), (8, True)], 3),
        ([], np.nan),
    ],
)
def test_the_half_life_counts_what_lasts_to_the_end_as_long_as_it_was_seen(spans, time):
    np.testing.assert_equal(half_life(spans), time)


def test_a_box_without_claims_or_generations_has_no_such_numbers():
    nothing = Claims(0, 0, 0, np.zeros(5, int), np.zeros(5, int), [], 0)
    row = columns(nothing)
    assert row.pop("claims") == 0
    assert all(np.isnan(value) for value in row.values())
    assert not any("generation" in name for name in row)


@pytest.mark.slow
def test_runs_are_measured():
    params = {**SMALL, "lifespan": 60, "horizon": 90, "illusions": 0.3}
    table = measure(boxes.run("SealedBox", {"all": "publisher"}, boxes=2, seed=1, **params))
    assert (column(table, "claims") > 3).all()
    assert ((column(table, "claim_precision") > 0) & (column(table, "claim_precision") < 1)).all()
    assert column(table, "replication_share").tolist() == [0, 0]
    assert "claim_precision_generation_1" in table[0]
    assert "claim_precision_generation_2" not in table[0]
    assert "claims" not in measure(boxes.run("InventionBox", {"all": "random"}, boxes=1, horizon=3, levels=1))[0]
