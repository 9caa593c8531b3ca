"""The protocol: every policy lives the same lifetimes on the same tasks."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from metarl_envs.arguments import Progress, as_seed, at_least_one, tell_nobody
from metarl_envs.engine.composing import family_at
from metarl_envs.engine.family import Variant
from metarl_envs.engine.player import Player
from metarl_envs.evaluation.references import LEAST_SPREAD, memoryless_returns, scaled_tasks
from metarl_envs.evaluation.result import Result
from metarl_envs.evaluation.result_files import life_seeds
from metarl_envs.ids import family_of, id_of
from metarl_envs.players.factories import Made, in_a_run
from metarl_envs.players.lifetimes import live
from metarl_envs.players.resolve import Anyone, described, players_by_name
from metarl_envs.players.run import Run, joined
from metarl_envs.players.runner import keeping, keeping_rows
from metarl_envs.task_sets import DEFAULT_SPLIT, TaskSet, tasks_of


def evaluate(
    id: str,
    policies: Mapping[str, Anyone | str] | Iterable[Anyone | str] | Anyone | str | None = None,
    *,
    split: str | None = DEFAULT_SPLIT,
    tasks: int | TaskSet = 100,
    episodes: int | None = None,
    seeds: int | Iterable[int] = 5,
    lifetimes: int = 1,
    least_spread: float = LEAST_SPREAD,
    progress: Progress = tell_nobody,
    **params: Any,
) -> Result:
    """Score policies on held-out tasks: `Score[seed, task, lifetime, unit]`, normalised between random and oracle.

    All policies meet the same tasks, with the same noise (common random numbers). A policy's memory is empty at the start of
    each lifetime and lasts until its end. A unit is an episode, or in families of one long episode a block of steps. Blocks are
    scored one by one, by what random and oracle earn in a block, where the oracle's lead lasts (as in bandits). Where it runs
    out (as in an InventionBox, whose things pay once), the score of a block is that of the episode up to its end, and there is
    no first, last and gain: see `Result.is_cumulative`.

    Args:
        id: a registered id (see `metarl_envs.tasks`).
        policies: by name, a learner (`metarl_envs.learners`), a reference of the family, or a factory of players (see
            `metarl_envs.players`), which may see the environment `Wrapped` wrappers; or a list of them, or one alone,
            where a learner is called as the command line calls it and a factory by its own name; or names out of those that
            suit the family; None for all that fit it.
        split: of the tasks. By default the test tasks, or all tasks of a family that has too few to be split (`result.split`
            says which it was). None or "all": all tasks.
        tasks: how many, the first ones of the split (a finite one with fewer gives all it has); or a finite set, with its own
            split and parameters.
        episodes: in a lifetime (default 100; 1 where an episode is a run of blocks).
        seeds: how many (0, 1, ...), or which, each once.
        lifetimes: on each task.
        least_spread: tasks on which the oracle earns less than this above random are passed over, and counted; above 0.
        progress: called with a policy's name, the lives that it has lived by now, and its lives in all.
        params: the family's parameters.

    Raises:
        ValueError: no such id, split or policy; a policy that cannot live in the family, or two of one name; a number below 1;
            a seed that is repeated; a family whose blocks do not divide its horizon.
        TypeError: a number that is no integer; a policy that is none, or whose name is no string.
        PlayerError: a policy that is not compiled failed. Its `run` holds what this policy did until then, ordered as it was
            lived ([seed, lifetime, task]), and its `runs` what those before it did. So does a KeyboardInterrupt.
    """
    given = tasks if isinstance(tasks, TaskSet) else None
    count = at_least_one("tasks", tasks if given is None else len(given))
    task_set = tasks_of(family_at(family_of(id)), "test", split, given, params)
    variant = task_set.variant
    block = _block(variant)
    episodes, seed_list = _episodes(variant, episodes, block), different_seeds(seeds)
    lifetimes = at_least_one("lifetimes", lifetimes)
    if not 0 < least_spread < math.inf:
        raise ValueError(
            f"least_spread={least_spread!r} must be a finite number above 0, since scores are divided by the spread"
        )
    chosen = players_by_name(policies, variant)
    rows, scale, passed_over = scaled_tasks(task_set, count, least_spread, block)
    lives = _Lives(variant, task_set.split, rows, seed_list, lifetimes, episodes, block)
    runs: dict[str, Run] = {}
    earned: dict[str, np.ndarray] = {}
    with keeping(runs), in_a_run(chosen.values()):
        for name, policy in chosen.items():
            runs[name], earned[name] = lives.of(name, policy, progress)
    return Result(
        id=id_of(id),
        params=variant.values,
        split=task_set.split,
        fingerprint=task_set.fingerprint,
        seeds=seed_list,
        unit=variant.family.curve_unit,
        unit_steps=block or variant.horizon,
        scale=scale,
        passed_over=passed_over,
        memoryless=memoryless_returns(variant, rows),
        share=block / variant.horizon if block else 1.0,
        policies={name: described(policy) for name, policy in chosen.items()},
        raw=earned,
        runs=runs,
    )


def unlike(
    said: Mapping[str, Any],
    id: str,
    policies: Any,
    tasks: TaskSet,
    *,
    count: int,
    episodes: int | None,
    seeds: int,
    lifetimes: int,
) -> list[str]:
    """Return the settings, by name, in which an evaluation would differ from one that was saved.

    Args:
        said: what the saved one's `result.json` says (see `result_files.read_result`).
        id: as in `evaluate`.
        policies: as in `evaluate`.
        tasks: the set of which it takes the first `count`.
        count: how many.
        episodes: as in `evaluate`.
        seeds: how many.
        lifetimes: as in `evaluate`.
    """
    variant = tasks.variant
    block, episodes = _block(variant), _episodes(variant, episodes, _block(variant))
    every_task = tasks.is_finite and len(tasks) == said["tasks"] + said["tasks_passed_over"] <= count
    alike = {
        "id": said["id"] == id_of(id),
        "params": said["params"] == variant.values,
        "split": said["split"] == tasks.split,
        "tasks": said["tasks"] == count or every_task,
        "episodes": said["score"]["units"] == (variant.horizon // block if block else episodes),
        "seeds": said["seeds"] == list(range(seeds)),
        "lifetimes": said["lifetimes"] == lifetimes,
        "policies": set(said["policies"]) == set(players_by_name(policies, variant)),
    }
    return [name for name, same in alike.items() if not same]


class _Lives:
    """All lives of one evaluation, the same for every policy."""

    def __init__(
        self,
        variant: Variant,
        split: str | None,
        tasks: np.ndarray,
        seeds: list[int],
        lifetimes: int,
        episodes: int,
        block: int,
    ):
        self.variant, self.split, self.tasks, self.seeds = variant, split, tasks, seeds
        self.lifetimes, self.episodes, self.block = lifetimes, episodes, block
        self.made = Made()
        self.shape = len(seeds), len(tasks), lifetimes
        self.streams = life_seeds(seeds, len(tasks), lifetimes)

    def of(self, name: str, policy: Anyone, progress: Progress) -> tuple[Run, np.ndarray]:
        """What a policy did, one row a life ordered as [seed, task, lifetime]; and what it earned, with an axis for each."""
        total, done = int(np.prod(self.shape)), 0
        progress(name, 0, total)

        def lived(more: int) -> None:
            nonlocal done
            done += more
            progress(name, done, total)

        how = {"episodes": self.episodes, "block": self.block, "split": self.split, "made": self.made, "progress": lived}
        if isinstance(policy, Player):
            tasks = np.broadcast_to(self.tasks[None, :, None], self.shape).reshape(-1)
            run, earned = live(policy, self.variant, tasks, self.streams.reshape(-1), **how)
            return run, earned.reshape(*self.shape, -1)
        seeds = itertools.product(enumerate(self.seeds), range(self.lifetimes))
        runs: list[Run] = []
        scores: list[np.ndarray] = []
        with keeping_rows(runs):
            for (i, seed), k in seeds:
                streams = self.streams[i, :, k]
                run, earned = live(policy, self.variant, self.tasks, streams, seed=seed * self.lifetimes + k, **how)
                runs.append(run)
                scores.append(earned)
        run, earned = joined(runs), np.concatenate(scores)
        order = np.arange(total).reshape(len(self.seeds), self.lifetimes, -1).swapaxes(1, 2).reshape(-1)
        return run[order], earned[order].reshape(*self.shape, -1)


def _block(variant: Variant) -> int:
    """Return the steps in a block of the learning curve, 0 where its points are episodes."""
    family, block = variant.family, variant.family.curve_unit_length(variant.p)
    if (family.curve_unit == "episode") != (block == 0) or (block and (block < 0 or variant.horizon % block)):
        raise ValueError(
            f"{variant} has curve_unit={family.curve_unit!r} and curve_unit_length={block!r}: the points of a learning curve "
            "are episodes (curve_unit 'episode', curve_unit_length 0), or blocks of so many steps that "
            f"horizon={variant.horizon} is a multiple of it"
        )
    return block


def _episodes(variant: Variant, episodes: int | None, block: int) -> int:
    if episodes is None:
        return 1 if block else 100
    if at_least_one("episodes", episodes) > 1 and block:
        raise ValueError(f"episodes={episodes}: a lifetime in {variant.name} is one episode, scored in blocks of {block} steps")
    return at_least_one("episodes", episodes)


def different_seeds(seeds: int | Iterable[int]) -> list[int]:
    """Return the seeds as a list; ValueError where one is repeated, since equal seeds live equal lives."""
    if not isinstance(seeds, Iterable):
        return list(range(at_least_one("seeds", seeds)))
    found = [as_seed(seed, f"seeds[{i}]") for i, seed in enumerate(seeds)]
    if not found:
        raise ValueError("seeds is empty: give how many, or which")
    if repeated := sorted({seed for seed in found if found.count(seed) > 1}):
        raise ValueError(f"seeds={found} repeats {repeated[0]}: equal seeds live equal lives, and count once")
    return found
