"""The arrows between packages point one way, and importing the package costs next to nothing."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = "metarl_envs"

#: For each room: the rooms of the package that it may import. A room not named here may import anything but `play`.
ALLOWED = {
    "engine": {"engine"},
    "families": {"families", "engine"},
    "boxes": {"boxes", "engine", "task_sets", "evaluation"},
    "learners": {"learners", "engine"},
    "task_sets": {"task_sets", "engine", "registration"},
    "registration": {"registration", "engine", "task_sets"},
    "histories": {"histories", "engine", "learners", "task_sets", "registration"},
}
#: Files of the wrappers that are there for one library, and are imported by their own names only.
BRIDGES = {"sb3.py": {"stable_baselines3"}}
HEAVY = ("numba", "pygame", "minigrid", "pettingzoo", "matplotlib", "scipy", "torch", "pandas", "typer", "rich")


def imports(file):
    """Every module that a file imports, wherever in it, as dotted names (and `from x import y` as x and x.y)."""
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file} has a relative import: say the whole name"
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def files_of(room):
    folder = ROOT / PACKAGE / room
    return sorted(folder.rglob("*.py")) if folder.is_dir() else [folder.with_suffix(".py")]


def rooms():
    entries = (ROOT / PACKAGE).iterdir()
    names = {entry.stem for entry in entries if entry.suffix == ".py" or any(entry.glob("**/*.py"))}
    return sorted(names - {"__init__", "__main__"})


def rooms_imported(file):
    """The rooms of this package that a file imports; names taken from the package itself count as what they stand for."""
    inside = {name.split(".")[1] for name in imports(file) if name.startswith(f"{PACKAGE}.")}
    return {name for name in inside if name in rooms()}


def test_the_rooms_are_found():
    assert {"engine", "families", "task_sets", "registration"} <= set(rooms())
    assert "engine" in rooms_imported(ROOT / PACKAGE / "families" / "grids" / "dark_room.py")


@pytest.mark.parametrize("room", rooms())
def test_arrows_point_one_way(room):
    for file in files_of(room):
        allowed = ALLOWED.get(room, set(rooms()) - ({"play"} if room not in ("play", "cli") else set()))
        wrong = rooms_imported(file) - allowed
        assert not wrong, f"{file.relative_to(ROOT)} imports {sorted(wrong)}; {room} may import {sorted(allowed)}"
        if room in ALLOWED:
            assert PACKAGE not in set(imports(file)), f"{file.relative_to(ROOT)} imports the whole package"


def test_what_is_not_public_of_numba_is_in_one_file():
    """But for `cgutils`, which Numba's guide to extensions uses."""
    for file in sorted((ROOT / PACKAGE).rglob("*.py")):
        inner = {name for name in imports(file) if name.startswith(("numba.core", "numba.np", "numba.misc"))}
        inner -= {"numba.core", "numba.core.cgutils"} if file.name == "pointers.py" else set()
        assert not inner or file.name == "numba_parts.py", f"{file.relative_to(ROOT)} imports {sorted(inner)}"


def test_families_do_not_import_one_another():
    """But for variants: a family may build on one of its own folder."""
    for file in files_of("families"):
        for name in imports(file):
            if name.startswith(f"{PACKAGE}.families."):
                assert name.split(".")[2] == file.parent.name, f"{file.relative_to(ROOT)} imports {name}"


def test_wrappers_import_gymnasium_and_numpy_only():
    for file in sorted((ROOT / "wrappers").rglob("*.py")):
        for name in imports(file):
            top = name.split(".")[0]
            allowed = top in {"gymnasium", "numpy", "metarl_wrappers"} | BRIDGES.get(file.name, set())
            allowed |= top in sys.stdlib_module_names
            assert allowed, f"{file.relative_to(ROOT)} imports {name}"


def modules_after(statement):
    """The modules that a fresh interpreter has imported after a statement."""
    script = f"{statement}\nimport sys; print(*sys.modules)"
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    return set(result.stdout.split())


def test_importing_the_package_imports_nothing_heavy():
    extra = modules_after(f"import {PACKAGE}") - modules_after("import gymnasium")
    assert not {name.split(".")[0] for name in extra} & set(HEAVY)
    assert {name for name in extra if name.startswith(PACKAGE)} == {PACKAGE, f"{PACKAGE}.registration"}


def test_making_an_environment_imports_no_picture_or_plot():
    made = modules_after("import gymnasium as gym; gym.make('metarl_envs:MetaRL/DarkRoom-v0').reset(seed=0)")
    assert "metarl_envs.engine.single" in made
    assert not {name.split(".")[0] for name in made} & {
        "minigrid",
        "pettingzoo",
        "matplotlib",
        "torch",
        "pandas",
        "typer",
        "rich",
    }


def test_importing_twice_registers_once():
    """Under errors for warnings, since Gymnasium warns when an id is registered over another."""
    statement = "import warnings; warnings.simplefilter('error'); import metarl_envs.registration as r; r.register_all()"
    assert PACKAGE in modules_after(statement)


def test_every_public_name_can_be_had():
    import metarl_envs

    for name in metarl_envs.__all__:
        if name != "evaluate" or "evaluation" in rooms():
            assert getattr(metarl_envs, name) is not None
    with pytest.raises(AttributeError, match="nothing_such"):
        metarl_envs.nothing_such  # noqa: B018
