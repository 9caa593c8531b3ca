"""Mixture: a task is lived as in its part's own family, behind whatever disguise, and no task is in two splits."""

import itertools
import re
from pathlib import Path

import gymnasium as gym
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal, assert_equal

import metarl_envs
from metarl_envs.engine.player import references_of
from metarl_envs.engine.splits import EVERY_PART
from metarl_envs.engine.truth.solving import exact_returns, solve
from metarl_envs.engine.worlds.task_rows import task_hashes
from metarl_envs.evaluation import evaluate
from metarl_envs.families.mixture.parts import SETS, parts_at
from metarl_envs.histories import collect, lifetime_returns
from metarl_envs.learners import QLearning

pytestmark = pytest.mark.plain

ID = "metarl_envs:MetaRL/Mixture-v0"
DISGUISES = ("none", "actions", "observations", "both", "projection")
#: A part of four actions, of three exchangeable arms, and of five moves, one of them held out.
MIXED = {"parts": "DarkRoom(size=3), BernoulliBandit(arms=3), TMaze(length=5)", "horizon": 6, "held_out": "none"}


def make(**arguments):
    return gym.make(ID, **{**MIXED, **arguments}).unwrapped


def parts_of(env):
    return parts_at(env.variant.p).variants


def task_of_each_part(env, count=1):
    """Tasks of each part, `count` of each."""
    rows = env.tasks.sample(60 * count, seed=3)
    return [task for which in range(len(parts_of(env))) for task in rows[rows["which"] == which][:count]]


def scaled(part, seen):
    """What is seen in a part, between 0 and 1."""
    space = part.observation_space
    if isinstance(space, gym.spaces.Discrete):
        return np.array([seen / (space.n - 1)])
    return (np.asarray(seen, float) - space.low) / (space.high.astype(float) - space.low)


def shown(task, numbers, length):
    """What is shown of these numbers: in NumPy, and not by the kernels."""
    padded = np.zeros(length)
    padded[: len(numbers)] = numbers
    if "image" in task.dtype.names:
        return np.sign(task["image"]) * padded[np.abs(task["image"]) - 1]
    return task["projection"] @ padded if "projection" in task.dtype.names else padded


# ------------------------------------------------------------------------------------------------- it is its parts
@pytest.mark.parametrize("disguise", DISGUISES)
@pytest.mark.parametrize("parts", [MIXED["parts"], "small", "grids", "bandits"])
def test_a_task_is_lived_as_in_its_own_family(parts, disguise):
    env = make(parts=parts, disguise=disguise, horizon=6)
    for task in task_of_each_part(env):
        name, part = parts_of(env)[task["which"]]
        alone = gym.make(f"metarl_envs:MetaRL/{part.name}-v0", **part.values).unwrapped
        seen, _ = env.reset(seed=7, options={"task": task})
        told, _ = alone.reset(seed=7, options={"task": np.array(task[name])})
        for action in np.random.default_rng(0).integers(0, env.action_space.n, 6):
            assert_allclose(seen, shown(task, scaled(part, told), len(seen)), atol=1e-6)
            seen, *stepped, _ = env.step(int(action))
            told, *expected, _ = alone.step(int(task["does"][action]))
            assert stepped == expected


@pytest.mark.parametrize("disguise", DISGUISES)
def test_values_returns_and_oracle_are_those_of_the_part(disguise):
    env = make(disguise=disguise, ground_truth=True)
    for task in task_of_each_part(env, count=3):
        name, part = parts_of(env)[task["which"]]
        own, state = solve(part, task[name]), env.get_state
        _, info = env.reset(seed=1, options={"task": task})
        for t, action in enumerate((0, 3, 4, 1, 2)):
            world = state()["worlds"][0]["state"][name]
            expected = own(metarl_envs.engine.Row(world), t)[task["does"]]
            assert_allclose(info["metarl"]["q_star"], expected)
            info = env.step(action)[-1]
        returns = exact_returns(part, task[name])
        assert (info["metarl"]["random_return"], info["metarl"]["oracle_return"]) == returns
        if name != "BernoulliBandit":  # where no chance is in it
            oracle = lifetime_returns(np.array([task]), env.variant, references_of(env.variant)["oracle"], [5], episodes=2)
            assert_allclose(oracle, [[returns.oracle] * 2])


def test_an_action_that_does_nothing_lets_a_step_pass():
    env = make(surplus="noop", disguise="none")
    bandit = next(task for task in env.tasks.sample(20, seed=0) if task["which"] == 1)
    assert_array_equal(bandit["does"], [0, 1, 2, -1, -1])
    first, _ = env.reset(seed=0, options={"task": bandit})
    for step in range(6):
        seen, paid, terminated, truncated, _ = env.step(3 + step % 2)
        assert_array_equal(seen, first)
        assert (paid, terminated, truncated) == (0.0, False, step == 5)


# ------------------------------------------------------------------------------------------------- what a task means
def meaning(parts, task):
    """What a task means, by what each action does in it, as text: an independent account of which tasks are the same."""
    name, _ = parts[task["which"]]
    own, what = task[name], task.dtype.names
    contents = {"BernoulliBandit": "chance", "DarkRoomPermuted": "move"}
    if name in contents:  # all that such a task is, is what its actions do
        acts = [None if does < 0 else own[contents[name]][does].item() for does in task["does"]]
        rest = None
    else:
        acts, rest = task["does"].tolist(), own.item()
    views = [task[view].tolist() for view in ("image", "projection") if view in what]
    return repr((name, acts, rest, views))


@pytest.mark.parametrize("surplus", ["mod", "noop"])
@pytest.mark.parametrize("disguise", ["actions", "both", "none"])
def test_no_task_is_in_two_splits(disguise, surplus):
    """Rooms and permuted moves are few, so that the same task comes up by many ways."""
    parts = {"parts": "DarkRoomPermuted(size=2), BernoulliBandit(arms=3), GridNavi(size=2, nearest=1), TMaze(length=5)"}
    found = {}
    for part in ("train", "validation", "test"):
        env = make(**parts, disguise=disguise, surplus=surplus, split=part)
        rows = env.tasks.sample(120, seed=1)
        rows = rows[task_hashes(env.variant, rows)[1] != EVERY_PART]
        found[part] = {meaning(parts_of(env), task) for task in rows}
        assert len(found[part]) > 20
    for one, other in itertools.combinations(found.values(), 2):
        assert not one & other


def test_what_is_the_same_has_one_hash_and_what_is_not_has_another():
    env = make(parts="DarkRoomPermuted(size=2), BernoulliBandit(arms=3), DarkRoom(size=2)", disguise="both")
    rows = env.tasks.sample(300, seed=2)
    meanings = [meaning(parts_of(env), task) for task in rows]
    ids = task_hashes(env.variant, rows)[0].tolist()
    assert len(set(zip(meanings, ids, strict=True))) == len(set(meanings)) == len(set(ids))


def test_exchangeable_arms_are_numbered_by_the_first_action_that_pulls_each():
    env = make(parts="BernoulliBandit(arms=3), DarkRoom(size=3)", disguise="actions")
    rows = env.tasks.sample(400, seed=0)
    arms = np.unique(rows["does"][rows["which"] == 0], axis=0)
    assert len(arms) == 15, "5! / (2! 2! 1!) orders of 0, 1, 2, 0, 1, and two arms that are each pulled by two actions"
    assert all(list(dict.fromkeys(row)) == [0, 1, 2] for row in arms.tolist())


# ------------------------------------------------------------------------------------------------- which tasks are drawn
def test_parts_come_up_equally_often_and_those_held_out_with_their_shift_alone():
    held_out = {
        "held_out": ["TMaze", "DarkRoom"],
        "parts": "DarkRoom(size=3), BernoulliBandit(arms=3), TMaze(length=5), GridNavi",
    }
    seen = make(**held_out).tasks.sample(400, seed=1)["which"]
    unseen = make(**held_out, split="test+unseen_parts").tasks.sample(100, seed=1)["which"]
    assert set(seen) == {1, 3}
    assert abs((seen == 1).mean() - 0.5) < 0.1
    assert set(unseen) == {0, 2}


@pytest.mark.parametrize("disguise", ["actions", "both", "projection"])
def test_unseen_disguises_are_never_seen(disguise):
    def disguises(**split):
        rows = make(disguise=disguise, **split).tasks.sample(150, seed=4)
        names = [name for name in ("does", "image", "projection") if name in rows.dtype.names]
        return {b"".join(row[name].tobytes() for name in names) for row in rows if row["which"] != 1}

    train, test = disguises(split="train"), disguises(split="test")
    unseen = disguises(split="unseen_disguise") | disguises(split="train+unseen_disguise")
    assert len(train) > 20
    assert len(unseen) > 10
    assert not unseen & (train | test)


@pytest.mark.parametrize("parts", SETS)
def test_every_set_can_be_made_and_has_each_of_its_shifts(parts):
    for split in (None, "unseen_parts", "unseen_disguise"):
        if (parts, split) == (
            "bandits",
            "unseen_disguise",
        ):  # where nearly all actions are exchangeable
            continue
        assert len(metarl_envs.tasks("Mixture", parts=parts, split=split).sample(3, seed=0)) == 3


# ------------------------------------------------------------------------------------------------- what is refused
@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"parts": "DarkRoom(size=3), DarkRoom(size=3)"}, "twice"),
        ({"parts": "DarkRoom(horizon=3), TMaze"}, "all parts have that of the mixture"),
        ({"parts": "DarkRoom(3), TMaze"}, "must be an id with parameters"),
        ({"parts": "DarkRoom(size=__import__('os').getpid()), TMaze"}, "must be an id with parameters"),
        ({"parts": "Darkroom, TMaze"}, "did you mean"),
        ({"parts": "no.such.module:Mine/Maze-v0, TMaze"}, "import it first"),
        ({"parts": "Pendulum, TMaze"}, "not Discrete"),
        ({"parts": "CartPole, TMaze"}, "between bounds"),
        ({"parts": "LinearBandit, TMaze"}, "task_hash"),
        ({"parts": "InventionBox, TMaze"}, "cannot be one"),
        ({"parts": "TMaze,, DarkRoom"}, "names nothing"),
        ({"parts": "Mixture, TMaze"}, "numbers its observations by the task"),
        ({"held_out": "GridNavi"}, "none of the parts"),
        ({"held_out": "DarkRoom, BernoulliBandit, TMaze"}, "leaves no part"),
        ({"split": "unseen_parts"}, "leaves no part to be drawn"),
        ({"disguise": "none", "split": "unseen_disguise"}, "cannot be 'unseen'"),
        ({"disguise": "observations", "split": "unseen_disguise"}, "cannot be 'unseen'"),
    ],
)
def test_parts_that_cannot_be(wrong, said):
    with pytest.raises(ValueError, match=said):
        make(**wrong)


def test_parts_are_written_in_one_form():
    one = make(parts=["MetaRL/DarkRoom-v0( size=3 )", "TMaze"], horizon=6).variant
    assert one.values["parts"] == "DarkRoom(size=3), TMaze"
    assert one is make(parts="DarkRoom(size=3),TMaze").variant
    assert [name for name, _ in parts_at(make(parts="DarkRoom(size=3), DarkRoom(size=4)").variant.p).variants] == [
        "DarkRoom",
        "DarkRoom_2",
    ]


@pytest.mark.parametrize(
    ("disguise", "field", "value", "said"),
    [
        ("actions", "which", 3, "is no part"),
        ("actions", "does", [0, 1, 2, 3, 3], "in some order"),
        ("none", "does", [1, 0, 2, 3, 4], "in their own order"),
        ("both", "image", [1, 1], "each number of the part once"),
        ("projection", "projection", [[1, 0], [0, 2]], "at right angles"),
        ("none", "DarkRoom", ([3, 0],), "its goal is not one of 0 to 2"),
    ],
)
def test_a_task_that_is_none(disguise, field, value, said):
    env = make(disguise=disguise)
    task = next(task for task in env.tasks.sample(20, seed=3) if task["which"] == 0)
    task = np.array(task)
    task[field] = value
    with pytest.raises(ValueError, match=said):
        env.reset(options={"task": task})


def test_arms_in_another_order_are_another_way_to_say_the_same_and_refused():
    env = make(disguise="actions")
    task = np.array(next(task for task in env.tasks.sample(20, seed=3) if task["which"] == 1))
    task["does"] = task["does"].max() - task["does"]
    with pytest.raises(ValueError, match="in order of appearance"):
        env.reset(options={"task": task})


# ------------------------------------------------------------------------------------------------- learners
@pytest.mark.parametrize("disguise", DISGUISES)
def test_learners_are_told_the_number_of_an_observation_in_its_part(disguise):
    """So that Q-learning in a part of five actions lives the same life in the mixture as in the part's own family."""
    env = make(disguise=disguise)
    index = env.variant.kernel("state_index_in_task")
    for task in task_of_each_part(env):
        name, part = parts_of(env)[task["which"]]
        row = metarl_envs.engine.Row(task)
        seen, _ = env.reset(seed=1, options={"task": task})
        for action in (0, 3, 1, 2, 4):
            world = metarl_envs.engine.Row(env.get_state()["worlds"][0]["state"][name])
            own = part.observations(1)[0]
            part.kernel("observe")(part.params[0], metarl_envs.engine.Row(task[name]), world, own)
            assert index(env.variant.params[0], row, seen) == part.state_index(part.params[0], own)
            seen = env.step(action)[0]


def test_q_learning_finds_its_way_in_every_part_of_five_actions():
    tasks = metarl_envs.tasks("Mixture", parts="DarkRoom(size=2), TabularMDP(states=2, actions=5, noise=0.1)", horizon=10)
    rows = tasks.sample(16, seed=1)
    paid = lifetime_returns(rows, tasks.variant, QLearning(), np.arange(16), episodes=25)
    returns = np.array([exact_returns(tasks.variant, row) for row in rows])
    gained = (paid[:, -10:].mean(axis=1) - returns[:, 0]) / (returns[:, 1] - returns[:, 0])
    for which in (0, 1):
        assert gained[rows["which"] == which].mean() > 0.4


# ------------------------------------------------------------------------------------------------- pools
def test_a_pool_is_so_many_different_train_tasks_drawn_once():
    def pooled(split, **more):
        return metarl_envs.tasks("Mixture", **MIXED, split=split, pool=40, **more)

    train, whole = pooled("train"), metarl_envs.tasks("Mixture", **MIXED, split="train")
    assert len(train) == len(set(train.ids().tolist())) == 40
    assert set(train.ids().tolist()) <= set(whole[:1000].ids().tolist())
    assert train.fingerprint == pooled("train").fingerprint
    assert len({train.fingerprint, pooled("train", pool_seed=1).fingerprint, train[:39].fingerprint}) == 3
    assert not pooled("test").is_finite
    assert_array_equal(pooled("test").rows(9), metarl_envs.tasks("Mixture", **MIXED, split="test").rows(9))
    envs = gym.make_vec(ID, 60, **MIXED, split="train", pool=40)
    lived = set()
    for seed in range(4):
        envs.reset(seed=100 * seed)
        worlds = envs.unwrapped.get_state()
        rows = worlds["task_rows"][worlds["worlds"]["task"]]
        lived |= set(task_hashes(envs.unwrapped.variant, rows)[0].tolist())
    assert lived == set(train.ids().tolist())


def test_histories_are_lived_and_agents_scored_on_a_pool_where_it_is_asked_for():
    train = metarl_envs.tasks("Mixture", **MIXED, split="train", pool=5)
    lived = collect("Mixture", QLearning(), histories=20, steps=6, pool=5, **MIXED)
    assert set(task_hashes(train.variant, np.array(lived.tasks))[0].tolist()) == set(train.ids().tolist())
    scored = evaluate("Mixture", "random", split="train", pool=5, tasks=5, episodes=1, seeds=1, **MIXED)
    assert scored.fingerprint == train[:5].fingerprint


def test_a_pool_of_more_tasks_than_there_are_is_refused():
    with pytest.raises(ValueError, match="no 30 different tasks"):
        metarl_envs.tasks("Mixture", parts="DarkRoom(size=2), GridNavi(size=3)", disguise="none", split="train", pool=30)


def test_a_part_may_have_more_orders_of_actions_than_a_float_can_count():
    env = make(parts="DarkRoom(size=3), BernoulliBandit(arms=200)", disguise="actions")
    env.reset(seed=0)
    assert sorted(env.tasks.sample(20, seed=1)["does"][0])[-1] in (4, 199)


# ------------------------------------------------------------------------------------------------- heuristics
@pytest.mark.parametrize("disguise", DISGUISES)
def test_heuristics_play_behind_the_disguise_as_in_their_own_family(disguise):
    env = make(parts="small", disguise=disguise, horizon=12)
    references = references_of(env.variant)
    assert set(references) - {"oracle", "random", "which_part_told", "which_part_inferring"} == {
        *("DarkRoom_sweep", "TwoStep_ideal_observer", "TwoStep_model_based", "TwoStep_model_free"),
        *("GridNavi_posterior", "TMaze_recall", "DarkKeyToDoor_search"),
    }
    for task in task_of_each_part(env):
        name, part = parts_of(env)[task["which"]]
        for reference, own in references_of(part).items():
            alone = lifetime_returns(np.array([task[name]]), part, own, [5], episodes=3)
            player = references["oracle"] if reference == "oracle" else references[f"{name}_{reference}"]
            assert_array_equal(lifetime_returns(np.array([task]), env.variant, player, [5], episodes=3), alone)


def test_a_heuristic_plays_at_random_in_other_parts():
    env = make()
    tasks = np.array([task for task in env.tasks.sample(450, seed=2) if task["which"] == 1])
    for player in (references_of(env.variant)["DarkRoom_sweep"], references_of(env.variant)["which_part_told"]):
        paid = lifetime_returns(tasks, env.variant, player, np.arange(len(tasks)), episodes=2).mean()
        assert abs(paid - 3.0) < 0.25


def test_who_is_told_the_part_plays_heuristics_alone_and_nobody_who_learns():
    """Two-step rounds and gap bandits have references that learn, such as the ideal observer, and no heuristic."""
    parts = parts_at(make(parts="TwoStep, GapBandit(arms=3), GridNavi, DarkRoom(size=3)").variant.p).by_name
    told = references_of(make().variant)["which_part_told"].players(parts)
    assert {name: type(player).__name__ for name, player in told.items()} == {
        "TwoStep": "_Uniform",
        "GapBandit": "_Uniform",
        "GridNavi": "Posterior",
        "DarkRoom": "Sweep",
    }


# ------------------------------------------------------------------------------------------------- posteriors
@pytest.mark.parametrize("disguise", DISGUISES)
def test_the_posterior_is_that_of_the_part(disguise):
    env = make(
        parts="DarkRoom(size=3), BernoulliBandit(arms=3), TabularMDP(states=3, actions=2)", disguise=disguise, ground_truth=True
    )
    for task in task_of_each_part(env):
        name, part = parts_of(env)[task["which"]]
        alone = gym.make(f"metarl_envs:MetaRL/{part.name}-v0", **part.values, ground_truth=True).unwrapped
        told, expected = (
            env.reset(seed=7, options={"task": task})[1],
            alone.reset(seed=7, options={"task": np.array(task[name])})[1],
        )
        for action in (0, 4, 1, 3, 2, 1):
            assert_equal(told["metarl"]["posterior"][name], expected["metarl"]["posterior"])
            others = [value for part, value in told["metarl"]["posterior"].items() if part != name]
            assert all(
                np.isnan(number).all()
                for other in others
                for number in (other.values() if isinstance(other, dict) else [other])
            )
            told, expected = env.step(action)[-1], alone.step(int(task["does"][action]))[-1]


def test_posteriors_are_told_for_each_row_and_survive_a_snapshot():
    envs = gym.make_vec(ID, 8, **MIXED, ground_truth=True)
    envs.reset(seed=1)
    for action in (0, 1, 2):
        _, _, _, _, info = envs.step(np.full(8, action))
    single = make(ground_truth=True)
    single.reset(seed=4)
    for action in (0, 1, 2):
        last = single.step(action)[-1]
    for name, told in last["metarl"]["posterior"].items():
        rows = info["metarl"]["posterior"][name]
        assert_equal({key: rows[key][3] for key in told} if isinstance(told, dict) else rows[3], told)
    kept = single.get_state()
    after = single.step(3)[-1]["metarl"]["posterior"]
    single.set_state(kept)
    assert_equal(single.step(3)[-1]["metarl"]["posterior"], after)


# ------------------------------------------------------------------------------------------------- its guide
def test_the_guide_runs():
    guide = Path(__file__).parents[1] / "docs" / "mixture.md"
    code = "\n".join(re.findall(r"```python\n(.*?)```", guide.read_text(), flags=re.DOTALL))
    exec(compile(code, "mixture.md", "exec"), found := {})
    assert set(found["result"].policies) == {"which_part_told", "which_part_inferring", "q_learning"}


def test_a_task_that_was_told_can_be_given_back():
    env = gym.make(ID, ground_truth=True, **MIXED)
    told = env.reset(seed=3)[1]["metarl"]
    again = env.reset(seed=4, options={"task": told["task"]})[1]["metarl"]
    assert again["task_id"] == told["task_id"]
    part = next(name for name, value in told["task"].items() if isinstance(value, dict))
    wrong = {**told["task"], part: {**told["task"][part], "colour": 1}}
    with pytest.raises(ValueError, match=rf"task\['{part}'\] has fields .*'colour'"):
        env.reset(options={"task": wrong})
