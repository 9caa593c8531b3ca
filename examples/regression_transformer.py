"""A small transformer is trained to predict in linear regression: which algorithm is it like, after how many examples?

A causal transformer with softmax attention is shown inputs and the targets of the inputs before, and is trained to predict the
target of each input (Garg et al. 2022), on weights of train tasks and inputs that are new each time. On test tasks it is
compared with ridge regression (`bayes`, which without noise is least squares), gradient descent and the others, at each prompt
length:

* its squared error over the number of dimensions: 1 in the mean for who predicts 0, where there is no noise;
* the cosine between the weights that it predicts by (the gradient of its prediction in the input) and those of ridge, and of
  five steps of gradient descent;
* the likelihood of its predictions under each of them (`most_like_by_length`).

    python examples/regression_transformer.py             # one network: some five minutes of one core
    python examples/regression_transformer.py --steps 50  # a short look, too short to show much

The result, the network and a picture of the likelihoods go to `results/regression_transformer/`; a network that is there is not
trained again.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import torch
import tyro
from rich.console import Console
from rich.table import Table
from torch import nn

import metarl_envs
from metarl_envs.engine.player import references_of
from metarl_envs.evaluation import Result
from metarl_envs.evaluation.likeness import MOST_LENGTHS, Likeness, likenesses, most_like_by_length
from metarl_envs.evaluation.report import new_figure, save_figure
from metarl_envs.files import written_aside
from metarl_envs.players import Step

ID = "MetaRL/LinearRegression-v0"
#: Who it is compared with, beside the references that `likenesses` tries.
BESIDE = ("bayes", "gradient_descent_5")


@dataclass
class Args:
    """Everything that can be set."""

    dimensions: int = 5
    """Of inputs, at most 49: each prompt length is looked at, and there are two in each dimension, and one."""
    noise: float = 0.0
    """The standard deviation of a target."""
    steps: int = 12_000
    """Of training."""
    batch: int = 64
    learning_rate: float = 1e-3
    width: int = 64
    layers: int = 3
    heads: int = 4
    tasks: int = 400
    """Test tasks."""
    seeds: int = 5
    """Of inputs, on each of them."""
    seed: int = 0
    """Of training."""
    out: Path = Path("results/regression_transformer")
    threads: int = 1

    @property
    def params(self) -> dict[str, Any]:
        """The family's parameters. An episode is as long in the comparison as in training."""
        return {"dimensions": self.dimensions, "noise": self.noise, "horizon": self.horizon}

    @property
    def horizon(self) -> int:
        """Predictions of an episode."""
        return 2 * self.dimensions + 1


class Regressor(nn.Module):
    """A causal transformer: what is observed at each step in, a prediction at each step out."""

    def __init__(self, args: Args):
        super().__init__()
        self.embed = nn.Linear(args.dimensions + 1, args.width)
        self.place = nn.Parameter(0.02 * torch.randn(args.horizon, args.width))
        block = nn.TransformerEncoderLayer(
            args.width, args.heads, 4 * args.width, dropout=0.0, activation="gelu", batch_first=True, norm_first=True
        )
        self.blocks = nn.TransformerEncoder(block, args.layers, nn.LayerNorm(args.width), enable_nested_tensor=False)
        self.predict = nn.Linear(args.width, 1)

    def forward(self, seen: torch.Tensor) -> torch.Tensor:
        """Return predictions [row, step] from observations [row, step, dimensions + 1]."""
        count = seen.shape[1]
        past = nn.Transformer.generate_square_subsequent_mask(count)
        return self.predict(self.blocks(self.embed(seen) + self.place[:count], past, is_causal=True))[..., 0]


def prompts(args: Args, weights: torch.Tensor, generator: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
    """Return what is observed on tasks with these weights, float32 [row, step, dimensions + 1], and targets [row, step]."""
    inputs = torch.randn(len(weights), args.horizon, args.dimensions, generator=generator)
    targets = (inputs * weights[:, None]).sum(-1) + args.noise * torch.randn(len(weights), args.horizon, generator=generator)
    before = torch.cat([torch.zeros(len(weights), 1), targets[:, :-1]], dim=1)
    return torch.cat([inputs, before[..., None]], dim=-1), targets


#: What is set for the comparison alone.
NOT_IN_TRAINING = {"tasks", "seeds", "out", "threads"}


def trained(args: Args, console: Console) -> Regressor:
    """Return the network, trained now, or read from where it was written."""
    torch.manual_seed(args.seed)
    model, path = Regressor(args), args.out / f"seed_{args.seed}.pt"
    about = {name: value for name, value in asdict(args).items() if name not in NOT_IN_TRAINING}
    if path.exists():
        kept = torch.load(path, weights_only=True)
        if kept["about"] != about:
            raise SystemExit(f"{path} was trained with other settings ({kept['about']}): give another --out, or remove it")
        model.load_state_dict(kept["weights"])
        return model
    tasks = metarl_envs.tasks(ID, split="train", **args.params)
    weights = torch.tensor(tasks.sample(args.batch * 1000, seed=args.seed)["weights"], dtype=torch.float32)
    optimiser = torch.optim.AdamW(model.parameters(), lr=args.learning_rate, weight_decay=0.0)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, args.learning_rate, total_steps=args.steps, pct_start=0.1)
    generator = torch.Generator().manual_seed(args.seed)
    for step in range(args.steps):
        drawn = torch.randint(len(weights), (args.batch,), generator=generator)
        seen, targets = prompts(args, weights[drawn], generator)
        loss = (model(seen) - targets).square().mean() / args.dimensions
        optimiser.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        schedule.step()
        if (step + 1) % max(1, args.steps // 10) == 0:
            console.print(f"update {step + 1}/{args.steps}: error {loss.item():.3f}")
    args.out.mkdir(parents=True, exist_ok=True)
    with written_aside(path) as [aside]:
        torch.save({"about": about, "weights": model.state_dict()}, aside)
    return model


class Transformer:
    """The network as a batch of players: it predicts from all that was observed in the episode."""

    def __init__(self, model: Regressor, *, num_envs: int, observation_space: gym.spaces.Box, **_: Any):
        self.model, self.seen = model, np.zeros((num_envs, 0, *observation_space.shape), np.float32)

    def act(self, step: Step) -> Any:
        """Predict. All rows are at the same step, since all episodes are of one length."""
        before = self.seen[:, :0] if step.episode_start.all() else self.seen
        self.seen = np.concatenate([before, np.asarray(step.observation, np.float32)[:, None]], axis=1)
        with torch.no_grad():
            return self.model(torch.tensor(self.seen))[:, -1:].clamp(-100, 100).numpy()


def implied_weights(model: Regressor, seen: np.ndarray) -> np.ndarray:
    """Return the gradient of each prediction in its own input, float64 [row, step, dimension]."""
    found = []
    for t in range(seen.shape[1]):
        prompt = torch.tensor(seen[:, : t + 1]).requires_grad_()
        model(prompt)[:, -1].sum().backward()
        assert prompt.grad is not None
        found.append(prompt.grad[:, -1, :-1].numpy())
    return np.stack(found, axis=1).astype(float)


def cosines(model: Regressor, result: Result) -> dict[str, np.ndarray]:
    """Return the mean cosine of the weights it predicts by with those of each of `BESIDE`, [step]; NaN before an example."""
    run = result.runs["transformer"]
    own, found = implied_weights(model, run.columns().columns["observation"].astype(np.float32)), {}
    for name in BESIDE:
        player = references_of(run.variant)[name]
        theirs = result.runs[name].columns(internals=["weights"], player=player).columns["weights"].astype(float)
        lengths = np.linalg.norm(own, axis=2) * np.linalg.norm(theirs, axis=2)
        with np.errstate(invalid="ignore", divide="ignore"):
            found[name] = ((own * theirs).sum(axis=2) / lengths).mean(axis=0)
    return found


def table(args: Args, result: Result, found: list[Likeness], along: dict[str, np.ndarray]) -> Table:
    """Return all that is told after each number of examples."""
    shown = Table(title="A transformer trained on linear regression, by how many examples it has seen")
    errors = {name: -run.columns().columns["reward"].mean(axis=0) for name, run in result.runs.items()}
    bits = {one.name: one.by_length for one in found[:3]}
    names = [f"error of {name}" for name in errors] + [f"cosine with {name}" for name in along]
    for column in ("examples", *names, *(f"bits: {name}" for name in bits), "most like"):
        shown.add_column(column, justify="right")
    for t, most_like in enumerate(most_like_by_length(found)):
        numbers = [each[t] for each in (*errors.values(), *along.values())]
        told = [length[t].with_half_width() for length in bits.values()]
        shown.add_row(f"{t}", *(f"{number:.3f}" for number in numbers), *told, ", ".join(most_like) or "nobody")
    return shown


def draw(found: list[Likeness], path: Path) -> Path:
    """Draw the bits of each known player against the number of examples."""
    figure = new_figure(6.4, 4.0)
    axes = figure.add_subplot()
    for one in found:
        mean, low, high = np.array(one.by_length).T
        (line,) = axes.plot(range(len(mean)), mean, marker=".", label=one.name)
        axes.fill_between(range(len(mean)), low, high, color=line.get_color(), alpha=0.15, linewidth=0)
    axes.axhline(0.0, color="gray", linewidth=0.8)
    axes.set_xlabel("examples seen")
    axes.set_ylabel("bits above a normal distribution")
    axes.set_ylim(bottom=max(-3.0, axes.get_ylim()[0]))
    axes.legend(fontsize=8, loc="upper left", bbox_to_anchor=(1.0, 1.0))
    return save_figure(figure, path)


def main(args: Args) -> None:
    """Train, compare, print and draw."""
    torch.set_num_threads(args.threads)
    if args.horizon > MOST_LENGTHS:
        raise SystemExit(f"--dimensions {args.dimensions}: prompts have {args.horizon} lengths, and {MOST_LENGTHS} can be told")
    console = Console()
    console.print(asdict(args))
    model = trained(args, console).eval()

    def factory(**given: Any) -> Transformer:
        return Transformer(model, **given)

    policies = {"transformer": factory, **{name: name for name in BESIDE}}
    result = metarl_envs.evaluate(ID, policies, split="test", tasks=args.tasks, seeds=args.seeds, **args.params)
    found = likenesses(result.runs["transformer"], args.seeds)
    console.print(table(args, result, found, cosines(model, result)))
    for path in [*result.save(args.out), draw(found, args.out / "curves.png")]:
        print(path)


if __name__ == "__main__":
    main(tyro.cli(Args))
