"""Learning histories: collected into memory and onto the disk, and drawn from, beside the disk, NumPy, h5py and Minari."""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from q_learning_speed import NumpyQLearning
from timing import Case, Effort, Table, side_by_side

from metarl_envs import histories
from metarl_envs.histories import Histories, collect
from metarl_envs.learners import QLearning

_ID = "MetaRL/DarkRoom-v0"
#: Windows of a batch, and steps of a window.
_BATCH, _LENGTH = 512, 256


def tables(effort: Effort) -> Iterator[Table]:
    """Collecting in memory, collecting onto the disk, drawing while all is cached, drawing cold."""
    yield _in_memory(effort)
    with tempfile.TemporaryDirectory(prefix="metarl-histories-", dir=os.environ.get("METARL_BENCHMARK_DIR")) as name:
        folder = Path(name)
        yield _onto_disk(folder, effort)
        store = collect(_ID, QLearning(), histories=500 if not effort.quick else 20, steps=40_000, out=folder / "windows")
        yield _windows(store, folder, effort)
        yield _cold(folder / "windows", effort)


def _in_memory(effort: Effort) -> Table:
    """One core: the fused loop, with and without internals, beside the learner in NumPy."""
    lives, steps = 256, 10_000
    in_numpy = [NumpyQLearning(1_024, keeps) for keeps in ("transitions", "internals")]

    def collected(**more: object) -> Callable[[], object]:
        return lambda: collect(_ID, QLearning(), histories=lives, steps=steps, workers=1, **more)  # type: ignore[arg-type]

    cases = [
        Case("transitions", collected(), lives * steps),
        Case("and the row of Q, epsilon, TD error", collected(internals=["q", "epsilon", "td_error"]), lives * steps),
        Case("and the oracle's action", collected(labels=["optimal_action"]), lives * steps),
        Case("NumPy, 1,024 rows: transitions", in_numpy[0].live_an_episode, 1_024 * 20),
        Case("NumPy, 1,024 rows: and the row of Q, epsilon, TD error", in_numpy[1].live_an_episode, 1_024 * 20),
    ]
    return side_by_side("Collecting into memory, one core, M steps/s", "Q-learning in Dark Room", cases, effort)


def _onto_disk(folder: Path, effort: Effort) -> Table:
    """All cores: AD's corpus and a billion steps, beside what the disk takes when it is only written to."""
    sizes = [("AD's corpus", 2_000, 40_000), ("a billion", 25_000, 40_000)]
    rows: list[list[str | float | None]] = []
    for name, lives, steps in [("a little", 50, 40_000)] if effort.quick else sizes:
        need = lives * steps * 11
        if shutil.disk_usage(folder).free < 2 * need:
            rows.append([f"{name}: no room on the disk", lives * steps / 1e6, None, None, None, None])
            continue
        took = _seconds(
            lambda lives=lives, steps=steps: collect(_ID, QLearning(), histories=lives, steps=steps, out=folder / "h")
        )
        size = sum(file.stat().st_size for file in (folder / "h").rglob("*.npy"))
        shutil.rmtree(folder / "h")
        disk = _seconds(lambda size=size: _write_bytes(folder / "bytes", size))
        (folder / "bytes").unlink()
        rows.append([name, lives * steps / 1e6, size / 1e9, took, lives * steps / took / 1e6, disk])
    columns = ("", "M steps", "GB", "seconds, digests and fsync included", "M steps/s", "seconds for as many zeros and fsync")
    return Table(f"Collecting onto the disk, {os.cpu_count()} cores", columns, rows)


def _windows(store: Histories, folder: Path, effort: Effort) -> Table:
    """Batches of windows, when all files are in the system's cache."""
    rng = np.random.default_rng(0)
    memory = {name: np.concatenate([history[name] for history in store]) for name in store.columns}
    views = {name: sliding_window_view(array, _LENGTH, axis=0) for name, array in memory.items()}
    most = len(memory["reward"]) - _LENGTH

    def in_memory() -> None:
        starts = rng.integers(0, most, _BATCH)
        for view in views.values():
            view[starts]

    cases = [
        Case("arrays in memory, `sliding_window_view`", in_memory, _BATCH),
        Case("`Histories.sample`", lambda: store.sample(_BATCH, _LENGTH, rng), _BATCH),
        *_others(memory, most, folder, effort),
    ]
    for _ in range(200):
        store.sample(_BATCH, _LENGTH, rng)
    title = f"Drawing {_BATCH} windows of {_LENGTH} steps, all columns, M windows/s"
    return side_by_side(title, f"{len(memory['reward']):,} steps", cases, effort, first="memory")


def _others(memory: dict[str, np.ndarray], most: int, folder: Path, effort: Effort) -> Iterator[Case]:
    """h5py (uncompressed chunks) and Minari, where they are installed. Fewer windows a call: they are slow."""
    rng, few = np.random.default_rng(1), 16
    try:
        import h5py

        path = folder / "windows.hdf5"
        with h5py.File(path, "w") as file:
            for name, array in memory.items():
                file.create_dataset(name, data=array, chunks=(4096, *array.shape[1:]))
        opened = h5py.File(path, "r")

        def from_h5py() -> None:
            for start in rng.integers(0, most, few):
                for name in memory:
                    opened[name][start : start + _LENGTH]  # type: ignore[index]

        yield Case("h5py, chunks of 4,096 steps", from_h5py, few)
    except ModuleNotFoundError:
        pass
    try:
        import minari
    except ModuleNotFoundError:
        return
    os.environ["MINARI_DATASETS_PATH"] = str(folder / "minari")
    some = collect(_ID, QLearning(), histories=1, steps=4_000)
    histories.export(some, "benchmark/dark-room-v0", "minari")
    dataset = minari.load_dataset("benchmark/dark-room-v0")

    def from_minari() -> None:
        first = int(rng.integers(0, dataset.total_episodes - _LENGTH // 20))
        for _episode in dataset.iterate_episodes(range(first, first + _LENGTH // 20)):
            pass

    yield Case(f"Minari, {_LENGTH // 20} episodes of 20 steps of 200", from_minari, 1)


def _cold(path: Path, effort: Effort) -> Table:
    """The first batches after the system has let go of the files, with and without reading ahead."""
    rows: list[list[str | float | None]] = []
    for advice in ("normal", "random"):
        rates = []
        for trial in range(1 if effort.quick else 5):
            _let_go(path)
            store, rng = histories.load(path, advice=advice), np.random.default_rng(trial)
            took = _seconds(lambda store=store, rng=rng: [store.sample(_BATCH, _LENGTH, rng) for _ in range(4)])
            rates.append(4 * _BATCH / took / 1e3)
        rows.append([f"advice={advice!r}", max(rates), sorted(rates)[len(rates) // 2]])
    size = sum(file.stat().st_size for file in path.rglob("*.npy")) / 1e9
    note = f"The first 2,048 windows out of {size:.3g} GB, after `posix_fadvise(DONTNEED)`."
    return Table("Drawing cold, thousands of windows/s", ("", "best", "median"), rows, note)


def _let_go(path: Path) -> None:
    """Ask the system to forget the files of a folder."""
    os.sync()
    for file in path.rglob("*.npy"):
        handle = os.open(file, os.O_RDONLY)
        os.posix_fadvise(handle, 0, 0, os.POSIX_FADV_DONTNEED)
        os.close(handle)


def _write_bytes(path: Path, size: int) -> None:
    block = bytes(2**22)
    with path.open("wb", buffering=0) as file:
        for _ in range(-(-size // len(block))):
            file.write(block)
        os.fsync(file.fileno())


def _seconds(call: Callable[[], object]) -> float:
    start = time.perf_counter()
    _held = call()
    return time.perf_counter() - start
