"""Trials as data, and what every door to them promises: nothing first or last is lost, and equal rows are equal worlds.

The doors themselves are tried with the libraries that they are for in test_protocols_elsewhere.py.
"""

import inspect
import json
import re
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest

import metarl_envs
from metarl_envs.protocols import list_trials, open_trial
from metarl_envs.protocols.trials import FIELDS, outcome
from metarl_envs.protocols.trl import PROMPT, TextTrial
from metarl_envs.text import make

pytestmark = pytest.mark.plain
ROOM = {"split": "test", "episodes_per_trial": 2, "horizon": 3}


# ------------------------------------------------------------------------------------------------- trials as data
def test_trials_are_strings_and_integers_and_lead_to_the_tasks_of_the_split():
    tasks = metarl_envs.tasks("DarkRoom", split="test", horizon=3)
    listed = list_trials("DarkRoom", seed=np.int64(7), **ROOM)
    assert len(listed) == len(tasks)
    for index, trial in enumerate(json.loads(json.dumps(listed))):
        assert set(trial) == set(FIELDS)
        assert {type(value) for value in trial.values()} == {str, int}
        env = open_trial(trial)
        env.reset()
        env.finish()
        assert env.task["goal"].tolist() == tasks[index]["goal"].tolist()
    assert trial["params"] == '{"horizon": 3}'
    assert (trial["id"], trial["split"], trial["seed"], trial["episodes_per_trial"]) == ("MetaRL/DarkRoom-v0", "test", 7, 2)
    assert list_trials("DarkRoom", tasks=1)[0]["split"] == "all"


def test_equal_trials_meet_equal_noise_whatever_runs_beside_them():
    first, second = list_trials("GaussianBandit", split="train", tasks=2, seed=3, horizon=5)
    state = np.random.get_state()[1].copy()

    def told(env):
        return [env.reset(), *(env.step("arm 1") for _ in range(5))]

    group = [open_trial(first), open_trial(second), open_trial(first)]
    side_by_side = [[env.reset()] for env in group]
    for _ in range(5):
        for env, lines in zip(group, side_by_side, strict=True):
            lines.append(env.step("arm 1"))
    assert side_by_side[0] == side_by_side[2] == told(open_trial(first))
    assert side_by_side[0] != side_by_side[1] == told(open_trial(second))
    assert told(open_trial({**first, "seed": 4})) != told(open_trial(first))
    assert (np.random.get_state()[1] == state).all()


@pytest.mark.parametrize(
    ("change", "error", "why"),
    [
        ({"id": "os:MetaRL/DarkRoom-v0"}, ValueError, "data imports no module"),
        ({"id": "this:Mine/Lock-v0"}, ValueError, "data imports no module"),
        ({"id": 3}, ValueError, "id=3"),
        ({"id": "Nowhere"}, ValueError, "Nowhere"),
        ({"params": "size=5"}, ValueError, "as JSON"),
        ({"params": {"size": 5}}, ValueError, "as JSON"),
        ({"params": '{"lenient": false}'}, ValueError, "as JSON"),
        ({"params": '{"sizes": 5}'}, TypeError, "sizes"),
        ({"params": '{"size": 10000}'}, ValueError, "size=10000"),
        ({"params": "[" * 10_000}, ValueError, "as JSON"),
        ({"index": 99}, IndexError, "99"),
        ({"index": "1"}, TypeError, "index='1'"),
        ({"seed": -1}, ValueError, "seed=-1"),
        ({"seed": 0.5}, TypeError, "seed=0.5"),
        ({"episodes_per_trial": 0}, ValueError, "episodes_per_trial=0"),
        ({"split": "tests"}, ValueError, "tests"),
        ({"seeds": 1}, ValueError, "seeds is unknown"),
        ({"x": 1, 3: 2}, ValueError, "3 is unknown"),
    ],
)
def test_a_row_from_outside_is_checked(change, error, why):
    trial = list_trials("DarkRoom", tasks=1, **ROOM)[0]
    with pytest.raises(error, match=why):
        open_trial({**trial, **change})
    assert "this" not in sys.modules, "a module of Python that nothing imports"


def test_a_row_that_leaves_something_out_is_refused():
    trial = list_trials("DarkRoom", tasks=1)[0]
    del trial["seed"]
    with pytest.raises(ValueError, match="seed is missing"):
        open_trial(trial)
    with pytest.raises(ValueError, match="endless, so say how many"):
        list_trials("GaussianBandit")
    with pytest.raises(ValueError, match="tasks=99"):
        list_trials("DarkRoom", tasks=99)


# ------------------------------------------------------------------------------------------------- ends
def test_falling_silent_does_not_save_what_a_trial_costs():
    """In Pendulum each step costs: whoever says nothing pays as much as whoever does nothing."""
    [trial] = list_trials("Pendulum", tasks=1, horizon=8)
    silent, idle = open_trial(trial), open_trial(trial)
    silent.reset()
    idle.reset()
    silent.step("1")
    idle.step("1")
    assert (silent.done, silent.total) == (False, idle.total)
    silent.finish()
    while not idle.done:
        idle.step("0")
    assert silent.total == idle.total < 0
    assert (silent.defaults, idle.defaults, len(silent.actions)) == (7, 0, 8)
    assert silent.run().returns.tolist() == idle.run().returns.tolist()


def test_what_came_of_a_trial():
    """The goal is three steps up of the centre, and the oracle stands on it in the last step of both episodes."""
    env, other = open_trial(list_trials("DarkRoom", **ROOM)[0]), make("DarkRoom", index=0, **ROOM)
    env.reset()
    other.reset()
    for sentence in ("up", "I fly.", "answer: UP.", "up"):
        env.step(sentence)
    for sentence in ("up", "up", "up", "stay", "stay", "stay"):
        other.step(sentence)
    came = outcome(env)
    assert (came["return"], came["regret"], came["steps"], came["malformed"]) == (1, 1, 3, 1)
    assert 0.4 < came["score"] == other.score < 0.5


def test_a_conversation_begins_anew_after_a_dawn_and_not_after_a_reply_that_was_no_sentence():
    [trial] = list_trials("AmnesiaBox", tasks=1, horizon=6, preset="small", day=2)
    env = open_trial(trial)
    env.reset()
    found = [env.memory_reset]
    for sentence in ("no", "wait", "wait", "no", "wait"):
        env.step(sentence)
        found.append(env.memory_reset)
    assert found == [True, False, False, True, False, False]


# ------------------------------------------------------------------------------------------------- TRL
def test_a_group_of_rollouts_of_trl_lives_one_trial():
    """As GRPOTrainer does: instances are made without arguments, and given all columns of the row."""
    row = {"prompt": PROMPT, "answer": "of another reward", **list_trials("DarkRoom", **ROOM)[0]}
    group = [TextTrial() for _ in range(3)]
    starts = [rollout.reset(**row) for rollout in group]
    assert starts[0] == starts[1] == "\n\n" + open_trial(list_trials("DarkRoom", **ROOM)[0]).reset()
    goal = metarl_envs.tasks("DarkRoom", split="test", horizon=3)[0]["goal"].tolist()
    assert goal == [4, 1], "three steps up of the centre"
    told = [[rollout.act(sentence) for sentence in ("up", "up", "up")] for rollout in group[:2]]
    assert told[0] == told[1]
    assert "It paid 1." in told[0][2]
    assert group[0].get_reward() == 1.0
    last = [group[1].act("up") for _ in range(3)][-1]
    assert "It paid 1." in last
    assert last.endswith("The trial is over.")
    assert group[1].get_reward() == 2.0, "the reward of the last step counts"
    assert group[1].act("up") == "The trial is over."
    assert group[2].get_reward() == 0.0
    assert group[1].reset(**row) == starts[0], "an instance is used again"
    assert group[1].get_reward() == 0.0


def test_the_one_tool_of_trl_is_act():
    public = {name for name, _ in inspect.getmembers(TextTrial, predicate=inspect.isfunction) if not name.startswith("_")}
    assert public == {"reset", "act", "get_reward"}
    with pytest.raises(TypeError, match="seed"):
        TextTrial().reset(**{name: value for name, value in list_trials("DarkRoom")[0].items() if name != "seed"})


# ------------------------------------------------------------------------------------------------- the command line
@pytest.mark.parametrize("name", ["mcp", "openenv"])
def test_a_command_says_which_extra_it_needs(name, monkeypatch):
    from typer.testing import CliRunner

    from metarl_envs.cli import app

    class Missing:
        @staticmethod
        def find_spec(module, path=None, target=None):
            if module == name:
                raise ModuleNotFoundError(f"No module named {name!r}", name=name)

    for module in [f"metarl_envs.protocols.{name}", *(one for one in sys.modules if one.partition(".")[0] == name)]:
        monkeypatch.delitem(sys.modules, module, raising=False)
    monkeypatch.setattr(sys, "meta_path", [Missing, *sys.meta_path])
    done = CliRunner().invoke(app, [name, "DarkRoom"])
    assert str(done.exception) == f'{name} is not installed: pip install "metarl-envs[{name}]"'


# ------------------------------------------------------------------------------------------------- the page
PAGE = Path(__file__).parents[1] / "docs" / "protocols.md"


@pytest.mark.skipif(not PAGE.exists(), reason="no pages here")
def test_what_the_page_does_without_other_projects_runs(capsys):
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text(), flags=re.DOTALL)
    ours = [code for code in map(textwrap.dedent, blocks) if re.match(r"from metarl_envs", code)]
    for code in ours:
        exec(compile(code, "protocols.md", "exec"), found := {})
    assert len(ours) == 2
    assert "You can say" in capsys.readouterr().out
    assert set(found["rows"][0]) == {"prompt", *FIELDS}
