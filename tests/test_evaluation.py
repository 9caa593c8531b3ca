"""The protocol: same tasks and noise for all, memory rebuilt between lifetimes, honest intervals, whole result files."""

import functools
import io
import json
from dataclasses import replace

import gymnasium as gym
import numpy as np
import pytest
from scipy import stats

import metarl_envs
from metarl_envs.engine import Family, Flag, Integer, Oracle, Parameters, kernel, randint, record
from metarl_envs.evaluation import joined
from metarl_envs.evaluation.references import Scale
from metarl_envs.evaluation.report import draw_curves
from metarl_envs.evaluation.statistics import curve_over_seeds_and_tasks, over_seeds, over_seeds_and_tasks
from metarl_envs.learners import QLearning, Random
from metarl_envs.players import Wrapped
from metarl_wrappers import (
    VectorForgetEachEpisode,
    VectorHideBoundaries,
    VectorHideReward,
    VectorNegateReward,
    VectorPreviousStep,
)

ROOM, BANDIT = "MetaRL/DarkRoom-v0", "MetaRL/BernoulliBandit-v0"


class Walker:
    """Goes right for ever; counts what it is told."""

    made: list["Walker"] = []

    def __init__(self, *, num_envs, observation_space, action_space, seed):
        self.num_envs, self.seed, self.acted = num_envs, seed, 0
        self.told, self.starts, self.first_trial = np.zeros(num_envs), np.zeros(num_envs), np.ones(num_envs, bool)
        self.made.append(self)

    def act(self, step):
        if self.acted == 0:
            assert step.trial_start.all()
            assert (step.previous_action == -1).all()
            assert not step.previous_reward.any()
        self.first_trial &= ~step.trial_start | (self.acted == 0)  # rows that are over go on, on another task
        self.acted += 1
        self.told += step.previous_reward * self.first_trial
        self.starts += step.episode_start
        return np.full(self.num_envs, 2)


@pytest.fixture(autouse=True)
def _no_walkers():
    Walker.made.clear()


def test_python_agents_and_compiled_learners_live_on_the_same_tasks_with_the_same_noise():
    """A random walk drawn in Python from the learner's own stream would differ; a policy without chance must not."""
    sweep = metarl_envs.tasks(ROOM).variant.family.references["oracle"]

    class PythonOracle:
        def __init__(self, *, num_envs, observation_space, action_space, seed):
            self.goals = metarl_envs.tasks(ROOM, split="test").rows(num_envs)["goal"]

        def act(self, step):
            dx, dy = (self.goals - step.observation).T
            return np.where(dx > 0, 2, np.where(dx < 0, 4, np.where(dy > 0, 3, np.where(dy < 0, 1, 0))))

    result = metarl_envs.evaluate(ROOM, {"compiled": sweep, "python": PythonOracle}, episodes=3, seeds=2, lifetimes=2)
    assert (result.raw["compiled"] == result.raw["python"]).all()
    assert np.allclose(result.normalised("python"), 1)


def test_blocks_of_pulls_are_the_same_for_python_agents_and_learners():
    class FirstArm:
        def __init__(self, **_):
            pass

        def act(self, step):
            return np.zeros(len(step.observation), int)

    result = metarl_envs.evaluate(BANDIT, {"first": FirstArm}, tasks=20, seeds=2, lifetimes=200, horizon=40)
    assert result.raw["first"].shape == (2, 20, 200, 20)
    expected = metarl_envs.tasks(BANDIT, split="test", horizon=40).rows(20)["chance"][:, 0] * 40
    assert np.allclose(result.raw["first"].sum(axis=3).mean(axis=(0, 2)), expected, atol=4 * 40**0.5 * 0.5 / 400**0.5)


def test_memory_is_rebuilt_between_lifetimes():
    result = metarl_envs.evaluate(ROOM, {"walker": Walker}, episodes=4, seeds=3, lifetimes=2, size=5)
    assert len(Walker.made) == 6
    assert len({agent.seed for agent in Walker.made}) == 6
    assert all(agent.acted == 80 and (agent.starts == 4).all() for agent in Walker.made)
    assert result.raw["walker"].shape == (3, len(result.scale.random), 2, 4)


def test_the_reward_of_an_episodes_last_step_reaches_the_agent():
    result = metarl_envs.evaluate("MetaRL/DarkRoomHard-v0", {"walker": Walker}, episodes=5, seeds=1, split=None, size=5)
    told = Walker.made[0].told
    earned = result.raw["walker"][0, :, 0].sum(axis=1)
    last_is_never_told = 1.0  # nobody acts after the trial's end
    assert (told[earned > 0] == earned[earned > 0] - last_is_never_told).all()
    assert (earned > 0).sum() == 2


def test_references_are_zero_and_one():
    result = metarl_envs.evaluate(ROOM, ["random", "oracle"], episodes=10, seeds=5, lifetimes=30)
    assert result.summaries["oracle"].aulc.mean == pytest.approx(1)
    assert result.summaries["random"].aulc.mean == pytest.approx(0, abs=0.01)
    assert result.summaries["oracle"].regret == pytest.approx(0)
    assert list(result.summaries) == ["oracle", "random"]


def test_a_family_without_formulas_is_scaled_by_simulation(monkeypatch):
    family = metarl_envs.tasks(ROOM).variant.family
    exact = metarl_envs.evaluate(ROOM, ["random"], episodes=1, seeds=1)
    monkeypatch.setattr(family, "returns", staticmethod(lambda p, task: None))
    simulated = metarl_envs.evaluate(ROOM, ["random"], episodes=1, seeds=1)
    assert np.allclose(simulated.scale.oracle, exact.scale.oracle)
    assert np.allclose(simulated.scale.random, exact.scale.random, atol=0.2)


def test_tasks_without_spread_are_passed_over_and_counted():
    result = metarl_envs.evaluate(ROOM, ["oracle"], split=None, episodes=1, seeds=1, horizon=3)
    assert len(result.scale.random) + result.passed_over == 81
    assert result.passed_over == 81 - 25, "cells that cannot be reached in 3 steps"
    with pytest.raises(ValueError, match="earns"):
        metarl_envs.evaluate(BANDIT, ["oracle"], split=None, tasks=3, low=0.5, high=0.5)


def test_common_random_numbers_pair_policies_and_seeds_differ():
    result = metarl_envs.evaluate(BANDIT, {"a": QLearning(), "b": QLearning(), "c": Random()}, tasks=30, seeds=2, horizon=50)
    assert (result.raw["a"] == result.raw["b"]).all()
    assert (result.raw["a"][0] != result.raw["a"][1]).any()


def test_result_files(tmp_path):
    result = metarl_envs.evaluate(ROOM, ["random", "q_learning"], episodes=5, seeds=2)
    result.save(tmp_path)
    draw_curves(result, tmp_path / "curves.png")
    about = json.loads((tmp_path / "result.json").read_text())
    assert about["fingerprint"] == metarl_envs.tasks(ROOM, split="test").fingerprint
    assert about["versions"]["gymnasium"] == gym.__version__
    assert about["policies"]["q_learning"]["policy"].startswith("QLearning(step_size=")
    with np.load(tmp_path / "scores.npz", allow_pickle=False) as held:
        scores = dict(held)
    assert scores["policies"].tolist() == ["random", "q_learning"]
    assert (scores["scores"][1] == result.raw["q_learning"]).all()
    assert (scores["oracle_return"] == result.scale.oracle).all()
    assert (tmp_path / "curves.png").read_bytes().startswith(b"\x89PNG")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["curves.png", "result.json", "runs", "scores.npz"], (
        "nothing left aside"
    )


def test_one_seed_gives_no_interval_and_valid_json(tmp_path):
    result = metarl_envs.evaluate(ROOM, ["random"], episodes=2, seeds=1)
    result.save(tmp_path)
    aulc = json.loads((tmp_path / "result.json").read_text())["policies"]["random"]["aulc"]
    assert aulc[1:] == [None, None]


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        ({"policies": ["no_such"]}, r"policy 'no_such' does not suit DarkRoom; these do: actor_critic"),
        ({"policies": {"x": 3}}, r"'x' is 3"),
        ({"policies": {}}, "empty"),
        ({"policies": 3}, "policies=3"),
        ({"policies": {1: "random"}}, "the name 1"),
        ({"policies": {"a\nb": "random"}}, r"the name 'a\\nb'"),
        ({"policies": {"": "random"}}, "the name ''"),
        ({"policies": ["random", "random"]}, "two that are called 'random'"),
        ({"policies": [QLearning(), QLearning(step_size=0.5)]}, "two that are called 'q_learning'"),
        ({"policies": QLearning}, r"write QLearning\(\)"),
        ({"seeds": [3, 3 + 2**24, 3]}, "repeats 3"),
        ({"seeds": []}, "seeds is empty"),
        ({"seeds": [0, 1.0]}, r"seeds\[1\]=1.0"),
        ({"seeds": [2**64]}, "below 2"),
        ({"seeds": True}, "seeds=True"),
        ({"tasks": 3.0}, "tasks=3.0"),
        ({"least_spread": 0}, "least_spread=0"),
        ({"least_spread": float("nan")}, "least_spread=nan"),
        ({"split": "tset"}, r"split='tset'"),
        ({"tasks": 0}, "tasks=0"),
        ({"seeds": 0}, "seeds=0"),
        ({"lifetimes": -1}, "lifetimes=-1"),
        ({"episodes": 0}, "episodes=0"),
        ({"id": "MetaRL/Nowhere-v0"}, "Nowhere"),
        ({"size": 1000}, "size=1000"),
        ({"id": BANDIT, "episodes": 2}, "episodes=2"),
    ],
)
def test_bad_arguments_are_refused(arguments, why):
    arguments = {"policies": ["random"], "id": ROOM, **arguments}
    with pytest.raises((ValueError, TypeError), match=why):
        metarl_envs.evaluate(**arguments)


# ------------------------------------------------------------------------------------------------- forms, names, seeds
def test_policies_are_given_alone_in_lists_and_by_name_alike():
    def lived(policies):
        return metarl_envs.evaluate(ROOM, policies, tasks=4, episodes=2, seeds=[np.int64(3)])

    learner = QLearning()
    whole = lived({"q_learning": learner, "Walker": Walker})
    for policies in (learner, "q_learning", [learner], ["q_learning"]):
        one = lived(policies)
        assert list(one.raw) == ["q_learning"]
        assert (one.raw["q_learning"] == whole.raw["q_learning"]).all()
    assert lived(Walker).raw["Walker"].tolist() == lived([Walker, learner]).raw["Walker"].tolist()
    assert metarl_envs.evaluate("DarkRoom", "random", tasks=2, episodes=1, seeds=1).id == ROOM


@pytest.mark.parametrize("name", ["file", "random_return", "scores", "../x", "[/foo]", "_hidden", "$x", "\xb1", ":smile:"])
def test_a_policy_may_have_any_name_of_one_line(name, tmp_path):
    from rich.console import Console

    from metarl_envs.evaluation.report import draw_curves, table

    result = metarl_envs.evaluate(ROOM, {name: "random", "b": "oracle"}, tasks=3, episodes=2, seeds=2)
    result.save(tmp_path)
    with np.load(tmp_path / "scores.npz", allow_pickle=False) as held:
        stored = dict(held)
    assert stored["policies"].tolist() == [name, "b"]
    assert (stored["scores"][0] == result.raw[name]).all()
    assert (stored["random_return"] == result.scale.random).all()
    assert set(json.loads((tmp_path / "result.json").read_text())["policies"]) == {name, "b"}
    assert draw_curves(result, tmp_path / "curves.png").stat().st_size > 10_000
    for width in (120, 40):
        console = Console(width=width, record=True, file=io.StringIO())
        console.print(table(result, width))
        assert name in console.export_text()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["curves.png", "result.json", "runs", "scores.npz"]


@pytest.mark.parametrize("seeds", [[3, 3 + 2**24], [0, 2**63], [2**64 - 1, 7], [1, 2**40 + 1]])
def test_different_seeds_live_different_lives(seeds):
    a, b = metarl_envs.evaluate(ROOM, ["random"], tasks=10, episodes=3, seeds=seeds).raw["random"]
    assert (a != b).any()


def test_lives_of_one_evaluation_have_streams_of_their_own():
    from metarl_envs.evaluation.protocol import _Lives

    variant = metarl_envs.tasks(ROOM).variant
    streams = _Lives(variant, None, np.zeros(30, variant.task), [0, 1, 2**24, 2**64 - 1], 20, 1, 0).streams
    assert streams.shape == (4, 30, 20)
    assert len(np.unique(streams)) == 4 * 30 * 20
    assert (streams[1] == _Lives(variant, None, np.zeros(30, variant.task), [1], 20, 1, 0).streams[0]).all()


def test_the_repr_of_a_result_is_one_line():
    result = metarl_envs.evaluate(ROOM, ["random", "oracle"], tasks=4, episodes=2, seeds=3)
    assert repr(result) == f"Result({ROOM}, split='test', 3 seeds x 4 tasks x 1 lifetimes x 2 episodes of random, oracle)"


class Told:
    """Keeps the first step that it is told of, and acts at random."""

    steps: list = []

    def __init__(self, *, num_envs, observation_space, action_space, seed):
        self.space, self.num_envs, self.acted = action_space, num_envs, 0

    def act(self, step):
        if not self.acted:
            self.steps.append((self.space, step))
        else:
            assert not np.isnan(step.previous_action).any()
        self.acted += 1
        return np.stack([self.space.sample()] * self.num_envs)


@pytest.mark.parametrize("id", [ROOM, "MetaRL/PointRobot-v0"])
def test_no_action_is_none_of_the_actions_there_are(id):
    Told.steps.clear()
    metarl_envs.evaluate(id, Told, split=None, tasks=2, episodes=1, seeds=1, horizon=3)
    ((space, step),) = Told.steps
    assert step.trial_start.all()
    assert step.previous_action.dtype == space.dtype
    assert not any(space.contains(action) for action in step.previous_action)


@pytest.mark.parametrize(
    "space",
    [
        gym.spaces.Discrete(3, start=-1),
        gym.spaces.MultiDiscrete([3, 2], start=[-1, 4]),
        gym.spaces.Box(-1, 1, (2, 2)),
        gym.spaces.Box(0, 255, (2,), np.uint8),
        gym.spaces.Box(0, 3, (2,), np.uint8),
    ],
    ids=repr,
)
def test_what_stands_for_no_action_lies_outside_of_every_space(space):
    from gymnasium.vector.utils import batch_space

    from metarl_envs.players.told import null_actions

    if space.dtype == np.uint8 and space.high.max() == 255:
        with pytest.raises(ValueError, match="none is left"):
            null_actions(space, 3)
        return
    null = null_actions(space, 3)
    assert null.shape == batch_space(space, 3).shape
    assert not any(space.contains(action) for action in null)


# ------------------------------------------------------------------------------------------------- one long episode
@kernel
def any_button(params, task, rng):
    task.button = randint(rng, 4)


@kernel
def start_clock(params, task, state, rng):
    state.t = 0


@kernel
def press(params, task, state, action, rng):
    state.t += 1
    return 1.0 * (action == task.button) * (state.t <= 6 or params.lasts), False


@kernel
def see_nothing(params, task, state, obs):
    obs[0] = 0


@kernel
def press_the_button(hyper, memory, params, task, state, rng):
    return task.button


class KnowsTheButton(Oracle):
    act = press_the_button


class Buttons(Family):
    """One of four buttons pays in each of twelve steps, or, unless it `lasts`, in the first six."""

    params = Parameters(horizon=Integer(12, 1), lasts=Flag(False), block=Integer(3, 0))
    task, state = record(button=np.int8), record(t=np.int8)
    sample_task, reset, step, observe = any_button, start_clock, press, see_nothing
    references = {"oracle": KnowsTheButton()}
    curve_unit = "steps"

    @staticmethod
    def spaces(p):
        return gym.spaces.Discrete(1), gym.spaces.Discrete(4)

    @staticmethod
    def curve_unit_length(p):
        return p.block


class FromTheFourthStep:
    """Presses a wrong button three times, and the right one from then on."""

    def __init__(self, *, num_envs, **_):
        self.pressed, self.buttons = 0, tasks_of_buttons().rows(num_envs)["button"].astype(int)

    def act(self, step):
        self.pressed += 1
        return self.buttons if self.pressed > 3 else (self.buttons + 1) % 4


@pytest.fixture(scope="module", autouse=True)
def _buttons():
    metarl_envs.register("Test/Buttons-v0", f"{__name__}:Buttons")
    yield
    del gym.registry["Test/Buttons-v0"]


def tasks_of_buttons(**params):
    return metarl_envs.tasks("Test/Buttons-v0", **params)


def scored_buttons(policies=("oracle", "random"), **params):
    policies = {name: name for name in policies} | {"late": FromTheFourthStep}
    return metarl_envs.evaluate("Test/Buttons-v0", policies, split=None, tasks=6, seeds=3, lifetimes=40, **params)


def test_where_reward_runs_out_a_block_is_scored_by_all_that_was_earned_until_its_end(tmp_path):
    """Of the oracle's lead of 3/4 a step, all is had in the first six steps: later blocks have nothing to be scored by."""
    result = scored_buttons()
    assert result.is_cumulative
    assert np.allclose(result.scale.oracle_until, [3, 6, 6, 6])
    assert np.allclose(result.scale.random_until, [0.75, 1.5, 1.5, 1.5], atol=0.1)
    assert np.allclose(result.normalised("oracle"), 1)
    assert result.curve("random")[0] == pytest.approx([0] * 4, abs=0.05)
    assert result.curve("late")[0] == pytest.approx([-1 / 3, 1 / 3, 1 / 3, 1 / 3], abs=0.02)
    late, oracle = result.summaries["late"], result.summaries["oracle"]
    assert oracle.aulc == pytest.approx((1, 1, 1))
    assert (late.aulc.mean, late.aulc_distribution.mean) == pytest.approx((1 / 3, 1 / 3), abs=0.02)
    assert late.worst_fifth == pytest.approx(1 / 3, abs=0.03)
    assert late.total == 3
    assert late.regret == pytest.approx(3)
    assert np.isnan([late.first, late.last, *late.gain]).all(), "a single block cannot be scored"
    result.save(tmp_path)
    about = json.loads((tmp_path / "result.json").read_text())
    assert about["score"]["cumulative"] is True
    assert [about["policies"]["late"][name] for name in ("first", "last")] == [None, None]
    assert np.load(tmp_path / "scores.npz")["oracle_until"].shape == (6, 4)


def test_where_the_oracles_lead_lasts_blocks_are_scored_one_by_one():
    result = scored_buttons(lasts=True)
    assert not result.is_cumulative
    assert np.allclose(result.normalised("oracle"), 1)
    assert result.curve("late")[0] == pytest.approx([-1 / 3, 1, 1, 1], abs=0.02)
    late = result.summaries["late"]
    assert (late.first, late.last, late.gain.mean) == pytest.approx((-1 / 3, 1, 4 / 3), abs=0.03)
    assert late.aulc.mean == pytest.approx(2 / 3, abs=0.02)


def test_a_table_and_a_picture_say_which_of_the_two_they_show():
    from matplotlib.figure import Figure
    from rich.console import Console

    from metarl_envs.evaluation.report import draw_on, table

    for lasts, axis, has, has_not in (
        (False, "score up to here (0 random, 1 oracle)", "reward runs out", "AULC"),
        (True, "score (0 random, 1 oracle)", "first, last: block", "runs out"),
    ):
        result = scored_buttons(lasts=lasts)
        axes = Figure().subplots()
        draw_on(axes, result)
        assert axes.get_ylabel() == axis
        assert axes.get_xlabel() == "block of 3 steps"
        assert np.allclose(axes.lines[0].get_ydata(), 1)
        for width in (120, 40):
            console = Console(width=width, record=True, file=io.StringIO())
            console.print(table(result, width))
            printed = " ".join(console.export_text().split())
            assert has in printed
            assert has_not not in printed
            assert "nan" not in printed
            assert f"{result.summaries['late'].aulc.mean:.3f}" in printed


def test_a_cumulative_score_begins_where_there_is_something_to_be_scored_by():
    result = scored_buttons()
    scale = Scale(np.zeros(6), np.full(6, 2.0), np.zeros((6, 4)), np.tile([0.0, 1.0, 1.0, 2.0], (6, 1)))
    late = replace(result, scale=scale).normalised("late")
    assert np.isnan(late[..., 0]).all()
    assert (late[..., 1:] == [3, 3, 1.5]).all()


@pytest.mark.parametrize("block", [0, 5, 13])
def test_blocks_that_do_not_fill_an_episode_are_refused(block):
    with pytest.raises(ValueError, match=f"curve_unit_length={block}"):
        scored_buttons(block=block)


# ------------------------------------------------------------------------------------------------- statistics
def test_over_seeds_is_the_t_interval_of_the_seed_means():
    values = np.random.default_rng(1).normal(size=(4, 3, 2, 5))
    means = values.mean(axis=(1, 2, 3))
    low, high = stats.t.interval(0.95, 3, means.mean(), stats.sem(means))
    assert over_seeds(values) == pytest.approx((means.mean(), low, high))


def test_curves_and_summaries_have_intervals_for_the_distribution_of_tasks():
    result = metarl_envs.evaluate(ROOM, ["q_learning"], episodes=4, seeds=3, lifetimes=2)
    values = result.normalised("q_learning")
    assert (result.curve("q_learning") == curve_over_seeds_and_tasks(values)).all()
    summary = result.summaries["q_learning"]
    assert summary.aulc_distribution == over_seeds_and_tasks(values)
    assert summary.aulc_distribution.low < summary.aulc.low < summary.aulc.high < summary.aulc_distribution.high
    (alone,) = metarl_envs.evaluate(ROOM, ["q_learning"], episodes=4, seeds=1, lifetimes=9).summaries.values()
    assert np.isnan([*alone.aulc[1:], *alone.aulc_distribution[1:]]).all()


class Shown:
    """Acts at random, the same whatever it sees; keeps what it was shown."""

    made: list["Shown"] = []

    def __init__(self, *, num_envs, observation_space, action_space, seed):
        self.shape, self.shown, self.starts = observation_space.shape, np.zeros(num_envs), 0
        self.rng = np.random.default_rng(seed)
        self.made.append(self)

    def act(self, step):
        assert step.observation.shape[1:] == self.shape
        self.shown += step.previous_reward
        self.starts += step.trial_start.astype(int)
        return self.rng.integers(0, 5, len(step.observation))


def test_an_agent_meets_the_environment_through_wrappers_and_is_scored_by_what_is_paid():
    see = functools.partial(VectorPreviousStep, flat=True)
    Shown.made.clear()
    policies = {
        "intact": Wrapped(Shown, see),
        "no reward": Wrapped(Shown, VectorHideReward, see),
        "minus": Wrapped(Shown, VectorNegateReward, see),
        "forgets": Wrapped(Shown, VectorForgetEachEpisode, see),
        "no ends": Wrapped(Shown, VectorHideBoundaries, see),
    }
    result = metarl_envs.evaluate(ROOM, policies, tasks=30, episodes=4, seeds=1)
    intact, hidden, minus, forgets, unbounded = Shown.made
    assert result.raw["intact"].sum() > 0
    for name in policies:
        assert (result.raw[name] == result.raw["intact"]).all()
    # The last reward of a trial is not told any more, so what was shown is at most what was paid.
    assert 0 < intact.shown.sum() <= result.raw["intact"].sum()
    assert not hidden.shown.any()
    assert (minus.shown == -intact.shown).all()
    assert (intact.starts == 1).all()
    assert (forgets.starts == 4).all()
    assert (unbounded.starts == 1).all()
    assert result.policies["minus"] == "Shown through VectorNegateReward, VectorPreviousStep"


def test_results_of_several_seeds_are_joined_and_others_refused():
    def one(seeds, **other):
        return metarl_envs.evaluate(ROOM, ["random", "oracle"], **{"tasks": 8, "episodes": 2, "seeds": seeds, **other})

    together, apart = one([3, 1]), joined([one([3]), one([1])])
    assert apart.seeds == [3, 1]
    assert all((apart.raw[name] == together.raw[name]).all() for name in together.raw)
    assert apart.summaries["random"].aulc == together.summaries["random"].aulc
    with pytest.raises(ValueError, match="share seeds"):
        joined([one([1]), one([1])])
    with pytest.raises(ValueError, match="differ in split"):
        joined([one([1]), one([2], split="train")])
    with pytest.raises(ValueError, match="how many tasks"):
        joined([one([1]), one([2], tasks=9)])
    with pytest.raises(ValueError, match="empty"):
        joined([])
