"""Carrying out a plan to write a store: shard by shard, by any number of workers, killed and resumed at will."""

from __future__ import annotations

import json
import os
import shutil
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import Any

from metarl_envs.arguments import Progress, tell_nobody
from metarl_envs.histories.shard_files import finished, read_manifest
from metarl_envs.histories.shards import aside_prefix, write_manifest
from metarl_envs.histories.store import Histories, load

#: A shard has a sixteenth of all, but within these bytes: enough to be worth a file, few enough to be lost by a kill.
_LEAST_SHARD, _LARGEST_SHARD = 16 * 2**20, 256 * 2**20


def units_a_shard(units: int, bytes_a_unit: int) -> int:
    """Return how many units of work (histories, or boxes) a shard holds, of so many in all."""
    size = min(max(units * bytes_a_unit // 16, _LEAST_SHARD), _LARGEST_SHARD)
    return max(1, min(units, size // bytes_a_unit))


class ShardPlan(ABC):
    """A store that is to be written. Its shards hold equal numbers of units of work; the last one may hold fewer.

    It can be pickled: workers are sent it.

    Attributes:
        about: the manifest, with the number of `shards`.
    """

    about: dict[str, Any]

    @property
    @abstractmethod
    def name(self) -> str:
        """What progress is told of."""

    @property
    @abstractmethod
    def units(self) -> tuple[int, int]:
        """How many units there are, and how many a shard holds."""

    @property
    @abstractmethod
    def bytes(self) -> int:
        """Bytes of all columns together."""

    @abstractmethod
    def write_shard(self, folder: Path, number: int) -> int:
        """Write a shard; its number."""

    def to_disk(
        self,
        folder: Path,
        *,
        workers: int | None = None,
        executor: Executor | None = None,
        share: tuple[int, int] = (0, 1),
        resume: bool = False,
        progress: Progress = tell_nobody,
    ) -> Histories:
        """Write into a folder what is not there yet; the store, or of a share what is on disk so far."""
        folder = folder.absolute()  # workers may stand elsewhere
        mine = [number for number in range(self.about["shards"]) if number % share[1] == share[0]]
        if not mine:
            raise ValueError(f"shard={share} has nothing to do: there are {self.about['shards']} shards to be shared")
        there = set(finished(folder))
        missing = [number for number in mine if number not in there]
        self._see_that_it_fits(folder, len(missing))
        self._begin(folder, resume or share[1] > 1)
        for number in mine:  # what a killed run of this share has left
            for left in folder.glob(f"shards/{aside_prefix(number)}*"):
                shutil.rmtree(left, ignore_errors=True)
        sizes = {number: self._bounds(number)[1] - self._bounds(number)[0] for number in mine}
        done, total = sum(sizes[n] for n in mine if n in there), sum(sizes.values())
        progress(self.name, done, total)
        for number in self._work(folder, missing, workers, executor):
            done += sizes[number]
            progress(self.name, done, total)
        return load(folder, partial=share[1] > 1)

    def _work(self, folder: Path, numbers: Sequence[int], workers: int | None, executor: Executor | None) -> Iterator[int]:
        """Have shards written; their numbers, as they are done. Whoever stops listening stops the work."""
        own = executor is None
        team = executor or ThreadPoolExecutor(workers or os.cpu_count())
        futures = [team.submit(write_shard, self, str(folder), number) for number in numbers]
        try:
            for future in as_completed(futures):
                yield future.result()
        finally:
            for future in futures:
                future.cancel()
            if own:
                team.shutdown(wait=True)

    def _begin(self, folder: Path, resume: bool) -> None:
        """Write the manifest, or see that the one that is there is of this collection."""
        if (folder / "manifest.json").exists():
            there = read_manifest(folder)
            if differs := _difference(there, self.about):
                raise ValueError(f"out={str(folder)!r} holds another collection ({differs}): give another folder")
            if not resume:
                raise FileExistsError(
                    f"out={str(folder)!r} holds this collection already, whole or in part: resume=True (--resume) goes on "
                    "with it; or give another folder"
                )
        elif folder.exists() and any(folder.iterdir()):
            raise FileExistsError(f"out={str(folder)!r} is not empty, and holds no histories: give another folder")
        else:
            write_manifest(folder, self.about)

    def _see_that_it_fits(self, folder: Path, shards: int) -> None:
        """OSError where the disk cannot hold what is to be written."""
        units, per_shard = self.units
        need = self.bytes * min(units, shards * per_shard) // units
        have = shutil.disk_usage(next(p for p in (folder.absolute(), *folder.absolute().parents) if p.exists())).free
        if need > have:
            raise OSError(
                f"the histories that are left need {need / 1e9:,.1f} GB, and the disk of out={str(folder)!r} has "
                f"{have / 1e9:,.1f} GB free: collect fewer, or on another disk"
            )

    def _bounds(self, number: int) -> tuple[int, int]:
        """The first unit of a shard, and the end of the last."""
        units, per_shard = self.units
        return number * per_shard, min((number + 1) * per_shard, units)


def write_shard(plan: ShardPlan, folder: str, number: int) -> int:
    """Write a shard of a plan: the function that workers call."""
    return plan.write_shard(Path(folder), number)


def _difference(there: dict[str, Any], wanted: dict[str, Any]) -> str:
    """The first thing in which two manifests differ, or nothing. Versions may."""
    wanted = json.loads(json.dumps(wanted))
    for name in wanted:
        if name != "versions" and there.get(name) != wanted[name]:
            return f"{name} is {there.get(name)!r}, not {wanted[name]!r}"
    return ""
