"""The name by which verifiers finds whole boxes: `vf-eval metarl-verifiers --env.id metarl-verifiers-boxes`."""

from metarl_envs.protocols.verifiers_boxes import TextBoxEnv

__all__ = ["TextBoxEnv"]
