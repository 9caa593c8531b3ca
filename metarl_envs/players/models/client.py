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
        self._lock, self._idle = threading.Lock(), list[http.client.HTTPConnection]()
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
        headers = {"Content-Type": "application/json", **({"Authorization": f"Bearer {key}"} if key else {})}
        connection = self._connection()
        try:
            connection.request("POST", self._path, body, headers)
            response = connection.getresponse()
            content = _read(response, connection.sock, deadline)
        except TimeoutError:
            connection.close()
            raise _PassingError(f"no whole reply within {self._timeout:g} s") from None
        except (OSError, http.client.HTTPException, ValueError) as error:
            connection.close()
            raise _PassingError(f"the connection failed ({type(error).__name__}: {error})") from None
        except BaseException:
            connection.close()
            raise
        self._keep(connection, response)
        if response.status != 200:
            raise self._refusal(response, content, key)
        streamed = (response.getheader("Content-Type") or "").startswith("text/event-stream")
        return _streamed(content) if streamed else _whole(content)

    def _refusal(self, response: http.client.HTTPResponse, content: bytes, key: str) -> Exception:
        said = f"HTTP {response.status}: {_without(key, content.decode('utf-8', 'replace'))[:_QUOTED]!r}"
        if response.status in _PASSING:
            after = response.getheader("Retry-After") or ""
            return _PassingError(said, float(after) if re.fullmatch(r"[0-9]{1,6}(\.[0-9]{1,6})?", after) else None)
        if response.status in (401, 403):
            return EndpointError(f"{self._host} does not accept the key in {self._key_from} ({said})")
        return EndpointError(f"{self._host} refuses the request ({said})")

    def _connection(self) -> http.client.HTTPConnection:
        with self._lock:
            if self._idle:
                connection = self._idle.pop()
                if connection.sock is not None:
                    connection.sock.settimeout(self._timeout)
                return connection
        kind = http.client.HTTPSConnection if self._secure else http.client.HTTPConnection
        return kind(self._host, self._port, timeout=self._timeout)

    def _keep(self, connection: http.client.HTTPConnection, response: http.client.HTTPResponse) -> None:
        """Use the connection again, if the endpoint leaves it open."""
        if response.will_close or not response.isclosed():
            connection.close()
            return
        with self._lock:
            self._idle.append(connection)


def _close_all(connections: Iterable[http.client.HTTPConnection]) -> None:
    for connection in connections:
        connection.close()


def _read(response: http.client.HTTPResponse, socket: Any, deadline: float) -> bytes:
    """The body, read until the deadline at most."""
    content = bytearray()
    while True:
        left = deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError
        if socket is not None:
            socket.settimeout(left)
        piece = response.read1(65536)
        if not piece:
            break
        content += piece
        if len(content) > _MOST_BYTES:
            raise ValueError(f"the reply is longer than {_MOST_BYTES} bytes")
    if response.length:  # it was to be longer
        raise ValueError(f"the reply was cut off {response.length} bytes before its end")
    response.close()  # which a body of known length is not by itself; the connection stays open
    return bytes(content)


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
