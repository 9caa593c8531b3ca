"""Masks of vector infos: which rows report a value."""

from __future__ import annotations

import numpy as np


def with_masks(values: dict[str, np.ndarray], present: np.ndarray) -> dict[str, np.ndarray]:
    """Return the arrays, each with the mask of the rows that report it, as Gymnasium's vector infos have them."""
    for name in tuple(values):
        values[f"_{name}"] = present
    return values
