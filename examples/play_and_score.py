"""Play trials yourself, and see your score beside those of learners that lived on the very same hidden tasks.

    python examples/play_and_score.py                                # opens a window; close it (Esc) to see the scores
    python examples/play_and_score.py --policy q_learning --trials 5 # a policy plays instead, without a window

Each trial that is played to its end counts, the first time. Scores are normalised on each task: 0 is what random play earns in
the mean, 1 what the oracle earns, who knows the task. The learners live on your tasks too, each many times over.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import tyro
from rich import box
from rich.console import Console
from rich.table import Table

import metarl_envs
from metarl_envs.engine import Variant
from metarl_envs.evaluation.references import scale_of
from metarl_envs.histories import lifetime_returns
from metarl_envs.learners.named import suitable_players
from metarl_envs.play import Game
from metarl_envs.play.window import play


@dataclass
class Args:
    """Everything that can be set."""

    id: str = "MetaRL/DarkRoom-v0"
    params: dict[str, int] = field(default_factory=dict)
    """Parameters of the family, as `--params size 5 horizon 20`."""
    episodes: int = 0
    """In a trial; 0: 5, or 1 where an episode is long and scored in blocks, as in bandits."""
    seed: int | None = None
    """Of the first trial; random if left out."""
    policy: str = ""
    """Who plays instead of you: a learner or a reference of the family; `metarl-envs list ID` names them."""
    trials: int = 1
    """That the policy plays."""
    lives: int = 200
    """Of each learner on each task."""
    least_spread: float = 1e-3
    """Tasks on which the oracle earns less than this above random are left out."""


class Kept(Game):
    """A game that keeps the task and the returns of the episodes of every trial that was played to its end, the first time."""

    def __init__(self, *args: Any, **arguments: Any):
        self.kept: list[tuple[np.ndarray, list[float]]] = []
        self.again = False
        super().__init__(*args, **arguments)

    def act(self, action: Any) -> None:
        """Take one step."""
        was_over = self.over
        super().act(action)
        if self.over and not was_over and not self.again:
            self.kept.append((self.env.tasks.row(self.truth["task"]), list(self.episodes)))

    def restart(self) -> None:
        """The same trial again: the player has seen the task, so it counts no more."""
        self.again = True
        super().restart()

    def next_trial(self) -> None:
        """A new hidden task."""
        self.again = False
        super().next_trial()


def a_person_plays(args: Args, episodes: int) -> tuple[np.ndarray, np.ndarray]:
    """Open the window: tasks as rows, and returns [trial, episode]."""
    game = Kept(args.id, seed=args.seed, episodes_per_trial=episodes, **args.params)
    play(game)
    if not game.kept:
        raise SystemExit("no trial was played to its end: there is nothing to score")
    tasks, returns = zip(*game.kept, strict=True)
    return np.concatenate(tasks), np.array(returns)


def a_policy_plays(args: Args, task_set: metarl_envs.TaskSet, episodes: int) -> tuple[np.ndarray, np.ndarray]:
    """The same without a window: one life of the policy on each of some tasks."""
    variant, policies = task_set.variant, suitable_players(task_set.variant)
    if args.policy not in policies:
        raise SystemExit(f"policy {args.policy!r} does not suit {variant.name}; these do: {', '.join(policies)}")
    seed = args.seed or 0
    tasks = task_set.sample(args.trials, seed=seed)
    return tasks, lifetime_returns(tasks, variant, policies[args.policy], seed + np.arange(args.trials), episodes=episodes)


def live(args: Args, variant: Variant, tasks: np.ndarray, episodes: int) -> dict[str, np.ndarray]:
    """What each learner earns on each task, in the mean over its lives: returns [task, episode]."""
    every_task, seeds = np.repeat(tasks, args.lives), np.arange(len(tasks) * args.lives)
    found = {}
    for name, policy in suitable_players(variant).items():
        if policy.runs_by_default(variant):
            returns = lifetime_returns(every_task, variant, policy, seeds, episodes=episodes)
            found[name] = returns.reshape(len(tasks), args.lives, episodes).mean(axis=1)
    return found


def show(title: str, returns: dict[str, np.ndarray], random: np.ndarray, oracle: np.ndarray) -> Table:
    """Normalised scores, best first: of the trial, and of its first and last episode."""
    table = Table(title=title, caption="0 is random play, 1 the oracle", box=box.SIMPLE_HEAD)
    for column in ("", "score", "first episode", "last episode"):
        table.add_column(column, justify="left" if not column else "right")
    normalised = {name: ((earned.T - random) / (oracle - random)).T for name, earned in returns.items()}
    for name, score in sorted(normalised.items(), key=lambda item: -item[1].mean()):
        numbers = (f"{value:.3f}" for value in (score.mean(), score[:, 0].mean(), score[:, -1].mean()))
        table.add_row(name, *numbers, style="bold" if name == next(iter(returns)) else "")
    return table


def main(args: Args) -> None:
    """Play, let the learners live on the same tasks, and compare."""
    params: dict[str, Any] = dict(args.params)
    task_set = metarl_envs.tasks(args.id, **params)
    variant = task_set.variant
    episodes = args.episodes or (5 if variant.family.curve_unit == "episode" else 1)
    if args.policy:
        tasks, earned = a_policy_plays(args, task_set, episodes)
    else:
        tasks, earned = a_person_plays(args, episodes)
    scale = scale_of(variant, tasks)
    wide = scale.oracle - scale.random >= args.least_spread
    if not wide.any():
        raise SystemExit("the oracle earns no more than random play on these tasks: there is nothing to compare")
    who = f"{args.policy} (1 life)" if args.policy else "you"
    returns = {who: earned, **live(args, variant, tasks, episodes)}
    kept = {name: values[wide] for name, values in returns.items()}
    count = f"{wide.sum()} trial{'s' if wide.sum() > 1 else ''} of {episodes} episode{'s' if episodes > 1 else ''}"
    Console().print(show(f"{args.id}: {count}", kept, scale.random[wide], scale.oracle[wide]))


if __name__ == "__main__":
    main(tyro.cli(Args))
