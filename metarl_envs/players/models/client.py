"""A client for chat endpoints that speak OpenAI's protocol (hosted, vLLM, llama.cpp, Ollama), on the standard library."""

from __future__ import annotations

import http.client
import json
import os
import random
import re
import threading
import time
import urllib.parse
import weakref
from collections.abc import Iterable
from typing import Any, NamedTuple

#: Answers after which the same question may be asked again.
_PASSING = {408, 409, 425, 429, 500, 502, 503, 504, 529}
#: More bytes than this are no reply of an action.
_MOST_BYTES = 2_000_000
#: The longest pause before another try, in seconds.
_LONGEST_PAUSE = 60.0
#: How much of what an endpoint says about a mistake is told.
_QUOTED = 300
#: Longest line, in bytes, and most lines of what comes before the body of an answer.
_LONGEST_LINE, _MOST_HEADERS = 65536, 200
_STATUS = re.compile(rb"(HTTP/1\.[01]) ([1-5][0-9]{2})(?: |\r?\n)")
_SIZE = re.compile(rb"[0-9a-fA-F]{1,12}")


class EndpointError(RuntimeError):
    """An endpoint refused a request, or failed at every try."""


class Reply(NamedTuple):
    """What an endpoint answered.

    Attributes:
        text: of the message.
        prompt_tokens, reply_tokens: as the endpoint counts them; None where it does not say.
        seconds: from the first try to the end.
        tries: how often it was asked.
    """

    text: str
    prompt_tokens: int | None
    reply_tokens: int | None
    seconds: float
    tries: int


class _PassingError(Exception):
    """What may go better at another try, after so many seconds if the endpoint says so."""

    def __init__(self, what: str, after: float | None = None):
        super().__init__(what)
        self.after = after


class Client:
    """A client for one endpoint. It may be used from many threads; connections are kept open between questions.

    Args:
        base_url: such as `http://localhost:8000/v1`; `/chat/completions` is added.
        key_from: the environment variable that holds the key. It is read when a question is asked, and told nobody else.
        timeout: seconds for one try, from its first byte to its last.
        tries: how often a question is asked at most, where the endpoint is busy, fails, or answers what is no reply.
        pause: seconds before the second try; they double with each.
        stream: ask for the reply piece by piece.

    Raises:
        ValueError: `base_url` is no http or https address, or it holds a name and password.
    """

    def __init__(
        self,
        base_url: str,
        *,
        key_from: str = "OPENAI_API_KEY",
        timeout: float = 120.0,
        tries: int = 6,
        pause: float = 0.5,
        stream: bool = False,
    ):
        url = urllib.parse.urlsplit(base_url if isinstance(base_url, str) else "")
        if url.username is not None or url.password is not None:
            raise ValueError("base_url holds a name or a password: put the key into an environment variable")
        if url.scheme not in ("http", "https") or not url.hostname or url.query or url.fragment:
            raise ValueError(f"base_url={base_url!r} must be an address such as http://localhost:8000/v1")
        self._secure, self._host, self._port = url.scheme == "https", url.hostname, url.port
        self._path = url.path.rstrip("/") + "/chat/completions"
        self._key_from, self._timeout, self._tries, self._pause = key_from, timeout, tries, pause
        self._stream, self._random = stream, random.Random()
        self._head = _head(self._host, self._port, self._path)
        self._lock, self._idle = threading.Lock(), list[_Connection]()
        weakref.finalize(self, _close_all, self._idle)

    def ask(self, question: dict[str, Any]) -> Reply:
        """Ask for one reply.

        Args:
            question: the request: `model`, `messages`, and what else the endpoint takes.

        Raises:
            EndpointError: the endpoint refused it, or failed at every try. The key is in no error.
        """
        key, start, problem = self._key(), time.monotonic(), ""
        body = json.dumps({**question, "stream": True} if self._stream else question).encode()
        for attempt in range(self._tries):
            try:
                text, told = self._try(body, key)
            except _PassingError as error:
                problem = _without(key, str(error))
                if attempt + 1 < self._tries:
                    pause = self._pause * 2**attempt * self._random.uniform(0.75, 1.25)
                    time.sleep(min(pause if error.after is None else max(error.after, 0.0), _LONGEST_PAUSE))
                continue
            prompt, reply = (_count(told, name) for name in ("prompt_tokens", "completion_tokens"))
            return Reply(_without(key, text), prompt, reply, time.monotonic() - start, attempt + 1)
        raise EndpointError(f"{self._host} gave no reply in {self._tries} tries; the last one: {problem}")

    def _key(self) -> str:
        key = os.environ.get(self._key_from, "").strip()
        if not re.fullmatch(r"[\x21-\x7e]*", key):
            raise EndpointError(f"the environment variable {self._key_from} holds something that is no key")
        return key

    def _try(self, body: bytes, key: str) -> tuple[str, Any]:
        """One try: the text of the reply, and what it says of tokens."""
        deadline = time.monotonic() + self._timeout
        secret = f"Authorization: Bearer {key}\r\n" if key else ""
        request = b"%b%bContent-Length: %d\r\n\r\n%b" % (self._head, secret.encode("ascii"), len(body), body)
        connection = self._connection()
        try:
            answer = connection.ask(request, deadline)
        except TimeoutError:
            connection.close()
            raise _PassingError(f"no whole reply within {self._timeout:g} s") from None
        except (OSError, http.client.HTTPException, ValueError) as error:
            connection.close()
            raise _PassingError(f"the connection failed ({type(error).__name__}: {error})") from None
        except BaseException:
            connection.close()
            raise
        self._keep(connection)
        if answer.status != 200:
            raise self._refusal(answer, key)
        streamed = answer.headers.get("content-type", "").startswith("text/event-stream")
        return _streamed(answer.body) if streamed else _whole(answer.body)

    def _refusal(self, answer: _Answer, key: str) -> Exception:
        said = f"HTTP {answer.status}: {_without(key, answer.body.decode('utf-8', 'replace'))[:_QUOTED]!r}"
        if answer.status in _PASSING:
            after = answer.headers.get("retry-after", "")
            return _PassingError(said, float(after) if re.fullmatch(r"[0-9]{1,6}(\.[0-9]{1,6})?", after) else None)
        if answer.status in (401, 403):
            return EndpointError(f"{self._host} does not accept the key in {self._key_from} ({said})")
        return EndpointError(f"{self._host} refuses the request ({said})")

    def _connection(self) -> _Connection:
        with self._lock:
            if self._idle:
                return self._idle.pop()
        return _Connection(self._secure, self._host, self._port, self._timeout)

    def _keep(self, connection: _Connection) -> None:
        """Use the connection again, if the endpoint leaves it open."""
        if not connection.stays_open:
            connection.close()
            return
        with self._lock:
            self._idle.append(connection)


def _head(host: str, port: int | None, path: str) -> bytes:
    """How each request to an endpoint begins."""
    called = f"[{host}]" if ":" in host else host.encode("idna").decode()
    lines = (
        f"POST {urllib.parse.quote(path, safe='/%:@')} HTTP/1.1",
        f"Host: {called}{'' if port is None else f':{port}'}",
        "Accept-Encoding: identity",
        "Content-Type: application/json",
    )
    return "".join(f"{line}\r\n" for line in lines).encode("ascii")


class _Answer(NamedTuple):
    """What came back: the status, headers by their names in small letters, and the body."""

    status: int
    headers: dict[str, str]
    body: bytes


class _Connection:
    """A connection to an endpoint, on which one question follows the other.

    `http.client` opens it. Requests and answers are written and read here, since its general forms of headers cost more of the
    processor than all else in a turn.
    """

    def __init__(self, secure: bool, host: str, port: int | None, timeout: float):
        kind = http.client.HTTPSConnection if secure else http.client.HTTPConnection
        self._opened = kind(host, port, timeout=timeout)
        self._file: Any = None
        self.stays_open = True

    def ask(self, request: bytes, deadline: float) -> _Answer:
        """Send a request, and return the answer.

        Raises:
            TimeoutError: it was not whole by the deadline.
            OSError, http.client.HTTPException, ValueError: the connection failed, or what came is no answer.
        """
        if self._file is None:
            self._opened.connect()
            self._file = self._opened.sock.makefile("rb")
        self._until(deadline)
        self._opened.sock.sendall(request)
        status = 100
        while 100 <= status < 200:  # an interim answer, after which another one comes
            version, status = self._status(deadline)
            headers = self._headers(deadline)
        self.stays_open = version == b"HTTP/1.1" and headers.get("connection", "").lower() != "close"
        return _Answer(status, headers, self._body(headers, deadline))

    def close(self) -> None:
        """Close it."""
        if self._file is not None:
            self._file.close()
        self._opened.close()

    def _until(self, deadline: float) -> None:
        """Let the next read or write end at the deadline."""
        left = deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError
        self._opened.sock.settimeout(left)

    def _line(self, deadline: float) -> bytes:
        self._until(deadline)
        line = self._file.readline(_LONGEST_LINE + 1)
        if not line.endswith(b"\n"):
            if len(line) > _LONGEST_LINE:
                raise ValueError(f"a line of the answer is longer than {_LONGEST_LINE} bytes")
            raise http.client.RemoteDisconnected("it was closed in the middle of the answer" if line else "it was closed")
        return line

    def _status(self, deadline: float) -> tuple[bytes, int]:
        line = self._line(deadline)
        if (match := _STATUS.match(line)) is None:
            raise http.client.BadStatusLine(repr(line[:_QUOTED]))
        return match[1], int(match[2])

    def _headers(self, deadline: float) -> dict[str, str]:
        headers: dict[str, str] = {}
        for _ in range(_MOST_HEADERS):
            line = self._line(deadline).decode("latin-1").strip()
            if not line:
                return headers
            name, _, value = line.partition(":")
            headers[name.lower()] = value.strip()
        raise ValueError(f"the answer has more than {_MOST_HEADERS} headers")

    def _body(self, headers: dict[str, str], deadline: float) -> bytes:
        content = bytearray()
        if headers.get("transfer-encoding", "").lower() == "chunked":
            while size := self._size(self._line(deadline).partition(b";")[0], 16):
                self._read(content, size, deadline)
                self._line(deadline)
            while self._line(deadline).strip():  # trailers
                pass
        elif (length := headers.get("content-length")) is not None:
            self._read(content, self._size(length.encode("latin-1"), 10), deadline)
        else:  # it ends with the connection
            self.stays_open = False
            self._read(content, None, deadline)
        return bytes(content)

    def _size(self, said: bytes, base: int) -> int:
        if not _SIZE.fullmatch(said.strip()):
            raise ValueError(f"the answer has a length of {said[:_QUOTED]!r}")
        return int(said, base)

    def _read(self, content: bytearray, count: int | None, deadline: float) -> None:
        """Read so many bytes, or all until the end."""
        while count is None or count > 0:
            if len(content) + (count or 0) > _MOST_BYTES:
                raise ValueError(f"the reply is longer than {_MOST_BYTES} bytes")
            self._until(deadline)
            piece = self._file.read1(65536 if count is None else min(count, 65536))
            if not piece:
                if count:
                    raise ValueError(f"the reply was cut off {count} bytes before its end")
                return
            content += piece
            count = None if count is None else count - len(piece)


def _close_all(connections: Iterable[_Connection]) -> None:
    for connection in connections:
        connection.close()


def _whole(content: bytes) -> tuple[str, Any]:
    try:
        answer = json.loads(content)
        text = answer["choices"][0]["message"]["content"]
    except (ValueError, LookupError, TypeError, RecursionError):
        raise _PassingError(f"the answer is no reply: {content[:_QUOTED].decode('utf-8', 'replace')!r}") from None
    if not isinstance(text, str | None):
        raise _PassingError(f"the answer is no text but {type(text).__name__}")
    return text or "", answer.get("usage")


def _streamed(content: bytes) -> tuple[str, Any]:
    """The reply out of server-sent events."""
    text, usage, ended = [], None, False
    for line in content.decode("utf-8", "replace").splitlines():
        if not line.startswith("data:"):
            continue
        if (data := line[5:].strip()) == "[DONE]":
            ended = True
            break
        try:
            event = json.loads(data)
            usage = event.get("usage") or usage
            for choice in event.get("choices") or []:
                text.append(choice.get("delta", {}).get("content") or "")
                ended |= choice.get("finish_reason") is not None
        except (ValueError, AttributeError, TypeError, RecursionError):
            raise _PassingError(f"the answer is no reply: {data[:_QUOTED]!r}") from None
    if not ended:
        raise _PassingError("the reply was cut off in the middle of its stream")
    if not all(isinstance(piece, str) for piece in text):
        raise _PassingError("the answer is no text")
    return "".join(text), usage


def _count(told: Any, name: str) -> int | None:
    count = told.get(name) if isinstance(told, dict) else None
    return count if isinstance(count, int) and not isinstance(count, bool) and 0 <= count < 2**53 else None


def _without(key: str, text: str) -> str:
    return text.replace(key, "***") if key else text
