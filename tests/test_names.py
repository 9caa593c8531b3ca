"""What a user finds by tab: public names and rooms, and nothing that a module merely imports."""

import importlib
import subprocess
import sys

import pytest

import metarl_envs

ROOMS = ("evaluation", "histories", "learners", "task_sets", "engine", "suites")


def test_the_package_shows_its_public_names_and_rooms():
    assert set(metarl_envs.__all__) | set(ROOMS) | {"boxes", "testing", "play"} <= set(dir(metarl_envs))
    assert not {"importlib", "Any", "annotations", "TYPE_CHECKING"} & set(dir(metarl_envs))
    for name in dir(metarl_envs):
        assert getattr(metarl_envs, name) is not None


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_shows_its_public_names(room):
    module = importlib.import_module(f"metarl_envs.{room}")
    public = getattr(module, "__all__", ["LEARNERS"])
    assert set(public) <= set(dir(module))
    assert not {"importlib", "Any", "TYPE_CHECKING"} & set(dir(module))
    assert [getattr(module, name) for name in public if name not in ("RayExecutor", "TorchWindows")]


def test_a_room_is_an_attribute_of_the_package_before_anybody_imports_it():
    code = "import metarl_envs as m; print(m.boxes.__name__, m.histories.collect.__name__, m.evaluation.Result.__name__)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.split() == ["metarl_envs.boxes", "collect", "Result"], done.stderr


def test_a_name_that_there_is_not_is_an_attribute_error():
    with pytest.raises(AttributeError, match="'box'"):
        metarl_envs.box  # noqa: B018
