"""Dawn: whatever an agent said or did before it, in the morning it is told only what the rules of the box let through."""

import functools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from metarl_envs.boxes import invention_v0
from metarl_envs.boxes.envs.batch import make_vec
from metarl_envs.boxes.envs.seats import InventionSeat
from metarl_envs.boxes.envs.text_box import TextBox
from metarl_envs.boxes.world.mechanisms import verbs_of
from metarl_envs.engine.envs.single import SingleEnv
from metarl_envs.task_sets import TaskSet

#: The layout of rows of `test_boxes_api`, in which days end and all see each other.
DAYS = {
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
    "topology": "full",
    "day": 6,
    "horizon": 18,
}


def same(a, b):
    """Whether two things are the same, whatever they are nested in."""
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[key], b[key]) for key in a)
    if isinstance(a, list | tuple) or (isinstance(a, np.ndarray) and a.dtype == object):
        return len(a) == len(b) and all(map(same, a, b))
    return np.array_equal(a, b, equal_nan=True) if isinstance(a, np.ndarray) else a == b or (a != a and b != b)


@functools.cache
def in_words():
    return TextBox(invention_v0.parallel_env(**DAYS))


def morning(box, evening, said):
    """Texts and infos of the next morning, where agent 0 said this in the last steps of a day and the others what they say."""
    box.set_state(evening)
    for sentence in said[:-1]:
        box.step({"agent_0": sentence, "agent_1": "wait", "agent_2": "post 1"})
    texts, rewards, *_, infos = box.step({"agent_0": said[-1], "agent_1": "wait", "agent_2": "post 1"})
    assert infos["agent_0"]["memory_reset"]
    return texts, rewards, infos, box.malformed, box.illegal


#: Whatever a language model may come to say, and what is a sentence of the box but not allowed.
SAYINGS = st.one_of(
    st.text(max_size=200),
    st.sampled_from(["TO TOMORROW: dovut+dudol=samev", "\u0661\u202e\U0001f600", "x" * 5000, "\n\n\x1b[2J\x00", "\ud800"]),
    st.sampled_from(["{6}", "note 9", "erase 2", "note 1", "visit agent_1", "take", "combine {0} with {0}", "read 7"]),
    st.sampled_from([None, 7, b"wait", ["wait"], float("nan")]),
)


@settings(max_examples=150, deadline=None)
@given(SAYINGS, st.integers(0, 3), st.integers(0, 5))
def test_whatever_is_said_at_the_end_of_a_day_the_morning_is_the_same(said, seed, early):
    """Sentences that are none, or not allowed, in the last step of a day and in one before: texts and infos are the same."""
    box = in_words()
    box.reset(seed=seed)
    words = box.grammar().words
    said = said.format(*words) if isinstance(said, str) and "{" in said and said.isascii() and "}" in said else said
    for _ in range(4):
        box.step({agent: f"take {words[seed]}" for agent in box.agents})
    evening = box.get_state()
    waited = morning(box, evening, ["wait", "wait"])
    spoke = morning(box, evening, [said if early else "wait", said])
    assert spoke[0] == waited[0]
    assert same(spoke[2], waited[2])
    assert spoke[1] == waited[1]


def test_what_was_wrong_is_counted_where_no_agent_sees_it():
    box = in_words()
    box.reset(seed=0)
    evening = box.get_state()
    evening["box"]["worlds"]["state"]["t"] = 4
    *_, malformed, illegal = morning(box, evening, ["I say what I like", "erase 1"])
    assert malformed == {"agent_0": 1, "agent_1": 0, "agent_2": 0}
    assert illegal == {"agent_0": 1, "agent_1": 0, "agent_2": 2}


# ------------------------------------------------------------------------------------------------- numbers
def what_is_told(env, actions):
    """What all are told from the sixth step on, the morning, by these actions [steps, agents]; rewards are left out."""
    env.reset(seed=2)
    told = []
    for row in actions:
        if hasattr(env, "possible_agents"):
            given = {agent: int(action) for agent, action in zip(env.agents, row, strict=True)}
        else:
            given = np.resize(row, env.action_space.shape if hasattr(env, "action_space") else (2, 3))
        seen, _, *rest = env.step(given)
        told.append((seen, *rest))
    return told[5:]


DOORS = {
    "parallel": invention_v0.parallel_env,
    "batch": functools.partial(make_vec, "InventionBox", 2),
    "rows": functools.partial(make_vec, "InventionBox", 2, flat=True),
    "rows, Disabled": functools.partial(make_vec, "InventionBox", 2, flat=True, autoreset_mode="Disabled"),
    "rows, SameStep": functools.partial(make_vec, "InventionBox", 2, flat=True, autoreset_mode="SameStep"),
}


@pytest.mark.parametrize("door", DOORS)
def test_actions_that_are_not_allowed_tell_nothing_the_next_day(door):
    """All day agent 0 waits, or tries what is not allowed: the morning, and all that follows, is the same."""
    env = DOORS[door](**DAYS, ground_truth=True)
    verbs = verbs_of(env.unwrapped.variant.p if door == "parallel" else getattr(env, "boxes", env).variant.p)
    waits = np.full((12, 3), verbs.wait)
    forbidden = waits.copy()
    forbidden[:6, 0] = [verbs.note, verbs.erase, 9, verbs.post, verbs.erase + 1, 7]
    expected, told = what_is_told(env, waits), what_is_told(env, forbidden)
    assert all(map(same, told, expected))
    assert (env.illegal["agent_0"] if door == "parallel" else np.ravel(env.illegal)[0]) == 6


@pytest.mark.parametrize("maker", [0, 1], ids=["by oneself", "by another"])
def test_what_was_made_in_the_last_step_of_a_day_is_not_told_the_next(maker):
    """Neither to who made it nor to those who copied it: what came of it is forgotten in the same instant."""
    env, box = invention_v0.parallel_env(**DAYS), in_words()
    told = []
    for made in (True, False):
        env.reset(seed=0)
        box.reset(seed=0)
        wait, recipe = verbs_of(env.variant.p).wait, env.task["recipe"][4, 0].tolist()
        for action in [wait] * 4 + (recipe if made else [wait] * 2):
            numbers = {agent: action if agent == f"agent_{maker}" else wait for agent in env.agents}
            hands = box.box.world["hand"].tolist()
            texts, *_, infos = box.step({a: box.grammar().say(n, hands[int(a[-1])]) for a, n in numbers.items()})
            seen, *_, number_infos = env.step(numbers)
        assert (env.world["made"][maker] == 4) == made, "the world, which no agent sees, still tells"
        told.append((texts, infos, seen, number_infos))
    assert same(*told)


# ------------------------------------------------------------------------------------------------- the window
@pytest.mark.slow
def test_the_screen_of_a_seat_tells_nothing_the_next_day():
    """Neither what was not allowed, nor who of the others made something at the very end of the day."""
    tasks = TaskSet.of_family(InventionSeat, companions="waiting", **DAYS)
    env = SingleEnv(tasks, render_mode="rgb_array")
    verbs = verbs_of(tasks.variant.p)
    pictures, words = [], []
    for evening in ([verbs.wait] * 6, [verbs.wait] * 5 + [verbs.erase], [verbs.note] * 6, None):
        env.reset(seed=1)
        for action in evening or [verbs.wait] * 6:
            env.step(action)
        if evening is None:  # what an agent that is seen made in this step
            state = env.get_state()
            state["worlds"]["state"]["box"]["made"][0, 1] = 4
            env.set_state(state)
        pictures.append(env.render())
        words.append(env._scoreboard.render("ansi", env._worlds, 0, 1, False))
    assert all(np.array_equal(picture, pictures[0]) for picture in pictures)
    assert len(set(words)) == 1
    env.step(verbs.wait)
    assert not np.array_equal(env.render(), pictures[0])
