"""What an agent does when it has looked on at a life that is over: its own, another task's, its own in another order."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from metarl_envs.evaluation import controls
from metarl_envs.evaluation.beyond import fifth_of
from metarl_envs.evaluation.result import Result
from metarl_envs.players.feeding import Fed, Past, why_not_fed
from metarl_envs.players.resolve import Anyone
from metarl_envs.players.run import Run

_AGENT = "agent"


@dataclass(frozen=True)
class Feeding:
    """What the agent does when it has looked on at a life that is over, or why it cannot.

    Attributes:
        scores: normalised, by what it was fed, [seed, task, lifetime, unit].
        intact: those of the intact agent in the same units, or in what stands for them.
        why_not: why it cannot be fed; empty where it can.
    """

    scores: dict[str, np.ndarray]
    intact: np.ndarray
    why_not: str = ""

    @classmethod
    def of(cls, first: Result, models: list[Anyone], episodes: int, score: Callable) -> Feeding:
        """Feed the agent half of a life (a whole one where it is one episode), and let it live on for a tenth of one."""
        run, intact = first.runs[_AGENT][:: first.raw[_AGENT].shape[2]], first.normalised(_AGENT)
        why_not = next(filter(None, (why_not_fed(model, run.variant) for model in models)), "")
        told, then = max(1, episodes // 2), max(1, episodes // 10)
        early = slice(None) if episodes > 1 or first.is_cumulative else slice(fifth_of(intact.shape[-1]))
        if episodes > 1:
            intact = intact[..., told : told + then]
        elif not first.is_cumulative:
            intact = intact[..., -fifth_of(intact.shape[-1]) :]
        if why_not:
            return cls({}, intact, why_not)
        pasts = controls.pasts_of(run, tasks=len(first.scale.random), episodes=told)
        forms = {name: functools.partial(_feeding, run, past) for name, past in pasts.items()}
        found = score(forms, then, lifetimes=1)
        return cls({name: found.normalised(name)[..., early] for name in pasts}, intact)


def _feeding(run: Run, past: Past, model: Anyone) -> Anyone:
    return Fed(model, run, past)
