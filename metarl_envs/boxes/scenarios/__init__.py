"""The scenarios, one file each, and the table of them."""

from __future__ import annotations

from metarl_envs.boxes.scenarios.box import Box
from metarl_envs.engine.family import load_family

#: By name, where each box stands.
BOXES = {
    "InventionBox": "metarl_envs.boxes.scenarios.invention:InventionBox",
    "AmnesiaBox": "metarl_envs.boxes.scenarios.amnesia:AmnesiaBox",
}


def box_named(box: str | type[Box]) -> type[Box]:
    """The box that a name, an id or a class stands for; ValueError where there is none."""
    if isinstance(box, type) and issubclass(box, Box):
        if whole := getattr(box, "box", None):
            raise ValueError(f"box={box!r} is one seat of a box: give the whole box, {whole.__name__}")
        return box
    name = str(box).rpartition("/")[2].removesuffix("-v0")
    if name not in BOXES:
        raise ValueError(f"box={box!r} is no box; there are: {', '.join(BOXES)}")
    return load_family(BOXES[name])  # type: ignore[return-value]
