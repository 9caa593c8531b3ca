"""The verdict: known players are found to be what they are, and each control is needed for it."""

import dataclasses
import json
import re
from html.parser import HTMLParser

import numpy as np
import pytest

import metarl_envs
from metarl_envs.engine.player import references_of
from metarl_envs.evaluation import classes, controls, verdict, verdicts
from metarl_envs.evaluation.classes import ABOVE, BELOW, OPEN, Comparison, classified, compared, decided
from metarl_envs.evaluation.statistics import Interval
from metarl_envs.evaluation.verdict_page import MEANING, save_page
from metarl_envs.learners import NoiseAnnealed, QLearning, random_policy
from metarl_envs.players import Wrapped
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
    assert len(found.curves["agent"][0]) == 20
    assert not any(one.name == classes.FOLLOWS_REFLECTED for one in found.comparisons), "a room has no room below random"
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
def test_which_controls_can_act_where():
    def why(id, episodes=1, block=0, **params):
        tasks = metarl_envs.tasks(id, **params)
        run, _ = live(random_policy(tasks.variant), tasks.variant, tasks.rows(2), np.arange(2), episodes=1)
        known = controls.controls_of(tasks.variant, run, episodes=episodes, block=block)
        assert all((one.wrapper is None) == bool(one.why_not) for one in known)
        return {one.name: one.why_not for one in known if one.why_not}

    assert why("BernoulliBandit", block=5, arms=3, horizon=20) == {}
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
    for name in ("unseen_disguise", "unseen_parts", "heuristic which_part"):
        assert rows[name].adaptation is not None, rows[name].why_not
    asked = [one.name for one in found.comparisons]
    assert {classes.BEATS_GUESS, classes.KEEPS + "on unseen_disguise", classes.KEEPS + "on unseen_parts"} <= set(asked)
    assert repr(found) == "Verdict(Counting in MetaRL/Mixture-v0: 'undecided', of 10 tasks, split='test', 3 seeds)"
    with pytest.raises(ValueError, match="wrappers do not show the task"):
        verdict("q_learning", "Mixture", **how, tasks=10, seeds=3, episodes=6)
