"""T-maze: a cue at one end of a corridor tells where to turn at the other."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
from gymnasium.spaces import Box, Discrete

from metarl_envs.engine import (
    Family,
    Flag,
    Integer,
    Parameters,
    Picture,
    Player,
    Returns,
    Row,
    TaskErrors,
    canvas,
    clip,
    kernel,
    oracle,
    randint,
    record,
)

RIGHT, UP, LEFT, DOWN = range(4)


@kernel
def goal_up_or_down(params, task, rng):
    """Put the goal above (1) or below (-1) the junction, both alike."""
    task.goal = 2 * randint(rng, 2) - 1


@kernel
def behind_the_cue(params, task, state, rng):
    """Start at the cue, or one cell right of it where it must be fetched (`active`)."""
    state.x = params.active
    state.y = 0
    state.t = 0
    state.told = params.active == 0
    state.cue = task.goal * state.told


@kernel
def go_and_turn(params, task, state, action, rng):
    """Move along the corridor, or at the junction across; pay for the side where the last step ends, and charge for delay."""
    junction = params.active + params.length
    along = (action == RIGHT) - (action == LEFT)
    across = (action == UP) - (action == DOWN)
    x = clip(state.x + along * (state.y == 0), 0, junction)
    y = clip(state.y + across * (state.x == junction), -1, 1)
    state.x = x
    state.y = y
    state.t += 1
    first_look = (x == 0) & (state.told == 0)
    state.told |= first_look
    state.cue = task.goal * first_look
    if state.t >= params.horizon:
        return 1.0 * (y == task.goal), False
    return 0.0 - (x < state.t - params.active) / params.length, False


@kernel
def see_cue_or_junction(params, task, state, obs):
    """See whether one is at the junction or beyond it, and there which side, elsewhere the cue the first time one is there."""
    obs[0] = state.x == params.active + params.length
    obs[1] = state.y + state.cue


@kernel
def number_sights(params, obs):
    """Number what can be seen."""
    return 3 * obs[0] + obs[1] + 1


# --------------------------------------------------------------------------------------------- references
@kernel
def turn_to_goal(hyper, memory, params, task, state, rng):
    """Go right to the junction, then to the goal."""
    if state.x < params.active + params.length:
        return RIGHT
    return UP if task.goal > 0 else DOWN


@kernel
def fetch_cue_and_turn(hyper, memory, seen, rng):
    """Go left until the cue was seen, then right to the junction, then where the cue said."""
    at_junction = seen[0] != 0
    if not at_junction and seen[1] != 0:
        memory.cue = seen[1]
    if memory.cue == 0:
        return LEFT
    if not at_junction:
        return RIGHT
    return UP if memory.cue > 0 else DOWN


class Recall(Player):
    """Fetches the cue, remembers it, and turns where it said. It does not learn."""

    observes = "observation"
    act = fetch_cue_and_turn

    @staticmethod
    def memory(p, variant):
        """The cue, once it was seen."""
        return record(cue=np.int64)


def _just_enough(values: SimpleNamespace) -> int:
    """The steps to the cue, to the junction, and across."""
    return values.length + 2 * values.active + 1


# --------------------------------------------------------------------------------------------- the family
class TMaze(Family):
    """A corridor with a cue at its left end and a junction at its right end: where to turn there is what the cue said.

    Hidden:
        The side of the goal, above (1) or below (-1) the junction, both alike (2 tasks). *The cue gives it away*, and with
        `active=False` it is in the first observation: what this family asks for is memory (and with `active=True`, to go and
        look first), not learning from reward.

    Observation:
        `Box([0, -1], [1, 1], (2,), int8)`: in the corridor (0, 0), but (0, side of the goal) the first time in an episode that
        the agent is at the cue; at the junction (1, 0); in the arm above (1, 1), below (1, -1). Never how far along one is.

    Actions:
        `Discrete(4)`: right, up, left, down. Walls stop a move.

    Reward:
        At the last step (number `horizon`) 1 in the arm of the goal, else 0. At every earlier step -1/length where the agent is
        left of where it would be, had it only gone right since the time it takes to be back from the cue (x < t - 1 with
        `active`, else x < t).

    Episode:
        Starts at the cue (x = 0); with `active=True` one cell to its right. Truncated after `horizon` steps; never terminates.

    Parameters:
        length: steps from cue (with `active` from the start) to the junction. active: the cue must be fetched first.
        horizon: steps an episode, by default just enough: length + 1, with `active` length + 3.

    Splits:
        Two tasks are too few to be split: there is no `train`, `validation` or `test`. Shift `longer`: a corridor of 50.

    References:
        Return of an episode: random -0.933, with `active` -0.947 (exact); memoryless-best 0.5 (every step is needed, so that
        nobody who is in time can bring the side along to the junction, where both look alike: what is earned above is lost
        below); oracle 1. `recall` fetches the cue, remembers it, and earns 1.

    Source and variants:
        Ni et al. 2023 (arXiv 2307.03864), after Bakker 2001; step by step equal to its public code (Memory-RL), passive and
        active, with its penalty of 1/length. It uses lengths from 1 to 1,000; random play hardly ever reaches the end of its
        long ones. AMAGO's "Alt" version charges for every other action than right instead.
    """

    reveals_task_at_start = True
    params = Parameters(length=Integer(5, 1, 10_000), active=Flag(False), horizon=Integer(_just_enough, 1))
    task = record(goal=np.int8)
    state = record(x=np.int32, t=np.int32, y=np.int8, cue=np.int8, told=np.uint8)
    sample_task, reset, step, observe, state_index = (
        goal_up_or_down,
        behind_the_cue,
        go_and_turn,
        see_cue_or_junction,
        number_sights,
    )
    shifts = {"longer": {"length": 50}}
    references = {"oracle": oracle(turn_to_goal), "recall": Recall()}
    heuristics = ("recall",)
    keys = {"right": (RIGHT, "right"), "up": (UP, "up"), "left": (LEFT, "left"), "down": (DOWN, "down")}

    @staticmethod
    def spaces(p: SimpleNamespace):
        """At the junction or not, and a side; four moves."""
        return Box(np.array([0, -1], np.int8), np.array([1, 1], np.int8), dtype=np.int8), Discrete(4)

    @staticmethod
    def all_tasks(p: SimpleNamespace, dtype: np.dtype) -> np.ndarray:
        """Both sides."""
        tasks = np.zeros(2, dtype)
        tasks["goal"] = 1, -1
        return tasks

    @staticmethod
    def task_errors(p: SimpleNamespace, tasks: np.ndarray) -> TaskErrors:
        """The goal is above or below."""
        yield "goal", np.abs(tasks["goal"]) != 1, "must be 1 (above) or -1 (below)"

    @staticmethod
    def returns(p: SimpleNamespace, task: Row) -> Returns:
        """Random by propagating the distribution of its walk; oracle by counting."""
        random = np.zeros(p.active + p.length + 1)  # the chance of each cell of the corridor
        random[int(p.active)] = 1.0
        above = below = total = 0.0
        for t in range(1, p.horizon + 1):
            junction = random[-1]
            moved = 0.5 * random
            moved[1:] += 0.25 * random[:-1]
            moved[:-1] += 0.25 * random[1:]
            moved[0] += 0.25 * random[0]
            moved[-1] += 0.25 * (above + below - junction)  # into the arms and back, and against the right wall
            above, below = 0.75 * above + 0.25 * junction, 0.75 * below + 0.25 * junction
            random = moved
            if t < p.horizon:
                total -= random[: max(0, t - p.active)].sum() / p.length
                if t - p.active > p.active + p.length:
                    total -= (above + below) / p.length
        total += above if task.goal > 0 else below
        needed = p.length + 1
        waiting = max(0, p.horizon - needed - 2 * p.active)
        return Returns(float(total), float(p.horizon >= needed) - waiting / p.length)

    @staticmethod
    def memoryless_best(p: SimpleNamespace, task: Row) -> float | None:
        """In time to the junction, and there to either side, as a coin falls; known where there is no time to spare.

        Both sides look alike at the junction, so that no policy earns more in the mean over both tasks.
        """
        return 0.5 if p.horizon == _just_enough(p) else None

    @staticmethod
    def instructions(p: SimpleNamespace) -> str:
        """What there is to do, for people and language models alike."""
        start = "Go left, where a cue shows" if p.active else "The cue shows"
        return (
            f"{start} for one moment which way to turn at the other end. Remember it, go right without delay (delay costs), "
            f"and be in that arm at step {p.horizon}: this pays 1."
        )

    @staticmethod
    def words(p: SimpleNamespace, seen: np.ndarray) -> str:
        """What one sees; never how far along one is."""
        return f"You see {_seen_in_words(int(seen[0]), int(seen[1]))}."

    @staticmethod
    def draw(picture: Picture, p: SimpleNamespace, state: Row, task: Row | None) -> None:
        """The maze from above, a sign that shows the cue while it is seen, and what the agent sees; revealed, where it is."""
        columns = p.active + p.length + 1
        step = min((canvas.WORLD - 48) / columns, 72)
        side = max(step, 16)
        gap = 1.5 if step > 12 else 0.0
        left, middle = (canvas.WORLD - columns * step) / 2, canvas.WORLD / 2

        def middle_of(x: int, y: int) -> tuple[float, float]:
            return left + (x + 0.5) * step, middle - y * side

        for x, y in [*((x, 0) for x in range(columns)), (columns - 1, 1), (columns - 1, -1)]:
            a, b = middle_of(x, y)
            wide = side if y else step
            picture.rectangle(a - wide / 2 + gap, b - side / 2 + gap, wide - 2 * gap, side - 2 * gap, canvas.FLOOR, 4)
        _draw_sign(picture, left, middle - side / 2 - 60, state.cue)
        if task is not None:
            picture.star(*middle_of(columns - 1, task.goal), 0.42 * side, canvas.GOAL)
        if task is not None or state.x == columns - 1:  # along the corridor all places look alike
            picture.circle(*middle_of(state.x, state.y), 0.3 * side, canvas.AGENT)
        picture.text(middle, canvas.WORLD - 60, f"you see {_sight(p, state)}", size=18, align="center")

    @staticmethod
    def describe(p: SimpleNamespace, state: Row, task: Row | None) -> str:
        """What the agent sees; revealed, the corridor in characters: A is the agent, G the goal."""
        if task is None:
            return f"sees {_sight(p, state)}"
        columns = p.active + p.length + 1
        rows = {1: [" "] * (columns - 1) + ["."], 0: ["."] * columns, -1: [" "] * (columns - 1) + ["."]}
        rows[task.goal][-1] = "G"
        rows[state.y][state.x] = "A"
        return "\n".join(" ".join(rows[y]) for y in (1, 0, -1)) + f"\nsees {_sight(p, state)}"


def _sight(p: SimpleNamespace, state: Row) -> str:
    """What the agent sees, in words."""
    at_end = state.x == p.active + p.length
    return _seen_in_words(int(at_end), int(state.y if at_end else state.cue))


def _seen_in_words(at_end: int, side: int) -> str:
    """The two numbers of an observation, in words."""
    if at_end:
        return {0: "the junction", 1: "the arm above", -1: "the arm below"}[side]
    return {0: "the corridor", 1: "the cue: up", -1: "the cue: down"}[side]


def _draw_sign(picture: Picture, x: float, y: float, cue: int) -> None:
    """The sign at the left end; an arrow on it while the cue is seen."""
    picture.outline(x, y, 48, 48, canvas.LINES)
    picture.text(x + 24, y - 22, "cue", size=14, color=canvas.MUTED, align="center")
    if cue:
        tip = y + 24 - 14 * cue
        picture.line(x + 24, y + 38, x + 24, y + 10, canvas.GOAL, 4)
        for side in (-10, 10):
            picture.line(x + 24 + side, tip + 11 * cue, x + 24, tip, canvas.GOAL, 4)
