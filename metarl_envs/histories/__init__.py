"""Learning histories: the whole ordered record of a learner's lives, collected, kept on disk, and drawn from."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from metarl_envs.histories.collect import collect
from metarl_envs.histories.history import History
from metarl_envs.histories.lives import lifetime_returns
from metarl_envs.histories.saving import save
from metarl_envs.histories.store import Histories, StoreError, concatenate, load

if TYPE_CHECKING:
    from metarl_envs.histories.exchange import export, import_from
    from metarl_envs.histories.on_ray import RayExecutor
    from metarl_envs.histories.record import RecordHistory
    from metarl_envs.histories.torch_windows import TorchWindows

#: Public names that are imported when they are first used: some need what is not always installed.
_LAZY = {
    "RayExecutor": "metarl_envs.histories.on_ray",
    "RecordHistory": "metarl_envs.histories.record",
    "TorchWindows": "metarl_envs.histories.torch_windows",
    "export": "metarl_envs.histories.exchange",
    "import_from": "metarl_envs.histories.exchange",
}

__all__ = [
    "Histories",
    "History",
    "RayExecutor",
    "RecordHistory",
    "StoreError",
    "TorchWindows",
    "collect",
    "concatenate",
    "export",
    "import_from",
    "lifetime_returns",
    "load",
    "save",
]


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        return getattr(importlib.import_module(_LAZY[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
