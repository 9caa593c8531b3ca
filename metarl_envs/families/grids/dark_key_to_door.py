"""Dark Key-to-Door: in the dark, a key must be found before a door pays."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np

from metarl_envs.engine import (
    Choice,
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
from metarl_envs.families.grids.dark_room import DarkRoom
from metarl_envs.families.grids.rooms import (
    NOOP,
    STARTS,
    after_a_random_move,
    at_start,
    chances_of_starts,
    draw_floor,
    first_steps_on,
    floor_in_text,
    middle_of,
    move,
    nearest_left,
    stands_on,
    walk_towards,
)

#: What is left to do: `state.stage`.
_FIND_KEY, _FIND_DOOR, _NOTHING = range(3)
_STAGES = ("no key yet", "has the key", "door opened")


@kernel
def at_start_without_key(params, task, state, rng):
    """Start without the key, where `start` says."""
    at_start(params, task, state, rng)
    state.stage = _FIND_KEY


@kernel
def walk_for_key_and_door(params, task, state, action, rng):
    """Move; pay for the key, and in a later step for the door, once each."""
    move(params, state, action)
    took_key = (state.stage == _FIND_KEY) & stands_on(state, task.key)
    opened = (state.stage == _FIND_DOOR) & stands_on(state, task.door)
    paid = took_key | opened
    state.stage += 1 * paid
    return 1.0 * paid, opened & (params.ends != 0)


# --------------------------------------------------------------------------------------------- references
@kernel
def go_to_key_then_door(hyper, memory, params, task, state, rng):
    """Walk straight to the key, then straight to the door."""
    x, y = state.agent[0], state.agent[1]
    if state.stage == _FIND_KEY:
        return walk_towards(x, y, task.key[0], task.key[1])
    if state.stage == _FIND_DOOR:
        return walk_towards(x, y, task.door[0], task.door[1])
    return NOOP


@kernel
def search_key_then_door(hyper, memory, seen, rng):
    """Walk to the key, then to the door; to the nearest cell that may be it, as long as it is unknown."""
    x, y = seen[0], seen[1]
    if memory.stage == _NOTHING:
        return NOOP
    if memory.known[memory.stage]:
        return walk_towards(x, y, memory.place[memory.stage, 0], memory.place[memory.stage, 1])
    goal_x, goal_y = nearest_left(memory.ruled_out[memory.stage], x, y)
    return walk_towards(x, y, goal_x, goal_y)


@kernel
def remember_key_and_door(hyper, memory, seen, action, reward, terminated, truncated, then, rng):
    """What paid is the key or the door, whichever was looked for; what did not is not. A new episode starts without the key."""
    x, y = then[0], then[1]
    if memory.stage != _NOTHING:
        if reward > 0.0:
            memory.known[memory.stage] = 1
            memory.place[memory.stage, 0] = x
            memory.place[memory.stage, 1] = y
            memory.stage += 1
        else:
            memory.ruled_out[memory.stage, x, y] = 1
    if terminated or truncated:
        memory.stage = _FIND_KEY


class SearchTwice(Player):
    """Walks to the nearest cell that may still be the key, then, holding it, the door; and straight back in later episodes.

    It acts on the exact posterior: uniform over the cells where nothing was paid yet, for the door only those stepped on with
    the key. It need not be the best way to act on it.
    """

    observes = "observation"
    act, learn = search_key_then_door, remember_key_and_door

    @staticmethod
    def memory(p, variant):
        """What is left to do in the episode; for key and door, the cells ruled out, whether it is known, and where it is."""
        size = variant.p.size
        return record(stage=np.int64, ruled_out=(np.uint8, (2, size, size)), known=(np.uint8, 2), place=(np.int16, (2, 2)))


# --------------------------------------------------------------------------------------------- the family
class DarkKeyToDoor(DarkRoom):
    """A dark square room with a key and a door. The key pays once; after it, the door pays once; only reward tells where.

    Hidden:
        The cells of key and door, each uniform over the size x size cells (81² = 6,561 tasks; they may be the same cell).

    Observation:
        `Box(0, size - 1, (2,), int16)`: the agent's own (x, y), in cells. Neither key nor door, and *not whether the key is
        held*: an agent must remember that it was paid for it.

    Reward:
        1 on the first step of an episode that ends on the key, 1 on the first later step that ends on the door, else 0.
        Where key and door share a cell, staying there one more step opens the door.

    Episode:
        Starts on any cell, drawn for each episode, without the key. Truncated after `horizon` steps; terminates at the open
        door only with `ends=True`.

    Parameters:
        size: cells along a side. horizon: steps an episode. start: where an episode starts: "random", any cell, drawn for each
        episode, "centre", or "corner" (0, 0). ends: terminate when the door is opened.

    Splits:
        train (4,208 tasks), validation (1,026) and test (1,327), by a hash of key and door together: what is held out is
        combinations, not cells; each key and each door of a test task is met in training too. Shift `corner_start`: episodes
        start at (0, 0), on the same tasks (`test+corner_start`: on test tasks).

    References:
        Return of an episode in the mean over all tasks: random 0.2513 (exact for each task); oracle 2 (no two cells are more
        than 16 moves apart). `search` walks to the nearest cell that may be what it looks for, and straight there in later
        episodes: 0.80, 1.65, 1.96 and 2.00 in episodes 1 to 4 of a trial. The best that keeps no history is not known.

    Source and variants:
        Algorithm Distillation (Laskin et al. 2022, arXiv 2210.14215): 9x9, 50 steps. Public versions differ: horizons of 20, 40
        and 50; starts drawn for each episode, in the centre or at (0, 0); ending at the open door or not. Random play earns
        0.269 from the centre and 0.235 from the corner in 50 steps, and 0.121 in 20 from any cell. AMAGO's version shows
        whether the key is held and the time, and draws the start once a task. AD-eps pays 2 at once where key and door share a
        cell (random would earn 0.2523), and, where it goes on after the door, pays there at every step.
    """

    params = Parameters(size=Integer(9, 2, 181), horizon=Integer(50, 1), start=Choice("random", STARTS), ends=Flag(False))
    task = UniformTasks(key=(np.int16, "size", 2), door=(np.int16, "size", 2))
    state = record(agent=(np.int16, 2), stage=np.uint8)
    reset, step = at_start_without_key, walk_for_key_and_door
    shifts = {"corner_start": {"start": "corner"}}
    references = {"oracle": oracle(go_to_key_then_door), "search": SearchTwice()}
    heuristics = ("search",)
    binary_reward = True

    @staticmethod
    def returns(p: SimpleNamespace, task: Row) -> Returns:
        """Random by propagating the distribution of its walk, without and with the key; oracle by the straight walks."""
        key, door = (task.key[0], task.key[1]), (task.door[0], task.door[1])
        start = chances_of_starts(p)
        chance = np.stack([start, np.zeros_like(start)])  # before and after the key
        random = 0.0
        for _ in range(p.horizon):
            chance = after_a_random_move(chance)
            random += chance[0][key] + chance[1][door]
            chance[1][door] = 0.0
            chance[1][key] += chance[0][key]
            chance[0][key] = 0.0
        to_key = first_steps_on(key, p.size)
        to_door = to_key + first_steps_on(door, p.size)[key]
        oracle = (start * (to_key <= p.horizon)).sum() + (start * (to_door <= p.horizon)).sum()
        return Returns(float(random), float(oracle))

    starts = DarkRoom.starts  # and no key yet, which is stage 0

    @staticmethod
    def memoryless_best(p: SimpleNamespace, task: Row) -> None:
        """Not known: it would be a tour that meets most pairs of cells in order."""
        return None

    @staticmethod
    def instructions(p: SimpleNamespace) -> str:
        """What there is to do, for people and language models alike."""
        return (
            "Somewhere in the dark are a key and a door. Finding the key pays 1; with it, finding the door pays 1. "
            "Both are in the same cells in every episode of the trial."
        )

    @staticmethod
    def draw(picture: Picture, p: SimpleNamespace, state: Row, task: Row | None) -> None:
        """The room from above; revealed, a ring of the key's colour around the agent that holds it, which it is not told."""
        cell = draw_floor(picture, p.size)
        if task is not None:
            x, y = middle_of(task.door, cell)
            picture.rectangle(x - 0.24 * cell, y - 0.4 * cell, 0.48 * cell, 0.8 * cell, canvas.ACCENT, 0.08 * cell)
            picture.circle(x + 0.12 * cell, y, 0.05 * cell, canvas.BACKGROUND)
            color = canvas.GOAL if state.stage == _FIND_KEY else canvas.MUTED  # dim where it was taken
            _draw_key(picture, *middle_of(task.key, cell), cell, color)
        x, y = middle_of(state.agent, cell)
        if task is not None and state.stage != _FIND_KEY:
            picture.circle(x, y, 0.36 * cell, canvas.GOAL)
        picture.circle(x, y, 0.3 * cell, canvas.AGENT)
        if task is not None:
            picture.text(canvas.WORLD / 2, canvas.WORLD - 20, _STAGES[state.stage], size=14, color=canvas.MUTED, align="center")

    @staticmethod
    def describe(p: SimpleNamespace, state: Row, task: Row | None) -> str:
        """The room in characters: A is the agent; revealed, K the key, D the door, and whether it has the key."""
        if task is None:
            return floor_in_text(p.size, [], state.agent)
        marks = [("D", task.door)] + [("K", task.key)] * (state.stage == _FIND_KEY)
        return floor_in_text(p.size, marks, state.agent) + "\n" + _STAGES[state.stage]


def _draw_key(picture: Picture, x: float, y: float, cell: float, color: canvas.Color) -> None:
    """A key: a ring, a shaft, two teeth."""
    thickness = max(1.0, 0.08 * cell)
    picture.line(x - 0.1 * cell, y, x + 0.36 * cell, y, color, thickness)
    for tooth in (0.22, 0.34):
        picture.line(x + tooth * cell, y, x + tooth * cell, y + 0.14 * cell, color, thickness)
    picture.circle(x - 0.2 * cell, y, 0.17 * cell, color)
    picture.circle(x - 0.2 * cell, y, 0.08 * cell, canvas.FLOOR)
