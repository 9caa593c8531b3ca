"""Tech trees: every item can be reached, a pair makes one thing, the generator halts, and splits share no recipe."""

from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from metarl_envs.boxes.scenarios.box import Box
from metarl_envs.boxes.world.tree import NOTHING, tree_error
from metarl_envs.task_sets import TaskSet

TREE = {
    "lineages": st.integers(1, 4),
    "levels": st.integers(1, 12),
    "width": st.integers(1, 8),
    "bases": st.integers(2, 12),
    "recipes": st.integers(1, 3),
    "crossover": st.integers(0, 5),
    "dead_ends": st.sampled_from([0.0, 0.25, 0.5, 0.9]),
    "recency": st.sampled_from([0.0, 0.5, 0.9, 1.0]),
    "structure": st.sampled_from(["lookup", "grammar"]),
    "features": st.integers(2, 3),
}


def level(p, item):
    beyond = item - p.lineages * p.bases
    return 0 if beyond < 0 else 1 + beyond // (p.lineages * p.width)


def lineage(p, item):
    beyond = item - p.lineages * p.bases
    return item // p.bases if beyond < 0 else beyond // p.width % p.lineages


def place(p, item):
    beyond = item - p.lineages * p.bases
    return item % p.bases if beyond < 0 else beyond % p.width


def recipes(tasks, i):
    """{product: [(a, b), ...]} of a tree."""
    recipe = np.asarray(tasks[i]["recipe"])
    return {item: [tuple(pair) for pair in recipe[item]] for item in range(len(recipe)) if recipe[item, 0, 0] != NOTHING}


def check(p, task_recipes, live):
    """All that is said of a tree, against its recipes alone."""
    items = p.lineages * (p.bases + p.levels * p.width)
    bases = p.lineages * p.bases
    assert sorted(task_recipes) == list(range(bases, items))
    pairs = [frozenset(pair) for made in task_recipes.values() for pair in made]
    assert len(set(pairs)) == len(pairs), "a pair makes two things"
    reached = set(range(bases))
    while new := {c for c, made in task_recipes.items() if c not in reached and any({a, b} <= reached for a, b in made)}:
        reached |= new
    assert len(reached) == items, "something cannot be reached"
    for c, made in task_recipes.items():
        for a, b in made:
            assert a != b
            assert live[a]
            assert live[b]
            assert level(p, a) == level(p, c) - 1
            assert lineage(p, a) == lineage(p, c)
            assert level(p, b) < level(p, c)
            crosses = p.crossover > 0 and level(p, c) % p.crossover == 0
            assert (lineage(p, b) != lineage(p, c)) == crosses


@pytest.mark.slow
@settings(max_examples=25, deadline=None)
@given(st.fixed_dictionaries(TREE), st.integers(0, 2**20))
def test_trees_of_any_parameters_hold_what_they_promise(params, first):
    assume(tree_error(SimpleNamespace(**params)) is None)
    tasks = TaskSet.of_family(Box, split=None, agents=1, **params)
    p = tasks.variant.p
    drawn = tasks[first : first + 40].rows(40)
    for i in range(40):
        check(p, recipes(drawn, i), drawn[i]["live"])


def test_thousands_of_trees_of_one_kind():
    tasks = TaskSet.of_family(Box, split=None, agents=1, lineages=2, levels=6, width=4, crossover=3, recipes=2, bases=8)
    drawn = tasks.rows(3000)
    for i in range(3000):
        check(tasks.variant.p, recipes(drawn, i), drawn[i]["live"])


@pytest.mark.parametrize("structure", ["lookup", "grammar"])
def test_train_and_test_share_no_recipe(structure):
    params = {"agents": 1, "levels": 5, "width": 4, "bases": 8, "structure": structure}
    seen = {}
    for split in ("train", "test"):
        drawn = TaskSet.of_family(Box, split=split, **params).rows(1000)
        seen[split] = {
            (frozenset(pair), c) for i in range(len(drawn)) for c, made in recipes(drawn, i).items() for pair in made
        }
    assert len(seen["train"]) > 200
    assert len(seen["test"]) > 200
    assert not seen["train"] & seen["test"]


def test_the_grammar_holds_for_every_recipe_and_differs_between_boxes():
    drawn = TaskSet.of_family(Box, split=None, agents=1, structure="grammar", bases=8, width=4, levels=5).rows(200)
    for task in drawn:
        for c in range(16, len(task["recipe"])):
            for a, b in task["recipe"][c]:
                assert task["fits"][task["hole"][a]] == task["shape"][b]
    assert len({task["fits"].tobytes() for task in drawn}) > 1


@pytest.mark.parametrize(
    ("params", "reason"),
    [
        ({"bases": 2, "width": 8}, "level 1 needs 4 pairs"),
        ({"lineages": 1, "crossover": 2}, "second lineage"),
        ({"dead_ends": 0.9, "width": 8, "bases": 6, "recipes": 2}, "fewer dead_ends"),
        ({"levels": 512, "width": 64, "bases": 64}, "more than 4096"),
    ],
)
def test_parameters_that_no_tree_can_be_grown_from_are_refused_with_the_reason(params, reason):
    with pytest.raises(ValueError, match=reason):
        Box.with_params(**params)


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda task: task["recipe"].__setitem__((20, 0, 0), 30000), "names an item that is not one of 0 to 39"),
        (lambda task: task["recipe"].__setitem__((20, 0, 0), -2), "names an item that is not one of"),
        (lambda task: task["recipe"].__setitem__((20, 0, 1), NOTHING), r"recipe\[20, 0\]=.*, -1\] must be"),
        (lambda task: task["recipe"].__setitem__((20, 0, 1), task["recipe"][20, 0, 0]), "another item of any level below"),
        (lambda task: task["recipe"].__setitem__((20, 0, 0), 7), "of the level just below in the same lineage"),
        (lambda task: task["recipe"].__setitem__((20, 0, 1), 39), "another item of any level below"),
        (lambda task: task["recipe"].__setitem__((0, 0), (1, 2)), r"recipe\[0, 0\]"),
        (lambda task: task["recipe"].__setitem__(17, task["recipe"][16]), "makes two things"),
        (lambda task: task["recipe"].__setitem__(17, task["recipe"][16, :, ::-1]), "makes two things"),
        (lambda task: task["fits"].__setitem__(0, task["fits"][1]), r"fits=\[(0, 0|1, 1)\] is no order of the numbers 0 to 1"),
        (lambda task: task["hole"].__setitem__(5, 2), "must be below features=2"),
        (lambda task: task["shape"].__setitem__(5, 255), "must be below features=2"),
        (lambda task: task.__setitem__("parity", 2), "parity=2"),
    ],
)
def test_what_is_no_tree_is_no_task(change, why):
    """Rules look recipes up in arrays of the box's size, so nothing else may come in by hand or from a file."""
    tasks = TaskSet.of_family(Box, split=None, agents=1, levels=3, width=4, bases=8)
    row = tasks.rows(1)
    assert tasks.row(row[0]) is not None
    change(row[0])
    with pytest.raises(ValueError, match=f"is no task of .*{why}"):
        tasks.row(row[0])
