"""Vector environments: autoreset modes, reset masks, and infos with masks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from gymnasium.vector import AutoresetMode, VectorEnv, VectorWrapper
from gymnasium.wrappers.vector import DictInfoToList


def mode_of(env: VectorEnv) -> AutoresetMode:
    """Return the autoreset mode that a vector environment declares; it must be one that our wrappers can stand on.

    Raises:
        ValueError: it declares none, or tells its infos as lists.
    """
    below = env
    while isinstance(below, VectorWrapper):
        if isinstance(below, DictInfoToList):
            raise ValueError(f"{env} tells infos as lists, which only the outermost wrapper can do: put DictInfoToList on top")
        below = below.env
    mode = env.metadata.get("autoreset_mode")
    if mode is None:
        raise ValueError(f"{env} does not say how it resets: its metadata lacks 'autoreset_mode'")
    return AutoresetMode(mode)


def require_disabled(env: VectorEnv, wrapper: str) -> None:
    """Refuse an environment that resets rows by itself, because `wrapper` must say how each row is reset."""
    mode = mode_of(env)
    if mode is not AutoresetMode.DISABLED:
        raise ValueError(
            f"{wrapper} resets rows itself, so it needs an environment with autoreset_mode=AutoresetMode.DISABLED, not {mode}: "
            "gymnasium.make_vec(..., vectorization_mode='sync', vector_kwargs={'autoreset_mode': AutoresetMode.DISABLED})"
        )


def as_mode(mode: AutoresetMode | str) -> AutoresetMode:
    """An autoreset mode from itself or its value.

    Raises:
        ValueError: there is no such mode.
    """
    try:
        return AutoresetMode(mode)
    except ValueError:
        allowed = ", ".join(f"AutoresetMode.{m.name} ({m.value!r})" for m in AutoresetMode)
        raise ValueError(f"autoreset_mode={mode!r} must be one of {allowed}") from None


def reset_mask(options: dict[str, Any] | None, count: int) -> np.ndarray:
    """The rows that a reset with these options is for, as a bool array of its own.

    Raises:
        ValueError: `options["reset_mask"]` is no bool array of that length with at least one True.
    """
    mask = (options or {}).get("reset_mask")
    if mask is None:
        return np.ones(count, np.bool_)
    if not isinstance(mask, np.ndarray) or mask.dtype != np.bool_ or mask.shape != (count,) or not mask.any():
        raise ValueError(f"options['reset_mask'] must be a bool array of shape ({count},) with at least one True; got {mask!r}")
    return mask.copy()


def seeded_rows(seed: Any, mask: np.ndarray) -> np.ndarray:
    """Return the rows of the mask that `reset(seed=seed)` seeds: all for an integer, those not None for a sequence.

    Raises:
        TypeError: `seed` is neither None, nor an integer, nor a sequence.
        ValueError: it is a sequence of another length.
    """
    if seed is None:
        return np.zeros_like(mask)
    if isinstance(seed, (int, np.integer)):
        return mask
    if not (isinstance(seed, Sequence) or (isinstance(seed, np.ndarray) and seed.ndim == 1)):
        raise TypeError(f"seed={seed!r} must be an integer of at least 0, or a sequence with one for each row")
    if len(seed) != len(mask):
        raise ValueError(f"seed holds {len(seed)} seeds; num_envs is {len(mask)}")
    return mask & np.array([s is not None for s in seed])


def only(info: dict[str, Any], rows: np.ndarray) -> dict[str, Any]:
    """What the given rows (bool mask) report: the same values, with narrower masks."""
    kept = {}
    for key, value in values_of(info):
        told_of_parts = isinstance(value, dict) and key != "final_obs"  # an observation has no masks
        kept[key] = only(value, rows) if told_of_parts else value
        kept[f"_{key}"] = info.get(f"_{key}", True) & rows
    return kept


def overlay(info: dict[str, Any], newer: dict[str, Any]) -> dict[str, Any]:
    """An info in which every row reports what `newer` says of it, and what `info` says where `newer` is silent."""
    merged = dict(info)
    for key, value in values_of(newer):
        if key not in info:
            merged[key] = value
            merged[f"_{key}"] = newer.get(f"_{key}")
            continue
        there = newer[f"_{key}"]
        if isinstance(value, dict):
            merged[key] = overlay(info[key], value)
        else:
            merged[key] = info[key].copy()
            merged[key][there] = value[there]
        merged[f"_{key}"] = info[f"_{key}"] | there
    return merged


def values_of(info: dict[str, Any]) -> list[tuple[str, Any]]:
    """Return the entries of an info without the masks beside them. Keys may be anything, as observations' keys may."""
    masks = {f"_{key}" for key in info}
    return [(key, value) for key, value in info.items() if key not in masks]
