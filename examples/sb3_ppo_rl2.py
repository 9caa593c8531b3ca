"""Stable-Baselines3's PPO learns to learn inside a trial, with a network that has no memory of its own.

The network is a plain MLP. Its memory is in what it sees: `VectorContext` shows it the last `context` transitions of the trial,
so that it can learn to use, in later episodes, what it found in earlier ones. `SB3VecEnv` hands SB3 the whole vector
environment at once. To SB3 an episode is a whole trial, which is what RL² maximises.

    python examples/sb3_ppo_rl2.py                                   # trains three seeds: in all some five minutes on one core
    python examples/sb3_ppo_rl2.py --seeds 0 --total-steps 200000    # a short look

One sees the reward of a trial grow, and then a table for tasks that were never trained on: the score of the first and of the
last episode, and the gain with its interval. The control forgets at each episode and must gain nothing. Table and curves are
written to `results/sb3_ppo_rl2/`.
"""

from __future__ import annotations

import functools
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import torch
import tyro
from rich.console import Console
from stable_baselines3 import PPO
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.vec_env import VecMonitor

import metarl_envs
from metarl_envs.evaluation import joined
from metarl_envs.evaluation.report import draw_curves, table
from metarl_envs.players import Step, Wrapped
from metarl_wrappers import VectorContext, VectorForgetEachEpisode
from metarl_wrappers.sb3 import SB3VecEnv


@dataclass
class Args:
    """Everything that can be set."""

    id: str = "MetaRL/DarkRoom-v0"
    params: tuple[tuple[str, int], ...] = (("size", 5), ("horizon", 10))
    """Parameters of the family, as `--params size 5 horizon 10`."""
    episodes_per_trial: int = 4
    context: int = 40
    """Transitions that the network sees; a whole trial, if it is to forget nothing."""
    seeds: tuple[int, ...] = (0, 1, 2)
    total_steps: int = 1_000_000
    num_envs: int = 128
    n_steps: int = 80
    """Steps of each environment between two updates."""
    batch_size: int = 1024
    epochs: int = 4
    hidden: int = 128
    learning_rate: float = 1e-3
    gamma: float = 0.95
    entropy: float = 0.01
    tasks: int = 200
    """Held-out tasks to evaluate on (a finite split with fewer gives all it has)."""
    lifetimes: int = 50
    out: Path = Path("results/sb3_ppo_rl2")
    threads: int = 1


class Report(BaseCallback):
    """Says a few times how far training is."""

    def __init__(self, seed: int, updates: int):
        super().__init__()
        self.seed, self.every, self.done, self.began = seed, max(1, updates // 10), 0, time.monotonic()

    def _on_step(self) -> bool:
        return True

    def _on_rollout_end(self) -> None:
        self.done += 1
        if self.done % self.every == 0 and self.model.ep_info_buffer:
            paid = np.mean([trial["r"] for trial in self.model.ep_info_buffer])
            rate = self.num_timesteps / (time.monotonic() - self.began)
            print(f"seed {self.seed}: {self.num_timesteps:,} steps, {paid:.2f} paid in a trial, {rate:,.0f} steps/s")


def train(args: Args, seed: int) -> PPO:
    """One policy, trained on tasks of the train split."""
    params: dict[str, Any] = dict(args.params)
    envs = gym.make_vec(
        f"metarl_envs:{args.id}",
        num_envs=args.num_envs,
        split="train",
        autoreset_mode="SameStep",
        episodes_per_trial=args.episodes_per_trial,
        trial_end="terminated",  # returns do not reach past the trial: the next one is about another task
        **params,
    )
    model = PPO(
        "MultiInputPolicy",
        VecMonitor(SB3VecEnv(VectorContext(envs, args.context))),
        n_steps=args.n_steps,
        batch_size=args.batch_size,
        n_epochs=args.epochs,
        learning_rate=lambda left: args.learning_rate * left,
        gamma=args.gamma,
        ent_coef=args.entropy,
        policy_kwargs={"net_arch": [args.hidden, args.hidden]},
        seed=seed,
        device="cpu",
    )
    return model.learn(args.total_steps, callback=Report(seed, args.total_steps // (args.num_envs * args.n_steps)))


class Frozen:
    """A trained policy as an agent for `metarl_envs.evaluate`: its weights stay, its memory is the context it is shown."""

    def __init__(self, model: PPO, *, seed: int, **told: Any):
        self.model = model
        self.model.set_random_seed(seed)

    def act(self, step: Step) -> np.ndarray:
        """Draw an action in each row."""
        actions, _ = self.model.predict(step.observation)
        return actions


def main(args: Args) -> None:
    """Train each seed, evaluate all on held-out tasks, print and save."""
    torch.set_num_threads(args.threads)
    see = functools.partial(VectorContext, length=args.context)
    params: dict[str, Any] = dict(args.params)
    results = []
    for seed in args.seeds:
        agent = functools.partial(Frozen, train(args, seed))
        policies = {"PPO": Wrapped(agent, see), "forgets": Wrapped(agent, VectorForgetEachEpisode, see)}
        results.append(
            metarl_envs.evaluate(
                args.id,
                policies,
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
