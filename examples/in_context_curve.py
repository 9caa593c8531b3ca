"""In-context learning curves: how reference learners, and an agent of one's own, get better from episode to episode.

    python examples/in_context_curve.py
    python examples/in_context_curve.py --id MetaRL/DarkKeyToDoor-v0 --learners random q_learning oracle

Everyone lives the same lifetimes on the same held-out tasks, beginning with an empty memory. One sees a table of scores, 0 for
the random policy and 1 for the oracle, and finds the picture of the curves in `results/in_context_curve/`. "mine" is the agent
that is written here, `RepeatTheBest`: it looks at no observation and learns all the same, but slowly.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import tyro
from rich.console import Console

import metarl_envs
from metarl_envs.evaluation.report import draw_curves, table
from metarl_envs.players import Step


@dataclass
class Args:
    """Everything that can be set."""

    id: str = "MetaRL/DarkRoom-v0"
    params: dict[str, int] = field(default_factory=dict)
    """Parameters of the family, as `--params size 5 horizon 20`."""
    learners: tuple[str, ...] = ("oracle", "sweep", "q_learning", "random")
    """Learners and references of the family; `metarl-envs list ID` names them."""
    split: str = "test"
    tasks: int = 100
    """At most; a finite split with fewer gives all it has."""
    episodes: int = 100
    """In a lifetime."""
    seeds: int = 5
    out: Path = Path("results/in_context_curve")


class RepeatTheBest:
    """Acts again as in its best episode so far, with a few actions changed at random. It needs Discrete actions."""

    CHANGE = 0.1  # the chance of each action to be changed
    LONGEST = 1000  # steps of an episode that it plans for

    def __init__(self, *, num_envs: int, observation_space: gym.Space, action_space: gym.spaces.Discrete, seed: int):
        self.generator, self.actions = np.random.default_rng(seed), int(action_space.n)
        self.plan = self.any_actions(num_envs)  # one row of actions for each environment
        self.best, self.most = self.plan.copy(), np.full(num_envs, -np.inf)
        self.earned, self.time = np.zeros(num_envs), np.zeros(num_envs, np.int64)

    def any_actions(self, rows: int) -> np.ndarray:
        """Plans drawn at random."""
        return self.generator.integers(self.actions, size=(rows, self.LONGEST))

    def act(self, step: Step) -> Any:
        """Follow the plan; where an episode is over, see whether it was the best, and plan anew."""
        self.earned += step.previous_reward
        again = step.episode_start & ~step.trial_start
        better = again & (self.earned >= self.most)
        self.best[better], self.most[better] = self.plan[better], self.earned[better]
        changed = self.generator.random((again.sum(), self.LONGEST)) < self.CHANGE
        self.plan[again] = np.where(changed, self.any_actions(again.sum()), self.best[again])
        self.earned[again], self.time[again] = 0, 0
        actions = self.plan[np.arange(len(self.plan)), self.time % self.LONGEST]
        self.time += 1
        return actions


def main(args: Args) -> None:
    """Evaluate, print and draw."""
    console = Console()
    params: dict[str, Any] = dict(args.params)
    policies = {"mine": RepeatTheBest, **{name: name for name in args.learners}}
    with console.status("living"):
        result = metarl_envs.evaluate(
            args.id, policies, split=args.split, tasks=args.tasks, episodes=args.episodes, seeds=args.seeds, **params
        )
    console.print(table(result))
    for path in [*result.save(args.out), draw_curves(result, args.out / "curves.png")]:
        print(path)


if __name__ == "__main__":
    main(tyro.cli(Args))
