"""What a player says, and the action that it stands for: one sentence, one action, by a strict grammar.

Nothing that is said is ever executed, formatted as markup, or used as a name of anything: it is compared with the sentences
that there are. What is none is no error, but is answered with what would be right.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Literal, NamedTuple, Protocol

import numpy as np
from gymnasium import spaces

#: How much of what was wrong is said back.
_QUOTED = 60
#: Where a long reply is looked through for a sentence: its last lines, and its last characters.
_LAST_LINES, _LAST_CHARACTERS = 50, 10_000
_INTEGER = re.compile(r"[+-]?[0-9]{1,9}", re.ASCII)
_NUMBER = re.compile(r"[+-]?([0-9]{1,30}(\.[0-9]{0,30})?|\.[0-9]{1,30})(e[+-]?[0-9]{1,3})?", re.ASCII)
#: What may stand before a sentence and around it in a lenient reading.
_BEFORE = re.compile(
    r"(?:[-*>#]+\s+|(?:(?:my|the)\s+)?(?:final\s+)?(?:answer|action)\s*(?:is\b\s*[:=]?|[:=])\s*)", re.ASCII | re.IGNORECASE
)
_AROUND = "\"'`*_ \t\u201c\u201d\u2018\u2019"
#: Names of actions that do nothing.
_IDLE = ("stay", "wait")


class Said(NamedTuple):
    """What a sentence means.

    Attributes:
        action: of this step; where the sentence is none, the default action.
        then: that of the next step, where one sentence takes two; else None.
        problem: what was wrong with it, or "".
    """

    action: Any
    then: Any = None
    problem: str = ""


class Sentences(Protocol):
    """The sentences that a player can say now."""

    @property
    def default(self) -> Any:
        """The action of whoever says nothing that is a sentence."""
        ...

    def parse(self, sentence: Any) -> Said:
        """What a sentence means. Anything may be given, and no error is raised."""
        ...

    def say(self, action: Any) -> str:
        """The sentence for an action."""
        ...

    def forms(self) -> str:
        """The kinds of sentences, in one line."""
        ...


#: How a reply was read: as a sentence, as one with something around it, or not at all.
Reading = Literal["strict", "lenient", "malformed"]


def read(sentences: Sentences, reply: Any, *, lenient: bool = False) -> tuple[Said, Reading]:
    """Read a reply: strictly first, then (if asked for) leniently.

    A lenient reading forgives case, a final period, quotes, code fences, list marks and a leading `answer:` or `The answer is`,
    and takes the last line of the reply that is a sentence then.
    """
    strict = sentences.parse(reply)
    if not strict.problem:
        return strict, "strict"
    if lenient and isinstance(reply, str):
        for line in reversed(reply[-_LAST_CHARACTERS:].splitlines()[-_LAST_LINES:]):
            plain = _undressed(line)
            for attempt in dict.fromkeys((plain, plain.lower())):
                if attempt and not (said := sentences.parse(attempt)).problem:
                    return said, "lenient"
    return strict, "malformed"


def _undressed(line: str) -> str:
    """A line without what a lenient reading forgives, but for case."""
    before = None
    while line != before:
        before = line
        line = _BEFORE.sub("", line.strip(_AROUND), count=1) if _BEFORE.match(line.strip(_AROUND)) else line.strip(_AROUND)
        line = line.removesuffix(".").removesuffix("!")
    return " ".join(line.split())


def sentences_of(space: spaces.Space, names: Sequence[str] = ()) -> Sentences:
    """The sentences of an action space; `names` of Discrete actions, one each."""
    if isinstance(space, spaces.Discrete):
        return NamedActions(space, tuple(names) or tuple(f"action {space.start + k}" for k in range(int(space.n))))
    return NumberedActions(space)


class NamedActions:
    """Sentences for Discrete actions: the action's name, or its number."""

    def __init__(self, space: spaces.Discrete, names: tuple[str, ...]):
        self._first, self._names = int(space.start), names
        self._by_name = {name: self._first + k for k, name in enumerate(names)}
        self.default = next((self._by_name[name] for name in _IDLE if name in self._by_name), self._first)

    def parse(self, sentence: Any) -> Said:
        """See `Sentences`."""
        if not isinstance(sentence, str):
            return Said(self.default, problem=f"{_quoted(sentence)} is no text")
        said = sentence.strip()
        if (named := self._by_name.get(said)) is not None:
            return Said(named)
        last = self._first + len(self._names) - 1
        if not _INTEGER.fullmatch(said):
            return Said(self.default, problem=f"{_quoted(sentence)} is no action")
        if not self._first <= int(said) <= last:
            return Said(
                self.default, problem=f"there is no action {_quoted(said)}: they are numbered from {self._first} to {last}"
            )
        return Said(int(said))

    def say(self, action: Any) -> str:
        """See `Sentences`."""
        return self._names[int(action) - self._first]

    def forms(self) -> str:
        """See `Sentences`."""
        last = self._first + len(self._names) - 1
        numbers = f"a number from {self._first} to {last}"
        if self._names[0].rpartition(" ")[2] == str(self._first):  # they are named by their numbers
            return f"'{self._names[0]}' to '{self._names[-1]}', or {numbers} alone"
        named = ", ".join(f"'{name}' ({self._first + k})" for k, name in enumerate(self._names))
        return f"{named}: the word, or the number alone"


class NumberedActions:
    """Sentences for actions that are arrays: their numbers, with a space between them."""

    def __init__(self, space: spaces.Space):
        self._whole = not np.issubdtype(np.dtype(space.dtype), np.floating)  # type: ignore[arg-type]
        if isinstance(space, spaces.Box):
            self._low, self._high = np.ravel(space.low), np.ravel(space.high)
        elif isinstance(space, spaces.MultiDiscrete):
            self._low = np.ravel(np.broadcast_to(space.start, space.nvec.shape))
            self._high = self._low + np.ravel(space.nvec) - 1
        else:
            raise TypeError(f"actions of {space} cannot be said: Discrete, MultiDiscrete and Box can")
        self._shape, self._dtype = space.shape, np.dtype(space.dtype)  # type: ignore[arg-type]
        self.default = self._array(np.clip(np.zeros(len(self._low)), self._low, self._high))

    def parse(self, sentence: Any) -> Said:
        """See `Sentences`."""
        if not isinstance(sentence, str):
            return Said(self.default, problem=f"{_quoted(sentence)} is no text")
        parts, form = sentence.strip().split(" "), _INTEGER if self._whole else _NUMBER
        if len(parts) != len(self._low) or not all(form.fullmatch(part) for part in parts):
            return Said(self.default, problem=f"{_quoted(sentence)} is no action")
        numbers = np.array([int(part) if self._whole else float(part) for part in parts])
        with np.errstate(over="ignore"):
            meant = numbers if self._whole else numbers.astype(self._dtype)  # as 0.7 is meant where the highest is float32(0.7)
        for k in np.flatnonzero(~((meant >= self._low) & (meant <= self._high) & np.isfinite(meant))).tolist():
            within = f"{self._low[k]:g} to {self._high[k]:g}"
            return Said(self.default, problem=f"number {k + 1}, {_quoted(parts[k])}, lies outside of {within}")
        return Said(self._array(meant))

    def say(self, action: Any) -> str:
        """See `Sentences`."""
        if self._whole:
            return " ".join(str(int(number)) for number in np.ravel(action))
        return " ".join(np.format_float_positional(number, unique=True, trim="-") for number in np.ravel(action))

    def forms(self) -> str:
        """See `Sentences`."""
        kind = "whole number" if self._whole else "number"
        ranges = [f"{low:g} to {high:g}" for low, high in zip(self._low, self._high, strict=True)]
        if len(ranges) == 1:
            return f"one {kind} from {ranges[0]}, such as '{self.say(self.default)}'"
        each = ranges[0] if len(set(ranges)) == 1 else ", ".join(ranges)
        return f"{len(ranges)} {kind}s with a space between them (each from {each}), such as '{self.say(self.default)}'"

    def _array(self, numbers: np.ndarray) -> np.ndarray:
        return numbers.astype(self._dtype).reshape(self._shape)


def _quoted(said: Any) -> str:
    """What was said, as far as it is said back."""
    if isinstance(said, str):
        return repr(said[:_QUOTED]) + ("..." if len(said) > _QUOTED else "")
    return f"{type(said).__name__}"
