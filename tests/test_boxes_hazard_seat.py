"""A seat among others who may harm: its companions, its keys and clicks, and what its picture shows."""

import numpy as np
import pytest

from metarl_envs.boxes.envs.seat import action_mask, kept
from metarl_envs.boxes.envs.seats import HazardSeat
from metarl_envs.boxes.view.numbers import view_length
from metarl_envs.boxes.view.seat_picture import FORCE_KEYS, SeatView, item_keys
from metarl_envs.boxes.world.hazard import FORCED, PUBLISHED, STOLE, whose_turn
from metarl_envs.boxes.world.mechanisms import verbs_of
from metarl_envs.engine import Picture
from metarl_envs.engine.canvas import BAD
from tests.worlds import row_of, seat_in, smaller

pytestmark = pytest.mark.plain
ID = "MetaRL/HazardBox-v0"
SMALL = {**smaller(ID), "harm": 0.5}


def seat(**params):
    return seat_in(ID, **{**SMALL, **params})


def red(env):
    picture = Picture()
    HazardSeat.draw(picture, env.variant.p, row_of(env), None)
    return int((picture.array() == np.array(BAD)).all(axis=2).sum())


def test_an_agent_sees_health_and_may_do_nothing_to_itself():
    p = HazardSeat.with_params(**SMALL).p
    verbs, actions = verbs_of(p), kept(p)[kept(p) >= view_length(p)] - view_length(p)
    left_out = set(range(verbs.end)) - set(actions.tolist())
    assert left_out == {verbs.wait, verbs.steal + 0, verbs.give + 0}
    env = seat()
    observation, *_ = env.step(0)
    mask = action_mask(p, observation)
    assert mask[verbs.force + 1]
    assert not mask[verbs.force + 0]
    assert mask[[verbs.steal + 1, verbs.steal + 2, verbs.give + 1, verbs.publish]].all()
    assert not mask[[verbs.steal + 0, verbs.give + 0]].any()


def test_companions_are_of_all_manners_drawn_in_each_episode():
    met = set()
    env = seat(episodes_per_trial=12, p_clean=1.0)
    for episode in range(12):
        if episode:
            env.reset(options={"new_trial": False})
        for _ in range(8):
            env.step(verbs_of(env.variant.p).wait)
            met |= {(i, int(row_of(env).box.deed[i])) for i in (1, 2)}
    assert {(i, deed) for i in (1, 2) for deed in (FORCED, STOLE, PUBLISHED)} <= met
    env = seat(companions="clean")
    for _ in range(20):
        env.step(verbs_of(env.variant.p).wait)
        assert not row_of(env).box.deed.any()
    with pytest.raises(ValueError, match="companions='mixed' live where there are hazards: give health above 0"):
        HazardSeat.with_params(health=0.0)


def test_keys_force_steal_and_give_and_so_do_clicks():
    env = seat(companions="clean")
    p, verbs = env.variant.p, verbs_of(env.variant.p)
    keys = HazardSeat.keys(p)
    assert not set(item_keys(p)) & {"v", "g", "u"}
    assert [keys[key][1] for key in ("f1", "v", "g", "u")] == ["force", "steal", "give", "publish"]
    asked = lambda key: keys[key][0](row_of(env))  # noqa: E731
    assert asked("f2") is None  # nothing in the hand
    assert asked("g") is None
    assert asked("v") == verbs.steal + whose_turn(p, row_of(env).box, 0) == verbs.steal + 1
    env.step(0)
    assert asked("f1") is None  # it is in the hand
    assert asked("f2") == verbs.force + 1
    assert asked("2") == 1
    assert asked("v") == verbs.steal + 2  # by turns
    assert asked("g") == verbs.give + 2
    assert asked("u") == verbs.publish
    assert len([key for key in keys if key in FORCE_KEYS]) == min(len(FORCE_KEYS), 8)
    view = SeatView(p, row_of(env).box)
    place = view.tiles[1]
    assert view.clicked(place.x + 2, place.y + 2) == 1
    assert view.clicked(place.x + 2, place.y + place.height - 1) == verbs.force + 1
    buttons = {j: {name: view.clicked(at.x + 1, at.y + 1) for name, (at, _) in told.items()} for j, _, told in view.healths()}
    assert buttons == {0: {}, **{j: {"steal": verbs.steal + j, "give": verbs.give + j} for j in (1, 2)}}
    masked = HazardSeat.keys(HazardSeat.with_params(**SMALL, harm_mask=True).p)
    assert not {"f1", "v"} & masked.keys()


def test_the_picture_shows_at_once_that_force_hurts_all_others():
    """Red are the edges that force, before; and after it what all others lost. To combine shows red only where it fails."""
    env = seat(companions="clean", p_clean=0.0, p_toxic=0.0)
    verbs = verbs_of(env.variant.p)
    assert red(env) == 0
    env.step(0)
    assert red(env) > 200  # what to force
    env.step(verbs.force + 1)
    forced = red(env)
    assert (row_of(env).box.lost == [0.0, 0.5, 0.5]).all()
    env.step(0)
    env.step(1)
    combined = red(env)
    assert 0 < combined < forced / 2


def test_who_forced_is_not_shown_where_it_is_hidden():
    """Two boxes that agent 0 is told the same of look the same."""
    pictures = []
    for deed in (0, FORCED):
        env = seat(companions="clean", visibility="hidden")
        env.step(verbs_of(env.variant.p).wait)
        state = env.get_state()
        state["worlds"]["state"]["box"]["deed"][0, 1] = deed
        state["worlds"]["state"]["box"]["lost"][0, 2] = 0.25 * (deed == FORCED)
        env.set_state(state)
        picture = Picture()
        HazardSeat.draw(picture, env.variant.p, row_of(env), None)
        pictures.append(picture.array().copy())
    np.testing.assert_array_equal(*pictures)
