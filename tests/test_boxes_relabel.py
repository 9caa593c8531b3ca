"""With `relabel="dawn"` forgetting is a property of the box: what was called so yesterday is called otherwise today."""

import itertools
import re

import numpy as np
import pytest

from metarl_envs import boxes
from metarl_envs.boxes import amnesia_v0
from metarl_envs.boxes.envs.seats import AmnesiaSeat
from metarl_envs.boxes.envs.text_box import TextBox
from metarl_envs.boxes.study.replay import lines
from metarl_envs.boxes.view.seat_picture import SeatView
from metarl_envs.boxes.view.words import words_for, words_in
from metarl_envs.boxes.world.tree import items_of
from metarl_envs.engine import Row
from metarl_envs.engine.envs.single import SingleEnv
from metarl_envs.task_sets import TaskSet

pytestmark = pytest.mark.plain
SMALL = {"levels": 3, "width": 4, "bases": 8, "recipes": 1, "dead_ends": 0.0, "notes": 3, "day": 6, "horizon": 21}
SMALL |= {"free_reading": True}


def in_words(**params):
    return TextBox(amnesia_v0.parallel_env(**{**SMALL, "relabel": "dawn", **params}))


def test_no_word_comes_back():
    """Three days and a half: from dawn to dawn words stay, and then all of them are others."""
    box = in_words()
    box.reset(seed=3)
    words = [box.grammar().words]
    while box.agents:
        box.step({})
        words.append(box.grammar().words)
    assert [len(set(words[first:end])) for first, end in ((0, 6), (6, 12), (12, 18), (18, 22))] == [1, 1, 1, 1]
    days = [word for t in (0, 6, 12, 18) for word in words[t]]
    assert len(set(days)) == len(days) == 4 * 20
    box.reset(seed=3)
    assert box.grammar().words == words[0]


def test_without_it_words_are_what_they_were():
    box = in_words(relabel="never")
    box.reset(seed=3)
    before = box.grammar().words
    for _ in range(13):
        box.step({})
    assert box.grammar().words == before == words_for(20, int(box.box.world["words"]))


def test_what_is_written_is_told_in_the_words_of_the_day():
    box = in_words()
    texts, _ = box.reset(seed=0)
    a, b = box.box.task["recipe"][8, 0].tolist()
    first = box.grammar().words
    for said in (f"combine {first[a]} with {first[b]}", None, "note 2", "wait"):
        texts, *_ = box.step({"agent_0": said})
    assert f"  2: {first[a]} with {first[b]} makes {first[8]}" in texts["agent_0"].splitlines()
    for _ in range(2):
        texts, *_, infos = box.step({"agent_0": "wait"})
    assert infos["agent_0"]["memory_reset"]
    then = box.grammar().words
    assert f"  2: {then[a]} with {then[b]} makes {then[8]}" in texts["agent_0"].splitlines()
    assert not set(re.findall(r"\w+", texts["agent_0"])) & set(first), "nothing of yesterday is heard of"


def test_who_remembers_yesterday_in_secret_is_not_understood():
    box = in_words()
    box.reset(seed=0)
    yesterday = box.grammar().words
    for _ in range(6):
        box.step({})
    for sentence in (f"take {yesterday[0]}", f"combine {yesterday[0]} with {yesterday[1]}"):
        *_, infos = box.step({"agent_0": sentence})
        assert infos["agent_0"]["message"].startswith(f"nothing is called '{yesterday[0]}'. You waited.")
    assert box.box.world["hand"][0] == -1


def test_the_order_of_things_tells_nothing_of_yesterday():
    """In text and among tiles, which are found by their keys: of 40 boxes about one in 8! keeps its order."""
    same = {"text": 0, "tiles": 0}
    for seed in range(40):
        box = in_words(agents=1)
        texts, _ = box.reset(seed=seed)
        order = []
        for t in range(7):
            words = box.grammar().words
            told = re.search(r"You have: (.*)\.", texts["agent_0"])[1].split(", ")
            tiles = list(SeatView(box.box.variant.p, Row(box.box.world)).tiles)
            order.append(([words.index(word) for word in told], tiles))
            assert sorted(tiles) == list(range(8))
            texts, *_ = box.step({}) if t < 6 else (texts,)
        assert order[0] == order[5]
        same["text"] += order[0][0] == order[6][0]
        same["tiles"] += order[0][1] == order[6][1]
    assert same == {"text": 0, "tiles": 0}


def test_numbers_stay():
    rows = []
    for relabel in ("never", "dawn"):
        env = amnesia_v0.parallel_env(**SMALL, relabel=relabel)
        env.reset(seed=1)
        for action in (0, 1, 21, 2, 3, 4, 0, 1):
            seen, *_ = env.step({"agent_0": action})
            rows.append(np.concatenate(list(seen["agent_0"].values())))
    np.testing.assert_array_equal(rows[:8], rows[8:])


def test_a_seat_has_other_words_in_each_episode_and_day():
    env = SingleEnv(TaskSet.of_family(AmnesiaSeat, split=None, **SMALL, relabel="dawn"), episodes_per_trial=2)
    p, seen = env.variant.p, []
    env.reset(seed=0)
    for t in range(42):
        if t % 21 % 6 == 0:
            seen.append(words_in(p, env.get_state()["worlds"]["state"]["box"][0]))
        env.step(env.action_space.n - 1)
    assert len(seen) == 8
    assert all(len(set(day)) == 20 for day in seen)
    for episode in (seen[:4], seen[4:]):
        assert len({word for day in episode for word in day}) == 80
    assert seen[0] != seen[4]


def test_a_run_is_told_in_the_words_of_the_day_it_was():
    run = boxes.run("AmnesiaBox", {0: "oracle"}, boxes=1, **SMALL, relabel="dawn")
    p, told, made = run.variant.p, list(lines(run)), 0
    states = [states[0].copy() for states in run.replay()]
    for t, (before, after) in enumerate(itertools.pairwise(states), 1):
        if (item := int(after["made"][0])) >= 0:
            made += 1
            word = words_in(p, before)[item]
            assert any(line.startswith(f"step {t:5}  agent 0 makes {word} ") for line in told)
    assert made > 6


@pytest.mark.parametrize(
    ("params", "problem"),
    [
        ({"day": 0}, "relabel='dawn' needs days: give day=60 or so"),
        ({"levels": 500, "horizon": 30000}, "relabel='dawn' needs 10040000 words, one an item and day, and there are 60000"),
    ],
)
def test_what_cannot_be_is_refused(params, problem):
    with pytest.raises(ValueError, match=problem):
        in_words(**params)


def test_there_are_as_many_words_as_said():
    assert len(set(words_for(60_000, 1))) == 60_000
    assert items_of(amnesia_v0.parallel_env(**SMALL).variant.p) == 20
