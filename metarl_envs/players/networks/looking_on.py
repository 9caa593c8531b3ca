"""Runs told again: what whoever lived them was told at each step, for others to look on."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from metarl_envs.players.run import Run
from metarl_envs.players.told import Step, null_actions


def steps_of(run: Run) -> Iterator[Step]:
    """Yield what the players of a family's run were told before each of their actions, all rows side by side.

    What is told in a row that is over means nothing.
    """
    columns = run.columns().columns
    rows, length = columns["reward"].shape
    actions = null_actions(run.variant.action_space, rows)
    reward, terminated, truncated = np.zeros(rows), np.zeros(rows, np.bool_), np.zeros(rows, np.bool_)
    for t in range(length):
        first = np.full(rows, t == 0)
        yield Step(
            observation=columns["observation"][:, t],
            previous_action=actions,
            previous_reward=reward,
            terminated=terminated,
            truncated=truncated,
            episode_start=first | terminated | truncated,
            trial_start=first,
            memory_reset=first,
        )
        actions, reward = columns["action"][:, t].astype(actions.dtype), columns["reward"][:, t].astype(np.float64)
        terminated, truncated = columns["terminated"][:, t], columns["truncated"][:, t]
