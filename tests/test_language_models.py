"""Language models as players, at an endpoint that answers by a script: nothing is lost, asked twice, or told to others."""

import functools
import json
import os
import random
import re
import signal
import socket
import subprocess
import sys
import threading
import time

import numpy as np
import pytest

import metarl_envs
import metarl_wrappers
from metarl_envs import boxes
from metarl_envs.evaluation import evaluate, verdict
from metarl_envs.evaluation.controls import control_by
from metarl_envs.players import BudgetSpent, LanguageModel, PlayerError, Wrapped, load
from metarl_envs.players.lifetimes import live
from metarl_envs.players.models.client import Client, EndpointError
from metarl_wrappers import VectorPreviousStep
from tests import an_example

pytestmark = pytest.mark.plain

scripted = an_example.load("scripted_endpoint.py")

KEY = "sk-very-secret-0123456789"
#: A box in which little is to be computed.
BOX = {"agents": 2, "horizon": 12, "day": 6, "notes": 2, "levels": 3, "width": 2, "bases": 4, "recipes": 1, "lineages": 1}
ROOM = {"tasks": 2, "seeds": 1, "episodes": 2, "horizon": 5, "size": 5}


@pytest.fixture(autouse=True)
def _key(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", KEY)


def model(endpoint, **more):
    return LanguageModel("scripted", base_url=endpoint.url, **{"pause": 0.01, "timeout": 5.0, **more})


def in_room(player):
    return evaluate("DarkRoom", {"model": player}, split=None, **ROOM).run("model")


def in_box(player, **more):
    return boxes.run("AmnesiaBox", {0: player, "others": "greedy"}, boxes=3, seed=5, **{**BOX, **more})


def same(one, other):
    return one.fingerprint == other.fingerprint


# ------------------------------------------------------------------------------------------------- faults
@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
def test_a_bad_endpoint_loses_nothing(stream, tmp_path):
    with scripted.Endpoint() as good:
        expected = in_room(model(good))
        asked = len(good.asked)
    faults = ("429", "500", "cut", "garbage", "slow")
    with scripted.Endpoint(faults=faults) as bad:
        path = tmp_path / "chat.jsonl"
        player = model(bad, stream=stream, tries=10, timeout=0.4, transcript=path)
        assert same(in_room(player), expected)
        assert len(bad.asked) > asked
    entries = [json.loads(line) for line in path.read_text().splitlines()[1:]]
    assert len(entries) == asked == player.counts["requests"]
    assert sum(entry["tries"] for entry in entries) == len(bad.asked) == player.counts["tries"]
    assert entries == sorted(entries, key=lambda entry: entry["key"])


@pytest.mark.parametrize("fault", ["500", "429", "cut", "garbage", "huge"])
def test_an_endpoint_that_always_fails_ends_the_run_and_what_was_played_is_kept(fault, tmp_path):
    with scripted.Endpoint() as endpoint:
        player = model(endpoint, tries=2)
        before = endpoint.next_fault
        endpoint.next_fault = lambda: fault if len(endpoint.asked) > 9 else before()
        with pytest.raises(PlayerError, match="gave no reply in 2 tries") as raised:
            in_box(player, out=tmp_path)
    assert isinstance(raised.value.__cause__, EndpointError)
    # Whichever box is asked late may have had no reply yet; others have lived.
    assert raised.value.step < 12
    assert raised.value.run.steps.max() > 0
    assert same(load(tmp_path / "run"), raised.value.run)


def answered(*answers, **more):
    """What a client makes of answers, byte for byte; the endpoint closes the connection after each."""

    def serve():
        for answer in answers:
            connection, _ = listening.accept()
            with connection, connection.makefile("rb") as file:
                length = next(int(line[15:]) for line in file if line.startswith(b"Content-Length:"))
                file.read(2 + length)
                connection.sendall(answer)

    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        client = Client(
            f"http://127.0.0.1:{listening.getsockname()[1]}/v1", tries=len(answers), timeout=5.0, pause=0.01, **more
        )
        try:
            return client.ask({"messages": []}).text
        finally:
            thread.join()


BODY = b'{"choices": [{"message": {"content": "up"}}]}'
OK, LENGTH = b"HTTP/1.1 200 OK\r\n", b"Content-Length: %d\r\n\r\n" % len(BODY)
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"


@pytest.mark.parametrize(
    "answer",
    [
        OK + LENGTH + BODY,
        OK + b"content-length:%d\r\n\r\n" % len(BODY) + BODY,
        b"HTTP/1.1 100 Continue\r\n\r\n" + OK + LENGTH + BODY,
        b"HTTP/1.0 200\r\n\r\n" + BODY,
        OK.replace(b"\r", b"") + LENGTH.replace(b"\r", b"") + BODY,
        CHUNKED + b"5\r\n" + BODY[:5] + b"\r\n%X;name=value\r\n" % (len(BODY) - 5) + BODY[5:] + b"\r\n0\r\nMore: 1\r\n\r\n",
    ],
    ids=["length", "small letters", "interim", "to the end", "bare lines", "chunks"],
)
def test_answers_are_read_in_each_of_their_forms(answer):
    assert answered(answer) == "up"


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (b"", "it was closed"),
        (b"SSH-2.0-server\r\n", "BadStatusLine"),
        (OK + b"A: b", "it was closed in the middle of the answer"),
        (OK + b"A: b\r\n" * 300, "more than 200 headers"),
        (OK + b"A" * 70_000, "a line of the answer is longer than 65536 bytes"),
        (OK + LENGTH + BODY[:-7], "cut off 7 bytes before its end"),
        (OK + b"Content-Length: -5\r\n\r\n" + BODY, "a length of b'-5'"),
        (OK + b"Content-Length: 99999999999\r\n\r\n" + BODY, "longer than 2000000 bytes"),
        (CHUNKED + b"zz\r\n", "a length of b'zz"),
        (CHUNKED + b"fffffff\r\n" + BODY, "longer than 2000000 bytes"),
        (CHUNKED + b"7\r\nabc", "cut off 4 bytes"),
    ],
)
def test_what_is_no_answer_is_asked_for_again(answer, why):
    assert answered(answer, OK + LENGTH + BODY) == "up"
    with pytest.raises(EndpointError, match=re.escape(why)):
        answered(answer)


def test_an_empty_reply_is_a_malformed_one():
    with scripted.Endpoint(reply=lambda messages: "") as endpoint:
        player = model(endpoint, retries=1)
        run = in_room(player)
    assert player.counts["malformed"] == 2 * run.steps.sum() == len(endpoint.asked)
    assert player.counts["defaults"] == run.steps.sum()
    assert not run.actions.any(), "staying is the default"


def test_a_key_that_is_refused_ends_the_run_at_once_and_is_told_nobody(tmp_path):
    class Refuses(scripted.Endpoint):
        def next_fault(self):
            return "401"

    def send(handler):
        handler.rfile.read(int(handler.headers["Content-Length"]))
        handler.server.note({})
        handler._send(401, f'{{"error": "no such key: {KEY}"}}'.encode())

    with scripted.Endpoint() as endpoint:
        endpoint.RequestHandlerClass = type("Refusing", (endpoint.RequestHandlerClass,), {"_answer": send})
        with pytest.raises(PlayerError, match=r"does not accept the key in OPENAI_API_KEY \(HTTP 401") as raised:
            in_box(model(endpoint, concurrency=1), out=tmp_path)
        assert len(endpoint.asked) == 1
    told = str(raised.value) + repr(raised.value.__cause__) + repr(raised.value.__notes__)
    assert KEY not in told
    assert "***" in told


def test_the_key_is_in_no_file_and_no_name(tmp_path):
    with scripted.Endpoint(reply=lambda messages: f"Your key is {KEY}.\nwait") as endpoint:
        player = model(endpoint)
        run = in_box(player, out=tmp_path)
        assert all(question["authorization"] == f"Bearer {KEY}" for question in endpoint.asked)
    assert KEY not in repr(player) + repr(run) + repr(vars(player)) + repr(vars(player._client))
    assert len(list(tmp_path.iterdir())) == 3
    assert not any(KEY.encode() in file.read_bytes() for file in tmp_path.iterdir())


# ------------------------------------------------------------------------------------------------- memory
def test_at_a_memory_reset_the_conversation_starts_from_nothing():
    """What was said before it is in no later question."""
    said = []

    def reply(messages):
        said.append(f"canary-{len(said)}")
        return f"{said[-1]}\nwait"

    with scripted.Endpoint(reply=reply) as endpoint:
        boxes.run("AmnesiaBox", {"all": model(endpoint, concurrency=1)}, boxes=1, seed=5, **{**BOX, "agents": 1})
    told = [json.dumps(question["messages"]) for question in endpoint.asked]
    for k, question in enumerate(told):
        day = k // BOX["day"]
        known = [canary for canary in said if f"{canary}\\n" in question]
        assert known == said[day * BOX["day"] : k], "those of this day, and no other"


# ------------------------------------------------------------------------------------------------- controls
BANDIT = {"split": None, "tasks": 4, "seeds": 1, "arms": 3, "horizon": 6}


def under_a_control(name):
    """Questions that a model is asked in a bandit under a control, and the run. It pulls arm 1 if the last pull did not pay."""

    def reply(messages):
        return "arm 0" if messages[-1]["content"].count("It paid 1.") else "arm 1"

    with scripted.Endpoint(reply=reply) as endpoint:
        variant = metarl_envs.tasks("BernoulliBandit", arms=3, horizon=6).variant
        player = Wrapped(model(endpoint), control_by(name, variant)) if name else model(endpoint)
        result = evaluate("BernoulliBandit", {"model": player}, **BANDIT)
    return [question["messages"] for question in endpoint.asked], result


def test_a_control_tells_a_model_in_words_what_it_shows_an_array():
    intact, result = under_a_control("")
    assert any("It paid 1." in messages[-1]["content"] for messages in intact)
    hidden, blind = under_a_control("HideReward")
    assert [messages[0] for messages in hidden] == [messages[0] for messages in intact], "the same rules"
    assert not any("It paid 1." in message["content"] for messages in hidden for message in messages)
    assert (blind.run("model").actions == 1).all()
    assert (result.run("model").actions == 0).any()
    assert blind.raw["model"].sum() > 0, "it is scored by what is paid, and not by what is shown"
    reflected, _ = under_a_control("ReflectReward")
    assert sum("It paid 1." in messages[-1]["content"] for messages in reflected[4:8]) == 4 - sum(
        "It paid 1." in messages[-1]["content"] for messages in intact[4:8]
    ), "after the first pull, which is the same"


def test_a_model_forgets_where_a_control_says_so():
    """Every step of six in ten is an episode of its own: max(1, 6 // 10) steps."""
    asked, _ = under_a_control("ForgetEachEpisode")
    assert [len(messages) for messages in asked] == [2] * 24
    assert not any("You did" in messages[-1]["content"] for messages in asked)


def test_a_verdict_is_told_of_a_model_without_a_transcript(tmp_path):
    with scripted.Endpoint(reply=lambda messages: "arm 0") as endpoint:
        found = verdict(model(endpoint), "BernoulliBandit", split="all", tasks=2, seeds=2, arms=3, horizon=20)
        assert found.name in ("none", "undecided")
        with pytest.raises(ValueError, match="writes a transcript, and a verdict is many runs"):
            verdict(model(endpoint, transcript=tmp_path / "chat.jsonl"), "BernoulliBandit", arms=3, horizon=20)
    assert not (tmp_path / "chat.jsonl").exists()


def test_there_are_no_words_through_wrappers_that_show_something_else():
    see = functools.partial(VectorPreviousStep, flat=True)
    hide = metarl_wrappers.VectorHideReward
    with scripted.Endpoint() as endpoint:
        for id, wrapper, params in (
            ("BernoulliBandit", see, {"arms": 3, "horizon": 6}),
            ("AmnesiaBox", hide, {**BOX, "agents": 1}),
        ):
            tasks = metarl_envs.tasks(id, **params)
            player = Wrapped(model(endpoint), wrapper)
            with pytest.raises(PlayerError, match="there are no words for what these wrappers show"):
                live(player, tasks.variant, tasks.sample(2, 0), np.arange(2), episodes=1)
    assert not endpoint.asked


def test_a_control_has_a_record_of_its_own(tmp_path):
    hide = metarl_wrappers.VectorHideReward
    with scripted.Endpoint() as endpoint:
        shared = model(endpoint)
        with pytest.raises(PlayerError, match="under a control a model needs a record of its own"):
            evaluate("BernoulliBandit", {"intact": shared, "blind": Wrapped(shared, hide)}, **BANDIT)
        one = model(endpoint, transcript=tmp_path / "intact.jsonl")
        other = one.written_to(tmp_path / "blind.jsonl")
        evaluate("BernoulliBandit", {"intact": one, "blind": Wrapped(other, hide)}, **BANDIT)
    for player, path in ((one, "intact.jsonl"), (other, "blind.jsonl")):
        keys = [json.loads(line)["key"] for line in (tmp_path / path).read_text().splitlines()[1:]]
        assert keys == sorted(keys), "it is in order, so it was closed"
        assert player.counts["requests"] == len(keys) >= 24


def test_what_is_played_into_a_folder_is_counted(tmp_path):
    with scripted.Endpoint() as endpoint:
        player = model(endpoint)
        in_box(player, out=tmp_path / "run")
    assert player.counts["requests"] == len(endpoint.asked) > 0


def test_lives_know_nothing_of_one_another():
    with scripted.Endpoint() as endpoint:
        in_room(model(endpoint))
        first = [question for question in endpoint.asked if len(question["messages"]) == 2]
    assert len(first) == 2, "one for each life"


@pytest.mark.parametrize(("context", "most"), [("whole", 2 * 9 + 2), ("window(2)", 2 * 2 + 2), ("notes", 2)])
def test_contexts_keep_what_they_say(context, most):
    def reply(messages):
        return f"notes: seen {len(endpoint.asked)}\nup" if context == "notes" else "up"

    with scripted.Endpoint(reply=reply) as endpoint:
        in_room(model(endpoint, context=context, concurrency=1))
        assert max(len(question["messages"]) for question in endpoint.asked) == most
        last = endpoint.asked[-1]["messages"]
    if context == "notes":
        assert last[-1]["content"].startswith("Your notes: seen ")
        assert "begins with 'notes:'" in last[0]["content"]
    else:
        assert "notes" not in last[0]["content"]


def test_reflecting_keeps_a_note_from_episode_to_episode_and_nothing_else():
    def reply(messages):
        return "the goal is up" if "Write a note" in messages[-1]["content"] else "up"

    with scripted.Endpoint(reply=reply) as endpoint:
        run = in_room(model(endpoint, context="reflect", concurrency=1))
    notes = [question["messages"] for question in endpoint.asked if "Write a note" in question["messages"][-1]["content"]]
    assert len(notes) == 2
    assert len(notes[0]) == 2 * 5 + 2, "of the whole episode"
    after = [
        question["messages"] for question in endpoint.asked if question["messages"][1]["content"].startswith("Your notes: the")
    ]
    assert {len(messages) for messages in after} == {2}
    assert run.steps.tolist() == [10, 10]


def test_what_is_no_sentence_is_said_back():
    def reply(messages):
        return "up" if "You can say" in messages[-1]["content"] else "fly"

    with scripted.Endpoint(reply=reply) as endpoint:
        player = model(endpoint)
        run = in_room(player)
    assert (run.actions == 1).all()
    assert player.counts["malformed"] == player.counts["strict"] == run.steps.sum()
    again = [question["messages"] for question in endpoint.asked if len(question["messages"]) == 4]
    assert again[0][-2:] == [
        {"role": "assistant", "content": "fly"},
        {
            "role": "user",
            "content": "('fly' is no action. You can say: 'stay' (0), 'up' (1), 'right' (2), 'down' (3), 'left' (4): "
            "the word, or the number alone.)",
        },
    ]


def test_a_sentence_of_two_steps_is_asked_for_once():
    def reply(messages):
        words = messages[-1]["content"].split("You have: ")[1].split(".")[0].split(", ")
        return f"combine {words[0]} with {words[1]}"

    with scripted.Endpoint(reply=reply) as endpoint:
        boxes.run("AmnesiaBox", {"all": model(endpoint)}, boxes=1, seed=5, **{**BOX, "agents": 1})
    assert len(endpoint.asked) == BOX["horizon"] // 2


# ------------------------------------------------------------------------------------------------- budget and resuming
@pytest.mark.parametrize("budget", [{"requests": 17}, {"tokens": 4000}])
def test_a_budget_is_kept_and_a_larger_one_goes_on(budget, tmp_path):
    with scripted.Endpoint() as endpoint:
        expected = in_box(model(endpoint))
        asked = {json.dumps(question) for question in endpoint.asked}
    with scripted.Endpoint() as endpoint:
        with pytest.raises(PlayerError, match="is spent") as raised:
            in_box(model(endpoint, max_tokens=256, **budget), out=tmp_path)
        assert isinstance(raised.value.__cause__, BudgetSpent)
        if "requests" in budget:
            assert len(endpoint.asked) == 17
        else:
            entries = [json.loads(line) for line in (tmp_path / "transcript-0.jsonl").read_text().splitlines()[1:]]
            assert 1000 < sum(entry["prompt_tokens"] + entry["reply_tokens"] for entry in entries) <= 4000
        with pytest.raises(FileExistsError, match="resume=True"):
            in_box(model(endpoint), out=tmp_path)
        assert same(in_box(model(endpoint), out=tmp_path, resume=True), expected)
        assert {json.dumps(question) for question in endpoint.asked} == asked
        assert len(endpoint.asked) == len(asked), "nothing was asked twice"
    assert same(load(tmp_path / "run"), expected)


def test_what_was_asked_otherwise_is_not_resumed(tmp_path):
    with scripted.Endpoint() as endpoint:
        with pytest.raises(PlayerError):
            in_box(model(endpoint, requests=5), out=tmp_path)
        with pytest.raises(ValueError, match=r"cannot be resumed: line 1: it was asked otherwise: max_tokens was 256 and is 9"):
            in_box(model(endpoint, max_tokens=9), out=tmp_path, resume=True)
        with pytest.raises(PlayerError, match="answers another question"):
            in_box(model(endpoint), out=tmp_path, resume=True, notes=3)
        transcript = tmp_path / "transcript-0.jsonl"
        whole = transcript.read_bytes()
        transcript.write_bytes(whole[:-20])
        assert in_box(model(endpoint), out=tmp_path, resume=True).steps.tolist() == [12] * 3, "a line that was cut short"
        transcript.write_bytes(whole.replace(b'"digest"', b'"digits"'))
        with pytest.raises(ValueError, match="cannot be resumed: line 2"):
            in_box(model(endpoint), out=tmp_path, resume=True)


def test_a_dry_run_tells_requests_and_tokens_beforehand(tmp_path):
    with scripted.Endpoint(reply=lambda messages: "wait") as endpoint:
        told = boxes.forecast("AmnesiaBox", {0: model(endpoint), "others": "greedy"}, boxes=3, seed=5, **BOX)
        assert not endpoint.asked
        player = model(endpoint)
        in_box(player, out=tmp_path)
    assert told.requests == len(endpoint.asked) == 3 * BOX["horizon"]
    assert told.reply_tokens == told.requests * 256
    characters = sum(len(message["content"]) for question in endpoint.asked for message in question["messages"])
    assert told.prompt_tokens == pytest.approx(characters / 4, rel=0.05)


def test_connections_are_kept_open():
    connections = set()

    class Watched(scripted.Endpoint):
        def process_request(self, request, client_address):
            connections.add(client_address)
            super().process_request(request, client_address)

    with Watched() as endpoint:
        in_room(model(endpoint, concurrency=2))
        in_room(model(endpoint, concurrency=2, stream=True))
        assert len(endpoint.asked) >= 40
    assert len(connections) <= 4


def test_many_conversations_wait_at_once():
    with scripted.Endpoint(seconds=0.1) as endpoint:
        start = time.monotonic()
        boxes.run("AmnesiaBox", {"all": model(endpoint, concurrency=16, retries=0)}, boxes=8, seed=1, **{**BOX, "horizon": 2})
        took = time.monotonic() - start
        assert len(endpoint.asked) >= 16
    assert took < 0.1 * len(endpoint.asked)


def test_a_box_waits_for_its_own_models_alone():
    """The first box is answered only when all others are over."""
    first, others, over = [], [], threading.Event()

    def reply(messages):
        box = messages[1]["content"].split("You have: ")[1].split(".")[0]  # of the conversation's first moment: the bases
        if not first:
            first.append(box)
        if box == first[0]:
            assert over.wait(20)
        else:
            others.append(box)
            if len(others) == 2 * BOX["horizon"]:
                over.set()
        return "wait"

    with scripted.Endpoint(reply=reply) as endpoint:
        player = model(endpoint, concurrency=3, context="whole", timeout=30.0)
        in_box(player, day=0, relabel="never")
    assert len(endpoint.asked) == 3 * BOX["horizon"]


def test_two_models_in_a_box_are_asked_at_once():
    both = threading.Barrier(2)

    def reply(messages):
        both.wait(20)
        return "wait"

    with scripted.Endpoint(reply=reply) as endpoint:
        seats = {0: model(endpoint, timeout=30.0), 1: model(endpoint, timeout=30.0)}
        boxes.run("AmnesiaBox", seats, boxes=1, **{**BOX, "horizon": 3})
    assert len(endpoint.asked) == 6


def in_both(endpoint, folder, concurrency, **more):
    """A run of three boxes with two recipe books, two models, and the transcripts without the time that replies took."""
    seats = {0: model(endpoint, concurrency=concurrency, **more), 1: model(endpoint, concurrency=concurrency, temperature=1.0)}
    seats |= {"others": "greedy"}
    try:
        done = boxes.run("AmnesiaBox", seats, boxes=3, seed=5, tasks=2, out=folder, **{**BOX, "agents": 3, "horizon": 30})
    except PlayerError as error:
        return error
    written = [(folder / f"transcript-{seat}.jsonl").read_text().splitlines() for seat in (0, 1)]
    return done, [[{**json.loads(line), "seconds": 0} for line in lines] for lines in written]


def test_the_record_is_the_same_whoever_was_faster(tmp_path):
    with scripted.Endpoint() as endpoint:
        done, written = in_both(endpoint, tmp_path / "one", 1)
    with scripted.Endpoint(seconds=0.01, jitter=1.0) as endpoint:
        again, written_again = in_both(endpoint, tmp_path / "many", 8)
    assert same(done, again)
    assert written == written_again
    assert np.array_equal(done.tasks["recipe"][0], done.tasks["recipe"][2])


@pytest.mark.parametrize("requests", [1, 40])
def test_a_budget_ends_all_boxes_at_the_step_at_which_it_would_if_they_waited(requests, tmp_path):
    with scripted.Endpoint() as endpoint:
        expected = in_both(endpoint, tmp_path / "one", 1, requests=requests, retries=0)
    with scripted.Endpoint(seconds=0.01, jitter=1.0) as endpoint:
        ended = in_both(endpoint, tmp_path / "many", 8, requests=requests, retries=0)
    assert ended.step == expected.step
    assert same(ended.run, expected.run)
    assert len(list(ended.run.replay())) == ended.step + 1


def test_of_players_that_fail_the_first_is_told_and_all_boxes_are_kept_up_to_its_step():
    everybody = threading.Barrier(3)

    class Fails:
        """Waits for those in all boxes, in the third step, and fails in all but the first."""

        def __init__(self, *, seat, seed, observation_space, action_space):
            self.steps = 0

        def act(self, moment):
            self.steps += 1
            if self.steps == 3:
                everybody.wait(20)
                if moment._place[0] > 5:
                    raise ConnectionError("gone")
            return 0

    with pytest.raises(PlayerError, match="seat 0 of row 1 failed at step 2") as raised:
        boxes.run("AmnesiaBox", {0: boxes.Seat(Fails, concurrency=3), "others": "greedy"}, boxes=3, seed=5, **BOX)
    assert (raised.value.row, raised.value.seat, raised.value.step) == (1, 0, 2)
    assert isinstance(raised.value.__cause__, ConnectionError)
    whole = boxes.run("AmnesiaBox", {0: boxes.Seat(Zero), "others": "greedy"}, boxes=3, seed=5, **BOX)
    assert np.array_equal(raised.value.run.actions, whole.actions[:, :2])
    assert len(list(raised.value.run.replay())) == 3


class Zero:
    """The first action."""

    def __init__(self, **told):
        pass

    def act(self, moment):
        return 0


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ({"base_url": "localhost:8000"}, "base_url='localhost:8000'"),
        ({"base_url": "http://me:secret@host/v1"}, "holds a name or a password"),
        ({"base_url": "file:///etc/passwd"}, "base_url="),
        ({"model": "two\nlines"}, "model="),
        ({"context": "window(0)"}, r"context='window\(0\)'"),
        ({"requests": 0}, "requests=0"),
        ({"concurrency": 0}, "concurrency=0"),
    ],
)
def test_wrong_arguments_are_named(given, why):
    with pytest.raises(ValueError, match=why) as raised:
        LanguageModel(**{"model": "m", "base_url": "http://localhost/v1", **given})
    assert "secret" not in str(raised.value)


KILLED = """
import sys
from metarl_envs import boxes
from metarl_envs.players import LanguageModel
player = LanguageModel("scripted", base_url=sys.argv[1], pause=0.01, concurrency=4)
boxes.run("AmnesiaBox", {{0: player, "others": "greedy"}}, boxes=3, seed=5, out=sys.argv[2], resume=True, **{box})
"""


@pytest.mark.slow
def test_killed_at_random_moments_and_resumed_it_is_the_same_run(tmp_path):
    """Twenty times, with -9; no question is asked twice but those that were in flight."""
    script = KILLED.format(box={**BOX, "horizon": 36})
    environment = {**os.environ, "NUMBA_DISABLE_JIT": "1"}
    with scripted.Endpoint() as endpoint:
        expected = in_box(model(endpoint), horizon=36)
        asked = len({json.dumps(question) for question in endpoint.asked})
    rng, kills = random.Random(0), 0
    with scripted.Endpoint(seconds=0.05) as endpoint:
        command = [sys.executable, "-c", script, endpoint.url, str(tmp_path)]
        while kills < 20:
            before = len(endpoint.asked)
            process = subprocess.Popen(command, env=environment)
            deadline = time.monotonic() + 60
            while len(endpoint.asked) == before and process.poll() is None and time.monotonic() < deadline:
                time.sleep(0.01)
            time.sleep(rng.uniform(0.0, 0.15))
            if process.poll() is not None:
                break
            process.send_signal(signal.SIGKILL)
            process.wait()
            kills += 1
        subprocess.run(command, env=environment, check=True)
        questions = [json.dumps(question) for question in endpoint.asked]
    assert kills >= 10
    assert len(set(questions)) == asked
    assert len(questions) <= asked + 4 * kills
    run = load(tmp_path / "run")
    assert same(run, expected)
    assert np.array_equal(run.actions, expected.actions)


# ------------------------------------------------------------------------------------------------- the command line
def called(*command):
    from typer.testing import CliRunner

    from metarl_envs.cli import app

    done = CliRunner().invoke(app, [str(word) for word in command])
    return done.exit_code, done.output, done.exception


def test_a_model_is_evaluated_by_command(tmp_path):
    settings = ["--split", "all", "--tasks", 2, "--seeds", 1, "--lifetimes", 1, "--episodes", 2]
    settings += ["--param", "horizon=5", "--param", "size=5", "--out", tmp_path / "out"]
    with scripted.Endpoint() as endpoint:
        asked = ["evaluate", "DarkRoom", "--model", "org/mini", "--base-url", endpoint.url, *settings]
        code, told, _ = called(*asked, "--dry-run")
        assert code == 0, told
        assert told.startswith("org/mini: 20 requests")
        assert not endpoint.asked
        code, told, error = called(*asked, "--requests", 4)
        assert code == 1
        assert isinstance(error, ValueError)
        assert "the budget of 4 requests is spent" in str(error)
        code, told, _ = called(*asked, "--resume")
        assert code == 0, told
        assert len({json.dumps(question) for question in endpoint.asked}) == len(endpoint.asked)
    assert "org/mini: 20 requests; replies that were read: " in told
    (transcript,) = (tmp_path / "out").glob("transcript-org-mini-*.jsonl")
    assert len(transcript.read_text().splitlines()) == len(endpoint.asked) + 1
    assert called("evaluate", "DarkRoom", "--model", "m")[2].args[0].startswith("the model 'm' needs --base-url")


def test_a_model_lives_under_controls_by_command(tmp_path):
    settings = ["--tasks", 3, "--seeds", 1, "--param", "horizon=4", "--param", "arms=2", "--out", tmp_path / "out"]
    settings += ["--control", "HideReward", "--control", "ForgetEachEpisode", "--states-best"]
    with scripted.Endpoint() as endpoint:
        asked = ["evaluate", "BernoulliBandit", "--model", "mini", "--base-url", endpoint.url, *settings]
        assert "; under each control at most as much again" in called(*asked, "--dry-run")[1]
        code, told, _ = called(*asked)
        assert code == 0, told
        assert "best:" in endpoint.asked[0]["messages"][0]["content"]
        assert all(f"mini{how}: 12 requests" in told.replace("\n", " ") for how in ("", ", HideReward", ", ForgetEachEpisode"))
        assert len(list((tmp_path / "out").glob("transcript-*.jsonl"))) == 3
        assert set(metarl_envs.evaluation.load(tmp_path / "out").raw) > {"mini", "mini, HideReward"}
        for control, id, why in (
            ("Nothing", "BernoulliBandit", "control='Nothing' must be one of SwapReward, "),
            ("SwapReward", "LinearRegression", "feedback stands in observations here"),
        ):
            error = called("evaluate", id, "--model", "m", "--base-url", endpoint.url, "--control", control)[2]
            assert why in str(error)
    assert "--control, " in str(called("evaluate", "BernoulliBandit", "--control", "HideReward")[2])


def test_models_and_scripts_sit_in_boxes_by_command(tmp_path):
    params = [word for name, value in BOX.items() for word in ("--param", f"{name}={value}")]
    with scripted.Endpoint() as endpoint:
        seats = ["--seat", "0=model:scripted", "--seat", "others=greedy", "--base-url", endpoint.url]
        asked = ["boxes", "run", "AmnesiaBox", *seats, "--boxes", 3, "--seed", 5, *params, "--out", tmp_path / "out"]
        assert called(*asked, "--dry-run")[1].startswith("36 requests")
        code, told, _ = called(*asked)
        assert code == 0, told
        assert (
            "scripted: 18 requests; replies that were read: 17 strict, 1 lenient, 0 malformed; 0 default actions; "
            in told.replace("\n", " ")
        )
        assert same(load(tmp_path / "out" / "run"), in_box(model(endpoint)))
    assert "must be SEAT=PLAYER" in str(called("boxes", "run", "AmnesiaBox", "--seat", "nobody", "--out", tmp_path)[2])
