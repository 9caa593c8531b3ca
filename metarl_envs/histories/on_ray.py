"""A Ray cluster as an executor: `collect(..., out=folder, executor=RayExecutor())`. It needs `metarl-envs[ray]`."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Executor, Future
from typing import Any


class RayExecutor(Executor):
    """Every call is a task of the Ray cluster. The folder that is written to must be the same on all its machines.

    Args:
        options: of `ray.remote`, such as `num_cpus=1`.
        init: of `ray.init`, where Ray does not run yet, such as `{"address": "auto"}`.

    Raises:
        ModuleNotFoundError: Ray is not installed.
    """

    def __init__(self, *, init: dict[str, Any] | None = None, **options: Any):
        try:
            import ray  # pyright: ignore[reportMissingImports]
        except ModuleNotFoundError:
            raise ModuleNotFoundError('RayExecutor needs Ray: pip install "metarl-envs[ray]"') from None
        self._ray, self._mine = ray, not ray.is_initialized()
        if self._mine:
            ray.init(**(init or {}))
        self._call = ray.remote(**(options or {"num_cpus": 1}))(_call)
        self._running: dict[Future, Any] = {}

    def submit(self, fn: Callable, /, *args: Any, **kwargs: Any) -> Future:
        """Send a call to the cluster."""
        reference = self._call.remote(fn, args, kwargs)
        future: Future = reference.future()
        self._running[future] = reference
        future.add_done_callback(lambda done: self._running.pop(done, None))
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Let the cluster go, if it was started here."""
        for future, reference in list(self._running.items()):
            if cancel_futures:
                self._ray.cancel(reference)
            elif wait:
                future.exception()
        if self._mine:
            self._ray.shutdown()


def _call(fn: Callable, args: tuple, kwargs: dict[str, Any]) -> Any:
    return fn(*args, **kwargs)
