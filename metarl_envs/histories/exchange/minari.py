"""Minari datasets, in HDF5: an episode each. Minari's Arrow and Parquet forms cut long episodes short, so none is written.

Datasets that are written here have a digest of all episodes in their metadata, which is compared when they are read.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
import os
import re
import shutil
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import gymnasium as gym
import h5py
import minari
import numpy as np
from gymnasium.envs.registration import EnvSpec
from minari.data_collector import EpisodeBuffer
from minari.storage import get_dataset_path

from metarl_envs.engine.records import record
from metarl_envs.histories.exchange.hdf5 import opened, see_that_it_is_there, walk
from metarl_envs.histories.history import History, check_history
from metarl_envs.histories.layout import TRANSITION, Form, check_columns
from metarl_envs.histories.reading import StoreError, read_json, refusing
from metarl_envs.histories.store import Histories
from metarl_envs.ids import family_of

#: What Minari takes for the id of a dataset, with a version as it should be.
_ID = re.compile(r"([-\w]+/)*[-\w]+-v[0-9]+", re.ASCII)
#: Spaces whose elements are arrays.
_ARRAYS = ("Box", "Discrete", "MultiDiscrete", "MultiBinary")
#: Infos that say which history an episode is of, and which of its steps.
_PLACES = ("history", "step")


def export(histories: Histories, target: str | os.PathLike) -> None:
    """Write a dataset (see `metarl_envs.histories.exchange.export`) to where Minari keeps those of this machine.

    Each episode's infos hold `history` and `step` (its place in its history) and whatever was recorded; they have one element
    more than there are actions, as observations have, and the last one repeats the one before. An episode that was cut off is
    marked as truncated. Observations that are rows are Minari's dicts. Where the family is known, so is the environment:
    `dataset.recover_environment()`.
    """
    folder = _folder(target)
    if folder.exists():
        raise FileExistsError(f"there is a Minari dataset {os.fspath(target)!r} already: give another id")
    if any(history.final_observation is None for history in histories):
        raise ValueError("these histories do not say what was seen last in an episode, which Minari must be told")
    about = histories.about
    spec, observation_space, action_space = _environment(histories)
    episodes = [episode for number, history in enumerate(histories) for episode in _episodes(number, history)]
    with _nothing_half_made(folder), warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # that nobody gave an author or a link to code
        dataset = minari.create_dataset_from_buffers(
            os.fspath(target),
            episodes,
            env=spec,
            observation_space=observation_space,
            action_space=action_space,
            algorithm_name=_learner(about),
            description=json.dumps(about),
            data_format="hdf5",
            jpeg_encoding=False,
        )
        digest = hashlib.sha256()
        for episode in episodes:
            _digest(digest, episode)
        dataset.storage.update_metadata({"metarl_envs": digest.hexdigest()})


def read(source: str | os.PathLike) -> tuple[dict[str, Any], Iterator[History]]:
    """Return what the manifest is to say, and the histories: episodes in order, a new history where the info `history` changes.

    Without that info each episode is a history of its own. Columns have the dtype that holds those of all episodes. Infos that
    no column can hold (nested ones are taken apart first), or that some episodes lack, are left out: a warning and the
    manifest say which.

    Raises:
        FileNotFoundError: there is no such dataset.
        StoreError: its observations are no arrays and no dict of arrays, its actions no arrays, or it has been cut, damaged or
            changed.
    """
    folder = _folder(source)
    if not (folder / "data").is_dir():
        raise FileNotFoundError(f"there is no Minari dataset {os.fspath(source)!r} here")
    with refusing(folder, "Minari dataset"):
        told = _metadata(folder)
        if told.get("data_format", "hdf5") == "hdf5":
            _see_that_data_is_there(folder / "data" / "main_data.hdf5", told)
        dataset = minari.MinariDataset(folder / "data")
        forms, left_out = _forms(dataset, told)
    if left_out:
        warnings.warn(f"{os.fspath(source)}: infos {sorted(left_out)} are left out ({left_out})", UserWarning, stacklevel=4)
    about = {"imported": "minari", "dataset": os.fspath(source), "left_out": left_out}
    return about, _histories(folder, dataset, forms)


# ------------------------------------------------------------------------------------------------- writing
def _folder(dataset: str | os.PathLike) -> Path:
    """Where Minari keeps a dataset; ValueError where its id is none."""
    id = os.fspath(dataset)
    if not _ID.fullmatch(id):
        raise ValueError(f"{id!r} is no id of a Minari dataset: it must be like 'metarl/dark-room-v0' (letters, digits, _ -)")
    return get_dataset_path(id)


@contextlib.contextmanager
def _nothing_half_made(folder: Path) -> Iterator[None]:
    """Remove a dataset that could not be written to its end, and the namespaces made for it: Minari cannot list such."""
    made = [parent for parent in folder.parents if not parent.exists()]
    try:
        yield
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        with contextlib.suppress(OSError):  # somebody else has put a dataset there
            for parent in made:
                (parent / "namespace_metadata.json").unlink(missing_ok=True)
                parent.rmdir()
        raise


def _learner(about: Mapping[str, Any]) -> str | None:
    learner = about.get("learner")
    return str(learner["name"]) if isinstance(learner, dict) and "name" in learner else None


def _episodes(number: int, history: History) -> Iterator[EpisodeBuffer]:
    """A history's episodes as Minari takes them."""
    step = 0
    for k in range(history.episodes):
        part = history.episode(k)
        count = len(part["reward"])
        truncated = part["truncated"].copy()
        truncated[-1] |= not part["terminated"][-1]
        infos = {name: _one_more(part[name]) for name in history if name not in TRANSITION}
        infos["history"] = np.full(count + 1, number, np.int64)
        infos["step"] = np.arange(step, step + count + 1)
        yield EpisodeBuffer(
            seed=history.seed,
            observations=_by_field(np.concatenate([part["observation"], part["final_observation"][None]])),
            actions=part["action"],  # type: ignore[arg-type]
            rewards=part["reward"].astype(np.float64),  # type: ignore[arg-type]
            terminations=part["terminated"],  # type: ignore[arg-type]
            truncations=truncated,  # type: ignore[arg-type]
            infos=infos,
        )
        step += count


def _by_field(observations: np.ndarray) -> Any:
    """Observations as Minari takes them: an array, or of rows a dict of the arrays of their fields."""
    fields = observations.dtype.names
    return {name: observations[name] for name in fields} if fields else observations


def _one_more(array: np.ndarray) -> np.ndarray:
    return np.concatenate([array, array[-1:]])


def _environment(histories: Histories) -> tuple[EnvSpec | None, gym.Space, gym.Space]:
    """The environment and its spaces, where the family is known and has arrays like these; else spaces that fit."""
    seen, done = histories.columns["observation"], histories.columns["action"]
    about = histories.about
    id = str(about.get("id")).rpartition(":")[2]  # no module is imported because a store names it
    with contextlib.suppress(TypeError, ValueError):
        family_of(id)
        split = None if about.get("given_tasks") else about.get("split")
        env = gym.make(f"metarl_envs:{id}", split=split, **about.get("params", {}))
        env.close()
        if _has_form(env.observation_space, *seen) and env.action_space.shape == done[1]:
            return env.spec, env.observation_space, env.action_space
    return None, _space(*seen), _space(*done)


def _has_form(space: gym.Space, dtype: np.dtype, shape: tuple[int, ...]) -> bool:
    """Whether observations of a space are arrays of this shape, or have these fields."""
    if not isinstance(space, gym.spaces.Dict):
        return dtype.fields is None and space.shape == shape
    shapes = {name: part.shape for name, (part, *_) in (dtype.fields or {}).items()}
    return shapes == {name: part.shape for name, part in space.items()}


def _space(dtype: np.dtype, shape: tuple[int, ...]) -> gym.Space:
    if dtype.fields is not None:
        return gym.spaces.Dict({name: _space(part.base, part.shape) for name, (part, *_) in dtype.fields.items()})
    if dtype.kind == "f":
        return gym.spaces.Box(-np.inf, np.inf, shape, dtype.type)
    limits = np.iinfo(np.int8 if dtype.kind == "b" else dtype)
    return gym.spaces.Box(limits.min, limits.max, shape, dtype.type)


# ------------------------------------------------------------------------------------------------- reading
def _metadata(folder: Path) -> dict[str, Any]:
    """What a dataset says of itself, before Minari reads it: without spaces it would make the environment that it names."""
    told = read_json(folder / "data" / "metadata.json")
    for what in ("observation", "action"):
        space = told.get(f"{what}_space")
        if not isinstance(space, str):
            raise StoreError(f"{folder} does not say what space its {what}s are of")
        form = json.loads(space)
        parts = form.get("subspaces") if isinstance(form, dict) and form.get("type") == "Dict" else None
        if what == "observation" and isinstance(parts, dict) and parts:
            for name, part in parts.items():
                _see_that_it_holds_arrays(folder, f"{what}s ({name})", part, len(space))
        else:
            _see_that_it_holds_arrays(folder, f"{what}s", form, len(space))
    for number in ("total_episodes", "total_steps"):
        if type(told.get(number)) is not int or told[number] < 1:
            raise StoreError(f"{folder} says {number}={told.get(number)!r}")
    return told


def _see_that_it_holds_arrays(folder: Path, what: str, form: Any, most: int) -> None:
    """See that a space as Minari writes it holds arrays of a shape that its bounds, of at most so many letters, can have."""
    if not isinstance(form, dict) or form.get("type") not in _ARRAYS:
        kind = form.get("type") if isinstance(form, dict) else form
        raise StoreError(f"{folder} has {what} of {kind}, and histories hold arrays")
    shape = form.get("shape", [])
    if not isinstance(shape, list) or any(type(n) is not int for n in shape) or abs(math.prod(shape)) > most:
        raise StoreError(f"{folder} says that its {what} have shape {shape}")


def _see_that_data_is_there(file: Path, told: Mapping[str, Any]) -> None:
    """See that a file has as many episodes as the metadata says, and what it declares."""
    with refusing(file, "Minari dataset"), opened(file) as data:
        if len(data) != told["total_episodes"]:
            raise ValueError(f"it has {len(data)} episodes, and metadata.json says {told['total_episodes']}")
        for dataset in walk(data):
            if h5py.check_vlen_dtype(dataset.dtype) is None:  # pictures, whose decoder looks at sizes by itself
                see_that_it_is_there(dataset)


def _forms(dataset: Any, told: Mapping[str, Any]) -> tuple[dict[str, Form], dict[str, str]]:
    """The columns that all episodes can be given, and why what else there is cannot be one."""
    seen: dict[str, list[Form]] = {}
    why: dict[str, str] = {}
    steps, episodes, digest = 0, 0, hashlib.sha256()
    for episode in dataset.iterate_episodes():
        columns, odd = _columns(episode)
        for name, array in columns.items():
            seen.setdefault(name, []).append((array.dtype, array.shape[1:]))
        why |= odd
        steps, episodes = steps + len(columns["reward"]), episodes + 1
        if "metarl_envs" in told:
            _digest(digest, episode)
    if (episodes, steps) != (told["total_episodes"], told["total_steps"]):
        raise ValueError(
            f"{steps} steps in {episodes} episodes can be read, and it says that there are {told['total_steps']} in "
            f"{told['total_episodes']} (Minari's Arrow and Parquet forms cut long episodes short)"
        )
    if "metarl_envs" in told and told["metarl_envs"] != digest.hexdigest():
        raise ValueError(
            "its episodes are not those that were exported (without 'metarl_envs' in metadata.json they are read anyway)"
        )
    forms = {}
    for name, found in seen.items():
        if name in why and name not in TRANSITION:
            continue
        if len(found) < episodes:
            why[name] = f"only {len(found)} of {episodes} episodes have it"
        elif len({(shape, dtype.names) for dtype, shape in found}) > 1 or (found[0][0].names and len(set(found)) > 1):
            why[name] = f"it has different shapes: {sorted({shape for _, shape in found})[:3]}"
        else:
            forms[name] = (np.result_type(*{dtype for dtype, _ in found}), found[0][1])
    if lost := [name for name in TRANSITION if name not in forms]:
        raise ValueError(f"{lost[0]} is not alike in all episodes: {why[lost[0]]}")
    return forms, why


def _columns(episode: Any) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """What an episode has of each step, and which of its infos cannot be a column, and why."""
    columns = {
        "observation": _observations(episode)[:-1],
        "action": _array("actions", episode.actions),
        "reward": _array("rewards", episode.rewards),
        "terminated": _array("terminations", episode.terminations).astype(np.bool_),
        "truncated": _array("truncations", episode.truncations).astype(np.bool_),
    }
    steps, why = len(columns["reward"]), {}
    lengths = {name: len(array) for name, array in columns.items()}
    if set(lengths.values()) != {steps} or not steps:
        raise ValueError(f"episode {episode.id} has {lengths} steps (and must have one observation more)")
    own = dict(columns)
    for name, array in _flat(episode.infos or {}).items():
        try:
            if _is_place(name, array):
                continue
            if name in own:
                raise ValueError(f"{name!r} is a column already")
            array = _array(name, array)
            if len(array) not in (steps, steps + 1):
                raise ValueError(f"it has {len(array)} elements, and there are {steps} steps")
            check_columns({**{n: (a.dtype, a.shape[1:]) for n, a in own.items()}, name: (array.dtype, array.shape[1:])})
            columns[name] = array[:steps]
        except (TypeError, ValueError) as error:
            why[name] = str(error)
    return columns, why


def _flat(infos: Mapping[str, Any], before: str = "") -> dict[str, Any]:
    """Infos by name; those within others have both names with a point between them."""
    found = {}
    for name, value in infos.items():
        found |= _flat(value, f"{before}{name}.") if isinstance(value, Mapping) else {f"{before}{name}": value}
    return found


def _observations(episode: Any) -> np.ndarray:
    """What was seen in an episode: an array, or where Minari has a dict, rows."""
    if not isinstance(episode.observations, Mapping):
        return _array("observations", episode.observations)
    fields = {name: _array(f"observations ({name})", value) for name, value in episode.observations.items()}
    count, *others = sorted({len(array) for array in fields.values()})
    if others:
        raise ValueError(f"episode {episode.id} has observations of different lengths: {[count, *others]}")
    rows = np.zeros(count, record(**{name: (array.dtype, array.shape[1:]) for name, array in fields.items()}))
    for name, array in fields.items():
        rows[name] = array
    return rows


def _array(name: str, value: Any) -> np.ndarray:
    array = np.asarray(value)
    if not array.ndim or array.dtype.kind not in "biuf":
        raise ValueError(f"{name} are no arrays of numbers but {array.dtype} {list(array.shape)}")
    return array.astype(array.dtype.newbyteorder("="), copy=False)


def _is_place(name: str, array: Any) -> bool:
    """Whether an info is one of those by which `export` says where an episode belongs."""
    return name in _PLACES and isinstance(array, np.ndarray) and array.ndim == 1 and array.dtype == np.int64


def _digest(digest: Any, episode: Any) -> None:
    """Add an episode to a digest."""
    for name in ("observations", "actions", "rewards", "terminations", "truncations"):
        for part, array in sorted(_flat({name: getattr(episode, name)}).items()):
            _add(digest, part, array)
    for name, array in sorted(_flat(episode.infos or {}).items()):
        _add(digest, name, array)


def _add(digest: Any, name: str, value: Any) -> None:
    array = np.ascontiguousarray(value)
    digest.update(f"{name} {array.dtype.str} {array.shape}".encode())
    digest.update(array.data)


def _histories(folder: Path, dataset: Any, forms: Mapping[str, Form]) -> Iterator[History]:
    """The histories of a dataset. Each is checked before it is given; what is done with it is no business of the dataset's."""
    together: list[Any] = []
    with refusing(folder):
        episodes = iter(dataset.iterate_episodes())
    while True:
        with refusing(folder):
            episode, whole = next(episodes, None), None
            if together and (episode is None or _number(episode) != _number(together[-1])):
                whole, together = _joined(together, forms), []
                check_history(whole)
            if episode is not None:
                together.append(episode)
        if whole is not None:
            yield whole
        if episode is None:
            return


def _number(episode: Any) -> int:
    """Which history an episode is of."""
    told: Any = (episode.infos or {}).get("history")
    return int(told[0]) if _is_place("history", told) and len(told) else -1 - int(episode.id)


def _joined(episodes: list[Any], forms: Mapping[str, Form]) -> History:
    """The history that some episodes are, one after the other."""
    parts = [_columns(episode)[0] for episode in episodes]
    columns = {
        name: np.concatenate([_widened(name, part[name], dtype) for part in parts]) for name, (dtype, _) in forms.items()
    }
    ends = np.cumsum([len(part["reward"]) for part in parts]).astype(np.int64)
    last = np.stack([_observations(episode)[-1] for episode in episodes])
    return History(columns, ends, _widened("observations", last, forms["observation"][0]))


def _widened(name: str, array: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """The same numbers in another dtype; ValueError where it does not hold them exactly."""
    if array.dtype == dtype:
        return array
    wide = array.astype(dtype)
    if not np.array_equal(wide.astype(array.dtype), array, equal_nan=array.dtype.kind == "f"):
        raise ValueError(f"{name} has dtypes that no one dtype holds: {array.dtype} as {dtype}")
    return wide
