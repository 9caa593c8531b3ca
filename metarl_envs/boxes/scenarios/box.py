"""A box as a family: its parameters and kernels, which scenarios change."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
from gymnasium import spaces

from metarl_envs.boxes.view.numbers import sights_of, view_length
from metarl_envs.boxes.view.picture import describe_box, draw_box
from metarl_envs.boxes.view.words import instructions_of
from metarl_envs.boxes.world.mechanisms import MECHANISMS, box_error, box_parameters, verbs_of
from metarl_envs.boxes.world.state import box_record
from metarl_envs.boxes.world.step import open_of, step_of
from metarl_envs.boxes.world.texts import are_texts
from metarl_envs.boxes.world.tree import grow, task_errors, tree_meaning, tree_record
from metarl_envs.engine import ByParameters, Family, Picture, Row, TaskErrors
from metarl_envs.engine.family import Variant

#: The parameters of a box of all mechanisms, with plain defaults.
BOX = box_parameters(*MECHANISMS)


class Box(Family):
    """What all scenarios share: see `metarl_envs.boxes`. A scenario names its mechanisms, and gives defaults."""

    params = BOX
    task, state = tree_record, box_record
    sample_task, task_hash = grow, tree_meaning
    reset, step = ByParameters(open_of), ByParameters(step_of)
    observe = ByParameters(lambda p: sights_of(p).look_around)
    #: What one agent sees, written anew, and brought up to date after one step (see `view.numbers.Sights`). A subclass with
    #: another `observe` or another `step` says here what goes with it; None: always anew.
    look, look_again = ByParameters(lambda p: sights_of(p).look), ByParameters(lambda p: sights_of(p).look_again)

    @classmethod
    def with_params(cls, **params: Any) -> Variant:
        """Return the box with its parameters set; errors as in `Family.with_params`."""
        if "turnover" in params:
            raise TypeError(
                f"{cls.__name__} got an unexpected keyword argument 'turnover': that is of PettingZoo's interfaces alone, "
                "where agents may come and go (generations_v0.parallel_env). Rows of arrays and seats stay, and memory_reset "
                "says where somebody is new"
            )
        return super().with_params(**params)

    @staticmethod
    def spaces(p: SimpleNamespace) -> tuple[spaces.Space, spaces.Space]:
        """All agents at once: what each sees (float32) and its action mask (int8), one row an agent; one action an agent.

        Where text is written, an action is a row: its number, and the bytes of the text.
        """
        actions = verbs_of(p).end
        acts = [with_text(p, actions)] * p.agents if are_texts(p) else [actions] * p.agents
        return _seen((p.agents,), view_length(p), actions), spaces.MultiDiscrete(np.array(acts))

    @staticmethod
    def seats(p: SimpleNamespace) -> int:
        """One for each agent."""
        return p.agents

    @staticmethod
    def parameter_error(p: SimpleNamespace) -> str | None:
        """Why parameters do not go together."""
        return box_error(p)

    @staticmethod
    def task_errors(p: SimpleNamespace, tasks: np.ndarray) -> TaskErrors:
        """Yield where rows are no trees."""
        return task_errors(p, tasks)

    @classmethod
    def instructions(cls, p: SimpleNamespace) -> str:
        """What there is to do."""
        return instructions_of(p)

    @staticmethod
    def draw(picture: Picture, p: SimpleNamespace, state: Row, task: Row | None) -> None:
        """All inventions as a tree that grows; all agents, who sees whom, and what is written."""
        draw_box(picture, p, state, task)

    @staticmethod
    def describe(p: SimpleNamespace, state: Row, task: Row | None) -> str:
        """The box in words, a line for each agent."""
        return describe_box(p, state, task)


def agent_spaces(variant: Variant) -> tuple[spaces.Dict, spaces.Discrete | spaces.MultiDiscrete]:
    """Fresh spaces of one agent: what it sees (float32) with its action mask (int8), and its actions."""
    p, actions = variant.p, verbs_of(variant.p).end
    return _seen((), view_length(p), actions), acts_of_one(p, actions)


def acts_of_one(p: SimpleNamespace, actions: int) -> spaces.Discrete | spaces.MultiDiscrete:
    """The action space of one agent that has so many actions: with text, MultiDiscrete of an action's number and bytes."""
    return spaces.MultiDiscrete(with_text(p, actions)) if are_texts(p) else spaces.Discrete(actions)


def with_text(p: SimpleNamespace, actions: int) -> list[int]:
    """How many there are of each number of an action that holds text: of its number, and of each byte."""
    return [actions, *[256] * p.entry_bytes]


def _seen(agents: tuple[int, ...], view: int, actions: int) -> spaces.Dict:
    seen, mask = spaces.Box(0.0, 1.0, (*agents, view), np.float32), spaces.Box(0, 1, (*agents, actions), np.int8)
    return spaces.Dict({"observation": seen, "action_mask": mask})
