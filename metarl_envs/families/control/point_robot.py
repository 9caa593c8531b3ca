"""PointRobot: a point that must find its goal on a semicircle."""

from __future__ import annotations

import functools
import itertools
import math
from types import SimpleNamespace

import numpy as np
from gymnasium.spaces import Box

from metarl_envs.engine import (
    Family,
    Integer,
    Parameters,
    Picture,
    Real,
    Returns,
    Row,
    TaskErrors,
    canvas,
    clip,
    kernel,
    oracle,
    record,
)
from metarl_envs.families.control.dynamics import within

#: How far an action of 1 goes along its axis.
STRIDE = 0.1
#: Goals that stand for all of them, where an expectation is worked out.
_GOALS = 20_000
#: Where the start is in the picture, along both axes, and how long a circle's radius is there.
_MIDDLE, _RADIUS = canvas.WORLD / 2, canvas.WORLD / 3


@kernel
def goal_on_arc(params, task, rng):
    """Put the goal on the unit circle, at any angle between `low` and `high`."""
    angle = within(rng, params.low, params.high) * (math.pi / 180.0)
    task.goal[0] = math.cos(angle)
    task.goal[1] = math.sin(angle)


@kernel
def at_origin(params, task, state, rng):
    """Start in the middle of the circle."""
    state.at[0] = 0.0
    state.at[1] = 0.0


@kernel
def distance_after(task, state, action):
    """Move, and measure how far the goal is."""
    state.at[0] += STRIDE * action[0]
    state.at[1] += STRIDE * action[1]
    x = state.at[0] - task.goal[0]
    y = state.at[1] - task.goal[1]
    return math.sqrt(x * x + y * y)


@kernel
def glide(params, task, state, action, rng):
    """Move; the distance left is the cost."""
    return -distance_after(task, state, action), False


@kernel
def glide_in_the_dark(params, task, state, action, rng):
    """Move; near the goal it pays 1 less the distance, elsewhere nothing."""
    distance = distance_after(task, state, action)
    return (1.0 - distance if distance <= params.radius else 0.0), False


@kernel
def see_place(params, task, state, obs):
    """See where one is, and nothing else."""
    obs[0] = state.at[0]
    obs[1] = state.at[1]


@kernel
def steer_to_goal(hyper, memory, params, task, state, rng, action):
    """Go to the goal along both axes, at full speed until one is reached."""
    action[0] = clip((task.goal[0] - state.at[0]) / STRIDE, -1.0, 1.0)
    action[1] = clip((task.goal[1] - state.at[1]) / STRIDE, -1.0, 1.0)


class PointRobot(Family):
    """A point on a plane. Its goal lies on a semicircle around the start, the same for the whole trial.

    Hidden:
        The goal, on the unit circle at an angle uniform between `low` and `high` degrees.

    Observation:
        `Box(-horizon / 10, horizon / 10, (2,), float32)`: the point's own (x, y). Never the goal.

    Actions:
        `Box(-1, 1, (2,), float32)`: the move along x and y, in tenths of the circle's radius.

    Reward:
        Minus the distance to the goal after the move.

    Episode:
        Starts at (0, 0). Truncated after `horizon` steps; never terminates. The paper gives three episodes to a task:
        `episodes_per_trial=3`.

    Parameters:
        horizon: steps an episode. low, high: the range of the goal's angle, in degrees.

    Splits:
        train, validation and test, by a hash of the goal. Shift `lower_half`: goals on the other semicircle.

    References:
        Return of an episode: oracle -3.841 in the mean over goals (exact for each: at full speed along both axes it is as near
        as can be at every step); memoryless-best -71.92 (up the y axis, to where the mean distance is least); random -109.2
        (simulated over 100,000 tasks, standard error 0.1).

    Source and variants:
        VariBAD (Zintgraf et al. 2020, arXiv 1910.08348), after PEARL (Rakelly et al. 2019): 100 steps. Off-policy VariBAD and
        others use 60 steps (`horizon=60`). gymnax pays from the place before the move and starts anywhere in the half disc.
    """

    params = Parameters(horizon=Integer(100, 1, 10**6), low=Real(0.0, -360.0, 360.0), high=Real(180.0, -360.0, 360.0))
    task = record(goal=(np.float64, 2))
    state = record(at=(np.float64, 2))
    sample_task, reset, step, observe = goal_on_arc, at_origin, glide, see_place
    shifts = {"lower_half": {"low": 180.0, "high": 360.0}}
    references = {"oracle": oracle(steer_to_goal, array_actions=True)}

    @staticmethod
    def spaces(p: SimpleNamespace):
        """All places that can be reached; a move along both axes."""
        reach = STRIDE * p.horizon
        return Box(-reach, reach, (2,), np.float32), Box(-1.0, 1.0, (2,), np.float32)

    @staticmethod
    def parameter_error(p: SimpleNamespace) -> str | None:
        """The range must not be upside down."""
        return None if p.low <= p.high else f"low={p.low} must not exceed high={p.high}"

    @staticmethod
    def task_errors(p: SimpleNamespace, tasks: np.ndarray) -> TaskErrors:
        """A goal lies on the circle."""
        yield "goal", ~np.isclose(np.hypot(*tasks["goal"].T), 1), "does not lie on the unit circle"

    @staticmethod
    def returns(p: SimpleNamespace, task: Row) -> Returns:
        """The oracle's distances; no formula is known for the random walk's."""
        return Returns(math.nan, -float(_distances(p, task).sum()))

    @staticmethod
    def memoryless_best(p: SimpleNamespace, task: Row) -> float | None:
        """Up the y axis (or down) at full speed, to where the mean distance to all goals is least.

        Worked out where goals are alike on both sides of that axis.
        """
        heights = _heights_on_the_axis(p.low, p.high)
        if heights is None:
            return None
        return _earned_in_all(-np.hypot(task.goal[0], task.goal[1] - heights), p.horizon)

    @staticmethod
    def instructions(p: SimpleNamespace) -> str:
        """What there is to do, for people and language models alike."""
        return (
            "The goal is hidden somewhere on the arc. Every step costs the distance to it: get there, and stay. "
            "In every episode of the trial it is the same place."
        )

    @staticmethod
    def click_action(p: SimpleNamespace, state: Row, x: float, y: float) -> tuple[float, float]:
        """For people who play: the move straight to a place of the picture, as far as one step goes."""
        dx = ((x - _MIDDLE) / _RADIUS - state.at[0]) / STRIDE
        dy = ((_MIDDLE - y) / _RADIUS - state.at[1]) / STRIDE
        farther = max(abs(dx), abs(dy), 1.0)
        return dx / farther, dy / farther

    @staticmethod
    def words(p: SimpleNamespace, seen: np.ndarray) -> str:
        """Where the point is."""
        return f"You are at ({seen[0]:.3f}, {seen[1]:.3f}), in radii of the circle; an action moves by tenths of a radius."

    @staticmethod
    def draw(picture: Picture, p: SimpleNamespace, state: Row, task: Row | None) -> None:
        """The plane from above, three radii wide, with the arc on which goals lie; beyond it the point is at the edge."""
        middle, radius = _MIDDLE, _RADIUS
        picture.rectangle(12, 12, canvas.WORLD - 24, canvas.WORLD - 24, canvas.FLOOR, 10)

        def spot(x: float, y: float) -> tuple[float, float]:
            low, high = 20, canvas.WORLD - 20
            return min(max(middle + radius * x, low), high), min(max(middle - radius * y, low), high)

        arc = [spot(x, y) for x, y in _all_goals(p.low, p.high, 91).T]
        for (x0, y0), (x1, y1) in itertools.pairwise(arc):
            picture.line(x0, y0, x1, y1, canvas.LINES, 4)
        picture.circle(middle, middle, 4, canvas.MUTED)
        if task is not None:
            near = getattr(p, "radius", 0.0)
            if near:
                picture.circle(*spot(*task.goal), near * radius, canvas.PANEL)
            picture.star(*spot(*task.goal), 14, canvas.GOAL)
        picture.circle(*spot(*state.at), 10, canvas.AGENT)
        if task is None:
            picture.text(middle, canvas.WORLD - 40, "hidden: where on the arc", 14, canvas.MUTED, "center")
        picture.text(24, 24, f"({state.at[0]:+.2f}, {state.at[1]:+.2f})", size=15, color=canvas.MUTED)

    @staticmethod
    def describe(p: SimpleNamespace, state: Row, task: Row | None) -> str:
        """Where the point is; revealed, where the goal is."""
        line = f"at ({state.at[0]:+.3f}, {state.at[1]:+.3f})"
        return line if task is None else f"{line}, goal at ({task.goal[0]:+.3f}, {task.goal[1]:+.3f})"


class PointRobotSparse(PointRobot):
    """PointRobot, paid only near the goal: it must be searched for.

    Reward:
        1 less the distance to the goal where that is at most `radius` after the move, else 0.

    Parameters:
        horizon: steps an episode. low, high: the range of the goal's angle, in degrees. radius: how near the goal it pays.

    References:
        Return of an episode: oracle 93.38 in the mean over goals (exact for each); memoryless-best 10.89 (along a diagonal to
        the rim of the semicircle and stay); random 0.56 (simulated over 100,000 tasks, standard error 0.01).

    Source and variants:
        VariBAD's SparsePointEnv (Zintgraf et al. 2020, arXiv 1910.08348), after PEARL (Rakelly et al. 2019): radius 0.2, and
        within it 1 less the distance. gymnax pays 1 and moves the point on a hit.
    """

    params = Parameters(**PointRobot.params.parameters, radius=Real(0.2, 0.0, 1.0))
    step = glide_in_the_dark

    @staticmethod
    def instructions(p: SimpleNamespace) -> str:
        """What there is to do, for people and language models alike."""
        return (
            f"The goal is hidden somewhere on the arc. It pays only within {p.radius:g} radii of it, the more the nearer: "
            "search, and stay there. In every episode of the trial it is the same place."
        )

    @staticmethod
    def returns(p: SimpleNamespace, task: Row) -> Returns:
        """The oracle's distances, where they pay; no formula is known for the random walk."""
        distance = _distances(p, task)
        return Returns(math.nan, float((1 - distance)[distance <= p.radius].sum()))

    @staticmethod
    def memoryless_best(p: SimpleNamespace, task: Row) -> float | None:
        """Along a diagonal to the arc's rim, and stay: no other way is faster, and no place sees more goals.

        Worked out where a diagonal meets the arc well away from its ends. Where there are several such, all are as likely.
        """
        diagonals = [angle for angle in range(-315, 360, 90) if min(angle - p.low, p.high - angle) >= 30]
        if p.radius > 0.5 or not diagonals or p.high - p.low > 360:
            return None
        places = _until(_best_place_on_a_diagonal(p.radius), math.sqrt(2) * STRIDE)
        x, y = np.outer(places, np.cos(np.radians(diagonals))), np.outer(places, np.sin(np.radians(diagonals)))
        distance = np.hypot(x - task.goal[0], y - task.goal[1])
        return _earned_in_all(np.where(distance <= p.radius, 1 - distance, 0.0).mean(axis=1), p.horizon)


@functools.lru_cache(maxsize=64)
def _heights_on_the_axis(low: float, high: float) -> np.ndarray | None:
    """Where on the y axis a point is after each step, at full speed to where the mean distance to goals is least.

    The last is where it stays. None where goals are not alike on both sides of the axis.
    """
    x, y = _all_goals(low, high)
    if abs(x.mean()) > 1e-9:
        return None
    places = np.linspace(0, 1, 2001)
    up = 1.0 if y.mean() >= 0 else -1.0
    best = places[np.argmin([np.hypot(x, y - up * place).mean() for place in places])]
    return up * _until(best, STRIDE)


@functools.lru_cache(maxsize=64)
def _best_place_on_a_diagonal(radius: float) -> float:
    """How far from the start one is paid most in the mean over goals at all angles, where it pays within `radius`."""
    goal = np.radians(30) * (np.arange(_GOALS) + 0.5) / _GOALS  # on one side of the diagonal; beyond, none is near enough
    places = np.linspace(0, 1, 1001)
    distances = (np.sqrt(1 + place**2 - 2 * place * np.cos(goal)) for place in places)
    return float(places[np.argmax([(1 - distance)[distance <= radius].sum() for distance in distances])])


def _distances(p: SimpleNamespace, task: Row) -> np.ndarray:
    """How far the goal is after each step of the oracle: the least that is possible, on each axis and so in all."""
    steps = STRIDE * np.arange(1, p.horizon + 1)
    x, y = (np.maximum(abs(goal) - steps, 0.0) for goal in task.goal)
    return np.hypot(x, y)


def _until(place: float, stride: float) -> np.ndarray:
    """How far one is after each step of a straight walk from 0 to a place, at most 1 away; the last is the place itself."""
    steps = stride * np.arange(1, 1 / stride + 1)
    return np.append(steps[steps < place], place)


def _earned_in_all(paid: np.ndarray, horizon: int) -> float:
    """What is earned in an episode by what each step pays, of which the last is paid for ever."""
    return float(paid[:horizon].sum() + paid[-1] * max(0, horizon - len(paid)))


def _all_goals(low: float, high: float, count: int = _GOALS) -> np.ndarray:
    """Goals at even angles, [axis, goal]: the middles of `count` equal parts of the range."""
    angles = np.radians(low + (high - low) * (np.arange(count) + 0.5) / count)
    return np.stack([np.cos(angles), np.sin(angles)])
