"""Pictures and words of boxes: nothing overlaps, links are right, and what is forgotten is not shown."""

import itertools

import numpy as np
import pytest

from metarl_envs.boxes.envs.seats import InventionSeat
from metarl_envs.boxes.scenarios.box import Box
from metarl_envs.boxes.scenarios.invention import InventionBox
from metarl_envs.boxes.view.numbers import view_length
from metarl_envs.boxes.view.picture import Tree, describe_box, describe_seat, draw_box, links
from metarl_envs.boxes.view.seat_picture import SeatView, draw_seat
from metarl_envs.boxes.world.mechanisms import verbs_of
from metarl_envs.boxes.world.notes import LOOK, NOTE, READ
from metarl_envs.boxes.world.topology import TOPOLOGIES
from metarl_envs.boxes.world.tree import items_of
from metarl_envs.engine import Picture, Row
from metarl_envs.engine.canvas import WORLD
from metarl_envs.engine.worlds.worlds import TrialForm, Worlds
from metarl_envs.task_sets import TaskSet

#: One layout of rows for most tests: each layout is compiled once (it is that of `test_boxes_core.py`).
SMALL = {"agents": 3, "notes": 2, "board": 1, "page": 1, "lineages": 1, "levels": 3, "width": 2, "bases": 4, "dead_ends": 0.0}
SMALL |= {"recipes": 1, "crossover": 0}


class Boxes:
    """Some boxes, stepped by hand."""

    def __init__(self, family=InventionBox, count=1, seed=0, **params):
        tasks = TaskSet.of_family(family, split=None, **params)
        self.variant, self.p, self.verbs = tasks.variant, tasks.variant.p, verbs_of(tasks.variant.p)
        self.worlds = Worlds(tasks, count, TrialForm(), 2)
        everyone = np.ones(count, np.bool_)
        self.worlds.seed(everyone, np.arange(count, dtype=np.uint64) + np.uint64(seed))
        self.out = self.worlds.empty()
        self.worlds.begin(everyone, 0, self.out)

    @property
    def rows(self):
        """What all agents of all boxes see, the action mask behind it, [box, agent, number]."""
        seen = self.variant.visible(self.out.observations)
        return np.concatenate([seen["observation"], seen["action_mask"]], axis=2)

    @property
    def state(self):
        return self.worlds.worlds["state"]

    def do(self, *actions):
        """One step of box 0, in which the others wait."""
        actions = (*actions, *[self.verbs.wait] * (self.p.agents - len(actions)))
        self.worlds.advance(np.array([actions], np.int64), self.out)

    def recipe(self, item):
        return self.worlds.task_rows[0]["recipe"][item, 0].tolist()


#: Shapes of trees from small to large.
TREES = [
    {"lineages": 1, "levels": 2, "width": 6, "bases": 6},
    {"lineages": 2, "levels": 20, "width": 4, "bases": 6},
    {"lineages": 1, "levels": 30, "width": 8, "bases": 12},
    {"lineages": 4, "levels": 29, "width": 4, "bases": 6},
    {"lineages": 1, "levels": 400, "width": 2, "bases": 4, "dead_ends": 0.0},
]


def drawn(draw, box, task=None):
    picture = Picture()
    draw(picture, box.p, Row(box.state[0]), task)
    return picture.array()


@pytest.mark.parametrize("tree", TREES)
def test_items_stand_apart_inside_the_picture_and_are_found_where_they_are(tree):
    p = InventionBox.with_params(**tree, crossover=0).p
    for highest in (0, 7, p.levels):
        places = Tree(p, highest)
        shown = [item for item in range(items_of(p)) if places.shows(item)]
        assert {int(places.items.level[i]) for i in shown} >= {0, max(0, min(highest, p.levels) - 3)}
        at = np.array([places.at(item) for item in shown])
        assert at.min() > places.radius
        assert at.max() < WORLD - places.radius
        gaps = [np.hypot(*(at[i] - at[j])) for i, j in itertools.combinations(range(0, len(at), max(1, len(at) // 80)), 2)]
        assert min(gaps) > 2 * places.radius


@pytest.mark.parametrize("tree", TREES)
@pytest.mark.parametrize("notes", [0, 5, 40])
@pytest.mark.parametrize("held", ["bases", "half", "all"])
def test_whatever_a_seat_shows_stands_apart_and_is_found_where_it_is(tree, notes, held):
    variant = InventionBox.with_params(**tree, crossover=0, notes=notes, board=notes // 2)
    p, state = variant.p, np.zeros(1, variant.state)[0]
    state["hand"], state["tried"], state["notes"][..., 3] = -1, (0, 1), 3
    count = {"bases": p.bases * p.lineages, "half": items_of(p) // 2, "all": items_of(p)}[held]
    state["held"][0, :count] = 1
    seat, verbs = SeatView(p, Row(state)), verbs_of(p)
    assert len(seat.tiles) == count
    spots = {item: place for item, place in seat.tiles.items()} | {verbs.wait: seat.wait_button()}
    for _, _, buttons, entries in seat.books():
        spots |= {action: place for _, place, action in buttons} | {entry.write: entry.place for entry in entries}
        assert not any(seat.eraser(entry) for entry in entries), "the pages are closed"
    corners = np.array([(x, y, x + width, y + height) for x, y, width, height in spots.values()])
    assert corners.min() >= 0
    assert corners.max() <= WORLD
    for k, (x0, y0, x1, y1) in enumerate(corners):
        beside = (corners[k + 1 :, 0] >= x1) | (corners[k + 1 :, 2] <= x0)
        assert (beside | (corners[k + 1 :, 1] >= y1) | (corners[k + 1 :, 3] <= y0)).all()
    for action, (x, y, width, height) in spots.items():
        assert seat.clicked(x + width / 2, y + height / 2) == action
    assert seat.clicked(2, 200) is None


@pytest.mark.parametrize("topology", TOPOLOGIES)
@pytest.mark.parametrize("agents", [3, pytest.param(7, marks=pytest.mark.plain)])
def test_lines_are_drawn_between_those_who_see_each_other(topology, agents):
    boxes = Boxes(**{**SMALL, "agents": agents}, count=1, topology=topology, group=3, visit=0.3, stay=2)
    view, rng = view_length(boxes.p), np.random.default_rng(0)
    for _ in range(30):
        boxes.do(*rng.integers(0, boxes.verbs.end, agents))
        shown = boxes.rows[0, :, view - agents : view]
        expected = {(int(i), int(j)) for i, j in zip(*np.nonzero(shown), strict=True)}
        assert links(boxes.p, boxes.state["where"][0].tolist()) == expected


@pytest.mark.parametrize("agents", [1, 2, 12, 60])
@pytest.mark.parametrize("notes", [0, 3, 40])
def test_every_size_of_box_can_be_drawn_and_described(agents, notes):
    variant = Box.with_params(
        agents=agents,
        notes=notes,
        board=notes // 2,
        day=notes,
        lifespan=0 if notes == 40 else 5,
        channel="none" if notes < 3 else "board",
        health=3.0 if notes < 40 else 0.0,
    )
    state, task = np.zeros(1, variant.state)[0], np.zeros(1, variant.task)
    state["hand"], state["tried"], state["made"], state["first_at"] = -1, -1, -1, -1
    state["held"][:, :30] = 1
    state["notes"][:, 0, 3], task["recipe"] = 1, -1
    for shown in (None, Row(task[0])):
        draw_box(Picture(), variant.p, Row(state), shown)
        draw_seat(Picture(), variant.p, Row(state), shown)
        assert "agent 0: 30 things" in describe_box(variant.p, Row(state), shown)
        assert "You are agent_0" in describe_seat(variant.p, Row(state), shown)


def test_the_screen_of_a_seat_forgets_at_dawn():
    """After dawn, neither picture nor words tell what was done the day before, unless it was written."""
    pictures, words = [], []
    for experiments in ((0, 1), (2, 3)):
        box = Boxes(**SMALL, day=6, topology="isolated")
        a, b = box.recipe(4) if experiments == (0, 1) else experiments
        for action in (a, b, *[box.verbs.wait] * 4):
            box.do(action)
        assert box.state["forgot"][0, 0]
        pictures.append(drawn(draw_seat, box))
        words.append(describe_seat(box.p, Row(box.state[0]), None))
    assert (pictures[0] == pictures[1]).all()
    assert words[0] == words[1]


def test_illusions_look_real_until_the_task_is_shown():
    box = Boxes(**SMALL, illusions=1.0)
    real = {frozenset(box.recipe(item)) for item in range(4, 10)}
    a, b = next((a, b) for a in range(4) for b in range(a) if frozenset((a, b)) not in real)
    box.do(a)
    box.do(b)
    seemed = int(box.state["seemed"][0, 0])
    task = Row(box.worlds.task_rows[0])
    hidden, shown = drawn(draw_seat, box), drawn(draw_seat, box, task)
    box.state["held"][0, 0, seemed] = 1
    assert (drawn(draw_seat, box) == hidden).all()
    assert (drawn(draw_seat, box, task) != shown).any()


def test_clicks_write_once_erase_and_open_pages():
    box = Boxes(**SMALL)
    verbs = box.verbs

    def seat():
        return SeatView(box.p, Row(box.state[0]))

    def middle(place):
        return place.x + place.width / 2, place.y + place.height / 2

    entries = next(entries for name, _, _, entries in seat().books() if name == "notebook")
    assert seat().clicked(*middle(entries[0].place)) is None, "there is nothing to write yet"
    a, b = box.recipe(4)
    box.do(a)
    assert seat().clicked(*middle(seat().tiles[a])) is None, "it is in the hand"
    assert seat().take(list(seat().tiles).index(b)) == b
    box.do(b)
    assert seat().press(NOTE) == verbs.note
    assert seat().press(READ) == verbs.read
    assert seat().clicked(*middle(entries[1].place)) == verbs.note + 1
    box.do(verbs.note + 1)
    assert seat().clicked(*middle(entries[1].place)) is None, "it says so already"
    assert seat().press(NOTE) is None
    assert seat().clicked(entries[1].place.x + entries[1].place.width - 4, entries[1].place.y + 4) is None, "its page is closed"
    box.do(verbs.read + 1)
    assert seat().clicked(entries[1].place.x + entries[1].place.width - 4, entries[1].place.y + 4) == verbs.erase + 1
    assert seat().press(LOOK) == verbs.look


def test_clicks_visit():
    box = Boxes(**SMALL, topology="chosen")
    seat = SeatView(box.p, Row(box.state[0]))
    assert [seat.clicked(x, y) for _, x, y in seat.others()] == [box.verbs.visit + 1, box.verbs.visit + 2]
    box.do(box.verbs.visit + 2)
    seat = SeatView(box.p, Row(box.state[0]))
    assert [seat.clicked(x, y) for _, x, y in seat.others()] == [box.verbs.visit + 1, None]


def test_the_newest_invention_is_lit():
    box = Boxes(**SMALL)
    before = drawn(draw_box, box)
    a, b = box.recipe(4)
    box.do(a)
    box.do(b)
    after = drawn(draw_box, box)
    x, y = (round(v) for v in Tree(box.p, 1).at(4))
    assert (after[y, x] != before[y, x]).any()
    golden = (np.abs(after.astype(int) - (255, 196, 77)).sum(axis=2) < 20)[y - 20 : y + 20, x - 20 : x + 20]
    assert golden.any()


# ------------------------------------------------------------------------------------------------- what is said is so
class Spy(Picture):
    """A picture that keeps what is written on it."""

    def __init__(self):
        super().__init__()
        self.said = []

    def text(self, x, y, text, **style):
        self.said.append(text)
        return super().text(x, y, text, **style)


def said_to_a_seat(p, state, task=None):
    spy = Spy()
    draw_seat(spy, p, Row(state), task)
    return spy.said


def a_state(**params):
    """A box in which nothing has happened, to be changed by hand."""
    variant = InventionBox.with_params(**{**SMALL, **params})
    state = np.zeros(1, variant.state)[0]
    state["hand"], state["tried"], state["made"], state["seemed"], state["first_at"], state["first_by"] = -1, -1, -1, -1, -1, -1
    state["held"][:, :4] = 1
    return variant.p, state


@pytest.mark.parametrize(
    ("made", "held", "gained", "news"),
    [
        ([4, -1], [4], 1, "You copied {4} (by 1)."),
        ([4, 5], [4, 5], 2, "You copied {4} (by 1), {5} (by 2)."),
        ([4, 4], [4], 1, "You copied {4} (by 1)."),
        ([4, 5], [4], 1, "You copied {4} (by 1)."),  # the other one it failed to copy
        ([4, 5], [4, 5], 1, "You copied 1 of these: {4} (by 1), {5} (by 2)."),  # one it had before
        ([4, -1], [4], 0, None),  # it had that before
    ],
)
def test_what_was_copied_is_told_as_far_as_it_is_known(made, held, gained, news):
    p, state = a_state()
    state["made"][1:], state["gained"][0], state["held"][0, held] = made, gained, 1
    told = [line for line in said_to_a_seat(p, state) if line.startswith("You copied")]
    words = SeatView(p, Row(state)).words
    assert told == ([] if news is None else [news.format(*words)])


@pytest.mark.parametrize("illusions", [0.0, 0.1])
def test_where_experiments_deceive_what_was_made_is_told_by_its_pay_alone(illusions):
    """As in infos: who was not the first to make a thing is paid nothing, and cannot tell it from an illusion."""
    p, state = a_state(illusions=illusions, pays="first")
    told = []
    for made in (4, -1):
        state["held"][0, 4], state["seemed"][0], state["made"][0] = 1 if made == 4 else 2, 4, made
        told.append(said_to_a_seat(p, state))
    assert (told[0] == told[1]) == (illusions > 0)
    state["reward"][0] = 1.0
    assert ("Your last step paid 1." in said_to_a_seat(p, state)) == (illusions > 0)


@pytest.mark.parametrize(
    ("day", "t", "sentence", "banner"),
    [
        (6, 0, "Day 1, step 0 of 6.", "dawn in 6"),
        (6, 5, "Day 1, step 5 of 6.", "dawn in 1"),
        (6, 6, "Day 2, step 0 of 6.", "dawn in 6"),
        (6, 18, "Day 3, step 6 of 6.", "the end in 0"),
        (8, 17, "Day 3, step 1 of 2.", "the end in 1"),
        (18, 18, "Day 1, step 18 of 18.", "the end in 0"),
        (60, 3, "Day 1, step 3 of 18.", "the end in 15"),
    ],
)
def test_the_last_day_ends_with_the_trial(day, t, sentence, banner):
    """Everywhere: no day begins when the trial is over, and no dawn comes where the trial ends before."""
    p, state = a_state(day=day, horizon=18)
    state["t"] = t
    assert sentence in describe_seat(p, Row(state), None)
    assert sentence in describe_box(p, Row(state), None)
    assert banner in said_to_a_seat(p, state)
    spy = Spy()
    draw_box(spy, p, Row(state), None)
    days = -(-18 // day)
    assert f"{sentence.split(',')[0].lower()} of {days}" in spy.said
    assert f"{sentence.split(', ')[1].removesuffix('.')}" in spy.said


def test_all_who_can_be_visited_are_counted():
    p, state = a_state(agents=20, topology="chosen")
    state["where"] = -1
    assert "click on whom to visit (7 more)" in said_to_a_seat(p, state)


@pytest.mark.parametrize(
    ("params", "said", "unsaid"),
    [
        ({}, ["pays its level.", "is yours too"], ["forgotten", "colour"]),
        ({"pays": "first", "fidelity": 0.5}, ["to who is the first in the box", "may be yours too"], []),
        ({"pays": "mean", "topology": "isolated"}, ["its level, shared by all."], ["yours too"]),
        (
            {"pays": "first", "agents": 1, "day": 9},
            ["its level, the first time.", "Every 9 steps all is forgotten"],
            ["yours too"],
        ),
        ({"value_bias": 1.5}, ["(of the first colour 1.5 times that)"], []),
        ({"fidelity": 0.0}, [], ["yours too"]),
    ],
    ids=str,
)
def test_instructions_say_what_these_parameters_do(params, said, unsaid):
    text = InventionSeat.instructions(InventionSeat.with_params(**params).p)
    assert all(part in text for part in said), text
    assert not any(part in text for part in unsaid), text
