"""The scenarios, one file each; `metarl_envs.ids.BOXES` is the table of them."""

from __future__ import annotations

from metarl_envs.arguments import did_you_mean
from metarl_envs.boxes.scenarios.box import Box
from metarl_envs.engine.family import load_family
from metarl_envs.ids import BOXES, short


def box_named(box: str | type[Box]) -> type[Box]:
    """Return the box that a name, an id or a class stands for.

    Raises:
        TypeError: `box` is neither a string nor a class of boxes.
        ValueError: there is no such box, or it is one seat of a box.
    """
    if isinstance(box, type) and issubclass(box, Box):
        if whole := getattr(box, "box", None):
            raise ValueError(f"box={box!r} is one seat of a box: give the whole box, {whole.__name__}")
        return box
    if not isinstance(box, str):
        raise TypeError(f"box={box!r} must be the name of a box, or a subclass of Box; there are: {', '.join(BOXES)}")
    name = short(box)
    if name not in BOXES:
        raise ValueError(f"box={box!r} is no box; there are: {', '.join(BOXES)}{did_you_mean(name, BOXES)}")
    return load_family(BOXES[name])  # type: ignore[return-value]
