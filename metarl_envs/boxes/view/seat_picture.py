"""The picture of one seat, and what a click in it means: what agent 0 has, what it may read, and nothing that it forgot.

Places are worked out once, from parameters and state, for the picture and for clicks alike. Every item is a tile with the word
that the text has for it; the colour is that of its lineage, the row that of its level.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from types import SimpleNamespace
from typing import NamedTuple

import numpy as np

from metarl_envs.boxes.view.picture import HUES, blend, items, seen_by
from metarl_envs.boxes.view.words import day_of, entry_in_words, words_in
from metarl_envs.boxes.world.claims import CITE, CLAIM, REPLICATE, RETRACT, can_read, claims_it_at, has_claims, is_claim
from metarl_envs.boxes.world.core import ABSENT, ILLUSORY
from metarl_envs.boxes.world.hazard import DEEDS, FORCED, GAVE, HAZARD, deeds_told, is_out, whose_turn
from metarl_envs.boxes.world.lives import has_lives, teachers_of
from metarl_envs.boxes.world.mechanisms import used_in, verbs_of
from metarl_envs.boxes.world.notes import BOOKS, MADE, NOTICEBOARD, WHEN, A, B, Book
from metarl_envs.boxes.world.symbols import are_symbols, pen_at
from metarl_envs.boxes.world.texts import writing
from metarl_envs.boxes.world.tree import NOTHING, items_of
from metarl_envs.boxes.world.verbs import Verb
from metarl_envs.engine import Picture, Row
from metarl_envs.engine.canvas import AGENT, BACKGROUND, BAD, FLOOR, GOAL, GOOD, LINES, MUTED, TEXT, WORLD, Color
from metarl_envs.engine.compiling.kernels import plain

#: Keys of held items, in the order of their tiles, as far as no verb has them; other letters are verbs, or the game's own.
ITEM_KEYS = "1234567890acdefghijkmqtuvxyz"
#: Keys that force the first of them together with what is in the hand.
FORCE_KEYS = tuple(f"f{n}" for n in range(1, 13))
#: Where things stand.
_LEFT, _END, _ITEMS, _BOTTOM = 12, WORLD - 12, 42, WORLD - 10
#: Where tiles begin, how many stand side by side where there is room, and the height of a row of them: the usual, the least.
_TILES, _ACROSS, _ROW, _LEAST = 30, 12, 33, 10
#: What the tiles may take, with notes below them and without.
_ROOM, _ROOM_ALONE = 200, 300
_VISITED = 12
#: The height of a symbol that can be put, and how many stand side by side.
_SYMBOL, _SYMBOLS_ACROSS = 15, 32
#: Others whose health is shown, the height of a line of it at most, and the height of the strip of a tile that forces.
_HEALTHS, _LINE, _STRIP = 11, 20.0, 6
#: What is done to a claim by a button on its line; where on the line its author and what became of it stand, and their widths.
_DEEDS = (REPLICATE, RETRACT, CITE)
_AUTHOR, _FATE, _COUNT, _DEED = 152, 172, 11, 14
#: What became of a claim, and in which colour that is told.
_FATES = {"confirmed": GOOD, "refuted": BAD, "cited": GOAL}


def item_keys(p: SimpleNamespace) -> str:
    """The keys of items under parameters `p`: those that are no verb's."""
    taken = {verb.key.letter for verb in verbs_of(p) if verb.key and verb.key.exists(p)}
    return "".join(key for key in ITEM_KEYS if key not in taken)


class Place(NamedTuple):
    """A rectangle of the picture."""

    x: float
    y: float
    width: float
    height: float

    def holds(self, x: float, y: float) -> bool:
        """Whether a place is inside."""
        return self.x <= x < self.x + self.width and self.y <= y < self.y + self.height


class Claim(NamedTuple):
    """What is attached to an entry that is a claim: its author, what became of it, and by key the buttons that do so to it."""

    author: int
    counts: dict[str, int]
    buttons: dict[str, tuple[Place, int]]


class Entry(NamedTuple):
    """One entry of a notebook or board: where it stands, what to do to write it or to empty it, and what is written.

    `words` are what is written there, where that is no experiment, and `has_pen` says whether the pen is there. `write` is
    NOTHING where that would change nothing.
    """

    place: Place
    write: int
    erase: int
    content: list[int]
    is_open: bool
    words: str = ""
    has_pen: bool = False
    claim: Claim | None = None


class SeatView:
    """What agent 0 has before it, and where."""

    def __init__(self, p: SimpleNamespace, state: Row):
        self.p, self.state, self.verbs = p, state, verbs_of(p)
        self.hazards = HAZARD in used_in(p) and p.agents > 1
        self.words = words_in(p, state._row)
        self.held = np.asarray(state.held[0])
        self.hand, self.seemed = int(state.hand[0]), int(state.seemed[0])
        self.tried = [int(item) for item in state.tried[0]]
        self.teachers = teachers_of(p, state, 0)
        self.learned = int(state.copied[0]) if has_lives(p) and not state.forgot[0] else NOTHING
        self.gained = int(state.gained[0]) - (self.learned != NOTHING)  # from whom it sees
        self.tiles, self.rows = self._place_tiles()
        self.bench = _ITEMS + self._items_height() + 8
        self.paper = self.bench + 62  # where what is written begins

    def keys(self) -> dict[int, str]:
        """By item, the key that takes it."""
        return dict(zip(self.tiles, item_keys(self.p), strict=False))

    def hue(self, item: int) -> Color:
        """The colour of an item's lineage."""
        return HUES[int(items(self.p).lineage[item]) % len(HUES)]

    # ----------------------------------------------------------------------------------------- where things stand
    def _items_height(self) -> float:
        """The height of all tiles that there can be, as far as there is room: the same for the whole trial."""
        p = self.p
        rows = math.ceil(p.bases * p.lineages / _ACROSS) + p.levels * math.ceil(p.width * p.lineages / _ACROSS)
        return min(rows * _ROW, _ROOM if p.notes or p.board or self.hazards else _ROOM_ALONE)

    def _place_tiles(self) -> tuple[dict[int, Place], list[tuple[int, float]]]:
        """The place of each thing that is held, and at which height each level begins (nowhere, where they do not fit)."""
        p, levels = self.p, items(self.p).level
        across = min(_ACROSS, max(6, p.bases * p.lineages, p.width * p.lineages))
        held = np.flatnonzero(self.held != ABSENT).tolist()
        if p.relabel == "dawn":  # the order of things, and with it their keys, is another one too
            held.sort(key=lambda item: self.words[item])
        groups = [[item for item in held if levels[item] == level] for level in sorted({int(levels[item]) for item in held})]
        count = sum(math.ceil(len(group) / across) for group in groups)
        room = self._items_height()
        by_level = _LEAST * count <= room
        if not by_level:  # one after the other, in rows as full as they must be
            groups, across = [held], max(across, math.ceil(len(held) / int(room / _LEAST)))
            count = math.ceil(len(held) / across)
        height, width = min(float(_ROW), room / max(1, count)), (_END - _TILES) / across
        gap = min(2.0, height / 6, width / 6)
        tiles, rows, y = {}, [], float(_ITEMS)
        for group in groups:
            if by_level:
                rows.append((int(levels[group[0]]), y))
            for k, item in enumerate(group):
                tiles[item] = Place(_TILES + k % across * width, y + k // across * height, width - gap, height - gap)
            y += height * math.ceil(len(group) / across)
        return tiles, rows

    def wait_button(self) -> Place:
        """The button that lets a step go by."""
        return Place(_END - 62, self.bench, 62, 26)

    def others(self) -> Iterator[tuple[int, float, float]]:
        """The other agents that are shown, and where: those that are seen or learned from, or all that can be visited."""
        chosen = self.p.topology == "chosen"
        shown = [j for j in range(1, self.p.agents) if chosen or j in self.seen() or j in self.teachers]
        for k, j in enumerate(shown[:_VISITED]):
            yield j, _END - 12 - 24 * (min(len(shown), _VISITED) - 1 - k), 20.0

    def may_force(self) -> bool:
        """Whether there is something in the hand that may be forced together with another thing."""
        return self.hazards and not self.p.harm_mask and self.hand != NOTHING and not is_out(self.state, 0)

    def healths(self) -> Iterator[tuple[int, float, dict[str, tuple[Place, int]]]]:
        """The line of each agent's health: whose, where, and the buttons in it: by name, the place and the action."""
        if not self.hazards:
            return
        first = self.paper + 22
        height = min(_LINE, (_BOTTOM - 22 - first) / min(self.p.agents, _HEALTHS + 1))
        for j in range(min(self.p.agents, _HEALTHS + 1)):
            y, buttons = first + j * height, {}
            if j > 0 and not self.p.harm_mask:
                buttons["steal"] = Place(_END - 92, y, 44, height - 3), self.verbs.steal + j
            if j > 0 and self.hand != NOTHING:
                buttons["give"] = Place(_END - 44, y, 44, height - 3), self.verbs.give + j
            yield j, y, buttons

    def seen(self) -> set[int]:
        """Whom agent 0 sees."""
        return set(seen_by(self.p, list(self.state.where), 0))

    def books(self) -> Iterator[tuple[str, float, list[tuple[int, Place, int]], list[Entry]]]:
        """Notebook and board, as many as there are: the name, where it begins, its closed pages, its entries.

        A closed page is its number, the button that opens it, and the action.
        """
        p, first = self.p, self.verbs.first
        there = [book for book in BOOKS if getattr(p, book.size)]
        y = self.paper
        share = (_BOTTOM - self._palette_height() - y - 22 * len(there)) / max(
            1, sum(math.ceil(getattr(p, book.size) / 2) for book in there)
        )
        height, pen = min(24.0, share), pen_at(p, self.state, 0) if are_symbols(p) else None
        for book in there:
            rows, closed = book.entries(p, self.state, 0).tolist(), book.closed(p, self.state, 0)
            read = first[book.read.name]
            words = [""] * len(rows)
            if p.notation != "event":
                words = [entry_in_words(p, book, self.state, 0, k, self.words) for k in range(len(rows))]
            at = pen[1] - 1 if pen and (pen[0] == "note") == book.own else NOTHING
            erase = first[book.erase.name] if book.erase else None
            buttons = [(k, Place(_END - 66 * (n + 1), y - 4, 62, 18), read + k) for n, k in enumerate(reversed(closed[:4]))]
            lines = math.ceil(len(rows) / 2)
            places = [Place(_LEFT + k // lines * 230, y + 18 + k % lines * height, 226, height - 1) for k in range(len(rows))]
            yield (
                book.name,
                y,
                buttons,
                [
                    Entry(
                        places[k],
                        self._write(book, k, row),
                        NOTHING if erase is None else erase + k,
                        row,
                        k // p.page not in closed,
                        words[k],
                        k == at,
                        self._claim(k, places[k]) if book is NOTICEBOARD else None,
                    )
                    for k, row in enumerate(rows)
                ],
            )
            y += 24 + lines * height

    def _write(self, book: Book, k: int, row: list[int]) -> int:
        """What writes entry k of a book: on the board, where there are claims, what seemed to make something is claimed."""
        p, state, verb = self.p, self.state, writing(self.p, book)
        content = [*self.tried, self.seemed]
        if book is NOTICEBOARD and has_claims(p) and self.seemed != NOTHING:
            verb, is_new = CLAIM, not claims_it_at(p, state, 0, k)
        elif p.notation == "event":
            is_new = self.tried[0] != NOTHING and (row[WHEN] < 0 or row[:WHEN] != content)
        else:  # symbols are begun; text is no click
            is_new = p.notation == "symbols"
        is_free = book is not NOTICEBOARD or not state.guarded[k]
        return self.verbs.first[verb.name] + k if is_new and is_free else NOTHING

    def _claim(self, k: int, line: Place) -> Claim | None:
        """What is attached to the claim at place k of the board; None where agent 0 reads none there."""
        p, state = self.p, self.state
        if not (has_claims(p) and plain(is_claim)(state, k) and plain(can_read)(p, state, 0, k)):
            return None
        verbs = [verb for verb in self.verbs if verb in _DEEDS and verb.key and plain(verb.legal)(p, state, 0, k)]
        left = line.x + line.width - _DEED * len(verbs)
        buttons = {
            verb.key.letter: (
                Place(left + _DEED * n, line.y + 1, _DEED - 1, line.height - 2),
                self.verbs.first[verb.name] + k,
            )
            for n, verb in enumerate(verbs)
            if verb.key
        }
        return Claim(int(state.author[k]), {fate: int(getattr(state, fate)[k]) for fate in _FATES}, buttons)

    def eraser(self, entry: Entry) -> Place | None:
        """Where a click empties an entry."""
        if entry.erase == NOTHING or entry.content[WHEN] < 0 or not entry.is_open:
            return None
        place = entry.place
        return Place(place.x + place.width - 18, place.y, 18, place.height)

    def _palette_height(self) -> float:
        """What the symbols take that can be put; nothing where none are written."""
        return _SYMBOL * math.ceil(self.p.alphabet / _SYMBOLS_ACROSS) + 4 if are_symbols(self.p) else 0.0

    def palette(self) -> Iterator[tuple[str, Place, int]]:
        """The symbols that can be put now: how each is called, where it stands, and the action."""
        if not are_symbols(self.p) or not pen_at(self.p, self.state, 0):
            return
        top, width = _BOTTOM - self._palette_height() + 4, (_END - _LEFT) / _SYMBOLS_ACROSS
        for k in range(self.p.alphabet):
            x, y = _LEFT + k % _SYMBOLS_ACROSS * width, top + k // _SYMBOLS_ACROSS * _SYMBOL
            yield str(k + 1), Place(x, y, width - 1, _SYMBOL - 1), self.verbs.put + k

    # ----------------------------------------------------------------------------------------- what clicks and keys mean
    def clicked(self, x: float, y: float) -> int | None:
        """The action that a click asks for; None where it would do nothing."""
        for item, place in self.tiles.items():
            if place.holds(x, y):
                forces = self.may_force() and y >= place.y + place.height - _STRIP
                return None if item == self.hand else self.verbs.force + item if forces else item
        for _, _, buttons in self.healths():
            for place, action in buttons.values():
                if place.holds(x, y):
                    return action
        if self.wait_button().holds(x, y):
            return self.verbs.wait
        for _, place, action in self.palette():
            if place.holds(x, y):
                return action
        for j, at, height in self.others():
            if self.p.topology == "chosen" and math.dist((x, y), (at, height)) < 11 and int(self.state.where[0]) != j:
                return self.verbs.visit + j
        for _, _, buttons, entries in self.books():
            for _, place, action in buttons:
                if place.holds(x, y):
                    return action
            for entry in entries:
                if (eraser := self.eraser(entry)) and eraser.holds(x, y):
                    return entry.erase
                for place, action in entry.claim.buttons.values() if entry.claim else ():
                    if place.holds(x, y):
                        return action
                if entry.place.holds(x, y):
                    return entry.write if entry.write != NOTHING else None
        return None

    def take(self, n: int) -> int | None:
        """Take the n-th thing, or combine it with what is in the hand."""
        item = next((item for k, item in enumerate(self.tiles) if k == n), None)
        return None if item == self.hand else item

    def force(self, n: int) -> int | None:
        """Force the n-th thing together with what is in the hand."""
        item = self.take(n)
        return None if item is None or not self.may_force() else self.verbs.force + item

    def press(self, verb: Verb) -> int | None:
        """The action that the key of a verb asks for; None where it would do nothing."""
        k = verb.key.choose(self.p, self.state, 0) if verb.key else NOTHING
        return self.verbs.first[verb.name] + k if k != NOTHING else None


# ------------------------------------------------------------------------------------------------- drawing
def draw_seat(picture: Picture, p: SimpleNamespace, state: Row, task: Row | None) -> None:
    """The box as agent 0 knows it. With the task: the whole recipe book in place of what is written."""
    seat = SeatView(p, state)
    _draw_day(picture, seat)
    _draw_others(picture, seat)
    _draw_tiles(picture, seat, reveal=task is not None)
    _draw_bench(picture, seat)
    if task is not None:
        _draw_recipes(picture, seat, np.asarray(task.recipe))
        return
    _draw_news(picture, seat)
    if seat.hazards:
        _draw_healths(picture, seat)
    elif not (p.notes or p.board or p.day or has_lives(p)):
        _draw_history(picture, seat)
    for name, y, buttons, entries in seat.books():
        _draw_book(picture, seat, name, y, entries)
        for page, place, _ in buttons:
            _draw_button(picture, place, f"open {page + 1}")
    for symbol, place, _ in seat.palette():
        picture.rectangle(*place, LINES, 2)
        picture.text(place.x + place.width / 2, place.y + 2, symbol, size=10, align="center")


def _draw_day(picture: Picture, seat: SeatView) -> None:
    """The day and how far it has come, and the same of a life."""
    p, t, x = seat.p, seat.state.t, float(_LEFT)
    if not p.day:
        x += 14 + picture.text(x, 14, f"step {t} of {p.horizon}", size=13, color=MUTED)
    else:
        (day, gone, left), days = day_of(p, t), -(-p.horizon // p.day)
        end = "the end" if day == days else "dawn"
        x += 14 + _draw_span(picture, x, f"day {day} of {days}", f"{end} in {left}", gone / (gone + left), GOAL)
    if has_lives(p):
        age = t - seat.state.born[0]
        _draw_span(picture, x, "your life", f"{p.lifespan - age} left", age / p.lifespan, GOOD)


def _draw_span(picture: Picture, x: float, name: str, left: str, gone: float, color: Color) -> float:
    """A stretch of time with its name and what is left of it, and a bar as long as what has gone; its width."""
    width = 92 + picture.text(x, 10, name, size=14)
    picture.rectangle(x, 28, width, 5, LINES, 2)
    picture.rectangle(x, 28, max(3, width * gone), 5, color, 2)
    picture.text(x + width, 12, left, size=12, color=MUTED, align="right")
    return width


def _draw_others(picture: Picture, seat: SeatView) -> None:
    """Those who are seen (or can be visited); golden: who made something new in this step, unless it is forgotten."""
    if seat.p.agents == 1:
        picture.text(_END, 14, "you are alone", size=12, color=MUTED, align="right")
        return
    seen, chosen, first = seat.seen(), seat.p.topology == "chosen", float(_END)
    for j, x, y in seat.others():
        if j in seen and seat.state.made[j] != NOTHING and not seat.state.forgot[0]:
            picture.circle(x, y, 13, GOAL)
        known = GOOD if j in seat.teachers else AGENT if j in seen else LINES
        picture.circle(x, y, 10, known)
        picture.text(x, y - 6, str(j), size=11, color=TEXT if known == LINES else BACKGROUND, align="center")
        first = min(first, x - 20)
    more = (seat.p.agents - 1 if chosen else len(seen)) - _VISITED
    text = (
        "click on whom to visit"
        if chosen
        else "you see"
        if seen
        else "you learn from"
        if seat.teachers
        else "you see nobody now"
    )
    picture.text(first, 14, f"{text} ({more} more)" if more > 0 else text, size=12, color=MUTED, align="right")


def _draw_tiles(picture: Picture, seat: SeatView, reveal: bool) -> None:
    """What is held, a row for each level: white border in the hand, golden just made, green just copied."""
    keys, made = seat.keys(), _made_by_others(seat)
    copied = {*made} if len(made) == seat.gained else set()  # else nobody can tell which of them it had before
    copied |= {seat.learned}
    for level, y in seat.rows:
        picture.text(_LEFT, y + 6, str(level), size=13, color=MUTED)
    for item, place in seat.tiles.items():
        just = item == seat.seemed and seat.hand == NOTHING
        edge = TEXT if item == seat.hand else GOAL if just else GOOD if item in copied else None
        _draw_tile(picture, seat, item, place, edge, keys.get(item, ""))
        if seat.may_force() and item != seat.hand:
            picture.rectangle(place.x, place.y + place.height - _STRIP, place.width, _STRIP, BAD, 2)
        if reveal and seat.held[item] == ILLUSORY:
            picture.line(place.x, place.y, place.x + place.width, place.y + place.height, BAD, 2)


def _draw_tile(picture: Picture, seat: SeatView, item: int, place: Place, edge: Color | None = None, key: str = "") -> None:
    """An item as a tile with its word, and the key that takes it, as far as there is room."""
    if edge:
        picture.rectangle(place.x - 2, place.y - 2, place.width + 4, place.height + 4, edge, 6)
    picture.rectangle(*place, seat.hue(item), min(5.0, place.height / 4))
    if place.height < 14 or place.width < 26:
        return
    size = min(13, int(place.width / 3.4))
    with_key = key and place.height >= 28
    picture.text(
        place.x + place.width / 2,
        place.y + (13 if with_key else place.height / 2 - 0.55 * size),
        seat.words[item],
        size=size,
        color=BACKGROUND,
        align="center",
    )
    if with_key:
        picture.text(
            place.x + place.width / 2, place.y + 2, key, size=11, color=blend(BACKGROUND, 0.8, seat.hue(item)), align="center"
        )


def _draw_bench(picture: Picture, seat: SeatView) -> None:
    """The hand, the last experiment, and a button to wait."""
    y = seat.bench
    picture.line(_LEFT, y - 5, _END, y - 5, LINES, 1)
    picture.text(_LEFT, y + 6, "hand", size=13, color=MUTED)
    if seat.hand != NOTHING:
        _draw_tile(picture, seat, seat.hand, Place(_LEFT + 38, y, 46, 26), TEXT)
        picture.text(_LEFT + 92, y + 6, "+ ?", size=14, color=MUTED)
    else:
        picture.outline(_LEFT + 38, y, 46, 26, LINES, 1)
    picture.text(_LEFT + 132, y + 6, "last", size=13, color=MUTED)
    if seat.tried[0] != NOTHING:
        a, b = seat.tried
        _draw_tile(picture, seat, a, Place(_LEFT + 166, y, 46, 26))
        picture.text(_LEFT + 221, y + 5, "+", size=15, color=MUTED, align="center")
        _draw_tile(picture, seat, b, Place(_LEFT + 230, y, 46, 26))
        picture.text(_LEFT + 285, y + 5, "=", size=15, color=MUTED, align="center")
        if seat.seemed == NOTHING:
            picture.text(_LEFT + 295, y + 6, "nothing", size=13, color=BAD)
        else:
            _draw_tile(picture, seat, seat.seemed, Place(_LEFT + 295, y, 46, 26), GOAL)
    else:
        picture.text(_LEFT + 166, y + 6, "no experiment yet" + (" today" if seat.p.day else ""), size=13, color=MUTED)
    _draw_button(picture, seat.wait_button(), "wait")


def _draw_button(picture: Picture, place: Place, name: str) -> None:
    picture.rectangle(*place, LINES, 5)
    picture.text(place.x + place.width / 2, place.y + place.height / 2 - 7, name, size=13, align="center")


def _made_by_others(seat: SeatView) -> dict[int, int]:
    """What those whom agent 0 sees made in this step and it has now, if it copied any of that: by item, who made it."""
    made = {int(seat.state.made[j]): j for j in sorted(seat.seen(), reverse=True)} if seat.gained else {}
    return {item: j for item, j in sorted(made.items()) if item != NOTHING and seat.held[item] != ABSENT}


def _draw_news(picture: Picture, seat: SeatView) -> None:
    """A line of what has just happened, dawn above all."""
    y, state = seat.bench + 34, seat.state
    if state.forgot[0] and state.t > 0:
        born = has_lives(seat.p) and state.born[0] == state.t
        told = "You are born. Who was here before you is dead." if born else "Dawn. All is forgotten but what is written."
        picture.rectangle(_LEFT, y - 3, _END - _LEFT, 21, blend(GOAL, 0.25), 5)
        picture.text(WORLD / 2, y, told, size=14, color=GOAL, align="center")
        return
    if news := _made_by_others(seat):
        told = ", ".join(f"{seat.words[item]} (by {j})" for item, j in list(news.items())[:4])
        more = f" and {len(news) - 4} more" if len(news) > 4 else ""
        some = "" if len(news) == seat.gained else f"{seat.gained} of these: "
        picture.text(_LEFT, y, f"You copied {some}{told}{more}.", size=13, color=GOOD)
    elif seat.learned != NOTHING:
        picture.text(_LEFT, y, f"You copied {seat.words[seat.learned]} from a teacher.", size=13, color=GOOD)
    elif has_claims(seat.p) or seat.p.illusions:  # what was made is known by its pay alone
        if state.reward[0] > 0:
            picture.text(_LEFT, y, f"Your last step paid {state.reward[0]:.3g}.", size=13, color=GOAL)
    elif state.made[0] != NOTHING:
        picture.text(_LEFT, y, f"You made {seat.words[state.made[0]]}, which you did not have.", size=13, color=GOAL)


def _lost_by_force(seat: SeatView, j: int, told: dict[int, int]) -> float:
    """The health that an agent just lost, as far as agent 0 can tell: its own it feels, and of others it knows who forced."""
    if seat.state.forgot[0] or is_out(seat.state, j):
        return 0.0
    if j == 0:
        return float(seat.state.lost[0])
    return seat.p.harm * sum(i != j for i, deed in told.items() if deed == FORCED)


def _draw_healths(picture: Picture, seat: SeatView) -> None:
    """Everybody's health, red what was just lost of it; what others did, as far as it is told; buttons to steal and to give."""
    p, state, told = seat.p, seat.state, dict(deeds_told(seat.p, seat.state, 0))
    lost = [_lost_by_force(seat, j, told) for j in range(p.agents)]
    if seat.may_force():
        headline = "Red edge or F1, F2, ...: FORCE. It works more often, and costs ALL OTHERS health."
    elif told.get(0) == FORCED:
        headline = f"Your FORCE just cost each of the others {p.harm:g} health."
    elif lost[0] > 0:
        headline = f"Force that others used just cost you {lost[0]:.2g} health."
    else:
        headline = ""
    picture.text(_LEFT, seat.paper, headline or "health", size=13, color=BAD if headline else MUTED)
    turn = whose_turn(p, state, 0)
    for j, y, buttons in seat.healths():
        out, health = is_out(state, j), float(state.health[j])
        size = min(13, int(0.7 * _LINE))
        picture.text(_LEFT, y, "you" if j == 0 else f"agent {j}", size=size, color=GOAL if j == 0 else TEXT)
        left, width = _LEFT + 62, 130
        picture.rectangle(left, y + 4, width, 9, LINES, 2)
        if not out:
            color = GOOD if health >= p.health / 2 else GOAL
            picture.rectangle(left, y + 4, max(1.0, width * health / p.health), 9, color, 2)
        if lost[j] > 0:
            picture.rectangle(left + width * health / p.health, y + 1, max(4.0, width * lost[j] / p.health), 15, BAD, 2)
        number = "out" if out else f"{health:.1f}"
        picture.text(left + width + 8, y, number, size=size, color=BAD if out else MUTED)
        if lost[j] > 0:
            picture.text(left + width + 38, y, f"-{lost[j]:.2g}", size=size, color=BAD)
        if j in told:
            harms = told[j] < GAVE
            picture.text(left + width + 76, y, DEEDS[told[j]], size=size, color=BAD if harms else GOOD)
        for name, (place, _) in buttons.items():
            _draw_button(picture, place, f"{name}{'*' if j == turn else ''}")
    picture.text(_END, _BOTTOM - 14, "* whom the keys v and g mean now", size=11, color=MUTED, align="right")


def _draw_history(picture: Picture, seat: SeatView) -> None:
    """Where nothing is ever forgotten: who made the newest things first, of those that agent 0 has and whom it sees."""
    state, makers = seat.state, {0, *seat.seen()}
    told = [(int(state.first_at[item]), item) for item in seat.tiles if state.first_by[item] in makers]
    if told:
        picture.text(_LEFT, seat.paper, "newest", size=13, color=MUTED)
    for k, (t, item) in enumerate(sorted(told, reverse=True)[:14]):
        x, y = _LEFT + k // 7 * 230, seat.paper + 18 + k % 7 * 18
        x += picture.text(x, y, seat.words[item], size=13, color=seat.hue(item))
        by = int(state.first_by[item])
        picture.text(x, y, f" by {by if by else 'you'}, step {t + 1}", size=13, color=MUTED if by else GOAL)


def _draw_book(picture: Picture, seat: SeatView, name: str, y: float, entries: list[Entry]) -> None:
    """Entries as they are written; of closed pages only whether something is."""
    filled = sum(entry.content[WHEN] >= 0 for entry in entries)
    width = picture.text(_LEFT, y - 2, f"{name}: {filled} of {len(entries)} filled", size=13, color=MUTED)
    picture.text(_LEFT + width + 12, y - 1, _how_to_write(seat, name), size=11, color=blend(MUTED, 0.7))
    if any(entry.claim for entry in entries):
        x = float(_END)
        for fate, color in reversed(_FATES.items()):
            x -= 6 + picture.text(x, y - 1, fate, size=11, color=color, align="right")
    for k, entry in enumerate(entries):
        x, top, wide, height = entry.place
        picture.rectangle(x, top, wide, height, FLOOR if entry.content[WHEN] >= 0 else blend(FLOOR, 0.45), min(3.0, height / 4))
        if height < 10:
            continue
        size = 13 if height >= 20 else 12 if height >= 14 else 9
        picture.text(x + 4, top + height / 2 - 0.55 * size, str(k + 1), size=size, color=MUTED)
        if entry.content[WHEN] < 0:
            continue
        if entry.has_pen:
            picture.outline(x, top, wide, height, GOAL, 1)
        if entry.is_open:
            if seat.p.notation == "event":
                if entry.claim:
                    size = min(size, 11)
                    _draw_claim(picture, entry.claim, entry.place)
                _draw_experiment(picture, seat, entry.content, x + 26, top + height / 2 - 0.55 * size, size)
            else:
                picture.text(x + 26, top + height / 2 - 0.55 * size, entry.words, size=size, room=wide - 46)
            if eraser := seat.eraser(entry):
                picture.text(eraser.x + 9, top + height / 2 - 0.55 * size, "x", size=size, color=BAD, align="center")
        else:
            picture.text(x + 26, top + height / 2 - 0.55 * size, "written, but the page is closed", size=size, color=MUTED)


def _how_to_write(seat: SeatView, name: str) -> str:
    """What a click on a line of a book does."""
    if seat.p.notation != "event":
        return "click on a line: begin it anew" if seat.p.notation == "symbols" else ""
    if name == NOTICEBOARD.name and has_claims(seat.p):
        return "click on a line: claim it" if seat.seemed != NOTHING else ""
    return "click on a line: write the last experiment there" if seat.tried[0] != NOTHING else ""


def _draw_claim(picture: Picture, claim: Claim, line: Place) -> None:
    """Who claims what stands on a line; how often it was confirmed, refuted and cited; and what can be done to it now."""
    middle = line.y + line.height / 2
    if claim.author > 0:
        picture.circle(line.x + _AUTHOR, middle, 7, AGENT)
        picture.text(line.x + _AUTHOR, middle - 5, str(claim.author), size=10, color=BACKGROUND, align="center")
    else:
        who, color = ("you", GOAL) if claim.author == 0 else ("dead", MUTED)
        picture.text(line.x + _AUTHOR, middle - 6, who, size=10, color=color, align="center")
    for n, (fate, count) in enumerate(claim.counts.items()):
        color = _FATES[fate] if count else blend(MUTED, 0.5)
        picture.text(line.x + _FATE + _COUNT * n, middle - 6, str(count), size=10, color=color, align="center")
    for letter, (place, _) in claim.buttons.items():
        picture.rectangle(*place, LINES, 3)
        picture.text(place.x + place.width / 2, middle - 6, letter.upper(), size=10, align="center")


def _draw_experiment(picture: Picture, seat: SeatView, content: list[int], x: float, y: float, size: int) -> None:
    """`flim + dorp = bask`, each word in its lineage's colour."""
    made = content[MADE]
    for item, sign in ((content[A], " + "), (content[B], " = ")):
        x += picture.text(x, y, seat.words[item], size=size, color=seat.hue(item))
        x += picture.text(x, y, sign, size=size, color=MUTED)
    name, color = ("nothing", BAD) if made == NOTHING else (seat.words[made], seat.hue(made))
    picture.text(x, y, name, size=size, color=color)


def _draw_recipes(picture: Picture, seat: SeatView, recipe: np.ndarray) -> None:
    """All recipes, level by level, as many as there is room for: bright where the thing was made, in whichever way."""
    p, top = seat.p, seat.bench + 36
    book = [(item, r) for item in range(p.bases * p.lineages, items_of(p)) for r in range(p.recipes)]
    room = _BOTTOM - top - 20
    rows = min(math.ceil(len(book) / 3), int(room // 11))
    step, shown = min(16.0, room / rows), book[: 3 * rows]
    left = f", the first {len(shown)} of {len(book)}" if len(shown) < len(book) else ""
    x = _LEFT + picture.text(_LEFT, top, f"The recipes{left}, of things made ", size=13)
    others = [("by others", GOOD)] if p.agents > 1 else []
    for name, color in (("first by you" if others else "by you", GOAL), *others, ("by nobody", MUTED)):
        x += picture.text(x, top, f"{name}   ", size=13, color=color)
    for k, (item, r) in enumerate(shown):
        by = int(seat.state.first_by[item])
        color = MUTED if by == NOTHING else GOAL if by == 0 else GOOD
        text = f"{seat.words[item]} = {seat.words[recipe[item, r, 0]]} + {seat.words[recipe[item, r, 1]]}"
        picture.text(_LEFT + k // rows * 154, top + 20 + k % rows * step, text, size=11, color=color)
