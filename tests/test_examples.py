"""The examples run, shortened, and show what they promise, without a warning."""

import os
import subprocess
import sys

import numpy as np
import pytest

from tests.an_example import EXAMPLES, load

pytestmark = pytest.mark.slow
if not EXAMPLES.exists():  # tests of an installed wheel, run from elsewhere
    pytest.skip("no examples here", allow_module_level=True)
pytest.importorskip("tyro", reason='needs tyro (pip install "metarl-envs[examples]")')

#: By example: what shortens it, what it needs, and words that it prints.
EVERY = {
    "quickstart.py": ("--episodes 3 --num-envs 8 --steps 20", "", "trial_start million oracle_return fingerprint"),
    "in_context_curve.py": ("--tasks 3 --seeds 2 --episodes 10 --out out", "matplotlib", "mine sweep oracle"),
    "play_and_score.py": ("--policy q_learning --trials 2 --lives 5", "", "q_learning sweep oracle"),
    "patch_activations.py": ("--episodes 12 --luck 1", "", "ad-darkroom swapped lives count"),
    "bandit_diagnostics.py": ("--lives 20", "", "SuffFailFreq greedy ideal 1,000"),
    "recurrent_ppo_rl2.py": (
        "--seeds 0 --total-steps 4000 --num-envs 16 --rollout 50 --lifetimes 1 --out out",
        "torch matplotlib",
        "update RL²",
    ),
    "ppo_boxes.py": (
        "--seeds 0 1 --invention-steps 1200 --amnesia-steps 1200 --rows 6 --n-steps 200 --batch-size 300 --boxes 4 --out out",
        "stable_baselines3 matplotlib",
        "never_repeat PPO notes_best_path",
    ),
    "apprentice.py": ("--quick --out out", "torch matplotlib", "bigram days snippets HazardBox stated"),
    "diversity_makes_learners.py": ("--quick --out out", "torch matplotlib", "ad_gate rl2_gate gate stated source"),
    "bigger_imitates_smaller.py": ("--quick --out out", "torch matplotlib", "student weights beyond"),
    "imitate_then_reinforce.py": ("--quick --out out", "torch matplotlib", "anchored svo self_interested stated"),
    "regression_transformer.py": (
        "--steps 20 --tasks 8 --width 8 --layers 1 --out out",
        "torch matplotlib",
        "error bits most like",
    ),
    "sb3_ppo_rl2.py": (
        "--seeds 0 1 --total-steps 4000 --num-envs 16 --n-steps 50 --batch-size 400 --lifetimes 1 --out out",
        "stable_baselines3 matplotlib",
        "paid PPO forgets",
    ),
}
#: Examples that spend a short look on compiling: they are run as ordinary Python.
PLAINLY = {"diversity_makes_learners.py", "bigger_imitates_smaller.py"}
#: Examples that other tests run.
ELSEWHERE = {
    "scripted_endpoint.py",
    "add_a_family.py",
    "learner_curves.py",
    "algorithm_distillation.py",
    "decision_pretrained_transformer.py",
    "probe_q_values.py",
    "export_networks.py",
}


def run(name, arguments, folder):
    command = [sys.executable, "-W", "error", EXAMPLES / name, *arguments.split()]
    settings = {**os.environ, "COLUMNS": "140", "PYTHONIOENCODING": "utf-8"}
    if name in PLAINLY:
        settings["NUMBA_DISABLE_JIT"] = "1"
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
    told = [line for line in result.stderr.splitlines() if not line.startswith("metarl_envs: compiling")]
    assert not told
    assert not [word for word in words.split() if word not in result.stdout], result.stdout
    if "--out" in arguments:
        out = tmp_path / "out"
        if "--quick" in arguments:  # a short look lies beside the real thing, never over it
            assert [path.name for path in out.iterdir()] == ["quick"]
            out = out / "quick"
        written = {path.name for path in out.iterdir()}
        made_once = {
            name
            for name in written
            if name.endswith(".pt") or name.startswith(("runs", "amnesia", "hazard_", "lives_", "ad_", "rl2_", "source_"))
        }
        assert written - made_once == {"result.json", "scores.npz", "curves.png"}


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
    result = metarl_envs.evaluate("MetaRL/DarkRoom-v0", {"mine": agent}, size=5, tasks=20, episodes=60, seeds=5)
    assert result.summaries["mine"].gain.low > 0


def test_the_policy_in_boxes_takes_items_of_a_kind_alike_and_never_what_the_mask_forbids():
    torch = pytest.importorskip("torch")
    pytest.importorskip("stable_baselines3")
    from metarl_envs import boxes
    from metarl_envs.boxes.study.measures import levels_of

    example = load("ppo_boxes.py")
    params = {"bases": 4, "levels": 2, "width": 2, "recipes": 1, "notes": 3, "horizon": 60, "free_reading": True}
    envs = boxes.make_vec("AmnesiaBox", 32, flat=True, **params)
    seen, _ = envs.reset(seed=0)
    rng = np.random.default_rng(0)
    for _ in range(40):  # until some notes are written
        seen, *_ = envs.step(np.array([rng.choice(np.flatnonzero(mask)) for mask in seen["action_mask"]]))
    box = envs.boxes.variant.p
    items, planes = len(levels_of(box)), 3
    assert seen["observation"][:, items : planes * items].any()  # the notes mark something

    torch.manual_seed(0)
    policy = example.KindPolicy(
        envs.single_observation_space,
        envs.single_action_space,
        lambda _: 1e-3,
        net_arch=[],
        features_extractor_class=example.Kinds,
        features_extractor_kwargs={"box": box, "hidden": 8},
    )
    torch.nn.init.normal_(policy.action_net.weight)
    torch.nn.init.normal_(policy.verb_net.weight)

    def chances(observation, mask):
        obs = {"observation": torch.as_tensor(observation), "action_mask": torch.as_tensor(mask)}
        with torch.no_grad():
            return policy.get_distribution(obs).distribution.probs.numpy()

    before = chances(seen["observation"], seen["action_mask"])
    assert (before[seen["action_mask"] == 0] == 0).all()
    assert before[:, :items].std() > 0.01
    place = np.arange(items)  # items of each level change places
    for level in range(3):
        place[levels_of(box) == level] = rng.permutation(np.flatnonzero(levels_of(box) == level))
    assert (place != np.arange(items)).any()
    moved, mask = seen["observation"].copy(), seen["action_mask"].copy()
    for plane in range(planes):
        moved[:, plane * items + place] = seen["observation"][:, plane * items : (plane + 1) * items]
    mask[:, place] = seen["action_mask"][:, :items]
    notes = moved[:, planes * items + len(example.SENSES) :][:, : 4 * box.notes].reshape(-1, box.notes, 4)
    told = np.rint(notes[..., 1:] * (items + 1)).astype(int)  # 0 is nothing
    notes[..., 1:] = np.concatenate([[0], place + 1])[told] / (items + 1)
    at = planes * items + len(example.SENSES)
    moved[:, at : at + 4 * box.notes] = notes.reshape(len(moved), -1)
    after = chances(moved, mask)
    np.testing.assert_allclose(after[:, place], before[:, :items], atol=1e-5)
    np.testing.assert_allclose(after[:, items:], before[:, items:], atol=1e-5)
