"""The files of a result: what they say is checked before it is believed, by itself and against the runs beside it."""

from __future__ import annotations

import hashlib
import itertools
import json
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np

from metarl_envs.engine.streams import EVALUATION, keyed
from metarl_envs.files import read_said, see_that_it_says
from metarl_envs.players.run import Run

#: What the text file of a result begins with.
FORMAT = "metarl_envs evaluation 3"
#: The arrays that a result is saved in.
ARRAYS = ("policies", "scores", "random_return", "oracle_return", "random_until", "oracle_until", "memoryless")
#: What the text file of a result says, beside what follows from the scores.
_SAID: dict[str, Any] = {"id": str, "params": dict, "split": str | None, "fingerprint": str, "seeds": list, "score": dict}
_SAID |= {"policies": dict, "runs": list, "tasks": int, "tasks_passed_over": int, "lifetimes": int, "digest": str}
_SAID_OF_SCORE: dict[str, Any] = {"unit": str, "unit_steps": int, "units": int, "share": float}


def life_seeds(seeds: list[int], tasks: int, lifetimes: int) -> np.ndarray:
    """Return the seed of the noise of each life in an evaluation, uint64 [seed, task, lifetime]: the same for all policies."""
    keys = itertools.product(map(np.uint64, seeds), range(tasks), range(lifetimes))
    found = np.array([keyed(seed, EVALUATION, *which) for seed, *which in keys], np.uint64)
    return found.reshape(len(seeds), tasks, lifetimes)


def digest_of(said: dict[str, Any], arrays: dict[str, np.ndarray]) -> str:
    """Return 32 hex digits of what a result consists of, apart from its runs, which have fingerprints of their own."""
    parts = {name: said[name] for name in _SAID if name not in ("policies", "digest")}
    parts["policies"] = {name: one["policy"] for name, one in said["policies"].items()}
    digest = hashlib.sha256(json.dumps([FORMAT, parts], sort_keys=True).encode())
    for name in ARRAYS:
        if name in arrays:
            digest.update(f"{name} {arrays[name].dtype.str} {arrays[name].shape}".encode())
            digest.update(np.ascontiguousarray(arrays[name]).tobytes())
    return digest.hexdigest()[:32]


def read_result(about: Path) -> dict[str, Any]:
    """Return the content of the text file of a result; ValueError where it is none."""
    said = read_said(about, "result", FORMAT, _SAID)
    see_that_it_says(said["score"], "result", _SAID_OF_SCORE, about)
    if odd := [one for one in said["policies"].values() if not isinstance(one, dict) or not isinstance(one.get("policy"), str)]:
        raise ValueError(f"{about} is no result: its policies hold {odd[0]!r:.80}")
    if not all(type(seed) is int and 0 <= seed < 2**64 for seed in said["seeds"]):
        raise ValueError(f"{about} is no result: its seeds={said['seeds']!r:.80} are not all integers from 0 to 2**64 - 1")
    if odd := [name for name in said["runs"] if name not in said["policies"]]:
        raise ValueError(f"{about} is no result: its runs hold {odd[0]!r:.80}, which is none of its policies")
    return said


def check_arrays(said: dict[str, Any], arrays: dict[str, np.ndarray], archive: Path) -> None:
    """Raise ValueError where the arrays of a result do not go together, or not with what its text file says."""
    if missing := [name for name in ARRAYS[:4] if name not in arrays]:
        raise ValueError(f"{archive} is no result, or is cut short: it lacks {missing[0]!r}")
    scores, names = arrays["scores"], arrays["policies"]
    if scores.ndim != 5 or not scores.size or names.dtype.kind != "U" or names.shape != scores.shape[:1]:
        raise ValueError(
            f"{archive} is no result: it has scores of shape {scores.shape} and policies {names.dtype} {names.shape}"
        )
    _, seeds, tasks, lifetimes, units = scores.shape
    wanted = {name: (tasks,) for name in ("random_return", "oracle_return", "memoryless")}
    wanted |= dict.fromkeys(("random_until", "oracle_until"), (tasks, units)) | {"scores": scores.shape}
    for name, shape in wanted.items():
        given = arrays.get(name)
        if given is not None and (given.dtype != np.float64 or given.shape != shape or not np.isfinite(given).all()):
            raise ValueError(
                f"{archive} is no result: {name} is {given.dtype} {given.shape}, and must be finite float64 {shape}"
            )
    if ("random_until" in arrays) != ("oracle_until" in arrays):
        raise ValueError(f"{archive} is no result: it has one of random_until and oracle_until")
    if not (arrays["random_return"] < arrays["oracle_return"]).all():
        raise ValueError(f"{archive} is no result: the oracle earns no more than random on some task")
    if (said["tasks"], said["lifetimes"], said["score"]["units"]) != (tasks, lifetimes, units):
        raise ValueError(f"{archive} does not belong to what is beside it: it has scores of shape {scores.shape}")
    if len(said["seeds"]) != seeds or sorted(said["policies"]) != sorted(names.tolist()):
        raise ValueError(f"{archive} does not belong to what is beside it: it has {seeds} seeds, of {names.tolist()!r:.200}")
    score = said["score"]
    if not (0 < score["share"] <= 1 and score["unit_steps"] > 0 and said["tasks_passed_over"] >= 0):
        raise ValueError(f"{archive} does not belong to what is beside it, which says {score!r:.200}")
    if digest_of(said, arrays) != said["digest"]:
        raise ValueError(
            f"{archive} and what is beside it have been changed since they were written, or do not belong together"
        )


def check_run(said: dict[str, Any], name: str, earned: np.ndarray, run: Run, folder: Path) -> None:
    """Raise ValueError where a run is not what a policy of a result did; `earned` is [seed, task, lifetime, unit]."""
    registered = gym.registry.get(said["id"])
    family = run.family if registered is None else registered.kwargs.get("family")
    about = {"family": family, "params": said["params"], "split": said["split"]}
    seeds = life_seeds(said["seeds"], *earned.shape[1:3]).reshape(-1)
    if {one: getattr(run, one) for one in about} != about or not np.array_equal(run.seeds, seeds):
        raise ValueError(f"{folder}: the run of {name!r} is not of this result")
    if not np.allclose(run.returns, earned.sum(axis=3).reshape(-1), rtol=1e-9, atol=1e-9):
        raise ValueError(f"{folder}: the run of {name!r} earned something else than scores.npz says")
