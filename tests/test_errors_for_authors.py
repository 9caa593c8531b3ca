"""What an author of a family is told when something is wrong with it: in a few words, and where."""

import re

import gymnasium as gym
import pytest

import metarl_envs
from metarl_envs.engine import PLAIN, Family, Integer, Parameters, kernel
from metarl_envs.engine.compiling.errors import KernelError
from metarl_envs.families.bandits.gaussian import GaussianBandit
from metarl_envs.families.grids.dark_room import DarkRoom
from metarl_envs.testing import check_family
from metarl_envs.testing.returns import check_oracle


# ------------------------------------------------------------------------------------------- kernels
def no_kernel(x):
    return x


@kernel
def misspelt_field(params, task, state, action, rng):
    state.agnet[0] = 1
    return 0.0, False


@kernel
def misspelt_name(params, task, state, action, rng):
    return 1.0 * acton, False  # noqa: F821


@kernel
def makes_a_list(params, task, state, action, rng):
    reward = [1.0, 2.0][action]
    return reward, False


@kernel
def calls_what_is_no_kernel(params, task, state, action, rng):
    return no_kernel(1.0), False


@kernel
def returns_one_value(params, task, state, action, rng):
    return 1.0


@kernel
def takes_too_few(params, task, action, rng):
    return 1.0, False


@pytest.mark.skipif(PLAIN, reason="nothing is compiled")
@pytest.mark.parametrize(
    ("step", "line", "reason"),
    [
        (misspelt_field, "state.agnet[0] = 1", "no field 'agnet'"),
        (misspelt_name, None, "name 'acton' is not defined"),
        (makes_a_list, "reward = [1.0, 2.0][action]", "a list"),
        (calls_what_is_no_kernel, "return no_kernel(1.0), False", "@kernel"),
        (returns_one_value, None, "two values: the reward"),
        (takes_too_few, None, "(params, task, action, rng)"),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_a_kernel_that_does_not_compile_is_told_in_a_few_lines(step, line, reason):
    family = type("Broken", (DarkRoom,), {"__doc__": "A family.", "step": step})
    with pytest.raises(KernelError) as caught:
        one_step(family)
    told = str(caught.value)
    assert told.startswith("Broken does not compile")
    assert reason in told
    assert "NUMBA_DISABLE_JIT=1" in told
    assert len(told) < 600
    where = re.search(r'File "(.*)", line (\d+)\n    (.*)', told)
    if line is None:  # then it says how the engine calls it
        assert where[3] == "reward, done = step(p, task, w.state, action, w.rng)"
    else:
        assert (where[1], where[3]) == (__file__, line)
    assert caught.value.__suppress_context__


def one_step(family):
    from metarl_envs.engine.envs.single import SingleEnv
    from metarl_envs.task_sets import TaskSet

    env = SingleEnv(TaskSet.of_family(family))
    env.reset(seed=0)
    env.step(0)


@pytest.mark.slow
def test_check_family_names_the_line_as_ordinary_python(tmp_path, monkeypatch):
    """Before anything is compiled."""
    (tmp_path / "walks_off.py").write_text(
        "import metarl_envs\n"
        "from metarl_envs.engine import kernel\n"
        "from metarl_envs.families.grids.dark_room import DarkRoom\n\n\n"
        "@kernel\n"
        "def walk_off(params, task, state, action, rng):\n"
        "    return 1.0 * state.agnet[0], False\n\n\n"
        "class WalksOff(DarkRoom):\n"
        "    step = walk_off\n\n\n"
        'metarl_envs.register("Broken/WalksOff-v0", "walks_off:WalksOff")\n'
    )
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(AssertionError) as caught:
        check_family("walks_off:Broken/WalksOff-v0")
    told = str(caught.value)
    assert f'File "{tmp_path / "walks_off.py"}", line 8, in walk_off' in told
    assert "no field 'agnet'" in told
    assert "drivers.py" not in told


# ------------------------------------------------------------------------------------------- declarations
class Nothing(Family):
    """Nothing at all."""


class Endless(DarkRoom):
    params = Parameters(size=Integer(9, 2, 99), once=Integer(0, 0, 1))


class NobodyKnows(GaussianBandit):
    references = {}

    @staticmethod
    def returns(p, task):
        return None


class OracleIsAClass(NobodyKnows):
    references = {"oracle": type(GaussianBandit.references["oracle"])}


class Unseen(DarkRoom):
    draw, describe = Family.draw, Family.describe


def id_of(name):
    metarl_envs.register(f"Broken/{name}-v0", f"{__name__}:{name}")
    return f"Broken/{name}-v0"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("Nothing", "lacks params, task, state, sample_task, reset, step, observe, spaces"),
        ("Endless", r"lacks the parameter `horizon`.*horizon=Integer"),
        ("OracleIsAClass", r"reference 'oracle' of OracleIsAClass is a class: write \w+\(\)"),
    ],
)
def test_a_family_that_lacks_something_says_what(name, message):
    id = id_of(name)
    for call in (gym.make, metarl_envs.tasks, check_family):
        with pytest.raises(TypeError, match=message):
            call(id)


def test_a_misspelt_class_is_told_with_what_there_is():
    metarl_envs.register("Broken/Misspelt-v0", f"{__name__}:Unsene")
    for call in (gym.make, metarl_envs.tasks):
        with pytest.raises(ValueError, match=r"no 'Unsene'; there are: .*Unseen"):
            call("Broken/Misspelt-v0")


def test_what_is_no_family_says_so():
    metarl_envs.register("Broken/NoFamily-v0", f"{__name__}:no_kernel")
    with pytest.raises(ValueError, match=r"no_kernel in .* no subclass of metarl_envs.Family"):
        gym.make("Broken/NoFamily-v0")


def test_what_cannot_be_scaled_is_refused():
    id = id_of("NobodyKnows")
    with pytest.raises(AssertionError, match="no reference 'oracle'"):
        check_oracle(id, {})
    with pytest.raises(ValueError, match="no reference 'oracle'"):
        metarl_envs.evaluate(id, ["random"], tasks=2, seeds=1)


def test_a_family_without_an_oracle_is_scaled_where_its_returns_are_known(monkeypatch):
    monkeypatch.setattr(DarkRoom, "references", {})
    check_oracle("MetaRL/DarkRoom-v0", {})
    result = metarl_envs.evaluate("MetaRL/DarkRoom-v0", ["random"], tasks=2, seeds=1, episodes=3)
    assert (result.scale.oracle > 0).all()


def test_a_family_without_pictures_says_what_to_write():
    env = gym.make(id_of("Unseen"), render_mode="rgb_array")
    env.reset(seed=0)
    with pytest.raises(NotImplementedError, match=r"write its static method draw\("):
        env.render()
