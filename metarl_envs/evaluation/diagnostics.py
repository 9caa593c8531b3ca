"""How a player explores a bandit, beside what it earns: does it stop too early, does it ever stop, does it keep to a habit?

Mean return alone misleads: a greedy player that fails for good in half of its lives can earn more in the mean than one that
always finds the best arm, and late. Whoever compares players gives both.

`compare` lets policies live and tells how each of them explores; `of_histories` does so for learning histories. Below them are
functions over arrays, for records of whatever kind: actions and rewards as [life, step], the true means of arms as [life, arm].
A life is one player on one task, from ignorance on (of several episodes, if that is what was recorded).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from metarl_envs.arguments import as_integer, as_seed, at_least_one
from metarl_envs.engine.composing import family_at
from metarl_envs.engine.family import Variant
from metarl_envs.engine.records import Row
from metarl_envs.engine.streams import EVALUATION, keyed
from metarl_envs.engine.truth.solving import solve
from metarl_envs.histories import Histories
from metarl_envs.ids import family_of
from metarl_envs.players.lifetimes import live
from metarl_envs.players.resolve import players_by_name
from metarl_envs.players.run import Run
from metarl_envs.players.runner import keeping
from metarl_envs.task_sets import TaskSet


class Estimate(NamedTuple):
    """A mean over lives and its standard error (NaN of one life), if lives are independent: those of one model are not."""

    mean: float
    error: float

    @classmethod
    def of(cls, values: np.ndarray) -> Estimate:
        """Of one number a life."""
        values = np.asarray(values, np.float64)
        error = values.std(ddof=1) / np.sqrt(len(values)) if len(values) > 1 else np.nan
        return cls(float(values.mean()), float(error))

    def __str__(self) -> str:
        return "-" if np.isnan(self.mean) else f"{self.mean:.3f} ± {self.error:.3f}"


@dataclass(frozen=True, eq=False)
class Exploration:
    """How a player explored: one number a life, [life].

    Attributes:
        failed: whether it never pulled a best arm from step `since` on; their share is SuffFailFreq(since). bool.
        min_fraction: K times the share of pulls that its least pulled arm had (K MinFrac): 0 where an arm was never tried, 1
            where all were pulled alike.
        greedy: the share of pulls, from the second on, of an arm that had the best mean so far (GreedyFrac; see
            `greedy_pulls`). NaN in lives of one step.
        coverage: the share of arms that were ever pulled.
        optimal: the share of pulls of a best arm (OptFrac).
        reward: what its pulls pay in the mean, rescaled: 0 is the worst arm, 1 the best; NaN where all arms are alike.
        regret: what pulling a best arm all the time would have paid more in the mean, summed over steps.
        equals: how many choices it made between arms of equal value that it had not pulled equally often; see `frequency_bias`.
        frequent: in how many of them it took the most pulled, beyond how many it would have with ties broken at random.
        since: the step from which on a failure counts.
    """

    failed: np.ndarray
    min_fraction: np.ndarray
    greedy: np.ndarray
    coverage: np.ndarray
    optimal: np.ndarray
    reward: np.ndarray
    regret: np.ndarray
    equals: np.ndarray
    frequent: np.ndarray
    since: int

    @property
    def frequency_bias(self) -> Estimate:
        """How much likelier than by chance it took the most pulled of equal arms, over all such choices; NaN without any."""
        choices = self.equals.sum()
        if not choices:
            return Estimate(np.nan, np.nan)
        lives = int((self.equals > 0).sum())
        bias = self.frequent.sum() / choices
        spread = np.sqrt(((self.frequent - bias * self.equals) ** 2).sum())
        return Estimate(float(bias), float(spread / choices) if lives > 1 else np.nan)

    def summary(self) -> dict[str, Estimate]:
        """By name, the mean over lives of each number, and the frequency bias."""
        names = ("failed", "min_fraction", "greedy", "coverage", "optimal", "reward", "regret")
        found = {name: Estimate.of(getattr(self, name)) for name in names}
        return found | {"frequency_bias": self.frequency_bias}


def compare(
    policies: Any,
    id: str,
    *,
    lives: int = 1000,
    split: str | None = None,
    seed: int = 0,
    since: int | None = None,
    **params: Any,
) -> dict[str, Exploration]:
    """Return how policies explore: each lives one episode on each of the same tasks, with the same noise.

        >>> found = diagnostics.compare(["thompson", "ucb1"], "GapBandit", lives=1000, arms=10)
        >>> print(diagnostics.table(found))

    Args:
        policies: learners, references and factories of Python agents, as `metarl_envs.evaluate` takes them.
        id: a bandit.
        lives: of each policy. Each draws its own task.
        split: of the tasks; None for all.
        seed: of tasks and noise.
        since: the step from which on it is a failure not to pull a best arm; default: half of the episode.
        params: the family's parameters.

    Returns:
        By the name of the policy, how it explored.

    Raises:
        ValueError: no such id, split or policy; a policy that cannot live here; a family that is no bandit, or whose arms have
            no known means; a number out of range.
        TypeError: a number that is no integer; a policy that is none.
    """
    tasks = TaskSet.of_family(family_at(family_of(id)), split=split, **params)
    variant, lives, seed = tasks.variant, at_least_one("lives", lives), as_seed(seed)
    since = _since(since, variant.horizon)
    rows = tasks.sample(lives, seed)
    means_of_arms(variant, rows[:1])  # or an error, before anybody lives
    chosen = players_by_name(policies, variant)
    seeds = np.array([keyed(np.uint64(seed), EVALUATION, i, 0) for i in range(lives)], np.uint64)
    runs: dict[str, Run] = {}
    with keeping(runs):
        for name, policy in chosen.items():
            runs[name], _ = live(policy, variant, rows, seeds, episodes=1, seed=seed)
    return {name: of_run(run, since=since) for name, run in runs.items()}


def of_run(run: Run, *, since: int | None = None) -> Exploration:
    """Return how the player of a run explored, such as one of an evaluation: `of_run(result.run("mine"))`.

    Args:
        run: of a bandit, of lives of equal length.
        since: as in `compare`; default: half of the steps.

    Raises:
        ValueError: its family is no bandit, or has arms without known means.
    """
    return of_lives(run.actions, run.columns().columns["reward"], means_of_arms(run.variant, run.tasks), since)


def of_histories(histories: Histories, id: str, *, since: int | None = None, **params: Any) -> Exploration:
    """Return how the learner of some histories explored.

    Args:
        histories: of one bandit, of equal length.
        id: the bandit.
        since: as in `compare`; default: half of a history.
        params: the family's parameters, if they are not the defaults.

    Raises:
        ValueError: the histories are of another bandit or of other parameters, or do not say on what tasks they were lived
            (then give `of_lives` the means of arms); a family that is no bandit.
    """
    variant = family_at(family_of(id)).with_params(**params)
    lived = histories.about.get("params", variant.values)
    if histories.tasks.dtype != variant.task or lived != variant.values:
        raise ValueError(f"id={id!r}: these histories were lived in {histories.about.get('id')} with {lived}, not in {variant}")
    return of_lives(histories.actions, histories.rewards, means_of_arms(variant, histories.tasks), since)


def of_lives(actions: np.ndarray, rewards: np.ndarray, means: np.ndarray, since: int | None = None) -> Exploration:
    """Return how a player explored, from what it did and what was paid.

    Args:
        actions: int [life, step], arms from 0.
        rewards: [life, step].
        means: the true mean of each arm, [life, arm].
        since: the step from which on it is a failure not to pull a best arm; default: half of the steps.

    Raises:
        ValueError: shapes do not go together; an action is none of the arms; `since` is not before the end.
        TypeError: actions are no integers, or `since` is none.
    """
    actions, rewards, means = _checked(actions, rewards, means)
    lives, steps = actions.shape
    arms = means.shape[1]
    since = _since(since, steps)
    bias = frequency_bias(actions, rewards, arms)
    paid = np.take_along_axis(means, actions, axis=1)
    return Exploration(
        failed=suffix_failures(actions, means)[:, since],
        min_fraction=min_fraction(actions, arms),
        greedy=greedy_pulls(actions, rewards, arms)[:, 1:].mean(axis=1) if steps > 1 else np.full(lives, np.nan),
        coverage=coverage(actions, arms)[:, -1],
        optimal=optimal_pulls(actions, means).mean(axis=1),
        reward=rescaled(paid, means).mean(axis=1),
        regret=(means.max(axis=1, keepdims=True) - paid).sum(axis=1),
        equals=np.isfinite(bias).sum(axis=1),
        frequent=np.nansum(bias, axis=1),
        since=since,
    )


def table(found: Mapping[str, Exploration]) -> str:
    """Return a table in Markdown, a row a player: means over lives with their standard errors, and the median of the reward."""
    lines = [
        "| player | SuffFailFreq | K MinFrac | GreedyFrac | coverage | frequency bias | OptFrac | reward (median) | regret |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for name, explored in found.items():
        told = explored.summary()
        reward = f"{told['reward']} ({np.median(explored.reward):.2f})"
        columns = [told[name] for name in ("failed", "min_fraction", "greedy", "coverage", "frequency_bias", "optimal")]
        regret = f"{told['regret'].mean:.1f} ± {told['regret'].error:.1f}"
        lines.append(f"| {' | '.join(map(str, [name, *columns, reward, regret]))} |")
    return "\n".join(lines)


# ------------------------------------------------------------------------------------------------- over arrays
def suffix_failures(actions: np.ndarray, means: np.ndarray) -> np.ndarray:
    """Return whether a best arm is never pulled from each step on, bool [life, step].

    Its mean over lives is SuffFailFreq(t) of Krishnamurthy et al. 2024 (arXiv 2403.15371): the share of lives in which the best
    arm is never pulled in [t, T).
    """
    pulled = optimal_pulls(actions, means)[:, ::-1]
    return ~np.logical_or.accumulate(pulled, axis=1)[:, ::-1]


def min_fraction(actions: np.ndarray, arms: int) -> np.ndarray:
    """K min n / T, float64 [life]: how often the least pulled of K arms was pulled in T steps, against its share by chance.

    K MinFrac of Krishnamurthy et al. 2024: near 1 for who never stops to explore, 0 for who leaves an arm out.
    """
    pulls = np.stack([(actions == arm).sum(axis=1) for arm in range(arms)], axis=1)
    return arms * pulls.min(axis=1) / actions.shape[1]


def greedy_pulls(actions: np.ndarray, rewards: np.ndarray, arms: int) -> np.ndarray:
    """Return whether each pull is of an arm that has paid best in the mean so far, bool [life, step].

    GreedyFrac of Krishnamurthy et al. 2024 is its mean from the second step on. Arms that were never pulled have no mean and
    are not among the best; so the first pull of a life is not greedy, nor is any first pull of an arm. Each of equal arms is
    among the best.
    """
    lives = np.arange(len(actions))
    greedy = np.zeros(actions.shape, np.bool_)
    for t, _, means in _so_far(actions, rewards, arms):
        greedy[:, t] = means[lives, actions[:, t]] == means.max(axis=1)
    return greedy


def coverage(actions: np.ndarray, arms: int) -> np.ndarray:
    """Return the share of arms that have been pulled at least once, up to and with each step, float64 [life, step].

    Schmied et al. 2025 (arXiv 2504.16078): language models leave up to 55 % of arms untried.
    """
    tried = np.zeros(actions.shape)
    for arm in range(arms):
        tried += np.logical_or.accumulate(actions == arm, axis=1)
    return tried / arms


def frequency_bias(actions: np.ndarray, rewards: np.ndarray, arms: int) -> np.ndarray:
    """Return whether, of arms of equal value, it takes the one that it has pulled most, beyond chance: float64 [life, step].

    Only choices between equals tell habit from greed. A step counts where at least two of the arms that were pulled share the
    best mean so far, were not pulled equally often, and one of them is pulled now: it is 1 - c if that is (one of) the most
    pulled of them, and -c if not, where c is the chance that it would be if ties were broken at random. Other steps are NaN.

    So the mean over all choices, of all lives, is 0 for who breaks ties at random, up to 1 - c for who copies what it has done
    most (the frequency bias of Schmied et al. 2025), and below 0 for who prefers what it knows least, as UCB does. Where
    rewards are continuous, arms are never equal.
    """
    lives = np.arange(len(actions))
    bias = np.full(actions.shape, np.nan)
    for t, pulls, means in _so_far(actions, rewards, arms):
        equal = means == means.max(axis=1, keepdims=True)
        counts = np.where(equal, pulls, 0)
        most = equal & (counts == counts.max(axis=1, keepdims=True))
        chance = most.sum(axis=1) / equal.sum(axis=1)
        told = equal[lives, actions[:, t]] & (chance < 1)
        bias[told, t] = (most[lives, actions[:, t]] - chance)[told]
    return bias


def optimal_pulls(actions: np.ndarray, means: np.ndarray) -> np.ndarray:
    """Return whether each pull is of an arm of the highest true mean, bool [life, step]; its mean is OptFrac."""
    return np.take_along_axis(means == means.max(axis=1, keepdims=True), actions.astype(np.int64), axis=1)


def rescaled(rewards: np.ndarray, means: np.ndarray) -> np.ndarray:
    """Rewards (or means of what was pulled) as 0 for the mean of the worst arm and 1 for that of the best, [life, step].

    NaN in lives whose arms are all alike.
    """
    low, high = means.min(axis=1, keepdims=True), means.max(axis=1, keepdims=True)
    spread = np.where(high > low, high - low, np.nan)
    return (rewards - low) / spread


def means_of_arms(variant: Variant, tasks: np.ndarray) -> np.ndarray:
    """Return the mean reward of each arm of a bandit on each of some task rows, float64 [task, arm].

    Raises:
        ValueError: the family is no bandit (it has more than one state), or says nothing of the value of its arms.
    """
    if variant.action.shape or variant.num_states != 1:
        raise ValueError(
            f"{variant.name} is no bandit: it has no arms to be explored, only {variant.action_space} in its states"
        )
    nothing = Row(np.zeros((), variant.state))
    means = []
    for task in tasks:
        value = solve(variant, task)
        if value is None:
            raise ValueError(f"{variant.name} does not say what its arms are worth: write its static method solve(p, task)")
        means.append(value(nothing, variant.horizon - 1))  # of the last pull, after which nothing comes
    return np.array(means, np.float64)


def _so_far(actions: np.ndarray, rewards: np.ndarray, arms: int) -> Iterator[tuple[int, np.ndarray, np.ndarray]]:
    """Each step from the second on, and before it, of each arm, the pulls and their mean (of none -inf), [life, arm]."""
    lives, shape = np.arange(len(actions)), (len(actions), arms)
    pulls, paid, means = np.zeros(shape, np.int64), np.zeros(shape), np.full(shape, -np.inf)
    for t in range(1, actions.shape[1]):
        last = lives, actions[:, t - 1]
        pulls[last] += 1
        paid[last] += rewards[:, t - 1]
        means[last] = paid[last] / pulls[last]
        yield t, pulls, means


def _since(since: int | None, steps: int) -> int:
    """The step from which on failures count; ValueError where it is not before the end."""
    since = as_integer("since", steps // 2 if since is None else since)
    if since >= steps:
        raise ValueError(f"since={since} must be below {steps}, the steps of a life")
    return since


def _checked(actions: Any, rewards: Any, means: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The three arrays; TypeError or ValueError where they do not go together."""
    actions, rewards, means = np.asarray(actions), np.asarray(rewards), np.asarray(means, np.float64)
    if actions.dtype.kind not in "iu":
        raise TypeError(f"actions have dtype {actions.dtype}: arms are told by integers")
    if actions.ndim != 2 or not actions.size or rewards.shape != actions.shape:
        raise ValueError(f"actions have shape {actions.shape} and rewards {rewards.shape}: both must be [life, step]")
    if means.ndim != 2 or len(means) != len(actions):
        raise ValueError(f"means have shape {means.shape}: they must be [life, arm], for {len(actions)} lives")
    if actions.min() < 0 or actions.max() >= means.shape[1]:
        odd = int(actions.min() if actions.min() < 0 else actions.max())
        raise ValueError(f"actions hold {odd}, which is none of the {means.shape[1]} arms that means tells of")
    return actions.astype(np.int64), rewards, means
