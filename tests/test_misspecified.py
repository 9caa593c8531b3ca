"""Learners that take a prior or a noise as known: which is the truth in their family by default, and nowhere else."""

import pytest

import metarl_envs
from metarl_envs.learners import PSRL, UCRL2, GaussianThompson, LinUCB, Thompson

pytestmark = pytest.mark.plain


def of_chances(p):
    return {"a": 1.0, "b": 1.0} if (p.low, p.high) == (0, 1) else None


def of_means(p):
    return {"prior_mean": (p.low + p.high) / 2, "prior_sd": (p.high - p.low) / 12**0.5, "noise": p.noise}


def of_weights(p):
    return {"prior_sd": p.dimensions**-0.5, "noise": p.noise}


def of_mdps(p):
    return {"prior_mean": p.reward_mean, "prior_sd": p.reward_sd, "noise": p.noise, "concentration": 1.0}


@pytest.mark.parametrize(
    ("learner", "id", "truth", "wrong"),
    [
        (Thompson, "BernoulliBandit", of_chances, ["close_arms"]),
        (GaussianThompson, "GaussianBandit", of_means, ["close_arms", "noisy"]),
        (LinUCB, "LinearBandit", of_weights, ["noisy"]),
        (PSRL, "TabularMDP", of_mdps, ["noisy"]),
        (UCRL2, "TabularMDP", of_mdps, ["noisy"]),
    ],
)
def test_defaults_are_the_truth_by_default_and_stay_what_they_are_under_shifts(learner, id, truth, wrong):
    family = metarl_envs.tasks(id).variant.family
    for split in (None, "train", "test", *family.shifts):
        variant = metarl_envs.tasks(id, split=split).variant
        taken, true = learner().bind(variant).values, truth(variant.p)
        is_true = true is not None and all(taken[name] == pytest.approx(value) for name, value in true.items())
        assert is_true == (split not in wrong), split
    assert all(f"`{split}`" in learner.__doc__ for split in wrong)
    assert "no learner is told" in " ".join(family.__doc__.split()).lower()
