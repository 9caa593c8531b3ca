"""Stable-Baselines3's PPO, one policy for all agents, invents in boxes; and, forgetful as it is, uses notes.

Two questions, each on a small box, on trees that were never trained on:

* InventionBox: do three agents that share one memoryless policy beat agents that never repeat an experiment?
* AmnesiaBox: does the same policy do better with a notebook of four entries than without?

`boxes.make_vec(..., flat=True)` makes a row of each agent, and `SB3VecEnv` hands SB3 all rows at once. The policy remembers
nothing: it sees what its agent sees now. It is built on two facts. The mask rules out what would do nothing. And items of one
level and lineage are alike as long as nothing is known of them: so the network sees how many of each *kind* are held, and
chooses among kinds; which item of the kind, chance decides, or the notes.

    python examples/ppo_boxes.py                                        # five seeds: eight minutes on one core
    python examples/ppo_boxes.py --only invention --seeds 0 1           # a short look

One sees what is paid in a box grow, and then, for boxes that were never trained on, a table of paired differences with two
intervals: over boxes, and over trained seeds. Figures and curves are written to `results/ppo_boxes/`.
"""

from __future__ import annotations

import json
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
import tyro
from gymnasium.vector import VectorWrapper
from stable_baselines3 import PPO
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.distributions import Distribution
from stable_baselines3.common.policies import ActorCriticPolicy
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor
from stable_baselines3.common.vec_env import VecMonitor, VecNormalize
from torch import nn

from metarl_envs import boxes
from metarl_envs.boxes.scenarios import box_named
from metarl_envs.boxes.study.measures import levels_of
from metarl_envs.boxes.view.numbers import SENSES
from metarl_envs.boxes.world.tree import lineages_of
from metarl_envs.evaluation.statistics import Interval, over_seeds
from metarl_envs.files import written_aside
from metarl_wrappers.sb3 import SB3VecEnv

Params = dict[str, int | float | str]

#: Three agents who see each other, 60 items.
INVENTION: Params = {"agents": 3, "horizon": 150, "levels": 6, "crossover": 6, "width": 4, "bases": 6}
#: One agent, ten days of 20 steps, 24 items. Notes are read for nothing.
AMNESIA: Params = {"bases": 8, "levels": 4, "width": 4, "recipes": 2, "day": 20, "horizon": 200, "free_reading": True}

#: The arrays of `Lives`.
ARRAYS = ("returns", "inventions", "by_day")
#: What is drawn, in which colors.
COLORS = {
    "PPO": "#2f6fde",
    "PPO with notes": "#2f6fde",
    "PPO without notes": "#e07b39",
    "notes_best_path": "#2f9e6e",
    "greedy": "#b5459b",
    "never_repeat": "#444444",
    "random": "#999999",
}


@dataclass
class Args:
    """Everything that can be set."""

    only: Literal["both", "invention", "amnesia"] = "both"
    seeds: tuple[int, ...] = (0, 1, 2, 3, 4)
    invention_steps: int = 300_000
    """Steps of agents that a policy is trained for, in InventionBox."""
    amnesia_steps: int = 500_000
    """The same in AmnesiaBox, with notes and without."""
    rows: int = 192
    """Agents that live side by side."""
    n_steps: int = 50
    """Steps of each row between two updates."""
    batch_size: int = 1600
    epochs: int = 4
    hidden: int = 32
    learning_rate: float = 2e-3
    """At the beginning; it falls to 0."""
    gamma: float = 0.99
    entropy: float = 0.01
    boxes: int = 200
    """Held-out boxes to evaluate on."""
    first_box: int = 1_000_000
    """The seed of the first of them."""
    notes: int = 4
    """Entries of the notebook, where there is one."""
    invention: Params = field(default_factory=lambda: dict(INVENTION))
    amnesia: Params = field(default_factory=lambda: dict(AMNESIA))
    out: Path = Path("results/ppo_boxes")
    threads: int = 1


@dataclass
class Lives:
    """What came of the held-out boxes: the sum of rewards and how many different items were made, [seeds, boxes].

    `by_day` is the return of each day, [seeds, boxes, days]; a box without days has one. `curves` are points of training, for
    each seed: steps, and the mean return of the boxes that ended lately.
    """

    returns: np.ndarray
    inventions: np.ndarray
    by_day: np.ndarray
    curves: list[list[tuple[int, float]]] = field(default_factory=list)

    @classmethod
    def of(cls, paid: np.ndarray, first_by: np.ndarray, day: int) -> Lives:
        """From what boxes were paid at each step, [steps, boxes], and who first made each item, [boxes, items]."""
        days = np.add.reduceat(paid, range(0, len(paid), day or len(paid)))
        return cls(paid.sum(0)[None], (first_by >= 0).sum(1)[None], days.T[None])

    @classmethod
    def joined(cls, each: list[Lives]) -> Lives:
        """Those of several trained seeds."""
        returns, inventions, by_day = (np.concatenate([getattr(lives, name) for lives in each]) for name in ARRAYS)
        return cls(returns, inventions, by_day, [curve for lives in each for curve in lives.curves])


# ------------------------------------------------------------------------------------------------- the policy
class Kinds(BaseFeaturesExtractor):
    """What an agent sees, told by kinds of items instead of items; a kind is a level of a lineage.

    Of each kind: how many are held and, with notes, how many the notes recommend or warn of; whether one is in the hand. One
    small network looks at every kind with the two levels below and above it, in its own lineage and in all others: what it
    learns of one level it knows of all. Beside it stands what is no item: the senses, what each note speaks of, companions.

    The features are `hidden` numbers of each kind, then twice as many of the whole.
    """

    reach = 2

    def __init__(self, observation_space: Any, box: Any, hidden: int):
        self.lineages, self.levels, self.notes, self.hidden = box.lineages, box.levels + 1, box.notes, hidden
        count = self.lineages * self.levels
        super().__init__(observation_space, (count + 2) * hidden)
        self.planes = 3 if box.notes else 1
        kind = torch.as_tensor(lineages_of(box) * self.levels + levels_of(box))
        level = torch.arange(self.levels)
        self.kind: torch.Tensor
        self.one_hot: torch.Tensor
        self.about: torch.Tensor
        self.register_buffer("kind", kind)
        self.register_buffer("one_hot", nn.functional.one_hot(kind, count).float())
        crosses = level % max(box.crossover, 1) == 0
        self.register_buffer("about", torch.stack([torch.ones(self.levels), level / box.levels, crosses]))
        beside = len(SENSES) + box.notes * (3 * count + 2) + box.agents
        self.near = nn.Linear((2 * (self.planes + 1) + len(self.about)) * (2 * self.reach + 1), hidden)
        self.beside = nn.Linear(beside, hidden)
        self.whole = nn.Sequential(nn.Linear(2 * hidden + beside, 2 * hidden), nn.ReLU())

    def forward(self, observations: dict[str, torch.Tensor]) -> torch.Tensor:
        """Features, [rows, features]."""
        seen, items = observations["observation"], len(self.kind)
        planes = seen[:, : self.planes * items].view(len(seen), self.planes, items)
        hand, held = (planes[:, 0] == 1).float(), (planes[:, 0] > 0).float()
        counts = torch.stack([0.25 * held, hand, *planes[:, 1:].unbind(1)], dim=1) @ self.one_hot
        beside = torch.cat([seen[:, self.planes * items :][:, : len(SENSES)], self.written(seen, held)], dim=1)
        of_kinds = self.by_kind(counts, beside)
        pooled = torch.cat([of_kinds.amax(dim=1), of_kinds.mean(dim=1), beside], dim=1)
        return torch.cat([of_kinds.flatten(1), self.whole(pooled)], dim=1)

    def by_kind(self, counts: torch.Tensor, beside: torch.Tensor) -> torch.Tensor:
        """Features of kinds, [rows, kinds, hidden]."""
        own = counts.unflatten(2, (self.lineages, self.levels)).transpose(1, 2)
        others = own.sum(dim=1, keepdim=True) - own
        about = self.about.expand(*own.shape[:2], -1, -1)
        table = nn.functional.pad(torch.cat([own, others, about], dim=2), (self.reach, self.reach))
        near = table.unfold(3, 2 * self.reach + 1, 1).transpose(2, 3).flatten(3).flatten(1, 2)
        return torch.relu(self.near(near) + self.beside(beside)[:, None])

    def written(self, seen: torch.Tensor, held: torch.Tensor) -> torch.Tensor:
        """Of each note whether it is used, whether its product is held, and the kinds it speaks of; companions as they are."""
        entries = seen[:, self.planes * len(self.kind) + len(SENSES) :]
        notes, others = entries[:, : 4 * self.notes].view(len(entries), self.notes, 4), entries[:, 4 * self.notes :]
        # A note tells of item x as (x + 1) / (items + 1); 0 stands for nothing.
        spoken_of = (notes[..., 1:] * (len(self.kind) + 1)).round().long()
        table = nn.functional.pad(self.one_hot, (0, 0, 1, 0))
        product_held = nn.functional.pad(held, (1, 0)).gather(1, spoken_of[..., 2])
        return torch.cat([notes[..., 0], product_held, table[spoken_of].flatten(1), others], dim=1)


class KindPolicy(ActorCriticPolicy):
    """Chooses among kinds of items and verbs; what the notes mark counts for or against an item of its kind; never the illegal.

    The logit of an item is that of its kind, plus what its kind gains where notes recommend it and where they warn of it. The
    network gives all three, and a logit of each verb.
    """

    features_extractor: Kinds

    def _build(self, lr_schedule: Any) -> None:
        super()._build(lr_schedule)
        kinds = self.features_extractor
        verbs = int(self.action_space.n) - len(kinds.kind)  # type: ignore[attr-defined]
        self.action_net = nn.Linear(kinds.hidden, kinds.planes)
        self.verb_net = nn.Linear(2 * kinds.hidden, verbs)
        self.value_net = nn.Linear(2 * kinds.hidden, 1)
        for net, gain in ((self.action_net, 0.01), (self.verb_net, 0.01), (self.value_net, 1.0)):
            nn.init.orthogonal_(net.weight, gain)
            nn.init.zeros_(net.bias)
        self.optimizer = torch.optim.Adam(self.parameters(), lr=lr_schedule(1), eps=1e-5)  # as SB3 has it

    def look(self, obs: dict[str, torch.Tensor]) -> tuple[Distribution, torch.Tensor]:
        """The distribution of actions, and values."""
        kinds = self.features_extractor
        items, features = len(kinds.kind), kinds(obs)
        whole = features[:, -2 * kinds.hidden :]
        of_kinds = self.action_net(features[:, : -2 * kinds.hidden].unflatten(1, (-1, kinds.hidden)))[:, kinds.kind]
        logits = of_kinds[..., 0]
        for n in range(1, kinds.planes):
            logits = logits + of_kinds[..., n] * obs["observation"][:, n * items : (n + 1) * items]
        logits = torch.cat([logits, self.verb_net(whole)], dim=1).masked_fill(obs["action_mask"] == 0, -1e8)
        return self.action_dist.proba_distribution(action_logits=logits), self.value_net(whole)

    def forward(self, obs: Any, deterministic: bool = False) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Actions, values and log-probabilities."""
        choice, values = self.look(obs)
        actions = choice.get_actions(deterministic=deterministic)
        return actions, values, choice.log_prob(actions)

    def evaluate_actions(self, obs: Any, actions: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor | None]:
        """Values, log-probabilities and entropies."""
        choice, values = self.look(obs)
        return values, choice.log_prob(actions), choice.entropy()

    def get_distribution(self, obs: Any) -> Distribution:
        """The distribution of actions."""
        return self.look(obs)[0]

    def predict_values(self, obs: Any) -> torch.Tensor:
        """Values."""
        return self.look(obs)[1]


# ------------------------------------------------------------------------------------------------- training
class ForPPO(VectorWrapper):
    """The last step of a box terminates it: nothing comes after, so no return is to be guessed beyond it."""

    def step(self, actions: Any) -> tuple[Any, Any, Any, Any, dict[str, Any]]:
        """Step, with truncations as terminations."""
        seen, rewards, terminated, truncated, info = self.env.step(actions)
        return seen, rewards, terminated | truncated, np.zeros_like(truncated), info


class Curve(BaseCallback):
    """Keeps the mean return of the boxes that ended since it last looked, and says it. No box is lived twice."""

    def __init__(self, what: str, agents: int, updates: int):
        super().__init__()
        self.what, self.agents, self.every, self.done = what, agents, max(1, updates // 20), 0
        self.began, self.ended, self.points = time.monotonic(), [], []

    def _on_step(self) -> bool:
        self.ended += [info["episode"]["r"] for info in self.locals["infos"] if "episode" in info]
        return True

    def _on_rollout_end(self) -> None:
        self.done += 1
        if self.done % self.every or not self.ended:
            return
        self.points.append((self.num_timesteps, self.agents * float(np.mean(self.ended))))
        self.ended = []
        rate = self.num_timesteps / (time.monotonic() - self.began)
        print(
            f"{self.what}: {self.num_timesteps:,} steps, {self.points[-1][1]:.2f} paid in a box, {rate:,.0f} steps/s",
            flush=True,
        )


def train(args: Args, what: str, box: str, params: dict[str, Any], steps: int, seed: int) -> Lives:
    """Train one policy on train trees; then what it does on the held-out boxes."""
    agents = box_named(box).with_params(**params).p.agents
    envs: Any = boxes.make_vec(box, max(1, args.rows // agents), flat=True, split="train", autoreset_mode="SameStep", **params)
    rows = VecNormalize(VecMonitor(SB3VecEnv(ForPPO(envs))), norm_obs=False, gamma=args.gamma)
    model = PPO(
        KindPolicy,
        rows,
        n_steps=args.n_steps,
        batch_size=args.batch_size,
        n_epochs=args.epochs,
        learning_rate=lambda left: args.learning_rate * left,
        gamma=args.gamma,
        ent_coef=args.entropy,
        policy_kwargs={
            "net_arch": [],
            "features_extractor_class": Kinds,
            "features_extractor_kwargs": {"box": envs.boxes.variant.p, "hidden": args.hidden},
        },
        seed=10_000 * seed,  # SB3 adds the number of the row; so no two seeds share a tree
        device="cpu",
    )
    curve = Curve(f"{what}, seed {seed}", agents, steps // (rows.num_envs * args.n_steps))
    model.learn(steps, callback=curve)
    lives = evaluate(model, args, box, params)
    lives.curves.append(curve.points)
    print(f"{what}, seed {seed}: on held-out boxes return {lives.returns.mean():.2f}, {lives.inventions.mean():.2f} inventions")
    return lives


# ------------------------------------------------------------------------------------------------- evaluation
def evaluate(model: PPO, args: Args, box: str, params: dict[str, Any]) -> Lives:
    """The held-out boxes, lived by a policy. Actions are drawn, as in training."""
    envs: Any = boxes.make_vec(box, args.boxes, flat=True, split="test", autoreset_mode="Disabled", **params)
    seen, _ = envs.reset(seed=args.first_box)
    paid, over = [], False
    while not over:
        actions, _ = model.predict(seen)
        seen, rewards, _, truncated, _ = envs.step(actions)
        paid.append(rewards.reshape(args.boxes, -1).sum(1))
        over = truncated.all()
    return Lives.of(np.array(paid), envs.boxes.worlds["first_by"], envs.boxes.variant.p.day)


def scripted(name: str, args: Args, box: str, params: dict[str, Any]) -> Lives:
    """The same boxes, with the same recipes and noise, lived by a scripted agent in all seats."""
    run = boxes.run(box, {"all": name}, args.boxes, args.first_box, "test", **params)
    paid, first_by = [], np.zeros(0)
    for states in run.replay():
        paid.append(states["reward"].sum(1))
        first_by = states["first_by"]
    return Lives.of(np.array(paid[1:]), first_by, run.variant.p.day)  # nothing is paid before the first step


def difference(more: Lives, less: Lives, measured: str) -> dict[str, Interval]:
    """The paired difference with t-intervals over boxes (of the mean over seeds) and over seeds (of the mean over boxes).

    Seed s is paired with seed s; a scripted agent has one life a box, which is paired with all.
    """
    apart = getattr(more, measured) - getattr(less, measured)
    return {"boxes": over_seeds(apart.mean(0)), "seeds": over_seeds(apart)}


# ------------------------------------------------------------------------------------------------- the two questions
def invention(args: Args) -> tuple[dict[str, Lives], list[tuple[str, str, str]]]:
    """What each agent came to in InventionBox, and what is to be compared."""
    box, params, steps = "InventionBox", args.invention, args.invention_steps
    found = {name: scripted(name, args, box, params) for name in ("random", "never_repeat", "greedy", "oracle")}
    found["PPO"] = Lives.joined([train(args, box, box, params, steps, seed) for seed in args.seeds])
    return found, [("PPO", "never_repeat", "returns"), ("PPO", "never_repeat", "inventions")]


def amnesia(args: Args) -> tuple[dict[str, Lives], list[tuple[str, str, str]]]:
    """The same in AmnesiaBox."""
    without: dict[str, Any] = {**args.amnesia, "notes": 0}
    written: dict[str, Any] = {**args.amnesia, "notes": args.notes}
    found = {name: scripted(name, args, "AmnesiaBox", without) for name in ("random", "never_repeat", "greedy", "oracle")}
    found["notes_best_path"] = scripted("notes_best_path", args, "AmnesiaBox", written)
    for name, params in (("PPO without notes", without), ("PPO with notes", written)):
        lives = [train(args, f"AmnesiaBox, {name}", "AmnesiaBox", params, args.amnesia_steps, seed) for seed in args.seeds]
        found[name] = Lives.joined(lives)
    return found, [("PPO with notes", other, "returns") for other in ("PPO without notes", "greedy", "notes_best_path")]


def show(name: str, found: dict[str, Lives], compared: list[tuple[str, str, str]]) -> dict[str, Any]:
    """Print what each came to, and what was compared; the same for JSON."""
    print(f"\n{name}: {next(iter(found.values())).returns.shape[1]} held-out boxes, {'return':>26}{'inventions':>12}")
    for agent, lives in found.items():
        print(f"{agent:<50}{lives.returns.mean():>12.2f}{lives.inventions.mean():>12.2f}")
    print(f"\n{'difference, paired, 95 % intervals':<52}{'mean':>8}{'over boxes':>18}{'over seeds':>18}")
    differences = []
    for more, less, measured in compared:
        by = difference(found[more], found[less], measured)
        low_high = "".join(f"{f'[{interval.low:+.2f}, {interval.high:+.2f}]':>18}" for interval in by.values())
        print(f"{f'{more} - {less}: {measured}':<52}{by['boxes'].mean:>+8.2f}{low_high}")
        differences.append({"more": more, "less": less, "measured": measured, **{unit: i._asdict() for unit, i in by.items()}})
    agents = {
        agent: {
            "return": lives.returns.mean(1).tolist(),
            "inventions": lives.inventions.mean(1).tolist(),
            "return_by_day": lives.by_day.mean(1).tolist(),
            "curves": lives.curves,
        }
        for agent, lives in found.items()
    }
    return {"agents": agents, "differences": differences}


def draw(results: dict[str, dict[str, Lives]], path: Path) -> None:
    """Training in both boxes, and the days of AmnesiaBox. The oracle is far above, and left out."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    panels: list[Any] = [("InventionBox", draw_training), ("AmnesiaBox", draw_training), ("AmnesiaBox", draw_days)]
    panels = [panel for panel in panels if panel[0] in results]
    figure = Figure(figsize=(4.6 * len(panels), 4.1), dpi=120, layout="constrained")
    FigureCanvasAgg(figure)
    for axes, (name, draw_panel) in zip(figure.subplots(1, len(panels), squeeze=False)[0], panels, strict=True):
        for agent, color in COLORS.items():
            if agent in results[name]:
                draw_panel(axes, agent, color, results[name][agent])
        axes.set_title(name, fontsize=10)
        axes.spines[["top", "right"]].set_visible(False)
    named = {name: line for axes in figure.axes for line, name in zip(*axes.get_legend_handles_labels(), strict=True)}
    figure.legend(named.values(), named.keys(), loc="outside lower center", ncols=len(named), frameon=False, fontsize=8.5)
    figure.savefig(path)


def draw_training(axes: Any, agent: str, color: str, lives: Lives) -> None:
    """A line for each seed, on the train trees it meets; scripted agents are level, on the held-out boxes."""
    for n, curve in enumerate(lives.curves):
        steps, paid = np.reshape(curve, (-1, 2)).T
        axes.plot(steps / 1000, paid, color=color, linewidth=1.2, label=None if n else agent)
    if not lives.curves:
        axes.axhline(lives.returns.mean(), color=color, linestyle="--", linewidth=1, label=agent)
    axes.set_xlabel("steps of training, thousands")
    axes.set_ylabel("return of a box")


def draw_days(axes: Any, agent: str, color: str, lives: Lives) -> None:
    """The mean over boxes and seeds, and the range of seeds."""
    days = lives.by_day.mean(axis=1)
    at = range(1, days.shape[1] + 1)
    axes.plot(at, days.mean(axis=0), "o-" if lives.curves else "--", color=color, markersize=3, linewidth=1.2, label=agent)
    axes.fill_between(at, days.min(axis=0), days.max(axis=0), color=color, alpha=0.15, linewidth=0)
    axes.set_xlabel("day, in held-out boxes")
    axes.set_ylabel("return of the day")


def main(args: Args) -> None:
    """Train and evaluate, print and save."""
    torch.set_num_threads(args.threads)
    args.out.mkdir(parents=True, exist_ok=True)
    results, said = {}, {}
    for name, ask in (("InventionBox", invention), ("AmnesiaBox", amnesia)):
        if args.only == "both" or name.lower().startswith(args.only):
            results[name], compared = ask(args)
            said[name] = show(name, results[name], compared)
    settings = {**asdict(args), "out": str(args.out)}
    arrays = {
        f"{name}/{agent}/{what}": getattr(lives, what)
        for name, found in results.items()
        for agent, lives in found.items()
        for what in ARRAYS
    }
    with written_aside(args.out / "result.json", args.out / "scores.npz") as [result, scores_file]:
        result.write_text(json.dumps({"settings": settings, **said}, indent=1) + "\n")
        np.savez_compressed(scores_file, **arrays)  # type: ignore[arg-type]
    draw(results, args.out / "curves.png")
    for file in ("result.json", "scores.npz", "curves.png"):
        print(args.out / file)


if __name__ == "__main__":
    main(tyro.cli(Args))
