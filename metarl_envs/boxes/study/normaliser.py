"""What nulls and the oracle reach, so that a score has a scale: 0 is the null, 1 the oracle.

There are two nulls: `random`, uniform over the actions that would do something, and `never_repeat`, the honest one, which
tries pairs at random and none twice. The oracle knows the recipes and always makes what pays most: strong, not proved to be
the best. Where it reaches less than the null (in boxes with days it makes the same things every day, so the number of
different inventions is no contest) there is no scale, and scores are NaN.

`metarl-envs boxes normaliser` computes the table again that is shipped here as `normaliser.json`.
"""

from __future__ import annotations

import copy
import functools
import json
from pathlib import Path
from typing import Any

import numpy as np

from metarl_envs.arguments import as_seed, at_least_one
from metarl_envs.boxes.scenarios import box_named
from metarl_envs.boxes.scenarios.box import Box
from metarl_envs.boxes.study.measures import column, measure
from metarl_envs.boxes.study.runs import id_of, of_boxes, run
from metarl_envs.engine.family import Variant
from metarl_envs.players.run import Run

#: The shipped table.
TABLE = Path(__file__).with_suffix(".json")
#: The nulls and the oracle.
NULLS, ORACLE = ("random", "never_repeat"), "oracle"
#: What the table says of each.
MEASURES = ("inventions", "depth", "mean_depth", "return")
#: The boxes of the shipped table: the first seed, how many, and of which split.
SEED, BOXES, SPLIT = 20_000, 200, "test"
#: Which boxes are in the shipped table: parameters other than the defaults.
SHIPPED: tuple[tuple[str, dict[str, Any]], ...] = (
    *(("InventionBox", {"topology": topology}) for topology in ("isolated", "ring", "full", "caveman", "dynamic")),
    ("InventionBox", {"lineages": 1, "crossover": 0}),
    ("InventionBox", {"agents": 1}),
    ("AmnesiaBox", {}),
    ("AmnesiaBox", {"notes": 0}),
    ("AmnesiaBox", {"width": 2}),
    ("HazardBox", {}),
    ("SealedBox", {}),
)

Row = dict[str, Any]


def normaliser(box: str | type[Box], *, split: str | None = SPLIT, **params: Any) -> Row:
    """What nulls and oracle reach in a box: from the shipped table where it has this box, else computed on the same seeds.

    What is computed takes as long as 600 boxes do, and is kept as long as the process lasts. The shipped table is of `"test"`.

    Args:
        box: a name or a class.
        split: of the tasks.
        params: parameters of the box.

    Returns:
        `id`, `params`, `split`, `seed`, `boxes`, and `reached`: by agent and measure, the mean over boxes.
    """
    family = box_named(box)
    variant, found = family.shifted(split, params)
    for row in shipped():
        if (
            row["id"] == id_of(family)
            and row["split"] == found.name
            and family.with_params(**row["params"]).values == variant.values
        ):
            return row
    return copy.deepcopy(_computed(variant, found.name))


@functools.lru_cache(maxsize=64)
def _computed(variant: Variant, split: str | None) -> Row:
    """A row that the shipped table does not have, computed once in a process."""
    family: type[Box] = variant.family  # type: ignore[assignment]
    return compute(family, split=split, **family.unshifted(split, variant.values))


@functools.cache
def shipped() -> list[Row]:
    """The rows of the shipped table."""
    return json.loads(TABLE.read_text())["rows"]


def compute(box: str | type[Box], *, split: str | None = SPLIT, seed: int = SEED, boxes: int = BOXES, **params: Any) -> Row:
    """A row of the table, computed: nulls and oracle in all seats of the same boxes."""
    boxes, seed = at_least_one("boxes", boxes), as_seed(seed)
    family = box_named(box)
    params = {name: value for name, value in family.with_params(**params).values.items() if name in params}  # as JSON has them
    reached = {}
    for agent in (*NULLS, ORACLE):
        table = measure(run(box, {"all": agent}, boxes=boxes, seed=seed, split=split, **params))
        reached[agent] = {name: round(float(column(table, name).mean()), 6) for name in MEASURES}
    name = family.shifted(split, params)[1].name
    return {"id": id_of(family), "params": params, "split": name, "seed": seed, "boxes": boxes, "reached": reached}


def compute_table() -> str:
    """The text of the shipped table."""
    rows = ",\n".join(json.dumps(compute(box, **params)) for box, params in SHIPPED)
    return f'{{"format": "metarl_envs box normaliser 1", "rows": [\n{rows}\n]}}\n'


def score(done: Run, measured: str = "inventions", null: str = "never_repeat", row: Row | None = None) -> np.ndarray:
    """How far each box came between the null and the oracle: (x - null) / (oracle - null), never clipped, float64 [boxes].

    Args:
        done: the run.
        measured: a column of `MEASURES`.
        null: `"never_repeat"` or `"random"`.
        row: what nulls and oracle reach [default: `normaliser` of the run's box].

    Returns:
        NaN for all boxes where the oracle reaches no more than the null.

    Raises:
        ValueError: there is no such null or measure, or the run was not played in boxes.
    """
    if null not in NULLS or measured not in MEASURES:
        raise ValueError(f"null={null!r} must be one of {', '.join(NULLS)}, and measured={measured!r} of {', '.join(MEASURES)}")
    box: type[Box] = of_boxes(done).variant.family  # type: ignore[assignment]
    given = box.unshifted(done.split, done.params)
    reached = (row or normaliser(box, split=done.split, **given))["reached"]
    low, high = reached[null][measured], reached[ORACLE][measured]
    values = column(measure(done), measured)
    return (values - low) / (high - low) if high > low else np.full(len(values), np.nan)
