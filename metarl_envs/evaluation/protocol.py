"""The protocol: every policy lives the same lifetimes on the same tasks."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np

from metarl_envs.engine.arguments import at_least_one
from metarl_envs.engine.family import Variant, load_family
from metarl_envs.engine.learner import Learner
from metarl_envs.evaluation.agents import AgentFactory, Through, live, name_of
from metarl_envs.evaluation.references import scaled_tasks, suitable_policies
from metarl_envs.evaluation.result import Result
from metarl_envs.histories import scores
from metarl_envs.registration import family_of
from metarl_envs.task_sets import TaskSet

Policy = Learner | AgentFactory
#: Called with a policy's name, the lives it has lived since the last call, and its lives in all.
Progress = Callable[[str, int, int], None]


def evaluate(
    policies: Mapping[str, Policy] | Iterable[str] | None,
    id: str,
    *,
    split: str | None = "test",
    tasks: int = 100,
    episodes: int | None = None,
    seeds: int | Iterable[int] = 5,
    lifetimes: int = 1,
    least_spread: float = 1e-3,
    progress: Progress = lambda name, done, total: None,
    **params: Any,
) -> Result:
    """Score policies on held-out tasks: `Score[seed, task, lifetime, unit]`, normalised between random and oracle.

    All policies meet the same tasks, with the same noise (common random numbers). A policy's memory is empty at the start of
    each lifetime and lasts until its end. A unit is an episode, or a block of steps where the family says so.

    Args:
        policies: by name, a learner (`metarl_envs.learners`), a reference of the family, or a factory of Python agents (see
            `metarl_envs.evaluation.agents`), which may see the environment `Through` wrappers; or names out of those that suit
            the family; None for all that fit it.
        id: a registered id.
        split: of the tasks.
        tasks: how many; a finite split with fewer gives all it has.
        episodes: in a lifetime (default 100; 1 where an episode is a run of blocks).
        seeds: how many (0, 1, ...), or which.
        lifetimes: on each task.
        least_spread: tasks on which the oracle earns less than this above random are passed over, and counted.
        progress: called as lives are lived.
        params: the family's parameters.

    Raises:
        ValueError: no such id, split or policy; a policy that cannot live in the family; a number below 1.
    """
    task_set = TaskSet.of_family(load_family(family_of(id)), split=split, **params)
    variant = task_set.variant
    block = variant.family.unit_length(variant.p)
    episodes = _episodes(variant, episodes, block)
    seed_list = list(range(at_least_one("seeds", seeds))) if not isinstance(seeds, Iterable) else [int(s) for s in seeds]
    chosen = _chosen(policies, variant)
    rows, scale, passed_over = scaled_tasks(task_set, at_least_one("tasks", tasks), least_spread)
    lives = _Lives(variant, rows, seed_list, at_least_one("lifetimes", lifetimes), episodes, block)
    return Result(
        id=id.removeprefix("metarl_envs:"),
        params=variant.values,
        split=split,
        fingerprint=task_set.fingerprint,
        seeds=seed_list,
        unit=variant.family.unit,
        unit_steps=block or variant.horizon,
        scale=scale,
        passed_over=passed_over,
        memoryless=variant.family.memoryless_best(variant.p),
        share=block / variant.horizon if block else 1.0,
        policies={name: _describe(policy) for name, policy in chosen.items()},
        raw={name: lives.of(name, policy, progress) for name, policy in chosen.items()},
    )


class _Lives:
    """All lives of one evaluation, the same for every policy."""

    def __init__(self, variant: Variant, tasks: np.ndarray, seeds: list[int], lifetimes: int, episodes: int, block: int):
        self.variant, self.tasks, self.seeds = variant, tasks, seeds
        self.lifetimes, self.episodes, self.block = lifetimes, episodes, block
        self.shape = len(seeds), len(tasks), lifetimes
        seed, task, lifetime = np.meshgrid(seeds, np.arange(len(tasks)), np.arange(lifetimes), indexing="ij")
        self.streams = (seed.astype(np.uint64) << np.uint64(40)) + (task << 16).astype(np.uint64) + lifetime.astype(np.uint64)

    def of(self, name: str, policy: Policy, progress: Progress) -> np.ndarray:
        """What a policy earns, [seed, task, lifetime, unit]."""
        total = int(np.prod(self.shape))
        progress(name, 0, total)

        def lived(done: int) -> None:
            progress(name, done, total)

        if isinstance(policy, Learner):
            tasks = np.broadcast_to(self.tasks[None, :, None], self.shape).reshape(-1)
            flat = scores(
                tasks,
                self.variant,
                policy,
                self.streams.reshape(-1),
                episodes=self.episodes,
                block=self.block,
                progress=lived,
            )
            return flat.reshape(*self.shape, -1)
        out = [
            [
                live(
                    policy,
                    self.variant,
                    self.tasks,
                    self.streams[i, :, lifetime],
                    seed * self.lifetimes + lifetime,
                    episodes=self.episodes,
                    block=self.block,
                    progress=lived,
                )
                for lifetime in range(self.lifetimes)
            ]
            for i, seed in enumerate(self.seeds)
        ]
        return np.moveaxis(np.array(out), 1, 2)


def _episodes(variant: Variant, episodes: int | None, block: int) -> int:
    if episodes is None:
        return 1 if block else 100
    if block and episodes != 1:
        raise ValueError(f"episodes={episodes}: a lifetime in {variant.name} is one episode, scored in blocks of {block} steps")
    return at_least_one("episodes", episodes)


def _chosen(policies: Mapping[str, Policy] | Iterable[str] | None, variant: Variant) -> dict[str, Policy]:
    """The policies by name; ValueError for one that there is not, or that cannot live here."""
    suitable = suitable_policies(variant)
    if policies is None:
        return {name: policy for name, policy in suitable.items() if policy.fits(variant)}
    if isinstance(policies, str):
        policies = [policies]
    named = dict(policies) if isinstance(policies, Mapping) else {name: name for name in policies}
    if not named:
        raise ValueError("policies is empty: give at least one, or None for all that suit the family")
    chosen: dict[str, Policy] = {}
    for name, policy in named.items():
        if isinstance(policy, str):
            if policy not in suitable:
                raise ValueError(f"policy {policy!r} does not suit {variant.name}; these do: {', '.join(suitable)}")
            policy = suitable[policy]
        if isinstance(policy, Learner) and (problem := policy.objection(variant)):
            raise ValueError(f"policy {name!r}: {problem}")
        if not callable(policy) and not isinstance(policy, Learner):
            raise ValueError(f"policy {name!r} is {policy!r}: give a learner, a factory of agents, or a name")
        chosen[name] = policy
    return chosen


def _describe(policy: Policy) -> str:
    return repr(policy) if isinstance(policy, Learner | Through) else name_of(policy)
