"""A box in words: what an agent sees as text, and one strict grammar of sentences for what it does.

Every item has a nonce word, drawn anew for each box (and, with `relabel="dawn"`, each day), so that no recipe can be known by
heart and no word tells a level or a lineage. A sentence is one of these, in small letters, with single spaces, and nothing
else:

* `take flim`: into the empty hand;
* `combine flim with dorp`: the experiment. With an empty hand it takes two steps, `flim` and then `dorp`; where the hand
  holds one of the two, one step;
* `note 3`, `erase 3`: write the last experiment into note 3, or empty it; `read 1`: open page 1 of the notes;
* `post 2`: write the last experiment on place 2 of the board; `look 1`: open page 1 of the board;
* `visit agent_2`; `wait`;
* where there are hazards, `force dorp`: the experiment by force, with what is in the hand; `steal agent_2`; `give agent_2` and
  `publish`: what is in the hand; `sabotage 2`: spoil place 2 of the board;
* where symbols are written (`notation="symbols"`), `note 3` and `post 2` begin an entry anew, and `put 5` writes symbol 5
  there; where text is (`notation="text"`), `note 3: any words` and `post 2: any words` write it;
* where there are claims, `claim 2`: claim the last experiment at place 2 of the board; `replicate 2`, `cite 2`, `retract 2`:
  what is claimed there.

Notes, places and pages count from 1. What is no sentence is WAIT, with a message; it is counted, and never an error.
"""

from __future__ import annotations

import functools
import hashlib
import re
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np

from metarl_envs.boxes.view.numbers import numbers_of
from metarl_envs.boxes.world.claims import has_claims, is_claim
from metarl_envs.boxes.world.core import ABSENT, TAKE, pay_in_words
from metarl_envs.boxes.world.days import days_in
from metarl_envs.boxes.world.mechanisms import MECHANISMS, table_of, used_in, verbs_of
from metarl_envs.boxes.world.notes import BOOKS, MADE, NOTICEBOARD, WHEN, A, B, Book, pages_of
from metarl_envs.boxes.world.texts import are_texts, number_and_text, renamed, shown, text_problem, with_bytes
from metarl_envs.boxes.world.topology import TOPOLOGY
from metarl_envs.boxes.world.tree import NOTHING, items_of, levels_of, lineages_of
from metarl_envs.boxes.world.verbs import Verb
from metarl_envs.engine import Row
from metarl_envs.engine.compiling.kernels import plain
from metarl_envs.engine.sentences import Said
from metarl_envs.players.told import Wording, rules_in_words

#: Words that mean something else than an item.
_RESERVED = frozenset({"combine", "with", "nothing", "empty", *(verb.word for verb in table_of(MECHANISMS))})
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


def words_in(p: SimpleNamespace, state: Any) -> tuple[str, ...]:
    """What each item is called in a box now: always the same, or, with `relabel="dawn"`, what nothing was called before."""
    return words_at(p, state, int(state["t"]))


def words_at(p: SimpleNamespace, state: Any, t: int) -> tuple[str, ...]:
    """What each item is called in a box after `t` steps: see `words_in`."""
    items, key = items_of(p), int(state["words"])
    if p.relabel == "never":
        return words_for(items, key)
    gone = items * (day_of(p, t)[0] - 1)
    return words_for(items * days_in(p), key)[gone : gone + items]


class Grammar:
    """Sentences of a box, and the actions that they stand for.

    Args:
        p: the parameters of the box.
        words: the name of each item.
    """

    def __init__(self, p: SimpleNamespace, words: tuple[str, ...]):
        self.words = words
        self._item_of = {word: item for item, word in enumerate(words)}
        self._p, self._verbs = p, verbs_of(p)
        self._by_word = {verb.word: verb for verb in self._verbs}

    def parse(self, sentence: Any, hand: int) -> Said:
        """What a sentence means for an agent with this item (or -1) in its hand. Anything may be given; see `Said`."""
        if not isinstance(sentence, str):
            return self._no_sentence(f"{sentence!r:.60} is no text")
        if (word := sentence.lstrip().partition(" ")[0]) in self._by_word and "{text}" in self._by_word[word].sentence:
            return self._write(self._by_word[word], sentence.strip())
        said = sentence.strip().split(" ")
        if len(said) == 4 and said[0] == "combine" and said[2] == "with":
            return self._combine(said[1], said[3], hand)
        verb = self._by_word.get(said[0])
        if verb is None or len(said) != len(verb.sentence.split()):
            return self._no_sentence(f"{sentence!r:.60} is no sentence")
        match verb.sentence.split()[1:]:
            case []:
                return self._does(self._verbs.first[verb.name])
            case ["{item}"]:
                return self._take(said[1], hand) if verb is TAKE else self._item(verb, said[1])
            case ["{place}"]:
                return self._number(verb, said[1])
            case ["{agent}"]:
                return self._agent(verb, said[1])
        raise NotImplementedError(f"the grammar knows no sentence of the form {verb.sentence!r}")

    def say(self, action: Any, hand: int) -> str:
        """The sentence for an action, or for the number of one, for an agent with this item (or -1) in its hand."""
        action, text = number_and_text(action)
        verb, k = self._verbs.find(action)
        if action < len(self.words) and hand != NOTHING:
            return f"combine {self.words[hand]} with {self.words[action]}"
        item = self.words[k] if k < len(self.words) else ""
        return verb.sentence.format(place=k + 1, agent=f"agent_{k}", item=item, text=text)

    def in_hand(self, hand: int) -> InHand:
        """The sentences of an agent with this item (or -1) in its hand."""
        return InHand(self, hand)

    @property
    def wait(self) -> Any:
        """The action of whoever says nothing."""
        return self._action(self._verbs.wait)

    def forms(self) -> str:
        """The kinds of sentences that this box understands, in one line."""
        with_slot = [verb for verb in self._verbs if "{" in verb.sentence]
        bare = [verb.sentence for verb in self._verbs if "{" not in verb.sentence]
        return ", ".join(form for verb in with_slot for form in self._forms_of(verb)) + ", " + ", ".join(bare)

    def _forms_of(self, verb: Verb) -> list[str]:
        """How a sentence is shown to whoever has to learn it."""
        count = self._verbs.counts[verb.name]
        form = verb.sentence.format(item="X", place=f"N (1 to {count})", agent="agent_N", text="TEXT")
        return [form, "combine X with Y"] if verb is TAKE else [form]

    def _item(self, verb: Verb, word: str) -> Said:
        if word not in self._item_of:
            return self._no_sentence(f"nothing is called {word!r:.30}")
        return self._does(self._verbs.first[verb.name] + self._item_of[word])

    def _take(self, word: str, hand: int) -> Said:
        item = self._item_of.get(word)
        if item is None:
            return self._no_sentence(f"nothing is called {word!r:.30}")
        if hand != NOTHING:
            return self._no_sentence(f"your hand holds {self.words[hand]}: say 'combine {self.words[hand]} with {word}'")
        return self._does(item)

    def _combine(self, first: str, second: str, hand: int) -> Said:
        a, b = self._item_of.get(first), self._item_of.get(second)
        if a is None or b is None:
            return self._no_sentence(f"nothing is called {first if a is None else second!r:.30}")
        if a == b:
            return self._no_sentence("an experiment needs two different things")
        if hand == NOTHING:
            return Said(self._action(a), then=self._action(b))
        if hand not in (a, b):
            return self._no_sentence(f"your hand holds {self.words[hand]}: combine that")
        return self._does(b if hand == a else a)

    def _number(self, verb: Verb, number: str) -> Said:
        count = self._verbs.counts[verb.name]
        if not _NUMBER.fullmatch(number) or int(number) > count:
            return self._no_sentence(f"{verb.word} takes a number from 1 to {count}")
        return self._does(self._verbs.first[verb.name] + int(number) - 1)

    def _write(self, verb: Verb, sentence: str) -> Said:
        """`note 3: any words`."""
        number, colon, text = sentence.removeprefix(verb.word).removeprefix(" ").partition(": ")
        if not colon:
            return self._no_sentence(f"say '{verb.word} N: ' and what to write")
        if (said := self._number(verb, number)).problem:
            return said
        if problem := text_problem(self._p, text):
            return self._no_sentence(problem)
        return Said(self._action(number_and_text(said.action)[0], text))

    def _agent(self, verb: Verb, who: str) -> Said:
        match = _AGENT.fullmatch(who)
        if not match or int(match[1]) >= self._verbs.counts[verb.name]:
            return self._no_sentence(f"there is no {who!r:.30} to {verb.word}")
        return self._does(self._verbs.first[verb.name] + int(match[1]))

    def _does(self, number: int) -> Said:
        return Said(self._action(number))

    def _action(self, number: int, text: str = "") -> Any:
        """An action as the box has it: its number, or, where text is written, an array of that and the bytes of the text."""
        return with_bytes(self._p, number, text.encode()) if are_texts(self._p) else number

    def _no_sentence(self, problem: str) -> Said:
        return Said(self.wait, problem=problem)


class InHand:
    """The sentences of one agent now, as `metarl_envs.engine.sentences.Sentences` has them."""

    def __init__(self, grammar: Grammar, hand: int):
        self._grammar, self._hand, self.default = grammar, hand, grammar.wait

    def parse(self, sentence: Any) -> Said:
        """What a sentence means."""
        return self._grammar.parse(sentence, self._hand)

    def say(self, action: Any) -> str:
        """The sentence for an action."""
        return self._grammar.say(action, self._hand)

    def forms(self) -> str:
        """The kinds of sentences that this box understands, in one line."""
        return self._grammar.forms()


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
        state: its state (see `world.state.box_record`).
        agent: which agent.
        sight: bool [agents], whom it sees.
        words: the name of each item.
        kinds: where the box has a grammar, the hole and the shape of each item, int [items, 2], from 0.
    """
    lines = [*_clock(p, state, agent), *_things(state, agent, words, kinds), *_last_experiment(state, agent, words)]
    lines += _pay(state, agent)
    if p.agents > 1:
        lines.append(f"In sight: {', '.join(f'agent_{j}' for j in np.flatnonzero(sight)) or 'nobody'}.")
    for mechanism in used_in(p):
        lines += mechanism.told(p, Row(state), agent) if mechanism.told else []
    for book in BOOKS:
        if getattr(p, book.size):
            lines += [f"{book.title}:", *_entries(p, book, Row(state), agent, words)]
    return "\n".join(lines)


def observation_in_words(p: SimpleNamespace, state: Any, task: Any, agent: int, seen: np.ndarray) -> str:
    """What one agent observes, in words: `text_for` with the words of this box. `seen` are the numbers of its observation."""
    kinds = np.stack([task["hole"], task["shape"]], axis=1).astype(int) if p.structure == "grammar" else None
    sight = seen[numbers_of(p, TOPOLOGY)] > 0
    return text_for(p, state, agent, sight, words_in(p, state), kinds)


class Teller:
    """Tells the agents of a box what they are told in words, and how they can answer.

    Args:
        p: the parameters of the box.
        words: what its items are called now (see `words_in`).
    """

    def __init__(self, p: SimpleNamespace, words: tuple[str, ...]):
        self._p, self._grammar = p, Grammar(p, words)
        self.rules = rules_in_words(instructions_of(p), self._grammar.forms(), steps=p.horizon, episodes=1)

    def tell(self, state: Any, task: Any, agent: int, seen: np.ndarray) -> Wording:
        """What one agent is told: see `observation_in_words`."""
        sentences = self._grammar.in_hand(int(state["hand"][agent]))
        return Wording(self.rules, observation_in_words(self._p, state, task, agent, seen), sentences)


def sentences_of_agent(p: SimpleNamespace, state: Any, agent: int) -> InHand:
    """The sentences of one agent in a box now."""
    return Grammar(p, words_in(p, state)).in_hand(int(state["hand"][agent]))


def instructions_of(p: SimpleNamespace) -> str:
    """What there is to do in a box, for people and language models alike."""
    core = f"Combine two things: some pairs make something new{_pay_of_makers(p)}."
    rules = [mechanism.rules(p) for mechanism in used_in(p) if mechanism.rules]
    return " ".join([core, *filter(None, rules)])


def _pay_of_makers(p: SimpleNamespace) -> str:
    """What is paid to whoever makes something new, as the end of a sentence."""
    if has_claims(p) and p.selection in ("seems_right", "approval"):
        return ", which pays nothing by itself"
    part = f"{1 - p.mix:g} times " if has_claims(p) and p.selection == "mix" else ""
    return f", which pays {part}{pay_in_words(p)}"


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
    return [f"Your last experiment: {experiment(a, b, int(state['seemed'][agent]), words)}."]


def _pay(state: np.void, agent: int) -> list[str]:
    """What the last step paid; nothing of before a memory reset."""
    paid = 0.0 if state["forgot"][agent] else float(state["reward"][agent])
    return [f"Your last step paid {paid:g}."] if paid else []


def experiment(a: int, b: int, made: int, words: Sequence[str]) -> str:
    """An experiment in words: `flim with dorp makes kadat`."""
    return f"{words[a]} with {words[b]} makes {words[made] if made != NOTHING else 'nothing'}"


def _entries(p: SimpleNamespace, book: Book, state: Row, agent: int, words: tuple[str, ...]) -> list[str]:
    """Entries by pages: those that are open in full, of the others only whether something is written."""
    lines, entries, closed = [], book.entries(p, state, agent), book.closed(p, state, agent)
    for page in range(pages_of(p, len(entries))):
        places = range(page * p.page, min(len(entries), (page + 1) * p.page))
        if page not in closed:
            claimed = book is NOTICEBOARD and has_claims(p)
            lines += [
                f"  {k + 1}: {entry_in_words(p, book, state, agent, k, words)}{_claim(state, agent, k) if claimed else ''}"
                for k in places
            ]
        else:
            written = ", ".join(str(k + 1) for k in places if entries[k, WHEN] >= 0) or "none"
            which = f"page {page + 1} ({places[0] + 1} to {places[-1] + 1})"
            lines.append(f"  {which} is closed ({book.read.sentence.format(place=page + 1)}); written: {written}")
    return lines


def entry_in_words(p: SimpleNamespace, book: Book, state: Row, agent: int, k: int, words: Sequence[str]) -> str:
    """What stands in entry k of a book that an agent has: an experiment, the numbers of symbols from 1, or text in quotes."""
    note = book.entries(p, state, agent)[k]
    if note[WHEN] < 0:
        return "empty"
    if p.notation == "event":
        return experiment(int(note[A]), int(note[B]), int(note[MADE]), words)
    content = book.bytes_at(p, state, agent, k)
    if p.notation == "symbols":
        return " ".join(str(symbol + 1) for symbol in content) or "blank"
    return f'"{text_today(p, state._row, content, int(note[WHEN]))}"'


def text_today(p: SimpleNamespace, state: Any, content: bytes, when: int) -> str:
    """A text that was written after `when` steps, as it is shown now: in today's names of things."""
    text = shown(content)
    if p.relabel == "never":
        return text
    return renamed(text, dict(zip(words_at(p, state, when), words_in(p, state), strict=True)))


def _claim(state: Row, agent: int, k: int) -> str:
    """Who claims an entry of the board, and what is attached to it; of what is only posted nothing."""
    if not plain(is_claim)(state, k):
        return ""
    author = "your claim" if state.author[k] == agent else f"claimed by {author_of(state, k)}"
    return f" ({author}; {record_of(state, k)})"


def author_of(state: Row, k: int) -> str:
    """Who claims an entry of the board."""
    return f"agent_{state.author[k]}" if state.author[k] != NOTHING else "one who is dead"


def record_of(state: Row, k: int) -> str:
    """What is attached to a claim, in words."""
    return f"confirmed {state.confirmed[k]}, refuted {state.refuted[k]}, cited {state.cited[k]}"


def names_of(p: SimpleNamespace, state: Any) -> list[str]:
    """What the items of a box are called among those who watch: its word for each, with lineage and level: `kadat (A1)`."""
    words, lineages = words_in(p, state), lineages_of(p)
    return [f"{word} ({chr(ord('A') + i)}{d})" for word, i, d in zip(words, lineages, levels_of(p), strict=True)]
