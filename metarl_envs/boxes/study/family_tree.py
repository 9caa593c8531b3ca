"""All lives of one box as a family tree: who lived when, what each knew, and who learned it from whom."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from metarl_envs.boxes.study.runs import one_box
from metarl_envs.boxes.view.picture import blend
from metarl_envs.boxes.world.core import ABSENT, ILLUSORY, REAL
from metarl_envs.boxes.world.lives import has_lives
from metarl_envs.boxes.world.tree import NOTHING, levels_of
from metarl_envs.engine import Picture
from metarl_envs.engine.canvas import AGENT, BAD, FLOOR, GOAL, GOOD, LINES, MUTED, TEXT
from metarl_envs.files import as_png, written_aside
from metarl_envs.players.run import Run

#: The size of the picture, and what is left for the margins.
_WIDTH, _LEFT, _RIGHT, _TOP, _BOTTOM, _GAP = 1200, 64, 20, 62, 34, 12
_ROW = 78


@dataclass
class Lived:
    """One life.

    Attributes:
        slot: where, from 0.
        number: the how many-th there, from 1.
        born: after how many steps it began; the first lives began with the box.
        known: the highest level of which it held a true thing, after each of its steps; the last step is left out, after which
            it was dead.
        copied: the same of what it got from teachers.
        learned: how many things it got from each teacher, by (slot, number) of the teacher's life; with `teacher="all"` nobody
            can say from whom.
        illusions: after how many steps it got something that only looked real.
    """

    slot: int
    number: int
    born: int
    known: list[int] = field(default_factory=list)
    copied: list[int] = field(default_factory=list)
    learned: dict[tuple[int, int], int] = field(default_factory=dict)
    illusions: list[int] = field(default_factory=list)


def lives_of(run: Run, box: int = 0) -> list[Lived]:
    """All lives of one box of a run, in the order of their births.

    Raises:
        ValueError: there is no such box, nobody dies in it, or the run does not repeat (see `Run.replay`).
    """
    alone, p = one_box(run, box), run.variant.p
    if not has_lives(p):
        raise ValueError(f"{run!r} has no lives to draw: nobody dies in it")
    levels = levels_of(p)
    all_lives = [Lived(i, 1, 0) for i in range(p.agents)]
    alive, gifts = list(all_lives), [np.zeros(len(levels), np.bool_) for _ in range(p.agents)]
    states = (rows[0].copy() for rows in alone.replay())
    for t, (before, after) in enumerate(itertools.pairwise(states), 1):
        for i in range(p.agents):
            if after["born"][i] == t:
                alive[i] = Lived(i, int(after["life"][i]) + 1, t)
                all_lives.append(alive[i])
                gifts[i][:] = False
            else:
                _go_on(alive[i], before, after, gifts[i], levels)
    return all_lives


def _go_on(life: Lived, before: np.void, after: np.void, gifts: np.ndarray, levels: np.ndarray) -> None:
    """One step more of a life, of which `gifts` are the true things that it got from teachers."""
    i = life.slot
    real, item = after["held"][i] == REAL, int(after["copied"][i])
    if item != NOTHING:
        gifts[item] = real[item]
        if before["held"][i, item] == ABSENT and after["held"][i, item] == ILLUSORY:
            life.illusions.append(int(after["t"]))
        if (j := int(before["teacher"][i])) != NOTHING:
            teacher = j, int(before["life"][j]) + 1
            life.learned[teacher] = life.learned.get(teacher, 0) + 1
    life.known.append(int(levels[real].max(initial=0)))
    life.copied.append(int(levels[real & gifts].max(initial=0)))


def draw_family_tree(run: Run, box: int = 0) -> np.ndarray:
    """All lives of one box as a picture, uint8 [height, width, 3]: time from left to right, a row for each slot.

    A life is a field from birth to death, filled as high as the highest level that it knew by then: green where it had that
    from a teacher, blue above that; the number is the level at its end. A line leads from a teacher to whoever learned from
    it, the thicker the more it was; a red mark stands where something was got that only looked real.

    Raises:
        ValueError: see `lives_of`.
    """
    lives, p = lives_of(run, box), run.variant.p
    total = max(1, *(life.born + len(life.known) + 1 for life in lives))
    highest = max(1, *(max(life.known, default=0) for life in lives))
    picture = Picture(_WIDTH, _TOP + p.agents * _ROW + _BOTTOM)
    step = (_WIDTH - _LEFT - _RIGHT) / total
    by_name = {(life.slot, life.number): life for life in lives}
    for life in lives:
        _draw_life(picture, life, step, highest)
    if p.teacher != "all":
        for life in lives:
            for name, count in life.learned.items():
                _draw_lesson(picture, by_name[name], life, count, step)
    _draw_frame(picture, run, box, total, highest, step)
    return picture.array()


def save_family_tree(run: Run, path: str | Path, box: int = 0) -> Path:
    """Write the picture of `draw_family_tree` into a PNG file; its path.

    Raises:
        ValueError: the name does not end in .png; or see `lives_of`.
    """
    import pygame

    path, drawn = as_png(path), draw_family_tree(run, box)
    path.parent.mkdir(parents=True, exist_ok=True)
    with written_aside(path) as [aside]:
        pygame.image.save(pygame.image.frombytes(drawn.tobytes(), drawn.shape[1::-1], "RGB"), str(aside))
    return path


def _floor_of(slot: int) -> float:
    """The y on which the lives of a slot stand."""
    return _TOP + (slot + 1) * _ROW - _GAP


def _draw_life(picture: Picture, life: Lived, step: float, highest: int) -> None:
    x, y, full = _LEFT + life.born * step, _floor_of(life.slot), _ROW - _GAP - 14
    width = max(1.0, len(life.known) * step)
    picture.rectangle(x, y - full, width - 1, full, FLOOR, 2)
    for k, (known, copied) in enumerate(zip(life.known, life.copied, strict=True)):
        for level, color in ((known, blend(AGENT, 0.75)), (copied, blend(GOOD, 0.75))):
            picture.rectangle(x + k * step, y - full * level / highest, step + 0.5, full * level / highest, color)
    for t in life.illusions:
        picture.circle(_LEFT + t * step, y + 3, 2, BAD)
    if life.known and width > 24:
        picture.text(x + width / 2, y - full - 12, str(life.known[-1]), size=10, color=TEXT, align="center")


def _draw_lesson(picture: Picture, teacher: Lived, life: Lived, count: int, step: float) -> None:
    """A line from a teacher to whoever learned from it, near the birth of the one and into the field of the other."""
    x = _LEFT + max(life.born, teacher.born) * step
    y0, y1 = _floor_of(teacher.slot) - 8, _floor_of(life.slot) - 8
    picture.line(x - 6, y0, x + 3, y1, blend(GOAL, 0.7), min(2.2, 0.5 + count / 8))
    picture.circle(x + 3, y1, 3, GOAL)


def _draw_frame(picture: Picture, run: Run, box: int, total: int, highest: int, step: float) -> None:
    """Title, legend, names of slots, and time."""
    p = run.variant.p
    picture.text(
        _LEFT, 10, f"{run.variant.name}, box {box}, seed {run.seeds[box]}: lives, and the highest level each knew", size=16
    )
    x = float(_LEFT)
    names = (("found by itself", AGENT), ("from a teacher", GOOD), ("who taught whom", GOAL), ("only looks real", BAD))
    for name, color in names:
        picture.circle(x + 5, 44, 5, color)
        x += 34 + picture.text(x + 16, 37, name, size=12, color=MUTED)
    picture.text(_WIDTH - _RIGHT, 37, f"a full field is level {highest}", size=12, color=MUTED, align="right")
    for slot in range(p.agents):
        picture.text(_LEFT - 12, _floor_of(slot) - 34, f"slot {slot}", size=11, color=MUTED, align="right")
    y = _TOP + p.agents * _ROW + 4
    picture.line(_LEFT, y, _WIDTH - _RIGHT, y, LINES, 1)
    for t in range(0, total + 1, max(1, p.lifespan * -(-total // (12 * p.lifespan)))):
        picture.text(_LEFT + t * step, y + 6, str(t), size=11, color=MUTED, align="center")
