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
from metarl_envs.histories import lifetime_returns

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


def test_who_is_told_the_part_beats_every_heuristic_and_random_and_the_oracle_beats_it():
    earned = scores()
    assert abs(earned["random"].mean()) < 0.03
    assert abs(earned["oracle"].mean() - 1) < 0.03
    others = set(earned) - {"oracle", "random", "which_part"}
    assert len(others) == 3
    for name in others:
        lead = earned["which_part"] - earned[name]
        assert lead.mean() > 5 * lead.std() / np.sqrt(TASKS), f"{name} earns {earned[name].mean():.3f}"
    assert 0.3 < earned["which_part"].mean() < 0.7, "one part has no heuristic, and no heuristic knows the task"


def test_references_earn_the_same_compiled_and_plain():
    script = "from tests.test_mixture_references import scores; print(repr(scores(['which_part', 'oracle'], 40, 2)))"
    setting = {**os.environ, "NUMBA_DISABLE_JIT": "1"}
    where = Path(__file__).parents[1]
    done = subprocess.run([sys.executable, "-c", script], env=setting, cwd=where, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == repr(scores(["which_part", "oracle"], 40, 2))
