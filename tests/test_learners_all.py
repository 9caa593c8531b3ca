"""What holds for every learner: it learns, its internals are what they are said to be, and it is the same in plain mode."""

import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

import metarl_envs
from metarl_envs.histories import collect
from metarl_envs.learners import LEARNERS

ROOT = Path(__file__).parents[1]
ROOM, MDP = "MetaRL/DarkRoom-v0", "MetaRL/TabularMDP-v0"
BERNOULLI, GAUSSIAN, LINEAR = "MetaRL/BernoulliBandit-v0", "MetaRL/GaussianBandit-v0", "MetaRL/LinearBandit-v0"
#: The family in which each learner is tried.
HOME = {
    "random": ROOM,
    "q_learning": ROOM,
    "q_lambda": ROOM,
    "double_q": ROOM,
    "count_bonus_q": ROOM,
    "neural_q": ROOM,
    "sarsa": ROOM,
    "actor_critic": ROOM,
    "reinforce": ROOM,
    "epsilon_greedy": BERNOULLI,
    "gradient_bandit": GAUSSIAN,
    "ucb1": BERNOULLI,
    "thompson": BERNOULLI,
    "gaussian_thompson": GAUSSIAN,
    "lin_ucb": LINEAR,
    "psrl": MDP,
    "ucrl2": MDP,
    "noise_annealed": ROOM,
    "dpt_behaviour": BERNOULLI,
}
#: They do not get better, in the mean over tasks.
NEVER_LEARN = ("random", "dpt_behaviour")
#: They plan in each episode, which takes ordinary Python long.
PLANNERS = ("psrl", "ucrl2")
#: More pulls than the ten of the default, and no more than are needed.
PARAMS = {BERNOULLI: {"horizon": 100}, GAUSSIAN: {"horizon": 100}, LINEAR: {"horizon": 100}}
LIFE = {ROOM: 1200, MDP: 300}


def lives(name, count):
    """Learning histories at home with everything recorded."""
    learner, id = LEARNERS[name](), HOME[name]
    params = PARAMS.get(id, {})
    steps = LIFE.get(id, 100)
    return learner, collect(id, learner, histories=count, steps=steps, internals=list(learner.internals), **params)


def test_every_learner_has_a_home():
    assert HOME.keys() == LEARNERS.keys(), "say in HOME in which family a new learner learns"


@pytest.mark.parametrize("name", LEARNERS)
def test_every_learner_is_on_both_pages_and_has_a_curve(name):
    """But for random play, which is the zero of all curves."""
    pages = {
        "docs/learners.md": rf"^\| `{name}` \|",
        "docs/api/learners.md": rf"^::: metarl_envs\.learners\.{LEARNERS[name].__name__}$",
        "examples/learner_curves.py": rf'"{name}"',
    }
    for page, line in pages.items():
        told = re.search(line, (ROOT / page).read_text(), flags=re.MULTILINE)
        assert told or (name == "random" and "examples" in page), f"{page} does not name {name}: see CONTRIBUTING, A learner"


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in LEARNERS if name not in NEVER_LEARN])
def test_it_is_above_random_and_below_the_oracle_by_its_interval(name):
    id = HOME[name]
    result = metarl_envs.evaluate(id, [name], tasks=60, seeds=5, **PARAMS.get(id, {}))
    aulc = result.summaries[name].aulc
    assert aulc.low > 0.1
    assert aulc.high < 1
    assert result.summaries[name].gain.low > 0


@pytest.mark.parametrize("name", NEVER_LEARN)
def test_who_never_learns_earns_what_random_does(name):
    result = metarl_envs.evaluate(HOME[name], [name], tasks=60, seeds=5, lifetimes=5, **PARAMS.get(HOME[name], {}))
    assert abs(result.summaries[name].aulc.mean) < 0.06


@pytest.mark.slow
@pytest.mark.parametrize("name", LEARNERS)
def test_what_it_tells_of_its_choices_is_how_it_chooses(name):
    """Over many steps, each action is taken as often as the told chances say."""
    _, lived = lives(name, 20)
    if "probabilities" not in lived.columns:
        pytest.skip("its chances have no cheap closed form")
    chance = np.concatenate([h["probabilities"] for h in lived]).astype(np.float64)
    log_prob = np.concatenate([h["log_prob"] for h in lived])
    action = np.concatenate([h["action"] for h in lived]).astype(int)
    np.testing.assert_allclose(chance.sum(axis=1), 1, atol=1e-5)
    taken = chance[np.arange(len(action)), action]
    assert taken.min() > 0
    np.testing.assert_allclose(log_prob, np.log(taken), atol=1e-5)
    for a in range(chance.shape[1]):
        surprise, variance = ((action == a) - chance[:, a]).sum(), (chance[:, a] * (1 - chance[:, a])).sum()
        assert abs(surprise) <= 4.5 * np.sqrt(variance) + 1e-6 * len(action)
    logs = np.log(np.maximum(chance, 1e-30))
    entropy = -(chance * logs).sum(axis=1)
    variance = np.maximum((chance * logs**2).sum(axis=1) - entropy**2, 0).sum()
    assert abs((log_prob + entropy).sum()) <= 4.5 * np.sqrt(variance) + 1e-5 * len(action)


@pytest.mark.parametrize(
    "name",
    [
        name if name in PLANNERS else pytest.param(name, marks=pytest.mark.plain)
        for name in LEARNERS
        if "visits" in LEARNERS[name].internals
    ],
)
def test_visits_are_how_often_it_was_done_before(name):
    learner, lived = lives(name, 2)
    for h in lived:
        where = [() if learner.bandits_only else tuple(np.atleast_1d(seen)) for seen in h["observation"]]
        done = {}
        for n, what in enumerate(zip(where, h["action"].tolist(), strict=True)):
            assert h["visits"][n] == done.get(what, 0)
            done[what] = done.get(what, 0) + 1
        assert max(done.values()) > 3


@pytest.mark.plain
def test_the_td_error_is_what_the_told_values_say():
    learner, lived = lives("q_learning", 2)
    for h in lived:
        q, rows = h["q"].astype(np.float64), np.arange(h.steps - 1)
        moved = (h["observation"][:-1] != h["observation"][1:]).any(axis=1) & ~h["truncated"][:-1]
        expected = h["reward"][:-1] + learner.p.discount * q[1:].max(axis=1) - q[rows, h["action"][:-1]]
        np.testing.assert_allclose(h["td_error"][:-1][moved], expected[moved], atol=1e-5)
        assert moved.sum() > 100


@pytest.mark.plain
def test_what_ucb1_tells():
    _, lived = lives("ucb1", 3)
    for h in lived:
        for n in range(h.steps):
            for arm in range(5):
                paid = h["reward"][:n][h["action"][:n] == arm]
                if not len(paid):
                    assert np.isnan(h["q"][n, arm])
                    assert np.isinf(h["bonus"][n, arm])
                    continue
                assert h["q"][n, arm] == pytest.approx(paid.mean(), rel=1e-5)
                assert h["bonus"][n, arm] == pytest.approx(np.sqrt(2 * np.log(n + 1) / len(paid)), rel=1e-5)


@pytest.mark.plain
def test_what_thompson_sampling_tells():
    _, lived = lives("thompson", 3)
    for h in lived:
        for n in (0, 3, 50, 99):
            for arm in range(5):
                paid = h["reward"][:n][h["action"][:n] == arm]
                posterior = stats.beta(1 + paid.sum(), 1 + len(paid) - paid.sum())
                assert (h["a"][n, arm], h["b"][n, arm]) == posterior.args
                assert h["posterior_mean"][n, arm] == pytest.approx(posterior.mean(), rel=1e-5)
                assert h["posterior_sd"][n, arm] == pytest.approx(posterior.std(), rel=1e-5)


@pytest.mark.parametrize("name", PLANNERS)
def test_what_learners_of_models_tell_of_rewards(name):
    """The normal posterior of the mean reward of each action in the state visited: N(1, 1) at first, noise 1."""
    _, lived = lives(name, 2)
    for h in lived:
        for n in (0, 17, 299):
            for a in range(5):
                paid = h["reward"][:n][(h["observation"][:n] == h["observation"][n]) & (h["action"][:n] == a)]
                assert h["posterior_mean"][n, a] == pytest.approx((1 + paid.sum()) / (1 + len(paid)), abs=1e-5)
                if name == "psrl":
                    assert h["posterior_sd"][n, a] == pytest.approx((1 + len(paid)) ** -0.5, rel=1e-5)


@pytest.mark.slow
def test_the_example_draws_them_all(tmp_path):
    pytest.importorskip("tyro")
    example = Path(__file__).parents[1] / "examples" / "learner_curves.py"
    if not example.exists():
        pytest.skip("no examples here")
    arguments = ["--tasks=2", "--episodes=4", "--seeds=2", "--lifetimes=1", "--out=out"]
    made = subprocess.run([sys.executable, "-W", "error", example, *arguments], cwd=tmp_path, capture_output=True, text=True)
    assert made.returncode == 0, made.stderr
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"bandits.png", "mdps.png", "table.md"}
    table = (tmp_path / "out" / "table.md").read_text()
    assert not [name for name in LEARNERS if name != "random" and f"| {name} |" not in table]
    page = example.parents[1] / "docs" / "learners.md"
    assert not [name for name in LEARNERS if f"`{name}`" not in page.read_text()]


ALL_LIVES = """
import hashlib, sys
import numpy as np
sys.path.insert(0, sys.argv[1])
from test_learners_all import HOME, PARAMS
from metarl_envs.histories import collect
from metarl_envs.learners import LEARNERS
for name, learner in LEARNERS.items():
    params = PARAMS.get(HOME[name], {})
    lived = collect(HOME[name], learner(), histories=2, steps=60, internals=list(learner.internals), **params)
    digest = hashlib.sha256(b"".join(np.ascontiguousarray(h[column]).tobytes() for h in lived for column in lived.columns))
    print(name, digest.hexdigest(), sep="/")
"""


@pytest.mark.slow
def test_every_learner_and_all_that_it_tells_is_the_same_compiled_and_plain():
    compiled, plain = (
        subprocess.run(
            [sys.executable, "-c", ALL_LIVES, str(Path(__file__).parent)],
            env={**os.environ, "NUMBA_DISABLE_JIT": off},
            capture_output=True,
            text=True,
        )
        for off in ("0", "1")
    )
    assert compiled.returncode == plain.returncode == 0, compiled.stderr + plain.stderr
    assert compiled.stdout.split() == plain.stdout.split()
    assert len(compiled.stdout.split()) == len(LEARNERS)
