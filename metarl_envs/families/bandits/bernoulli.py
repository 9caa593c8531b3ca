"""The Bernoulli bandit: arms that pay 1 or 0, each with a chance of its own."""

from __future__ import annotations

import math
from types import SimpleNamespace

import numpy as np

from metarl_envs.engine import Integer, Parameters, Picture, Real, Returns, Row, TaskErrors, kernel, oracle, record
from metarl_envs.families.bandits.arms import (
    Bandit,
    best_arm_ever_after,
    draw_wins,
    fill_uniformly,
    one_arm_all_the_time,
    one_pull_later,
    place_of_highest,
    range_error,
    tell_wins,
    unpulled,
    win_or_lose,
    wins_and_pulls,
)


@kernel
def draw_arms(params, task, rng):
    """Draw each arm's chance between `low` and `high`."""
    fill_uniformly(task.chance, params.low, params.high, rng)


@kernel
def pull(params, task, state, action, rng):
    """Pull one arm; it pays 1 with its chance."""
    return win_or_lose(state, action, task.chance[action], rng), False


@kernel
def count_win_or_loss(params, belief, seen, action, reward, then):
    """Count the win or the loss of a pull, whose chance is the mean of the arm's Beta."""
    won, lost = 1.0 * (reward == 1.0), 1.0 * (reward == 0.0)
    wins, losses = belief.a[action], belief.b[action]
    belief.a[action] += won
    belief.b[action] += lost
    if won + lost == 0.0 or not one_pull_later(params, seen, then):
        return -math.inf
    return math.log((wins * won + losses * lost) / (wins + losses))


@kernel
def pull_best(hyper, memory, params, task, state, rng):
    """Pull the arm with the highest chance."""
    return place_of_highest(task.chance)


class BernoulliBandit(Bandit):
    """A row of arms. Each pays 1 with a chance of its own, which stays the same for the whole trial.

    Hidden:
        The chance of each arm, drawn uniformly between `low` and `high`.

    Observation:
        `Box(0, 1, (1,), float32)`: the share of the episode's pulls that are made. What a pull paid is told by its reward
        alone: a policy that sees its previous action and reward (`PreviousStep`) sees all there is to see.

    Actions:
        `Discrete(arms)`: the arm to pull.

    Reward:
        1 with the arm's chance, else 0.

    Episode:
        `horizon` pulls, then truncated. One episode is the whole learning problem, so a trial has one episode by default;
        with more, the arms stay and the count starts again.

    Parameters:
        arms: how many arms. horizon: pulls an episode. low, high: the range of chances.

    Splits:
        train, validation and test, by a hash of the chances. Shift `close_arms`: chances between 0.4 and 0.6, of which no
        learner is told (`thompson` has the default's prior there too).

    References:
        Return of 10 pulls of 5 arms, simulated over 200,000 tasks (standard error 0.004): random and memoryless-best 5.0
        (exactly horizon (low + high) / 2), Thompson sampling with Beta(1, 1) 5.841, UCB1 5.67-5.92, greedy on the posterior
        mean 6.624, the exact Bayes optimum 6.660. The oracle knows the arms: horizon x 5/6 = 8.333 in the mean.

    Source and variants:
        RL² (Duan et al. 2016, arXiv 1611.02779): 5, 10 or 50 arms and 10, 100 or 500 pulls. Its printed figures (Gittins 6.6,
        Thompson 5.7, UCB1 6.7 for 10 pulls of 5 arms) use tuned variants;
        `UCB1(exploration=0.2, rl2_baseline=True)` earns 6.64.
    """

    params = Parameters(arms=Integer(5, 2, 1000), horizon=Integer(10, 1), low=Real(0.0, 0.0, 1.0), high=Real(1.0, 0.0, 1.0))
    sample_task, reset, step, condition = draw_arms, unpulled, pull, count_win_or_loss
    shifts = {"close_arms": {"low": 0.4, "high": 0.6}}
    references = {"oracle": oracle(pull_best)}
    binary_reward = True
    state = staticmethod(wins_and_pulls)
    parameter_error = staticmethod(range_error)
    exchangeable_actions = True

    @staticmethod
    def task(p: SimpleNamespace) -> np.dtype:
        """The chance of each arm."""
        return record(chance=(np.float64, p.arms))

    @staticmethod
    def task_errors(p: SimpleNamespace, tasks: np.ndarray) -> TaskErrors:
        """Chances lie between 0 and 1."""
        yield "chance", ~((tasks["chance"] >= 0) & (tasks["chance"] <= 1)), "is not between 0 and 1"

    @staticmethod
    def solve(p: SimpleNamespace, task: Row):
        """This pull's chance, and the best arm ever after."""
        return best_arm_ever_after(p, np.array(task.chance))

    @staticmethod
    def prior(p: SimpleNamespace) -> dict[str, np.ndarray] | None:
        """Beta(a, b) of each arm; closed only where chances are uniform on all of [0, 1]."""
        return {"a": np.ones(p.arms), "b": np.ones(p.arms)} if (p.low, p.high) == (0, 1) else None

    @staticmethod
    def expected_rewards(p: SimpleNamespace, belief) -> np.ndarray:
        """The mean of each Beta."""
        return belief["a"] / (belief["a"] + belief["b"])

    @staticmethod
    def returns(p: SimpleNamespace, task: Row) -> Returns:
        """The mean arm and the best arm, pulled all the time."""
        return one_arm_all_the_time(p, task.chance)

    @staticmethod
    def memoryless_best(p: SimpleNamespace, task: Row) -> float:
        """Any arm, as at random: before one is pulled, all are alike."""
        return one_arm_all_the_time(p, task.chance).random

    @staticmethod
    def instructions(p: SimpleNamespace) -> str:
        """What there is to do, for people and language models alike."""
        return (
            f"Each of the {p.arms} arms pays 1 or nothing, with a chance of its own that never changes. "
            f"Find the best arm and keep to it: you have {p.horizon} pulls."
        )

    @staticmethod
    def draw(picture: Picture, p: SimpleNamespace, state: Row, task: Row | None) -> None:
        """One column an arm, and its chance where it is shown."""
        draw_wins(picture, p, state, None if task is None else np.array(task.chance))

    @staticmethod
    def describe(p: SimpleNamespace, state: Row, task: Row | None) -> str:
        """One line an arm."""
        return tell_wins(p, state, None if task is None else np.array(task.chance))
