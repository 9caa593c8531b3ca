"""Compiled players through wrappers: one turn at a time, they do what they do in a compiled loop."""

import functools

import numpy as np
import pytest

import metarl_envs
from metarl_envs.engine.player import references_of
from metarl_envs.learners import PSRL, UCB1, NoiseAnnealed, QLearning, Thompson
from metarl_envs.players import PlayerError, Wrapped
from metarl_envs.players.lifetimes import live
from metarl_wrappers import VectorForgetEachEpisode, VectorHideReward, VectorPermuteObservation, VectorPreviousStep

pytestmark = pytest.mark.plain

ROOM = ("DarkRoomHard", {"size": 3, "horizon": 6}, 4)
BANDIT = ("BernoulliBandit", {"arms": 3, "horizon": 20}, 1)
REGRESSION = ("LinearRegression", {"dimensions": 2, "horizon": 5}, 1)
CASES = [(QLearning(), ROOM), (PSRL(), ROOM), (UCB1(), BANDIT), (Thompson(), BANDIT)]
CASES += [("sweep", ROOM), ("bayes", REGRESSION), ("random", REGRESSION)]


def lived(player, where, *wrappers, alone=False):
    id, params, episodes = where
    tasks = metarl_envs.tasks(id, **params)
    player = references_of(tasks.variant)[player] if isinstance(player, str) else player
    return live(
        player if alone else Wrapped(player, *wrappers), tasks.variant, tasks.rows(5), np.arange(5) + 3, episodes=episodes
    )


@pytest.mark.parametrize(("player", "where"), CASES, ids=str)
def test_one_turn_at_a_time_is_what_a_compiled_loop_does(player, where):
    (run, scores), (other, earned) = lived(player, where, alone=True), lived(player, where)
    assert np.array_equal(run.actions, other.actions)
    assert np.array_equal(run.endings, other.endings)
    assert np.allclose(scores, earned, rtol=1e-12)
    assert run.returns.any() or player == "random"


def test_it_learns_from_what_it_is_shown_and_forgets_when_it_is_told_to():
    paid = {
        name: lived(QLearning(), ("DarkRoom", {"size": 3, "horizon": 8}, 25), *wrappers)[1][:, 10:].mean()
        for name, wrappers in {"intact": [], "hidden": [VectorHideReward], "forgets": [VectorForgetEachEpisode]}.items()
    }
    assert paid["intact"] > 2 * paid["hidden"]
    assert paid["intact"] > 1.5 * paid["forgets"]


def test_who_cannot_see_through_wrappers_is_refused():
    with pytest.raises(ValueError, match=r"NoiseAnnealed looks at the world itself"):
        lived(NoiseAnnealed(), ROOM)
    with pytest.raises(ValueError, match=r"QLearning needs Box.*, as DarkRoomHard has it, and the wrappers show"):
        lived(QLearning(), ROOM, functools.partial(VectorPreviousStep, flat=True))
    with pytest.raises(TypeError, match=r"is a compiled player, and makes none"):
        Wrapped(QLearning())()


def test_an_observation_without_an_index_is_an_error_that_says_where():
    class Elsewhere(VectorPermuteObservation):
        def step(self, actions):
            seen, *rest = super().step(actions)
            return seen + 100, *rest

    with pytest.raises(
        PlayerError, match=r"failed at step 1 \(ValueError: QLearning is shown an observation in row 0 that has"
    ):
        lived(QLearning(), ROOM, Elsewhere)
