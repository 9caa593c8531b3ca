"""One fresh process: what it takes to get to the first step. Prints seconds as JSON; startup_time.py runs it.

Its arguments are the name of a family or box, and a number of worlds (0: one, as a single environment).
"""

import importlib
import json
import sys
import time

name, worlds = sys.argv[1], int(sys.argv[2])
seconds = {}
then = time.perf_counter()
for module in "gymnasium", "metarl_envs", "numba":
    importlib.import_module(module)
    now = time.perf_counter()
    seconds[f"import {module}"], then = now - then, now

import gymnasium as gym  # noqa: E402  (imported above, under the clock)
import numpy as np  # noqa: E402

from metarl_envs.ids import BOXES  # noqa: E402

processor = time.process_time()
if name in BOXES:
    boxes = importlib.import_module("metarl_envs.boxes")
    if worlds == 0:
        env = importlib.import_module(f"metarl_envs.boxes.{name.removesuffix('Box').lower()}_v0").parallel_env()
        env.reset(seed=0)
        env.step(dict.fromkeys(env.agents, 0))
    else:
        env = boxes.make_vec(name, worlds)
        env.reset(seed=0)
        env.step(np.zeros((worlds, env.num_agents), np.int64))
elif worlds == 0:
    env = gym.make(f"MetaRL/{name}-v0")
    env.reset(seed=0)
    env.step(0)
else:
    env = gym.make_vec(f"MetaRL/{name}-v0", num_envs=worlds)
    env.reset(seed=0)
    env.step(np.zeros(worlds, np.int64))
print(json.dumps({**seconds, "first step": time.perf_counter() - then, "processor": time.process_time() - processor}))
