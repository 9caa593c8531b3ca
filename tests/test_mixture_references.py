"""What references of a mixture earn, compiled: the scale that a learner must be compared with."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import metarl_envs
from metarl_envs.engine.player import references_of
from metarl_envs.engine.truth.solving import exact_returns
from metarl_envs.evaluation.likeness import _observations
from metarl_envs.families.mixture.parts import parts_at
from metarl_envs.histories import lifetime_returns
from metarl_envs.learners import Random
from metarl_envs.players.lifetimes import live
from metarl_envs.players.networks.looking_on import steps_of
from metarl_envs.players.stepwise import Turns

pytestmark = pytest.mark.slow

TASKS = 420
#: Small enough to be compiled soon; one disguise for all tests.
MIXED = {
    "parts": "DarkRoom(size=4), BernoulliBandit(arms=3), TMaze(length=7), GridNavi(size=4)",
    "horizon": 8,
    "disguise": "both",
}


def scores(names=None, count=TASKS, episodes=4):
    """What each reference earns on the same tasks and noise, between random play (0) and the oracle (1), [reference, task]."""
    tasks = metarl_envs.tasks("Mixture", **MIXED)
    rows = tasks.sample(count, seed=1)
    random, oracle = np.array([exact_returns(tasks.variant, row) for row in rows]).T
    known = references_of(tasks.variant)
    return {
        name: (lifetime_returns(rows, tasks.variant, known[name], np.arange(count), episodes=episodes).mean(axis=1) - random)
        / (oracle - random)
        for name in names or known
    }


@pytest.mark.nightly
def test_who_is_told_the_part_beats_every_heuristic_of_one_and_the_oracle_beats_it():
    earned = scores()
    assert abs(earned["random"].mean()) < 0.03
    assert abs(earned["oracle"].mean() - 1) < 0.03
    others = set(earned) - {"oracle", "random", "which_part_told"}
    assert len(others) == 4
    for name in others:
        lead = earned["which_part_told"] - earned[name]
        assert lead.mean() > 5 * lead.std() / np.sqrt(TASKS), f"{name} earns {earned[name].mean():.3f}"
    assert 0.3 < earned["which_part_told"].mean() < 0.7, "one part has no heuristic, and no heuristic knows the task"
    for name in others - {"which_part_inferring"}:
        lead = earned["which_part_inferring"] - earned[name]
        assert lead.mean() > 5 * lead.std() / np.sqrt(TASKS), f"{name} earns {earned[name].mean():.3f}"


def test_references_earn_the_same_compiled_and_plain():
    names = ["which_part_told", "which_part_inferring", "oracle"]
    script = f"from tests.test_mixture_references import scores; print(repr(scores({names}, 40, 2)))"
    setting = {**os.environ, "NUMBA_DISABLE_JIT": "1"}
    where = Path(__file__).parents[1]
    done = subprocess.run([sys.executable, "-c", script], env=setting, cwd=where, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == repr(scores(names, 40, 2))


@pytest.mark.nightly
@pytest.mark.parametrize(("parts", "disguise"), [("all", "actions"), ("small", "both"), ("grids", "both"), ("bandits", "both")])
def test_no_assumption_is_forgotten_in_a_set_that_has_a_name(parts, disguise):
    """Told of random play, which leaves more open than who finds things out."""
    tasks = metarl_envs.tasks("Mixture", parts=parts, disguise=disguise, held_out="none")
    count = 100
    run = live(Random(), tasks.variant, tasks.sample(count, seed=0), np.arange(count), episodes=2)[0]
    written = run.columns()
    turns = Turns(references_of(tasks.variant)["which_part_inferring"], tasks.variant, run.seeds)
    after = _observations(tasks.variant, written)[1].view(np.ndarray)
    for t, step in enumerate(steps_of(run)):
        turns.act(step, after[:, max(t - 1, 0)], np.ones(count, np.bool_))
    told = turns._memories.view(np.ndarray)
    for name in parts_at(tasks.variant.p).by_name:
        assert not told[name]["forgotten"].any(), name
    assert np.isfinite(told["evidence"].max(axis=1)).all(), "what it is in was never ruled out"
    assert (told["evidence"].argmax(axis=1) == run.tasks["which"]).mean() > 0.9
