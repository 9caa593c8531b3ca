"""Source learners: algorithms that learn inside one trial, compiled, one file each."""

from metarl_envs.engine.player import Player
from metarl_envs.learners.actor_critic import ActorCritic
from metarl_envs.learners.count_bonus import CountBonusQ
from metarl_envs.learners.double_q import DoubleQ
from metarl_envs.learners.dpt_behaviour import DPTBehaviour
from metarl_envs.learners.epsilon_greedy import EpsilonGreedy
from metarl_envs.learners.gaussian_thompson import GaussianThompson
from metarl_envs.learners.gradient_bandit import GradientBandit
from metarl_envs.learners.lin_ucb import LinUCB
from metarl_envs.learners.noise_annealed import NoiseAnnealed
from metarl_envs.learners.psrl import PSRL
from metarl_envs.learners.q_lambda import QLambda
from metarl_envs.learners.q_learning import QLearning
from metarl_envs.learners.random import Random, RandomArray, random_policy
from metarl_envs.learners.reinforce import Reinforce
from metarl_envs.learners.sarsa import SARSA
from metarl_envs.learners.thompson import Thompson
from metarl_envs.learners.ucb1 import UCB1
from metarl_envs.learners.ucrl2 import UCRL2

#: Every learner by the name that commands use.
LEARNERS: dict[str, type[Player]] = {
    "random": Random,
    "q_learning": QLearning,
    "q_lambda": QLambda,
    "double_q": DoubleQ,
    "count_bonus_q": CountBonusQ,
    "sarsa": SARSA,
    "actor_critic": ActorCritic,
    "reinforce": Reinforce,
    "epsilon_greedy": EpsilonGreedy,
    "gradient_bandit": GradientBandit,
    "ucb1": UCB1,
    "thompson": Thompson,
    "gaussian_thompson": GaussianThompson,
    "lin_ucb": LinUCB,
    "psrl": PSRL,
    "ucrl2": UCRL2,
    "noise_annealed": NoiseAnnealed,
    "dpt_behaviour": DPTBehaviour,
}

__all__ = [
    "LEARNERS",
    "PSRL",
    "SARSA",
    "UCB1",
    "UCRL2",
    "ActorCritic",
    "CountBonusQ",
    "DPTBehaviour",
    "DoubleQ",
    "EpsilonGreedy",
    "GaussianThompson",
    "GradientBandit",
    "LinUCB",
    "NoiseAnnealed",
    "QLambda",
    "QLearning",
    "Random",
    "RandomArray",
    "Reinforce",
    "Thompson",
    "random_policy",
]
