"""Minari datasets, in HDF5: an episode each. Minari's Arrow and Parquet forms cut long episodes short, so none is used."""

from __future__ import annotations

import json
import os
import warnings
from collections.abc import Iterator
from typing import Any

import gymnasium as gym
import minari
import numpy as np
from minari.data_collector import EpisodeBuffer

from metarl_envs.histories.store import Histories, History

#: Columns that Minari has places of its own for; all others become infos.
_OWN = ("observation", "action", "reward", "terminated", "truncated")


def export(histories: Histories, target: str | os.PathLike) -> None:
    """Write a dataset (see `metarl_envs.histories.exchange.export`) to where Minari keeps those of this machine.

    Each episode's infos hold `history` and `step` (its place in its history) and whatever was recorded; they have one element
    more than there are actions, as observations have, and the last one repeats the one before. An episode that was cut off is
    marked as truncated.
    """
    dataset_id = os.fspath(target)
    if dataset_id in minari.list_local_datasets():
        raise FileExistsError(f"there is a Minari dataset {dataset_id!r} already: give another id")
    if any(history.final_observation is None for history in histories):
        raise ValueError("these histories do not say what was seen last in an episode, which Minari must be told")
    about = histories.about
    observation_space, action_space = _spaces(histories)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # that nobody gave an author or a link to code
        minari.create_dataset_from_buffers(
            dataset_id,
            [episode for number, history in enumerate(histories) for episode in _episodes(number, history)],
            observation_space=observation_space,
            action_space=action_space,
            algorithm_name=about.get("learner", {}).get("name"),
            description=json.dumps(about),
            data_format="hdf5",
            jpeg_encoding=False,
        )


def read(source: str | os.PathLike) -> tuple[dict[str, Any], Iterator[History]]:
    """What the manifest is to say, and the histories: episodes in order, a new history where the info `history` changes.

    Without that info each episode is a history of its own.
    """
    dataset_id = os.fspath(source)
    if dataset_id not in minari.list_local_datasets():
        raise FileNotFoundError(f"there is no Minari dataset {dataset_id!r} here")
    dataset = minari.load_dataset(dataset_id)
    if isinstance(dataset.observation_space, gym.spaces.Dict | gym.spaces.Tuple):
        raise ValueError(f"{dataset_id!r} has observations {dataset.observation_space}: histories hold arrays")
    return {"imported": "minari", "dataset": dataset_id}, _histories(dataset)


def _episodes(number: int, history: History) -> Iterator[EpisodeBuffer]:
    """A history's episodes as Minari takes them."""
    step = 0
    for k in range(history.episodes):
        part = history.episode(k)
        count = len(part["reward"])
        truncated = part["truncated"].copy()
        truncated[-1] |= not part["terminated"][-1]
        infos = {name: _one_more(part[name]) for name in history if name not in _OWN}
        infos["history"] = np.full(count + 1, number, np.int64)
        infos["step"] = np.arange(step, step + count + 1)
        yield EpisodeBuffer(
            seed=history.seed,
            observations=np.concatenate([part["observation"], part["final_observation"][None]]),  # type: ignore[arg-type]
            actions=part["action"],  # type: ignore[arg-type]
            rewards=part["reward"].astype(np.float64),  # type: ignore[arg-type]
            terminations=part["terminated"],  # type: ignore[arg-type]
            truncations=truncated,  # type: ignore[arg-type]
            infos=infos,
        )
        step += count


def _one_more(array: np.ndarray) -> np.ndarray:
    return np.concatenate([array, array[-1:]])


def _spaces(histories: Histories) -> tuple[gym.Space, gym.Space]:
    """The spaces of the family, with the dtypes that the columns have; without a family, whatever fits."""
    seen, done = (_space(*histories.columns[name]) for name in ("observation", "action"))
    if histories.about.get("id"):
        env = gym.make(f"metarl_envs:{histories.about['id']}", **histories.about.get("params", {}))
        seen = env.observation_space if isinstance(env.observation_space, gym.spaces.Box) else seen
        done = env.action_space if isinstance(env.action_space, gym.spaces.Box | gym.spaces.Discrete) else done
        env.close()
    return seen, done


def _space(dtype: np.dtype, shape: tuple[int, ...]) -> gym.spaces.Box:
    if dtype.kind == "f":
        return gym.spaces.Box(-np.inf, np.inf, shape, dtype.type)
    limits = np.iinfo(dtype)
    return gym.spaces.Box(limits.min, limits.max, shape, dtype.type)


def _histories(dataset: Any) -> Iterator[History]:
    together: list[Any] = []
    for episode in dataset.iterate_episodes():
        if together and _number(episode) != _number(together[-1]):
            yield _joined(together)
            together = []
        together.append(episode)
    if together:
        yield _joined(together)


def _number(episode: Any) -> int:
    infos = episode.infos or {}
    return int(infos["history"][0]) if "history" in infos else -1 - int(episode.id)


def _joined(episodes: list[Any]) -> History:
    columns = {
        "observation": np.concatenate([e.observations[:-1] for e in episodes]),
        "action": np.concatenate([e.actions for e in episodes]),
        "reward": np.concatenate([e.rewards for e in episodes]),
        "terminated": np.concatenate([e.terminations for e in episodes]).astype(np.bool_),
        "truncated": np.concatenate([e.truncations for e in episodes]).astype(np.bool_),
    }
    beside = {name: array for name, array in (episodes[0].infos or {}).items() if name not in ("history", "step")}
    for name, array in beside.items():
        if isinstance(array, np.ndarray):
            columns[name] = np.concatenate([e.infos[name][:-1] for e in episodes])
    ends = np.cumsum([len(e.rewards) for e in episodes]).astype(np.int64)
    return History(columns, ends, np.stack([e.observations[-1] for e in episodes]))
