"""What happens in a box: experiments, companions, notes, dawn; and that nothing of one agent's luck hangs on another."""

import itertools

import numpy as np
import pytest

from metarl_envs.boxes.players.agents import SCRIPTED
from metarl_envs.boxes.players.keepers import NoteKeeper, Sharer
from metarl_envs.boxes.players.simulate import CompiledSeats
from metarl_envs.boxes.scenarios.invention import InventionBox
from metarl_envs.boxes.study.measures import column, measure
from metarl_envs.boxes.study.runs import run
from metarl_envs.boxes.view.numbers import view_length
from metarl_envs.boxes.world.mechanisms import verbs_of
from metarl_envs.boxes.world.notes import MADE, WHEN
from metarl_envs.boxes.world.topology import TOPOLOGIES
from metarl_envs.engine.worlds.worlds import TrialForm, Worlds
from metarl_envs.task_sets import TaskSet

#: One box with one layout of rows for most tests of boxes: each box and layout is compiled once.
SMALL = {"agents": 3, "notes": 2, "board": 1, "page": 1, "lineages": 1, "levels": 3, "width": 2, "bases": 4, "dead_ends": 0.0}
SMALL |= {"recipes": 1, "crossover": 0}


class Boxes:
    """Some boxes, stepped by hand."""

    def __init__(self, family=InventionBox, count=1, seed=0, **params):
        self.tasks = TaskSet.of_family(family, split=None, **params)
        self.variant, self.p = self.tasks.variant, self.tasks.variant.p
        self.worlds = Worlds(self.tasks, count, TrialForm(), 2)
        everyone = np.ones(count, np.bool_)
        self.worlds.seed(everyone, np.arange(count, dtype=np.uint64) + np.uint64(seed))
        self.out = self.worlds.empty()
        self.worlds.begin(everyone, 0, self.out)
        self.verbs = verbs_of(self.p)

    @property
    def rows(self):
        """What all agents of all boxes see, the action mask behind it, [box, agent, number]."""
        seen = self.variant.visible(self.out.observations)
        return np.concatenate([seen["observation"], seen["action_mask"]], axis=2)

    @property
    def state(self):
        return self.worlds.worlds["state"]

    def do(self, *actions):
        """One step of box 0, in which the others wait; what those who acted were paid."""
        acted = len(actions)
        actions = (*actions, *[self.verbs.wait] * (self.p.agents - acted))
        self.worlds.advance(np.array([actions], np.int64), self.out)
        return self.state["reward"][0, :acted].tolist()

    def mask(self, agent=0):
        return self.rows[0, agent, view_length(self.p) :]

    def recipe(self, item, r=0):
        return [int(x) for x in self.worlds.task_rows["recipe"][0, item, r]]

    def live(self, policy, steps):
        seats = CompiledSeats(SCRIPTED[policy], self.variant, np.ones(self.state["hand"].shape, np.bool_))
        actions = np.zeros(self.state["hand"].shape, np.int64)
        for _ in range(steps):
            seats.act(self.worlds.task_rows, self.worlds.worlds, actions)
            self.worlds.advance(actions, self.out)
            yield actions.copy(), self.out


def test_two_items_make_what_the_recipe_says_and_it_pays_its_level_once():
    box = Boxes(**SMALL)
    a, b = box.recipe(4)
    assert box.do(b) == [0.0]
    assert box.state["hand"][0, 0] == b
    assert box.do(a) == [1.0]
    assert box.state["held"][0, 0, 4] == 1
    assert box.state["first_at"][0, 4] == 1
    assert box.do(a) == [0.0]
    assert box.do(b) == [0.0]  # it holds it already
    second = next(item for item in (6, 7) if 4 in box.recipe(item) or 5 in box.recipe(item))
    for item in sorted({*box.recipe(second)} - {4, *range(4)}):
        box.do(box.recipe(item)[0])
        assert box.do(box.recipe(item)[1]) == [1.0]
    a, b = box.recipe(second)
    box.do(a)
    assert box.do(b) == [2.0]


def test_what_is_not_allowed_does_nothing_and_is_counted():
    box = Boxes(**SMALL)
    before = box.state[0].copy()
    box.do(9)  # an item that is not held
    assert box.state["illegal"][0, 0] == 1
    box.do(box.verbs.note)  # nothing to write yet
    box.do(box.verbs.erase)  # nothing to strike out
    assert box.state["illegal"][0, 0] == 3
    for name in ("held", "hand", "notes", "first_at"):
        assert (box.state[name][0] == before[name]).all()
    box.do(0)
    box.do(0)  # what is in the hand is not combined with itself
    assert box.state["illegal"][0, 0] == 4
    assert box.mask()[0] == 0
    box.do(box.verbs.wait)
    assert box.state["illegal"][0, 0] == 4


def test_a_note_says_what_was_tried_and_lasts_through_dawn_when_all_else_is_lost():
    box = Boxes(topology="isolated", day=6, **SMALL)
    a, b = box.recipe(4)
    box.do(a)
    box.do(b)
    box.do(box.verbs.note + 1)
    assert box.state["notes"][0, 0, 1].tolist() == [a, b, 4, 2]
    box.do(box.verbs.wait)
    box.do(box.verbs.wait)
    assert not box.state["forgot"][0, 0]
    box.do(0)
    assert box.state["forgot"][0, 0]
    assert box.state["held"][0, 0].tolist() == [1] * 4 + [0] * 6
    assert box.state["hand"][0, 0] == -1
    assert box.state["notes"][0, 0, 1].tolist() == [a, b, 4, 2]
    items = 10
    seen = box.rows[0, 0]
    assert not seen[items : 2 * items].any()  # the page is closed
    box.do(box.verbs.read + 1)
    assert not box.state["forgot"][0, 0]
    seen = box.rows[0, 0]
    assert np.flatnonzero(seen[items : 2 * items]).tolist() == [a]
    box.do(a)
    assert np.flatnonzero(box.rows[0, 0, items : 2 * items]).tolist() == [b]
    assert box.do(b) == [1.0]
    box.do(box.verbs.erase + 1)
    assert box.state["notes"][0, 0, 1, WHEN] == -1


def test_everybody_may_read_the_board():
    box = Boxes(topology="isolated", **SMALL)
    a, b = box.recipe(4)
    wait = box.verbs.wait
    box.do(a, wait)
    box.do(b, wait)
    box.do(box.verbs.post, wait)
    box.do(wait, box.verbs.look)
    assert np.flatnonzero(box.rows[0, 1, 10:20]).tolist() == [a]
    assert not box.rows[0, 0, 10:20].any()


def neighbours(topology, agents, group=3):
    """Who sees whom at the start, by hand."""
    home = [i // group for i in range(agents)]
    last = {g: max(i for i in range(agents) if home[i] == g) for g in home}
    first = {g: min(i for i in range(agents) if home[i] == g) for g in home}
    groups = len(last)
    bridges = {frozenset((last[g], first[(g + 1) % groups])) for g in last if groups > 1}
    seen = set()
    for i in range(agents):
        for j in range(agents):
            close = {
                "isolated": False,
                "ring": (i - j) % agents in (1, agents - 1),
                "full": True,
                "caveman": home[i] == home[j] or frozenset((i, j)) in bridges,
                "dynamic": home[i] == home[j],
                "chosen": False,
            }[topology]
            if i != j and close:
                seen.add((i, j))
    return seen


@pytest.mark.plain
@pytest.mark.parametrize("topology", TOPOLOGIES)
def test_what_is_made_is_copied_by_those_who_see_it_and_by_nobody_else(topology):
    agents = 7
    box = Boxes(**{**SMALL, "agents": agents}, topology=topology, group=3, visit=0.0)
    expected = neighbours(topology, agents)
    shown = box.rows[0, :, view_length(box.p) - agents : view_length(box.p)]
    assert {(i, j) for i in range(agents) for j in range(agents) if shown[i, j]} == expected
    a, b = box.recipe(4)
    wait = [box.verbs.wait] * agents
    maker = 2
    box.do(*[a if i == maker else w for i, w in enumerate(wait)])
    rewards = box.do(*[b if i == maker else w for i, w in enumerate(wait)])
    assert rewards == [1.0 if i == maker else 0.0 for i in range(agents)]
    holders = set(np.flatnonzero(box.state["held"][0, :, 4]).tolist())
    assert holders == {maker} | {i for i, j in expected if j == maker}


def test_a_visitor_sees_whom_it_chose():
    box = Boxes(topology="chosen", **SMALL)
    a, b = box.recipe(4)
    wait = box.verbs.wait
    box.do(wait, box.verbs.visit + 0, wait)
    assert box.mask(1)[box.verbs.visit : box.verbs.visit + 3].tolist() == [0, 0, 1]
    box.do(a, wait, wait)
    box.do(b, wait, wait)
    assert box.state["held"][0, :, 4].tolist() == [1, 1, 0]


def test_fidelity_is_the_share_of_new_things_that_are_copied():
    boxes = Boxes(count=4000, topology="full", fidelity=0.3, **SMALL)
    recipes = boxes.worlds.task_rows["recipe"][:, 4, 0]
    wait = np.full(4000, boxes.verbs.wait)
    for ingredient in range(2):
        boxes.worlds.advance(np.stack([recipes[:, ingredient], wait, wait], axis=1).astype(np.int64), boxes.out)
    assert boxes.state["held"][:, 0, 4].all()
    copied = boxes.state["held"][:, 1:, 4]
    assert abs(copied.mean() - 0.3) < 4 * (0.21 / 8000) ** 0.5
    assert abs(copied.all(axis=1).mean() - 0.09) < 4 * (0.09 * 0.91 / 4000) ** 0.5  # each by its own luck


@pytest.mark.parametrize(("pays", "expected"), [("own", [1, 1, 0]), ("first", [1, 0, 0]), ("mean", [2 / 3] * 3)])
def test_who_is_paid(pays, expected):
    box = Boxes(topology="isolated", pays=pays, **SMALL)
    a, b = box.recipe(4)
    box.do(a, a, a)
    paid = box.do(b, b, box.verbs.wait)
    assert (sorted(paid, reverse=True) if pays == "first" else paid) == pytest.approx(expected)


def by_lot(counts, of):
    """Whether each of three had the lot as often as the others, within four standard errors."""
    return counts.sum() == of and (abs(counts - of / 3) < 4 * (of * 2 / 9) ** 0.5).all()


def test_who_is_the_first_of_several_is_drawn_by_lot():
    """And is the one who is paid as the first: places at the table are worth nothing."""
    n = 3000
    boxes = Boxes(count=n, topology="isolated", pays="first", **SMALL)
    for ingredient in range(2):
        recipes = boxes.worlds.task_rows["recipe"][:, 4, 0, ingredient].astype(np.int64)
        boxes.worlds.advance(np.repeat(recipes[:, None], 3, axis=1), boxes.out)
    paid, first = boxes.state["reward"] > 0, boxes.state["first_by"][:, 4]
    assert (paid.sum(axis=1) == 1).all()
    assert (paid.argmax(axis=1) == first).all()
    assert by_lot(np.bincount(first, minlength=3), n)


def test_whose_note_stands_on_a_place_of_the_board_is_drawn_by_lot():
    """Of those who post there in the same step and have something to post."""
    n = 3000
    boxes = Boxes(count=n, topology="isolated", **SMALL)
    wait, post = boxes.verbs.wait, boxes.verbs.post
    for actions in ([0, 1, wait], [2, 2, wait], [post, post, post], [post, wait, wait]):
        boxes.worlds.advance(np.tile(np.array(actions, np.int64), (n, 1)), boxes.out)
        if actions == [post] * 3:
            entry = boxes.state["board"][:, 0].copy()
            posted = np.bincount(entry[:, 0], minlength=2)
    assert posted.sum() == n
    assert (entry[:, 1] == 2).all()
    assert abs(posted[0] - n / 2) < 4 * (n / 4) ** 0.5
    assert (boxes.state["board"][:, 0, 0] == 0).all(), "who comes later writes over it"
    assert boxes.state["illegal"].tolist() == [[0, 0, 1]] * n


def test_an_illusion_looks_like_success_and_makes_nothing():
    box = Boxes(illusions=1.0, **SMALL)
    real = {frozenset(box.recipe(item)) for item in range(4, 10)}
    a, b = next((a, b) for a in range(4) for b in range(a) if frozenset((a, b)) not in real)
    box.do(a)
    assert box.do(b) == [0.0]
    seemed = box.state["seemed"][0, 0]
    assert seemed in (4, 5)
    assert box.state["held"][0, 0, seemed] == 2
    assert box.rows[0, 0, seemed] == 0.5  # it looks real
    assert box.state["first_at"][0, seemed] == -1
    for item in box.recipe(seemed):
        last = box.do(item)
    assert last == [1.0]  # the real thing can still be made
    assert box.state["held"][0, 0, seemed] == 1


@pytest.mark.parametrize("policy", list(SCRIPTED))
def test_scripted_agents_do_nothing_that_is_not_allowed(policy):
    boxes = Boxes(count=3, **SMALL, horizon=150, day=40, illusions=0.1)
    for actions, _ in boxes.live(policy, 150):
        assert (actions >= 0).all()
    assert not boxes.state["illegal"].any()


def test_the_oracle_never_tries_in_vain_and_never_repeat_never_repeats():
    boxes = Boxes(count=3, **SMALL)
    tried = []
    for _ in boxes.live("oracle", 60):
        pair = boxes.state["tried"]
        tried.append(boxes.state["seemed"][pair[..., 0] >= 0])
    assert (np.concatenate(tried) >= 0).all()
    boxes = Boxes(topology="isolated", **SMALL)
    pairs = []
    for actions, _ in boxes.live("never_repeat", 100):
        if actions[0, 0] < boxes.verbs.wait and boxes.state["hand"][0, 0] == -1:
            pairs.append(frozenset(boxes.state["tried"][0, 0].tolist()))
    assert len(pairs) == 45  # all there are of ten items; then it waits
    assert len(set(pairs)) == len(pairs)


@pytest.mark.slow
def test_the_rule_finder_finds_the_rule_and_then_tries_what_fits():
    params = {"agents": 1, "levels": 4, "width": 4, "bases": 16, "features": 3, "crossover": 0, "structure": "grammar"}
    boxes = Boxes(count=20, **params)
    seats = CompiledSeats(SCRIPTED["rule_finder"], boxes.variant, np.ones((20, 1), np.bool_))
    actions, fitting = np.zeros((20, 1), np.int64), []
    tasks = boxes.worlds.task_rows
    for step in range(400):
        seats.act(tasks, boxes.worlds.worlds, actions)
        boxes.worlds.advance(actions, boxes.out)
        if step % 2:
            pairs = boxes.state["tried"][:, 0]
            b = np.arange(20)
            x, y = pairs.max(axis=1), pairs.min(axis=1)  # of a higher level, or of the same
            fits = [tasks["fits"][b, tasks["hole"][b, i]] == tasks["shape"][b, j] for i, j in ((x, y), (y, x))]
            fitting.append(fits[0] | fits[1])
    assert np.mean(fitting[:20]) < 0.7  # at random: 5 pairs in 9
    assert np.mean(fitting[-40:]) > 0.75
    weight = seats.memories["weight"][:, 0]
    found = weight.argmax(axis=2) == tasks["fits"]
    assert found.mean() > 0.6  # at random: a third


@pytest.mark.slow
def test_the_rule_finder_comes_deeper_than_greedy_and_who_never_repeats():
    """Also where it forgets the rule every night, in the box of the apprentices."""
    box = {"levels": 12, "width": 4, "bases": 12, "recipes": 4, "dead_ends": 0.0, "structure": "grammar", "features": 2}
    box |= {"day": 40, "horizon": 320}
    depth, earned = {}, {}
    for name in ("never_repeat", "greedy", "rule_finder"):
        table = measure(run("AmnesiaBox", {0: name}, boxes=60, seed=7, **box))
        depth[name], earned[name] = column(table, "depth"), column(table, "return")
    gain = depth["rule_finder"] - depth["never_repeat"]
    assert gain.mean() - 2 * gain.std(ddof=1) / len(gain) ** 0.5 > 1
    gain = earned["rule_finder"] - earned["greedy"]
    assert gain.mean() - 2 * gain.std(ddof=1) / len(gain) ** 0.5 > 10


@pytest.mark.plain
def test_the_rule_finder_is_greedy_where_there_is_no_grammar():
    done = [run("InventionBox", {"all": name}, boxes=1, seed=3, **SMALL, horizon=60) for name in ("rule_finder", "greedy")]
    np.testing.assert_array_equal(done[0].actions, done[1].actions)


@pytest.mark.slow
@pytest.mark.plain
def test_who_shares_posts_what_it_found_and_makes_what_others_posted():
    tree = {"agents": 3, "levels": 4, "width": 4, "bases": 6, "recipes": 3, "dead_ends": 0.0, "day": 30, "horizon": 120}
    keeper, sharer = NoteKeeper(keep="best_path"), Sharer(keep="best_path")
    alone = [run("AmnesiaBox", {"all": who}, boxes=1, seed=2, **tree, notes=4, page=2) for who in (keeper, sharer)]
    np.testing.assert_array_equal(alone[0].actions, alone[1].actions)  # without a board there is nothing to share
    shared = run("AmnesiaBox", {"all": sharer}, boxes=1, seed=2, **tree, notes=4, board=4, page=2)
    verbs, posts, followed = verbs_of(shared.variant.p), [], 0
    states = [np.array(each)[0] for each in shared.replay()]
    for t, (before, after) in enumerate(itertools.pairwise(states)):
        for i, action in enumerate(shared.actions[0, t].tolist()):
            if 0 <= (k := action - verbs.post) < 4:
                assert before["seemed"][i] >= 0  # it seemed to make something
                assert before["seemed"][i] not in before["board"][before["board"][:, WHEN] >= 0, MADE]
                empty = (before["board"][:, WHEN] < 0).any()
                assert before["board"][k, WHEN] == (-1 if empty else before["board"][:, WHEN].min())
                posts.append((t // 30, i, before["seemed"][i]))
            made = after["seemed"][i]
            known_by_post = any(e[WHEN] >= 0 and e[MADE] == made and {*e[:2]} == {*after["tried"][i]} for e in before["board"])
            by_another = any(item == made and j != i for _, j, item in posts)
            followed += bool(after["made"][i] == made != -1 and known_by_post and by_another)
    assert len(posts) == len(set(posts)) > 8  # none twice a day
    assert followed > 8


def test_what_one_agent_does_shifts_no_draw_of_another():
    """Isolated agents live alike, to the byte, whatever the one in seat 0 does."""
    lives = []
    for first in ("waits", "plays"):
        boxes = Boxes(count=4, topology="isolated", illusions=0.3, **SMALL)
        kept = []
        seats = CompiledSeats(SCRIPTED["random"], boxes.variant, np.ones((4, 3), np.bool_))
        actions = np.zeros((4, 3), np.int64)
        for _ in range(100):
            seats.act(boxes.worlds.task_rows, boxes.worlds.worlds, actions)
            if first == "waits":
                actions[:, 0] = boxes.verbs.wait
            boxes.worlds.advance(actions, boxes.out)
            kept.append(boxes.state["held"][:, 1:].copy())
        lives.append(np.stack(kept))
    assert (lives[0][-1] > lives[0][0]).any()
    assert (lives[0] == lives[1]).all()


def test_visits_in_the_dynamic_topology_do_not_depend_on_what_anybody_does():
    ways = []
    for policy in ("random", "oracle"):
        boxes = Boxes(**SMALL, count=5, topology="dynamic", group=1, visit=0.2, stay=3)
        ways.append(np.stack([boxes.state["where"].copy() for _ in boxes.live(policy, 60)]))
    assert (ways[0] == ways[1]).all()
    moved = ways[0] != np.arange(3)
    assert moved.any()
    assert not moved.all(axis=0).any()


def test_a_snapshot_put_back_repeats_every_step():
    boxes = Boxes(count=3, day=30, illusions=0.2, **SMALL)
    for _ in boxes.live("notes_fifo", 40):
        pass
    kept = boxes.worlds.get_state()
    seats = np.random.default_rng(0).integers(0, boxes.verbs.end, (30, 3, 3))
    after = []
    for _ in range(2):
        boxes.worlds.set_state(kept)
        for actions in seats:
            boxes.worlds.advance(actions, boxes.out)
        after.append((boxes.worlds.worlds.tobytes(), boxes.out.observations.tobytes()))
    assert after[0] == after[1]
