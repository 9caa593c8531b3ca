"""GridNavi: a small grid whose goal must be searched for from the corner, while every other step costs."""

from __future__ import annotations

import functools
from types import SimpleNamespace

import numpy as np

from metarl_envs.engine import Integer, Parameters, Returns, Row, TaskErrors, kernel, oracle, randint
from metarl_envs.families.grids.dark_room import DarkRoom, Search, go_to_goal
from metarl_envs.families.grids.rooms import move, returns_of_walks, stands_on

#: What a step costs that does not end on the goal.
_COST = 0.1


@kernel
def goal_away_from_start(params, task, rng):
    """Put the goal on any cell outside the square of `nearest` x `nearest` cells at the start, all alike."""
    x = randint(rng, params.size)
    y = randint(rng, params.size)
    while x < params.nearest and y < params.nearest:
        x = randint(rng, params.size)
        y = randint(rng, params.size)
    task.goal[0] = x
    task.goal[1] = y


@kernel
def in_the_corner(params, task, state, rng):
    """Start at (0, 0)."""
    state.agent[0] = 0
    state.agent[1] = 0


@kernel
def walk_at_a_cost(params, task, state, action, rng):
    """Move; pay 1 on the goal, and take a little elsewhere."""
    move(params, state, action)
    return (1.0 if stands_on(state, task.goal) else -_COST), False


# --------------------------------------------------------------------------------------------- references
@kernel
def rule_out_the_start(hyper, memory, params, rng):
    """No goal is near the start."""
    for x in range(params.nearest):
        for y in range(params.nearest):
            memory.ruled_out[x, y] = 1


class Posterior(Search):
    """Walks to the nearest cell that may still be the goal, and back to it once it is found.

    It acts on the exact posterior, which is uniform over the possible goals not yet visited, and then a single cell. It need
    not be the best way to act on it.
    """

    begin = rule_out_the_start


# --------------------------------------------------------------------------------------------- the family
class GridNavi(DarkRoom):
    """A small grid with one goal, the same for the whole trial. Each episode starts in the corner, and every step off it costs.

    Hidden:
        The goal cell, uniform over the cells outside the nearest x nearest square at the start (21 tasks).

    Reward:
        1 on every step that ends on the goal, -0.1 on every other.

    Episode:
        Starts at (0, 0). Truncated after `horizon` steps; never terminates. The paper gives four episodes to a task:
        `episodes_per_trial=4` (the default here is 1, as everywhere in this package).

    Parameters:
        size: cells along a side. horizon: steps an episode. nearest: how far from the start a goal is at least, along x or y.

    Splits:
        train (15 goals) and test (6), by a hash of the goal; so few tasks leave none for validation. Shift `far_goals`: only
        the nine goals along the two far walls, of which seven are train goals; `test+far_goals` has the other two.

    References:
        Return of an episode in the mean over the 21 goals: random -1.165 (exact for each goal); memoryless-best -0.767
        (14 steps on possible goals, each right with chance 1/21: the first step cannot reach one); oracle 11.071. `posterior`
        walks to the nearest cell that may be the goal, until it is found: 4.000, 10.757, 11.071 and 11.071 in episodes 1 to 4.

    Source and variants:
        VariBAD (Zintgraf et al. 2020, arXiv 1910.08348). There y counts upwards, so that up and down change places; rewards,
        goals and episodes are the same. The exact posterior is uniform over the possible goals not visited so far, then a
        single cell (the public code keeps a random wrong goal at one half after a success; that is not done here).
    """

    params = Parameters(size=Integer(5, 2, 181), horizon=Integer(15, 1), nearest=Integer(2, 1, 180))
    sample_task, reset, step = goal_away_from_start, in_the_corner, walk_at_a_cost
    shifts = {"far_goals": {"nearest": 4}}
    references = {"oracle": oracle(go_to_goal), "posterior": Posterior()}
    heuristics = ("posterior",)
    binary_reward = False

    @staticmethod
    def parameter_error(p: SimpleNamespace) -> str | None:
        """There must be a cell that far away."""
        return None if p.nearest < p.size else f"nearest={p.nearest} must be less than size={p.size}"

    @staticmethod
    def all_tasks(p: SimpleNamespace, dtype: np.dtype) -> np.ndarray:
        """Every possible goal."""
        tasks = DarkRoom.all_tasks(p, dtype)
        assert tasks is not None, "no room is too large for that"
        return tasks[tasks["goal"].max(axis=1) >= p.nearest]

    @staticmethod
    def task_errors(p: SimpleNamespace, tasks: np.ndarray) -> TaskErrors:
        """The goal must lie in the grid, and away from the start."""
        yield "goal", tasks["goal"].max(axis=1) < p.nearest, f"is nearer to the start than nearest={p.nearest}"
        yield from DarkRoom.task_errors(p, tasks)

    @staticmethod
    def returns(p: SimpleNamespace, task: Row) -> Returns:
        """What a Dark Room pays, with the cost of the steps off the goal."""
        start = np.zeros((p.size, p.size))
        start[0, 0] = 1.0
        on_goal = returns_of_walks(start, (task.goal[0], task.goal[1]), p.horizon, once=False)
        return Returns(*(steps - _COST * (p.horizon - steps) for steps in on_goal))

    @staticmethod
    def memoryless_best(p: SimpleNamespace, task: Row) -> float:
        """By a shortest way to where goals may be, and then about there, by any move that does not lead out again.

        Without history all possible goals are alike, so that it is best to be on one of them at as many steps as can be. Moves
        that are as good are as likely.
        """
        on_goal = float(_visits_without_history(p.size, p.nearest, p.horizon)[task.goal[0], task.goal[1]])
        return on_goal - _COST * (p.horizon - on_goal)

    @staticmethod
    def instructions(p: SimpleNamespace) -> str:
        """What there is to do, for people and language models alike."""
        return (
            "One cell pays 1 for every step that ends on it; every other step costs 0.1. Find it soon, and stay there. "
            "In every episode of the trial it is the same cell."
        )


@functools.lru_cache(maxsize=64)
def _visits_without_history(size: int, nearest: int, horizon: int) -> np.ndarray:
    """How many steps of an episode end on each cell [x, y], in the mean, under the policy of `memoryless_best`."""
    x, y = np.indices((size, size))
    to_x = np.clip(np.stack([x, x, x + 1, x, x - 1]), 0, size - 1)  # [action, x, y]: stay, up, right, down, left
    to_y = np.clip(np.stack([y, y - 1, y, y + 1, y]), 0, size - 1)
    moves_left = np.maximum(0, nearest - np.maximum(x, y))  # to where goals may be
    good = moves_left[to_x, to_y] == np.maximum(0, moves_left - 1)
    share = good / good.sum(axis=0)
    chance, visits = np.zeros((2, size, size))
    chance[0, 0] = 1.0
    for _ in range(horizon):
        after = np.zeros((size, size))
        np.add.at(after, (to_x, to_y), share * chance)
        chance = after
        visits += chance
    return visits
