"""Lifetimes in families: one player, whatever its form, lives each of many tasks from ignorance on, into a run."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from metarl_envs.engine.family import Variant
from metarl_envs.engine.player import Player
from metarl_envs.histories.lives import Lives
from metarl_envs.players.factories import Made
from metarl_envs.players.feeding import Fed, FedRows
from metarl_envs.players.resolve import Anyone, described
from metarl_envs.players.rows import Rows
from metarl_envs.players.run import Run, endings_of
from metarl_envs.players.runner import Seated, play


def live(
    player: Anyone,
    variant: Variant,
    tasks: np.ndarray,
    seeds: np.ndarray,
    *,
    episodes: int,
    seed: int = 0,
    split: str | None = None,
    block: int = 0,
    made: Made | None = None,
    progress: Callable[[int], None] = lambda done: None,
) -> tuple[Run, np.ndarray]:
    """Live one lifetime on each task.

    Args:
        player: a compiled player, which is run fused; or a factory of others, which are driven through a vector environment.
        variant: the family with its parameters set.
        tasks: the task rows.
        seeds: of the noise of each lifetime, uint64; equal seeds give equal noise, whoever lives.
        episodes: in each lifetime.
        seed: of players that a batch factory makes.
        split: of the tasks, for the record.
        block: steps in a unit of the scores; 0 for one episode a unit.
        made: the players that were made before, none of which may be given out again.
        progress: called with the number of lives that ended, each time some do.

    Returns:
        The run, and what each episode (or block of steps) paid, float64 [row, unit].

    Raises:
        PlayerError: a player that is not compiled, its factory, or a wrapper that it sees through failed.
    """
    seeds = np.asarray(seeds, np.uint64)
    about: dict[str, Any] = {"variant": variant, "split": split, "episodes": episodes}
    about |= {"seats": (described(player),), "tasks": tasks, "seeds": seeds}
    if isinstance(player, Player):
        return _fused(player, variant, about, block, progress)
    alike = variant, about, progress
    table = FedRows(player, *alike) if isinstance(player, Fed) else Rows(player, *alike)
    run = play([Seated(table, [table.group(player, seed, Made() if made is None else made)])])
    return run, run.scores(block)


def _fused(
    player: Player, variant: Variant, about: dict[str, Any], block: int, progress: Callable[[int], None]
) -> tuple[Run, np.ndarray]:
    """A compiled player in a compiled loop."""
    lives = Lives(variant, player, len(about["tasks"]))
    actions = lives.room_for_actions(about["episodes"] * variant.horizon)
    scores = lives.score(about["seeds"], about["tasks"], about["episodes"], block, None, progress, actions)
    endings = endings_of(lives.worlds.view(np.ndarray)["state"])
    steps = lives.steps.copy()
    most = int(steps.max(initial=0))
    actions = actions if most == actions.shape[1] else np.ascontiguousarray(actions[:, :most])
    return Run(**about, actions=actions, steps=steps, returns=scores.sum(axis=1), endings=endings), scores
