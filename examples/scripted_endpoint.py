"""A chat endpoint that answers by a script, without any model: to try players that are language models, offline.

    python examples/scripted_endpoint.py --port 8000 &
    metarl-envs evaluate DarkRoom --model scripted --base-url http://127.0.0.1:8000/v1 --tasks 2 --seeds 1 --episodes 3

It reads which sentences it may say from the last message or the rules, and says one of them: which, follows from what it was
asked, so that it answers the same question the same way every time. With `--faults` it also does what endpoints do on bad days:
it is slow, says 429 or 500, cuts replies off, answers garbage, nothing, or ten megabytes.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import re
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

#: What may go wrong, each in its turn.
FAULTS = ("slow", "429", "500", "cut", "garbage", "empty", "huge")


def reply_to(messages: list[dict[str, str]]) -> str:
    """A sentence out of those that the rules name; about one in ten replies chats, and one in twenty is nonsense."""
    asked = json.dumps(messages).encode()
    number = int.from_bytes(hashlib.sha256(asked).digest()[:6], "big")
    rules, now = messages[0]["content"], messages[-1]["content"]
    sentence = _sentence(rules, now, number // 1000)
    if number % 20 == 0:
        return "I would rather talk about the weather."
    return f"Let me think about it.\n\nAnswer: {sentence}." if number % 10 == 1 else sentence


def _sentence(rules: str, now: str, number: int) -> str:
    if "combine X with Y" in rules:
        held = re.findall(r"You have: ([a-z, ]+)\.", now)
        words = held[-1].split(", ") if held else []
        hand = re.findall(r"In your hand: ([a-z]+)\.", now)
        if len(words) < 2:
            return "wait"
        first = hand[-1] if hand else words[number % len(words)]
        others = [word for word in words if word != first]
        return f"combine {first} with {others[number // 64 % len(others)]}"
    named = re.findall(r"'([a-z]+)' \(\d+\)", rules)
    if named:
        return named[number % len(named)]
    last = re.search(r"a number from 0 to (\d+)", rules)
    return str(number % (int(last[1]) + 1)) if last else "0 0" if "2 numbers" in rules else "0"


class Endpoint(ThreadingHTTPServer):
    """The server.

    Args:
        port: 0 for any that is free.
        faults: what goes wrong, one after the other: every third request has the next of these.
        seconds: how long each reply takes.
        jitter: how much longer or shorter it may take, as a share of that: which, follows from what is asked.
        reply: gives the reply to messages.
    """

    daemon_threads = True
    request_queue_size = 256

    def __init__(self, port: int = 0, faults: tuple[str, ...] = (), seconds: float = 0.0, reply=reply_to, jitter: float = 0.0):
        super().__init__(("127.0.0.1", port), _Handler)
        self.faults, self.seconds, self.reply, self.jitter = faults, seconds, reply, jitter
        self.asked: list[dict] = []
        self.answered = 0
        self._lock, self._number = threading.Lock(), 0

    @property
    def url(self) -> str:
        """What `base_url` is."""
        return f"http://127.0.0.1:{self.server_address[1]}/v1"

    def next_fault(self) -> str:
        """What goes wrong with this request; "" for nothing."""
        with self._lock:
            self._number += 1
            return self.faults[self._number // 3 % len(self.faults)] if self.faults and self._number % 3 == 0 else ""

    def seconds_for(self, question: dict) -> float:
        """How long the reply to a question takes."""
        digest = hashlib.sha256(json.dumps([question["messages"], question.get("seed")]).encode()).digest()
        return self.seconds * (1 + self.jitter * (int.from_bytes(digest[:4], "big") / 2**31 - 1))

    def note(self, question: dict) -> None:
        """Keep a question."""
        with self._lock:
            self.asked.append(question)

    def __enter__(self) -> Endpoint:
        self._thread = threading.Thread(target=self.serve_forever, args=(0.01,), daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.shutdown()
        self._thread.join()
        self.server_close()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1
    server: Endpoint

    def do_POST(self) -> None:
        """Answer a question."""
        try:
            self._answer()
        except (BrokenPipeError, ConnectionResetError):  # whoever asked has gone
            self.close_connection = True

    def _answer(self) -> None:
        question = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        question["authorization"] = self.headers.get("Authorization")
        self.server.note(question)
        time.sleep(self.server.seconds_for(question))
        fault = self.server.next_fault()
        if fault in ("429", "500"):
            self._send(int(fault), b'{"error": "not now"}', retry=fault == "429")
        elif fault == "garbage":
            self._send(200, b"<html>Bad gateway</html>")
        elif fault == "huge":
            self._send(200, b'{"choices": "' + b"x" * 10_000_000 + b'"}')
        else:
            if fault == "slow":
                time.sleep(1.0)
            text = "" if fault == "empty" else self.server.reply(question["messages"])
            self._send_reply(question, text, cut=fault == "cut")

    def _send_reply(self, question: dict, text: str, cut: bool) -> None:
        usage = {"prompt_tokens": len(json.dumps(question["messages"])) // 4, "completion_tokens": len(text) // 4 + 1}
        usage["total_tokens"] = sum(usage.values())
        about = {"id": "scripted", "created": 0, "model": question.get("model", "scripted")}
        if question.get("stream"):
            about["object"] = "chat.completion.chunk"
            deltas: list[dict] = [{"delta": {"content": piece}} for piece in re.findall(r"(?s).{1,5}", text)]
            deltas.append({"delta": {}, "finish_reason": "stop"})
            events: list[dict] = [{**about, "choices": [{"index": 0, **delta}]} for delta in deltas]
            events[-1]["usage"] = usage
            body = "".join(f"data: {json.dumps(event)}\n\n" for event in events) + "data: [DONE]\n\n"
            kind = "text/event-stream"
        else:
            about["object"] = "chat.completion"
            choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
            body, kind = json.dumps({**about, "choices": [choice], "usage": usage}), "application/json"
        content = body.encode()
        self._send(200, content[: len(content) // 2] if cut else content, length=len(content), kind=kind)
        self.server.answered += not cut
        self.close_connection |= cut

    def _send(
        self, status: int, content: bytes, *, length: int | None = None, kind: str = "application/json", retry: bool = False
    ) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content) if length is None else length))
        if retry:
            self.send_header("Retry-After", "0.01")
        self.end_headers()
        self.wfile.write(content)
        self.wfile.flush()

    def log_message(self, *_: object) -> None:
        """Say nothing of each request."""


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--port", type=int, default=8000)
    parser.add_argument("--seconds", type=float, default=0.0, help="how long each reply takes")
    parser.add_argument("--jitter", type=float, default=0.0, help="how much longer or shorter it may take, as a share of that")
    parser.add_argument("--reply", help="say this, whatever is asked")
    parser.add_argument("--faults", action="store_true", help="do what endpoints do on bad days")
    given = parser.parse_args()
    reply = reply_to if given.reply is None else lambda messages: given.reply
    server = Endpoint(given.port, FAULTS if given.faults else (), given.seconds, reply, given.jitter)
    print(f"answering at {server.url}; stop it with Ctrl-C", flush=True)
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        server.server_close()
