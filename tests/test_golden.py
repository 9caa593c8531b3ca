"""Golden playthroughs: what each id returns stays as it was, to the letter, or gets a new id.

    python tests/test_golden.py                       # writes the records that are missing
    python tests/test_golden.py MetaRL/DarkRoom-v1    # those of one id

A record in `golden/` is a trial of two episodes: the first by random actions, the second by the oracle's. The actions stand in
the record and are only replayed, so a new oracle or another source of random actions changes nothing. Horizons are cut to
`LONGEST` steps, so that records stay short, and motions do not grow the last digit in which two processors may differ.
"""

from __future__ import annotations

import argparse
import difflib
import os
import random
import re
import subprocess
import sys
import textwrap
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest

import metarl_envs
from metarl_envs.engine.family import load_family
from metarl_envs.histories import collect
from metarl_envs.ids import TABLE, family_of
from tests.worlds import SELDOM_COMPILED, smaller

FOLDER = Path(__file__).parent / "golden"
LONGEST, EPISODES, SEED = 60, 2, 1
#: Observations of more numbers than this are told by what changes.
FEW = 8
FLAGS = ("trial_start", "episode_start", "inner_terminated", "inner_truncated")
#: Smaller worlds for ids whose tasks are too large to be printed.
SMALLER = {
    "MetaRL/AmnesiaBox-v0": {"levels": 2, "width": 6, "bases": 6, "recipes": 2, "notes": 8},
    "MetaRL/GenerationsBox-v0": {"levels": 2, "width": 6, "bases": 6, "recipes": 2, "lifespan": 20, "apprenticeship": 6},
    "MetaRL/HazardBox-v0": {"agents": 3, "levels": 2, "width": 2, "bases": 4, "recipes": 2, "dead_ends": 0.0},
    "MetaRL/SealedBox-v0": {**smaller("MetaRL/SealedBox-v0"), "day": 20, "lifespan": 40},
    "MetaRL/Mixture-v0": smaller("MetaRL/Mixture-v0"),
}
HEAD = "action | observation | reward | what happened"


def splits(id: str) -> list[str | None]:
    """The splits with a record: all tasks, and each named shift."""
    return [None, *load_family(family_of(id)).shifts]


RECORDS = [(row.id, split) for row in TABLE for split in splits(row.id)]
#: Boxes that are compiled for seconds, which nothing else that runs every day needs: that of one agent, and those with lives.
IN_PLAIN_MODE = {record for record in RECORDS if record == ("MetaRL/InventionBox-v0", "alone") or record[0] in SELDOM_COMPILED}
COMPARED = [pytest.param(*record, marks=pytest.mark.plain if record in IN_PLAIN_MODE else ()) for record in RECORDS]


def file_of(id: str, split: str | None) -> Path:
    return FOLDER / f"{id.split('/')[-1]}{f'.{split}' if split else ''}.txt"


# ------------------------------------------------------------------------------------------- playing
def make(id: str, split: str | None) -> gym.Env:
    return gym.make(id, split=split, episodes_per_trial=EPISODES, **short(id, split)).unwrapped


def short(id: str, split: str | None) -> dict[str, Any]:
    """The horizon, where it is cut, and a smaller world where tasks are too large to be printed."""
    tree = SMALLER.get(id, {})
    horizon = gym.make(id, split=split, **tree).unwrapped.variant.horizon
    return tree | ({"horizon": LONGEST} if horizon > LONGEST else {})


def ended(info: dict) -> bool:
    return info["trial"]["inner_terminated"] or info["trial"]["inner_truncated"]


def choose_actions(id: str, split: str | None) -> list[np.ndarray]:
    """Random actions for the first episode, the oracle's for the second."""
    env, chance = make(id, split), random.Random(0)
    by_oracle = oracle_actions(env, id, split)
    env.reset(seed=SEED)
    actions, episode, over = [], 0, False
    while not over:
        action = next(by_oracle, None) if episode else None
        actions.append(any_action(env.action_space, chance) if action is None else action)
        *_, terminated, truncated, info = env.step(actions[-1])
        over, episode = terminated or truncated, episode + ended(info)
    return actions


def any_action(space: gym.Space, chance: random.Random) -> np.ndarray:
    """A random action, by a generator that is the same in every version of NumPy and Gymnasium."""
    if not isinstance(space, gym.spaces.Box):
        sizes = np.ravel(space.nvec if isinstance(space, gym.spaces.MultiDiscrete) else space.n)
        return np.array([chance.randrange(int(size)) for size in sizes]).reshape(space.shape)
    spread = np.array([chance.random() for _ in range(space.low.size)]).reshape(space.shape)
    return np.round(space.low + (space.high - space.low) * spread, 3).astype(space.dtype)


def oracle_actions(env: gym.Env, id: str, split: str | None) -> Iterator[np.ndarray]:
    """What the oracle does in the second episode, to three decimals; nothing where there is none."""
    oracle, horizon = env.variant.family.references.get("oracle"), env.variant.horizon
    if oracle is None:
        return
    lived = collect(id, oracle, histories=1, steps=2 * horizon, split=split, seed=SEED, **short(id, split))
    first, second = np.flatnonzero(lived.terminated[0] | lived.truncated[0])[:2]
    yield from np.round(lived.actions[0, first + 1 : second + 1], 3)


def play(id: str, split: str | None, actions: list[np.ndarray], known: Collection[str] | None = None) -> str:
    """The record of a trial with these actions, and of how the next one begins; of parameters, those that are `known`."""
    env, eyes = make(id, split), Eyes()
    first = step_line(eyes, "-", *env.reset(seed=SEED))
    lines = [*about(env, id, split, known), "", *task_lines(env), "", HEAD, first]
    over = False
    for action in actions:
        if over:
            break
        observation, reward, terminated, truncated, info = env.step(action)
        over = terminated or truncated
        ends = {"terminated": terminated, "truncated": truncated}
        lines.append(step_line(eyes, show(action), observation, info, show(reward), ends))
    if not over:
        return "\n".join([*lines, "the trial goes on", ""])
    first = step_line(Eyes(), "-", *env.reset())
    return "\n".join([*lines, "", "the next trial:", *task_lines(env), HEAD, first, ""])


# ------------------------------------------------------------------------------------------- writing
def about(env: gym.Env, id: str, split: str | None, known: Collection[str] | None) -> list[str]:
    """What holds for the whole record: parameters with their defaults, spaces, and how many tasks there are."""
    tasks = metarl_envs.tasks(id, split=split)
    values = {name: value for name, value in tasks.variant.values.items() if known is None or name in known}
    cut = "".join(f"  {name}={value}" for name, value in short(id, split).items())
    return [
        entry("id", id),
        entry("split", split or "none"),
        entry("parameters", "  ".join(f"{name}={value}" for name, value in values.items())),
        entry("played with", f"seed={SEED}  episodes_per_trial={EPISODES}{cut}"),
        entry("observations", show_space(env.observation_space)),
        entry("actions", show_space(env.action_space)),
        entry("tasks", show_tasks(id, tasks)),
    ]


def show_tasks(id: str, tasks: metarl_envs.TaskSet) -> str:
    """How many there are, and which are held out (of endless ones the last digit may decide, and processors differ there)."""
    if not tasks.is_finite:
        return "endless"
    if tasks.split or not tasks.parts:
        return str(len(tasks))
    test = metarl_envs.tasks(id, split="test")
    first = ", ".join(f"{name} {show(test[0][name])}" for name in test.dtype.names)
    return f"{len(tasks)}, of which {len(test)} are test tasks, the first of them {first}"


def task_lines(env: gym.Env) -> list[str]:
    """The hidden task, a field a line."""
    return list(row_lines("task", env.get_state()["task_rows"][0]))


def row_lines(called: str, row: np.void) -> Iterator[str]:
    for name in row.dtype.names:
        if row.dtype[name].names:
            yield from row_lines(f"{called}.{name}", row[name])
        else:
            yield entry(f"{called}.{name}", show(row[name]))


class Eyes:
    """Shows observations one after the other: of long ones, after the first, only what is another than before."""

    def __init__(self):
        self.last: list[str] = []

    def look(self, observation: object) -> str:
        before, self.last = self.last, [show(number) for number in np.ravel(observation)]
        if not before or len(before) <= FEW:
            return " ".join(self.last)
        changed = [f"{i}:{now}" for i, (now, then) in enumerate(zip(self.last, before, strict=True)) if now != then]
        return " ".join(changed) or "the same"


def step_line(
    eyes: Eyes, action: str, observation: object, info: dict, reward: str = "-", ends: dict[str, bool] | None = None
) -> str:
    trial = info["trial"]
    raised = [name for name, flag in {**(ends or {}), **{name: trial[name] for name in FLAGS}}.items() if flag]
    seen = eyes.look(observation)
    if ended(info):
        raised.append(f"final_obs {eyes.look(trial['final_obs'])}")
    return " | ".join([action, seen, reward, ", ".join(raised)]).rstrip()


def entry(name: str, text: str) -> str:
    return textwrap.fill(text, 128, initial_indent=f"{name:<15} ", subsequent_indent=" " * 16)


def show_space(space: gym.Space) -> str:
    if not isinstance(space, gym.spaces.Box):
        return str(space)
    low, high = (show(np.unique(bound) if len(np.unique(bound)) == 1 else bound) for bound in (space.low, space.high))
    return f"{type(space).__name__} of shape {space.shape} and dtype {space.dtype}, from {low} to {high}"


def show(value: object) -> str:
    """Numbers as text: six digits, and nothing of what is below a millionth."""
    numbers = np.ravel(value).tolist()
    return " ".join(f"{round(number, 6) + 0:.6g}" if isinstance(number, float) else str(number) for number in numbers)


def write(id: str, split: str | None) -> None:
    FOLDER.mkdir(exist_ok=True)
    file_of(id, split).write_text(play(id, split, choose_actions(id, split)))


def main(arguments: list[str]) -> None:
    """Write the records that are missing."""
    parser = argparse.ArgumentParser(description="Write golden playthroughs.")
    parser.add_argument("id", nargs="*", help="[default: all that have no record]")
    parser.add_argument("--new-version", action="store_true", help="overwrite: only for ids that were never released")
    args = parser.parse_args(arguments)
    for id in args.id or [row.id for row in TABLE]:
        for split in splits(id):
            file = file_of(id, split)
            if not file.exists() or (args.id and args.new_version):
                write(id, split)
                print(f"written: {file}")
            elif args.id:
                parser.error(f"{file} is there already. {what_to_do(id)} (--new-version overwrites it all the same.)")


# ------------------------------------------------------------------------------------------- comparing
def replay(record: str, id: str, split: str | None) -> str:
    """Play a record's actions again. A parameter that is newer than the record has its default there, and is not told."""
    known = re.findall(r"(\w+)=", record.partition("\nparameters")[2].partition("\nplayed with")[0])
    space = gym.make(id).action_space
    steps = record.split(HEAD)[1].split("\n\n")[0].strip().splitlines()[1:]
    actions = [line.split(" | ")[0].split() for line in steps]
    return play(id, split, [np.array(action, space.dtype).reshape(space.shape) for action in actions], known)


def assert_same(now: str, record: str, id: str) -> None:
    if now == record:
        return
    changes = difflib.unified_diff(record.splitlines(), now.splitlines(), "the record", "now", n=0, lineterm="")
    shown = "\n".join(line[:160] for line, _ in zip(changes, range(16), strict=False))
    raise AssertionError(f"{id} does not return what it did:\n{shown}\n\n{what_to_do(id)}")


def what_to_do(id: str) -> str:
    """What a change of behaviour asks for."""
    new = re.sub(r"\d+$", lambda version: str(int(version[0]) + 1), id)
    return (
        f"Results under one id must stay comparable. If {id} was not to change, mend it. If it was, keep {id} as it is, give "
        f"the change an id of its own, {new} (a row in metarl_envs/ids.py), and record that: "
        f"python tests/test_golden.py {new}"
    )


@pytest.mark.parametrize(("id", "split"), COMPARED, ids=lambda value: value or "all")
def test_an_id_returns_what_it_did(id, split):
    file = file_of(id, split)
    assert file.exists(), f"{id}, split={split!r} has no record yet: python tests/test_golden.py {id}"
    record = file.read_text()
    assert_same(replay(record, id, split), record, id)


def test_every_record_is_of_an_id():
    assert {file_of(id, split) for id, split in RECORDS} == set(FOLDER.iterdir())


def test_records_are_small():
    sizes = {file.name: file.stat().st_size for file in FOLDER.iterdir()}
    assert max(sizes.values()) < 20_000
    assert sum(sizes.values()) < 300_000


def test_records_see_something_happen():
    """In most of them something is paid, and each ends."""
    for file in FOLDER.iterdir():
        text = file.read_text()
        assert "goes on" not in text
        assert text.count("trial_start") == 2
        assert text.count(", final_obs") == EPISODES


@pytest.mark.slow
def test_plain_mode_returns_the_same():
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", __file__, "-k", "test_an_id_returns"]
    environment = {**os.environ, "NUMBA_DISABLE_JIT": "1"}
    result = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert result.returncode == 0, result.stdout
    assert f"{len(RECORDS)} passed" in result.stdout


def test_long_observations_are_told_by_what_changes():
    eyes, one, other = Eyes(), np.zeros(10), np.eye(10)[3]
    assert [eyes.look(one), eyes.look(other), eyes.look(other)] == ["0 0 0 0 0 0 0 0 0 0", "3:1", "the same"]


def test_a_change_is_shown_with_what_to_do():
    record = file_of("MetaRL/DarkRoom-v0", None).read_text()
    with pytest.raises(AssertionError) as caught:
        assert_same(record.replace("inner_truncated", "inner_terminated"), record, "MetaRL/DarkRoom-v0")
    message = str(caught.value)
    assert re.search(r"^-.*inner_truncated.*$\n(.*\n)*?\+.*inner_terminated", message, flags=re.MULTILINE)
    assert "python tests/test_golden.py MetaRL/DarkRoom-v1" in message


def test_a_parameter_that_is_new_changes_no_record_and_one_that_is_lost_does():
    record = file_of("MetaRL/TMaze-v0", None).read_text()
    fewer = re.sub(r" +active=\S+", "", record, count=1)
    assert fewer != record
    assert replay(fewer, "MetaRL/TMaze-v0", None) == fewer
    more = record.replace("active=", "radius=3  active=", 1)
    assert replay(more, "MetaRL/TMaze-v0", None) == record


def test_a_record_is_not_overwritten(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(sys.modules[__name__], "FOLDER", tmp_path)
    main(["MetaRL/TMaze-v0"])
    written = {file.name: file.read_text() for file in tmp_path.iterdir()}
    assert written == {name: (Path(__file__).parent / "golden" / name).read_text() for name in written}
    assert len(written) == 2
    (tmp_path / "TMaze-v0.txt").write_text("as it was")
    with pytest.raises(SystemExit):
        main(["MetaRL/TMaze-v0"])
    assert "MetaRL/TMaze-v1" in capsys.readouterr().err
    assert (tmp_path / "TMaze-v0.txt").read_text() == "as it was"
    main(["MetaRL/TMaze-v0", "--new-version"])
    assert (tmp_path / "TMaze-v0.txt").read_text() == written["TMaze-v0.txt"]


if __name__ == "__main__":
    main(sys.argv[1:])
