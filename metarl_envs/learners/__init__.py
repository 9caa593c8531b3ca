"""Source learners: algorithms that learn inside one trial, compiled, one file each."""

from metarl_envs.engine.learner import Learner
from metarl_envs.learners.psrl import PSRL
from metarl_envs.learners.q_learning import QLearning
from metarl_envs.learners.random import Random, RandomArray, random_policy
from metarl_envs.learners.thompson import Thompson
from metarl_envs.learners.ucb1 import UCB1

#: Every learner by the name that commands use.
LEARNERS: dict[str, type[Learner]] = {
    "random": Random,
    "q_learning": QLearning,
    "ucb1": UCB1,
    "thompson": Thompson,
    "psrl": PSRL,
}

__all__ = ["LEARNERS", "PSRL", "UCB1", "Learner", "QLearning", "Random", "RandomArray", "Thompson", "random_policy"]
