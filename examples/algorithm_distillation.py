"""Algorithm Distillation (Laskin et al. 2022): a transformer imitates whole learning histories, and so learns in its context.

The source is Q-learning (with traces), from ignorance on, on train goals of a Dark Room. A causal transformer predicts the
learner's next action from what the learner has lived so far. Then its weights are frozen, and it lives on held-out goals
by itself. It is trained twice: on histories as they were, and on histories whose episodes are shuffled. Both meet the same
tasks, beside the source learner, the family's fixed sweep, and the intact model under two controls.

    python examples/algorithm_distillation.py                           # five seeds, twice: some minutes each on one core
    python examples/algorithm_distillation.py --seeds 0 --updates 200   # a short look, too short to show much

It prints the gain (the last ten episodes minus the first, normalised) with its interval. Histories, models, table and curves go
to `results/distillation/`; what is there already is not made again.
"""

from __future__ import annotations

import functools
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import torch
import tyro
from rich.console import Console
from rich.table import Table
from torch import nn
from torch.nn.functional import cross_entropy, one_hot, scaled_dot_product_attention

import metarl_envs
from metarl_envs import histories
from metarl_envs.engine import Player, Variant
from metarl_envs.evaluation import Result, joined
from metarl_envs.evaluation.report import draw_curves, table
from metarl_envs.evaluation.statistics import over_seeds
from metarl_envs.files import written_aside
from metarl_envs.learners import QLambda
from metarl_envs.players import Step, Wrapped
from metarl_wrappers import VectorContextStream, VectorForgetEachEpisode, VectorSwapReward

LAST = 10  # episodes at the end of a lifetime, whose mean counts


@dataclass
class Args:
    """Everything that can be set."""

    id: str = "MetaRL/DarkRoom-v0"
    params: dict[str, int | float | str] = field(default_factory=dict)
    """Parameters of the family other than its defaults, as `--params size 7 horizon 15`."""
    seeds: tuple[int, ...] = (0, 1, 2, 3, 4)
    histories: int = 6000
    """Lives of the source learner for each seed, on tasks of the train split."""
    lived: int = 60
    """Episodes in each of them."""
    every: int = 3
    """Of which every so-manyth is shown to the model, which so sees larger steps of learning."""
    context: int = 10
    """Episodes that the transformer looks back on."""
    layers: int = 2
    heads: int = 2
    width: int = 64
    updates: int = 1500
    batch: int = 8
    learning_rate: float = 3e-3
    split: str = "test"
    """Where the tasks of the evaluation come from: "validation" to try settings out, "test" to report what they are worth."""
    controls: bool = True
    """Train on shuffled histories too, and evaluate under controls; `--no-controls` trains and evaluates the model alone."""
    tasks: int = 1000
    """How many of them (a finite split with fewer gives all it has)."""
    episodes: int = 50
    """In a lifetime on one of them."""
    lifetimes: int = 2
    out: Path = Path("results/distillation")
    threads: int = 1


# ------------------------------------------------------------------------------------------------ what the model sees
class Tokens:
    """One token a step: the transition before it, and where one stands now. Also what `VectorContextStream` shows, as numbers.

    A token holds what is seen now and what was seen before (whole numbers one-hot, real ones by how near they are to each of
    some places), the action in between (one-hot), what it paid, whether it ended an episode, and whether there was any.
    """

    #: How many places there are between the bounds of a real number.
    places = 9

    def __init__(self, observation_space: gym.Space, action_space: gym.Space):
        if not isinstance(observation_space, gym.spaces.Box):
            raise SystemExit(f"the observations are {observation_space}: this model reads a Box of numbers")
        if not isinstance(action_space, gym.spaces.Discrete):
            raise SystemExit(f"the actions are {action_space}: this model chooses among Discrete ones")
        self.whole = np.issubdtype(observation_space.dtype, np.integer)
        if not self.whole and not observation_space.is_bounded():
            raise SystemExit(f"the observations are {observation_space}: this model reads real numbers within bounds")
        low, high = (
            torch.from_numpy(end.astype(np.float32).ravel()) for end in (observation_space.low, observation_space.high)
        )
        sizes = (high - low + 1).long() if self.whole else torch.full_like(low, self.places, dtype=torch.long)
        self.low, self.sizes = low, sizes.tolist()
        #: From one place to the next.
        self.between = (high - low) / sizes.sub(1).clamp(min=1)
        self.actions = int(action_space.n)
        self.width = 2 * (sum(self.sizes) + len(self.sizes)) + self.actions + 3

    def seen(self, observations: np.ndarray) -> torch.Tensor:
        """Observations [..., n]: of each number where it lies, place by place; and as it is, between -1 and 1."""
        at = (torch.from_numpy(observations.astype(np.float32)) - self.low) / self.between.clamp(min=1e-6)
        places = [self._places(at[..., i], size) for i, size in enumerate(self.sizes)]
        return torch.cat([*places, 2 * at / torch.tensor(self.sizes).sub(1).clamp(min=1) - 1], dim=-1)

    def _places(self, at: torch.Tensor, size: int) -> torch.Tensor:
        """How near each number, counted in places, is to each of them: one-hot where it is whole."""
        if self.whole:
            return one_hot(at.round().long(), size)
        return torch.exp(-2 * (at[..., None] - torch.arange(size)).square())

    def alone(self, observations: np.ndarray) -> torch.Tensor:
        """Float [..., width]: where one stands, and nothing before it."""
        seen = self.seen(observations)
        return torch.cat([seen, torch.zeros(*seen.shape[:-1], self.width - seen.shape[-1])], dim=-1)

    def of_histories(self, batch: dict[str, np.ndarray]) -> torch.Tensor:
        """Float [row, step, width] from histories, or pieces of some, [row, step, ...]: step 0 has nothing before it."""
        seen = self.seen(batch["observation"])
        ended = torch.from_numpy(batch["terminated"] | batch["truncated"])
        reward = torch.from_numpy(batch["reward"].astype(np.float32))
        action = one_hot(torch.from_numpy(batch["action"].astype(np.int64)), self.actions)
        lived = torch.cat([seen, action, reward[..., None], ended[..., None], torch.ones_like(reward)[..., None]], dim=-1)
        before = torch.cat([torch.zeros_like(lived[:, :1]), lived[:, :-1]], dim=1)
        return torch.cat([seen, before], dim=-1)

    def of_stream(self, told: dict[str, np.ndarray]) -> torch.Tensor:
        """Float [row, width] from what `VectorContextStream` shows."""
        some = torch.from_numpy(told["context_mask"]).float()
        ended = torch.from_numpy(told["context_terminated"] | told["context_truncated"])
        action, reward = torch.from_numpy(told["context_action"]), torch.from_numpy(told["context_reward"])
        before = torch.cat([self.seen(told["context_observation"]), action, reward, ended, some], dim=-1)
        return torch.cat([self.seen(told["observation"]), before * some], dim=-1)


# ------------------------------------------------------------------------------------------------ the model
class Cache:
    """Keys and values of the last `window` tokens of each row, in a ring: the newest overwrites the oldest."""

    def __init__(self, rows: int, window: int, layers: int, heads: int, width: int):
        self.kept = torch.zeros(layers, 2, rows, heads, window, width // heads)
        self.times = torch.full((window,), -1)  # when each place was written
        self.born = torch.zeros(rows, dtype=torch.long)  # what is older than that, a row has forgotten
        self.now = 0

    def visible(self) -> torch.Tensor:
        """Which places each row may look at, bool [row, 1, 1, places in use]."""
        return (self.times[: self.used] >= self.born[:, None])[:, None, None]

    @property
    def used(self) -> int:
        """How many places hold a token."""
        return min(self.now, len(self.times))

    def place(self) -> int:
        """Make room for one more token; where."""
        place = self.now % len(self.times)
        self.times[place] = self.now
        self.now += 1
        return place


def turned(x: torch.Tensor, times: torch.Tensor) -> torch.Tensor:
    """Rotary positions (Su et al. 2021): half of [..., time, width] turns by angles that grow with time.

    What is looked for by when it happened is in that half; what is looked for by what it is, in the other.
    """
    still, turning = x.chunk(2, dim=-1)
    a, b = turning.chunk(2, dim=-1)
    angles = times[:, None] * 1000.0 ** (-torch.arange(a.shape[-1]) / a.shape[-1])
    sine, cosine = angles.sin(), angles.cos()
    return torch.cat([still, a * cosine - b * sine, a * sine + b * cosine], dim=-1)


class Block(nn.Module):
    """Attention and a layer of neurons, each added to the residual stream."""

    def __init__(self, width: int, heads: int, rotary: bool):
        super().__init__()
        self.heads, self.rotary = heads, rotary
        self.before_attention, self.before_neurons = nn.LayerNorm(width), nn.LayerNorm(width)
        self.read, self.write = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.neurons = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))

    def forward(self, x, times, mask=None, kept=None, place=None):
        """Residual stream [row, time, width] to the same.

        Args:
            x: the stream.
            times: of each token, [time].
            mask: who may look at whom, [row or 1, 1, time, places]; None: each at itself and those before.
            kept: keys and values of a `Cache`, for this layer, where a single token looks beside itself.
            place: where in it this token goes; None: it leaves no trace there, and comes last among what it looks at.
        """
        rows, length, width = x.shape
        parts = self.read(self.before_attention(x)).view(rows, length, 3, self.heads, width // self.heads)
        query, key, value = parts.permute(2, 0, 3, 1, 4)
        if self.rotary:
            query, key = turned(query, times), turned(key, times)
        if kept is not None and place is None:
            key, value = torch.cat([kept[0], key], dim=2), torch.cat([kept[1], value], dim=2)
        elif kept is not None:
            kept[0, :, :, place], kept[1, :, :, place] = key[:, :, 0], value[:, :, 0]
            key, value = kept
        found = scaled_dot_product_attention(query, key, value, attn_mask=mask, is_causal=mask is None)
        x = x + self.write(found.transpose(1, 2).reshape(rows, length, width))
        return x + self.neurons(self.before_neurons(x))


class Transformer(nn.Module):
    """A causal transformer from tokens to logits of actions."""

    def __init__(self, tokens: Tokens, window: int, layers: int, heads: int, width: int, rotary: bool = True):
        super().__init__()
        self.tokens, self.window, self.shape = tokens, window, (layers, heads, width)
        self.embed = nn.Linear(tokens.width, width)
        blocks = [Block(width, heads, rotary) for _ in range(layers)]
        self.blocks = nn.ModuleList(blocks)
        self.decide = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, tokens.actions))
        for block in blocks:  # little is written at first, so that the stream begins as the embedding
            for name in ("write.weight", "neurons.2.weight"):
                nn.init.normal_(block.get_parameter(name), std=0.02 / layers**0.5)

    def residuals(self, tokens: torch.Tensor) -> list[torch.Tensor]:
        """The residual stream after the embedding and after each block, each [row, time, width]."""
        times = torch.arange(tokens.shape[1])
        age = times[:, None] - times
        mask = None if len(times) <= self.window else ((age >= 0) & (age < self.window))[None, None]
        stream = [self.embed(tokens)]
        for block in self.blocks:
            stream.append(block(stream[-1], times, mask))
        return stream

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        """Logits [row, time, action] of what comes after each token, given those before, back to `window` of them."""
        return self.decide(self.residuals(tokens)[-1])

    def step(self, tokens: torch.Tensor, cache: Cache) -> torch.Tensor:
        """The same for the next token of each row, [row, width], given those in the cache, which it joins: [row, action]."""
        x, times, place = self.embed(tokens)[:, None], torch.tensor([cache.now]), cache.place()
        mask = cache.visible()
        for block, kept in zip(self.blocks, cache.kept[..., : cache.used, :], strict=True):
            x = block(x, times, mask, kept, place)
        return self.decide(x[:, 0])


class Distilled:
    """A trained model as an agent for `metarl_envs.evaluate`: its weights stay; what it learns is in its cache."""

    def __init__(self, model: Transformer, *, num_envs: int, observation_space: gym.Space, action_space: gym.Space, seed: int):
        self.model, self.cache = model, Cache(num_envs, model.window, *model.shape)
        self.generator = np.random.default_rng(seed)

    @torch.no_grad()
    def act(self, step: Step) -> np.ndarray:
        """Draw an action in each row."""
        told: Any = step.observation
        self.cache.born[torch.from_numpy(told["context_clear"][:, 0] == 1)] = self.cache.now
        return drawn(self.model.step(self.model.tokens.of_stream(told), self.cache), self.generator)


def drawn(logits: torch.Tensor, generator: np.random.Generator) -> np.ndarray:
    """One action a row, drawn as often as the logits [row, action] say."""
    chances = logits.double().softmax(dim=-1).numpy().cumsum(axis=1)
    return (chances < generator.random((len(chances), 1)) * chances[:, -1:]).sum(axis=1)


# ------------------------------------------------------------------------------------------------ training
def variant_of(args: Args) -> Variant:
    """The family with its parameters set."""
    return metarl_envs.tasks(args.id, **params_of(args)).variant


def params_of(args: Args) -> dict[str, Any]:
    """The parameters of the family, for whoever takes them beside other arguments."""
    return {**args.params}


def untrained(args: Args, seed: int, rotary: bool = True) -> Transformer:
    """A model with random weights."""
    torch.manual_seed(seed)
    variant = variant_of(args)
    tokens = Tokens(variant.observation_space, variant.action_space)
    return Transformer(tokens, args.context * variant.horizon, args.layers, args.heads, args.width, rotary)


def source() -> QLambda:
    """The learner whose histories are imitated. It guesses half of what the goal is worth, so it tries all until then."""
    settings = {"step_size": 1.0, "discount": 0.9, "trace_decay": 0.8, "initial_value": 5.0}
    return QLambda(**settings, epsilon=0.1, final_epsilon=0.05, epsilon_decay_episodes=30)


def collected(args: Args, seed: int, learner: Player, **settings: Any) -> histories.Histories:
    """Histories on the train split, in a folder; what is there already is not lived again."""
    settings |= {"histories": args.histories, "steps": args.lived * variant_of(args).horizon, "split": "train", "seed": seed}
    return histories.collect(args.id, learner, out=folder(args, seed) / "histories", resume=True, **settings, **params_of(args))


def folder(args: Args, seed: int) -> Path:
    """Where what belongs to one trained seed lies."""
    return args.out / f"seed_{seed}"


def windows(args: Args, store: histories.Histories, rng: np.random.Generator, shuffle: bool) -> dict[str, np.ndarray]:
    """Some of what some histories show: every so-manyth episode, their order kept or shuffled; columns [row, step, ...]."""
    horizon = variant_of(args).horizon
    whole = store.sample(args.batch, args.lived * horizon, rng, TRANSITION)
    if whole["terminated"].any():
        raise SystemExit(f"{args.id} ends episodes early: here each has to last {horizon} steps")
    shown = np.tile(np.arange(0, args.lived, args.every), (args.batch, 1))
    if shown.shape[1] < args.context:
        raise SystemExit(f"--context {args.context}: only {shown.shape[1]} episodes of a history are shown (--lived, --every)")
    shown = rng.permuted(shown, axis=1) if shuffle else shown
    steps = (shown[..., None] * horizon + np.arange(horizon)).reshape(args.batch, -1)
    first = rng.integers(steps.shape[1] - args.context * horizon + 1, size=(args.batch, 1))
    rows = np.arange(args.batch)[:, None]
    steps = steps[rows, first + np.arange(args.context * horizon)]
    return {name: whole[name][rows, steps] for name in TRANSITION}


def trained(args: Args, seed: int, name: str, model: Transformer, loss: Callable[[], torch.Tensor]) -> Transformer:
    """The model, fitted by AdamW with a warm-up and a cosine; or read from its file, if it was."""
    file = folder(args, seed) / f"{name}.pt"
    about = {key: value for key, value in asdict(args).items() if key not in NOT_IN_TRAINING}
    if file.exists():
        kept = torch.load(file, weights_only=True)
        if kept["about"] != about:
            raise SystemExit(f"{file} was trained with other settings ({kept['about']}): give another --out, or remove it")
        model.load_state_dict(kept["weights"])
        return model
    optimizer = torch.optim.AdamW(model.parameters(), args.learning_rate, weight_decay=0.01)
    rate = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda done: min(1.0, (done + 1) / 50) * (0.525 + 0.475 * math.cos(math.pi * done / args.updates))
    )
    losses, began, tenth = [], time.monotonic(), max(1, args.updates // 10)
    for done in range(1, args.updates + 1):
        error = loss()
        optimizer.zero_grad()
        error.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        rate.step()
        losses.append(error.item())
        if done % tenth == 0:
            now = f"loss {np.mean(losses[-tenth:]):.3f}, {time.monotonic() - began:.0f} s"
            print(f"seed {seed}, {name}: update {done}/{args.updates}, {now}", flush=True)
    file.parent.mkdir(parents=True, exist_ok=True)
    with written_aside(file) as [aside]:
        torch.save({"about": about, "weights": model.state_dict()}, aside)
    return model


NOT_IN_TRAINING = {
    "seeds",
    "split",
    "controls",
    "tasks",
    "episodes",
    "lifetimes",
    "out",
    "threads",
    "offline",
    "lives",
    "pairs",
    "ridge",
}
TRANSITION = ("observation", "action", "reward", "terminated", "truncated")


def distilled(args: Args, seed: int, shuffle: bool = False) -> Transformer:
    """A model trained to say what the source learner did next."""
    store = collected(args, seed, source())
    return imitator(args, seed, lambda: store, "shuffled" if shuffle else "intact")


def imitator(args: Args, seed: int, stored: Callable[[], histories.Histories], name: str) -> Transformer:
    """A model that has learnt to say what comes next in stored histories; "shuffled": in shuffled ones.

    `stored` is called for each batch, and not at all where the model is in its file already.
    """
    model, rng = untrained(args, seed), np.random.default_rng(seed)

    def loss() -> torch.Tensor:
        batch = windows(args, stored(), rng, name == "shuffled")
        logits = model(model.tokens.of_histories(batch))
        return cross_entropy(logits.flatten(0, 1), torch.from_numpy(batch["action"].astype(np.int64)).flatten())

    return trained(args, seed, name, model, loss)


def imitator_of(args: Args, seed: int, learner: Player) -> Transformer:
    """A model that imitates a learner, whose lives are collected where they are needed, and are not kept."""

    @functools.cache
    def lives() -> histories.Histories:
        lengths = {"histories": args.histories, "steps": args.lived * variant_of(args).horizon}
        return histories.collect(args.id, learner, **lengths, split="train", seed=seed, **params_of(args))

    return imitator(args, seed, lives, "intact")


# ------------------------------------------------------------------------------------------------ evaluation
def evaluated(args: Args, policies: Mapping[str, Any], seed: int, episodes: int) -> Result:
    """Policies on held-out tasks."""
    settings: Any = {"split": args.split, "tasks": args.tasks, "lifetimes": args.lifetimes, "episodes": episodes}
    return metarl_envs.evaluate(args.id, policies, seeds=[seed], **settings, **params_of(args))


def compared(args: Args, policies: Callable[[int], Mapping[str, Any]], difference: tuple[str, str] | None = None) -> None:
    """Evaluate what each seed has trained beside learner and heuristic, print the gains, and save everything."""
    others = {"source learner": source(), "fixed sweep": "sweep"}
    result = joined([evaluated(args, {**policies(seed), **others}, seed, args.episodes) for seed in args.seeds])
    Console().print(table(result), gains(result, difference))
    for path in [*result.save(args.out), draw_curves(result, args.out / "curves.png")]:
        print(path)


def gains(result: Result, difference: tuple[str, str] | None = None) -> Table:
    """The last episodes minus the first, with t-intervals over seeds; and by how much two policies differ in that."""
    shown = Table(title=f"the last {LAST} episodes minus the first (95 % intervals over seeds, for these tasks)")
    for column in ("policy", "first", f"last {LAST}", "gain", "from", "to"):
        shown.add_column(column, justify="left" if column == "policy" else "right", no_wrap=column != "policy")
    ends = {
        name: (scores[..., 0], scores[..., -LAST:].mean(axis=-1)) for name in result.raw for scores in [result.normalised(name)]
    }
    if difference is not None:
        one, other = difference
        ends[f"{one}, minus {other}"] = ends[one][0] - ends[other][0], ends[one][1] - ends[other][1]
    for name, (first, last) in ends.items():
        shown.add_row(name, *(f"{value:.3f}" for value in (first.mean(), last.mean(), *over_seeds(last - first))))
    return shown


def main(args: Args) -> None:
    """Train each seed twice, evaluate all on held-out tasks, print and save."""
    torch.set_num_threads(args.threads)

    def policies(seed: int) -> dict[str, Wrapped]:
        intact = functools.partial(Distilled, distilled(args, seed))
        if not args.controls:
            return {"AD": Wrapped(intact, VectorContextStream)}
        control = functools.partial(Distilled, distilled(args, seed, shuffle=True))
        return {
            "AD": Wrapped(intact, VectorContextStream),
            "AD, forgets each episode": Wrapped(intact, VectorForgetEachEpisode, VectorContextStream),
            "AD, swapped reward": Wrapped(intact, VectorSwapReward, VectorContextStream),
            "trained on shuffled episodes": Wrapped(control, VectorContextStream),
        }

    compared(args, policies, ("AD", "trained on shuffled episodes") if args.controls else None)


if __name__ == "__main__":
    main(tyro.cli(Args))
