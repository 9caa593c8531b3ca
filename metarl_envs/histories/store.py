"""The store: learning histories as flat columns, mapped from disk or held in memory, and drawn from at random.

A folder of histories holds `manifest.json` and `shards/00000`, `shards/00001`, ... Each shard is a folder of plain `.npy`
files, `observation.npy` [steps, ...] and so on, beside `shard.json`, which has a digest of each. Whoever wants no more than
the numbers can read them with `numpy.load`. Nothing in a store can run code: arrays are read without pickle.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from metarl_envs.arguments import Progress, at_least_one, tell_nobody
from metarl_envs.histories.gather import Gatherer
from metarl_envs.histories.history import History, Shard
from metarl_envs.histories.layout import check_episodes, names_in
from metarl_envs.histories.mapping import advise_random
from metarl_envs.histories.reading import StoreError, refusing
from metarl_envs.histories.shard_files import (
    _listed,
    _sha256,
    _told,
    finished,
    map_shard,
    read_manifest,
    shard_path,
)


class Histories(Sequence[History]):
    """Learning histories, in memory or mapped from disk.

    `len`, `histories[i]` (a `History`), iteration, and `histories[mask or indices or slice]`, which copies nothing.

    Attributes:
        about: the manifest: what was collected, and how. Empty where histories of several stores are joined.
    """

    def __init__(self, shards: Sequence[Shard], about: Mapping[str, Any], which: np.ndarray | None = None):
        self.about = dict(about)
        self._shards = list(shards)
        counts = [len(shard.offsets) - 1 for shard in self._shards]
        everything = np.stack([np.repeat(np.arange(len(counts)), counts), np.concatenate([np.arange(n) for n in counts])], 1)
        self._which = everything if which is None else which  # [history, (shard, number)]
        self._windows: dict[int, np.ndarray] = {}
        self._gatherers: dict[tuple[str, ...], Gatherer] = {}

    # --------------------------------------------------------------------------------------------- what there is
    def __len__(self) -> int:
        return len(self._which)

    def __getitem__(self, index: Any) -> Any:
        """History number `index`, or for a slice, a mask, or a sequence of numbers the histories that it picks.

        Raises:
            IndexError: there is no such history; a mask has another length.
            TypeError: `index` is none of these.
        """
        if isinstance(index, int | np.integer) and not isinstance(index, bool | np.bool_):
            if not -len(self) <= index < len(self):
                raise IndexError(f"history {index}: there are {len(self)}")
            shard, number = self._which[index]
            return History.of(self._shards[shard], int(number))
        return Histories(self._shards, self.about, self._which[index if isinstance(index, slice) else _several(index)])

    def where(self, wanted: Callable[[History], bool]) -> Histories:
        """Return the histories of which `wanted` is true. Nothing is copied."""
        return self[np.array([bool(wanted(history)) for history in self], np.bool_)]

    @functools.cached_property
    def lengths(self) -> np.ndarray:
        """Steps of each history, int64 [histories]."""
        return self._ends - self._starts

    @property
    def steps(self) -> int:
        """Steps in all histories."""
        return int(self.lengths.sum())

    @property
    def columns(self) -> dict[str, tuple[np.dtype, tuple[int, ...]]]:
        """By name, the dtype and shape of one step's element."""
        first = self._shards[0].columns
        return {name: (array.dtype, array.shape[1:]) for name, array in first.items()}

    @property
    def nbytes(self) -> int:
        """Bytes that the columns of these histories have."""
        return self.steps * sum(dtype.itemsize * int(np.prod(shape)) for dtype, shape in self.columns.values())

    def first_and_last_returns(self, most: int = 1000) -> tuple[float, float]:
        """Return the mean return of the first episode, and of the last that was not cut off, over at most so many histories."""
        first, last = [], []
        for history in self[:most]:
            whole = history.returns()
            if not (history["terminated"][-1] or history["truncated"][-1]):
                whole = whole[:-1]
            if len(whole):
                first.append(whole[0])
                last.append(whole[-1])
        return (float(np.mean(first)), float(np.mean(last))) if first else (float("nan"), float("nan"))

    # --------------------------------------------------------------------------------------------- drawing
    def sample(
        self, batch: int, length: int, rng: np.random.Generator, columns: Sequence[str] | None = None
    ) -> dict[str, np.ndarray]:
        """Windows drawn uniformly, with replacement, out of all that lie within one history.

        Args:
            batch: how many.
            length: steps of each.
            rng: where they are drawn from.
            columns: a list of the names of those that are wanted (default: all).

        Returns:
            Each column as [batch, length, ...], `history` (its index) and `step` (where the window begins), int64 [batch].

        Raises:
            TypeError: a number is no integer; `columns` is no list of names.
            ValueError: no history is so long; a number is below 1; there is no such column, or none is named.
        """
        batch, length = at_least_one("batch", batch), at_least_one("length", length)
        names = names_in("columns", tuple(self.columns) if columns is None else columns)
        if not names or len(set(names)) < len(names):
            raise ValueError(f"columns={columns!r} must name at least one, and each once; there are: {', '.join(self.columns)}")
        if unknown := [name for name in names if name not in self.columns]:
            raise ValueError(f"columns: {unknown[0]!r} is not there; there are: {', '.join(self.columns)}")
        history, step = self._draw(batch, length, rng)
        drawn = self._gatherer(names).windows(self._shard_of[history], self._starts[history] + step, length)
        return {**drawn, "history": history, "step": step}

    def _draw(self, batch: int, length: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Histories and first steps of windows, all windows alike."""
        ways = self._ways(length)
        nth = rng.integers(0, ways[-1], batch)
        history = np.searchsorted(ways, nth, side="right")
        before = np.where(history > 0, ways[history - 1], 0)
        return history, nth - before

    def _ways(self, length: int) -> np.ndarray:
        """How many windows of a length the histories up to each one have, int64 [histories]."""
        if length not in self._windows:
            ways = np.cumsum(np.maximum(self.lengths - length + 1, 0))
            if not len(ways) or ways[-1] == 0:
                longest = int(self.lengths.max(initial=0))
                raise ValueError(f"length={length}: the longest of {len(self)} histories has {longest} steps")
            self._windows[length] = ways
        return self._windows[length]

    def _gatherer(self, names: tuple[str, ...]) -> Gatherer:
        if names not in self._gatherers:
            self._gatherers[names] = Gatherer({name: [shard.columns[name] for shard in self._shards] for name in names})
        return self._gatherers[names]

    # --------------------------------------------------------------------------------------------- as arrays
    def stack(self, name: str) -> np.ndarray:
        """Return a column of histories of equal length, [history, step, ...]; no copy where one shard holds them all in order.

        Raises:
            ValueError: they are not equally long.
        """
        lengths = self.lengths
        if len(lengths) == 0 or (lengths != lengths[0]).any():
            raise ValueError(f"{name!r}: histories of {sorted(set(lengths.tolist()))} steps cannot be stacked")
        steps = int(lengths[0])
        if len(self._shards) == 1 and (self._starts == np.arange(len(self)) * steps).all():
            column = self._shards[0].columns[name][: len(self) * steps]
            return column.reshape(len(self), steps, *column.shape[1:])
        return np.stack([history[name] for history in self])

    @property
    def observations(self) -> np.ndarray:
        """The observations before each action, [history, step, ...]."""
        return self.stack("observation")

    @property
    def actions(self) -> np.ndarray:
        """The actions, [history, step, ...]."""
        return self.stack("action")

    @property
    def rewards(self) -> np.ndarray:
        """The rewards, [history, step]."""
        return self.stack("reward")

    @property
    def terminated(self) -> np.ndarray:
        """Whether an episode terminated with this step, bool [history, step]."""
        return self.stack("terminated")

    @property
    def truncated(self) -> np.ndarray:
        """Whether an episode was truncated after this step, bool [history, step]."""
        return self.stack("truncated")

    @property
    def final_observations(self) -> np.ndarray:
        """The observation after the last step of each history, [history, ...]; ValueError where that is not known."""
        finals = [history.final_observation for history in self]
        if any(final is None for final in finals):
            raise ValueError("these histories do not say what was seen after the last step of an episode")
        return np.stack([final[-1] for final in finals if final is not None])

    @property
    def tasks(self) -> np.ndarray:
        """The task row of each history, [history]; ValueError where there are none, or they are of several families."""
        tables = [self._shards[s].task for s in self._used]
        told = {None if table is None else table.dtype for table in tables}
        if None in told:
            raise ValueError("these histories do not say what task they were lived on")
        if len(told) > 1:
            raise ValueError("these histories have task rows of several kinds: take those of one family at a time")
        return self._of_histories("task")

    @property
    def task_ids(self) -> np.ndarray:
        """The hash of each history's task, uint64 [history]."""
        return self._of_histories("task_id")

    @property
    def seeds(self) -> np.ndarray:
        """The seed of each history, uint64 [history]."""
        return self._of_histories("seed")

    def _of_histories(self, table: str) -> np.ndarray:
        """A table's element for each history."""
        found = np.zeros(len(self), getattr(self._shards[self._used[0]], table).dtype)
        for s in self._used:
            mine = self._shard_of == s
            found[mine] = getattr(self._shards[s], table)[self._which[mine, 1]]
        return found

    @functools.cached_property
    def _used(self) -> list[int]:
        """The shards in which these histories lie (others may be there that none of them was picked from)."""
        return np.unique(self._shard_of).tolist() or list(range(len(self._shards)))

    @functools.cached_property
    def _shard_of(self) -> np.ndarray:
        return np.ascontiguousarray(self._which[:, 0])

    @functools.cached_property
    def _starts(self) -> np.ndarray:
        return self._bounds(0)

    @functools.cached_property
    def _ends(self) -> np.ndarray:
        return self._bounds(1)

    def _bounds(self, side: int) -> np.ndarray:
        """Where each history begins (0) or ends (1) in its shard."""
        bounds = np.zeros(len(self), np.int64)
        for s, shard in enumerate(self._shards):
            mine = self._shard_of == s
            bounds[mine] = shard.offsets[self._which[mine, 1] + side]
        return bounds

    # --------------------------------------------------------------------------------------------- on disk
    def verify(self, progress: Progress = tell_nobody) -> None:
        """Read every file of every shard and compare it with its digest, and see that episodes fill histories.

        Args:
            progress: called with "bytes", how many have been read by now, and how many there are.

        Raises:
            StoreError: a file has changed since it was written, or the tables contradict one another.
            TypeError: the histories are in memory.
        """
        paths = [shard.path for shard in self._shards if shard.path is not None]
        if len(paths) < len(self._shards):
            raise TypeError("histories in memory have no files to verify: collect(..., out=folder) writes them to disk")
        files = []
        for path in paths:
            with refusing(path, "shard"):
                files += _listed(path, _told(path))
        total, done = sum(size for _, size, _ in files), 0
        for path, size, digest in files:
            with refusing(path, "array"):
                if _sha256(path) != digest:
                    raise StoreError(f"{path} has been changed since it was written: collect or copy this shard again")
            done += size
            progress("bytes", done, total)
        for shard in self._shards:
            with refusing(shard.path or "", "shard"):
                check_episodes(shard.offsets, shard.episode_end, shard.columns, shard.final_observation)

    def __getstate__(self) -> dict[str, Any]:
        """Mapped histories travel as paths: another process maps the same files, and nothing is copied."""
        shards = [shard if shard.path is None else str(shard.path) for shard in self._shards]
        return {"shards": shards, "about": self.about, "which": self._which}

    def __setstate__(self, state: dict[str, Any]) -> None:
        shards = [map_shard(Path(shard)) if isinstance(shard, str) else shard for shard in state["shards"]]
        self.__init__(shards, state["about"], state["which"])

    def __repr__(self) -> str:
        learner, family = self.about.get("learner"), self.about.get("id")
        what = f" of {learner['name']} in {family}" if isinstance(learner, dict) and "name" in learner else ""
        return f"<{len(self):,} histories{what}, {self.steps:,} steps: {', '.join(self.columns)}>"


def _several(index: Any) -> np.ndarray:
    """Numbers of histories, or a mask, as NumPy takes them; TypeError where they are none."""
    picked = np.asarray(index if len(index) else np.zeros(0, np.intp)) if isinstance(index, list | np.ndarray | range) else None
    if picked is None or picked.ndim != 1 or picked.dtype.kind not in "biu":
        raise TypeError(f"histories[{index!r}] must be a number, a slice, a mask, or a list or array of numbers")
    return picked


# ------------------------------------------------------------------------------------------------- loading
def load(path: str | os.PathLike, *, partial: bool = False, advice: str | None = None) -> Histories:
    """Map the histories in a folder. Nothing is read yet but what says how they lie, and no file is held open.

    Args:
        path: a folder that `collect(..., out=path)` wrote.
        partial: take what there is of a collection that has not ended.
        advice: `"random"` tells the system not to read ahead, for a cold disk and windows that are few beside what the store
            holds (at 0.2 GB it made no difference: `docs/speed.md`); `"normal"` not to mind. Default: random for stores larger
            than half of the memory.

    Raises:
        FileNotFoundError: there is no such folder.
        StoreError: it is no store, one of another version, not whole, damaged, or a file has another size than was written.
        ValueError: `advice` is something else.
    """
    if advice not in (None, "random", "normal"):
        raise ValueError(f"advice={advice!r} must be 'random', 'normal' or None")
    folder = Path(path).absolute()
    about = read_manifest(folder)
    there = finished(folder)
    if there and there[-1] >= about["shards"]:
        raise StoreError(f"{folder} has shard {there[-1]}, and its manifest says that there are {about['shards']}")
    if len(there) < about["shards"] and not partial:
        raise StoreError(
            f"{folder} is not whole: {len(there)} of {about['shards']} shards are there. Go on with collect(..., resume=True) "
            "(metarl-envs collect ... --resume), or take what there is with load(..., partial=True)"
        )
    if not there:
        raise StoreError(f"{folder} has no finished shard yet")
    shards = [map_shard(shard_path(folder, number), about) for number in there]
    histories = Histories(shards, about)
    if advice == "random" or (advice is None and histories.nbytes > _memory() / 2):
        for shard in shards:
            for column in shard.columns.values():
                advise_random(column)
    return histories


def concatenate(several: Sequence[Histories]) -> Histories:
    """Return the histories of several stores as one. Nothing is copied.

    Raises:
        ValueError: there are none, or their columns differ.
    """
    if not several:
        raise ValueError("several is empty: give at least one")
    first = several[0]
    for other in several[1:]:
        if other.columns != first.columns:
            raise ValueError(f"columns differ: {first.columns} and {other.columns}")
    shards, which = [], []
    for histories in several:
        which.append(histories._which + np.array([len(shards), 0]))
        shards += histories._shards
    alike = all(other.about == first.about for other in several)
    return Histories(shards, first.about if alike else {}, np.concatenate(which))


def _memory() -> float:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return float("inf")
