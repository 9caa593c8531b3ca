"""Random tabular MDPs: unknown mean rewards, unknown transitions."""

from __future__ import annotations

import math
from types import SimpleNamespace

import numpy as np
from gymnasium.spaces import Discrete

from metarl_envs.engine import (
    Family,
    Integer,
    Oracle,
    Parameters,
    Picture,
    Real,
    Returns,
    Row,
    TaskErrors,
    canvas,
    exponential,
    kernel,
    normal,
    record,
    uniform,
)


@kernel
def draw_mdp(params, task, rng):
    """Draw mean rewards from a normal, and each row of transition chances from a flat Dirichlet."""
    for s in range(params.states):
        for a in range(params.actions):
            task.reward[s, a] = params.reward_mean + params.reward_sd * normal(rng)
            total = 0.0
            for s2 in range(params.states):
                share = exponential(rng)
                task.transition[s, a, s2] = share
                total += share
            for s2 in range(params.states):
                task.transition[s, a, s2] /= total


@kernel
def at_first_state(params, task, state, rng):
    """Start in state 0."""
    state.s = 0


@kernel
def move(params, task, state, action, rng):
    """Pay the state's and action's mean reward with noise, and go to a random next state."""
    s = state.s
    left = uniform(rng)
    s2 = 0
    while s2 < params.states - 1 and left >= task.transition[s, action, s2]:
        left -= task.transition[s, action, s2]
        s2 += 1
    state.s = s2
    return task.reward[s, action] + params.noise * normal(rng), False


@kernel
def see_state(params, task, state, obs):
    """See the state's number."""
    obs[0] = state.s


@kernel
def add_to_normal_and_count(params, belief, seen, action, reward, then):
    """Conjugate updates: the reward has known noise, the transition is counted."""
    s, s2 = int(seen[0]), int(then[0])
    mean, precision, total = belief.mean[s, action], belief.precision[s, action], 0.0
    for other in range(params.states):
        total += belief.counts[s, action, other]
    chance = belief.counts[s, action, s2] / total
    variance = 1.0 / precision + params.noise**2
    after = precision + params.noise**-2
    belief.mean[s, action] += (reward - mean) * params.noise**-2 / after
    belief.precision[s, action] = after
    belief.counts[s, action, s2] += 1.0
    return math.log(chance) - 0.5 * ((reward - mean) ** 2 / variance + math.log(2.0 * math.pi * variance))


# --------------------------------------------------------------------------------------------- the oracle
@kernel
def plan_optimally(hyper, memory, params, task, rng):
    """Backward induction over the steps of an episode: the best action in each state at each step."""
    for s in range(params.states):
        memory.value[0, s] = 0.0
    for back in range(params.horizon):
        t = params.horizon - 1 - back
        for s in range(params.states):
            best = -1e300
            for a in range(params.actions):
                q = task.reward[s, a]
                for s2 in range(params.states):
                    q += task.transition[s, a, s2] * memory.value[back % 2, s2]
                if q > best:
                    best = q
                    memory.best[t, s] = a
            memory.value[(back + 1) % 2, s] = best


@kernel
def follow_plan(hyper, memory, params, task, state, rng):
    """Do what the plan says here and now."""
    action = memory.best[memory.t, state.s]
    memory.t += 1
    return action


@kernel
def watch_the_clock(hyper, memory, seen, action, reward, terminated, truncated, then, rng):
    """A new episode starts the plan again."""
    if terminated or truncated:
        memory.t = 0


class OptimalPlan(Oracle):
    """Knows the MDP and follows the plan that is optimal for an episode of its length."""

    begin, act, learn = plan_optimally, follow_plan, watch_the_clock

    @staticmethod
    def memory(p, variant):
        """The plan, two rows of values, and the step."""
        shape = variant.p.horizon, variant.p.states
        return record(best=(np.int16, shape), value=(np.float64, (2, shape[1])), t=np.int64)


class TabularMDP(Family):
    """A random MDP of a few states and actions. Its rewards and its transitions stay the same for the whole trial.

    Hidden:
        The mean reward of every state and action, from N(reward_mean, reward_sd²), and the chances of the next state for
        each, from a flat Dirichlet.

    Observation:
        `Discrete(states)`: the state.

    Actions:
        `Discrete(actions)`.

    Reward:
        The mean reward of the state left and the action taken, plus normal noise of standard deviation `noise`.

    Episode:
        Starts in state 0. Truncated after `horizon` steps; never terminates.

    Parameters:
        states, actions: how many. horizon: steps an episode. reward_mean, reward_sd: the distribution of mean rewards.
        noise: the standard deviation of rewards around their means.

    Splits:
        train, validation and test, by a hash of rewards and transitions. Shift `noisy`: three times the noise, of which no
        learner is told (`psrl` and `ucrl2` take the default's as known there too).

    References:
        Sum over 10 and 25 episodes, 10 states and 5 actions: random and memoryless-best 100 and 250 (exactly
        horizon x reward_mean an episode), PSRL with the true prior 133.4-134.4 and 403-405, the optimum of the known MDP 218.4
        and 546 (backward induction over 60,000 tasks: 21.837 an episode, standard error 0.009).

    Source and variants:
        RL² (Duan et al. 2016, arXiv 1611.02779). It prints for 10 and 25 episodes: random 100.1 and 250.2, PSRL 138.1 and
        408.8, OPSRL 144.1 and 425.2, UCRL2 146.6 and 424.1, RL² 156.2 and 445.7. The printed PSRL follows from a reward prior
        of N(0, 1) instead of the true N(1, 1): `PSRL(prior_mean=0)`.
    """

    params = Parameters(
        states=Integer(10, 2, 1000),
        actions=Integer(5, 2, 1000),
        horizon=Integer(10, 1),
        reward_mean=Real(1.0),
        reward_sd=Real(1.0, 0.0),
        noise=Real(1.0, 0.0),
    )
    state = record(s=np.int64)
    sample_task, reset, step, observe = draw_mdp, at_first_state, move, see_state
    condition = add_to_normal_and_count
    shifts = {"noisy": {"noise": 3.0}}
    references = {"oracle": OptimalPlan()}
    exchangeable_actions = True

    @staticmethod
    def task(p: SimpleNamespace) -> np.dtype:
        """Mean rewards [state, action] and transition chances [state, action, next state]."""
        shape = p.states, p.actions
        return record(reward=(np.float64, shape), transition=(np.float64, (*shape, p.states)))

    @staticmethod
    def spaces(p: SimpleNamespace):
        """States and actions by number."""
        return Discrete(p.states), Discrete(p.actions)

    @staticmethod
    def task_errors(p: SimpleNamespace, tasks: np.ndarray) -> TaskErrors:
        """Rewards are finite, and chances of the next state add up to 1."""
        yield "reward", ~np.isfinite(tasks["reward"]), "is not finite"
        yield "transition", tasks["transition"] < 0, "is no chance"
        yield "transition", ~np.isclose(tasks["transition"].sum(axis=-1), 1), "must be chances that add up to 1"

    @staticmethod
    def solve(p: SimpleNamespace, task: Row):
        """Backward induction, with rewards at their means."""
        reward, transition = np.asarray(task.reward), np.asarray(task.transition)
        q = np.zeros((p.horizon + 1, p.states, p.actions))  # after the last step, nothing
        for t in reversed(range(p.horizon)):
            q[t] = reward + transition @ q[t + 1].max(axis=1)

        def value(state: Row, t: int) -> np.ndarray:
            return q[min(t, p.horizon), state.s].copy()

        return value

    @staticmethod
    def prior(p: SimpleNamespace) -> dict[str, np.ndarray] | None:
        """Normal mean and precision of each mean reward; Dirichlet counts of each row of transitions."""
        if p.reward_sd == 0 or p.noise == 0:
            return None
        shape = p.states, p.actions
        return {
            "mean": np.full(shape, p.reward_mean),
            "precision": np.full(shape, p.reward_sd**-2),
            "counts": np.ones((*shape, p.states)),
        }

    @staticmethod
    def returns(p: SimpleNamespace, task: Row) -> Returns:
        """Backward induction for the uniform policy and for the best one."""
        reward, transition = np.asarray(task.reward), np.asarray(task.transition)
        uniform_value = best_value = np.zeros(p.states)
        for _ in range(p.horizon):
            uniform_value = (reward + transition @ uniform_value).mean(axis=1)
            best_value = (reward + transition @ best_value).max(axis=1)
        return Returns(float(uniform_value[0]), float(best_value[0]))

    @staticmethod
    def memoryless_best(p: SimpleNamespace, task: Row) -> float:
        """Any action, as at random: before any reward is seen, all are alike in each state, and so are all states."""
        return TabularMDP.returns(p, task).random

    @staticmethod
    def instructions(p: SimpleNamespace) -> str:
        """What there is to do, for people and language models alike."""
        return (
            "What an action pays, and where it leads, depends on the state and some luck. "
            "Find out which are good where: every episode starts in state 0 again."
        )

    @staticmethod
    def words(p: SimpleNamespace, seen: int) -> str:
        """The state."""
        return f"You are in state {seen} of the states 0 to {p.states - 1}."

    @staticmethod
    def draw(picture: Picture, p: SimpleNamespace, state: Row, task: Row | None) -> None:
        """The states on a circle, the present one bright; revealed, the mean reward of each action as a coloured square."""
        middle, radius = canvas.WORLD / 2, 175
        size = min(34.0, 380.0 / p.states)
        values = TabularMDP.solve(p, task) if task is not None and p.actions <= 12 and p.states <= 30 else None
        for s in range(p.states):
            angle = 2 * np.pi * s / p.states - np.pi / 2
            x, y = middle + radius * np.cos(angle), middle + radius * np.sin(angle)
            here = s == state.s
            picture.circle(x, y, size, canvas.AGENT if here else canvas.FLOOR)
            if p.states <= 30:
                color = canvas.BACKGROUND if here else canvas.MUTED
                picture.text(x, y - 9, str(s), size=18, color=color, align="center")
            if values and task is not None:
                best = int(values(Row(np.array((s,), record(s=np.int64))), 0).argmax())
                _draw_rewards(picture, p, task, s, best, x, y + size + 4)
        if task is None:
            picture.text(middle, middle - 22, f"state {state.s}", size=26, align="center")
            picture.text(middle, middle + 12, f"{p.actions} actions", size=15, color=canvas.MUTED, align="center")
        else:
            lines = "squares: what actions pay", "in the mean, in order", "(red low, green high)", "ringed: the best one"
            for i, line in enumerate(lines):
                picture.text(middle, middle - 40 + 20 * i, line, size=14, color=canvas.GOAL, align="center")

    @staticmethod
    def describe(p: SimpleNamespace, state: Row, task: Row | None) -> str:
        """The state; revealed, its mean rewards too."""
        line = f"state {state.s} of {p.states}; actions 0 to {p.actions - 1}"
        if task is None:
            return line
        means = " ".join(f"{value:.2f}" for value in task.reward[state.s])
        return f"{line}\nmean rewards here: {means}"


def _draw_rewards(picture: Picture, p: SimpleNamespace, task: Row, s: int, best: int, x: float, y: float) -> None:
    """A row of small squares, from red (low) to green (high); a ring around the action that is best with an episode ahead."""
    side = 9
    picture.outline(x + (best - p.actions / 2) * (side + 2) - 3, y - 3, side + 6, side + 6, canvas.GOAL, 1.5)
    for a in range(p.actions):
        share = min(max((task.reward[s, a] - p.reward_mean) / (4 * (p.reward_sd or 1)) + 0.5, 0), 1)
        low, high = canvas.BAD, canvas.GOOD
        color = tuple(round(low[i] + share * (high[i] - low[i])) for i in range(3))
        picture.rectangle(x + (a - p.actions / 2) * (side + 2), y, side, side, color, 2)
