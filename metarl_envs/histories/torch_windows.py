"""Windows of histories as PyTorch tensors, for `torch.utils.data.DataLoader`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch.utils.data import IterableDataset, get_worker_info

from metarl_envs.arguments import as_integer, as_seed, at_least_one
from metarl_envs.histories.store import Histories

#: Workers that one `DataLoader` may have: each counts its epochs in a place of its own.
_WORKERS = 1024


class TorchWindows(IterableDataset):
    """Batches of windows, drawn without end or a number of times: `DataLoader(TorchWindows(...), batch_size=None)`.

    Tensors share the memory of the arrays that are drawn. Workers of a `DataLoader` map the same files (histories travel as
    paths). Each (`seed`, `rank`, worker, epoch) draws from a stream of its own: more workers give more batches, not the same
    ones, and each time a loader is iterated over is another epoch, whether its workers are persistent or not.

    Args:
        histories: on disk, or in memory (then every worker has a copy).
        batch, length: windows in a batch, and steps in a window.
        seed: of all: the same seed gives the same batches in the same order.
        batches: how many each worker gives in an epoch; None for no end.
        columns: a list of the names of those that are wanted (default: all).
        rank: which of several processes that train together this is: each draws other windows.
        epoch: the number of the first epoch: give those that are over to go on where a training was stopped.

    Raises:
        TypeError: a number is no integer; `columns` is no list of names.
        ValueError: a number is out of range; no history is so long; there is no such column.
    """

    def __init__(
        self,
        histories: Histories,
        *,
        batch: int,
        length: int,
        seed: int = 0,
        batches: int | None = None,
        columns: Sequence[str] | None = None,
        rank: int = 0,
        epoch: int = 0,
    ):
        self.histories, self.batch, self.length = histories, at_least_one("batch", batch), at_least_one("length", length)
        self.seed, self.rank = as_seed(seed), as_integer("rank", rank)
        self.batches = None if batches is None else at_least_one("batches", batches)
        self.columns = columns
        histories.sample(1, length, np.random.default_rng(0), columns)  # what is wrong is said here, not in a worker
        self._epochs = torch.full((_WORKERS,), as_integer("epoch", epoch)).share_memory_()

    def __iter__(self) -> Iterator[dict[str, Any]]:
        """Batches: by name, [batch, length, ...]; and `history` and `step`, [batch]."""
        worker = get_worker_info()
        number = 0 if worker is None else worker.id
        epoch = int(self._epochs[number])
        self._epochs[number] += 1
        return self._drawn(np.random.default_rng([self.seed, self.rank, number, epoch]))

    def _drawn(self, rng: np.random.Generator) -> Iterator[dict[str, Any]]:
        given = 0
        while self.batches is None or given < self.batches:
            drawn = self.histories.sample(self.batch, self.length, rng, self.columns)
            yield {name: _tensors(array) for name, array in drawn.items()}
            given += 1


def _tensors(array: np.ndarray) -> Any:
    """An array as a tensor; of observations that are rows, one tensor for each field, by name."""
    if array.dtype.names is None:
        return torch.from_numpy(array)
    return {name: torch.from_numpy(np.ascontiguousarray(array[name])) for name in array.dtype.names}
