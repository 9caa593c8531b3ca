"""Masks of vector infos: which rows report a value."""

from __future__ import annotations

from typing import Any

import numpy as np


def with_masks(values: dict[str, Any], present: np.ndarray) -> dict[str, Any]:
    """Return the arrays, each with the mask of the rows that report it, as Gymnasium's vector infos have them."""
    for name in tuple(values):
        values[f"_{name}"] = present
    return values
