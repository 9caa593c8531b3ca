"""SealedBox from outside: PettingZoo, batches, words, pictures, replays; and that it stays what it is, compiled and plain."""

import functools
import hashlib
import warnings

import numpy as np
import pytest

from metarl_envs import boxes
from metarl_envs.boxes import sealed_v0
from metarl_envs.boxes.envs.text_box import TextBox
from metarl_envs.boxes.study.replay import lines
from metarl_envs.boxes.view.picture import claims_in_words, describe_box, draw_box, fate_of
from metarl_envs.boxes.view.words import text_for, words_in
from metarl_envs.boxes.world.mechanisms import verbs_of
from metarl_envs.engine import Picture, Row
from metarl_envs.engine.canvas import BAD, GOOD

with warnings.catch_warnings():  # its own modules of tests import what it deprecates
    warnings.simplefilter("ignore")
    from pettingzoo.test import api_test, parallel_api_test, parallel_seed_test, seed_test

MASKED = pytest.mark.filterwarnings(
    "ignore:Observation is not a NumPy array", "ignore:Observation space for each agent probably should be"
)
SMALL = {"agents": 3, "notes": 1, "board": 4, "page": 2, "levels": 3, "width": 2, "bases": 4, "recipes": 1, "dead_ends": 0.0}
#: A lively one: experiments deceive, days end, agents die, entries are garbled.
LIVELY = {**SMALL, "illusions": 0.3, "corruption": 0.5, "day": 15, "lifespan": 30, "selection": "mix", "horizon": 60}


@pytest.mark.slow
@pytest.mark.plain
@MASKED
def test_pettingzoo_accepts_it():
    parallel = functools.partial(sealed_v0.parallel_env, **LIVELY)
    parallel_api_test(parallel(), num_cycles=60)
    parallel_seed_test(parallel, num_cycles=30)
    api_test(sealed_v0.env(**LIVELY), num_cycles=60)
    seed_test(functools.partial(sealed_v0.env, **LIVELY), num_cycles=30)


def test_pettingzoo_finds_it_in_its_registry():
    pettingzoo = pytest.importorskip("pettingzoo")
    if not hasattr(pettingzoo, "parallel_registry"):
        pytest.skip("this PettingZoo has no registry")
    assert "MetaRL/SealedBox-v0" in pettingzoo.parallel_registry
    assert "MetaRL/SealedBox-v0" in pettingzoo.aec_registry


def digest_of(run):
    """A hash of all states of a run."""
    digest = hashlib.sha256()
    for states in run.replay():
        for name in ("held", "hand", "board", "claimed", "author", "confirmed", "refuted", "cited", "withdrawn", "has_cited"):
            digest.update(np.ascontiguousarray(states[name]).tobytes())
        digest.update(np.round(states["reward"], 9).tobytes())
    return digest.hexdigest()[:16]


#: What random lives come to, and scripted ones: a change of behaviour is a change of these.
GOLDEN = {
    ("random",): "5a880ca1939c042f",
    ("publisher", "replicator", "citer"): "c2a71aa070791d8e",
    ("sceptic", "conformist", "random"): "ebfe0e0edfcfc1c3",
}


@pytest.mark.plain
@pytest.mark.parametrize("names", list(GOLDEN)[-1:])
def test_it_stays_what_it_is_in_plain_mode(names):
    check(names)


@pytest.mark.slow
@pytest.mark.parametrize("names", list(GOLDEN))
def test_it_is_the_same_compiled(names):
    check(names)


def check(names):
    seats = {"all": names[0]} if len(names) == 1 else dict(enumerate(names))
    run = boxes.run("SealedBox", seats, boxes=2, seed=3, **LIVELY)
    assert digest_of(run) == GOLDEN[names]


@pytest.mark.plain
def test_every_legal_action_has_a_sentence_that_means_it_and_the_text_tells_of_claims():
    box = TextBox(sealed_v0.parallel_env(**{**LIVELY, "day": 0, "free_reading": True}))
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
    assert {"claim", "replicate", "retract", "cite"} <= met
    for part in (
        "(your claim; confirmed 0, refuted 0, cited 0)",
        "(claimed by agent_1; ",
        "(claimed by one who is dead; ",
        "cited 1)",
    ):
        assert part in said


@pytest.mark.plain
def test_a_replay_tells_what_was_claimed_and_what_became_of_it():
    run = boxes.run("SealedBox", {0: "publisher", 1: "replicator", 2: "citer"}, boxes=1, seed=3, **{**LIVELY, "day": 0})
    told = "\n".join(lines(run, failures=True))
    for part in (
        "agent 0 claims on the noticeboard, place ",
        "agent 1 replicates what place 1 claims: makes ",
        "agent 2 cites the claim at place ",
        " of the noticeboard is garbled: it says now that ",
    ):
        assert part in told


@pytest.mark.plain
def test_who_watches_sees_which_claims_are_true_and_who_plays_does_not():
    run = boxes.run("SealedBox", {"all": "publisher"}, boxes=1, seed=3, **{**LIVELY, "corruption": 0.0})
    *_, states = run.replay()
    p, state, task = run.variant.p, Row(states[0].copy()), Row(run.tasks[0])
    for k, (made, claimed) in enumerate([(4, 1), (5, 1), (4, 0), (-1, 0)]):
        state.board[k] = [*np.sort(task.recipe[4, 0]), made, 7 if made >= 0 else -1]
        state.claimed[k], state.confirmed[k], state.refuted[k], state.withdrawn[k] = claimed, 2 * claimed, 0, made < 0
    fates = [fate_of(p, state, task, k) for k in range(4)]
    assert fates == ["true", "false", "", "retracted"]
    assert claims_in_words(p, state, task) == "2 claims, 1 true"
    words = describe_box(p, state, task)
    assert "cited 0; true)" in words
    assert "cited 0; false)" in words
    assert "board 4: retracted" in words
    assert ("true" in describe_box(p, state, None)) is False
    colors = {}
    for shown in (task, None):
        picture = Picture()
        draw_box(picture, p, state, shown)
        colors[shown is task] = {name: (picture.array() == np.array(color)).all(axis=2).sum() for name, color in BARS.items()}
    assert colors[True]["true"] > 40 < colors[True]["false"]
    assert colors[False]["false"] == 0
    assert colors[True]["true"] > colors[False]["true"]  # lives are green too
    told = text_for(p, states[0], 0, np.zeros(3, bool), words_in(p, states[0]))
    assert "true" not in told
    assert "false" not in told


BARS = {"true": GOOD, "false": BAD}


@pytest.mark.slow
def test_a_snapshot_put_back_repeats_every_step_and_batches_are_the_boxes_one_by_one():
    envs = boxes.make_vec("SealedBox", 3, **LIVELY)
    single = sealed_v0.parallel_env(**LIVELY)
    seen, _ = envs.reset(seed=4)
    alone, _ = single.reset(seed=5)
    rng = np.random.default_rng(0)
    kept, taken, after = envs.get_state(), [], []
    for _ in range(59):
        actions = np.array([[rng.choice(np.flatnonzero(mask)) for mask in box] for box in seen["action_mask"]])
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
