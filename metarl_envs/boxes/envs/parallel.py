"""A box as PettingZoo has it: every agent by its name, one box at a time.

`invention_v0`, `amnesia_v0` and the like are the modules that PettingZoo's users look for: `parallel_env`, `env` and `raw_env`.
Where the installed PettingZoo keeps a registry, importing one of them registers all.
"""

from __future__ import annotations

import operator
from types import SimpleNamespace
from typing import Any, Literal, Unpack

import gymnasium as gym
import numpy as np
import pettingzoo
from gymnasium import spaces
from gymnasium.error import ResetNeeded
from gymnasium.wrappers import HumanRendering
from pettingzoo.utils import wrappers
from pettingzoo.utils.conversions import parallel_to_aec

from metarl_envs.boxes.envs.batch import check_render_mode, tasks_of
from metarl_envs.boxes.envs.sight import tells_what_was_made
from metarl_envs.boxes.envs.social import SocialPay, SocialRewards
from metarl_envs.boxes.parameters import BoxParameters
from metarl_envs.boxes.scenarios.box import Box, agent_spaces
from metarl_envs.boxes.world.lives import has_lives, life_count
from metarl_envs.boxes.world.tree import NOTHING
from metarl_envs.engine.envs.scoreboard import RENDER_MODES
from metarl_envs.engine.envs.single import SingleEnv
from metarl_envs.engine.loops.trial import NEW_TASK
from metarl_envs.ids import BOXES

#: `turnover`.
TURNOVERS = ("slot", "new_ids")
_NOBODY = np.zeros(1, np.bool_)


class ParallelArguments(BoxParameters, total=False):
    """What `parallel_env`, `env` and `raw_env` take (see `ParallelBox`)."""

    split: str | None
    max_cycles: int | None
    num_tasks: int | None
    ground_truth: bool
    render_mode: Literal["rgb_array", "ansi", "human"] | None
    reveal: bool
    social: SocialPay | None
    turnover: Literal["slot", "new_ids"]


class ParallelBox(pettingzoo.ParallelEnv):
    """One box, as a PettingZoo `ParallelEnv`.

    Agents are `agent_0`, `agent_1`, ...; nobody leaves before the horizon, where all are truncated. (Where agents die, another
    goes on in the same slot, under the same name; with `turnover="new_ids"` under a name of its own.) Each is given:

    * an observation, `{"observation": float32 [view], "action_mask": int8 [actions]}`, both within [0, 1];
    * an info: `memory_reset` (bool: whoever acts for this agent must begin anew, with no more than what it observes now) and
      `made` (int: the item that it newly made in this step, or -1; where memory is reset always -1). Where experiments
      deceive (`illusions` above 0), `made` is left out, since it would tell what is true of one; rewards tell it all the same
      where making a thing pays. With `social` also `pay` (float: what the world paid, of which rewards were made).

    Nothing in an info outlasts a memory reset, so that no agent can leave itself a message there. What those who watch want
    to know beside that is in `world`, such as `world["made"]`, and in `illegal`.

    An action that the mask does not allow does nothing, and is counted. `reset(options={"task": ...})` takes a given task:
    an index into `tasks`, a row, or a mapping of its fields; options of other names are left to others.

    Args:
        box: which box.
        split: where recipe books come from, as of any tasks (see `metarl_envs.tasks`): None has all.
        max_cycles: what PettingZoo calls `horizon`.
        num_tasks: see `metarl_envs.engine.worlds.worlds.TrialForm`.
        ground_truth: add `info["metarl"]`, the same for all agents (see `metarl_envs.engine.truth.ground_truth.GroundTruth`).
        render_mode: None, `"rgb_array"`, `"ansi"`, or `"human"` (a window that shows every step; it needs a screen).
        reveal: show the recipes in pictures and text.
        social: what learners are given in place of their own pay [default: their own pay].
        turnover: what agents are called in a box where they die. `"slot"`: by their slots, whoever lives there. `"new_ids"`:
            each life has a name of its own, `agent_2_life_1` being the first in slot 2, which PettingZoo never revives:
            whoever dies is terminated, and given as its last observation what it saw before it last acted, with a mask of
            zeros; whoever is born is in `agents` from then on, with a reward of 0 in the step of its birth. `possible_agents`
            are all who will ever live.
        params: the parameters of the box.

    Raises:
        TypeError, ValueError: an argument is not one of these, or parameters do not go together.
    """

    metadata = {"name": "box_v0", "render_modes": [*RENDER_MODES, "human"], "render_fps": 10, "is_parallelizable": True}

    def __init__(
        self,
        box: type[Box],
        *,
        split: str | None = None,
        max_cycles: int | None = None,
        num_tasks: int | None = None,
        ground_truth: bool = False,
        render_mode: str | None = None,
        reveal: bool = False,
        social: SocialPay | None = None,
        turnover: Literal["slot", "new_ids"] = "slot",
        **params: Unpack[BoxParameters],
    ):
        check_render_mode(render_mode, (*RENDER_MODES, "human"))
        self.tasks = tasks_of(box, split, max_cycles, dict(params))
        self.variant = self.tasks.variant
        self.turnover = _checked_turnover(turnover, self.variant.p)
        self.metadata = {**self.metadata, "name": f"{box.__name__.removesuffix('Box').lower()}_v0"}
        self.render_mode = render_mode
        self._slots = self._slots_by_name()
        self.possible_agents = list(self._slots)
        self.agents: list[str] = []
        self._spaces = [agent_spaces(self.variant) for _ in range(self.variant.p.agents)]
        seen = self.variant.observation_space
        assert isinstance(seen, spaces.Dict)
        numbers = sum(part.shape[1] for part in seen.values() if part.shape)
        self.state_space = spaces.Box(0.0, 1.0, (self.variant.p.agents, numbers), np.float32)
        drawn = "rgb_array" if render_mode == "human" else render_mode
        self._box = SingleEnv(self.tasks, num_tasks=num_tasks, ground_truth=ground_truth, render_mode=drawn, reveal=reveal)
        self._moves: gym.Env = HumanRendering(self._box) if render_mode == "human" else self._box
        self._social = None if social is None else SocialRewards(self._box._worlds, social)

    def observation_space(self, agent: str) -> spaces.Space:
        """What an agent may see: always the same object."""
        return self._spaces[self._slots[agent]][0]

    def action_space(self, agent: str) -> spaces.Space:
        """What an agent may do: always the same object."""
        return self._spaces[self._slots[agent]][1]

    def reset(self, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[dict, dict]:
        """Open a new box: observations and infos by agent. A seeded box is the same, step by step, in every process."""
        if not (options or {}).get("new_trial", True):
            raise ValueError("options['new_trial']=False: a box is one trial of one episode; days divide it, with day=...")
        seen, info = self._moves.reset(seed=seed, options=options)
        self.agents = self._who_lives()
        return self._observations(seen, self.agents), self._infos(info, self.agents)

    def step(self, actions: dict[str, Any]) -> tuple[dict, dict, dict, dict, dict]:
        """All act at once: observations, rewards, terminations, truncations and infos by agent.

        Raises:
            ResetNeeded: before the first reset, and when the box is over.
            ValueError: an agent is missing, unknown, or its action is outside its space; nothing has moved then.
        """
        if not self.agents:
            raise ResetNeeded("step() needs an open box: call reset() first")
        chosen, last_seen = self._chosen(actions), self._seen_now() if self.turnover == "new_ids" else {}
        seen, _, terminated, truncated, info = self._moves.step(chosen)
        acted, now, over = self.agents, self._who_lives(), terminated or truncated
        self.agents = [] if over else now
        pay = self.world["reward"]
        given = self._social.of(pay[None])[0] if self._social else pay
        rewards = dict(zip(acted, given.tolist(), strict=True))
        terminations, truncations = dict.fromkeys(acted, terminated), dict.fromkeys(acted, truncated)
        observations, infos = self._observations(seen, now), self._infos(info, now)
        for slot, (dead, born) in enumerate(zip(acted, now, strict=True)):
            if dead == born:
                continue
            mask = last_seen["action_mask"][slot]
            observations[dead] = {"observation": last_seen["observation"][slot], "action_mask": np.zeros_like(mask)}
            infos[dead], terminations[dead] = self._info_of_the_dead(slot, infos[born]), True
            if over:
                del observations[born], infos[born]
            else:
                rewards[born], terminations[born], truncations[born] = 0.0, False, False
        return observations, rewards, terminations, truncations, infos

    @property
    def world(self) -> np.void:
        """The state of the box (see `metarl_envs.boxes.world.state.box_record`): not a copy, so look and leave it as it is."""
        return self._box._worlds.worlds.view(np.ndarray)["state"][0]

    @property
    def illegal(self) -> dict[str, int]:
        """How many actions of each agent the mask did not allow, since the reset; of all who lived in its slot."""
        return dict(zip(self._who_lives(), self.world["illegal"].tolist(), strict=True))

    @property
    def task(self) -> np.ndarray:
        """The recipe book of the box, as a copy (see `metarl_envs.boxes.world.tree.tree_record`)."""
        return self._box._worlds.task_row(0)

    def state(self) -> np.ndarray:
        """What all agents see, for a critic in the centre: float32 [agents, view + actions], the masks behind the views."""
        return np.concatenate([*self._seen_now().values()], axis=1, dtype=np.float32)

    def render(self) -> Any:
        """The picture (uint8 [480, 720, 3]) or the text of the box, as `render_mode` says; None without one, or in a window."""
        return self._moves.render()

    def close(self) -> None:
        """Close the window, if there is one."""
        self._moves.close()

    def get_state(self) -> dict[str, Any]:
        """An exact, picklable snapshot: put back by `set_state`, every later step repeats bit by bit."""
        return self._box.get_state()

    def set_state(self, state: dict[str, Any]) -> None:
        """Go back to a snapshot of this box or of one with the same parameters."""
        self._box.set_state(state)
        self.agents = self._who_lives() if state["live"] else []

    def _seen_now(self) -> dict[str, np.ndarray]:
        """What all agents see, by slot, and their masks: fresh arrays."""
        worlds = self._box._worlds
        out = worlds.empty()
        worlds.begin(_NOBODY, NEW_TASK, out)
        seen = worlds.variant.visible(out.observations)
        return {name: seen[name][0] for name in ("observation", "action_mask")}

    def _slots_by_name(self) -> dict[str, int]:
        """The slot of every agent that there may be, by its name, the first lives before the second."""
        p = self.variant.p
        if self.turnover == "slot":
            return {f"agent_{i}": i for i in range(p.agents)}
        counts = [life_count(p, i) for i in range(p.agents)]
        return {_name_of_life(i, life): i for life in range(max(counts)) for i in range(p.agents) if life < counts[i]}

    def _who_lives(self) -> list[str]:
        """The names of those who live now, by slot."""
        if self.turnover == "slot":
            return self.possible_agents[:]
        return [_name_of_life(i, life) for i, life in enumerate(self.world["life"].tolist())]

    def _chosen(self, actions: dict[str, Any]) -> list[Any]:
        """The actions in order; ValueError where they are not those of all agents, or one is outside its space."""
        if len(actions) != len(self.agents) or any(agent not in actions for agent in self.agents):
            raise ValueError(f"actions are those of {', '.join(actions) or 'nobody'}; all must act: {', '.join(self.agents)}")
        return [self._checked(agent, actions[agent]) for agent in self.agents]

    def _checked(self, agent: str, action: Any) -> Any:
        """An action of its space; ValueError for another."""
        space = self.action_space(agent)
        if isinstance(space, spaces.MultiDiscrete):
            if not space.contains(np.asarray(action)):
                raise ValueError(
                    f"action of {agent} is {action!r:.100}: {self.variant.name} takes {space.shape} integers, the number of an "
                    f"action, from 0 to {space.nvec[0] - 1}, and bytes, from 0 to 255"
                )
        elif not _is_action(action, last := int(self.variant.action.high[0])):
            raise ValueError(f"action of {agent} is {action!r}: {self.variant.name} takes an integer from 0 to {last}")
        return action

    def _observations(self, seen: dict[str, np.ndarray], agents: list[str]) -> dict[str, dict[str, np.ndarray]]:
        """The central view by agent; `seen` has memory of its own, and so have the agents' parts of it."""
        return {
            agent: {"observation": view, "action_mask": mask}
            for agent, view, mask in zip(agents, seen["observation"], seen["action_mask"], strict=True)
        }

    def _infos(self, info: dict[str, Any], agents: list[str]) -> dict[str, dict[str, Any]]:
        world = self.world
        infos: dict[str, dict[str, Any]] = {}
        told = zip(agents, world["forgot"].tolist(), world["made"].tolist(), strict=True)
        for agent, forgot, made in told:
            infos[agent] = {"memory_reset": forgot == 1}
            if tells_what_was_made(self.variant):
                infos[agent]["made"] = NOTHING if forgot else made
        if self._social:
            for agent, pay in zip(agents, world["reward"].tolist(), strict=True):
                infos[agent]["pay"] = pay
        if "metarl" in info:
            for agent in infos:
                infos[agent]["metarl"] = info["metarl"]
        return infos

    def _info_of_the_dead(self, slot: int, of_the_newborn: dict[str, Any]) -> dict[str, Any]:
        """The last info of whoever died in a slot; that of who was born there, which tells of no step, loses what was paid."""
        info = {**of_the_newborn, "memory_reset": False}
        if "made" in info:
            info["made"] = int(self.world["made"][slot])
        if "pay" in info:
            of_the_newborn["pay"] = 0.0
        return info


def _checked_turnover(turnover: Any, p: SimpleNamespace) -> str:
    """How agents are called; ValueError where they cannot be called so."""
    if turnover not in TURNOVERS:
        raise ValueError(f"turnover={turnover!r} must be one of {', '.join(map(repr, TURNOVERS))}")
    if turnover == "new_ids" and not has_lives(p):
        raise ValueError("turnover='new_ids' is of boxes in which agents die: give lifespan=60 or so, or turnover='slot'")
    return turnover


def _name_of_life(slot: int, life: int) -> str:
    """What an agent is called whom so many have preceded in its slot, with `turnover="new_ids"`."""
    return f"agent_{slot}_life_{life + 1}"


def _is_action(action: Any, last: int) -> bool:
    try:
        return 0 <= operator.index(action) <= last
    except TypeError:
        return False


def raw_aec(box: type[Box], **arguments: Unpack[ParallelArguments]) -> pettingzoo.AECEnv:
    """The box agent by agent: all choose, one after another, before the world moves."""
    return parallel_to_aec(ParallelBox(box, **arguments))


def aec(box: type[Box], **arguments: Unpack[ParallelArguments]) -> pettingzoo.AECEnv:
    """The same, which says at once whose action is out of bounds (AssertionError), and refuses calls out of order."""
    return wrappers.OrderEnforcingWrapper(wrappers.AssertOutOfBoundsWrapper(raw_aec(box, **arguments)))


def _register() -> None:
    """Register with PettingZoo, from the version on that has a registry. Registering twice does nothing."""
    if not hasattr(pettingzoo, "register"):
        return
    for name in BOXES:
        id, module = f"MetaRL/{name}-v0", f"metarl_envs.boxes.{name.removesuffix('Box').lower()}_v0"
        if id not in pettingzoo.parallel_registry:
            pettingzoo.register("parallel", id, f"{module}:parallel_env")
        if id not in pettingzoo.aec_registry:
            pettingzoo.register("aec", id, f"{module}:env")


_register()
