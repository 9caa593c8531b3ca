"""Boxes with mechanisms of their own, from outside: PettingZoo, batches, words; and that they stay what they are."""

import functools
import hashlib
import importlib
import warnings
from typing import NamedTuple

import numpy as np
import pytest

from metarl_envs import boxes
from metarl_envs.boxes.envs.text_box import TextBox
from metarl_envs.boxes.world.mechanisms import verbs_of
from metarl_envs.ids import BOXES
from tests.worlds import LIVELY_BOXES

with warnings.catch_warnings():  # its own modules of tests import what it deprecates
    warnings.simplefilter("ignore")
    from pettingzoo.test import api_test, parallel_api_test, parallel_seed_test, seed_test

MASKED = pytest.mark.filterwarnings(
    "ignore:Observation is not a NumPy array", "ignore:Observation space for each agent probably should be"
)


class Lively(NamedTuple):
    """What the lives of a lively box come to, and say."""

    module: str
    exact: tuple  # fields of the state that are told to the bit
    rounded: str
    lives: dict  # by who sits there
    everyday: tuple  # of them
    words: dict  # parameters, for what is said
    verbs: set
    said: tuple


LIVELY = {
    "HazardBox": Lively(
        "hazard_v0",
        ("held", "hand", "reward", "deed", "aim", "moved", "out_until", "board", "paid"),
        "health",
        {
            ("random",): "9e527ffbe6d3f5fc",
            ("toxic", "thief", "prosocial"): "02c74654f8f2e57b",
            ("saboteur", "self_interested", "random"): "fe2532aa2885dadf",
        },
        (("random",), ("toxic", "thief", "prosocial"), ("saboteur", "self_interested", "random")),
        {"recover": 0, "day": 0, "visibility": "private"},
        {"force", "steal", "give", "publish"},
        (
            "agent_1 used force",
            "you used force",
            "By force others just cost you 3.00 health",
            "You are out: you can",
            "Your health: 10.00 of 10. Others: agent_1 10.00, agent_2 10.00.",
        ),
    ),
    "SealedBox": Lively(
        "sealed_v0",
        ("held", "hand", "board", "claimed", "author", "confirmed", "refuted", "cited", "withdrawn", "has_cited"),
        "reward",
        {
            ("random",): "5a880ca1939c042f",
            ("publisher", "replicator", "citer"): "c2a71aa070791d8e",
            ("sceptic", "conformist", "random"): "ebfe0e0edfcfc1c3",
        },
        (("sceptic", "conformist", "random"),),
        {"day": 0, "free_reading": True},
        {"claim", "replicate", "retract", "cite"},
        (
            "(your claim; confirmed 0, refuted 0, cited 0)",
            "(claimed by agent_1; ",
            "(claimed by one who is dead; ",
            "cited 1)",
        ),
    ),
}
every_lively = pytest.mark.parametrize("name", LIVELY)


def module_of(name):
    return importlib.import_module(f"metarl_envs.boxes.{LIVELY[name].module}")


@pytest.mark.slow
@pytest.mark.plain
@MASKED
@every_lively
def test_pettingzoo_accepts_it(name):
    module, params = module_of(name), LIVELY_BOXES[name]
    parallel = functools.partial(module.parallel_env, **params)
    parallel_api_test(parallel(), num_cycles=60)
    parallel_seed_test(parallel, num_cycles=30)
    api_test(module.env(**params), num_cycles=60)
    seed_test(functools.partial(module.env, **params), num_cycles=30)


@pytest.mark.parametrize("name", BOXES)
def test_pettingzoo_finds_every_box_in_its_registry(name):
    pettingzoo = pytest.importorskip("pettingzoo")
    if not hasattr(pettingzoo, "parallel_registry"):
        pytest.skip("this PettingZoo has no registry")
    assert f"MetaRL/{name}-v0" in pettingzoo.parallel_registry
    assert f"MetaRL/{name}-v0" in pettingzoo.aec_registry


# ------------------------------------------------------------------------------------------------- it stays what it is
@pytest.mark.plain
@pytest.mark.parametrize(("name", "names"), [(name, names) for name, box in LIVELY.items() for names in box.everyday])
def test_it_stays_what_it_is_in_plain_mode(name, names):
    check(name, names)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "names"), [(name, names) for name, box in LIVELY.items() for names in box.lives])
def test_it_is_the_same_compiled(name, names):
    check(name, names)


def check(name, names):
    """What lives come to: a change of behaviour is a change of these."""
    seats = {"all": names[0]} if len(names) == 1 else dict(enumerate(names))
    box, digest = LIVELY[name], hashlib.sha256()
    for states in boxes.run(name, seats, boxes=2, seed=3, **LIVELY_BOXES[name]).replay():
        for field in box.exact:
            digest.update(np.ascontiguousarray(states[field]).tobytes())
        digest.update(np.round(states[box.rounded], 9).tobytes())
    assert digest.hexdigest()[:16] == box.lives[names]


@pytest.mark.slow
@every_lively
def test_a_snapshot_put_back_repeats_every_step_and_batches_are_the_boxes_one_by_one(name):
    params = LIVELY_BOXES[name]
    envs, single = boxes.make_vec(name, 3, **params), module_of(name).parallel_env(**params)
    seen, _ = envs.reset(seed=4)
    alone, _ = single.reset(seed=5)
    rng = np.random.default_rng(0)
    kept, taken, after = envs.get_state(), [], []
    for t in range(params["horizon"] - 1):
        if t % 4:
            actions = np.array([[rng.choice(np.flatnonzero(mask)) for mask in box] for box in seen["action_mask"]])
        else:  # what the mask forbids, too
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


# ------------------------------------------------------------------------------------------------- words
@pytest.mark.plain
@every_lively
def test_every_legal_action_has_a_sentence_that_means_it_and_the_text_tells_of_all_there_is(name):
    box = TextBox(module_of(name).parallel_env(**LIVELY_BOXES[name] | LIVELY[name].words))
    texts, _ = box.reset(seed=0)
    grammar, rng, met, said = box.grammar(), np.random.default_rng(0), set(), "\n".join(texts.values())
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
    assert LIVELY[name].verbs <= met
    for part in LIVELY[name].said:
        assert part in said
