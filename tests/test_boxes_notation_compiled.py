"""Boxes with notes in symbols and in text are the same compiled as in ordinary Python."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from metarl_envs.engine.compiling.kernels import PLAIN

LIVED = """
import hashlib
import numpy as np
from metarl_envs import boxes

class Scribbler:
    def __init__(self, *, seat, action_space, observation_space, seed):
        self.space, self.seen = action_space, hashlib.sha256()
        self.space.seed(seed)
    def act(self, moment):
        SEEN.update(moment.observation["observation"].tobytes() + moment.observation["action_mask"].tobytes())
        return self.space.sample()

small = {"lineages": 1, "levels": 2, "width": 2, "bases": 6, "recipes": 1, "dead_ends": 0.0, "horizon": 60, "day": 20,
         "agents": 2, "notes": 3, "board": 2, "page": 2}
for others, notation in (("coder", {"notation": "symbols", "entry_bytes": 3, "alphabet": 10}),
                         ("random", {"notation": "text", "entry_bytes": 5})):
    SEEN = hashlib.sha256()
    run = boxes.run("AmnesiaBox", {0: boxes.Seat(Scribbler), 1: others}, boxes=3, **small, **notation)
    print(run.fingerprint, *run.endings, SEEN.hexdigest())
"""


@pytest.mark.slow
@pytest.mark.skipif(PLAIN, reason="there is nothing to compare with")
def test_symbols_and_text_are_the_same_compiled_and_plain():
    told = []
    for plain in ("0", "1"):
        command, home = [sys.executable, "-c", LIVED], Path(__file__).parents[1]
        done = subprocess.run(
            command, env={**os.environ, "NUMBA_DISABLE_JIT": plain}, cwd=home, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        told.append(done.stdout)
    assert told[0] == told[1]
    assert len(told[0].splitlines()) == 2
