"""Learners: they learn, they forget between lives, and they see nothing they should not."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest

import metarl_envs
from metarl_envs.engine.truth.solving import exact_returns
from metarl_envs.histories import collect, lifetime_returns
from metarl_envs.ids import TABLE
from metarl_envs.learners import LEARNERS, PSRL, UCB1, QLearning, Random, Thompson
from metarl_envs.learners.named import suitable_players
from tests.worlds import SMALLER, smaller

IDS = [row.id for row in TABLE]
#: In these, planners and controllers take ordinary Python long.
SLOW = {"MetaRL/GridNavi-v0", "MetaRL/CartPole-v0"}
#: Fewer states than the default, for learners that plan, and smaller trees.
FEWER = {"MetaRL/TabularMDP-v0": {"states": 4, "actions": 3}}
FEWER |= {id: {name: value for name, value in smaller(id).items() if name != "horizon"} for id in SMALLER}
every_id = pytest.mark.parametrize("id", [pytest.param(id, marks=pytest.mark.slow if id in SLOW else ()) for id in IDS])
LEARNING = [
    ("MetaRL/DarkRoom-v0", QLearning(), 60),
    ("MetaRL/TabularMDP-v0", QLearning(), 60),
    ("MetaRL/TabularMDP-v0", PSRL(), 20),
]


@pytest.mark.parametrize(("id", "learner", "episodes"), LEARNING, ids=str)
def test_a_learner_improves_and_stays_between_random_and_oracle(id, learner, episodes):
    tasks = metarl_envs.tasks(id)
    curve = lifetime_returns(tasks.sample(300), tasks.variant, learner, np.arange(300), episodes=episodes).mean(axis=0)
    scale = np.array([exact_returns(tasks.variant, row) for row in tasks.sample(300)]).mean(axis=0)
    first, last = curve[:5].mean(), curve[-5:].mean()
    assert last > first + 0.2 * (scale[1] - scale[0])
    assert scale[0] - 0.5 < first
    assert last < scale[1] + 0.5


@pytest.mark.parametrize("learner", [Thompson(), UCB1(), QLearning()], ids=str)
def test_a_bandit_learner_pulls_better_arms_later(learner):
    tasks = metarl_envs.tasks("MetaRL/BernoulliBandit-v0", horizon=200)
    rows = tasks.sample(500)
    blocks = lifetime_returns(rows, tasks.variant, learner, np.arange(500), episodes=1, block=20)
    assert blocks[:, -1].mean() > blocks[:, 0].mean() + 1
    assert blocks.sum(axis=1).mean() < 200 * rows["chance"].max(axis=1).mean()


#: Pairs with another form of actions, of observations, or of knowledge: what they share of a driver is tested here, compiled.
COMPILED = [
    ("MetaRL/DarkRoom-v0", "q_learning"),
    ("MetaRL/DarkRoom-v0", "oracle"),
    ("MetaRL/TabularMDP-v0", "psrl"),
    ("MetaRL/PointRobot-v0", "random"),
    ("MetaRL/PointRobot-v0", "oracle"),
    ("MetaRL/LinearBandit-v0", "lin_ucb"),
]


def lives_alike(id, policy, count, episodes=3, **params):
    """Whether lives are the same whatever the workers, and whoever lives beside them."""
    tasks = metarl_envs.tasks(id, **params)
    rows, seeds, some = tasks.sample(count), np.arange(count), slice(count // 2, None)
    together = lifetime_returns(rows, tasks.variant, policy, seeds, episodes=episodes, workers=2)
    alone = lifetime_returns(rows, tasks.variant, policy, seeds, episodes=episodes, workers=1)
    return (together == alone).all() and (
        together[some] == lifetime_returns(rows[some], tasks.variant, policy, seeds[some], episodes=episodes)
    ).all()


@pytest.mark.parametrize(("id", "name"), COMPILED)
def test_lives_are_alike_whatever_the_workers_and_the_neighbours(id, name):
    assert lives_alike(id, suitable_players(metarl_envs.tasks(id).variant)[name], 130)


@pytest.mark.plain
@every_id
def test_lives_of_every_suitable_policy_are_alike_whoever_lives_beside_them(id):
    params = {"horizon": 6, **FEWER.get(id, {})}
    tasks = metarl_envs.tasks(id, **params)
    for name, policy in suitable_players(tasks.variant).items():
        if policy.runs_by_default(tasks.variant):
            assert lives_alike(id, policy, 2, episodes=2, **params), name


LIVES = """
import hashlib, json, sys
import numpy as np
import metarl_envs
from metarl_envs.learners.named import suitable_players
from metarl_envs.histories import lifetime_returns
for id, params in json.loads(sys.argv[1]).items():
    tasks = metarl_envs.tasks(id, **params)
    for name, policy in suitable_players(tasks.variant).items():
        if policy.runs_by_default(tasks.variant):
            earned = lifetime_returns(tasks.sample(3), tasks.variant, policy, np.arange(3), episodes=2)
            print(id, name, hashlib.sha256(earned.tobytes()).hexdigest(), sep="/")
"""


@pytest.mark.nightly
@pytest.mark.slow
def test_every_suitable_policy_lives_alike_compiled_and_plain():
    where = json.dumps({id: {**smaller(id), "horizon": 12} for id in IDS})
    compiled, plain = (
        subprocess.run(
            [sys.executable, "-c", LIVES, where], env={**os.environ, "NUMBA_DISABLE_JIT": off}, capture_output=True, text=True
        )
        for off in ("0", "1")
    )
    assert compiled.returncode == plain.returncode == 0, compiled.stderr + plain.stderr
    assert compiled.stdout.split() == plain.stdout.split()
    assert len(compiled.stdout.split()) >= 2 * len(IDS)


@pytest.mark.plain
@every_id
def test_a_learner_does_the_same_on_two_tasks_until_they_pay_differently(id):
    params = FEWER.get(id, {})
    tasks = metarl_envs.tasks(id, **params)
    for name, policy in suitable_players(tasks.variant).items():
        if policy.observes == "world" or not policy.runs_by_default(tasks.variant):
            continue
        pair = metarl_envs.TaskSet.of_rows(tasks.variant, tasks.sample(2, seed=5))
        one, other = (collect(id, policy, histories=1, steps=30, seed=7, tasks=pair[i : i + 1]) for i in range(2))
        seen_alike = (one.rewards[0] == other.rewards[0]) & (one.observations[0] == other.observations[0]).reshape(30, -1).all(
            1
        )
        until = 30 if seen_alike.all() else int(seen_alike.argmin())
        assert (one.actions[0, :until] == other.actions[0, :until]).all(), name


def test_collect_keeps_every_transition():
    lived = collect("MetaRL/DarkRoomHard-v0", QLearning(), histories=5, steps=200, size=5, horizon=8)
    assert lived.observations.shape == (5, 200, 2)
    ended = lived.terminated | lived.truncated
    assert (lived.rewards[lived.terminated] == 1).all()
    assert (lived.rewards[~lived.terminated] == 0).all()
    assert not (lived.terminated & lived.truncated).any()
    for i in range(5):
        starts = np.flatnonzero(ended[i])[:-1] + 1
        assert (lived.observations[i, starts] == 2).all(), "each episode starts at the centre"
        lengths = np.diff(np.flatnonzero(ended[i]), prepend=-1)
        assert (lengths <= 8).all()
        assert (lengths[lived.truncated[i][ended[i]]] == 8).all()
        goal = lived.tasks[i]["goal"]
        inside = ~ended[i][:-1]
        on_goal = (lived.observations[i, 1:] == goal).all(axis=1) & inside
        assert not on_goal.any(), "the episode ends on the goal, so no step starts there"


def test_collected_histories_do_not_depend_on_workers_or_on_their_number():
    many = collect("MetaRL/DarkRoom-v0", QLearning(), histories=150, steps=100, workers=2)
    few = collect("MetaRL/DarkRoom-v0", QLearning(), histories=3, steps=100, workers=1)
    for name in ("observations", "actions", "rewards", "terminated", "truncated", "final_observations", "tasks"):
        assert (getattr(many, name)[:3] == getattr(few, name)).all(), name


def test_histories_of_the_train_split_hold_train_tasks_alone():
    lived = collect("MetaRL/DarkRoom-v0", Random(), histories=200, steps=1, split="train")
    train = {tuple(row["goal"]) for row in metarl_envs.tasks("MetaRL/DarkRoom-v0", split="train")}
    assert {tuple(goal) for goal in lived.tasks["goal"]} <= train


def test_a_learner_that_cannot_live_somewhere_says_why():
    with pytest.raises(ValueError, match=r"UCB1 is for bandits, and DarkRoom has 81 states"):
        collect("MetaRL/DarkRoom-v0", UCB1(), histories=1, steps=1)
    with pytest.raises(ValueError, match=r"step_size=2.*from 0 to 1"):
        QLearning(step_size=2)
    with pytest.raises(TypeError, match=r"'stepsize'.*step_size"):
        QLearning(stepsize=0.1)


def test_every_learner_has_a_docstring_that_names_its_hyperparameters():
    for learner in LEARNERS.values():
        assert learner.__doc__
        for name in learner.params.parameters:
            assert name in learner.__doc__, f"{learner.__name__}: {name}"
