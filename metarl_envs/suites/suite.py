"""Suites: loading them, and letting agents live all that is in them."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np

from metarl_envs.arguments import Progress, did_you_mean, tell_nobody
from metarl_envs.boxes.players.agents import AGENTS
from metarl_envs.files import file_name, read_said
from metarl_envs.learners import LEARNERS
from metarl_envs.players.factories import PlayerError
from metarl_envs.players.models.language_model import Forecast, LanguageModel
from metarl_envs.players.networks.shipped import NAMES
from metarl_envs.players.resolve import by_name, described
from metarl_envs.suites.frozen import FOLDER, FORMAT, Frozen, parts_of
from metarl_envs.suites.result import SuiteResult
from metarl_envs.suites.rows import CannotPlayError


class Suite(Frozen):
    """A frozen list of rows, each of which gives an agent one score. It never changes: it gets a successor.

    Attributes:
        name: such as "core-1".
        about: what it is for, in a sentence or two.
        seeds: how many, 0, 1, ...
        rows: what is lived; see `metarl_envs.suites.rows.Row`.
    """

    def run(
        self,
        agents: Any,
        *,
        out: str | os.PathLike | None = None,
        resume: bool = False,
        overwrite: bool = False,
        progress: Progress = tell_nobody,
    ) -> SuiteResult:
        """Let agents live all rows that they can play, and score them.

        All of them meet the same tasks with the same noise. Who cannot play a row has the reason in the result, in place of
        scores: a name that means nobody there; a player or a factory whose `why_unsuitable(variant)` returns it; a factory that
        raises NotImplementedError when it is to make a player.

        Args:
            agents: by name a learner, a reference, a scripted agent of boxes or a network; a compiled player, or a factory (see
                `metarl_envs.players`); or a list of them, or one alone. In boxes an agent sits in all seats.
            out: a folder. What each agent lives in each row is written to `rows/ROW/AGENT` when it is whole. None: nothing is.
            resume: go on with what is in `out`: what is whole there is taken from there, and language models are not asked
                again what was answered. (Of a factory of your own only the name is compared: what it did before it was changed
                is taken for what it does.)
            overwrite: begin anew: what lies in `out` of these agents and rows is removed before they are lived.
            progress: called with an agent's name, the lives that it has lived by now, and its lives in all.

        Raises:
            ChangedError: this version of the package has other tasks in a row than were frozen.
            ValueError: no agent has that name, or it can play no row; what lies in `out` was lived elsewhere, or by others.
            FileExistsError: there is something in `out`, and it is neither to be resumed nor overwritten.
            PlayerError: a player that is not compiled failed.
        """
        chosen = by_name(agents, "agents")
        folder = None if out is None else Path(out)
        if folder is None and resume:
            raise ValueError("resume=True goes with out: give the folder that is to be gone on with")
        if resume and overwrite:
            raise ValueError("resume=True goes on with what is there, and overwrite=True removes it: give one of them")
        if folder is not None and not (resume or overwrite) and (folder / "rows").exists():
            raise FileExistsError(f"out={str(folder)!r} holds what agents lived: give another folder, or resume=True to go on")
        seated = {name: self._who_plays(name, given) for name, given in chosen.items()}
        for row in self.rows:
            if any(row.name in players for players, _ in seated.values()):
                row.check()
        scores = {}
        for name, (players, reasons) in seated.items():
            places = {row: None if folder is None else folder / "rows" / row / file_name(name) for row in players}
            for place in places.values():
                if overwrite and place is not None and place.exists():
                    shutil.rmtree(place)
            scores[name] = self._lived(name, players, reasons, places, resume, progress)
        refusals = {name: reasons for name, (_, reasons) in seated.items()}
        return SuiteResult(self, {name: described_as(given) for name, given in chosen.items()}, scores, refusals)

    def forecast(self, model: LanguageModel) -> Forecast:
        """Return what `run` would ask of a language model, if every reply is a sentence that takes one step."""
        parts = [row.forecast(model, self.seeds) for row in self.rows if row.why_not(model) is None]
        return Forecast(*(sum(each) for each in zip(*parts, strict=True)))

    def _lived(
        self,
        name: str,
        players: dict[str, Any],
        reasons: dict[str, str],
        places: dict[str, Path | None],
        resume: bool,
        progress: Progress,
    ) -> dict[str, np.ndarray]:
        """The scores of an agent by row; a factory that turns out not to be made for a row leaves its reason."""
        scores, done, lives = {}, 0, sum(self.seeds * self.row(row).tasks for row in players)
        for row in (row for row in self.rows if row.name in players):
            told = _later(progress, done, lives)
            try:
                scores[row.name] = row.play(name, players[row.name], self.seeds, places[row.name], resume, told)
            except PlayerError as error:
                if error.step or not isinstance(error.__cause__, NotImplementedError):
                    raise
                reasons[row.name] = str(error.__cause__) or "it is not made for this"
            done += self.seeds * row.tasks
            progress(name, done, lives)
        return scores

    def _who_plays(self, name: str, given: Any) -> tuple[dict[str, Any], dict[str, str]]:
        """By row, who plays for an agent; and why nobody does in the others."""
        players, reasons = dict[str, Any](), dict[str, str]()
        for row in self.rows:
            try:
                players[row.name] = row.player(given)
            except CannotPlayError as error:
                reasons[row.name] = str(error)
        if isinstance(given, str) and not players and given not in (known := self._known()):
            raise ValueError(f"agent {given!r} is not known; there are: {', '.join(known)}{did_you_mean(given, known)}")
        if not players:
            raise ValueError(f"agent {name!r} can play no row of {self.name}: {'; '.join(dict.fromkeys(reasons.values()))}")
        return players, reasons

    def _known(self) -> list[str]:
        """The names of all who play anywhere here."""
        return list(dict.fromkeys([*LEARNERS, *NAMES, *AGENTS, *(name for row in self.rows for name in row.named())]))


def described_as(given: Any) -> str:
    """Return who an agent is, as text: a name means another player in each row."""
    return given if isinstance(given, str) else described(given)


def _later(progress: Progress, before: int, total: int) -> Progress:
    """Told of the lives in one row, tell of those in all rows."""
    return lambda name, done, _: progress(name, before + done, total)


def names() -> list[str]:
    """Return the names of the suites that come with the package."""
    return sorted(file.stem for file in FOLDER.glob("*.json"))


def load(suite: str | os.PathLike) -> Suite:
    """Return a suite: one that comes with the package, by its name, or one of your own, by its file (`mine.json`).

    >>> result = load("quick").run(["q_learning", "random"])

    Raises:
        ValueError: there is no suite of that name, or the file is none.
        FileNotFoundError: there is no such file.
    """
    there, name = names(), os.fspath(suite)
    if name not in there and not name.endswith(".json"):
        raise ValueError(
            f"suite={name!r} is no suite; there are: {', '.join(there)}{did_you_mean(name, there)} (or give a file: NAME.json)"
        )
    where = FOLDER / f"{name}.json" if name in there else Path(suite)
    return Suite(**parts_of(read_said(where, "suite", FORMAT, {}), where))
