"""A run with people in it: links, a web page, and the boxes behind it, from the beginning to the end."""

from __future__ import annotations

import functools
import hashlib
import ipaddress
import os
import re
import socket
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from metarl_envs.arguments import as_integer, as_seed, at_least_one, row_seeds
from metarl_envs.boxes.players.table import Boxes
from metarl_envs.boxes.scenarios import box_named
from metarl_envs.boxes.study.runs import run, who_sits_where
from metarl_envs.host import links as kept
from metarl_envs.host.consent import Consents
from metarl_envs.host.practice import Practice
from metarl_envs.host.room import Place, Room, RoomClosedError
from metarl_envs.host.spectacle import Spectacle
from metarl_envs.players import People, PlayerError, Question, Run
from metarl_envs.task_sets import DEFAULT_SPLIT, tasks_of

#: Who sits where a person is to sit.
PERSON = "person"
#: Most characters of a consent text.
MOST_CONSENT = 50_000
_NAME = re.compile(r"((?P<scheme>https?)://)?(?P<host>([a-z0-9.-]{1,253}|\[[0-9a-f:]{2,45}\])(:[0-9]{1,5})?)/?", re.ASCII)


def host(
    box: str,
    seats: Mapping[Any, Any],
    out: str | os.PathLike,
    *,
    boxes: int = 1,
    seed: int = 0,
    split: str | None = DEFAULT_SPLIT,
    address: str = "127.0.0.1",
    port: int = 0,
    names: Sequence[str] = (),
    seconds: float = 30.0,
    relay: Literal["days"] | None = None,
    consent: str | None = None,
    practice: int = 8,
    lobby: float | None = None,
    linger: float = 30.0,
    resume: bool = False,
    concurrency: int | None = None,
    say: Callable[[str], None] = print,
    **params: Any,
) -> Run:
    """Play boxes with people in some seats, who come by links to a page in their browser; return when all boxes are over.

    Args:
        box: the name of a box.
        seats: as in `metarl_envs.boxes.run`, and `"person"` for people.
        out: the folder of the run.
        boxes: how many, each with people of its own.
        seed: of the first box.
        split: of the tasks, as in `metarl_envs.boxes.run`.
        address: where it listens: this machine alone, as long as nobody says otherwise.
        port: 0: any that is free, or when a run is resumed the same as before.
        names: what else a browser calls it, such as `https://study.example.org` or `lab-7:8000`; links have the first.
        seconds: for one step; whoever has not answered by then waits, which is counted.
        relay: `"days"`: each day of a box another person takes the seat, by a link of its own.
        consent: what is to be agreed to before anything else. Who agreed, and when, is written to `consents.jsonl` in `out`.
        practice: steps of practice before it begins, in a box of the same kind in which other things are hidden; 0: none.
        lobby: seconds that a box waits for those who are missing before it begins; None: until all are there.
        linger: seconds for which the page is still there when all is over.
        resume: go on with what is in `out`, by the same links.
        concurrency: of language models.
        say: told the links, once, and what else there is to be known.
        **params: parameters of the box.

    Raises:
        ValueError, TypeError: an argument is none of these; see `metarl_envs.boxes.run`.
        FileExistsError: there is a run in `out`, and it is not to be resumed.
        PlayerError: a player failed, or the host was closed before the end. What was played until then is in the folder.
    """
    if not 0 <= linger <= 604_800:
        raise ValueError(f"linger={linger!r} must be from 0 to 604800 seconds")
    session = _Session(box, seats, Path(out), at_least_one("boxes", boxes), as_seed(seed), split, params)
    session.see_what_is_asked(seconds, relay, consent, as_integer("practice", practice), lobby, resume)
    return session.play(address, as_integer("port", port), names, linger, concurrency, say)


class _Session:
    """One run with people in it."""

    def __init__(self, box: str, seats: Mapping[Any, Any], out: Path, boxes: int, seed: int, split: str | None, params: dict):
        self._box, self._out, self._seed, self._boxes = box, out, seed, boxes
        self._split, self._params = split, params
        self._variant = tasks_of(box_named(box), None, split, None, params).variant
        self._given, self._seeds = seats, row_seeds(seed, boxes).tolist()
        self._over = threading.Event()
        self._done: Run | BaseException | None = None

    def see_what_is_asked(
        self, seconds: float, relay: str | None, consent: str | None, practice: int, lobby: float | None, resume: bool
    ) -> None:
        """Check how people are asked, and give everybody a link."""
        p = self._variant.p
        if not 0.01 <= seconds <= 86_400:
            raise ValueError(f"seconds={seconds!r} must be from 0.01 to 86400: how long a step may take")
        if relay not in (None, "days") or (relay and not p.day):
            raise ValueError(f"relay={relay!r} must be 'days', in a box that has some (day=60 or so), or None")
        if lobby is not None and not 0 <= lobby <= 604_800:
            raise ValueError(f"lobby={lobby!r} must be from 0 to 604800 seconds, or None")
        if consent is not None and not 0 < len(consent) <= MOST_CONSENT:
            raise ValueError(f"consent has {len(consent)} characters: give from 1 to {MOST_CONSENT}")
        digest = consent and hashlib.sha256(consent.encode()).hexdigest()[:16]
        about = {"seconds": float(seconds), "relay": relay, "consent": digest}
        self._people = People(self._ask, self._boxes * p.agents, about, self._recall, self._give_up)
        self._seats = {where: self._people if _is_person(who) else who for where, who in self._given.items()}
        chosen = who_sits_where(self._seats, self._variant)
        own = [i for i, who in enumerate(chosen) if who is self._people]
        if not own:
            raise ValueError(f"seats={self._given!r} has no {PERSON!r}: nobody would come; boxes.run plays without a page")
        days = range(-(-p.horizon // p.day)) if relay else (None,)
        places = [Place(b, seat, day) for b in range(self._boxes) for seat in own for day in days]
        self._consents = Consents(consent, self._out, places, resume)
        self._links, self._resume = self._links_for(places, resume), resume
        self._room = Room(self._links.places, self._seeds, seconds=seconds, day=p.day if relay else None, lobby=lobby)
        self._spectacle = Spectacle(self._variant)
        self._welcome = {"consent": consent, "practice": practice, "seconds": seconds, "day": relay is not None}

    def _links_for(self, places: list[Place], resume: bool) -> kept.Links:
        file = kept.file_of(self._out)
        return kept.load(file, places) if resume and file.exists() else kept.new_links(places)

    def _ask(self, question: Question) -> Any:
        return self._room.ask(question)

    def _give_up(self) -> None:
        self._room.close("the run ended before its time")

    def _recall(self, question: Question, sentence: str) -> None:
        self._room.recall(question, sentence)

    def play(
        self,
        address: str,
        port: int,
        names: Sequence[str],
        linger: float,
        concurrency: int | None,
        say: Callable[[str], None],
    ) -> Run:
        """Play until all is over."""
        from metarl_envs.host.server import Hosted, server_of

        listening = _listening(address, port or self._links.port)
        port, called = listening.getsockname()[1], [_named(name) for name in names]
        url = f"{called[0][0]}://{called[0][1]}" if called else f"http://{_in_brackets(address)}:{port}"
        hosts = [*_hosts(address, port, bool(names)), *(name for _, name in called)]
        thread = threading.Thread(target=self._play_boxes, args=(concurrency,), daemon=True)
        with listening:
            thread.start()
            try:
                self._spectacle.begun.wait()
                if not self._over.is_set():
                    practice = functools.partial(Practice, self._variant, self._seeds, steps=self._welcome["practice"])
                    first = Practice(self._variant, self._seeds, 0, 1)
                    sentences = first.question.sentences
                    first.say(sentences.say(sentences.default))  # which compiles what a step needs
                    welcome = {**self._welcome, "rules": first.question.rules}
                    hosted = Hosted(self._room, self._spectacle, practice, welcome, self._consents, self._links.watch)
                    server = server_of(hosted, hosts)
                    self._links = self._links._replace(port=port)
                    kept.save(self._links, kept.file_of(self._out))
                    self._tell_links(url, say)
                    threading.Thread(target=self._end, args=(server, linger, say), daemon=True).start()
                    server.run(sockets=[listening])
            except KeyboardInterrupt:  # after the server's own shutdown, or before it began
                pass
            finally:
                self._room.close("the host was closed")
        thread.join()
        if not isinstance(self._done, Run):
            assert self._done is not None
            raise self._done
        kept.file_of(self._out).unlink(missing_ok=True)
        return self._done

    def _play_boxes(self, concurrency: int | None) -> None:
        """Play the boxes, in a thread of its own."""
        asked = {"boxes": self._boxes, "seed": self._seed, "split": self._split, **self._params}
        where = {"out": self._out, "resume": self._resume, "concurrency": concurrency}
        try:
            self._done = run(self._box, self._seats, watch=self._watch, **where, **asked)
        except BaseException as error:
            if isinstance(error, PlayerError) and isinstance(error.__cause__, RoomClosedError):
                error.args = (str(error.__cause__), *error.args[1:])  # nobody failed
            self._done = error
            self._room.close(str(error) or type(error).__name__)
        finally:
            self._over.set()
            self._spectacle.begun.set()

    def _watch(self, table: Boxes) -> None:
        """Show how a table stands, and tell its people when it is over."""
        self._spectacle.watch(table)
        if not table.active.any():
            for i in range(len(table.seeds)):
                self._room.finish(table.first + i)

    def _end(self, server: Any, linger: float, say: Callable[[str], None]) -> None:
        """End the server some time after the boxes are over."""
        self._over.wait()
        if isinstance(self._done, Run):
            say(f"All boxes are over, and the run is written. The page stays for {linger:g} s.")
        threading.Event().wait(linger if isinstance(self._done, Run) else min(linger, 2.0))
        server.should_exit = True

    def _tell_links(self, url: str, say: Callable[[str], None]) -> None:
        """Tell who comes where, the only time that links are shown."""
        for place, token in self._links.places.items():
            day = "" if place.day is None else f", day {place.day + 1}"
            say(f"box {place.box}, seat {place.seat}{day}: {url}/seat#{token}")
        say(f"live view, for you alone: {url}/watch#{self._links.watch}")


def _is_person(who: Any) -> bool:
    return isinstance(who, str) and who == PERSON


def is_loopback(address: str) -> bool:
    """Return whether an address is reached from this machine alone."""
    if address == "localhost":
        return True
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return False


def _listening(address: str, port: int) -> socket.socket:
    """A socket that listens there."""
    try:
        family, _, _, _, where = socket.getaddrinfo(address, port, type=socket.SOCK_STREAM)[0]
        return socket.create_server(where[:2], family=family, backlog=256)
    except (OSError, OverflowError) as error:
        raise ValueError(f"address={address!r}, port={port} cannot be listened at: {error}") from None


def _in_brackets(address: str) -> str:
    return f"[{address}]" if ":" in address else address


def _named(name: str) -> tuple[str, str]:
    """The scheme, and what a browser calls the host, of a name that was given; ValueError where it is none."""
    match = _NAME.fullmatch(name.lower())
    if match is None:
        raise ValueError(f"names has {name!r}: give what stands in a link, such as https://study.example.org or lab-7:8000")
    scheme = match["scheme"] or "http"
    return scheme, match["host"].removesuffix({"http": ":80", "https": ":443"}[scheme])  # which browsers leave out


def _hosts(address: str, port: int, has_names: bool) -> list[str]:
    """What a browser may call it by its address; ValueError where nobody can know."""
    known = [_in_brackets(address), *(["127.0.0.1", "localhost", "[::1]"] if is_loopback(address) else [])]
    if not has_names and _is_everywhere(address):
        raise ValueError(
            f"address={address!r} is no address that a browser can be given: give names (--name) too, such as https://study.example.org"
        )
    return [f"{name}:{port}" for name in known] + (known if port == 80 else [])


def _is_everywhere(address: str) -> bool:
    try:
        return ipaddress.ip_address(address).is_unspecified
    except ValueError:
        return False
