"""Learners at the ends of what their hyper-parameters may be: none dies, and those that draw from tiny gammas draw rightly."""

import functools
import math
import os
import subprocess
import sys

import numpy as np
import pytest
from scipy import special, stats

import metarl_envs
from metarl_envs.engine import beta, kernel, streams
from metarl_envs.engine.compiling.kernels import PLAIN
from metarl_envs.engine.parameters import Choice, Flag
from metarl_envs.engine.records import for_drivers
from metarl_envs.histories import collect, lifetime_returns
from metarl_envs.learners import LEARNERS, PSRL, Thompson

COUNT = 2_000 if PLAIN else 20_000
#: Small settings in which every learner is at home, each compiled once.
HOMES = {
    "MetaRL/BernoulliBandit-v0": {"horizon": 20},
    "MetaRL/LinearBandit-v0": {"horizon": 20},
    "MetaRL/TabularMDP-v0": {"states": 3, "actions": 2},
    "MetaRL/PointRobot-v0": {"horizon": 5},
}


#: What makes a learner small that takes ordinary Python long; the upper ends of these are not tried.
SMALL: dict[str, dict] = {"neural_q": {"hidden": 2, "replayed": 1, "kept": 20}}


def extremes(parameter):
    """The ends of a range, and for those without an end something far out."""
    if isinstance(parameter, Flag):
        return [False, True]
    if isinstance(parameter, Choice):
        return list(parameter.names)
    far = 1e6 if isinstance(parameter.default, float) else 10**6
    return [max(parameter.low, -far), min(parameter.high, far)]


@pytest.mark.skipif(not PLAIN, reason="would compile every learner in several families; the slow test runs it in plain mode")
@pytest.mark.parametrize("name", [name for name in LEARNERS if LEARNERS[name].params.parameters])
def test_no_learner_dies_of_a_hyper_parameter_in_its_range(name):
    tried = 0
    for id, params in HOMES.items():
        tasks = metarl_envs.tasks(id, **params)
        if LEARNERS[name]().why_unsuitable(tasks.variant):
            continue
        for hyper, parameter in LEARNERS[name].params.parameters.items():
            small = SMALL.get(name, {})
            for value in extremes(parameter)[: 1 if hyper in small else None]:
                learner = LEARNERS[name](**{**small, hyper: value})
                earned = lifetime_returns(tasks.rows(4), tasks.variant, learner, np.arange(4), episodes=2)
                assert np.isfinite(earned).all(), f"{learner} in {id}"
                tried += 1
    assert tried


@pytest.mark.slow
@pytest.mark.skipif(PLAIN, reason="it is plain mode already")
def test_no_learner_dies_in_plain_mode():
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", __file__, "-k", "no_learner_dies_of"]
    done = subprocess.run(command, env={**os.environ, "NUMBA_DISABLE_JIT": "1"}, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
    assert "skipped" not in done.stdout


# ------------------------------------------------------------------------------------------- tiny gammas
@functools.cache
def filler(one):
    """What fills an array with draws of one kind, compiled once for all parameters."""

    @kernel
    def fill(out, rng, a, b):
        for i in range(len(out)):
            out[i] = one(rng[0], a, b)

    return fill


def filled(one, a, b, count=COUNT):
    rng, out = for_drivers(np.zeros(1, streams.STREAM)), np.empty(count)
    rng["s"] = 777
    filler(one)(out, rng, a, b)
    return out


@kernel
def one_log_gamma(rng, a, b):
    return streams.log_gamma_draw(rng, a)


@kernel
def log_of_one_gamma(rng, a, b):
    return math.log(streams.gamma(rng, a))


@kernel
def one_beta(rng, a, b):
    return beta(rng, a, b)


@kernel
def one_log_odds(rng, a, b):
    return streams.log_odds_of_beta(rng, a, b)


def log_gamma_cdf(x, shape):
    """Of the logarithm of a Gamma(shape, 1), where exp(x) is too small for a number too."""
    far = np.exp(shape * x - special.gammaln(shape + 1))
    return np.where(x < -30, far, special.gammainc(shape, np.exp(np.maximum(x, -30))))


@pytest.mark.parametrize("shape", [1e-6, 1e-3, 0.005, 0.1, 0.7, 1.0, 5.0, 300.0])
def test_logarithms_of_gammas_have_their_distribution(shape):
    drawn = filled(one_log_gamma, shape, 0.0)
    assert np.isfinite(drawn).all()
    assert stats.kstest(drawn, log_gamma_cdf, args=(shape,)).pvalue > 1e-3
    assert drawn.mean() == pytest.approx(special.digamma(shape), abs=5 * math.sqrt(special.polygamma(1, shape) / COUNT))
    if shape >= 0.1:
        assert drawn == pytest.approx(filled(log_of_one_gamma, shape, 0.0), rel=1e-9, abs=1e-9)


@pytest.mark.parametrize(
    ("a", "b"), [(0.005, 0.005), (1e-6, 1e-6), (0.2, 0.7), (1e-6, 2.0), (2.0, 1e-6), (0.5, 0.5), (1.0, 1.0)]
)
def test_betas_of_any_shape_are_draws_of_their_distribution(a, b):
    drawn, odds = filled(one_beta, a, b), filled(one_log_odds, a, b)
    assert ((drawn >= 0) & (drawn <= 1)).all()
    assert drawn.mean() == pytest.approx(a / (a + b), abs=5 * math.sqrt(stats.beta(a, b).var() / COUNT) + 1e-12)
    assert (odds > 0).mean() == pytest.approx(special.betainc(b, a, 0.5), abs=5 * 0.5 / math.sqrt(COUNT))
    for low in (-3.0, 1.0, 4.0):
        assert (odds < low).mean() == pytest.approx(special.betainc(a, b, special.expit(low)), abs=2.5 / math.sqrt(COUNT))
    assert special.expit(odds) == pytest.approx(drawn, abs=1e-12), "one draw, told in two ways"


def test_of_two_betas_of_whole_counts_the_log_odds_say_the_same_as_the_chances():
    """What Thompson sampling compares: with its default prior it chooses as it always did."""
    shapes = [(1.0 + wins, 1.0 + losses) for wins in range(4) for losses in range(4)]
    chances, odds = (np.stack([filled(one, *shape, count=500) for shape in shapes]) for one in (one_beta, one_log_odds))
    assert (chances.argmax(axis=0) == odds.argmax(axis=0)).all()
    assert (np.argsort(chances, axis=0) == np.argsort(odds, axis=0)).all()


@pytest.mark.parametrize("prior", [1e-6, 0.005, 0.01, 0.1])
def test_thompson_sampling_begins_alike_with_all_arms_whatever_its_prior(prior):
    lives = 400 if PLAIN else 5000
    lived = collect("BernoulliBandit", Thompson(a=prior, b=prior), histories=lives, steps=1, split=None)
    counts = np.bincount(lived.actions.ravel(), minlength=5)
    assert stats.chisquare(counts).pvalue > 1e-3, counts


def test_thompson_sampling_under_a_tiny_prior_pulls_again_as_often_as_it_should():
    """Under Beta(z, z), z -> 0, z times the log-odds of an unknown arm are Laplace-distributed; those of one that won are
    exponential, and of one that lost the negative of it. So it beats four unknown ones with a chance of 0.3875, or of 1/80."""
    lives = 2000 if PLAIN else 20_000
    lived = collect("BernoulliBandit", Thompson(a=1e-6, b=1e-6), histories=lives, steps=2, split=None)
    first, second = lived.actions.reshape(lives, 2).T
    won = lived.rewards.reshape(lives, 2)[:, 0] == 1
    again = first == second
    assert again[won].mean() == pytest.approx(0.3875, abs=5 * 0.5 / math.sqrt(won.sum()))
    assert again[~won].mean() == pytest.approx(1 / 80, abs=5 * 0.11 / math.sqrt((~won).sum()))


@pytest.mark.parametrize("concentration", [1e-3, 0.02, 0.0999])
def test_psrl_under_a_tiny_concentration_samples_whole_rows_of_chances(concentration):
    variant = metarl_envs.tasks("TabularMDP", states=3, actions=2).variant
    from metarl_envs.learners import psrl

    learner = PSRL(concentration=concentration)
    memory = for_drivers(np.zeros(1, learner.memory(learner.p, variant)))
    rng = for_drivers(np.zeros(1, streams.STREAM))

    def draw(hyper, memory, rng, out):
        for i in range(len(out)):
            psrl.sample_transition(hyper[0], memory[0], 1, 0, rng[0])
            for s in range(3):
                out[i, s] = memory[0].transition[1, 0, s]

    out = np.empty((COUNT // 10, 3))
    kernel(draw)(learner.hyper, memory, rng, for_drivers(out))
    assert np.allclose(out.sum(axis=1), 1)
    assert np.isfinite(out).all()
    share = stats.beta(concentration, 2 * concentration)
    error = 5 * share.std() / math.sqrt(len(out))
    assert out.mean(axis=0) == pytest.approx([1 / 3] * 3, abs=error)
    assert (out > 0.5).mean(axis=0) == pytest.approx([share.sf(0.5)] * 3, abs=2.5 / math.sqrt(len(out)))
