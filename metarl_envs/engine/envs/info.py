"""What `info` holds: the flags of trials and episodes, and, only where it is asked for, the ground truth."""

from __future__ import annotations

from typing import Any

import numpy as np

from metarl_envs.engine.family import Variant
from metarl_envs.engine.loops.trial import (
    EPISODE_START,
    IGNORED,
    INNER_TERMINATED,
    INNER_TRUNCATED,
    OLD_TERMINATED,
    OLD_TRUNCATED,
    TERMINATED,
    TRIAL_START,
    TRUNCATED,
)
from metarl_envs.engine.truth.ground_truth import GroundTruth
from metarl_envs.engine.worlds.masks import with_masks
from metarl_envs.engine.worlds.worlds import Outcome


def single_info(flags: list[bool], final_obs: Any) -> dict[str, Any]:
    """`info` of one environment; `flags` in the order of `loops.trial.FLAGS`."""
    return {
        "trial": {
            "trial_start": flags[TRIAL_START],
            "episode_start": flags[EPISODE_START],
            "inner_terminated": flags[INNER_TERMINATED],
            "inner_truncated": flags[INNER_TRUNCATED],
            "action_ignored": flags[IGNORED],
            "final_obs": final_obs,
        }
    }


def vector_info(variant: Variant, out: Outcome, everyone: np.ndarray) -> dict[str, Any]:
    """`info` of a vector environment: every row reports every key. `everyone` is an all-True mask of the rows."""
    flags = out.flags
    trial = {
        "trial_start": flags[TRIAL_START],
        "_trial_start": everyone,
        "episode_start": flags[EPISODE_START],
        "_episode_start": everyone,
        "inner_terminated": flags[INNER_TERMINATED],
        "_inner_terminated": everyone,
        "inner_truncated": flags[INNER_TRUNCATED],
        "_inner_truncated": everyone,
        "action_ignored": flags[IGNORED],
        "_action_ignored": everyone,
        "final_obs": variant.visible(out.inner_final),
        "_final_obs": everyone,
    }
    return {"trial": trial, "_trial": everyone}


def memory_reset(variant: Variant, out: Outcome) -> np.ndarray:
    """Return which rows' agents must begin anew, bool (rows,); for variants with `memory_reset_at`.

    Where the next episode of a trial began, the last observation of the old one says it: a new one alone takes no memory.
    """
    within = out.flags[INNER_TERMINATED] | out.flags[INNER_TRUNCATED]
    return np.where(within, _forgot(variant, out.inner_final), _forgot(variant, out.observations))


def _forgot(variant: Variant, observations: np.ndarray) -> np.ndarray:
    seen, at = variant.visible(observations), variant.memory_reset_at
    return (seen[at] if isinstance(at, str) else seen[:, at]) == 1


def add_final(info: dict[str, Any], variant: Variant, out: Outcome, dense: bool, truth: GroundTruth | None) -> None:
    """Add what SAME_STEP reports of trials that ended: `final_obs` and `final_info`, with their masks.

    `truth` must still be that of the old trials.
    """
    flags = out.flags
    ended = flags[TERMINATED] | flags[TRUNCATED]
    final = variant.visible(out.final)
    never = np.zeros(len(ended), np.bool_)
    old_trial = {
        "trial_start": never,
        "episode_start": never,
        "inner_terminated": flags[OLD_TERMINATED],
        "inner_truncated": flags[OLD_TRUNCATED],
        "action_ignored": never,
        "final_obs": final,
    }
    info["final_info"] = {"trial": with_masks(old_trial, ended), "_trial": ended}
    if variant.memory_reset_at is not None:
        info["final_info"] |= {"memory_reset": _forgot(variant, out.final), "_memory_reset": ended}
    if truth is not None:
        info["final_info"] |= {"metarl": truth.info(ended), "_metarl": ended}
    info["_final_info"] = ended
    info["final_obs"] = final if dense else _objects(final, ended)
    info["_final_obs"] = ended


def _objects(final: Any, ended: np.ndarray) -> np.ndarray:
    """Final observations as Gymnasium's own vector environments have them: an array of objects, None elsewhere."""
    objects = np.full(len(ended), None, dtype=object)
    where = np.flatnonzero(ended)
    if isinstance(final, dict):
        for i in where.tolist():
            objects[i] = {name: array[i] for name, array in final.items()}
        return objects
    objects[where] = np.fromiter(final[where], dtype=object, count=len(where))
    return objects
