"""Mistakes at the edges: each is one clear error, told before any work is done, or before anything has moved."""

import json

import numpy as np
import pytest
from gymnasium import spaces

from metarl_envs import boxes
from metarl_envs.boxes.envs.parallel import ParallelBox
from metarl_envs.boxes.scenarios.amnesia import AmnesiaBox
from metarl_envs.boxes.study import normaliser
from metarl_envs.cli import boxes as commands
from metarl_envs.cli.options import params_of
from metarl_envs.engine.action_form import ActionForm
from metarl_envs.ids import family_of, id_of, register
from tests.test_players import BOX

pytestmark = pytest.mark.plain


@pytest.mark.parametrize("id", [None, 3, ("DarkRoom",), ["a"]])
def test_an_id_is_a_string(id):
    for reads in (family_of, id_of, lambda id: register(id, "a:b")):
        with pytest.raises(TypeError, match="must be a string"):
            reads(id)


@pytest.mark.parametrize("id", ["", ":", ".a:b", "..a:b", "os.path:X", "a b:c"])
def test_what_is_no_id_says_so(id):
    with pytest.raises(ValueError, match=r"^id="):
        family_of(id)


@pytest.mark.parametrize("family", ["a:b:c", ":b", "a:", "ab", None, 3, {"family": "a:b"}])
def test_a_family_is_registered_by_one_path(family):
    with pytest.raises(ValueError, match='must be a string "module:Class"'):
        register("Mine/X-v0", family)


def test_brackets_without_end_are_text():
    deep = "[" * 100_000
    assert params_of([f"size={deep}", "horizon=3"]) == {"size": deep, "horizon": 3}


def test_an_integer_that_a_dtype_does_not_hold_does_not_wrap_around():
    form = ActionForm.of(spaces.Box(0, 9, (2,), np.int8))
    assert form.cast(np.array([256, 1]), (2,)) is None
    assert form.cast(np.array([9, 1]), (2,)).tolist() == [9, 1]
    assert form.cast(np.array([9.0, 1.0]), (2,)) is None
    assert form.cast(np.array([9]), (2,)) is None


# ------------------------------------------------------------------------------------------------- boxes
def test_an_agent_is_told_of_its_own_action_only():
    box = ParallelBox(AmnesiaBox, **BOX)
    box.reset(seed=0)
    before = box.get_state()["worlds"].tobytes()
    waits = dict.fromkeys(box.agents, 8)
    for bad in (99, -1, 1.0, "1", None, np.array([1, 2]), 2**70):
        with pytest.raises(ValueError, match=r"action of agent_1 is .* takes an integer from 0 to"):
            box.step({**waits, "agent_1": bad})
    for some in ({}, {"agent_0": 8}, {**waits, "agent_9": 8}):
        with pytest.raises(ValueError, match="all must act"):
            box.step(some)
    assert box.get_state()["worlds"].tobytes() == before
    box.step({**waits, "agent_1": np.int8(8)})


def test_an_error_that_is_no_agents_fault_is_itself(monkeypatch):
    box = ParallelBox(AmnesiaBox, **BOX)
    box.reset(seed=0)

    def broken(*_):
        raise ValueError("the world is out of order")

    monkeypatch.setattr(box._moves, "step", broken)
    with pytest.raises(ValueError, match="the world is out of order"):
        box.step(dict.fromkeys(box.agents, 8))


def test_the_scale_of_a_box_is_computed_once(monkeypatch):
    computed = []

    def compute(box, split, **params):
        computed.append((split, params))
        return {"reached": {agent: dict.fromkeys(normaliser.MEASURES, i) for i, agent in enumerate(("never_repeat", "oracle"))}}

    normaliser._computed.cache_clear()
    monkeypatch.setattr(normaliser, "compute", compute)
    run = boxes.run("AmnesiaBox", {"all": "random"}, boxes=2, **BOX)
    scores = [boxes.score(run) for _ in range(3)]
    assert len(computed) == 1
    assert computed[0][1]["horizon"] == BOX["horizon"]
    assert np.array_equal(scores[0], scores[2])
    normaliser.normaliser("AmnesiaBox", split=None, **BOX)["reached"].clear()
    boxes.score(run)
    boxes.score(boxes.run("AmnesiaBox", {"all": "random"}, boxes=2, **{**BOX, "horizon": 4}))
    assert len(computed) == 2
    normaliser._computed.cache_clear()


def test_the_normaliser_looks_where_it_writes_before_it_computes(monkeypatch, tmp_path):
    (tmp_path / "file").touch()
    computed = []
    monkeypatch.setattr(normaliser, "compute_table", lambda: computed.append(1) or "{}")
    with pytest.raises(NotADirectoryError, match="is a file"):
        commands.normaliser(tmp_path / "file" / "table.json")
    assert not computed
    commands.normaliser(tmp_path / "new" / "table.json")
    assert json.loads((tmp_path / "new" / "table.json").read_text()) == {}


def test_a_truth_value_is_no_integer_in_a_file(tmp_path):
    run = boxes.run("AmnesiaBox", {"all": "random"}, boxes=1, **BOX)
    _, about = run.save(tmp_path / "run")
    about.write_text(json.dumps({**json.loads(about.read_text()), "episodes": True}))
    with pytest.raises(ValueError, match=r"run\.json is no run: 'episodes' is missing or of another kind"):
        boxes.load(tmp_path / "run")
