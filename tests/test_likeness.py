"""Likeness: the likelihood of actions under known players that learn from the same lives; an agent is most like itself."""

import itertools
import json

import numpy as np
import pytest

import metarl_envs
from metarl_envs.engine.composing import family_at
from metarl_envs.engine.player import heuristics_of, references_of
from metarl_envs.evaluation import likeness
from metarl_envs.evaluation.likeness import (
    SAMPLERS,
    _BySamples,
    candidates,
    likenesses,
    most_like_by_length,
    predictions_of,
    probabilities_of,
)
from metarl_envs.evaluation.statistics import over_seeds_and_tasks
from metarl_envs.ids import TABLE, family_of
from metarl_envs.learners import PSRL, UCB1, EpsilonGreedy, QLearning, Random, Thompson
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
    assert {"thompson"} == set(SAMPLERS) & set(candidates(bandit))
    assert not set(SAMPLERS) & set(candidates(metarl_envs.tasks("DarkRoom").variant)), "too many states to plan for so often"
    assert "psrl" in candidates(metarl_envs.tasks("TabularMDP", states=4).variant)
    numbers = set(candidates(metarl_envs.tasks("LinearRegression").variant))
    assert {"bayes", "least_squares", "gradient_descent", "nearest_neighbours"} <= numbers
    assert not {"oracle", "random"} & numbers


@pytest.mark.plain
@pytest.mark.parametrize("epsilon", [0.01, 0.3, 1.0])
def test_a_stretch_is_as_likely_as_under_one_sample_in_the_mean(epsilon):
    rng = np.random.default_rng(0)
    agree, first = rng.random((6, 2, 5)) < 0.6, rng.random((2, 5)) < 0.4
    first[:, 0], steps, actions = True, np.array([5, 4]), 3
    bits, variance = _BySamples(agree, first, steps, actions)(epsilon)
    for life in range(2):
        ends = [*np.flatnonzero(first[life, : steps[life]]), steps[life]]
        total = spread = 0.0
        for start, end in itertools.pairwise(ends):
            chances = np.where(agree[:, life, start:end], 1 - epsilon + epsilon / actions, epsilon / actions).prod(axis=1)
            total += np.log2(chances.mean() * actions ** (end - start))
            spread += chances.var(ddof=1) / 6 / chances.mean() ** 2 / np.log(2) ** 2
        assert bits[life] == pytest.approx(total / steps[life])
        assert variance[life] == pytest.approx(spread / steps[life] ** 2)


@pytest.mark.plain
def test_samples_of_thompson_are_as_likely_as_its_posterior_says():
    """The chance that an arm is best, by quadrature of its Beta posterior, against what 200 samples choose."""
    run = lived(Thompson(), ("BernoulliBandit", {"arms": 2, "horizon": 6}, 1), count=1)
    written = run.columns()
    chosen = np.mean([probabilities_of(Thompson(), run, written, copy)[0, :, 0] for copy in range(1, 201)], axis=0)
    done, paid = written.columns["action"][0], written.columns["reward"][0]
    grid = (np.arange(4000) + 0.5) / 4000
    for t in range(6):
        wins, lost = ([((done[:t] == arm) & (paid[:t] == won)).sum() for arm in (0, 1)] for won in (1, 0))
        density = [grid**a * (1 - grid) ** b for a, b in zip(wins, lost, strict=True)]
        below = np.cumsum(density[1]) / density[1].sum()
        exact = (density[0] / density[0].sum() * below).sum()
        assert abs(chosen[t] - exact) < 4 * np.sqrt(exact * (1 - exact) / 200)


@pytest.mark.plain
def test_samplers_are_most_like_themselves(monkeypatch):
    monkeypatch.setattr(likeness, "SAMPLES", 8)
    bandit = lived(Thompson(), ("BernoulliBandit", {"arms": 3, "horizon": 20}, 1), 8)
    found = likenesses(bandit, 2, {"thompson": Thompson(), "ucb1": UCB1(), "random": Random()})
    assert found[0].name == "thompson"
    assert 0 < found[0].error < 0.1
    assert found[0].bits.mean > 0.1
    mdp = lived(PSRL(), ("TabularMDP", {"states": 2, "actions": 3, "horizon": 5}, 8), 4)
    found = likenesses(mdp, 2, {"psrl": PSRL(), "q_learning 0.5": QLearning(step_size=0.5), "random": Random()})
    assert found[0].name == "psrl"
    assert found[0].error > 0


@pytest.mark.plain
def test_numbers_are_likely_about_what_a_player_would_predict():
    where = ("LinearRegression", {"dimensions": 2, "horizon": 5, "noise": 0.5}, 1)
    run = lived("gradient_descent", where, 6)
    found = likenesses(run, 2)
    assert [found[0].name, found[0].epsilon, found[0].alike] == ["gradient_descent", None, True]
    own = references_of(run.variant)
    assert np.array_equal(predictions_of(own["gradient_descent"], run, run.columns()), run.columns().columns["action"])
    bayes = lived("bayes", where, 6)
    ridge = likenesses(bayes, 2, {name: own[name] for name in ("bayes", "least_squares")})
    assert [one.name for one in ridge] == ["bayes", "least_squares"]
    done, said = (
        column.astype(float)
        for column in (bayes.columns().columns["action"], predictions_of(own["least_squares"], bayes, bayes.columns()))
    )
    fit, test = [0, 2, 3, 5], [1, 4]  # the even tasks of both seeds, and the odd ones
    deviation = np.sqrt(np.square(done - said)[fit].mean())
    middle, spread = done[fit].mean(), done[fit].std()

    def log2_normal(off, deviation):
        return -np.square(off) / (2 * deviation**2 * np.log(2)) - np.log2(deviation * np.sqrt(2 * np.pi))

    expected = log2_normal(done - said, deviation)[test].mean() - log2_normal(done - middle, spread)[test].mean()
    assert ridge[1].bits.mean == pytest.approx(expected)
    assert ridge[1].deviation == pytest.approx(deviation)


@pytest.mark.plain
@pytest.mark.parametrize("player", ["gradient_descent", "gradient_descent_2", "gradient_descent_5", "gd_plus_plus"])
def test_steps_of_gradient_descent_are_named_at_each_prompt_length(player):
    run = lived(player, ("LinearRegression", {"dimensions": 2, "horizon": 6, "noise": 0.5}, 1), 12)
    found = likenesses(run, 2)
    assert most_like_by_length(found) == [[], *[[player]] * 5], "before the first example all predict 0"
    assert all(one.by_length[0] == (0, 0, 0) for one in found)


@pytest.mark.plain
def test_without_noise_ridge_and_least_squares_are_the_same_at_each_prompt_length():
    run = lived("bayes", ("LinearRegression", {"dimensions": 3, "horizon": 8}, 1), 12)
    found = likenesses(run, 2)
    named = most_like_by_length(found)
    assert named[0] == []
    assert all(set(names) == {"bayes", "least_squares"} for names in named[1:])
    noisy = lived("bayes", ("LinearRegression", {"dimensions": 3, "horizon": 8, "noise": 0.5}, 1), 12)
    assert most_like_by_length(likenesses(noisy, 2)) == [[], *[["bayes"]] * 7]


@pytest.mark.plain
def test_each_prompt_length_has_a_deviation_and_an_interval_of_its_own():
    run = lived("bayes", ("LinearRegression", {"dimensions": 2, "horizon": 5, "noise": 0.5}, 1), 12)
    (found,) = likenesses(run, 2, {"least_squares": references_of(run.variant)["least_squares"]})
    done, said = (
        column.astype(float)[:, 3, 0]
        for column in (
            run.columns().columns["action"],
            predictions_of(references_of(run.variant)["least_squares"], run, run.columns()),
        )
    )
    fit = np.arange(12) % 6 % 2 == 0
    bits = [
        -np.square(done - about) / (2 * deviation**2 * np.log(2)) - np.log2(deviation)
        for about, deviation in (
            (said, np.sqrt(np.square(done - said)[fit].mean())),
            (done[fit].mean(), done[fit].std()),
        )
    ]
    expected = over_seeds_and_tasks((bits[0] - bits[1])[~fit].reshape(2, 3, 1, 1))
    assert found.by_length[3] == pytest.approx(expected)
    json.dumps(found.as_json(), allow_nan=False)


@pytest.mark.plain
def test_only_a_prompt_has_lengths():
    room = lived(QLearning(), ROOM, 12)
    twice = lived("bayes", ("LinearRegression", {"dimensions": 2, "horizon": 5}, 2), 12)
    for run in (room, twice):
        found = likenesses(run, 2)
        assert all(one.by_length == () for one in found)
        assert most_like_by_length(found) == []


@pytest.mark.plain
@pytest.mark.parametrize("row", TABLE, ids=lambda row: row.id)
def test_known_players_are_found_in_every_family(row):
    variant = family_at(family_of(row.id)).with_params()
    told = {name for name, one in heuristics_of(variant).items() if one.observes == "observation"}
    assert set(candidates(variant)) >= told


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
