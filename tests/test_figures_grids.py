"""The rules and figures of the grid families, against rules written down once more, brute force and closed forms."""

import itertools

import gymnasium as gym
import numpy as np
import pytest

import metarl_envs
from metarl_envs.engine import Row
from metarl_envs.engine.truth.solving import exact_returns
from metarl_envs.engine.worlds import task_rows
from metarl_envs.evaluation.references import memoryless_returns, scale_of
from metarl_envs.histories import lifetime_returns
from metarl_envs.learners import QLearning, Random

ROOM, ROOM10, PERMUTED = "MetaRL/DarkRoom-v0", "MetaRL/DarkRoom10-v0", "MetaRL/DarkRoomPermuted-v0"
KEY, NAVI, MAZE = "MetaRL/DarkKeyToDoor-v0", "MetaRL/GridNavi-v0", "MetaRL/TMaze-v0"
STAY, UP, RIGHT, DOWN, LEFT = (0, 0), (0, -1), (1, 0), (0, 1), (-1, 0)
MOVES = [STAY, UP, RIGHT, DOWN, LEFT]


# ------------------------------------------------------------------------------------------------- the rules, once more
def path(start, moves, size):
    """The cells that a walk comes by, without the first."""
    x, y = start
    cells = []
    for dx, dy in moves:
        if 0 <= x + dx < size and 0 <= y + dy < size:
            x, y = x + dx, y + dy
        cells.append((x, y))
    return cells


def room(task, start, actions, p):
    """What one sees and is paid in a Dark Room, up to its end, and whether that is a termination."""
    cells = path(start, [MOVES[a] for a in actions], p.size)
    rewards = [float(cell == tuple(task.goal)) for cell in cells]
    ends = p.once and 1.0 in rewards
    return cells, rewards[: rewards.index(1.0) + 1] if ends else rewards, ends


def permuted(task, start, actions, p):
    cells = path(start, [MOVES[task.move[a]] for a in actions], p.size)
    return cells, [float(cell == (p.size - 1, p.size - 1)) for cell in cells], False


def key_to_door(task, start, actions, p):
    cells = path(start, [MOVES[a] for a in actions], p.size)
    key, door = tuple(task.key), tuple(task.door)
    rewards, ends = [0.0] * len(cells), False
    if key in cells:
        first = cells.index(key)
        rewards[first] = 1.0
        if door in cells[first + 1 :]:
            second = cells.index(door, first + 1)
            rewards[second] = 1.0
            ends = p.ends
            rewards = rewards[: second + 1] if ends else rewards
    return cells, rewards, ends


def navi(task, start, actions, p):
    cells = path(start, [MOVES[a] for a in actions], p.size)
    return cells, [1.0 if cell == tuple(task.goal) else -0.1 for cell in cells], False


def maze(task, start, actions, p):
    """A T-maze, from the words of its source: cells that exist, a first look at the cue, and where one ought to be."""
    junction = p.active + p.length
    floor = {(x, 0) for x in range(junction + 1)} | {(junction, 1), (junction, -1)}
    place, looked, seen, rewards = (p.active, 0), not p.active, [], []
    for t, action in enumerate(actions, 1):
        dx, dy = [(1, 0), (0, 1), (-1, 0), (0, -1)][action]
        if (place[0] + dx, place[1] + dy) in floor:
            place = (place[0] + dx, place[1] + dy)
        cue = task.goal if place[0] == 0 and not looked else 0
        looked = looked or place[0] == 0
        seen.append((1, place[1]) if place[0] == junction else (0, cue))
        if t == p.horizon:
            rewards.append(float(place[1] == task.goal))
        else:
            rewards.append(-1 / p.length if place[0] < t - p.active else 0.0)
    return seen, rewards, False


SMALL = [
    pytest.param(ROOM, room, {"size": 3, "horizon": 4}, id="centre"),
    pytest.param(ROOM, room, {"size": 3, "horizon": 4, "start": "corner"}, id="corner"),
    pytest.param(ROOM, room, {"size": 2, "horizon": 4, "start": "random", "once": True}, id="random_once"),
    pytest.param(ROOM10, room, {"size": 3, "horizon": 4}, id="room10"),
    pytest.param(PERMUTED, permuted, {"size": 3, "horizon": 5}, id="permuted"),
    pytest.param(KEY, key_to_door, {"size": 2, "horizon": 4}, id="key"),
    pytest.param(KEY, key_to_door, {"size": 3, "horizon": 5, "start": "centre"}, id="key_centre"),
    pytest.param(KEY, key_to_door, {"size": 2, "horizon": 5, "start": "corner", "ends": True}, id="key_ends"),
    pytest.param(NAVI, navi, {"size": 3, "horizon": 5}, id="navi"),
    pytest.param(NAVI, navi, {"size": 4, "horizon": 5, "nearest": 3}, id="navi_far"),
    pytest.param(MAZE, maze, {"length": 2}, id="maze"),
    pytest.param(MAZE, maze, {"length": 2, "active": True}, id="maze_active"),
    pytest.param(MAZE, maze, {"length": 1, "active": True, "horizon": 6}, id="maze_slack"),
    pytest.param(MAZE, maze, {"length": 3, "horizon": 2}, id="maze_short"),
]


@pytest.mark.parametrize(("id", "rules", "params"), SMALL)
def test_every_step_follows_the_rules(id, rules, params):
    env = gym.make(id, **params).unwrapped
    env.action_space.seed(0)
    rows = env.tasks.rows(len(env.tasks))
    terminations = paid = 0
    for seed, row in enumerate(itertools.islice(itertools.cycle(rows), 150)):
        first, _ = env.reset(seed=seed, options={"task": row})
        actions = [int(env.action_space.sample()) for _ in range(env.variant.horizon)]
        seen, rewards, ends = rules(Row(row), tuple(first.tolist()), actions, env.variant.p)
        for t, expected in enumerate(rewards):
            obs, reward, terminated, truncated, _ = env.step(actions[t])
            last = t == len(rewards) - 1
            assert tuple(obs.tolist()) == seen[t]
            assert (reward, terminated, truncated) == (expected, last and ends, last and not ends)
        terminations += terminated
        paid += reward > 0
    assert bool(terminations) == bool(params.get("once", params.get("ends")))
    assert paid or id == MAZE


@pytest.mark.parametrize(("id", "rules", "params"), SMALL)
def test_returns_are_the_mean_and_the_best_of_all_action_sequences(id, rules, params):
    tasks = metarl_envs.tasks(id, **params)
    p = tasks.variant.p
    size = getattr(p, "size", 1)
    everywhere, middle = itertools.product(range(size), repeat=2), (size // 2, size // 2)
    starts = {"random": list(everywhere), "centre": [middle]}.get(getattr(p, "start", None), [(0, 0)])
    plans = list(itertools.product(range(tasks.variant.actions), repeat=p.horizon))
    for row in tasks.rows(min(4, len(tasks))):
        totals = np.array([[sum(rules(Row(row), start, plan, p)[1]) for plan in plans] for start in starts])
        assert exact_returns(tasks.variant, row) == pytest.approx((totals.mean(), totals.max(axis=1).mean()))


@pytest.mark.slow
@pytest.mark.parametrize(("id", "rules", "params"), SMALL)
def test_the_oracle_earns_what_returns_say(id, rules, params):
    tasks = metarl_envs.tasks(id, **params)
    rows = tasks.rows(len(tasks))
    oracle = tasks.variant.family.references["oracle"]
    lives = lifetime_returns(np.repeat(rows, 60, axis=0), tasks.variant, oracle, np.arange(60 * len(rows)), episodes=3)
    lives = lives.reshape(len(rows), -1)
    error = lives.std(axis=1) / np.sqrt(lives.shape[1])
    expected = scale_of(tasks.variant, rows).oracle
    assert (np.abs(lives.mean(axis=1) - expected) <= 5 * error + 1e-9).all()
    if getattr(tasks.variant.p, "start", None) != "random":
        assert (error < 1e-9).all()


@pytest.mark.slow
@pytest.mark.parametrize("id", [ROOM10, PERMUTED, KEY, NAVI, MAZE])
def test_tabular_q_learning_runs(id):
    tasks = metarl_envs.tasks(id, horizon=12)
    seen = set()
    envs = gym.make_vec(id, num_envs=32, horizon=12)
    obs, _ = envs.reset(seed=0)
    envs.action_space.seed(0)
    for _ in range(300):
        seen |= {int(tasks.variant.family.state_index(tasks.variant.params[0], row)) for row in obs}
        obs, *_ = envs.step(envs.action_space.sample())
    assert seen <= set(range(tasks.variant.num_states))
    lived = lifetime_returns(tasks.sample(64), tasks.variant, QLearning(), np.arange(64), episodes=4)
    assert lived.shape == (64, 4)
    assert np.isfinite(lived).all()


def means(id, name, episodes, repeats=1, **params):
    """The mean return of a family's own reference in each episode of a trial, over all tasks, `repeats` lives each."""
    tasks = metarl_envs.tasks(id, **params)
    rows = np.repeat(tasks.rows(len(tasks)), repeats, axis=0)
    return lifetime_returns(
        rows, tasks.variant, tasks.variant.family.references[name], np.arange(len(rows)), episodes=episodes
    ).mean(axis=0)


def all_scales(id, **params):
    tasks = metarl_envs.tasks(id, **params)
    return scale_of(tasks.variant, tasks.rows(len(tasks)))


def mean_memoryless(id, **params):
    """What the best policy without memory earns in the mean over all tasks."""
    tasks = metarl_envs.tasks(id, **params)
    return memoryless_returns(tasks.variant, tasks.rows(len(tasks))).mean()


# ------------------------------------------------------------------------------------------------- Dark Room 10, permuted
def test_dark_room_10_figures():
    scale = all_scales(ROOM10)
    assert len(scale.random) == 100
    assert scale.random.mean() == pytest.approx(1.0)
    distances = np.array([x + y for x in range(10) for y in range(10)])
    assert scale.oracle.mean() == pytest.approx((101 - np.maximum(distances, 1)).mean()) == pytest.approx(91.99)
    assert mean_memoryless(ROOM10) == pytest.approx(1.0)


def test_search_sees_all_cells_in_one_episode_and_goes_back():
    first, second = means(ROOM10, "search", 2)
    assert first == pytest.approx(50.5)  # each of the 100 cells is the first to be seen at some step
    assert second == pytest.approx(91.99)


def test_starts_are_where_they_are_said_to_be():
    def firsts(id, **params):
        env = gym.make(id, episodes_per_trial=2, horizon=1, **params)
        seen = []
        for seed in range(150):
            obs, _ = env.reset(seed=seed)
            seen += [tuple(obs.tolist()), tuple(env.step(0)[0].tolist())]
        return seen

    assert set(firsts(ROOM)) == {(4, 4)}
    assert set(firsts(ROOM10)) == set(firsts(PERMUTED)) == set(firsts(NAVI)) == set(firsts(KEY, start="corner")) == {(0, 0)}
    assert set(firsts(ROOM10, split="centre_start")) == {(5, 5)}
    anywhere = firsts(KEY, size=4)
    assert len(set(anywhere)) == 16
    assert any(one != two for one, two in zip(anywhere[::2], anywhere[1::2], strict=True)), "drawn for each episode"


def test_dark_room_permuted_figures():
    tasks = metarl_envs.tasks(PERMUTED)
    assert len({tuple(row["move"]) for row in tasks}) == len(tasks) == 120
    scale = all_scales(PERMUTED)
    corner = metarl_envs.tasks(ROOM10).row({"goal": (9, 9)})
    assert scale.random == pytest.approx(exact_returns(metarl_envs.tasks(ROOM10).variant, corner[0]).random)
    assert scale.random == pytest.approx(0.1646, abs=1e-4)
    assert (scale.oracle == 83).all()
    assert means(PERMUTED, "probe", 3) == pytest.approx([80 + 2 / 3, 83, 83])


def test_permutations_are_drawn_uniformly():
    drawn = task_rows.draw(metarl_envs.tasks(PERMUTED).variant, 0, 0, 0, 24_000)["move"]
    _, counts = np.unique(drawn, axis=0, return_counts=True)
    assert len(counts) == 120
    assert ((counts - 200) ** 2 / 200).sum() < 180  # chi-square of 119 degrees of freedom: one time in 4,000 beyond


@pytest.mark.parametrize("size", [2, 3, 5, 10])
@pytest.mark.parametrize("start", ["corner", "centre", "random"])
def test_probe_gets_to_the_goal_whatever_the_permutation(size, start):
    tasks = metarl_envs.tasks(PERMUTED, size=size, start=start)
    rows = np.repeat(tasks.rows(120), 10, axis=0)
    lives = lifetime_returns(rows, tasks.variant, tasks.variant.family.references["probe"], np.arange(1200), episodes=2)
    assert (lives > 100 - 2 * size - 15).all()


# ------------------------------------------------------------------------------------------------- key to door
@pytest.mark.parametrize(
    ("params", "expected"),
    [({}, 0.2513), ({"start": "centre"}, 0.2686), ({"start": "corner"}, 0.2349), ({"horizon": 20}, 0.1208)],
)
def test_random_play_in_public_variants_of_key_to_door(params, expected):
    tasks = metarl_envs.tasks(KEY, **params)
    assert len(tasks) == 6561
    lives = lifetime_returns(tasks.sample(50_000, seed=1), tasks.variant, Random(), np.arange(50_000), episodes=1)
    assert abs(lives.mean() - expected) < 4 * lives.std() / np.sqrt(len(lives))
    ending = metarl_envs.tasks(KEY, ends=True, **params)
    rows = ending.sample(50, seed=2)
    assert [exact_returns(ending.variant, row) for row in rows] == [exact_returns(tasks.variant, row) for row in rows]


@pytest.mark.slow
def test_key_to_door_figures_over_all_tasks():
    scale = all_scales(KEY)
    assert scale.random.mean() == pytest.approx(0.25134, abs=1e-5)
    assert (scale.oracle == 2).all()


def test_a_late_start_leaves_the_oracle_too_little_time():
    scale = all_scales(KEY, size=4, horizon=4, start="corner")
    assert (scale.oracle < 2).any()


def test_search_for_key_and_door_gets_better_from_episode_to_episode():
    first = means(KEY, "search", 4, repeats=3)
    assert first == pytest.approx([0.80, 1.65, 1.96, 2.0], abs=0.02)


def test_a_door_on_the_key_opens_a_step_later():
    env = gym.make(KEY, start="corner", size=3, ends=True)
    env.reset(seed=0, options={"task": {"key": (1, 0), "door": (1, 0)}})
    assert [env.step(a)[1:3] for a in (2, 0)] == [(1.0, False), (1.0, True)]


# ------------------------------------------------------------------------------------------------- GridNavi
def test_grid_navi_figures():
    tasks = metarl_envs.tasks(NAVI)
    goals = {tuple(row["goal"].tolist()) for row in tasks}
    assert goals == set(itertools.product(range(5), repeat=2)) - {(0, 0), (0, 1), (1, 0), (1, 1)}
    scale = all_scales(NAVI)
    assert scale.random.mean() == pytest.approx(-1.1655, abs=1e-4)
    distances = np.array([x + y for x, y in goals])
    assert (
        scale.oracle.mean()
        == pytest.approx((16 - distances - 0.1 * (distances - 1)).mean())
        == pytest.approx(11.0714, abs=1e-4)
    )
    assert means(NAVI, "posterior", 4) == pytest.approx([4.0, 10.757, 11.0714, 11.0714], abs=1e-3)
    far = {tuple(row["goal"].tolist()) for row in metarl_envs.tasks(NAVI, split="far_goals")}
    assert far == {goal for goal in goals if max(goal) == 4}


def test_goals_of_grid_navi_are_drawn_uniformly():
    drawn = task_rows.draw(metarl_envs.tasks(NAVI).variant, 0, 0, 0, 21_000)["goal"]
    cells, counts = np.unique(drawn, axis=0, return_counts=True)
    assert len(cells) == 21
    assert ((counts - 1000) ** 2 / 1000).sum() < 50  # chi-square of 20 degrees of freedom: one time in 4,000 beyond


@pytest.mark.parametrize(("size", "nearest", "horizon"), [(3, 2, 4), (3, 1, 3), (3, 2, 1)])
def test_memoryless_best_of_grid_navi_by_brute_force(size, nearest, horizon):
    """All policies that choose by place alone, followed through the grid."""
    goals = [cell for cell in itertools.product(range(size), repeat=2) if max(cell) >= nearest]
    best = -np.inf
    for policy in itertools.product(MOVES, repeat=size**2 - 1):  # the far corner is left out: it cannot be left for the better
        cell, earned = (0, 0), 0.0
        for _ in range(horizon):
            move = policy[cell[0] * size + cell[1]] if cell != (size - 1, size - 1) else STAY
            [cell] = path(cell, [move], size)
            earned += (1.1 / len(goals)) * (cell in goals) - 0.1
        best = max(best, earned)
    assert mean_memoryless(NAVI, size=size, nearest=nearest, horizon=horizon) == pytest.approx(best)


# ------------------------------------------------------------------------------------------------- T-maze
@pytest.mark.parametrize(("params", "random"), [({}, -0.9332), ({"active": True}, -0.9469), ({"length": 50}, -0.9933)])
def test_t_maze_figures(params, random):
    scale = all_scales(MAZE, **params)
    assert scale.random == pytest.approx(random, abs=1e-4)
    assert (scale.oracle == 1).all()
    assert means(MAZE, "recall", 2, **params).tolist() == [1, 1]
    assert mean_memoryless(MAZE, **params) == 0.5


def test_the_horizon_of_a_t_maze_is_just_enough_unless_given():
    horizons = [
        metarl_envs.tasks(MAZE, **params).variant.horizon
        for params in ({}, {"active": True}, {"length": 50}, {"length": 50, "active": True}, {"length": 50, "horizon": 7})
    ]
    assert horizons == [6, 8, 51, 53, 7]


@pytest.mark.parametrize("active", [False, True])
def test_the_cue_is_seen_once_an_episode(active):
    env = gym.make(MAZE, active=active, episodes_per_trial=2)
    for goal in (1, -1):
        obs, _ = env.reset(seed=0, options={"task": {"goal": goal}})
        seen = [obs.tolist()] + [env.step(action)[0].tolist() for action in (2, 2, 0, 2, 0)]
        assert seen == ([[0, 0], [0, goal]] if active else [[0, goal], [0, 0]]) + [[0, 0]] * 4


def memoryless_values(policy, p):
    """What a policy over the six sights earns on each of both goals, by following all chances."""
    totals = []
    junction = p.active + p.length
    for goal in (1, -1):
        total = 0.0
        chances = {(p.active, 0, not p.active, 0 if p.active else goal): 1.0}
        for t in range(1, p.horizon + 1):
            after = {}
            for (x, y, looked, cue), chance in chances.items():
                at_junction = x == junction
                likely = policy[3 * at_junction + (y if at_junction else cue) + 1]
                for action in np.flatnonzero(likely):
                    dx, dy = [(1, 0), (0, 1), (-1, 0), (0, -1)][action]
                    along, across = min(max(x + dx, 0), junction), min(max(y + dy, -1), 1)
                    place = (along, y) if dx and y == 0 else (x, across) if dy and at_junction else (x, y)
                    look = place[0] == 0 and not looked
                    world = (*place, looked or look, goal if look else 0)
                    after[world] = after.get(world, 0.0) + chance * likely[action]
            chances = after
            for (x, y, *_), chance in chances.items():
                paid = (y == goal) if t == p.horizon else -(x < t - p.active) / p.length
                total += chance * paid
        totals.append(total)
    return totals


@pytest.mark.parametrize("active", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_memoryless_best_of_a_t_maze_by_brute_force(active):
    """All deterministic policies over the six sights, and some hundred that toss coins."""
    tasks = metarl_envs.tasks(MAZE, length=1, active=active)
    p = tasks.variant.p
    pure = (np.eye(4)[list(actions)] for actions in itertools.product(range(4), repeat=6))
    rng = np.random.default_rng(0)
    mixed = (rng.dirichlet([0.2] * 4, size=6) for _ in range(500))
    values = [np.mean(memoryless_values(policy, p)) for policy in itertools.chain(pure, mixed)]
    right_then_either_way = np.eye(4)[[0] * 6]
    right_then_either_way[4] = 0, 0.5, 0, 0.5
    assert max(values) == pytest.approx(0.5)
    assert memoryless_values(right_then_either_way, p) == [0.5, 0.5]
    assert [tasks.variant.memoryless_best(task) for task in tasks] == [0.5, 0.5]
