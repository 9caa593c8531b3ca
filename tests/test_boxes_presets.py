"""One id, one world: a seat has the parameters of its box; and presets, which are names for parameters."""

import gymnasium as gym
import numpy as np
import pytest

import metarl_envs
from metarl_envs import boxes
from metarl_envs.boxes import amnesia_v0, invention_v0
from metarl_envs.boxes.envs.seats import AmnesiaSeat, InventionSeat
from metarl_envs.boxes.scenarios.amnesia import AmnesiaBox
from metarl_envs.boxes.scenarios.invention import InventionBox
from metarl_envs.engine import Integer, Parameters, Preset

pytestmark = pytest.mark.plain
MODULES = {"InventionBox": invention_v0, "AmnesiaBox": amnesia_v0}
FAMILIES = {"InventionBox": (InventionBox, InventionSeat), "AmnesiaBox": (AmnesiaBox, AmnesiaSeat)}
#: What each preset sets, and how many items there are then.
SETS = {
    ("InventionBox", "full"): (dict(horizon=500, levels=20, crossover=6, agents=6), 172),
    ("InventionBox", "short"): (dict(horizon=300, levels=20, crossover=6, agents=6), 172),
    ("InventionBox", "small"): (dict(horizon=500, levels=5, crossover=3, agents=6), 52),
    ("AmnesiaBox", "full"): (dict(horizon=1500, day=60, levels=30, notes=16, recipes=6), 252),
    ("AmnesiaBox", "short"): (dict(horizon=300, day=60, levels=30, notes=16, recipes=6), 252),
    ("AmnesiaBox", "small"): (dict(horizon=600, day=30, levels=4, notes=8, recipes=2), 24),
}


def without_companions(values):
    return {name: value for name, value in values.items() if name != "companions"}


@pytest.mark.parametrize(("name", "preset"), SETS)
def test_one_id_is_one_world_whoever_makes_it(name, preset):
    expected, items = SETS[name, preset]
    seat = gym.make(f"metarl_envs:MetaRL/{name}-v0", preset=preset)
    values = seat.unwrapped.variant.values
    assert {key: values[key] for key in expected} == expected
    assert values["preset"] == preset
    worlds = [
        MODULES[name].parallel_env(preset=preset).variant,
        boxes.make_vec(name, 2, preset=preset).variant,
        boxes.make_vec(f"MetaRL/{name}-v0", 2, flat=True, preset=preset).boxes.variant,
        metarl_envs.tasks(name, preset=preset).variant,
    ]
    for variant in worlds:
        assert without_companions(variant.values) == without_companions(values)
    assert worlds[0].state["held"].shape == (values["agents"], items)
    assert seat.spec.kwargs["preset"] == preset
    again = gym.make(gym.envs.registration.EnvSpec.from_json(seat.spec.to_json()))
    assert again.unwrapped.variant.values == values


@pytest.mark.parametrize("name", FAMILIES)
def test_a_seat_lives_in_the_box_of_its_seed(name):
    """The same seed gives a seat and a whole box the same recipes."""
    seat = gym.make(f"metarl_envs:MetaRL/{name}-v0", preset="small").unwrapped
    seat.reset(seed=7)
    box = MODULES[name].parallel_env(preset="small")
    box.reset(seed=7)
    mine, whole = seat.get_state()["task_rows"][0], box.task
    for field in ("recipe", "live", "parity"):
        np.testing.assert_array_equal(mine[field], whole[field])


def test_a_preset_stands_in_a_run_that_is_loaded_again(tmp_path):
    run = boxes.run("AmnesiaBox", {0: "random"}, boxes=1, preset="small", horizon=40)
    assert (run.params["preset"], run.params["horizon"], run.params["levels"]) == ("small", 40, 4)
    run.save(tmp_path / "run")
    assert boxes.load(tmp_path / "run").params == run.params


def test_what_is_given_goes_before_what_a_preset_sets():
    assert AmnesiaBox.with_params(preset="short", horizon=120).p.horizon == 120
    assert AmnesiaBox.with_params().p.preset == "full"
    with pytest.raises(ValueError, match=r"preset='tiny' must be one of 'full', 'short', 'small'"):
        AmnesiaBox.with_params(preset="tiny")


def test_a_shift_and_a_preset_do_not_set_the_same():
    for split, preset in (("deeper", "small"), ("train+deeper", "small")):
        with pytest.raises(ValueError, match=f"levels=5 cannot be given with split='{split.replace('+', chr(92) + '+')}'"):
            metarl_envs.tasks("InventionBox", split=split, preset=preset)
    deeper = metarl_envs.tasks("InventionBox", split="deeper", preset="short").variant
    assert (deeper.p.levels, deeper.p.width, deeper.p.horizon) == (40, 2, 300)
    assert deeper.observation_space.shape == metarl_envs.tasks("InventionBox").variant.observation_space.shape


def test_parameters_of_ones_own_have_presets():
    parameters = Parameters(preset=Preset.of(tiny={"size": 2}), size=Integer(9, 2, 99), horizon=Integer(20, 1))
    assert parameters.resolve({}) == {"preset": "full", "size": 9, "horizon": 20}
    assert parameters.resolve({"preset": "tiny"}) == {"preset": "tiny", "size": 2, "horizon": 20}
    assert parameters.with_defaults(size=5).resolve({"preset": "tiny", "size": 3})["size"] == 3
    assert parameters.row(parameters.resolve({"preset": "tiny"}))[0]["preset"] == 1
    with pytest.raises(ValueError, match="size=1 is out of range"):
        Parameters(preset=Preset.of(tiny={"size": 1}), size=Integer(9, 2, 99))
    with pytest.raises(ValueError, match="preset 'tiny' sets 'sise', which is no parameter"):
        Parameters(preset=Preset.of(tiny={"sise": 4}), size=Integer(9, 2, 99))
