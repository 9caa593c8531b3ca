"""Decision-Pretrained Transformer (Lee et al. 2023): told what happened on a task, say what its oracle would do.

The context is a set of transitions, in no order; the question is a state; the answer is the oracle's action. It is trained on
lives on train goals of a Dark Room that begin as random walks, labelled by the family's oracle; their order is not told. On
held-out goals it begins with an empty context. Each episode it acts by drawing from its answers, and what happened joins the
context.

    python examples/decision_pretrained_transformer.py                           # five seeds: some minutes each on one core
    python examples/decision_pretrained_transformer.py --seeds 0 --updates 200   # a short look, too short to show much

It prints the same table as `algorithm_distillation.py`, and what one episode pays after so many transitions of a random walk
(offline). Histories, models, table and curves go to `results/dpt/`; what is there already is not made again.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import tyro
from algorithm_distillation import TRANSITION, Cache, Transformer, collected, compared, drawn, evaluated, trained, untrained
from algorithm_distillation import Args as Distillation
from rich.console import Console
from rich.table import Table
from torch.nn.functional import cross_entropy

import metarl_envs
from metarl_envs import histories
from metarl_envs.evaluation.statistics import over_seeds
from metarl_envs.learners import QLambda, Random
from metarl_envs.players import Step, Wrapped
from metarl_wrappers import VectorContextStream, VectorForgetEachEpisode, VectorSwapReward


@dataclass
class Args(Distillation):
    """Everything that can be set."""

    context: int = 10
    """Episodes in a training context."""
    questions: int = 64
    """Asked about each of them, at as many lengths."""
    offline: tuple[int, ...] = (0, 20, 50, 100, 200, 400)
    """Transitions of a random walk before the episode that is scored."""
    out: Path = Path("results/dpt")


def answers(model: Transformer, context: torch.Tensor, states: torch.Tensor, known: torch.Tensor) -> torch.Tensor:
    """Logits [row, question, action] of the oracle's action.

    Args:
        model: without positions.
        context: tokens of transitions, [row, transition, width].
        states: tokens of the states that are asked about, [row, question, width].
        known: how many of the transitions each question may look at, [question].
    """
    n, m = context.shape[1], states.shape[1]
    past = torch.arange(n) <= torch.arange(n)[:, None]  # each transition looks at those before it, as a cache has it
    told = torch.arange(n) < known[:, None]
    mask = torch.cat([torch.cat([past, torch.zeros(n, m, dtype=torch.bool)], 1), torch.cat([told, torch.eye(m) > 0], 1)])
    x = model.embed(torch.cat([context, states], dim=1))
    for block in model.blocks:
        x = block(x, torch.zeros(n + m), mask[None, None])
    return model.decide(x[:, n:])


def lives(args: Args, seed: int) -> histories.Histories:
    """What contexts and questions are taken from, with what the oracle would have done: lives that begin as random walks.

    Each episode starts anywhere. Who acts is less and less random, so that contexts with little reward and with much occur.
    """
    settings = {"step_size": 1.0, "discount": 0.9, "trace_decay": 0.8, "initial_value": 0.0}
    behaviour = QLambda(**settings, epsilon=1.0, final_epsilon=0.2, epsilon_decay_episodes=args.lived)
    return collected(args, seed, behaviour, labels=["optimal_action"], start="random")


def pretrained(args: Args, seed: int) -> Transformer:
    """A model trained to answer with the oracle's action."""
    model, rng, store = untrained(args, seed, rotary=False), np.random.default_rng(seed), lives(args, seed)
    tokens = model.tokens

    def loss() -> torch.Tensor:
        batch = store.sample(args.batch, model.window, rng)
        context = tokens.of_histories(batch)[:, 1:]
        # Asked is about states that the same life has seen, early or late: so on the same task, and labelled.
        asked = rng.integers(model.window, size=(args.batch, args.questions))
        rows = np.arange(args.batch)[:, None]
        states = tokens.alone(batch["observation"][rows, asked])
        known = torch.from_numpy(rng.integers(context.shape[1] + 1, size=args.questions))
        logits = answers(model, context, states, known)
        right = torch.from_numpy(batch["optimal_action"][rows, asked].astype(np.int64))
        return cross_entropy(logits.flatten(0, 1), right.flatten())

    return trained(args, seed, "dpt", model, loss)


class Pretrained:
    """A trained model as an agent: it asks about where it stands, given all transitions of the episodes before this one."""

    def __init__(self, model: Transformer, window: int, *, num_envs: int, observation_space: Any, action_space: Any, seed: int):
        self.model, self.cache = model, Cache(num_envs, window, *model.shape)
        self.until = torch.zeros(num_envs, dtype=torch.long)  # what is newer than that is of the running episode
        self.generator = np.random.default_rng(seed)

    @torch.no_grad()
    def act(self, step: Step) -> np.ndarray:
        """Draw an action in each row."""
        told: Any = step.observation
        self.model.step(self.model.tokens.of_stream(told), self.cache)
        self.cache.born[torch.from_numpy(told["context_clear"][:, 0] == 1)] = self.cache.now
        self.until[torch.from_numpy(step.episode_start)] = self.cache.now
        return drawn(self.ask(told["observation"]), self.generator)

    def ask(self, observation: np.ndarray) -> torch.Tensor:
        """Logits [row, action] for where each row stands."""
        cache, rows = self.cache, len(observation)
        older = (cache.times[: cache.used] < self.until[:, None])[:, None, None]
        mask = torch.cat([cache.visible() & older, torch.ones(rows, 1, 1, 1, dtype=torch.bool)], dim=-1)
        x = self.model.embed(self.model.tokens.alone(observation))[:, None]
        for block, kept in zip(self.model.blocks, cache.kept[..., : cache.used, :], strict=True):
            x = block(x, torch.zeros(1), mask, kept)
        return self.model.decide(x[:, 0])


class Offline(Pretrained):
    """The same, begun with transitions of somebody else's, as tokens [row, transition, width]."""

    def __init__(self, model: Transformer, context: torch.Tensor, **told: Any):
        super().__init__(model, context.shape[1] + 1, **told)
        self.context = context

    @torch.no_grad()
    def act(self, step: Step) -> np.ndarray:
        """Draw an action in each row."""
        told: Any = step.observation
        if step.trial_start.all():
            for t in range(self.context.shape[1]):
                self.model.step(self.context[:, t], self.cache)
            self.until[:] = self.cache.now
        return drawn(self.ask(told["observation"]), self.generator)


def offline(args: Args, models: Sequence[Transformer]) -> None:
    """Print what an episode pays, given so many transitions of a random walk on the same held-out task."""
    tasks = metarl_envs.tasks(args.id, split=args.split, start="random")[: args.tasks]
    walked = histories.collect(args.id, Random(), histories=len(tasks), steps=max(args.offline) + 1, tasks=tasks)
    batch = {name: walked.stack(name) for name in TRANSITION}
    shown = Table(title="offline: one episode after transitions of a random walk (0 is the random policy, 1 the oracle)")
    for column in ("transitions", "score", "from", "to"):
        shown.add_column(column, justify="right")
    context = models[0].tokens.of_histories(batch)[:, 1:]
    for known in args.offline:
        scores = []
        for seed, model in zip(args.seeds, models, strict=True):
            agent = Wrapped(functools.partial(Offline, model, context[:, :known]), VectorContextStream)
            scores.append(evaluated(args, {"offline": agent}, seed, episodes=1).normalised("offline"))
        shown.add_row(str(known), *(f"{value:.3f}" for value in over_seeds(np.concatenate(scores))))
    Console().print(shown)


def main(args: Args) -> None:
    """Train each seed, evaluate all on held-out tasks, online and offline, print and save."""
    torch.set_num_threads(args.threads)
    models = [pretrained(args, seed) for seed in args.seeds]
    lifetime = args.episodes * metarl_envs.tasks(args.id).variant.horizon

    def policies(seed: int) -> dict[str, Wrapped]:
        agent = functools.partial(Pretrained, models[args.seeds.index(seed)], lifetime)
        if not args.controls:
            return {"DPT": Wrapped(agent, VectorContextStream)}
        return {
            "DPT": Wrapped(agent, VectorContextStream),
            "DPT, forgets each episode": Wrapped(agent, VectorForgetEachEpisode, VectorContextStream),
            "DPT, swapped reward": Wrapped(agent, VectorSwapReward, VectorContextStream),
        }

    compared(args, policies)
    offline(args, models)


if __name__ == "__main__":
    main(tyro.cli(Args))
