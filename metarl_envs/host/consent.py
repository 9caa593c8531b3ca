"""Who has consented to taking part, and when: a file beside the transcripts, with a line for each place.

A line names the place (box, seat, and day where each has another person) and the time, and nothing else of whoever sits there.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from metarl_envs.host.room import Place

FORMAT = "metarl_envs consents 1"
#: What the file is called in the folder of a run.
NAME = "consents.jsonl"


class Consents:
    """Who has consented, by place. Where there is no text, nobody need.

    Args:
        text: what is consented to; None where nothing is asked.
        folder: of the run. The file is made when the first person consents.
        places: that there are.
        resume: go on with the file that is there.

    Attributes:
        when: by place, the time of consent in UTC, to the second, such as `2026-05-01T09:30:00Z`.

    Raises:
        FileExistsError: the file is there, and is not to be resumed.
        ValueError: it is no such file, or one of another text or of other places.
    """

    def __init__(self, text: str | None, folder: Path, places: Sequence[Place], resume: bool):
        self._text, self._path, self._places = text, folder / NAME, frozenset(places)
        self.when: dict[Place, str] = {}
        if text is None or not self._path.exists():
            return
        if not resume:
            raise FileExistsError(
                f"{self._path} is there already: give another folder, or resume=True (--resume) to go on with it"
            )
        self._read()

    def needed(self, place: Place) -> bool:
        """Return whether whoever sits there has yet to consent."""
        return self._text is not None and place not in self.when

    def give(self, place: Place) -> None:
        """Write down that whoever sits there consents now; the first time counts. It has reached the disk on return."""
        if not self.needed(place):
            return
        when = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with open(self._path, "a", encoding="utf-8", newline="\n") as file:
            if not file.tell():
                file.write(json.dumps({"format": FORMAT, "text": self._text}) + "\n")
            file.write(json.dumps({**place._asdict(), "when": when}) + "\n")
            file.flush()
            os.fsync(file.fileno())
        self.when[place] = when

    def _read(self) -> None:
        """Read what is there; a last line that was cut short is cut off."""
        content = self._path.read_bytes()
        whole = content.rfind(b"\n") + 1
        if whole < len(content):
            os.truncate(self._path, whole)
        for number, line in enumerate(content[:whole].splitlines(), 1):
            try:
                said = json.loads(line)
                if number == 1:
                    self._check_head(said)
                else:
                    place, when = Place(said["box"], said["seat"], said["day"]), said["when"]
                    if place not in self._places or not isinstance(when, str):
                        raise ValueError("it is no consent of a place of this run")
                    self.when[place] = when
            except (ValueError, LookupError, TypeError, RecursionError) as error:
                raise ValueError(f"{self._path} cannot be resumed: line {number}: {error}") from None

    def _check_head(self, said: dict) -> None:
        if said["format"] != FORMAT:
            raise ValueError(f"it is no file of consents that this version reads ({FORMAT!r})")
        if said["text"] != self._text:
            raise ValueError("another text was consented to")
