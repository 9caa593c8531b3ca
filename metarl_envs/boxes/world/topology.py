"""Who sees whom in a box."""

from __future__ import annotations

from metarl_envs.engine import kernel, randint, uniform

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


@kernel
def settle(params, state):
    """Everybody is at home; where companions are chosen, nobody visits anybody."""
    for i in range(params.agents):
        state.where[i] = -1 if params.topology == CHOSEN else home_of(params, i)
        state.back_at[i] = 0


@kernel
def wander(params, state, i, rng):
    """In the dynamic topology: whoever is at home leaves now and then for another group, and returns after `stay` steps."""
    if groups_in(params) < 2:
        return
    home = home_of(params, i)
    if state.where[i] != home:
        if state.t >= state.back_at[i]:
            state.where[i] = home
    elif uniform(rng) < params.visit:
        state.where[i] = (home + 1 + randint(rng, groups_in(params) - 1)) % groups_in(params)
        state.back_at[i] = state.t + params.stay
