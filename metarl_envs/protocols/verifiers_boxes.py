"""Whole boxes for verifiers, with an agent in each seat.

`vf-eval metarl-verifiers --env.id metarl-verifiers-boxes --env.taskset.family AmnesiaBox`
"""
# pyright: reportMissingImports=false

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

import verifiers.v1 as vf

from metarl_envs.boxes.envs.parallel import ParallelBox
from metarl_envs.boxes.envs.text_box import TextBox
from metarl_envs.boxes.scenarios import box_named
from metarl_envs.boxes.view.words import Teller, words_in
from metarl_envs.ids import short
from metarl_envs.protocols.trials import params_of
from metarl_envs.protocols.verifiers import CHAT

__all__ = ["TextBoxEnv"]


#: How many seats there are here: larger boxes are refused.
SEATS = 4


class SeatsConfig(vf.EnvConfig):
    """Who sits where; a box of two agents has the first two of these."""

    seat0: vf.AgentConfig = CHAT
    seat1: vf.AgentConfig = CHAT
    seat2: vf.AgentConfig = CHAT
    seat3: vf.AgentConfig = CHAT


class TextBoxEnv(vf.Env[SeatsConfig]):
    """Plays a whole box: all agents say at once what they do, each in a conversation of its own from one dawn to the next."""

    async def run(self, task: vf.Task, agents: vf.Agents) -> None:
        """Play. The reward of each conversation is what its agent was paid in it."""
        trial, params = task.data.trial, params_of(task.data.trial)
        if trial["episodes_per_trial"] != 1:
            raise ValueError(f"episodes_per_trial={trial['episodes_per_trial']}: a whole box is one episode, so say 1")
        box = TextBox(ParallelBox(box_named(short(trial["id"])), split=trial["split"], **params), lenient=True)
        if len(box.possible_agents) > SEATS:
            made = f"params={trial['params']!r} make a box of {len(box.possible_agents)} agents"
            raise ValueError(f"{made}, and here are {SEATS} seats: say agents={SEATS} or fewer")
        texts, infos = box.reset(seed=trial["seed"], options={"task": trial["index"]})
        seats = {name: Seat(getattr(agents, f"seat{i}"), task) for i, name in enumerate(box.possible_agents)}
        try:
            while box.agents:
                for name in box.agents:
                    await seats[name].begin(f"{_rules(box)}\n\n{texts[name]}")
                asked = [name for name in box.agents if not infos[name]["busy"]]
                replies = await asyncio.gather(*(seats[name].reply_to(texts[name]) for name in asked))
                texts, rewards, _, _, infos = box.step(dict(zip(asked, replies, strict=True)))
                for name, paid in rewards.items():
                    seats[name].paid += paid
                    if infos[name]["memory_reset"] or not box.agents:
                        await seats[name].end({} if box.agents else {"malformed": box.malformed[name]})
        finally:
            for seat in seats.values():
                await seat.end({})


class Seat:
    """An agent in a seat, and its conversation since its memory was reset."""

    def __init__(self, agent: Any, task: vf.Task):
        self._agent, self._task, self._stack = agent, task, contextlib.AsyncExitStack()
        self._conversation: Any = None
        self.paid = 0.0

    async def begin(self, prompt: str) -> None:
        """Begin a conversation, if there is none."""
        if self._conversation is None:
            task = type(self._task)(self._task.data.model_copy(update={"prompt": prompt}), self._task.config)
            self._conversation = await self._stack.enter_async_context(self._agent.interaction(task))
            self.paid, self._asked, self._silent = 0.0, False, False

    async def reply_to(self, text: str) -> str | None:
        """Return what the agent says; None, and so it waits, when it has fallen silent."""
        if self._silent:
            return None
        segment = await (self._conversation.turn(text) if self._asked else self._conversation.turn())
        self._asked, self._silent = True, segment.terminated
        return None if segment.terminated else segment.last_reply

    async def end(self, metrics: dict[str, float]) -> None:
        """End the conversation, if there is one."""
        if self._conversation is not None:
            self._conversation.trace.record_reward("paid", self.paid)
            self._conversation.trace.record_metrics(metrics)
            self._conversation = None
            await self._stack.aclose()


def _rules(box: TextBox) -> str:
    world, p = box.box.world, box.box.variant.p
    return Teller(p, words_in(p, world)).rules
