"""Pendulum with hidden dynamics: Gymnasium's equations, with a mass, a length and a sign that must be found out."""

from __future__ import annotations

import math
from types import SimpleNamespace

import numpy as np
from gymnasium.spaces import Box

from metarl_envs.engine import (
    Choice,
    Family,
    Flag,
    Integer,
    Oracle,
    Parameters,
    Picture,
    Player,
    Row,
    TaskErrors,
    canvas,
    clip,
    kernel,
    record,
    uniform,
)
from metarl_envs.families.control.dynamics import (
    feedback,
    feedback_fields,
    find_feedback,
    inside_or_outside,
    sign_of_actions,
)

PACKER, EXTRAPOLATION, NOTHING = range(3)

#: What Gymnasium's Pendulum-v1 has: the values of what does not vary.
GRAVITY, MASS, LENGTH = 10.0, 1.0, 1.0
#: Seconds a step, and the limits of spin and torque.
DT, FASTEST, STRONGEST = 0.05, 8.0, 2.0


@kernel
def draw_pendulum(params, task, rng):
    """Draw what varies; the rest is as Gymnasium has it."""
    task.gravity, task.mass, task.length = GRAVITY, MASS, LENGTH
    task.sign = sign_of_actions(rng, params.flip)
    if params.vary != NOTHING:
        outside = params.vary == EXTRAPOLATION
        task.mass = inside_or_outside(rng, outside, 0.5, 0.75, 1.25, 1.5)
        task.length = inside_or_outside(rng, outside, 0.5, 0.75, 1.25, 1.5)


@kernel
def anywhere(params, task, state, rng):
    """Start at any angle, with a spin between -1 and 1."""
    state.x[0] = -math.pi + 2.0 * math.pi * uniform(rng)
    state.x[1] = -1.0 + 2.0 * uniform(rng)
    state.torque = 0.0


@kernel
def from_upright(angle):
    """The angle as a number from -pi to pi."""
    return ((angle + math.pi) % (2.0 * math.pi)) - math.pi


@kernel
def single(x):
    """A number rounded to single precision."""
    return float(np.float32(x))


@kernel
def swing(params, task, state, action, rng):
    """Turn the pendulum; the arithmetic is Gymnasium's, in its order: what a torque is multiplied by is in single precision."""
    angle, spin = state.x[0], state.x[1]
    torque = single(action[0])
    deviation = from_upright(angle)
    cost = deviation * deviation + 0.1 * (spin * spin) + single(single(0.001) * single(torque * torque))
    lever = single(3.0 / (task.mass * (task.length * task.length)))
    fall = 3.0 * task.gravity / (2.0 * task.length) * math.sin(angle)
    spin = clip(spin + (fall + single(lever * (torque * task.sign))) * DT, -FASTEST, FASTEST)
    state.x[0] = angle + spin * DT
    state.x[1] = spin
    state.torque = torque
    return -cost, False


@kernel
def see_motion(params, task, state, obs):
    """See where the tip is and how fast it spins."""
    obs[0] = math.cos(state.x[0])
    obs[1] = math.sin(state.x[0])
    obs[2] = state.x[1]


# --------------------------------------------------------------------------------------------- references
@kernel
def understand(m, gravity, mass, length):
    """Linearise about upright, and find the feedback for it."""
    m.fall = 1.5 * gravity / length
    m.lever = 3.0 / (mass * length * length)
    m.a[1, 0] = m.fall * DT
    m.a[0, 0] = 1.0 + m.a[1, 0] * DT
    m.a[0, 1] = DT
    m.a[1, 1] = 1.0
    m.b[1] = m.lever * DT
    m.b[0] = m.b[1] * DT
    m.penalty[0] = 1.0
    m.penalty[1] = 0.1
    find_feedback(m, 0.03)


@kernel
def raise_and_hold(m, angle, spin):
    """The torque that holds upright, where it is near or the torque can lift from anywhere; else one that adds swing.

    Swing is energy, counted from standing still upright: too little is raised, too much is braked.
    """
    m.x[0] = angle
    m.x[1] = spin
    hold = feedback(m, m.x)
    near = (abs(angle) < 1.0) & (abs(hold) < 4.0 * STRONGEST)
    if near or m.fall < m.lever * STRONGEST:
        return clip(hold, -STRONGEST, STRONGEST)
    energy = 0.5 * spin * spin + m.fall * (math.cos(angle) - 1.0)
    push = clip(-10.0 * energy, -STRONGEST, STRONGEST)
    return push if spin >= 0.0 else -push


@kernel
def know_dynamics(hyper, memory, params, task, rng):
    """Understand the true dynamics."""
    understand(memory, task.gravity, task.mass, task.length)
    memory.sign = task.sign


@kernel
def swing_up(hyper, memory, params, task, state, rng, action):
    """Raise the pendulum and hold it."""
    action[0] = memory.sign * raise_and_hold(memory, from_upright(state.x[0]), state.x[1])


class SwingUp(Oracle):
    """A strong controller that knows the dynamics, not proven optimal.

    It swings up by energy, and holds by the best linear feedback.
    """

    array_actions = True
    begin, act = know_dynamics, swing_up

    @staticmethod
    def memory(p, variant):
        """The linear system and its feedback, the pull of gravity, the torque's lever, and which way it acts."""
        return record(**feedback_fields(2), x=(np.float64, 2), fall=np.float64, lever=np.float64, sign=np.float64)


@kernel
def expect_gymnasium(hyper, memory, params, rng):
    """Expect the dynamics of Gymnasium's Pendulum."""
    understand(memory, GRAVITY, MASS, LENGTH)
    memory.sign = 1.0


@kernel
def swing_up_by_sight(hyper, memory, seen, rng, action):
    """Raise the pendulum and hold it, as far as one knows which way that is."""
    angle = math.atan2(1.0 * seen[1], 1.0 * seen[0])  # in double precision
    action[0] = memory.sign * raise_and_hold(memory, angle, seen[2])


class Nominal(Player):
    """Swings up and holds as if the dynamics were Gymnasium's. It remembers nothing."""

    observes = "observation"
    array_actions = True
    begin, act = expect_gymnasium, swing_up_by_sight
    memory = staticmethod(SwingUp.memory)


@kernel
def notice_sign(hyper, memory, seen, action, reward, terminated, truncated, then, rng):
    """What spins up faster than gravity alone would do it was pushed that way; at the limit of spin nothing is told."""
    expected = seen[2] + memory.fall * seen[1] * DT
    pushed = then[2] - expected
    if abs(action[0]) > 0.5 * STRONGEST and abs(then[2]) < FASTEST and abs(expected) < FASTEST:
        memory.sign = 1.0 if (pushed > 0.0) == (action[0] > 0.0) else -1.0


class FindsSign(Nominal):
    """Swings up and holds as if the dynamics were Gymnasium's, the right way round once that has been seen."""

    learn = notice_sign


# --------------------------------------------------------------------------------------------- the family
class Pendulum(Family):
    """A pendulum to swing up and hold. Its dynamics, and which way a torque acts, stay the same for the whole trial.

    Hidden:
        Mass and length, each uniform in its range (see `vary`); with `flip`, in half of the tasks torques act the other way. A
        task has gravity (10 m/s²), mass (1 kg), length (1 m) and sign (1, or -1 for the other way); in brackets, what
        Gymnasium has.

    Observation:
        `Box([-1, -1, -8], [1, 1, 8], (3,), float32)`: cosine and sine of the angle from upright, and spin (rad/s).

    Actions:
        `Box(-2, 2, (1,), float32)`: the torque (N m); the other way where sign is -1. Gymnasium cuts off what lies outside;
        here it is an error, as everywhere in this package.

    Reward:
        -(angle² + 0.1 spin² + 0.001 torque²), of the angle (-pi to pi) and spin before the step.

    Episode:
        Starts at any angle with a spin uniform in [-1, 1]. Truncated after `horizon` steps; never terminates.

    Parameters:
        horizon: steps an episode. vary: "packer" (mass and length 0.75 to 1.25), "extrapolation" (outside of those: 0.5 to 1.5
        without the inner range) or "nothing" (Gymnasium's own values). flip: whether torques act the other way in half of the
        tasks.

    Splits:
        train, validation and test, by a hash of the dynamics. Shift `extrapolation`: `vary="extrapolation"`.

    References:
        Return of an episode over 40,000 tasks (standard error 0.5; of `nominal` 4), in brackets where it extrapolates: random
        -1242.6 (-1300.3); `oracle` -148.2 (-142.5); `nominal`, the same controller taking the dynamics for Gymnasium's and
        remembering nothing, -993 (-1021); `finds_sign`, which notices which way torques act, -151.8 (-270.9). With
        `flip=False`, `nominal` earns -148.1: Packer's range alone needs no memory. `oracle` is a strong controller that knows
        the dynamics, not proven optimal: on Gymnasium's own dynamics it earns -150.2, where planning on a fine grid of states
        promises about -138.

    Source and variants:
        Gymnasium's Pendulum-v1: with a task of the values in brackets, states and observations are the same step for step (from
        the same state; starts come from this package's streams), to the last bit where NumPy's sines are those of C. So are
        rewards but for one in a thousand, which differs by less than 5e-10: Gymnasium raises the torque to the power of 2 in
        single precision, which is not always the square rounded to it, and not the same everywhere. Ranges: Packer et al. 2018
        (arXiv 1810.12282; its R, and its E outside of R). It has no `flip`.
    """

    params = Parameters(
        horizon=Integer(200, 1),
        vary=Choice("packer", ("packer", "extrapolation", "nothing")),
        flip=Flag(True),
    )
    task = record(gravity=np.float64, mass=np.float64, length=np.float64, sign=np.float64)
    state = record(x=(np.float64, 2), torque=np.float64)
    sample_task, reset, step, observe = draw_pendulum, anywhere, swing, see_motion
    shifts = {"extrapolation": {"vary": "extrapolation"}}
    references = {"oracle": SwingUp(), "nominal": Nominal(), "finds_sign": FindsSign()}
    heuristics = ("nominal",)
    realtime = True

    @staticmethod
    def spaces(p: SimpleNamespace):
        """As in Gymnasium."""
        high = np.array([1.0, 1.0, FASTEST], np.float32)
        return Box(-high, high, dtype=np.float32), Box(-STRONGEST, STRONGEST, (1,), np.float32)

    @staticmethod
    def all_tasks(p: SimpleNamespace, dtype: np.dtype) -> np.ndarray | None:
        """Gymnasium's own dynamics, one way round or both, where nothing else varies."""
        if p.vary != "nothing":
            return None
        return np.array([(GRAVITY, MASS, LENGTH, sign) for sign in ((1.0, -1.0) if p.flip else (1.0,))], dtype)

    @staticmethod
    def task_errors(p: SimpleNamespace, tasks: np.ndarray) -> TaskErrors:
        """Everything is positive; a sign is 1 or -1."""
        for name in ("gravity", "mass", "length"):
            yield name, ~(np.isfinite(tasks[name]) & (tasks[name] > 0)), "must be a positive number"
        yield "sign", np.abs(tasks["sign"]) != 1, "must be 1 or -1"

    @staticmethod
    def instructions(p: SimpleNamespace) -> str:
        """What there is to do, for people and language models alike."""
        way = "Which way your torque turns it is hidden." if p.flip else "How heavy and long it is is hidden."
        return (
            f"Swing the pendulum up, and hold it upright (at the green mark): being away from there, and spinning, costs. {way}"
        )

    @staticmethod
    def words(p: SimpleNamespace, seen: np.ndarray) -> str:
        """The three numbers."""
        cosine, sine, spin = seen.tolist()
        return f"The angle from upright has cosine {cosine:.4f} and sine {sine:.4f}; the spin is {spin:.4f} rad/s."

    @staticmethod
    def draw(picture: Picture, p: SimpleNamespace, state: Row, task: Row | None) -> None:
        """The pendulum from the side, and the torque last asked for; it has its true length only where the task is shown."""
        middle, metre = canvas.WORLD / 2, 110
        length = metre * (LENGTH if task is None else task.length)
        tip = middle - length * math.sin(state.x[0]), middle - 30 - length * math.cos(state.x[0])
        picture.line(middle, middle - 30 - 190, middle, middle - 30 - 178, canvas.GOOD, 4)
        picture.line(middle, middle - 30, *tip, canvas.GOAL if task is not None else canvas.TEXT, 12)
        picture.circle(*tip, 16, canvas.AGENT)
        picture.circle(middle, middle - 30, 8, canvas.MUTED)
        turn = "" if not state.torque else ", anticlockwise" if state.torque > 0 else ", clockwise"
        asked = f"torque asked for {state.torque:+.2f} N m{turn}"
        picture.text(middle, 400, asked, size=15, color=canvas.MUTED, align="center")
        picture.rectangle(middle - 100, 424, 200, 8, canvas.LINES, 4)
        reach = 100 * state.torque / STRONGEST
        picture.rectangle(middle + min(reach, 0), 424, abs(reach), 8, canvas.ACCENT, 4)
        text, color = ("length and mass are hidden", canvas.MUTED) if task is None else (_facts(task), canvas.GOAL)
        picture.text(middle, 444, text, size=15, color=color, align="center")

    @staticmethod
    def describe(p: SimpleNamespace, state: Row, task: Row | None) -> str:
        """Angle, spin and torque; revealed, the dynamics."""
        angle = math.remainder(state.x[0], 2 * math.pi)
        line = f"angle {angle:+.3f} rad from upright, spin {state.x[1]:+.3f} rad/s, torque asked for {state.torque:+.2f}"
        return line if task is None else f"{line}\n{_facts(task)}"


def _facts(task: Row) -> str:
    """The hidden dynamics in words."""
    way = "as asked" if task.sign > 0 else "the other way"
    return f"{task.mass:.3f} kg, {task.length:.3f} m, gravity {task.gravity:.1f} m/s², torque acts {way}"
