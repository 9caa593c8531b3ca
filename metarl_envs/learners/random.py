"""The random policy: the zero of every scale."""

from __future__ import annotations

import numpy as np

from metarl_envs.engine import Learner, kernel, randint, record


@kernel
def act_uniformly(hyper, memory, seen, rng):
    """Any action, all alike."""
    return randint(rng, memory.actions.shape[0])


class Random(Learner):
    """Takes every action with the same chance, and learns nothing."""

    sees = "observation"
    act = act_uniformly

    @staticmethod
    def memory(p, variant):
        """One unused byte an action: the shape says how many there are."""
        return record(actions=(np.uint8, variant.actions))
