"""The same forms, words and defaults for ids, splits, players, tasks, seeds and progress, in Python and on the command line."""

import inspect

import numpy as np
import pytest

import metarl_envs
from metarl_envs import boxes, evaluation, histories, players, task_sets
from metarl_envs.boxes.players.agents import SCRIPTED
from metarl_envs.catalogue import entries
from metarl_envs.cli import evaluation as cli_evaluation
from metarl_envs.cli import histories as cli_histories
from metarl_envs.engine import Choice, Integer
from metarl_envs.families.grids.dark_room import DarkRoom
from metarl_envs.histories.plan import Plan
from metarl_envs.ids import id_of
from metarl_envs.learners import LEARNERS, QLearning
from metarl_envs.play import Game

pytestmark = pytest.mark.plain

FORMS = (
    "DarkRoom",
    "MetaRL/DarkRoom",
    "MetaRL/DarkRoom-v0",
    "DarkRoom-v0",
    "metarl_envs:MetaRL/DarkRoom-v0",
    "metarl_envs:DarkRoom",
)
ROOM = {"size": 5, "horizon": 4}
BOX = {"agents": 2, "horizon": 6, "levels": 2, "width": 2, "bases": 4, "lineages": 1, "crossover": 0}


def doors(id):
    """Every public function that takes an id, called with one."""
    yield "tasks", lambda: metarl_envs.tasks(id, **ROOM).variant.family
    yield "evaluate", lambda: metarl_envs.evaluate(id, "random", tasks=2, episodes=1, seeds=1, **ROOM).id
    yield "collect", lambda: histories.collect(id, "random", histories=1, steps=4, **ROOM).about["id"]
    yield "play", lambda: Game(id, seed=0, **ROOM).env.variant.family


@pytest.mark.parametrize("form", FORMS)
def test_an_id_is_understood_in_all_its_forms_by_every_door(form):
    for name, call in doors(form):
        assert call() in (DarkRoom, "MetaRL/DarkRoom-v0"), name


@pytest.mark.parametrize(
    ("bad", "error"), [("Nonsense/DarkRoom-v0", ValueError), ("darkrom", ValueError), (DarkRoom, TypeError)]
)
def test_what_is_no_id_is_refused_by_every_door_in_the_same_words(bad, error):
    said = set()
    for _, call in doors(bad):
        with pytest.raises(error, match=r"^id=") as raised:
            call()
        said.add(str(raised.value))
    assert len(said) == 1


@pytest.mark.parametrize("form", [form.replace("DarkRoom", "InventionBox") for form in FORMS])
def test_a_box_is_understood_in_all_forms_of_its_id(form):
    assert boxes.make_vec(form, 1, **BOX).variant.name == "InventionBox"
    assert boxes.run(form, {"all": "random"}, boxes=1, **BOX).variant.name == "InventionBox"
    assert id_of(form) == "MetaRL/InventionBox-v0"


def test_what_is_no_box_is_refused():
    for bad, error, why in [
        ("Nonsense/InventionBox-v0", ValueError, "is no box"),
        ("InventionBx", ValueError, "did you mean 'InventionBox'"),
        (DarkRoom, TypeError, "subclass of Box"),
        (3, TypeError, "box=3"),
    ]:
        with pytest.raises(error, match=why):
            boxes.make_vec(bad, 1)
    with pytest.raises(ValueError, match="num_boxes=0 must be an integer of at least 1"):
        boxes.make_vec("InventionBox", 0)


def test_all_tasks_are_called_none_or_all_everywhere():
    assert metarl_envs.tasks("DarkRoom", split="all").fingerprint == metarl_envs.tasks("DarkRoom").fingerprint
    for split in (None, "all"):
        result = metarl_envs.evaluate("DarkRoom", "random", split=split, tasks=30, episodes=1, seeds=1, **ROOM)
        assert (result.split, len(result.scale.random)) == (None, 25)
        assert histories.collect("DarkRoom", "random", histories=1, steps=4, split=split, **ROOM).about["split"] is None
        assert boxes.run("InventionBox", {"all": "random"}, boxes=1, split=split, **BOX).split is None


@pytest.mark.parametrize(("id", "evaluated", "collected"), [("DarkRoom", "test", "train"), ("TMaze", None, None)])
def test_by_default_tools_use_test_and_train_tasks_or_all_of_a_family_that_is_not_split(id, evaluated, collected):
    assert metarl_envs.evaluate(id, "random", tasks=2, episodes=1, seeds=1).split == evaluated
    assert histories.collect(id, "random", histories=1, steps=4).about["split"] == collected


def test_tasks_are_how_many_or_a_set_in_every_tool():
    few = metarl_envs.tasks("DarkRoom", split="train", **ROOM)[:3]
    result = metarl_envs.evaluate("DarkRoom", "random", tasks=few, episodes=1, seeds=1)
    assert (result.split, len(result.scale.random), result.fingerprint) == ("train", 3, few.fingerprint)
    assert result.runs["random"].tasks["goal"].tolist() == few.rows(3)["goal"].tolist()
    for given in ({"tasks": few}, {"tasks": 3, **ROOM}):
        lived = histories.collect("DarkRoom", "random", histories=4, steps=4, **given)
        assert [history.task["goal"].tolist() for history in lived] == [few[i % 3]["goal"].tolist() for i in range(4)]


def test_boxes_live_on_given_recipes_by_turns():
    first = boxes.run("InventionBox", {"all": "random"}, boxes=3, tasks=2, **BOX)
    assert np.array_equal(first.tasks["recipe"][0], first.tasks["recipe"][2])
    assert not np.array_equal(first.tasks["recipe"][0], first.tasks["recipe"][1])
    assert len(set(first.endings.tolist())) == 3, "with noise of its own each"
    again = boxes.run("InventionBox", {"all": "random"}, boxes=3, tasks=boxes.make_vec("InventionBox", 1, **BOX).tasks[:2])
    assert again.fingerprint == first.fingerprint
    assert boxes.measure(first)  # which lives it again
    with pytest.raises(ValueError, match="leave out levels"):
        boxes.run("InventionBox", {"all": "random"}, tasks=boxes.make_vec("InventionBox", 1, **BOX).tasks[:2], levels=2)


@pytest.mark.parametrize("tasks", [0, -1])
def test_fewer_than_one_task_is_refused_by_every_tool(tasks):
    for call in (
        lambda: metarl_envs.evaluate("DarkRoom", "random", tasks=tasks),
        lambda: histories.collect("DarkRoom", "random", tasks=tasks),
        lambda: boxes.run("InventionBox", {"all": "random"}, tasks=tasks),
    ):
        with pytest.raises(ValueError, match=f"tasks={tasks} must be an integer of at least 1"):
            call()
    with pytest.raises(ValueError, match="tasks=82: there are no more than 81"):
        histories.collect("DarkRoom", "random", split="all", tasks=82)


def test_progress_is_told_in_one_form(tmp_path):
    told = []

    def tell(*what):
        told.append(what)

    metarl_envs.evaluate("DarkRoom", {"mine": "random"}, tasks=2, episodes=1, seeds=2, progress=tell, **ROOM)
    assert told[0] == ("mine", 0, 4)
    assert told[-1] == ("mine", 4, 4)
    told.clear()
    histories.collect("DarkRoom", "q_learning", histories=2, steps=4, progress=tell, **ROOM)
    assert told[-1] == ("QLearning", 2, 2)
    kept = histories.collect("DarkRoom", "q_learning", histories=2, steps=4, out=tmp_path / "h", progress=tell, **ROOM)
    assert told[-1] == ("QLearning", 2, 2)
    told.clear()
    kept.verify(tell)
    assert {name for name, _, _ in told} == {"bytes"}
    assert told[-1][1] == told[-1][2] > 0
    told.clear()
    boxes.run("InventionBox", {"all": "random"}, boxes=1, progress=tell, **BOX)
    assert told == [("steps", t, 6) for t in range(1, 7)]


def test_what_is_saved_is_loaded_by_the_room_that_saved_it(tmp_path):
    few = metarl_envs.tasks("DarkRoom")[:3]
    assert few.save(tmp_path / "tasks") == [tmp_path / "tasks.npy", tmp_path / "tasks.json"]
    assert task_sets.load(tmp_path / "tasks").fingerprint == few.fingerprint
    result = metarl_envs.evaluate("DarkRoom", "random", tasks=2, episodes=1, seeds=1)
    result.save(tmp_path / "result")
    assert np.array_equal(evaluation.load(tmp_path / "result").raw["random"], result.raw["random"])
    run = result.runs["random"]
    run.save(tmp_path / "run")
    assert players.load(tmp_path / "run").fingerprint == boxes.load(tmp_path / "run").fingerprint == run.fingerprint
    lived = histories.collect("DarkRoom", "random", histories=1, steps=4, out=tmp_path / "h")
    assert np.array_equal(histories.load(tmp_path / "h")[0]["reward"], lived[0]["reward"])


@pytest.mark.parametrize("workers", [0, -1])
def test_no_number_of_workers_means_something_else(workers, tmp_path):
    for out in (None, tmp_path / "h"):
        with pytest.raises(ValueError, match=f"workers={workers} must be an integer of at least 1"):
            histories.collect("DarkRoom", "random", histories=1, steps=4, workers=workers, out=out)


def test_the_command_line_has_the_defaults_of_python():
    for command, function in (
        (cli_evaluation.evaluate, metarl_envs.evaluate),
        (cli_histories.collect, histories.collect),
        (cli_histories.collect, Plan.of),
    ):
        said = {name: one.default for name, one in inspect.signature(command).parameters.items()}
        meant = {name: one.default for name, one in inspect.signature(function).parameters.items()}
        shared = (said.keys() & meant.keys()) - {"id", "learner", "out", "shard"}
        differing = {
            name: (said[name], meant[name])
            for name in shared
            if said[name] != meant[name] and meant[name] is not inspect.Parameter.empty
        }
        assert not differing, function.__name__
        assert len(shared) >= 4


def test_yes_and_no_are_true_and_false():
    declared = {entry.id: entry.family.params for entry in entries()}
    declared |= {name: learner.params for name, learner in LEARNERS.items()} | {
        name: one.params for name, one in SCRIPTED.items()
    }
    for owner, params in declared.items():
        for name, one in params.parameters.items():
            assert not (isinstance(one, Integer) and one.high - one.low < 3), f"{name} of {owner} counts to {one.high}"
            assert not (isinstance(one, Choice) and {"yes", "no"} & set(one.names)), f"{name} of {owner}"


def test_a_player_is_understood_in_all_its_forms_by_every_tool():
    for player in ("oracle", "q_learning", QLearning(epsilon=0.2)):
        assert len(histories.collect("DarkRoom", player, histories=1, steps=4, **ROOM)) == 1
        assert len(metarl_envs.evaluate("DarkRoom", player, tasks=2, episodes=1, seeds=1, **ROOM).raw) == 1
    for call in (
        lambda: histories.collect("DarkRoom", "q_lerning", histories=1, steps=4),
        lambda: metarl_envs.evaluate("DarkRoom", "q_lerning"),
        lambda: boxes.run("InventionBox", {"all": "greddy"}, boxes=1, **BOX),
    ):
        with pytest.raises(ValueError, match=r"(player|learner|policy) .*; did you mean '(q_learning|greedy)'\?$"):
            call()
