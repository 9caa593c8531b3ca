"""References: what zero and one mean on each task."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from metarl_envs.engine.family import Returns, Variant, oracle_error
from metarl_envs.engine.player import Player, references_of
from metarl_envs.engine.truth.solving import exact_returns
from metarl_envs.histories import lifetime_returns
from metarl_envs.learners import random_policy
from metarl_envs.task_sets import TaskSet

#: What the oracle earns more than random, at least, on tasks that are scored.
LEAST_SPREAD = 1e-3
#: Tasks that are looked at, for each one wanted, before a set is said to hold too few that can be told from chance.
_LOOKED_AT = 50
#: Lives of each reference in which it is looked at whether the oracle's lead lasts.
_LIVES = 500
#: The oracle's lead runs out where in a block it is less than this share of its mean (by four standard errors).
_LASTS = 0.5


@dataclass(frozen=True)
class Scale:
    """Expected returns on each task.

    Attributes:
        random, oracle: of one episode, float64 [task].
        random_until, oracle_until: up to the end of each block of the episode, float64 [task, block]; None unless the family is
            scored in blocks and the oracle's lead over random runs out.
    """

    random: np.ndarray
    oracle: np.ndarray
    random_until: np.ndarray | None = None
    oracle_until: np.ndarray | None = None


def scaled_tasks(tasks: TaskSet, count: int, least_spread: float, block: int = 0) -> tuple[np.ndarray, Scale, int]:
    """Return the first `count` tasks on which the oracle earns at least `least_spread` more than random, and their scale.

    A finite set with fewer gives all it has. The third value says how many tasks were passed over.

    Args:
        tasks: the set.
        count: how many tasks are wanted.
        least_spread: see above.
        block: steps in a block of the learning curve; 0 where its points are episodes.

    Raises:
        ValueError: no task has that spread; a family that is scored in blocks has no reference "oracle".
    """
    available = len(tasks) if tasks.is_finite else count * _LOOKED_AT
    if block and lead_lasts(tasks.variant, tasks.rows(min(count, available)), block):
        block = 0
    kept, scales, looked_at = np.zeros(0, tasks.dtype), list[list[np.ndarray]](), 0
    while looked_at < available and len(kept) < count:
        batch = tasks[looked_at : min(looked_at + count - len(kept), available)]
        batch = batch.rows(len(batch))
        looked_at += len(batch)
        scale = scale_of(tasks.variant, batch, block)
        wide = scale.oracle - scale.random >= least_spread
        kept = np.append(kept, batch[wide])
        scales.append([part[wide] for part in vars(scale).values() if part is not None])
    if not len(kept):
        raise ValueError(f"none of {looked_at} tasks of {tasks!r} has an oracle that earns {least_spread:g} more than random")
    return kept.astype(tasks.dtype), Scale(*map(np.concatenate, zip(*scales, strict=True))), looked_at - len(kept)


def scale_of(variant: Variant, tasks: np.ndarray, block: int = 0) -> Scale:
    """Return exact returns where the family has a formula, else the means of many simulated episodes.

    Args:
        variant: the family with its parameters set.
        tasks: the task rows.
        block: where it is not 0, simulate returns up to the end of each block of so many steps as well.

    Raises:
        ValueError: the oracle has neither a formula nor a reference to be simulated.
    """
    exact = np.array([exact_returns(variant, task) or (np.nan, np.nan) for task in tasks]).reshape(-1, 2)
    random, oracle = exact.T
    if problem := oracle_error(variant, Returns(random.sum(), oracle.sum())):
        raise ValueError(problem)
    if block:
        return Scale(*_until(variant, tasks, block, exact))
    if np.isnan(random).any():
        random = _simulated(variant, tasks, random_policy(variant))
    if np.isnan(oracle).any():
        oracle = _simulated(variant, tasks, references_of(variant)["oracle"])
    return Scale(random, oracle)


class TrialScale(NamedTuple):
    """What a trial on one task is expected to pay with random play, and with the oracle, who knows the task (or NaN)."""

    random: float
    oracle: float

    def score(self, earned: float) -> float:
        """Return where a trial that paid `earned` lies: 0 is random play, 1 the oracle; NaN where that is no more."""
        return (earned - self.random) / (self.oracle - self.random) if self.oracle - self.random > 1e-9 else float("nan")


def trial_scale(variant: Variant, task: np.ndarray, episodes: int) -> TrialScale:
    """Return what random play and the oracle are expected to earn in a trial of `episodes` on one task, a row of shape ().

    It is the scale of `evaluate`, summed over episodes: so a person, a model in words and an agent are scored alike.
    """
    try:
        scale = scale_of(variant, task.reshape(1))
    except ValueError:  # nothing is known of the most that can be earned
        return TrialScale(episodes * float(_simulated(variant, task.reshape(1), random_policy(variant))[0]), float("nan"))
    return TrialScale(episodes * float(scale.random[0]), episodes * float(scale.oracle[0]))


def memoryless_returns(variant: Variant, tasks: np.ndarray) -> np.ndarray | None:
    """Return what the best policy without memory is expected to earn on each task, float64 [task]; None if not known."""
    values = [variant.memoryless_best(task) for task in tasks]
    return None if None in values else np.array(values, float)


def memoryless_score(memoryless: np.ndarray | None, scale: Scale) -> float | None:
    """Return the mean score of the best policy without memory, from its return on each task; None if not known."""
    return None if memoryless is None else float(((memoryless - scale.random) / (scale.oracle - scale.random)).mean())


def lead_lasts(variant: Variant, tasks: np.ndarray, block: int) -> bool:
    """Return whether the oracle leads random in every block of an episode, by at least half of what it leads by in the mean.

    So it is in bandits, where each pull offers the same. It is not where reward runs out: whoever has made all that there is
    to be made earns nothing more, and no block can be scored by what the oracle earns in it.

    Raises:
        ValueError: the family has no reference "oracle" that could be simulated.
    """
    if "oracle" not in variant.family.references:
        raise ValueError(
            f"{variant.name} has no reference 'oracle', which must be simulated to score blocks of steps: "
            "write references = {'oracle': YourOracle()}"
        )
    lived = np.resize(tasks, max(len(tasks), _LIVES))
    random, oracle = (
        lifetime_returns(lived, variant, policy, np.arange(len(lived)), episodes=1, block=block)
        for policy in (random_policy(variant), references_of(variant)["oracle"])
    )
    lead = oracle.mean(axis=0) - random.mean(axis=0)
    error = np.sqrt((oracle.var(axis=0) + random.var(axis=0)) / len(lived))
    return bool((lead + 4 * error >= _LASTS * lead.mean()).all())


def _simulated(variant: Variant, tasks: np.ndarray, policy: Player) -> np.ndarray:
    return lifetime_returns(tasks, variant, policy, np.arange(len(tasks)), episodes=variant.family.reference_episodes).mean(
        axis=1
    )


def _until(variant: Variant, tasks: np.ndarray, block: int, exact: np.ndarray) -> tuple[np.ndarray, ...]:
    """What random and oracle earn in an episode, and up to the end of each block; the whole is exact where it is known."""
    episodes, until = variant.family.reference_episodes, []
    for policy, whole in zip((random_policy(variant), references_of(variant)["oracle"]), exact.T, strict=True):
        paid = lifetime_returns(tasks, variant, policy, np.arange(len(tasks)), episodes=episodes, block=block) / episodes
        earned = paid.cumsum(axis=1)
        earned[:, -1] = np.where(np.isnan(whole), earned[:, -1], whole)
        until.append(earned)
    return until[0][:, -1], until[1][:, -1], *until
