"""Symbols: notes and posts that mean what their writers make them mean.

An entry holds at most `entry_bytes` symbols out of an alphabet of `alphabet`, a byte each in the row of the world. Who writes
begins an entry, which empties it and sets the pen there, and then puts symbols, one a step, until the pen is taken elsewhere or
memory is reset. So there is one action an entry and one a symbol, and any code can be written with a Discrete set of actions:
to write an entry whole would take `alphabet` to the power of `entry_bytes` actions an entry. And it costs steps to say much: a
shorter code leaves more of them.

On the board, of several who begin at one place in one step one does, by lot; whoever begins there takes the pen from others.
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np

from metarl_envs.boxes.world.mechanism import Mechanism, Numbers
from metarl_envs.boxes.world.notes import (
    LENGTH,
    NOTEBOOK,
    NOTES,
    NOTICEBOARD,
    SYMBOLIC,
    WHEN,
    Book,
    is_outdone_by_all,
    is_page_open,
    pages_in,
)
from metarl_envs.boxes.world.tree import NOTHING
from metarl_envs.boxes.world.verbs import Key, Verb, no_effect
from metarl_envs.engine import kernel
from metarl_envs.engine.compiling.kernels import plain


def are_symbols(p: SimpleNamespace) -> bool:
    """Whether symbols are written in a box with parameters `p`."""
    return p.notation == "symbols" and p.notes + p.board > 0


# ------------------------------------------------------------------------------------------------- bytes of entries
def byte_fields(p: SimpleNamespace) -> dict[str, Any]:
    """The bytes of all entries of notebooks and board; how many of them count stands in the entry (see `notes.LENGTH`)."""
    return {
        "written": (np.uint8, (p.agents, max(p.notes, 1), p.entry_bytes)),
        "posted": (np.uint8, (max(p.board, 1), p.entry_bytes)),
    }


@kernel
def begin_entry(state, entries, k):
    """Empty an entry, in which something is to be written now."""
    entries[k, LENGTH] = 0
    entries[k, WHEN] = min(state.t, 32767)


@kernel
def add_byte(entries, content, k, byte):
    """Write a byte behind those of an entry."""
    content[k, entries[k, LENGTH]] = byte
    entries[k, LENGTH] += 1


@kernel
def has_room(params, entries, k):
    """Whether an entry was begun, and is not full."""
    return 0 <= entries[k, LENGTH] < params.entry_bytes


@kernel
def byte_numbers(params):
    """For each entry whether it is written, and a number a byte."""
    return (params.notes + params.board) * (1 + params.entry_bytes)


@kernel
def show_bytes(params, state, i, symbols, view, at):
    """What agent i sees of all entries: whether each is written; and, on open pages, its symbols, of so many that there are."""
    show_book(params, i, state.notes[i], state.written[i], params.notes, state.open, symbols, view, at)
    at += params.notes * (1 + params.entry_bytes)
    show_book(params, i, state.board, state.posted, params.board, state.looking, symbols, view, at)


@kernel
def show_book(params, i, entries, content, count, pages, symbols, view, at):
    """The same of one book: a symbol s, from 0, is (s + 1) / symbols; 0 where there is none."""
    for page in range(pages_in(params, count)):
        is_open = is_page_open(params, pages, i, page)
        for k in range(page * params.page, min(count, (page + 1) * params.page)):
            view[at] = 1.0 if entries[k, WHEN] >= 0 else 0.0
            for j in range(params.entry_bytes):
                shown = is_open and j < entries[k, LENGTH]
                view[at + 1 + j] = (content[k, j] + 1) / symbols if shown else 0.0
            at += 1 + params.entry_bytes


@kernel
def blot_out(params, task, state, rng):
    """Begin without any bytes."""
    for k in range(params.notes):
        for i in range(params.agents):
            for j in range(params.entry_bytes):
                state.written[i, k, j] = 0
    for k in range(params.board):
        for j in range(params.entry_bytes):
            state.posted[k, j] = 0


# ------------------------------------------------------------------------------------------------- the pen
def symbol_fields(p: SimpleNamespace) -> dict[str, Any]:
    """The symbols of all entries, and where everybody's pen is: at a note; or, `notes` further on, at a place of the board."""
    return byte_fields(p) | {"pen": (np.int16, p.agents)} if are_symbols(p) else {}


@kernel
def lift_pen(params, state, i):
    """Agent i writes nothing any more."""
    state.pen[i] = NOTHING


@kernel
def counts_symbols(params):
    """Whether symbols are written here."""
    return params.notation == SYMBOLIC and params.notes + params.board > 0


@kernel
def count_notes(params):
    """One action for each entry of the notebook, where symbols are written."""
    return params.notes if params.notation == SYMBOLIC else 0


@kernel
def count_places(params):
    """One action for each place of the board, where symbols are written."""
    return params.board if params.notation == SYMBOLIC else 0


@kernel
def count_symbols(params):
    """One action for each symbol."""
    return params.alphabet if counts_symbols(params) else 0


@kernel
def can_begin(params, state, i, k):
    """Anything can be written anew."""
    return True


@kernel
def begin_note(params, task, state, i, k, rng):
    """Empty a note, and set the pen there."""
    begin_entry(state, state.notes[i], k)
    state.pen[i] = k


@kernel
def begin_post(params, state, actions, i, k):
    """The same with a place of the board, once all have acted. Of several who begin there, one is drawn."""
    if is_outdone_by_all(params, state, i, actions):
        return
    for j in range(params.agents):
        if state.pen[j] == params.notes + k:
            state.pen[j] = NOTHING
    begin_entry(state, state.board, k)
    state.pen[i] = params.notes + k


@kernel
def can_put(params, state, i, k):
    """Whether the pen of agent i is at an entry with room."""
    pen = state.pen[i]
    if pen == NOTHING:
        return False
    if pen < params.notes:
        return has_room(params, state.notes[i], pen)
    return has_room(params, state.board, pen - params.notes)


@kernel
def put(params, task, state, i, k, rng):
    """Write a symbol where the pen is."""
    pen = state.pen[i]
    if pen < params.notes:
        add_byte(state.notes[i], state.written[i], pen, k)
    else:
        add_byte(state.board, state.posted, pen - params.notes, k)


def next_blank(p: SimpleNamespace, state: Any, i: int, book: Book) -> int:
    """The first entry of a book in which nothing is written; -1 where there is none."""
    free = np.flatnonzero(book.entries(p, state, i)[:, WHEN] < 0)
    return int(free[0]) if len(free) else NOTHING


BEGIN = Verb(
    "begin",
    "note {place}",
    "begins note {place}",
    count_notes,
    can_begin,
    begin_note,
    key=Key("w", "begin a note", lambda p, state, i: next_blank(p, state, i, NOTEBOOK)),
)
BEGIN_POST = Verb(
    "begin_post",
    "post {place}",
    "begins on the noticeboard, place {place}",
    count_places,
    can_begin,
    no_effect,
    contend=begin_post,
    key=Key("b", "begin a post", lambda p, state, i: next_blank(p, state, i, NOTICEBOARD)),
)
PUT = Verb("put", "put {place}", "puts symbol {place}", count_symbols, can_put, put)


# ------------------------------------------------------------------------------------------------- what is seen
@kernel
def symbol_numbers(params):
    """Those of all entries; where the pen is, and how much is written there."""
    return byte_numbers(params) + 2 if counts_symbols(params) else 0


@kernel
def show_symbols(params, state, i, view, plane, at):
    """Write what agent i sees of entries and of its pen: its place, from 1, over all entries; how full it is there."""
    show_bytes(params, state, i, params.alphabet, view, at)
    at += byte_numbers(params)
    pen = state.pen[i]
    view[at] = (pen + 1) / (params.notes + params.board)
    view[at + 1] = 0.0
    if pen != NOTHING:
        length = state.notes[i, pen, LENGTH] if pen < params.notes else state.board[pen - params.notes, LENGTH]
        view[at + 1] = max(length, 0) / params.entry_bytes


def pen_at(p: SimpleNamespace, state: Any, i: int) -> tuple[str, int] | None:
    """Where agent i's pen is, "note" or "place" and the number, from 1; None where it writes nothing."""
    pen = int(state.pen[i])
    if not plain(can_put)(p, state, i, 0):
        return None
    return ("note", pen + 1) if pen < p.notes else ("place", pen - p.notes + 1)


def told_of_pen(p: SimpleNamespace, state: Any, agent: int) -> list[str]:
    """Where the pen is, in words."""
    if not (at := pen_at(p, state, agent)):
        return []
    book, k = NOTEBOOK if at[0] == "note" else NOTICEBOARD, at[1] - 1
    length = int(book.entries(p, state, agent)[k, LENGTH])
    return [f"Your pen is at {at[0]} {k + 1}: {length} of {p.entry_bytes} symbols are written there."]


def rules_of_symbols(p: SimpleNamespace) -> str:
    """How symbols are written, and that they mean nothing by themselves."""
    begin = " or ".join(["'note 1'"] * (p.notes > 0) + ["'post 1'"] * (p.board > 0))
    return (
        f"To write, begin an entry anew ({begin}), then put symbols there, one a step ('put 1' to 'put {p.alphabet}'), at most "
        f"{p.entry_bytes}. They mean what you make them mean."
    )


def _relabel_error(p: SimpleNamespace) -> str | None:
    if are_symbols(p) and p.relabel == "dawn":
        return (
            "relabel='dawn' rewrites names of things in notes, and symbols name none: give notation='text', or relabel='never'"
        )
    return None


SYMBOLS = Mechanism(
    parameters={name: NOTES.parameters[name] for name in ("notes", "board", "notation", "entry_bytes", "alphabet")},
    fields=symbol_fields,
    used=are_symbols,
    error=_relabel_error,
    verbs=(BEGIN, BEGIN_POST, PUT),
    open=blot_out,
    forget=lift_pen,
    seen=Numbers(symbol_numbers, show_symbols),
    rules=rules_of_symbols,
    told=told_of_pen,
)
