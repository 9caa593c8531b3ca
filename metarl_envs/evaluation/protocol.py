"""The protocol: every policy lives the same lifetimes on the same tasks."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np

from metarl_envs.arguments import as_seed, at_least_one
from metarl_envs.engine.composing import family_at
from metarl_envs.engine.family import Variant
from metarl_envs.engine.learner import Learner
from metarl_envs.engine.streams import EVALUATION, keyed
from metarl_envs.evaluation.agents import AgentFactory, Through, live, name_of
from metarl_envs.evaluation.references import memoryless_returns, scaled_tasks, suitable_policies
from metarl_envs.evaluation.result import Result
from metarl_envs.histories import scores
from metarl_envs.ids import family_of, id_of
from metarl_envs.learners import LEARNERS
from metarl_envs.task_sets import TaskSet

Policy = Learner | AgentFactory
#: Called with a policy's name, the lives it has lived since the last call, and its lives in all.
Progress = Callable[[str, int, int], None]


def evaluate(
    policies: Mapping[str, Policy | str] | Iterable[Policy | str] | Policy | str | None,
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
    each lifetime and lasts until its end. A unit is an episode, or in families of one long episode a block of steps. Blocks are
    scored one by one, by what random and oracle earn in a block, where the oracle's lead lasts (as in bandits). Where it runs
    out (as in an InventionBox, whose things pay once), the score of a block is that of the episode up to its end, and there is
    no first, last and gain: see `Result.is_cumulative`.

    Args:
        policies: by name, a learner (`metarl_envs.learners`), a reference of the family, or a factory of Python agents (see
            `metarl_envs.evaluation.agents`), which may see the environment `Through` wrappers; or a list of them, or one alone,
            where a learner is called as the command line calls it and a factory by its own name; or names out of those that
            suit the family; None for all that fit it.
        id: a registered id.
        split: of the tasks.
        tasks: how many; a finite split with fewer gives all it has.
        episodes: in a lifetime (default 100; 1 where an episode is a run of blocks).
        seeds: how many (0, 1, ...), or which, each once.
        lifetimes: on each task.
        least_spread: tasks on which the oracle earns less than this above random are passed over, and counted; above 0.
        progress: called as lives are lived.
        params: the family's parameters.

    Raises:
        ValueError: no such id, split or policy; a policy that cannot live in the family, or two of one name; a number below 1;
            a seed that is repeated; a family whose blocks do not divide its horizon.
        TypeError: a number that is no integer; a policy that is none, or whose name is no string.
    """
    task_set = TaskSet.of_family(family_at(family_of(id)), split=split, **params)
    variant = task_set.variant
    block = _block(variant)
    episodes, seed_list = _episodes(variant, episodes, block), _different_seeds(seeds)
    tasks, lifetimes = at_least_one("tasks", tasks), at_least_one("lifetimes", lifetimes)
    if not 0 < least_spread < math.inf:
        raise ValueError(
            f"least_spread={least_spread!r} must be a finite number above 0, since scores are divided by the spread"
        )
    chosen = chosen_policies(policies, variant)
    rows, scale, passed_over = scaled_tasks(task_set, tasks, least_spread, block)
    lives = _Lives(variant, rows, seed_list, lifetimes, episodes, block)
    return Result(
        id=id_of(id),
        params=variant.values,
        split=task_set.split,
        fingerprint=task_set.fingerprint,
        seeds=seed_list,
        unit=variant.family.unit,
        unit_steps=block or variant.horizon,
        scale=scale,
        passed_over=passed_over,
        memoryless=memoryless_returns(variant, rows),
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
        keys = itertools.product(map(np.uint64, seeds), range(len(tasks)), range(lifetimes))
        self.streams = np.array([keyed(seed, EVALUATION, *which) for seed, *which in keys], np.uint64).reshape(self.shape)

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


def _block(variant: Variant) -> int:
    """Return the steps in a block of the learning curve, 0 where its points are episodes."""
    family, block = variant.family, variant.family.unit_length(variant.p)
    if (family.unit == "episode") != (block == 0) or (block and (block < 0 or variant.horizon % block)):
        raise ValueError(
            f"{variant} has unit={family.unit!r} and unit_length={block!r}: the points of a learning curve are episodes "
            f"(unit 'episode', unit_length 0), or blocks of so many steps that horizon={variant.horizon} is a multiple of it"
        )
    return block


def _episodes(variant: Variant, episodes: int | None, block: int) -> int:
    if episodes is None:
        return 1 if block else 100
    if at_least_one("episodes", episodes) > 1 and block:
        raise ValueError(f"episodes={episodes}: a lifetime in {variant.name} is one episode, scored in blocks of {block} steps")
    return at_least_one("episodes", episodes)


def _different_seeds(seeds: int | Iterable[int]) -> list[int]:
    """Return the seeds as a list; ValueError where one is repeated, since equal seeds live equal lives."""
    if not isinstance(seeds, Iterable):
        return list(range(at_least_one("seeds", seeds)))
    found = [as_seed(seed, f"seeds[{i}]") for i, seed in enumerate(seeds)]
    if not found:
        raise ValueError("seeds is empty: give how many, or which")
    if repeated := sorted({seed for seed in found if found.count(seed) > 1}):
        raise ValueError(f"seeds={found} repeats {repeated[0]}: equal seeds live equal lives, and count once")
    return found


def _by_name(policies: Any) -> dict[str, Policy | str]:
    """Return the policies that were given, by name; ValueError where there is none, or two of one name."""
    if isinstance(policies, str | Learner | Through) or callable(policies):
        policies = [policies]
    if not isinstance(policies, Iterable):
        raise TypeError(f"policies={policies!r} must be names, learners, factories of agents, or a mapping of names to them")
    given = list(policies.items()) if isinstance(policies, Mapping) else [(_called(policy), policy) for policy in policies]
    if not given:
        raise ValueError("policies is empty: give at least one, or None for all that suit the family")
    for i, (name, _) in enumerate(given):
        if not isinstance(name, str):
            raise TypeError(f"policies has the name {name!r}, which must be a string")
        if not name.isprintable() or name != name.strip() or not name:
            raise ValueError(f"policies has the name {name!r}, which must be one line, with no space at its ends")
        if name in dict(given[:i]):
            raise ValueError(f"policies has two that are called {name!r}: give a mapping, with a name of its own for each")
    return dict(given)


def _called(policy: Policy | str) -> str:
    """Return the name of a policy that was given without one."""
    if isinstance(policy, Learner):
        return next((name for name, known in LEARNERS.items() if known is type(policy)), type(policy).__name__)
    return policy if isinstance(policy, str) else name_of(policy)


def chosen_policies(policies: Any, variant: Variant) -> dict[str, Policy]:
    """The policies by name; ValueError for one that there is not, or that cannot live here."""
    suitable = suitable_policies(variant)
    if policies is None:
        return {name: policy for name, policy in suitable.items() if policy.fits(variant)}
    named = _by_name(policies)
    chosen: dict[str, Policy] = {}
    for name, policy in named.items():
        if isinstance(policy, str):
            if policy not in suitable:
                raise ValueError(f"policy {policy!r} does not suit {variant.name}; these do: {', '.join(suitable)}")
            policy = suitable[policy]
        if isinstance(policy, type) and issubclass(policy, Learner):
            raise TypeError(f"policy {name!r} is the class {policy.__name__}: write {policy.__name__}()")
        if isinstance(policy, Learner) and (problem := policy.objection(variant)):
            raise ValueError(f"policy {name!r}: {problem}")
        if not callable(policy) and not isinstance(policy, Learner):
            raise TypeError(f"policy {name!r} is {policy!r}: give a learner, a factory of agents, or a name")
        chosen[name] = policy
    return chosen


def _describe(policy: Policy) -> str:
    return repr(policy) if isinstance(policy, Learner | Through) else name_of(policy)
