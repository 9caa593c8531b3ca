"""Does diversity make learners? A transformer (AD) and a GRU (RL²), trained on few tasks or on many, and the verdict on each.

`MetaRL/Mixture-v0` in small: bandits of four arms, rooms of 5x5 cells, MDPs of five states, in one space and disguised: which
action does what, and which number says what, belongs to the task. The same networks with the same budget are trained on a pool
of N tasks, N = 4, 16, ... 4096, and judged on tasks that they never met, on disguises that are held out, and on parts that are
held out (other bandits, other rooms). GPICL (Kirsch et al. 2022) found that networks memorise few tasks, recognise more, and
learn from many.

Stated beforehand: A on unseen disguises rises with N, and the verdict goes from task inference to reward learning at some N. Or
they do not, within the compute here; either is the result.

First comes the gate: with unlimited tasks and no disguise the same budget must bring A above .3, or else what follows says
nothing, and the script says so.

    python examples/diversity_makes_learners.py                                        # five seeds; it can be killed
    python examples/diversity_makes_learners.py --only ad --pools 4 64 1024 --seeds 0  # a part of it
    python examples/diversity_makes_learners.py --quick                                # a short look, too short to show much

After each N, all that is known is written to `results/diversity/`: A, what controls leave of it, classes, and the picture.
Networks that are there already are not trained again.
"""

from __future__ import annotations

import functools
import json
import math
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import algorithm_distillation as distillation
import numpy as np
import recurrent_ppo_rl2 as rl2
import torch
import tyro

from metarl_envs import evaluate
from metarl_envs.evaluation import controls, verdict
from metarl_envs.evaluation.report import new_figure, save_figure
from metarl_envs.evaluation.statistics import Interval, over_seeds
from metarl_envs.evaluation.verdicts import STRUCTURAL, Verdict
from metarl_envs.files import written_aside
from metarl_envs.learners import QLambda
from metarl_envs.players import Wrapped
from metarl_wrappers import VectorContextStream

ID = "MetaRL/Mixture-v0"
KINDS = {"ad": "AD transformer", "rl2": "RL² GRU"}
#: A that the gate asks for.
GATE = 0.3
#: What is drawn, by the name of its row in a verdict.
SHOWN = {"intact": "unseen tasks", "unseen_disguise": "unseen disguises", "unseen_parts": "unseen parts"}
CONTROLS = (controls.SWAPPED, controls.FORGETS, controls.HIDDEN, controls.PERMUTED)


@dataclass
class Args:
    """Everything that can be set."""

    seeds: tuple[int, ...] = (0, 1, 2, 3, 4)
    only: tuple[str, ...] = tuple(KINDS)
    pools: tuple[int, ...] = (4, 16, 64, 256, 1024, 4096)
    """How many tasks there are to train on."""
    parts: str = (
        "BernoulliBandit(arms=4), DarkRoom(size=5), TabularMDP(states=5, actions=4, reward_mean=0.0, noise=0.5), "
        "GaussianBandit(arms=7), GridNavi(size=4)"
    )
    held_out: str = "GaussianBandit, GridNavi"
    """Parts that nothing is trained on."""
    horizon: int = 10
    """Steps an episode."""
    disguise: str = "both"
    episodes: int = 20
    """In a life, of a model that is trained or judged."""
    histories: int = 8000
    """Lives of the source learner that the transformer is trained on."""
    every: int = 2
    """Of whose episodes every so-manyth is shown, until there are as many as are lived."""
    context: int = 10
    """Episodes that the transformer looks back on, and PPO's gradients flow back through."""
    layers: int = 2
    heads: int = 2
    width: int = 64
    updates: int = 1000
    """Of the transformer."""
    batch: int = 16
    learning_rate: float = 3e-3
    """At its highest, of either network."""
    steps: int = 4_000_000
    """Of PPO."""
    gamma: float = 0.9
    """The discount of PPO. With .98, and a learning rate of .001, the gate is not passed in so many steps."""
    rows: int = 256
    hidden: int = 128
    """Units of the GRU."""
    tasks: int = 100
    """That a verdict is given on."""
    out: Path = Path("results/diversity")
    threads: int = 1
    quick: bool = False
    """Little of everything."""


#: A short look.
LITTLE: dict[str, Any] = {
    "parts": "BernoulliBandit(arms=3), DarkRoom(size=3), GaussianBandit(arms=7)",
    "held_out": "GaussianBandit",
    "horizon": 5,
    "episodes": 3,
    "context": 2,
    "histories": 20,
    "updates": 2,
    "batch": 2,
    "width": 8,
    "steps": 1,
    "rows": 4,
    "hidden": 8,
    "tasks": 3,
}


class Trained(NamedTuple):
    """What was trained alike: a kind of network, and the number of tasks; 0 are tasks without end and without disguise."""

    kind: str
    pool: int

    @property
    def disguised(self) -> bool:
        """Whether it is part of the experiment, or of the gate."""
        return self.pool > 0

    def __str__(self) -> str:
        return f"{self.kind}_{self.pool}" if self.disguised else f"{self.kind}_gate"


def world(args: Args, disguised: bool) -> dict[str, Any]:
    """The parameters of the mixture, all but the pool."""
    disguise = args.disguise if disguised else "none"
    return {"parts": args.parts, "held_out": args.held_out, "horizon": args.horizon, "disguise": disguise}


# ------------------------------------------------------------------------------------------------ training
def source() -> QLambda:
    """The learner whose histories are imitated: so hopeful that it tries everything, and needs no chance to do so."""
    return QLambda(step_size=1.0, discount=0.7, trace_decay=0.8, initial_value=2.0, epsilon=0.0, final_epsilon=0.0)


def agent(args: Args, which: Trained, seed: int) -> Wrapped:
    """A network of one seed, trained or read from its file, as an agent. Each seed has tasks of its own."""
    params = {**world(args, which.disguised), "pool": which.pool, "pool_seed": seed}
    began, out = time.monotonic(), args.out / str(which)
    if which.kind == "ad":
        found = Wrapped(functools.partial(distillation.Distilled, imitator(args, params, out, seed)), VectorContextStream)
    else:
        found = Wrapped(functools.partial(rl2.Frozen, reinforced(args, params, out, seed)), rl2.see)
    print(f"{which}, seed {seed}: {time.monotonic() - began:.0f} s", flush=True)
    return found


def imitator(args: Args, params: dict[str, Any], out: Path, seed: int) -> distillation.Transformer:
    """A transformer that says what the source learner would do next."""
    settings = distillation.Args(
        id=ID,
        params=params,
        histories=args.histories,
        lived=args.every * args.episodes,
        every=args.every,
        context=args.context,
        layers=args.layers,
        heads=args.heads,
        width=args.width,
        updates=args.updates,
        batch=args.batch,
        learning_rate=args.learning_rate,
        out=out,
    )
    return distillation.imitator_of(settings, seed, source())


def reinforced(args: Args, params: dict[str, Any], out: Path, seed: int) -> rl2.Policy:
    """A GRU that PPO has taught to earn much in a life."""
    settings = rl2.Args(
        id=ID,
        params=params,
        episodes_per_trial=args.episodes,
        total_steps=args.steps,
        num_envs=args.rows,
        rollout=args.context * args.horizon,
        hidden=args.hidden,
        learning_rate=args.learning_rate,
        gamma=args.gamma,
        scale_rewards=True,  # tasks pay unlike amounts
        out=out,
    )
    return rl2.train(settings, seed)


# ------------------------------------------------------------------------------------------------ judging
def judged(args: Args, which: Trained) -> Verdict:
    """The verdict on all seeds of it, on tasks that none of them met."""
    agents = [agent(args, which, seed) for seed in args.seeds]
    settings = world(args, which.disguised)
    found = verdict(agents, ID, split="test", tasks=args.tasks, episodes=args.episodes, seeds=args.seeds, **settings)
    told = {name: values.mean() for name, values in found.adaptations.items() if name in SHOWN}
    print(f"{which}: {found.name}; A", ", ".join(f"{SHOWN[name]} {mean:.3f}" for name, mean in told.items()), flush=True)
    return found


def source_scores(args: Args, zero_known: bool) -> dict[str, float]:
    """A of the source learner on the same tasks, in the episodes of its life that the transformer was shown."""
    found = {}
    for name in SHOWN:
        split = "+".join(["test", name] if name in STRUCTURAL else ["test"])
        lived = args.every * args.episodes
        result = evaluate(
            ID, {"source": source()}, split=split, tasks=args.tasks, episodes=lived, seeds=args.seeds, **world(args, True)
        )
        zero = (result.memoryless_score or 0.0) if zero_known else 0.0
        found[name] = float((result.normalised("source")[..., :: args.every].mean() - zero) / (1 - zero))
    return found


def slopes(found: dict[Trained, Verdict], kind: str, row: str) -> Interval:
    """By how much A rises each time that N is doubled: the slope of a line for each seed, and its interval over seeds."""
    many = sorted(which for which in found if which.kind == kind and which.disguised and row in found[which].adaptations)
    if len(many) < 2:
        return Interval(math.nan, math.nan, math.nan)
    doublings = np.log2([which.pool for which in many])
    by_seed = np.stack([found[which].adaptations[row].mean(axis=1) for which in many])
    return over_seeds(np.polyfit(doublings, by_seed, 1)[0])


def crossing(found: dict[Trained, Verdict], kind: str) -> int | None:
    """The smallest N from which on all verdicts are reward learning, if smaller ones have others; None if there is none."""
    many = sorted(which for which in found if which.kind == kind and which.disguised)
    first = len(many)
    while first and found[many[first - 1]].name == "reward learning":
        first -= 1
    return many[first].pool if 0 < first < len(many) else None


def summary(args: Args, found: dict[Trained, Verdict], learner: dict[str, float]) -> dict[str, Any]:
    """All that is known by now, as JSON types."""
    stated = {}
    for kind in args.only:
        if not any(which.kind == kind and which.disguised for which in found):
            continue
        rise = slopes(found, kind, "unseen_disguise")
        told = "undefined" if math.isnan(rise.low) else "holds" if rise.low > 0 else "DOES NOT HOLD"
        stated[kind] = {"rises": told, "slope": rise.as_json(), "reward learning from N on": crossing(found, kind)}
    gate = {str(which): _intact(one).as_json() for which, one in found.items() if not which.disguised}
    return {
        "settings": {**asdict(args), "out": str(args.out)},
        "gate": gate,
        "gate passed": {kind: passes(found, kind) for kind in args.only if Trained(kind, 0) in found},
        "source learner": learner,
        "verdicts": {str(which): one.as_json() for which, one in found.items()},
        "stated": stated,
    }


def passes(found: dict[Trained, Verdict], kind: str) -> bool:
    """Whether the budget is enough for a kind of network to be worth a verdict."""
    return bool(found[Trained(kind, 0)].adaptations["intact"].mean() > GATE)


def _intact(one: Verdict) -> Interval:
    return next(row.adaptation for row in one.rows if row.name == "intact" and row.adaptation is not None)


# ------------------------------------------------------------------------------------------------ showing
def show(args: Args, found: dict[Trained, Verdict], told: dict[str, Any]) -> None:
    """Print the table, and what became of what was stated."""
    print(f"\n{'':<10}{'class':<18}" + "".join(f"{words:>24}" for words in (*SHOWN.values(), *CONTROLS)))
    for which, one in found.items():
        rows = {row.name: row.adaptation for row in one.rows}
        cells = [rows.get(name) for name in (*SHOWN, *CONTROLS)]
        print(f"{which!s:<10}{one.name:<18}" + "".join(f"{'-' if cell is None else cell.with_ends(''):>24}" for cell in cells))
    if learner := told["source learner"]:
        print(f"{'source':<28}" + "".join(f"{learner[name]:>24.2f}" for name in SHOWN))
    for kind, words in KINDS.items():
        if kind in told["gate passed"]:
            passed = told["gate passed"][kind]
            meant = "passed" if passed else f"NOT PASSED: what follows about the {words} says nothing"
            print(f"the gate, {words}: A {_intact(found[Trained(kind, 0)]).with_ends('')}, and {GATE} is asked for: {meant}")
        if kind in told["stated"]:
            stated, rise = told["stated"][kind], slopes(found, kind, "unseen_disguise")
            print(f"stated, {words}: A on unseen disguises rises with N: {stated['rises']}; with each doubling by ", end="")
            print(f"{rise.with_ends('+', 3)}; reward learning from N on: {stated['reward learning from N on']}", flush=True)


def draw(args: Args, found: dict[Trained, Verdict], told: dict[str, Any], path: Path) -> None:
    """A against N, what controls leave of it, and the class: two panels for each kind of network."""
    kinds = [kind for kind in args.only if any(which.kind == kind and which.disguised for which in found)]
    if not kinds:
        return
    figure = new_figure(11, 4.2 * len(kinds))
    for row, kind in zip(figure.subplots(len(kinds), 2, squeeze=False, sharey=True), kinds, strict=True):
        many = sorted(which for which in found if which.kind == kind and which.disguised)
        says_nothing = "" if told["gate passed"].get(kind, True) else " (the gate is not passed: this says nothing)"
        for axes, names in zip(row, (SHOWN, {"intact": "intact", **dict.fromkeys(CONTROLS)}), strict=True):
            for n, (name, words) in enumerate(names.items()):
                line(axes, {which.pool: found[which] for which in many}, name, words or name, f"C{n}")
                if axes is row[0] and name in told["source learner"]:
                    axes.axhline(told["source learner"][name], color=f"C{n}", linestyle=":", linewidth=1)
            axes.axhline(0, color="#999999", linewidth=0.8)
            axes.set_xscale("log", base=2)
            axes.set_xticks([which.pool for which in many], [f"{which.pool}" for which in many])
            axes.set_xlabel("N, tasks to train on")
            axes.spines[["top", "right"]].set_visible(False)
            axes.legend(fontsize=7, frameon=False)
        row[0].set(ylabel="A", title=f"{KINDS[kind]}: dotted, the learner that AD imitates{says_nothing}")
        row[1].set_title("under controls, and the class")
        for which in many:
            at = (which.pool, 0.01)
            row[1].annotate(
                found[which].name.replace(" ", "\n"), at, xycoords=("data", "axes fraction"), fontsize=6, ha="center"
            )
    save_figure(figure, path)


def line(axes: Any, by_pool: dict[int, Verdict], name: str, words: str, color: str) -> None:
    """A of one row of the verdicts against N, with intervals over seeds and tasks."""
    rows = [(n, row.adaptation) for n, one in by_pool.items() for row in one.rows if row.name == name and row.adaptation]
    if not rows:
        return
    pools, mean = [n for n, _ in rows], np.array([interval.mean for _, interval in rows])
    low, high = (np.array([getattr(interval, end) for _, interval in rows]) for end in ("low", "high"))
    axes.errorbar(
        pools,
        mean,
        yerr=[mean - low, high - mean],
        color=color,
        marker="o",
        markersize=3,
        capsize=2,
        label=words,
        linewidth=1.2,
    )


def save(args: Args, found: dict[Trained, Verdict], learner: dict[str, float]) -> dict[str, Any]:
    """Write all that is known by now, each file whole or not at all."""
    told = summary(args, found, learner)
    arrays = {f"{which}/{name}": values for which, one in found.items() for name, values in one.adaptations.items()}
    with written_aside(args.out / "result.json", args.out / "scores.npz") as [result, scores]:
        result.write_text(json.dumps(told, indent=1, allow_nan=False) + "\n")
        np.savez_compressed(scores, **arrays)  # type: ignore[arg-type]
    draw(args, found, told, args.out / "curves.png")
    return told


def main(args: Args) -> None:
    """The gate, then from few tasks to many; all is written as soon as it is known."""
    torch.set_num_threads(args.threads)
    if unknown := [kind for kind in args.only if kind not in KINDS]:
        raise SystemExit(f"--only {unknown[0]}: there are {' and '.join(KINDS)}")
    if args.quick:
        args = replace(args, **LITTLE, pools=args.pools[:1], seeds=args.seeds[:1], out=args.out / "quick")
    args.out.mkdir(parents=True, exist_ok=True)
    found: dict[Trained, Verdict] = {}
    learner: dict[str, float] = {}
    for pool in (0, *args.pools):
        for kind in args.only:
            which = Trained(kind, pool)
            found[which] = judged(args, which)
            if which.disguised and not learner:
                learner = source_scores(args, found[which].memoryless is not None)
            told = save(args, found, learner)
        show(args, found, told)
    for file in ("result.json", "scores.npz", "curves.png"):
        print(args.out / file)


if __name__ == "__main__":
    main(tyro.cli(Args))
