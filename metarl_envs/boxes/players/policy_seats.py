"""Python policies in the seats of boxes: built anew whenever memory is reset, and whoever fails is named."""

from __future__ import annotations

import operator
import weakref
from collections.abc import Callable
from typing import Any

import numpy as np

from metarl_envs.boxes.scenarios.box import agent_spaces
from metarl_envs.boxes.view.numbers import view_length
from metarl_envs.engine.family import Variant
from metarl_envs.engine.worlds.worlds import Worlds


class PolicyError(RuntimeError):
    """A policy failed in the middle of `metarl_envs.boxes.run`; `__cause__` is what it raised.

    Nothing that was played is lost: `run` holds all boxes up to the step before, and can be measured, replayed and saved like
    any other.

    Attributes:
        box: which box, from 0.
        seat: which seat, from 0.
        step: how many steps all boxes had made.
        run: these steps, as a `metarl_envs.boxes.Run`, or None where the policy was not in a run.
    """

    run: Any = None

    def __init__(self, message: str, box: int, seat: int, step: int):
        super().__init__(message, box, seat, step)
        self.box, self.seat, self.step = box, seat, step

    def __str__(self) -> str:
        return self.args[0]


class Built:
    """All policies that were built in a run, so that none is given out twice. What nobody else holds is let go."""

    def __init__(self):
        self._by_id: dict[int, Callable[[], Any]] = {}

    def is_new(self, policy: Any) -> bool:
        """Whether this very object is given out for the first time; from now on it is not."""
        if (known := self._by_id.get(id(policy))) and known() is policy:
            return False
        try:
            self._by_id[id(policy)] = weakref.ref(policy)
        except TypeError:  # it cannot be watched from outside, so it is kept
            self._by_id[id(policy)] = lambda: policy
        return True


class PolicySeats:
    """Python policies in some seats of many boxes: one for each seat, built anew whenever its memory is reset.

    Args:
        factory: builds a policy, see `metarl_envs.boxes.run`.
        variant: the box.
        seats: which of its seats.
        seeds: of the boxes, uint64 [boxes].
        built: the policies that were built already; shared by all factories of a run.
    """

    def __init__(self, factory: Callable[..., Any], variant: Variant, seats: list[int], seeds: np.ndarray, built: Built):
        self._factory, self._seats, self._seeds, self._built = factory, seats, seeds, built
        self._view = view_length(variant.p)
        self._variant, self._actions = variant, int(variant.action.high[0]) + 1
        self._policies: dict[tuple[int, int], Any] = {}

    def __call__(self, worlds: Worlds, observations: np.ndarray, actions: np.ndarray) -> None:
        """Write the actions of these seats into `actions`, int64 [boxes, agents].

        Raises:
            PolicyError: a factory or a policy raised an error, or did what it must not.
        """
        states = worlds.worlds["state"]
        for b in range(len(actions)):
            for i in self._seats:
                t = int(states["t"][b])
                try:
                    actions[b, i] = self._action(b, i, t, bool(states["forgot"][b, i]), np.asarray(observations[b, i]))
                except Exception as error:
                    problem = f"{type(error).__name__}: {error}".removesuffix(": ")
                    raise PolicyError(f"seat {i} of box {b} failed at step {t} ({problem})", b, i, t) from error

    def _action(self, b: int, i: int, t: int, forgot: bool, seen: np.ndarray) -> int:
        """What the policy in seat i of box b does."""
        if forgot:
            self._policies.pop((b, i), None)
            self._policies[b, i] = self._build(b, i, t)
        observation = {"observation": seen[: self._view].copy(), "action_mask": seen[self._view :].astype(np.int8)}
        return self._checked(self._policies[b, i].act(observation, {"memory_reset": forgot}))

    def _build(self, b: int, i: int, t: int) -> Any:
        """A new policy for seat i of box b. Its spaces are fresh, or the last one could have left something in them."""
        observation_space, action_space = agent_spaces(self._variant)
        policy = self._factory(
            seat=i,
            action_space=action_space,
            observation_space=observation_space,
            seed=int(np.random.SeedSequence([int(self._seeds[b]), i, t]).generate_state(1)[0]),
        )
        if not self._built.is_new(policy):
            raise ValueError(
                "its factory returned an object again that was returned before: whoever must forget has to be built anew each "
                "time, and nobody sits in two seats"
            )
        return policy

    def _checked(self, action: Any) -> int:
        """The action as an integer, if it is one of the box; else ValueError."""
        try:
            number = operator.index(action.item() if isinstance(action, np.ndarray) and action.size == 1 else action)
        except TypeError:
            number = -1
        if not 0 <= number < self._actions:
            raise ValueError(f"the policy chose {action!r}: actions are integers from 0 to {self._actions - 1}")
        return number
