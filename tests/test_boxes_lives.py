"""Lives: who is born when, what a newborn has, and what it learns from whom; against plain arithmetic and brute force."""

import itertools
import warnings

import gymnasium as gym
import numpy as np
import pytest
from scipy import stats

from metarl_envs import boxes
from metarl_envs.boxes import generations_v0
from metarl_envs.boxes.envs.batch import make_vec
from metarl_envs.boxes.envs.seat import action_mask, kept
from metarl_envs.boxes.envs.seats import GenerationsSeat
from metarl_envs.boxes.envs.social import SocialPay
from metarl_envs.boxes.envs.text_box import TextBox
from metarl_envs.boxes.study.replay import lines
from metarl_envs.boxes.view.numbers import numbers_of, view_length
from metarl_envs.boxes.view.words import names_of
from metarl_envs.boxes.world.core import ABSENT, ILLUSORY, REAL
from metarl_envs.boxes.world.lives import LIVES, TEACHERS
from metarl_envs.boxes.world.mechanisms import verbs_of
from metarl_envs.boxes.world.notes import MADE, WHEN, A, B
from metarl_envs.boxes.world.tree import levels_of
from metarl_envs.engine import Row
from metarl_envs.engine.envs.single import SingleEnv
from metarl_envs.task_sets import TaskSet

pytestmark = pytest.mark.plain
SMALL = {"agents": 3, "notes": 2, "page": 2, "levels": 3, "width": 4, "bases": 8, "recipes": 1, "dead_ends": 0.0}
SMALL |= {"lifespan": 9, "apprenticeship": 4, "horizon": 1000}


def opened(seed=0, **params):
    env = generations_v0.parallel_env(**{**SMALL, **params})
    env.reset(seed=seed)
    return env


def do(env, **actions):
    """One step in which agents do this, by name, and the others wait."""
    wait = verbs_of(env.variant.p).wait
    return env.step({agent: actions.get(agent, wait) for agent in env.agents})


def number(env, what, agent):
    """The numbers that an agent sees of lives: what is left of its own, whether anybody learns from it, and its teachers."""
    seen = env.state()[int(agent[-1]), : view_length(env.variant.p)][numbers_of(env.variant.p, LIVES)]
    return {"left": seen[0], "teaches": seen[1], "teachers": np.flatnonzero(seen[2:]).tolist()}[what]


# ------------------------------------------------------------------------------------------------- ages and births
@pytest.mark.parametrize(
    ("agents", "lifespan", "staggered"), [(3, 9, True), (4, 10, True), (3, 7, False), (5, 3, True), (2, 1, True)]
)
def test_ages_and_births_are_those_of_plain_arithmetic(agents, lifespan, staggered):
    env = opened(agents=agents, lifespan=lifespan, staggered=staggered, channel="none", horizon=40)
    head_start = np.arange(agents) * lifespan // agents if staggered else np.zeros(agents, int)
    for t in range(1, 41):
        *_, infos = do(env)
        lived = t + head_start  # since the first life in this slot would have begun
        np.testing.assert_array_equal(env.world["life"], lived // lifespan)
        np.testing.assert_array_equal(t - env.world["born"], lived % lifespan)
        born = lived % lifespan == 0
        assert [info["memory_reset"] for info in infos.values()] == born.tolist()


def test_somebody_dies_every_so_many_steps():
    env = opened(agents=6, lifespan=60, horizon=130, channel="none", levels=1)
    deaths = []
    for t in range(1, 131):
        do(env)
        deaths += [t] * int(env.world["forgot"].sum())
    assert deaths == list(range(10, 131, 10))
    assert env.world["life"].tolist() == [2, 2, 2, 2, 2, 3]


def test_a_newborn_has_the_bases_and_nothing_else():
    """Agent 1 dies after six steps, agent 0 after nine."""
    env = opened(channel="none", topology="chosen")
    verbs, (a, b) = verbs_of(env.variant.p), env.task["recipe"][8, 0].tolist()
    do(env, agent_0=a, agent_1=verbs.visit)
    do(env, agent_0=b, agent_1=a)
    do(env, agent_0=verbs.note)
    do(env, agent_0=a)
    assert env.world["held"][0, 8] == REAL
    assert env.world["where"].tolist() == [-1, 0, -1]
    while env.world["t"] < 8:
        do(env)
    assert env.world["where"].tolist() == [-1, -1, -1], "the newborn visits nobody"
    assert env.world["hand"].tolist() == [a, -1, -1], "agent 1 died; agent 0 did not yet"
    assert env.world["notes"][0, 0, :WHEN].tolist() == [a, b, 8]
    *_, infos = do(env)
    assert [info["memory_reset"] for info in infos.values()] == [True, False, False]
    assert env.world["held"][0].tolist() == [REAL] * 8 + [ABSENT] * 12
    assert (env.world["hand"][0], env.world["tried"][0, 0], env.world["notes"][0, 0, WHEN]) == (-1, -1, -1)


def test_a_newborn_sees_the_same_whatever_the_dead_did():
    """Without a channel nothing passes from life to life, by numbers, infos or rewards."""
    told = []
    for luck in range(4):
        env, rng = opened(channel="none", seed=5), np.random.default_rng(luck)
        seen, infos = {}, {}
        for _ in range(9):  # agent 0 dies after nine steps
            mask = env.state()[0, view_length(env.variant.p) :]
            seen, *_, infos = do(env, agent_0=int(rng.choice(np.flatnonzero(mask))))
        assert infos["agent_0"]["memory_reset"]
        told.append((seen["agent_0"], infos["agent_0"]))
    for one, info in told[1:]:
        assert info == told[0][1]
        for name in one:
            np.testing.assert_array_equal(one[name], told[0][0][name])


def test_what_is_left_of_a_life_is_seen():
    env = opened(channel="none")
    for t in range(1, 20):
        do(env)
        for i in range(3):
            assert number(env, "left", f"agent_{i}") == pytest.approx(1 - (t + 3 * i) % 9 / 9)


def test_nobody_dies_where_lifespan_is_0():
    env = opened(lifespan=0)
    for _ in range(60):
        *_, infos = do(env)
        assert not any(info["memory_reset"] for info in infos.values())
        assert number(env, "left", "agent_0") == 0
    assert not env.world["life"].any()


# ------------------------------------------------------------------------------------------------- teachers
def rank(world, teacher, j):
    return {"oldest": world["t"] - world["born"][j], "most_successful": world["earned"][j], "random": 0}[teacher]


@pytest.mark.parametrize("teacher", TEACHERS[1:])
def test_teachers_are_chosen_as_said(teacher):
    """By brute force, at every birth and wherever a teacher dies, among those who live already."""
    chosen = []
    for seed in range(3):
        env, rng = (
            opened(seed=seed, agents=4, lifespan=12, teacher=teacher, horizon=50, topology="isolated"),
            np.random.default_rng(seed),
        )
        before = env.world["teacher"].copy()
        for _ in range(50):
            masks = env.state()[:, view_length(env.variant.p) :]
            acted = {f"agent_{i}": int(rng.choice(np.flatnonzero(masks[i]))) for i in range(4)}
            world = env.world
            do(env, **acted)
            age = world["t"] - world["born"]
            for i in range(4):
                if age[i] == 0 or (before[i] >= 0 and age[before[i]] == 0):
                    there = [j for j in range(4) if j != i and age[j] > 0]
                    best = max(rank(world, teacher, j) for j in there)
                    assert world["teacher"][i] in [j for j in there if rank(world, teacher, j) == best]
                    chosen += [(world["teacher"][i] - i) % 4] if age[i] == 0 else []
                else:
                    assert world["teacher"][i] == before[i]
            before = world["teacher"].copy()
    assert len(chosen) > 40
    if teacher == "random":
        assert stats.chisquare(np.bincount(chosen)[1:]).pvalue > 1e-3
    if teacher == "oldest":  # who dies next
        assert set(chosen) == {3}


def test_what_was_earned_counts_from_birth():
    env, total = opened(teacher="most_successful"), np.zeros(3)
    rng = np.random.default_rng(0)
    for _ in range(60):
        masks = env.state()[:, view_length(env.variant.p) :]
        _, rewards, *_, infos = do(env, **{f"agent_{i}": int(rng.choice(np.flatnonzero(masks[i]))) for i in range(3)})
        total += list(rewards.values())
        total[[info["memory_reset"] for info in infos.values()]] = 0
        np.testing.assert_array_equal(env.world["earned"], total)
        if not env.agents:
            break
    assert total.any()


def test_an_apprentice_knows_from_whom_it_learns_and_the_teacher_that_it_is_learned_from():
    env = opened()
    for _ in range(30):
        do(env)
        age, teacher = env.world["t"] - env.world["born"], env.world["teacher"]
        for i in range(3):
            assert number(env, "teachers", f"agent_{i}") == ([teacher[i]] if age[i] < 4 else [])
            assert number(env, "teaches", f"agent_{i}") == any(age[j] < 4 and teacher[j] == i for j in range(3))


# ------------------------------------------------------------------------------------------------- demonstrations
def lesson(env, things, had=()):
    """A step in which agent 0 is a newborn whose teacher, agent 2, has these things: what it has thereafter that it had not."""
    world = env.world
    world["t"], world["born"], world["teacher"] = 20, [19, 15, 13], [2, 2, 1]
    world["noise"] = np.random.default_rng(world["noise"]).integers(2**63)
    world["held"] = [REAL] * 8 + [ABSENT] * 12
    for item, kind in things.items():
        world["held"][2, item] = kind
    for item, kind in dict(had).items():
        world["held"][0, item] = kind
    before = world["held"].copy()
    do(env)
    assert (world["held"][1:] == before[1:]).all()
    return {int(x): int(world["held"][0, x]) for x in np.flatnonzero(world["held"][0] != before[0])}


def test_a_newborn_copies_one_thing_that_its_teacher_has_and_it_lacks_by_lot():
    env, things, learned = opened(), {9: REAL, 12: ILLUSORY, 13: REAL, 14: REAL, 18: ILLUSORY}, []
    for _ in range(300):
        had = {14: REAL, 12: REAL, 13: ILLUSORY}
        found = lesson(env, things, had)
        assert len(found) == 1
        learned += found.items()
    counts = {item: learned.count(item) for item in set(learned)}
    assert set(counts) == {(9, REAL), (13, REAL), (18, ILLUSORY)}, "as real as teachers have it"
    assert stats.chisquare(list(counts.values())).pvalue > 1e-3
    assert lesson(env, {9: REAL}, {9: REAL}) == {}
    assert lesson(env, {}) == {}


def test_with_all_for_teachers_it_copies_from_anybody():
    env = opened(teacher="all")
    learned = set()
    for _ in range(60):
        env.world["held"][1, 10] = REAL
        world = env.world
        world["t"], world["born"] = 20, [19, 15, 13]
        world["noise"] = np.random.default_rng(world["noise"]).integers(2**63)
        world["held"] = [REAL] * 8 + [ABSENT] * 12
        world["held"][1, 10], world["held"][2, [10, 11]] = REAL, ILLUSORY
        do(env)
        learned |= {(int(x), int(world["held"][0, x])) for x in np.flatnonzero(world["held"][0]) if x >= 8}
    assert learned == {(10, REAL), (11, ILLUSORY)}, "real if anybody has it so"


@pytest.mark.parametrize("params", [{"channel": "none"}, {"channel": "board", "board": 2}, {"fidelity": 0.0}])
def test_nothing_is_copied_where_there_is_no_demonstration(params):
    env = opened(**params)
    assert all(lesson(env, {9: REAL, 10: REAL}) == {} for _ in range(20))
    assert params.get("fidelity") == 0.0 or number(env, "teachers", "agent_0") == []


def test_fidelity_is_the_chance_to_copy():
    env = opened(fidelity=0.3)
    copied = sum(bool(lesson(env, {9: REAL, 10: REAL})) for _ in range(240))
    assert stats.binomtest(copied, 240, 0.3).pvalue > 1e-3


def test_an_apprenticeship_lasts_as_long_as_said():
    env = opened()
    for _ in range(60):  # agent 1 always has something that others have not yet
        env.world["held"][:, 8:] = ABSENT
        env.world["held"][1, 8] = env.world["held"][2, 8] = REAL
        age = env.world["t"] - env.world["born"][0]
        do(env)
        if env.world["born"][0] != env.world["t"]:
            assert (env.world["held"][0, 8] == REAL) == (age < 4)


def test_a_copy_that_goes_wrong_looks_like_another_thing_of_the_level():
    env, learned = opened(copy_error=1.0), []
    for _ in range(240):
        found = lesson(env, {9: REAL}, {8: REAL})
        assert set(found.values()) <= {ILLUSORY}
        learned += list(found) or [8]
    counts = np.bincount(learned, minlength=20)
    assert counts[[9]].sum() == 0, "never the thing itself"
    assert counts[8] + counts[10] + counts[11] == 240, "of the same level; one that it has stays as it is"
    assert stats.chisquare(counts[[8, 10, 11]]).pvalue > 1e-3


def test_copies_go_wrong_as_often_as_said():
    env = opened(copy_error=0.2)
    wrong = sum(ILLUSORY in lesson(env, {9: REAL}).values() for _ in range(240))
    assert stats.binomtest(wrong, 240, 0.2).pvalue > 1e-3


def test_what_teachers_copy_in_a_step_is_learned_in_the_next():
    """Agents 0 and 1 learn from each other and from agent 2; the order in which they are gone through does not matter."""
    env = opened(agents=3)
    world = env.world
    world["t"], world["born"], world["teacher"] = 20, [19, 19, 14], [1, 2, 1]
    world["held"] = [REAL] * 8 + [ABSENT] * 12
    world["held"][2, 9] = REAL
    do(env)
    assert world["held"][:, 9].tolist() == [ABSENT, REAL, REAL]
    do(env)
    assert world["held"][:, 9].tolist() == [REAL, REAL, REAL]
    assert world["gained"].tolist() == [1, 0, 0]


@pytest.mark.parametrize("teacher", ["all", "random"])
def test_boxes_side_by_side_see_what_is_seen_anew(teacher):
    """Where little changes in a step only that is looked at again: also what was copied from teachers."""
    params = {**SMALL, "teacher": teacher, "channel": "both", "board": 2, "copy_error": 0.3, "illusions": 0.3, "horizon": 50}
    many, one, rng = make_vec("GenerationsBox", 2, **params), generations_v0.parallel_env(**params), np.random.default_rng(0)
    seen, _ = many.reset(seed=3)
    one.reset(seed=4)
    for _ in range(50):
        masks = seen["action_mask"]
        actions = np.array([[rng.choice(np.flatnonzero(masks[b, i])) for i in range(3)] for b in range(2)])
        seen, rewards, _, _, info = many.step(actions)
        _, paid, *_, infos = one.step(dict(zip(one.agents, actions[1].tolist(), strict=True)))
        both = np.concatenate([seen["observation"][1], seen["action_mask"][1]], axis=1)
        np.testing.assert_array_equal(both, one.state())
        assert list(paid.values()) == rewards[1].tolist()
        assert info["memory_reset"][1].tolist() == [info["memory_reset"] for info in infos.values()]
    assert (many.worlds["held"] == ILLUSORY).any()


# ------------------------------------------------------------------------------------------------- what is written
def test_the_noticeboard_stays_and_notebooks_do_not():
    env = opened(channel="board", board=1)
    verbs, (a, b) = verbs_of(env.variant.p), env.task["recipe"][8, 0]
    do(env, agent_0=a)
    do(env, agent_0=b)
    do(env, agent_0=verbs.post)
    do(env, agent_0=verbs.note)
    for _ in range(12):
        do(env)
    assert env.world["life"].tolist() == [1, 2, 2]
    assert env.world["board"][0].tolist() == [a, b, 8, 2]
    assert (env.world["notes"][..., WHEN] == -1).all()


def written(env, entries):
    """The notebook of agent 0 after it dies with these entries."""
    world = env.world
    world["noise"] = np.random.default_rng(world["noise"]).integers(2**63)
    world["t"], world["born"] = 20, [12, 15, 18]
    world["notes"][0] = entries
    do(env)
    assert world["life"][0] > 0
    return world["notes"][0].tolist()


def test_notebooks_are_inherited_where_they_are():
    env = opened(inherit="notes")
    entries = [[0, 1, 8, 5], [-1, -1, -1, -1]]
    assert written(env, entries) == entries
    assert not env.world["open"][0].any(), "pages are closed"


@pytest.mark.parametrize("made", [8, -1])
def test_a_miscopied_entry_names_one_wrong_thing_of_the_level(made):
    """Each of what it names as often, and nothing is combined with itself."""
    env, wrong, levels = opened(inherit="notes", copy_error=0.6), [], levels_of(opened().variant.p)
    for _ in range(300):
        (entry, empty) = written(env, [[0, 1, made, 5], [-1, -1, -1, -1]])
        assert empty == [-1, -1, -1, -1]
        assert entry[A] != entry[B]
        changed = [k for k in range(3) if entry[k] != [0, 1, made][k]]
        assert len(changed) <= 1
        assert all(levels[entry[k]] == levels[[0, 1, made][k]] for k in changed)
        wrong += changed
    assert stats.binomtest(len(wrong), 300, 0.6).pvalue > 1e-3
    assert stats.chisquare(np.bincount(wrong)).pvalue > 1e-3
    assert max(wrong) == (MADE if made >= 0 else B)


def test_posts_are_miscopied_once_when_they_are_posted():
    env, wrong = opened(channel="board", board=2, copy_error=0.5, horizon=1000, lifespan=1000), 0
    verbs, (a, b) = verbs_of(env.variant.p), env.task["recipe"][8, 0].tolist()
    do(env, agent_0=a)
    do(env, agent_0=b)
    for n in range(150):
        do(env, agent_0=verbs.post + n % 2)
        posted = env.world["board"][n % 2].tolist()
        assert posted[WHEN] == env.world["t"] - 1
        wrong += posted[:WHEN] != [a, b, 8]
        do(env)
        assert env.world["board"][n % 2].tolist() == posted
    assert stats.binomtest(wrong, 150, 0.5).pvalue > 1e-3


# ------------------------------------------------------------------------------------------------- what does not go together
@pytest.mark.parametrize(
    ("params", "problem"),
    [
        ({"channel": "demonstration", "agents": 1}, "needs somebody to learn from: give agents=2 or more"),
        ({"apprenticeship": 0}, "apprenticeship=0 must be from 1 to lifespan=9"),
        ({"apprenticeship": 10}, "apprenticeship=10 must be from 1 to lifespan=9"),
        (
            {"channel": "none", "board": 2},
            "channel='none' and board=2 contradict each other: .* give board=0, or channel='board'",
        ),
        ({"channel": "both"}, "channel='both' and board=0 contradict each other: .* give board=8"),
        ({"inherit": "notes", "notes": 0}, "inherit='notes' needs a notebook to inherit: give notes=8"),
    ],
)
def test_what_does_not_go_together_is_refused_with_the_reason(params, problem):
    with pytest.raises(ValueError, match=problem):
        generations_v0.parallel_env(**{**SMALL, **params})


def test_a_box_without_lives_knows_nothing_of_them():
    from metarl_envs.boxes import invention_v0

    assert "born" not in invention_v0.parallel_env().variant.state.names
    with pytest.raises(TypeError, match="unexpected keyword argument 'lifespan'"):
        invention_v0.parallel_env(lifespan=60)


# ------------------------------------------------------------------------------------------------- as it is told
def test_an_agent_is_told_in_words_what_its_numbers_say():
    env = generations_v0.parallel_env(**SMALL)
    box = TextBox(env)
    texts, _ = box.reset(seed=0)
    for t in range(1, 30):
        texts, *_ = box.step({})
        for agent, text in texts.items():
            left, teachers = round(9 * number(env, "left", agent)), number(env, "teachers", agent)
            line = f"You have {left} of 9 steps to live." + "".join(f" You learn from agent_{j}." for j in teachers)
            assert line + " Somebody learns from you." * bool(number(env, "teaches", agent)) in text.splitlines()
            assert ("You remember nothing but what is written." in text) == (left == 9), t


def test_a_run_tells_of_deaths_and_of_what_was_copied():
    run = boxes.run("GenerationsBox", {"all": "oracle"}, boxes=1, copy_error=0.5, **{**SMALL, "horizon": 36})
    told = list(lines(run))
    deaths = [line for line in told if "dies" in line]
    assert [int(line.split()[1]) for line in deaths] == [t for t in range(1, 37) for i in range(3) if (t + 3 * i) % 9 == 0]
    assert deaths[0] == "step     3  agent 2 dies; another is born in its place, the 2nd there"
    copied = {True: 0, False: 0}
    states = [states[0].copy() for states in run.replay()]
    for t, (before, after) in enumerate(itertools.pairwise(states), 1):
        for i in np.flatnonzero(after["copied"] >= 0):
            item, here = after["copied"][i], [line for line in told if line.startswith(f"step {t:5}  agent {i} ")]
            fresh = after["held"][i, item] != before["held"][i, item] and item != after["made"][i]
            if fresh and after["born"][i] != t:
                real = bool(after["held"][i, item] == REAL)
                word = names_of(run.variant.p, after)[item]
                assert any(line.endswith(f"copies {word}" if real else f"copied {word}: an illusion") for line in here)
                copied[real] += 1
    assert min(copied.values()) > 3


def test_a_picture_shows_who_learns_from_whom():
    env = generations_v0.parallel_env(**SMALL, render_mode="rgb_array")
    env.reset(seed=0)
    do(env)
    before = env.render()
    env.world["teacher"][0] = 1 if env.world["teacher"][0] == 2 else 2
    assert (env.render() != before).any(axis=2).sum() > 50
    text = env.variant.family.describe(env.variant.p, Row(env.world), None)
    assert f"1 steps old, life 1, learns from {env.world['teacher'][0]}" in text


# ------------------------------------------------------------------------------------------------- one seat
@pytest.mark.parametrize("teacher", ["oldest", "random"])
def test_a_seat_sees_what_agent_0_sees_but_for_what_never_changes(teacher):
    params = {**SMALL, "notes": 0, "teacher": teacher, "horizon": 90}
    seat = SingleEnv(TaskSet.of_family(GenerationsSeat, split=None, companions="random", **params))
    p, whole, rng = seat.variant.p, opened(**params), np.random.default_rng(0)
    seen, info = seat.reset(seed=0)
    rows, resets = [], []
    for _ in range(90):
        inside = seat.get_state()["worlds"]["state"]["box"][0]
        for name in inside.dtype.names:
            whole.world[name] = inside[name]
        rows.append(whole.state()[0])
        resets.append(info["memory_reset"])
        np.testing.assert_array_equal(seen, rows[-1][kept(p)])
        legal = np.flatnonzero(rows[-1][view_length(p) :])
        np.testing.assert_array_equal(np.flatnonzero(action_mask(p, seen)), legal)
        seen, _, _, _, info = seat.step(int(rng.choice(legal)))
    assert np.flatnonzero(resets).tolist() == list(range(0, 90, 9))
    varies = np.ptp(rows, axis=0) > 0
    assert not np.delete(varies, kept(p)).any() or teacher == "oldest"
    lives = np.arange(len(varies))[numbers_of(p, LIVES)]
    assert varies[np.intersect1d(lives, kept(p))].all()
    assert len(np.intersect1d(lives, kept(p))) == (2 if teacher == "oldest" else 4)


# ------------------------------------------------------------------------------------------------- from outside
@pytest.mark.filterwarnings(
    "ignore:Observation is not a NumPy array", "ignore:Observation space for each agent probably should be"
)
def test_pettingzoo_takes_them():
    with warnings.catch_warnings():  # its own modules of tests import what it deprecates
        warnings.simplefilter("ignore")
        from pettingzoo.test import api_test, parallel_api_test, parallel_seed_test

    params = {**SMALL, "channel": "both", "board": 2, "copy_error": 0.2, "horizon": 30}
    parallel_api_test(generations_v0.parallel_env(**params), num_cycles=40)
    parallel_seed_test(lambda: generations_v0.parallel_env(**params), num_cycles=20)
    api_test(generations_v0.env(**params), num_cycles=60)
    for horizon in (30, 27):  # somebody dies in the last step too
        parallel_api_test(generations_v0.parallel_env(**{**params, "horizon": horizon}, turnover="new_ids"), num_cycles=40)
    api_test(generations_v0.env(**params, turnover="new_ids"), num_cycles=60)
    parallel_seed_test(lambda: generations_v0.parallel_env(**params, turnover="new_ids"), num_cycles=20)


# ------------------------------------------------------------------------------------------------- a name for each life
@pytest.mark.parametrize(("lifespan", "horizon", "staggered"), [(9, 30, True), (9, 27, True), (9, 27, False), (40, 30, True)])
def test_each_life_has_a_name_that_comes_once(lifespan, horizon, staggered):
    """The same box as with slots, whose agents come and go; all who may live do."""
    params = {"lifespan": lifespan, "horizon": horizon, "staggered": staggered}
    slots, lives = opened(**params), opened(**params, turnover="new_ids")
    rng, alive, gone, last = np.random.default_rng(2), list(lives.agents), set(), slots.reset(seed=0)[0]
    assert alive == [f"agent_{i}_life_1" for i in range(3)] == lives.possible_agents[:3]
    while slots.agents:
        row = rng.integers(0, 9, 3).tolist()
        before = slots.world["life"].copy()
        seen, rewards, _, truncations, infos = slots.step(dict(zip(slots.agents, row, strict=True)))
        told = lives.step(dict(zip(alive, row, strict=True)))
        assert lives.world.tobytes() == slots.world.tobytes()
        now = [f"agent_{i}_life_{life + 1}" for i, life in enumerate(slots.world["life"])]
        here = {*alive} if not slots.agents else {*alive, *now}
        assert all(part.keys() == here for part in told)
        for i, (agent, slot, old) in enumerate(zip(alive, slots.possible_agents, before, strict=True)):
            died = slots.world["life"][i] != old
            assert (told[1][agent], told[2][agent], told[3][agent]) == (rewards[slot], died, truncations[slot])
            assert not told[4][agent]["memory_reset"]
            if died:
                np.testing.assert_equal(told[0][agent]["observation"], last[slot]["observation"])
                assert not told[0][agent]["action_mask"].any()
                assert told[4][agent]["made"] == slots.world["made"][i]
                gone.add(agent)
                assert now[i] not in gone
            if slots.agents or not died:
                newest = now[i]
                np.testing.assert_equal(told[0][newest], seen[slot])
                assert died == (told[1][newest] == 0.0 and told[4][newest]["memory_reset"])
                assert told[4][newest] == infos[slot]
        alive, last = now, seen
        assert lives.agents == (now if slots.agents else [])
    assert gone | {agent for agent in told[3] if told[3][agent]} == set(lives.possible_agents)
    assert lives.action_space(lives.possible_agents[-1]) is lives.action_space(lives.possible_agents[-1])
    lives.reset(seed=1)
    assert lives.agents == lives.possible_agents[:3]


def test_a_snapshot_brings_names_back():
    env = opened(turnover="new_ids")
    for _ in range(11):
        do(env)
    kept_state, names = env.get_state(), list(env.agents)
    assert names == ["agent_0_life_2", "agent_1_life_2", "agent_2_life_2"]
    for _ in range(8):
        do(env)
    assert env.agents != names
    env.set_state(kept_state)
    assert env.agents == names == list(env.illegal)


def test_pay_of_the_dead_is_theirs():
    env = opened(turnover="new_ids", staggered=False, social=SocialPay(svo=45))
    for _ in range(8):
        do(env)
    _, rewards, _, _, infos = do(env)
    assert rewards.keys() == infos.keys() == {f"agent_{i}_life_{life}" for i in range(3) for life in (1, 2)}
    assert all(infos[agent]["pay"] == 0.0 == rewards[agent] for agent in rewards if agent.endswith("2"))


def test_names_of_lives_are_refused_where_agents_stay():
    with pytest.raises(ValueError, match="turnover='new_ids' is of boxes in which agents die: give lifespan=60"):
        opened(turnover="new_ids", lifespan=0, channel="none")
    with pytest.raises(ValueError, match="turnover='ids' must be one of 'slot', 'new_ids'"):
        opened(turnover="ids")
    with pytest.raises(ValueError, match="cannot be told in words"):
        TextBox(opened(turnover="new_ids"))
    doors = (
        lambda **params: make_vec("GenerationsBox", 2, **params),
        lambda **params: gym.make("metarl_envs:MetaRL/GenerationsBox-v0", **params),
        lambda **params: boxes.run("GenerationsBox", {"all": "greedy"}, boxes=1, **params),
    )
    for door in doors:
        with pytest.raises(TypeError, match="'turnover': that is of PettingZoo's interfaces alone, where agents may come"):
            door(**SMALL, turnover="new_ids")


def test_a_snapshot_goes_on_as_the_box_did():
    env, rng, told = opened(teacher="random", copy_error=0.3), np.random.default_rng(0), []
    for _ in range(17):
        do(env)
    kept_state, actions = env.get_state(), rng.integers(0, 8, (25, 3))
    for other in (env, opened(seed=9, teacher="random", copy_error=0.3)):
        other.set_state(kept_state)
        for row in actions:
            other.step(dict(zip(other.agents, row.tolist(), strict=True)))
        told.append(other.world.tobytes())
    assert told[0] == told[1]
