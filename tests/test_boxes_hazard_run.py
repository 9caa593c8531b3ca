"""HazardBox from outside: PettingZoo, batches, words, pictures, replays; and that it stays what it is, compiled and plain."""

import functools
import hashlib
import warnings

import numpy as np
import pytest

from metarl_envs import boxes
from metarl_envs.boxes import hazard_v0
from metarl_envs.boxes.envs.text_box import TextBox
from metarl_envs.boxes.study.replay import lines
from metarl_envs.boxes.view.picture import draw_box
from metarl_envs.boxes.world.hazard import FORCED
from metarl_envs.boxes.world.mechanisms import verbs_of
from metarl_envs.engine import Picture, Row
from metarl_envs.engine.canvas import BAD

with warnings.catch_warnings():  # its own modules of tests import what it deprecates
    warnings.simplefilter("ignore")
    from pettingzoo.test import api_test, parallel_api_test, parallel_seed_test, seed_test

MASKED = pytest.mark.filterwarnings(
    "ignore:Observation is not a NumPy array", "ignore:Observation space for each agent probably should be"
)
SMALL = {"agents": 3, "notes": 1, "board": 2, "page": 2, "levels": 3, "width": 2, "bases": 4, "recipes": 1, "dead_ends": 0.0}
#: A lively one: who is out comes back, notes are falsified, days end.
LIVELY = {**SMALL, "p_clean": 0.6, "p_toxic": 0.9, "harm": 3.0, "recover": 3, "sabotage": "falsify", "day": 20, "horizon": 50}


@pytest.mark.plain
@MASKED
def test_pettingzoo_accepts_it():
    parallel = functools.partial(hazard_v0.parallel_env, **LIVELY)
    parallel_api_test(parallel(), num_cycles=60)
    parallel_seed_test(parallel, num_cycles=30)
    api_test(hazard_v0.env(**LIVELY), num_cycles=60)
    seed_test(functools.partial(hazard_v0.env, **LIVELY), num_cycles=30)


def test_pettingzoo_finds_it_in_its_registry():
    pettingzoo = pytest.importorskip("pettingzoo")
    if not hasattr(pettingzoo, "parallel_registry"):
        pytest.skip("this PettingZoo has no registry")
    assert "MetaRL/HazardBox-v0" in pettingzoo.parallel_registry
    assert "MetaRL/HazardBox-v0" in pettingzoo.aec_registry


def digest_of(run):
    """A hash of all states of a run."""
    digest = hashlib.sha256()
    for states in run.replay():
        for name in ("held", "hand", "reward", "deed", "aim", "moved", "out_until", "board", "paid"):
            digest.update(np.ascontiguousarray(states[name]).tobytes())
        digest.update(np.round(states["health"], 9).tobytes())
    return digest.hexdigest()[:16]


#: What random lives come to, and scripted ones: a change of behaviour is a change of these.
GOLDEN = {
    ("random",): "9e527ffbe6d3f5fc",
    ("toxic", "thief", "prosocial"): "02c74654f8f2e57b",
    ("saboteur", "self_interested", "random"): "fe2532aa2885dadf",
}


@pytest.mark.plain
@pytest.mark.parametrize("names", list(GOLDEN))
def test_it_stays_what_it_is_in_plain_mode(names):
    check(names)


@pytest.mark.slow
@pytest.mark.parametrize("names", list(GOLDEN))
def test_it_is_the_same_compiled(names):
    check(names)


def check(names):
    seats = {"all": names[0]} if len(names) == 1 else dict(enumerate(names))
    run = boxes.run("HazardBox", seats, boxes=2, seed=3, **LIVELY)
    assert digest_of(run) == GOLDEN[names]


@pytest.mark.plain
def test_every_legal_action_has_a_sentence_that_means_it_and_the_text_tells_of_harm():
    box = TextBox(hazard_v0.parallel_env(**{**LIVELY, "recover": 0, "day": 0, "visibility": "private"}))
    texts, _ = box.reset(seed=0)
    grammar, rng, met, said = box.grammar(), np.random.default_rng(0), set(), ""
    while box.agents:
        sentences = {}
        for i, agent in enumerate(box.agents):
            hand = int(box.box.world["hand"][i])
            legal = np.flatnonzero(box.box.state()[i, -verbs_of(box.box.variant.p).end :])
            for action in legal.tolist():
                assert grammar.parse(grammar.say(action, hand), hand).action == action
            action = int(rng.choice(legal))
            met.add(verbs_of(box.box.variant.p).find(action)[0].name)
            sentences[agent] = grammar.say(action, hand)
        texts, *_ = box.step(sentences)
        said += "\n".join(texts.values())
    assert {"force", "steal", "give", "publish"} <= met
    for sentence in (
        "agent_1 used force",
        "you used force",
        "By force others just cost you 3.00 health",
        "You are out: you can",
    ):
        assert sentence in said
    assert "Your health: 10.00 of 10. Others: agent_1 10.00, agent_2 10.00." in box.reset(seed=1)[0]["agent_0"]


@pytest.mark.plain
def test_a_replay_tells_what_was_done_to_others():
    run = boxes.run("HazardBox", {0: "toxic", 1: "thief", 2: "prosocial"}, boxes=1, seed=3, **{**LIVELY, "harm": 0.1})
    told = "\n".join(lines(run, failures=True))
    for part in (
        "agent 0 uses force: makes nothing of",
        "agent 1 steals from agent",
        "agent 2 publishes what is in its hand",
        " gets ",
        " loses ",
    ):
        assert part in told


@pytest.mark.plain
def test_the_picture_shows_who_is_harmed():
    """Red is there where force was used, and only then."""
    run = boxes.run("HazardBox", {"all": "toxic"}, boxes=1, seed=3, **{**LIVELY, "harm": 0.5, "board": 0, "horizon": 12})
    for states in run.replay():
        picture = Picture()
        draw_box(picture, run.variant.p, Row(states[0].copy()), None)
        red = (picture.array() == np.array(BAD)).all(axis=2).sum()
        assert (red > 100) == bool((states[0]["deed"] == FORCED).any())


@pytest.mark.slow
def test_a_snapshot_put_back_repeats_every_step_and_batches_are_the_boxes_one_by_one():
    envs = boxes.make_vec("HazardBox", 3, **LIVELY)
    single = hazard_v0.parallel_env(**LIVELY)
    seen, _ = envs.reset(seed=4)
    alone, _ = single.reset(seed=5)
    rng = np.random.default_rng(0)
    kept, taken, after = envs.get_state(), [], []
    for _ in range(49):
        actions = rng.integers(0, envs.single_action_space.n, (3, 3))
        taken.append(actions)
        seen, rewards, *_ = envs.step(actions)
        after.append((seen, rewards))
        alone, paid, *_ = single.step({f"agent_{i}": int(action) for i, action in enumerate(actions[1])})
        for i in range(3):
            np.testing.assert_array_equal(alone[f"agent_{i}"]["observation"], seen["observation"][1, i])
            np.testing.assert_array_equal(alone[f"agent_{i}"]["action_mask"], seen["action_mask"][1, i])
            assert paid[f"agent_{i}"] == rewards[1, i]
    envs.set_state(kept)
    for actions, before in zip(taken, after, strict=True):
        again = envs.step(actions)
        np.testing.assert_equal(again[0], before[0])
        np.testing.assert_array_equal(again[1], before[1])
