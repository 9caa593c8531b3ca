"""The transcript of language models, or of people: every question and reply as a line of JSON, written as soon as it is there.

What was answered is not asked again: a run that was killed is played again from its beginning, with the replies that are
written. A question is known by its key (the seed of the life, the seat, the step, the attempt) and a digest of what was asked.
"""

from __future__ import annotations

import hashlib
import json
import os
import threading
from pathlib import Path
from typing import Any, NamedTuple

from metarl_envs.files import written_aside
from metarl_envs.players.models.client import Reply

FORMAT = "metarl_envs transcript 1"
#: The seed of the life, the seat, the step, and the attempt in that step.
Key = tuple[int, int, int, int]


class Answered(NamedTuple):
    """A reply that is written already: what was asked, as a digest, and what came of it."""

    digest: str
    reply: Reply


class Transcript:
    """A file of questions and replies; or nothing but a memory of them, where there is no path.

    Args:
        path: of the file.
        about: who is asked, and how; what is resumed must have been asked the same.
        resume: go on with the file that is there.
        synced: wait with each line until it has reached the disk, so that not even a power cut loses one.

    Raises:
        FileExistsError: the file is there, and is not to be resumed.
        ValueError: it is no transcript, or one of another model or of other settings.
    """

    def __init__(self, path: str | os.PathLike | None, about: dict[str, Any], resume: bool, synced: bool = False):
        self._synced = synced
        self._path, self._lock, self._file = None if path is None else Path(path), threading.Lock(), None
        self._answered: dict[Key, Answered] = {}
        self._last: dict[tuple[int, int], list[dict[str, str]]] = {}
        if self._path is None:
            return
        there = self._path.exists() and self._path.stat().st_size > 0
        if there and not resume:
            raise FileExistsError(
                f"{self._path} is there already: give another place, or resume=True (--resume) to go on with it"
            )
        self._path.parent.mkdir(parents=True, exist_ok=True)
        if there:
            self._read(about)
        self._file = open(self._path, "a", encoding="utf-8", newline="\n")  # noqa: SIM115 (open for a whole run)
        if not there or not self._file.tell():
            self._write({"format": FORMAT, **about})

    def answered(self, key: Key, digest: str) -> Reply | None:
        """Return the reply to a question, if it is written; ValueError where what is written answers another one."""
        answered = self._answered.get(key)
        if answered is not None and answered.digest != digest:
            raise ValueError(
                "the transcript answers another question at this place: resume with the same box, parameters and players, "
                "or begin anew with another transcript (under a control a model needs a record of its own: see written_to)"
            )
        return answered and answered.reply

    def __len__(self) -> int:
        return len(self._answered)

    def replies(self) -> list[Reply]:
        """All replies that are written."""
        return [answered.reply for answered in self._answered.values()]

    def add(self, key: Key, messages: list[dict[str, str]], digest: str, reply: Reply) -> None:
        """Write a question, its digest and its reply, and see to it that a kill leaves it whole."""
        with self._lock:
            before = self._last.get(key[:2], [])
            same = next(
                (i for i, (old, new) in enumerate(zip(before, messages, strict=False)) if old != new),
                min(len(before), len(messages)),
            )
            self._last[key[:2]] = messages
            self._answered[key] = Answered(digest, reply)
            entry = {"key": list(key), "digest": digest, "kept": same, "asked": messages[same:], **reply._asdict()}
            self._write(entry)

    def close(self, whole: bool) -> None:
        """Close the file. Of a whole run its lines are put in the order of lives, seats and steps, however replies came in."""
        if self._file is None or self._path is None:
            return
        self._file.close()
        self._file = None
        if whole:
            head, *lines = self._path.read_text(encoding="utf-8").splitlines(keepends=True)
            keyed = sorted((json.loads(line)["key"], line) for line in lines)
            with written_aside(self._path) as [aside]:
                aside.write_text(head + "".join(line for _, line in keyed), encoding="utf-8")

    def _write(self, entry: dict[str, Any]) -> None:
        if self._file is not None:
            self._file.write(json.dumps(entry) + "\n")
            self._file.flush()
            if self._synced:
                os.fsync(self._file.fileno())

    def _read(self, about: dict[str, Any]) -> None:
        """Read what is there; a last line that was cut short is cut off."""
        assert self._path is not None
        content = self._path.read_bytes()
        whole = content.rfind(b"\n") + 1
        if whole < len(content):
            with open(self._path, "r+b") as file:
                file.truncate(whole)
        if not whole:  # not even its first line was written
            return
        for number, line in enumerate(content[:whole].splitlines(), 1):
            try:
                entry = json.loads(line)
                if number == 1:
                    self._check(entry, about)
                else:
                    key, answered = _entry_of(entry)
                    self._answered[key] = answered
            except (ValueError, LookupError, TypeError, RecursionError) as error:
                raise ValueError(f"{self._path} cannot be resumed: line {number}: {error}") from None

    def _check(self, entry: Any, about: dict[str, Any]) -> None:
        if not isinstance(entry, dict) or entry.get("format") != FORMAT:
            raise ValueError(f"it is no transcript that this version reads ({FORMAT!r})")
        if differ := sorted(name for name, value in about.items() if entry.get(name) != value):
            told = ", ".join(f"{name} was {entry.get(name)!r:.80} and is {about[name]!r:.80}" for name in differ)
            raise ValueError(f"it was asked otherwise: {told}")


def last_replies(path: str | os.PathLike) -> dict[tuple[int, int, int], str]:
    """Return, of each step in a transcript, the reply that was taken for the answer: by seed of the life, seat, and step.

    Raises:
        ValueError: the file is no transcript.
    """
    found: dict[tuple[int, int, int], tuple[int, str]] = {}
    try:
        head, *lines = Path(path).read_text(encoding="utf-8").splitlines()
        if (form := json.loads(head)["format"]) != FORMAT:
            raise ValueError(f"it has the format {form!r:.80}")
        for line in lines:
            key, answered = _entry_of(json.loads(line))
            place, attempt = key[:3], key[3]
            if attempt >= found.get(place, (0, ""))[0]:  # below 0 it is a note between two episodes
                found[place] = attempt, answered.reply.text
    except (ValueError, LookupError, TypeError, RecursionError) as error:
        raise ValueError(f"{path} is no transcript that this version reads ({FORMAT!r}): {error}") from None
    return {place: text for place, (_, text) in found.items()}


def digest_of(messages: list[dict[str, str]]) -> str:
    """32 hex digits of what was asked."""
    return hashlib.sha256(json.dumps(messages).encode()).hexdigest()[:32]


def _entry_of(entry: Any) -> tuple[Key, Answered]:
    """What a line says; ValueError, LookupError or TypeError where it is none."""
    seed, seat, step, attempt = entry["key"]
    texts, counts = (entry["digest"], entry["text"]), (seed, seat, step, attempt, entry["tries"])
    tokens = entry["prompt_tokens"], entry["reply_tokens"]
    if not all(isinstance(text, str) for text in texts) or not all(isinstance(count, int) for count in counts):
        raise ValueError("it is no question and reply")
    if not all(isinstance(count, int | None) for count in tokens):
        raise ValueError("it counts tokens otherwise than by integers")
    reply = Reply(entry["text"], *tokens, float(entry["seconds"]), entry["tries"])
    return (seed, seat, step, attempt), Answered(entry["digest"], reply)
