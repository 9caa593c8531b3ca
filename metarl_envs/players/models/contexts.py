"""What a language model is shown of what went before: named policies, which the record of a run tells."""

from __future__ import annotations

import re
from typing import NamedTuple

#: How much of one reply is shown to the model again, and how long its own notes may be, in characters.
_KEPT, NOTES = 4000, 1000
_WINDOW = re.compile(r"window\(([1-9][0-9]{0,5})\)", re.ASCII)
_TAKE_NOTES = (
    "You will see nothing of what went before but your notes. To replace them, put a line before your sentence that begins "
    f"with 'notes:' (at most {NOTES} characters)."
)
_REFLECT = (
    f"An episode is over. Write a note to yourself for the next ones (at most {NOTES} characters); all else is forgotten."
)
#: How a line begins that states the best action.
_BEST = "best:"
_STATE_BEST = (
    f"Before your sentence, put a line that begins with '{_BEST}' and names the action that you believe to pay most in the "
    "mean. It need not be the one that you take."
)

Message = dict[str, str]


class Context(NamedTuple):
    """A policy of what is kept.

    Attributes:
        name: `"whole"`: all since memory was reset; `"window(n)"`: the last n turns; `"notes"`: nothing but notes of its own;
            `"reflect"`: the episode, and a note that it writes to itself at the end of each.
        turns: how many turns are shown; None for all.
    """

    name: str
    turns: int | None

    @classmethod
    def named(cls, name: str) -> Context:
        """Return the policy of a name; ValueError where there is none."""
        if isinstance(name, str) and (window := _WINDOW.fullmatch(name)):
            return cls(name, int(window[1]))
        if name not in ("whole", "notes", "reflect"):
            raise ValueError(f"context={name!r} must be 'whole', 'window(n)' such as 'window(10)', 'notes' or 'reflect'")
        return cls(name, 0 if name == "notes" else None)

    @property
    def takes_notes(self) -> bool:
        """Whether replies may hold notes."""
        return self.name == "notes"

    @property
    def reflects(self) -> bool:
        """Whether it writes a note between episodes."""
        return self.name == "reflect"


class Memory:
    """What one conversation keeps. It is made anew whenever memory is reset, and then holds nothing."""

    def __init__(self, context: Context):
        self._context = context
        self._turns: list[tuple[str, str]] = []
        self._notes = ""

    def messages(self, rules: str, now: str) -> list[Message]:
        """All that is sent to be answered now."""
        context = self._context
        rules = f"{rules}\n{_TAKE_NOTES}" if context.takes_notes else rules
        shown = self._turns if context.turns is None else self._turns[len(self._turns) - context.turns :]
        if context.turns == 0:
            shown = []
        messages = [_message("system", rules)]
        for asked, answered in shown:
            messages += [_message("user", asked), _message("assistant", answered)]
        notes = f"Your notes: {self._notes or 'none'}\n\n" if context.takes_notes or self._notes else ""
        return [*messages, _message("user", notes + now)]

    def add(self, asked: str, answered: str) -> None:
        """Keep a turn."""
        self._turns.append((asked, answered[-_KEPT:]))

    def questions_to_reflect(self, rules: str) -> list[Message] | None:
        """Return what is sent between two episodes; None where nothing is to be thought over."""
        if not self._context.reflects or not self._turns:
            return None
        return self.messages(rules, _REFLECT)

    def reflect(self, note: str) -> None:
        """Begin the next episode with a note to itself, and nothing else."""
        self._turns, self._notes = [], note[:NOTES]

    def without_notes(self, reply: str) -> str:
        """Return a reply without the notes in it, which replace those of before."""
        if not self._context.takes_notes:
            return reply
        lines, left = reply[-_KEPT:].splitlines(), []
        for line in lines:
            if line.lower().startswith("notes:"):
                self._notes = line[len("notes:") :].strip()[:NOTES]
            else:
                left.append(line)
        return "\n".join(left).strip()


def ask_for_best(rules: str) -> str:
    """Return rules that also ask a player to state which action is the best, for `evaluation.knowing`."""
    return f"{rules}\n{_STATE_BEST}"


def stated_best(reply: str) -> tuple[str | None, str]:
    """Return what a reply states to be the best action, if it does (the last one counts), and the reply without it."""
    stated, left = None, []
    for line in reply[-_KEPT:].splitlines():
        if (plain := line.strip("*_ \t")).lower().startswith(_BEST):
            stated = plain[len(_BEST) :].strip("*_ \t")
        else:
            left.append(line)
    return stated, "\n".join(left).strip()


def said_back(answered: str, problem: str) -> list[Message]:
    """Return what is added where a reply was no sentence."""
    return [_message("assistant", answered[-_KEPT:]), _message("user", problem)]


def _message(role: str, content: str) -> Message:
    return {"role": role, "content": content}
