"""The examples run, shortened, and show what they promise, without a warning."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

pytestmark = pytest.mark.slow
EXAMPLES = Path(__file__).parents[1] / "examples"
if not EXAMPLES.exists():  # tests of an installed wheel, run from elsewhere
    pytest.skip("no examples here", allow_module_level=True)
pytest.importorskip("tyro", reason='needs tyro (pip install "metarl-envs[examples]")')

#: By example: what shortens it, what it needs, and words that it prints.
EVERY = {
    "quickstart.py": ("--episodes 3 --num-envs 8 --steps 20", "", "trial_start million oracle_return fingerprint"),
    "in_context_curve.py": ("--tasks 3 --seeds 2 --episodes 10 --out out", "matplotlib", "mine sweep oracle"),
    "play_and_score.py": ("--policy q_learning --trials 2 --lives 5", "", "q_learning sweep oracle"),
    "recurrent_ppo_rl2.py": (
        "--seeds 0 --total-steps 4000 --num-envs 16 --rollout 50 --lifetimes 1 --out out",
        "torch matplotlib",
        "update RL²",
    ),
    "sb3_ppo_rl2.py": (
        "--seeds 0 1 --total-steps 4000 --num-envs 16 --n-steps 50 --batch-size 400 --lifetimes 1 --out out",
        "stable_baselines3 matplotlib",
        "paid PPO forgets",
    ),
}
#: Examples that other tests run.
ELSEWHERE = {"add_a_family.py"}


def run(name, arguments, folder):
    command = [sys.executable, "-W", "error", EXAMPLES / name, *arguments.split()]
    settings = {**os.environ, "COLUMNS": "140", "PYTHONIOENCODING": "utf-8"}
    return subprocess.run(command, cwd=folder, env=settings, capture_output=True, encoding="utf-8")


def test_every_example_is_run():
    assert {file.name for file in EXAMPLES.glob("*.py")} == {*EVERY, *ELSEWHERE}


@pytest.mark.parametrize("name", EVERY)
def test_it_runs(name, tmp_path):
    arguments, needed, words = EVERY[name]
    for module in needed.split():
        pytest.importorskip(module)
    result = run(name, arguments, tmp_path)
    assert result.returncode == 0, result.stderr
    assert not result.stderr
    assert not [word for word in words.split() if word not in result.stdout], result.stdout
    if "--out" in arguments:
        assert {path.name for path in (tmp_path / "out").iterdir()} == {"result.json", "scores.npz", "curves.png"}


@pytest.mark.parametrize("name", EVERY)
def test_its_first_lines_say_how_to_run_it(name):
    source = (EXAMPLES / name).read_text()
    docstring = source.split('"""')[1]
    assert f"python examples/{name}" in docstring
    assert "tyro.cli(Args)" in source


def test_other_families_too(tmp_path):
    for name, arguments in (
        ("quickstart.py", "--id MetaRL/TMaze-v0 --num-envs 8 --steps 20"),
        ("quickstart.py", "--id MetaRL/PointRobot-v0 --episodes 1 --num-envs 8 --steps 20"),
        ("in_context_curve.py", "--id MetaRL/BernoulliBandit-v0 --episodes 1 --tasks 3 --learners thompson --out out"),
        ("play_and_score.py", "--id MetaRL/BernoulliBandit-v0 --policy thompson --trials 3 --lives 5"),
    ):
        result = run(name, arguments, tmp_path)
        assert result.returncode == 0, result.stderr


def test_a_person_is_scored_for_the_first_time_a_trial_is_played(monkeypatch, capsys):
    """No window: the keys are pressed here."""
    example = load("play_and_score.py")

    def play(game):
        for _ in range(3):
            for key in (lambda: None, game.restart):  # the second time, the task is known
                key()
                while not game.over:
                    game.act(0)
            game.next_trial()
        game.act(0)  # a trial that is left before its end

    monkeypatch.setattr(example, "play", play)
    args = example.Args(seed=1, lives=5)
    tasks, returns = example.a_person_plays(args, episodes=4)
    assert returns.shape == (3, 4)
    here = (tasks["goal"] == 4).all(axis=1)  # who stays at the centre of 9 x 9 cells is paid 20 only if the goal is there
    assert np.array_equal(returns, np.repeat(20.0 * here[:, None], 4, axis=1))
    example.main(args)
    assert "you" in capsys.readouterr().out


def test_who_plays_nothing_is_told_so(monkeypatch):
    example = load("play_and_score.py")
    monkeypatch.setattr(example, "play", lambda game: None)
    with pytest.raises(SystemExit, match="nothing to score"):
        example.main(example.Args())
    with pytest.raises(SystemExit, match="these do: "):
        example.main(example.Args(policy="nobody"))


def test_repeating_the_best_learns_in_context():
    import metarl_envs

    agent = load("in_context_curve.py").RepeatTheBest
    result = metarl_envs.evaluate({"mine": agent}, "MetaRL/DarkRoom-v0", size=5, tasks=20, episodes=60, seeds=5)
    assert result.summaries["mine"].gain.low > 0


def load(name):
    spec = importlib.util.spec_from_file_location(Path(name).stem, EXAMPLES / name)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module
