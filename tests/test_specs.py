"""What libraries ask of an environment: its spec as JSON, how it can be shown, a refusal in Python's own words."""

import inspect
import re

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.envs.registration import EnvSpec
from gymnasium.vector import AutoresetMode

import metarl_envs
from metarl_envs import ids, making
from metarl_envs.engine import Choice, Family, Flag, Integer, Parameters, Real, kernel, record
from metarl_envs.engine.envs.scoreboard import RENDER_MODES
from metarl_envs.engine.envs.single import SingleEnv
from metarl_envs.engine.envs.vector import FamilyVectorEnv
from metarl_envs.engine.family import RESERVED
from metarl_envs.ids import TABLE

IDS = [f"metarl_envs:{row.id}" for row in TABLE]
ROOM = "metarl_envs:MetaRL/DarkRoom-v0"
every_id = pytest.mark.parametrize("id", IDS)

#: The same arguments in NumPy's types and in Python's.
NUMPY = {"horizon": np.int64(5), "size": np.uint8(3), "once": np.bool_(True), "start": np.str_("corner")}
PYTHON = {"horizon": 5, "size": 3, "once": True, "start": "corner"}
COMMON = {"episodes_per_trial": np.int32(2), "num_tasks": np.int64(3), "reveal": np.bool_(False)}


# ------------------------------------------------------------------------------------------- specs
def made(spec):
    """The keyword arguments of a spec that went through JSON, with their types."""
    kwargs = EnvSpec.from_json(spec.to_json()).kwargs
    return {name: (type(value), value) for name, value in kwargs.items()}


def test_the_spec_of_an_environment_holds_what_was_checked():
    env, plain = gym.make(ROOM, **NUMPY, **COMMON), gym.make(ROOM, **PYTHON, episodes_per_trial=2, num_tasks=3, reveal=False)
    assert made(env.spec) == made(plain.spec)
    assert made(env.spec)["horizon"] == (int, 5)
    again = gym.make(EnvSpec.from_json(env.spec.to_json()))
    assert again.unwrapped.variant is env.unwrapped.variant
    for seed in range(3):
        assert (again.reset(seed=seed)[0] == env.reset(seed=seed)[0]).all()


def test_the_spec_of_a_vector_environment_holds_what_was_checked():
    arguments = {**NUMPY, **COMMON, "autoreset_mode": AutoresetMode.SAME_STEP}
    envs = gym.make_vec(ROOM, num_envs=np.int64(3), **arguments)
    told = made(envs.spec)
    assert {name: told[name] for name in PYTHON} == {name: (type(value), value) for name, value in PYTHON.items()}
    assert (told["num_envs"], told["autoreset_mode"]) == ((int, 3), (str, "SameStep"))
    again = gym.make_vec(EnvSpec.from_json(envs.spec.to_json()))
    assert (again.num_envs, again.autoreset_mode) == (3, AutoresetMode.SAME_STEP)
    assert again.variant is envs.variant


def test_a_time_limit_of_a_vector_environment_is_in_the_spec_as_python_has_it():
    envs = gym.make_vec(ROOM, num_envs=2, horizon=4, max_episode_steps=np.int64(4))
    assert made(envs.spec)["max_episode_steps"] == (int, 4)


def test_an_environment_that_gymnasium_did_not_make_has_no_spec():
    tasks = metarl_envs.tasks(ROOM)
    assert SingleEnv(tasks).spec is None
    assert FamilyVectorEnv(tasks, num_envs=2).spec is None


@pytest.mark.parametrize(
    ("parameter", "given", "checked"),
    [
        (Integer(3, 1, 5), np.uint8(4), 4),
        (Real(0.5, 0.0, 1.0), np.float32(0.25), 0.25),
        (Real(0.5, 0.0, 1.0), np.float16(0.25), 0.25),
        (Real(0.5, 0.0, 1.0), np.int8(1), 1.0),
        (Flag(False), np.bool_(True), True),
        (Flag(False), np.int64(1), True),
        (Choice("a", ("a", "b")), np.str_("b"), "b"),
    ],
)
def test_parameters_take_numpys_values_and_keep_pythons(parameter, given, checked):
    kept = parameter.check("it", given)
    assert (type(kept), kept) == (type(checked), checked)


@pytest.mark.parametrize("parameter", [Integer(1, 0, 1), Real(0.5, 0.0, 1.0), Flag(False), Choice("a", ("a", "b"))])
@pytest.mark.parametrize("value", [np.array([0, 1]), [0], 10**400, np.float64("nan"), {}, b"a", 1j], ids=repr)
def test_parameters_refuse_what_is_none_of_their_values_by_name(parameter, value):
    with pytest.raises((TypeError, ValueError), match=r"^it="):
        parameter.check("it", value)


# ------------------------------------------------------------------------------------------- showing
@every_id
def test_every_environment_can_be_shown_in_a_window_and_collect_pictures(id, monkeypatch):
    monkeypatch.setenv("SDL_VIDEODRIVER", "dummy")
    with pytest.warns(UserWarning, match="HumanRendering wrapper is being applied"):  # Gymnasium says so of all that have none
        env = gym.make(id, render_mode="human")
    assert env.render_mode == "human"
    env.reset(seed=0)
    env.step(env.action_space.sample())
    assert env.render() is None
    env.close()
    env = gym.make(id, render_mode="rgb_array_list")
    env.reset(seed=0)
    env.step(env.action_space.sample())
    pictures = env.render()
    assert [picture.shape for picture in pictures] == [(480, 720, 3)] * 2
    assert isinstance(gym.make(id, render_mode="ansi").unwrapped, SingleEnv)


def test_what_gymnasium_asks_of_the_maker_is_what_the_environment_says():
    assert making.make_single.metadata == SingleEnv.metadata
    assert tuple(SingleEnv.metadata["render_modes"]) == RENDER_MODES
    envs = gym.make_vec(ROOM, num_envs=2)
    assert tuple(envs.metadata["render_modes"]) == RENDER_MODES


@pytest.mark.parametrize("mode", ["human", "rgb_array_list", "rgb_aray", "", 1, True])
def test_a_way_of_showing_that_there_is_not_is_refused(mode):
    tasks = metarl_envs.tasks(ROOM)
    for make in (
        lambda: gym.make_vec(ROOM, num_envs=2, render_mode=mode),
        lambda: FamilyVectorEnv(tasks, num_envs=2, render_mode=mode),
        lambda: SingleEnv(tasks, render_mode=mode),
    ):
        with pytest.raises(ValueError, match=re.escape(f"render_mode={mode!r} must be None, 'rgb_array' or")):
            make()


# ------------------------------------------------------------------------------------------- refusals
@every_id
def test_a_library_that_tries_an_argument_out_reads_pythons_own_words(id):
    """TorchRL's GymEnv tries `frameskip`, and goes on without it where it reads this."""
    for make in (lambda: gym.make(id, frameskip=4), lambda: gym.make_vec(id, num_envs=2, frameskip=4)):
        with pytest.raises(TypeError, match="got an unexpected keyword argument 'frameskip'") as caught:
            make()
        assert "horizon (an integer" in str(caught.value) or "horizon (" in str(caught.value)


def test_the_words_are_those_of_python():
    def function():
        pass

    with pytest.raises(TypeError) as of_python:
        function(frameskip=4)
    with pytest.raises(TypeError) as ours:
        Parameters(size=Integer(1, 0)).resolve({"frameskip": 4}, "Ours")
    words = str(of_python.value).partition("() ")[2]
    assert str(ours.value).startswith(f"Ours {words}; it takes: size (")


def doors():
    """Every public function that takes the parameters of a family beside arguments of its own."""
    from metarl_envs.boxes.envs import batch, parallel
    from metarl_envs.boxes.study import runs
    from metarl_envs.evaluation import diagnostics
    from metarl_envs.histories import collect
    from metarl_envs.histories.plan import Plan
    from metarl_envs.play import Game
    from metarl_envs.task_sets import TaskSet, tasks

    yield from (gym.make, gym.make_vec, making.make_single, making.make_vector, SingleEnv, FamilyVectorEnv)
    yield from (tasks, TaskSet.of_family, metarl_envs.evaluate, collect, Plan.of, Game)
    yield from (batch.make_vec, batch.BoxVectorEnv, parallel.ParallelBox, runs.run, runs.forecast, diagnostics.compare)
    yield metarl_envs.text.make


def test_every_name_that_a_parameter_would_share_with_an_argument_is_reserved():
    for door in doors():
        for name, argument in inspect.signature(door).parameters.items():
            assert name in RESERVED or argument.kind is argument.VAR_KEYWORD, f"{name} of {door.__name__}"


def test_no_name_is_reserved_for_nothing():
    taken = {name for door in doors() for name in inspect.signature(door).parameters}
    assert taken >= RESERVED


@kernel
def nothing(params, task, state, rng):
    state.t = 0


@pytest.mark.parametrize("name", ["seed", "reveal", "tasks", "steps", "split", "num_tasks", "family"])
def test_a_parameter_that_no_call_could_reach_is_refused(name):
    class Unreachable(Family):
        params = Parameters(horizon=Integer(5, 1), **{name: Integer(7, 0)})
        task, state = record(t=np.int8), record(t=np.int8)
        sample_task, reset, step, observe = nothing, nothing, nothing, nothing

        @staticmethod
        def spaces(p):
            return gym.spaces.Discrete(1), gym.spaces.Discrete(2)

    with pytest.raises(TypeError, match=f"family Unreachable has a parameter named '{name}'"):
        Unreachable.with_params()


# ------------------------------------------------------------------------------------------- ids
def test_a_short_id_is_ours_where_gymnasium_has_one_of_that_name():
    assert gym.spec("CartPole-v0").entry_point.startswith("gymnasium.")
    ours = metarl_envs.tasks("MetaRL/CartPole-v0").fingerprint
    assert {metarl_envs.tasks(id).fingerprint for id in ("CartPole-v0", "CartPole", "metarl_envs:CartPole-v0")} == {ours}
    for foreign in ("CartPole-v1", "gymnasium:CartPole-v0", "ALE/Pong-v5", ""):
        with pytest.raises(ValueError, match="is not a family"):
            metarl_envs.tasks(foreign)


def test_boxes_are_named_as_their_classes():
    from metarl_envs.engine.family import load_family

    assert {name: load_family(path).__name__ for name, path in ids.BOXES.items()} == {name: name for name in ids.BOXES}
