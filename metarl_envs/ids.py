"""The one table of ids: which families there are, and where each stands.

The table holds strings only, so that specs survive JSON, pickle and worker processes, and so that importing the package
imports no family (and no Numba). To add a family: write its file, and add its row here.
"""

from __future__ import annotations

import importlib
import importlib.machinery
import importlib.util
import os
import sys
from collections.abc import Mapping
from types import ModuleType
from typing import Any, NamedTuple

import gymnasium as gym


class Row(NamedTuple):
    """One id: its name, where its family stands (below `metarl_envs.families`, or its whole path), what kind of task it is."""

    id: str
    family: str
    kind: str


TABLE = (
    Row("MetaRL/BernoulliBandit-v0", "bandits.bernoulli:BernoulliBandit", "bandit"),
    Row("MetaRL/GapBandit-v0", "bandits.gap:GapBandit", "bandit"),
    Row("MetaRL/GaussianBandit-v0", "bandits.gaussian:GaussianBandit", "bandit"),
    Row("MetaRL/LinearBandit-v0", "bandits.linear:LinearBandit", "bandit"),
    Row("MetaRL/TwoStep-v0", "bandits.two_step:TwoStep", "bandit"),
    Row("MetaRL/TabularMDP-v0", "tabular.tabular_mdp:TabularMDP", "tabular"),
    Row("MetaRL/DarkRoom-v0", "grids.dark_room:DarkRoom", "grid"),
    Row("MetaRL/DarkRoomHard-v0", "grids.dark_room:DarkRoomHard", "grid"),
    Row("MetaRL/DarkRoom10-v0", "grids.dark_room:DarkRoom10", "grid"),
    Row("MetaRL/DarkRoomPermuted-v0", "grids.dark_room_permuted:DarkRoomPermuted", "grid"),
    Row("MetaRL/DarkKeyToDoor-v0", "grids.dark_key_to_door:DarkKeyToDoor", "grid"),
    Row("MetaRL/GridNavi-v0", "grids.grid_navi:GridNavi", "grid"),
    Row("MetaRL/TMaze-v0", "grids.t_maze:TMaze", "grid"),
    Row("MetaRL/PointRobot-v0", "control.point_robot:PointRobot", "control"),
    Row("MetaRL/PointRobotSparse-v0", "control.point_robot:PointRobotSparse", "control"),
    Row("MetaRL/CartPole-v0", "control.cart_pole:CartPole", "control"),
    Row("MetaRL/Pendulum-v0", "control.pendulum:Pendulum", "control"),
    Row("MetaRL/LinearRegression-v0", "regression.linear:LinearRegression", "regression"),
    Row("MetaRL/Mixture-v0", "mixture.mixture:Mixture", "mixture"),
    Row("MetaRL/InventionBox-v0", "metarl_envs.boxes.envs.seats:InventionSeat", "box"),
    Row("MetaRL/AmnesiaBox-v0", "metarl_envs.boxes.envs.seats:AmnesiaSeat", "box"),
    Row("MetaRL/GenerationsBox-v0", "metarl_envs.boxes.envs.seats:GenerationsSeat", "box"),
    Row("MetaRL/HazardBox-v0", "metarl_envs.boxes.envs.seats:HazardSeat", "box"),
    Row("MetaRL/SealedBox-v0", "metarl_envs.boxes.envs.seats:SealedSeat", "box"),
)

#: The boxes of `metarl_envs.boxes`, by name. Ids in the table are those of one seat in them.
BOXES = {
    "InventionBox": "metarl_envs.boxes.scenarios.invention:InventionBox",
    "AmnesiaBox": "metarl_envs.boxes.scenarios.amnesia:AmnesiaBox",
    "GenerationsBox": "metarl_envs.boxes.scenarios.generations:GenerationsBox",
    "HazardBox": "metarl_envs.boxes.scenarios.hazard:HazardBox",
    "SealedBox": "metarl_envs.boxes.scenarios.sealed:SealedBox",
}


def register_all() -> None:
    """Register every id of the table with Gymnasium. Registering twice does nothing."""
    for row in TABLE:
        whole = row.family.startswith("metarl_envs.")
        register(row.id, row.family if whole else f"metarl_envs.families.{row.family}")


def register(id: str, family: str | Mapping[str, Any]) -> None:
    """Register a family of your own: `register("Mine/Maze-v0", "my_package.maze:Maze")`.

    Do so in the module that defines it; then `gymnasium.make("my_package.maze:Mine/Maze-v0")` finds it in every process.
    Registering the same family again does nothing.

    Args:
        id: a name for `gymnasium.make`: namespace/name-version.
        family: where its class is to be imported from, "module:Class", or the spec of a composed family (see
            `metarl_envs.engine.composing.spec_of`). Not the class itself, so that specs survive JSON, pickle and worker
            processes.

    Raises:
        TypeError: `id` is no string.
        ValueError: `family` is no such string, or the id stands for something else already.
    """
    if not isinstance(id, str):
        raise TypeError(f"id={id!r} must be a string, such as 'Mine/Maze-v0'")
    composed = isinstance(family, Mapping) and set(family) == {"family", "parts"}
    if not composed and not (isinstance(family, str) and family.count(":") == 1 and all(family.partition(":"))):
        raise ValueError(f'family={family!r} of {id} must be a string "module:Class", such as "my_package.maze:Maze"')
    if id not in gym.registry:
        gym.register(
            id,
            entry_point="metarl_envs.making:make_single",
            vector_entry_point="metarl_envs.making:make_vector",
            kwargs={"family": family},
        )
    elif (taken := gym.registry[id].kwargs.get("family")) != family:
        raise ValueError(f"id={id!r} cannot be {family!r}: it is {taken or gym.registry[id].entry_point!r} already")


def family_of(id: str) -> Any:
    """Return the import path of the family behind an id, or the spec of a composed one.

    An id of this package may be written with or without "metarl_envs:", "MetaRL/" and "-v0": "DarkRoom" will do. An id such as
    "my_package.maze:Mine/Maze-v0" imports its module first.

    Raises:
        TypeError: `id` is no string.
        ValueError: no id of this package, or of one registered with `register`, is called so.
    """
    return _spec_of(id).kwargs["family"]


def registered_families() -> list[Any]:
    """Return the paths (or specs) of all families that have an id, and of the whole boxes, which have a seat with an id."""
    return [spec.kwargs["family"] for spec in gym.registry.values() if _is_family(spec)] + sorted(BOXES.values())


def id_of(id: str) -> str:
    """Return an id in full: "DarkRoom" is "MetaRL/DarkRoom-v0". TypeError or ValueError as in `family_of`."""
    return _spec_of(id).id


def short(id: str) -> str:
    """Return the name of an id of this package alone, "DarkRoom" of "MetaRL/DarkRoom-v0"; others stay as they are."""
    name = id.removeprefix("metarl_envs:")
    if name.startswith("MetaRL/") or not set(name) & set("/:"):
        name = name.removeprefix("MetaRL/").removesuffix("-v0")
    return name


def _spec_of(id: str) -> Any:
    """What Gymnasium knows of an id; ValueError where it stands for no family."""
    if not isinstance(id, str):
        raise TypeError(f"id={id!r} must be a string, such as 'MetaRL/DarkRoom-v0'")
    module, _, name = id.rpartition(":")
    if module:
        imported(module, f"id={id!r}")
    for whole in (name, f"MetaRL/{short(id)}-v0"):  # Gymnasium has such names too: its own CartPole-v0 is none of ours
        if _is_family(spec := gym.registry.get(whole)):
            return spec
    from metarl_envs.arguments import did_you_mean

    known = [id for id, spec in gym.registry.items() if _is_family(spec)]
    closest = did_you_mean(short(name).rpartition("/")[2], {short(one).rpartition("/")[2]: one for one in known})
    raise ValueError(f"id={id!r} is not a family of metarl_envs; there are: {', '.join(known)}{closest}")


def _is_family(spec: Any) -> bool:
    return spec is not None and spec.entry_point == "metarl_envs.making:make_single"


def imported(module: str, said: str) -> ModuleType:
    """Return the module in front of a name that a caller gave, `module:Name`.

    It is looked for where Python looks, and then in the current folder, where a command that was installed does not look by
    itself. (So worker processes find it too.)

    Args:
        module: its whole name.
        said: how an error calls what was given, such as "id='my_package.maze:Mine/Maze-v0'".

    Raises:
        ValueError: there is no such module.
    """
    if module.startswith("."):
        raise ValueError(f"{said} names the module {module!r}: give its whole name, such as 'my_package.maze'")
    here, outermost = os.getcwd(), module.partition(".")[0]
    elsewhere = outermost in sys.modules or importlib.util.find_spec(outermost) is not None
    if not elsewhere and importlib.machinery.PathFinder.find_spec(outermost, [here]) is not None:
        sys.path.append(here)  # behind all others, so that nothing else is found otherwise than before
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if not f"{module}.".startswith(f"{error.name}."):
            raise
        raise ValueError(
            f"{said} names a module that is not found: {error}, where Python looks or in {here}. Call it in the folder that "
            "holds the module, or name that folder in PYTHONPATH"
        ) from None
