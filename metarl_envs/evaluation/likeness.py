"""Which known player is an agent most like? The log-likelihood of its actions under each of them."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from metarl_envs.engine.family import Variant
from metarl_envs.engine.loops.life import PlayerArrays
from metarl_envs.engine.loops.watching import WatchedArrays, watch_driver
from metarl_envs.engine.player import Player, heuristics_of, references_of
from metarl_envs.engine.records import for_drivers, rows
from metarl_envs.engine.streams import LEARNER, STREAM, keyed
from metarl_envs.evaluation.statistics import Interval, over_seeds_and_tasks
from metarl_envs.histories.lives import Written
from metarl_envs.learners import LEARNERS, QLearning
from metarl_envs.players.networks.looking_on import steps_of
from metarl_envs.players.run import Run
from metarl_envs.players.stepwise import Turns

#: Step sizes at which Q-learning is tried.
STEP_SIZES = (0.1, 0.3, 0.5, 0.7, 0.9)
#: Learners whose action probabilities follow from what they are told alone. (Not so SARSA and double Q-learning, which learn
#: from draws of their own, neural Q-learning, whose first weights are hidden, and UCRL2, which plans by optimism in phases. For
#: those who act by a hidden sample see `SAMPLERS`.)
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
#: Posterior samplers, whose samples are hidden, and whether one lasts for an episode (or else for a step).
SAMPLERS = {"thompson": False, "gaussian_thompson": False, "psrl": True}
#: How many samples stand for a posterior, and the states up to which that many plans an episode take little time.
SAMPLES, _FEW_STATES = 32, 8
#: Actions that are numbers have at least this share of their own standard deviation about a prediction: who predicts exactly
#: what is done would have no end of bits.
LEAST_DEVIATION = 1e-3
#: Prompts of which each length is looked at have at most so many steps.
MOST_LENGTHS = 100
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
            interval. Where actions are numbers: above that under a normal distribution that knows their mean and variance.
        epsilon: the probability with which a uniform action takes the place of the player's, fitted on the other half of the
            tasks; None where actions are numbers.
        alike: whether it is within 0.01 bit a step of the best one.
        error: the standard error of the mean of `bits` that comes of standing for a posterior by samples; 0 where none do.
        deviation: the standard deviation of actions about the player's, fitted on the other half of the tasks; None where
            actions are no numbers.
        by_length: the same bits at each prompt length, which is how many steps of a life are over (in LinearRegression how many
            examples were seen), with a mean, a variance and a deviation of its own at each. Where actions are numbers, feedback
            is in the observation, and a life is one episode of at most 100 steps; else empty.
    """

    name: str
    bits: Interval
    epsilon: float | None
    alike: bool
    error: float = 0.0
    deviation: float | None = None
    by_length: tuple[Interval, ...] = ()

    def as_json(self) -> dict[str, Any]:
        """Return it as JSON types."""
        return {**vars(self), "bits": self.bits.as_json(), "by_length": [one.as_json() for one in self.by_length]}


def most_like_by_length(found: Sequence[Likeness]) -> list[list[str]]:
    """Return whom an agent is most like at each prompt length: who is within 0.01 bit of the best, the best first.

    Nobody, where the best is not 0.01 bit above the normal distribution that it is compared with: actions are likelier under
    nobody than without him. (That is so before the first example, where all predict the same.)

    Args:
        found: of one agent, as `likenesses` returns them.
    """
    named = []
    for at in zip(*(one.by_length for one in found), strict=True):
        best = max(one.mean for one in at)
        alike = [(one.mean, like.name) for one, like in zip(at, found, strict=True) if best - one.mean < ALIKE <= best]
        named.append([name for _, name in sorted(alike, key=lambda one: -one[0])])
    return named


def candidates(variant: Variant) -> dict[str, Player]:
    """Return the known players that can be tried in a family: learners, and players of its own.

    Of learners those whose probabilities are exact, and posterior samplers where they are run by default; where actions are
    numbers, the family's own references that do not look at the world.
    """
    if variant.action.shape:
        own = {name: one for name, one in references_of(variant).items() if name != "random"}
        return {name: one for name, one in own.items() if _can_watch(one, variant)} if variant.action.dtype.kind == "f" else {}
    heuristics = heuristics_of(variant)
    known: dict[str, Player] = {f"q_learning {size:g}": QLearning(step_size=size) for size in STEP_SIZES}
    known |= {name: LEARNERS[name]() for name in EXACT}
    few = variant.num_states is not None and variant.num_states <= _FEW_STATES
    known |= {name: one for name in SAMPLERS if few and (one := LEARNERS[name]()).runs_by_default(variant)}
    known |= heuristics
    return {
        name: one
        for name, one in known.items()
        if _can_watch(one, variant) and ("probabilities" in one.internals or name in heuristics or name in SAMPLERS)
    }


def _can_watch(player: Player, variant: Variant) -> bool:
    """Whether a player can learn from what another one is told, and is not told the task by it."""
    return (
        player.why_unsuitable(variant) is None
        and player.observes in ("state", "observation")
        and (player.observes == "observation" or variant.kernel("state_index_in_task") is None)
        and not variant.observation.is_row
    )


def likenesses(run: Run, seeds: int, known: Mapping[str, Player] | None = None) -> list[Likeness]:
    """Return how likely the actions of a run are under each known player, the best first.

    Each is told, in every life, what was seen, done and paid, and learns from that; before each step it has a probability for
    each action. With probability epsilon a uniform action takes the place of its own; epsilon is fitted on one half of the
    tasks, and the likelihood is that of the other.

    Who acts by a sample of its posterior, drawn for a step (Thompson) or for an episode (PSRL), stands here as 32 of them: an
    episode is as likely as under one of them in the mean. That is a Monte Carlo estimate, whose error is told.

    Where actions are numbers, they are normally distributed about what the known player would do, with a variance that is
    fitted on one half of the tasks; where a life is one prompt, at each length of it too, with a variance for each.

    Args:
        run: of one agent: the same tasks for each seed, as `evaluate` lives them.
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
    found = [_likeness(name, one, run, written, seeds) for name, one in known.items()]
    best = max(one.bits.mean for one in found)
    return sorted((replace(one, alike=best - one.bits.mean < ALIKE) for one in found), key=lambda one: -one.bits.mean)


def _likeness(name: str, player: Player, run: Run, written: Written, seeds: int) -> Likeness:
    """How likely the actions are under one player; whether it is alike is not known yet."""
    if run.variant.action.shape:
        return _about_predictions(name, predictions_of(player, run, written), run, written, seeds)
    actions, steps = run.variant.actions, run.steps
    done = written.columns["action"][..., None].astype(np.int64)

    def of_done(copy: int) -> np.ndarray:
        return np.take_along_axis(probabilities_of(player, run, written, copy), done, axis=2)[..., 0]

    if name in SAMPLERS:
        agree = np.stack([of_done(copy) for copy in range(1, SAMPLES + 1)]) > 0.5
        first = _begins(written) if SAMPLERS[name] else np.ones(done.shape[:2], np.bool_)
        return _fitted(name, _BySamples(agree, first, steps, actions), seeds)
    return _fitted(name, _ByProbability(of_done(0), steps, actions), seeds)


class _ByProbability:
    """Actions that have a probability each."""

    def __init__(self, likelihood: np.ndarray, steps: np.ndarray, actions: int):
        self._likelihood, self._steps, self._actions = likelihood.astype(np.float64), steps, actions
        self._counts = np.arange(likelihood.shape[1]) < steps[:, None]

    def __call__(self, epsilon: float) -> tuple[np.ndarray, np.ndarray]:
        """Bits a step above a uniform policy, float64 [life], and the variance of each that comes of samples."""
        smoothed = (1 - epsilon) * self._likelihood + epsilon / self._actions
        bits = np.where(self._counts, np.log2(smoothed * self._actions), 0.0).sum(axis=1) / self._steps
        return bits, np.zeros_like(bits)


class _BySamples:
    """Actions that agree, or do not, with what samples of a posterior would have done: all in one stretch by one sample.

    Args:
        agree: bool [sample, life, step].
        first: whether a stretch begins with a step, bool [life, step].
        steps: of each life, which count.
        actions: how many there are.
    """

    def __init__(self, agree: np.ndarray, first: np.ndarray, steps: np.ndarray, actions: int):
        counts = np.arange(agree.shape[2]) < steps[:, None]
        self._steps, self._actions = steps, actions
        stretch = np.where(counts, first.cumsum(axis=1) - 1, 0)
        lives = np.broadcast_to(np.arange(len(steps))[:, None], stretch.shape)
        size = len(steps), int(stretch.max()) + 1
        self._lengths = np.zeros(size)
        np.add.at(self._lengths, (lives, stretch), counts)
        self._agreed = np.zeros((len(agree), *size))
        for sample, found in zip(self._agreed, agree, strict=True):
            np.add.at(sample, (lives, stretch), found & counts)

    def __call__(self, epsilon: float) -> tuple[np.ndarray, np.ndarray]:
        """Bits a step above a uniform policy, float64 [life], and the variance of each that comes of samples."""
        right, wrong = np.log2([(1 - epsilon) * self._actions + epsilon, epsilon])
        each = self._agreed * right + (self._lengths - self._agreed) * wrong  # of a stretch under each sample
        most = each.max(axis=0)
        shares = np.exp2(each - most)
        mean = shares.mean(axis=0)
        bits = (most + np.log2(mean)).sum(axis=1) / self._steps
        error = shares.var(axis=0, ddof=1) / len(shares) / (mean * np.log(2)) ** 2
        return bits, error.sum(axis=1) / self._steps**2


def _begins(written: Written) -> np.ndarray:
    """Whether an episode begins with a step, bool [life, step]."""
    over = written.columns["terminated"] | written.columns["truncated"]
    return np.concatenate([np.ones_like(over[:, :1]), over[:, :-1]], axis=1)


def _fitted(name: str, likelihood: _ByProbability | _BySamples, seeds: int) -> Likeness:
    """On the odd tasks, with the epsilon under which the even ones are most likely."""

    def of_halves(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        by_task = values.reshape(seeds, -1)
        return by_task[:, ::2], by_task[:, 1::2]

    fitted = max(_EPSILONS.tolist(), key=lambda epsilon: of_halves(likelihood(epsilon)[0])[0].mean())
    bits, variance = (of_halves(values)[1] for values in likelihood(fitted))
    error = float(np.sqrt(variance.sum()) / variance.size)
    return Likeness(name, over_seeds_and_tasks(bits[:, :, None, None]), fitted, False, error)


def _about_predictions(name: str, predicted: np.ndarray, run: Run, written: Written, seeds: int) -> Likeness:
    """Of numbers: on the odd tasks, under a normal distribution about predictions whose variance is that of the even ones."""
    done = written.columns["action"].astype(np.float64).reshape(len(run), written.columns["action"].shape[1], -1)
    counts = np.arange(done.shape[1]) < run.steps[:, None]
    even = (np.arange(len(run)) % (len(run) // seeds)) % 2 == 0
    predicted = predicted.reshape(done.shape)

    def of_odd_tasks(gained: np.ndarray) -> Interval:
        return over_seeds_and_tasks(gained.reshape(seeds, -1)[:, 1::2, None, None])

    def at_length(t: int) -> Interval:
        return of_odd_tasks(_gained(done[:, t : t + 1], predicted[:, t : t + 1], counts[:, t : t + 1], even)[0][:, 0])

    gained, deviation = _gained(done, predicted, counts, even)
    whole = of_odd_tasks(gained.sum(axis=1) / run.steps)
    is_prompt = run.variant.family.feedback(run.variant.p) is not None and run.episodes == 1 and counts.all()
    lengths = range(done.shape[1]) if is_prompt and done.shape[1] <= MOST_LENGTHS else ()
    return Likeness(name, whole, None, False, deviation=deviation, by_length=tuple(map(at_length, lengths)))


def _gained(done: np.ndarray, predicted: np.ndarray, counts: np.ndarray, even: np.ndarray) -> tuple[np.ndarray, float]:
    """Bits of each step above a normal distribution that knows mean and variance, [life, step], and the deviation.

    Args:
        done: float64 [life, step, number].
        predicted: the same.
        counts: which steps there were, bool [life, step]; the bits of others are 0.
        even: the lives on which deviations are fitted, bool [life].
    """
    fitting = counts & even[:, None]
    middle = done[fitting].mean(axis=0)
    spread = done[fitting].std(axis=0).max()
    if spread == 0:  # it always does the same, and nothing is like it but that
        spread = 1.0

    def bits(about: np.ndarray) -> tuple[np.ndarray, float]:
        off = np.square(done - about)
        deviation = max(float(np.sqrt(off[fitting].mean())), LEAST_DEVIATION * spread)
        each = -off.sum(axis=2) / (2 * deviation**2 * np.log(2)) - done.shape[2] * np.log2(deviation)
        return np.where(counts, each, 0.0), deviation

    (found, deviation), (nothing, _) = bits(predicted), bits(middle)
    return found - nothing, deviation


def predictions_of(player: Player, run: Run, written: Written) -> np.ndarray:
    """Return what a player would do in each step of the lives of another, from which it learns, [life, step, ...].

    Args:
        player: compiled; its draws are those of the lives.
        run: what the other did.
        written: the columns of the run.
    """
    turns, (_, then) = Turns(player, run.variant, run.seeds), _observations(run.variant, written)
    after = then.view(np.ndarray)
    everyone = np.ones(len(run), np.bool_)
    chosen = [turns.act(step, after[:, max(t - 1, 0)], everyone) for t, step in enumerate(steps_of(run))]
    return np.stack(chosen, axis=1)


def probabilities_of(player: Player, run: Run, written: Written, copy: int = 0) -> np.ndarray:
    """Return the probability of each action under a player that learns from the lives of another, float32 [life, step, action].

    Args:
        player: compiled.
        run: what the other did.
        written: the columns of the run.
        copy: 0: the player draws as it does in these lives; from 1 on: draws that are independent of those.

    Raises:
        ValueError: the player has another state for an observation than there are.
    """
    variant, count = run.variant, len(run)
    player = player.bind(variant)
    memories, streams = rows(count, player.memory(player.p, variant), "players"), rows(count, STREAM)
    memories.view(np.ndarray)[...] = player.initial_memory(variant)
    streams["s"] = np.array([keyed(seed, LEARNER, 0, copy) for seed in run.seeds], np.uint64)
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


@functools.lru_cache(maxsize=256)
def _driver(variant: Variant, player: type[Player]) -> Callable:
    return watch_driver(variant, player)
