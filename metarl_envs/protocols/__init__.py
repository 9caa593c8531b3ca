"""Doors to environments of text for other projects' trainers and evaluations, one file a protocol, each with its own extra.

>>> from metarl_envs.protocols import list_trials, open_trial
>>> env = open_trial(list_trials("DarkRoom", split="test")[0])
"""

from metarl_envs.protocols.trials import list_trials, open_trial

__all__ = ["list_trials", "open_trial"]
