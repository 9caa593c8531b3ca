"""Trials as data: which task, noise and parameters, in strings and integers that a row of any data set can hold."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from metarl_envs.arguments import as_seed, at_least_one
from metarl_envs.engine.composing import family_at
from metarl_envs.engine.splits import ALL_TASKS
from metarl_envs.ids import family_of, id_of
from metarl_envs.task_sets import tasks_of
from metarl_envs.text import TextEnv, make

#: What a trial says. All of it must be there, since what is left out by mistake would be played by default.
FIELDS = ("id", "split", "index", "seed", "episodes_per_trial", "params")


def list_trials(
    id: str,
    *,
    split: str | None = None,
    tasks: int | None = None,
    seed: int = 0,
    episodes_per_trial: int = 1,
    **params: Any,
) -> list[dict[str, Any]]:
    """Return a trial on each of the first tasks of a split, all with the same noise.

    Args:
        id: a registered id, or its name alone ("DarkRoom").
        split: of the tasks (see `metarl_envs.tasks`); None has all.
        tasks: how many; None for all of a finite split.
        seed: of the noise.
        episodes_per_trial: episodes on the same hidden task.
        params: the family's parameters.

    Returns:
        One mapping a trial, with `FIELDS`: strings and integers, the parameters as JSON. Whoever plays the same one, in
        whatever process, meets the same task and the same noise.

    Raises:
        TypeError, ValueError: there is no such id, split or parameter, a number is out of range, there are fewer tasks than
            asked for, or the split is endless and `tasks` is not given.
    """
    found = tasks_of(family_at(family_of(id)), None, split, tasks, params)
    if not found.is_finite:
        raise ValueError(f"tasks=None: {found!r} is endless, so say how many")
    said = {
        "id": id_of(id),
        "split": split or ALL_TASKS,
        "seed": as_seed(seed),
        "episodes_per_trial": at_least_one("episodes_per_trial", episodes_per_trial),
        "params": json.dumps({name: found.variant.values[name] for name in params}, sort_keys=True),
    }
    return [{**said, "index": index} for index in range(len(found))]


def open_trial(trial: Mapping[str, Any], *, lenient: bool = True, retries: int = 2, player: str = "text") -> TextEnv:
    """Return the environment of text that a trial says; it is to be reset.

    Nothing is imported because a trial says so: its id must be one of this package, or registered already.

    Args:
        trial: as from `list_trials`, or from a file.
        lenient: how replies are read, see `metarl_envs.text.make`.
        retries: how often in a step what is no sentence is said back.
        player: who plays, for the record.

    Raises:
        TypeError: a value of the trial has the wrong type.
        ValueError: one is missing, unknown, or out of range.
        IndexError: the split has no such task.
    """
    params = params_of(trial)
    where = {name: trial[name] for name in ("split", "index", "seed", "episodes_per_trial")}
    return make(trial["id"], **where, lenient=lenient, retries=retries, player=player, **params)


def params_of(trial: Mapping[str, Any]) -> dict[str, Any]:
    """Return the parameters of a trial; ValueError where it does not say what a trial says, or names a module."""
    if set(trial) != set(FIELDS):
        wrong = min(set(FIELDS) ^ set(trial), key=str)
        how = "unknown" if wrong in trial else "missing"
        raise ValueError(f"trial={dict(trial)!r} must say exactly {', '.join(FIELDS)}: {wrong} is {how}")
    id, said = trial["id"], trial["params"]
    if not isinstance(id, str) or ":" in id:
        raise ValueError(f"id={id!r} of a trial must be a registered id, such as 'MetaRL/DarkRoom-v0': data imports no module")
    try:
        params = json.loads(said) if isinstance(said, str) else None
    except (json.JSONDecodeError, RecursionError):
        params = None
    if not isinstance(params, dict) or {*FIELDS, "lenient", "retries", "player"} & set(params):
        raise ValueError(f"""params={said!r} of a trial must be the family's parameters as JSON, such as '{{"size": 5}}'""")
    return params


def outcome(env: TextEnv) -> dict[str, float]:
    """Return what came of a trial. Steps that a player left are lived by default actions first, so that quitting saves no cost.

    Returns:
        `return`, what it paid; `score`, where that lies from random play (0) to the oracle (1), and `regret`, what the oracle
        is expected to earn more (NaN where they are not known); `steps` that the player took; `malformed` replies.
    """
    steps = len(env.actions)
    env.finish()
    return {
        "return": env.total,
        "score": env.score,
        "regret": env.regret,
        "steps": float(steps),
        "malformed": float(env.malformed),
    }
