"""What a distilled transformer holds in its activations: linear probes of its residual stream, layer by layer.

The model of `algorithm_distillation.py` reads learning histories of its source learner. At each step, and after each layer, a
linear map is fitted from its residual stream to what was recorded or follows there:

* the learner's own Q values in the state it stands in, which the model never sees;
* the cells that have been visited;
* the exact posterior over goals: its mean (x, y) and its entropy.

Probes are fitted on train goals and read on held-out goals. Beside them: the same probes on the same network with random
weights, and on labels exchanged between histories, which shows what time alone tells. Then counterfactual pairs: two lives with
the same luck and another goal are one life until reward differs; how far do streams and decisions come apart, and when?

    python examples/probe_q_values.py   # takes the models of algorithm_distillation.py, or trains them first

It prints both tables, and writes `probes.json` and `probes.png` to `results/distillation/probes/`.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import tyro
from algorithm_distillation import TRANSITION, Transformer, distilled, source, untrained
from algorithm_distillation import Args as Distillation
from rich.console import Console
from rich.table import Table

import metarl_envs
from metarl_envs import histories
from metarl_envs.files import written_aside

MOVES = np.array([[0, 0], [0, -1], [1, 0], [0, 1], [-1, 0]])  # stay, up, right, down, left
TARGETS = ("Q values", "visited cells", "posterior over goals")


@dataclass
class Args(Distillation):
    """Everything that can be set; the model's and training's are those of `algorithm_distillation.py`."""

    lives: int = 300
    """Histories to fit probes on, and as many to read them on."""
    pairs: int = 300
    ridge: float = 1.0
    """Penalty on the weights of a probe, beside rows that are standardised."""


# ------------------------------------------------------------------------------------------------ what there is to find
def facts(lives: histories.Histories, size: int) -> dict[str, np.ndarray]:
    """The targets at each step, before its action: [history, step, number]."""
    seen, paid = lives.stack("observation"), lives.stack("reward")
    cells = np.clip(seen + MOVES[lives.stack("action")], 0, size - 1)  # where each action led, also at the end of an episode
    cell = cells[..., 0] * size + cells[..., 1]
    at = np.eye(size**2, dtype=bool)[cell]
    visited = earlier(np.maximum.accumulate(at, axis=1))
    found = earlier(np.maximum.accumulate(at & (paid > 0)[..., None], axis=1))
    left = np.where(found.any(axis=-1, keepdims=True), found, ~visited)
    posterior = left / left.sum(axis=-1, keepdims=True)
    place = np.indices((size, size)).reshape(2, -1).T
    mean, entropy = posterior @ place, np.log(left.sum(axis=-1, keepdims=True))
    return dict(zip(TARGETS, (lives.stack("q"), visited, np.concatenate([mean, entropy], axis=-1)), strict=True))


def earlier(values: np.ndarray) -> np.ndarray:
    """What was so before each step: [history, step, ...] shifted by one step."""
    return np.concatenate([np.zeros_like(values[:, :1]), values[:, :-1]], axis=1)


@torch.no_grad()
def streams(model: Transformer, lives: histories.Histories) -> tuple[list[np.ndarray], np.ndarray]:
    """The residual stream at each layer [history, step, width], and log chances of actions [history, step, action]."""
    tokens = model.tokens.of_histories({name: lives.stack(name) for name in TRANSITION})
    parts = [model.residuals(part) for part in tokens.split(50)]
    layers = [torch.cat(layer) for layer in zip(*parts, strict=True)]
    return [layer.numpy() for layer in layers], model.decide(layers[-1]).log_softmax(dim=-1).numpy()


# ------------------------------------------------------------------------------------------------ probes
def explained(fit: tuple[np.ndarray, np.ndarray], read: tuple[np.ndarray, np.ndarray], ridge: float) -> float:
    """R² of ridge regression: fitted on (stream, target), read on another (stream, target), over all numbers of the target.

    1 is all of the variance, 0 is what the mean of the target explains; below 0 is worse than that.
    """
    (x, y), (x_new, y_new) = ((a.reshape(-1, a.shape[-1]).astype(np.float64) for a in pair) for pair in (fit, read))
    middle, spread, mean = x.mean(axis=0), x.std(axis=0) + 1e-9, y.mean(axis=0)
    x, x_new = (x - middle) / spread, (x_new - middle) / spread
    weights = np.linalg.solve(x.T @ x + ridge * np.eye(x.shape[1]), x.T @ (y - mean))
    # Each number is weighed by how much it varies, so that no number that hardly does counts.
    return 1 - float(np.square(y_new - mean - x_new @ weights).sum() / np.square(y_new - y_new.mean(axis=0)).sum())


def probed(args: Args, seed: int) -> dict[str, dict[str, list[float]]]:
    """R² by target, then by whose stream, at each layer."""
    model = distilled(args, seed)
    size = metarl_envs.tasks(args.id).variant.p.size
    lives = [recorded(args, model.window, args.lives, split=split, seed=seed) for split in ("train", "test")]
    known = [facts(part, size) for part in lives]
    others = np.random.default_rng(seed).permutation(args.lives)
    found: dict[str, dict[str, list[float]]] = {target: {} for target in TARGETS}
    for name, network in (("trained", model), ("random network", untrained(args, seed + 1000))):
        fit, read = (streams(network, part)[0] for part in lives)
        for target in TARGETS:
            y, y_new = known[0][target], known[1][target]
            pairs = list(zip(fit, read, strict=True))
            found[target][name] = [explained((x, y), (x_new, y_new), args.ridge) for x, x_new in pairs]
            if name == "trained":
                exchanged = [explained((x, y[others]), (x_new, y_new), args.ridge) for x, x_new in pairs]
                found[target]["labels of other histories"] = exchanged
    return found


def recorded(args: Args, steps: int, lives: int, **settings: Any) -> histories.Histories:
    """Histories of the source learner with its Q values, as long as the model looks back."""
    return histories.collect(args.id, source(), histories=lives, steps=steps, internals=["q"], **settings)


# ------------------------------------------------------------------------------------------------ counterfactual pairs
def apart(args: Args, seed: int) -> dict[str, list[float]]:
    """Two lives with the same luck on different goals: how far apart, by steps since their first difference (at index 0).

    Distances of streams are relative to their length; those of decisions are total variation, 0 to 1. Each list has a value
    for 20 steps before the first difference and 100 from it on.
    """
    model, tasks = distilled(args, seed), metarl_envs.tasks(args.id)
    half = len(tasks) // 2
    both = [recorded(args, model.window, args.pairs, tasks=part, seed=seed) for part in (tasks[:half], tasks[half : 2 * half])]
    tokens = [model.tokens.of_histories({name: part.stack(name) for name in TRANSITION}) for part in both]
    differ = (tokens[0] != tokens[1]).any(dim=-1).numpy()
    first = np.where(differ.any(axis=1), differ.argmax(axis=1), -1)
    (a, chances_a), (b, chances_b) = (streams(model, part) for part in both)
    named = {
        f"stream after {'layer ' + str(i) if i else 'embedding'}": relative(x, y)
        for i, (x, y) in enumerate(zip(a, b, strict=True))
    }
    named["decisions"] = np.abs(np.exp(chances_a) - np.exp(chances_b)).sum(axis=-1) / 2
    since = np.arange(-BEFORE, AFTER)
    places = first[:, None] + since
    there = (first[:, None] >= 0) & (places >= 0) & (places < model.window)
    rows = np.arange(args.pairs)[:, None]
    return {
        name: np.ma.array(values[rows, places.clip(0, model.window - 1)], mask=~there).mean(axis=0).filled(np.nan).tolist()
        for name, values in named.items()
    }


BEFORE, AFTER = 20, 100


def relative(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """The distance of two streams by their mean length, [history, step]."""
    lengths = (np.linalg.norm(a, axis=-1) + np.linalg.norm(b, axis=-1)) / 2
    return np.linalg.norm(a - b, axis=-1) / lengths


# ------------------------------------------------------------------------------------------------ what is shown
def draw(results: dict[str, Any], path: Any) -> None:
    """Probes layer by layer, and pairs by time."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 3.4), dpi=110, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(1, 4)
    for panel, target in zip(axes, TARGETS, strict=False):
        for name, style in (("trained", "o-"), ("random network", "s--"), ("labels of other histories", "^:")):
            values = np.array([by_seed[target][name] for by_seed in results["probes"]])
            panel.plot(range(values.shape[1]), values.mean(axis=0), style, label=name)
            panel.fill_between(range(values.shape[1]), values.min(axis=0), values.max(axis=0), alpha=0.15)
        panel.set(title=target, xlabel="layer (0: embedding)", ylim=(-0.1, 1), xticks=range(values.shape[1]))
        panel.grid(alpha=0.25)
    axes[0].set_ylabel("R² on held-out goals")
    axes[0].legend(fontsize=7, loc="upper left")
    for name in results["pairs"][0]:
        values = np.array([by_seed[name] for by_seed in results["pairs"]]).mean(axis=0)
        axes[3].plot(np.arange(-BEFORE, AFTER), values, label=name, color="black" if name == "decisions" else None)
    axes[3].set(
        title="same luck, another goal", xlabel="steps since the first difference", ylabel="distance", ylim=(-0.05, 1.7)
    )
    axes[3].legend(fontsize=7, loc="upper left")
    axes[3].grid(alpha=0.25)
    figure.savefig(path)


def main(args: Args) -> None:
    """Probe every seed's model, print, save and draw."""
    torch.set_num_threads(args.threads)
    results = {"probes": [probed(args, seed) for seed in args.seeds], "pairs": [apart(args, seed) for seed in args.seeds]}
    shown = Table(title="R² on held-out goals, mean over seeds (lowest to highest)")
    for column in ("target", "stream of", "embedding", *(f"layer {i + 1}" for i in range(args.layers))):
        shown.add_column(column)
    for target in TARGETS:
        for name in results["probes"][0][target]:
            values = np.array([by_seed[target][name] for by_seed in results["probes"]]).T
            shown.add_row(target, name, *(f"{v.mean():.3f} ({v.min():.3f} to {v.max():.3f})" for v in values))
    together = Table(title="two lives with the same luck and another goal: distance, by steps since they first differ")
    for column in ("what", "before", "at once", "after 20 steps", "after 80"):
        together.add_column(column)
    for name in results["pairs"][0]:
        mean = np.ma.masked_invalid([by_seed[name] for by_seed in results["pairs"]]).mean(axis=0).filled(np.nan)
        picked = np.fmax.reduce(mean[:BEFORE]), mean[BEFORE], mean[BEFORE + 20], mean[BEFORE + 80]
        together.add_row(name, *(f"{value:.3f}" for value in picked))
    Console().print(shown, together)
    folder = args.out / "probes"
    folder.mkdir(parents=True, exist_ok=True)
    with written_aside(folder / "probes.json") as [aside]:
        aside.write_text(json.dumps(results, indent=1) + "\n")
    draw(results, folder / "probes.png")
    print(folder / "probes.json", folder / "probes.png", sep="\n")


if __name__ == "__main__":
    main(tyro.cli(Args))
