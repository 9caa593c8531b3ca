"""A box in words: what an agent sees as text, and one strict grammar of sentences for what it does.

Every item has a nonce word, drawn anew for each box, so that no recipe can be known by heart and no word tells a level or a
lineage. A sentence is one of these, in small letters, with single spaces, and nothing else:

* `take flim`: into the empty hand;
* `combine flim with dorp`: the experiment. With an empty hand it takes two steps, `flim` and then `dorp`; where the hand
  holds one of the two, one step;
* `note 3`, `erase 3`: write the last experiment into note 3, or empty it; `read 1`: open page 1 of the notes;
* `post 2`: write the last experiment on place 2 of the board; `look 1`: open page 1 of the board;
* `visit agent_2`; `wait`.

Notes, places and pages count from 1. What is no sentence is WAIT, with a message; it is counted, and never an error.
"""

from __future__ import annotations

import functools
import hashlib
import re
from types import SimpleNamespace
from typing import Any, NamedTuple

import numpy as np

from metarl_envs.boxes.world.box import ABSENT, MADE, WHEN, A, B, pages_of, verbs_of
from metarl_envs.boxes.world.tree import NOTHING

#: Words that mean something else than an item.
_RESERVED = frozenset({"combine", "take", "with", "wait", "note", "erase", "read", "post", "look", "visit", "nothing", "empty"})
_CONSONANTS, _VOWELS = "bdfgklmnprstvz", "aeiou"
_NUMBER = re.compile(r"[1-9][0-9]{0,5}", re.ASCII)
_AGENT = re.compile(r"agent_(0|[1-9][0-9]{0,5})", re.ASCII)


@functools.lru_cache(maxsize=256)
def words_for(items: int, key: int) -> tuple[str, ...]:
    """A nonce word for each item, all different: the same for the same key (`words` of a box), in every process."""
    words: dict[str, None] = {}
    attempt = 0
    while len(words) < items:
        drawn = hashlib.blake2b(f"{key} {attempt}".encode(), digest_size=8).digest()
        word = "".join(
            letters[n % len(letters)] for letters, n in zip([_CONSONANTS, _VOWELS] * 2 + [_CONSONANTS], drawn, strict=False)
        )
        if word not in _RESERVED:
            words[word] = None
        attempt += 1
    return tuple(words)


class Said(NamedTuple):
    """What a sentence means: the action of this step, that of the next one (or -1), and what was wrong with it (or "")."""

    action: int
    then: int = NOTHING
    problem: str = ""


class Grammar:
    """Sentences of a box, and the actions that they stand for.

    Args:
        p: the parameters of the box.
        words: the name of each item.
    """

    def __init__(self, p: SimpleNamespace, words: tuple[str, ...]):
        self.words = words
        self._item = {word: item for item, word in enumerate(words)}
        self._verbs = verbs = verbs_of(p)
        notes, board = pages_of(p, p.notes), pages_of(p, p.board)
        #: Verbs that a number follows: where their actions begin, and how many there are.
        self._numbered = {
            "note": (verbs.note, p.notes),
            "erase": (verbs.erase, p.notes),
            "read": (verbs.read, notes),
            "post": (verbs.post, p.board),
            "look": (verbs.look, board),
        }
        self._visits = verbs.end - verbs.visit

    def parse(self, sentence: Any, hand: int) -> Said:
        """What a sentence means for an agent with this item (or -1) in its hand. Anything may be given; see `Said`."""
        if not isinstance(sentence, str):
            return self._no_sentence(f"{sentence!r:.60} is no text")
        match sentence.strip().split(" "):
            case ["wait"]:
                return Said(self._verbs.wait)
            case ["take", word]:
                return self._take(word, hand)
            case ["combine", first, "with", second]:
                return self._combine(first, second, hand)
            case ["visit", who] if self._visits:
                return self._visit(who)
            case [verb, number] if self._numbered.get(verb, (0, 0))[1]:
                return self._number(verb, number)
        return self._no_sentence(f"{sentence!r:.60} is no sentence")

    def say(self, action: int, hand: int) -> str:
        """The sentence for an action, for an agent with this item (or -1) in its hand."""
        if action < len(self.words):
            word = self.words[action]
            return f"take {word}" if hand == NOTHING else f"combine {self.words[hand]} with {word}"
        if action == self._verbs.wait:
            return "wait"
        if action >= self._verbs.visit:
            return f"visit agent_{action - self._verbs.visit}"
        verb, first = next((v, start) for v, (start, count) in self._numbered.items() if start <= action < start + count)
        return f"{verb} {action - first + 1}"

    def forms(self) -> str:
        """The kinds of sentences that this box understands, in one line."""
        numbered = [f"{verb} N (1 to {count})" for verb, (_, count) in self._numbered.items() if count]
        visit = ["visit agent_N"] if self._visits else []
        return ", ".join(["take X", "combine X with Y", *numbered, *visit, "wait"])

    def _take(self, word: str, hand: int) -> Said:
        item = self._item.get(word)
        if item is None:
            return self._no_sentence(f"nothing is called {word!r:.30}")
        if hand != NOTHING:
            return self._no_sentence(f"your hand holds {self.words[hand]}: say 'combine {self.words[hand]} with {word}'")
        return Said(item)

    def _combine(self, first: str, second: str, hand: int) -> Said:
        a, b = self._item.get(first), self._item.get(second)
        if a is None or b is None:
            return self._no_sentence(f"nothing is called {first if a is None else second!r:.30}")
        if a == b:
            return self._no_sentence("an experiment needs two different things")
        if hand == NOTHING:
            return Said(a, then=b)
        if hand not in (a, b):
            return self._no_sentence(f"your hand holds {self.words[hand]}: combine that")
        return Said(b if hand == a else a)

    def _number(self, verb: str, number: str) -> Said:
        first, count = self._numbered[verb]
        if not _NUMBER.fullmatch(number) or int(number) > count:
            return self._no_sentence(f"{verb} takes a number from 1 to {count}")
        return Said(first + int(number) - 1)

    def _visit(self, who: str) -> Said:
        match = _AGENT.fullmatch(who)
        if not match or int(match[1]) >= self._visits:
            return self._no_sentence(f"there is no {who!r:.30} to visit")
        return Said(self._verbs.visit + int(match[1]))

    def _no_sentence(self, problem: str) -> Said:
        return Said(self._verbs.wait, problem=problem)


# ------------------------------------------------------------------------------------------------- what is seen
def text_for(
    p: SimpleNamespace,
    state: np.void,
    agent: int,
    sight: np.ndarray,
    words: tuple[str, ...],
    kinds: np.ndarray | None = None,
) -> str:
    """What one agent sees, in words.

    Args:
        p: the parameters of the box.
        state: its state (see `box.box_record`).
        agent: which agent.
        sight: bool [agents], whom it sees.
        words: the name of each item.
        kinds: where the box has a grammar, the hole and the shape of each item, int [items, 2], from 0.
    """
    lines = [*_clock(p, state, agent), *_things(state, agent, words, kinds), *_last_experiment(state, agent, words)]
    if p.agents > 1:
        lines.append(f"In sight: {', '.join(f'agent_{j}' for j in np.flatnonzero(sight)) or 'nobody'}.")
    free = p.free_reading == "yes"
    if p.notes:
        lines += ["Notes:", *_entries(p, state["notes"][agent], p.notes, state["open"][agent], free, "read", words)]
    if p.board:
        lines += ["Board:", *_entries(p, state["board"], p.board, state["looking"][agent], free, "look", words)]
    return "\n".join(lines)


def day_of(p: SimpleNamespace, t: int) -> tuple[int, int, int]:
    """The day that it is after `t` steps, from 1; how many steps of it have gone by; and how many are left of it.

    The last day ends with the trial: no other one begins, and it may be shorter.
    """
    day = min(t, p.horizon - 1) // p.day
    return day + 1, t - day * p.day, min((day + 1) * p.day, p.horizon) - t


def day_in_words(p: SimpleNamespace, t: int) -> str:
    """The day that it is after `t` steps, as a sentence."""
    day, gone, left = day_of(p, t)
    return f"Day {day}, step {gone} of {gone + left}."


def _clock(p: SimpleNamespace, state: np.void, agent: int) -> list[str]:
    t = int(state["t"])
    day = f" {day_in_words(p, t)}" if p.day else ""
    lines = [f"You are agent_{agent}. Step {t} of {p.horizon}.{day}"]
    if state["forgot"][agent]:
        lines.append("You remember nothing but what is written.")
    return lines


def _things(state: np.void, agent: int, words: tuple[str, ...], kinds: np.ndarray | None) -> list[str]:
    held, hand = np.flatnonzero(state["held"][agent] != ABSENT), int(state["hand"][agent])
    things = [words[item] for item in held]
    if kinds is not None:
        things = [f"{words[item]} (hole {kinds[item, 0] + 1}, shape {kinds[item, 1] + 1})" for item in held]
    lines = [f"You have: {', '.join(sorted(things))}."]  # sorted: their places tell levels
    lines.append(f"In your hand: {words[hand]}." if hand != NOTHING else "Your hand is empty.")
    if gained := int(state["gained"][agent]):
        lines.append(f"Things copied from others just now: {gained}.")
    return lines


def _last_experiment(state: np.void, agent: int, words: tuple[str, ...]) -> list[str]:
    a, b = state["tried"][agent].tolist()
    if a == NOTHING:
        return ["You have tried nothing yet."]
    return [f"Your last experiment: {_experiment(a, b, int(state['seemed'][agent]), words)}."]


def _experiment(a: int, b: int, made: int, words: tuple[str, ...]) -> str:
    return f"{words[a]} with {words[b]} makes {words[made] if made != NOTHING else 'nothing'}"


def _entries(
    p: SimpleNamespace, notes: np.ndarray, count: int, is_open: np.ndarray, free: bool, verb: str, words: tuple[str, ...]
) -> list[str]:
    """Entries by pages: those that are open in full, of the others only whether something is written."""
    lines = []
    for page in range(pages_of(p, count)):
        places = range(page * p.page, min(count, (page + 1) * p.page))
        if is_open[page] or free:
            lines += [f"  {k + 1}: {_entry(notes[k], words)}" for k in places]
        else:
            written = ", ".join(str(k + 1) for k in places if notes[k, WHEN] >= 0) or "none"
            which = f"page {page + 1} ({places[0] + 1} to {places[-1] + 1})"
            lines.append(f"  {which} is closed ({verb} {page + 1}); written: {written}")
    return lines


def _entry(note: np.ndarray, words: tuple[str, ...]) -> str:
    if note[WHEN] < 0:
        return "empty"
    return _experiment(int(note[A]), int(note[B]), int(note[MADE]), words)
