"""Pictures and words of a box: everything that is in it for a spectator, and what one agent knows in words.

Items stand in columns by lineage and in rows by level, bases at the bottom, so that what is invented grows upwards.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from types import SimpleNamespace
from typing import NamedTuple

import numpy as np

from metarl_envs.boxes.view.words import (
    author_of,
    day_in_words,
    day_of,
    entry_in_words,
    experiment,
    names_of,
    record_of,
    text_for,
    words_in,
)
from metarl_envs.boxes.world.claims import has_claims, is_claim
from metarl_envs.boxes.world.core import ABSENT, REAL
from metarl_envs.boxes.world.hazard import DEEDS, FORCED, GAVE, HAZARD, NO_DEED, SABOTAGED, is_out
from metarl_envs.boxes.world.lives import has_lives, teachers_of
from metarl_envs.boxes.world.mechanisms import as_kernels_see, used_in
from metarl_envs.boxes.world.notes import LENGTH, MADE, NOTEBOOK, NOTICEBOARD, WHEN, Book
from metarl_envs.boxes.world.topology import sees
from metarl_envs.boxes.world.tree import NOTHING, items_of, levels_of, lineages_of, places_of, product_of
from metarl_envs.engine import Picture, Row
from metarl_envs.engine.canvas import (
    ACCENT,
    AGENT,
    BACKGROUND,
    BAD,
    FLOOR,
    GOAL,
    GOOD,
    LINES,
    MUTED,
    TEXT,
    WORLD,
    Color,
)
from metarl_envs.engine.compiling.kernels import plain

#: One hue a lineage, around again after eight.
HUES: tuple[Color, ...] = (
    AGENT,
    GOOD,
    ACCENT,
    (255, 146, 92),
    (88, 208, 214),
    (236, 126, 190),
    (178, 206, 88),
    (150, 160, 255),
)
#: Where the tree stands, where the column at its right begins and ends, and how many levels fit in.
_LEFT, _RIGHT, _TOP, _BOTTOM = 30, 292, 14, 440
_SIDE, _END = 310, WORLD - 12
_LEVELS_SHOWN = 40
#: Agents of whom there is a line of their own, and links that are drawn one by one.
_AGENTS_LISTED, _LINKED = 12, 40


# ------------------------------------------------------------------------------------------------- where items stand
class Items(NamedTuple):
    """Level, lineage and place of every item."""

    level: np.ndarray
    lineage: np.ndarray
    place: np.ndarray


def items(p: SimpleNamespace) -> Items:
    """Level, lineage and place of every item under parameters `p`."""
    return Items(levels_of(p), lineages_of(p), places_of(p))


class Tree:
    """Where items stand in a picture in which `highest` is the highest level reached.

    Shown are the bases, and of the levels above them some more than were reached, 40 at most.
    """

    def __init__(self, p: SimpleNamespace, highest: int):
        self.p, self.items = p, items(p)
        self.last = min(p.levels, 8 + 4 * (highest // 4))
        shown = min(self.last, _LEVELS_SHOWN)
        self.first = self.last - shown + 1
        self.row = (_BOTTOM - _TOP) / (shown + 1)
        self.band = (_RIGHT - _LEFT) / p.lineages
        self.column = self.band / (max(p.width, p.bases) + (0.6 if p.lineages > 1 else 0.0))
        self.radius = max(0.8, min(0.4 * self.column, 0.4 * self.row, 13.0))

    def height(self, level: int) -> float:
        """The y of a level that is shown."""
        return _BOTTOM - self.row * (0.5 + (0 if level == 0 else level - self.first + 1))

    def shows(self, item: int) -> bool:
        """Whether an item's level is shown."""
        return self.items.level[item] == 0 or self.first <= self.items.level[item] <= self.last

    def at(self, item: int) -> tuple[float, float]:
        """The middle of an item that is shown."""
        level, lineage, place = (int(of[item]) for of in self.items)
        size = self.p.bases if level == 0 else self.p.width
        x = _LEFT + self.band * (lineage + 0.5) + self.column * (place - (size - 1) / 2)
        return x, self.height(level)

    def hue(self, item: int) -> Color:
        """The colour of an item's lineage."""
        return HUES[int(self.items.lineage[item]) % len(HUES)]


def _highest(p: SimpleNamespace, there: np.ndarray) -> int:
    """The highest level of the items that are there."""
    return int(items(p).level[there].max(initial=0))


def blend(color: Color, share: float, ground: Color = BACKGROUND) -> Color:
    """So much of a colour, the rest of the ground."""
    mixed = [round(share * c + (1 - share) * g) for c, g in zip(color, ground, strict=True)]
    return mixed[0], mixed[1], mixed[2]


# ------------------------------------------------------------------------------------------------- who sees whom
def links(p: SimpleNamespace, where: Sequence[int]) -> set[tuple[int, int]]:
    """Pairs (i, j): agent i sees agent j now."""
    return {(i, j) for i in range(p.agents) for j in seen_by(p, where, i)}


def seen_by(p: SimpleNamespace, where: Sequence[int], i: int) -> list[int]:
    """Whom agent i sees, in order, where everybody is in `where` (see `topology.topology_fields`)."""
    params, state = as_kernels_see(p), SimpleNamespace(where=where)
    return [j for j in range(p.agents) if plain(sees)(params, state, i, j)]


# ------------------------------------------------------------------------------------------------- the whole box
def draw_box(picture: Picture, p: SimpleNamespace, state: Row, task: Row | None) -> None:
    """The box as a spectator sees it: all inventions, all agents, all that is written."""
    held = np.asarray(state.held)
    tree = Tree(p, _highest(p, (held != ABSENT).any(axis=0) | (np.asarray(state.first_at) >= 0)))
    _draw_levels(picture, tree)
    if task is not None:
        _draw_recipes(picture, tree, task, (held == REAL).any(axis=0))
    newest = _newest(state)
    for item in filter(tree.shows, range(items_of(p))):
        holders = int((held[:, item] != ABSENT).sum())
        known = holders > 0 or state.first_at[item] >= 0
        _draw_item(picture, tree, item, holders / p.agents, known, item in newest)
        if task is not None and holders and not (held[:, item] == REAL).any():
            picture.line(*_diagonal(tree, item), BAD, 2)
    if p.agents == 1:
        y = _draw_hand(picture, tree, state, 16)
        y = _draw_entries(picture, p, tree, state, NOTEBOOK, list(state.open[0]), y, hide=False)
        if has_claims(p):
            _draw_claims(picture, p, state, tree, task, y, 440 - y)
        else:
            _draw_entries(picture, p, tree, state, NOTICEBOARD, [1] * p.board, y)
    else:
        _draw_ring(picture, p, state, 100, 68)
        _draw_agents(picture, p, state, tree, task)
    _draw_day(picture, p, state, _inventions_in_words(p, state))
    if HAZARD in used_in(p) and (forcing := _who_forces(p, state)):
        text = f"force by {', '.join(map(str, forcing))} costs all others {p.harm:g} health" + (
            " each" if len(forcing) > 1 else ""
        )
        picture.text(_END, 454, text, size=12, color=BAD, align="right")


def _who_forces(p: SimpleNamespace, state: Row) -> list[int]:
    """Who used force in the last step."""
    return [i for i in range(p.agents) if state.deed[i] == FORCED]


def _newest(state: Row) -> set[int]:
    """What was made for the first time last."""
    first_at = np.asarray(state.first_at)
    return set(np.flatnonzero((first_at == first_at.max()) & (first_at >= 0)).tolist())


def _inventions_in_words(p: SimpleNamespace, state: Row) -> str:
    invented = np.asarray(state.first_at) >= 0
    total = items_of(p) - p.lineages * p.bases
    return f"{invented.sum()} of {total} things invented, up to level {_highest(p, invented)}"


def _draw_levels(picture: Picture, tree: Tree) -> None:
    """The numbers of levels, and a faint line at every fifth."""
    every = 1 if tree.row >= 13 else 5
    for level in [0, *range(tree.first, tree.last + 1)]:
        y = tree.height(level)
        if level % every == 0:
            picture.text(_LEFT - 8, y - 5, str(level), size=10, color=MUTED, align="right")
        if level % 5 == 0:
            picture.line(_LEFT - 2, y, _RIGHT, y, blend(FLOOR, 0.8), 1)


def _draw_item(picture: Picture, tree: Tree, item: int, share: float, known: bool, newest: bool) -> None:
    """An item: a point where nobody ever had it, a ring where nobody has it any more, else lit by the share of holders."""
    (x, y), hue, r = tree.at(item), tree.hue(item), tree.radius
    if newest:
        picture.circle(x, y, r + max(1.5, 0.25 * r), GOAL)
    if share > 0:
        picture.circle(x, y, r, blend(hue, 0.3 + 0.7 * share))
    elif known:
        picture.circle(x, y, r, blend(hue, 0.5))
        picture.circle(x, y, 0.7 * r, BACKGROUND)
    else:
        picture.circle(x, y, max(0.7, 0.22 * r), LINES)
        return
    _draw_number(picture, tree, item, BACKGROUND if share > 0 else hue)


def _draw_number(picture: Picture, tree: Tree, item: int, color: Color) -> None:
    """The number of an item, where there is room."""
    if tree.radius >= 6:
        size = round(min(tree.radius, 11))
        x, y = tree.at(item)
        picture.text(x, y - 0.55 * size, str(item), size=size, color=color, align="center")


def _diagonal(tree: Tree, item: int) -> tuple[float, float, float, float]:
    (x, y), r = tree.at(item), tree.radius
    return x - r, y - r, x + r, y + r


def _draw_recipes(picture: Picture, tree: Tree, task: Row, real: np.ndarray) -> None:
    """What the highest thing is made of, down to the bases; fainter, what could be made now."""
    recipe = np.asarray(task.recipe)
    for item in np.flatnonzero(~real).tolist():
        if pair := next((pair for pair in recipe[item].tolist() if pair[0] != NOTHING and real[pair].all()), None):
            _join(picture, tree, item, pair, blend(GOAL, 0.35))
    top = np.flatnonzero(real)[-1]  # of two items, the later one is of no lower level
    for item, pair in path_to(recipe, top):
        _join(picture, tree, item, pair, blend(TEXT, 0.45))


def path_to(recipe: np.ndarray, item: int) -> list[tuple[int, list[int]]]:
    """An item and all that it is made of, down to the bases, by the first recipe of each: (item, pair)."""
    path: dict[int, list[int]] = {}
    left = [int(item)]
    while left:
        one = left.pop()
        pair = recipe[one, 0].tolist()
        if pair[0] != NOTHING and one not in path:
            path[one] = pair
            left += pair
    return list(path.items())


def _join(picture: Picture, tree: Tree, item: int, pair: Iterable[int], color: Color) -> None:
    for part in pair:
        if tree.shows(item) and tree.shows(part):
            picture.line(*tree.at(part), *tree.at(item), color, 1)


def _draw_ring(picture: Picture, p: SimpleNamespace, state: Row, y: float, radius: float) -> None:
    """Agents in a ring, with a line between those of whom one sees the other; a point marks whom only one side sees."""
    places = [_on_ring(p, i, y, radius) for i in range(p.agents)]
    if p.agents <= _LINKED:
        seen = links(p, list(state.where))
        for i, j in seen:
            (x0, y0), (x1, y1) = places[i], places[j]
            picture.line(x0, y0, x1, y1, blend(MUTED, 0.6), 1.5)
            if (j, i) not in seen:
                picture.circle(x0 + 0.7 * (x1 - x0), y0 + 0.7 * (y1 - y0), 3, MUTED)
        for i, j in _lessons(p, state):
            (x0, y0), (x1, y1) = places[i], places[j]
            picture.line(x0, y0, x1, y1, blend(GOOD, 0.8), 2)
            picture.circle(x0 + 0.3 * (x1 - x0), y0 + 0.3 * (y1 - y0), 3.5, GOOD)
    size = max(1.5, min(13.0, 0.42 * radius, 2.4 * radius / p.agents))
    hazards = HAZARD in used_in(p)
    if hazards:
        _draw_deeds(picture, p, state, places)
    for i, (x, y0) in enumerate(places):
        if state.made[i] != NOTHING:
            picture.circle(x, y0, size + 3, GOAL)
        shown = AGENT if not state.forgot[i] else blend(AGENT, 0.5)
        picture.circle(x, y0, size, LINES if hazards and is_out(state, i) else shown)
        if size >= 7:
            picture.text(x, y0 - 6, str(i), size=11, color=BACKGROUND, align="center")


def _lessons(p: SimpleNamespace, state: Row) -> list[tuple[int, int]]:
    """Pairs (i, j): agent i learns from agent j now; the point on its line is near i."""
    return [(i, j) for i in range(p.agents) for j in teachers_of(p, state, i)]


def _draw_deeds(picture: Picture, p: SimpleNamespace, state: Row, places: Sequence[tuple[float, float]]) -> None:
    """Who harms whom (red) and does whom good (green) in this step: a line with a point at whom it is done to."""
    for i in range(p.agents):
        deed, aim = state.deed[i], state.aim[i]
        if deed in (NO_DEED, SABOTAGED):
            continue
        for j in range(p.agents) if aim == NOTHING else (aim,):
            if j != i and not (deed == FORCED and state.lost[j] == 0):
                (x0, y0), (x1, y1) = places[i], places[j]
                color = BAD if deed < GAVE else GOOD
                picture.line(x0, y0, x1, y1, color, 2)
                picture.circle(x0 + 0.75 * (x1 - x0), y0 + 0.75 * (y1 - y0), 4, color)


def _draw_health(picture: Picture, p: SimpleNamespace, state: Row, i: int, y: float) -> None:
    """A bar as long as an agent's health: green where its luck is whole, golden where it is less; red: what it just lost."""
    left = _SIDE + 40
    picture.text(_SIDE, y - 3, "health", size=10, color=MUTED)
    if is_out(state, i):
        picture.text(left, y - 3, "none: out", size=10, color=BAD)
        return
    unit, health = (_END - left) / p.health, state.health[i]
    picture.rectangle(left, y, _END - left, 4, LINES, 1)
    picture.rectangle(left, y, max(1.0, unit * health), 4, GOOD if health >= p.health / 2 else GOAL, 1)
    if state.lost[i] > 0:
        picture.rectangle(left + unit * health, y - 2, max(3.0, unit * state.lost[i]), 8, BAD, 1)


def _on_ring(p: SimpleNamespace, i: int, y: float, radius: float) -> tuple[float, float]:
    turn = 2 * math.pi * i / p.agents - math.pi / 2
    return (_SIDE + _END) / 2 + radius * math.cos(turn), y + radius * math.sin(turn)


def _draw_agents(picture: Picture, p: SimpleNamespace, state: Row, tree: Tree, task: Row | None) -> None:
    """A line for each agent: what it has, what is in its hand, and its notebook; below them the noticeboard."""
    top, bottom = 194, 436
    listed = min(p.agents, _AGENTS_LISTED)
    books = listed + (1 if p.board else 0) + (1 if has_claims(p) else 0) + (1 if listed < p.agents else 0)
    height = min((bottom - top) / books, 60 if p.notes else 36)
    most = max(1, int((np.asarray(state.held) != ABSENT).sum(axis=1).max()))
    for i in range(listed):
        y = top + i * height
        _draw_wealth(picture, p, state, tree, i, y)
        if not p.notes and height >= 20:
            _draw_shares(picture, p, state, i, y + 15, (_END - _SIDE) / most)
            if HAZARD in used_in(p):
                _draw_health(picture, p, state, i, y + 23)
        pages = list(state.open[i])
        _draw_book(picture, p, tree, np.asarray(state.notes[i])[: p.notes], pages, y + 12, height - 15)
    y = top + listed * height
    if listed < p.agents:
        picture.text(_SIDE, y, f"and {p.agents - listed} more agents", size=11, color=MUTED)
        y += height
    if p.board:
        if has_claims(p):
            _draw_claims(picture, p, state, tree, task, y, bottom - y)
        else:
            picture.text(_SIDE, y, "noticeboard", size=11, color=MUTED)
            _draw_book(picture, p, tree, np.asarray(state.board)[: p.board], [1] * p.board, y + 12, max(8, height - 15))


def _draw_claims(
    picture: Picture, p: SimpleNamespace, state: Row, tree: Tree, task: Row | None, y: float, height: float
) -> None:
    """The board as plates with the number of what each entry makes.

    Those of claims have a bar below, green where they are true, red where false, grey where that is not shown; and a point
    where they were replicated, white where more often confirmed than refuted, else dark. Posts are dim. What was retracted is
    crossed out.
    """
    picture.text(_SIDE, y, "noticeboard", size=11, color=MUTED)
    picture.text(_END, y, claims_in_words(p, state, task), size=11, color=MUTED, align="right")
    across = max(6, math.ceil(math.sqrt(2.5 * p.board)))
    width, line = (_END - _SIDE) / across, min(26.0, (height - 14) / math.ceil(p.board / across))
    for k in range(p.board):
        x, top, fate = _SIDE + k % across * width, y + 14 + k // across * line, fate_of(p, state, task, k)
        made, written = int(state.board[k, MADE]), state.board[k, WHEN] >= 0
        plate = (x, top, width - 2, 0.7 * line)
        hue = FLOOR if not written else BAD if made == NOTHING else tree.hue(made)
        picture.rectangle(*plate, hue if fate else blend(hue, 0.45), 2)
        if written and made != NOTHING and line >= 14 and width >= 18:
            picture.text(x + width / 2 - 1, top + 0.35 * line - 6, str(made), size=10, color=BACKGROUND, align="center")
        if fate == "retracted":
            picture.line(x, top, x + width - 2, top + 0.7 * line, MUTED, 1.5)
            picture.line(x, top + 0.7 * line, x + width - 2, top, MUTED, 1.5)
        if fate in FATES:
            picture.rectangle(x, top + 0.72 * line, width - 2, 0.18 * line, {"true": GOOD, "false": BAD}.get(fate, MUTED), 1)
            if state.confirmed[k] + state.refuted[k] > 0:
                stands = state.confirmed[k] > state.refuted[k]
                picture.circle(x + 4, top + 4, 2.5, TEXT if stands else BACKGROUND)


def _draw_wealth(picture: Picture, p: SimpleNamespace, state: Row, tree: Tree, i: int, y: float) -> None:
    held = np.asarray(state.held[i]) != ABSENT
    hand = state.hand[i]
    picture.text(_SIDE, y, str(i), size=12, color=AGENT)
    picture.text(_SIDE + 20, y, f"{held.sum()} things, level {_highest(p, held)}", size=12, color=TEXT)
    if has_lives(p):  # as long as what is left of its life
        left = (p.lifespan - (state.t - state.born[i])) / p.lifespan
        picture.rectangle(_SIDE + 20, y - 4, max(1.0, (_END - _SIDE - 20) * left), 2, GOOD if left < 1 else GOAL, 1)
    if hand != NOTHING:
        picture.circle(_END - 5, y + 5, 4.5, tree.hue(hand))
        picture.text(_END - 13, y, "hand", size=10, color=MUTED, align="right")


def _draw_shares(picture: Picture, p: SimpleNamespace, state: Row, i: int, y: float, step: float) -> None:
    """How much an agent has of each lineage, `step` a thing."""
    x, held = float(_SIDE), np.asarray(state.held[i]) != ABSENT
    for lineage in range(p.lineages):
        width = step * int((held & (items(p).lineage == lineage)).sum())
        picture.rectangle(x, y, max(1.0, width - 1), 4, blend(HUES[lineage % len(HUES)], 0.8), 1)
        x += width


def _draw_book(
    picture: Picture, p: SimpleNamespace, tree: Tree, entries: np.ndarray, pages: Sequence[int], y: float, height: float
) -> None:
    """Entries as cells: filled in their hue (see `_hue_of`); bright on pages that are open."""
    if not len(entries):
        return
    width = _END - _SIDE
    rows = 1
    while width / math.ceil(len(entries) / rows) < min(height / rows, 14):  # more rows make cells larger
        rows += 1
    across = math.ceil(len(entries) / rows)
    side = max(1.5, min(width / across, height / rows, 14))
    for k, entry in enumerate(entries.tolist()):
        color = FLOOR
        if entry[WHEN] >= 0:
            bright = 1.0 if p.free_reading or pages[k // p.page] else 0.45
            color = blend(_hue_of(p, tree, entry), bright)
        gap = 1.5 if side > 5 else 0.5
        picture.rectangle(_SIDE + k % across * side, y + k // across * side, side - gap, side - gap, color, min(2.0, side / 4))


def _hue_of(p: SimpleNamespace, tree: Tree, entry: Sequence[int]) -> Color:
    """The colour of an entry: that of what was made, red where nothing was; of other notations the fuller the brighter."""
    if p.notation != "event":
        return blend(ACCENT, 0.3 + 0.7 * max(0, entry[LENGTH]) / p.entry_bytes)
    return BAD if entry[MADE] == NOTHING else tree.hue(entry[MADE])


# ------------------------------------------------------------------------------------------------- what becomes of claims
#: What a claim can be, for those who watch: where the recipes are not shown, nobody knows.
FATES = ("true", "false", "unknown")


def fate_of(p: SimpleNamespace, state: Row, task: Row | None, k: int) -> str:
    """What became of the claim at place k of the board: one of `FATES`, "retracted", or "" where there is none."""
    if not plain(is_claim)(state, k):
        return "retracted" if state.withdrawn[k] and state.board[k, WHEN] < 0 else ""
    if task is None:
        return "unknown"
    a, b, made = (int(x) for x in state.board[k, :WHEN])
    return "true" if plain(product_of)(as_kernels_see(p), task, a, b) == made else "false"


def claims_in_words(p: SimpleNamespace, state: Row, task: Row | None) -> str:
    """How many claims stand on the board, and how many of them are true."""
    fates = [fate for fate in (fate_of(p, state, task, k) for k in range(p.board)) if fate in FATES]
    return f"{len(fates)} claims" + (f", {fates.count('true')} true" if task is not None else "")


def _draw_day(picture: Picture, p: SimpleNamespace, state: Row, text: str) -> None:
    """Along the bottom: the day, as far as it has come, and a line of text."""
    y = 450
    if p.day:
        day, gone, left = day_of(p, state.t)
        done = gone / (gone + left)
        picture.rectangle(_SIDE, y + 14, _END - _SIDE, 5, LINES, radius=2)
        picture.rectangle(_SIDE, y + 14, max(3, (_END - _SIDE) * done), 5, GOAL, radius=2)
        picture.text(_SIDE, y, f"day {day} of {-(-p.horizon // p.day)}", size=12, color=TEXT)
        picture.text(_END, y, f"step {gone} of {gone + left}", size=12, color=MUTED, align="right")
    picture.text(_LEFT, y + 4, text, size=12, color=MUTED)


def _draw_hand(picture: Picture, tree: Tree, state: Row, y: float) -> float:
    """What is in the hand, and the last experiment; where the rest begins."""
    picture.text(_SIDE, y, "in your hand", size=12, color=MUTED)
    if state.hand[0] != NOTHING:
        _chip(picture, tree, _SIDE + 92, y + 6, state.hand[0])
    picture.text(_SIDE, y + 20, "last experiment", size=12, color=MUTED)
    a, b = state.tried[0]
    if a != NOTHING:
        _draw_experiment(picture, tree, _SIDE + 2, y + 44, a, b, state.seemed[0])
    return y + 66


def _draw_entries(
    picture: Picture,
    p: SimpleNamespace,
    tree: Tree,
    state: Row,
    book: Book,
    pages: Sequence[int],
    y: float,
    hide: bool = True,
) -> float:
    """Entries as they are written; with `hide`, of closed pages only whether something is. Where the rest begins."""
    entries = book.entries(p, state, 0)
    if not len(entries):
        return y
    picture.text(_SIDE, y, "notes" if book.own else book.name, size=12, color=MUTED)
    filled = int((entries[:, WHEN] >= 0).sum())
    picture.text(_END, y, f"{filled} of {len(entries)}", size=12, color=MUTED, align="right")
    y, line = y + 22, min(18.0, max(6.0, (420 - y) / len(entries)))
    for k, (a, b, made, when) in enumerate(entries.tolist()):
        if y > 440:
            break
        is_open = p.free_reading or pages[k // p.page] or not hide
        picture.text(_SIDE, y - 5, str(k + 1), size=10, color=MUTED)
        if when < 0:
            picture.line(_SIDE + 22, y, _SIDE + 34, y, LINES, 1)
        elif is_open and p.notation != "event":
            words = entry_in_words(p, book, state, 0, k, words_in(p, state._row))
            picture.text(_SIDE + 20, y - 5, words, size=11 if line >= 12 else 9, room=_END - _SIDE - 20)
        elif is_open:
            _draw_experiment(picture, tree, _SIDE + 20, y, a, b, made, min(8.0, 0.46 * line))
        else:
            picture.rectangle(_SIDE + 20, y - 0.35 * line, 110, 0.7 * line, FLOOR, 3)
        y += line
    return y + 8


def _draw_experiment(picture: Picture, tree: Tree, x: float, y: float, a: int, b: int, made: int, radius: float = 8.0) -> None:
    """Two items, and what they made: 3 + 5 = 17."""
    for k, (item, sign) in enumerate(((a, "+"), (b, "="))):
        _chip(picture, tree, x + 10 + 40 * k, y, item, radius)
        picture.text(x + 30 + 40 * k, y - 6, sign, size=12, color=MUTED, align="center")
    if made != NOTHING:
        _chip(picture, tree, x + 90, y, made, radius)
    else:
        picture.text(x + 82, y - 5, "nothing", size=11, color=BAD)


def _chip(picture: Picture, tree: Tree, x: float, y: float, item: int, radius: float = 8.0) -> None:
    """An item as a small plate with its number."""
    picture.rectangle(x - 13, y - radius, 26, 2 * radius, tree.hue(item), 4)
    if radius >= 4:
        size = round(min(11, 1.4 * radius))
        picture.text(x, y - 0.6 * size, str(item), size=size, color=BACKGROUND, align="center")


# ------------------------------------------------------------------------------------------------- in words
def describe_box(p: SimpleNamespace, state: Row, task: Row | None) -> str:
    """The box in words, a line for each agent. Items are called by their words, with lineage and level: `flim (B3)`."""
    names = names_of(p, state._row)
    lines = [_inventions_in_words(p, state) + "."]
    if p.day:
        lines.append(day_in_words(p, state.t))
    seen = links(p, list(state.where)) if p.agents <= _LINKED else set()
    for i in range(p.agents):
        lines.append(_agent_in_words(p, state, i, names, sorted(j for one, j in seen if one == i)))
        lines += [f"  note {k + 1}: {text}" for k, text in _written(p, NOTEBOOK, state, i, names)]
    lines += [f"board {k + 1}: {text}{_fate(p, state, task, k)}" for k, text in _written(p, NOTICEBOARD, state, 0, names)]
    if has_claims(p):
        lines += [f"board {k + 1}: retracted" for k in range(p.board) if fate_of(p, state, task, k) == "retracted"]
    if task is not None:
        lines += _recipes_in_words(p, state.held, task, names)
    return "\n".join(lines)


def describe_seat(p: SimpleNamespace, state: Row, task: Row | None) -> str:
    """What agent 0 knows, in the words that it would be told."""
    text = seat_in_words(p, state, None)
    return text if task is None else "\n".join([text, *_recipes_in_words(p, state.held[:1], task, names_of(p, state._row))])


def seat_in_words(p: SimpleNamespace, state: Row, task: Row | None) -> str:
    """What agent 0 is told; holes and shapes, which are seen but stand in the task, where that is given."""
    kinds = None if task is None or p.structure != "grammar" else np.stack([task.hole, task.shape], axis=1).astype(int)
    sight = np.isin(np.arange(p.agents), seen_by(p, list(state.where), 0))
    return text_for(p, state._row, 0, sight, words_in(p, state._row), kinds)


def _agent_in_words(p: SimpleNamespace, state: Row, i: int, names: list[str], seen: list[int]) -> str:
    held, hand, (a, b) = np.asarray(state.held[i]) != ABSENT, state.hand[i], state.tried[i]
    parts = [f"{held.sum()} things up to level {_highest(p, held)}"]
    if hand != NOTHING:
        parts.append(f"{names[hand]} in the hand")
    if a != NOTHING:
        parts.append(f"last tried {experiment(a, b, state.seemed[i], names)}")
    if HAZARD in used_in(p):
        parts.append("out" if is_out(state, i) else f"health {state.health[i]:.2f}")
        if state.deed[i] != NO_DEED:
            parts.append(f"just {DEEDS[state.deed[i]]}")
    if p.agents > 1:
        parts.append(f"sees {', '.join(map(str, seen)) or 'nobody'}")
    if has_lives(p):
        teachers = ", ".join(map(str, teachers_of(p, state, i)))
        parts.append(
            f"{state.t - state.born[i]} steps old, life {state.life[i] + 1}" + (f", learns from {teachers}" * bool(teachers))
        )
    return f"agent {i}: " + "; ".join(parts)


def _written(p: SimpleNamespace, book: Book, state: Row, i: int, names: list[str]) -> list[tuple[int, str]]:
    written = np.flatnonzero(book.entries(p, state, i)[:, WHEN] >= 0).tolist()
    return [(k, entry_in_words(p, book, state, i, k, names)) for k in written]


def _fate(p: SimpleNamespace, state: Row, task: Row | None, k: int) -> str:
    """Who claims an entry of the board, what is attached to it, and whether it is true; of what is only posted nothing."""
    if not has_claims(p) or not (fate := fate_of(p, state, task, k)):
        return ""
    return f" (claimed by {author_of(state, k)}; {record_of(state, k)}" + ("" if fate == "unknown" else f"; {fate}") + ")"


def _recipes_in_words(p: SimpleNamespace, held: np.ndarray, task: Row, names: list[str]) -> list[str]:
    """How the highest thing is made; where there are only bases, how those of the first level are."""
    recipe, real = np.asarray(task.recipe), (np.asarray(held) == REAL).any(axis=0)
    top = int(np.flatnonzero(real)[-1])
    path = path_to(recipe, top) or [(i, recipe[i, 0].tolist()) for i in np.flatnonzero(items(p).level == 1).tolist()]
    return [f"recipe: {experiment(a, b, item, names)}" for item, (a, b) in sorted(path)]
