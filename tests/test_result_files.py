"""Results in files: what is loaded is what was saved or is refused, and nothing that is there is lost."""

import json
from dataclasses import replace

import numpy as np
import pytest
from typer.testing import CliRunner

import metarl_envs
from metarl_envs.cli import app
from metarl_envs.evaluation import joined, load
from metarl_envs.evaluation.result_files import digest_of
from metarl_envs.learners import QLearning
from metarl_envs.players import Run
from tests.test_players import ROOM

pytestmark = pytest.mark.plain


def evaluated(policies=("random", "q_learning"), seeds=2, **arguments):
    policies = list(policies) if isinstance(policies, tuple) else policies
    return metarl_envs.evaluate("DarkRoom", policies, tasks=3, episodes=2, seeds=seeds, **ROOM, **arguments)


@pytest.fixture(scope="module")
def result():
    return evaluated()


def rewritten(folder, said=None, forged=False, **arrays):
    """A result some of whose contents are others; `forged`: by somebody who knows how it is sealed."""
    header = json.loads((folder / "result.json").read_text())
    header |= said or {}
    with np.load(folder / "scores.npz") as held:
        kept = {**held, **arrays}
    kept = {name: array for name, array in kept.items() if array is not None}
    if forged:
        header["digest"] = digest_of(header, kept)
    (folder / "result.json").write_text(json.dumps(header))
    np.savez(folder / "scores.npz", **kept)


@pytest.mark.parametrize("forged", [False, True])
@pytest.mark.parametrize(
    "arrays",
    [
        {"oracle_return": np.zeros(7)},
        {"oracle_return": np.full(3, np.nan)},
        {"oracle_return": np.zeros(3)},
        {"oracle_return": None},
        {"random_return": np.array(["a", "b", "c"])},
        {"random_return": np.zeros(3, np.float32)},
        {"memoryless": np.zeros(9)},
        {"random_until": np.zeros((3, 2))},
        {"policies": np.array([1, 2])},
        {"policies": np.array(["random", "random"])},
        {"policies": np.array("random")},
        {"scores": np.zeros((2, 2, 3, 1, 0))},
        {"scores": np.full((2, 2, 3, 1, 2), np.inf)},
    ],
)
def test_arrays_of_a_result_are_checked(result, tmp_path, arrays, forged):
    result.save(tmp_path)
    rewritten(tmp_path, forged=forged, **arrays)
    with pytest.raises(ValueError, match=r"scores\.npz"):
        load(tmp_path)


@pytest.mark.parametrize("forged", [False, True])
@pytest.mark.parametrize(
    "said",
    [
        {"id": "MetaRL/CartPole-v0"},
        {"split": "train"},
        {"seeds": [77, 78]},
        {"seeds": [True, 1]},
        {"seeds": [0]},
        {"params": {}},
        {"runs": ["nobody"]},
        {"policies": {"random": {"policy": "x"}}},
        {"tasks_passed_over": -1},
    ],
)
def test_what_a_result_says_is_checked_against_its_runs(result, tmp_path, said, forged):
    result.save(tmp_path)
    rewritten(tmp_path, said, forged)
    with pytest.raises(ValueError, match=str(tmp_path)):
        load(tmp_path)


def test_what_nothing_else_tells_is_sealed(result, tmp_path):
    result.save(tmp_path)
    rewritten(tmp_path, {"fingerprint": "beef"})
    with pytest.raises(ValueError, match=r"changed since they were written"):
        load(tmp_path)


@pytest.mark.parametrize("kept", [(), ("q_learning",)])
def test_a_result_has_the_runs_that_it_was_saved_with(result, tmp_path, kept):
    result.save(tmp_path)
    some = replace(result, runs={name: result.runs[name] for name in kept})
    written = some.save(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(path.name for path in written)
    again = load(tmp_path)
    assert list(again.runs) == list(kept)
    assert again.as_json() == some.as_json()


@pytest.mark.parametrize("when", ["scores", "runs", "moved"])
def test_a_result_that_is_not_saved_whole_leaves_the_old_one(result, tmp_path, monkeypatch, when):
    result.save(tmp_path)
    (tmp_path / "notes.txt").write_text("mine")
    other = evaluated(seeds=[5])

    def killed(*_, **__):
        raise KeyboardInterrupt

    if when == "moved":
        import os

        rename, calls = os.rename, []

        def at_the_third(*paths):
            calls.append(paths)
            if len(calls) == 4:
                raise KeyboardInterrupt
            rename(*paths)

        monkeypatch.setattr(os, "rename", at_the_third)
    else:
        monkeypatch.setattr(*((np, "savez_compressed") if when == "scores" else (Run, "save")), killed)
    with pytest.raises(KeyboardInterrupt):
        other.save(tmp_path)
    monkeypatch.undo()
    assert load(tmp_path).as_json() == result.as_json()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["notes.txt", "result.json", "runs", "scores.npz"]
    other.save(tmp_path)
    assert load(tmp_path).as_json() == other.as_json()
    assert (tmp_path / "notes.txt").read_text() == "mine"


# ------------------------------------------------------------------------------------------------- who played
class Model:
    """A factory that is an object, such as a trained network."""

    def __init__(self, action):
        self.action = action

    def __call__(self, num_envs, **_):
        action = self.action

        class Plays:
            def act(self, step):
                return np.full(num_envs, action)

        return Plays()


def test_a_factory_that_is_an_object_is_called_by_its_type():
    results = [evaluated({"mine": Model(action)}, seeds=[action]) for action in (0, 1)]
    assert results[0].policies == {"mine": "Model"}
    assert results[0].run("mine").seats == ("Model",)
    assert evaluated({"mine": Model(0)}, seeds=[0]).run("mine").fingerprint == results[0].run("mine").fingerprint
    both = joined(results)
    assert both.run("mine").actions[:, 0].tolist() == [0] * 3 + [1] * 3


def test_joined_results_tell_who_played_in_each(tmp_path):
    both = joined([evaluated({"mine": QLearning(epsilon=chance)}, seeds=[seed]) for seed, chance in enumerate((0.1, 0.2))])
    assert both.policies["mine"] == both.run("mine").seats[0]
    assert both.policies["mine"].count("QLearning(") == 2
    assert " or " in both.policies["mine"]
    both.save(tmp_path)
    assert load(tmp_path).as_json() == both.as_json()


# ------------------------------------------------------------------------------------------------- the command line
def command(folder, *more, seeds=1):
    params = [word for name, value in ROOM.items() for word in ("--param", f"{name}={value}")]
    given = ["evaluate", "DarkRoom", "--policy", "random", "--tasks", "2", "--episodes", "2", "--lifetimes", "1"]
    return CliRunner().invoke(app, [*given, "--seeds", str(seeds), *params, "--out", str(folder), *more])


def test_the_command_replaces_no_other_result_unless_it_is_told_to(tmp_path):
    assert command(tmp_path).exit_code == 0
    assert command(tmp_path).exit_code == 0, "the same again is the same"
    refused = command(tmp_path, seeds=2)
    assert refused.exit_code != 0
    assert "holds a result with other seeds" in str(refused.exception) + refused.output
    assert load(tmp_path).seeds == [0]
    assert command(tmp_path, "--overwrite", seeds=2).exit_code == 0
    assert load(tmp_path).seeds == [0, 1]
    for more in (["--split", "train"], ["--policy", "oracle"], ["--param", "once=true"]):
        assert command(tmp_path, *more, seeds=2).exit_code != 0
