"""Vector environments: autoreset modes, reset masks, and infos with masks."""

from __future__ import annotations

from typing import Any

import numpy as np
from gymnasium.vector import AutoresetMode, VectorEnv


def mode_of(env: VectorEnv) -> AutoresetMode:
    """The autoreset mode that a vector environment declares.

    Raises:
        ValueError: it declares none.
    """
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
    """The rows of the mask that `reset(seed=seed)` seeds: all for an integer, those not None for a sequence."""
    if seed is None:
        return np.zeros_like(mask)
    if isinstance(seed, (int, np.integer)):
        return mask
    if len(seed) != len(mask):
        raise ValueError(f"seed holds {len(seed)} seeds; num_envs is {len(mask)}")
    return mask & np.array([s is not None for s in seed])


def only(info: dict[str, Any], rows: np.ndarray) -> dict[str, Any]:
    """What the given rows (bool mask) report: the same values, with narrower masks."""
    kept = {}
    for key, value in values_of(info):
        kept[key] = only(value, rows) if isinstance(value, dict) else value
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
    """The entries of an info without the masks beside them."""
    return [(key, value) for key, value in info.items() if not (key.startswith("_") and key[1:] in info)]
