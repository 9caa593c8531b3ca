"""Text: notes and posts in whatever words, at most `entry_bytes` bytes of UTF-8 each; one sentence writes all, in one step.

What is written is part of the action, so that a run is its seeds and its actions here too. Where text is written, the action of
an agent is an array: the number of the action, and `entry_bytes` bytes, 0 behind the last (no text holds that byte). In an
action that writes nothing the bytes mean nothing.

What agents wrote comes from anybody. It is stored as bytes and shown by `shown` alone: as one line, in which whatever is no
letter, number, sign or plain space stands as a replacement character. It is never run, nor read as markup or as a name.

With `relabel="dawn"` names of things are rewritten when a text is shown: those of the day when it was written into today's. The
bytes stay as they are, and so does their number, since all names are equally long.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Mapping
from types import SimpleNamespace
from typing import Any

import numpy as np

from metarl_envs.boxes.world.mechanism import Mechanism, Numbers
from metarl_envs.boxes.world.notes import NOTE, NOTES, NOTICEBOARD, POST, TEXTUAL, Book, is_outdone_by_all
from metarl_envs.boxes.world.symbols import (
    BEGIN,
    BEGIN_POST,
    add_byte,
    begin_entry,
    blot_out,
    byte_fields,
    byte_numbers,
    show_bytes,
)
from metarl_envs.boxes.world.verbs import Verb, no_effect
from metarl_envs.engine import kernel

#: Stands for what is not shown.
_HIDDEN = "\N{REPLACEMENT CHARACTER}"
_LETTERS = re.compile(r"[^\W\d_]+")


def are_texts(p: SimpleNamespace) -> bool:
    """Whether text is written in a box with parameters `p`."""
    return p.notation == "text" and p.notes + p.board > 0


# ------------------------------------------------------------------------------------------------- text and its bytes
def text_problem(p: SimpleNamespace, text: str) -> str | None:
    """Why a text cannot be written in a box with parameters `p`, or None."""
    if not text.strip():
        return "there is nothing to write"
    if not text.isprintable():
        return "a text is one line, of letters, numbers, signs and plain spaces"
    if (size := len(text.encode(errors="replace"))) > p.entry_bytes:
        return f"this text has {size} bytes, and an entry holds at most {p.entry_bytes}"
    return None


def with_bytes(p: SimpleNamespace, number: int, content: bytes = b"") -> np.ndarray:
    """The action of an agent, int64 [1 + entry_bytes], which has this number, and writes these bytes."""
    action = np.zeros(1 + p.entry_bytes, np.int64)
    action[0], action[1 : 1 + len(content)] = number, np.frombuffer(content, np.uint8)
    return action


def numbers_of_actions(p: SimpleNamespace, actions: np.ndarray) -> np.ndarray:
    """The numbers of actions, [..., agents], out of actions as a box has them, with or without text."""
    return actions[..., 0] if are_texts(p) else actions


def number_and_text(action: Any) -> tuple[int, str]:
    """The number of an action as a box has it, and what is shown of its text."""
    row = np.ravel(action)
    content = row[1:].astype(np.uint8).tobytes()
    return int(row[0]), shown(content.partition(b"\0")[0])


def shown(content: bytes) -> str:
    """What is shown of the bytes of an entry: one line, with replacement characters for what is not to be shown."""
    text = content.decode("utf-8", errors="replace")
    return "".join(letter if letter.isprintable() else _HIDDEN for letter in text)


def renamed(text: str, names: Mapping[str, str]) -> str:
    """The text with other names in place of whole words, however these are capitalised."""

    def rename(found: re.Match[str]) -> str:
        word = found[0]
        name = names.get(word.lower())
        if name is None:
            return word
        return name.upper() if word.isupper() else name.capitalize() if word.istitle() else name

    return _LETTERS.sub(rename, text)


# ------------------------------------------------------------------------------------------------- kernels
def text_fields(p: SimpleNamespace) -> dict[str, Any]:
    """The bytes of all entries, and those of everybody's last action."""
    return byte_fields(p) | {"draft": (np.uint8, (p.agents, p.entry_bytes))} if are_texts(p) else {}


@kernel
def counts_texts(params):
    """Whether text is written here."""
    return params.notation == TEXTUAL and params.notes + params.board > 0


@kernel
def count_notes(params):
    """One action for each entry of the notebook, where text is written."""
    return params.notes if params.notation == TEXTUAL else 0


@kernel
def count_places(params):
    """One action for each place of the board, where text is written."""
    return params.board if params.notation == TEXTUAL else 0


@kernel
def can_write(params, state, i, k):
    """Anything can be written anew."""
    return True


@kernel
def write_text(params, state, i, entries, content, k):
    """Write the text of agent i's action into an entry."""
    begin_entry(state, entries, k)
    for j in range(params.entry_bytes):
        if state.draft[i, j] == 0:
            return
        add_byte(entries, content, k, state.draft[i, j])


@kernel
def write_note(params, task, state, i, k, rng):
    """Write a text into a note."""
    write_text(params, state, i, state.notes[i], state.written[i], k)


@kernel
def write_post(params, state, actions, i, k):
    """The same at a place of the board, once all have acted. Of several who write there, one is drawn."""
    if not is_outdone_by_all(params, state, i, actions):
        write_text(params, state, i, state.board, state.posted, k)


@kernel
def clear_drafts(params, task, state, rng):
    """Begin without any bytes."""
    blot_out(params, task, state, rng)
    for i in range(params.agents):
        for j in range(params.entry_bytes):
            state.draft[i, j] = 0


@functools.cache
def hearing(live_one_step: Callable) -> Callable:
    """The step of a box whose actions hold text: int [agents, 1 + entry_bytes]."""

    @kernel
    def hear_and_live_one_step(params, task, state, actions, rng):
        """Take down the bytes that come with everybody's action, and live one step."""
        for i in range(params.agents):
            for j in range(params.entry_bytes):
                state.draft[i, j] = actions[i, 1 + j]
        return live_one_step(params, task, state, actions[:, 0], rng)

    return hear_and_live_one_step


@kernel
def text_numbers(params):
    """Those of all entries."""
    return byte_numbers(params) if counts_texts(params) else 0


@kernel
def show_texts(params, state, i, view, plane, at):
    """Write what agent i sees of entries: a byte b is (b + 1) / 256."""
    show_bytes(params, state, i, 256, view, at)


def rules_of_texts(p: SimpleNamespace) -> str:
    """What can be written."""
    return f"What you write is up to you: one line of text, at most {p.entry_bytes} bytes (a plain letter is one)."


WRITE = Verb("write", "note {place}: {text}", 'writes note {place}: "{text}"', count_notes, can_write, write_note)
WRITE_POST = Verb(
    "write_post",
    "post {place}: {text}",
    'writes on the noticeboard, place {place}: "{text}"',
    count_places,
    can_write,
    no_effect,
    contend=write_post,
)
#: By notation, the verbs that write into the notebook and on the board.
_WRITING = {"event": (NOTE, POST), "symbols": (BEGIN, BEGIN_POST), "text": (WRITE, WRITE_POST)}


def writing(p: SimpleNamespace, book: Book) -> Verb:
    """The verb that writes into a book, or begins to, under parameters `p`."""
    return _WRITING[p.notation][book is NOTICEBOARD]


TEXTS = Mechanism(
    parameters={name: NOTES.parameters[name] for name in ("notes", "board", "notation", "entry_bytes")},
    fields=text_fields,
    used=are_texts,
    verbs=(WRITE, WRITE_POST),
    open=clear_drafts,
    seen=Numbers(text_numbers, show_texts),
    rules=rules_of_texts,
)
