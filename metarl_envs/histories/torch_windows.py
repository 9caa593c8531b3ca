"""Windows of histories as PyTorch tensors, for `torch.utils.data.DataLoader`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch.utils.data import IterableDataset, get_worker_info

from metarl_envs.histories.store import Histories


class TorchWindows(IterableDataset):
    """Batches of windows, drawn without end or a number of times: `DataLoader(TorchWindows(...), batch_size=None)`.

    Tensors share the memory of the arrays that are drawn. Workers of a `DataLoader` map the same files (histories travel as
    paths), and each draws from a stream of its own, so that more workers give more batches, not the same ones.

    Args:
        histories: on disk, or in memory (then every worker has a copy).
        batch, length: windows in a batch, and steps in a window.
        seed: of all workers.
        batches: how many each worker gives; None for no end.
        columns: names of those that are wanted (default: all).
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
    ):
        self.histories, self.batch, self.length = histories, batch, length
        self.seed, self.batches, self.columns = seed, batches, columns

    def __iter__(self) -> Iterator[dict[str, torch.Tensor]]:
        """Batches: by name, [batch, length, ...]; and `history` and `step`, [batch]."""
        worker = get_worker_info()
        rng = np.random.default_rng([self.seed, 0 if worker is None else worker.id])
        given = 0
        while self.batches is None or given < self.batches:
            drawn = self.histories.sample(self.batch, self.length, rng, self.columns)
            yield {name: torch.from_numpy(array) for name, array in drawn.items()}
            given += 1
