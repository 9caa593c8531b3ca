"""Source learners: algorithms that learn inside one trial, compiled, one file each and one line here."""

import re

from metarl_envs.engine.player import Player
from metarl_envs.learners.actor_critic import ActorCritic as ActorCritic
from metarl_envs.learners.count_bonus import CountBonusQ as CountBonusQ
from metarl_envs.learners.double_q import DoubleQ as DoubleQ
from metarl_envs.learners.dpt_behaviour import DPTBehaviour as DPTBehaviour
from metarl_envs.learners.epsilon_greedy import EpsilonGreedy as EpsilonGreedy
from metarl_envs.learners.gaussian_thompson import GaussianThompson as GaussianThompson
from metarl_envs.learners.gradient_bandit import GradientBandit as GradientBandit
from metarl_envs.learners.lin_ucb import LinUCB as LinUCB
from metarl_envs.learners.neural_q import NeuralQ as NeuralQ
from metarl_envs.learners.noise_annealed import NoiseAnnealed as NoiseAnnealed
from metarl_envs.learners.psrl import PSRL as PSRL
from metarl_envs.learners.q_lambda import QLambda as QLambda
from metarl_envs.learners.q_learning import QLearning as QLearning
from metarl_envs.learners.random import Random as Random
from metarl_envs.learners.random import random_policy as random_policy
from metarl_envs.learners.reinforce import Reinforce as Reinforce
from metarl_envs.learners.sarsa import SARSA as SARSA
from metarl_envs.learners.thompson import Thompson as Thompson
from metarl_envs.learners.ucb1 import UCB1 as UCB1
from metarl_envs.learners.ucrl2 import UCRL2 as UCRL2


def _snake_case(name: str) -> str:
    """What a command calls a class: `QLearning` is "q_learning", `DPTBehaviour` "dpt_behaviour"."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", name).lower()


#: Every learner by the name that commands use.
LEARNERS: dict[str, type[Player]] = {
    _snake_case(name): one for name, one in list(vars().items()) if isinstance(one, type) and one is not Player
}
