"""RL² (Duan et al. 2016; Wang et al. 2016): a recurrent policy learns, by PPO, to learn inside a trial.

The policy is a GRU that sees each step's observation, the action and reward before it, and where episodes start
(`VectorPreviousStep`). Its hidden state is kept across the episodes of a trial and cleared where a new trial, with a new hidden
task, begins. What it does better in the last episode than in the first, on tasks it never met, it has learnt from what happened
in between: the weights are frozen. The control `VectorForgetEachEpisode` clears the hidden state at each episode too.

    python examples/recurrent_ppo_rl2.py                                  # trains five seeds: some minutes each on one core
    python examples/recurrent_ppo_rl2.py --seeds 0 --total-steps 500000   # a short look

It prints the gain with its interval, and writes weights, table and curves to `results/rl2/`; a seed whose weights are there is
not trained again. PPO is written out below.
"""

from __future__ import annotations

import functools
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import torch
import tyro
from gymnasium.vector import VectorEnv
from rich.console import Console
from torch import nn

import metarl_envs
from metarl_envs.evaluation import joined
from metarl_envs.evaluation.report import draw_curves, table
from metarl_envs.files import written_aside
from metarl_envs.players import Step, Wrapped
from metarl_wrappers import VectorForgetEachEpisode, VectorPreviousStep, VectorSwapReward


@dataclass
class Args:
    """Everything that can be set."""

    id: str = "MetaRL/DarkKeyToDoor-v0"
    params: dict[str, int | float | str] = field(default_factory=lambda: {"size": 5, "horizon": 20})
    """Parameters of the family, as `--params size 5 horizon 20`."""
    episodes_per_trial: int = 5
    seeds: tuple[int, ...] = (0, 1, 2, 3, 4)
    total_steps: int = 8_000_000
    num_envs: int = 256
    rollout: int = 100
    """Steps of each environment between two updates; gradients flow no further back than this."""
    hidden: int = 128
    learning_rate: float = 1e-3
    gamma: float = 0.98
    gae_lambda: float = 0.95
    epochs: int = 4
    minibatches: int = 4
    clip: float = 0.2
    entropy: float = 0.01
    max_grad_norm: float = 0.5
    scale_rewards: bool = False
    """Learn from rewards in units of the standard deviation of discounted returns, where tasks pay much or little."""
    split: str = "test"
    """Where the tasks of the evaluation come from: "validation" to try settings out, "test" to report what they are worth."""
    tasks: int = 200
    """How many of them (a finite split with fewer gives all it has)."""
    lifetimes: int = 10
    out: Path = Path("results/rl2")
    threads: int = 1


class Coded(nn.Module):
    """The numbers that are seen, at the front of a vector, as codes; what follows them stays as it is.

    Whole numbers (cells, say) are names, not amounts: each becomes as many zeros and a one. Real numbers within bounds become
    nine numbers: how near they are to each of nine places in between.
    """

    places = 9

    def __init__(self, space: gym.Space):
        super().__init__()
        self.low: list[float] = []
        self.between: list[float] = []
        self.sizes: list[int] = []
        if isinstance(space, gym.spaces.Box) and space.is_bounded():
            self.whole = np.issubdtype(space.dtype, np.integer)
            ends = space.high.ravel().astype(float) - space.low.ravel()
            self.low = space.low.ravel().tolist()
            self.sizes = (ends.astype(int) + 1).tolist() if self.whole else [self.places] * len(ends)
            self.between = np.maximum(ends / np.maximum(np.array(self.sizes) - 1, 1), 1e-6).tolist()

    def forward(self, seen: torch.Tensor) -> torch.Tensor:
        """The vector with its leading numbers coded."""
        parts = [
            self.code((seen[..., i] - low) / between, size)
            for i, (low, between, size) in enumerate(zip(self.low, self.between, self.sizes, strict=True))
        ]
        return torch.cat([*parts, seen[..., len(parts) :]], dim=-1)

    def code(self, at: torch.Tensor, size: int) -> torch.Tensor:
        """How near numbers, counted in places, are to each place: one-hot where they are whole."""
        if self.whole:
            return nn.functional.one_hot(at.round().long(), size)
        return torch.exp(-2 * (at[..., None] - torch.arange(size)).square())


class Policy(nn.Module):
    """GRU actor and critic. Inputs are [time, row, ...]; `start` marks where a trial begins and memory is cleared."""

    def __init__(self, env: VectorEnv, hidden: int):
        super().__init__()
        actions = env.single_action_space
        if not isinstance(actions, gym.spaces.Discrete):
            raise SystemExit(f"the actions are {actions}: this policy chooses among Discrete ones")
        coded = Coded(env.unwrapped.single_observation_space)
        inputs = coded(torch.from_numpy(env.observation_space.sample()[:1]))
        self.encoder = nn.Sequential(coded, nn.Linear(inputs.shape[1], hidden), nn.Tanh())
        self.memory = nn.GRU(hidden, hidden)
        self.actor, self.critic = nn.Linear(hidden, int(actions.n)), nn.Linear(hidden, 1)
        nn.init.orthogonal_(self.actor.weight, 0.01)
        nn.init.zeros_(self.actor.bias)

    def forward(
        self, seen: torch.Tensor, start: torch.Tensor, state: torch.Tensor
    ) -> tuple[torch.distributions.Categorical, torch.Tensor, torch.Tensor]:
        """Distributions of actions and values at each time, and the memory after the last."""
        encoded, out = self.encoder(seen), []
        cuts = [t for t in range(1, len(seen)) if start[t].any()]  # the GRU runs at once over the times in between
        for first, last in zip([0, *cuts], [*cuts, len(seen)], strict=True):
            state = state * ~start[first][:, None]
            piece, state = self.memory(encoded[first:last], state)
            out.append(piece)
        features = torch.cat(out)
        return torch.distributions.Categorical(logits=self.actor(features)), self.critic(features)[..., 0], state

    def memoryless(self, rows: int) -> torch.Tensor:
        """The memory of `rows` policies that have lived nothing yet."""
        return torch.zeros(1, rows, self.memory.hidden_size)


# The last reward of a trial tells nothing that can still be used, so SAME_STEP's first observation of the next trial is enough.
see = functools.partial(VectorPreviousStep, flat=True)


class Rollouts:
    """Steps the environments and keeps what PPO learns from, as tensors [time, row]."""

    def __init__(self, args: Args, seed: int):
        params: dict[str, Any] = {**args.params}
        self.args = args
        self.env = see(
            gym.make_vec(
                f"metarl_envs:{args.id}",
                num_envs=args.num_envs,
                split="train",
                autoreset_mode="SameStep",
                episodes_per_trial=args.episodes_per_trial,
                trial_end="terminated",  # returns do not reach past the trial: the next one is about another task
                **params,
            )
        )
        self.policy = Policy(self.env, args.hidden)
        # Row i is stream seed + i: two trained policies share no stream, neither the order of their tasks nor starts and luck.
        seen, info = self.env.reset(seed=seed * args.num_envs)
        self.seen, self.start = torch.from_numpy(seen), torch.from_numpy(info["trial"]["trial_start"].copy())
        self.state = self.policy.memoryless(args.num_envs)
        self.returns, self.scales = torch.zeros(args.num_envs), [0.0, 0.0]

    @torch.no_grad()
    def gather(self) -> dict[str, torch.Tensor]:
        """Live `rollout` steps; advantages by GAE (Schulman et al. 2016)."""
        kept: dict[str, list[torch.Tensor]] = {}
        state_before = self.state
        for _ in range(self.args.rollout):
            actor, value, self.state = self.policy(self.seen[None], self.start[None], self.state)
            action = actor.sample()
            row = {"seen": self.seen, "start": self.start, "action": action[0], "value": value[0]}
            row["log_prob"] = actor.log_prob(action)[0]
            seen, reward, terminated, _, info = self.env.step(action[0].numpy())
            row["reward"], row["over"] = torch.from_numpy(reward).float(), torch.from_numpy(terminated.copy())
            self.seen, self.start = torch.from_numpy(seen), torch.from_numpy(info["trial"]["trial_start"].copy())
            for name, values in row.items():
                kept.setdefault(name, []).append(values)
        batch = {name: torch.stack(values) for name, values in kept.items()}
        _, value, _ = self.policy(self.seen[None], self.start[None], self.state)
        batch["advantage"] = self._advantages(batch, value[0], self._unit(batch) if self.args.scale_rewards else 1.0)
        batch["return"] = batch["advantage"] + batch["value"]
        batch["state"] = state_before
        return batch

    def _unit(self, batch: dict[str, torch.Tensor]) -> float:
        """The root of the mean square of discounted returns of the past, over all that was lived so far."""
        for reward, over in zip(batch["reward"], batch["over"], strict=True):
            self.returns = reward + self.args.gamma * self.returns
            self.scales = [self.scales[0] + self.returns.square().sum().item(), self.scales[1] + len(reward)]
            self.returns = self.returns * ~over
        return max((self.scales[0] / self.scales[1]) ** 0.5, 1e-8)

    def _advantages(self, batch: dict[str, torch.Tensor], value: torch.Tensor, unit: float) -> torch.Tensor:
        advantages, advantage = torch.zeros_like(batch["reward"]), torch.zeros_like(value)
        for t in reversed(range(self.args.rollout)):
            goes_on = self.args.gamma * ~batch["over"][t]
            error = batch["reward"][t] / unit + goes_on * value - batch["value"][t]
            advantages[t] = advantage = error + goes_on * self.args.gae_lambda * advantage
            value = batch["value"][t]
        return advantages


def update(policy: Policy, optimizer: torch.optim.Optimizer, batch: dict[str, torch.Tensor], args: Args) -> None:
    """PPO (Schulman et al. 2017): some epochs over whole sequences of some of the rows."""
    for _ in range(args.epochs):
        for rows in torch.randperm(args.num_envs).chunk(args.minibatches):
            part = {name: values[:, rows] for name, values in batch.items()}
            actor, value, _ = policy(part["seen"], part["start"], part["state"])
            ratio = (actor.log_prob(part["action"]) - part["log_prob"]).exp()
            advantage = (part["advantage"] - part["advantage"].mean()) / (part["advantage"].std() + 1e-8)
            surrogate = torch.min(ratio * advantage, ratio.clamp(1 - args.clip, 1 + args.clip) * advantage).mean()
            value_loss = 0.5 * (value - part["return"]).square().mean()
            loss = value_loss - surrogate - args.entropy * actor.entropy().mean()
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(policy.parameters(), args.max_grad_norm)
            optimizer.step()


#: What is set for the evaluation alone.
NOT_IN_TRAINING = {"seeds", "split", "tasks", "lifetimes", "out", "threads"}


def train(args: Args, seed: int) -> Policy:
    """One policy, trained on tasks of the train split; or read from its file, if it was."""
    torch.manual_seed(seed)
    rollouts, file = Rollouts(args, seed), args.out / f"seed_{seed}.pt"
    about = {name: value for name, value in asdict(args).items() if name not in NOT_IN_TRAINING}
    if file.exists():
        kept = torch.load(file, weights_only=True)
        if kept["about"] != about:
            raise SystemExit(f"{file} was trained with other settings ({kept['about']}): give another --out, or remove it")
        rollouts.policy.load_state_dict(kept["weights"])
        return rollouts.policy
    optimizer = torch.optim.Adam(rollouts.policy.parameters(), args.learning_rate, eps=1e-5)
    updates, began = max(1, args.total_steps // (args.num_envs * args.rollout)), time.monotonic()
    for done in range(1, updates + 1):
        for group in optimizer.param_groups:
            group["lr"] = args.learning_rate * (1 - (done - 1) / updates)
        batch = rollouts.gather()
        update(rollouts.policy, optimizer, batch, args)
        if done % max(1, updates // 10) == 0:
            rate = done * args.num_envs * args.rollout / (time.monotonic() - began)
            paid = f"reward a step {batch['reward'].mean():.3f}"
            print(f"seed {seed}: update {done}/{updates}, {paid}, {rate:,.0f} steps/s", flush=True)
    args.out.mkdir(parents=True, exist_ok=True)
    with written_aside(file) as [aside]:
        torch.save({"about": about, "weights": rollouts.policy.state_dict()}, aside)
    return rollouts.policy


class Frozen:
    """A trained policy as an agent for `metarl_envs.evaluate`: its weights stay, its memory is what the trial puts into it."""

    def __init__(self, policy: Policy, *, num_envs: int, observation_space: gym.Space, action_space: gym.Space, seed: int):
        self.policy, self.state = policy, policy.memoryless(num_envs)
        self.generator = np.random.default_rng(seed)

    @torch.no_grad()
    def act(self, step: Step) -> np.ndarray:
        """Draw an action in each row."""
        seen, start = torch.from_numpy(step.observation), torch.from_numpy(step.trial_start)
        actor, _, self.state = self.policy(seen[None], start[None], self.state)
        chances = actor.probs[0].double().numpy().cumsum(axis=1)
        return (chances < self.generator.random((len(chances), 1)) * chances[:, -1:]).sum(axis=1)


def main(args: Args) -> None:
    """Train each seed, evaluate all on held-out tasks, print and save."""
    torch.set_num_threads(args.threads)
    params: dict[str, Any] = {**args.params}
    results = []
    for seed in args.seeds:
        agent = functools.partial(Frozen, train(args, seed))
        policies = {
            "RL²": Wrapped(agent, see),
            "RL², forgets each episode": Wrapped(agent, VectorForgetEachEpisode, see),
            "RL², swapped reward": Wrapped(agent, VectorSwapReward, see),
        }
        results.append(
            metarl_envs.evaluate(
                args.id,
                policies,
                split=args.split,
                tasks=args.tasks,
                episodes=args.episodes_per_trial,
                seeds=[seed],
                lifetimes=args.lifetimes,
                **params,
            )
        )
    result = joined(results)
    Console().print(table(result))
    for path in [*result.save(args.out), draw_curves(result, args.out / "curves.png")]:
        print(path)


if __name__ == "__main__":
    main(tyro.cli(Args))
