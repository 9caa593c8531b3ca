"""A seat among scientists: what it sees of claims, its companions, keys and clicks, and what its picture keeps to itself."""

import numpy as np
import pytest

from metarl_envs.boxes.envs.seat import action_mask, kept
from metarl_envs.boxes.envs.seats import SealedSeat, make_the_best_and_claim_it_from_seat
from metarl_envs.boxes.players.scientists import MANNERS
from metarl_envs.boxes.scenarios.sealed import SealedBox
from metarl_envs.boxes.view.numbers import numbers_of, view_length
from metarl_envs.boxes.view.seat_picture import SeatView, item_keys
from metarl_envs.boxes.world.claims import CITED, CLAIMED, CLAIMS
from metarl_envs.boxes.world.core import ILLUSORY, REAL
from metarl_envs.boxes.world.mechanisms import as_kernels_see, verbs_of
from metarl_envs.boxes.world.notes import WHEN
from metarl_envs.engine import Picture, Row
from metarl_envs.engine.compiling.kernels import plain
from tests.test_boxes_seat import Boxes
from tests.worlds import row_of, seat_in, smaller

pytestmark = pytest.mark.plain
ID = "MetaRL/SealedBox-v0"
SMALL = smaller(ID)
#: The first thing that is made of others.
FIRST = SMALL["bases"]


def seat(**params):
    return seat_in(ID, **{**SMALL, **params})


def changed(env, **fields):
    """The env with fields of its box set: by name the place and what stands there."""
    state = env.get_state()
    for name, (place, value) in fields.items():
        state["worlds"]["state"]["box"][name][(0, *np.atleast_1d(place))] = value
    env.set_state(state)
    return env


def picture_of(env):
    picture = Picture()
    SealedSeat.draw(picture, env.variant.p, row_of(env), None)
    return picture.array().copy()


def test_an_agent_sees_all_of_claims_and_leaves_out_waiting_alone():
    p = SealedSeat.with_params(**SMALL).p
    claims, seen = numbers_of(p, CLAIMS), kept(p)
    assert set(range(claims.start, claims.stop)) <= set(seen.tolist())
    assert claims.stop == view_length(p)
    assert claims.stop - claims.start == 5 * p.board
    actions = seen[seen >= view_length(p)] - view_length(p)
    assert set(range(verbs_of(p).end)) - set(actions.tolist()) == {verbs_of(p).wait}


def test_what_a_seat_leaves_out_never_changes():
    """And every action that it keeps of the mask is allowed now and then, and now and then not."""
    boxes = Boxes(SealedBox, count=2, **{**SMALL, "horizon": 160, "illusions": 0.3})
    low = high = boxes.rows[:, 0]
    for _ in boxes.live("random", 160):
        low, high = np.minimum(low, boxes.rows[:, 0]), np.maximum(high, boxes.rows[:, 0])
    varies = low.min(axis=0) < high.max(axis=0)
    seen = kept(boxes.p)
    assert not varies[np.setdiff1d(np.arange(len(varies)), seen)].any()
    assert varies[seen[seen >= view_length(boxes.p)]].all()


def test_companions_are_of_all_manners_drawn_in_each_episode():
    """What they do in each manner is compared with scientists in whole boxes in `test_boxes_seat`."""
    env, met, done = seat(episodes_per_trial=45), [], set()
    wait = verbs_of(env.variant.p).wait
    for _ in range(45):
        env.step(wait)
        met.append(int(row_of(env).style.manner))  # that of the last companion
        env.reset(options={"new_trial": False})
    assert set(met) == set(range(len(MANNERS)))
    env = seat(illusions=0.5, companions="citer")
    for _ in range(60):
        env.step(wait)
        done |= set(row_of(env).box.claiming[1:].tolist())
    assert done == {0, CLAIMED, CITED}
    assert not row_of(env).box.illegal.any()


def test_scientists_live_where_there_are_claims():
    without = {"selection": "none", "corruption": 0.0}
    with pytest.raises(ValueError, match="companions='mixed' live where there are claims: give selection='consequentialist'"):
        SealedSeat.with_params(**without)
    assert SealedSeat.with_params(**without, companions="greedy").p.selection == "none"
    assert SealedSeat.with_params(agents=1, companions="mixed").p.agents == 1  # there is nobody


@pytest.mark.parametrize(
    ("selection", "mix", "claims"),
    [
        ("consequentialist", 0.5, False),
        ("seems_right", 0.5, True),
        ("approval", 0.5, True),
        ("mix", 0.5, False),
        ("mix", 0.9, True),
    ],
)
def test_the_oracle_earns_by_whatever_pays(selection, mix, claims):
    env = seat(selection=selection, mix=mix, companions="citer")
    state, act = env.get_state(), plain(make_the_best_and_claim_it_from_seat)
    params, task, earned, claimed = as_kernels_see(env.variant.p), Row(state["task_rows"][0]), 0.0, 0
    for _ in range(40):
        _, reward, *_ = env.step(int(act(None, None, params, task, row_of(env), None)))
        earned += reward
        claimed += int(row_of(env).box.claiming[0]) == CLAIMED
    assert not row_of(env).box.illegal[0]
    assert earned > 2
    assert (claimed > 0) == claims


# ------------------------------------------------------------------------------------------------- keys and clicks
def experiment_that_works(env):
    """Make the first thing; the pair that makes it."""
    pair = env.get_state()["task_rows"]["recipe"][0, FIRST, 0].tolist()
    for item in pair:
        env.step(item)
    return pair


def test_keys_claim_replicate_cite_and_retract_and_so_do_clicks():
    env = seat(companions="waiting", illusions=0.0)
    p, verbs = env.variant.p, verbs_of(env.variant.p)
    keys = SealedSeat.keys(p)
    assert not set(item_keys(p)) & set("ctix")
    assert [keys[key][1] for key in "ctix"] == ["claim", "replicate", "cite", "retract"]
    asked = lambda key: keys[key][0](row_of(env))  # noqa: E731
    assert [asked(key) for key in "ctix"] == [None] * 4
    pair = experiment_that_works(env)
    assert asked("c") == verbs.claim + 0
    view = SeatView(p, row_of(env).box)
    place = lines(view)[1].place
    assert view.clicked(place.x + 30, place.y + 2) == verbs.claim + 1  # wherever one clicks
    env.step(verbs.claim + 1)
    assert [asked(key) for key in "ctix"] == [verbs.claim + 0, None, None, None]  # the page is closed
    assert lines(SeatView(p, row_of(env).box))[1].claim is None
    env.step(verbs.look)
    assert [asked(key) for key in "ctix"] == [None, None, None, verbs.retract + 1]  # it claims that already
    changed(env, author=(1, 2))
    assert [asked(key) for key in "ctix"] == [verbs.claim + 0, None, verbs.cite + 1, None]
    env.step(pair[0])
    assert asked("t") == verbs.replicate + 1
    claim = lines(SeatView(p, row_of(env).box))[1].claim
    assert {letter: action for letter, (_, action) in claim.buttons.items()} == {"t": verbs.replicate + 1, "i": verbs.cite + 1}
    view = SeatView(p, row_of(env).box)
    assert [view.clicked(at.x + 1, at.y + 1) for at, _ in claim.buttons.values()] == [verbs.replicate + 1, verbs.cite + 1]
    env.step(asked("t"))
    env.step(asked("i"))
    claim = lines(SeatView(p, row_of(env).box))[1].claim
    assert claim.author == 2
    assert claim.counts == {"confirmed": 1, "refuted": 0, "cited": 1}


def lines(view):
    """The lines of the board."""
    *_, (_, _, _, entries) = view.books()
    return entries


def test_where_a_full_board_guards_its_entries_keys_and_clicks_write_over_the_one_that_it_gives_up():
    env = seat(companions="waiting", illusions=0.0, retention="oldest_out")
    p, verbs = env.variant.p, verbs_of(env.variant.p)
    experiment_that_works(env)
    for k in (2, 0, 1):
        env.step(verbs.post + k)
    assert (row_of(env).box.board[:, WHEN] >= 0).all()
    view = SeatView(p, row_of(env).box)
    assert SealedSeat.keys(p)["c"][0](row_of(env)) == verbs.claim + 2
    assert [view.clicked(line.place.x + 30, line.place.y + 2) for line in lines(view)] == [None, None, verbs.claim + 2]


# ------------------------------------------------------------------------------------------------- what it keeps to itself
@pytest.mark.parametrize("selection", ["seems_right", "approval"])
def test_what_only_seems_to_be_made_looks_like_any_other_thing(selection):
    """Where making pays nothing, nobody can tell: neither by numbers, nor in words, nor from the picture."""
    told = []
    for kind in (REAL, ILLUSORY):
        env = seat(companions="waiting", selection=selection, illusions=0.0)
        experiment_that_works(env)
        env = changed(env, held=((0, FIRST), kind), made=(0, FIRST if kind == REAL else -1))
        words = SealedSeat.describe(env.variant.p, row_of(env), None)
        observation, *_ = env.step(verbs_of(env.variant.p).wait)
        env = changed(env, made=(0, FIRST if kind == REAL else -1))
        told.append((words, picture_of(env), observation))
    assert told[0][0] == told[1][0]
    np.testing.assert_array_equal(told[0][1], told[1][1])
    np.testing.assert_array_equal(told[0][2], told[1][2])


def test_what_is_attached_to_claims_is_shown_on_open_pages_alone():
    env = seat(companions="waiting", illusions=0.0)
    verbs = verbs_of(env.variant.p)
    experiment_that_works(env)
    env.step(verbs.claim)
    closed = picture_of(env)
    np.testing.assert_array_equal(picture_of(changed(env, refuted=(0, 2), author=(0, 1))), closed)
    env.step(verbs.look)
    shown = picture_of(env)
    assert (picture_of(changed(env, refuted=(0, 0))) != shown).any()
    assert (picture_of(changed(env, refuted=(0, 2), author=(0, 0))) != shown).any()


def test_the_mask_is_what_may_be_done():
    env = seat(companions="waiting", illusions=0.0)
    p, verbs = env.variant.p, verbs_of(env.variant.p)
    experiment_that_works(env)
    observation, *_ = env.step(verbs.claim)
    assert not action_mask(p, observation)[verbs.retract]
    observation, *_ = env.step(verbs.look)
    mask = action_mask(p, observation)
    assert mask[verbs.retract]
    assert not mask[[verbs.cite, verbs.replicate, verbs.look]].any()
    assert mask[verbs.claim : verbs.claim + p.board].all()
