"""Claims: what is claimed, replicated, cited and retracted, what that pays, and that seats are alike."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from metarl_envs.boxes.scenarios.box import Box
from metarl_envs.boxes.scenarios.sealed import SealedBox
from metarl_envs.boxes.view.numbers import numbers_of, view_length
from metarl_envs.boxes.world.claims import CLAIMS, RETENTIONS
from metarl_envs.boxes.world.core import ILLUSORY, REAL
from metarl_envs.boxes.world.notes import MADE, WHEN
from metarl_envs.boxes.world.tree import NOTHING
from tests.test_boxes_core import Boxes

pytestmark = pytest.mark.plain
#: Four bases; experiments tell the truth, and nobody forgets or dies soon; all pages are open.
SMALL = {"agents": 3, "board": 3, "page": 3, "levels": 3, "width": 2, "bases": 4, "recipes": 1, "dead_ends": 0.0}
CALM = {**SMALL, "day": 0, "lifespan": 60, "illusions": 0.0, "corruption": 0.0, "free_reading": True, "horizon": 400}


def box(**params):
    return Boxes(SealedBox, **{**CALM, **params})


def make(world, agent, item=4):
    """Let an agent make an item of the first level; the others wait. What all were paid in the last step."""
    a, b = world.recipe(item)
    act(world, {agent: a})
    return act(world, {agent: b})


def act(world, actions):
    """One step: what some agents do, by number; the others wait. What all were paid."""
    return world.do(*[actions.get(i, world.verbs.wait) for i in range(world.p.agents)])


def put(world, agent, item, as_what=REAL):
    world.state["held"][0, agent, item] = as_what


def entry(world, k):
    """What stands at place k: the entry, and what is attached to it."""
    state = world.state
    attached = (state[name][0, k].item() for name in ("claimed", "author", "confirmed", "refuted", "cited"))
    return state["board"][0, k].tolist(), tuple(attached)


# ------------------------------------------------------------------------------------------------- what can be done
def test_a_claim_is_the_last_experiment_with_a_name():
    world = box()
    make(world, 1)
    act(world, {1: world.verbs.claim + 2})
    assert entry(world, 2) == ([*world.recipe(4), 4, 2], (1, 1, 0, 0, 0))
    assert (world.state["board"][0, :2, WHEN] == -1).all()


def test_only_what_seemed_to_work_can_be_claimed():
    world = box()
    wrong = next(
        pair for pair in itertools.combinations(range(4), 2) if set(pair) not in [set(world.recipe(i)) for i in (4, 5)]
    )
    for item in wrong:
        act(world, {0: item})
    assert world.mask(0)[world.verbs.claim] == 0
    act(world, {0: world.verbs.claim})
    assert world.state["illegal"][0, 0] == 1
    assert world.state["claimed"].sum() == 0
    act(world, {0: world.verbs.post})  # that it makes nothing can be posted
    assert entry(world, 0) == ([*wrong, NOTHING, 3], (0, NOTHING, 0, 0, 0))


def test_replications_are_experiments_whose_outcome_is_attached():
    world = box()
    make(world, 0)
    act(world, {0: world.verbs.claim})
    a, b = world.recipe(4)
    act(world, {1: a, 2: b})  # either of the two
    paid = act(world, {1: world.verbs.replicate, 2: world.verbs.replicate})
    assert paid == [0.0, 1.0, 1.0]  # they truly made it
    assert entry(world, 0)[1] == (1, 0, 2, 0, 0)
    assert world.state["held"][0, :, 4].tolist() == [REAL, REAL, REAL]
    assert world.state["tried"][0, 1:].tolist() == [[a, b], [b, a]]
    assert world.state["hand"][0].tolist() == [NOTHING] * 3
    world.state["board"][0, 0, MADE] = 5  # something false
    act(world, {0: a, 1: a})
    act(world, {0: world.verbs.replicate, 1: world.verbs.replicate})
    assert entry(world, 0)[1] == (1, 0, 2, 2, 0)


def test_a_replication_completes_the_pair_in_the_hand():
    world = box()
    make(world, 0)
    act(world, {0: world.verbs.claim})
    a, b = world.recipe(4)
    assert world.mask(1)[world.verbs.replicate] == 0
    act(world, {1: a, 2: next(item for item in range(4) if item not in (a, b))})
    assert [int(world.mask(i)[world.verbs.replicate]) for i in range(3)] == [0, 1, 0]
    world.state["board"][0, 0, 1] = 6  # which agent 1 lacks
    act(world, {})
    assert world.mask(1)[world.verbs.replicate] == 0
    put(world, 1, 6)
    act(world, {})
    assert world.mask(1)[world.verbs.replicate] == 1


def test_others_cite_a_claim_once_and_its_author_alone_retracts_it():
    world = box()
    make(world, 0)
    act(world, {0: world.verbs.claim + 1})
    verbs = world.verbs
    assert [[int(world.mask(i)[verb + 1]) for verb in (verbs.cite, verbs.retract)] for i in range(3)] == [
        [0, 1],
        [1, 0],
        [1, 0],
    ]
    act(world, {1: verbs.cite + 1, 0: verbs.cite + 1})
    assert entry(world, 1)[1] == (1, 0, 0, 0, 1)
    assert world.state["illegal"][0].tolist() == [1, 0, 0]
    assert world.mask(1)[verbs.cite + 1] == 0
    act(world, {2: verbs.cite + 1, 0: verbs.retract + 1})  # both count
    assert entry(world, 1) == ([NOTHING, NOTHING, NOTHING, -1], (0, NOTHING, 0, 0, 0))
    assert world.state["withdrawn"][0].tolist() == [0, 1, 0]
    act(world, {0: verbs.claim + 1})
    assert world.state["withdrawn"][0].tolist() == [0, 0, 0]
    assert world.mask(1)[verbs.cite + 1] == 1  # another claim


def test_of_two_who_claim_at_one_place_the_lot_decides_and_a_post_gives_way():
    worlds, first = Boxes(SealedBox, count=4, **{**CALM, "selection": "seems_right", "horizon": 4000, "lifespan": 4000}), []
    claim, post = worlds.verbs.claim, worlds.verbs.post
    for _ in range(40):
        worlds.state["tried"][:], worlds.state["seemed"][:], worlds.state["credited"][:] = [0, 1], [4, 5, 4], 0
        worlds.worlds.advance(np.tile([post, claim, claim], (4, 1)), worlds.out)
        author, paid = np.array(worlds.state["author"][:, 0]), np.array(worlds.state["reward"])
        assert (worlds.state["board"][:, 0, MADE] == np.array([4, 5, 4])[author]).all()
        assert (paid == (np.arange(3) == author[:, None])).all()  # who loses claims nothing
        first.append(author == 1)
    assert abs(np.mean(first) - 0.5) < 4 * (0.25 / 160) ** 0.5


def test_a_claim_that_is_written_over_by_a_post_is_gone_with_all_that_is_attached():
    world = box(selection="approval")
    make(world, 0)
    act(world, {0: world.verbs.claim})
    act(world, {1: world.verbs.cite})
    make(world, 1)
    paid = act(world, {1: world.verbs.post, 2: world.verbs.cite})
    assert paid == [0.0, 0.0, 0.0]  # what is gone cannot be cited
    assert entry(world, 0) == ([*world.recipe(4), 4, 6], (0, NOTHING, 0, 0, 0))
    assert world.mask(2)[world.verbs.cite] == 0


# ------------------------------------------------------------------------------------------------- what it pays
@pytest.mark.parametrize(
    ("selection", "making", "claiming", "cited"),
    [("consequentialist", 1, 0, 0), ("seems_right", 0, 1, 0), ("approval", 0, 0, 0.5), ("mix", 0.75, 0, 0.125)],
)
def test_what_pays_is_the_selection(selection, making, claiming, cited):
    world = box(selection=selection, mix=0.25)
    assert make(world, 0) == [making, 0, 0]
    assert act(world, {0: world.verbs.claim}) == [claiming, 0, 0]
    assert act(world, {0: world.verbs.claim + 1}) == [0, 0, 0]  # once a thing
    assert act(world, {1: world.verbs.cite}) == [cited, 0, 0]
    assert act(world, {1: world.verbs.cite + 1, 2: world.verbs.cite}) == [2 * cited, 0, 0]
    assert world.out.rewards[0] == 2 * cited


def test_what_only_seems_to_work_is_held_as_an_illusion_and_pays_only_where_seeming_pays():
    for selection, paid in (("consequentialist", 0), ("seems_right", 1)):
        world = box(selection=selection, illusions=1.0)
        pair = next(
            pair for pair in itertools.combinations(range(4), 2) if set(pair) not in [set(world.recipe(i)) for i in (4, 5)]
        )
        for item in pair:
            assert act(world, {0: item}) == [0, 0, 0]
        made = int(world.state["seemed"][0, 0])
        assert world.state["held"][0, 0, made] == ILLUSORY
        assert act(world, {0: world.verbs.claim}) == [paid, 0, 0]
        assert entry(world, 0)[0][:3] == [*pair, made]
        assert paid == 0 or act(world, {0: world.verbs.claim + 1}) == [0, 0, 0]


def test_after_a_dawn_a_claim_pays_again_and_claims_can_be_cited_again():
    world = box(selection="seems_right", day=5)
    make(world, 0)
    assert act(world, {0: world.verbs.claim}) == [1, 0, 0]
    act(world, {1: world.verbs.cite})
    act(world, {})  # dawn
    assert world.mask(0)[world.verbs.retract] == 1  # its name stands there
    assert world.mask(1)[world.verbs.cite] == 1
    make(world, 0)
    assert act(world, {0: world.verbs.claim}) == [1, 0, 0]


@pytest.mark.parametrize("last", ["cite", "replicate", "retract", "look"])
def test_what_is_done_to_claims_in_the_last_step_of_a_day_is_forgotten_in_the_morning(last):
    """All pages are closed then; when they are opened again, what is written is all that differs."""
    mornings = []
    for deed in ("wait", last):
        world = box(day=7, free_reading=False)
        make(world, 0)
        act(world, {0: world.verbs.claim + 1})
        act(world, {0: world.verbs.look})
        mine = 1 if last != "retract" else 0  # only its author can retract it
        act(world, {1: world.verbs.look})
        act(world, {mine: world.recipe(4)[0]})
        act(world, {mine: world.verbs.first[deed] + (0 if deed in ("wait", "look") else 1)})
        assert world.state["t"][0] == 7
        assert world.state["illegal"].sum() == (deed == "look")
        closed = np.array(world.rows[0, mine])
        act(world, {mine: world.verbs.look})
        mornings.append((closed, world.mask(mine)[world.verbs.cite + 1], told(world, mine)[1]))
    (closed, can, record), (closed_after, can_after, record_after) = mornings
    if last == "retract":  # the place is empty, which is written
        assert not record_after.any()
    else:
        np.testing.assert_array_equal(closed, closed_after)
        assert can == can_after == 1
        assert (record != record_after).sum() == (last != "look")


def test_claims_of_the_dead_are_nobodys():
    world = box(selection="approval", lifespan=6, staggered=False)
    make(world, 0)
    act(world, {0: world.verbs.claim})
    for _ in range(3):
        act(world, {})
    assert world.state["life"][0].tolist() == [1, 1, 1]
    assert entry(world, 0)[1] == (1, NOTHING, 0, 0, 0)
    assert world.mask(0)[world.verbs.retract] == 0
    assert world.mask(0)[world.verbs.cite] == 1  # by a newborn in its slot, too
    assert act(world, {0: world.verbs.cite, 1: world.verbs.cite}) == [0, 0, 0]
    assert entry(world, 0)[1] == (1, NOTHING, 0, 0, 2)


# ------------------------------------------------------------------------------------------------- corruption
def test_an_entry_that_has_stood_for_a_generation_names_something_wrong_by_chance():
    worlds = Boxes(SealedBox, count=40, **{**CALM, "corruption": 0.3, "lifespan": 10, "horizon": 60, "board": 16})
    state, waiting = worlds.state, np.full((40, 3), worlds.verbs.wait)
    state["board"][:], state["claimed"][:, :8], state["confirmed"][:, :8] = [0, 1, 4, 3], 1, 2
    changed = []
    for t in (11, 12, 22):  # 8, 9 and 19 steps after the entries were written
        state["t"] = t
        before = np.array(state["board"])
        worlds.worlds.advance(waiting, worlds.out)
        after = np.array(state["board"])
        wrong = (after != before).any(axis=2)
        changed.append(wrong.mean())
        assert ((after != before)[wrong].sum(axis=1) == 1).all()  # one place of the three
        assert ((after[..., :3] >= 4) == [False, False, True]).all()  # of the same level
        assert (after[..., 0] != after[..., 1]).all()
    assert changed[0] == 0
    assert abs(np.mean(changed[1:]) - 0.3) < 4 * (0.21 / 1280) ** 0.5
    assert (state["claimed"] == ([1] * 8 + [0] * 8)).all()
    assert (state["confirmed"][:, :8] == 2).all()  # what was attached stays


# ------------------------------------------------------------------------------------------------- what a full board keeps
def writable(world):
    """The places that agent 1 may post at; where it may claim is the same, if it has made something."""
    mask, verbs = world.mask(1), world.verbs
    claims, posts = (mask[first : first + world.p.board].tolist() for first in (verbs.claim, verbs.post))
    assert claims == (posts if world.state["seemed"][0, 1] != NOTHING else [0] * world.p.board)
    return [k for k, may in enumerate(posts) if may]


def given_up(world, retention):
    """What may be written over, told anew by the definition: what is empty; where nothing is, what has the least merit."""
    state = world.state
    when = state["board"][0, :, WHEN].tolist()
    merits = {
        "oldest_out": [0] * len(when),
        "least_cited_out": state["cited"][0].tolist(),
        "least_confirmed_out": (state["confirmed"][0] - state["refuted"][0]).tolist(),
    }
    if retention == "free":
        return list(range(len(when)))
    return [k for k in range(len(when)) if when[k] < 0] or [
        min(range(len(when)), key=lambda k: (merits[retention][k], when[k]))
    ]


@pytest.mark.parametrize("retention", RETENTIONS)
def test_what_a_full_board_gives_up_is_the_retention(retention):
    world, rng = box(retention=retention, selection="approval", lifespan=400), np.random.default_rng(3)
    for agent, item in ((0, 4), (1, 5), (2, 4)):
        make(world, agent, item)
    seen = set()
    for _ in range(80):
        may = writable(world)
        assert may == given_up(world, retention)
        seen.add((tuple(may), (world.state["board"][0, :, WHEN] >= 0).all().item()))
        legal = [np.flatnonzero(world.mask(agent)) for agent in range(3)]
        before, illegal = world.state["board"][0].copy(), world.state["illegal"][0].sum()
        actions = [rng.choice(each) for each in legal]
        for agent in (0, 2):  # to write where one may not does nothing, and is counted
            actions[agent] = world.verbs.first[rng.choice(["claim", "post"])] + rng.integers(3)
        act(world, dict(enumerate(actions)))
        kept = [k for k in range(3) if k not in may and world.verbs.retract + k not in actions]
        assert (world.state["board"][0, kept] == before[kept]).all()
        forbidden = sum(action not in each for action, each in zip(actions, legal, strict=True))
        assert world.state["illegal"][0].sum() == illegal + forbidden
    full = {may for may, is_full in seen if is_full}
    assert full == {(0, 1, 2)} if retention == "free" else len(full) > 1 and max(map(len, full)) == 1


def test_retention_goes_by_what_is_attached():
    """Entry 0 is the oldest, 1 the least confirmed, and 2 the only one that is not cited."""
    for retention, gone in (("oldest_out", 0), ("least_confirmed_out", 1), ("least_cited_out", 2)):
        world = box(retention=retention, agents=4)
        for k, item in enumerate((4, 5, 4)):
            make(world, k, item)
            act(world, {k: world.verbs.claim + k})
        act(world, {3: world.verbs.cite})
        act(world, {3: world.verbs.cite + 1})
        make(world, 3, 5)
        act(world, {3: world.recipe(4)[0]})
        world.state["board"][0, 1, :MADE] = world.recipe(4)  # it claims now that this makes item 5
        act(world, {3: world.verbs.replicate + 1})
        assert entry(world, 1)[1] == (1, 1, 0, 1, 1)
        assert writable(world) == [gone]
        act(world, {3: world.verbs.claim + 2, 0: world.verbs.claim + gone})
        assert entry(world, gone)[1] == (1, 0, 0, 0, 0)


# ------------------------------------------------------------------------------------------------- what is told
def told(world, agent):
    """What an agent is told of claims, five numbers a place."""
    numbers = world.rows[0, agent, : view_length(world.p)][numbers_of(world.p, CLAIMS)]
    return numbers.reshape(-1, 5)


def test_what_is_attached_is_seen_where_the_page_is_open_and_so_is_what_can_be_done():
    world = box(free_reading=False, page=2)
    make(world, 1)
    act(world, {1: world.verbs.claim + 2})
    act(world, {1: world.verbs.look + 1, 2: world.verbs.look})
    act(world, {1: world.recipe(4)[0]})
    act(world, {1: world.verbs.replicate + 2})
    np.testing.assert_allclose(told(world, 1)[2], [1, 2 / 3, 1 / 2, 0, 0], rtol=1e-6)
    assert world.mask(1)[world.verbs.retract + 2] == 1
    verbs = world.verbs
    act(world, {0: world.recipe(4)[0]})
    for agent in (0, 2):
        assert not told(world, agent).any()
        assert not any(world.mask(agent)[verb + 2] for verb in (verbs.cite, verbs.replicate, verbs.retract))
    act(world, {2: verbs.look + 1})
    act(world, {2: verbs.cite + 2})
    np.testing.assert_allclose(told(world, 2), [[0] * 5, [0] * 5, [1, 2 / 3, 1 / 2, 0, 1 / 2]], rtol=1e-6)
    assert not told(world, 2)[:2].any()


def test_masks_follow_the_table():
    counts = box().verbs.counts
    assert [counts[name] for name in ("claim", "replicate", "retract", "cite")] == [3, 3, 3, 3]
    alone = box(agents=1).verbs
    assert [alone.counts[name] for name in ("claim", "replicate", "retract", "cite")] == [3, 3, 3, 0]


# ------------------------------------------------------------------------------------------------- seats are alike
VERBS = ("claim", "replicate", "retract", "cite", "post")


@settings(max_examples=15, deadline=None)
@given(
    st.sampled_from(RETENTIONS),
    st.lists(st.tuples(*[st.tuples(st.sampled_from(VERBS), st.integers(0, 2))] * 3), min_size=1, max_size=6),
    st.permutations(range(3)),
)
def test_it_does_not_matter_who_sits_where(retention, script, order):
    """What seats do, permuted, comes to the same, permuted; the lot prefers whoever comes first in the unpermuted order."""
    results = []
    for seats in (list(range(3)), order):
        with pytest.MonkeyPatch.context() as patch:
            rank = {seat: place for place, seat in enumerate(seats)}  # who sits where
            for module in ("claims", "notes", "core"):
                patch.setattr(
                    f"metarl_envs.boxes.world.{module}.is_drawn_before", lambda state, i, j, rank=rank: rank[i] < rank[j]
                )
            world = box(selection="approval", retention=retention)
            for who, item in zip(seats, (4, 5, 4), strict=True):
                make(world, who, item)
            paid = []
            for row in script:
                actions = {seats[n]: world.verbs.first[verb] + k for n, (verb, k) in enumerate(row)}
                paid.append(np.array(act(world, actions))[seats].tolist())
            authors = [rank[a] if a >= 0 else -1 for a in world.state["author"][0].tolist()]
            attached = [
                world.state[name][0].tolist() for name in ("board", "claimed", "confirmed", "refuted", "cited", "withdrawn")
            ]
            results.append((paid, authors, attached, world.state["held"][0, seats].tolist()))
    assert results[0] == results[1]


# ------------------------------------------------------------------------------------------------- what goes together
@pytest.mark.parametrize(
    ("params", "problem"),
    [
        ({"selection": "none"}, "corruption=0.1 is of boxes with claims"),
        ({"selection": "none", "corruption": 0.0, "retention": "oldest_out"}, "retention='oldest_out' is of boxes with claims"),
        ({"board": 0, "channel": "none"}, "selection='consequentialist' needs a noticeboard"),
        ({"agents": 1, "selection": "mix"}, "selection='mix' needs somebody who cites: give agents=2"),
        ({"pays": "first", "selection": "approval"}, "selection='approval' and pays='first' contradict"),
        ({"lifespan": 0}, "corruption=0.1 is by generations, and nobody dies"),
    ],
)
def test_what_does_not_go_together_is_refused_with_the_reason(params, problem):
    with pytest.raises(ValueError, match=problem):
        SealedBox.with_params(**params)


def test_claims_go_together_with_hazards_and_do_without_days_and_lives():
    world = Boxes(Box, **{**SMALL, "selection": "mix", "health": 5.0, "p_clean": 0.0, "free_reading": True, "lineages": 1})
    make(world, 0)
    world.state["tried"][0, 0], world.state["seemed"][0, 0] = world.recipe(4), 4
    act(world, {0: world.verbs.claim})
    for _ in range(5):
        act(world, {1: world.recipe(4)[0]})
        act(world, {1: world.verbs.replicate})
    assert entry(world, 0)[1][2:4] == (0, 5)  # without luck a right pair makes nothing
    act(world, {2: world.verbs.sabotage})
    assert world.mask(1)[world.verbs.cite] == 0
    assert not told(world, 1).any()
    assert act(world, {0: world.verbs.claim}) == [0, 0, 0]
    assert act(world, {1: world.verbs.cite}) == [0.25, 0, 0]


def test_the_rules_say_what_pays():
    def rules(**params):
        return SealedBox.instructions(SealedBox.with_params(**params).p)

    assert "which pays its level." in rules()
    assert "fails seems to work with chance 0.1" in rules()
    assert "over" not in rules()
    assert "only be written over once it is full, the least cited entry first" in rules(retention="least_cited_out")
    assert "stood on the board for 120 steps is corrupted with chance 0.1" in rules()
    assert "which pays nothing by itself" in rules(selection="seems_right")
    assert "To claim that you made a thing pays its level, true or not" in rules(selection="seems_right")
    assert "cites your claim of a thing brings you 0.25 times 1/5 of its level." in rules(selection="mix", mix=0.25)
    assert "which pays 0.75 times its level" in rules(selection="mix", mix=0.25)
    alike = rules(selection="approval", agents=2, pays="mean", value_bias=1.5)
    assert "The other who cites your claim of a thing brings its level (of the first colour 1.5 times that), shared" in alike
    assert "claim" not in Box.instructions(Box.with_params(board=2).p)
