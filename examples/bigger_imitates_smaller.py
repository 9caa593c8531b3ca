"""A bigger network imitates a smaller one that learns: does it go on getting better where the lessons end?

The source is a learner that is itself a network: `NeuralQ`, Q-learning with one hidden layer, which starts each life with new
weights and learns by gradient descent. Transformers (AD) imitate some of its first episodes, in rooms of 5x5 cells in disguise:
where the goal is, what each action does and how places are shown is new in each life. Then their weights are frozen, and they
live twice as long as anything they were shown. Sources and students come in several sizes.

A student *keeps improving* if its score in the last quarter of that life is above that at the end of what it was shown, by the
whole interval over seeds. What it can gain at all shows the source, which lives on beside it.

    python examples/bigger_imitates_smaller.py           # sixty networks; it can be killed
    python examples/bigger_imitates_smaller.py --quick   # a short look, too short to show much

Table, scores and curves go to `results/bigger_imitates_smaller/`, with the networks, which are not trained again.
"""

from __future__ import annotations

import functools
import json
import math
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import algorithm_distillation as distillation
import numpy as np
import torch
import tyro

import metarl_envs
from metarl_envs.evaluation import joined
from metarl_envs.evaluation.report import new_figure, save_figure
from metarl_envs.evaluation.statistics import Interval, curve_over_seeds_and_tasks, over_seeds
from metarl_envs.files import written_aside
from metarl_envs.learners import NeuralQ
from metarl_envs.players import Wrapped
from metarl_wrappers import VectorContextStream

ID = "MetaRL/Mixture-v0"


@dataclass
class Args:
    """Everything that can be set."""

    seeds: tuple[int, ...] = (0, 1, 2, 3, 4)
    sources: tuple[int, ...] = (4, 16, 64)
    """Hidden units of the learners that are imitated."""
    students: tuple[int, ...] = (8, 16, 32, 64)
    """Widths of the transformers, which have two layers of two heads."""
    size: int = 5
    """Of rooms, in cells."""
    horizon: int = 10
    """Steps an episode."""
    shown: int = 10
    """Episodes that a student is shown of a life."""
    every: int = 2
    """Of the source's episodes every so-manyth is one of these."""
    context: int = 10
    """Episodes that a student looks back on."""
    histories: int = 8000
    """Lives that a student learns from."""
    updates: int = 1000
    batch: int = 16
    learning_rate: float = 3e-3
    tasks: int = 100
    """Rooms that nobody was trained on."""
    out: Path = Path("results/bigger_imitates_smaller")
    threads: int = 1
    quick: bool = False
    """Little of everything."""


def world(args: Args) -> dict[str, Any]:
    """The parameters of the mixture, which has one part."""
    return {"parts": f"DarkRoom(size={args.size})", "disguise": "both", "horizon": args.horizon}


def settings_of(args: Args, source: int, width: int) -> distillation.Args:
    """How a student is trained."""
    return distillation.Args(
        id=ID,
        params=world(args),
        histories=args.histories,
        lived=args.every * args.shown,
        every=args.every,
        context=args.context,
        width=width,
        updates=args.updates,
        batch=args.batch,
        learning_rate=args.learning_rate,
        out=args.out / f"source_{source}_student_{width}",
    )


def student(args: Args, source: int, width: int, seed: int) -> distillation.Transformer:
    """A transformer that imitates a learner with so many hidden units."""
    print(f"a student of width {width} imitates a source with {source} hidden units, seed {seed}", flush=True)
    return distillation.imitator_of(settings_of(args, source, width), seed, NeuralQ(hidden=source))


def weights(args: Args, source: int) -> dict[str, int]:
    """How many weights a source has, and each of its students."""
    variant = metarl_envs.tasks(ID, **world(args)).variant
    memory = NeuralQ(hidden=source).initial_memory(variant)
    found = {"source": sum(memory[name].size for name in ("into", "offset", "out", "base"))}
    for width in args.students:
        model = distillation.untrained(settings_of(args, source, width), 0)
        found[f"student, width {width}"] = sum(parameter.numel() for parameter in model.parameters())
    return found


def lived(args: Args, source: int) -> dict[str, np.ndarray]:
    """Scores of the source (in every so-manyth of its episodes) and its students, [seed, task, lifetime, episode], by name.

    Their lives are twice as long as what was shown.
    """
    how: Any = {"split": "test", "tasks": args.tasks, **world(args)}
    by_seed = []
    for seed in args.seeds:
        policies = {
            f"student, width {width}": Wrapped(
                functools.partial(distillation.Distilled, student(args, source, width, seed)), VectorContextStream
            )
            for width in args.students
        }
        by_seed.append(metarl_envs.evaluate(ID, policies, episodes=2 * args.shown, seeds=[seed], **how))
    longer = 2 * args.shown * args.every
    own = metarl_envs.evaluate(ID, {"source": NeuralQ(hidden=source)}, episodes=longer, seeds=list(args.seeds), **how)
    students = joined(by_seed)
    return {
        "source": own.normalised("source")[..., :: args.every],
        **{name: students.normalised(name) for name in students.raw},
    }


# ------------------------------------------------------------------------------------------------ what comes of it
def told_of(args: Args, scores: np.ndarray) -> dict[str, Interval]:
    """What is told of scores [seed, task, lifetime, episode]: at the end of what was shown, at the end, and the difference."""
    fifth, quarter = max(1, args.shown // 5), max(1, args.shown // 2)
    before = scores[..., args.shown - fifth : args.shown].mean(axis=(1, 2, 3))
    after = scores[..., -quarter:].mean(axis=(1, 2, 3))
    return {"shown": over_seeds(before), "beyond": over_seeds(after), "gain": over_seeds(after - before)}


def verdict_on(gain: Interval) -> str:
    """Whether a student keeps improving."""
    if math.isnan(gain.low):
        return "undefined"
    return "keeps improving" if gain.low > 0 else "falls" if gain.high < 0 else "no change for sure"


def show(args: Args, source: int, scores: dict[str, np.ndarray], sizes: dict[str, int]) -> dict[str, Any]:
    """Print a source and its students; the same as JSON types."""
    print(f"\na source with {source} hidden units, and students that were shown {args.shown} episodes, as many lived beyond")
    print(f"{'':<20}{'weights':>9}{'end of shown':>22}{'end of life':>22}{'gain beyond':>24}")
    rows = {}
    for name, values in scores.items():
        told = told_of(args, values)
        said = verdict_on(told["gain"])
        cells = f"{told['shown'].with_ends(''):>22}{told['beyond'].with_ends(''):>22}{told['gain'].with_ends():>24}"
        print(f"{name:<20}{sizes[name]:>9,}{cells}  {said}", flush=True)
        rows[name] = {"weights": sizes[name], "verdict": said, **{what: interval.as_json() for what, interval in told.items()}}
    return rows


def draw(args: Args, found: dict[int, dict[str, np.ndarray]], path: Path) -> None:
    """Learning curves, a panel a source; what is right of the line nobody was shown."""
    figure = new_figure(4.2 * len(found), 3.8)
    for axes, (source, scores) in zip(
        figure.subplots(1, len(found), squeeze=False, sharey=True)[0], found.items(), strict=True
    ):
        for n, (name, values) in enumerate(scores.items()):
            mean, low, high = curve_over_seeds_and_tasks(values)
            episodes = np.arange(1, len(mean) + 1)
            axes.plot(episodes, mean, color="black" if name == "source" else f"C{n - 1}", label=name, linewidth=1.4)
            if not np.isnan(low).any():
                axes.fill_between(
                    episodes, low, high, color="black" if name == "source" else f"C{n - 1}", alpha=0.12, linewidth=0
                )
        axes.axvline(args.shown + 0.5, color="#999999", linestyle="--", linewidth=0.9)
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.set(xlabel="episode", title=f"source: {source} hidden units")
        axes.spines[["top", "right"]].set_visible(False)
    axes.legend(fontsize=7, frameon=False)
    figure.axes[0].set_ylabel("score (0 random, 1 oracle)")
    save_figure(figure, path)


def main(args: Args) -> None:
    """All students of one source after the other; what is known is written after each source."""
    torch.set_num_threads(args.threads)
    if args.quick:
        little = {"size": 3, "horizon": 5, "histories": 20, "updates": 2, "batch": 2, "tasks": 3, "shown": 3, "context": 2}
        args = replace(args, sources=(2,), students=(8,), seeds=args.seeds[:2], out=args.out / "quick", **little)
    args.out.mkdir(parents=True, exist_ok=True)
    found, rows = {}, {}
    for source in args.sources:
        found[source] = lived(args, source)
        rows[source] = show(args, source, found[source], weights(args, source))
        arrays = {f"{n}/{name}": values for n, by in found.items() for name, values in by.items()}
        with written_aside(args.out / "result.json", args.out / "scores.npz") as [result, scores]:
            told = {"settings": {**asdict(args), "out": str(args.out)}, "sources": rows}
            result.write_text(json.dumps(told, indent=1, allow_nan=False) + "\n")
            np.savez_compressed(scores, **arrays)  # type: ignore[arg-type]
        draw(args, found, args.out / "curves.png")
    for file in ("result.json", "scores.npz", "curves.png"):
        print(args.out / file)


if __name__ == "__main__":
    main(tyro.cli(Args))
