"""Vector environments whose rows are shared by threads: after a fork, and after they were closed."""

import multiprocessing
import sys

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.error import ClosedEnvironmentError

ROOM = "metarl_envs:MetaRL/DarkRoom-v0"


def step_and_send(envs, connection):
    connection.send(envs.step(np.ones(8, int))[0])


@pytest.mark.skipif(sys.platform == "win32", reason="there is no fork")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_a_forked_child_steps_as_its_parent_does():
    envs = gym.make_vec(ROOM, num_envs=8, num_threads=2)
    envs.reset(seed=0)
    envs.step(np.ones(8, int))  # the threads run
    context = multiprocessing.get_context("fork")
    here, there = context.Pipe()
    child = context.Process(target=step_and_send, args=(envs, there))
    child.start()
    try:
        assert here.poll(60), "the child hangs"
        seen = here.recv()
        child.join(60)
    finally:
        child.kill()
    assert child.exitcode == 0
    assert (seen == envs.step(np.ones(8, int))[0]).all()


@pytest.mark.parametrize("threads", [1, 2])
def test_a_closed_environment_says_so(threads):
    envs = gym.make_vec(ROOM, num_envs=8, num_threads=threads)
    envs.reset(seed=0)
    envs.step(np.ones(8, int))
    envs.close()
    envs.close()
    for call in (lambda: envs.step(np.ones(8, int)), lambda: envs.reset(seed=0)):
        with pytest.raises(ClosedEnvironmentError, match="is closed: make another one"):
            call()
