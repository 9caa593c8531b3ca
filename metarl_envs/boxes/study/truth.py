"""Whether what is written is true."""

from __future__ import annotations

import numpy as np

from metarl_envs.boxes.world.notes import MADE, A, B
from metarl_envs.boxes.world.tree import NOTHING


def are_true(recipes: np.ndarray, entries: np.ndarray) -> np.ndarray:
    """Return whether entries are true: their pairs make what they say, or make nothing where they say so.

    Args:
        recipes: of each box, int [boxes, items, recipes, 2], -1 for bases.
        entries: of each box, int [boxes, places, 4] (see `world.notes.A`); where nothing is written, the answer has no
            meaning.

    Returns:
        bool [boxes, places].
    """
    box, things = np.arange(len(recipes))[:, None], recipes.shape[1] + 1  # and nothing, the last
    pair, made, recipes = np.sort(entries[..., [A, B]], axis=-1), entries[..., MADE], np.sort(recipes, axis=-1)
    of_made = recipes[box, made]  # of nothing: those of the last item, not asked for
    true = (of_made == pair[..., None, :]).all(axis=-1).any(axis=-1)
    works = np.zeros((len(recipes), things, things), np.bool_)
    pairs = recipes.reshape(len(recipes), -1, 2)
    works[box, pairs[..., 0], pairs[..., 1]] = True
    return np.where(made == NOTHING, ~works[box, pair[..., 0], pair[..., 1]], true)
