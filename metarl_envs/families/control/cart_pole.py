"""CartPole with hidden dynamics: Gymnasium's equations, with masses, lengths, forces that must be found out."""

from __future__ import annotations

import math
from types import SimpleNamespace

import numpy as np
from gymnasium.spaces import Box, Discrete

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
    within,
)

PACKER, EXTRAPOLATION, XENOVERSE, NOTHING = range(4)

#: What Gymnasium's CartPole-v1 has: the values of what does not vary.
GRAVITY, MASSCART, MASSPOLE, LENGTH, FORCE = 9.8, 1.0, 0.1, 0.5, 10.0
#: Seconds a step, and where an episode ends.
TAU, FARTHEST, STEEPEST = 0.02, 2.4, 12 * 2 * math.pi / 360


@kernel
def draw_cart_and_pole(params, task, rng):
    """Draw what varies; the rest is as Gymnasium has it."""
    task.gravity, task.masscart, task.masspole, task.length, task.force = GRAVITY, MASSCART, MASSPOLE, LENGTH, FORCE
    task.sign = sign_of_actions(rng, params.flip)
    if params.vary == XENOVERSE:
        task.gravity = within(rng, 1.0, 11.0)
        task.masscart = within(rng, 0.5, 2.0)
        task.masspole = within(rng, 0.05, 0.2)
        task.length = within(rng, 0.25, 1.0)
    elif params.vary != NOTHING:
        outside = params.vary == EXTRAPOLATION
        task.force = inside_or_outside(rng, outside, 1.0, 5.0, 15.0, 20.0)
        task.length = inside_or_outside(rng, outside, 0.05, 0.25, 0.75, 1.0)
        task.masspole = inside_or_outside(rng, outside, 0.01, 0.05, 0.5, 1.0)


@kernel
def nearly_upright(params, task, state, rng):
    """Start near the middle, nearly upright, nearly at rest: each number between -0.05 and 0.05."""
    for i in range(4):
        state.x[i] = -0.05 + 0.1 * uniform(rng)


@kernel
def push_cart(params, task, state, action, rng):
    """Push the cart; the arithmetic is Gymnasium's, in its order."""
    x, speed, angle, spin = state.x[0], state.x[1], state.x[2], state.x[3]
    force = task.sign * (task.force if action == 1 else -task.force)
    cosine = math.cos(angle)
    sine = math.sin(angle)
    total = task.masspole + task.masscart
    moment = task.masspole * task.length
    pushed = (force + moment * (spin * spin) * sine) / total
    spin_up = (task.gravity * sine - cosine * pushed) / (task.length * (4.0 / 3.0 - task.masspole * (cosine * cosine) / total))
    speed_up = pushed - moment * spin_up * cosine / total
    x = x + TAU * speed
    angle = angle + TAU * spin
    state.x[0] = x
    state.x[1] = speed + TAU * speed_up
    state.x[2] = angle
    state.x[3] = spin + TAU * spin_up
    return 1.0, (x < -FARTHEST) | (x > FARTHEST) | (angle < -STEEPEST) | (angle > STEEPEST)


@kernel
def see_motion(params, task, state, obs):
    """See the whole motion, and nothing of what governs it. The bounds of the angle are Gymnasium's."""
    for i in range(4):
        obs[i] = state.x[i]
    obs[2] = clip(state.x[2], -2.0 * STEEPEST, 2.0 * STEEPEST)


# --------------------------------------------------------------------------------------------- references
@kernel
def understand(m, gravity, masscart, masspole, length, push):
    """Linearise about upright, and find the feedback for it."""
    total = masscart + masspole
    heavy = length * (4.0 / 3.0 - masspole / total)
    for i in range(4):
        for j in range(4):
            m.a[i, j] = 1.0 if i == j else 0.0
        m.b[i] = 0.0
        m.penalty[i] = 1.0
    m.a[0, 1] = TAU
    m.a[2, 3] = TAU
    m.a[3, 2] = TAU * gravity / heavy
    m.a[1, 2] = -m.a[3, 2] * masspole * length / total
    m.b[3] = -TAU * push / total / heavy
    m.b[1] = TAU * push / total - m.b[3] * masspole * length / total
    find_feedback(m, 1.0)


@kernel
def know_dynamics(hyper, memory, params, task, rng):
    """Understand the true dynamics."""
    understand(memory, task.gravity, task.masscart, task.masspole, task.length, task.force * task.sign)


@kernel
def balance(hyper, memory, params, task, state, rng):
    """Push the way the feedback wants."""
    return 1 if feedback(memory, state.x) > 0.0 else 0


class Balance(Oracle):
    """Knows the dynamics: pushes the way that the best linear feedback about upright wants."""

    begin, act = know_dynamics, balance

    @staticmethod
    def memory(p, variant):
        """The linear system and its feedback."""
        return record(**feedback_fields(4))


@kernel
def expect_gymnasium(hyper, memory, params, rng):
    """Expect the dynamics of Gymnasium's CartPole."""
    understand(memory, GRAVITY, MASSCART, MASSPOLE, LENGTH, FORCE)
    memory.sign = 1.0


@kernel
def balance_by_sight(hyper, memory, seen, rng):
    """Push the way the feedback wants, as far as one knows which way that is."""
    return 1 if feedback(memory, seen) * memory.sign > 0.0 else 0


class Nominal(Player):
    """Balances as if the dynamics were Gymnasium's. It remembers nothing."""

    observes = "observation"
    begin, act = expect_gymnasium, balance_by_sight

    @staticmethod
    def memory(p, variant):
        """The linear system and its feedback, and which way actions act."""
        return record(**feedback_fields(4), sign=np.float64)


@kernel
def notice_sign(hyper, memory, seen, action, reward, terminated, truncated, then, rng):
    """Action 1 makes the cart faster to the right, or else the left; action 0 the other way."""
    faster = then[1] > seen[1]
    memory.sign = 1.0 if faster == (action == 1) else -1.0


class FindsSign(Nominal):
    """Balances as if the dynamics were Gymnasium's, the right way round from the second step on."""

    learn = notice_sign


# --------------------------------------------------------------------------------------------- the family
class CartPole(Family):
    """A cart that balances a pole. Its dynamics, and which action pushes which way, stay the same for the whole trial.

    Hidden:
        Push, pole length and pole mass, each uniform in its range (see `vary`); with `flip`, in half of the tasks actions push
        the other way. A task has gravity (9.8 m/s²), masscart (1 kg), masspole (0.1 kg), length (0.5 m: half the pole), force
        (10 N) and sign (1, or -1 for the other way); in brackets, what Gymnasium has.

    Observation:
        `Box(4,) float32`: place (m), speed (m/s), angle (rad) and spin (rad/s), with Gymnasium's bounds. An angle beyond
        24 degrees, where only a push far stronger than Gymnasium's leads in one step, is shown as 24.

    Actions:
        `Discrete(2)`: push left (0) or right (1); the other way where sign is -1.

    Reward:
        1 for every step, also the one that ends the episode.

    Episode:
        Starts with all four numbers uniform in [-0.05, 0.05]. Terminates beyond 2.4 m or 12 degrees; truncated after `horizon`
        steps.

    Parameters:
        horizon: steps an episode. vary: "packer" (force 5 to 15, length 0.25 to 0.75, masspole 0.05 to 0.5), "extrapolation"
        (outside of those: force 1 to 20, length 0.05 to 1, masspole 0.01 to 1, each without its inner range), "xenoverse"
        (gravity 1 to 11, masscart 0.5 to 2, masspole 0.05 to 0.2, length 0.25 to 1) or "nothing" (Gymnasium's own values).
        flip: whether actions push the other way in half of the tasks.

    Splits:
        train, validation and test, by a hash of the dynamics. Shift `extrapolation`: `vary="extrapolation"`.

    References:
        Return of an episode over 40,000 tasks, in brackets where it extrapolates: random 22.6 (23.7); `oracle`, the linear
        feedback for the true dynamics, 500.0 (499.9), and 500 is the most there is; `nominal`, which takes the dynamics for
        Gymnasium's and remembers nothing, 253; `finds_sign`, the same but for noticing which way actions push, 500.0
        (471.7). With `flip=False`, `nominal` earns 500.0: Packer's and Xenoverse's ranges alone need no memory.

    Source and variants:
        Barto, Sutton & Anderson 1983, as in Gymnasium's CartPole-v1: with a task of the values in brackets, step for step the
        same (from the same state; starts come from this package's streams), to the last bit where NumPy's sines are those of C.
        Ranges: Packer et al. 2018 (arXiv 1810.12282: its R, and its E outside of R) and Xenoverse. The sources have no `flip`.
    """

    params = Parameters(
        horizon=Integer(500, 1),
        vary=Choice("packer", ("packer", "extrapolation", "xenoverse", "nothing")),
        flip=Flag(True),
    )
    task = record(
        gravity=np.float64, masscart=np.float64, masspole=np.float64, length=np.float64, force=np.float64, sign=np.float64
    )
    state = record(x=(np.float64, 4))
    sample_task, reset, step, observe = draw_cart_and_pole, nearly_upright, push_cart, see_motion
    shifts = {"extrapolation": {"vary": "extrapolation"}}
    references = {"oracle": Balance(), "nominal": Nominal(), "finds_sign": FindsSign()}
    heuristics = ("nominal",)
    keys = {"left": (0, "action 0"), "right": (1, "action 1")}
    realtime = True

    @staticmethod
    def spaces(p: SimpleNamespace):
        """As in Gymnasium."""
        high = np.array([2 * FARTHEST, np.inf, 2 * STEEPEST, np.inf], np.float32)
        return Box(-high, high, dtype=np.float32), Discrete(2)

    @staticmethod
    def all_tasks(p: SimpleNamespace, dtype: np.dtype) -> np.ndarray | None:
        """Gymnasium's own dynamics, one way round or both, where nothing else varies."""
        if p.vary != "nothing":
            return None
        signs = (1.0, -1.0) if p.flip else (1.0,)
        return np.array([(GRAVITY, MASSCART, MASSPOLE, LENGTH, FORCE, sign) for sign in signs], dtype)

    @staticmethod
    def task_errors(p: SimpleNamespace, tasks: np.ndarray) -> TaskErrors:
        """Everything is positive; a sign is 1 or -1."""
        for name in ("gravity", "masscart", "masspole", "length", "force"):
            yield name, ~(np.isfinite(tasks[name]) & (tasks[name] > 0)), "must be a positive number"
        yield "sign", np.abs(tasks["sign"]) != 1, "must be 1 or -1"

    @staticmethod
    def instructions(p: SimpleNamespace) -> str:
        """What there is to do, for people and language models alike."""
        way = "Which action pushes which way is hidden." if p.flip else "How hard a push is is hidden."
        return (
            "Keep the pole within 12 degrees of upright (the thin lines) and the cart within 2.4 m of the middle (the red "
            "ends): every step until then pays 1. "
            f"A push is made at every step. {way}"
        )

    @staticmethod
    def words(p: SimpleNamespace, seen: np.ndarray) -> str:
        """The four numbers."""
        x, speed, angle, spin = seen.tolist()
        return f"The cart is at {x:.4f} m, at {speed:.4f} m/s; the pole's angle is {angle:.5f} rad, its spin {spin:.4f} rad/s."

    @staticmethod
    def draw(picture: Picture, p: SimpleNamespace, state: Row, task: Row | None) -> None:
        """The cart from the side; the pole has its true length only where the task is shown."""
        middle, ground, metre = canvas.WORLD / 2, 330, 440 / (2 * FARTHEST)
        picture.line(20, ground, canvas.WORLD - 20, ground, canvas.LINES, 3)
        for end in (-1, 1):
            picture.line(middle + end * 220, ground - 14, middle + end * 220, ground + 14, canvas.BAD, 3)
        x = middle + metre * state.x[0]
        length = metre * 2 * (LENGTH if task is None else task.length)
        for side in (-1, 1):  # beyond these the episode ends
            end = x + side * 130 * math.sin(STEEPEST), ground - 34 - 130 * math.cos(STEEPEST)
            picture.line(x, ground - 34, *end, canvas.LINES, 2)
        picture.rectangle(x - 32, ground - 34, 64, 34, canvas.AGENT, 5)
        tip = x + length * math.sin(state.x[2]), ground - 34 - length * math.cos(state.x[2])
        picture.line(x, ground - 34, *tip, canvas.GOAL if task is not None else canvas.TEXT, 9)
        picture.circle(x, ground - 34, 6, canvas.BACKGROUND)
        degrees = f"{math.degrees(state.x[2]):+.1f} degrees, {state.x[0]:+.2f} m"
        picture.text(middle, 366, degrees, size=17, color=canvas.MUTED, align="center")
        lines = _facts(task) if task is not None else ["pole drawn at 1 m: its length is hidden"]
        for i, line in enumerate(lines):
            color = canvas.MUTED if task is None else canvas.GOAL
            picture.text(middle, 400 + 22 * i, line, size=15, color=color, align="center")

    @staticmethod
    def describe(p: SimpleNamespace, state: Row, task: Row | None) -> str:
        """The four numbers; revealed, the dynamics."""
        x, speed, angle, spin = state.x
        line = f"place {x:+.3f} m, speed {speed:+.3f} m/s, angle {angle:+.4f} rad, spin {spin:+.3f} rad/s"
        return "\n".join([line, *(_facts(task) if task is not None else [])])


def _facts(task: Row) -> list[str]:
    """The hidden dynamics in words."""
    way = "right" if task.sign > 0 else "left"
    return [
        f"force {task.force:.2f} N (action 1 pushes {way}), half pole {task.length:.3f} m of {task.masspole:.3f} kg",
        f"cart {task.masscart:.2f} kg, gravity {task.gravity:.2f} m/s²",
    ]
