"""The verdict: does an agent adapt, by what, how far does it reach, and is it more than a heuristic?

All of it comes from runs: the agent lives the same lives, on the same tasks with the same noise, intact and under each control
(`controls`), beside the family's heuristics; then longer ones, and ones on shifted tasks. What is compared with what, and what
follows, is in `classes`.
"""

from __future__ import annotations

import functools
import json
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from metarl_envs.arguments import Progress, at_least_one, tell_nobody
from metarl_envs.engine.composing import family_at
from metarl_envs.engine.family import Variant
from metarl_envs.engine.player import references_of
from metarl_envs.evaluation import classes, controls
from metarl_envs.evaluation.classes import Comparison, compared
from metarl_envs.evaluation.controls import Control, under
from metarl_envs.evaluation.fingerprint import Likeness, fingerprint
from metarl_envs.evaluation.protocol import evaluate
from metarl_envs.evaluation.result import Result, joined
from metarl_envs.evaluation.statistics import Interval, over_seeds, over_seeds_and_tasks
from metarl_envs.files import versions, written_aside
from metarl_envs.ids import family_of, id_of
from metarl_envs.players.resolve import Anyone, described, players_by_name
from metarl_envs.task_sets import DEFAULT_SPLIT, tasks_of

FORMAT = "metarl_envs verdict 1"
#: Shifts after which tasks are built otherwise: who recognises tasks loses, who learns does not.
STRUCTURAL = ("unseen_disguise", "unseen_parts")
#: What an agent adapts by at least, and loses at least without its own feedback; what it may lose in longer lives.
LEAST_ADAPTATION, LEAST_DROP, MOST_FALL = 0.05, 0.2, 0.1
#: What is left of a score, between the best policy without memory and the oracle, below which there is nothing to adapt for.
_LEAST_ROOM = 0.05
_AGENT = "agent"


@dataclass(frozen=True)
class Row:
    """What a verdict tells of one control, shift, heuristic, or of the agent itself.

    Attributes:
        name, says: what it is.
        adaptation: A of the agent under it (or of the heuristic); None where it cannot act.
        drop: of A, against the intact agent on the same tasks; None where it is not paired with it.
        why_not: why it cannot act; empty where it can.
    """

    name: str
    says: str
    adaptation: Interval | None = None
    drop: Interval | None = None
    why_not: str = ""


@dataclass(frozen=True, repr=False)
class Verdict:
    """What an agent was found to be, and all that it rests on.

    Attributes:
        id, params, split: the family and its tasks.
        agents: who was tried, as text.
        seeds, tasks, episodes: how many.
        name: the class: "none", "undecided", "heuristic", "task inference", "reward learning" or "mixed".
        evidence: the comparison that decides it, in words.
        comparisons: all of them, decided together (Holm).
        rows: what the agent adapts by intact, under each control, on shifted tasks; and heuristics.
        curves: learning curves by name, float64 [3, unit]: mean and 95 % interval of the score.
        memoryless: the score of the best policy without memory, the zero of A; 0 where it is not known.
        memoryless_known: whether it is.
        recovery: what it costs the agent, in units of the learning curve that the oracle would take, when actions change their
            meaning in mid-trial; None where they do not.
        gain, slope: the last unit of the curve less the first; a unit, beyond the lifetime (None where there is none).
        likenesses: which known players tell what it does, the best first (see `fingerprint`); empty where none can look on.
        unit: "episode", or what a block of steps is called.
    """

    id: str
    params: dict[str, Any]
    split: str | None
    agents: list[str]
    seeds: int
    tasks: int
    episodes: int
    name: str
    evidence: str
    comparisons: list[Comparison]
    rows: list[Row]
    curves: dict[str, np.ndarray]
    memoryless: float
    memoryless_known: bool
    recovery: float | None
    gain: Interval
    slope: Interval | None
    likenesses: list[Likeness]
    unit: str

    def __repr__(self) -> str:
        agents = " or ".join(dict.fromkeys(self.agents))
        about = f"{self.tasks} tasks, split={self.split!r}, {self.seeds} seeds"
        return f"Verdict({agents} in {self.id}: {self.name!r}, of {about})"

    def as_json(self) -> dict[str, Any]:
        """Return everything as JSON types."""
        about = {
            name: getattr(self, name) for name in ("id", "params", "split", "agents", "seeds", "tasks", "episodes", "unit")
        }
        return {
            "format": FORMAT,
            **about,
            "class": self.name,
            "evidence": self.evidence,
            "comparisons": [classes.as_json(one) for one in self.comparisons],
            "rows": [{**vars(row), "adaptation": _ends(row.adaptation), "drop": _ends(row.drop)} for row in self.rows],
            "curves": {name: [[_number(v) for v in line] for line in curve.tolist()] for name, curve in self.curves.items()},
            "memoryless_score": self.memoryless if self.memoryless_known else None,
            "recovery_cost": self.recovery,
            "gain": _ends(self.gain),
            "slope_beyond": _ends(self.slope),
            "likenesses": [{**vars(one), "bits": _ends(one.bits)} for one in self.likenesses],
            "versions": versions("metarl-envs", "gymnasium", "numpy", "numba"),
        }

    def save(self, folder: str | os.PathLike) -> Path:
        """Write `verdict.json` into a folder (made if need be); return its path. `verdict_page.save_page` writes the page."""
        path = Path(folder) / "verdict.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        with written_aside(path) as [aside]:
            aside.write_text(json.dumps(self.as_json(), indent=2, allow_nan=False) + "\n")
        return path


def verdict(
    agents: Anyone | str | Sequence[Anyone],
    id: str,
    *,
    split: str | None = DEFAULT_SPLIT,
    tasks: int = 100,
    episodes: int | None = None,
    seeds: int | Iterable[int] = 5,
    lifetimes: int = 1,
    reach: int = 2,
    progress: Progress = tell_nobody,
    **params: Any,
) -> Verdict:
    """Return what an agent is: it does not adapt, or by a heuristic, by recognising tasks, or by learning from reward.

    Args:
        agents: a learner, the name of one or of a reference, or a factory of players; or a list of factories, one for each
            trained model, which are taken for seeds of one method.
        id: as in `evaluate`.
        split: as in `evaluate`: tasks that the agent was not trained on.
        tasks: how many; at least 2.
        episodes: in a lifetime: as many as the agent was trained on.
        seeds: how many, or which; of a list of agents, one each.
        lifetimes: on each task.
        reach: how many times as many episodes are lived to see whether the agent goes on beyond.
        progress: as in `evaluate`.
        params: the family's parameters.

    Raises:
        ValueError: what `evaluate` raises; the agent looks at the hidden task; a list of agents and `seeds` of another number;
            the best policy without memory does as well as the oracle, so that there is nothing to adapt for.
        TypeError: what `evaluate` raises.
    """
    variant = tasks_of(family_at(family_of(id)), "test", split, None, params).variant
    models, chosen = _models(agents, variant, seeds)
    for model in models:
        if getattr(model, "observes", "") == "world":
            raise ValueError(f"agents: {described(model)} looks at the hidden task, and has nothing to learn")
    how: dict[str, Any] = {"split": split, "tasks": tasks, "lifetimes": lifetimes, "progress": progress, **params}
    score = functools.partial(_scored, id, models, chosen, how)
    first = score({_AGENT: lambda model: model}, episodes)
    lived, block = first.runs[_AGENT].episodes, 0 if first.unit == "episode" else first.unit_steps
    known = controls.controls_of(variant, first.runs[_AGENT], episodes=lived, block=block)
    acting = [one for one in known if one.wrapper is not None]
    heuristics = {name: references_of(variant)[name] for name in variant.family.heuristics}
    beside = {one.name: functools.partial(_under, one) for one in acting}
    beside |= {f"heuristic {name}": functools.partial(_always, player) for name, player in heuristics.items()}
    others = score(beside, lived)
    shifted = {name: score({_AGENT: lambda m: m}, lived, shift=name) for name in STRUCTURAL if name in variant.family.shifts}
    longer = score({_AGENT: lambda model: model}, reach * lived) if not block and at_least_one("reach", reach) > 1 else None
    return _Findings(variant, first, others, shifted, longer, known).verdict(
        id_of(id), [described(model) for model in models], lived
    )


class _Findings:
    """Scores of all lives, and what is read off them."""

    def __init__(
        self,
        variant: Variant,
        first: Result,
        others: Result,
        shifted: dict[str, Result],
        longer: Result | None,
        known: list[Control],
    ):
        self.variant, self.first, self.others, self.shifted, self.longer, self.known = (
            variant, first, others, shifted, longer, known,
        )  # fmt: skip
        self.zero = first.memoryless_score or 0.0
        if 1 - self.zero < _LEAST_ROOM:
            raise ValueError(
                f"the best policy without memory scores {self.zero:.3f} in {first.id}, where the oracle scores 1: there is "
                "nothing to adapt for, and no verdict"
            )
        self.intact = self._adaptation(first, _AGENT)

    def verdict(self, id: str, agents: list[str], episodes: int) -> Verdict:
        """Decide."""
        comparisons = classes.decided(self._comparisons())
        name, evidence = classes.classified(comparisons)
        values = self.first.normalised(_AGENT)
        beyond = None if self.longer is None else self.longer.normalised(_AGENT)[..., episodes:]
        curves = {"agent": self.first.curve(_AGENT) if self.longer is None else self.longer.curve(_AGENT)}
        curves |= {name: self.others.curve(name) for name in self.others.raw}
        return Verdict(
            id=id,
            params=self.first.params,
            split=self.first.split,
            agents=list(dict.fromkeys(agents)),
            seeds=len(self.first.seeds),
            tasks=len(self.first.scale.random),
            episodes=episodes,
            name=name,
            evidence=evidence,
            comparisons=comparisons,
            rows=self._rows(),
            curves=curves,
            memoryless=self.zero,
            memoryless_known=self.first.memoryless is not None,
            recovery=self._recovery(),
            gain=over_seeds(values[..., -1] - values[..., 0]),
            slope=None if beyond is None else _slope(beyond),
            likenesses=self._likenesses(),
            unit=self.first.unit,
        )

    def _comparisons(self) -> list[Comparison]:
        intact, found = self.intact, []
        found.append(compared(classes.ADAPTS, "A", intact, LEAST_ADAPTATION))
        drop = intact - self._under(controls.SWAPPED)
        needs = "what of A is lost with another task's feedback, less 0.2 A,"
        found.append(compared(classes.NEEDS_FEEDBACK, needs, drop - LEAST_DROP * intact, 0.0))
        if self._acts(controls.PERMUTED):
            left = self._under(controls.PERMUTED) - intact / 2
            found.append(compared(f"{classes.KEEPS}with actions permuted", "what of A is left, less A/2,", left, 0.0))
        for name, result in self.shifted.items():
            left = self._adaptation(result, _AGENT).mean(axis=1, keepdims=True) - intact / 2
            found.append(compared(f"{classes.KEEPS}on {name}", "what of A is left, less A/2,", left, 0.0))
        if (guess := "heuristic which_part") in self.others.raw:
            more = intact - self._adaptation(self.others, guess)
            found.append(compared(classes.BEATS_GUESS, "A less that of which_part", more, 0.0))
        scale, tasks = self.first.scale, self.first.runs[_AGENT].tasks[: len(self.first.scale.random)]
        if self._acts(controls.REFLECTED) and controls.reflection_decides(self.variant, tasks, scale.random, scale.oracle):
            below = -self.others.normalised(controls.REFLECTED).mean(axis=(2, 3))
            found.append(compared(classes.FOLLOWS_REFLECTED, "how far it scores below random play", below, 0.0))
        if self.longer is not None:
            values, lived = self.longer.normalised(_AGENT).mean(axis=2), self.first.normalised(_AGENT).shape[-1]
            last = values[..., lived - max(1, lived // 5) : lived].mean(axis=-1)
            more = values[..., lived:].mean(axis=-1) - last
            found.append(compared(classes.GOES_ON, "its score beyond, less that before,", more, -MOST_FALL))
        return found

    def _rows(self) -> list[Row]:
        rows = [Row("intact", "nothing is taken away", _interval(self.intact))]
        for one in self.known:
            if one.wrapper is None:
                rows.append(Row(one.name, one.takes, why_not=one.why_not))
                continue
            values = self._under(one.name)
            rows.append(Row(one.name, one.takes, _interval(values), _interval(self.intact - values)))
        for name in STRUCTURAL:
            if name in self.shifted:
                rows.append(Row(name, "tasks are built otherwise", _interval(self._adaptation(self.shifted[name], _AGENT))))
            else:
                rows.append(Row(name, "tasks are built otherwise", why_not="the family has no such shift"))
        for name in self.variant.family.heuristics:
            values = self._adaptation(self.others, f"heuristic {name}")
            rows.append(Row(f"heuristic {name}", "another player", _interval(values), _interval(self.intact - values)))
        return rows

    def _recovery(self) -> float | None:
        """Sum over units, from the middle on, of what the score lacks to its mean over as many units before."""
        if not self._acts(controls.PERMUTED_LATER):
            return None
        curve = self.others.normalised(controls.PERMUTED_LATER).mean(axis=(0, 1, 2))
        middle = len(curve) // 2
        before = curve[middle - max(1, middle // 5) : middle].mean()
        return float(np.maximum(0.0, before - curve[middle:]).sum())

    def _likenesses(self) -> list[Likeness]:
        """Who is known to act alike, from one life on each task for each seed."""
        run, (seeds, tasks, lifetimes, _) = self.first.runs[_AGENT], self.first.raw[_AGENT].shape
        return fingerprint(run[::lifetimes], seeds) if tasks > 1 else []

    def _acts(self, control: str) -> bool:
        return control in self.others.raw

    def _under(self, control: str) -> np.ndarray:
        return self._adaptation(self.others, control)

    def _adaptation(self, result: Result, name: str) -> np.ndarray:
        """A: the score above that of the best policy without memory, of what there is above it, float64 [seed, task]."""
        values = result.normalised(name)
        whole = values[..., -1:] if result.is_cumulative else values
        zero = result.memoryless_score or 0.0
        return (whole.mean(axis=(2, 3)) - zero) / (1 - zero)


def _models(agents: Any, variant: Variant, seeds: Any) -> tuple[list[Anyone], list[int]]:
    """The agents, and the seed of each: one agent for all seeds, or each with a seed of its own."""
    numbers = list(range(at_least_one("seeds", seeds))) if not isinstance(seeds, Iterable) else list(seeds)
    if isinstance(agents, list | tuple):
        if isinstance(seeds, Iterable) and len(numbers) != len(agents):
            raise ValueError(f"agents holds {len(agents)} models and seeds={numbers}: there must be one seed for each")
        named = players_by_name({str(i): agent for i, agent in enumerate(agents)}, variant, "agents")
        return list(named.values()), numbers if isinstance(seeds, Iterable) else list(range(len(agents)))
    return list(players_by_name({_AGENT: agents}, variant, "agents").values()), numbers


def _scored(
    id: str, models: list[Anyone], seeds: list[int], how: dict[str, Any], forms: dict, episodes: int | None, shift: str = ""
) -> Result:
    """Scores of each form of the agent: one model for all seeds, or each for its own."""
    how = {**how, "episodes": episodes}
    if shift:
        how["split"] = f"test+{shift}"
    if len(models) == 1:
        return evaluate(id, {name: form(models[0]) for name, form in forms.items()}, seeds=seeds, **how)
    return joined(
        [
            evaluate(id, {name: form(model) for name, form in forms.items()}, seeds=[seed], **how)
            for model, seed in zip(models, seeds, strict=True)
        ]
    )


def _under(control: Control, model: Anyone) -> Anyone:
    assert control.wrapper is not None
    return under(model, control.wrapper)


def _always(player: Anyone, model: Anyone) -> Anyone:
    return player


def _interval(values: np.ndarray) -> Interval:
    return over_seeds_and_tasks(values[:, :, None, None])


def _slope(values: np.ndarray) -> Interval:
    """The slope of the score from unit to unit, [seed, task, lifetime, unit]."""
    units = np.arange(values.shape[-1]) - (values.shape[-1] - 1) / 2
    return over_seeds((values * units).sum(axis=-1) / max(1.0, float((units**2).sum())))


def _ends(found: Interval | None) -> dict[str, float | None] | None:
    return None if found is None else {name: _number(end) for name, end in found._asdict().items()}


def _number(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
