"""Collecting learning histories: into memory, or into a folder, by any number of workers, killed and resumed at will."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Sequence
from concurrent.futures import Executor
from pathlib import Path
from typing import Any

from metarl_envs.arguments import Progress, at_least_one, tell_nobody
from metarl_envs.engine.player import Player
from metarl_envs.histories.plan import Plan
from metarl_envs.histories.store import Histories
from metarl_envs.task_sets import DEFAULT_SPLIT, TaskSet


def collect(
    id: str,
    learner: Player | str,
    *,
    histories: int = 1000,
    steps: int = 1000,
    out: str | os.PathLike | None = None,
    split: str | None = DEFAULT_SPLIT,
    seed: int = 0,
    tasks: int | TaskSet | None = None,
    internals: Sequence[str] = (),
    labels: Sequence[str] = (),
    workers: int | None = None,
    executor: Executor | None = None,
    shard: tuple[int, int] = (0, 1),
    resume: bool = False,
    progress: Progress = tell_nobody,
    **params: Any,
) -> Histories:
    """Whole learning histories: each is one learner's life on one task, for `steps` steps, from ignorance on.

    History i depends on (seed, i) alone, so its bytes are the same for any number of workers, and whether or not the collection
    was interrupted. Nothing is left out for having ended badly. `histories.seeds[i]` is what a single environment of the same
    split is reset with to meet the same task and the same luck.

    Columns of n steps, all exact: `observation` [n, ...] and `action` [n, ...] (Discrete ones as the smallest integers that
    hold them), `reward` [n] (float32 where every reward is 0 or 1, else float64), `terminated` and `truncated` bool [n], each
    internal as float32 [n] or [n, size], each label; and beside them where each episode ended and what was seen then.

    Args:
        id: a registered id.
        learner: such as `metarl_envs.learners.QLearning(step_size=0.5)`, or a name, such as `"q_learning"` or `"oracle"`.
        histories: how many.
        steps: in each.
        out: a folder to write them to; None keeps them in memory.
        split: of the tasks; each history draws its own. By default the train tasks, or all tasks of a family that has too few
            to be split (the manifest says which it was). None or "all": all tasks.
        seed: of all: an integer from 0 to 2**64 - 1.
        tasks: how many, the first ones of the split; or a finite set, with its own split and parameters. History i is lived on
            task i, and from the first again. None: each history draws its own out of all.
        internals: the learner's internals to record at each step (see `internals` of the learner's class).
        labels: `"optimal_action"`: what the family's oracle would do here and now. `"q_star"`: the exact value of each
            action, float64 [n, actions]. `"regret"`: what this action gives away, float64 [n]. The last two where known.
        workers: threads, at least 1 (None: one a core; the compiled loops hold no lock).
        executor: who does the work instead, for histories that go to a folder: any `concurrent.futures.Executor`.
        shard: `(i, n)` does the i-th of n equal shares of the work, for n jobs that write to one folder.
        resume: go on with what is in `out` of the same collection. (Shares of one collection go on with each other's anyway.)
        progress: called with the learner's name, the number of histories done by now, and all there are.
        params: the family's parameters.

    Returns:
        The histories; of a share, those that are on disk so far.

    Raises:
        TypeError: `learner` is no compiled player, `internals` or `labels` is no list of names, or a number is no integer.
        ValueError: the learner cannot live in this family; an argument is out of range; `out` holds another collection.
        FileExistsError: `out` holds this collection already, or something else, and `resume` is not given.
        MemoryError, OSError: they do not fit into memory, or onto the disk.
    """
    workers = None if workers is None else at_least_one("workers", workers)
    what = {"histories": histories, "steps": steps, "split": split, "seed": seed, "tasks": tasks}
    plan = Plan.of(id, learner, **what, internals=internals, labels=labels, **params)
    if out is None:
        if executor is not None or tuple(shard) != (0, 1) or resume:
            raise ValueError("executor, shard and resume are for histories that are written to a folder: give out=...")
        return plan.in_memory(workers, progress)
    how = {"workers": workers, "executor": executor, "resume": resume, "progress": progress}
    return plan.to_disk(Path(out), share=share_of(shard), **how)


def share_of(shard: Sequence[Any]) -> tuple[int, int]:
    """Return the two numbers of a share of the work; ValueError where they are none."""
    with contextlib.suppress(TypeError, ValueError):
        i, n = (int(number) for number in shard)
        if 0 <= i < n:
            return i, n
    raise ValueError(f"shard={shard!r} must be (i, n), the i-th of n shares, with 0 <= i < n")
