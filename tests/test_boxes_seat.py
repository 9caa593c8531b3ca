"""A seat in a box: what it is to be agent 0 among scripted companions."""

import os
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from metarl_envs.boxes.envs.seat import COMPANIONS, action_mask, kept
from metarl_envs.boxes.envs.seats import AmnesiaSeat, InventionSeat, SealedSeat
from metarl_envs.boxes.players.agents import AGENTS
from metarl_envs.boxes.players.scientists import SCIENTISTS
from metarl_envs.boxes.players.simulate import CompiledSeats
from metarl_envs.boxes.scenarios.invention import InventionBox
from metarl_envs.boxes.scenarios.sealed import SealedBox
from metarl_envs.boxes.view.numbers import view_length
from metarl_envs.boxes.world.mechanisms import verbs_of
from metarl_envs.boxes.world.topology import TOPOLOGIES
from metarl_envs.engine.compiling.kernels import PLAIN
from metarl_envs.engine.envs.single import SingleEnv
from metarl_envs.engine.worlds.worlds import TrialForm, Worlds
from metarl_envs.task_sets import TaskSet

#: One layout of rows for most tests: each layout is compiled once (it is that of `test_boxes_core.py`).
SMALL = {"agents": 3, "notes": 2, "board": 1, "page": 1, "lineages": 1, "levels": 3, "width": 2, "bases": 4, "dead_ends": 0.0}
SMALL["crossover"] = 0


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

    def live(self, policy, steps):
        """All seats are taken by a scripted agent."""
        seats = CompiledSeats(AGENTS[policy], self.variant, np.ones(self.state["hand"].shape, np.bool_))
        actions = np.zeros(self.state["hand"].shape, np.int64)
        for _ in range(steps):
            seats.act(self.worlds.task_rows, self.worlds.worlds, actions)
            self.worlds.advance(actions, self.out)
            yield actions.copy(), self.out


def seat(family=InventionSeat, **params):
    return SingleEnv(TaskSet.of_family(family, split=None, **params))


def companions_of(box, name):
    """What the others in a box do, a step: their actions, with a place for agent 0's."""
    others = np.array([[False, *[True] * (box.p.agents - 1)]])
    scripted = None if name == "waiting" else CompiledSeats(AGENTS[name], box.variant, others)
    while True:
        actions = np.full((1, box.p.agents), box.verbs.wait, np.int64)
        if scripted:
            scripted.act(box.worlds.task_rows, box.worlds.worlds, actions)
        yield actions


@pytest.mark.slow  # for all companions, everyday, as ordinary Python: below
@pytest.mark.parametrize("companions", ["waiting", "notes_best_path"])
def test_a_seat_is_agent_0_of_the_same_box_whose_other_seats_are_scripted(companions):
    check_companions(companions)


def test_that_holds_for_all_companions():
    """As ordinary Python, since each of them would be compiled for seconds; and of holes and shapes likewise."""
    script = "import test_boxes_seat as t; t.check_all()"
    command = [sys.executable, "-W", "error", "-c", script]
    plain = {**os.environ, "NUMBA_DISABLE_JIT": "1"}
    done = subprocess.run(command, capture_output=True, text=True, cwd=Path(__file__).parent, env=plain)
    assert done.returncode == 0, done.stderr


def check_all():
    assert PLAIN
    for companions in COMPANIONS:
        check_companions(companions)
    for manner in SCIENTISTS:
        check_companions(manner, SealedSeat, SealedBox, AMONG_SCIENTISTS)
    for notes in (0, 2):
        check_holes_and_shapes(notes)


#: A company that moves about; and one of scientists.
MOVING = {**SMALL, "topology": "dynamic", "group": 2, "visit": 0.1, "illusions": 0.2, "day": 25, "horizon": 80}
AMONG_SCIENTISTS = {
    **{"agents": 3, "board": 4, "page": 2, "levels": 3, "width": 4, "bases": 8, "recipes": 2, "dead_ends": 0.0},
    **{"illusions": 0.2, "corruption": 0.5, "lifespan": 20, "day": 25, "horizon": 50},
}


def check_companions(companions, family=InventionSeat, whole=InventionBox, params=MOVING):
    env, box = seat(family, **params, companions=companions), Boxes(whole, **params, seed=9)
    obs, _ = env.reset(seed=9)
    assert (env.get_state()["task_rows"]["recipe"] == box.worlds.task_rows["recipe"]).all()
    others, rng, earned = companions_of(box, companions), np.random.default_rng(0), 0.0
    for _ in range(params["horizon"]):
        np.testing.assert_array_equal(obs, box.rows[0, 0, kept(box.p)])
        mask = action_mask(box.p, obs)
        assert (mask == (box.rows[0, 0, view_length(box.p) :] > 0)).all()
        actions = next(others)
        actions[0, 0] = rng.choice(np.flatnonzero(mask)) if rng.random() < 0.9 else rng.integers(box.verbs.end)
        box.worlds.advance(actions, box.out)
        obs, reward, _, truncated, _ = env.step(int(actions[0, 0]))
        assert reward == box.state["reward"][0, 0]
        inside = env.get_state()["worlds"]["state"]["box"]
        for name in ("held", "hand", "notes", "board", "seemed", "where", "first_at", "illegal", "forgot"):
            np.testing.assert_array_equal(inside[name], box.state[name])
        earned += reward
    assert truncated
    assert earned > 0


def check_holes_and_shapes(notes):
    params = {**SMALL, "bases": 8, "recipes": 1, "notes": notes, "board": 0, "structure": "grammar", "horizon": 30}
    env, box = seat(**params, companions="waiting"), Boxes(**params, seed=3)
    obs, _ = env.reset(seed=3)
    others, rng, items = companions_of(box, "waiting"), np.random.default_rng(0), 14
    for _ in range(30):
        whole = box.rows[0, 0]
        np.testing.assert_array_equal(obs, whole[kept(box.p)])
        held, planes = box.state["held"][0, 0] > 0, items * (3 if notes else 1)
        holes = box.worlds.task_rows["hole"][0]
        np.testing.assert_allclose(whole[planes : planes + items], np.where(held, (holes + 1) / 2, 0))
        assert set(range(planes, planes + 2 * items)) <= set(kept(box.p).tolist())
        actions = next(others)
        actions[0, 0] = rng.choice(np.flatnonzero(action_mask(box.p, obs)))
        box.worlds.advance(actions, box.out)
        obs, *_ = env.step(int(actions[0, 0]))


@pytest.mark.parametrize("topology", TOPOLOGIES)
def test_what_a_seat_leaves_out_never_changes(topology):
    """And what it keeps of the action mask is all that can change in it."""
    boxes = Boxes(**SMALL, count=20, topology=topology, group=1, visit=0.2, horizon=300)
    low = high = boxes.rows[:, 0]
    for _ in boxes.live("random", 300):
        low, high = np.minimum(low, boxes.rows[:, 0]), np.maximum(high, boxes.rows[:, 0])
    varies = low.min(axis=0) < high.max(axis=0)
    out = np.setdiff1d(np.arange(len(varies)), kept(boxes.p))
    assert not varies[out].any()
    view = view_length(boxes.p)
    assert varies[view:][np.setdiff1d(np.arange(boxes.verbs.end), out - view)].all()


@pytest.mark.plain
def test_a_memory_reset_is_seen():
    """`forgot` is 1 in the first observation, and at each dawn."""
    env = seat(**SMALL, companions="waiting", day=7, horizon=21)
    obs, _ = env.reset(seed=0)
    p = env.variant.p
    at = int(np.flatnonzero(kept(p) == 3 * 10 + 5)[0])
    flags = [obs[at]]
    for _ in range(21):
        obs, *_ = env.step(10)
        flags.append(obs[at])
    assert flags == [1.0 if t % 7 == 0 else 0.0 for t in range(22)]


@pytest.mark.parametrize("family", [InventionSeat, AmnesiaSeat])
def test_train_and_test_share_no_recipe(family):
    def recipes(split):
        tasks = TaskSet.of_family(family, split=split).rows(100)
        return {(item, *sorted(pair)) for task in tasks for item, pairs in enumerate(task["recipe"].tolist()) for pair in pairs}

    bases = {(item, -1, -1) for item in range(family.with_params().p.lineages * family.with_params().p.bases)}
    assert recipes("train") & recipes("test") == bases


@pytest.mark.plain
def test_items_are_called_the_same_in_all_episodes_of_a_trial():
    """What was learned of them in one episode helps in the next only if they can be told again."""
    import gymnasium as gym

    params = {**SMALL, "companions": "waiting", "horizon": 3, "day": 2}
    env = gym.make("metarl_envs:MetaRL/InventionBox-v0", episodes_per_trial=2, render_mode="ansi", **params)
    env.reset(seed=0)
    first = env.render()
    assert words_in(first).count(",") == 3, "four things to begin with"
    for _ in range(3):
        _, _, _, _, info = env.step(0)
    assert info["trial"]["episode_start"]
    again = env.render()
    assert words_in(first) == words_in(again)


def words_in(text):
    """The words of what is held."""
    return next(line for line in text.splitlines() if line.startswith("You have:"))


@pytest.mark.parametrize(("family", "name"), [(InventionSeat, "InventionBox"), (AmnesiaSeat, "AmnesiaBox")])
def test_a_seat_is_called_as_its_id_is(family, name):
    """In windows, pictures and errors; files still find its class."""
    assert family.with_params().name == name
    assert repr(family.with_params()).startswith(f"{name}(")
    with pytest.raises(TypeError, match=f"{name} got an unexpected keyword argument 'sand'"):
        family.with_params(sand=1)
    assert pickle.loads(pickle.dumps(family)) is family

    class Mine(family):
        """A seat of one's own."""

    assert Mine.with_params().name == "Mine"
