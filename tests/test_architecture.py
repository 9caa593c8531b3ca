"""The arrows between packages point one way, and importing the package costs next to nothing."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = "metarl_envs"

#: What writes a whole file, and what it is to stand within.
WRITES = {"write_text", "write_bytes", "savez", "savez_compressed"}
ASIDE = {"written_aside", "replaced_in"}
#: The rooms of the package, and for each those that it may import. What is not a room here is a file or folder too many.
ROOMS = {
    "files": set(),
    "arguments": set(),
    "ids": {"arguments"},
    "engine": {"arguments", "files"},
    "families": {"engine", "ids"},
    "learners": {"engine", "arguments"},
    "task_sets": {"engine", "arguments", "files", "ids"},
    "making": {"engine", "task_sets"},
    "catalogue": {"engine", "learners", "players", "boxes", "suites", "files", "ids"},
    "histories": {"engine", "learners", "task_sets", "arguments", "files", "ids"},
    "players": {"engine", "learners", "task_sets", "histories", "arguments", "files"},
    "evaluation": {"engine", "learners", "task_sets", "histories", "players", "arguments", "files", "ids"},
    "boxes": {"engine", "learners", "task_sets", "histories", "players", "evaluation", "arguments", "files", "ids"},
    "suites": {"engine", "learners", "task_sets", "players", "evaluation", "boxes", "arguments", "files", "ids"},
    "text": {"engine", "task_sets", "histories", "players", "evaluation", "arguments", "ids"},
    "protocols": {"engine", "task_sets", "text", "boxes", "arguments", "ids"},
    "play": {"engine", "task_sets", "players", "evaluation", "catalogue", "arguments", "files", "ids", "making"},
    "host": {"engine", "task_sets", "players", "boxes", "arguments", "files"},
    "testing": {"engine", "learners", "task_sets", "histories", "catalogue", "ids"},
    "cli": {
        *("engine", "learners", "task_sets", "histories", "players", "evaluation", "boxes", "suites", "play", "text", "host"),
        *("catalogue", "protocols", "arguments", "files", "ids"),
    },
}
#: Rooms with floors: a floor may import those above it in this list, and files of the room that stand in no folder.
FLOORS = {
    "engine": ("compiling", "loops", "worlds", "truth", "envs"),
    "boxes": ("world", "view", "scenarios", "players", "envs", "study"),
}
#: Files of the wrappers that are there for one library, and are imported by their own names only.
BRIDGES = {"sb3.py": {"stable_baselines3"}}
HEAVY = ("numba", "pygame", "minigrid", "pettingzoo", "matplotlib", "scipy", "torch", "pandas", "typer", "rich")
HEAVY += ("starlette", "uvicorn", "pydantic")


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


def module_of(file):
    """The dotted name of a file of the package."""
    return ".".join(file.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


MODULES = {module_of(file): file for file in sorted((ROOT / PACKAGE).rglob("*.py"))}


def modules_imported(file):
    """The modules of this package that a file imports: at its head, where they are used, or for their types alone."""
    names = [name for name in imports(file) if name in MODULES]
    return {name for name in names if not any(other.startswith(f"{name}.") for other in names)} - {module_of(file)}


def test_every_room_is_known():
    assert {name.split(".")[1] for name in MODULES if "." in name} == set(ROOMS)


@pytest.mark.parametrize("room", ROOMS)
def test_arrows_between_rooms_point_one_way(room):
    for file in files_of(room):
        imported = {name.split(".")[1] for name in modules_imported(file) if "." in name}
        wrong = imported - ROOMS[room] - {room}
        assert not wrong, f"{file.relative_to(ROOT)} imports {sorted(wrong)}; {room} may import {sorted(ROOMS[room])}"
        assert PACKAGE not in set(imports(file)), f"{file.relative_to(ROOT)} imports the whole package"


@pytest.mark.parametrize("room", FLOORS)
def test_arrows_between_floors_point_one_way(room):
    floors = FLOORS[room]
    for file in files_of(room):
        own = file.parent.name if file.parent.name in floors else None
        for name in modules_imported(file):
            floor = name.split(".")[2] if name.startswith(f"{PACKAGE}.{room}.") else None
            if own in floors and floor in floors:
                assert floors.index(floor) <= floors.index(own), f"{file.relative_to(ROOT)} imports {name}"


def test_no_module_imports_itself_by_way_of_others():
    """Imports within functions and for types count too."""
    graph = {module: modules_imported(file) for module, file in MODULES.items()}
    left = dict(graph)
    while free := [module for module, wanted in left.items() if not wanted & left.keys()]:
        for module in free:
            del left[module]
    circles = [module for module in left if _reaches(graph, module, module)]
    assert not circles, f"these import one another: {', '.join(circles)}"


def _reaches(graph, start, goal):
    seen, waiting = set(), [start]
    while waiting:
        for name in graph[waiting.pop()]:
            if name == goal:
                return True
            if name not in seen:
                seen.add(name)
                waiting.append(name)
    return False


def test_what_is_not_public_of_numba_is_in_one_file():
    """But for `cgutils`, which Numba's guide to extensions uses."""
    for file in sorted((ROOT / PACKAGE).rglob("*.py")):
        inner = {name for name in imports(file) if name.startswith(("numba.core", "numba.np", "numba.misc"))}
        inner -= {"numba.core", "numba.core.cgutils"} if file.name == "pointers.py" else set()
        assert not inner or file.name == "numba_parts.py", f"{file.relative_to(ROOT)} imports {sorted(inner)}"


def test_whole_files_are_written_aside_and_renamed():
    """Whoever is killed while it writes leaves the old file or none."""
    for file in sorted([*(ROOT / PACKAGE).rglob("*.py"), *(ROOT / "examples").glob("*.py")]):
        tree = ast.parse(file.read_text())
        safe = {
            id(inner)
            for block in ast.walk(tree)
            if isinstance(block, ast.With) and any(called(item.context_expr) in ASIDE for item in block.items)
            for inner in ast.walk(block)
        }
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in WRITES:
                assert id(node) in safe, f"{file.relative_to(ROOT)}:{node.lineno} writes where readers look"


def called(node):
    """The name of what a call calls, whatever it is an attribute of; "" where nothing is called by name."""
    if not isinstance(node, ast.Call):
        return ""
    return getattr(node.func, "attr", getattr(node.func, "id", ""))


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
    assert {name for name in extra if name.startswith(PACKAGE)} == {PACKAGE, f"{PACKAGE}.ids"}


def test_making_an_environment_imports_no_picture_or_plot():
    made = modules_after("import gymnasium as gym; gym.make('metarl_envs:MetaRL/DarkRoom-v0').reset(seed=0)")
    assert "metarl_envs.engine.envs.single" in made
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
    statement = "import warnings; warnings.simplefilter('error'); import metarl_envs.ids as r; r.register_all()"
    assert PACKAGE in modules_after(statement)


def test_every_public_name_can_be_had():
    import metarl_envs

    for name in metarl_envs.__all__:
        assert getattr(metarl_envs, name) is not None
    with pytest.raises(AttributeError, match="nothing_such"):
        metarl_envs.nothing_such  # noqa: B018
