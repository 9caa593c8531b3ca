"""Days: at dawn everybody forgets all but what is written, and its things are back to the bases. The recipes stay."""

from __future__ import annotations

from metarl_envs.boxes.world.mechanism import Mechanism, Numbers
from metarl_envs.engine import Integer, kernel


@kernel
def wake_at_dawn(params, task, state, rng):
    """After each `day` steps a new day begins for everybody."""
    if params.day > 0 and state.t % max(params.day, 1) == 0:
        for i in range(params.agents):
            state.forgot[i] = 1


@kernel
def one_number(params):
    """What is left of the day."""
    return 1


@kernel
def show_day(params, state, i, view, plane, at):
    """The share of the day that is left."""
    view[at] = 1.0 - state.t % params.day / params.day if params.day > 0 else 0.0


DAYS = Mechanism(
    parameters={"day": Integer(0, 0, 32767)},
    after_step=wake_at_dawn,
    seen=Numbers(one_number, show_day),
)
