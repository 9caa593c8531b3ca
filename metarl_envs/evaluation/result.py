"""Results of evaluations: scores, and everything that is computed from them."""

from __future__ import annotations

import functools
import json
import os
import platform
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from metarl_envs.evaluation.references import Scale, memoryless_score
from metarl_envs.evaluation.result_files import ARRAYS, FORMAT, check_arrays, check_run, digest_of, read_result
from metarl_envs.evaluation.statistics import Interval, curve_over_seeds_and_tasks, over_seeds, over_seeds_and_tasks
from metarl_envs.files import replaced_in, versions
from metarl_envs.players.run import Run, alternatives
from metarl_envs.players.run import joined as joined_runs
from metarl_envs.players.run import load as load_run
from metarl_envs.players.run_files import read_archive

#: The arrays of a scale that a cumulative score has.
_UNTIL = ("random_until", "oracle_until")
#: A cumulative score begins where the oracle leads random by this share of its lead in the whole episode.
_LEAST_LEAD = 0.01


@dataclass(frozen=True)
class Summary:
    """One policy in numbers, normalised: 0 is the random policy, 1 the oracle.

    Attributes:
        aulc: the score of the whole lifetime, which is the area under the learning curve (the mean over its units) where units
            are scored one by one, and its last point where it is cumulative (the primary figure): for these tasks, over seeds.
        aulc_distribution: the same with the interval for the distribution of tasks.
        first, last: the curve at its first and last unit; NaN where it is cumulative, which tells nothing of a single unit.
        gain: last - first; NaN where the curve is cumulative.
        worst_fifth: the 20th percentile over tasks of the score of the whole lifetime.
        regret: what the oracle would have earned more in a lifetime, in reward.
        total: what the policy earned in a lifetime, in reward.
    """

    aulc: Interval
    aulc_distribution: Interval
    first: float
    last: float
    gain: Interval
    worst_fifth: float
    regret: float
    total: float


@dataclass(frozen=True, repr=False)
class Result:
    """Scores of policies on the same tasks.

    Attributes:
        id, params, split, fingerprint: which tasks.
        seeds: which seeds.
        unit, unit_steps, share: what one point of a curve is, its steps, and which share of an episode that is.
        scale: expected returns of random and oracle on each task.
        passed_over: tasks left out because the oracle earns hardly more than random on them.
        memoryless: the expected return of an episode on each task for the best policy without memory, float64 [task]; None
            where it is not known.
        policies: what each is.
        raw: by policy, what was earned, float64 [seed, task, lifetime, unit].
        runs: by policy, what was done, one row a lifetime in the order of the first three axes: see `run`.
    """

    id: str
    params: dict[str, Any]
    split: str | None
    fingerprint: str
    seeds: list[int]
    unit: str
    unit_steps: int
    share: float
    scale: Scale
    passed_over: int
    memoryless: np.ndarray | None
    policies: dict[str, str]
    raw: dict[str, np.ndarray]
    runs: dict[str, Run] = field(default_factory=dict)

    def run(self, policy: str) -> Run:
        """Return what a policy did, from which all else follows by living it again: `run("mine").columns(labels=["q_star"])`.

        Raises:
            ValueError: there is no policy of that name, or the result came without runs.
        """
        if policy not in self.runs:
            raise ValueError(f"policy={policy!r} has no run here; there are: {', '.join(self.runs) or 'none'}")
        return self.runs[policy]

    @property
    def is_cumulative(self) -> bool:
        """Whether the curve shows what was earned up to each unit, and not in it.

        So it is in families of one long episode in which reward runs out (an InventionBox: what is made once pays once). There
        the oracle earns next to nothing in late blocks, and nothing can be scored by that.
        """
        return self.scale.oracle_until is not None

    def normalised(self, policy: str) -> np.ndarray:
        """(R - random) / (oracle - random) for each task, float64 [seed, task, lifetime, unit]; never clipped.

        R is what was paid in a unit, or, where the result `is_cumulative`, up to its end; random and oracle are what these
        references are expected to earn in the same time. A cumulative score is NaN in units before whose end the oracle leads
        random by less than a hundredth of what it leads by in the whole episode: there is nothing yet to be scored by.
        """
        if self.scale.random_until is None or self.scale.oracle_until is None:
            low, high = (self.share * v[None, :, None, None] for v in (self.scale.random, self.scale.oracle))
            return (self.raw[policy] - low) / (high - low)
        lead = self.scale.oracle_until - self.scale.random_until
        lead = np.where((lead >= _LEAST_LEAD * lead[:, -1:]).all(axis=0), lead, np.nan)
        earned = self.raw[policy].cumsum(axis=3) - self.scale.random_until[None, :, None, :]
        return earned / lead[None, :, None, :]

    def of_lifetimes(self, policy: str) -> np.ndarray:
        """Return the normalised score of each whole lifetime, float64 [seed, task, lifetime].

        It is the mean over units where they are scored one by one, and the last of them where the result `is_cumulative`.
        """
        values = self.normalised(policy)
        return values[..., -1] if self.is_cumulative else values.mean(axis=3)

    def curve(self, policy: str) -> np.ndarray:
        """Mean and 95 % interval (for the distribution of tasks) of the normalised score at each unit, float64 [3, unit]."""
        return curve_over_seeds_and_tasks(self.normalised(policy))

    @functools.cached_property
    def summaries(self) -> dict[str, Summary]:
        """Every policy in numbers, best first."""
        found = {policy: self._summary(policy) for policy in self.raw}
        return dict(sorted(found.items(), key=lambda item: -item[1].aulc.mean))

    @property
    def memoryless_score(self) -> float | None:
        """The score of the best policy without memory, normalised for each task as all scores are; None where it is not known.

        It is the true zero of adaptation. The policy is the best one for the whole distribution of tasks at these parameters
        (those of a shift, where the split is one), and it is scored on the tasks that were evaluated. So it is 0 exactly where
        random play is as good as any that keeps no history.
        """
        return memoryless_score(self.memoryless, self.scale)

    def _summary(self, policy: str) -> Summary:
        values, earned = self.normalised(policy), self.raw[policy].sum(axis=3)
        whole = self.of_lifetimes(policy)[..., None]
        first, last = (np.full_like(values[..., 0], np.nan) if self.is_cumulative else values[..., i] for i in (0, -1))
        best = self.scale.oracle.mean() * self.share * values.shape[3]
        return Summary(
            aulc=over_seeds(whole),
            aulc_distribution=over_seeds_and_tasks(whole),
            first=float(first.mean()),
            last=float(last.mean()),
            gain=over_seeds(last - first),
            worst_fifth=float(np.quantile(whole.mean(axis=(0, 2, 3)), 0.2)),
            regret=float(best - earned.mean()),
            total=float(earned.mean()),
        )

    def as_json(self) -> dict[str, Any]:
        """Everything but the scores themselves, as JSON types."""
        lifetimes, units = next(iter(self.raw.values())).shape[2:]
        return {
            "format": FORMAT,
            "id": self.id,
            "params": self.params,
            "split": self.split,
            "tasks": len(self.scale.random),
            "tasks_passed_over": self.passed_over,
            "fingerprint": self.fingerprint,
            "seeds": self.seeds,
            "lifetimes": lifetimes,
            "score": {
                "axes": ["policy", "seed", "task", "lifetime", "unit"],
                "unit": self.unit,
                "unit_steps": self.unit_steps,
                "share": self.share,
                "units": units,
                "cumulative": self.is_cumulative,
            },
            "random_return": float(self.scale.random.mean()),
            "oracle_return": float(self.scale.oracle.mean()),
            "memoryless_best_return": None if self.memoryless is None else float(self.memoryless.mean()),
            "memoryless_score": self.memoryless_score,
            "runs": list(self.runs),
            "policies": {
                name: {"policy": self.policies[name], **_finite(vars(summary))} for name, summary in self.summaries.items()
            },
            "versions": {"python": platform.python_version(), **versions("metarl-envs", "gymnasium", "numpy", "numba")},
        }

    def save(self, folder: str | os.PathLike) -> list[Path]:
        """Write `result.json`, `scores.npz` and the runs into a folder (made if need be); return their paths.

        `scores.npz` holds `policies` (the names), `scores` (what was earned, float64 [policy, seed, task, lifetime, unit]),
        `random_return` and `oracle_return` (of an episode, float64 [task]), and where the result `is_cumulative`
        `random_until` and `oracle_until` (float64 [task, unit]), and `memoryless` (float64 [task]) where it is known. Names are
        data there, so that none can take another's place. `runs/0.npz` and `runs/0.json` hold the run of the first
        policy, and so on (see `Run.save`). `metarl_envs.evaluation.load` reads the folder.

        A result that is there already is replaced once the new one is whole; whatever interrupts this leaves the old one.
        """
        folder = Path(folder)
        columns: dict[str, Any] = {"policies": np.array(list(self.raw)), "scores": np.stack(list(self.raw.values()))}
        columns |= {"random_return": self.scale.random, "oracle_return": self.scale.oracle}
        if self.scale.random_until is not None and self.scale.oracle_until is not None:
            columns |= {"random_until": self.scale.random_until, "oracle_until": self.scale.oracle_until}
        if self.memoryless is not None:
            columns["memoryless"] = self.memoryless
        said = self.as_json()
        names = "result.json", "scores.npz", "runs"
        with replaced_in(folder, *names) as new:
            (new / "result.json").write_text(json.dumps({**said, "digest": digest_of(said, columns)}, indent=2) + "\n")
            np.savez_compressed(new / "scores.npz", **columns)
            for i, name in enumerate(self.raw):
                if name in self.runs:
                    self.runs[name].save(new / "runs" / str(i))
        return [folder / name for name in names[: 3 if self.runs else 2]]

    def __repr__(self) -> str:
        seeds, tasks, lifetimes, units = next(iter(self.raw.values())).shape
        unit = "episode" if self.unit == "episode" else "block"
        return (
            f"Result({self.id}, split={self.split!r}, {seeds} seeds x {tasks} tasks x {lifetimes} lifetimes x {units} {unit}s "
            f"of {', '.join(self.raw)})"
        )


def load(folder: str | os.PathLike) -> Result:
    """Return the result that `Result.save` wrote into a folder. The files can run no code.

    Raises:
        FileNotFoundError: a file is missing.
        ValueError: they are no result of this version, are cut short, or do not belong together.
    """
    folder = Path(folder)
    about, archive = folder / "result.json", folder / "scores.npz"
    said, arrays = read_result(about), read_archive(archive, ARRAYS, "result")
    check_arrays(said, arrays, archive)
    names, until = arrays["policies"].tolist(), {name: arrays[name] for name in _UNTIL if name in arrays}
    result = Result(
        **{name: said[name] for name in ("id", "params", "split", "fingerprint", "seeds")},
        **{name: said["score"][name] for name in ("unit", "unit_steps", "share")},
        scale=Scale(arrays["random_return"], arrays["oracle_return"], **until),
        passed_over=said["tasks_passed_over"],
        memoryless=arrays.get("memoryless"),
        policies={name: said["policies"][name]["policy"] for name in names},
        raw=dict(zip(names, arrays["scores"], strict=True)),
        runs={name: load_run(folder / "runs" / str(i)) for i, name in enumerate(names) if name in said["runs"]},
    )
    for name, run in result.runs.items():
        check_run(said, name, result.raw[name], run, folder)
    return result


def joined(results: Sequence[Result]) -> Result:
    """One result from several that differ in their seeds only: where each seed has a trained model of its own.

    A policy that is described otherwise in some of them is described by all of these, "... or ...".

    Raises:
        ValueError: there is none; a seed comes twice; the tasks, their scale, or the names of the policies differ.
    """
    if not results:
        raise ValueError("results is empty: give at least one")
    first = results[0]
    for other in results[1:]:
        for name in ("id", "params", "split", "fingerprint", "unit_steps"):
            if getattr(other, name) != getattr(first, name):
                raise ValueError(f"results differ in {name}: {getattr(first, name)!r} and {getattr(other, name)!r}")
        if list(other.raw) != list(first.raw):
            raise ValueError(f"results differ in their policies: {', '.join(first.raw)} and {', '.join(other.raw)}")
        if any(other.raw[policy].shape[1:] != first.raw[policy].shape[1:] for policy in first.raw):
            raise ValueError("results differ in how many tasks, lifetimes or units they have")
        if not np.array_equal(other.scale.oracle, first.scale.oracle):
            raise ValueError("results differ in their tasks: evaluate all with the same `tasks` and parameters")
    seeds = [seed for result in results for seed in result.seeds]
    if len(set(seeds)) < len(seeds):
        raise ValueError(f"results share seeds: {seeds}; each seed may come once")
    raw = {policy: np.concatenate([result.raw[policy] for result in results]) for policy in first.raw}
    runs = {policy: joined_runs([result.runs[policy] for result in results]) for policy in first.runs}
    policies = {name: alternatives(result.policies[name] for result in results) for name in first.policies}
    return replace(first, seeds=seeds, policies=policies, raw=raw, runs=runs)


def _finite(value: Any) -> Any:
    """JSON has no NaN: an unknown end of an interval is null."""
    if isinstance(value, dict):
        return {name: _finite(v) for name, v in value.items()}
    if isinstance(value, tuple):
        return [_finite(v) for v in value]
    return None if isinstance(value, float) and not np.isfinite(value) else value
