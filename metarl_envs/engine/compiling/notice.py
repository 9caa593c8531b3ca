"""A word on stderr when compiling takes long, so that a first call does not look as if it hung."""

from __future__ import annotations

import multiprocessing
import sys
import threading
import time
from pathlib import Path

#: Seconds of compiling in a process, all drivers together, after which it says so, once.
_PATIENCE = 2.0


class CompileNotice:
    """A stopwatch over all compiling in a process, which says once what takes so long.

    `begin` and `end` stand around the compiling of one driver. Of many worker processes, none says anything.
    """

    def __init__(self) -> None:
        self._spent, self._said = 0.0, False
        self._began: float | None = None
        self._timer: threading.Timer | None = None

    def begin(self, what: str, folder: Path) -> None:
        """Say what is compiled, and where it is kept, when the patience is at an end."""
        if self._said or self._timer is not None or multiprocessing.parent_process() is not None:
            return
        self._began = time.perf_counter()
        self._timer = threading.Timer(max(0.0, _PATIENCE - self._spent), self._say, (what, folder))
        self._timer.daemon = True
        self._timer.start()

    def end(self) -> None:
        """Stop the watch, if it runs."""
        if self._timer is not None and self._began is not None:
            self._timer.cancel()
            self._spent += time.perf_counter() - self._began
            self._timer = None

    def _say(self, what: str, folder: Path) -> None:
        self._said = True
        print(
            f"metarl_envs: compiling {what} (once for each family, learner and size; kept in {folder})",
            file=sys.stderr,
            flush=True,
        )


#: The one of this process.
notice = CompileNotice()
