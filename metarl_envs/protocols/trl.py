"""A class for TRL's `GRPOTrainer(environment_factory=TextTrial)`. TRL itself is not imported."""

from __future__ import annotations

from typing import Any

from metarl_envs.protocols.trials import open_trial

#: The messages that a rollout begins with, for the column "prompt": TRL appends what `reset` returns to the last one.
PROMPT = [{"role": "user", "content": "Play by calling the tool act, once for each step, until the trial is over."}]


class TextTrial:
    """One trial a rollout, played by calling the tool `act`; the reward is what the trial paid.

    TRL makes one instance for each rollout of a batch, and gives each the columns of its row: those of `list_trials`. A group
    of rollouts of one row meets the same task and the same noise.

    >>> rows = [{"prompt": PROMPT, **trial} for trial in list_trials("DarkRoom", split="train", tasks=8)]
    """

    def reset(self, *, id: str, split: str, index: int, seed: int, episodes_per_trial: int, params: str, **others: Any) -> str:
        """Begin the trial of a row: the rules and the first observation. Other columns are those of other rewards."""
        trial = {"id": id, "split": split, "index": index, "seed": seed, "episodes_per_trial": episodes_per_trial}
        self._env = open_trial({**trial, "params": params}, player="trl")
        return f"\n\n{self._env.reset()}"

    def act(self, sentence: str) -> str:
        """Do one thing, and be told what came of it.

        Args:
            sentence: What to do: one of the sentences that the rules name.
        """
        return "The trial is over." if self._env.done else self._env.step(sentence)

    def get_reward(self) -> float:
        """Return what the trial paid. Steps that a rollout left are lived by default actions: quitting saves no cost."""
        self._env.finish()
        return self._env.total
