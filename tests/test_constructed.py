"""Transformers by construction: a layer is a step of gradient descent, or of TD learning, exactly."""

import numpy as np
import pytest

import metarl_envs
from metarl_envs import players
from metarl_envs.players.lifetimes import live
from metarl_envs.players.networks import shipped
from metarl_envs.players.networks.constructed import DESCENTS
from metarl_envs.players.networks.linear import gradient_descent, temporal_difference
from metarl_envs.players.resolve import players_by_name

pytestmark = pytest.mark.plain
REFERENCES = dict(zip(DESCENTS, ("gradient_descent", "gradient_descent_2", "gradient_descent_5", "gd_plus_plus"), strict=True))
STEPS = [1, 2, 5, 40]


def run_of(player, **params):
    """Two lives of somebody in LinearRegression."""
    tasks = metarl_envs.tasks("LinearRegression", **params)
    (player,) = players_by_name({"one": player}, tasks.variant).values()
    return live(player, tasks.variant, tasks.rows(2), np.arange(2), episodes=1)[0]


@pytest.mark.parametrize("steps", STEPS)
def test_a_layer_is_a_step_of_gradient_descent(steps):
    rng = np.random.default_rng(steps)
    inputs, targets, question = rng.normal(size=(7, 4)), rng.normal(size=7), rng.normal(size=4)
    weights = np.zeros(4)
    for _ in range(steps):
        weights += 0.3 * np.mean([(y - weights @ x) * x for x, y in zip(inputs, targets, strict=True)], axis=0)
    network = gradient_descent(4, rate=0.3, steps=steps)
    assert (len(network.layers), network.width) == (steps, 5)
    assert abs(network.ask(np.column_stack([inputs, targets]), question) - weights @ question) < 1e-12


@pytest.mark.parametrize("steps", STEPS)
def test_a_layer_is_a_step_of_td_learning(steps):
    """On transitions of a walk on a chain of five states that pays 1 at its right end, with features that overlap."""
    rng = np.random.default_rng(0)
    features = rng.normal(size=(5, 3))
    at = rng.integers(5, size=40)
    to, pays = at + rng.choice([-1, 1], size=40), np.zeros(40)
    pays[to == 5] = 1.0
    after = np.where(((to >= 0) & (to < 5))[:, None], features[to.clip(0, 4)], 0)
    weights = np.zeros(3)
    for _ in range(steps):
        errors = [r + 0.9 * weights @ then - weights @ seen for seen, then, r in zip(features[at], after, pays, strict=True)]
        weights += 0.2 * np.mean([error * seen for error, seen in zip(errors, features[at], strict=True)], axis=0)
    network = temporal_difference(3, rate=0.2, discount=0.9, steps=steps)
    assert (len(network.layers), network.width) == (steps, 7)
    said = [network.ask(np.column_stack([features[at], after, pays]), each) for each in features]
    assert np.allclose(said, features @ weights, rtol=0, atol=1e-12)
    assert np.abs(weights).max() > 0.01


def test_many_layers_find_the_values_of_a_chain():
    """A random walk over five states, 1 at the right end: values are 1/6 to 5/6 (Sutton & Barto, example 6.2)."""
    one_hot = np.vstack([np.eye(5), np.zeros(5)])
    moves = [(s, s + move) for s in range(5) for move in (-1, 1)]
    examples = np.array([[*one_hot[s], *one_hot[to], float(to == 5)] for s, to in moves])
    network = temporal_difference(5, rate=2.0, discount=1.0, steps=600)
    assert np.allclose([network.ask(examples, each) for each in np.eye(5)], np.arange(1, 6) / 6, atol=1e-6)


@pytest.mark.parametrize("name", DESCENTS)
def test_as_a_player_it_predicts_as_the_reference_does(name):
    for params in (
        {},
        {"dimensions": 3, "horizon": 20, "noise": 0.5},
    ):  # twenty examples are more than it has room for at first
        ours, theirs = (run_of(each, **params).actions for each in (name, REFERENCES[name]))
        assert np.allclose(ours, theirs, rtol=1e-6, atol=1e-6)
        assert np.abs(theirs).max() > 0.5


def test_it_has_activations_and_interventions():
    name = "gd-by-construction-k2"
    run = run_of(name)
    *_, last = players.pretrained(name).watch(run)
    assert last["stream"].shape == (3, 2, 11, 6)
    assert np.allclose(last["prediction"], run.actions[:, -1], atol=1e-6)
    assert np.allclose(-last["stream"][-1, :, -1, -1], last["prediction"][:, 0])
    assert last["examples"].tolist() == [[True] * 10 + [False]] * 2
    halved = players.pretrained(name, interventions={0: lambda tokens, step: tokens * [1, 1, 1, 1, 1, 0.5]})
    *_, half = halved.watch(run)
    assert np.allclose(half["prediction"], last["prediction"] / 2)


def test_it_forgets_where_memory_is_reset_and_plays_in_linear_regression_alone():
    from metarl_wrappers import VectorForgetEachEpisode

    name = "gd-by-construction-k1"
    forgets = players.Wrapped(players.pretrained(name), lambda env: VectorForgetEachEpisode(env, every=4))
    actions = run_of(forgets, horizon=12).actions
    assert (actions[:, ::4] == 0).all()
    assert (actions[:, [1, 2, 3, 5, 6, 7]] != 0).all()
    for id in ("Pendulum", "DarkRoom", "LinearBandit", "PointRobot"):
        with pytest.raises(ValueError, match="plays in LinearRegression, where observations are inputs"):
            metarl_envs.evaluate(id, name)
    with pytest.raises(ValueError, match=rf"no trained network; there are: {', '.join(shipped.DIGESTS)}$"):
        players.card("gd-by-construction-k1")
