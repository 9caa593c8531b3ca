"""Model cards: what a network is, what it was trained on, by which command, and what it is worth."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from gymnasium import spaces

from metarl_envs.engine.player import Player
from metarl_envs.files import read_said, written_aside
from metarl_envs.learners import LEARNERS

FORMAT = "metarl_envs network 1"


@dataclass(frozen=True)
class Card:
    """A model card.

    Attributes:
        name: by which the network is called.
        what: what it is, in a sentence or two.
        form: how it is asked, a key of `minds.FORMS`.
        network: its layers, and what else its shape does not tell.
        observation: of the Box that it sees: `low`, `high` and `dtype`.
        actions: how many there are.
        trained_on: `id`, `params`, `split`, and how many tasks that is; how many episodes of a life it saw; and where it
            imitates a learner, its `learner` by name, with its hyper-parameters.
        command: that trained it.
        training: settings, all seeds that were trained, and the one that this is.
        validation: the score of each seed on validation tasks, by which this one was chosen.
        test: its own score on tasks that it never met, with the 95 % interval, and how that was measured.
        size: how many weights it has, of which type, and the bytes of its file.
        versions: of the packages that wrote the file.
    """

    name: str
    what: str
    form: str
    network: dict[str, Any]
    observation: dict[str, Any]
    actions: int
    trained_on: dict[str, Any]
    command: str
    training: dict[str, Any]
    validation: dict[str, Any]
    test: dict[str, Any]
    size: dict[str, Any]
    versions: dict[str, Any]

    @property
    def spaces(self) -> tuple[spaces.Box, spaces.Discrete]:
        """The observations and actions that it is made for, as fresh spaces."""
        dtype: Any = np.dtype(self.observation["dtype"])
        low, high = (np.array(self.observation[end], dtype) for end in ("low", "high"))
        return spaces.Box(low, high, dtype=dtype), spaces.Discrete(self.actions)

    @property
    def learner(self) -> Player | None:
        """The learner whose histories it imitates; None where there is none."""
        told = self.trained_on.get("learner")
        return None if told is None else LEARNERS[told["name"]](**told["hyper"])

    def save(self, path: Path) -> None:
        """Write the card as JSON."""
        with written_aside(path) as [aside]:
            aside.write_text(
                json.dumps({"format": FORMAT, **asdict(self)}, indent=1, ensure_ascii=False) + "\n", encoding="utf-8"
            )

    def __str__(self) -> str:
        where, test, size = self.trained_on, self.test, self.size
        said = {
            "what": self.what,
            "trained on": f"{where['tasks']} tasks ({where['split']}) of {where['id']} ({_listed(where['params'])}), "
            f"{where['episodes']} episodes of a life on each{'' if self.learner is None else f', of {self.learner}'}",
            "by": f"`{self.command}`",
            "settings": _listed({k: v for k, v in self.training.items() if k not in ("seed", "seeds")}),
            "seed": f"{self.training['seed']} of {self.training['seeds']}, the best of them on validation tasks",
            "validation scores": _listed(self.validation["scores"]) + f"; {self.validation['how']}",
            "test score": f"{test['score']:.3f} [{test['low']:.3f}, {test['high']:.3f}]; {test['how']}",
            "plays where": f"observations are {self.spaces[0]} and actions {self.spaces[1]}",
            "size": f"{size['weights']:,} weights, {size['dtype']}, {size['bytes']:,} bytes",
            "written with": _listed(self.versions),
        }
        return "\n".join([self.name, "", *(f"* {name}: {text}" for name, text in said.items())])


def read_card(path: Path) -> Card:
    """Return the card in a file; errors as in `files.read_said`."""
    kinds = {name: {"str": str, "int": int}.get(kind, dict) for name, kind in Card.__annotations__.items()}
    said = read_said(path, "model card", FORMAT, kinds)
    return Card(**{name: said[name] for name in kinds})


def _listed(values: dict[str, Any]) -> str:
    return ", ".join(f"{name} {value:.3f}" if isinstance(value, float) else f"{name} {value}" for name, value in values.items())
