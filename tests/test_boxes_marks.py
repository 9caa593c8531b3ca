"""What notes mark for a seat, worked out from its observation alone as the page says it."""

import itertools

import numpy as np
import pytest

from metarl_envs.boxes.envs.seat import action_mask
from metarl_envs.boxes.envs.seats import AmnesiaSeat, InventionSeat
from metarl_envs.boxes.world.tree import items_of
from metarl_envs.engine.envs.single import SingleEnv
from metarl_envs.task_sets import TaskSet

pytestmark = pytest.mark.plain

SMALL = {"lineages": 1, "levels": 3, "width": 2, "bases": 4, "dead_ends": 0.0, "crossover": 0, "horizon": 300, "day": 50}
CASES = {
    "notes": (AmnesiaSeat, {"notes": 6, "page": 3, "agents": 1, "board": 0, "recipes": 2}),
    "free notes": (InventionSeat, {"notes": 8, "free_reading": True, "agents": 1}),
    "a board": (InventionSeat, {"board": 4, "page": 2, "agents": 2, "companions": "random"}),
    "illusions": (InventionSeat, {"notes": 6, "board": 2, "illusions": 0.3, "free_reading": True, "agents": 2}),
}


def parts_of(p, seen):
    """The planes of an observation and its entries, by the page's order and counts."""
    items, entries, alone = items_of(p), p.notes + p.board, p.agents == 1
    sizes = [items, items - p.lineages * p.width, items, 4 + (not alone) + 1 + 1 + (p.day > 0), 4 * entries]
    held, take, nothing, _senses, shown = (
        seen[end - n : end] for n, end in zip(sizes, itertools.accumulate(sizes), strict=True)
    )
    numbers = np.rint(shown.reshape(entries, 4)[:, 1:] * (items + 1)).astype(int) - 1
    return (
        held,
        take,
        nothing,
        [entry for entry, used in zip(numbers.tolist(), shown[::4], strict=True) if used and entry[0] >= 0],
    )


def marks_by_the_page(p, held, entries):
    """Both planes, from what is held and the open entries [first item, second item, what they seemed to make]."""
    items = items_of(p)
    take, nothing = np.zeros(items - p.lineages * p.width), np.zeros(items)
    hand = np.flatnonzero(held == 1)
    for first, second, product in entries:
        in_hand = [item for item in (first, second) if item in hand]
        other = [second if item == first else first for item in in_hand]
        if product < 0:
            nothing[other] = 1
        elif held[first] and held[second] and not held[product]:
            take[other if len(hand) else [first]] = 1
    return take, nothing


@pytest.mark.parametrize("case", [pytest.param(case, marks=[pytest.mark.slow] if n else []) for n, case in enumerate(CASES)])
def test_what_notes_mark_is_what_the_page_says(case):
    family, params = CASES[case]
    env = SingleEnv(TaskSet.of_family(family, split=None, **SMALL, **params))
    p, rng = env.variant.p, np.random.default_rng(0)
    marked = empty_handed = unheld = 0
    for seed in range(2):
        seen, _ = env.reset(seed=seed)
        for _ in range(p.horizon):
            held, take, nothing, entries = parts_of(p, seen)
            expected = marks_by_the_page(p, held, entries)
            assert take.tolist() == expected[0].tolist()
            assert nothing.tolist() == expected[1].tolist()
            marked += take.any() + nothing.any()
            empty_handed += take.any() and not (held == 1).any()
            unheld += nothing[held == 0].any()
            seen, *_ = env.step(int(rng.choice(np.flatnonzero(action_mask(p, seen)))))
    assert marked > 20, "or nothing was tested"
    assert empty_handed
    assert unheld, "a note of yesterday names what is not held today"
