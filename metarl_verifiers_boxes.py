"""The name by which verifiers finds whole boxes (see `metarl_envs.protocols.verifiers_boxes`)."""

from metarl_envs.protocols.verifiers_boxes import TextBoxEnv

__all__ = ["TextBoxEnv"]
