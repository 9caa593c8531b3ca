"""What is compiled, and what is loaded from files that other processes wrote, is what Python computes.

Each test runs the same specs in fresh processes: plain, compiled, and loaded from a warm cache, in different orders.
"""

import json
import os
import random
import subprocess
import sys
from pathlib import Path

import pytest

from metarl_envs.engine.compiling import cache
from metarl_envs.engine.compiling.kernels import PLAIN
from metarl_envs.engine.family import load_family
from metarl_envs.ids import TABLE, family_of
from metarl_envs.learners import LEARNERS

pytestmark = pytest.mark.skipif(PLAIN, reason="plain mode compiles nothing")

#: Prints one hash for each spec that it is given as JSON: of all columns that are collected, or of a trajectory.
SCRIPT = """
import hashlib, importlib, json, sys
from metarl_envs.histories import collect
from metarl_envs.learners import LEARNERS
from metarl_envs.testing import trajectory_hash

def collected(id, learner, internals=(), labels=(), params={}, hyper={}):
    what = {"histories": 2, "steps": 40, "seed": 3, "internals": internals, "labels": labels, "split": None}
    lived = collect(id, LEARNERS[learner](**hyper), **what, **params)
    digest = hashlib.sha256()
    for history in lived:
        for name in sorted(history.columns):
            digest.update(name.encode() + history[name].tobytes())
    return digest.hexdigest()

specs = json.loads(sys.argv[1])
for module in sys.argv[2:]:
    importlib.import_module(module)
for spec in specs:
    print(collected(**spec) if "learner" in spec else trajectory_hash(spec["id"], **spec["params"]))
"""


def run(specs, folder, *modules, plain=False, prelude=""):
    """The hash of each spec, computed in this order in one fresh process that has imported these modules of `folder`."""
    path = os.pathsep.join([str(folder), *filter(None, [os.environ.get("PYTHONPATH")])])
    setting = {
        "NUMBA_CACHE_DIR": str(folder),
        "PYTHONPATH": path,
        "PYTHONDONTWRITEBYTECODE": "1",
        "NUMBA_DISABLE_JIT": str(int(plain)),
    }
    command = [sys.executable, "-c", prelude + SCRIPT, json.dumps(specs), *modules]
    result = subprocess.run(command, env={**os.environ, **setting}, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    return result.stdout.splitlines()


def compiled_files(folder):
    return {path.name: path.stat().st_mtime_ns for path in Path(folder, "metarl_envs").glob("*.bin")}


#: Who plans in rooms, or learns by a network, takes ordinary Python minutes: so these are small.
SMALL_BOX = {"horizon": 40, "levels": 2}
SMALL_NETWORK = {"hidden": 3, "replayed": 1, "kept": 20}
ROOM = {"id": "MetaRL/DarkRoom-v0", "learner": "q_learning", "hyper": {"epsilon": 0.3}}


@pytest.mark.slow
def test_internals_of_equal_shapes_are_not_taken_for_one_another(tmp_path):
    specs = [{**ROOM, "internals": ["q", "epsilon"]}, {**ROOM, "internals": ["q", "log_prob"]}]
    true = run(specs, tmp_path, plain=True)
    assert run(specs, tmp_path) == true
    written = compiled_files(tmp_path)
    assert run(specs[::-1], tmp_path) == true[::-1]
    assert compiled_files(tmp_path) == written, "the second time, everything came from the cache"


#: A learner `counter`, which counts its steps and records the count; the amount is for a test to write.
COUNTER = """
import numpy as np
from metarl_envs.engine import Internal, Player, kernel, record
from metarl_envs.learners import LEARNERS

@kernel
def always_the_first(hyper, memory, seen, rng):
    return 0

@kernel
def count(hyper, memory, seen, action, reward, terminated, truncated, then, rng):
    memory.count += AMOUNT

@kernel
def tell_count(hyper, memory, seen, action, out):
    out[0] = memory.count

class Counter(Player):
    act, learn, internals = always_the_first, count, {"count": Internal(tell_count)}

    @staticmethod
    def memory(p, variant):
        return record(count=np.int64)

LEARNERS["counter"] = Counter
"""


@pytest.mark.slow
def test_an_edited_learner_is_not_run_as_it_was_beside_labels(tmp_path):
    spec = {"id": ROOM["id"], "learner": "counter", "internals": ["count"], "labels": ["optimal_action"]}
    for amount in (1, 100):
        (tmp_path / "counting.py").write_text(COUNTER.replace("AMOUNT", str(amount)))
        assert run([spec], tmp_path, "counting") == run([spec], tmp_path, "counting", plain=True)


#: Two families of equal rows, whose `step` comes from one factory.
TWINS = """
import numpy as np
from gymnasium.spaces import Discrete
import metarl_envs
from metarl_envs.engine import Family, Integer, Parameters, kernel, record

def paying(amount):
    @kernel
    def pay(params, task, state, action, rng):
        state.steps += 1
        return amount * task.sign, False
    return pay

@kernel
def either_sign(params, task, rng):
    task.sign = 1

@kernel
def begin(params, task, state, rng):
    state.steps = 0

@kernel
def see_nothing(params, task, state, obs):
    obs[0] = 0

class One(Family):
    params = Parameters(horizon=Integer(5, 1))
    task, state = record(sign=np.int64), record(steps=np.int64)
    sample_task, reset, step, observe = either_sign, begin, paying(1.0), see_nothing

    @staticmethod
    def spaces(p):
        return Discrete(1), Discrete(2)

class Other(One):
    step = paying(2.0)

metarl_envs.register("Twin/One-v0", "twins:One")
metarl_envs.register("Twin/Other-v0", "twins:Other")
"""


@pytest.mark.slow
def test_families_that_differ_in_a_closure_are_not_taken_for_one_another(tmp_path):
    """Each is compiled in a process of its own, where numbers count alike; a third process loads both."""
    (tmp_path / "twins.py").write_text(TWINS)
    specs = [{"id": "Twin/One-v0", "params": {}}, {"id": "Twin/Other-v0", "params": {}}]
    true = run(specs, tmp_path, "twins", plain=True)
    assert true[0] != true[1]
    assert [run([spec], tmp_path, "twins")[0] for spec in specs] == true
    written = compiled_files(tmp_path)
    for order in (1, -1):
        assert run(specs[::order], tmp_path, "twins") == true[::order]
    assert compiled_files(tmp_path) == written, "the second time, everything came from the cache"


@pytest.mark.slow
def test_companions_of_a_box_are_not_taken_for_one_another(tmp_path):
    specs = [
        {"id": "MetaRL/InventionBox-v0", "params": {**SMALL_BOX, "companions": who}} for who in ("waiting", "random", "oracle")
    ]
    true = run(specs, tmp_path, plain=True)
    assert len(set(true)) == len(true)
    for i, spec in enumerate(specs):  # each after the others were compiled elsewhere
        assert run([specs[i - 1], spec], tmp_path) == [true[i - 1], true[i]]
    assert run(specs, tmp_path) == true
    assert run(specs[::-1], tmp_path) == true[::-1]


# ------------------------------------------------------------------------------------------------- parts of other drivers
#: Says on stderr how many parts were taken from disk.
COUNTED = """
import atexit, sys
from metarl_envs.engine.compiling import numba_parts
taken = []
cache = numba_parts._part_cache()
rebuilt = cache._rebuilt
cache._rebuilt = lambda *given: taken.append(rebuilt(*given)) or taken[-1]
atexit.register(lambda: print(f"{len(taken)} parts taken"))
"""


@pytest.mark.slow
def test_a_driver_of_parts_that_another_process_left_is_what_python_computes(tmp_path):
    first, second = ({"id": "DarkRoom", "learner": learner} for learner in ("random", "q_learning"))
    run([first], tmp_path)
    parts = list((tmp_path / "metarl_envs").glob("part-*.bin"))
    digest, taken = run([second], tmp_path, prelude=COUNTED)
    assert [digest] == run([second], tmp_path, plain=True)
    assert 0 < int(taken.split()[0]) <= len(parts)


@pytest.mark.slow
def test_parts_that_do_not_open_are_compiled_anew(tmp_path):
    first, second = ({"id": "DarkRoom", "learner": learner} for learner in ("random", "sarsa"))
    run([first], tmp_path)
    parts = list((tmp_path / "metarl_envs").glob("part-*.bin"))
    for n, part in enumerate(parts):
        content = cache._read(part)
        cache._write(part, content[: len(content) // 2] if n % 2 else b"no part")
    digest, taken = run([second], tmp_path, prelude=COUNTED)
    assert [digest] == run([second], tmp_path, plain=True)
    assert taken == "0 parts taken"


def drawn_specs(rng, count):
    """Random pairs of a family and a learner that can live in it, with random internals and labels; and trajectories."""
    specs = []
    while len(specs) < count:
        id, name = rng.choice(TABLE).id, rng.choice(list(LEARNERS))
        family = load_family(family_of(id))
        params = SMALL_BOX if "Box" in id else {"size": 4} if "size" in family.params.parameters else {}
        variant = family.with_params(**params)
        hyper = SMALL_NETWORK if name == "neural_q" else {}
        learner = LEARNERS[name](**hyper)
        if learner.why_unsuitable(variant) is not None:
            specs.append({"id": id, "params": params})
            continue
        internals = rng.sample(list(learner.internals), rng.randint(0, min(2, len(learner.internals))))
        labels = ["optimal_action"] if "oracle" in variant.family.references and rng.random() < 0.5 else []
        about = {"internals": internals, "labels": labels, "params": params, "hyper": hyper}
        specs.append({"id": id, "learner": name, **about})
    return specs


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(2))
def test_random_pairs_loaded_in_a_fresh_process_are_what_python_computes(seed, tmp_path):
    rng = random.Random(seed)
    specs = drawn_specs(rng, 8)
    true = dict(enumerate(run(specs, tmp_path, plain=True)))
    halves = rng.sample(range(8), 8)
    for half in (halves[:4], halves[4:]):  # two processes compile, in which Numba's numbers count alike
        assert run([specs[i] for i in half], tmp_path) == [true[i] for i in half]
    order = rng.sample(range(8), 8)
    assert run([specs[i] for i in order], tmp_path) == [true[i] for i in order]


# ------------------------------------------------------------------------------------------- another Numba
#: What a future version of Numba might do to the parts of it that are not public.
CHANGES = {
    "parts": "import numba.core.compiler, numba.core.typed_passes as t; del t.NativeLowering\n",
    "cache": "import numba.core.compiler as c; del c.CompileResult._rebuild\n",
    "quick": (
        "import numba.core.ir as ir; found = ir.Inst._rec_list_vars\n"
        "ir.Inst._rec_list_vars = lambda self, value, depth=0: found(self, value)\n"
        "ir.Stmt.list_vars = lambda self: self._rec_list_vars(self.__dict__, 1)\n"
    ),
    "options": (
        "import numba; njit = numba.njit\n"
        "def without(*given, **options):\n"
        "    if '_nrt' in options: raise KeyError('unrecognized option: _nrt')\n"
        "    return njit(*given, **options)\n"
        "numba.njit = without\n"
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("changed", CHANGES)
def test_a_numba_that_is_different_inside_gives_the_same_results_and_one_warning(changed, tmp_path):
    specs = [{**ROOM, "internals": ["q", "epsilon"]}, {"id": "MetaRL/PointRobot-v0", "params": {}}]
    true = run(specs, tmp_path, plain=True)
    count = "import warnings; told = []; warnings.showwarning = lambda message, *rest: told.append(str(message))\n"
    check = "import atexit; atexit.register(lambda: print(len(told), *told, sep='|', file=sys.stdout))\n"
    *results, told = run(specs, tmp_path, prelude=f"import sys\n{count}{check}{CHANGES[changed]}")
    assert results == true
    assert told.startswith("1|")
    assert "Results are the same" in told
