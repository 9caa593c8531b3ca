"""What the single and the vector environment of a family have alike: their spec, and snapshots."""

from __future__ import annotations

from typing import Any

from gymnasium.envs.registration import EnvSpec

from metarl_envs.engine.envs.scoreboard import Scoreboard
from metarl_envs.engine.envs.specs import checked_spec
from metarl_envs.engine.family import Variant
from metarl_envs.engine.truth.ground_truth import GroundTruth
from metarl_envs.engine.worlds.worlds import Worlds


class FamilyEnv:
    """Stands before `gymnasium.Env` and `gymnasium.vector.VectorEnv` among the bases of a class."""

    variant: Variant
    np_random: Any
    _worlds: Worlds
    _scoreboard: Scoreboard | None
    _truth: GroundTruth | None
    _seeded: bool
    _spec: EnvSpec | None = None

    @property
    def spec(self) -> Any:
        """How `gymnasium` made it, with the arguments as they were checked (a NumPy integer is an int); None if it did not."""
        return self._spec

    @spec.setter
    def spec(self, spec: EnvSpec | None) -> None:
        self._spec = checked_spec(spec, self.variant)

    def get_state(self) -> dict[str, Any]:
        """Return an exact, picklable snapshot: put back by `set_state`, every later step repeats bit by bit."""
        return {
            **self._worlds.get_state(),
            "seeded": self._seeded,
            "np_random": self.np_random.bit_generator.state,
            "scoreboard": self._scoreboard and self._scoreboard.get_state(),
            "truth": self._truth and self._truth.get_state(),
        }

    def set_state(self, state: dict[str, Any]) -> None:
        """Go back to a snapshot of this environment or of one with the same family, parameters and rows."""
        self._worlds.set_state(state)
        self._seeded = state["seeded"]
        self.np_random.bit_generator.state = state["np_random"]
        if self._scoreboard and state["scoreboard"]:
            self._scoreboard.set_state(state["scoreboard"])
        if self._truth:
            self._truth.set_state(state["truth"])
