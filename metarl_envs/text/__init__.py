"""Environments of text: every id (boxes: one seat of them) as sentences in, sentences out, for people and language models.

>>> env = metarl_envs.text.make("DarkRoom", split="test", index=3, seed=0, episodes_per_trial=5)
>>> print(env.reset())
>>> print(env.step("up"))
"""

from metarl_envs.text.env import TextEnv, make

__all__ = ["TextEnv", "make"]
