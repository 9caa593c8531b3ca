"""Notes in symbols and in text: their bytes, who writes and who sees them, and that runs are lived again exactly."""

import itertools
import unicodedata
from collections import Counter
from typing import Any

import numpy as np
import pytest

from metarl_envs import boxes, text
from metarl_envs.boxes.envs.parallel import ParallelBox
from metarl_envs.boxes.players.table import Boxes
from metarl_envs.boxes.scenarios.amnesia import AmnesiaBox
from metarl_envs.boxes.scenarios.generations import GenerationsBox
from metarl_envs.boxes.scenarios.hazard import HazardBox
from metarl_envs.boxes.scenarios.sealed import SealedBox
from metarl_envs.boxes.study.replay import lines
from metarl_envs.boxes.study.writing import _shared_bits
from metarl_envs.boxes.view.numbers import numbers_of
from metarl_envs.boxes.view.picture import draw_box
from metarl_envs.boxes.view.seat_picture import SeatView, draw_seat
from metarl_envs.boxes.view.words import Grammar, text_for, words_at, words_in
from metarl_envs.boxes.world.core import is_drawn_before
from metarl_envs.boxes.world.mechanisms import verbs_of
from metarl_envs.boxes.world.notes import LENGTH, NOTEBOOK, NOTICEBOARD, WHEN
from metarl_envs.boxes.world.symbols import SYMBOLS
from metarl_envs.boxes.world.texts import TEXTS, number_and_text, renamed, shown, text_problem, with_bytes
from metarl_envs.engine import Picture
from metarl_envs.engine.compiling.kernels import plain
from metarl_envs.engine.records import Row
from metarl_envs.players import load
from metarl_envs.players.people import Answer, People
from metarl_envs.task_sets import TaskSet

pytestmark = pytest.mark.plain

TREE: dict[str, Any] = {"lineages": 1, "levels": 2, "width": 2, "bases": 4, "recipes": 1, "dead_ends": 0.0}
SMALL: dict[str, Any] = {**TREE, "horizon": 60, "day": 20, "agents": 3, "notes": 3, "board": 2, "page": 2}
IN_SYMBOLS: dict[str, Any] = {**SMALL, "notation": "symbols", "entry_bytes": 4, "alphabet": 5}
IN_TEXT: dict[str, Any] = {**SMALL, "notation": "text", "entry_bytes": 24}


def changed(params: dict[str, Any], **others: Any) -> dict[str, Any]:
    """The parameters, some of them others."""
    return params | others


def opened(params, count=1):
    """Boxes that were just opened."""
    tasks = TaskSet.of_family(AmnesiaBox, **params)
    return Boxes(tasks, np.arange(count, dtype=np.uint64), ("nobody",) * tasks.variant.p.agents)


def at_random(rng, verbs, p):
    """The numbers of actions, mostly of those that have to do with notes."""
    first, last = (0, verbs.end) if rng.random() < 0.2 else (verbs.wait + 1, verbs.end)
    return rng.integers(first, last, p.agents)


# ------------------------------------------------------------------------------------------------- capacity
def test_all_notations_can_have_the_same_capacity_in_bytes():
    """An experiment has six bytes that can be read: three items of two bytes each (its time nobody is shown)."""
    records = {notation: AmnesiaBox.with_params(**SMALL, notation=notation).state for notation in ("event", "symbols", "text")}
    event = records["event"]["notes"]
    assert event.shape == (3, 3, 4)
    assert event.base.itemsize * WHEN == 6
    for notation in ("symbols", "text"):
        assert records[notation]["written"].shape == (3, 3, 6)
        assert records[notation]["posted"].shape == (2, 6)
        assert records[notation]["written"].base == np.uint8
    assert not {"written", "posted", "pen", "draft"} & set(records["event"].names or ())


class Books:
    """What stands in notebooks and on the board, by a model of its own: lists, and where pens are."""

    def __init__(self, p):
        self.p, self.pens = p, [None] * p.agents
        self.entries: dict[Any, Any] = {(i, k): None for i in range(p.agents) for k in range(p.notes)}
        self.entries |= {("board", k): None for k in range(p.board)}

    def begin(self, i, where):
        """Agent i begins an entry."""
        self.pens = [None if pen == where and where[0] == "board" else pen for pen in self.pens]
        self.entries[where], self.pens[i] = [], where

    def put(self, i, symbol):
        """Agent i puts a symbol; whether it can."""
        where = self.pens[i]
        if where is None or self.entries[where] is None or len(self.entries[where]) == self.p.entry_bytes:
            return False
        self.entries[where].append(symbol)
        return True


def test_symbols_are_written_as_lists_are():
    """Against a model of its own, with illegal actions, dawns, and several who begin at one place of the board at once."""
    table = opened(IN_SYMBOLS)
    p, verbs, rng = table.variant.p, verbs_of(table.variant.p), np.random.default_rng(0)
    model, lots, lifted = Books(p), 0, 0
    for _ in range(p.horizon):
        before, numbers = Row(table.states[0].copy()), at_random(rng, verbs, p)
        did = [verbs.find(int(number)) for number in numbers]
        for i, (verb, k) in enumerate(did):  # what is one's own, in whichever order
            if verb.name == "begin":
                model.begin(i, (i, k))
            elif verb.name == "erase":
                model.entries[i, k] = None
            elif verb.name == "put":
                legal = plain(SYMBOLS.verbs[2].legal)(p, before, i, k)
                assert model.put(i, k) == legal
        by_place = Counter(k for verb, k in did if verb.name == "begin_post")
        for k in by_place:
            who = [i for i, deed in enumerate(did) if deed[0].name == "begin_post" and deed[1] == k]
            first = next(i for i in who if all(plain(is_drawn_before)(before, i, j) for j in who if j != i))
            lots += len(who) > 1
            lifted += sum(pen == ("board", k) for j, pen in enumerate(model.pens) if j != first)
            model.begin(first, ("board", k))
        table.actions[0] = numbers
        table.advance()
        state = Row(table.states[0])
        if state.t % p.day == 0:
            model.pens = [None] * p.agents
        for where, content in model.entries.items():
            book, i = (NOTICEBOARD, 0) if where[0] == "board" else (NOTEBOOK, where[0])
            assert (book.entries(p, state, i)[where[1], WHEN] >= 0) == (content is not None)
            assert list(book.bytes_at(p, state, i, where[1])) == (content or [])
    assert min(lots, lifted) > 0, "it should have been tried"


@pytest.mark.parametrize(("params", "mechanism", "symbols"), [(IN_SYMBOLS, SYMBOLS, 5), (IN_TEXT, TEXTS, 256)], ids=["s", "t"])
def test_what_is_seen_is_what_is_written_on_open_pages(params, mechanism, symbols):
    table = opened(params)
    p, verbs, rng = table.variant.p, verbs_of(table.variant.p), np.random.default_rng(1)
    shown_entries = closed_entries = 0
    for _ in range(p.horizon - 1):
        table.actions[:] = 0
        table.actions.reshape(p.agents, -1)[:, 0] = at_random(rng, verbs, p)
        if params is IN_TEXT:
            table.actions[0, :, 1:] = rng.integers(0, 256, (p.agents, p.entry_bytes))
        table.advance()
        state = Row(table.states[0])
        told = table.step([0, 1, 2]).observation["observation"]
        for i in range(p.agents):
            seen = told[i, numbers_of(p, mechanism)]
            rows = seen[: (p.notes + p.board) * (1 + p.entry_bytes)].reshape(-1, 1 + p.entry_bytes)
            places = [(NOTEBOOK, k) for k in range(p.notes)] + [(NOTICEBOARD, k) for k in range(p.board)]
            for row, (book, k) in zip(rows, places, strict=True):
                is_open = k // p.page not in book.closed(p, state, i)
                content = book.bytes_at(p, state, i, k) if is_open else b""
                numbers = [byte + 1 for byte in content] + [0] * (p.entry_bytes - len(content))
                assert np.rint(row[1:] * symbols).astype(int).tolist() == numbers
                assert row[0] == (book.entries(p, state, i)[k, WHEN] >= 0)
                shown_entries += bool(content)
                closed_entries += not is_open and row[0] == 1
    assert shown_entries
    assert closed_entries


def test_a_pen_is_told_in_numbers_and_in_words():
    table = opened(IN_SYMBOLS)
    p, verbs = table.variant.p, verbs_of(table.variant.p)
    for number in (verbs.begin + 1, verbs.put + 3, verbs.put):
        table.actions[0] = [number, verbs.wait, verbs.wait]
        table.advance()
    step = table.step([0, 1])
    place, full = step.observation["observation"][0, numbers_of(p, SYMBOLS)][-2:]
    assert (place, full) == (pytest.approx(2 / 5), 0.5)
    assert "Your pen is at note 2: 2 of 4 symbols are written there." in step.moment(0).words
    assert step.observation["observation"][1, numbers_of(p, SYMBOLS)][-2:].tolist() == [0, 0]
    assert "pen" not in step.moment(1).words
    table.actions[0] = [verbs.read, verbs.wait, verbs.wait]
    table.advance()
    assert "  2: 4 1\n" in table.step([0]).moment(0).words


# ------------------------------------------------------------------------------------------------- what is refused
@pytest.mark.parametrize(
    ("family", "params", "says"),
    [
        (AmnesiaBox, {"notation": "symbols", "relabel": "dawn"}, "relabel"),
        (AmnesiaBox, {"notation": "text", "notes": 0}, "something to write in"),
        (AmnesiaBox, {"entry_bytes": 8}, "an experiment has 6 bytes"),
        (AmnesiaBox, {"notation": "text", "alphabet": 5}, "notation='symbols'"),
        (HazardBox, {"notation": "text", "board": 2}, "hazards"),
        (SealedBox, {"notation": "symbols"}, "claims"),
        (GenerationsBox, {"notation": "text", "notes": 2, "inherit": "notes", "copy_error": 0.1}, "copy_error"),
    ],
)
def test_what_does_not_go_together_is_refused(family, params, says):
    with pytest.raises(ValueError, match=says):
        family.with_params(**params)


def test_players_who_write_otherwise_are_refused():
    with pytest.raises(ValueError, match="does not suit AmnesiaBox"):
        boxes.run("AmnesiaBox", {0: "notes_fifo"}, boxes=1, **changed(IN_TEXT, agents=1))
    with pytest.raises(ValueError, match="does not suit AmnesiaBox"):
        boxes.run("AmnesiaBox", {0: "coder"}, boxes=1, **changed(IN_SYMBOLS, agents=1))


# ------------------------------------------------------------------------------------------------- text
LETTERS = "abc XYZ 019 .,:;'\"<>&%{}$`\\/\u00e4\u00df\u65e5\u672c\U0001f600\u0301"
BAD = "\n\r\t\0\x1b\x7f\x85\u2028\u2029\u202e\u200b\ud800"


def test_a_text_is_written_whole_or_said_back():
    """Whatever is written can be shown, and is what was said; whatever cannot be shown as one line is said back."""
    table = opened(IN_TEXT)
    p, rng = table.variant.p, np.random.default_rng(0)
    grammar = Grammar(p, words_in(p, table.states[0]))
    written = refused = 0
    for _ in range(400):
        letters = LETTERS + BAD if rng.random() < 0.3 else LETTERS
        said = "".join(rng.choice(list(letters), rng.integers(0, 20)))
        meant = grammar.parse(f"note 2: {said}", -1)
        if meant.problem:
            refused += 1
            size = len(said.encode(errors="replace"))
            assert not said.strip() or size > p.entry_bytes or set(said) & set(BAD)
            assert (meant.action == grammar.wait).all()
            continue
        written += 1
        table.actions[0] = [meant.action, grammar.wait, grammar.wait]
        if table.t == p.horizon - 1:
            table = opened(IN_TEXT)
            table.actions[0] = [meant.action, grammar.wait, grammar.wait]
        table.advance()
        content = NOTEBOOK.bytes_at(p, Row(table.states[0]), 0, 1)
        assert content == said.rstrip().encode()
        assert shown(content) == said.rstrip()
        assert grammar.say(meant.action, -1) == f"note 2: {said.rstrip()}"
    assert written > 100
    assert refused > 50


def test_whatever_bytes_there_are_one_harmless_line_is_shown():
    rng = np.random.default_rng(0)
    for _ in range(500):
        content = rng.integers(0, 256, rng.integers(0, 40)).astype(np.uint8).tobytes()
        content += "".join(rng.choice(list(BAD[:-1]), 3)).encode()
        line = shown(content)
        assert len(line.splitlines()) == 1
        assert not [letter for letter in line if unicodedata.category(letter)[0] == "C"]


def test_an_array_writes_the_bytes_before_the_first_zero():
    table = opened(IN_TEXT)
    p, verbs = table.variant.p, verbs_of(table.variant.p)
    action = with_bytes(p, verbs.write, b"abc")
    action[6:9] = 7  # behind the end
    table.actions[0] = [action, with_bytes(p, verbs.write + 2), with_bytes(p, verbs.wait, b"lost")]
    table.advance()
    state = Row(table.states[0])
    assert NOTEBOOK.bytes_at(p, state, 0, 0) == b"abc"
    assert state.notes[1, 2, LENGTH] == 0
    assert state.notes[1, 2, WHEN] == 0
    assert number_and_text(action) == (verbs.write, "abc")
    assert not (np.asarray(state.notes)[2, :, WHEN] >= 0).any()


def test_of_two_texts_at_one_place_one_stands_by_lot():
    winners = set()
    for seed in range(8):
        tasks = TaskSet.of_family(AmnesiaBox, **IN_TEXT)
        table = Boxes(tasks, np.array([seed], np.uint64), ("nobody",) * 3)
        p, verbs = table.variant.p, verbs_of(table.variant.p)
        table.actions[0] = [with_bytes(p, verbs.write_post + 1, text) for text in (b"a", b"bb", b"ccc")]
        before = Row(table.states[0].copy())
        table.advance()
        first = next(i for i in range(3) if all(plain(is_drawn_before)(before, i, j) for j in range(3) if j != i))
        assert NOTICEBOARD.bytes_at(p, Row(table.states[0]), 0, 1) == (b"a", b"bb", b"ccc")[first]
        winners.add(first)
    assert len(winners) > 1


def test_names_are_rewritten_as_whole_words_however_they_are_capitalised():
    names = {"flim": "dorp", "bask": "kadat"}
    told = "flim+Bask, FLIM (fLiM) flims unflim flim2 flim_bask 'flim'"
    assert renamed(told, names) == "dorp+Kadat, DORP (dorp) flims unflim dorp2 dorp_kadat 'dorp'"


def test_with_relabel_notes_speak_in_todays_names_and_old_ones_are_never_shown():
    """Day after day, over a note that stays, one that is written anew, and the board."""
    env = text.make("AmnesiaBox", **changed(IN_TEXT, agents=1, relabel="dawn", free_reading=True, horizon=100))
    env.reset()
    p = env.variant.p

    def state():
        return env._env._worlds.worlds.view(np.ndarray)["state"][0]["box"]

    first = words_at(p, state(), 0)
    env.step(f"note 1: {first[0]} + {first[3].upper()}!")
    env.step(f"post 2: not {first[5]}")
    gone: set[str] = set()
    while not env.done:
        today = words_in(p, state())
        gone |= set(words_at(p, state(), max(0, int(state()["t"]) - p.day))) - set(today)
        if env.memory_reset and state()["t"]:
            env.step(f"note 2: {today[1]} {first[2]}")  # whoever remembers an old name has no use of it
        assert f'1: "{today[0]} + {today[3].upper()}!"' in env.text
        assert f'2: "not {today[5]}"' in env.text
        assert not {word for word in gone - {first[2]} if word in env.text.lower()}
        if state()["t"] > 25:
            assert f'2: "{today[1]} {first[2]}"' in env.text
        env.step("wait")
    assert len(gone) >= 3 * len(first)


# ------------------------------------------------------------------------------------------------- doors
class Scribbler:
    """Any action of its space; in text, whatever bytes."""

    def __init__(self, *, seat, action_space, observation_space, seed):
        self.space, self.rng = action_space, np.random.default_rng(seed)
        self.space.seed(seed)

    def act(self, moment):
        return self.space.sample()


@pytest.mark.parametrize("params", [IN_SYMBOLS, IN_TEXT], ids=["symbols", "text"])
def test_a_run_is_its_seeds_and_its_actions(params, tmp_path):
    seats = {0: boxes.Seat(Scribbler), 1: "random", 2: "greedy"}
    run = boxes.run("AmnesiaBox", seats, boxes=2, out=tmp_path / "run", **params)
    kept = load(tmp_path / "run" / "run")
    assert kept.fingerprint == run.fingerprint
    *_, last = kept.replay()  # which ends as it ended, or it is an error
    assert np.allclose(kept.scores().sum(axis=1), run.returns)
    told = list(lines(kept, 0, failures=True, pictures=True))
    assert all(line.isprintable() for part in told for line in part.splitlines())
    assert any("begins note" in line or "writes note" in line for line in told)
    other = run.actions.copy()
    spot = np.argwhere(other[..., 1] > 0)[0] if params is IN_TEXT else None
    if spot is not None:  # another byte is another run
        other[(*spot, 1)] -= 1
        assert boxes.Run(**{**vars(run), "actions": other}).fingerprint != run.fingerprint
    row = boxes.measure(kept)[0]
    assert np.isnan([row["note_precision"], row["note_recall"], row["note_depth"]]).all()
    lengths = [np.array(last[name][0])[..., LENGTH] for name in ("notes", "board")]
    assert row["note_bytes"] == sum(np.maximum(length, 0).sum() for length in lengths) > 0
    assert row["note_writes"] > 0


def test_snapshots_keep_what_is_written_and_where_pens_are():
    for params in (IN_SYMBOLS, IN_TEXT):
        box, actions = ParallelBox(AmnesiaBox, **params), []
        box.reset(seed=3)
        for agent in box.possible_agents:
            box.action_space(agent).seed(1)
        for _ in range(15):
            box.step({agent: box.action_space(agent).sample() for agent in box.agents})
        kept = box.get_state()
        lived = []
        for _ in range(2):
            box.set_state(kept)
            actions = actions or [{agent: box.action_space(agent).sample() for agent in box.agents} for _ in range(15)]
            lived.append([box.step(one)[0]["agent_1"]["observation"] for one in actions])
        assert np.array_equal(*lived)
        assert all(box.observation_space("agent_0").contains(each) for each in box.step(actions[0])[0].values())


def test_arrays_write_text_in_many_boxes_and_a_wrong_action_is_told():
    boxes_of, flat = boxes.make_vec("AmnesiaBox", 2, **IN_TEXT), boxes.make_vec("AmnesiaBox", 2, flat=True, **IN_TEXT)
    kinds = verbs_of(boxes_of.variant.p)
    boxes_of.reset(seed=0)
    flat.reset(seed=0)
    rng = np.random.default_rng(0)
    for _ in range(10):
        actions = np.stack([boxes_of.single_action_space.sample() for _ in range(6)])
        actions[:, 0] = rng.integers(kinds.wait, kinds.end, 6)
        seen = boxes_of.step(actions.reshape(2, 3, -1))[0]["observation"]
        assert np.array_equal(flat.step(actions)[0]["observation"], seen.reshape(6, -1))
    assert boxes_of.worlds["written"].any()
    box = ParallelBox(AmnesiaBox, **IN_TEXT)
    box.reset(seed=0)
    good = {agent: box.action_space(agent).sample() for agent in box.agents}
    for bad in (3, np.full(25, 300), np.zeros(24, int)):
        with pytest.raises(ValueError, match="bytes, from 0 to 255"):
            box.step({**good, "agent_1": bad})


def test_agents_who_speak_read_each_others_posts():
    box = boxes.TextBox(ParallelBox(AmnesiaBox, **changed(IN_TEXT, free_reading=True)))
    texts, _ = box.reset(seed=0)
    texts, *_ = box.step({"agent_0": "post 2: gr\u00fc\u00dfe \u65e5 <b>", "agent_1": "note 1: mine"})
    assert '  2: "gr\u00fc\u00dfe \u65e5 <b>"' in texts["agent_2"]
    assert '"mine"' in texts["agent_1"]
    assert '"mine"' not in texts["agent_2"]
    assert all(box.observation_space(agent).contains(said) for agent, said in texts.items())
    texts, *_, infos = box.step({"agent_0": "note 1: " + "x" * 25})
    assert "this text has 25 bytes, and an entry holds at most 24" in infos["agent_0"]["message"]


def test_people_write_text_and_a_run_goes_on_with_what_they_wrote(tmp_path):
    """What a person wrote stands in the transcript as a sentence; nobody is asked again, and the run is the same."""
    asked = []

    def ask(question):
        asked.append(question)
        assert "note 1: " in question.choices
        words = ("note 1: h\u00e4llo", "read 1", "post 1: </script>{}", f"note {len(asked)}: no such note", "wait")
        return Answer(words[len(asked) % len(words)], 0.1, 1)

    params: dict[str, Any] = {**IN_TEXT, "agents": 1, "horizon": 12}
    run = boxes.run("AmnesiaBox", {0: People(ask, 1)}, boxes=1, out=tmp_path, **params)
    assert len(asked) == 12
    assert any('1: "h\u00e4llo"' in question.text for question in asked)
    again = boxes.run("AmnesiaBox", {0: People(ask, 1)}, boxes=1, out=tmp_path, resume=True, **params)
    assert len(asked) == 12
    assert np.array_equal(run.actions, again.actions)
    assert again.endings == run.endings


def test_a_seat_of_text_is_scored_like_any_other():
    env = text.make("AmnesiaBox", **changed(IN_TEXT, agents=2, companions="random", horizon=10))
    env.reset()
    env.step("note 1: 1234567890")
    env.finish()
    assert env.run().actions.shape == (1, 10, 25)
    assert np.isfinite(env.score)


# ------------------------------------------------------------------------------------------------- how notes are used
def test_bits_of_two_coins():
    """Equal coins share one bit, independent ones none; and by the formula for a noisy channel: 1 - H(0.25)."""
    x = np.array([True, False] * 40)
    assert _shared_bits(x, x) == pytest.approx(1)
    assert _shared_bits(x, np.repeat([True, False], 40)) == pytest.approx(0)
    noisy = np.array([True, False, True, False, True, False, False, True] * 10)
    assert _shared_bits(x, noisy) == pytest.approx(1 + 0.25 * np.log2(0.25) + 0.75 * np.log2(0.75))


class Script:
    """Says what it is to say, each day."""

    def __init__(self, days, **told):
        self.days, self.t = days, 0

    def act(self, moment):
        sentences = moment.wording.sentences
        number = int(moment.words.split("Day ")[1].split(",")[0]) - 1
        said = self.days[number]
        self.t += 1
        if self.t > len(said):
            return sentences.default
        words = moment.words.split("You have: ")[1].split(".")[0].split(", ")
        meant = sentences.parse(said[self.t - 1].format(a=words[0], b=words[1]))
        assert not meant.problem
        return meant.action


def test_writing_rewriting_and_reading_first_are_counted():
    days = [
        ["note 1", "put 2", "take {a}", "combine {a} with {b}"],  # nothing to read yet
        ["read 1", "take {a}", "combine {a} with {b}", "note 1", "put 1", "put 1"],  # over another one
        ["take {a}", "combine {a} with {b}", "read 1", "note 2"],  # read too late
        ["read 1"],  # and no experiment
    ]
    params: dict[str, Any] = {**IN_SYMBOLS, "agents": 1, "horizon": 80}
    run = boxes.run("AmnesiaBox", {0: boxes.Seat(lambda **told: Script(days, **told))}, boxes=1, **params)
    row = boxes.measure(run)[0]
    assert (row["note_bytes"], row["note_writes"]) == (2, 3)
    assert row["rewriting"] == pytest.approx(1 / 3)
    assert row["read_first"] == 0.5
    told = boxes.note_information(run, permutations=9)
    assert (told.spans, told.bits) == (4, 0)  # of one agent in one box nothing can be told
    free = boxes.run("AmnesiaBox", {0: "random"}, boxes=1, **changed(params, free_reading=True))
    assert np.isnan(boxes.measure(free)[0]["read_first"])


@pytest.mark.slow
def test_note_information_is_found_where_there_is_some_and_not_where_there_is_none():
    """A coder's notes tell of its next day; a scribbler's of nothing."""
    params: dict[str, Any] = {
        **TREE,
        "levels": 3,
        "bases": 6,
        "recipes": 2,
        "notes": 6,
        "notation": "symbols",
        "entry_bytes": 2,
        "day": 20,
    }
    params |= {"alphabet": 12, "agents": 1, "horizon": 100, "page": 8}
    code = boxes.run("AmnesiaBox", {0: "coder"}, boxes=8, **params)
    found = boxes.note_information(code, permutations=99)
    assert found.bits > 2 * found.chance
    assert found.p < 0.05
    noise = boxes.note_information(boxes.run("AmnesiaBox", {0: "random"}, boxes=8, **params), permutations=99)
    assert noise.p > 0.02
    assert noise.bits < found.bits


def test_a_coder_writes_recipes_that_are_true():
    params: dict[str, Any] = {
        **TREE,
        "levels": 3,
        "bases": 6,
        "recipes": 2,
        "notes": 4,
        "notation": "symbols",
        "entry_bytes": 3,
        "day": 25,
    }
    run = boxes.run("AmnesiaBox", {0: "coder"}, boxes=4, **params, alphabet=12, agents=1, horizon=150)
    p, count = run.variant.p, 0
    for *_, states in [list(run.replay())]:
        for state, task in zip(states, run.tasks, strict=True):
            pairs = {tuple(sorted(pair)) for pair in task["recipe"].reshape(-1, 2).tolist()}
            for k in np.flatnonzero(state["notes"][0, :, LENGTH] == 2).tolist():
                assert tuple(sorted(NOTEBOOK.bytes_at(p, Row(state), 0, k))) in pairs
                count += 1
    assert count > 4
    assert boxes.measure(run)[0]["illegal"] == 0


# ------------------------------------------------------------------------------------------------- pictures
@pytest.mark.parametrize("params", [IN_SYMBOLS, IN_TEXT], ids=["symbols", "text"])
def test_pictures_show_whatever_is_written(params):
    """Bytes of all kinds; a very long text ends in dots, and stays within its line."""
    for agents in (1, 3):
        table = opened(changed(params, agents=agents, entry_bytes=200, page=1))
        p, verbs, rng = table.variant.p, verbs_of(table.variant.p), np.random.default_rng(0)
        for _ in range(30):
            table.actions[:] = rng.integers(0, 256, table.actions.shape) if params is IN_TEXT else 0
            table.actions.reshape(agents, -1)[:, 0] = rng.integers(verbs.wait + 1, verbs.end, agents)
            table.advance()
        if params is IN_TEXT:
            table.actions[0, 0] = with_bytes(p, verbs.write, ("\U0001f600 \u65e5\u672c " * 12).encode())
            table.advance()
        state, pictures = Row(table.states[0]), [Picture(), Picture()]
        draw_box(pictures[0], p, state, None)
        draw_seat(pictures[1], p, state, None)
        assert all(picture.array().std() > 0 for picture in pictures)
        seat = SeatView(p, state)
        for symbol, place, action in seat.palette():
            assert seat.clicked(place.x + 1, place.y + 1) == action == verbs.put + int(symbol) - 1
        entries = list(itertools.chain.from_iterable(entries for *_, entries in seat.books()))
        clicked = {seat.clicked(entry.place.x + 40, entry.place.y + 2) for entry in entries}
        assert clicked == ({None} if params is IN_TEXT else {entry.write for entry in entries})
        assert text_for(p, table.states[0], 0, np.zeros(agents, bool), words_in(p, table.states[0]))
    assert text_problem(p, "fine") is None
