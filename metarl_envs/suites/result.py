"""What agents score in a suite: intervals, profiles and differences; saved as one file of JSON, and loaded."""

from __future__ import annotations

import hashlib
import json
import os
import platform
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from metarl_envs.arguments import did_you_mean
from metarl_envs.evaluation.statistics import Interval, over_tables
from metarl_envs.files import read_said, versions, written_aside
from metarl_envs.suites.frozen import Frozen, parts_of

#: What the file of a result begins with.
FORMAT = "metarl_envs suite result 1"
#: Scores are kept to so many decimals, in memory as in files: far finer than any interval.
DECIMALS = 4
_UNKNOWN = Interval(np.nan, np.nan, np.nan)
_SAID: dict[str, Any] = {"suite": dict, "suite_digest": str, "agents": dict, "versions": dict, "digest": str}


@dataclass(frozen=True, repr=False)
class SuiteResult:
    """Scores of agents in a suite: 0 is random play, 1 the oracle; they are never clipped.

    All agents met the same tasks with the same noise, so that their differences are paired. Intervals are of 95 %, for the
    distribution of tasks and of seeds (crossed random effects, see `metarl_envs.evaluation.statistics`); the rows are given.

    Attributes:
        suite: what was lived.
        agents: by name, who it is.
        scores: by agent and row, float64 [seed, task], to four decimals; rows that it cannot play are missing.
        refusals: by agent and row, why it cannot play there.
    """

    suite: Frozen
    agents: dict[str, str]
    scores: dict[str, dict[str, np.ndarray]]
    refusals: dict[str, dict[str, str]]

    def __post_init__(self):
        for agent, rows in self.scores.items():
            self.scores[agent] = {row: np.round(table, DECIMALS) for row, table in rows.items()}

    def score(self, agent: str, row: str) -> Interval:
        """Return an agent's score in a row; NaN where it cannot play."""
        self.suite.row(row)
        return self._over(agent, [row])

    def profile(self, agent: str) -> dict[str, Interval]:
        """Return by capability the mean over those of its rows that an agent can play, each counting alike; NaN of none.

        `played` tells over how many that is.
        """
        return {name: self._over(agent, [row.name for row in rows]) for name, rows in self.suite.capabilities.items()}

    def played(self, agent: str, capability: str) -> tuple[int, int]:
        """Return how many rows of a capability an agent can play, and how many there are."""
        rows = self.suite.capabilities[capability]
        return sum(row.name in self._of(agent) for row in rows), len(rows)

    def overall(self, agent: str) -> Interval:
        """Return the mean over all rows of the suite; NaN of an agent that cannot play all: it would be of another suite."""
        return self._over(agent, [row.name for row in self.suite.rows]) if not self.refusals[agent] else _UNKNOWN

    def difference(self, one: str, other: str, rows: str | Iterable[str] | None = None) -> Interval:
        """Return how much more one agent scores than another, paired by seed and task, in the mean over rows.

        Args:
            one: an agent.
            other: an agent.
            rows: which, by name; those that one of them cannot play are left out. None: all.

        Returns:
            The mean with its interval; NaN where they have no row in common.
        """
        names = [row.name for row in self.suite.rows] if rows is None else [rows] if isinstance(rows, str) else list(rows)
        wanted, mine, theirs = [self.suite.row(name).name for name in names], self._of(one), self._of(other)
        both = [row for row in wanted if row in mine and row in theirs]
        return over_tables([mine[row] - theirs[row] for row in both]) if both else _UNKNOWN

    def of(self, agents: Sequence[str]) -> SuiteResult:
        """Return the result of some of the agents, in this order."""
        for agent in agents:
            self._of(agent)
        return SuiteResult(
            self.suite,
            agents={agent: self.agents[agent] for agent in agents},
            scores={agent: self.scores[agent] for agent in agents},
            refusals={agent: self.refusals[agent] for agent in agents},
        )

    def _of(self, agent: str) -> dict[str, np.ndarray]:
        if agent not in self.scores:
            raise ValueError(
                f"agent={agent!r} is not here; there are: {', '.join(self.agents)}{did_you_mean(agent, self.agents)}"
            )
        return self.scores[agent]

    def _over(self, agent: str, rows: list[str]) -> Interval:
        tables = [self._of(agent)[row] for row in rows if row in self._of(agent)]
        return over_tables(tables) if tables else _UNKNOWN

    # ------------------------------------------------------------------------------------------- files
    def as_json(self) -> dict[str, Any]:
        """Return everything as JSON types: what was lived, all scores, and what follows from them for whoever only reads."""
        agents = {
            agent: {
                "is": self.agents[agent],
                "overall": _ends(self.overall(agent)),
                "profile": {name: _ends(found) for name, found in self.profile(agent).items()},
                "rows": {
                    row: {"score": _ends(self.score(agent, row)), "scores": table.tolist()} for row, table in rows.items()
                },
                "not_applicable": self.refusals[agent],
            }
            for agent, rows in self.scores.items()
        }
        said = {"format": FORMAT, "suite": self.suite.as_json(), "suite_digest": self.suite.digest, "agents": agents}
        told = {"python": platform.python_version(), **versions("metarl-envs", "gymnasium", "numpy", "numba")}
        return {**said, "versions": told, "digest": self._digest()}

    def _digest(self) -> str:
        """32 hex digits of what was lived, who lived it, and the scores."""
        scores = {agent: {row: table.tolist() for row, table in rows.items()} for agent, rows in self.scores.items()}
        parts = [FORMAT, self.suite.digest, self.agents, scores, self.refusals]
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:32]

    def save(self, path: str | os.PathLike) -> Path:
        """Write everything as one file of JSON, which can be sent to others; its path. `load_result` reads it."""
        path = Path(path)
        if path.suffix != ".json":
            raise ValueError(f"path={str(path)!r} must end in .json")
        path.parent.mkdir(parents=True, exist_ok=True)
        with written_aside(path) as [aside]:
            aside.write_text(json.dumps(self.as_json()) + "\n", encoding="utf-8")
        return path

    def __repr__(self) -> str:
        return f"SuiteResult({self.suite.name}: {', '.join(self.agents)})"


def load_result(path: str | os.PathLike) -> SuiteResult:
    """Return the result that `SuiteResult.save` wrote. The file can run no code.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is no result of this version, or has been changed since it was written.
    """
    path = Path(path)
    said = read_said(path, "result of a suite", FORMAT, _SAID)
    suite = Frozen(**parts_of(said["suite"], path))
    agents = {name: _agent_of(name, one, suite, path) for name, one in said["agents"].items()}
    result = SuiteResult(
        suite,
        agents={name: who for name, (who, _, _) in agents.items()},
        scores={name: scores for name, (_, scores, _) in agents.items()},
        refusals={name: refusals for name, (_, _, refusals) in agents.items()},
    )
    if suite.digest != said["suite_digest"] or result._digest() != said["digest"]:
        raise ValueError(f"{path} has been changed since it was written: fetch it again")
    return result


def joined(results: Iterable[SuiteResult]) -> SuiteResult:
    """Return one result of several of the same suite, whose agents have different names.

    Raises:
        ValueError: there is none; they are of different suites, or share the name of an agent.
    """
    given = list(results)
    if not given:
        raise ValueError("results is empty: give at least one")
    agents, scores, refusals = {}, {}, {}
    for each in given:
        if each.suite.digest != given[0].suite.digest:
            raise ValueError(f"results are of {given[0].suite.name} and {each.suite.name}, with other digests")
        if twice := sorted(agents.keys() & each.agents.keys()):
            raise ValueError(f"results share the agent {twice[0]!r}: give it another name in one of them")
        agents |= each.agents
        scores |= each.scores
        refusals |= each.refusals
    return SuiteResult(given[0].suite, agents, scores, refusals)


def _agent_of(name: str, said: Any, suite: Frozen, path: Path) -> tuple[str, dict[str, np.ndarray], dict[str, str]]:
    """Who an agent is, its scores and refusals, out of a file; ValueError where they are not those of the suite."""
    problem = f"{path} is no result of a suite: what it says of agent {name!r:.80}"
    kinds = {"is": str, "rows": dict, "not_applicable": dict}
    if not isinstance(said, dict) or any(not isinstance(said.get(part), kind) for part, kind in kinds.items()):
        raise ValueError(f"{problem} is {said!r:.80}")
    scores, refusals = {}, said["not_applicable"]
    if {*said["rows"], *refusals} != {row.name for row in suite.rows} or said["rows"].keys() & refusals.keys():
        raise ValueError(f"{problem} is not of all rows, once each")
    for row in suite.rows:
        if row.name in refusals:
            if not isinstance(refusals[row.name], str):
                raise ValueError(f"{problem} in row {row.name!r} is {refusals[row.name]!r:.80}")
            continue
        scores[row.name] = _table_of(said["rows"][row.name], (suite.seeds, row.tasks), f"{problem} in row {row.name!r}")
    return said["is"], scores, refusals


def _table_of(said: Any, shape: tuple[int, int], problem: str) -> np.ndarray:
    """Scores [seed, task]."""
    try:
        table = np.array(said["scores"], float)
    except (TypeError, ValueError, KeyError):
        raise ValueError(f"{problem} has no scores [seed, task]") from None
    if table.shape != shape or not np.isfinite(table).all():
        raise ValueError(f"{problem} has scores {table.shape}, and must be finite numbers {shape}")
    return table


def _ends(interval: Interval) -> list[float | None]:
    """Mean, low and high; JSON has no NaN."""
    return [None if np.isnan(value) else round(float(value), DECIMALS + 2) for value in interval]
