"""People as players, without a network: who is asked, what is said, who is missing, and what is written down."""

import asyncio
import json
import os
import re
import stat
import threading

import numpy as np
import pytest

from metarl_envs import boxes
from metarl_envs.boxes.players.table import Boxes
from metarl_envs.boxes.scenarios import box_named
from metarl_envs.host import links, messages, session
from metarl_envs.host.consent import NAME, Consents
from metarl_envs.host.practice import Practice
from metarl_envs.host.room import Place, Room, RoomClosedError
from metarl_envs.players import Answer, People, PlayerError, Question, Seat, load
from metarl_envs.players.models.transcript import FORMAT
from metarl_envs.task_sets import tasks_of
from tests.browser import chosen, wait_for

pytestmark = pytest.mark.plain

BOX = {"agents": 2, "horizon": 12, "day": 6, "notes": 2, "levels": 3, "width": 2, "bases": 4, "recipes": 1, "lineages": 1}
SEEDS = [5, 6]


class Page:
    """A line whose reader answers at once, or as often as it is let."""

    def __init__(self, room, answers=True, most=10**9):
        self.room, self.answers, self.most = room, answers, most
        self.heard, self.closed, self.place = [], [], None

    def enter(self, token):
        self.place = self.room.enter(token, self)
        if self.place is not None:
            self.room.ready(self.place)
            self.room.show(self.place)
        return self

    def send(self, message):
        self.heard.append(json.loads(json.dumps(message)))
        if message["kind"] == "moment" and self.answers and self.most > 0:
            self.most -= 1
            self.room.say(self.place, message["step"], chosen(message["text"], message["choices"]))

    def close(self, reason):
        self.closed.append(reason)

    def kinds(self):
        return [message["kind"] for message in self.heard]


def a_room(seconds=20.0, seats=(0,), days=None, **more):
    places = [Place(box, seat, day) for box in range(len(SEEDS)) for seat in seats for day in days or (None,)]
    tokens = {place: f"token-{place}" for place in places}
    return Room(tokens, SEEDS, seconds=seconds, day=BOX["day"] if days else None, **more), tokens


def played(room, who=None, **more):
    people = People(room.ask, 8, {"seconds": 20.0})
    return boxes.run("AmnesiaBox", who(people) if who else {0: people, "others": "greedy"}, boxes=2, seed=5, **{**BOX, **more})


class Scripted:
    """What `Page` does, as a player that is not waited for."""

    def __init__(self, **told):
        pass

    def act(self, moment):
        question = Question.of(moment)
        return question.sentences.parse(chosen(question.text, question.choices)).action


@pytest.fixture(scope="module")
def expected():
    return boxes.run("AmnesiaBox", {0: Seat(Scripted), "others": "greedy"}, boxes=2, seed=5, **BOX)


def everybody(room, tokens, **more):
    return {place: Page(room, **more).enter(token) for place, token in tokens.items()}


# ------------------------------------------------------------------------------------------------- a run of people
def test_people_play_what_anybody_plays_who_says_the_same(expected, tmp_path, monkeypatch):
    synced = []
    monkeypatch.setattr(os, "fsync", synced.append)
    room, tokens = a_room()
    pages = everybody(room, tokens)
    run = played(room, out=tmp_path)
    assert np.array_equal(run.actions, expected.actions)
    assert np.array_equal(run.endings, expected.endings)
    assert run.seats == ("person(seconds=20.0)", "greedy")
    head, *lines = map(json.loads, (tmp_path / "transcript-0.jsonl").read_text().splitlines())
    assert head == {"format": FORMAT, "player": "person", "seconds": 20.0}
    assert [line["key"] for line in lines] == [[seed, 0, step, 0] for seed in SEEDS for step in range(12)]
    assert len(synced) == 1 + len(lines), "each answer has reached the disk before its step is made"
    assert all(line["text"] and line["tries"] == 1 for line in lines)
    steps = [message["step"] for message in pages[Place(0, 0, None)].heard if message["kind"] == "moment"]
    assert steps == list(range(12))


def test_a_page_is_told_what_any_player_of_its_seat_is_told_and_nothing_else():
    told = {}

    class Note(Scripted):
        def act(self, moment):
            seed, _, step = moment._place
            mask = moment.observation["action_mask"]
            legal = sorted(moment.wording.sentences.say(action) for action in np.flatnonzero(mask).tolist())
            told[seed, step] = moment.words, legal, moment.memory_reset
            return super().act(moment)

    boxes.run("AmnesiaBox", {0: Seat(Note), "others": "greedy"}, boxes=2, seed=5, **BOX)
    room, tokens = a_room()
    pages = everybody(room, tokens)
    played(room)
    for place, page in pages.items():
        moments = [message for message in page.heard if message["kind"] == "moment"]
        assert {message.keys() == moments[0].keys() for message in moments} == {True}
        assert moments[0].keys() == {"kind", "step", "text", "choices", "left", "seconds", "forgets", "missed"}
        for message in moments:
            words, legal, forgets = told[SEEDS[place.box], message["step"]]
            assert (message["text"], message["choices"], message["forgets"]) == (words, legal, forgets)


def test_whoever_is_away_waits_and_is_counted(tmp_path):
    room, _ = a_room(seconds=0.02, lobby=0.0)
    run = played(room, out=tmp_path)
    variant = tasks_of(box_named("AmnesiaBox"), None, "default", None, dict(BOX)).variant
    wait = Question.of(moment_of(variant)).sentences.default
    assert (run.actions[:, :, 0] == wait).all()
    assert [place["missed"] for place in room.overview()] == [12, 12]
    lines = [json.loads(line) for line in (tmp_path / "transcript-0.jsonl").read_text().splitlines()[1:]]
    assert {(line["text"], line["tries"]) for line in lines} == {("", 0)}


def moment_of(variant, seat=0):
    tasks = tasks_of(variant.family, None, None, None, dict(variant.values))
    return Boxes(tasks, np.array([5], np.uint64), ("x",) * variant.p.agents).step([seat]).moment(0)


# ------------------------------------------------------------------------------------------------- going on
def test_a_run_that_was_interrupted_goes_on_as_if_it_had_not_been(expected, tmp_path):
    room, tokens = a_room()
    pages = everybody(room, tokens)
    count = threading.Semaphore(13)

    def ask(question):
        if not count.acquire(blocking=False):
            raise RuntimeError("the plug is pulled")
        return room.ask(question)

    seats = {0: People(ask, 8, {"seconds": 20.0}), "others": "greedy"}
    with pytest.raises(PlayerError, match="the plug is pulled"):
        boxes.run("AmnesiaBox", seats, boxes=2, seed=5, out=tmp_path, **BOX)
    path = tmp_path / "transcript-0.jsonl"
    with path.open("a") as file:
        file.write('{"key": [5, 0, 11')  # and in the middle of a line
    before = [json.loads(line) for line in path.read_text().splitlines()[1:-1]]
    assert len(before) == 13
    again, tokens = a_room()
    pages = {place: Page(again) for place in tokens}
    for place, page in pages.items():
        page.place = again.enter(tokens[place], page)  # without saying that they are ready, as a page that was reloaded
    people = People(again.ask, 8, {"seconds": 20.0}, again.recall)
    run = boxes.run("AmnesiaBox", {0: people, "others": "greedy"}, boxes=2, seed=5, out=tmp_path, resume=True, **BOX)
    assert [place["steps"] for place in again.overview()] == [12, 12]
    assert run.fingerprint == load(tmp_path / "run").fingerprint
    assert np.array_equal(run.actions, expected.actions)
    asked = [(SEEDS[page.place.box], message["step"]) for page in pages.values() for message in page.heard if "text" in message]
    assert sorted(asked) == sorted(
        {(seed, step) for seed in SEEDS for step in range(12)} - {(*line["key"][::2],) for line in before}
    )


def test_who_never_came_before_a_restart_is_not_taken_for_ready(questions):
    room, _ = a_room(seats=(0, 1))
    for question, sentence in ((questions[0], "wait"), (questions[1], "")):
        room.recall(question, sentence)
    assert [room.is_ready(Place(0, seat, None)) for seat in range(2)] == [True, False]
    assert [place["missed"] for place in room.overview()] == [0, 1, 0, 0]


def test_what_is_resumed_was_asked_the_same(tmp_path):
    room, tokens = a_room()
    everybody(room, tokens)
    played(room, out=tmp_path)
    with pytest.raises(ValueError, match=r"seconds was 20\.0 and is 7\.0"):
        People(room.ask, 8, {"seconds": 7.0}).written_to(tmp_path / "transcript-0.jsonl", resume=True).open()
    room, tokens = a_room()
    everybody(room, tokens)
    with pytest.raises(PlayerError, match="answers another question"):
        played(room, out=tmp_path, resume=True, horizon=18)


def test_a_room_that_is_closed_ends_the_run_with_what_was_played(tmp_path):
    room, tokens = a_room()
    pages = everybody(room, tokens, most=3)
    threading.Timer(0.3, room.close, ["the host was closed"]).start()
    with pytest.raises(PlayerError, match="the host was closed") as raised:
        played(room, out=tmp_path)
    assert isinstance(raised.value.__cause__, RoomClosedError)
    assert load(tmp_path / "run").actions.shape == (2, 3, 2)
    assert all(page.kinds()[-1] == "failed" for page in pages.values())


# ------------------------------------------------------------------------------------------------- coming and going
def ask_in_a_thread(room, question):
    answers = []
    thread = threading.Thread(target=lambda: answers.append(room.ask(question)))
    thread.start()
    return lambda: (thread.join(10), answers[0])[1]


@pytest.fixture(scope="module")
def questions():
    """The first question of each seat of a box."""
    variant = tasks_of(box_named("AmnesiaBox"), None, None, None, dict(BOX)).variant
    return [Question.of(moment_of(variant, seat))._replace(seed=5, seat=seat) for seat in range(2)]


def test_a_party_begins_when_all_are_there(questions):
    room, tokens = a_room(seats=(0, 1))
    first, second = (Page(room, answers=False) for _ in range(2))
    first.enter(tokens[Place(0, 0, None)])
    answer = ask_in_a_thread(room, questions[0])
    assert first.heard[-1] == {"kind": "lobby", "here": 1, "of": 2}
    second.enter(tokens[Place(0, 1, None)])
    second_answer = ask_in_a_thread(room, questions[1])
    wait_for(lambda: "moment" in first.kinds() and "moment" in second.kinds(), 5, "it happens")
    room.say(first.place, 0, "wait")
    room.say(second.place, 0, "Wait.")
    assert (answer().sentence, second_answer().sentence) == ("wait", "Wait.")
    assert first.heard[-1] == {"kind": "acted", "step": 0}


def test_the_experimenter_may_begin_without_those_who_are_missing(questions):
    room, tokens = a_room(seats=(0, 1))
    page = Page(room).enter(tokens[Place(0, 0, None)])
    answer = ask_in_a_thread(room, questions[0])
    wait_for(lambda: room.overview()[0]["awaited"], 5, "it happens")
    room.begin(1)
    assert "moment" not in page.kinds()
    room.begin(0)
    assert answer().sentence in questions[0].choices


def test_the_newest_page_has_the_seat_and_is_shown_where_things_stand(questions):
    room, tokens = a_room()
    old = Page(room, answers=False).enter(tokens[Place(0, 0, None)])
    answer = ask_in_a_thread(room, questions[0])
    wait_for(lambda: "moment" in old.kinds(), 5, "it happens")
    new = Page(room, answers=False).enter(tokens[Place(0, 0, None)])
    assert old.closed == ["opened elsewhere"]
    assert {**new.heard[-1], "left": 0} == {**old.heard[-1], "left": 0}
    room.leave(old.place, old)  # late, of the page that was shown out
    assert room.overview()[0]["here"]
    room.say(new.place, 0, "wait")
    back = Page(room).enter(tokens[Place(0, 0, None)])
    assert answer().sentence == "wait"
    assert back.kinds()[-1] in ("acted", "wait")


def test_no_token_opens_another_seat(questions):
    room, tokens = a_room(seats=(0, 1))
    for wrong in ("", "x", tokens[Place(0, 0, None)][:-1], tokens[Place(0, 0, None)] + "x", "é\ud800"):
        assert Page(room).enter(wrong).place is None
    assert Page(room).enter(tokens[Place(1, 1, None)]).place == Place(1, 1, None)


def test_what_is_no_sentence_is_said_back_and_what_comes_late_is_left(questions):
    room, tokens = a_room()
    page = Page(room, answers=False).enter(tokens[Place(0, 0, None)])
    room.say(page.place, 0, "wait")
    assert page.heard[-1] == {"kind": "late", "step": 0}, "before anything was asked"
    answer = ask_in_a_thread(room, questions[0])
    wait_for(lambda: "moment" in page.kinds(), 5, "it happens")
    room.say(page.place, 1, "wait")
    assert page.heard[-1] == {"kind": "late", "step": 1}
    room.say(page.place, 0, "<script>alert(1)</script>")
    assert page.heard[-1]["kind"] == "problem"
    assert page.heard[-1]["problem"].startswith("'<script>alert(1)</script>' is no sentence. You can say: take X")
    room.say(page.place, 0, "wait")
    room.say(page.place, 0, "note 1")
    assert page.heard[-1] == {"kind": "late", "step": 0}, "the first answer counts"
    assert answer() == Answer("wait", answer().seconds, 2)
    assert room.overview()[0]["malformed"] == 1


def test_whoever_becomes_ready_when_it_has_begun_is_shown_what_is_asked_already(questions):
    room, tokens = a_room(lobby=0.0)
    page = Page(room, answers=False)
    page.place = room.enter(tokens[Place(0, 0, None)], page)
    answer = ask_in_a_thread(room, questions[0])
    wait_for(lambda: room.overview()[0]["asked"], 5, "it is asked, though nobody is ready")
    room.ready(page.place)
    assert page.kinds()[-1] == "moment"
    room.say(page.place, 0, "wait")
    assert answer().sentence == "wait"


class Refused:
    """A model whose endpoint is not there."""

    def __init__(self, **told):
        pass

    def act(self, moment):
        raise OSError("no such model")


def test_where_a_player_fails_nobody_is_waited_for_and_that_is_what_is_told():
    """The person never comes; the other seat fails at once."""
    room, _ = a_room()
    people = People(room.ask, 8, stop=lambda: room.close("the run ended before its time"))
    with pytest.raises(PlayerError, match="no such model") as failed:
        boxes.run("AmnesiaBox", {0: people, 1: Seat(Refused)}, boxes=2, seed=5, **BOX)
    assert failed.value.seat == 1


# ------------------------------------------------------------------------------------------------- relay
def test_in_a_relay_each_day_has_another_page(expected, tmp_path):
    room, tokens = a_room(days=(0, 1))
    pages = everybody(room, tokens)
    run = played(room, out=tmp_path)
    assert np.array_equal(run.actions, expected.actions)
    room.finish(0)
    assert [place for place, page in pages.items() if page.kinds()[-1] != "over"] == [Place(1, 0, 1)]
    room.finish(1)
    for place, page in pages.items():
        moments = [message for message in page.heard if message["kind"] == "moment"]
        assert [message["step"] for message in moments] == [6 * place.day + k for k in range(6)]
        assert moments[0]["forgets"]
        assert page.kinds().count("over") == 1
        assert page.kinds()[-1] == "over"


def test_a_day_waits_for_its_own_people(questions):
    room, tokens = a_room(days=(0, 1))
    today = Page(room, answers=False).enter(tokens[Place(0, 0, 0)])
    answer = ask_in_a_thread(room, questions[0]._replace(step=6))
    wait_for(lambda: today.kinds()[-1:] == ["over"], 5, "it happens")
    tomorrow = Page(room).enter(tokens[Place(0, 0, 1)])
    assert answer().sentence in questions[0].choices
    assert "moment" in tomorrow.kinds()
    assert "moment" not in today.kinds()


# ------------------------------------------------------------------------------------------------- messages and links
@pytest.mark.parametrize(
    "said",
    [
        None,
        b'{"kind": "ready"}',
        "",
        "{",
        "[" * 2000,
        "[]",
        "3",
        '{"kind": 3}',
        '{"kind": "nonsense"}',
        '{"kind": ["ready"]}',
        '{"kind": "ready", "more": 1}',
        '{"kind": "say", "step": 1}',
        '{"kind": "say", "step": true, "sentence": "wait"}',
        '{"kind": "say", "step": 1.0, "sentence": "wait"}',
        '{"kind": "say", "step": -1, "sentence": "wait"}',
        '{"kind": "say", "step": 1e999, "sentence": "wait"}',
        '{"kind": "say", "step": NaN, "sentence": "wait"}',
        '{"kind": "say", "step": 99999999999999999999, "sentence": "wait"}',
        '{"kind": "say", "step": 1, "sentence": ["wait"]}',
        json.dumps({"kind": "say", "step": 1, "sentence": "x" * 4121}),
        json.dumps({"kind": "enter", "token": "x" * 101}),
        json.dumps({"kind": "ready"}) + " " * 9000,
    ],
)
def test_what_no_page_says_is_refused(said):
    with pytest.raises(messages.BadMessageError):
        messages.read_message(said)


def test_what_a_page_says_is_understood():
    for said in (
        {"kind": "enter", "token": "abc"},
        {"kind": "say", "step": 3, "sentence": "combine a with b"},
        {"kind": "agree"},
        {"kind": "practise"},
        {"kind": "begin", "box": 0},
    ):
        assert messages.read_message(json.dumps(said)) == said


def test_a_flood_is_too_much():
    rate = messages.Rate()
    for _ in range(messages.BURST):
        rate.take()
    with pytest.raises(messages.BadMessageError, match="too many"):
        [rate.take() for _ in range(10)]


def test_links_are_kept_for_their_owner_alone_and_nothing_else_is_taken_for_them(tmp_path):
    places = [Place(0, 0, None), Place(0, 1, None)]
    made = links.new_links(places)._replace(port=8000)
    path = links.file_of(tmp_path / "run")
    assert path == tmp_path / "run.links"
    links.save(made, path)
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o600
    assert links.load(path, places) == made
    with pytest.raises(ValueError, match="holds no links for these 2 places"):
        links.load(path, [Place(0, 1, None), Place(1, 1, None)])
    tokens = {*made.places.values(), made.watch}
    assert len(tokens) == 3
    assert all(len(token) == 43 for token in tokens)
    said = json.loads(path.read_text())
    for wrong in (
        {"port": "8000"},
        {"port": 99999},
        {"tokens": said["tokens"][:1]},
        {"tokens": [said["watch"], said["tokens"][0]]},
        {"tokens": ["../../etc/passwd", said["tokens"][0]]},
        {"tokens": [3, 4]},
        {"watch": ""},
        {"format": "x"},
    ):
        path.write_text(json.dumps({**said, **wrong}))
        with pytest.raises(ValueError, match="links"):
            links.load(path, places)


# ------------------------------------------------------------------------------------------------- practice
# ------------------------------------------------------------------------------------------------- consent
ASKED = [Place(0, 0, None), Place(0, 1, None), Place(1, 0, 2)]


def test_who_consents_is_written_by_place_and_time_and_nothing_else(tmp_path):
    folder = tmp_path / "run"
    consents = Consents("You may stop at any time.", folder, ASKED, False)
    assert all(map(consents.needed, ASKED))
    assert not folder.exists(), "nobody has consented yet"
    consents.give(ASKED[2])
    consents.give(ASKED[0])
    written = (folder / NAME).read_bytes()
    consents.give(ASKED[0])
    assert (folder / NAME).read_bytes() == written, "the first time counts"
    head, *lines = map(json.loads, written.splitlines())
    assert head["text"] == "You may stop at any time."
    assert [line.keys() for line in lines] == [{"box", "seat", "day", "when"}] * 2
    assert [Place(line["box"], line["seat"], line["day"]) for line in lines] == [ASKED[2], ASKED[0]]
    assert all(re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z", line["when"]) for line in lines)
    assert [consents.needed(place) for place in ASKED] == [False, True, False]


def test_consents_are_found_again_and_those_to_something_else_are_not(tmp_path):
    first = Consents("text", tmp_path, ASKED, False)
    first.give(ASKED[0])
    with open(tmp_path / NAME, "ab") as file:
        file.write(b'{"box": 0, "seat": 1, "da')
    again = Consents("text", tmp_path, ASKED, True)
    assert again.when == first.when, "what was cut short is no consent"
    again.give(ASKED[1])
    assert Consents("text", tmp_path, ASKED, True).when.keys() == {ASKED[0], ASKED[1]}
    with pytest.raises(FileExistsError, match="is there already"):
        Consents("text", tmp_path, ASKED, False)
    with pytest.raises(ValueError, match="line 1: another text was consented to"):
        Consents("another text", tmp_path, ASKED, True)
    with pytest.raises(ValueError, match="line 3: it is no consent of a place of this run"):
        Consents("text", tmp_path, ASKED[:1], True)
    (tmp_path / NAME).write_text("[]\n")
    with pytest.raises(ValueError, match="cannot be resumed: line 1"):
        Consents("text", tmp_path, ASKED, True)


def test_without_a_text_nobody_need_consent(tmp_path):
    consents = Consents(None, tmp_path, ASKED, False)
    consents.give(ASKED[0])
    assert not any(map(consents.needed, ASKED))
    assert not list(tmp_path.iterdir())


def served(room, consents, token, *said):
    """How a page is welcomed that says these things, one after the other, and then is gone."""
    server = pytest.importorskip("metarl_envs.host.server")
    line = Page(room, answers=False)
    web = server._Web(server.Hosted(room, None, lambda seat: None, {"consent": "text"}, consents, "watch"), frozenset())
    saying = iter(said)

    async def hear():
        if (kind := next(saying, None)) is None:
            raise server.WebSocketDisconnect
        return {"kind": kind}

    try:
        asyncio.run(web._serve_seat(hear, line, room.enter(token, line)))
    except server.WebSocketDisconnect:
        return next(message for message in line.heard if message["kind"] == "welcome")
    raise AssertionError("it was shown out")


def test_first_comes_the_consent(tmp_path):
    room, tokens = a_room(seats=(0, 1))
    consents = Consents("text", tmp_path, list(tokens), False)
    place, other = list(tokens)[:2]
    for said in ("ready", "practise"):
        with pytest.raises(messages.BadMessageError, match="first comes the consent"):
            served(room, consents, tokens[place], said)
    assert not room.is_ready(place)
    assert served(room, consents, tokens[place], "agree", "ready")["agreed"] is False
    assert room.is_ready(place)
    assert consents.when.keys() == {place}
    assert served(room, consents, tokens[place])["agreed"] is True, "who comes back is not asked again"
    assert served(room, consents, tokens[other])["agreed"] is False
    assert served(room, Consents(None, tmp_path, list(tokens), False), tokens[other], "ready")["agreed"] is True


def test_a_practice_round_tells_nothing_of_the_run():
    variant = tasks_of(box_named("AmnesiaBox"), None, None, None, dict(BOX)).variant
    practice, real = Practice(variant, SEEDS, 0, 4), Question.of(moment_of(variant))
    assert practice.question.rules == real.rules
    words = lambda text: set(text.split("You have: ")[1].split(".")[0].split(", "))  # noqa: E731
    assert not words(practice.question.text) & words(real.text)
    assert "is no sentence" in practice.say("fly")
    assert practice.left == 4
    for left in (3, 2, 1, 0):
        assert practice.say(practice.question.choices[0]) == ""
        assert practice.left == left
    before = practice.told()
    assert practice.say("wait") == ""
    assert practice.told() == before


# ------------------------------------------------------------------------------------------------- addresses
def test_a_host_is_called_as_browsers_call_it():
    assert session._named("https://study.example.org:443") == ("https", "study.example.org")
    assert session._named("http://lab-7:80") == session._named("lab-7") == ("http", "lab-7")
    assert session._named("lab-7:8000") == ("http", "lab-7:8000")
    assert "127.0.0.2:8000" in session._hosts("127.0.0.2", 8000, False)


@pytest.mark.parametrize("linger", [-1.0, float("inf"), float("nan")])
def test_a_page_stays_for_a_time_that_there_is(linger, tmp_path):
    with pytest.raises(ValueError, match="must be from 0 to 604800 seconds"):
        session.host("AmnesiaBox", {"all": "person"}, tmp_path, linger=linger, **BOX)
