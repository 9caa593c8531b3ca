"""What a file names is found again by that name, or is not written; and what is defined anew is not taken for the old."""

import pickle

import numpy as np
import pytest

from metarl_envs import boxes
from metarl_envs.boxes.scenarios.amnesia import AmnesiaBox
from metarl_envs.engine.composing import Composed, family_at, spec_of
from metarl_envs.engine.family import load_family
from metarl_envs.families.bandits.bernoulli import BernoulliBandit
from metarl_envs.families.grids.dark_room import DarkRoom
from metarl_envs.learners import Random
from metarl_envs.players import load
from metarl_envs.players.lifetimes import live
from metarl_envs.task_sets import TaskSet
from metarl_envs.task_sets import load as load_tasks
from metarl_envs.task_sets.files import known_family
from tests.test_players import BOX, ROOM, lived

pytestmark = pytest.mark.plain


class Scope:
    """A class that has a family in it."""

    class Inner(DarkRoom):
        """A dark room."""


class Again(DarkRoom):
    """A dark room that will be defined anew."""


def played(family, **params):
    tasks = TaskSet.of_family(family, **{**ROOM, **params})
    return live(Random(), tasks.variant, tasks.rows(2), np.arange(2), episodes=2)[0]


def test_a_family_within_a_class_is_found_again(tmp_path):
    run = played(Scope.Inner)
    assert run.family == f"{__name__}:Scope.Inner"
    assert load(run.save(tmp_path / "run")[0]).variant is run.variant
    assert pickle.loads(pickle.dumps(run)).variant is run.variant
    tasks = TaskSet.of_family(Scope.Inner, **ROOM)[:3]
    tasks.save(tmp_path / "tasks")
    assert load_tasks(tmp_path / "tasks").variant is tasks.variant
    for path in ("Scope.Nobody", "Scope.__init__", "Scope.Inner.params", "played.Inner", "Scope..Inner", ""):
        with pytest.raises(ValueError, match="is no family"):
            load_family(f"{__name__}:{path}")


@pytest.mark.parametrize("path", ["", ":", ":x", "x", "os:"])
def test_what_names_no_class_says_what_would(path):
    with pytest.raises(ValueError, match='must be "module:Class"'):
        known_family(path)


def test_a_family_within_a_function_is_played_and_computed_from_and_not_saved(tmp_path):
    class Hidden(DarkRoom):
        """A dark room."""

    class HiddenBox(AmnesiaBox):
        """A box."""

    run = played(Hidden)
    assert "Hidden: 2 rows" in repr(run)
    assert run.scores().shape == (2, 2)
    assert len(list(run.replay())) == 13
    with pytest.raises(ValueError, match=r"Hidden cannot be written to a file.*<locals>\.Hidden.*at the top of a module"):
        run.save(tmp_path / "run")
    with pytest.raises(ValueError, match="Hidden cannot be written to a file"):
        TaskSet.of_family(Hidden, **ROOM)[:3].save(tmp_path / "tasks")
    done = boxes.run(HiddenBox, {"all": "random"}, boxes=1, **BOX)
    assert len(boxes.measure(done)) == 1
    assert not list(tmp_path.iterdir())


def test_a_family_that_is_defined_anew_is_not_the_one_that_was_played(monkeypatch, tmp_path):
    run = played(Again)

    class Anew(DarkRoom):
        """It has no parameter `once`."""

        params = DarkRoom.params.with_defaults(size=4)
        task = np.dtype([("goal", np.int32, (3,))])

    monkeypatch.setitem(globals(), "Again", Anew)
    assert run.variant.family is not Anew
    assert run.columns().columns["reward"].sum() == run.returns.sum()
    with pytest.raises(ValueError, match="another family has this name by now"):
        run.save(tmp_path / "run")


def test_what_is_made_of_parts_is_made_by_the_class_as_it_is_now():
    def cell(shift):
        class Mix(Composed):
            """A mixture."""

            __qualname__ = "Mix"

            @classmethod
            def bindings(cls, parts):
                return {"shifts": {shift: {}}}

        return Mix

    parts = {"a": BernoulliBandit.with_params(arms=2), "b": BernoulliBandit.with_params(arms=3)}
    old, new = cell("one"), cell("two")
    assert spec_of(old.of(parts)) == spec_of(new.of(parts))
    assert (list(old.of(parts).shifts), list(new.of(parts).shifts)) == (["one"], ["two"])
    assert issubclass(new.of(parts), new)
    assert new.of(dict(parts)) is new.of(parts)
    assert new.of(dict(reversed(parts.items()))) is not new.of(parts), "parts are numbered in their order"
    assert family_at(spec_of(DarkRoom)) is DarkRoom


# ------------------------------------------------------------------------------------------------- paths and rows
def test_files_are_not_written_beside_the_folder_that_was_meant(tmp_path):
    run, tasks = played(DarkRoom), TaskSet.of_family(DarkRoom, **ROOM)[:3]
    (tmp_path / "folder").mkdir()
    for save in (run.save, tasks.save):
        for path in (tmp_path / "folder", f"{tmp_path}/folder/", f"{tmp_path}/new/"):
            with pytest.raises(IsADirectoryError, match=r"is a folder: give a name in it, such as .*/name'"):
                save(path)
    assert [path.name for path in tmp_path.iterdir()] == ["folder"]
    run.save(tmp_path / "v0.3")
    assert load(tmp_path / "v0.3").fingerprint == run.fingerprint


def test_a_run_has_rows():
    run, _ = lived(Random())
    for rows in (slice(5, 5), np.zeros(4, bool), np.array([], int)):
        with pytest.raises(ValueError, match="has no rows: there are 4"):
            run[rows]
    for rows in (1, np.array(1), np.zeros((2, 2), int), [0]):
        with pytest.raises(TypeError, match="give a slice"):
            run[rows]
    assert np.array_equal(run[np.array([True, False, True, False])].seeds, run[np.array([0, 2])].seeds)
