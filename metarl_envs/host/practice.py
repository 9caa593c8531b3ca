"""The practice round: some steps in a box of the same kind with other things hidden, which nobody records."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from metarl_envs.boxes.players.table import Boxes
from metarl_envs.engine.family import Variant
from metarl_envs.engine.sentences import read
from metarl_envs.host.room import problem_of
from metarl_envs.players import Question
from metarl_envs.task_sets import TaskSet

#: How far the seed of a practice box lies behind those of a run.
_BEYOND = 2**32


class Practice:
    """One person in a box where all others wait.

    Args:
        variant: the box.
        seeds: of the run, which its own seed is none of.
        seat: where the person sits.
        steps: how many there are.
    """

    def __init__(self, variant: Variant, seeds: Sequence[int], seat: int, steps: int):
        tasks = TaskSet.of_family(variant.family, **variant.values)
        own = np.array([(max(map(int, seeds)) + _BEYOND) % 2**64], np.uint64)
        self._table = Boxes(tasks, own, ("practice",) * variant.p.agents)
        self._seat, self._steps = seat, min(steps, variant.horizon)
        self._ask()

    def _ask(self) -> None:
        self.question = Question.of(self._table.step([self._seat]).moment(0))

    @property
    def left(self) -> int:
        """How many steps are left."""
        return self._steps - self._table.t

    def told(self) -> dict[str, Any]:
        """Return what the page shows."""
        return {"text": self.question.text, "choices": self.question.choices, "left": self.left}

    def say(self, sentence: str) -> str:
        """Take the step, or the steps, that a sentence stands for; what is wrong with it, or ""."""
        if not self.left:
            return ""
        if problem := problem_of(self.question, sentence):
            return problem
        said, _ = read(self.question.sentences, sentence, lenient=True)
        for action in (said.action, said.then):
            if action is not None and self.left:
                self._table.actions[:] = self.question.sentences.default
                self._table.actions[0, self._seat] = action
                self._table.advance()
        self._ask()
        return ""
