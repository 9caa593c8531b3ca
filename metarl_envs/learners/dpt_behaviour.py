"""The behaviour that Decision-Pretrained Transformers collect their contexts with (Lee et al. 2023)."""

from __future__ import annotations

import numpy as np

from metarl_envs.engine import Internal, Player, exponential, kernel, randint, record
from metarl_envs.learners.choosing import draw_by, one_each_action, tell_chances, tell_log_chance


@kernel
def draw_policy(hyper, memory, params, rng):
    """In a bandit: (1 - w) x a draw of Dirichlet(1, ..., 1) + w x one arm, w any of 0, 0.1, ..., 1. Elsewhere all alike."""
    actions = len(memory.chance)
    if not memory.bandit:
        for a in range(actions):
            memory.chance[a] = 1.0 / actions
        return
    weight = randint(rng, 11) / 10.0
    total = 0.0
    for a in range(actions):
        memory.chance[a] = exponential(rng)
        total += memory.chance[a]
    favourite = randint(rng, actions)
    for a in range(actions):
        memory.chance[a] = (1.0 - weight) * memory.chance[a] / total + (weight if a == favourite else 0.0)


@kernel
def act_by_policy(hyper, memory, seen, rng):
    """An action by its chance."""
    return draw_by(memory.chance, rng)


class DPTBehaviour(Player):
    """Draws a policy at random at the start of a trial, and keeps to it: it does not learn, and sees nothing.

    In a bandit the chances of arms are (1 - w) p + w e: p is drawn from Dirichlet(1, ..., 1), e is 1 for one arm drawn
    uniformly, and w is any of 0, 0.1, ..., 1. Elsewhere all actions are alike. In Dark Room, DPT's transitions start from
    states drawn uniformly: `start="random", horizon=1` gives those.

    Source: Lee et al. 2023 (arXiv 2306.14892), its code (jon--lee/decision-pretrained-transformer, collect_data.py).
    """

    named_only = True
    observes = "observation"
    begin, act = draw_policy, act_by_policy
    internals = {
        "probabilities": Internal(tell_chances, one_each_action),
        "log_prob": Internal(tell_log_chance),
    }

    @staticmethod
    def memory(p, variant):
        """Return the chance of each action, and whether this is a bandit."""
        return record(chance=(np.float64, variant.actions), bandit=np.uint8)

    def initial_memory(self, variant):
        """It knows whether this is a bandit."""
        row = super().initial_memory(variant)
        row["bandit"] = variant.num_states == 1
        return row
