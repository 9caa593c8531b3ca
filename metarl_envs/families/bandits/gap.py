"""The gap bandit: one arm pays more often than all others, which are alike."""

from __future__ import annotations

import math
from types import SimpleNamespace

import numpy as np

from metarl_envs.engine import Integer, Parameters, Picture, Player, Real, Returns, Row, UniformTasks, kernel, oracle, record
from metarl_envs.families.bandits.arms import (
    Bandit,
    best_arm_ever_after,
    draw_wins,
    one_arm_all_the_time,
    one_pull_later,
    place_of_highest,
    tell_wins,
    unpulled,
    win_or_lose,
    wins_and_pulls,
)


@kernel
def every_place(params, task):
    """Every place is in every part: arms are alike, and no place is a kind of task."""
    return True


@kernel
def pull(params, task, state, action, rng):
    """Pull one arm: the good one pays 1 with chance (1 + gap) / 2, any other with (1 - gap) / 2."""
    return win_or_lose(state, action, 0.5 + params.gap * ((action == task.good) - 0.5), rng), False


@kernel
def weigh_every_place(params, belief, seen, action, reward, then):
    """Weigh every place by the chance of what was paid if the good arm were there."""
    if (reward != 0.0 and reward != 1.0) or not one_pull_later(params, seen, then):
        return -math.inf
    total = 0.0
    for arm in range(len(belief.good)):
        gains = (arm == action) == (reward == 1.0)  # the good arm wins as often as another loses
        belief.good[arm] *= (1.0 + params.gap) / 2.0 if gains else (1.0 - params.gap) / 2.0
        total += belief.good[arm]
    for arm in range(len(belief.good)):
        belief.good[arm] /= max(total, 1e-300)
    return math.log(total) if total > 0.0 else -math.inf


# --------------------------------------------------------------------------------------------- references
@kernel
def pull_good(hyper, memory, params, task, state, rng):
    """Pull the good arm."""
    return task.good


@kernel
def pull_likeliest(hyper, memory, seen, rng):
    """Pull the arm that is likeliest to be the good one; the first of equal ones."""
    return place_of_highest(memory.ahead)


@kernel
def weigh(hyper, memory, seen, action, reward, terminated, truncated, then, rng):
    """Count a win for the arm, or a loss against it."""
    memory.ahead[action] += 1 if reward > 0.0 else -1


class IdealObserver(Player):
    """The Bayes-optimal policy: pulls the arm that is likeliest to be the good one, the first of equal ones.

    That is the one with the most wins less losses, since the good arm wins as often as the others lose. Nothing is gained by
    exploring where one arm is good and all others are alike (Rodman 1978).
    """

    act, learn = pull_likeliest, weigh

    @staticmethod
    def memory(p, variant):
        """Wins less losses of each arm."""
        return record(ahead=(np.int64, variant.actions))

    def why_unsuitable(self, variant):
        """It knows that one arm is good and all others are alike."""
        if not issubclass(variant.family, GapBandit):
            return f"IdealObserver needs GapBandit, not {variant!r}"
        return super().why_unsuitable(variant)


# --------------------------------------------------------------------------------------------- the family
class GapBandit(Bandit):
    """A row of arms. One of them, in any place, pays more often than the others, which are all alike.

    Hidden:
        Which arm is the good one: any place, all alike.

    Observation:
        `Box(0, 1, (1,), float32)`: the share of the episode's pulls that are made. What a pull paid is told by its reward
        alone: a policy that sees its previous action and reward (`PreviousStep`) sees all there is to see.

    Actions:
        `Discrete(arms)`: the arm to pull.

    Reward:
        1 or 0: 1 with chance (1 + gap) / 2 for the good arm, and (1 - gap) / 2 for every other.

    Episode:
        `horizon` pulls, then truncated. One episode is the whole learning problem, so a trial has one episode by default;
        with more, the good arm stays and the count starts again.

    Parameters:
        arms: how many arms. gap: what the good arm pays more than the others in the mean; with 0 all are alike. horizon: pulls
        an episode.

    Splits:
        None: every place is in every part, so that there is no `train`, `validation` or `test`. (Whoever was trained on some
        places alone would be tested on arms that never paid.) Shifts `large_gap`: 0.5; `half_gap`: 0.1.

    References:
        Return of 100 pulls of 5 arms with a gap of 0.2: random and memoryless-best 44 (exactly horizon ((1 - gap) / 2 + gap /
        arms)); the oracle knows the good arm: 60 (horizon (1 + gap) / 2). Simulated over 200,000 tasks (standard error 0.02):
        `ideal_observer`, the Bayes optimum, 52.58, UCB1 with a constant bonus 50.49, greedy 49.15, Thompson sampling with
        Beta(1, 1) 48.82, UCB1 46.28.

        Return alone misleads here: the greedy player never pulls the good arm in the second half of 47 % of its lives, and
        Thompson sampling in 0.7 % (see `metarl_envs.evaluation.diagnostics`).

    Source and variants:
        The tasks on which language models are told to explore: Krishnamurthy et al. 2024 (arXiv 2403.15371), 5 arms with a gap
        of 0.2 ("hard") and 4 with 0.5 ("easy"), 100 pulls; BanditBench (Nie et al. 2024, arXiv 2410.06238), 5 or 20 arms:
        `gap=0.2` is its `create_small_gap_bernoulli_bandit` and `gap=0.5` its `create_large_gap_bernoulli_bandit`, 1,000 pulls
        (there, the last arm is the good one). Lower bounds on regret are proved with one good arm among equal ones (Auer et
        al. 2002, "The nonstochastic multiarmed bandit problem"); that the likeliest arm is the best choice, by Rodman (1978,
        "On the many-armed bandit problem").
    """

    params = Parameters(arms=Integer(5, 2, 1000), gap=Real(0.2, 0.0, 1.0), horizon=Integer(100, 1))
    task = UniformTasks(good=(np.int32, "arms"))
    state = staticmethod(wins_and_pulls)
    reset, step, condition = unpulled, pull, weigh_every_place
    in_every_part = every_place
    shifts = {"large_gap": {"gap": 0.5}, "half_gap": {"gap": 0.1}}
    references = {"oracle": oracle(pull_good), "ideal_observer": IdealObserver()}
    binary_reward = True
    exchangeable_actions = True

    @staticmethod
    def solve(p: SimpleNamespace, task: Row):
        """This pull's chance, and the good arm ever after."""
        return best_arm_ever_after(p, _chances(p, task))

    @staticmethod
    def prior(p: SimpleNamespace) -> dict[str, np.ndarray]:
        """The chance of each arm to be the good one."""
        return {"good": np.full(p.arms, 1 / p.arms)}

    @staticmethod
    def expected_rewards(p: SimpleNamespace, belief) -> np.ndarray:
        """A bad arm's chance, and the gap as often as the arm is the good one."""
        return (1 - p.gap) / 2 + p.gap * belief["good"]

    @staticmethod
    def returns(p: SimpleNamespace, task: Row) -> Returns:
        """The mean arm and the good arm, pulled all the time."""
        return one_arm_all_the_time(p, _chances(p, task))

    @staticmethod
    def memoryless_best(p: SimpleNamespace, task: Row) -> float:
        """Random play: without memory all arms are alike."""
        return one_arm_all_the_time(p, _chances(p, task)).random

    @staticmethod
    def instructions(p: SimpleNamespace) -> str:
        """What there is to do, for people and language models alike."""
        return (
            f"Each of the {p.arms} arms pays 1 or nothing, by chance. One of them pays more often than the others, which are "
            f"all alike. Find it and keep to it: you have {p.horizon} pulls."
        )

    @staticmethod
    def draw(picture: Picture, p: SimpleNamespace, state: Row, task: Row | None) -> None:
        """One column an arm, and its chance where it is shown."""
        draw_wins(picture, p, state, None if task is None else _chances(p, task))

    @staticmethod
    def describe(p: SimpleNamespace, state: Row, task: Row | None) -> str:
        """One line an arm."""
        return tell_wins(p, state, None if task is None else _chances(p, task))


def _chances(p: SimpleNamespace, task: Row) -> np.ndarray:
    """The chance of each arm, float64 [arms]."""
    return 0.5 + p.gap * ((np.arange(p.arms) == task.good) - 0.5)
