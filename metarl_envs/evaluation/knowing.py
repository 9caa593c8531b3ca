"""Does a player do what it knows to be best? Language models that state the best arm of a bandit, and then pull another.

In each step that a transcript tells of there are three arms: the one that the model states to be the best (the last line of its
reply that begins with `best:`; `LanguageModel(states_best=True)` asks for it), the one that it pulls, and the best by the exact
posterior, given all that was pulled and paid until then. The knowing-doing gap is

    P(stated = best by the posterior) - P(pulled = stated).

Above 0 it knows more than it does, as Schmied et al. (2025, arXiv 2504.16078) find of language models. To explore is no
mistake, though: whoever pulls an arm to learn about it does other than it states. So read the gap where exploring is over, or
beside what a player that explores well does: how many of its pulls are `greedy`.
"""

from __future__ import annotations

import os
from dataclasses import dataclass

import numpy as np

from metarl_envs.engine.sentences import read, sentences_of
from metarl_envs.evaluation.diagnostics import Estimate
from metarl_envs.players.models.contexts import stated_best
from metarl_envs.players.models.transcript import last_replies
from metarl_envs.players.run import Run


@dataclass(frozen=True, eq=False)
class Knowing:
    """What a player knew and did: one number a life, [life]; NaN where it stated nothing.

    Attributes:
        stated: the share of steps in which it stated an arm.
        knows: of these, the share in which the arm is (one of) the best by the posterior.
        does: of these, the share in which it pulled the arm that it stated.
        greedy: the share of all steps in which it pulled (one of) the best by the posterior.
    """

    stated: np.ndarray
    knows: np.ndarray
    does: np.ndarray
    greedy: np.ndarray

    @property
    def gap(self) -> np.ndarray:
        """Return the knowing-doing gap of each life."""
        return self.knows - self.does

    def summary(self) -> dict[str, Estimate]:
        """Return the means: of `stated` and `greedy` over all lives, of the others over those in which something was stated."""
        found = {}
        for name in ("stated", "knows", "does", "gap", "greedy"):
            values = getattr(self, name)
            there = values[~np.isnan(values)]
            found[name] = Estimate.of(there) if len(there) else Estimate(np.nan, np.nan)
        return found


def knowing_doing(run: Run, transcript: str | os.PathLike) -> Knowing:
    """Return what a language model stated in the lives of a run, beside what it did and what it could have known.

    Args:
        run: of a bandit whose posterior has a closed form.
        transcript: what the model was asked and answered in it.

    Raises:
        ValueError: the family is no such bandit; the file is no transcript, or has no reply of this run.
    """
    variant, replies = run.variant, last_replies(transcript)
    prior = variant.family.prior(variant.p)
    if prior is None or variant.family.expected_rewards(variant.p, prior) is None:
        raise ValueError(f"{variant} is no bandit whose posterior tells which arm is best: BernoulliBandit and GapBandit are")
    sentences, shape = sentences_of(variant.action_space, variant.action_names), run.actions.shape
    stated = np.full(shape, -1)
    told = 0
    for row, seed in enumerate(run.seeds.tolist()):
        for t in range(run.steps[row]):
            if (reply := replies.get((seed, 0, t))) is not None:
                told += 1
                said, reading = read(sentences, stated_best(reply)[0], lenient=True)
                stated[row, t] = -1 if reading == "malformed" else said.action
    if not told:
        raise ValueError(f"transcript={os.fspath(transcript)!r} has no reply of {run!r}: give the one that belongs to it")
    best = _best_arms(run)
    lived = np.arange(shape[1]) < run.steps[:, None]
    said = lived & (stated >= 0)
    knows = np.take_along_axis(best, np.maximum(stated, 0)[:, :, None], axis=2)[:, :, 0]
    greedy = np.take_along_axis(best, run.actions[:, :, None].astype(int), axis=2)[:, :, 0]
    return Knowing(_share(said, lived), _share(knows, said), _share(run.actions == stated, said), _share(greedy, lived))


def _best_arms(run: Run) -> np.ndarray:
    """Which arms are the best by the posterior before each step, bool [life, step, arm]."""
    family, p = run.variant.family, run.variant.p
    steps = []
    for truth in run.ground_truth():
        beliefs = truth["posterior"]
        rows = ({name: values[row] for name, values in beliefs.items()} for row in range(len(run)))
        expected = np.array([family.expected_rewards(p, belief) for belief in rows])
        steps.append(expected >= expected.max(axis=1, keepdims=True) - 1e-12)
    return np.stack(steps[:-1], axis=1)  # the last is after the last step


def _share(what: np.ndarray, among: np.ndarray) -> np.ndarray:
    """The share of the marked steps in which something holds, [life]; NaN where none is marked."""
    count = among.sum(axis=1)
    return np.divide((what & among).sum(axis=1), count, out=np.full(len(count), np.nan), where=count > 0)
