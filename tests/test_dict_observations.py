"""Observations that are rows: a Dark Room whose agent is told where it is by name."""

import os
import subprocess
import sys
from pathlib import Path

import gymnasium as gym
import numpy as np
import pytest
from gymnasium import spaces
from gymnasium.utils.env_checker import check_env
from gymnasium.vector import AutoresetMode
from numpy.testing import assert_equal

from metarl_envs import histories
from metarl_envs.engine import PLAIN
from metarl_envs.engine.envs.vector import FamilyVectorEnv
from metarl_envs.families.grids.dark_room import DarkRoom
from metarl_envs.learners import QLearning
from metarl_envs.task_sets import TaskSet
from metarl_envs.testing.runs import trajectory_hash
from tests.named_room import ID, NamedRoom

ROOT = Path(__file__).parents[1]
SHORT = {"size": 5, "horizon": 6, "episodes_per_trial": 2}
every_mode = pytest.mark.parametrize("mode", list(AutoresetMode), ids=lambda mode: mode.name)


def test_the_space_is_a_dict_and_what_is_seen_lies_in_it():
    env = gym.make(ID, **SHORT)
    check_env(env.unwrapped, skip_render_check=True)
    seen, _ = env.reset(seed=0)
    assert set(seen) == {"position", "cell", "image"}
    assert env.observation_space.contains(seen)
    assert seen["image"].sum() == 255
    assert seen["image"][tuple(seen["position"])] == 255


def test_each_observation_has_memory_of_its_own():
    env = gym.make(ID, **SHORT)
    first, _ = env.reset(seed=0)
    kept = {name: np.array(value) for name, value in first.items()}
    for action in (1, 2, 3, 4, 2):
        env.step(action)
    assert_equal(first, kept)


@every_mode
def test_rows_are_single_environments(mode):
    envs = gym.make_vec(ID, num_envs=3, autoreset_mode=mode, **SHORT)
    singles = [gym.make(ID, **SHORT) for _ in range(3)]
    seen, _ = envs.reset(seed=5)
    told = [env.reset(seed=5 + i)[0] for i, env in enumerate(singles)]
    rng = np.random.default_rng(0)
    for _ in range(11):  # one step short of the trial's end
        assert envs.observation_space.contains(seen)
        for i, one in enumerate(told):
            assert_equal({name: part[i] for name, part in seen.items()}, one)
        actions = rng.integers(0, 5, 3)
        seen, _, _, _, info = envs.step(actions)
        stepped = [env.step(action) for env, action in zip(singles, actions, strict=True)]
        told = [result[0] for result in stepped]
        for i, result in enumerate(stepped):
            assert_equal({name: part[i] for name, part in info["trial"]["final_obs"].items()}, result[4]["trial"]["final_obs"])


@pytest.mark.parametrize("dense", [False, True])
def test_the_last_observation_of_a_trial_is_told_under_same_step(dense):
    envs = gym.make_vec(ID, num_envs=2, autoreset_mode="SameStep", dense_final_obs=dense, **SHORT)
    twin = gym.make(ID, **SHORT)
    envs.reset(seed=3)
    twin.reset(seed=3)
    for t in range(12):
        *_, info = envs.step(np.array([t % 5, 0]))
        last, *_ = twin.step(t % 5)
    final = {name: part[0] for name, part in info["final_obs"].items()} if dense else info["final_obs"][0]
    assert_equal(final, last)


def plainly_the_same(**kwargs):
    return {name: gym.make(name, ground_truth=True, **SHORT, **kwargs) for name in (ID, "metarl_envs:MetaRL/DarkRoom-v0")}


def test_the_posterior_is_that_of_the_room_whose_observation_it_is():
    """Steps are without chance and the position tells all, so that possible worlds drop out at the same moments."""
    told = {}
    for name, env in plainly_the_same().items():
        env.reset(seed=1)
        told[name] = [env.step(action)[4]["metarl"]["posterior"] for action in (2, 2, 3, 3, 1, 4, 4, 1, 1, 2)]
    assert_equal(*told.values())
    assert told[ID][-1].max() > 1 / 25


def test_snapshots_replay():
    env = gym.make(ID, ground_truth=True, **SHORT).unwrapped
    env.reset(seed=2)
    env.step(1)
    state = env.get_state()
    once = [env.step(action) for action in (2, 3, 4)]
    env.set_state(state)
    assert_equal([env.step(action) for action in (2, 3, 4)], once)


def collected(family, **where):
    return histories.collect(family, QLearning(), histories=3, steps=30, internals=["q"], size=5, horizon=6, **where)


def test_a_learner_lives_as_where_the_same_is_seen_without_names(tmp_path):
    plain, named = collected("DarkRoom"), collected(ID)
    for one, other in zip(plain, named, strict=True):
        for name in ("action", "reward", "q", "terminated", "truncated"):
            assert_equal(other[name], one[name])
        assert_equal(other["observation"]["position"], one["observation"])
        assert_equal(other["observation"]["cell"], one["observation"].astype(np.int64) @ [5, 1])
        assert (other["observation"]["image"].sum(axis=(1, 2)) == 255).all()


def test_a_store_holds_rows_and_gives_windows_of_them(tmp_path):
    collected(ID, out=tmp_path / "named")
    kept = histories.load(tmp_path / "named")
    kept.verify()
    assert_equal(kept[1]["observation"]["image"], collected(ID)[1]["observation"]["image"])
    drawn = kept.sample(4, 5, np.random.default_rng(0))
    assert drawn["observation"]["image"].shape == (4, 5, 5, 5)
    again = histories.save(kept[:2], tmp_path / "again")
    assert_equal(again[0]["observation"]["cell"], kept[0]["observation"]["cell"])


@pytest.mark.parametrize("format", ["arrow", "minari"])
def test_rows_go_out_and_come_back(format, tmp_path, monkeypatch):
    pytest.importorskip({"arrow": "pyarrow", "minari": "minari"}[format])
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path))
    kept = collected(ID)
    target = "metarl/named-v0" if format == "minari" else tmp_path / "named"
    histories.export(kept, target, format)
    back = histories.import_from(target, format, tmp_path / "store")
    assert back.columns["observation"] == kept.columns["observation"]
    for one, other in zip(kept, back, strict=True):
        for name in one.columns:
            assert_equal(other[name], one[name])
        assert_equal(other.final_observation, one.final_observation)


def test_minari_has_rows_as_dicts_and_makes_their_environment(tmp_path, monkeypatch):
    minari = pytest.importorskip("minari")
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path))
    kept = collected(ID)
    histories.export(kept, "metarl/named-v0", "minari")
    dataset = minari.load_dataset("metarl/named-v0")
    env = dataset.recover_environment()
    assert dataset.observation_space == env.observation_space
    [first, *_] = dataset.iterate_episodes()
    assert_equal(first.observations["image"][:-1], kept[0].episode(0)["observation"]["image"])
    assert_equal(first.observations["position"][-1], kept[0].episode(0)["final_observation"]["position"])


def test_a_format_without_rows_refuses_them_and_says_what_can_be_done(tmp_path):
    pytest.importorskip("h5py")
    with pytest.raises(ValueError, match="rows of cell, image, position: 'arrow' and 'minari' hold rows"):
        histories.export(collected(ID), tmp_path / "elsewhere", "xland")


@pytest.mark.skipif(PLAIN, reason="nothing is compiled")
def test_plain_and_compiled_are_the_same():
    params = {"size": 5, "horizon": 6}
    script = f"from metarl_envs.testing.runs import trajectory_hash; print(trajectory_hash({ID!r}, **{params}))"
    setting = {**os.environ, "NUMBA_DISABLE_JIT": "1"}
    done = subprocess.run([sys.executable, "-c", script], env=setting, cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == trajectory_hash(ID, **params)


def test_another_space_is_refused_by_name():
    class Tupled(DarkRoom):
        """Dark Room in a tuple."""

        @staticmethod
        def spaces(p):
            """No space that drivers write."""
            return spaces.Tuple([spaces.Discrete(3)]), DarkRoom.spaces(p)[1]

    with pytest.raises(TypeError, match="observation space Tuple"):
        FamilyVectorEnv(TaskSet.of_family(Tupled), num_envs=2)


@pytest.mark.plain
def test_players_and_runs_have_observations_by_name():
    from metarl_envs.players import Seat
    from metarl_envs.players.lifetimes import live

    shown = []

    class Follows:
        """Acts by the cell alone, which a moment tells as a number."""

        def __init__(self, **told):
            assert isinstance(told["observation_space"], spaces.Dict)

        def act(self, moment):
            shown.append(moment.observation)
            return int(moment.observation["cell"] + moment.observation["image"].argmax()) % 5

    class FollowAll(Follows):
        def act(self, step):
            return (step.observation["cell"] + step.observation["image"].reshape(len(step.trial_start), -1).argmax(axis=1)) % 5

    variant = TaskSet.of_family(NamedRoom, size=3, horizon=4, once=True).variant
    rows = TaskSet.of_family(NamedRoom, size=3, horizon=4, once=True).rows(3)
    one, scores = live(Seat(Follows), variant, rows, np.arange(3), episodes=3)
    many, _ = live(FollowAll, variant, rows, np.arange(3), episodes=3)
    assert np.array_equal(one.actions, many.actions)
    assert one.scores().tobytes() == scores.tobytes()
    seen = one.columns().columns["observation"]
    assert set(seen.dtype.names) == {"position", "cell", "image"}
    assert sum(one.steps) == len(shown)
    assert_equal(seen["image"][0, 0], shown[0]["image"])
