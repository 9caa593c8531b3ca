"""Compiled players that see a family through wrappers: one turn at a time, and otherwise as in a compiled loop."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np

from metarl_envs.engine.family import Variant
from metarl_envs.engine.loops.life import LOST, PlayerArrays, fault_of
from metarl_envs.engine.loops.turns import TurnArrays, turn_driver
from metarl_envs.engine.player import Player
from metarl_envs.engine.records import for_drivers, rows
from metarl_envs.engine.streams import LEARNER, STREAM, keyed
from metarl_envs.players.told import Step


def why_not_stepwise(player: Player, variant: Variant, spaces: tuple[Any, Any]) -> str | None:
    """Return why a compiled player cannot see a family through wrappers that show these spaces; None where it can."""
    name = type(player).__name__
    if player.observes not in ("state", "observation"):
        return f"{name} looks at the world itself, and not through wrappers"
    if player.observes == "state" and variant.kernel("state_index_in_task") is not None:
        return f"{name} is told the number of an observation by the task in {variant.name}, and wrappers do not show the task"
    if variant.observation.is_row:
        return f"{name} sees arrays through wrappers, and observations of {variant.name} are {variant.observation_space}"
    for shown, own in zip(spaces, (variant.observation_space, variant.action_space), strict=True):
        if shown != own:
            return f"{name} needs {own}, as {variant.name} has it, and the wrappers show {shown}"
    return player.why_unsuitable(variant)


class Turns:
    """A compiled player in each row. Where memory is reset it begins anew, whoever says so: the environment or a control.

    Args:
        player: see `why_not_stepwise`.
        variant: where it lives.
        seeds: of the lives, uint64: it draws what it would draw in a compiled loop.
    """

    def __init__(self, player: Player, variant: Variant, seeds: np.ndarray):
        self._player, self._variant, count = player.bind(variant), variant, len(seeds)
        self._blank = self._player.initial_memory(variant)
        self._memories = rows(count, self._player.memory(self._player.p, variant), "players")
        self._streams = rows(count, STREAM)
        self._streams["s"] = np.array([keyed(seed, LEARNER, 0, 0) for seed in seeds], np.uint64)
        seen = variant.observations(2 * count)
        self._before = seen.reshape(count, 2, *seen.shape[1:])
        self._seen, self._then = variant.observations(count), variant.observations(count)
        self._slots = for_drivers(np.zeros((count, *variant.action.shape), variant.action.dtype))
        self._actions = for_drivers(np.zeros((count, 1, *variant.action.shape), variant.action.dtype))
        nothing = for_drivers(np.zeros((count, 0, *variant.action.shape), variant.action.dtype))
        self._arrays = PlayerArrays(
            self._player.hyper, self._memories, self._streams, self._before, self._slots, variant.action.bounds(), nothing
        )

    def act(self, step: Step, finals: Any, active: np.ndarray) -> np.ndarray:
        """One action a row.

        Args:
            step: what they are told.
            finals: the last observation of each episode that ended, [row, ...].
            active: the rows that are not over.

        Raises:
            ValueError: an observation has no index, since a wrapper shows something else than there is.
        """
        begins = np.ascontiguousarray(step.memory_reset | step.trial_start)
        done = self._actions.view(np.ndarray)
        done[~begins, 0] = step.previous_action[~begins]  # what it is told that it did, which it may not have chosen
        self._memories.view(np.ndarray)[begins] = self._blank
        shape, ended = self._seen.shape, step.terminated | step.truncated
        self._seen.view(np.ndarray)[...] = np.asarray(step.observation).reshape(shape)
        beside = ended.reshape(-1, *[1] * (len(shape) - 1))
        self._then.view(np.ndarray)[...] = np.where(beside, np.asarray(finals).reshape(shape), self._seen.view(np.ndarray))
        turn = TurnArrays(
            seen=self._seen,
            then=self._then,
            rewards=_as_driven(step.previous_reward.astype(np.float64)),
            terminated=_as_driven(step.terminated),
            truncated=_as_driven(step.truncated),
            begins=_as_driven(begins),
            active=_as_driven(active),
            actions=self._actions,
        )
        states = self._variant.num_states or 0
        code = _driver(self._variant, type(self._player))(
            self._variant.params, states, *self._arrays, *turn, 0, len(self._memories)
        )
        if code:
            raise self._fault(code)
        self._before.view(np.ndarray)[:, 0] = self._seen.view(np.ndarray)
        return self._actions.view(np.ndarray)[:, 0].copy()

    def _fault(self, code: int) -> ValueError:
        what, row = fault_of(code)
        name = type(self._player).__name__
        if what == LOST:
            return ValueError(f"{name} is shown an observation in row {row} that has no index in {self._variant.name}")
        return ValueError(f"{name} chose an action in row {row} that is none of {self._variant.name}")


def _as_driven(array: np.ndarray) -> np.ndarray:
    return for_drivers(np.ascontiguousarray(array))


@functools.lru_cache(maxsize=256)
def _driver(variant: Variant, player: type[Player]) -> Callable:
    return turn_driver(variant, player)
