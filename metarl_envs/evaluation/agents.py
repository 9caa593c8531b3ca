"""Python agents: anything that acts, driven through the vector environment."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import gymnasium as gym
import numpy as np
from gymnasium.vector import VectorEnv

from metarl_envs.engine.envs.vector import FamilyVectorEnv
from metarl_envs.engine.family import Variant
from metarl_envs.task_sets import TaskSet


@dataclass(frozen=True)
class Step:
    """What an agent is told before it acts: arrays with one element a row.

    Attributes:
        observation: the batched observation, of shape (rows, ...).
        previous_action: the action of the step before. Where memory is reset there is none, and in its place stands what is
            no action: NaN for Box (of integers: the one below the lowest, or above the highest), and -1 for Discrete and
            MultiDiscrete (the one below the lowest, where actions do not start at 0). `memory_reset` tells where.
        previous_reward: what it paid, float64; 0 where memory is reset. The reward of an episode's last step is here, with the
            first observation of the next episode.
        terminated, truncated: whether that step ended an episode, and how.
        episode_start, trial_start: whether `observation` is the first of an episode, of a trial.
        memory_reset: whether the agent must forget all that was before `observation`, as at each dawn of a box with days, and
            where a trial starts. No action and no reward of before is told.
    """

    observation: np.ndarray
    previous_action: np.ndarray
    previous_reward: np.ndarray
    terminated: np.ndarray
    truncated: np.ndarray
    episode_start: np.ndarray
    trial_start: np.ndarray
    memory_reset: np.ndarray


class Agent(Protocol):
    """One lifetime in every row. Rows must not share what they learn."""

    def act(self, step: Step) -> Any:
        """One action a row."""
        ...


#: Makes an agent without any memory: called with `num_envs`, `observation_space`, `action_space` (of one row) and `seed`.
AgentFactory = Callable[..., Agent]


class Through:
    """An agent that meets the environment through wrappers: those it was trained with, and controls.

    It is scored by what is paid, whatever a control shows it, on the same tasks with the same noise as the agents beside it:

        >>> see = functools.partial(VectorPreviousStep, flat=True)
        >>> policies = {"mine": Through(MyAgent, see), "swapped reward": Through(MyAgent, VectorSwapReward, see)}

    Args:
        factory: makes the agent; it is told the spaces of the outermost wrapper.
        wrappers: vector forms of wrappers, the innermost first, each called with a vector environment alone.
    """

    def __init__(self, factory: AgentFactory, *wrappers: Callable[[VectorEnv], VectorEnv]):
        self.factory, self.wrappers = factory, wrappers

    def __call__(self, **told: Any) -> Agent:
        """Make the agent."""
        return self.factory(**told)

    def wrap(self, env: VectorEnv) -> VectorEnv:
        """The environment as the agent sees it."""
        for wrapper in self.wrappers:
            env = wrapper(env)
        return env

    def __repr__(self) -> str:
        return f"{name_of(self.factory)} through {', '.join(name_of(wrapper) for wrapper in self.wrappers)}"


def name_of(made_by: Callable) -> str:
    """What a result calls the maker of an agent or a wrapper."""
    made_by = made_by.func if isinstance(made_by, functools.partial) else made_by
    return getattr(made_by, "__qualname__", repr(made_by))


def live(
    factory: AgentFactory,
    variant: Variant,
    tasks: np.ndarray,
    seeds: np.ndarray,
    agent_seed: int,
    *,
    episodes: int,
    block: int,
    progress: Callable[[int], None] = lambda done: None,
    watch: Callable[[np.ndarray, np.ndarray], None] | None = None,
) -> np.ndarray:
    """One lifetime of a fresh agent on each task: what each episode (or block of steps) paid, as float64 [task, unit].

    `watch` is called with the actions that the environment takes in each step, beneath all wrappers, and with what they paid.
    """
    rows = len(tasks)
    env: VectorEnv = _watched(watch)(
        TaskSet.of_family(variant.family, **variant.values),  # the tasks themselves are given at the reset
        num_envs=rows,
        episodes_per_trial=episodes,
        autoreset_mode="SameStep",
    )
    if isinstance(factory, Through):
        env = factory.wrap(env)
    agent = factory(
        num_envs=rows,
        observation_space=env.single_observation_space,
        action_space=env.single_action_space,
        seed=agent_seed,
    )
    # Gymnasium's vector wrappers pass lists of seeds on, though they are typed for one number.
    row_seeds: Any = [int(seed) for seed in seeds]
    observation, info = env.reset(seed=row_seeds, options={"task": list(tasks)})
    null = _null_actions(env)
    step = _step(observation, null, np.zeros(rows), info)
    scores = np.zeros((rows, episodes if block == 0 else -(-variant.horizon // block)))
    alive, episode, t = np.ones(rows, np.bool_), np.zeros(rows, np.int64), np.zeros(rows, np.int64)
    while alive.any():
        actions = np.asarray(agent.act(step))
        observation, reward, terminated, truncated, info = env.step(actions)
        unit = episode if block == 0 else t // block
        scores[np.flatnonzero(alive), unit[alive]] += _paid(reward, info)[alive]
        ended = _true(info, "episode_start")
        episode += ended
        t = np.where(ended, 0, t + 1)
        over = terminated | truncated
        progress(int((alive & over).sum()))
        alive &= ~over
        step = _step(observation, actions, reward, info, null)
    env.close()
    return scores


def _watched(watch: Callable[[np.ndarray, np.ndarray], None] | None) -> type[FamilyVectorEnv]:
    """The vector environment, or one that tells what is done in it, whatever wrappers make of an agent's actions."""
    if watch is None:
        return FamilyVectorEnv

    class Watched(FamilyVectorEnv):
        def step(self, actions: Any) -> tuple:
            result = super().step(actions)
            watch(np.asarray(actions), result[1])
            return result

    return Watched


def _step(
    observation: np.ndarray, actions: np.ndarray, reward: np.ndarray, info: dict[str, Any], null: np.ndarray | None = None
) -> Step:
    """What the agent is told; nothing of an old trial reaches a new one, nor anything of a day the next."""
    trial = info["trial"]
    forgets = trial["trial_start"] | info.get("memory_reset", False)
    if null is not None:
        fits = forgets.reshape(-1, *[1] * (actions.ndim - 1))
        actions, reward = np.where(fits, null, actions), np.where(forgets, 0.0, reward)
    return Step(
        observation=observation,
        previous_action=actions,
        previous_reward=reward,
        terminated=trial["inner_terminated"].copy(),
        truncated=trial["inner_truncated"].copy(),
        episode_start=trial["episode_start"].copy(),
        trial_start=trial["trial_start"].copy(),
        memory_reset=forgets,
    )


def _paid(reward: np.ndarray, info: dict[str, Any]) -> np.ndarray:
    """What was paid, which a control may hide."""
    return info.get("metarl_control", {}).get("reward", reward)


def _true(info: dict[str, Any], flag: str) -> np.ndarray:
    """A flag of the trial as it is, which a control may hide."""
    return info.get("metarl_control", {}).get(flag, info["trial"][flag])


def _null_actions(env: VectorEnv) -> np.ndarray:
    """Return what stands for no action in each row: something outside of the action space."""
    space, actions = env.single_action_space, np.asarray(env.action_space.sample())
    if not isinstance(space, gym.spaces.Box):
        return np.full_like(actions, np.asarray(getattr(space, "start", 0)) - 1)
    if np.issubdtype(actions.dtype, np.floating):
        return np.full_like(actions, np.nan)
    holds = np.iinfo(actions.dtype)
    below, above = space.low > holds.min, space.high < holds.max
    if not (below | above).all():
        raise ValueError(f"action space {space} uses every number of its dtype: none is left to say that there was no action")
    return np.full_like(actions, np.where(below, space.low - 1, space.high + 1).astype(actions.dtype))
