"""The two-step task: a choice that leads to one of two lotteries, commonly or rarely, and lotteries that change."""

from __future__ import annotations

import math
from types import SimpleNamespace

import numpy as np
from gymnasium.spaces import Discrete

from metarl_envs.engine import (
    Choice,
    Family,
    Integer,
    Parameters,
    Picture,
    Player,
    Real,
    Returns,
    Row,
    TaskErrors,
    canvas,
    kernel,
    normal,
    oracle,
    randint,
    record,
    uniform,
)

WANG, DAW = range(2)

#: Wang: the chances of the good and the bad lottery. Daw: chances are kept within these bounds.
_GOOD, _BAD = 0.9, 0.1
_LOW, _HIGH = 0.25, 0.75
#: A course with a larger share of all draws than this is a train, a validation and a test task.
_LIKELY = 0.002


@kernel
def draw_course(params, task, rng):
    """Draw the chances of all lotteries in every round."""
    if params.variant == WANG:
        swap_now_and_then(params, task, rng)
    else:
        drift(params, task, rng)


@kernel
def swap_now_and_then(params, task, rng):
    """One second step is good, either at first; before each round the two change places with chance `change`."""
    good = randint(rng, 2)
    for r in range(task.chance.shape[0]):
        if uniform(rng) < params.change:
            good = 1 - good
        for place in range(2):
            for lottery in range(2):
                task.chance[r, place, lottery] = _GOOD if place == good else _BAD


@kernel
def drift(params, task, rng):
    """Four chances walk from anywhere in their bounds by normal steps of standard deviation `change`, and are reflected."""
    for place in range(2):
        for lottery in range(2):
            chance = _LOW + (_HIGH - _LOW) * uniform(rng)
            for r in range(task.chance.shape[0]):
                task.chance[r, place, lottery] = chance
                chance += params.change * normal(rng)
                while chance < _LOW or chance > _HIGH:
                    chance = 2.0 * (_LOW if chance < _LOW else _HIGH) - chance


@kernel
def is_likely_course(params, task):
    """Whether more than one course in five hundred is this one: with few swaps, as no drift ever comes twice."""
    if params.variant != WANG:
        return False
    chance = 0.5
    for r in range(1, task.chance.shape[0]):
        swapped = task.chance[r, 0, 0] != task.chance[r - 1, 0, 0]
        chance *= params.change if swapped else 1.0 - params.change
    return chance > _LIKELY


@kernel
def at_first_step(params, task, state, rng):
    """Start at the first step of the first round."""
    state.place = 0
    state.round = 0
    state.first = -1
    state.paid = -1


@kernel
def choose(params, task, state, action, rng):
    """At the first step go on to one of the second steps; there, play the chosen lottery and go back."""
    luck = uniform(rng)
    if state.place == 0:
        state.first = action
        state.paid = -1
        state.place = 1 + (action if luck < params.common else 1 - action)
        return 0.0, False
    won = luck < task.chance[state.round, state.place - 1, action]
    state.paid = won
    state.place = 0
    state.round += 1
    return 1.0 * won, False


@kernel
def see_place(params, task, state, obs):
    """See at which step one is."""
    obs[0] = state.place


@kernel
def likelihood_of_courses(params, evidence):
    """The logarithm of how likely rewards were, summed over all courses (the forward algorithm).

    `evidence[round, place]` is the logarithm of how likely those of a round are where that place is the good one.
    """
    one, two, total = 0.5, 0.5, 0.0
    for r in range(len(evidence)):
        swapped = params.change * (two - one)
        most = max(evidence[r, 0], evidence[r, 1])
        one = (one + swapped) * math.exp(evidence[r, 0] - most)
        two = (two - swapped) * math.exp(evidence[r, 1] - most)
        total += most + math.log(one + two)
        one, two = one / (one + two), two / (one + two)
    return total


@kernel
def from_first_round(params, belief):
    """An episode begins: the course starts again."""
    belief.t[0] = 0


@kernel
def weigh_courses(params, belief, seen, action, reward, then):
    """Weigh every course of swaps by what a lottery paid: in each episode of a trial the same course is lived again."""
    r = belief.t[0] // 2
    belief.t[0] += 1
    if seen[0] == 0:
        rare = then[0] != 1 + action
        chance = 1.0 - params.common if rare else params.common
        return math.log(chance) if then[0] != 0 and reward == 0.0 and chance > 0.0 else -math.inf
    if then[0] != 0 or (reward != 0.0 and reward != 1.0):
        return -math.inf
    for place in range(2):
        paid = _GOOD if place == seen[0] - 1 else _BAD
        belief.evidence[r, place] += math.log(paid if reward == 1.0 else 1.0 - paid)
    before = belief.total[0]
    belief.total[0] = likelihood_of_courses(params, belief.evidence)
    return belief.total[0] - before


# --------------------------------------------------------------------------------------------- references
@kernel
def better(values):
    """The action of the higher of two values."""
    return 1 if values[1] > values[0] else 0


@kernel
def choose_knowing_chances(hyper, memory, params, task, state, rng):
    """Head for the second step with the better lottery; there, play it."""
    if state.place != 0:
        return better(task.chance[state.round, state.place - 1])
    chances = task.chance[state.round]
    ahead = max(chances[1, 0], chances[1, 1]) - max(chances[0, 0], chances[0, 1])
    return 1 if (2.0 * params.common - 1.0) * ahead > 0.0 else 0


@kernel
def start_in_doubt(hyper, memory, params, rng):
    """Know how the task works; either second step may be the good one."""
    memory.common = params.common
    memory.change = params.change
    memory.doubt = 0.5


@kernel
def head_for_likely_good(hyper, memory, seen, rng):
    """Head for the second step that is likelier to be good."""
    return 1 if (2.0 * memory.common - 1.0) * (memory.doubt - 0.5) > 0.0 else 0


@kernel
def filter_place_of_good(hyper, memory, seen, action, reward, terminated, truncated, then, rng):
    """Condition on what a second step paid, then on the chance of a swap; a new episode starts the course again."""
    if seen != 0:
        likely = _GOOD if (seen == 2) == (reward > 0.0) else _BAD
        second = memory.doubt * likely
        second /= second + (1.0 - memory.doubt) * (1.0 - likely)
        memory.doubt = second + memory.change * (1.0 - 2.0 * second)
    if terminated or truncated:
        memory.doubt = 0.5


class IdealObserver(Player):
    """The Bayes-optimal policy of the `wang` variant: an exact filter, and the likelier second step.

    Both second steps tell equally much about which is good, so nothing is gained by exploring. In trials of several episodes
    it does not remember the course of the last one.
    """

    begin, act, learn = start_in_doubt, head_for_likely_good, filter_place_of_good

    @staticmethod
    def memory(p, variant):
        """The chance that the second of the two is good, before this round."""
        return record(common=np.float64, change=np.float64, doubt=np.float64)

    def why_unsuitable(self, variant):
        """It filters what swaps."""
        if not issubclass(variant.family, TwoStep) or variant.p.variant != "wang":
            return f"IdealObserver needs TwoStep(variant='wang'), not {variant!r}"
        return super().why_unsuitable(variant)


@kernel
def start_level(hyper, memory, params, rng):
    """Expect every choice to pay half of the time; know how the first step leads on."""
    memory.common = params.common
    memory.lotteries = 1 if params.variant == WANG else 2
    for i in range(2):
        memory.first[i] = 0.5
        for j in range(2):
            memory.second[i, j] = 0.5


@kernel
def prefer(hyper, values, rng):
    """An action, the second with a chance that grows with how much better it looks."""
    return 1 if uniform(rng) < 1.0 / (1.0 + math.exp(hyper.sharpness * (values[0] - values[1]))) else 0


@kernel
def act_by_habit(hyper, memory, seen, rng):
    """At either step, prefer what was followed by reward."""
    if seen != 0:
        return prefer(hyper, memory.second[seen - 1], rng)
    return prefer(hyper, memory.first, rng)


@kernel
def act_by_model(hyper, memory, seen, rng):
    """At the first step, value actions by where they lead and what the best lottery there is worth."""
    if seen != 0:
        return prefer(hyper, memory.second[seen - 1], rng)
    one = max(memory.second[0, 0], memory.second[0, 1])
    two = max(memory.second[1, 0], memory.second[1, 1])
    memory.planned[0] = memory.common * one + (1.0 - memory.common) * two
    memory.planned[1] = (1.0 - memory.common) * one + memory.common * two
    return prefer(hyper, memory.planned, rng)


@kernel
def credit_both_steps(hyper, memory, seen, action, reward, terminated, truncated, then, rng):
    """Move the values of what was chosen at both steps towards the reward."""
    if seen == 0:
        memory.chosen = action
        return
    memory.first[memory.chosen] += hyper.step_size * (reward - memory.first[memory.chosen])
    memory.second[seen - 1, action] += hyper.step_size * (reward - memory.second[seen - 1, action])
    if memory.lotteries == 1:
        memory.second[seen - 1, 1 - action] = memory.second[seen - 1, action]


class ModelFree(Player):
    """Repeats a first choice that was followed by reward, however it came about: TD(1).

    Hyper-parameters:
        step_size: of an update. sharpness: how strongly the better of two values is preferred (inverse temperature).

    Source: Daw et al. 2011.
    """

    params = Parameters(step_size=Real(0.5, 0.0, 1.0), sharpness=Real(5.0, 0.0, 1e3))
    begin, act, learn = start_level, act_by_habit, credit_both_steps

    @staticmethod
    def memory(p, variant):
        """The values of first choices and of lotteries, and the model."""
        return record(
            first=(np.float64, 2),
            second=(np.float64, (2, 2)),
            planned=(np.float64, 2),
            common=np.float64,
            lotteries=np.int64,
            chosen=np.int64,
        )

    def why_unsuitable(self, variant):
        """It knows two steps."""
        if not issubclass(variant.family, TwoStep):
            return f"{type(self).__name__} lives in TwoStep alone"
        return super().why_unsuitable(variant)


class ModelBased(ModelFree):
    """Learns what the lotteries are worth, and plans the first choice with the known chances of where it leads.

    Hyper-parameters:
        step_size: of an update. sharpness: how strongly the better of two values is preferred (inverse temperature).

    Source: Daw et al. 2011.
    """

    act = act_by_model


# --------------------------------------------------------------------------------------------- the family
class TwoStep(Family):
    """Rounds of two steps. The first choice leads to one of two places, commonly to its own; there, a lottery pays 1 or 0.

    Hidden:
        The chances of the lotteries in each round of the episode. With `variant="wang"`, one place pays with chance 0.9 and
        the other with 0.1, whatever is chosen there, and before each round the two swap with chance `change`. With
        `variant="daw"`, two lotteries at each place, whose four chances drift on their own between 0.25 and 0.75.

    Observation:
        `Discrete(3)`: 0 at the first step of a round, 1 or 2 at the second, in one place or the other.

    Actions:
        `Discrete(2)`. At the first step action 0 leads to place 1 and action 1 to place 2 with chance `common`, else to the
        other. At the second step it chooses the lottery (with `variant="wang"`, both are the same).

    Reward:
        0 at the first step; at the second 1 if the lottery pays, else 0.

    Episode:
        horizon / 2 rounds, then truncated. One episode is the whole learning problem, so a trial has one episode by default;
        with more, the same course of chances is lived again. (Psychology calls a round a trial; here a trial is one course.)

    Parameters:
        variant: "wang" or "daw". horizon: steps an episode. common: the chance of the common transition. change: the chance of
        a swap ("wang"), or the standard deviation of a round's drift ("daw").

    Splits:
        train, validation and test, by a hash of the course. A course that is more than 0.2 % of all draws is in each of
        them, as often as in all tasks: by default the two without a swap (8 % of draws); with 10 rounds these (80 %) and
        those of one swap (18 %), so that hardly anything is held out there. With `change=0` there is nothing else, and so no
        parts. Shifts `volatile`: four times the change (no course is so likely there, and those two are in one part, as the
        others are); `reversed`: what was common is rare.

    References:
        Return of an episode: random and memoryless-best 50; the oracle knows the chances of each round: 74, which is 100 (0.8
        x 0.9 + 0.2 x 0.1), exact. Simulated over 40,000 tasks (standard error 0.03): `ideal_observer`, the Bayes optimum of
        the `wang` variant, 70.55; `model_based` 65.5, `model_free` 63.4. Daw's variant as below: random 100.5, oracle 122.6 in
        the mean, `model_based` 107.4, `model_free` 107.3.

        There, first choices are repeated after reward on the common way, reward on the rare way, no reward on the common and
        on the rare way with chances 0.65, 0.45, 0.44, 0.65 by `model_based` (reward and transition interact) and 0.90, 0.90,
        0.55, 0.56 by `model_free` (reward alone counts).

    Source and variants:
        Wang et al. 2018 (Nature Neuroscience 21): the default, common 0.8, 100 rounds. Daw et al. 2011 (Neuron 69):
        `variant="daw", common=0.7, horizon=402`, drift 0.025 with reflecting bounds. Wang et al. 2016 (arXiv 1611.05763) used
        common 0.75 and 10 rounds. The stay probability (does the next first choice repeat the last, by reward and transition)
        tells planning from habit: see `model_based` and `model_free`.
    """

    params = Parameters(
        variant=Choice("wang", ("wang", "daw")),
        horizon=Integer(200, 1),
        common=Real(0.8, 0.0, 1.0),
        change=Real(0.025, 0.0, 1.0),
    )
    state = record(place=np.int64, round=np.int64, first=np.int64, paid=np.int64)
    sample_task, reset, step, observe = draw_course, at_first_step, choose, see_place
    condition, condition_anew = weigh_courses, from_first_round
    in_every_part = is_likely_course
    shifts = {"volatile": {"change": 0.1}, "reversed": {"common": 0.2}}
    references = {
        "oracle": oracle(choose_knowing_chances),
        "ideal_observer": IdealObserver(),
        "model_based": ModelBased(),
        "model_free": ModelFree(),
    }
    binary_reward = True
    curve_unit = "steps"
    keys = {"left": (0, "left"), "right": (1, "right")}

    @staticmethod
    def task(p: SimpleNamespace) -> np.dtype:
        """The chance of each lottery, [round, place, lottery]."""
        return record(chance=(np.float64, ((p.horizon + 1) // 2, 2, 2)))

    @staticmethod
    def statistics(p: SimpleNamespace) -> dict[str, np.ndarray] | None:
        """How likely rewards are by the course, and the step. There is no closed form of a drift."""
        if p.variant != "wang":
            return None
        return {"evidence": np.zeros(((p.horizon + 1) // 2, 2)), "total": np.zeros(1), "t": np.zeros(1, np.int64)}

    @staticmethod
    def spaces(p: SimpleNamespace):
        """Three places; two choices."""
        return Discrete(3), Discrete(2)

    @staticmethod
    def curve_unit_length(p: SimpleNamespace) -> int:
        """At most 20 blocks of whole rounds, all of one length (an odd horizon is one block)."""
        even = (n for n in range(2, p.horizon + 1, 2) if p.horizon % n == 0 and 20 * n >= p.horizon)
        return next(even, p.horizon)

    @staticmethod
    def task_errors(p: SimpleNamespace, tasks: np.ndarray) -> TaskErrors:
        """Chances lie between 0 and 1."""
        yield "chance", ~((tasks["chance"] >= 0) & (tasks["chance"] <= 1)), "is not between 0 and 1"

    @staticmethod
    def solve(p: SimpleNamespace, task: Row):
        """This round's chances, and the best of every later round: what is chosen changes no later round."""
        chance, first = np.array(task.chance), _first_choices(p, task)
        after = np.append(np.cumsum(first.max(axis=1)[::-1])[::-1], [0.0, 0.0])  # from each round on

        def q(state: Row, t: int) -> np.ndarray:
            if t >= p.horizon:
                return np.zeros(2)
            here = first[state.round] if state.place == 0 else chance[state.round, state.place - 1]
            return here + after[state.round + 1]

        return q

    @staticmethod
    def returns(p: SimpleNamespace, task: Row) -> Returns:
        """Random play gets the mean of all chances; the oracle the best of each round."""
        random = np.asarray(task.chance)[: p.horizon // 2].mean(axis=(1, 2)).sum()  # first choices lead to both places alike
        return Returns(float(random), float(_first_choices(p, task).max(axis=1).sum()))

    @staticmethod
    def memoryless_best(p: SimpleNamespace, task: Row) -> float:
        """Any choice, as at random: without history, all places and lotteries pay half of the time."""
        return TwoStep.returns(p, task).random

    @staticmethod
    def instructions(p: SimpleNamespace) -> str:
        """What there is to do, for people and language models alike."""
        if p.variant == "wang":
            return (
                "Go left or right to one of two places, then play its lottery (either action). One place pays often, the other "
                "rarely, and now and then they swap: get to the one that pays."
            )
        return (
            "Go left or right to one of two places, then play the left or the right lottery there. Some of the four pay more "
            "often than others, and that changes slowly: find the best."
        )

    @staticmethod
    def words(p: SimpleNamespace, seen: int) -> str:
        """Where one is."""
        return f"You are in place {seen}." if seen else "You are at the first step of a round."

    @staticmethod
    def draw(picture: Picture, p: SimpleNamespace, state: Row, task: Row | None) -> None:
        """The three places: the present one bright, the way that was taken, and what it paid; revealed, the chances too."""
        spots = ((240, 110), (130, 330), (350, 330))
        for action, place in ((0, 1), (0, 2), (1, 1), (1, 2)):
            start, end = spots[0][0] + (60 * action - 30), spots[place][0] + (24 * action - 12)
            common = (action + 1 == place) == (p.common >= 0.5)
            taken = state.first == action and state.place == place
            color = canvas.AGENT if taken else canvas.LINES
            picture.line(start, spots[0][1], end, spots[place][1], color, 7 if common else 2)
        for place, (x, y) in enumerate(spots):
            here = state.place == place
            picture.circle(x, y, 52, canvas.AGENT if here else canvas.FLOOR)
            color = canvas.BACKGROUND if here else canvas.TEXT
            picture.text(x, y - 10, "choose" if place == 0 else f"place {place}", size=18, color=color, align="center")
        if state.paid >= 0:
            won = state.paid == 1
            color = canvas.GOOD if won else canvas.BAD
            picture.text(
                240, 20, "the lottery paid" if won else "the lottery did not pay", size=17, color=color, align="center"
            )
        if task is not None:
            for place in (1, 2):
                chances = task.chance[min(state.round, len(task.chance) - 1), place - 1]
                text = f"{chances[0]:.2f}" if p.variant == "wang" else f"{chances[0]:.2f} or {chances[1]:.2f}"
                picture.text(spots[place][0], 388, f"pays: {text}", size=16, color=canvas.GOAL, align="center")
            _draw_course(picture, task)
        else:
            todo = "choose the left or the right way" if state.place == 0 else "play the lottery here: left or right"
            picture.text(240, 412, todo, size=16, align="center")
        picture.text(240, 454, "thick line: common way, thin line: rare way", size=14, color=canvas.MUTED, align="center")

    @staticmethod
    def describe(p: SimpleNamespace, state: Row, task: Row | None) -> str:
        """Where one is, what happened last; revealed, the chances of this round."""
        where = "at the first step" if state.place == 0 else f"in place {state.place}"
        last = {-1: "", 0: "; the lottery did not pay", 1: "; the lottery paid"}[state.paid]
        line = f"round {state.round + 1} of {(p.horizon + 1) // 2}, {where}{last}"
        if task is None:
            return line
        chances = np.asarray(task.chance[min(state.round, len(task.chance) - 1)])
        return line + "".join(f"\nplace {i + 1} pays with chance {a:.3f} or {b:.3f}" for i, (a, b) in enumerate(chances))


def _draw_course(picture: Picture, task: Row) -> None:
    """The chances of both places in every round, from the first at the left to the last: the better lottery of each."""
    best = np.asarray(task.chance).max(axis=2)
    left, width = 100, 280 / len(best)
    for place, color in ((0, canvas.AGENT), (1, canvas.ACCENT)):
        picture.text(left - 8, 412 + 18 * place, f"place {place + 1}", size=13, color=color, align="right")
        for r, chance in enumerate(best[:, place]):
            height = 14 * chance
            picture.rectangle(left + r * width, 426 + 18 * place - height, max(width, 1), height, color)
    picture.text(388, 412, "chance in each", size=13, color=canvas.MUTED)
    picture.text(388, 430, "round", size=13, color=canvas.MUTED)


def _first_choices(p: SimpleNamespace, task: Row) -> np.ndarray:
    """What each first choice is worth with the best lottery after it, [round, action]; a round cut short pays nothing."""
    lead = np.array([[p.common, 1 - p.common], [1 - p.common, p.common]])
    worth = np.asarray(task.chance).max(axis=2) @ lead
    worth[p.horizon // 2 :] = 0.0
    return worth
