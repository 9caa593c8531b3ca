"""Learning histories: the whole ordered record of a learner's lives."""

from metarl_envs.histories.collect import Histories, collect, scores

__all__ = ["Histories", "collect", "scores"]
