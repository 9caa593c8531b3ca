"""A first look: episodes on one hidden task, what is told of them, many environments at once, given tasks, ground truth.

    python examples/quickstart.py
    python examples/quickstart.py --id MetaRL/TMaze-v0 --episodes 3

One sees ten episodes of a random policy in a Dark Room, all on one hidden goal; thousands of trials at once, and how fast they
go; a task chosen by its number; and what an agent must not see: the task, what random and oracle earn on it, and what each
action is worth.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

import gymnasium as gym
import numpy as np
import tyro
from rich.console import Console
from rich.table import Table

import metarl_envs

console = Console(highlight=False)


@dataclass
class Args:
    """Everything that can be set."""

    id: str = "MetaRL/DarkRoom-v0"
    episodes: int = 10
    """In a trial: on one hidden task."""
    num_envs: int = 4096
    steps: int = 200
    """Of all environments at once."""
    seed: int = 0


def live_a_trial(env: gym.Env, seed: int) -> Table:
    """Random actions for a whole trial. Only its last step is terminated or truncated; `info["trial"]` tells of the others."""
    table = Table("episode", "steps", "return", "how it ended", box=None, padding=(0, 3, 0, 0))
    env.action_space.seed(seed)
    env.reset(seed=seed)  # a new trial: a new hidden task
    over, episode, steps, earned = False, 0, 0, 0.0
    while not over:
        _, reward, terminated, truncated, info = env.step(env.action_space.sample())
        over, steps, earned = terminated or truncated, steps + 1, earned + float(reward)
        trial = info["trial"]
        if trial["inner_terminated"] or trial["inner_truncated"]:
            table.add_row(str(episode), str(steps), f"{earned:g}", "terminated" if trial["inner_terminated"] else "truncated")
            episode, steps, earned = episode + 1, 0, 0.0
    return table


def live_many(args: Args) -> None:
    """A vector environment: row i, seeded s, equals the single environment seeded s + i."""
    envs = gym.make_vec(
        f"metarl_envs:{args.id}", num_envs=args.num_envs, autoreset_mode="SameStep", episodes_per_trial=args.episodes
    )
    envs.action_space.seed(args.seed)
    envs.reset(seed=args.seed)
    actions = [envs.action_space.sample() for _ in range(args.steps + 1)]
    envs.step(actions[-1])
    began, paid = time.perf_counter(), 0.0
    for action in actions[:-1]:
        _, rewards, _, _, _ = envs.step(action)
        paid += rewards.mean()
    rate = args.steps * args.num_envs / (time.perf_counter() - began)
    console.print(f"{args.num_envs:,} trials, each on a task of its own: {rate / 1e6:,.0f} million steps a second")
    console.print(f"paid by a step, in the mean over all: {paid / args.steps:.4f}\n")


def look_at_the_truth(args: Args) -> None:
    """A held-out task, chosen by its number; with `ground_truth=True`, `info["metarl"]` says what it is."""
    tasks = metarl_envs.tasks(args.id)
    if tasks.parts:
        tasks = metarl_envs.tasks(args.id, split="test")
    console.print(f"{tasks!r}\nfingerprint {tasks.fingerprint}, for result files\n", soft_wrap=True)
    env = gym.make(f"metarl_envs:{args.id}", ground_truth=True, render_mode="ansi", reveal=True)
    env.reset(seed=args.seed, options={"task": tasks[0]})
    *_, info = env.step(env.action_space.sample())
    truth = Table("truth", "of task 0", box=None, padding=(0, 3, 0, 0))
    for name, value in info["metarl"].items():
        if np.size(value) <= 20:  # a posterior over many tasks would fill the screen
            truth.add_row(name, str(np.round(value, 3)) if np.asarray(value).dtype.kind == "f" else str(value))
    console.print(truth)
    console.print(f"\n{env.render()}", markup=False)


def main(args: Args) -> None:
    """Go through it all."""
    console.rule(f"{args.id}: a trial of {args.episodes} episodes")
    env = gym.make(f"metarl_envs:{args.id}", episodes_per_trial=args.episodes)
    console.print(f"observations {env.observation_space}, actions {env.action_space}\n")
    console.print(live_a_trial(env, args.seed), "")
    _, info = env.reset()
    console.print('info["trial"] at the first observation of the next trial:', info["trial"], "", sep="\n")
    console.rule("many at once")
    live_many(args)
    console.rule("tasks and ground truth")
    look_at_the_truth(args)


if __name__ == "__main__":
    main(tyro.cli(Args))
