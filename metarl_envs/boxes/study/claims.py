"""What becomes of claims: how many are true, how long a false one stands, and how many are put to the test.

A claim *stands* from the step after which it is on the board until it is written over, retracted or erased. It is *true* if its
two things make what it says. A claim may become false while it stands (`corruption`), and, by the same luck, true again.
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import NamedTuple

import numpy as np

from metarl_envs.boxes.study.truth import are_true
from metarl_envs.boxes.world.claims import REPLICATED, RETRACTED
from metarl_envs.boxes.world.lives import has_lives
from metarl_envs.boxes.world.notes import WHEN


class Claims(NamedTuple):
    """What is kept of the claims of one box.

    Attributes:
        made: how many claims were made.
        replicated: how many of them were replicated at least once while they stood.
        retracted: how many their authors retracted.
        true: for each step, how many claims stood after it that were true, int [steps].
        standing: how many stood, int [steps].
        false_spans: for each time that a claim was false: for how many steps, and whether that came to an end in the box.
        lifespan: of a generation, in steps; 0 where nobody dies.
    """

    made: int
    replicated: int
    retracted: int
    true: np.ndarray
    standing: np.ndarray
    false_spans: list[tuple[int, bool]]
    lifespan: int


class ClaimRecord:
    """What becomes of claims, told step by step.

    Args:
        p: the parameters of boxes with claims.
        recipes: of all boxes, int [boxes, items, recipes, 2].
    """

    def __init__(self, p: SimpleNamespace, recipes: np.ndarray):
        self._p, self._recipes, self._steps = p, recipes, 0
        shape = len(recipes), p.board
        self._stood, self._tested = np.zeros(shape, np.bool_), np.zeros(shape, np.bool_)
        self._false_since = np.full(shape, -1)
        self._made, self._replicated, self._retracted = (np.zeros(shape[0], np.int64) for _ in range(3))
        self._true: list[np.ndarray] = []
        self._standing: list[np.ndarray] = []
        self._spans: list[list[tuple[int, bool]]] = [[] for _ in recipes]

    def tell(self, t: int, states: np.ndarray) -> None:
        """One step more: `t` is how many there were, `states` are those of all boxes after the last of them."""
        board = states["board"]
        stands = (states["claimed"] != 0) & (board[..., WHEN] >= 0)
        true = stands & are_true(self._recipes, board)
        new = stands & (board[..., WHEN] == t - 1)
        gone = self._stood & (new | ~stands)
        self._made += new.sum(axis=1)
        self._retracted += self._done(RETRACTED, t, states).sum(axis=1)
        tested = self._done(REPLICATED, t, states)
        self._replicated += (tested & ~self._tested).sum(axis=1)
        self._tested = (self._tested | tested) & ~gone
        self._end_spans(t, (self._false_since >= 0) & (gone | true))
        self._false_since[stands & ~true & (self._false_since < 0)] = t
        self._true.append(true.sum(axis=1))
        self._standing.append(stands.sum(axis=1))
        self._stood, self._steps = stands, t

    def of(self, box: int) -> Claims:
        """What is kept of one box."""
        since = self._false_since[box]
        lasting = [(int(self._steps - start), False) for start in since[since >= 0]]
        return Claims(
            int(self._made[box]),
            int(self._replicated[box]),
            int(self._retracted[box]),
            np.array([each[box] for each in self._true], np.int64),
            np.array([each[box] for each in self._standing], np.int64),
            self._spans[box] + lasting,
            self._p.lifespan if has_lives(self._p) else 0,
        )

    def _done(self, deed: int, t: int, states: np.ndarray) -> np.ndarray:
        """To which claims something was done in this step, though they may be written over since, bool [boxes, places].

        To what a post wrote over in the same step nothing was done.
        """
        done = np.zeros_like(self._stood)
        boxes, agents = np.nonzero(states["claiming"] == deed)
        done[boxes, states["entry"][boxes, agents]] = True
        posted = (states["board"][..., WHEN] == t - 1) & (states["claimed"] == 0)
        return done & self._stood & ~posted

    def _end_spans(self, t: int, ended: np.ndarray) -> None:
        for box, k in zip(*np.nonzero(ended), strict=True):
            self._spans[box].append((int(t - self._false_since[box, k]), True))
        self._false_since[ended] = -1


def precision(true: np.ndarray, standing: np.ndarray) -> float:
    """The share of claims that are true, of all that stand over some steps: sum of `true` / sum of `standing`; NaN of none."""
    return float(true.sum() / standing.sum()) if standing.sum() else np.nan


def by_generation(claims: Claims) -> np.ndarray:
    """The precision of the board in the time of each generation, [generations].

    That of the g-th is steps (g-1) * lifespan + 1 to g * lifespan. One that is not over is left out; none where nobody dies.
    """
    if not claims.lifespan:
        return np.zeros(0)
    steps = [slice(g * claims.lifespan, (g + 1) * claims.lifespan) for g in range(len(claims.true) // claims.lifespan)]
    return np.array([precision(claims.true[span], claims.standing[span]) for span in steps])


def half_life(spans: list[tuple[int, bool]]) -> float:
    """After how many steps half of the false claims are gone, or true: the median by Kaplan and Meier.

    S(t) = product over s <= t of (1 - ended at s / lasting s or longer); what lasts to the end of the box counts as long as it
    was seen. NaN where S does not fall to 1/2, or nothing was false.
    """
    left = 1.0
    for time in sorted({length for length, ended in spans if ended}):
        at_risk = sum(length >= time for length, _ in spans)
        left *= 1.0 - sum(length == time and ended for length, ended in spans) / at_risk
        if left <= 0.5:
            return float(time)
    return np.nan


def columns(claims: Claims) -> dict[str, float]:
    """All of these by name; shares are of all claims that were made, NaN where none was."""
    made = claims.made
    return (
        {"claims": float(made), "claim_precision": precision(claims.true, claims.standing)}
        | {f"claim_precision_generation_{g}": float(value) for g, value in enumerate(by_generation(claims), 1)}
        | {
            "false_half_life": half_life(claims.false_spans),
            "replication_share": claims.replicated / made if made else np.nan,
            "retraction_share": claims.retracted / made if made else np.nan,
        }
    )
