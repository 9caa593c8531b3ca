"""One training step through each library, on Trial and PreviousStep, of a family of ours and of CartPole-v1.

Each test asks the same: did the library see the wrapper's spaces, are its losses finite, did its parameters change, and is
every reward in what it gathered shown in the next observation of the trial, across the ends of inner episodes too?
"""

import copy
import os
import subprocess

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.vector import AutoresetMode, VectorWrapper

from metarl_envs.boxes.envs.batch import make_vec
from metarl_wrappers import PreviousStep, Trial, VectorPreviousStep, VectorTrial

pytestmark = pytest.mark.slow
torch = pytest.importorskip("torch", reason="needs PyTorch")
torch.set_num_threads(1)

DARK_ROOM = "metarl_envs:MetaRL/DarkRoomHard-v0"  # pays once, in the step that ends the episode
CARTPOLE = "CartPole-v1"
KEYS = ("observation", "previous_action", "previous_reward", "previous_terminated", "episode_start")
ROWS, STEPS = 4, 100
every_id = pytest.mark.parametrize("id", [DARK_ROOM, CARTPOLE], ids=["DarkRoomHard", "CartPole"])
POLICY = {True: "MlpPolicy", False: "MultiInputPolicy"}
flat_or_dict = pytest.mark.parametrize("flat", [True, False], ids=["Box", "Dict"])


def single(id, flat=True):
    """Trials of two episodes, each observation with the step before."""
    if id == CARTPOLE:
        env = Trial(gym.make(id), episodes_per_trial=2)
    else:
        env = gym.make(id, size=3, horizon=4, episodes_per_trial=2)
    return PreviousStep(env, flat=flat)


def vector(id, mode, flat=True, rows=ROWS):
    """The vector form of the same."""
    if id == CARTPOLE:
        disabled = {"autoreset_mode": AutoresetMode.DISABLED}
        envs = gym.make_vec(id, num_envs=rows, vectorization_mode="sync", vector_kwargs=disabled)
        envs = VectorTrial(envs, episodes_per_trial=2, autoreset_mode=mode)
    else:
        envs = gym.make_vec(id, num_envs=rows, size=3, horizon=4, episodes_per_trial=2, autoreset_mode=mode)
    return VectorPreviousStep(envs, flat=flat)


def one_vector(observation):
    """The Dict form in the order of the flat one, as torch or NumPy arrays with the same leading axes."""
    if not isinstance(observation, dict):
        return np.asarray(observation)
    return np.concatenate([np.asarray(observation[key], np.float32) for key in KEYS], axis=-1)


def assert_nothing_lost(seen, rewards, starts):
    """`seen` [time, row, number] has shown all `rewards` [time, row] within trials; `starts` tells where those begin."""
    seen = one_vector(seen)
    shown, terminated, episode_start = seen[1:, :, -3], seen[1:, :, -2] == 1, seen[1:, :, -1] == 1
    inside = ~starts[1:]
    assert (rewards[:-1] == shown)[inside].all()
    assert (seen[starts][:, [-3, -2]] == 0).all(), "nothing of the last trial is shown"
    paid_at_inner_ends = rewards[:-1][inside & episode_start & terminated]
    assert len(paid_at_inner_ends) >= 2
    assert (paid_at_inner_ends == 1).all()


def weights(module):
    return {name: value.detach().clone() for name, value in module.named_parameters()}


def assert_trained(module, before, losses):
    assert any(not torch.equal(value, before[name]) for name, value in module.named_parameters())
    assert losses
    assert np.isfinite([float(loss) for loss in losses]).all()


def test_the_check_finds_a_lost_reward():
    """A wrapper that forgets at each inner end is found out."""
    envs = vector(DARK_ROOM, "SameStep")
    seen, rewards, starts = play(envs)
    assert_nothing_lost(seen, rewards, starts)
    at_ends = (seen[1:, :, -1] == 1) & ~starts[1:]
    seen[1:][at_ends, -3] = 0
    with pytest.raises(AssertionError):
        assert_nothing_lost(seen, rewards, starts)


def play(envs):
    """Random actions in a vector environment in SAME_STEP: observations, rewards, and where trials start."""
    envs.action_space.seed(0)
    observation, _ = envs.reset(seed=0)
    seen, rewards, starts = [], [], [np.ones(envs.num_envs, np.bool_)]
    for _ in range(STEPS):
        seen.append(one_vector(observation))
        observation, reward, terminated, truncated, _ = envs.step(envs.action_space.sample())
        rewards.append(reward)
        starts.append(terminated | truncated)
    return np.array(seen), np.array(rewards), np.array(starts[:-1])


# ------------------------------------------------------------------------------------------------------------- PyTorch
@every_id
def test_pytorch(id):
    """An actor-critic written out, over the vector environment; the value beyond a truncation is that of `final_obs`."""
    envs = vector(id, "SameStep")
    torch.manual_seed(0)
    network = torch.nn.Linear(envs.single_observation_space.shape[0], int(envs.single_action_space.n) + 1)
    optimizer, before = torch.optim.Adam(network.parameters(), 1e-2), weights(network)
    observation, _ = envs.reset(seed=0)
    start = np.ones(ROWS, np.bool_)
    kept = {"seen": [], "reward": [], "start": []}
    losses = []
    for _ in range(STEPS):
        kept["seen"].append(observation)
        kept["start"].append(start)
        output = network(torch.from_numpy(observation))
        policy, value = torch.distributions.Categorical(logits=output[:, 1:]), output[:, 0]
        action = policy.sample()
        observation, reward, terminated, truncated, info = envs.step(action.numpy())
        start = terminated | truncated
        kept["reward"].append(reward)
        after = observation.copy()
        for row in np.flatnonzero(start):
            after[row] = info["final_obs"][row]
        with torch.no_grad():
            beyond = network(torch.from_numpy(after))[:, 0] * torch.from_numpy(~terminated)
        advantage = torch.from_numpy(reward).float() + 0.9 * beyond - value
        losses.append((advantage.square() - advantage.detach() * policy.log_prob(action)).mean())
    torch.stack(losses).mean().backward()
    optimizer.step()
    assert_trained(network, before, [loss.detach() for loss in losses])
    assert_nothing_lost(*(np.array(values) for values in kept.values()))


# --------------------------------------------------------------------------------------------------- Stable-Baselines3
def train_with_sb3(environments, policy, algorithm=None, **arguments):
    """One update of PPO, or of an algorithm like it; the rollout that it was made from."""
    from stable_baselines3 import PPO
    from stable_baselines3.common.callbacks import BaseCallback
    from stable_baselines3.common.logger import Logger

    class Keep(BaseCallback):
        def _on_step(self):
            return True

        def _on_rollout_end(self):
            buffer = self.model.rollout_buffer
            self.kept = copy.deepcopy(buffer.observations), buffer.rewards.copy(), buffer.episode_starts == 1

    arguments |= {"n_steps": STEPS, "batch_size": STEPS, "n_epochs": 1, "seed": 0, "device": "cpu"}
    model = (algorithm or PPO)(policy, environments, **arguments)
    model.set_logger(Logger(folder=None, output_formats=[]))
    before, keep = weights(model.policy), Keep()
    model.learn(STEPS * environments.num_envs, callback=keep)
    logged = model.logger.name_to_value
    losses = [value for name, value in logged.items() if name.startswith("train/") and name.endswith("loss")]
    assert_trained(model.policy, before, losses)
    return model, keep.kept


@every_id
@flat_or_dict
def test_sb3(id, flat):
    pytest.importorskip("stable_baselines3", reason="needs Stable-Baselines3")
    from stable_baselines3.common.env_checker import check_env
    from stable_baselines3.common.env_util import make_vec_env

    check_env(single(id, flat))
    model, kept = train_with_sb3(make_vec_env(lambda: single(id, flat), n_envs=ROWS, seed=0), POLICY[flat])
    assert model.observation_space == single(id, flat).observation_space
    assert model.action_space == single(id, flat).action_space
    assert_nothing_lost(*kept)


@every_id
@flat_or_dict
def test_recurrent_ppo(id, flat):
    contrib = pytest.importorskip("sb3_contrib", reason="needs sb3-contrib")
    from stable_baselines3.common.env_util import make_vec_env

    environments = make_vec_env(lambda: single(id, flat), n_envs=ROWS, seed=0)
    policy, small = POLICY[flat].replace("Policy", "LstmPolicy"), {"lstm_hidden_size": 8}
    model, kept = train_with_sb3(environments, policy, contrib.RecurrentPPO, policy_kwargs=small)
    assert model.observation_space == single(id, flat).observation_space
    assert_nothing_lost(*kept)


@every_id
@flat_or_dict
def test_sb3_on_the_vector_environment(id, flat):
    pytest.importorskip("stable_baselines3", reason="needs Stable-Baselines3")
    from stable_baselines3.common.vec_env import VecMonitor

    from metarl_wrappers.sb3 import SB3VecEnv

    model, kept = train_with_sb3(VecMonitor(SB3VecEnv(vector(id, "SameStep", flat))), POLICY[flat])
    assert model.observation_space == single(id, flat).observation_space
    assert model.action_space == single(id, flat).action_space
    assert_nothing_lost(*kept)
    assert model.ep_info_buffer, "VecMonitor has counted trials"


@every_id
@flat_or_dict
def test_the_bridge_equals_singles_in_sb3s_own_vector_environment(id, flat):
    """Step by step: row i of the one is the environment i of the other."""
    pytest.importorskip("stable_baselines3", reason="needs Stable-Baselines3")
    from stable_baselines3.common.vec_env import DummyVecEnv

    from metarl_wrappers.sb3 import SB3VecEnv

    bridge, singles = SB3VecEnv(vector(id, "SameStep", flat)), DummyVecEnv([lambda: single(id, flat)] * ROWS)
    assert (bridge.observation_space, bridge.action_space) == (singles.observation_space, singles.action_space)
    bridge.seed(7)
    singles.seed(7)
    first, second = bridge.reset(), singles.reset()
    rng, trials = np.random.default_rng(0), 0
    for _ in range(80):
        assert np.array_equal(one_vector(first), one_vector(second))
        before = one_vector(first).copy()
        actions, last = rng.integers(0, bridge.action_space.n, ROWS), first
        first, rewards, dones, infos = bridge.step(actions)
        second, same_rewards, same_dones, same_infos = singles.step(actions)
        assert np.array_equal(one_vector(last), before), "what was given out stays as it was"
        assert np.array_equal(rewards, same_rewards)
        assert (rewards.dtype, dones.dtype) == (same_rewards.dtype, same_dones.dtype)
        assert np.array_equal(dones, same_dones)
        for row in np.flatnonzero(dones):
            trials += 1
            final, same = (told[row]["terminal_observation"] for told in (infos, same_infos))
            assert np.array_equal(one_vector(final), one_vector(same))
            assert infos[row]["TimeLimit.truncated"] == same_infos[row]["TimeLimit.truncated"]
    assert trials >= 4


def test_the_bridge_refuses_what_it_cannot_carry():
    pytest.importorskip("stable_baselines3", reason="needs Stable-Baselines3")
    from metarl_wrappers.sb3 import SB3VecEnv

    for mode in ("NextStep", "Disabled"):
        with pytest.raises(ValueError, match=r"autoreset_mode=AutoresetMode\.SAME_STEP"):
            SB3VecEnv(vector(DARK_ROOM, mode))
    bridge = SB3VecEnv(vector(DARK_ROOM, "SameStep"))
    bridge.set_options([{"task": 0}, {"task": 1}, {"task": 2}, {"task": 3}])
    with pytest.raises(ValueError, match="give one dict"):
        bridge.reset()
    bridge.set_options({"task": 3})
    bridge.reset()
    with pytest.raises(NotImplementedError, match="on the whole"):
        bridge.env_method("close")
    with pytest.raises(NotImplementedError, match="on the whole"):
        bridge.set_attr("x", 1)
    assert bridge.get_attr("episodes_per_trial", [0, 2]) == [2, 2]
    assert bridge.env_is_wrapped(PreviousStep) == [False] * ROWS
    bridge.close()


#: The layout of rows of `test_boxes_api`, in which a handful of actions is allowed at a time.
BOX = {"agents": 3, "notes": 2, "board": 1, "page": 1, "lineages": 1, "levels": 3, "width": 2, "bases": 4, "recipes": 1}
BOX |= {"dead_ends": 0.0, "crossover": 0, "horizon": 5}


class InInfos(VectorWrapper):
    """The action mask of a box in infos, and not in observations."""

    def __init__(self, env):
        super().__init__(env)
        self.single_observation_space = env.single_observation_space["observation"]
        self.observation_space = env.observation_space["observation"]

    def reset(self, **kwargs):
        observations, info = self.env.reset(**kwargs)
        return observations["observation"], {**info, "action_mask": observations["action_mask"]}

    def step(self, actions):
        observations, *rest, info = self.env.step(actions)
        if "final_obs" in info:
            rows = np.flatnonzero(info["_final_obs"])
            info["final_obs"][rows] = [info["final_obs"][row]["observation"] for row in rows]
        return observations["observation"], *rest, {**info, "action_mask": observations["action_mask"]}


@pytest.mark.parametrize("where", ["observations", "infos"])
def test_maskable_ppo_does_what_is_allowed(where):
    """Every action of its rollout is one that the mask allows; the box counts those that are not."""
    contrib = pytest.importorskip("sb3_contrib", reason="needs sb3-contrib")
    from stable_baselines3.common.vec_env import VecMonitor

    from metarl_wrappers.sb3 import SB3VecEnv

    boxes = make_vec("InventionBox", 2, flat=True, autoreset_mode="SameStep", **BOX)
    bridge = SB3VecEnv(boxes if where == "observations" else InInfos(boxes))
    assert not bridge.has_attr("action_masks"), "nothing was observed yet"
    monitored, policy = VecMonitor(bridge), POLICY[where == "infos"]
    model, (_, _, starts) = train_with_sb3(monitored, policy, contrib.MaskablePPO)
    buffer = model.rollout_buffer
    assert starts.sum() >= 6 * (STEPS // 5)
    assert boxes.illegal.sum() == bridge.info.get("final_info", {}).get("illegal", np.zeros(1)).sum() == 0
    masks = buffer.action_masks.reshape(-1, int(boxes.single_action_space.n)).astype(bool)
    assert masks[np.arange(len(masks)), buffer.actions.reshape(-1).astype(int)].all()
    assert not masks.all()
    if where == "observations":
        assert (masks == buffer.observations["action_mask"].reshape(masks.shape).astype(bool)).all()
    assert [mask.tolist() for mask in bridge.env_method("action_masks", indices=[1, 4])] == bridge.action_masks()[
        [1, 4]
    ].tolist()
    assert bridge.get_attr("action_masks", 2)[0]().tolist() == bridge.action_masks()[2].tolist()


def test_the_bridge_has_no_masks_where_there_are_none():
    pytest.importorskip("stable_baselines3", reason="needs Stable-Baselines3")
    from metarl_wrappers.sb3 import SB3VecEnv

    bridge = SB3VecEnv(vector(DARK_ROOM, "SameStep"))
    bridge.reset()
    assert not bridge.has_attr("action_masks")
    with pytest.raises(AttributeError, match="hold an 'action_mask'"):
        bridge.env_method("action_masks")


def test_the_bridge_shows_pictures():
    pytest.importorskip("stable_baselines3", reason="needs Stable-Baselines3")
    from metarl_wrappers.sb3 import SB3VecEnv

    envs = gym.make_vec(DARK_ROOM, num_envs=ROWS, autoreset_mode="SameStep", render_mode="rgb_array")
    bridge = SB3VecEnv(envs)
    bridge.reset()
    picture = bridge.render()
    assert picture.ndim == 3
    assert picture.any()


# ------------------------------------------------------------------------------------------------------------- TorchRL
class FinalsOnly(VectorWrapper):
    """What TorchRL needs in SAME_STEP: last observations in infos, and no dicts there (see docs/which-wrapper.md)."""

    autoreset_mode = AutoresetMode.SAME_STEP

    def reset(self, **kwargs):
        return self.env.reset(**kwargs)[0], {}

    def step(self, actions):
        *result, info = self.env.step(actions)
        return *result, {key: info[key] for key in ("final_obs", "_final_obs") if key in info}


@pytest.mark.filterwarnings(r"ignore:Creating \w+ which inherits from WeightUpdaterBase:DeprecationWarning")
@every_id
@pytest.mark.parametrize(("mode", "flat"), [("Disabled", True), ("Disabled", False), ("SameStep", True)])
def test_torchrl(id, mode, flat):
    """PPO over a collector. TorchRL asks for DISABLED, where it resets rows by mask itself, or for SAME_STEP."""
    pytest.importorskip("torchrl", reason="needs TorchRL")
    from tensordict.nn import TensorDictModule
    from torchrl.collectors import Collector
    from torchrl.envs import GymWrapper
    from torchrl.modules import OneHotCategorical, ProbabilisticActor, ValueOperator
    from torchrl.objectives import ClipPPOLoss
    from torchrl.objectives.value import GAE

    class Network(torch.nn.Module):
        def __init__(self, outputs):
            super().__init__()
            self.layer = torch.nn.Linear(inputs, outputs)

        def forward(self, *parts):
            return self.layer(torch.cat([part.float() for part in parts], dim=-1))

    torch.manual_seed(0)
    envs = vector(id, mode, flat)
    env = GymWrapper(envs if mode == "Disabled" else FinalsOnly(envs))
    env.set_seed(0)
    keys = ["observation"] if flat else list(KEYS)
    for key in keys:
        space = envs.single_observation_space if flat else envs.single_observation_space[key]
        assert env.observation_spec[key].shape == (ROWS, *space.shape)
    assert env.action_spec.shape == (ROWS, envs.single_action_space.n)
    inputs = single(id).observation_space.shape[0]
    logits = TensorDictModule(Network(int(envs.single_action_space.n)), in_keys=keys, out_keys=["logits"])
    actor = ProbabilisticActor(
        logits, in_keys=["logits"], distribution_class=OneHotCategorical, return_log_prob=True, spec=env.action_spec
    )
    critic = ValueOperator(Network(1), in_keys=keys)
    loss = ClipPPOLoss(actor, critic)
    collector = Collector(
        env, actor, frames_per_batch=STEPS * ROWS, total_frames=STEPS * ROWS, auto_register_policy_transforms=True
    )
    batch = next(iter(collector))
    before, optimizer = weights(loss), torch.optim.Adam(loss.parameters(), 1e-2)
    GAE(gamma=0.9, lmbda=0.9, value_network=critic)(batch)
    losses = {key: value for key, value in loss(batch.reshape(-1)).items() if key.startswith("loss_")}
    sum(losses.values()).backward()
    optimizer.step()
    assert_trained(loss, before, [value.detach() for value in losses.values()])
    seen = batch["observation"] if flat else one_vector({key: batch[key] for key in KEYS})
    by_time = (np.asarray(values).swapaxes(0, 1) for values in (seen, batch["next", "reward"], batch["is_init"]))
    seen, rewards, starts = by_time
    assert_nothing_lost(seen, rewards[..., 0], starts[..., 0])
    if flat:  # the reward of a trial's last step is in its last observation, which is what follows that step
        assert (batch["next", "observation"][..., -3] == batch["next", "reward"][..., 0]).all()
    collector.shutdown()


# ---------------------------------------------------------------------------------------------------------------- skrl
@every_id
@flat_or_dict
def test_skrl(id, flat):
    """PPO over the vector environment. Its GymnasiumWrapper flattens a Dict, keys in order."""
    pytest.importorskip("skrl", reason="needs skrl")
    from skrl.agents.torch.ppo import PPO, PPO_CFG
    from skrl.envs.wrappers.torch import wrap_env
    from skrl.memories.torch import RandomMemory
    from skrl.models.torch import CategoricalMixin, DeterministicMixin, Model
    from skrl.trainers.torch import SequentialTrainer

    class Linear(Model):
        def __init__(self, env, outputs):
            spaces = {"observation_space": env.observation_space, "action_space": env.action_space}
            Model.__init__(self, **spaces, device=env.device)
            self.layer = torch.nn.Linear(self.num_observations, outputs)

        def compute(self, inputs, role):
            return self.layer(inputs["observations"]), {}

    class Policy(CategoricalMixin, Linear):
        def __init__(self, env):
            Linear.__init__(self, env, int(env.action_space.n))
            CategoricalMixin.__init__(self)

    class Value(DeterministicMixin, Linear):
        def __init__(self, env):
            Linear.__init__(self, env, 1)
            DeterministicMixin.__init__(self)

    torch.manual_seed(0)
    env = wrap_env(vector(id, "SameStep", flat), wrapper="gymnasium", verbose=False)
    assert env.observation_space == single(id, flat).observation_space
    models, memory = {"policy": Policy(env), "value": Value(env)}, RandomMemory(memory_size=STEPS, num_envs=ROWS)
    config = PPO_CFG(rollouts=STEPS, learning_epochs=1, experiment={"write_interval": 0, "checkpoint_interval": 0})
    spaces = {"observation_space": env.observation_space, "action_space": env.action_space}
    agent = PPO(models=models, memory=memory, cfg=config, **spaces)
    before = [weights(model) for model in models.values()]
    quiet = {"timesteps": STEPS, "headless": True, "disable_progressbar": True, "close_environment_at_exit": False}
    SequentialTrainer(env=env, agents=agent, cfg=quiet).train()
    losses = [agent.tracking_data[name][-1] for name in ("Loss / Policy loss", "Loss / Value loss")]
    for model, old in zip(models.values(), before, strict=True):
        assert_trained(model, old, losses)
    kept = {name: memory.get_tensor_by_name(name).numpy() for name in ("observations", "rewards", "terminated", "truncated")}
    seen, ends = kept["observations"], (kept["terminated"] | kept["truncated"])[..., 0]
    if not flat:  # a Dict is flattened in the order of its keys
        parts = np.split(seen, np.cumsum([env.observation_space[key].shape[0] for key in sorted(KEYS)])[:-1], axis=-1)
        seen = dict(zip(sorted(KEYS), parts, strict=True))
    starts = np.concatenate([np.ones((1, ROWS), np.bool_), ends[:-1]])
    assert_nothing_lost(seen, kept["rewards"][..., 0], starts)


# ------------------------------------------------------------------------------------------------------------ Tianshou
@every_id
@flat_or_dict
def test_tianshou(id, flat):
    """PPO over a collector. Its DummyVectorEnv tells the innermost environment's spaces: ask a single one instead."""
    pytest.importorskip("tianshou", reason="needs Tianshou")
    from tianshou.algorithm import PPO
    from tianshou.algorithm.modelfree.reinforce import DiscreteActorPolicy
    from tianshou.algorithm.optim import AdamOptimizerFactory
    from tianshou.data import Collector, VectorReplayBuffer
    from tianshou.env import DummyVectorEnv
    from tianshou.utils.net.common import ModuleWithVectorOutput
    from tianshou.utils.net.discrete import DiscreteActor, DiscreteCritic
    from tianshou.utils.torch_utils import policy_within_training_step

    class Network(ModuleWithVectorOutput):
        def __init__(self):
            super().__init__(16)
            self.layer = torch.nn.Linear(single(id).observation_space.shape[0], 16)

        def forward(self, obs, state=None, info=None):
            vectors = one_vector(obs if flat else {key: obs[key] for key in KEYS})
            return self.layer(torch.as_tensor(vectors)), state

    torch.manual_seed(0)
    env, network = single(id, flat), Network()
    envs = DummyVectorEnv([lambda: single(id, flat)] * ROWS)
    envs.seed(0)
    actor = DiscreteActor(preprocess_net=network, action_shape=env.action_space.n, softmax_output=False)
    policy = DiscreteActorPolicy(actor=actor, action_space=env.action_space, observation_space=env.observation_space)
    algorithm = PPO(policy=policy, critic=DiscreteCritic(preprocess_net=network), optim=AdamOptimizerFactory(lr=1e-2))
    buffer, before = VectorReplayBuffer(STEPS * ROWS, ROWS), weights(algorithm)
    collector = Collector(algorithm, envs, buffer)
    collector.reset()
    collector.collect(n_step=STEPS * ROWS)
    with policy_within_training_step(policy):
        told = algorithm.update(buffer, batch_size=64, repeat=1)
    assert_trained(algorithm, before, [told.loss.mean, told.actor_loss.mean, told.vf_loss.mean])
    lived = [part[:] for part in buffer.buffers]
    seen = [one_vector(part.obs if flat else {key: part.obs[key] for key in KEYS}) for part in lived]
    starts = [np.array([True, *part.done[:-1]]) for part in lived]
    assert_nothing_lost(np.stack(seen, 1), np.stack([part.rew for part in lived], 1), np.stack(starts, 1))
    envs.close()


# --------------------------------------------------------------------------------------------------------------- RLlib
RLLIB = """
import sys

import gymnasium as gym
import numpy as np
import ray
from metarl_wrappers import PreviousStep, Trial
from ray.rllib.algorithms.ppo import PPOConfig
from ray.rllib.connectors.env_to_module import FlattenObservations
from ray.rllib.core.rl_module.default_model_config import DefaultModelConfig
from ray.tune.registry import register_env

ours = "metarl_envs:MetaRL/DarkRoomHard-v0"
register_env("dark_room", lambda config: PreviousStep(gym.make(ours, size=3, horizon=4, episodes_per_trial=2), **config))
register_env("cartpole", lambda config: PreviousStep(Trial(gym.make("CartPole-v1"), episodes_per_trial=2), **config))
ray.init(num_cpus=1, include_dashboard=False, log_to_driver=False)
for name, flat in (("dark_room", True), ("dark_room", False), ("cartpole", True)):
    # RLlib's default networks take no Dict: FlattenObservations makes it a vector on the way to them.
    connector = {} if flat else {"env_to_module_connector": lambda *args, **kwargs: FlattenObservations()}
    config = (
        PPOConfig()
        .environment(name, env_config={"flat": flat})
        .env_runners(num_env_runners=0, num_envs_per_env_runner=4, **connector)
        .learners(num_learners=0)
        .training(train_batch_size_per_learner=256, minibatch_size=64, num_epochs=1)
        .rl_module(model_config=DefaultModelConfig(fcnet_hiddens=[16]))
        .debugging(seed=0)
    )
    algorithm = config.build_algo()
    before = {key: np.array(value) for key, value in algorithm.get_module().get_state().items()}
    losses = algorithm.train()["learners"]["default_policy"]
    after = algorithm.get_module().get_state()
    assert any((np.asarray(after[key]) != before[key]).any() for key in before), "no weight changed"
    assert all(np.isfinite(float(losses[key])) for key in ("total_loss", "policy_loss", "vf_loss")), losses
    if flat:
        env = algorithm.env_runner.env.unwrapped.envs[0]
        space = algorithm.get_module().observation_space
        assert space == env.observation_space and space.shape[0] in (9, 10), space
        lived = algorithm.env_runner.sample(num_episodes=40)
        np.savez(
            f"{sys.argv[1]}/{name}.npz",
            seen=np.concatenate([episode.get_observations()[:-1] for episode in lived]),
            rewards=np.concatenate([episode.get_rewards() for episode in lived]),
            starts=np.concatenate([np.arange(len(episode)) == 0 for episode in lived]),
        )
    algorithm.stop()
ray.shutdown()
"""


def test_rllib(tmp_path):
    """In a virtual environment of its own, because RLlib asks for one release of Gymnasium."""
    python = os.environ.get("METARL_RLLIB_PYTHON")
    if not python:
        pytest.skip("METARL_RLLIB_PYTHON names no Python with ray[rllib] and this package (.ci/run makes one)")
    settings = {**os.environ, "RAY_USAGE_STATS_ENABLED": "0", "OMP_NUM_THREADS": "1"}
    result = subprocess.run([python, "-c", RLLIB, tmp_path], env=settings, capture_output=True, text=True, timeout=500)
    assert result.returncode == 0, result.stderr[-5000:]
    for name in ("dark_room", "cartpole"):
        lived = np.load(tmp_path / f"{name}.npz")
        assert_nothing_lost(lived["seen"][:, None], lived["rewards"][:, None], lived["starts"][:, None])


def test_torchrl_makes_our_ids_by_name():
    """It tries each environment with a `frameskip` first, and looks for Python's own words in the refusal."""
    pytest.importorskip("torchrl", reason="needs TorchRL")
    from torchrl.envs.libs.gym import GymEnv

    env = GymEnv(DARK_ROOM, size=3, horizon=4)
    rollout = env.rollout(4)
    assert rollout["next", "reward"].shape[-1] == 1
    assert rollout["observation"].shape[-1] == 2
