"""The best policy without memory: one for all tasks, whose expectation on each task is what it earns there."""

import itertools
import json
import math

import gymnasium as gym
import numpy as np
import pytest
from scipy import integrate, optimize

import metarl_envs
from metarl_envs.engine.truth.solving import exact_returns
from metarl_envs.evaluation.references import memoryless_returns

pytestmark = pytest.mark.plain

NAVI, HARD, POINT, SPARSE = (f"MetaRL/{name}-v0" for name in ("GridNavi", "DarkRoomHard", "PointRobot", "PointRobotSparse"))
STAY, UP, RIGHT, DOWN, LEFT = MOVES = [(0, 0), (0, -1), (1, 0), (0, 1), (-1, 0)]


def values(id, split=None, count=30, **params):
    """What is stated of each task, and the tasks."""
    tasks = metarl_envs.tasks(id, split=split, **params)
    rows = tasks.rows(min(count, len(tasks)) if tasks.is_finite else count)
    return memoryless_returns(tasks.variant, rows), rows, tasks.variant


def earned(policy, id, tasks, horizon, **params):
    """What a function from places [row, axis] to actions earns in an episode on each task."""
    envs = gym.make_vec(id, num_envs=len(tasks), horizon=horizon, **params)
    seen, _ = envs.reset(seed=0, options={"task": tasks})
    total, over = np.zeros(len(tasks)), np.zeros(len(tasks), bool)
    for _ in range(horizon):
        seen, reward, terminated, truncated, _ = envs.step(policy(seen))
        total += np.where(over, 0, reward)
        over |= terminated | truncated
    assert over.all()
    return total


# ------------------------------------------------------------------------------------------------- where random play is best
@pytest.mark.parametrize(
    ("id", "splits", "params"),
    [
        ("BernoulliBandit", [None, "train", "test", "close_arms"], {}),
        ("GaussianBandit", [None, "test", "close_arms", "noisy"], {}),
        ("LinearBandit", [None, "test", "noisy", "other_arms"], {}),
        ("TabularMDP", [None, "test", "noisy"], {"states": 3, "actions": 2}),
        ("TwoStep", [None, "volatile", "reversed"], {}),
        ("TwoStep", [None, "test"], {"variant": "daw"}),
        ("DarkRoom", [None, "test"], {"size": 5}),
        ("DarkRoom", [None, "test"], {"size": 5, "start": "random"}),
        ("DarkRoom10", [None, "train", "centre_start"], {"size": 5}),
    ],
)
def test_where_random_play_is_best_it_is_random_play(id, splits, params):
    for split in splits:
        stated, tasks, variant = values(id, split, 9, horizon=20, **params)
        assert stated.tolist() == [exact_returns(variant, task).random for task in tasks]


def test_no_action_is_better_than_another_before_anything_is_seen():
    """Each action's mean over tasks, against that of all and its standard error: so random play is best in the mean."""
    for id, field, mean, params in (
        ("BernoulliBandit", "chance", 0.5, {}),
        ("GaussianBandit", "mean", 0.5, {}),
        ("LinearBandit", "mean", 0.0, {}),
        ("TabularMDP", "reward", 1.0, {"states": 3, "actions": 2}),
        ("TwoStep", "chance", 0.5, {}),
    ):
        drawn = metarl_envs.tasks(id, horizon=20, **params).sample(400)[field]
        assert (abs(drawn.mean(axis=0) - mean) < 5 * drawn.std(axis=0) / math.sqrt(400)).all(), id


@pytest.mark.parametrize("split", [None, "test"])
def test_there_the_score_is_zero_on_any_tasks(split):
    result = metarl_envs.evaluate("BernoulliBandit", ["random"], split=split, tasks=9, seeds=1)
    assert result.memoryless.std() > 0
    assert result.memoryless_score == 0


# ------------------------------------------------------------------------------------------------- where it is not
def outward(size):
    """The move from each cell of a spiral out from the centre: once, once, twice, twice, three times, three times, ..."""
    cell, moves = (size // 2, size // 2), {}
    for i, (dx, dy) in enumerate(itertools.islice(itertools.cycle([LEFT, UP, RIGHT, DOWN]), 2 * size)):
        for _ in range(i // 2 + 1):
            moves[cell] = MOVES.index((dx, dy))
            cell = cell[0] + dx, cell[1] + dy
    return moves


def row_by_row(size):
    """The move from each cell of a walk from the corner, along y and back."""
    end = [size - 1, 0]
    return {(x, y): 2 if y == end[x % 2] else (3, 1)[x % 2] for x in range(size) for y in range(size)}


@pytest.mark.parametrize(
    ("way", "split", "params"),
    [
        (outward, None, {"size": 9, "horizon": 20}),
        (outward, "test", {"size": 9, "horizon": 20}),
        (outward, None, {"size": 4, "horizon": 15}),
        (outward, None, {"size": 5, "horizon": 24}),
        (outward, None, {"size": 2, "horizon": 2}),
        (row_by_row, "train", {"size": 5, "horizon": 12, "start": "corner"}),
        (row_by_row, None, {"size": 4, "horizon": 15, "start": "corner"}),
    ],
)
def test_in_a_hard_room_it_visits_other_cells_at_each_step(way, split, params):
    moves = way(params["size"])
    stated, tasks, _ = values(HARD, split, 100, **params)
    won = earned(lambda seen: np.array([moves.get(tuple(cell), 0) for cell in seen.tolist()]), HARD, tasks, **params)
    assert (stated == won).all()
    if split is None:
        assert stated.sum() == params["horizon"], "each cell that is visited is the goal of one task"


def navi_by_hand(goal, size, nearest, horizon):
    """What the policy earns on a goal of GridNavi, by following all chances."""
    chances, earned = {(0, 0): 1.0}, 0.0
    for _ in range(horizon):
        after = {}
        for (x, y), chance in chances.items():
            places = [(min(max(x + dx, 0), size - 1), min(max(y + dy, 0), size - 1)) for dx, dy in MOVES]
            if max(x, y) >= nearest:
                good = [place for place in places if max(place) >= nearest]
            else:
                good = [place for place in places if max(place) > max(x, y)]
            for place in good:
                after[place] = after.get(place, 0.0) + chance / len(good)
        chances = after
        earned += 1.1 * chances.get(goal, 0.0) - 0.1
    return earned


@pytest.mark.parametrize(
    ("split", "params"),
    [(None, {}), ("test", {}), ("far_goals", {}), (None, {"size": 3, "horizon": 1}), (None, {"nearest": 1})],
)
def test_in_grid_navi_it_is_soon_among_the_possible_goals_and_stays_there(split, params):
    stated, tasks, variant = values(NAVI, split, **params)
    size, nearest, horizon = variant.p.size, variant.p.nearest, variant.p.horizon
    by_hand = [navi_by_hand(tuple(task["goal"].tolist()), size, nearest, horizon) for task in tasks]
    assert stated == pytest.approx(by_hand)
    if split != "test":  # all goals there are
        share = max(0, horizon - nearest + 1) / len(tasks)
        assert stated.mean() == pytest.approx(share - 0.1 * (horizon - share))


@pytest.mark.parametrize("split", [None, "test", "lower_half"])
def test_a_point_robot_goes_up_to_where_the_mean_distance_is_least(split):
    def mean_distance(y):
        return integrate.quad(lambda angle: math.hypot(math.cos(angle), math.sin(angle) - y), 0, math.pi)[0]

    rest = optimize.minimize_scalar(mean_distance, bounds=(0, 1), method="bounded").x
    side = -1 if split == "lower_half" else 1

    def up(seen):
        away = np.clip((side * rest - seen[:, 1]) / 0.1, -1, 1)
        return np.stack([np.zeros_like(away), away], axis=1)

    stated, tasks, _ = values(POINT, split, horizon=40)
    assert stated == pytest.approx(earned(up, POINT, tasks, horizon=40), abs=0.02)


@pytest.mark.parametrize("split", [None, "test", "lower_half"])
def test_a_sparse_point_robot_goes_along_one_diagonal_or_the_other(split):
    def mean_pay(place):
        angles = np.linspace(0, math.radians(30), 20_001)
        distance = np.hypot(np.cos(angles) - place, np.sin(angles))
        return np.where(distance <= 0.2, 1 - distance, 0).mean()

    rest = max(np.linspace(0.8, 1, 201), key=mean_pay)
    side = -1 if split == "lower_half" else 1

    def along(way):
        stop = rest / math.sqrt(2) * np.array([way, side])
        return lambda seen: np.clip((stop - seen) / 0.1, -1, 1)

    stated, tasks, _ = values(SPARSE, split, horizon=20)
    left, right = (earned(along(way), SPARSE, tasks, horizon=20) for way in (-1, 1))
    assert left.max() > 5
    assert stated == pytest.approx((left + right) / 2, abs=0.02)


# ------------------------------------------------------------------------------------------------- the score
def test_it_is_scored_on_the_tasks_that_are_evaluated_and_normalised_for_each(tmp_path):
    result = metarl_envs.evaluate(NAVI, ["random"], split="test", seeds=1, episodes=1)
    stated, _, _ = values(NAVI, "test")
    score = np.mean((stated - result.scale.random) / (result.scale.oracle - result.scale.random))
    assert (result.memoryless == stated).all()
    assert result.memoryless_score == pytest.approx(score)
    assert abs(score - (stated - result.scale.random).mean() / (result.scale.oracle - result.scale.random).mean()) > 1e-4
    result.save(tmp_path)
    about = json.loads((tmp_path / "result.json").read_text())
    assert about["memoryless_best_return"] == pytest.approx(stated.mean())
    assert about["memoryless_score"] == pytest.approx(score)


def test_where_it_is_not_known_there_is_no_score(tmp_path):
    for id in ("DarkRoomPermuted", "DarkKeyToDoor"):
        result = metarl_envs.evaluate(id, ["random"], tasks=3, seeds=1, episodes=1, horizon=20)
        assert result.memoryless is None
        assert result.memoryless_score is None
    result.save(tmp_path)
    about = json.loads((tmp_path / "result.json").read_text())
    assert about["memoryless_best_return"] is None
    assert about["memoryless_score"] is None
