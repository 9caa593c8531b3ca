"""Writes the trained networks that come with the package: weights as `.npz` files of float16, and a model card beside each.

It takes what four examples have trained, chooses one seed of each by its score on validation tasks, and then scores that one
on test tasks. Both are scored as they will be run: by `metarl_envs.players.pretrained`, in NumPy, with rounded weights.

    python examples/algorithm_distillation.py
    python examples/decision_pretrained_transformer.py
    python examples/recurrent_ppo_rl2.py
    python examples/diversity_makes_learners.py
    python examples/export_networks.py          # --out metarl_envs/players/networks/weights to write them anew

It prints the SHA-256 of each file, which stands in `metarl_envs/players/networks/shipped.py`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import diversity_makes_learners as diversity
import numpy as np
import torch
import tyro
from algorithm_distillation import source as learner_of_distillation

import metarl_envs
from metarl_envs.evaluation.statistics import over_seeds_and_tasks
from metarl_envs.files import versions, written_aside
from metarl_envs.players import Player, Pretrained
from metarl_envs.players.networks.cards import Card, read_card
from metarl_envs.players.resolve import called


@dataclass
class Args:
    """Everything that can be set."""

    distillation: Path = Path("results/distillation")
    dpt: Path = Path("results/dpt")
    rl2: Path = Path("results/rl2")
    diversity: Path = Path("results/diversity")
    seeds: tuple[int, ...] = (0, 1, 2, 3, 4)
    """That were trained."""
    luck: int = 5
    """Lives of each network on each task."""
    only: str = ""
    """The name of a network, to write no other."""
    out: Path = Path("results/networks")


@dataclass
class Source:
    """Where a network comes from.

    Attributes:
        name, what, form, network, command: as on its card.
        file: of the weights of a seed, with the seed as "{}".
        id, params, episodes, tasks: where it is scored, how long it lives there, and on how many tasks at most.
        pool: of how many tasks it was trained, drawn by its seed; 0: of all that there are.
        seen: how many episodes of a life it saw in training, by the settings of training.
        learner: the one whose histories it imitates.
        caution: what its test score must be read with.
    """

    name: str
    what: str
    form: str
    network: dict[str, Any]
    command: str
    file: Path
    id: str
    params: dict[str, Any]
    episodes: int
    seen: Callable[[dict[str, Any]], int]
    tasks: int = 1000
    pool: int = 0
    learner: Player | None = None
    caution: str = ""


def sources(args: Args) -> list[Source]:
    """All networks; numbers are the defaults of the examples."""
    room: dict[str, Any] = {"id": "MetaRL/DarkRoom-v0", "params": {}, "episodes": 50}
    door: dict[str, Any] = {"id": "MetaRL/DarkKeyToDoor-v0", "params": {"size": 5, "horizon": 20}, "episodes": 5}
    return [
        Source(
            name="ad-darkroom",
            what="Algorithm Distillation: a causal transformer that imitates the learning histories of Q(lambda)",
            form="distilled",
            network={"window": 200},
            command="python examples/algorithm_distillation.py",
            file=args.distillation / "seed_{}" / "intact.pt",
            seen=lambda about: about["lived"] // about["every"],
            learner=learner_of_distillation(),
            **room,
        ),
        Source(
            name="dpt-darkroom",
            what="A Decision-Pretrained Transformer: told what happened on a task, it says what the oracle would do",
            form="asked",
            network={"window": 1000},
            command="python examples/decision_pretrained_transformer.py",
            file=args.dpt / "seed_{}" / "dpt.pt",
            seen=lambda about: about["context"],
            caution="; settings of training were looked for on test tasks",
            **room,
        ),
        Source(
            name="rl2-keytodoor",
            what="RL²: a GRU trained by PPO to earn as much as it can in whole trials of five episodes",
            form="recurrent",
            network={"layers": 1},
            command="python examples/recurrent_ppo_rl2.py",
            file=args.rl2 / "seed_{}.pt",
            seen=lambda about: about["episodes_per_trial"],
            **door,
        ),
        *(of_many_tasks(args.diversity, kind, pool) for kind in ("ad", "rl2") for pool in (4, 4096)),
    ]


def of_many_tasks(folder: Path, kind: str, pool: int) -> Source:
    """A network of the experiment on diversity, trained on a pool of so many tasks of a disguised mixture."""
    of = diversity.Args()
    own: dict[str, dict[str, Any]] = {
        "ad": {
            "what": f"Algorithm Distillation on {pool:,} tasks of a disguised mixture: a transformer that imitates Q(lambda)",
            "form": "distilled",
            "network": {"window": of.context * of.horizon},
            "file": folder / f"ad_{pool}" / "seed_{}" / "intact.pt",
            "seen": lambda about: about["lived"] // about["every"],
            "learner": diversity.source(),
        },
        "rl2": {
            "what": f"RL² on {pool:,} tasks of a disguised mixture: a GRU trained by PPO to earn much in whole lives",
            "form": "recurrent",
            "network": {"layers": 1},
            "file": folder / f"rl2_{pool}" / "seed_{}.pt",
            "seen": lambda about: about["episodes_per_trial"],
        },
    }
    return Source(
        name=f"{kind}-mixture-{pool}",
        command=f"python examples/diversity_makes_learners.py --only {kind}",
        id=diversity.ID,
        params=diversity.world(of, disguised=True),
        episodes=of.episodes,
        tasks=200,
        pool=pool,
        **own[kind],
    )


def rounded(source: Source, seed: int) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """The weights of a seed in float16, by name, and with which settings they were trained."""
    kept = torch.load(str(source.file).format(seed), weights_only=True)
    return {name: values.numpy().astype(np.float16) for name, values in kept["weights"].items()}, kept["about"]


def card_of(source: Source, seed: int, seeds: Sequence[int], about: dict[str, Any], **found: Any) -> Card:
    """The model card of a seed; `found` is what else stands there."""
    pool = {"pool": source.pool, "pool_seed": seed} if source.pool else {}
    tasks = metarl_envs.tasks(source.id, split="train", **source.params, **pool)
    trained = metarl_envs.tasks(about.get("id", source.id), split="train", **about.get("params", source.params)).variant
    if trained != tasks.variant:
        raise SystemExit(
            f"{source.file} was trained in {trained}, and not in {tasks.variant}: train it anew by `{source.command}`"
        )
    observed: Any = tasks.variant.observation_space
    settings = {name: value for name, value in about.items() if name not in ("id", "params")}
    seen: dict[str, Any] = {"episodes": source.seen(about)}
    if source.learner is not None:
        seen["learner"] = {"name": called(source.learner), "hyper": source.learner.values}
    return Card(
        name=source.name,
        what=source.what,
        form=source.form,
        network={**source.network, **{name: about[name] for name in ("layers", "heads") if name in about}},
        observation={"low": observed.low.tolist(), "high": observed.high.tolist(), "dtype": str(observed.dtype)},
        actions=tasks.variant.actions,
        trained_on={"id": source.id, "params": tasks.variant.values, "split": "train", "tasks": len(tasks), **seen},
        command=source.command,
        training={**settings, "seeds": list(seeds), "seed": seed},
        versions=versions("metarl-envs", "gymnasium", "numpy", "torch"),
        **{"validation": {}, "test": {}, "size": {}, **found},
    )


def network_of(source: Source, seed: int, seeds: Sequence[int] = (0, 1, 2, 3, 4)) -> Pretrained:
    """The network of a seed, as it is run by NumPy."""
    weights, about = rounded(source, seed)
    held = {name: values.astype(np.float32) for name, values in weights.items()}
    return Pretrained(card_of(source, seed, seeds, about), held)


def scores(source: Source, network: Pretrained, split: str, luck: int) -> np.ndarray:
    """What a network is worth on the tasks of a split, [seed, task, lifetime, episode]."""
    how: dict[str, Any] = {"split": split, "tasks": source.tasks, "episodes": source.episodes, "seeds": luck}
    return metarl_envs.evaluate(source.id, {"network": network}, **how, **source.params).normalised("network")


def export(source: Source, args: Args) -> Path:
    """Choose a seed, score it, and write it."""
    life = f"mean over a lifetime of {source.episodes} episodes; 0 is random play, 1 the oracle"
    found: dict[str, float] = {}
    for seed in args.seeds:
        network = network_of(source, seed, args.seeds)
        found[str(seed)] = round(float(scores(source, network, "validation", args.luck).mean()), 4)
    best = int(max(found, key=lambda seed: found[seed]))
    weights, about = rounded(source, best)
    tested = scores(source, network_of(source, best, args.seeds), "test", args.luck)
    mean, low, high = (round(end, 4) for end in over_seeds_and_tasks(tested))
    path = args.out / f"{source.name}.npz"
    args.out.mkdir(parents=True, exist_ok=True)
    with written_aside(path) as [aside]:
        np.savez_compressed(aside, allow_pickle=False, **weights)
    size = sum(values.size for values in weights.values())
    by_episode = tested.mean(axis=(0, 1, 2))
    card_of(
        source,
        best,
        args.seeds,
        about,
        validation={"scores": found, "how": life},
        test={
            "score": mean,
            "low": low,
            "high": high,
            "first": round(float(by_episode[0]), 4),
            "last": round(float(by_episode[-1]), 4),
            "how": f"{life}; {tested.shape[1]} test tasks, {args.luck} lives on each, of this network alone: the interval "
            f"is for the distribution of tasks, not for other seeds of training{source.caution}",
        },
        size={"weights": size, "dtype": "float16", "bytes": path.stat().st_size},
    ).save(path.with_suffix(".json"))
    return path


def main(args: Args) -> None:
    """Write all that were trained."""
    for source in sources(args):
        if args.only in ("", source.name):
            path = export(source, args)
            print(read_card(path.with_suffix(".json")))
            print(f'\n"{source.name}": "{hashlib.sha256(path.read_bytes()).hexdigest()}",\n')


if __name__ == "__main__":
    main(tyro.cli(Args))
