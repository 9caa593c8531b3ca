"""The web server: the page of a seat, the live view, and the connection that each of them has.

It shows files of this package, and nothing else; nothing that comes in is a path, a name, or part of a page. Tokens stand
behind the `#` of a link, which browsers do not send with a request, so that no log has them; they come as a first message.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import functools
import hmac
import json
from collections.abc import Awaitable, Callable, Sequence
from importlib.resources import files
from typing import Any, NamedTuple

import uvicorn  # pyright: ignore[reportMissingImports]
from starlette.applications import Starlette  # pyright: ignore[reportMissingImports]
from starlette.requests import Request  # pyright: ignore[reportMissingImports]
from starlette.responses import PlainTextResponse, Response  # pyright: ignore[reportMissingImports]
from starlette.routing import Route, WebSocketRoute  # pyright: ignore[reportMissingImports]
from starlette.websockets import WebSocket, WebSocketDisconnect  # pyright: ignore[reportMissingImports]

from metarl_envs.host.consent import Consents
from metarl_envs.host.messages import MOST_BYTES, BadMessageError, Rate, read_message
from metarl_envs.host.practice import Practice
from metarl_envs.host.room import Message, Place, Room
from metarl_envs.host.spectacle import Spectacle

#: What is shown, by path: the file, and what it is.
_FILES = {
    "/seat": ("seat.html", "text/html"),
    "/watch": ("watch.html", "text/html"),
    "/seat.js": ("seat.js", "text/javascript"),
    "/watch.js": ("watch.js", "text/javascript"),
    "/talk.js": ("talk.js", "text/javascript"),
    "/style.css": ("style.css", "text/css"),
}
_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; base-uri 'none'; "
        "form-action 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}
#: Why connections are closed. Pages do not come back by themselves after the first three.
ELSEWHERE, NO_SUCH_LINK, BAD_MESSAGE, TOO_SLOW = 4001, 4003, 4008, 4009
#: Seconds for the first message, and how many connections may owe it at once; links have one connection each.
_FIRST, _MOST_STRANGERS = 10.0, 128
#: Messages that may wait to be sent to a page, and seconds between two looks of the live view.
_WAITING, _GLANCE = 200, 0.5


class Hosted(NamedTuple):
    """What is shown.

    Attributes:
        room: who sits where.
        spectacle: the boxes from outside.
        practice: makes a practice round for a seat.
        welcome: what each page is told first: consent, rules, and how long a step may take.
        consents: who has consented.
        watch: the token of the experimenter.
    """

    room: Room
    spectacle: Spectacle
    practice: Callable[[int], Practice]
    welcome: Message
    consents: Consents
    watch: str


def server_of(hosted: Hosted, hosts: Sequence[str]) -> uvicorn.Server:
    """Return a server that can be run.

    Args:
        hosted: what is shown.
        hosts: what a request may call it, such as `127.0.0.1:8000`.
    """
    web = _Web(hosted, frozenset(f"{scheme}://{host}" for scheme in ("http", "https") for host in hosts))
    routes = [Route(path, functools.partial(_file, *what)) for path, what in _FILES.items()]
    app = Starlette(routes=[*routes, WebSocketRoute("/talk", web.talk)])
    return uvicorn.Server(
        uvicorn.Config(
            _Guard(app, frozenset(hosts)),
            log_level="warning",
            access_log=False,
            lifespan="off",
            ws="websockets-sansio",
            ws_max_size=2 * MOST_BYTES,
            ws_per_message_deflate=False,
            proxy_headers=False,
            server_header=False,
            timeout_graceful_shutdown=2,
        )
    )


class _Guard:
    """The application, for requests that call it by a name that it has; every answer forbids what pages do not need."""

    def __init__(self, app: Starlette, hosts: frozenset[str]):
        self._app, self._hosts = app, hosts

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            send = functools.partial(_send_with_headers, send)
        called = [value.decode("latin-1") for name, value in scope["headers"] if name == b"host"]
        if len(called) != 1 or called[0] not in self._hosts:
            if scope["type"] == "http":
                await PlainTextResponse("This is not the address of this page.", 421)(scope, receive, send)
            else:
                await send({"type": "websocket.close", "code": 1008})
            return
        await self._app(scope, receive, send)


async def _send_with_headers(send: Any, message: Any) -> None:
    if message["type"] == "http.response.start":
        headers = [(name.encode(), value.encode()) for name, value in _HEADERS.items()]
        message = {**message, "headers": [*message["headers"], *headers]}
    await send(message)


async def _file(name: str, kind: str, request: Request) -> Response:
    return Response((files("metarl_envs.host") / "static" / name).read_bytes(), media_type=kind)


class _Line:
    """How a page is told things, from any thread: what waits to be sent is bounded."""

    def __init__(self, socket: WebSocket):
        self._socket, self._loop = socket, asyncio.get_running_loop()
        self._waiting: asyncio.Queue[Message | tuple[int, str]] = asyncio.Queue()

    def send(self, message: Message) -> None:
        self._put(message)

    def close(self, reason: str, code: int = ELSEWHERE) -> None:
        self._put((code, reason))

    def _put(self, what: Message | tuple[int, str]) -> None:
        with contextlib.suppress(RuntimeError):  # the server has ended
            self._loop.call_soon_threadsafe(self._put_here, what)

    def _put_here(self, what: Message | tuple[int, str]) -> None:
        if self._waiting.qsize() < _WAITING:
            self._waiting.put_nowait(what)
        elif self._waiting.qsize() == _WAITING:
            self._waiting.put_nowait((TOO_SLOW, "this page does not listen"))

    async def write(self) -> None:
        """Send what waits, until there is a reason to close."""
        with contextlib.suppress(WebSocketDisconnect, RuntimeError):
            while True:
                what = await self._waiting.get()
                if isinstance(what, tuple):
                    await self._socket.close(*what)
                    return
                await self._socket.send_text(json.dumps(what))


class _Web:
    """The connections of all pages."""

    def __init__(self, hosted: Hosted, origins: frozenset[str]):
        self._hosted, self._origins, self._strangers = hosted, origins, 0

    async def talk(self, socket: WebSocket) -> None:
        """Serve one connection from its beginning to its end."""
        if socket.headers.get("origin") not in self._origins or self._strangers >= _MOST_STRANGERS:
            await socket.close(1008)  # before it is accepted: 403
            return
        await socket.accept()
        line, rate = _Line(socket), Rate()
        writer = asyncio.create_task(line.write())
        try:
            await self._talk(functools.partial(_hear, socket, rate), line)
        except (BadMessageError, TimeoutError) as error:
            line.close(str(error) or "nothing was said", BAD_MESSAGE)
        except WebSocketDisconnect:
            writer.cancel()
        finally:
            with contextlib.suppress(asyncio.CancelledError, TimeoutError):
                await asyncio.wait_for(writer, 5)

    async def _talk(self, hear: Callable[[], Awaitable[dict[str, Any]]], line: _Line) -> None:
        self._strangers += 1
        try:
            first = await asyncio.wait_for(hear(), _FIRST)
        finally:
            self._strangers -= 1
        if first["kind"] != "enter":
            raise BadMessageError("the first message says by which link one comes")
        token = first["token"]
        if hmac.compare_digest(self._hosted.watch.encode(), token.encode(errors="replace")):
            await self._serve_experimenter(hear, line)
        elif (place := self._hosted.room.enter(token, line)) is None:
            line.close("there is no such link", NO_SUCH_LINK)
        else:
            try:
                await self._serve_seat(hear, line, place)
            finally:
                self._hosted.room.leave(place, line)

    async def _serve_seat(self, hear: Callable[[], Awaitable[dict[str, Any]]], line: _Line, place: Place) -> None:
        room, consents, practice = self._hosted.room, self._hosted.consents, None
        here = {"seat": place.seat, "ready": room.is_ready(place), "agreed": not consents.needed(place)}
        line.send({"kind": "welcome", **here, **self._hosted.welcome})
        room.show(place)
        while True:
            match await hear():
                case {"kind": "agree"}:
                    await asyncio.to_thread(consents.give, place)
                case _ if consents.needed(place):
                    raise BadMessageError("first comes the consent")
                case {"kind": "practise"}:
                    practice = practice or await asyncio.to_thread(self._hosted.practice, place.seat)
                    line.send({"kind": "practice", **practice.told()})
                case {"kind": "try", "sentence": sentence} if practice is not None:
                    problem = await asyncio.to_thread(practice.say, sentence)
                    line.send({"kind": "practice", "problem": problem, **practice.told()})
                case {"kind": "ready"}:
                    room.ready(place)
                case {"kind": "say", "step": step, "sentence": sentence}:
                    room.say(place, step, sentence)
                case _:
                    raise BadMessageError("this is not for a seat")

    async def _serve_experimenter(self, hear: Callable[[], Awaitable[dict[str, Any]]], line: _Line) -> None:
        chosen = [0]
        telling = asyncio.create_task(self._tell_experimenter(line, chosen))
        try:
            while True:
                match await hear():
                    case {"kind": "look", "box": box} if box in self._hosted.spectacle.steps():
                        chosen[0] = box
                    case {"kind": "begin", "box": box}:
                        self._hosted.room.begin(box)
                    case _:
                        raise BadMessageError("this is not for the live view")
        finally:
            telling.cancel()

    async def _tell_experimenter(self, line: _Line, chosen: list[int]) -> None:
        """Tell what has changed since the last look."""
        told = shown = None
        spectacle = self._hosted.spectacle
        while True:
            steps = spectacle.steps()
            now = {
                "steps": [steps[box] for box in sorted(steps)],
                "names": spectacle.names,
                "people": self._hosted.room.overview(),
            }
            if now != told:
                line.send({"kind": "overview", **now})
                told = now
            if (chosen[0], steps[chosen[0]]) != shown:
                box = await asyncio.to_thread(spectacle.show, chosen[0])
                shown = chosen[0], box["step"]
                line.send({"kind": "box", "box": shown[0], **box, "png": base64.b64encode(box["png"]).decode()})
            await asyncio.sleep(_GLANCE)


async def _hear(socket: WebSocket, rate: Rate) -> dict[str, Any]:
    """The next message of a page."""
    heard = await socket.receive()
    if heard["type"] != "websocket.receive":
        raise WebSocketDisconnect
    rate.take()
    return read_message(heard.get("text"))
