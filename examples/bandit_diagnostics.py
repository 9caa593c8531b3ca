"""How known players explore bandits with one good arm: who stops too early, who never stops, who keeps to a habit.

    python examples/bandit_diagnostics.py

Everyone lives on the same tasks with the same noise. It prints the tables that `docs/diagnostics.md` shows.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import tyro

from metarl_envs.engine import Player
from metarl_envs.evaluation import diagnostics
from metarl_envs.learners import UCB1, EpsilonGreedy, Thompson


@dataclass
class Args:
    """Everything that can be set."""

    lives: int = 4000
    """Of each player."""
    seed: int = 0


class Setting(NamedTuple):
    """A bandit with one good arm, and its players."""

    arms: int
    gap: float
    pulls: int
    players: Mapping[str, str | Player]


GREEDY, IDEAL = EpsilonGreedy(epsilon=0.0), "ideal_observer"  # the latter is a reference of the family
#: As in Krishnamurthy et al. 2024, where UCB has a constant bonus.
SHORT = {
    "Thompson": Thompson(),
    "UCB, constant bonus": UCB1(bonus="constant"),
    "greedy": GREEDY,
    "UCB1": UCB1(),
    "ideal observer": IDEAL,
}
#: As in BanditBench, whose bonus is sqrt(ln t / (2 n)).
LONG = {"UCB1, exploration 0.5": UCB1(exploration=0.5), "Thompson": Thompson(), "greedy": GREEDY, "ideal observer": IDEAL}
SETTINGS = (
    Setting(5, 0.2, 100, SHORT),
    Setting(4, 0.5, 100, SHORT),
    *(Setting(arms, gap, 1000, LONG) for gap in (0.2, 0.5) for arms in (5, 20)),
)


def main(args: Args) -> None:
    """Print a table for each setting."""
    for arms, gap, pulls, players in SETTINGS:
        found = diagnostics.compare(players, "GapBandit", lives=args.lives, seed=args.seed, arms=arms, gap=gap, horizon=pulls)
        print(f"### {arms} arms, gap {gap}, {pulls:,} pulls\n\n{diagnostics.table(found)}\n", flush=True)


if __name__ == "__main__":
    main(tyro.cli(Args))
