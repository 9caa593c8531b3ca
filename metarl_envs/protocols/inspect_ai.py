"""A task for inspect_ai, one trial a sample: `inspect eval metarl_envs/trials -T id=DarkRoom --model NAME`."""

# pyright: reportMissingImports=false, reportCallIssue=false
from __future__ import annotations

from typing import Any

from inspect_ai import Task, task
from inspect_ai.dataset import MemoryDataset, Sample
from inspect_ai.model import ChatMessageUser
from inspect_ai.scorer import Score, mean, scorer, stderr
from inspect_ai.solver import solver

from metarl_envs.protocols.trials import list_trials, open_trial, outcome


@task
def trials(
    id: str = "DarkRoom",
    split: str = "test",
    tasks: int = 10,
    seed: int = 0,
    episodes_per_trial: int = 1,
    params: dict[str, Any] | None = None,
) -> Any:
    """Return a task with one sample a trial, on the first tasks of a split. See `metarl_envs.protocols.list_trials`."""
    listed = list_trials(id, split=split, tasks=tasks, seed=seed, episodes_per_trial=episodes_per_trial, **(params or {}))
    samples = [Sample(input=open_trial(trial).reset(), id=str(trial["index"]), metadata=trial) for trial in listed]
    return Task(dataset=MemoryDataset(samples, name=id), solver=play(), scorer=returns())


@solver
def play() -> Any:
    """Return a solver that lives the trial of a sample. Where memory is reset, the conversation begins anew."""

    async def solve(state: Any, generate: Any) -> Any:
        env = open_trial(state.metadata, player=str(state.model))
        env.reset()
        try:
            while not (env.done or state.completed):
                state = await generate(state)
                told = env.step(state.output.completion)
                if env.memory_reset:
                    state.messages, told = [], f"{env.rules()}\n\n{told}"
                state.messages.append(ChatMessageUser(content=told))
        finally:  # a limit of messages, tokens or time may end it at any call
            state.store.set("outcome", outcome(env))
        return state

    return solve


@scorer(metrics={"*": [mean(), stderr()]})
def returns() -> Any:
    """Return a scorer that tells what a trial paid (`return`), and where it lies from random play (0) to the oracle (1)."""

    async def score(state: Any, target: Any) -> Any:
        return Score(value=state.store.get("outcome"))

    return score
