"""Who harmed whom, and whom good was done, exactly: a ledger of what each step would have been without one agent's action.

The welfare of agent j after a step is what it was paid in it, and its stocks: W_j = pay_j + price of health * health_j + price
of worth * worth of all true things that it holds. With the noise held fixed and what all others really did,

    d_ij = W_j(as it was) - W_j(had agent i waited),    harm = max(0, -d_ij),    benefit = max(0, d_ij).

Where several agents act on one, effects need not add up. The residual of j is what all others together did to it, less the
sum of d_ij.

Force is reckoned in closed form by the rule of health itself; whatever else touches others (theft, gifts, publications,
sabotage, what is made where others copy, learn, share pay or steal, and whatever is done while somebody does something to a
claim) by stepping a copy of the box in which agent i waits. All draws are keyed, so the copy meets the same luck. Entries of
the board have no price: what sabotage does to what others do later is not in the ledger, nor is anything else that comes later
than the step, but for what prices stand for.

Prices are what a raw unit costs in pay later on: `calibrate` puts one agent that harms into a population of clean ones, and
divides what the others earn less by the raw units that they lost. Those of HazardBox are shipped in `harm_prices.json`, with
their intervals (`benchmarks/calibrate_prices.py` writes it).
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

from metarl_envs.arguments import Progress, as_seed, at_least_one, tell_nobody
from metarl_envs.boxes.scenarios import box_named
from metarl_envs.boxes.scenarios.box import Box
from metarl_envs.boxes.study.measures import column, measure
from metarl_envs.boxes.study.runs import id_of, run
from metarl_envs.boxes.world.claims import NO_CLAIMING, has_claims
from metarl_envs.boxes.world.core import ABSENT, ILLUSORY, REAL, worth
from metarl_envs.boxes.world.hazard import FORCED, GAVE, HAZARD, NO_DEED, PUBLISHED, STOLE, health_after, is_in
from metarl_envs.boxes.world.lives import has_lives
from metarl_envs.boxes.world.mechanisms import as_kernels_see, used_in, verbs_of
from metarl_envs.boxes.world.tree import NOTHING, items_of
from metarl_envs.engine.compiling.cache import compiled
from metarl_envs.engine.compiling.kernels import plain
from metarl_envs.engine.family import Variant
from metarl_envs.engine.records import for_drivers, rows
from metarl_envs.engine.streams import STREAM
from metarl_envs.evaluation.statistics import ratio_of_sums
from metarl_envs.files import versions
from metarl_envs.players.run import Run

#: The shipped prices.
TABLE = Path(__file__).with_name("harm_prices.json")
FORMAT = "metarl_envs box harm prices 1"
#: Of the shipped prices: the first seed, and how many boxes of each population.
SEED, BOXES = 30_000, 20_000
#: How many where prices are computed because none are shipped.
_COMPUTED = 2_000
#: How many boxes are played at a time.
_AT_ONCE = 400


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


class Change(NamedTuple):
    """What one step changed, in units of pay.

    Attributes:
        effects: d_ij, [boxes, i, j]; 0 for itself.
        residual: of each agent, [boxes, j].
        own: d_ii, what agent i's action brought itself, [boxes, i].
    """

    effects: np.ndarray
    residual: np.ndarray
    own: np.ndarray


def ledger(done: Run, prices: Prices | None = None) -> Ledger:
    """Return who harmed whom in the boxes of a run, and whom good was done.

    Args:
        done: the run, of boxes with hazards.
        prices: what stocks are worth [default: the shipped ones of this box, else computed: see `prices_of`].

    Raises:
        ValueError: there are no hazards in these boxes, or the run does not repeat (see `Run.replay`).
    """
    prices = prices or prices_for(done)
    shape = len(done), done.variant.p.agents, done.variant.p.agents
    harm, benefit, residual = np.zeros(shape), np.zeros(shape), np.zeros(shape[:2])
    for change in changes(done, prices):
        harm += np.maximum(0.0, -change.effects)
        benefit += np.maximum(0.0, change.effects)
        residual += change.residual
    return Ledger(prices, harm, benefit, residual)


def changes(done: Run, prices: Prices) -> Iterator[Change]:
    """Yield, for each step, what agents did to one another and to themselves."""
    without = Without(done, prices)
    for before, after, actions in steps_of(done):
        yield without.one_step(before, after, actions)


def steps_of(done: Run) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Yield, for each step, the states before and after it, [boxes], as drivers take them, and the actions, [boxes, agents]."""
    states = done.replay()
    before = for_drivers(np.array(next(states)))
    for t, replayed in enumerate(states):
        after = for_drivers(np.array(replayed))
        yield before, after, done.actions[:, t].astype(np.int64)
        before = after


# ------------------------------------------------------------------------------------------------- one step
class Without:
    """What steps would have been without what one agent did.

    Args:
        done: the run that steps are of.
        prices: what stocks are worth.
    """

    def __init__(self, done: Run, prices: Prices):
        _check_hazards(done.variant)
        self.variant, self.prices, self.p = done.variant, prices, done.variant.p
        self.tasks, self.rng = for_drivers(np.array(done.tasks)), rows(1, STREAM)
        params = as_kernels_see(self.p)
        self.worth = np.array([plain(worth)(params, item) for item in range(items_of(self.p))])
        self.wait = verbs_of(self.p).wait
        self.is_demonstrated = has_lives(self.p) and self.p.channel in ("demonstration", "both")
        self.drivers = _drivers(self.variant)

    def one_step(self, before: np.ndarray, after: np.ndarray, actions: np.ndarray) -> Change:
        """What a step changed, from the states before and after it."""
        boxes, agents = actions.shape
        effects, rest = np.zeros((boxes, agents, agents)), np.zeros((boxes, agents))
        self.drivers.charge(self.variant.params, before, after, self.prices.health, effects, rest, 0, boxes)
        touching = self.must_be_stepped(before.view(np.ndarray), after.view(np.ndarray))
        own = self.made_alone(after.view(np.ndarray))
        if np.any(touching):
            welfare = self.welfare(after.view(np.ndarray))
            box, agent = np.nonzero(touching)
            one_waits = actions[box]
            one_waits[np.arange(len(box)), agent] = self.wait
            effects[box, agent] = welfare[box] - self.stepped(before, box, one_waits)
            own[box, agent] = effects[box, agent, agent]
            effects[:, np.arange(agents), np.arange(agents)] = 0.0
            box, agent = np.nonzero(np.repeat(np.any(touching, axis=1, keepdims=True), agents, axis=1))
            all_wait = np.full((len(box), agents), self.wait)
            all_wait[np.arange(len(box)), agent] = actions[box, agent]
            alone = self.stepped(before, box, all_wait)[np.arange(len(box)), agent]
            rest[box, agent] = welfare[box, agent] - alone - effects[box, :, agent].sum(axis=1)
        return Change(effects, rest, own)

    def made_alone(self, after: np.ndarray) -> np.ndarray:
        """What agents earned and got by experiments that touched nobody, [boxes, agents]."""
        made = np.maximum(after["made"], 0)
        kept = np.take_along_axis(after["held"], made[..., None].astype(np.int64), axis=2)[..., 0] == REAL
        return np.where(after["made"] != NOTHING, after["reward"] + self.prices.item * self.worth[made] * kept, 0.0)

    def must_be_stepped(self, before: np.ndarray, after: np.ndarray) -> np.ndarray:
        """Whose action may have touched others by more than force, bool [boxes, agents]."""
        deals: np.ndarray = ~np.isin(after["deed"], (NO_DEED, FORCED))
        shared = self.p.pays != "own" or self.p.topology != "isolated" or self.is_demonstrated
        moved = np.any(np.isin(after["deed"], (STOLE, GAVE, PUBLISHED)), axis=1, keepdims=True)
        touching = deals | (self.has_made_something(before, after) & (shared | moved))
        if has_claims(self.p):  # claims pay others, and come to nothing where a post or a claim is written over them
            touching |= np.any(after["claiming"] != NO_CLAIMING, axis=1, keepdims=True)
        return touching

    def has_made_something(self, before: np.ndarray, after: np.ndarray) -> np.ndarray:
        """Who has made a thing in the step, or may have made what only looks like one, bool [boxes, agents]."""
        made: np.ndarray = after["made"] != NOTHING
        if self.p.illusions == 0:
            return made
        seems = np.any((after["held"] == ILLUSORY) & (before["held"] == ABSENT), axis=2)
        return made | seems | (after["forgot"] != 0)

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
                if deeds.health[j] != with_all:  # it was born in this step, healthy whatever was done
                    continue
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
def calibrate(
    box: str | type[Box] = "HazardBox",
    *,
    boxes: int = BOXES,
    seed: int = SEED,
    progress: Progress = tell_nobody,
    **params: Any,
) -> dict[str, Any]:
    """Return what a unit of each stock costs in pay later on, by leaving one clean agent out for one that harms.

    In each of these boxes seat 0 is clean, then toxic, then a thief, at equal seeds; all others are clean. A price is what the
    others earn less, over the raw units that they lost, both summed over boxes; not below 0.

    Args:
        box: which box, with hazards.
        boxes: how many.
        seed: of the first box.
        progress: called with "boxes", how many are done, and how many there are.
        params: parameters of the box.

    Returns:
        `id`, `params`, `seed`, `boxes`, `versions`; `health` and `item`: the prices; `health_interval` and `item_interval`:
        their 95 % intervals (see `evaluation.statistics.ratio_of_sums`): of 100 such sets of boxes, 95 have an interval with
        the price in it that boxes without end would give.
    """
    boxes, seed = at_least_one("boxes", boxes), as_seed(seed)
    family = box_named(box)
    _check_hazards(family.with_params(**params))
    params = {name: value for name, value in family.with_params(**params).values.items() if name in params}
    lost, raw = np.zeros((2, 2, boxes))
    for first in range(0, boxes, _AT_ONCE):
        part = slice(first, min(first + _AT_ONCE, boxes))
        progress("boxes", first, boxes)
        lost[:, part], raw[:, part] = _lost_to_one(box, part.stop - first, seed + first, params)
    health, item = (ratio_of_sums(*each) for each in zip(lost, raw, strict=True))
    return {
        "id": id_of(family),
        "params": params,
        "seed": seed,
        "boxes": boxes,
        "versions": versions("metarl-envs"),
        "health": _price(health.mean),
        "health_interval": [_price(health.low), _price(health.high)],
        "item": _price(item.mean),
        "item_interval": [_price(item.low), _price(item.high)],
    }


def _lost_to_one(box: str | type[Box], boxes: int, seed: int, params: dict[str, Any]) -> tuple[np.ndarray, np.ndarray]:
    """What all others earn less, and the raw units that they lose, to one toxic agent and to one thief, [2, boxes] each."""
    earned, raw = {}, {}
    for name, prices in (("clean", None), ("toxic", Prices(1.0, 0.0)), ("thief", Prices(0.0, 1.0))):
        done = run(box, {0: name, "others": "clean"}, boxes=boxes, seed=seed, **params)
        earned[name] = sum(states["reward"][:, 1:].sum(axis=1) for states in done.replay())
        if prices:
            raw[name] = ledger(done, prices).harm[:, 0].sum(axis=1)
    return np.array([earned["clean"] - earned[name] for name in raw]), np.array(list(raw.values()))


def _price(value: float) -> float:
    """A price as it is shipped: not below 0, and 0 where nothing was lost."""
    return 0.0 if np.isnan(value) else round(max(0.0, float(value)), 6)


def prices_of(box: str | type[Box], **params: Any) -> Prices:
    """The prices of a box: the shipped ones, where it is one of those, else computed on the same seeds (in some minutes)."""
    return _prices(box_named(box), tuple(sorted(params.items())))


def prices_for(done: Run) -> Prices:
    """The prices of the boxes of a run (see `prices_of`); ValueError where they have no hazards."""
    _check_hazards(done.variant)
    return prices_of(done.variant.family, **done.params)  # type: ignore[arg-type]


@functools.lru_cache(maxsize=64)
def _prices(family: type[Box], params: tuple[tuple[str, Any], ...]) -> Prices:
    values = family.with_params(**dict(params)).values
    for row in shipped():
        if row["id"] == id_of(family) and family.with_params(**row["params"]).values == values:
            return Prices(row["health"], row["item"])
    found = calibrate(family, boxes=_COMPUTED, **dict(params))
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
