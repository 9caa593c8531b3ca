"""How players explore: each diagnostic against loops over single pulls, and the figures of known players."""

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

import metarl_envs
from metarl_envs.evaluation import diagnostics
from metarl_envs.histories import collect
from metarl_envs.learners import UCB1, EpsilonGreedy, GaussianThompson, QLearning, Thompson
from metarl_envs.players import Wrapped
from metarl_wrappers import VectorPermuteActions

GAP = "MetaRL/GapBandit-v0"
THOMPSON, GREEDY = Thompson(), EpsilonGreedy(epsilon=0.0)
CONSTANT, TEXTBOOK, BANDITBENCH = UCB1(bonus="constant"), UCB1(), UCB1(exploration=0.5)


# ------------------------------------------------------------------------------------------------- definitions
def some_lives(lives=60, steps=17, arms=4, seed=0):
    """Any actions and rewards. Few values, so that means are often equal; in some lives arms are left out or all alike."""
    draw = np.random.default_rng(seed)
    actions = draw.integers(arms, size=(lives, steps))
    actions[::3] %= 2
    means = draw.integers(3, size=(lives, arms)) / 2
    means[0] = 0.5
    return actions, draw.integers(2, size=(lives, steps)).astype(float), means


def by_loops(actions, rewards, means, since):
    """One life, pull by pull, in Python alone."""
    arms, steps = len(means), len(actions)
    best = [arm for arm in range(arms) if means[arm] == max(means)]
    greedy, surplus, choices, tried = [], 0.0, 0, []
    for t in range(steps):
        paid = {arm: [rewards[k] for k in range(t) if actions[k] == arm] for arm in range(arms)}
        so_far = {arm: sum(all) / len(all) for arm, all in paid.items() if all}
        highest = [arm for arm in so_far if so_far[arm] == max(so_far.values())]
        if t:
            greedy.append(actions[t] in highest)
        counts = {arm: len(paid[arm]) for arm in highest}
        if len(set(counts.values())) > 1 and actions[t] in highest:
            most = [arm for arm in highest if counts[arm] == max(counts.values())]
            choices += 1
            surplus += (actions[t] in most) - len(most) / len(highest)
        tried.append(len(set(actions[: t + 1])) / arms)
    worth = sum(means[arm] for arm in actions)
    spread = max(means) - min(means)
    return {
        "failed": not any(arm in best for arm in actions[since:]),
        "min_fraction": arms * min(list(actions).count(arm) for arm in range(arms)) / steps,
        "greedy": np.mean(greedy),
        "coverage": tried[-1],
        "optimal": np.mean([arm in best for arm in actions]),
        "reward": (worth / steps - min(means)) / spread if spread else np.nan,
        "regret": steps * max(means) - worth,
        "equals": choices,
        "frequent": surplus,
        "coverage so far": tried,
    }


@pytest.mark.parametrize("since", [None, 0, 13])
def test_every_diagnostic_is_what_loops_over_single_pulls_say(since):
    actions, rewards, means = some_lives()
    found = diagnostics.of_lives(actions.astype(np.int8), rewards, means, since)
    expected = [by_loops(*life, 8 if since is None else since) for life in zip(actions, rewards, means, strict=True)]
    assert sum(life["equals"] for life in expected) > 50
    for name in ("failed", "min_fraction", "greedy", "coverage", "optimal", "reward", "regret", "equals", "frequent"):
        np.testing.assert_allclose(getattr(found, name), [life[name] for life in expected], atol=1e-12, err_msg=name)
    np.testing.assert_allclose(diagnostics.coverage(actions, 4), [life["coverage so far"] for life in expected])


def test_the_share_of_failures_is_told_from_every_step_on():
    actions = np.array([[1, 0, 1, 0, 0], [0, 0, 0, 0, 0], [0, 0, 0, 0, 1]])
    failed = diagnostics.suffix_failures(actions, np.array([[0.4, 0.6]] * 3))
    assert failed.tolist() == [[False, False, False, True, True], [True] * 5, [False] * 5]


def test_a_mean_has_its_standard_error_and_of_one_life_none():
    assert diagnostics.Estimate.of(np.array([0.0, 1.0])) == (0.5, 0.5)
    assert np.isnan(diagnostics.Estimate.of(np.array([1.0])).error)
    bias = diagnostics.of_lives(*some_lives()).frequency_bias
    repeated = [diagnostics.of_lives(*some_lives(seed=seed)).frequency_bias.mean for seed in range(400)]
    assert np.std(repeated) == pytest.approx(bias.error, rel=0.25)


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({"actions": np.zeros((3, 4))}, TypeError, "actions have dtype float64"),
        ({"actions": np.zeros((3, 5), int)}, ValueError, r"\(3, 5\) and rewards \(3, 4\)"),
        ({"actions": np.full((3, 4), 2)}, ValueError, "actions hold 2, which is none of the 2 arms"),
        ({"actions": np.full((3, 4), -1)}, ValueError, "actions hold -1"),
        ({"means": np.zeros((2, 2))}, ValueError, r"means have shape \(2, 2\).*3 lives"),
        ({"since": 4}, ValueError, "since=4 must be below 4"),
        ({"since": 1.0}, TypeError, "since=1.0 must be an integer"),
    ],
)
def test_arrays_that_do_not_go_together_are_refused(change, error, words):
    given = {"actions": np.zeros((3, 4), int), "rewards": np.zeros((3, 4)), "means": np.zeros((3, 2)), "since": None}
    with pytest.raises(error, match=words):
        diagnostics.of_lives(**{**given, **change})


# ------------------------------------------------------------------------------------------------- doors
class Likeliest:
    """The ideal observer, written as a Python agent."""

    def __init__(self, *, num_envs, observation_space, action_space, seed):
        self.ahead = np.zeros((num_envs, action_space.n), int)

    def act(self, step):
        told = np.flatnonzero(~step.trial_start)
        self.ahead[told, step.previous_action[told]] += np.where(step.previous_reward[told] > 0, 1, -1)
        return self.ahead.argmax(axis=1)


def test_python_agents_and_references_explore_the_same_tasks_with_the_same_noise():
    found = diagnostics.compare({"compiled": "ideal_observer", "python": Likeliest}, GAP, lives=40, horizon=50)
    one, other = (vars(explored) for explored in found.values())
    for name in one:
        np.testing.assert_array_equal(one[name], other[name], err_msg=name)
    assert 0.2 < found["python"].optimal.mean() < 1


def test_what_is_pulled_counts_whatever_a_wrapper_makes_of_actions():
    """An agent that learns is as good with its arms exchanged: what it calls them is not what it pulls."""
    policies = {"intact": Likeliest, "permuted": Wrapped(Likeliest, VectorPermuteActions)}
    found = diagnostics.compare(policies, GAP, lives=200, horizon=50, gap=0.5)
    intact, permuted = (explored.optimal.mean() for explored in found.values())
    assert intact > 0.8
    assert permuted == pytest.approx(intact, abs=0.05)


def test_a_bias_of_one_life_has_no_standard_error():
    one = diagnostics.compare(["thompson"], GAP, lives=1, horizon=50)["thompson"]
    assert one.equals.sum() > 0
    assert np.isnan(one.frequency_bias.error)


def test_histories_are_diagnosed_on_the_tasks_that_they_were_lived_on(tmp_path):
    lived = collect(GAP, GREEDY, histories=30, steps=100, split=None, out=tmp_path / "lived", gap=0.5)
    found = diagnostics.of_histories(lived, "GapBandit", gap=0.5, since=60)
    good = lived.actions == lived.tasks["good"][:, None]
    assert (found.optimal == good.mean(axis=1)).all()
    assert (found.failed == ~good[:, 60:].any(axis=1)).all()
    assert found.regret == pytest.approx(0.5 * (~good).sum(axis=1))
    assert found.reward == pytest.approx(found.optimal)
    for id, params in ((GAP, {}), ("BernoulliBandit", {})):
        with pytest.raises(ValueError, match=r"lived in MetaRL/GapBandit-v0 with \{'arms': 5, 'gap': 0.5"):
            diagnostics.of_histories(lived, id, **params)


def test_the_means_of_arms_are_those_of_any_bandit():
    for id, name in (("BernoulliBandit", "chance"), ("GaussianBandit", "mean"), ("LinearBandit", "mean")):
        tasks = metarl_envs.tasks(id)
        rows = tasks.sample(3)
        assert diagnostics.means_of_arms(tasks.variant, rows) == pytest.approx(rows[name])
    tasks = metarl_envs.tasks(GAP, gap=0.5)
    (means,) = diagnostics.means_of_arms(tasks.variant, tasks.row({"good": 3}))
    assert means.tolist() == [0.25, 0.25, 0.25, 0.75, 0.25]


@pytest.mark.parametrize(
    ("policies", "id", "given", "words"),
    [
        (QLearning(), "DarkRoom", {}, "DarkRoom is no bandit"),
        ("model_free", "TwoStep", {}, "TwoStep is no bandit"),
        ("thompson", "GaussianBandit", {}, "'thompson' does not suit GaussianBandit"),
        (GaussianThompson(), GAP, {"lives": 0}, "lives=0 must be an integer of at least 1"),
        (THOMPSON, GAP, {"seed": -1}, "seed=-1"),
    ],
)
def test_what_cannot_be_compared_is_refused(policies, id, given, words):
    with pytest.raises(ValueError, match=words):
        diagnostics.compare(policies, id, **given)


def test_equal_arms_have_no_scale_and_no_arm_fails():
    found = diagnostics.compare([THOMPSON], GAP, lives=10, gap=0.0)["thompson"]
    assert np.isnan(found.reward).all()
    assert (found.optimal == 1).all()
    assert not found.failed.any()
    assert not found.regret.any()


# ------------------------------------------------------------------------------------------------- known players
#: Simulated before and elsewhere in NumPy, 4,000 lives each: failed, K MinFrac, GreedyFrac, reward, its median.
FIGURES = {
    (5, 0.2): {
        "thompson": (THOMPSON, 0.007, 0.283, 0.57, 0.441, 0.46),
        "constant": (CONSTANT, 0.025, 0.180, 0.72, 0.524, 0.57),
        "greedy": (GREEDY, 0.466, 0.051, 0.96, 0.457, 0.46),
        "textbook": (TEXTBOOK, 0.000, 0.594, 0.39, 0.315, 0.31),
    },
    (4, 0.5): {
        "thompson": (THOMPSON, 0.000, 0.140, 0.85, 0.827, None),
        "constant": (CONSTANT, 0.000, 0.093, 0.91, 0.880, None),
        "greedy": (GREEDY, 0.201, 0.041, 0.97, 0.761, None),
    },
}
#: BanditBench's tasks, 1,000 lives of 1,000 pulls: OptFrac, regret, failed.
LONG = {
    (5, 0.2): {"ucb": (BANDITBENCH, 0.805, 39.1, 0), "ts": (THOMPSON, 0.842, 31.7, 0), "greedy": (GREEDY, 0.509, 98.2, 0.479)},
    (20, 0.2): {
        "ucb": (BANDITBENCH, 0.295, 141.1, 0),
        "ts": (THOMPSON, 0.379, 124.2, 0),
        "greedy": (GREEDY, 0.397, 120.7, 0.559),
    },
    (5, 0.5): {"ucb": (BANDITBENCH, 0.954, 22.9, 0), "ts": (THOMPSON, 0.965, 17.6, 0), "greedy": (GREEDY, 0.773, 113.7, 0.222)},
    (20, 0.5): {
        "ucb": (BANDITBENCH, 0.784, 108.0, 0),
        "ts": (THOMPSON, 0.838, 80.8, 0),
        "greedy": (GREEDY, 0.718, 140.9, 0.257),
    },
}


def assert_near(values, figure, figure_lives, digit):
    """The mean is within four standard errors of the difference, and half of the last digit that was printed."""
    values = np.asarray(values, float)
    error = values.std() * np.sqrt(1 / len(values) + 1 / figure_lives)
    assert abs(values.mean() - figure) <= 4 * error + digit / 2, f"{values.mean():.4f} +- {error:.4f}, not {figure}"


@pytest.mark.parametrize(
    ("arms", "gap"), [pytest.param(5, 0.2), pytest.param(4, 0.5, marks=pytest.mark.slow)], ids=["small gap", "large gap"]
)
def test_known_players_explore_as_they_did_elsewhere(arms, gap):
    figures = FIGURES[arms, gap]
    policies = {name: told[0] for name, told in figures.items()}
    found = diagnostics.compare(policies, GAP, lives=4000, arms=arms, gap=gap)
    for name, (_, failed, fraction, greedy, reward, median) in figures.items():
        assert_near(found[name].failed, failed, 4000, 0.001)
        assert_near(found[name].min_fraction, fraction, 4000, 0.001)
        assert_near(found[name].greedy, greedy, 4000, 0.01)
        assert_near(found[name].reward, reward, 4000, 0.001)
        if median is not None:  # between its bounds, as many lives lie below
            slack = 4 * 0.5 * np.sqrt(2 / 4000)
            assert (
                (found[name].reward < median - 0.005).mean() - slack
                <= 0.5
                <= (found[name].reward <= median + 0.005).mean() + slack
            )


@pytest.mark.slow
@pytest.mark.parametrize(("arms", "gap"), LONG)
def test_known_players_of_a_thousand_pulls(arms, gap):
    policies = {name: told[0] for name, told in LONG[arms, gap].items()}
    found = diagnostics.compare(policies, GAP, lives=1000, arms=arms, gap=gap, horizon=1000)
    for name, (_, optimal, regret, failed) in LONG[arms, gap].items():
        assert_near(found[name].optimal, optimal, 1000, 0.001)
        assert_near(found[name].regret, regret, 1000, 0.1)
        assert_near(found[name].failed, failed, 1000, 0.001)


@pytest.mark.nightly
@pytest.mark.slow
def test_mean_regret_alone_misleads():
    """With 20 arms, the greedy player has the lowest regret in the mean, and fails in more than half of its lives."""
    policies = {"ucb": BANDITBENCH, "thompson": THOMPSON, "greedy": GREEDY}
    found = diagnostics.compare(policies, GAP, lives=4000, arms=20, gap=0.2, horizon=1000)
    for other in ("ucb", "thompson"):
        saved = diagnostics.Estimate.of(found[other].regret - found["greedy"].regret)
        assert saved.mean > 2 * saved.error
        assert found[other].failed.mean() < 0.005
    assert found["greedy"].failed.mean() > 0.5


def test_habit_is_told_from_breaking_ties_at_random():
    class Habit:
        """Of the arms of the best mean, the one that it has pulled most."""

        def __init__(self, *, num_envs, observation_space, action_space, seed):
            self.pulls, self.paid = np.zeros((2, num_envs, action_space.n))

        def act(self, step):
            told = np.flatnonzero(~step.trial_start)
            self.pulls[told, step.previous_action[told]] += 1
            self.paid[told, step.previous_action[told]] += step.previous_reward[told]
            mean = np.where(self.pulls > 0, self.paid / np.maximum(self.pulls, 1), np.inf)
            return np.where(mean == mean.max(axis=1, keepdims=True), self.pulls, -1).argmax(axis=1)

    found = diagnostics.compare({"habit": Habit, "greedy": GREEDY, "ucb": CONSTANT}, GAP, lives=1000)
    bias = {name: explored.frequency_bias for name, explored in found.items()}
    assert abs(bias["greedy"].mean) < 4 * bias["greedy"].error < 0.06
    assert bias["habit"].mean > 0.4
    assert bias["ucb"].mean < -0.4


@pytest.mark.parametrize("learner", [GREEDY, CONSTANT], ids=str)
def test_every_arm_is_pulled_once_first_and_in_any_order(learner):
    actions = collect(GAP, learner, histories=3000, steps=100, split=None).actions[:, :5]
    assert (np.sort(actions, axis=1) == np.arange(5)).all()
    for k in range(5):
        assert stats.chisquare(np.bincount(actions[:, k], minlength=5)).pvalue > 1e-4


def test_the_table_has_a_row_a_player():
    lines = diagnostics.table(diagnostics.compare(["thompson", "oracle"], GAP, lives=50)).splitlines()
    assert [line.count("|") for line in lines] == [10] * 4
    assert lines[3].startswith("| oracle | 0.000 ± 0.000 | 0.000 ± 0.000 | 1.000 ± 0.000 | 0.200 ± 0.000 | - | 1.000 ± 0.000 |")


ROOT = Path(__file__).parents[1]


@pytest.mark.nightly
@pytest.mark.skipif(not (ROOT / "docs").exists(), reason="no pages here")
def test_the_page_shows_what_its_command_prints():
    pytest.importorskip("tyro", reason='needs tyro (pip install "metarl-envs[examples]")')
    page = (ROOT / "docs" / "diagnostics.md").read_text()
    (command,) = re.findall(r"^    python (examples/.*)$", page, flags=re.MULTILINE)
    run = subprocess.run([sys.executable, ROOT / command], capture_output=True, encoding="utf-8", check=True)
    assert run.stdout.strip() in page
    (code,) = re.findall(r"```python\n(.*?)```", page, flags=re.DOTALL)
    exec(compile(code, "diagnostics.md", "exec"), found := {})
    assert set(found["found"]) == {"greedy", "thompson", "ideal observer"}
