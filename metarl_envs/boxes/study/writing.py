"""How notes are used, whatever is written in them: how much, how often anew, whether they are read first, and of what use.

What a note says has a meaning for those who measure only where it is an experiment (`note_precision` and the like, see
`study.measures`). What stands here is asked of symbols and of text too. A *span* of an agent is the time between two resets of
its memory: a day, or a life.
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import NamedTuple

import numpy as np

from metarl_envs.arguments import as_integer, as_seed
from metarl_envs.boxes.study.runs import of_boxes
from metarl_envs.boxes.world.notes import EVENT_BYTES, LENGTH, WHEN
from metarl_envs.boxes.world.tree import NOTHING
from metarl_envs.players.run import Run


def bytes_of(p: SimpleNamespace, entries: np.ndarray) -> np.ndarray:
    """Return how many bytes entries, int [..., 4], hold where something is written, int [...]: experiments always 6."""
    there = entries[..., WHEN] >= 0
    return there * (EVENT_BYTES if p.notation == "event" else np.maximum(entries[..., LENGTH], 0).astype(int))


class Writing(NamedTuple):
    """What is kept of the notes of one box.

    Attributes:
        bytes: how many are written at the end, in notebooks and on the board.
        writes: how often something was written.
        rewrites: how often over something else.
        spans: in how many spans of agents that had something to read they made an experiment, and
        read_first: in how many of these they had opened a page before the first one; None where pages are always open.
        found: by agent, the bytes that it could read at the beginning of each whole span, and what the span paid it.
    """

    bytes: int
    writes: int
    rewrites: int
    spans: int
    read_first: int | None
    found: list[list[tuple[int, float]]]


class WritingRecord:
    """How notes are used, told step by step.

    Args:
        p: the parameters of boxes with notebooks or a board.
        boxes: how many.
    """

    def __init__(self, p: SimpleNamespace, boxes: int):
        self._p, shape = p, (boxes, p.agents)
        self._bytes, self._writes, self._rewrites = (np.zeros(boxes, np.int64) for _ in range(3))
        self._stood: list[np.ndarray] = []
        self._begins, self._to_read = np.ones(shape, np.bool_), np.zeros(shape, np.int64)
        self._spans, self._read_first, self._paid = np.zeros(boxes, np.int64), np.zeros(boxes, np.int64), np.zeros(shape)
        self._found: list[list[list[tuple[int, float]]]] = [[[] for _ in range(p.agents)] for _ in range(boxes)]

    def tell(self, t: int, states: np.ndarray) -> None:
        """One step more: `t` is how many there were, `states` are those of all boxes after the last of them."""
        p = self._p
        notes, board = states["notes"][:, :, : p.notes], states["board"][:, : p.board]
        when = [np.array(notes[..., WHEN]).reshape(len(states), -1), np.array(board[..., WHEN])]
        for now, before in zip(when, self._stood or [np.full_like(each, -1) for each in when], strict=True):
            self._writes += (now == t - 1).sum(axis=1)
            self._rewrites += ((now == t - 1) & (before >= 0)).sum(axis=1)
        self._stood = when
        own, shared = bytes_of(p, notes).sum(axis=2), bytes_of(p, board).sum(axis=1)
        self._bytes = own.sum(axis=1) + shared
        self._read(states)
        self._end_spans(states, own + shared[:, None])

    def _read(self, states: np.ndarray) -> None:
        """Whether those who make the first experiment of a span have opened a page before."""
        first = self._begins & (states["tried"][:, :, 0] != NOTHING)
        opened = states["open"].any(axis=2) | states["looking"].any(axis=2)
        counts = first & (self._to_read > 0)
        self._spans += counts.sum(axis=1)
        self._read_first += (counts & opened).sum(axis=1)
        self._begins &= ~first

    def _end_spans(self, states: np.ndarray, to_read: np.ndarray) -> None:
        """What the spans that end here paid."""
        self._paid += states["reward"]
        ends = states["forgot"] != 0
        for b, i in np.argwhere(ends).tolist():
            self._found[b][i].append((int(self._to_read[b, i]), float(self._paid[b, i])))
        self._to_read, self._paid = np.where(ends, to_read, self._to_read), np.where(ends, 0.0, self._paid)
        self._begins |= ends

    def of(self, b: int) -> Writing:
        """Return what is kept of one box."""
        written, writes, rewrites = int(self._bytes[b]), int(self._writes[b]), int(self._rewrites[b])
        first = None if self._p.free_reading else int(self._read_first[b])
        return Writing(written, writes, rewrites, int(self._spans[b]), first, self._found[b])


def columns(writing: Writing) -> dict[str, float]:
    """Columns of `measures.measure`.

    `note_bytes`: how many bytes are written at the end; `note_writes`: how often something was written; `rewriting`: which
    share of that over something else (NaN where nothing was written); `read_first`: in which share of spans that had something
    to read a page was opened before the first experiment (NaN where there are none, or pages are always open).
    """
    first = writing.read_first
    return {
        "note_bytes": float(writing.bytes),
        "note_writes": float(writing.writes),
        "rewriting": writing.rewrites / writing.writes if writing.writes else np.nan,
        "read_first": first / writing.spans if first is not None and writing.spans else np.nan,
    }


# ------------------------------------------------------------------------------------------------- of what use
class Information(NamedTuple):
    """What notes tell of later success.

    Attributes:
        bits: the mutual information, 0 to 1.
        chance: what it is in the mean where notes are dealt out at random; it is above 0, since few spans look like much.
        p: how often a deal at random gives as much: the permutation test of no information.
        spans: how many were counted.
    """

    bits: float
    chance: float
    p: float
    spans: int


def note_information(run: Run, permutations: int = 999, seed: int = 0) -> Information:
    """Return the mutual information between how much an agent finds written and how well it does with that.

    Of each span of an agent (a day, a life): whether it found more bytes at its beginning than the median of all agents and
    boxes in their span of the same number, and whether the span paid it more than the median. The information between the
    two, given the number of the span, in bits: that both grow with time counts for nothing. It says that boxes with more
    notes do better (or worse), and not why: whoever found more by luck has more to write.

    Args:
        run: of boxes with notebooks or a board, in which memory is reset.
        permutations: how many deals at random, within spans of the same number.
        seed: of these.

    Raises:
        ValueError: nothing can be written in these boxes, or nobody's memory was reset in them; the run does not repeat.
    """
    p, rng = of_boxes(run).variant.p, np.random.default_rng(as_seed(seed))
    if not p.notes + p.board:
        raise ValueError(f"{run!r} has no notes: give a run of boxes with notes=8 or so")
    record = WritingRecord(p, len(run))
    for t, states in enumerate(run.replay()):
        if t:
            record.tell(t, states)
    agents = [found for b in range(len(run)) for found in record.of(b).found]
    strata = [np.array([one[n] for one in agents if len(one) > n]) for n in range(max(map(len, agents)))]
    if not strata:
        raise ValueError(f"{run!r} has no whole day or life: memory was never reset in it")
    sides = [(found > np.median(found, axis=0)).T for found in strata]
    total, deals = sum(map(len, strata)), as_integer("permutations", permutations)

    def bits(deal: bool) -> float:
        return sum(_shared_bits(rng.permutation(x) if deal else x, y) * len(x) for x, y in sides) / total

    found, dealt = bits(False), np.array([bits(True) for _ in range(deals)])
    chance = float(dealt.mean()) if deals else float("nan")
    return Information(found, chance, float((1 + (dealt >= found - 1e-12).sum()) / (1 + deals)), total)


def _shared_bits(x: np.ndarray, y: np.ndarray) -> float:
    """The mutual information of two rows of truth values, in bits."""
    joint = np.array([[np.mean((x == a) & (y == b)) for b in (False, True)] for a in (False, True)])
    apart = joint.sum(axis=1, keepdims=True) * joint.sum(axis=0, keepdims=True)
    there = joint > 0
    return float((joint[there] * np.log2(joint[there] / apart[there])).sum())
