"""What families of hidden dynamics share: ranges to draw from, and the best linear feedback for a known system."""

from __future__ import annotations

import numpy as np

from metarl_envs.engine import kernel, randint, uniform

#: Backups that find a feedback; more change nothing that matters.
_BACKUPS = 500


@kernel
def within(rng, low, high):
    """Any number from `low` to `high`."""
    return low + (high - low) * uniform(rng)


@kernel
def inside_or_outside(rng, outside, low, inner_low, inner_high, high):
    """Any number of the inner range; or, `outside`, of the whole range without the inner one."""
    if not outside:
        return within(rng, inner_low, inner_high)
    x = within(rng, low, high - (inner_high - inner_low))
    return x if x < inner_low else x + (inner_high - inner_low)


@kernel
def sign_of_actions(rng, flip):
    """1, or with `flip` as likely -1: actions act the other way."""
    return 1.0 - 2.0 * (flip * randint(rng, 2))


def feedback_fields(n: int) -> dict[str, tuple]:
    """The fields of a memory row for which `find_feedback` works, for a state of n numbers."""
    line, square = (np.float64, n), (np.float64, (n, n))
    return {"a": square, "b": line, "penalty": line, "gain": line, "value": square, "ahead": square, "pull": line}


@kernel
def find_feedback(m, price):
    """Set `m.gain` for the control u = -gain x that keeps x' = a x + b u small: each x² costs its penalty, u² the price.

    Riccati's backward recursion, from no cost at the end to an end far away.
    """
    n = len(m.b)
    for i in range(n):
        for j in range(n):
            m.value[i, j] = 0.0
        m.value[i, i] = m.penalty[i]
    for _ in range(_BACKUPS):
        scale = price
        for i in range(n):
            m.pull[i] = 0.0
            for j in range(n):
                m.pull[i] += m.value[i, j] * m.b[j]
            scale += m.b[i] * m.pull[i]
        for i in range(n):
            m.gain[i] = 0.0
            for j in range(n):
                m.gain[i] += m.a[j, i] * m.pull[j] / scale
                m.ahead[i, j] = 0.0
                for k in range(n):
                    m.ahead[i, j] += m.value[i, k] * m.a[k, j]
        for i in range(n):
            for j in range(i, n):  # symmetric by construction, else rounding would grow
                total = m.penalty[i] if i == j else 0.0
                for k in range(n):
                    total += m.a[k, i] * m.ahead[k, j]
                m.value[i, j] = total - scale * m.gain[i] * m.gain[j]
                m.value[j, i] = m.value[i, j]


@kernel
def feedback(m, x):
    """The control that the gain wants in state x."""
    u = 0.0
    for i in range(len(m.gain)):
        u -= m.gain[i] * x[i]
    return u
