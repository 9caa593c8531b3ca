"""People in a browser: the page, the connection, and what a hostile client cannot do. A host runs as a process of its own."""

import asyncio
import contextlib
import json
import os
import random
import re
import signal
import subprocess
import sys
import threading
import urllib.error
import urllib.request

import numpy as np
import pytest

from metarl_envs.host.messages import MOST_BYTES, MOST_IN_A_SENTENCE
from tests import an_example
from tests.browser import Browser, chosen, wait_for

pytest.importorskip("starlette", reason='needs starlette (pip install "metarl-envs[host]")')
pytest.importorskip("uvicorn", reason='needs uvicorn (pip install "metarl-envs[host]")')
websockets = pytest.importorskip("websockets", reason='needs websockets (pip install "metarl-envs[host]")')
from websockets.asyncio.client import connect  # noqa: E402

pytestmark = pytest.mark.slow

SMALL = {"agents": 3, "horizon": 12, "day": 6, "notes": 2, "levels": 3, "width": 2, "bases": 4, "recipes": 1, "lineages": 1}


class Host:
    """`metarl-envs host` in a process of its own, as ordinary Python."""

    def __init__(self, out, *options, box="AmnesiaBox", linger=0.5, **params):
        command = [sys.executable, "-c", "from metarl_envs.cli import main; main()", "host", box, "--out", str(out)]
        command += [*options, "--linger", str(linger), *(f"--param={name}={value}" for name, value in params.items())]
        env = {**os.environ, "NUMBA_DISABLE_JIT": "1"}
        self.out, self.lines = out, []
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=env)
        self._reader = threading.Thread(target=lambda: self.lines.extend(self.process.stdout))
        self._reader.start()

    def links(self, seconds=60):
        """The links, by what they are for."""
        wait_for(
            lambda: "live view" in self.said() or self.process.poll() is not None, seconds, lambda: f"it starts: {self.said()}"
        )
        found = dict(re.findall(r"^(.+): (https?://\S+#\S+)$", self.said(), flags=re.MULTILINE))
        assert found, self.said()
        return found

    def said(self):
        """What it has printed so far."""
        return "".join(self.lines)

    def end(self, seconds=60):
        """Wait until it ends by itself; what it said."""
        try:
            self.process.wait(seconds)
        finally:
            self.kill()
        return self.said()

    def kill(self):
        self.process.kill()
        self.process.wait()
        self._reader.join()
        self.process.stdout.close()

    @property
    def actions(self):
        return np.load(self.out / "run.npz")["actions"]


@pytest.fixture
def hosting(tmp_path):
    """Starts hosts, and ends them."""
    with contextlib.ExitStack() as ending:

        def start(*options, name="run", **more):
            host = Host(tmp_path / name, *options, **more)
            ending.callback(host.kill)
            return host

        yield start


@pytest.fixture
def browser(tmp_path):
    one = Browser(tmp_path / "profile")
    yield one
    one.close()


# ------------------------------------------------------------------------------------------------- clients
def address_of(link):
    """Where a page connects to, with what it says of itself, and its token."""
    base, token = link.split("#")
    origin = base.rpartition("/")[0]
    return origin.replace("http", "ws") + "/talk", origin, token


class Client:
    """A page without a browser, which answers and now and then loses its connection."""

    def __init__(self, link, losing=0.0, seed=0):
        self.address, self.origin, self.token = address_of(link)
        self.losing, self.random = losing, random.Random(seed)
        self.heard, self.connections, self.has_enough = [], 0, False

    async def play(self):
        """Play to the end."""
        while not self.has_enough and not (self.heard and self.heard[-1]["kind"] in ("over", "failed")):
            with contextlib.suppress(OSError, websockets.WebSocketException, TimeoutError):
                async with connect(self.address, origin=self.origin) as socket:
                    self.connections += 1
                    await self._talk(socket)
            await asyncio.sleep(0.02)

    async def _talk(self, socket):
        await socket.send(json.dumps({"kind": "enter", "token": self.token}))
        await socket.send(json.dumps({"kind": "ready"}))
        async for message in socket:
            self.heard.append(said := json.loads(message))
            if said["kind"] in ("over", "failed") or self.random.random() < self.losing:
                return
            if said["kind"] == "moment":
                answer = {"kind": "say", "step": said["step"], "sentence": chosen(said["text"], said["choices"])}
                await socket.send(json.dumps(answer))
                if self.random.random() < self.losing:
                    return


def play(clients):
    async def all_of_them():
        await asyncio.gather(*(client.play() for client in clients))

    asyncio.run(all_of_them())


def seats_in(links):
    return [link for name, link in links.items() if name.startswith("box")]


# ------------------------------------------------------------------------------------------------- many people
def test_thirty_people_lose_their_connections_and_nothing_else(hosting):
    params = {"agents": 7, "horizon": 200, "lineages": 1, "levels": 4, "width": 2, "bases": 6, "crossover": 0}
    options = [*(f"--seat={i}=person" for i in range(6)), "--seat=others=greedy", "--boxes=5", "--seconds-per-step=60"]
    host = hosting(*options, box="InventionBox", **params)
    clients = [Client(link, losing=0.02, seed=i) for i, link in enumerate(seats_in(host.links()))]
    assert len(clients) == 30
    play(clients)
    said = host.end()
    assert "5 rows of up to 200 steps" in said
    assert host.actions.shape == (5, 200, 7)
    lines = [json.loads(line) for line in (host.out / "transcript-0.jsonl").read_text().splitlines()[1:]]
    assert len(lines) == 5 * 6 * 200
    assert {(line["text"] == "", line["tries"]) for line in lines} == {(False, 1)}, "nothing is missed, and nothing said twice"
    assert sum(client.connections for client in clients) > 60
    for place, client in enumerate(clients):
        told = {f"You are agent_{place % 6}." in message["text"] for message in client.heard if "text" in message}
        assert told == {True}, "nobody is told what another one is"
        steps = [message["step"] for message in client.heard if message["kind"] == "moment"]
        assert sorted(set(steps)) == list(range(200))


def test_a_host_that_is_killed_goes_on_as_if_it_had_not_been(hosting):
    options = ["--seat=0=person", "--seat=1=person", "--seat=others=greedy", "--boxes=2", "--seconds-per-step=60"]
    params = {**SMALL, "horizon": 60}
    whole = hosting(*options, name="whole", **params)
    play([Client(link) for link in seats_in(whole.links())])
    whole.end()

    host = hosting(*options, name="killed", **params)
    links = host.links()
    clients = [Client(link, seed=i) for i, link in enumerate(seats_in(links))]
    playing = threading.Thread(target=play, args=(clients,))
    playing.start()
    for at in (20, 90, 160):
        transcript = host.out / "transcript-0.jsonl"
        wait_for(lambda at=at, file=transcript: file.read_bytes().count(b"\n") > at, 60, f"{at} answers are written")
        os.kill(host.process.pid, signal.SIGKILL)
        host.kill()
        host = hosting(*options, "--resume", name="killed", **params)
        assert host.links() == links
    playing.join(60)
    host.end()
    assert np.array_equal(host.actions, whole.actions)
    lines = [json.loads(line) for line in (host.out / "transcript-0.jsonl").read_text().splitlines()[1:]]
    assert [line["key"] for line in lines] == [[seed, seat, t, 0] for seed in (0, 1) for seat in (0, 1) for t in range(60)]
    assert not host.out.with_name("killed.links").exists(), "links are of no use any more"


def test_a_person_plays_beside_a_language_model(hosting):
    endpoint = an_example.load("scripted_endpoint.py").Endpoint()
    with endpoint:
        options = ["--seat=0=person", "--seat=1=model:scripted", "--seat=2=greedy", f"--base-url={endpoint.url}"]
        host = hosting(*options, "--seconds-per-step=60", **SMALL)
        play([Client(link) for link in seats_in(host.links())])
        host.end()
    assert host.actions.shape == (1, 12, 3)
    about = [json.loads((host.out / f"transcript-{i}.jsonl").read_text().splitlines()[0]) for i in range(2)]
    assert [about[0]["player"], about[1]["model"]] == ["person", "scripted"]


def test_a_host_that_is_interrupted_writes_what_was_played_and_can_go_on(hosting):
    options = ["--seat=0=person", "--seat=others=greedy", "--seconds-per-step=60"]
    host = hosting(*options, **{**SMALL, "horizon": 3000, "day": 30})
    links = host.links()
    client = Client(*seats_in(links))
    playing = threading.Thread(target=play, args=([client],))
    playing.start()
    wait_for(lambda: len(client.heard) > 30, 30, "some steps are made")
    host.process.send_signal(signal.SIGINT)
    said = host.end()
    assert "Traceback" not in said, said
    assert "the host was closed" in said
    assert "--resume" in said
    assert 10 < host.actions.shape[1] < 3000
    heard = len(client.heard)
    again = hosting(*options, "--resume", **{**SMALL, "horizon": 3000, "day": 30})
    assert again.links() == links
    wait_for(lambda: len(client.heard) > heard + 30, 30, "it goes on, with the page that was never closed")
    client.has_enough = True
    again.kill()
    playing.join(30)


# ------------------------------------------------------------------------------------------------- who means no good
def closed(link, *messages, origin=None, called="127.0.0.1", first=True):
    """How a connection ends on which these messages are sent: the code and the reason."""
    address, own, token = address_of(link)
    address = address.replace("127.0.0.1", called)

    async def talk():
        async with connect(address, origin=own if origin is None else origin, host="127.0.0.1") as socket:
            if first:
                await socket.send(json.dumps({"kind": "enter", "token": token}))
            with contextlib.suppress(websockets.ConnectionClosed):
                for message in messages:
                    await socket.send(message)
            with contextlib.suppress(websockets.ConnectionClosed):
                while True:
                    await asyncio.wait_for(socket.recv(), 15)
            return socket.protocol.close_code, socket.protocol.close_reason

    return asyncio.run(talk())


def test_a_hostile_client_is_shown_out_and_the_others_play_on(hosting):
    host = hosting("--seat=0=person", "--seat=1=person", "--seat=2=greedy", "--seconds-per-step=60", **SMALL)
    links = host.links()
    one, other, live = links["box 0, seat 0"], links["box 0, seat 1"], links["live view, for you alone"]
    say = json.dumps({"kind": "say", "step": 0, "sentence": "wait"})
    for length, code in ((2 * MOST_BYTES, 1009), (MOST_BYTES, 4008), (MOST_IN_A_SENTENCE + 1, 4008)):
        assert closed(one, json.dumps({"kind": "say", "step": 0, "sentence": "x" * length}))[0] == code
    assert closed(one, "{") == (4008, "a message is JSON")
    assert closed(one, b"\x00" * 10)[0] == 4008
    assert closed(one, *[say] * 200) == (4008, "too many messages")
    assert closed(one, json.dumps({"kind": "begin", "box": 0})) == (4008, "this is not for a seat")
    assert closed(one, json.dumps({"kind": "look", "box": 0}))[0] == 4008
    assert closed(live, say) == (4008, "this is not for the live view")
    assert closed(live, json.dumps({"kind": "look", "box": 7}))[0] == 4008
    assert closed(one, say, first=False)[0] == 4008
    assert closed(one.split("#")[0] + "#guessed") == (4003, "there is no such link")
    refused = websockets.InvalidStatus
    for wrong in ("http://evil.example", "null", one.split("/seat")[0].replace("127.0.0.1", "evil.example")):
        with pytest.raises(refused, match="403"):
            closed(one, origin=wrong)
    base = one.split("/seat")[0]
    for path in ("/", "/../session.py", "/static/seat.js", "/seat.html", "/%2e%2e/session.py", "/talk"):
        with pytest.raises(urllib.error.HTTPError, match="404") as refusal:
            urllib.request.urlopen(base + path, timeout=10)
        assert refusal.value.headers["Content-Security-Policy"].startswith("default-src 'none'")
        refusal.value.close()
    with pytest.raises(urllib.error.HTTPError, match="421") as refusal:  # a name that leads here without being ours
        urllib.request.urlopen(urllib.request.Request(base + "/seat", headers={"Host": "evil.example"}), timeout=10)
    refusal.value.close()
    with pytest.raises(refused, match="403"):
        closed(one, called="evil.example")
    with urllib.request.urlopen(base + "/seat", timeout=10) as page:
        assert "default-src 'none'; script-src 'self'" in page.headers["Content-Security-Policy"]
        assert page.headers["X-Content-Type-Options"] == "nosniff"
        assert page.headers["Referrer-Policy"] == "no-referrer"
    clients = [Client(one), Client(other)]
    play(clients)
    said = host.end()
    assert host.actions.shape == (1, 12, 3)
    tokens = [link.split("#")[1] for link in links.values()]
    assert all(said.count(token) == 1 for token in tokens), "links are told once, and stand in no log"
    written = b"".join(file.read_bytes() for file in host.out.iterdir())
    assert not any(token.encode() in written for token in tokens)


def test_other_machines_reach_it_only_if_one_says_so(hosting):
    host = hosting("--seat=all=person", "--host=0.0.0.0", **SMALL)
    assert "is no address that a browser can be given: give names (--name) too" in host.end()
    assert "give what stands in a link" in hosting("--seat=all=person", "--name=a b", **SMALL).end()
    host = hosting("--seat=all=person", "--host=0.0.0.0", "--name=https://study.example.org", name="named", **SMALL)
    links = host.links()
    assert links["box 0, seat 0"].startswith("https://study.example.org/seat#")
    assert any("warning: --host 0.0.0.0" in line for line in host.lines)


# ------------------------------------------------------------------------------------------------- in a browser
def take_part(page, consent=False):
    if consent:
        page.click("#agree")
    page.click("#practise")
    page.sees("Practice, which does not count: 4 steps left")
    page.click("#tiles .tile:enabled")
    page.sees("3 steps left")
    page.click("#begin")


def act(page, t, of):
    """Act in one step: two things are combined, the experiment is written down, and so on."""
    page.sees(f"Step {t} of {of}", "#status")
    if t % 3 < 2:
        page.click("#tiles .tile:enabled")
    else:
        page.run(
            "document.querySelector('.entry button:not(.erase)')?.click() ?? document.querySelector('#deeds button').click()"
        )


def test_two_pages_and_a_scripted_agent_finish_a_box(hosting, browser, tmp_path):
    consent = tmp_path / "consent.txt"
    consent.write_text("You may stop at any time.\n<img src=x onerror=alert(1)>")
    options = ["--seat=0=person", "--seat=1=person", "--seat=2=greedy", "--practice=4", f"--consent={consent}"]
    host = hosting(*options, "--seconds-per-step=60", linger=8, **SMALL)
    links = host.links()
    desk = browser.open(links["box 0, seat 0"])
    phone = browser.open(links["box 0, seat 1"], 390, 844, phone=True)
    live = browser.open(links["live view, for you alone"])
    desk.sees("<img src=x onerror=alert(1)>")
    take_part(desk, consent=True)
    desk.sees("Waiting for the others: 1 of 2 are here")
    live.sees("This box waits for those who are missing")
    take_part(phone, consent=True)
    for t in range(12):
        if t == 4:
            desk.reload()
            desk.sees("Step 4 of 12", "#status")
            desk.type("#sentence", "<script>window.hit = 1</script><img src=x onerror=window.hit=1>")
            desk.sees("'<script>window.hit = 1</script>", "#problem")
            assert desk.run("window.hit") is None
        if t == 6:
            desk.sees("You remember nothing but what is written", "#news")
        if t in (1, 2):
            desk.sees(f"Step {t} of 12", "#status")
            desk.press("2" if t == 1 else " ")  # the second thing, and to wait
        else:
            act(desk, t, 12)
        if t < 11:
            desk.sees("Waiting for the others")
        assert phone.run("document.documentElement.scrollWidth") <= 390
        act(phone, t, 12)
    for page in (desk, phone):
        page.sees("The end")
        assert not re.search(r"\d", page.text("main")), "the end tells no score"
        assert not page.text("#tiles")
    live.sees("step 12")
    live.sees("person is done")
    assert live.run("document.querySelector('#picture').naturalWidth") == 480
    assert [page.errors for page in (desk, phone, live)] == [[], [], []]
    host.end()
    assert host.actions.shape == (1, 12, 3)
    consents = [json.loads(line) for line in (host.out / "consents.jsonl").read_text().splitlines()[1:]]
    assert [(line["box"], line["seat"]) for line in consents] == [(0, 0), (0, 1)]
    lines = [json.loads(line) for line in (host.out / "transcript-0.jsonl").read_text().splitlines()[1:]]
    assert len(lines) == 24
    said = {tuple(line["key"][1:3]): line for line in lines}
    assert said[0, 4]["tries"] == 2
    assert said[0, 1]["text"].startswith("combine ")
    assert said[0, 2]["text"] == "wait"


def test_in_a_relay_the_page_of_yesterday_knows_nothing_any_more(hosting, browser):
    host = hosting("--seat=0=person", "--seat=others=greedy", "--relay=days", "--practice=0", linger=5, **SMALL)
    links = host.links()
    first = browser.open(links["box 0, seat 0, day 1"])
    first.click("#ready")
    for t in range(6):
        act(first, t, 12)
    first.sees("The end")
    assert first.run("document.body.textContent.match(/with|makes|Step/g)?.length ?? 0") == first.run(
        "[...document.querySelectorAll('#rules')].map((e) => e.textContent.match(/with|makes|Step/g)?.length ?? 0)[0]"
    ), "nothing of the day is left on the page"
    second = browser.open(links["box 0, seat 0, day 2"])
    second.sees("You have this seat for one day")
    second.click("#ready")
    second.sees("You remember nothing but what is written", "#news")
    second.sees("written: 1", "#books")
    for t in range(6, 12):
        act(second, t, 12)
    second.sees("The end")
    assert first.text("main").startswith("The end")
    host.end()
    assert host.actions.shape == (1, 12, 3)


def test_a_page_that_is_closed_holds_nobody_up(hosting, browser):
    host = hosting(
        "--seat=0=person", "--seat=1=person", "--seat=2=greedy", "--seconds-per-step=0.5", "--practice=0", linger=5, **SMALL
    )
    links = host.links()
    stays, goes = (browser.open(links[f"box 0, seat {i}"]) for i in range(2))
    stays.click("#ready")
    goes.click("#ready")
    goes.sees("Step 1 of 12")
    goes.go("about:blank")
    stays.sees("The time of the last step was up: you waited.")
    stays.sees("The end")
    host.end()
    lines = [json.loads(line) for line in (host.out / "transcript-0.jsonl").read_text().splitlines()[1:]]
    assert [line["text"] for line in lines] == [""] * 24


def test_what_is_written_in_notes_is_shown_as_text(hosting, browser):
    host = hosting("--seat=0=person", "--seat=others=greedy", "--practice=0", **SMALL, notation="text", entry_bytes=60)
    page = browser.open(host.links()["box 0, seat 0"])
    page.click("#ready")
    page.sees("Step 0 of 12")
    page.type("#sentence", "note 2: <script>document.title = 'run'</script>")
    page.sees("Step 1 of 12")
    page.type("#sentence", "read 1")
    page.sees("<script>document.title = 'run'</script>", "#books")
    assert page.run("document.querySelectorAll('#books script').length") == 0
    assert page.run("document.title") != "run"
    page.press("w")  # begins the first empty note in the field
    assert page.run("document.querySelector('#sentence').value") == "note 1: "
    page.type("#sentence", "note 1: " + "x" * 61)
    page.sees("this text has 61 bytes, and an entry holds at most 60")
    assert not page.errors
