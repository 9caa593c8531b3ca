"""What families of rooms share: a floor of cells, walking on it, and what is known of walks."""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace

import numpy as np

from metarl_envs.engine import Picture, Returns, canvas, clip, kernel, randint

NOOP, UP, RIGHT, DOWN, LEFT = range(5)
#: Where an episode may start, as a parameter; kernels see the place in this list.
STARTS = ("centre", "corner", "random")
_CENTRE, _CORNER, _RANDOM = range(3)
WALKING_KEYS = {
    "left": (LEFT, "left"),
    "right": (RIGHT, "right"),
    "up": (UP, "up"),
    "down": (DOWN, "down"),
    "space": (NOOP, "stay"),
}


@kernel
def at_start(params, task, state, rng):
    """Start in the middle, in the corner (0, 0), or on any cell."""
    if params.start == _RANDOM:
        state.agent[0] = randint(rng, params.size)
        state.agent[1] = randint(rng, params.size)
    else:
        state.agent[0] = (params.start == _CENTRE) * (params.size // 2)
        state.agent[1] = (params.start == _CENTRE) * (params.size // 2)


@kernel
def move(params, state, action):
    """Move one cell, stopped by walls. Arithmetic, because branches on a random action are slow."""
    state.agent[0] = clip(state.agent[0] + (action == RIGHT) - (action == LEFT), 0, params.size - 1)
    state.agent[1] = clip(state.agent[1] + (action == DOWN) - (action == UP), 0, params.size - 1)


@kernel
def stands_on(state, cell):
    """Whether the agent is on a cell."""
    return (state.agent[0] == cell[0]) & (state.agent[1] == cell[1])


def place_in_words(size: int, cell: np.ndarray) -> str:
    """Where one is."""
    return f"You are at x {cell[0]}, y {cell[1]} of a room of {size} x {size} cells (x grows to the right, y downwards)."


@kernel
def walk_towards(x, y, goal_x, goal_y):
    """The move that brings (x, y) nearer to the goal, first along x; none where it is reached."""
    if x != goal_x:
        return RIGHT if x < goal_x else LEFT
    if y != goal_y:
        return DOWN if y < goal_y else UP
    return NOOP


@kernel
def nearest_left(ruled_out, x, y):
    """The cell nearest to (x, y) that is not ruled out; among equals the first in order of x, then y."""
    size = ruled_out.shape[0]
    best, best_x, best_y = 2 * size, x, y
    for i in range(size):
        for j in range(size):
            distance = abs(i - x) + abs(j - y)
            if ruled_out[i, j] == 0 and distance < best:
                best, best_x, best_y = distance, i, j
    return best_x, best_y


def chances_of_starts(p: SimpleNamespace) -> np.ndarray:
    """The chance of each cell [x, y] to be the first of an episode."""
    if p.start == "random":
        return np.full((p.size, p.size), 1 / p.size**2)
    chance = np.zeros((p.size, p.size))
    first = p.size // 2 if p.start == "centre" else 0
    chance[first, first] = 1.0
    return chance


def after_a_random_move(chance: np.ndarray) -> np.ndarray:
    """The chance of each cell [..., x, y] after a uniformly random move."""
    moved = chance.copy()
    moved[..., 1:, :] += chance[..., :-1, :]
    moved[..., :-1, :] += chance[..., 1:, :]
    moved[..., 1:] += chance[..., :-1]
    moved[..., :-1] += chance[..., 1:]
    moved[..., 0, :] += chance[..., 0, :]  # walls send a walk back to where it was
    moved[..., -1, :] += chance[..., -1, :]
    moved[..., 0] += chance[..., 0]
    moved[..., -1] += chance[..., -1]
    return moved / 5


def first_steps_on(goal: tuple[int, int], size: int) -> np.ndarray:
    """The first step that can end on the goal, from each cell [x, y]."""
    x, y = np.indices((size, size))
    return np.maximum(abs(x - goal[0]) + abs(y - goal[1]), 1)


def returns_of_walks(start: np.ndarray, goal: tuple[int, int], horizon: int, once: bool) -> Returns:
    """What a random and a straight walk earn where the goal pays 1 at every step, or once, which then ends the episode."""
    chance, visits = start, 0.0
    for _ in range(horizon):
        chance = after_a_random_move(chance)
        visits += chance[goal]
        if once:
            chance[goal] = 0.0
    steps_on_goal = np.clip(horizon + 1 - first_steps_on(goal, len(start)), 0, 1 if once else horizon)
    return Returns(float(visits), float((start * steps_on_goal).sum()))


def draw_floor(picture: Picture, size: int) -> float:
    """Draw the cells of a room; the side of a cell."""
    cell = (canvas.WORLD - 48) / size
    gap = 1.5 if size <= 24 else 0.0
    for x in range(size):
        for y in range(size):
            picture.rectangle(24 + x * cell + gap, 24 + y * cell + gap, cell - 2 * gap, cell - 2 * gap, canvas.FLOOR, 4)
    return cell


def middle_of(place: Sequence[int], cell: float) -> tuple[float, float]:
    """The middle of a cell on the picture."""
    return 24 + (place[0] + 0.5) * cell, 24 + (place[1] + 0.5) * cell


def floor_in_text(size: int, marks: list[tuple[str, Sequence[int]]], agent: Sequence[int]) -> str:
    """The cells as characters: marks by letter, the agent as A."""
    cells = [["."] * size for _ in range(size)]
    for letter, (x, y) in [*marks, ("A", agent)]:
        cells[y][x] = letter
    return "\n".join(" ".join(row) for row in cells)
