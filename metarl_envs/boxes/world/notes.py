"""Notes: what agents write, in notebooks of their own and on a board that all may read.

What an entry holds is `notation`: one experiment, a pair and what it seemed to make ("event", of which this file has all);
symbols that mean what their writers make of them (`world.symbols`); or text (`world.texts`). To write an experiment costs a
step, and so does opening a page; pages close when memory is reset, and what is written stays.
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, NamedTuple

import numpy as np

from metarl_envs.boxes.world.core import ABSENT, is_drawn_before
from metarl_envs.boxes.world.mechanism import Mechanism, Numbers
from metarl_envs.boxes.world.tree import NOTHING, items_in
from metarl_envs.boxes.world.verbs import Key, Verb, no_effect
from metarl_envs.engine import Choice, Flag, Integer, kernel
from metarl_envs.engine.compiling.kernels import plain

#: Fields of an entry: the pair, what it seemed to make (NOTHING: that it makes nothing), when it was written (-1: empty).
A, B, MADE, WHEN = range(4)
#: In other notations the first field of an entry is how many bytes it holds, and WHEN when it was begun; the bytes themselves
#: stand in `state.written` and `state.posted`.
LENGTH = A
#: `notation`, in the order of its numbers.
NOTATIONS = ("event", "symbols", "text")
EVENT, SYMBOLIC, TEXTUAL = range(3)
#: The bytes of an experiment that can be read: three items, two bytes each. (When it was written nobody is shown.)
EVENT_BYTES = 6
_ALPHABET = 16


@kernel
def pages_in(params, entries):
    """How many pages hold so many entries."""
    return (entries + params.page - 1) // params.page


def pages_of(p: SimpleNamespace, entries: int) -> int:
    """How many pages hold so many entries under parameters `p`."""
    return plain(pages_in)(p, entries)


@kernel
def page_at(params, k):
    """The page on which entry k of a book stands; mostly the first, and to divide takes as long as ten comparisons."""
    return 0 if k < params.page else k // params.page


@kernel
def is_page_open(params, pages, i, page):
    """Whether agent i reads a page of the notebook (`pages` is `state.open`) or of the board (`state.looking`)."""
    return (params.free_reading != 0) | (pages[i, page] != 0)


def note_fields(p: SimpleNamespace) -> dict[str, Any]:
    """Notebooks and board, and which of their pages are open."""
    n = p.agents
    return {
        "notes": (np.int16, (n, max(p.notes, 1), 4)),
        "open": (np.uint8, (n, max(pages_of(p, p.notes), 1))),
        "looking": (np.uint8, (n, max(pages_of(p, p.board), 1))),
        "board": (np.int16, (max(p.board, 1), 4)),
        "guarded": (np.uint8, max(p.board, 1)),  # what must not be written over (see `world.claims`)
    }


# ------------------------------------------------------------------------------------------------- hooks
@kernel
def open_books(params, task, state, rng):
    """Begin with empty books."""
    for i in range(params.agents):
        for k in range(params.notes):
            wipe(state.notes[i], k)
    for k in range(params.board):
        wipe(state.board, k)
        state.guarded[k] = 0


@kernel
def close_pages(params, state, i):
    """Close all pages of agent i. What is written stays."""
    for page in range(state.open.shape[1]):
        state.open[i, page] = 0
    for page in range(state.looking.shape[1]):
        state.looking[i, page] = 0


@kernel
def wipe(notes, k):
    """Empty an entry."""
    notes[k, A] = NOTHING
    notes[k, B] = NOTHING
    notes[k, MADE] = NOTHING
    notes[k, WHEN] = -1


@kernel
def write(state, i, notes, k):
    """Write agent i's last experiment into entry k."""
    notes[k, A] = state.tried[i, 0]
    notes[k, B] = state.tried[i, 1]
    notes[k, MADE] = state.seemed[i]
    notes[k, WHEN] = min(state.t, 32767)


# ------------------------------------------------------------------------------------------------- verbs
@kernel
def has_tried_something(params, state, i, k):
    """Whether there is an experiment to write down."""
    return state.tried[i, 0] != NOTHING


@kernel
def count_notes(params):
    """One action for each entry of the notebook, where entries are experiments."""
    return params.notes if params.notation == EVENT else 0


@kernel
def count_all_notes(params):
    """One action for each entry of the notebook."""
    return params.notes


@kernel
def write_note(params, task, state, i, k, rng):
    """Write the last experiment into a note."""
    write(state, i, state.notes[i], k)


@kernel
def is_written(params, state, i, k):
    """Whether something is written in a note."""
    return state.notes[i, k, WHEN] >= 0


@kernel
def erase_note(params, task, state, i, k, rng):
    """Empty a note."""
    wipe(state.notes[i], k)


@kernel
def count_pages(params):
    """One action for each page of the notebook."""
    return pages_in(params, params.notes)


@kernel
def is_closed(params, state, i, k):
    """Whether a page of the notebook is closed."""
    return state.open[i, k] == 0


@kernel
def open_page(params, task, state, i, k, rng):
    """Open a page of the notebook."""
    state.open[i, k] = 1


@kernel
def count_places(params):
    """One action for each place of the board, where entries are experiments."""
    return params.board if params.notation == EVENT else 0


@kernel
def can_post(params, state, i, k):
    """Whether there is an experiment to write down, and place k of the board may be written over."""
    return (state.tried[i, 0] != NOTHING) & (state.guarded[k] == 0)


@kernel
def post(params, state, actions, i, k):
    """Write the last experiment on a place of the board, once all have acted. Of several who do so there, one is drawn."""
    if can_post(params, state, i, k) and not is_outdone(state, i, actions):
        write(state, i, state.board, k)


@kernel
def place_to_write(params, state):
    """The first empty place of the board; where there is none, the oldest entry that may be written over."""
    oldest = NOTHING
    for k in range(params.board):
        if state.board[k, WHEN] < 0:
            return k
        if state.guarded[k] == 0 and (oldest == NOTHING or state.board[k, WHEN] < state.board[oldest, WHEN]):
            oldest = k
    return oldest


@kernel
def is_outdone(state, i, actions):
    """Whether agent i posts where one who was gone through before it posted in this step, for whom the lot is."""
    for j in range(i):  # noqa: SIM110 (a kernel has no generators)
        if actions[j] == actions[i] and state.tried[j, 0] != NOTHING and is_drawn_before(state, j, i):
            return True
    return False


@kernel
def is_outdone_by_all(params, state, i, actions):
    """The same of whatever is posted: whether the lot is for another one of all who do what agent i does."""
    for j in range(params.agents):  # noqa: SIM110 (a kernel has no generators)
        if j != i and actions[j] == actions[i] and is_drawn_before(state, j, i):
            return True
    return False


@kernel
def count_board_pages(params):
    """One action for each page of the board."""
    return pages_in(params, params.board)


@kernel
def is_not_looked_at(params, state, i, k):
    """Whether agent i has not opened a page of the board."""
    return state.looking[i, k] == 0


@kernel
def look_at_page(params, task, state, i, k, rng):
    """Open a page of the board."""
    state.looking[i, k] = 1


def next_entry(p: SimpleNamespace, state: Any, i: int, book: Book) -> int:
    """The first empty entry of a book, for what agent i tried last; -1 where there is none, or it is written already."""
    entries = book.entries(p, state, i)
    tried = [*map(int, state.tried[i]), int(state.seemed[i])]
    written = (entries[:, WHEN] >= 0) & (entries[:, :WHEN] == tried).all(axis=1)
    free = np.flatnonzero(entries[:, WHEN] < 0)
    return int(free[0]) if len(free) and tried[0] != NOTHING and not written.any() else -1


def next_page(p: SimpleNamespace, state: Any, i: int, book: Book) -> int:
    """The first closed page of a book; -1 where all are open."""
    closed = book.closed(p, state, i)
    return closed[0] if closed else -1


def _pages_must_be_opened(p: SimpleNamespace) -> bool:
    return not p.free_reading


def _has_notes(p: SimpleNamespace) -> bool:
    return p.notes > 0


def has_board(p: SimpleNamespace) -> bool:
    """Whether there is a noticeboard in a box with parameters `p`."""
    return p.board > 0


NOTE = Verb(
    "note",
    "note {place}",
    "writes note {place}: {experiment}",
    count_notes,
    has_tried_something,
    write_note,
    key=Key("w", "write down", lambda p, state, i: next_entry(p, state, i, NOTEBOOK)),
    used=_has_notes,
)
ERASE = Verb("erase", "erase {place}", "strikes out note {place}", count_all_notes, is_written, erase_note, used=_has_notes)
READ = Verb(
    "read",
    "read {place}",
    "opens page {place}",
    count_pages,
    is_closed,
    open_page,
    key=Key("o", "open a page", lambda p, state, i: next_page(p, state, i, NOTEBOOK), _pages_must_be_opened),
    used=_has_notes,
)
POST = Verb(
    "post",
    "post {place}",
    "posts on the noticeboard, place {place}: {experiment}",
    count_places,
    can_post,
    no_effect,
    contend=post,
    key=Key("b", "post", lambda p, state, i: next_entry(p, state, i, NOTICEBOARD)),
    used=has_board,
)
LOOK = Verb(
    "look",
    "look {place}",
    "looks at page {place} of the noticeboard",
    count_board_pages,
    is_not_looked_at,
    look_at_page,
    key=Key("l", "look", lambda p, state, i: next_page(p, state, i, NOTICEBOARD), _pages_must_be_opened),
    used=has_board,
)


class Book(NamedTuple):
    """A notebook, or the noticeboard: how it is called, where it is kept, and what is done with it.

    Attributes:
        name: in pictures.
        title: in text.
        size: the parameter that says how many entries it has.
        field: the field of the state that holds them, and
        content: the one that holds their bytes, where they are no experiments.
        pages: the field that says which pages are open to whom.
        own: whether each agent has one of its own.
        erase, read: the verbs; None: nobody can. (What writes is another verb in each notation, see `texts.writing`.)
    """

    name: str
    title: str
    size: str
    field: str
    content: str
    pages: str
    own: bool
    erase: Verb | None
    read: Verb

    def entries(self, p: SimpleNamespace, state: Any, i: int) -> np.ndarray:
        """All entries of the book that agent i has, int [entries, 4]."""
        rows = np.asarray(getattr(state, self.field))
        return (rows[i] if self.own else rows)[: getattr(p, self.size)]

    def bytes_at(self, p: SimpleNamespace, state: Any, i: int, k: int) -> bytes:
        """The bytes of entry k that agent i has, where entries are no experiments."""
        rows = np.asarray(getattr(state, self.content))
        return (rows[i] if self.own else rows)[k, : max(0, self.entries(p, state, i)[k, LENGTH])].tobytes()

    def closed(self, p: SimpleNamespace, state: Any, i: int) -> list[int]:
        """The pages that agent i has to open before it can read them, from 0."""
        pages = getattr(state, self.pages)
        return [k for k in range(pages_of(p, getattr(p, self.size))) if not plain(is_page_open)(p, pages, i, k)]


NOTEBOOK = Book("notebook", "Notes", "notes", "notes", "written", "open", True, ERASE, READ)
NOTICEBOARD = Book("noticeboard", "Board", "board", "board", "posted", "looking", False, None, LOOK)
#: All books of a box.
BOOKS = (NOTEBOOK, NOTICEBOARD)


# ------------------------------------------------------------------------------------------------- what is seen
@kernel
def note_planes(params):
    """Two marks an item, where there are entries, and these are experiments."""
    return 2 if note_numbers(params) > 0 else 0


@kernel
def note_numbers(params):
    """Four numbers an entry, where entries are experiments."""
    return 4 * (params.notes + params.board) if params.notation == EVENT else 0


@kernel
def read_all(params, state, i, view, plane, at):
    """All entries, of the notes and of the board, where these are experiments; planes of marks must be empty."""
    if params.notation != EVENT:
        return
    read_book(params, state, i, state.notes[i], params.notes, state.open, view, plane, at)
    read_book(params, state, i, state.board, params.board, state.looking, view, plane, at + 4 * params.notes)


@kernel
def read_book(params, state, i, entries, count, pages, view, plane, at):
    """All entries of a notebook or of the board, page by page."""
    unit = 1.0 / (items_in(params) + 1)
    for page in range(pages_in(params, count)):
        is_open = is_page_open(params, pages, i, page)
        for k in range(page * params.page, min(count, (page + 1) * params.page)):
            if is_open:
                read_entry(params, state, i, entries, k, unit, view, plane, at + 4 * k)
            else:
                see_whether_used(entries, k, view, at + 4 * k)


@kernel
def see_whether_used(notes, k, out, at):
    """Of an entry on a closed page: whether something is written."""
    out[at] = 1.0 if notes[k, WHEN] >= 0 else 0.0
    out[at + 1] = 0.0
    out[at + 2] = 0.0
    out[at + 3] = 0.0


@kernel
def read_entry(params, state, i, notes, k, unit, out, plane, at):
    """An entry on an open page: four numbers of its own, and a mark on the items that it speaks of.

    First plane: what to take next, by an entry whose two items are held and whose product is not. With one of them in the
    hand that is the other; with an empty hand the first. Second plane: what makes nothing with what is in the hand.

    `unit` is 1 over the count of items plus 1: times that comes to the same float32 as divided by the count, in less time. An
    entry that is empty names NOTHING three times; it stands for item 0 then, and marks nothing. Which entry is the next
    changes all the time, so it is reckoned without a jump that the processor would have to guess.
    """
    a, b, made, hand = notes[k, A], notes[k, B], notes[k, MADE], state.hand[i]
    used = notes[k, WHEN] >= 0
    out[at] = 1.0 if used else 0.0
    out[at + 1] = (a + 1) * unit
    out[at + 2] = (b + 1) * unit
    out[at + 3] = (made + 1) * unit
    held, x, y, z = state.held[i], max(a, 0), max(b, 0), max(made, 0)
    is_next = (made != NOTHING) & (held[z] == ABSENT) & (held[x] != ABSENT) & (held[y] != ABSENT)
    out[plane + x] = max(out[plane + x], 1.0 if is_next & ((hand == NOTHING) | (hand == b)) else 0.0)
    out[plane + y] = max(out[plane + y], 1.0 if is_next & (hand == a) else 0.0)
    if used & (made == NOTHING) & (hand != NOTHING):
        items = items_in(params)
        if hand == a:
            out[plane + items + y] = 1.0
        if hand == b:
            out[plane + items + x] = 1.0


@kernel
def strike_marks(params, state, i, view, plane, at):
    """Empty the planes of marks: which items are marked is told by the entries that are shown, a and b in each.

    An entry that says what two make marked them in the first plane, and one that says that they make nothing in the second.
    """
    items = items_in(params)
    for _entry in range(note_numbers(params) // 4):
        if view[at + 1] > 0.0:
            marks = plane if view[at + 3] > 0.0 else plane + items
            view[marks + int(view[at + 1] * (items + 1) + 0.5) - 1] = 0.0
            view[marks + int(view[at + 2] * (items + 1) + 0.5) - 1] = 0.0
        at += 4


def rules_of_notes(p: SimpleNamespace) -> str:
    """What is written, where that is an experiment."""
    return "What is written is your last experiment at that time." if p.notation == "event" else ""


def _notation_error(p: SimpleNamespace) -> str | None:
    """Why a notation does not go together with the rest."""
    if p.notation == "event" and p.entry_bytes != EVENT_BYTES:
        return f"entry_bytes={p.entry_bytes} is of other notations: an experiment has {EVENT_BYTES} bytes (or notation='text')"
    if p.notation != "symbols" and p.alphabet != _ALPHABET:
        return f"alphabet={p.alphabet} is of notation='symbols': leave it out, or give that"
    if p.notation == "event":
        return None
    given = f"notation={p.notation!r}"
    if p.notes + p.board == 0:
        return f"{given} needs something to write in: give notes=8 or board=8, or notation='event'"
    if getattr(p, "health", 0) > 0:
        return f"{given} does not go with hazards, which are reckoned by what notes say: give health=0, or notation='event'"
    if getattr(p, "selection", "none") != "none":
        return f"{given} does not go with claims, which are experiments: give selection='none', or notation='event'"
    if getattr(p, "copy_error", 0) > 0 and (p.board > 0 or p.inherit == "notes"):
        return f"{given} names no items that copy_error={p.copy_error:g} could mistake: give copy_error=0, or notation='event'"
    return None


NOTES = Mechanism(
    parameters={
        "notes": Integer(0, 0, 1024),
        "board": Integer(0, 0, 1024),
        "page": Integer(8, 1, 1024),
        "free_reading": Flag(False),
        "notation": Choice("event", NOTATIONS),
        "entry_bytes": Integer(EVENT_BYTES, 1, 4096),
        "alphabet": Integer(_ALPHABET, 2, 256),
    },
    fields=note_fields,
    used=lambda p: p.notes + p.board > 0,
    error=_notation_error,
    verbs=(NOTE, ERASE, READ, POST, LOOK),
    open=open_books,
    forget=close_pages,
    seen=Numbers(note_numbers, read_all, strike=strike_marks, planes=note_planes),
    rules=rules_of_notes,
)
