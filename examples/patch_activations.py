"""Where does a distilled transformer read which goal is its own? Activation patching: its stream is swapped between two lives.

The network that comes with the package (`ad-darkroom`) lives on pairs of held-out goals until it knows them. Then, in one more
episode in which nothing is paid, each life goes on with the stream of the other behind one layer: at every step the network is
also shown where this life stands in the other's context, and what it holds there behind the layer is put in the place of what
this one holds. (In the first step all stay where they are, so that the step before is the same in all lives.)

Where the swap makes a life walk to the other's goal, what the network knows of its goal is in the stream by then. Behind the
last layer that is so whatever the network does, and behind layer 0 (what is fed in) it cannot be: the question is when.

    python examples/patch_activations.py   # about a minute on one core, without PyTorch

Each life is paired with one on another goal and the same luck; those are counted in which both have been paid before. Intervals
are over pairs of goals (t, 95 %), for this one network.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Any

import numpy as np
import tyro
from rich.console import Console
from rich.table import Table

import metarl_envs
from metarl_envs.evaluation.statistics import Interval, over_seeds
from metarl_envs.players import Run, Step, pretrained
from metarl_envs.players.networks.layers import softmax
from metarl_envs.players.networks.looking_on import steps_of

MOVES = np.array([[0, 0], [0, -1], [1, 0], [0, 1], [-1, 0]])  # stay, up, right, down, left


@dataclass
class Args:
    """Everything that can be set."""

    name: str = "ad-darkroom"
    episodes: int = 40
    """That are lived before the swap."""
    luck: int = 8
    """Lives on each goal."""


class Swap:
    """Interventions behind every layer, each in the rows of its own block; off until there is something to put there.

    Attributes:
        there: the stream to be put behind each layer, [layer, row, number]; None: all stays as it is.
    """

    def __init__(self, layers: int, rows: int):
        self.there: np.ndarray | None = None
        self._layer = np.arange(layers * rows) // rows  # of the block that each row is in
        self.by_layer = {layer: self._behind(layer) for layer in range(layers)}

    def _behind(self, layer: int) -> Any:
        def change(stream: np.ndarray, step: Step) -> np.ndarray:
            return stream if self.there is None else np.where((self._layer == layer)[:, None], self.there[layer], stream)

        return change


def lives(args: Args) -> tuple[Run, np.ndarray]:
    """Lives on test goals, paired: rows 2i and 2i + 1 have the same luck, and goals that they share with no other pair."""
    tasks = metarl_envs.tasks("DarkRoom", split="test")
    tasks = tasks[: len(tasks) // 2 * 2]
    result = metarl_envs.evaluate("DarkRoom", args.name, tasks=tasks, episodes=args.episodes + 1, seeds=args.luck)
    run = result.run(args.name)
    paid = result.raw[args.name][:, :, 0, : args.episodes].sum(axis=-1).reshape(-1) > 0
    return run, paid & paid[np.arange(len(run)) ^ 1]


def patched(args: Args, run: Run) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Live one more episode, without reward, with the other's stream behind each layer in turn, and with its own.

    Returns:
        Chances of the first action, [block, row, action], where block i has the stream behind layer i swapped; those of the
        other's, [row, action]; and the cells stepped on, [block, row, step, 2].
    """
    rows, layers = len(run), 1 + metarl_envs.players.card(args.name).network["layers"]
    swap = Swap(layers, rows)
    watching, other = pretrained(args.name, interventions=swap.by_layer), pretrained(args.name, activations=True)
    observed, actions = metarl_envs.players.card(args.name).spaces
    told = {"num_envs": layers * rows, "observation_space": observed, "action_space": actions, "seed": 0}
    mine, others = watching(**told), other(**told)
    own = np.tile(np.arange(rows), layers)
    until = args.episodes * run.variant.horizon + 1  # the first step of one more episode
    for step, step_of_other in itertools.islice(zip(steps_of(run[own]), steps_of(run[own ^ 1]), strict=True), until):
        mine.read(step)
        others.read(step_of_other)
    size, rng, no = run.variant.p.size, np.random.default_rng(0), np.zeros(len(own), np.bool_)
    cell, done = np.full((len(own), 2), size // 2), np.zeros(len(own), np.int64)  # all stay in the middle
    first, theirs, cells = np.empty(0), np.empty(0), []
    for _ in range(run.variant.horizon - 1):
        now = Step(cell, done, np.zeros(len(own)), no, no, no, no, no)
        there = softmax(others.read(now))
        swap.there = others.activations["stream"]
        chances = softmax(mine.read(now)).astype(np.float64)
        if not cells:
            first, theirs = chances, there
        luck = np.tile(rng.random(rows), layers)[:, None]  # the same in all blocks
        done = (chances.cumsum(axis=1) < luck * chances.sum(axis=1, keepdims=True)).sum(axis=1)
        cell = np.clip(cell + MOVES[done], 0, size - 1)
        cells.append(cell)
    return (
        first.reshape(layers, rows, -1),
        theirs.reshape(layers, rows, -1)[0],
        np.stack(cells, axis=1).reshape(layers, rows, -1, 2),
    )


def over_pairs(values: np.ndarray, counts: np.ndarray, luck: int) -> Interval:
    """The mean over pairs of goals, and its t-interval; of each pair, the mean of the lives that count."""
    shaped, kept = (array.reshape(luck, -1, 2).swapaxes(0, 1) for array in (values, counts))
    means = [float(one[of].mean()) for one, of in zip(shaped, kept, strict=True) if of.any()]
    return over_seeds(np.array(means)[:, None])


def main(args: Args) -> None:
    """Live, swap, and print."""
    run, counts = lives(args)
    chances, theirs, cells = patched(args, run)
    goals = run.tasks["goal"]
    own = chances[0]  # a swap of what is fed in changes nothing, since both are fed the same
    shown = Table(title=f"{args.name}: one episode without reward, with the stream of a life on another goal")
    for column in ("swapped behind layer", "moves the first decision", "walks to its own goal", "to the other's"):
        shown.add_column(column, justify="left" if column == "swapped behind layer" else "right")
    for layer in range(len(chances)):
        towards = theirs - own
        moved = ((chances[layer] - own) * towards).sum(axis=1) / np.maximum(np.square(towards).sum(axis=1), 1e-9)
        at = [(cells[layer] == goal[:, None]).all(axis=2).any(axis=1) for goal in (goals, goals[np.arange(len(run)) ^ 1])]
        differ = counts & (np.abs(towards).sum(axis=1) / 2 > 0.1)
        found = over_pairs(moved, differ, args.luck), *(over_pairs(one.astype(float), counts, args.luck) for one in at)
        shown.add_row(str(layer), *(f"{one.mean:.2f} [{one.low:.2f}, {one.high:.2f}]" for one in found))
    Console().print(shown)
    print(f"{counts.sum()} of {len(run)} lives count, in {len(run) // args.luck // 2} pairs of goals")


if __name__ == "__main__":
    main(tyro.cli(Args))
