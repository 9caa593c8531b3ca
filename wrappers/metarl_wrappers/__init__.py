"""Wrappers for meta-RL on any Gymnasium environment. They need Gymnasium and NumPy only.

Each wrapper has a single form (`PreviousStep`) and a vector form (`VectorPreviousStep`) with equal results. Order of a
stack, from the inside out: MiniGridObservation, SeedTasks, Trial, controls (those of boundaries, ForgetEachEpisode and
HideBoundaries, last), Notebook, then PreviousStep, Context or ContextStream:

    env = gym.make("minigrid:MiniGrid-FourRooms-v0")
    env = Trial(SeedTasks(MiniGridObservation(env), split="train"), episodes_per_trial=5, keep_task="new_trial")
    env = PreviousStep(HideReward(env))

Environments of metarl_envs have tasks and trials by themselves. All wrappers record their arguments, so that
`gym.make(env.spec)` builds the stack again.

Wrappers of others that change observations (Gymnasium's `RescaleObservation`, `FlattenObservation`, ...) stand below
`Trial`, or on top. In between, the last observations of episodes would be out of their reach, so our wrappers refuse to
stand above them there. Environments of metarl_envs are then made with single episodes, and `Trial` makes the trials:

    env = gym.make("metarl_envs:MetaRL/DarkRoom-v0")
    env = RescaleObservation(DtypeObservation(env, np.float32), np.float32(0), np.float32(1))
    env = PreviousStep(Trial(env, episodes_per_trial=5, keep_task="new_trial"), flat=True)

Wrappers of actions and rewards may stand anywhere; those that make several steps in one (`RepeatAction`,
`MaxAndSkipObservation`) below `Trial` only. `SB3VecEnv` is imported when it is asked for, since it needs
Stable-Baselines3.
"""

from __future__ import annotations

import importlib
import importlib.util
from typing import TYPE_CHECKING, Any

from metarl_wrappers.context import Context as Context
from metarl_wrappers.context import ContextStream as ContextStream
from metarl_wrappers.context import VectorContext as VectorContext
from metarl_wrappers.context import VectorContextStream as VectorContextStream
from metarl_wrappers.forget_each_episode import ForgetEachEpisode as ForgetEachEpisode
from metarl_wrappers.forget_each_episode import VectorForgetEachEpisode as VectorForgetEachEpisode
from metarl_wrappers.hide_boundaries import HideBoundaries as HideBoundaries
from metarl_wrappers.hide_boundaries import VectorHideBoundaries as VectorHideBoundaries
from metarl_wrappers.hide_reward import HideReward as HideReward
from metarl_wrappers.hide_reward import VectorHideReward as VectorHideReward
from metarl_wrappers.minigrid_observation import MiniGridObservation as MiniGridObservation
from metarl_wrappers.minigrid_observation import VectorMiniGridObservation as VectorMiniGridObservation
from metarl_wrappers.negate_reward import NegateReward as NegateReward
from metarl_wrappers.negate_reward import VectorNegateReward as VectorNegateReward
from metarl_wrappers.notebook import Notebook as Notebook
from metarl_wrappers.notebook import VectorNotebook as VectorNotebook
from metarl_wrappers.permute_actions import PermuteActions as PermuteActions
from metarl_wrappers.permute_actions import VectorPermuteActions as VectorPermuteActions
from metarl_wrappers.permute_observation import PermuteObservation as PermuteObservation
from metarl_wrappers.permute_observation import VectorPermuteObservation as VectorPermuteObservation
from metarl_wrappers.previous_step import PreviousStep as PreviousStep
from metarl_wrappers.previous_step import VectorPreviousStep as VectorPreviousStep
from metarl_wrappers.reflect_reward import ReflectReward as ReflectReward
from metarl_wrappers.reflect_reward import VectorReflectReward as VectorReflectReward
from metarl_wrappers.seed_tasks import SeedTasks as SeedTasks
from metarl_wrappers.seed_tasks import VectorSeedTasks as VectorSeedTasks
from metarl_wrappers.swap_reward import SwapReward as SwapReward
from metarl_wrappers.swap_reward import VectorSwapReward as VectorSwapReward
from metarl_wrappers.trial import Trial as Trial
from metarl_wrappers.trial import VectorTrial as VectorTrial

#: The wrappers that need Gymnasium and NumPy alone, by the names of both forms.
WRAPPERS = tuple(name for name, one in sorted(vars().items()) if isinstance(one, type) and one is not Any)

if TYPE_CHECKING:
    from metarl_wrappers.sb3 import SB3VecEnv as SB3VecEnv

#: What needs a library beside Gymnasium and NumPy: the file that it is in, and the library.
BRIDGES = {"SB3VecEnv": "sb3"}
LIBRARIES = {"SB3VecEnv": "stable_baselines3"}


def __getattr__(name: str) -> Any:
    if name in BRIDGES:
        return getattr(importlib.import_module(f"metarl_wrappers.{BRIDGES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    present = [name for name, library in LIBRARIES.items() if importlib.util.find_spec(library)]
    return sorted([*globals(), *present])
