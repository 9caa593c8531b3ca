"""Families made of families: a small mixture of a room and a bandit, each of which is what it is alone."""

import json
import os
import pickle
import subprocess
import sys
from pathlib import Path

import gymnasium as gym
import numpy as np
import pytest
from gymnasium import spaces
from numpy.testing import assert_equal

import metarl_envs
from metarl_envs import histories, task_sets
from metarl_envs.engine import PLAIN, Integer, kernel, randint, record
from metarl_envs.engine.composing import Composed, PartParameters, by_part, family_at, paths_in, spec_of
from metarl_envs.families.bandits.bernoulli import BernoulliBandit
from metarl_envs.families.grids.dark_room import DarkRoom
from metarl_envs.learners import Random
from metarl_envs.testing.runs import trajectory_hash

HERE = Path(__file__).parent
ID = "test_composing:Test/Mixture-v0"
HORIZON = 12


class Mixture(Composed):
    """A task of one of several families, in one space: an action beyond a part's own counts as it does modulo their number.

    Observations are numbers from 0 on, those of a shorter part with zeros behind them.
    """

    __module__ = "test_composing"  # under which other processes import it, too

    @classmethod
    def bindings(cls, parts):
        """Records with a field for each part, and kernels that lead to the part that the task names."""
        count, horizon = len(parts), min(part.horizon for part in parts.values())
        actions = np.array([part.actions for part in parts.values()])
        sample, step, observe = (by_part(name, parts) for name in ("sample_task", "step", "observe"))

        @kernel
        def one_of_the_parts(params, task, rng):
            task.which = randint(rng, count)
            sample(params, task, rng)

        @kernel
        def step_by_own_actions(params, task, state, action, rng):
            return step(params, task, state, action % actions[task.which], rng)

        @kernel
        def see_with_zeros_behind(params, task, state, obs):
            for i in range(len(obs)):
                obs[i] = 0
            observe(params, task, state, obs)

        return {
            "params": PartParameters(parts, horizon=Integer(horizon, 1)),
            "task": record(which=np.int64, **{name: part.task for name, part in parts.items()}),
            "state": record(**{name: part.state for name, part in parts.items()}),
            "sample_task": one_of_the_parts,
            "reset": by_part("reset", parts),
            "step": step_by_own_actions,
            "observe": see_with_zeros_behind,
        }

    @classmethod
    def spaces(cls, p):
        """As long as the longest observation, and as many actions as the part that has the most."""
        length = max(part.observation.shape[0] for part in cls.parts.values())
        most = max(part.actions for part in cls.parts.values())
        return spaces.Box(0, 100, (length,), np.float32), spaces.Discrete(most)


PARTS = {"room": DarkRoom.with_params(size=5, horizon=HORIZON), "bandit": BernoulliBandit.with_params(arms=3, horizon=HORIZON)}
MIXED = Mixture.of(PARTS)
SPEC = spec_of(MIXED)
sys.modules["test_composing"] = sys.modules[__name__]
metarl_envs.register("Test/Mixture-v0", SPEC)


# ------------------------------------------------------------------------------------------------- it is its parts
@pytest.mark.parametrize("name", PARTS)
def test_a_task_of_the_mixture_is_lived_as_in_its_own_family(name):
    part = PARTS[name]
    env = gym.make(ID).unwrapped
    alone = gym.make(f"metarl_envs:MetaRL/{part.name}-v0", **part.values).unwrapped
    tasks = env.tasks.sample(20, seed=3)
    task = next(row for row in tasks if list(PARTS)[row["which"]] == name)
    seen, _ = env.reset(seed=7, options={"task": task})
    told, _ = alone.reset(seed=7, options={"task": np.array(task[name])})
    for action in np.random.default_rng(0).integers(0, part.actions, HORIZON):
        length = np.ravel(told).size
        assert_equal(seen[:length], np.ravel(told))
        assert not seen[length:].any()
        seen, *stepped, _ = env.step(int(action))
        told, *expected, _ = alone.step(int(action))
        assert stepped == expected


def test_parts_come_up_equally_often_and_their_tasks_as_in_their_families():
    rows = metarl_envs.tasks(ID).sample(2000, seed=1)
    assert abs((rows["which"] == 0).mean() - 0.5) < 0.04
    goals = rows["room"]["goal"][rows["which"] == 0]
    assert len(np.unique(goals, axis=0)) == 25
    assert not rows["room"]["goal"][rows["which"] == 1].any(), "what is not drawn is zero"
    assert abs(rows["bandit"]["chance"][rows["which"] == 1].mean() - 0.5) < 0.03


def test_actions_beyond_a_parts_own_are_taken_modulo():
    env = gym.make(ID).unwrapped
    bandit = next(row for row in env.tasks.sample(20, seed=3) if row["which"] == 1)
    paid = []
    for action in (1, 4):
        env.reset(seed=0, options={"task": bandit})
        paid.append([env.step(action)[1] for _ in range(HORIZON)])
    assert paid[0] == paid[1]


@pytest.mark.skipif(PLAIN, reason="nothing is compiled")
def test_plain_and_compiled_are_the_same():
    script = f"import test_composing as t; print(t.trajectory_hash({ID!r}))"
    setting = {**os.environ, "NUMBA_DISABLE_JIT": "1"}
    done = subprocess.run([sys.executable, "-c", script], env=setting, cwd=HERE, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == trajectory_hash(ID)


# ------------------------------------------------------------------------------------------------- its spec
def test_the_spec_is_json_and_names_the_same_family():
    assert family_at(json.loads(json.dumps(SPEC))) is MIXED
    assert spec_of(MIXED) == SPEC
    assert set(paths_in(SPEC)) == {
        "test_composing:Mixture",
        "metarl_envs.families.grids.dark_room:DarkRoom",
        "metarl_envs.families.bandits.bernoulli:BernoulliBandit",
    }
    assert spec_of(DarkRoom) == "metarl_envs.families.grids.dark_room:DarkRoom"


def test_other_parts_are_another_family():
    other = Mixture.of({**PARTS, "bandit": BernoulliBandit.with_params(arms=4, horizon=HORIZON)})
    assert other is not Mixture.of(PARTS)
    assert other.with_params() is not Mixture.of(PARTS).with_params()
    assert Mixture.of(dict(PARTS)) is Mixture.of(PARTS)


def test_environments_variants_and_specs_are_copied_by_their_spec():
    assert pickle.loads(pickle.dumps(MIXED)) is MIXED
    assert pickle.loads(pickle.dumps(MIXED.with_params())) is MIXED.with_params()
    env = gym.make(ID)
    again = gym.make(gym.envs.registration.EnvSpec.from_json(env.spec.to_json()))
    assert_equal(again.reset(seed=4)[0], env.reset(seed=4)[0])


def test_task_sets_and_stores_name_the_spec(tmp_path):
    some = metarl_envs.tasks(ID)[:30]
    some.save(tmp_path / "some")
    assert json.loads((tmp_path / "some.json").read_text())["family"] == SPEC
    assert task_sets.load(tmp_path / "some").fingerprint == some.fingerprint
    kept = histories.collect(ID, Random(), histories=2, steps=HORIZON, out=tmp_path / "kept")
    assert kept.about["family"] == SPEC


@pytest.mark.parametrize(
    "spec",
    [
        {"family": "os:system", "parts": {"a": {"family": "os:path", "params": {}}}},
        {"family": "test_composing:Mixture", "parts": {"a": {"family": "no_such_module:X", "params": {}}}},
        {"family": "test_composing:Mixture", "parts": {"a": {"family": SPEC["parts"]["room"]["family"]}}},
        {"family": "test_composing:Mixture", "parts": {}},
        {"family": "test_composing:Mixture", "parts": {"a b": SPEC["parts"]["room"]}},
        {"family": SPEC["parts"]["room"]["family"], "parts": {"a": SPEC["parts"]["room"]}},
        {"family": "test_composing:Mixture"},
    ],
)
def test_a_file_that_names_another_spec_is_refused(tmp_path, spec):
    metarl_envs.tasks(ID)[:3].save(tmp_path / "some")
    about = json.loads((tmp_path / "some.json").read_text())
    (tmp_path / "some.json").write_text(json.dumps({**about, "family": spec}))
    with pytest.raises(ValueError, match="family="):
        task_sets.load(tmp_path / "some")
    assert "no_such_module" not in sys.modules
