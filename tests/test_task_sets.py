"""Task sets: splits follow from what a task means, files are what they say, and task i is what an environment draws."""

import functools
import json
import os
import pickle
import subprocess
import sys
import types

import gymnasium as gym
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import metarl_envs
from metarl_envs import task_sets
from metarl_envs.engine import kernel, records, streams
from metarl_envs.engine.envs.vector import FamilyVectorEnv
from metarl_envs.engine.family import load_family
from metarl_envs.engine.splits import EVERY_PART, PARTS, Split
from metarl_envs.engine.worlds import task_rows
from metarl_envs.families.bandits.two_step import TwoStep
from metarl_envs.families.grids.dark_room import DarkRoom
from metarl_envs.ids import TABLE, family_of
from metarl_envs.task_sets import TaskSet, load, parts
from metarl_envs.testing import part_p_values
from metarl_envs.testing.fairness import check_fair_parts
from tests.worlds import SELDOM_COMPILED, SMALLER, smaller

IDS = [row.id for row in TABLE]
every_id = pytest.mark.parametrize("id", IDS)
#: Written down, since to ask each family compiles its drivers, and tests are collected in every process.
WITHOUT_PARTS, WITHOUT_VALIDATION = {"MetaRL/TMaze-v0", "MetaRL/GapBandit-v0"}, {"MetaRL/GridNavi-v0"}
IDS_WITH_SPLITS = [id for id in IDS if id not in WITHOUT_PARTS]
IN_PARTS = [(id, part) for id in IDS_WITH_SPLITS for part in PARTS if part != "validation" or id not in WITHOUT_VALIDATION]
#: Those that everyday tests compile.
OFTEN_COMPILED = [id for id in IDS_WITH_SPLITS if id not in SELDOM_COMPILED]
every_id_with_splits = pytest.mark.parametrize("id", IDS_WITH_SPLITS)
ROOM, BANDIT = "MetaRL/DarkRoom-v0", "MetaRL/BernoulliBandit-v0"


def sized(id):
    """Parameters of a tree that is drawn in no time."""
    return {name: value for name, value in smaller(id).items() if id == "MetaRL/AmnesiaBox-v0" and name != "horizon"}


def tasks(id, **arguments):
    """See `metarl_envs.tasks`."""
    return metarl_envs.tasks(id, **{**sized(id), **arguments})


def meant(task_set, count=200):
    """What the first tasks of a set mean."""
    rows = task_set.rows(min(count, len(task_set)) if task_set.is_finite else count)
    return task_rows.task_hashes(task_set.variant, rows)[0].tolist()


def same_task(a, b):
    return all(np.array_equal(a[name], b[name]) for name in a.dtype.names)


# ------------------------------------------------------------------------------------------- splits
@every_id
def test_which_families_have_which_parts(id):
    assert [(id, part) for part in tasks(id).parts] == [pair for pair in IN_PARTS if pair[0] == id]


def lies_in(task_set, rows, part):
    """Whether each row is a task of a part, or of all."""
    merged = part == "train" and "validation" not in task_set.parts
    return task_rows.task_hashes(task_set.variant, rows)[1] & (PARTS[part] | (PARTS["validation"] if merged else 0)) != 0


@every_id_with_splits
def test_parts_are_disjoint_and_leave_nothing_out(id):
    whole, sets = tasks(id), [tasks(id, split=part) for part in tasks(id).parts]
    if whole.is_finite:
        assert sorted(task for some in sets for task in meant(some, 10**6)) == sorted(meant(whole, 10**6))
        assert all(len(some) > 0.1 * len(whole) for some in sets)
    in_one = [in_no_other(some) for some in sets]
    assert len(set.union(*in_one)) == sum(map(len, in_one))


def in_no_other(task_set):
    """What the first tasks of a part mean, but for those that are in every part."""
    rows = task_set.rows(min(200, len(task_set)) if task_set.is_finite else 200)
    ids, parts = task_rows.task_hashes(task_set.variant, rows)
    return set(ids[parts != EVERY_PART].tolist())


@functools.cache
def likely_courses():
    """The two courses that are in every part of TwoStep."""
    whole = tasks("TwoStep")
    rows = whole.rows(100)
    return TaskSet.of_rows(whole.variant, rows[task_rows.task_hashes(whole.variant, rows)[1] == EVERY_PART])


@every_id_with_splits
def test_a_task_is_in_the_same_part_whatever_seed_drew_it(id):
    whole = tasks(id)
    rows = whole.sample(600, seed=4)
    rows = rows[task_rows.task_hashes(whole.variant, rows)[1] != EVERY_PART]
    share = {part: lies_in(whole, rows, part).mean() for part in whole.parts}
    assert 0.1 < share["test"] < 0.35, "about one task in five"
    assert 0.1 < share.get("validation", 0.16) < 0.25, "about one in five of the others"
    for part in whole.parts:
        for seed in (0, 4, 99):
            assert lies_in(whole, tasks(id, split=part, seed=seed).sample(60, seed=seed), part).all()


@pytest.mark.parametrize(("id", "split"), IN_PARTS)
def test_environments_draw_from_their_part_alone(id, split):
    envs = gym.make_vec(id, num_envs=50, split=split, ground_truth=True)
    for seed in (0, None, None):
        _, info = envs.reset(seed=seed)
        rows = _filled(np.zeros(50, envs.tasks.dtype), info["metarl"]["task"])
        assert lies_in(envs.tasks, rows, split).all()
        assert (task_rows.task_hashes(envs.variant, rows)[0] == info["metarl"]["task_id"]).all()


def test_a_family_of_few_tasks_keeps_none_for_validation():
    """The 21 goals of GridNavi: those that would be validation tasks are train tasks, under shifts too."""
    navi = tasks("GridNavi")
    assert (len(navi), navi.parts) == (21, ("train", "test"))
    assert len(tasks("GridNavi", split="train")) + len(tasks("GridNavi", split="test")) == 21
    for split in ("validation", "validation+far_goals"):
        with pytest.raises(ValueError, match="below 25 tasks none are kept for validation"):
            tasks("GridNavi", split=split)


SHIFTED = [(id, shift) for id in IDS_WITH_SPLITS for shift in load_family(family_of(id)).shifts]


@pytest.mark.parametrize(("id", "shift"), SHIFTED)
def test_a_shift_moves_no_task_to_another_part(id, shift):
    """Who trained on train tasks can ask for tasks of a shift that are no train tasks: M7."""
    shifted, plain = tasks(id, split=shift), tasks(id)
    assert shifted.parts == plain.parts
    sets = {part: tasks(id, split=f"{part}+{shift}") for part in plain.parts}
    if shifted.is_finite:
        assert sorted(task for some in sets.values() for task in meant(some, 10**6)) == sorted(meant(shifted, 10**6))
        for part, some in sets.items():
            assert set(meant(some, 10**6)) <= set(meant(tasks(id, split=part), 10**6))
    for part, some in sets.items():
        assert some.variant == shifted.variant
        assert lies_in(some, some.rows(2), part).all()
        assert gym.make(id, split=f"{part}+{shift}", **sized(id)).unwrapped.tasks.fingerprint == some.fingerprint


def parts_of_hidden(task_set):
    """The part of each of some tasks, by what is hidden in it: of a linear bandit the weights, from which means only follow."""
    rows = task_set.rows(len(task_set) if task_set.is_finite else 40)
    hidden = [row["weights"].tobytes() if "weights" in rows.dtype.names else row.tobytes() for row in rows]
    return dict(zip(hidden, task_rows.task_hashes(task_set.variant, rows)[1].tolist(), strict=True))


@pytest.mark.parametrize(("id", "shift"), [pair for pair in SHIFTED if pair != ("MetaRL/TwoStep-v0", "volatile")])
def test_what_comes_again_under_a_shift_is_in_the_part_that_it_was_in(id, shift):
    """Equal seeds draw alike: where a shift leaves what is hidden as it was, train tasks must not come as its test tasks."""
    plain, shifted = tasks(id), tasks(id, split=shift)
    part_of = parts_of_hidden(plain)
    again = {what: bits for what, bits in parts_of_hidden(shifted).items() if what in part_of}
    assert again == {what: part_of[what] for what in again}
    if shift in ("noisy", "other_arms", "short_days", "alone", "reversed", "centre_start", "corner_start"):
        assert again, "which leaves what is hidden as it was"


def test_the_goals_of_far_goals():
    """Seven of the nine are goals that training has seen."""
    assert [len(tasks("GridNavi", split=split)) for split in ("far_goals", "train+far_goals", "test+far_goals")] == [9, 7, 2]


def test_a_split_has_one_name():
    both = tasks("GaussianBandit", split="test+noisy+close_arms")
    assert both.split == "test+close_arms+noisy", "shifts in the order in which the family has them"
    assert both.fingerprint == tasks("GaussianBandit", split="test+close_arms+noisy").fingerprint
    assert (both.variant.p.noise, both.variant.p.low) == (0.5, 0.4)
    assert tasks(ROOM, split="test").fingerprint == "d14903da5aaf97ac856e9967b1d2c11a"


@pytest.mark.parametrize(
    ("split", "words"),
    [
        ("close_arms+test", "is not a split of GaussianBandit"),
        ("test+test", "is not a split of GaussianBandit"),
        ("test+noisy+noisy", "is not a split of GaussianBandit"),
        ("test+", "is not a split of GaussianBandit"),
        ("+noisy", "is not a split of GaussianBandit"),
        ("", "is not a split of GaussianBandit"),
        ("test + noisy", r"'all', 'train', 'validation', 'test', 'close_arms', 'noisy', .* such as 'test\+close_arms'"),
        (b"test", "is not a split of GaussianBandit"),
        (["test"], "is not a split of GaussianBandit"),
    ],
)
def test_what_is_no_split(split, words):
    with pytest.raises(ValueError, match=words):
        tasks("GaussianBandit", split=split)


def test_shifts_that_set_the_same_parameter_do_not_go_together():
    with pytest.raises(ValueError, match="split='two\\+one': both shifts set low"):
        Split.read("two+one", "Bandit", {"one": {"low": 1}, "two": {"low": 2}})


# ------------------------------------------------------------------------------------------- tasks in every part
def without_swap(split, **params):
    """The share of courses without a swap among many draws, and how many different ones there are."""
    chance = tasks("TwoStep", split=split, **params).sample(4000)["chance"]
    still = (chance[:, 1:, 0, 0] == chance[:, :-1, 0, 0]).all(axis=1)
    return still.mean()


@pytest.mark.parametrize("horizon", [200, 100, 40, 20])
def test_likely_courses_are_in_every_part_as_often_as_in_all(horizon):
    """S2: split by their hash, the two courses without a swap were train tasks both, and test tasks had none of them."""
    exact = 0.975 ** (horizon // 2 - 1)
    for split in (None, "train", "validation", "test"):
        assert without_swap(split, horizon=horizon) == pytest.approx(exact, abs=5 * (exact * (1 - exact) / 4000) ** 0.5)


def test_parts_do_not_depend_on_rare_tasks_being_drawn():
    """Of the few courses that are in one part alone none may be a test task among the first; the likely ones are."""
    assert tasks("TwoStep", horizon=12).parts == ("train", "validation", "test")
    assert len(tasks("TwoStep", horizon=12, split="test").rows(20)) == 20


def test_where_all_tasks_are_in_every_part_there_are_no_parts():
    for params in ({"change": 0.0}, {"horizon": 2}):
        assert tasks("TwoStep", **params).parts == ()
        with pytest.raises(ValueError, match="has no parts, since"):
            tasks("TwoStep", split="test", **params)


@kernel
def signed_hash(params, task):
    """A hash as whoever writes a family may give it: a signed number, below 0 too."""
    return -7 * (int(task.goal[0]) + 11 * int(task.goal[1]) + 1)


@pytest.mark.parametrize("split", ["train", "test"])
def test_a_hash_of_ones_own_may_be_signed(split):
    family = type("SignedRoom", (DarkRoom,), {"task_hash": signed_hash})
    rows = TaskSet.of_family(family, split=split).rows(8)
    drawn = task_rows.draw(family.with_params(), PARTS[split], 3, 0, 40)
    ids, parts = task_rows.task_hashes(family.with_params(), drawn)
    assert ids.tolist() == [-7 * (int(x) + 11 * int(y) + 1) % 2**64 for x, y in drawn["goal"]]
    assert (parts == PARTS[split]).all()
    assert (task_rows.task_hashes(family.with_params(), rows)[1] == PARTS[split]).all()


def test_a_drift_is_in_one_part():
    whole = tasks("TwoStep", variant="daw", change=0.0)
    assert (task_rows.task_hashes(whole.variant, whole.rows(50))[1] != EVERY_PART).all()


@pytest.mark.slow
def test_the_check_of_parts_finds_a_family_that_splits_unfairly():
    """The family as it was, without `in_every_part`."""
    sys.modules["unfair"] = module = types.ModuleType("unfair")
    module.Unfair = type("Unfair", (TwoStep,), {"in_every_part": None, "__module__": "unfair", "__doc__": TwoStep.__doc__})
    metarl_envs.register("Test/Unfair-v0", "unfair:Unfair")
    try:
        p = part_p_values("Test/Unfair-v0", {})
        assert p["test", "likely tasks"] < 1e-15
        with pytest.raises(AssertionError, match="tasks differ from train tasks in likely tasks"):
            check_fair_parts("Test/Unfair-v0", {})
    finally:
        gym.registry.pop("Test/Unfair-v0")
        del sys.modules["unfair"]
    assert min(part_p_values("MetaRL/TwoStep-v0", {}).values()) > 0.001


@pytest.mark.parametrize("id", sorted(set(IDS) - set(IDS_WITH_SPLITS)))
@pytest.mark.parametrize("split", ["train", "test"])
def test_a_family_of_few_tasks_is_not_split(id, split):
    """Nor is one whose tasks are all in every part: GapBandit."""
    whole = tasks(id)
    parts_of_all = task_rows.task_hashes(whole.variant, whole.rows(len(whole)))[1]
    assert len(whole) < 5 or (parts_of_all == EVERY_PART).all()
    with pytest.raises(ValueError, match="has no parts, since"):
        gym.make(id, split=split)


def test_a_split_without_tasks_is_refused():
    only = {"low": 0.5, "high": 0.5}  # a single task
    whole = tasks(BANDIT, **only)
    assert whole.parts == ()
    for part in PARTS:
        with pytest.raises(ValueError, match=f"split='{part}' of BernoulliBandit.*no tasks"):
            tasks(BANDIT, split=part, **only)


def test_making_an_environment_of_a_split_draws_few_tasks(monkeypatch):
    """A task of a large MDP takes megabytes: to find out that a split has tasks, the first few must do."""
    drawn = []
    draw = task_rows.draw
    monkeypatch.setattr(task_rows, "draw", lambda *key: drawn.append(key[-1]) or draw(*key))
    parts.parts_drawn.cache_clear()
    parts._parts_of.cache_clear()
    for split in ("train", "test", "validation"):
        tasks("TabularMDP", split=split)
    assert 0 < sum(drawn) < 100


# ------------------------------------------------------------------------------------------- what a task means
@every_id_with_splits
def test_equal_tasks_have_equal_ids_however_their_rows_came_about(id):
    """NumPy does not copy what lies between the fields of a row; that must not matter."""
    whole = tasks(id)
    rows = whole.rows(6)
    expected = task_rows.task_hashes(whole.variant, rows)[0]
    dirty = np.full(rows.nbytes, 0xFF, np.uint8).view(whole.dtype)
    for name in rows.dtype.names:
        dirty[name] = rows[name]
    for same in (dirty, rows[::-1][::-1].copy(), np.stack([whole[i] for i in range(6)]), np.concatenate([rows[:3], rows[3:]])):
        np.testing.assert_array_equal(task_rows.task_hashes(whole.variant, same)[0], expected)


@every_id
@pytest.mark.parametrize("split", [0, 1, 4])
def test_what_is_drawn_depends_on_nothing_that_stood_there(id, split):
    variant = tasks(id).variant
    clean = task_rows.draw(variant, split, 5, 0, 6)
    dirty = records.for_drivers(np.full(clean.nbytes, 0xFF, np.uint8).view(variant.task))
    stream = records.rows(1, streams.STREAM)
    task_rows._drivers(variant).draw(variant.params, split, np.uint64(5), 0, dirty, records.words(dirty), stream)
    assert dirty.view(np.ndarray).tobytes() == clean.tobytes()


@every_id_with_splits
def test_a_dirty_row_given_by_hand_leaves_no_trace_in_later_tasks(id):
    envs, clean = (gym.make_vec(id, num_envs=4, split="train", ground_truth=True) for _ in range(2))
    given_rows = np.full(4 * envs.tasks.dtype.itemsize, 0xFF, np.uint8).view(envs.tasks.dtype)
    for name in given_rows.dtype.names:
        given_rows[name] = envs.tasks.rows(4)[name]
    _, info = envs.reset(seed=0, options={"task": given_rows})
    _, expected = clean.reset(seed=0, options={"task": envs.tasks.rows(4)})
    np.testing.assert_array_equal(info["metarl"]["task_id"], expected["metarl"]["task_id"])
    np.testing.assert_array_equal(envs.reset()[1]["metarl"]["task_id"], clean.reset()[1]["metarl"]["task_id"])


# ------------------------------------------------------------------------------------------- order and indexing
@every_id_with_splits
def test_task_i_is_what_an_environment_of_the_seed_draws_in_trial_i(id):
    task_set = tasks(id, seed=12, split="train")
    if task_set.is_finite:
        pytest.skip("a finite set has an order of its own")
    env = gym.make(id, split="train", ground_truth=True, **sized(id))
    for i in range(5):
        _, info = env.reset(seed=12 if i == 0 else None)
        assert same_task(task_set[i], _row(info["metarl"]["task"], task_set.dtype))


def _row(fields, dtype):
    return _filled(np.zeros((), dtype), fields)


def _filled(rows, fields):
    """Rows with the fields that `info` tells; those of a mixture are rows themselves."""
    for name in rows.dtype.names:
        if rows.dtype[name].names:
            _filled(rows[name], fields[name])
        else:
            rows[name] = fields[name]
    return rows


@every_id
def test_the_draw_driver_draws_what_environments_draw(id):
    """Also where the set is finite: `task_rows.draw` and the environment share one kernel and one key."""
    env = gym.make(id, ground_truth=True, **sized(id))
    drawn = task_rows.draw(env.unwrapped.variant, 0, 12, 0, 5)
    for i in range(5):
        _, info = env.reset(seed=12 if i == 0 else None)
        assert same_task(drawn[i], _row(info["metarl"]["task"], drawn.dtype))


FINITE, ENDLESS = tasks(ROOM), tasks(BANDIT)


@settings(deadline=None)
@given(i=st.integers(-81, 80))
def test_finite_sets_index_like_lists(i):
    listed = list(FINITE)
    assert len(listed) == len(FINITE) == 81
    assert same_task(FINITE[i], listed[i])


@settings(deadline=None)
@given(cut=st.slices(81))
def test_finite_sets_slice_like_lists(cut):
    listed = FINITE.rows(81)[cut]
    part = FINITE[cut]
    assert len(part) == len(listed)
    assert all(same_task(a, b) for a, b in zip(part, listed, strict=True))


@settings(deadline=None, max_examples=50)
@given(start=st.none() | st.integers(0, 40), length=st.integers(0, 20), step=st.none() | st.integers(1, 5))
def test_endless_sets_slice_from_the_front(start, length, step):
    cut = slice(start, (start or 0) + length, step)
    expected = [ENDLESS[i] for i in range(start or 0, (start or 0) + length, step or 1)]
    part = ENDLESS[cut]
    assert part.is_finite
    assert len(part) == len(expected)
    assert all(same_task(a, b) for a, b in zip(part, expected, strict=True))


def test_what_an_endless_set_has_not():
    with pytest.raises(TypeError, match="endless"):
        len(ENDLESS)
    for index in (-1, slice(3, None), slice(-3, -1), slice(0, 9, -1)):
        with pytest.raises(IndexError, match="endless"):
            ENDLESS[index]


@every_id
@pytest.mark.parametrize("index", ["0", 1.0, True, None])
def test_an_index_is_an_integer(id, index):
    with pytest.raises(TypeError, match="must be an integer"):
        tasks(id)[index]


@every_id
def test_a_returned_task_is_a_copy(id):
    task_set = tasks(id)
    name = task_set.dtype.names[0]
    first = task_set[0].copy()
    task_set[0][name] = 0
    task_set.rows(2)[name] = 0
    assert same_task(task_set[0], first)


@every_id_with_splits
def test_iterating_gives_the_tasks_in_order(id):
    task_set = tasks(id, split="test")
    for i, task in zip(range(4), task_set, strict=False):
        assert same_task(task, task_set[i])


@every_id
def test_samples_repeat_by_seed(id):
    task_set = tasks(id)
    one, again, other = task_set.sample(20, seed=1), task_set.sample(20, seed=1), task_set.sample(20, seed=2)
    assert all(same_task(a, b) for a, b in zip(one, again, strict=True))
    assert not all(same_task(a, b) for a, b in zip(one, other, strict=True))


@settings(deadline=None, max_examples=40)
@given(seed=st.integers(0, 2**64 - 1), first=st.integers(0, 10**9), split=st.sampled_from([0, 1, 2]))
def test_drawing_many_is_drawing_each(seed, first, split):
    together = task_rows.draw(ENDLESS.variant, split, seed, first, 3)
    for i in range(3):
        assert same_task(together[i], task_rows.draw(ENDLESS.variant, split, seed, first + i, 1)[0])


@settings(deadline=None, max_examples=40)
@given(goal=st.tuples(st.integers(-3, 12), st.integers(-3, 12)))
def test_a_goal_is_a_task_exactly_where_it_lies_in_the_room(goal):
    if all(0 <= cell < 9 for cell in goal):
        assert FINITE.row({"goal": goal})["goal"].tolist() == [list(goal)]
    else:
        with pytest.raises(ValueError, match="is not one of 0 to 8"):
            FINITE.row({"goal": goal})


@every_id
def test_a_task_is_given_by_index_row_or_fields_alike(id):
    env = gym.make(id, ground_truth=True, **sized(id))
    task_set = env.unwrapped.tasks
    row = task_set[1]
    fields = {name: row[name] for name in row.dtype.names}
    ids = {env.reset(options={"task": t})[1]["metarl"]["task_id"].item() for t in (1, np.int64(1), row, np.array(row), fields)}
    assert ids == {meant(task_set, 2)[1]}


# ------------------------------------------------------------------------------------------- given rows
def goals(*cells):
    """Task rows of Dark Room."""
    return np.array([(cell,) for cell in cells], FINITE.dtype)


def test_a_variant_that_is_held_stays_the_only_one_of_its_parameters():
    """However many others come after it: drivers and equality go by it, and long runs make hundreds."""
    held, copied = FINITE.variant, pickle.dumps(FINITE.variant)
    for horizon in range(1000, 1300):
        DarkRoom.with_params(horizon=horizon)
    assert DarkRoom.with_params(**held.values) is held is pickle.loads(copied)


def test_given_rows_keep_their_order_and_are_their_own():
    rows = goals((8, 8), (0, 0), (8, 8))
    for family in (FINITE.variant, FINITE.variant.family):
        given_set = TaskSet.of_rows(family, rows)
        rows["goal"][0] = 1, 1
        assert given_set.rows(3)["goal"].tolist() == [[8, 8], [0, 0], [8, 8]]
        assert (len(given_set), given_set.split, given_set.variant) == (3, None, FINITE.variant)
        rows["goal"][0] = 8, 8
    assert given_set.ids()[0] == given_set.ids()[2] != given_set.ids()[1]
    assert given_set.fingerprint != TaskSet.of_rows(FINITE.variant, rows[::-1][1:]).fingerprint
    packed = np.zeros(2, [("goal", np.int16, (2,))])  # as NumPy stacks rows: without what lies between them
    assert TaskSet.of_rows(FINITE.variant, packed).rows(2).tobytes() == goals((0, 0), (0, 0)).tobytes()
    assert len(TaskSet.of_rows(FINITE.variant, rows[:0])) == 0


def test_given_rows_belong_to_the_split_that_is_named():
    train, test = (tasks(ROOM, split=part) for part in ("train", "test"))
    rows = train.rows(6)
    given_set = TaskSet.of_rows(train.variant, rows, split="train")
    assert (given_set.split, given_set.drawn_from, given_set.parts) == ("train", train.drawn_from, train.parts)
    rows[4] = test[0]
    with pytest.raises(ValueError, match="row 4 of rows is no train task of DarkRoom"):
        TaskSet.of_rows(train.variant, rows, split="train")
    far = tasks("GridNavi", split="far_goals")
    assert TaskSet.of_rows(far.variant.family, far.rows(9), split="far_goals").variant == far.variant
    with pytest.raises(ValueError, match=r"row 4 of rows .*: goal=.* is nearer to the start than nearest=4"):
        TaskSet.of_rows(far.variant.family, np.append(far.rows(4), tasks("GridNavi").row({"goal": (3, 3)})), split="far_goals")
    with pytest.raises(ValueError, match="below 25 tasks none are kept for validation"):
        TaskSet.of_rows(far.variant, far.rows(2), split="validation+far_goals")


@pytest.mark.parametrize(
    ("family", "rows", "split", "error", "words"),
    [
        ("DarkRoom", goals((1, 1)), None, TypeError, "family='DarkRoom' must be a family or a variant"),
        (FINITE, goals((1, 1)), None, TypeError, "must be a family or a variant"),
        (FINITE.variant, [(1, 1)], None, TypeError, "rows=list must be an array of task rows"),
        (FINITE.variant, np.zeros((2, 2), np.int16), None, TypeError, "rows=of dtype int16 must"),
        (FINITE.variant, np.zeros(3, [("goal", np.int64, 2)]), None, TypeError, "must be an array of task rows"),
        (FINITE.variant, goals((1, 1))[None], None, ValueError, r"rows has shape \(1, 1\)"),
        (FINITE.variant, goals((1, 1))[0:1].reshape(()), None, ValueError, r"rows has shape \(\)"),
        (FINITE.variant, goals((1, 1)), "tset", ValueError, "is not a split of DarkRoom"),
        (ENDLESS.variant, ENDLESS[:1].rows(1), "close_arms", ValueError, "split='close_arms' of BernoulliBandit has {"),
    ],
    ids=range(9),
)
def test_what_is_no_list_of_rows(family, rows, split, error, words):
    with pytest.raises(error, match=words):
        TaskSet.of_rows(family, rows, split=split)


NAN, INF = float("nan"), float("inf")


@pytest.mark.parametrize(
    ("id", "field", "place", "value", "words"),
    [
        (ROOM, "goal", (), (9, 0), r"goal\[0\]=9 is not one of 0 to 8"),
        (ROOM, "goal", (), (0, -1), r"goal\[1\]=-1 is not one of 0 to 8"),
        ("DarkKeyToDoor", "key", 0, 9, r"key\[0\]=9 is not one of 0 to 8"),
        ("DarkKeyToDoor", "door", 1, -1, r"door\[1\]=-1 is not one of 0 to 8"),
        ("DarkRoomPermuted", "move", (), (0, 1, 1, 3, 4), r"move=\[0, 1, 1, 3, 4\] is no permutation of 0 to 4"),
        ("DarkRoomPermuted", "move", (), (1, 2, 3, 4, 5), r"move=\[1, 2, 3, 4, 5\] is no permutation"),
        ("GridNavi", "goal", (), (1, 1), r"goal=\[1, 1\] is nearer to the start than nearest=2"),
        ("GridNavi", "goal", (), (5, 0), r"goal\[0\]=5 is not one of 0 to 4"),
        ("TMaze", "goal", (), 0, r"goal=0 must be 1 \(above\) or -1"),
        ("TMaze", "goal", (), -128, "goal=-128 must be"),
        (BANDIT, "chance", 2, 1.5, r"chance\[2\]=1.5 is not between 0 and 1"),
        (BANDIT, "chance", 4, NAN, r"chance\[4\]=nan is not"),
        ("TwoStep", "chance", (3, 1, 0), -0.1, r"chance\[3, 1, 0\]=-0.1 is not between"),
        ("GaussianBandit", "mean", 1, INF, r"mean\[1\]=inf is not finite"),
        ("LinearBandit", "weights", 1, NAN, r"weights\[1\]=nan is not finite"),
        ("LinearBandit", "mean", 1, 99.0, r"mean\[1\]=99.0 is not what"),
        ("LinearBandit", "weights", (), 1e308, r"mean\[0\]=.* is not what"),
        ("GapBandit", "good", (), -1, "good=-1 is not one of 0 to"),
        ("GapBandit", "good", (), 2**30, "good=1073741824 is not one of"),
        ("TabularMDP", "reward", (1, 2), INF, r"reward\[1, 2\]=inf is not finite"),
        ("TabularMDP", "transition", (1, 2, 0), -0.5, r"transition\[1, 2, 0\]=-0.5 is no chance"),
        ("TabularMDP", "transition", (1, 2, 0), 2.0, r"transition\[1, 2\]=\[2.0, .*\] must be chances that add up"),
        ("TabularMDP", "transition", (1, 2, 0), NAN, r"transition\[1, 2\]=\[nan, .*\] must be"),
        ("PointRobot", "goal", (), (0.5, 0.5), r"goal=\[0.5, 0.5\] does not lie on the unit circle"),
        ("CartPole", "masspole", (), 0, "masspole=0.0 must be a positive number"),
        ("CartPole", "force", (), NAN, "force=nan must be"),
        ("CartPole", "sign", (), 0.5, "sign=0.5 must be 1 or -1"),
        ("Pendulum", "length", (), INF, "length=inf must be a positive number"),
        ("Pendulum", "sign", (), 0, "sign=0.0 must be 1 or -1"),
    ],
)
def test_a_row_that_is_no_task_is_refused_by_hand_and_among_many(id, field, place, value, words):
    """One definition for one row and for many; the first row that is none is named, whatever is wrong with later ones."""
    whole = tasks(id)
    rows = whole.rows(min(12, len(whole)) if whole.is_finite else 12)
    rows = rows[np.arange(12) % len(rows)]
    assert len(TaskSet.of_rows(whole.variant, rows)) == 12
    for row in (7, 9):
        rows[field][(row, *np.atleast_1d(np.array(place, int)))] = value
    with pytest.raises(ValueError, match=f"row 7 of rows is no task of {whole.variant.name}.*: {words}"):
        TaskSet.of_rows(whole.variant, rows)
    with pytest.raises(ValueError, match=f"task is no task of .*: {words}"):
        whole.row(rows[9])


def test_the_first_row_that_is_wrong_is_named_whatever_is_looked_at_first(monkeypatch):
    pendulum = tasks("Pendulum")
    rows = pendulum.rows(30)
    rows["gravity"][20] = rows["mass"][12] = rows["sign"][5] = rows["length"][25] = 0
    for block in (2**21, 4 * rows.itemsize, 1):  # all rows at a time, four, and one
        monkeypatch.setattr(task_rows, "_BLOCK", block)
        with pytest.raises(ValueError, match=r"row 5 of rows .*: sign=0.0"):
            TaskSet.of_rows(pendulum.variant, rows)


def test_an_author_who_says_nothing_of_each_row_is_told():
    class Careless(FINITE.variant.family):
        @staticmethod
        def task_errors(p, tasks):
            yield "goal", bool((tasks["goal"] < 0).any()), "is negative"

    with pytest.raises(TypeError, match="task_errors of Careless must say of each of 2 rows whether goal is wrong"):
        TaskSet.of_rows(Careless, goals((1, 1), (2, 2)))


@pytest.mark.parametrize("of", [None, "train"])
def test_an_environment_of_given_rows_lives_on_them_alone(of):
    """It would draw other tasks of the family as its own otherwise, which nobody who gives rows expects."""
    chosen = tasks(ROOM, split=of)[2:5]
    for few in (chosen, TaskSet.of_rows(chosen.variant, chosen.rows(3), split=of)):
        envs = FamilyVectorEnv(few, num_envs=40)
        seen = {tuple(goal) for seed in (0, None, None) for goal in _goals_of(envs, seed)}
        assert seen == set(map(tuple, chosen.rows(3)["goal"].tolist()))
    first = FamilyVectorEnv(few, num_envs=40, num_tasks=1)
    assert {tuple(goal) for goal in _goals_of(first, 0)} == {tuple(few[0]["goal"].tolist())}
    with pytest.raises(ValueError, match="has no task to live on"):
        FamilyVectorEnv(few[:0], num_envs=2)


def _goals_of(envs, seed):
    envs.reset(seed=seed)
    state = envs.get_state()
    return state["task_rows"]["goal"][state["worlds"]["task"]].tolist()


# ------------------------------------------------------------------------------------------- files
@every_id_with_splits
def test_saved_sets_come_back(id, tmp_path):
    part = tasks(id, split="train", seed=3)[:7]
    for name in ("tasks", "tasks.npy", "v1.2"):
        part.save(tmp_path / name)
        back = load(tmp_path / name)
        assert (back.fingerprint, back.split, back.seed, len(back)) == (part.fingerprint, "train", 3, 7)
        assert back.variant is part.variant
        assert all(same_task(a, b) for a, b in zip(back, part, strict=True))
    assert sorted(path.suffix for path in tmp_path.iterdir()) == [".json", ".json", ".npy", ".npy"]


def test_an_endless_set_is_not_saved(tmp_path):
    with pytest.raises(TypeError, match="endless"):
        ENDLESS.save(tmp_path / "tasks")
    assert not list(tmp_path.iterdir())


def test_a_changed_file_is_refused(tmp_path):
    FINITE.save(tmp_path / "room")
    rows = np.load(tmp_path / "room.npy")
    rows["goal"][3] = 0
    np.save(tmp_path / "room.npy", rows)
    with pytest.raises(ValueError, match="changed"):
        load(tmp_path / "room")


@pytest.mark.parametrize(("key", "value"), [("split", "test"), ("params", {"size": 9, "horizon": 21, "once": False})])
def test_a_changed_header_is_refused(tmp_path, key, value):
    FINITE.save(tmp_path / "room")
    header = json.loads((tmp_path / "room.json").read_text())
    (tmp_path / "room.json").write_text(json.dumps({**header, key: value}))
    with pytest.raises(ValueError, match="changed"):
        load(tmp_path / "room")


@pytest.mark.parametrize("key", ["family", "params", "split", "seed", "fingerprint"])
def test_a_header_without_one_of_its_entries_is_refused(tmp_path, key):
    FINITE.save(tmp_path / "room")
    header = json.loads((tmp_path / "room.json").read_text())
    del header[key]
    (tmp_path / "room.json").write_text(json.dumps(header))
    with pytest.raises(ValueError, match=f"'{key}' is missing"):
        load(tmp_path / "room")


@pytest.mark.parametrize("text", ["", "{}", "[1]", '"x"', '{"format": "another"}', "\x93NUMPY"])
def test_a_foreign_header_is_refused(tmp_path, text):
    FINITE.save(tmp_path / "room")
    (tmp_path / "room.json").write_text(text)
    with pytest.raises(ValueError, match="no task set"):
        load(tmp_path / "room")


def test_a_foreign_array_is_refused(tmp_path):
    FINITE.save(tmp_path / "room")
    np.save(tmp_path / "room.npy", np.zeros(81))
    with pytest.raises(ValueError, match="holds rows of float64"):
        load(tmp_path / "room")
    np.save(tmp_path / "room.npy", np.array([print], object), allow_pickle=True)
    with pytest.raises(ValueError, match="holds rows of object"):
        load(tmp_path / "room")


def test_a_header_runs_no_code_of_its_choice(tmp_path):
    """The header names the family to import; what is not a family of this package's kind is refused."""
    FINITE.save(tmp_path / "room")
    header = json.loads((tmp_path / "room.json").read_text())
    wrong = ["os:system", "metarl_envs.engine.family:load_family", "no_such_module:X", "json", "antigravity:geohash", None]
    for path in [*wrong, "metarl_envs.families.nowhere:X", "metarl_envs.families.grids.dark_room:Sweep"]:
        (tmp_path / "room.json").write_text(json.dumps({**header, "family": path}))
        with pytest.raises(ValueError, match="family"):
            load(tmp_path / "room")
    assert "antigravity" not in sys.modules


# ------------------------------------------------------------------------------------------- fingerprints
FINGERPRINTS = (
    "import json, sys, metarl_envs;"
    "told = json.loads(sys.argv[1]);"
    "print(json.dumps({id: metarl_envs.tasks(id, split='train', **params).fingerprint for id, params in told.items()}))"
)


@pytest.mark.parametrize("plain", ["0", pytest.param("1", marks=pytest.mark.slow)])
def test_fingerprints_are_the_same_in_every_process_compiled_and_plain(plain):
    setting = {**os.environ, "PYTHONHASHSEED": plain, "NUMBA_DISABLE_JIT": plain}
    ids = OFTEN_COMPILED if plain == "0" else IDS_WITH_SPLITS
    told = json.dumps({id: SMALLER.get(id, {}) for id in ids})
    result = subprocess.run([sys.executable, "-c", FINGERPRINTS, told], env=setting, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    expected = {id: metarl_envs.tasks(id, split="train", **SMALLER.get(id, {})).fingerprint for id in ids}
    assert json.loads(result.stdout) == expected


def test_fingerprints_tell_sets_apart():
    sets = [tasks(id, split=split) for id in OFTEN_COMPILED for split in (None, "train", "test")]
    sets += [
        tasks(ROOM, size=8),
        tasks(ROOM, horizon=21),
        tasks(BANDIT, seed=1),
        tasks(BANDIT, arms=6),
        FINITE[:80],
        FINITE[1:],
    ]
    sets += [tasks(BANDIT, split="close_arms"), ENDLESS[:64]]
    prints = [task_set.fingerprint for task_set in sets]
    assert len(set(prints)) == len(prints)
    assert all(len(fingerprint) == 32 for fingerprint in prints)


def test_an_id_may_be_short():
    prints = {
        tasks(id).fingerprint for id in ("DarkRoom", "DarkRoom-v0", "MetaRL/DarkRoom-v0", "metarl_envs:MetaRL/DarkRoom-v0")
    }
    assert prints == {FINITE.fingerprint}
    assert metarl_envs.tasks is task_sets.tasks
    assert metarl_envs.TaskSet is TaskSet
