"""Which known player is an agent most like? The log-likelihood of its actions under each of them."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from metarl_envs.engine.family import Variant
from metarl_envs.engine.loops.life import PlayerArrays
from metarl_envs.engine.loops.watching import WatchedArrays, watch_driver
from metarl_envs.engine.player import Player, heuristics_of
from metarl_envs.engine.records import for_drivers, rows
from metarl_envs.engine.streams import LEARNER, STREAM, keyed
from metarl_envs.evaluation.statistics import Interval, over_seeds_and_tasks
from metarl_envs.histories.lives import Written
from metarl_envs.learners import LEARNERS, QLearning
from metarl_envs.players.run import Run

#: Step sizes at which Q-learning is tried.
STEP_SIZES = (0.1, 0.3, 0.5, 0.7, 0.9)
#: Learners whose action probabilities follow from what they are told alone. (Not so SARSA and double Q-learning, which learn
#: from draws of their own, Thompson and posterior sampling, whose samples are hidden, neural Q-learning, whose first weights
#: are, and UCRL2, which plans by optimism in phases.)
EXACT = (
    "random",
    "q_lambda",
    "count_bonus_q",
    "actor_critic",
    "reinforce",
    "epsilon_greedy",
    "ucb1",
    "gradient_bandit",
    "lin_ucb",
)
#: Probabilities of a uniform action that are tried, from least to most.
_EPSILONS = np.concatenate([np.geomspace(1e-4, 0.1, 16), np.linspace(0.15, 1.0, 18)])
#: Players whose likelihoods differ by less than so many bits a step cannot be told apart.
ALIKE = 0.01


@dataclass(frozen=True)
class Likeness:
    """How likely an agent's actions are under a known player.

    Attributes:
        name: of the known player.
        bits: the log-likelihood of the actions under it, in bits a step above that under a uniform policy, with a 95 %
            interval.
        epsilon: the probability with which a uniform action takes the place of the player's, fitted on the other half of the
            tasks.
        alike: whether it is within 0.01 bit a step of the best one.
    """

    name: str
    bits: Interval
    epsilon: float
    alike: bool


def candidates(variant: Variant) -> dict[str, Player]:
    """Return the known players that can be tried in a family: learners whose probabilities are exact, and its heuristics."""
    heuristics = heuristics_of(variant)
    known: dict[str, Player] = {f"q_learning {size:g}": QLearning(step_size=size) for size in STEP_SIZES}
    known |= {name: LEARNERS[name]() for name in EXACT}
    known |= heuristics
    return {
        name: one
        for name, one in known.items()
        if one.why_unsuitable(variant) is None
        and one.observes in ("state", "observation")
        and (one.observes == "observation" or variant.kernel("state_index_in_task") is None)  # else it would be told the task
        and not variant.action.shape
        and not variant.observation.is_row
        and ("probabilities" in one.internals or name in heuristics)
    }


def likenesses(run: Run, seeds: int, known: Mapping[str, Player] | None = None) -> list[Likeness]:
    """Return how likely the actions of a run are under each known player, the best first.

    Each is told, in every life, what was seen, done and paid, and learns from that; before each step it has a probability for
    each action. With probability epsilon a uniform action takes the place of its own; epsilon is fitted on one half of the
    tasks, and the likelihood is that of the other.

    Args:
        run: of one agent on Discrete actions: the same tasks for each seed, as `evaluate` lives them.
        seeds: how many.
        known: the players that are tried; default: `candidates`.

    Raises:
        ValueError: the rows are no whole number of tasks for each seed, or there are fewer than two tasks.
    """
    if len(run) % seeds or len(run) // seeds < 2:
        raise ValueError(f"run has {len(run)} rows, and must have two tasks or more for each of {seeds} seeds")
    variant = run.variant
    known = candidates(variant) if known is None else known
    if not known:
        return []
    written = run.columns()
    done = written.columns["action"]
    found = []
    for name, one in known.items():
        likelihood = np.take_along_axis(probabilities_of(one, run, written), done[..., None].astype(np.int64), axis=2)[..., 0]
        found.append((name, *_scored(likelihood, run.steps, variant.actions, seeds)))
    best = max(bits.mean for _, bits, _ in found)
    each = [Likeness(name, bits, epsilon, best - bits.mean < ALIKE) for name, bits, epsilon in found]
    return sorted(each, key=lambda one: -one.bits.mean)


def probabilities_of(player: Player, run: Run, written: Written) -> np.ndarray:
    """Return the probability of each action under a player that learns from the lives of another, float32 [life, step, action].

    Args:
        player: compiled; its draws are those of the lives.
        run: what the other did.
        written: the columns of the run.

    Raises:
        ValueError: the player has another state for an observation than there are.
    """
    variant, count = run.variant, len(run)
    player = player.bind(variant)
    memories, streams = rows(count, player.memory(player.p, variant), "players"), rows(count, STREAM)
    memories.view(np.ndarray)[...] = player.initial_memory(variant)
    streams["s"] = np.array([keyed(seed, LEARNER, 0, 0) for seed in run.seeds], np.uint64)
    seen, then = _observations(variant, written)
    nothing = for_drivers(np.zeros((count, 0), variant.action.dtype))
    arrays = PlayerArrays(
        player.hyper,
        memories,
        streams,
        variant.observations(2).reshape(1, 2, *variant.observation.shape),
        for_drivers(np.zeros(count, variant.action.dtype)),
        variant.action.bounds(),
        nothing,
    )
    told = {name: np.ascontiguousarray(written.columns[name]) for name in ("terminated", "truncated")}
    probabilities = np.zeros((count, seen.shape[1], variant.actions), np.float32)
    lives = WatchedArrays(
        seen=seen,
        then=then,
        actions=for_drivers(written.columns["action"].astype(np.int64)),
        rewards=for_drivers(written.columns["reward"].astype(np.float64)),
        terminated=for_drivers(told["terminated"]),
        truncated=for_drivers(told["truncated"]),
        steps=for_drivers(run.steps.copy()),
        probabilities=for_drivers(probabilities),
    )
    if _driver(variant, type(player))(variant.params, variant.num_states or 0, *arrays, *lives, 0, count):
        raise ValueError(f"{type(player).__name__} has no state for an observation of {run!r}")
    return probabilities


def _observations(variant: Variant, written: Written) -> tuple[np.ndarray, np.ndarray]:
    """What was observed before each step and after it, [life, step, ...], as kernels read it."""
    observed = written.columns["observation"]
    count, steps = observed.shape[:2]
    shape = count, steps, *variant.observation.shape
    seen = np.ascontiguousarray(observed.reshape(shape), variant.observation.dtype)
    then = np.zeros_like(seen)
    then[:, :-1] = seen[:, 1:]
    for i, episodes in enumerate(written.episodes.tolist()):
        last = written.final_observations[i, :episodes]
        then[i, written.until[i, :episodes] - 1] = last.reshape(episodes, *variant.observation.shape)
    return for_drivers(seen), for_drivers(then)


def _scored(likelihood: np.ndarray, steps: np.ndarray, actions: int, seeds: int) -> tuple[Interval, float]:
    """Bits a step above a uniform policy, on the odd tasks, with the epsilon under which the even ones are most likely."""
    counts = np.arange(likelihood.shape[1]) < steps[:, None]

    def bits(epsilon: float) -> np.ndarray:
        smoothed = (1 - epsilon) * likelihood.astype(np.float64) + epsilon / actions
        each = np.where(counts, np.log2(smoothed * actions), 0.0).sum(axis=1) / steps
        return each.reshape(seeds, -1)

    fitted = max(_EPSILONS.tolist(), key=lambda epsilon: bits(epsilon)[:, ::2].mean())
    return over_seeds_and_tasks(bits(fitted)[:, 1::2, None, None]), fitted


@functools.lru_cache(maxsize=256)
def _driver(variant: Variant, player: type[Player]) -> Callable:
    return watch_driver(variant, player)
