"""Q*, regret, posterior and returns with random starts, or a clock in the state, against dynamic programming by hand."""

import functools
import itertools
from pathlib import Path

import gymnasium as gym
import numpy as np
import pytest

import metarl_envs
from metarl_envs.engine import Family, Integer, Parameters, kernel, randint, record, uniform
from metarl_envs.engine.records import Row
from metarl_envs.engine.truth import solving
from metarl_envs.engine.truth.solving import exact_returns, explore
from metarl_envs.families.grids.dark_room import DarkRoom
from metarl_envs.histories import collect
from metarl_envs.ids import TABLE
from metarl_envs.learners import QLearning
from metarl_envs.testing import check_starts

pytestmark = pytest.mark.plain

CONTRACT = Path(__file__).parents[1] / "docs" / "contract.md"
ROOM, KEY, MAZE = "MetaRL/DarkRoom-v0", "MetaRL/DarkKeyToDoor-v0", "MetaRL/TMaze-v0"
STEPS = ((0, 0), (0, -1), (1, 0), (0, 1), (-1, 0))


# ------------------------------------------------------------------------------------------- the rules once more, by hand
def room(task, p):
    """What an action does: (state, reward, over), where a state is (x, y)."""

    def step(state, action, t):
        x, y = (min(max(a + d, 0), p["size"] - 1) for a, d in zip(state, STEPS[action], strict=True))
        found = (x, y) == tuple(task["goal"])
        return (x, y), float(found), found and p.get("once", False)

    return step


def key_and_door(task, p):
    def step(state, action, t):
        x, y = (min(max(a + d, 0), p["size"] - 1) for a, d in zip(state[:2], STEPS[action], strict=True))
        wanted = (task["key"], task["door"], (-1, -1))[state[2]]
        paid = (x, y) == tuple(wanted)
        return (x, y, state[2] + paid), float(paid), paid and state[2] == 1 and p.get("ends", False)

    return step


def permuted(task, p):
    def step(state, action, t):
        x, y = (min(max(a + d, 0), p["size"] - 1) for a, d in zip(state, STEPS[task["move"][action]], strict=True))
        found = x == y == p["size"] - 1
        return (x, y), float(found), found and p.get("once", False)

    return step


def maze(task, p):
    """Ni et al.: a corridor, and -1/length for each step on which one is left of where going right would have brought one."""
    active, length, horizon = int(p.get("active", False)), p["length"], p["horizon"]

    def step(state, action, t):
        x, y = state
        if action in (0, 2) and y == 0:
            x = min(max(x + (1 if action == 0 else -1), 0), active + length)
        elif action in (1, 3) and x == active + length:
            y = min(max(y + (1 if action == 1 else -1), -1), 1)
        if t + 1 == horizon:
            return (x, y), float(y == task["goal"]), False
        return (x, y), -1 / length if x < t + 1 - active else 0.0, False

    return step


def values(step, actions, horizon):
    """Q*(state, t) by recursion, and the mean over random actions."""

    @functools.cache
    def q(state, t):
        out = []
        for action in range(actions):
            then, reward, over = step(state, action, t)
            out.append(reward + (0.0 if over or t + 1 == horizon else max(q(then, t + 1))))
        return out

    @functools.cache
    def random(state, t):
        out = 0.0
        for action in range(actions):
            then, reward, over = step(state, action, t)
            out += (reward + (0.0 if over or t + 1 == horizon else random(then, t + 1))) / actions
        return out

    return q, random


CASES = {
    "room": (ROOM, room, {"size": 3, "horizon": 5, "start": "random"}),
    "room, once": (ROOM, room, {"size": 3, "horizon": 5, "start": "random", "once": True}),
    "key": (KEY, key_and_door, {"size": 3, "horizon": 7}),
    "key, ends": (KEY, key_and_door, {"size": 3, "horizon": 7, "ends": True}),
    "key, too short": (KEY, key_and_door, {"size": 4, "horizon": 2}),
    "permuted": ("MetaRL/DarkRoomPermuted-v0", permuted, {"size": 3, "horizon": 6, "start": "random"}),
    "maze": (MAZE, maze, {"length": 3, "horizon": 4}),
    "maze, time to spare": (MAZE, maze, {"length": 3, "horizon": 7}),
    "maze, active": (MAZE, maze, {"length": 3, "active": True, "horizon": 6}),
    "maze, too short": (MAZE, maze, {"length": 3, "horizon": 2}),
}


def where(state):
    """A state as the rules above have it."""
    if "agent" not in state.dtype.names:
        return int(state["x"]), int(state["y"])
    return (*(int(cell) for cell in state["agent"]), *(int(state[name]) for name in ("stage",) if name in state.dtype.names))


def first_states(id, p):
    """The first states by the docstring."""
    if id == MAZE:
        return [(int(p.get("active", False)), 0)]
    cells = [(x, y) for x in range(p["size"]) for y in range(p["size"])]
    return [(*cell, 0) for cell in cells] if id == KEY else cells


@pytest.mark.parametrize("case", CASES)
def test_values_by_dynamic_programming(case):
    """Along random walks: Q*, optimal actions, and regret, which is what the walk earned less than the best from its start."""
    id, rules, params = CASES[case]
    env = gym.make(id, ground_truth=True, **params).unwrapped
    rng = np.random.default_rng(0)
    for seed in range(12):
        _, info = env.reset(seed=seed)
        told = info["metarl"]
        q, random = values(rules(told["task"], params), env.action_space.n, params["horizon"])
        starts = first_states(id, params)
        assert told["oracle_return"] == pytest.approx(np.mean([max(q(start, 0)) for start in starts]))
        assert told["random_return"] == pytest.approx(np.mean([random(start, 0) for start in starts]))
        state = where(env.get_state()["worlds"][0]["state"])
        promised, earned, t, over = max(q(state, 0)), 0.0, 0, False
        assert state in starts
        while not over:
            best = q(state, t)
            assert told["q_star"] == pytest.approx(best)
            assert (told["optimal_actions"] == np.isclose(best, max(best))).all()
            action = int(rng.integers(env.action_space.n))
            _, reward, terminated, truncated, info = env.step(action)
            told, over = info["metarl"], terminated or truncated
            state, earned, t = rules(told["task"], params)(state, action, t)[0], earned + reward, t + 1
        assert told["regret"] == pytest.approx(promised - earned)
        assert not told["q_star"].any(), "after the end"


@pytest.mark.parametrize(("id", "params"), [(KEY, {"size": 3, "horizon": 12}), (MAZE, {})])
def test_optimal_actions_lose_nothing(id, params):
    """They earn what was promised, without regret, over the episodes of a trial."""
    env = gym.make(id, ground_truth=True, episodes_per_trial=3, **params)
    for seed in range(5):
        _, info = env.reset(seed=seed)
        promised, earned, over = [info["metarl"]["q_star"].max()], 0.0, False
        while not over:
            action = int(np.flatnonzero(info["metarl"]["optimal_actions"])[0])
            _, reward, terminated, truncated, info = env.step(action)
            earned, over = earned + reward, terminated or truncated
            if info["trial"]["episode_start"]:
                promised.append(info["metarl"]["q_star"].max())
        assert len(promised) == 3
        assert earned == pytest.approx(sum(promised))
        assert info["metarl"]["regret"] == pytest.approx(0)


@pytest.mark.parametrize("case", ["room", "room, once", "key", "key, ends", "permuted", "maze", "maze, active"])
def test_exploring_agrees_with_the_formulas_of_the_family(case):
    id, _, params = CASES[case]
    tasks = metarl_envs.tasks(id, **params)
    for row in tasks.rows(len(tasks))[:: max(1, len(tasks) // 9)]:
        explored = explore(tasks.variant, row.reshape(1))
        assert explored.returns() == pytest.approx(exact_returns(tasks.variant, row))


def test_labels_of_histories_are_those_values():
    for case in ("key", "maze, time to spare", "room, once"):
        id, rules, params = CASES[case]
        lived = collect(id, QLearning(), histories=3, steps=100, labels=["q_star", "regret"], split=None, **params)
        for history, task in zip(lived, lived.tasks, strict=True):
            t, q = 0, values(rules(task, params), 5 if id != MAZE else 4, params["horizon"])[0]
            for n in range(100):
                if t == 0:
                    first = n
                assert history["regret"][n] == pytest.approx(
                    history["q_star"][n].max() - history["q_star"][n, history["action"][n]]
                )
                t += 1
                if history["terminated"][n] or history["truncated"][n]:
                    state = tuple(history["observation"][first].tolist())
                    start = {KEY: (*state, 0), MAZE: (0, 0)}.get(id, state)
                    assert history["q_star"][first] == pytest.approx(q(start, 0))
                    lost, earned = history["regret"][first : n + 1].sum(), history["reward"][first : n + 1].sum()
                    assert lost == pytest.approx(max(q(start, 0)) - earned)
                    t = 0


# ------------------------------------------------------------------------------------------- T-maze by hand
def told_after(env, actions):
    """What is told after a reset, with the goal below, and after each action."""
    told = [env.reset(seed=0, options={"task": 0})[1]["metarl"]]
    assert told[0]["task"]["goal"] == -1
    return told + [env.step(action)[4]["metarl"] for action in actions]


def test_the_cue_tells_all_in_a_t_maze():
    certain, open_ = [1.0, 0.0], [0.5, 0.5]
    passive = told_after(gym.make(MAZE, ground_truth=True), [0, 0, 0])
    assert [told["posterior"].tolist() for told in passive] == [certain] * 4
    active = gym.make(MAZE, length=2, active=True, episodes_per_trial=2, ground_truth=True)
    fetched = told_after(active, [0, 0, 2, 2, 2, 0, 0])  # to the junction, back to the cue, and on into the next episode
    assert [told["posterior"].tolist() for told in fetched] == [open_] * 5 + [certain] * 3
    guessed = told_after(active, [0, 0, 1, 1, 1, 0])  # the reward of the last of five steps tells as well
    assert [told["posterior"].tolist() for told in guessed] == [open_] * 5 + [certain] * 2


def test_regret_in_a_t_maze_is_what_delay_costs():
    """Corridor of 2, 3 steps: right, right, down earns 1. Left, right, right pays 1/2 twice, and ends in no arm."""
    env = gym.make(MAZE, length=2, ground_truth=True)
    assert [told["regret"] for told in told_after(env, [0, 0, 3])] == [0, 0, 0, 0]
    assert [told["regret"] for told in told_after(env, [0, 0, 1])] == [0, 0, 0, 1]
    assert [told["regret"] for told in told_after(env, [2, 0, 0])] == [0, 2, 2, 2]


def test_a_t_maze_is_explored_no_deeper_than_an_episode_goes():
    tasks = metarl_envs.tasks(MAZE)
    assert len(explore(tasks.variant, tasks.rows(1)).states) == states_of_a_maze(5)
    longest = next(length for length in itertools.count(1) if states_of_a_maze(length + 1) > solving.MOST_STATES)
    assert f"T-mazes longer than {longest} have no `q_star`" in CONTRACT.read_text().replace("\n", " ")


def states_of_a_maze(length):
    """At step t one is in a cell up to the t-th, or at the last one, after a step across, in an arm."""
    return sum(min(t, length) + 1 for t in range(length + 2)) + 2


def test_the_posterior_needs_no_list_of_states(monkeypatch):
    monkeypatch.setattr(solving, "MOST_STATES", 50)
    monkeypatch.setattr(solving, "_TRIED", 20)
    told = told_after(gym.make(MAZE, length=12, ground_truth=True), [0, 2])
    assert [t["posterior"].tolist() for t in told] == [[1.0, 0.0]] * 3
    assert "q_star" not in told[0]


# ------------------------------------------------------------------------------------------- what a family says of its starts
@kernel
def first_or_second(params, task, state, rng):
    state.agent[0] = randint(rng, 4) == 0
    state.agent[1] = 0


class TwoStarts(DarkRoom):
    """Starts in the corner three times of four."""

    reset = first_or_second

    @staticmethod
    def starts(p, task, dtype):
        states = np.zeros(2, dtype)
        states["agent"] = (0, 0), (1, 0)
        return states, np.array([0.75, 0.25])


class LeavesOut(TwoStarts):
    @staticmethod
    def starts(p, task, dtype):
        return np.zeros(1, dtype), np.ones(1)


class WrongChances(TwoStarts):
    @staticmethod
    def starts(p, task, dtype):
        return TwoStarts.starts(p, task, dtype)[0], np.array([0.6, 0.4])


class NoChances(TwoStarts):
    @staticmethod
    def starts(p, task, dtype):
        return TwoStarts.starts(p, task, dtype)[0], np.array([0.75])


class Untold(DarkRoom):
    reset = first_or_second


for family in (TwoStarts, LeavesOut, WrongChances, NoChances, Untold):
    metarl_envs.register(f"Starts/{family.__name__}-v0", f"{__name__}:{family.__name__}")


def test_starts_of_unequal_chance_weigh_as_much():
    check_starts("Starts/TwoStarts-v0", {"size": 3})
    tasks = metarl_envs.tasks("Starts/TwoStarts-v0", size=3, horizon=5)
    for row in tasks:
        q, random = values(room(row, {"size": 3}), 5, 5)
        often, seldom = ((random(start, 0), max(q(start, 0))) for start in ((0, 0), (1, 0)))
        expected = 0.75 * np.array(often) + 0.25 * np.array(seldom)
        assert exact_returns(tasks.variant, row) == pytest.approx(expected), "DarkRoom's formula is not inherited"


@pytest.mark.parametrize(
    ("name", "problem"),
    [("LeavesOut", "leaves out"), ("WrongChances", "chance is 0.[46]"), ("NoChances", "2 different states")],
)
def test_starts_that_are_told_wrongly_are_noticed(name, problem):
    with pytest.raises(AssertionError, match=problem):
        check_starts(f"Starts/{name}-v0", {"size": 3})


def test_a_state_that_no_start_leads_to_is_an_error_not_a_guess():
    class Elsewhere(TwoStarts):
        @staticmethod
        def starts(p, task, dtype):
            states = np.zeros(1, dtype)
            states["agent"] = 7, 7
            return states, np.ones(1)

    variant = Elsewhere.with_params(horizon=2)
    explored = explore(variant, np.zeros(1, variant.task))
    here = Row(np.zeros(1, variant.state)[0])
    with pytest.raises(ValueError, match=r"no episode reaches .*agent.*starts"):
        explored.q(here, 0)


def test_random_starts_that_are_not_told_are_not_guessed():
    _, info = gym.make("Starts/Untold-v0", ground_truth=True).reset(seed=0)
    assert "q_star" not in info["metarl"]
    assert np.isnan(info["metarl"]["oracle_return"])
    assert "posterior" in info["metarl"]


# ------------------------------------------------------------------------------------------- known on some tasks only
@kernel
def sure_or_not(params, task, rng):
    task.sure = randint(rng, 2)


@kernel
def at_zero(params, task, state, rng):
    state.x = 0


@kernel
def pay_perhaps(params, task, state, action, rng):
    if task.sure:
        return 1.0 * action, False
    return 1.0 * (uniform(rng) < 0.5), False


@kernel
def see_nothing(params, task, state, obs):
    obs[0] = 0


class SometimesKnown(Family):
    params = Parameters(horizon=Integer(2, 1))
    task, state = record(sure=np.int64), record(x=np.int64)
    sample_task, reset, step, observe = sure_or_not, at_zero, pay_perhaps, see_nothing

    @staticmethod
    def spaces(p):
        return gym.spaces.Box(0, 1, (1,), np.int64), gym.spaces.Discrete(2)


metarl_envs.register("Starts/SometimesKnown-v0", f"{__name__}:SometimesKnown")


def test_where_a_value_is_known_on_some_tasks_only_it_is_told_of_those():
    """Also when known and unknown tasks follow each other: nothing of an earlier one stays."""
    envs = gym.make_vec("Starts/SometimesKnown-v0", num_envs=6, ground_truth=True)
    _, info = envs.reset(seed=0)
    seen = set()
    for _ in range(15):
        told, sure = info["metarl"], info["metarl"]["task"]["sure"] == 1
        seen |= {sure.sum()}
        if sure.any():
            assert np.isnan(told["regret"]).tolist() == (~sure).tolist()
            at_start = info["trial"]["trial_start"]
            assert told["q_star"][sure & at_start].tolist() == [[1.0, 2.0]] * (sure & at_start).sum()
            assert np.isnan(told["q_star"][~sure & at_start]).all()
            assert not told["optimal_actions"][~sure & at_start].any()
            assert set(told["regret"][sure].tolist()) <= {0.0, 1.0, 2.0}
        else:
            assert "q_star" not in told
        info = envs.step(np.zeros(6, int))[4]
    assert len(seen) > 1


# ------------------------------------------------------------------------------------------- the table of the documentation
@pytest.mark.slow
def test_the_page_says_where_values_are_known():
    page = CONTRACT.read_text()
    said = {}
    for line in page.partition("## Where values are known")[2].partition("\n## ")[0].splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        for name in cells[0].removeprefix("seats of ").replace("seats of ", "").replace(" and ", ", ").split(", "):
            said[name] = cells[1:]
    for row in TABLE:
        told = gym.make(row.id, ground_truth=True).reset(seed=0)[1]["metarl"]
        finite = [name for name in ("random_return", "oracle_return") if np.isfinite(told[name])]
        returns = {2: "both", 1: f"`{finite[0]}`" if finite else "", 0: "NaN"}[len(finite)]
        keys = {"q_star", "optimal_actions", "regret"} & told.keys()
        assert len(keys) in (0, 3)
        name = row.id.partition("/")[2].removesuffix("-v0")
        known = [returns, "yes" if keys else "no", "yes" if "posterior" in told else "no"]
        assert said.get(name) == known, f"under 'Where values are known', docs/contract.md must say of {name}: {known}"
