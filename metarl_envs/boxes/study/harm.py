"""Who harmed whom, and whom good was done, exactly: a ledger of what each step would have been without one agent's action.

The welfare of agent j after a step is what it was paid in it, and its stocks: W_j = pay_j + price of health * health_j + price
of worth * worth of all true things that it holds. With the noise held fixed and what all others really did,

    d_ij = W_j(as it was) - W_j(had agent i waited),    harm = max(0, -d_ij),    benefit = max(0, d_ij).

Where several agents act on one, effects need not add up. The residual of j is what all others together did to it, less the
sum of d_ij.

Force is reckoned in closed form by the rule of health itself; whatever else touches others (theft, gifts, publications,
sabotage, and what is made where others copy, share pay or steal) by stepping a copy of the box in which agent i waits. All
draws are keyed, so the copy meets the same luck. Entries of the board have no price: what sabotage does to what others do later
is not in the ledger, nor is anything else that comes later than the step, but for what prices stand for.

Prices are what a raw unit costs in pay later on: `calibrate` puts one agent that harms into a population of clean ones, and
divides what the others earn less by the raw units that they lost. Those of HazardBox are shipped in `harm_prices.json`.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

import numpy as np

from metarl_envs.arguments import as_seed, at_least_one
from metarl_envs.boxes.scenarios import box_named
from metarl_envs.boxes.scenarios.box import Box
from metarl_envs.boxes.study.measures import column, measure
from metarl_envs.boxes.study.runs import id_of, run
from metarl_envs.boxes.world.core import REAL, worth
from metarl_envs.boxes.world.hazard import FORCED, GAVE, HAZARD, NO_DEED, STOLE, health_after, is_in
from metarl_envs.boxes.world.mechanisms import as_kernels_see, used_in, verbs_of
from metarl_envs.boxes.world.tree import NOTHING, items_of
from metarl_envs.engine.compiling.cache import compiled
from metarl_envs.engine.compiling.kernels import plain
from metarl_envs.engine.family import Variant
from metarl_envs.engine.records import for_drivers, rows
from metarl_envs.engine.streams import STREAM
from metarl_envs.files import versions
from metarl_envs.players.run import Run

#: The shipped prices.
TABLE = Path(__file__).with_name("harm_prices.json")
#: Of the shipped prices: the first seed, and how many boxes of each population.
SEED, BOXES = 30_000, 400


class Prices(NamedTuple):
    """What a unit of each stock is worth, in pay: of health, and of an item's worth."""

    health: float
    item: float


@dataclass(frozen=True, eq=False)
class Ledger:
    """What agents did to one another, summed over all steps of each box; in units of pay.

    Attributes:
        prices: what it is reckoned by.
        harm: what agent i cost agent j, [boxes, i, j]; 0 for itself.
        benefit: what it brought it, [boxes, i, j].
        residual: what all others together did to agent j beyond the sum of what each did, [boxes, j].
    """

    prices: Prices
    harm: np.ndarray
    benefit: np.ndarray
    residual: np.ndarray


def ledger(done: Run, prices: Prices | None = None) -> Ledger:
    """Return who harmed whom in the boxes of a run, and whom good was done.

    Args:
        done: the run, of boxes with hazards.
        prices: what stocks are worth [default: the shipped ones of this box, else computed: see `prices_of`].

    Raises:
        ValueError: there are no hazards in these boxes, or the run does not repeat (see `Run.replay`).
    """
    _check_hazards(done.variant)
    if prices is None:
        prices = prices_of(done.variant.family, **done.params)  # type: ignore[arg-type]
    shape = len(done), done.variant.p.agents, done.variant.p.agents
    harm, benefit, residual = np.zeros(shape), np.zeros(shape), np.zeros(shape[:2])
    for effects, rest in changes(done, prices):
        harm += np.maximum(0.0, -effects)
        benefit += np.maximum(0.0, effects)
        residual += rest
    return Ledger(prices, harm, benefit, residual)


def changes(done: Run, prices: Prices) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield, for each step, d_ij, [boxes, i, j], and the residual of each agent, [boxes, j]."""
    without = _Without(done, prices)
    states = done.replay()
    before = for_drivers(np.array(next(states)))
    for t, after in enumerate(states):
        yield without.one_step(before, for_drivers(np.array(after)), done.actions[:, t].astype(np.int64))
        before = for_drivers(np.array(after))


# ------------------------------------------------------------------------------------------------- one step
class _Without:
    """What steps would have been without what one agent did."""

    def __init__(self, done: Run, prices: Prices):
        self.variant, self.prices, self.p = done.variant, prices, done.variant.p
        self.tasks, self.rng = for_drivers(np.array(done.tasks)), rows(1, STREAM)
        params = as_kernels_see(self.p)
        self.worth = np.array([plain(worth)(params, item) for item in range(items_of(self.p))])
        self.wait = verbs_of(self.p).wait
        self.drivers = _drivers(self.variant)

    def one_step(self, before: np.ndarray, after: np.ndarray, actions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """d_ij and residuals of a step, from the states before and after it."""
        boxes, agents = actions.shape
        effects, rest = np.zeros((boxes, agents, agents)), np.zeros((boxes, agents))
        self.drivers.charge(self.variant.params, before, after, self.prices.health, effects, rest, 0, boxes)
        touching = self.must_be_stepped(after.view(np.ndarray))
        if np.any(touching):
            welfare = self.welfare(after.view(np.ndarray))
            box, agent = np.nonzero(touching)
            one_waits = actions[box]
            one_waits[np.arange(len(box)), agent] = self.wait
            effects[box, agent] = welfare[box] - self.stepped(before, box, one_waits)
            effects[:, np.arange(agents), np.arange(agents)] = 0.0
            box, agent = np.nonzero(np.repeat(np.any(touching, axis=1, keepdims=True), agents, axis=1))
            all_wait = np.full((len(box), agents), self.wait)
            all_wait[np.arange(len(box)), agent] = actions[box, agent]
            alone = self.stepped(before, box, all_wait)[np.arange(len(box)), agent]
            rest[box, agent] = welfare[box, agent] - alone - effects[box, :, agent].sum(axis=1)
        return effects, rest

    def must_be_stepped(self, after: np.ndarray) -> np.ndarray:
        """Whose action may have touched others by more than force, bool [boxes, agents]."""
        deals: np.ndarray = ~np.isin(after["deed"], (NO_DEED, FORCED))
        shared = self.p.pays != "own" or self.p.topology != "isolated"
        makes = (after["made"] != NOTHING) & (shared | np.any(np.isin(after["deed"], (STOLE, GAVE)), axis=1, keepdims=True))
        return deals | makes

    def stepped(self, before: np.ndarray, box: np.ndarray, actions: np.ndarray) -> np.ndarray:
        """The welfare of all agents after other actions in these boxes, [copies, agents]."""
        copies = for_drivers(np.array(before)[box])
        self.drivers.go_on(self.variant.params, self.tasks, box, copies, np.ascontiguousarray(actions), self.rng, 0, len(box))
        return self.welfare(copies.view(np.ndarray))

    def welfare(self, states: np.ndarray) -> np.ndarray:
        """What all agents are paid in a step, and their stocks after it, [boxes, agents]."""
        return (
            states["reward"]
            + self.prices.health * states["health"]
            + self.prices.item * ((states["held"] == REAL) @ self.worth)
        )


@functools.lru_cache(maxsize=64)
def _drivers(variant: Variant) -> SimpleNamespace:
    """`charge`: what force does to others; `go_on`: one step of copies."""
    step = variant.kernel("step")

    def charge(params, before, after, price, effects, rest, lo, hi):
        p = params[0]
        for b in range(lo, hi):
            was, deeds = before[b], after[b]
            forced = 0
            for i in range(p.agents):
                forced += deeds.deed[i] == FORCED
            if forced == 0:
                continue
            for j in range(p.agents):
                if not is_in(p, was, j):
                    continue
                hits = forced - (deeds.deed[j] == FORCED)
                with_all = health_after(p, was.health[j], hits)
                for i in range(p.agents):
                    if i != j and deeds.deed[i] == FORCED:
                        effects[b, i, j] = price * (with_all - health_after(p, was.health[j], hits - 1))
                        rest[b, j] -= effects[b, i, j]
                rest[b, j] += price * (with_all - health_after(p, was.health[j], 0))

    def go_on(params, tasks, which, states, actions, rng, lo, hi):
        for n in range(lo, hi):
            step(params[0], tasks[which[n]], states[n], actions[n], rng[0])

    return compiled(f"{variant.name}.harm", charge, go_on)


def _check_hazards(variant: Variant) -> None:
    if not issubclass(variant.family, Box) or HAZARD not in used_in(variant.p):
        raise ValueError(f"{variant.name} has no hazards: nobody harms anybody there (give health above 0)")


# ------------------------------------------------------------------------------------------------- prices
def calibrate(box: str | type[Box] = "HazardBox", *, boxes: int = BOXES, seed: int = SEED, **params: Any) -> dict[str, Any]:
    """Return what a unit of each stock costs in pay later on, by leaving one clean agent out for one that harms.

    In each of these boxes seat 0 is clean, then toxic, then a thief, at equal seeds; all others are clean. A price is what the
    others earn less, over the raw units that they lost, both summed over boxes; not below 0.

    Returns:
        `id`, `params`, `seed`, `boxes`, `versions`, and `health` and `item`: the prices.
    """
    boxes, seed = at_least_one("boxes", boxes), as_seed(seed)
    family = box_named(box)
    _check_hazards(family.with_params(**params))
    params = {name: value for name, value in family.with_params(**params).values.items() if name in params}
    earned, raw = {}, {}
    for name, prices in (("clean", None), ("toxic", Prices(1.0, 0.0)), ("thief", Prices(0.0, 1.0))):
        done = run(box, {0: name, "others": "clean"}, boxes=boxes, seed=seed, **params)
        earned[name] = sum(states["reward"][:, 1:].sum() for states in done.replay())
        raw[name] = ledger(done, prices).harm[:, 0].sum() if prices else 0.0
    cost = {name: max(0.0, float(earned["clean"] - earned[name])) for name in ("toxic", "thief")}
    health, item = (round(cost[name] / float(raw[name]), 6) if raw[name] else 0.0 for name in ("toxic", "thief"))
    return {
        "id": id_of(family),
        "params": params,
        "seed": seed,
        "boxes": boxes,
        "versions": versions("metarl-envs"),
        "health": health,
        "item": item,
    }


def prices_of(box: str | type[Box], **params: Any) -> Prices:
    """The prices of a box: the shipped ones, where it is one of those, else computed on the same seeds (in some minutes)."""
    return _prices(box_named(box), tuple(sorted(params.items())))


@functools.lru_cache(maxsize=64)
def _prices(family: type[Box], params: tuple[tuple[str, Any], ...]) -> Prices:
    values = family.with_params(**dict(params)).values
    for row in shipped():
        if row["id"] == id_of(family) and family.with_params(**row["params"]).values == values:
            return Prices(row["health"], row["item"])
    found = calibrate(family, **dict(params))
    return Prices(found["health"], found["item"])


@functools.cache
def shipped() -> list[dict[str, Any]]:
    """The rows of the shipped table."""
    return json.loads(TABLE.read_text())["rows"]


# ------------------------------------------------------------------------------------------------- boxes
def price_of_ruthlessness(seats: Mapping[Any, Any], *, boxes: int = 80, seed: int = 0, **params: Any) -> np.ndarray:
    """Return what harm costs invention in each box, [boxes]: (I_masked - I) / I_masked, of inventions I, and those of the twin.

    The twin has the same seed and agents, and `harm_mask=True`. NaN where nothing is invented in the twin.
    """
    if "harm_mask" in params:
        raise ValueError(f"harm_mask={params['harm_mask']!r} is not to be given: both are asked")
    with_harm, twin = (
        column(measure(run("HazardBox", seats, boxes=boxes, seed=seed, harm_mask=mask, **params)), "inventions")
        for mask in (False, True)
    )
    return np.where(twin > 0, (twin - with_harm) / np.maximum(twin, 1), np.nan)
