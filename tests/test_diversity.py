"""What the examples on diversity, and on students bigger than their source, say of scores: on scores that are made up.

That they run is tested in test_examples.py.
"""

import importlib
import json
from types import SimpleNamespace

import numpy as np
import pytest

from tests.an_example import EXAMPLES

pytestmark = pytest.mark.slow
if not EXAMPLES.exists():  # tests of an installed wheel, run from elsewhere
    pytest.skip("no examples here", allow_module_level=True)
pytest.importorskip("tyro", reason='needs tyro (pip install "metarl-envs[examples]")')
torch = pytest.importorskip("torch")
pytest.importorskip("matplotlib")


@pytest.fixture
def diversity(monkeypatch):
    """The example, imported as it imports others."""
    monkeypatch.syspath_prepend(EXAMPLES)
    return importlib.import_module("diversity_makes_learners")


@pytest.fixture
def students(monkeypatch):
    """The other one."""
    monkeypatch.syspath_prepend(EXAMPLES)
    return importlib.import_module("bigger_imitates_smaller")


def judged(name, by_seed, **others):
    """A verdict on two tasks, with A of each seed: intact, and on unseen disguises."""
    from metarl_envs.evaluation.statistics import over_seeds_and_tasks

    values = {"intact": by_seed, "unseen_disguise": by_seed, **others}
    arrays = {row: np.stack([np.array(given), np.array(given) + 0.1], axis=1) for row, given in values.items()}
    rows = [
        SimpleNamespace(name=row, adaptation=over_seeds_and_tasks(array[:, :, None, None])) for row, array in arrays.items()
    ]
    return SimpleNamespace(name=name, adaptations=arrays, rows=rows, as_json=lambda: {"class": name}, memoryless=0.0)


def of_ad(diversity, *named, gate=0.5):
    """Verdicts on the transformer for the gate and for N = 4, 16, 64: A rises by about .1 with each doubling."""
    found = {diversity.Trained("ad", 0): judged("reward learning", [gate] * 3)}
    for i, name in enumerate(named):
        found[diversity.Trained("ad", 4 ** (i + 1))] = judged(name, [0.2 * i, 0.2 * i + 0.1, 0.22 * i])
    return found


def test_a_rise_is_told_by_doubling_with_its_interval_over_seeds(diversity):
    found = of_ad(diversity, "none", "task inference", "task inference")
    rise = diversity.slopes(found, "ad", "unseen_disguise")
    assert rise.mean == pytest.approx((0.1 + 0.1 + 0.11) / 3)
    assert rise.low > 0
    flat = {which: judged("none", [0.1, 0.2, 0.0]) for which in found}
    assert not diversity.slopes(flat, "ad", "unseen_disguise").low > 0
    assert np.isnan(diversity.slopes(found, "rl2", "unseen_disguise").mean)


@pytest.mark.parametrize(
    ("named", "crossing"),
    [
        (("none", "task inference", "reward learning"), 64),
        (("task inference", "reward learning", "reward learning"), 16),
        (("task inference", "reward learning", "mixed"), None),
        (("reward learning",) * 3, None),
        (("none",) * 3, None),
    ],
)
def test_where_verdicts_go_over_to_reward_learning(diversity, named, crossing):
    assert diversity.crossing(of_ad(diversity, *named), "ad") == crossing


def test_what_does_not_pass_the_gate_is_said_to_say_nothing(diversity, capsys, tmp_path):
    args = diversity.Args(only=("ad",), out=tmp_path)
    for gate, said in ((0.5, ": passed"), (0.1, "NOT PASSED: what follows about the AD transformer says nothing")):
        found = of_ad(diversity, "none", "task inference", "reward learning", gate=gate)
        diversity.show(args, found, diversity.save(args, found, dict.fromkeys(diversity.SHOWN, 0.7)))
        assert said in capsys.readouterr().out
        told = json.loads((tmp_path / "result.json").read_text())
        assert told["gate passed"] == {"ad": gate > 0.3}
        assert told["stated"]["ad"]["rises"] == "holds"
        assert told["stated"]["ad"]["reward learning from N on"] == 64
    assert (tmp_path / "curves.png").stat().st_size > 10_000
    assert np.load(tmp_path / "scores.npz")["ad_16/intact"].shape == (3, 2)


def test_each_seed_and_each_n_has_tasks_of_its_own_and_the_gate_has_no_end_of_them(diversity, monkeypatch):
    given = []
    monkeypatch.setattr(diversity.distillation, "imitator_of", lambda settings, seed, learner: given.append(settings))
    args = diversity.Args()
    for pool in (0, 16):
        for seed in (0, 1):
            diversity.agent(args, diversity.Trained("ad", pool), seed)
    assert [(one.params["pool"], one.params["pool_seed"]) for one in given] == [(0, 0), (0, 1), (16, 0), (16, 1)]
    assert [one.params["disguise"] for one in given] == ["none", "none", "both", "both"]
    assert len({one.out for one in given}) == 2
    assert "pool" not in diversity.world(args, True)  # tasks that are judged on are not of it


def test_a_student_keeps_improving_where_the_whole_interval_is_above_the_end_of_what_was_shown(students):
    args = students.Args(shown=10)
    rising = np.tile(np.minimum(np.arange(20) / 20, 0.9), (3, 4, 1, 1)) + np.array([0, 0.1, 0.2])[:, None, None, None]
    told = students.told_of(args, rising)
    assert told["shown"].mean == pytest.approx(0.1 + np.mean([0.4, 0.45]))
    assert told["beyond"].mean == pytest.approx(0.1 + np.minimum(np.arange(15, 20) / 20, 0.9).mean())
    assert students.verdict_on(told["gain"]) == "keeps improving"
    assert students.verdict_on(students.told_of(args, rising[..., ::-1])["gain"]) == "falls"
    shaken = rising * np.array([1, -1, 0.1])[:, None, None, None]
    assert students.verdict_on(students.told_of(args, shaken)["gain"]) == "no change for sure"
    assert students.verdict_on(students.told_of(args, rising[:1])["gain"]) == "undefined"


def test_weights_are_counted(students):
    counts = students.weights(students.Args(students=(8,)), 4)
    # two numbers in nine places each, five actions
    assert counts["source"] == 4 * 18 + 4 + 5 * 4 + 5
    assert counts["student, width 8"] > counts["source"]
