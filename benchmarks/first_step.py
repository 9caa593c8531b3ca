"""One fresh process: what it takes to get to the first step. Prints seconds as JSON; startup_time.py runs it."""

import importlib
import json
import sys
import time

seconds = {}
then = time.perf_counter()
for name in "gymnasium", "metarl_envs", "numba":
    importlib.import_module(name)
    now = time.perf_counter()
    seconds[f"import {name}"], then = now - then, now

import gymnasium as gym  # noqa: E402  (imported above, under the clock)

if sys.argv[1] == "single":
    env = gym.make("MetaRL/DarkRoom-v0")
    env.reset(seed=0)
    env.step(0)
else:
    envs = gym.make_vec("MetaRL/DarkRoom-v0", num_envs=4)
    envs.reset(seed=0)
    envs.step([0, 0, 0, 0])
print(json.dumps({**seconds, "first step": time.perf_counter() - then}))
