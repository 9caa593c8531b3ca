"""Dark Room: one cell of a dark grid pays, and only reward tells which."""

from __future__ import annotations

import functools
from types import SimpleNamespace

import numpy as np
from gymnasium.spaces import Box, Discrete

from metarl_envs.engine import (
    Choice,
    Family,
    Flag,
    Integer,
    Parameters,
    Picture,
    Player,
    Returns,
    Row,
    UniformTasks,
    canvas,
    kernel,
    oracle,
    record,
)
from metarl_envs.families.grids.rooms import (
    STARTS,
    WALKING_KEYS,
    at_start,
    chances_of_starts,
    draw_floor,
    floor_in_text,
    middle_of,
    move,
    nearest_left,
    place_in_words,
    returns_of_walks,
    stands_on,
    walk_towards,
)


@kernel
def walk(params, task, state, action, rng):
    """Move; pay on the goal."""
    move(params, state, action)
    found = stands_on(state, task.goal)
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


# --------------------------------------------------------------------------------------------- references
@kernel
def go_to_goal(hyper, memory, params, task, state, rng):
    """Walk straight to the goal and stay."""
    return walk_towards(state.agent[0], state.agent[1], task.goal[0], task.goal[1])


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


class Sweep(Player):
    """Goes through the cells in a fixed spiral from the centre, then back to where it paid. It exploits; it does not learn."""

    observes = "observation"
    begin, act, learn = prepare_sweep, sweep_on, remember_where_it_paid

    @staticmethod
    def memory(p, variant):
        """The next cell of the spiral, the target, and whether it is known to pay."""
        return record(size=np.int64, next=np.int64, target=(np.int64, 2), found=np.uint8)


@kernel
def search_on(hyper, memory, seen, rng):
    """Walk to where it paid; as long as that is unknown, to the nearest cell that may be the goal."""
    x, y = seen[0], seen[1]
    if memory.found:
        return walk_towards(x, y, memory.goal[0], memory.goal[1])
    goal_x, goal_y = nearest_left(memory.ruled_out, x, y)
    return walk_towards(x, y, goal_x, goal_y)


@kernel
def rule_out(hyper, memory, seen, action, reward, terminated, truncated, then, rng):
    """Where it paid is the goal; where it did not is not."""
    x, y = then[0], then[1]
    if reward > 0.0:
        memory.found = 1
        memory.goal[0] = x
        memory.goal[1] = y
    else:
        memory.ruled_out[x, y] = 1


class Search(Player):
    """Walks to the nearest cell that may still be the goal, and back to it once it is found.

    It acts on the exact posterior, which is uniform over the cells where nothing was paid yet, and then a single cell. It
    need not be the best way to act on it.
    """

    observes = "observation"
    act, learn = search_on, rule_out

    @staticmethod
    def memory(p, variant):
        """The cells that cannot be the goal, and the goal once it is known."""
        size = variant.p.size
        return record(ruled_out=(np.uint8, (size, size)), goal=(np.int16, 2), found=np.uint8)


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
        size: cells along a side. horizon: steps an episode. once: pay once and terminate. start: where an episode starts:
        "centre", "corner" (0, 0), or "random", any cell, drawn for each episode.

    Splits:
        train (50 goals), validation (14) and test (17), by a hash of the goal.

    References:
        Return of an episode, 9x9: random 20/81 = 0.247 in the mean (exact for each goal); memoryless-best 20/81 = 0.247
        (a policy that never sees reward stands on one cell at a step, and each is the goal with chance 1/81); oracle 16.543
        in the mean over the 81 goals (16.500 without the centre). `sweep` is a fixed spiral, then back to where it paid.

    Source and variants:
        Algorithm Distillation (Laskin et al. 2022, arXiv 2210.14215) and the public re-implementations in toymeta and DICP:
        reward at every step on the goal. This is that one. DPT (Lee et al. 2023) uses 10x10, 100 steps, and a start in a
        corner: `MetaRL/DarkRoom10-v0`.
    """

    params = Parameters(size=Integer(9, 2, 181), horizon=Integer(20, 1), once=Flag(False), start=Choice("centre", STARTS))
    task = UniformTasks(goal=(np.int16, "size", 2))
    state = record(agent=(np.int16, 2))
    reset, step, observe, state_index = at_start, walk, see_position, number_cells
    references = {"oracle": oracle(go_to_goal), "sweep": Sweep()}
    heuristics = ("sweep",)
    binary_reward = True
    keys = WALKING_KEYS

    @staticmethod
    def spaces(p: SimpleNamespace):
        """The agent's position; five moves."""
        return Box(0, p.size - 1, (2,), np.int16), Discrete(5)

    @staticmethod
    def returns(p: SimpleNamespace, task: Row) -> Returns:
        """Random by propagating the distribution of its walk; oracle by the length of the straight walk."""
        return returns_of_walks(chances_of_starts(p), (task.goal[0], task.goal[1]), p.horizon, p.once)

    @staticmethod
    def starts(p: SimpleNamespace, task: Row, dtype: np.dtype) -> tuple[np.ndarray, np.ndarray]:
        """The cells where an episode can start; whatever else is in a state is 0 at first."""
        chance = chances_of_starts(p)
        cells = np.argwhere(chance)
        states = np.zeros(len(cells), dtype)
        states["agent"] = cells
        return states, chance[tuple(cells.T)]

    @staticmethod
    def memoryless_best(p: SimpleNamespace, task: Row) -> float | None:
        """At random; where the goal pays once, along a spiral from the centre, or from the corner row by row.

        Without history all cells are alike, and each step visits one: where every visit pays, no policy is better than another,
        and where the first one does, none is better than to visit other cells at each step. (Not worked out there for random
        starts, and for episodes that are longer than there are other cells.)
        """
        if not p.once:
            return returns_of_walks(chances_of_starts(p), (task.goal[0], task.goal[1]), p.horizon, once=False).random
        if p.horizon >= p.size**2 or p.start == "random":
            return None
        return float((task.goal[0], task.goal[1]) in _cells_without_return(p.size, p.start, p.horizon))

    @staticmethod
    def instructions(p: SimpleNamespace) -> str:
        """What there is to do, for people and language models alike."""
        again = "In every episode of the trial it is the same cell."
        if p.once:
            return f"One cell of this dark room pays 1, and that ends the episode. Find it. {again}"
        return f"One cell of this dark room pays 1 for every step that ends on it. Find it, and stay there. {again}"

    @staticmethod
    def words(p: SimpleNamespace, seen: np.ndarray) -> str:
        """Where one is."""
        return place_in_words(p.size, seen)

    @staticmethod
    def draw(picture: Picture, p: SimpleNamespace, state: Row, task: Row | None) -> None:
        """The room from above."""
        cell = draw_floor(picture, p.size)
        picture.circle(*middle_of(state.agent, cell), 0.3 * cell, canvas.AGENT)
        if task is not None:  # over the agent, which may stand on it
            picture.star(*middle_of(task.goal, cell), 0.42 * cell, canvas.GOAL)

    @staticmethod
    def describe(p: SimpleNamespace, state: Row, task: Row | None) -> str:
        """The room in characters: A is the agent, G the goal where it is shown."""
        return floor_in_text(p.size, [] if task is None else [("G", task.goal)], state.agent)


class DarkRoomHard(DarkRoom):
    """Dark Room, larger and sparser: 17x17 cells, and the goal pays once.

    Hidden:
        The goal cell, uniform over the size x size cells (289 tasks).

    Reward:
        1 on the first step that ends on the goal, and the episode terminates; else 0. With `once=False`, as Dark Room.

    Episode:
        Starts at the centre. Terminates on the goal; truncated after `horizon` steps.

    Splits:
        train (186 goals), validation (44) and test (59), by a hash of the goal.

    References:
        Return of an episode: memoryless-best 20/289 = 0.069 (20 different cells); oracle 1.0 (every cell is within 16 steps);
        random 0.037 in the mean (exact for each goal). `sweep` is a fixed spiral, then back to where it paid.

    Source and variants:
        Algorithm Distillation (Laskin et al. 2022, arXiv 2210.14215), "Dark Room Hard"; AD-eps (Zisman et al. 2023).
    """

    params = DarkRoom.params.with_defaults(size=17, once=True)


class DarkRoom10(DarkRoom):
    """Dark Room as Decision-Pretrained Transformers have it: 10x10 cells, 100 steps, from the corner.

    Hidden:
        The goal cell, uniform over the size x size cells (100 tasks).

    Episode:
        Starts in the corner (0, 0). Truncated after `horizon` steps; terminates only with `once=True`.

    Splits:
        train (63 goals), validation (14) and test (23), by a hash of the goal. Shift `centre_start`: episodes start in
        the middle, on the same goals (`test+centre_start`: on test goals).

    References:
        Return of an episode: random and memoryless-best 100/100 = 1.0 in the mean (each step visits one cell, and each is the
        goal with chance 1/100); oracle 91.99 in the mean over the 100 goals (101 - distance, and 100 for the corner itself).
        `search` walks to the nearest cell that may still be the goal: 50.50 in the first episode, and the oracle's return from
        the second on, since 100 steps see all cells. `sweep` is a fixed spiral from the centre.

    Source and variants:
        DPT (Lee et al. 2023, arXiv 2306.14892), with 80 of the goals to train on and 20 to test. It numbers the moves in
        another order: right, left, down, up, stay.
    """

    params = DarkRoom.params.with_defaults(size=10, horizon=100, start="corner")
    shifts = {"centre_start": {"start": "centre"}}
    references = {**DarkRoom.references, "search": Search()}
    heuristics = ("sweep", "search")


@functools.lru_cache(maxsize=64)
def _cells_without_return(size: int, start: str, steps: int) -> frozenset[tuple[int, int]]:
    """The cells that a walk visits after its start, each once: in a spiral from the centre, or row by row from the corner."""
    if start == "centre":
        centre = size // 2
        return frozenset((centre - x, centre - y) for x, y in (spiral(k) for k in range(1, steps + 1)))
    there_and_back = (divmod(k, size) for k in range(1, steps + 1))
    return frozenset((x, size - 1 - y if x % 2 else y) for x, y in there_and_back)
