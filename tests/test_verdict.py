"""The verdict: known players are found to be what they are, and each control is needed for it."""

import dataclasses
import json
import re
import types
from html.parser import HTMLParser

import numpy as np
import pytest

import metarl_envs
from metarl_envs.engine.player import references_of
from metarl_envs.evaluation import classes, controls, references, verdict, verdicts
from metarl_envs.evaluation.beyond import Beyond, slopes_of, training_of
from metarl_envs.evaluation.classes import ABOVE, BELOW, OPEN, Comparison, classified, compared, decided
from metarl_envs.evaluation.feeding import Feeding
from metarl_envs.evaluation.likeness import Likeness
from metarl_envs.evaluation.references import Scale
from metarl_envs.evaluation.result import Result
from metarl_envs.evaluation.scalars import scalars
from metarl_envs.evaluation.statistics import Interval, over_seeds_and_tasks
from metarl_envs.evaluation.verdict_page import MEANING, _by_length, _most_like, _unit, save_page
from metarl_envs.learners import NoiseAnnealed, QLambda, QLearning, random_policy
from metarl_envs.players import Wrapped, pretrained
from metarl_envs.players.lifetimes import live
from metarl_wrappers import VectorHideReward

plain = pytest.mark.plain
ROOM = {"size": 3, "horizon": 6, "tasks": 4, "split": "all"}


def outcome(name, which, p=0.001):
    return Comparison(name, "it", Interval(0.5, 0.4, 0.6), 0.1, p, which)


PASSED = [outcome(name, ABOVE) for name in (classes.ADAPTS, classes.NEEDS_FEEDBACK, classes.KEEPS + "with actions permuted")]


# ------------------------------------------------------------------------------------------------------ rules
@plain
def test_the_first_rule_that_is_broken_decides():
    assert classified(PASSED)[0] == "reward learning"
    expected = {
        classes.ADAPTS: "none",
        classes.NEEDS_FEEDBACK: "heuristic",
        classes.KEEPS + "on unseen_parts": "task inference",
    }
    expected |= {classes.BEATS_GUESS: "task inference", classes.FOLLOWS_REFLECTED: "mixed", classes.GOES_ON: "mixed"}
    for name, found in expected.items():
        others = [one for one in PASSED if one.name != name]
        assert classified([*others, outcome(name, BELOW)])[0] == found
        assert classified([*others, outcome(name, OPEN)])[0] == "undecided"
    both = [outcome(classes.GOES_ON, BELOW), outcome(classes.ADAPTS, OPEN), *PASSED[1:]]
    assert classified(both)[0] == "undecided", "what comes first in the rules decides, in whatever order it is told"
    assert classified(PASSED[:2])[0] == "undecided", "nothing was tried that tells learning from recognising"


@plain
def test_comparisons_are_decided_together():
    one = [outcome("a", OPEN, 0.03), outcome("b", OPEN, 0.04), outcome("c", OPEN, 0.001)]
    assert [each.outcome for each in decided(one)] == [OPEN, OPEN, ABOVE]
    assert [round(each.p, 6) for each in decided(one)] == [0.06, 0.06, 0.003]
    assert decided(one[:1])[0].outcome == ABOVE


@plain
def test_a_p_value_is_where_an_interval_ends():
    """Of data whose interval at 95 % just touches the threshold, p is 0.05."""
    values = np.random.default_rng(0).normal(0.3, 0.2, (5, 40))
    found = compared("x", "it", values, 0.0).found
    assert compared("x", "it", values, found.low).p == pytest.approx(0.05, rel=1e-3)
    assert compared("x", "it", values, found.mean).p == 1.0
    assert compared("x", "it", values, found.low - 0.1).p < 0.05 < compared("x", "it", values, found.low + 0.01).p
    assert compared("x", "it", values[:1], 0.0).p == 1.0, "one seed tells nothing of others"
    assert compared("x", "it", np.ones((3, 4)), 0.5).p == 0.0
    same = compared("x", "it", np.zeros((3, 4)), 0.0)
    assert decided([same])[0].outcome == BELOW, "who does the same as another on all tasks is not better"


# ------------------------------------------------------------------------------------------------------ from lives
@plain
def test_a_learner_in_a_small_room_as_json_and_as_a_page(tmp_path):
    found = verdict(QLearning(epsilon_decay_episodes=5), "DarkRoom", episodes=10, seeds=2, **ROOM)
    assert found.name in MEANING
    by_name = {row.name: row for row in found.rows}
    assert by_name["intact"].adaptation.mean > 0.3
    for name in (controls.SWAPPED, controls.FORGETS, controls.HIDDEN):
        assert by_name[name].drop.mean > 0.2 * by_name["intact"].adaptation.mean
    assert by_name["unseen_parts"].why_not == "the family has no such shift"
    assert found.recovery > 0
    assert len(found.curves["agent"][0]) == 100, "ten times as many episodes as a lifetime has"
    assert [(one.times, one.first, one.last) for one in found.reached] == [(1, 9, 10), (2, 11, 20), (5, 21, 50), (10, 51, 100)]
    assert by_name[controls.FED_OTHER].drop.low > 0.2, "told another task's life, it goes where that was paid"
    assert abs(by_name[controls.FED_IN_DISORDER].drop.mean) < 0.2, "the order in which it was paid tells it nothing"
    assert not any(one.name == classes.FOLLOWS_REFLECTED for one in found.comparisons), "a room has no room below random"
    named = scalars(found)
    assert named["metarl/DarkRoom/all/adaptation"] == by_name["intact"].adaptation.mean
    assert named["metarl/DarkRoom/all/drop/another_task_s_feedback"] == by_name[controls.SWAPPED].drop.mean
    assert named["metarl/DarkRoom/all/score/10_times_as_long"] == found.reached[-1].score.mean
    assert sum(value for name, value in named.items() if "/is/" in name) == 1
    assert not any("unseen" in name for name in named), "what cannot act has no number"
    odd = dataclasses.replace(found, agents=["<script>alert(1)</script>"], id='"><img src=x>')
    about, shown = odd.save(tmp_path / "made"), save_page(odd, tmp_path / "made")
    said = json.loads(about.read_text())
    assert said["class"] == found.name
    assert said["rows"][0]["adaptation"]["mean"] == by_name["intact"].adaptation.mean
    seen = Tags()
    seen.feed(shown.read_text())
    assert seen.open == []
    assert {"html", "svg", "polyline", "table"} <= seen.all
    assert not {"script", "img", "link", "iframe"} & seen.all
    assert not re.search(r"https?:|url\(|@import", shown.read_text())


class Tags(HTMLParser):
    """The elements of a page, and those that are not closed."""

    def __init__(self):
        super().__init__()
        self.open, self.all = [], set()

    def handle_starttag(self, tag, attrs):
        self.all.add(tag)
        if tag not in ("meta", "br", "line"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_startendtag(self, tag, attrs):
        self.all.add(tag)


@plain
def test_feedback_of_other_lives_is_what_was_observed_after_each_step():
    tasks = metarl_envs.tasks("LinearRegression", dimensions=2, horizon=4)
    rows = tasks.rows(3)
    run, _ = live(references_of(tasks.variant)["bayes"], tasks.variant, rows, np.arange(3), episodes=2)
    inputs = run.columns().columns["observation"][..., :2]
    targets = np.einsum("isj,ij->is", inputs, rows["weights"])
    assert np.allclose(np.array(controls.feedback_of(run, (2,)))[..., 0], targets, atol=1e-5)


@plain
def test_no_task_is_shown_feedback_of_its_own_from_another_seed(monkeypatch):
    """Each stored life is that of the row whose task it was lived on, whichever seed and lifetime."""
    asked, true = [], controls.controls_of

    def known(variant, intact, **how):
        asked.append((intact, true(variant, intact, **how)))
        return asked[-1][1]

    monkeypatch.setattr(references, "_LIVES", 20)
    monkeypatch.setattr(controls, "controls_of", known)
    how = {"dimensions": 2, "horizon": 4, "split": None}
    verdict("averaging", "LinearRegression", tasks=3, seeds=2, lifetimes=2, **how)
    [(intact, [swapped, *_])] = asked
    rows, lived_by = metarl_envs.tasks("LinearRegression", **how).rows(3), swapped.wrapper.keywords["lived_by"]
    assert lived_by == [0, 1, 2, 0, 1, 2]
    assert [task.tobytes() for task in intact.tasks] == [rows[row].tobytes() for row in lived_by]
    assert swapped.wrapper.keywords["lives"] == controls.feedback_of(intact, (2,))


@plain
def test_which_controls_can_act_where():
    def why(id, episodes=1, block=0, **params):
        tasks = metarl_envs.tasks(id, **params)
        run, _ = live(random_policy(tasks.variant), tasks.variant, tasks.rows(2), np.arange(2), episodes=1)
        known = controls.controls_of(tasks.variant, run, tasks=2, episodes=episodes, block=block)
        assert all((one.wrapper is None) == bool(one.why_not) for one in known)
        return {one.name: one.why_not for one in known if one.why_not}

    assert why("BernoulliBandit", block=5, arms=3, horizon=20) == {}
    assert why("BernoulliBandit", block=20, arms=3, horizon=20) == {controls.PERMUTED_LATER: "a lifetime is one block"}
    assert why("DarkRoom", episodes=10, size=3, horizon=6) == {}
    episode = "a lifetime is one episode"
    assert why("DarkRoom", size=3, horizon=6) == {controls.FORGETS: episode, controls.PERMUTED_LATER: episode}
    continuous = dict.fromkeys((controls.PERMUTED, controls.PERMUTED_LATER), "its actions are no Discrete ones")
    assert why("LinearRegression", block=1, dimensions=2, horizon=4) == continuous
    assert why("TabularMDP", episodes=3)[controls.REFLECTED] == "the family declares no range of feedback"


@plain
def test_what_no_verdict_can_be_given_on_is_refused():
    with pytest.raises(ValueError, match=r"NoiseAnnealed\(.*looks at the hidden task"):
        verdict(NoiseAnnealed(), "DarkRoom", **ROOM)
    with pytest.raises(ValueError, match=r"agents holds 2 models and seeds=\[0, 1, 2\]"):
        verdict([QLearning(), QLearning()], "DarkRoom", seeds=[0, 1, 2], **ROOM)
    assert controls.under(Wrapped(QLearning(), VectorHideReward), len).wrappers == (len, VectorHideReward)


@plain
@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"reach": 0}, "reach=0 must be an integer of at least 1"),
        ({"lifetimes": 0}, "lifetimes=0 must be an integer of at least 1"),
        ({"episodes": 0}, "episodes=0 must be an integer of at least 1"),
        ({"agents": []}, "agents is empty"),
        ({"tasks": 1}, "tasks=1 must be an integer of at least 2"),
        ({"agents": [QLearning(), QLearning()], "seeds": 3}, "agents holds 2 models and seeds=3"),
        ({"agents": [QLearning(), QLearning()], "seeds": [4, 4]}, "repeats 4"),
        ({"id": "Mixture", "parts": "DarkRoom(size=3), TMaze", "size": None}, "agents: .* wrappers do not show the task"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_arguments_are_refused_before_anything_is_lived(monkeypatch, wrong, said):
    for name in ("evaluate", "scaled_tasks"):
        monkeypatch.setattr(verdicts, name, lambda *_, **__: pytest.fail("lives were lived first"))
    how = {"agents": QLearning(), "id": "DarkRoom", **ROOM, **wrong}
    how = {name: value for name, value in how.items() if value is not None}
    with pytest.raises(ValueError, match=said):
        verdict(how.pop("agents"), how.pop("id"), **how)


@plain
def test_where_nobody_need_adapt_is_refused_and_a_shift_to_there_does_not_apply(monkeypatch):
    monkeypatch.setattr(verdicts, "evaluate", lambda *_, **__: pytest.fail("lives were lived first"))
    monkeypatch.setattr(verdicts, "memoryless_score", lambda *_: 0.96)
    nothing = "the best policy without memory scores 0.960, where the oracle scores 1: there is nothing to adapt for"
    with pytest.raises(ValueError, match=f"no verdict on split=None of DarkRoom: {nothing}"):
        verdict(QLearning(), "DarkRoom", **ROOM)
    mixed = {"parts": "DarkRoom(size=3), TMaze", "horizon": 8, "held_out": "TMaze"}
    assert verdicts._shift_of(metarl_envs.tasks("Mixture", split="test", **mixed), "unseen_parts", mixed, 2).why_not == nothing


@plain
def test_what_is_one_task_only_is_refused_and_a_shift_to_one_does_not_apply(monkeypatch):
    one = (metarl_envs.tasks("DarkRoom").rows(1), Scale(np.zeros(1), np.ones(1)), 0)
    monkeypatch.setattr(verdicts, "evaluate", lambda *_, **__: pytest.fail("lives were lived first"))
    monkeypatch.setattr(verdicts, "scaled_tasks", lambda *_: one)
    few = "a verdict needs at least two tasks that can be scored, and there is one in TaskSet"
    with pytest.raises(ValueError, match=f"no verdict on split=None of DarkRoom: {few}"):
        verdict(QLearning(), "DarkRoom", **ROOM)
    mixed = {"parts": "DarkRoom(size=3), TMaze", "horizon": 8, "held_out": "TMaze"}
    assert few in verdicts._shift_of(metarl_envs.tasks("Mixture", split="test", **mixed), "unseen_parts", mixed, 2).why_not


@plain
def test_what_pages_call_the_points_of_a_curve():
    one, blocks = (types.SimpleNamespace(unit=unit) for unit in ("episode", "pulls"))
    assert [_unit(one), _unit(one, "s"), _unit(blocks), _unit(blocks, "s")] == [
        *("episode", "episodes", "block of pulls", "blocks of pulls"),
    ]


@plain
def test_a_table_says_whom_it_is_most_like_or_that_it_is_like_nobody():
    def said(*bits):
        each = [Likeness(f"player {i}", Interval(mean, mean, mean), 0.1, bits[0] - mean < 0.01) for i, mean in enumerate(bits)]
        return _most_like(types.SimpleNamespace(likenesses=each)).strip()

    assert said(0.5, 0.495, 0.4) == "Most like: player 0, player 1 (0.500 [0.500, 0.500] bits a step above uniform)."
    assert said(0.002, 0.0).startswith("Most like no known player")
    assert said() == ""


@plain
def test_table_and_page_say_whom_it_is_most_like_at_each_prompt_length():
    def like(name, *bits):
        lengths = tuple(Interval(mean, mean - 0.5, mean + 0.5) for mean in bits)
        return Likeness(name, Interval(sum(bits) / 4, 0.0, 1.0), None, False, deviation=0.1, by_length=lengths)

    found = types.SimpleNamespace(
        likenesses=[like("ridge", 0, 1, 2, 3), like("squares", 0, 1, 2, 0), like("steps", 0, 0, 0, 1)]
    )
    told = "By how many steps were over: after 0, nobody more than others; after 1 to 2, ridge, squares; after 3, ridge."
    assert _most_like(found).endswith(told)
    (table,) = _by_length(found)
    assert table.heads == ["steps over", "ridge", "squares", "steps"]
    assert table.rows[3] == ["3", "3.00 [2.50, 3.50] *", "0.00 [-0.50, 0.50]", "1.00 [0.50, 1.50]"]
    nobody = types.SimpleNamespace(likenesses=[like("ridge", 0, 0, 0, 0)])
    assert _most_like(nobody).endswith("after 0 to 3, nobody more than others.")
    assert _by_length(types.SimpleNamespace(likenesses=[Likeness("ucb1", Interval(1, 1, 1), 0.1, True)])) == []


@plain
def test_a_list_of_agents_has_one_seed_each_where_nobody_says_which():
    variant = metarl_envs.tasks("DarkRoom").variant
    assert verdicts._models([QLearning()] * 3, variant, None)[1] == [0, 1, 2]
    assert verdicts._models(QLearning(), variant, None)[1] == [0, 1, 2, 3, 4]


# ------------------------------------------------------------------------------------------------------ shifted tasks
NOT_FED = Feeding({}, np.zeros((2, 4, 1, 1)), "nobody was fed")
SHIFTED = "keeps half on unseen_parts"


def scored(agent, memoryless=None, **others):
    """A result of these scores, [seed, task], and returns of the best policy without memory."""
    raw = {name: values[:, :, None, None] for name, values in {"agent": agent, **others}.items()}
    scale = Scale(np.zeros(agent.shape[1]), np.ones(agent.shape[1]))
    about = ("MetaRL/DarkRoom-v0", {}, "test", "", list(range(len(agent))), "episode", 1, 1.0)
    return Result(*about, scale, 0, memoryless, {}, raw)


def one_room():
    return metarl_envs.tasks("DarkRoom").variant


def findings(first, shifted):
    agent = first.raw["agent"][..., 0, 0]
    others = scored(agent, first.memoryless, **{controls.SWAPPED: 0 * agent, "heuristic sweep": 0 * agent})
    shifts = {"unseen_disguise": verdicts._Shift()}
    return verdicts._Findings(one_room(), first, others, {"unseen_parts": shifted}, None, NOT_FED, [], shifts)


@plain
def test_numbers_of_a_result_have_names_for_tensorboard():
    result = scored(np.full((2, 4), 0.7), **{"my agent (v2)": np.full((2, 4), 0.25)})
    named = scalars(result)
    assert named["metarl/DarkRoom/test/agent/score"] == pytest.approx(0.7)
    assert named["metarl/DarkRoom/test/my_agent_v2/worst_fifth"] == pytest.approx(0.25)
    assert len(named) == 12
    assert all(re.fullmatch(r"metarl(/[\w.-]+)+", name) and np.isfinite(value) for name, value in named.items())


@plain
def test_tasks_that_differ_leave_it_open_whether_half_is_kept_on_others():
    """At the threshold itself it is decided in 5 % of cases at most, however much tasks differ."""
    rng, wrong = np.random.default_rng(1), 0
    for _ in range(15):
        own, there = (mean + 0.3 * rng.normal(size=(1, 10)) + 0.02 * rng.normal(size=(5, 10)) for mean in (0.8, 0.4))
        found = {one.name: one.found for one in findings(scored(own), scored(there))._comparisons()}[SHIFTED]
        wrong += not found.low < 0 < found.high
    assert wrong <= 2
    made = findings(scored(np.full((2, 4), 0.8)), scored(np.full((2, 3), 0.5)))
    row = {row.name: row for row in made._rows() if row.name == "unseen_parts"}["unseen_parts"]
    assert row.drop.mean == pytest.approx(0.3)
    assert {one.name: one.found.mean for one in made._comparisons()}[SHIFTED] == pytest.approx(0.1)


@plain
def test_where_zero_is_not_known_on_all_tasks_it_is_random_play_on_all():
    own, there, best = np.full((2, 4), 0.7), np.full((2, 4), 0.4), np.full(4, 0.4)
    both = findings(scored(own, best), scored(there, best))
    assert both.intact == pytest.approx(0.5)
    assert both._beside(both.shifted["unseen_parts"])[1] == pytest.approx(0)
    one = findings(scored(own, best), scored(there))
    assert not one.zero_known
    assert one.intact == pytest.approx(0.7)
    assert one._beside(one.shifted["unseen_parts"])[1] == pytest.approx(0.4)


@plain
def test_gain_slope_and_recovery_are_read_off_curves_and_not_off_cumulative_ones():
    later, curve = np.array([0.2, 0.4, 1, 0.8, 0.9, 0.0, 0.5, 1.0, 0.3, 0.9]), np.linspace(0.1, 0.5, 10)
    differ = np.array([-0.1, 0.0, 0.1])
    agent = curve + differ[None, :, None, None] * np.arange(10) + np.zeros((2, 3, 1, 10))
    raw = {"agent": agent, controls.PERMUTED_LATER: later + np.zeros((2, 3, 1, 10))}
    one = dataclasses.replace(scored(np.zeros((2, 3))), raw=raw)
    found = verdicts._Findings(one_room(), one, one, {}, None, NOT_FED, [], {})
    assert found._recovery() == pytest.approx(0.9 + 0.4 + 0.6), "to the last of the five units before the change, 0.9"
    assert found._gain() == over_seeds_and_tasks(agent[..., -1:] - agent[..., :1])
    assert found._gain().mean == pytest.approx(0.4)
    slope = over_seeds_and_tasks(slopes_of(one.normalised("agent")[..., 4:]))
    assert slope.mean == pytest.approx(0.4 / 9)
    assert slope.high - slope.low > 0.2, "tasks differ by 0.1 in their slopes"
    until = np.cumsum(np.ones((3, 10)), axis=1)
    running_out = dataclasses.replace(one, scale=dataclasses.replace(one.scale, random_until=0 * until, oracle_until=until))
    found = verdicts._Findings(one_room(), running_out, running_out, {}, None, NOT_FED, [], {})
    assert found._recovery() is None
    assert found._gain() is None


def beyond(scores, trained_on, plateau=None):
    """What was lived in lives of four times as many episodes as the agent was trained on."""
    return Beyond(scores, np.zeros((3, 4 * trained_on)), trained_on, 4, None if plateau is None else np.full((3, 5), plateau))


def life(first, last, trained_on=5):
    """Scores that rise evenly from the end of training to the end of life; seeds and tasks differ a little."""
    noise = 0.01 * np.random.default_rng(0).normal(size=(3, 5, 1, 1))
    return noise + np.append(np.full(trained_on, first), np.linspace(first, last, 3 * trained_on)) + np.zeros((3, 5, 1, 1))


@plain
def test_short_of_its_source_it_must_rise_beyond_and_at_the_plateau_it_must_not_fall():
    def found(first, last, plateau=None):
        return decided([beyond(life(first, last), 5, plateau).comparison()])[0]

    rises, level, falls = found(0.5, 0.8, 0.9), found(0.5, 0.5, 0.9), found(0.8, 0.2, 0.85)
    assert (rises.outcome, rises.threshold) == (ABOVE, 0.0)
    assert rises.found.mean == pytest.approx(5 * 0.3 / 14), "in as many episodes as it was trained on"
    assert level.outcome == OPEN, "it stops short"
    assert found(0.8, 0.5, 0.9).outcome == BELOW
    assert (found(0.84, 0.84, 0.9).outcome, found(0.84, 0.84, 0.9).threshold) == (ABOVE, -0.1), "within 90 % of the plateau"
    assert (falls.outcome, falls.threshold) == (BELOW, -0.1)
    assert found(0.5, 0.5).outcome == ABOVE, "where no source is known it must not fall"
    stretches = beyond(life(0.5, 0.8), 5).reached()
    assert [(one.times, one.first, one.last) for one in stretches] == [(1, 5, 5), (2, 6, 10), (4, 11, 20)]
    assert stretches[1].slope.mean == pytest.approx(0.3 / 14)
    assert np.isnan(stretches[0].slope.mean)
    assert beyond(life(0.5, 0.8)[..., :5], 5).comparison() is None, "nothing was lived beyond"


@plain
def test_what_an_agent_was_trained_on_is_said_or_stands_on_its_card():
    room = metarl_envs.tasks("DarkRoom").variant
    networks = [pretrained(name) for name in ("ad-darkroom", "dpt-darkroom")]
    (count, source), (alone, nobody) = (training_of([network], room, None, None) for network in networks)
    assert (count, alone, nobody) == (20, 10, None)
    assert isinstance(source, QLambda)
    assert source.p.initial_value == 5.0
    assert training_of(networks[:1], room, 7, "q_learning")[0] == 7
    assert isinstance(training_of(networks[:1], room, 7, "q_learning")[1], QLearning)
    assert training_of([QLearning()], room, None, None) == (None, None)
    with pytest.raises(ValueError, match="source"):
        training_of([QLearning()], room, None, "ucb1")


@plain
def test_shifted_tasks_are_of_the_part_that_was_asked_for_and_a_shift_without_tasks_says_why():
    parts = {"parts": "DarkRoom(size=3), TMaze", "horizon": 8}

    def shift(name, split="test", **more):
        return verdicts._shift_of(metarl_envs.tasks("Mixture", split=split, **parts, **more), name, {**parts, **more}, 2)

    for split in ("train", "validation", "test"):
        assert shift("unseen_parts", split, held_out="TMaze") == verdicts._Shift(f"{split}+unseen_parts")
    assert shift("unseen_parts", None, held_out="TMaze").split == "unseen_parts"
    assert shift("unseen_disguise", "test+unseen_parts", held_out="TMaze").split == "test+unseen_parts+unseen_disguise"
    assert "are so" in shift("unseen_parts", "test+unseen_parts", held_out="TMaze").why_not
    assert "leaves no part to be drawn" in shift("unseen_parts", held_out="none").why_not
    assert "disguises_drawn cannot be 'unseen'" in shift("unseen_disguise", disguise="none").why_not
    assert "cannot be given with split" in shift("unseen_parts", held_out="TMaze", parts_drawn="seen").why_not
    room = metarl_envs.tasks("DarkRoom", split="test")
    assert verdicts._shift_of(room, "unseen_parts", {}, 2).why_not == "the family has no such shift"


@plain
def test_lifetimes_are_of_the_tasks_that_the_reflected_range_is_looked_up_for(monkeypatch):
    asked = []
    monkeypatch.setattr(references, "_LIVES", 20)
    monkeypatch.setattr(controls, "reflection_decides", lambda variant, tasks, *_: asked.append(tasks) or True)
    how = {"arms": 3, "horizon": 9, "split": None}
    found = verdict("epsilon_greedy", "BernoulliBandit", tasks=3, seeds=2, lifetimes=2, **how)
    rows = metarl_envs.tasks("BernoulliBandit", **how).rows(3)
    assert [task.tobytes() for task in asked[0]] == [row.tobytes() for row in rows]
    assert found.gain is not None


@plain
def test_a_verdict_where_a_subclass_has_other_references():
    found = verdict("q_learning", "GridNavi", size=3, horizon=6, nearest=1, episodes=2, tasks=3, seeds=2, split="all")
    assert {row.name: row for row in found.rows}["heuristic posterior"].adaptation is not None
    assert "posterior" in [one.name for one in found.likenesses]


# ------------------------------------------------------------------------------------------------------ known cases
BANDIT = ("BernoulliBandit", {"arms": 5, "horizon": 50})
DARK_ROOM = ("DarkRoom", {"size": 5, "horizon": 15, "episodes": 40})
MDP = ("TabularMDP", {"states": 4, "actions": 3, "horizon": 10, "episodes": 40})
#: Stated beforehand. A sweep goes on to where it was paid, by moves that it takes for granted; the cue of a T-maze is recalled.
KNOWN = [("thompson", BANDIT, "reward learning"), ("ucb1", BANDIT, "reward learning"), ("random", DARK_ROOM, "none")]
KNOWN += [("q_learning", DARK_ROOM, "reward learning"), ("sweep", DARK_ROOM, "task inference")]
KNOWN += [("psrl", MDP, "reward learning"), ("q_learning", MDP, "reward learning"), ("random", MDP, "none")]
KNOWN += [("recall", ("TMaze", {"length": 4, "episodes": 10}), "heuristic")]


@pytest.mark.slow
@pytest.mark.parametrize(("player", "where", "expected"), KNOWN, ids=str)
def test_known_players_are_what_they_are(player, where, expected):
    id, how = where
    found = verdict(player, id, tasks=40, seeds=5, **how)
    assert found.name == expected, found.evidence


@pytest.mark.nightly
def test_who_infers_the_part_of_a_mixture_keeps_it_all_and_is_task_inference_by_one_rule_alone():
    how = {"parts": "DarkRoom(size=3), GridNavi(size=3), DarkKeyToDoor(size=3)", "held_out": "GridNavi", "horizon": 8}
    found = verdict("which_part_inferring", "Mixture", **how, disguise="actions", tasks=40, seeds=5, episodes=8)
    assert found.name == "task inference"
    assert {one.name for one in found.comparisons if one.outcome != ABOVE} == {classes.BEATS_GUESS}
    assert found.likenesses[0].name == "which_part_inferring"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("control", "player", "where", "found"),
    [
        (controls.SWAPPED, "thompson", BANDIT, "heuristic"),
        (controls.REFLECTED, "thompson", BANDIT, "mixed"),
        (controls.PERMUTED, "sweep", DARK_ROOM, "reward learning"),
    ],
)
def test_a_control_that_does_nothing_changes_a_class(monkeypatch, control, player, where, found):
    true = controls.controls_of

    def one_less(*args, **how):
        kept = true(*args, **how)
        return [dataclasses.replace(one, wrapper=lambda env: env) if one.name == control else one for one in kept]

    monkeypatch.setattr(verdicts.controls, "controls_of", one_less)
    id, how = where
    assert verdict(player, id, tasks=40, seeds=5, **how).name == found


class Counting:
    """Plays what paid most, whatever it sees: arms, moves, in whatever part and disguise."""

    def __init__(self, observation_space, action_space, num_envs, seed):
        self.paid, self.tried = np.zeros((2, num_envs, action_space.n))

    def act(self, step):
        for i in range(len(self.paid)):
            if step.trial_start[i]:
                self.paid[i] = self.tried[i] = 0
            elif step.previous_action[i] >= 0:
                self.paid[i, step.previous_action[i]] += step.previous_reward[i]
                self.tried[i, step.previous_action[i]] += 1
        tried = np.maximum(self.tried, 1e-9)
        return (self.paid / tried + 1 / np.sqrt(tried)).argmax(axis=1)


@plain
@pytest.mark.slow
def test_in_a_mixture_it_must_beat_who_is_told_the_part_and_keep_it_in_unseen_parts_and_disguises():
    how = {"parts": "BernoulliBandit(arms=3), TMaze(length=5), DarkRoom(size=3)", "held_out": "TMaze", "horizon": 8}
    found = verdict(Counting, "Mixture", **how, tasks=10, seeds=3, episodes=6)
    rows = {row.name: row for row in found.rows}
    for name in ("unseen_disguise", "unseen_parts", "heuristic which_part_told", "heuristic which_part_inferring"):
        assert rows[name].adaptation is not None, rows[name].why_not
    assert found.adaptations.keys() == {row.name for row in found.rows if row.adaptation is not None}
    for name, values in found.adaptations.items():
        assert values.shape[0] == 3
        assert values.mean() == pytest.approx(rows[name].adaptation.mean)
    asked = [one.name for one in found.comparisons]
    assert {classes.BEATS_GUESS, classes.KEEPS + "on unseen_disguise", classes.KEEPS + "on unseen_parts"} <= set(asked)
    assert repr(found) == "Verdict(Counting in MetaRL/Mixture-v0: 'undecided', of 10 tasks, split='test', 3 seeds)"
    with pytest.raises(ValueError, match="wrappers do not show the task"):
        verdict("q_learning", "Mixture", **how, tasks=10, seeds=3, episodes=6)
