"""Who sees whom in a box, who visits whom, and what is copied of what one sees."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np

from metarl_envs.boxes.world.core import COPYING, REAL, WANDERING
from metarl_envs.boxes.world.mechanism import Mechanism, Numbers
from metarl_envs.boxes.world.tree import NOTHING
from metarl_envs.boxes.world.verbs import Verb
from metarl_envs.engine import Choice, Integer, Real, kernel, randint, uniform
from metarl_envs.engine.streams import keyed

#: `topology`, in the order of its numbers.
TOPOLOGIES = ("isolated", "ring", "full", "caveman", "dynamic", "chosen")
ISOLATED, RING, FULL, CAVEMAN, DYNAMIC, CHOSEN = range(6)


@kernel
def home_of(params, agent):
    """The group that an agent belongs to."""
    return agent // params.group


@kernel
def groups_in(params):
    """How many groups there are; the last may be smaller."""
    return (params.agents + params.group - 1) // params.group


@kernel
def sees(params, state, i, j):
    """Whether agent i sees what agent j does.

    Ring: its two neighbours. Caveman: its group, and the last of each group sees, and is seen by, the first of the next.
    Dynamic: whoever is in the same group now. Chosen: whom it visits.
    """
    if i == j or params.topology == ISOLATED:
        return False
    if params.topology == RING:
        apart = (i - j) % params.agents
        return apart == 1 or apart == params.agents - 1
    if params.topology == CAVEMAN:
        home, other = home_of(params, i), home_of(params, j)
        return home == other or bridges(params, i, j) or bridges(params, j, i)
    if params.topology == DYNAMIC:
        return state.where[i] == state.where[j]
    if params.topology == CHOSEN:
        return state.where[i] == j
    return True


@kernel
def bridges(params, i, j):
    """Whether i is the last of its group and j the first of the next one, around."""
    last = i % params.group == params.group - 1 or i == params.agents - 1
    return last and j == (home_of(params, i) + 1) % groups_in(params) * params.group


# ------------------------------------------------------------------------------------------------- hooks
def topology_fields(p: SimpleNamespace) -> dict[str, Any]:
    """Where everybody is (a group; or whom it visits, -1: nobody), and when it goes home."""
    return {"where": (np.int16, p.agents), "back_at": (np.int32, p.agents)}


@kernel
def settle(params, task, state, rng):
    """All begin at home."""
    for i in range(params.agents):
        go_home(params, state, i, rng)


@kernel
def go_home(params, state, i, rng):
    """Agent i is at home; where companions are chosen, it visits nobody."""
    state.where[i] = -1 if params.topology == CHOSEN else home_of(params, i)
    state.back_at[i] = 0


@kernel
def copy_from_others(params, task, state, rng):
    """Each new thing that an agent sees being made it copies with chance `fidelity`."""
    for i in range(params.agents):
        for j in range(params.agents):
            made = state.made[j]
            if made != NOTHING and sees(params, state, i, j):
                rng.s = keyed(state.noise, COPYING, state.t, i * params.agents + j)
                if uniform(rng) < params.fidelity:
                    state.gained[i] += state.held[i, made] != REAL
                    state.held[i, made] = REAL


@kernel
def wander_about(params, task, state, rng):
    """In the dynamic topology agents leave their groups now and then."""
    if params.topology == DYNAMIC:
        for i in range(params.agents):
            rng.s = keyed(state.noise, WANDERING, state.t, i)
            wander(params, state, i, rng)


@kernel
def wander(params, state, i, rng):
    """Whoever is at home leaves now and then for another group, and returns after `stay` steps."""
    if groups_in(params) < 2:
        return
    home = home_of(params, i)
    if state.where[i] != home:
        if state.t >= state.back_at[i]:
            state.where[i] = home
    elif uniform(rng) < params.visit:
        state.where[i] = (home + 1 + randint(rng, groups_in(params) - 1)) % groups_in(params)
        state.back_at[i] = state.t + params.stay


# ------------------------------------------------------------------------------------------------- visits
@kernel
def count_visits(params):
    """One action for each agent, where companions are chosen."""
    return params.agents if params.topology == CHOSEN else 0


@kernel
def is_elsewhere(params, state, i, k):
    """Whether agent i is not with agent k, who is another."""
    return k != i and k != state.where[i]


@kernel
def visit(params, task, state, i, k, rng):
    """Visit agent k from now on."""
    state.where[i] = k


VISIT = Verb(
    "visit",
    "visit {agent}",
    "visits agent {agent}",
    count_visits,
    is_elsewhere,
    visit,
    used=lambda p: p.topology == "chosen",
)


# ------------------------------------------------------------------------------------------------- what is seen
@kernel
def one_number_each(params):
    """Whether each agent is seen."""
    return params.agents


@kernel
def look_for_others(params, state, i, view, plane, at):
    """Whom agent i sees."""
    for j in range(params.agents):
        view[at + j] = 1.0 if sees(params, state, i, j) else 0.0


@kernel
def look_for_movers(params, state, i, view, plane, at):
    """Whom agent i sees now, where that may have changed."""
    if params.topology == DYNAMIC or params.topology == CHOSEN:
        look_for_others(params, state, i, view, plane, at)


def _nobody_to_visit(p: SimpleNamespace) -> str | None:
    if p.topology == "chosen" and p.agents < 2:
        return "topology='chosen' needs somebody to visit: give agents=2 or more"
    return None


def rules_of_topology(p: SimpleNamespace) -> str:
    """What comes of seeing others."""
    if p.topology == "isolated" or p.fidelity == 0:
        return ""
    return f"What others make while you see them {'is' if p.fidelity == 1 else 'may be'} yours too."


TOPOLOGY = Mechanism(
    parameters={
        "topology": Choice("full", TOPOLOGIES),
        "group": Integer(3, 1, 256),
        "visit": Real(0.02, 0.0, 1.0),
        "stay": Integer(10, 1, 32767),
        "fidelity": Real(1.0, 0.0, 1.0),
    },
    fields=topology_fields,
    used=lambda p: p.agents > 1 and p.topology != "isolated",
    error=_nobody_to_visit,
    verbs=(VISIT,),
    open=settle,
    share=copy_from_others,
    after_step=wander_about,
    birth=go_home,
    seen=Numbers(one_number_each, look_for_others, look_for_movers),
    rules=rules_of_topology,
)
