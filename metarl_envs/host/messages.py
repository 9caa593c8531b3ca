"""What pages may say: one JSON object a message, checked before anything is done with it."""

from __future__ import annotations

import json
import time
from typing import Any

#: Most bytes of a message, most characters of a sentence and of a token. The longest text that fits into a note of any box is
#: in one of these sentences, and JSON may write two bytes for each of its own.
MOST_BYTES, MOST_IN_A_SENTENCE, MOST_IN_A_TOKEN = 8400, 4120, 100
#: Messages that a page may send at once, and then a second.
BURST, A_SECOND = 40, 20.0

#: By kind, what a message holds beside it: names, and the checks of their values.
_KINDS: dict[str, dict[str, type]] = {
    "enter": {"token": str},
    "agree": {},
    "practise": {},
    "try": {"sentence": str},
    "ready": {},
    "say": {"step": int, "sentence": str},
    "look": {"box": int},
    "begin": {"box": int},
}
_LONGEST = {"token": MOST_IN_A_TOKEN, "sentence": MOST_IN_A_SENTENCE}
_LARGEST = 2**31


class BadMessageError(ValueError):
    """A page said something that no page of this package says: the connection is closed, and told why."""


def read_message(text: Any) -> dict[str, Any]:
    """Return what a page says; `BadMessageError` for anything else than a known kind with exactly what belongs to it."""
    if not isinstance(text, str) or len(text.encode(errors="replace")) > MOST_BYTES:
        raise BadMessageError(f"a message is text of at most {MOST_BYTES} bytes")
    try:
        said = json.loads(text)
    except (ValueError, RecursionError):
        raise BadMessageError("a message is JSON") from None
    holds = _KINDS.get(said["kind"]) if isinstance(said, dict) and isinstance(said.get("kind"), str) else None
    if holds is None:
        raise BadMessageError("a message has a known kind")
    if said.keys() != {"kind", *holds} or not all(_is_allowed(name, said[name], kind) for name, kind in holds.items()):
        raise BadMessageError(f"a message of this kind holds {', '.join(holds) or 'nothing'}, within bounds, and nothing else")
    return said


def _is_allowed(name: str, value: Any, kind: type) -> bool:
    if type(value) is not kind:  # a bool is no integer
        return False
    return 0 <= value < _LARGEST if kind is int else len(value) <= _LONGEST[name]


class Rate:
    """How much a page may still say: `BURST` messages at once, and `A_SECOND` from then on."""

    def __init__(self):
        self._left, self._then = float(BURST), time.monotonic()

    def take(self) -> None:
        """Take one message out of it; `BadMessageError` where none is left."""
        now = time.monotonic()
        self._left, self._then = min(float(BURST), self._left + A_SECOND * (now - self._then)), now
        if self._left < 1:
            raise BadMessageError("too many messages")
        self._left -= 1
