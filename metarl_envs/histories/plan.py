"""Plans of collections, and carrying them out: into memory, or shard by shard to disk (see `shard_plan`)."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from metarl_envs.arguments import Progress, as_seed, at_least_one, tell_nobody
from metarl_envs.engine.composing import family_at, spec_of
from metarl_envs.engine.family import Variant
from metarl_envs.engine.player import Player
from metarl_envs.engine.streams import HISTORY, keyed
from metarl_envs.engine.worlds.task_rows import padded, task_hashes
from metarl_envs.files import versions
from metarl_envs.histories.columns import Columns
from metarl_envs.histories.history import Shard
from metarl_envs.histories.layout import names_in
from metarl_envs.histories.lives import Lives, Written
from metarl_envs.histories.reading import told_forms
from metarl_envs.histories.shard_files import FORMAT
from metarl_envs.histories.shard_plan import ShardPlan, units_a_shard
from metarl_envs.histories.shards import ShardWriter
from metarl_envs.histories.store import Histories
from metarl_envs.ids import family_of, id_of
from metarl_envs.learners.named import read_player, suitable_players
from metarl_envs.task_sets import DEFAULT_SPLIT, TaskSet, tasks_of

#: Lives are written this many bytes at a time: what a processor's cache holds goes to the digest and the disk fastest.
_BATCH = 2 * 2**20
#: Steps of each life that are lived to tell how long all will take.
_TRIED = 2000


class Forecast(NamedTuple):
    """The cost of a collection: bytes on disk, steps a second on one core, and seconds on so many."""

    bytes: int
    rate: float
    seconds: float


@dataclass(frozen=True)
class Plan(ShardPlan):
    """A collection that is to be made. It can be pickled: workers are sent it.

    Attributes:
        about: the manifest.
        tasks: rows to be lived on by turns; None where each life draws its own.
        drawn_from: the parts that lives draw tasks from, as drivers are told them.
    """

    about: dict[str, Any]
    variant: Variant
    learner: Player
    tasks: np.ndarray | None
    drawn_from: int

    @classmethod
    def of(
        cls,
        id: str,
        learner: Player | str,
        *,
        histories: int,
        steps: int,
        split: str | None = DEFAULT_SPLIT,
        seed: int = 0,
        tasks: int | TaskSet | None = None,
        internals: Sequence[str] = (),
        labels: Sequence[str] = (),
        **params: Any,
    ) -> Plan:
        """Return a plan of what `collect` is asked for."""
        family = family_at(family_of(id))
        given = tasks is not None
        tasks = tasks_of(family, "train", split, tasks, params)
        given |= tasks.is_given  # a pool, which follows from the parameters
        variant = tasks.variant
        lived: Player = read_player(learner, variant, suitable_players(variant), "learner", factories=False)
        columns = Columns(variant, lived.bind(variant), internals, labels)
        per_shard = units_a_shard(at_least_one("histories", histories), at_least_one("steps", steps) * columns.bytes_a_step)
        about = {
            "format": FORMAT,
            "id": id_of(id),
            "family": spec_of(family),
            "params": variant.values,
            "split": tasks.split,
            "given_tasks": given,
            "fingerprint": tasks.fingerprint,
            "learner": {"name": type(lived).__name__, "hyper": lived.values},
            "seed": as_seed(seed),
            "histories": int(histories),
            "steps": int(steps),
            "internals": list(names_in("internals", internals)),
            "labels": list(names_in("labels", labels)),
            "columns": told_forms({name: (c.dtype, c.shape) for name, c in columns.all.items()}),
            "histories_a_shard": per_shard,
            "shards": -(-histories // per_shard),
            "versions": versions("metarl-envs", "numpy", "gymnasium"),
        }
        return cls(about, variant, lived, tasks.rows(len(tasks)) if given else None, tasks.drawn_from)

    @property
    def columns(self) -> Columns:
        """The columns of a step."""
        return Columns(self.variant, self.learner.bind(self.variant), self.about["internals"], self.about["labels"])

    @property
    def name(self) -> str:
        """The learner's name."""
        return self.about["learner"]["name"]

    @property
    def units(self) -> tuple[int, int]:
        """How many histories there are, and how many a shard holds."""
        return self.about["histories"], self.about["histories_a_shard"]

    @property
    def bytes(self) -> int:
        """Bytes of all columns together."""
        return self.about["histories"] * self.about["steps"] * self.columns.bytes_a_step

    def forecast(self, workers: int) -> Forecast:
        """Return the cost of the collection, measured on a little of it. The speed of the disk is not known here."""
        about, columns = self.about, self.columns
        steps, count = min(about["steps"], _TRIED), min(about["histories"], 64)
        lives = Lives(self.variant, self.learner, count, self.drawn_from)
        room, took = lives.room(steps, columns), 0.0
        for _ in range(2):  # the first time compiles
            start = time.perf_counter()
            lives.write(self.seeds(0, count), self.tasks_of(0, count), columns, room)
            took = time.perf_counter() - start
        rate = count * steps / took
        return Forecast(self.bytes, rate, about["histories"] * about["steps"] / rate / workers)

    def seeds(self, lo: int, hi: int) -> np.ndarray:
        """Return the seeds of histories lo to hi: below 2**63, so that whoever wants signed numbers can have them."""
        root = np.uint64(self.about["seed"] % 2**64)
        return np.array([keyed(root, HISTORY, i, 0) for i in range(lo, hi)], np.uint64) >> np.uint64(1)

    def tasks_of(self, lo: int, hi: int) -> np.ndarray | None:
        """Return the tasks of histories lo to hi, where they are given."""
        return None if self.tasks is None else self.tasks[np.arange(lo, hi) % len(self.tasks)]

    def in_memory(self, workers: int | None = None, progress: Progress = tell_nobody) -> Histories:
        """Collect into memory."""
        count, columns = self.about["histories"], self.columns
        lives = Lives(self.variant, self.learner, count, self.drawn_from)
        room, done = lives.room(self.about["steps"], columns), 0

        def lived(more: int) -> None:
            nonlocal done
            done += more
            progress(self.name, done, count)

        lives.write(self.seeds(0, count), self.tasks_of(0, count), columns, room, workers, lived)
        flat = {name: room.columns[name].reshape(-1, *column.shape) for name, column in columns.all.items()}
        tables = self._tables([_Lived.of(room, count)], self.seeds(0, count))
        return Histories([Shard(flat, **tables)], {**self.about, "shards": 1})

    def write_shard(self, folder: Path, number: int) -> int:
        """Live the histories of a shard and write them; its number."""
        lo, hi = self._bounds(number)
        steps, columns = self.about["steps"], self.columns
        batch = min(hi - lo, max(1, _BATCH // (steps * columns.bytes_a_step)))
        lives = Lives(self.variant, self.learner, batch, self.drawn_from)
        room, lived = lives.room(steps, columns), []
        with ShardWriter(folder, number, self.about, (hi - lo) * steps) as writer:
            for first in range(lo, hi, batch):
                end = min(first + batch, hi)
                lives.write(self.seeds(first, end), self.tasks_of(first, end), columns, room)
                for name in columns.all:
                    writer.append(name, room.columns[name][: end - first])
                lived.append(_Lived.of(room, end - first))
            writer.finish(self._tables(lived, self.seeds(lo, hi)))
        return number

    def _tables(self, lived: Sequence[_Lived], seeds: np.ndarray) -> dict[str, Any]:
        """The tables of a shard."""
        steps = self.about["steps"]
        tasks = padded(np.concatenate([batch.tasks for batch in lived]), self.variant.task)
        final = np.concatenate([batch.final_observation for batch in lived])
        ends, first = [], 0
        for batch in lived:
            ends.append(batch.episode_end + (first + batch.life) * steps)
            first += len(batch.tasks)
        return {
            "offsets": np.arange(len(seeds) + 1, dtype=np.int64) * steps,
            "episode_end": np.concatenate(ends),
            "final_observation": final.reshape(len(final), *self.columns.all["observation"].shape),
            "seed": seeds,
            "task": tasks,
            "task_id": task_hashes(self.variant, tasks)[0],
        }


@dataclass(frozen=True)
class _Lived:
    """The episodes and tasks of some lives, copied: their room is written over.

    Attributes:
        life: of each episode, [episode].
        episode_end: the step of the life before which it ended, [episode].
        final_observation: [episode, ...].
        tasks: [life].
    """

    life: np.ndarray
    episode_end: np.ndarray
    final_observation: np.ndarray
    tasks: np.ndarray

    @classmethod
    def of(cls, room: Written, count: int) -> _Lived:
        episodes = room.episodes[:count]
        return cls(
            np.repeat(np.arange(count), episodes),
            np.concatenate([room.until[i, :n] for i, n in enumerate(episodes)]),
            np.concatenate([room.final_observations[i, :n] for i, n in enumerate(episodes)]),
            room.tasks[:count].copy(),
        )
