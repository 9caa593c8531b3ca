"""The name by which verifiers finds this package: `vf-eval metarl-verifiers`. It takes no dotted names."""

from metarl_envs.protocols.verifiers import TextTrials, TextTrialsEnv

__all__ = ["TextTrials", "TextTrialsEnv"]
