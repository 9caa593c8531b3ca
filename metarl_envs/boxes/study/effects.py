"""The published effects that scripted agents must reproduce in boxes: which hold here, with intervals.

`metarl-envs boxes effects`, or `python -m metarl_envs.boxes.study.effects`, prints the table of `docs/boxes.md`.

Conditions of one effect share their seeds, and with them recipes and noise, so they are compared box by box: an interval is
the t-interval, over boxes, of the mean or of the mean paired difference. A box counts where a measure has a meaning under both
conditions; where these are not all, the table says how many. Intervals are not corrected for their number. Parameters were
chosen on seeds 0-79; the boxes here have other seeds.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from metarl_envs.boxes.players.keepers import Sharer
from metarl_envs.boxes.players.scripted import NeverRepeat, RuleFinder
from metarl_envs.boxes.study.controls import NO_TRANSMISSION
from metarl_envs.boxes.study.measures import column, measure
from metarl_envs.boxes.study.runs import run
from metarl_envs.boxes.world.claims import RETENTIONS
from metarl_envs.engine import Player
from metarl_envs.evaluation.statistics import Interval, over_boxes

#: The first seed, and how many boxes each condition has.
SEED, BOXES = 10_000, 200


@dataclass(frozen=True)
class Condition:
    """Boxes of one kind, with the same agent in all seats, or with those that a mapping names (see `runs.run`)."""

    agent: str | Player | Mapping[Any, str | Player]
    params: dict[str, Any]

    @property
    def seats(self) -> Mapping[Any, Any]:
        """Who sits where."""
        return self.agent if isinstance(self.agent, Mapping) else {"all": self.agent}


@dataclass(frozen=True)
class Effect:
    """What is claimed of the same boxes under several conditions.

    Attributes:
        name: in a few words.
        published: where.
        box: which box.
        shared: the parameters that all conditions share.
        conditions: what differs, by name.
        claims: a measure, the condition that is claimed to have more of it, and the one with less.
        no_difference: claims of the opposite kind: that the two do not differ.
    """

    name: str
    published: str
    box: str
    shared: dict[str, Any]
    conditions: dict[str, Condition]
    claims: tuple[tuple[str, str, str], ...]
    no_difference: tuple[tuple[str, str, str], ...] = ()

    def tables(self, boxes: int = BOXES, seed: int = SEED) -> dict[str, list[dict[str, float]]]:
        """What was measured, by condition; the same seeds in all."""
        return {
            name: measure(run(self.box, each.seats, boxes, seed, **self.shared, **each.params))
            for name, each in self.conditions.items()
        }


@dataclass(frozen=True)
class Finding:
    """What came of one claim.

    Attributes:
        effect: which effect.
        measured: which measure.
        more, less: the two conditions.
        means: of both, with intervals over boxes.
        difference: more - less, paired.
        claimed: whether a difference is claimed, or that there is none.
        boxes: in how many boxes the measure has a meaning under both conditions, and of how many.
    """

    effect: Effect
    measured: str
    more: str
    less: str
    means: tuple[Interval, Interval]
    difference: Interval
    claimed: bool
    boxes: tuple[int, int]

    @property
    def holds(self) -> bool:
        """Whether the claim holds: the interval of the difference lies above 0; or covers 0, where none is claimed."""
        low, high = self.difference.low, self.difference.high
        return low > 0 if self.claimed else low <= 0 <= high

    @property
    def verdict(self) -> str:
        """In words. An interval that covers 0 shows no difference, and does not prove that there is none."""
        if self.holds:
            return "holds" if self.claimed else "no difference found"
        if not self.claimed:
            return "does not hold: they differ"
        return "does not hold: reversed" if self.difference.high < 0 else "does not hold: undecided"


def findings(boxes: int = BOXES, seed: int = SEED, effects: tuple[Effect, ...] | None = None) -> Iterator[Finding]:
    """Each claim of each effect, put to the test.

    Args:
        boxes: how many for each condition.
        seed: of the first box.
        effects: which [default: all of `EFFECTS`].
    """
    for effect in EFFECTS if effects is None else effects:
        tables = effect.tables(boxes, seed)
        for measured, more, less in effect.claims + effect.no_difference:
            values = _in_both(column(tables[more], measured), column(tables[less], measured))
            yield Finding(
                effect,
                measured,
                more,
                less,
                (over_boxes(values[0]), over_boxes(values[1])),
                over_boxes(values[0] - values[1]),
                (measured, more, less) in effect.claims,
                (len(values[0]), len(tables[more])),
            )


def _in_both(one: np.ndarray, other: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the boxes in which a measure has a meaning under both conditions: means and difference rest on the same ones."""
    told = ~np.isnan(one) & ~np.isnan(other)
    if told.sum() < 2:
        raise ValueError(f"{told.sum()} of {len(one)} boxes have the measure under both conditions, and an interval needs two")
    return one[told], other[told]


def report(found: list[Finding]) -> str:
    """All findings as one table in Markdown."""
    rows = [
        "| effect | measured | claimed | means | paired difference | |",
        "|---|---|---|---|---|---|",
    ]
    for finding in found:
        sign = ">" if finding.claimed else "="
        means = " / ".join(mean.with_half_width() for mean in finding.means)
        told, of = finding.boxes
        measured = finding.measured + (f" ({told} of {of} boxes)" if told < of else "")
        rows.append(
            f"| {finding.effect.name} | {measured} | {finding.more} {sign} {finding.less} | {means} "
            f"| {finding.difference.with_ends()} | {finding.verdict} |"
        )
    return "\n".join(rows)


# ------------------------------------------------------------------------------------------------- the effects
_SEARCHER = NeverRepeat(draws=4)
_TOPOLOGIES = {name: Condition(_SEARCHER, {"topology": name}) for name in ("isolated", "full", "dynamic")}
_UNLIMITED = {"notes": 320, "free_reading": True}


def _keepers(entries: int) -> dict[str, Condition]:
    return {
        f"best-path-{entries}": Condition("notes_best_path", {"notes": entries}),
        f"FIFO-{entries}": Condition("notes_fifo", {"notes": entries}),
    }


_INHERIT = (("inherited", "notes"), ("not inherited", "nothing"))
_TEACHERS = {name: Condition("greedy", {"teacher": name}) for name in ("all", "most_successful", "oldest", "random")}


def _forcing(others: int, first: str) -> Condition:
    """So many toxic agents in the seats after the first, whose agent is named; the rest is clean."""
    return Condition(
        {0: first, tuple(range(1, 1 + others)): "toxic", "others": "clean"} if others < 5 else {0: first, "others": "toxic"}, {}
    )


_SCHELLING = {f"{first}, {k} others force": _forcing(k, first) for k in range(6) for first in ("clean", "toxic")}

#: One scientist among five who cite everything, in boxes of each selection.
_ONE_OF = {
    f"{manner}, {selection}": Condition({0: manner, "others": "citer"}, {"selection": selection})
    for selection in ("consequentialist", "seems_right", "approval")
    for manner in ("sceptic", "publisher")
}
#: By selection, boxes of those scientists whom it pays best, of the two, to be (see "what pays decides how one claims").
_SELECTED = {
    "consequentialist": Condition("sceptic", {"selection": "consequentialist"}),
    "seems right": Condition("publisher", {"selection": "seems_right"}),
    "approval": Condition({0: "publisher", 1: "publisher", 2: "publisher", "others": "citer"}, {"selection": "approval"}),
}
#: By what a full board gives up, boxes of two publishers, two citers and two replicators.
_RETAINED = {
    rule.replace("_", " "): Condition({(0, 1): "publisher", (2, 3): "citer", (4, 5): "replicator"}, {"retention": rule})
    for rule in RETENTIONS[1:]
}
#: By selection and what a full board gives up, the boxes of `_SELECTED`.
_SELECTED_AND_RETAINED = {
    f"{selection}, {rule.replace('_', ' ')}": Condition(each.agent, {**each.params, "retention": rule})
    for selection, each in _SELECTED.items()
    for rule in ("oldest_out", "least_confirmed_out")  # nobody cites there, so the least cited is the oldest
    if selection != "approval"
}


#: All effects of these scenarios.
EFFECTS = (
    Effect(
        "deceptive merge",
        "Derex & Boyd 2016; SAPIENS (Nisioti et al. 2022); what helps to innovate makes unequal: Moser & Smaldino 2023",
        "InventionBox",
        {"agents": 12, "value_bias": 1.5},
        _TOPOLOGIES,
        (
            ("crossover", "dynamic", "full"),
            ("crossover", "full", "isolated"),
            ("gini_wealth", "dynamic", "full"),
            ("gini_wealth", "full", "isolated"),
        ),
    ),
    Effect(
        "single path",
        "SAPIENS (Nisioti et al. 2022); what helps to innovate makes unequal: Moser & Smaldino 2023",
        "InventionBox",
        {"agents": 12, "lineages": 1, "crossover": 0, "levels": 60},
        _TOPOLOGIES,
        (
            ("mean_depth", "full", "dynamic"),
            ("mean_depth", "dynamic", "isolated"),
            ("gini_wealth", "full", "dynamic"),
            ("gini_wealth", "dynamic", "isolated"),
        ),
    ),
    Effect(
        "notes rescue amnesics",
        "Peshkin et al. 1999; Toro Icarte et al. 2020",
        "AmnesiaBox",
        {"levels": 40},
        {
            "no notes": Condition("notes_none", {"notes": 0}),
            "FIFO-16": Condition("notes_fifo", {"notes": 16}),
            "unlimited": Condition("notes_unlimited", _UNLIMITED),
        },
        (("depth_day_25", "FIFO-16", "no notes"), ("depth_day_25", "unlimited", "FIFO-16")),
    ),
    Effect(
        "note strategy, wide tree (W=8)",
        "",
        "AmnesiaBox",
        {"levels": 40, "width": 8},
        _keepers(8),
        (("depth_day_25", "best-path-8", "FIFO-8"),),
    ),
    Effect(
        "note strategy, narrow tree (W=2)",
        "",
        "AmnesiaBox",
        {"levels": 40, "width": 2},
        _keepers(8),
        (),
        (("depth_day_25", "best-path-8", "FIFO-8"),),
    ),
    Effect(
        "long notes, few posts",
        "",
        "AmnesiaBox",
        {"levels": 40, "agents": 4, "board": 16, "horizon": 600},
        {f"{notes} notes": Condition(Sharer(keep="best_path"), {"notes": notes}) for notes in (4, 32)},
        (("posts", "4 notes", "32 notes"), ("depth_day_10", "32 notes", "4 notes")),
    ),
    Effect(
        "a code needs fewer bytes",
        "",
        "AmnesiaBox",
        {},
        {
            "coder, 24 bytes": Condition("coder", {"notes": 12, "notation": "symbols", "entry_bytes": 2, "alphabet": 252}),
            "events, 24 bytes": Condition("notes_best_path", {"notes": 4}),
            "events, 72 bytes": Condition("notes_best_path", {"notes": 12}),
        },
        (
            ("depth_day_25", "coder, 24 bytes", "events, 24 bytes"),
            ("note_bytes", "events, 72 bytes", "coder, 24 bytes"),
        ),
        (("depth_day_25", "coder, 24 bytes", "events, 72 bytes"),),
    ),
    Effect(
        "illusions rot what is kept",
        "Byrnes",
        "AmnesiaBox",
        {"levels": 40, "illusions": 0.1},
        {
            "keep all": Condition("notes_unlimited", _UNLIMITED),
            "verify first": Condition("notes_verify_first", _UNLIMITED),
            "best-path-16": Condition("notes_best_path", {"notes": 16}),
        },
        (
            ("note_precision", "verify first", "keep all"),
            ("depth_day_25", "verify first", "keep all"),
            ("note_precision", "best-path-16", "keep all"),
            ("depth_day_25", "best-path-16", "keep all"),
        ),
    ),
    Effect(
        "grammar: the rule is found",
        "",
        "InventionBox",
        {"structure": "grammar", "features": 3, "agents": 1, "bases": 16, "crossover": 0, "horizon": 1000},
        {
            **{name: Condition(name, {}) for name in ("rule_finder", "never_repeat", "greedy")},
            "no inference": Condition(RuleFinder(infers=False), {}),
        },
        tuple(("inventions", "rule_finder", less) for less in ("never_repeat", "greedy", "no inference")),
    ),
    Effect(
        "knowledge accumulates over generations",
        "Tomasello 1999; Mesoudi & Thornton 2018",
        "GenerationsBox",
        {},
        {
            "demonstration": Condition("greedy", {}),
            "no transmission": Condition("greedy", NO_TRANSMISSION),
            "immortal": Condition("greedy", {**NO_TRANSMISSION, "lifespan": 0, "agents": 1, "horizon": 3600}),
        },
        (
            ("depth_generation_10", "demonstration", "no transmission"),
            ("generation_slope", "demonstration", "no transmission"),
            ("loss_rate", "no transmission", "demonstration"),
            ("depth", "immortal", "demonstration"),
        ),
    ),
    Effect(
        "inherited notes accumulate too",
        "",
        "GenerationsBox",
        {"channel": "none", "notes": 16},
        {name: Condition("notes_best_path", {"inherit": inherit}) for name, inherit in _INHERIT},
        (("depth_generation_10", "inherited", "not inherited"),),
    ),
    Effect(
        "copy errors break accumulation",
        "Eigen 1971; Lewis & Laland 2012",
        "GenerationsBox",
        {},
        {
            **{f"error {error}": Condition("greedy", {"copy_error": error}) for error in (0.0, 0.2, 0.5)},
            "no transmission": Condition("greedy", NO_TRANSMISSION),
        },
        (
            ("depth_generation_10", "error 0.0", "error 0.2"),
            ("depth_generation_10", "error 0.2", "no transmission"),
            ("depth_generation_10", "no transmission", "error 0.5"),
        ),
    ),
    Effect(
        "whom newborns learn from",
        "Henrich & Gil-White 2001",
        "GenerationsBox",
        {},
        _TEACHERS,
        (
            ("depth_generation_10", "all", "most_successful"),
            ("depth_generation_10", "most_successful", "oldest"),
            ("depth_generation_10", "oldest", "random"),
        ),
    ),
    Effect(
        "dilemma",
        "Schelling 1973",
        "HazardBox",
        {},
        _SCHELLING,
        (
            *(("return_first", f"toxic, {k} others force", f"clean, {k} others force") for k in range(6)),
            ("return_last", "clean, 0 others force", "toxic, 0 others force"),
            ("return", "clean, 0 others force", "toxic, 5 others force"),
        ),
    ),
    Effect(
        "harm and invention",
        "",
        "HazardBox",
        {},
        {
            **{name: Condition(name, {}) for name in ("clean", "prosocial", "thief", "toxic")},
            "toxic, who may not": Condition("toxic", {"harm_mask": True}),
        },
        (
            ("inventions", "prosocial", "clean"),
            ("inventions", "clean", "toxic"),
            ("inventions", "toxic, who may not", "toxic"),
            ("return", "clean", "thief"),
        ),
    ),
    Effect(
        "what pays decides how one claims",
        "Smaldino & McElreath 2016",
        "SealedBox",
        {},
        _ONE_OF,
        (
            ("return_first", "sceptic, consequentialist", "publisher, consequentialist"),
            ("return_first", "publisher, seems_right", "sceptic, seems_right"),
            ("return_first", "publisher, approval", "sceptic, approval"),
        ),
    ),
    Effect(
        "the board is true where only what works pays",
        "Byrnes",
        "SealedBox",
        {},
        _SELECTED,
        (
            ("claim_precision", "consequentialist", "seems right"),
            ("claim_precision", "consequentialist", "approval"),
            ("depth", "consequentialist", "seems right"),
            ("false_half_life", "seems right", "consequentialist"),
        ),
    ),
    Effect(
        "what a full board keeps",
        "",
        "SealedBox",
        {},
        _RETAINED,
        (
            ("claim_precision", "least confirmed out", "oldest out"),
            ("claim_precision", "least confirmed out", "least cited out"),
            ("false_half_life", "least cited out", "least confirmed out"),
            ("depth", "least confirmed out", "oldest out"),
        ),
    ),
    Effect(
        "true where only what works pays, whatever the board keeps",
        "Byrnes",
        "SealedBox",
        {},
        _SELECTED_AND_RETAINED,
        tuple(
            claim
            for rule in ("oldest out", "least confirmed out")
            for claim in (
                ("claim_precision", f"consequentialist, {rule}", f"seems right, {rule}"),
                ("false_half_life", f"seems right, {rule}", f"consequentialist, {rule}"),
            )
        ),
    ),
)


def main() -> None:
    """Print the table."""
    print(report(list(findings())))


if __name__ == "__main__":
    main()
