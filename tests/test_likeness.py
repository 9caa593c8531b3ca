"""Likeness: the likelihood of actions under known players that learn from the same lives; an agent is most like itself."""

import numpy as np
import pytest

import metarl_envs
from metarl_envs.engine.composing import family_at
from metarl_envs.engine.player import heuristics_of, references_of
from metarl_envs.evaluation.likeness import candidates, likenesses, probabilities_of
from metarl_envs.ids import TABLE, family_of
from metarl_envs.learners import UCB1, EpsilonGreedy, QLearning, Random
from metarl_envs.players.lifetimes import live

ROOM = ("DarkRoomHard", {"size": 3, "horizon": 6}, 4)
BANDIT = ("BernoulliBandit", {"arms": 3, "horizon": 20}, 1)


def lived(player, where, count=6):
    id, params, episodes = where
    tasks = metarl_envs.tasks(id, **params)
    player = references_of(tasks.variant)[player] if isinstance(player, str) else player
    rows = np.resize(tasks.rows(min(count, 9)), count)
    return live(player, tasks.variant, rows, np.arange(count) + 3, episodes=episodes)[0]


@pytest.mark.plain
@pytest.mark.parametrize(("player", "where"), [(QLearning(), ROOM), (UCB1(), BANDIT), (EpsilonGreedy(), BANDIT)], ids=str)
def test_under_itself_each_action_has_the_probability_that_it_had(player, where):
    run = lived(player, where)
    own = run.columns(internals=["probabilities"], player=player).columns["probabilities"]
    assert np.array_equal(probabilities_of(player, run, run.columns()), own)
    assert 0 < own.max() <= 1


@pytest.mark.plain
def test_a_heuristic_is_certain_of_what_it_does():
    run = lived("sweep", ROOM)
    written = run.columns()
    probabilities = probabilities_of(references_of(run.variant)["sweep"], run, written)
    inside = np.arange(probabilities.shape[1]) < run.steps[:, None]
    own = np.take_along_axis(probabilities, written.columns["action"][..., None].astype(int), axis=2)[..., 0]
    assert (own[inside] == 1).all()
    other = probabilities_of(references_of(run.variant)["sweep"], *(lambda r: (r, r.columns()))(lived(Random(), ROOM)))
    assert set(np.unique(other)) == {0.0, 1.0}


@pytest.mark.plain
def test_an_agent_is_most_like_itself_and_random_play_is_like_nothing():
    known = {"random": Random(), "q_learning 0.7": QLearning(), "q_learning 0.1": QLearning(step_size=0.1)}
    found = likenesses(lived(QLearning(), ROOM, 12), 2, known)
    assert found[0].name == "q_learning 0.7"
    assert found[0].alike
    assert found[0].bits.mean > 0.3
    by_name = {one.name: one for one in found}
    assert by_name["random"].bits.mean == pytest.approx(0, abs=1e-6)
    like_nothing = likenesses(lived(Random(), ROOM, 12), 2, known)
    assert all(abs(one.bits.mean) < 0.03 for one in like_nothing)
    assert min(one.epsilon for one in like_nothing if one.name != "random") > 0.6, "most that it does is anything"
    with pytest.raises(ValueError, match=r"run has 5 rows, and must have two tasks or more for each of 2 seeds"):
        likenesses(lived(QLearning(), ROOM, 5), 2, known)


@pytest.mark.plain
def test_which_players_are_tried_where():
    room, bandit = (metarl_envs.tasks(id, **params).variant for id, params, _ in (ROOM, BANDIT))
    assert {"q_learning 0.1", "q_lambda", "sweep", "random"} <= set(candidates(room))
    assert {"ucb1", "epsilon_greedy"} <= set(candidates(bandit)) - set(candidates(room))
    assert candidates(metarl_envs.tasks("LinearRegression").variant) == {}


@pytest.mark.plain
@pytest.mark.parametrize("row", TABLE, ids=lambda row: row.id)
def test_known_players_are_found_in_every_family(row):
    variant = family_at(family_of(row.id)).with_params()
    told = {name for name, one in heuristics_of(variant).items() if one.observes == "observation"}
    assert set(candidates(variant)) >= (set() if variant.action.shape else told)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("where", "players"),
    [
        (("DarkRoom", {"size": 5, "horizon": 15, "episodes": 40}), ("q_learning", "q_lambda", "sweep")),
        (("BernoulliBandit", {"arms": 5, "horizon": 50}), ("ucb1", "epsilon_greedy")),
    ],
    ids=str,
)
def test_known_players_are_told_apart_by_what_they_do(where, players):
    id, how = where
    result = metarl_envs.evaluate(id, [*players, "random"], tasks=25, seeds=3, split="all", **how)
    for name in players:
        found = likenesses(result.runs[name], 3)
        assert found[0].name == {"q_learning": "q_learning 0.7"}.get(name, name)
        assert not found[1].alike
    assert all(one.bits.mean < 0.01 for one in likenesses(result.runs["random"], 3)), "none fits"
