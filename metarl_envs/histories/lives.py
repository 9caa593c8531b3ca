"""Lives: learners in worlds, in one compiled loop."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import numpy as np

from metarl_envs.engine.compiling.kernels import PLAIN, kernel
from metarl_envs.engine.family import Variant
from metarl_envs.engine.loops.life import LOST, PlayerArrays, fault_of
from metarl_envs.engine.loops.lifetime import ArraysBeside, HistoryArrays, score_driver, write_driver
from metarl_envs.engine.loops.trial import RULES, WorldArrays
from metarl_envs.engine.player import Player
from metarl_envs.engine.records import Row, check_memory, for_drivers, record, rows, words
from metarl_envs.engine.splits import ALL
from metarl_envs.engine.streams import STREAM
from metarl_envs.engine.truth.solving import solve
from metarl_envs.histories.columns import Columns, action_dtype

#: Lives are handed to a thread this many at a time: enough to keep a loop long, few enough to show progress.
_CHUNK = 64


def lifetime_returns(
    tasks: np.ndarray,
    variant: Variant,
    learner: Player,
    seeds: np.ndarray,
    *,
    episodes: int,
    block: int = 0,
    workers: int | None = None,
    progress: Callable[[int], None] = lambda done: None,
) -> np.ndarray:
    """Return the return of each episode (or block of `block` steps, where an episode is a long one), float64 [life, unit].

    Args:
        tasks: one task row a life.
        variant: the family with its parameters set.
        learner: it starts anew in every life.
        seeds: one a life; equal seeds give equal noise, whatever the learner.
        episodes: in each life.
        block: steps in a unit; 0 for one episode a unit.
        workers: threads (default: one a core).
        progress: called with the number of lives done, each time some are.
    """
    lives = Lives(variant, learner, len(tasks))
    return lives.score(np.asarray(seeds), tasks, episodes, block, workers, progress)


@kernel
def do_again(hyper, memory, steps):
    """Which of the actions that were taken is next; the last again where, since the rules have changed, a life lasts longer."""
    n = memory.step
    memory.step += 1
    return min(n, steps - 1)


class Recorded(Player):
    """Does again what was done: a replay is a life of this player (see `PlayerArrays.done`)."""

    observes = "record"
    act = do_again

    @staticmethod
    def memory(p, variant):
        """Return the steps so far."""
        return record(step=np.int64)

    def why_unsuitable(self, variant):
        """Return None: what was done can be done again anywhere."""
        return None


class Written(NamedTuple):
    """What lives have written, one life a row.

    Attributes:
        columns: by name, [life, step, ...].
        final_observations: after the last step of each episode, [life, episode, ...]; of row i the first `episodes[i]` count.
        until: the step before which each episode ended or was cut off, [life, episode].
        episodes: how many episodes each life had, [life].
        tasks: the task rows, [life].
    """

    columns: dict[str, np.ndarray]
    final_observations: np.ndarray
    until: np.ndarray
    episodes: np.ndarray
    tasks: np.ndarray


class Lives:
    """Worlds and learners side by side: row i of each is life i. They can be lived again, with other seeds and tasks."""

    def __init__(self, variant: Variant, learner: Player, count: int, drawn_from: int = ALL):
        if problem := learner.why_unsuitable(variant):
            raise ValueError(problem)
        learner = learner.bind(variant)
        self.variant, self.learner, self.count = variant, learner, count
        self.worlds = rows(count, variant.world, "worlds")
        self.tasks = rows(count, variant.task, "tasks")
        self.worlds["task"] = np.arange(count)
        self.memories = rows(count, learner.memory(learner.p, variant), "learners")
        self.streams = rows(count, STREAM)
        self.rules = np.zeros(1, RULES)
        self.rules["parts"] = drawn_from
        self.rules["states"] = variant.num_states or 0
        self.rules = for_drivers(self.rules)
        self.slots = np.zeros((count, *variant.action.shape), variant.action.dtype)
        self.done = np.zeros((count, 0, *variant.action.shape), variant.action.dtype)
        self.steps = np.zeros(count, np.int64)
        self._bounds = variant.action.bounds()
        seen = variant.observations(2 * count)
        self._seen = seen.reshape(count, 2, *seen.shape[1:])

    @classmethod
    def of_actions(cls, variant: Variant, actions: np.ndarray) -> Lives:
        """Lives in which is done again what was done: [life, step, ...]."""
        lives = cls(variant, Recorded(), len(actions))
        lives.done = np.ascontiguousarray(actions, variant.action.dtype)
        return lives

    def score(
        self,
        seeds: np.ndarray,
        tasks: np.ndarray | None,
        episodes: int,
        block: int,
        workers: int | None,
        progress: Callable[[int], None] = lambda done: None,
        actions: np.ndarray | None = None,
    ) -> np.ndarray:
        """Returns by unit, [life, unit]. Actions are kept in `actions` [life, step, ...], if given; `steps` says how many."""
        units = episodes if block == 0 else -(-self.variant.horizon // block)
        out = np.zeros((self.count, units))
        driver = _score_driver(self.variant, type(self.learner))
        kept = self.room_for_actions(0) if actions is None else actions
        self._live(seeds, tasks, driver, (episodes, block, out, for_drivers(kept), self.steps), workers, progress)
        return out

    def room_for_actions(self, steps: int) -> np.ndarray:
        """Zeros for the actions of so many steps in each life, [life, step, ...], in the smallest numbers that hold them."""
        dtype = action_dtype(self.variant)
        check_memory(self.count * steps, max(1, int(np.prod(self.variant.action.shape))) * dtype.itemsize, "actions")
        return np.zeros((self.count, steps, *self.variant.action.shape), dtype)

    def room(self, steps: int, columns: Columns) -> Written:
        """Uninitialised arrays for `write` to fill. Memory that no episode reaches is asked for, and never touched."""
        check_memory(self.count * steps, columns.bytes_a_step, "transitions")
        made = {name: np.empty((self.count, steps, *c.room), c.dtype) for name, c in columns.all.items()}
        one = made["observation"]
        final = np.empty((self.count, steps, *one.shape[2:]), one.dtype)
        until = np.empty((self.count, steps), np.int64)
        return Written(made, final, until, np.zeros(self.count, np.int64), self.tasks.view(np.ndarray))

    def write(
        self,
        seeds: np.ndarray,
        tasks: np.ndarray | None,
        columns: Columns,
        room: Written,
        workers: int | None = 1,
        progress: Callable[[int], None] = lambda done: None,
        steps: np.ndarray | None = None,
    ) -> Written:
        """Write every step into `room`.

        `tasks` None: each life draws its own. `steps`, int64 [life]: how many each life has; None: as there is room for.
        """
        self.steps[:] = room.columns["reward"].shape[1] if steps is None else steps
        told, learned = columns.internals(after=False), columns.internals(after=True)
        oracle = columns.oracle
        driver = _write_driver(
            self.variant,
            type(self.learner),
            tuple(self.learner.internals[name].read for name in told),
            tuple(self.learner.internals[name].read for name in learned),
            None if oracle is None else type(oracle),
            columns.needs_states,
        )
        base = [for_drivers(room.columns[n]) for n in ("observation", "action", "reward", "terminated", "truncated")]
        kept = self._states_for(room.columns["reward"].shape[1]) if columns.needs_states else ()
        out = HistoryArrays._make([*base, for_drivers(room.final_observations), room.until, room.episodes, self.steps])
        beside = ArraysBeside(
            chosen=tuple(for_drivers(room.columns[name]) for name in told),
            learnt=tuple(for_drivers(room.columns[name]) for name in learned),
            advice=() if oracle is None else self._advice(oracle, room.columns["optimal_action"]),
            kept=kept,
        )
        self._live(seeds, tasks, driver, (*out, *beside), workers, progress)
        if columns.needs_states:
            self._value(room.columns, *kept)
        return room

    def _advice(self, oracle: Player, out: np.ndarray) -> tuple:
        """What an oracle that looks on needs (see `write_driver`)."""
        memories = rows(self.count, oracle.memory(oracle.p, self.variant), "oracles")
        memories.view(np.ndarray)[...] = oracle.initial_memory(self.variant)
        return oracle.hyper, memories, rows(self.count, STREAM), for_drivers(np.zeros_like(self.slots)), for_drivers(out)

    def _states_for(self, steps: int) -> tuple[np.ndarray, np.ndarray]:
        check_memory(self.count * steps, self.variant.state.itemsize + 4, "states")
        states = for_drivers(np.zeros((self.count, steps), self.variant.state))
        return states, np.zeros((self.count, steps), np.int32)

    def _value(self, columns: dict[str, np.ndarray], states: np.ndarray, times: np.ndarray) -> None:
        """Fill in the labels that follow from the value of every action: Q* is asked for once for each state and time."""
        instant = record(state=self.variant.state, t=np.int32)
        for i in range(self.count):
            lived = int(self.steps[i])
            instants = np.zeros(lived, instant)
            instants["state"], instants["t"] = states.view(np.ndarray)[i, :lived], times[i, :lived]
            raw = instants.view((np.void, instant.itemsize))
            _, first, which = np.unique(raw, return_index=True, return_inverse=True)
            value = solve(self.variant, self.tasks.view(np.ndarray)[i])
            if value is None:
                raise ValueError(f"q_star and regret are not known for the task of life {i} of {self.variant}")
            q = np.stack([value(Row(instants[k]["state"]), int(instants[k]["t"])) for k in first])[which.ravel()]
            if "q_star" in columns:
                columns["q_star"][i, :lived] = q
            if "regret" in columns:
                columns["regret"][i, :lived] = q.max(axis=1) - q[np.arange(lived), columns["action"][i, :lived]]

    def _live(
        self,
        seeds: np.ndarray,
        tasks: np.ndarray | None,
        driver: Callable,
        extra: tuple,
        workers: int | None,
        progress: Callable[[int], None] = lambda done: None,
    ) -> None:
        """Begin every life anew and run a driver over all of them, in chunks shared by threads."""
        count = len(seeds)
        self.worlds["seed"][:count] = np.asarray(seeds, dtype=np.uint64)
        self.worlds["trial"] = -1
        self.memories.view(np.ndarray)[...] = self.learner.initial_memory(self.variant)
        if tasks is not None:
            self.tasks[:count] = tasks
        arrays = WorldArrays(self.variant.params, self.rules, self.tasks, words(self.tasks), self.worlds)
        slots, done = for_drivers(self.slots), for_drivers(self.done)
        player = PlayerArrays(self.learner.hyper, self.memories, self.streams, self._seen, slots, self._bounds, done)

        def run(lo: int) -> int:
            hi = min(lo + _CHUNK, count)
            if code := driver(*arrays, *player, tasks is not None, *extra, lo, hi):
                raise self._fault(code)
            return hi - lo

        run_all(run, range(0, count, _CHUNK), workers, progress)

    def _fault(self, code: int) -> ValueError:
        """What went wrong in a driver, as an error for the author of the family or of the learner."""
        what, life = fault_of(code)
        if what == LOST:
            count = int(self.rules.view(np.ndarray)["states"][0])
            return ValueError(
                f"{self.variant.name}.state_index gave an index that is not from 0 to {count - 1} (life {life}): it must "
                f"number the {count} observations that there are"
            )
        return ValueError(
            f"{type(self.learner).__name__} chose an action that is none of {self.variant.name} (life {life}): "
            f"it takes {self.variant.action.allowed}"
        )


def run_all(run: Callable[[int], int], starts: range, workers: int | None, progress: Callable[[int], None]) -> None:
    """Call `run` for every start, by threads; the drivers release the GIL."""
    workers = min(workers or os.cpu_count() or 1, len(starts)) or 1
    if workers == 1 or PLAIN:
        for start in starts:
            progress(run(start))
        return
    with ThreadPoolExecutor(workers) as threads:
        for done in threads.map(run, starts):
            progress(done)


@functools.lru_cache(maxsize=256)
def _score_driver(variant: Variant, learner: type[Player]) -> Callable:
    return score_driver(variant, learner)


@functools.lru_cache(maxsize=256)
def _write_driver(*what: Any) -> Callable:
    return write_driver(*what)
