"""A PettingZoo box whose agents see and act by text (see `metarl_envs.boxes.view.words`)."""

from __future__ import annotations

import string
from typing import Any

import numpy as np
from gymnasium import spaces
from pettingzoo import ParallelEnv

from metarl_envs.boxes.envs.parallel import ParallelBox
from metarl_envs.boxes.view.words import Grammar, observation_in_words, words_in
from metarl_envs.boxes.world.texts import are_texts
from metarl_envs.engine.sentences import read

_LETTERS = string.ascii_letters + string.digits + string.punctuation + " "
_LONGEST_SENTENCE, _LONGEST_TEXT = 80, 1_000_000


class AnyText(spaces.Text):
    """Texts in whatever letters: where agents write what they like, there is no list of them. Samples are of `charset`."""

    def contains(self, x: Any) -> bool:
        """Whether it is a text, and not too long."""
        return isinstance(x, str) and self.min_length <= len(x) <= self.max_length


class TextBox(ParallelEnv):
    """A box whose agents see and act by text.

    `step` takes a sentence for each agent. An agent that is left out, or says None, goes on with the second half of
    `combine X with Y` if that is still to be done (its info says so: `busy`), and waits otherwise; whatever it says instead
    replaces that half. Infos are those of `ParallelBox` and:

    * `message`: str, what was wrong with the last sentence, or ""; it also stands at the head of the text;
    * `busy`: bool, whether the second half of an experiment is still to be done.

    Where memory is reset, both are as at the beginning: whatever was said in the last step of a day, text and info of the
    next morning are the same. How much was wrong in all is for those who watch, in `malformed` and `illegal`.

    Args:
        box: the box to speak with.
        lenient: forgive what is around a sentence, and take the last line that is one (see `metarl_envs.text.make`).

    Raises:
        ValueError: agents of the box are not called by their slots (`turnover="new_ids"`).
    """

    def __init__(self, box: ParallelBox, lenient: bool = False):
        if box.turnover != "slot":
            raise ValueError(
                f"turnover={box.turnover!r} cannot be told in words, which call agents by their slots: give 'slot'"
            )
        self.box, self._lenient = box, lenient
        self.metadata, self.render_mode, self.possible_agents = box.metadata, box.render_mode, box.possible_agents
        self._p = box.variant.p
        in_any_letters = are_texts(self._p)
        kind, longest = (AnyText, self._p.entry_bytes) if in_any_letters else (spaces.Text, 0)
        self._seen = {agent: kind(_LONGEST_TEXT, charset=_LETTERS + "\n") for agent in self.possible_agents}
        self._sayable = {agent: kind(_LONGEST_SENTENCE + longest, charset=_LETTERS) for agent in self.possible_agents}
        self._forget_all()

    @property
    def agents(self) -> list[str]:  # type: ignore[override]
        """Who is in the box now."""
        return self.box.agents

    @property
    def malformed(self) -> dict[str, int]:
        """How many sentences of each agent since the reset were none."""
        return dict(self._malformed)

    @property
    def illegal(self) -> dict[str, int]:
        """How many actions of each agent since the reset did nothing because they were not allowed."""
        return self.box.illegal

    def observation_space(self, agent: str) -> spaces.Space:
        """Texts: always the same object."""
        return self._seen[agent]

    def action_space(self, agent: str) -> spaces.Space:
        """Short texts, most of which are no sentences (`step` takes any): always the same object."""
        return self._sayable[agent]

    def grammar(self) -> Grammar:
        """The sentences of this box; its words change with every reset, and with `relabel="dawn"` at every dawn."""
        return Grammar(self._p, self._words())

    def reset(self, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[dict, dict]:
        """Open a new box: texts and infos by agent."""
        seen, infos = self.box.reset(seed=seed, options=options)
        self._forget_all()
        return self._texts(seen), self._told(infos)

    def step(self, actions: dict[str, str | None]) -> tuple[dict, dict, dict, dict, dict]:
        """All say at once what they do: texts, rewards, terminations, truncations and infos by agent.

        Raises:
            ResetNeeded: before the first reset, and when the box is over.
            ValueError: somebody speaks who is not in the box.
        """
        if unknown := set(actions) - set(self.possible_agents):
            raise ValueError(f"actions are those of {sorted(map(str, unknown))}; in the box are {', '.join(self.agents)}")
        grammar, hands = self.grammar(), self.box.world["hand"].tolist() if self.agents else []
        numbers = {
            agent: self._hear(agent, actions.get(agent), grammar, hand) for agent, hand in zip(self.agents, hands, strict=True)
        }
        seen, rewards, terminations, truncations, infos = self.box.step(numbers)
        for agent, info in infos.items():
            if info["memory_reset"]:
                self._pending[agent], self._messages[agent] = None, ""
        return self._texts(seen), rewards, terminations, truncations, self._told(infos)

    def render(self) -> Any:
        """See `ParallelBox.render`."""
        return self.box.render()

    def close(self) -> None:
        """See `ParallelBox.close`."""
        self.box.close()

    def state(self) -> np.ndarray:
        """See `ParallelBox.state`."""
        return self.box.state()

    def get_state(self) -> dict[str, Any]:
        """An exact, picklable snapshot."""
        kept = {name: dict(getattr(self, name)) for name in ("_pending", "_malformed", "_messages")}
        return {**kept, "box": self.box.get_state()}

    def set_state(self, state: dict[str, Any]) -> None:
        """Go back to a snapshot."""
        self.box.set_state(state["box"])
        for name in ("_pending", "_malformed", "_messages"):
            setattr(self, name, dict(state[name]))

    def _hear(self, agent: str, sentence: Any, grammar: Grammar, hand: int) -> Any:
        """The action of an agent that says so; what it still has to do is kept."""
        pending, self._pending[agent], self._messages[agent] = self._pending[agent], None, ""
        if sentence is None:
            return grammar.wait if pending is None else pending
        said, reading = read(grammar.in_hand(hand), sentence, lenient=self._lenient)
        self._pending[agent] = said.then
        if reading == "malformed":
            self._malformed[agent] += 1
            self._messages[agent] = f"{said.problem}. You waited. Say one of: {grammar.forms()}."
        return said.action

    def _forget_all(self) -> None:
        self._pending: dict[str, Any] = dict.fromkeys(self.possible_agents)
        self._malformed = dict.fromkeys(self.possible_agents, 0)
        self._messages = dict.fromkeys(self.possible_agents, "")

    def _words(self) -> tuple[str, ...]:
        return words_in(self._p, self.box.world)

    def _texts(self, seen: dict[str, dict[str, np.ndarray]]) -> dict[str, str]:
        state, task = self.box.world, self.box.task
        texts = {}
        for i, (agent, view) in enumerate(seen.items()):
            text = observation_in_words(self._p, state, task, i, view["observation"])
            message = self._messages[agent]
            texts[agent] = f"({_plain(message)})\n{text}" if message else text
        return texts

    def _told(self, infos: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
        for agent, info in infos.items():
            info |= {
                "message": self._messages[agent],
                "busy": self._pending[agent] is not None,
            }
        return infos


def _plain(text: str) -> str:
    """The text in the letters of the observation space."""
    return "".join(letter if letter in _LETTERS else "?" for letter in text)
