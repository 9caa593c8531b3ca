"""Dark Room: one cell of a dark grid pays, and only reward tells which."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
from gymnasium.spaces import Box, Discrete

from metarl_envs.engine import (
    Family,
    Flag,
    Integer,
    Learner,
    Oracle,
    Parameters,
    Picture,
    Returns,
    Row,
    clip,
    kernel,
    randint,
    record,
    rendering,
)

NOOP, UP, RIGHT, DOWN, LEFT = range(5)


@kernel
def goal_anywhere(params, task, rng):
    """Put the goal on any cell, all alike."""
    task.goal[0] = randint(rng, params.size)
    task.goal[1] = randint(rng, params.size)


@kernel
def at_centre(params, task, state, rng):
    """Start in the middle of the room."""
    state.agent[0] = params.size // 2
    state.agent[1] = params.size // 2


@kernel
def walk(params, task, state, action, rng):
    """Move one cell, stopped by walls; pay on the goal. Arithmetic, because branches on a random action are slow."""
    x = clip(state.agent[0] + (action == RIGHT) - (action == LEFT), 0, params.size - 1)
    y = clip(state.agent[1] + (action == DOWN) - (action == UP), 0, params.size - 1)
    state.agent[0] = x
    state.agent[1] = y
    found = (x == task.goal[0]) & (y == task.goal[1])
    return 1.0 * found, found & (params.once != 0)


@kernel
def see_position(params, task, state, obs):
    """See where one stands, and nothing else."""
    obs[0] = state.agent[0]
    obs[1] = state.agent[1]


@kernel
def number_cells(params, obs):
    """Number the positions row by row."""
    return obs[0] * params.size + obs[1]


@kernel
def walk_towards(x, y, goal_x, goal_y):
    """The move that brings (x, y) nearer to the goal, first along x; none where it is reached."""
    if x != goal_x:
        return RIGHT if x < goal_x else LEFT
    if y != goal_y:
        return DOWN if y < goal_y else UP
    return NOOP


# --------------------------------------------------------------------------------------------- references
@kernel
def go_to_goal(hyper, memory, params, task, state, rng):
    """Walk straight to the goal and stay."""
    return walk_towards(state.agent[0], state.agent[1], task.goal[0], task.goal[1])


class Shortest(Oracle):
    """Knows the goal, walks straight to it and stays."""

    act = go_to_goal


@kernel
def spiral(k):
    """The offset of the k-th cell of a square spiral around a centre (cell 0 is the centre)."""
    if k == 0:
        return 0, 0
    ring = 1
    while (2 * ring + 1) * (2 * ring + 1) <= k:
        ring += 1
    place = k - (2 * ring - 1) * (2 * ring - 1)
    leg, along = place // (2 * ring), place % (2 * ring)
    if leg == 0:
        return ring, along + 1 - ring
    if leg == 1:
        return ring - 1 - along, ring
    if leg == 2:
        return -ring, ring - 1 - along
    return along + 1 - ring, -ring


@kernel
def prepare_sweep(hyper, memory, params, rng):
    """Know the room's size; aim at the first cell."""
    memory.size = params.size
    memory.next = 1
    aim(memory)


@kernel
def aim(memory):
    """Set the target to the next cell of the spiral that lies in the room; after the last, begin again."""
    while True:
        dx, dy = spiral(memory.next)
        x = memory.size // 2 + dx
        y = memory.size // 2 + dy
        if 0 <= x < memory.size and 0 <= y < memory.size:
            memory.target[0] = x
            memory.target[1] = y
            return
        memory.next = memory.next + 1 if memory.next < (memory.size + 1) * (memory.size + 1) else 0


@kernel
def sweep_on(hyper, memory, seen, rng):
    """Walk to the target."""
    return walk_towards(seen[0], seen[1], memory.target[0], memory.target[1])


@kernel
def remember_where_it_paid(hyper, memory, seen, action, reward, terminated, truncated, then, rng):
    """Where it paid is the target from now on; a target that did not pay gives way to the next."""
    if reward > 0.0:
        memory.found = 1
        memory.target[0] = then[0]
        memory.target[1] = then[1]
    elif memory.found == 0 and then[0] == memory.target[0] and then[1] == memory.target[1]:
        memory.next = memory.next + 1
        aim(memory)


class Sweep(Learner):
    """Goes through the cells in a fixed spiral from the centre, then back to where it paid. It exploits; it does not learn."""

    sees = "observation"
    begin, act, learn = prepare_sweep, sweep_on, remember_where_it_paid

    @staticmethod
    def memory(p, variant):
        """The next cell of the spiral, the target, and whether it is known to pay."""
        return record(size=np.int64, next=np.int64, target=(np.int64, 2), found=np.uint8)


# --------------------------------------------------------------------------------------------- the family
class DarkRoom(Family):
    """A dark square room. One cell pays, the same one for the whole trial, and only reward tells which.

    Hidden:
        The goal cell, uniform over the size x size cells (81 tasks).

    Observation:
        `Box(0, size - 1, (2,), int16)`: the agent's own (x, y), in cells. Never the goal.

    Actions:
        `Discrete(5)`: stay, up (y - 1), right (x + 1), down (y + 1), left (x - 1). Walls stop a move.

    Reward:
        1 on every step that ends on the goal, else 0. With `once=True`, 1 on the first such step, and the episode
        terminates.

    Episode:
        Starts at the centre (size // 2, size // 2). Truncated after `horizon` steps; terminates only with `once=True`.

    Parameters:
        size: cells along a side. horizon: steps an episode. once: pay once and terminate.

    Splits:
        train and test, by a hash of the goal (about four goals to one).

    References:
        Return of an episode, 9x9: random 20/81 = 0.247 in the mean (exact for each goal); memoryless-best 20/81 = 0.247
        (a policy that never sees reward stands on one cell at a step, and each is the goal with chance 1/81); oracle 16.543
        in the mean over the 81 goals (16.500 without the centre). `sweep` is a fixed spiral, then back to where it paid.

    Source and variants:
        Algorithm Distillation (Laskin et al. 2022, arXiv 2210.14215) and the public re-implementations in toymeta and DICP:
        reward at every step on the goal. This is that one. DPT (Lee et al. 2023) uses 10x10, 100 steps, and a start in a
        corner.
    """

    params = Parameters(size=Integer(9, 2, 181), horizon=Integer(20, 1), once=Flag(False))
    task = record(goal=(np.int16, 2))
    state = record(agent=(np.int16, 2))
    sample_task, reset, step, observe, locate = goal_anywhere, at_centre, walk, see_position, number_cells
    references = {"oracle": Shortest(), "sweep": Sweep()}  # noqa: RUF012

    @staticmethod
    def spaces(p: SimpleNamespace):
        """The agent's position; five moves."""
        return Box(0, p.size - 1, (2,), np.int16), Discrete(5)

    @staticmethod
    def states(p: SimpleNamespace) -> int:
        """One state a cell."""
        return p.size**2

    @staticmethod
    def all_tasks(p: SimpleNamespace, dtype: np.dtype) -> np.ndarray:
        """Every goal."""
        tasks = np.zeros(p.size**2, dtype)
        tasks["goal"] = np.indices((p.size, p.size)).reshape(2, -1).T
        return tasks

    @staticmethod
    def task_error(p: SimpleNamespace, task: Row) -> str | None:
        """The goal must lie in the room."""
        if all(0 <= cell < p.size for cell in task.goal):
            return None
        return f"goal {task.goal.tolist()} lies outside the {p.size}x{p.size} room"

    @staticmethod
    def returns(p: SimpleNamespace, task: Row) -> Returns:
        """Random by propagating the distribution of its walk; oracle by the length of the straight walk."""
        goal = (task.goal[0], task.goal[1])
        first = max(1, sum(abs(cell - p.size // 2) for cell in goal))  # the first step that can end on the goal
        oracle = max(0, p.horizon - first + 1)
        return Returns(_random_return(p, goal), float(min(oracle, 1) if p.once else oracle))

    @staticmethod
    def memoryless_best(p: SimpleNamespace) -> float | None:
        """Without reward in sight, each step visits one cell: at best a new one each time, where that counts."""
        if p.once and p.horizon >= p.size**2:
            return None
        return p.horizon / p.size**2

    @staticmethod
    def draw(picture: Picture, p: SimpleNamespace, state: Row, task: Row | None) -> None:
        """The room from above."""
        cell = (rendering.WORLD - 48) / p.size
        gap = 1.5 if p.size <= 24 else 0.0
        for x in range(p.size):
            for y in range(p.size):
                picture.rectangle(24 + x * cell + gap, 24 + y * cell + gap, cell - 2 * gap, cell - 2 * gap, rendering.FLOOR, 4)
        if task is not None:
            x, y = task.goal
            picture.star(24 + (x + 0.5) * cell, 24 + (y + 0.5) * cell, 0.42 * cell, rendering.GOAL)
        x, y = state.agent
        picture.circle(24 + (x + 0.5) * cell, 24 + (y + 0.5) * cell, 0.3 * cell, rendering.AGENT)

    @staticmethod
    def describe(p: SimpleNamespace, state: Row, task: Row | None) -> str:
        """The room in characters: A is the agent, G the goal where it is shown."""
        cells = [["."] * p.size for _ in range(p.size)]
        if task is not None:
            cells[task.goal[1]][task.goal[0]] = "G"
        cells[state.agent[1]][state.agent[0]] = "A"
        return "\n".join(" ".join(row) for row in cells)


class DarkRoomHard(DarkRoom):
    """Dark Room, larger and sparser: 17x17 cells, and the goal pays once.

    Hidden:
        The goal cell, uniform over the size x size cells (289 tasks).

    Observation:
        `Box(0, size - 1, (2,), int16)`: the agent's own (x, y), in cells. Never the goal.

    Actions:
        `Discrete(5)`: stay, up (y - 1), right (x + 1), down (y + 1), left (x - 1). Walls stop a move.

    Reward:
        1 on the first step that ends on the goal, and the episode terminates; else 0. With `once=False`, as Dark Room.

    Episode:
        Starts at the centre. Terminates on the goal; truncated after `horizon` steps.

    Parameters:
        size: cells along a side. horizon: steps an episode. once: pay once and terminate.

    Splits:
        train and test, by a hash of the goal (about four goals to one).

    References:
        Return of an episode: memoryless-best 20/289 = 0.069 (20 different cells); oracle 1.0 (every cell is within 16 steps);
        random 0.037 in the mean (exact for each goal). `sweep` is a fixed spiral, then back to where it paid.

    Source and variants:
        Algorithm Distillation (Laskin et al. 2022, arXiv 2210.14215), "Dark Room Hard"; AD-eps (Zisman et al. 2023).
    """

    params = DarkRoom.params.but(size=17, once=True)


def _random_return(p: SimpleNamespace, goal: tuple[int, int]) -> float:
    """Propagate where a uniformly random walk is, step by step; with `once`, what reaches the goal stays there unpaid."""
    chance = np.zeros((p.size, p.size))
    chance[p.size // 2, p.size // 2] = 1.0
    total = 0.0
    for _ in range(p.horizon):
        padded = np.pad(chance, 1)
        moved = chance + padded[:-2, 1:-1] + padded[2:, 1:-1] + padded[1:-1, :-2] + padded[1:-1, 2:]
        moved[0] += chance[0]  # walls send a walk back to where it was
        moved[-1] += chance[-1]
        moved[:, 0] += chance[:, 0]
        moved[:, -1] += chance[:, -1]
        chance = moved / 5
        total += chance[goal]
        if p.once:
            chance[goal] = 0.0
    return float(total)
