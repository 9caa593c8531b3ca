"""Tasks and an environment for verifiers: `vf-eval metarl-verifiers -m NAME`."""

# pyright: reportMissingImports=false
from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import verifiers.v1 as vf

from metarl_envs.protocols.trials import list_trials, open_trial, outcome

__all__ = ["TextTrials", "TextTrialsEnv"]


class TrialData(vf.TaskData):
    """One task of verifiers: a trial, and what a player is told first."""

    trial: dict[str, Any]


class TrialTask(vf.Task[TrialData, vf.State, vf.TaskConfig]):
    """A trial. The environment scores it."""


class TrialsConfig(vf.TasksetConfig):
    """Which trials there are. See `metarl_envs.protocols.list_trials`."""

    family: str = "DarkRoom"
    split: str = "train"
    tasks: int = 10
    seed: int = 0
    episodes_per_trial: int = 1
    params: dict[str, Any] = {}


class TextTrials(vf.Taskset[TrialTask, TrialsConfig]):
    """Trials on the first tasks of a split."""

    def load(self) -> Iterator[TrialTask]:
        """Yield the tasks."""
        config = self.config
        where = {"split": config.split, "tasks": config.tasks, "seed": config.seed}
        for trial in list_trials(config.family, **where, episodes_per_trial=config.episodes_per_trial, **config.params):
            name = f"{trial['id']} {trial['split']} {trial['index']}"
            yield TrialTask(TrialData(name=name, prompt=open_trial(trial).reset(), trial=trial), config.task)


#: Who plays where nobody says another: a chat without tools, which can run nothing, in a process of this machine.
CHAT = vf.AgentConfig(harness={"id": "null"}, runtime={"type": "subprocess"})


class PlayerConfig(vf.EnvConfig):
    """Who plays."""

    player: vf.AgentConfig = CHAT


class TextTrialsEnv(vf.Env[PlayerConfig]):
    """Plays the trial of a task, in one conversation; in boxes a new one begins at each dawn and each birth."""

    async def run(self, task: TrialTask, agents: vf.Agents) -> None:
        """Play. The reward of each conversation is what was paid in it, so that those of a trial add up to what it paid."""
        env = open_trial(task.data.trial, player="verifiers")
        prompt, silent = env.reset(), False
        while not (env.done or silent):
            before = env.total
            asked = type(task)(task.data.model_copy(update={"prompt": prompt}), task.config)
            async with agents.player.interaction(asked) as conversation:
                segment = await conversation.turn()
                while not (silent := segment.terminated):
                    told = env.step(segment.last_reply)
                    if env.done or env.memory_reset:
                        prompt = f"{env.rules()}\n\n{told}"
                        break
                    segment = await conversation.turn(told)
                if env.done or silent:
                    came = {name: value for name, value in outcome(env).items() if math.isfinite(value)}
                    conversation.trace.record_metrics(came)
                conversation.trace.record_reward("paid", env.total - before)
