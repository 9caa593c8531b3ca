"""A box as a family: its parameters and kernels, which scenarios change."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
from gymnasium import spaces

from metarl_envs.boxes.view.picture import describe_box, draw_box
from metarl_envs.boxes.world.box import (
    box_record,
    live_one_step,
    look,
    look_again,
    look_around,
    open_box,
    verbs_of,
    view_length,
)
from metarl_envs.boxes.world.topology import TOPOLOGIES
from metarl_envs.boxes.world.tree import TREE, grow, task_errors, tree_error, tree_meaning, tree_record
from metarl_envs.engine import Choice, Family, Integer, Parameters, Picture, Real, Row, TaskErrors
from metarl_envs.engine.family import Variant

#: The parameters of every box; scenarios change defaults.
BOX = Parameters(
    agents=Integer(6, 1, 256),
    horizon=Integer(500, 1, 32767),
    **TREE,
    value_bias=Real(1.0, 0.0, 100.0),
    pays=Choice("own", ("own", "first", "mean")),
    topology=Choice("full", TOPOLOGIES),
    group=Integer(3, 1, 256),
    visit=Real(0.02, 0.0, 1.0),
    stay=Integer(10, 1, 32767),
    fidelity=Real(1.0, 0.0, 1.0),
    day=Integer(0, 0, 32767),
    notes=Integer(0, 0, 1024),
    board=Integer(0, 0, 1024),
    page=Integer(8, 1, 1024),
    free_reading=Choice("no", ("no", "yes")),
    illusions=Real(0.0, 0.0, 1.0),
)


class Box(Family):
    """What all scenarios share: see `metarl_envs.boxes`. Scenarios change its defaults."""

    params = BOX
    task, state = tree_record, box_record
    sample_task, meaning = grow, tree_meaning
    reset, step, observe = open_box, live_one_step, look_around
    #: What one agent sees, written anew, and brought up to date after one step. A subclass with another `observe` or another
    #: `step` says here what goes with it; None: always anew.
    look, look_again = look, look_again

    @staticmethod
    def spaces(p: SimpleNamespace) -> tuple[spaces.Space, spaces.Space]:
        """All agents at once: what each sees and its action mask, one row an agent; one action an agent."""
        actions = verbs_of(p).end
        seen = spaces.Box(0.0, 1.0, (p.agents, view_length(p) + actions), np.float32)
        return seen, spaces.MultiDiscrete([actions] * p.agents)

    @staticmethod
    def parameter_error(p: SimpleNamespace) -> str | None:
        """Why parameters do not go together."""
        if p.topology == "chosen" and p.agents < 2:
            return "topology='chosen' needs somebody to visit: give agents=2 or more"
        return tree_error(p)

    @staticmethod
    def task_errors(p: SimpleNamespace, tasks: np.ndarray) -> TaskErrors:
        """Yield where rows are no trees."""
        return task_errors(p, tasks)

    @staticmethod
    def draw(picture: Picture, p: SimpleNamespace, state: Row, task: Row | None) -> None:
        """All inventions as a tree that grows; all agents, who sees whom, and what is written."""
        draw_box(picture, p, state, task)

    @staticmethod
    def describe(p: SimpleNamespace, state: Row, task: Row | None) -> str:
        """The box in words, a line for each agent."""
        return describe_box(p, state, task)


def agent_spaces(variant: Variant) -> tuple[spaces.Dict, spaces.Discrete]:
    """Fresh spaces of one agent: what it sees (float32) with its action mask (int8), and its actions."""
    view, actions = view_length(variant.p), int(variant.action.high[0]) + 1
    seen = {"observation": spaces.Box(0.0, 1.0, (view,), np.float32), "action_mask": spaces.Box(0, 1, (actions,), np.int8)}
    return spaces.Dict(seen), spaces.Discrete(actions)
