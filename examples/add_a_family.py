"""A family of your own in one file: defined, registered, checked, run, and evaluated.

    python examples/add_a_family.py --help
    python examples/add_a_family.py --episodes 200

CONTRIBUTING.md goes through the first half of this file line by line.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import dataclass, fields

import gymnasium as gym
import numpy as np
from gymnasium.spaces import Discrete
from rich.console import Console

import metarl_envs
from metarl_envs.engine import Family, Integer, Parameters, UniformTasks, canvas, kernel, oracle, record
from metarl_envs.evaluation.report import table


# ------------------------------------------------------------------------------------------ what happens, in kernels
@kernel
def nothing_pressed(params, task, state, rng):
    """Start an episode with no right press."""
    state.right = 0


@kernel
def press(params, task, state, action, rng):
    """Press a button. The right one leads on, a wrong one leads back; the last one opens the lock, which then locks again."""
    state.right = state.right + 1 if action == task.code[state.right] else 0
    opened = state.right == params.length
    if opened:
        state.right = 0
    return 1.0 * opened, False


@kernel
def see_right_presses(params, task, state, obs):
    """See how many presses in a row were right."""
    obs[0] = state.right


@kernel
def press_the_code(hyper, memory, params, task, state, rng):
    """Press the next button of the code."""
    return task.code[state.right]


# ------------------------------------------------------------------------------------------ what it is, in one class
class Lock(Family):
    """A lock with buttons. It opens when its code is pressed, the same code for the whole trial, and locks again.

    Hidden:
        The code: `length` presses, each of them any of the buttons (64 codes).

    Observation:
        `Discrete(length)`: how many presses in a row were right.

    Actions:
        `Discrete(buttons)`: the button to press.

    Reward:
        1 when the lock opens, else 0.

    Episode:
        Starts with no right press. Truncated after `horizon` steps; never terminates.

    Parameters:
        buttons: how many buttons. length: presses in the code. horizon: steps an episode.

    Splits:
        train (41 codes), validation (9) and test (14), by a hash of the code.

    References:
        Return of an episode: random 0.337 on every code (exact); oracle 10 (horizon // length).

    Source and variants:
        An example. A chain in which one action leads on and all others lead back is an old test of exploration.
    """

    params = Parameters(buttons=Integer(4, 2, 8), length=Integer(3, 1, 4), horizon=Integer(30, 1))
    task = UniformTasks(code=(np.int8, "buttons", "length"))
    state = record(right=np.int32)
    reset, step, observe = nothing_pressed, press, see_right_presses
    references = {"oracle": oracle(press_the_code)}
    binary_reward = True

    @staticmethod
    def spaces(p):
        """Right presses; buttons."""
        return Discrete(p.length), Discrete(p.buttons)

    @staticmethod
    def draw(picture, p, state, task):
        """One light for each press of the code, and the code where it is shown."""
        step = canvas.WORLD / (p.length + 1)
        for place in range(p.length):
            x, y = (place + 1) * step, canvas.WORLD / 2
            picture.circle(x, y, 0.3 * step, canvas.GOOD if place < state.right else canvas.FLOOR)
            if task is not None:
                picture.text(x, y - 14, str(task.code[place]), size=28, align="center")


metarl_envs.register("Mine/Lock-v0", "add_a_family:Lock")


# ------------------------------------------------------------------------------------------ what can be done with it
@dataclass
class Args:
    """What the command line may change."""

    seed: int = 0
    episodes: int = 50  # in a trial
    tasks: int = 100  # at most; they are held out
    seeds: int = 5
    num_envs: int = 4096
    steps: int = 2000  # of all of them, for the speed


def parse(args: type[Args]) -> Args:
    """Read the command line: one option a field."""
    parser = argparse.ArgumentParser(formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    for field in fields(args):
        parser.add_argument(f"--{field.name.replace('_', '-')}", type=type(field.default), default=field.default, help=" ")
    return args(**vars(parser.parse_args()))


def main(args: Args) -> None:
    """Check, run, time, and evaluate."""
    from metarl_envs.testing import check_family

    check_family("add_a_family:Mine/Lock-v0")
    print("check_family has nothing to say\n")

    env = gym.make("Mine/Lock-v0", split="train", episodes_per_trial=3, render_mode="ansi")
    env.reset(seed=args.seed)
    env.action_space.seed(args.seed)
    done = False
    while not done:
        _, _, terminated, truncated, _ = env.step(env.action_space.sample())
        done = terminated or truncated
    print(env.render(), "\n")

    envs = gym.make_vec("Mine/Lock-v0", num_envs=args.num_envs, episodes_per_trial=args.episodes)
    envs.reset(seed=args.seed)
    envs.action_space.seed(args.seed)
    actions = [envs.action_space.sample() for _ in range(100)]
    envs.step(actions[0])
    start = time.perf_counter()
    for i in range(args.steps):
        envs.step(actions[i % 100])
    rate = args.steps * args.num_envs / (time.perf_counter() - start)
    print(f"{rate / 1e6:.0f} million steps a second in {args.num_envs} environments\n")

    policies = ["random", "q_learning", "oracle"]
    result = metarl_envs.evaluate("Mine/Lock-v0", policies, tasks=args.tasks, episodes=args.episodes, seeds=args.seeds)
    Console().print(table(result))


if __name__ == "__main__":
    main(parse(Args))
