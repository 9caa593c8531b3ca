"""Boxes in words: sentences and actions are one to one, no text can break a box, and a text tells only what is seen."""

import functools
import warnings

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from metarl_envs.boxes import invention_v0
from metarl_envs.boxes.envs.text_box import TextBox
from metarl_envs.boxes.view.words import Grammar, text_for, words_for
from metarl_envs.boxes.world.mechanisms import verbs_of
from metarl_envs.boxes.world.tree import items_of

with warnings.catch_warnings():  # its own modules of tests import what it deprecates
    warnings.simplefilter("ignore")
    from pettingzoo.test import parallel_api_test

#: The layout of rows of `test_boxes_api`, with everything that can be spoken of.
LIVELY = {
    "agents": 3,
    "notes": 2,
    "board": 1,
    "page": 1,
    "lineages": 1,
    "levels": 3,
    "width": 2,
    "bases": 4,
    "recipes": 1,
    "dead_ends": 0.0,
    "crossover": 0,
    "topology": "chosen",
    "illusions": 0.4,
    "day": 9,
    "horizon": 80,
}


#: Without notes and board, and with holes and shapes enough for a grammar.
NO_NOTES = {"levels": 3, "width": 4, "bases": 16, "features": 3, "agents": 2, "crossover": 0}


@functools.cache
def shared():
    """One box for all examples of a property."""
    return TextBox(invention_v0.parallel_env(**LIVELY))


def speak(box, **sentences):
    """One step in which agents say this, and the others nothing."""
    return box.step(sentences)


def test_every_legal_action_has_a_sentence_that_means_it():
    box = shared()
    box.reset(seed=0)
    grammar, rng = box.grammar(), np.random.default_rng(0)
    verbs_met = set()
    while box.agents:
        actions = {}
        for i, agent in enumerate(box.agents):
            hand = int(box.box.world["hand"][i])
            mask = np.flatnonzero(box.box.state()[i, -verbs_of(box.box.variant.p).end :])
            for action in mask.tolist():
                sentence = grammar.say(action, hand)
                assert grammar.parse(sentence, hand) == (action, None, "")
                verbs_met.add(sentence.split()[0])
            actions[agent] = grammar.say(int(rng.choice(mask)), hand)
            assert box.action_space(agent).contains(actions[agent])
        infos = box.step(actions)[-1]
        assert not any(info["message"] for info in infos.values())
        assert not any([*box.illegal.values(), *box.malformed.values()])
    assert verbs_met == {"take", "combine", "note", "erase", "read", "post", "look", "visit", "wait"}


def test_a_game_in_words_is_the_game_in_numbers():
    numbers, box = invention_v0.parallel_env(**LIVELY), shared()
    numbers.reset(seed=3)
    box.reset(seed=3)
    rng, grammar = np.random.default_rng(0), box.grammar()
    while numbers.agents:
        hands = numbers.world["hand"].tolist()
        actions = {agent: int(rng.integers(verbs_of(numbers.variant.p).end)) for agent in numbers.agents}
        for i, agent in enumerate(numbers.agents):  # the one action that has no sentence: what is in the hand, again
            if actions[agent] == hands[i]:
                actions[agent] = items_of(numbers.variant.p)
        _, rewards, _, over, _ = numbers.step(actions)
        said = {agent: grammar.say(action, hands[i]) for i, (agent, action) in enumerate(actions.items())}
        _, text_rewards, _, text_over, _ = box.step(said)
        assert text_rewards == rewards
        assert text_over == over
        assert box.illegal == numbers.illegal
    assert sum(box.illegal.values()) > 10


def test_an_experiment_is_one_sentence_and_two_steps():
    box = shared()
    box.reset(seed=0)
    words = box.grammar().words
    a, b = (int(x) for x in box.box.task["recipe"][4, 0])
    *_, infos = speak(box, agent_0=f"combine {words[a]} with {words[b]}")
    assert infos["agent_0"]["busy"]
    assert not infos["agent_1"]["busy"]
    assert box.box.world["hand"].tolist() == [a, -1, -1]
    texts, rewards, *_, infos = speak(box)
    assert rewards["agent_0"] == 1.0
    assert not infos["agent_0"]["busy"]
    assert f"Your last experiment: {words[a]} with {words[b]} makes {words[4]}." in texts["agent_0"]
    speak(box, agent_0=f"take {words[b]}")
    *_, infos = speak(box, agent_0=f"combine {words[a]} with {words[b]}")  # the hand holds one of the two
    assert not infos["agent_0"]["busy"]
    assert box.box.world["tried"][0].tolist() == [b, a]


def test_what_is_said_replaces_the_second_half_and_dawn_takes_it_away():
    box = shared()
    box.reset(seed=0)
    words, wait = box.grammar().words, "wait"
    speak(box, agent_0=f"combine {words[0]} with {words[1]}")
    speak(box, agent_0=wait)
    assert box.box.world["hand"][0] == 0
    speak(box)
    assert box.box.world["hand"][0] == 0
    speak(box, agent_0=f"combine {words[0]} with {words[1]}")
    for _ in range(4):
        speak(box)
    *_, infos = speak(box, agent_0=f"combine {words[0]} with {words[1]}")  # the ninth step: dawn
    assert infos["agent_0"]["memory_reset"]
    assert not infos["agent_0"]["busy"]
    speak(box)
    assert (box.box.world["hand"] == -1).all()


@pytest.mark.parametrize(
    ("sentence", "why"),
    [
        ("", "is no sentence"),
        ("Wait", "is no sentence"),
        ("wait.", "is no sentence"),
        ("take  {0}", "is no sentence"),
        ("combine {0} and {1}", "is no sentence"),
        ("combine {0} with {0}", "two different things"),
        ("combine {0} with nothing", "nothing is called 'nothing'"),
        ("take sword", "nothing is called 'sword'"),
        ("note 0", "from 1 to 2"),
        ("note 3", "from 1 to 2"),
        ("note \u0661", "from 1 to 2"),
        ("note 01", "from 1 to 2"),
        ("note -1", "from 1 to 2"),
        ("read 99999999999999999999", "from 1 to 2"),
        ("visit agent_3", "to visit"),
        ("visit agent_-1", "to visit"),
        ("visit nobody", "to visit"),
        (7, "is no text"),
        (b"wait", "is no text"),
    ],
)
def test_what_is_no_sentence_is_wait_with_a_message_and_counted(sentence, why):
    box = shared()
    box.reset(seed=0)
    words = box.grammar().words
    said = sentence.format(*words) if isinstance(sentence, str) else sentence
    texts, *_, infos = speak(box, agent_1=said, agent_0="wait")
    assert why in infos["agent_1"]["message"]
    assert box.malformed == {"agent_0": 0, "agent_1": 1, "agent_2": 0}
    assert not any(box.illegal.values())
    assert texts["agent_1"].startswith("(")
    assert infos["agent_0"]["message"] == ""
    assert box.observation_space("agent_1").contains(texts["agent_1"])
    texts, *_, infos = speak(box, agent_1="wait")
    assert box.malformed["agent_1"] == 1
    assert infos["agent_1"]["message"] == ""
    assert not texts["agent_1"].startswith("(")


def test_with_a_full_hand_take_is_refused_and_says_what_to_say():
    box = shared()
    box.reset(seed=0)
    words = box.grammar().words
    speak(box, agent_0=f"take {words[0]}")
    *_, infos = speak(box, agent_0=f"take {words[1]}")
    assert f"say 'combine {words[0]} with {words[1]}'" in infos["agent_0"]["message"]
    *_, infos = speak(box, agent_0=f"combine {words[1]} with {words[2]}")
    assert f"your hand holds {words[0]}" in infos["agent_0"]["message"]
    assert box.box.world["hand"][0] == 0


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.one_of(
        st.text(),
        st.lists(
            st.sampled_from(["combine", "take", "with", "note", "read", "visit", "agent_1", "wait", "1", "2", "9", "", "\n"]),
            max_size=5,
        ).map(" ".join),
        st.none(),
        st.integers(),
    )
)
def test_no_text_breaks_a_box(sentence):
    box = shared()
    if not box.agents:
        box.reset(seed=0)
    texts, *_, infos = box.step({"agent_0": sentence})
    assert (infos["agent_0"]["message"] != "") == texts["agent_0"].startswith("(")
    assert box.observation_space("agent_0").contains(texts["agent_0"])


def test_words_are_new_in_each_box_and_the_same_in_each_process():
    assert words_for(3, 1) == ("zolov", "mokul", "fugas")
    many = words_for(4096, 12345)
    assert len(set(many)) == 4096
    assert len(set(words_for(100, 1)) & set(words_for(100, 2))) < 5
    box = shared()
    box.reset(seed=0, options={"task": 3})
    one = box.grammar().words
    box.reset(seed=1, options={"task": 3})
    assert box.grammar().words != one
    box.reset(seed=0, options={"task": 3})
    assert box.grammar().words == one


def test_a_text_tells_only_what_is_seen():
    """Nothing in it changes with the recipes, with what is true of things held, with others' hands, or with closed pages."""
    box = shared()
    box.reset(seed=5)
    grammar, rng = box.grammar(), np.random.default_rng(1)
    p, changed = box.box.variant.p, 0
    while box.agents:
        world = box.box.world
        views = box.box.state()
        for i in range(3):
            other = world.copy()
            other["held"] = np.where(world["held"] == 2, 1, world["held"])
            changed += (other["held"][i] != world["held"][i]).any()
            for name in ("held", "hand", "tried", "seemed", "open", "looking", "notes"):
                for j in {0, 1, 2} - {i}:
                    other[name][j] = 1 - other[name][j] % 2
            other["first_at"], other["first_by"], other["made"], other["illegal"] = 7, 1, 2, 9
            other["reward"][[j for j in range(3) if j != i]] = 3.0
            other["notes"][i, world["open"][i] == 0, :3] = 1  # closed: only whether something is written
            if not world["looking"][i, 0]:
                other["board"][:, :3] = 1
            sight = views[i, : -verbs_of(p).end][-3:] > 0
            assert text_for(p, world, i, sight, grammar.words) == text_for(p, other, i, sight, grammar.words)
        mask = views[:, -verbs_of(p).end :]
        hands = world["hand"].tolist()
        box.step({f"agent_{i}": grammar.say(int(rng.choice(np.flatnonzero(mask[i]))), hands[i]) for i in range(3)})
    assert changed


def test_a_text_tells_what_is_held_written_and_seen():
    box = TextBox(invention_v0.parallel_env(**{**LIVELY, "illusions": 0.0}))
    texts, _ = box.reset(seed=0)
    words = box.grammar().words
    text = texts["agent_0"]
    assert text.startswith("You are agent_0. Step 0 of 80. Day 1, step 0 of 9.\nYou remember nothing but what is written.")
    assert f"You have: {', '.join(sorted(words[:4]))}." in text
    assert "In sight: nobody." in text
    speak(box, agent_0=f"combine {words[0]} with {words[1]}", agent_1="visit agent_0")
    speak(box)
    texts, *_ = speak(box, agent_0="note 2")
    assert "In sight: agent_0." in texts["agent_1"]
    assert "page 2 (2 to 2) is closed (read 2); written: 2" in texts["agent_0"]
    speak(box, agent_0="post 1", agent_1="look 1")
    texts, *_ = speak(box, agent_0="read 2")
    made = box.box.world["seemed"][0]
    line = f"{words[0]} with {words[1]} makes {words[made] if made >= 0 else 'nothing'}"
    assert f"  2: {line}" in texts["agent_0"]
    assert f"  1: {line}" in texts["agent_1"]
    assert "is closed (look 1); written: 1" in texts["agent_2"]


@pytest.mark.plain
def test_with_a_grammar_holes_and_shapes_of_what_is_held_are_told():
    box = TextBox(invention_v0.parallel_env(structure="grammar", **NO_NOTES))
    texts, _ = box.reset(seed=0)
    words, task = box.grammar().words, box.box.task
    held = [f"{words[i]} (hole {task['hole'][i] + 1}, shape {task['shape'][i] + 1})" for i in range(32)]
    assert f"You have: {', '.join(sorted(held))}." in texts["agent_1"]
    assert "hole" not in TextBox(invention_v0.parallel_env(**NO_NOTES)).reset(seed=0)[0]["agent_0"]


@pytest.mark.plain
def test_a_box_without_notes_has_no_words_for_them():
    box = TextBox(invention_v0.parallel_env(**NO_NOTES))
    texts, _ = box.reset(seed=0)
    assert "Notes:" not in texts["agent_0"]
    assert box.grammar().forms() == "take X, combine X with Y, wait"
    box.step({"agent_0": "note 1", "agent_1": "visit agent_0"})
    assert box.malformed == {"agent_0": 1, "agent_1": 1}


def test_a_snapshot_keeps_what_is_still_to_be_done():
    box = shared()
    box.reset(seed=0)
    words = box.grammar().words
    speak(box, agent_0=f"combine {words[0]} with {words[1]}", agent_1="?")
    state = box.get_state()
    first = speak(box)
    box.set_state(state)
    again = speak(box)
    assert first[0] == again[0]
    assert first[-1] == again[-1]
    assert box.malformed["agent_1"] == 1


def test_pettingzoo_takes_it_for_an_environment():
    parallel_api_test(TextBox(invention_v0.parallel_env(**LIVELY)), num_cycles=100)
    with pytest.raises(ValueError, match="agent_9"):
        shared().step({"agent_9": "wait"})


def test_a_grammar_needs_no_box():
    p = invention_v0.parallel_env(**LIVELY).variant.p
    grammar = Grammar(p, words_for(items_of(p), 0))
    assert grammar.parse("visit agent_2", -1).action == verbs_of(p).visit + 2
