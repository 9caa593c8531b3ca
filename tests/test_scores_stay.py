"""Equal seeds, tasks and policies give the same scores, bit by bit, however players are run: digests that stay.

A change here is a change of what was published: it needs a reason, and a line in the changelog.
"""

import functools
import hashlib

import numpy as np
import pytest

import metarl_envs
from metarl_envs import boxes
from metarl_envs.engine.family import Family
from metarl_envs.evaluation import references
from metarl_envs.learners import QLearning
from metarl_envs.players import Wrapped
from metarl_wrappers import VectorPreviousStep, VectorSwapReward

pytestmark = pytest.mark.plain

ROOM = {"size": 3, "horizon": 6, "tasks": 3, "episodes": 4, "seeds": 2, "split": None}
#: One small box with every parameter that matters: two days of eight steps, notes, three agents.
BOX = {"agents": 3, "horizon": 16, "day": 8, "notes": 3, "free_reading": True, "lineages": 2, "levels": 4, "width": 2}
BOX |= {"bases": 4, "recipes": 2, "crossover": 2, "topology": "full", "dead_ends": 0.0, "illusions": 0.0, "pays": "own"}


class Counting:
    """A batch agent that sums up what it is told, and acts by that."""

    def __init__(self, *, num_envs, observation_space, action_space, seed):
        self.sums, self.space = np.full(num_envs, float(seed)), action_space

    def act(self, step):
        seen = np.asarray(step.observation, float).reshape(len(self.sums), -1).sum(axis=1)
        self.sums += seen + 2 * step.previous_reward + 3 * step.episode_start + step.terminated + 5 * step.trial_start
        self.sums[step.memory_reset] = 0.0
        return (self.sums.astype(int) % self.space.n).astype(self.space.dtype)


def digest(array):
    return hashlib.sha256(np.ascontiguousarray(array).tobytes()).hexdigest()[:16]


def scored(policies, id, **arguments):
    result = metarl_envs.evaluate(id, policies, **arguments)
    return {name: digest(raw) for name, raw in result.raw.items()}


def test_in_a_room_learners_agents_and_agents_through_wrappers_earn_what_they_earned():
    policies = {
        "random": "random",
        "q": QLearning(step_size=0.5),
        "oracle": "oracle",
        "agent": Counting,
        "through": Wrapped(Counting, functools.partial(VectorPreviousStep, flat=True)),
        "swapped": Wrapped(Counting, VectorSwapReward),
    }
    assert scored(policies, "DarkRoom", **ROOM) == {
        "random": "6726bbf32f59f079",
        "q": "413d3e28cc5ae9c1",
        "oracle": "e67ffeda0dc52ff8",
        "agent": "28194cedba2cca4c",
        "through": "5946db7d9feb3a16",
        "swapped": "4996c1262958f823",
    }


def test_in_bandits_blocks_pay_what_they_paid(monkeypatch):
    short = {"horizon": 20, "tasks": 3, "seeds": 2, "split": None}
    policies = ["random", "thompson", "ucb1", "oracle", Counting]
    assert scored(policies, "BernoulliBandit", arms=3, **short) == {
        "random": "3d87a531a872e1f5",
        "thompson": "5c74e0866c9502c9",
        "ucb1": "3c0c72712bb6331d",
        "oracle": "e1b207c9fe5a317f",
        "Counting": "01d95194f7f9c6d0",
    }
    assert scored(["random", "oracle", "lin_ucb"], "LinearBandit", lifetimes=2, **short) == {
        "random": "a7adb008972cbd55",
        "oracle": "c755f448b209e62e",
        "lin_ucb": "d1e71386f9999098",
    }


def test_where_actions_are_arrays_it_is_the_same(monkeypatch):
    monkeypatch.setattr(Family, "reference_episodes", 3)
    found = scored(["random", "oracle"], "PointRobot", horizon=10, tasks=2, seeds=2, episodes=3, split=None)
    assert found == {"random": "d600c94e959818f4", "oracle": "273cea0783536d77"}


@pytest.mark.slow
def test_in_a_seat_whose_memory_is_reset_it_is_the_same(monkeypatch):
    monkeypatch.setattr(Family, "reference_episodes", 2)
    monkeypatch.setattr(references, "_LIVES", 2)
    where = {"tasks": 1, "seeds": 1, "lifetimes": 2, "split": None, "least_spread": 1e-9, "companions": "greedy"}
    assert scored(["random", Counting], "AmnesiaBox", **where, **BOX) == {
        "random": "ae2cc60d29de85c7",
        "Counting": "66687aadf862bd77",
    }


def ending(run):
    """Digests of what was done, and of what is held, known first and paid at the end: whatever else a state holds."""
    for states in run.replay():
        last = states
    fields = [np.asarray(last[name]) for name in ("held", "hand", "first_at", "first_by", "reward", "noise")]
    return digest(run.actions.astype(np.int64)), digest(np.concatenate([field.reshape(-1).astype(float) for field in fields]))


def test_boxes_end_as_they_ended():
    done = boxes.run("AmnesiaBox", {0: "oracle", 1: "notes_fifo", 2: "random"}, boxes=3, seed=5, **BOX)
    assert ending(done) == ("b3cf39bcdf49ad59", "fd77d593df29a1a3")
    others = {1: "rule_finder", "others": "greedy"}
    done = boxes.run("InventionBox", others, boxes=2, seed=5, **{**BOX, "day": 0, "notes": 0})
    assert ending(done) == ("55634c72e1b97a9a", "e853d3dc23dcbac1")
