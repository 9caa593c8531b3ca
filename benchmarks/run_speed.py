"""Runs: living them, and living them again from their actions, side by side."""

from __future__ import annotations

import numpy as np
from timing import Case, Effort, Table, side_by_side

from metarl_envs import boxes, tasks
from metarl_envs.histories.lives import lifetime_returns
from metarl_envs.learners import QLearning
from metarl_envs.players.lifetimes import live
from metarl_envs.players.run import Run

_LIVES, _EPISODES = 500, 100


def tables(effort: Effort) -> list[Table]:
    """A million steps of Q-learning in Dark Room, and of boxes."""
    room = tasks("DarkRoom")
    rows, seeds = room.sample(_LIVES), np.arange(_LIVES)
    steps = _LIVES * _EPISODES * room.variant.horizon

    def lived() -> Run:
        return live(QLearning(), room.variant, rows, seeds, episodes=_EPISODES)[0]

    def scored() -> np.ndarray:
        return lifetime_returns(rows, room.variant, QLearning(), seeds, episodes=_EPISODES)

    run = lived()
    in_rooms = [
        Case("Q-learning, scored only", scored, steps),
        Case("Q-learning, scored into a run", lived, steps),
        Case("the run again: scores", run.scores, steps),
        Case("the run again: observations, rewards and flags", run.columns, steps),
    ]
    few = 4 if effort.quick else 40

    def in_boxes() -> Run:
        return boxes.run("InventionBox", {"all": "greedy"}, boxes=few, agents=6, horizon=200)

    box = in_boxes()
    boxed = [
        Case("six greedy agents a box", in_boxes, few * 6 * 200),
        Case("the run again: all states", lambda: sum(1 for _ in box.replay()), few * 6 * 200),
    ]
    title = "Living and living again, all cores, M steps/s"
    return [
        side_by_side(title, f"{steps:,} steps in Dark Room", in_rooms, effort),
        side_by_side("Boxes and boxes again, M agent-steps/s", f"{few} boxes", boxed, effort),
    ]
