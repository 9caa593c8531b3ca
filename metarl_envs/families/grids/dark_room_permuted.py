"""Dark Room with permuted actions: the goal is known, and what each action does is not."""

from __future__ import annotations

import itertools
from types import SimpleNamespace

import numpy as np

from metarl_envs.engine import Picture, Player, Returns, Row, TaskErrors, canvas, kernel, oracle, randint, record
from metarl_envs.families.grids.dark_room import DarkRoom
from metarl_envs.families.grids.rooms import (
    DOWN,
    LEFT,
    NOOP,
    RIGHT,
    UP,
    chances_of_starts,
    draw_floor,
    floor_in_text,
    middle_of,
    move,
    place_in_words,
    returns_of_walks,
    walk_towards,
)

_MOVES = ("stay", "up", "right", "down", "left")


@kernel
def shuffle_moves(params, task, rng):
    """Give each action a move of its own, all orders alike (Fisher and Yates)."""
    for action in range(5):
        task.move[action] = action
    for action in range(4):
        other = action + randint(rng, 5 - action)
        kept = task.move[action]
        task.move[action] = task.move[other]
        task.move[other] = kept


@kernel
def walk_to_far_corner(params, task, state, action, rng):
    """Make the move that the action stands for; pay in the corner opposite to (0, 0)."""
    move(params, state, task.move[action])
    found = (state.agent[0] == params.size - 1) & (state.agent[1] == params.size - 1)
    return 1.0 * found, found & (params.once != 0)


# --------------------------------------------------------------------------------------------- references
@kernel
def ask_for_move(hyper, memory, params, task, state, rng):
    """The action that stands for the move towards the far corner."""
    wanted = walk_towards(state.agent[0], state.agent[1], params.size - 1, params.size - 1)
    action = 0
    while task.move[action] != wanted:
        action += 1
    return action


@kernel
def remember_size(hyper, memory, params, rng):
    """Know where the far corner is."""
    memory.corner = params.size - 1


@kernel
def probe_or_go(hyper, memory, seen, rng):
    """Go right, then down, then against the wall; where the action for it is unknown, try the least tried unknown one."""
    wanted = DOWN if seen[0] == memory.corner and seen[1] < memory.corner else RIGHT
    least = -1
    for action in range(5):
        if memory.move[action] == wanted:
            return action
        if memory.move[action] == NOOP and (least < 0 or memory.tried[action] < memory.tried[least]):
            least = action
    return least


@kernel
def watch_the_move(hyper, memory, seen, action, reward, terminated, truncated, then, rng):
    """An action that changed the position is known from now on."""
    right, down = then[0] - seen[0], then[1] - seen[1]
    memory.tried[action] += 1
    if right != 0 or down != 0:
        memory.move[action] = RIGHT * (right > 0) + LEFT * (right < 0) + DOWN * (down > 0) + UP * (down < 0)


class Probe(Player):
    """Knows the goal, and tries actions until it knows the one it needs. At the goal it walks against the wall."""

    observes = "observation"
    begin, act, learn = remember_size, probe_or_go, watch_the_move

    @staticmethod
    def memory(p, variant):
        """The move of each action, as far as known (else 0), and how often each was tried."""
        return record(corner=np.int64, move=(np.int64, 5), tried=(np.int64, 5))


# --------------------------------------------------------------------------------------------- the family
class DarkRoomPermuted(DarkRoom):
    """A dark square room whose goal is always the far corner. What each of the five actions does is hidden.

    Hidden:
        Which action makes which move: one of the 120 permutations of the five moves (the one that stays is among them).

    Observation:
        `Box(0, size - 1, (2,), int16)`: the agent's own (x, y), in cells. Never what actions do; seeing where one ends up
        tells that.

    Actions:
        `Discrete(5)`: action a makes move number `task["move"][a]` of: stay, up (y - 1), right (x + 1), down (y + 1),
        left (x - 1). Walls stop a move.

    Reward:
        1 on every step that ends on the goal (size - 1, size - 1), else 0. With `once=True`, 1 on the first such step, and the
        episode terminates.

    Episode:
        Starts in the corner (0, 0). Truncated after `horizon` steps; terminates only with `once=True`.

    Splits:
        train (80), validation (19) and test (21), by a hash of the permutation. Shift `centre_start`: episodes start in the
        middle, under the same permutations (`test+centre_start`: under those that are test tasks).

    References:
        Return of an episode: random 0.165 (the same for every task, exact: permuting uniformly random actions changes
        nothing); oracle 83 (101 - 18 moves). `probe` knows the goal and tries actions until it knows the two it needs:
        80.67 in the mean over the 120 tasks in the first episode, 83 from the second on. The best that keeps no history
        is not known.

    Source and variants:
        DPT (Lee et al. 2023, arXiv 2306.14892): 10x10 cells, 100 steps, the goal in the far corner.
    """

    params = DarkRoom.params.with_defaults(size=10, horizon=100, start="corner")
    task = record(move=(np.int8, 5))
    sample_task, step = shuffle_moves, walk_to_far_corner
    shifts = {"centre_start": {"start": "centre"}}
    references = {"oracle": oracle(ask_for_move), "probe": Probe()}
    heuristics = ("probe",)
    binary_reward = True
    keys = {}
    exchangeable_actions = True

    @staticmethod
    def all_tasks(p: SimpleNamespace, dtype: np.dtype) -> np.ndarray:
        """Every permutation."""
        tasks = np.zeros(120, dtype)
        tasks["move"] = list(itertools.permutations(range(5)))
        return tasks

    @staticmethod
    def task_errors(p: SimpleNamespace, tasks: np.ndarray) -> TaskErrors:
        """Each move must stand once."""
        wrong = (np.sort(tasks["move"], axis=1) != [NOOP, UP, RIGHT, DOWN, LEFT]).any(axis=1)
        yield "move", wrong, "is no permutation of 0 to 4"

    @staticmethod
    def returns(p: SimpleNamespace, task: Row) -> Returns:
        """Those of a Dark Room with its goal in the far corner: neither policy is worse off for the permutation."""
        return returns_of_walks(chances_of_starts(p), (p.size - 1, p.size - 1), p.horizon, p.once)

    @staticmethod
    def memoryless_best(p: SimpleNamespace, task: Row) -> None:
        """Not known: a policy may choose its actions by place so that some permutations suit it."""
        return None

    @staticmethod
    def instructions(p: SimpleNamespace) -> str:
        """What there is to do, for people and language models alike."""
        pays = "pays 1" if p.once else "pays 1 for every step there"
        return (
            f"Get to the star: it {pays}. Which action moves which way (and which one does not move) is hidden, "
            "and the same in every episode of the trial."
        )

    @staticmethod
    def words(p: SimpleNamespace, seen: np.ndarray) -> str:
        """Where one is, and where the star."""
        return f"{place_in_words(p.size, seen)} The star is at x {p.size - 1}, y {p.size - 1}."

    @staticmethod
    def draw(picture: Picture, p: SimpleNamespace, state: Row, task: Row | None) -> None:
        """The room from above, with its goal; revealed, what each action does."""
        cell = draw_floor(picture, p.size)
        picture.circle(*middle_of(state.agent, cell), 0.3 * cell, canvas.AGENT)
        picture.star(*middle_of((p.size - 1, p.size - 1), cell), 0.42 * cell, canvas.GOAL)
        if task is not None:
            for action in range(5):
                text = f"{action}: {_MOVES[task.move[action]]}"
                picture.text(24 + 86.4 * (action + 0.5), canvas.WORLD - 20, text, size=14, color=canvas.GOAL, align="center")

    @staticmethod
    def describe(p: SimpleNamespace, state: Row, task: Row | None) -> str:
        """The room in characters: A is the agent, G the goal; revealed, what each action does."""
        room = floor_in_text(p.size, [("G", (p.size - 1, p.size - 1))], state.agent)
        if task is None:
            return room
        return room + "\n" + ", ".join(f"{action}: {_MOVES[task.move[action]]}" for action in range(5))
