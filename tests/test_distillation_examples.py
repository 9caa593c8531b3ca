"""The examples on distillation run, shortened; their caches, masks, windows and facts are what they are said to be."""

import importlib
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import metarl_envs
from metarl_envs import histories

pytestmark = pytest.mark.slow
EXAMPLES = Path(__file__).parents[1] / "examples"
if not EXAMPLES.exists():  # tests of an installed wheel, run from elsewhere
    pytest.skip("no examples here", allow_module_level=True)
pytest.importorskip("tyro", reason='needs tyro (pip install "metarl-envs[examples]")')
torch = pytest.importorskip("torch")

SHORT = (
    "--seeds 0 1 --updates 3 --histories 30 --lived 12 --episodes 11 --context 3 --batch 2 --lifetimes 1 --tasks 4 --out out"
)


@pytest.fixture
def examples(monkeypatch):
    """The three, imported as they import one another."""
    monkeypatch.syspath_prepend(EXAMPLES)
    names = ("algorithm_distillation", "decision_pretrained_transformer", "probe_q_values")
    return [importlib.import_module(name) for name in names]


def test_they_run(tmp_path):
    for name, more, printed in (
        ("algorithm_distillation.py", "", "seed 1, shuffled: update 3/3|AD, forgets each episode|source learner|gain"),
        ("probe_q_values.py", " --lives 8 --pairs 8", "visited cells|random network|after 80|probes.png"),
        ("decision_pretrained_transformer.py", " --out dpt", "seed 1, dpt: update 3/3|DPT, swapped reward|offline"),
    ):
        pytest.importorskip("matplotlib")
        command = [sys.executable, "-W", "error", EXAMPLES / name, *(SHORT + more).split()]
        settings = {**os.environ, "COLUMNS": "140", "PYTHONIOENCODING": "utf-8"}
        result = subprocess.run(command, cwd=tmp_path, env=settings, capture_output=True, encoding="utf-8")
        assert result.returncode == 0, result.stderr
        assert not [words for words in printed.split("|") if words not in result.stdout], result.stdout
    found = json.loads((tmp_path / "out" / "result.json").read_text())
    assert found["seeds"] == [0, 1]
    assert len(found["policies"]) == 6
    pairs = json.loads((tmp_path / "out" / "probes" / "probes.json").read_text())["pairs"]
    before = np.array([by_seed["decisions"][:20] for by_seed in pairs], float)
    assert np.nanmax(before) == 0  # until something differs, two lives with the same luck are one


def test_other_settings_do_not_get_an_old_model(examples, tmp_path):
    ad, *_ = examples
    args = ad.Args(updates=1, histories=20, lived=12, context=2, batch=1, out=tmp_path)
    weights = ad.distilled(args, 0).state_dict()
    again = ad.distilled(args, 0).state_dict()
    assert all(torch.equal(weights[name], again[name]) for name in weights)
    args.learning_rate = 1e-4
    with pytest.raises(SystemExit, match="other settings"):
        ad.distilled(args, 0)


def model_of(ad, context, rotary=True):
    args = ad.Args(context=context)
    model = ad.untrained(args, seed=3, rotary=rotary)
    for parameter in model.parameters():  # large enough to matter
        torch.nn.init.normal_(parameter, std=0.2)
    return model


def lives(count, steps, seed=0, **settings):
    learner = metarl_envs.learners.QLearning(step_size=1.0)
    return histories.collect("MetaRL/DarkRoom-v0", learner, histories=count, steps=steps, seed=seed, **settings)


@pytest.mark.parametrize("context", [2, 5])  # with 2 episodes to look back on, 100 steps go twice around the ring
def test_the_cache_says_what_the_whole_sequence_says(examples, context):
    ad, *_ = examples
    model, store = model_of(ad, context), lives(3, 100)
    tokens = model.tokens.of_histories({name: store.stack(name) for name in ad.TRANSITION})
    cache = ad.Cache(3, model.window, *model.shape)
    with torch.no_grad():
        whole = model(tokens)
        stream = torch.stack([model.step(tokens[:, t], cache) for t in range(100)], dim=1)
    assert (whole - stream).abs().max() < 1e-4
    assert whole.std() > 0.1


def test_a_row_that_forgets_is_as_new(examples):
    ad, *_ = examples
    model, store = model_of(ad, 5), lives(2, 60)
    tokens = model.tokens.of_histories({name: store.stack(name) for name in ad.TRANSITION})
    cache, fresh = ad.Cache(2, model.window, *model.shape), ad.Cache(2, model.window, *model.shape)
    with torch.no_grad():
        for t in range(30):
            model.step(tokens[:, t], cache)
        cache.born[0] = cache.now
        for t in range(30):
            old, new = model.step(tokens[:, t], cache), model.step(tokens[:, t], fresh)
    assert torch.allclose(old[0], new[0], atol=1e-4)
    assert not torch.allclose(old[1], new[1], atol=1e-3)


def test_tokens_of_a_history_are_those_of_the_stream(examples):
    """What the model is trained on is what it sees when it lives by itself."""
    import gymnasium as gym

    from metarl_wrappers import ContextStream

    ad, *_ = examples
    store = lives(1, 60, split="train")
    env = gym.make("metarl_envs:MetaRL/DarkRoom-v0", split="train", episodes_per_trial=3)
    env = ContextStream(env)
    tokens = ad.untrained(ad.Args(), 0).tokens
    wanted = tokens.of_histories({name: store.stack(name) for name in ad.TRANSITION})[0]
    told, _ = env.reset(seed=int(store.seeds[0]))
    for t, action in enumerate(store.actions[0]):
        row = tokens.of_stream({name: value[None] for name, value in told.items()})[0]
        assert torch.allclose(row, wanted[t], atol=1e-6), t
        told, *_ = env.step(int(action))


def test_tokens_of_real_numbers_say_between_which_places_they_lie(examples):
    import gymnasium as gym

    ad, *_ = examples
    actions = gym.spaces.Discrete(3)
    tokens = ad.Tokens(gym.spaces.Box(-1, 1, (2,), np.float32), actions)
    seen = tokens.seen(np.array([[[-1.0, 0.5], [-0.875, 1.0]]], np.float32))
    assert seen.shape == (1, 2, 2 * 9 + 2)
    assert tokens.width == 2 * seen.shape[-1] + 3 + 3
    first, second = seen[0, 0, :9], seen[0, 0, 9:18]
    assert (first.argmax(), second.argmax()) == (0, 6)  # places are a quarter apart
    assert first.max() == second.max() == 1
    between = seen[0, 1, :9]
    assert between[0] == pytest.approx(between[1].item())  # as near to one place as to the next
    assert between[2:].max() < 0.5 * between[0]
    assert seen[0, :, 18:].tolist() == [[-1, 0.5], [-0.875, 1]]
    for space in (gym.spaces.Box(0, np.inf, (2,), np.float32), gym.spaces.Discrete(3)):
        with pytest.raises(SystemExit, match="the observations are"):
            ad.Tokens(space, actions)


def test_windows_are_of_every_third_episode(examples):
    ad, *_ = examples
    args = ad.Args(lived=12, every=3, context=2, batch=4)
    store, rng = lives(5, 240), np.random.default_rng(0)
    kept = np.stack(
        [np.concatenate([life[name][60 * i : 60 * i + 20] for i in range(4)]) for life in store for name in ("reward",)]
    )
    for _ in range(5):
        window = ad.windows(args, store, rng, shuffle=False)
        assert window["observation"].shape == (4, 40, 2)
        for row in window["reward"]:
            found = [(kept[:, i : i + 40] == row).all(axis=1).any() for i in range(41)]
            assert any(found)
    drawn = [ad.windows(args, store, rng, shuffle=True)["observation"] for _ in range(20)]
    starts = np.concatenate(drawn)  # whole episodes come one after the other, so every 20th cell is the centre
    assert ((starts == 4).all(axis=2).reshape(80, 2, 20).any(axis=1)).any()


def test_an_answer_is_the_same_with_and_without_the_cache(examples):
    ad, dpt, _ = examples
    model, store = model_of(ad, 5, rotary=False), lives(2, 60)
    batch = {name: store.stack(name) for name in ad.TRANSITION}
    context = model.tokens.of_histories(batch)[:, 1:]
    agent = dpt.Pretrained(model, 1000, num_envs=2, observation_space=None, action_space=None, seed=0)
    states = model.tokens.alone(batch["observation"][:, :1])
    with torch.no_grad():
        for known in (0, 1, 59):
            agent.cache = ad.Cache(2, 1000, *model.shape)
            for t in range(59):
                model.step(context[:, t], agent.cache)
                if t + 1 == known:
                    agent.until[:] = agent.cache.now
            if known == 0:
                agent.until[:] = 0
            whole = dpt.answers(model, context, states, torch.tensor([known]))[:, 0]
            assert (whole - agent.ask(batch["observation"][:, 0])).abs().max() < 1e-4


def test_facts_are_the_environments_own(examples):
    """Visited cells and the posterior, against the ground truth that the environment tells."""
    import gymnasium as gym

    _, _, probe = examples
    store = lives(1, 100, seed=4, split=None, internals=["q"])
    facts = probe.facts(store, 9)
    env = gym.make("metarl_envs:MetaRL/DarkRoom-v0", episodes_per_trial=5, ground_truth=True)
    _, info = env.reset(seed=int(store.seeds[0]))
    place = np.array([task["goal"] for task in metarl_envs.tasks("MetaRL/DarkRoom-v0")], float)
    for t, action in enumerate(store.actions[0]):
        posterior = info["metarl"]["posterior"]
        some = posterior[posterior > 0]
        assert np.allclose(facts["posterior over goals"][0, t, :2], posterior @ place)
        assert np.allclose(facts["posterior over goals"][0, t, 2], -(some * np.log(some)).sum())
        *_, info = env.step(int(action))


def test_a_probe_finds_what_is_there_and_nothing_else(examples):
    _, _, probe = examples
    rng = np.random.default_rng(0)
    x, x_new = rng.normal(size=(2, 20, 50, 8))
    weights = rng.normal(size=(8, 3))
    assert probe.explained((x, x @ weights + 1), (x_new, x_new @ weights + 1), 1.0) > 0.99
    noise, noise_new = rng.normal(size=(2, 20, 50, 3))
    assert -0.1 < probe.explained((x, noise), (x_new, noise_new), 1.0) < 0.05
