"""AD-eps's source of histories (Zisman et al. 2024): the oracle under noise that wears off, so that it seems to learn."""

from __future__ import annotations

import functools
import math

import numpy as np

from metarl_envs.engine import Integer, Internal, Parameters, Player, Real, Variant, kernel, randint, record, uniform
from metarl_envs.engine.player import references_of
from metarl_envs.learners.choosing import one_each_action


@kernel
def epsilon_now(hyper, memory):
    """The chance of a random action at this step."""
    return max(hyper.final_epsilon, 1.0 - memory.t / hyper.steps)


@kernel
def chance_of(hyper, memory, action):
    """The chance of an action at this step."""
    epsilon = epsilon_now(hyper, memory)
    chance = epsilon / len(memory.actions)
    return chance + 1.0 - epsilon if action == memory.intended else chance


@kernel
def tell_epsilon(hyper, memory, seen, action, out):
    """The chance of a random action."""
    out[0] = epsilon_now(hyper, memory)


@kernel
def tell_chances(hyper, memory, seen, action, out):
    """The chance of each action."""
    for a in range(len(out)):
        out[a] = chance_of(hyper, memory, a)


@kernel
def tell_log_chance(hyper, memory, seen, action, out):
    """The logarithm of the chance that the action had."""
    out[0] = math.log(chance_of(hyper, memory, action))


class NoiseAnnealed(Player):
    """Acts as the family's oracle does, but for a random action with a chance that falls from 1 in a straight line.

    It learns nothing: what it does gets better because there is less noise in it. It knows the task.

    Hyper-parameters:
        steps: until the straight line from 1 would reach 0; the paper takes 0.9 of a history's steps (by default, of 100
        episodes of 20). final_epsilon: the chance falls no further than this (the paper's 1 - max_perf).

    Source: Zisman et al. 2024 (arXiv 2312.12275), its code for Dark Room (corl-team/ad-eps).
    """

    named_only = True
    params = Parameters(steps=Integer(1800, 1), final_epsilon=Real(0.0, 0.0, 1.0))
    internals = {
        "epsilon": Internal(tell_epsilon),
        "probabilities": Internal(tell_chances, one_each_action),
        "log_prob": Internal(tell_log_chance),
    }
    observes = "world"

    def bind(self, variant):
        """Bound to the family's oracle."""
        return _with_oracle(type(self), variant)(**self.values)

    def why_unsuitable(self, variant):
        """It needs an oracle whose actions are numbers."""
        if "oracle" not in variant.family.references:
            return f"NoiseAnnealed needs a family with a reference 'oracle', and {variant.name} has none"
        if references_of(variant)["oracle"].observes != "world":
            return f"NoiseAnnealed needs an oracle that is given the task, and that of {variant.name} is not"
        return super().why_unsuitable(variant)


@functools.cache
def _with_oracle(base: type[NoiseAnnealed], variant: Variant) -> type[NoiseAnnealed]:
    """A class whose kernels call those of the family's oracle, and whose memory holds the oracle's."""
    oracle = references_of(variant)["oracle"].bind(variant)
    kernels = type(oracle)  # of an instance, they would be methods where they are ordinary Python
    prepare, intend, take_notice = kernels.begin, kernels.act, kernels.learn

    @kernel
    def begin(hyper, memory, params, task, rng):
        prepare(memory.oracle_hyper, memory.oracle, params, task, rng)

    @kernel
    def act(hyper, memory, params, task, state, rng):
        """The oracle is asked at every step, because it may keep time."""
        memory.intended = intend(memory.oracle_hyper, memory.oracle, params, task, state, rng)
        if uniform(rng) < epsilon_now(hyper, memory):
            return randint(rng, len(memory.actions))
        return memory.intended

    @kernel
    def learn(hyper, memory, seen, action, reward, terminated, truncated, then, rng):
        memory.t += 1
        take_notice(memory.oracle_hyper, memory.oracle, seen, action, reward, terminated, truncated, then, rng)

    class Bound(base):
        __doc__ = base.__doc__

        @staticmethod
        def memory(p, variant):
            return record(
                oracle=oracle.memory(oracle.p, variant),
                oracle_hyper=oracle.hyper.dtype,
                actions=(np.uint8, variant.actions),  # one unused byte an action: the shape says how many there are
                intended=np.int64,
                t=np.int64,
            )

        def initial_memory(self, variant):
            row = super().initial_memory(variant)
            row["oracle"], row["oracle_hyper"] = oracle.initial_memory(variant), oracle.hyper.view(np.ndarray)
            return row

        def bind(self, variant):
            return self

    Bound.__name__ = Bound.__qualname__ = base.__name__
    Bound.begin, Bound.act, Bound.learn = begin, act, learn
    return Bound
