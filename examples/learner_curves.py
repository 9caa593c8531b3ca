"""The learning curve of every source learner on a family that it is made for: two pictures and a table.

    python examples/learner_curves.py

Everyone lives the same lifetimes on the same held-out tasks; scores are 0 for the random policy and 1 for the oracle. The
pictures and `table.md` go to `results/learner_curves/`. `docs/learners.md` shows what comes out.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import tyro
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from rich.console import Console

import metarl_envs
from metarl_envs.engine import Player
from metarl_envs.evaluation.report import draw_on
from metarl_envs.evaluation.result import Result
from metarl_envs.files import written_aside
from metarl_envs.learners import UCB1, NoiseAnnealed


@dataclass
class Args:
    """Everything that can be set."""

    tasks: int = 100
    """At most; a finite split with fewer gives all it has."""
    episodes: int = 100
    """In a lifetime, where a lifetime is not one episode."""
    seeds: int = 5
    lifetimes: int = 4
    """On each task, for each seed."""
    out: Path = Path("results/learner_curves")


class Panel(NamedTuple):
    """One family, and those whose curves are drawn there: learners by name, or by what the picture is to call them."""

    id: str
    title: str
    learners: Mapping[str, str | Player]
    params: Mapping[str, Any] = {}


def named(*names: str) -> dict[str, str | Player]:
    """Learners with default hyper-parameters."""
    return {name: name for name in names}


#: By picture, its panels.
PICTURES = {
    "bandits": (
        Panel(
            "MetaRL/BernoulliBandit-v0",
            "BernoulliBandit, 10 arms, 100 pulls",
            {
                **named("thompson", "ucb1", "epsilon_greedy", "gradient_bandit", "dpt_behaviour"),
                "ucb1, exploration 0.3": UCB1(exploration=0.3),
            },
            {"arms": 10, "horizon": 100},
        ),
        Panel(
            "MetaRL/GaussianBandit-v0",
            "GaussianBandit",
            named("gaussian_thompson", "ucb1", "epsilon_greedy", "gradient_bandit", "dpt_behaviour"),
        ),
        Panel("MetaRL/LinearBandit-v0", "LinearBandit", named("lin_ucb", "ucb1", "epsilon_greedy", "gradient_bandit")),
    ),
    "mdps": (
        Panel(
            "MetaRL/DarkRoom-v0",
            "DarkRoom: values",
            named("q_learning", "q_lambda", "double_q", "count_bonus_q", "neural_q", "sarsa"),
        ),
        Panel(
            "MetaRL/DarkRoom-v0",
            "DarkRoom: policies, noise",
            named("actor_critic", "reinforce", "noise_annealed", "dpt_behaviour"),
        ),
        Panel(
            "MetaRL/TabularMDP-v0", "TabularMDP: values", named("q_learning", "q_lambda", "double_q", "count_bonus_q", "sarsa")
        ),
        Panel(
            "MetaRL/TabularMDP-v0",
            "TabularMDP: models, policies, noise",
            {
                **named("psrl", "ucrl2", "actor_critic", "reinforce"),
                "noise_annealed": NoiseAnnealed(steps=900),  # 0.9 of 100 episodes of 10 steps
            },
        ),
    ),
}


def evaluate(args: Args, panel: Panel) -> Result:
    """All lives of one panel."""
    return metarl_envs.evaluate(
        panel.id,
        panel.learners,
        tasks=args.tasks,
        episodes=None if panel.params or "Bandit" in panel.id else args.episodes,
        seeds=args.seeds,
        lifetimes=args.lifetimes,
        **panel.params,
    )


def draw(results: list[tuple[Panel, Result]], path: Path) -> Path:
    """One picture: three panels in a row, or two rows of two."""
    height, width = (1, 3) if len(results) == 3 else (2, 2)
    figure = Figure(figsize=(4.6 * width, 4.4 * height), dpi=95, layout="constrained")
    FigureCanvasAgg(figure)
    for axes, (panel, result) in zip(figure.subplots(height, width).flat, results, strict=True):
        draw_on(axes, result)
        axes.set_title(panel.title, fontsize=10)
        axes.set_ylim(-0.1, 1.05)
        axes.legend(frameon=False, fontsize=8, ncols=3, loc="upper center", bbox_to_anchor=(0.5, -0.16))
    figure.savefig(path, format="png")
    return path


def lines(results: list[tuple[Panel, Result]]) -> Iterator[str]:
    """The rows of the table, best first in each family."""
    for panel, result in results:
        for name, s in result.summaries.items():
            half = s.aulc.high - s.aulc.mean
            family, wide = panel.title.partition(":")[0], f"{s.aulc_distribution.low:.3f} to {s.aulc_distribution.high:.3f}"
            yield f"| {family} | {name} | {s.aulc.mean:.3f} ± {half:.3f} | {wide} | {s.first:.3f} | {s.last:.3f} |"


def main(args: Args) -> None:
    """Evaluate, print and draw."""
    args.out.mkdir(parents=True, exist_ok=True)
    table = [
        "| family | learner | AULC, these tasks | AULC, all tasks | first | last |",
        "|---|---|---|---|---|---|",
    ]
    for picture, panels in PICTURES.items():
        with Console().status(f"living: {picture}"):
            results = [(panel, evaluate(args, panel)) for panel in panels]
        table += lines(results)
        print(draw(results, args.out / f"{picture}.png"))
    with written_aside(args.out / "table.md") as [aside]:
        aside.write_text("\n".join(table) + "\n")
    print("\n".join(table))


if __name__ == "__main__":
    main(tyro.cli(Args))
